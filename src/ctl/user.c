/* src/ctl/user.c - sallyport user: people, their keys and passwords. */
#include "common/sealkind.h"
#include "ctl/call.h"
#include "ctl/nouns.h"
#include "ctl/own.h"
#include "ctl/secret.h"
#include "ctl/user_totp.h"

const struct ctl_col ctl_user_cols[] = {
	{ "login", "LOGIN" },
	{ "full_name", "NAME" },
	{ "role", "ROLE" },
	{ "state", "STATE" },
	{ "department", "DEPARTMENT", .flags = CTL_COL_EXTRA },
	{ "email", "E-MAIL", .flags = CTL_COL_EXTRA },
	{ "valid_until", "UNTIL", CTL_FMT_TIME, CTL_COL_EXTRA },
	{ "last_login", "LAST LOGIN", CTL_FMT_AGE, CTL_COL_EXTRA },
	{ "id", "ID", .flags = CTL_COL_WHOLE | CTL_COL_CARD },
	{ "created", "CREATED", CTL_FMT_TIME, CTL_COL_CARD },
	{ NULL }
};
const struct ctl_col ctl_key_cols[] = {
	{ "fingerprint", "FINGERPRINT", .flags = CTL_COL_WHOLE },
	{ "type", "TYPE" },
	{ "comment", "COMMENT" },
	{ "created", "ADDED", CTL_FMT_AGE, CTL_COL_EXTRA },
	{ NULL }
};
static const struct ctl_opt user_arg[] = {
	{ "LOGIN", CTL_STR, .complete = "user", .help = "login name of the user" },
	CTL_END
};
static const struct ctl_opt user_new_arg[] = {
	{ "LOGIN", CTL_STR, .help = "login name: letters, digits, '.', '_' and '-'" },
	CTL_END
};
#define USER_OPTS \
	{ "full-name", CTL_STR, .value = "NAME", .help = "full name" }, \
	{ "email", CTL_STR, .value = "ADDRESS", .help = "e-mail address" }, \
	{ "department", CTL_STR, .value = "NAME", .complete = "department", .help = "department of the user" }, \
	{ "role", CTL_STR, .value = "ROLE", .choices = "user|auditor|admin", .help = "user (default), auditor or admin" }, \
	{ "role-department", CTL_STR, .value = "NAME", .complete = "department", .help = "the role is valid there and below only" }, \
	{ "valid-until", CTL_TIME, .value = "TIME", .help = "no login after this time" }, \
	{ "os-uid", CTL_INT, .value = "UID", .help = "system account that may use this command line as this user" }
static const struct ctl_opt user_create_opts[] = {
	USER_OPTS,
	{ "key", CTL_LINES, "keys", "FILE", .complete = "file", .help = "public keys, as in authorized_keys; repeatable" },
	CTL_END
};
static const struct ctl_opt user_update_opts[] = {
	USER_OPTS,
	CTL_END
};
const struct ctl_opt ctl_password_opts[] = {
	{ "password-stdin", CTL_FLAG, .flags = CTL_LOCAL, .help = "read the new password from standard input" },
	{ "password-file", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "read it from a file" },
	{ "must-change", CTL_FLAG, .help = "it opens nothing before its user has changed it" },
	{ "password-fd", CTL_INT, .value = "N", .flags = CTL_LOCAL, .help = "read it from an open descriptor" },
	CTL_END
};
static const struct ctl_opt user_key_add_args[] = {
	{ "LOGIN", CTL_STR, .complete = "user", .help = "login name of the user" },
	{ "FILE", CTL_LINES, "keys", .complete = "file", .flags = CTL_LOCAL, .help = "public keys, as in authorized_keys" },
	CTL_END
};
static const struct ctl_opt user_key_remove_args[] = {
	{ "LOGIN", CTL_STR, .complete = "user", .help = "login name of the user" },
	{ "FINGERPRINT", CTL_STR, .help = "as 'user key list' shows it: SHA256:..." },
	CTL_END
};

enum sp_err
ctl_fill_password(struct ctl *c)
{
	sp_auto_secret password = { 0 };
	json_t *sealed = NULL;

	CTL_TRY(ctl_secret_read(c, "password", "New password: ", 1, &password));
	CTL_TRY(ctl_seal(c, SP_SEAL_USER_PASSWORD, &password, &sealed));
	return json_object_set_new(c->params, "password_sealed", sealed) == 0 ? SP_OK : ctl_fail(c, SP_ENOMEM, "out of memory");
}

