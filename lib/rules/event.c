/* lib/rules/event.c - an event, from JSON and from a table of fields, into values by field.
 *
 * One pass over the JSON, no tree: keys are followed along the paths that rules know (fields.c); what no routed rule reads is only
 * checked for its form. Strings without escapes stay where they are. Each value is folded into the stream that the index scans and
 * that most comparisons look at. Memory is that of the largest event so far. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "rules/event.h"
#include "rules/fold.h"
#include "rules/num.h"

#define NO_PATH	UINT32_MAX		/* below here no rule reads a field by name */

struct json {
	struct sp_rules_scratch	*s;
	const char		*p, *end;
	unsigned		 depth;
};

/* ---- storing ---- */

static int
bytes_room(struct bytes *b, size_t more)
{
	size_t cap = b->cap == 0 ? 4096 : b->cap;
	uint8_t *p;

	if (b->cap - b->n >= more)
		return 1;
	while (cap - b->n < more)
		cap *= 2;
	if ((p = realloc(b->p, cap)) == NULL)
		return 0;
	b->p = p;
	b->cap = cap;
	return 1;
}

static struct slot *
slot_make(struct sp_rules_scratch *s, uint16_t field)
{
	struct slot *t = &s->slot[field];

	if (t->gen != s->gen)
		*t = (struct slot){ .gen = s->gen };
	t->present = 1;
	return t;
}

static enum sp_err
value_new(struct sp_rules_scratch *s, struct value **ret)
{
	if (s->n_values == s->cap_values) {
		size_t cap = s->cap_values == 0 ? 256 : s->cap_values * 2;
		struct value *p;

		if (s->n_values >= SP_RULES_VALUES_MAX)
			return SP_ESIZE;
		if ((p = realloc(s->value, cap * sizeof(*p))) == NULL)
			return SP_ENOMEM;
		s->value = p;
		s->cap_values = cap;
	}
	*ret = &s->value[s->n_values++];
	return SP_OK;
}

/* One value under one field (FIELD_NONE: for keywords only). v has its text. */
static enum sp_err
store(struct sp_rules_scratch *s, uint16_t field, const struct value *text, unsigned flags)
{
	struct value *v;
	enum sp_err r;

	if ((r = value_new(s, &v)) != SP_OK)
		return r;
	*v = *text;
	v->field = field;
	v->flags = (uint16_t)(text->flags | flags);
	v->next = 0;
	if (!bytes_room(&s->stream, STREAM_MARK + FOLD_ROOM((size_t)v->len) + 1))
		return SP_ENOMEM;
	stream_mark(field, s->stream.p + s->stream.n);
	v->fold_at = s->stream.n + STREAM_MARK;
	v->fold_len = (uint32_t)sp_fold(value_text(s, v), v->len, s->stream.p + v->fold_at);
	s->stream.n = v->fold_at + v->fold_len;
	s->stream.p[s->stream.n++] = STREAM_END;
	if (field != FIELD_NONE) {
		struct slot *t = slot_make(s, field);

		if (t->last != 0)
			s->value[t->last - 1].next = (uint32_t)s->n_values;
		else
			t->first = (uint32_t)s->n_values;
		t->last = (uint32_t)s->n_values;
	}
	return SP_OK;
}

/* A scalar at a path: under every field that ends there and is read. */
static enum sp_err
store_at(struct sp_rules_scratch *s, uint32_t path, const struct value *v)
{
	unsigned flags = VALUE_FIRST;
	enum sp_err r;

	if (path != NO_PATH) {
		const struct path_node *n = &s->set->path[path];

		for (size_t i = 0; i < n->n_fields; i++) {
			if (!s->now->field[n->field[i]])
				continue;
			if ((r = store(s, n->field[i], v, flags)) != SP_OK)
				return r;
			flags = 0;
		}
	}
	return flags != 0 && s->now->keywords ? store(s, FIELD_NONE, v, flags) : SP_OK;
}

static void
mark_at(struct sp_rules_scratch *s, uint32_t path, int null)
{
	const struct path_node *n;

	if (path == NO_PATH)
		return;
	n = &s->set->path[path];
	for (size_t i = 0; i < n->n_fields; i++)
		if (s->now->field[n->field[i]])
			slot_make(s, n->field[i])->null |= (uint8_t)null;
}

