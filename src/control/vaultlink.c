/* src/control/vaultlink.c - what control knows of the vault: its state, and the re-wrapping of secrets after a rotation.
 * Process: control, event loop. Control carries sealed bytes only: nothing here can be read by it. */
#include "control/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

static void
vault_state(struct ctl *c, const Sallyport__VaultState *s)
{
	struct vault_view *v = &c->vault_view;
	int was_sealed = !v->known || v->sealed, changed = !v->known || v->sealed != (int)s->sealed || v->term != s->term;

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
		audit_append(c->audit, &e, NULL, NULL);
		sp_info("vault %s", !v->initialised ? "not initialised" : v->sealed ? "sealed" : "unsealed");
	}
	if (was_sealed && !v->sealed)
		vaultlink_rewrap(c);	/* a rotation may have been interrupted */
}

static void
vault_on_msg(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct ctl *c = arg;

	(void)chan;
	switch (m->id) {
	case SP_MSG_VAULT_STATE: {
		int fresh = !ctl_link_is_ready(c->vault);

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

/* ---- re-wrapping: collect ids of older terms (reader), then one after another: read, ask the vault, write ---- */

struct rewrap {
	struct ctl_job			 job;
	struct ctl			*ctl;
	uint32_t			 term;
	struct sp_uuid			*ids;
	size_t				 n, cap, at;
	int				 no_memory;
	struct sp_store_secret		 row;
};

static void rewrap_next(struct rewrap *w);

static int
rewrap_collect(const struct sp_store_secret *s, void *arg)
{
	struct rewrap *w = arg;

	if (s->term == (int64_t)w->term)
		return 0;
	if (w->n == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 64;
		struct sp_uuid *p = realloc(w->ids, cap * sizeof(*p));

		if (p == NULL) {
			w->no_memory = 1;
			return 1;
		}
		w->ids = p;
		w->cap = cap;
	}
	w->ids[w->n++] = s->id;
	return 0;
}

static void
rewrap_list_work(struct ctl_job *j, struct sp_store *s)
{
	struct rewrap *w = sp_container(j, struct rewrap, job);
	struct sp_store_query q = { .limit = SP_STORE_PAGE_MAX };
	size_t before;

	/* Pages by offset: rows that come meanwhile are of the newest term already. */
	do {
		before = w->n;
		j->err = sp_store_secret_list(s, &q, rewrap_collect, w);
		q.offset += SP_STORE_PAGE_MAX;
	} while (j->err == SP_OK && w->n - before == SP_STORE_PAGE_MAX && !w->no_memory);
}

static void
rewrap_end(struct rewrap *w, const char *why)
{
	struct vault_view *v = &w->ctl->vault_view;

	v->rewrap_running = 0;
	if (v->rewrap_total > 0) {
		json_t *more = json_pack("{s:I, s:I, s:I}", "done", (json_int_t)v->rewrap_done, "total",
		    (json_int_t)v->rewrap_total, "failed", (json_int_t)v->rewrap_failed);
		struct audit_entry e = { .kind = "vault.rewrapped", .actor = "system", .text = why, .more = more,
		    .result = v->rewrap_done == v->rewrap_total ? "ok" : "failed" };

		audit_append(w->ctl->audit, &e, NULL, NULL);
		json_decref(more);
	}
	free(w->ids);
	free(w);
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
	w->at++;
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
		w->at++;
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

	j->err = sp_store_secret_get(s, &w->ids[w->at], &w->row);
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
		w->at++;
		rewrap_next(w);
		return;
	}
	q.secret_id = ctl_uuid_bytes(&w->row.id);
	q.version = (uint32_t)w->row.secret_version;
	q.envelope = ctl_bytes(w->row.ciphertext.b, w->row.ciphertext.len);
	ctl_link_ask(w->ctl->vault, SP_MSG_SECRET_REWRAP, &q, 1, 30 * SP_US_PER_S, rewrap_answer, w);
}

static void
rewrap_next(struct rewrap *w)
{
	if (w->at == w->n || w->ctl->stopping) {
		rewrap_end(w, w->at == w->n ? NULL : "stopped");
		return;
	}
	w->job.work = rewrap_read_work;
	w->job.done = rewrap_read_done;
	ctl_job_run(w->ctl, CTL_READ, &w->job);
}

static void
rewrap_list_done(struct ctl_job *j)
{
	struct rewrap *w = sp_container(j, struct rewrap, job);

	w->ctl->vault_view.rewrap_total = w->n;
	w->ctl->vault_view.rewrap_done = w->ctl->vault_view.rewrap_failed = 0;
	if (j->err != SP_OK || w->no_memory) {
		sp_error("secrets could not be listed for re-wrapping: %s", sp_err_text(j->err));
		rewrap_end(w, "the list of secrets could not be read");
		return;
	}
	rewrap_next(w);
}

void
vaultlink_rewrap(struct ctl *c)
{
	struct rewrap *w;

	if (c->vault_view.rewrap_running || !c->vault_view.known || c->vault_view.sealed || (w = calloc(1, sizeof(*w))) == NULL)
		return;
	w->ctl = c;
	w->term = c->vault_view.term;
	w->job.work = rewrap_list_work;
	w->job.done = rewrap_list_done;
	c->vault_view.rewrap_running = 1;
	ctl_job_run(c, CTL_READ, &w->job);
}
