/* src/ctl/vault.c - sallyport vault: the ceremonies of the vault. Passphrases come from the terminal, a file or a
 * descriptor, never from the command line; everything secret is sealed to the vault before it leaves. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "common/sealkind.h"
#include "ctl/call.h"
#include "ctl/nouns.h"
#include "ctl/secret.h"

#define VAULT_KEYFILE_BYTES	32
#define VAULT_KEYFILE_MAX	4096
#define VAULT_SHARES_MAX	255

static const struct ctl_col vault_cols[] = {
	{ "initialised", "Initialised" },
	{ "sealed", "Sealed" },
	{ "text", "Note" },
	{ "term", "Data key" },
	{ "slots", "Slots" },
	{ "rewrap", "Rotation" },
	{ "public_key", "Public key", .flags = CTL_COL_WHOLE },
	{ NULL }
};
#define SLOT_KINDS "passphrase|keyfile|shamir"
#define SLOT_OPTS \
	{ "slot", CTL_STR, .value = "KIND", .choices = SLOT_KINDS, \
	  .help = "passphrase, keyfile (unseals at start) or shamir (N shares, M needed); default by the other options" }, \
	{ "keyfile", CTL_STR, .value = "PATH", .complete = "file", .help = "key file: made with 32 random bytes, mode 0600, if it is not there" }, \
	{ "shares", CTL_INT, .value = "N", .help = "shamir: how many shares" }, \
	{ "threshold", CTL_INT, .value = "M", .help = "shamir: how many of them open the vault" }, \
	{ "passphrase-file", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "passphrase from a file" }, \
	{ "passphrase-fd", CTL_INT, .value = "N", .flags = CTL_LOCAL, .help = "passphrase from an open descriptor" }
static const struct ctl_opt vault_init_opts[] = {
	SLOT_OPTS,
	{ "admin", CTL_STR, .value = "LOGIN", .flags = CTL_LOCAL | CTL_REQUIRED, .help = "login of the first administrator" },
	{ "admin-key", CTL_LINES, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "public keys of the administrator; repeatable" },
	{ "admin-password-fd", CTL_INT, .value = "N", .flags = CTL_LOCAL, .help = "password of the administrator, from an open descriptor" },
	{ "admin-password-file", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "the same from a file" },
	{ "auditor", CTL_LIST, .value = "NAME=RECIPIENT", .flags = CTL_LOCAL, .help = "an auditor and his age public key, as for 'auditor key add'; repeatable" },
	CTL_END
};
static const struct ctl_opt vault_slot_opts[] = {
	SLOT_OPTS,
	CTL_END
};
static const struct ctl_opt vault_unseal_opts[] = {
	{ "slot", CTL_STR, .value = "KIND", .choices = SLOT_KINDS, .help = "what to open it with (default passphrase)" },
	{ "keyfile", CTL_STR, .value = "PATH", .complete = "file", .flags = CTL_LOCAL, .help = "key file of slot keyfile" },
	{ "passphrase-file", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "passphrase from a file" },
	{ "passphrase-fd", CTL_INT, .value = "N", .flags = CTL_LOCAL, .help = "passphrase from an open descriptor" },
	{ "share-file", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "shares from a file, one per line" },
	CTL_END
};
static const struct ctl_opt vault_slot_remove_args[] = {
	{ "SLOT", CTL_STR, .help = "its number as 'vault status' shows it, or its kind if there is one only" },
	CTL_END
};

/* 32 random bytes that nobody else may read, on disk before anything depends on them; an existing file is left alone. */
static enum sp_err
keyfile_make(struct ctl *c, const char *path, const struct sp_secret *key)
{
	sp_auto(sp_closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd == -1)
		return ctl_fail(c, sp_err_errno(errno), "%s: %s: name a new file in a directory that you may write", path, strerror(errno));
	if (write(fd, key->p, key->len) != (ssize_t)key->len || fsync(fd) == -1) {
		int e = errno;

		unlink(path);
		return ctl_fail(c, SP_EIO, "%s: %s", path, strerror(e));
	}
	return SP_OK;
}