/* ---- JSON ---- */

static void
skip_blank(struct json *j)
{
	while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\t' || *j->p == '\r'))
		j->p++;
}

/* Behind the opening quote: up to the closing one. *ret_escaped: there is a backslash in it. */
static enum sp_err
string_span(struct json *j, const char **ret, size_t *ret_len, int *ret_escaped)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones * 0x80;
	const char *p = j->p, *start = p;
	int escaped = 0;
	uint64_t w;

	for (;;) {
		while (j->end - p >= 8) {	/* eight bytes without quote, backslash or control character */
			memcpy(&w, p, 8);
			uint64_t q = w ^ ones * '"', b = w ^ ones * '\\';

			if ((((q - ones) & ~q) | ((b - ones) & ~b) | ((w - ones * 0x20) & ~w)) & tops)
				break;
			p += 8;
		}
		if (p >= j->end)
			return SP_EFORMAT;
		if (*p == '"')
			break;
		if ((uint8_t)*p < 0x20)
			return SP_EFORMAT;
		if (*p == '\\') {
			escaped = 1;
			if (++p >= j->end)
				return SP_EFORMAT;
		}
		p++;
	}
	*ret = start;
	*ret_len = (size_t)(p - start);
	*ret_escaped = escaped;
	j->p = p + 1;
	return SP_OK;
}

static int
hex4(const char *p, const char *end, uint32_t *ret)
{
	uint32_t v = 0;

	if (end - p < 4)
		return 0;
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		uint32_t d = c >= '0' && c <= '9' ? (uint32_t)(c - '0') : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10) :
		    c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10) : 16;

		if (d == 16)
			return 0;
		v = v << 4 | d;
	}
	*ret = v;
	return 1;
}

static size_t
put_char(uint32_t c, uint8_t *d)
{
	if (c < 0x80)
		return d[0] = (uint8_t)c, 1;
	if (c < 0x800)
		return d[0] = (uint8_t)(0xc0 | c >> 6), d[1] = (uint8_t)(0x80 | (c & 0x3f)), 2;
	if (c < 0x10000)
		return d[0] = (uint8_t)(0xe0 | c >> 12), d[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f)), d[2] = (uint8_t)(0x80 | (c & 0x3f)), 3;
	return d[0] = (uint8_t)(0xf0 | c >> 18), d[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f)), d[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f)),
	    d[3] = (uint8_t)(0x80 | (c & 0x3f)), 4;
}

/* \uXXXX at p (behind the u), with its low surrogate; a lone one becomes U+FFFD. Returns the bytes read, 0: malformed. */
static size_t
unicode_escape(const char *p, const char *end, uint32_t *ret)
{
	uint32_t c, low;

	if (!hex4(p, end, &c))
		return 0;
	if (c >= 0xd800 && c < 0xdc00 && end - p >= 10 && p[4] == '\\' && p[5] == 'u' && hex4(p + 6, end, &low) && low >= 0xdc00 && low < 0xe000) {
		*ret = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		return 10;
	}
	*ret = c >= 0xd800 && c < 0xe000 ? 0xfffd : c;
	return 4;
}

/* The text of an escaped string, at the end of s->text. */
static enum sp_err
unescape(struct sp_rules_scratch *s, const char *p, size_t len, struct value *ret)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *end = p + len, *at;
	uint8_t *d;
	uint32_t c;
	size_t k;

	if (!bytes_room(&s->text, len + 4))
		return SP_ENOMEM;
	d = s->text.p + s->text.n;
	while (p < end) {
		if (*p != '\\') {
			*d++ = (uint8_t)*p++;
			continue;
		}
		if (p[1] == 'u') {
			if ((k = unicode_escape(p + 2, end, &c)) == 0)
				return SP_EFORMAT;
			d += put_char(c, d);
			p += 2 + k;
			continue;
		}
		if (p[1] == '\0' || (at = strchr(from, p[1])) == NULL)
			return SP_EFORMAT;
		*d++ = (uint8_t)to[at - from];
		p += 2;
	}
	*ret = (struct value){ .at = s->text.n, .len = (uint32_t)(d - s->text.p - (ptrdiff_t)s->text.n), .flags = VALUE_IN_TEXT };
	s->text.n = (size_t)(d - s->text.p);
	return SP_OK;
}

