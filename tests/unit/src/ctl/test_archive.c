/* tests/unit/src/ctl/test_archive.c - the archive of a backup: what is written comes back, and an archive that was changed, cut off,
 * put together from others or made to mislead is refused. Crafted archives are sealed here, by the format in archive.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <endian.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "crypto/kdf.h"
#include "ctl/archive.h"

#define HEAD	(8 + 4 + 8 + 16 + crypto_secretstream_xchacha20poly1305_HEADERBYTES)
#define CHUNK	65536u
#define LEN	4u		/* in front of each chunk */

static struct sp_secret pass, key;		/* key: of crafted archives */

static struct sp_secret
secret(const void *p, size_t n)
{
	struct sp_secret s = { 0 };

	assert_int_equal(sp_secret_alloc(n, &s), SP_OK);
	memcpy(s.p, p, n);
	return s;
}

static int
start(void **state)
{
	uint8_t k[crypto_secretstream_xchacha20poly1305_KEYBYTES];

	(void)state;
	if (sp_crypto_init() != SP_OK)
		return -1;
	pass = secret("right words", 11);
	memset(k, 9, sizeof(k));
	key = secret(k, sizeof(k));
	return 0;
}

static int
stop(void **state)
{
	(void)state;
	sp_secret_release(&pass);
	sp_secret_release(&key);
	return 0;
}

static int
file(const void *p, size_t n)
{
	int fd = memfd_create("archive", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), (ssize_t)n);
	return fd;
}

/* ---- what a reader was told, as text: "name size sum-of-bytes;" */

struct told {
	struct sp_buf	 text;
	uint64_t	 sum;
	size_t		 fail_at;	/* call number that fails; 0: none */
	size_t		 calls;
};

static enum sp_err
told_call(struct told *t)
{
	return ++t->calls == t->fail_at ? SP_ENOSPC : SP_OK;
}

static enum sp_err
on_begin(void *arg, const char *name, uint64_t size)
{
	struct told *t = arg;

	t->sum = 0;
	assert_int_equal(sp_buf_printf(&t->text, "%s %" PRIu64 " ", name, size), SP_OK);
	return told_call(t);
}

static enum sp_err
on_data(void *arg, const void *p, size_t n)
{
	struct told *t = arg;

	for (size_t i = 0; i < n; i++)
		t->sum += ((const uint8_t *)p)[i];
	return told_call(t);
}

static enum sp_err
on_end(void *arg)
{
	struct told *t = arg;

	assert_int_equal(sp_buf_printf(&t->text, "%" PRIu64 ";", t->sum), SP_OK);
	return told_call(t);
}

static const struct archive_ops ops = { on_begin, on_data, on_end };

static enum sp_err
read_keyed(int fd, const struct sp_secret *k)
{
	struct told t = { 0 };
	enum sp_err r;

	sp_buf_init(&t.text, 1 << 24);
	r = archive_read_key(fd, k, &ops, &t);
	sp_buf_release(&t.text);
	return r;
}

/* Reads n bytes as an archive. */
static enum sp_err
read_bytes(const void *p, size_t n, const struct sp_secret *k)
{
	int fd = file(p, n);
	enum sp_err r = read_keyed(fd, k);

	close(fd);
	return r;
}

/* ---- crafting: the inside of an archive, and the same sealed */

struct inside {
	struct sp_buf	b, manifest;
};

static void
inside_init(struct inside *in)
{
	sp_buf_init(&in->b, 1 << 26);
	sp_buf_init(&in->manifest, 1 << 26);
}

static void
inside_release(struct inside *in)
{
	sp_buf_release(&in->b);
	sp_buf_release(&in->manifest);
}

static void
inside_head(struct inside *in, const char *name, size_t name_len, uint64_t size)
{
	uint16_t n = htobe16((uint16_t)name_len);
	uint64_t be = htobe64(size);

	assert_int_equal(sp_buf_append(&in->b, &n, 2), SP_OK);
	assert_int_equal(sp_buf_append(&in->b, name, name_len), SP_OK);
	assert_int_equal(sp_buf_append(&in->b, &be, 8), SP_OK);
}

static void
inside_add(struct inside *in, const char *name, const char *text)
{
	uint8_t sum[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(sum) + 1];

	inside_head(in, name, strlen(name), strlen(text));
	assert_int_equal(sp_buf_append(&in->b, text, strlen(text)), SP_OK);
	crypto_hash_sha256(sum, (const uint8_t *)text, strlen(text));
	sp_hex(sum, sizeof(sum), hex);
	assert_int_equal(sp_buf_printf(&in->manifest, "%s %zu %s\n", hex, strlen(text), name), SP_OK);
}

