/* src/ctl/own.c - sallyport key, totp, passwd, whoami: one's own keys, one-time codes and password, in as few words as possible, because people
 * type them over SSH: `ssh bastion -- key add < id_ed25519.pub`. The login is left out: control takes the caller's. */
#include "ctl/call.h"
#include "ctl/nouns.h"
#include "ctl/own.h"
#include "ctl/user_totp.h"

static const struct ctl_opt key_add_args[] = {
	{ "FILE", CTL_LINES, "keys", .complete = "file", .flags = CTL_LOCAL | CTL_OPTIONAL,
	  .help = "public keys, as in authorized_keys (default -: standard input)" },
	CTL_END
};
static const struct ctl_opt key_remove_args[] = {
	{ "FINGERPRINT", CTL_STR, .help = "as 'key list' shows it: SHA256:..." },
	CTL_END
};

static enum sp_err
key_run_add(struct ctl *c)
{
	if (json_object_get(c->local, "FILE") == NULL)
		CTL_TRY(ctl_parse_arg(c, &key_add_args[0], "-"));
	return ctl_run_key_add(c);
}

static const struct ctl_cmd key_cmds[] = {
	{ "add", "add public keys of your own", .args = key_add_args, .method = "user.key.add", .run = key_run_add,
	  .done = "Key {fingerprint} added for {login}.", .more = "The first use of a new key can be at once: ssh -i id_new bastion." },
	{ "list", "list your keys", .method = "user.key.list", .show = CTL_ROWS, .cols = ctl_key_cols, .empty = "No keys." },
	{ "remove", "remove a key of yours", .args = key_remove_args, .method = "user.key.remove",
	  .done = "Key {fingerprint} removed from {login}.", .more = "The only key of somebody without a password stays." },
	{ NULL }
};
const struct ctl_noun ctl_noun_key = { "key", "your own SSH keys", key_cmds };

static const struct ctl_cmd totp_cmds[] = {
	{ "enrol", "set up one-time codes of your own: QR code, key and recovery codes, shown once", .opts = ctl_totp_enrol_opts,
	  .method = "user.totp.enrol", .run = user_run_totp_enrol,
	  .more = "They are in use once a code confirms them: on a terminal (ssh -t bastion totp enrol) that is asked for at once." },
	{ "confirm", "take your one-time codes into use with the first code", .opts = ctl_totp_confirm_opts,
	  .method = "user.totp.confirm", .fill = user_fill_totp_confirm, .done = "Confirmed: the second factor of {login} is in use." },
	{ "remove", "take your one-time codes away; needs a code", .opts = ctl_totp_remove_opts, .method = "user.totp.remove",
	  .run = user_run_totp_remove, .done = "Second factor of {login} removed." },
	{ "show", "say whether you have one-time codes, and how many recovery codes are left", .method = "user.totp.show",
	  .show = CTL_OBJECT, .cols = ctl_totp_cols },
	{ NULL }
};
const struct ctl_noun ctl_noun_totp = { "totp", "your own one-time codes", totp_cmds };

static const struct ctl_cmd passwd_cmds[] = {
	{ "", "set your password", .opts = ctl_password_opts, .method = "user.password", .fill = ctl_fill_password,
	  .done = "Password of {login} set.",
	  .more = "It is asked for on the terminal (over SSH: ssh -t bastion passwd) and sealed to the vault's public key." },
	{ NULL }
};
const struct ctl_noun ctl_noun_passwd = { "passwd", "set your own password", passwd_cmds };

static const struct ctl_cmd whoami_cmds[] = {
	{ "", "show who you are to Sallyport, and your role", .method = "user.show", .show = CTL_OBJECT, .cols = ctl_user_cols },
	{ NULL }
};
const struct ctl_noun ctl_noun_whoami = { "whoami", "who you are", whoami_cmds };
