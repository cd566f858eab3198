/* src/control/api_grant.c - grants. What cannot be judged is never stored: every text is checked by the policy's own
 * parsers first. A change is in force for the next decision at once, and live sessions are judged again. */
#include "control/api.h"

#include <string.h>

#include "common/keep.h"
#include "control/judge.h"
#include "control/methods.h"
#include "control/reason.h"
#include "policy/forward.h"

struct rows {
	struct sp_store	*s;
	json_t		*out;
	struct api_call	*c;
	size_t		 limit, seen;
};

static json_t *
words(uint32_t bits)
{
	json_t *a = json_array();

	for (uint32_t b = 1; b < SP_POLICY_ALL + 1; b <<= 1)
		if (bits & b)
			json_array_append_new(a, json_string(judge_protocol_word(b)));
	return a;
}

static json_t *
list(const char *text)
{
	json_t *a = json_array();

	for (const char *s = text, *e; *s; s = *e ? e + 1 : e) {
		e = strchrnul(s, ',');
		json_array_append_new(a, json_stringn(s, (size_t)(e - s)));
	}
	return a;
}

static const struct {
	const char	*word;
	int64_t		 bit;
} agent_kinds[] = { { "platform", SP_STORE_AGENT_PLATFORM }, { "own", SP_STORE_AGENT_USER } };

json_t *
grant_agent_words(int64_t bits)
{
	json_t *a = json_array();

	for (size_t i = 0; i < SP_NELEMS(agent_kinds); i++)
		if (bits & agent_kinds[i].bit)
			json_array_append_new(a, json_string(agent_kinds[i].word));
	return a;
}

const char *
grant_reason_word(int64_t r)
{
	return r == SP_POLICY_REASON_TICKET ? "ticket" : r == SP_POLICY_REASON_TEXT ? "text" : "none";
}

static void
grant_sides(struct sp_store *s, const struct sp_store_grant *g, json_t *o)
{
	struct sp_store_user u;
	struct sp_store_group ug;
	struct sp_store_asset a;
	struct sp_store_asset_group ag;

	if (g->subject_kind == SP_STORE_SUBJECT_USER && sp_store_user_get(s, &g->subject_id, &u) == SP_OK)
		json_object_set_new(o, "user", json_string(u.login));
	else if (g->subject_kind == SP_STORE_SUBJECT_GROUP && sp_store_group_get(s, &g->subject_id, &ug) == SP_OK)
		json_object_set_new(o, "group", json_string(ug.name));
	if (g->object_kind == SP_STORE_OBJECT_ASSET && sp_store_asset_get(s, &g->object_id, &a) == SP_OK)
		json_object_set_new(o, "asset", json_string(a.name));
	else if (g->object_kind == SP_STORE_OBJECT_ASSET_GROUP && sp_store_asset_group_get(s, &g->object_id, &ag) == SP_OK)
		json_object_set_new(o, "asset_group", json_string(ag.name));
}

