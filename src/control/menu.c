/* src/control/menu.c - MENU_ASK: the servers that a user may open now, their groups, his favourites, and why one is not
 * there. Process: control, event loop; the work is done in workers.
 * A list is made once, by one job, and kept with the connection until the session has fetched it part by part: a channel
 * holds only so much. From then on searching is the session's own work, key by key.
 * Invariants: (1) a connection has at most one menu job, and one list that waits to be fetched. (2) What a person reads
 * about an asset that no grant of his is about is the same whether it exists or not, unless he may read all about it. */
#include "control/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/judge.h"
#include "control/menu_list.h"
#include "control/quarantine.h"
#include "control/snapshot.h"
#include "control/wall.h"

#define PART_BYTES	60000	/* of a reply */
#define PART_ROWS	1000
#define FIRST_ROWS	64	/* the first part is small: it is what fills the screen */
#define TEXT_MAX	255
#define FAVOURITES_MAX	1000
#define WHY_LINES	6

enum want { LIST, GROUPS, STAR, UNSTAR, WHY };

struct conn_menu {
	struct menu_list	 list;
	size_t			 row, group, place;	/* what is to be sent next */
	int			 with_rows, first;
};
struct menu {
	struct ctl_job		 job;
	struct conn		*conn;
	uint32_t		 corr;
	enum want		 want;
	struct sp_uuid		 user_id, asset_id;
	int64_t			 epoch;
	struct sp_netaddr	 source;
	char			 about[TEXT_MAX + 1];
	struct conn_menu	*made;
	char			 text[2048];
	struct sp_store_user	 user;
};

static void
made_free(struct conn_menu *k)
{
	if (k == NULL)
		return;
	menu_list_release(&k->list);
	free(k);
}

void
menu_drop(struct conn *cn)
{
	made_free(cn->menu);
	cn->menu = NULL;
}

/* ---- why ---- */

static void
why_line(struct menu *m, int *left, const char *line)
{
	size_t at = strlen(m->text);

	if ((*left)-- > 0)
		(void)sp_snprintf(m->text + at, sizeof(m->text) - at, "%s%s", at > 0 ? "\n" : "", line);
}

/* May he read everything about an asset of this department: auditors and administrators, within theirs. */
static int
why_may_all(struct sp_store *s, const struct sp_store_user *u, const struct sp_uuid *department)
{
	struct sp_uuid at = *department;
	struct sp_store_department d;

	if (u->role < SP_STORE_ROLE_AUDITOR)
		return 0;
	if (sp_uuid_is_null(&u->role_department_id))
		return 1;
	for (int depth = 0; depth < SP_STORE_DEPTH_MAX && !sp_uuid_is_null(&at); depth++) {
		if (sp_uuid_equal(&at, &u->role_department_id))
			return 1;
		if (sp_store_department_get(s, &at, &d) != SP_OK)
			break;
		at = d.parent_id;
	}
	return 0;
}

static int
any_allow(const struct judge_grants *g)
{
	for (size_t i = 0; i < g->n; i++)
		if (!g->g[i].deny)
			return 1;
	return 0;
}

struct why {
	struct menu		*m;
	struct sp_policy_input	*in;
	const char		*account;	/* "": all */
	char			 open[512];	/* names of those that open */
	char			 shut[SP_STORE_NAME_MAX + 1];	/* one that does not */
	size_t			 seen, active;
};

static int
why_account(const struct sp_store_account *a, void *arg)
{
	struct why *w = arg;
	struct sp_policy_decision *d;
	size_t at = strlen(w->open);

	w->seen++;
	if (*w->account != '\0' && strcmp(w->account, a->name) != 0)
		return 0;
	if (a->state != SP_STORE_ACTIVE)
		return 0;
	w->active++;
	if ((d = malloc(sizeof(*d))) == NULL)
		return 1;
	w->in->account = a->name;
	sp_policy_access(w->in, d, NULL, 0, NULL);
	if (d->allowed)
		(void)sp_snprintf(w->open + at, sizeof(w->open) - at, "%s%s", at > 0 ? ", " : "", a->name);
	else if (w->shut[0] == '\0')
		(void)sp_strlcpy(w->shut, a->name, sizeof(w->shut));
	free(d);
	return 0;
}

