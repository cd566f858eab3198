/* src/siem/judge.c - the rules in force and what they counted. Process: siem. Pure but for memory.
 *
 * An entry is judged as it is (product sallyport, service audit; nested members as "more.rule"), and one that tells of a command
 * a second time as the start of a process on Linux (category process_creation), so that rules written for hosts see it.
 * Invariants: (1) the same entries in the same order give the same alerts: time is the time of the entries, never a clock. So a
 * restart that judges some of them again raises nothing new. (2) Entries that tell of alerts and offenses are not judged: no rule
 * feeds itself. (3) A closed offense, a recovered user: counting begins anew, by the entry that says so. */
#include "siem/judge.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

struct judge {
	struct sp_rules_builder	*next;		/* being loaded */
	struct sp_rules_builder	*builder;
	struct sp_rules		*rules;
	struct sp_rules_scratch	*scratch;
	struct sp_corr		*corr;
};
struct judging {			/* one entry */
	struct judge		*j;
	uint64_t		 seq;
	int64_t			 at_us;
	const json_t		*entry;
	judge_fn		*fn;
	void			*arg;
};

enum sp_err
judge_new(struct judge **ret)
{
	struct judge *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return SP_ENOMEM;
	*ret = j;
	return SP_OK;
}

static void
rules_release(struct judge *j)
{
	sp_corr_free(j->corr);
	sp_rules_scratch_free(j->scratch);
	sp_rules_free(j->rules);
	sp_rules_builder_free(j->builder);
	j->corr = NULL;
	j->scratch = NULL;
	j->rules = NULL;
	j->builder = NULL;
}

void
judge_free(struct judge *j)
{
	if (j == NULL)
		return;
	sp_rules_builder_free(j->next);
	rules_release(j);
	free(j);
}

/* ---- rules ---- */

enum sp_err
judge_begin(struct judge *j)
{
	static const struct sp_rules_opts opts = { .index = &sp_rules_vectorscan };

	sp_rules_builder_free(j->next);
	j->next = NULL;
	return sp_rules_builder_new(&opts, &j->next);
}

enum sp_err
judge_rule(struct judge *j, const char *name, const char *text, struct sp_rules_error *err)
{
	return sp_rules_builder_add(j->next, name, text, strlen(text), err);
}

/* Everything of the new set, or nothing. */
static enum sp_err
set_make(struct judge *j, struct judge *next, struct sp_rules_error *err, size_t *ret_dropped)
{
	sp_auto(sp_buf_release) struct sp_buf was = { .max = (size_t)1 << 30 };
	enum sp_err r;

	next->builder = j->next;
	j->next = NULL;
	if ((r = sp_rules_compile(next->builder, err, &next->rules)) != SP_OK ||
	    (r = sp_rules_scratch_new(next->rules, &next->scratch)) != SP_OK ||
	    (r = sp_corr_new(next->rules, NULL, &next->corr)) != SP_OK)
		return r;
	*ret_dropped = 0;
	if (j->corr == NULL)
		return SP_OK;
	if ((r = sp_corr_save(j->corr, &was)) != SP_OK)
		return r;
	return sp_corr_load(next->corr, was.p, was.len, ret_dropped);
}

enum sp_err
judge_ready(struct judge *j, struct sp_rules_error *err, size_t *ret_dropped)
{
	struct judge next = { 0 };
	enum sp_err r = set_make(j, &next, err, ret_dropped);

	if (r == SP_OK) {
		rules_release(j);
		*j = next;
	} else
		rules_release(&next);
	return r;
}

/* ---- what was counted ---- */

enum sp_err
judge_save(const struct judge *j, struct sp_buf *ret)
{
	return j->corr != NULL ? sp_corr_save(j->corr, ret) : SP_OK;
}

enum sp_err
judge_load(struct judge *j, const void *p, size_t n, size_t *ret_dropped)
{
	return n > 0 ? sp_corr_load(j->corr, p, n, ret_dropped) : SP_OK;
}

void
judge_stats(const struct judge *j, struct sp_corr_stats *ret)
{
	*ret = (struct sp_corr_stats){ 0 };
	if (j->corr != NULL)
		sp_corr_stats(j->corr, ret);
}

/* ---- alerts ---- */

static void
alert_init(const struct judging *g, size_t rule, struct judge_alert *a)
{
	const struct sp_rules_info *in = sp_rules_info(g->j->rules, rule);

	*a = (struct judge_alert){ .rule = in->file, .line = in->line, .entry = g->seq, .at_us = g->at_us };
}

static void
value_set(char *dst, const void *p, size_t n)
{
	const uint8_t *b = p;

	if (n >= JUDGE_VALUE)
		for (n = JUDGE_VALUE - 1; n > 0 && (b[n] & 0xc0) == 0x80; n--)
			;		/* not in the middle of a character */
	if (n > 0)
		memcpy(dst, p, n);
	dst[n] = '\0';
}

static void
on_fire(const struct sp_corr_fire *f, void *arg)
{
	const struct judging *g = arg;
	struct judge_alert a;

	alert_init(g, f->rule, &a);
	for (size_t i = 0; i < f->n_groups && a.n < JUDGE_PROPERTIES; i++) {
		a.property[a.n] = f->group[i].name;
		value_set(a.value[a.n++], f->group[i].value.p, f->group[i].value.len);
	}
	a.events = f->event;
	a.n_events = f->n_events;
	g->fn(&a, g->arg);
}

