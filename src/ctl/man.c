/* src/ctl/man.c - manual pages in mdoc(7) from the tables: sallyport(1) and sallyport.conf(5). Run at build time. */
#include <string.h>

#include "base/str.h"
#include "ctl/nouns.h"

/* Text with what roff would take for its own escaped. Sentences start on new lines, as mdoc wants it. */
static void
man_text(FILE *f, const char *s)
{
	int start = 1;

	for (; *s != 0; s++) {
		if (start && (*s == '.' || *s == '\''))
			fputs("\\&", f);
		start = 0;
		if (*s == '\\')
			fputs("\\e", f);
		else if (*s == '-')
			fputs("\\-", f);
		else if (*s == '.' && s[1] == ' ') {
			fputs(".\n", f);
			s++;
			start = 1;
		} else
			fputc(*s, f);
	}
}

static void
man_sentence(FILE *f, const char *s)
{
	size_t n = strlen(s);
	char first[2] = { s[0] >= 'a' && s[0] <= 'z' ? (char)(s[0] - 'a' + 'A') : s[0], 0 };

	man_text(f, first);
	man_text(f, s + 1);
	fputs(n > 0 && s[n - 1] == '.' ? "\n" : ".\n", f);
}

/* A word as macro argument: quoted, so that blanks and macro names inside do no harm. */
static void
man_word(FILE *f, const char *s)
{
	fputs(" \"", f);
	for (; *s != 0; s++) {
		if (*s == '"')
			fputs("\"\"", f);
		else if (*s == '\\')
			fputs("\\e", f);
		else if (*s == '-')
			fputs("\\-", f);
		else
			fputc(*s, f);
	}
	fputs("\"", f);
}

static void
man_opts(FILE *f, const struct ctl_opt *opts, int dashes)
{
	if (opts == NULL || opts->name == NULL)
		return;
	fputs(".Bl -tag -width Ds\n", f);
	for (const struct ctl_opt *o = opts; o->name != NULL; o++) {
		fputs(dashes ? ".It Fl" : ".It Ar", f);
		if (dashes) {
			char name[80];

			sp_snprintf(name, sizeof(name), "-%s", o->name);
			man_word(f, name);
			if (o->value != NULL) {
				fputs(" Ar", f);
				man_word(f, o->value);
			}
		} else {
			man_word(f, o->name);
		}
		fputc('\n', f);
		man_sentence(f, o->help);
		if (o->choices != NULL) {
			fputs("Values: ", f);
			for (const char *p = o->choices; *p != 0; p++)
				if (*p == '|')
					fputs(", ", f);
				else
					fputs(*p == '-' ? "\\-" : (char[]){ *p, 0 }, f);
			fputs(".\n", f);
		}
	}
	fputs(".El\n", f);
}

static void
man_cmd(FILE *f, const struct ctl_noun *n, const struct ctl_cmd *cmd)
{
	fputs(".It Xo\n.Cm", f);
	man_word(f, n->name);
	if (cmd->verb[0] != 0)
		man_word(f, cmd->verb);
	fputc('\n', f);
	for (const struct ctl_opt *o = cmd->args; o != NULL && o->name != NULL; o++) {
		fputs(o->flags & CTL_OPTIONAL ? ".Op Ar" : ".Ar", f);
		man_word(f, o->name);
		fputc('\n', f);
	}
	for (const struct ctl_opt *o = cmd->opts; o != NULL && o->name != NULL; o++)
		if (!(o->flags & CTL_REQUIRED)) {
			fputs(".Op Ar options\n", f);
			break;
		}
	fputs(".Xc\n", f);
	man_sentence(f, cmd->help);
	if (cmd->more != NULL) {
		man_text(f, cmd->more);
		fputc('\n', f);
	}
	man_opts(f, cmd->args, 0);
	man_opts(f, cmd->opts, 1);
}

