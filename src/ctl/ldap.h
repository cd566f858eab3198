/* src/ctl/ldap.h - people from a directory as rows of a sweep. */
#ifndef SP_CTL_LDAP_H
#define SP_CTL_LDAP_H

#include "base/conf.h"
#include "ctl/bulk.h"
#include "crypto/secret.h"

#define CTL_LDAP_PEOPLE_MAX	200000

struct ctl_ldap_conf {
	char		uri[SP_CONF_TEXT], ca_file[SP_CONF_TEXT], bind_dn[SP_CONF_TEXT], base[SP_CONF_TEXT], filter[SP_CONF_TEXT],
			login[SP_CONF_TEXT], id[SP_CONF_TEXT], department[SP_CONF_TEXT], heir[SP_CONF_TEXT], left_filter[SP_CONF_TEXT];
	int64_t		starttls, page;
	uint64_t	timeout;	/* microseconds */
};
enum sp_err	ctl_ldap_conf_read(struct ctl *c, const char *path, struct ctl_ldap_conf *ret) SP_MUST_USE;
/* Everybody, or an error: an answer that is cut off is never taken for the whole. Adds the rows to b. Shows its errors. */
enum sp_err	ctl_ldap_people(struct ctl *c, const struct ctl_ldap_conf *conf, const struct sp_secret *password, struct ctl_bulk *b) SP_MUST_USE;

#endif
