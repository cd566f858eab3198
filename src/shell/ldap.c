/* src/shell/ldap.c - in the place of src/ctl/ldap.c: over SSH there is no way to a directory. */
#include "ctl/ldap.h"

enum sp_err
ctl_ldap_conf_read(struct ctl *c, const char *path, struct ctl_ldap_conf *ret)
{
	(void)path;
	(void)ret;
	return ctl_fail(c, SP_EUSAGE, "sweep ldap is for the command line on the bastion itself, not for SSH: 'sweep csv -' takes a list");
}

enum sp_err
ctl_ldap_people(struct ctl *c, const struct ctl_ldap_conf *conf, const struct sp_secret *password, struct ctl_bulk *b)
{
	(void)conf;
	(void)password;
	(void)b;
	return ctl_fail(c, SP_EINTERNAL, "there is no directory here");
}
