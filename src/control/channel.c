/* src/control/channel.c - CHANNEL_ASK: every channel and request on a connection to a target is asked for, judged by the
 * rows of now, and its leaf is durable before the session may pass it on. Unknown kinds are refused.
 * Process: control, event loop; judging and hashing in a reader.
 * Forwards: the grant names destinations; a name is resolved here, each address is judged, and the literal address that
 * was judged is what the target is asked to connect to: nothing can change between the check and the use. */
#include "control/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/claim.h"
#include "control/judge.h"
#include "control/mfa.h"
#include "control/wall.h"
#include "crypto/hash.h"
#include "policy/command.h"
#include "policy/forward.h"

struct opening {
	struct ctl_job			 job;
	struct conn			*conn;
	struct target			*target;
	uint32_t			 corr, channel, cols, rows;
	int				 pty, forward, cut;
	int				 enrolled, mfa;	/* mfa: a one-time code would do */
	int				 proof;		/* a pending asset: only its claimant's proof goes there */
	char				 type[32], term[64];
	uint32_t			 wanted;	/* any of these bits will do */
	struct sp_uuid			 user_id, asset_id;
	int64_t				 epoch;
	struct sp_netaddr		 source, database;
	char				 account[SP_STORE_NAME_MAX + 1];
	char				 host[SP_POLICY_HOST_MAX + 1];
	uint32_t			 port;
	char				 address[SP_NETADDR_SIZE > SP_POLICY_HOST_MAX ? SP_NETADDR_SIZE : SP_POLICY_HOST_MAX + 1];
	char				 why[300], hash[65];
	struct sp_policy_decision	 d;
	size_t				 detail_len;
	char				*detail;	/* may be 128 KiB; not NUL-free text: bytes of the user */
};

static const struct {
	const char	*type;
	uint32_t	 any;		/* protocols of which one is needed */
	int		 forward;	/* detail is host:port, to be judged against the grant's destinations */
} types[] = {
	{ "shell",		SP_POLICY_SHELL, 0 },
	{ "exec",		SP_POLICY_EXEC, 0 },
	{ "scp",		SP_POLICY_SCP, 0 },		/* an exec request of exactly that form; exec carries it too */
	{ "sftp",		SP_POLICY_SFTP, 0 },		/* subsystem, detail "sftp" */
	{ "forward-local",	SP_POLICY_FWD_LOCAL | SP_POLICY_FWD_DYNAMIC, 1 },
	{ "forward-remote",	SP_POLICY_FWD_REMOTE, 0 },
	{ "forwarded",		SP_POLICY_FWD_REMOTE, 0 },
	{ "agent",		SP_POLICY_AGENT, 0 },
	{ "x11",		SP_POLICY_X11, 0 },
};

static void
opening_free(struct opening *o)
{
	target_unref(o->target);
	conn_unref(o->conn);
	free(o->detail);
	free(o);
}

static json_t *
opening_text(const struct opening *o)
{
	struct sp_buf b;
	json_t *j;

	if (sp_utf8_valid(o->detail, o->detail_len) && memchr(o->detail, 0, o->detail_len) == NULL)
		return json_stringn(o->detail, o->detail_len);
	/* What is not text is kept as bytes. */
	sp_buf_init(&b, 2 * CTL_COMMAND_MAX);
	j = json_object();
	if (sp_base64(&b, o->detail, o->detail_len) == SP_OK)
		json_object_set_new(j, "base64", json_string(sp_buf_cstr(&b)));
	sp_buf_release(&b);
	return j;
}

