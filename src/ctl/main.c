/* src/ctl/main.c - `sallyport`, the command line: the list of nouns, the global options, and the usual way of a command
 * (parse, ask control, show). Process: the command line; started by a person or a script, asks control over its socket. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "ctl/call.h"
#include "ctl/nouns.h"

#define CTL_RUN_DIR	"/run/sallyport"
#define CTL_LINE_MAX	4096		/* bytes of one message */
#define CTL_WORDS_MAX	4		/* words of a verb */

const struct ctl_noun *const ctl_nouns[] = {
	&ctl_noun_key, &ctl_noun_totp, &ctl_noun_passwd, &ctl_noun_whoami,
	&ctl_noun_user, &ctl_noun_group, &ctl_noun_department, &ctl_noun_asset, &ctl_noun_asset_group, &ctl_noun_zone, &ctl_noun_account,
	&ctl_noun_ca, &ctl_noun_grant, &ctl_noun_import, &ctl_noun_export, &ctl_noun_sweep, &ctl_noun_session, &ctl_noun_command, &ctl_noun_rule_set, &ctl_noun_command_rule, &ctl_noun_file, &ctl_noun_recording, &ctl_noun_auditor, &ctl_noun_vault, &ctl_noun_access, &ctl_noun_audit, &ctl_noun_evidence,
	&ctl_noun_offense, &ctl_noun_alert, &ctl_noun_detection, &ctl_noun_rules, &ctl_noun_settings, &ctl_noun_outbox, &ctl_noun_mail, &ctl_noun_webhook, &ctl_noun_known_hosts, &ctl_noun_doctor, &ctl_noun_status,
	&ctl_noun_backup, &ctl_noun_restore, &ctl_noun_quarantine, &ctl_noun_breakglass,
	&ctl_noun_completion, &ctl_noun_version, &ctl_noun_help, NULL
};

const struct ctl_opt ctl_global_opts[] = {
	{ "json", CTL_FLAG, .flags = CTL_LOCAL, .help = "print JSON: a list is an array, newest first" },
	{ "socket", CTL_STR, .value = "PATH", .complete = "file", .flags = CTL_LOCAL,
	  .help = "control's socket (default: $SALLYPORT_SOCKET, or control.sock in the run directory)" },
	{ "run-dir", CTL_STR, .value = "DIR", .complete = "file", .flags = CTL_LOCAL,
	  .help = "directory of the sockets (default /run/sallyport)" },
	{ "as", CTL_STR, .value = "LOGIN", .complete = "user", .flags = CTL_LOCAL,
	  .help = "act as this user (only the local administrator may)" },
	{ "timeout", CTL_INT, .value = "SECONDS", .flags = CTL_LOCAL, .help = "wait this long for an answer (default 30)" },
	{ "help", CTL_FLAG, .flags = CTL_LOCAL, .help = "show the help of a command" },
	{ "version", CTL_FLAG, .flags = CTL_LOCAL, .help = "show the version" },
	CTL_END
};

static void
ctl_vline(FILE *f, const char *prefix, const char *fmt, va_list ap)
{
	char raw[CTL_LINE_MAX], safe[CTL_LINE_MAX * 4 + 8];

	vsnprintf(raw, sizeof(raw), fmt, ap);
	fprintf(f, "%s%s\n", prefix, sp_escape(raw, strlen(raw), safe, sizeof(safe)));
}

enum sp_err
ctl_fail(struct ctl *c, enum sp_err e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ctl_vline(c->err, "sallyport: ", fmt, ap);
	va_end(ap);
	return e;
}

void
ctl_note(struct ctl *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ctl_vline(c->err, "", fmt, ap);
	va_end(ap);
}

const struct ctl_noun *
ctl_noun_find(const char *name)
{
	for (size_t i = 0; ctl_nouns[i] != NULL; i++)
		if (strcmp(ctl_nouns[i]->name, name) == 0)
			return ctl_nouns[i];
	return NULL;
}

