/* tests/fuzz/fuzz_snapshot_note.c - a note that parses is written back to the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/snapshot_note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[SP_SHA256_LEN];
	char text[SNAPSHOT_NOTE_MAX];
	struct snapshot_note n;
	const char *mac;

	if (snapshot_note_parse((const char *)data, size, &n) != SP_OK)
		return 0;
	snapshot_note_sign(&n, key, text);
	if ((mac = strstr(text, "mac ")) == NULL || strlen(text) != size || memcmp(text, data, (size_t)(mac - text)) != 0)
		abort();
	return 0;
}
