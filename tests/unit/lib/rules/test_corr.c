/* tests/unit/lib/rules/test_corr.c - correlations: each type on small streams, settings, limits, state over a restart; and, over random
 * streams, the same question asked in SQL. */
#include <math.h>
#include <sqlite3.h>

#include "rules/corr.h"
#include "rulestest.h"

#define S	INT64_C(1000000)
#define BASE	"title: a\nname: a\nlogsource:\n  product: test\ndetection:\n  s:\n    k: a\n  condition: s\n---\n" \
		"title: b\nname: b\nlogsource:\n  product: test\ndetection:\n  s:\n    k: b\n  condition: s\n---\n" \
		"title: c\nname: c\nlogsource:\n  product: test\ndetection:\n  s:\n    k: c\n  condition: s\n---\n"

struct cx {
	struct fx	 f;
	struct sp_corr	*c;
	char		 log[8192];	/* one line for each fire: "title@seconds group=value value refs" */
	size_t		 fires;
};

static void
on_fire(const struct sp_corr_fire *f, void *arg)
{
	struct cx *x = arg;
	size_t n = strlen(x->log);

	x->fires++;
	sp_snprintf(x->log + n, sizeof(x->log) - n, "%s@%lld", sp_rules_info(x->f.set, f->rule)->title, (long long)(f->when_us / S));
	for (size_t i = 0; i < f->n_groups; i++) {
		n = strlen(x->log);
		sp_snprintf(x->log + n, sizeof(x->log) - n, " %s=%.*s", f->group[i].name, (int)f->group[i].value.len, (const char *)f->group[i].value.p);
	}
	n = strlen(x->log);
	sp_snprintf(x->log + n, sizeof(x->log) - n, " %g [", f->value);
	for (size_t i = 0; i < f->n_events; i++) {
		n = strlen(x->log);
		sp_snprintf(x->log + n, sizeof(x->log) - n, "%s%llu", i ? " " : "", (unsigned long long)f->event[i]);
	}
	n = strlen(x->log);
	sp_snprintf(x->log + n, sizeof(x->log) - n, "]\n");
}

static void
cx_open(struct cx *x, const char *yaml, const struct sp_corr_limits *limits)
{
	memset(x, 0, sizeof(*x));
	fx_open(&x->f, NULL);
	fx_add(&x->f, BASE);
	fx_add(&x->f, yaml);
	fx_ready(&x->f);
	assert_int_equal(sp_corr_new(x->f.set, limits, &x->c), SP_OK);
}

static void
cx_close(struct cx *x)
{
	sp_corr_free(x->c);
	fx_close(&x->f);
}

static void
cx_event(struct cx *x, int64_t t_us, uint64_t ref, const char *json)
{
	struct sp_rules_event ev = { .product = "test", .json = json, .json_len = strlen(json) };
	struct sp_rules_hits hits;

	assert_int_equal(sp_rules_eval(x->f.s, &ev, &hits), SP_OK);
	assert_int_equal(sp_corr_feed(x->c, x->f.s, &hits, t_us, ref, on_fire, x), SP_OK);
}

/* "10a/u1/v" is an event at 10 s that rule a matches, user u1, value v; references count from 1. "~30" lets time pass. */
static void
cx_play(struct cx *x, const char *stream)
{
	unsigned ref = 0;

	for (const char *p = stream; *p != '\0'; p += strspn(p, " ")) {
		char json[256], user[32] = "", value[32] = "", rule;
		long t;
		int n;

		if (*p == '~') {
			assert_int_equal(sp_corr_tick(x->c, strtol(p + 1, NULL, 10) * S, on_fire, x), SP_OK);
			p += strcspn(p, " ");
			continue;
		}
		n = sscanf(p, "%ld%c/%31[^/ ]/%31[^/ ]", &t, &rule, user, value);
		assert_true(n >= 2);
		n = sp_snprintf(json, sizeof(json), "{\"k\":\"%c\"%s%s%s%s%s%s}", rule, *user ? ",\"user\":\"" : "", user, *user ? "\"" : "",
		    *value ? ",\"v\":\"" : "", value, *value ? "\"" : "");
		assert_int_equal(n, 0);
		cx_event(x, t * S, ++ref, json);
		p += strcspn(p, " ");
	}
}

struct row {
	const char	*corr;		/* the correlation document behind "title: x\n" */
	const char	*stream;
	const char	*fires;
};

