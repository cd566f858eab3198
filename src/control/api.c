/* src/control/api.c - the admin socket and calls over SSH: who calls, may he, run it, write it down, answer.
 * Process: control. See api.h for the life of a call. */
#include "control/loghead.h"
#include "control/api.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/api_bulk.h"
#include "control/api_tree.h"
#include "control/mfa.h"
#include "control/methods.h"
#include "control/shell.h"
#include "control/snapshot.h"
#include "control/wall.h"

#define CLIENTS_MAX	256
#define CALLS_MAX	64		/* under way for one caller */
#define PART_BYTES	(96 * 1024)	/* of JSON in one reply */
#define QUEUE_HIGH	(1024 * 1024)	/* wait with further parts while so much is queued */
#define ASK_WAIT_US	(60 * SP_US_PER_S)

struct api_client {
	struct sp_list		 link;
	struct ctl		*ctl;
	struct sp_chan		*chan;
	unsigned		 refs, calls;
	int64_t			 uid;
	int			 pid;
};
struct api {
	struct ctl		*ctl;
	int			 listen_fd, proc_fd;
	struct sp_source	*source;
	struct sp_list		 clients, sending;
	size_t			 clients_n;
	struct sp_timer		*more;
};

static const struct api_method methods[] = {
#define READ CTL_READ
#define WRITE CTL_WRITE
#define BULK CTL_BULK
#define M(name, work, lane, loop, who, audit) { name, work, lane, loop, API_##who, audit },
#include "control/methods.def"
#undef M
#undef READ
#undef WRITE
#undef BULK
};

static void
client_unref(struct api_client *cl)
{
	if (--cl->refs > 0)
		return;
	sp_chan_free(cl->chan);
	free(cl);
}

static void
call_free(struct api_call *c)
{
	if (c->client != NULL) {
		c->client->calls--;
		client_unref(c->client);
	}
	if (c->shell != NULL)
		shell_call_done(c->shell);
	shell_unref(c->shell);
	conn_unref(c->conn);
	json_decref(c->params);
	json_decref(c->out);
	json_decref(c->audit_more);
	changes_drop(&c->changes);
	if (c->reply != NULL)
		protobuf_c_message_free_unpacked(c->reply, NULL);
	if (c->ask != NULL)
		explicit_bzero(c->ask, c->ask_len);
	free(c->ask);
	sp_closep(&c->fd);
	if (c->state_free != NULL)
		c->state_free(c->state);
	else
		free(c->state);
	free(c);
}

const char *
api_actor(const struct api_call *c)
{
	return *c->caller.login ? c->caller.login : c->local_root ? "root" : "";
}

const void *
api_line(const struct api_call *c)
{
	return c->client != NULL ? (const void *)c->client : (const void *)c->shell;
}

/* ---- the answer ---- */

static struct sp_chan *
call_chan(const struct api_call *c)
{
	if (c->client != NULL)
		return c->client->chan;
	if (c->shell != NULL)
		return shell_chan(c->shell);
	return conn_alive(c->conn) ? c->conn->chan : NULL;
}

static enum sp_err
call_send(struct api_call *c, const char *text, size_t n, int more)
{
	Sallyport__CallReply r = SALLYPORT__CALL_REPLY__INIT;
	struct sp_chan *chan = call_chan(c);

	if (chan == NULL)
		return SP_ECLOSED;
	r.err = c->err;
	r.text = c->text;
	r.more = more;
	r.mfa = c->mfa;
	r.body = ctl_bytes(text, n);
	return sp_chan_send(chan, SP_MSG_CALL_REPLY, c->corr, &r, &c->fd, !more && c->fd >= 0 ? 1 : 0);
}

/* As many rows as fit one reply. Returns 1 when the answer is complete. */
static int
call_send_part(struct api_call *c)
{
	size_t n = json_array_size(c->out), bytes = 2;
	json_t *part = json_array();
	char *text;
	int last;

	while (c->sent < n) {
		json_t *row = json_array_get(c->out, c->sent);
		size_t len = json_dumpb(row, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) + 1;	/* a row may be a text */

		if (bytes + len > PART_BYTES && json_array_size(part) > 0)
			break;
		json_array_append(part, row);
		bytes += len;
		c->sent++;
	}
	last = c->sent == n;
	text = json_dumps(part, JSON_COMPACT);
	if (text == NULL || call_send(c, text, strlen(text), !last) != SP_OK) {
		/* Not a list that just ends: the caller is told, if he can be. */
		(void)api_fail(c, SP_EINTERNAL, "the answer cannot be sent");
		(void)!call_send(c, "", 0, 0);
		last = 1;
	}
	if (last)
		c->fd = -1;	/* given to the channel, or closed with the call */
	free(text);
	json_decref(part);
	return last;
}

