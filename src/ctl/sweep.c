/* src/ctl/sweep.c - sallyport sweep: who left, who moved. The list is read here, from a directory (ldap.c) or a file; control
 * decides and acts. */
#include <string.h>

#include "ctl/ldap.h"
#include "ctl/nouns.h"
#include "ctl/secret.h"

static const struct ctl_col sweep_cols[] = {
	{ "login", "LOGIN" },
	{ "what", "WHAT" },
	{ "from", "FROM", .flags = CTL_COL_EXTRA },
	{ "to", "TO", .flags = CTL_COL_EXTRA },
	{ "grants_removed", "GRANTS REMOVED", .flags = CTL_COL_RIGHT },
	{ "groups_left", "GROUPS LEFT", .flags = CTL_COL_RIGHT },
	{ "assets_passed_on", "ASSETS PASSED ON", .flags = CTL_COL_RIGHT },
	{ "heir", "HEIR" },
	{ NULL }
};
static const struct ctl_opt sweep_csv_args[] = {
	{ "FILE", CTL_STR, .complete = "file", .flags = CTL_LOCAL, .help = "CSV with a line of column names, or JSON lines; '-' is standard input" },
	CTL_END
};
#define SWEEP_OPTS \
	{ "heir", CTL_STR, .value = "LOGIN", .complete = "user", .help = "gets what leavers and movers own, where the list names nobody" }, \
	{ "adopt", CTL_FLAG, .help = "users of the list who come from nowhere belong to this source from now on" }, \
	{ "max-percent", CTL_INT, .value = "N", .help = "refuse to disable more than this part of the users (default 20)" }, \
	{ "force", CTL_FLAG, .help = "disable however many it are" }, \
	{ "dry-run", CTL_FLAG, .help = "say what would be done, and do nothing" }
static const struct ctl_opt sweep_csv_opts[] = {
	{ "source", CTL_STR, .value = "NAME", .flags = CTL_REQUIRED, .help = "name of the list" },
	SWEEP_OPTS,
	{ "format", CTL_STR, .value = "FORMAT", .choices = "csv|jsonl", .flags = CTL_LOCAL, .help = "of the file (default: by its name or content)" },
	CTL_END
};
static const struct ctl_opt sweep_ldap_args[] = {
	{ "CONFIG", CTL_STR, .complete = "file", .flags = CTL_LOCAL, .help = "file with the settings of the directory" },
	CTL_END
};
static const struct ctl_opt sweep_ldap_opts[] = {
	{ "source", CTL_STR, .value = "NAME", .help = "name of the list (default ldap)" },
	SWEEP_OPTS,
	{ "password-stdin", CTL_FLAG, .flags = CTL_LOCAL, .help = "read the password of bind_dn from standard input" },
	{ "password-file", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "read it from a file" },
	{ "password-fd", CTL_INT, .value = "N", .flags = CTL_LOCAL, .help = "read it from an open descriptor" },
	CTL_END
};

/* The whole list is read before control is asked to do anything. */
static enum sp_err
sweep_run_ldap(struct ctl *c)
{
	sp_auto(ctl_bulk_release) struct ctl_bulk b = { 0 };
	sp_auto_secret password = { 0 };
	struct ctl_ldap_conf conf;

	CTL_TRY(ctl_ldap_conf_read(c, ctl_local_str(c, "CONFIG"), &conf));
	if (*conf.bind_dn != '\0')
		CTL_TRY(ctl_secret_read(c, "password", "Password of the directory: ", 0, &password));
	if (json_object_get(c->params, "source") == NULL && json_object_set_new(c->params, "source", json_string("ldap")) != 0)
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	CTL_TRY(ctl_bulk_begin(&b, c, "people", c->params));
	CTL_TRY(ctl_ldap_people(c, &conf, &password, &b));
	return ctl_bulk_end(&b, "sweep.commit");
}

static enum sp_err
sweep_run_csv(struct ctl *c)
{
	return ctl_bulk_run(c, "people", "sweep.commit");
}

#define SWEEP_MORE "Users of the source who are missing from the list, or marked as left, are disabled: their sessions end. Who is in " \
	"another department than before loses the grants to him on things of the old one, membership of its groups and a role in it; " \
	"grants that deny stay. What they own goes to the heir that the list names (column heir), or to --heir. A sweep that would " \
	"disable too many is refused, as the list may be cut off. The report is in the audit log too. "
static const struct ctl_cmd sweep_cmds[] = {
	{ "ldap", "leavers and movers from a directory", .args = sweep_ldap_args, .opts = sweep_ldap_opts, .method = "sweep.commit",
	  .show = CTL_ROWS, .cols = sweep_cols, .run = sweep_run_ldap,
	  .more = SWEEP_MORE "The file has a line 'key value' for each of: uri, base, filter, bind_dn, starttls, ca_file, login, id, "
	  "department, heir, left_filter, page, timeout. Login, id, department and heir name attributes (uid, entryUUID, departmentNumber, manager). "
	  "Nothing is read without TLS, and a list that any limit cut off is an error." },
	{ "csv", "leavers and movers from a file", .args = sweep_csv_args, .opts = sweep_csv_opts, .method = "sweep.commit",
	  .show = CTL_ROWS, .cols = sweep_cols, .run = sweep_run_csv,
	  .more = SWEEP_MORE "Columns: login, external_id, state (active or left), department, heir." },
	{ NULL }
};
const struct ctl_noun ctl_noun_sweep = { "sweep", "leavers and movers: disable, take back, pass on", sweep_cmds };
