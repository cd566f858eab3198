/* src/control/vaultlink.c - what control knows of the vault: its state, and the re-wrapping of secrets after a rotation.
 * Process: control, event loop. Control carries sealed bytes only: nothing here can be read by it. */
#include "control/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/mfa.h"
#include "control/quarantine.h"
#include "control/rowkey.h"
#include "control/snapshot.h"

static void
vault_state(struct ctl *c, const Sallyport__VaultState *s)
{
	struct vault_view *v = &c->vault_view;
	int changed = !v->known || v->sealed != (int)s->sealed || v->term != s->term;

	if (s->boot.len > sizeof(v->boot) || s->public_key.len > sizeof(v->public_key)) {
		sp_error("the vault's state does not fit");
		return;
	}
	v->known = 1;
	v->initialised = s->initialised;
	v->sealed = s->sealed;
	v->term = s->term;
	memcpy(v->boot, s->boot.data, v->boot_len = s->boot.len);
	memcpy(v->public_key, s->public_key.data, v->public_key_len = s->public_key.len);
	(void)sp_strlcpy(v->text, s->text, sizeof(v->text));
	v->slots_n = 0;
	for (size_t i = 0; i < s->n_slots && v->slots_n < SP_NELEMS(v->slots); i++)
		(void)sp_strlcpy(v->slots[v->slots_n++], s->slots[i], sizeof(v->slots[0]));
	if (changed) {
		char term[32];
		struct audit_entry e = { .kind = v->sealed ? "vault.sealed" : "vault.unsealed", .actor = "system", .result = "ok",
		    .text = term };

		sp_snprintf(term, sizeof(term), "term %u", v->term);
		if (!boot_vault_was(c, e.kind, term))	/* else only control is new, not the vault's state */
			audit_append(c->audit, &e, NULL, NULL);
		sp_info("vault %s", !v->initialised ? "not initialised" : v->sealed ? "sealed" : "unsealed");
	}
	if (changed && !v->sealed)
		vaultlink_rewrap(c);	/* a rotation, or one that was interrupted */
}

static void
vault_on_msg(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct ctl *c = arg;

	(void)chan;
	switch (m->id) {
	case SP_MSG_VAULT_STATE: {
		int fresh = !ctl_link_is_ready(c->vault);

		snapshot_key(c, ((Sallyport__VaultState *)m->body)->row_mac_key.data, ((Sallyport__VaultState *)m->body)->row_mac_key.len);
		rowkey_state((Sallyport__VaultState *)m->body);	/* wipes it */
		ctl_lanes_go(c->lanes);
		vault_state(c, (Sallyport__VaultState *)m->body);
		if (fresh) {
			ctl_link_ready(c->vault);
			login_vault_ready(c);
		}
		lease_retry(c);
		break;
	}
	case SP_MSG_PWCHECK_RESULT:
		login_result(c, (Sallyport__PasswordCheckResult *)m->body);
		break;
	case SP_MSG_CODE_RESULT:
		mfa_vault_result(c, (Sallyport__CodeResult *)m->body);
		break;
	default:
		break;		/* an answer that came after its deadline */
	}
}

enum sp_err
vaultlink_new(struct ctl *c)
{
	return ctl_link_new(c, SP_PROC_VAULT, vault_on_msg, &c->vault);
}

void
vaultlink_peer(struct ctl *c, int fd)
{
	c->vault_view.known = 0;
	ctl_link_set(c->vault, fd);	/* ready with its VAULT_STATE */
}

json_t *
vaultlink_json(const struct ctl *c)
{
	const struct vault_view *v = &c->vault_view;
	struct sp_buf b;
	json_t *o = json_pack("{s:b, s:b, s:b, s:I}", "available", v->known, "initialised", v->known && v->initialised,
	    "sealed", !v->known || v->sealed, "term", (json_int_t)v->term), *slots = json_array();

	sp_buf_init(&b, 256);
	if (v->known && sp_base64(&b, v->public_key, v->public_key_len) == SP_OK)
		json_object_set_new(o, "public_key", json_string(sp_buf_cstr(&b)));
	sp_buf_release(&b);
	for (size_t i = 0; i < v->slots_n; i++)
		json_array_append_new(slots, json_string(v->slots[i]));
	json_object_set_new(o, "slots", slots);
	if (*v->text)
		json_object_set_new(o, "text", json_string(v->text));
	if (v->rewrap_total > 0)
		json_object_set_new(o, "rewrap", json_pack("{s:b, s:I, s:I, s:I}", "running", v->rewrap_running, "done",
		    (json_int_t)v->rewrap_done, "total", (json_int_t)v->rewrap_total, "failed", (json_int_t)v->rewrap_failed));
	return o;
}

