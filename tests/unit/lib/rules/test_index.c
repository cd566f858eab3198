/* tests/unit/lib/rules/test_index.c - the index only leaves out what cannot match: random rules and random events, judged with and
 * without it. And judging allocates nothing once the largest event was seen. */
#include "rulestest.h"

static unsigned seed;
static size_t allocations;

void	*__real_malloc(size_t n);
void	*__real_calloc(size_t n, size_t m);
void	*__real_realloc(void *p, size_t n);
void	*__wrap_malloc(size_t n);
void	*__wrap_calloc(size_t n, size_t m);
void	*__wrap_realloc(void *p, size_t n);

void *
__wrap_malloc(size_t n)
{
	allocations++;
	return __real_malloc(n);
}

void *
__wrap_calloc(size_t n, size_t m)
{
	allocations++;
	return __real_calloc(n, m);
}

void *
__wrap_realloc(void *p, size_t n)
{
	allocations++;
	return __real_realloc(p, n);
}

static unsigned
pick(unsigned n)
{
	seed = seed * 1664525u + 1013904223u;
	return (unsigned)(((uint64_t)(seed >> 4) * n) >> 28);
}

struct text {
	char	p[65536];
	size_t	n;
};

static void put(struct text *t, const char *fmt, ...) SP_PRINTF(2, 3);
static void
put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int k;

	va_start(ap, fmt);
	k = vsnprintf(t->p + t->n, sizeof(t->p) - t->n, fmt, ap);
	va_end(ap);
	assert_true(k >= 0 && (size_t)k < sizeof(t->p) - t->n);
	t->n += (size_t)k;
}

/* Few letters, so that values meet; some with case, some that fold, one that folds into ASCII. */
static const char *const letters[] = { "a", "b", "A", "B", "ab", "-", "/", " ", "k", "\xe2\x84\xaa", "\xc3\xa4", "\xc3\x84", "\xe4\xb8\xad", "1", ".", "s", "\xc5\xbf" };

static void
put_word(struct text *t, unsigned most)
{
	for (unsigned n = pick(most + 1); n > 0; n--)
		put(t, "%s", letters[pick(SP_NELEMS(letters))]);
}

static void
put_value(struct text *t)
{
	put(t, "'");
	for (unsigned n = 1 + pick(4); n > 0; n--) {
		put_word(t, 2);
		if (pick(5) == 0)
			put(t, "%s", pick(3) ? "*" : "?");
	}
	put(t, "'");
}

static const char *const changes[] = { "", "", "|contains", "|contains", "|startswith", "|endswith", "|cased", "|contains|cased", "|endswith|cased", "|contains|all",
	"|neq", "|windash|contains", "|base64offset|contains", "|wide|contains", "|utf16be|contains" };
static const char *const regexes[] = { "'a+b'", "'(ab|ba)k'", "'^a.b$'", "'[ab]{2}k?'", "'(?:aab)?b'", "'k|s'", "'ab{0,1}a'", "'a\\.b'", "'(a(b|k)1)+'", "'\xc3\xa4""b'" };

static void
put_item(struct text *t, unsigned i)
{
	static const char *const others[] = { ": null", "|exists: true", "|exists: false", "|gt: 1", "|lte: 11", "|cidr: 1.0.0.0/8", "|fieldref: f0",
		"|fieldref|contains: f1" };
	const char *change = changes[pick(SP_NELEMS(changes))];

	put(t, "    f%u", i);
	switch (pick(8)) {
	case 0:
		put(t, "%s\n", others[pick(SP_NELEMS(others))]);
		return;
	case 1:
		put(t, "|re%s: %s\n", pick(2) ? "|i" : "", regexes[pick(SP_NELEMS(regexes))]);
		return;
	}
	put(t, "%s:\n", change);
	for (unsigned n = strstr(change, "base64") != NULL ? 1 : 1 + pick(pick(10) == 0 ? 12 : 3); n > 0; n--) {
		put(t, "      - ");
		if (strstr(change, "base64") != NULL) {
			put(t, "'a");
			put_word(t, 3);
			put(t, "'");
		} else if (pick(8) == 0) {
			put(t, "%u", pick(12));
		} else {
			put_value(t);
		}
		put(t, "\n");
	}
}