static void
check(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char yaml[4096];
		struct cx x;

		sp_snprintf(yaml, sizeof(yaml), "title: x\n%s", rows[i].corr);
		cx_open(&x, yaml, NULL);
		cx_play(&x, rows[i].stream);
		if (strcmp(x.log, rows[i].fires) != 0)
			fail_msg("row %zu:\n%s\n%s\nexpected:\n%sgot:\n%s", i, rows[i].corr, rows[i].stream, rows[i].fires, x.log);
		cx_close(&x);
	}
}

#define CORR(type, rest)	"correlation:\n  type: " type "\n  timespan: 10s\n" rest
#define COUNT3			CORR("event_count", "  rules: a\n  group-by: user\n  condition:\n    gte: 3\n")

static void
event_count_fires_in_a_sliding_window_per_group(void **state)
{
	static const struct row rows[] = {
		{ COUNT3, "1a/u 2a/u 3a/u", "x@3 user=u 3 [1 2 3]\n" },
		{ COUNT3, "1a/u 2a/u 11a/u", "" },			/* (1, 11] holds two */
		{ COUNT3, "1a/u 2a/u 11a/u 11a/u", "x@11 user=u 3 [2 3 4]\n" },
		{ COUNT3, "1a/u 2a/w 3a/u 4a/w 5b/u", "" },
		{ COUNT3, "1a/u 2a/w 3a/u 4a/w 5a/w 6a/u", "x@5 user=w 3 [2 4 5]\nx@6 user=u 3 [1 3 6]\n" },
		{ COUNT3, "1a 2a 3a", "" },				/* OPEN: an event without the field is not counted */
		{ CORR("event_count", "  rules: [a, b]\n  condition:\n    gt: 2\n"), "1a 2b 3c 4a", "x@4 3 [1 2 4]\n" },	/* OPEN: no group-by is one group */
		{ COUNT3, "5a/u 3a/u 4a/u", "x@5 user=u 3 [2 3 1]\n" },	/* late events count at their own time */
		{ COUNT3, "1a/u 12a/u 1a/u 13a/u", "" },
	};

	(void)state;
	check(rows, SP_NELEMS(rows));
}

static void
after_firing_a_group_is_quiet_as_the_rule_says(void **state)
{
	static const struct row rows[] = {
		/* drop_below, the default: silent while it still holds */
		{ COUNT3, "1a/u 2a/u 3a/u 4a/u 5a/u", "x@3 user=u 3 [1 2 3]\n" },
		{ COUNT3, "1a/u 2a/u 3a/u 20a/u 21a/u 22a/u", "x@3 user=u 3 [1 2 3]\nx@22 user=u 3 [4 5 6]\n" },
		{ COUNT3 "sallyport:\n  rearm: reset\n", "1a/u 2a/u 3a/u 4a/u 5a/u 6a/u", "x@3 user=u 3 [1 2 3]\nx@6 user=u 3 [4 5 6]\n" },
		{ COUNT3 "sallyport:\n  rearm: every_event\n", "1a/u 2a/u 3a/u 4a/u", "x@3 user=u 3 [1 2 3]\nx@4 user=u 3 [2 3 4]\n" },
		{ COUNT3 "sallyport:\n  rearm: every_event\n  suppress: 1m\n", "1a/u 2a/u 3a/u 4a/u 61a/u 62a/u 63a/u",
		  "x@3 user=u 3 [1 2 3]\nx@63 user=u 3 [5 6 7]\n" },
		{ COUNT3 "sallyport:\n  suppress: 5s\n", "1a/u 2a/u 3a/u 3a/w 4a/w 5a/w", "x@3 user=u 3 [1 2 3]\nx@5 user=w 3 [4 5 6]\n" },
	};

	(void)state;
	check(rows, SP_NELEMS(rows));
}

