/* src/scribe/kept.c - see kept.h. Process: scribe. */
#include "scribe/kept.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/str.h"

#define SPACE_EACH	(4u * 1024 * 1024)	/* bytes after which the file system is asked again */

void
sp_kept_init(struct sp_kept *k, int fd, uint32_t ways, uint64_t max_bytes, uint64_t min_free_bytes)
{
	*k = (struct sp_kept){ .fd = fd, .ways = fd >= 0 ? ways : 0, .max_bytes = max_bytes, .min_free_bytes = min_free_bytes };
	sp_buf_init(&k->plain, SP_AGE_CHUNK);
	sp_buf_init(&k->sealed, SP_AGE_SEALED_CHUNK);
	sp_sha256_begin(&k->payload);
}

void
sp_kept_release(struct sp_kept *k)
{
	sp_closep(&k->fd);
	sp_secret_release(&k->key);
	sp_buf_release(&k->plain);
	sp_buf_release(&k->sealed);
	k->ways = 0;
}

/* ---- the file */

static void
kept_write(struct sp_kept *k, const uint8_t *p, size_t n)
{
	struct statvfs v;

	if (k->err == SP_OK && (k->off == 0 || k->off - k->checked >= SPACE_EACH)) {
		k->checked = k->off;
		if (fstatvfs(k->fd, &v) == -1)
			k->err = SP_EIO;
		else if ((uint64_t)v.f_bavail * v.f_frsize < k->min_free_bytes)
			k->err = SP_ENOSPC;
	}
	while (n > 0 && k->err == SP_OK) {
		ssize_t w = pwrite(k->fd, p, n, (off_t)k->off);

		if (w == -1 && errno == EINTR)
			continue;
		if (w <= 0) {
			k->err = w == -1 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) ? SP_ENOSPC : SP_EIO;
			return;
		}
		p += w;
		n -= (size_t)w;
		k->off += (uint64_t)w;
		k->dirty = 1;
	}
}

static void
kept_seal(struct sp_kept *k, int last)
{
	sp_buf_reset(&k->sealed);
	if (k->err == SP_OK)
		k->err = sp_age_seal(&k->key, k->chunk_n, last, (struct sp_view){ k->plain.p, k->plain.len }, &k->sealed);
	kept_write(k, k->sealed.p, k->sealed.len);
	if (k->err != SP_OK)
		return;
	k->chunk_n++;
	sp_sha256_add(&k->payload, k->sealed.p, k->sealed.len);
	k->payload_bytes += k->sealed.len;
	sp_buf_reset(&k->plain);
}

static void
kept_add(struct sp_kept *k, const void *data, size_t n)
{
	const uint8_t *p = data;

	while (n > 0 && k->err == SP_OK) {
		size_t room = SP_AGE_CHUNK - k->plain.len, now = n < room ? n : room;

		if ((k->err = sp_buf_append(&k->plain, p, now)) != SP_OK)
			return;
		p += now;
		n -= now;
		if (k->plain.len == SP_AGE_CHUNK && n > 0)	/* a full one may be the last */
			kept_seal(k, 0);
	}
}

static void
kept_header(struct sp_kept *k, const struct sp_age_recipient *to, size_t n)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_AGE_HEADER_MAX + SP_AGE_NONCE };
	sp_auto_secret file_key = { 0 }, nonce = { 0 };
	size_t header;

	if ((k->err = sp_secret_random(SP_AGE_FILE_KEY, &file_key)) != SP_OK || (k->err = sp_secret_random(SP_AGE_NONCE, &nonce)) != SP_OK ||
	    (k->err = sp_age_header_write(&file_key, to, n, &b)) != SP_OK)
		return;
	header = b.len;
	if ((k->err = sp_buf_append(&b, nonce.p, SP_AGE_NONCE)) != SP_OK || (k->err = sp_age_payload_key(&file_key, nonce.p, &k->key)) != SP_OK)
		return;
	sp_sha256(b.p, header, k->header_hash);
	sp_sha256_add(&k->payload, b.p + header, SP_AGE_NONCE);
	k->payload_bytes = SP_AGE_NONCE;
	kept_write(k, b.p, b.len);
	kept_add(k, SP_KEPT_MAGIC, strlen(SP_KEPT_MAGIC));
}

/* ---- records */

static void
put_le(uint8_t *p, uint64_t v, int n)
{
	for (int i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static void
record(struct sp_kept *k, enum sp_kept_type type, uint32_t file, const uint64_t *offset, struct sp_view body)
{
	uint8_t head[SP_KEPT_HEAD + 8];
	size_t n = SP_KEPT_HEAD;

	put_le(head, body.len + (offset != NULL ? 8 : 0), 4);
	head[4] = (uint8_t)type;
	put_le(head + 5, file, 4);
	if (offset != NULL) {
		put_le(head + n, *offset, 8);
		n += 8;
	}
	kept_add(k, head, n);
	kept_add(k, body.p, body.len);
}

void
sp_kept_put(struct sp_kept *k, const struct sp_age_recipient *to, size_t to_n, struct sp_kept_file *f, const char *about,
    uint64_t offset, struct sp_view bytes)
{
	size_t n = bytes.len;

	if (k->max_bytes > 0)
		n = f->bytes >= k->max_bytes ? 0 : k->max_bytes - f->bytes < n ? (size_t)(k->max_bytes - f->bytes) : n;
	f->missed += bytes.len - (k->err == SP_OK ? n : 0);
	if (k->err != SP_OK || n == 0)
		return;
	if (k->off == 0)
		kept_header(k, to, to_n);
	if (f->number == 0) {
		f->number = ++k->files;
		record(k, SP_KEPT_BEGIN, f->number, NULL, (struct sp_view){ (const uint8_t *)about, strlen(about) });
	}
	for (size_t at = 0, now; at < n; at += now, offset += now) {
		now = n - at < SP_AGE_CHUNK ? n - at : SP_AGE_CHUNK;
		record(k, SP_KEPT_DATA, f->number, &offset, (struct sp_view){ bytes.p + at, now });
		*(k->err == SP_OK ? &f->bytes : &f->missed) += now;
	}
}

void
sp_kept_end(struct sp_kept *k, struct sp_kept_file *f, struct sp_view about)
{
	if (f->number > 0 && k->err == SP_OK && about.len <= SP_KEPT_BODY_MAX)
		record(k, SP_KEPT_END, f->number, NULL, about);
}

enum sp_err
sp_kept_finish(struct sp_kept *k)
{
	if (k->fd < 0 || k->off == 0)
		return SP_OK;
	k->min_free_bytes = 0;		/* it ends in order where there is space at all */
	kept_seal(k, 1);
	if (k->err == SP_OK && fsync(k->fd) == -1)
		k->err = SP_EIO;
	k->dirty = 0;
	return k->err;
}
