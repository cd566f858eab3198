/* src/control/target.c - TARGET_ASK: resolve, decide, intent to the audit log, then scribe, dialer and the answer; what
 * follows from it (DIAL_RESULT, TARGET_STATE, a changed policy), and the menu. Process: control, event loop.
 *
 *	ask -> judge (reader) -> checks -> audit "session.request" durable -> row, SCRIBE_SPAWN, DIAL_ASK, TARGET_REPLY
 *
 * A refusal is in the audit log with its reason; the user reads one line that tells nothing about what he may not see. */
#include "control/ctl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/auditors.h"
#include "control/claim.h"
#include "control/cmdrules.h"
#include "control/judge.h"
#include "control/mfa.h"
#include "control/recvault.h"
#include "control/policy_msg.h"
#include "control/reason.h"
#include "control/zone.h"

#define TARGETS_PER_CONN	32
#define AUDITORS_TEXT	"No session here without a recording, and there are too few auditors' keys to encrypt it to: an administrator adds " \
	"them with 'sallyport auditor key add'."

struct asking {
	struct ctl_job	 job;
	struct conn	*conn;
	struct target	*target;	/* once granted */
	uint32_t	 corr;
	char		 protocol[32], form[16], reason[REASON_MAX + 1];
	const char	*ask;		/* what the reason lacks: "reason", "ticket"; NULL: nothing */
	struct sp_netaddr database;
	int		 enrolled, mfa;	/* mfa: a one-time code would do */
	struct zone_path *path;		/* NULL: reached directly */
	struct auditors	 auditors;	/* to whom the recording is encrypted */
	struct cmdrules	 commands;
	int		 commands_fd;	/* their file; -1: none */
	struct judge	 j;
};

static void
asking_free(struct asking *a)
{
	target_unref(a->target);
	conn_unref(a->conn);
	free(a->path);
	cmdrules_release(&a->commands);
	sp_closep(&a->commands_fd);
	free(a);
}

static void
asking_refuse(struct asking *a, enum sp_err err, const char *text)
{
	Sallyport__TargetReply r = SALLYPORT__TARGET_REPLY__INIT;
	char *choices[JUDGE_CHOICES_MAX];

	r.err = err;
	r.text = ctl_str(text);
	r.ask = ctl_str(a->ask != NULL && err == SP_EUSAGE ? a->ask : "");
	for (size_t i = 0; i < a->j.choice_n; i++)
		choices[i] = a->j.choice[i];
	r.choices = choices;
	r.n_choices = a->j.choice_n;
	r.mfa = a->mfa != 0;
	conn_send(a->conn, SP_MSG_TARGET_REPLY, a->corr, &r);
}

static void
asking_log(struct asking *a, const char *kind, const char *result, audit_fn *durable)
{
	const struct judge *j = &a->j;
	char grant[SP_UUID_SIZE];
	json_t *more = json_pack("{s:s, s:s, s:s}", "asset_asked", "", "form", "", "protocol", "");
	struct audit_entry e = { .kind = kind, .actor = a->conn->login, .result = result, .source = a->conn->source_text,
	    .conn = &a->conn->id, .user = &a->conn->user_id, .asset = &j->facts.asset_id, .account = &j->facts.account_id,
	    .session = a->target != NULL ? &a->target->row.id : NULL,
	    .text = *j->why ? j->why : *j->text ? j->text : NULL, .more = more };

	json_object_set_new(more, "asset_asked", json_string(j->asset_text));
	json_object_set_new(more, "form", json_string(a->form));
	json_object_set_new(more, "protocol", json_string(a->protocol));
	if (*j->account_text)
		json_object_set_new(more, "account_asked", json_string(j->account_text));
	if (*j->facts.asset_name)
		json_object_set_new(more, "asset_name", json_string(j->facts.asset_name));
	if (*j->facts.account)
		json_object_set_new(more, "account_name", json_string(j->facts.account));
	if (!sp_uuid_is_null(&j->grant_id))
		json_object_set_new(more, "grant", json_string(sp_uuid_text(&j->grant_id, grant)));
	if (*a->reason)
		json_object_set_new(more, "reason", json_string(a->reason));
	zone_json(more, a->target != NULL ? a->target->path : a->path);
	audit_append(a->conn->ctl->audit, &e, durable, durable != NULL ? a : NULL);
	json_decref(more);
}

