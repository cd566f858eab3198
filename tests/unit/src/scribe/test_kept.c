/* tests/unit/src/scribe/test_kept.c - contents of files in one age file: in the order in which they passed, each with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "scribe/kept.h"

static struct sp_age_recipient to;
static struct sp_secret identity;

static struct sp_kept
begin(uint64_t max)
{
	struct sp_kept k;

	sp_kept_init(&k, memfd_create("kept", MFD_CLOEXEC), SP_KEPT_UP, max, 0);
	return k;
}

static void
put(struct sp_kept *k, struct sp_kept_file *f, const char *about, uint64_t at, const void *p, size_t n)
{
	sp_kept_put(k, &to, 1, f, about, at, (struct sp_view){ p, n });
}

/* The plain text behind the magic. */
static struct sp_buf
open_all(int fd)
{
	struct sp_buf all = { .max = 1 << 22 };
	struct sp_secret file_key = { 0 }, key = { 0 };
	uint8_t *p = malloc(1 << 22);
	size_t header, n = (size_t)pread(fd, p, 1 << 22, 0), at;

	assert_int_equal(sp_age_header_len((struct sp_view){ p, n }, &header), SP_OK);
	assert_int_equal(sp_age_header_open((struct sp_view){ p, header }, &identity, &file_key), SP_OK);
	assert_int_equal(sp_age_payload_key(&file_key, p + header, &key), SP_OK);
	at = header + SP_AGE_NONCE;
	for (uint64_t i = 0; at < n; i++) {
		size_t len = n - at < SP_AGE_SEALED_CHUNK ? n - at : SP_AGE_SEALED_CHUNK;

		assert_int_equal(sp_age_open(&key, i, at + len == n, (struct sp_view){ p + at, len }, &all), SP_OK);
		at += len;
	}
	free(p);
	sp_secret_release(&file_key);
	sp_secret_release(&key);
	assert_memory_equal(all.p, SP_KEPT_MAGIC, 8);
	sp_buf_consume(&all, 8);
	return all;
}

static void
files_come_back_byte_for_byte_with_their_places(void **state)
{
	struct sp_kept k = begin(0);
	struct sp_kept_file a = { 0 }, b = { 0 };
	struct sp_kept_record r;
	static uint8_t big[200000];
	size_t got = 0;
	struct sp_buf all;
	struct sp_view v;

	(void)state;
	memset(big, 'x', sizeof(big));
	put(&k, &a, "{\"path\":\"a\"}", 100, "tail", 4);
	put(&k, &b, "{\"path\":\"b\"}", UINT64_C(5) << 32, big, sizeof(big));
	put(&k, &a, "", 0, "head", 4);
	sp_kept_end(&k, &a, (struct sp_view){ (const uint8_t *)"{}", 2 });
	assert_int_equal(sp_kept_finish(&k), SP_OK);
	assert_int_equal(a.number, 1), assert_int_equal(b.number, 2), assert_int_equal(b.bytes, sizeof(big)), assert_int_equal(b.missed, 0);
	all = open_all(k.fd);
	v = (struct sp_view){ all.p, all.len };
	assert_int_equal(sp_kept_next(&v, &r), SP_OK);
	assert_int_equal(r.type, SP_KEPT_BEGIN), assert_true(sp_view_equal_str(r.body, "{\"path\":\"a\"}"));
	assert_int_equal(sp_kept_next(&v, &r), SP_OK);
	assert_int_equal(r.type, SP_KEPT_DATA), assert_int_equal(r.offset, 100), assert_true(sp_view_equal_str(r.body, "tail"));
	assert_int_equal(sp_kept_next(&v, &r), SP_OK);
	assert_int_equal(r.type, SP_KEPT_BEGIN), assert_int_equal(r.file, 2);
	while (got < sizeof(big)) {
		assert_int_equal(sp_kept_next(&v, &r), SP_OK);
		assert_int_equal(r.file, 2), assert_int_equal(r.offset, (UINT64_C(5) << 32) + got);
		got += r.body.len;
	}
	assert_int_equal(got, sizeof(big));
	assert_int_equal(sp_kept_next(&v, &r), SP_OK);
	assert_int_equal(r.file, 1), assert_int_equal(r.offset, 0), assert_true(sp_view_equal_str(r.body, "head"));
	assert_int_equal(sp_kept_next(&v, &r), SP_OK);
	assert_int_equal(r.type, SP_KEPT_END);
	assert_int_equal(v.len, 0);
	sp_buf_release(&all);
	sp_kept_release(&k);
}

static void
what_is_beyond_the_limit_is_counted(void **state)
{
	struct sp_kept k = begin(10);
	struct sp_kept_file f = { 0 };

	(void)state;
	put(&k, &f, "{}", 0, "12345678", 8);
	put(&k, &f, "{}", 8, "12345678", 8);
	put(&k, &f, "{}", 16, "1", 1);
	assert_int_equal(f.bytes, 10), assert_int_equal(f.missed, 7);
	sp_kept_release(&k);
}

static void
a_full_disk_is_said_and_counted(void **state)
{
	struct sp_kept k;
	struct sp_kept_file f = { 0 };

	(void)state;
	sp_kept_init(&k, memfd_create("kept", MFD_CLOEXEC), SP_KEPT_UP, 0, UINT64_MAX);	/* never so much is free */
	put(&k, &f, "{}", 0, "123", 3);
	put(&k, &f, "{}", 3, "456", 3);
	assert_int_equal(k.err, SP_ENOSPC);
	assert_int_equal(f.bytes, 0), assert_int_equal(f.missed, 6);
	sp_kept_release(&k);
}

static void
nothing_kept_leaves_nothing(void **state)
{
	struct sp_kept k = begin(0);

	(void)state;
	assert_int_equal(sp_kept_finish(&k), SP_OK);
	assert_int_equal(lseek(k.fd, 0, SEEK_END), 0);
	sp_kept_release(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_come_back_byte_for_byte_with_their_places), cmocka_unit_test(what_is_beyond_the_limit_is_counted),
		cmocka_unit_test(a_full_disk_is_said_and_counted), cmocka_unit_test(nothing_kept_leaves_nothing),
	};
	int r;

	if (sp_age_identity_new(&identity, &to) != SP_OK)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	sp_secret_release(&identity);
	return r;
}
