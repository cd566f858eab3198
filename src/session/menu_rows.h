/* src/session/menu_rows.h - the servers of a menu in compact form, filtered as one types. Process: session. Pure.
 * One block of text and 32 bytes a row: ten thousand servers take about a megabyte. Invariants: (1) at most
 * SP_MENU_ROWS_MAX rows and SP_MENU_TEXT_TOTAL bytes of text; more is not taken, and `cut` says so. (2) view[] holds what
 * query and group let through, in the order in which the rows came. (3) A group is shown only if a row is in it or below. */
#ifndef SP_SESSION_MENU_ROWS_H
#define SP_SESSION_MENU_ROWS_H

#include <stdint.h>

#include "base/buf.h"

#define SP_MENU_ROWS_MAX	50000
#define SP_MENU_TEXT_TOTAL	(16u * 1024 * 1024)
#define SP_MENU_GROUPS_MAX	5000
#define SP_MENU_PLACES_MAX	500000

struct menu_row {
	uint8_t		id[16];
	uint32_t	at;			/* in text: name, address, remark, then each account, NUL after each */
	uint16_t	address, remark, accounts;	/* from `at` */
	uint8_t		n_accounts, favourite, recent;
};
struct menu_group {
	uint32_t	parent;			/* its index + 1; 0: at the top */
	uint32_t	name;			/* in text */
	uint32_t	count;			/* rows in it and below, each once */
};
struct menu_place {
	uint32_t	row, group;		/* indexes */
};
struct menu_rows {
	struct sp_buf		 text;
	struct menu_row		*row;
	struct menu_group	*group;
	struct menu_place	*place;
	uint32_t		*by_id;		/* rows in order of id, while places come */
	size_t			 n, cap, group_n, group_cap, place_n, place_cap, view_n, view_cap;
	int32_t			*view;		/* a row, or ~group */
	uint8_t			*mark;		/* of rows, for one call */
	int			 have_groups, cut;
	char			 last[257];	/* what view[] was made from */
	int64_t			 last_group;	/* -1: no groups; 0: the top; else group + 1; -2: nothing yet */
};
struct menu_row_text {			/* borrowed until the next row is added */
	const char	*name, *address, *remark, *accounts;
	size_t		 n_accounts;
};

void		 menu_rows_init(struct menu_rows *r);
void		 menu_rows_release(struct menu_rows *r);	/* safe twice */
/* Texts are cut at 255 bytes, remarks at 1023. SP_ENOMEM. */
enum sp_err	 menu_rows_add(struct menu_rows *r, const uint8_t id[16], const char *name, const char *address, const char *remark,
		    const char *const *accounts, size_t n_accounts, int favourite, unsigned recent) SP_MUST_USE;
enum sp_err	 menu_rows_add_group(struct menu_rows *r, uint32_t id, uint32_t parent, const char *name) SP_MUST_USE;	/* id: 1, 2, ... */
enum sp_err	 menu_rows_add_place(struct menu_rows *r, const uint8_t id[16], const uint32_t *groups, size_t n) SP_MUST_USE;
void		 menu_rows_drop_groups(struct menu_rows *r);
enum sp_err	 menu_rows_groups_done(struct menu_rows *r) SP_MUST_USE;	/* counts */
/* Make view[]: every word of query is in name, address or remark (ASCII case ignored). group as last_group. With a group
 * and no query: the groups directly in it, and the rows directly in it; with a query: every row in it or below. */
enum sp_err	 menu_rows_filter(struct menu_rows *r, const char *query, int64_t group) SP_MUST_USE;
struct menu_row_text menu_rows_text(const struct menu_rows *r, size_t row);
const char	*menu_rows_account(const struct menu_row_text *t, size_t i);
int		 menu_rows_find(const struct menu_rows *r, const char *name);	/* the row of exactly that name; -1 */
/* Where needle (ASCII case ignored) is in text; NULL: nowhere. */
const char	*menu_rows_search(const char *text, const char *needle);

#endif
