/* src/ctl/rule.c - sallyport rule-set, sallyport command-rule: what people may run. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "ctl/nouns.h"

#define RULE_MAX	16384	/* bytes of a rule, as control takes them */

/* ---- sets */

static const struct ctl_col set_cols[] = {
	{ "name", "NAME" },
	{ "rules", "RULES" },
	{ "applied_to", "APPLIED TO" },
	{ "remark", "REMARK", .flags = CTL_COL_EXTRA },
	{ "id", "ID", .flags = CTL_COL_WHOLE | CTL_COL_CARD },
	{ NULL }
};
static const struct ctl_opt set_arg[] = {
	{ "NAME", CTL_STR, .complete = "rule-set", .help = "name of the rule set" },
	CTL_END
};
static const struct ctl_opt set_new_opts[] = {
	{ "remark", CTL_STR, .value = "TEXT", .help = "what it is for" },
	CTL_END
};
static const struct ctl_opt set_to_opts[] = {
	{ "everyone", CTL_FLAG, .help = "every session" },
	{ "user", CTL_STR, .value = "LOGIN", .complete = "user", .help = "sessions of this user" },
	{ "group", CTL_STR, .value = "NAME", .complete = "group", .help = "sessions of its members" },
	{ "department", CTL_STR, .value = "NAME", .complete = "department", .help = "sessions of its users, and those on its assets" },
	{ "asset", CTL_STR, .value = "NAME", .complete = "asset", .help = "sessions on this asset" },
	{ "account", CTL_STR, .value = "NAME", .help = "with --asset: under this account only" },
	{ "asset-group", CTL_STR, .value = "NAME", .complete = "asset-group", .help = "sessions on the assets in it" },
	CTL_END
};

static const struct ctl_cmd set_cmds[] = {
	{ "add", "make a rule set", .args = set_arg, .opts = set_new_opts, .method = "rule_set.add", .done = "Rule set {name} made.",
	  .more = "Its rules count nowhere until it is applied to something." },
	{ "install", "make the set \"starter\", with the rules that come with Sallyport", .method = "rule_set.install", .done = "Rule set {name} is there.",
	  .more = "It counts nowhere until it is applied. A rule that is there already stays as it is, changed or turned off." },
	{ "list", "list rule sets", .method = "rule_set.list", .show = CTL_ROWS, .cols = set_cols, .empty = "No rule sets." },
	{ "show", "show a rule set", .args = set_arg, .method = "rule_set.show", .show = CTL_OBJECT, .cols = set_cols },
	{ "apply", "put the rules of a set in force somewhere, in live sessions too", .args = set_arg, .opts = set_to_opts,
	  .method = "rule_set.apply", .done = "Rule set {name} is in force there." },
	{ "unapply", "take them back", .args = set_arg, .opts = set_to_opts, .method = "rule_set.unapply",
	  .done = "Rule set {name} is no longer in force there." },
	{ "delete", "delete a rule set with its rules", .args = set_arg, .method = "rule_set.delete", .done = "Rule set {name} deleted." },
	{ NULL }
};
const struct ctl_noun ctl_noun_rule_set = { "rule-set", "named sets of command rules, and where they are in force", set_cmds };

/* ---- rules */

