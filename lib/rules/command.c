/* lib/rules/command.c - command lines against rules: simple commands become events, hits become one verdict. See command.h. */
#include "rules/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/attr.h"

#define US_PER_S	INT64_C(1000000)
#define DAY_S		86400
#define PLACE_FIELDS	32	/* fields that are the same for every command of a line, lists aside */

struct rule {
	struct sp_uuid	 id;
	char		*name, *set, *message;
	int		 priority, action, shadow;
	int64_t		 expires_us;
};
struct fields {			/* of one event */
	struct sp_rules_field	*v;
	size_t			 n, cap;
	int			 failed;	/* out of memory */
};
struct sp_commands {
	struct sp_rules_builder	*builder;
	struct sp_rules		*rules;
	struct sp_rules_scratch	*scratch;
	struct rule		*rule;
	size_t			 n, cap;
	char			*place_text;	/* what the fields of the place point to */
	struct fields		 place;
	struct fields		 event;
	int			 mode, refuse_uncertain, tz_offset_s;
	struct sp_cmdline	 line;
};

static const struct {
	const char	*word;
	int		 action;
} actions[] = {
	{ "allow", SP_COMMAND_ALLOW }, { "warn", SP_COMMAND_WARN }, { "alert", SP_COMMAND_ALERT }, { "deny", SP_COMMAND_DENY },
	{ "kill", SP_COMMAND_KILL }
};

int
sp_command_action_of(const char *word)
{
	for (size_t i = 0; i < SP_NELEMS(actions); i++)
		if (strcmp(actions[i].word, word) == 0)
			return actions[i].action;
	return 0;
}

const char *
sp_command_action_word(int action)
{
	for (size_t i = 0; i < SP_NELEMS(actions); i++)
		if (actions[i].action == action)
			return actions[i].word;
	return NULL;
}

/* ---- making it */

enum sp_err
sp_commands_new(struct sp_commands **ret)
{
	struct sp_commands *c = calloc(1, sizeof(*c));
	enum sp_err r;

	if (c == NULL)
		return SP_ENOMEM;
	c->mode = SP_COMMAND_BLACK;
	if ((r = sp_rules_builder_new(NULL, &c->builder)) != SP_OK) {
		sp_commands_free(c);
		return r;
	}
	*ret = c;
	return SP_OK;
}

void
sp_commands_free(struct sp_commands *c)
{
	if (c == NULL)
		return;
	sp_rules_scratch_free(c->scratch);
	sp_rules_free(c->rules);
	sp_rules_builder_free(c->builder);
	for (size_t i = 0; i < c->n; i++) {
		free(c->rule[i].name);
		free(c->rule[i].set);
		free(c->rule[i].message);
	}
	free(c->rule);
	free(c->place_text);
	free(c->place.v);
	free(c->event.v);
	sp_cmdline_release(&c->line);
	free(c);
}

static enum sp_err
say(struct sp_rules_error *err, const struct sp_command_rule *rule, unsigned line, const char *why)
{
	*err = (struct sp_rules_error){ .line = line };
	(void)sp_strlcpy(err->file, rule->name, sizeof(err->file));
	(void)sp_strlcpy(err->why, why, sizeof(err->why));
	return SP_EFORMAT;
}

