/* src/control/boot.c - what outlived the last control. The audit log's tail (two segments) is read before anything else:
 * who is logged in on which connection, the last event of each session. Then, with the store open, the same entries are
 * replayed into the evidence index, which may lag behind the log. Sessions that are live in the index and that nobody
 * re-attaches within a grace are ended as lost.
 * Process: control; replay in the writer. Invariant: nothing is believed about an older session but what stands here. */
#include "control/ctl.h"
#include "control/filelog.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/alarm.h"
#include "control/command.h"
#include "control/zone.h"

struct known_login {
	struct sp_hnode	node;
	struct sp_uuid	conn_id;
	struct boot_login l;
};
struct known_seq {
	struct sp_hnode	node;
	struct sp_uuid	session_id;
	int64_t		seq;
};
struct boot {
	struct ctl_job	 replay;
	struct sp_htab	 logins, seqs;
	json_t		*entries;	/* of sessions, oldest first; until replayed */
	uint64_t	 lost_at_us;	/* 0: done */
	char		 vault_kind[32], vault_text[64];	/* its last state in the log */
	int		 is_open;
};

/* ---- the scan ---- */

static enum sp_err
id_of(const json_t *o, const char *key, struct sp_uuid *ret)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? sp_uuid_parse(s, ret) : SP_ENOENT;
}

static void
scan_login(struct boot *b, const json_t *o)
{
	const json_t *more = json_object_get(o, "more");
	const char *method = json_string_value(json_object_get(more, "method"));
	struct sp_uuid conn, user;
	struct known_login *k;
	struct sp_hnode *n;

	if (id_of(o, "conn", &conn) != SP_OK || id_of(o, "user_id", &user) != SP_OK)
		return;
	if ((n = sp_htab_find(&b->logins, conn.b, sizeof(conn.b))) == NULL) {
		if ((k = calloc(1, sizeof(*k))) == NULL)
			return;
		k->conn_id = conn;
		if (sp_htab_insert(&b->logins, &k->node, k->conn_id.b, sizeof(k->conn_id.b)) != SP_OK) {
			free(k);
			return;
		}
	} else {
		k = sp_container(n, struct known_login, node);
	}
	k->l = (struct boot_login){ .user_id = user, .epoch = json_integer_value(json_object_get(more, "epoch")) };
	k->l.inner = method != NULL && strcmp(method, "inner") == 0;
	if (id_of(o, "asset_id", &k->l.asset_id) != SP_OK)
		k->l.asset_id = (struct sp_uuid){ 0 };
	if (json_is_string(json_object_get(more, "asset_name")))
		(void)sp_strlcpy(k->l.asset_name, json_string_value(json_object_get(more, "asset_name")), sizeof(k->l.asset_name));
}

static void
scan_gone(struct boot *b, const json_t *o)
{
	struct sp_uuid conn;
	struct sp_hnode *n;

	if (id_of(o, "conn", &conn) != SP_OK || (n = sp_htab_find(&b->logins, conn.b, sizeof(conn.b))) == NULL)
		return;
	sp_htab_remove(&b->logins, n);
	free(sp_container(n, struct known_login, node));
}

static void
scan_seq(struct boot *b, const json_t *o, int64_t seq)
{
	struct sp_uuid id;
	struct known_seq *k;
	struct sp_hnode *n;

	if (seq <= 0 || id_of(o, "session", &id) != SP_OK)
		return;
	if ((n = sp_htab_find(&b->seqs, id.b, sizeof(id.b))) == NULL) {
		if ((k = calloc(1, sizeof(*k))) == NULL)
			return;
		k->session_id = id;
		if (sp_htab_insert(&b->seqs, &k->node, k->session_id.b, sizeof(k->session_id.b)) != SP_OK) {
			free(k);
			return;
		}
	} else {
		k = sp_container(n, struct known_seq, node);
	}
	if (seq > k->seq)
		k->seq = seq;
}

