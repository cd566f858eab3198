/* lib/rules/words_lex.h - between words_lex.c (words) and words.c (commands of words): a cursor over one text. */
#ifndef SP_RULES_WORDS_LEX_H
#define SP_RULES_WORDS_LEX_H

#include "rules/words_int.h"

#define LEX_OPEN_MAX	64	/* compound commands open at once, in one text */
#define LEX_HERE_MAX	8	/* here-documents of one line */

struct lex_here {
	uint32_t	cmd, delim, delim_len;
	int		quoted, strip;
};
struct lex {
	struct sp_cmdline	*l;
	const char		*p;
	size_t			 n, i;
	unsigned		 depth;
	uint8_t			 flags;		/* for its commands */
	uint32_t		 user, user_len;
	char			 open[LEX_OPEN_MAX];	/* 'i' if, 'c' case, 'l' loop, '{' */
	size_t			 opens;
	struct lex_here		 here[LEX_HERE_MAX];
	size_t			 heres;
};
struct lex_word {				/* a word being read */
	size_t		from;		/* in l->part */
	uint8_t		flags;
	int		any;		/* something was there: "" is a word, too */
	int		eq_plain;	/* an unquoted NAME= begins it */
};

int		 lex_peek(const struct lex *x, size_t ahead);	/* a byte; -1: the text ends */
int		 lex_is_blank(int c);
void		 lex_cut(struct sp_cmdline *l);
void		 lex_incomplete(struct lex *x);			/* what is open is not closed: to the end of the text */
void		 lex_skip_blank(struct lex *x, int lines);	/* lines: line ends, too */
/* One word at the cursor; 0: there is none. It stays on the stack from w->from on: lex_keep() or lex_drop() it. */
int		 lex_read_part(struct lex *x, struct lex_word *w);
int		 lex_part_is(const struct lex *x, const struct lex_word *w, const char *s);	/* and nothing of it was quoted */
uint32_t	 lex_keep(struct lex *x, const struct lex_word *w, uint8_t kind);
void		 lex_drop(struct lex *x, const struct lex_word *w);
int		 lex_skip_word(struct lex *x);	/* of a for, a case, a [[ ]]: only its substitutions are read */
/* Inside "...", up to the closing quote; with end 0 to the end of the text (a here-document). */
void		 lex_read_double(struct lex *x, struct lex_word *w, int end);
/* Is `((` before the cursor arithmetic, as the two closing brackets stand together? */
int		 lex_is_arithmetic(const struct lex *x);
/* Up to the end of ${..}, ((..)), $[..]: what is in it is not split, but may hold substitutions. */
void		 lex_read_opaque(struct lex *x, struct lex_word *w, char opener, char closer, size_t levels);
void		 lex_read_inner(struct lex *x);		/* commands up to the closing bracket, one level below */
void		 lex_read_list(struct lex *x, char closer);	/* words.c: commands up to it; 0: to the end */

#endif
