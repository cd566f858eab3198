/* lib/rules/item.c - one item of a selection: "field|modifier|...: value or values".
 * Modifiers are one table. Those that change a value are applied from left to right; at most one says how it is compared. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/str.h"
#include "rules/fold.h"
#include "rules/num.h"
#include "rules/set.h"

#define MODS_MAX	8
#define EXPAND_MAX	10000	/* values that the placeholders of one value may become */
#define SET_FROM	8	/* so many whole values are looked up by hash */

enum mod_kind {
	MOD_CHANGE,	/* changes the value */
	MOD_OP,		/* how it is compared: only one */
	MOD_FLAG,
	MOD_RE_FLAG,	/* behind `re` only */
	MOD_PART,
};
enum mod_id {
	MOD_CONTAINS, MOD_STARTSWITH, MOD_ENDSWITH, MOD_WINDASH, MOD_BASE64, MOD_BASE64OFFSET, MOD_WIDE, MOD_UTF16BE, MOD_UTF16,
	MOD_RE, MOD_CIDR, MOD_EXISTS, MOD_FIELDREF, MOD_GT, MOD_GTE, MOD_LT, MOD_LTE,
	MOD_ALL, MOD_CASED, MOD_NEQ, MOD_EXPAND, MOD_I, MOD_M, MOD_S,
	MOD_MINUTE, MOD_HOUR, MOD_DAY, MOD_WEEK, MOD_MONTH, MOD_YEAR,
};
static const struct mod {
	const char	*name;
	enum mod_kind	 kind;
	enum mod_id	 id;
} mods[] = {
	{ "contains", MOD_CHANGE, MOD_CONTAINS }, { "startswith", MOD_CHANGE, MOD_STARTSWITH }, { "endswith", MOD_CHANGE, MOD_ENDSWITH },
	{ "windash", MOD_CHANGE, MOD_WINDASH }, { "base64", MOD_CHANGE, MOD_BASE64 }, { "base64offset", MOD_CHANGE, MOD_BASE64OFFSET },
	{ "wide", MOD_CHANGE, MOD_WIDE }, { "utf16le", MOD_CHANGE, MOD_WIDE }, { "utf16be", MOD_CHANGE, MOD_UTF16BE }, { "utf16", MOD_CHANGE, MOD_UTF16 },
	{ "re", MOD_OP, MOD_RE }, { "cidr", MOD_OP, MOD_CIDR }, { "exists", MOD_OP, MOD_EXISTS }, { "fieldref", MOD_OP, MOD_FIELDREF },
	{ "gt", MOD_OP, MOD_GT }, { "gte", MOD_OP, MOD_GTE }, { "lt", MOD_OP, MOD_LT }, { "lte", MOD_OP, MOD_LTE },
	{ "all", MOD_FLAG, MOD_ALL }, { "cased", MOD_FLAG, MOD_CASED }, { "neq", MOD_FLAG, MOD_NEQ }, { "expand", MOD_FLAG, MOD_EXPAND },
	{ "i", MOD_RE_FLAG, MOD_I }, { "m", MOD_RE_FLAG, MOD_M }, { "s", MOD_RE_FLAG, MOD_S },
	{ "minute", MOD_PART, MOD_MINUTE }, { "hour", MOD_PART, MOD_HOUR }, { "day", MOD_PART, MOD_DAY }, { "week", MOD_PART, MOD_WEEK },
	{ "month", MOD_PART, MOD_MONTH }, { "year", MOD_PART, MOD_YEAR },
};

struct build {
	struct load		*l;
	const struct ynode	*key;
	const struct mod	*mod[MODS_MAX];
	size_t			 n_mod;
	const struct mod	*op;		/* NULL: text */
	unsigned		 flags;		/* 1 << mod_id */
	struct item		*item;
	struct matcher		*m;
};
#define HAS(b, id) ((b)->flags >> (id) & 1)

#define FAIL(b, line_, ...) rules_error((b)->l->err, SP_EFORMAT, (b)->l->file, line_, __VA_ARGS__)

/* ---- the key ---- */

static const struct mod *
mod_find(const char *p, size_t n)
{
	for (size_t i = 0; i < SP_NELEMS(mods); i++)
		if (strlen(mods[i].name) == n && memcmp(mods[i].name, p, n) == 0)
			return &mods[i];
	return NULL;
}

