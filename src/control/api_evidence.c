/* src/control/api_evidence.c - calls about the audit log as evidence: its head, a new origin. Process: control. */
#include <string.h>

#include "control/audit.h"
#include "control/loghead.h"
#include "control/logtree.h"
#include "control/methods.h"
#include "common/logdir.h"

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
	c->out = json_pack("{s:s#, s:s, s:I}", "checkpoint", (const char *)note.p, (int)note.len, "origin", at.origin, "size", (json_int_t)at.size);
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
	c->out = loghead_json(c->ctl);
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
