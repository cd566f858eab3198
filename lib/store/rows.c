/* lib/store/rows.c - one table of columns per kind of row, and one row at a time: check, bind, read, canonical form.
 *
 * A row struct and its table are described once, below, field by field; everything else (also in ops.c and mac.c) walks
 * that description. What is special to a kind (closures, registers, cycles) is a hook.
 * Invariants: (1) field[0..4] are id, version, created_us, updated_us, mac, as in SP_STORE_HEAD. (2) SQL text is made of
 * the constants here and '?' only: nothing from outside becomes part of it. */
#include <stdlib.h>
#include <string.h>

#include "store/db.h"

#define MEMBER_SIZE(T, m)	sizeof(((T *)NULL)->m)
#define UUID(T, m, fl)		{ .col = #m, .type = SP_F_UUID, .flags = (fl), .off = offsetof(T, m) }
#define NUM(T, m, lo, hi)	{ .col = #m, .type = SP_F_I64, .off = offsetof(T, m), .min = (lo), .max = (hi) }
#define LATER(T, m, lo, hi)	{ .col = #m, .type = SP_F_I64, .flags = SP_FF_LATER, .off = offsetof(T, m), .min = (lo), .max = (hi) }
#define TIME(T, m)		NUM(T, m, 0, INT64_MAX)
#define TEXT(T, m, fl)		{ .col = #m, .type = SP_F_TEXT, .flags = (fl), .off = offsetof(T, m), .size = MEMBER_SIZE(T, m) }
#define BLOB(T, m, fl)		{ .col = #m, .type = SP_F_BLOB, .flags = (fl), .off = offsetof(T, m), .size = MEMBER_SIZE(T, m.b) }
#define HEAD(T)			UUID(T, id, SP_FF_NEEDED), NUM(T, version, 1, INT64_MAX), TIME(T, created_us), TIME(T, updated_us), BLOB(T, mac, 0)
#define DAY_S	86400