static enum sp_err
take_mod(struct build *b, const char *p, size_t n)
{
	const struct mod *m = mod_find(p, n);
	char name[48];

	sp_snprintf(name, sizeof(name), "%.*s", (int)(n < 40 ? n : 40), p);
	if (m == NULL)
		return FAIL(b, b->key->line, "there is no modifier \"%s\"", name);
	if (b->n_mod == MODS_MAX)
		return FAIL(b, b->key->line, "too many modifiers at \"%s\"", name);
	if (m->kind == MOD_RE_FLAG && !HAS(b, MOD_RE))
		return FAIL(b, b->key->line, "the modifier \"%s\" belongs behind \"re\"", name);
	if (m->kind == MOD_OP) {
		if (b->op != NULL)
			return FAIL(b, b->key->line, "the modifier \"%s\" does not go with the one before it", name);
		b->op = m;
	}
	if (m->kind == MOD_PART) {
		if (b->item->part != PART_NONE)
			return FAIL(b, b->key->line, "only one part of a time at once: \"%s\"", name);
		b->item->part = PART_MINUTE + (m->id - MOD_MINUTE);
	}
	b->flags |= 1u << m->id;
	b->mod[b->n_mod++] = m;
	return SP_OK;
}

static int
ref_mode(enum mod_id id)
{
	return id == MOD_CONTAINS || id == MOD_STARTSWITH || id == MOD_ENDSWITH;
}

/* What goes together. */
static enum sp_err
check_mods(struct build *b)
{
	unsigned line = b->key->line;
	unsigned changes = 0;

	for (size_t i = 0; i < b->n_mod; i++) {
		if (b->mod[i]->kind != MOD_CHANGE)
			continue;
		changes++;
		if (b->op != NULL && !(b->op->id == MOD_FIELDREF && ref_mode(b->mod[i]->id)))
			return FAIL(b, line, "\"%s\" takes the value as it is: no modifier that changes it", b->op->name);
	}
	if (b->op != NULL && b->op->id == MOD_FIELDREF && changes > 1)
		return FAIL(b, line, "\"fieldref\" goes with one of contains, startswith, endswith");
	if (HAS(b, MOD_EXPAND) && b->op != NULL && b->op->id != MOD_RE)
		return FAIL(b, line, "\"expand\" does not go with \"%s\"", b->op->name);
	if (HAS(b, MOD_CASED) && b->op != NULL && b->op->id != MOD_FIELDREF)
		return FAIL(b, line, "\"cased\" does not go with \"%s\"", b->op->name);
	if (b->item->part != PART_NONE && (changes > 0 || HAS(b, MOD_EXPAND) || HAS(b, MOD_CASED) ||
	    (b->op != NULL && (b->op->id < MOD_GT || b->op->id > MOD_LTE))))
		return FAIL(b, line, "a part of a time is a number: only gt, gte, lt, lte, neq and all go with it");
	if (b->item->field == FIELD_NONE && b->op != NULL && b->op->id != MOD_RE)
		return FAIL(b, line, "\"%s\" needs a field", b->op->name);
	if (b->item->field == FIELD_NONE && b->item->part != PART_NONE)
		return FAIL(b, line, "a part of a time needs a field");
	return SP_OK;
}

static enum sp_err
take_key(struct build *b)
{
	const char *p = b->key->text, *bar = strchr(p, '|');
	size_t n = bar != NULL ? (size_t)(bar - p) : strlen(p);
	char *name;
	enum sp_err r;

	if (strlen(p) != b->key->len)
		return FAIL(b, b->key->line, "a field name holds a NUL");
	b->item->key = p;
	b->item->line = b->key->line;
	b->item->field = FIELD_NONE;
	if (n > 0) {
		if (n > 512)
			return FAIL(b, b->key->line, "a field name is longer than 512 bytes");
		if ((name = arena_strndup(&b->l->set->a, p, n)) == NULL)
			return SP_ENOMEM;
		if ((r = fields_number(b->l, b->key->line, name, &b->item->field)) != SP_OK)
			return r;
	}
	while (bar != NULL) {
		const char *next = strchr(bar + 1, '|');

		if ((r = take_mod(b, bar + 1, next != NULL ? (size_t)(next - bar - 1) : strlen(bar + 1))) != SP_OK)
			return r;
		bar = next;
	}
	b->item->all = HAS(b, MOD_ALL);
	b->item->negate = HAS(b, MOD_NEQ);
	return check_mods(b);
}

/* ---- values ---- */

