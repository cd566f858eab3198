/* src/control/changes.c - see changes.h. */
#include "control/changes.h"

#include <string.h>

#include "base/str.h"

#define VALUE_MAX	1024	/* bytes of one value; a longer one is cut, and says so */

static json_t *
value_json(const char *text)
{
	char cut[VALUE_MAX + 32];
	size_t n = strlen(text), k = VALUE_MAX;

	if (n <= VALUE_MAX)
		return json_string(text);
	while (k > 0 && ((unsigned char)text[k] & 0xc0) == 0x80)
		k--;		/* not within a character */
	(void)sp_snprintf(cut, sizeof(cut), "%.*s...(%zu bytes)", (int)k, text, n);
	return json_string(cut);
}

static void
row_put(json_t *row, const char *side, const struct sp_store_change *c, const char *text)
{
	json_t *o;

	if (text == NULL)
		return;
	if ((o = json_object_get(row, side)) == NULL && json_object_set_new(row, side, o = json_object()) != 0)
		return;
	(void)json_object_set_new(o, c->column, value_json(text));
}

/* Columns of a row come one after the other. */
static json_t *
row_of(struct changes *k, const struct sp_store_change *c)
{
	json_t *last = json_array_get(k->rows, json_array_size(k->rows) - 1), *row;

	if (last != NULL && strcmp(json_string_value(json_object_get(last, "id")), c->id) == 0 &&
	    strcmp(json_string_value(json_object_get(last, "table")), c->table) == 0)
		return last;
	if (k->bytes >= CHANGES_BYTES && k->full != NULL)
		k->full(k->arg);
	if (k->bytes >= CHANGES_BYTES)
		return NULL;
	if (k->rows == NULL)
		k->rows = json_array();
	row = json_pack("{s:s, s:s}", "table", c->table, "id", c->id);
	k->bytes += strlen(c->table) + strlen(c->id) + 32;
	return row != NULL && json_array_append_new(k->rows, row) == 0 ? row : NULL;
}

static void
on_change(const struct sp_store_change *c, void *arg)
{
	struct changes *k = arg;
	json_t *row;

	if ((row = row_of(k, c)) == NULL) {
		k->left_out++;
		return;
	}
	row_put(row, "before", c, c->before);
	row_put(row, "after", c, c->after);
	k->bytes += strlen(c->column) + 8 + (c->before != NULL ? strlen(c->before) : 0) + (c->after != NULL ? strlen(c->after) : 0);
}

void
changes_begin(struct changes *c, struct sp_store *s)
{
	changes_drop(c);
	sp_store_observe(s, on_change, c);
}

void
changes_end(struct sp_store *s)
{
	sp_store_observe(s, NULL, NULL);
}

json_t *
changes_take(struct changes *c, uint64_t *ret_left_out)
{
	json_t *rows = c->rows;

	if (ret_left_out != NULL)
		*ret_left_out = c->left_out;
	c->rows = NULL;
	c->bytes = 0;
	c->left_out = 0;
	return rows;
}

void
changes_drop(struct changes *c)
{
	json_decref(changes_take(c, NULL));
}
