/* lib/policy/access.c - see access.h for the rules. Two passes: what matches, then what the matching ones add up to.
 * Process: control. Pure: no I/O, no clock, no allocation (but for the reason texts, into the caller's buffer). */
#include "policy/access.h"

#include <string.h>

#include "base/clock.h"
#include "policy/list.h"

#define SECOND_US	INT64_C(1000000)
#define MINUTE_US	(60 * SECOND_US)
#define DAY_MIN		1440
#define UNTIL_STEPS	64
#define FORWARDING	(SP_POLICY_FWD_LOCAL | SP_POLICY_FWD_REMOTE | SP_POLICY_FWD_DYNAMIC)
#define FILES		(SP_POLICY_SFTP | SP_POLICY_SCP | SP_POLICY_EXEC)

enum match { MATCH_NO, MATCH_YES, MATCH_BAD };

static const struct {
	const char	*word;
	uint32_t	 bit;
} protocols[] = {
	{ "shell", SP_POLICY_SHELL }, { "exec", SP_POLICY_EXEC }, { "sftp", SP_POLICY_SFTP }, { "scp", SP_POLICY_SCP },
	{ "forward-local", SP_POLICY_FWD_LOCAL }, { "forward-remote", SP_POLICY_FWD_REMOTE },
	{ "forward-dynamic", SP_POLICY_FWD_DYNAMIC }, { "agent", SP_POLICY_AGENT }, { "x11", SP_POLICY_X11 }
};

char *
sp_policy_protocols_text(uint32_t bits, char dst[SP_POLICY_PROTOCOLS_SIZE])
{
	sp_strlcpy(dst, bits == SP_POLICY_ALL ? "all" : bits == 0 ? "-" : "", SP_POLICY_PROTOCOLS_SIZE);
	for (size_t i = 0; bits != SP_POLICY_ALL && i < SP_NELEMS(protocols); i++)
		if (bits & protocols[i].bit) {
			size_t n = strlen(dst);

			sp_snprintf(dst + n, SP_POLICY_PROTOCOLS_SIZE - n, "%s%s", n > 0 ? "," : "", protocols[i].word);
		}
	return dst;
}

enum sp_err
sp_policy_protocols_parse(const char *text, uint32_t *ret)
{
	char item[SP_POLICY_ITEM_SIZE];
	uint32_t bits = 0, bit;
	int got;

	if (strcmp(text, "-") == 0) {
		*ret = 0;
		return SP_OK;
	}
	while ((got = sp_policy_item(&text, item)) != 0) {
		bit = got > 0 && strcmp(item, "all") == 0 ? SP_POLICY_ALL : 0;
		for (size_t i = 0; got > 0 && i < SP_NELEMS(protocols); i++)
			if (strcmp(item, protocols[i].word) == 0)
				bit = protocols[i].bit;
		if (bit == 0)
			return SP_EINVAL;
		bits |= bit;
	}
	if (bits == 0)
		return SP_EINVAL;
	*ret = bits;
	return SP_OK;
}

/* What an allow grant opens beside what it names. Only one step: a grant of commands does not open the sftp subsystem. */
static const struct {
	uint32_t	named, also;
} carried[] = {
	{ SP_POLICY_EXEC, SP_POLICY_SCP },	/* scp of the RCP protocol is a command */
	{ SP_POLICY_SCP, SP_POLICY_SFTP },	/* today's scp clients use that subsystem, and nothing in it says that they are scp */
};

static uint32_t
grant_protocols(const struct sp_policy_grant *g)
{
	uint32_t bits = g->protocols;

	for (size_t i = 0; !g->deny && i < SP_NELEMS(carried); i++)
		if (g->protocols & carried[i].named)
			bits |= carried[i].also;
	return bits;
}

/* ---- accounts, sources ---- */

static enum match
accounts_match(const char *list, const char *account)
{
	char item[SP_POLICY_ITEM_SIZE];
	enum match found = MATCH_NO;
	int got;

	while ((got = sp_policy_item(&list, item)) != 0) {
		if (got < 0)
			return MATCH_BAD;
		if (strcmp(item, "*") == 0 || strcmp(item, account) == 0)
			found = MATCH_YES;
	}
	return found;
}

