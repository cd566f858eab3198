/* src/control/recvault.c - see recvault.h; and the calls recording.vault.set, remove, list, and recording.unwrap.
 *
 * A setting for each department names a secret of the vault: an X25519 identity that was made there and stays there. New recordings
 * of that department's assets name its public key as one more recipient. To replay, the caller sends a public key of his own;
 * control writes the intent down, hands the recording's header to the vault, and carries back the file key, sealed to the caller.
 * Invariants: (1) without the setting the vault is never asked, whatever a recording's header says. (2) The intent
 * "recording.unwrap" is durable before the vault sees the header; "recording.unwrapped" says what came of it. (3) An auditor's
 * role is not enough: root gives the permission (may_replay.LOGIN). (4) The header is the one of the log: who puts that of another
 * recording in its place opens nothing by it. */
#include "control/recvault.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "common/recpath.h"
#include "control/api.h"
#include "control/methods.h"

#define KEY		"recording.vault."
#define DEPTH_MAX	64
#define MAY_REPLAY	"may_replay."

static void
recvault_key(const struct sp_uuid *department, char dst[64])
{
	char id[SP_UUID_SIZE];

	(void)sp_snprintf(dst, 64, KEY "%s", sp_uuid_is_null(department) ? "all" : sp_uuid_text(department, id));
}

/* Of exactly this department. SP_ENOENT. */
static enum sp_err
recvault_get(struct sp_store *s, const struct sp_uuid *department, struct sp_store_secret *ret)
{
	char key[64], text[SP_UUID_SIZE + 8];
	struct sp_uuid id;
	enum sp_err r;

	recvault_key(department, key);
	if ((r = sp_store_setting_get(s, key, text, sizeof(text))) != SP_OK)
		return r;
	if (*text == '\0')
		return SP_ENOENT;
	if (sp_uuid_parse(text, &id) != SP_OK)
		return SP_ECORRUPT;
	if ((r = sp_store_secret_get(s, &id, ret)) != SP_OK)
		return r == SP_ENOENT ? SP_ECORRUPT : r;
	return ret->kind == SP_STORE_SECRET_RECORDING && ret->public_blob.len == sizeof(((struct sp_age_recipient *)0)->pk) ? SP_OK : SP_ECORRUPT;
}

enum sp_err
recvault_of(struct sp_store *s, const struct sp_uuid *department, struct sp_store_secret *ret)
{
	struct sp_store_department d = { .parent_id = *department };
	const struct sp_uuid none = { 0 };

	for (int i = 0; i < DEPTH_MAX && !sp_uuid_is_null(&d.parent_id); i++) {
		struct sp_uuid at = d.parent_id;
		enum sp_err r = recvault_get(s, &at, ret);

		if (r != SP_ENOENT)
			return r;
		if ((r = sp_store_department_get(s, &at, &d)) != SP_OK)
			return r;
	}
	return recvault_get(s, &none, ret);
}

enum sp_err
recvault_add(struct sp_store *s, const struct sp_uuid *asset_id, struct auditors *to)
{
	sp_auto(sp_freep) struct sp_store_secret *k = malloc(sizeof(*k));
	struct sp_store_asset a;
	enum sp_err r;

	if (k == NULL)
		return SP_ENOMEM;
	if ((r = sp_store_asset_get(s, asset_id, &a)) != SP_OK || (r = recvault_of(s, &a.department_id, k)) != SP_OK)
		return r == SP_ENOENT ? SP_OK : r;
	if (to->n == AUDITORS_MAX)
		return SP_EFULL;
	memcpy(to->key[to->n++].pk, k->public_blob.b, sizeof(to->key[0].pk));
	return SP_OK;
}

/* ---- set, remove, list ---- */

struct setting {
	struct sp_store_secret	row;
	struct sp_uuid		department;
};

static enum sp_err
setting_department(struct api_call *c, struct sp_store *s, struct sp_uuid *ret)
{
	*ret = (struct sp_uuid){ 0 };
	if (api_department(c, s, "department", ret) == SP_OK)
		(void)sp_strlcpy(c->what, sp_uuid_is_null(ret) ? "all" : api_text(c, "department"), sizeof(c->what));
	return c->err;
}

static json_t *
setting_json(struct sp_store *s, const struct sp_uuid *department, const struct sp_store_secret *k)
{
	struct sp_age_recipient key;
	char text[SP_BECH32_SIZE] = "";
	json_t *o;

	memcpy(key.pk, k->public_blob.b, sizeof(key.pk));
	if (sp_age_recipient_text(&key, text) != SP_OK)
		text[0] = '\0';
	o = json_pack("{s:s, s:o}", "recipient", text, "since", api_at(k->rotated_us));
	api_department_name(s, department, o);
	return o;
}

