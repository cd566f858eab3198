/* src/control/alarm.c - alarms: entries of the audit log that an operator must hear of, on their way out of the house.
 * Process: control, event loop; rows in a reader and the writer.
 *
 *	audit entry durable -> row in the outbox -> OUTBOX_ITEM to the courier -> OUTBOX_DONE -> row marked done
 *
 * Which entries are alarms is the table below. An alarm is made from the entry alone, and the number of the last entry that
 * was looked at is written in the transaction of the rows: a control that died in between finds the rest in the log's
 * tail. So each alarm has one row, with an id of its own; the courier keeps an id once, however often it is sent.
 * Invariants: (1) one write, one read of pending rows and one page of unconfirmed items at a time. (2) A row is marked
 * only after the courier said that it is on disk. */
#include "control/alarm.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/quarantine.h"

#define ALARM_SEQ	"internal.alarm_seq"	/* setting: number of the last audit entry looked at */
#define ALARM_PAGE	64
#define ALARM_WAITING	4096			/* alarms kept while the database is away */
#define ALARM_AGAIN_US	(10 * SP_US_PER_S)
#define ALARM_KEEP_US	(30 * 86400 * (int64_t)SP_US_PER_S)	/* rows that are done */

static const struct {
	const char	*kind;
	const char	*text;		/* how the entry's text begins; NULL: whatever */
	const char	*event;		/* of the recorder; NULL: not one */
	const char	*name, *title;
	const char	*result;	/* of the entry; NULL: whatever */
} alarms[] = {
	{ "hostkey.mismatch", NULL, NULL, "hostkey-changed", "A target shows another host key than the pinned one" },
	{ "session.event", NULL, "error", "recording-failed", "A recording failed" },
	{ "session.end", "recording failed", NULL, "recording-failed", "A session was ended because its recording failed" },
	{ "session.end", "recorder died", NULL, "session-lost", "A session was lost" },
	{ "session.end", "session process died", NULL, "session-lost", "A session was lost" },
	{ "session.end", "lost", NULL, "session-lost", "A session was lost" },
	{ "session.misbehaved", NULL, NULL, "misbehaved", "A session process sent what it may not" },
	{ "scribe.misbehaved", NULL, NULL, "misbehaved", "A recorder sent what it may not" },
	{ "source.penalty_again", NULL, NULL, "login-penalties", "Logins from one source fail again and again" },
	{ "mfa.guessing", NULL, NULL, "mfa-guessing", "Somebody with a user's password or key guesses at his one-time codes" },
	{ "asset.claim", NULL, NULL, "asset-claimed", "A user claims a server as his; it is disabled until that is proven or confirmed", "ok" },
	{ "asset.proven", NULL, NULL, "asset-proven", "A user proved that a server is his, and it is enabled" },
	{ "asset.proof_wrong", NULL, NULL, "asset-proof", "A claimed server has another token than the one of the claim" },
	{ "vault.sealed", NULL, NULL, "vault-sealed", "The vault is sealed" },
	{ "vault.unsealed", NULL, NULL, "vault-unsealed", "The vault is unsealed" },
	{ "row.tampered", NULL, NULL, "row-tampered", "A row of the database was changed behind Sallyport's back" },
	{ "clock.behind", NULL, NULL, "clock-behind", "The machine's clock was set back" },
	{ "clock.ahead", NULL, NULL, "clock-ahead", "The machine's clock jumped far ahead and is not followed" },
	{ "clock.agrees", NULL, NULL, "clock-agrees", "The machine's clock is right again" },
	{ "breakglass.login", NULL, NULL, "break-glass", "A sealed-envelope account is in use" },
	{ "store.away", NULL, NULL, "store-away", "The store is away" },
	{ "store.back", NULL, NULL, "store-back", "The store is back" },
	{ "log.contained", NULL, NULL, "log-contained", "The audit log is not what was signed: no new sessions" },
	{ "witness.late", NULL, NULL, "witness-late", "A witness of the audit log did not come by" },
	{ "log.bridge", NULL, NULL, "log-origin", "The audit log goes on under a new origin" },
	{ "restore", NULL, NULL, "restored", "This node was restored from a backup" },
	{ "restore.rollback", NULL, NULL, "restored", "The store was put back to an earlier state" },
	{ "quarantine.released", NULL, NULL, "quarantine-released", "The quarantine of a restored node was ended" },
	{ "copy.late", NULL, NULL, "copy-late", "A collector does not take the copy of the audit log" },
	{ "copy.caught_up", NULL, NULL, "copy-caught-up", "A collector has the whole audit log again" },
	{ "recording.retention", NULL, NULL, "retention-refused", "Recordings that their policy deletes are kept: the clock, or too many at once", "refused" },
	{ "alert.raised", NULL, NULL, "offense", "A rule fired", "notify" },
	{ "command.alert", NULL, NULL, "command-alert", "A command ran that a rule watches for" },
	{ "command.refused", "kill", NULL, "command-kill", "A command ended its session" },
	{ "command.refused", "ran all the same", NULL, "command-ran", "A refused command ran all the same" },
	{ "audit.reserve", NULL, NULL, "disk-full", "The disk is full: the reserve is in use, new sessions are refused" },
	{ "audit.reserve_back", NULL, NULL, "disk-free", "There is room on the disk again" },
};

