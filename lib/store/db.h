/* lib/store/db.h - inside lib/store only: the small SQL layer under the typed operations. Each operation is written
 * once, in SQL that both drivers understand, with '?' parameters; a driver only prepares, binds, steps and reads.
 * Invariants: (1) a statement is in use by at most one sp_q. (2) tx_depth[p] is 0 exactly when the connection of part p
 * is in autocommit mode. (3) A bound value stays where it is until sp_q_close. */
#ifndef SP_STORE_DB_H
#define SP_STORE_DB_H

#include "base/htab.h"
#include "crypto/secret.h"
#include "store/store.h"

#define SP_STORE_STMTS_MAX	256	/* cached prepared statements of one handle */
#define SP_STORE_SQL_MAX	(256 * 1024)

/* One migration script in the words of each driver. */
struct sp_store_script {
	const char	*sqlite, *pgsql;
};
extern const struct sp_store_script sp_store_main_scripts[], sp_store_evidence_scripts[];
extern const int sp_store_main_scripts_n, sp_store_evidence_scripts_n;

struct sp_stmt {
	struct sp_hnode		 node;
	struct sp_store		*s;
	enum sp_store_part	 part;
	char			*sql;
	int			 cached, busy;
	void			*native;	/* the driver's */
};

/* The driver's side. A function that fails leaves its text in s->detail. Parameters and columns count from 0. */
struct sp_store_driver {
	int		 version;	/* SP_STORE_DRIVER_VERSION */
	int		 parts;		/* 2: main and evidence have a connection each; 1: they share one */
	int		 savepoints;	/* a failed statement spoils the transaction around it */
	int		 lateral;	/* knows LATERAL, and needs it to keep to an order of probing */
	int		 bulk_rows;	/* rows of one multi-row insert that pay off */
	const char	*read_sql;	/* begins a transaction that only reads, of one moment; NULL: not worth it (access.c) */
	const char	*begin_sql, *has_table_sql, *lock_sql /* NULL: not needed */, *evidence_setup_sql /* may be NULL */;
	size_t		 script_offset;	/* in struct sp_store_script */
	enum sp_err	(*open)(struct sp_store *s, const char *url);
	void		(*close)(struct sp_store *s);
	enum sp_err	(*ready)(struct sp_store *s);	/* before each statement outside a transaction: reconnects if needed */
	enum sp_err	(*exec)(struct sp_store *s, enum sp_store_part part, const char *script);
	enum sp_err	(*slow)(struct sp_store *s, int on);	/* lift the statement time-out for migrations and bulk loads */
	enum sp_err	(*prepare)(struct sp_stmt *st);
	void		(*finalize)(struct sp_stmt *st);
	enum sp_err	(*bind_i64)(struct sp_stmt *st, int i, int64_t v);
	enum sp_err	(*bind_text)(struct sp_stmt *st, int i, const char *v, size_t n);	/* borrowed until reset */
	enum sp_err	(*bind_blob)(struct sp_stmt *st, int i, const void *v, size_t n);	/* v NULL: SQL NULL */
	enum sp_err	(*bind_null_i64)(struct sp_stmt *st, int i);
	enum sp_err	(*step)(struct sp_stmt *st);	/* SP_OK: a row; SP_ENOENT: done */
	void		(*reset)(struct sp_stmt *st);
	uint64_t	(*changes)(struct sp_stmt *st);	/* rows that the finished statement changed */
	int		(*is_null)(struct sp_stmt *st, int i);
	int64_t		(*col_i64)(struct sp_stmt *st, int i);
	const void	*(*col_bytes)(struct sp_stmt *st, int i, size_t *ret_n);	/* text or blob; "" for NULL; until the next step */
	int		(*server)(const struct sp_store *s, struct sp_netaddr *ret);	/* NULL: there is none */
	enum sp_err	(*check)(struct sp_store *s);	/* what is open is still what the URL names; NULL: nothing to ask */
	enum sp_err	(*copy)(struct sp_store *s, const char *dir, int parts);	/* NULL: table by table */
};
#define SP_STORE_DRIVER_VERSION	1
extern const struct sp_store_driver sp_store_sqlite, sp_store_pgsql;