/* How many words of argv spell the verb; 0: it is another one. */
static int
cmd_match(const char *verb, int argc, char **argv)
{
	int words = 0;

	for (; *verb != 0 && words < argc && words < CTL_WORDS_MAX; words++) {
		size_t n = strcspn(verb, " ");

		if (strlen(argv[words]) != n || memcmp(argv[words], verb, n) != 0)
			return 0;
		verb += n + (verb[n] == ' ');
	}
	return *verb == 0 ? words : 0;
}

const struct ctl_cmd *
ctl_cmd_find(const struct ctl_noun *n, int argc, char **argv, int *ret_words)
{
	const struct ctl_cmd *best = NULL;
	int most = 0;

	for (const struct ctl_cmd *cmd = n->cmds; cmd->verb != NULL; cmd++) {
		int words = cmd_match(cmd->verb, argc, argv);

		if (words > most || (best == NULL && cmd->verb[0] == 0)) {
			best = cmd;
			most = words;
		}
	}
	*ret_words = most;
	return best;
}

/* "User {login} created." with names of parameters or of the answer. */
static enum sp_err
show_done(struct ctl *c, const json_t *body)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = CTL_LINE_MAX * 4 };
	const char *p = c->cmd->done;
	enum sp_err r = SP_OK;

	while (r == SP_OK && *p != 0) {
		size_t n = strcspn(p, "{"), k;
		char name[64];
		const json_t *v;

		r = sp_buf_append(&b, p, n);
		if (*(p += n) == 0)
			break;
		k = strcspn(p, "}");
		if (k < 2 || k > sizeof(name) || p[k] == 0)
			return SP_EINTERNAL;
		memcpy(name, p + 1, k - 1);
		name[k - 1] = 0;
		p += k + 1;
		if ((v = json_object_get(c->params, name)) == NULL)
			v = json_object_get(body, name);
		if (r == SP_OK)
			r = ctl_value(v, CTL_FMT_TEXT, 1, 0, &b);
	}
	if (r != SP_OK)
		return ctl_fail(c, r, "%s", sp_err_text(r));
	fprintf(c->out, "%s\n", sp_buf_cstr(&b));
	return SP_OK;
}

/* Lines that programs read (known_hosts, keys): whole or not at all. */
static enum sp_err
show_text(struct ctl *c, const json_t *body)
{
	const json_t *lines = json_is_object(body) ? json_object_get(body, "lines") : body;
	size_t i;
	json_t *v;

	if (json_is_string(lines)) {
		for (const char *s = json_string_value(lines); *s != 0; ) {
			size_t n = strcspn(s, "\n");

			if (!sp_text_is_plain(s, n))
				return ctl_fail(c, SP_EFORMAT, "control sent a line with control characters: see 'sallyport doctor'");
			fprintf(c->out, "%.*s\n", (int)n, s);
			s += n + (s[n] == '\n');
		}
		return SP_OK;
	}
	json_array_foreach(lines, i, v) {
		const char *s = json_string_value(json_is_object(v) ? json_object_get(v, "line") : v);

		if (s == NULL || !sp_text_is_plain(s, strlen(s)))
			return ctl_fail(c, SP_EFORMAT, "control sent a line with control characters: see 'sallyport doctor'");
		fprintf(c->out, "%s\n", s);
	}
	return SP_OK;
}

static enum sp_err
show_rows(struct ctl *c, const json_t *body)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = CTL_ANSWER_MAX };
	enum sp_err r;

	if (!json_is_array(body) || json_array_size(body) == 0) {
		if (c->cmd->empty != NULL)
			fprintf(c->out, "%s\n", c->cmd->empty);
		return SP_OK;
	}
	if ((r = ctl_table(c->cmd->cols, body, c->width, sp_wall_us(), &b)) != SP_OK)
		return ctl_fail(c, r, "cannot lay out the table: %s: use --json", sp_err_text(r));
	fwrite(b.p, 1, b.len, c->out);
	return SP_OK;
}

static enum sp_err
show_object(struct ctl *c, const json_t *body)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = CTL_ANSWER_MAX };
	enum sp_err r = ctl_card(c->cmd->cols, body, c->width, sp_wall_us(), &b);

	if (r != SP_OK)
		return ctl_fail(c, r, "cannot lay out the answer: %s: use --json", sp_err_text(r));
	fwrite(b.p, 1, b.len, c->out);
	return SP_OK;
}

