/* src/scribe/watch.c - see watch.h. */
#include "scribe/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define FRAME		12u
#define LINGER_US	(300 * SP_US_PER_MS)	/* after its terminal closed, for the session's own reason to come */
#define SCREEN_MAX	(4u * 1024 * 1024)	/* bytes of a key frame */
#define OUT_MAX		(SCREEN_MAX + SP_WATCH_QUEUE + 128 * 1024)

enum { FRAME_OUTPUT = 1, FRAME_RESIZE = 2, FRAME_END = 3 };

struct sp_watch {
	struct sp_list		 link;
	int			 fd;
	struct sp_source	*source;
	sp_watch_screen_fn	*screen;
	void			*arg;
	int			 attached, ending;	/* ending 2: the end frame is in out */
	int			 stale;			/* output was dropped: a key frame comes first */
	struct sp_timer		*linger;
	uint32_t		 channel, cols, rows;
	char			 reason[256];
	struct sp_buf		 out;
	size_t			 sent;
};

struct sp_watch *
sp_watch_of(struct sp_list *link)
{
	return sp_container(link, struct sp_watch, link);
}

void
sp_watch_free(struct sp_watch *w)
{
	sp_source_remove(w->source);
	sp_timer_free(w->linger);
	sp_list_remove(&w->link);
	sp_closep(&w->fd);
	sp_buf_release(&w->out);
	free(w);
}

static enum sp_err
watch_frame(struct sp_watch *w, uint8_t type, const void *p, size_t n)
{
	uint16_t cols = (uint16_t)(w->cols > 0xffff ? 0xffff : w->cols);
	uint16_t rows = (uint16_t)(w->rows > 0xffff ? 0xffff : w->rows);
	uint8_t h[FRAME] = { type, 0, (uint8_t)cols, (uint8_t)(cols >> 8), (uint8_t)rows, (uint8_t)(rows >> 8), 0, 0,
	    (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24) };
	enum sp_err r = sp_buf_reserve(&w->out, sizeof(h) + n);

	if (r == SP_OK && (r = sp_buf_append(&w->out, h, sizeof(h))) == SP_OK)
		r = sp_buf_append(&w->out, p, n);
	return r;
}

/* The screen as it is now. Nothing waits when it is asked for, or what waits is whole frames. */
static enum sp_err
watch_key(struct sp_watch *w)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SCREEN_MAX };
	enum sp_err r;

	w->stale = 0;
	if (!w->screen(w->arg, w->channel, &w->cols, &w->rows, &b))
		return SP_OK;
	if ((r = watch_frame(w, FRAME_RESIZE, NULL, 0)) != SP_OK)
		return r;
	return b.len > 0 ? watch_frame(w, FRAME_OUTPUT, b.p, b.len) : SP_OK;
}

/* Send what the socket takes. Returns 0 when the watcher is gone (and freed). */
static int
watch_pump(struct sp_watch *w)
{
	for (;;) {
		enum sp_err r = SP_OK;
		ssize_t n;

		if (w->sent == w->out.len) {
			sp_buf_release(&w->out);
			w->sent = 0;
			if (w->stale)
				r = watch_key(w);
			if (r == SP_OK && w->out.len == 0 && w->ending == 1) {
				w->ending = 2;
				r = watch_frame(w, FRAME_END, w->reason, strlen(w->reason));
			} else if (w->out.len == 0 && w->ending == 2) {
				r = SP_ECLOSED;
			}
			if (r != SP_OK) {
				sp_watch_free(w);
				return 0;
			}
			if (w->out.len == 0)
				break;
		}
		n = send(w->fd, w->out.p + w->sent, w->out.len - w->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n == -1) {
			sp_watch_free(w);
			return 0;
		}
		w->sent += (size_t)n;
	}
	sp_source_events(w->source, EPOLLIN | EPOLLRDHUP | (w->out.len > 0 ? (uint32_t)EPOLLOUT : 0));
	return 1;
}

/* Drop what waits, but for the rest of a frame that is half sent. */
static void
watch_drop(struct sp_watch *w)
{
	size_t at = 0;

	while (at < w->sent)
		at += FRAME + (w->out.p[at + 8] | (size_t)w->out.p[at + 9] << 8 | (size_t)w->out.p[at + 10] << 16 |
		    (size_t)w->out.p[at + 11] << 24);
	w->out.len = at;
	w->stale = 1;
}

static void
watch_put(struct sp_watch *w, uint8_t type, struct sp_view v)
{
	if (!w->stale && w->out.len - w->sent + v.len > SP_WATCH_QUEUE)
		watch_drop(w);
	if (!w->stale && watch_frame(w, type, v.p, v.len) != SP_OK)
		watch_drop(w);
	(void)watch_pump(w);
}

static void
watch_on_linger(struct sp_timer *t, void *arg)
{
	(void)t;
	sp_watch_end(arg, "the terminal was closed");
}

static void
watch_on_io(struct sp_source *s, uint32_t events, void *arg)
{
	struct sp_watch *w = arg;
	char scrap[256];

	(void)s;
	/* A watcher has nothing to say; what it sends is dropped. */
	if (events & (EPOLLHUP | EPOLLERR) || ((events & (EPOLLIN | EPOLLRDHUP)) && recv(w->fd, scrap, sizeof(scrap),
	    MSG_DONTWAIT) == 0)) {
		sp_watch_free(w);
		return;
	}
	(void)watch_pump(w);
}

enum sp_err
sp_watch_new(struct sp_loop *l, int fd, sp_watch_screen_fn *screen, void *arg, struct sp_list *list)
{
	struct sp_watch *w = calloc(1, sizeof(*w));
	enum sp_err r;

	if (w == NULL) {
		close(fd);
		return SP_ENOMEM;
	}
	w->fd = fd;
	w->screen = screen;
	w->arg = arg;
	sp_list_init(&w->link);
	sp_buf_init(&w->out, OUT_MAX);
	if ((r = sp_timer_new(l, watch_on_linger, w, &w->linger)) != SP_OK ||
	    (r = sp_loop_add(l, fd, EPOLLIN | EPOLLRDHUP, watch_on_io, w, &w->source)) != SP_OK) {
		sp_watch_free(w);
		return r;
	}
	sp_list_add_tail(list, &w->link);
	return SP_OK;
}

void
sp_watch_attach(struct sp_watch *w, uint32_t channel)
{
	if (w->attached || w->ending)
		return;
	w->attached = w->stale = 1;
	w->channel = channel;
	(void)watch_pump(w);
}

void
sp_watch_output(struct sp_watch *w, uint32_t channel, struct sp_view v)
{
	if (w->attached && w->channel == channel && !w->ending)
		watch_put(w, FRAME_OUTPUT, v);
}

void
sp_watch_resize(struct sp_watch *w, uint32_t channel, uint32_t cols, uint32_t rows)
{
	if (!w->attached || w->channel != channel || w->ending)
		return;
	w->cols = cols;
	w->rows = rows;
	watch_put(w, FRAME_RESIZE, (struct sp_view){ (const uint8_t *)"", 0 });
}

void
sp_watch_channel_end(struct sp_watch *w, uint32_t channel)
{
	if (w->attached && w->channel == channel && !w->ending)
		sp_timer_in(w->linger, LINGER_US);
}

void
sp_watch_end(struct sp_watch *w, const char *reason)
{
	if (!w->ending) {
		w->ending = 1;
		(void)sp_strlcpy(w->reason, reason, sizeof(w->reason));
	}
	(void)watch_pump(w);
}
