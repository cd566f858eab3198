/* src/control/agent.c - AGENT_ASK: requests on an agent channel at a target, one by one. Process: control, event loop; rows,
 * signatures and hashes in a reader.
 *
 * The platform's agent offers and uses stored keys of the accounts that the user may reach on the very server that the
 * program at the target is talking to: that server's host key comes in session-bind@openssh.com, must be signed by it over
 * the SSH session in question, and be pinned for an asset. No binding, no key. Each signature has a lease of its own, made
 * after its entry in the audit log is durable, good for that login name and that host key only: the vault looks again.
 * What a login through Sallyport would have to ask (a reason, a second factor) cannot be asked here: such grants do not count.
 * The user's own agent answers from the user's machine; here its requests are logged, and a login to the bastion is refused:
 * by the host key that is bound, or, when none is bound rightly, by the key that somebody logs in to the bastion with. */
#include "control/ctl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "control/judge.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "wire/sshkey.h"
#include "wire/userauth.h"

#define AGENT_KEYS_MAX	3	/* offered to one server: its limit of attempts is for the user's own keys, too */
#define AGENT_ASSETS_MAX 16	/* that share one host key */
#define LEASE_ID_LEN	32

enum agent_op { OP_LIST, OP_SIGN, OP_BIND, OP_OTHER };
struct agent_key {		/* a stored key that may be used at that server */
	struct sp_uuid		 asset_id, account_id;
	char			 login[SP_STORE_LOGIN_MAX + 1], comment[2 * SP_STORE_NAME_MAX + 2];
	struct sp_store_secret	 secret;
};
struct agent_ask {
	struct ctl_job			 job;
	struct conn			*conn;
	struct target			*target;
	uint32_t			 corr, channel;
	int				 platform;
	enum agent_op			 op;
	unsigned			 type;		/* on the wire, of OP_OTHER */
	struct sp_uuid			 user_id, asset_id;
	int64_t				 epoch;
	struct sp_netaddr		 source;
	char				 account[SP_STORE_NAME_MAX + 1];
	char				 own_key[4][1024];
	size_t				 own_keys;
	struct sp_buf			 host_key, bind_session, bind_sig, key, data;
	/* found */
	char				 login[SP_USERAUTH_USER_MAX + 1];	/* of the request; "": it is none for a login */
	char				 finger[SP_FINGERPRINT_SIZE], host_finger[SP_FINGERPRINT_SIZE];
	char				 what[300], refused[160];
	struct agent_key		*keys;
	size_t				 n;
	struct sp_uuid			 assets[AGENT_ASSETS_MAX];
	size_t				 assets_n;
	struct sp_policy_decision	 d;
};

static void
ask_free(struct agent_ask *a)
{
	free(a->keys);
	sp_buf_release(&a->host_key);
	sp_buf_release(&a->bind_session);
	sp_buf_release(&a->bind_sig);
	sp_buf_release(&a->key);
	sp_buf_release(&a->data);
	target_unref(a->target);
	conn_unref(a->conn);
	free(a);
}

static struct sp_view
view(const struct sp_buf *b)
{
	return (struct sp_view){ b->p, b->len };
}

/* ---- the rows (worker thread) ---- */

/* Is the server on the other side of the client at the target really the one with that host key? */
static int
bind_holds(const struct agent_ask *a)
{
	return a->host_key.len > 0 && a->bind_session.len >= SP_USERAUTH_SESSION_ID_MIN &&
	    a->bind_session.len <= SP_USERAUTH_SESSION_ID_MAX &&
	    sp_ssh_verify(view(&a->host_key), view(&a->bind_sig), view(&a->bind_session)) == SP_OK;
}

static int
is_our_host_key(const struct agent_ask *a, struct sp_view blob)
{
	for (size_t i = 0; i < a->own_keys; i++) {
		struct sp_sshkey_line l = { 0 };
		int same = sp_sshkey_line_parse(a->own_key[i], strlen(a->own_key[i]), NULL, &l) == SP_OK && l.blob.len == blob.len &&
		    memcmp(l.blob.p, blob.p, blob.len) == 0;

		sp_sshkey_line_release(&l);
		if (same)
			return 1;
	}
	return 0;
}

