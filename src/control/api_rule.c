/* src/control/api_rule.c - command rules: named sets of them, what a set is applied to, and what a grant makes of commands that no
 * rule names. A rule that does not compile is refused when it is saved. Changes are in force in live sessions at once (rejudge.c). */
#include "control/api.h"

#include <stdlib.h>
#include <string.h>

#include "control/cmdrules.h"
#include "control/methods.h"
#include "control/pack.h"
#include "control/wall.h"
#include "rules/command.h"

struct rows {
	struct api_call	*c;
	struct sp_store	*s;
	json_t		*out;
	size_t		 seen;
	int		 whole;		/* with the rule's text */
};

static const char *const states[] = { NULL, "on", "off", "shadow" };
static const char *const use_words[] = { NULL, "everyone", "user", "group", "department", "asset", "asset_group", "account" };

/* ---- sets ---- */

static enum sp_err
set_find(struct api_call *c, struct sp_store *s, const char *key, struct sp_store_rule_set *ret)
{
	char text[SP_STORE_NAME_MAX + 1] = "";
	struct sp_uuid id;
	enum sp_err r;

	if ((r = api_str(c, key, 1, text, sizeof(text))) != SP_OK)
		return r;
	if ((r = sp_store_rule_set_by_name(s, text, ret)) == SP_ENOENT && sp_uuid_parse(text, &id) == SP_OK)
		r = sp_store_rule_set_get(s, &id, ret);
	if (r == SP_ENOENT)
		return api_fail(c, r, "there is no rule set \"%s\"", text);
	if (r != SP_OK)
		return api_store(c, r, text);
	c->object = ret->id;
	(void)sp_strlcpy(c->what, ret->name, sizeof(c->what));
	return SP_OK;
}

/* "user:alice", "account:root@web1", "everyone"; what is gone is "user:?". */
static void
use_text(struct sp_store *s, const struct sp_store_rule_use *u, char *dst, size_t size)
{
	union {
		struct sp_store_user		u;
		struct sp_store_group		g;
		struct sp_store_department	d;
		struct sp_store_asset		a;
		struct sp_store_asset_group	ag;
	} row;
	struct sp_store_account acc;
	const char *name = "?";

	switch (u->kind) {
	case SP_STORE_USE_EVERYONE:
		(void)sp_strlcpy(dst, "everyone", size);
		return;
	case SP_STORE_USE_USER:
		name = sp_store_user_get(s, &u->object_id, &row.u) == SP_OK ? row.u.login : name;
		break;
	case SP_STORE_USE_GROUP:
		name = sp_store_group_get(s, &u->object_id, &row.g) == SP_OK ? row.g.name : name;
		break;
	case SP_STORE_USE_DEPARTMENT:
		name = sp_store_department_get(s, &u->object_id, &row.d) == SP_OK ? row.d.name : name;
		break;
	case SP_STORE_USE_ASSET:
		name = sp_store_asset_get(s, &u->object_id, &row.a) == SP_OK ? row.a.name : name;
		break;
	case SP_STORE_USE_ASSET_GROUP:
		name = sp_store_asset_group_get(s, &u->object_id, &row.ag) == SP_OK ? row.ag.name : name;
		break;
	case SP_STORE_USE_ACCOUNT:
		if (sp_store_account_get(s, &u->object_id, &acc) == SP_OK && sp_store_asset_get(s, &acc.asset_id, &row.a) == SP_OK) {
			(void)sp_snprintf(dst, size, "account:%s@%s", acc.name, row.a.name);
			return;
		}
		break;
	default:
		break;
	}
	(void)sp_snprintf(dst, size, "%s:%s", u->kind > 0 && (size_t)u->kind < SP_NELEMS(use_words) ? use_words[u->kind] : "?", name);
}

static int
use_row(const struct sp_store_rule_use *u, void *arg)
{
	struct rows *r = arg;
	char text[2 * SP_STORE_NAME_MAX + 32];

	use_text(r->s, u, text, sizeof(text));
	json_array_append_new(r->out, json_string(text));
	return 0;
}

