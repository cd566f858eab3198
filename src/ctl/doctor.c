/* src/ctl/doctor.c - sallyport doctor: checks an installation from outside (files, sockets, clock, disk), then asks
 * control for its own checks. Each line that fails says what to mend. Exit status 1 if any does. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "common/config.h"
#include "ctl/call.h"
#include "ctl/nouns.h"

#define DOCTOR_FRESH_US		INT64_C(1704067200000000)	/* 2024-01-01: no clock of a running system is older */
#define DOCTOR_INODES_MIN	1000

static const struct ctl_opt doctor_opts[] = {
	{ "config", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL,
	  .help = "configuration to check (default /etc/sallyport/sallyport.conf)" },
	{ "rows", CTL_FLAG, .flags = CTL_LOCAL, .help = "look through the whole database for rows that were changed behind Sallyport's back" },
	{ "accept", CTL_STR, .value = "TABLE", .flags = CTL_LOCAL, .help = "believe the row ID of that table as it stands (root only, audited); clock now: the machine's clock is right" },
	{ "remove", CTL_STR, .value = "TABLE", .flags = CTL_LOCAL, .help = "remove the row ID of that table (root only, audited)" },
	CTL_END
};
static const struct ctl_opt doctor_args[] = {
	{ "ID", CTL_STR, .flags = CTL_OPTIONAL | CTL_LOCAL, .help = "the row, as --rows prints it, with --accept and --remove" },
	CTL_END
};

struct doctor {
	struct ctl		*c;
	json_t			*rows;		/* owned */
	struct sp_config	*conf;		/* owned; NULL: could not be read */
	unsigned		 failed;
};

static void
doctor_row(struct doctor *d, const char *check, int ok, const char *fmt, ...) SP_PRINTF(4, 5);

static void
doctor_row(struct doctor *d, const char *check, int ok, const char *fmt, ...)
{
	char text[1024];
	json_t *row;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	d->failed += !ok;
	if ((row = json_pack("{s:s, s:b, s:s}", "check", check, "ok", ok, "text", text)) != NULL)
		json_array_append_new(d->rows, row);
}

static void
doctor_config(struct doctor *d)
{
	const char *path = ctl_local_str(d->c, "config"), *name = path != NULL ? path : SP_CONFIG_PATH_DEFAULT;
	sp_auto(sp_freep) char *text = malloc(SP_CONF_FILE + 1);
	struct sp_config *conf = malloc(sizeof(*conf));
	char why[512] = "";
	FILE *f = fopen(name, "re");
	size_t n = 0;

	if (f == NULL && errno != ENOENT)
		doctor_row(d, "configuration", errno == EACCES && path == NULL, "%s: %s: run as root to check it", name, strerror(errno));
	else if (f == NULL && path != NULL)
		doctor_row(d, "configuration", 0, "%s: %s: name an existing file", name, strerror(errno));
	if (f != NULL && text != NULL)
		n = fread(text, 1, SP_CONF_FILE + 1, f);
	if (text != NULL && conf != NULL && n > SP_CONF_FILE)
		doctor_row(d, "configuration", 0, "%s: longer than %d bytes: is it the right file?", name, SP_CONF_FILE);
	else if (text != NULL && conf != NULL && sp_config_parse(name, text, n, conf, why, sizeof(why)) != SP_OK)
		doctor_row(d, "configuration", 0, "%s", why);
	else if (text != NULL && conf != NULL) {
		if (f != NULL)
			doctor_row(d, "configuration", 1, "%s is well-formed", name);
		d->conf = sp_steal(&conf);
	}
	if (f != NULL)
		fclose(f);
	free(conf);
}

static void
doctor_clock(struct doctor *d)
{
	char text[SP_RFC3339_SIZE];
	int64_t now = sp_wall_us();

	sp_rfc3339(now, text, sizeof(text));
	if (now < DOCTOR_FRESH_US)
		doctor_row(d, "clock", 0, "%s is long past: set the clock and start a time service (systemctl enable --now systemd-timesyncd)",
		    text);
	else
		doctor_row(d, "clock", 1, "%s", text);
}