#define D struct sp_store_department
static const struct sp_field department_fields[] = {
	HEAD(D), TEXT(D, name, SP_FF_NAME), UUID(D, parent_id, 0), TEXT(D, description, SP_FF_FREE)
};
#undef D
#define U struct sp_store_user
static const struct sp_field user_fields[] = {
	HEAD(U), TEXT(U, login, SP_FF_NAME | SP_FF_NOLIST), TEXT(U, full_name, 0), TEXT(U, email, 0), UUID(U, department_id, 0),
	NUM(U, role, SP_STORE_ROLE_USER, SP_STORE_ROLE_ADMIN), UUID(U, role_department_id, 0),
	NUM(U, state, SP_STORE_ACTIVE, SP_STORE_EXPIRED), TIME(U, valid_from_us), TIME(U, valid_until_us),
	NUM(U, epoch, 0, INT64_MAX), TEXT(U, password_hash, SP_FF_SECRET), NUM(U, must_change_password, 0, 1),
	{ .col = "os_uid", .type = SP_F_OPT, .off = offsetof(U, os_uid), .min = -1, .max = UINT32_MAX },
	{ .col = "last_login_us", .type = SP_F_I64, .flags = SP_FF_APART | SP_FF_LOOSE, .off = offsetof(U, last_login_us), .min = 0, .max = INT64_MAX }
};
#undef U
#define K struct sp_store_user_key
static const struct sp_field user_key_fields[] = {
	HEAD(K), UUID(K, user_id, SP_FF_NEEDED), TEXT(K, type, SP_FF_NEEDED), BLOB(K, blob, SP_FF_NEEDED),
	TEXT(K, fingerprint, SP_FF_NEEDED), TEXT(K, comment, 0), NUM(K, state, SP_STORE_ACTIVE, SP_STORE_EXPIRED),
	NUM(K, require_touch, 0, 1), TIME(K, valid_until_us)
};
#undef K
#define T struct sp_store_totp
static const struct sp_field totp_fields[] = {
	HEAD(T), UUID(T, secret_id, 0), NUM(T, confirmed, 0, 1),
	{ .col = "last_step", .type = SP_F_I64, .flags = SP_FF_APART, .off = offsetof(T, last_step), .min = 0, .max = INT64_MAX }
};
#undef T
#define R struct sp_store_recovery
static const struct sp_field recovery_fields[] = {
	HEAD(R), UUID(R, user_id, SP_FF_NEEDED), TEXT(R, hash, SP_FF_NEEDED | SP_FF_SECRET), TIME(R, used_us)
};
#undef R
#define G struct sp_store_group
static const struct sp_field group_fields[] = {
	HEAD(G), TEXT(G, name, SP_FF_NAME), UUID(G, department_id, 0), TEXT(G, remark, SP_FF_FREE)
};
#undef G
#define Z struct sp_store_zone
static const struct sp_field zone_fields[] = {
	HEAD(Z), TEXT(Z, name, SP_FF_NAME), UUID(Z, jump_asset_id, 0), TEXT(Z, jump_account, 0), TEXT(Z, source_address, 0),
	TEXT(Z, remark, SP_FF_FREE)
};
#undef Z
#define A struct sp_store_asset
static const struct sp_field asset_fields[] = {
	HEAD(A), TEXT(A, name, SP_FF_NAME), TEXT(A, address, SP_FF_NEEDED), NUM(A, port, 1, 65535), TEXT(A, platform, 0),
	UUID(A, department_id, 0), UUID(A, owner_id, 0), UUID(A, zone_id, 0), TEXT(A, remark, SP_FF_FREE),
	NUM(A, state, SP_STORE_ACTIVE, SP_STORE_EXPIRED), NUM(A, flags, 0, INT32_MAX), UUID(A, inner_key_secret_id, 0),
	BLOB(A, inner_key, 0)
};
#undef A
#define H struct sp_store_host_key
static const struct sp_field host_key_fields[] = {
	HEAD(H), UUID(H, asset_id, SP_FF_NEEDED), TEXT(H, type, SP_FF_NEEDED), BLOB(H, blob, SP_FF_NEEDED),
	NUM(H, state, SP_STORE_ACTIVE, SP_STORE_EXPIRED), TEXT(H, pinned_by, 0)
};
#undef H
#define AG struct sp_store_asset_group
static const struct sp_field asset_group_fields[] = {
	HEAD(AG), TEXT(AG, name, SP_FF_NAME), UUID(AG, parent_id, 0), UUID(AG, department_id, 0), TEXT(AG, remark, SP_FF_FREE)
};
#undef AG
#define C struct sp_store_account
static const struct sp_field account_fields[] = {
	HEAD(C), UUID(C, asset_id, SP_FF_NEEDED), TEXT(C, name, SP_FF_NAME | SP_FF_NOLIST), TEXT(C, login, 0),
	NUM(C, kind, SP_STORE_ACCOUNT_STORED, SP_STORE_ACCOUNT_TYPED), UUID(C, secret_id, 0), TEXT(C, auth_methods, 0),
	NUM(C, state, SP_STORE_ACTIVE, SP_STORE_EXPIRED), TEXT(C, principals, 0)
};
#undef C
#define CL struct sp_store_asset_claim
static const struct sp_field asset_claim_fields[] = {
	HEAD(CL), UUID(CL, user_id, SP_FF_NEEDED), UUID(CL, group_id, 0), TEXT(CL, token_hash, SP_FF_NEEDED | SP_FF_SECRET), TIME(CL, expires_us)
};
#undef CL
#define S struct sp_store_secret
static const struct sp_field secret_fields[] = {
	HEAD(S), TEXT(S, name, 0), NUM(S, kind, SP_STORE_SECRET_PASSWORD, SP_STORE_SECRET_RECORDING), NUM(S, secret_version, 0, INT64_MAX),
	NUM(S, term, 0, INT64_MAX), BLOB(S, ciphertext, SP_FF_SECRET), BLOB(S, public_blob, 0), TEXT(S, info, SP_FF_FREE), TIME(S, rotated_us)
};
#undef S
#define P struct sp_store_grant
static const struct sp_field grant_fields[] = {
	HEAD(P), NUM(P, subject_kind, SP_STORE_SUBJECT_USER, SP_STORE_SUBJECT_GROUP), UUID(P, subject_id, SP_FF_NEEDED),
	NUM(P, object_kind, SP_STORE_OBJECT_ASSET, SP_STORE_OBJECT_ASSET_GROUP), UUID(P, object_id, SP_FF_NEEDED),
	TEXT(P, accounts, SP_FF_NEEDED), NUM(P, protocols, 1, SP_STORE_P_ALL), NUM(P, effect, SP_STORE_ALLOW, SP_STORE_DENY),
	TIME(P, valid_from_us), TIME(P, valid_until_us), TEXT(P, name, 0), TEXT(P, remark, SP_FF_FREE), UUID(P, created_by, 0),
	TEXT(P, hours, 0), TEXT(P, sources, 0), NUM(P, mfa_interval_s, -1, 400 * DAY_S), NUM(P, idle_s, 0, 400 * DAY_S),
	NUM(P, max_session_s, 0, 400 * DAY_S), NUM(P, concurrent_max, 0, INT32_MAX), NUM(P, reason_required, 0, 2),
	NUM(P, agent_kinds, 0, SP_STORE_AGENT_PLATFORM | SP_STORE_AGENT_USER), NUM(P, file_direction, 0, SP_STORE_FILE_UP | SP_STORE_FILE_DOWN),
	TEXT(P, forwards, 0), NUM(P, record_mode, SP_STORE_RECORD_STRICT, SP_STORE_RECORD_BEST_EFFORT),
	TEXT(P, reason_pattern, 0), TEXT(P, file_paths, SP_FF_FREE | SP_FF_LATER),
	LATER(P, keep, 0, INT32_MAX), LATER(P, keep_max_mb, 0, INT32_MAX)
};
#undef P
#define DT struct sp_store_detection
static const struct sp_field detection_fields[] = {
	HEAD(DT), TEXT(DT, name, SP_FF_NAME), NUM(DT, state, SP_STORE_ACTIVE, SP_STORE_DISABLED), TEXT(DT, text, SP_FF_NEEDED | SP_FF_FREE)
};
#undef DT
#define O struct sp_store_offense
static const struct sp_field offense_fields[] = {
	HEAD(O), TEXT(O, property, SP_FF_NEEDED), TEXT(O, value, SP_FF_NEEDED), TEXT(O, about, 0), TEXT(O, title, SP_FF_NEEDED),
	TEXT(O, category, 0), NUM(O, severity, 1, 5), NUM(O, state, SP_STORE_OFFENSE_OPEN, SP_STORE_OFFENSE_CLOSED),
	{ .col = "protected", .type = SP_F_I64, .off = offsetof(O, is_protected), .max = 1 }, TEXT(O, owner, 0),
	NUM(O, alerts, 0, INT64_MAX), UUID(O, department_id, 0), TIME(O, opened_us), TIME(O, last_us), TIME(O, closed_us),
	TEXT(O, closed_by, 0), TEXT(O, reason, 0)
};
#undef O
#define N struct sp_store_offense_note
static const struct sp_field offense_note_fields[] = {
	HEAD(N), UUID(N, offense_id, SP_FF_NEEDED), TEXT(N, author, 0), TEXT(N, text, SP_FF_NEEDED | SP_FF_FREE)
};
#undef N
#define AL struct sp_store_alert
static const struct sp_field alert_fields[] = {
	HEAD(AL), UUID(AL, offense_id, SP_FF_NEEDED), TEXT(AL, rule, SP_FF_NEEDED), NUM(AL, entry, 1, INT64_MAX),
	TEXT(AL, property, SP_FF_NEEDED), TEXT(AL, value, SP_FF_NEEDED), TEXT(AL, title, SP_FF_NEEDED), TEXT(AL, category, 0),
	NUM(AL, severity, 1, 5), TIME(AL, at_us), TEXT(AL, events, 0)
};
#undef AL
#define RS struct sp_store_response
static const struct sp_field response_fields[] = {
	HEAD(RS), UUID(RS, alert_id, SP_FF_NEEDED), UUID(RS, offense_id, SP_FF_NEEDED), TEXT(RS, action, SP_FF_NEEDED),
	TEXT(RS, target, 0), NUM(RS, state, SP_STORE_RESPONSE_DONE, SP_STORE_RESPONSE_KEPT), TIME(RS, done_us), TEXT(RS, text, SP_FF_FREE)
};
#undef RS
#define RS struct sp_store_rule_set
static const struct sp_field rule_set_fields[] = {
	HEAD(RS), TEXT(RS, name, SP_FF_NAME), TEXT(RS, remark, SP_FF_FREE)
};
#undef RS
#define CR struct sp_store_command_rule
static const struct sp_field command_rule_fields[] = {
	HEAD(CR), UUID(CR, set_id, SP_FF_NEEDED), TEXT(CR, name, SP_FF_NAME), NUM(CR, priority, 1, 100), NUM(CR, action, 1, 100),
	NUM(CR, state, SP_STORE_RULE_ON, SP_STORE_RULE_SHADOW), TIME(CR, expires_us), TEXT(CR, message, 0),
	TEXT(CR, text, SP_FF_NEEDED | SP_FF_FREE)
};
#undef CR
#define RU struct sp_store_rule_use
static const struct sp_field rule_use_fields[] = {
	HEAD(RU), UUID(RU, set_id, SP_FF_NEEDED), NUM(RU, kind, SP_STORE_USE_EVERYONE, SP_STORE_USE_ACCOUNT),
	UUID(RU, object_id, SP_FF_NEEDED)
};
#undef RU
#define GC struct sp_store_grant_commands
static const struct sp_field grant_commands_fields[] = {
	HEAD(GC), NUM(GC, mode, 1, 2), NUM(GC, refuse_uncertain, 0, 1)
};
#undef GC
#define E struct sp_store_session
static const struct sp_field session_fields[] = {
	UUID(E, id, SP_FF_NEEDED), UUID(E, conn_id, 0), NUM(E, state, SP_STORE_LIVE, SP_STORE_ENDED), UUID(E, user_id, 0),
	TEXT(E, user_login, 0), UUID(E, asset_id, 0), TEXT(E, asset_name, 0), TEXT(E, account, 0), TEXT(E, protocol, 0),
	TEXT(E, source, 0), TIME(E, started_us), TIME(E, ended_us), TEXT(E, end_reason, SP_FF_FREE), TEXT(E, ended_by, 0),
	TEXT(E, recording, 0), NUM(E, record_state, INT64_MIN, INT64_MAX), NUM(E, bytes_in, 0, INT64_MAX), NUM(E, bytes_out, 0, INT64_MAX),
	TEXT(E, error, SP_FF_FREE), TEXT(E, purpose, SP_FF_FREE), TEXT(E, path, SP_FF_FREE)
};
#undef E

