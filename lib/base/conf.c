/* lib/base/conf.c - see conf.h. */
#include "conf.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "str.h"
#include "clock.h"

static enum sp_err
conf_number(const struct sp_conf_field *f, const char *v, void *at, char *why, size_t n)
{
	uint64_t us;
	char *end;
	long long x;

	if (f->type == SP_CONF_DURATION) {
		if (sp_duration_parse(v, &us) != SP_OK || us > INT64_MAX || (int64_t)us < f->least || (int64_t)us > f->most) {
			sp_snprintf(why, n, "%s wants a duration such as 30s, 15m or 8h, from %llds to %llds", f->key,
			    (long long)f->least / 1000000, (long long)f->most / 1000000);
			return SP_EFORMAT;
		}
		memcpy(at, &us, sizeof(us));
		return SP_OK;
	}
	x = strtoll(v, &end, 10);
	if (end == v || *end != 0 || x < f->least || x > f->most) {
		sp_snprintf(why, n, "%s wants a number from %lld to %lld", f->key, (long long)f->least, (long long)f->most);
		return SP_EFORMAT;
	}
	memcpy(at, &(int64_t){ x }, sizeof(int64_t));
	return SP_OK;
}

static enum sp_err
conf_text(const struct sp_conf_field *f, const char *v, char *at, char *why, size_t n)
{
	if (strlen(v) >= SP_CONF_TEXT) {
		sp_snprintf(why, n, "%s is longer than %d bytes", f->key, SP_CONF_TEXT - 1);
		return SP_ESIZE;
	}
	if (f->type == SP_CONF_PATH && *v != 0 && (*v != '/' || strstr(v, "/../") != NULL ||
	    (strlen(v) >= 3 && strcmp(v + strlen(v) - 3, "/..") == 0))) {
		sp_snprintf(why, n, "%s wants an absolute path without \"..\"", f->key);
		return SP_EFORMAT;
	}
	memset(at, 0, SP_CONF_TEXT);
	memcpy(at, v, strlen(v));
	return SP_OK;
}

static enum sp_err
conf_set(const struct sp_conf_field *f, const char *v, void *conf, char *why, size_t n)
{
	char *at = (char *)conf + f->offset;

	switch (f->type) {
	case SP_CONF_STR:
	case SP_CONF_PATH:
		return conf_text(f, v, at, why, n);
	case SP_CONF_STRLIST: {
		struct sp_conf_list *l = (struct sp_conf_list *)(void *)at;

		if (l->n >= SP_CONF_LIST) {
			sp_snprintf(why, n, "%s is given more than %d times", f->key, SP_CONF_LIST);
			return SP_ESIZE;
		}
		if (conf_text(f, v, l->v[l->n], why, n) != SP_OK)
			return SP_EFORMAT;
		l->n++;
		return SP_OK;
	}
	case SP_CONF_BOOL:
		if (strcmp(v, "yes") != 0 && strcmp(v, "no") != 0) {
			sp_snprintf(why, n, "%s wants yes or no", f->key);
			return SP_EFORMAT;
		}
		memcpy(at, &(int64_t){ v[0] == 'y' }, sizeof(int64_t));
		return SP_OK;
	case SP_CONF_INT:
	case SP_CONF_DURATION:
		return conf_number(f, v, at, why, n);
	}
	return SP_EINTERNAL;
}

void
sp_conf_defaults(const struct sp_conf_field *table, void *conf)
{
	char why[256];

	for (const struct sp_conf_field *f = table; f->key != NULL; f++) {
		if (f->type == SP_CONF_STRLIST) {
			memset((char *)conf + f->offset, 0, sizeof(struct sp_conf_list));
			if (f->def == NULL)
				continue;
		}
		if (conf_set(f, f->def != NULL ? f->def : "", conf, why, sizeof(why)) != SP_OK)
			abort();
	}
}

/* One line, already without its newline. `seen` marks the fields that the text has set. */
static enum sp_err
conf_line(const struct sp_conf_field *table, char *line, uint8_t *seen, void *conf, char *why, size_t n)
{
	char *key = line + strspn(line, " \t"), *v, *end;
	const struct sp_conf_field *f;

	if (*key == 0 || *key == '#')
		return SP_OK;
	v = key + strcspn(key, " \t");
	if (*v != 0)
		*v++ = 0;
	v += strspn(v, " \t");
	for (end = v + strlen(v); end > v && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'); end--)
		end[-1] = 0;
	for (f = table; f->key != NULL && strcmp(f->key, key) != 0; f++)
		;
	if (f->key == NULL) {
		char safe[64];

		sp_snprintf(why, n, "unknown setting \"%s\"", sp_escape(key, strlen(key), safe, sizeof(safe)));
		return SP_EFORMAT;
	}
	if (*v == 0) {
		sp_snprintf(why, n, "%s has no value", key);
		return SP_EFORMAT;
	}
	if (seen[f - table] && f->type != SP_CONF_STRLIST) {
		sp_snprintf(why, n, "%s is given twice", key);
		return SP_EFORMAT;
	}
	if (!seen[f - table] && f->type == SP_CONF_STRLIST)	/* the first one replaces the default */
		memset((char *)conf + f->offset, 0, sizeof(struct sp_conf_list));
	seen[f - table] = 1;
	return conf_set(f, v, conf, why, n);
}

enum sp_err
sp_conf_parse(const struct sp_conf_field *table, const char *name, const char *text, size_t len, void *conf,
    size_t conf_size, char *why, size_t why_size)
{
	sp_auto(sp_freep) char *copy = NULL;
	sp_auto(sp_freep) void *work = NULL;
	sp_auto(sp_freep) uint8_t *seen = NULL;
	char reason[200];
	size_t n_fields = 0, lineno = 1;
	enum sp_err r = SP_OK;

	while (table[n_fields].key != NULL)
		n_fields++;
	if (len > SP_CONF_FILE || !sp_utf8_valid(text, len) || memchr(text, 0, len) != NULL) {
		sp_snprintf(why, why_size, "%s:1: not a text of at most %d bytes in UTF-8", name, SP_CONF_FILE);
		return SP_EFORMAT;
	}
	if ((copy = malloc(len + 1)) == NULL || (work = malloc(conf_size)) == NULL ||
	    (seen = calloc(n_fields + 1, 1)) == NULL) {
		sp_snprintf(why, why_size, "%s: out of memory", name);
		return SP_ENOMEM;
	}
	memcpy(copy, text, len);
	copy[len] = 0;
	memcpy(work, conf, conf_size);
	for (char *line = copy, *next; line != NULL; line = next, lineno++) {
		if ((next = strchr(line, '\n')) != NULL)
			*next++ = 0;
		if ((r = conf_line(table, line, seen, work, reason, sizeof(reason))) != SP_OK) {
			sp_snprintf(why, why_size, "%s:%zu: %s", name, lineno, reason);
			return r;
		}
	}
	memcpy(conf, work, conf_size);
	return SP_OK;
}