static void
asking_work(struct ctl_job *cj, struct sp_store *s)
{
	struct asking *a = sp_container(cj, struct asking, job);
	struct sp_config conf;

	ctl_conf_copy(cj->ctl, &conf);
	judge_run(s, &conf, &a->j);
	if (a->j.err == SP_OK && a->j.decision.mfa_interval_s != SP_POLICY_MFA_NEVER)
		cj->err = mfa_enrolled(s, &a->j.user_id, &a->enrolled);
	if (a->j.err == SP_OK)
		a->ask = reason_lacks(&a->j.decision, a->reason);
	(void)sp_store_server(s, &a->database);
	if (a->j.err == SP_OK && cj->err == SP_OK)
		cj->err = auditors_get(s, &a->auditors);
	if (a->j.err == SP_OK && cj->err == SP_OK)
		cj->err = recvault_add(s, &a->j.facts.asset_id, &a->auditors);
	if (a->j.err == SP_OK)
		a->j.err = zone_path_load(s, &a->j.facts.zone_id, &a->path, a->j.text, sizeof(a->j.text));
	if (a->j.err == SP_OK && cj->err == SP_OK)
		cj->err = cmdrules_load(s, &a->j.user_id, &a->j.facts.asset_id, a->j.facts.account, a->conn->source_text, &a->commands);
	if (a->j.err == SP_OK && cj->err == SP_OK)
		cj->err = cmdrules_file(&a->commands.rules, &a->commands_fd);
}

/* An address that is known before anybody dials; a name is looked at again once it is connected. */
static int
asking_is_own(const struct asking *a)
{
	const struct judge *j = &a->j;
	struct sp_netaddr at;

	return zone_is_own(a->conn->ctl, a->path, &a->database) ||
	    inner_is_bastion(&a->conn->ctl->child.conf, j->facts.asset_address, j->facts.port) ||
	    (sp_netaddr_parse(j->facts.asset_address, &at) == SP_OK &&
	    own_is_ours(a->conn->ctl, &at, j->facts.port, &a->database));
}

/* What control knows and the rows do not. NULL: go on. */
static const char *
asking_check(const struct asking *a)
{
	const struct ctl *c = a->conn->ctl;
	const struct judge *j = &a->j;

	if (ctl_refusal(c) != NULL)
		return ctl_refusal(c);
	if (asking_is_own(a))
		return "The bastion itself is never a target.";
	if (strcmp(j->facts.method, "typed") != 0 && (!c->vault_view.known || c->vault_view.sealed))
		return "The vault is sealed; ask an administrator to unseal it.";
	if (j->decision.limit_n > 0 && conn_settling(c))
		return "Sallyport was restarted and counts the open sessions just now; try again.";
	for (size_t i = 0; i < j->decision.limit_n; i++)
		if (target_count(c, &j->user_id, &j->decision.limit[i].id) >= (size_t)j->decision.limit[i].max)
			return "You have as many sessions open here as your grant allows; end one first.";
	if (a->auditors.n == 0 || (!j->decision.best_effort && a->auditors.counted < (size_t)c->child.conf.auditors_min))
		return AUDITORS_TEXT;
	if (a->conn->targets_n >= TARGETS_PER_CONN)
		return "Too many targets on one connection.";
	return NULL;
}

/* A one-time code that is missing, or too old: the last thing to be looked at, so that nobody types one for nothing. */
static int
asking_wants_code(struct asking *a)
{
	struct judge *j = &a->j;

	if (!mfa_wanted(a->conn, &j->user_id, j->decision.mfa_interval_s))
		return 0;
	a->mfa = a->enrolled;
	j->err = SP_EACCES;
	mfa_text(a->conn->ctl, j->facts.asset_name, a->enrolled, j->text, sizeof(j->text));
	(void)sp_strlcpy(j->why, a->enrolled ? "a one-time code is wanted" : "a one-time code is wanted and the user has no second factor",
	    sizeof(j->why));
	return 1;
}

