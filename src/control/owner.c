/* src/control/owner.c - OWNER_ASK: is the token of a claim on the host that the claimant connected to? And the end of claims
 * that nobody proved in time. Process: control; the store in the writer.
 * The session ran CLAIM_COMMAND over the connection that was dialled to the claimed address, on a channel that no user
 * writes to, recorded like any other. What it printed is compared here. In one transaction, whose commit follows the durable
 * audit entry: the host key of that very connection is pinned, the asset is enabled, the claim is gone.
 * Invariant: of all that a claim asks for, only the asset's state and the host key change here; a wish for an asset group
 * is an administrator's to fulfil, as groups carry grants. */
#include "control/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/claim.h"
#include "control/quarantine.h"
#include "control/wall.h"
#include "crypto/hash.h"
#include "wire/sshkey.h"

#define OWNER_TICK_US	(5 * SP_US_PER_S)
#define OWNER_PAGE	64		/* claims that end in one go */

enum sp_err
owner_keep_key(struct target *t, const struct sp_store_host_key *k)
{
	if (t->shown == NULL && (t->shown = malloc(sizeof(*t->shown))) == NULL)
		return SP_ENOMEM;
	*t->shown = *k;
	return SP_OK;
}

/* ---- the proof ---- */

struct proving {
	struct ctl_job			 job;
	struct conn			*conn;
	struct target			*target;
	uint32_t			 corr;
	int				 logged;
	int32_t				 exit_status;
	size_t				 n;
	char				 output[CLAIM_OUTPUT_MAX];
	struct sp_uuid			 user_id, asset_id;
	char				 login[SP_STORE_LOGIN_MAX + 1];
	char				 peer[SP_NETADDR_SIZE];
	uint16_t			 peer_port;
	struct sp_store_host_key	*shown;		/* borrowed from the target, which lives as long; NULL: pinned */
	const char			*kind;		/* of the audit entry */
	char				 text[400];	/* for the user and the log */
};

static enum sp_err SP_PRINTF(4, 5)
proving_refuse(struct proving *p, enum sp_err e, const char *kind, const char *fmt, ...)
{
	va_list ap;

	p->kind = kind;
	va_start(ap, fmt);
	(void)vsnprintf(p->text, sizeof(p->text), fmt, ap);
	va_end(ap);
	return e;
}

/* Where the connection really went is nobody else's place: a name may lead to an address that is listed by number. */
static enum sp_err
proving_place(struct proving *p, struct sp_store *s, const struct sp_store_asset *a)
{
	struct sp_store_asset other;
	enum sp_err r = sp_store_asset_by_address(s, p->peer, p->peer_port, &other);

	if (r == SP_ECONFLICT || (r == SP_OK && !sp_uuid_equal(&other.id, &a->id)))
		return proving_refuse(p, SP_EEXIST, "asset.proof_refused", "%s leads to %s port %u, where another asset is: ask an "
		    "administrator", a->address, p->peer, p->peer_port);
	return r == SP_ENOENT ? SP_OK : r;
}

static enum sp_err
proving_judge(struct proving *p, struct sp_store *s, struct sp_store_asset *a, struct sp_store_asset_claim *cl)
{
	int provable = 0;
	enum sp_err r;

	if ((r = sp_store_asset_get(s, &p->asset_id, a)) == SP_OK)
		r = claim_provable(s, &p->user_id, a, ctl_wall_us(), &provable);
	if ((r == SP_OK && !provable) || r == SP_ENOENT)
		return proving_refuse(p, SP_ESTATE, "asset.proof_refused", "There is no claim of yours any more: it was decided, or its time is over");
	if (r != SP_OK || (r = claim_pending(s, a, cl)) != SP_OK)
		return r;
	if (p->n == 0)
		return proving_refuse(p, SP_EDENIED, "asset.proof_refused", "Not proven: %s has no %s that can be read there (exit status %d)",
		    a->name, CLAIM_PATH, (int)p->exit_status);
	if (!claim_token_among(p->output, p->n, cl->token_hash))
		return proving_refuse(p, SP_EDENIED, "asset.proof_wrong", "Not proven: no line of %s on %s is the token of this claim", CLAIM_PATH, a->name);
	return proving_place(p, s, a);
}