static void
doctor_disk(struct doctor *d)
{
	const char *dir = d->conf != NULL ? d->conf->state_dir : NULL;
	uint64_t least_mb = d->conf != NULL ? (uint64_t)d->conf->reserve_mb * 2 : 0, free_mb;
	struct statvfs v;

	if (dir == NULL || (statvfs(dir, &v) == -1 && errno == ENOENT && ctl_local_str(d->c, "config") == NULL))
		return;	/* another state directory: control's own checks know it */
	if (statvfs(dir, &v) == -1) {
		doctor_row(d, "disk", errno == EACCES, "%s: %s", dir, strerror(errno));
		return;
	}
	free_mb = (uint64_t)v.f_bavail * v.f_frsize / (1024 * 1024);
	if (free_mb < least_mb)
		doctor_row(d, "disk", 0, "%s has %llu MiB left, less than twice reserve_mb: free space or move recordings away", dir,
		    (unsigned long long)free_mb);
	else if (v.f_files > 0 && v.f_favail < DOCTOR_INODES_MIN)
		doctor_row(d, "disk", 0, "%s has %llu inodes left: remove small files", dir, (unsigned long long)v.f_favail);
	else
		doctor_row(d, "disk", 1, "%s has %llu MiB left", dir, (unsigned long long)free_mb);
}

/* One path and the bits of its mode that nobody else may have. what: "run directory", for the report. A path that is not
 * there, or that we may not look at, is the caller's matter (returns errno). */
static int
doctor_mode(struct doctor *d, const char *what, const char *path, mode_t never, const char *mend)
{
	struct stat st;

	if (stat(path, &st) == -1)
		return errno;
	if (st.st_mode & never)
		doctor_row(d, what, 0, "%s has mode %04o, so others get at it: chmod %s %s", path, (unsigned)(st.st_mode & 07777), mend, path);
	else
		doctor_row(d, what, 1, "%s, mode %04o", path, (unsigned)(st.st_mode & 07777));
	return 0;
}

/* Secrets lie below the state directory; without the key file the vault stays sealed at the next start. */
static void
doctor_files(struct doctor *d)
{
	static const struct {
		const char	*name;
		mode_t		 never;
		const char	*mend;
	} below[] = {
		{ "vault", 0077, "0700" }, { "store", 0077, "0700" }, { "audit", 0077, "0700" }, { "hostkeys", 0077, "0700" },
		{ "recordings", 0007, "2770" }, { "spool", 0077, "0700" }
	};
	const char *path = ctl_local_str(d->c, "config");
	char full[SP_CONF_TEXT + 32];
	int e;

	if (d->conf == NULL)
		return;
	if (path != NULL)
		(void)doctor_mode(d, "configuration", path, S_IWGRP | S_IWOTH, "go-w");
	(void)doctor_mode(d, "state directory", d->conf->state_dir, S_IWGRP | S_IROTH | S_IWOTH, "0711");
	for (size_t i = 0; i < SP_NELEMS(below); i++) {
		sp_snprintf(full, sizeof(full), "%s/%s", d->conf->state_dir, below[i].name);
		(void)doctor_mode(d, "state directory", full, below[i].never, below[i].mend);
	}
	if (d->conf->vault_keyfile[0] == 0)
		return;
	e = doctor_mode(d, "key file", d->conf->vault_keyfile, 0077, "0600");
	if (e == ENOENT && (path != NULL || access(d->conf->state_dir, F_OK) == 0))
		doctor_row(d, "key file", 0, "%s is not there, so the vault stays sealed after a start: bring it back, or make another one "
		    "with 'sallyport vault slot add --keyfile'", d->conf->vault_keyfile);
}

static void
doctor_run_dir(struct doctor *d)
{
	const char *dir = d->c->run_dir;
	struct stat st;

	if (stat(dir, &st) == -1) {
		doctor_row(d, "run directory", 0, "%s: %s: start sallyport, or name the directory with --run-dir", dir, strerror(errno));
		return;
	}
	if (!S_ISDIR(st.st_mode))
		doctor_row(d, "run directory", 0, "%s is no directory: remove it and start sallyport again", dir);
	else if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
		doctor_row(d, "run directory", 0, "%s may be written by everybody: chmod 0755 %s", dir, dir);
	else
		doctor_row(d, "run directory", 1, "%s, mode %04o, owner %u", dir, (unsigned)(st.st_mode & 07777), (unsigned)st.st_uid);
}

