/* src/control/judge.c - see judge.h. Worker threads.
 * What a refusal tells: nothing about assets that the user may not see; about those that he may, the one thing to do. */
#include "control/judge.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "control/claim.h"
#include "control/wall.h"

#define TZ_AHEAD_DAYS	200

static const struct {
	uint32_t	 bit;
	const char	*word;
} protocols[] = {
	{ SP_POLICY_SHELL, "shell" }, { SP_POLICY_EXEC, "exec" }, { SP_POLICY_SFTP, "sftp" }, { SP_POLICY_SCP, "scp" },
	{ SP_POLICY_FWD_LOCAL, "forward-local" }, { SP_POLICY_FWD_REMOTE, "forward-remote" },
	{ SP_POLICY_FWD_DYNAMIC, "forward-dynamic" }, { SP_POLICY_AGENT, "agent" }, { SP_POLICY_X11, "x11" },
};

uint32_t
judge_protocol(const char *word)
{
	for (size_t i = 0; i < SP_NELEMS(protocols); i++)
		if (strcmp(protocols[i].word, word) == 0)
			return protocols[i].bit;
	return 0;
}

const char *
judge_protocol_word(uint32_t bit)
{
	for (size_t i = 0; i < SP_NELEMS(protocols); i++)
		if (protocols[i].bit == bit)
			return protocols[i].word;
	return NULL;
}

static uint64_t
sum_add(uint64_t h, const void *p, size_t n)
{
	const uint8_t *b = p;

	while (n-- > 0)
		h = (h ^ *b++) * UINT64_C(1099511628211);
	return h;
}

uint64_t
judge_sum_more(uint64_t sum, const void *p, size_t n)
{
	return sum_add(sum, p, n);
}

uint64_t
judge_sum(const struct sp_policy_decision *d)
{
	uint64_t h = UINT64_C(14695981039346656037);

	h = sum_add(h, &d->protocols, sizeof(d->protocols));
	h = sum_add(h, &d->until_us, sizeof(d->until_us));
	h = sum_add(h, &d->idle_s, sizeof(d->idle_s));
	h = sum_add(h, &d->max_session_s, sizeof(d->max_session_s));
	h = sum_add(h, &d->until_hours, sizeof(d->until_hours));
	h = sum_add(h, &d->agent_kinds, sizeof(d->agent_kinds));
	h = sum_add(h, &d->file_direction, sizeof(d->file_direction));
	h = sum_add(h, &d->best_effort, sizeof(d->best_effort));
	h = sum_add(h, &d->paths_ruled, sizeof(d->paths_ruled));
	h = sum_add(h, d->file_paths, strlen(d->file_paths));
	return sum_add(h, d->forwards, strlen(d->forwards));
}

/* ---- grants ---- */

void
judge_grants_release(struct judge_grants *g)
{
	for (size_t i = 0; i < g->n; i++) {
		char *p;

		memcpy(&p, &g->g[i].name, sizeof(p));	/* all texts of a grant are one block that begins with the name */
		free(p);
	}
	free(g->g);
	*g = (struct judge_grants){ 0 };
}

static const char *
pack_text(char **at, const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = *at;

	memcpy(p, s, n);
	*at += n;
	return p;
}

