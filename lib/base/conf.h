/* lib/base/conf.h - reads "key value" lines by a table that also carries defaults, limits and help.
 * Invariants: a text is taken whole or not at all; an error names file, line and what is allowed.
 * Syntax: one setting a line, key and value split by blanks, # starts a comment line, repeated keys only for lists. */
#ifndef SP_BASE_CONF_H
#define SP_BASE_CONF_H

#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "err.h"

#define SP_CONF_TEXT	512		/* bytes of one text value with NUL */
#define SP_CONF_LIST	16		/* entries of a list */
#define SP_CONF_FILE	65536		/* bytes of a configuration */

enum sp_conf_type {
	SP_CONF_STR,		/* char[SP_CONF_TEXT] */
	SP_CONF_STRLIST,	/* struct sp_conf_list */
	SP_CONF_INT,		/* int64_t, least..most */
	SP_CONF_BOOL,		/* bool as int64_t: yes, no */
	SP_CONF_DURATION,	/* uint64_t microseconds; least, most in microseconds */
	SP_CONF_PATH,		/* char[SP_CONF_TEXT], absolute, no ".." */
};
struct sp_conf_list {
	char	v[SP_CONF_LIST][SP_CONF_TEXT];
	size_t	n;
};
struct sp_conf_field {
	const char		*key;
	enum sp_conf_type	 type;
	size_t			 offset;	/* in the caller's structure */
	const char		*def;		/* default text; NULL: empty */
	int64_t			 least, most;
	const char		*help;
};

/* Fill *conf (its fields per table, ending with key NULL) with the defaults. Aborts on a default that does not parse. */
void		 sp_conf_defaults(const struct sp_conf_field *table, void *conf);
/* Parse text (borrowed, `name` is for messages) over what *conf holds. On failure *conf is untouched and why (>= 256
 * bytes) says "file:line: reason". SP_EFORMAT, SP_ESIZE, SP_ENOMEM; conf_size is sizeof *conf. */
enum sp_err	 sp_conf_parse(const struct sp_conf_field *table, const char *name, const char *text, size_t len,
		    void *conf, size_t conf_size, char *why, size_t why_size) SP_MUST_USE;

#endif
