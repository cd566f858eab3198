/* src/common/category.h - what alerts and offenses are about: two levels, in English and Chinese. See category.c. */
#ifndef SP_COMMON_CATEGORY_H
#define SP_COMMON_CATEGORY_H

struct sp_category {
	const char	*key;			/* "suspicious.user-behaviour": what rules say */
	const char	*high, *low;		/* English */
	const char	*high_zh, *low_zh;
};
/* NULL: there is none of this key. */
const struct sp_category	*sp_category_find(const char *key);
const struct sp_category	*sp_category_at(unsigned i);	/* NULL: there are no more */
#define SP_CATEGORY_OTHER	"suspicious.other"	/* of a rule that names none */

#endif
