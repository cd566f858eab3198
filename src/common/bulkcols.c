/* src/common/bulkcols.c - see bulkcols.h. */
#include "common/bulkcols.h"

#include <string.h>

#include "base/attr.h"

static const struct sp_bulk_col users[] = {
	{ "login", SP_BULK_TEXT }, { "full_name", SP_BULK_TEXT }, { "email", SP_BULK_TEXT }, { "department", SP_BULK_TEXT },
	{ "role", SP_BULK_TEXT }, { "role_department", SP_BULK_TEXT }, { "state", SP_BULK_TEXT },
	{ "valid_from", SP_BULK_TEXT }, { "valid_until", SP_BULK_TEXT }, { "os_uid", SP_BULK_INT }, { "keys", SP_BULK_LIST },
	{ "external_id", SP_BULK_TEXT }
};
static const struct sp_bulk_col groups[] = {
	{ "name", SP_BULK_TEXT }, { "kind", SP_BULK_TEXT }, { "department", SP_BULK_TEXT }, { "remark", SP_BULK_TEXT },
	{ "parent", SP_BULK_TEXT }, { "members", SP_BULK_LIST }, { "member_groups", SP_BULK_LIST }
};
static const struct sp_bulk_col assets[] = {
	{ "name", SP_BULK_TEXT }, { "address", SP_BULK_TEXT }, { "port", SP_BULK_INT }, { "platform", SP_BULK_TEXT },
	{ "department", SP_BULK_TEXT }, { "owner", SP_BULK_TEXT }, { "zone", SP_BULK_TEXT }, { "remark", SP_BULK_TEXT },
	{ "state", SP_BULK_TEXT }, { "groups", SP_BULK_LIST }, { "tags", SP_BULK_LIST }, { "external_id", SP_BULK_TEXT }
};
static const struct sp_bulk_col accounts[] = {
	{ "asset", SP_BULK_TEXT }, { "name", SP_BULK_TEXT }, { "login", SP_BULK_TEXT }, { "kind", SP_BULK_TEXT },
	{ "state", SP_BULK_TEXT }, { "ca", SP_BULK_TEXT }, { "principals", SP_BULK_LIST }, { "password", SP_BULK_SECRET },
	{ "key", SP_BULK_SECRET }
};
static const struct sp_bulk_col grants[] = {
	{ "id", SP_BULK_TEXT }, { "name", SP_BULK_TEXT }, { "effect", SP_BULK_TEXT }, { "user", SP_BULK_TEXT },
	{ "group", SP_BULK_TEXT }, { "asset", SP_BULK_TEXT }, { "asset_group", SP_BULK_TEXT }, { "accounts", SP_BULK_LIST },
	{ "protocols", SP_BULK_LIST }, { "valid_from", SP_BULK_TEXT }, { "valid_until", SP_BULK_TEXT }, { "hours", SP_BULK_TEXT },
	{ "sources", SP_BULK_LIST }, { "forward_to", SP_BULK_LIST }, { "mfa_interval_s", SP_BULK_INT }, { "idle_s", SP_BULK_INT },
	{ "max_session_s", SP_BULK_INT }, { "concurrent_max", SP_BULK_INT }, { "reason", SP_BULK_TEXT },
	{ "reason_pattern", SP_BULK_TEXT }, { "agent", SP_BULK_LIST }, { "file_direction", SP_BULK_INT },
	{ "file_paths", SP_BULK_LIST }, { "keep_files", SP_BULK_TEXT }, { "keep_max_mb", SP_BULK_INT }, { "keep_output", SP_BULK_INT }, { "record_mode", SP_BULK_TEXT }, { "remark", SP_BULK_TEXT }
};
/* Who is there, for a sweep. */
static const struct sp_bulk_col people[] = {
	{ "login", SP_BULK_TEXT }, { "external_id", SP_BULK_TEXT }, { "state", SP_BULK_TEXT }, { "department", SP_BULK_TEXT },
	{ "heir", SP_BULK_TEXT }
};
static const struct sp_bulk_kind kinds[] = {
#define KIND(k)	{ #k, k, SP_NELEMS(k) }
	KIND(users), KIND(groups), KIND(assets), KIND(accounts), KIND(grants), KIND(people)
};

const struct sp_bulk_kind *
sp_bulk_kind(const char *name)
{
	for (size_t i = 0; i < SP_NELEMS(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

const struct sp_bulk_col *
sp_bulk_col(const struct sp_bulk_kind *k, const char *name)
{
	for (size_t i = 0; i < k->n; i++)
		if (strcmp(k->cols[i].name, name) == 0)
			return &k->cols[i];
	return NULL;
}
