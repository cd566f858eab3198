/* src/ctl/play.c - see play.h. Two processes, as for watching: the parent keeps the terminal's settings; the child opens the
 * recording, whose contents a hostile target chose, and is fenced in before it reads the first byte of it.
 * Invariant: what is written to a terminal is made of cells by ctl/screen.c; what is written as text is plain text of the
 * rows of lib/term. Only `export --format cast` gives the target's bytes as they are, and not to a terminal. */
#include "ctl/play.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "common/sealkind.h"
#include "crypto/age.h"
#include "ctl/call.h"
#include "ctl/castplay.h"
#include "ctl/screen.h"
#include "ctl/secret.h"
#include "ctl/segments.h"
#include "sandbox/sandbox.h"
#include "term/term.h"

#define PLAY_OUT_MAX	((size_t)64 << 20)
#define PLAY_PAINT_US	(33 * SP_US_PER_MS)
#define PLAY_SPEED_MAX	1000.0
#define KEY_FILE_MAX	65536
#define ROW_MAX		((size_t)SP_TERM_COLS_MAX * 16)
#define UNKNOWN		"\xef\xbf\xbd"	/* U+FFFD */

/* What the child tells the parent by its exit status; errors of reading are PLAY_ERR + enum sp_err. */
enum { PLAY_DONE = 0, PLAY_QUIT = 1, PLAY_OUTPUT = 2, PLAY_NOT_FOUND = 3, PLAY_KEY = 4, PLAY_SANDBOX = 5, PLAY_TORN = 6, PLAY_ERR = 64 };
enum play_kind { PLAY_SCREEN, PLAY_TEXT, PLAY_CAST };

const struct ctl_opt ctl_play_args[] = {
	{ "ID", CTL_STR, .complete = "session", .help = "id of the session, or a file of a recording (.age)" },
	CTL_END
};
#define KEY_OPT \
	{ "key", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "private key of an auditor (an age identity file); without it the vault is asked, where 'recording vault set' allows that" }
const struct ctl_opt ctl_play_opts[] = {
	KEY_OPT,
	{ "speed", CTL_STR, .value = "N", .flags = CTL_LOCAL, .help = "so many times as fast (1)" },
	{ "from", CTL_DURATION, .value = "TIME", .flags = CTL_LOCAL, .help = "begin so far behind the start (90, 15m, 2h)" },
	{ "search", CTL_STR, .value = "TEXT", .flags = CTL_LOCAL, .help = "begin where the screen shows this text first" },
	CTL_END
};
const struct ctl_opt ctl_export_opts[] = {
	KEY_OPT,
	{ "format", CTL_STR, .value = "FORMAT", .choices = "cast|txt|age", .flags = CTL_LOCAL,
	  .help = "cast (default): asciicast v2, as it was recorded; txt: the text of the screen; age: the encrypted file itself, without a key" },
	{ "output", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "new file (default: standard output)" },
	{ "segment", CTL_INT, .value = "N", .flags = CTL_LOCAL, .help = "with --format age: which segment (1, if it has only that)" },
	CTL_END
};

struct play {
	struct ctl		*c;
	enum play_kind		 kind;
	int			 fd[CTL_SEGMENTS_MAX], tail[2], out, tty;	/* tail: of the last segment */
	unsigned		 n;		/* segments */
	const char		*key_path, *search;
	double			 speed;
	uint64_t		 from_us;
	/* in the child */
	struct ctl_segments	 all;
	struct castplay		 cast;
	struct ctl_screen	*screen;	/* PLAY_SCREEN */
	struct sp_term		*term;		/* the text of the screen: PLAY_TEXT, and to search */
	struct sp_buf		 text;
	enum sp_err		 err;
	uint64_t		 now_us, paused_us;	/* place in the recording; CLOCK of the pause */
	unsigned		 view_cols, view_rows;
	int			 dirty, paused;
};

static volatile sig_atomic_t play_resized, play_pid;

static void
play_on_winch(int signo)
{
	(void)signo;
	play_resized = 1;
}

