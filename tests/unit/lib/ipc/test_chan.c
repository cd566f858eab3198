/* One end is a channel (control, seen by the vault or a session), the other a bare socket or a second channel. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "ipc/chan.h"
#include "ipc/recdata.h"
#include "sallyport.pb-c.h"

struct head {
	uint16_t	protocol, id;
	uint32_t	corr;
};
struct seen {
	int		messages, closes;
	uint16_t	id;
	uint32_t	corr;
	int		kept;		/* a descriptor that was stolen, or -1 */
	int		steal, free_in_handler;
	enum sp_err	why;
	char		what[32], text[64];
	size_t		raw_len;
};

static void
on_msg(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	struct seen *s = arg;

	s->messages++;
	s->id = m->id;
	s->corr = m->corr;
	s->raw_len = m->raw_len;
	if (m->id == SP_MSG_NOTIFY)
		(void)snprintf(s->text, sizeof(s->text), "%s", ((Sallyport__Notify *)m->body)->text);
	if (s->steal && m->nfds > 0)
		s->kept = sp_steal_fd(&m->fds[0]);
	if (s->free_in_handler)
		sp_chan_free(c);
}

static void
on_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	struct seen *s = arg;

	(void)c;
	s->closes++;
	s->why = why;
	(void)snprintf(s->what, sizeof(s->what), "%s", what);
}

/* A channel of `self` towards `peer`; ret_raw is the peer's bare end. */
static struct sp_chan *
open_chan(enum sp_proc self, enum sp_proc peer, struct seen *s, int *ret_raw)
{
	struct sp_chan *c;
	int sv[2];

	assert_int_equal(sp_chan_pair(sv), SP_OK);
	assert_int_equal(sp_chan_new(sv[0], self, peer, on_msg, on_close, s, &c), SP_OK);
	*ret_raw = sv[1];
	return c;
}

static void
send_head(int fd, uint16_t protocol, uint16_t id, uint32_t corr, const void *body, size_t len)
{
	uint8_t buf[1024];
	const struct head h = { protocol, id, corr };

	memcpy(buf, &h, sizeof(h));
	if (len > 0)
		memcpy(buf + sizeof(h), body, len);
	assert_int_equal(send(fd, buf, sizeof(h) + len, 0), (ssize_t)(sizeof(h) + len));
}

static int
open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

static void
carries_a_message_with_its_number_and_text(void **state)
{
	struct seen a = { .kept = -1 }, b = { .kept = -1 };
	Sallyport__Notify n = SALLYPORT__NOTIFY__INIT;
	struct sp_chan *control, *session;
	char text[] = "hello";
	int raw;

	(void)state;
	control = open_chan(SP_PROC_CONTROL, SP_PROC_SESSION, &a, &raw);
	assert_int_equal(sp_chan_new(raw, SP_PROC_SESSION, SP_PROC_CONTROL, on_msg, on_close, &b, &session), SP_OK);
	n.text = text;
	assert_int_equal(sp_chan_send(control, SP_MSG_NOTIFY, 42, &n, NULL, 0), SP_OK);
	assert_int_equal(sp_chan_wait(session, 1000), SP_OK);
	assert_int_equal(b.messages, 1);
	assert_int_equal(b.id, SP_MSG_NOTIFY);
	assert_int_equal(b.corr, 42);
	assert_string_equal(b.text, "hello");
	sp_chan_free(control);
	assert_int_equal(sp_chan_wait(session, 1000), SP_ECLOSED);
	assert_int_equal(b.closes, 1);
	assert_int_equal(b.why, SP_ECLOSED);
	sp_chan_free(session);
}

