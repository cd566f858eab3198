/* tests/unit/lib/wire/test_sftp.c - a conversation with an SFTP server, decoded beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "wire/sftp.h"

/* Build a packet: fields by letter: 1 u8, 4 u32, 8 u64, s text (a C string), b text with its length before it. */
static struct sp_view
packet(uint8_t type, const char *fields, ...)
{
	static uint8_t mem[8][4096];
	static unsigned turn;
	struct sp_buf b;
	va_list ap;
	uint8_t *p = mem[turn++ % 8];
	size_t n;

	sp_buf_init(&b, 4096);
	assert_int_equal(sp_buf_put_u32(&b, 0), SP_OK);
	assert_int_equal(sp_buf_put_u8(&b, type), SP_OK);
	va_start(ap, fields);
	for (; *fields != '\0'; fields++)
		if (*fields == '4')
			assert_int_equal(sp_buf_put_u32(&b, va_arg(ap, uint32_t)), SP_OK);
		else if (*fields == '8')
			assert_int_equal(sp_buf_put_u64(&b, va_arg(ap, uint64_t)), SP_OK);
		else
			assert_int_equal(sp_buf_put_cstring(&b, va_arg(ap, const char *)), SP_OK);
	va_end(ap);
	n = b.len;
	memcpy(p, b.p, n);
	sp_buf_release(&b);
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)((n - 4) >> (24 - 8 * i));
	return (struct sp_view){ p, n };
}

static struct sp_sftp_item
give(struct sp_sftp *f, enum sp_sftp_side side, struct sp_view v)
{
	struct sp_sftp_item it;
	enum sp_err r = sp_sftp_next(f, side, &v, &it);

	if (r != SP_OK)
		fail_msg("%s", sp_err_name(r));
	return it;
}
#define C(...)	give(f, SP_SFTP_CLIENT, packet(__VA_ARGS__))
#define S(...)	give(f, SP_SFTP_SERVER, packet(__VA_ARGS__))

static enum sp_err
error_of(struct sp_sftp *f, enum sp_sftp_side side, struct sp_view v)
{
	struct sp_sftp_item it;

	return sp_sftp_next(f, side, &v, &it);
}

static struct sp_sftp *
begin(unsigned max)
{
	struct sp_sftp *f;
	struct sp_sftp_item it;

	assert_int_equal(sp_sftp_new(max, &f), SP_OK);
	it = C(1, "4", 3);
	assert_true(it.what == SP_SFTP_HEAD && it.req->op == SP_SFTP_INIT && it.req->id == 3);
	it = S(2, "4ss", 3, "posix-rename@openssh.com", "1");
	assert_true(it.what == SP_SFTP_HEAD && it.req == NULL && it.code == 3);
	return f;
}

static void
follows_a_download(void **state)
{
	struct sp_sftp *f = begin(SP_SFTP_MAX);
	struct sp_sftp_item it;
	struct sp_view v, all;

	(void)state;
	it = C(3, "4s44", 1, "/etc/motd", SP_SFTP_F_READ, 0);
	assert_true(it.req->op == SP_SFTP_OPEN && sp_view_equal_str(it.req->path, "/etc/motd") && it.req->pflags == SP_SFTP_F_READ);
	it = S(102, "4s", 1, "h");
	assert_true(it.type == SP_SFTP_HANDLE && sp_view_equal_str(it.handle->path, "/etc/motd"));
	it = C(5, "4s84", 2, "h", (uint64_t)5 << 32, 32768);
	assert_true(it.req->op == SP_SFTP_READ && it.req->handle != NULL && it.req->offset == (uint64_t)5 << 32);
	all = v = packet(103, "4s", 2, "hello");
	assert_int_equal(sp_sftp_next(f, SP_SFTP_SERVER, &v, &it), SP_OK);
	assert_true(it.type == SP_SFTP_DATA && it.code == 5 && it.wire.p == all.p && !sp_sftp_between(f));
	assert_int_equal(sp_sftp_next(f, SP_SFTP_SERVER, &v, &it), SP_OK);
	assert_true(it.what == SP_SFTP_BYTES && it.wire.p == all.p + all.len - 5 && it.wire.len == 5);	/* a view, no copy */
	assert_true(it.offset == (uint64_t)5 << 32 && sp_view_equal_str(it.req->handle->path, "/etc/motd") && sp_sftp_between(f));
	(void)C(4, "4s", 3, "h");
	assert_int_equal(sp_sftp_handles(f), 1);
	it = S(101, "44", 3, 0);
	assert_true(it.req->op == SP_SFTP_CLOSE && it.code == 0 && sp_sftp_handles(f) == 0);
	sp_sftp_free(f);
}