static enum sp_err
window_check(int64_t from, int64_t until)
{
	return from != 0 && until != 0 && until <= from ? SP_EINVAL : SP_OK;
}

static enum sp_err
user_check(const void *row)
{
	const struct sp_store_user *u = row;

	return window_check(u->valid_from_us, u->valid_until_us);
}

static enum sp_err
grant_check(const void *row)
{
	const struct sp_store_grant *g = row;

	return window_check(g->valid_from_us, g->valid_until_us);
}

#define FIELDS(f, T)	.field = (f), .n = SP_NELEMS(f), .size = sizeof(T)
#define BY_NAME		.order = "name, id", .search = "lower(name || ' ' || remark)"

const struct sp_rowtype sp_rt_department = { .table = "departments", FIELDS(department_fields, struct sp_store_department),
	.order = "name, id", .search = "lower(name || ' ' || description)", .of = { "parent_id" }, .before_write = sp_department_before_write };
const struct sp_rowtype sp_rt_user = { .table = "users", FIELDS(user_fields, struct sp_store_user),
	.order = "login, id", .search = "lower(login || ' ' || full_name || ' ' || email)", .check = user_check,
	.register_in = "subjects", .register_kind = SP_STORE_SUBJECT_USER, .closure = "user_closure", .before_write = sp_user_before_write,
	.before_delete = sp_user_before_delete };