static void
opening_log(struct opening *o, const char *result, const char *text, audit_fn *durable)
{
	const struct target *t = o->target;
	char line[300] = "";
	json_t *more = json_pack("{s:s, s:I}", "type", o->type, "channel", (json_int_t)o->channel);
	struct audit_entry e = { .kind = "channel.open", .actor = o->conn->login, .result = result,
	    .source = o->conn->source_text, .conn = &o->conn->id, .session = &t->row.id, .user = &o->user_id,
	    .asset = &o->asset_id, .account = &t->account_id, .text = text, .more = more };

	if (text == NULL) {	/* one line for people; the whole is in `detail` */
		sp_escape(o->detail, o->detail_len, line + (size_t)snprintf(line, sizeof(line), "%s%s", o->type,
		    o->detail_len > 0 ? ": " : ""), sizeof(line) - sizeof(o->type) - 2);
		e.text = line;
	}
	if (o->detail_len > 0)
		json_object_set_new(more, "detail", opening_text(o));
	if (o->cut) {
		json_object_set_new(more, "detail_bytes", json_integer((json_int_t)o->cut));
		json_object_set_new(more, "detail_sha256", json_string(o->hash));
	}
	if (*o->address)
		json_object_set_new(more, "address", json_string(o->address));
	if (o->pty)
		json_object_set_new(more, "pty", json_pack("{s:I, s:I}", "cols", (json_int_t)o->cols, "rows", (json_int_t)o->rows));
	audit_append(o->conn->ctl->audit, &e, durable, durable != NULL ? o : NULL);
	json_decref(more);
}

static void
opening_reply(struct opening *o, enum sp_err err, const char *text)
{
	Sallyport__ChannelReply r = SALLYPORT__CHANNEL_REPLY__INIT;

	if (conn_alive(o->conn)) {
		r.err = err;
		r.text = ctl_str(text);
		if (err == SP_OK) {
			r.address = o->address;
			r.port = o->port;
		}
		r.mfa = o->mfa != 0;
		conn_send(o->conn, SP_MSG_CHANNEL_REPLY, o->corr, &r);
	}
	opening_free(o);
}

static void
opening_refuse(struct opening *o, enum sp_err err, const char *text)
{
	opening_log(o, "refused", *o->why ? o->why : text, NULL);
	opening_reply(o, err, text);
}

static void
opening_durable(void *arg, enum sp_err err, uint64_t seq)
{
	struct opening *o = arg;

	(void)seq;
	if (err != SP_OK)
		opening_reply(o, SP_EUNAVAIL, "This cannot be recorded just now; try again.");
	else if (o->target->killed || o->target->ended || o->target->conn != o->conn)
		opening_reply(o, SP_ECLOSED, "The session has ended.");
	else
		opening_reply(o, SP_OK, "");
}

/* ---- forwards ---- */

/* Does the grant name that very host, by name and not by a pattern? */
static int
names_host(const char *list, const char *host, uint32_t port)
{
	size_t hl = strlen(host);

	for (const char *s = list, *e; *s; s = *e ? e + 1 : e) {
		char one[SP_POLICY_HOST_MAX + 16];

		e = strchrnul(s, ',');
		if ((size_t)(e - s) >= sizeof(one) || (size_t)(e - s) <= hl || s[hl] != ':' || strncasecmp(s, host, hl) != 0)
			continue;
		memcpy(one, s, (size_t)(e - s));
		one[e - s] = '\0';
		if (sp_policy_forward_allowed(one, host, NULL, port) != SP_POLICY_FWD_NO)
			return 1;
	}
	return 0;
}

/* Does the grant name that very address and port, without any pattern? Only that opens one of our own services. */
static int
names_exactly(const char *list, const struct sp_netaddr *a, uint32_t port)
{
	struct sp_netaddr with = *a;
	char want[SP_NETADDR_SIZE];
	size_t n;

	with.port = (uint16_t)port;
	sp_netaddr_text_port(&with, want);
	n = strlen(want);
	for (const char *s = list, *e; *s; s = *e ? e + 1 : e) {
		s += strspn(s, " ");
		e = strchrnul(s, ',');
		if ((size_t)(e - s) == n && memcmp(s, want, n) == 0)
			return 1;
	}
	return 0;
}

static int
forward_take(struct opening *o, const struct sp_netaddr *a)
{
	if (sp_policy_forward_allowed(o->d.forwards, o->host, a, o->port) != SP_POLICY_FWD_YES ||
	    (own_is_ours(o->conn->ctl, a, o->port, &o->database) && !names_exactly(o->d.forwards, a, o->port)))
		return 0;
	sp_netaddr_text(a, o->address);
	return 1;
}

