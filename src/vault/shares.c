/* src/vault/shares.c - see shares.h. */
#include "vault/shares.h"

#include <stdlib.h>
#include <string.h>

void
shares_clear(struct shares *s)
{
	for (size_t i = 0; i < s->n; i++)
		sp_share_release(&s->v[i]);
	free(s->v);
	*s = (struct shares){ 0 };
}

void
shares_sweep(struct shares *s, uint64_t now_us)
{
	if (s->n > 0 && now_us - s->last_us > SHARES_IDLE_US)
		shares_clear(s);
}

static const struct sp_slot *
shares_slot(const struct sp_slots *file, const struct sp_share *sh)
{
	for (size_t i = 0; i < file->slot_n; i++)
		if (file->slot[i].kind == SP_SLOT_SHAMIR &&
		    memcmp(file->slot[i].set_id, sh->set_id, sizeof(sh->set_id)) == 0)
			return &file->slot[i];
	return NULL;
}

static enum sp_err
shares_fit(const struct shares *s, const struct sp_slots *file, const struct sp_share *sh, const char **why)
{
	const struct sp_slot *slot = shares_slot(file, sh);

	*why = "is of another vault, or of a slot that was removed";
	if (slot == NULL || slot->threshold != sh->threshold)
		return SP_ENOENT;
	*why = "is of another slot than those before";
	if (s->n > 0 && memcmp(s->v[0].set_id, sh->set_id, sizeof(sh->set_id)) != 0)
		return SP_ECONFLICT;
	*why = "was given already";
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].index == sh->index)
			return SP_EEXIST;
	return SP_OK;
}

enum sp_err
shares_add(struct shares *s, const struct sp_slots *file, struct sp_view text, uint64_t now_us, const char **why,
    unsigned *ret_index)
{
	struct sp_share sh = { 0 };
	enum sp_err r;

	*ret_index = 0;
	while (text.len > 0 && (text.p[text.len - 1] == '\n' || text.p[text.len - 1] == '\r' || text.p[text.len - 1] == ' '))
		text.len--;
	if ((r = sp_share_parse((const char *)text.p, text.len, why, &sh)) != SP_OK)
		return r;
	*ret_index = sh.index;
	if ((r = shares_fit(s, file, &sh, why)) == SP_OK && s->v == NULL &&
	    (s->v = calloc(SP_SHARES_MAX, sizeof(*s->v))) == NULL)
		r = SP_ENOMEM;
	if (r != SP_OK) {
		sp_share_release(&sh);
		return r;
	}
	s->threshold = sh.threshold;
	s->v[s->n++] = sh;
	s->last_us = now_us;
	return SP_OK;
}