static void
target_fill(struct target *t, struct asking *a)
{
	const struct judge *j = &a->j;
	struct sp_store_session *r = &t->row;

	judge_facts_apply(&j->facts, t);
	t->database = a->database;
	t->path = a->path;
	a->path = NULL;
	r->user_id = a->conn->user_id;
	r->asset_id = j->facts.asset_id;
	(void)sp_strlcpy(r->user_login, a->conn->login, sizeof(r->user_login));
	(void)sp_strlcpy(r->asset_name, j->facts.asset_name, sizeof(r->asset_name));
	(void)sp_strlcpy(r->account, j->facts.account, sizeof(r->account));
	(void)sp_strlcpy(r->protocol, a->protocol, sizeof(r->protocol));
	(void)sp_strlcpy(r->source, a->conn->source_text, sizeof(r->source));
	(void)sp_strlcpy(r->purpose, a->reason, sizeof(r->purpose));
	if (t->path != NULL)
		zone_text(t->path, r->path, sizeof(r->path));
	r->started_us = sp_wall_us();
	target_limits(t, j->decision.limit, j->decision.limit_n);
	t->grant_id = j->grant_id;
	t->protocols = j->decision.protocols;
	t->policy_sum = policy_sum(&t->ctl->child.conf, &j->decision);
	t->commands_sum = a->commands.sum;
	t->recheck_us = j->decision.recheck_us;
	t->pins_n = (int)j->pin_n;
	t->trust_first = a->conn->ctl->child.conf.trust_first_use != 0;
	t->proof = j->proof;
}

static json_t *
target_header(const struct target *t)
{
	char a[SP_UUID_SIZE], b[SP_UUID_SIZE], u[SP_UUID_SIZE], at[SP_RFC3339_SIZE], cn[SP_UUID_SIZE];
	const struct sp_store_session *r = &t->row;

	json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "version", 1,
	    "session", sp_uuid_text(&r->id, a), "conn", sp_uuid_text(&r->conn_id, cn), "user", r->user_login, "user_id",
	    sp_uuid_text(&r->user_id, u), "asset", r->asset_name, "asset_id", sp_uuid_text(&r->asset_id, b), "account",
	    r->account, "login", t->login, "source", r->source, "started", sp_rfc3339(r->started_us, at, sizeof(at)),
	    "bastion", t->ctl->child.conf.bastion_name);

	zone_json(o, t->path);
	return o;
}

static void
asking_reply(struct asking *a)
{
	Sallyport__TargetReply r = SALLYPORT__TARGET_REPLY__INIT;
	Sallyport__Method method = SALLYPORT__METHOD__INIT, *methods[1] = { &method };
	Sallyport__HostKey key[JUDGE_PINS_MAX], *keys[JUDGE_PINS_MAX];
	Sallyport__Hop hop[ZONE_DEPTH_MAX], *hops[ZONE_DEPTH_MAX];
	struct target *t = a->target;
	struct policy_msg p;
	json_t *header = target_header(t);
	char *text = json_dumps(header, JSON_COMPACT | JSON_SORT_KEYS);

	policy_msg_init(&p, &a->conn->ctl->child.conf, &a->j.decision);
	policy_msg_commands(&p, &a->commands);
	t->policy_end_us = p.msg.end_us;
	r.session_id = ctl_uuid_bytes(&t->row.id);
	r.asset_id = ctl_uuid_bytes(&t->row.asset_id);
	r.account_id = ctl_uuid_bytes(&t->account_id);
	r.asset = t->row.asset_name;
	r.account = t->row.account;
	r.login = t->login;
	for (size_t i = 0; i < a->j.pin_n; i++) {
		sallyport__host_key__init(&key[i]);
		key[i].alg = a->j.pin[i].type;
		key[i].blob = ctl_bytes(a->j.pin[i].blob.b, a->j.pin[i].blob.len);
		keys[i] = &key[i];
	}
	r.n_hops = zone_hops(t->path, hop, hops);
	r.hops = hops;
	r.pins = keys;
	r.n_pins = a->j.pin_n;
	r.trust_first = t->trust_first != 0;
	method.kind = t->method;
	r.methods = methods;
	r.n_methods = 1;
	r.policy = &p.msg;
	r.host = t->asset_address;
	r.port = t->port;
	if (text != NULL)
		r.header = ctl_bytes(text, strlen(text));
	if (t->proof)
		r.proof = ctl_str(CLAIM_COMMAND);
	conn_send_fds(a->conn, SP_MSG_TARGET_REPLY, a->corr, &r, &a->commands_fd, a->commands_fd != -1);
	a->commands_fd = -1;		/* taken */
	free(text);
	json_decref(header);
	policy_msg_release(&p);
}