static void
why_reasons(struct menu *m, struct sp_policy_input *in, const char *asset, int *left)
{
	struct sp_policy_decision *d = malloc(sizeof(*d));
	struct sp_policy_reason reason[32];
	char line[600];
	size_t n = 0;

	if (d == NULL)
		return;
	sp_policy_access(in, d, reason, SP_NELEMS(reason), &n);
	for (size_t i = 0; i < n; i++) {
		sp_auto(sp_buf_release) struct sp_buf b;

		sp_buf_init(&b, 4096);
		if (sp_policy_reason_text(in, &reason[i], &b) != SP_OK)
			continue;
		(void)sp_snprintf(line, sizeof(line), "%s@%s: %s", in->account, asset, sp_buf_cstr(&b));
		why_line(m, left, line);
	}
	free(d);
}

static void
why_tell(struct menu *m, struct sp_store *s, const struct sp_store_asset *a, struct sp_policy_input *in, const char *account)
{
	struct sp_store_query q = { .of = a->id, .checked = 1 };
	struct why w = { .m = m, .in = in, .account = account };
	char line[1024];
	int left = WHY_LINES;
	size_t before;
	enum sp_err r;

	do {
		before = w.seen;
		r = sp_store_account_list(s, &q, why_account, &w);
		q.offset += SP_STORE_PAGE_MAX;
	} while (r == SP_OK && w.seen - before == SP_STORE_PAGE_MAX);
	if (w.open[0] != '\0') {
		(void)sp_snprintf(line, sizeof(line), "%s is open to you as %s.", a->name, w.open);
		why_line(m, &left, line);
		return;
	}
	if (w.active == 0 && *account == '\0') {
		(void)sp_snprintf(line, sizeof(line), "%s: it has no account in use. Ask its administrator for one.", a->name);
		why_line(m, &left, line);
	} else if (w.active == 0) {
		(void)sp_snprintf(line, sizeof(line), "%s: it has no account in use with the name %s.", a->name, account);
		why_line(m, &left, line);
	}
	in->account = w.shut[0] != '\0' ? w.shut : *account != '\0' ? account : "?";
	if (w.active > 0 || in->n == 0)
		why_reasons(m, in, a->name, &left);
}

static enum sp_err
why_work(struct menu *m, struct sp_store *s)
{
	sp_auto(judge_grants_release) struct judge_grants g = { 0 };
	struct sp_policy_input in;
	struct sp_store_asset a;
	char account[TEXT_MAX + 1] = "", *name = m->about, *at;
	int found, all;
	enum sp_err r;

	if (sp_store_mac_mode(s) == SP_STORE_MAC_SEALED) {
		(void)sp_strlcpy(m->text, "The vault is sealed: no access can be granted; ask an administrator.", sizeof(m->text));
		return SP_OK;
	}
	if ((at = strrchr(m->about, '@')) != NULL) {
		(void)sp_snprintf(account, sizeof(account), "%.*s", (int)(at - m->about), m->about);
		name = at + 1;
	}
	r = judge_asset(s, name, &a);
	if (r != SP_OK && r != SP_ENOENT && r != SP_ECONFLICT)
		return r;
	found = r == SP_OK;
	if (found && (r = judge_grants_load(s, &m->user_id, &a.id, &g)) == SP_ETAMPERED) {
		(void)sp_snprintf(m->text, sizeof(m->text), "%s: refused: what gives you this access was changed behind Sallyport's "
		    "back; ask an administrator.", name);
		return SP_OK;
	}
	if (found && r != SP_OK)
		return r;
	all = m->user.role >= SP_STORE_ROLE_AUDITOR && (found ? why_may_all(s, &m->user, &a.department_id) :
	    sp_uuid_is_null(&m->user.role_department_id));
	if (r == SP_ECONFLICT && all)
		(void)sp_snprintf(m->text, sizeof(m->text), "%s: several assets have that address. Use the name.", name);
	else if (!found && all)
		(void)sp_snprintf(m->text, sizeof(m->text), "%s: there is no asset with that name or address.", name);
	else if (!found || (!all && !any_allow(&g)))
		(void)sp_snprintf(m->text, sizeof(m->text), "%s: no grant opens it to you, or there is no server of that name. "
		    "Ask your administrator for the account that you need there.", name);
	else {
		judge_input(&m->user, &a, &m->source, m->epoch, ctl_wall_us(), &g, &in);
		why_tell(m, s, &a, &in, account);
	}
	return SP_OK;
}

