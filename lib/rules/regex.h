/* lib/rules/regex.h - the `re` modifier: PCRE2 under limits, and the literals that every match must contain. */
#ifndef SP_RULES_REGEX_H
#define SP_RULES_REGEX_H

#include "rules/arena.h"
#include "rules/rules.h"

#define REGEX_MAX		8192		/* bytes of one expression */
#define REGEX_MATCH_LIMIT	100000		/* steps of one match (PCRE2's match limit) */
#define REGEX_LITERALS		64

enum { REGEX_I = 1, REGEX_M = 2, REGEX_S = 4 };
struct regex;			/* compiled; immutable */
struct regex_scratch;		/* of one thread */

/* SP_EFORMAT: why (size bytes) says what is wrong. */
enum sp_err	 regex_new(const char *p, size_t n, unsigned flags, char *why, size_t size, struct regex **ret) SP_MUST_USE;
void		 regex_free(struct regex *r);
enum sp_err	 regex_scratch_new(struct regex_scratch **ret) SP_MUST_USE;
void		 regex_scratch_free(struct regex_scratch *s);
/* 1: found somewhere in s, 0: not, -1: a limit was hit. */
int		 regex_match(const struct regex *r, struct regex_scratch *scratch, const char *s, size_t n);
/* Folded literals of which every match contains at least one, in the arena; 0: none known. At most REGEX_LITERALS. */
size_t		 regex_literals(struct arena *a, const char *p, size_t n, struct sp_view *ret);

#endif