static void
passes_descriptors_and_closes_what_nobody_takes(void **state)
{
	struct seen a = { .kept = -1 }, b = { .kept = -1 };
	Sallyport__Peer p = SALLYPORT__PEER__INIT;
	struct sp_chan *monitor, *vault;
	int raw, before, pipe_fd[2], fd;
	char byte = 0;

	(void)state;
	monitor = open_chan(SP_PROC_MONITOR, SP_PROC_VAULT, &a, &raw);
	assert_int_equal(sp_chan_new(raw, SP_PROC_VAULT, SP_PROC_MONITOR, on_msg, on_close, &b, &vault), SP_OK);
	assert_int_equal(pipe(pipe_fd), 0);
	before = open_fds();
	fd = fcntl(pipe_fd[1], F_DUPFD_CLOEXEC, 3);
	assert_int_equal(sp_chan_send(monitor, SP_MSG_PEER, 0, &p, &fd, 1), SP_OK);
	assert_int_equal(fd, -1);
	assert_int_equal(sp_chan_wait(vault, 1000), SP_OK);
	assert_int_equal(open_fds(), before);		/* not stolen: closed */
	b.steal = 1;
	fd = fcntl(pipe_fd[1], F_DUPFD_CLOEXEC, 3);
	assert_int_equal(sp_chan_send(monitor, SP_MSG_PEER, 0, &p, &fd, 1), SP_OK);
	assert_int_equal(sp_chan_wait(vault, 1000), SP_OK);
	assert_int_equal(write(b.kept, "x", 1), 1);
	assert_int_equal(read(pipe_fd[0], &byte, 1), 1);
	assert_int_equal(byte, 'x');
	close(b.kept);
	fd = fcntl(pipe_fd[1], F_DUPFD_CLOEXEC, 3);
	assert_int_equal(sp_chan_send(monitor, SP_MSG_NOTIFY, 0, &p, &fd, 1), SP_EINVAL);	/* wrong body */
	assert_int_equal(fd, -1);
	assert_int_equal(open_fds(), before);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	sp_chan_free(monitor);
	sp_chan_free(vault);
}

/* What the bare end sends closes the channel with that error, and no handler runs. */
static void
assert_bad(enum sp_proc self, enum sp_proc peer, uint16_t protocol, uint16_t id, const void *body, size_t len,
    enum sp_err why, const char *what)
{
	struct seen s = { .kept = -1 };
	int raw;
	struct sp_chan *c = open_chan(self, peer, &s, &raw);

	send_head(raw, protocol, id, 0, body, len);
	assert_int_equal(sp_chan_wait(c, 1000), SP_ECLOSED);
	assert_int_equal(s.messages, 0);
	assert_int_equal(s.closes, 1);
	assert_int_equal(s.why, why);
	assert_string_equal(s.what, what);
	assert_int_equal(sp_chan_wait(c, 0), SP_ECLOSED);
	assert_int_equal(s.closes, 1);
	sp_chan_free(c);
	close(raw);
}

static void
a_bad_message_closes_the_channel_with_the_reason(void **state)
{
	static const uint8_t garbage[] = { 0xff, 0xff, 0xff, 0xff };
	static const uint8_t large[200];

	(void)state;
	assert_bad(SP_PROC_CONTROL, SP_PROC_SESSION, SP_IPC_PROTOCOL, 0x00ff, NULL, 0, SP_EFORMAT, "");
	assert_bad(SP_PROC_CONTROL, SP_PROC_SESSION, SP_IPC_PROTOCOL, 0xffff, NULL, 0, SP_EFORMAT, "");
	assert_bad(SP_PROC_CONTROL, SP_PROC_SESSION, SP_IPC_PROTOCOL + 1, SP_MSG_HELLO, NULL, 0, SP_EVERSION, "");
	assert_bad(SP_PROC_CONTROL, SP_PROC_SESSION, SP_IPC_PROTOCOL, SP_MSG_LABEL, NULL, 0, SP_EPEER, "LABEL");
	assert_bad(SP_PROC_CONTROL, SP_PROC_SESSION, SP_IPC_PROTOCOL, SP_MSG_AUTH_ASK, NULL, 0, SP_ESTATE, "AUTH_ASK");
	assert_bad(SP_PROC_CONTROL, SP_PROC_SESSION, SP_IPC_PROTOCOL, SP_MSG_HELLO, garbage, sizeof(garbage), SP_EFORMAT, "HELLO");
	assert_bad(SP_PROC_VAULT, SP_PROC_CONTROL, SP_IPC_PROTOCOL, SP_MSG_VAULT_SEAL, large, sizeof(large), SP_ESIZE, "VAULT_SEAL");
	assert_bad(SP_PROC_VAULT, SP_PROC_MONITOR, SP_IPC_PROTOCOL, SP_MSG_PEER, NULL, 0, SP_ESIZE, "PEER");	/* no descriptor */
}

static void
a_cut_header_closes_the_channel(void **state)
{
	struct seen s = { .kept = -1 };
	int raw;
	struct sp_chan *c = open_chan(SP_PROC_CONTROL, SP_PROC_SESSION, &s, &raw);

	(void)state;
	assert_int_equal(send(raw, "\1\0\1", 3, 0), 3);
	assert_int_equal(sp_chan_wait(c, 1000), SP_ECLOSED);
	assert_int_equal(s.why, SP_EFORMAT);
	sp_chan_free(c);
	close(raw);
}

