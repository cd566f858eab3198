/* src/ctl/watch.c - see watch.h. Two processes: the parent keeps the terminal's settings and gives them back whatever
 * happens; the child reads the stream, whose bytes a hostile target chose, and is fenced in before it looks at the first. */
#include "ctl/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "ctl/frames.h"
#include "ctl/screen.h"
#include "ctl/table.h"
#include "sandbox/sandbox.h"

#define WATCH_FRAME_MS	33		/* between two paints */
#define WATCH_QUIET_MS	200		/* of silence before lines are printed, when not on a terminal */
#define WATCH_READ	65536
#define WATCH_OUT_MAX	((size_t)64 << 20)

/* What the child tells the parent by its exit status. */
enum { WATCH_ENDED = 0, WATCH_QUIT = 1, WATCH_LOST = 2, WATCH_BAD = 3, WATCH_OUTPUT = 4 };

struct watch {
	struct ctl		*c;
	int			 fd;		/* the stream */
	int			 tell;		/* pipe to the parent: why the session ended */
	int			 tty;		/* paint; else print lines */
	const char		*title;
	struct ctl_screen	*screen;
	struct ctl_frames	 frames;
	unsigned		 view_cols, view_rows;
	int			 ended, dirty;
};

static volatile sig_atomic_t watch_resized;

static void
watch_on_winch(int signo)
{
	(void)signo;
	watch_resized = 1;
}

static void
watch_on_frame(const struct ctl_frame *f, void *arg)
{
	struct watch *w = arg;

	if (f->cols > 0 && f->rows > 0)
		ctl_screen_resize(w->screen, f->cols, f->rows);
	if (f->type == CTL_FRAME_OUTPUT) {
		ctl_screen_feed(w->screen, f->bytes.p, f->bytes.len);
	} else if (f->type == CTL_FRAME_END && !w->ended) {
		w->ended = 1;
		(void)!write(w->tell, f->bytes.p, f->bytes.len < 512 ? f->bytes.len : 512);
	}
	w->dirty = 1;
}

static int
watch_write(const struct sp_buf *b)
{
	for (size_t at = 0; at < b->len; ) {
		ssize_t n = write(STDOUT_FILENO, b->p + at, b->len - at);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN) {
			struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };

			(void)poll(&p, 1, 1000);
			continue;
		}
		if (n <= 0)
			return -1;
		at += (size_t)n;
	}
	return 0;
}

static void
watch_size(struct watch *w)
{
	struct winsize ws;

	w->view_cols = 80;
	w->view_rows = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 1 && ws.ws_row > 1) {
		w->view_cols = ws.ws_col;
		w->view_rows = ws.ws_row;
	}
	ctl_screen_forget(w->screen);
	w->dirty = 1;
}

/* The last line belongs to us: who is watched, the size if it is cut, how to leave. */
static enum sp_err
watch_status(const struct watch *w, struct sp_buf *out)
{
	unsigned cols = ctl_screen_cols(w->screen), rows = ctl_screen_rows(w->screen);
	sp_auto(sp_buf_release) struct sp_buf line = { .max = 4096 };
	size_t used = 0, n;
	enum sp_err r;

	if ((r = sp_buf_printf(&line, " watching %s  %ux%u%s  q quits ", w->title, cols, rows,
	    cols > w->view_cols || rows > w->view_rows - 1 ? " (cut)" : "")) != SP_OK)
		return r;
	n = ctl_width_fit(sp_buf_cstr(&line), line.len, w->view_cols, &used);
	return sp_buf_printf(out, "\0337\033[%u;1H\033[0;7m%.*s\033[0m\033[K\0338", w->view_rows, (int)n, sp_buf_cstr(&line));
}

static int
watch_paint(struct watch *w)
{
	sp_auto(sp_buf_release) struct sp_buf out = { .max = WATCH_OUT_MAX };
	enum sp_err r;

	w->dirty = 0;
	if (!w->tty) {
		r = ctl_screen_text(w->screen, &out);
	} else {
		r = ctl_screen_draw(w->screen, w->view_cols, w->view_rows - 1, &out);
		if (r == SP_OK)
			r = watch_status(w, &out);
	}
	return r != SP_OK || watch_write(&out) == -1 ? -1 : 0;
}

/* -1: go on; else the exit status. */
static int
watch_keys(void)
{
	char keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n == 0)
		return WATCH_QUIT;
	for (ssize_t i = 0; i < n; i++)
		if (keys[i] == 'q' || keys[i] == 'Q' || keys[i] == 3 || keys[i] == 4)
			return WATCH_QUIT;
	return -1;
}

static int
watch_read(struct watch *w)
{
	static uint8_t bytes[WATCH_READ];
	ssize_t n = read(w->fd, bytes, sizeof(bytes));

	if (n == -1 && (errno == EINTR || errno == EAGAIN))
		return -1;
	if (n <= 0)
		return w->ended ? WATCH_ENDED : WATCH_LOST;
	if (ctl_frames_feed(&w->frames, bytes, (size_t)n) != SP_OK)
		return WATCH_BAD;
	return w->ended ? WATCH_ENDED : -1;
}