static enum sp_err
keyfile_read_or_make(struct ctl *c, const char *path, struct sp_secret *ret)
{
	sp_auto_secret key = { 0 };

	if (access(path, F_OK) == 0)
		return ctl_secret_file(c, path, VAULT_KEYFILE_MAX, ret);
	if (sp_secret_random(VAULT_KEYFILE_BYTES, &key) != SP_OK)
		return ctl_fail(c, SP_ENOMEM, "cannot lock memory for a key: raise the limit of locked memory (ulimit -l)");
	CTL_TRY(keyfile_make(c, path, &key));
	ctl_note(c, "Made key file %s: whoever reads it can open the vault. Keep a copy in a safe place.", path);
	*ret = sp_secret_steal(&key);
	return SP_OK;
}

static enum sp_err
slot_passphrase(struct ctl *c, struct sp_secret *ret)
{
	return ctl_secret_read(c, "passphrase", "New passphrase of the vault: ", 1, ret);
}

static enum sp_err
slot_keyfile(struct ctl *c, struct sp_secret *ret)
{
	const char *path = json_string_value(json_object_get(c->params, "keyfile"));
	char full[4096];

	if (path == NULL)
		return ctl_fail(c, SP_EUSAGE, "--slot keyfile wants --keyfile PATH");
	if (path[0] != '/') {
		sp_auto(sp_freep) char *dir = getcwd(NULL, 0);

		if (dir == NULL || sp_snprintf(full, sizeof(full), "%s/%s", dir, path) != 0)
			return ctl_fail(c, SP_ESIZE, "--keyfile: give an absolute path");
		CTL_TRY(keyfile_read_or_make(c, full, ret));
		return json_object_set_new(c->params, "keyfile", json_string(full)) == 0 ? SP_OK :
		    ctl_fail(c, SP_EINVAL, "--keyfile: the path is not UTF-8");
	}
	return keyfile_read_or_make(c, path, ret);
}

static enum sp_err
slot_check_shares(struct ctl *c)
{
	json_int_t n = json_integer_value(json_object_get(c->params, "shares"));
	json_int_t m = json_integer_value(json_object_get(c->params, "threshold"));

	if (n < 2 || n > VAULT_SHARES_MAX || m < 2 || m > n)
		return ctl_fail(c, SP_EUSAGE, "--slot shamir wants --shares N and --threshold M, 2 <= M <= N <= %d", VAULT_SHARES_MAX);
	return SP_OK;
}

static const char *
slot_guess(const struct ctl *c)
{
	if (json_object_get(c->params, "keyfile") != NULL)
		return "keyfile";
	return json_object_get(c->params, "shares") != NULL ? "shamir" : "passphrase";
}

/* Put the credential of a new slot into params[key]; shamir has none, its shares come with the answer. */
static enum sp_err
slot_fill(struct ctl *c, const char *key)
{
	const json_t *given = json_object_get(c->params, "slot");
	const char *kind = given != NULL ? json_string_value(given) : slot_guess(c);
	sp_auto_secret credential = { 0 };
	json_t *sealed = NULL;

	if (given == NULL && json_object_set_new(c->params, "slot", json_string(kind)) != 0)
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	if (strcmp(kind, "shamir") == 0)
		return slot_check_shares(c);
	CTL_TRY(strcmp(kind, "keyfile") == 0 ? slot_keyfile(c, &credential) : slot_passphrase(c, &credential));
	CTL_TRY(ctl_seal(c, SP_SEAL_CREDENTIAL, &credential, &sealed));
	return json_object_set_new(c->params, key, sealed) == 0 ? SP_OK : ctl_fail(c, SP_ENOMEM, "out of memory");
}