/* How long a one-time code counts: "every" login, "never" asked, or as long as "4h", "30m", "90s"; 12 h at most. */
#define MFA_MOST_S	(12 * 3600)
static const struct { char unit; int64_t s; } mfa_units[] = { { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };

static const char *
mfa_text_of(int64_t s, char dst[32])
{
	if (s == SP_POLICY_MFA_NEVER || s == 0)
		return s == 0 ? "every" : "never";
	for (size_t i = 0; i < SP_NELEMS(mfa_units); i++)
		if (s % mfa_units[i].s == 0) {
			sp_snprintf(dst, 32, "%lld%c", (long long)(s / mfa_units[i].s), mfa_units[i].unit);
			break;
		}
	return dst;
}

static enum sp_err
grant_mfa(struct api_call *c, struct sp_store_grant *g)
{
	char text[16] = "", *end;
	enum sp_err r = api_str(c, "mfa", 0, text, sizeof(text));
	long n;

	if (r != SP_OK || *text == '\0')
		return r;
	if (g->effect == SP_STORE_DENY)
		return api_fail(c, SP_EINVAL, "a deny asks for no one-time code");
	if (strcmp(text, "never") == 0 || strcmp(text, "every") == 0) {
		g->mfa_interval_s = *text == 'e' ? 0 : SP_POLICY_MFA_NEVER;
		return SP_OK;
	}
	n = strtol(text, &end, 10);
	for (size_t i = 0; i < SP_NELEMS(mfa_units); i++)
		if (text[0] >= '1' && text[0] <= '9' && n <= MFA_MOST_S && end[0] == mfa_units[i].unit && end[1] == '\0' &&
		    n * mfa_units[i].s <= MFA_MOST_S) {
			g->mfa_interval_s = n * mfa_units[i].s;
			return SP_OK;
		}
	return api_fail(c, SP_EINVAL, "mfa is every, never, or how long a one-time code counts: 4h, 8h, 12h at most");
}

/* Which way files may go. */
static const struct { const char *word; int64_t bits; } directions[] = {
	{ "both", SP_STORE_FILE_UP | SP_STORE_FILE_DOWN }, { "up", SP_STORE_FILE_UP }, { "down", SP_STORE_FILE_DOWN }, { "none", 0 }
};

static const char *
grant_files_word(int64_t bits)
{
	for (size_t i = 0; i < SP_NELEMS(directions); i++)
		if (directions[i].bits == bits)
			return directions[i].word;
	return "none";
}

const char *
grant_keep_word(int64_t keep)
{
	static const char *const words[] = { "none", "uploads", "downloads", "both" };

	return words[keep & SP_KEEP_FILES];
}

json_t *
grant_paths_list(const char *rules)
{
	json_t *a = json_array();

	for (const char *s = rules; *s; s += strcspn(s, "\n"), s += *s != '\0')
		json_array_append_new(a, json_stringn(s, strcspn(s, "\n")));
	return a;
}

static json_t *
grant_json(struct sp_store *s, const struct sp_store_grant *g)
{
	json_t *o = json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:s, s:o}", "id", api_id(&g->id), "name",
	    *g->name ? json_string(g->name) : json_null(), "effect", g->effect == SP_STORE_ALLOW ? "allow" : "deny",
	    "accounts", list(g->accounts), "protocols", words((uint32_t)g->protocols), "valid_from", api_at(g->valid_from_us),
	    "valid_until", api_at(g->valid_until_us), "forward_to", list(g->forwards), "record_mode",
	    g->record_mode == SP_STORE_RECORD_BEST_EFFORT ? "best-effort" : "strict", "created", api_at(g->created_us));
	char mfa[32];

	if (*g->hours)
		json_object_set_new(o, "hours", json_string(g->hours));
	if (*g->sources)
		json_object_set_new(o, "sources", list(g->sources));
	json_object_set_new(o, "mfa", json_string(mfa_text_of(g->mfa_interval_s, mfa)));
	if (g->idle_s)
		json_object_set_new(o, "idle_s", json_integer(g->idle_s));
	if (g->max_session_s)
		json_object_set_new(o, "max_session_s", json_integer(g->max_session_s));
	if (g->concurrent_max)
		json_object_set_new(o, "concurrent_max", json_integer(g->concurrent_max));
	if (g->reason_required)
		json_object_set_new(o, "reason", json_string(grant_reason_word(g->reason_required)));
	if (*g->reason_pattern)
		json_object_set_new(o, "reason_pattern", json_string(g->reason_pattern));
	if (g->agent_kinds)
		json_object_set_new(o, "agent", grant_agent_words(g->agent_kinds));
	if (g->file_direction != (SP_STORE_FILE_UP | SP_STORE_FILE_DOWN))
		json_object_set_new(o, "files", json_string(grant_files_word(g->file_direction)));
	if (*g->file_paths)
		json_object_set_new(o, "file_paths", grant_paths_list(g->file_paths));
	if (g->keep & SP_KEEP_FILES)
		json_object_set_new(o, "keep_files", json_string(grant_keep_word(g->keep)));
	if (g->keep & SP_KEEP_OUTPUT)
		json_object_set_new(o, "keep_output", json_true());
	if (g->keep_max_mb)
		json_object_set_new(o, "keep_max_mb", json_integer(g->keep_max_mb));
	grant_sides(s, g, o);
	return o;
}

