/* src/session/conn.c - see conn.h. Numbers and layouts: RFC 4254. */
#include "session/conn.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/str.h"

enum {
	MSG_GLOBAL_REQUEST = 80, MSG_REQUEST_SUCCESS, MSG_REQUEST_FAILURE,
	MSG_OPEN = 90, MSG_OPEN_CONFIRMATION, MSG_OPEN_FAILURE, MSG_WINDOW_ADJUST, MSG_DATA, MSG_EXTENDED_DATA, MSG_EOF,
	MSG_CLOSE, MSG_REQUEST, MSG_SUCCESS, MSG_FAILURE
};
#define EXTENDED_STDERR	1u
#define PACKET_LEAST	256u		/* a peer that takes less per packet is refused */
#define REPLIES_MAX	256u		/* unanswered requests of one kind */

enum chan_state { CH_OPENING_OURS, CH_OPENING_THEIRS, CH_OPEN, CH_DEAD };

struct sp_channel {
	struct sp_conn	*conn;
	const struct sp_channel_ops *ops;	/* NULL once released */
	void		*arg;
	uint32_t	 here, there;		/* channel numbers */
	enum chan_state	 state;
	uint32_t	 window_out, packet_out;
	uint32_t	 window_in;		/* what the peer may still send */
	uint32_t	 owed;			/* consumed, not yet given back */
	unsigned	 sent_eof:1, sent_close:1, got_eof:1, got_close:1;
	unsigned	 awaited;		/* replies to our requests */
	unsigned	 due;			/* replies that we owe */
};
struct sp_conn {
	const struct sp_conn_ops *ops;
	void		*arg;
	sp_conn_send_fn	*send;
	void		*send_arg;
	struct sp_channel *ch[SP_CHANNEL_MAX];
	unsigned	 n, awaited, due;
	int		 lost;
};

static void
put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static void
conn_send(struct sp_conn *c, const void *head, size_t head_len, const void *data, size_t len)
{
	if (!c->lost)
		c->send(c->send_arg, head, head_len, data, len);
}

/* A message that is only a number and a channel, perhaps with one more number. */
static void
conn_send_short(struct sp_conn *c, uint8_t type, uint32_t channel, const uint32_t *more)
{
	uint8_t b[9] = { type };

	put32(b + 1, channel);
	if (more != NULL)
		put32(b + 5, *more);
	conn_send(c, b, more != NULL ? 9 : 5, NULL, 0);
}

static void
conn_broken(struct sp_conn *c, const char *why)
{
	if (!c->lost)
		c->ops->broken(c->arg, why);
}

enum sp_err
sp_conn_new(const struct sp_conn_ops *ops, void *arg, sp_conn_send_fn *send, void *send_arg, struct sp_conn **ret)
{
	struct sp_conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return SP_ENOMEM;
	*c = (struct sp_conn){ .ops = ops, .arg = arg, .send = send, .send_arg = send_arg };
	*ret = c;
	return SP_OK;
}

static struct sp_channel *
conn_channel_new(struct sp_conn *c)
{
	struct sp_channel *ch;
	uint32_t i = 0;

	while (i < SP_CHANNEL_MAX && c->ch[i] != NULL)
		i++;
	if (i == SP_CHANNEL_MAX || (ch = calloc(1, sizeof(*ch))) == NULL)
		return NULL;
	*ch = (struct sp_channel){ .conn = c, .here = i, .window_in = SP_CHANNEL_WINDOW };
	c->ch[i] = ch;
	c->n++;
	return ch;
}

static void
channel_free(struct sp_channel *ch)
{
	ch->conn->ch[ch->here] = NULL;
	ch->conn->n--;
	free(ch);
}

void
sp_conn_free(struct sp_conn *c)
{
	if (c == NULL)
		return;
	for (unsigned i = 0; i < SP_CHANNEL_MAX; i++)
		free(c->ch[i]);
	free(c);
}

unsigned
sp_conn_channels(const struct sp_conn *c)
{
	return c->n;
}

/* Free a channel that neither side needs any more. */
static void
channel_settle(struct sp_channel *ch)
{
	if (ch->ops == NULL && (ch->state == CH_DEAD || (ch->sent_close && ch->got_close) || ch->conn->lost))
		channel_free(ch);
}

/* ---- what we send */

