/* src/control/lease.c - LEASE_ASK: permission to use one credential once. Process: control, event loop.
 *	ask -> judge again + secret row (reader) -> intent in the audit log, durable -> LEASE_PUT -> LEASE_REPLY
 * No record, no session: the answer waits until START of this session is durable, whatever the session believes.
 * A lease is bound to connection, session, operation, login, the vault's boot and the user's epoch; control never sees
 * what it opens. While the vault is being restarted the lease waits for the new one, at most control_wait. */
#include "control/ctl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/judge.h"
#include "control/wall.h"
#include "control/zone.h"
#include "wire/sshcert.h"

#define LEASE_ID_LEN	32

struct leasing {
	struct ctl_job			 job;
	struct sp_list			 wait;		/* for an unsealed vault */
	struct conn			*conn;
	struct target			*target;
	const struct zone_hop		*jump;		/* whose credential, in target->path; NULL: the target's own */
	uint32_t			 corr, hop;
	uint64_t			 asked_us, serial;
	char				 op[16];
	struct sp_uuid			 user_id, asset_id, zone_id;
	int64_t				 epoch;
	struct sp_netaddr		 source;
	char				 account[SP_STORE_NAME_MAX + 1];
	char				 why[300];
	struct sp_store_secret		 secret;
	struct sp_store_zone		 zone;
	struct sp_policy_decision	 d;
};
static const struct {
	const char	*op, *method, *secret_kind;
	int64_t		 kind;
} ops[] = {
	{ "sign",	 "key",		"ssh-key",  SP_STORE_SECRET_SSH_KEY },
	{ "certificate", "certificate", "ssh-ca",   SP_STORE_SECRET_SSH_CA },
	{ "password",	 "password",	"password", SP_STORE_SECRET_PASSWORD },
};

static void
leasing_free(struct leasing *l)
{
	target_unref(l->target);
	conn_unref(l->conn);
	free(l);
}

static void
leasing_refuse(struct leasing *l, enum sp_err err, const char *text)
{
	Sallyport__LeaseReply r = SALLYPORT__LEASE_REPLY__INIT;

	if (conn_alive(l->conn)) {
		r.session_id = ctl_uuid_bytes(&l->target->row.id);
		r.err = err;
		r.text = ctl_str(text);
		conn_send(l->conn, SP_MSG_LEASE_REPLY, l->corr, &r);
	}
	leasing_free(l);
}

static int
leasing_op(const struct leasing *l)
{
	for (size_t i = 0; i < SP_NELEMS(ops); i++)
		if (strcmp(ops[i].op, l->op) == 0)
			return (int)i;
	return -1;
}

/* Which addresses the certificate is good from: the zone's, else the one that this session's socket (or its jump server) leaves
 * from. 0: nobody knows. */
static size_t
leasing_sources(struct leasing *l, char *list, size_t size, char **ret, size_t cap)
{
	size_t n = 0;

	if (l->target->path != NULL)
		zone_seen_from(l->target, l->hop, list, size);
	else
		(void)sp_strlcpy(list, *l->zone.source_address ? l->zone.source_address : l->target->local_ip, size);
	for (char *s = list, *next; s != NULL && *s && n < cap; s = next) {
		if ((next = strchr(s, ',')) != NULL)
			*next++ = '\0';
		while (*s == ' ')
			s++;
		ret[n++] = s;
	}
	return n;
}

/* Whom the certificate names: the account's principals, else the login, which is what a stock sshd accepts. */
static size_t
leasing_principals(const char *principals, const char *login, char *list, size_t size, char **ret, size_t cap)
{
	size_t n = 0;

	(void)sp_strlcpy(list, *principals ? principals : login, size);
	for (char *s = list, *next; s != NULL && n < cap; s = next) {
		if ((next = strchr(s, ',')) != NULL)
			*next++ = '\0';
		ret[n++] = s;
	}
	return n;
}

