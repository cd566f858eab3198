/* tests/fuzz/fuzz_archive.c - a backup made by somebody else. The first byte says what the others are: the file as it lies on the
 * disk, or what is sealed inside it (in chunks of a size that the byte gives), so that everything behind the encryption is
 * reached too. Every name that the reader gives out is safe, no file has more bytes than it said, and what is accepted has
 * been read to its end. */
#include <endian.h>
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ctl/archive.h"

#define HEAD	(8 + 4 + 8 + 16 + crypto_secretstream_xchacha20poly1305_HEADERBYTES)
#define PLAIN	65536u

struct seen {
	int		 open;
	uint64_t	 left;
};

static enum sp_err
on_begin(void *arg, const char *name, uint64_t size)
{
	struct seen *s = arg;

	if (s->open || !archive_name_ok(name) || name[0] == '/' || strstr(name, "..") == name || size > ARCHIVE_FILE_MAX)
		abort();
	s->open = 1;
	s->left = size;
	return SP_OK;
}

static enum sp_err
on_data(void *arg, const void *p, size_t n)
{
	struct seen *s = arg;

	(void)p;
	if (!s->open || n > s->left)
		abort();
	s->left -= n;
	return SP_OK;
}

static enum sp_err
on_end(void *arg)
{
	struct seen *s = arg;

	if (!s->open || s->left != 0)
		abort();
	s->open = 0;
	return SP_OK;
}

static void
put(int fd, const void *p, size_t n)
{
	if (write(fd, p, n) != (ssize_t)n)
		abort();
}

/* data, sealed under key as the writer does it. */
static void
seal(int fd, const uint8_t *key, const uint8_t *data, size_t size, size_t chunk)
{
	static uint8_t sealed[PLAIN + crypto_secretstream_xchacha20poly1305_ABYTES];
	uint8_t head[HEAD] = "SPBKP001";
	crypto_secretstream_xchacha20poly1305_state st;

	(void)crypto_secretstream_xchacha20poly1305_init_push(&st, head + 36, key);
	put(fd, head, HEAD);
	for (size_t at = 0, n; ; at += n) {
		unsigned long long len;
		uint32_t be;

		n = size - at < chunk ? size - at : chunk;
		(void)crypto_secretstream_xchacha20poly1305_push(&st, sealed, &len, data + at, n, head, HEAD,
		    at + n == size ? crypto_secretstream_xchacha20poly1305_TAG_FINAL : 0);
		be = htobe32((uint32_t)len);
		put(fd, &be, 4);
		put(fd, sealed, (size_t)len);
		if (at + n == size)
			return;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct archive_ops ops = { on_begin, on_data, on_end };
	static struct sp_secret key;
	static int fd = -1;
	struct seen seen = { 0 };

	if (fd == -1) {
		if (sp_crypto_init() != SP_OK || sp_secret_alloc(crypto_secretstream_xchacha20poly1305_KEYBYTES, &key) != SP_OK ||
		    (fd = memfd_create("archive", MFD_CLOEXEC)) == -1)
			abort();
		memset(key.p, 7, key.len);
	}
	if (size == 0)
		return 0;
	if (ftruncate(fd, 0) == -1 || lseek(fd, 0, SEEK_SET) == -1)
		abort();
	if (data[0] == 0)
		put(fd, data + 1, size - 1);
	else
		seal(fd, key.p, data + 1, size - 1, data[0] == 255 ? PLAIN : data[0]);
	if (archive_read_key(fd, &key, &ops, &seen) == SP_OK && (seen.open || lseek(fd, 0, SEEK_CUR) != lseek(fd, 0, SEEK_END)))
		abort();
	return 0;
}
