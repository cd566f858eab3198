/* src/control/api_sweep.c - leavers and movers. The rows say who is there and where; users of that source who are missing,
 * or marked as left, are disabled; who is in another department than before loses what the old one gave him: grants to him
 * on its things, membership of its groups, a role in it. Refusals that name him stay. What they own gets an heir.
 * Process: control, bulk lane; the plan is done like an import's. Nobody is created, nobody is let in again. */
#include "control/api_bulk.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct person {			/* one user of the sweep */
	struct bulk_run		*b;
	struct sp_store_user	 u;
	struct sp_uuid		 from, to;	/* departments of a mover */
	int			 left;
	struct sp_store_user	 heir;		/* id null: none is named */
	int64_t			 grants, groups, assets;
	enum sp_err		 err;
};

/* Is a department `of` or below it? */
static int
within(struct bulk_run *b, const struct sp_uuid *department, const struct sp_uuid *of)
{
	struct sp_uuid at = *department;
	struct sp_store_department d;

	for (int depth = 0; depth < SP_STORE_DEPTH_MAX && !sp_uuid_is_null(&at); depth++) {
		if (sp_uuid_equal(&at, of))
			return 1;
		if (sp_store_department_get(b->s, &at, &d) != SP_OK)
			return 0;
		at = d.parent_id;
	}
	return 0;
}

/* Of the department that he leaves, and not of the one that he comes to. */
static int
of_the_old(const struct person *p, const struct sp_uuid *department)
{
	return !sp_uuid_is_null(&p->from) && within(p->b, department, &p->from) &&
	    (sp_uuid_is_null(&p->to) || !within(p->b, department, &p->to));
}

static int
drop_grant(const struct sp_store_grant *g, void *arg)
{
	struct person *p = arg;
	struct sp_store_asset a = { 0 };
	struct sp_store_asset_group ag = { 0 };

	if (g->subject_kind != SP_STORE_SUBJECT_USER || !sp_uuid_equal(&g->subject_id, &p->u.id) || g->effect == SP_STORE_DENY)
		return 0;
	p->err = g->object_kind == SP_STORE_OBJECT_ASSET ? sp_store_asset_get(p->b->s, &g->object_id, &a) :
	    sp_store_asset_group_get(p->b->s, &g->object_id, &ag);
	if (p->err == SP_OK && of_the_old(p, g->object_kind == SP_STORE_OBJECT_ASSET ? &a.department_id : &ag.department_id)) {
		p->grants++;
		p->err = bulk_planned(p->b, sp_store_plan_grant(p->b->plan, p->b->line, SP_STORE_DO_DELETE, g));
	}
	return p->err != SP_OK;
}

static int
drop_membership(const struct sp_uuid *id, void *arg)
{
	struct person *p = arg;
	struct sp_store_member m = { .group_id = *id, .member_id = p->u.id, .kind = SP_STORE_SUBJECT_USER };
	struct sp_store_group g;

	if ((p->err = sp_store_group_get(p->b->s, id, &g)) == SP_OK && of_the_old(p, &g.department_id)) {
		p->groups++;
		p->err = bulk_planned(p->b, sp_store_plan_group_member(p->b->plan, p->b->line, SP_STORE_DO_DELETE, &m));
	}
	return p->err != SP_OK;
}

static int
pass_on(const struct sp_store_asset *a, void *arg)
{
	struct person *p = arg;
	struct sp_store_asset copy = *a;

	if (!sp_uuid_equal(&a->owner_id, &p->u.id) || (!p->left && !of_the_old(p, &a->department_id)))
		return 0;
	if (!api_in_scope(&p->b->row, p->b->s, &a->department_id)) {
		p->err = bulk_refuse(p->b, SP_EACCES, "%s owns something of another department than the one that you administer: an "
		    "administrator of all departments sweeps", p->u.login);
		return 1;
	}
	if (sp_uuid_is_null(&p->heir.id)) {
		p->err = bulk_refuse(p->b, SP_EINVAL, "%s owns \"%s\": name who gets it (column heir, or --heir)", p->u.login, a->name);
		return 1;
	}
	p->assets++;
	copy.owner_id = p->heir.id;
	return (p->err = bulk_planned(p->b, sp_store_plan_asset(p->b->plan, p->b->line, SP_STORE_DO_UPDATE, &copy))) != SP_OK;
}

static enum sp_err
assets_pass_on(struct person *p)
{
	struct sp_store_query q = { .of = p->u.id, .limit = SP_STORE_PAGE_MAX, .checked = 1 };	/* they are written */
	enum sp_err r = sp_store_asset_list(p->b->s, &q, pass_on, p);

	if (r != SP_OK)
		return api_store(&p->b->row, r, "assets");
	if (p->err == SP_OK && p->assets == SP_STORE_PAGE_MAX)
		return bulk_refuse(p->b, SP_ESIZE, "%s owns more than %d assets: give them away with an import first", p->u.login, SP_STORE_PAGE_MAX - 1);
	return p->err;
}