const struct sp_rowtype sp_rt_user_key = { .table = "user_keys", FIELDS(user_key_fields, struct sp_store_user_key),
	.order = "created_us, id", .search = "lower(fingerprint || ' ' || comment)", .of = { "user_id" } };
const struct sp_rowtype sp_rt_totp = { .table = "user_totp", FIELDS(totp_fields, struct sp_store_totp), .order = "id" };
const struct sp_rowtype sp_rt_recovery = { .table = "user_recovery", FIELDS(recovery_fields, struct sp_store_recovery),
	.order = "created_us, id", .of = { "user_id" } };
const struct sp_rowtype sp_rt_group = { .table = "user_groups", FIELDS(group_fields, struct sp_store_group), BY_NAME,
	.register_in = "subjects", .register_kind = SP_STORE_SUBJECT_GROUP, .before_delete = sp_group_before_delete };
const struct sp_rowtype sp_rt_zone = { .table = "zones", FIELDS(zone_fields, struct sp_store_zone), BY_NAME };
const struct sp_rowtype sp_rt_asset = { .table = "assets", FIELDS(asset_fields, struct sp_store_asset),
	.order = "name, id", .search = "lower(name || ' ' || address || ' ' || remark)", .of = { "owner_id", "zone_id" },
	.register_in = "objects", .register_kind = SP_STORE_OBJECT_ASSET, .closure = "asset_closure", .before_delete = sp_asset_before_delete };
