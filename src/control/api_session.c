/* src/control/api_session.c - sessions: list, show, kill, lock, message, watch. */
#include "control/api.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/loghead.h"
#include "control/logtree.h"
#include "control/methods.h"

/* How far its end is proven: entries of a log go into a signed tree in their order. */
static const char *
session_integrity(const struct api_call *c, const struct sp_store_session *r)
{
	struct sp_checkpoint head;
	int64_t end = r->record_state < 0 ? -r->record_state : r->record_state;

	if (r->state == SP_STORE_LIVE)
		return "live";
	if (loghead_contained(c->ctl) != NULL)
		return "contained";
	if (end == 0)
		return "unknown";
	if (!tree_signed(audit_tree(c->ctl->audit), &head, NULL) || head.size < (uint64_t)end)
		return "waiting";
	return r->record_state < 0 ? "incomplete" : "signed";
}

static json_t *
session_json(const struct api_call *c, const struct sp_store_session *r)
{
	json_t *o = json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:I, s:I}", "id", api_id(&r->id), "state",
	    r->state == SP_STORE_LIVE ? "live" : "ended", "user", r->user_login, "asset", r->asset_name, "account", r->account,
	    "protocol", r->protocol, "source", r->source, "started", api_at(r->started_us), "ended", api_at(r->ended_us),
	    "bytes_in", (json_int_t)r->bytes_in, "bytes_out", (json_int_t)r->bytes_out);

	json_object_set_new(o, "integrity", json_string(session_integrity(c, r)));
	json_object_set_new(o, "reason", *r->end_reason ? json_string(r->end_reason) : json_null());
	json_object_set_new(o, "by", *r->ended_by ? json_string(r->ended_by) : json_null());
	json_object_set_new(o, "recording", *r->recording ? json_string(r->recording) : json_null());
	if (*r->purpose)
		json_object_set_new(o, "purpose", json_string(r->purpose));
	if (*r->path)
		json_object_set_new(o, "path", json_string(r->path));
	if (*r->error)
		json_object_set_new(o, "error", json_string(r->error));
	return o;
}

struct listing {
	struct api_call	*c;
	struct sp_store	*s;
	int64_t		 last_us;
	struct sp_uuid	 last_id;
	size_t		 seen, limit;
};

/* See api.h. A session is of its asset's department, or of its user's once the asset is gone. */
int
session_in_scope(struct api_call *c, struct sp_store *s, const struct sp_store_session *r)
{
	struct sp_store_asset a;
	struct sp_store_user u;
	struct sp_uuid d = { 0 };

	if (c->local_root || sp_uuid_is_null(&c->caller.role_department_id))
		return 1;
	if (sp_store_asset_get(s, &r->asset_id, &a) == SP_OK)
		d = a.department_id;
	else if (sp_store_user_get(s, &r->user_id, &u) == SP_OK)
		d = u.department_id;
	return api_in_scope(c, s, &d);
}

static int
session_row(const struct sp_store_session *r, void *arg)
{
	struct listing *l = arg;

	l->seen++;
	l->last_us = r->started_us;
	l->last_id = r->id;
	if (session_in_scope(l->c, l->s, r))
		json_array_append_new(l->c->out, session_json(l->c, r));
	return json_array_size(l->c->out) >= l->limit;
}

/* Of his own server a user sees everybody's sessions; of another one, his own. */
static enum sp_err
session_asset(struct api_call *c, struct sp_store *s, struct sp_store_asset *ret, int *ret_owner)
{
	enum sp_err r = api_asset(c, s, "asset", ret);

	if (r == SP_OK)
		*ret_owner = c->role < SP_STORE_ROLE_AUDITOR && api_is_self(c, &ret->owner_id);
	return r;
}

