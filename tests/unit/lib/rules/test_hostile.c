/* tests/unit/lib/rules/test_hostile.c - what does not load says where and why, and what is made to hurt is refused or bounded. */
#include "rules/corr.h"
#include "rulestest.h"

#define HEAD	"title: t\nlogsource:\n  product: p\ndetection:\n"

static void
errors_name_line_and_reason(void **state)
{
	static const struct {
		const char	*yaml;
		unsigned	 line;
		const char	*why;		/* part of it */
	} rows[] = {
		{ "", 0, "no rule" },
		{ "# nothing\n", 0, "no rule" },
		{ "title: [a\n", 2, "not YAML" },
		{ "just text\n", 1, "must be a mapping" },
		{ "title: t\n", 1, "exactly one of" },
		{ "title: t\ndetection: {}\nfilter: {}\n", 1, "exactly one of" },
		{ "logsource:\n  product: p\ndetection:\n  s: x\n  condition: s\n", 1, "\"title\" is missing" },
		{ "title: t\ndetection:\n  s: x\n  condition: s\n", 1, "\"logsource\" is missing" },
		{ "title: t\nlogsource:\n  definition: x\ndetection:\n  s: x\n  condition: s\n", 3, "names no category" },
		{ "title: t\nlevel: severe\nlogsource:\n  product: p\ndetection:\n  s: x\n  condition: s\n", 2, "the level is" },
		{ HEAD "  s: x\n", 5, "no condition" },
		{ HEAD "  s: x\n  condition: t\n", 6, "nothing called \"t\"" },
		{ HEAD "  s: x\n  condition: s and\n", 6, "ends where a name is expected" },
		{ HEAD "  s: x\n  condition: (s\n", 6, "a ) is missing" },
		{ HEAD "  s: x\n  condition: s s\n", 6, "\"and\" or \"or\" is expected" },
		{ HEAD "  s: x\n  condition: s )\n", 6, "expected before \")\"" },
		{ HEAD "  s: x\n  condition: 2 of s*\n", 6, "only 1, any or all" },
		{ HEAD "  s: x\n  condition: 1 of t*\n", 6, "no selection has a name like" },
		{ HEAD "  _s: x\n  condition: 1 of _*\n", 6, "no selection has a name like" },
		{ HEAD "  s: x\n  condition: s | count() > 5\n", 6, "\"and\" or \"or\" is expected" },
		{ HEAD "  s: x\n  condition: |count\n", 6, "" },
		{ HEAD "  s: x\n  timeframe: 5m\n  condition: s\n", 6, "timeframe" },
		{ HEAD "  s: {}\n  condition: s\n", 5, "empty" },
		{ HEAD "  s:\n    a: []\n  condition: s\n", 6, "empty list" },
		{ HEAD "  s:\n    a|contain: x\n  condition: s\n", 6, "no modifier \"contain\"" },
		{ HEAD "  s:\n    a|: x\n  condition: s\n", 6, "no modifier \"\"" },
		{ HEAD "  s:\n    a|i: x\n  condition: s\n", 6, "belongs behind \"re\"" },
		{ HEAD "  s:\n    a|re|cidr: x\n  condition: s\n", 6, "does not go with" },
		{ HEAD "  s:\n    a|re|contains: x\n  condition: s\n", 6, "takes the value as it is" },
		{ HEAD "  s:\n    a|re|cased: x\n  condition: s\n", 6, "\"cased\" does not go" },
		{ HEAD "  s:\n    a|re: '('\n  condition: s\n", 6, "not a regular expression" },
		{ HEAD "  s:\n    a|re: '\\C'\n  condition: s\n", 6, "not a regular expression" },
		{ HEAD "  s:\n    a|cidr: 10.0.0.0/33\n  condition: s\n", 6, "length of a network" },
		{ HEAD "  s:\n    a|cidr: ten\n  condition: s\n", 6, "not a network" },
		{ HEAD "  s:\n    a|gt: ten\n  condition: s\n", 6, "not a number" },
		{ HEAD "  s:\n    a|hour|contains: 1\n  condition: s\n", 6, "part of a time" },
		{ HEAD "  s:\n    a|exists: 1\n  condition: s\n", 6, "true or false" },
		{ HEAD "  s:\n    a|base64: 'x*'\n  condition: s\n", 6, "cannot encode a wildcard" },
		{ HEAD "  s:\n    a|contains: null\n  condition: s\n", 6, "null does not go" },
		{ HEAD "  s:\n    a|expand: '%who%'\n  condition: s\n", 6, "nobody says what %who%" },
		{ HEAD "  s:\n    a:\n      b: c\n  condition: s\n", 7, "a list or a mapping" },
		{ HEAD "  s:\n    - - x\n  condition: s\n", 6, "a list in a list" },
		{ HEAD "  s:\n    '|exists': true\n  condition: s\n", 6, "needs a field" },
		{ HEAD "  s: x\n  s: y\n  condition: s\n", 6, "comes twice" },
		{ "title: &a t\nid: *a\n", 2, "aliases" },
		{ "title: !!python/object:os.system t\n", 1, "tag" },
		{ "title: t\nsallyport:\n  unknown: maybe\nlogsource:\n  product: p\ndetection:\n  s: x\n  condition: s\n", 3, "match or skip" },
		{ "title: a\nid: i\nlogsource:\n  product: p\ndetection:\n  s: x\n  condition: s\n---\ntitle: b\nname: i\nlogsource:\n  product: p\ndetection:\n  s: x\n"
		  "  condition: s\n", 9, "in use already, at line 1" },
		{ "title: f\nfilter:\n  rules: [x]\n  s: y\n  condition: not s\n", 3, "no rule \"x\"" },
		{ "title: f\nfilter:\n  s: y\n  condition: not s\n", 1, "\"rules\" is missing" },
	};
	struct sp_rules_error err;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		fx_why(rows[i].yaml, &err);
		if (strstr(err.why, rows[i].why) == NULL || err.line != rows[i].line || strcmp(err.file, "test.yml") != 0)
			fail_msg("row %zu: %s:%u: %s\nexpected line %u, \"%s\"\n%s", i, err.file, err.line, err.why, rows[i].line, rows[i].why, rows[i].yaml);
	}
}

