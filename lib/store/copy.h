/* lib/store/copy.h - rows of a table as they are, from one driver to the other: what copy.c and load.c share. */
#ifndef SP_STORE_COPY_H
#define SP_STORE_COPY_H

#include "store/db.h"

#define SP_COPY_COLS_MAX	64
#define SP_COPY_SQL_MAX		8192

struct sp_copy_table {
	char	name[64];
	int	n;
	char	col[SP_COPY_COLS_MAX][64];
	char	type[SP_COPY_COLS_MAX];		/* 'I', 'T', 'B' */
};
/* The tables of a SQLite file but those that its migration filled and that SQLite keeps for itself, by name; t->name is set. */
enum sp_err	sp_copy_tables(struct sp_store *lite, enum sp_store_part part, struct sp_copy_table *t,
		    enum sp_err (*fn)(void *arg, enum sp_store_part part, struct sp_copy_table *t), void *arg) SP_MUST_USE;
enum sp_err	sp_copy_columns(struct sp_store *lite, enum sp_store_part part, struct sp_copy_table *t) SP_MUST_USE;
enum sp_err	sp_copy_list(const struct sp_copy_table *t, struct sp_buf *b) SP_MUST_USE;
enum sp_err	sp_copy_insert_sql(const struct sp_copy_table *t, struct sp_buf *b) SP_MUST_USE;
/* The row that `from` stands at. */
enum sp_err	sp_copy_row(struct sp_q *from, struct sp_store *dst, enum sp_store_part part, const struct sp_copy_table *t,
		    const char *sql) SP_MUST_USE;

#endif
