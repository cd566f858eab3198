/* src/ctl/command.c - sallyport command: what people ran. */
#include "ctl/nouns.h"

static const struct ctl_col command_cols[] = {
	{ "time", "TIME", CTL_FMT_TIME },
	{ "user", "USER" },
	{ "account", "ACCOUNT", .flags = CTL_COL_EXTRA },
	{ "asset", "ASSET" },
	{ "command", "COMMAND" },
	{ "certainty", "CERTAINTY" },
	{ "risk", "RISK", .flags = CTL_COL_EXTRA },
	{ "action", "ACTION", .flags = CTL_COL_EXTRA },
	{ "rule", "RULE", .flags = CTL_COL_EXTRA },
	{ "how", "HOW", .flags = CTL_COL_EXTRA },
	{ "place", "PROMPT SAYS", .flags = CTL_COL_EXTRA },
	{ "source", "FROM", .flags = CTL_COL_EXTRA },
	{ "ended", "ENDED", CTL_FMT_TIME, CTL_COL_EXTRA },
	{ "session", "SESSION", .flags = CTL_COL_EXTRA | CTL_COL_WHOLE },
	{ "output", "OUTPUT", .flags = CTL_COL_EXTRA },
	{ NULL }
};
static const struct ctl_opt command_search_args[] = {
	{ "TEXT", CTL_STR, .param = "text", .flags = CTL_OPTIONAL, .help = "what stands in the command, as it was typed" },
	CTL_END
};
static const struct ctl_opt command_search_opts[] = {
	{ "user", CTL_STR, .value = "LOGIN", .complete = "user", .help = "what this user ran" },
	{ "asset", CTL_STR, .value = "NAME", .complete = "asset", .help = "what ran on this asset" },
	{ "session", CTL_STR, .value = "ID", .complete = "session", .help = "what ran in this session" },
	{ "since", CTL_TIME, .value = "TIME", .help = "not older than this" },
	{ "until", CTL_TIME, .value = "TIME", .help = "not younger than this" },
	{ "risk", CTL_STR, .value = "RISK", .choices = "low|medium|high|critical", .help = "what rules found to be at least so risky" },
	{ "output", CTL_FLAG, .help = "with what it printed, where the grant keeps that (--keep-output)" },
	{ "limit", CTL_INT, .value = "N", .help = "at most so many, the newest (50)" },
	CTL_END
};
static const struct ctl_cmd command_cmds[] = {
	{ "search", "search the commands that ran, newest first", .args = command_search_args, .opts = command_search_opts,
	  .method = "command.search", .show = CTL_ROWS, .cols = command_cols, .empty = "Nothing found.",
	  .more = "certain: what was typed and what stood on the screen agree, or the request says it; uncertain: they do not, or only "
	      "one of them was there; hidden: typed without echo, so the text is not kept. On an interactive shell this is what the "
	      "terminal showed: a program that a command starts is not seen here. Who may not audit finds his own commands." },
	{ NULL }
};
const struct ctl_noun ctl_noun_command = { "command", "what people ran", command_cmds };