struct sp_store {
	const struct sp_store_driver	*drv;
	void				*conn;		/* the driver's */
	struct sp_store_opts		 opts;
	struct sp_htab			 stmts;
	int				 tx_depth[2];	/* 0: none; 1: BEGIN; more: savepoints within */
	int				 tx_bad[2];
	int				 tx_stamped;	/* sp_groups_changed() was done in this transaction */
	int				 tx_power;	/* the transaction changes what gives power */
	int				 batch;		/* sp_store_begin was called, for batch_part */
	enum sp_store_part		 batch_part;
	enum sp_store_mac_mode		 mac_mode;
	struct sp_secret		 mac_key;	/* empty unless the mode is ON */
	struct sp_buf			 mac_buf;	/* what is being hashed */
	struct sp_store_finding		 finding[SP_STORE_FINDINGS_MAX];
	size_t				 finding_n;
	char				*sql_grants_for;	/* built once: it is the hot path */
	char				*sql_quick[3];		/* as well */
	struct sp_groups		*groups;		/* groups.c; NULL: nothing kept */
	sp_store_change_fn		*on_change;		/* NULL: nobody observes */
	void				*on_change_arg;
	char				 detail[512];
	enum sp_err			 trouble;	/* see sp_store_trouble() */
};

/* A statement being bound or read. Errors stick: bind without looking, ask once at step. */
struct sp_q {
	struct sp_store	*s;
	struct sp_stmt	*st;
	int		 n;		/* parameters bound so far */
	enum sp_err	 err;
};
#define sp_auto_q	sp_auto(sp_q_close) struct sp_q

void		 sp_q_open(struct sp_store *s, enum sp_store_part part, const char *sql, struct sp_q *ret);
void		 sp_q_close(struct sp_q *q);			/* zeroed: nothing */
void		 sp_q_again(struct sp_q *q);			/* opened well: as it was before the first parameter */
void		 sp_q_i64(struct sp_q *q, int64_t v);
void		 sp_q_opt(struct sp_q *q, int64_t v);		/* -1: NULL */
void		 sp_q_text(struct sp_q *q, const char *v);	/* borrowed until close */
void		 sp_q_blob(struct sp_q *q, const void *v, size_t n);
void		 sp_q_uuid(struct sp_q *q, const struct sp_uuid *v);	/* null uuid: NULL */
enum sp_err	 sp_q_step(struct sp_q *q) SP_MUST_USE;		/* SP_OK: a row; SP_ENOENT: no more */
/* Run a statement without rows and close it; ret_changes may be NULL. */
enum sp_err	 sp_q_run(struct sp_q *q, uint64_t *ret_changes) SP_MUST_USE;
/* One number from the first row; SP_ENOENT without a row. Closes. */
enum sp_err	 sp_q_number(struct sp_q *q, int64_t *ret) SP_MUST_USE;
int64_t		 sp_q_get_i64(struct sp_q *q, int col);
enum sp_err	 sp_q_get_uuid(struct sp_q *q, int col, struct sp_uuid *ret) SP_MUST_USE;	/* NULL: null */
enum sp_err	 sp_q_get_text(struct sp_q *q, int col, char *dst, size_t size) SP_MUST_USE;	/* SP_ECORRUPT: too long */
const void	*sp_q_get_bytes(struct sp_q *q, int col, size_t *ret_n);

/* An operation of several statements: all or nothing, alone or inside the caller's transaction.
 *	enum sp_err r = sp_op_begin(s, part);
 *	if (r != SP_OK) return r;
 *	return sp_op_end(s, part, body(...));	*/