static enum sp_err
conn_pack_name(struct sp_buf *b, uint8_t type, const char *name)
{
	enum sp_err r = sp_buf_put_u8(b, type);

	return r != SP_OK ? r : sp_buf_put_cstring(b, name);
}

void
sp_conn_global(struct sp_conn *c, const char *name, int want_reply, const void *data, size_t len)
{
	struct sp_buf b;

	sp_buf_init(&b, 256);
	if (conn_pack_name(&b, MSG_GLOBAL_REQUEST, name) == SP_OK && sp_buf_put_u8(&b, want_reply != 0) == SP_OK) {
		c->awaited += want_reply != 0;
		conn_send(c, b.p, b.len, data, len);
	}
	sp_buf_release(&b);
}

void
sp_conn_reply(struct sp_conn *c, int ok, const void *data, size_t len)
{
	uint8_t type = ok ? MSG_REQUEST_SUCCESS : MSG_REQUEST_FAILURE;

	if (c->due == 0)
		return;
	c->due--;
	conn_send(c, &type, 1, data, ok ? len : 0);
}

enum sp_err
sp_channel_open(struct sp_conn *c, const char *type, const void *extra, size_t len, const struct sp_channel_ops *ops,
    void *arg, struct sp_channel **ret)
{
	struct sp_channel *ch;
	struct sp_buf b;
	enum sp_err r;

	if (c->lost)
		return SP_ECLOSED;
	if ((ch = conn_channel_new(c)) == NULL)
		return SP_EFULL;
	ch->ops = ops;
	ch->arg = arg;
	ch->state = CH_OPENING_OURS;
	sp_buf_init(&b, 256);
	if ((r = conn_pack_name(&b, MSG_OPEN, type)) == SP_OK && (r = sp_buf_put_u32(&b, ch->here)) == SP_OK &&
	    (r = sp_buf_put_u32(&b, SP_CHANNEL_WINDOW)) == SP_OK && (r = sp_buf_put_u32(&b, SP_CHANNEL_PACKET)) == SP_OK)
		conn_send(c, b.p, b.len, extra, len);
	sp_buf_release(&b);
	if (r != SP_OK) {
		channel_free(ch);
		return r;
	}
	*ret = ch;
	return SP_OK;
}

void
sp_channel_own(struct sp_channel *ch, const struct sp_channel_ops *ops, void *arg)
{
	ch->ops = ops;
	ch->arg = arg;
}

void
sp_channel_accept(struct sp_channel *ch)
{
	uint8_t b[17] = { MSG_OPEN_CONFIRMATION };

	if (ch->state != CH_OPENING_THEIRS)
		return;
	ch->state = CH_OPEN;
	put32(b + 1, ch->there);
	put32(b + 5, ch->here);
	put32(b + 9, SP_CHANNEL_WINDOW);
	put32(b + 13, SP_CHANNEL_PACKET);
	conn_send(ch->conn, b, sizeof(b), NULL, 0);
}

void
sp_channel_refuse(struct sp_channel *ch, enum sp_open_refusal code, const char *text)
{
	struct sp_buf b;

	if (ch->state != CH_OPENING_THEIRS)
		return;
	sp_buf_init(&b, 1024);
	if (sp_buf_put_u8(&b, MSG_OPEN_FAILURE) == SP_OK && sp_buf_put_u32(&b, ch->there) == SP_OK &&
	    sp_buf_put_u32(&b, code) == SP_OK && sp_buf_put_cstring(&b, text) == SP_OK && sp_buf_put_cstring(&b, "") == SP_OK)
		conn_send(ch->conn, b.p, b.len, NULL, 0);
	sp_buf_release(&b);
	ch->state = CH_DEAD;
	ch->ops = NULL;
	channel_settle(ch);
}

size_t
sp_channel_room(const struct sp_channel *ch)
{
	if (ch->state != CH_OPEN || ch->sent_eof || ch->sent_close || !ch->conn->ops->can_write(ch->conn->arg))
		return 0;
	return ch->window_out;
}

size_t
sp_channel_write(struct sp_channel *ch, int stream, const void *p, size_t n)
{
	const uint8_t *at = p;
	size_t done = 0, room;

	while (done < n && (room = sp_channel_room(ch)) > 0) {
		uint8_t head[13];
		size_t len = n - done, head_len = stream == SP_STREAM_ERR ? 13 : 9;

		len = len < room ? len : room;
		len = len < ch->packet_out ? len : ch->packet_out;
		head[0] = stream == SP_STREAM_ERR ? MSG_EXTENDED_DATA : MSG_DATA;
		put32(head + 1, ch->there);
		if (stream == SP_STREAM_ERR)
			put32(head + 5, EXTENDED_STDERR);
		put32(head + head_len - 4, (uint32_t)len);
		conn_send(ch->conn, head, head_len, at + done, len);
		ch->window_out -= (uint32_t)len;
		done += len;
	}
	return done;
}