int
judge_grants_add(const struct sp_store_grant *row, void *arg)
{
	struct judge_grants *g = arg;
	char *block;

	if (g->n == g->cap) {
		size_t cap = g->cap ? g->cap * 2 : 16;
		struct sp_policy_grant *p = g->n >= JUDGE_GRANTS_MAX ? NULL : realloc(g->g, cap * sizeof(*p));

		if (p == NULL) {
			g->err = g->n >= JUDGE_GRANTS_MAX ? SP_ESIZE : SP_ENOMEM;
			return 1;
		}
		g->g = p;
		g->cap = cap;
	}
	block = malloc(strlen(row->name) + strlen(row->accounts) + strlen(row->hours) + strlen(row->sources) +
	    strlen(row->forwards) + strlen(row->reason_pattern) + strlen(row->file_paths) + 7);
	if (block == NULL) {
		g->err = SP_ENOMEM;
		return 1;
	}
	g->g[g->n] = (struct sp_policy_grant){ .id = row->id, .deny = row->effect != SP_STORE_ALLOW,
	    .protocols = (uint32_t)row->protocols, .valid_from_us = row->valid_from_us,
	    .valid_until_us = row->valid_until_us, .mfa_interval_s = row->mfa_interval_s, .idle_s = row->idle_s,
	    .max_session_s = row->max_session_s, .concurrent_max = row->concurrent_max,
	    .reason_required = (int)row->reason_required, .agent_kinds = (uint32_t)row->agent_kinds,
	    .file_direction = (uint32_t)row->file_direction, .best_effort = row->record_mode == SP_STORE_RECORD_BEST_EFFORT };
	g->g[g->n].keep = (uint32_t)row->keep;
	g->g[g->n].keep_max_mb = row->keep_max_mb;
	g->g[g->n].name = pack_text(&block, row->name);
	g->g[g->n].accounts = pack_text(&block, row->accounts);
	g->g[g->n].hours = pack_text(&block, row->hours);
	g->g[g->n].sources = pack_text(&block, row->sources);
	g->g[g->n].forwards = pack_text(&block, row->forwards);
	g->g[g->n].reason_pattern = pack_text(&block, row->reason_pattern);
	g->g[g->n].file_paths = pack_text(&block, row->file_paths);
	g->n++;
	return 0;
}

static int
by_id(const void *a, const void *b)
{
	const struct sp_policy_grant *x = a, *y = b;

	return memcmp(x->id.b, y->id.b, sizeof(x->id.b));
}

enum sp_err
judge_grants_load(struct sp_store *s, const struct sp_uuid *user, const struct sp_uuid *asset, struct judge_grants *ret)
{
	struct judge_grants g = { 0 };
	enum sp_err r = sp_store_grants_for(s, user, asset, judge_grants_add, &g);

	/* A set of grants that is not complete could miss a deny. */
	if (r == SP_OK)
		r = g.err;
	if (r != SP_OK) {
		judge_grants_release(&g);
		return r;
	}
	if (g.n > 1)
		qsort(g.g, g.n, sizeof(*g.g), by_id);	/* reasons are in the order of the grants */
	*ret = g;
	return SP_OK;
}

static int
tz_offset_s(time_t t)
{
	struct tm tm;

	return localtime_r(&t, &tm) != NULL ? (int)(tm.tm_gmtoff) : 0;
}

/* When the clocks change next, found by halves within TZ_AHEAD_DAYS. Only weekly hours want to know. */
static void
tz_ahead(time_t now, struct sp_policy_input *in)
{
	time_t from = now, to = 0, day = 86400;

	for (int i = 0; i < TZ_AHEAD_DAYS && to == 0; i++, from += day)
		if (tz_offset_s(from + day) != in->tz_offset_s)
			to = from + day;
	if (to == 0)
		return;
	for (from = to - day; to - from > 1; ) {
		time_t mid = from + (to - from) / 2;

		*(tz_offset_s(mid) == in->tz_offset_s ? &from : &to) = mid;
	}
	in->tz_next_us = (int64_t)to * (int64_t)SP_US_PER_S;
	in->tz_next_offset_s = tz_offset_s(to);
}

void
judge_input(const struct sp_store_user *u, const struct sp_store_asset *a, const struct sp_netaddr *source,
    int64_t login_epoch, int64_t now_us, const struct judge_grants *g, struct sp_policy_input *ret)
{
	*ret = (struct sp_policy_input){ .now_us = now_us, .tz_offset_s = tz_offset_s((time_t)(now_us / (int64_t)SP_US_PER_S)),
	    .user_state = (int)u->state, .user_from_us = u->valid_from_us, .user_until_us = u->valid_until_us,
	    .user_epoch = u->epoch, .login_epoch = login_epoch, .asset_state = (int)a->state, .grant = g->g, .n = g->n };
	if (source != NULL)
		ret->source = *source;
	for (size_t i = 0; i < g->n; i++)
		if (g->g[i].hours[0] != '\0') {
			tz_ahead((time_t)(now_us / (int64_t)SP_US_PER_S), ret);
			break;
		}
}