struct alarm {
	struct sp_list	link;
	int64_t		seq;
	char		kind[64];
	size_t		len;
	char		payload[];
};
struct alarm_sent {			/* of the page that the courier has */
	struct sp_uuid	id;
	int64_t		row;
	int		answered, kept;
};
struct alarms {
	struct ctl		*ctl;
	struct ctl_job		 write, load, mark;
	struct sp_list		 waiting, writing;
	size_t			 waiting_n, lost_n;
	int64_t			 seen_seq;
	int			 is_ready, is_writing, is_loading, is_marking, more, was_low, purged;
	int			 is_new;	/* the courier: it gets what the last one did not confirm, at once */
	uint64_t		 write_at_us, send_at_us;	/* 0: not planned */
	uint64_t		 answer_by_us;			/* of the page; 0: none is out */
	struct alarm_sent	 sent[ALARM_PAGE];
	size_t			 sent_n;
	json_t			*page;				/* of the load: [kind, payload, created] */
};

/* ---- which entries ---- */

static int
alarm_find(const char *kind, const char *text, const char *event, const char *result)
{
	for (size_t i = 0; i < SP_NELEMS(alarms); i++)
		if (strcmp(alarms[i].kind, kind) == 0 &&
		    (alarms[i].text == NULL || (text != NULL && strncmp(text, alarms[i].text, strlen(alarms[i].text)) == 0)) &&
		    (alarms[i].result == NULL || (result != NULL && strcmp(result, alarms[i].result) == 0)) &&
		    (alarms[i].event == NULL || (event != NULL && strcmp(event, alarms[i].event) == 0)))
			return (int)i;
	return -1;
}

int
alarm_is_one(const struct audit_entry *e)
{
	return alarm_find(e->kind, e->text, json_string_value(json_object_get(e->more, "event")), e->result) >= 0;
}

static char *
alarm_payload(const json_t *line, size_t i)
{
	static const char *const copied[] = { "seq", "wall", "actor", "source", "session", "conn", "user_id", "asset_id" };
	const json_t *more = json_object_get(line, "more");
	const char *text = json_string_value(json_object_get(line, "text"));
	char id[SP_UUID_SIZE], *s;
	struct sp_uuid u;
	json_t *o = json_object();

	sp_uuid_make(&u);
	json_object_set_new(o, "id", json_string(sp_uuid_text(&u, id)));
	json_object_set_new(o, "alarm", json_string(alarms[i].name));
	if (text == NULL)
		text = json_string_value(json_object_get(json_object_get(more, "body"), "text"));
	json_object_set_new(o, "text", text != NULL ? json_sprintf("%s: %s", alarms[i].title, text) : json_string(alarms[i].title));
	for (size_t k = 0; k < SP_NELEMS(copied); k++)
		if (json_object_get(line, copied[k]) != NULL)
			json_object_set(o, copied[k], json_object_get(line, copied[k]));
	s = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(o);
	return s;
}

void
alarm_seen(struct ctl *c, const json_t *line)
{
	struct alarms *a = c->alarms;
	const char *kind = json_string_value(json_object_get(line, "kind"));
	int i = kind == NULL ? -1 : alarm_find(kind, json_string_value(json_object_get(line, "text")),
	    json_string_value(json_object_get(json_object_get(line, "more"), "event")), json_string_value(json_object_get(line, "result")));
	char *payload;
	struct alarm *n;
	size_t len;

	if (i < 0)
		return;
	if (a->waiting_n >= ALARM_WAITING) {
		if (a->lost_n++ == 0)
			sp_error("too many alarms wait for the database: further ones are in the audit log only");
		return;
	}
	if ((payload = alarm_payload(line, (size_t)i)) == NULL || (len = strlen(payload)) > SP_STORE_PAYLOAD_MAX ||
	    (n = malloc(sizeof(*n) + len + 1)) == NULL) {
		free(payload);
		return;
	}
	*n = (struct alarm){ .seq = json_integer_value(json_object_get(line, "seq")), .len = len };
	sp_snprintf(n->kind, sizeof(n->kind), "alarm.%s", alarms[i].name);
	memcpy(n->payload, payload, len + 1);
	free(payload);
	sp_list_add_tail(&a->waiting, &n->link);
	a->waiting_n++;
	if (a->write_at_us == 0)
		a->write_at_us = 1;	/* with the next tick */
}

