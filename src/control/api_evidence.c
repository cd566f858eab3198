/* src/control/api_evidence.c - calls about the audit log as evidence: its head, a new origin. Process: control. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "control/audit.h"
#include "control/loghead.h"
#include "control/logtree.h"
#include "control/methods.h"
#include "control/witness.h"
#include "common/logdir.h"

#define BRIDGES_MAX	64

/* Signed notes that lead from one origin to the next. */
static json_t *
bridges(const struct api_call *c)
{
	int fd = openat(audit_dirfd(c->ctl->audit), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd != -1 ? fdopendir(fd) : NULL;
	json_t *a = json_array();
	struct dirent *de;

	if (d == NULL) {
		sp_closep(&fd);
		return a;
	}
	while ((de = readdir(d)) != NULL && json_array_size(a) < BRIDGES_MAX) {
		sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_NOTE_MAX + 1 };

		if (strncmp(de->d_name, "bridge-", 7) == 0 && logdir_file(audit_dirfd(c->ctl->audit), de->d_name, SP_NOTE_MAX, &b) == SP_OK)
			json_array_append_new(a, json_stringn((const char *)b.p, b.len));
	}
	closedir(d);
	return a;
}

/* ---- evidence.head: the signed head, and that it grew out of an earlier one ---- */

void
evidence_head(struct api_call *c, struct sp_store *s)
{
	struct tree *t = audit_tree(c->ctl->audit);
	sp_auto(sp_buf_release) struct sp_buf note = { .max = SP_NOTE_MAX };
	struct sp_checkpoint at;
	struct sp_tlog_proof proof;
	struct logdir d;
	int64_t from = 0;
	enum sp_err r;
	json_t *p;

	(void)s;
	if (api_int(c, "from", 0, INT64_MAX, &from) != SP_OK)
		return;
	if (!tree_signed(t, &at, &note)) {
		(void)api_fail(c, SP_ENOENT, "no head of the audit log is signed yet: unseal the vault");
		return;
	}
	if ((uint64_t)from > at.size) {
		(void)api_fail(c, SP_ESTATE, "the log has %llu signed entries, fewer than that", (unsigned long long)at.size);
		return;
	}
	c->out = json_pack("{s:s#, s:s, s:I, s:o}", "checkpoint", (const char *)note.p, (int)note.len, "origin", at.origin, "size",
	    (json_int_t)at.size, "bridges", bridges(c));
	if (from == 0 || (uint64_t)from == at.size)
		return;
	logdir_init(&d, audit_dirfd(c->ctl->audit), at.size);
	r = sp_tlog_prove_growth((uint64_t)from, at.size, logdir_node, &d, &proof);
	logdir_release(&d);
	if (r != SP_OK) {
		(void)api_fail(c, r, "the tiles do not prove it: %s", sp_err_text(r));
		return;
	}
	p = json_array();
	for (size_t i = 0; i < proof.n; i++)
		json_array_append_new(p, api_base64(proof.h[i].b, SP_TLOG_HASH));
	json_object_set_new(c->out, "proof", p);
}

void
evidence_head_loop(struct api_call *c)
{
	json_t *o = loghead_json(c->ctl);

	if (c->out != NULL)
		json_object_update_missing(c->out, o);
	json_decref(o);
}

/* ---- evidence.status ---- */

void
evidence_status_loop(struct api_call *c)
{
	char dir[512];

	c->out = loghead_json(c->ctl);
	if (c->out != NULL && sp_snprintf(dir, sizeof(dir), "%s/audit", c->ctl->child.conf.state_dir) == 0)
		json_object_set_new(c->out, "directory", json_string(dir));
}

/* ---- evidence.new_origin ---- */

void
evidence_new_origin(struct api_call *c, struct sp_store *s)
{
	char reason[256] = "";

	(void)s;
	if (api_str(c, "reason", 1, reason, sizeof(reason)) == SP_OK)
		api_more(c, "reason", json_string(reason));
}

void
evidence_new_origin_loop(struct api_call *c)
{
	enum sp_err r = loghead_new_origin(c->ctl, api_text(c, "reason"));

	if (r == SP_ESTATE)
		(void)api_fail(c, r, "the audit log itself is damaged: move its directory away first, then start Sallyport");
	else if (r != SP_OK)
		(void)api_fail(c, r, "the ceremony cannot be written down: %s", sp_err_text(r));
	else
		c->out = loghead_json(c->ctl);
}

/* ---- evidence.cosign, evidence.witness.*: who keeps heads elsewhere ---- */

static const char *
witness_text(enum sp_err r)
{
	static const struct { enum sp_err err; const char *text; } texts[] = {
		{ SP_EAUTH, "its signatures are not right: it is no head of this log, or another one cosigned it" },
		{ SP_ESTATE, "this witness has cosigned a longer log already" },
		{ SP_ENOENT, "no witness of that name or key: 'sallyport evidence witness-add KEY'" },
		{ SP_EEXIST, "there is a witness of that name or key already" },
		{ SP_EFULL, "there are too many witnesses" },
		{ SP_EFORMAT, "that is not the key of a witness, or not a cosigned head" },
	};

	for (size_t i = 0; i < SP_NELEMS(texts); i++)
		if (texts[i].err == r)
			return texts[i].text;
	return sp_err_text(r);
}

void
evidence_cosign(struct api_call *c, struct sp_store *s)
{
	sp_auto(sp_buf_release) struct sp_buf key_text = { .max = SP_NOTE_VKEY_SIZE + 2 };
	sp_auto(sp_buf_release) struct sp_buf note = { .max = SP_NOTE_MAX };
	struct sp_note_key key;
	enum sp_err r;

	(void)s;
	if (api_bytes(c, c->params, "note", 1, &note) != SP_OK)
		return;
	r = logdir_file(audit_dirfd(c->ctl->audit), "key", SP_NOTE_VKEY_SIZE, &key_text);
	if (r == SP_OK)
		r = sp_note_key_parse(sp_buf_cstr(&key_text), strcspn(sp_buf_cstr(&key_text), "\n"), &key);
	if (r == SP_OK)
		r = witness_take(c->ctl, (struct sp_view){ note.p, note.len }, &key);
	if (r != SP_OK)
		(void)api_fail(c, r, "%s", witness_text(r));
	else
		c->out = json_object();
}

void
evidence_witness_add(struct api_call *c, struct sp_store *s)
{
	char key[SP_NOTE_VKEY_SIZE] = "";
	enum sp_err r;

	(void)s;
	if (api_str(c, "key", 1, key, sizeof(key)) != SP_OK)
		return;
	api_more(c, "witness", json_string(key));
	if ((r = witness_add(c->ctl, key)) != SP_OK)
		(void)api_fail(c, r, "%s", witness_text(r));
	else
		c->out = json_pack("{s:s}", "key", key);
}

void
evidence_witness_remove(struct api_call *c, struct sp_store *s)
{
	char name[SP_NOTE_NAME_MAX + 1] = "";
	enum sp_err r;

	(void)s;
	if (api_str(c, "name", 1, name, sizeof(name)) != SP_OK)
		return;
	api_more(c, "witness", json_string(name));
	if ((r = witness_remove(c->ctl, name)) != SP_OK)
		(void)api_fail(c, r, "%s", witness_text(r));
	else
		c->out = json_pack("{s:s}", "name", name);
}
