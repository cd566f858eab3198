/* src/ctl/offense.c - sallyport detection, alert, offense: rules over events, what they found, what is done about it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "ctl/call.h"
#include "ctl/nouns.h"

#define TEXT_MAX	16383

/* ---- detection ---- */

static const struct ctl_col detection_cols[] = {
	{ "name", "NAME" },
	{ "state", "STATE" },
	{ "updated", "CHANGED", CTL_FMT_TIME },
	{ "text", "TEXT", .flags = CTL_COL_CARD },
	{ "id", "ID", .flags = CTL_COL_WHOLE | CTL_COL_CARD },
	{ NULL }
};
static const struct ctl_opt name_arg[] = {
	{ "NAME", CTL_STR, .complete = "detection", .help = "name of the detection" },
	CTL_END
};
static const struct ctl_opt add_args[] = {
	{ "NAME", CTL_STR, .help = "name of the detection" },
	{ "FILE", CTL_STR, .param = "file", .complete = "file", .flags = CTL_LOCAL, .help = "its rules, YAML; -: standard input" },
	CTL_END
};
static const struct ctl_opt add_opts[] = {
	{ "replace", CTL_FLAG, .help = "change the one of that name, if there is one" },
	CTL_END
};
static const struct ctl_col install_cols[] = {
	{ "name", "NAME" },
	{ "result", "RESULT" },
	{ NULL }
};
static const struct ctl_col siem_cols[] = {
	{ "running", "Running" },
	{ "detections", "Detections" },
	{ "judged", "Entries judged" },
	{ "behind", "Entries waiting" },
	{ "groups", "Groups counted" },
	{ "evicted", "Groups given up" },
	{ "alerts_waiting", "Alerts waiting" },
	{ NULL }
};