static void
inside_manifest(struct inside *in)
{
	inside_head(in, "MANIFEST", 8, in->manifest.len);
	assert_int_equal(sp_buf_append(&in->b, in->manifest.p, in->manifest.len), SP_OK);
}

/* Sealed in chunks of `chunk` bytes under `key`. final 0: the end is not marked as such. */
static void
seal(const struct sp_buf *b, size_t chunk, int final, struct sp_buf *ret)
{
	uint8_t head[HEAD] = "SPBKP001", *out = malloc(chunk + crypto_secretstream_xchacha20poly1305_ABYTES);
	crypto_secretstream_xchacha20poly1305_state st;

	assert_non_null(out);
	sp_buf_init(ret, 1 << 27);
	(void)crypto_secretstream_xchacha20poly1305_init_push(&st, head + 36, key.p);
	assert_int_equal(sp_buf_append(ret, head, HEAD), SP_OK);
	for (size_t at = 0, n; at < b->len; at += n) {
		unsigned long long len;

		n = b->len - at < chunk ? b->len - at : chunk;
		(void)crypto_secretstream_xchacha20poly1305_push(&st, out, &len, b->p + at, n, head, HEAD,
		    final && at + n == b->len ? crypto_secretstream_xchacha20poly1305_TAG_FINAL : 0);
		assert_int_equal(sp_buf_put_u32(ret, (uint32_t)len), SP_OK);
		assert_int_equal(sp_buf_append(ret, out, (size_t)len), SP_OK);
	}
	free(out);
}

/* What reading `in` comes to; it is released. */
static enum sp_err
read_inside(struct inside *in, size_t chunk, int final)
{
	struct sp_buf b;
	enum sp_err r;

	seal(&in->b, chunk, final, &b);
	r = read_bytes(b.p, b.len, &key);
	sp_buf_release(&b);
	inside_release(in);
	return r;
}

/* ---- writing and reading */

static void
what_is_written_comes_back_under_the_passphrase_only(void **state)
{
	static const struct { const char *name; size_t size; } files[] = {
		{ "empty", 0 }, { "a/one", 1 }, { "a/b/chunk-less", CHUNK - 1 }, { "chunk", CHUNK }, { "more", 3 * CHUNK + 5 }
	};
	sp_auto_secret other = secret("wrong words", 11);
	struct archive_writer *w = NULL;
	struct told t = { 0 };
	struct sp_buf want;
	int fd = memfd_create("archive", MFD_CLOEXEC);
	uint8_t piece[1000];

	(void)state;
	memset(piece, 3, sizeof(piece));
	sp_buf_init(&want, 4096);
	sp_buf_init(&t.text, 4096);
	assert_int_equal(archive_writer_new(fd, &pass, &w), SP_OK);
	for (size_t i = 0; i < SP_NELEMS(files); i++) {
		assert_int_equal(archive_begin(w, files[i].name, files[i].size), SP_OK);
		for (size_t at = 0, n; at < files[i].size; at += n) {
			n = files[i].size - at < sizeof(piece) ? files[i].size - at : sizeof(piece);
			assert_int_equal(archive_write(w, piece, n), SP_OK);
		}
		assert_int_equal(sp_buf_printf(&want, "%s %zu %zu;", files[i].name, files[i].size, 3 * files[i].size), SP_OK);
	}
	assert_int_equal(archive_finish(w), SP_OK);
	archive_writer_free(w);
	assert_int_equal(archive_read(fd, &pass, &ops, &t), SP_OK);
	assert_string_equal(sp_buf_cstr(&t.text), sp_buf_cstr(&want));
	assert_int_equal(archive_read(fd, &other, &ops, &t), SP_EAUTH);
	assert_int_equal(archive_read(fd, &pass, &(struct archive_ops){ 0 }, NULL), SP_OK);
	sp_buf_release(&t.text);
	sp_buf_release(&want);
	close(fd);
}