static void
setting_made(struct api_call *c, struct sp_store *s)
{
	const Sallyport__SecretReply *r = (Sallyport__SecretReply *)c->reply;
	struct setting *k = c->state;
	char key[64], id[SP_UUID_SIZE];

	if (c->reply_id != SP_MSG_SECRET_REPLY || r->err != SP_OK || r->envelope.len == 0 || r->envelope.len > sizeof(k->row.ciphertext.b) ||
	    r->public_key.len > sizeof(k->row.public_blob.b)) {
		(void)api_fail(c, c->reply_id == SP_MSG_SECRET_REPLY && r->err != SP_OK ? (enum sp_err)r->err : SP_EINTERNAL,
		    "the vault makes no key: %s", c->reply_id == SP_MSG_SECRET_REPLY ? r->text : "");
		return;
	}
	memcpy(k->row.ciphertext.b, r->envelope.data, r->envelope.len);
	k->row.ciphertext.len = (uint32_t)r->envelope.len;
	memcpy(k->row.public_blob.b, r->public_key.data, r->public_key.len);
	k->row.public_blob.len = (uint32_t)r->public_key.len;
	k->row.term = r->term;
	k->row.rotated_us = sp_wall_us();
	recvault_key(&k->department, key);
	if (api_store(c, sp_store_secret_add(s, &k->row), "the key") != SP_OK ||
	    api_store(c, sp_store_setting_set(s, key, sp_uuid_text(&k->row.id, id)), "the setting") != SP_OK)
		return;
	c->object = k->row.id;
	c->out = setting_json(s, &k->department, &k->row);
	api_more(c, "recipient", json_incref(json_object_get(c->out, "recipient")));
}