static const char man_head[] =
	".Dd November 21, 2026\n"
	".Dt SALLYPORT 1\n"
	".Os\n"
	".Sh NAME\n"
	".Nm sallyport\n"
	".Nd administer a Sallyport gateway\n"
	".Sh SYNOPSIS\n"
	".Nm\n"
	".Op Ar options\n"
	".Ar noun\n"
	".Op Ar verb\n"
	".Op Ar arguments\n"
	".Sh DESCRIPTION\n"
	".Nm\n"
	"asks the running gateway over a local socket and shows its answer, as a table for people or, with\n"
	".Fl \\-json ,\n"
	"as JSON for programs.\n"
	"Who the caller is follows from the system account: root, and the owner of the installation, act as the local\n"
	"administrator; any other account must be bound to a user with\n"
	".Cm user update Fl \\-os\\-uid .\n"
	"Objects are named by name or by id.\n"
	"The same commands are given over SSH, see\n"
	".Xr sallyport 7 .\n"
	".Pp\n"
	"Secrets are never arguments: they come from the terminal, a file or a descriptor, and are sealed to the vault's\n"
	"public key before they leave this program.\n"
	".Pp\n"
	"A table that is wider than the terminal is narrowed; where that is not enough, each row is shown as a block of lines.\n"
	"Control characters and other bytes that could confuse a terminal are shown as\n"
	".Sq \\exNN .\n"
	".Pp\n"
	"Options that every command takes:\n";

static const char man_tail[] =
	".Sh ENVIRONMENT\n"
	".Bl -tag -width Ds\n"
	".It Ev SALLYPORT_SOCKET\n"
	"Path of the gateway's socket, unless\n"
	".Fl \\-socket\n"
	"or\n"
	".Fl \\-run\\-dir\n"
	"is given.\n"
	".El\n"
	".Sh FILES\n"
	".Bl -tag -width Ds\n"
	".It Pa /run/sallyport/control.sock\n"
	"Socket of the gateway.\n"
	".It Pa /run/sallyport/monitor.sock\n"
	"Socket of the monitor: lists and kills sessions while the gateway's control process is down.\n"
	".It Pa /etc/sallyport/sallyport.conf\n"
	"Configuration, see\n"
	".Xr sallyport.conf 5 .\n"
	".El\n"
	".Sh EXIT STATUS\n"
	".Bl -tag -width Ds -compact\n"
	".It 0\n"
	"done\n"
	".It 1\n"
	".Cm doctor\n"
	"found something to mend\n";

static const char man_examples[] =
	".El\n"
	".Sh EXAMPLES\n"
	"From an empty installation to the first session:\n"
	".Bd -literal -offset indent\n"
	"sallyport vault init \\-\\-slot keyfile \\-\\-keyfile /etc/sallyport/vault.key \\e\n"
	"    \\-\\-admin alice \\-\\-admin\\-key alice.pub\n"
	"sallyport ca create main\n"
	"sallyport asset create web1 10.0.0.5\n"
	"sallyport account create root@web1 \\-\\-ca main\n"
	"sallyport user create bob \\-\\-key bob.pub\n"
	"sallyport grant create \\-\\-user bob \\-\\-asset web1 \\-\\-account root \\-\\-until +30d\n"
	"ssh \\-t \\-p 2222 bob@gateway root@web1\n"
	".Ed\n"
	".Pp\n"
	"Watch a session, then end it:\n"
	".Bd -literal -offset indent\n"
	"sallyport session list \\-\\-state live\n"
	"sallyport session watch ID\n"
	"sallyport session kill ID \\-\\-reason \\(dqmaintenance begins\\(dq\n"
	".Ed\n"
	".Sh SEE ALSO\n"
	".Xr sallyport.conf 5 ,\n"
	".Xr sallyport 7 ,\n"
	".Xr sallyport\\-monitor 8\n";

