/* src/control/api_detection.c - detections: rules over events, with what follows when they fire. */
#include "control/api.h"

#include <stdlib.h>
#include <string.h>

#include "control/detect.h"
#include "control/methods.h"
#include "control/pack.h"
#include "control/siem.h"

static json_t *
detection_object(const struct sp_store_detection *d, int with_text)
{
	json_t *o = json_pack("{s:o, s:s, s:s, s:o, s:o}", "id", api_id(&d->id), "name", d->name, "state",
	    d->state == SP_STORE_ACTIVE ? "on" : "off", "created", api_at(d->created_us), "updated", api_at(d->updated_us));

	if (with_text)
		json_object_set_new(o, "text", json_string(d->text));
	return o;
}

static enum sp_err
find(struct api_call *c, struct sp_store *s, struct sp_store_detection *ret)
{
	char text[SP_STORE_NAME_MAX + 1] = "";
	enum sp_err r;

	if ((r = api_str(c, "name", 1, text, sizeof(text))) != SP_OK)
		return r;
	if ((r = sp_store_detection_by_name(s, text, ret)) == SP_ENOENT)
		return api_fail(c, r, "there is no detection \"%s\"", text);
	if (r != SP_OK)
		return api_store(c, r, text);
	c->object = ret->id;
	(void)sp_strlcpy(c->what, ret->name, sizeof(c->what));
	return SP_OK;
}

/* Line breaks are wanted here, so api_str() will not do; the reader of rules is strict about everything else. */
static enum sp_err
take_text(struct api_call *c, struct sp_store_detection *d)
{
	const char *t = api_text(c, "text");

	if (t == NULL || *t == '\0')
		return api_fail(c, SP_EUSAGE, "text: the rule, in YAML");
	if (sp_strlcpy(d->text, t, sizeof(d->text)) != 0)
		return api_fail(c, SP_ESIZE, "a detection has %d bytes at most: put its rules into several", SP_STORE_RULE_MAX);
	return SP_OK;
}

/* Would everything load with it (NULL: as it is)? A rule that does not is refused now, not skipped later. */
static enum sp_err
check(struct api_call *c, struct sp_store *s, const struct sp_store_detection *d)
{
	struct detect_set *set = NULL;
	char why[400] = "";
	enum sp_err r = detect_load(s, d, 0, &set, why, sizeof(why));

	detect_free(set);
	if (r == SP_EFULL)
		return api_fail(c, r, "%d detections are in force already: turn one off", DETECT_MAX);
	if (r != SP_OK)
		return *why != '\0' ? api_fail(c, r, "%s", why) : api_store(c, r, d != NULL ? d->name : "the detections");
	return SP_OK;
}

static void
written(struct api_call *c, const struct sp_store_detection *d)
{
	c->object = d->id;
	(void)sp_strlcpy(c->what, d->name, sizeof(c->what));
	c->out = detection_object(d, 0);
}