void
recording_vault_set(struct api_call *c, struct sp_store *s)
{
	Sallyport__RecordKey m = SALLYPORT__RECORD_KEY__INIT;
	struct setting *k = c->state = calloc(1, sizeof(*k));
	char id[SP_UUID_SIZE];

	if (k == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	if (setting_department(c, s, &k->department) != SP_OK)
		return;
	if (recvault_get(s, &k->department, &k->row) == SP_OK) {
		(void)api_fail(c, SP_EEXIST, "the vault opens recordings of that department already");
		return;
	}
	k->row = (struct sp_store_secret){ .kind = SP_STORE_SECRET_RECORDING, .secret_version = 1 };
	sp_uuid_make(&k->row.id);
	(void)sp_snprintf(k->row.name, sizeof(k->row.name), "recordings-%s", sp_uuid_text(&k->row.id, id));
	m.secret_id = ctl_uuid_bytes(&k->row.id);
	m.version = 1;
	api_ask(c, SP_MSG_RECORD_KEY, &m, 0, setting_made);
}

/* The key stays as a row, for whoever has to put the setting back; without the setting it opens nothing. */
void
recording_vault_remove(struct api_call *c, struct sp_store *s)
{
	sp_auto(sp_freep) struct sp_store_secret *k = malloc(sizeof(*k));
	struct sp_uuid department;
	char key[64];

	if (k == NULL || setting_department(c, s, &department) != SP_OK)
		return;
	if (recvault_get(s, &department, k) == SP_ENOENT) {
		(void)api_fail(c, SP_ENOENT, "the vault opens no recordings of that department by a setting of its own");
		return;
	}
	recvault_key(&department, key);
	if (api_store(c, sp_store_setting_set(s, key, ""), "the setting") == SP_OK)
		c->out = json_pack("{s:s}", "of", c->what);
}

struct ids {
	json_t	*v;
	size_t	 seen;
};

static int
ids_row(const struct sp_store_department *d, void *arg)
{
	struct ids *k = arg;

	k->seen++;
	json_array_append_new(k->v, api_id(&d->id));
	return 0;
}

void
recording_vault_list(struct api_call *c, struct sp_store *s)
{
	sp_auto(sp_freep) struct sp_store_secret *k = malloc(sizeof(*k));
	struct ids ids = { .v = json_array() };
	struct sp_store_query q = { .checked = 0 };
	struct sp_uuid u = { 0 };
	json_t *id;
	size_t i;
	enum sp_err r;

	c->out = json_array();
	do {
		ids.seen = 0;
		r = sp_store_department_list(s, &q, ids_row, &ids);
		q.offset += SP_STORE_PAGE_MAX;
	} while (r == SP_OK && ids.seen == SP_STORE_PAGE_MAX && json_array_size(ids.v) < API_ROWS_MAX);
	if (k != NULL && recvault_get(s, &u, k) == SP_OK)
		json_array_append_new(c->out, setting_json(s, &u, k));
	json_array_foreach(ids.v, i, id)
		if (k != NULL && sp_uuid_parse(json_string_value(id), &u) == SP_OK && recvault_get(s, &u, k) == SP_OK)
			json_array_append_new(c->out, setting_json(s, &u, k));
	json_decref(ids.v);
	(void)api_store(c, r, "departments");
}

/* ---- unwrap ---- */

static enum sp_err
unwrap_permitted(struct api_call *c, struct sp_store *s)
{
	char key[SP_STORE_LOGIN_MAX + 16], value[16] = "";

	(void)sp_snprintf(key, sizeof(key), MAY_REPLAY "%s", c->caller.login);
	if (c->local_root || (sp_store_setting_get(s, key, value, sizeof(value)) == SP_OK && strcmp(value, "yes") == 0))
		return SP_OK;
	return api_fail(c, SP_EACCES, "you do not have the permission to replay recordings without a key: use --key, or root gives it with "
	    "'sallyport settings set " MAY_REPLAY "%s yes'", c->caller.login);
}

static enum sp_err
unwrap_intent(struct api_call *c, int64_t segment, const struct sp_uuid *key)
{
	json_t *more = json_pack("{s:I}", "segment", (json_int_t)segment);
	struct audit_entry e = { .kind = "recording.unwrap", .actor = api_actor(c), .result = "ok", .source = c->source, .session = &c->session,
	    .user = &c->user, .asset = &c->asset, .object = key, .more = more };
	enum sp_err r = audit_append_wait(c->ctl->audit, &e);

	json_decref(more);
	return r == SP_OK ? SP_OK : api_fail(c, r, "the audit log does not take the entry");
}

static void
unwrap_done(struct api_call *c, struct sp_store *s)
{
	const Sallyport__SecretReply *r = (Sallyport__SecretReply *)c->reply;

	(void)s;
	if (c->reply_id != SP_MSG_SECRET_REPLY || r->err != SP_OK) {
		(void)api_fail(c, c->reply_id == SP_MSG_SECRET_REPLY ? (enum sp_err)r->err : SP_EINTERNAL, "the vault does not open it: %s",
		    c->reply_id == SP_MSG_SECRET_REPLY ? r->text : "");
		return;
	}
	c->out = json_pack("{s:o}", "sealed", api_base64(r->envelope.data, r->envelope.len));
}

/* By the department that the asset is of now. */
static enum sp_err
unwrap_key(struct api_call *c, struct sp_store *s, const struct sp_store_session *row, struct sp_store_secret *k)
{
	struct sp_store_asset a;
	struct sp_uuid department = { 0 };
	enum sp_err r = sp_store_asset_get(s, &row->asset_id, &a);

	if (r == SP_OK)
		department = a.department_id;
	if ((r == SP_OK || r == SP_ENOENT) && (r = recvault_of(s, &department, k)) == SP_ENOENT)
		return api_fail(c, r, "nobody here can open it: name your private key with --key FILE (for a department, 'recording vault set' changes that)");
	return api_store(c, r, "the vault's key for recordings");
}

void
recording_unwrap(struct api_call *c, struct sp_store *s)
{
	sp_auto(sp_freep) struct sp_store_secret *k = malloc(sizeof(*k));
	sp_auto(sp_buf_release) struct sp_buf header = { .max = SP_AGE_HEADER_MAX }, client = { .max = 64 };
	Sallyport__RecordUnwrap m = SALLYPORT__RECORD_UNWRAP__INIT;
	struct sp_store_session row;
	int64_t segment = 1;

	if (k == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	if (session_named(c, s, &row) != SP_OK || api_int(c, "segment", 1, SP_REC_SEGMENTS_MAX, &segment) != SP_OK ||
	    api_bytes(c, c->params, "client_key", 1, &client) != SP_OK || unwrap_key(c, s, &row, k) != SP_OK || unwrap_permitted(c, s) != SP_OK ||
	    recording_first_header(c, s, &row.id, segment, &header) != SP_OK || unwrap_intent(c, segment, &k->id) != SP_OK)
		return;
	c->object = k->id;
	m.secret_id = ctl_uuid_bytes(&k->id);
	m.version = (uint32_t)k->secret_version;
	m.envelope = ctl_bytes(k->ciphertext.b, k->ciphertext.len);
	m.header = ctl_bytes(header.p, header.len);
	m.client_key = ctl_bytes(client.p, client.len);
	api_ask(c, SP_MSG_RECORD_UNWRAP, &m, 0, unwrap_done);
}