/* ---- favourites ---- */

static int
count_one(const struct sp_uuid *id, void *arg)
{
	(void)id;
	return ++*(size_t *)arg >= FAVOURITES_MAX;
}

/* Only what a grant of his is about: an id that he made up must not tell whether it exists. */
static enum sp_err
star_work(struct menu *m, struct sp_store *s)
{
	sp_auto(judge_grants_release) struct judge_grants g = { 0 };
	size_t n = 0;
	enum sp_err r;

	if (m->want == UNSTAR)
		return sp_store_favourite_set(s, &m->user_id, &m->asset_id, 0);
	if ((r = judge_grants_load(s, &m->user_id, &m->asset_id, &g)) != SP_OK ||
	    (r = sp_store_favourites(s, &m->user_id, count_one, &n)) != SP_OK)
		return r;
	if (!any_allow(&g))
		return SP_ENOENT;
	if (n >= FAVOURITES_MAX) {
		(void)sp_snprintf(m->text, sizeof(m->text), "%d favourites are enough: take a star off another one.", FAVOURITES_MAX);
		return SP_OK;
	}
	return sp_store_favourite_set(s, &m->user_id, &m->asset_id, 1);
}

/* ---- the list ---- */

static enum sp_err
list_work(struct menu *m, struct sp_store *s)
{
	int64_t now_us = ctl_wall_us();
	enum sp_err r;

	if ((m->made = calloc(1, sizeof(*m->made))) == NULL)
		return SP_ENOMEM;
	m->made->with_rows = m->want == LIST;
	m->made->first = 1;
	if ((r = menu_list_load(s, &m->user, &m->source, m->epoch, now_us, &m->made->list)) == SP_OK && m->want == GROUPS)
		r = menu_list_places(s, &m->user_id, now_us, &m->made->list);
	return r;
}

static void
menu_work(struct ctl_job *j, struct sp_store *s)
{
	struct menu *m = sp_container(j, struct menu, job);

	if ((j->err = sp_store_user_get(s, &m->user_id, &m->user)) != SP_OK)
		return;
	if (m->want == WHY)
		j->err = why_work(m, s);
	else if (m->want == STAR || m->want == UNSTAR)
		j->err = star_work(m, s);
	else
		j->err = list_work(m, s);
}

/* ---- parts ---- */

struct part {
	Sallyport__MenuReply	  r;
	Sallyport__MenuRow	  row[PART_ROWS], *rows[PART_ROWS];
	Sallyport__MenuGroup	  group[PART_ROWS], *groups[PART_ROWS];
	Sallyport__MenuPlace	  place[PART_ROWS], *places[PART_ROWS];
	char			**accounts;	/* of all rows, one after the other */
	uint32_t		 *in;		/* groups of all places */
	size_t			  bytes;
};

static int
part_full(const struct part *p, size_t n, const ProtobufCMessage *last)
{
	return n == PART_ROWS || p->bytes + protobuf_c_message_get_packed_size(last) + 8 > PART_BYTES;
}

