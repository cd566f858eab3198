/* src/ctl/rules.c - sallyport rules: load rules, and try them on events, without control: files in, a verdict out. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "ctl/nouns.h"
#include "rules/corr.h"

#define TIME_FIELD	"@timestamp"
#define EXPLAIN_MAX	((size_t)4 << 20)

struct tried {
	struct sp_rules_builder	*b;
	struct sp_rules		*set;
	struct sp_rules_scratch	*s;
	struct sp_corr		*corr;
	json_t			*rows;		/* of `test` */
	size_t			 event;		/* its number, from 1 */
	struct sp_buf		 text;		/* of the file with the events */
};

static void
tried_release(struct tried *t)
{
	sp_corr_free(t->corr);
	sp_rules_scratch_free(t->s);
	sp_rules_free(t->set);
	sp_rules_builder_free(t->b);
	sp_buf_release(&t->text);
	json_decref(t->rows);
}

static enum sp_err
read_file(struct ctl *c, const char *path, struct sp_buf *ret)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rbe");
	enum sp_err r = SP_OK;
	char part[65536];
	size_t n;

	if (f == NULL)
		return ctl_fail(c, SP_ENOENT, "%s cannot be opened", path);
	while (r == SP_OK && (n = fread(part, 1, sizeof(part), f)) > 0)
		r = sp_buf_append(ret, part, n);
	n = (size_t)ferror(f);
	if (f != stdin)
		fclose(f);
	return r == SP_ESIZE ? ctl_fail(c, r, "%s is too large", path) : r != SP_OK ? r : n != 0 ? ctl_fail(c, SP_EIO, "%s cannot be read", path) : SP_OK;
}

/* "file:line: why" on c->err, as editors understand it. */
static enum sp_err
say(struct ctl *c, enum sp_err r, const struct sp_rules_error *err)
{
	return err->line > 0 ? ctl_fail(c, r, "%s:%u: %s", err->file, err->line, err->why) : ctl_fail(c, r, "%s: %s", err->file, err->why);
}

/* Load all files of the argument FILE; every file that does not load is named. */
static enum sp_err
load_all(struct ctl *c, struct tried *t)
{
	const json_t *files = json_object_get(c->local, "FILE");
	enum sp_err bad = SP_OK, r;
	struct sp_rules_error err;
	struct sp_buf text;

	if (c->place != NULL)
		return ctl_fail(c, SP_EUSAGE, "rules are tried where their files are: run this on your own machine");
	if ((r = sp_rules_builder_new(NULL, &t->b)) != SP_OK || (r = sp_rules_builder_want(t->b, TIME_FIELD)) != SP_OK)
		return r;
	for (size_t i = 0; i < json_array_size(files); i++) {
		const char *path = json_string_value(json_array_get(files, i));

		sp_buf_init(&text, SP_RULES_FILE_MAX + 1);
		if ((r = read_file(c, path, &text)) == SP_OK && (r = sp_rules_builder_add(t->b, path, text.p, text.len, &err)) != SP_OK)
			r = say(c, r, &err);
		sp_buf_release(&text);
		bad = r != SP_OK ? r : bad;
	}
	if (bad != SP_OK)
		return bad;
	if ((r = sp_rules_compile(t->b, &err, &t->set)) != SP_OK)
		return say(c, r, &err);
	if ((r = sp_rules_scratch_new(t->set, &t->s)) != SP_OK)
		return r;
	return sp_corr_new(t->set, NULL, &t->corr);
}

/* ---- lint ---- */

static enum sp_err
lint_run(struct ctl *c)
{
	struct tried t = { 0 };
	enum sp_err r = load_all(c, &t);
	ctl_auto_json *o = NULL;

	for (size_t i = 0; r == SP_OK && i < sp_rules_n(t.set); i++) {
		const struct sp_rules_info *info = sp_rules_info(t.set, i);

		if (info->id[0] == '\0')
			ctl_note(c, "%s:%u: \"%s\" has no id: nothing can refer to it for ever, and its counts begin anew when its title changes", info->file, info->line, info->title);
		if (info->level[0] == '\0')
			ctl_note(c, "%s:%u: \"%s\" has no level", info->file, info->line, info->title);
	}
	if (r == SP_OK && c->json) {
		o = json_pack("{s:I}", "rules", (json_int_t)sp_rules_n(t.set));
		r = ctl_print_json(c, o);
	} else if (r == SP_OK) {
		ctl_note(c, "%zu rules load.", sp_rules_n(t.set));
	}
	tried_release(&t);
	return r;
}