const char *
judge_user_refused(const struct sp_store_user *u, int64_t now_us)
{
	if (u->state != SP_STORE_ACTIVE)
		return u->state == SP_STORE_EXPIRED ? "the user has expired" : "the user is disabled";
	if (u->valid_from_us != 0 && now_us < u->valid_from_us)
		return "the user is not valid yet";
	if (u->valid_until_us != 0 && now_us >= u->valid_until_us)
		return "the user has expired";
	return NULL;
}

int
judge_may_see(const struct sp_policy_input *in)
{
	for (size_t i = 0; i < in->n; i++)
		if (!in->grant[i].deny && (in->grant[i].valid_from_us == 0 || in->now_us >= in->grant[i].valid_from_us) &&
		    (in->grant[i].valid_until_us == 0 || in->now_us < in->grant[i].valid_until_us))
			return 1;
	return 0;
}

/* ---- assets and accounts ---- */

enum sp_err
judge_asset(struct sp_store *s, const char *text, struct sp_store_asset *ret)
{
	struct sp_uuid id;
	enum sp_err r = sp_store_asset_by_name(s, text, ret);

	if (r == SP_ENOENT)
		r = sp_store_asset_by_address(s, text, 0, ret);
	if (r == SP_ENOENT && sp_uuid_parse(text, &id) == SP_OK)
		r = sp_store_asset_get(s, &id, ret);
	return r == SP_EINVAL ? SP_ENOENT : r;	/* a text that cannot be a name names nothing */
}

struct account_set {
	struct sp_store_account	*a;
	size_t			 n, cap;
	enum sp_err		 err;
};

static void account_set_release(struct account_set *a) { free(a->a); }

static int
account_set_add(const struct sp_store_account *row, void *arg)
{
	struct account_set *set = arg;

	if (set->n == set->cap) {
		size_t cap = set->cap ? set->cap * 2 : 8;
		struct sp_store_account *p = realloc(set->a, cap * sizeof(*p));

		if (p == NULL) {
			set->err = SP_ENOMEM;
			return 1;
		}
		set->a = p;
		set->cap = cap;
	}
	set->a[set->n++] = *row;
	return 0;
}

static enum sp_err
accounts_of(struct sp_store *s, const struct sp_uuid *asset, struct account_set *ret)
{
	struct sp_store_query q = { .of = *asset, .checked = 1 };
	size_t before;
	enum sp_err r;

	do {
		before = ret->n;
		r = sp_store_account_list(s, &q, account_set_add, ret);
		q.offset += SP_STORE_PAGE_MAX;
	} while (r == SP_OK && ret->err == SP_OK && ret->n - before == SP_STORE_PAGE_MAX);
	return r == SP_OK ? ret->err : r;
}

/* The certificate authority that an asset trusts: that of its first account that has one. */
static enum sp_err
asset_ca(struct sp_store *s, const struct account_set *set, struct sp_uuid *ret)
{
	struct sp_store_secret *sec = malloc(sizeof(*sec));
	enum sp_err r = sec == NULL ? SP_ENOMEM : SP_ENOENT;

	for (size_t i = 0; i < set->n && r == SP_ENOENT; i++)
		if (!sp_uuid_is_null(&set->a[i].secret_id) &&
		    sp_store_secret_get(s, &set->a[i].secret_id, sec) == SP_OK && sec->kind == SP_STORE_SECRET_SSH_CA) {
			*ret = sec->id;
			r = SP_OK;
		}
	free(sec);
	return r;
}

static const char *
method_of_kind(int64_t secret_kind)
{
	switch (secret_kind) {
	case SP_STORE_SECRET_PASSWORD:
		return "password";
	case SP_STORE_SECRET_SSH_KEY:
		return "key";
	case SP_STORE_SECRET_SSH_CA:
		return "certificate";
	}
	return NULL;
}