enum sp_err
ctl_print_json(struct ctl *c, const json_t *body)
{
	/* On a terminal everything beyond ASCII is escaped, so that hostile names stay harmless there as well. */
	size_t flags = JSON_INDENT(2) | JSON_ENCODE_ANY | (c->is_tty ? JSON_ENSURE_ASCII : 0);

	if (json_dumpf(body, c->out, flags) != 0 || fputc('\n', c->out) == EOF)
		return ctl_fail(c, SP_EIO, "cannot write the answer: %s", strerror(errno));
	return SP_OK;
}

struct dated {
	const char	*when;		/* RFC 3339, UTC: sorts as text */
	size_t		 at;
	json_t		*row;
};

static int
dated_cmp(const void *pa, const void *pb)
{
	const struct dated *a = pa, *b = pb;
	int d = strcmp(b->when, a->when);

	return d != 0 ? d : (a->at > b->at) - (a->at < b->at);
}

/* What control gives in the order of names, newest first: for programs. Lists of what has no date stay as they are. */
static json_t *
rows_newest_first(const json_t *body)
{
	size_t n = json_array_size(body);
	sp_auto(sp_freep) struct dated *d = calloc(n + 1, sizeof(*d));
	json_t *sorted = json_array();

	for (size_t i = 0; i < n && d != NULL; i++) {
		const char *when = json_string_value(json_object_get(json_array_get(body, i), "created"));

		d[i] = (struct dated){ .when = when != NULL ? when : "", .at = i, .row = json_array_get(body, i) };
	}
	if (d != NULL)
		qsort(d, n, sizeof(*d), dated_cmp);
	for (size_t i = 0; i < n && d != NULL; i++)
		if (json_array_append(sorted, d[i].row) != 0)
			n = 0;
	if (d != NULL && sorted != NULL && json_array_size(sorted) == json_array_size(body))
		return sorted;
	json_decref(sorted);
	return NULL;
}

static enum sp_err
show_json(struct ctl *c, const json_t *body)
{
	ctl_auto_json *sorted = NULL;

	if (c->cmd->show != CTL_ROWS)
		return ctl_print_json(c, body);
	if ((sorted = rows_newest_first(body)) == NULL)
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	return ctl_print_json(c, sorted);
}

enum sp_err
ctl_show(struct ctl *c, const json_t *body)
{
	ctl_auto_json *none = NULL;

	if (body == NULL || (c->cmd->show == CTL_ROWS && !json_is_array(body))) {
		body = none = c->cmd->show == CTL_ROWS ? json_array() : json_object();
		if (body == NULL)
			return ctl_fail(c, SP_ENOMEM, "out of memory");
	}
	if (c->json)
		return show_json(c, body);
	if (c->cmd->done != NULL)
		CTL_TRY(show_done(c, body));
	switch (c->cmd->show) {
	case CTL_NONE:
		return SP_OK;
	case CTL_ROWS:
		return show_rows(c, body);
	case CTL_OBJECT:
		return show_object(c, body);
	case CTL_TEXT:
		return show_text(c, body);
	}
	return SP_EINTERNAL;
}

static enum sp_err
run_default(struct ctl *c)
{
	ctl_auto_json *body = NULL;

	if (c->cmd->fill != NULL)
		CTL_TRY(c->cmd->fill(c));
	CTL_TRY(ctl_call(c, c->cmd->method, c->params, &body));
	return ctl_show(c, body);
}

