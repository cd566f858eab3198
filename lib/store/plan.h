/* lib/store/plan.h - many changes decided beforehand, then done in one transaction that is as short as it can be; where an
 * object came from; whole tables in one reading. Process: control (its bulk lane).
 *
 * A plan holds packed rows, not structs: 300,000 grants take some 60 MB. Each operation is the one of store.h, in the order
 * of the plan, and carries the line of the file that caused it. */
#ifndef SP_STORE_PLAN_H
#define SP_STORE_PLAN_H

#include "store/store.h"

#define SP_STORE_PLAN_MAX	((size_t)256 << 20)	/* bytes */

enum sp_store_act { SP_STORE_DO_ADD = 1, SP_STORE_DO_UPDATE, SP_STORE_DO_DELETE };
struct sp_store_plan;

enum sp_err	 sp_store_plan_new(struct sp_store_plan **ret) SP_MUST_USE;
void		 sp_store_plan_free(struct sp_store_plan *p);	/* NULL is fine; wipes */
static inline void sp_store_plan_freep(struct sp_store_plan **p) { sp_store_plan_free(*p); *p = NULL; }
size_t		 sp_store_plan_size(const struct sp_store_plan *p);	/* operations */
/* Rows are copied. Of a row to delete only id and version count. SP_ESIZE beyond SP_STORE_PLAN_MAX. */
#define SP_STORE_PLAN_ROW(name)	\
	enum sp_err sp_store_plan_##name(struct sp_store_plan *p, uint32_t line, enum sp_store_act act, const struct sp_store_##name *row) SP_MUST_USE;
SP_STORE_PLAN_ROW(user)
SP_STORE_PLAN_ROW(user_key)
SP_STORE_PLAN_ROW(group)
SP_STORE_PLAN_ROW(asset)
SP_STORE_PLAN_ROW(asset_group)
SP_STORE_PLAN_ROW(account)
SP_STORE_PLAN_ROW(secret)
SP_STORE_PLAN_ROW(grant)
/* Membership of a group of users (kind: of the member) or of assets. act: add or delete. */
enum sp_err	 sp_store_plan_group_member(struct sp_store_plan *p, uint32_t line, enum sp_store_act act, const struct sp_store_member *m) SP_MUST_USE;
enum sp_err	 sp_store_plan_asset_member(struct sp_store_plan *p, uint32_t line, enum sp_store_act act, const struct sp_store_member *m) SP_MUST_USE;
enum sp_err	 sp_store_plan_tag(struct sp_store_plan *p, uint32_t line, const struct sp_uuid *asset_id, const char *key, const char *value) SP_MUST_USE;	/* NULL: remove */
/* source "": the object comes from nowhere any more. */
struct sp_store_origin {
	struct sp_uuid	id;				/* a user or an asset */
	int64_t		kind;				/* enum sp_store_origin_kind */
	char		source[SP_STORE_NAME_MAX + 1];
	char		external_id[SP_STORE_NAME_MAX + 1];	/* unique within kind and source */
	int64_t		gone_us;			/* since when it is not in its list any more; 0: it is */
};
enum sp_store_origin_kind { SP_STORE_ORIGIN_USER = 1, SP_STORE_ORIGIN_ASSET };
enum sp_err	 sp_store_plan_origin(struct sp_store_plan *p, uint32_t line, const struct sp_store_origin *o) SP_MUST_USE;

/* All of it, inside the transaction that the caller began. The first failure stops: *ret_line says whose it is, and the
 * caller must roll back. */
enum sp_err	 sp_store_plan_apply(struct sp_store *s, const struct sp_store_plan *p, uint32_t *ret_line) SP_MUST_USE;

enum sp_err	 sp_store_origin_get(struct sp_store *s, int64_t kind, const struct sp_uuid *id, struct sp_store_origin *ret) SP_MUST_USE;
enum sp_err	 sp_store_origin_find(struct sp_store *s, int64_t kind, const char *source, const char *external_id, struct sp_store_origin *ret) SP_MUST_USE;
typedef int (*sp_store_origin_fn)(const struct sp_store_origin *o, void *arg);
enum sp_err	 sp_store_origins(struct sp_store *s, int64_t kind, const char *source, sp_store_origin_fn fn, void *arg) SP_MUST_USE;	/* "": all */

/* The groups that an asset, or a user, is in directly. */
enum sp_err	 sp_store_user_parents(struct sp_store *s, const struct sp_uuid *user_id, sp_store_id_fn fn, void *arg) SP_MUST_USE;
enum sp_err	 sp_store_asset_parents(struct sp_store *s, const struct sp_uuid *asset_id, sp_store_id_fn fn, void *arg) SP_MUST_USE;

/* Every row, in the order of lists, read by one statement: nothing that changes meanwhile makes a row come twice or not.
 * A row whose MAC is wrong ends it: SP_ETAMPERED. */
#define SP_STORE_EVERY(name)	\
	enum sp_err sp_store_every_##name(struct sp_store *s, sp_store_##name##_fn fn, void *arg) SP_MUST_USE;
SP_STORE_EVERY(user)
SP_STORE_EVERY(group)
SP_STORE_EVERY(asset)
SP_STORE_EVERY(asset_group)
SP_STORE_EVERY(account)
SP_STORE_EVERY(grant)

#endif