static int
count_rule(const struct sp_store_command_rule *row, void *arg)
{
	(void)row;
	(*(json_int_t *)arg)++;
	return 0;
}

static json_t *
set_object(struct sp_store *s, const struct sp_store_rule_set *set)
{
	struct sp_store_query q = { .of = set->id };
	struct rows uses = { .s = s, .out = json_array() };
	json_int_t n = 0;
	enum sp_err r = sp_store_rule_use_list(s, &q, use_row, &uses);

	if (r == SP_OK)
		(void)!sp_store_command_rule_list(s, &q, count_rule, &n);
	return json_pack("{s:o, s:s, s:s, s:I, s:o, s:o}", "id", api_id(&set->id), "name", set->name, "remark", set->remark, "rules", n,
	    "applied_to", uses.out, "created", api_at(set->created_us));
}

void
rule_set_add(struct api_call *c, struct sp_store *s)
{
	struct sp_store_rule_set set = { 0 };

	if (api_str(c, "name", 1, set.name, sizeof(set.name)) != SP_OK || api_str(c, "remark", 0, set.remark, sizeof(set.remark)) != SP_OK)
		return;
	if (!sp_name_is_ok(set.name, 128)) {
		(void)api_fail(c, SP_EINVAL, "the name of a rule set has no blanks at its ends, none of @ # %% : / \\ quotes, "
		    "and does not begin with - or .");
		return;
	}
	if (api_store(c, sp_store_rule_set_add(s, &set), set.name) != SP_OK)
		return;
	c->object = set.id;
	(void)sp_strlcpy(c->what, set.name, sizeof(c->what));
	c->out = set_object(s, &set);
}

static int
set_row(const struct sp_store_rule_set *set, void *arg)
{
	struct rows *r = arg;

	json_array_append_new(r->out, set_object(r->s, set));
	return 0;
}

void
rule_set_list(struct api_call *c, struct sp_store *s)
{
	struct rows r = { .s = s, .out = c->out = json_array() };
	struct sp_store_query q = { 0 };
	enum sp_err e;

	API_PAGES(c, q, json_array_size(c->out), e, sp_store_rule_set_list(s, &q, set_row, &r));
	(void)api_store(c, e, "rule sets");
}

void
rule_set_show(struct api_call *c, struct sp_store *s)
{
	struct sp_store_rule_set set;

	if (set_find(c, s, "name", &set) == SP_OK)
		c->out = set_object(s, &set);
}

void
rule_set_delete(struct api_call *c, struct sp_store *s)
{
	struct sp_store_rule_set set;

	if (set_find(c, s, "name", &set) != SP_OK || api_store(c, sp_store_rule_set_delete(s, &set.id, set.version), set.name) != SP_OK)
		return;
	c->rejudge = 1;
	c->out = json_pack("{s:s}", "name", set.name);
}

/* The one thing that the call names: a set is applied to it, or no longer. */
static enum sp_err
use_named(struct api_call *c, struct sp_store *s, struct sp_store_rule_use *u)
{
	union {
		struct sp_store_user		u;
		struct sp_store_group		g;
		struct sp_store_asset_group	ag;
	} row;
	struct sp_store_asset a;
	struct sp_store_account acc;
	const char *account = api_text(c, "account");
	enum sp_err r = SP_OK;
	int n = 0;

	for (size_t i = 1; i < SP_STORE_USE_ACCOUNT; i++)
		n += json_object_get(c->params, use_words[i]) != NULL;
	if (n != 1)
		return api_fail(c, SP_EUSAGE, "name one of: everyone, user, group, department, asset (with account, if it is for one), asset_group");
	if (json_is_true(json_object_get(c->params, "everyone"))) {
		u->kind = SP_STORE_USE_EVERYONE;
		u->object_id = sp_store_everyone;
	} else if (api_text(c, "user") != NULL) {
		r = api_user(c, s, "user", &row.u);
		u->kind = SP_STORE_USE_USER;
		u->object_id = row.u.id;
	} else if (api_text(c, "group") != NULL) {
		r = api_group(c, s, "group", &row.g);
		u->kind = SP_STORE_USE_GROUP;
		u->object_id = row.g.id;
	} else if (api_text(c, "department") != NULL) {
		r = api_department(c, s, "department", &u->object_id);
		u->kind = SP_STORE_USE_DEPARTMENT;
	} else if (api_text(c, "asset_group") != NULL) {
		r = api_asset_group(c, s, "asset_group", &row.ag);
		u->kind = SP_STORE_USE_ASSET_GROUP;
		u->object_id = row.ag.id;
	} else if ((r = api_asset(c, s, "asset", &a)) == SP_OK && account != NULL) {
		r = api_account(c, s, &a, "account", &acc);
		u->kind = SP_STORE_USE_ACCOUNT;
		u->object_id = acc.id;
	} else {
		u->kind = SP_STORE_USE_ASSET;
		u->object_id = a.id;
	}
	if (r == SP_OK && sp_uuid_is_null(&u->object_id))
		return api_fail(c, SP_EUSAGE, "to what?");
	return r;
}

