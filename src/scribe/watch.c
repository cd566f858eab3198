/* src/scribe/watch.c - see watch.h. */
#include "scribe/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "ipc/recdata.h"
#include "scribe/recfile.h"

#define BLOCK		(96u * 1024)	/* of the recording per read: any data record fits */
#define ROUND		(1024u * 1024)	/* of the recording per call: the session comes first */
#define FRAME		12u
#define LINGER_US	(300 * SP_US_PER_MS)	/* after its terminal closed, for the session's own reason to come */
#define OUT_MAX		(BLOCK * 2 + FRAME)

enum { FRAME_OUTPUT = 1, FRAME_RESIZE = 2, FRAME_END = 3 };

struct sp_watch {
	struct sp_list		 link;
	int			 fd, rec_fd;
	struct sp_source	*source;
	int			 attached, ending;
	int			 channel_over;	/* its terminal closed; ending follows with the session's end, or after LINGER_US */
	struct sp_timer		*linger;
	uint32_t		 channel;
	struct sp_watch_at	 at;		/* what is to be read next, and the size of the window there */
	uint64_t		 end_off, lag;
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
	uint16_t cols = (uint16_t)(w->at.cols > 0xffff ? 0xffff : w->at.cols);
	uint16_t rows = (uint16_t)(w->at.rows > 0xffff ? 0xffff : w->at.rows);
	uint8_t h[FRAME] = { type, 0, (uint8_t)cols, (uint8_t)(cols >> 8), (uint8_t)rows, (uint8_t)(rows >> 8), 0, 0,
	    (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24) };
	enum sp_err r = sp_buf_reserve(&w->out, sizeof(h) + n);

	if (r == SP_OK && (r = sp_buf_append(&w->out, h, sizeof(h))) == SP_OK)
		r = sp_buf_append(&w->out, p, n);
	return r;
}

static uint32_t
le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static enum sp_err
watch_record(struct sp_watch *w, const struct sp_rec *rec)
{
	if (rec->channel != w->channel)
		return SP_OK;
	if (rec->type == SP_REC_T_DATA && rec->stream != SP_REC_IN)
		return watch_frame(w, FRAME_OUTPUT, rec->data.p, rec->data.len);
	if (rec->type == SP_REC_T_RESIZE && rec->data.len == 8) {
		w->at.cols = le32(rec->data.p);
		w->at.rows = le32(rec->data.p + 4);
		return watch_frame(w, FRAME_RESIZE, NULL, 0);
	}
	if (rec->type == SP_REC_T_CHANNEL_END && !w->ending) {
		w->channel_over = 1;
		w->end_off = w->at.off;
		sp_timer_in(w->linger, LINGER_US);
	}
	return SP_OK;
}

/* Turn one block of the recording into frames. Only whole records are consumed. */
static enum sp_err
watch_read(struct sp_watch *w, uint8_t *block)
{
	uint64_t left = w->end_off - w->at.off;
	ssize_t n = pread(w->rec_fd, block, left < BLOCK ? (size_t)left : BLOCK, (off_t)w->at.off);
	struct sp_view v = { block, n > 0 ? (size_t)n : 0 };
	uint64_t begin = w->at.off;
	struct sp_rec rec;
	enum sp_err r;

	if (n <= 0)
		return SP_EIO;
	while (v.len > 0 && w->at.off < w->end_off) {
		struct sp_view before = v;
		uint32_t channel;
		uint8_t type;
		size_t len;

		if ((r = sp_rec_next(&v, &rec)) == SP_ESHORT) {
			if (w->at.off > begin || sp_rec_peek(before, &len, &type, &channel) != SP_OK)
				return w->at.off > begin ? SP_OK : SP_ECORRUPT;
			w->at.off += SP_REC_HEAD + len + SP_REC_CRC;	/* larger than a block: not terminal data */
			return SP_OK;
		}
		if (r != SP_OK)
			return r;
		w->at.off += before.len - v.len;
		if ((r = watch_record(w, &rec)) != SP_OK)
			return r;
	}
	return SP_OK;
}

