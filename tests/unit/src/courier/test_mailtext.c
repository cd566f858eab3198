/* tests/unit/src/courier/test_mailtext.c - the mail of an alarm, byte for byte, and what an alarm's text cannot do to it. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "courier/mailtext.h"

#define NOON	(INT64_C(1788264000) * 1000000)	/* 2026-09-01T12:00:00Z */

static const char *const to[] = { "ops@example.org", "sec@example.org" };

static void
is_a_message_with_its_text_in_base64(void **state)
{
	const struct mail_item it = { "01a20194-13a5-7000-8000-000000000007", "2026-09-01T11:59:59.000000Z", "The vault is sealed", "{}" };
	const struct mail m = { .from = "bastion@example.org", .to = to, .to_n = 2, .bastion = "door", .wall_us = NOON, .items = &it, .items_n = 1 };
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 1 << 20 }, body = { .max = 1 << 20 };
	const char *p;

	(void)state;
	assert_int_equal(mail_text(&m, &b), SP_OK);
	p = strstr(sp_buf_cstr(&b), "\r\n\r\n");
	assert_non_null(p);
	assert_int_equal((size_t)(p - sp_buf_cstr(&b)), strlen("Date: Tue, 01 Sep 2026 12:00:00 +0000\r\nFrom: <bastion@example.org>\r\n"
	    "To: <ops@example.org>,\r\n <sec@example.org>\r\nMessage-ID: <01a20194-13a5-7000-8000-000000000007.1@example.org>\r\n"
	    "Auto-Submitted: auto-generated\r\nSubject: =?UTF-8?B?W2Rvb3JdIFRoZSB2YXVsdCBpcyBzZWFsZWQ=?=\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64"));
	assert_non_null(strstr(sp_buf_cstr(&b), "Subject: =?UTF-8?B?W2Rvb3JdIFRoZSB2YXVsdCBpcyBzZWFsZWQ=?=\r\n"));
	for (p += 4; *p != '\0';) {		/* lines of at most 76, joined */
		size_t n = strcspn(p, "\r");

		assert_true(n <= 76 && p[n + 1] == '\n');
		assert_int_equal(sp_buf_append(&body, p, n), SP_OK);
		p += n + 2;
	}
	sp_buf_reset(&b);
	assert_int_equal(sp_base64_parse(&b, sp_buf_cstr(&body), body.len), SP_OK);
	assert_string_equal(sp_buf_cstr(&b), "The vault is sealed\r\n  at    2026-09-01T11:59:59.000000Z\r\n"
	    "  id    01a20194-13a5-7000-8000-000000000007\r\n  more  {}\r\n\r\n-- \r\n"
	    "Sallyport at door. 'sallyport audit list' has the whole log.\r\n");
}

static void
an_alarm_cannot_write_a_header(void **state)
{
	char text[400] = "x\r\nBcc: evil@example.org\r\n\r\n";
	struct mail_item it[2] = { { "i", "t", text, "" }, { "j", "t", "y", "" } };
	const struct mail m = { .from = "b@example.org", .to = to, .to_n = 1, .bastion = "\xe5\xa0\xa1", .wall_us = NOON, .items = it, .items_n = 2 };
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 1 << 20 };
	int headers = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		(void)strncat(text, "\xe6\x95\xb0", sizeof(text) - strlen(text) - 1);
	assert_int_equal(mail_text(&m, &b), SP_OK);
	for (const char *p = sp_buf_cstr(&b), *nl; strncmp(p, "\r\n", 2) != 0; p = nl + 2) {
		nl = strstr(p, "\r\n");
		assert_true(nl != NULL && nl - p <= 78);
		headers += *p != ' ';
		for (; p < nl; p++)
			assert_true(*p >= 32 && *p < 127);
	}
	assert_int_equal(headers, 9);
	assert_null(strstr(sp_buf_cstr(&b), "Bcc"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_a_message_with_its_text_in_base64),
		cmocka_unit_test(an_alarm_cannot_write_a_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
