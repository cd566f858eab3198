/* tests/unit/lib/base/test_netaddr.c - addresses and networks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/netaddr.h"

static struct sp_netaddr
addr(const char *s)
{
	struct sp_netaddr a;

	assert_int_equal(sp_netaddr_parse(s, &a), SP_OK);
	return a;
}

static void
reads_and_prints_addresses_with_ports(void **state)
{
	static const char *const v[][3] = {
		{ "192.0.2.1", "192.0.2.1", "192.0.2.1:22" }, { "192.0.2.1:2222", "192.0.2.1", "192.0.2.1:2222" },
		{ "[2001:db8::1]:2222", "2001:db8::1", "[2001:db8::1]:2222" }, { "2001:db8::1", "2001:db8::1", "[2001:db8::1]:22" },
		{ "[::1]", "::1", "[::1]:22" }, { "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1:22" } };
	struct sp_netaddr a;
	char t[SP_NETADDR_SIZE];

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(v); i++) {
		assert_int_equal(sp_netaddr_parse_hostport(v[i][0], 22, &a), SP_OK);
		assert_string_equal(sp_netaddr_text(&a, t), v[i][1]);
		assert_string_equal(sp_netaddr_text_port(&a, t), v[i][2]);
	}
}

static void
refuses_what_is_no_address(void **state)
{
	static const char *const bad[] = { "", "host", "1.2.3", "1.2.3.4.5", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:65536", "1.2.3.4:-1",
		"[::1", "::1]", "[::1]x", "[::1]:", "1.2.3.4:1:2", "[1.2.3.4:5" };
	struct sp_netaddr a;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		assert_int_not_equal(sp_netaddr_parse_hostport(bad[i], 22, &a), SP_OK);
}

static void
survives_the_way_through_a_sockaddr(void **state)
{
	static const char *const v[] = { "192.0.2.7", "2001:db8::7" };
	struct sockaddr_storage ss;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(v); i++) {
		struct sp_netaddr a = addr(v[i]), b;

		a.port = 4321;
		assert_true(sp_netaddr_to_sockaddr(&a, &ss) > 0);
		assert_int_equal(sp_netaddr_from_sockaddr((struct sockaddr *)(void *)&ss, &b), SP_OK);
		assert_true(sp_netaddr_same_host(&a, &b) && a.port == b.port);
	}
}

static void
networks_contain_their_addresses_only(void **state)
{
	static const struct {
		const char	*net, *in, *out;
	} v[] = { { "10.0.0.0/8", "10.255.0.1", "11.0.0.0" }, { "192.0.2.128/25", "192.0.2.200", "192.0.2.127" },
		{ "0.0.0.0/0", "8.8.8.8", "::1" }, { "192.0.2.1/32", "192.0.2.1", "192.0.2.2" },
		{ "2001:db8::/32", "2001:db8:ffff::", "2001:db9::" }, { "fe80::/10", "fe80::1", "fec0::1" } };
	struct sp_netnet n;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(v); i++) {
		struct sp_netaddr in = addr(v[i].in), out = addr(v[i].out);

		assert_int_equal(sp_netnet_parse(v[i].net, &n), SP_OK);
		assert_true(sp_netnet_contains(&n, &in));
		assert_false(sp_netnet_contains(&n, &out));
	}
	assert_int_not_equal(sp_netnet_parse("10.0.0.1/8", &n), SP_OK);	/* host bits */
	assert_int_not_equal(sp_netnet_parse("10.0.0.0/33", &n), SP_OK);
	assert_int_not_equal(sp_netnet_parse("10.0.0.0/", &n), SP_OK);
	assert_int_not_equal(sp_netnet_parse("::/129", &n), SP_OK);
}

static void
knows_loopback_and_link_local_in_every_spelling(void **state)
{
	static const char *const loop[] = { "127.0.0.1", "127.255.255.255", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1" };
	static const char *const link[] = { "169.254.169.254", "fe80::1", "febf::1", "224.0.0.1", "ff02::1", "::ffff:169.254.0.1" };
	static const char *const plain[] = { "10.0.0.1", "128.0.0.1", "2001:db8::1", "169.253.0.1", "fec0::1" };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(loop); i++)
		assert_true(sp_netaddr_is_loopback((struct sp_netaddr[]){ addr(loop[i]) }));
	for (size_t i = 0; i < SP_NELEMS(link); i++)
		assert_true(sp_netaddr_is_linklocal((struct sp_netaddr[]){ addr(link[i]) }));
	for (size_t i = 0; i < SP_NELEMS(plain); i++) {
		assert_false(sp_netaddr_is_loopback((struct sp_netaddr[]){ addr(plain[i]) }));
		assert_false(sp_netaddr_is_linklocal((struct sp_netaddr[]){ addr(plain[i]) }));
	}
}

static void
a_host_is_an_address_or_a_name_that_a_resolver_may_see(void **state)
{
	static const char *const good[] = { "10.0.0.1", "::1", "2001:db8::1", "web1", "web1.example.org", "x_1-2.example.", "WEB" };
	static const char *const bad[] = { "", "-x", ".x", "1.2.3.4; rm -rf /", "a b", "a/b", "a@b", "fe80::1%eth0", "a:22", "[::1]", "$(id)",
	    "a\nb", "\xe4\xb8\xad" };
	char longest[SP_HOST_MAX + 2];

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(good); i++)
		assert_true(sp_host_is_ok(good[i]));
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		assert_false(sp_host_is_ok(bad[i]));
	memset(longest, 'a', sizeof(longest));
	longest[SP_HOST_MAX + 1] = '\0';
	assert_false(sp_host_is_ok(longest));
	longest[SP_HOST_MAX] = '\0';
	assert_true(sp_host_is_ok(longest));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_and_prints_addresses_with_ports),
		cmocka_unit_test(refuses_what_is_no_address),
		cmocka_unit_test(survives_the_way_through_a_sockaddr),
		cmocka_unit_test(networks_contain_their_addresses_only),
		cmocka_unit_test(knows_loopback_and_link_local_in_every_spelling),
		cmocka_unit_test(a_host_is_an_address_or_a_name_that_a_resolver_may_see),
	};

	return cmocka_run_group_tests_name("base_netaddr", tests, NULL, NULL);
}