enum sp_err	 sp_op_begin(struct sp_store *s, enum sp_store_part part) SP_MUST_USE;
enum sp_err	 sp_op_begin_plain(struct sp_store *s, enum sp_store_part part) SP_MUST_USE;	/* gives nobody power: replicas may lag */
enum sp_err	 sp_op_end(struct sp_store *s, enum sp_store_part part, enum sp_err r) SP_MUST_USE;
/* Not inside another one, and for drivers with read_sql only. */
enum sp_err	 sp_op_begin_read(struct sp_store *s, enum sp_store_part part) SP_MUST_USE;
/* The same for a body of one statement: costs nothing where the driver makes it atomic anyway. */
enum sp_err	 sp_op_single(struct sp_store *s, enum sp_store_part part, struct sp_q *q, uint64_t *ret_changes) SP_MUST_USE;
int64_t		 sp_store_now(struct sp_store *s);
void		 sp_store_forget_statements(struct sp_store *s);	/* after a reconnect */
void		 sp_store_tx_lost(struct sp_store *s);			/* the connection is gone, with its transaction */
enum sp_err	 sp_store_fail(struct sp_store *s, enum sp_err e, const char *detail);	/* keep the text, give e back */

/* ---- rows by table (rows.c) ---- */
enum sp_field_type { SP_F_UUID, SP_F_I64, SP_F_OPT, SP_F_TEXT, SP_F_BLOB };
enum {
	SP_FF_NAME	= 1 << 0,	/* sp_name_is_ok */
	SP_FF_NOLIST	= 1 << 1,	/* no ',' and no '*': it stands in lists */
	SP_FF_NEEDED	= 1 << 2,	/* not "" and not null */
	SP_FF_APART	= 1 << 3,	/* written by add and by its own operation only */
	SP_FF_FREE	= 1 << 4,	/* text may hold line breaks and tabs */
	SP_FF_LOOSE	= 1 << 5,	/* not in the canonical form */
	SP_FF_SECRET	= 1 << 7,	/* not told to who observes changes */
	SP_FF_LATER	= 1 << 6	/* came after rows had MACs: behind all others, and in the canonical form by name and only when set */
};
struct sp_field {
	const char	*col;
	enum sp_field_type type;
	unsigned	 flags;
	size_t		 off, size;	/* of the member; text: with the NUL; blob: of b */
	int64_t		 min, max;	/* numbers */
};
struct sp_rowtype {
	const char		*table;
	const struct sp_field	*field;		/* [0] is id */
	int			 n;
	size_t			 size;		/* of the struct */
	const char		*order, *search;	/* SQL; search NULL: not searchable */
	const char		*of[3];		/* columns that query.of filters */
	const char		*register_in;	/* subjects, objects or NULL */
	int64_t			 register_kind;
	const char		*closure;	/* leaves get their own row there; or NULL */
	enum sp_err		(*check)(const void *row);
	enum sp_err		(*before_write)(struct sp_store *s, const void *row, int adding);	/* in the transaction, before the row */
	enum sp_err		(*after_write)(struct sp_store *s, const void *row, int adding);
	enum sp_err		(*before_delete)(struct sp_store *s, const struct sp_uuid *id);
};
extern const struct sp_rowtype sp_rt_department, sp_rt_user, sp_rt_user_key, sp_rt_totp, sp_rt_recovery, sp_rt_group,
    sp_rt_zone, sp_rt_asset, sp_rt_host_key, sp_rt_asset_group, sp_rt_asset_claim, sp_rt_account, sp_rt_secret, sp_rt_grant, sp_rt_session,
    sp_rt_detection, sp_rt_offense, sp_rt_offense_note, sp_rt_alert, sp_rt_response,
    sp_rt_rule_set, sp_rt_command_rule, sp_rt_rule_use, sp_rt_grant_commands;
/* Every kind but sessions: what can be looked through and accepted by the name of its table (scan.c). */
extern const struct sp_rowtype *const sp_rowtypes[];
extern const size_t sp_rowtypes_n;
typedef int (*sp_row_fn)(const void *row, void *arg);
/* The head of every row struct but a session's. */
struct sp_row_head {
	SP_STORE_HEAD;
};
#define SP_ROW_HEAD_N	5

