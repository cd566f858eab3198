/* src/control/failures.c - failed logins: to the audit log without letting a flood fill it, and penalties for sources.
 * The first failure of a (user, source) is written at once, those of the following minute as one line with their number.
 * A source with many wrong passwords or codes in a window is banned at the gate, twice as long each time it comes back;
 * before that, one user's password from one source waits, with back-off. A public key that does not fit counts towards
 * nothing (only a flood of them does): it cannot be guessed. Accounts are never locked: that would let anybody lock anybody
 * out. Process: control, event loop.
 * Invariants: both tables are bounded; when one is full, further keys share one entry, which makes nobody wait. */
#include "control/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define WINDOW_US	(60 * SP_US_PER_S)
#define ENTRIES_MAX	4096
#define SOURCES_MAX	65536
#define FAILURES_FREE	10			/* in a window */
#define PAIR_FREE	5			/* wrong passwords of a user from a source, in a window */
#define PENALTY_FIRST_US (10 * SP_US_PER_S)
#define PENALTY_MAX_US	(900 * SP_US_PER_S)
#define SOURCE_FORGET_US (3600 * SP_US_PER_S)

struct failure {			/* of one user name from one source */
	struct sp_hnode	node;
	char		key[SP_STORE_LOGIN_MAX + SP_NETADDR_SIZE + 2];
	char		login[SP_STORE_LOGIN_MAX + 1], source[SP_NETADDR_SIZE], why[96], method[16];
	uint64_t	since_us;
	uint64_t	more;			/* after the first */
	int		shared;			/* of many */
	unsigned	wrong, waits;		/* passwords in the window; waiting times so far */
	uint64_t	window_us, until_us, wrong_us;
};
struct source {
	struct sp_hnode	node;
	char		key[SP_NETADDR_SIZE];
	uint64_t	window_us, last_us;
	unsigned	n, banned;		/* times */
};
struct failures {
	struct sp_htab	entries, sources;
	uint64_t	alarm_us;		/* the last one; 0: none yet */
};

static void
failure_write(struct ctl *c, const struct failure *f, uint64_t n, const struct conn *cn)
{
	json_t *more = json_pack("{s:s}", "method", f->method);
	struct audit_entry e = { .kind = "login.failed", .actor = f->login, .result = "refused", .source = f->source,
	    .text = f->why, .conn = cn != NULL ? &cn->id : NULL, .more = more };

	if (n > 1)
		json_object_set_new(more, "count", json_integer((json_int_t)n));
	audit_append(c->audit, &e, NULL, NULL);
	json_decref(more);
}

/* Who comes back after a penalty is an alarm, at most one a minute: a flood from many places is one thing to hear of. */
static void
source_log(struct ctl *c, const struct source *s, uint64_t for_us, uint64_t now)
{
	int again = s->banned > 1 && (c->failures->alarm_us == 0 || now - c->failures->alarm_us >= WINDOW_US);
	char text[160];
	struct audit_entry e = { .kind = again ? "source.penalty_again" : "source.penalty", .actor = "system", .result = "refused",
	    .source = s->key, .text = text };

	sp_snprintf(text, sizeof(text), "%s is refused for %llu s, the %u. time", s->key,
	    (unsigned long long)(for_us / SP_US_PER_S), s->banned);
	if (again)
		c->failures->alarm_us = now;
	audit_append(c->audit, &e, NULL, NULL);
}

static uint64_t
backoff(unsigned times)
{
	uint64_t us = PENALTY_FIRST_US << (times < 10 ? times : 10);

	return us < PENALTY_MAX_US ? us : PENALTY_MAX_US;
}

static void
source_note(struct ctl *c, const char *source, uint64_t now)
{
	struct sp_hnode *n = sp_htab_find(&c->failures->sources, source, strlen(source));
	struct source *s;
	Sallyport__Penalty p = SALLYPORT__PENALTY__INIT;

	if (n != NULL) {
		s = sp_container(n, struct source, node);
	} else {
		if (c->failures->sources.n >= SOURCES_MAX || (s = calloc(1, sizeof(*s))) == NULL)
			return;
		(void)sp_strlcpy(s->key, source, sizeof(s->key));
		if (sp_htab_insert(&c->failures->sources, &s->node, s->key, strlen(s->key)) != SP_OK) {
			free(s);
			return;
		}
	}
	if (now - s->window_us > WINDOW_US) {
		s->window_us = now;
		s->n = 0;
	}
	s->last_us = now;
	if (++s->n < FAILURES_FREE)
		return;
	s->n = 0;
	p.for_us = backoff(s->banned++);
	p.source_ip = s->key;
	p.why = ctl_str("too many failed logins");
	source_log(c, s, p.for_us, now);
	if (c->gate != NULL && sp_chan_send(c->gate, SP_MSG_PENALTY, 0, &p, NULL, 0) != SP_OK)
		sp_warn("the gate does not take a penalty");
}