static enum match
source_match(const char *item, const struct sp_netaddr *src)
{
	struct sp_netaddr addr;
	struct sp_netnet net;

	if (strchr(item, '/') == NULL)
		return sp_netaddr_parse(item, &addr) != SP_OK ? MATCH_BAD :
		    src->family != 0 && sp_netaddr_same_host(&addr, src) ? MATCH_YES : MATCH_NO;
	if (sp_netnet_parse(item, &net) != SP_OK)
		return MATCH_BAD;
	return src->family != 0 && sp_netnet_contains(&net, src) ? MATCH_YES : MATCH_NO;
}

static enum match
sources_match(const char *list, const struct sp_netaddr *src)
{
	char item[SP_POLICY_ITEM_SIZE];
	enum match found = MATCH_NO, one;
	int got;

	if (list == NULL || *list == 0)
		return MATCH_YES;
	while ((got = sp_policy_item(&list, item)) != 0) {
		one = got > 0 ? source_match(item, src) : MATCH_BAD;
		if (one == MATCH_BAD)
			return MATCH_BAD;
		found = one == MATCH_YES ? MATCH_YES : found;
	}
	return found;
}

enum sp_err
sp_policy_accounts_check(const char *text)
{
	return accounts_match(text, "") == MATCH_BAD ? SP_EINVAL : SP_OK;
}

enum sp_err
sp_policy_sources_check(const char *text)
{
	static const struct sp_netaddr none;

	return sources_match(text, &none) == MATCH_BAD ? SP_EINVAL : SP_OK;
}

/* ---- weekly hours ---- */

struct span {
	unsigned	days;		/* bit 0: Sunday */
	int		from, to;	/* minutes of the day, from < to <= 1440 */
};

static int
day_parse(const char *s, size_t n)
{
	static const char *const names[] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat" };

	for (int i = 0; n == 3 && i < 7; i++)
		if (strncmp(s, names[i], 3) == 0)
			return i;
	return -1;
}

static int
days_parse(const char *s, size_t n, unsigned *ret)
{
	const char *dash = memchr(s, '-', n);
	int from, to;

	if (n == 5 && strncmp(s, "daily", 5) == 0) {
		*ret = 0x7f;
		return 0;
	}
	from = day_parse(s, dash != NULL ? (size_t)(dash - s) : n);
	to = dash != NULL ? day_parse(dash + 1, n - (size_t)(dash + 1 - s)) : from;
	if (from < 0 || to < 0)
		return -1;
	*ret = 1u << to;
	for (int d = from; d != to; d = (d + 1) % 7)
		*ret |= 1u << d;
	return 0;
}

static int
clock_parse(const char *s)
{
	int h, m;

	for (int i = 0; i < 5; i++)
		if (i == 2 ? s[i] != ':' : s[i] < '0' || s[i] > '9')
			return -1;
	h = (s[0] - '0') * 10 + s[1] - '0';
	m = (s[3] - '0') * 10 + s[4] - '0';
	return h > 24 || m > 59 || (h == 24 && m > 0) ? -1 : h * 60 + m;
}

static int
span_parse(const char *s, struct span *ret)
{
	size_t n = strcspn(s, " ");
	const char *t = s + n + strspn(s + n, " ");

	if (strlen(t) != 11 || t[5] != '-' || days_parse(s, n, &ret->days) != 0)
		return -1;
	ret->from = clock_parse(t);
	ret->to = clock_parse(t + 6);
	return ret->from < 0 || ret->to <= ret->from ? -1 : 0;
}

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* The next moment after now at which this span begins or ends somewhere in the week. */
static int64_t
span_edge(const struct span *sp, int64_t day, int minute, int64_t now_us, int tz_offset_s)
{
	for (int64_t d = day; d <= day + 7; d++)
		for (int end = 0; end < 2; end++) {
			int at = end ? sp->to : sp->from;

			if ((sp->days >> ((d + 4) % 7 + 7) % 7 & 1) && (d > day || at > minute))
				return (d * DAY_MIN + at) * MINUTE_US - tz_offset_s * SECOND_US;
		}
	return now_us;
}

