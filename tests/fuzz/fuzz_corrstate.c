/* tests/fuzz/fuzz_corrstate.c - saved state of correlations: loading never faults; what loads can be counted on, and saved again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rules/corr.h"

static const char yaml[] = "title: a\nname: a\nlogsource:\n  product: p\ndetection:\n  s:\n    k: '*'\n  condition: s\n---\n"
    "title: c\nname: c\ncorrelation:\n  type: event_count\n  rules: a\n  group-by: u\n  timespan: 10s\n  condition:\n    gte: 3\n---\n"
    "title: v\nname: v\ncorrelation:\n  type: value_count\n  rules: a\n  timespan: 10s\n  condition:\n    field: v\n    gte: 3\n---\n"
    "title: l\nname: l\ncorrelation:\n  type: event_count\n  rules: a\n  group-by: u\n  timespan: 10s\n  condition:\n    lt: 3\n---\n"
    "title: p\nname: p\ncorrelation:\n  type: value_percentile\n  rules: a\n  timespan: 10s\n  condition:\n    field: v\n    percentile: 90\n    gte: 3\n---\n"
    "title: o\nname: o\ncorrelation:\n  type: temporal_ordered\n  rules: [a, c]\n  timespan: 10s\n";

static void
on_fire(const struct sp_corr_fire *f, void *arg)
{
	for (size_t i = 0; i < f->n_groups; i++)
		*(size_t *)arg += f->group[i].value.len;
}

static void
feed(struct sp_corr *c, struct sp_rules_scratch *s)
{
	struct sp_rules_field f[] = { { "k", "1", 1, SP_RULES_TEXT }, { "u", "x", 1, SP_RULES_TEXT }, { "v", "5", 1, SP_RULES_TEXT } };
	struct sp_rules_event ev = { .product = "p", .field = f, .n_fields = 3 };
	struct sp_rules_hits hits;
	size_t sum = 0;

	for (int i = 0; i < 4; i++)
		if (sp_rules_eval(s, &ev, &hits) != SP_OK || sp_corr_feed(c, s, &hits, i * 1000000, 1, on_fire, &sum) != SP_OK)
			abort();
	if (sp_corr_tick(c, 1000000000, on_fire, &sum) != SP_OK)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sp_rules *set;
	static struct sp_rules_scratch *s;
	struct sp_corr_stats stats;
	struct sp_corr *c;
	struct sp_buf b;
	size_t dropped = 0;

	if (set == NULL) {
		struct sp_rules_builder *builder;
		struct sp_rules_error err;

		if (sp_rules_builder_new(NULL, &builder) != SP_OK || sp_rules_builder_add(builder, "f", yaml, sizeof(yaml) - 1, &err) != SP_OK ||
		    sp_rules_compile(builder, &err, &set) != SP_OK || sp_rules_scratch_new(set, &s) != SP_OK)
			abort();
		sp_rules_builder_free(builder);
	}
	if (sp_corr_new(set, &(struct sp_corr_limits){ .groups = 1000, .entries = 1000, .memory = 1 << 20 }, &c) != SP_OK)
		abort();
	sp_buf_init(&b, (size_t)64 << 20);
	if (sp_corr_load(c, data, size, &dropped) == SP_OK) {
		if (sp_corr_save(c, &b) != SP_OK)
			abort();
	} else {
		sp_corr_stats(c, &stats);
		if (stats.groups != 0)
			abort();
	}
	feed(c, s);
	sp_buf_release(&b);
	sp_corr_free(c);
	return 0;
}