#define A	"title: a\nname: a\nlogsource:\n  product: p\ndetection:\n  s: x\n  condition: s\n---\n"
#define C	A "title: c\nname: c\ncorrelation:\n"

static void
correlations_that_make_no_sense_are_refused(void **state)
{
	static const struct {
		const char	*yaml, *why;
	} rows[] = {
		{ C "  type: event_counts\n", "no type" },
		{ C "  type: event_count\n  rules: a\n  condition: {gte: 1}\n", "\"timespan\" is missing" },
		{ C "  type: event_count\n  timespan: 1m\n  condition: {gte: 1}\n", "\"rules\" is missing" },
		{ C "  type: event_count\n  rules: b\n  timespan: 1m\n  condition: {gte: 1}\n", "no rule \"b\"" },
		{ C "  type: event_count\n  rules: a\n  timespan: 1m\n", "\"condition\" is missing" },
		{ C "  type: event_count\n  rules: a\n  timespan: 1 m\n  condition: {gte: 1}\n", "\"timespan\" is a number" },
		{ C "  type: event_count\n  rules: a\n  timespan: 100y\n  condition: {gte: 1}\n", "10 years" },
		{ C "  type: event_count\n  rules: a\n  timespan: 1m\n  condition: {gte: 0}\n", "always holds" },
		{ C "  type: event_count\n  rules: a\n  timespan: 1m\n  condition: {gte: 1e9}\n", "at most 1000000" },
		{ C "  type: event_count\n  rules: a\n  timespan: 1m\n  condition: {gte: three}\n", "wants a number" },
		{ C "  type: event_count\n  rules: a\n  timespan: 1m\n  condition: {over: 3}\n", "no part of this condition" },
		{ C "  type: event_count\n  rules: a\n  timespan: 1m\n  condition: {}\n", "compares nothing" },
		{ C "  type: event_count\n  rules: a\n  timespan: 1m\n  groupby: x\n  condition: {gte: 1}\n", "not a key" },
		{ C "  type: value_count\n  rules: a\n  timespan: 1m\n  condition: {gte: 1}\n", "\"field\" is missing" },
		{ C "  type: value_sum\n  rules: a\n  timespan: 1m\n  condition: {gte: 1, field: [x, y]}\n", "several fields" },
		{ C "  type: value_percentile\n  rules: a\n  timespan: 1m\n  condition: {gte: 1, field: x}\n", "\"percentile\" is missing" },
		{ C "  type: value_percentile\n  rules: a\n  timespan: 1m\n  condition: {gte: 1, field: x, percentile: 101}\n", "between 0 and 100" },
		{ C "  type: ratio\n  rules: a\n  timespan: 1m\n  condition: {gte: 1}\n", "\"match\" is missing" },
		{ C "  type: ratio\n  rules: a\n  match: b\n  timespan: 1m\n  condition: {gte: 1}\n", "one of \"rules\"" },
		{ C "  type: temporal\n  rules: [a, a]\n  timespan: 1m\n", "stands twice" },
		{ C "  type: temporal\n  rules: [a]\n  timespan: 1m\n  condition: a and b\n", "nothing called \"b\"" },
		{ C "  type: temporal_ordered\n  rules: [a]\n  timespan: 1m\n  condition: {gte: 2}\n", "leave the condition out" },
		{ C "  type: event_count\n  rules: c\n  timespan: 1m\n  condition: {gte: 1}\n", "refers back to itself" },
		{ C "  type: event_count\n  rules: a\n  timespan: 1m\n  group-by: x\n  aliases:\n    y:\n      a: z\n  condition: {gte: 1}\n", "not in group-by" },
		{ C "  type: event_count\n  rules: a\n  timespan: 1m\n  condition: {lt: 1}\nsallyport:\n  rearm: reset\n", "\"rearm\" is for gt and gte" },
		{ C "  type: event_count\n  rules: a\n  timespan: 1m\n  condition: {gte: 1}\nsallyport:\n  rearm: never\n", "\"rearm\" is" },
		{ A "title: c\nname: c\ncorrelation: {type: temporal, rules: [d], timespan: 1m}\n---\ntitle: d\nname: d\ncorrelation: {type: temporal, rules: [e], "
		  "timespan: 1m}\n---\ntitle: e\nname: e\ncorrelation: {type: temporal, rules: [a, c], timespan: 1m}\n", "refers back to itself" },
	};
	struct sp_rules_error err;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++)
		if (strstr(fx_why(rows[i].yaml, &err), rows[i].why) == NULL || err.line == 0)
			fail_msg("row %zu: %u: %s\nexpected \"%s\"\n%s", i, err.line, err.why, rows[i].why, rows[i].yaml);
}