/* Which login, which secret, by which method. */
static enum sp_err
facts_account(struct sp_store *s, const struct sp_store_user *u, const struct sp_store_account *a,
    const struct account_set *set, struct judge_facts *f)
{
	struct sp_store_secret *sec;
	const char *m = NULL;
	enum sp_err r;

	f->account_id = a->id;
	(void)sp_strlcpy(f->account, a->name, sizeof(f->account));
	(void)sp_strlcpy(f->principals, a->principals, sizeof(f->principals));
	(void)sp_strlcpy(f->login, a->kind == SP_STORE_ACCOUNT_SAME ? u->login : *a->login ? a->login : a->name,
	    sizeof(f->login));
	(void)sp_strlcpy(f->method, "typed", sizeof(f->method));
	if (a->kind == SP_STORE_ACCOUNT_TYPED)
		return SP_OK;
	f->secret_id = a->secret_id;
	if (a->kind == SP_STORE_ACCOUNT_SAME && sp_uuid_is_null(&f->secret_id) &&
	    (r = asset_ca(s, set, &f->secret_id)) != SP_OK)
		return r == SP_ENOENT ? SP_OK : r;	/* no authority: the user types the password */
	if (sp_uuid_is_null(&f->secret_id))
		return SP_ESTATE;
	if ((sec = malloc(sizeof(*sec))) == NULL)
		return SP_ENOMEM;
	if ((r = sp_store_secret_get(s, &f->secret_id, sec)) == SP_OK && (m = method_of_kind(sec->kind)) == NULL)
		r = SP_ESTATE;
	free(sec);
	if (r == SP_OK)
		(void)sp_strlcpy(f->method, m, sizeof(f->method));
	return r;
}

static void
facts_asset(const struct sp_store_asset *a, struct judge_facts *f)
{
	f->asset_id = a->id;
	f->zone_id = a->zone_id;
	f->port = (uint16_t)a->port;
	(void)sp_strlcpy(f->asset_name, a->name, sizeof(f->asset_name));
	(void)sp_strlcpy(f->asset_address, a->address, sizeof(f->asset_address));
}

enum sp_err
judge_facts_load(struct sp_store *s, const struct sp_store_user *u, const struct sp_uuid *asset_id,
    const struct sp_uuid *account_id, struct judge_facts *ret)
{
	sp_auto(account_set_release) struct account_set set = { 0 };
	struct sp_store_asset asset;
	enum sp_err r;

	*ret = (struct judge_facts){ 0 };
	if ((r = sp_store_asset_get(s, asset_id, &asset)) != SP_OK || (r = accounts_of(s, asset_id, &set)) != SP_OK)
		return r;
	facts_asset(&asset, ret);
	for (size_t i = 0; i < set.n; i++)
		if (sp_uuid_equal(&set.a[i].id, account_id))
			return facts_account(s, u, &set.a[i], &set, ret);
	return SP_ENOENT;
}

void
judge_facts_apply(const struct judge_facts *f, struct target *t)
{
	t->account_id = f->account_id;
	t->zone_id = f->zone_id;
	t->secret_id = f->secret_id;
	t->port = f->port;
	(void)sp_strlcpy(t->login, f->login, sizeof(t->login));
	(void)sp_strlcpy(t->asset_address, f->asset_address, sizeof(t->asset_address));
	(void)sp_strlcpy(t->method, f->method, sizeof(t->method));
	(void)sp_strlcpy(t->principals, f->principals, sizeof(t->principals));
}

/* ---- the question ---- */

static void SP_PRINTF(3, 4)
refuse(struct judge *j, enum sp_err err, const char *fmt, ...)
{
	va_list ap;

	j->err = err;
	va_start(ap, fmt);
	(void)vsnprintf(j->text, sizeof(j->text), fmt, ap);
	va_end(ap);
}

static void
refuse_unseen(struct judge *j, const struct sp_config *conf)
{
	char e[300];

	refuse(j, SP_EACCES, "No such asset, or you have no access to it: %s. Type 'ssh -t %s' for the list.",
	    sp_escape(j->asset_text, strlen(j->asset_text), e, sizeof(e)), conf->bastion_name);
}

