/* tests/unit/src/scribe/test_transfer.c - what is told of files that pass, and their hashes when bytes come in any order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "base/str.h"
#include "scribe/strand.h"
#include "scribe/transfer.h"
#include "wire/sftp.h"

static json_t *told;		/* events, in order */

static void
tell(void *arg, const struct sp_buf *json)
{
	json_t *o = json_loadb((const char *)json->p, json->len, 0, NULL);

	(void)arg;
	assert_non_null(o);
	json_array_append_new(told, o);
}

static struct sp_sha256 rest[SP_REC_STREAMS];
static struct sp_buf all;	/* of the stream out, while `all.max` is set */

static struct sp_transfer *
begin(const char *type, const char *detail)
{
	Sallyport__RecChannel ch = SALLYPORT__REC_CHANNEL__INIT;
	struct sp_transfer *t;

	json_decref(told);
	told = json_array();
	for (int i = 0; i < SP_REC_STREAMS; i++)
		sp_sha256_begin(&rest[i]);
	ch.channel = 7;
	ch.type = (char *)(uintptr_t)type;
	ch.detail = (char *)(uintptr_t)detail;
	assert_int_equal(sp_transfer_new(&ch, tell, NULL, &t), SP_OK);
	return t;
}

static void
say(struct sp_transfer *t, enum sp_rec_stream s, const void *p, size_t n)
{
	sp_transfer_data(t, s, (struct sp_view){ p, n }, &rest[s]);
	if (all.max > 0 && s == SP_REC_OUT)
		assert_int_equal(sp_buf_append(&all, p, n), SP_OK);
}
#define IN(t, text)	say(t, SP_REC_IN, text, sizeof(text) - 1)
#define OUT(t, text)	say(t, SP_REC_OUT, text, sizeof(text) - 1)

static const json_t *
event(size_t i, const char *op, const char *path, const char *result)
{
	const json_t *o = json_array_get(told, i);

	if (o == NULL)
		fail_msg("no event %zu: %s %s", i, op, path);
	assert_string_equal(json_string_value(json_object_get(o, "op")), op);
	assert_string_equal(json_string_value(json_object_get(o, "path")), path);
	assert_string_equal(json_string_value(json_object_get(o, "result")), result);
	assert_int_equal(json_integer_value(json_object_get(o, "channel")), 7);
	return o;
}

/* A packet: fields by letter: 4 u32, 8 u64, s a C string. */
static void
packet(struct sp_transfer *t, enum sp_rec_stream s, uint8_t type, const char *fields, ...)
{
	struct sp_buf b;
	va_list ap;

	sp_buf_init(&b, 65536);
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
	for (int i = 0; i < 4; i++)
		b.p[i] = (uint8_t)((b.len - 4) >> (24 - 8 * i));
	say(t, s, b.p, b.len);
	sp_buf_release(&b);
}
#define C(...)	packet(t, SP_REC_IN, __VA_ARGS__)
#define S(...)	packet(t, SP_REC_OUT, __VA_ARGS__)
#define HELLO	"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"	/* sha256("hello") */

static void
sftp_start(struct sp_transfer *t)
{
	C(1, "4", 3);
	S(2, "4", 3);
}

static void
a_download_is_hashed_in_the_order_of_offsets(void **state)
{
	struct sp_transfer *t = begin("subsystem", "sftp");
	const json_t *o;

	(void)state;
	sftp_start(t);
	C(3, "4s44", 1, "/f\nx", SP_SFTP_F_READ, 0);
	S(102, "4s", 1, "h");
	C(5, "4s84", 2, "h", (uint64_t)0, 3);
	C(5, "4s84", 3, "h", (uint64_t)3, 3);
	C(5, "4s84", 4, "h", (uint64_t)5, 3);
	S(103, "4s", 3, "lo");		/* the second part first */
	S(103, "4s", 2, "hel");
	S(101, "44", 4, SP_SFTP_EOF);
	C(4, "4s", 5, "h");
	S(101, "44", 5, 0);
	o = event(0, "download", "/f\\x0ax", "ok");
	assert_string_equal(json_string_value(json_object_get(o, "sha256")), HELLO);
	assert_int_equal(json_integer_value(json_object_get(o, "bytes")), 5);
	assert_true(json_is_true(json_object_get(o, "to_the_end")));
	assert_int_equal(json_array_size(told), 1);
	sp_transfer_free(t);
	assert_int_equal(json_array_size(told), 1);
}

static void
cut(const char *contents)
{
	size_t n = strlen(contents);
	uint8_t *p = memmem(all.p, all.len, contents, n);

	assert_non_null(p);
	memmove(p, p + n, (size_t)(all.p + all.len - p) - n);
	all.len -= n;
}

