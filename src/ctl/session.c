/* src/ctl/session.c - sallyport session: who is where, and how to end it. list and kill work without control, through
 * the monitor's own socket. */
#include <string.h>

#include "base/str.h"
#include "ctl/call.h"
#include "ctl/nouns.h"
#include "ctl/play.h"
#include "ctl/watch.h"

#define SESSION_CONTROL_MS	5000	/* before list and kill turn to the monitor */

static const struct ctl_col session_cols[] = {
	{ "id", "ID", .flags = CTL_COL_WHOLE },
	{ "state", "STATE" },
	{ "user", "USER" },
	{ "account", "ACCOUNT" },
	{ "asset", "ASSET" },
	{ "started", "AGE", CTL_FMT_AGE },
	{ "protocol", "PROTOCOL", .flags = CTL_COL_EXTRA },
	{ "source", "FROM", .flags = CTL_COL_EXTRA },
	{ "purpose", "REASON", .flags = CTL_COL_EXTRA },
	{ "path", "THROUGH", .flags = CTL_COL_EXTRA },
	{ "reason", "END", .flags = CTL_COL_EXTRA },
	{ "integrity", "EVIDENCE", .flags = CTL_COL_EXTRA },
	{ "ended", "ENDED", CTL_FMT_TIME, CTL_COL_CARD },
	{ "by", "ENDED BY", .flags = CTL_COL_CARD },
	{ "bytes_in", "BYTES IN", CTL_FMT_BYTES, CTL_COL_CARD },
	{ "bytes_out", "BYTES OUT", CTL_FMT_BYTES, CTL_COL_CARD },
	{ "pid", "PROCESS", .flags = CTL_COL_CARD },
	{ "scribe_pid", "RECORDER PROCESS", .flags = CTL_COL_CARD },
	{ "recording", "RECORDING", .flags = CTL_COL_CARD | CTL_COL_WHOLE },
	{ NULL }
};
static const struct ctl_opt session_arg[] = {
	{ "ID", CTL_STR, .complete = "session", .help = "id of the session, as 'session list' shows it" },
	CTL_END
};
#define SESSION_MONITOR_OPT \
	{ "monitor", CTL_FLAG, .flags = CTL_LOCAL, .help = "ask the monitor, not control (root or the owner only)" }
static const struct ctl_opt session_list_opts[] = {
	{ "state", CTL_STR, .value = "STATE", .choices = "live|ended", .help = "only live or only ended ones" },
	{ "user", CTL_STR, .value = "LOGIN", .complete = "user", .help = "only of this user" },
	{ "asset", CTL_STR, .value = "NAME", .complete = "asset", .help = "only on this asset" },
	{ "limit", CTL_INT, .value = "N", .help = "at most so many, the newest (1000)" },
	SESSION_MONITOR_OPT,
	CTL_END
};
static const struct ctl_opt session_kill_args[] = {
	{ "ID", CTL_STR, .complete = "session", .help = "id of the session" },
	{ "REASON", CTL_WORDS, .flags = CTL_OPTIONAL, .help = "shown to the user and kept in the record" },
	CTL_END
};
static const struct ctl_opt session_kill_opts[] = {
	{ "reason", CTL_STR, .value = "TEXT", .help = "the same as an option" },
	SESSION_MONITOR_OPT,
	CTL_END
};
static const struct ctl_opt session_lock_opts[] = {
	{ "reason", CTL_STR, .value = "TEXT", .help = "shown to the user and kept in the record" },
	CTL_END
};
static const struct ctl_opt session_message_args[] = {
	{ "ID", CTL_STR, .complete = "session", .help = "id of the session" },
	{ "TEXT", CTL_WORDS, .help = "one line for the user" },
	CTL_END
};

/* Control first; if it cannot be reached or does not answer in time, the monitor. */
static enum sp_err
session_run_anyway(struct ctl *c)
{
	ctl_auto_answer a = { .fd = -1 };
	int forced = ctl_local_flag(c, "monitor");

	if (!forced) {
		int ms = c->timeout_ms < SESSION_CONTROL_MS ? c->timeout_ms : SESSION_CONTROL_MS;

		ctl_ask(c, SP_PROC_CONTROL, c->cmd->method, c->params, ms, &a);
		if (a.err != SP_OK && !a.reached && a.err != SP_EACCES && a.err != SP_ESIZE && a.err != SP_ENOMEM) {
			ctl_auto_answer m = { .fd = -1 };

			if (ctl_ask(c, SP_PROC_MONITOR, c->cmd->method, c->params, c->timeout_ms, &m) != SP_OK && !m.reached)
				return ctl_answer_fail(c, &a);	/* neither is there: control's trouble is the one to tell */
			ctl_note(c, "sallyport: control does not answer; this comes from the monitor");
			if (m.err != SP_OK)
				return ctl_answer_fail(c, &m);
			return ctl_show(c, m.body);
		}
	} else {
		ctl_ask(c, SP_PROC_MONITOR, c->cmd->method, c->params, c->timeout_ms, &a);
	}
	if (a.err != SP_OK)
		return ctl_answer_fail(c, &a);
	return ctl_show(c, a.body);
}