/* A rule by itself: it must be one detection, and its action must fit what it looks at. */
static enum sp_err
rule_check(const struct sp_command_rule *rule, struct sp_rules_error *err)
{
	struct sp_rules_builder *b = NULL;
	struct sp_rules *one = NULL;
	const char *unknown;
	enum sp_err r;

	if (rule->priority < 1 || rule->priority > 100)
		return say(err, rule, 0, "the priority is a number from 1 to 100");
	if (sp_command_action_word(rule->action) == NULL)
		return say(err, rule, 0, "there is no such action");
	if (rule->len > SP_COMMAND_RULE_MAX)
		return say(err, rule, 0, "longer than 16 KiB");
	if ((r = sp_rules_builder_new(NULL, &b)) != SP_OK)
		return r;
	if ((r = sp_rules_builder_add(b, rule->name, rule->text, rule->len, err)) == SP_OK &&
	    (r = sp_rules_compile(b, err, &one)) == SP_OK) {
		if (sp_rules_n(one) != 1 || sp_rules_info(one, 0)->kind != SP_RULES_DETECTION)
			r = say(err, rule, 0, "a command rule is exactly one Sigma rule with a detection");
		else if (rule->action == SP_COMMAND_ALLOW && sp_rules_reads(one, 0, "Line"))
			r = say(err, rule, sp_rules_info(one, 0)->line, "a rule that allows cannot look at Line: what else stands on the line "
			    "would pass with it; use CommandLine");
		else if (rule->action == SP_COMMAND_ALLOW && (unknown = sp_rules_attr(one, 0, "sallyport.unknown")) != NULL &&
		    strcmp(unknown, "match") == 0)
			r = say(err, rule, sp_rules_info(one, 0)->line, "a rule that allows cannot allow what is unknown");
	}
	sp_rules_free(one);
	sp_rules_builder_free(b);
	return r;
}

enum sp_err
sp_commands_add(struct sp_commands *c, const struct sp_command_rule *rule, struct sp_rules_error *err)
{
	struct rule copy = { .id = rule->id, .priority = rule->priority, .action = rule->action, .shadow = rule->shadow,
	    .expires_us = rule->expires_us };
	enum sp_err r;

	if (c->n == SP_COMMANDS_MAX)
		return SP_EFULL;
	if (c->n == c->cap) {
		size_t cap = c->cap > 0 ? c->cap * 2 : 16;
		struct rule *v = realloc(c->rule, cap * sizeof(*v));

		if (v == NULL)
			return SP_ENOMEM;
		c->rule = v;
		c->cap = cap;
	}
	if ((r = rule_check(rule, err)) != SP_OK)
		return r;
	copy.name = strdup(rule->name);
	copy.set = strdup(rule->set);
	copy.message = strdup(rule->message);
	if (copy.name == NULL || copy.set == NULL || copy.message == NULL)
		r = SP_ENOMEM;
	else
		r = sp_rules_builder_add(c->builder, rule->name, rule->text, rule->len, err);
	if (r != SP_OK) {
		free(copy.name);
		free(copy.set);
		free(copy.message);
		return r;
	}
	c->rule[c->n++] = copy;
	return SP_OK;
}

enum sp_err
sp_commands_ready(struct sp_commands *c, struct sp_rules_error *err)
{
	enum sp_err r = sp_rules_compile(c->builder, err, &c->rules);

	if (r == SP_OK)
		r = sp_rules_scratch_new(c->rules, &c->scratch);
	if (r == SP_OK && sp_rules_n(c->rules) != c->n)
		r = SP_EINTERNAL;		/* hits would name other rules */
	sp_rules_builder_free(c->builder);
	c->builder = NULL;
	return r;
}

size_t
sp_commands_n(const struct sp_commands *c)
{
	return c->n;
}

void
sp_commands_rule(const struct sp_commands *c, int i, struct sp_command_said *ret)
{
	const struct rule *r = &c->rule[i];

	*ret = (struct sp_command_said){ r->id, r->name, r->set, r->message, r->action, r->priority };
}

/* ---- fields */

static void
field_put(struct fields *f, const char *name, const char *value, size_t len, enum sp_rules_type type)
{
	if (f->n == f->cap) {
		size_t cap = f->cap > 0 ? f->cap * 2 : 64;
		struct sp_rules_field *v = realloc(f->v, cap * sizeof(*v));

		if (v == NULL) {
			f->failed = 1;
			return;
		}
		f->v = v;
		f->cap = cap;
	}
	f->v[f->n++] = (struct sp_rules_field){ name, value, len, type };
}

static void
field_text(struct fields *f, const char *name, const char *value)
{
	field_put(f, name, value, strlen(value), SP_RULES_TEXT);
}

/* A text that may be unknown. */
static void
field_known(struct fields *f, const char *name, const char *value)
{
	if (value == NULL || *value == '\0')
		field_put(f, name, NULL, 0, SP_RULES_UNKNOWN);
	else
		field_text(f, name, value);
}