const struct sp_rowtype sp_rt_host_key = { .table = "host_keys", FIELDS(host_key_fields, struct sp_store_host_key),
	.order = "created_us, id", .of = { "asset_id" } };
const struct sp_rowtype sp_rt_asset_group = { .table = "asset_groups", FIELDS(asset_group_fields, struct sp_store_asset_group), BY_NAME,
	.of = { "parent_id" }, .register_in = "objects", .register_kind = SP_STORE_OBJECT_ASSET_GROUP,
	.before_write = sp_asset_group_before_write, .after_write = sp_asset_group_after_write, .before_delete = sp_asset_group_before_delete };
const struct sp_rowtype sp_rt_account = { .table = "accounts", FIELDS(account_fields, struct sp_store_account),
	.order = "name, id", .search = "lower(name || ' ' || login)", .of = { "asset_id", "secret_id" },
	.before_delete = sp_account_before_delete };
const struct sp_rowtype sp_rt_asset_claim = { .table = "asset_claims", FIELDS(asset_claim_fields, struct sp_store_asset_claim),
	.order = "created_us, id", .of = { "user_id" } };
const struct sp_rowtype sp_rt_secret = { .table = "secrets", FIELDS(secret_fields, struct sp_store_secret),
	.order = "name, id", .search = "lower(name)" };
const struct sp_rowtype sp_rt_grant = { .table = "grants", FIELDS(grant_fields, struct sp_store_grant),
	.order = "id", .search = "lower(name || ' ' || remark)", .of = { "subject_id", "object_id" }, .check = grant_check,
	.after_write = sp_grant_after_write, .before_delete = sp_grant_before_delete };
const struct sp_rowtype sp_rt_detection = { .table = "detections", FIELDS(detection_fields, struct sp_store_detection),
	.order = "name, id", .search = "lower(name)" };
#define NEWEST		.order = "created_us DESC, id DESC"
const struct sp_rowtype sp_rt_offense = { .table = "offenses", FIELDS(offense_fields, struct sp_store_offense), NEWEST,
	.search = "lower(about || ' ' || title)" };
const struct sp_rowtype sp_rt_offense_note = { .table = "offense_notes", FIELDS(offense_note_fields, struct sp_store_offense_note), NEWEST,
	.of = { "offense_id" } };
const struct sp_rowtype sp_rt_alert = { .table = "alerts", FIELDS(alert_fields, struct sp_store_alert), NEWEST,
	.search = "lower(rule || ' ' || title)", .of = { "offense_id" } };
const struct sp_rowtype sp_rt_response = { .table = "responses", FIELDS(response_fields, struct sp_store_response), NEWEST,
	.of = { "offense_id", "alert_id" } };
const struct sp_rowtype sp_rt_rule_set = { .table = "rule_sets", FIELDS(rule_set_fields, struct sp_store_rule_set), BY_NAME };
const struct sp_rowtype sp_rt_command_rule = { .table = "command_rules", FIELDS(command_rule_fields, struct sp_store_command_rule),
	.order = "priority, name, id", .search = "lower(name || ' ' || message)", .of = { "set_id" } };
const struct sp_rowtype sp_rt_rule_use = { .table = "rule_uses", FIELDS(rule_use_fields, struct sp_store_rule_use),
	.order = "kind, created_us, id", .of = { "set_id", "object_id" } };
const struct sp_rowtype sp_rt_grant_commands = { .table = "grant_commands", FIELDS(grant_commands_fields, struct sp_store_grant_commands),
	.order = "id" };