static void
leasing_put(struct leasing *l)
{
	struct ctl *c = l->conn->ctl;
	const struct target *t = l->target;
	Sallyport__LeasePut p = SALLYPORT__LEASE_PUT__INIT;
	Sallyport__LeaseReply r = SALLYPORT__LEASE_REPLY__INIT;
	uint8_t id[LEASE_ID_LEN];
	char key_id[SP_UUID_SIZE + SP_STORE_LOGIN_MAX + 16], sid[SP_UUID_SIZE], list[SP_STORE_TEXT_MAX + 1];
	char *principal[SP_SSHCERT_PRINCIPALS_MAX], names[SP_STORE_TEXT_MAX + 1], *sources[16];
	const char *login = l->jump != NULL ? l->jump->login : t->login;
	int op = leasing_op(l);

	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id)) {
		leasing_refuse(l, SP_EINTERNAL, "Internal error: no random numbers.");
		return;
	}
	p.lease = ctl_bytes(id, sizeof(id));
	p.conn_id = ctl_uuid_bytes(&l->conn->id);
	p.session_id = ctl_uuid_bytes(&t->row.id);
	p.op = l->op;
	p.deadline_us = sp_now_us() + CTL_LEASE_US;
	p.uses = 1;
	p.epoch = (uint64_t)l->epoch;
	p.secret_id = ctl_uuid_bytes(&l->secret.id);
	p.secret_version = (uint32_t)l->secret.secret_version;
	p.secret_kind = ctl_str(ops[op].secret_kind);
	p.sealed = ctl_bytes(l->secret.ciphertext.b, l->secret.ciphertext.len);
	p.login = ctl_str(login);
	p.vault_boot = ctl_bytes(c->vault_view.boot, c->vault_view.boot_len);
	if (strcmp(l->op, "certificate") == 0) {
		p.principals = principal;
		p.n_principals = leasing_principals(l->jump != NULL ? l->jump->principals : t->principals, login, names, sizeof(names),
		    principal, SP_NELEMS(principal));
		sp_snprintf(key_id, sizeof(key_id), "sallyport:%s:%s", sp_uuid_text(&t->row.id, sid), t->row.user_login);
		p.key_id = key_id;
		p.source_addresses = sources;
		if ((p.n_source_addresses = leasing_sources(l, list, sizeof(list), sources, SP_NELEMS(sources))) == 0 && t->path != NULL) {
			leasing_refuse(l, SP_ESTATE, "Its zone has no source address for certificates; an administrator sets it with: "
			    "sallyport zone update NAME --source-address ADDRESS");
			return;
		}
		p.serial = l->serial;
		p.forward_only = l->jump != NULL;
		p.valid_s = CTL_CERT_S;
		p.wall_us = ctl_wall_dating_us();
	}
	if (ctl_link_tell(c->vault, SP_MSG_LEASE_PUT, &p) != SP_OK) {
		leasing_refuse(l, SP_EUNAVAIL, "The vault is not available just now; try again.");
		return;
	}
	r.session_id = ctl_uuid_bytes(&t->row.id);
	r.lease = ctl_bytes(id, sizeof(id));
	r.public_key = ctl_bytes(l->secret.public_blob.b, l->secret.public_blob.len);
	conn_send(l->conn, SP_MSG_LEASE_REPLY, l->corr, &r);
	leasing_free(l);
}

static void
leasing_now(struct leasing *l)
{
	if (!conn_alive(l->conn) || l->target->killed || l->target->ended || l->target->conn != l->conn)
		leasing_refuse(l, SP_ECLOSED, "The session has ended.");
	else
		leasing_put(l);
}

static void
leasing_durable(void *arg, enum sp_err err, uint64_t seq)
{
	struct leasing *l = arg;
	struct ctl *c = l->conn->ctl;

	l->serial = seq;
	if (err != SP_OK)
		leasing_refuse(l, SP_EUNAVAIL, "The use of the credential cannot be recorded just now; try again.");
	else if (ctl_link_is_ready(c->vault) && c->vault_view.known && c->vault_view.sealed)
		leasing_refuse(l, SP_ESEALED, "The vault is sealed; ask an administrator to unseal it.");
	else if (ctl_link_is_ready(c->vault) && c->vault_view.known && l->target->seq_durable >= 1)
		leasing_now(l);
	else
		sp_list_add_tail(&c->leases_waiting, &l->wait);
}

void
lease_retry(struct ctl *c)
{
	struct sp_list ready;

	sp_list_init(&ready);
	while (!sp_list_empty(&c->leases_waiting)) {
		struct sp_list *n = c->leases_waiting.next;

		sp_list_remove(n);
		sp_list_add_tail(&ready, n);
	}
	while (!sp_list_empty(&ready)) {
		struct leasing *l = sp_container(ready.next, struct leasing, wait);

		sp_list_remove(&l->wait);
		leasing_durable(l, SP_OK, l->serial);
	}
}

void
lease_tick(struct ctl *c, uint64_t now_us)
{
	while (!sp_list_empty(&c->leases_waiting)) {
		struct leasing *l = sp_container(c->leases_waiting.next, struct leasing, wait);

		if (now_us < l->asked_us + c->child.conf.control_wait && !c->stopping)
			return;
		sp_list_remove(&l->wait);
		leasing_refuse(l, SP_EUNAVAIL, l->target->seq_durable < 1 ?
		    "The session cannot be recorded just now; try again." :
		    "The vault is not available just now; try again.");
	}
}

static void
leasing_work(struct ctl_job *j, struct sp_store *s)
{
	struct leasing *l = sp_container(j, struct leasing, job);
	enum sp_err r = judge_again(s, &l->user_id, l->epoch, &l->source, &l->asset_id, l->account, 0, &l->d, NULL, l->why,
	    sizeof(l->why));

	if (r == SP_OK && l->d.allowed)
		r = sp_store_secret_get(s, &l->secret.id, &l->secret);
	if (r == SP_OK && l->d.allowed && l->target->path == NULL && !sp_uuid_is_null(&l->zone_id))
		r = sp_store_zone_get(s, &l->zone_id, &l->zone);
	j->err = r;
}