enum sp_err	 sp_row_columns(struct sp_buf *b, const struct sp_rowtype *t, const char *prefix) SP_MUST_USE;
enum sp_err	 sp_row_read(struct sp_q *q, const struct sp_rowtype *t, void *row) SP_MUST_USE;	/* columns 0.. in order */
enum sp_err	 sp_row_check(const struct sp_rowtype *t, const void *row) SP_MUST_USE;
void		 sp_row_bind(struct sp_q *q, const struct sp_rowtype *t, const void *row, int from, unsigned without_flags);
enum sp_err	 sp_row_canonical(const struct sp_rowtype *t, const void *row, struct sp_buf *dst) SP_MUST_USE;
enum sp_err	 sp_row_first(struct sp_q *q, const struct sp_rowtype *t, void *ret) SP_MUST_USE;	/* reads, checks the MAC, closes */
enum sp_err	 sp_row_each(struct sp_q *q, const struct sp_rowtype *t, sp_row_fn fn, void *arg) SP_MUST_USE;	/* reads, closes */
/* " AND search LIKE ? ..." for each word of text; binding the same words. */
#define SP_STORE_WORDS_MAX	8
struct sp_words {
	int	n;
	char	like[SP_STORE_WORDS_MAX][SP_STORE_NAME_MAX * 2 + 3];
};
/* The department ? and every one below it. */
#define SP_DEPARTMENTS_BELOW "(WITH RECURSIVE d(id) AS (SELECT id FROM departments WHERE id = ? UNION"	\
	" SELECT c.id FROM departments c JOIN d ON c.parent_id = d.id) SELECT id FROM d)"
uint32_t	 sp_page_limit(uint32_t limit);
void		 sp_word_pattern(const char *p, size_t n, char *dst);	/* for LIKE ? ESCAPE '\\'; dst: 2n + 3 bytes */

/* ---- row MACs (mac.c); where the mode is OFF they do nothing ---- */
#define SP_MAC_LEN	32
void		 sp_mac_found(struct sp_store *s, const char *table, const char *id, const char *what);
void		 sp_mac_pair_text(const struct sp_uuid *a, const struct sp_uuid *b, char dst[SP_STORE_ROW_ID_SIZE]);
/* Fill in row->mac over the row as it stands (version included). SP_ESEALED. */
enum sp_err	 sp_mac_row_make(struct sp_store *s, const struct sp_rowtype *t, void *row) SP_MUST_USE;
enum sp_err	 sp_mac_row_check(struct sp_store *s, const struct sp_rowtype *t, const void *row) SP_MUST_USE;	/* SP_ETAMPERED */
enum sp_err	 sp_mac_edge_make(struct sp_store *s, const char *table, const struct sp_store_member *m, struct sp_store_mac *ret) SP_MUST_USE;
enum sp_err	 sp_mac_edge_check(struct sp_store *s, const char *table, const struct sp_store_member *m) SP_MUST_USE;
enum sp_err	 sp_mac_setting_make(struct sp_store *s, const char *key, const char *value, struct sp_store_mac *ret) SP_MUST_USE;
enum sp_err	 sp_mac_setting_check(struct sp_store *s, const char *key, const char *value, const struct sp_store_mac *mac) SP_MUST_USE;

/* ---- changes told (change.c); without an observer they do nothing ---- */
void		 sp_change_row(struct sp_store *s, const struct sp_rowtype *t, const void *before, const void *after);	/* NULL: there is none */
void		 sp_change_value(struct sp_store *s, const char *table, const char *id, const char *column, const char *before, const char *after);

/* ---- ways over good edges (path.c) ---- */
enum sp_path_graph { SP_PATH_USERS, SP_PATH_ASSETS };
struct sp_path {
	enum sp_path_graph	 graph;
	const struct sp_uuid	*leaf;	/* borrowed */
	struct sp_uuid		*node;	/* reached, the leaf first; NULL: not walked yet */
	size_t			 n, cap;
};
void		 sp_path_release(struct sp_path *p);
enum sp_err	 sp_path_walk(struct sp_store *s, struct sp_path *p) SP_MUST_USE;	/* fills node: all that good edges reach */
enum sp_err	 sp_path_add(struct sp_path *p, const struct sp_uuid *node, size_t n) SP_MUST_USE;	/* those that are not there yet */
/* *ret: 1 if the leaf is, or is in, that node (always where the mode is not ON). A refusal is among the findings. */
enum sp_err	 sp_path_proves(struct sp_store *s, struct sp_path *p, const struct sp_uuid *node, int *ret) SP_MUST_USE;

