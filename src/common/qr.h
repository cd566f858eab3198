/* src/common/qr.h - a QR code as text for a terminal: two modules a character (half blocks), black on white whatever the
 * terminal's own colours are, with the quiet zone that scanners want. Pure. Process: the command line. */
#ifndef SP_COMMON_QR_H
#define SP_COMMON_QR_H

#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

#define SP_QR_TEXT_MAX	512	/* bytes that are encoded */

/* Append the lines, each ended by eol ("\n", or "\r\n" on a raw terminal). SP_ESIZE: the text is too long, or the code
 * would be wider than cols; SP_ENOMEM. */
enum sp_err	sp_qr_draw(const char *text, size_t cols, const char *eol, struct sp_buf *ret) SP_MUST_USE;

#endif
