/* lib/rules/regex.c - PCRE2 with JIT under match, depth and heap limits.
 *
 * The literals: a small reader of the expression that knows what it does not know. It understands text, escapes, classes, groups,
 * alternatives and repeats; at anything else (look-around, back references, \Q..\E, verbs, extended mode) it gives up, and the
 * rule is then evaluated for every event of its log source. It need not be clever, but must never name a literal that a match can lack. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "rules/fold.h"
#include "rules/regex.h"

#define JIT_STACK	((size_t)256 << 10)
#define HEAP_KIB	4096
#define GROUP_DEPTH	32
#define RUN_MAX		128

struct regex {
	pcre2_code	*code;
};
struct regex_scratch {
	pcre2_match_context	*ctx;
	pcre2_match_data	*data;
	pcre2_jit_stack		*stack;
};

enum sp_err
regex_new(const char *p, size_t n, unsigned flags, char *why, size_t size, struct regex **ret)
{
	uint32_t opts = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
	PCRE2_UCHAR text[160];
	struct regex *r;
	PCRE2_SIZE at;
	int e;

	if (n > REGEX_MAX) {
		sp_snprintf(why, size, "the expression is longer than %d bytes", REGEX_MAX);
		return SP_EFORMAT;
	}
	opts |= (flags & REGEX_I ? PCRE2_CASELESS : 0) | (flags & REGEX_M ? PCRE2_MULTILINE : 0) | (flags & REGEX_S ? PCRE2_DOTALL : 0);
	if ((r = calloc(1, sizeof(*r))) == NULL)
		return SP_ENOMEM;
	if ((r->code = pcre2_compile((PCRE2_SPTR)p, n, opts, &e, &at, NULL)) == NULL) {
		pcre2_get_error_message(e, text, sizeof(text));
		sp_snprintf(why, size, "%s, at character %zu of the expression", (const char *)text, (size_t)at + 1);
		free(r);
		return SP_EFORMAT;
	}
	(void)pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE);	/* where there is no JIT the interpreter does it, under the same limits */
	*ret = r;
	return SP_OK;
}

void
regex_free(struct regex *r)
{
	if (r == NULL)
		return;
	pcre2_code_free(r->code);
	free(r);
}

enum sp_err
regex_scratch_new(struct regex_scratch **ret)
{
	struct regex_scratch *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return SP_ENOMEM;
	s->ctx = pcre2_match_context_create(NULL);
	s->data = pcre2_match_data_create(1, NULL);
	s->stack = pcre2_jit_stack_create((size_t)32 << 10, JIT_STACK, NULL);
	if (s->ctx == NULL || s->data == NULL) {
		regex_scratch_free(s);
		return SP_ENOMEM;
	}
	pcre2_set_match_limit(s->ctx, REGEX_MATCH_LIMIT);
	pcre2_set_depth_limit(s->ctx, REGEX_MATCH_LIMIT);
	pcre2_set_heap_limit(s->ctx, HEAP_KIB);
	if (s->stack != NULL)
		pcre2_jit_stack_assign(s->ctx, NULL, s->stack);
	*ret = s;
	return SP_OK;
}

void
regex_scratch_free(struct regex_scratch *s)
{
	if (s == NULL)
		return;
	pcre2_match_data_free(s->data);
	pcre2_match_context_free(s->ctx);
	if (s->stack != NULL)
		pcre2_jit_stack_free(s->stack);
	free(s);
}

int
regex_match(const struct regex *r, struct regex_scratch *s, const char *p, size_t n)
{
	int e = pcre2_match(r->code, (PCRE2_SPTR)p, n, 0, 0, s->data, s->ctx);

	return e >= 0 ? 1 : e == PCRE2_ERROR_NOMATCH ? 0 : -1;
}

/* ---- literals ---- */