static int
call_may_send(const struct api_call *c)
{
	return call_chan(c) == NULL || sp_chan_queued(call_chan(c)) < QUEUE_HIGH;
}

static void
call_answer(struct api_call *c)
{
	struct api *a = c->ctl->api;
	char *text;

	if (c->err == SP_OK && json_is_array(c->out)) {
		while (call_may_send(c))
			if (call_send_part(c)) {
				call_free(c);
				return;
			}
		sp_list_add_tail(&a->sending, &c->link);
		sp_timer_in(a->more, 10 * SP_US_PER_MS);
		return;
	}
	text = c->err == SP_OK && c->out != NULL ? json_dumps(c->out, JSON_COMPACT) : NULL;
	if (text != NULL && strlen(text) > PART_BYTES) {
		(void)api_fail(c, SP_ESIZE, "the answer is too long");
		free(text);
		text = NULL;
	}
	if (call_send(c, text != NULL ? text : "", text != NULL ? strlen(text) : 0, 0) == SP_OK)
		c->fd = -1;
	free(text);
	call_free(c);
}

static void
api_send_more(struct sp_timer *t, void *arg)
{
	struct api *a = arg;

	sp_list_each(it, &a->sending) {
		struct api_call *c = sp_container(it, struct api_call, link);
		int done = 0;

		while (!done && call_may_send(c))
			done = call_send_part(c);
		if (done) {
			sp_list_remove(&c->link);
			call_free(c);
		}
	}
	if (!sp_list_empty(&a->sending))
		sp_timer_in(t, 10 * SP_US_PER_MS);
}

/* ---- the audit entry ---- */

static void
call_entry(struct api_call *c, struct audit_entry *e)
{
	*e = (struct audit_entry){ .kind = c->m->audit, .actor = api_actor(c), .source = c->source,
	    .result = c->err == SP_OK ? "ok" : "refused", .text = c->err == SP_OK ? c->what : c->text, .user = &c->user,
	    .asset = &c->asset, .account = &c->account, .object = &c->object, .session = &c->session,
	    .more = c->audit_more };
}

static void
call_durable(void *arg, enum sp_err err, uint64_t seq)
{
	struct api_call *c = arg;

	(void)seq;
	if (err != SP_OK)
		(void)api_fail(c, err, "the audit log does not take the entry");
	call_answer(c);
}

/* ---- who and whether: in the worker ---- */

static enum sp_err
call_identify(struct api_call *c, struct sp_store *s)
{
	enum sp_err r;

	c->owner = c->conn == NULL && *c->as_user == '\0' && (c->uid == 0 || c->uid == (int64_t)geteuid());
	if (c->conn != NULL) {
		r = sp_store_user_get(s, &c->caller.id, &c->caller);
	} else if ((r = sp_store_user_by_os_uid(s, c->uid, &c->caller)) == SP_ENOENT || (r == SP_ETAMPERED && c->owner)) {
		/* A row that root is bound to gives root a name: no power that a damaged one could take away. */
		c->caller = (struct sp_store_user){ 0 };
		c->local_root = c->uid == 0 || c->uid == (int64_t)geteuid();
		r = c->local_root ? SP_OK : SP_ENOENT;
	}
	if (r == SP_ENOENT)
		return api_fail(c, SP_EACCES, "your system account is not bound to a user of Sallyport");
	if (r != SP_OK)
		return api_store(c, r, "looking up who calls");
	if (sp_store_mac_mode(s) == SP_STORE_MAC_SEALED && (c->conn != NULL || (c->uid != 0 && c->uid != (int64_t)geteuid())))
		return api_fail(c, SP_ESEALED, "the vault has not been open since control started, so no user can be believed: root of this machine "
		    "runs 'sallyport vault unseal'");
	if (*c->as_user != '\0') {
		if (c->uid != 0 && c->uid != (int64_t)geteuid())
			return api_fail(c, SP_EACCES, "only root may act as somebody else");
		if ((r = sp_store_user_by_login(s, c->as_user, &c->caller)) != SP_OK && r != SP_ENOENT && r != SP_EINVAL)
			return api_store(c, r, c->as_user);
		if (r != SP_OK)
			return api_fail(c, SP_ENOENT, "there is no user \"%s\"", c->as_user);
		c->local_root = 0;
	}
	c->role = c->local_root ? SP_STORE_ROLE_ADMIN : c->caller.role;
	if (!c->local_root && (c->caller.state != SP_STORE_ACTIVE ||
	    (c->caller.valid_until_us != 0 && ctl_wall_us() >= c->caller.valid_until_us) ||
	    (c->conn != NULL && c->caller.epoch != c->conn->epoch)))
		return api_fail(c, SP_EACCES, "the user is not active");
	if (c->conn != NULL && c->shell == NULL)
		c->role = SP_STORE_ROLE_USER;	/* a session process by itself does not carry an administrator's power */
	return SP_OK;
}