/* ---- the dialled socket ---- */

struct dialing {
	struct ctl	*ctl;
	struct target	*target;
};

static void
dial_reply(struct target *t, enum sp_err err, const char *text, const char *address, int *fd)
{
	Sallyport__DialReply r = SALLYPORT__DIAL_REPLY__INIT;

	if (t->conn == NULL || !conn_alive(t->conn)) {
		if (fd != NULL)
			sp_closep(fd);
		return;
	}
	r.session_id = ctl_uuid_bytes(&t->row.id);
	r.err = err;
	r.text = ctl_str(text);
	r.address = ctl_str(address);
	conn_send_fds(t->conn, SP_MSG_DIAL_REPLY, 0, &r, fd, fd != NULL ? 1 : 0);
}

/* Where did the socket really go, and from which of our addresses? */
static int
dial_is_own(struct target *t, int fd)
{
	struct sockaddr_storage ss;
	struct sockaddr *sa = (struct sockaddr *)(void *)&ss;
	socklen_t n = sizeof(ss);
	struct sp_netaddr local, peer;

	if (getsockname(fd, sa, &n) == -1 || sp_netaddr_from_sockaddr(sa, &local) != SP_OK)
		return t->proof;	/* a proof is about an address */
	sp_netaddr_text(&local, t->local_ip);
	n = sizeof(ss);
	if (getpeername(fd, sa, &n) == -1 || sp_netaddr_from_sockaddr(sa, &peer) != SP_OK)
		return t->proof;
	sp_netaddr_text(&peer, t->peer);
	t->peer_port = peer.port;
	if (t->path != NULL)
		sp_netaddr_text(&peer, t->path->dialled);
	return own_is_ours(t->ctl, &peer, peer.port, &t->database) ||
	    (t->proof && !t->ctl->child.conf.claim_local && own_is_local(&peer));
}

static void
dial_result(void *arg, enum sp_err err, struct sp_msg *m)
{
	struct dialing *d = arg;
	struct target *t = d->target;
	const Sallyport__DialResult *r = m != NULL && m->id == SP_MSG_DIAL_RESULT ? (Sallyport__DialResult *)m->body : NULL;
	char text[800];

	t->dialing = 0;
	if (err != SP_OK || r == NULL) {
		dial_reply(t, err == SP_OK ? SP_EINTERNAL : err, "The target cannot be reached just now: the dialer did not answer.", "", NULL);
	} else if (r->err != SP_OK || m->nfds != 1) {
		const struct zone_hop *jump = zone_hop(t, 1);

		sp_snprintf(text, sizeof(text), jump != NULL ? "Jump server %s of zone %s cannot be reached: %s." : "Cannot connect to %s%s: %s.",
		    jump != NULL ? jump->asset : t->row.asset_name, jump != NULL ? jump->zone : "",
		    *r->text ? r->text : sp_err_text((enum sp_err)r->err));
		dial_reply(t, r->err != SP_OK ? (enum sp_err)r->err : SP_EUNREACH, text, r->address, NULL);
	} else if (dial_is_own(t, m->fds[0])) {
		dial_reply(t, SP_EDENIED, "The bastion itself is never a target.", r->address, NULL);
	} else {
		dial_reply(t, SP_OK, "", r->address, &m->fds[0]);
	}
	target_unref(t);
	free(d);
}

static void
target_dial(struct target *t)
{
	Sallyport__DialAsk q = SALLYPORT__DIAL_ASK__INIT;
	struct dialing *d = calloc(1, sizeof(*d));
	const struct sp_config *conf = &t->ctl->child.conf;
	char *refuse[] = { ctl_str("loopback"), ctl_str("linklocal") };

	if (d == NULL) {
		dial_reply(t, SP_ENOMEM, "Out of memory.", "", NULL);
		return;
	}
	*d = (struct dialing){ t->ctl, target_ref(t) };
	q.session_id = ctl_uuid_bytes(&t->row.id);
	q.host = t->path != NULL ? t->path->hop[0].address : t->asset_address;
	q.port = t->path != NULL ? t->path->hop[0].port : t->port;
	q.timeout_us = conf->dial_timeout;
	q.purpose = ctl_str("target");
	if (t->proof && !conf->claim_local) {
		q.refuse = refuse;
		q.n_refuse = SP_NELEMS(refuse);
	}
	t->dialing = 1;
	ctl_link_ask(t->ctl->dialer, SP_MSG_DIAL_ASK, &q, 1, conf->dial_timeout + 2 * SP_US_PER_S, dial_result, d);
}

