/* src/ctl/archive.c - see archive.h. */
#include "ctl/archive.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "crypto/kdf.h"

#define MAGIC		"SPBKP001"
#define HEAD_LEN	(8 + 4 + 8 + SP_ARGON2_SALT + crypto_secretstream_xchacha20poly1305_HEADERBYTES)
#define CHUNK		65536u			/* plain bytes of a full chunk */
#define SEALED_MAX	(CHUNK + crypto_secretstream_xchacha20poly1305_ABYTES)
#define MANIFEST	"MANIFEST"
#define MANIFEST_MAX	((size_t)ARCHIVE_FILES_MAX * (ARCHIVE_NAME_MAX + 96))
#define SUM_HEX		(2 * crypto_hash_sha256_BYTES + 1)

typedef crypto_secretstream_xchacha20poly1305_state stream_state;

int
archive_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > ARCHIVE_NAME_MAX)
		return 0;
	for (const char *p = name; ; ) {
		size_t k = strcspn(p, "/");
		char part[ARCHIVE_NAME_MAX + 1];

		memcpy(part, p, k);
		part[k] = '\0';
		if (!sp_name_is_safe(part, ARCHIVE_NAME_MAX) || strcmp(part, ".") == 0 || strcmp(part, "..") == 0)
			return 0;
		if (p[k] == '\0')
			return 1;
		p += k + 1;
	}
}

/* One line of the manifest. */
static enum sp_err
manifest_add(struct sp_buf *m, crypto_hash_sha256_state *h, uint64_t size, const char *name)
{
	uint8_t sum[crypto_hash_sha256_BYTES];
	char hex[SUM_HEX];

	crypto_hash_sha256_final(h, sum);
	sp_hex(sum, sizeof(sum), hex);
	return sp_buf_printf(m, "%s %" PRIu64 " %s\n", hex, size, name);
}

static enum sp_err
head_key(const uint8_t head[HEAD_LEN], const struct sp_secret *passphrase, struct sp_secret *ret)
{
	struct sp_argon2 a;
	uint32_t ops;
	uint64_t mem;

	memcpy(&ops, head + 8, sizeof(ops));
	memcpy(&mem, head + 12, sizeof(mem));
	a.ops = be32toh(ops);
	a.mem_bytes = be64toh(mem);
	memcpy(a.salt, head + 20, sizeof(a.salt));
	if (sp_argon2_check(&a) != SP_OK)
		return SP_EFORMAT;
	return sp_argon2id((struct sp_view){ passphrase->p, passphrase->len }, &a, ret);
}

/* ---- writing ---- */

struct archive_writer {
	int			 fd;
	uint8_t			 head[HEAD_LEN];
	stream_state		 st;
	crypto_hash_sha256_state hash;
	struct sp_buf		 manifest;
	char			 name[ARCHIVE_NAME_MAX + 1];	/* "": none is open */
	uint64_t		 size, left;
	size_t			 n, files;
	uint8_t			 plain[CHUNK], sealed[4 + SEALED_MAX];
};

static enum sp_err
writer_flush(struct archive_writer *w, uint8_t tag)
{
	unsigned long long len;
	uint32_t be;

	(void)crypto_secretstream_xchacha20poly1305_push(&w->st, w->sealed + 4, &len, w->plain, w->n, w->head, HEAD_LEN, tag);
	be = htobe32((uint32_t)len);
	memcpy(w->sealed, &be, 4);
	w->n = 0;
	return sp_write_all(w->fd, w->sealed, 4 + (size_t)len);
}

static enum sp_err
writer_put(struct archive_writer *w, const void *p, size_t n)
{
	enum sp_err r = SP_OK;

	for (const uint8_t *at = p; n > 0 && r == SP_OK; ) {
		size_t k = CHUNK - w->n < n ? CHUNK - w->n : n;

		memcpy(w->plain + w->n, at, k);
		w->n += k;
		at += k;
		n -= k;
		if (w->n == CHUNK)
			r = writer_flush(w, 0);
	}
	return r;
}

