/* lib/rules/num.h - numerals of JSON, and one spelling for each number, so that 4688, 4688.0 and "4688" compare as text. */
#ifndef SP_RULES_NUM_H
#define SP_RULES_NUM_H

#include <stddef.h>

#define NUM_TEXT_MAX	32

/* Length of the JSON numeral that p begins with; 0: none. *ret_plain: it already is its canonical spelling. */
size_t	 num_scan(const char *p, size_t n, int *ret_plain);
/* The canonical spelling of a numeral: integers below 2^53 as digits, others as %.17g (beyond double: as written, cut). */
size_t	 num_canonical(const char *p, size_t n, char dst[NUM_TEXT_MAX]);
/* The whole text is one numeral: its value. Returns 0 if not. */
int	 num_value(const char *p, size_t n, double *ret);

#endif
