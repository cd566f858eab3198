/* src/ctl/import.c - sallyport import: many assets, users, groups, accounts or grants from a file, all or nothing. */
#include <string.h>

#include "ctl/bulk.h"
#include "ctl/nouns.h"

static const struct ctl_opt import_args[] = {
	{ "FILE", CTL_STR, .complete = "file", .flags = CTL_LOCAL, .help = "CSV with a line of column names, or JSON lines; '-' is standard input" },
	CTL_END
};
#define IMPORT_OPTS \
	{ "dry-run", CTL_FLAG, .help = "say what would be done, and do nothing" }, \
	{ "format", CTL_STR, .value = "FORMAT", .choices = "csv|jsonl", .flags = CTL_LOCAL, .help = "of the file (default: by its name or content)" }
#define IMPORT_SOURCE_OPTS \
	{ "source", CTL_STR, .value = "NAME", .help = "the list that these come from; the column external_id says what they are called there" }, \
	{ "prune", CTL_FLAG, .help = "disable what came from this source and is not in the file any more" }, \
	{ "delete", CTL_FLAG, .help = "with --prune: delete it" }, \
	{ "adopt", CTL_FLAG, .help = "take over what is there already under these names and comes from nowhere" }, \
	{ "max-percent", CTL_INT, .value = "N", .help = "refuse to prune more than this part of the source (default 20)" }, \
	{ "force", CTL_FLAG, .help = "prune however much it is" }
static const struct ctl_opt import_source_opts[] = { IMPORT_OPTS, IMPORT_SOURCE_OPTS, CTL_END };
static const struct ctl_opt import_plain_opts[] = { IMPORT_OPTS, CTL_END };
static const struct ctl_opt import_account_opts[] = {
	IMPORT_OPTS,
	{ "secrets", CTL_FLAG, .flags = CTL_LOCAL, .help = "seal the columns password and key to the vault; those of accounts that exist stay as they are" },
	CTL_END
};

static enum sp_err
import_run(struct ctl *c)
{
	if (json_object_get(c->params, "prune") != NULL && json_object_get(c->params, "source") == NULL)
		return ctl_fail(c, SP_EUSAGE, "--prune: say whose: --source NAME");
	if (json_object_get(c->params, "delete") != NULL && json_object_get(c->params, "prune") == NULL)
		return ctl_fail(c, SP_EUSAGE, "--delete goes with --prune");
	return ctl_bulk_run(c, c->cmd->verb, "import.commit");
}

#define IMPORT_MORE "All rows or none: every refused row is listed with its line and reason, and then nothing is done. " \
	"Logins go on meanwhile. A row changes the object of that name, or makes it; a column that is not there leaves things as they " \
	"are, an empty cell takes the value away; the same file twice changes nothing. Lists in a cell are separated by ';', or by line " \
	"breaks. "
static const struct ctl_cmd import_cmds[] = {
	{ "assets", "make and change assets", .args = import_args, .opts = import_source_opts, .method = "import.commit", .run = import_run,
	  .more = IMPORT_MORE "Columns: name, address, port, platform, department, owner, zone, remark, state, groups, tags, external_id. "
	  "With --source an asset is known by its external_id (default: its name), belongs to that source, and other sources leave it alone." },
	{ "users", "make and change users", .args = import_args, .opts = import_source_opts, .method = "import.commit", .run = import_run,
	  .more = IMPORT_MORE "Columns: login, full_name, email, department, role, role_department, state, valid_from, valid_until, os_uid, "
	  "keys (lines of authorized_keys), external_id." },
	{ "groups", "make and change groups of users and of assets", .args = import_args, .opts = import_plain_opts, .method = "import.commit",
	  .run = import_run, .more = IMPORT_MORE "Columns: name, kind (users or assets), department, remark, parent (of asset groups), members "
	  "(users), member_groups (groups of users). Groups of one file may name each other." },
	{ "accounts", "make and change accounts of assets", .args = import_args, .opts = import_account_opts, .method = "import.commit",
	  .run = import_run, .more = IMPORT_MORE "Columns: asset, name, login, kind (stored, same, typed), state, ca, principals; with --secrets "
	  "also password or key, sealed before they leave this program." },
	{ "grants", "make and change grants", .args = import_args, .opts = import_plain_opts, .method = "import.commit", .run = import_run,
	  .more = IMPORT_MORE "Columns: those that 'export grants' writes. A row is a whole grant: what it leaves out has its default. Without an "
	  "id, a row that says what an existing grant says is that grant." },
	{ NULL }
};
const struct ctl_noun ctl_noun_import = { "import", "many objects from a file, all or nothing", import_cmds };