static enum sp_err
add_matcher(struct build *b, const struct matcher *m)
{
	void *p = arena_grow(&b->l->set->a, b->m, b->item->n, sizeof(*b->m));

	if (p == NULL)
		return SP_ENOMEM;
	b->m = p;
	b->m[b->item->n++] = *m;
	return SP_OK;
}

static enum sp_err
add_pattern(struct build *b, const struct ynode *v, struct codes *c)
{
	struct matcher m = { .op = M_PATTERN, .cased = HAS(b, MOD_CASED), .text = v->text, .len = v->len };
	enum sp_err r;

	/* A keyword is a part of a value, whatever stands around it. */
	if (b->item->field == FIELD_NONE && (r = codes_enclose(&b->l->set->a, c, 1, 1)) != SP_OK)
		return r;
	if ((r = pattern_make(&b->l->set->a, c, m.cased, &m.pat)) != SP_OK)
		return r;
	return add_matcher(b, &m);
}

static enum sp_err	change(struct build *b, const struct ynode *v, struct codes c, size_t i);

static enum sp_err
change_base64(struct build *b, const struct ynode *v, struct codes c, size_t i)
{
	struct arena *a = &b->l->set->a;
	struct codes one;
	enum sp_err r;

	if (!codes_plain(&c))
		return FAIL(b, v->line, "\"%s\" cannot encode a wildcard: write \\* for a star itself", b->mod[i]->name);
	if (b->mod[i]->id == MOD_BASE64)
		return (r = codes_base64(a, &c)) != SP_OK ? r : change(b, v, c, i + 1);
	for (unsigned k = 0; k < 3; k++)
		if ((r = codes_base64_offset(a, &c, k, &one)) != SP_OK || (r = change(b, v, one, i + 1)) != SP_OK)
			return r;
	return SP_OK;
}

/* Apply the modifiers from the i-th on. */
static enum sp_err
change(struct build *b, const struct ynode *v, struct codes c, size_t i)
{
	struct arena *a = &b->l->set->a;
	enum sp_err r = SP_OK;

	while (i < b->n_mod && b->mod[i]->kind != MOD_CHANGE)
		i++;
	if (i == b->n_mod)
		return add_pattern(b, v, &c);
	switch (b->mod[i]->id) {
	case MOD_CONTAINS:
		r = codes_enclose(a, &c, 1, 1);
		break;
	case MOD_STARTSWITH:
		r = codes_enclose(a, &c, 0, 1);
		break;
	case MOD_ENDSWITH:
		r = codes_enclose(a, &c, 1, 0);
		break;
	case MOD_WINDASH:
		r = codes_windash(&c);
		break;
	case MOD_BASE64: case MOD_BASE64OFFSET:
		return change_base64(b, v, c, i);
	default:
		r = codes_utf16(a, &c, b->mod[i]->id == MOD_UTF16BE, b->mod[i]->id == MOD_UTF16);
		if (r == SP_EFORMAT)
			return FAIL(b, v->line, "\"%s\" needs text: it stands behind a modifier that made bytes", b->mod[i]->name);
	}
	return r != SP_OK ? r : change(b, v, c, i + 1);
}

static enum sp_err
add_regex(struct build *b, const struct ynode *v, const char *p, size_t n)
{
	struct matcher m = { .op = M_RE, .text = p, .len = n };
	struct sp_rules *s = b->l->set;
	unsigned flags = (HAS(b, MOD_I) ? REGEX_I : 0) | (HAS(b, MOD_M) ? REGEX_M : 0) | (HAS(b, MOD_S) ? REGEX_S : 0);
	char why[200];
	enum sp_err r = regex_new(p, n, flags, why, sizeof(why), &m.re);
	void *q;

	if (r == SP_EFORMAT)
		return FAIL(b, v->line, "not a regular expression: %s", why);
	if (r != SP_OK)
		return r;
	if ((q = arena_grow(&s->a, s->re, s->n_re, sizeof(*s->re))) == NULL) {
		regex_free(m.re);
		return SP_ENOMEM;
	}
	s->re = q;
	s->re[s->n_re++] = m.re;
	return add_matcher(b, &m);
}

static enum sp_err
add_text(struct build *b, const struct ynode *v, const char *p, size_t n)
{
	struct codes c;
	enum sp_err r;

	if (b->op != NULL)
		return add_regex(b, v, p, n);
	r = v->type == Y_TEXT ? codes_lex(&b->l->set->a, p, n, &c) : codes_literal(&b->l->set->a, p, n, &c);
	return r != SP_OK ? r : change(b, v, c, 0);
}

