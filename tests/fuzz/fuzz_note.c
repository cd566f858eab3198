/* tests/fuzz/fuzz_note.c - any bytes as a signed note, a checkpoint, a key, a tile's path, an entry bundle: readers stay inside
 * their input, and what parses is written back as the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/note.h"
#include "crypto/secret.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct sp_note_key key = { "PeterNeumann", SP_NOTE_ED25519, { 1 } };
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 4096 };
	struct sp_view v = { data, size }, text, e;
	char vkey[SP_NOTE_VKEY_SIZE], path[SP_TLOG_PATH_SIZE];
	struct sp_checkpoint c;
	struct sp_note_key k;
	struct sp_tlog_tile t;

	if (size == 0)
		return 0;
	if (sp_note_text(v, &text) == SP_OK) {
		if (text.len + 1 >= size)
			abort();
		(void)!sp_note_verify(v, &key, NULL);
		if (sp_checkpoint_parse(text, &c) == SP_OK &&
		    (sp_checkpoint_text(&c, &b) != SP_OK || b.len > text.len || memcmp(b.p, text.p, b.len) != 0))
			abort();
	}
	if (sp_note_key_parse((const char *)data, size, &k) == SP_OK &&
	    (sp_note_key_text(&k, vkey) != SP_OK || strlen(vkey) != size || memcmp(vkey, data, size) != 0))
		abort();
	if (sp_tlog_tile_parse((const char *)data, size, &t) == SP_OK &&
	    (sp_tlog_tile_path(&t, path) != SP_OK || strlen(path) != size || memcmp(path, data, size) != 0))
		abort();
	while (v.len > 0 && sp_tlog_bundle_get(&v, &e) == SP_OK)
		if (e.p + e.len > data + size)
			abort();
	return 0;
}