static enum sp_err
add(const char *text, size_t len, struct sp_rules_error *err)
{
	struct sp_rules_builder *b;
	struct sp_rules *set = NULL;
	enum sp_err r;

	assert_int_equal(sp_rules_builder_new(NULL, &b), SP_OK);
	r = sp_rules_builder_add(b, "h.yml", text, len, err);
	if (r == SP_OK)
		r = sp_rules_compile(b, err, &set);
	sp_rules_free(set);
	sp_rules_builder_free(b);
	return r;
}

/* before + unit repeated n times + after */
static char *
repeated(const char *before, const char *unit, size_t n, const char *after, size_t *ret_len)
{
	size_t a = strlen(before), u = strlen(unit), z = strlen(after);
	char *p = malloc(a + u * n + z + 1);

	assert_non_null(p);
	memcpy(p, before, a);
	for (size_t i = 0; i < n; i++)
		memcpy(p + a + i * u, unit, u);
	memcpy(p + a + n * u, after, z + 1);
	*ret_len = a + n * u + z;
	return p;
}

static void
bombs_are_refused(void **state)
{
	static const struct {
		const char	*before, *unit;
		size_t		 n;
		const char	*after;
		enum sp_err	 r;
	} rows[] = {
		{ "title: ", "[", 1000000, "", SP_ESIZE },
		{ "title: ", "{a: ", 100000, "", SP_ESIZE },
		{ "", "- ", 100000, "x\n", SP_ESIZE },
		{ HEAD "  s: x\n  condition: ", "(", 30000, "s\n", SP_EFORMAT },
		{ HEAD "  s: x\n  condition: ", "not (", 10000, "s\n", SP_EFORMAT },
		{ HEAD "  s: x\n  condition: ", "s or ", 30000, "s\n", SP_ESIZE },
		{ HEAD "  s: x\n  condition: ", "not ", 10000, "s\n", SP_OK },
		{ HEAD "  s: '", "x", 10000000, "'\n  condition: s\n", SP_OK },		/* a line of 10 MB */
		{ HEAD "  s:\n    a|re: '", "(", 9000, "'\n  condition: s\n", SP_EFORMAT },
		{ HEAD "  s:\n    a|re: '", "(a|b)", 1000, "'\n  condition: s\n", SP_OK },
		{ HEAD "  s:\n    - '", "*?", 100000, "'\n  condition: s\n", SP_OK },
		{ HEAD "  s: [", "a, ", 2100000, "b]\n  condition: s\n", SP_ESIZE },
		{ "x", "y", SP_RULES_FILE_MAX, "\n", SP_ESIZE },
		{ "a: &a [x,x]\nb: &b [*a,*a,", "*a,", 100, "]\n", SP_EFORMAT },
	};
	struct sp_rules_error err;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		size_t len;
		char *p = repeated(rows[i].before, rows[i].unit, rows[i].n, rows[i].after, &len);
		enum sp_err r = add(p, len, &err);

		free(p);
		if (r != rows[i].r)
			fail_msg("row %zu: %s (%u: %s)", i, sp_err_name(r), err.line, r == SP_OK ? "" : err.why);
	}
}

