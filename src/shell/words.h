/* src/shell/words.h - a command line as words, the way a POSIX shell would split it, without anything that a shell would do
 * beyond that. Pure.
 * Invariants: what a shell would expand or act on (unquoted | & ; < > ( ) $ ` * ? [ # ~ { }, $ and ` in double quotes) is
 * refused, not passed on; so are control characters, quoted or not, and bytes that are not UTF-8. */
#ifndef SP_SHELL_WORDS_H
#define SP_SHELL_WORDS_H

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"

#define SHELL_WORDS_N	512	/* words of one line */

/* line[0..n) becomes words in place: it must have room for one more byte. argv: SHELL_WORDS_N + 1 pointers into it, the
 * last NULL. why: for people, set on failure (static). SP_EFORMAT, SP_ESIZE. */
enum sp_err	shell_words(char *line, size_t n, char **argv, int *ret_argc, const char **why) SP_MUST_USE;

#endif