static int
is_wanted(const struct sp_rules_scratch *s, uint32_t path)
{
	return s->now->keywords || (path != NO_PATH && s->set->path[path].n_fields > 0);
}

static enum sp_err
read_string(struct json *j, uint32_t path)
{
	struct value v = { 0 };
	const char *p;
	size_t len;
	int escaped;
	enum sp_err r;

	if ((r = string_span(j, &p, &len, &escaped)) != SP_OK)
		return r;
	if (escaped) {	/* also what nobody wants: an escape must be one */
		size_t mark = j->s->text.n;

		if ((r = unescape(j->s, p, len, &v)) != SP_OK)
			return r;
		if (!is_wanted(j->s, path))
			j->s->text.n = mark;
	} else {
		v.p = p;
		v.len = (uint32_t)len;
	}
	return is_wanted(j->s, path) ? store_at(j->s, path, &v) : SP_OK;
}

static enum sp_err
read_number(struct json *j, uint32_t path)
{
	struct sp_rules_scratch *s = j->s;
	struct value v = { .p = j->p };
	int plain;
	size_t n = num_scan(j->p, (size_t)(j->end - j->p), &plain);

	if (n == 0)
		return SP_EFORMAT;
	v.len = (uint32_t)n;
	j->p += n;
	if (!is_wanted(s, path))
		return SP_OK;
	if (!plain) {
		if (!bytes_room(&s->text, NUM_TEXT_MAX))
			return SP_ENOMEM;
		v = (struct value){ .at = s->text.n, .flags = VALUE_IN_TEXT };
		v.len = (uint32_t)num_canonical(j->p - n, n, (char *)s->text.p + s->text.n);
		s->text.n += v.len;
	}
	return store_at(s, path, &v);
}

static enum sp_err
read_word(struct json *j, uint32_t path)
{
	static const struct {
		const char	*word;
		size_t		 len;
	} words[] = { { "true", 4 }, { "false", 5 }, { "null", 4 } };

	for (size_t i = 0; i < 3; i++) {
		if ((size_t)(j->end - j->p) < words[i].len || memcmp(j->p, words[i].word, words[i].len) != 0)
			continue;
		j->p += words[i].len;
		if (i == 2) {
			mark_at(j->s, path, 1);
			return SP_OK;
		}
		return store_at(j->s, path, &(struct value){ .p = words[i].word, .len = (uint32_t)words[i].len });
	}
	return SP_EFORMAT;
}

static enum sp_err	read_value(struct json *j, uint32_t path);

static enum sp_err
read_array(struct json *j, uint32_t path)
{
	enum sp_err r;

	mark_at(j->s, path, 0);
	skip_blank(j);
	if (j->p < j->end && *j->p == ']') {
		j->p++;
		return SP_OK;
	}
	for (;;) {
		if ((r = read_value(j, path)) != SP_OK)
			return r;
		skip_blank(j);
		if (j->p == j->end || (*j->p != ',' && *j->p != ']'))
			return SP_EFORMAT;
		if (*j->p++ == ']')
			return SP_OK;
	}
}

/* The path of a member. Keys with dots are several steps. */
static enum sp_err
read_key(struct json *j, uint32_t path, uint32_t *ret)
{
	struct sp_rules_scratch *s = j->s;
	size_t len, mark = s->text.n;
	struct value v = { 0 };
	const char *p;
	int escaped;
	enum sp_err r;

	if ((r = string_span(j, &p, &len, &escaped)) != SP_OK)
		return r;
	if (escaped) {
		if ((r = unescape(s, p, len, &v)) != SP_OK)
			return r;
		p = value_text(s, &v);
		len = v.len;
	}
	*ret = path != NO_PATH && s->set->path[path].has_children ? path_walk(s->set, path, p, len) : 0;
	if (*ret == 0)
		*ret = NO_PATH;
	s->text.n = mark;
	return SP_OK;
}