static int
play_write(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t k = write(fd, p, n);

		if (k == -1 && errno == EINTR)
			continue;
		if (k <= 0)
			return -1;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

/* ---- text ---- */

/* A row as plain text; characters that could act on a terminal are shown as U+FFFD. */
static enum sp_err
row_text(struct sp_term *t, unsigned row, struct sp_buf *b)
{
	sp_auto(sp_buf_release) struct sp_buf raw = { .max = ROW_MAX };
	enum sp_err r = sp_term_text(t, row, 0, sp_term_used(t, row), &raw);

	for (size_t i = 0, n; r == SP_OK && i < raw.len; i += n) {
		uint32_t cp;

		if ((n = sp_utf8_next(raw.p + i, raw.len - i, &cp)) == 0)
			n = 1;
		r = sp_text_is_plain((const char *)raw.p + i, n) ? sp_buf_append(b, raw.p + i, n) : sp_buf_append_str(b, UNKNOWN);
	}
	while (r == SP_OK && b->len > 0 && b->p[b->len - 1] == ' ' && !sp_term_wrapped(t, row))
		b->len--;
	return r;
}

/* A row leaves the screen at its top. */
static void
text_on_gone(struct sp_term *t, uint64_t number, void *arg)
{
	struct play *p = arg;

	(void)number;
	if (p->kind != PLAY_TEXT || p->err != SP_OK)
		return;
	p->err = row_text(t, 0, &p->text);
	if (p->err == SP_OK && !sp_term_wrapped(t, 0))
		p->err = sp_buf_put_u8(&p->text, '\n');
}

static enum sp_err
text_flush(struct play *p, size_t more_than)
{
	if (p->text.len > more_than) {
		if (play_write(p->out, p->text.p, p->text.len) == -1)
			return SP_EIO;
		sp_buf_reset(&p->text);
	}
	return SP_OK;
}

/* What the screen shows at the end. */
static enum sp_err
text_rest(struct play *p)
{
	unsigned last = 0;

	for (unsigned y = 0; y < sp_term_rows(p->term); y++)
		if (sp_term_used(p->term, y) > 0)
			last = y + 1;
	for (unsigned y = 0; y < last; y++) {
		CTL_TRY(row_text(p->term, y, &p->text));
		if (!sp_term_wrapped(p->term, y))
			CTL_TRY(sp_buf_put_u8(&p->text, '\n'));
	}
	return text_flush(p, 0);
}

static int
text_shows(struct play *p)
{
	sp_auto(sp_buf_release) struct sp_buf all = { .max = PLAY_OUT_MAX };

	for (unsigned y = 0; y < sp_term_rows(p->term); y++)
		if (row_text(p->term, y, &all) != SP_OK || (!sp_term_wrapped(p->term, y) && sp_buf_put_u8(&all, '\n') != SP_OK))
			return 0;
	return all.len > 0 && memmem(all.p, all.len, p->search, strlen(p->search)) != NULL;
}

/* ---- events ---- */

static enum sp_err
play_event(struct play *p, const struct cast_event *e)
{
	enum sp_err r = SP_OK;

	p->now_us = e->at_us;
	if (e->what == CAST_MARKER)
		return SP_OK;
	if (e->what != CAST_OUTPUT) {
		r = sp_term_resize(p->term, e->cols, e->rows);
		if (p->screen != NULL)
			ctl_screen_resize(p->screen, e->cols, e->rows);
	}
	if (e->what != CAST_SIZE) {
		sp_term_write(p->term, e->bytes.p, e->bytes.len);
		if (p->screen != NULL)
			ctl_screen_feed(p->screen, e->bytes.p, e->bytes.len);
	}
	p->dirty = 1;
	return r != SP_OK ? r : p->err;
}

/* Everything before the place where it is to begin, at once. SP_ENOENT: the end came first. *ret: the first event behind it. */
static enum sp_err
play_begin(struct play *p, struct cast_event *ret)
{
	int searching = p->search != NULL;
	enum sp_err r;

	CTL_TRY(castplay_seek(&p->cast, p->from_us));
	while ((r = castplay_next(&p->cast, ret)) == SP_OK && (ret->at_us < p->from_us || searching)) {
		CTL_TRY(play_event(p, ret));
		if (searching && ret->at_us >= p->from_us && ret->what != CAST_MARKER && text_shows(p))
			searching = 0;
	}
	return r;
}

static enum sp_err
play_text(struct play *p)
{
	struct cast_event e;
	enum sp_err r = play_begin(p, &e);

	if (r == SP_ENOENT && p->search != NULL)
		return SP_ENOENT;
	sp_buf_reset(&p->text);		/* what left the screen before */
	for (; r == SP_OK; r = castplay_next(&p->cast, &e)) {
		CTL_TRY(play_event(p, &e));
		CTL_TRY(text_flush(p, 65536));
	}
	return r == SP_ENOENT ? text_rest(p) : r;
}

/* A line with its time moved on: "[seconds, ...". */
static enum sp_err
put_line(struct sp_buf *b, struct sp_view line, uint64_t offset_us)
{
	size_t n = 0;
	uint64_t at_us;
	char *end, number[32];

	if (offset_us == 0 || line.len == 0 || line.p[0] != '[')
		return sp_buf_append(b, line.p, line.len);
	for (n = 1; n < line.len && n < sizeof(number) && line.p[n] != ','; n++)
		number[n - 1] = (char)line.p[n];
	if (n == line.len || n == sizeof(number))
		return SP_EFORMAT;
	number[n - 1] = '\0';
	at_us = (uint64_t)(strtod(number, &end) * (double)SP_US_PER_S + 0.5) + offset_us;
	if (*end != '\0')
		return SP_EFORMAT;
	CTL_TRY(sp_buf_printf(b, "[%llu.%06llu", (unsigned long long)(at_us / SP_US_PER_S), (unsigned long long)(at_us % SP_US_PER_S)));
	return sp_buf_append(b, line.p + n, line.len - n);
}

static enum sp_err
play_cast(struct play *p)
{
	struct sp_view line;
	uint64_t offset_us = 0;
	enum sp_err r;

	while ((r = ctl_segments_next(&p->all, &line, &offset_us)) == SP_OK) {
		CTL_TRY(put_line(&p->text, line, offset_us));
		CTL_TRY(sp_buf_put_u8(&p->text, '\n'));
		CTL_TRY(text_flush(p, 65536));
	}
	return r == SP_ENOENT ? text_flush(p, 0) : r;
}

/* ---- on a terminal ---- */

static void
play_size(struct play *p)
{
	struct winsize ws;

	p->view_cols = 80;
	p->view_rows = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 1 && ws.ws_row > 1) {
		p->view_cols = ws.ws_col;
		p->view_rows = ws.ws_row;
	}
	ctl_screen_forget(p->screen);
	p->dirty = 1;
}

