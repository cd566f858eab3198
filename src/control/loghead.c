/* src/control/loghead.c - see loghead.h. */
#include "control/loghead.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "common/logdir.h"
#include "control/logtree.h"
#include "control/witness.h"

#define ASK_WAIT_US	(20 * SP_US_PER_S)
#define AGAIN_US	(2 * SP_US_PER_S)	/* after the vault did not sign for a reason of its own */
#define SIGNED_US	(100 * SP_US_PER_MS)	/* between two signatures, whatever goes wrong */
#define FILE_MAX	4096
#define F_ORIGIN	"origin"
#define F_KEY		"key"
#define F_BRIDGE	"bridge"
#define F_RESTORED	"restored"

struct loghead {
	char		origin[SP_NOTE_NAME_MAX + 1];
	char		key[SP_NOTE_VKEY_SIZE];
	char		reason[256];		/* of a bridge */
	int		is_bridge, is_restored, is_asking;
	uint64_t	again_us;
	uint64_t	behind_us;		/* since when entries wait for a signature; 0: none do */
	int64_t		signed_wall_us;
	_Atomic int	is_contained;
	char		text[512];		/* set before is_contained, never changed after it */
};

/* ---- files ---- */

/* One line (or two) of a small file, without the last newline; "" when there is none. */
static void
file_read(const struct ctl *c, const char *name, char *dst, size_t size)
{
	struct sp_buf b;

	sp_buf_init(&b, FILE_MAX);
	dst[0] = '\0';
	if (logdir_file(audit_dirfd(c->audit), name, size - 1, &b) == SP_OK && b.len > 0) {
		memcpy(dst, b.p, b.len);
		dst[b.len] = '\0';
		if (dst[b.len - 1] == '\n')
			dst[b.len - 1] = '\0';
	}
	sp_buf_release(&b);
}

static enum sp_err
file_write(const struct ctl *c, const char *name, const char *text)
{
	char line[FILE_MAX];

	if (sp_snprintf(line, sizeof(line), "%s\n", text) != 0)
		return SP_ESIZE;
	return tree_put_file(audit_dirfd(c->audit), name, line, strlen(line));
}

static void
origin_make(char ret[SP_NOTE_NAME_MAX + 1])
{
	uint8_t b[8];
	char hex[17];

	randombytes_buf(b, sizeof(b));
	sp_hex(b, sizeof(b), hex);
	sp_snprintf(ret, SP_NOTE_NAME_MAX + 1, "sallyport.log/%s", hex);
}

/* ---- containment ---- */

const char *
loghead_contained(const struct ctl *c)
{
	return atomic_load(&c->loghead->is_contained) ? c->loghead->text : NULL;
}

int
loghead_allows(const char *method)
{
	static const char *const may[] = { "session.kill", "session.message", "vault.unseal", "vault.seal", "evidence.new_origin" };

	for (size_t i = 0; i < SP_NELEMS(may); i++)
		if (strcmp(may[i], method) == 0)
			return 1;
	return 0;
}

static void
contain(struct ctl *c, const char *why, const char *what_to_do)
{
	struct loghead *h = c->loghead;
	struct audit_entry e = { .kind = "log.contained", .actor = "system", .result = "failed", .text = why };

	if (loghead_contained(c) != NULL)
		return;
	sp_snprintf(h->text, sizeof(h->text), "The audit log is not what was signed: no new sessions and no changes, until an administrator "
	    "has looked at it. %s. %s", why, what_to_do);
	atomic_store(&h->is_contained, 1);
	sp_error("%s", h->text);
	audit_append(c->audit, &e, NULL, NULL);
}

/* ---- asking for a signature ---- */

static void
signed_bridge(struct ctl *c, const Sallyport__CheckpointReply *r)
{
	struct loghead *h = c->loghead;
	char name[64], note[4096];
	json_t *more;
	struct audit_entry e = { .kind = "log.bridge", .actor = "system", .result = "ok", .text = h->reason };

	if (r->bridge.len >= sizeof(note))
		return;
	memcpy(note, r->bridge.data, r->bridge.len);
	note[r->bridge.len] = '\0';
	sp_snprintf(name, sizeof(name), "bridge-%s.note", strrchr(h->origin, '/') != NULL ? strrchr(h->origin, '/') + 1 : "0");
	if (tree_put_file(audit_dirfd(c->audit), name, r->bridge.data, r->bridge.len) != SP_OK || file_write(c, F_ORIGIN, h->origin) != SP_OK ||
	    (unlinkat(audit_dirfd(c->audit), F_RESTORED, 0) == -1 && errno != ENOENT) ||
	    (unlinkat(audit_dirfd(c->audit), F_BRIDGE, 0) == -1 && errno != ENOENT))
		sp_error("the bridge to the log's new origin could not be written in full: it is made once more after a restart");
	h->is_bridge = h->is_restored = 0;
	more = json_pack("{s:s, s:s}", "note", note, "origin", h->origin);
	e.more = more;
	audit_append(c->audit, &e, NULL, NULL);
	json_decref(more);
	if (audit_damage(c->audit) == NULL)
		atomic_store(&h->is_contained, 0);	/* its text stays: a worker may be reading it */
	sp_info("the audit log goes on as %s", h->origin);
}