static enum sp_err
read_object(struct json *j, uint32_t path)
{
	uint32_t sub;
	enum sp_err r;

	if (path != 0)
		mark_at(j->s, path, 0);
	skip_blank(j);
	if (j->p < j->end && *j->p == '}') {
		j->p++;
		return SP_OK;
	}
	for (;;) {
		skip_blank(j);
		if (j->p == j->end || *j->p++ != '"')
			return SP_EFORMAT;
		if ((r = read_key(j, path, &sub)) != SP_OK)
			return r;
		skip_blank(j);
		if (j->p == j->end || *j->p++ != ':')
			return SP_EFORMAT;
		if ((r = read_value(j, sub)) != SP_OK)
			return r;
		skip_blank(j);
		if (j->p == j->end || (*j->p != ',' && *j->p != '}'))
			return SP_EFORMAT;
		if (*j->p++ == '}')
			return SP_OK;
	}
}

static enum sp_err
read_value(struct json *j, uint32_t path)
{
	enum sp_err r;

	skip_blank(j);
	if (j->p == j->end)
		return SP_EFORMAT;
	switch (*j->p) {
	case '"':
		j->p++;
		return read_string(j, path);
	case '{': case '[':
		if (j->depth == JSON_DEPTH)
			return SP_ESIZE;
		j->depth++;
		r = *j->p++ == '{' ? read_object(j, path) : read_array(j, path);
		j->depth--;
		return r;
	case 't': case 'f': case 'n':
		return read_word(j, path);
	default:
		return read_number(j, path);
	}
}

static enum sp_err
read_json(struct sp_rules_scratch *s, const char *p, size_t len)
{
	struct json j = { s, p, p + len, 0 };
	enum sp_err r;

	if (len > SP_RULES_EVENT_MAX)
		return SP_ESIZE;
	skip_blank(&j);
	if (j.p == j.end || *j.p != '{')
		return SP_EFORMAT;
	if ((r = read_value(&j, 0)) != SP_OK)
		return r;
	skip_blank(&j);
	return j.p == j.end ? SP_OK : SP_EFORMAT;
}

/* ---- tables ---- */

static enum sp_err
read_field(struct sp_rules_scratch *s, const struct sp_rules_field *f)
{
	struct value v = { .p = f->len > 0 ? f->value : "", .len = (uint32_t)f->len };
	uint32_t path = path_walk(s->set, 0, f->name, strlen(f->name));
	const struct path_node *n;

	if (f->len > SP_RULES_EVENT_MAX)
		return SP_ESIZE;
	if (path == 0)
		path = NO_PATH;
	if (f->type == SP_RULES_TEXT)
		return store_at(s, path, &v);
	if (path == NO_PATH)
		return SP_OK;
	mark_at(s, path, f->type == SP_RULES_NULL);
	n = &s->set->path[path];
	for (size_t i = 0; i < n->n_fields && f->type == SP_RULES_UNKNOWN; i++) {
		if (!s->now->field[n->field[i]])
			continue;
		slot_make(s, n->field[i])->unknown = 1;
		s->any_unknown = 1;
	}
	return SP_OK;
}

static void
next_generation(struct sp_rules_scratch *s)
{
	if (++s->gen == 0) {
		memset(s->slot, 0, (s->set->n_fields + 1) * sizeof(*s->slot));
		memset(s->seen, 0, (s->set->n + 1) * sizeof(*s->seen));
		s->gen = 1;
	}
	s->n_values = s->stream.n = s->text.n = 0;
	s->any_unknown = 0;
}

enum sp_err
event_read(struct sp_rules_scratch *s, const struct sp_rules_event *ev)
{
	enum sp_err r = SP_OK;

	next_generation(s);
	if (ev->json != NULL)
		r = read_json(s, ev->json, ev->json_len);
	for (size_t i = 0; i < ev->n_fields && r == SP_OK; i++)
		r = read_field(s, &ev->field[i]);
	if (r == SP_OK && ev->raw != NULL && s->now->keywords)
		r = ev->raw_len > SP_RULES_EVENT_MAX ? SP_ESIZE :
		    store(s, FIELD_NONE, &(struct value){ .p = ev->raw, .len = (uint32_t)ev->raw_len }, VALUE_FIRST);
	return r;
}
