/* src/session/limits.c - what ends a session by itself: the grant's end or the end of its weekly hours, the longest
 * duration, idleness, a target that does not answer. Kept by the session's own timers from the policy that control sent
 * last, so that they hold while control is away. Also what a changed policy closes. Process: session.
 *
 * Activity: what the user types on a terminal; on channels without one, bytes in either direction (a transfer works while
 * nobody types). What a program writes to a terminal is none, nor are keep-alives, resizes and requests to an agent.
 * Warnings go to people: terminals, and the standard error of a shell without one; never into another stream. */
#include "session/limits.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "policy/forward.h"
#include "session/session.h"

#define WARN_BEFORE_US	(UINT64_C(300) * SP_US_PER_S)
#define SAME_END_US	(UINT64_C(30) * SP_US_PER_S)	/* two readings of the wall clock for one moment */
#define UNHEARD_MAX	3

static const struct limit {
	const char	*reason, *line, *why;	/* for the record, at the end, in the warning */
} limits[LIMITS_N] = {
	[LIMIT_GRANT] = { "grant ended", "Your grant for this account has ended", "your grant for this account ends" },
	[LIMIT_HOURS] = { "hours over", "The hours of your grant are over", "the hours of your grant are over then" },
	[LIMIT_MAX] = { "longest duration reached", "The session has reached its longest duration", "it has its longest duration then" },
	[LIMIT_IDLE] = { "idle", "The session was idle for too long", "it is idle" },
};

/* When that limit is reached; 0: never. */
static uint64_t
limit_at(const struct target *t, enum limit_kind k)
{
	const Sallyport__Policy *p = t->policy;

	switch (k) {
	case LIMIT_GRANT:
		return p->end_hours ? 0 : p->end_us;
	case LIMIT_HOURS:
		return p->end_hours ? p->end_us : 0;
	case LIMIT_MAX:
		return p->max_us != 0 ? t->up_us + p->max_us : 0;
	case LIMIT_IDLE:
		return p->idle_us != 0 ? t->busy_us + p->idle_us : 0;
	case LIMITS_N:
		break;
	}
	return 0;
}

/* How long before it the user is warned. */
static uint64_t
limit_lead(const struct target *t, enum limit_kind k)
{
	return k == LIMIT_IDLE && t->policy->idle_us < 2 * WARN_BEFORE_US ? t->policy->idle_us / 2 : WARN_BEFORE_US;
}

static void
limit_tell(struct relay *r, const char *line)
{
	char text[SESSION_TEXT];

	if (r->kind != RELAY_SESSION || r->state != RL_RUN || r->near == NULL)
		return;
	if (r->pty)
		relay_show(r, line);
	else if (strcmp(r->type, "shell") == 0) {
		(void)sp_snprintf(text, sizeof(text), "%s\n", line);
		(void)sp_channel_write(r->near, SP_STREAM_ERR, text, strlen(text));
	}
}

/* To one channel, or to all (only NULL). */
static void
limit_warn(struct target *t, enum limit_kind k, uint64_t left_us, struct relay *only)
{
	uint64_t s = (left_us + SP_US_PER_S / 2) / SP_US_PER_S, minutes = (s + 30) / 60;
	char line[SESSION_TEXT];

	(void)sp_snprintf(line, sizeof(line), "*** Sallyport: this session ends in %llu %s%s: %s ***",
	    (unsigned long long)(s >= 90 ? minutes : s), s >= 90 ? "minute" : "second", (s >= 90 ? minutes : s) == 1 ? "" : "s",
	    limits[k].why);
	sp_list_each(it, &t->s->relays) {
		struct relay *r = sp_container(it, struct relay, link);

		if (r->target == t && (only == NULL || r == only))
			limit_tell(r, line);
	}
}

/* Was this very end told? The same moment comes again with every policy, read from clocks a little apart. */
static int
limit_told(const struct target *t, enum limit_kind k, uint64_t at)
{
	uint64_t was = t->warned_us[k], gap = at > was ? at - was : was - at;

	return was != 0 && gap < (k == LIMIT_IDLE ? 1 : SAME_END_US);
}

/* Returns nonzero when the session has ended; else *next is the next moment to look. */
static int
limits_look(struct target *t, uint64_t now, uint64_t *next)
{
	for (int k = 0; k < LIMITS_N; k++) {
		uint64_t at = limit_at(t, (enum limit_kind)k), warn;

		if (at == 0)
			continue;
		if (now >= at) {
			target_end(t, limits[k].reason, "", limits[k].line);
			return 1;
		}
		warn = at > limit_lead(t, (enum limit_kind)k) ? at - limit_lead(t, (enum limit_kind)k) : 0;
		if (now >= warn && !limit_told(t, (enum limit_kind)k, at)) {
			t->warned_us[k] = at;
			limit_warn(t, (enum limit_kind)k, at - now, NULL);
		}
		at = now < warn ? warn : at;
		*next = at < *next ? at : *next;
	}
	return 0;
}