/* ---- granted ---- */

static void
target_spawn_scribe(const struct target *t, const struct auditors *to, const struct sp_policy_decision *d)
{
	Sallyport__ScribeSpawn s = SALLYPORT__SCRIBE_SPAWN__INIT;
	uint8_t keys[AUDITORS_MAX * sizeof(to->key[0].pk)];

	for (size_t i = 0; i < to->n; i++)
		memcpy(keys + i * sizeof(to->key[0].pk), to->key[i].pk, sizeof(to->key[0].pk));
	s.recipients = ctl_bytes(keys, to->n * sizeof(to->key[0].pk));
	s.keep = d->keep;
	s.keep_max = (uint64_t)d->keep_max_mb << 20;
	s.conn_id = ctl_uuid_bytes(&t->row.conn_id);
	s.session_id = ctl_uuid_bytes(&t->row.id);
	s.reserved = t->conn != NULL && t->conn->role >= SP_STORE_ROLE_ADMIN;	/* a disk that is low is theirs to mend */
	if (sp_chan_send(t->ctl->child.monitor, SP_MSG_SCRIBE_SPAWN, 0, &s, NULL, 0) != SP_OK)
		sp_error("the monitor does not take a request for a scribe");
}

/* The intent is on disk. */
static void
asking_durable(void *arg, enum sp_err err, uint64_t seq)
{
	struct asking *a = arg;
	struct target *t = a->target;

	(void)seq;
	if (err != SP_OK || !conn_alive(a->conn) || t->killed) {
		if (conn_alive(a->conn))
			asking_refuse(a, SP_EUNAVAIL, "The session cannot be recorded just now; try again.");
		event_write_end(t, "never started", "system");
		target_unbind(t);
	} else {
		target_index(t);
		target_label(t);
		asking_reply(a);
		target_spawn_scribe(t, &a->auditors, &a->j.decision);
		target_dial(t);
	}
	asking_free(a);
}

static void
asking_grant(struct asking *a)
{
	struct sp_uuid id;

	sp_uuid_make(&id);
	if ((a->target = target_new(a->conn->ctl, &id)) == NULL) {
		asking_refuse(a, SP_ENOMEM, "Out of memory.");
		asking_free(a);
		return;
	}
	target_ref(a->target);
	target_bind(a->target, a->conn);
	target_fill(a->target, a);
	asking_log(a, "session.request", "ok", asking_durable);
}

static void
asking_done(struct ctl_job *cj)
{
	struct asking *a = sp_container(cj, struct asking, job);
	const char *no = NULL;

	if (!conn_alive(a->conn)) {
		asking_free(a);
		return;
	}
	if (cj->err != SP_OK) {
		a->j.err = cj->err;
		(void)sp_strlcpy(a->j.text, "The access decision could not be made just now; try again.", sizeof(a->j.text));
	} else if (a->j.err == SP_OK && (no = asking_check(a)) != NULL) {
		a->j.err = SP_EUNAVAIL;
		(void)sp_strlcpy(a->j.text, no, sizeof(a->j.text));
		a->j.why[0] = '\0';
	}
	if (a->j.proof)
		(void)sp_strlcpy(a->protocol, "proof", sizeof(a->protocol));
	if (a->j.err == SP_OK && a->ask != NULL) {
		a->j.err = SP_EUSAGE;
		sp_snprintf(a->j.text, sizeof(a->j.text), "A %s is required for this target%s: connect with a terminal (ssh -t), or "
		    "give it with ssh -o SetEnv=SALLYPORT_REASON=...", a->ask, *a->reason != '\0' ? ", and this is none that does" : "");
		a->j.why[0] = '\0';
	}
	if (a->j.err == SP_OK && !asking_wants_code(a)) {
		asking_grant(a);
		return;
	}
	asking_log(a, "session.request", "refused", NULL);
	asking_refuse(a, a->j.err, a->j.text);
	asking_free(a);
}