/* ---- rows ---- */

static enum sp_err
write_rows(struct alarms *a, struct sp_store *s)
{
	char text[32] = "";
	int64_t last = 0, id;
	enum sp_err r = sp_store_setting_get(s, ALARM_SEQ, text, sizeof(text));

	if (r != SP_OK && r != SP_ENOENT)
		return r;
	last = strtoll(text, NULL, 10);
	sp_list_each(it, &a->writing) {
		const struct alarm *n = sp_container(it, struct alarm, link);

		if (n->seq <= last)
			continue;	/* an earlier control did it */
		if ((r = sp_store_outbox_add(s, n->kind, n->payload, n->len, &id)) != SP_OK)
			return r;
		last = n->seq;
	}
	sp_snprintf(text, sizeof(text), "%lld", (long long)last);
	return sp_store_setting_set(s, ALARM_SEQ, text);
}

static void
write_work(struct ctl_job *j, struct sp_store *s)
{
	struct alarms *a = sp_container(j, struct alarms, write);
	enum sp_err r = sp_store_begin(s, SP_STORE_MAIN);

	j->err = r == SP_OK ? sp_store_end(s, write_rows(a, s)) : r;
}

static void
alarms_drop(struct alarms *a, struct sp_list *list)
{
	sp_list_each(it, list) {
		sp_list_remove(it);
		free(sp_container(it, struct alarm, link));
		a->waiting_n--;
	}
}

static void
write_done(struct ctl_job *j)
{
	struct alarms *a = sp_container(j, struct alarms, write);

	a->is_writing = 0;
	if (j->err == SP_OK) {
		alarms_drop(a, &a->writing);
		a->send_at_us = 1;
	} else {
		sp_warn("alarms could not be written to the outbox yet: %s", sp_err_text(j->err));
		while (!sp_list_empty(&a->waiting)) {	/* what came meanwhile stays behind */
			struct sp_list *n = a->waiting.next;

			sp_list_remove(n);
			sp_list_add_tail(&a->writing, n);
		}
		a->write_at_us = sp_now_us() + ALARM_AGAIN_US;
	}
	if (!sp_list_empty(&a->waiting) && a->write_at_us == 0)
		a->write_at_us = 1;
}

static void
alarms_write(struct alarms *a)
{
	a->write_at_us = 0;
	while (!sp_list_empty(&a->waiting)) {
		struct sp_list *n = a->waiting.next;

		sp_list_remove(n);
		sp_list_add_tail(&a->writing, n);
	}
	if (sp_list_empty(&a->writing))
		return;
	a->is_writing = 1;
	ctl_job_run(a->ctl, CTL_WRITE, &a->write);
}

/* ---- to the courier ---- */

static int
load_row(const struct sp_store_outbox *o, void *arg)
{
	struct alarms *a = arg;
	json_t *p = json_loadb((const char *)o->payload, o->payload_len, 0, NULL);
	const char *id = json_string_value(json_object_get(p, "id"));
	struct alarm_sent *t = &a->sent[a->sent_n];

	if (id != NULL && sp_uuid_parse(id, &t->id) == SP_OK) {
		t->row = o->id;
		t->answered = t->kept = 0;
		a->sent_n++;
		json_array_append_new(a->page, json_pack("[s, s%, I]", o->kind, (const char *)o->payload, (size_t)o->payload_len,
		    (json_int_t)o->created_us));
	}
	json_decref(p);
	return a->sent_n == ALARM_PAGE;
}

static void
load_work(struct ctl_job *j, struct sp_store *s)
{
	struct alarms *a = sp_container(j, struct alarms, load);

	a->sent_n = 0;
	json_array_clear(a->page);
	j->err = sp_store_outbox_pending(s, NULL, 0, 0, load_row, a);
}

static void
load_done(struct ctl_job *j)
{
	struct alarms *a = sp_container(j, struct alarms, load);
	size_t i;
	json_t *row;

	a->is_loading = 0;
	if (j->err != SP_OK) {
		a->sent_n = 0;
		a->send_at_us = sp_now_us() + ALARM_AGAIN_US;
		return;
	}
	if (a->sent_n == 0)
		return;
	a->answer_by_us = sp_now_us() + ALARM_AGAIN_US;
	json_array_foreach(a->page, i, row) {
		Sallyport__OutboxItem m = SALLYPORT__OUTBOX_ITEM__INIT;

		m.id = ctl_uuid_bytes(&a->sent[i].id);
		m.kind = ctl_str(json_string_value(json_array_get(row, 0)));
		m.payload = ctl_str(json_string_value(json_array_get(row, 1)));
		m.created_wall_us = json_integer_value(json_array_get(row, 2));
		if (a->ctl->courier == NULL || sp_chan_send(a->ctl->courier, SP_MSG_OUTBOX_ITEM, 0, &m, NULL, 0) != SP_OK)
			break;		/* a new courier gets the whole page again */
	}
}

