/* lib/store/change.c - what a transaction does to rows, told column by column while it does it: "before/after" of the audit log.
 *
 * Every row of rows.c goes through three functions of ops.c, so this sees all of them, whatever operation changed them; edges, tags and
 * settings report themselves. Nobody listens on most handles, and then nothing is read or compared.
 * Invariants: (1) a change is told after the statement that made it succeeded, inside its transaction: who listens forgets it when that is
 * rolled back. (2) MACs, versions and times of change are not told, nor what must stay secret: of that only, that it changed. */
#include <string.h>

#include "store/db.h"

#define NUMBER_SIZE	24
#define SECRET		"(secret)"

void
sp_store_observe(struct sp_store *s, sp_store_change_fn fn, void *arg)
{
	s->on_change = fn;
	s->on_change_arg = arg;
}

/* One value as text; "" when it is not set. `room` holds numbers and ids. */
static const char *
value_text(const void *row, const struct sp_field *f, char room[SP_UUID_SIZE])
{
	const void *p = (const char *)row + f->off;
	uint32_t len;
	int64_t v;

	switch (f->type) {
	case SP_F_TEXT:
		return f->flags & SP_FF_SECRET && *(const char *)p != '\0' ? SECRET : p;
	case SP_F_UUID:
		return sp_uuid_is_null(p) ? "" : sp_uuid_text(p, room);
	case SP_F_BLOB:
		memcpy(&len, p, sizeof(len));
		return len == 0 ? "" : f->flags & SP_FF_SECRET ? SECRET : "(bytes)";
	case SP_F_OPT:
	case SP_F_I64:
		memcpy(&v, p, sizeof(v));
		if (v == (f->type == SP_F_OPT ? -1 : 0))
			return "";
		(void)sp_snprintf(room, SP_UUID_SIZE, "%lld", (long long)v);
		return room;
	}
	return "";
}

static int
is_same(const struct sp_field *f, const void *a, const void *b)
{
	const char *p = (const char *)a + f->off, *q = (const char *)b + f->off;
	uint32_t m, n;

	switch (f->type) {
	case SP_F_TEXT:
		return strcmp(p, q) == 0;
	case SP_F_UUID:
		return memcmp(p, q, sizeof(struct sp_uuid)) == 0;
	case SP_F_BLOB:
		memcpy(&m, p, sizeof(m));
		memcpy(&n, q, sizeof(n));
		return m == n && memcmp(p + sizeof(m), q + sizeof(n), m) == 0;
	case SP_F_OPT:
	case SP_F_I64:
		return memcmp(p, q, sizeof(int64_t)) == 0;
	}
	return 0;
}

void
sp_change_row(struct sp_store *s, const struct sp_rowtype *t, const void *before, const void *after)
{
	char id[SP_UUID_SIZE], was[SP_UUID_SIZE], is[SP_UUID_SIZE];
	struct sp_store_change c = { .table = t->table, .id = sp_uuid_text(before != NULL ? before : after, id) };

	if (s->on_change == NULL)
		return;
	for (int i = SP_ROW_HEAD_N; i < t->n; i++) {
		const struct sp_field *f = &t->field[i];

		if (f->flags & SP_FF_LOOSE || (before != NULL && after != NULL && is_same(f, before, after)))
			continue;
		c.column = f->col;
		c.before = before != NULL ? value_text(before, f, was) : NULL;
		c.after = after != NULL ? value_text(after, f, is) : NULL;
		if ((c.before != NULL && *c.before != '\0') || (c.after != NULL && *c.after != '\0'))
			s->on_change(&c, s->on_change_arg);
	}
}

void
sp_change_value(struct sp_store *s, const char *table, const char *id, const char *column, const char *before, const char *after)
{
	struct sp_store_change c = { table, id, column, before, after };

	if (s->on_change != NULL)
		s->on_change(&c, s->on_change_arg);
}
