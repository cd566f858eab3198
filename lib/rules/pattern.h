/* lib/rules/pattern.h - the value of a Sigma item: text with wildcards, what modifiers make of it, and how it matches.
 * A value is first a row of codes (bytes, and the wildcards beyond 255), then compiled into a pattern. */
#ifndef SP_RULES_PATTERN_H
#define SP_RULES_PATTERN_H

#include <stdint.h>

#include "rules/arena.h"
#include "rules/rules.h"

enum {
	CODE_ANY = 256,		/* `*`: any length */
	CODE_ONE = 257,		/* `?`: one character */
	CODE_DASH = 258,	/* `windash`: - / and three Unicode dashes */
};
struct codes {
	uint16_t	*c;
	size_t		 n;
};

/* Sigma's escapes: a backslash before * ? \ takes their meaning, before anything else it is itself. In the arena. */
enum sp_err	 codes_lex(struct arena *a, const char *s, size_t n, struct codes *ret) SP_MUST_USE;
enum sp_err	 codes_literal(struct arena *a, const void *s, size_t n, struct codes *ret) SP_MUST_USE;
int		 codes_plain(const struct codes *c);			/* no wildcard in it */
enum sp_err	 codes_enclose(struct arena *a, struct codes *c, int front, int back) SP_MUST_USE;	/* a `*` where none is */
enum sp_err	 codes_windash(struct codes *c) SP_MUST_USE;
enum sp_err	 codes_utf16(struct arena *a, struct codes *c, int big, int bom) SP_MUST_USE;	/* SP_EFORMAT: not UTF-8 */
enum sp_err	 codes_base64(struct arena *a, struct codes *c) SP_MUST_USE;	/* plain codes only */
enum sp_err	 codes_base64_offset(struct arena *a, const struct codes *c, unsigned offset, struct codes *ret) SP_MUST_USE;

enum pat_op { PAT_ANY, PAT_EQ, PAT_PREFIX, PAT_SUFFIX, PAT_CONTAINS, PAT_GLOB };
struct pat_elem {
	uint16_t	 kind;		/* 0: a literal, else CODE_ONE, CODE_DASH */
	uint32_t	 len;
	const uint8_t	*p;
};
struct pat_seg {			/* what stands between two `*` */
	const struct pat_elem	*elem;
	size_t			 n;
};
struct pattern {
	enum pat_op		 op;
	const uint8_t		*p;		/* EQ, PREFIX, SUFFIX, CONTAINS */
	size_t			 n;
	const struct pat_seg	*seg;		/* GLOB */
	size_t			 n_seg;
	int			 free_front, free_back;	/* begins, ends with `*` */
};
/* Compile; `cased` keeps the case, else literals are folded and so must be what they are matched against. */
enum sp_err	 pattern_make(struct arena *a, const struct codes *c, int cased, struct pattern *ret) SP_MUST_USE;
int		 pattern_match(const struct pattern *p, const uint8_t *s, size_t n);
/* The longest literal that every match contains, folded or not as the pattern is. *ret_front, *ret_back: it begins, ends the value.
 * Returns 0 if there is none. */
int		 pattern_literal(const struct pattern *p, struct sp_view *ret, int *ret_front, int *ret_back);

#endif