/* The monitor's socket answers session.list; only root and the owner may ask. */
static void
doctor_monitor(struct doctor *d)
{
	ctl_auto_answer a = { .fd = -1 };
	ctl_auto_json *params = json_object();
	struct stat st;

	if (stat(d->c->monitor_socket, &st) == -1) {
		doctor_row(d, "monitor", errno == EACCES, "%s: %s: start sallyport, 'session kill' needs it while control is down",
		    d->c->monitor_socket, strerror(errno));
		return;
	}
	if (geteuid() != 0 && st.st_uid != geteuid()) {
		doctor_row(d, "monitor", 1, "%s is there; only root and its owner may ask it", d->c->monitor_socket);
		return;
	}
	if (st.st_mode & (S_IWOTH | S_IWGRP))
		doctor_row(d, "monitor", 0, "%s may be used by others: chmod 0600 %s", d->c->monitor_socket, d->c->monitor_socket);
	else if (ctl_ask(d->c, SP_PROC_MONITOR, "session.list", params, d->c->timeout_ms, &a) != SP_OK)
		doctor_row(d, "monitor", 0, "%s", a.text[0] != 0 ? a.text : sp_err_text(a.err));
	else
		doctor_row(d, "monitor", 1, "answers, %zu live sessions", json_array_size(a.body));
}

static void
doctor_control(struct doctor *d)
{
	ctl_auto_answer a = { .fd = -1 };
	uint64_t from = sp_now_us();

	if (ctl_ask(d->c, SP_PROC_CONTROL, "doctor", d->c->params, d->c->timeout_ms, &a) != SP_OK) {
		doctor_row(d, "control", 0, "%s", a.text[0] != 0 ? a.text : sp_err_text(a.err));
		return;
	}
	doctor_row(d, "control", 1, "answers within %llu ms", (unsigned long long)((sp_now_us() - from) / SP_US_PER_MS));
	for (size_t i = 0; i < json_array_size(a.body); i++)
		d->failed += !json_is_true(json_object_get(json_array_get(a.body, i), "ok"));
	if (json_is_array(a.body))
		json_array_extend(d->rows, a.body);
}

/* People read failures first, and marks rather than yes and no. */
static enum sp_err
doctor_print(struct doctor *d)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = CTL_ANSWER_MAX };
	size_t i;
	json_t *row;

	for (int ok = 0; ok <= 1; ok++)
		json_array_foreach(d->rows, i, row) {
			enum sp_err r;

			if (json_is_true(json_object_get(row, "ok")) != ok)
				continue;
			if ((r = sp_buf_append_str(&b, ok ? "ok    " : "FAIL  ")) != SP_OK ||
			    (r = ctl_value(json_object_get(row, "check"), CTL_FMT_TEXT, 1, 0, &b)) != SP_OK ||
			    (r = sp_buf_append_str(&b, ": ")) != SP_OK ||
			    (r = ctl_value(json_object_get(row, "text"), CTL_FMT_TEXT, 1, 0, &b)) != SP_OK ||
			    (r = sp_buf_put_u8(&b, '\n')) != SP_OK)
				return ctl_fail(d->c, r, "%s", sp_err_text(r));
		}
	fwrite(b.p, 1, b.len, d->c->out);
	if (d->failed > 0)
		fprintf(d->c->out, "%u of %zu checks failed.\n", d->failed, json_array_size(d->rows));
	else
		fprintf(d->c->out, "All %zu checks passed.\n", json_array_size(d->rows));
	return SP_OK;
}

/* ---- rows ---- */