static enum sp_err
call_permit(struct api_call *c)
{
	static const char *const need[] = { "", "", "an auditor's or administrator's role", "an administrator's role",
		"the role of an administrator of all departments",
		"root or the owner of this installation" };
	int64_t least[] = { 0, 0, SP_STORE_ROLE_AUDITOR, SP_STORE_ROLE_ADMIN, SP_STORE_ROLE_ADMIN, SP_STORE_ROLE_ADMIN };

	if (c->role >= least[c->m->who] && (c->m->who != API_OWNER || c->owner) &&
	    (c->m->who != API_ALL || c->local_root || sp_uuid_is_null(&c->caller.role_department_id)))
		return SP_OK;
	return api_fail(c, SP_EACCES, "%s needs %s", c->m->name, need[c->m->who]);
}

/* A call about the caller's own keys, password or codes: many of these an administrator may make for others, too. */
static int
call_is_own(const struct api_call *c)
{
	const char *login = api_text(c, "login");

	return c->m->who == API_SELF && (login == NULL || strcmp(login, c->caller.login) == 0);
}

/* Over SSH, what changes something may want a one-time code of late. Who has none yet looks after his own keys, password and
 * codes without; more than that he does with a second factor only. What a session process asks by itself is no exception. */
static enum sp_err
call_second_factor(struct api_call *c, struct sp_store *s)
{
	char value[SP_STORE_VALUE_MAX + 1] = "";
	int enrolled = 0;
	int64_t interval_s;
	enum sp_err r;

	/* Taking one's own codes away is checked with a code by itself; it could not be the same one. */
	if (c->conn == NULL || c->m->audit == NULL || (c->role == SP_STORE_ROLE_USER && strcmp(c->m->name, "user.totp.remove") == 0))
		return SP_OK;
	if ((r = sp_store_setting_get(s, API_ADMIN_MFA, value, sizeof(value))) == SP_ENOENT)
		return SP_OK;
	if (r != SP_OK || (r = mfa_enrolled(s, &c->caller.id, &enrolled)) != SP_OK)
		return api_store(c, r, "the second factor");
	if ((interval_s = strtoll(value, NULL, 10)) <= 0 || (!enrolled && call_is_own(c)) ||
	    !mfa_wanted(c->conn, &c->caller.id, interval_s))
		return SP_OK;
	c->mfa = enrolled;
	return api_fail(c, SP_EACCES, enrolled ? "that wants a one-time code: use a terminal (ssh -t)" :
	    "that wants a one-time code and you have no second factor yet: set one up with 'ssh -t %s totp enrol'",
	    c->ctl->child.conf.bastion_name);
}

/* With a log that is not what was signed, people look and end sessions, and an administrator puts it right. */
static enum sp_err
call_contained(struct api_call *c)
{
	const char *no = loghead_contained(c->ctl);

	return no == NULL || c->m->audit == NULL || loghead_allows(c->m->name) ? SP_OK : api_fail(c, SP_ESTATE, "%s", no);
}

/* Before and after, as the transaction has it. */
static void
call_changes(struct api_call *c)
{
	uint64_t left_out;
	json_t *rows = changes_take(&c->changes, &left_out);

	if (rows != NULL)
		api_more(c, "changes", rows);
	if (left_out > 0)
		api_more(c, "changes_left_out", json_integer((json_int_t)left_out));
}

