/* tests/fuzz/fuzz_rules.c - rules from outside and events from outside: loading and judging never fault, with and without the index the
 * answer is the same, what is refused has a reason. Input: YAML, then a NUL, then JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rules/rules.h"

struct judged {
	enum sp_err	r;
	size_t		n;
	uint32_t	rule[64];
};

static struct sp_rules *
load(const struct sp_rules_index_ops *index, const char *yaml, size_t n)
{
	static const char *const values[] = { "one", "t*o" };
	struct sp_rules_builder *b;
	struct sp_rules_error err = { .line = 77 };
	struct sp_rules *set = NULL;

	if (sp_rules_builder_new(&(struct sp_rules_opts){ .index = index }, &b) != SP_OK || sp_rules_builder_placeholder(b, "who", values, 2) != SP_OK)
		abort();
	if (sp_rules_builder_add(b, "fuzz.yml", yaml, n, &err) != SP_OK || sp_rules_compile(b, &err, &set) != SP_OK) {
		if (err.why[0] == '\0' || memchr(err.why, '\n', sizeof(err.why)) != NULL)
			abort();
		set = NULL;
	}
	sp_rules_builder_free(b);
	return set;
}

static struct judged
judge(const struct sp_rules *set, const char *json, size_t n)
{
	struct sp_rules_event ev = { .any_source = 1, .json = json, .json_len = n };
	struct sp_rules_scratch *s;
	struct sp_rules_hits hits;
	struct judged j = { .n = 0 };

	if (sp_rules_scratch_new(set, &s) != SP_OK)
		abort();
	j.r = sp_rules_eval(s, &ev, &hits);
	if (j.r == SP_OK) {
		j.n = hits.n < 64 ? hits.n : 64;
		if (j.n > 0)
			memcpy(j.rule, hits.rule, j.n * sizeof(*j.rule));
	}
	sp_rules_scratch_free(s);
	return j;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
	size_t n = nul != NULL ? (size_t)(nul - data) : size;
	struct sp_rules *with, *without;
	struct judged a, b;

	if ((with = load(&sp_rules_vectorscan, (const char *)data, n)) == NULL)
		return 0;
	if ((without = load(NULL, (const char *)data, n)) == NULL)
		abort();
	if (nul != NULL) {
		a = judge(with, (const char *)nul + 1, size - n - 1);
		b = judge(without, (const char *)nul + 1, size - n - 1);
		if (a.r != b.r || a.n != b.n || memcmp(a.rule, b.rule, a.n * sizeof(*a.rule)) != 0)
			abort();
	}
	sp_rules_free(with);
	sp_rules_free(without);
	return 0;
}
