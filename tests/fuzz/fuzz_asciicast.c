/* tests/fuzz/fuzz_asciicast.c - reading a line never faults; what is accepted is written and read to the same event. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/asciicast.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_buf text, again, line;
	uint64_t at_us, at2_us;
	char code, code2;

	sp_buf_init(&text, SP_CAST_LINE_MAX);
	sp_buf_init(&again, SP_CAST_LINE_MAX);
	sp_buf_init(&line, 8 * SP_CAST_LINE_MAX);
	if (sp_cast_read((struct sp_view){ data, size }, &at_us, &code, &text) == SP_OK && text.len < SP_CAST_LINE_MAX / 8) {
		if (sp_cast_event(&line, at_us, code, (struct sp_view){ text.p, text.len }) != SP_OK ||
		    sp_cast_read((struct sp_view){ line.p, line.len - 1 }, &at2_us, &code2, &again) != SP_OK || at_us != at2_us ||
		    code != code2 || text.len != again.len || memcmp(text.p, again.p, text.len) != 0)
			abort();
	}
	sp_buf_release(&text);
	sp_buf_release(&again);
	sp_buf_release(&line);
	return 0;
}