static enum sp_err
find_heir(struct person *p, const char *login)
{
	enum sp_err r;

	if (login == NULL || *login == '\0')
		login = p->b->o.heir;
	if (*login == '\0')
		return SP_OK;
	r = sp_store_user_by_login_any_case(p->b->s, login, &p->heir);
	if (r == SP_ECONFLICT)
		r = SP_ENOENT;		/* which of the two is not for us to say */
	if (r == SP_ENOENT || (r == SP_OK && (p->heir.state != SP_STORE_ACTIVE || sp_uuid_equal(&p->heir.id, &p->u.id))))
		p->heir = (struct sp_store_user){ 0 };		/* matters only if there is something to inherit */
	return r == SP_ENOENT ? SP_OK : api_store(&p->b->row, r, login);
}

static void
report(struct person *p, const char *what, const char *to)
{
	struct sp_store_department d = { 0 };
	json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:I}", "login", p->u.login, "what", what, "grants_removed", (json_int_t)p->grants,
	    "groups_left", (json_int_t)p->groups, "assets_passed_on", (json_int_t)p->assets);

	if (p->assets > 0)
		json_object_set_new(o, "heir", json_string(p->heir.login));
	if (!sp_uuid_is_null(&p->from) && sp_store_department_get(p->b->s, &p->from, &d) == SP_OK)
		json_object_set_new(o, "from", json_string(d.name));
	if (to != NULL)
		json_object_set_new(o, "to", json_string(to));
	if (p->b->report == NULL)
		p->b->report = json_array();
	json_array_append_new(p->b->report, o);
}

/* Who inherits is remembered, so that it is seen in the end whether he leaves too. */
static enum sp_err
heir_note(struct person *p)
{
	char id[SP_UUID_SIZE];

	return p->assets == 0 || bulk_find(p->b, "heir", sp_uuid_text(&p->heir.id, id), NULL, NULL) ? SP_OK :
	    bulk_once(p->b, "heir", id, &p->heir.id);
}

static enum sp_err
leave(struct person *p)
{
	char id[SP_UUID_SIZE];
	enum sp_err r;

	p->left = 1;
	if ((r = bulk_once(p->b, "left", sp_uuid_text(&p->u.id, id), &p->u.id)) != SP_OK)
		return r;
	if (p->u.state == SP_STORE_DISABLED)
		return SP_OK;
	if (api_is_self(&p->b->row, &p->u.id))
		return api_fail(&p->b->row, SP_EDENIED, "nobody disables himself: \"%s\"", p->u.login);
	if ((r = assets_pass_on(p)) != SP_OK || (r = heir_note(p)) != SP_OK)
		return r;
	p->u.state = SP_STORE_DISABLED;
	p->u.epoch++;
	if ((r = bulk_epoch_add(p->b, &p->u, "your account was disabled")) != SP_OK ||
	    (r = bulk_planned(p->b, sp_store_plan_user(p->b->later, p->b->line, SP_STORE_DO_UPDATE, &p->u))) != SP_OK)
		return r;
	bulk_did(p->b, BULK_DISABLED, p->u.login);
	report(p, "left", NULL);
	return SP_OK;
}

static enum sp_err
move(struct person *p, const char *to)
{
	enum sp_err r;

	p->from = p->u.department_id;
	p->u.department_id = p->to;
	if ((r = api_store(&p->b->row, sp_store_grants_of_user(p->b->s, &p->u.id, drop_grant, p), "grants")) != SP_OK || (r = p->err) != SP_OK ||
	    (r = api_store(&p->b->row, sp_store_user_parents(p->b->s, &p->u.id, drop_membership, p), "groups")) != SP_OK || (r = p->err) != SP_OK ||
	    (r = assets_pass_on(p)) != SP_OK || (r = heir_note(p)) != SP_OK)
		return r;
	if (p->u.role != SP_STORE_ROLE_USER && of_the_old(p, &p->u.role_department_id)) {
		p->u.role = SP_STORE_ROLE_USER;
		p->u.role_department_id = (struct sp_uuid){ 0 };
		p->u.epoch++;
		if ((r = bulk_epoch_add(p->b, &p->u, "your role ended with your move")) != SP_OK)
			return r;
	}
	if ((r = bulk_planned(p->b, sp_store_plan_user(p->b->later, p->b->line, SP_STORE_DO_UPDATE, &p->u))) != SP_OK)
		return r;
	bulk_did(p->b, BULK_CHANGED, p->u.login);
	report(p, "moved", to);
	return SP_OK;
}

static enum sp_err
person_permit(struct person *p)
{
	enum sp_err r = api_scope(&p->b->row, p->b->s, &p->u.department_id);

	return r == SP_OK ? user_below(&p->b->row, p->b->s, &p->u) : r;
}