/* ---- events ---- */

static enum sp_err
row_add(struct tried *t, uint32_t rule, const char *what)
{
	const struct sp_rules_info *info = sp_rules_info(t->set, rule);

	return json_array_append_new(t->rows, json_pack("{s:I, s:s, s:s, s:s, s:s}", "event", (json_int_t)t->event, "rule", info->title, "id", info->id,
	    "level", info->level, "what", what)) == 0 ? SP_OK : SP_ENOMEM;
}

static void
on_fire(const struct sp_corr_fire *f, void *arg)
{
	char what[512] = "counted", value[128];

	for (size_t i = 0; i < f->n_groups; i++) {
		size_t n = strlen(what);

		sp_escape((const char *)f->group[i].value.p, f->group[i].value.len, value, sizeof(value));
		sp_snprintf(what + n, sizeof(what) - n, " %s=%s", f->group[i].name, value);
	}
	(void)row_add(arg, f->rule, what);
}

static enum sp_err
event_of(struct ctl *c, const struct tried *t, const char *line, size_t len, struct sp_rules_event *ret)
{
	*ret = (struct sp_rules_event){ .category = ctl_local_str(c, "category"), .product = ctl_local_str(c, "product"), .service = ctl_local_str(c, "service"),
	    .json = line, .json_len = len };
	ret->any_source = ret->category == NULL && ret->product == NULL && ret->service == NULL;
	return SP_OK;
}

/* The event's own time; without one, a second after the event before. */
static int64_t
event_time(const struct tried *t, int64_t before)
{
	struct sp_view v;
	char text[48];
	int64_t us;

	if (!sp_rules_value(t->s, TIME_FIELD, 0, &v) || v.len >= sizeof(text))
		return before + INT64_C(1000000);
	memcpy(text, v.p, v.len);
	text[v.len] = '\0';
	return sp_rfc3339_parse(text, &us) == SP_OK ? us : before + INT64_C(1000000);
}

static enum sp_err
test_event(struct ctl *c, struct tried *t, const struct sp_rules_event *ev, int64_t *time_us)
{
	struct sp_rules_hits hits;
	enum sp_err r = sp_rules_eval(t->s, ev, &hits);

	if (r != SP_OK)
		return ctl_fail(c, r, "event %zu: %s", t->event, r == SP_EFORMAT ? "not a JSON object" : sp_err_text(r));
	for (size_t i = 0; i < hits.n && r == SP_OK; i++)
		r = row_add(t, hits.rule[i], hits.unknown[i] ? "matches what is unknown" : "matches");
	*time_us = event_time(t, *time_us);
	return r == SP_OK ? sp_corr_feed(t->corr, t->s, &hits, *time_us, t->event, on_fire, t) : r;
}

static enum sp_err
explain_event(struct ctl *c, struct tried *t, const struct sp_rules_event *ev, int64_t *time_us)
{
	enum sp_err r = SP_OK;

	for (size_t i = 0; i < sp_rules_n(t->set) && r == SP_OK; i++) {
		const struct sp_rules_info *info = sp_rules_info(t->set, i);
		struct sp_buf b;
		int match = 0;
		char title[256];

		if (info->kind != SP_RULES_DETECTION)
			continue;
		sp_buf_init(&b, EXPLAIN_MAX);
		if ((r = sp_rules_explain(t->s, i, ev, &b, &match)) != SP_OK)
			r = ctl_fail(c, r, "event %zu: %s", t->event, r == SP_EFORMAT ? "not a JSON object" : sp_err_text(r));
		else if (c->json)
			json_array_append_new(t->rows, json_pack("{s:I, s:s, s:s, s:b, s:s}", "event", (json_int_t)t->event, "rule", info->title, "id", info->id,
			    "match", match, "text", sp_buf_cstr(&b)));
		else
			fprintf(c->out, "event %zu, %s: %s\n%s", t->event, sp_escape(info->title, strlen(info->title), title, sizeof(title)),
			    match ? "matches" : "does not match", sp_buf_cstr(&b));
		c->failed |= !match;
		sp_buf_release(&b);
	}
	return r;
}

