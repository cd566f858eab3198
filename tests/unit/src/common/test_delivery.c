/* tests/unit/src/common/test_delivery.c - settings of mail and webhooks, and what is said of a wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "common/delivery.h"

static const struct {
	const char	*text, *why;		/* why NULL: fine */
} rows[] = {
	{ "mail_server smtp://mx:587\nmail_from a@b\nmail_to c@d\nmail_to e@f\n", NULL },
	{ "webhook https://hook.example.org:8443/a?b=c\nwebhook http://127.0.0.1:1/\n", NULL },
	{ "\nmail_server mx:587\n", "f:2: mail_server: wants smtp://host:587 or smtps://host:465" },
	{ "mail_server smtp://me:secret@mx\n", "f:1: mail_server: wants smtp://host:587 or smtps://host:465" },
	{ "mail_server smtp://mx/path\n", "f:1: mail_server: wants smtp://host:587 or smtps://host:465" },
	{ "mail_to c@d\nmail_server smtp://mx\n", "f:2: mail_server: mail_from is missing: who the mail comes from" },
	{ "mail_from c@d\nmail_server smtp://mx\n", "f:2: mail_server: mail_to is missing: who gets the mail" },
	{ "mail_to a@b\nmail_to c d@e\n", "f:2: mail_to: wants an address as ops@example.org" },
	{ "mail_from <a@b>\n", "f:1: mail_from: wants an address as bastion@example.org" },
	{ "mail_server smtp://mx\nmail_from a@b\nmail_to c@d\nmail_tls no\nmail_user me\n",
	  "f:5: mail_user: a password does not go over mail_tls no" },
	{ "webhook ftp://x\n", "f:1: webhook: wants https://host/path, without a user or password in it" },
	{ "webhook https://a/\nwebhook https://me:pw@b/\n", "f:2: webhook: wants https://host/path, without a user or password in it" },
};

static void
a_wrong_setting_is_named_with_its_line(void **state)
{
	struct sp_config *c = calloc(1, sizeof(*c));

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		char why[256] = "";
		enum sp_err r = sp_config_parse("f", rows[i].text, strlen(rows[i].text), c, why, sizeof(why));

		assert_string_equal(why, rows[i].why != NULL ? rows[i].why : "");
		assert_int_equal(r, rows[i].why != NULL ? SP_EFORMAT : SP_OK);
	}
	free(c);
}

static void
an_address_cannot_carry_a_header(void **state)
{
	static const char *const bad[] = { "", "a", "@b", "a@", "a@b@c", "a@b\r\nBcc: x@y", "a b@c", "\"a\"@b", "a,b@c", "\xe5@b" };

	(void)state;
	assert_true(sp_mail_address_is_ok("first.last+tag@mx.example.org"));
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		assert_false(sp_mail_address_is_ok(bad[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wrong_setting_is_named_with_its_line),
		cmocka_unit_test(an_address_cannot_carry_a_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
