/* src/monitor/ask.c - run_dir/monitor.sock: list live sessions and kill them while control is down. Process: monitor.
 * Only root and the monitor's own user are heard. The shapes of the answers are those of control (docs/protocol/flows.md),
 * so that the command line needs no second reader.
 * Invariants: at most ASK_CLIENTS at a time, each for at most ASK_IDLE_US; a caller that does not read loses its
 * connection, never our time. */
#include "monitor/state.h"

#include <errno.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "sallyport.pb-c.h"

#define ASK_CLIENTS	16u
#define ASK_IDLE_US	(30 * SP_US_PER_S)
#define ASK_ROWS	64u	/* in one reply: 64 x (4 names of 256 bytes, escaped at worst sixfold) stays below the row's limit */

struct client {
	struct sp_list	 link;
	struct mon	*m;
	struct sp_chan	*chan;
	struct sp_timer	*idle;
	char		 name[64];	/* of the caller, for "Terminated by NAME" */
};
struct rows {
	json_t	*array;
	size_t	 n;
};

static void
client_free(struct client *c)
{
	sp_list_remove(&c->link);
	c->m->n_ask_clients--;
	sp_timer_free(c->idle);
	sp_chan_free(c->chan);
	free(c);
}

static void
client_reply(struct client *c, uint32_t corr, enum sp_err err, const char *text, json_t *body, int more)
{
	Sallyport__CallReply r = SALLYPORT__CALL_REPLY__INIT;
	char *json = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	char words[256];

	sp_snprintf(words, sizeof(words), "%s", text);
	r.err = (uint32_t)err;
	r.text = words;
	r.more = more;
	if (json != NULL)
		r.body = (ProtobufCBinaryData){ strlen(json), (uint8_t *)json };
	if (sp_chan_send(c->chan, SP_MSG_CALL_REPLY, corr, &r, NULL, 0) != SP_OK)
		sp_warn("a caller on monitor.sock does not read");
	free(json);
}

static void
rows_add(const struct mon_row *row, void *arg)
{
	struct rows *rows = arg;
	char id[SP_UUID_SIZE], at[SP_RFC3339_SIZE];
	json_t *o = json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:s?, s:s}", "id", sp_uuid_text(&row->id, id),
	    "state", "live", "user", row->user, "asset", row->asset, "account", row->account, "protocol", row->protocol,
	    "source", row->source, "started", sp_rfc3339(row->started_wall_us, at, sizeof(at)));

	if (o != NULL && json_array_append_new(rows->array, o) == 0)
		rows->n++;
}

static int
rows_newer(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;

	return strcmp(json_string_value(json_object_get(y, "started")), json_string_value(json_object_get(x, "started")));
}

/* Rows newest first, in parts that fit one message each. */
static void
rows_send(struct client *c, uint32_t corr, json_t **v, size_t n)
{
	size_t i = 0;

	do {
		json_t *part = json_array();
		size_t k = 0;

		for (; part != NULL && k < ASK_ROWS && i < n; k++, i++)
			if (json_array_append(part, v[i]) != 0)
				break;
		client_reply(c, corr, part != NULL ? SP_OK : SP_ENOMEM, "", part, i < n);
		json_decref(part);
		if (k == 0)
			break;
	} while (i < n);
}

static void
ask_list(struct client *c, uint32_t corr, json_t *params)
{
	struct rows rows = { .array = json_array() };
	json_t **v;

	(void)params;
	if (rows.array == NULL) {
		client_reply(c, corr, SP_ENOMEM, "", NULL, 0);
		return;
	}
	mon_sessions_each(c->m, rows_add, &rows);
	if ((v = calloc(rows.n + 1, sizeof(json_t *))) == NULL)
		client_reply(c, corr, SP_ENOMEM, "", NULL, 0);
	else {
		for (size_t i = 0; i < rows.n; i++)
			v[i] = json_array_get(rows.array, i);
		qsort(v, rows.n, sizeof(json_t *), rows_newer);
		rows_send(c, corr, v, rows.n);
	}
	free(v);
	json_decref(rows.array);
}