/* Exit statuses, one line for each number that errors map to. */
static void
man_exits(FILE *f)
{
	for (int status = 2; status < 256; status++) {
		const char *gap = "";

		for (int e = 1; e < SP_ERR_N; e++) {
			if (sp_err_exit((enum sp_err)e) != status)
				continue;
			if (gap[0] == 0)
				fprintf(f, ".It %d\n", status);
			fprintf(f, "%s%s", gap, sp_err_text((enum sp_err)e));
			gap = "; ";
		}
		if (gap[0] != 0)
			fputc('\n', f);
	}
}

void
ctl_man_sallyport(FILE *f)
{
	fputs(man_head, f);
	man_opts(f, ctl_global_opts, 1);
	fputs(".Sh COMMANDS\n", f);
	for (size_t i = 0; ctl_nouns[i] != NULL; i++) {
		const struct ctl_noun *n = ctl_nouns[i];

		if (n->hidden)
			continue;
		fputs(".Ss", f);
		man_word(f, n->name);
		fputc('\n', f);
		man_sentence(f, n->help);
		fputs(".Bl -tag -width Ds\n", f);
		for (const struct ctl_cmd *cmd = n->cmds; cmd->verb != NULL; cmd++)
			man_cmd(f, n, cmd);
		fputs(".El\n", f);
	}
	fputs(man_tail, f);
	man_exits(f);
	fputs(man_examples, f);
}

/* ---- sallyport.conf(5) */

#define S(n) ((int64_t)(n) * 1000000)

static void
man_conf_limits(FILE *f, const char *type, int64_t least, int64_t most)
{
	if (strcmp(type, "DURATION") == 0)
		fprintf(f, "A duration (90, 90s, 15m, 4h, 7d), %lld to %lld seconds.\n", (long long)(least / S(1)), (long long)(most / S(1)));
	else if (strcmp(type, "INT") == 0)
		fprintf(f, "A number, %lld to %lld.\n", (long long)least, (long long)most);
	else if (strcmp(type, "BOOL") == 0)
		fputs("yes or no.\n", f);
	else if (strcmp(type, "PATH") == 0)
		fputs("An absolute path.\n", f);
}

static void
man_conf_field(FILE *f, const char *name, const char *type, const char *def, int64_t least, int64_t most, const char *help)
{
	fputs(".It Cm", f);
	man_word(f, name);
	fputc('\n', f);
	man_sentence(f, help);
	man_conf_limits(f, type, least, most);
	if (def == NULL) {
		fputs("Not set by default.\n", f);
		return;
	}
	fputs("Default:\n.Bd -literal -offset indent\n", f);
	for (const char *p = def; *p != 0; ) {		/* long lists: one value per line */
		size_t n = strlen(def) > 60 ? strcspn(p, ",") + 1 : strlen(p);
		char line[512];

		sp_snprintf(line, sizeof(line), "%.*s", (int)n, p);
		man_text(f, line);
		fputc('\n', f);
		p += strlen(p) < n ? strlen(p) : n;
	}
	fputs(".Ed\n", f);
}

void
ctl_man_conf(FILE *f)
{
	fputs(".Dd November 21, 2026\n.Dt SALLYPORT.CONF 5\n.Os\n.Sh NAME\n.Nm sallyport.conf\n.Nd configuration of a Sallyport gateway\n"
	    ".Sh DESCRIPTION\nOne setting a line, key and value separated by blanks.\nA line that begins with # is a comment.\n"
	    "A key that may be repeated adds a value each time; the first one replaces the default.\n"
	    "The file is taken whole or not at all: on SIGHUP a bad file is refused with its name and line, and the old settings stay.\n"
	    ".Sh SETTINGS\n.Bl -tag -width Ds\n", f);
#define CONF(field, type, def, least, most, help) man_conf_field(f, #field, #type, def, least, most, help);
#include "common/config.def"
#undef CONF
	fputs(".El\n.Sh FILES\n.Bl -tag -width Ds\n.It Pa /etc/sallyport/sallyport.conf\nDefault place of this file.\n.El\n"
	    ".Sh SEE ALSO\n.Xr sallyport 1 ,\n.Xr sallyport 7 ,\n.Xr sallyport\\-monitor 8\n", f);
}
