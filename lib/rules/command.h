/* lib/rules/command.h - may this command line run? Sigma rules (rules.h) over the simple commands of a line (words.h).
 * Used by the session (before Enter goes through, before an exec request goes out) and by control (when a rule is saved or tried).
 * Pure: no I/O, no clock.
 *
 * Each simple command of the line is one event; the fields are listed in docs/rules.md, "Command control". Of the rules that match
 * it, the one with the lowest priority number decides, at a tie the strictest; what decides for the line is the strictest of
 * its commands. In white-list mode a command that no rule allows is denied.
 *
 * Invariants: (1) A rule that does not compile, or that could never be meant (see sp_commands_add), is refused; none is skipped. (2)
 * What cannot be judged (memory, size) is denied. (3) A rule that allows decides for the one simple command that it matches. */
#ifndef SP_RULES_COMMAND_H
#define SP_RULES_COMMAND_H

#include "base/str.h"
#include "rules/rules.h"
#include "rules/words.h"

#define SP_COMMANDS_MAX		10000u		/* rules of one session */
#define SP_COMMAND_RULE_MAX	16384u		/* bytes of one rule's text */
#define SP_COMMAND_WORD_MAX	64u		/* of the command that a refusal names */

enum sp_command_action {	/* stored; a later one is stricter */
	SP_COMMAND_ALLOW = 1, SP_COMMAND_WARN, SP_COMMAND_ALERT, SP_COMMAND_DENY, SP_COMMAND_KILL
};
enum sp_command_mode { SP_COMMAND_BLACK = 1, SP_COMMAND_WHITE };	/* everything else may run; nothing else may */
/* "allow", "warn", ... <-> the action; 0: no such word. NULL: no such action. */
int		 sp_command_action_of(const char *word);
const char	*sp_command_action_word(int action);

struct sp_command_rule {	/* all borrowed for sp_commands_add */
	struct sp_uuid	 id;
	const char	*name, *set, *message;	/* message: for the user; "": the usual one */
	int		 priority;		/* 1..100 */
	int		 action;		/* enum sp_command_action */
	int		 shadow;		/* only says what it would have done */
	int64_t		 expires_us;		/* UTC; 0: never. From then on it does not count */
	const char	*text;			/* YAML, one Sigma rule */
	size_t		 len;
};
/* Where lines come from: the same for a session. Borrowed for sp_commands_place, which copies. */
struct sp_command_place {
	const char	*user, *role, *asset, *account, *login, *source;
	uint32_t	 port;
	const char	*const *group, *const *department, *const *asset_group, *const *tag;	/* department: his own and those above; tag: "key=value" or "key" */
	size_t		 groups, departments, asset_groups, tags;
	int		 mode;			/* enum sp_command_mode */
	int		 refuse_uncertain;	/* what is not certain is denied */
	int		 tz_offset_s;		/* seconds east of UTC, for hours and days */
};
struct sp_command_line {
	const char	*text;
	size_t		 len;
	int		 uncertain;		/* what runs may be something else, or was typed without echo */
	const char	*protocol;		/* "shell", "exec" */
	const char	*user, *directory;	/* on the host, as its prompt says; NULL or "": unknown */
	int64_t		 now_us;		/* UTC */
};
struct sp_command_verdict {
	int		 action;		/* enum sp_command_action */
	int		 rule;			/* index by order of adding; -1: none decided (the mode, or uncertainty) */
	int		 shadow;		/* index of a rule in shadow that would have decided; -1: none */
	int		 uncertain;		/* the line was, or it is beyond a bound */
	int		 incomplete;		/* the next line goes on with it */
	char		 word[SP_COMMAND_WORD_MAX + 1];	/* name of the command that decided */
};

struct sp_commands;
enum sp_err	 sp_commands_new(struct sp_commands **ret) SP_MUST_USE;
void		 sp_commands_free(struct sp_commands *c);
/*
 * Add a rule. SP_EFORMAT and *err: it does not load; is not exactly one detection rule; its numbers are out of range; it
 * allows and looks at Line (`ls; rm x` would pass with what ls allows), or allows what is unknown. SP_EFULL, SP_ENOMEM.
 */
enum sp_err	 sp_commands_add(struct sp_commands *c, const struct sp_command_rule *rule, struct sp_rules_error *err) SP_MUST_USE;
enum sp_err	 sp_commands_place(struct sp_commands *c, const struct sp_command_place *p) SP_MUST_USE;
/* After the last rule: compile. Then lines can be judged. */
enum sp_err	 sp_commands_ready(struct sp_commands *c, struct sp_rules_error *err) SP_MUST_USE;
/* Always gives a verdict: what cannot be judged is denied. An empty line is allowed. */
void		 sp_commands_judge(struct sp_commands *c, const struct sp_command_line *line, struct sp_command_verdict *ret);
/* Of the i-th rule, borrowed. */
struct sp_command_said {
	struct sp_uuid	 id;
	const char	*name, *set, *message;
	int		 action, priority;
};
void		 sp_commands_rule(const struct sp_commands *c, int i, struct sp_command_said *ret);
size_t		 sp_commands_n(const struct sp_commands *c);

#endif