void
sp_channel_consumed(struct sp_channel *ch, size_t n)
{
	ch->owed += (uint32_t)n;
	if (ch->owed < SP_CHANNEL_WINDOW / 4 || ch->state != CH_OPEN || ch->got_eof || ch->got_close || ch->sent_close)
		return;
	conn_send_short(ch->conn, MSG_WINDOW_ADJUST, ch->there, &ch->owed);
	ch->window_in += ch->owed;
	ch->owed = 0;
}

void
sp_channel_eof(struct sp_channel *ch)
{
	if (ch->state != CH_OPEN || ch->sent_eof || ch->sent_close)
		return;
	ch->sent_eof = 1;
	conn_send_short(ch->conn, MSG_EOF, ch->there, NULL);
}

void
sp_channel_close(struct sp_channel *ch)
{
	if (ch->state != CH_OPEN || ch->sent_close)
		return;
	ch->sent_close = 1;
	conn_send_short(ch->conn, MSG_CLOSE, ch->there, NULL);
}

void
sp_channel_request(struct sp_channel *ch, const char *name, int want_reply, const void *data, size_t len)
{
	struct sp_buf b;

	if (ch->state != CH_OPEN || ch->sent_close)
		return;
	sp_buf_init(&b, 256);
	if (sp_buf_put_u8(&b, MSG_REQUEST) == SP_OK && sp_buf_put_u32(&b, ch->there) == SP_OK &&
	    sp_buf_put_cstring(&b, name) == SP_OK && sp_buf_put_u8(&b, want_reply != 0) == SP_OK) {
		ch->awaited += want_reply != 0;
		conn_send(ch->conn, b.p, b.len, data, len);
	}
	sp_buf_release(&b);
}

void
sp_channel_reply(struct sp_channel *ch, int ok)
{
	if (ch->due == 0)
		return;
	ch->due--;
	if (ch->state == CH_OPEN && !ch->sent_close)
		conn_send_short(ch->conn, ok ? MSG_SUCCESS : MSG_FAILURE, ch->there, NULL);
}

void
sp_channel_release(struct sp_channel *ch)
{
	if (ch == NULL)
		return;
	ch->ops = NULL;
	if (ch->state == CH_OPENING_THEIRS) {
		sp_channel_refuse(ch, SP_OPEN_PROHIBITED, "closed");
		return;
	}
	sp_channel_close(ch);
	channel_settle(ch);
}

int
sp_channel_is_open(const struct sp_channel *ch)
{
	return ch->state == CH_OPEN && !ch->sent_close && !ch->got_close;
}

/* ---- what we receive */

static void
conn_on_global(struct sp_conn *c, struct sp_view v)
{
	char name[SP_CHANNEL_NAME_MAX];
	struct sp_view raw;
	uint8_t want;

	if (sp_view_string(&v, &raw) != SP_OK || sp_view_u8(&v, &want) != SP_OK) {
		conn_broken(c, "malformed global request");
		return;
	}
	if (want && ++c->due > REPLIES_MAX) {
		conn_broken(c, "too many global requests");
		return;
	}
	name[0] = '\0';			/* too long to be known */
	if (raw.len < sizeof(name) && memchr(raw.p, '\0', raw.len) == NULL) {
		memcpy(name, raw.p, raw.len);
		name[raw.len] = '\0';
	}
	c->ops->global(c->arg, name, want, v);
}

static void
conn_on_global_reply(struct sp_conn *c, int ok, struct sp_view v)
{
	if (c->awaited == 0) {
		conn_broken(c, "reply to no request");
		return;
	}
	c->awaited--;
	c->ops->global_reply(c->arg, ok, v);
}

