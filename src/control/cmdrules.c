/* src/control/cmdrules.c - see cmdrules.h. Worker threads, and the loop for the file.
 *
 * A set counts for a session when it is applied to everyone, to the user, a group of his, his department or one above, to the asset, a
 * group or the department it is in, or to the account. Of several grants that may allow the session, the strictest word on
 * commands counts: a white list, and the refusal of what is uncertain. */
#include "control/cmdrules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/cmdset.h"
#include "control/judge.h"
#include "control/wall.h"
#include "rules/command.h"

#define NAMES_MAX	256	/* groups, tags ... of one session that rules can look at */
#define SETS_MAX	256

struct names {
	char	*v[NAMES_MAX];
	size_t	 n;
};
struct loading {
	struct sp_store		*s;
	struct sp_uuid		 set[SETS_MAX];
	size_t			 sets;
	struct names		 groups, departments, asset_groups, tags;
	struct sp_uuid		 object[3 * NAMES_MAX];	/* to which sets may be applied */
	size_t			 objects;
	Sallyport__CommandRule	**rule;
	size_t			 n, cap;
	size_t			 bytes;
	char			 set_name[SP_STORE_NAME_MAX + 1];
	const char		*account;
	int64_t			 now_us;
	int			 white, refuse_uncertain;
	enum sp_err		 err;
};

static void
name_add(struct loading *l, struct names *k, const char *name)
{
	if (k->n == NAMES_MAX || (k->v[k->n] = strdup(name)) == NULL)
		l->err = k->n == NAMES_MAX ? SP_ESIZE : SP_ENOMEM;
	else
		k->n++;
}

static void
names_free(struct names *k)
{
	while (k->n > 0)
		free(k->v[--k->n]);
}

static void
object_add(struct loading *l, const struct sp_uuid *id)
{
	if (l->objects == SP_NELEMS(l->object))
		l->err = SP_ESIZE;
	else if (!sp_uuid_is_null(id))
		l->object[l->objects++] = *id;
}

static int
on_group(const struct sp_store_group *g, void *arg)
{
	struct loading *l = arg;

	name_add(l, &l->groups, g->name);
	object_add(l, &g->id);
	return l->err != SP_OK;
}

static int
on_asset_group(const struct sp_store_asset_group *g, void *arg)
{
	struct loading *l = arg;

	name_add(l, &l->asset_groups, g->name);
	object_add(l, &g->id);
	return l->err != SP_OK;
}

static int
on_tag(const char *key, const char *value, void *arg)
{
	char text[2 * SP_STORE_NAME_MAX + 2];

	(void)sp_snprintf(text, sizeof(text), "%s%s%s", key, *value ? "=" : "", value);
	name_add(arg, &((struct loading *)arg)->tags, text);
	return ((struct loading *)arg)->err != SP_OK;
}

/* A department and those above it; names: where they go, NULL: nowhere. */
static enum sp_err
departments(struct loading *l, struct sp_uuid id, struct names *names)
{
	struct sp_store_department d;
	enum sp_err r = SP_OK;

	for (int i = 0; i < SP_STORE_DEPTH_MAX && !sp_uuid_is_null(&id) && r == SP_OK; i++)
		if ((r = sp_store_department_get(l->s, &id, &d)) == SP_OK) {
			object_add(l, &id);
			if (names != NULL)
				name_add(l, names, d.name);
			id = d.parent_id;
		}
	return r;
}

/* ---- sets */

static int
on_use(const struct sp_store_rule_use *u, void *arg)
{
	struct loading *l = arg;

	for (size_t i = 0; i < l->sets; i++)
		if (sp_uuid_equal(&l->set[i], &u->set_id))
			return 0;
	if (l->sets == SETS_MAX)
		l->err = SP_ESIZE;
	else
		l->set[l->sets++] = u->set_id;
	return l->err != SP_OK;
}

static char *
text_to(char **at, const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = memcpy(*at, s, n);

	*at += n;
	return p;
}

