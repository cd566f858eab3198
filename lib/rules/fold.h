/* lib/rules/fold.h - text without its case: Unicode simple case folding, byte sequences that are not UTF-8 stay as they are.
 * The same folding is applied to rules and to events, and agrees with what PCRE2 calls caseless. */
#ifndef SP_RULES_FOLD_H
#define SP_RULES_FOLD_H

#include <stddef.h>
#include <stdint.h>

#define FOLD_ROOM(n)	((n) + (n) / 2 + 4)	/* bytes that n bytes can become: 2 become 3 at worst */

size_t	 sp_fold(const void *p, size_t n, uint8_t *dst);	/* dst has FOLD_ROOM(n) bytes; returns those used */
int	 sp_fold_is_stable(const void *p, size_t n);		/* folding would change nothing */

#endif