/* Shares go to standard output alone, so that a script can catch them; advice goes beside them. */
static enum sp_err
slot_show_shares(struct ctl *c, const struct ctl_reply_key *key, const json_t *body)
{
	sp_auto_secret shares = { 0 };
	ctl_auto_json *list = NULL, *o = NULL;
	const json_t *sealed = json_object_get(body, "shares_sealed");

	if (sealed == NULL || json_is_null(sealed))
		return c->json ? ctl_show(c, body) : SP_OK;
	CTL_TRY(ctl_open(c, key, SP_SEAL_SHARES, sealed, &shares));
	if (c->json)
		list = json_array();
	else
		ctl_note(c, "These shares are shown once. Give each to another person, on paper or in a password store; %lld of %lld "
		    "open the vault with 'sallyport vault unseal --slot shamir'.",
		    (long long)json_integer_value(json_object_get(c->params, "threshold")),
		    (long long)json_integer_value(json_object_get(c->params, "shares")));
	for (size_t at = 0; at < shares.len; ) {
		const char *s = (const char *)shares.p + at;
		const char *nl = memchr(s, '\n', shares.len - at);
		size_t n = nl != NULL ? (size_t)(nl - s) : shares.len - at;

		if (n > 0 && c->json)
			json_array_append_new(list, json_stringn(s, n));
		else if (n > 0 && sp_text_is_plain(s, n))
			fprintf(c->out, "%.*s\n", (int)n, s);
		at += n + 1;
	}
	if (!c->json)
		return SP_OK;
	o = json_pack("{s:O}", "shares", list);
	return o != NULL ? ctl_print_json(c, o) : ctl_fail(c, SP_ENOMEM, "out of memory");
}

static enum sp_err
slot_call(struct ctl *c, const char *key_name)
{
	sp_auto(ctl_reply_key_release) struct ctl_reply_key key = { 0 };
	ctl_auto_json *body = NULL;

	CTL_TRY(slot_fill(c, key_name));
	CTL_TRY(ctl_reply_key_make(c, &key));
	CTL_TRY(ctl_call(c, c->cmd->method, c->params, &body));
	if (!c->json && c->cmd->done != NULL)
		fprintf(c->err, "%s\n", c->cmd->done);
	return slot_show_shares(c, &key, body);
}

static enum sp_err
init_admin(struct ctl *c)
{
	json_t *admin = json_pack("{s:s}", "login", ctl_local_str(c, "admin")), *keys = json_object_get(c->local, "admin-key");
	int password = ctl_local_str(c, "admin-password-file") != NULL || ctl_local_int(c, "admin-password-fd", -1) >= 0;
	sp_auto_secret secret = { 0 };
	json_t *sealed = NULL;

	if (admin == NULL || json_object_set_new(c->params, "admin", admin) != 0 ||
	    json_object_set_new(admin, "keys", keys != NULL ? json_incref(keys) : json_array()) != 0)
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	if (keys != NULL && !password)
		return SP_OK;
	CTL_TRY(ctl_secret_read(c, "admin-password", "Password of the first administrator: ", 1, &secret));
	CTL_TRY(ctl_seal(c, SP_SEAL_USER_PASSWORD, &secret, &sealed));
	return json_object_set_new(admin, "password_sealed", sealed) == 0 ? SP_OK : ctl_fail(c, SP_ENOMEM, "out of memory");
}

/* "anna=age1..." */
static enum sp_err
init_auditor_params(struct ctl *c, const char *text, json_t **ret)
{
	const char *eq = strchr(text, '=');

	*ret = eq != NULL && eq > text ? json_pack("{s:s%, s:s}", "name", text, (size_t)(eq - text), "recipient", eq + 1) : NULL;
	return *ret != NULL ? SP_OK : ctl_fail(c, SP_EUSAGE, "--auditor: give NAME=RECIPIENT, such as anna=age1...");
}