void
boot_scan(const json_t *line, void *arg)
{
	struct ctl *c = arg;
	struct boot *b = c->boot;
	const char *kind = json_string_value(json_object_get(line, "kind"));
	json_t *copy;

	if (kind == NULL)
		return;
	alarm_seen(c, line);
	if (strcmp(kind, "vault.sealed") == 0 || strcmp(kind, "vault.unsealed") == 0) {
		(void)sp_strlcpy(b->vault_kind, kind, sizeof(b->vault_kind));
		b->vault_text[0] = '\0';
		if (json_is_string(json_object_get(line, "text")))
			(void)sp_strlcpy(b->vault_text, json_string_value(json_object_get(line, "text")), sizeof(b->vault_text));
	}
	if (strcmp(kind, "login.ok") == 0 || strcmp(kind, "conn.carried") == 0)
		scan_login(b, line);
	else if (strcmp(kind, "conn.gone") == 0)
		scan_gone(b, line);
	/* Of a session: its own entries, and what its recorder reported under another kind ("file"). */
	if ((strncmp(kind, "session.", 8) != 0 && json_object_get(json_object_get(line, "more"), "event") == NULL) ||
	    json_object_get(line, "session") == NULL)
		return;
	scan_seq(b, line, json_integer_value(json_object_get(json_object_get(line, "more"), "seq")));
	if ((copy = json_copy(ctl_json(line))) != NULL)	/* shallow: shares the values */
		json_array_append_new(b->entries, copy);
}

/* ---- the replay, in the writer ---- */

static void
take_text(char *dst, size_t size, const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	if (s != NULL)
		(void)sp_strlcpy(dst, s, size);
}

static int64_t
wall_of(const json_t *o)
{
	const char *s = json_string_value(json_object_get(o, "wall"));
	int64_t us = 0;

	if (s == NULL || sp_rfc3339_parse(s, &us) != SP_OK)
		return 0;
	return us;
}

static void
replay_request(const json_t *o, struct sp_store_session *r)
{
	const json_t *more = json_object_get(o, "more");

	r->state = SP_STORE_LIVE;
	r->started_us = wall_of(o);
	(void)!id_of(o, "conn", &r->conn_id);
	(void)!id_of(o, "user_id", &r->user_id);
	(void)!id_of(o, "asset_id", &r->asset_id);
	take_text(r->user_login, sizeof(r->user_login), o, "actor");
	take_text(r->source, sizeof(r->source), o, "source");
	take_text(r->asset_name, sizeof(r->asset_name), more, "asset_name");
	take_text(r->account, sizeof(r->account), more, "account_name");
	take_text(r->protocol, sizeof(r->protocol), more, "protocol");
	take_text(r->purpose, sizeof(r->purpose), more, "reason");
	zone_via_text(json_object_get(more, "via"), r->path, sizeof(r->path));
}

static void
replay_end(const json_t *o, struct sp_store_session *r)
{
	const json_t *more = json_object_get(o, "more"), *body = json_object_get(more, "body");

	if (r->state == SP_STORE_ENDED)
		return;
	r->state = SP_STORE_ENDED;
	r->ended_us = wall_of(o);
	r->record_state = json_integer_value(json_object_get(o, "seq")) * (body != NULL ? 1 : -1);
	take_text(r->end_reason, sizeof(r->end_reason), o, "text");
	take_text(r->ended_by, sizeof(r->ended_by), o, "actor");
	if (body == NULL)
		return;
	take_text(r->ended_by, sizeof(r->ended_by), body, "by");
	take_text(r->end_reason, sizeof(r->end_reason), body, "reason");
	take_text(r->recording, sizeof(r->recording), body, "recording");
	r->bytes_in = json_integer_value(json_object_get(body, "bytes_in"));
	r->bytes_out = json_integer_value(json_object_get(body, "bytes_out")) +
	    json_integer_value(json_object_get(body, "bytes_err"));
}