static enum sp_err
grant_who_what(struct api_call *c, struct sp_store *s, struct sp_store_grant *g)
{
	struct sp_store_user u;
	struct sp_store_group ug;
	struct sp_store_asset a;
	struct sp_store_asset_group ag;
	enum sp_err r;

	if ((json_object_get(c->params, "user") != NULL) == (json_object_get(c->params, "group") != NULL))
		return api_fail(c, SP_EUSAGE, "a grant has a user or a group");
	if ((json_object_get(c->params, "asset") != NULL) == (json_object_get(c->params, "asset_group") != NULL))
		return api_fail(c, SP_EUSAGE, "a grant has an asset or an asset group");
	if (json_object_get(c->params, "user") != NULL) {
		if ((r = api_user(c, s, "user", &u)) != SP_OK)
			return r;
		g->subject_kind = SP_STORE_SUBJECT_USER;
		g->subject_id = u.id;
	} else {
		if ((r = api_group(c, s, "group", &ug)) != SP_OK)
			return r;
		g->subject_kind = SP_STORE_SUBJECT_GROUP;
		g->subject_id = ug.id;
		api_more(c, "group", json_string(ug.name));
	}
	if (json_object_get(c->params, "asset") != NULL) {
		if ((r = api_asset(c, s, "asset", &a)) != SP_OK)
			return r;
		g->object_kind = SP_STORE_OBJECT_ASSET;
		g->object_id = a.id;
	} else {
		if ((r = api_asset_group(c, s, "asset_group", &ag)) != SP_OK)
			return r;
		g->object_kind = SP_STORE_OBJECT_ASSET_GROUP;
		g->object_id = ag.id;
		api_more(c, "asset_group", json_string(ag.name));
	}
	return SP_OK;
}

static enum sp_err
grant_protocols(struct api_call *c, struct sp_store_grant *g)
{
	const json_t *p = json_object_get(c->params, "protocols");
	size_t i;
	json_t *v;

	g->protocols = SP_STORE_P_SHELL | SP_STORE_P_EXEC | SP_STORE_P_SFTP | SP_STORE_P_SCP;
	if (p == NULL || json_is_null(p)) {
		/* Destinations without the protocol would be a grant that does nothing. A deny denies everything. */
		if (json_object_get(c->params, "forward_to") != NULL)
			g->protocols |= SP_STORE_P_FWD_LOCAL | SP_STORE_P_FWD_DYNAMIC;
		if (g->effect == SP_STORE_DENY)
			g->protocols = SP_STORE_P_ALL;
		return SP_OK;
	}
	if (!json_is_array(p) || json_array_size(p) == 0)
		return api_fail(c, SP_EINVAL, "protocols is a list of words");
	g->protocols = 0;
	json_array_foreach(p, i, v) {
		const char *w = json_string_value(v);
		uint32_t bit = w == NULL ? 0 : strcmp(w, "all") == 0 ? SP_POLICY_ALL : judge_protocol(w);

		if (bit == 0)
			return api_fail(c, SP_EINVAL, "a protocol is one of shell, exec, sftp, scp, forward-local, forward-remote, "
			    "forward-dynamic, agent, x11, all");
		g->protocols |= bit;
	}
	return SP_OK;
}