static void
describe(struct agent_ask *a, const struct sp_userauth *u)
{
	char host[SP_FINGERPRINT_SIZE] = "";

	if (a->key.len > 0)
		sp_sshkey_fingerprint(view(&a->key), sp_sha256, a->finger);
	if (a->host_key.len > 0) {
		sp_sshkey_fingerprint(view(&a->host_key), sp_sha256, a->host_finger);
		(void)sp_strlcpy(host, a->host_finger, sizeof(host));
	}
	if (a->op == OP_LIST)
		sp_snprintf(a->what, sizeof(a->what), "keys asked for%s%s", *host ? " at the server " : "", host);
	else if (a->op == OP_BIND)
		sp_snprintf(a->what, sizeof(a->what), "bound to the server %s", host);
	else if (a->op == OP_OTHER)
		sp_snprintf(a->what, sizeof(a->what), "request of type %u", a->type);
	else if (u != NULL)
		sp_snprintf(a->what, sizeof(a->what), "login as %s with %s%s%s", a->login, a->finger, *host ? " at the server " : "", host);
	else
		sp_snprintf(a->what, sizeof(a->what), "signature with %s over %zu bytes that are no login", a->finger, a->data.len);
}

static int
asset_add(const struct sp_store_host_key *k, void *arg)
{
	struct agent_ask *a = arg;

	if (k->state == SP_STORE_ACTIVE)
		a->assets[a->assets_n++] = k->asset_id;
	return a->assets_n == AGENT_ASSETS_MAX;
}

struct account_walk {
	struct agent_ask	*a;
	struct sp_store		*s;
	struct sp_store_user	 user;
	enum sp_err		 err;
	size_t			 seen;
};

/* May the user log in with that account, without being asked anything? */
static int
may_login(struct account_walk *w, const struct sp_store_account *acc)
{
	static const uint32_t login = SP_POLICY_SHELL | SP_POLICY_EXEC | SP_POLICY_SFTP | SP_POLICY_SCP;
	struct agent_ask *a = w->a;
	struct sp_policy_decision d;
	char why[300];

	w->err = judge_again(w->s, &a->user_id, a->epoch, &a->source, &acc->asset_id, acc->name, 0, &d, NULL, why, sizeof(why));
	return w->err == SP_OK && d.allowed && (d.protocols & login) != 0 && d.reason_required == SP_POLICY_REASON_NONE &&
	    d.mfa_interval_s == SP_POLICY_MFA_NEVER;
}

static int
account_take(const struct sp_store_account *acc, void *arg)
{
	struct account_walk *w = arg;
	struct agent_ask *a = w->a;
	struct agent_key *k = &a->keys[a->n];

	w->seen++;
	if (acc->state != SP_STORE_ACTIVE || acc->kind != SP_STORE_ACCOUNT_STORED || sp_uuid_is_null(&acc->secret_id))
		return 0;
	if (sp_store_secret_get(w->s, &acc->secret_id, &k->secret) != SP_OK || k->secret.kind != SP_STORE_SECRET_SSH_KEY)
		return 0;
	(void)sp_strlcpy(k->login, *acc->login ? acc->login : acc->name, sizeof(k->login));
	if (a->op == OP_SIGN && (k->secret.public_blob.len != a->key.len ||
	    memcmp(k->secret.public_blob.b, a->key.p, a->key.len) != 0 || strcmp(k->login, a->login) != 0))
		return 0;
	if (!may_login(w, acc))
		return w->err != SP_OK;
	k->asset_id = acc->asset_id;
	k->account_id = acc->id;
	sp_snprintf(k->comment, sizeof(k->comment), "sallyport:%s", acc->name);
	a->n++;
	return a->n == AGENT_KEYS_MAX || a->op == OP_SIGN;
}