struct lits {				/* every match contains one of these; n == 0: nothing known */
	struct sp_view	v[REGEX_LITERALS];
	size_t		n;
};
struct reader {
	struct arena	*a;
	const char	*p, *end;
	int		 lost;		/* something that is not understood: nothing may be said */
	unsigned	 depth;
};
struct run {				/* literal text that is being collected */
	uint8_t	b[RUN_MAX];
	size_t	n;
};

static size_t
shortest(const struct lits *l)
{
	size_t k = l->n == 0 ? 0 : SIZE_MAX;

	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].len < k)
			k = l->v[i].len;
	return k;
}

static void
better(struct lits *best, const struct lits *l)
{
	size_t a = shortest(best), b = shortest(l);

	if (b > a || (b == a && b > 0 && l->n < best->n))
		*best = *l;
}

static void
end_run(struct reader *r, struct run *run, struct lits *best)
{
	struct lits l = { .n = 1 };
	uint8_t *f;

	if (run->n == 0)
		return;
	if ((f = arena_alloc(r->a, FOLD_ROOM(run->n))) == NULL) {
		r->lost = 1;
		return;
	}
	l.v[0] = (struct sp_view){ f, sp_fold(run->b, run->n, f) };
	better(best, &l);
	run->n = 0;
}

/* Take the last character back: what follows makes it optional or repeats it. */
static void
drop_last(struct run *run)
{
	while (run->n > 0 && (run->b[run->n - 1] & 0xc0) == 0x80)
		run->n--;
	if (run->n > 0)
		run->n--;
}

/* A repeat, if one is here. Returns its smallest count, -1: none here. */
static int
repeat(struct reader *r)
{
	int min;

	if (r->p == r->end)
		return -1;
	if (*r->p == '*' || *r->p == '?')
		min = 0;
	else if (*r->p == '+')
		min = 1;
	else if (*r->p == '{' && r->end - r->p >= 3 && r->p[1] >= '0' && r->p[1] <= '9') {
		const char *q = memchr(r->p, '}', (size_t)(r->end - r->p));

		if (q == NULL || strspn(r->p + 1, "0123456789,") < (size_t)(q - r->p - 1)) {
			r->lost = 1;
			return -1;
		}
		min = r->p[1] != '0';	/* "00" would be lost as 0 too: harmless */
		r->p = q;
	} else {
		return -1;
	}
	r->p++;
	if (r->p < r->end && (*r->p == '?' || *r->p == '+'))
		r->p++;
	return min;
}

static void
skip_class(struct reader *r)
{
	r->p++;
	if (r->p < r->end && *r->p == '^')
		r->p++;
	if (r->p < r->end && *r->p == ']')
		r->p++;
	while (r->p < r->end && *r->p != ']') {
		if (*r->p == '\\') {
			if (r->p + 1 < r->end && (r->p[1] == 'Q' || r->p[1] == 'E'))
				r->lost = 1;
			r->p++;
		} else if (*r->p == '[' && r->p + 1 < r->end && strchr(":.=", r->p[1]) != NULL) {
			r->lost = 1;	/* [:alpha:] */
		}
		r->p++;
	}
	if (r->p >= r->end)
		r->lost = 1;
	else
		r->p++;
}

/* (?:, (?i:, (?i) and plain groups; all others: lost. Returns 1 if it only sets options. */
static int
open_group(struct reader *r)
{
	r->p++;
	if (r->p == r->end || (*r->p != '?' && *r->p != '*'))
		return 0;
	if (*r->p++ == '*') {
		r->lost = 1;
		return 0;
	}
	while (r->p < r->end && strchr("imsU-", *r->p) != NULL && *r->p != '\0')
		r->p++;
	if (r->p < r->end && *r->p == ':') {
		r->p++;
		return 0;
	}
	if (r->p < r->end && *r->p == ')') {
		r->p++;
		return 1;
	}
	r->lost = 1;
	return 0;
}

static void	read_alternatives(struct reader *r, struct lits *ret);