/* Copies of the place's texts, one behind the other; and the fields that point to them. */
struct copier {
	struct fields	*f;
	char		*at;		/* NULL: only count */
	size_t		 need;
};

static void
copy_text(struct copier *k, const char *name, const char *s)
{
	size_t n = s != NULL ? strlen(s) + 1 : 0;

	k->need += n;
	if (n <= 1 || k->at == NULL)
		return;
	memcpy(k->at, s, n);
	field_text(k->f, name, k->at);
	k->at += n;
}

static void
copy_list(struct copier *k, const char *name, const char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		copy_text(k, name, v[i]);
}

static void
copy_place(struct copier *k, const struct sp_command_place *p, const char *port)
{
	const struct {
		const char	*name, *value;
	} texts[] = {
		{ "user.name", p->user }, { "user.role", p->role }, { "asset.name", p->asset },
		{ "account.name", p->account }, { "account.login", p->login }, { "source.ip", p->source }, { "port", port }
	};

	for (size_t i = 0; i < SP_NELEMS(texts); i++)
		copy_text(k, texts[i].name, texts[i].value);
	copy_list(k, "user.groups", p->group, p->groups);
	copy_list(k, "user.department", p->department, p->departments);
	copy_list(k, "asset.groups", p->asset_group, p->asset_groups);
	copy_list(k, "asset.tags", p->tag, p->tags);
}

enum sp_err
sp_commands_place(struct sp_commands *c, const struct sp_command_place *p)
{
	struct fields none = { 0 };
	struct copier count = { &none, NULL, 0 }, copy = { &c->place, NULL, 0 };
	char port[16], *text;

	sp_snprintf(port, sizeof(port), "%u", p->port);
	copy_place(&count, p, port);
	if ((text = malloc(count.need + 1)) == NULL)
		return SP_ENOMEM;
	free(c->place_text);
	c->place_text = copy.at = text;
	c->place.n = 0;
	copy_place(&copy, p, port);
	c->mode = p->mode;
	c->refuse_uncertain = p->refuse_uncertain;
	c->tz_offset_s = p->tz_offset_s;
	return c->place.failed ? SP_ENOMEM : SP_OK;
}

/* ---- one simple command as an event */

static void
put_words(struct fields *f, const struct sp_cmdline *l, const struct sp_cmd *c)
{
	static const char *const by_kind[] = {
		[SP_CMDWORD_ASSIGN] = "Assigns", [SP_CMDWORD_NAME] = "Name", [SP_CMDWORD_ARG] = "Args", [SP_CMDWORD_READ] = "Reads",
		[SP_CMDWORD_WRITE] = "Writes", [SP_CMDWORD_HERE] = "Here"
	};

	for (uint32_t w = c->first; w != SP_CMDLINE_NONE; w = l->word[w].next) {
		const struct sp_cmdword *k = &l->word[w];
		struct sp_view v = sp_cmdline_view(l, k->off, k->len);

		field_put(f, by_kind[k->kind], (const char *)v.p, v.len, SP_RULES_TEXT);
		if (k->kind == SP_CMDWORD_NAME || k->kind == SP_CMDWORD_ARG)
			field_put(f, "words", (const char *)v.p, v.len, SP_RULES_TEXT);
	}
	if (c->flags & SP_CMD_MORE)
		field_put(f, "Args", NULL, 0, SP_RULES_UNKNOWN);
}

static void
put_name(struct fields *f, const char *field, const struct sp_cmdline *l, const struct sp_cmd *c)
{
	struct sp_view v = sp_cmdline_view(l, c->name, c->name_len);

	if (c->flags & SP_CMD_UNKNOWN)
		field_put(f, field, NULL, 0, SP_RULES_UNKNOWN);
	else if (c->name_len > 0)
		field_put(f, field, (const char *)v.p, v.len, SP_RULES_TEXT);
}

/* The commands before and behind it in its pipeline. */
static void
put_pipe(struct fields *f, const struct sp_cmdline *l, size_t at)
{
	for (size_t i = 0; i < l->n; i++)
		if (i != at && l->cmd[i].pipeline == l->cmd[at].pipeline)
			put_name(f, i < at ? "PipeFrom" : "PipeTo", l, &l->cmd[i]);
}

