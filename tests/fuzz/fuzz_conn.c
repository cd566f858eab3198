/* tests/fuzz/fuzz_conn.c - whatever a peer sends in the connection protocol: no fault, the window is never overrun in
 * either direction, and nothing is leaked. Input: u16 length, payload, again and again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "session/conn.h"

#define OWNED 64

struct owned {
	struct sp_channel	*ch;
	size_t			 given;		/* to us, not consumed yet */
};
static struct {
	struct sp_conn	*conn;
	struct owned	 own[OWNED];
	unsigned	 n;
	int		 broken;
} f;

static void
take_send(void *arg, const void *head, size_t head_len, const void *data, size_t len)
{
	(void)arg;
	if (head_len == 0 || len > SP_CHANNEL_PACKET || (len > 0 && data == NULL) || head == NULL)
		abort();
}

static void
ch_closed(void *arg)
{
	struct owned *o = arg;

	sp_channel_release(o->ch);
	o->ch = NULL;
}

static void
ch_refused(void *arg, uint32_t code, const char *text)
{
	(void)code;
	(void)text;
	ch_closed(arg);
}

static void
ch_data(void *arg, int stream, struct sp_view v)
{
	struct owned *o = arg;

	(void)stream;
	o->given += v.len;
	if (o->given > SP_CHANNEL_WINDOW)
		abort();
	(void)sp_channel_write(o->ch, SP_STREAM_OUT, v.p, v.len);
	if (v.len % 2 == 0) {		/* sometimes it is kept */
		sp_channel_consumed(o->ch, o->given);
		o->given = 0;
	}
}

static void ch_eof(void *arg) { sp_channel_eof(((struct owned *)arg)->ch); }
static void ch_nothing(void *arg) { (void)arg; }
static void ch_reply(void *arg, int ok) { (void)arg; (void)ok; }

static void
ch_request(void *arg, const char *name, int want_reply, struct sp_view data)
{
	struct owned *o = arg;

	if (memchr(name, '\0', SP_CHANNEL_NAME_MAX) == NULL)
		abort();
	(void)data;
	if (want_reply)
		sp_channel_reply(o->ch, name[0] == 's');
}

static const struct sp_channel_ops ch_ops = {
	ch_nothing, ch_refused, ch_data, ch_eof, ch_closed, ch_request, ch_reply, ch_nothing
};

static void
on_open(void *arg, struct sp_channel *ch, const char *type, struct sp_view extra)
{
	(void)arg;
	(void)extra;
	if (f.n == OWNED || type[0] == 'x') {
		sp_channel_refuse(ch, SP_OPEN_UNKNOWN_TYPE, "no");
		return;
	}
	f.own[f.n].ch = ch;
	sp_channel_own(ch, &ch_ops, &f.own[f.n++]);
	sp_channel_accept(ch);
}

static void
on_global(void *arg, const char *name, int want_reply, struct sp_view data)
{
	(void)arg;
	(void)name;
	(void)data;
	if (want_reply)
		sp_conn_reply(f.conn, 0, NULL, 0);
}

static void on_global_reply(void *arg, int ok, struct sp_view data) { (void)arg; (void)ok; (void)data; }
static void on_broken(void *arg, const char *why) { (void)arg; (void)why; f.broken = 1; }
static int can_write(void *arg) { (void)arg; return 1; }
static const struct sp_conn_ops conn_ops = { on_open, on_global, on_global_reply, on_broken, can_write };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	memset(&f, 0, sizeof(f));
	if (sp_conn_new(&conn_ops, NULL, take_send, NULL, &f.conn) != SP_OK)
		return 0;
	if (sp_channel_open(f.conn, "session", NULL, 0, &ch_ops, &f.own[0], &f.own[0].ch) != SP_OK)
		abort();
	f.n = 1;
	while (size >= 2 && !f.broken) {
		size_t n = (size_t)data[0] << 8 | data[1];

		data += 2;
		size -= 2;
		n = n < size ? n : size;
		sp_conn_packet(f.conn, (struct sp_view){ data, n });
		data += n;
		size -= n;
	}
	sp_conn_lost(f.conn);
	for (unsigned i = 0; i < f.n; i++)
		if (f.own[i].ch != NULL)
			abort();	/* every channel was told that it is over */
	if (sp_conn_channels(f.conn) != 0)
		abort();
	sp_conn_free(f.conn);
	return 0;
}