static void
first_reason(const struct sp_policy_input *in, const struct sp_policy_reason *r, size_t n, char *dst, size_t size)
{
	struct sp_buf b;

	sp_buf_init(&b, size > 0 ? size - 1 : 0);
	dst[0] = '\0';
	/* The buffer is smaller than some sentences: a sentence that does not fit is left out. */
	if (n > 0 && sp_policy_reason_text(in, &r[0], &b) == SP_OK)
		(void)sp_strlcpy(dst, sp_buf_cstr(&b), size);
	sp_buf_release(&b);
}

static int
decide(struct sp_policy_input *in, const char *account, uint32_t wanted, struct sp_policy_decision *d, char *why, size_t size)
{
	struct sp_policy_reason reason[8];
	size_t n = 0;

	in->account = account;
	in->wanted = wanted;
	sp_policy_access(in, d, reason, SP_NELEMS(reason), &n);
	if (why != NULL)
		first_reason(in, reason, n < SP_NELEMS(reason) ? n : SP_NELEMS(reason), why, size);
	return d->allowed;
}

/* The account that the text names: by name, by login when only one has it, or the user's own name for "same". */
static const struct sp_store_account *
account_named(const struct account_set *set, const struct sp_store_user *u, const char *text)
{
	const struct sp_store_account *found = NULL;
	int n = 0;

	for (size_t i = 0; i < set->n; i++)
		if (strcmp(set->a[i].name, text) == 0)
			return &set->a[i];
	for (size_t i = 0; i < set->n; i++)
		if (strcmp(set->a[i].kind == SP_STORE_ACCOUNT_SAME ? u->login : set->a[i].login, text) == 0) {
			found = &set->a[i];
			n++;
		}
	return n == 1 ? found : NULL;
}

/* As many names as fit a line: the person must type one of them. */
static void
refuse_several(struct judge *j)
{
	char names[160] = "";
	size_t at = 0, i;

	for (i = 0; i < j->choice_n && at + strlen(j->choice[i]) + 3 < sizeof(names); i++) {
		sp_snprintf(names + at, sizeof(names) - at, "%s%s", i > 0 ? ", " : "", j->choice[i]);
		at = strlen(names);
	}
	refuse(j, SP_EUSAGE, "You have several accounts on %s (%s%s): name one, as in %s@%s.", j->asset.name, names,
	    i < j->choice_n ? ", ..." : "", j->choice[0], j->asset.name);
}

static const struct sp_store_account *
account_find(struct judge *j, struct sp_policy_input *in, const struct account_set *set)
{
	const struct sp_store_account *only = NULL;

	for (size_t i = 0; i < set->n; i++) {
		if (set->a[i].state != SP_STORE_ACTIVE || !decide(in, set->a[i].name, j->wanted, &j->decision, NULL, 0))
			continue;
		only = &set->a[i];
		if (j->choice_n < JUDGE_CHOICES_MAX)
			(void)sp_strlcpy(j->choice[j->choice_n++], set->a[i].name, sizeof(j->choice[0]));
	}
	if (j->choice_n == 1) {
		j->choice_n = 0;
		return only;
	}
	if (j->choice_n > 1)
		refuse_several(j);
	else
		refuse(j, SP_EACCES, "You have no account on %s that you may use now.", j->asset.name);
	return NULL;
}

static int
pin_add(const struct sp_store_host_key *k, void *arg)
{
	struct judge *j = arg;
	struct judge_pin *p = &j->pin[j->pin_n];

	if (k->state != SP_STORE_ACTIVE)
		return 0;
	if (j->pin_n == JUDGE_PINS_MAX)
		return 1;
	(void)sp_strlcpy(p->type, k->type, sizeof(p->type));
	p->blob.len = k->blob.len;
	memcpy(p->blob.b, k->blob.b, k->blob.len);
	j->pin_n++;
	return 0;
}