/* The stored keys that will do at the bound server. */
static enum sp_err
platform_keys(struct agent_ask *a, struct sp_store *s)
{
	struct account_walk w = { .a = a, .s = s };
	enum sp_err r;

	if (!bind_holds(a))
		return SP_OK;		/* who it is for is not known: nothing */
	if ((a->keys = calloc(AGENT_KEYS_MAX, sizeof(*a->keys))) == NULL)
		return SP_ENOMEM;
	if ((r = sp_store_host_keys_by_blob(s, a->host_key.p, a->host_key.len, asset_add, a)) != SP_OK)
		return r;
	for (size_t i = 0; i < a->assets_n && a->n < AGENT_KEYS_MAX && (a->op == OP_LIST || a->n == 0); i++) {
		struct sp_store_query q = { .of = a->assets[i], .checked = 1 };

		do {
			w.seen = 0;
			r = sp_store_account_list(s, &q, account_take, &w);
			q.offset += SP_STORE_PAGE_MAX;
		} while (r == SP_OK && w.err == SP_OK && w.seen == SP_STORE_PAGE_MAX && a->n < AGENT_KEYS_MAX);
		if (r != SP_OK || w.err != SP_OK)
			return r != SP_OK ? r : w.err;
	}
	return SP_OK;
}

static const char *
own_refused(struct agent_ask *a, struct sp_store *s, const struct sp_userauth *u)
{
	struct sp_store_user_key key;
	int bound = bind_holds(a) && u->session_id.len == a->bind_session.len &&
	    memcmp(u->session_id.p, a->bind_session.p, a->bind_session.len) == 0;

	if (is_our_host_key(a, view(&a->host_key)) || is_our_host_key(a, u->host_key))
		return "a login to the bastion itself is not signed";
	if (!bound && sp_store_user_key_by_blob(s, a->key.p, a->key.len, &key) != SP_ENOENT)
		return "this key logs in to the bastion, and which server asks for it cannot be told";
	return NULL;
}

/* No login that we can read. A signature of `ssh-keygen -Y` cannot be one; of anything else nobody knows. */
static const char *
other_refused(struct agent_ask *a, struct sp_store *s)
{
	struct sp_store_user_key key;

	if ((a->data.len >= 6 && memcmp(a->data.p, "SSHSIG", 6) == 0) ||
	    sp_store_user_key_by_blob(s, a->key.p, a->key.len, &key) == SP_ENOENT)
		return NULL;
	return "this key logs in to the bastion, and what it would sign cannot be read";
}

static void
ask_work(struct ctl_job *j, struct sp_store *s)
{
	struct agent_ask *a = sp_container(j, struct agent_ask, job);
	struct sp_userauth u;
	char why[300];
	const char *no = NULL;
	int login = a->op == OP_SIGN && sp_userauth_decode_any(view(&a->data), &u) == SP_OK;

	if (login) {
		memcpy(a->login, u.user.p, u.user.len);
		a->login[u.user.len] = '\0';
	}
	describe(a, login ? &u : NULL);
	j->err = judge_again(s, &a->user_id, a->epoch, &a->source, &a->asset_id, a->account, 0, &a->d, NULL, why, sizeof(why));
	if (j->err != SP_OK)
		return;
	if (!a->d.allowed || !(a->d.protocols & SP_POLICY_AGENT) ||
	    !(a->d.agent_kinds & (a->platform ? SP_POLICY_AGENT_PLATFORM : SP_POLICY_AGENT_USER)))
		no = "the grant does not allow this agent channel";
	else if (a->op == OP_OTHER)
		no = "only keys and signatures may be asked for";
	else if (!a->platform && a->op == OP_SIGN)
		no = login ? own_refused(a, s, &u) : other_refused(a, s);
	else if (a->op == OP_SIGN && !login)
		no = "only logins are signed";
	else if (a->platform && (j->err = platform_keys(a, s)) == SP_OK && a->op == OP_SIGN && a->n == 0)
		no = "no grant for that login at that server, or it does not say which server it is";
	if (no != NULL)
		(void)sp_strlcpy(a->refused, no, sizeof(a->refused));
}

/* ---- the answer ---- */