static void
call_run(struct api_call *c, struct sp_store *s, api_fn *fn, enum ctl_lane lane)
{
	struct audit_entry e;
	enum sp_err r;

	if (fn == NULL)
		return;
	if (lane != CTL_READ && snapshot_in_use(c->ctl)) {
		char text[192];

		snapshot_text(c->ctl, text, sizeof(text));
		(void)api_fail(c, SP_EUNAVAIL, "%s Nothing can be changed until the store is back", text);
		return;
	}
	if (lane != CTL_WRITE) {
		fn(c, s);
		return;
	}
	if ((r = sp_store_begin(s, SP_STORE_MAIN)) != SP_OK) {
		(void)api_store(c, r, "the store");
		return;
	}
	changes_begin(&c->changes, s);
	fn(c, s);
	changes_end(s);
	if (c->err == SP_OK && c->ask_id == 0 && c->m->audit != NULL) {
		call_changes(c);
		call_entry(c, &e);
		if ((r = audit_append_wait(c->ctl->audit, &e)) != SP_OK)
			(void)api_fail(c, r, "the audit log does not take the entry");
		c->logged = r == SP_OK;
	}
	if (c->err != SP_OK) {
		sp_store_rollback(s);
	} else if ((r = sp_store_commit(s)) != SP_OK) {
		(void)api_store(c, r, "the store");
		c->logged = 0;		/* a second entry says that it failed */
	}
}

static void
call_work(struct ctl_job *j, struct sp_store *s)
{
	struct api_call *c = sp_container(j, struct api_call, job);

	if (c->stepping) {
		api_fn *fn = c->next;

		c->next = NULL;
		/* The vault may have taken its time: whoever lost his role meanwhile, or was disabled, changes nothing. */
		if (call_identify(c, s) == SP_OK && call_permit(c) == SP_OK)
			call_run(c, s, fn, CTL_WRITE);
		return;
	}
	if (call_identify(c, s) == SP_OK && call_permit(c) == SP_OK && call_contained(c) == SP_OK && call_second_factor(c, s) == SP_OK) {
		c->is_authorised = 1;
		call_run(c, s, c->m->work, c->m->lane);
	}
}

/* ---- the question to the vault ---- */

