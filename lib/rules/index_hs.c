/* lib/rules/index_hs.c - the index of literals, by Vectorscan (the free fork of Hyperscan). The text is folded before, so all
 * literals are exact bytes. */
#include <hs.h>
#include <stdlib.h>

#include "rules/index.h"

struct scan_arg {
	void	(*found)(unsigned, void *);
	void	*arg;
};

static enum sp_err
hs_index_build(const struct sp_view *literal, size_t n, void **ret)
{
	const char **text = calloc(n, sizeof(*text));
	unsigned *flags = calloc(n, sizeof(*flags)), *ids = calloc(n, sizeof(*ids));
	size_t *lens = calloc(n, sizeof(*lens));
	hs_compile_error_t *err = NULL;
	hs_database_t *db = NULL;
	enum sp_err r = SP_ENOMEM;

	if (hs_valid_platform() != HS_SUCCESS) {
		r = SP_EUNAVAIL;
	} else if (text != NULL && flags != NULL && ids != NULL && lens != NULL) {
		for (size_t i = 0; i < n; i++) {
			text[i] = (const char *)literal[i].p;
			lens[i] = literal[i].len;
			ids[i] = (unsigned)i;
			flags[i] = HS_FLAG_SINGLEMATCH;
		}
		r = hs_compile_lit_multi(text, flags, ids, lens, (unsigned)n, HS_MODE_BLOCK, NULL, &db, &err) == HS_SUCCESS ? SP_OK : SP_EINTERNAL;
		hs_free_compile_error(err);
	}
	free(text);
	free(flags);
	free(ids);
	free(lens);
	if (r == SP_OK)
		*ret = db;
	return r;
}

static void
hs_index_free(void *db)
{
	hs_free_database(db);
}

static enum sp_err
hs_index_scratch(void *db, void **ret)
{
	hs_scratch_t *s = NULL;

	if (hs_alloc_scratch(db, &s) != HS_SUCCESS)
		return SP_ENOMEM;
	*ret = s;
	return SP_OK;
}

static void
hs_index_scratch_free(void *s)
{
	hs_free_scratch(s);
}

static int
on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *arg)
{
	const struct scan_arg *a = arg;

	a->found(id, a->arg);
	return 0;
}

static enum sp_err
hs_index_scan(void *db, void *scratch, const uint8_t *p, size_t n, void (*found)(unsigned, void *), void *arg)
{
	struct scan_arg a = { found, arg };

	if (n == 0)		/* no field that a rule reads: p may be NULL, which Vectorscan refuses */
		return SP_OK;
	return hs_scan(db, (const char *)p, (unsigned)n, 0, scratch, on_match, &a) == HS_SUCCESS ? SP_OK : SP_EINTERNAL;
}

const struct sp_rules_index_ops sp_rules_vectorscan = { hs_index_build, hs_index_free, hs_index_scratch, hs_index_scratch_free, hs_index_scan };