static int
on_rule(const struct sp_store_command_rule *r, void *arg)
{
	struct loading *l = arg;
	Sallyport__CommandRule *m, **v;
	size_t n = strlen(r->text), cap = l->cap > 0 ? l->cap * 2 : 64;
	char *text;

	if (r->state == SP_STORE_RULE_OFF || (r->expires_us != 0 && l->now_us >= r->expires_us))
		return 0;
	if ((l->bytes += n + 256) > CMDRULES_MAX || l->n >= SP_COMMANDS_MAX) {
		l->err = SP_ESIZE;
		return 1;
	}
	if (l->n == l->cap) {
		if ((v = realloc(l->rule, cap * sizeof(*v))) == NULL) {
			l->err = SP_ENOMEM;
			return 1;
		}
		l->rule = v;
		l->cap = cap;
	}
	/* One block: the message and its texts. */
	if ((m = malloc(sizeof(*m) + SP_UUID_LEN + n + strlen(r->name) + strlen(l->set_name) + strlen(r->message) + 4)) == NULL) {
		l->err = SP_ENOMEM;
		return 1;
	}
	sallyport__command_rule__init(m);
	text = (char *)(m + 1);
	memcpy(text, r->id.b, SP_UUID_LEN);
	m->id = ctl_bytes(text, SP_UUID_LEN);
	text += SP_UUID_LEN;
	memcpy(text, r->text, n);
	m->text = ctl_bytes(text, n);
	text += n;
	m->name = text_to(&text, r->name);
	m->set = text_to(&text, l->set_name);
	m->message = text_to(&text, r->message);
	m->priority = (uint32_t)r->priority;
	m->action = (uint32_t)r->action;
	m->shadow = r->state == SP_STORE_RULE_SHADOW;
	m->expires_us = r->expires_us;
	l->rule[l->n++] = m;
	return 0;
}

static enum sp_err
set_load(struct loading *l, const struct sp_uuid *id)
{
	struct sp_store_query q = { .of = *id, .checked = 1 };
	struct sp_store_rule_set set;
	size_t pages = 0;
	enum sp_err r = sp_store_rule_set_get(l->s, id, &set);

	if (r != SP_OK)
		return r;
	(void)sp_strlcpy(l->set_name, set.name, sizeof(l->set_name));
	for (; r == SP_OK && l->err == SP_OK && pages * SP_STORE_PAGE_MAX <= SP_COMMANDS_MAX; pages++) {
		r = sp_store_command_rule_list(l->s, &q, on_rule, l);
		q.offset += SP_STORE_PAGE_MAX;
	}
	return r;
}

static enum sp_err
sets_load(struct loading *l)
{
	enum sp_err r = SP_OK;

	object_add(l, &sp_store_everyone);
	for (size_t i = 0; i < l->objects && r == SP_OK && l->err == SP_OK; i++) {
		struct sp_store_query q = { .of = l->object[i], .checked = 1 };

		r = sp_store_rule_use_list(l->s, &q, on_use, l);
	}
	for (size_t i = 0; i < l->sets && r == SP_OK && l->err == SP_OK; i++)
		r = set_load(l, &l->set[i]);
	return r;
}

/* ---- grants */

static int
names_account(const char *list, const char *account)
{
	size_t n = strlen(account);

	for (const char *s = list, *e; *s; s = *e ? e + 1 : e) {
		e = strchrnul(s, ',');
		if ((e - s == 1 && *s == '*') || ((size_t)(e - s) == n && memcmp(s, account, n) == 0))
			return 1;
	}
	return 0;
}

static int
on_grant(const struct sp_store_grant *g, void *arg)
{
	struct loading *l = arg;
	struct sp_store_grant_commands c;
	enum sp_err r;

	if (g->effect != SP_STORE_ALLOW || (g->valid_from_us != 0 && l->now_us < g->valid_from_us) ||
	    (g->valid_until_us != 0 && l->now_us >= g->valid_until_us) || !names_account(g->accounts, l->account))
		return 0;
	if ((r = sp_store_grant_commands_get(l->s, &g->id, &c)) == SP_OK) {
		l->white |= c.mode == SP_COMMAND_WHITE;
		l->refuse_uncertain |= c.refuse_uncertain != 0;
	} else if (r != SP_ENOENT)
		l->err = r;
	return l->err != SP_OK;
}