void
api_ask(struct api_call *c, uint16_t id, const void *body, uint64_t wait_us, api_fn *next)
{
	size_t n = protobuf_c_message_get_packed_size(body);

	if (c->ask != NULL) {
		explicit_bzero(c->ask, c->ask_len);
		free(c->ask);
	}
	if ((c->ask = malloc(n + 1)) == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	protobuf_c_message_pack(body, c->ask);
	c->ask_len = n;
	c->ask_id = id;
	c->ask_wait_us = wait_us != 0 ? wait_us : ASK_WAIT_US;
	c->next = next;
}

static void call_finish(struct api_call *c);

static void
call_answered(void *arg, enum sp_err err, struct sp_msg *m)
{
	struct api_call *c = arg;

	if (c->reply != NULL) {
		protobuf_c_message_free_unpacked(c->reply, NULL);
		c->reply = NULL;
	}
	if (err != SP_OK) {
		(void)api_fail(c, err == SP_ETIMEOUT ? err : SP_EUNAVAIL, "the vault did not answer: %s", sp_err_text(err));
	} else if ((c->reply = protobuf_c_message_unpack(sp_msg_spec(m->id)->body, NULL, m->raw_len, m->raw)) == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
	} else {
		c->reply_id = m->id;
		c->stepping = 1;
		ctl_job_run(c->ctl, CTL_WRITE, &c->job);
		return;
	}
	c->next = NULL;
	call_finish(c);
}

static void
call_ask_vault(struct api_call *c)
{
	ProtobufCMessage *m = protobuf_c_message_unpack(sp_msg_spec(c->ask_id)->body, NULL, c->ask_len, c->ask);
	uint16_t id = c->ask_id;

	c->ask_id = 0;
	if (m == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		call_finish(c);
		return;
	}
	ctl_link_ask(c->ctl->vault, id, m, 0, c->ask_wait_us, call_answered, c);
	protobuf_c_message_free_unpacked(m, NULL);
}

/* ---- back in the loop ---- */

static void
call_effects(struct api_call *c)
{
	if (c->epoch != 0) {
		conn_epoch(c->ctl, &c->epoch_user, c->epoch, c->epoch_reason, api_actor(c));
		c->epoch = 0;
	}
	if (c->rejudge)
		target_rejudge(c->ctl);
}

static void
call_finish(struct api_call *c)
{
	struct audit_entry e;

	if (c->err == SP_OK)
		call_effects(c);
	if (c->err == SP_OK && (c->m->lane != CTL_READ || c->stepping))
		snapshot_changed(c->ctl);
	if (c->err == SP_OK && c->m->loop != NULL)
		c->m->loop(c);
	if (c->m->audit == NULL || c->logged) {
		call_answer(c);
		return;
	}
	call_entry(c, &e);
	audit_append(c->ctl->audit, &e, call_durable, c);
}

static void
call_done(struct ctl_job *j)
{
	struct api_call *c = sp_container(j, struct api_call, job);

	if (j->err != SP_OK)
		(void)api_fail(c, j->err, "the store is not available: %s", sp_err_text(j->err));
	if (c->err == SP_OK && c->ask_id != 0) {
		call_ask_vault(c);
	} else if (c->err == SP_OK && c->next != NULL) {
		c->stepping = 1;
		ctl_job_run(c->ctl, CTL_WRITE, &c->job);
	} else {
		call_finish(c);
	}
}

static const struct api_method *
method_find(const char *name)
{
	for (size_t i = 0; i < SP_NELEMS(methods); i++)
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	return NULL;
}

static void
call_start(struct api_call *c, const Sallyport__CallAsk *q)
{
	static const struct api_method none = { "", NULL, CTL_READ, NULL, API_ANY, NULL };
	json_error_t je;

	c->fd = -1;
	sp_list_init(&c->link);
	if ((c->m = method_find(q->method)) == NULL) {
		c->m = &none;
		(void)api_fail(c, SP_ENOENT, "unknown method");
	} else if (q->params.len > 0 &&
	    (c->params = json_loadb((const char *)q->params.data, q->params.len, JSON_REJECT_DUPLICATES, &je)) == NULL) {
		(void)api_fail(c, SP_EFORMAT, "parameters are not JSON");
	} else if (c->params == NULL) {
		c->params = json_object();
	}
	if (c->err == SP_OK && !json_is_object(c->params))
		(void)api_fail(c, SP_EFORMAT, "parameters are not a JSON object");
	if (c->err == SP_OK && sp_strlcpy(c->as_user, q->as_user, sizeof(c->as_user)) != 0)
		(void)api_fail(c, SP_EINVAL, "no such user");
	if (c->err != SP_OK) {
		call_answer(c);
		return;
	}
	c->job.work = call_work;
	c->job.done = call_done;
	ctl_job_run(c->ctl, c->m->lane, &c->job);
}

static void
call_of_conn(struct shell *sh, struct conn *cn, uint32_t corr, const Sallyport__CallAsk *q)
{
	struct api_call *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		conn_kill(cn, NULL, "out of memory", "system");
		return;
	}
	c->shell = sh != NULL ? shell_ref(sh) : NULL;
	c->ctl = cn->ctl;
	c->conn = conn_ref(cn);
	c->corr = corr;
	c->uid = -1;
	c->caller.id = cn->user_id;
	(void)sp_strlcpy(c->source, cn->source_text, sizeof(c->source));
	call_start(c, q);
}

void
api_session_call(struct conn *cn, uint32_t corr, const Sallyport__CallAsk *q)
{
	call_of_conn(NULL, cn, corr, q);
}

void
api_shell_call(struct shell *sh, struct conn *cn, uint32_t corr, const Sallyport__CallAsk *q)
{
	call_of_conn(sh, cn, corr, q);
}

/* ---- the socket ---- */

static void
client_on_msg(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct api_client *cl = arg;
	struct api_call *c;

	(void)chan;
	if (cl->calls >= CALLS_MAX || (c = calloc(1, sizeof(*c))) == NULL) {
		Sallyport__CallReply r = SALLYPORT__CALL_REPLY__INIT;

		r.err = SP_EBUSY;
		r.text = ctl_str("too many calls at once");
		if (sp_chan_send(cl->chan, SP_MSG_CALL_REPLY, m->corr, &r, NULL, 0) != SP_OK)
			sp_debug("a caller does not take its answers");
		return;
	}
	c->ctl = cl->ctl;
	c->client = cl;
	cl->refs++;
	cl->calls++;
	c->corr = m->corr;
	c->uid = cl->uid;
	sp_snprintf(c->source, sizeof(c->source), "uid %lld", (long long)cl->uid);
	call_start(c, (Sallyport__CallAsk *)m->body);
}