static enum sp_err
grant_limits(struct api_call *c, struct sp_store_grant *g)
{
	enum sp_err r;

	if ((r = api_time(c, "valid_from", &g->valid_from_us)) != SP_OK ||
	    (r = api_time(c, "valid_until", &g->valid_until_us)) != SP_OK ||
	    (r = api_str(c, "hours", 0, g->hours, sizeof(g->hours))) != SP_OK ||
	    (r = api_names(c, "sources", g->sources, sizeof(g->sources))) != SP_OK ||
	    (r = api_names(c, "forward_to", g->forwards, sizeof(g->forwards))) != SP_OK ||
	    (r = api_int(c, "idle_s", 0, 864000, &g->idle_s)) != SP_OK ||
	    (r = api_int(c, "max_session_s", 0, 31536000, &g->max_session_s)) != SP_OK ||
	    (r = api_int(c, "concurrent_max", 0, 100000, &g->concurrent_max)) != SP_OK)
		return r;
	if (g->valid_until_us != 0 && g->valid_from_us >= g->valid_until_us)
		return api_fail(c, SP_EINVAL, "valid_until is not after valid_from");
	if (sp_policy_hours_check(g->hours) != SP_OK)
		return api_fail(c, SP_EINVAL, "hours: as in \"mon-fri 08:00-18:00,sat 09:00-12:00\"");
	if (sp_policy_sources_check(g->sources) != SP_OK)
		return api_fail(c, SP_EINVAL, "sources: networks as in 10.0.0.0/8");
	if (sp_policy_forward_check(g->forwards) != SP_OK)
		return api_fail(c, SP_EINVAL, "forward_to: destinations as in db1.example.org:5432, 10.0.0.0/8:*, *:22");
	return SP_OK;
}

/* Which agent channels; either kind brings the protocol with it. "agent" among the protocols alone means the user's own. */
static enum sp_err
grant_agent(struct api_call *c, struct sp_store_grant *g)
{
	const json_t *p = json_object_get(c->params, "agent");
	size_t i, k;
	json_t *v;

	if (p == NULL || json_is_null(p)) {
		g->agent_kinds = g->protocols & SP_STORE_P_AGENT && g->effect == SP_STORE_ALLOW ? SP_STORE_AGENT_USER : 0;
		return SP_OK;
	}
	if (!json_is_array(p))
		return api_fail(c, SP_EINVAL, "agent is a list of platform, own");
	json_array_foreach(p, i, v) {
		for (k = 0; k < SP_NELEMS(agent_kinds); k++)
			if (json_is_string(v) && strcmp(json_string_value(v), agent_kinds[k].word) == 0)
				break;
		if (k == SP_NELEMS(agent_kinds))
			return api_fail(c, SP_EINVAL, "an agent channel is platform or own");
		g->agent_kinds |= agent_kinds[k].bit;
	}
	if (g->agent_kinds != 0)
		g->protocols |= SP_STORE_P_AGENT;
	return SP_OK;
}

static enum sp_err
grant_reason(struct api_call *c, struct sp_store_grant *g)
{
	char kind[16] = "none", why[200];
	enum sp_err r;

	if ((r = api_str(c, "reason", 0, kind, sizeof(kind))) != SP_OK ||
	    (r = api_str(c, "reason_pattern", 0, g->reason_pattern, sizeof(g->reason_pattern))) != SP_OK)
		return r;
	if (strcmp(kind, "text") == 0)
		g->reason_required = SP_POLICY_REASON_TEXT;
	else if (strcmp(kind, "ticket") == 0)
		g->reason_required = SP_POLICY_REASON_TICKET;
	else if (*kind != '\0' && strcmp(kind, "none") != 0)
		return api_fail(c, SP_EINVAL, "reason is text, ticket or none");
	if (*g->reason_pattern && g->reason_required != SP_POLICY_REASON_TICKET)
		return api_fail(c, SP_EINVAL, "reason_pattern is for tickets");
	if (reason_check(g->reason_pattern, why, sizeof(why)) != SP_OK)
		return api_fail(c, SP_EINVAL, "the form of the ticket: %s", why);
	return SP_OK;
}

static enum sp_err
grant_files(struct api_call *c, struct sp_store_grant *g)
{
	char word[16] = "both";

	if (json_object_get(c->params, "files") == NULL)
		return SP_OK;
	if (api_str(c, "files", 0, word, sizeof(word)) != SP_OK)
		return c->err;
	for (size_t i = 0; i < SP_NELEMS(directions); i++)
		if (strcmp(directions[i].word, word) == 0) {
			g->file_direction = directions[i].bits;
			return SP_OK;
		}
	return api_fail(c, SP_EINVAL, "files is both, up (to the target), down (from it) or none");
}