/* Image: an absolute path as it was typed, else the name below /usr/bin, where rules of others look for it. */
static void
put_image(struct fields *f, const struct sp_cmdline *l, const struct sp_cmd *c, char *image, size_t size)
{
	if (c->flags & SP_CMD_UNKNOWN)
		field_put(f, "Image", NULL, 0, SP_RULES_UNKNOWN);
	else if (c->name_len > 0) {
		sp_snprintf(image, size, "%s%s", memchr(l->text + c->name, '/', c->name_len) != NULL ? "" : "/usr/bin/", l->text + c->name);
		field_text(f, "Image", image);
	}
}

struct when {
	char	hour[4], day[4], clock[8];
};

static void
put_when(struct fields *f, const struct sp_commands *c, int64_t now_us, struct when *w)
{
	static const char *const days[] = { "thu", "fri", "sat", "sun", "mon", "tue", "wed" };	/* 1970-01-01 was a Thursday */
	int64_t s = now_us / US_PER_S + c->tz_offset_s;
	int64_t day = s >= 0 ? s / DAY_S : 0, in = s >= 0 ? s % DAY_S : 0;

	sp_snprintf(w->hour, sizeof(w->hour), "%d", (int)(in / 3600));
	sp_snprintf(w->clock, sizeof(w->clock), "%02d:%02d", (int)(in / 3600), (int)(in % 3600 / 60));
	field_text(f, "time.hour", w->hour);
	field_text(f, "time.clock", w->clock);
	field_text(f, "time.day", days[day % 7]);
}

static void
event_make(struct sp_commands *c, const struct sp_command_line *line, size_t at, char *image, size_t image_size, struct when *when)
{
	const struct sp_cmdline *l = &c->line;
	const struct sp_cmd *cmd = &l->cmd[at];
	struct sp_view own = sp_cmdline_view(l, cmd->line, cmd->line_len), as = sp_cmdline_view(l, cmd->user, cmd->user_len);
	struct fields *f = &c->event;

	f->n = 0;
	for (size_t i = 0; i < c->place.n; i++)
		field_put(f, c->place.v[i].name, c->place.v[i].value, c->place.v[i].len, c->place.v[i].type);
	field_put(f, "CommandLine", (const char *)own.p, own.len, SP_RULES_TEXT);
	field_put(f, "Line", line->text, line->len, SP_RULES_TEXT);
	put_name(f, "Command", l, cmd);
	put_image(f, l, cmd, image, image_size);
	put_words(f, l, cmd);
	put_pipe(f, l, at);
	if (as.len > 0)
		field_put(f, "User", (const char *)as.p, as.len, SP_RULES_TEXT);
	else
		field_known(f, "User", line->user);
	field_known(f, "CurrentDirectory", cmd->flags & SP_CMD_ELSEWHERE ? NULL : line->directory);
	field_text(f, "Given", cmd->flags & SP_CMD_GIVEN ? "true" : "false");
	field_text(f, "Elsewhere", cmd->flags & SP_CMD_ELSEWHERE ? "true" : "false");
	field_text(f, "certain", line->uncertain ? "false" : "true");
	field_text(f, "protocol", line->protocol);
	put_when(f, c, line->now_us, when);
}

/* ---- the verdict */

/* Does rule a come before rule b? */
static int
before(const struct rule *a, const struct rule *b)
{
	return a->priority != b->priority ? a->priority < b->priority : a->action > b->action;
}

/* The rule that decides among the hits, of those in shadow or of the others; -1: none. */
static int
decide(const struct sp_commands *c, const struct sp_rules_hits *h, int64_t now_us, int shadow)
{
	int best = -1;

	for (size_t i = 0; i < h->n; i++) {
		const struct rule *r = &c->rule[h->rule[i]];

		if ((r->shadow != 0) != shadow || (r->expires_us != 0 && now_us >= r->expires_us) ||
		    (r->action == SP_COMMAND_ALLOW && h->unknown != NULL && h->unknown[i]))
			continue;
		if (best == -1 || before(r, &c->rule[best]))
			best = (int)h->rule[i];
	}
	return best;
}