/* *edge: the next moment at which this may change; untouched without hours or when they cannot be read. */
static enum match
hours_match(const char *text, int64_t now_us, int tz_offset_s, int64_t *edge)
{
	int64_t local = floor_div(now_us + tz_offset_s * SECOND_US, MINUTE_US), day = floor_div(local, DAY_MIN), at, next = INT64_MAX;
	int minute = (int)(local - day * DAY_MIN), weekday = (int)(((day + 4) % 7 + 7) % 7);	/* day 0 was a Thursday */
	char item[SP_POLICY_ITEM_SIZE];
	enum match found = MATCH_NO;
	struct span sp;
	int got;

	if (text == NULL || *text == 0)
		return MATCH_YES;
	while ((got = sp_policy_item(&text, item)) != 0) {
		if (got < 0 || span_parse(item, &sp) != 0)
			return MATCH_BAD;
		if ((sp.days >> weekday & 1) && minute >= sp.from && minute < sp.to)
			found = MATCH_YES;
		at = span_edge(&sp, day, minute, now_us, tz_offset_s);
		next = at < next ? at : next;
	}
	*edge = next;
	return found;
}

enum sp_err
sp_policy_hours_check(const char *text)
{
	int64_t edge;

	return hours_match(text, 0, 0, &edge) == MATCH_BAD ? SP_EINVAL : SP_OK;
}

/* ---- one grant ---- */

struct verdict {
	enum sp_policy_why	why;		/* ALLOWS, DENIES, or why it does not count */
	int64_t			at_us;		/* NOT_YET, OVER */
	int64_t			edge_us;	/* the next moment at which its hours may change; 0: none */
};

static struct verdict
verdict_of(const struct sp_policy_input *in, const struct sp_policy_grant *g)
{
	struct verdict v = { .why = g->deny ? SP_POLICY_W_DENIES : SP_POLICY_W_ALLOWS };
	int later = in->tz_next_us != 0 && in->now_us >= in->tz_next_us;
	const struct {
		enum match		m;
		enum sp_policy_why	why;
	} test[] = {
		{ hours_match(g->hours, in->now_us, later ? in->tz_next_offset_s : in->tz_offset_s, &v.edge_us), SP_POLICY_W_HOURS },
		{ sources_match(g->sources, &in->source), SP_POLICY_W_SOURCE },
		{ accounts_match(g->accounts, in->account != NULL ? in->account : ""), SP_POLICY_W_ACCOUNT }
	};

	if (v.edge_us != 0 && !later && in->tz_next_us != 0 && in->tz_next_us < v.edge_us)
		v.edge_us = in->tz_next_us;	/* the clocks change before that: look again then */
	if (g->valid_from_us != 0 && in->now_us < g->valid_from_us) {
		v.why = SP_POLICY_W_NOT_YET;
		v.at_us = g->valid_from_us;
		return v;
	}
	if (g->valid_until_us != 0 && in->now_us >= g->valid_until_us) {
		v.why = SP_POLICY_W_OVER;
		v.at_us = g->valid_until_us;
		return v;
	}
	for (size_t i = 0; i < SP_NELEMS(test); i++) {
		if (test[i].m == MATCH_NO) {
			v.why = test[i].why;
			return v;
		}
		if (test[i].m == MATCH_BAD && !g->deny)
			v.why = SP_POLICY_W_BAD;
	}
	return v;
}

/* ---- what the matching ones add up to ---- */

struct sums {
	uint32_t	allow, deny, effective, wanted;	/* wanted: what was asked, or everything */
	int		first_allow, first_deny;
};

static void
at_earliest(int64_t *t, int64_t candidate)
{
	if (candidate != 0 && (*t == 0 || candidate < *t))
		*t = candidate;
}

static void
strictest(int64_t *limit, int64_t other)
{
	if (other > 0 && (*limit == 0 || other < *limit))
		*limit = other;
}

static void
forwards_add(struct sp_policy_decision *d, const char *list)
{
	size_t at = strlen(d->forwards), n = list != NULL ? strlen(list) : 0;

	if (n == 0)
		return;
	if (at + n + 2 > sizeof(d->forwards)) {
		d->forwards_cut = 1;
		return;
	}
	if (at > 0)
		d->forwards[at++] = ',';
	memcpy(d->forwards + at, list, n + 1);
}