static void
read_group(struct reader *r, struct lits *best)
{
	struct lits in = { .n = 0 };

	if (++r->depth > GROUP_DEPTH) {
		r->lost = 1;
		return;
	}
	read_alternatives(r, &in);
	if (r->p >= r->end || *r->p != ')') {
		r->lost = 1;
		return;
	}
	r->p++;
	r->depth--;
	if (repeat(r) != 0)
		better(best, &in);
}

static void
put_char(struct reader *r, struct run *run, struct lits *best, const char *c, size_t k)
{
	int min;

	if (run->n + k > RUN_MAX)
		end_run(r, run, best);
	memcpy(run->b + run->n, c, k);
	run->n += k;
	if ((min = repeat(r)) == -1)
		return;
	if (min == 0)
		drop_last(run);
	end_run(r, run, best);
}

static void
read_escape(struct reader *r, struct run *run, struct lits *best)
{
	char c;

	if (++r->p == r->end) {
		r->lost = 1;
		return;
	}
	c = *r->p++;
	if ((c >= '0' && c <= '9') || strchr("QExoNpPXgkKcCGRlLuU", c) != NULL) {
		r->lost = 1;
		return;
	}
	if (strchr("dDwWsSbBAzZhHvV", c) != NULL) {
		end_run(r, run, best);
		(void)repeat(r);
		return;
	}
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {	/* \n, \t, ...: a character, but not this one */
		end_run(r, run, best);
		(void)repeat(r);
		return;
	}
	put_char(r, run, best, &c, 1);
}

/* One alternative: up to | or ) or the end. */
static void
read_sequence(struct reader *r, struct lits *ret)
{
	struct run run = { .n = 0 };

	ret->n = 0;
	while (r->p < r->end && !r->lost && *r->p != '|' && *r->p != ')') {
		uint32_t cp;
		size_t k;

		switch (*r->p) {
		case '(':
			end_run(r, &run, ret);
			if (!open_group(r) && !r->lost)
				read_group(r, ret);
			break;
		case '[':
			end_run(r, &run, ret);
			skip_class(r);
			(void)repeat(r);
			break;
		case '\\':
			read_escape(r, &run, ret);
			break;
		case '.': case '^': case '$':
			end_run(r, &run, ret);
			r->p++;
			(void)repeat(r);
			break;
		case '*': case '+': case '?':
			r->lost = 1;
			break;
		case '{':	/* a repeat of a repeat, or {,n}, which newer PCRE2 counts as one */
			r->lost = 1;
			break;
		default:
			k = sp_utf8_next((const uint8_t *)r->p, (size_t)(r->end - r->p), &cp);
			k = k == 0 ? 1 : k;
			r->p += k;
			put_char(r, &run, ret, r->p - k, k);
		}
	}
	end_run(r, &run, ret);
}

static void
read_alternatives(struct reader *r, struct lits *ret)
{
	struct lits one, all = { .n = 0 };
	int none = 0;

	for (;;) {
		read_sequence(r, &one);
		if (one.n == 0 || all.n + one.n > REGEX_LITERALS)
			none = 1;
		else if (!none) {
			memcpy(all.v + all.n, one.v, one.n * sizeof(one.v[0]));
			all.n += one.n;
		}
		if (r->lost || r->p >= r->end || *r->p != '|')
			break;
		r->p++;
	}
	*ret = all;
	if (none)
		ret->n = 0;
}

size_t
regex_literals(struct arena *a, const char *p, size_t n, struct sp_view *ret)
{
	struct reader r = { a, p, p + n, 0, 0 };
	struct lits l = { .n = 0 };

	if (memmem(p, n, "(?x", 3) != NULL)
		return 0;
	read_alternatives(&r, &l);
	if (r.lost || r.p != r.end)
		return 0;
	memcpy(ret, l.v, l.n * sizeof(*ret));
	return l.n;
}