static int
watch_loop(struct watch *w)
{
	struct pollfd p[2] = { { .fd = w->fd, .events = POLLIN }, { .fd = w->tty ? STDIN_FILENO : -1, .events = POLLIN } };
	uint64_t paint_at = 0;
	int status = -1;

	while (status == -1) {
		uint64_t now = sp_now_us();
		int wait_ms = -1, n;

		if (watch_resized) {
			watch_resized = 0;
			watch_size(w);
		}
		if (w->dirty && now >= paint_at && watch_paint(w) == -1)
			return WATCH_OUTPUT;
		if (w->dirty)
			wait_ms = (int)((paint_at - now) / SP_US_PER_MS) + 1;
		n = poll(p, 2, wait_ms);
		if (n <= 0)
			continue;
		if (p[1].revents != 0 && (status = watch_keys()) != -1)
			break;
		if (p[0].revents != 0) {
			status = watch_read(w);
			/* On a terminal at most one paint per interval; elsewhere when the target is quiet for a moment. */
			now = sp_now_us();
			if (!w->tty)
				paint_at = now + WATCH_QUIET_MS * SP_US_PER_MS;
			else if (paint_at <= now)
				paint_at = now + WATCH_FRAME_MS * SP_US_PER_MS;
		}
	}
	return w->dirty && watch_paint(w) == -1 ? WATCH_OUTPUT : status;
}

static int
watch_child(struct watch *w)
{
	const struct sp_sandbox box = { .user = "" };
	struct sigaction sa = { .sa_handler = watch_on_winch };
	char in_force[512] = "";

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGWINCH, &sa, NULL);
	if (ctl_screen_new(80, 24, &w->screen) != SP_OK)
		return WATCH_BAD;
	ctl_frames_init(&w->frames, watch_on_frame, w);
	watch_size(w);
	if (sp_sandbox_enter(&box, in_force, sizeof(in_force)) != SP_OK)
		return WATCH_BAD;
	return watch_loop(w);
}

static int
watch_wait(pid_t pid, int *ret_status)
{
	while (waitpid(pid, ret_status, 0) == -1)
		if (errno != EINTR)
			return -1;
	return 0;
}

/* Signals that would end the parent end the child instead, and the terminal is put in order. */
static volatile sig_atomic_t watch_pid;

static void
watch_on_end(int signo)
{
	(void)signo;
	if (watch_pid > 0)
		kill(watch_pid, SIGKILL);
}

static enum sp_err
watch_report(struct ctl *c, int status, const char *reason)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return SP_OK;	/* by watch_on_end */
	if (!WIFEXITED(status))
		return ctl_fail(c, SP_EINTERNAL, "showing the session failed (signal %d): it goes on unwatched", WTERMSIG(status));
	switch (WEXITSTATUS(status)) {
	case WATCH_ENDED:
		ctl_note(c, "Session ended: %s.", reason[0] != 0 ? reason : "no reason given");
		return SP_OK;
	case WATCH_QUIT:
		return SP_OK;
	case WATCH_LOST:
		return ctl_fail(c, SP_ECLOSED, "the stream broke off before the session's end: see 'sallyport session show'");
	case WATCH_OUTPUT:
		return ctl_fail(c, SP_EIO, "cannot write to the output");
	default:
		return ctl_fail(c, SP_EFORMAT, "the stream cannot be shown: restart sallyport after its upgrade");
	}
}

static pid_t
watch_start(struct watch *w, int tell[2])
{
	pid_t pid;

	fflush(w->c->out);
	fflush(w->c->err);
	if ((pid = fork()) == 0) {
		close(tell[0]);
		w->tell = tell[1];
		_exit(watch_child(w));
	}
	close(tell[1]);
	tell[1] = -1;
	return pid;
}

static enum sp_err
watch_run(struct watch *w)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction sa = { .sa_handler = watch_on_end };
	char reason[513] = "";
	int tell[2], status = 0;
	ssize_t n;

	if (pipe2(tell, O_CLOEXEC) == -1)
		return ctl_fail(w->c, SP_ESYS, "cannot make a pipe");
	if ((watch_pid = watch_start(w, tell)) == -1) {
		close(tell[0]);
		return ctl_fail(w->c, SP_ESYS, "cannot start a process: %s", strerror(errno));
	}
	for (size_t i = 0; i < SP_NELEMS(signals); i++)
		sigaction(signals[i], &sa, NULL);
	if (watch_wait(watch_pid, &status) == -1) {
		close(tell[0]);
		return ctl_fail(w->c, SP_ESYS, "cannot wait for a process");
	}
	watch_pid = 0;
	if ((n = read(tell[0], reason, sizeof(reason) - 1)) > 0)
		reason[n] = 0;
	close(tell[0]);
	/* After the terminal is itself again; so it is kept for the caller. */
	if (w->tty)
		(void)!write(STDOUT_FILENO, "\033[0m\033[?25h\033[?1049l", 18);
	return watch_report(w->c, status, reason);
}

enum sp_err
ctl_watch(struct ctl *c, int taken, const char *title)
{
	sp_auto(sp_closep) int fd = taken;
	struct watch w = { .c = c, .fd = fd, .title = title, .tty = c->is_tty && isatty(STDIN_FILENO) };
	struct termios was, raw;
	enum sp_err r;

	if (!w.tty)
		return watch_run(&w);
	if (tcgetattr(STDIN_FILENO, &was) == -1)
		return ctl_fail(c, SP_EIO, "the terminal does not answer: %s", strerror(errno));
	raw = was;
	raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG | IEXTEN);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
	(void)!write(STDOUT_FILENO, "\033[?1049h\033[?25l", 14);
	r = watch_run(&w);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
	return r;
}