static void
part_rows(struct part *p, struct conn_menu *k)
{
	const struct menu_list *l = &k->list;
	size_t max = k->first ? FIRST_ROWS : PART_ROWS;
	char **a = p->accounts;

	for (; k->row < l->n && p->r.n_rows < max; k->row++) {
		const struct menu_list_row *w = &l->row[k->row];
		Sallyport__MenuRow *o = &p->row[p->r.n_rows];

		sallyport__menu_row__init(o);
		o->asset_id = ctl_uuid_bytes(&w->id);
		o->name = ctl_str(menu_list_text(l, w->name));
		o->address = ctl_str(menu_list_text(l, w->address));
		o->remark = ctl_str(menu_list_text(l, w->remark));
		o->favourite = w->favourite != 0;
		o->recent = w->recent;
		o->accounts = a;
		for (o->n_accounts = 0; o->n_accounts < w->account_n && o->n_accounts < JUDGE_CHOICES_MAX; o->n_accounts++)
			*a++ = ctl_str(menu_list_text(l, l->account[w->account + o->n_accounts]));
		if (part_full(p, p->r.n_rows, &o->base))
			return;
		p->bytes += protobuf_c_message_get_packed_size(&o->base) + 8;
		p->rows[p->r.n_rows++] = o;
	}
}

static void
part_groups(struct part *p, struct conn_menu *k)
{
	const struct menu_list *l = &k->list;

	for (; k->group < l->group_n; k->group++) {
		Sallyport__MenuGroup *o = &p->group[p->r.n_groups];

		sallyport__menu_group__init(o);
		o->id = (uint32_t)k->group + 1;
		o->parent = l->group[k->group].parent;
		o->name = ctl_str(menu_list_text(l, l->group[k->group].name));
		if (part_full(p, p->r.n_groups, &o->base))
			return;
		p->bytes += protobuf_c_message_get_packed_size(&o->base) + 8;
		p->groups[p->r.n_groups++] = o;
		if (p->r.n_groups == PART_ROWS) {
			k->group++;
			return;
		}
	}
}

static void
part_places(struct part *p, struct conn_menu *k)
{
	const struct menu_list *l = &k->list;
	uint32_t *in = p->in;

	while (k->group == l->group_n && k->place < l->place_n && p->r.n_places < PART_ROWS) {
		Sallyport__MenuPlace *o = &p->place[p->r.n_places];
		size_t to = k->place;

		sallyport__menu_place__init(o);
		o->asset_id = ctl_uuid_bytes(&l->place[k->place].asset_id);
		o->groups = in;
		for (; to < l->place_n && sp_uuid_equal(&l->place[to].asset_id, &l->place[k->place].asset_id); to++)
			if (o->n_groups < JUDGE_CHOICES_MAX)
				in[o->n_groups++] = l->place[to].group;
		if (part_full(p, p->r.n_places, &o->base))
			return;
		p->bytes += protobuf_c_message_get_packed_size(&o->base) + 8;
		p->places[p->r.n_places++] = o;
		in += o->n_groups;
		k->place = to;
	}
}

static void
part_free(struct part *p)
{
	if (p != NULL) {
		free(p->accounts);
		free(p->in);
	}
	free(p);
}

/* In what state the bastion is; r borrows dst. */
static void
put_notice(const struct ctl *c, Sallyport__MenuReply *r, char *dst, size_t size)
{
	snapshot_text(c, dst, size);
	r->notice = *dst == '\0' && quarantine_text(c) != NULL ? ctl_str(quarantine_text(c)) : dst;
}

/* The next part of what waits, and the last one drops it. */
static void
part_send(struct conn *cn, uint32_t corr)
{
	struct conn_menu *k = cn->menu;
	struct part *p = calloc(1, sizeof(*p));
	char notice[256];
	int more;

	if (p == NULL || (p->accounts = calloc((size_t)PART_ROWS * JUDGE_CHOICES_MAX, sizeof(*p->accounts))) == NULL ||
	    (p->in = calloc((size_t)PART_ROWS * JUDGE_CHOICES_MAX, sizeof(*p->in))) == NULL) {
		part_free(p);
		conn_kill(cn, NULL, "out of memory", "system");
		return;
	}
	sallyport__menu_reply__init(&p->r);
	put_notice(cn->ctl, &p->r, notice, sizeof(notice));
	p->r.rows = p->rows;
	p->r.groups = p->groups;
	p->r.places = p->places;
	p->r.total = (uint32_t)k->list.n;
	if (k->with_rows) {
		part_rows(p, k);
	} else {
		part_groups(p, k);
		part_places(p, k);
	}
	if (k->first && k->list.cut)
		p->r.text = ctl_str("There are more servers than a menu lists: name the others as account@server.");
	k->first = 0;
	more = k->with_rows ? k->row < k->list.n : k->group < k->list.group_n || k->place < k->list.place_n;
	p->r.more = more;
	conn_send(cn, SP_MSG_MENU_REPLY, corr, &p->r);
	part_free(p);
	if (!more)
		menu_drop(cn);
}