/* The user that a row means; SP_ENOENT: nobody here. */
static enum sp_err
person_find(struct person *p)
{
	struct bulk_run *b = p->b;
	char login[SP_STORE_LOGIN_MAX + 1];
	struct sp_uuid id = { 0 };
	struct sp_store_origin o;
	int changed = 0;
	enum sp_err r;

	if ((r = api_str(&b->row, "login", 1, login, sizeof(login))) != SP_OK || (r = bulk_origin(b, SP_STORE_ORIGIN_USER, &id)) != SP_OK)
		return r;
	r = !sp_uuid_is_null(&id) ? sp_store_user_get(b->s, &id, &p->u) : sp_store_user_by_login_any_case(b->s, login, &p->u);
	if (r == SP_ENOENT)
		return r;
	if (r == SP_ECONFLICT)		/* a directory does not tell them apart */
		return api_fail(&b->row, r, "\"%s\": two users have that login but for case; rename or delete one", login);
	if (r != SP_OK)
		return api_store(&b->row, r, login);
	if ((r = person_permit(p)) != SP_OK)
		return r;
	/* Of nobody's list, and not to be of this one: what the row says of him holds, that he is missing later says nothing. */
	if (!b->o.adopt && (r = sp_store_origin_get(b->s, SP_STORE_ORIGIN_USER, &p->u.id, &o)) == SP_ENOENT)
		return SP_OK;
	return bulk_origin_set(b, SP_STORE_ORIGIN_USER, &p->u.id, 0, &changed);
}

enum sp_err
bulk_person(struct bulk_run *b)
{
	struct person p = { .b = b };
	char state[16] = "active", to[SP_STORE_NAME_MAX + 1] = "";
	struct sp_store_department d;
	enum sp_err r;

	if ((r = api_str(&b->row, "state", 0, state, sizeof(state))) != SP_OK || (r = api_str(&b->row, "department", 0, to, sizeof(to))) != SP_OK)
		return r;
	if (strcmp(state, "active") != 0 && strcmp(state, "left") != 0 && *state != '\0')
		return api_fail(&b->row, SP_EINVAL, "state is active or left");
	if ((r = person_find(&p)) == SP_ENOENT && b->row.err == SP_OK) {
		bulk_did(b, BULK_UNCHANGED, "");
		return SP_OK;		/* not every person is a user */
	}
	if (r != SP_OK || (r = find_heir(&p, api_text(&b->row, "heir"))) != SP_OK)
		return r;
	if (strcmp(state, "left") == 0)
		return leave(&p);
	if (*to != '\0') {
		if (sp_store_department_by_name(b->s, to, &d) != SP_OK)
			return api_fail(&b->row, SP_ENOENT, "there is no department \"%s\"", to);
		p.to = d.id;
		if (!sp_uuid_equal(&p.u.department_id, &d.id))
			return (r = api_scope(&b->row, b->s, &d.id)) != SP_OK ? r : move(&p, to);
	}
	bulk_did(b, BULK_UNCHANGED, "");
	return SP_OK;
}

struct sweeping {
	struct bulk_run	*b;
	uint64_t	 all;
	enum sp_err	 err;
};

static int
sweep_one(const struct sp_store_origin *o, void *arg)
{
	struct sweeping *w = arg;
	struct person p = { .b = w->b };
	char id[SP_UUID_SIZE];
	enum sp_err r;

	if ((r = sp_store_user_get(w->b->s, &o->id, &p.u)) != SP_OK) {
		w->err = r;
		return 1;
	}
	w->all += p.u.state != SP_STORE_DISABLED;
	if (bulk_find(w->b, "id", sp_uuid_text(&o->id, id), NULL, NULL))
		return 0;
	w->b->line = 0;
	if ((r = person_permit(&p)) == SP_OK && (r = find_heir(&p, NULL)) == SP_OK)
		r = leave(&p);
	w->err = r;
	return r != SP_OK;
}

static void
heir_check(struct sp_hnode *n, void *arg)
{
	struct bulk_run *b = arg;
	char id[SP_UUID_SIZE];
	struct sp_store_user u;

	if (n->key_len != SP_UUID_SIZE - 1 + 5 || memcmp(n->key, "heir:", 5) != 0)
		return;
	memcpy(id, (const char *)n->key + 5, SP_UUID_SIZE - 1);
	id[SP_UUID_SIZE - 1] = '\0';
	if (!bulk_find(b, "left", id, &u.id, &b->line))
		return;
	if (sp_store_user_get(b->s, &u.id, &u) == SP_OK)
		(void)bulk_refuse(b, SP_EINVAL, "%s leaves, and would inherit: name another heir", u.login);
}

enum sp_err
bulk_sweep_end(struct bulk_run *b)
{
	struct sweeping w = { .b = b };
	uint64_t named_only = b->did[BULK_DISABLED];
	enum sp_err r = sp_store_origins(b->s, SP_STORE_ORIGIN_USER, b->o.source, sweep_one, &w);

	if (r != SP_OK || (r = w.err) != SP_OK)
		return r;
	sp_htab_each(&b->seen, heir_check, b);
	if (b->refused_n > 0)
		return SP_OK;
	if (b->did[BULK_UNCHANGED] + b->did[BULK_CHANGED] == 0 && b->did[BULK_DISABLED] > 0 && !b->o.force) {
		b->line = 0;
		return bulk_refuse(b, SP_EDENIED, "nobody of \"%s\" would be left: is the list whole? If it is, say --force", b->o.source);
	}
	return bulk_guard(b, "users", b->did[BULK_DISABLED], w.all > named_only ? w.all : named_only);
}