static enum sp_err
judge_account(struct sp_store *s, struct judge *j, struct sp_policy_input *in, const struct account_set *set)
{
	const struct sp_store_account *a;
	char e[300], protocols_text[SP_POLICY_PROTOCOLS_SIZE];
	struct sp_policy_decision whole;

	if (*j->account_text == '\0') {
		if ((a = account_find(j, in, set)) == NULL)
			return SP_OK;
	} else {
		a = account_named(set, &j->user, j->account_text);
	}
	if (a == NULL || a->state != SP_STORE_ACTIVE || !decide(in, a->name, j->wanted, &j->decision, j->why, sizeof(j->why))) {
		sp_escape(j->account_text, strlen(j->account_text), e, sizeof(e));
		if (a != NULL && a->state == SP_STORE_ACTIVE && decide(in, a->name, 0, &j->decision, NULL, 0))
			refuse(j, SP_EDENIED, "You may not use %s on %s with account %s.",
			    sp_policy_protocols_text(j->wanted, protocols_text), j->asset.name, a->name);
		else
			refuse(j, SP_EACCES, "You have no access to account %s on %s.", *e ? e : "-", j->asset.name);
		return SP_OK;
	}
	if (j->decision.grant >= 0) {
		const struct sp_policy_grant *g = &in->grant[j->decision.grant];

		/* The session goes on as long as anything is permitted; what is not any more is closed channel by channel. */
		in->wanted = 0;
		sp_policy_access(in, &whole, NULL, 0, NULL);
		in->wanted = j->wanted;
		j->decision.until_us = whole.until_us;
		j->decision.until_hours = whole.until_hours;
		j->grant_id = g->id;
		(void)sp_strlcpy(j->grant_name, g->name != NULL ? g->name : "", sizeof(j->grant_name));
	}
	return facts_account(s, &j->user, a, set, &j->facts);
}

static enum sp_err
judge_body(struct sp_store *s, const struct sp_config *conf, struct judge *j)
{
	sp_auto(account_set_release) struct account_set set = { 0 };
	sp_auto(judge_grants_release) struct judge_grants grants = { 0 };
	struct sp_store_query pins = { .checked = 1 };
	struct sp_policy_input in;
	const char *gone;
	enum sp_err r;

	if ((r = sp_store_user_get(s, &j->user_id, &j->user)) != SP_OK && r != SP_ENOENT)
		return r;
	if (r == SP_ENOENT || (gone = judge_user_refused(&j->user, ctl_wall_us())) != NULL || j->user.epoch != j->epoch) {
		refuse(j, SP_EACCES, "Your access has changed; log in again.");
		return SP_OK;
	}
	if ((r = judge_asset(s, j->asset_text, &j->asset)) == SP_ENOENT || r == SP_ECONFLICT) {
		refuse_unseen(j, conf);
		return SP_OK;
	}
	if (r == SP_OK && sp_uuid_is_null(&j->only_asset))
		r = claim_provable(s, &j->user_id, &j->asset, ctl_wall_us(), &j->proof);
	if (r == SP_OK)
		r = j->proof ? claim_grants(&j->asset, &grants) : judge_grants_load(s, &j->user_id, &j->asset.id, &grants);
	if (r != SP_OK || (r = accounts_of(s, &j->asset.id, &set)) != SP_OK)
		return r;
	judge_input(&j->user, &j->asset, &j->source, j->epoch, ctl_wall_us(), &grants, &in);
	facts_asset(&j->asset, &j->facts);
	if (!judge_may_see(&in) || (!sp_uuid_is_null(&j->only_asset) && !sp_uuid_equal(&j->only_asset, &j->asset.id))) {
		decide(&in, j->account_text, j->wanted, &j->decision, j->why, sizeof(j->why));
		refuse_unseen(j, conf);
		return SP_OK;
	}
	if (j->asset.state != SP_STORE_ACTIVE) {
		refuse(j, SP_EACCES, "Asset %s is disabled.", j->asset.name);
		return SP_OK;
	}
	if (j->proof && (j->wanted & (SP_POLICY_SHELL | SP_POLICY_EXEC)) == 0) {
		refuse(j, SP_EDENIED, "%s is not yet proven to be yours: 'ssh -t %s ACCOUNT@%s' proves it.", j->asset.name,
		    conf->bastion_name, j->asset.name);
		return SP_OK;
	}
	if (j->proof && !sp_uuid_is_null(&j->asset.zone_id)) {
		/* The address is one of that network; and what is behind a jump server is not the claimant's alone to say. */
		refuse(j, SP_EDENIED, "%s is in a network zone: an administrator confirms the claim.", j->asset.name);
		return SP_OK;
	}
	if (j->proof)
		j->wanted = SP_POLICY_EXEC;	/* whatever he asked for: one command of ours is all that is run */
	if ((r = judge_account(s, j, &in, &set)) != SP_OK || j->err != SP_OK)
		return r;
	if (j->proof && strcmp(j->facts.method, "typed") != 0) {
		/* Nothing that Sallyport keeps goes to a host of which nobody knows whose it is. */
		refuse(j, SP_EDENIED, "Account %s on %s cannot be used to prove that it is yours: its password would have to be typed.",
		    j->facts.account, j->asset.name);
		return SP_OK;
	}
	pins.of = j->asset.id;
	return sp_store_host_key_list(s, &pins, pin_add, j);
}