static enum sp_err
replay_event(struct sp_store *s, const json_t *o, const struct sp_uuid *id)
{
	const json_t *more = json_object_get(o, "more");
	struct sp_store_event e = { .session_id = *id, .seq = json_integer_value(json_object_get(more, "seq")),
	    .at_us = json_integer_value(json_object_get(more, "wall_us")), .channel = -1 };
	char *text;
	enum sp_err r;

	if (e.seq <= 0)
		return SP_OK;
	/* Later events of a live session may be in the index already: each is looked at for itself. */
	take_text(e.kind, sizeof(e.kind), more, "event");
	if (json_is_integer(json_object_get(json_object_get(more, "body"), "channel")))
		e.channel = json_integer_value(json_object_get(json_object_get(more, "body"), "channel"));
	text = json_dumps(json_object_get(more, "body"), JSON_COMPACT | JSON_SORT_KEYS);
	e.payload = (const uint8_t *)(text != NULL ? text : "");
	e.payload_len = text != NULL && strlen(text) <= SP_STORE_PAYLOAD_MAX ? (uint32_t)strlen(text) : 0;
	r = filelog_event_put(s, &e);
	if (r == SP_OK && text != NULL)
		r = command_index(s, id, e.kind, e.at_us, text, strlen(text));
	free(text);
	return r;
}

static enum sp_err
replay_one(struct sp_store *s, const json_t *o)
{
	const char *kind = json_string_value(json_object_get(o, "kind"));
	struct sp_store_session row, before;
	struct sp_uuid id;
	enum sp_err r;

	if (id_of(o, "session", &id) != SP_OK || strcmp(kind, "session.gap") == 0)
		return SP_OK;
	if ((r = replay_event(s, o, &id)) != SP_OK)
		return r;
	r = sp_store_session_get(s, &id, &row);
	if (r == SP_ENOENT && strcmp(kind, "session.request") == 0) {
		row = (struct sp_store_session){ .id = id };
		replay_request(o, &row);
		return sp_store_session_put(s, &row);
	}
	if (r != SP_OK)
		return r == SP_ENOENT ? SP_OK : r;
	before = row;
	if (strcmp(kind, "session.start") == 0)
		take_text(row.recording, sizeof(row.recording), json_object_get(json_object_get(o, "more"), "body"), "recording");
	else if (strcmp(kind, "session.end") == 0)
		replay_end(o, &row);
	else if (strcmp(kind, "session.failed") == 0)
		take_text(row.error, sizeof(row.error), o, "text");
	return memcmp(&before, &row, sizeof(row)) == 0 ? SP_OK : sp_store_session_put(s, &row);
}

static void
replay_work(struct ctl_job *j, struct sp_store *s)
{
	struct boot *b = sp_container(j, struct boot, replay);
	enum sp_err r = sp_store_begin(s, SP_STORE_EVIDENCE);
	size_t i;
	json_t *o;

	if (r == SP_OK) {
		json_array_foreach(b->entries, i, o)
			if ((r = replay_one(s, o)) != SP_OK)
				break;
		r = sp_store_end(s, r);
	}
	j->err = r;
}

static void
replay_done(struct ctl_job *j)
{
	struct boot *b = sp_container(j, struct boot, replay);
	struct ctl *c = j->ctl;

	if (j->err != SP_OK)
		sp_error("the index could not be brought up to the audit log: %s", sp_err_text(j->err));
	json_decref(b->entries);
	b->entries = NULL;
	c->store_open = 1;
	alarm_store_ready(c);
	b->lost_at_us = sp_now_us() + CTL_LOST_US;
	sp_info("store open");
}

/* ---- lost sessions ---- */

struct lost_row {
	struct sp_list		link;
	struct sp_store_session	row;
};
struct lost {
	struct ctl_job	job;
	struct sp_list	rows;
};

static int
lost_add(const struct sp_store_session *row, void *arg)
{
	struct lost *l = arg;
	struct lost_row *r = malloc(sizeof(*r));

	if (r == NULL)
		return 1;
	r->row = *row;
	sp_list_add_tail(&l->rows, &r->link);
	return 0;
}

static void
lost_work(struct ctl_job *j, struct sp_store *s)
{
	j->err = sp_store_sessions_live(s, lost_add, sp_container(j, struct lost, job));
}

static void
lost_done(struct ctl_job *j)
{
	struct lost *l = sp_container(j, struct lost, job);
	struct ctl *c = j->ctl;

	sp_list_each(it, &l->rows) {
		struct lost_row *r = sp_container(it, struct lost_row, link);
		struct target *t;

		sp_list_remove(it);
		/* What began after this start is in the table; so is what came back. */
		if (target_find(c, &r->row.id) == NULL && (t = target_new(c, &r->row.id)) != NULL) {
			t->row = r->row;
			event_write_end(t, "lost: control was away and no recorder answered", "system");
		}
		free(r);
	}
	if (j->err != SP_OK)
		c->boot->lost_at_us = sp_now_us() + CTL_LOST_US;
	free(l);
}

