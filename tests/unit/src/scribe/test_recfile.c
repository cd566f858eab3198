/* The codec of recordings: what it accepts, and what it makes of damage. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scribe/crc32c.h"
#include "scribe/recfile.h"

#define ok(e) assert_int_equal((e), SP_OK)

static size_t
record(uint8_t *dst, uint8_t type, uint64_t delta, const char *text)
{
	struct sp_rec r = { .type = type, .stream = 1, .channel = 5, .delta_us = delta,
	    .data = { (const uint8_t *)text, strlen(text) } };

	sp_rec_encode(&r, dst, dst + SP_REC_HEAD + r.data.len);
	memcpy(dst + SP_REC_HEAD, text, r.data.len);
	return SP_REC_HEAD + r.data.len + SP_REC_CRC;
}

static void
the_checksum_is_that_of_the_rfc(void **state)
{
	uint8_t z[32] = { 0 };

	(void)state;
	assert_int_equal(sp_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(sp_crc32c(0, z, sizeof(z)), 0x8a9136aa);		/* RFC 3720 B.4 */
	assert_int_equal(sp_crc32c(sp_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void
a_record_comes_back_as_it_was(void **state)
{
	uint8_t b[128];
	size_t n = record(b, SP_REC_T_DATA, UINT64_C(0x0102030405060708), "hello");
	struct sp_view v = { b, n };
	struct sp_rec r;

	(void)state;
	ok(sp_rec_next(&v, &r));
	assert_int_equal(v.len, 0);
	assert_int_equal(r.type, SP_REC_T_DATA);
	assert_int_equal(r.stream, 1);
	assert_int_equal(r.channel, 5);
	assert_int_equal(r.delta_us, UINT64_C(0x0102030405060708));
	assert_true(sp_view_equal_str(r.data, "hello"));
}

static void
rejects_every_single_bit_flip(void **state)
{
	uint8_t b[128];
	size_t n = record(b, SP_REC_T_DATA, 77, "hello");
	struct sp_rec r = { .type = 99 };

	(void)state;
	for (size_t bit = 0; bit < n * 8; bit++) {
		struct sp_view v = { b, n };

		b[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_int_not_equal(sp_rec_next(&v, &r), SP_OK);
		assert_int_equal(r.type, 99);
		assert_int_equal(v.len, n);
		b[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
}

static void
a_file_cut_anywhere_reads_up_to_the_cut(void **state)
{
	uint8_t b[256];
	size_t n = SP_REC_PREFIX, first;
	int fd = memfd_create("rec", MFD_CLOEXEC);

	(void)state;
	sp_rec_prefix(b);
	n += record(b + n, SP_REC_T_HEADER, 0, "{}");
	first = n;
	n += record(b + n, SP_REC_T_DATA, 1, "data");
	assert_int_equal(pwrite(fd, b, n, 0), n);
	for (size_t cut = SP_REC_PREFIX; cut <= n; cut++) {
		struct sp_recreader *rr;
		struct sp_rec r;
		int whole = (cut >= first) + (cut == n);

		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, b, cut, 0), cut);
		ok(sp_recreader_new(fd, &rr));
		for (int i = 0; i < whole; i++)
			ok(sp_recreader_next(rr, &r));
		assert_int_equal(sp_recreader_next(rr, &r),
		    cut == SP_REC_PREFIX || cut == first || cut == n ? SP_ENOENT : SP_ESHORT);
		sp_recreader_free(rr);
	}
	close(fd);
}

static void
a_growing_file_can_be_followed(void **state)
{
	uint8_t b[256];
	size_t n;
	int fd = memfd_create("rec", MFD_CLOEXEC);
	struct sp_recreader *rr;
	struct sp_rec r;

	(void)state;
	sp_rec_prefix(b);
	assert_int_equal(write(fd, b, SP_REC_PREFIX), SP_REC_PREFIX);
	ok(sp_recreader_new(fd, &rr));
	assert_int_equal(sp_recreader_next(rr, &r), SP_ENOENT);
	n = record(b, SP_REC_T_DATA, 1, "later");
	assert_int_equal(write(fd, b, n - 3), n - 3);
	assert_int_equal(sp_recreader_next(rr, &r), SP_ESHORT);
	assert_int_equal(write(fd, b + n - 3, 3), 3);
	ok(sp_recreader_next(rr, &r));
	assert_true(sp_view_equal_str(r.data, "later"));
	assert_int_equal(sp_recreader_offset(rr), SP_REC_PREFIX + n);
	sp_recreader_free(rr);
	close(fd);
}

static void
refuses_what_is_no_recording_or_a_later_version(void **state)
{
	uint8_t b[SP_REC_PREFIX];
	struct sp_view v = { b, sizeof(b) }, rest;

	(void)state;
	sp_rec_prefix(b);
	ok(sp_rec_read_prefix(&v, &rest));
	b[8] = 2;
	assert_int_equal(sp_rec_read_prefix(&v, &rest), SP_EVERSION);
	b[0] = 'X';
	assert_int_equal(sp_rec_read_prefix(&v, &rest), SP_EFORMAT);
	v.len--;
	assert_int_equal(sp_rec_read_prefix(&v, &rest), SP_ESHORT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_checksum_is_that_of_the_rfc),
		cmocka_unit_test(a_record_comes_back_as_it_was),
		cmocka_unit_test(rejects_every_single_bit_flip),
		cmocka_unit_test(a_file_cut_anywhere_reads_up_to_the_cut),
		cmocka_unit_test(a_growing_file_can_be_followed),
		cmocka_unit_test(refuses_what_is_no_recording_or_a_later_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