/* Contents in the hash of their file, everything else in that of the rest. */
static void
every_byte_is_in_one_hash(void **state)
{
	struct sp_transfer *t = begin("subsystem", "sftp");
	uint8_t want[SP_SHA256_LEN], got[SP_SHA256_LEN];

	(void)state;
	sp_buf_init(&all, 65536);
	sftp_start(t);
	C(3, "4s44", 1, "/f", SP_SFTP_F_READ, 0);
	S(102, "4s", 1, "h");
	C(5, "4s84", 2, "h", (uint64_t)0, 5);
	S(103, "4s", 2, "hello");
	C(7, "4s", 3, "/dir");
	S(105, "44", 3, 0);
	sp_transfer_free(t);
	cut("hello");
	sp_sha256(all.p, all.len, want);
	sp_sha256_now(&rest[SP_REC_OUT], got);
	assert_memory_equal(got, want, sizeof(want));
	assert_string_equal(json_string_value(json_object_get(event(0, "download", "/f", "not closed"), "sha256")), HELLO);
	sp_buf_release(&all);
	all.max = 0;
}

static void
an_upload_that_goes_on_says_from_where(void **state)
{
	struct sp_transfer *t = begin("exec", "/usr/lib/openssh/sftp-server");
	const json_t *o;

	(void)state;
	sftp_start(t);
	C(3, "4s44", 1, "/f", SP_SFTP_F_WRITE, 0);
	S(102, "4s", 1, "h");
	C(6, "4s8s", 2, "h", (uint64_t)5 << 32, "hello");
	S(101, "44", 2, 0);
	C(4, "4s", 5, "h");
	S(101, "44", 5, 0);
	o = event(0, "upload", "/f", "ok");
	assert_string_equal(json_string_value(json_object_get(o, "sha256")), HELLO);
	assert_true(json_integer_value(json_object_get(o, "from")) == (json_int_t)5 << 32);
	sp_transfer_free(t);
}

static void
results_are_those_of_the_target(void **state)
{
	struct sp_transfer *t = begin("subsystem", "sftp");

	(void)state;
	sftp_start(t);
	C(3, "4s44", 1, "/none", SP_SFTP_F_READ, 0);
	S(101, "44", 1, SP_SFTP_NO_FILE);
	C(3, "4s44", 2, "/full", SP_SFTP_F_WRITE | SP_SFTP_F_CREAT, 0);
	S(102, "4s", 2, "h");
	C(6, "4s8s", 3, "h", (uint64_t)0, "abc");
	S(101, "44", 3, SP_SFTP_FAILURE);
	C(4, "4s", 4, "h");
	S(101, "44", 4, 0);
	C(18, "4ss", 5, "/a", "/b");
	S(101, "44", 5, 0);
	C(13, "4s", 6, "/gone");
	S(101, "44", 6, SP_SFTP_DENIED);
	C(9, "4s44", 7, "/m", SP_SFTP_A_MODE, 0600);
	S(101, "44", 7, 0);
	C(200, "4sss", 8, "hardlink@openssh.com", "/x", "/y");
	S(101, "44", 8, 0);
	C(17, "4s", 9, "/only looked at");
	S(105, "44", 9, 0);
	C(3, "4s44", 10, "/left", SP_SFTP_F_READ, 0);
	S(102, "4s", 10, "h2");
	(void)event(0, "download", "/none", "no such file");
	(void)event(1, "upload", "/full", "failure");
	assert_string_equal(json_string_value(json_object_get(event(2, "rename", "/a", "ok"), "to")), "/b");
	(void)event(3, "remove", "/gone", "permission denied");
	assert_int_equal(json_integer_value(json_object_get(event(4, "setstat", "/m", "ok"), "set_mode")), 0600);
	(void)event(5, "hardlink", "/x", "ok");
	assert_int_equal(json_array_size(told), 6);
	sp_transfer_free(t);
	(void)event(6, "download", "/left", "not closed");
}

static void
scp_both_ways(void **state)
{
	struct sp_transfer *t = begin("exec", "scp -r -t '/srv/in here'");
	const json_t *o;

	(void)state;
	OUT(t, "\0"), IN(t, "D0755 0 d\n"), OUT(t, "\0"), IN(t, "C0644 5 f\n"), OUT(t, "\0"), IN(t, "hel"), IN(t, "lo\0"), OUT(t, "\0");
	IN(t, "E\n"), OUT(t, "\0"), IN(t, "C0600 1 g\n"), OUT(t, "\1no\n");
	(void)event(0, "mkdir", "/srv/in here/d", "ok");
	o = event(1, "upload", "/srv/in here/d/f", "ok");
	assert_string_equal(json_string_value(json_object_get(o, "sha256")), HELLO);
	(void)event(2, "upload", "/srv/in here/g", "failure");
	sp_transfer_free(t);
	t = begin("exec", "scp -p -t /srv/new");	/* a file, or a folder: the target knows */
	OUT(t, "\0"), IN(t, "C0644 1 f\n"), OUT(t, "\0"), IN(t, "x\0"), OUT(t, "\0");
	assert_string_equal(json_string_value(json_object_get(event(0, "upload", "/srv/new", "ok"), "name")), "f");
	sp_transfer_free(t);
	t = begin("exec", "scp -f /etc/motd");
	IN(t, "\0"), OUT(t, "C0644 5 motd\n"), IN(t, "\0"), OUT(t, "hello\0"), IN(t, "\0"), OUT(t, "\1scp: y: gone\n");
	o = event(0, "download", "/etc/motd", "ok");
	assert_string_equal(json_string_value(json_object_get(o, "sha256")), HELLO);
	(void)event(1, "download", "/etc/motd", "scp: y: gone");
	sp_transfer_free(t);
}

