/* src/control/auditors.c - see auditors.h; and the calls auditor.key.add, list, remove. */
#include "control/auditors.h"

#include <string.h>

#include "base/clock.h"
#include "control/api.h"
#include "control/methods.h"

#define AUDITORS_KEY	"auditor.keys"
#define NAME_MAX_BYTES	64

static int
key_is_good(const json_t *o, struct sp_age_recipient *ret)
{
	const char *text = json_string_value(json_object_get(o, "recipient"));

	return text != NULL && json_is_string(json_object_get(o, "name")) && json_is_string(json_object_get(o, "kind")) &&
	    sp_age_recipient_parse(text, strlen(text), ret) == SP_OK;
}

static enum sp_err
keys_load(struct sp_store *s, json_t **ret)
{
	char text[SP_STORE_VALUE_MAX + 1];
	enum sp_err r = sp_store_setting_get(s, AUDITORS_KEY, text, sizeof(text));
	struct sp_age_recipient key;
	json_t *list, *o;
	size_t i;

	if (r != SP_OK && r != SP_ENOENT)
		return r;
	list = r == SP_ENOENT ? json_array() : json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	if (list == NULL || !json_is_array(list) || json_array_size(list) > AUDITORS_MAX) {
		json_decref(list);
		return SP_ECORRUPT;
	}
	json_array_foreach(list, i, o) {
		if (!key_is_good(o, &key)) {
			json_decref(list);
			return SP_ECORRUPT;
		}
	}
	*ret = list;
	return SP_OK;
}

static int
key_is_escrow(const json_t *o)
{
	return strcmp(json_string_value(json_object_get(o, "kind")), "escrow") == 0;
}

enum sp_err
auditors_get(struct sp_store *s, struct auditors *ret)
{
	struct auditors a = { .n = 0 };
	json_t *list, *o;
	enum sp_err r;
	size_t i;

	if ((r = keys_load(s, &list)) != SP_OK)
		return r;
	json_array_foreach(list, i, o) {
		if (!key_is_good(o, &a.key[a.n]))
			continue;
		a.n++;
		a.counted += !key_is_escrow(o);
	}
	json_decref(list);
	*ret = a;
	return SP_OK;
}

static enum sp_err
keys_save(struct api_call *c, struct sp_store *s, const json_t *list)
{
	char *text = json_dumps(list, JSON_COMPACT);
	enum sp_err r;

	if (text == NULL)
		return api_fail(c, SP_ENOMEM, "out of memory");
	if (strlen(text) > SP_STORE_VALUE_MAX)
		r = api_fail(c, SP_EFULL, "too many keys: shorter names, or remove one");
	else
		r = api_store(c, sp_store_setting_set(s, AUDITORS_KEY, text), "the auditors' keys");
	free(text);
	return r;
}

static json_t *
keys_of(struct api_call *c, struct sp_store *s)
{
	json_t *list = NULL;

	(void)api_store(c, keys_load(s, &list), "the auditors' keys");
	return list;
}

static size_t
keys_counted(const json_t *list)
{
	size_t i, n = 0;
	json_t *o;

	json_array_foreach(list, i, o)
		n += !key_is_escrow(o);
	return n;
}

static size_t
keys_min(struct api_call *c)
{
	struct sp_config conf;

	ctl_conf_copy(c->ctl, &conf);
	return (size_t)conf.auditors_min;
}

void
auditor_key_list(struct api_call *c, struct sp_store *s)
{
	c->out = keys_of(c, s);
}

/* Same name or same key: which one is it? */
static const char *
keys_clash(const json_t *list, const char *name, const char *recipient)
{
	size_t i;
	json_t *o;

	json_array_foreach(list, i, o)
		if (strcmp(json_string_value(json_object_get(o, "name")), name) == 0 ||
		    strcmp(json_string_value(json_object_get(o, "recipient")), recipient) == 0)
			return json_string_value(json_object_get(o, "name"));
	return NULL;
}