static void
conditions_on_few_events_are_judged_when_the_window_ends(void **state)
{
	static const struct row rows[] = {
		{ CORR("event_count", "  rules: a\n  group-by: user\n  condition:\n    lt: 3\n"), "1a/u 2a/u ~10", "" },
		{ CORR("event_count", "  rules: a\n  group-by: user\n  condition:\n    lt: 3\n"), "1a/u 2a/u ~11", "x@11 user=u 2 [1 2]\n" },
		{ CORR("event_count", "  rules: a\n  group-by: user\n  condition:\n    lt: 3\n"), "1a/u 2a/u 3a/u ~11", "" },
		{ CORR("event_count", "  rules: a\n  group-by: user\n  condition:\n    eq: 2\n"), "1a/u 2a/u 12a/w", "x@11 user=u 2 [1 2]\n" },
		{ CORR("event_count", "  rules: a\n  condition:\n    eq: 2\n"), "1a 2a 3a ~20", "" },
		{ CORR("event_count", "  rules: a\n  condition:\n    neq: 2\n"), "1a 2a 3a ~20", "x@11 3 [1 2 3]\n" },
		{ CORR("event_count", "  rules: a\n  condition:\n    gte: 2\n    lte: 3\n"), "1a 2a 3a ~20 21a 22a 23a 24a ~40 41a ~60", "x@11 3 [1 2 3]\n" },
		{ CORR("value_avg", "  rules: a\n  condition:\n    field: v\n    lt: 5\n"), "1a/u/2 2a/u/4 ~20", "x@11 3 [1 2]\n" },
	};

	(void)state;
	check(rows, SP_NELEMS(rows));
}

static void
values_are_counted_and_computed(void **state)
{
	static const struct row rows[] = {
		{ CORR("value_count", "  rules: a\n  group-by: user\n  condition:\n    field: v\n    gte: 3\n"), "1a/u/p 2a/u/q 3a/u/p 4a/u/r", "x@4 user=u 3 [2 3 4]\n" },
		{ CORR("value_count", "  rules: a\n  group-by: user\n  condition:\n    field: v\n    gte: 3\n"), "1a/u/p 2a/u/q 12a/u/r", "" },
		{ CORR("value_count", "  rules: a\n  group-by: user\n  condition:\n    field: v\n    gte: 3\n"), "1a/u/p 2a/u/q 10a/u/p 11a/u/r 11a/u/r",
		  "x@11 user=u 3 [2 3 4]\n" },
		/* a distinct count must not draw in what lies outside the window */
		{ CORR("value_count", "  rules: a\n  condition:\n    field: v\n    gte: 2\n"), "1a/u/p 12a/u/q 13a/u/q", "" },
		{ CORR("value_count", "  rules: a\n  condition:\n    field: [user, v]\n    gte: 3\n"), "1a/u/p 2a/w/p 3a/u/p 4a/u/q", "x@4 3 [2 3 4]\n" },
		{ CORR("value_count", "  rules: a\n  condition:\n    field: v\n    gte: 1\n"), "1a/u", "" },	/* no value: not counted */
		{ CORR("value_sum", "  rules: a\n  condition:\n    field: v\n    gt: 10\n"), "1a/u/5 2a/u/5 3a/u/0.5", "x@3 10.5 [1 2 3]\n" },
		{ CORR("value_sum", "  rules: a\n  condition:\n    field: v\n    gt: 10\n"), "1a/u/5 11a/u/6 12a/u/x", "" },
		{ CORR("value_avg", "  rules: a\n  condition:\n    field: v\n    gte: 4\n"), "1a/u/2 2a/u/4 3a/u/6", "x@3 4 [1 2 3]\n" },
		{ CORR("value_percentile", "  rules: a\n  condition:\n    field: v\n    percentile: 75\n    gte: 3.25\n"), "1a/u/1 2a/u/2 3a/u/3 4a/u/4",
		  "x@4 3.25 [1 2 3 4]\n" },
		{ CORR("value_median", "  rules: a\n  condition:\n    field: v\n    gt: 2\n"), "1a/u/1 2a/u/2 3a/u/9 4a/u/9", "x@4 5.5 [1 2 3 4]\n" },
		/* ratio: more than 3 in all, more than half of them b */
		{ CORR("ratio", "  rules: [a, b]\n  match: b\n  group-by: user\n  condition:\n    gt: 0.5\n    above: 3\n"), "1b/u 2b/u 3b/u 4a/u",
		  "x@4 user=u 0.75 [1 2 3 4]\n" },
		{ CORR("ratio", "  rules: [a, b]\n  match: b\n  condition:\n    gt: 0.5\n    above: 3\n"), "1b 2a 3b 4a 5a", "" },
	};

	(void)state;
	check(rows, SP_NELEMS(rows));
}