/* Rules for paths, in their order: a list, one a line in the row. */
static enum sp_err
grant_paths(struct api_call *c, struct sp_store_grant *g)
{
	const json_t *p = json_object_get(c->params, "file_paths");
	size_t n = 0, i;
	json_t *v;

	if (p == NULL || json_is_null(p))
		return SP_OK;
	if (!json_is_array(p))
		return api_fail(c, SP_EINVAL, "file_paths is a list of rules");
	json_array_foreach(p, i, v) {
		const char *s = json_string_value(v);
		char one[2 * SP_POLICY_PATHS_SIZE];

		/* One by one, so that the message names the line; a deny alone is good as a line. */
		if (s == NULL || strlen(s) > SP_STORE_LIST_MAX || strchr(s, '\n') != NULL ||
		    sp_snprintf(one, sizeof(one), "%s\n%s", s, SP_POLICY_PATHS_EVERY) < 0 || sp_policy_paths_check(one) != SP_OK)
			return api_fail(c, SP_EINVAL, "a rule for paths is allow|deny:read|write|both:/PATH, as in allow:both:/srv/app/**; a path is "
			    "absolute, without . and .., and ** is a whole name");
		if (n + strlen(s) + 2 > sizeof(g->file_paths))
			return api_fail(c, SP_ESIZE, "the rules for paths are longer than %d bytes together: use ** in fewer of them", SP_STORE_LIST_MAX);
		n += (size_t)snprintf(g->file_paths + n, sizeof(g->file_paths) - n, "%s%s", i > 0 ? "\n" : "", s);
	}
	if (*g->file_paths && g->effect == SP_STORE_DENY)
		return api_fail(c, SP_EINVAL, "file_paths are for grants that allow: what a grant does not open is closed");
	if (sp_policy_paths_check(g->file_paths) != SP_OK)
		return api_fail(c, SP_EINVAL, "no rule for paths allows anything, and what none allows is refused: end with allow:both:/**");
	return SP_OK;
}

/* What is kept beside the recording. */
static const struct { const char *word; int64_t bits; } keeps[] = {
	{ "none", 0 }, { "uploads", SP_KEEP_UPLOADS }, { "downloads", SP_KEEP_DOWNLOADS }, { "both", SP_KEEP_FILES }
};

static enum sp_err
grant_keep(struct api_call *c, struct sp_store_grant *g)
{
	const json_t *output = json_object_get(c->params, "keep_output");	/* of a file: 0 or 1 */
	char word[16] = "none";
	size_t i = 0;

	if (api_str(c, "keep_files", 0, word, sizeof(word)) != SP_OK || api_int(c, "keep_max_mb", 0, INT32_MAX, &g->keep_max_mb) != SP_OK)
		return c->err;
	while (i < SP_NELEMS(keeps) && *word != '\0' && strcmp(keeps[i].word, word) != 0)
		i++;
	if (i == SP_NELEMS(keeps))
		return api_fail(c, SP_EINVAL, "keep_files is none, uploads, downloads or both");
	g->keep = keeps[i].bits | (json_is_true(output) || json_integer_value(output) == 1 ? SP_KEEP_OUTPUT : 0);
	if (g->keep != 0 && g->effect == SP_STORE_DENY)
		return api_fail(c, SP_EINVAL, "keep_files and keep_output are for grants that allow");
	if (g->keep_max_mb != 0 && (g->keep & SP_KEEP_FILES) == 0)
		return api_fail(c, SP_EINVAL, "keep_max_mb is for grants that keep files: add keep_files");
	return SP_OK;
}