static void
on_signed(struct ctl *c, const Sallyport__CheckpointReply *r)
{
	struct loghead *h = c->loghead;

	if (r->bridge.len > 0)
		signed_bridge(c, r);
	if (strcmp(h->key, r->vkey) != 0) {
		(void)sp_strlcpy(h->key, r->vkey, sizeof(h->key));
		if (file_write(c, F_KEY, h->key) != SP_OK)
			sp_warn("the log's public key could not be written to its directory");
	}
	h->signed_wall_us = sp_wall_us();
	h->again_us = sp_now_us() + SIGNED_US;
	if (tree_put_signed(audit_tree(c->audit), (struct sp_view){ r->note.data, r->note.len }) != SP_OK)
		sp_error("a signed head is lost: out of memory");
}

static void
on_refused(struct ctl *c, const Sallyport__CheckpointReply *r)
{
	static const char moved[] = "Stop Sallyport, keep a copy of the audit directory as it is, and put the right one back; or, if it cannot "
	    "be had any more: 'sallyport evidence new-origin --reason TEXT'";
	struct loghead *h = c->loghead;
	char why[300];

	switch (r->err) {
	case SP_EAGAIN:
		tree_prove_from(audit_tree(c->audit), r->size);
		return;
	case SP_ESTATE:
		if (r->size < audit_next(c->audit)) {
			tree_prove_from(audit_tree(c->audit), r->size);	/* the tree is still catching up with the log */
			return;
		}
		sp_snprintf(why, sizeof(why), "It ends with entry %" PRIu64 ", but the vault signed %" PRIu64 " entries of it",
		    audit_next(c->audit) - 1, r->size);
		contain(c, why, moved);
		return;
	case SP_EAUTH:
		sp_snprintf(why, sizeof(why), "The vault signed another history: %.150s", r->text);
		contain(c, why, moved);
		return;
	case SP_EPEER:
		sp_snprintf(why, sizeof(why), "The vault signs the log %.100s, this one is %.100s", r->origin, h->origin);
		contain(c, why, moved);
		return;
	default:
		if (r->err != SP_ESEALED)
			sp_warn("the vault signs no head of the audit log: %.200s", r->text);
		h->again_us = sp_now_us() + AGAIN_US;
	}
}

static void
on_answer(void *arg, enum sp_err err, struct sp_msg *m)
{
	struct ctl *c = arg;
	struct loghead *h = c->loghead;
	const Sallyport__CheckpointReply *r = m != NULL && m->id == SP_MSG_CHECKPOINT_REPLY ? (Sallyport__CheckpointReply *)m->body : NULL;

	h->is_asking = 0;
	if (err != SP_OK || r == NULL)
		h->again_us = sp_now_us() + AGAIN_US;
	else if (r->err != SP_OK)
		on_refused(c, r);
	else
		on_signed(c, r);
}

/* Is there a head to be signed? Fills *ret. */
static int
is_wanted(struct ctl *c, struct tree_head *ret)
{
	const struct loghead *h = c->loghead;
	struct sp_checkpoint s;

	if (!tree_head(audit_tree(c->audit), ret) || ret->size == 0 || (h->is_restored && !h->is_bridge))
		return 0;
	return h->is_bridge || !tree_signed(audit_tree(c->audit), &s, NULL) || ret->size > s.size;
}

static void
ask(struct ctl *c)
{
	struct loghead *h = c->loghead;
	Sallyport__CheckpointSign q = SALLYPORT__CHECKPOINT_SIGN__INIT;
	ProtobufCBinaryData proof[SP_TLOG_PROOF_MAX];
	struct sp_buf previous;
	struct tree_head head;

	if (h->is_asking || c->stopping || !c->vault_view.known || c->vault_view.sealed || !c->vault_view.initialised ||
	    (loghead_contained(c) != NULL && !h->is_bridge) || sp_now_us() < h->again_us || !is_wanted(c, &head))
		return;
	sp_buf_init(&previous, SP_NOTE_MAX);
	(void)tree_signed(audit_tree(c->audit), NULL, &previous);
	q.origin = h->origin;
	q.size = head.size;
	q.root = ctl_bytes(head.root.b, sizeof(head.root.b));
	q.from = head.from;
	for (size_t i = 0; i < head.proof.n; i++)
		proof[i] = ctl_bytes(head.proof.h[i].b, SP_TLOG_HASH);
	q.n_proof = head.proof.n;
	q.proof = proof;
	q.previous = ctl_bytes(previous.p, previous.len);
	q.bridge = h->is_bridge;
	q.reason = h->reason;
	h->is_asking = 1;
	ctl_link_ask(c->vault, SP_MSG_CHECKPOINT_SIGN, &q, 0, ASK_WAIT_US, on_answer, c);
	sp_buf_release(&previous);
}

