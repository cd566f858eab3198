/* src/control/detect.h - the detections of the store as compiled rules, and what each says should follow. See detect.c. */
#ifndef SP_CONTROL_DETECT_H
#define SP_CONTROL_DETECT_H

#include "control/ctl.h"
#include "rules/rules.h"

#define DETECT_MAX		2000	/* detections in force */
#define DETECT_ACTIONS		8	/* of one rule */

enum detect_repeat { DETECT_AGAIN, DETECT_MERGE, DETECT_ESCALATE };	/* what a repeat does while the offense is open */
struct detect_rule {			/* what one rule of a detection says, copied */
	char			 title[SP_STORE_NAME_MAX + 1], property[64 + 1];	/* property "": the first that it groups by */
	unsigned		 nth;			/* rules for people before it in the same detection */
	char			 category[64 + 1];
	int64_t			 severity;		/* 1..5 */
	enum detect_repeat	 repeat;
	char			 action[DETECT_ACTIONS][64 + 1];
	size_t			 actions;
};
struct detect_set;			/* immutable */

/* The words that `respond` knows, NULL-terminated. */
extern const char *const detect_actions[];

/* Everything in force, with `add` (borrowed, may be NULL) in the place of the row of that name. A row whose MAC is wrong is left
 * out, and a finding of s. known: the generation that the caller has (0: none); if it is that one still, nothing is compiled and *ret
 * stays as it is. SP_EFORMAT: the set does not load; why says where. SP_EFULL: more than DETECT_MAX. Any thread. */
enum sp_err	detect_load(struct sp_store *s, const struct sp_store_detection *add, uint64_t known, struct detect_set **ret, char *why, size_t n) SP_MUST_USE;
void		detect_free(struct detect_set *d);	/* NULL is fine */
uint64_t	detect_generation(const struct detect_set *d);	/* of names and texts; never 0 */
size_t		detect_n(const struct detect_set *d);
const char	*detect_name(const struct detect_set *d, size_t i);
const char	*detect_text(const struct detect_set *d, size_t i);
/* The rule that begins in that line of that detection. SP_ENOENT. */
enum sp_err	detect_rule(const struct detect_set *d, const char *name, unsigned line, struct detect_rule *ret) SP_MUST_USE;

#endif