/* The paths of one grant, a block of its own. Rules that cannot be read open nothing. */
static void
paths_add(struct sp_policy_decision *d, const struct sp_policy_grant *g)
{
	static const char *const directions[] = { "none", "up", "down", "both" };
	const char *rules = g->file_paths != NULL && *g->file_paths != '\0' ? g->file_paths : SP_POLICY_PATHS_EVERY;
	const char *way = directions[g->file_direction & SP_POLICY_FILE_BOTH];
	size_t at = strlen(d->file_paths), n = strlen(rules), w = strlen(way);

	d->paths_ruled |= g->file_paths != NULL && *g->file_paths != '\0';
	if (at + w + n + 3 > sizeof(d->file_paths) || sp_policy_paths_check(rules) != SP_OK)
		return;
	if (at > 0)
		d->file_paths[at++] = '\n';
	memcpy(d->file_paths + at, way, w);
	d->file_paths[at + w] = '\n';
	memcpy(d->file_paths + at + w + 1, rules, n + 1);
}

static void
limit_add(struct sp_policy_decision *d, int grant, const struct sp_uuid *id, int64_t max)
{
	size_t at = d->limit_n;

	if (max <= 0)
		return;
	if (at == SP_POLICY_LIMITS) {	/* in the place of the loosest, if that one is looser */
		at = 0;
		for (size_t i = 1; i < d->limit_n; i++)
			at = d->limit[i].max > d->limit[at].max ? i : at;
		if (d->limit[at].max <= max)
			return;
	} else
		d->limit_n++;
	d->limit[at] = (struct sp_policy_limit){ grant, *id, max };
}

static void
reason_merge(struct sp_policy_decision *d, const struct sp_policy_grant *g)
{
	size_t at = strlen(d->reason_patterns), n = g->reason_pattern != NULL ? strlen(g->reason_pattern) : 0;

	if (g->reason_required > d->reason_required)
		d->reason_required = g->reason_required;
	if (g->reason_required != SP_POLICY_REASON_TICKET || n == 0)
		return;
	if (at + n + 2 > sizeof(d->reason_patterns)) {
		d->reason_cut = 1;
		return;
	}
	if (at > 0)
		d->reason_patterns[at++] = '\n';
	memcpy(d->reason_patterns + at, g->reason_pattern, n + 1);
}

static void
merge(struct sp_policy_decision *d, int grant, const struct sp_policy_grant *g, uint32_t effective)
{
	uint32_t open = grant_protocols(g) & effective;

	if (g->mfa_interval_s != SP_POLICY_MFA_NEVER && (d->mfa_interval_s == SP_POLICY_MFA_NEVER || g->mfa_interval_s < d->mfa_interval_s))
		d->mfa_interval_s = g->mfa_interval_s;
	strictest(&d->idle_s, g->idle_s);
	strictest(&d->max_session_s, g->max_session_s);
	strictest(&d->concurrent_max, g->concurrent_max);
	limit_add(d, grant, &g->id, g->concurrent_max);
	reason_merge(d, g);
	d->best_effort &= g->best_effort != 0;
	if (g->keep & SP_POLICY_FILE_BOTH)
		d->keep_max_mb = !(d->keep & SP_POLICY_FILE_BOTH) ? g->keep_max_mb : d->keep_max_mb == 0 || g->keep_max_mb == 0 ? 0 :
		    g->keep_max_mb > d->keep_max_mb ? g->keep_max_mb : d->keep_max_mb;
	d->keep |= g->keep;
	if (open & SP_POLICY_AGENT)
		d->agent_kinds |= g->agent_kinds;
	if (open & FILES) {
		d->file_direction |= g->file_direction;
		paths_add(d, g);
	}
	if (open & FORWARDING)
		forwards_add(d, g->forwards);
}

static void
reason_add(struct sp_policy_reason *reason, size_t cap, size_t *n, struct sp_policy_reason r)
{
	if (*n < cap)
		reason[(*n)++] = r;
}