static void
pair_note(struct failure *f, uint64_t now)
{
	f->wrong_us = now;
	if (f->shared)
		return;
	if (now - f->window_us > WINDOW_US) {
		f->window_us = now;
		f->wrong = 0;
	}
	if (++f->wrong < PAIR_FREE)
		return;
	f->wrong = 0;
	f->until_us = now + backoff(f->waits++);
}

int
failures_wait(const struct ctl *c, const char *login, const char *source)
{
	char key[SP_STORE_LOGIN_MAX + SP_NETADDR_SIZE + 2];
	struct sp_hnode *n;

	sp_snprintf(key, sizeof(key), "%s %s", login, source);
	n = sp_htab_find(&c->failures->entries, key, strlen(key));
	return n != NULL && sp_now_us() < sp_container(n, struct failure, node)->until_us;
}

void
failures_note(struct conn *cn, const char *login, const char *method, const char *why, int counts)
{
	struct ctl *c = cn->ctl;
	char key[SP_STORE_LOGIN_MAX + SP_NETADDR_SIZE + 2];
	struct sp_hnode *n;
	struct failure *f;
	uint64_t now = sp_now_us();

	if (counts)
		source_note(c, cn->source_text, now);
	sp_snprintf(key, sizeof(key), "%s %s", login, cn->source_text);
	n = sp_htab_find(&c->failures->entries, key, strlen(key));
	if (n == NULL && c->failures->entries.n >= ENTRIES_MAX) {
		(void)sp_strlcpy(key, "(many)", sizeof(key));
		login = "(many)";
		n = sp_htab_find(&c->failures->entries, key, strlen(key));
	}
	if (n != NULL) {
		f = sp_container(n, struct failure, node);
		if (counts)
			pair_note(f, now);
		f->more++;
		(void)sp_strlcpy(f->why, why, sizeof(f->why));
		return;
	}
	if ((f = calloc(1, sizeof(*f))) == NULL)
		return;
	f->since_us = now;
	(void)sp_strlcpy(f->key, key, sizeof(f->key));
	(void)sp_strlcpy(f->login, login, sizeof(f->login));
	(void)sp_strlcpy(f->source, cn->source_text, sizeof(f->source));
	(void)sp_strlcpy(f->why, why, sizeof(f->why));
	(void)sp_strlcpy(f->method, method, sizeof(f->method));
	f->shared = strcmp(key, "(many)") == 0;
	if (counts)
		pair_note(f, now);
	failure_write(c, f, 1, cn);
	if (sp_htab_insert(&c->failures->entries, &f->node, f->key, strlen(f->key)) != SP_OK)
		free(f);
}

struct sweep {
	struct ctl	*ctl;
	uint64_t	 now_us;
};

static void
sweep_failure(struct sp_hnode *n, void *arg)
{
	struct failure *f = sp_container(n, struct failure, node);
	const struct sweep *s = arg;

	if (s->now_us - f->since_us < WINDOW_US)
		return;
	if (f->more > 0) {
		failure_write(s->ctl, f, f->more, NULL);
		f->more = 0;
		f->since_us = s->now_us;	/* the flood may go on: keep counting */
		return;
	}
	if (f->waits > 0 && s->now_us - f->wrong_us < SOURCE_FORGET_US)
		return;			/* who comes back waits longer */
	sp_htab_remove(&s->ctl->failures->entries, n);
	free(f);
}

static void
sweep_source(struct sp_hnode *n, void *arg)
{
	struct source *so = sp_container(n, struct source, node);
	const struct sweep *s = arg;

	if (s->now_us - so->last_us < SOURCE_FORGET_US)
		return;
	sp_htab_remove(&s->ctl->failures->sources, n);
	free(so);
}

void
failures_tick(struct ctl *c, uint64_t now_us)
{
	struct sweep s = { c, now_us };

	sp_htab_each(&c->failures->entries, sweep_failure, &s);
	sp_htab_each(&c->failures->sources, sweep_source, &s);
}

enum sp_err
failures_new(struct ctl *c)
{
	enum sp_err r;

	if ((c->failures = calloc(1, sizeof(*c->failures))) == NULL)
		return SP_ENOMEM;
	if ((r = sp_htab_init(&c->failures->entries)) == SP_OK)
		r = sp_htab_init(&c->failures->sources);
	return r;
}

static void
free_failure(struct sp_hnode *n, void *arg)
{
	struct ctl *c = arg;
	struct failure *f = sp_container(n, struct failure, node);

	if (f->more > 0)
		failure_write(c, f, f->more, NULL);
	sp_htab_remove(&c->failures->entries, n);
	free(f);
}

static void
free_source(struct sp_hnode *n, void *arg)
{
	struct ctl *c = arg;

	sp_htab_remove(&c->failures->sources, n);
	free(sp_container(n, struct source, node));
}

void
failures_free(struct ctl *c)
{
	if (c->failures == NULL)
		return;
	sp_htab_each(&c->failures->entries, free_failure, c);
	sp_htab_each(&c->failures->sources, free_source, c);
	sp_htab_release(&c->failures->entries);
	sp_htab_release(&c->failures->sources);
	free(c->failures);
	c->failures = NULL;
}
