/* tests/unit/lib/rules/rulestest.c - load rules from text and judge one event. */
#include "rulestest.h"

void
fx_open(struct fx *f, const struct sp_rules_index_ops *index)
{
	*f = (struct fx){ 0 };
	assert_int_equal(sp_rules_builder_new(&(struct sp_rules_opts){ .index = index }, &f->b), SP_OK);
}

void
fx_add(struct fx *f, const char *yaml)
{
	if (sp_rules_builder_add(f->b, "test.yml", yaml, strlen(yaml), &f->err) != SP_OK)
		fail_msg("%s:%u: %s\n%s", f->err.file, f->err.line, f->err.why, yaml);
}

void
fx_ready(struct fx *f)
{
	if (sp_rules_compile(f->b, &f->err, &f->set) != SP_OK)
		fail_msg("%s:%u: %s", f->err.file, f->err.line, f->err.why);
	assert_int_equal(sp_rules_scratch_new(f->set, &f->s), SP_OK);
}

void
fx_close(struct fx *f)
{
	sp_rules_scratch_free(f->s);
	sp_rules_free(f->set);
	sp_rules_builder_free(f->b);
	*f = (struct fx){ 0 };
}

char *
fx_rule(const char *detection, char *dst, size_t size)
{
	assert_int_equal(sp_snprintf(dst, size, "title: t\nlogsource:\n  product: test\ndetection:\n%s\n", detection), 0);
	return dst;
}

static int
match_with(const char *detection, const char *json, const struct sp_rules_index_ops *index)
{
	struct sp_rules_event ev = { .product = "TEST", .json = json, .json_len = strlen(json) };
	struct sp_rules_hits hits;
	static char yaml[65536];
	struct fx f;
	int got;

	fx_open(&f, index);
	fx_add(&f, fx_rule(detection, yaml, sizeof(yaml)));
	fx_ready(&f);
	assert_int_equal(sp_rules_eval(f.s, &ev, &hits), SP_OK);
	got = (int)hits.n;
	fx_close(&f);
	return got;
}

int
fx_match(const char *detection, const char *json)
{
	int with = match_with(detection, json, &sp_rules_vectorscan), without = match_with(detection, json, NULL);

	if (with != without)
		fail_msg("the index changes the answer (%d, without it %d):\n%s\n%s", with, without, detection, json);
	return with;
}

const char *
fx_why(const char *yaml, struct sp_rules_error *ret)
{
	struct sp_rules *set = NULL;
	struct fx f;
	enum sp_err r;

	fx_open(&f, NULL);
	r = sp_rules_builder_add(f.b, "test.yml", yaml, strlen(yaml), ret);
	if (r == SP_OK)
		r = sp_rules_compile(f.b, ret, &set);
	sp_rules_free(set);
	fx_close(&f);
	if (r == SP_OK)
		fail_msg("this loads:\n%s", yaml);
	return ret->why;
}