/* ---- placeholders ---- */

static const struct placeholder *
ph_find(const struct load *l, const char *p, size_t n)
{
	for (size_t i = 0; i < l->n_ph; i++)
		if (strlen(l->ph[i].name) == n && memcmp(l->ph[i].name, p, n) == 0)
			return &l->ph[i];
	return NULL;
}

/* Bytes of p up to the first placeholder %name% (*ret_name, *ret_len) or the end; \% is a percent sign of its own. */
static size_t
ph_next(const char *p, size_t n, const char **ret_name, size_t *ret_len)
{
	*ret_name = NULL;
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		if (p[i] == '\\' && i + 1 < n && p[i + 1] == '%') {
			i++;
			continue;
		}
		if (p[i] != '%')
			continue;
		while (i + 1 + k < n && (p[i + 1 + k] == '_' || p[i + 1 + k] == '-' || (p[i + 1 + k] >= '0' && p[i + 1 + k] <= '9') ||
		    (p[i + 1 + k] >= 'a' && p[i + 1 + k] <= 'z') || (p[i + 1 + k] >= 'A' && p[i + 1 + k] <= 'Z')))
			k++;
		if (k > 0 && i + 1 + k < n && p[i + 1 + k] == '%') {
			*ret_name = p + i + 1;
			*ret_len = k;
			return i;
		}
	}
	return n;
}

static enum sp_err
put_unescaped(struct sp_buf *b, const char *p, size_t n)
{
	enum sp_err r = SP_OK;

	for (size_t i = 0; i < n && r == SP_OK; i++) {
		if (p[i] == '\\' && i + 1 < n && p[i + 1] == '%')
			i++;
		r = sp_buf_put_u8(b, (uint8_t)p[i]);
	}
	return r;
}

/* head is what is written so far; left: values that may still be made. */
static enum sp_err
expand(struct build *b, const struct ynode *v, const struct sp_buf *head, const char *p, size_t n, size_t *left)
{
	const struct placeholder *ph;
	const char *name, *text;
	size_t len = 0, k = ph_next(p, n, &name, &len);
	struct sp_buf one;
	enum sp_err r = SP_OK;

	sp_buf_init(&one, (size_t)1 << 20);
	if (name == NULL) {
		if ((*left)-- == 0)
			return FAIL(b, v->line, "the placeholders stand for more than 10,000 values");
		if ((r = sp_buf_append(&one, head->p, head->len)) == SP_OK && (r = put_unescaped(&one, p, n)) == SP_OK)
			r = (text = arena_strndup(&b->l->set->a, one.p, one.len)) == NULL ? SP_ENOMEM : add_text(b, v, text, one.len);
		sp_buf_release(&one);
		return r;
	}
	if ((ph = ph_find(b->l, name, len)) == NULL) {
		char what[80];

		sp_snprintf(what, sizeof(what), "%.*s", (int)(len < 60 ? len : 60), name);
		return FAIL(b, v->line, "nobody says what %%%s%% stands for", what);
	}
	for (size_t i = 0; i < ph->n && r == SP_OK; i++) {
		sp_buf_reset(&one);
		if ((r = sp_buf_append(&one, head->p, head->len)) == SP_OK && (r = put_unescaped(&one, p, k)) == SP_OK &&
		    (r = sp_buf_append_str(&one, ph->value[i])) == SP_OK)
			r = expand(b, v, &one, p + k + len + 2, n - k - len - 2, left);
	}
	sp_buf_release(&one);
	return r == SP_ESIZE ? FAIL(b, v->line, "a placeholder makes a value of more than 1 MiB") : r;
}

/* ---- the other comparisons ---- */

