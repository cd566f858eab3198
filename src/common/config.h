/* src/common/config.h - the settings of an installation, expanded from config.def. Read by the monitor, handed to every
 * child as text, parsed there by the same table. */
#ifndef SP_COMMON_CONFIG_H
#define SP_COMMON_CONFIG_H

#include "base/conf.h"

#define SP_CONFIG_TYPE_STR	char
#define SP_CONFIG_PATH_DEFAULT	"/etc/sallyport/sallyport.conf"

struct sp_config {
#define CONF_STR(f)		char f[SP_CONF_TEXT];
#define CONF_PATH(f)		char f[SP_CONF_TEXT];
#define CONF_STRLIST(f)		struct sp_conf_list f;
#define CONF_INT(f)		int64_t f;
#define CONF_BOOL(f)		int64_t f;
#define CONF_DURATION(f)	uint64_t f;		/* microseconds */
#define CONF(field, type, def, least, most, help) CONF_##type(field)
#include "common/config.def"
#undef CONF
};

extern const struct sp_conf_field sp_config_table[];	/* ends with a NULL key */

/* Parse text over the defaults. Same contract as sp_conf_parse; checks across fields as well (listen addresses, store). */
enum sp_err	sp_config_parse(const char *name, const char *text, size_t len, struct sp_config *ret, char *why,
		    size_t why_size) SP_MUST_USE;
/* Whether the environment variable may reach a target: env_allow, and always LANG, LC_*, TERM, COLORTERM. */
int		sp_config_env_allowed(const struct sp_config *c, const char *name);

#endif
