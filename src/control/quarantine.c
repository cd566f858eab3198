/* src/control/quarantine.c - see quarantine.h. */
#include "control/quarantine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/loghead.h"
#include "control/methods.h"

#define FILE_MAX	4096

struct quarantine {
	json_t	*what;		/* the file: made, restored, audit_seq, noted */
	char	 text[256];
};

static int
quarantine_path(const struct ctl *c, char *dst, size_t size)
{
	return sp_snprintf(dst, size, "%s/snapshot/quarantine", c->child.conf.state_dir);
}

static json_int_t
number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* A file that cannot be read keeps the node in quarantine all the same. */
void
quarantine_load(struct ctl *c)
{
	char path[SP_CONF_TEXT + 32], text[FILE_MAX];
	sp_auto(sp_closep) int fd = -1;
	struct quarantine *q;
	const char *made;
	ssize_t n;

	if (quarantine_path(c, path, sizeof(path)) != 0 ||
	    ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) == -1 && errno == ENOENT))
		return;
	if ((q = calloc(1, sizeof(*q))) == NULL)
		sp_die(71, "out of memory");
	n = fd != -1 ? read(fd, text, sizeof(text)) : 0;
	q->what = n > 0 ? json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL) : NULL;
	if (!json_is_object(q->what)) {
		json_decref(q->what);
		q->what = json_object();
	}
	made = json_string_value(json_object_get(q->what, "made"));
	sp_snprintf(q->text, sizeof(q->text), "This node was restored from a backup%s%.64s and is in quarantine: "
	    "no sessions until an administrator says 'sallyport quarantine release'.", made != NULL ? " of " : "",
	    made != NULL ? made : "");
	c->quarantine = q;
	atomic_store(&c->quarantined, 1);
	sp_warn("%s", q->text);
}

static void
quarantine_save(struct ctl *c)
{
	char path[SP_CONF_TEXT + 32], *text = json_dumps(c->quarantine->what, JSON_SORT_KEYS);
	int fd;

	if (text == NULL || quarantine_path(c, path, sizeof(path)) != 0 ||
	    (fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW)) == -1) {
		free(text);
		return;
	}
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fsync(fd) == -1)
		sp_error("the quarantine's file could not be written: the restore will be noted once more");
	sp_closep(&fd);
	free(text);
}

/* The log may know more than the store that was put back: then the store went back in time. */
void
quarantine_note(struct ctl *c)
{
	struct quarantine *q = c->quarantine;
	json_int_t then;
	char text[256];
	struct audit_entry e = { .kind = "restore", .actor = "system", .result = "ok", .text = text };
	uint64_t at;

	if (q == NULL || json_is_true(json_object_get(q->what, "noted")))
		return;
	then = number(q->what, "audit_seq");
	e.more = q->what;
	at = audit_next(c->audit);
	if (then > 0 && at > (uint64_t)then + 1) {
		e.kind = "restore.rollback";
		e.result = "failed";
		sp_snprintf(text, sizeof(text), "the store is that of audit entry %lld, the log goes on to %llu: changes in between are undone",
		    (long long)then, (unsigned long long)at - 1);
	} else {
		sp_snprintf(text, sizeof(text), "restored from the backup of %.64s, up to audit entry %lld; what came after it is not known",
		    json_string_value(json_object_get(q->what, "made")) != NULL ?
		    json_string_value(json_object_get(q->what, "made")) : "an unknown time", (long long)then);
	}
	audit_append(c->audit, &e, NULL, NULL);
	json_object_set_new(q->what, "noted", json_true());
	quarantine_save(c);
}

int
quarantine_is(const struct ctl *c)
{
	return atomic_load(&c->quarantined);
}

const char *
quarantine_text(const struct ctl *c)
{
	return quarantine_is(c) ? c->quarantine->text : NULL;
}

