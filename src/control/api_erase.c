/* src/control/api_erase.c - evidence.erase: whom or what, checked; the rest is erase.h. Process: control. */
#include <string.h>

#include "control/api.h"
#include "control/audit.h"
#include "control/erase.h"
#include "control/methods.h"
#include "control/recfiles.h"
#include "control/retain.h"

static int
session_of(const struct sp_store_session *row, void *arg)
{
	const struct sp_uuid *user = arg;

	return sp_uuid_equal(&row->user_id, user);	/* ends the walk with SP_ESTATE below */
}

struct live {
	const struct sp_uuid	*user;
	int			 n;
};

static int
live_of(const struct sp_store_session *row, void *arg)
{
	struct live *l = arg;

	l->n += session_of(row, (void *)(uintptr_t)l->user);
	return 0;
}

/* What is held is kept for somebody who will ask for it: what the log says of it, too. */
struct holds {
	struct sp_store	*s;
	int		 recordings, n;
	size_t		 seen;
	int64_t		 last_us;
	struct sp_uuid	 last_id;
	enum sp_err	 err;
};

static int
hold_of(const struct sp_store_session *row, void *arg)
{
	struct holds *h = arg;
	char reason[RECORDING_REASON];

	h->seen++;
	h->last_us = row->started_us;
	h->last_id = row->id;
	if ((h->err = recording_held(h->s, h->recordings, &row->id, reason)) != SP_OK)
		return 1;
	h->n += *reason != '\0';
	return h->n > 0;
}

static enum sp_err
not_held(struct api_call *c, struct sp_store *s, const struct sp_uuid *user, const struct sp_store_session *one)
{
	struct sp_store_session_query q = { .limit = SP_STORE_PAGE_MAX };
	struct holds h = { .s = s, .recordings = -1 };
	struct sp_config conf;
	enum sp_err r;

	ctl_conf_copy(c->ctl, &conf);
	if ((r = recfiles_dir(conf.state_dir, &h.recordings)) != SP_OK && r != SP_ENOENT)
		return api_fail(c, r, "the directory of recordings cannot be opened");
	r = SP_OK;
	if (one != NULL) {
		(void)hold_of(one, &h);
	} else {
		q.user_id = *user;
		do {
			h.seen = 0;
			r = sp_store_session_list(s, &q, hold_of, &h);
			q.before_us = h.last_us;
			q.before_id = h.last_id;
		} while (r == SP_OK && h.err == SP_OK && h.n == 0 && h.seen == SP_STORE_PAGE_MAX);
	}
	sp_closep(&h.recordings);
	if (h.n > 0)
		return api_fail(c, SP_ESTATE, "the recording of session %s is held, and what the log says of it with it: 'recording release' first",
		    sp_uuid_text(&h.last_id, (char[SP_UUID_SIZE]){ 0 }));
	return api_store(c, r != SP_OK ? r : h.err, "holds");
}

static enum sp_err
of_user(struct api_call *c, struct sp_store *s, json_t *what)
{
	struct sp_store_user u = { 0 };
	const char *name = api_text(c, "user");
	struct live l = { &u.id, 0 };

	if (name != NULL && sp_uuid_parse(name, &u.id) == SP_OK)
		(void)!sp_store_user_get(s, &u.id, &u);	/* who was deleted has an id still */
	else if (api_user(c, s, "user", &u) != SP_OK)
		return c->err;
	if (api_store(c, sp_store_sessions_live(s, live_of, &l), "sessions") != SP_OK)
		return c->err;
	if (l.n > 0)
		return api_fail(c, SP_ESTATE, "this user has live sessions, whose recorders still tell of them: end them first");
	if (not_held(c, s, &u.id, NULL) != SP_OK)
		return c->err;
	json_object_set_new(what, "user", api_id(&u.id));
	if (*u.login != '\0')
		json_object_set_new(what, "login", json_string(u.login));
	return SP_OK;
}