/* Frames until there is something to send, the recording is read up, or it is the session's turn again. */
static enum sp_err
watch_fill(struct sp_watch *w)
{
	sp_auto(sp_freep) uint8_t *block = NULL;
	uint64_t begin = w->at.off;
	enum sp_err r = SP_OK;

	if (!w->attached || w->at.off >= w->end_off)
		return SP_OK;
	if ((block = malloc(BLOCK)) == NULL)
		return SP_ENOMEM;
	while (r == SP_OK && w->out.len == 0 && w->at.off < w->end_off && w->at.off - begin < ROUND)
		r = watch_read(w, block);
	return r;
}

static int
watch_read_up(const struct sp_watch *w)
{
	return !w->attached || w->at.off >= w->end_off;
}

/* Send what the socket takes. Returns 0 when the watcher is gone (and freed). */
static int
watch_pump(struct sp_watch *w)
{
	for (int closing = 0;;) {
		if (w->sent == w->out.len) {
			sp_buf_release(&w->out);
			w->sent = 0;
			if (closing || watch_fill(w) != SP_OK) {
				sp_watch_free(w);
				return 0;
			}
			if (w->out.len == 0 && (!w->ending || !watch_read_up(w)))
				break;
			if (w->out.len == 0) {
				w->ending = 2;
				if (watch_frame(w, FRAME_END, w->reason, strlen(w->reason)) != SP_OK) {
					sp_watch_free(w);
					return 0;
				}
			}
		}
		closing = w->ending == 2;
		ssize_t n = send(w->fd, w->out.p + w->sent, w->out.len - w->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n == -1) {
			sp_watch_free(w);
			return 0;
		}
		w->sent += (size_t)n;
	}
	sp_source_events(w->source, EPOLLIN | EPOLLRDHUP | (w->out.len > 0 || !watch_read_up(w) ? (uint32_t)EPOLLOUT : 0));
	return 1;
}

static void
watch_on_linger(struct sp_timer *t, void *arg)
{
	struct sp_watch *w = arg;

	(void)t;
	sp_watch_end(w, w->end_off, "the terminal was closed");
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
sp_watch_new(struct sp_loop *l, int fd, int rec_fd, struct sp_list *list)
{
	struct sp_watch *w = calloc(1, sizeof(*w));
	enum sp_err r;

	if (w == NULL) {
		close(fd);
		return SP_ENOMEM;
	}
	w->fd = fd;
	w->rec_fd = rec_fd;
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
sp_watch_attach(struct sp_watch *w, uint32_t channel, struct sp_watch_at at, uint64_t end_off)
{
	if (w->attached || w->ending)
		return;
	w->attached = 1;
	w->channel = channel;
	w->at = at;
	w->end_off = end_off;
	w->lag = end_off - at.off + SP_WATCH_LAG;
	if (watch_frame(w, FRAME_RESIZE, NULL, 0) != SP_OK)
		sp_watch_free(w);
	else
		(void)watch_pump(w);
}

void
sp_watch_advance(struct sp_watch *w, uint64_t end_off)
{
	if (!w->attached || w->ending || w->channel_over)
		return;
	if (end_off - w->at.off > w->lag) {
		w->ending = 1;
		w->end_off = w->at.off;
		(void)sp_strlcpy(w->reason, "too slow to watch this session", sizeof(w->reason));
	} else {
		w->end_off = end_off;
	}
	(void)watch_pump(w);
}

void
sp_watch_end(struct sp_watch *w, uint64_t end_off, const char *reason)
{
	if (!w->ending) {
		w->ending = 1;
		if (w->attached && !w->channel_over)
			w->end_off = end_off;
		(void)sp_strlcpy(w->reason, reason, sizeof(w->reason));
	}
	(void)watch_pump(w);
}