static void
session_title(struct ctl *c, char *dst, size_t size)
{
	ctl_auto_answer a = { .fd = -1 };
	const char *id = json_string_value(json_object_get(c->params, "id"));
	char raw[512];

	if (ctl_ask(c, SP_PROC_CONTROL, "session.show", c->params, c->timeout_ms, &a) != SP_OK ||
	    json_string_value(json_object_get(a.body, "user")) == NULL)
		(void)sp_strlcpy(raw, id, sizeof(raw));
	else
		sp_snprintf(raw, sizeof(raw), "%s on %s@%s", json_string_value(json_object_get(a.body, "user")),
		    json_string_value(json_object_get(a.body, "account")) != NULL ?
		    json_string_value(json_object_get(a.body, "account")) : "?",
		    json_string_value(json_object_get(a.body, "asset")) != NULL ?
		    json_string_value(json_object_get(a.body, "asset")) : "?");
	sp_escape(raw, strlen(raw), dst, size);
}

static enum sp_err
session_run_watch(struct ctl *c)
{
	ctl_auto_answer a = { .fd = -1 };
	char title[1024];

	if (c->json)
		return ctl_fail(c, SP_EUSAGE, "session watch shows a screen: leave out --json");
	if (c->place != NULL)
		return ctl_fail(c, SP_EUSAGE, "session watch is for the command line on the bastion itself, not for SSH");
	if (ctl_ask(c, SP_PROC_CONTROL, "session.watch", c->params, c->timeout_ms, &a) != SP_OK)
		return ctl_answer_fail(c, &a);
	if (a.fd < 0)
		return ctl_fail(c, SP_EFORMAT, "control gave no stream: restart sallyport after its upgrade");
	session_title(c, title, sizeof(title));
	return ctl_watch(c, sp_steal_fd(&a.fd), title);
}

static const struct ctl_cmd session_cmds[] = {
	{ "list", "list sessions, newest first", .opts = session_list_opts, .method = "session.list", .show = CTL_ROWS,
	  .cols = session_cols, .empty = "No sessions.", .run = session_run_anyway,
	  .more = "While control is down, live sessions are listed from the monitor's memory." },
	{ "show", "show a session and why it ended", .args = session_arg, .method = "session.show", .show = CTL_OBJECT,
	  .cols = session_cols },
	{ "watch", "show a live terminal, read-only; q quits", .args = session_arg, .method = "session.watch",
	  .run = session_run_watch,
	  .more = "The screen is drawn from cells by a process that may do nothing but draw: no escape sequence of the target "
	    "reaches your terminal. When the output is no terminal, changed lines are printed as plain text." },
	{ "play", "show a recording; space pauses, q quits", .args = ctl_play_args, .opts = ctl_play_opts, .method = "recording.open",
	  .run = ctl_play,
	  .more = "Rendered from cells, as 'session watch' does: no title, clipboard or query sequence of the target reaches your terminal. "
	    "When the output is no terminal, the text of the screen is printed. A recording that its recorder did not end is joined with its "
	    "tail files." },
	{ "export", "write a recording as asciicast, as text, or encrypted as it is", .args = ctl_play_args, .opts = ctl_export_opts,
	  .method = "recording.open", .run = ctl_session_export,
	  .more = "With --format cast the result is what 'age -d -i KEY FILE | zstd -d' gives, for asciinema." },
	{ "kill", "end a session at once: shell, transfers and forwards", .args = session_kill_args, .opts = session_kill_opts,
	  .method = "session.kill", .done = "Session {id} killed.", .run = session_run_anyway,
	  .more = "The user reads who ended it and the reason. Works while control is down, through the monitor, as root." },
	{ "lock", "end a session and refuse new ones of its user", .args = session_arg, .opts = session_lock_opts,
	  .method = "session.lock", .done = "Session {id} locked." },
	{ "message", "show a line to the user of a session", .args = session_message_args, .method = "session.message",
	  .done = "Message shown." },
	{ NULL }
};
const struct ctl_noun ctl_noun_session = { "session", "live and past sessions: list, watch, kill", session_cmds };