/* Everything but the two sides, for a grant whose other members are set. */
enum sp_err
grant_fields(struct api_call *c, struct sp_store_grant *g)
{
	char effect[16] = "allow", record[16] = "strict";

	if (api_str(c, "name", 0, g->name, sizeof(g->name)) != SP_OK ||
	    api_str(c, "remark", 0, g->remark, sizeof(g->remark)) != SP_OK ||
	    api_str(c, "effect", 0, effect, sizeof(effect)) != SP_OK ||
	    api_str(c, "record_mode", 0, record, sizeof(record)) != SP_OK ||
	    api_names(c, "accounts", g->accounts, sizeof(g->accounts)) != SP_OK)
		return c->err;
	if (strcmp(effect, "deny") == 0)
		g->effect = SP_STORE_DENY;
	else if (strcmp(effect, "allow") != 0)
		(void)api_fail(c, SP_EINVAL, "effect is allow or deny");
	if (strcmp(record, "best-effort") == 0)
		g->record_mode = SP_STORE_RECORD_BEST_EFFORT;
	else if (strcmp(record, "strict") != 0)
		(void)api_fail(c, SP_EINVAL, "record_mode is strict or best-effort");
	if (c->err == SP_OK && (*g->accounts == '\0' || sp_policy_accounts_check(g->accounts) != SP_OK))
		(void)api_fail(c, SP_EINVAL, "accounts: names, or \"*\" for all");
	if (c->err != SP_OK || grant_protocols(c, g) != SP_OK || grant_agent(c, g) != SP_OK || grant_limits(c, g) != SP_OK ||
	    grant_reason(c, g) != SP_OK || grant_mfa(c, g) != SP_OK || grant_files(c, g) != SP_OK ||
	    grant_paths(c, g) != SP_OK || grant_keep(c, g) != SP_OK)
		return c->err;
	return SP_OK;
}

void
grant_create(struct api_call *c, struct sp_store *s)
{
	struct sp_store_grant g = GRANT_PLAIN;

	g.created_by = c->caller.id;
	if (grant_who_what(c, s, &g) != SP_OK || grant_fields(c, &g) != SP_OK ||
	    api_store(c, sp_store_grant_add(s, &g), "the grant") != SP_OK)
		return;
	c->object = g.id;
	c->rejudge = 1;
	(void)sp_strlcpy(c->what, g.name, sizeof(c->what));
	api_more(c, "accounts", json_string(g.accounts));
	api_more(c, "protocols", words((uint32_t)g.protocols));
	api_more(c, "effect", json_string(g.effect == SP_STORE_ALLOW ? "allow" : "deny"));
	c->out = grant_json(s, &g);
}

/* The departments of a grant's two sides; null when there is none, or the row is gone. */
static void
grant_departments(struct sp_store *s, const struct sp_store_grant *g, struct sp_uuid *subject, struct sp_uuid *object)
{
	struct sp_store_user u = { 0 };
	struct sp_store_group ug = { 0 };
	struct sp_store_asset a = { 0 };
	struct sp_store_asset_group ag = { 0 };

	if (g->subject_kind == SP_STORE_SUBJECT_USER)
		*subject = sp_store_user_get(s, &g->subject_id, &u) == SP_OK ? u.department_id : (struct sp_uuid){ 0 };
	else
		*subject = sp_store_group_get(s, &g->subject_id, &ug) == SP_OK ? ug.department_id : (struct sp_uuid){ 0 };
	if (g->object_kind == SP_STORE_OBJECT_ASSET)
		*object = sp_store_asset_get(s, &g->object_id, &a) == SP_OK ? a.department_id : (struct sp_uuid){ 0 };
	else
		*object = sp_store_asset_group_get(s, &g->object_id, &ag) == SP_OK ? ag.department_id : (struct sp_uuid){ 0 };
}

/* One side in the caller's department is enough to look; who changes it must administer the object. */
static int
grant_may_look(struct api_call *c, struct sp_store *s, const struct sp_store_grant *g)
{
	struct sp_uuid subject, object;

	if (c->local_root || sp_uuid_is_null(&c->caller.role_department_id))
		return 1;
	grant_departments(s, g, &subject, &object);
	return api_in_scope(c, s, &subject) || api_in_scope(c, s, &object);
}

static int
grant_row(const struct sp_store_grant *g, void *arg)
{
	struct rows *r = arg;

	r->seen++;
	if (grant_may_look(r->c, r->s, g))
		json_array_append_new(r->out, grant_json(r->s, g));
	return json_array_size(r->out) >= r->limit;
}