static void
put_rule(struct text *t, unsigned i)
{
	static const char *const conditions[] = { "s0", "s0 and s1", "s0 or s1", "s0 and not s1", "not s0", "1 of s*", "all of s*", "s0 and (s1 or s2)",
		"not (s0 or s1) or s2", "s2 and not 1 of s*" };

	put(t, "title: r%u\nlogsource:\n  %s: p%u\ndetection:\n", i, pick(2) ? "product" : "category", pick(2));
	for (unsigned s = 0; s < 3; s++) {
		put(t, "  s%u:\n", s);
		if (pick(8) == 0) {
			for (unsigned n = 1 + pick(2); n > 0; n--) {
				put(t, "    - ");
				put_value(t);
				put(t, "\n");
			}
			continue;
		}
		for (unsigned f = 0, n = 1 + pick(3); f < n; f++)
			put_item(t, f * 2 + pick(2));
	}
	put(t, "  condition: %s\n---\n", conditions[pick(SP_NELEMS(conditions))]);
}

static void
put_json_value(struct text *t)
{
	static const char *const special[] = { "null", "true", "{}", "[]", "1.5", "11", "\"1.2.3.4\"", "\"\"" };

	switch (pick(6)) {
	case 0:
		put(t, "%s", special[pick(SP_NELEMS(special))]);
		return;
	case 1:
		put(t, "[");
		put_json_value(t);
		put(t, ",\"");
		put_word(t, 5);
		put(t, "\"]");
		return;
	}
	put(t, "\"");
	put_word(t, 7);
	put(t, "%s\"", pick(6) == 0 ? "a\\u0000b\\u0000" : pick(6) == 0 ? "YWFi" : "");
}

static void
put_event(struct text *t)
{
	t->n = 0;
	put(t, "{\"x\":1");
	for (unsigned i = 0; i < 7; i++) {
		if (pick(3) == 0)
			continue;
		put(t, ",\"f%u\":", i);
		put_json_value(t);
	}
	put(t, "}");
}

static void
answers_are_the_same_without_the_index(void **state)
{
	static struct text yaml, json;
	size_t hits_n = 0, skipped = 0;

	(void)state;
	for (unsigned round = 1; round <= 40; round++) {
		struct sp_rules_stats with, without;
		struct fx a, b;

		seed = round;
		yaml.n = 0;
		for (unsigned i = 0; i < 40; i++)
			put_rule(&yaml, i);
		fx_open(&a, &sp_rules_vectorscan);
		fx_add(&a, yaml.p);
		fx_ready(&a);
		assert_true(sp_rules_has_index(a.set));
		fx_open(&b, NULL);
		fx_add(&b, yaml.p);
		fx_ready(&b);
		for (unsigned i = 0; i < 150; i++) {
			struct sp_rules_event ev = { .product = pick(2) ? "p0" : "p1", .category = pick(2) ? "p0" : "p1", .any_source = pick(4) == 0, .json = json.p };
			struct sp_rules_hits ha, hb;

			put_event(&json);
			ev.json_len = json.n;
			assert_int_equal(sp_rules_eval(a.s, &ev, &ha), SP_OK);
			assert_int_equal(sp_rules_eval(b.s, &ev, &hb), SP_OK);
			if (ha.n != hb.n || memcmp(ha.rule, hb.rule, ha.n * sizeof(*ha.rule)) != 0) {
				size_t k = 0;

				while (k < ha.n && ha.rule[k] == hb.rule[k])
					k++;
				fail_msg("round %u: rule %u is judged differently: %s\n%s", round, hb.rule[k], json.p, yaml.p);
			}
			hits_n += ha.n;
		}
		sp_rules_stats(a.s, &with);
		sp_rules_stats(b.s, &without);
		skipped += without.evaluated - with.evaluated;
		fx_close(&a);
		fx_close(&b);
	}
	assert_true(hits_n > 10000);	/* the events do meet the rules, */
	assert_true(skipped > 10000);	/* and the index does leave rules out */
}

static void
judging_allocates_nothing(void **state)
{
	static struct text yaml, json;
	struct sp_rules_hits hits;
	struct fx f;

	(void)state;
	seed = 5;
	for (unsigned i = 0; i < 60; i++)
		put_rule(&yaml, i);
	fx_open(&f, &sp_rules_vectorscan);
	fx_add(&f, yaml.p);
	fx_ready(&f);
	for (unsigned pass = 0; pass < 2; pass++) {
		size_t before;

		seed = 99;
		before = allocations;
		for (unsigned i = 0; i < 500; i++) {
			struct sp_rules_event ev = { .product = "p0", .category = "p1", .any_source = i % 3 == 0, .json = json.p };

			put_event(&json);
			ev.json_len = json.n;
			if (sp_rules_eval(f.s, &ev, &hits) != SP_OK)
				fail_msg("%s", json.p);
		}
		if (pass == 1)
			assert_int_equal(allocations, before);
	}
	assert_true(allocations > 0);
	fx_close(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_the_same_without_the_index),
		cmocka_unit_test(judging_allocates_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
