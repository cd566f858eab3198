/* src/control/cmdrules.h - the command rules of a session: which sets are applied to whom and where it goes, and what its grants
 * make of commands that no rule names. Loaded in worker threads, sent by the loop. Process: control. */
#ifndef SP_CONTROL_CMDRULES_H
#define SP_CONTROL_CMDRULES_H

#include "control/ctl.h"

#define CMDRULES_MAX		((size_t)16 << 20)	/* bytes of all rules of one session */
#define CMDRULES_PLACE_MAX	((size_t)24 << 10)	/* bytes of the rest: it travels in a message */

struct cmdrules {		/* zeroed: nothing is judged */
	int		 any, with_rules;
	struct sp_buf	 rules;	/* a packed CommandRules; empty: no rules */
	struct sp_buf	 place;	/* a packed CommandPlace */
	uint64_t	 sum;	/* of both; 0: nothing is judged */
};
/* Rows with wrong MACs are SP_ETAMPERED; too much is SP_ESIZE. On failure *ret is empty. */
enum sp_err	 cmdrules_load(struct sp_store *s, const struct sp_uuid *user_id, const struct sp_uuid *asset_id, const char *account,
		    const char *source, struct cmdrules *ret) SP_MUST_USE;
void		 cmdrules_release(struct cmdrules *c);
/* The rules as a sealed memory file: *ret is the caller's; -1 when there are none. */
enum sp_err	 cmdrules_file(const struct sp_buf *rules, int *ret) SP_MUST_USE;
/* For api_rule.c: rules as YAML into lib/rules; the same that a session does. */
struct sp_commands;
enum sp_err	 cmdrules_compile(const struct cmdrules *c, struct sp_commands **ret) SP_MUST_USE;

#endif