enum sp_err
archive_writer_new(int fd, const struct sp_secret *passphrase, struct archive_writer **ret)
{
	struct archive_writer *w = calloc(1, sizeof(*w));
	sp_auto_secret key = { 0 };
	struct sp_argon2 a;
	uint32_t ops;
	uint64_t mem;
	enum sp_err r;

	if (w == NULL)
		return SP_ENOMEM;
	w->fd = fd;
	sp_buf_init(&w->manifest, MANIFEST_MAX);
	sp_argon2_make(SP_ARGON2_MODERATE, &a);
	ops = htobe32(a.ops);
	mem = htobe64(a.mem_bytes);
	memcpy(w->head, MAGIC, 8);
	memcpy(w->head + 8, &ops, sizeof(ops));
	memcpy(w->head + 12, &mem, sizeof(mem));
	memcpy(w->head + 20, a.salt, sizeof(a.salt));
	if ((r = head_key(w->head, passphrase, &key)) == SP_OK) {
		(void)crypto_secretstream_xchacha20poly1305_init_push(&w->st, w->head + 20 + SP_ARGON2_SALT, key.p);
		r = sp_write_all(fd, w->head, HEAD_LEN);
	}
	if (r != SP_OK) {
		archive_writer_free(w);
		return r;
	}
	*ret = w;
	return SP_OK;
}

void
archive_writer_free(struct archive_writer *w)
{
	if (w == NULL)
		return;
	sp_buf_release(&w->manifest);
	sodium_memzero(w, sizeof(*w));
	free(w);
}

static enum sp_err
writer_name(struct archive_writer *w, const char *name, uint64_t size)
{
	uint16_t n = htobe16((uint16_t)strlen(name));
	uint64_t be = htobe64(size);
	enum sp_err r;

	if ((r = writer_put(w, &n, sizeof(n))) != SP_OK || (r = writer_put(w, name, strlen(name))) != SP_OK)
		return r;
	return writer_put(w, &be, sizeof(be));
}

/* The file is complete. */
static enum sp_err
writer_end(struct archive_writer *w)
{
	enum sp_err r = manifest_add(&w->manifest, &w->hash, w->size, w->name);

	w->name[0] = '\0';
	return r;
}

enum sp_err
archive_begin(struct archive_writer *w, const char *name, uint64_t size)
{
	enum sp_err r;

	if (!archive_name_ok(name) || strcmp(name, MANIFEST) == 0 || size > ARCHIVE_FILE_MAX || ++w->files > ARCHIVE_FILES_MAX)
		return SP_EINVAL;
	if (w->name[0] != '\0')
		return SP_ESTATE;
	if ((r = writer_name(w, name, size)) != SP_OK)
		return r;
	(void)sp_strlcpy(w->name, name, sizeof(w->name));
	w->size = w->left = size;
	crypto_hash_sha256_init(&w->hash);
	return size == 0 ? writer_end(w) : SP_OK;
}

enum sp_err
archive_write(struct archive_writer *w, const void *p, size_t n)
{
	enum sp_err r;

	if (n > w->left)
		return SP_ESIZE;
	if (n == 0)
		return SP_OK;
	if ((r = writer_put(w, p, n)) != SP_OK)
		return r;
	crypto_hash_sha256_update(&w->hash, p, n);
	w->left -= n;
	return w->left == 0 ? writer_end(w) : SP_OK;
}

enum sp_err
archive_finish(struct archive_writer *w)
{
	enum sp_err r;

	if (w->name[0] != '\0')
		return SP_ESTATE;
	if ((r = writer_name(w, MANIFEST, w->manifest.len)) != SP_OK ||
	    (r = writer_put(w, w->manifest.p, w->manifest.len)) != SP_OK ||
	    (r = writer_flush(w, crypto_secretstream_xchacha20poly1305_TAG_FINAL)) != SP_OK)
		return r;
	return fsync(w->fd) == -1 ? sp_err_errno(errno) : SP_OK;
}