static void
what_is_not_decoded_is_told_once(void **state)
{
	struct sp_transfer *t = begin("subsystem", "sftp");

	(void)state;
	IN(t, "GET / HTTP/1.0\r\n");
	IN(t, "more of it, and more of it");
	sp_transfer_free(t);
	(void)event(0, "not decoded", "", "too large");
	assert_int_equal(json_array_size(told), 1);
	t = begin("exec", "rsync --server -vlogDtpre.iLsfxCIvu . /srv/x");
	IN(t, "12345");
	sp_transfer_free(t);
	assert_int_equal(json_integer_value(json_object_get(event(0, "upload", "/srv/x", "not decoded"), "stream_bytes")), 5);
	assert_null(begin("exec", "cat x"));
	assert_null(begin("shell", ""));
}

static void
refusals_are_told_and_then_counted(void **state)
{
	Sallyport__RecRefused m = SALLYPORT__REC_REFUSED__INIT;
	struct sp_transfer *t = begin("subsystem", "sftp");
	char op[] = "write", why[] = "no", path[] = "/f";

	(void)state;
	m.op = op;
	m.why = why;
	m.path = (ProtobufCBinaryData){ 2, (uint8_t *)path };
	for (int i = 0; i < 1000; i++)
		sp_transfer_refused(t, &m);
	(void)event(0, "write", "/f", "refused");
	assert_int_equal(json_array_size(told), 200);
	sp_transfer_free(t);
	assert_int_equal(json_integer_value(json_object_get(event(200, "more requests", "", "refused"), "count")), 800);
}

static void
ranges_are_told_when_bytes_are_not_in_order(void **state)
{
	static uint8_t big[1 << 20];
	struct sp_strand s;
	size_t waiting = 0;
	uint8_t hash[SP_SHA256_LEN];
	struct sp_sha256 more;

	(void)state;
	sp_strand_init(&s, &waiting);
	sp_strand_put(&s, 0, (const uint8_t *)"hello", 5);
	sp_strand_put(&s, 3, (const uint8_t *)"lo", 2);		/* again */
	sp_strand_put(&s, 9, (const uint8_t *)"x", 1);		/* a hole */
	assert_int_equal(waiting, 1);
	sp_strand_end(&s);
	assert_int_equal(s.n, 3);
	assert_true(s.range[0].bytes == 5 && s.range[1].from == 3 && s.range[1].bytes == 2 && s.range[2].from == 9 && s.bytes == 8);
	sp_sha256("hello", 5, hash);
	assert_memory_equal(s.range[0].sha256, hash, sizeof(hash));
	assert_int_equal(waiting, 0);
	sp_strand_release(&s);
	/* backwards, more than may wait: bounded, every byte is counted and hashed, those beyond the limit together */
	sp_strand_init(&s, &waiting);
	sp_sha256_begin(&more);
	for (int i = 63; i >= 0; i--) {
		big[0] = (uint8_t)i;
		sp_strand_put(&s, (uint64_t)i * 2 * sizeof(big), big, sizeof(big));
		assert_true(waiting <= SP_TRANSFER_WAIT);
	}
	sp_strand_end(&s);
	assert_true(s.bytes == 64 * sizeof(big) && s.n == 64);
	for (int i = 63 - SP_TRANSFER_RANGES; i >= 0; i--) {
		big[0] = (uint8_t)i;
		sp_sha256_add(&more, big, sizeof(big));
	}
	sp_sha256_now(&more, hash);
	assert_memory_equal(s.more, hash, sizeof(hash));
	sp_strand_release(&s);
	assert_int_equal(waiting, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_download_is_hashed_in_the_order_of_offsets),
		cmocka_unit_test(every_byte_is_in_one_hash),
		cmocka_unit_test(an_upload_that_goes_on_says_from_where),
		cmocka_unit_test(results_are_those_of_the_target),
		cmocka_unit_test(scp_both_ways),
		cmocka_unit_test(what_is_not_decoded_is_told_once),
		cmocka_unit_test(refusals_are_told_and_then_counted),
		cmocka_unit_test(ranges_are_told_when_bytes_are_not_in_order),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	json_decref(told);
	return r;
}