static enum sp_err
init_auditors(struct ctl *c, int dry)
{
	const json_t *list = json_object_get(c->local, "auditor"), *o;
	size_t i;

	json_array_foreach(list, i, o) {
		ctl_auto_json *params = NULL, *body = NULL;

		CTL_TRY(init_auditor_params(c, json_string_value(o), &params));
		if (!dry)
			CTL_TRY(ctl_call(c, "auditor.key.add", params, &body));
	}
	return SP_OK;
}

static enum sp_err
vault_run_init(struct ctl *c)
{
	CTL_TRY(init_auditors(c, 1));
	CTL_TRY(init_admin(c));
	CTL_TRY(slot_call(c, "sealed_passphrase"));
	CTL_TRY(init_auditors(c, 0));
	if (json_array_size(json_object_get(c->local, "auditor")) < 2)
		ctl_note(c, "Nobody gets a session before recordings have auditors to read them: 'sallyport auditor key add NAME age1...', "
		    "two of them.");
	return SP_OK;
}

static enum sp_err
vault_run_slot(struct ctl *c)
{
	return slot_call(c, "credential_sealed");
}

/* Returns what the vault says afterwards; *ret_body is given. */
static enum sp_err
unseal_with(struct ctl *c, const struct sp_secret *credential, json_t **ret_body)
{
	json_t *sealed = NULL;

	CTL_TRY(ctl_seal(c, SP_SEAL_CREDENTIAL, credential, &sealed));
	if (json_object_set_new(c->params, "credential_sealed", sealed) != 0)
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	ctl_json_unref(ret_body);
	return ctl_call(c, "vault.unseal", c->params, ret_body);
}

static int
unseal_done(const json_t *body)
{
	return !json_is_true(json_object_get(body, "sealed"));
}

/* The next line of a file of shares; *at moves behind it. SP_ESEALED when there is none left. */
static enum sp_err
unseal_next_line(struct ctl *c, const struct sp_secret *file, size_t *at, struct sp_secret *ret)
{
	while (*at < file->len) {
		const uint8_t *line = file->p + *at, *nl = memchr(line, '\n', file->len - *at);
		size_t n = nl != NULL ? (size_t)(nl - line) : file->len - *at;

		*at += n + 1;
		if (n > 0 && line[n - 1] == '\r')
			n--;
		if (n > 0)
			return sp_secret_from(line, n, ret) == SP_OK ? SP_OK : ctl_fail(c, SP_ENOMEM, "out of memory");
	}
	return ctl_fail(c, SP_ESEALED, "the vault is still sealed: more shares are needed");
}

/* Share after share, until the vault has enough. */
static enum sp_err
unseal_shares(struct ctl *c, json_t **ret_body)
{
	const char *path = ctl_local_str(c, "share-file"), *text;
	sp_auto_secret file = { 0 };
	size_t at = 0;

	if (path != NULL)
		CTL_TRY(ctl_secret_file(c, path, CTL_SECRET_MAX, &file));
	for (size_t i = 0; i < VAULT_SHARES_MAX; i++) {
		sp_auto_secret share = { 0 };

		CTL_TRY(path != NULL ? unseal_next_line(c, &file, &at, &share) : ctl_prompt(c, "Share: ", &share));
		CTL_TRY(unseal_with(c, &share, ret_body));
		if (unseal_done(*ret_body))
			return SP_OK;
		if ((text = json_string_value(json_object_get(*ret_body, "text"))) != NULL && text[0] != 0)
			ctl_note(c, "%s", text);
	}
	return ctl_fail(c, SP_ESEALED, "the vault is still sealed");
}

