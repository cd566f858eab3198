/* src/ctl/zone.c - sallyport zone: networks whose assets are reached directly or through a jump SSH server. */
#include "ctl/nouns.h"

static const struct ctl_col zone_cols[] = {
	{ "name", "NAME" },
	{ "jump", "JUMP SERVER" },
	{ "account", "ACCOUNT" },
	{ "source_address", "SOURCE ADDRESS", .flags = CTL_COL_EXTRA },
	{ "remark", "REMARK", .flags = CTL_COL_EXTRA },
	{ "id", "ID", .flags = CTL_COL_WHOLE | CTL_COL_CARD },
	{ NULL }
};
static const struct ctl_opt zone_new_arg[] = {
	{ "NAME", CTL_STR, .help = "name of the new zone" },
	CTL_END
};
static const struct ctl_opt zone_arg[] = {
	{ "NAME", CTL_STR, .complete = "zone", .help = "name of the zone" },
	CTL_END
};
static const struct ctl_opt zone_opts[] = {
	{ "jump", CTL_STR, .value = "ASSET", .complete = "asset", .help = "jump server on the way there; \"\": none" },
	{ "account", CTL_STR, .value = "NAME", .help = "account of the jump server, with a stored credential" },
	{ "source-address", CTL_STR, .value = "LIST", .help = "addresses and networks from which assets there see Sallyport come" },
	{ "remark", CTL_STR, .value = "TEXT", .help = "what it is" },
	CTL_END
};
#define ZONE_MORE \
	"With --jump, Sallyport logs in to that asset as --account and opens the connection to the target from there; the " \
	"person gets no channel on it. A jump server may be in a zone itself, three deep at most. Names of targets are " \
	"resolved at the jump server. Certificates for assets of the zone are good from --source-address only; without it, " \
	"from the address of the jump server."

static const struct ctl_cmd zone_cmds[] = {
	{ "create", "make a zone", .args = zone_new_arg, .opts = zone_opts, .method = "zone.create", .done = "Zone {name} created.",
	  .more = ZONE_MORE },
	{ "list", "list zones", .method = "zone.list", .show = CTL_ROWS, .cols = zone_cols, .empty = "No zones." },
	{ "show", "show a zone", .args = zone_arg, .method = "zone.show", .show = CTL_OBJECT, .cols = zone_cols },
	{ "update", "change a zone; live sessions stay as they are", .args = zone_arg, .opts = zone_opts, .method = "zone.update",
	  .done = "Zone {name} changed." },
	{ "delete", "delete a zone that no asset is in", .args = zone_arg, .method = "zone.delete", .done = "Zone {name} deleted." },
	{ NULL }
};
const struct ctl_noun ctl_noun_zone = { "zone", "networks that are reached directly or through a jump server", zone_cmds };