static int
play_paint(struct play *p)
{
	sp_auto(sp_buf_release) struct sp_buf out = { .max = PLAY_OUT_MAX };
	unsigned long s = (unsigned long)(p->now_us / SP_US_PER_S), all = (unsigned long)(ctl_segments_duration(&p->all) / SP_US_PER_S);

	p->dirty = 0;
	if (ctl_screen_draw(p->screen, p->view_cols, p->view_rows - 1, &out) != SP_OK ||
	    sp_buf_printf(&out, "\0337\033[%u;1H\033[0;7m%.*s%02lu:%02lu:%02lu of %02lu:%02lu:%02lu  space pauses, q quits \033[0m\033[K\0338",
	    p->view_rows, p->paused ? 9 : 1, p->paused ? " paused  " : " ", s / 3600, s / 60 % 60, s % 60, all / 3600, all / 60 % 60, all % 60) != SP_OK)
		return -1;
	return play_write(STDOUT_FILENO, out.p, out.len);
}

/* 0: go on; 1: quit. */
static int
play_keys(struct play *p)
{
	char keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	for (ssize_t i = 0; i < n; i++) {
		if (keys[i] == 'q' || keys[i] == 'Q' || keys[i] == 3 || keys[i] == 4)
			return 1;
		if (keys[i] == ' ') {
			p->paused = !p->paused;
			p->dirty = 1;
		}
	}
	return n == 0;
}

/* Wait until the event's time has come. *start: when the beginning would have been, moved on by pauses. 1: quit. */
static int
play_until(struct play *p, uint64_t at_us, uint64_t *start)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };

	for (;;) {
		uint64_t now = sp_now_us(), due = *start + (uint64_t)((double)at_us / p->speed), left = due > now ? due - now : 0;
		int wait_ms = p->paused ? 1000 : left > 1000 * SP_US_PER_MS ? 1000 : (int)(left / SP_US_PER_MS);

		if (play_resized) {
			play_resized = 0;
			play_size(p);
		}
		if (left == 0 && !p->paused)
			return 0;
		if (p->dirty && play_paint(p) == -1)
			return 1;
		if (poll(&in, 1, wait_ms) > 0 && play_keys(p))
			return 1;
		if (p->paused)
			*start += sp_now_us() - now;
		else if (left < SP_US_PER_MS)
			return 0;
		if (wait_ms == 1000 && !p->paused) {	/* the clock in the last line */
			p->now_us = (uint64_t)((double)(sp_now_us() - *start) * p->speed);
			p->dirty = 1;
		}
	}
}