/* A rule that no correlation hides: about what it names itself, the user if it names nothing. */
static void
on_hit(const struct judging *g, uint32_t rule)
{
	const char *property = sp_rules_attr(g->j->rules, rule, "sallyport.property"), *v;
	struct judge_alert a;

	if (sp_rules_info(g->j->rules, rule)->silent)
		return;
	alert_init(g, rule, &a);
	if (property == NULL)
		property = "user_id";
	if ((v = json_string_value(json_object_get(g->entry, property))) != NULL) {
		a.property[a.n] = property;
		value_set(a.value[a.n++], v, strlen(v));
	}
	a.events = &g->seq;
	a.n_events = 1;
	g->fn(&a, g->arg);
}

/* ---- entries ---- */

static const char *
text_at(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static enum sp_err
judge_event(struct judging *g, const struct sp_rules_event *ev)
{
	struct sp_rules_hits hits;
	enum sp_err r = sp_rules_eval(g->j->scratch, ev, &hits);

	if (r != SP_OK)
		return r;
	for (size_t i = 0; i < hits.n; i++)
		on_hit(g, hits.rule[i]);
	return sp_corr_feed(g->j->corr, g->j->scratch, &hits, g->at_us, g->seq, on_fire, g);
}

/* The line of a command that ran, NULL: the entry tells of none. An exec request says it where its channel begins. */
static const char *
command_line(const json_t *more)
{
	const json_t *body = json_object_get(more, "body");
	const char *event = text_at(more, "event"), *type = text_at(body, "type");

	if (event == NULL)
		return NULL;
	if (strcmp(event, "channel") == 0)
		return type != NULL && strcmp(type, "exec") == 0 ? text_at(body, "detail") : NULL;
	return strcmp(event, "command") == 0 ? text_at(body, "text") : NULL;
}

/* A command of a session, as hosts tell of a process. */
static enum sp_err
judge_command(struct judging *g)
{
	const char *line = command_line(json_object_get(g->entry, "more"));
	struct sp_rules_field f[8];
	struct sp_rules_event ev = { .category = "process_creation", .product = "linux", .field = f };
	static const char *const same[] = { "user_id", "asset_id", "session", "source", "actor" };

	if (line == NULL)
		return SP_OK;
	f[ev.n_fields++] = (struct sp_rules_field){ "CommandLine", line, strlen(line), SP_RULES_TEXT };
	for (size_t i = 0; i < SP_NELEMS(same); i++) {
		const char *v = text_at(g->entry, same[i]);

		if (v != NULL)
			f[ev.n_fields++] = (struct sp_rules_field){ same[i], v, strlen(v), SP_RULES_TEXT };
	}
	return judge_event(g, &ev);
}

static void
forget(struct judge *j, const char *rule, const char *name, const char *value)
{
	if (name != NULL && value != NULL)
		(void)sp_corr_forget(j->corr, rule, name, value, strlen(value));
}

/* Entries after which counting begins anew. */
static void
judge_forget(struct judging *g, const char *kind)
{
	const json_t *more = json_object_get(g->entry, "more");

	const char *reason = text_at(more, "reason");

	if (strcmp(kind, "offense.close") == 0 && (reason == NULL || strcmp(reason, "time") != 0))
		forget(g->j, NULL, text_at(more, "property"), text_at(more, "value"));
	else if (strcmp(kind, "user.recover") == 0 || strcmp(kind, "user.enable") == 0)
		forget(g->j, NULL, "user_id", text_at(g->entry, "user_id"));
}

static int
is_own(const char *kind)
{
	return strncmp(kind, "alert.", 6) == 0 || strncmp(kind, "offense.", 8) == 0 || strncmp(kind, "response.", 9) == 0;
}

/* What a user asked for and is no text stands in the log as base64; rules see its bytes: one odd byte behind a command hides nothing. */
static enum sp_err
detail_bytes(const json_t *entry, struct sp_buf *ret)
{
	const char *s = text_at(json_object_get(json_object_get(entry, "more"), "detail"), "base64");
	enum sp_err r = s != NULL ? sp_base64_parse(ret, s, strlen(s)) : SP_OK;

	return r == SP_EFORMAT ? SP_OK : r;
}

static enum sp_err
judge_parsed(struct judging *g, const char *entry, size_t n)
{
	const char *kind = text_at(g->entry, "kind"), *wall = text_at(g->entry, "wall");
	struct sp_rules_field detail = { .name = "more.detail" };
	struct sp_rules_event ev = { .product = "sallyport", .service = "audit", .json = entry, .json_len = n, .field = &detail };
	sp_auto(sp_buf_release) struct sp_buf bytes = { .max = n };
	enum sp_err r;

	if (kind == NULL || wall == NULL || sp_rfc3339_parse(wall, &g->at_us) != SP_OK)
		return SP_EFORMAT;
	if (g->j->rules == NULL)
		return SP_OK;
	judge_forget(g, kind);
	if (is_own(kind))
		return SP_OK;
	if ((r = detail_bytes(g->entry, &bytes)) != SP_OK)
		return r;
	detail.value = (const char *)bytes.p;
	detail.len = bytes.len;
	ev.n_fields = bytes.len > 0;
	if ((r = sp_corr_tick(g->j->corr, g->at_us, on_fire, g)) == SP_OK)
		r = judge_event(g, &ev);
	return r == SP_OK && strcmp(kind, "session.event") == 0 ? judge_command(g) : r;
}

enum sp_err
judge_entry(struct judge *j, uint64_t seq, const char *entry, size_t n, judge_fn *fn, void *arg)
{
	struct judging g = { .j = j, .seq = seq, .fn = fn, .arg = arg };
	json_t *o = json_loadb(entry, n, 0, NULL);
	enum sp_err r;

	g.entry = o;
	r = json_is_object(o) ? judge_parsed(&g, entry, n) : SP_EFORMAT;
	json_decref(o);
	return r;
}