static enum sp_err
of_session(struct api_call *c, struct sp_store *s, json_t *what)
{
	struct sp_store_session row;
	char id[SP_UUID_SIZE + 1] = "";

	if (api_str(c, "session", 1, id, sizeof(id)) != SP_OK)
		return c->err;
	memset(&row, 0, sizeof(row));
	if (sp_uuid_parse(id, &row.id) != SP_OK || sp_store_session_get(s, &row.id, &row) != SP_OK)
		return api_fail(c, SP_ENOENT, "there is no session with this id");
	if (row.state == SP_STORE_LIVE)
		return api_fail(c, SP_ESTATE, "the session is live: end it first");
	if (not_held(c, s, NULL, &row) != SP_OK)
		return c->err;
	json_object_set_new(what, "session", api_id(&row.id));
	return SP_OK;
}

static enum sp_err
of_entries(struct api_call *c, json_t *what)
{
	const json_t *p = json_object_get(c->params, "entries");
	size_t i;
	json_t *v;

	if (!json_is_array(p) || json_array_size(p) == 0 || json_array_size(p) > ERASE_ENTRIES_MAX)
		return api_fail(c, SP_EINVAL, "entries is a list of at most %d numbers", ERASE_ENTRIES_MAX);
	json_array_foreach(p, i, v)
		if (!json_is_integer(v) || json_integer_value(v) < 1 || (uint64_t)json_integer_value(v) > audit_durable(c->ctl->audit))
			return api_fail(c, SP_EINVAL, "an entry is named by its number, as 'audit list' shows it");
	json_object_set(what, "entries", (json_t *)(uintptr_t)p);
	return SP_OK;
}

void
evidence_erase(struct api_call *c, struct sp_store *s)
{
	json_t *what = json_object();
	char reason[256] = "";
	int n = (json_object_get(c->params, "user") != NULL) + (json_object_get(c->params, "session") != NULL) +
	    (json_object_get(c->params, "entries") != NULL);
	enum sp_err r;

	if (api_str(c, "reason", 1, reason, sizeof(reason)) != SP_OK)
		r = c->err;
	else if (*reason == '\0')
		r = api_fail(c, SP_EUSAGE, "erasing wants a reason: who asked for it, and on what ground");
	else if (n != 1)
		r = api_fail(c, SP_EUSAGE, "say what: a user, a session or entries, one of them");
	else if (audit_damage(c->ctl->audit) != NULL)
		r = api_fail(c, SP_ESTATE, "the audit log is damaged: nothing in it is changed");
	else if (erase_busy())
		r = api_fail(c, SP_EBUSY, "an earlier erasing is not done ('audit list --kind evidence.erased' tells): say it again when it is");
	else
		r = json_object_get(c->params, "user") != NULL ? of_user(c, s, what) : json_object_get(c->params, "session") != NULL ?
		    of_session(c, s, what) : of_entries(c, what);
	if (r == SP_OK) {
		api_more(c, "reason", json_string(reason));
		/* By ids only: a login in here would outlive the erasing. */
		if (json_object_get(what, "user") != NULL)
			api_more(c, "erase_user", json_incref(json_object_get(what, "user")));
		if (json_object_get(what, "session") != NULL)
			api_more(c, "erase_session", json_incref(json_object_get(what, "session")));
		if (json_object_get(what, "entries") != NULL)
			api_more(c, "erase_entries", json_incref(json_object_get(what, "entries")));
		json_object_set(c->params, "what", what);
		audit_rotate(c->ctl->audit);
		c->out = json_object();
	}
	json_decref(what);
}

/* The entry "evidence.erase" is durable, in a segment of its own; what came of it follows as "evidence.erased". */
void
evidence_erase_loop(struct api_call *c)
{
	struct audit_entry e = { .kind = "evidence.erased", .actor = api_actor(c), .result = "failed", .text = "another erasing runs" };
	enum sp_err r = erase_start(c->ctl, json_object_get(c->params, "what"), api_actor(c));

	if (r == SP_OK)
		return;
	audit_append(c->ctl->audit, &e, NULL, NULL);
	(void)api_fail(c, r, "nothing is erased: %s", r == SP_EBUSY ? e.text : sp_err_text(r));
}