/* What stands against the user or the asset before any grant is looked at. */
static int
gates(const struct sp_policy_input *in, struct sp_policy_reason *reason, size_t cap, size_t *n)
{
	const struct {
		int			closed;
		enum sp_policy_why	why;
		int64_t			at_us;
	} gate[] = {
		{ in->user_state == SP_POLICY_EXPIRED || (in->user_until_us != 0 && in->now_us >= in->user_until_us),
		    SP_POLICY_W_USER_EXPIRED, in->user_until_us },
		{ in->user_state != SP_POLICY_ACTIVE && in->user_state != SP_POLICY_EXPIRED, SP_POLICY_W_USER_DISABLED, 0 },
		{ in->user_from_us != 0 && in->now_us < in->user_from_us, SP_POLICY_W_USER_NOT_YET, in->user_from_us },
		{ in->user_epoch != in->login_epoch, SP_POLICY_W_EPOCH, 0 },
		{ in->asset_state != SP_POLICY_ACTIVE, SP_POLICY_W_ASSET_DISABLED, 0 },
		{ in->account == NULL || in->account[0] == 0 || (in->wanted & ~(uint32_t)SP_POLICY_ALL) != 0, SP_POLICY_W_BAD_INPUT, 0 },
		{ in->n == 0, SP_POLICY_W_NO_GRANT, 0 }
	};
	int closed = 0;

	for (size_t i = 0; i < SP_NELEMS(gate); i++)
		if (gate[i].closed) {
			reason_add(reason, cap, n, (struct sp_policy_reason){ .why = gate[i].why, .grant = -1, .at_us = gate[i].at_us });
			closed = 1;
		}
	return closed;
}

/* First pass: masks, reasons, and the moments at which something may change. */
static void
collect(const struct sp_policy_input *in, struct sums *s, int64_t *recheck_us, struct sp_policy_reason *reason, size_t cap, size_t *n)
{
	for (size_t i = 0; i < in->n; i++) {
		const struct sp_policy_grant *g = &in->grant[i];
		struct verdict v = verdict_of(in, g);
		struct sp_policy_reason r = { .why = v.why, .grant = (int)i, .at_us = v.at_us };

		if (v.why != SP_POLICY_W_OVER) {
			at_earliest(recheck_us, v.why == SP_POLICY_W_NOT_YET ? g->valid_from_us : g->valid_until_us);
			at_earliest(recheck_us, v.edge_us);
		}
		if (v.why == SP_POLICY_W_ALLOWS || v.why == SP_POLICY_W_DENIES) {
			if (!(grant_protocols(g) & s->wanted))
				r.why = SP_POLICY_W_PROTOCOL;
			else if (g->deny && s->first_deny < 0)
				s->first_deny = (int)i;
			r.protocols = g->deny ? g->protocols & s->wanted : in->wanted & ~grant_protocols(g);
			*(g->deny ? &s->deny : &s->allow) |= grant_protocols(g);
		}
		reason_add(reason, cap, n, r);
	}
	s->effective = s->allow & ~s->deny & SP_POLICY_ALL;
}

/* Nothing that is certain to change is promised: from one moment of change to the next, as long as it is allowed. Weekly
 * hours that leave no gap change twice a day for ever; UNTIL_STEPS ends the look ahead. */
static void
allowed_until(const struct sp_policy_input *now, uint32_t wanted, struct sp_policy_decision *d)
{
	int64_t at = d->recheck_us;

	for (int step = 0; at != 0; step++) {
		struct sums s = { .wanted = wanted, .first_allow = -1, .first_deny = -1 };
		struct sp_policy_input in = *now;
		int64_t next = 0;
		size_t n = 0;

		in.now_us = at;
		if (step < UNTIL_STEPS && !gates(&in, NULL, 0, &n)) {
			collect(&in, &s, &next, NULL, 0, &n);
			at_earliest(&next, in.user_until_us > in.now_us ? in.user_until_us : 0);
			if (in.wanted != 0 ? (in.wanted & ~s.effective) == 0 : s.effective != 0) {
				at = next;
				continue;
			}
		}
		for (size_t i = 0; i < in.n && step < UNTIL_STEPS; i++) {
			const struct sp_policy_grant *g = &in.grant[i];
			enum sp_policy_why why = verdict_of(&in, g).why;

			d->until_hours |= why == (g->deny ? SP_POLICY_W_DENIES : SP_POLICY_W_HOURS) && g->hours != NULL && *g->hours != 0;
		}
		break;
	}
	d->until_us = at;
}

void
sp_policy_access(const struct sp_policy_input *in, struct sp_policy_decision *ret,
    struct sp_policy_reason *reason, size_t cap, size_t *ret_n)
{
	struct sums s = { .wanted = in->wanted != 0 ? in->wanted : SP_POLICY_ALL, .first_allow = -1, .first_deny = -1 };
	size_t n = 0;
	int closed;