static void
boot_find_lost(struct ctl *c)
{
	struct lost *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return;
	sp_list_init(&l->rows);
	l->job.work = lost_work;
	l->job.done = lost_done;
	ctl_job_run(c, CTL_READ, &l->job);
}

void
boot_tick(struct ctl *c, uint64_t now_us)
{
	if (c->boot->lost_at_us == 0 || now_us < c->boot->lost_at_us)
		return;
	c->boot->lost_at_us = 0;
	boot_find_lost(c);
}

/* ---- what others ask ---- */

enum sp_err
boot_login_of(const struct ctl *c, const struct sp_uuid *conn_id, struct boot_login *ret)
{
	struct sp_hnode *n = sp_htab_find(&c->boot->logins, conn_id->b, sizeof(conn_id->b));

	if (n == NULL)
		return SP_ENOENT;
	*ret = sp_container(n, struct known_login, node)->l;
	return SP_OK;
}

int
boot_vault_was(struct ctl *c, const char *kind, const char *text)
{
	int same = strcmp(c->boot->vault_kind, kind) == 0 && strcmp(c->boot->vault_text, text) == 0;

	c->boot->vault_kind[0] = '\0';
	return same;
}

int64_t
boot_last_seq(const struct ctl *c, const struct sp_uuid *session_id)
{
	struct sp_hnode *n = sp_htab_find(&c->boot->seqs, session_id->b, sizeof(session_id->b));

	return n != NULL ? sp_container(n, struct known_seq, node)->seq : -1;
}

static void
carry_one(struct sp_hnode *n, void *arg)
{
	struct conn *cn = sp_container(n, struct conn, node);
	json_t *more = json_pack("{s:I}", "epoch", (json_int_t)cn->epoch);
	struct audit_entry e = { .kind = "conn.carried", .actor = cn->login, .result = "ok", .source = cn->source_text,
	    .conn = &cn->id, .user = &cn->user_id, .asset = cn->inner ? &cn->inner_asset : NULL, .more = more };

	(void)arg;
	if (cn->inner) {
		json_object_set_new(more, "method", json_string("inner"));
		json_object_set_new(more, "asset_name", json_string(cn->inner_asset_name));
	}
	if (conn_alive(cn) && cn->authed)
		audit_append(cn->ctl->audit, &e, NULL, NULL);
	json_decref(more);
}

/* The scan at start reads two segments: a login must be found in one of them for as long as its connection lives. */
void
boot_carry(struct ctl *c)
{
	sp_htab_each(&c->conns, carry_one, NULL);
}

enum sp_err
boot_new(struct ctl *c)
{
	struct boot *b = calloc(1, sizeof(*b));
	enum sp_err r;

	if (b == NULL)
		return SP_ENOMEM;
	c->boot = b;
	b->entries = json_array();
	if ((r = sp_htab_init(&b->logins)) == SP_OK)
		r = sp_htab_init(&b->seqs);
	return r;
}

enum sp_err
boot_start(struct ctl *c)
{
	c->boot->replay.work = replay_work;
	c->boot->replay.done = replay_done;
	return ctl_lanes_new(c, &c->boot->replay, &c->lanes);
}

static void
free_login(struct sp_hnode *n, void *arg)
{
	sp_htab_remove(arg, n);
	free(sp_container(n, struct known_login, node));
}

static void
free_seq(struct sp_hnode *n, void *arg)
{
	sp_htab_remove(arg, n);
	free(sp_container(n, struct known_seq, node));
}

void
boot_free(struct ctl *c)
{
	struct boot *b = c->boot;

	if (b == NULL)
		return;
	sp_htab_each(&b->logins, free_login, &b->logins);
	sp_htab_each(&b->seqs, free_seq, &b->seqs);
	sp_htab_release(&b->logins);
	sp_htab_release(&b->seqs);
	json_decref(b->entries);
	free(b);
	c->boot = NULL;
}
