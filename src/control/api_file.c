/* src/control/api_file.c - file.search: what was done to files, newest first. A user finds his own and those on his own server. */
#include "control/api.h"

#include <string.h>

#include "control/methods.h"

struct finding {
	struct api_call	*c;
	struct sp_store	*s;
	size_t		 seen, limit;
	int64_t		 last_us;
	struct sp_uuid	 asset_id;	/* of the row before, and whether the caller may look */
	int		 in_scope;
};

static int
file_in_scope(struct finding *f, const struct sp_store_file_found *row)
{
	struct sp_uuid department = { 0 };
	struct sp_store_asset a;
	struct sp_store_user u;

	if (f->c->local_root || sp_uuid_is_null(&f->c->caller.role_department_id))
		return 1;
	if (f->seen > 1 && sp_uuid_equal(&f->asset_id, &row->asset_id))
		return f->in_scope;
	if (sp_store_asset_get(f->s, &row->asset_id, &a) == SP_OK)
		department = a.department_id;
	else if (sp_store_user_get(f->s, &row->user_id, &u) == SP_OK)
		department = u.department_id;
	f->asset_id = row->asset_id;
	f->in_scope = api_in_scope(f->c, f->s, &department);
	return f->in_scope;
}

static int
file_row(const struct sp_store_file_found *row, void *arg)
{
	struct finding *f = arg;
	json_t *o, *body;

	f->seen++;
	f->last_us = row->at_us;
	if (!file_in_scope(f, row))
		return 0;
	o = json_pack("{s:o, s:o, s:I, s:s, s:s, s:s, s:s}", "time", api_at(row->at_us), "session", api_id(&row->session_id), "seq",
	    (json_int_t)row->seq, "user", row->user_login, "asset", row->asset_name, "account", row->account, "source", row->source);
	body = json_loadb((const char *)row->payload, row->payload_len, 0, NULL);
	if (json_is_object(body))
		json_object_update_missing(o, body);
	json_decref(body);
	json_array_append_new(f->c->out, o);
	return json_array_size(f->c->out) >= f->limit;
}

static enum sp_err
file_whose(struct api_call *c, struct sp_store *s, struct sp_store_file_query *q)
{
	struct sp_store_user u;
	struct sp_store_asset a;
	int owner = 0;

	if (json_object_get(c->params, "user") != NULL) {
		if (api_user(c, s, "user", &u) != SP_OK)
			return c->err;
		q->user_id = u.id;
	}
	if (json_object_get(c->params, "asset") != NULL) {
		if (api_asset(c, s, "asset", &a) != SP_OK)
			return c->err;
		q->asset_id = a.id;
		owner = api_is_self(c, &a.owner_id);
	}
	if (c->role < SP_STORE_ROLE_AUDITOR && !owner)
		q->user_id = c->caller.id;
	return SP_OK;
}

void
file_search(struct api_call *c, struct sp_store *s)
{
	struct sp_store_file_query q = { .limit = SP_STORE_PAGE_MAX };
	struct finding f = { .c = c, .s = s };
	char id[SP_UUID_SIZE + 1] = "";
	int64_t limit = 100;

	if (api_str(c, "path", 0, q.text, sizeof(q.text)) != SP_OK || api_str(c, "op", 0, q.op, sizeof(q.op)) != SP_OK ||
	    api_str(c, "session", 0, id, sizeof(id)) != SP_OK || api_time(c, "since", &q.since_us) != SP_OK ||
	    api_time(c, "until", &q.until_us) != SP_OK || api_int(c, "limit", 1, API_ROWS_MAX, &limit) != SP_OK ||
	    file_whose(c, s, &q) != SP_OK)
		return;
	if (*id != '\0' && sp_uuid_parse(id, &q.session_id) != SP_OK) {
		(void)api_fail(c, SP_EINVAL, "session is the id that 'session list' shows");
		return;
	}
	f.limit = (size_t)limit;
	if (sp_uuid_is_null(&c->caller.role_department_id) || c->local_root)
		q.limit = (uint32_t)limit;
	c->out = json_array();
	do {		/* pages, as rows of other departments are left out */
		f.seen = 0;
		if (api_store(c, sp_store_file_search(s, &q, file_row, &f), "files") != SP_OK)
			return;
		q.until_us = f.last_us;
	} while (f.seen == SP_STORE_PAGE_MAX && json_array_size(c->out) < f.limit);
}
