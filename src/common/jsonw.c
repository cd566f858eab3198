/* src/common/jsonw.c - see jsonw.h. */
#include "common/jsonw.h"

#include <string.h>

#include "base/str.h"

static void
json_put(struct sp_jsonw *j, const char *s, size_t n)
{
	if (j->err == SP_OK)
		j->err = sp_buf_append(j->b, s, n);
}

static void
json_puts(struct sp_jsonw *j, const char *s)
{
	json_put(j, s, strlen(s));
}

static void
json_key(struct sp_jsonw *j, const char *key, const char *suffix)
{
	json_puts(j, j->n++ > 0 ? ",\"" : "\"");
	json_puts(j, key);
	json_puts(j, suffix);
	json_puts(j, "\":");
}

void
sp_jsonw_begin(struct sp_jsonw *j, struct sp_buf *b)
{
	*j = (struct sp_jsonw){ .b = b };
	json_puts(j, "{");
}

static void
json_control(struct sp_jsonw *j, uint8_t c)
{
	char u[8];

	if (c == '"' || c == '\\')
		(void)sp_snprintf(u, sizeof(u), "\\%c", c);
	else
		(void)sp_snprintf(u, sizeof(u), "\\u%04x", c);
	json_puts(j, u);
}

/* Returns whether all of it was UTF-8. */
static int
json_text(struct sp_jsonw *j, const uint8_t *p, size_t n)
{
	int clean = 1;

	json_puts(j, "\"");
	while (n > 0 && j->err == SP_OK) {
		uint32_t cp;
		size_t k = sp_utf8_next(p, n, &cp);

		if (k == 0) {
			clean = 0;
			k = 1;
			json_puts(j, "\xef\xbf\xbd");
		} else if (cp < 0x20 || cp == 0x7f || cp == '"' || cp == '\\') {
			json_control(j, (uint8_t)cp);
		} else {
			json_put(j, (const char *)p, k);
		}
		p += k;
		n -= k;
	}
	json_puts(j, "\"");
	return clean;
}

void
sp_jsonw_str(struct sp_jsonw *j, const char *key, const char *s)
{
	size_t n = strlen(s);

	json_key(j, key, "");
	if (json_text(j, (const uint8_t *)s, n) || j->err != SP_OK)
		return;
	json_key(j, key, "_base64");
	json_puts(j, "\"");
	if (j->err == SP_OK)
		j->err = sp_base64(j->b, s, n);
	json_puts(j, "\"");
}

void
sp_jsonw_int(struct sp_jsonw *j, const char *key, int64_t v)
{
	char t[24];

	(void)sp_snprintf(t, sizeof(t), "%lld", (long long)v);
	json_key(j, key, "");
	json_puts(j, t);
}

void
sp_jsonw_bool(struct sp_jsonw *j, const char *key, int v)
{
	json_key(j, key, "");
	json_puts(j, v ? "true" : "false");
}

void
sp_jsonw_raw(struct sp_jsonw *j, const char *key, const char *json)
{
	json_key(j, key, "");
	json_puts(j, json);
}

enum sp_err
sp_jsonw_end(struct sp_jsonw *j)
{
	json_puts(j, "}");
	return j->err;
}