void
detection_add(struct api_call *c, struct sp_store *s)
{
	struct sp_store_detection *d = c->state = calloc(1, sizeof(*d)), *was;
	int replace = json_is_true(json_object_get(c->params, "replace"));
	enum sp_err r;

	if (d == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	d->state = SP_STORE_ACTIVE;
	if (api_str(c, "name", 1, d->name, sizeof(d->name)) != SP_OK || take_text(c, d) != SP_OK)
		return;
	if ((was = malloc(sizeof(*was))) == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	r = sp_store_detection_by_name(s, d->name, was);
	if (r == SP_OK && replace) {
		(void)sp_strlcpy(was->text, d->text, sizeof(was->text));
		*d = *was;
	}
	free(was);
	if (r == SP_OK && !replace)
		(void)api_fail(c, SP_EEXIST, "there is a detection \"%s\" already: --replace changes it", d->name);
	else if (r != SP_OK && r != SP_ENOENT)
		(void)api_store(c, r, d->name);
	else if (check(c, s, d) == SP_OK &&
	    api_store(c, r == SP_OK ? sp_store_detection_update(s, d) : sp_store_detection_add(s, d), d->name) == SP_OK)
		written(c, d);
}

/* One of the pack: what an administrator changed or turned off stays as it is. */
static enum sp_err
install_one(struct api_call *c, struct sp_store *s, const struct pack_rule *p, struct sp_store_detection *d)
{
	enum sp_err r = sp_store_detection_by_name(s, p->name, d);

	if (r != SP_ENOENT) {
		json_array_append_new(c->out, json_pack("{s:s, s:s}", "name", p->name, "result", "there already"));
		return r == SP_OK ? SP_OK : api_store(c, r, p->name);
	}
	*d = (struct sp_store_detection){ .state = SP_STORE_ACTIVE };
	(void)sp_strlcpy(d->name, p->name, sizeof(d->name));
	if (sp_strlcpy(d->text, p->text, sizeof(d->text)) != 0)
		return api_fail(c, SP_EINTERNAL, "%s is too long", p->name);
	if ((r = api_store(c, sp_store_detection_add(s, d), p->name)) == SP_OK)
		json_array_append_new(c->out, json_pack("{s:s, s:s}", "name", p->name, "result", "installed"));
	return r;
}

void
detection_install(struct api_call *c, struct sp_store *s)
{
	struct sp_store_detection *d = c->state = calloc(1, sizeof(*d));

	if (d == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	c->out = json_array();
	for (const struct pack_rule *p = pack_detections; p->name != NULL; p++)
		if (install_one(c, s, p, d) != SP_OK)
			return;
	if (check(c, s, NULL) != SP_OK)
		return;
	(void)sp_strlcpy(c->what, "the default pack", sizeof(c->what));
}

static void
detection_turn(struct api_call *c, struct sp_store *s, int64_t state)
{
	struct sp_store_detection *d = c->state = calloc(1, sizeof(*d));

	if (d == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	if (find(c, s, d) != SP_OK)
		return;
	d->state = state;
	if (check(c, s, d) == SP_OK && api_store(c, sp_store_detection_update(s, d), d->name) == SP_OK)
		written(c, d);
}

void
detection_enable(struct api_call *c, struct sp_store *s)
{
	detection_turn(c, s, SP_STORE_ACTIVE);
}

void
detection_disable(struct api_call *c, struct sp_store *s)
{
	detection_turn(c, s, SP_STORE_DISABLED);
}

void
detection_delete(struct api_call *c, struct sp_store *s)
{
	struct sp_store_detection *d = c->state = calloc(1, sizeof(*d));

	if (d == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	if (find(c, s, d) != SP_OK)
		return;
	d->state = SP_STORE_DISABLED;	/* others may be made of it */
	if (check(c, s, d) == SP_OK && api_store(c, sp_store_detection_delete(s, &d->id, d->version), d->name) == SP_OK)
		written(c, d);
}

void
detection_show(struct api_call *c, struct sp_store *s)
{
	struct sp_store_detection *d = c->state = calloc(1, sizeof(*d));

	if (d == NULL)
		(void)api_fail(c, SP_ENOMEM, "out of memory");
	else if (find(c, s, d) == SP_OK)
		c->out = detection_object(d, 1);
}

static int
on_row(const struct sp_store_detection *d, void *arg)
{
	json_array_append_new(arg, detection_object(d, 0));
	return 0;
}

void
detection_list(struct api_call *c, struct sp_store *s)
{
	struct sp_store_query q = { 0 };
	enum sp_err r;

	c->out = json_array();
	API_PAGES(c, q, json_array_size(c->out), r, sp_store_detection_list(s, &q, on_row, c->out));
	(void)api_store(c, r, "the detections");
}

void
detection_changed_loop(struct api_call *c)
{
	siem_reload(c->ctl);
}