static void
ask_kill(struct client *c, uint32_t corr, json_t *params)
{
	const char *id_text = json_string_value(json_object_get(params, "id"));
	const char *reason = json_string_value(json_object_get(params, "reason"));
	struct sp_uuid id;
	json_t *empty;
	enum sp_err r;

	if (id_text == NULL || sp_uuid_parse(id_text, &id) != SP_OK) {
		client_reply(c, corr, SP_EUSAGE, "id: wants the id of a session", NULL, 0);
		return;
	}
	if (reason != NULL && !sp_text_is_plain(reason, strlen(reason))) {
		client_reply(c, corr, SP_EUSAGE, "reason: wants plain text", NULL, 0);
		return;
	}
	if ((r = mon_kill_id(c->m, &id, reason != NULL ? reason : "", c->name)) != SP_OK) {
		client_reply(c, corr, r, "no such live session", NULL, 0);
		return;
	}
	sp_info("session %s is killed by %s through monitor.sock", id_text, c->name);
	empty = json_object();
	client_reply(c, corr, SP_OK, "", empty, 0);
	json_decref(empty);
}

static const struct {
	const char	*method;
	void		(*fn)(struct client *, uint32_t, json_t *);
} methods[] = {
	{ "session.list", ask_list },
	{ "session.kill", ask_kill },
};

static void
client_on_msg(struct sp_chan *chan, struct sp_msg *msg, void *arg)
{
	const Sallyport__CallAsk *ask = (const Sallyport__CallAsk *)msg->body;
	struct client *c = arg;
	json_t *params;

	(void)chan;
	sp_timer_in(c->idle, ASK_IDLE_US);
	params = ask->params.len > 0 ? json_loadb((const char *)ask->params.data, ask->params.len, 0, NULL) : json_object();
	if (!json_is_object(params)) {
		json_decref(params);
		client_reply(c, msg->corr, SP_EFORMAT, "params: wants a JSON object", NULL, 0);
		return;
	}
	for (size_t i = 0; i < SP_NELEMS(methods); i++)
		if (strcmp(methods[i].method, ask->method) == 0) {
			methods[i].fn(c, msg->corr, params);
			json_decref(params);
			return;
		}
	json_decref(params);
	client_reply(c, msg->corr, SP_EUNAVAIL, "control is not there: only session list and session kill work", NULL, 0);
}

static void
client_on_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	(void)chan;
	if (why != SP_ECLOSED)
		sp_warn("bad message %s on monitor.sock: %s", what, sp_err_text(why));
	client_free(arg);
}

static void
client_on_idle(struct sp_timer *t, void *arg)
{
	(void)t;
	client_free(arg);
}

/* fd is taken. */
static enum sp_err
client_new(struct mon *m, int fd, const struct ucred *who)
{
	struct client *c = calloc(1, sizeof(*c));
	const struct passwd *pw = getpwuid(who->uid);
	enum sp_err r;

	if (c == NULL) {
		close(fd);
		return SP_ENOMEM;
	}
	c->m = m;
	(void)sp_strlcpy(c->name, pw != NULL ? pw->pw_name : "unnamed", sizeof(c->name));
	sp_list_add_tail(&m->ask_clients, &c->link);
	m->n_ask_clients++;
	if ((r = sp_chan_new(fd, SP_PROC_MONITOR, SP_PROC_CTL, client_on_msg, client_on_close, c, &c->chan)) != SP_OK ||
	    (r = sp_chan_watch(c->chan, m->loop)) != SP_OK ||
	    (r = sp_timer_new(m->loop, client_on_idle, c, &c->idle)) != SP_OK) {
		client_free(c);
		return r;
	}
	sp_timer_in(c->idle, ASK_IDLE_US);
	return SP_OK;
}