static void
a_writer_takes_safe_names_and_exactly_what_was_said(void **state)
{
	static const char *const bad[] = { "", "/etc/passwd", "..", "../x", "a/../x", "a//b", "a/", "./a", "a/.", "MANIFEST", "a\nb", "a b\x1b" };
	char longest[ARCHIVE_NAME_MAX + 2];
	struct archive_writer *w = NULL;
	int fd = memfd_create("archive", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(archive_writer_new(fd, &pass, &w), SP_OK);
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		assert_int_equal(archive_begin(w, bad[i], 1), SP_EINVAL);
	memset(longest, 'a', sizeof(longest));
	longest[ARCHIVE_NAME_MAX + 1] = '\0';
	assert_int_equal(archive_begin(w, longest, 1), SP_EINVAL);
	assert_int_equal(archive_begin(w, "large", ARCHIVE_FILE_MAX + 1), SP_EINVAL);
	assert_int_equal(archive_write(w, "x", 1), SP_ESIZE);		/* to no file */
	assert_int_equal(archive_begin(w, "two", 2), SP_OK);
	assert_int_equal(archive_begin(w, "next", 1), SP_ESTATE);
	assert_int_equal(archive_finish(w), SP_ESTATE);
	assert_int_equal(archive_write(w, "xyz", 3), SP_ESIZE);
	assert_int_equal(archive_write(w, "xy", 2), SP_OK);
	assert_int_equal(archive_finish(w), SP_OK);
	archive_writer_free(w);
	close(fd);
}

static void
what_the_reader_of_it_refuses_ends_the_reading(void **state)
{
	struct inside in;
	struct sp_buf b;

	(void)state;
	inside_init(&in);
	inside_add(&in, "a", "one");
	inside_add(&in, "b", "two");
	inside_manifest(&in);
	seal(&in.b, 7, 1, &b);
	for (size_t n = 1; n < 100; n++) {
		struct told t = { .fail_at = n };
		int fd = file(b.p, b.len);
		enum sp_err r;

		sp_buf_init(&t.text, 4096);
		r = archive_read_key(fd, &key, &ops, &t);
		sp_buf_release(&t.text);
		close(fd);
		if (r == SP_OK) {
			assert_true(n > 6);		/* begin, data and end of each file */
			break;
		}
		assert_int_equal(r, SP_ENOSPC);
		assert_int_equal(t.calls, n);
	}
	sp_buf_release(&b);
	inside_release(&in);
}

/* ---- an archive that was changed */

/* Two files in chunks of 16 bytes. */
static void
small(struct sp_buf *ret)
{
	struct inside in;

	inside_init(&in);
	inside_add(&in, "store/sallyport.db", "rows of the store");
	inside_add(&in, "log", "leaves");
	inside_manifest(&in);
	seal(&in.b, 16, 1, ret);
	inside_release(&in);
}

static void
every_flipped_bit_and_every_cut_is_refused(void **state)
{
	struct sp_buf b;

	(void)state;
	small(&b);
	assert_int_equal(read_bytes(b.p, b.len, &key), SP_OK);
	for (size_t i = 0; i < b.len; i++) {
		b.p[i] ^= (uint8_t)(1u << i % 8);
		assert_int_not_equal(read_bytes(b.p, b.len, &key), SP_OK);
		b.p[i] ^= (uint8_t)(1u << i % 8);
		assert_int_equal(read_bytes(b.p, i, &key), i < HEAD ? SP_EFORMAT : SP_ESHORT);
	}
	assert_int_equal(sp_buf_append(&b, "x", 1), SP_OK);
	assert_int_equal(read_bytes(b.p, b.len, &key), SP_ECORRUPT);
	sp_buf_release(&b);
}

static void
chunks_that_are_swapped_left_out_or_from_another_archive_are_refused(void **state)
{
	const size_t one = LEN + 16 + crypto_secretstream_xchacha20poly1305_ABYTES;
	struct sp_buf a, b;
	uint8_t keep[64];

	(void)state;
	small(&a);
	small(&b);
	assert_true(one <= sizeof(keep));
	memcpy(keep, a.p + HEAD, one);
	memcpy(a.p + HEAD, a.p + HEAD + one, one);		/* twice the second one */
	assert_int_equal(read_bytes(a.p, a.len, &key), SP_EAUTH);
	memcpy(a.p + HEAD + one, keep, one);			/* swapped */
	assert_int_equal(read_bytes(a.p, a.len, &key), SP_EAUTH);
	memcpy(a.p + HEAD + one, a.p + HEAD, one);
	memcpy(a.p + HEAD, b.p + HEAD, one);			/* the same bytes, of another archive under the same key */
	assert_int_equal(read_bytes(a.p, a.len, &key), SP_EAUTH);
	memmove(b.p + HEAD, b.p + HEAD + one, b.len - HEAD - one);
	assert_int_equal(read_bytes(b.p, b.len - one, &key), SP_EAUTH);
	sp_buf_release(&a);
	sp_buf_release(&b);
}

/* ---- an archive that was made to mislead: the passphrase is right */

static void
the_end_must_be_marked_and_be_the_end(void **state)
{
	struct inside in;

	(void)state;
	inside_init(&in);
	inside_add(&in, "a", "one");
	inside_manifest(&in);
	assert_int_equal(read_inside(&in, 16, 0), SP_ECORRUPT);
	inside_init(&in);
	inside_add(&in, "a", "one");
	inside_manifest(&in);
	inside_add(&in, "b", "behind the manifest");
	assert_int_equal(read_inside(&in, CHUNK, 1), SP_ECORRUPT);
	inside_init(&in);
	inside_add(&in, "a", "one");				/* no manifest */
	assert_int_equal(read_inside(&in, 16, 1), SP_ECORRUPT);
}

static void
a_manifest_that_says_anything_else_than_what_was_read_is_refused(void **state)
{
	static const char *const lies[] = { "", "0", "x" };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(lies); i++) {
		struct inside in;

		inside_init(&in);
		inside_add(&in, "a", "one");
		if (lies[i][0] == '0')
			in.manifest.p[0] ^= 1;			/* another hash */
		else if (lies[i][0] == 'x')
			in.manifest.p[in.manifest.len - 2] = 'b';	/* another name */
		else
			in.manifest.len = 0;			/* not mentioned */
		inside_manifest(&in);
		assert_int_equal(read_inside(&in, 16, 1), SP_ECORRUPT);
	}
}

