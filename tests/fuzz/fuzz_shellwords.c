/* tests/fuzz/fuzz_shellwords.c - whatever a command line is, its commands lie inside its text, and names and words end with a NUL. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rules/words.h"

static void
inside(const struct sp_cmdline *l, uint32_t off, uint32_t len)
{
	if (len == 0)
		return;
	if (off >= l->text_len || len >= l->text_len - off || memchr(l->text + off, 0, len) != NULL)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sp_cmdline l;

	if (sp_cmdline_parse(&l, (const char *)data, size) != SP_OK)
		return 0;
	for (size_t i = 0; i < l.n; i++) {
		uint32_t n = 0;

		inside(&l, l.cmd[i].name, l.cmd[i].name_len);
		inside(&l, l.cmd[i].line, l.cmd[i].line_len);
		inside(&l, l.cmd[i].user, l.cmd[i].user_len);
		for (uint32_t w = l.cmd[i].first; w != SP_CMDLINE_NONE; w = l.word[w].next, n++) {
			if (w >= l.words)
				abort();
			inside(&l, l.word[w].off, l.word[w].len);
		}
		if (n != l.cmd[i].n || (l.cmd[i].name_len > 0 && (l.cmd[i].flags & SP_CMD_UNKNOWN)))
			abort();
	}
	return 0;
}