/* The last screen, until the person has seen it. */
static int
play_stay(struct play *p)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };

	p->now_us = ctl_segments_duration(&p->all);
	p->paused = 0;
	for (p->dirty = 1;;) {
		if (play_resized) {
			play_resized = 0;
			play_size(p);
		}
		if (p->dirty && play_paint(p) == -1)
			return PLAY_OUTPUT;
		if (poll(&in, 1, -1) > 0 && play_keys(p))
			return PLAY_DONE;
	}
}

static int
play_on_screen(struct play *p, enum sp_err *ret_err)
{
	struct cast_event e;
	enum sp_err r = play_begin(p, &e);
	uint64_t start = sp_now_us() - (uint64_t)((double)(r == SP_OK ? e.at_us : 0) / p->speed), painted = 0;

	if (r == SP_ENOENT && p->search != NULL)
		return PLAY_NOT_FOUND;
	for (; r == SP_OK; r = castplay_next(&p->cast, &e)) {
		if (play_until(p, e.at_us, &start))
			return PLAY_QUIT;
		if ((r = play_event(p, &e)) != SP_OK)
			break;
		if (sp_now_us() - painted > PLAY_PAINT_US) {
			painted = sp_now_us();
			if (play_paint(p) == -1)
				return PLAY_OUTPUT;
		}
	}
	*ret_err = r == SP_ENOENT ? SP_OK : r;
	return r != SP_ENOENT ? PLAY_DONE : play_stay(p);
}

/* ---- the child ---- */

/* Read where the auditor is, by the process that needs it. */
static enum sp_err
play_key(struct play *p, struct sp_secret *ret)
{
	sp_auto_secret file = { 0 };

	CTL_TRY(ctl_secret_file(p->c, p->key_path, KEY_FILE_MAX, &file));
	if (sp_age_identity_parse(sp_secret_view(&file), ret) != SP_OK)
		return ctl_fail(p->c, SP_EFORMAT, "%s: no age identity (a line AGE-SECRET-KEY-1...) in it", p->key_path);
	return SP_OK;
}

/* Without a key of one's own: the vault's, where that is allowed. The file key comes sealed to this process. */
static enum sp_err
play_unwrap(struct play *p, unsigned segment, struct sp_secret *ret)
{
	ctl_auto_json *params = json_object(), *body = NULL;
	struct ctl_reply_key k = { 0 };
	enum sp_err r;

	CTL_TRY(ctl_reply_key_make(p->c, &k));
	json_object_set(params, "id", json_object_get(p->c->params, "id"));
	json_object_set_new(params, "segment", json_integer(segment));
	json_object_set(params, "client_key", json_object_get(p->c->params, "client_key"));
	if ((r = ctl_call(p->c, "recording.unwrap", params, &body)) == SP_OK)
		r = ctl_open(p->c, &k, SP_SEAL_RECORDING, json_object_get(body, "sealed"), ret);
	ctl_reply_key_release(&k);
	return r;
}

/* The key of every segment: one identity, or what the vault takes out of each header. */
static enum sp_err
play_all_keys(struct play *p, struct sp_secret *keys)
{
	if (p->key_path != NULL)
		return play_key(p, &keys[0]);
	for (unsigned i = 0; i < p->n; i++)
		CTL_TRY(play_unwrap(p, i + 1, &keys[i]));
	return SP_OK;
}

static enum sp_err
play_open(struct play *p, struct sp_secret *keys)
{
	static const int none[2] = { -1, -1 };
	struct sp_recreader *r;

	for (unsigned i = 0; i < p->n; i++) {
		const int *tail = i + 1 == p->n ? p->tail : none;

		CTL_TRY(p->key_path != NULL ? sp_recreader_new(p->fd[i], tail, &keys[0], &r) : sp_recreader_new_unwrapped(p->fd[i], tail, &keys[i], &r));
		CTL_TRY(ctl_segments_add(&p->all, r));
	}
	for (unsigned i = 0; i < p->n; i++)
		sp_secret_release(&keys[i]);
	return SP_OK;
}