static void
ask_log(struct agent_ask *a, const char *result, audit_fn *durable)
{
	static const char *const kinds[] = { "agent.list", "agent.sign", "agent.bind", "agent.request" };
	const struct target *t = a->target;
	json_t *more = json_pack("{s:s, s:I, s:s}", "agent", a->platform ? "platform" : "own", "channel", (json_int_t)a->channel,
	    "request", a->what);
	struct audit_entry e = { .kind = kinds[a->op], .actor = a->conn->login, .result = result, .source = a->conn->source_text,
	    .conn = &a->conn->id, .session = &t->row.id, .user = &a->user_id, .asset = &t->row.asset_id, .account = &t->account_id,
	    .text = *a->refused ? a->refused : a->what, .more = more };
	char id[SP_UUID_SIZE];

	if (*a->finger)
		json_object_set_new(more, "key", json_string(a->finger));
	if (*a->host_finger)
		json_object_set_new(more, "host_key", json_string(a->host_finger));
	if (*a->login)
		json_object_set_new(more, "login", json_string(a->login));
	if (a->platform && a->op == OP_SIGN && a->n > 0) {
		e.object = &a->keys[0].secret.id;
		json_object_set_new(more, "to_asset", json_string(sp_uuid_text(&a->keys[0].asset_id, id)));
		json_object_set_new(more, "to_account", json_string(sp_uuid_text(&a->keys[0].account_id, id)));
	}
	audit_append(a->conn->ctl->audit, &e, durable, durable != NULL ? a : NULL);
	json_decref(more);
}

static void
ask_reply(struct agent_ask *a, enum sp_err err, const char *text, ProtobufCBinaryData lease)
{
	Sallyport__AgentReply r = SALLYPORT__AGENT_REPLY__INIT;
	Sallyport__AgentKey key[AGENT_KEYS_MAX], *keys[AGENT_KEYS_MAX];

	if (conn_alive(a->conn)) {
		r.err = err;
		r.text = ctl_str(text);
		r.lease = lease;
		for (size_t i = 0; err == SP_OK && a->op == OP_LIST && i < a->n; i++) {
			sallyport__agent_key__init(&key[i]);
			key[i].blob = ctl_bytes(a->keys[i].secret.public_blob.b, a->keys[i].secret.public_blob.len);
			key[i].comment = a->keys[i].comment;
			keys[r.n_keys++] = &key[i];
		}
		r.keys = keys;
		conn_send(a->conn, SP_MSG_AGENT_REPLY, a->corr, &r);
	}
	ask_free(a);
}

static void
ask_lease(struct agent_ask *a)
{
	struct ctl *c = a->conn->ctl;
	struct agent_key *k = &a->keys[0];
	Sallyport__LeasePut p = SALLYPORT__LEASE_PUT__INIT;
	uint8_t id[LEASE_ID_LEN];

	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id)) {
		ask_reply(a, SP_EINTERNAL, "no random numbers", (ProtobufCBinaryData){ 0 });
		return;
	}
	p.lease = ctl_bytes(id, sizeof(id));
	p.conn_id = ctl_uuid_bytes(&a->conn->id);
	p.session_id = ctl_uuid_bytes(&a->target->row.id);
	p.op = ctl_str("sign");
	p.deadline_us = sp_now_us() + CTL_LEASE_US;
	p.uses = 1;
	p.epoch = (uint64_t)a->epoch;
	p.secret_id = ctl_uuid_bytes(&k->secret.id);
	p.secret_version = (uint32_t)k->secret.secret_version;
	p.secret_kind = ctl_str("ssh-key");
	p.sealed = ctl_bytes(k->secret.ciphertext.b, k->secret.ciphertext.len);
	p.login = k->login;
	p.host_key = ctl_bytes(a->host_key.p, a->host_key.len);
	p.vault_boot = ctl_bytes(c->vault_view.boot, c->vault_view.boot_len);
	if (!c->vault_view.known || c->vault_view.sealed || ctl_link_tell(c->vault, SP_MSG_LEASE_PUT, &p) != SP_OK)
		ask_reply(a, SP_EUNAVAIL, "the vault is not available just now", (ProtobufCBinaryData){ 0 });
	else
		ask_reply(a, SP_OK, "", ctl_bytes(id, sizeof(id)));
}