void
session_list(struct api_call *c, struct sp_store *s)
{
	struct listing l = { .c = c, .s = s };
	struct sp_store_session_query q = { 0 };
	char state[16] = "";
	int64_t limit = 1000;
	struct sp_store_user u;
	struct sp_store_asset a;
	int owner = 0;
	enum sp_err r;

	if (api_str(c, "state", 0, state, sizeof(state)) != SP_OK || api_int(c, "limit", 1, API_ROWS_MAX, &limit) != SP_OK)
		return;
	if (*state != '\0' && strcmp(state, "live") != 0 && strcmp(state, "ended") != 0) {
		(void)api_fail(c, SP_EINVAL, "state is live or ended");
		return;
	}
	q.state = *state == 'l' ? SP_STORE_LIVE : *state == 'e' ? SP_STORE_ENDED : 0;
	if (json_object_get(c->params, "user") != NULL) {
		if (api_user(c, s, "user", &u) != SP_OK)
			return;
		q.user_id = u.id;
	}
	if (json_object_get(c->params, "asset") != NULL) {
		if (session_asset(c, s, &a, &owner) != SP_OK)
			return;
		q.asset_id = a.id;
	}
	if (c->role < SP_STORE_ROLE_AUDITOR && !owner)
		q.user_id = c->caller.id;	/* one's own */
	c->out = json_array();
	l.limit = (size_t)limit;
	do {
		l.seen = 0;
		q.limit = SP_STORE_PAGE_MAX;
		r = sp_store_session_list(s, &q, session_row, &l);
		q.before_us = l.last_us;
		q.before_id = l.last_id;
	} while (r == SP_OK && l.seen == SP_STORE_PAGE_MAX && json_array_size(c->out) < l.limit);
	(void)api_store(c, r, "sessions");
}

/* Administrators see which processes carry a live session; the rows do not know, the loop does. */
static void
session_add_pids(struct api_call *c, json_t *o)
{
	struct sp_uuid id;
	struct target *t;

	if (c->role < SP_STORE_ROLE_ADMIN || strcmp(json_string_value(json_object_get(o, "state")), "live") != 0 ||
	    sp_uuid_parse(json_string_value(json_object_get(o, "id")), &id) != SP_OK || (t = target_find(c->ctl, &id)) == NULL)
		return;
	if (t->conn != NULL)
		json_object_set_new(o, "pid", json_integer(t->conn->pid));
	if (t->scribe_pid != 0)
		json_object_set_new(o, "scribe_pid", json_integer(t->scribe_pid));
}

void
session_list_loop(struct api_call *c)
{
	size_t i;
	json_t *o;

	json_array_foreach(c->out, i, o)
		session_add_pids(c, o);
}

void
session_show_loop(struct api_call *c)
{
	session_add_pids(c, c->out);
}

enum sp_err
session_named(struct api_call *c, struct sp_store *s, struct sp_store_session *r)
{
	char text[SP_UUID_SIZE + 1];
	enum sp_err e = api_str(c, "id", 1, text, sizeof(text));
	struct sp_uuid id;

	if (e != SP_OK)
		return e;
	if (sp_uuid_parse(text, &id) != SP_OK || sp_store_session_get(s, &id, r) != SP_OK)
		return api_fail(c, SP_ENOENT, "there is no session \"%s\"", text);
	c->session = r->id;
	c->user = r->user_id;
	c->asset = r->asset_id;
	c->conn_id = r->conn_id;
	if (c->role < SP_STORE_ROLE_AUDITOR && !api_is_self(c, &r->user_id))
		return api_fail(c, SP_ENOENT, "there is no session \"%s\"", text);
	if (!session_in_scope(c, s, r))
		return api_fail(c, SP_EACCES, "that session belongs to another department than the one that you administer");
	return SP_OK;
}

static int
event_row(const struct sp_store_event *e, void *arg)
{
	json_t *body = json_loadb((const char *)e->payload, e->payload_len, 0, NULL);

	json_array_append_new(arg, json_pack("{s:I, s:o, s:s, s:o}", "seq", (json_int_t)e->seq, "time", api_at(e->at_us),
	    "kind", e->kind, "body", body != NULL ? body : json_null()));
	return 0;
}

void
session_show(struct api_call *c, struct sp_store *s)
{
	struct sp_store_session r;
	json_t *events;

	if (session_named(c, s, &r) != SP_OK)
		return;
	c->out = session_json(c, &r);
	events = json_array();
	if (sp_store_event_list(s, &r.id, 0, 50, event_row, events) == SP_OK && json_dumpb(events, NULL, 0, 0) < 60000)
		json_object_set(c->out, "events", events);
	json_decref(events);
}

void
session_find(struct api_call *c, struct sp_store *s)
{
	struct sp_store_session r;

	if (session_named(c, s, &r) != SP_OK)
		return;
	if (r.state != SP_STORE_LIVE)
		(void)api_fail(c, SP_ESTATE, "the session has ended");
	else
		sp_snprintf(c->what, sizeof(c->what), "%.80s on %.80s@%.80s", r.user_login, r.account, r.asset_name);
}

struct ending {
	char	reason[256];
};

static enum sp_err
ending_make(struct api_call *c, const char *otherwise)
{
	struct ending *e = c->state = calloc(1, sizeof(*e));
	enum sp_err r;

	if (e == NULL)
		return api_fail(c, SP_ENOMEM, "out of memory");
	(void)sp_strlcpy(e->reason, otherwise, sizeof(e->reason));
	if ((r = api_str(c, "reason", 0, e->reason, sizeof(e->reason))) == SP_OK)
		api_more(c, "reason", json_string(e->reason));
	return r;
}

