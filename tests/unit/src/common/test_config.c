/* What the table of settings cannot say: words, addresses and servers are refused with the line that they stand in. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "common/config.h"

static const struct wrong {
	const char	*text, *begins;
} wrongs[] = {
	{ "drain 1s\nciphers banana\n", "f:2: ciphers: \"banana\" is not one of aes256-gcm@openssh.com," },
	{ "ciphers aes128-cbc\n", "f:1: ciphers: \"aes128-cbc\" is not one of " },
	{ "\n# kex\nkex curve25519-sha256,\n", "f:3: kex: \"\" is not one of curve25519-sha256," },
	{ "kex diffie-hellman-group14-sha1\n", "f:1: kex: \"diffie-hellman-group14-sha1\" is not one of " },
	{ "macs hmac-sha2-256,hmac-sha1\n", "f:1: macs: \"hmac-sha1\" is not one of " },
	{ "macs hmac-sha2\n", "f:1: macs: \"hmac-sha2\" is not one of " },
	{ "host_key_algorithms ssh-rsa\n", "f:1: host_key_algorithms: \"ssh-rsa\" is not one of " },
	{ "user_key_algorithms ssh-dss\n", "f:1: user_key_algorithms: \"ssh-dss\" is not one of " },
	{ "log_level info,debug\n", "f:1: log_level: \"info,debug\" is not one of debug,info,warn,error" },
	{ "listen 127.0.0.1:22\nlisten 127.0.0.1:99999\n", "f:2: listen: \"127.0.0.1:99999\" is not address:port" },
	{ "drain 1s\ntime_zone ../x\n", "f:2: time_zone: wants a name" },
	{ "drain 1s\nstore mysql://x\n", "f:2: store: wants sqlite alone" },
	{ "store postgresql://a\nstore_far postgresql://b\nstore_far x\n", "f:3: store_far: wants postgresql://" },
};

static void
a_wrong_setting_is_named_with_its_line(void **state)
{
	struct sp_config *c = calloc(1, sizeof(*c));
	char why[512];

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(wrongs); i++) {
		const struct wrong *w = &wrongs[i];

		assert_int_equal(sp_config_parse("f", w->text, strlen(w->text), c, why, sizeof(why)), SP_EFORMAT);
		why[strlen(w->begins)] = '\0';
		assert_string_equal(why, w->begins);
	}
	free(c);
}

static void
the_defaults_and_several_words_are_taken(void **state)
{
	static const char text[] = "ciphers aes128-ctr,aes256-ctr\nkex curve25519-sha256\nlog_level error\n";
	struct sp_config *c = calloc(1, sizeof(*c));
	char why[512];

	(void)state;
	assert_int_equal(sp_config_parse("f", "", 0, c, why, sizeof(why)), SP_OK);
	assert_int_equal(sp_config_parse("f", text, strlen(text), c, why, sizeof(why)), SP_OK);
	assert_string_equal(c->ciphers, "aes128-ctr,aes256-ctr");
	free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wrong_setting_is_named_with_its_line),
		cmocka_unit_test(the_defaults_and_several_words_are_taken),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