static void
follows_an_upload_and_marks_what_was_refused(void **state)
{
	struct sp_sftp *f = begin(SP_SFTP_MAX);
	struct sp_sftp_item it;
	struct sp_view v;

	(void)state;
	(void)C(3, "4s444", 1, "up", SP_SFTP_F_WRITE | SP_SFTP_F_CREAT, SP_SFTP_A_MODE, 0640);
	(void)S(102, "4s", 1, "h");
	v = packet(6, "4s8s", 2, "h", (uint64_t)7, "abc");
	assert_int_equal(sp_sftp_next(f, SP_SFTP_CLIENT, &v, &it), SP_OK);
	assert_true(it.req->op == SP_SFTP_WRITE && it.req->length == 3 && it.req->offset == 7);
	sp_sftp_refuse(f);
	assert_int_equal(sp_sftp_next(f, SP_SFTP_CLIENT, &v, &it), SP_OK);
	assert_true(it.what == SP_SFTP_BYTES && it.refused && it.wire.len == 3);
	v = packet(101, "44", 2, 0);	/* nobody asked */
	assert_int_equal(error_of(f, SP_SFTP_SERVER, v), SP_EFORMAT);
	sp_sftp_free(f);
}

static void
knows_the_extensions_and_no_other(void **state)
{
	static const struct { const char *name, *fields; enum sp_sftp_op op; } exts[] = {
		{ "posix-rename@openssh.com", "4sss", SP_SFTP_POSIX_RENAME }, { "hardlink@openssh.com", "4sss", SP_SFTP_HARDLINK },
		{ "statvfs@openssh.com", "4ss", SP_SFTP_STATVFS }, { "fstatvfs@openssh.com", "4ss", SP_SFTP_FSTATVFS },
		{ "fsync@openssh.com", "4ss", SP_SFTP_FSYNC }, { "limits@openssh.com", "4s", SP_SFTP_LIMITS },
		{ "expand-path@openssh.com", "4ss", SP_SFTP_EXPAND_PATH }, { "home-directory", "4ss", SP_SFTP_HOME_DIRECTORY },
		{ "users-groups-by-id@openssh.com", "4sss", SP_SFTP_USERS_GROUPS }, { "check-file@example.com", "4s", SP_SFTP_UNKNOWN },
	};
	struct sp_sftp *f = begin(SP_SFTP_MAX);
	struct sp_sftp_item it;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(exts); i++) {
		it = C(200, exts[i].fields, (uint32_t)(10 + i), exts[i].name, "a", "b");
		assert_int_equal(it.req->op, exts[i].op);
	}
	it = C(200, "4ss4444", 40, "lsetstat@openssh.com", "x", SP_SFTP_A_MODE, 0600, 0, 0);
	assert_true(it.req->op == SP_SFTP_LSETSTAT && it.req->attrs.mode == 0600);
	it = C(200, "4ss88s8", 41, "copy-data", "a", (uint64_t)0, (uint64_t)0, "b", (uint64_t)0);
	assert_int_equal(it.req->op, SP_SFTP_COPY_DATA);
	it = C(21, "4", 42);
	assert_int_equal(it.req->op, SP_SFTP_UNKNOWN);
	sp_sftp_free(f);
}

static void
refuses_what_breaks_the_protocol(void **state)
{
	static const struct { const char *name; enum sp_sftp_side side; uint8_t type; const char *fields; uint32_t id; } bad[] = {
		{ "an answer to nothing", SP_SFTP_SERVER, 101, "44", 99 },
		{ "an answer of the wrong kind", SP_SFTP_SERVER, 102, "4s", 1 },
		{ "a number twice", SP_SFTP_CLIENT, 17, "4s", 1 },
		{ "a second start", SP_SFTP_CLIENT, 1, "4", 3 },
		{ "bytes behind a request", SP_SFTP_CLIENT, 13, "4ss", 9 },
		{ "half a request", SP_SFTP_CLIENT, 18, "4s", 9 },
		{ "a second version", SP_SFTP_SERVER, 2, "4", 3 },
	};

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++) {
		struct sp_sftp *f = begin(SP_SFTP_MAX);
		struct sp_view v;

		(void)C(17, "4s", 1, "x");
		v = bad[i].fields[1] == '4' ? packet(bad[i].type, bad[i].fields, bad[i].id, 0) :
		    packet(bad[i].type, bad[i].fields, bad[i].id, "a", "b");
		if (error_of(f, bad[i].side, v) != SP_EFORMAT)
			fail_msg("%s", bad[i].name);
		assert_int_equal(error_of(f, SP_SFTP_CLIENT, packet(17, "4s", 50, "y")), SP_EFORMAT);	/* and it stays so */
		sp_sftp_free(f);
	}
}