static enum sp_err
vault_run_unseal(struct ctl *c)
{
	const char *kind = json_string_value(json_object_get(c->params, "slot")), *path = ctl_local_str(c, "keyfile");
	sp_auto_secret credential = { 0 };
	ctl_auto_json *body = NULL;

	if (kind == NULL)
		kind = path != NULL ? "keyfile" : json_object_get(c->local, "share-file") != NULL ? "shamir" : "passphrase";
	if (json_object_set_new(c->params, "slot", json_string(kind)) != 0)
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	kind = json_string_value(json_object_get(c->params, "slot"));
	if (strcmp(kind, "shamir") == 0) {
		CTL_TRY(unseal_shares(c, &body));
		return ctl_show(c, body);
	}
	if (strcmp(kind, "keyfile") == 0 && path == NULL)
		return ctl_fail(c, SP_EUSAGE, "--slot keyfile wants --keyfile PATH");
	CTL_TRY(path != NULL ? ctl_secret_file(c, path, VAULT_KEYFILE_MAX, &credential) :
	    ctl_secret_read(c, "passphrase", "Passphrase of the vault: ", 0, &credential));
	CTL_TRY(unseal_with(c, &credential, &body));
	if (!unseal_done(body))
		return ctl_fail(c, SP_ESEALED, "the vault is still sealed: see 'sallyport vault status'");
	return ctl_show(c, body);
}

/* For people the progress of a rotation is a sentence. */
static enum sp_err
vault_run_status(struct ctl *c)
{
	ctl_auto_json *body = NULL;
	const json_t *w;
	char text[160];

	CTL_TRY(ctl_call(c, c->cmd->method, c->params, &body));
	if (!c->json && (w = json_object_get(body, "rewrap")) != NULL) {
		long long done = json_integer_value(json_object_get(w, "done")), total = json_integer_value(json_object_get(w, "total"));
		long long failed = json_integer_value(json_object_get(w, "failed"));

		sp_snprintf(text, sizeof(text), "%s: %lld of %lld secrets wrapped anew", json_is_true(json_object_get(w, "running")) ?
		    "running" : "finished", done, total);
		if (failed > 0)
			sp_snprintf(text, sizeof(text), "%lld of %lld secrets wrapped anew, %lld failed: see the audit log and rotate again",
			    done, total, failed);
		json_object_set_new(body, "rewrap", json_string(text));
	}
	return ctl_show(c, body);
}

static const struct ctl_cmd vault_cmds[] = {
	{ "init", "make the vault's keys and the first administrator", .opts = vault_init_opts, .method = "vault.init",
	  .run = vault_run_init, .done = "The vault is initialised and open.",
	  .more = "Done once, as root or as the owner of the installation. Every slot truly wraps the root key: any one of them "
	    "opens the vault, and without any of them the secrets are lost. Without --admin-key or --admin-password-fd the "
	    "administrator's password is asked for." },
	{ "unseal", "open the vault after a start", .opts = vault_unseal_opts, .method = "vault.unseal", .run = vault_run_unseal,
	  .done = "The vault is open.",
	  .more = "With shares, each is asked for in turn; holders may also give theirs one by one, each with an invocation of their own." },
	{ "seal", "wipe the keys from memory; no new session until it is unsealed", .method = "vault.seal",
	  .done = "The vault is sealed." },
	{ "status", "show whether the vault is open, and its key slots", .method = "vault.status", .run = vault_run_status,
	  .show = CTL_OBJECT, .cols = vault_cols },
	{ "rotate", "use a new data key from now on, and wrap older secrets anew in the background", .method = "vault.rotate",
	  .done = "A new data key is in use; see 'sallyport vault status' for the progress of older secrets." },
	{ "rekey", "replace the root key; all other slots are dropped", .opts = vault_slot_opts, .method = "vault.rekey",
	  .run = vault_run_slot, .done = "The root key is replaced; the slot given here is the only one.",
	  .more = "Use it when somebody who knew a credential leaves, or when a key file was lost. Add further slots afterwards." },
	{ "slot add", "add a key slot", .opts = vault_slot_opts, .method = "vault.slot.add", .run = vault_run_slot,
	  .done = "Slot added." },
	{ "slot remove", "remove a key slot; the last one stays", .args = vault_slot_remove_args, .method = "vault.slot.remove",
	  .done = "Slot {slot} removed." },
	{ NULL }
};
const struct ctl_noun ctl_noun_vault = { "vault", "the keys: open, close, rotate, slots", vault_cmds };
