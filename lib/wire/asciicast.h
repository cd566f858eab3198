/* lib/wire/asciicast.h - lines of asciicast v2 (https://docs.asciinema.org/manual/asciicast/v2/): one event each,
 * [seconds, "code", "text"]. Pure: bytes in, bytes out.
 * Stock codes are o (output), i (input), r (resize) and m (marker); players skip every other one-letter code, so a recorder
 * keeps what it wants to add in codes of its own (docs/protocol/recording.md). A text is UTF-8; other bytes travel as
 * base64 in a code of the recorder's. */
#ifndef SP_WIRE_ASCIICAST_H
#define SP_WIRE_ASCIICAST_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define SP_CAST_LINE_MAX	((size_t)256 * 1024)	/* bytes of a line that is read, without its newline */

/* How many of the n bytes are whole, well-formed UTF-8 (RFC 3629), from the first on. *ret_cut: the rest is the beginning
 * of a character that goes on behind them (at most 3 bytes); 0: a byte that is no UTF-8 follows, or nothing does. */
size_t		sp_cast_utf8(const uint8_t *p, size_t n, int *ret_cut);
/* Append a JSON string with its quotes. text: UTF-8 (what is not is written as it is). */
enum sp_err	sp_cast_string(struct sp_buf *b, struct sp_view text) SP_MUST_USE;
/* Append one line with its newline. */
enum sp_err	sp_cast_event(struct sp_buf *b, uint64_t at_us, char code, struct sp_view text) SP_MUST_USE;
/* The same with a text in two parts. */
enum sp_err	sp_cast_event2(struct sp_buf *b, uint64_t at_us, char code, struct sp_view first, struct sp_view second) SP_MUST_USE;
/* Read one line without its newline; the text is appended to *text (untouched on failure). Seconds beyond 10^9 are no time.
 * SP_EFORMAT, SP_ESIZE, SP_ENOMEM. */
enum sp_err	sp_cast_read(struct sp_view line, uint64_t *ret_at_us, char *ret_code, struct sp_buf *text) SP_MUST_USE;

#endif