static int
play_child(struct play *p)
{
	const struct sp_sandbox box = { .user = "" };
	struct sigaction sa = { .sa_handler = play_on_winch };
	static struct sp_secret keys[CTL_SEGMENTS_MAX];
	char in_force[512] = "";
	int status = PLAY_DONE;
	enum sp_err r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGWINCH, &sa, NULL);
	if (play_all_keys(p, keys) != SP_OK)
		return PLAY_KEY;
	if (sp_sandbox_enter(&box, in_force, sizeof(in_force)) != SP_OK)
		return PLAY_SANDBOX;
	sp_buf_init(&p->text, PLAY_OUT_MAX);
	if ((r = play_open(p, keys)) != SP_OK || (r = sp_term_new(80, 24, &p->term)) != SP_OK ||
	    (p->kind == PLAY_SCREEN && (r = ctl_screen_new(80, 24, &p->screen)) != SP_OK))
		return PLAY_ERR + (int)r;
	castplay_init(&p->cast, &p->all);
	sp_term_on_gone(p->term, text_on_gone, p);
	if (p->kind == PLAY_SCREEN) {
		play_size(p);
		status = play_on_screen(p, &r);
	} else {
		r = p->kind == PLAY_CAST ? play_cast(p) : play_text(p);
	}
	if (r == SP_ENOENT)
		return PLAY_NOT_FOUND;
	if (r != SP_OK)
		return r == SP_EIO ? PLAY_OUTPUT : PLAY_ERR + (int)r;
	return status == PLAY_DONE && ctl_segments_torn(&p->all) ? PLAY_TORN : status;
}

static void
play_on_end(int signo)
{
	(void)signo;
	if (play_pid > 0)
		kill(play_pid, SIGKILL);
}

static enum sp_err
play_report(const struct play *p, int status)
{
	struct ctl *c = p->c;
	enum sp_err e;

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return SP_OK;	/* by play_on_end */
	if (!WIFEXITED(status))
		return ctl_fail(c, SP_EINTERNAL, "reading the recording failed (signal %d)", WTERMSIG(status));
	switch (WEXITSTATUS(status)) {
	case PLAY_DONE:
	case PLAY_QUIT:
		return SP_OK;
	case PLAY_TORN:
		ctl_note(c, "The recording is torn: its recorder died, and at most the last second before that is lost.");
		return SP_OK;
	case PLAY_KEY:
		return SP_EUSAGE;	/* said already */
	case PLAY_OUTPUT:
		return ctl_fail(c, SP_EIO, "cannot write to the output");
	case PLAY_NOT_FOUND:
		return ctl_fail(c, SP_ENOENT, "the screen never shows \"%s\"", p->search);
	case PLAY_SANDBOX:
		return ctl_fail(c, SP_ESYS, "the process that reads the recording cannot be fenced in");
	default:
		e = (enum sp_err)(WEXITSTATUS(status) - PLAY_ERR);
		if (e == SP_EDENIED)
			return ctl_fail(c, e, "%s: the recording is not encrypted to this key: 'age' names no recipients, 'session show' does", p->key_path);
		return ctl_fail(c, e, "the recording cannot be read: %s%s", sp_err_text(e), e == SP_EAUTH || e == SP_ECORRUPT ?
		    ": it was changed, cut or is of another file" : "");
	}
}

static enum sp_err
play_run(struct play *p)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction sa = { .sa_handler = play_on_end };
	int status = 0;

	fflush(p->c->out);
	fflush(p->c->err);
	if ((play_pid = fork()) == 0) {
		int s = play_child(p);

		fflush(p->c->err);
		_exit(s);
	}
	if (play_pid == -1)
		return ctl_fail(p->c, SP_ESYS, "cannot start a process: %s", strerror(errno));
	for (size_t i = 0; i < SP_NELEMS(signals); i++)
		sigaction(signals[i], &sa, NULL);
	while (waitpid(play_pid, &status, 0) == -1)
		if (errno != EINTR)
			return ctl_fail(p->c, SP_ESYS, "cannot wait for a process");
	play_pid = 0;
	if (p->kind == PLAY_SCREEN)
		(void)!write(STDOUT_FILENO, "\033[0m\033[?25h\033[?1049l", 18);
	return play_report(p, status);
}

