/* tests/fuzz/fuzz_ring.c - the reader of a ring whose other side writes what it likes: no position leads it out of its memory,
 * it never goes on for good, and what it takes never exceeds what was said to be there. Input: positions (8 bytes each: head,
 * wanted), then bytes for the records, which repeat. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ipc/ring.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PAGE	65536

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static volatile uint8_t sink;		/* the bytes are read */
	struct sp_ring_head h;
	struct sp_ring *r;
	struct sp_view v;
	size_t got = 0, n = 0;
	uint8_t *m;
	int fd;

	if (size < 17 || sp_ring_new(&r, &fd) != SP_OK)
		return 0;
	if ((m = mmap(NULL, PAGE + SP_RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED)
		abort();
	memcpy(m, data, 8);
	memcpy(m + 192, data + 8, 4);
	for (size_t at = 0; at < SP_RING_BYTES; at += size - 16)
		memcpy(m + PAGE + at, data + 16, size - 16 < SP_RING_BYTES - at ? size - 16 : SP_RING_BYTES - at);
	while (sp_ring_next(r, &h, &v) == SP_OK) {
		if (v.len == 0 || v.len > SP_REC_CHUNK || v.len != h.len)
			abort();
		sink = (uint8_t)(v.p[0] ^ v.p[v.len - 1]);
		got += v.len;
		sp_ring_done(r);
		(void)sp_ring_wanted(r);
		if (++n > SP_RING_BYTES / sizeof(h) || got > SP_RING_BYTES)
			abort();
	}
	sink = (uint8_t)(sink + sp_ring_sleep(r, 1));
	sp_ring_free(r);
	munmap(m, PAGE + SP_RING_BYTES);
	close(fd);
	return 0;
}
