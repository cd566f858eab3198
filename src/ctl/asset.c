/* src/ctl/asset.c - sallyport asset: hosts that people reach, and their pinned host keys. */
#include "ctl/nouns.h"

static const struct ctl_col asset_cols[] = {
	{ "name", "NAME" },
	{ "address", "ADDRESS" },
	{ "port", "PORT", .flags = CTL_COL_RIGHT },
	{ "state", "STATE", .flags = CTL_COL_EXTRA },
	{ "platform", "PLATFORM", .flags = CTL_COL_EXTRA },
	{ "department", "DEPARTMENT", .flags = CTL_COL_EXTRA },
	{ "owner", "OWNER", .flags = CTL_COL_EXTRA },
	{ "zone", "ZONE", .flags = CTL_COL_EXTRA },
	{ "groups", "GROUPS", .flags = CTL_COL_EXTRA },
	{ "tags", "TAGS", .flags = CTL_COL_EXTRA },
	{ "remark", "REMARK", .flags = CTL_COL_EXTRA },
	{ "id", "ID", .flags = CTL_COL_WHOLE | CTL_COL_CARD },
	{ NULL }
};
static const struct ctl_col hostkey_cols[] = {
	{ "fingerprint", "FINGERPRINT", .flags = CTL_COL_WHOLE },
	{ "type|alg", "TYPE" },
	{ "state", "STATE", .flags = CTL_COL_EXTRA },
	{ "pinned_by", "PINNED BY", .flags = CTL_COL_EXTRA },
	{ "created", "PINNED", CTL_FMT_AGE, CTL_COL_EXTRA },
	{ "line", "LINE", .flags = CTL_COL_WHOLE | CTL_COL_CARD },
	{ NULL }
};
static const struct ctl_opt asset_create_args[] = {
	{ "NAME", CTL_STR, .help = "name of the new asset, as people will type it" },
	{ "ADDRESS", CTL_STR, .flags = CTL_OPTIONAL, .help = "host name or IP address" },
	CTL_END
};
static const struct ctl_opt asset_arg[] = {
	{ "NAME", CTL_STR, .complete = "asset", .help = "name of the asset" },
	CTL_END
};
#define ASSET_OPTS \
	{ "port", CTL_INT, .value = "N", .help = "SSH port (default 22)" }, \
	{ "department", CTL_STR, .value = "NAME", .complete = "department", .help = "department of the asset" }, \
	{ "platform", CTL_STR, .value = "NAME", .help = "such as linux" }, \
	{ "remark", CTL_STR, .value = "TEXT", .help = "shown in the menu" }, \
	{ "group", CTL_LIST, "groups", "NAME,...", .complete = "asset-group", .help = "asset groups that it belongs to" }, \
	{ "owner", CTL_STR, .value = "LOGIN", .complete = "user", .help = "whose it is" }, \
	{ "zone", CTL_STR, .value = "NAME", .complete = "zone", .help = "network zone; \"\": none" }, \
	{ "tag", CTL_LIST, "tags", "TAG,...", .help = "tags, for people and searches" }
static const struct ctl_opt asset_create_opts[] = {
	{ "address", CTL_STR, .value = "HOST", .help = "the same as an option" },
	ASSET_OPTS,
	CTL_END
};
static const struct ctl_opt asset_update_opts[] = {
	{ "address", CTL_STR, .value = "HOST", .help = "host name or IP address" },
	ASSET_OPTS,
	CTL_END
};
static const struct ctl_opt hostkey_set_args[] = {
	{ "NAME", CTL_STR, .complete = "asset", .help = "name of the asset" },
	{ "LINE", CTL_WORDS, .help = "key type and base64, as ssh-keyscan prints it without the host" },
	CTL_END
};
static const struct ctl_opt hostkey_remove_args[] = {
	{ "NAME", CTL_STR, .complete = "asset", .help = "name of the asset" },
	{ "LINE", CTL_WORDS, .flags = CTL_OPTIONAL, .help = "which key: its line or fingerprint (default: all)" },
	CTL_END
};