const struct sp_uuid sp_store_everyone = { .b = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
const struct sp_rowtype sp_rt_session = { .table = "sessions", FIELDS(session_fields, struct sp_store_session) };
const struct sp_rowtype *const sp_rowtypes[] = { &sp_rt_department, &sp_rt_user, &sp_rt_user_key, &sp_rt_totp, &sp_rt_recovery,
	&sp_rt_group, &sp_rt_zone, &sp_rt_asset, &sp_rt_host_key, &sp_rt_asset_group, &sp_rt_account, &sp_rt_secret, &sp_rt_grant,
	&sp_rt_asset_claim, &sp_rt_detection, &sp_rt_offense, &sp_rt_offense_note, &sp_rt_alert, &sp_rt_response,
	&sp_rt_rule_set, &sp_rt_command_rule, &sp_rt_rule_use, &sp_rt_grant_commands };
const size_t sp_rowtypes_n = SP_NELEMS(sp_rowtypes);

/* ---- one row: check, bind, read ---- */

static const void *
at(const void *row, const struct sp_field *f)
{
	return (const char *)row + f->off;
}

static int64_t
number_at(const void *row, const struct sp_field *f)
{
	int64_t v;

	memcpy(&v, at(row, f), sizeof(v));
	return v;
}

static uint32_t
blob_len(const void *row, const struct sp_field *f)
{
	uint32_t n;

	memcpy(&n, at(row, f), sizeof(n));
	return n;
}

/* Line breaks and tabs aside, control characters are refused in every text. */
static int
text_is_ok(const char *p, size_t n, unsigned flags)
{
	size_t from = 0;

	if (!(flags & SP_FF_FREE))
		return sp_text_is_plain(p, n);
	for (size_t i = 0; i <= n; i++)
		if (i == n || p[i] == '\n' || p[i] == '\t') {
			if (!sp_text_is_plain(p + from, i - from))
				return 0;
			from = i + 1;
		}
	return 1;
}

static enum sp_err
text_check(const void *row, const struct sp_field *f)
{
	const char *p = at(row, f);
	size_t n = strnlen(p, f->size);

	if (n == f->size || !text_is_ok(p, n, f->flags))
		return SP_EINVAL;
	if ((f->flags & SP_FF_NEEDED) && n == 0)
		return SP_EINVAL;
	if ((f->flags & SP_FF_NAME) && !sp_name_is_ok(p, f->size - 1))
		return SP_EINVAL;
	return (f->flags & SP_FF_NOLIST) && strpbrk(p, ",*") != NULL ? SP_EINVAL : SP_OK;
}

static enum sp_err
field_check(const void *row, const struct sp_field *f)
{
	int64_t v;

	switch (f->type) {
	case SP_F_UUID:
		return (f->flags & SP_FF_NEEDED) && sp_uuid_is_null(at(row, f)) ? SP_EINVAL : SP_OK;
	case SP_F_TEXT:
		return text_check(row, f);
	case SP_F_BLOB:
		return blob_len(row, f) > f->size || ((f->flags & SP_FF_NEEDED) && blob_len(row, f) == 0) ? SP_EINVAL : SP_OK;
	case SP_F_I64:
	case SP_F_OPT:
		v = number_at(row, f);
		return v < f->min || v > f->max ? SP_EINVAL : SP_OK;
	}
	return SP_EINTERNAL;
}

enum sp_err
sp_row_check(const struct sp_rowtype *t, const void *row)
{
	enum sp_err r;

	for (int i = 0; i < t->n; i++)
		if ((r = field_check(row, &t->field[i])) != SP_OK)
			return r;
	return t->check != NULL ? t->check(row) : SP_OK;
}

static void
field_bind(struct sp_q *q, const void *row, const struct sp_field *f)
{
	switch (f->type) {
	case SP_F_UUID:
		sp_q_uuid(q, at(row, f));
		break;
	case SP_F_TEXT:
		sp_q_text(q, at(row, f));
		break;
	case SP_F_BLOB:
		sp_q_blob(q, blob_len(row, f) == 0 ? NULL : (const char *)at(row, f) + sizeof(uint32_t), blob_len(row, f));
		break;
	case SP_F_I64:
		sp_q_i64(q, number_at(row, f));
		break;
	case SP_F_OPT:
		sp_q_opt(q, number_at(row, f));
		break;
	}
}

void
sp_row_bind(struct sp_q *q, const struct sp_rowtype *t, const void *row, int from, unsigned without_flags)
{
	for (int i = from; i < t->n; i++)
		if (!(t->field[i].flags & without_flags))
			field_bind(q, row, &t->field[i]);
}

static enum sp_err
field_read(struct sp_q *q, int col, void *row, const struct sp_field *f)
{
	char *dst = (char *)row + f->off;
	const void *p;
	int64_t v;
	uint32_t n32;
	size_t n;

	switch (f->type) {
	case SP_F_UUID:
		return sp_q_get_uuid(q, col, (struct sp_uuid *)(void *)dst);
	case SP_F_TEXT:
		return sp_q_get_text(q, col, dst, f->size);
	case SP_F_BLOB:
		p = sp_q_get_bytes(q, col, &n);
		if (n > f->size)
			return sp_store_fail(q->s, SP_ECORRUPT, "bytes beyond their bound");
		n32 = (uint32_t)n;
		memcpy(dst, &n32, sizeof(n32));
		memcpy(dst + sizeof(n32), p, n);
		return SP_OK;
	case SP_F_I64:
	case SP_F_OPT:
		v = f->type == SP_F_OPT && q->s->drv->is_null(q->st, col) ? -1 : sp_q_get_i64(q, col);
		memcpy(dst, &v, sizeof(v));
		return SP_OK;
	}
	return SP_EINTERNAL;
}

enum sp_err
sp_row_read(struct sp_q *q, const struct sp_rowtype *t, void *row)
{
	enum sp_err r;

	memset(row, 0, t->size);
	for (int i = 0; i < t->n; i++)
		if ((r = field_read(q, i, row, &t->field[i])) != SP_OK)
			return r;
	return SP_OK;
}

static void
row_freep(void *p)
{
	sp_freep(p);
}

enum sp_err
sp_row_first(struct sp_q *q, const struct sp_rowtype *t, void *ret)
{
	sp_auto(row_freep) void *row = malloc(t->size);
	enum sp_err r = row != NULL ? sp_q_step(q) : SP_ENOMEM;

	if (r == SP_OK && (r = sp_row_read(q, t, row)) == SP_OK && (r = sp_mac_row_check(q->s, t, row)) == SP_OK)
		memcpy(ret, row, t->size);
	sp_q_close(q);
	return r;
}

enum sp_err
sp_row_each(struct sp_q *q, const struct sp_rowtype *t, sp_row_fn fn, void *arg)
{
	sp_auto(row_freep) void *row = malloc(t->size);
	enum sp_err r = row != NULL ? SP_OK : SP_ENOMEM;

	while (r == SP_OK && (r = sp_q_step(q)) == SP_OK)
		if ((r = sp_row_read(q, t, row)) == SP_OK && fn(row, arg) != 0)
			break;
	sp_q_close(q);
	return r == SP_ENOENT ? SP_OK : r;
}

enum sp_err
sp_row_columns(struct sp_buf *b, const struct sp_rowtype *t, const char *prefix)
{
	enum sp_err r;

	for (int i = 0; i < t->n; i++)
		if ((r = sp_buf_printf(b, "%s%s%s", i > 0 ? ", " : "", prefix, t->field[i].col)) != SP_OK)
			return r;
	return SP_OK;
}

/* ---- canonical form ---- */

static enum sp_err
field_canonical(struct sp_buf *dst, const void *row, const struct sp_field *f)
{
	switch (f->type) {
	case SP_F_UUID:
		return sp_buf_append(dst, at(row, f), SP_UUID_LEN);
	case SP_F_TEXT:
		return sp_buf_put_cstring(dst, at(row, f));
	case SP_F_BLOB:
		return sp_buf_put_string(dst, (const char *)at(row, f) + sizeof(uint32_t), blob_len(row, f));
	case SP_F_I64:
	case SP_F_OPT:
		return sp_buf_put_u64(dst, (uint64_t)number_at(row, f));
	}
	return SP_EINTERNAL;
}

/* The times of the head are left out: they are for people, and an update does not read created_us. */
/* A column that came later says nothing while it is as it was for all rows before: their MACs stay good. */
static int
field_unset(const void *row, const struct sp_field *f)
{
	return (f->flags & SP_FF_LATER) && (f->type == SP_F_TEXT ? *(const char *)at(row, f) == '\0' : number_at(row, f) == 0);
}

enum sp_err
sp_row_canonical(const struct sp_rowtype *t, const void *row, struct sp_buf *dst)
{
	enum sp_err r = sp_row_check(t, row);

	if (r != SP_OK || (r = sp_buf_put_cstring(dst, t->table)) != SP_OK)
		return r;
	for (int i = 0; i < t->n; i++)
		if (i != 2 && i != 3 && i != SP_ROW_HEAD_N - 1 && !(t->field[i].flags & SP_FF_LOOSE) && !field_unset(row, &t->field[i]) &&
		    ((t->field[i].flags & SP_FF_LATER && (r = sp_buf_put_cstring(dst, t->field[i].col)) != SP_OK) ||
		    (r = field_canonical(dst, row, &t->field[i])) != SP_OK))
			return r;
	return SP_OK;
}
