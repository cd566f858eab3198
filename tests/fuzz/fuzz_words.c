/* tests/fuzz/fuzz_words.c - a command line as words: never faults; words are inside the line, in order, plain text; put in
 * single quotes again they are the same words; and what was refused says why. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "shell/words.h"

#define LINE_MAX_	16384

static void
quote(char *dst, size_t *n, const char *w)
{
	dst[(*n)++] = '\'';
	for (; *w != '\0'; w++) {
		if (*w == '\'') {
			memcpy(dst + *n, "'\\'", 3);
			*n += 3;
		}
		dst[(*n)++] = *w;
	}
	dst[(*n)++] = '\'';
	dst[(*n)++] = ' ';
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char line[LINE_MAX_ + 1], again[LINE_MAX_ * 8];
	static char *a[SHELL_WORDS_N + 1], *b[SHELL_WORDS_N + 1];
	const char *why = NULL;
	int na = -1, nb = -1;
	size_t n = 0;

	if (size > LINE_MAX_)
		return 0;
	memcpy(line, data, size);
	if (shell_words(line, size, a, &na, &why) != SP_OK) {
		if (na != -1 || why == NULL || *why == '\0')
			abort();
		return 0;
	}
	if (na < 0 || na > SHELL_WORDS_N || a[na] != NULL)
		abort();
	for (int i = 0; i < na; i++) {
		const char *p = a[i];

		if (p < line || p + strlen(p) > line + size || (i > 0 && p != a[i - 1] + strlen(a[i - 1]) + 1 && p <= a[i - 1]))
			abort();
		quote(again, &n, p);
	}
	if (shell_words(again, n, b, &nb, &why) != SP_OK || nb != na)
		abort();
	for (int i = 0; i < na; i++)
		if (strcmp(a[i], b[i]) != 0)
			abort();
	return 0;
}