/* ---- re-wrapping: ids of older terms, a page at a time (reader), then one after another: read, ask the vault, write.
 * What is left is known from the rows alone, so nothing needs to be remembered: a new control, an unseal or a further
 * rotation begins again with whatever an older key still wraps. ---- */

#define REWRAP_PAGE	256
#define REWRAP_AGAIN_US	(600 * SP_US_PER_S)	/* after failures: rows that could not be wrapped */

struct rewrap {
	struct ctl_job			 job;
	struct ctl			*ctl;
	uint32_t			 term;
	uint64_t			 left;		/* counted at the start */
	struct sp_uuid			 after;		/* the last id that was looked at */
	struct sp_uuid			 ids[REWRAP_PAGE];
	size_t				 n, at;
	struct sp_store_secret		 row;
};

static void rewrap_next(struct rewrap *w);

static int
rewrap_take(const struct sp_uuid *id, void *arg)
{
	struct rewrap *w = arg;

	w->ids[w->n++] = *id;
	return w->n == REWRAP_PAGE;
}

static void
rewrap_page_work(struct ctl_job *j, struct sp_store *s)
{
	struct rewrap *w = sp_container(j, struct rewrap, job);

	w->n = w->at = 0;
	j->err = sp_store_secrets_below_term(s, w->term, &w->after, REWRAP_PAGE, rewrap_take, w);
}

struct rewrap_count {
	struct sp_uuid	last;
	uint64_t	n;
};

static int
rewrap_count_one(const struct sp_uuid *id, void *arg)
{
	struct rewrap_count *k = arg;

	k->last = *id;
	k->n++;
	return 0;
}

static void
rewrap_count_work(struct ctl_job *j, struct sp_store *s)
{
	struct rewrap *w = sp_container(j, struct rewrap, job);
	struct rewrap_count k = { 0 };
	uint64_t before;

	do {
		before = k.n;
		j->err = sp_store_secrets_below_term(s, w->term, &k.last, 0, rewrap_count_one, &k);
	} while (j->err == SP_OK && k.n - before == SP_STORE_PAGE_MAX);
	w->left = k.n;
}

static void
rewrap_end(struct rewrap *w, const char *why)
{
	struct ctl *c = w->ctl;
	struct vault_view *v = &c->vault_view;
	int newer = v->known && !v->sealed && v->term > w->term;

	v->rewrap_running = 0;
	if (v->rewrap_total > 0) {
		json_t *more = json_pack("{s:I, s:I, s:I, s:I}", "done", (json_int_t)v->rewrap_done, "total",
		    (json_int_t)v->rewrap_total, "failed", (json_int_t)v->rewrap_failed, "term", (json_int_t)w->term);
		struct audit_entry e = { .kind = "vault.rewrapped", .actor = "system", .text = why, .more = more,
		    .result = why == NULL && v->rewrap_failed == 0 ? "ok" : "failed" };

		audit_append(c->audit, &e, NULL, NULL);
		json_decref(more);
	}
	v->rewrap_again_us = v->rewrap_failed > 0 || why != NULL ? sp_now_us() + REWRAP_AGAIN_US : 0;
	free(w);
	if (newer && !c->stopping)
		vaultlink_rewrap(c);	/* rotated once more meanwhile */
}

static void
rewrap_write_work(struct ctl_job *j, struct sp_store *s)
{
	struct rewrap *w = sp_container(j, struct rewrap, job);

	j->err = sp_store_secret_update(s, &w->row);
}

static void
rewrap_write_done(struct ctl_job *j)
{
	struct rewrap *w = sp_container(j, struct rewrap, job);
	struct vault_view *v = &w->ctl->vault_view;

	if (j->err == SP_OK || j->err == SP_ECONFLICT || j->err == SP_ENOENT)
		v->rewrap_done++;	/* changed or gone meanwhile: whoever did it used the newest key */
	else
		v->rewrap_failed++;
	rewrap_next(w);
}