static void
conn_on_open(struct sp_conn *c, struct sp_view v)
{
	struct sp_view type;
	char name[SP_CHANNEL_NAME_MAX] = "";
	uint32_t there, window, packet, code[1] = { SP_OPEN_RESOURCES };
	struct sp_channel *ch;

	if (sp_view_string(&v, &type) != SP_OK || sp_view_u32(&v, &there) != SP_OK || sp_view_u32(&v, &window) != SP_OK ||
	    sp_view_u32(&v, &packet) != SP_OK) {
		conn_broken(c, "malformed channel open");
		return;
	}
	if (packet < PACKET_LEAST || (ch = conn_channel_new(c)) == NULL) {
		uint8_t b[17] = { MSG_OPEN_FAILURE };	/* with empty text and language */

		put32(b + 1, there);
		put32(b + 5, code[0]);
		conn_send(c, b, sizeof(b), NULL, 0);
		return;
	}
	ch->there = there;
	ch->window_out = window;
	ch->packet_out = packet < SP_CHANNEL_PACKET ? packet : SP_CHANNEL_PACKET;
	ch->state = CH_OPENING_THEIRS;
	if (type.len < sizeof(name) && memchr(type.p, '\0', type.len) == NULL) {
		memcpy(name, type.p, type.len);
		name[type.len] = '\0';
	}
	c->ops->open(c->arg, ch, name, v);
}

static void
channel_on_confirmed(struct sp_channel *ch, struct sp_view v)
{
	uint32_t there, window, packet;

	if (ch->state != CH_OPENING_OURS || sp_view_u32(&v, &there) != SP_OK || sp_view_u32(&v, &window) != SP_OK ||
	    sp_view_u32(&v, &packet) != SP_OK || packet < PACKET_LEAST) {
		conn_broken(ch->conn, "malformed channel confirmation");
		return;
	}
	ch->there = there;
	ch->window_out = window;
	ch->packet_out = packet < SP_CHANNEL_PACKET ? packet : SP_CHANNEL_PACKET;
	ch->state = CH_OPEN;
	if (ch->ops != NULL)
		ch->ops->opened(ch->arg);
	else
		sp_channel_close(ch);		/* released meanwhile */
}

static void
channel_on_refused(struct sp_channel *ch, struct sp_view v)
{
	const struct sp_channel_ops *ops = ch->ops;
	struct sp_view raw;
	char text[256] = "";
	uint32_t code = 0;

	if (ch->state != CH_OPENING_OURS || sp_view_u32(&v, &code) != SP_OK) {
		conn_broken(ch->conn, "malformed channel refusal");
		return;
	}
	if (sp_view_string(&v, &raw) == SP_OK)
		(void)sp_escape((const char *)raw.p, raw.len, text, sizeof(text));
	ch->state = CH_DEAD;
	if (ops != NULL)
		ops->refused(ch->arg, code, text);	/* ends with release */
	else
		channel_settle(ch);
}

static void
channel_on_window(struct sp_channel *ch, struct sp_view v)
{
	uint32_t more, before = ch->window_out;

	if (sp_view_u32(&v, &more) != SP_OK || more > UINT32_MAX - before) {
		conn_broken(ch->conn, "malformed window");
		return;
	}
	ch->window_out += more;
	if (before == 0 && ch->window_out > 0 && ch->ops != NULL)
		ch->ops->writable(ch->arg);
}

static void
channel_on_data(struct sp_channel *ch, struct sp_view v, int extended)
{
	struct sp_view data;
	uint32_t code = EXTENDED_STDERR;

	if ((extended && sp_view_u32(&v, &code) != SP_OK) || sp_view_string(&v, &data) != SP_OK ||
	    data.len > ch->window_in || ch->got_eof || ch->got_close) {
		conn_broken(ch->conn, "data beyond the window or after the end");
		return;
	}
	ch->window_in -= (uint32_t)data.len;
	if (ch->ops == NULL || (extended && code != EXTENDED_STDERR))
		sp_channel_consumed(ch, data.len);
	else
		ch->ops->data(ch->arg, extended ? SP_STREAM_ERR : SP_STREAM_OUT, data);
}

static void
channel_on_eof(struct sp_channel *ch)
{
	if (ch->got_eof || ch->got_close)
		return;
	ch->got_eof = 1;
	if (ch->ops != NULL)
		ch->ops->eof(ch->arg);
}

static void
channel_on_close(struct sp_channel *ch)
{
	const struct sp_channel_ops *ops = ch->ops;

	if (ch->got_close) {
		conn_broken(ch->conn, "channel closed twice");
		return;
	}
	ch->got_close = 1;
	if (ops != NULL)
		ops->closed(ch->arg);		/* may release */
	else {
		sp_channel_close(ch);
		channel_settle(ch);
	}
}