static enum sp_err
add_fill(struct ctl *c)
{
	const char *path = ctl_local_str(c, "FILE");
	sp_auto(sp_closep) int fd = -1;
	char text[TEXT_MAX + 2];
	size_t n = 0;
	ssize_t k;

	CTL_TRY(ctl_check_file(c, "FILE", path));
	if ((fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return ctl_fail(c, sp_err_errno(errno), "%s: %s", path, strerror(errno));
	while (n < sizeof(text) - 1 && (k = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)k;
	text[n] = '\0';
	if (n > TEXT_MAX)
		return ctl_fail(c, SP_ESIZE, "%s: a detection has %d bytes at most; put its rules into several", path, TEXT_MAX);
	if (strlen(text) != n || !sp_utf8_valid(text, n))
		return ctl_fail(c, SP_EFORMAT, "%s is no UTF-8 text", path);
	json_object_set_new(c->params, "text", json_string(text));
	return SP_OK;
}

static const struct ctl_cmd detection_cmds[] = {
	{ "add", "add rules over events, with what follows when they fire", .args = add_args, .opts = add_opts, .method = "detection.add",
	  .fill = add_fill, .done = "Detection {name} is in force.",
	  .more = "The rules are Sigma with a block 'sallyport:' that says what the offense is about and what follows: docs/rules.md. What "
	      "does not load is refused with its line. Events from now on are judged by it." },
	{ "install", "add the detections that come with Sallyport", .method = "detection.install", .show = CTL_ROWS, .cols = install_cols, .empty = "Nothing to install.",
	  .more = "What is there already stays as it is, also where it was changed or turned off." },
	{ "list", "list detections", .method = "detection.list", .show = CTL_ROWS, .cols = detection_cols,
	  .empty = "No detections: 'sallyport detection install' adds those that come with Sallyport." },
	{ "show", "show a detection with its text", .args = name_arg, .method = "detection.show", .show = CTL_OBJECT, .cols = detection_cols },
	{ "enable", "turn a detection on", .args = name_arg, .method = "detection.enable", .done = "Detection {name} is in force." },
	{ "disable", "turn a detection off", .args = name_arg, .method = "detection.disable", .done = "Detection {name} is off." },
	{ "delete", "delete a detection", .args = name_arg, .method = "detection.delete", .done = "Detection {name} deleted." },
	{ "status", "say how far events were judged", .method = "siem.status", .show = CTL_OBJECT, .cols = siem_cols },
	{ NULL }
};
const struct ctl_noun ctl_noun_detection = { "detection", "rules over events, and what follows when they fire", detection_cmds };

/* ---- alert ---- */

static const struct ctl_opt list_opts[] = {
	{ "text", CTL_STR, .value = "TEXT", .help = "whose name or rule has this" },
	{ "limit", CTL_INT, .value = "N", .help = "at most so many, the newest (1000)" },
	CTL_END
};
static const struct ctl_col alert_cols[] = {
	{ "time", "TIME", CTL_FMT_TIME },
	{ "severity", "SEVERITY" },
	{ "title", "WHAT" },
	{ "value", "ABOUT", .flags = CTL_COL_EXTRA },
	{ "rule", "RULE", .flags = CTL_COL_EXTRA },
	{ "category", "CATEGORY", .flags = CTL_COL_EXTRA },
	{ "offense", "OFFENSE", .flags = CTL_COL_WHOLE | CTL_COL_EXTRA },
	{ NULL }
};
static const struct ctl_cmd alert_cmds[] = {
	{ "list", "list alerts, newest first", .opts = list_opts, .method = "alert.list", .show = CTL_ROWS, .cols = alert_cols,
	  .empty = "No alerts." },
	{ NULL }
};
const struct ctl_noun ctl_noun_alert = { "alert", "rules that fired", alert_cmds };

/* ---- offense ---- */

static const struct ctl_col offense_cols[] = {
	{ "state", "STATE" },
	{ "severity", "SEVERITY" },
	{ "about", "ABOUT" },
	{ "title", "WHAT" },
	{ "alerts", "ALERTS", .flags = CTL_COL_RIGHT },
	{ "last", "LAST", CTL_FMT_AGE },
	{ "owner", "OWNER", .flags = CTL_COL_EXTRA },
	{ "category", "CATEGORY", .flags = CTL_COL_EXTRA },
	{ "id", "ID", .flags = CTL_COL_WHOLE },
	{ "protected", "PROTECTED", .flags = CTL_COL_CARD },
	{ "opened", "OPENED", CTL_FMT_TIME, CTL_COL_CARD },
	{ "closed", "CLOSED", CTL_FMT_TIME, CTL_COL_CARD },
	{ "closed_by", "CLOSED BY", .flags = CTL_COL_CARD },
	{ "reason", "REASON", .flags = CTL_COL_CARD },
	{ NULL }
};
static const struct ctl_col category_cols[] = {
	{ "key", "KEY" },
	{ "high", "CATEGORY" },
	{ "low", "OF IT" },
	{ "high_zh", "类别" },
	{ "low_zh", "子类别" },
	{ NULL }
};
static const struct ctl_opt offense_list_opts[] = {
	{ "state", CTL_STR, .value = "STATE", .choices = "open|dormant|closed", .help = "only those" },
	{ "text", CTL_STR, .value = "TEXT", .help = "whose title or user has this" },
	{ "limit", CTL_INT, .value = "N", .help = "at most so many, the newest (1000)" },
	CTL_END
};
static const struct ctl_opt id_arg[] = {
	{ "ID", CTL_STR, .help = "id of the offense" },
	CTL_END
};
static const struct ctl_opt assign_args[] = {
	{ "ID", CTL_STR, .help = "id of the offense" },
	{ "OWNER", CTL_STR, .complete = "user", .help = "who works on it" },
	CTL_END
};
static const struct ctl_opt note_args[] = {
	{ "ID", CTL_STR, .help = "id of the offense" },
	{ "NOTE", CTL_WORDS, .help = "what was found, or done" },
	CTL_END
};
static const struct ctl_opt close_args[] = {
	{ "ID", CTL_STR, .help = "id of the offense" },
	{ "REASON", CTL_STR, .choices = "resolved|false-positive|policy|duplicate|other", .help = "why it is closed" },
	{ "NOTE", CTL_WORDS, .help = "what was found, and done" },
	CTL_END
};

static const struct {
	const char	*key, *head;
	const struct ctl_col cols[6];
} parts[] = {
	{ "responses", "Responses", { { "time", "TIME", CTL_FMT_TIME }, { "action", "ACTION" }, { "target", "TARGET" }, { "state", "STATE" },
	    { "text", "WHY", .flags = CTL_COL_EXTRA }, { NULL } } },
	{ "events", "Events", { { "wall", "TIME", CTL_FMT_TIME }, { "kind", "KIND" }, { "actor", "WHO" }, { "text", "WHAT" },
	    { "session", "SESSION", .flags = CTL_COL_EXTRA }, { NULL } } },
	{ "alert_rows", "Alerts", { { "time", "TIME", CTL_FMT_TIME }, { "severity", "SEVERITY" }, { "title", "WHAT" },
	    { "rule", "RULE", .flags = CTL_COL_EXTRA }, { "entry", "ENTRY", .flags = CTL_COL_EXTRA }, { NULL } } },
	{ "notes", "Notes", { { "time", "TIME", CTL_FMT_TIME }, { "by", "BY" }, { "text", "NOTE" }, { NULL } } },
};

static enum sp_err
show_run(struct ctl *c)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = (size_t)64 << 20 };
	ctl_auto_json *body = NULL;

	CTL_TRY(ctl_call(c, c->cmd->method, c->params, &body));
	if (c->json)
		return ctl_print_json(c, body);
	for (size_t i = 0; i < SP_NELEMS(parts); i++) {
		const json_t *rows = json_object_get(body, parts[i].key);

		if (json_array_size(rows) > 0) {
			CTL_TRY(sp_buf_printf(&b, "\n%s\n", parts[i].head));
			CTL_TRY(ctl_table(parts[i].cols, rows, c->width, sp_wall_us(), &b));
		}
		json_object_del(body, parts[i].key);
	}
	json_object_del(body, "category_key");
	CTL_TRY(ctl_show(c, body));
	fwrite(b.p, 1, b.len, c->out);
	return SP_OK;
}

static enum sp_err
unprotect_fill(struct ctl *c)
{
	json_object_set_new(c->params, "off", json_true());
	return SP_OK;
}

static const struct ctl_cmd offense_cmds[] = {
	{ "list", "list offenses, newest first", .opts = offense_list_opts, .method = "offense.list", .show = CTL_ROWS, .cols = offense_cols,
	  .empty = "No offenses." },
	{ "show", "show an offense with its events, alerts, responses and notes", .args = id_arg, .method = "offense.show", .show = CTL_OBJECT,
	  .cols = offense_cols, .run = show_run },
	{ "assign", "say who works on it", .args = assign_args, .method = "offense.assign", .done = "{owner} works on it." },
	{ "note", "add a note", .args = note_args, .method = "offense.note", .done = "Noted." },
	{ "close", "close it; what was counted is forgotten, and counting begins anew", .args = close_args, .method = "offense.close",
	  .done = "Closed." },
	{ "protect", "never close it by time", .args = id_arg, .method = "offense.protect", .done = "It stays until somebody closes it." },
	{ "unprotect", "close it by time again", .args = id_arg, .method = "offense.protect", .fill = unprotect_fill,
	  .done = "It closes when nothing is added to it." },
	{ "allow", "carry out a response that waits for a word", .args = id_arg, .method = "offense.allow",
	  .done = "{action} {target}: {state}. {text}" },
	{ "categories", "list what rules may say an offense is about", .method = "offense.categories", .show = CTL_ROWS, .cols = category_cols, .empty = "None." },
	{ NULL }
};
const struct ctl_noun ctl_noun_offense = { "offense", "alerts about one user, address or server, and what was done", offense_cmds };