static void
mark_work(struct ctl_job *j, struct sp_store *s)
{
	struct alarms *a = sp_container(j, struct alarms, mark);
	enum sp_err r = sp_store_begin(s, SP_STORE_MAIN);

	for (size_t i = 0; i < a->sent_n && r == SP_OK; i++)
		if (a->sent[i].kept)
			r = sp_store_outbox_done(s, a->sent[i].row);
	if (r == SP_OK && !a->purged)
		r = sp_store_outbox_purge(s, sp_wall_us() - ALARM_KEEP_US);
	j->err = sp_store_end(s, r);
}

static void
mark_done(struct ctl_job *j)
{
	struct alarms *a = sp_container(j, struct alarms, mark);
	size_t kept = 0;

	for (size_t i = 0; i < a->sent_n; i++)
		kept += a->sent[i].kept != 0;
	a->is_marking = 0;
	a->purged |= j->err == SP_OK;
	/* What was not kept, or not marked, is among the next page: sent again, kept once. */
	a->send_at_us = j->err == SP_OK && (kept == a->sent_n || a->is_new) ? 1 : sp_now_us() + ALARM_AGAIN_US;
	a->is_new = 0;
	a->sent_n = 0;
}

static void
alarms_mark(struct alarms *a)
{
	a->answer_by_us = 0;
	a->is_marking = 1;
	ctl_job_run(a->ctl, CTL_WRITE, &a->mark);
}

void
alarm_courier_done(struct ctl *c, const Sallyport__OutboxDone *d)
{
	struct alarms *a = c->alarms;
	struct sp_uuid id;
	size_t open = 0;

	if (ctl_uuid_of(&d->id, &id) != SP_OK || a->answer_by_us == 0)
		return;
	for (size_t i = 0; i < a->sent_n; i++) {
		if (sp_uuid_equal(&a->sent[i].id, &id)) {
			a->sent[i].answered = 1;
			a->sent[i].kept = d->err == SP_OK;
		}
		open += !a->sent[i].answered;
	}
	if (open == 0)
		alarms_mark(a);
}

void
alarm_courier_peer(struct ctl *c)
{
	struct alarms *a = c->alarms;

	a->is_new = a->answer_by_us != 0 || a->is_marking;
	if (a->answer_by_us != 0)
		alarms_mark(a);		/* what the last one confirmed; then the rest goes to this one */
	else
		a->send_at_us = 1;
}

/* ---- time ---- */

void
alarm_store_ready(struct ctl *c)
{
	c->alarms->is_ready = 1;
	c->alarms->write_at_us = c->alarms->send_at_us = 1;
}

static void
alarm_look_at_disk(struct ctl *c)
{
	int low = audit_space_low(c->audit);
	struct audit_entry e = { .kind = low ? "audit.reserve" : "audit.reserve_back", .actor = "system",
	    .result = low ? "failed" : "ok" };

	if (low != c->alarms->was_low)
		audit_append(c->audit, &e, NULL, NULL);
	c->alarms->was_low = low;
}

void
alarm_tick(struct ctl *c, uint64_t now_us)
{
	struct alarms *a = c->alarms;

	alarm_look_at_disk(c);
	if (!a->is_ready || c->stopping)
		return;
	if (a->write_at_us != 0 && now_us >= a->write_at_us && !a->is_writing)
		alarms_write(a);
	if (a->answer_by_us != 0 && now_us >= a->answer_by_us)
		alarms_mark(a);
	if (a->send_at_us != 0 && now_us >= a->send_at_us && c->courier != NULL && !quarantine_is(c) && !a->is_loading && !a->is_marking &&
	    a->answer_by_us == 0) {
		a->send_at_us = 0;
		a->is_loading = 1;
		ctl_job_run(c, CTL_READ, &a->load);
	}
}

enum sp_err
alarm_new(struct ctl *c)
{
	struct alarms *a = calloc(1, sizeof(*a));

	if (a == NULL || (a->page = json_array()) == NULL) {
		free(a);
		return SP_ENOMEM;
	}
	a->ctl = c;
	a->write.work = write_work;
	a->write.done = write_done;
	a->load.work = load_work;
	a->load.done = load_done;
	a->mark.work = mark_work;
	a->mark.done = mark_done;
	sp_list_init(&a->waiting);
	sp_list_init(&a->writing);
	c->alarms = a;
	return SP_OK;
}

void
alarm_free(struct ctl *c)
{
	struct alarms *a = c->alarms;

	if (a == NULL)
		return;
	alarms_drop(a, &a->waiting);
	alarms_drop(a, &a->writing);
	json_decref(a->page);
	free(a);
	c->alarms = NULL;
}