/* ---- together */

static enum sp_err
pack(struct sp_buf *b, const ProtobufCMessage *m, size_t max)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	enum sp_err r;

	sp_buf_init(b, max);
	if (n > max)
		return SP_ESIZE;
	if ((r = sp_buf_reserve(b, n + 1)) == SP_OK)
		b->len = protobuf_c_message_pack(m, b->p);
	return r;
}

static int
tz_offset_s(int64_t now_us)
{
	time_t t = (time_t)(now_us / (int64_t)SP_US_PER_S);
	struct tm tm;

	return localtime_r(&t, &tm) != NULL ? (int)tm.tm_gmtoff : 0;
}

static enum sp_err
place_pack(struct loading *l, const struct sp_store_user *u, const struct sp_store_asset *a, const struct sp_store_account *acc,
    const char *source, struct sp_buf *ret)
{
	static const char *const roles[] = { "", "user", "auditor", "admin" };
	Sallyport__CommandPlace m = SALLYPORT__COMMAND_PLACE__INIT;

	m.user = ctl_str(u->login);
	m.role = ctl_str(u->role >= SP_STORE_ROLE_USER && u->role <= SP_STORE_ROLE_ADMIN ? roles[u->role] : "");
	m.groups = l->groups.v;
	m.n_groups = l->groups.n;
	m.departments = l->departments.v;
	m.n_departments = l->departments.n;
	m.asset = ctl_str(a->name);
	m.asset_groups = l->asset_groups.v;
	m.n_asset_groups = l->asset_groups.n;
	m.tags = l->tags.v;
	m.n_tags = l->tags.n;
	m.account = ctl_str(acc->name);
	m.login = ctl_str(*acc->login ? acc->login : acc->kind == SP_STORE_ACCOUNT_SAME ? u->login : acc->name);
	m.source = ctl_str(source);
	m.port = (uint32_t)a->port;
	m.mode = l->white ? SP_COMMAND_WHITE : SP_COMMAND_BLACK;
	m.refuse_uncertain = l->refuse_uncertain != 0;
	m.tz_offset_s = tz_offset_s(l->now_us);
	return pack(ret, &m.base, CMDRULES_PLACE_MAX);
}

static int
on_any(const struct sp_store_rule_use *u, void *arg)
{
	(void)u;
	*(int *)arg = 1;
	return 1;
}

static int
on_any_mode(const struct sp_store_grant_commands *g, void *arg)
{
	(void)g;
	*(int *)arg = 1;
	return 1;
}

/* Most installations start without a single rule: two short looks then. */
static enum sp_err
is_used(struct sp_store *s, int *ret)
{
	struct sp_store_query q = { .limit = 1 };
	enum sp_err r = sp_store_rule_use_list(s, &q, on_any, ret);

	return r != SP_OK || *ret ? r : sp_store_grant_commands_list(s, &q, on_any_mode, ret);
}