static enum sp_err
proving_enable(struct proving *p, struct sp_store *s, struct sp_store_asset *a, const struct sp_store_asset_claim *cl)
{
	enum sp_err r;

	if (p->shown != NULL) {
		struct sp_store_host_key k = *p->shown;

		sp_snprintf(k.pinned_by, sizeof(k.pinned_by), "proof of ownership by %s", p->login);
		k.state = SP_STORE_ACTIVE;
		k.asset_id = a->id;
		if ((r = sp_store_host_key_add(s, &k)) != SP_OK && r != SP_EEXIST)
			return r;
	}
	a->state = SP_STORE_ACTIVE;
	if ((r = sp_store_asset_update(s, a)) == SP_OK)
		r = sp_store_asset_claim_delete(s, &cl->id, cl->version);
	return r;
}

static void
proving_entry(const struct proving *p, const char *result, json_t *more, struct audit_entry *e)
{
	*e = (struct audit_entry){ .kind = p->kind, .actor = p->login, .result = result, .source = p->conn->source_text,
	    .conn = &p->conn->id, .session = &p->target->row.id, .user = &p->user_id, .asset = &p->asset_id, .text = p->text, .more = more };
}

static enum sp_err
proving_log(struct proving *p, const struct ctl *c, const struct sp_store_asset *a)
{
	char fp[SP_FINGERPRINT_SIZE] = "";
	struct audit_entry e;
	json_t *more = json_pack("{s:s, s:i}", "address", p->peer, "port", (int)p->peer_port);
	enum sp_err r;

	if (p->shown != NULL) {
		sp_sshkey_fingerprint((struct sp_view){ p->shown->blob.b, p->shown->blob.len }, sp_sha256, fp);
		json_object_set_new(more, "fingerprint", json_string(fp));
	}
	p->kind = "asset.proven";
	(void)sp_strlcpy(p->text, a->name, sizeof(p->text));
	proving_entry(p, "ok", more, &e);
	r = audit_append_wait(c->audit, &e);
	json_decref(more);
	return r;
}

static void
proving_work(struct ctl_job *j, struct sp_store *s)
{
	struct proving *p = sp_container(j, struct proving, job);
	struct sp_store_asset_claim cl;
	struct sp_store_asset a;
	enum sp_err r;

	if ((r = sp_store_begin(s, SP_STORE_MAIN)) == SP_OK) {
		if ((r = proving_judge(p, s, &a, &cl)) == SP_OK && (r = proving_enable(p, s, &a, &cl)) == SP_OK)
			r = proving_log(p, j->ctl, &a);
		p->logged = r == SP_OK;
		r = sp_store_end(s, r);
	}
	if (r == SP_OK)
		sp_snprintf(p->text, sizeof(p->text), "%s is proven to be yours, and enabled; who may use it, an administrator grants. "
		    "The file may go now.", a.name);
	else if (p->kind == NULL || strcmp(p->kind, "asset.proven") == 0)	/* nobody's fault but ours */
		(void)proving_refuse(p, r, "asset.proof_refused", "The proof cannot be looked at just now (%s); try again", sp_err_text(r));
	p->logged = r == SP_OK;
	j->err = r;
}

static void
proving_done(struct ctl_job *j)
{
	struct proving *p = sp_container(j, struct proving, job);
	Sallyport__OwnerReply r = SALLYPORT__OWNER_REPLY__INIT;
	struct audit_entry e;

	if (p->kind == NULL)		/* work() did not run */
		(void)proving_refuse(p, j->err, "asset.proof_refused", "The proof cannot be looked at just now (%s); try again", sp_err_text(j->err));
	if (!p->logged) {
		proving_entry(p, "refused", NULL, &e);
		audit_append(j->ctl->audit, &e, NULL, NULL);
	}
	if (conn_alive(p->conn)) {
		r.err = j->err;
		r.text = p->text;
		conn_send(p->conn, SP_MSG_OWNER_REPLY, p->corr, &r);
	}
	target_unref(p->target);
	conn_unref(p->conn);
	free(p);
}

