/* src/control/menu_list.h - everything that one user may open now, decided: what his menu shows. Runs in worker threads;
 * touches nothing but the store.
 * Invariants: (1) an asset is in the list exactly when lib/policy lets this user use at least one active account there,
 * with some protocol, from this source, now; it is a list, made from rows whose MACs are not looked at: opening one is
 * judged again, with them. (2) accounts are those, and no others. (3) Memory is bounded; a list that is
 * cut says so. */
#ifndef SP_CONTROL_MENU_LIST_H
#define SP_CONTROL_MENU_LIST_H

#include "base/buf.h"
#include "base/netaddr.h"
#include "store/store.h"

#define MENU_LIST_MAX		50000			/* assets */
#define MENU_LIST_TEXT_MAX	(32u * 1024 * 1024)
#define MENU_LIST_PAIRS_MAX	2000000			/* (asset, grant) that are looked at */
#define MENU_LIST_GROUPS_MAX	5000
#define MENU_LIST_RECENT	8

struct menu_list_row {
	struct sp_uuid	id;
	uint32_t	name, address, remark;		/* offsets in text */
	uint32_t	account, account_n;		/* in account[] of the list */
	int		favourite;
	unsigned	recent;				/* 1: the last one used; 0: none of the last */
};
struct menu_list_group {
	struct sp_uuid	id;
	uint32_t	name;				/* offset in text */
	uint32_t	parent;				/* index + 1 in group[]; 0: none */
};
struct menu_list_place {
	struct sp_uuid	asset_id;
	uint32_t	group;				/* index + 1 */
};
struct menu_list {
	struct sp_buf		 text;			/* NUL-terminated texts */
	struct menu_list_row	*row;			/* favourites, then the last used, then the rest; each by name */
	size_t			 n, cap;
	uint32_t		*account;		/* offsets in text */
	size_t			 account_n, account_cap;
	int			 cut;			/* there are more */
	struct menu_list_group	*group;			/* filled by menu_list_places(): those with something in them, and */
	size_t			 group_n, group_cap;	/* what is above them */
	struct menu_list_place	*place;			/* by asset */
	size_t			 place_n, place_cap;
};
/* Starts zeroed. source NULL: unknown. SP_ESIZE: more grants than are looked at. */
enum sp_err	 menu_list_load(struct sp_store *s, const struct sp_store_user *u, const struct sp_netaddr *source,
		    int64_t login_epoch, int64_t now_us, struct menu_list *ret) SP_MUST_USE;
/* Add the groups of the assets in it. */
enum sp_err	 menu_list_places(struct sp_store *s, const struct sp_uuid *user_id, int64_t now_us, struct menu_list *l) SP_MUST_USE;
void		 menu_list_release(struct menu_list *l);	/* safe twice */
static inline const char *menu_list_text(const struct menu_list *l, uint32_t at) { return (const char *)l->text.p + at; }

#endif