static void
rewrap_answer(void *arg, enum sp_err err, struct sp_msg *m)
{
	struct rewrap *w = arg;
	const Sallyport__SecretReply *r = m != NULL && m->id == SP_MSG_SECRET_REPLY ? (Sallyport__SecretReply *)m->body : NULL;

	if (err != SP_OK || r == NULL || r->err == SP_ESEALED) {
		rewrap_end(w, "the vault went away or was sealed");	/* begins again at the next unseal */
		return;
	}
	if (r->err != SP_OK || r->envelope.len == 0 || r->envelope.len > sizeof(w->row.ciphertext.b)) {
		w->ctl->vault_view.rewrap_failed++;
		rewrap_next(w);
		return;
	}
	memcpy(w->row.ciphertext.b, r->envelope.data, r->envelope.len);
	w->row.ciphertext.len = (uint32_t)r->envelope.len;
	w->row.term = r->term;
	w->job.work = rewrap_write_work;
	w->job.done = rewrap_write_done;
	ctl_job_run(w->ctl, CTL_WRITE, &w->job);
}

static void
rewrap_read_work(struct ctl_job *j, struct sp_store *s)
{
	struct rewrap *w = sp_container(j, struct rewrap, job);

	j->err = sp_store_secret_get(s, &w->after, &w->row);
}

static void
rewrap_read_done(struct ctl_job *j)
{
	struct rewrap *w = sp_container(j, struct rewrap, job);
	Sallyport__SecretRewrap q = SALLYPORT__SECRET_REWRAP__INIT;

	if (j->err != SP_OK) {
		if (j->err == SP_ENOENT)
			w->ctl->vault_view.rewrap_done++;
		else
			w->ctl->vault_view.rewrap_failed++;
		rewrap_next(w);
		return;
	}
	q.secret_id = ctl_uuid_bytes(&w->row.id);
	q.version = (uint32_t)w->row.secret_version;
	q.envelope = ctl_bytes(w->row.ciphertext.b, w->row.ciphertext.len);
	ctl_link_ask(w->ctl->vault, SP_MSG_SECRET_REWRAP, &q, 1, 30 * SP_US_PER_S, rewrap_answer, w);
}

static void
rewrap_page_done(struct ctl_job *j)
{
	struct rewrap *w = sp_container(j, struct rewrap, job);

	if (j->err != SP_OK)
		rewrap_end(w, "the list of secrets could not be read");
	else if (w->n == 0)
		rewrap_end(w, NULL);
	else
		rewrap_next(w);
}

/* The next of this page, else the next page. */
static void
rewrap_next(struct rewrap *w)
{
	if (w->ctl->stopping || w->ctl->leave_at_us != 0) {
		rewrap_end(w, "stopped");	/* the successor goes on */
		return;
	}
	if (w->at < w->n) {
		w->after = w->ids[w->at++];
		w->job.work = rewrap_read_work;
		w->job.done = rewrap_read_done;
	} else {
		w->job.work = rewrap_page_work;
		w->job.done = rewrap_page_done;
	}
	ctl_job_run(w->ctl, CTL_READ, &w->job);
}

static void
rewrap_count_done(struct ctl_job *j)
{
	struct rewrap *w = sp_container(j, struct rewrap, job);
	struct vault_view *v = &w->ctl->vault_view;

	if (j->err != SP_OK) {
		sp_error("secrets could not be listed for re-wrapping: %s", sp_err_text(j->err));
		rewrap_end(w, "the list of secrets could not be read");
		return;
	}
	if (w->left > 0 || v->rewrap_failed > 0) {	/* else the figures of the last run stay */
		v->rewrap_total = w->left;
		v->rewrap_done = v->rewrap_failed = 0;
	}
	if (w->left > 0) {
		rewrap_next(w);
	} else {
		v->rewrap_running = 0;
		free(w);
	}
}

void
vaultlink_rewrap(struct ctl *c)
{
	struct rewrap *w;

	if (quarantine_is(c) || c->vault_view.rewrap_running || !c->vault_view.known || c->vault_view.sealed || (w = calloc(1, sizeof(*w))) == NULL)
		return;
	w->ctl = c;
	w->term = c->vault_view.term;
	w->job.work = rewrap_count_work;
	w->job.done = rewrap_count_done;
	c->vault_view.rewrap_running = 1;
	ctl_job_run(c, CTL_READ, &w->job);
}

void
vaultlink_tick(struct ctl *c, uint64_t now_us)
{
	struct vault_view *v = &c->vault_view;

	if (v->rewrap_again_us == 0 || now_us < v->rewrap_again_us || v->rewrap_running)
		return;
	v->rewrap_again_us = 0;
	vaultlink_rewrap(c);
}