/* ---- reading ---- */

struct reader {
	int			 fd, final;
	const struct archive_ops *ops;
	void			*arg;
	uint8_t			 head[HEAD_LEN];
	stream_state		 st;
	size_t			 at, n, files;	/* of plain */
	struct sp_buf		 manifest;	/* as it should be */
	uint8_t			 plain[CHUNK], sealed[SEALED_MAX];
};

/* Exactly n bytes. SP_ENOENT: the end, before the first of them; SP_ESHORT: in the middle. */
static enum sp_err
get(int fd, void *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t k = read(fd, (char *)p + done, n - done);

		if (k == -1 && errno == EINTR)
			continue;
		if (k == -1)
			return sp_err_errno(errno);
		if (k == 0)
			return done == 0 ? SP_ENOENT : SP_ESHORT;
		done += (size_t)k;
	}
	return SP_OK;
}

static enum sp_err
reader_chunk(struct reader *r)
{
	unsigned long long n;
	uint8_t tag;
	uint32_t len;
	enum sp_err e;

	if (r->final)
		return SP_ENOENT;
	if ((e = get(r->fd, &len, sizeof(len))) != SP_OK)
		return e == SP_ENOENT ? SP_ESHORT : e;
	len = be32toh(len);
	if (len < crypto_secretstream_xchacha20poly1305_ABYTES || len > SEALED_MAX)
		return SP_EAUTH;
	if ((e = get(r->fd, r->sealed, len)) != SP_OK)
		return e == SP_ENOENT ? SP_ESHORT : e;
	if (crypto_secretstream_xchacha20poly1305_pull(&r->st, r->plain, &n, &tag, r->sealed, len, r->head, HEAD_LEN) != 0)
		return SP_EAUTH;
	r->at = 0;
	r->n = (size_t)n;
	r->final = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
	return SP_OK;
}

/* The next piece of at most `max` bytes, borrowed until the next call. */
static enum sp_err
reader_piece(struct reader *r, size_t max, struct sp_view *ret)
{
	enum sp_err e;

	while (r->at == r->n)
		if ((e = reader_chunk(r)) != SP_OK)
			return e;
	ret->p = r->plain + r->at;
	ret->len = r->n - r->at < max ? r->n - r->at : max;
	r->at += ret->len;
	return SP_OK;
}

static enum sp_err
reader_get(struct reader *r, void *p, size_t n)
{
	struct sp_view v;
	enum sp_err e;

	for (uint8_t *at = p; n > 0; at += v.len, n -= v.len) {
		if ((e = reader_piece(r, n, &v)) != SP_OK)
			return e == SP_ENOENT ? SP_ECORRUPT : e;
		memcpy(at, v.p, v.len);
	}
	return SP_OK;
}

static enum sp_err
reader_file(struct reader *r, const char *name, uint64_t size)
{
	crypto_hash_sha256_state h;
	struct sp_view v;
	enum sp_err e = r->ops->begin != NULL ? r->ops->begin(r->arg, name, size) : SP_OK;

	crypto_hash_sha256_init(&h);
	for (uint64_t left = size; left > 0 && e == SP_OK; left -= v.len) {
		if ((e = reader_piece(r, left < CHUNK ? (size_t)left : CHUNK, &v)) != SP_OK)
			return e == SP_ENOENT ? SP_ECORRUPT : e;
		crypto_hash_sha256_update(&h, v.p, v.len);
		if (r->ops->data != NULL)
			e = r->ops->data(r->arg, v.p, v.len);
	}
	if (e == SP_OK && r->ops->end != NULL)
		e = r->ops->end(r->arg);
	return e == SP_OK ? manifest_add(&r->manifest, &h, size, name) : e;
}

