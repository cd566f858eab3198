/* src/control/api_rows.c - rows of the database that carry no good MAC: look for them, accept or remove one; and the clock. Only root of
 * this machine accepts: whoever may write the database and is an administrator besides would otherwise accept his own. */
#include "control/api.h"

#include <string.h>

#include "control/methods.h"
#include "control/rowkey.h"
#include "control/wall.h"

#define ROWS_PAGE	4000	/* about 50 ms of a reader */

static int
rows_found(const struct sp_store_finding *f, void *arg)
{
	rowkey_found(f);
	json_array_append_new(arg, json_pack("{s:s, s:s, s:s}", "table", f->table, "id", f->id, "what", f->what));
	return 0;
}

/* params: part, after (of the answer before; none: from the start). Answer: rows, part, after, done, seen. */
void
rows_check(struct api_call *c, struct sp_store *s)
{
	struct sp_store_scan at = { 0 };
	json_t *found = json_array();
	int64_t part = 0;
	enum sp_err r;

	if (api_int(c, "part", 0, 1000, &part) != SP_OK || api_str(c, "after", 0, at.after, sizeof(at.after)) != SP_OK) {
		json_decref(found);
		return;
	}
	at.part = (uint32_t)part;
	if ((r = sp_store_rows_scan(s, &at, ROWS_PAGE, rows_found, found)) == SP_ESTATE)
		(void)api_fail(c, r, "rows are checked with a key from the vault, which has not been open since control started: "
		    "run 'sallyport vault unseal'");
	else
		(void)api_store(c, r, "the rows");
	if (r != SP_OK) {
		json_decref(found);
		return;
	}
	c->out = json_pack("{s:o, s:I, s:s, s:b, s:I}", "rows", found, "part", (json_int_t)at.part, "after", at.after, "done", at.done,
	    "seen", (json_int_t)at.seen);
}

static void
rows_mend(struct api_call *c, struct sp_store *s, enum sp_err (*mend)(struct sp_store *, const char *, const char *))
{
	char table[32] = "", id[SP_STORE_ROW_ID_SIZE] = "";
	enum sp_err r;

	if (api_str(c, "table", 1, table, sizeof(table)) != SP_OK || api_str(c, "id", 1, id, sizeof(id)) != SP_OK)
		return;
	sp_snprintf(c->what, sizeof(c->what), "%s %s", table, id);
	r = mend(s, table, id);
	if (r == SP_ENOENT)
		(void)api_fail(c, r, "there is no row %s in %s", id, table);
	else if (r == SP_EINVAL)
		(void)api_fail(c, r, "%s %s: not a table and an id as 'sallyport doctor --rows' prints them, or a row beyond its bounds", table, id);
	else if (r == SP_ESTATE)
		(void)api_fail(c, r, "%s %s: other rows refer to it, or the vault is sealed", table, id);
	else if (api_store(c, r, table) == SP_OK)
		c->rejudge = 1;
}

/* No row, but the same act: what stands there now is right. */
static void
rows_accept_clock(struct api_call *c, struct sp_store *s)
{
	enum sp_err r = wall_accept(s);

	(void)sp_strlcpy(c->what, "clock now", sizeof(c->what));
	if (r == SP_ESTATE)
		(void)api_fail(c, r, "the earlier times are read with a key from the vault, which has not been open since control started: "
		    "run 'sallyport vault unseal'");
	else if (api_store(c, r, "the clock") == SP_OK)
		c->rejudge = 1;
}

void
rows_accept(struct api_call *c, struct sp_store *s)
{
	const char *table = api_text(c, "table"), *id = api_text(c, "id");

	if (table != NULL && id != NULL && strcmp(table, "clock") == 0 && strcmp(id, "now") == 0)
		rows_accept_clock(c, s);
	else
		rows_mend(c, s, sp_store_row_accept);
}

void
rows_remove(struct api_call *c, struct sp_store *s)
{
	rows_mend(c, s, sp_store_row_remove);
}

void
rows_mended_loop(struct api_call *c)
{
	const char *table = api_text(c, "table"), *id = api_text(c, "id");

	if (table != NULL && id != NULL)
		rowkey_mended(table, id);
}

void
rows_check_loop(struct api_call *c)
{
	int64_t part = json_integer_value(json_object_get(c->params, "part"));
	const char *after = api_text(c, "after");

	rowkey_scan(c->ctl, part == 0 && (after == NULL || *after == '\0') ? c->job.asked_us : 0, json_is_true(json_object_get(c->out, "done")));
}