static void
temporal_needs_all_rules_in_the_window_and_ordered_their_order(void **state)
{
	static const struct row rows[] = {
		{ CORR("temporal", "  rules: [a, b]\n  group-by: user\n"), "1a/u 2b/w 3b/u", "x@3 user=u 2 [1 3]\n" },
		{ CORR("temporal", "  rules: [a, b]\n  group-by: user\n"), "1b/u 11a/u", "" },
		{ CORR("temporal", "  rules: [a, b]\n  group-by: user\n"), "1b/u 10a/u", "x@10 user=u 2 [1 2]\n" },
		{ CORR("temporal", "  rules: [a, b, c]\n  condition:\n    gte: 2\n"), "1a 2c", "x@2 2 [1 2]\n" },
		{ CORR("temporal", "  rules: [a, b, c]\n  condition: a and (b or c)\n"), "1b 2c 3a", "x@3 3 [1 2 3]\n" },
		{ CORR("temporal", "  rules: [a, b, c]\n  condition: a and b and not c\n"), "1c 3a 3b 12b", "x@12 2 [2 4]\n" },
		{ CORR("temporal_ordered", "  rules: [a, b, c]\n"), "1a 2b 3c", "x@3 3 [1 2 3]\n" },
		{ CORR("temporal_ordered", "  rules: [a, b, c]\n"), "1a 2c 3b", "" },		/* the second pair counts, too */
		{ CORR("temporal_ordered", "  rules: [a, b, c]\n"), "1a 2c 3b 4c", "x@4 3 [1 3 4]\n" },
		{ CORR("temporal_ordered", "  rules: [a, b]\n  group-by: user\n"), "1a/u 2b/w", "" },
		{ CORR("temporal_ordered", "  rules: [a, b]\n"), "1a 11b", "" },
		{ CORR("temporal_ordered", "  rules: [a, b, c]\n"), "1a 5b 6a 11c", "" },		/* the later a has no b of its own */
		{ CORR("temporal_ordered", "  rules: [a, b, c]\n"), "1a 5a 6b 11c", "x@11 3 [2 3 4]\n" },
		{ CORR("temporal_ordered", "  rules: [a, b]\n") "sallyport:\n  rearm: reset\n", "1a 2b 3b 4a 5b", "x@2 2 [1 2]\nx@5 2 [4 5]\n" },
	};

	(void)state;
	check(rows, SP_NELEMS(rows));
}

static void
an_event_of_two_stages_is_not_both_at_once(void **state)
{
	static const char *const yaml = "title: any\nname: any\nlogsource:\n  product: test\ndetection:\n  s:\n    k: '*'\n  condition: s\n"
	    "---\ntitle: x\ncorrelation:\n  type: temporal_ordered\n  rules: [any, a]\n  timespan: 10s\n";
	struct cx x;

	(void)state;
	cx_open(&x, yaml, NULL);
	cx_play(&x, "1a");
	assert_string_equal(x.log, "");
	cx_play(&x, "2a");
	assert_int_equal(x.fires, 1);
	cx_close(&x);
}

static void
aliases_and_correlations_over_correlations(void **state)
{
	static const char *const yaml =
	    "title: many\nname: many\ncorrelation:\n  type: event_count\n  rules: a\n  group-by: user\n  timespan: 10s\n  condition:\n    gte: 2\n"
	    "---\ntitle: then\ncorrelation:\n  type: temporal_ordered\n  rules: [many, b]\n  group-by: who\n  timespan: 1m\n"
	    "  aliases:\n    who:\n      many: user\n      b: v\n";
	struct cx x;

	(void)state;
	cx_open(&x, yaml, NULL);
	assert_true(sp_rules_info(x.f.set, 0)->silent);		/* OPEN: base rules are silent without generate */
	assert_true(sp_rules_info(x.f.set, 3)->silent);
	assert_false(sp_rules_info(x.f.set, 4)->silent);
	cx_play(&x, "1a/u 2b/w/u 3a/u 4b/u/w 5b/w/u");
	assert_string_equal(x.log, "then@5 who=u 2 [3 5]\n");
	cx_close(&x);
}

static void
events_with_several_values_are_in_several_groups(void **state)
{
	struct cx x;

	(void)state;
	cx_open(&x, "title: x\n" CORR("event_count", "  rules: a\n  group-by: user\n  condition:\n    gte: 2\n"), NULL);
	cx_event(&x, 1 * S, 1, "{\"k\":\"a\",\"user\":[\"p\",\"q\"]}");
	cx_event(&x, 2 * S, 2, "{\"k\":\"a\",\"user\":[\"q\",\"r\"]}");
	assert_string_equal(x.log, "x@2 user=q 2 [1 2]\n");
	cx_close(&x);
}

