/* tests/unit/src/common/test_copydest.c - collectors as the configuration names them, and what it says of a wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "common/copydest.h"

static const struct {
	const char	*text, *why;
} wrong[] = {
	{ "# one\n\nsyslog udp://a:1\nsyslog siem:514\n", "f:4: syslog: wants udp://host:port, tcp://host:port or tls://host:port" },
	{ "syslog_facility nonsense\n", "f:1: syslog_facility: wants a facility such as authpriv, user or local0" },
	{ "log_level info\nsyslog_from never\n", "f:2: syslog_from: wants start or now" },
	{ "\nsyslog_cert /etc/a.pem\n", "f:2: syslog_cert: syslog_key is missing: the certificate's private key" },
	{ "syslog_key /etc/a.key\n", "f:1: syslog_key: syslog_cert is missing: the certificate of this key" },
	{ "syslog_cert a.pem\nsyslog_key /etc/a.key\n", "f:1: syslog_cert wants an absolute path without \"..\"" },
	{ "SYSLOG_ADDR a:1\nSYSLOG_ENABLE maybe\n", "f:2: SYSLOG_ENABLE: wants yes or no" },
	{ "\nSYSLOG_ENABLE yes\n", "f:2: SYSLOG_ENABLE: SYSLOG_ADDR is missing: it wants host:port" },
	{ "SYSLOG_ENABLE yes\nSYSLOG_ADDR a b\n", "f:2: SYSLOG_ADDR: wants host:port" },
	{ "SYSLOG_FACILITY x\n", "f:1: SYSLOG_FACILITY: wants a facility such as user or local0" },
	{ "SYSLOG_SOCKTYPE 3\n", "f:1: SYSLOG_SOCKTYPE wants a number from 1 to 2" },
	{ "syslog_udp_bytes 100\n", "f:1: syslog_udp_bytes wants a number from 480 to 65000" },
	{ "syslog udp://a\nsyslog udp://b\nsyslog udp://c\nsyslog udp://d\nsyslog udp://e\nsyslog udp://f\nsyslog udp://g\nsyslog udp://h\n",
	  "f:8: syslog: more than 7 collectors" },
};

static void
a_wrong_setting_is_named_with_its_line(void **state)
{
	struct sp_config *c = calloc(1, sizeof(*c));

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(wrong); i++) {
		char why[256] = "";

		assert_int_not_equal(sp_config_parse("f", wrong[i].text, strlen(wrong[i].text), c, why, sizeof(why)), SP_OK);
		assert_string_equal(why, wrong[i].why);
	}
	free(c);
}

static void
names_each_collector_once_in_order(void **state)
{
	static const char text[] = "syslog tls://[::1]:6515\nsyslog udp://siem\nsyslog udp://siem:514\nsyslog_facility local3\n"
	    "SYSLOG_ENABLE True\nSYSLOG_ADDR 10.0.0.5:1514\nSYSLOG_SOCKTYPE 1\n";
	struct sp_config *c = calloc(1, sizeof(*c));
	struct sp_copy_dest d[SP_COPY_DESTS];
	char why[256];

	(void)state;
	assert_int_equal(sp_config_parse("f", "", 0, c, why, sizeof(why)), SP_OK);
	assert_int_equal(sp_copy_dests(c, d), 0);
	assert_int_equal(sp_config_parse("f", text, strlen(text), c, why, sizeof(why)), SP_OK);
	assert_int_equal(sp_copy_dests(c, d), 3);
	assert_string_equal(d[0].name, "tls://[::1]:6515");
	assert_string_equal(d[1].name, "udp://siem:514");
	assert_int_equal(d[1].facility, 19);
	assert_int_equal(d[1].jumpserver, 0);
	assert_string_equal(d[2].name, "jumpserver+tcp://10.0.0.5:1514");
	assert_int_equal(d[2].facility, 1);		/* user, as JumpServer has it */
	assert_int_equal(d[2].jumpserver, 1);
	free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wrong_setting_is_named_with_its_line),
		cmocka_unit_test(names_each_collector_once_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