json_t *
quarantine_json(const struct ctl *c)
{
	return quarantine_is(c) ? json_incref(c->quarantine->what) : NULL;
}

/* ---- release ---- */

struct old_rows {
	int64_t	before_us, last, id[SP_STORE_PAGE_MAX];
	size_t	seen, n;
};

static int
old_row(const struct sp_store_outbox *o, void *arg)
{
	struct old_rows *k = arg;

	k->seen++;
	k->last = o->id;
	if (o->created_us < k->before_us)
		k->id[k->n++] = o->id;
	return 0;
}

/* What the backup still wanted to send was sent, or has been overtaken, long ago. */
static enum sp_err
drop_old_outbox(struct sp_store *s, int64_t before_us, size_t *ret_n)
{
	sp_auto(sp_freep) struct old_rows *k = calloc(1, sizeof(*k));
	enum sp_err r;

	if (k == NULL)
		return SP_ENOMEM;
	k->before_us = before_us;
	do {
		k->seen = k->n = 0;
		r = sp_store_outbox_pending(s, NULL, k->last, SP_STORE_PAGE_MAX, old_row, k);
		for (size_t i = 0; i < k->n && r == SP_OK; i++)
			r = sp_store_outbox_done(s, k->id[i]);
		*ret_n += k->n;
	} while (r == SP_OK && k->seen == SP_STORE_PAGE_MAX);
	return r;
}

void
quarantine_release(struct api_call *c, struct sp_store *s)
{
	int64_t before = INT64_MAX;
	const char *at;
	size_t n = 0;

	if (!quarantine_is(c->ctl)) {
		(void)api_fail(c, SP_ESTATE, "this node is not in quarantine");
		return;
	}
	at = json_string_value(json_object_get(c->ctl->quarantine->what, "restored"));
	if (at == NULL || sp_rfc3339_parse(at, &before) != SP_OK)
		before = INT64_MAX;
	if (api_store(c, drop_old_outbox(s, before, &n), "the outbox") != SP_OK)
		return;
	api_more(c, "outbox_dropped", json_integer((json_int_t)n));
	c->out = json_pack("{s:b, s:I}", "quarantine", 0, "outbox_dropped", (json_int_t)n);
}

/* The entry is durable and the rows are written. */
void
quarantine_release_loop(struct api_call *c)
{
	char path[SP_CONF_TEXT + 32];
	struct audit_entry e = { .kind = "quarantine.released", .actor = api_actor(c), .result = "ok" };

	if (quarantine_path(c->ctl, path, sizeof(path)) != 0 || (unlink(path) == -1 && errno != ENOENT)) {
		(void)api_fail(c, SP_EIO, "%s/snapshot/quarantine cannot be removed", c->ctl->child.conf.state_dir);
		return;
	}
	atomic_store(&c->ctl->quarantined, 0);	/* its text stays until the end: a worker may be reading it */
	audit_append(c->ctl->audit, &e, NULL, NULL);	/* an alarm; what a worker writes is none */
	sp_info("the quarantine was ended by %s", api_actor(c));
	if (loghead_is_restored(c->ctl)) {
		const char *made = json_string_value(json_object_get(c->ctl->quarantine->what, "made"));
		char reason[128];

		sp_snprintf(reason, sizeof(reason), "restored from the backup of %.64s", made != NULL ? made : "an unknown time");
		if (loghead_new_origin(c->ctl, reason) != SP_OK)
			sp_error("the audit log has no new origin: say 'sallyport evidence new-origin'");
	}
	vaultlink_rewrap(c->ctl);
}

void
quarantine_status(struct api_call *c, struct sp_store *s)
{
	(void)s;
	(void)c;
}

void
quarantine_status_loop(struct api_call *c)
{
	json_t *what = quarantine_json(c->ctl);

	c->out = json_pack("{s:b}", "quarantine", what != NULL);
	if (what != NULL)
		json_object_update(c->out, what);
	json_decref(what);
}
