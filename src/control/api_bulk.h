/* src/control/api_bulk.h - many rows in one act: import and sweep. Rows are staged in pages, judged one by one without
 * holding anything up (bulk lane, reads only), and what they come to is a plan (store/plan.h) that is done in one
 * transaction: all or nothing, short, in its turn among the other writers. Logins need none of that turn.
 * Invariants: (1) a row may do no more than the single call that it stands for: the same functions check it. (2) One row
 * refused, and nothing is done. (3) Staged rows belong to the caller's connection and end with it. (4) The names of what
 * is changed are durable in the audit log before the first row is. */
#ifndef SP_CONTROL_API_BULK_H
#define SP_CONTROL_API_BULK_H

#include "common/bulkcols.h"
#include "control/api.h"
#include "store/plan.h"

struct bulk_import;			/* staged (api_bulk.c) */

struct bulk_opts {
	const struct sp_bulk_kind *kind;
	char	 source[SP_STORE_NAME_MAX + 1];	/* "": none */
	char	 heir[SP_STORE_LOGIN_MAX + 1];
	int	 dry_run, prune, erase, adopt, force;
	int64_t	 max_percent;
};
enum bulk_did { BULK_UNCHANGED, BULK_CREATED, BULK_CHANGED, BULK_DISABLED, BULK_DELETED, BULK_DID_N };
struct bulk_seen;
struct bulk_epoch {
	struct sp_uuid	user;
	int64_t		epoch;
	const char	*reason;
};
struct bulk_run {			/* one commit, being worked out */
	struct api_call		*c;	/* the call */
	struct api_call		 row;	/* stands for the single call of a row: caller, params, error */
	struct sp_store		*s;
	struct bulk_opts	 o;
	struct bulk_import	*im;
	uint32_t		 line;
	struct sp_store_plan	*plan, *later;	/* later: after all of plan */
	struct sp_htab		 seen;		/* names in this file, names looked up */
	json_t			*refused;
	size_t			 refused_n;
	uint64_t		 did[BULK_DID_N];
	json_t			*names[BULK_DID_N];
	json_t			*report;	/* a sweep's rows */
	struct changes		 changes;	/* before and after, a page of them */
	struct bulk_epoch	*epochs;
	size_t			 epochs_n, epochs_cap;
	void			*grants;	/* index of those that exist */
};

/* ---- api_bulk.c ---- */
enum sp_err	 bulk_new(struct ctl *c) SP_MUST_USE;
void		 bulk_free(struct ctl *c);
void		 bulk_drop(struct ctl *c, const void *owner);	/* a caller's connection is gone */
/* A row is refused: line and reason; the reason may be the one that a check left in b->row. */
enum sp_err	 bulk_refuse(struct bulk_run *b, enum sp_err e, const char *fmt, ...) SP_PRINTF(3, 4);
void		 bulk_did(struct bulk_run *b, enum bulk_did what, const char *name);
enum sp_err	 bulk_epoch_add(struct bulk_run *b, const struct sp_store_user *u, const char *reason);
enum sp_err	 bulk_planned(struct bulk_run *b, enum sp_err e);	/* an error of sp_store_plan_*: refuses the row */
/* A secret that the vault wrapped for this line: its envelope. SP_ENOENT. */
enum sp_err	 bulk_secret(struct bulk_run *b, struct sp_store_secret *ret);
/* The name was in the file before: SP_EEXIST and *ret is its line. */
enum sp_err	 bulk_once(struct bulk_run *b, const char *scope, const char *name, const struct sp_uuid *id);
int		 bulk_find(struct bulk_run *b, const char *scope, const char *name, struct sp_uuid *ret, uint32_t *ret_line);
/* More than max_percent of n_all: refused unless forced. */
enum sp_err	 bulk_guard(struct bulk_run *b, const char *what, uint64_t n, uint64_t n_all);

/* ---- one function a kind: judge b->row.params, add to the plan ---- */
typedef enum sp_err bulk_row_fn(struct bulk_run *b);
bulk_row_fn	 bulk_user, bulk_group, bulk_asset, bulk_account, bulk_grant, bulk_person;
enum sp_err	 bulk_groups_start(struct bulk_run *b, const json_t *row);	/* every row, before the first is judged */
enum sp_err	 bulk_grants_start(struct bulk_run *b);
void		 bulk_grants_end(struct bulk_run *b);
enum sp_err	 bulk_prune(struct bulk_run *b);	/* what comes from the source and is not in the file */
enum sp_err	 bulk_sweep_end(struct bulk_run *b);
/* Where an object of this name comes from. *ret_id: the one that b's source calls external_id (null: none). */
enum sp_err	 bulk_origin(struct bulk_run *b, int64_t kind, struct sp_uuid *ret_id);
enum sp_err	 bulk_origin_set(struct bulk_run *b, int64_t kind, const struct sp_uuid *id, int is_new, int *ret_changed);

#endif
