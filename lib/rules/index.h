/* lib/rules/index.h - a matcher of many literals at once, behind a few functions, so that programs which judge with few rules
 * (a session) need not link one. */
#ifndef SP_RULES_INDEX_H
#define SP_RULES_INDEX_H

#include "rules/rules.h"

struct sp_rules_index_ops {
	/* Literal i reports as i. SP_EUNAVAIL: not on this machine (the set then works without an index). */
	enum sp_err	(*build)(const struct sp_view *literal, size_t n, void **ret);
	void		(*free)(void *db);
	enum sp_err	(*scratch_new)(void *db, void **ret);
	void		(*scratch_free)(void *scratch);
	/* Call found(i, arg) for literals in p, each at least once. */
	enum sp_err	(*scan)(void *db, void *scratch, const uint8_t *p, size_t n, void (*found)(unsigned i, void *arg), void *arg);
};

#endif
