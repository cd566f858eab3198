/* tests/fuzz/fuzz_track.c - the line tracker never faults, numbers its records, and its text is UTF-8 or, when hidden, none.
 * Input: columns, rows, then operations: kind (keys, output, size, time, Enter), length, bytes. */
#include <stdlib.h>

#include "base/str.h"
#include "term/track.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t numbers;

static void
record(const struct sp_track_record *r, void *arg)
{
	(void)arg;
	if (r->number != ++numbers || (r->hidden && (r->text.len != 0 || r->certain)) || (!r->hidden && r->text.len == 0) ||
	    r->text.len > SP_TRACK_TEXT_MAX + 4 * SP_TERM_COLS_MAX * SP_TERM_ROWS_MAX || !sp_utf8_valid(r->text.p, r->text.len))
		abort();
}

static void
ended(uint64_t number, uint64_t end_us, void *arg)
{
	(void)end_us;
	(void)arg;
	if (number == 0 || number > numbers)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_track_answer a;
	struct sp_track *l;
	uint64_t now = 1000000;

	numbers = 0;
	if (size < 2 || size > 65536)
		return 0;
	if (sp_track_new(data[0] % 100, data[1] % 40, record, ended, NULL, &l) != SP_OK)
		abort();
	for (size_t at = 2; at + 2 <= size;) {
		size_t n = data[at + 1] < size - at - 2 ? data[at + 1] : size - at - 2;
		const uint8_t *p = data + at + 2;

		now += data[at] * 100u;
		switch (data[at] % 5) {
		case 0:
			sp_track_input(l, p, n, now);
			break;
		case 1:
			sp_track_output(l, p, n, now);
			break;
		case 2:
			if (n >= 2 && sp_track_resize(l, p[0] % 100, p[1] % 40) != SP_OK)
				abort();
			break;
		case 3:
			now += (uint64_t)n * n * 1000;
			sp_track_tick(l, now);
			break;
		default:
			if (sp_track_settled(l, now, now + SP_TRACK_WAIT_US, &a) == 0)
				abort();
			if (a.text.len > SP_TRACK_TEXT_MAX)
				abort();
			sp_track_input(l, "\r", 1, now);
			break;
		}
		at += 2 + n;
	}
	sp_track_finish(l, now);
	sp_track_free(l);
	return 0;
}