static void
forward_resolved(void *arg, enum sp_err err, struct sp_msg *m)
{
	struct opening *o = arg;
	const Sallyport__DialResult *r = m != NULL && m->id == SP_MSG_DIAL_RESULT ? (Sallyport__DialResult *)m->body : NULL;
	struct sp_netaddr a;

	if (!conn_alive(o->conn)) {
		opening_free(o);
		return;
	}
	if (err != SP_OK || r == NULL) {
		opening_refuse(o, SP_EUNAVAIL, "The destination cannot be resolved just now; try again.");
		return;
	}
	if (r->err == SP_OK) {
		for (size_t i = 0; i < r->n_addresses; i++)
			if (sp_netaddr_parse(r->addresses[i], &a) == SP_OK && forward_take(o, &a)) {
				opening_log(o, "ok", NULL, opening_durable);
				return;
			}
		if (r->n_addresses == 0 && sp_netaddr_parse(r->address, &a) == SP_OK && forward_take(o, &a)) {
			opening_log(o, "ok", NULL, opening_durable);
			return;
		}
		opening_refuse(o, SP_EDENIED, "Your grant does not allow forwarding to that destination.");
	} else if (names_host(o->d.forwards, o->host, o->port)) {
		(void)sp_strlcpy(o->address, o->host, sizeof(o->address));	/* known at the target only */
		opening_log(o, "ok", NULL, opening_durable);
	} else {
		opening_refuse(o, SP_EDENIED, "The destination of the forward cannot be resolved here, so it is refused.");
	}
}

static void
forward_start(struct opening *o)
{
	Sallyport__DialAsk q = SALLYPORT__DIAL_ASK__INIT;
	struct sp_netaddr a;

	if (sp_netaddr_parse(o->host, &a) == SP_OK) {
		if (forward_take(o, &a))
			opening_log(o, "ok", NULL, opening_durable);
		else
			opening_refuse(o, SP_EDENIED, "Your grant does not allow forwarding to that destination.");
		return;
	}
	if (sp_policy_forward_allowed(o->d.forwards, o->host, NULL, o->port) == SP_POLICY_FWD_NO) {
		opening_refuse(o, SP_EDENIED, "Your grant does not allow forwarding to that destination.");
		return;
	}
	q.session_id = ctl_uuid_bytes(&o->target->row.id);
	q.host = o->host;
	q.port = o->port;
	q.timeout_us = o->conn->ctl->child.conf.dial_timeout;
	q.resolve_only = 1;
	q.purpose = ctl_str("forward");
	ctl_link_ask(o->conn->ctl->dialer, SP_MSG_DIAL_ASK, &q, 1, q.timeout_us, forward_resolved, o);
}

/* "host:port" or "[v6]:port" */
static int
forward_parse(struct opening *o)
{
	const char *s = o->detail, *colon = strrchr(s, ':');
	size_t n;
	char *end;
	unsigned long port;

	if (colon == NULL || colon == s)
		return 0;
	n = (size_t)(colon - s);
	if (s[0] == '[' && s[n - 1] == ']') {
		s++;
		n -= 2;
	}
	port = strtoul(colon + 1, &end, 10);
	if (n == 0 || n >= sizeof(o->host) || *end != '\0' || colon[1] < '0' || colon[1] > '9' || port == 0 || port > 65535)
		return 0;
	memcpy(o->host, s, n);
	o->host[n] = '\0';
	o->port = (uint32_t)port;
	return sp_text_is_plain(o->host, n);
}

/* ---- the rows ---- */

/* By the rows: a control that has started meanwhile knows of no target that it was opened for a proof. */
static enum sp_err
opening_is_proof(struct sp_store *s, struct opening *o)
{
	struct sp_store_asset a;
	int provable = 0;
	enum sp_err r = sp_store_asset_get(s, &o->asset_id, &a);

	if (r == SP_OK && (r = claim_provable(s, &o->user_id, &a, ctl_wall_us(), &provable)) == SP_OK)
		o->proof |= provable;
	return r == SP_ENOENT || r == SP_ETAMPERED ? SP_OK : r;	/* what that means, judge_again says */
}