/* control takes one key at a time; a file may hold several. */
enum sp_err
ctl_run_key_add(struct ctl *c)
{
	const json_t *lines = json_object_get(c->local, "FILE");
	ctl_auto_json *last = NULL;
	size_t i;
	json_t *line;

	json_array_foreach(lines, i, line) {
		ctl_json_unref(&last);
		if (json_object_set(c->params, "key", line) != 0)
			return ctl_fail(c, SP_ENOMEM, "out of memory");
		CTL_TRY(ctl_call(c, "user.key.add", c->params, &last));
	}
	return ctl_show(c, last);
}

#define CODE_OPTS \
	{ "code-stdin", CTL_FLAG, .flags = CTL_LOCAL, .help = "read the code from standard input" }, \
	{ "code-file", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "read it from a file" }, \
	{ "code-fd", CTL_INT, .value = "N", .flags = CTL_LOCAL, .help = "read it from an open descriptor" }
const struct ctl_opt ctl_totp_enrol_opts[] = {
	{ "text", CTL_FLAG, .flags = CTL_LOCAL, .help = "no QR code: the key and its address as text" },
	CTL_END
};
const struct ctl_opt ctl_totp_confirm_opts[] = {
	CODE_OPTS,
	CTL_END
};
const struct ctl_opt ctl_totp_remove_opts[] = {
	{ "code", CTL_FLAG, .flags = CTL_LOCAL, .help = "one's own: ask for a one-time code or a recovery code" },
	CODE_OPTS,
	CTL_END
};
const struct ctl_col ctl_totp_cols[] = {
	{ "login", "User" },
	{ "state", "State" },
	{ "since", "Since", CTL_FMT_TIME },
	{ "recovery_left", "Recovery codes left" },
	{ NULL }
};

static const struct ctl_cmd user_cmds[] = {
	{ "create", "make a user", .args = user_new_arg, .opts = user_create_opts, .method = "user.create",
	  .show = CTL_NONE, .done = "User {login} created.",
	  .more = "A user without keys gets in with a password; set it with 'sallyport user password'." },
	{ "list", "list users", .method = "user.list", .show = CTL_ROWS, .cols = ctl_user_cols, .empty = "No users." },
	{ "show", "show a user", .args = user_arg, .method = "user.show", .show = CTL_OBJECT, .cols = ctl_user_cols },
	{ "update", "change a user", .args = user_arg, .opts = user_update_opts, .method = "user.update",
	  .done = "User {login} changed.", .more = "An empty value (--email '') takes a property away." },
	{ "disable", "end a user's sessions and refuse new ones", .args = user_arg, .method = "user.disable",
	  .done = "User {login} disabled; open sessions are ended." },
	{ "enable", "let a disabled user in again", .args = user_arg, .method = "user.enable", .done = "User {login} enabled." },
	{ "delete", "delete a user with keys, grants and sessions", .args = user_arg, .method = "user.delete",
	  .done = "User {login} deleted; open sessions are ended." },
	{ "password", "set a user's password", .args = user_arg, .opts = ctl_password_opts, .method = "user.password",
	  .fill = ctl_fill_password, .done = "Password of {login} set.",
	  .more = "The password is asked for on the terminal and sealed to the vault's public key before it leaves this program." },
	{ "totp enrol", "set up one-time codes for a user: QR code, key and recovery codes, shown once", .args = user_arg,
	  .opts = ctl_totp_enrol_opts, .method = "user.totp.enrol", .run = user_run_totp_enrol,
	  .more = "It is in use once a code confirms it. Who has one-time codes already removes them first." },
	{ "totp confirm", "take one-time codes into use with the first code", .args = user_arg, .opts = ctl_totp_confirm_opts,
	  .method = "user.totp.confirm", .fill = user_fill_totp_confirm, .done = "Confirmed: the second factor of {login} is in use." },
	{ "totp remove", "take a user's one-time codes away", .args = user_arg, .opts = ctl_totp_remove_opts, .method = "user.totp.remove",
	  .run = user_run_totp_remove, .done = "Second factor of {login} removed.",
	  .more = "One's own goes with a code (--code); that of somebody else is reset by an administrator." },
	{ "totp show", "say whether a user has one-time codes, and how many recovery codes are left", .args = user_arg,
	  .method = "user.totp.show", .show = CTL_OBJECT, .cols = ctl_totp_cols },
	{ "key add", "add public keys to a user", .args = user_key_add_args, .method = "user.key.add", .run = ctl_run_key_add,
	  .done = "Key added for {login}." },
	{ "key list", "list a user's keys", .args = user_arg, .method = "user.key.list", .show = CTL_ROWS, .cols = ctl_key_cols,
	  .empty = "No keys." },
	{ "key remove", "remove a key of a user", .args = user_key_remove_args, .method = "user.key.remove",
	  .done = "Key removed from {login}." },
	{ NULL }
};
const struct ctl_noun ctl_noun_user = { "user", "people who log in, their keys and passwords", user_cmds };