static enum sp_err
play_on_terminal(struct play *p)
{
	struct termios was, raw;
	enum sp_err r;

	if (tcgetattr(STDIN_FILENO, &was) == -1)
		return ctl_fail(p->c, SP_EIO, "the terminal does not answer: %s", strerror(errno));
	raw = was;
	raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG | IEXTEN);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
	(void)!write(STDOUT_FILENO, "\033[?1049h\033[?25l", 14);
	r = play_run(p);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
	return r;
}

/* ---- where the files come from ---- */

/* *ret_segments: how many the recording has; NULL: not asked. */
static enum sp_err
play_ask(struct ctl *c, const char *part, unsigned segment, int *ret, unsigned *ret_segments)
{
	ctl_auto_answer a = { .fd = -1 };
	json_int_t n;

	json_object_set_new(c->params, "part", json_string(part));
	json_object_set_new(c->params, "segment", json_integer(segment));
	if (ctl_ask(c, SP_PROC_CONTROL, "recording.open", c->params, c->timeout_ms, &a) != SP_OK) {
		if (a.err == SP_ENOENT && strcmp(part, "age") != 0)
			return SP_OK;	/* the usual thing: no tail is left */
		return ctl_answer_fail(c, &a);
	}
	if (a.fd < 0)
		return ctl_fail(c, SP_EFORMAT, "control gave no file: restart sallyport after its upgrade");
	n = json_integer_value(json_object_get(a.body, "segments"));
	if (ret_segments != NULL && n > CTL_SEGMENTS_MAX)
		return ctl_fail(c, SP_ESIZE, "the recording has %lld segments, more than can be shown at once: fetch them with 'session export --format age "
		    "--segment N'", (long long)n);
	if (ret_segments != NULL)
		*ret_segments = n > 0 ? (unsigned)n : 1;
	*ret = sp_steal_fd(&a.fd);
	return SP_OK;
}