static void
names_that_lead_elsewhere_and_sizes_that_are_not_there_are_refused(void **state)
{
	static const struct { const char *name; size_t len; uint64_t size; } bad[] = {
		{ "", 0, 1 }, { "/etc/passwd", 11, 1 }, { "..", 2, 1 }, { "a/../../b", 9, 1 }, { "a//b", 4, 1 }, { "a\0b", 3, 1 }, { "a\nb", 3, 1 },
		{ "a", 1, 100 }, { "a", 1, ARCHIVE_FILE_MAX + 1 }, { "a", 1, UINT64_MAX }, { "MANIFEST", 8, UINT64_MAX }, { "MANIFEST", 8, 1 }
	};
	char longest[ARCHIVE_NAME_MAX + 1];
	struct inside in;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++) {
		inside_init(&in);
		inside_head(&in, bad[i].name, bad[i].len, bad[i].size);
		assert_int_equal(sp_buf_append(&in.b, "x", 1), SP_OK);
		assert_int_equal(read_inside(&in, 16, 1), SP_ECORRUPT);
	}
	memset(longest, 'a', sizeof(longest));
	inside_init(&in);
	inside_head(&in, longest, sizeof(longest), 0);
	assert_int_equal(read_inside(&in, CHUNK, 1), SP_ECORRUPT);
}

static void
more_files_than_an_archive_may_have_are_refused(void **state)
{
	(void)state;
	for (size_t n = ARCHIVE_FILES_MAX; n <= ARCHIVE_FILES_MAX + 1; n++) {
		struct inside in;

		inside_init(&in);
		for (size_t i = 0; i < n; i++)
			inside_add(&in, "a", "");
		inside_manifest(&in);
		assert_int_equal(read_inside(&in, CHUNK, 1), n <= ARCHIVE_FILES_MAX ? SP_OK : SP_ECORRUPT);
	}
}

static void
what_is_no_archive_or_asks_for_more_than_a_machine_has_is_no_archive(void **state)
{
	uint8_t head[HEAD + 100] = "SPBKP001";
	struct told t = { 0 };
	int fd;

	(void)state;
	assert_int_equal(read_bytes("PK\3\4", 4, &key), SP_EFORMAT);
	assert_int_equal(read_bytes(head, 0, &key), SP_EFORMAT);
	memset(head + 8, 0xff, 12);			/* passes and memory of argon2 */
	fd = file(head, sizeof(head));
	assert_int_equal(archive_read(fd, &pass, &ops, &t), SP_EFORMAT);
	close(fd);
	assert_int_equal(read_bytes(head, sizeof(head), &pass), SP_EINVAL);	/* a key of another length */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_comes_back_under_the_passphrase_only),
		cmocka_unit_test(a_writer_takes_safe_names_and_exactly_what_was_said),
		cmocka_unit_test(what_the_reader_of_it_refuses_ends_the_reading),
		cmocka_unit_test(every_flipped_bit_and_every_cut_is_refused),
		cmocka_unit_test(chunks_that_are_swapped_left_out_or_from_another_archive_are_refused),
		cmocka_unit_test(the_end_must_be_marked_and_be_the_end),
		cmocka_unit_test(a_manifest_that_says_anything_else_than_what_was_read_is_refused),
		cmocka_unit_test(names_that_lead_elsewhere_and_sizes_that_are_not_there_are_refused),
		cmocka_unit_test(more_files_than_an_archive_may_have_are_refused),
		cmocka_unit_test(what_is_no_archive_or_asks_for_more_than_a_machine_has_is_no_archive),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