struct use_search {
	struct sp_uuid		 object;
	struct sp_store_rule_use found;
	int			 any;
};

static int
use_match(const struct sp_store_rule_use *u, void *arg)
{
	struct use_search *k = arg;

	if (!sp_uuid_equal(&u->object_id, &k->object))
		return 0;
	k->found = *u;
	k->any = 1;
	return 1;
}

/* 1: the set is applied to what the call names; *u is that row. */
static enum sp_err
use_find(struct api_call *c, struct sp_store *s, struct sp_store_rule_set *set, struct sp_store_rule_use *u, int *ret_any)
{
	struct use_search k = { .any = 0 };
	struct sp_store_query q = { 0 };
	struct sp_uuid object;
	char text[2 * SP_STORE_NAME_MAX + 32];
	enum sp_err r;

	if ((r = set_find(c, s, "name", set)) != SP_OK || (r = use_named(c, s, u)) != SP_OK)
		return r;
	object = c->object = set->id;
	(void)sp_strlcpy(c->what, set->name, sizeof(c->what));
	u->set_id = object;
	k.object = u->object_id;
	q.of = object;
	if ((r = sp_store_rule_use_list(s, &q, use_match, &k)) != SP_OK)
		return api_store(c, r, "rule sets");
	if (k.any)
		*u = k.found;
	*ret_any = k.any;
	use_text(s, u, text, sizeof(text));
	api_more(c, "to", json_string(text));
	return SP_OK;
}

void
rule_set_apply(struct api_call *c, struct sp_store *s)
{
	struct sp_store_rule_use u = { 0 };
	struct sp_store_rule_set set;
	int any;

	if (use_find(c, s, &set, &u, &any) != SP_OK)
		return;
	if (!any && api_store(c, sp_store_rule_use_add(s, &u), set.name) != SP_OK)
		return;
	c->rejudge = 1;
	c->out = set_object(s, &set);
}

void
rule_set_unapply(struct api_call *c, struct sp_store *s)
{
	struct sp_store_rule_use u = { 0 };
	struct sp_store_rule_set set;
	int any;

	if (use_find(c, s, &set, &u, &any) != SP_OK)
		return;
	if (!any) {
		(void)api_fail(c, SP_ENOENT, "rule set %s is not applied to that", set.name);
		return;
	}
	if (api_store(c, sp_store_rule_use_delete(s, &u.id, u.version), set.name) != SP_OK)
		return;
	c->rejudge = 1;
	c->out = set_object(s, &set);
}

/* ---- rules ---- */

static json_t *
rule_object(struct sp_store *s, const struct sp_store_command_rule *r, int whole)
{
	struct sp_store_rule_set set;
	int64_t hits = 0, last_us = 0;
	json_t *o = json_pack("{s:o, s:s, s:I, s:s, s:s, s:s, s:o}", "id", api_id(&r->id), "name", r->name, "priority",
	    (json_int_t)r->priority, "action", sp_command_action_word((int)r->action), "state", states[r->state], "message", r->message,
	    "expires", api_at(r->expires_us));

	json_object_set_new(o, "set", sp_store_rule_set_get(s, &r->set_id, &set) == SP_OK ? json_string(set.name) : json_string("?"));
	if (sp_store_command_hits(s, &r->id, &hits, &last_us) == SP_OK) {
		json_object_set_new(o, "hits", json_integer(hits));
		json_object_set_new(o, "last_hit", api_at(last_us));
	}
	if (whole)
		json_object_set_new(o, "rule", json_string(r->text));
	return o;
}