static void
ask_on_accept(struct sp_source *s, uint32_t events, void *arg)
{
	struct mon *m = arg;
	struct ucred who = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(who);
	int fd = accept4(sp_source_fd(s), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd == -1)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == -1 || (who.uid != 0 && who.uid != geteuid())) {
		sp_warn("uid %d is refused on monitor.sock", (int)who.uid);
		close(fd);
	} else if (m->n_ask_clients >= ASK_CLIENTS)
		close(fd);
	else if (client_new(m, fd, &who) != SP_OK)
		sp_error("no memory for a caller on monitor.sock");
}

/* A socket file of an earlier run is replaced. */
static int
ask_bind(const char *dir, const char *name, mode_t mode, char *why, size_t n)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	sp_auto(sp_closep) int fd = -1;

	if (sp_snprintf(un.sun_path, sizeof(un.sun_path), "%s/%s", dir, name) != 0) {
		sp_snprintf(why, n, "run_dir %s is too long for a socket (107 bytes)", dir);
		return -1;
	}
	(void)unlink(un.sun_path);
	if ((fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) == -1 || fchmod(fd, mode) == -1 ||
	    bind(fd, (struct sockaddr *)(void *)&un, sizeof(un)) == -1 || chmod(un.sun_path, mode) == -1 ||
	    listen(fd, 64) == -1) {
		sp_snprintf(why, n, "cannot make the socket %s: %s", un.sun_path, strerror(errno));
		return -1;
	}
	if (geteuid() == 0 && mode == 0660) {	/* members of control's group may try; control decides by uid */
		const struct passwd *pw = getpwnam(sp_proc_user(SP_PROC_CONTROL));

		if (pw != NULL && chown(un.sun_path, 0, pw->pw_gid) == -1) {
			sp_snprintf(why, n, "cannot own the socket %s: %s", un.sun_path, strerror(errno));
			return -1;
		}
	}
	return sp_steal_fd(&fd);
}

enum sp_err
mon_ask_open(struct mon *m, char *why, size_t n)
{
	sp_list_init(&m->ask_clients);
	if ((m->admin_fd = ask_bind(m->conf.run_dir, "control.sock", 0660, why, n)) == -1 ||
	    (m->ask_fd = ask_bind(m->conf.run_dir, "monitor.sock", 0600, why, n)) == -1)
		return SP_ESYS;
	return sp_loop_add(m->loop, m->ask_fd, EPOLLIN, ask_on_accept, m, &m->ask_source);
}

void
mon_ask_close(struct mon *m)
{
	sp_list_each(it, &m->ask_clients)
		client_free(sp_container(it, struct client, link));
	sp_source_remove(m->ask_source);
	m->ask_source = NULL;
	sp_closep(&m->ask_fd);
	sp_closep(&m->admin_fd);
}

/* ---- for a successor of this program */

void
ask_save(struct mon *m, struct keep *k, SallyportState__Monitor *st)
{
	if ((st->callers = keep_alloc(k, m->n_ask_clients + 1, sizeof(void *))) == NULL)
		return;
	sp_list_each(it, &m->ask_clients)
		st->callers[st->n_callers++] = keep_chan(k, sp_container(it, struct client, link)->chan);
}

enum sp_err
ask_restore(struct mon *m, const SallyportState__Monitor *st)
{
	sp_list_init(&m->ask_clients);
	m->admin_fd = state_fd(st->admin_fd);
	m->ask_fd = state_fd(st->ask_fd);
	for (size_t i = 0; i < st->n_callers; i++) {
		struct ucred who = { .uid = (uid_t)-1 };
		socklen_t len = sizeof(who);
		int fd = st->callers[i]->fd;

		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == -1) {
			close(fd);
			continue;
		}
		if (client_new(m, fd, &who) != SP_OK ||
		    state_waiting(st->callers[i], sp_container(m->ask_clients.prev, struct client, link)->chan) != SP_OK)
			return SP_ENOMEM;
	}
	return sp_loop_add(m->loop, m->ask_fd, EPOLLIN, ask_on_accept, m, &m->ask_source);
}