/* Events are JSON objects, one a line. */
static enum sp_err
each_event(struct ctl *c, struct tried *t, enum sp_err (*fn)(struct ctl *, struct tried *, const struct sp_rules_event *, int64_t *))
{
	const char *path = ctl_local_str(c, "event"), *p, *end;
	struct sp_rules_event ev;
	int64_t time_us = 0;
	enum sp_err r;

	sp_buf_init(&t->text, (size_t)1 << 30);
	if ((r = read_file(c, path, &t->text)) != SP_OK)
		return r;
	p = sp_buf_cstr(&t->text);
	for (end = p + t->text.len; p < end && r == SP_OK;) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t len = nl != NULL ? (size_t)(nl - p) : (size_t)(end - p);

		if (len > strspn(p, " \t\r")) {
			t->event++;
			if ((r = event_of(c, t, p, len, &ev)) == SP_OK)
				r = fn(c, t, &ev, &time_us);
		}
		p += len + (nl != NULL);
	}
	return r == SP_OK && t->event == 0 ? ctl_fail(c, SP_EFORMAT, "%s: no event in it", path) : r;
}

static enum sp_err
test_run(struct ctl *c)
{
	struct tried t = { .rows = json_array() };
	enum sp_err r = load_all(c, &t);

	if (r == SP_OK && (r = each_event(c, &t, test_event)) == SP_OK) {
		c->failed = json_array_size(t.rows) == 0;
		r = ctl_show(c, t.rows);
	}
	tried_release(&t);
	return r;
}

static enum sp_err
explain_rule_run(struct ctl *c)
{
	struct tried t = { .rows = json_array() };
	enum sp_err r = load_all(c, &t);

	if (r == SP_OK && (r = each_event(c, &t, explain_event)) == SP_OK && c->json)
		r = ctl_print_json(c, t.rows);
	tried_release(&t);
	return r;
}

/* ---- tables ---- */

static const struct ctl_opt rules_args[] = {
	{ "FILE", CTL_LIST, .complete = "file", .flags = CTL_LOCAL, .help = "files with rules" },
	CTL_END
};
static const struct ctl_opt event_opts[] = {
	{ "event", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL | CTL_REQUIRED, .help = "events, one JSON object a line (- is standard input)" },
	{ "category", CTL_STR, .value = "NAME", .flags = CTL_LOCAL, .help = "log source of the events: its category" },
	{ "product", CTL_STR, .value = "NAME", .flags = CTL_LOCAL, .help = "log source of the events: its product" },
	{ "service", CTL_STR, .value = "NAME", .flags = CTL_LOCAL, .help = "log source of the events: its service" },
	CTL_END
};
static const struct ctl_col test_cols[] = {
	{ "event", "EVENT", .flags = CTL_COL_RIGHT },
	{ "rule", "RULE" },
	{ "level", "LEVEL" },
	{ "what", "WHAT" },
	{ "id", "ID", .flags = CTL_COL_EXTRA },
	{ NULL }
};
static const struct ctl_cmd rules_cmds[] = {
	{ "lint", "load rules and say what is wrong with them", .args = rules_args, .run = lint_run,
	  .more = "Every file that does not load is named with line and reason; all are loaded together, so references between them must fit." },
	{ "test", "judge events by rules, correlations included", .args = rules_args, .opts = event_opts, .show = CTL_ROWS, .cols = test_cols,
	  .empty = "No rule matches.", .run = test_run,
	  .more = "Without a log source the events are judged by all rules. The time of an event is its @timestamp (RFC 3339), else one second after the "
	      "one before. Exit status 1 if nothing matches." },
	{ "explain", "say why rules match events, or not", .args = rules_args, .opts = event_opts, .run = explain_rule_run,
	  .more = "Each condition as a tree: yes, no or unknown for every part, with what was wanted and what the event has. Exit status 1 unless all match." },
	{ NULL }
};
const struct ctl_noun ctl_noun_rules = { "rules", "Sigma rules, tried on files without an installation", rules_cmds };