static void
a_packet_that_is_too_long_closes_the_channel(void **state)
{
	struct seen s = { .kept = -1 };
	static uint8_t huge[SP_MSG_MAX + 1];
	const struct head h = { SP_IPC_PROTOCOL, SP_MSG_HELLO, 0 };
	int raw, room = 4 * (int)sizeof(huge);
	struct sp_chan *c = open_chan(SP_PROC_CONTROL, SP_PROC_SESSION, &s, &raw);

	(void)state;
	memcpy(huge, &h, sizeof(h));
	(void)setsockopt(raw, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (send(raw, huge, sizeof(huge), 0) == -1) {
		assert_true(errno == EMSGSIZE || errno == EAGAIN);	/* the kernel refused it first */
	} else {
		assert_int_equal(sp_chan_wait(c, 1000), SP_ECLOSED);
		assert_int_equal(s.why, SP_ESIZE);
		assert_int_equal(s.messages, 0);
	}
	sp_chan_free(c);
	close(raw);
}

static void
the_state_of_the_peer_decides_what_it_may_send(void **state)
{
	struct seen s = { .kept = -1 };
	int raw;
	struct sp_chan *c = open_chan(SP_PROC_CONTROL, SP_PROC_SESSION, &s, &raw);

	(void)state;
	sp_chan_set_state(c, SP_ST_PREAUTH);
	send_head(raw, SP_IPC_PROTOCOL, SP_MSG_AUTH_ASK, 1, NULL, 0);
	assert_int_equal(sp_chan_wait(c, 1000), SP_OK);
	assert_int_equal(s.id, SP_MSG_AUTH_ASK);
	send_head(raw, SP_IPC_PROTOCOL, SP_MSG_TARGET_ASK, 1, NULL, 0);
	assert_int_equal(sp_chan_wait(c, 1000), SP_ECLOSED);
	assert_int_equal(s.why, SP_ESTATE);
	sp_chan_free(c);
	close(raw);
}

static void
queues_what_the_socket_does_not_take_and_refuses_beyond_the_limit(void **state)
{
	struct seen a = { .kept = -1 }, b = { .kept = -1 };
	Sallyport__TargetReply m = SALLYPORT__TARGET_REPLY__INIT;
	static uint8_t header[60000];
	struct sp_chan *control, *session;
	enum sp_err r;
	int raw, sent = 0;

	(void)state;
	control = open_chan(SP_PROC_CONTROL, SP_PROC_SESSION, &a, &raw);
	assert_int_equal(sp_chan_new(raw, SP_PROC_SESSION, SP_PROC_CONTROL, on_msg, on_close, &b, &session), SP_OK);
	m.header = (ProtobufCBinaryData){ sizeof(header), header };
	while ((r = sp_chan_send(control, SP_MSG_TARGET_REPLY, 0, &m, NULL, 0)) == SP_OK && sent < 1000)
		sent++;
	assert_int_equal(r, SP_EFULL);
	assert_true(sp_chan_queued(control) <= SP_CHAN_QUEUE);
	assert_true(sp_chan_want_write(control));
	while (b.messages < sent) {	/* all of it arrives, in order, once the reader reads */
		sp_chan_on_io(control, 0, 1);
		assert_int_equal(sp_chan_wait(session, 1000), SP_OK);
	}
	assert_int_equal(sp_chan_queued(control), 0);
	assert_int_equal(sp_chan_send(control, SP_MSG_TARGET_REPLY, 0, &m, NULL, 0), SP_OK);
	sp_chan_free(control);
	sp_chan_free(session);
}

struct successor {
	struct sp_chan	*to;
	int		 put;
};

static void
put_back(const uint8_t *bytes, size_t len, const int *fds, int nfds, int secret, void *arg)
{
	struct successor *s = arg;
	int mine[SP_MSG_FDS];

	for (int i = 0; i < nfds; i++)
		mine[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);	/* execve(2) would keep the very numbers */
	assert_int_equal(sp_chan_put_back(s->to, bytes, len, mine, nfds, secret), SP_OK);
	for (int i = 0; i < nfds; i++)
		assert_int_equal(mine[i], -1);
	s->put++;
}

static void
what_waits_goes_on_through_a_successor_in_order_with_its_descriptors(void **state)
{
	struct seen a = { .kept = -1 }, b = { .kept = -1, .steal = 1 };
	Sallyport__TargetReply big = SALLYPORT__TARGET_REPLY__INIT;
	Sallyport__DialReply last = SALLYPORT__DIAL_REPLY__INIT;
	static uint8_t header[60000];
	struct sp_chan *control, *session;
	struct successor next = { 0 };
	int raw, fd, before, sent = 0;

	(void)state;
	before = open_fds();
	control = open_chan(SP_PROC_CONTROL, SP_PROC_SESSION, &a, &raw);
	assert_int_equal(sp_chan_new(raw, SP_PROC_SESSION, SP_PROC_CONTROL, on_msg, on_close, &b, &session), SP_OK);
	big.header = (ProtobufCBinaryData){ sizeof(header), header };
	for (; !sp_chan_want_write(control) || sp_chan_queued(control) < 3 * sizeof(header); sent++)
		assert_int_equal(sp_chan_send(control, SP_MSG_TARGET_REPLY, 7, &big, NULL, 0), SP_OK);
	fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
	assert_int_equal(sp_chan_send(control, SP_MSG_DIAL_REPLY, 8, &last, &fd, 1), SP_OK);
	fd = fcntl(sp_chan_fd(control), F_DUPFD_CLOEXEC, 3);
	assert_int_equal(sp_chan_new(fd, SP_PROC_CONTROL, SP_PROC_SESSION, on_msg, on_close, &a, &next.to), SP_OK);
	sp_chan_waiting(control, put_back, &next);
	assert_true(next.put > 3 && next.put <= sent);
	assert_int_equal(sp_chan_queued(next.to), sp_chan_queued(control));
	sp_chan_free(control);		/* its socket lives on in the duplicate */
	while (b.messages < sent + 1) {
		if (b.messages == sent)
			assert_int_equal(b.corr, 7);
		sp_chan_on_io(next.to, 0, 1);
		assert_int_equal(sp_chan_wait(session, 1000), SP_OK);
	}
	assert_int_equal(b.id, SP_MSG_DIAL_REPLY);
	assert_int_equal(b.corr, 8);
	assert_true(fcntl(b.kept, F_GETFD) != -1);
	close(b.kept);
	assert_int_equal(sp_chan_queued(next.to), 0);
	sp_chan_free(next.to);
	sp_chan_free(session);
	assert_int_equal(open_fds(), before);
}

static void
refuses_to_send_more_than_the_row_allows(void **state)
{
	struct seen s = { .kept = -1 };
	Sallyport__Notify n = SALLYPORT__NOTIFY__INIT;
	static char text[5000];
	int raw;
	struct sp_chan *c = open_chan(SP_PROC_CONTROL, SP_PROC_SESSION, &s, &raw);

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	n.text = text;
	assert_int_equal(sp_chan_send(c, SP_MSG_NOTIFY, 0, &n, NULL, 0), SP_ESIZE);
	assert_int_equal(sp_chan_queued(c), 0);
	sp_chan_free(c);
	close(raw);
}

static void
the_hot_path_sends_two_parts_as_one_message_and_says_when_the_socket_is_full(void **state)
{
	struct seen a = { .kept = -1 }, b = { .kept = -1 };
	const struct sp_recdata head = { .channel = 3, .stream = SP_REC_OUT };
	static uint8_t data[SP_REC_CHUNK];
	struct sp_chan *session, *scribe;
	enum sp_err r;
	int raw, sent = 0;

	(void)state;
	session = open_chan(SP_PROC_SESSION, SP_PROC_SCRIBE, &a, &raw);
	assert_int_equal(sp_chan_new(raw, SP_PROC_SCRIBE, SP_PROC_SESSION, on_msg, on_close, &b, &scribe), SP_OK);
	while ((r = sp_chan_send_raw(session, SP_MSG_REC_DATA, &head, sizeof(head), data, sizeof(data))) == SP_OK)
		sent++;
	assert_int_equal(r, SP_EAGAIN);
	assert_true(sent > 0);
	assert_int_equal(sp_chan_queued(session), 0);	/* nothing was kept: the caller has its data */
	for (int i = 0; i < sent; i++)
		assert_int_equal(sp_chan_wait(scribe, 1000), SP_OK);
	assert_int_equal(b.messages, sent);
	assert_int_equal(b.raw_len, sizeof(head) + sizeof(data));
	sp_chan_free(session);
	sp_chan_free(scribe);
}

static void
tells_when_the_peer_died_with_messages_unread(void **state)
{
	struct seen read = { .kept = -1 }, unread = { .kept = -1 };
	Sallyport__Notify n = SALLYPORT__NOTIFY__INIT;
	struct sp_chan *c;
	char buf[64];
	int raw;

	(void)state;
	c = open_chan(SP_PROC_CONTROL, SP_PROC_SESSION, &unread, &raw);
	assert_int_equal(sp_chan_send(c, SP_MSG_NOTIFY, 0, &n, NULL, 0), SP_OK);
	close(raw);
	assert_int_equal(sp_chan_wait(c, 1000), SP_ECLOSED);
	assert_int_equal(unread.why, SP_ECLOSED);
	assert_string_equal(unread.what, SP_CHAN_UNREAD);
	sp_chan_free(c);
	c = open_chan(SP_PROC_CONTROL, SP_PROC_SESSION, &read, &raw);
	assert_int_equal(sp_chan_send(c, SP_MSG_NOTIFY, 0, &n, NULL, 0), SP_OK);
	assert_true(recv(raw, buf, sizeof(buf), 0) > 0);
	close(raw);
	assert_int_equal(sp_chan_wait(c, 1000), SP_ECLOSED);
	assert_string_equal(read.what, "");
	assert_int_equal(sp_chan_send(c, SP_MSG_NOTIFY, 0, &n, NULL, 0), SP_ECLOSED);
	sp_chan_free(c);
}

static void
may_be_freed_inside_its_own_handler(void **state)
{
	struct seen s = { .kept = -1, .free_in_handler = 1 };
	int raw;
	struct sp_chan *c = open_chan(SP_PROC_CONTROL, SP_PROC_SESSION, &s, &raw);

	(void)state;
	send_head(raw, SP_IPC_PROTOCOL, SP_MSG_HELLO, 0, NULL, 0);
	send_head(raw, SP_IPC_PROTOCOL, SP_MSG_HELLO, 0, NULL, 0);
	sp_chan_on_io(c, 1, 0);
	assert_int_equal(s.messages, 1);	/* no handler after that */
	assert_int_equal(s.closes, 0);
	close(raw);
}

static void
waits_no_longer_than_it_was_told(void **state)
{
	struct seen s = { .kept = -1 };
	int raw;
	struct sp_chan *c = open_chan(SP_PROC_CONTROL, SP_PROC_SESSION, &s, &raw);

	(void)state;
	assert_int_equal(sp_chan_wait(c, 10), SP_ETIMEOUT);
	assert_int_equal(s.closes, 0);
	sp_chan_free(c);
	close(raw);
}

static void
numbers_of_questions_are_never_zero_and_differ(void **state)
{
	struct seen s = { .kept = -1 };
	int raw;
	struct sp_chan *c = open_chan(SP_PROC_CONTROL, SP_PROC_SESSION, &s, &raw);
	uint32_t a = sp_chan_corr(c), b = sp_chan_corr(c);

	(void)state;
	assert_int_not_equal(a, 0);
	assert_int_not_equal(b, 0);
	assert_int_not_equal(a, b);
	sp_chan_free(c);
	close(raw);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(carries_a_message_with_its_number_and_text),
		cmocka_unit_test(passes_descriptors_and_closes_what_nobody_takes),
		cmocka_unit_test(a_bad_message_closes_the_channel_with_the_reason),
		cmocka_unit_test(a_cut_header_closes_the_channel),
		cmocka_unit_test(a_packet_that_is_too_long_closes_the_channel),
		cmocka_unit_test(the_state_of_the_peer_decides_what_it_may_send),
		cmocka_unit_test(queues_what_the_socket_does_not_take_and_refuses_beyond_the_limit),
		cmocka_unit_test(what_waits_goes_on_through_a_successor_in_order_with_its_descriptors),
		cmocka_unit_test(refuses_to_send_more_than_the_row_allows),
		cmocka_unit_test(the_hot_path_sends_two_parts_as_one_message_and_says_when_the_socket_is_full),
		cmocka_unit_test(tells_when_the_peer_died_with_messages_unread),
		cmocka_unit_test(may_be_freed_inside_its_own_handler),
		cmocka_unit_test(waits_no_longer_than_it_was_told),
		cmocka_unit_test(numbers_of_questions_are_never_zero_and_differ),
	};

	return cmocka_run_group_tests_name("ipc_chan", tests, NULL, NULL);
}