void
auditor_key_add(struct api_call *c, struct sp_store *s)
{
	char name[NAME_MAX_BYTES + 1] = "", text[SP_BECH32_SIZE + 1] = "", kind[16] = "auditor", at[SP_RFC3339_SIZE];
	struct sp_age_recipient key;
	struct sp_uuid none = { 0 };
	const char *clash;
	json_t *list, *o;

	if (api_str(c, "name", 1, name, sizeof(name)) != SP_OK || api_str(c, "recipient", 1, text, sizeof(text)) != SP_OK ||
	    api_str(c, "kind", 0, kind, sizeof(kind)) != SP_OK || api_scope(c, s, &none) != SP_OK)
		return;
	if (!sp_name_is_ok(name, NAME_MAX_BYTES)) {
		(void)api_fail(c, SP_EINVAL, "\"%s\" is no name: letters, digits, '.', '_' and '-', at most %d bytes", name, NAME_MAX_BYTES);
		return;
	}
	if (strcmp(kind, "auditor") != 0 && strcmp(kind, "escrow") != 0) {
		(void)api_fail(c, SP_EINVAL, "kind is auditor or escrow");
		return;
	}
	if (sp_age_recipient_parse(text, strlen(text), &key) != SP_OK || sp_age_recipient_text(&key, text) != SP_OK) {
		(void)api_fail(c, SP_EINVAL, "that is no age public key (age1...): give what age-keygen or 'sallyport auditor key new' printed");
		return;
	}
	if ((list = keys_of(c, s)) == NULL)
		return;
	if ((clash = keys_clash(list, name, text)) != NULL) {
		(void)api_fail(c, SP_EEXIST, "there is such a key already: \"%s\"", clash);
	} else if (json_array_size(list) >= AUDITORS_MAX) {
		(void)api_fail(c, SP_EFULL, "there are %d keys already: remove one", AUDITORS_MAX);
	} else {
		o = json_pack("{s:s, s:s, s:s, s:s}", "name", name, "recipient", text, "kind", kind, "added",
		    sp_rfc3339(sp_wall_us(), at, sizeof(at)));
		json_array_append(list, o);
		if (keys_save(c, s, list) == SP_OK) {
			(void)sp_strlcpy(c->what, name, sizeof(c->what));
			api_more(c, "recipient", json_string(text));
			api_more(c, "key_kind", json_string(kind));
			c->out = json_incref(o);
		}
		json_decref(o);
	}
	json_decref(list);
}

void
auditor_key_remove(struct api_call *c, struct sp_store *s)
{
	char name[NAME_MAX_BYTES + 1] = "";
	struct sp_uuid none = { 0 };
	json_t *list, *o, *found = NULL;
	size_t i, at = 0;

	if (api_str(c, "name", 1, name, sizeof(name)) != SP_OK || api_scope(c, s, &none) != SP_OK || (list = keys_of(c, s)) == NULL)
		return;
	json_array_foreach(list, i, o)
		if (strcmp(json_string_value(json_object_get(o, "name")), name) == 0) {
			found = json_incref(o);
			at = i;
		}
	if (found == NULL) {
		(void)api_fail(c, SP_ENOENT, "there is no auditor's key \"%s\"", name);
	} else {
		json_array_remove(list, at);
		if (!key_is_escrow(found) && keys_counted(list) < keys_min(c)) {
			(void)api_fail(c, SP_ESTATE, "%zu auditors' keys are needed, or nobody gets a session: add the new one first", keys_min(c));
		} else if (keys_save(c, s, list) == SP_OK) {
			(void)sp_strlcpy(c->what, name, sizeof(c->what));
			api_more(c, "recipient", json_incref(json_object_get(found, "recipient")));
			c->out = json_incref(found);
		}
	}
	json_decref(found);
	json_decref(list);
}