static void
reply_text(struct conn *cn, uint32_t corr, const char *text)
{
	Sallyport__MenuReply r = SALLYPORT__MENU_REPLY__INIT;
	char notice[256];

	put_notice(cn->ctl, &r, notice, sizeof(notice));
	r.text = ctl_str(text);
	conn_send(cn, SP_MSG_MENU_REPLY, corr, &r);
}

static void
menu_done(struct ctl_job *j)
{
	struct menu *m = sp_container(j, struct menu, job);
	struct conn *cn = m->conn;

	cn->menu_busy = 0;
	if (!conn_alive(cn)) {
		;
	} else if (j->err != SP_OK) {
		reply_text(cn, m->corr, m->want == WHY ? "That cannot be looked up just now; try again." : m->want == LIST ?
		    "The list is not available just now; r tries again." : "That did not work just now; try again.");
	} else if (m->made != NULL) {
		menu_drop(cn);
		cn->menu = sp_steal(&m->made);
		part_send(cn, m->corr);
	} else {
		reply_text(cn, m->corr, m->text);
	}
	made_free(m->made);
	conn_unref(cn);
	free(m);
}

static const struct {
	const char	*word;
	enum want	 want;
} wants[] = {
	{ "list", LIST }, { "groups", GROUPS }, { "star", STAR }, { "unstar", UNSTAR }, { "why", WHY }
};

/* 0: that is no question. */
static int
menu_parse(const Sallyport__MenuAsk *q, struct menu *m)
{
	size_t i = 0;

	while (i < SP_NELEMS(wants) && strcmp(wants[i].word, q->what) != 0)
		i++;
	if (i == SP_NELEMS(wants) || strlen(q->text) > TEXT_MAX || !sp_text_is_plain(q->text, strlen(q->text)))
		return 0;
	m->want = wants[i].want;
	(void)sp_strlcpy(m->about, q->text, sizeof(m->about));
	if (m->want == WHY)
		return m->about[0] != '\0';
	return (m->want != STAR && m->want != UNSTAR) || ctl_uuid_of(&q->asset_id, &m->asset_id) == SP_OK;
}

void
menu_ask(struct conn *cn, uint32_t corr, const Sallyport__MenuAsk *q)
{
	struct menu *m;

	if (strcmp(q->what, "more") == 0 && cn->menu != NULL) {
		part_send(cn, corr);
		return;
	}
	if (cn->menu_busy) {
		reply_text(cn, corr, "One thing at a time: try again.");
		return;
	}
	if ((m = calloc(1, sizeof(*m))) == NULL) {
		conn_kill(cn, NULL, "out of memory", "system");
		return;
	}
	if (!menu_parse(q, m)) {
		free(m);
		reply_text(cn, corr, *q->what == '\0' ? "Sallyport was renewed: log in again for the menu, or type account@server." :
		    "That is not a text to look for.");
		return;
	}
	cn->menu_busy = 1;
	m->conn = conn_ref(cn);
	m->corr = corr;
	m->user_id = cn->user_id;
	m->epoch = cn->epoch;
	m->source = cn->source;
	m->job.work = menu_work;
	m->job.done = menu_done;
	ctl_job_run(cn->ctl, m->want == STAR || m->want == UNSTAR ? CTL_WRITE : CTL_READ, &m->job);
}
