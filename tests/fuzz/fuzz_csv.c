/* tests/fuzz/fuzz_csv.c - reading never faults and always ends; what was read and is written again reads the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/csv.h"

static void
same(const struct sp_csv_record *rec)
{
	struct sp_buf out = { .max = SP_CSV_RECORD_MAX * 4 };
	struct sp_csv_record again = { 0 };
	struct sp_csv r;

	for (size_t i = 0; i < rec->n; i++)
		if (sp_csv_put(&out, sp_csv_field(rec, i), i == 0) != SP_OK)
			abort();
	if (sp_csv_end(&out) != SP_OK)
		abort();
	sp_csv_init(&r, (const char *)out.p, out.len);
	if (memcmp(out.p, "\xef\xbb\xbf", out.len < 3 ? out.len : 3) == 0 && out.len >= 3)
		r.at = 0;	/* the field's own bytes, not a mark */
	if (sp_csv_next(&r, &again) != SP_OK || again.n != rec->n)
		abort();
	for (size_t i = 0; i < rec->n; i++)
		if (strcmp(sp_csv_field(rec, i), sp_csv_field(&again, i)) != 0)
			abort();
	if (sp_csv_next(&r, &again) != SP_ENOENT)
		abort();
	sp_csv_record_release(&again);
	sp_buf_release(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_csv_record rec = { 0 };
	struct sp_csv r;
	size_t at;
	enum sp_err e;

	sp_csv_init(&r, (const char *)data, size);
	do {
		at = r.at;
		if ((e = sp_csv_next(&r, &rec)) == SP_OK)
			same(&rec);
		else if (e != SP_ENOENT && r.why == NULL)
			abort();
		if (e != SP_ENOENT && r.at <= at)
			abort();
	} while (e != SP_ENOENT);
	sp_csv_record_release(&rec);
	return 0;
}