static void
client_close(struct api_client *cl)
{
	bulk_drop(cl->ctl, cl);
	sp_chan_free(cl->chan);
	cl->chan = NULL;
	sp_list_remove(&cl->link);
	cl->ctl->api->clients_n--;
	client_unref(cl);
}

static void
client_on_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	(void)chan;
	if (why != SP_ECLOSED)
		sp_warn("a caller of the admin socket sent a bad message %s: %s", what, sp_err_text(why));
	client_close(arg);
}

/* Refused callers read why, then the end. */
static void
client_refuse(struct api_client *cl, const char *text)
{
	struct audit_entry e = { .kind = "admin.refused", .result = "refused", .text = text };
	char source[32];

	sp_snprintf(source, sizeof(source), "uid %lld", (long long)cl->uid);
	e.source = source;
	audit_append(cl->ctl->audit, &e, NULL, NULL);
	sp_warn("admin socket: %s (pid %d, uid %lld)", text, cl->pid, (long long)cl->uid);
}

static void
api_accept_one(struct api *a, int taken)
{
	sp_auto(sp_closep) int fd = taken;
	struct ucred uc;
	socklen_t n = sizeof(uc);
	struct api_client *cl;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &uc, &n) == -1 || a->clients_n >= CLIENTS_MAX ||
	    (cl = calloc(1, sizeof(*cl))) == NULL)
		return;
	*cl = (struct api_client){ .ctl = a->ctl, .refs = 1, .uid = (int64_t)uc.uid, .pid = uc.pid };
	if (api_tree_is_ours(a->proc_fd, uc.pid, getppid()) != 0) {
		client_refuse(cl, "a process of Sallyport itself called the admin socket");
		free(cl);
		return;
	}
	if (sp_chan_new(sp_steal_fd(&fd), SP_PROC_CONTROL, SP_PROC_CTL, client_on_msg, client_on_close, cl, &cl->chan) != SP_OK) {
		free(cl);
		return;
	}
	sp_list_add_tail(&a->clients, &cl->link);
	a->clients_n++;
	if (sp_chan_watch(cl->chan, a->ctl->child.loop) != SP_OK)
		client_close(cl);
}

static void
api_on_accept(struct sp_source *s, uint32_t events, void *arg)
{
	(void)events;
	for (int i = 0; i < 16; i++) {
		int fd = accept4(sp_source_fd(s), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd == -1)
			return;
		api_accept_one(arg, fd);
	}
}

enum sp_err
api_new(struct ctl *c, int listen_fd)
{
	struct api *a = calloc(1, sizeof(*a));
	int fl = fcntl(listen_fd, F_GETFL);
	enum sp_err r;

	if (a == NULL)
		return SP_ENOMEM;
	c->api = a;
	a->ctl = c;
	a->listen_fd = listen_fd;
	a->proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	sp_list_init(&a->clients);
	sp_list_init(&a->sending);
	if (fl == -1 || fcntl(listen_fd, F_SETFL, fl | O_NONBLOCK) == -1)
		return SP_ESYS;
	if ((r = bulk_new(c)) != SP_OK || (r = sp_timer_new(c->child.loop, api_send_more, a, &a->more)) != SP_OK)
		return r;
	return sp_loop_add(c->child.loop, listen_fd, EPOLLIN, api_on_accept, a, &a->source);
}

void
api_free(struct ctl *c)
{
	struct api *a = c->api;

	if (a == NULL)
		return;
	sp_source_remove(a->source);
	sp_list_each(it, &a->sending) {
		sp_list_remove(it);
		call_free(sp_container(it, struct api_call, link));
	}
	sp_list_each(jt, &a->clients)
		client_close(sp_container(jt, struct api_client, link));
	bulk_free(c);
	sp_timer_free(a->more);
	sp_closep(&a->listen_fd);
	sp_closep(&a->proc_fd);
	free(a);
	c->api = NULL;
}
