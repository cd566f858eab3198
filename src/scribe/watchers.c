/* src/scribe/watchers.c - who looks on at a live session, and what they are told of its terminals (watch.h). Process: scribe.
 * Invariant: at most SP_WATCH_MAX of them; none of them can hold up the recording. */
#include <fcntl.h>
#include <unistd.h>

#include "scribe/internal.h"

static int
watch_screen(void *arg, uint32_t channel, uint32_t *ret_cols, uint32_t *ret_rows, struct sp_buf *ret)
{
	struct channel *c = channel_find(arg, channel);

	if (c == NULL || c->cast.term == NULL || sp_term_dump(c->cast.term, ret) != SP_OK)
		return 0;
	*ret_cols = c->cast.cols;
	*ret_rows = c->cast.rows;
	return 1;
}

void
watchers_attach(struct scribe *s)
{
	if (s->newest_pty != NULL && !s->newest_pty->ended)
		sp_list_each(it, &s->watchers)
			sp_watch_attach(sp_watch_of(it), s->newest_pty->id);
}

void
watchers_output(struct scribe *s, const struct channel *c, struct sp_view v)
{
	sp_list_each(it, &s->watchers)
		sp_watch_output(sp_watch_of(it), c->id, v);
}

void
watchers_resize(struct scribe *s, const struct channel *c)
{
	sp_list_each(it, &s->watchers)
		sp_watch_resize(sp_watch_of(it), c->id, c->cast.cols, c->cast.rows);
}

void
watchers_channel_end(struct scribe *s, const struct channel *c)
{
	sp_list_each(it, &s->watchers)
		sp_watch_channel_end(sp_watch_of(it), c->id);
}

void
watchers_add(struct scribe *s, uint32_t channel, int fd)
{
	struct channel *c = channel != 0 ? channel_find(s, channel) : NULL;
	unsigned n = 0;

	sp_list_each(it, &s->watchers)
		n++;
	if (s->state == S_ENDED || n >= SP_WATCH_MAX || (channel != 0 && (c == NULL || !c->pty))) {
		close(fd);
		return;
	}
	if (fcntl(fd, F_SETFL, O_NONBLOCK) == -1 || sp_watch_new(s->loop, fd, watch_screen, s, &s->watchers) != SP_OK)
		return;
	if (c != NULL)
		sp_watch_attach(sp_watch_of(s->watchers.prev), c->id);
	else
		watchers_attach(s);
}