/* It must say, byte for byte, what was read; and then comes the end. */
static enum sp_err
reader_manifest(struct reader *r, uint64_t size)
{
	struct sp_view v;
	enum sp_err e;
	uint8_t one;

	if (size != r->manifest.len)
		return SP_ECORRUPT;
	for (size_t at = 0; at < size; at += v.len) {
		if ((e = reader_piece(r, (size_t)size - at, &v)) != SP_OK)
			return e == SP_ENOENT ? SP_ECORRUPT : e;
		if (memcmp(v.p, r->manifest.p + at, v.len) != 0)
			return SP_ECORRUPT;
	}
	if (r->at != r->n || !r->final)
		return SP_ECORRUPT;
	return get(r->fd, &one, 1) == SP_ENOENT ? SP_OK : SP_ECORRUPT;
}

static enum sp_err
reader_all(struct reader *r)
{
	for (;;) {
		char name[ARCHIVE_NAME_MAX + 1];
		uint16_t n;
		uint64_t size;
		enum sp_err e = reader_get(r, &n, sizeof(n));

		if (e != SP_OK)
			return e;
		if ((n = be16toh(n)) > ARCHIVE_NAME_MAX)
			return SP_ECORRUPT;
		if ((e = reader_get(r, name, n)) != SP_OK || (e = reader_get(r, &size, sizeof(size))) != SP_OK)
			return e;
		name[n] = '\0';
		size = be64toh(size);
		if (strlen(name) != n || !archive_name_ok(name) || size > ARCHIVE_FILE_MAX || ++r->files > ARCHIVE_FILES_MAX + 1)
			return SP_ECORRUPT;
		if (strcmp(name, MANIFEST) == 0)
			return reader_manifest(r, size);
		if ((e = reader_file(r, name, size)) != SP_OK)
			return e;
	}
}

/* key NULL: it comes from the passphrase and the head. */
static enum sp_err
reader_start(struct reader *r, const struct sp_secret *passphrase, const struct sp_secret *key)
{
	sp_auto_secret made = { 0 };
	enum sp_err e = lseek(r->fd, 0, SEEK_SET) == -1 ? sp_err_errno(errno) : get(r->fd, r->head, HEAD_LEN);

	if (e == SP_ENOENT || e == SP_ESHORT || (e == SP_OK && memcmp(r->head, MAGIC, 8) != 0))
		return SP_EFORMAT;
	if (e == SP_OK && key == NULL) {
		e = head_key(r->head, passphrase, &made);
		key = &made;
	}
	if (e == SP_OK && crypto_secretstream_xchacha20poly1305_init_pull(&r->st, r->head + 20 + SP_ARGON2_SALT, key->p) != 0)
		return SP_EAUTH;
	return e;
}

static enum sp_err
reader_run(int fd, const struct sp_secret *passphrase, const struct sp_secret *key, const struct archive_ops *ops, void *arg)
{
	struct reader *r = calloc(1, sizeof(*r));
	enum sp_err e;

	if (r == NULL)
		return SP_ENOMEM;
	r->fd = fd;
	r->ops = ops;
	r->arg = arg;
	sp_buf_init(&r->manifest, MANIFEST_MAX);
	if ((e = reader_start(r, passphrase, key)) == SP_OK)
		e = reader_all(r);
	sp_buf_release(&r->manifest);
	sodium_memzero(r, sizeof(*r));
	free(r);
	return e;
}

enum sp_err
archive_read(int fd, const struct sp_secret *passphrase, const struct archive_ops *ops, void *arg)
{
	return reader_run(fd, passphrase, NULL, ops, arg);
}

enum sp_err
archive_read_key(int fd, const struct sp_secret *key, const struct archive_ops *ops, void *arg)
{
	if (key->len != crypto_secretstream_xchacha20poly1305_KEYBYTES)
		return SP_EINVAL;
	return reader_run(fd, NULL, key, ops, arg);
}
