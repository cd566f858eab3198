/* src/control/reason.h - the reason or ticket that a grant asks for at connect. Pure: no I/O, no clock. Process: control.
 *
 * A ticket is the first word of what the user gives; the rest of the line is free. It must fit, from its first to its last
 * character, a Perl-compatible regular expression, by default REASON_TICKET ("OPS-1234"). Matching is bounded: a pattern
 * that takes too long fits nothing. */
#ifndef SP_CONTROL_REASON_H
#define SP_CONTROL_REASON_H

#include "policy/access.h"

#define REASON_MAX		250		/* bytes */
#define REASON_PATTERN_MAX	200		/* bytes */
#define REASON_TICKET		"[A-Z][A-Z0-9]*-[0-9]+"

/* To be called when a grant is saved. SP_EINVAL: it does not compile (ret_why: what is wrong), or is longer than
 * REASON_PATTERN_MAX, or holds a line break. "" is fine. */
enum sp_err	 reason_check(const char *pattern, char *ret_why, size_t why_size) SP_MUST_USE;
/* Does the word fit the pattern as a whole? "": the usual form. */
int		 reason_is_ticket(const char *pattern, const char *text);
/* Does the text do for this decision? NULL: yes; else what to ask for: "reason", "ticket". */
const char	*reason_lacks(const struct sp_policy_decision *d, const char *text);

#endif