static void
leasing_log(struct leasing *l, const char *result, audit_fn *durable)
{
	const struct target *t = l->target;
	const struct zone_hop *h = l->jump;
	json_t *more = json_pack("{s:s, s:s, s:I}", "op", l->op, "login", h != NULL ? h->login : t->login, "secret_version",
	    (json_int_t)l->secret.secret_version);
	struct audit_entry e = { .kind = "credential.use", .actor = l->conn->login, .result = result,
	    .source = l->conn->source_text, .conn = &l->conn->id, .session = &t->row.id, .user = &l->user_id,
	    .asset = h != NULL ? &h->asset_id : &l->asset_id, .account = h != NULL ? &h->account_id : &t->account_id,
	    .object = &l->secret.id, .text = l->why, .more = more };

	if (h != NULL) {
		json_object_set_new(more, "jump", json_string(h->asset));
		json_object_set_new(more, "zone", json_string(h->zone));
	}
	audit_append(l->conn->ctl->audit, &e, durable, durable != NULL ? l : NULL);
	json_decref(more);
}

static void
leasing_done(struct ctl_job *j)
{
	struct leasing *l = sp_container(j, struct leasing, job);
	int op = leasing_op(l);

	if (!conn_alive(l->conn) || l->target->conn != l->conn) {
		leasing_free(l);
	} else if (j->err != SP_OK) {
		leasing_refuse(l, j->err, "The credential cannot be looked up just now; try again.");
	} else if (!l->d.allowed) {
		leasing_log(l, "refused", NULL);
		leasing_refuse(l, SP_EDENIED, "Your access to this target has ended.");
	} else if (l->secret.kind != ops[op].kind) {
		leasing_refuse(l, SP_ESTATE, "The credential was replaced by another kind; connect again.");
	} else {
		l->why[0] = '\0';
		leasing_log(l, "ok", leasing_durable);
	}
}

void
lease_ask(struct conn *cn, uint32_t corr, const Sallyport__LeaseAsk *q)
{
	struct target *t = target_of(cn, &q->session_id);
	struct leasing *l;
	int op;

	if (t == NULL)
		return;
	if ((l = calloc(1, sizeof(*l))) == NULL) {
		conn_kill(cn, NULL, "out of memory", "system");
		return;
	}
	l->conn = conn_ref(cn);
	l->target = target_ref(t);
	l->corr = corr;
	l->asked_us = sp_now_us();
	(void)sp_strlcpy(l->op, q->op, sizeof(l->op));
	op = leasing_op(l);
	l->hop = q->hop;
	l->jump = zone_hop(t, q->hop);
	if (q->hop != 0 && l->jump == NULL) {		/* after a restart of control, another way than before */
		leasing_refuse(l, SP_ESTATE, "The way to this target has changed; connect again.");
		return;
	}
	if (op < 0 || strcmp(ops[op].method, l->jump != NULL ? l->jump->method : t->method) != 0) {
		leasing_refuse(l, SP_EDENIED, "This target has no credential of that kind.");
		conn_misbehaved(cn, "it asked for a credential that the target does not have");
		return;
	}
	if (t->up) {	/* it is logged in: what signs for it later has leases of its own (agent.c) */
		leasing_refuse(l, SP_EDENIED, "The session is logged in already.");
		conn_misbehaved(cn, "it asked for a credential after the login");
		return;
	}
	if (t->killed || t->ended) {
		leasing_refuse(l, SP_ECLOSED, "The session has ended.");
		return;
	}
	l->user_id = cn->user_id;
	l->epoch = cn->epoch;
	l->source = cn->source;
	l->asset_id = t->row.asset_id;
	l->zone_id = t->zone_id;
	(void)sp_strlcpy(l->account, t->row.account, sizeof(l->account));
	l->secret.id = l->jump != NULL ? l->jump->secret_id : t->secret_id;
	l->job.work = leasing_work;
	l->job.done = leasing_done;
	ctl_job_run(cn->ctl, CTL_READ, &l->job);
}

void
lease_drop(struct ctl *c, const struct sp_uuid *conn_id, const struct sp_uuid *session_id)
{
	Sallyport__LeaseDrop d = SALLYPORT__LEASE_DROP__INIT;

	d.conn_id = ctl_uuid_bytes(conn_id);
	if (session_id != NULL)
		d.session_id = ctl_uuid_bytes(session_id);
	/* A vault that is away has no leases. */
	if (ctl_link_tell(c->vault, SP_MSG_LEASE_DROP, &d) != SP_OK)
		sp_debug("no vault to drop leases in");
}
