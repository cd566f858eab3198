/* src/ctl/help.c - help and usage lines, from the tables; and `sallyport help`. */
#include <string.h>

#include "base/str.h"
#include "ctl/call.h"
#include "ctl/nouns.h"

#define HELP_INDENT	28	/* column of the explanations */
#define HELP_WIDTH	100	/* of running text */

static void
help_arg(FILE *f, const struct ctl_opt *o)
{
	const char *more = o->type == CTL_WORDS || o->type == CTL_RAW || o->type == CTL_LIST || o->type == CTL_LINES ? "..." : "";

	fprintf(f, o->flags & CTL_OPTIONAL ? " [%s%s]" : " %s%s", o->name, more);
}

static void
help_usage(FILE *f, const struct ctl_noun *n, const struct ctl_cmd *cmd)
{
	fprintf(f, "sallyport %s%s%s", n->name, cmd->verb[0] != 0 ? " " : "", cmd->verb);
	for (const struct ctl_opt *o = cmd->args; o != NULL && o->name != NULL; o++)
		help_arg(f, o);
	for (const struct ctl_opt *o = cmd->opts; o != NULL && o->name != NULL; o++)
		if (o->flags & CTL_REQUIRED)
			fprintf(f, " --%s %s", o->name, o->value);
	for (const struct ctl_opt *o = cmd->opts; o != NULL && o->name != NULL; o++)
		if (!(o->flags & CTL_REQUIRED)) {
			fprintf(f, " [options]");
			break;
		}
	fputc('\n', f);
}

static void
help_opts(FILE *f, const struct ctl_opt *opts, const char *dashes)
{
	for (const struct ctl_opt *o = opts; o != NULL && o->name != NULL; o++) {
		char left[128];

		sp_snprintf(left, sizeof(left), "%s%s%s%s", dashes, o->name, o->value != NULL ? " " : "",
		    o->value != NULL ? o->value : "");
		fprintf(f, "  %-*s%s%s\n", HELP_INDENT - 2, left, strlen(left) > HELP_INDENT - 4 ? "\n                            " : "",
		    o->help);
		if (o->choices != NULL && o->type == CTL_LIST)
			fprintf(f, "  %-*s(%s)\n", HELP_INDENT - 2, "", o->choices);
	}
}

/* Text in lines of at most HELP_WIDTH columns, broken between words; its own line ends stay. */
static void
help_text(FILE *f, const char *text)
{
	size_t at = 0;

	for (size_t n; *text != '\0'; text += n) {
		n = strcspn(text, " \n");
		if (at > 0 && at + 1 + n > HELP_WIDTH) {
			fputc('\n', f);
			at = 0;
		}
		at += (size_t)fprintf(f, "%s%.*s", at > 0 ? " " : "", (int)n, text);
		if (text[n] == '\n') {
			fputc('\n', f);
			at = 0;
		}
		n += text[n] != '\0';
	}
	if (at > 0)
		fputc('\n', f);
}

static void
help_cmd(FILE *f, const struct ctl_noun *n, const struct ctl_cmd *cmd)
{
	fprintf(f, "usage: ");
	help_usage(f, n, cmd);
	fprintf(f, "\n%c%s.\n", cmd->help[0] >= 'a' && cmd->help[0] <= 'z' ? cmd->help[0] - 'a' + 'A' : cmd->help[0], cmd->help + 1);
	if (cmd->more != NULL)
		help_text(f, cmd->more);
	if (cmd->args != NULL || cmd->opts != NULL)
		fputc('\n', f);
	help_opts(f, cmd->args, "");
	help_opts(f, cmd->opts, "--");
	fprintf(f, "\nOptions of every command: see 'sallyport help'.\n");
}

static void
help_noun(FILE *f, const struct ctl_noun *n)
{
	fprintf(f, "sallyport %s: %s\n\n", n->name, n->help);
	for (const struct ctl_cmd *cmd = n->cmds; cmd->verb != NULL; cmd++)
		fprintf(f, "  %-18s%s\n", cmd->verb[0] != 0 ? cmd->verb : "-", cmd->help);
	fprintf(f, "\nMore: sallyport help %s VERB\n", n->name);
}

static void
help_all(FILE *f)
{
	fprintf(f, "usage: sallyport [--json] NOUN VERB [arguments] [options]\n\n");
	for (size_t i = 0; ctl_nouns[i] != NULL; i++)
		if (!ctl_nouns[i]->hidden)
			fprintf(f, "  %-14s%s\n", ctl_nouns[i]->name, ctl_nouns[i]->help);
	fprintf(f, "\nOptions of every command:\n");
	help_opts(f, ctl_global_opts, "--");
	fprintf(f, "\nMore: sallyport help NOUN [VERB], man sallyport\n");
}

void
ctl_help(FILE *f, const struct ctl_noun *n, const struct ctl_cmd *cmd)
{
	if (n == NULL)
		help_all(f);
	else if (cmd == NULL)
		help_noun(f, n);
	else
		help_cmd(f, n, cmd);
}

static const struct ctl_opt help_args[] = {
	{ "COMMAND", CTL_LIST, "words", .flags = CTL_OPTIONAL | CTL_LOCAL, .help = "noun, or noun and verb" },
	CTL_END
};
static const struct ctl_opt help_opts_table[] = {
	{ "man", CTL_STR, .value = "PAGE", .choices = "sallyport.1|sallyport.conf.5", .flags = CTL_LOCAL,
	  .help = "print a manual page in mdoc(7)" },
	CTL_END
};

static enum sp_err
help_run(struct ctl *c)
{
	const json_t *words = json_object_get(c->local, "COMMAND");
	const char *page = ctl_local_str(c, "man"), *name = json_string_value(json_array_get(words, 0));
	const struct ctl_noun *n = NULL;
	const struct ctl_cmd *cmd = NULL;
	char *verb[4] = { NULL };
	int k = 0, used = 0;

	if (page != NULL) {
		(strcmp(page, "sallyport.1") == 0 ? ctl_man_sallyport : ctl_man_conf)(c->out);
		return SP_OK;
	}
	if (name != NULL && (n = ctl_noun_find(name)) == NULL)
		return ctl_fail(c, SP_EUSAGE, "there is no command \"%s\": see 'sallyport help'", name);
	for (size_t i = 1; i < json_array_size(words) && k < (int)SP_NELEMS(verb); i++)
		if ((verb[k] = strdup(json_string_value(json_array_get(words, i)))) != NULL)
			k++;
	if (n != NULL)
		cmd = ctl_cmd_find(n, k, verb, &used);
	ctl_help(c->out, n, k > 0 && used == 0 && cmd != NULL && cmd->verb[0] == 0 ? NULL : cmd);
	for (int i = 0; i < k; i++)
		sp_freep(&verb[i]);
	if (n != NULL && k > 0 && cmd == NULL)
		return ctl_fail(c, SP_EUSAGE, "%s has no such verb", n->name);
	return SP_OK;
}

static const struct ctl_cmd help_cmds[] = {
	{ "", "show help", .args = help_args, .opts = help_opts_table, .run = help_run },
	{ NULL }
};
const struct ctl_noun ctl_noun_help = { "help", "help for a noun or a verb", help_cmds };