static void
word_of(const struct sp_commands *c, const struct sp_command_line *line, size_t at, char word[SP_COMMAND_WORD_MAX + 1])
{
	const struct sp_cmd *cmd = at < c->line.n ? &c->line.cmd[at] : NULL;
	const char *s = cmd == NULL ? line->text : cmd->name_len > 0 ? c->line.text + cmd->name : c->line.text + cmd->line;
	size_t n = cmd == NULL ? line->len : cmd->name_len > 0 ? cmd->name_len : cmd->line_len;

	if (n > SP_COMMAND_WORD_MAX / 4)
		n = SP_COMMAND_WORD_MAX / 4;		/* escaped, a byte may become four */
	(void)sp_escape(s, n, word, SP_COMMAND_WORD_MAX + 1);
}

static void
deny(const struct sp_commands *c, const struct sp_command_line *line, struct sp_command_verdict *v)
{
	v->action = SP_COMMAND_DENY;
	v->rule = -1;
	word_of(c, line, c->line.n > 0 ? 0 : SIZE_MAX, v->word);
}

/* Judge the i-th simple command; 0: it cannot be. */
static int
judge_one(struct sp_commands *c, const struct sp_command_line *line, size_t at, struct sp_command_verdict *v)
{
	char image[4096];
	struct when when;
	struct sp_rules_event ev = { .any_source = 1, .raw = line->text, .raw_len = line->len };
	struct sp_rules_hits hits;
	int rule, shadow, action;

	event_make(c, line, at, image, sizeof(image), &when);
	ev.field = c->event.v;
	ev.n_fields = c->event.n;
	if (c->event.failed || sp_rules_eval(c->scratch, &ev, &hits) != SP_OK)
		return 0;
	rule = decide(c, &hits, line->now_us, 0);
	shadow = decide(c, &hits, line->now_us, 1);
	if (shadow >= 0 && (rule < 0 || before(&c->rule[shadow], &c->rule[rule])) &&
	    (v->shadow < 0 || before(&c->rule[shadow], &c->rule[v->shadow])))
		v->shadow = shadow;
	action = rule >= 0 ? c->rule[rule].action : c->mode == SP_COMMAND_WHITE ? SP_COMMAND_DENY : SP_COMMAND_ALLOW;
	if (action > v->action || (action == v->action && v->rule < 0 && rule >= 0)) {
		v->action = action;
		v->rule = rule;
		word_of(c, line, at, v->word);
	}
	return 1;
}

/* Words that no shell would run before more comes, or that are none: an empty line, a comment. */
static int
is_empty(const char *s, size_t n)
{
	size_t i = 0;

	while (i < n && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n'))
		i++;
	return i == n;
}

void
sp_commands_judge(struct sp_commands *c, const struct sp_command_line *line, struct sp_command_verdict *ret)
{
	struct sp_command_verdict v = { .action = SP_COMMAND_ALLOW, .rule = -1, .shadow = -1, .uncertain = line->uncertain != 0 };
	int judged = c->scratch != NULL;

	if (is_empty(line->text, line->len) && !line->uncertain) {
		*ret = v;
		return;
	}
	if (!judged || sp_cmdline_parse(&c->line, line->text, line->len) != SP_OK) {
		c->line.n = 0;
		v.uncertain = 1;
		deny(c, line, &v);
		*ret = v;
		return;
	}
	v.incomplete = (c->line.flags & SP_CMDLINE_INCOMPLETE) != 0;
	for (size_t i = 0; i < c->line.n && judged; i++)
		judged = judge_one(c, line, i, &v);
	if (c->line.flags & SP_CMDLINE_CUT) {
		v.uncertain = 1;
		judged = judged && c->mode == SP_COMMAND_BLACK;	/* nobody allowed what was not looked at */
	}
	if (!judged || (v.uncertain && v.action < SP_COMMAND_DENY && c->refuse_uncertain))
		deny(c, line, &v);
	*ret = v;
}