void
session_kill(struct api_call *c, struct sp_store *s)
{
	session_find(c, s);
	if (c->err == SP_OK)
		(void)ending_make(c, "ended by an administrator");
}

/* The user is disabled with the same act: his other sessions end too, and new ones are refused. */
void
session_lock(struct api_call *c, struct sp_store *s)
{
	struct sp_store_user u;

	session_find(c, s);
	if (c->err != SP_OK || ending_make(c, "locked by an administrator") != SP_OK ||
	    api_store(c, sp_store_user_get(s, &c->user, &u), "the user") != SP_OK)
		return;
	if (api_is_self(c, &u.id)) {
		(void)api_fail(c, SP_EDENIED, "nobody locks himself");
		return;
	}
	/* The asset is the caller's; the user must be too, and not above him. */
	if (api_scope(c, s, &u.department_id) != SP_OK ||
	    (u.role != SP_STORE_ROLE_USER && api_scope(c, s, &u.role_department_id) != SP_OK))
		return;
	u.state = SP_STORE_DISABLED;
	u.epoch++;
	if (api_store(c, sp_store_user_update(s, &u), u.login) == SP_OK)
		api_epoch(c, &u, ((const struct ending *)c->state)->reason);
}

static json_t *
session_done(const struct api_call *c)
{
	return json_pack("{s:o}", "id", api_id(&c->session));
}

void
session_kill_loop(struct api_call *c)
{
	const struct ending *e = c->state;
	struct target *t = target_find(c->ctl, &c->session);
	struct conn *cn = t != NULL ? t->conn : NULL;

	c->out = session_done(c);
	if (cn != NULL) {
		if (!cn->dying)
			conn_kill(cn, t, e->reason, api_actor(c));
	} else {
		/* Not attached (yet): the monitor knows it all the same. */
		Sallyport__Kill k = SALLYPORT__KILL__INIT;

		k.conn_id = ctl_uuid_bytes(&c->conn_id);
		k.session_id = ctl_uuid_bytes(&c->session);
		k.reason = ctl_str(e->reason);
		k.by = ctl_str(api_actor(c));
		if (sp_chan_send(c->ctl->child.monitor, SP_MSG_KILL, 0, &k, NULL, 0) != SP_OK)
			(void)api_fail(c, SP_EUNAVAIL, "the monitor does not take the kill");
	}
}

void
session_message_loop(struct api_call *c)
{
	struct target *t = target_find(c->ctl, &c->session);
	Sallyport__Notify n = SALLYPORT__NOTIFY__INIT;
	char text[1024] = "";

	if (api_str(c, "text", 1, text, sizeof(text)) != SP_OK)
		return;
	if (t == NULL || t->conn == NULL || !conn_alive(t->conn)) {
		(void)api_fail(c, SP_ESTATE, "the session cannot be reached");
		return;
	}
	n.session_id = ctl_uuid_bytes(&t->row.id);
	n.text = text;
	n.by = ctl_str(api_actor(c));
	conn_send(t->conn, SP_MSG_NOTIFY, 0, &n);
	api_more(c, "message", json_string(text));
	c->out = session_done(c);
}

void
session_watch_loop(struct api_call *c)
{
	struct target *t = target_find(c->ctl, &c->session);
	Sallyport__Watch w = SALLYPORT__WATCH__INIT;
	int64_t channel = 0;
	int sv[2];

	if (api_int(c, "channel", 0, UINT32_MAX, &channel) != SP_OK)
		return;
	if (t == NULL || t->scribe == NULL || t->ended) {
		(void)api_fail(c, SP_ESTATE, "the session is not being recorded just now");
		return;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) == -1) {
		(void)api_fail(c, SP_ESYS, "no descriptors left");
		return;
	}
	w.session_id = ctl_uuid_bytes(&t->row.id);
	w.channel = (uint32_t)channel;
	if (sp_chan_send(t->scribe, SP_MSG_WATCH, 0, &w, &sv[0], 1) != SP_OK) {
		sp_closep(&sv[1]);
		(void)api_fail(c, SP_EUNAVAIL, "the recorder does not take the watcher");
		return;
	}
	c->fd = sv[1];
	c->out = json_pack("{s:o, s:s, s:s, s:s}", "id", api_id(&t->row.id), "user", t->row.user_login, "account",
	    t->row.account, "asset", t->row.asset_name);
}