/* A file of one's own, with its tail files beside it. */
static enum sp_err
play_local(struct ctl *c, const char *path, struct play *p)
{
	static const char first[] = ".0001.age";
	char name[4096];
	size_t n = strlen(path);
	int whole = n > sizeof(first) && strcmp(path + n - (sizeof(first) - 1), first) == 0;	/* with the other segments beside it */

	CTL_TRY(ctl_check_file(c, "ID", path));
	if ((p->fd[0] = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return ctl_fail(c, sp_err_errno(errno), "%s: %s", path, strerror(errno));
	(void)sp_strlcpy(name, path, sizeof(name));
	for (p->n = 1; whole && p->n < CTL_SEGMENTS_MAX; p->n++) {
		char next[4096];

		if (sp_snprintf(next, sizeof(next), "%.*s.%04u.age", (int)(n - (sizeof(first) - 1)), path, p->n + 1) != 0 ||
		    (p->fd[p->n] = open(next, O_RDONLY | O_CLOEXEC)) == -1)
			break;
		(void)sp_strlcpy(name, next, sizeof(name));
	}
	n = strlen(name);
	for (int i = 0; i < 2; i++) {
		char tail[4096];

		if (sp_snprintf(tail, sizeof(tail), "%.*stail%d", (int)(n - 3), name, i) == 0)
			p->tail[i] = open(tail, O_RDONLY | O_CLOEXEC);
	}
	return SP_OK;
}

/* Not an id: a file of one's own. */
static int
play_is_file(const struct ctl *c)
{
	const char *id = json_string_value(json_object_get(c->params, "id"));
	size_t n = strlen(id);

	return n > 4 && strcmp(id + n - 4, ".age") == 0;
}

static enum sp_err
play_files(struct ctl *c, struct play *p)
{
	unsigned all = 1;

	if (play_is_file(c))
		return play_local(c, json_string_value(json_object_get(c->params, "id")), p);
	for (p->n = 0; p->n < all; p->n++)
		CTL_TRY(play_ask(c, "age", p->n + 1, &p->fd[p->n], p->n == 0 ? &all : NULL));
	CTL_TRY(play_ask(c, "tail0", all, &p->tail[0], NULL));
	return play_ask(c, "tail1", all, &p->tail[1], NULL);
}

static enum sp_err
play_check_key(struct ctl *c, struct play *p)
{
	if (c->place != NULL)
		return ctl_fail(c, SP_EUSAGE, "a private key stays where its owner is: fetch the file with 'session export ID --format age' and play "
		    "that on your own machine");
	if ((p->key_path = ctl_local_str(c, "key")) == NULL && play_is_file(c))
		return ctl_fail(c, SP_EUSAGE, "name your private key: --key FILE (the recording is encrypted to auditors)");
	return SP_OK;
}

static void
play_begin_empty(struct play *p)
{
	for (unsigned i = 0; i < CTL_SEGMENTS_MAX; i++)
		p->fd[i] = -1;
}

static void
play_release(struct play *p)
{
	for (unsigned i = 0; i < CTL_SEGMENTS_MAX; i++)
		sp_closep(&p->fd[i]);
	sp_closep(&p->tail[0]);
	sp_closep(&p->tail[1]);
	if (p->out != STDOUT_FILENO)
		sp_closep(&p->out);
}

enum sp_err
ctl_play(struct ctl *c)
{
	struct play p = { .c = c, .tail = { -1, -1 }, .out = STDOUT_FILENO, .speed = 1 };
	const char *speed = ctl_local_str(c, "speed");
	char *end = NULL;
	enum sp_err r;

	play_begin_empty(&p);
	if (c->json)
		return ctl_fail(c, SP_EUSAGE, "session play shows a screen: leave out --json");
	CTL_TRY(play_check_key(c, &p));
	if (speed != NULL && ((p.speed = strtod(speed, &end)) <= 0 || p.speed > PLAY_SPEED_MAX || *end != '\0'))
		return ctl_fail(c, SP_EUSAGE, "--speed is a number above 0, at most %g", PLAY_SPEED_MAX);
	p.from_us = (uint64_t)ctl_local_int(c, "from", 0) * SP_US_PER_S;
	p.search = ctl_local_str(c, "search");
	p.kind = c->is_tty && isatty(STDIN_FILENO) ? PLAY_SCREEN : PLAY_TEXT;
	r = play_files(c, &p);
	if (r == SP_OK)
		r = p.kind == PLAY_SCREEN ? play_on_terminal(&p) : play_run(&p);
	play_release(&p);
	return r;
}

/* ---- export ---- */

static enum sp_err
export_copy(struct play *p)
{
	uint8_t block[65536];
	ssize_t n;

	while ((n = read(p->fd[0], block, sizeof(block))) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 || play_write(p->out, block, (size_t)n) == -1)
			return ctl_fail(p->c, SP_EIO, "cannot copy the recording: %s", strerror(errno));
	}
	return SP_OK;
}

static enum sp_err
export_output(struct ctl *c, struct play *p)
{
	const char *path = ctl_local_str(c, "output");

	if (path == NULL || strcmp(path, "-") == 0) {
		if (p->kind != PLAY_TEXT && c->is_tty)
			return ctl_fail(c, SP_EUSAGE, "that is not for a terminal: name a file with --output, or use 'session play'");
		return SP_OK;
	}
	CTL_TRY(ctl_check_file(c, "--output", path));
	if ((p->out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) == -1)
		return ctl_fail(c, sp_err_errno(errno), "%s: %s: name a new file", path, strerror(errno));
	return SP_OK;
}

/* Each segment is a file of its own. */
static enum sp_err
export_segment(struct ctl *c, struct play *p)
{
	int64_t segment = ctl_local_int(c, "segment", 0);
	unsigned all = 1;

	CTL_TRY(play_ask(c, "age", segment > 0 ? (unsigned)segment : 1, &p->fd[0], &all));
	return segment > 0 || all == 1 ? SP_OK :
	    ctl_fail(c, SP_EUSAGE, "the recording has %u segments, each a file of its own: name one with --segment", all);
}

enum sp_err
ctl_session_export(struct ctl *c)
{
	struct play p = { .c = c, .tail = { -1, -1 }, .out = STDOUT_FILENO, .speed = 1 };
	const char *format = ctl_local_str(c, "format");
	int plain = format != NULL && strcmp(format, "age") == 0;
	enum sp_err r;

	play_begin_empty(&p);
	if (c->json)
		return ctl_fail(c, SP_EUSAGE, "session export writes a recording: leave out --json");
	p.kind = format != NULL && strcmp(format, "txt") == 0 ? PLAY_TEXT : PLAY_CAST;
	if (!plain)
		CTL_TRY(play_check_key(c, &p));
	if ((r = plain && !play_is_file(c) ? export_segment(c, &p) : play_files(c, &p)) == SP_OK && (r = export_output(c, &p)) == SP_OK)
		r = plain ? export_copy(&p) : play_run(&p);
	play_release(&p);
	return r;
}