static void
ask_durable(void *arg, enum sp_err err, uint64_t seq)
{
	struct agent_ask *a = arg;

	(void)seq;
	if (err != SP_OK)
		ask_reply(a, SP_EUNAVAIL, "this cannot be recorded just now", (ProtobufCBinaryData){ 0 });
	else if (a->target->killed || a->target->ended || a->target->closed || a->target->conn != a->conn)
		ask_reply(a, SP_ECLOSED, "the session has ended", (ProtobufCBinaryData){ 0 });
	else if (a->platform && a->op == OP_SIGN)
		ask_lease(a);
	else
		ask_reply(a, SP_OK, "", (ProtobufCBinaryData){ 0 });
}

static void
ask_done(struct ctl_job *j)
{
	struct agent_ask *a = sp_container(j, struct agent_ask, job);

	if (!conn_alive(a->conn) || a->target->conn != a->conn) {
		ask_free(a);
	} else if (j->err != SP_OK) {
		ask_reply(a, j->err, "the decision could not be made just now", (ProtobufCBinaryData){ 0 });
	} else if (*a->refused) {
		ask_log(a, "refused", NULL);
		ask_reply(a, SP_EDENIED, a->refused, (ProtobufCBinaryData){ 0 });
	} else {
		ask_log(a, "ok", ask_durable);
	}
}

static int
take(struct sp_buf *b, size_t max, const ProtobufCBinaryData *d)
{
	sp_buf_init(b, max);
	return sp_buf_append(b, d->data, d->len) == SP_OK;
}

void
agent_ask(struct conn *cn, uint32_t corr, const Sallyport__AgentAsk *q)
{
	static const char *const ops[] = { "list", "sign", "bind", "other" };
	struct target *t = target_of(cn, &q->session_id);
	struct agent_ask *a;
	size_t op = 0;

	if (t == NULL)
		return;
	while (op < SP_NELEMS(ops) && strcmp(ops[op], q->op) != 0)
		op++;
	if (op == SP_NELEMS(ops) || !t->up) {
		conn_misbehaved(cn, "an unknown request of an agent, or one before the login");
		return;
	}
	if ((a = calloc(1, sizeof(*a))) == NULL) {
		conn_kill(cn, NULL, "out of memory", "system");
		return;
	}
	a->conn = conn_ref(cn);
	a->target = target_ref(t);
	a->corr = corr;
	a->channel = q->channel;
	a->op = (enum agent_op)op;
	a->type = q->type;
	a->platform = strcmp(q->kind, "platform") == 0;
	a->user_id = cn->user_id;
	a->epoch = cn->epoch;
	a->source = cn->source;
	a->asset_id = t->row.asset_id;
	(void)sp_strlcpy(a->account, t->row.account, sizeof(a->account));
	a->own_keys = cn->ctl->hostkeys_n;
	memcpy(a->own_key, cn->ctl->hostkeys, sizeof(a->own_key));
	if (!take(&a->host_key, SP_SSHKEY_BLOB_MAX, &q->host_key) || !take(&a->bind_session, 256, &q->bind_session) ||
	    !take(&a->bind_sig, 8192, &q->bind_signature) || !take(&a->key, SP_SSHKEY_BLOB_MAX, &q->key_blob) ||
	    !take(&a->data, SP_USERAUTH_MAX + SP_SSHKEY_BLOB_MAX, &q->data)) {
		ask_reply(a, SP_ESIZE, "too large", (ProtobufCBinaryData){ 0 });
		return;
	}
	/* A program at the target asks as often as it likes; the log is everybody's. */
	if (!conn_may_log(cn, VOLUME_AGENT, 0)) {
		ask_reply(a, SP_EUNAVAIL, VOLUME_TEXT, (ProtobufCBinaryData){ 0 });
		return;
	}
	a->job.work = ask_work;
	a->job.done = ask_done;
	ctl_job_run(cn->ctl, CTL_READ, &a->job);
}