static const struct ctl_col rule_cols[] = {
	{ "set", "SET" },
	{ "name", "NAME" },
	{ "priority", "PRIORITY" },
	{ "action", "ACTION" },
	{ "state", "STATE" },
	{ "hits", "HITS" },
	{ "last_hit", "LAST", CTL_FMT_TIME },
	{ "expires", "EXPIRES", CTL_FMT_TIME, CTL_COL_EXTRA },
	{ "message", "MESSAGE", .flags = CTL_COL_EXTRA },
	{ "rule", "RULE", .flags = CTL_COL_CARD },
	{ "id", "ID", .flags = CTL_COL_WHOLE | CTL_COL_CARD },
	{ NULL }
};
static const struct ctl_opt rule_arg[] = {
	{ "SET", CTL_STR, .complete = "rule-set", .help = "name of the rule set" },
	{ "NAME", CTL_STR, .help = "name of the rule in it" },
	CTL_END
};
static const struct ctl_opt rule_opts[] = {
	{ "file", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "the rule, as YAML; -: standard input" },
	{ "action", CTL_STR, .value = "ACTION", .choices = "allow|warn|alert|deny|kill", .help = "what happens when it matches (deny)" },
	{ "priority", CTL_INT, .value = "1-100", .help = "the lowest number decides; at a tie the strictest (50)" },
	{ "message", CTL_STR, .value = "TEXT", .help = "for the user, behind the usual line" },
	{ "state", CTL_STR, .value = "STATE", .choices = "on|off|shadow", .help = "shadow: it is only written down what it would have done" },
	{ "expires", CTL_TIME, .value = "TIME", .help = "from then on it does not count; \"\": never" },
	CTL_END
};
static const struct ctl_opt rule_list_args[] = {
	{ "SET", CTL_STR, .complete = "rule-set", .flags = CTL_OPTIONAL, .help = "only those of this set" },
	CTL_END
};
static const struct ctl_opt test_args[] = {
	{ "COMMAND", CTL_WORDS, .param = "command", .help = "the command line, quoted as one word" },
	CTL_END
};
static const struct ctl_opt test_opts[] = {
	{ "user", CTL_STR, .value = "LOGIN", .complete = "user", .flags = CTL_REQUIRED, .help = "who enters it" },
	{ "asset", CTL_STR, .value = "NAME", .complete = "asset", .flags = CTL_REQUIRED, .help = "where" },
	{ "account", CTL_STR, .value = "NAME", .flags = CTL_REQUIRED, .help = "under which account" },
	{ "exec", CTL_FLAG, .help = "as an exec request, not a line of a shell" },
	{ "uncertain", CTL_FLAG, .help = "as a line that is not certain" },
	{ "host-user", CTL_STR, .value = "LOGIN", .help = "who he is there, as the prompt says" },
	{ "directory", CTL_STR, .value = "PATH", .help = "where he is there" },
	{ "source", CTL_STR, .value = "ADDRESS", .help = "from where he comes" },
	CTL_END
};
static const struct ctl_col test_cols[] = {
	{ "action", "ACTION" },
	{ "rule", "RULE" },
	{ "word", "COMMAND" },
	{ "shadow", "WOULD HAVE" },
	{ "uncertain", "UNCERTAIN", .flags = CTL_COL_EXTRA },
	{ "incomplete", "INCOMPLETE", .flags = CTL_COL_EXTRA },
	{ NULL }
};

/* The whole file as the parameter `rule`. */
static enum sp_err
rule_file(struct ctl *c, const char *path)
{
	sp_auto(sp_closep) int fd = -1;
	sp_auto(sp_buf_release) struct sp_buf b = { .max = RULE_MAX };
	ssize_t n = 1;

	CTL_TRY(ctl_check_file(c, "file", path));
	fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd == -1)
		return ctl_fail(c, sp_err_errno(errno), "%s: %s", path, strerror(errno));
	while (n > 0) {
		uint8_t chunk[4096];

		if ((n = read(fd, chunk, sizeof(chunk))) == -1)
			return ctl_fail(c, sp_err_errno(errno), "%s: %s", path, strerror(errno));
		if (n > 0 && sp_buf_append(&b, chunk, (size_t)n) != SP_OK)
			return ctl_fail(c, SP_ESIZE, "%s: a rule has at most %d bytes", path, RULE_MAX);
	}
	if (!sp_utf8_valid(b.p, b.len) || (b.len > 0 && memchr(b.p, '\0', b.len) != NULL))
		return ctl_fail(c, SP_EFORMAT, "%s: this is no text in UTF-8", path);
	json_object_set_new(c->params, "rule", json_stringn((const char *)b.p, b.len));
	return SP_OK;
}

static enum sp_err
rule_fill(struct ctl *c)
{
	const char *path = ctl_local_str(c, "file");

	return path != NULL ? rule_file(c, path) : SP_OK;
}

static const struct ctl_cmd rule_cmds[] = {
	{ "add", "add a rule to a set", .args = rule_arg, .opts = rule_opts, .method = "command_rule.add", .fill = rule_fill,
	  .done = "Rule {set}/{name} added.",
	  .more = "The rule is a Sigma rule over the simple commands of a line: Command, CommandLine, words, Args, Writes, PipeTo, User, user.name, "
	      "asset.tags, time.hour and others, listed in docs/rules.md. One that does not load is refused, with its line and the reason." },
	{ "edit", "change a rule; live sessions obey at once", .args = rule_arg, .opts = rule_opts, .method = "command_rule.update",
	  .fill = rule_fill, .done = "Rule {set}/{name} changed." },
	{ "list", "list rules, with how often each of them decided", .args = rule_list_args, .method = "command_rule.list", .show = CTL_ROWS,
	  .cols = rule_cols, .empty = "No command rules." },
	{ "show", "show a rule", .args = rule_arg, .method = "command_rule.show", .show = CTL_OBJECT, .cols = rule_cols },
	{ "test", "what would the rules in force make of a command", .args = test_args, .opts = test_opts, .method = "command_rule.test",
	  .show = CTL_OBJECT, .cols = test_cols },
	{ "delete", "delete a rule", .args = rule_arg, .method = "command_rule.delete", .done = "Rule {set}/{name} deleted." },
	{ NULL }
};
const struct ctl_noun ctl_noun_command_rule = { "command-rule", "what people may run", rule_cmds };
