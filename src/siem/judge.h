/* src/siem/judge.h - entries of the audit log under rules: detections that match, correlations that fire. See judge.c. */
#ifndef SP_SIEM_JUDGE_H
#define SP_SIEM_JUDGE_H

#include "rules/corr.h"

#define JUDGE_PROPERTIES	SP_CORR_GROUP_MAX
#define JUDGE_VALUE		256		/* bytes of a value in an alert; longer ones are cut */

struct judge_alert {			/* borrowed during the call */
	const char	*rule;		/* name of the detection */
	unsigned	 line;		/* where in its text the rule begins */
	uint64_t	 entry;		/* that made it fire */
	int64_t		 at_us;		/* of that entry */
	size_t		 n;
	const char	*property[JUDGE_PROPERTIES];
	char		 value[JUDGE_PROPERTIES][JUDGE_VALUE];
	const uint64_t	*events;
	size_t		 n_events;
};
typedef void judge_fn(const struct judge_alert *a, void *arg);

struct judge;
enum sp_err	judge_new(struct judge **ret) SP_MUST_USE;
void		judge_free(struct judge *j);		/* NULL is fine */
/* New rules: begin, each text, then ready. Until ready the old ones hold. A text that does not load is SP_EFORMAT with *err,
 * and left out; what was counted so far goes over to the rules that are the same. *ret_dropped: counts of rules that are gone. */
enum sp_err	judge_begin(struct judge *j) SP_MUST_USE;
enum sp_err	judge_rule(struct judge *j, const char *name, const char *text, struct sp_rules_error *err) SP_MUST_USE;
enum sp_err	judge_ready(struct judge *j, struct sp_rules_error *err, size_t *ret_dropped) SP_MUST_USE;
/* One entry, in order. fn is called for each alert, before this returns. SP_EFORMAT: no entry; nothing was counted. */
enum sp_err	judge_entry(struct judge *j, uint64_t seq, const char *entry, size_t n, judge_fn *fn, void *arg) SP_MUST_USE;
/* What was counted, as bytes and back; after judge_ready. */
enum sp_err	judge_save(const struct judge *j, struct sp_buf *ret) SP_MUST_USE;
enum sp_err	judge_load(struct judge *j, const void *p, size_t n, size_t *ret_dropped) SP_MUST_USE;
void		judge_stats(const struct judge *j, struct sp_corr_stats *ret);

#endif