static void
opening_work(struct ctl_job *j, struct sp_store *s)
{
	struct opening *o = sp_container(j, struct opening, job);
	uint8_t h[SP_SHA256_LEN];

	if (o->detail_len > CTL_COMMAND_MAX) {
		size_t keep = CTL_COMMAND_MAX;

		sp_sha256(o->detail, o->detail_len, h);
		sp_hex(h, sizeof(h), o->hash);
		o->cut = (int)o->detail_len;
		while (keep > 0 && ((unsigned char)o->detail[keep] & 0xc0) == 0x80)
			keep--;		/* not through a character */
		o->detail_len = keep;
		o->detail[keep] = '\0';
	}
	(void)sp_store_server(s, &o->database);
	if ((j->err = opening_is_proof(s, o)) != SP_OK)
		return;
	j->err = judge_again(s, &o->user_id, o->epoch, &o->source, &o->asset_id, o->account, 0, &o->d, NULL, o->why,
	    sizeof(o->why));
	if (j->err == SP_OK && o->d.allowed && o->d.mfa_interval_s != SP_POLICY_MFA_NEVER)
		j->err = mfa_enrolled(s, &o->user_id, &o->enrolled);
}

/* A multiplexed connection does not outlive its one-time code: what is opened late is asked for anew. */
static void
opening_wants_code(struct opening *o)
{
	char text[512];

	o->mfa = o->enrolled;
	mfa_text(o->conn->ctl, o->target->row.asset_name, o->enrolled, text, sizeof(text));
	(void)sp_strlcpy(o->why, "a one-time code is wanted", sizeof(o->why));
	opening_refuse(o, SP_EACCES, text);
}

/* Of an agent channel the grant names the kind, too. */
static int
opening_agent(const struct opening *o)
{
	if (strcmp(o->type, "agent") != 0)
		return 1;
	return (o->d.agent_kinds & (strcmp(o->detail, "platform") == 0 ? SP_POLICY_AGENT_PLATFORM :
	    strcmp(o->detail, "own") == 0 ? SP_POLICY_AGENT_USER : 0)) != 0;
}

/* Files: the commands that move them by their form, here; the requests of sftp one by one, in the session. */
static const char *
opening_files(const struct opening *o)
{
	const char *why;

	if (strcmp(o->type, "subsystem") == 0 && (o->d.file_direction & SP_POLICY_FILE_BOTH) == 0)
		return "Your grant allows no files in either direction.";
	if (strcmp(o->type, "exec") != 0)
		return NULL;
	if ((why = sp_policy_command_refused(o->detail, o->detail_len, o->d.file_direction)) != NULL || !o->d.paths_ruled)
		return why;
	return sp_policy_command_unruled(o->detail, o->detail_len, o->d.file_paths);
}

static void
opening_done(struct ctl_job *j)
{
	struct opening *o = sp_container(j, struct opening, job);
	const char *files;
	char text[128];

	if (!conn_alive(o->conn) || o->target->conn != o->conn || o->target->ended || o->target->killed) {
		opening_reply(o, SP_ECLOSED, "The session has ended.");
	} else if (j->err != SP_OK) {
		opening_reply(o, j->err, "The access decision could not be made just now; try again.");
	} else if (o->proof && (strcmp(o->type, "exec") != 0 || strcmp(o->detail, CLAIM_COMMAND) != 0)) {
		opening_refuse(o, SP_EDENIED, "Nothing but the proof of ownership is run on this target.");
	} else if (!o->d.allowed || (o->d.protocols & o->wanted) == 0 || !opening_agent(o)) {
		sp_snprintf(text, sizeof(text), "Your grant does not allow %s on this target.", o->type);
		if (o->d.allowed)
			o->why[0] = '\0';
		opening_refuse(o, SP_EDENIED, text);
	} else if ((files = opening_files(o)) != NULL) {
		o->why[0] = '\0';
		opening_refuse(o, SP_EDENIED, files);
	} else if (mfa_wanted(o->conn, &o->user_id, o->d.mfa_interval_s)) {
		opening_wants_code(o);
	} else if (o->forward) {
		o->why[0] = '\0';
		forward_start(o);
	} else {
		opening_log(o, "ok", NULL, opening_durable);
	}
}