static void
what_is_not_utf8_names_its_line(void **state)
{
	static const char latin1[] = "title: t\n# caf\xe9\n", utf16[] = "\xff\xfet\0i\0", cut[] = "title: t\n\n# \xe4\xb8";
	struct sp_rules_error err;

	(void)state;
	assert_int_equal(add(latin1, sizeof(latin1) - 1, &err), SP_EFORMAT);
	assert_int_equal(err.line, 2);
	assert_string_equal(err.why, "not UTF-8");
	assert_int_equal(add(utf16, sizeof(utf16) - 1, &err), SP_EFORMAT);
	assert_int_equal(add(cut, sizeof(cut) - 1, &err), SP_EFORMAT);
	assert_int_equal(err.line, 3);
}

static void
a_chain_of_correlations_is_bounded(void **state)
{
	static char yaml[1 << 20];
	struct sp_rules_error err;

	(void)state;
	for (int n = 10; n <= 5000; n += 4990) {
		size_t at = (size_t)snprintf(yaml, sizeof(yaml), "%s", "title: a\nname: n0\nlogsource:\n  product: p\ndetection:\n  s: x\n  condition: s\n");

		for (int i = n; i >= 1; i--)	/* the outermost first: the deepest recursion */
			at += (size_t)snprintf(yaml + at, sizeof(yaml) - at, "---\ntitle: c\nname: n%d\ncorrelation: {type: temporal, rules: [n%d], timespan: 1m}\n", i, i - 1);
		assert_int_equal(add(yaml, at, &err), n == 10 ? SP_OK : SP_EFORMAT);
	}
	assert_non_null(strstr(err.why, "more than 10"));
}

static void
catastrophic_regexes_end_at_a_limit(void **state)
{
	static const char *const regexes[] = { "(a+)+$", "(a|aa)+$", "(.*a){25}b", "^(([a-z])+.)+[A-Z]([a-z])+$" };
	char json[4096], yaml[512], as[2048];

	(void)state;
	memset(as, 'a', sizeof(as));
	sp_snprintf(json, sizeof(json), "{\"a\":\"%.2000s!\"}", as);
	for (size_t i = 0; i < SP_NELEMS(regexes) * 2; i++) {
		struct sp_rules_event ev = { .product = "p", .json = json, .json_len = strlen(json) };
		struct sp_rules_stats stats;
		struct sp_rules_hits hits;
		struct fx f;

		sp_snprintf(yaml, sizeof(yaml), HEAD "  s:\n    a|re: '%s'\n  condition: s\nsallyport:\n  unknown: %s\n", regexes[i / 2], i % 2 ? "match" : "skip");
		fx_open(&f, NULL);
		fx_add(&f, yaml);
		fx_ready(&f);
		assert_int_equal(sp_rules_eval(f.s, &ev, &hits), SP_OK);
		sp_rules_stats(f.s, &stats);
		assert_int_equal(hits.n, i % 2 && stats.regex_limit > 0);	/* where a limit was hit nobody knows */
		fx_close(&f);
	}
}

