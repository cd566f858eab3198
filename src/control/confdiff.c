/* src/control/confdiff.c - see confdiff.h. */
#include "control/confdiff.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "crypto/hash.h"

#define TEXT_SIZE	(SP_CONF_TEXT + 64)

/* postgresql://name:password@host/db -> postgresql://host (sha256 0123456789abcdef) */
static void
plain(const char *text, char dst[TEXT_SIZE])
{
	const char *host = strstr(text, "://"), *end, *at;
	uint8_t sum[SP_SHA256_LEN];
	char hex[17];

	if (host == NULL) {
		(void)sp_strlcpy(dst, text, TEXT_SIZE);
		return;
	}
	host += 3;
	end = host + strcspn(host, "/?#");
	for (at = end; at > host && *at != '@'; at--)
		;
	if (*at != '@' && (*end == '\0' || strcmp(end, "/") == 0)) {
		(void)sp_strlcpy(dst, text, TEXT_SIZE);
		return;
	}
	if (*at == '@')
		at++;
	sp_sha256(text, strlen(text), sum);
	sp_hex(sum, 8, hex);
	sp_snprintf(dst, TEXT_SIZE, "%.*s%.*s (sha256 %s)", (int)(host - text), text, (int)(end - at), at, hex);
}

static json_t *
text_json(const char *text)
{
	char b[TEXT_SIZE];

	plain(text, b);
	return json_string(b);
}

static json_t *
value(const struct sp_conf_field *f, const struct sp_config *c)
{
	const char *p = (const char *)c + f->offset;
	struct sp_conf_list list;
	int64_t n;
	json_t *a;

	switch (f->type) {
	case SP_CONF_STR:
	case SP_CONF_PATH:
		return text_json(p);
	case SP_CONF_STRLIST:
		memcpy(&list, p, sizeof(list));
		a = json_array();
		for (size_t i = 0; i < list.n && i < SP_CONF_LIST; i++)
			json_array_append_new(a, text_json(list.v[i]));
		return a;
	case SP_CONF_BOOL:
		memcpy(&n, p, sizeof(n));
		return json_string(n != 0 ? "yes" : "no");
	case SP_CONF_INT:
		memcpy(&n, p, sizeof(n));
		return json_integer(n);
	case SP_CONF_DURATION:
		memcpy(&n, p, sizeof(n));
		return n % 1000000 == 0 ? json_sprintf("%llds", (long long)(n / 1000000)) : json_sprintf("%lldus", (long long)n);
	}
	return json_null();
}

static json_t *
differing(const struct sp_config *before, const struct sp_config *after, int with_before)
{
	json_t *out = NULL;

	for (const struct sp_conf_field *f = sp_config_table; f->key != NULL; f++) {
		json_t *a = value(f, before), *b = value(f, after), *o;

		if (!json_equal(a, b)) {
			o = with_before ? json_pack("{s:s, s:O, s:O}", "setting", f->key, "before", a, "after", b) :
			    json_pack("{s:s, s:O}", "setting", f->key, "after", b);
			if (out == NULL)
				out = json_array();
			json_array_append_new(out, o);
		}
		json_decref(a);
		json_decref(b);
	}
	return out;
}

json_t *
confdiff(const struct sp_config *before, const struct sp_config *after)
{
	return differing(before, after, 1);
}

json_t *
confdiff_defaults(const struct sp_config *now)
{
	struct sp_config *c = malloc(sizeof(*c));
	json_t *out = NULL;

	if (c != NULL) {
		sp_conf_defaults(sp_config_table, c);
		out = differing(c, now, 0);
	}
	free(c);
	return out;
}