static const struct ctl_col claim_cols[] = {
	{ "name", "NAME" },
	{ "address", "ADDRESS" },
	{ "port", "PORT", .flags = CTL_COL_RIGHT },
	{ "user", "CLAIMED BY" },
	{ "state", "STATE" },
	{ "expires", "UNTIL" },
	{ "account", "ACCOUNT", .flags = CTL_COL_EXTRA },
	{ "department", "DEPARTMENT", .flags = CTL_COL_EXTRA },
	{ "group", "GROUP", .flags = CTL_COL_EXTRA },
	{ "created", "SINCE", CTL_FMT_AGE, CTL_COL_EXTRA },
	{ NULL }
};
static const struct ctl_opt claim_args[] = {
	{ "NAME", CTL_STR, .help = "name of the new asset, as people will type it" },
	{ "ADDRESS", CTL_STR, .help = "host name or IP address" },
	CTL_END
};
static const struct ctl_opt claim_opts[] = {
	{ "port", CTL_INT, .value = "N", .help = "SSH port (default 22)" },
	{ "login", CTL_STR, .value = "LOGIN", .help = "your account on it (default: your login here)" },
	{ "group", CTL_STR, .value = "NAME", .complete = "asset-group", .help = "asset group that an administrator may put it into" },
	{ "remark", CTL_STR, .value = "TEXT", .help = "shown in the menu" },
	CTL_END
};
static const struct ctl_opt confirm_opts[] = {
	{ "group", CTL_STR, .value = "NAME", .complete = "asset-group", .help = "asset group for it (default: the one of the claim)" },
	CTL_END
};
static const struct ctl_opt reject_opts[] = {
	{ "reason", CTL_STR, .value = "TEXT", .help = "for the audit log" },
	CTL_END
};

static enum sp_err
asset_fill_create(struct ctl *c)
{
	return json_object_get(c->params, "address") != NULL ? SP_OK :
	    ctl_fail(c, SP_EUSAGE, "say where it is: sallyport asset create NAME ADDRESS");
}

static const struct ctl_cmd asset_cmds[] = {
	{ "create", "make an asset", .args = asset_create_args, .opts = asset_create_opts, .method = "asset.create",
	  .fill = asset_fill_create,
	  .done = "Asset {name} created." },
	{ "list", "list assets", .method = "asset.list", .show = CTL_ROWS, .cols = asset_cols, .empty = "No assets." },
	{ "show", "show an asset", .args = asset_arg, .method = "asset.show", .show = CTL_OBJECT, .cols = asset_cols },
	{ "update", "change an asset", .args = asset_arg, .opts = asset_update_opts, .method = "asset.update",
	  .done = "Asset {name} changed." },
	{ "delete", "delete an asset with its accounts and grants", .args = asset_arg, .method = "asset.delete",
	  .done = "Asset {name} deleted." },
	{ "claim", "add a server of your own", .args = claim_args, .opts = claim_opts, .method = "asset.claim",
	  .done = "{name} is claimed, disabled for now. To prove that it is yours, put this line into {path} on it, readable for {account}:\n"
	  "{token}\nThen run: {command}\nOr an administrator confirms it. The claim ends at {expires}.",
	  .more = "Any user may claim a server, five at a time. The asset belongs to the user's department and is disabled until the claim is "
	  "proven or confirmed: no grant works on it. A name, or an address, that another asset has cannot be claimed, nor can addresses of "
	  "the bastion's machine, loopback and link-local ones (claim_local in sallyport.conf(5)). What is not decided in time (claim_life) "
	  "is removed. The owner of an asset sees it, who may reach it (access who) and its sessions, and changes its remark and tags; "
	  "accounts and grants stay with administrators." },
	{ "claims", "list claims that are not decided", .method = "asset.claims", .show = CTL_ROWS, .cols = claim_cols,
	  .empty = "No claims.", .more = "Users see their own, administrators and auditors those of their department." },
	{ "prove", "say how to prove a claim", .args = asset_arg, .method = "asset.prove",
	  .done = "With the token in {path} on {name}, run: {command}\nType the password of {account} there; nothing but 'cat {path}' is run.",
	  .more = "Sallyport connects to the claimed address, with the password that is typed, runs 'cat /etc/sallyport-owner', and looks for the "
	  "token in it. Writing that file takes root on an ordinary host. The host key that was shown is pinned in the same moment (with "
	  "trust_first_use off it has to be pinned before). That proves who holds the host that answers at this address and port, no more." },
	{ "confirm", "enable a claimed server", .args = asset_arg, .opts = confirm_opts, .method = "asset.confirm",
	  .done = "{name} is confirmed and enabled." },
	{ "reject", "refuse a claim, or withdraw one's own", .args = asset_arg, .opts = reject_opts, .method = "asset.reject",
	  .done = "The claim on {name} is gone, and the asset with it." },
	{ "hostkey list", "list the pinned host keys of an asset", .args = asset_arg, .method = "asset.hostkey.list",
	  .show = CTL_ROWS, .cols = hostkey_cols, .empty = "No host keys pinned." },
	{ "hostkey set", "pin a host key", .args = hostkey_set_args, .method = "asset.hostkey.set",
	  .done = "Host key of {name} pinned." },
	{ "hostkey remove", "forget pinned host keys", .args = hostkey_remove_args, .method = "asset.hostkey.remove",
	  .done = "Host key of {name} removed.",
	  .more = "After a reinstallation of a host, remove its old key: the next connection pins the new one if trust_first_use is on." },
	{ NULL }
};
const struct ctl_noun ctl_noun_asset = { "asset", "hosts that people reach through Sallyport", asset_cmds };