/* Two of three before, the third after. */
static void
state_survives_a_restart(void **state)
{
	static const char *const yaml = "title: x\nid: i1\n" COUNT3 "---\ntitle: y\nname: y\n" CORR("value_percentile", "  rules: a\n  condition:\n    field: v\n"
	    "    percentile: 50\n    gte: 5\n") "---\ntitle: z\nname: z\n" CORR("value_count", "  rules: a\n  condition:\n    field: v\n    gte: 3\n")
	    "---\ntitle: o\nname: o\n" CORR("temporal_ordered", "  rules: [a, b]\n  group-by: user\n") "---\ntitle: l\nname: l\n"
	    CORR("event_count", "  rules: c\n  condition:\n    lt: 2\n");
	static const char *const stream = "1a/u/1 2c/u/4 3a/u/9";
	struct sp_corr_stats stats;
	struct cx x, once;
	struct sp_buf b;
	size_t dropped = 77;

	(void)state;
	cx_open(&once, yaml, NULL);
	cx_play(&once, stream);
	cx_play(&once, "4a/u/5 5b/u ~30");
	cx_open(&x, yaml, NULL);
	cx_play(&x, stream);
	sp_buf_init(&b, 1 << 20);
	assert_int_equal(sp_corr_save(x.c, &b), SP_OK);
	sp_corr_free(x.c);
	assert_int_equal(sp_corr_new(x.f.set, NULL, &x.c), SP_OK);
	for (size_t n = 0; n < b.len; n++)	/* cut anywhere: refused, and nothing stays */
		assert_int_not_equal(sp_corr_load(x.c, b.p, n, &dropped), SP_OK);
	assert_int_equal(dropped, 77);
	sp_corr_stats(x.c, &stats);
	assert_int_equal(stats.groups, 0);
	assert_int_equal(sp_corr_load(x.c, b.p, b.len, &dropped), SP_OK);
	assert_int_equal(dropped, 0);
	cx_play(&x, "4a/u/5 5b/u ~30");
	assert_string_equal(x.log, once.log);
	assert_non_null(strstr(x.log, "x@4 user=u 3"));
	assert_non_null(strstr(x.log, "l@12 1"));
	cx_close(&x);
	cx_close(&once);
	/* a changed definition begins anew */
	cx_open(&x, "title: x\nid: i1\n" CORR("event_count", "  rules: a\n  group-by: user\n  condition:\n    gte: 2\n"), NULL);
	assert_int_equal(sp_corr_load(x.c, b.p, b.len, &dropped), SP_OK);
	assert_int_equal(dropped, 5);
	b.p[7]++;
	assert_int_equal(sp_corr_load(x.c, b.p, b.len, &dropped), SP_EVERSION);
	cx_close(&x);
	sp_buf_release(&b);
}

static void
forgetting_a_group_starts_its_count_anew(void **state)
{
	struct cx x;

	(void)state;
	cx_open(&x, "title: x\nname: n\n" COUNT3, NULL);
	cx_play(&x, "1a/u 2a/u 2a/w 3a/w");
	assert_int_equal(sp_corr_forget(x.c, "other", "user", "u", 1), 0);
	assert_int_equal(sp_corr_forget(x.c, NULL, "user", "u", 1), 1);
	cx_play(&x, "4a/u 5a/w 6a/u");
	assert_string_equal(x.log, "x@5 user=w 3 [3 4 2]\n");
	cx_play(&x, "7a/u");
	assert_int_equal(x.fires, 2);
	cx_close(&x);
}

