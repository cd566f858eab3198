/* A QR code as text: the modules can be read back from the half blocks, and nothing wider than the terminal is drawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <qrencode.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "common/qr.h"

#define URI	"otpauth://totp/bastion.example.org:wang.wei?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=bastion.example.org" \
	"&algorithm=SHA1&digits=6&period=30"
#define QUIET	4

static char drawn[65536];

static enum sp_err
draw(const char *text, size_t cols, const char *eol)
{
	struct sp_buf b;
	enum sp_err r;

	sp_buf_init(&b, sizeof(drawn) - 1);
	r = sp_qr_draw(text, cols, eol, &b);
	(void)sp_strlcpy(drawn, sp_buf_cstr(&b), sizeof(drawn));
	sp_buf_release(&b);
	return r;
}

/* Both modules of the character at s; *len: its bytes. */
static int
pair(const char *s, size_t *len)
{
	*len = *s == ' ' ? 1 : 3;
	if (*s == ' ')
		return 0;
	if (strncmp(s, "\xe2\x96\x80", 3) == 0)
		return 1;
	if (strncmp(s, "\xe2\x96\x84", 3) == 0)
		return 2;
	assert_memory_equal(s, "\xe2\x96\x88", 3);
	return 3;
}

static void
every_module_stands_where_the_encoder_put_it_inside_a_quiet_zone(void **state)
{
	QRcode *q = QRcode_encodeString8bit(URI, 0, QR_ECLEVEL_L);
	const char *s = drawn;
	int size;

	(void)state;
	assert_non_null(q);
	assert_int_equal(draw(URI, 80, "\n"), SP_OK);
	size = q->width + 2 * QUIET;
	for (int y = 0; y < size; y += 2) {
		assert_memory_equal(s, "\x1b[30;107m", 9);
		s += 9;
		for (int x = 0; x < size; x++) {
			size_t len;
			int got = pair(s, &len);

			for (int half = 0; half < 2; half++) {
				int mx = x - QUIET, my = y + half - QUIET;
				int want = mx >= 0 && my >= 0 && mx < q->width && my < q->width && (q->data[my * q->width + mx] & 1);

				assert_int_equal(got >> half & 1, want);
			}
			s += len;
		}
		assert_memory_equal(s, "\x1b[0m\n", 5);
		s += 5;
	}
	assert_int_equal(*s, '\0');
	assert_true(size <= 80);
	QRcode_free(q);
}

static void
a_narrow_terminal_gets_none(void **state)
{
	(void)state;
	assert_int_equal(draw(URI, 40, "\n"), SP_ESIZE);
	assert_string_equal(drawn, "");
}

static void
a_text_that_is_too_long_is_refused(void **state)
{
	static char text[SP_QR_TEXT_MAX + 2];

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	assert_int_equal(draw(text, 1000, "\n"), SP_ESIZE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_module_stands_where_the_encoder_put_it_inside_a_quiet_zone),
		cmocka_unit_test(a_narrow_terminal_gets_none),
		cmocka_unit_test(a_text_that_is_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