void
limits_on_clock(struct sp_timer *timer, void *arg)
{
	struct target *t = arg;
	uint64_t now = sp_now_us(), next = now + t->s->conf->keepalive, quiet;

	if (limits_look(t, now, &next))
		return;
	quiet = now - sp_leg_heard_us(t->leg);
	if (quiet < t->s->conf->keepalive) {
		t->unheard = 0;
		if (now + t->s->conf->keepalive - quiet < next)
			next = now + t->s->conf->keepalive - quiet;
	} else if (++t->unheard > UNHEARD_MAX) {
		target_end(t, "target does not answer", "", "The target does not answer any more");
		return;
	} else
		forward_keepalive(t);
	sp_timer_at(timer, next);
}

void
limits_started(struct relay *r)
{
	struct target *t = r->target;
	uint64_t now = sp_now_us();

	for (int k = 0; t != NULL && t->state == TG_UP && k < LIMITS_N; k++) {
		uint64_t at = limit_at(t, (enum limit_kind)k);

		if (at > now && k != LIMIT_IDLE && limit_told(t, (enum limit_kind)k, at))
			limit_warn(t, (enum limit_kind)k, at - now, r);
	}
}

void
limits_activity(struct relay *r, enum sp_rec_stream dir)
{
	if (r->target == NULL || strcmp(r->type, "agent") == 0 || (r->pty && dir != SP_REC_IN))
		return;
	r->target->busy_us = sp_now_us();
}

/* Does the policy still name where this local forward goes? As control judged it when it was opened: the name as it was typed
 * and the address that was found then; a name that only the target knows by the name alone. */
static int
limits_destination(const struct relay *r)
{
	const Sallyport__Policy *p = r->target->policy;
	char host[sizeof(r->to) + 64];
	struct sp_netaddr a;
	char *colon;
	uint32_t port;
	int has_addr = sp_netaddr_parse(r->to, &a) == SP_OK;

	(void)sp_snprintf(host, sizeof(host), "%.*s", (int)r->detail.len, (const char *)r->detail.p);	/* "HOST:PORT" */
	if ((colon = strrchr(host, ':')) == NULL)
		return 0;
	*colon = '\0';
	port = (uint32_t)strtoul(colon + 1, NULL, 10);		/* written by forward_open() */
	for (size_t i = 0; i < p->n_forward_to; i++) {
		enum sp_policy_forward f = sp_policy_forward_allowed(p->forward_to[i], host, has_addr ? &a : NULL, port);

		if (f == SP_POLICY_FWD_YES || (!has_addr && f == SP_POLICY_FWD_MAYBE))
			return 1;
	}
	return 0;
}

/* Does the policy still carry this channel? */
static int
limits_carries(const struct relay *r)
{
	static const struct { const char *type, *any[3]; } carried[] = {
		{ "shell", { "shell" } }, { "exec", { "exec", "scp" } }, { "subsystem", { "sftp", "scp" } },
		{ "forward-local", { "forward-local", "forward-dynamic" } }, { "forwarded", { "forward-remote" } },
		{ "x11", { "x11" } }, { "agent", { "agent" } },
	};

	for (size_t i = 0; i < SP_NELEMS(carried); i++) {
		if (strcmp(carried[i].type, r->type) != 0)
			continue;
		for (size_t k = 0; k < SP_NELEMS(carried[i].any) && carried[i].any[k] != NULL; k++)
			if (target_allows(r->target, carried[i].any[k]))
				return r->kind != RELAY_LOCAL || limits_destination(r);
		return 0;
	}
	return 0;
}

void
limits_policy(struct target *t)
{
	char line[SESSION_TEXT];

	if (t->state != TG_UP)
		return;
	sp_list_each(it, &t->s->relays) {
		struct relay *r = sp_container(it, struct relay, link);

		if (r->target != t || (r->state != RL_OPENING && r->state != RL_RUN))
			continue;
		if (limits_carries(r)) {
			files_policy(r);
			continue;
		}
		(void)sp_snprintf(line, sizeof(line), "Your grant does not allow %s %son this target any more", r->type,
		    r->kind == RELAY_LOCAL ? "to that destination " : "");
		relay_fail(r, line);
	}
	if (t->state == TG_UP)
		sp_timer_in(t->clock, 0);
}
