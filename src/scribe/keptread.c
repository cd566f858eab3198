/* src/scribe/keptread.c - records of kept contents; see kept.h. Process: the command line. Pure. */
#include "scribe/kept.h"

static uint64_t
get_le(const uint8_t *p, int n)
{
	uint64_t v = 0;

	for (int i = n - 1; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

enum sp_err
sp_kept_next(struct sp_view *v, struct sp_kept_record *ret)
{
	struct sp_kept_record r;
	uint32_t n;

	if (v->len < SP_KEPT_HEAD)
		return SP_ESHORT;
	n = (uint32_t)get_le(v->p, 4);
	r = (struct sp_kept_record){ .type = (enum sp_kept_type)v->p[4], .file = (uint32_t)get_le(v->p + 5, 4) };
	if (n > SP_KEPT_BODY_MAX || r.file == 0 || r.type < SP_KEPT_BEGIN || r.type > SP_KEPT_END || (r.type == SP_KEPT_DATA && n < 8))
		return SP_EFORMAT;
	if (v->len - SP_KEPT_HEAD < n)
		return SP_ESHORT;
	r.body = (struct sp_view){ v->p + SP_KEPT_HEAD, n };
	if (r.type == SP_KEPT_DATA) {
		r.offset = get_le(r.body.p, 8);
		r.body.p += 8;
		r.body.len -= 8;
		if (r.offset > UINT64_MAX / 2)
			return SP_EFORMAT;
	}
	v->p += SP_KEPT_HEAD + n;
	v->len -= SP_KEPT_HEAD + n;
	*ret = r;
	return SP_OK;
}