void
owner_ask(struct conn *cn, uint32_t corr, const Sallyport__OwnerAsk *q)
{
	struct target *t = target_of(cn, &q->session_id);
	Sallyport__OwnerReply r = SALLYPORT__OWNER_REPLY__INIT;
	struct proving *p;

	if (t == NULL)
		return;
	if (!t->proof || q->output.len > CLAIM_OUTPUT_MAX || (p = calloc(1, sizeof(*p))) == NULL) {
		/* Also what was begun under a control that is no more: which key was shown, it alone knew. */
		r.err = SP_ESTATE;
		r.text = ctl_str("The proof has to begin anew: connect once more");
		conn_send(cn, SP_MSG_OWNER_REPLY, corr, &r);
		return;
	}
	p->conn = conn_ref(cn);
	p->target = target_ref(t);
	p->corr = corr;
	p->exit_status = q->exit_status;
	p->n = q->output.len;
	memcpy(p->output, q->output.data, q->output.len);
	p->user_id = cn->user_id;
	p->asset_id = t->row.asset_id;
	p->shown = t->shown;
	p->peer_port = t->peer_port;
	(void)sp_strlcpy(p->peer, t->peer, sizeof(p->peer));
	(void)sp_strlcpy(p->login, cn->login, sizeof(p->login));
	p->job.work = proving_work;
	p->job.done = proving_done;
	ctl_job_run(cn->ctl, CTL_WRITE, &p->job);
}

/* ---- claims whose time is over: the pending asset goes with them ---- */

struct ending {
	struct ctl_job	job;
	int64_t		now_us;
	struct sp_uuid	id[OWNER_PAGE];
	size_t		n, seen;
};

static int
ending_look(const struct sp_store_asset_claim *cl, void *arg)
{
	struct ending *e = arg;

	e->seen++;
	if (cl->expires_us <= e->now_us && e->n < OWNER_PAGE)
		e->id[e->n++] = cl->id;
	return e->n == OWNER_PAGE;
}

static enum sp_err
ending_one(struct sp_store *s, struct ctl *c, const struct sp_uuid *id, int64_t now_us)
{
	struct sp_store_asset_claim cl;
	struct sp_store_asset a;
	struct audit_entry e = { .kind = "asset.claim_over", .actor = "system", .result = "ok", .text = a.name, .asset = id };
	enum sp_err r;

	if ((r = sp_store_asset_claim_get(s, id, &cl)) != SP_OK || (r = sp_store_asset_get(s, id, &a)) != SP_OK)
		return r;
	if (cl.expires_us > now_us)
		return SP_OK;
	e.user = &cl.user_id;
	/* One that an administrator enabled otherwise stays, without the claim. */
	r = a.state == SP_STORE_DISABLED ? sp_store_asset_delete(s, &a.id, a.version) : sp_store_asset_claim_delete(s, &cl.id, cl.version);
	return r == SP_OK ? audit_append_wait(c->audit, &e) : r;
}

static void
ending_work(struct ctl_job *j, struct sp_store *s)
{
	struct ending *e = sp_container(j, struct ending, job);
	struct sp_store_query q = { .checked = 1 };
	size_t before;
	enum sp_err r;

	if (sp_store_mac_mode(s) == SP_STORE_MAC_SEALED)
		return;		/* no row can be believed */
	do {
		before = e->seen;
		r = sp_store_asset_claim_list(s, &q, ending_look, e);
		q.offset += SP_STORE_PAGE_MAX;
	} while (r == SP_OK && e->n < OWNER_PAGE && e->seen - before == SP_STORE_PAGE_MAX);
	for (size_t i = 0; i < e->n; i++) {
		if (sp_store_begin(s, SP_STORE_MAIN) != SP_OK)
			return;		/* next time */
		r = sp_store_end(s, ending_one(s, j->ctl, &e->id[i], e->now_us));
		if (r != SP_OK && r != SP_ENOENT)
			sp_warn("a claim that is over cannot be removed: %s", sp_err_text(r));
	}
}

static void
ending_done(struct ctl_job *j)
{
	struct ending *e = sp_container(j, struct ending, job);

	free(e);
}

void
owner_tick(struct ctl *c, uint64_t now_us)
{
	struct ending *e;

	if (now_us < c->claims_at_us || !c->store_open || c->stopping || quarantine_is(c) || (e = calloc(1, sizeof(*e))) == NULL)
		return;
	c->claims_at_us = now_us + OWNER_TICK_US;
	e->now_us = ctl_wall_us();
	e->job.work = ending_work;
	e->job.done = ending_done;
	ctl_job_run(c, CTL_WRITE, &e->job);
}
