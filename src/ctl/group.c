/* src/ctl/group.c - sallyport group: groups of users, and groups in groups. */
#include "ctl/nouns.h"

static const struct ctl_col group_cols[] = {
	{ "name", "NAME" },
	{ "department", "DEPARTMENT", .flags = CTL_COL_EXTRA },
	{ "members|members_n", "MEMBERS" },
	{ "remark|description", "REMARK", .flags = CTL_COL_EXTRA },
	{ "id", "ID", .flags = CTL_COL_WHOLE | CTL_COL_CARD },
	{ NULL }
};
static const struct ctl_opt group_new_arg[] = {
	{ "NAME", CTL_STR, .help = "name of the new group" },
	CTL_END
};
static const struct ctl_opt group_arg[] = {
	{ "NAME", CTL_STR, .complete = "group", .help = "name of the group" },
	CTL_END
};
static const struct ctl_opt group_create_opts[] = {
	{ "department", CTL_STR, .value = "NAME", .complete = "department", .help = "department of the group" },
	{ "remark", CTL_STR, .value = "TEXT", .help = "what it is for" },
	CTL_END
};
static const struct ctl_opt group_member_opts[] = {
	{ "user", CTL_STR, .value = "LOGIN", .complete = "user", .help = "the member is this user" },
	{ "group", CTL_STR, .value = "NAME", .complete = "group", .help = "the member is this group" },
	CTL_END
};

static enum sp_err
group_fill_member(struct ctl *c)
{
	int user = json_object_get(c->params, "user") != NULL, group = json_object_get(c->params, "group") != NULL;

	return user + group == 1 ? SP_OK : ctl_fail(c, SP_EUSAGE, "name one member: --user LOGIN or --group NAME");
}

static const struct ctl_cmd group_cmds[] = {
	{ "create", "make a group of users", .args = group_new_arg, .opts = group_create_opts, .method = "group.create",
	  .done = "Group {name} created." },
	{ "list", "list groups", .method = "group.list", .show = CTL_ROWS, .cols = group_cols, .empty = "No groups." },
	{ "show", "show a group and its members", .args = group_arg, .method = "group.show", .show = CTL_OBJECT,
	  .cols = group_cols },
	{ "delete", "delete a group and its grants", .args = group_arg, .method = "group.delete", .done = "Group {name} deleted." },
	{ "member add", "add a user or a group to a group", .args = group_arg, .opts = group_member_opts,
	  .method = "group.member.add", .fill = group_fill_member, .done = "Member added to {name}." },
	{ "member remove", "take a user or a group out of a group", .args = group_arg, .opts = group_member_opts,
	  .method = "group.member.remove", .fill = group_fill_member, .done = "Member removed from {name}." },
	{ NULL }
};
const struct ctl_noun ctl_noun_group = { "group", "groups of users", group_cmds };