	memset(ret, 0, sizeof(*ret));
	ret->grant = -1;
	ret->mfa_interval_s = SP_POLICY_MFA_NEVER;
	closed = gates(in, reason, cap, &n);
	collect(in, &s, &ret->recheck_us, reason, cap, &n);
	if (ret_n != NULL)
		*ret_n = n;
	at_earliest(&ret->recheck_us, in->user_from_us > in->now_us ? in->user_from_us : 0);
	at_earliest(&ret->recheck_us, in->user_until_us > in->now_us ? in->user_until_us : 0);
	if (closed)
		return;
	ret->protocols = s.effective;
	ret->allowed = in->wanted != 0 ? (in->wanted & ~s.effective) == 0 : s.effective != 0;
	ret->best_effort = ret->allowed;
	for (size_t i = 0; i < in->n; i++) {
		if (verdict_of(in, &in->grant[i]).why != SP_POLICY_W_ALLOWS)
			continue;
		merge(ret, (int)i, &in->grant[i], s.effective);
		if (s.first_allow < 0 && (grant_protocols(&in->grant[i]) & s.effective & s.wanted))
			s.first_allow = (int)i;
	}
	if (!ret->paths_ruled)
		ret->file_paths[0] = '\0';
	ret->grant = ret->allowed ? s.first_allow : s.first_deny;
	if (!ret->allowed)
		return;
	allowed_until(in, s.wanted, ret);
}

/* ---- reasons in words ---- */

static const char *const texts[] = {
	[SP_POLICY_W_ALLOWS] = "allows this", [SP_POLICY_W_DENIES] = "denies", [SP_POLICY_W_NOT_YET] = "not valid before",
	[SP_POLICY_W_OVER] = "not valid since", [SP_POLICY_W_HOURS] = "not at this hour of the week",
	[SP_POLICY_W_SOURCE] = "not from this source address", [SP_POLICY_W_ACCOUNT] = "does not name this account",
	[SP_POLICY_W_PROTOCOL] = "does not concern this protocol", [SP_POLICY_W_BAD] = "has a condition that cannot be read",
	[SP_POLICY_W_USER_DISABLED] = "the user is disabled", [SP_POLICY_W_USER_EXPIRED] = "the user's time is over",
	[SP_POLICY_W_USER_NOT_YET] = "the user is not valid before", [SP_POLICY_W_EPOCH] = "the user's rights changed since the login: log in again",
	[SP_POLICY_W_ASSET_DISABLED] = "the asset is disabled", [SP_POLICY_W_NO_GRANT] = "no grant names this user, or a group of theirs, together with this asset or a group of it",
	[SP_POLICY_W_BAD_INPUT] = "no account was named, or an unknown protocol"
};

enum sp_err
sp_policy_reason_text(const struct sp_policy_input *in, const struct sp_policy_reason *r, struct sp_buf *dst)
{
	char name[300], list[SP_POLICY_PROTOCOLS_SIZE], when[SP_RFC3339_SIZE], id[SP_UUID_SIZE];
	const struct sp_policy_grant *g;
	enum sp_err e;

	if (r->why < SP_POLICY_W_ALLOWS || r->why > SP_POLICY_W_BAD_INPUT || r->grant >= (int)in->n)
		return SP_EINVAL;
	if (r->grant >= 0) {
		g = &in->grant[r->grant];
		if (g->name != NULL && g->name[0] != 0)
			e = sp_buf_printf(dst, "%s \"%s\": ", g->deny ? "deny" : "grant", sp_escape(g->name, strlen(g->name), name, sizeof(name)));
		else
			e = sp_buf_printf(dst, "%s %s: ", g->deny ? "deny" : "grant", sp_uuid_text(&g->id, id));
		if (e != SP_OK)
			return e;
	}
	if ((e = sp_buf_append_str(dst, texts[r->why])) != SP_OK)
		return e;
	if (r->at_us != 0)
		return sp_buf_printf(dst, " %s", sp_rfc3339(r->at_us, when, sizeof(when)));
	if (r->why == SP_POLICY_W_DENIES)
		return sp_buf_printf(dst, " %s", sp_policy_protocols_text(r->protocols, list));
	if (r->why == SP_POLICY_W_ALLOWS && r->protocols != 0)
		return sp_buf_printf(dst, ", but not %s", sp_policy_protocols_text(r->protocols, list));
	return SP_OK;
}