static void
memory_is_bounded_and_eviction_counted(void **state)
{
	struct sp_corr_limits limits = { .groups = 100, .memory = 1 << 20 };
	struct sp_corr_stats stats;
	char json[128];
	struct cx x;

	(void)state;
	cx_open(&x, "title: x\n" COUNT3 "---\ntitle: y\n" CORR("value_count", "  rules: b\n  condition:\n    field: v\n    gte: 1000\n")
	    "---\ntitle: z\n" CORR("value_sum", "  rules: b\n  group-by: v\n  condition:\n    field: user\n    gt: 100\n"), &limits);
	for (unsigned i = 0; i < 1000; i++) {
		sp_snprintf(json, sizeof(json), "{\"k\":\"a\",\"user\":\"u%u\"}", i);
		cx_event(&x, S, i, json);
	}
	sp_corr_stats(x.c, &stats);
	assert_int_equal(stats.groups, 100);
	assert_int_equal(stats.evicted, 900);
	for (unsigned i = 0; i < 60000; i++) {
		sp_snprintf(json, sizeof(json), "{\"k\":\"b\",\"user\":1,\"v\":\"%u\"}", i);
		cx_event(&x, 2 * S, i, json);
		sp_corr_stats(x.c, &stats);
		assert_true(stats.memory <= limits.memory);
	}
	assert_string_equal(x.log, "y@2 1000 [936 937 938 939 940 941 942 943 944 945 946 947 948 949 950 951 952 953 954 955 956 957 958 959 960 961 962 963 "
	    "964 965 966 967 968 969 970 971 972 973 974 975 976 977 978 979 980 981 982 983 984 985 986 987 988 989 990 991 992 993 994 995 996 997 998 999]\n");
	cx_close(&x);
}

/* ---- the same question in SQL ---- */

static unsigned seed;

static unsigned
pick(unsigned n)
{
	seed = seed * 1664525u + 1013904223u;
	return (unsigned)(((uint64_t)seed * n) >> 32);
}

/* How often would every_event fire? For each event: the condition over the events so far, in (t - 10 s, t], of its user. */
static const struct {
	const char	*corr;
	const char	*sql;		/* over w: the window's rows k, v */
	const char	*kinds;		/* rules that are counted */
} questions[] = {
	{ CORR("event_count", "  rules: [a, b]\n  group-by: user\n  condition:\n    gte: 4\n"), "count(*) >= 4", "ab" },
	{ CORR("value_count", "  rules: [a, b]\n  group-by: user\n  condition:\n    field: v\n    gt: 3\n"), "count(distinct v) > 3", "ab" },
	{ CORR("value_sum", "  rules: a\n  group-by: user\n  condition:\n    field: v\n    gt: 20\n"), "sum(v) > 20", "a" },
	{ CORR("value_avg", "  rules: a\n  group-by: user\n  condition:\n    field: v\n    gte: 6\n"), "avg(v) >= 6", "a" },
	{ CORR("temporal", "  rules: [a, b, c]\n  group-by: user\n"), "count(distinct k) = 3", "abc" },
	{ CORR("temporal", "  rules: [a, b, c]\n  group-by: user\n  condition: a and b and not c\n"),
	  "sum(k = 'a') > 0 and sum(k = 'b') > 0 and sum(k = 'c') = 0", "abc" },
	{ CORR("ratio", "  rules: [a, b]\n  match: b\n  group-by: user\n  condition:\n    gt: 0.5\n    above: 3\n"),
	  "count(*) > 3 and sum(k = 'b') * 1.0 / count(*) > 0.5", "ab" },
	{ CORR("temporal_ordered", "  rules: [a, b, c]\n  group-by: user\n"),
	  "exists (select 1 from ev x, ev y, ev z where x.user = e.user and y.user = e.user and z.user = e.user and x.k = 'a' and y.k = 'b' and z.k = 'c'"
	  " and x.i < y.i and y.i < z.i and z.i <= e.i and x.t > e.t - 10 and z.t <= e.t)", "abc" },
};

static void
sql(sqlite3 *db, const char *text)
{
	char *err = NULL;

	if (sqlite3_exec(db, text, NULL, NULL, &err) != SQLITE_OK)
		fail_msg("%s: %s", text, err);
}

static void
sql_fires(sqlite3 *db, size_t q, char *dst, size_t size)
{
	char in[32] = "", text[2048];
	sqlite3_stmt *st;
	size_t n = 0;

	for (const char *k = questions[q].kinds; *k != '\0'; k++)
		sp_snprintf(in + strlen(in), sizeof(in) - strlen(in), "%s'%c'", k == questions[q].kinds ? "" : ",", *k);
	sp_snprintf(text, sizeof(text), "select e.i from ev e where e.k in (%s) and (select %s from ev w where w.user = e.user and w.i <= e.i and w.k in (%s)"
	    " and w.t > e.t - 10) order by e.i", in, questions[q].sql, in);
	if (sqlite3_prepare_v2(db, text, -1, &st, NULL) != SQLITE_OK)
		fail_msg("%s: %s", text, sqlite3_errmsg(db));
	dst[0] = '\0';
	while (sqlite3_step(st) == SQLITE_ROW && n + 16 < size) {
		sp_snprintf(dst + n, size - n, " %d", sqlite3_column_int(st, 0));
		n += strlen(dst + n);
	}
	sqlite3_finalize(st);
}

