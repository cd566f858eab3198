/* src/control/api_command.c - the search over commands that ran. Auditors search everybody's, others their own. */
#include "control/api.h"

#include <string.h>

#include "base/str.h"
#include "control/command.h"
#include "control/methods.h"

struct searching {
	struct api_call		*c;
	struct sp_store		*s;
	struct sp_store_session	 row;		/* of the last command shown: they come in runs */
	struct sp_uuid		 scope_of;	/* the asset for which in_scope was found */
	int			 in_scope, output;
};

static const char *const risks[] = { "none", "low", "medium", "high", "critical" };

/* What it printed, if that was kept. */
static void
command_output(struct searching *k, const struct sp_store_command *r, json_t *o)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_STORE_COMMAND_MAX + 1 };
	int64_t bytes;
	int cut;

	if (sp_store_command_output(k->s, &r->session_id, r->channel, r->number, &b, &bytes, &cut) != SP_OK)
		return;
	json_object_set_new(o, "output", json_string(sp_buf_cstr(&b)));
	json_object_set_new(o, "output_bytes", json_integer(bytes));
	if (cut)
		json_object_set_new(o, "output_cut", json_true());
}

static int
command_in_scope(struct searching *k, const struct sp_store_command *r)
{
	struct sp_store_asset a;
	struct sp_store_user u;
	struct sp_uuid d = { 0 };

	if (k->c->local_root || sp_uuid_is_null(&k->c->caller.role_department_id))
		return 1;
	if (!sp_uuid_is_null(&r->asset_id) && sp_uuid_equal(&k->scope_of, &r->asset_id))
		return k->in_scope;
	if (sp_store_asset_get(k->s, &r->asset_id, &a) == SP_OK)
		d = a.department_id;
	else if (sp_store_user_get(k->s, &r->user_id, &u) == SP_OK)
		d = u.department_id;
	k->scope_of = r->asset_id;
	k->in_scope = api_in_scope(k->c, k->s, &d);
	return k->in_scope;
}

static int
command_row(const struct sp_store_command *r, void *arg)
{
	static const char *const certainty[] = { "uncertain", "certain", "hidden" };
	struct searching *k = arg;
	json_t *o;

	if (!command_in_scope(k, r))
		return 0;
	if (!sp_uuid_equal(&k->row.id, &r->session_id) && sp_store_session_get(k->s, &r->session_id, &k->row) != SP_OK)
		k->row = (struct sp_store_session){ .id = r->session_id };
	o = json_pack("{s:o, s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "time", api_at(r->at_us), "ended",
	    api_at(r->ended_us), "user", k->row.user_login, "asset", k->row.asset_name, "account", k->row.account, "source",
	    k->row.source, "how", r->how, "certainty", certainty[r->certainty < 0 || r->certainty > 2 ? 0 : r->certainty], "place",
	    r->place, "channel", (json_int_t)r->channel, "number", (json_int_t)r->number, "offset_us", (json_int_t)r->offset_us);
	json_object_set_new(o, "command", json_stringn(r->text, r->text_len));
	json_object_set_new(o, "risk", json_string(risks[r->risk < 0 || r->risk > SP_STORE_RISK_CRITICAL ? 0 : r->risk]));
	json_object_set_new(o, "session", api_id(&r->session_id));
	if (k->output)
		command_output(k, r, o);
	json_object_set_new(o, "rule", json_string(r->rule_name));
	json_object_set_new(o, "action", json_string(command_action_word(r->action)));
	json_array_append_new(k->c->out, o);
	return 0;
}

void
command_search(struct api_call *c, struct sp_store *s)
{
	struct searching k = { .c = c, .s = s };
	struct sp_store_command_query q = { 0 };
	char text[1024] = "", session[SP_UUID_SIZE] = "";
	char risk[16] = "none";
	int64_t limit = 50;
	struct sp_store_user u;
	struct sp_store_asset a;

	if (api_str(c, "text", 0, text, sizeof(text)) != SP_OK || api_str(c, "session", 0, session, sizeof(session)) != SP_OK ||
	    api_int(c, "limit", 1, 10000, &limit) != SP_OK || api_time(c, "since", &q.since_us) != SP_OK ||
	    api_time(c, "until", &q.until_us) != SP_OK)
		return;
	if (*session != '\0' && sp_uuid_parse(session, &q.session_id) != SP_OK) {
		(void)api_fail(c, SP_EINVAL, "session is the id of a session");
		return;
	}
	k.output = json_is_true(json_object_get(c->params, "output"));
	if (api_str(c, "risk", 0, risk, sizeof(risk)) != SP_OK)
		return;
	while (q.risk <= SP_STORE_RISK_CRITICAL && strcmp(risks[q.risk], risk) != 0)
		q.risk++;
	if (q.risk > SP_STORE_RISK_CRITICAL) {
		(void)api_fail(c, SP_EINVAL, "risk is none, low, medium, high or critical");
		return;
	}
	if (json_object_get(c->params, "user") != NULL) {
		if (api_user(c, s, "user", &u) != SP_OK)
			return;
		q.user_id = u.id;
	}
	if (json_object_get(c->params, "asset") != NULL) {
		if (api_asset(c, s, "asset", &a) != SP_OK)
			return;
		q.asset_id = a.id;
	}
	if (c->role < SP_STORE_ROLE_AUDITOR)
		q.user_id = c->caller.id;	/* one's own */
	q.text = text;
	q.limit = (uint32_t)limit;
	c->out = json_array();
	(void)api_store(c, sp_store_command_search(s, &q, command_row, &k), "commands");
}