static enum sp_err
load(struct loading *l, const struct sp_uuid *user_id, const struct sp_uuid *asset_id, const char *source, struct cmdrules *ret)
{
	Sallyport__CommandRules m = SALLYPORT__COMMAND_RULES__INIT;
	struct sp_store_user u;
	struct sp_store_asset a;
	struct sp_store_account acc;
	enum sp_err r;

	if ((r = sp_store_user_get(l->s, user_id, &u)) != SP_OK || (r = sp_store_asset_get(l->s, asset_id, &a)) != SP_OK ||
	    (r = sp_store_account_by_name(l->s, asset_id, l->account, &acc)) != SP_OK)
		return r;
	object_add(l, &u.id);
	object_add(l, &a.id);
	object_add(l, &acc.id);
	if ((r = sp_store_groups_of_user(l->s, user_id, on_group, l)) != SP_OK ||
	    (r = sp_store_groups_of_asset(l->s, asset_id, on_asset_group, l)) != SP_OK ||
	    (r = sp_store_tags(l->s, asset_id, on_tag, l)) != SP_OK ||
	    (r = departments(l, u.department_id, &l->departments)) != SP_OK || (r = departments(l, a.department_id, NULL)) != SP_OK ||
	    (r = sp_store_grants_for(l->s, user_id, asset_id, on_grant, l)) != SP_OK || (r = sets_load(l)) != SP_OK || (r = l->err) != SP_OK)
		return r;
	if (l->n == 0 && !l->white && !l->refuse_uncertain)
		return SP_OK;
	m.rules = l->rule;
	m.n_rules = l->n;
	if ((l->n > 0 && (r = pack(&ret->rules, &m.base, CMDRULES_MAX)) != SP_OK) ||
	    (r = place_pack(l, &u, &a, &acc, source, &ret->place)) != SP_OK)
		return r;
	ret->any = 1;
	ret->with_rules = l->n > 0;
	ret->sum = judge_sum_more(judge_sum_more(UINT64_C(14695981039346656037), ret->rules.p, ret->rules.len), ret->place.p,
	    ret->place.len);
	return SP_OK;
}

enum sp_err
cmdrules_load(struct sp_store *s, const struct sp_uuid *user_id, const struct sp_uuid *asset_id, const char *account,
    const char *source, struct cmdrules *ret)
{
	struct cmdrules out = { 0 };
	struct loading *l;
	int used = 0;
	enum sp_err r = is_used(s, &used);

	if (r != SP_OK || !used) {
		*ret = out;
		return r;
	}
	if ((l = calloc(1, sizeof(*l))) == NULL)
		return SP_ENOMEM;
	l->s = s;
	l->account = account;
	l->now_us = ctl_wall_us();
	if ((r = load(l, user_id, asset_id, source, &out)) != SP_OK)
		cmdrules_release(&out);
	names_free(&l->groups);
	names_free(&l->departments);
	names_free(&l->asset_groups);
	names_free(&l->tags);
	for (size_t i = 0; i < l->n; i++)
		free(l->rule[i]);
	free(l->rule);
	free(l);
	*ret = out;
	return r;
}

void
cmdrules_release(struct cmdrules *c)
{
	sp_buf_release(&c->rules);
	sp_buf_release(&c->place);
	*c = (struct cmdrules){ 0 };
}

enum sp_err
cmdrules_file(const struct sp_buf *rules, int *ret)
{
	sp_auto(sp_closep) int fd = -1;
	size_t at = 0;

	if (rules->len == 0) {
		*ret = -1;
		return SP_OK;
	}
	if ((fd = memfd_create("command-rules", MFD_CLOEXEC | MFD_ALLOW_SEALING)) == -1)
		return sp_err_errno(errno);
	while (at < rules->len) {
		ssize_t n = write(fd, rules->p + at, rules->len - at);

		if (n <= 0)
			return n == 0 ? SP_EIO : sp_err_errno(errno);
		at += (size_t)n;
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1)
		return sp_err_errno(errno);
	*ret = sp_steal_fd(&fd);
	return SP_OK;
}

enum sp_err
cmdrules_compile(const struct cmdrules *c, struct sp_commands **ret)
{
	Sallyport__CommandRules *rules = sallyport__command_rules__unpack(NULL, c->rules.len, c->rules.p);
	Sallyport__CommandPlace *place = sallyport__command_place__unpack(NULL, c->place.len, c->place.p);
	enum sp_err r = rules == NULL || place == NULL ? SP_ENOMEM : cmdset_make(rules, place, ret);

	if (rules != NULL)
		sallyport__command_rules__free_unpacked(rules, NULL);
	if (place != NULL)
		sallyport__command_place__free_unpacked(place, NULL);
	return r;
}
