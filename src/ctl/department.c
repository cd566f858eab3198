/* src/ctl/department.c - sallyport department: spaces of a department or project. */
#include "ctl/nouns.h"

static const struct ctl_col department_cols[] = {
	{ "name", "NAME" },
	{ "description", "DESCRIPTION" },
	{ "parent", "PARENT", .flags = CTL_COL_EXTRA },
	{ "id", "ID", .flags = CTL_COL_WHOLE | CTL_COL_CARD },
	{ NULL }
};
static const struct ctl_opt department_new_arg[] = {
	{ "NAME", CTL_STR, .help = "name of the new department" },
	CTL_END
};
static const struct ctl_opt department_arg[] = {
	{ "NAME", CTL_STR, .complete = "department", .help = "name of the department" },
	CTL_END
};
static const struct ctl_opt department_opts[] = {
	{ "description", CTL_STR, .value = "TEXT", .help = "what it is for" },
	{ "parent", CTL_STR, .value = "NAME", .complete = "department", .help = "the department that it belongs to; \"\": none" },
	CTL_END
};

static const struct ctl_cmd department_cmds[] = {
	{ "create", "make a department", .args = department_new_arg, .opts = department_opts, .method = "department.create",
	  .done = "Department {name} created." },
	{ "list", "list departments", .method = "department.list", .show = CTL_ROWS, .cols = department_cols,
	  .empty = "No departments." },
	{ "show", "show a department", .args = department_arg, .method = "department.show", .show = CTL_OBJECT,
	  .cols = department_cols },
	{ "update", "change a department", .args = department_arg, .opts = department_opts, .method = "department.update",
	  .done = "Department {name} changed." },
	{ "delete", "delete an empty department", .args = department_arg, .method = "department.delete",
	  .done = "Department {name} deleted." },
	{ NULL }
};
const struct ctl_noun ctl_noun_department = { "department", "spaces of a department or project", department_cmds };