/* ---- what is between groups, in memory (groups.c) ---- */
#define SP_GROUPS_PAIRS_SQL	"SELECT object_id, id FROM grants INDEXED BY grants_groups WHERE subject_id = ?"	\
	" AND subject_kind = 2 AND object_kind = 2 ORDER BY object_id, id"
struct sp_group_pair {
	struct sp_uuid		 object, grant;
	struct sp_store_grant	*row;	/* read and checked before; or NULL */
};
void		 sp_groups_forget(struct sp_store *s);
void		 sp_groups_release(struct sp_store *s);
/* First in a read transaction: forgets what may have changed. What the two others give is borrowed until the next call of it. */
enum sp_err	 sp_groups_fresh(struct sp_store *s) SP_MUST_USE;
enum sp_err	 sp_groups_above(struct sp_store *s, enum sp_path_graph graph, const struct sp_uuid *id, const struct sp_uuid **ret,
		    size_t *ret_n) SP_MUST_USE;
/* Grants of that group of users on asset groups, by object. SP_ESIZE: more than are kept. */
enum sp_err	 sp_groups_pairs(struct sp_store *s, const struct sp_uuid *id, struct sp_group_pair **ret, size_t *ret_n) SP_MUST_USE;
void		 sp_groups_keep(struct sp_store *s, struct sp_group_pair *pair, const struct sp_store_grant *row);	/* copied, if there is room */
/* In the transaction of every write to an edge or a grant between groups. */
enum sp_err	 sp_groups_changed(struct sp_store *s) SP_MUST_USE;
enum sp_err	 sp_grant_after_write(struct sp_store *s, const void *row, int adding);
enum sp_err	 sp_grant_before_delete(struct sp_store *s, const struct sp_uuid *id);

/* A row by a condition (ops.c): bind its parameters, then sp_row_first(). */
enum sp_err	 sp_row_by(struct sp_store *s, const struct sp_rowtype *t, const char *where, struct sp_q *ret) SP_MUST_USE;

/* ---- closures (member.c) ---- */
enum sp_err	 sp_member_read(struct sp_q *q, struct sp_store_member *ret) SP_MUST_USE;	/* parent, child, kind, created, mac */
enum sp_err	 sp_row_delete(struct sp_store *s, const struct sp_rowtype *t, const struct sp_uuid *id, int64_t version) SP_MUST_USE;
enum sp_err	 sp_store_edge_delete(struct sp_store *s, int of_assets, const struct sp_uuid *parent, const struct sp_uuid *child) SP_MUST_USE;
enum sp_err	 sp_asset_group_before_write(struct sp_store *s, const void *row, int adding);
enum sp_err	 sp_asset_group_after_write(struct sp_store *s, const void *row, int adding);
enum sp_err	 sp_asset_group_before_delete(struct sp_store *s, const struct sp_uuid *id);
enum sp_err	 sp_asset_before_delete(struct sp_store *s, const struct sp_uuid *id);
enum sp_err	 sp_group_before_delete(struct sp_store *s, const struct sp_uuid *id);
enum sp_err	 sp_asset_secrets_erase(struct sp_store *s, const struct sp_uuid *id) SP_MUST_USE;
enum sp_err	 sp_account_before_delete(struct sp_store *s, const struct sp_uuid *id);
enum sp_err	 sp_user_before_write(struct sp_store *s, const void *row, int adding);
enum sp_err	 sp_user_before_delete(struct sp_store *s, const struct sp_uuid *id);
enum sp_err	 sp_department_before_write(struct sp_store *s, const void *row, int adding);

#endif