struct rule_search {
	const char			*name;
	struct sp_uuid			 id;
	struct sp_store_command_rule	*ret;
	int				 any;
};

static int
rule_match(const struct sp_store_command_rule *r, void *arg)
{
	struct rule_search *k = arg;

	if (strcmp(r->name, k->name) != 0 && !sp_uuid_equal(&r->id, &k->id))
		return 0;
	*k->ret = *r;
	k->any = 1;
	return 1;
}

static enum sp_err
rule_find(struct api_call *c, struct sp_store *s, struct sp_store_command_rule *ret)
{
	char name[SP_STORE_NAME_MAX + 1] = "";
	struct rule_search k = { .name = name, .ret = ret };
	struct sp_store_rule_set set;
	struct sp_store_query q = { 0 };
	enum sp_err r;

	if ((r = set_find(c, s, "set", &set)) != SP_OK || (r = api_str(c, "name", 1, name, sizeof(name))) != SP_OK)
		return r;
	if (sp_uuid_parse(name, &k.id) != SP_OK)
		k.id = (struct sp_uuid){ .b = { 1 } };	/* nobody's */
	q.of = set.id;
	do {
		r = sp_store_command_rule_list(s, &q, rule_match, &k);
		q.offset += SP_STORE_PAGE_MAX;
	} while (r == SP_OK && !k.any && q.offset < SP_COMMANDS_MAX);
	if (r != SP_OK)
		return api_store(c, r, name);
	if (!k.any)
		return api_fail(c, SP_ENOENT, "rule set %s has no rule \"%s\"", set.name, name);
	if ((r = sp_store_command_rule_get(s, &ret->id, ret)) != SP_OK)	/* with its MAC checked */
		return api_store(c, r, name);
	c->object = ret->id;
	(void)sp_strlcpy(c->what, ret->name, sizeof(c->what));
	api_more(c, "set", json_string(set.name));
	return SP_OK;
}

static enum sp_err
rule_compiles(struct api_call *c, const struct sp_store_command_rule *r)
{
	struct sp_command_rule m = { .id = r->id, .name = r->name, .set = "", .message = r->message, .priority = (int)r->priority,
	    .action = (int)r->action, .text = r->text, .len = strlen(r->text) };
	struct sp_commands *set = NULL;
	struct sp_rules_error err = { .line = 0 };
	enum sp_err e = sp_commands_new(&set);

	if (e == SP_OK)
		e = sp_commands_add(set, &m, &err);
	sp_commands_free(set);
	if (e == SP_EFORMAT || e == SP_ESIZE)
		return err.line > 0 ? api_fail(c, SP_EINVAL, "rule %s, line %u: %s", r->name, err.line, err.why) :
		    api_fail(c, SP_EINVAL, "rule %s: %s", r->name, err.why);
	return e == SP_OK ? e : api_fail(c, e, "rule %s: %s", r->name, sp_err_text(e));
}

/* Members that the call names; the others stay. */
static enum sp_err
rule_fields(struct api_call *c, struct sp_store_command_rule *r)
{
	const char *text = api_text(c, "rule"), *action = api_text(c, "action"), *state = api_text(c, "state");

	if (api_int(c, "priority", 1, 100, &r->priority) != SP_OK || api_str(c, "message", 0, r->message, sizeof(r->message)) != SP_OK ||
	    api_time(c, "expires", &r->expires_us) != SP_OK)
		return c->err;
	if (text != NULL && strlen(text) > SP_STORE_RULE_MAX)
		return api_fail(c, SP_ESIZE, "rule: at most %d bytes", SP_STORE_RULE_MAX);
	if (text != NULL)
		(void)sp_strlcpy(r->text, text, sizeof(r->text));
	if (action != NULL && (r->action = sp_command_action_of(action)) == 0)
		return api_fail(c, SP_EINVAL, "action is allow, warn, alert, deny or kill");
	for (size_t i = 1; state != NULL && i < SP_NELEMS(states); i++)
		if (strcmp(state, states[i]) == 0) {
			r->state = (int64_t)i;
			state = NULL;
		}
	if (state != NULL)
		return api_fail(c, SP_EINVAL, "state is on, off or shadow");
	return rule_compiles(c, r);
}

