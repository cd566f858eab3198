/* A login of the zygote with itself. The host key is one for this test only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "common/config.h"
#include "session/leg.h"
#include "zygote/rehearse.h"

static const char host_key[] =
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
    "QyNTUxOQAAACDC2vrG7Tk8QU2spttrlLNCpK3OdOE4JhjLurgf1aXRcgAAAIiRlzXEkZc1\n"
    "xAAAAAtzc2gtZWQyNTUxOQAAACDC2vrG7Tk8QU2spttrlLNCpK3OdOE4JhjLurgf1aXRcg\n"
    "AAAEC0oKJpFJspZm9jgo67VrTqL8jLywoulx1bh80pgOf7ccLa+sbtOTxBTaym22uUs0Kk\n"
    "rc504TgmGMu6uB/VpdFyAAAABHRlc3QB\n"
    "-----END OPENSSH PRIVATE KEY-----\n";

static struct sp_config conf, only;

static struct sp_leg_keys *
keys_for(const struct sp_config *c)
{
	struct sp_leg_keys *k;

	assert_int_equal(sp_leg_keys_new(c, &k), SP_OK);
	assert_int_equal(sp_leg_keys_add(k, host_key), SP_OK);
	return k;
}

static void
a_login_comes_about_with_every_cipher_of_the_defaults(void **state)
{
	struct sp_leg_keys *k = keys_for(&conf);

	(void)state;
	assert_int_equal(rehearse(&conf, k), SP_OK);
	assert_int_equal(rehearse(&conf, k), SP_OK);	/* and leaves nothing that a second one would meet */
	sp_leg_keys_free(k);
}

static void
says_when_the_two_sides_have_no_cipher_in_common(void **state)
{
	struct sp_leg_keys *k;

	(void)state;
	only = conf;
	assert_int_equal(sp_strlcpy(only.ciphers, "aes256-gcm@openssh.com", sizeof(only.ciphers)), 0);
	k = keys_for(&only);
	assert_int_equal(rehearse(&only, k), SP_OK);
	assert_int_equal(sp_strlcpy(only.ciphers, "aes256-ctr", sizeof(only.ciphers)), 0);
	assert_int_equal(rehearse(&only, k), SP_ESTATE);
	sp_leg_keys_free(k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_login_comes_about_with_every_cipher_of_the_defaults),
		cmocka_unit_test(says_when_the_two_sides_have_no_cipher_in_common),
	};
	char why[256];

	if (sp_config_parse("defaults", "", 0, &conf, why, sizeof(why)) != SP_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