static void
events_that_are_not_json_are_refused(void **state)
{
	static const char *const bad[] = { "", "x", "[]", "1", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{a:1}", "{\"a\":01}", "{\"a\":+1}",
		"{\"a\":1.}", "{\"a\":.5}", "{\"a\":1e}", "{\"a\":tru}", "{\"a\":nul}", "{\"a\":\"x}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"\\u12g4\"}",
		"{\"a\":\"\n\"}", "{\"a\":[1,]}", "{\"a\":[1", "{\"a\":1}x", "{\"a\":1}{}", "{\"a\":1 \"b\":2}", "{\"b\":\"\\q\"}", "{\"a\" 1}", "{\"a\":'x'}", "{\"a\":-}" };
	static const char *const good[] = { "{}", " { } ", "{\"a\":[]}", "{\"a\":{}}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\udc00\\ud800\"}", "{\"a\":\"\xff\"}",
		"{\"a\":1e999}", "{\"a\":-0.0e-5}", "{\"a\":99999999999999999999999999999999999999999999999999}", "{\"\":1}", "{\"a.b\":{\"c.d\":1}}" };
	struct sp_rules_hits hits;
	char deep[400];
	struct fx f;

	(void)state;
	fx_open(&f, &sp_rules_vectorscan);
	fx_add(&f, HEAD "  s:\n    a: x\n  k: word\n  condition: s or k\n");
	fx_ready(&f);
	for (size_t i = 0; i < SP_NELEMS(bad); i++) {
		char *p = strdup(bad[i]);	/* exact size: reading past it is seen */
		struct sp_rules_event ev = { .product = "p", .json = p, .json_len = strlen(p) };

		if (sp_rules_eval(f.s, &ev, &hits) != SP_EFORMAT)
			fail_msg("accepted: %s", bad[i]);
		free(p);
	}
	for (size_t i = 0; i < SP_NELEMS(good); i++) {
		struct sp_rules_event ev = { .product = "p", .json = good[i], .json_len = strlen(good[i]) };

		if (sp_rules_eval(f.s, &ev, &hits) != SP_OK)
			fail_msg("refused: %s", good[i]);
	}
	memset(deep, '[', sizeof(deep));
	memcpy(deep, "{\"a\":", 5);
	assert_int_equal(sp_rules_eval(f.s, &(struct sp_rules_event){ .product = "p", .json = deep, .json_len = sizeof(deep) }, &hits), SP_ESIZE);
	fx_close(&f);
}

static void
a_refused_file_leaves_the_others(void **state)
{
	struct sp_rules_error err;
	struct fx f;

	(void)state;
	fx_open(&f, NULL);
	fx_add(&f, HEAD "  s: x\n  condition: s\n");
	assert_int_equal(sp_rules_builder_add(f.b, "bad.yml", HEAD "  s: x\n  condition: s\n---\ntitle: x\n", strlen(HEAD "  s: x\n  condition: s\n---\ntitle: x\n"), &err),
	    SP_EFORMAT);
	assert_string_equal(err.file, "bad.yml");
	fx_ready(&f);
	assert_int_equal(sp_rules_n(f.set), 1);
	/* and again, from the texts */
	sp_rules_scratch_free(f.s);
	sp_rules_free(f.set);
	fx_add(&f, HEAD "  s: y\n  condition: s\n");
	fx_ready(&f);
	assert_int_equal(sp_rules_n(f.set), 2);
	fx_close(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_name_line_and_reason),
		cmocka_unit_test(correlations_that_make_no_sense_are_refused),
		cmocka_unit_test(bombs_are_refused),
		cmocka_unit_test(what_is_not_utf8_names_its_line),
		cmocka_unit_test(a_chain_of_correlations_is_bounded),
		cmocka_unit_test(catastrophic_regexes_end_at_a_limit),
		cmocka_unit_test(events_that_are_not_json_are_refused),
		cmocka_unit_test(a_refused_file_leaves_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