static enum sp_err
add_cidr(struct build *b, const struct ynode *v)
{
	struct matcher m = { .op = M_CIDR, .text = v->text, .len = v->len };
	const char *slash = strchr(v->text, '/');
	char addr[64];
	unsigned long bits;

	if (v->len != strlen(v->text) || sp_snprintf(addr, sizeof(addr), "%.*s", (int)(slash != NULL ? slash - v->text : (int)v->len), v->text) != 0)
		return FAIL(b, v->line, "\"%.60s\" is not a network", v->text);
	if (inet_pton(AF_INET, addr, m.cidr.addr) != 1) {
		m.cidr.v6 = 1;
		if (inet_pton(AF_INET6, addr, m.cidr.addr) != 1)
			return FAIL(b, v->line, "\"%.60s\" is not a network: 10.0.0.0/8 or fd00::/8 is wanted", v->text);
	}
	bits = m.cidr.v6 ? 128 : 32;
	if (slash != NULL && (strspn(slash + 1, "0123456789") != strlen(slash + 1) || slash[1] == '\0' || strlen(slash) > 4 ||
	    strtoul(slash + 1, NULL, 10) > bits))
		return FAIL(b, v->line, "\"%.60s\" has no length of a network behind its slash", v->text);
	m.cidr.bits = (uint8_t)(slash != NULL ? strtoul(slash + 1, NULL, 10) : bits);
	for (unsigned i = m.cidr.bits; i < bits; i++)
		m.cidr.addr[i / 8] &= (uint8_t)~(0x80u >> i % 8);
	return add_matcher(b, &m);
}

static enum sp_err
add_number(struct build *b, const struct ynode *v, enum cmp cmp)
{
	struct matcher m = { .op = M_NUMBER, .cmp = cmp, .text = v->text, .len = v->len };

	if (!num_value(v->text, v->len, &m.number))
		return FAIL(b, v->line, "\"%.60s\" is not a number", v->text);
	return add_matcher(b, &m);
}

static enum sp_err
add_fieldref(struct build *b, const struct ynode *v)
{
	struct matcher m = { .op = M_FIELDREF, .cased = HAS(b, MOD_CASED), .text = v->text, .len = v->len };
	enum sp_err r;

	if (v->type != Y_TEXT || v->len == 0 || v->len > 512 || strlen(v->text) != v->len)
		return FAIL(b, v->line, "\"fieldref\" wants the name of a field");
	m.pat.op = HAS(b, MOD_CONTAINS) ? PAT_CONTAINS : HAS(b, MOD_STARTSWITH) ? PAT_PREFIX : HAS(b, MOD_ENDSWITH) ? PAT_SUFFIX : PAT_EQ;
	if ((r = fields_number(b->l, v->line, v->text, &m.ref)) != SP_OK)
		return r;
	return add_matcher(b, &m);
}

static enum sp_err
add_exists(struct build *b, const struct ynode *v)
{
	struct matcher m = { .op = M_EXISTS, .text = v->text, .len = v->len };

	if (v->type != Y_BOOL)
		return FAIL(b, v->line, "\"exists\" is true or false");
	m.want = v->text[0] == 't' || v->text[0] == 'T';
	return add_matcher(b, &m);
}

static enum sp_err
take_value(struct build *b, const struct ynode *v)
{
	struct matcher null = { .op = M_NULL, .text = "null", .len = 4 };
	size_t left = EXPAND_MAX;
	const char *text = v->text;
	struct sp_buf none;

	if (!yaml_is_scalar(v))
		return FAIL(b, v->line, "a value of \"%.80s\" is a list or a mapping: only text, numbers, true, false and null are values", b->item->key);
	if (v->type == Y_NULL) {
		if (b->n_mod - HAS(b, MOD_ALL) - HAS(b, MOD_NEQ) > 0 || b->item->field == FIELD_NONE)
			return FAIL(b, v->line, "null does not go with the modifiers of \"%.80s\"", b->item->key);
		return add_matcher(b, &null);
	}
	if (b->item->part != PART_NONE && b->op == NULL)
		return add_number(b, v, CMP_EQ);
	if (b->op != NULL)
		switch (b->op->id) {
		case MOD_CIDR:
			return add_cidr(b, v);
		case MOD_FIELDREF:
			return add_fieldref(b, v);
		case MOD_EXISTS:
			return add_exists(b, v);
		case MOD_GT: case MOD_GTE: case MOD_LT: case MOD_LTE:
			return add_number(b, v, CMP_GT + (b->op->id - MOD_GT));
		default:
			break;
		}
	if (v->type == Y_BOOL)
		text = v->text[0] == 't' || v->text[0] == 'T' ? "true" : "false";
	if (!HAS(b, MOD_EXPAND))
		return add_text(b, v, text, v->len);
	sp_buf_init(&none, 1);
	return expand(b, v, &none, text, v->len, &left);
}

static int
goes_in_set(const struct matcher *m)
{
	return m->op == M_PATTERN && !m->cased && m->pat.op == PAT_EQ;
}