static void
rule_said(struct api_call *c, struct sp_store *s, const struct sp_store_command_rule *r)
{
	c->object = r->id;
	(void)sp_strlcpy(c->what, r->name, sizeof(c->what));
	c->rejudge = 1;
	api_more(c, "action", json_string(sp_command_action_word((int)r->action)));
	api_more(c, "priority", json_integer(r->priority));
	api_more(c, "state", json_string(states[r->state]));
	api_more(c, "rule", json_string(r->text));
	c->out = rule_object(s, r, 1);
}

void
command_rule_add(struct api_call *c, struct sp_store *s)
{
	struct sp_store_command_rule *r = calloc(1, sizeof(*r));
	struct sp_store_rule_set set;

	if (r == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	r->priority = 50;
	r->action = SP_COMMAND_DENY;
	r->state = SP_STORE_RULE_ON;
	if (set_find(c, s, "set", &set) == SP_OK && api_str(c, "name", 1, r->name, sizeof(r->name)) == SP_OK) {
		r->set_id = set.id;
		if (api_text(c, "rule") == NULL)
			(void)api_fail(c, SP_EUSAGE, "rule: the text of a Sigma rule is missing");
		else if (rule_fields(c, r) == SP_OK && api_store(c, sp_store_command_rule_add(s, r), r->name) == SP_OK) {
			api_more(c, "set", json_string(set.name));
			rule_said(c, s, r);
		}
	}
	free(r);
}

/* The set of rules to begin with, in force nowhere until it is applied. What is there already stays as it is. */
void
rule_set_install(struct api_call *c, struct sp_store *s)
{
	struct sp_store_command_rule *r = c->state = calloc(1, sizeof(*r));
	struct sp_store_rule_set set = { .name = PACK_STARTER, .remark = "comes with Sallyport" };
	enum sp_err e = sp_store_rule_set_by_name(s, PACK_STARTER, &set);
	json_int_t n = 0;

	if (r == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	if (e == SP_ENOENT)
		e = sp_store_rule_set_add(s, &set);
	for (const struct pack_rule *p = pack_starter; p->name != NULL && e == SP_OK; p++) {
		*r = (struct sp_store_command_rule){ .set_id = set.id, .priority = 50, .action = SP_COMMAND_DENY, .state = SP_STORE_RULE_ON };
		(void)sp_strlcpy(r->name, p->name, sizeof(r->name));
		if (sp_strlcpy(r->text, p->text, sizeof(r->text)) != 0)
			e = SP_ESIZE;
		else if (rule_compiles(c, r) != SP_OK)
			return;
		else if ((e = sp_store_command_rule_add(s, r)) == SP_EEXIST)
			e = SP_OK;
		else
			n++;
	}
	if (api_store(c, e, PACK_STARTER) != SP_OK)
		return;
	c->object = set.id;
	c->rejudge = 1;
	(void)sp_strlcpy(c->what, set.name, sizeof(c->what));
	api_more(c, "rules_added", json_integer(n));
	c->out = set_object(s, &set);
}

void
command_rule_update(struct api_call *c, struct sp_store *s)
{
	struct sp_store_command_rule *r = calloc(1, sizeof(*r));

	if (r == NULL)
		(void)api_fail(c, SP_ENOMEM, "out of memory");
	else if (rule_find(c, s, r) == SP_OK && rule_fields(c, r) == SP_OK &&
	    api_store(c, sp_store_command_rule_update(s, r), r->name) == SP_OK)
		rule_said(c, s, r);
	free(r);
}

void
command_rule_show(struct api_call *c, struct sp_store *s)
{
	struct sp_store_command_rule *r = calloc(1, sizeof(*r));

	if (r == NULL)
		(void)api_fail(c, SP_ENOMEM, "out of memory");
	else if (rule_find(c, s, r) == SP_OK)
		c->out = rule_object(s, r, 1);
	free(r);
}

void
command_rule_delete(struct api_call *c, struct sp_store *s)
{
	struct sp_store_command_rule *r = calloc(1, sizeof(*r));

	if (r == NULL)
		(void)api_fail(c, SP_ENOMEM, "out of memory");
	else if (rule_find(c, s, r) == SP_OK && api_store(c, sp_store_command_rule_delete(s, &r->id, r->version), r->name) == SP_OK) {
		c->rejudge = 1;
		c->out = json_pack("{s:s}", "name", r->name);
	}
	free(r);
}

static int
rule_row(const struct sp_store_command_rule *rule, void *arg)
{
	struct rows *r = arg;

	json_array_append_new(r->out, rule_object(r->s, rule, r->whole));
	return 0;
}

void
command_rule_list(struct api_call *c, struct sp_store *s)
{
	struct rows r = { .s = s, .whole = json_is_true(json_object_get(c->params, "whole")) };
	struct sp_store_query q = { 0 };
	struct sp_store_rule_set set;
	enum sp_err e;

	if (api_text(c, "set") != NULL) {
		if (set_find(c, s, "set", &set) != SP_OK)
			return;
		q.of = set.id;
	}
	r.out = c->out = json_array();
	API_PAGES(c, q, json_array_size(c->out), e, sp_store_command_rule_list(s, &q, rule_row, &r));
	(void)api_store(c, e, "command rules");
}

/* ---- what would happen ---- */

static json_t *
verdict_object(const struct sp_commands *set, const struct sp_command_verdict *v)
{
	struct sp_command_said said;
	json_t *o = json_pack("{s:s, s:s, s:b, s:b}", "action", sp_command_action_word(v->action), "word", v->word, "uncertain", v->uncertain,
	    "incomplete", v->incomplete);

	json_object_set_new(o, "rule", json_null());
	json_object_set_new(o, "shadow", json_null());
	if (v->rule >= 0) {
		sp_commands_rule(set, v->rule, &said);
		json_object_set_new(o, "rule", json_sprintf("%s/%s", said.set, said.name));
	}
	if (v->shadow >= 0) {
		sp_commands_rule(set, v->shadow, &said);
		json_object_set_new(o, "shadow", json_sprintf("%s/%s", said.set, said.name));
	}
	return o;
}

/* A command line as if that person entered it there. */
void
command_rule_test(struct api_call *c, struct sp_store *s)
{
	char host_user[SP_STORE_LOGIN_MAX + 1] = "", directory[SP_STORE_TEXT_MAX + 1] = "", source[SP_NETADDR_SIZE] = "";
	const char *text = api_text(c, "command");
	struct sp_command_line line = { .text = text, .protocol = "shell", .user = host_user, .directory = directory };
	struct sp_command_verdict v;
	struct sp_commands *set = NULL;
	struct cmdrules rules = { 0 };
	struct sp_store_account acc;
	struct sp_store_asset a;
	struct sp_store_user u;
	enum sp_err r;

	if (api_user(c, s, "user", &u) != SP_OK || api_asset(c, s, "asset", &a) != SP_OK || api_account(c, s, &a, "account", &acc) != SP_OK ||
	    api_str(c, "host_user", 0, host_user, sizeof(host_user)) != SP_OK ||
	    api_str(c, "directory", 0, directory, sizeof(directory)) != SP_OK || api_str(c, "source", 0, source, sizeof(source)) != SP_OK)
		return;
	if (text == NULL) {
		(void)api_fail(c, SP_EUSAGE, "command: a command line is missing");
		return;
	}
	line.len = strlen(text);
	line.now_us = ctl_wall_us();
	line.uncertain = json_is_true(json_object_get(c->params, "uncertain"));
	if (json_is_true(json_object_get(c->params, "exec")))
		line.protocol = "exec";
	if ((r = cmdrules_load(s, &u.id, &a.id, acc.name, source, &rules)) == SP_OK && rules.any)
		r = cmdrules_compile(&rules, &set);
	if (r != SP_OK)
		(void)api_store(c, r, "command rules");
	else if (set == NULL)
		c->out = json_pack("{s:s, s:n, s:n, s:s}", "action", "allow", "rule", "shadow", "word", "");
	else {
		sp_commands_judge(set, &line, &v);
		c->out = verdict_object(set, &v);
	}
	sp_commands_free(set);
	cmdrules_release(&rules);
}

/* ---- grants ---- */

struct grant_search {
	const char		*text;
	struct sp_store_grant	 found;
	int			 n;
};

static int
grant_match(const struct sp_store_grant *g, void *arg)
{
	struct grant_search *k = arg;

	if (strcmp(g->name, k->text) == 0) {
		k->found = *g;
		k->n++;
	}
	return 0;
}

/* By id or by a name that one grant has. */
static enum sp_err
grant_named(struct api_call *c, struct sp_store *s, struct sp_store_grant *ret)
{
	char text[SP_STORE_NAME_MAX + 1] = "";
	struct grant_search k = { .text = text };
	struct sp_store_query q = { .text = text };
	struct sp_uuid id;
	enum sp_err r;

	if ((r = api_str(c, "id", 1, text, sizeof(text))) != SP_OK)
		return r;
	if (sp_uuid_parse(text, &id) == SP_OK)
		return api_store(c, sp_store_grant_get(s, &id, ret), text);
	if ((r = sp_store_grant_list(s, &q, grant_match, &k)) != SP_OK)
		return api_store(c, r, text);
	if (k.n != 1)
		return api_fail(c, k.n == 0 ? SP_ENOENT : SP_ECONFLICT, k.n == 0 ? "there is no grant \"%s\"" : "more than one grant is named \"%s\": give the id", text);
	*ret = k.found;
	return SP_OK;
}

void
grant_commands(struct api_call *c, struct sp_store *s)
{
	const char *mode = api_text(c, "mode"), *uncertain = api_text(c, "uncertain");
	struct sp_store_grant_commands row;
	struct sp_store_grant g;
	int known;
	enum sp_err r;

	if (grant_named(c, s, &g) != SP_OK)
		return;
	c->object = g.id;
	(void)sp_strlcpy(c->what, g.name, sizeof(c->what));
	if ((r = sp_store_grant_commands_get(s, &g.id, &row)) != SP_OK && r != SP_ENOENT) {
		(void)api_store(c, r, "the grant");
		return;
	}
	known = r == SP_OK;
	if (!known)
		row = (struct sp_store_grant_commands){ .id = g.id, .mode = SP_COMMAND_BLACK };
	if (mode != NULL) {
		row.mode = strcmp(mode, "white") == 0 ? SP_COMMAND_WHITE : strcmp(mode, "black") == 0 ? SP_COMMAND_BLACK : 0;
		row.refuse_uncertain = row.mode == SP_COMMAND_WHITE;	/* unless the call says otherwise */
	}
	if (uncertain != NULL)
		row.refuse_uncertain = strcmp(uncertain, "deny") == 0 ? 1 : strcmp(uncertain, "allow") == 0 ? 0 : -1;
	if (row.mode == 0 || row.refuse_uncertain == -1) {
		(void)api_fail(c, SP_EINVAL, row.mode == 0 ? "mode is black or white" : "uncertain is allow or deny");
		return;
	}
	if (api_store(c, known ? sp_store_grant_commands_update(s, &row) : sp_store_grant_commands_add(s, &row), "the grant") != SP_OK)
		return;
	c->rejudge = 1;
	api_more(c, "mode", json_string(row.mode == SP_COMMAND_WHITE ? "white" : "black"));
	api_more(c, "uncertain", json_string(row.refuse_uncertain ? "deny" : "allow"));
	c->out = json_pack("{s:o, s:s, s:s, s:s}", "id", api_id(&g.id), "name", g.name, "mode", row.mode == SP_COMMAND_WHITE ? "white" : "black",
	    "uncertain", row.refuse_uncertain ? "deny" : "allow");
}