static int
opening_type(const char *type, const char *detail)
{
	/* The only subsystem is sftp; whatever else is asked for under that name is unknown. */
	if (strcmp(type, "subsystem") == 0)
		type = strcmp(detail, "sftp") == 0 ? "sftp" : "";
	/* What the session says about a command is not taken for granted. */
	if (strcmp(type, "exec") == 0 || strcmp(type, "scp") == 0)
		type = sp_policy_command_is_scp(detail, strlen(detail)) ? "scp" : "exec";
	for (size_t i = 0; i < SP_NELEMS(types); i++)
		if (strcmp(types[i].type, type) == 0)
			return (int)i;
	return -1;
}

void
channel_ask(struct conn *cn, uint32_t corr, const Sallyport__ChannelAsk *q)
{
	struct target *t = target_of(cn, &q->session_id);
	int type = opening_type(q->type, q->detail);
	struct opening *o;

	if (t == NULL)
		return;
	if ((o = calloc(1, sizeof(*o))) == NULL || (o->detail = strdup(q->detail)) == NULL) {
		free(o);
		conn_kill(cn, NULL, "out of memory", "system");
		return;
	}
	o->conn = conn_ref(cn);
	o->target = target_ref(t);
	o->corr = corr;
	o->channel = q->channel;
	o->pty = q->pty;
	o->cols = q->cols;
	o->rows = q->rows;
	o->detail_len = strlen(o->detail);
	sp_escape(q->type, strlen(q->type), o->type, sizeof(o->type));
	if (!conn_may_log(cn, VOLUME_CHANNEL, o->detail_len < CTL_COMMAND_MAX ? o->detail_len : CTL_COMMAND_MAX)) {
		opening_reply(o, SP_EBUSY, VOLUME_TEXT);
		return;
	}
	if (type < 0) {
		if (o->detail_len > 1024) {
			o->detail_len = 0;	/* nobody knows what it is: no place for its text */
		}
		opening_refuse(o, SP_EDENIED, "This kind of channel is not allowed here.");
		return;
	}
	o->wanted = types[type].any;
	o->forward = types[type].forward;
	if (o->forward && !forward_parse(o)) {
		opening_refuse(o, SP_EINVAL, "The destination of the forward is not host:port.");
		return;
	}
	o->user_id = cn->user_id;
	o->epoch = cn->epoch;
	o->source = cn->source;
	o->asset_id = t->row.asset_id;
	o->proof = t->proof;
	(void)sp_strlcpy(o->account, t->row.account, sizeof(o->account));
	o->job.work = opening_work;
	o->job.done = opening_done;
	ctl_job_run(cn->ctl, CTL_READ, &o->job);
}

void
channel_refused(struct conn *cn, uint32_t corr, const Sallyport__ChannelRefused *q)
{
	Sallyport__ChannelReply r = SALLYPORT__CHANNEL_REPLY__INIT;
	char type[64], text[160];
	json_t *more;
	struct audit_entry e = { .kind = "channel.open", .actor = cn->login, .result = "refused", .source = cn->source_text,
	    .conn = &cn->id, .user = &cn->user_id, .text = text };

	sp_escape(q->type, strlen(q->type), type, sizeof(type));
	sp_escape(q->text, strlen(q->text), text, sizeof(text));
	if (conn_may_log(cn, VOLUME_CHANNEL, 0)) {
		e.more = more = json_pack("{s:s}", "type", type);
		audit_append(cn->ctl->audit, &e, NULL, NULL);
		json_decref(more);
	}
	r.err = SP_EDENIED;
	conn_send(cn, SP_MSG_CHANNEL_REPLY, corr, &r);
}
