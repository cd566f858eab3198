/* src/ctl/ca.c - sallyport ca: SSH certificate authorities kept in the vault. */
#include "ctl/nouns.h"

static const struct ctl_col ca_cols[] = {
	{ "name", "NAME" },
	{ "algorithm|type", "ALGORITHM" },
	{ "fingerprint", "FINGERPRINT" },
	{ "created", "AGE", CTL_FMT_AGE, CTL_COL_EXTRA },
	{ "id", "ID", .flags = CTL_COL_WHOLE | CTL_COL_CARD },
	{ "public_key", "PUBLIC KEY", .flags = CTL_COL_WHOLE | CTL_COL_CARD },
	{ NULL }
};
static const struct ctl_opt ca_new_arg[] = {
	{ "NAME", CTL_STR, .help = "name of the new authority" },
	CTL_END
};
static const struct ctl_opt ca_arg[] = {
	{ "NAME", CTL_STR, .complete = "ca", .help = "name of the authority" },
	CTL_END
};
static const struct ctl_opt ca_opts[] = {
	{ "algorithm", CTL_STR, .value = "NAME", .choices = "ed25519|ecdsa|ecdsa-384|ecdsa-521|rsa", .help = "kind of key (default ed25519)" },
	CTL_END
};

static const struct ctl_cmd ca_cmds[] = {
	{ "create", "make an authority; its private key never leaves the vault", .args = ca_new_arg, .opts = ca_opts,
	  .method = "ca.create", .show = CTL_OBJECT, .cols = ca_cols, .done = "Authority {name} created.",
	  .more = "Put the public key into a file on each target and name that file in TrustedUserCAKeys of its sshd_config." },
	{ "list", "list authorities", .method = "ca.list", .show = CTL_ROWS, .cols = ca_cols, .empty = "No authorities." },
	{ "show", "show an authority and its public key", .args = ca_arg, .method = "ca.show", .show = CTL_OBJECT, .cols = ca_cols },
	{ NULL }
};
const struct ctl_noun ctl_noun_ca = { "ca", "SSH certificate authorities in the vault", ca_cmds };
