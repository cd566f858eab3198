/* src/ctl/asset_group.c - sallyport asset-group: the tree of asset groups. */
#include "ctl/nouns.h"

static const struct ctl_col asset_group_cols[] = {
	{ "name", "NAME" },
	{ "parent", "PARENT" },
	{ "department", "DEPARTMENT", .flags = CTL_COL_EXTRA },
	{ "assets|members|assets_n", "ASSETS", .flags = CTL_COL_EXTRA },
	{ "remark", "REMARK", .flags = CTL_COL_EXTRA },
	{ "id", "ID", .flags = CTL_COL_WHOLE | CTL_COL_CARD },
	{ NULL }
};
static const struct ctl_opt asset_group_new_arg[] = {
	{ "NAME", CTL_STR, .help = "name of the new asset group" },
	CTL_END
};
static const struct ctl_opt asset_group_arg[] = {
	{ "NAME", CTL_STR, .complete = "asset-group", .help = "name of the asset group" },
	CTL_END
};
static const struct ctl_opt asset_group_create_opts[] = {
	{ "parent", CTL_STR, .value = "NAME", .complete = "asset-group", .help = "group that it is part of" },
	{ "department", CTL_STR, .value = "NAME", .complete = "department", .help = "department of the group" },
	{ "remark", CTL_STR, .value = "TEXT", .help = "what it is for" },
	CTL_END
};
static const struct ctl_opt asset_group_member_args[] = {
	{ "NAME", CTL_STR, .complete = "asset-group", .help = "name of the asset group" },
	{ "ASSET", CTL_STR, .complete = "asset", .flags = CTL_OPTIONAL, .help = "name of the asset" },
	CTL_END
};
static const struct ctl_opt asset_group_member_opts[] = {
	{ "asset", CTL_STR, .value = "NAME", .complete = "asset", .help = "the same as an option" },
	CTL_END
};

static enum sp_err
asset_group_fill_member(struct ctl *c)
{
	return json_object_get(c->params, "asset") != NULL ? SP_OK : ctl_fail(c, SP_EUSAGE, "name the asset: --asset NAME");
}

static const struct ctl_cmd asset_group_cmds[] = {
	{ "create", "make an asset group", .args = asset_group_new_arg, .opts = asset_group_create_opts,
	  .method = "asset_group.create", .done = "Asset group {name} created." },
	{ "list", "list asset groups", .method = "asset_group.list", .show = CTL_ROWS, .cols = asset_group_cols,
	  .empty = "No asset groups." },
	{ "delete", "delete an asset group and its grants", .args = asset_group_arg, .method = "asset_group.delete",
	  .done = "Asset group {name} deleted." },
	{ "member add", "put an asset into a group", .args = asset_group_member_args, .opts = asset_group_member_opts,
	  .method = "asset_group.member.add", .fill = asset_group_fill_member,
	  .done = "{asset} added to {name}." },
	{ "member remove", "take an asset out of a group", .args = asset_group_member_args,
	  .opts = asset_group_member_opts, .method = "asset_group.member.remove", .fill = asset_group_fill_member,
	  .done = "{asset} removed from {name}." },
	{ NULL }
};
const struct ctl_noun ctl_noun_asset_group = { "asset-group", "groups of assets, and groups in groups", asset_group_cmds };