/* A million rows are not a list for people: filter, or ask for the first so many. */
void
grant_list(struct api_call *c, struct sp_store *s)
{
	struct rows r = { s, c->out = json_array(), c, API_ROWS_MAX, 0 };
	struct sp_store_user u;
	struct sp_store_asset a;
	struct sp_store_query q = { 0 };
	int64_t limit = API_ROWS_MAX;
	enum sp_err e;

	if (api_int(c, "limit", 1, API_ROWS_MAX, &limit) != SP_OK)
		return;
	if (json_object_get(c->params, "user") != NULL) {
		if (api_user(c, s, "user", &u) == SP_OK &&
		    api_store(c, sp_store_grants_of_user(s, &u.id, grant_row, &r), "grants") == SP_OK)
			(void)!api_bounded(c, json_array_size(c->out));
		return;
	}
	if (json_object_get(c->params, "asset") != NULL) {
		if (api_asset(c, s, "asset", &a) == SP_OK &&
		    api_store(c, sp_store_grants_of_asset(s, &a.id, grant_row, &r), "grants") == SP_OK)
			(void)!api_bounded(c, json_array_size(c->out));
		return;
	}
	r.limit = (size_t)limit;
	do {
		e = sp_store_grant_list(s, &q, grant_row, &r);
		q.offset += SP_STORE_PAGE_MAX;
	} while (e == SP_OK && r.seen == q.offset && json_array_size(c->out) < (size_t)limit);
	if (e == SP_OK && json_object_get(c->params, "limit") == NULL)
		e = api_bounded(c, json_array_size(c->out));
	(void)api_store(c, e, "grants");
}

struct named {
	const char		*name;
	struct sp_store_grant	*g;
	int			 n;
	size_t			 seen;
};

static int
grant_match(const struct sp_store_grant *g, void *arg)
{
	struct named *k = arg;

	k->seen++;
	if (strcmp(g->name, k->name) == 0) {
		*k->g = *g;
		k->n++;
	}
	return k->n > 1;
}

static enum sp_err
grant_named(struct api_call *c, struct sp_store *s, struct sp_store_grant *g)
{
	char text[SP_STORE_NAME_MAX + 1];
	struct named k = { text, g, 0, 0 };
	struct sp_store_query q = { .text = text };
	struct sp_uuid id;
	enum sp_err r = api_str(c, "id", 1, text, sizeof(text));

	if (r != SP_OK)
		return r;
	if (sp_uuid_parse(text, &id) == SP_OK) {
		if ((r = sp_store_grant_get(s, &id, g)) != SP_OK)
			return api_fail(c, r, "there is no grant %s", text);
	} else {
		size_t before;

		do {	/* names that merely contain this one come too */
			before = k.seen;
			if ((r = api_store(c, sp_store_grant_list(s, &q, grant_match, &k), text)) != SP_OK)
				return r;
			q.offset += SP_STORE_PAGE_MAX;
		} while (k.n < 2 && k.seen - before == SP_STORE_PAGE_MAX);
		if (k.n != 1)
			return api_fail(c, k.n == 0 ? SP_ENOENT : SP_ECONFLICT, k.n == 0 ? "there is no grant \"%s\"" :
			    "several grants are called \"%s\": give the id", text);
	}
	c->object = g->id;
	if (g->object_kind == SP_STORE_OBJECT_ASSET)
		c->asset = g->object_id;
	return SP_OK;
}

void
grant_show(struct api_call *c, struct sp_store *s)
{
	struct sp_store_grant g;

	if (grant_named(c, s, &g) != SP_OK)
		return;
	if (grant_may_look(c, s, &g))
		c->out = grant_json(s, &g);
	else
		(void)api_fail(c, SP_EACCES, "that grant belongs to another department than the one that you administer");
}

void
grant_delete(struct api_call *c, struct sp_store *s)
{
	struct sp_store_grant g;
	struct sp_uuid subject, object;

	if (grant_named(c, s, &g) != SP_OK)
		return;
	grant_departments(s, &g, &subject, &object);
	if (api_scope(c, s, &object) != SP_OK)
		return;
	c->out = grant_json(s, &g);
	if (api_store(c, sp_store_grant_delete(s, &g.id, g.version), "the grant") != SP_OK)
		return;
	c->rejudge = 1;
	(void)sp_strlcpy(c->what, g.name, sizeof(c->what));
}
