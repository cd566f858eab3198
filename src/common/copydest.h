/* src/common/copydest.h - the collectors that the audit log is copied to, as the configuration names them. Courier and control read
 * the same configuration and so know the same names: a name is what a cursor is kept under. Pure. */
#ifndef SP_COMMON_COPYDEST_H
#define SP_COMMON_COPYDEST_H

#include "common/config.h"
#include "wire/syslog.h"

#define SP_COPY_DESTS	8	/* collectors */
#define SP_COPY_NAME	(SP_SYSLOG_HOST + 64)

struct sp_copy_dest {
	char			name[SP_COPY_NAME];	/* "tls://siem:6514", "jumpserver+udp://10.0.0.5:514" */
	struct sp_syslog_dest	at;
	int			jumpserver;		/* in JumpServer's form: only what has a category there */
	unsigned		facility;
};

/* All of them, in the order of the configuration, none twice. Returns how many. */
size_t		sp_copy_dests(const struct sp_config *c, struct sp_copy_dest ret[SP_COPY_DESTS]);
/* What the table of settings cannot say of these settings; why is "NAME:LINE: reason". SP_EFORMAT. */
enum sp_err	sp_copy_check(const char *name, const char *text, size_t len, const struct sp_config *c, char *why, size_t n) SP_MUST_USE;
/* The line of the nth (from 0) setting of this key in a configuration text; 1 if it is not there. */
size_t		sp_conf_line_of(const char *text, size_t len, const char *key, size_t nth);

#endif