static void
bounds_sizes_requests_and_handles(void **state)
{
	static const uint8_t huge[] = { 0x7f, 0xff, 0xff, 0xff, 17 }, none[] = { 0, 0, 0, 4, 17 }, body[] = { 0, 0x20, 0, 0, 6 };
	struct sp_sftp *f = begin(2);
	struct sp_view v;

	(void)state;
	assert_int_equal(error_of(f, SP_SFTP_CLIENT, (struct sp_view){ huge, sizeof(huge) }), SP_ESIZE);
	sp_sftp_free(f);
	f = begin(2);
	assert_int_equal(error_of(f, SP_SFTP_CLIENT, (struct sp_view){ none, sizeof(none) }), SP_EFORMAT);
	sp_sftp_free(f);
	f = begin(2);
	assert_int_equal(error_of(f, SP_SFTP_CLIENT, (struct sp_view){ body, sizeof(body) }), SP_ESIZE);
	sp_sftp_free(f);
	f = begin(2);
	(void)C(3, "4s44", 1, "a", 1, 0);
	(void)C(3, "4s44", 2, "b", 1, 0);
	v = packet(3, "4s44", 3, "c", 1, 0);
	assert_int_equal(error_of(f, SP_SFTP_CLIENT, v), SP_EAGAIN);	/* wait, nothing was taken */
	(void)S(102, "4s", 1, "h1");
	(void)give(f, SP_SFTP_CLIENT, v);
	assert_int_equal(sp_sftp_handles(f), 3);	/* so that an owner can refuse in time */
	(void)S(102, "4s", 2, "h2");
	assert_int_equal(error_of(f, SP_SFTP_SERVER, packet(102, "4s", 3, "h3")), SP_EFULL);
	sp_sftp_free(f);
}

static void
reads_more_than_was_asked_for_as_an_error(void **state)
{
	struct sp_sftp *f = begin(4);

	(void)state;
	(void)C(3, "4s44", 1, "a", 1, 0);
	(void)S(102, "4s", 1, "h");
	(void)C(5, "4s84", 2, "h", (uint64_t)0, 3);
	assert_int_equal(error_of(f, SP_SFTP_SERVER, packet(103, "4s", 2, "four")), SP_EFORMAT);
	sp_sftp_free(f);
}

static void
says_status_and_start_as_the_draft_writes_them(void **state)
{
	static const uint8_t init[] = { 0, 0, 0, 5, 1, 0, 0, 0, 3 };
	struct sp_sftp *f = begin(4);
	struct sp_sftp_item it;
	struct sp_buf b;

	(void)state;
	sp_buf_init(&b, 1024);
	assert_int_equal(sp_sftp_put_init(&b), SP_OK);
	assert_true(b.len == sizeof(init) && memcmp(b.p, init, sizeof(init)) == 0);
	sp_buf_reset(&b);
	(void)C(17, "4s", 77, "x");
	assert_int_equal(sp_sftp_put_status(&b, 77, SP_SFTP_DENIED, "no"), SP_OK);
	it = give(f, SP_SFTP_SERVER, (struct sp_view){ b.p, b.len });
	assert_true(it.type == SP_SFTP_STATUS && it.code == SP_SFTP_DENIED && it.wire.len == b.len);
	sp_buf_release(&b);
	sp_sftp_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_a_download),
		cmocka_unit_test(follows_an_upload_and_marks_what_was_refused),
		cmocka_unit_test(knows_the_extensions_and_no_other),
		cmocka_unit_test(refuses_what_breaks_the_protocol),
		cmocka_unit_test(bounds_sizes_requests_and_handles),
		cmocka_unit_test(reads_more_than_was_asked_for_as_an_error),
		cmocka_unit_test(says_status_and_start_as_the_draft_writes_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
