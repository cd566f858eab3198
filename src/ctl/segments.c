/* src/ctl/segments.c - see segments.h. */
#include "ctl/segments.h"

enum sp_err
ctl_segments_add(struct ctl_segments *s, struct sp_recreader *taken)
{
	if (s->n == CTL_SEGMENTS_MAX) {
		sp_recreader_free(taken);
		return SP_EFULL;
	}
	s->offset_us[s->n] = s->n > 0 ? s->offset_us[s->n - 1] + sp_recreader_duration(s->r[s->n - 1]) : 0;
	s->r[s->n++] = taken;
	return SP_OK;
}

void
ctl_segments_release(struct ctl_segments *s)
{
	for (unsigned i = 0; i < s->n; i++)
		sp_recreader_free(s->r[i]);
	s->n = s->at = 0;
}

enum sp_err
ctl_segments_next(struct ctl_segments *s, struct sp_view *ret, uint64_t *ret_offset_us)
{
	enum sp_err r = SP_ENOENT;

	for (; s->at < s->n; s->at++)
		while ((r = sp_recreader_next(s->r[s->at], ret)) != SP_ENOENT) {
			*ret_offset_us = s->offset_us[s->at];
			if (r != SP_OK || s->at == 0 || ret->len == 0 || ret->p[0] != '{')
				return r;
		}
	return r;
}

/* The segments behind the one that has this time begin at their beginning. */
enum sp_err
ctl_segments_seek(struct ctl_segments *s, uint64_t at_us)
{
	enum sp_err r = SP_OK;

	for (s->at = 0; s->at + 1 < s->n && s->offset_us[s->at + 1] <= at_us; s->at++)
		;
	for (unsigned i = s->at; r == SP_OK && i < s->n; i++)
		r = sp_recreader_seek(s->r[i], i == s->at ? at_us - s->offset_us[i] : 0);
	return r;
}

uint64_t
ctl_segments_duration(const struct ctl_segments *s)
{
	return s->n > 0 ? s->offset_us[s->n - 1] + sp_recreader_duration(s->r[s->n - 1]) : 0;
}

int
ctl_segments_torn(const struct ctl_segments *s)
{
	return s->n > 0 && sp_recreader_is_torn(s->r[s->n - 1]);
}