static char fired[65536];
static int now_i;

static void
note_fire(const struct sp_corr_fire *f, void *arg)
{
	size_t n = strlen(fired);

	sp_snprintf(fired + n, sizeof(fired) - n, " %d", now_i);
}

static void
play_random(size_t q, sqlite3 *db)
{
	char yaml[2048], json[128], text[256];
	int64_t t = 0;
	struct cx x;

	sp_snprintf(yaml, sizeof(yaml), "title: x\n%ssallyport:\n  rearm: every_event\n", questions[q].corr);
	cx_open(&x, yaml, NULL);
	fired[0] = '\0';
	sql(db, "delete from ev; begin");
	for (now_i = 1; now_i <= 400; now_i++) {
		struct sp_rules_event ev = { .product = "test", .json = json };
		struct sp_rules_hits hits;
		char k = "abcd"[pick(4)];
		unsigned user = pick(4), v = pick(12);

		t += pick(4);
		sp_snprintf(text, sizeof(text), "insert into ev values (%d, %lld, '%c', %u, %u)", now_i, (long long)t, k, user, v);
		sql(db, text);
		sp_snprintf(json, sizeof(json), "{\"k\":\"%c\",\"user\":%u,\"v\":%u}", k, user, v);
		ev.json_len = strlen(json);
		assert_int_equal(sp_rules_eval(x.f.s, &ev, &hits), SP_OK);
		assert_int_equal(sp_corr_feed(x.c, x.f.s, &hits, t * S, 0, note_fire, NULL), SP_OK);
		if (now_i == 200) {	/* a restart in the middle changes nothing */
			struct sp_buf b;
			size_t dropped;

			sp_buf_init(&b, 1 << 20);
			assert_int_equal(sp_corr_save(x.c, &b), SP_OK);
			sp_corr_free(x.c);
			assert_int_equal(sp_corr_new(x.f.set, NULL, &x.c), SP_OK);
			assert_int_equal(sp_corr_load(x.c, b.p, b.len, &dropped), SP_OK);
			sp_buf_release(&b);
		}
	}
	sql(db, "commit");
	cx_close(&x);
}

static void
answers_are_those_of_sql_over_random_streams(void **state)
{
	static char expected[65536];
	sqlite3 *db;

	(void)state;
	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	sql(db, "create table ev (i integer primary key, t integer, k text, user integer, v integer); create index u on ev (user, i)");
	for (size_t q = 0; q < SP_NELEMS(questions); q++) {
		size_t fires = 0;

		for (unsigned round = 0; round < 3; round++) {
			seed = (unsigned)(q * 100 + round + 1);
			play_random(q, db);
			sql_fires(db, q, expected, sizeof(expected));
			if (strcmp(fired, expected) != 0)
				fail_msg("question %zu, round %u: %s\nSQL:%s\nwe: %s", q, round, questions[q].corr, expected, fired);
			fires += strlen(fired);
		}
		assert_true(fires > 0);
	}
	sqlite3_close(db);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(event_count_fires_in_a_sliding_window_per_group),
		cmocka_unit_test(after_firing_a_group_is_quiet_as_the_rule_says),
		cmocka_unit_test(conditions_on_few_events_are_judged_when_the_window_ends),
		cmocka_unit_test(values_are_counted_and_computed),
		cmocka_unit_test(temporal_needs_all_rules_in_the_window_and_ordered_their_order),
		cmocka_unit_test(an_event_of_two_stages_is_not_both_at_once),
		cmocka_unit_test(aliases_and_correlations_over_correlations),
		cmocka_unit_test(events_with_several_values_are_in_several_groups),
		cmocka_unit_test(state_survives_a_restart),
		cmocka_unit_test(forgetting_a_group_starts_its_count_anew),
		cmocka_unit_test(memory_is_bounded_and_eviction_counted),
		cmocka_unit_test(answers_are_those_of_sql_over_random_streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