static enum sp_err
main_paths(struct ctl *c)
{
	const char *dir = ctl_local_str(c, "run-dir"), *path = ctl_local_str(c, "socket");
	int cut;

	if (path == NULL && dir == NULL)
		path = getenv("SALLYPORT_SOCKET");
	c->socket_named = path != NULL || dir != NULL;
	if (dir == NULL && path != NULL && strrchr(path, '/') != NULL) {
		/* The monitor's socket is the neighbour of control's. */
		cut = sp_snprintf(c->run_dir, sizeof(c->run_dir), "%.*s", (int)(strrchr(path, '/') - path), path);
	} else {
		cut = sp_strlcpy(c->run_dir, dir != NULL ? dir : CTL_RUN_DIR, sizeof(c->run_dir));
	}
	if (path != NULL)
		cut |= sp_strlcpy(c->socket, path, sizeof(c->socket));
	else
		cut |= sp_snprintf(c->socket, sizeof(c->socket), "%s/control.sock", c->run_dir);
	cut |= sp_snprintf(c->monitor_socket, sizeof(c->monitor_socket), "%s/monitor.sock", c->run_dir);
	return cut == 0 ? SP_OK : ctl_fail(c, SP_ESIZE, "the path of the socket is too long: use one below 96 bytes");
}

static enum sp_err
main_globals(struct ctl *c)
{
	int64_t s = ctl_local_int(c, "timeout", 30);

	c->json = ctl_local_flag(c, "json");
	c->as_user = ctl_local_str(c, "as");
	if (s < 1 || s > 86400)
		return ctl_fail(c, SP_EUSAGE, "--timeout: give 1 to 86400 seconds");
	c->timeout_ms = (int)s * 1000;
	return main_paths(c);
}

/* The verbs of a noun, for the message about a missing or unknown one. */
static enum sp_err
main_no_verb(struct ctl *c, const struct ctl_noun *n, const char *got)
{
	char verbs[512] = "";
	size_t used = 0;

	for (const struct ctl_cmd *cmd = n->cmds; cmd->verb != NULL && used < sizeof(verbs); cmd++)
		used += (size_t)snprintf(verbs + used, sizeof(verbs) - used, "%s%s", used > 0 ? ", " : "", cmd->verb);
	if (got == NULL)
		return ctl_fail(c, SP_EUSAGE, "%s: say what to do: %s", n->name, verbs);
	return ctl_fail(c, SP_EUSAGE, "%s: there is no \"%s\": use one of %s", n->name, got, verbs);
}

static enum sp_err
main_command(struct ctl *c, int argc, char **argv)
{
	int words = 0;

	if (ctl_local_flag(c, "version")) {
		fprintf(c->out, "sallyport %s\n", SP_VERSION);
		return SP_OK;
	}
	if (argc < 2) {
		ctl_help(ctl_local_flag(c, "help") ? c->out : c->err, NULL, NULL);
		return ctl_local_flag(c, "help") ? SP_OK : SP_EUSAGE;
	}
	if ((c->noun = ctl_noun_find(argv[1])) == NULL && c->place != NULL)
		return ctl_fail(c, SP_EUSAGE, "there is no command \"%s\": see 'help'. A target is named ACCOUNT@ASSET", argv[1]);
	if (c->noun == NULL)
		return ctl_fail(c, SP_EUSAGE, "there is no command \"%s\": see 'sallyport help'", argv[1]);
	c->cmd = ctl_cmd_find(c->noun, argc - 2, argv + 2, &words);
	if (ctl_local_flag(c, "help")) {
		ctl_help(c->out, c->noun, c->cmd);
		return SP_OK;
	}
	if (c->cmd == NULL)
		return main_no_verb(c, c->noun, argc > 2 ? argv[2] : NULL);
	CTL_TRY(ctl_parse(c, argc - 2 - words, argv + 2 + words));
	return c->cmd->run != NULL ? c->cmd->run(c) : run_default(c);
}

int
ctl_main(struct ctl *c, int argc, char **argv)
{
	enum sp_err r = SP_ENOMEM;

	c->params = json_object();
	c->local = json_object();
	if (c->params != NULL && c->local != NULL && (r = ctl_parse_globals(c, &argc, argv)) == SP_OK &&
	    (r = main_globals(c)) == SP_OK)
		r = main_command(c, argc, argv);
	if ((fflush(c->out) != 0 || ferror(c->out)) && r == SP_OK)
		r = ctl_fail(c, SP_EIO, "cannot write the output: is the disk full?");
	json_decref(c->params);
	json_decref(c->local);
	c->params = c->local = NULL;
	return r == SP_OK && c->failed ? 1 : sp_err_exit(r);
}