/* Many whole values become one look-up. */
static enum sp_err
make_set(struct build *b)
{
	struct matcher *rest, set = { .op = M_SET, .text = "one of many values" };
	size_t n = 0, k = 0;

	for (size_t i = 0; i < b->item->n; i++)
		n += goes_in_set(&b->m[i]);
	if (b->item->all || n < SET_FROM)
		return SP_OK;
	if ((rest = arena_alloc(&b->l->set->a, (b->item->n + 1) * sizeof(*rest))) == NULL || (set.set = textset_make(&b->l->set->a, b->m, b->item->n)) == NULL)
		return SP_ENOMEM;
	set.len = strlen(set.text);
	rest[k++] = set;
	for (size_t i = 0; i < b->item->n; i++)
		if (!goes_in_set(&b->m[i]))
			rest[k++] = b->m[i];
	b->m = rest;
	b->item->n = k;
	return SP_OK;
}

static enum sp_err
take_values(struct build *b, const struct ynode *value, struct item **ret)
{
	enum sp_err r = SP_OK;

	if (value->type == Y_LIST) {
		if (value->n == 0)
			return FAIL(b, value->line, "\"%.80s\" has an empty list of values", b->item->key);
		for (size_t i = 0; i < value->n && r == SP_OK; i++)
			r = take_value(b, value->item[i]);
	} else {
		r = take_value(b, value);
	}
	if (r != SP_OK || (r = make_set(b)) != SP_OK)
		return r;
	if (b->item->n == 0)
		return FAIL(b, value->line, "\"%.80s\" has no values: its placeholders are empty", b->item->key);
	b->item->m = b->m;
	*ret = b->item;
	return SP_OK;
}

enum sp_err
item_load(struct load *l, const struct ynode *key, const struct ynode *value, struct item **ret)
{
	struct build b = { .l = l, .key = key };
	enum sp_err r;

	if ((b.item = arena_alloc(&l->set->a, sizeof(*b.item))) == NULL)
		return SP_ENOMEM;
	if ((r = take_key(&b)) != SP_OK)
		return r;
	return take_values(&b, value, ret);
}

enum sp_err
item_keywords(struct load *l, const struct ynode *list, struct item **ret)
{
	struct ynode key = { .type = Y_TEXT, .line = list->line, .text = "", .len = 0 };

	return item_load(l, &key, list, ret);
}

/* ---- sets of whole values ---- */

struct textset {
	uint32_t		 mask;
	size_t			 n;
	const struct sp_view	*v;
	const uint32_t		*slot;		/* index + 1 */
};

static uint32_t
text_hash(const uint8_t *p, size_t n)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ n;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return (uint32_t)(h ^ h >> 32);
}

const struct textset *
textset_make(struct arena *a, const struct matcher *m, size_t n)
{
	struct textset *t = arena_alloc(a, sizeof(*t));
	struct sp_view *v;
	uint32_t *slot, size = 16;

	while (size < n * 2)
		size *= 2;
	if (t == NULL || (v = arena_alloc(a, n * sizeof(*v))) == NULL || (slot = arena_alloc(a, size * sizeof(*slot))) == NULL)
		return NULL;
	*t = (struct textset){ size - 1, 0, v, slot };
	for (size_t i = 0; i < n; i++) {
		uint32_t at;

		if (!goes_in_set(&m[i]) || textset_has(t, m[i].pat.p, m[i].pat.n))
			continue;
		for (at = text_hash(m[i].pat.p, m[i].pat.n) & t->mask; slot[at] != 0; at = (at + 1) & t->mask)
			;
		v[t->n] = (struct sp_view){ m[i].pat.p, m[i].pat.n };
		slot[at] = (uint32_t)++t->n;
	}
	return t;
}

int
textset_has(const struct textset *t, const uint8_t *p, size_t n)
{
	for (uint32_t at = text_hash(p, n) & t->mask; t->slot[at] != 0; at = (at + 1) & t->mask) {
		const struct sp_view *v = &t->v[t->slot[at] - 1];

		if (v->len == n && memcmp(v->p, p, n) == 0)
			return 1;
	}
	return 0;
}

size_t
textset_get(const struct textset *t, size_t i, const uint8_t **ret)
{
	*ret = t->v[i].p;
	return t->v[i].len;
}

size_t
textset_n(const struct textset *t)
{
	return t->n;
}