void
target_ask(struct conn *cn, uint32_t corr, const Sallyport__TargetAsk *q)
{
	struct asking *a = calloc(1, sizeof(*a));

	if (a == NULL) {
		conn_kill(cn, NULL, "out of memory", "system");
		return;
	}
	a->conn = conn_ref(cn);
	a->corr = corr;
	a->commands_fd = -1;
	a->job.work = asking_work;
	a->job.done = asking_done;
	a->j.user_id = cn->user_id;
	a->j.epoch = cn->epoch;
	a->j.source = cn->source;
	a->j.only_asset = cn->inner ? cn->inner_asset : (struct sp_uuid){ 0 };
	a->j.wanted = judge_protocol(q->protocol);
	(void)sp_strlcpy(a->protocol, a->j.wanted != 0 ? q->protocol : "ssh", sizeof(a->protocol));
	sp_escape(q->form, strlen(q->form), a->form, sizeof(a->form));
	sp_escape(q->reason, strlen(q->reason), a->reason, sizeof(a->reason));
	if (strcmp(q->protocol, "forward") == 0)
		a->j.wanted = 0;	/* which destination, and whether at all, is asked for each forward */
	/* A name that is too long, or is no plain text, names nothing. */
	if (!sp_text_is_plain(q->asset, strlen(q->asset)) || !sp_text_is_plain(q->account, strlen(q->account)) ||
	    sp_strlcpy(a->j.asset_text, q->asset, sizeof(a->j.asset_text)) != 0 ||
	    sp_strlcpy(a->j.account_text, q->account, sizeof(a->j.account_text)) != 0 || *q->asset == '\0') {
		a->j.err = SP_EINVAL;
		a->j.asset_text[0] = a->j.account_text[0] = '\0';
		asking_refuse(a, SP_EINVAL, "That is not the name of an asset and an account.");
		asking_free(a);
		return;
	}
	if (!conn_may_log(cn, VOLUME_TARGET, 0)) {
		asking_refuse(a, SP_EBUSY, VOLUME_TEXT);
		asking_free(a);
		return;
	}
	ctl_job_run(cn->ctl, CTL_READ, &a->job);
}

/* ---- what the session says about it ---- */

static void
state_durable(void *arg, enum sp_err err, uint64_t seq)
{
	(void)err;
	(void)seq;
	conn_unref(arg);	/* it counted as a question until it was written */
}

void
target_state(struct conn *cn, const Sallyport__TargetState *s)
{
	static const char *const kinds[] = { "session.up", "session.failed", "session.closed" };
	struct target *t = target_of(cn, &s->session_id);
	struct audit_entry e;
	json_t *more;

	if (t == NULL)
		return;
	if ((unsigned)s->state >= SP_NELEMS(kinds)) {
		conn_misbehaved(cn, "an unknown state of a target");
		return;
	}
	more = json_object();
	if (*s->detail && sp_utf8_valid(s->detail, strlen(s->detail)))
		json_object_set_new(more, "detail", json_string(s->detail));
	e = (struct audit_entry){ .kind = kinds[s->state], .actor = cn->login, .source = cn->source_text, .conn = &cn->id,
	    .session = &t->row.id, .user = &cn->user_id, .asset = &t->row.asset_id, .account = &t->account_id,
	    .result = s->state == SALLYPORT__TARGET_STATE__STATE__FAILED ? "failed" : "ok", .text = s->text, .more = more };
	audit_append(cn->ctl->audit, &e, state_durable, conn_ref(cn));
	json_decref(more);
	if (s->state == SALLYPORT__TARGET_STATE__STATE__UP) {
		t->up = 1;
	} else if (s->state == SALLYPORT__TARGET_STATE__STATE__FAILED && !t->ended) {
		sp_escape(s->text, strlen(s->text), t->row.error, sizeof(t->row.error));
		target_index(t);
	}
	if (s->state != SALLYPORT__TARGET_STATE__STATE__UP) {
		t->closed = 1;		/* it does not count any more */
		lease_drop(cn->ctl, &cn->id, &t->row.id);
		/* No scribe, or it ends without a word: the session's own account becomes the end. */
		if (!t->ended && t->scribe == NULL && t->lost_at_us == 0) {
			t->lost_at_us = sp_now_us() + CTL_LOST_US;
			sp_escape(*s->text ? s->text : "ended before it was recorded",
			    strlen(*s->text ? s->text : "ended before it was recorded"), t->lost_reason, sizeof(t->lost_reason));
		}
	}
}