static void
channel_on_request(struct sp_channel *ch, struct sp_view v)
{
	struct sp_view raw;
	char name[SP_CHANNEL_NAME_MAX] = "";
	uint8_t want;

	if (sp_view_string(&v, &raw) != SP_OK || sp_view_u8(&v, &want) != SP_OK) {
		conn_broken(ch->conn, "malformed channel request");
		return;
	}
	if (ch->got_close)
		return;
	if (want && ++ch->due > REPLIES_MAX) {
		conn_broken(ch->conn, "too many channel requests");
		return;
	}
	if (raw.len < sizeof(name) && memchr(raw.p, '\0', raw.len) == NULL) {
		memcpy(name, raw.p, raw.len);
		name[raw.len] = '\0';
	}
	if (ch->ops != NULL)
		ch->ops->request(ch->arg, name, want, v);
	else if (want)
		sp_channel_reply(ch, 0);
}

static void
channel_on_reply(struct sp_channel *ch, int ok)
{
	if (ch->awaited == 0) {
		conn_broken(ch->conn, "reply to no channel request");
		return;
	}
	ch->awaited--;
	if (ch->ops != NULL)
		ch->ops->reply(ch->arg, ok);
}

/* Messages about one channel. */
static void
conn_on_channel(struct sp_conn *c, uint8_t type, struct sp_view v)
{
	struct sp_channel *ch;
	uint32_t n;

	if (sp_view_u32(&v, &n) != SP_OK || n >= SP_CHANNEL_MAX || (ch = c->ch[n]) == NULL) {
		conn_broken(c, "message for no channel");
		return;
	}
	if (type == MSG_OPEN_CONFIRMATION)
		channel_on_confirmed(ch, v);
	else if (type == MSG_OPEN_FAILURE)
		channel_on_refused(ch, v);
	else if (ch->state != CH_OPEN)
		conn_broken(c, "message for a channel that is not open");
	else if (type == MSG_WINDOW_ADJUST)
		channel_on_window(ch, v);
	else if (type == MSG_DATA || type == MSG_EXTENDED_DATA)
		channel_on_data(ch, v, type == MSG_EXTENDED_DATA);
	else if (type == MSG_EOF)
		channel_on_eof(ch);
	else if (type == MSG_CLOSE)
		channel_on_close(ch);
	else if (type == MSG_REQUEST)
		channel_on_request(ch, v);
	else
		channel_on_reply(ch, type == MSG_SUCCESS);
}

void
sp_conn_packet(struct sp_conn *c, struct sp_view v)
{
	uint8_t type;

	if (c->lost || sp_view_u8(&v, &type) != SP_OK)
		return;
	switch (type) {
	case MSG_GLOBAL_REQUEST:
		conn_on_global(c, v);
		break;
	case MSG_REQUEST_SUCCESS:
	case MSG_REQUEST_FAILURE:
		conn_on_global_reply(c, type == MSG_REQUEST_SUCCESS, v);
		break;
	case MSG_OPEN:
		conn_on_open(c, v);
		break;
	default:
		if (type >= MSG_OPEN_CONFIRMATION && type <= MSG_FAILURE)
			conn_on_channel(c, type, v);
		else
			conn_broken(c, "unknown message");
	}
}

void
sp_conn_writable(struct sp_conn *c)
{
	for (unsigned i = 0; i < SP_CHANNEL_MAX; i++) {
		struct sp_channel *ch = c->ch[i];

		if (ch != NULL && ch->ops != NULL && ch->state == CH_OPEN && ch->window_out > 0)
			ch->ops->writable(ch->arg);
	}
}

void
sp_conn_lost(struct sp_conn *c)
{
	if (c->lost)
		return;
	c->lost = 1;
	for (unsigned i = 0; i < SP_CHANNEL_MAX; i++) {
		struct sp_channel *ch = c->ch[i];
		const struct sp_channel_ops *ops;
		int opening;

		if (ch == NULL)
			continue;
		ops = ch->ops;
		opening = ch->state == CH_OPENING_OURS;
		if (ops == NULL || ch->got_close) {
			channel_settle(ch);
			continue;
		}
		ch->got_close = 1;
		ch->state = CH_DEAD;
		if (opening)
			ops->refused(ch->arg, SP_OPEN_CONNECT_FAILED, "connection lost");
		else
			ops->closed(ch->arg);
	}
}
