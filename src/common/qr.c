/* src/common/qr.c - see qr.h. */
#include "common/qr.h"

#include <errno.h>
#include <qrencode.h>
#include <string.h>

#define QUIET	4	/* modules around the code, ISO/IEC 18004 */
#define BEGIN	"\x1b[30;107m"
#define END	"\x1b[0m"

static int
qr_dark(const QRcode *q, int x, int y)
{
	return x >= 0 && y >= 0 && x < q->width && y < q->width && (q->data[y * q->width + x] & 1) != 0;
}

static enum sp_err
qr_line(const QRcode *q, int y, const char *eol, struct sp_buf *ret)
{
	static const char *const half[] = { " ", "\xe2\x96\x80", "\xe2\x96\x84", "\xe2\x96\x88" };	/* none, upper, lower, both */
	enum sp_err r = sp_buf_append_str(ret, BEGIN);

	for (int x = -QUIET; x < q->width + QUIET && r == SP_OK; x++)
		r = sp_buf_append_str(ret, half[qr_dark(q, x, y) | qr_dark(q, x, y + 1) << 1]);
	return r == SP_OK ? sp_buf_printf(ret, "%s%s", END, eol) : r;
}

enum sp_err
sp_qr_draw(const char *text, size_t cols, const char *eol, struct sp_buf *ret)
{
	enum sp_err r = SP_OK;
	QRcode *q;

	if (strlen(text) > SP_QR_TEXT_MAX)
		return SP_ESIZE;
	if ((q = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_L)) == NULL)
		return errno == ENOMEM ? SP_ENOMEM : SP_ESIZE;
	if ((size_t)(q->width + 2 * QUIET) > cols)
		r = SP_ESIZE;
	for (int y = -QUIET; y < q->width + QUIET && r == SP_OK; y += 2)
		r = qr_line(q, y, eol, ret);
	QRcode_free(q);
	return r;
}
