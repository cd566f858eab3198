/* tests/unit/lib/wire/test_syslog.c - records byte for byte, and how collectors are named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "wire/syslog.h"

#define NOON	(INT64_C(1788264000) * 1000000)	/* 2026-09-01T12:00:00Z */

static struct sp_view
view(const char *s)
{
	return (struct sp_view){ (const uint8_t *)s, strlen(s) };
}

static void
prints_a_record_as_rfc_5424_has_it(void **state)
{
	const struct sp_syslog_head h = { .facility = 10, .severity = 4, .wall_us = NOON, .host = "bastion", .app = "sallyport",
	    .msgid = "login.failed", .seq = 7 };
	const struct sp_syslog_head bare = { .facility = 0, .severity = 6, .wall_us = NOON };
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 4096 };

	(void)state;
	assert_int_equal(sp_syslog_5424(&h, view("{\"seq\":7}"), &b), SP_OK);
	assert_string_equal(sp_buf_cstr(&b),
	    "<84>1 2026-09-01T12:00:00.000000Z bastion sallyport - login.failed [meta sequenceId=\"7\"] {\"seq\":7}");
	sp_buf_reset(&b);
	assert_int_equal(sp_syslog_5424(&bare, view("x"), &b), SP_OK);
	assert_string_equal(sp_buf_cstr(&b), "<6>1 2026-09-01T12:00:00.000000Z - - - - - x");
}

static void
counts_the_bytes_of_a_record_on_a_stream(void **state)
{
	const struct sp_syslog_head h = { .facility = 1, .severity = 6, .wall_us = NOON };
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 4096 };

	(void)state;
	assert_int_equal(sp_syslog_5424_counted(&h, view("\xe5\xbc\xa0"), &b), SP_OK);
	assert_int_equal(sp_syslog_5424_counted(&h, view("b"), &b), SP_OK);
	assert_string_equal(sp_buf_cstr(&b),
	    "47 <14>1 2026-09-01T12:00:00.000000Z - - - - - \xe5\xbc\xa0" "45 <14>1 2026-09-01T12:00:00.000000Z - - - - - b");
}

static void
a_header_field_cannot_forge_another_one(void **state)
{
	const struct sp_syslog_head h = { .facility = 1, .severity = 6, .wall_us = NOON, .host = "a b\n", .app = "\xe5\xbc\xa0",
	    .msgid = "0123456789012345678901234567890123456789", .seq = UINT64_C(2147483648) };
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 4096 };

	(void)state;
	assert_int_equal(sp_syslog_5424(&h, view("x"), &b), SP_OK);
	assert_string_equal(sp_buf_cstr(&b),
	    "<14>1 2026-09-01T12:00:00.000000Z a_b_ ___ - 01234567890123456789012345678901 [meta sequenceId=\"1\"] x");
}

static void
prints_a_record_as_python_sends_it_for_jumpserver(void **state)
{
	/* <14>: facility user, INFO; ends with one NUL (the reference's example). */
	static const char want[] = "<14>jumpserver: session_command_log - {\"account\": \"root(root)\"}";
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 4096 };

	(void)state;
	assert_int_equal(sp_syslog_jumpserver(1, "session_command_log", view("{\"account\": \"root(root)\"}"), &b), SP_OK);
	assert_int_equal(b.len, sizeof(want));
	assert_memory_equal(b.p, want, sizeof(want));
	assert_int_equal(sp_syslog_jumpserver(1, "a b", view("{}"), &b), SP_EINVAL);
	assert_int_equal(sp_syslog_jumpserver(24, "login_log", view("{}"), &b), SP_EINVAL);
	assert_int_equal(b.len, sizeof(want));
}

static void
a_record_that_does_not_fit_leaves_nothing(void **state)
{
	const struct sp_syslog_head h = { .facility = 1, .severity = 6, .wall_us = NOON };
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 50 };

	(void)state;
	assert_int_equal(sp_syslog_5424_counted(&h, view("12345678901234567890"), &b), SP_ESIZE);
	assert_int_equal(b.len, 0);
	assert_int_equal(sp_syslog_jumpserver(1, "login_log", view("{\"0123456789\": \"0123456789\"}"), &b), SP_ESIZE);
	assert_int_equal(b.len, 0);
}

static const struct {
	const char			*text, *host;
	enum sp_syslog_transport	 transport;
	uint16_t			 port;		/* 0: refused */
} dests[] = {
	{ "udp://10.0.0.5:1514", "10.0.0.5", SP_SYSLOG_UDP, 1514 },
	{ "udp://siem", "siem", SP_SYSLOG_UDP, 514 },
	{ "tcp://siem.example.org:601", "siem.example.org", SP_SYSLOG_TCP, 601 },
	{ "tls://[2001:db8::1]", "2001:db8::1", SP_SYSLOG_TLS, 6514 },
	{ "tls://[::1]:6515", "::1", SP_SYSLOG_TLS, 6515 },
	{ "siem:514", NULL, 0, 0 },
	{ "http://siem:514", NULL, 0, 0 },
	{ "udp://", NULL, 0, 0 },
	{ "udp://:514", NULL, 0, 0 },
	{ "udp://siem:0", NULL, 0, 0 },
	{ "udp://siem:65536", NULL, 0, 0 },
	{ "udp://siem:1x", NULL, 0, 0 },
	{ "udp://::1:514", NULL, 0, 0 },
	{ "udp://[::1", NULL, 0, 0 },
	{ "udp://[::1]514", NULL, 0, 0 },
	{ "udp://a b:1", NULL, 0, 0 },
	{ "udp://-a:1", NULL, 0, 0 },
};

static void
reads_where_a_collector_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_NELEMS(dests); i++) {
		struct sp_syslog_dest d = { .port = 9 };

		assert_int_equal(sp_syslog_dest_parse(dests[i].text, &d), dests[i].port != 0 ? SP_OK : SP_EFORMAT);
		if (dests[i].port == 0) {
			assert_int_equal(d.port, 9);
			continue;
		}
		assert_string_equal(d.host, dests[i].host);
		assert_int_equal(d.port, dests[i].port);
		assert_int_equal(d.transport, dests[i].transport);
	}
}

static void
knows_facilities_by_their_names(void **state)
{
	unsigned f = 99;

	(void)state;
	assert_int_equal(sp_syslog_facility("nonsense", &f), SP_EINVAL);
	assert_int_equal(f, 99);
	assert_int_equal(sp_syslog_facility("user", &f), SP_OK);
	assert_int_equal(f, 1);
	assert_int_equal(sp_syslog_facility("local0", &f), SP_OK);
	assert_int_equal(f, 16);
	assert_int_equal(sp_syslog_facility("authpriv", &f), SP_OK);
	assert_int_equal(f, 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_a_record_as_rfc_5424_has_it),
		cmocka_unit_test(counts_the_bytes_of_a_record_on_a_stream),
		cmocka_unit_test(a_header_field_cannot_forge_another_one),
		cmocka_unit_test(prints_a_record_as_python_sends_it_for_jumpserver),
		cmocka_unit_test(a_record_that_does_not_fit_leaves_nothing),
		cmocka_unit_test(reads_where_a_collector_is),
		cmocka_unit_test(knows_facilities_by_their_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