void
judge_typed(const struct judge *j, char *dst, size_t size)
{
	dst[0] = '\0';
	if (j->err == SP_OK && strcmp(j->facts.method, "typed") == 0)
		sp_snprintf(dst, size, "%s@%s", j->facts.login, j->asset.name);
}

void
judge_run(struct sp_store *s, const struct sp_config *conf, struct judge *j)
{
	enum sp_err r;

	j->err = SP_OK;
	r = sp_store_mac_mode(s) == SP_STORE_MAC_SEALED ? SP_ESEALED : judge_body(s, conf, j);
	if (r == SP_ESEALED)
		refuse(j, r, "The vault is sealed: no access can be granted; ask an administrator.");
	else if (r == SP_ETAMPERED)
		refuse(j, r, "Refused: what gives you this access was changed behind Sallyport's back; ask an administrator.");
	else if (r == SP_ESTATE)
		refuse(j, r, "Account %s on %s has no usable credential; ask an administrator.", j->facts.account, j->asset.name);
	else if (r != SP_OK)
		refuse(j, r, "The access decision could not be made (%s); try again.", sp_err_text(r));
}

enum sp_err
judge_again(struct sp_store *s, const struct sp_uuid *user_id, int64_t epoch, const struct sp_netaddr *source,
    const struct sp_uuid *asset_id, const char *account, uint32_t wanted, struct sp_policy_decision *ret,
    struct sp_uuid *ret_grant, char *why, size_t why_size)
{
	sp_auto(judge_grants_release) struct judge_grants grants = { 0 };
	struct sp_store_user user;
	struct sp_store_asset asset;
	struct sp_store_account row;
	struct sp_policy_input in;
	int proof = 0;
	enum sp_err r;

	*ret = (struct sp_policy_decision){ .grant = -1 };
	why[0] = '\0';
	if (sp_store_mac_mode(s) == SP_STORE_MAC_SEALED)
		return SP_ESEALED;
	if ((r = sp_store_user_get(s, user_id, &user)) == SP_OK && (r = sp_store_asset_get(s, asset_id, &asset)) == SP_OK)
		r = sp_store_account_by_name(s, asset_id, account, &row);
	if (r == SP_ENOENT) {
		(void)sp_strlcpy(why, "the user, asset or account was deleted", why_size);
		return SP_OK;
	}
	if (r == SP_OK)
		r = claim_provable(s, user_id, &asset, ctl_wall_us(), &proof);
	if (r == SP_OK)
		r = proof ? claim_grants(&asset, &grants) : judge_grants_load(s, user_id, asset_id, &grants);
	if (r == SP_ETAMPERED) {
		(void)sp_strlcpy(why, "what gives this access was changed behind Sallyport's back", why_size);
		return SP_OK;
	}
	if (r != SP_OK)
		return r;
	if (row.state != SP_STORE_ACTIVE) {
		(void)sp_strlcpy(why, "the account is disabled", why_size);
		return SP_OK;
	}
	judge_input(&user, &asset, source, epoch, ctl_wall_us(), &grants, &in);
	decide(&in, account, wanted, ret, why, why_size);
	if (ret->grant >= 0 && ret_grant != NULL)
		*ret_grant = grants.g[ret->grant].id;
	return SP_OK;
}
