/* tests/unit/src/dialer/test_dial.c - one question against real sockets on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "dialer/dial.h"

static struct sp_loop *loop;
static struct sp_pool *pool;
static struct {
	int		calls;
	enum sp_err	err;
	char		text[256];
	int		fd;
	struct sp_netaddr address;
	size_t		n;
} got;

static int
setup(void **state)
{
	(void)state;
	memset(&got, 0, sizeof(got));
	got.fd = -1;
	return sp_loop_new(&loop) == SP_OK && sp_pool_new(loop, 2, 4, &pool) == SP_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	sp_closep(&got.fd);
	sp_pool_free(pool);
	sp_loop_free(loop);
	return 0;
}

static void
answered(const struct dial_result *r, void *arg)
{
	assert_ptr_equal(arg, &got);
	got.calls++;
	got.err = r->err;
	(void)sp_strlcpy(got.text, r->text, sizeof(got.text));
	got.fd = r->fd;
	got.address = r->address;
	got.n = r->n_addresses;
}

static void
dial(const struct dial_ask *ask)
{
	assert_int_equal(dial_start(loop, pool, ask, answered, &got), SP_OK);
	assert_int_equal(got.calls, 0);		/* never inside the call */
	while (got.calls == 0)
		assert_int_equal(sp_loop_once(loop, 5000), SP_OK);
	assert_int_equal(got.calls, 1);
}

/* A socket on loopback; listening or not. */
static int
bound(int backlog, uint16_t *ret_port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)(void *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&in, &len), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	*ret_port = ntohs(in.sin_port);
	return fd;
}

static void
gives_a_connected_socket_and_its_address(void **state)
{
	struct dial_ask ask = { .host = "127.0.0.1", .timeout_us = 5 * SP_US_PER_S };
	int listener = bound(8, &ask.port);
	char b = 0, text[SP_NETADDR_SIZE];
	int peer;

	(void)state;
	dial(&ask);
	assert_int_equal(got.err, SP_OK);
	assert_string_equal(got.text, "");
	assert_string_equal(sp_netaddr_text(&got.address, text), "127.0.0.1");
	assert_int_equal(got.address.port, ask.port);
	peer = accept(listener, NULL, NULL);
	assert_int_equal(write(peer, "x", 1), 1);
	assert_int_not_equal(fcntl(got.fd, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(got.fd, F_SETFL, 0), 0);
	assert_int_equal(read(got.fd, &b, 1), 1);
	assert_int_equal(b, 'x');
	close(peer);
	close(listener);
}

static void
a_refused_connection_reads_so_with_address_and_port(void **state)
{
	struct dial_ask ask = { .host = "127.0.0.1", .timeout_us = 5 * SP_US_PER_S };
	int fd = bound(-1, &ask.port);
	char want[64];

	(void)state;
	dial(&ask);
	sp_snprintf(want, sizeof(want), "127.0.0.1:%u: connection refused", ask.port);
	assert_string_equal(got.text, want);
	assert_int_equal(got.err, SP_EUNREACH);
	assert_int_equal(got.fd, -1);
	close(fd);
}

static void
a_silent_target_times_out_at_the_deadline(void **state)
{
	struct dial_ask ask = { .host = "127.0.0.1", .timeout_us = 300 * SP_US_PER_MS };
	int listener = bound(0, &ask.port), fill[8];
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(ask.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint64_t start;

	(void)state;
	for (int i = 0; i < 8; i++) {		/* the queue of the listener is full: further SYNs get no answer */
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(fill[i], (struct sockaddr *)(void *)&in, sizeof(in));
	}
	start = sp_now_us();
	dial(&ask);
	assert_int_equal(got.err, SP_ETIMEOUT);
	assert_non_null(strstr(got.text, "timed out after 1 s"));
	assert_in_range(sp_now_us() - start, 300 * SP_US_PER_MS, 3 * SP_US_PER_S);
	for (int i = 0; i < 8; i++)
		close(fill[i]);
	close(listener);
}

static void
a_name_is_resolved_and_every_answer_checked(void **state)
{
	char loopback[] = "loopback";
	char *const refuse[] = { loopback };
	struct dial_ask ask = { .host = "localhost", .timeout_us = 5 * SP_US_PER_S };
	int listener = bound(8, &ask.port);

	(void)state;
	dial(&ask);		/* ::1 refuses where it exists, 127.0.0.1 answers */
	assert_int_equal(got.err, SP_OK);
	sp_closep(&got.fd);
	got.calls = 0;
	ask.refuse = refuse;
	ask.n_refuse = 1;
	dial(&ask);
	assert_int_equal(got.err, SP_EDENIED);
	assert_non_null(strstr(got.text, "this address is not allowed"));
	assert_int_equal(got.fd, -1);
	close(listener);
}

static void
a_name_that_does_not_exist_reads_so(void **state)
{
	const struct dial_ask ask = { .host = "no-such-host.invalid", .port = 22, .timeout_us = 10 * SP_US_PER_S };

	(void)state;
	dial(&ask);
	assert_true(got.err == SP_ENOENT || got.err == SP_EAGAIN);	/* without any name server: the latter */
	assert_true(strncmp(got.text, "no-such-host.invalid: ", 22) == 0);
}

static void
resolving_only_connects_to_nothing(void **state)
{
	const struct dial_ask ask = { .host = "127.0.0.1", .port = 9, .timeout_us = SP_US_PER_S, .resolve_only = 1 };

	(void)state;
	dial(&ask);
	assert_int_equal(got.err, SP_OK);
	assert_int_equal(got.fd, -1);
	assert_int_equal(got.n, 1);
}

static void
questions_that_cannot_be_meant_are_refused_at_once(void **state)
{
	static char longest[DIAL_HOST + 1];
	static const char *const bad[] = { "", "a b", "a\nb", "-h", "a/b", "fe80::1%eth0", longest };

	(void)state;
	memset(longest, 'a', sizeof(longest) - 1);
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		assert_int_equal(dial_start(loop, pool, &(struct dial_ask){ .host = bad[i], .port = 22, .timeout_us = 1 }, answered, &got),
		    SP_EINVAL);
	assert_int_equal(dial_start(loop, pool, &(struct dial_ask){ .host = "h", .timeout_us = 1 }, answered, &got), SP_EINVAL);
	assert_int_equal(dial_start(loop, pool, &(struct dial_ask){ .host = "h", .port = 22 }, answered, &got), SP_EINVAL);
	assert_int_equal(got.calls, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(gives_a_connected_socket_and_its_address),
		T(a_refused_connection_reads_so_with_address_and_port),
		T(a_silent_target_times_out_at_the_deadline),
		T(a_name_is_resolved_and_every_answer_checked),
		T(a_name_that_does_not_exist_reads_so),
		T(resolving_only_connects_to_nothing),
		T(questions_that_cannot_be_meant_are_refused_at_once),
	};

	return cmocka_run_group_tests_name("dialer_dial", tests, NULL, NULL);
}