void
loghead_grown(void *arg)
{
	ask(arg);
}

void
loghead_tick(struct ctl *c, uint64_t now_us)
{
	struct loghead *h = c->loghead;
	struct tree_head head;

	if (!is_wanted(c, &head))
		h->behind_us = 0;
	else if (h->behind_us == 0)
		h->behind_us = now_us;
	if (h->behind_us != 0)
		ask(c);
	witness_tick(c, now_us);
}

/* ---- a new origin ---- */

enum sp_err
loghead_new_origin(struct ctl *c, const char *reason)
{
	struct loghead *h = c->loghead;
	char origin[SP_NOTE_NAME_MAX + 1], text[600];
	enum sp_err r;

	if (audit_tree(c->audit) == NULL)
		return SP_ESTATE;
	origin_make(origin);
	sp_escape(reason, strlen(reason), h->reason, sizeof(h->reason));
	sp_snprintf(text, sizeof(text), "%s\n%s", origin, h->reason);
	if ((r = file_write(c, F_BRIDGE, text)) != SP_OK)
		return r;
	(void)sp_strlcpy(h->origin, origin, sizeof(h->origin));
	h->is_bridge = 1;
	h->again_us = 0;
	ask(c);
	return SP_OK;
}

int
loghead_is_restored(const struct ctl *c)
{
	return c->loghead->is_restored;
}

/* ---- start ---- */

enum sp_err
loghead_new(struct ctl *c)
{
	return (c->loghead = calloc(1, sizeof(*c->loghead))) != NULL ? SP_OK : SP_ENOMEM;
}

static void
load_origin(struct ctl *c)
{
	struct loghead *h = c->loghead;
	struct sp_checkpoint s;
	char text[600], *nl;

	file_read(c, F_BRIDGE, text, sizeof(text));
	if ((nl = strchr(text, '\n')) != NULL) {
		*nl = '\0';
		(void)sp_strlcpy(h->reason, nl + 1, sizeof(h->reason));
		(void)sp_strlcpy(h->origin, text, sizeof(h->origin));
		h->is_bridge = sp_note_name_ok(h->origin);
	}
	if (!h->is_bridge)
		file_read(c, F_ORIGIN, h->origin, sizeof(h->origin));
	if (!h->is_bridge && !sp_note_name_ok(h->origin)) {
		if (tree_signed(audit_tree(c->audit), &s, NULL))
			(void)sp_strlcpy(h->origin, s.origin, sizeof(h->origin));
		else
			origin_make(h->origin);
		if (file_write(c, F_ORIGIN, h->origin) != SP_OK)
			sp_die(74, "the origin of the audit log cannot be written");
	}
}

void
loghead_start(struct ctl *c)
{
	struct loghead *h = c->loghead;

	if (audit_damage(c->audit) != NULL) {
		contain(c, audit_damage(c->audit), "Stop Sallyport and keep a copy of the audit directory as it is. Then put back the log from a "
		    "backup ('sallyport restore'); or move the directory away and start: the vault then asks for "
		    "'sallyport evidence new-origin --reason TEXT'");
		return;
	}
	h->is_restored = faccessat(audit_dirfd(c->audit), F_RESTORED, F_OK, 0) == 0;
	load_origin(c);
	witness_load(c);
	file_read(c, F_KEY, h->key, sizeof(h->key));
}

void
loghead_free(struct ctl *c)
{
	witness_free(c);
	free(c->loghead);
	c->loghead = NULL;
}

json_t *
loghead_json(struct ctl *c)
{
	struct loghead *h = c->loghead;
	json_t *o = json_pack("{s:s, s:I, s:b}", "origin", h->origin, "entries", (json_int_t)(audit_next(c->audit) - 1), "contained",
	    loghead_contained(c) != NULL);
	struct sp_checkpoint s;
	char at[SP_RFC3339_SIZE];

	if (*h->key)
		json_object_set_new(o, "key", json_string(h->key));
	if (tree_signed(audit_tree(c->audit), &s, NULL))
		json_object_set_new(o, "signed", json_integer((json_int_t)s.size));
	if (h->signed_wall_us != 0)
		json_object_set_new(o, "signed_at", json_string(sp_rfc3339(h->signed_wall_us, at, sizeof(at))));
	json_object_set_new(o, "witnesses", witness_json(c));
	if (h->behind_us != 0)
		json_object_set_new(o, "behind_s", json_integer((json_int_t)((sp_now_us() - h->behind_us) / SP_US_PER_S)));
	if (h->is_restored)
		json_object_set_new(o, "restored", json_true());
	if (loghead_contained(c) != NULL)
		json_object_set_new(o, "text", json_string(loghead_contained(c)));
	return o;
}