/* Page by page: control does not hold a reader up for long, and a database of any size is looked through. */
static enum sp_err
doctor_rows(struct ctl *c)
{
	ctl_auto_json *rows = json_array();
	int64_t part = 0, seen = 0;
	char after[256] = "";
	int done = 0;

	while (!done) {
		ctl_auto_answer a = { .fd = -1 };
		ctl_auto_json *params = json_pack("{s:I, s:s}", "part", (json_int_t)part, "after", after);
		enum sp_err r = ctl_ask(c, SP_PROC_CONTROL, "rows.check", params, c->timeout_ms, &a);

		if (r != SP_OK)
			return ctl_fail(c, r, "%s", a.text[0] != 0 ? a.text : sp_err_text(r));
		json_array_extend(rows, json_object_get(a.body, "rows"));
		part = json_integer_value(json_object_get(a.body, "part"));
		seen += json_integer_value(json_object_get(a.body, "seen"));
		done = json_is_true(json_object_get(a.body, "done")) || !json_is_object(a.body);
		if (sp_strlcpy(after, json_is_string(json_object_get(a.body, "after")) ?
		    json_string_value(json_object_get(a.body, "after")) : "", sizeof(after)) != 0)
			return ctl_fail(c, SP_EFORMAT, "control answered something else");
	}
	c->failed = json_array_size(rows) > 0;
	CTL_TRY(ctl_show(c, rows));
	if (!c->json)
		fprintf(c->out, "%lld rows checked, %zu are refused.\n", (long long)seen, json_array_size(rows));
	return SP_OK;
}

static enum sp_err
doctor_mend(struct ctl *c, const char *method, const char *table)
{
	const char *id = ctl_local_str(c, "ID");
	ctl_auto_answer a = { .fd = -1 };
	ctl_auto_json *params = NULL;
	enum sp_err r;

	if (id == NULL)
		return ctl_fail(c, SP_EUSAGE, "name the row too: TABLE ID, as 'sallyport doctor --rows' prints them");
	params = json_pack("{s:s, s:s}", "table", table, "id", id);
	if ((r = ctl_ask(c, SP_PROC_CONTROL, method, params, c->timeout_ms, &a)) != SP_OK)
		return ctl_fail(c, r, "%s", a.text[0] != 0 ? a.text : sp_err_text(r));
	if (!c->json)
		fprintf(c->out, "%s\n", strcmp(method, "rows.accept") == 0 ? "Accepted." : "Removed.");
	return SP_OK;
}

static enum sp_err
doctor_run(struct ctl *c)
{
	struct doctor d = { .c = c, .rows = json_array() };
	enum sp_err r;

	if (d.rows == NULL)
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	if (ctl_local_str(c, "accept") != NULL || ctl_local_str(c, "remove") != NULL || ctl_local_flag(c, "rows")) {
		json_decref(d.rows);
		return ctl_local_str(c, "accept") != NULL ? doctor_mend(c, "rows.accept", ctl_local_str(c, "accept")) :
		    ctl_local_str(c, "remove") != NULL ? doctor_mend(c, "rows.remove", ctl_local_str(c, "remove")) : doctor_rows(c);
	}
	if (c->place == NULL) {		/* over SSH control's own checks are all */
		doctor_config(&d);
		doctor_clock(&d);
		doctor_disk(&d);
		doctor_files(&d);
		doctor_run_dir(&d);
		doctor_monitor(&d);
	}
	doctor_control(&d);
	r = c->json ? ctl_print_json(c, d.rows) : doctor_print(&d);
	json_decref(d.rows);
	free(d.conf);
	c->failed = d.failed > 0;
	return r;
}

static const struct ctl_col doctor_cols[] = {
	{ "table", "TABLE" }, { "id", "ID", .flags = CTL_COL_WHOLE }, { "what", "WHAT" }, { NULL, NULL }
};
static const struct ctl_cmd doctor_cmds[] = {
	{ "", "check this installation and say what to mend", .args = doctor_args, .opts = doctor_opts, .cols = doctor_cols, .empty = "No row was changed behind Sallyport's back.",
	  .method = "doctor", .show = CTL_ROWS,
	  .run = doctor_run, .more = "Exit status 1 if a check failed." },
	{ NULL }
};
const struct ctl_noun ctl_noun_doctor = { "doctor", "checks an installation and says what to mend", doctor_cmds };
