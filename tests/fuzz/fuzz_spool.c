/* tests/fuzz/fuzz_spool.c - a spool file as a crash, a broken disk or a liar left it: opening never faults, what is taken for
 * events lies inside the file with numbers without a gap, and the spool can be continued from there.
 * The first byte says what is put right before: 1 the head, 2 the checksums (else nothing behind them is ever reached). */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scribe/crc32c.h"
#include "scribe/spool.h"

#define HEAD	32u		/* magic, session id, number before the first event */
#define MAX	(512u * 1024)

static const struct sp_uuid session = { .b = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } };
static char dir_name[64] = "/tmp/sp-fuzz-spool-XXXXXX", file_name[SP_UUID_SIZE];
static int dir = -1;

static void
leave_nothing(void)
{
	(void)unlinkat(dir, file_name, 0);
	(void)rmdir(dir_name);
}

static void
mend_checksums(uint8_t *p, size_t n)
{
	for (size_t at = HEAD; n >= 8 && at <= n - 8;) {
		uint32_t len, crc;

		memcpy(&len, p + at, sizeof(len));
		if (len > n - at - 8)
			return;
		crc = sp_crc32c(0, p + at + 4, len);
		memcpy(p + at + 4 + len, &crc, sizeof(crc));
		at += 8 + len;
	}
}

static void
put_file(const uint8_t *data, size_t size)
{
	static uint8_t copy[MAX];
	int fd = openat(dir, file_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	memcpy(copy, data + 1, size - 1);
	if ((data[0] & 1) && size - 1 >= HEAD) {
		memcpy(copy, "SPSPOOL1", 8);
		memcpy(copy + 8, session.b, SP_UUID_LEN);
	}
	if (data[0] & 2)
		mend_checksums(copy, size - 1);
	if (fd == -1 || write(fd, copy, size - 1) != (ssize_t)(size - 1))
		abort();
	close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_spool s = { .fd = -1 }, again = { .fd = -1 };
	struct stat st;

	if (size < 1 || size > MAX)
		return 0;
	if (dir == -1) {
		if (mkdtemp(dir_name) == NULL || (dir = open(dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
			abort();
		sp_uuid_text(&session, file_name);
		atexit(leave_nothing);
	}
	put_file(data, size);
	if (sp_spool_open(dir, &session, &s) != SP_OK) {
		if (s.fd != -1)
			abort();
		return 0;
	}
	if (fstat(s.fd, &st) == -1 || s.write_off < HEAD || s.write_off > (uint64_t)st.st_size || s.acked_seq > s.last_seq ||
	    s.last_seq - s.acked_seq > s.write_off / 8)
		abort();
	if (sp_spool_append(&s, "end", 1, 2, (struct sp_view){ (const uint8_t *)"{}", 2 }) != SP_OK)
		abort();
	sp_spool_release(&s);
	/* What was appended is there when the next one looks, and nothing behind it is taken for an event. */
	if (sp_spool_open(dir, &session, &again) != SP_OK || again.last_seq != s.last_seq || again.write_off != s.write_off ||
	    strcmp(again.last_kind, "end") != 0)
		abort();
	sp_spool_release(&again);
	return 0;
}
