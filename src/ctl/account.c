/* src/ctl/account.c - sallyport account: logins on assets and their secrets, sealed here before they leave. */
#include <string.h>

#include "base/str.h"
#include "common/sealkind.h"
#include "crypto/sign.h"
#include "ctl/call.h"
#include "ctl/nouns.h"
#include "ctl/secret.h"

static const struct ctl_col account_cols[] = {
	{ "name", "ACCOUNT" },
	{ "asset", "ASSET" },
	{ "login", "LOGIN" },
	{ "kind", "KIND" },
	{ "secret_kind|secret", "SECRET", .flags = CTL_COL_EXTRA },
	{ "ca", "CA", .flags = CTL_COL_EXTRA },
	{ "fingerprint", "FINGERPRINT", .flags = CTL_COL_EXTRA },
	{ "principals", "PRINCIPALS", .flags = CTL_COL_CARD },
	{ "id", "ID", .flags = CTL_COL_WHOLE | CTL_COL_CARD },
	{ "public_key", "PUBLIC KEY", .flags = CTL_COL_WHOLE | CTL_COL_CARD },
	{ NULL }
};
static const struct ctl_opt account_new_arg[] = {
	{ "ACCOUNT@ASSET", CTL_TARGET, "name", .complete = "asset", .help = "name of the new account and its asset: root@web1" },
	CTL_END
};
static const struct ctl_opt account_arg[] = {
	{ "ACCOUNT@ASSET", CTL_TARGET, "name", .complete = "account", .help = "account and asset: root@web1" },
	CTL_END
};
static const struct ctl_opt account_list_arg[] = {
	{ "ASSET", CTL_STR, .complete = "asset", .flags = CTL_OPTIONAL, .help = "accounts of this asset only" },
	CTL_END
};
static const struct ctl_opt account_reveal_arg[] = {
	{ "ACCOUNT@ASSET", CTL_TARGET, "account", .complete = "account", .help = "account and asset: root@web1" },
	CTL_END
};
#define ACCOUNT_SECRET_OPTS \
	{ "login", CTL_STR, .value = "NAME", .help = "login name at the asset (default: the account's name)" }, \
	{ "password", CTL_FLAG, .flags = CTL_LOCAL, .help = "secret: a password, asked for on the terminal" }, \
	{ "password-stdin", CTL_FLAG, .flags = CTL_LOCAL, .help = "secret: a password, from standard input" }, \
	{ "password-file", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "secret: a password, from a file" }, \
	{ "password-fd", CTL_INT, .value = "N", .flags = CTL_LOCAL, .help = "secret: a password, from an open descriptor" }, \
	{ "key-file", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "secret: a private key (asks for its passphrase if it has one)" }, \
	{ "passphrase-stdin", CTL_FLAG, .flags = CTL_LOCAL, .help = "of --key-file: its passphrase, from standard input" }, \
	{ "passphrase-file", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "of --key-file: its passphrase, from a file" }, \
	{ "passphrase-fd", CTL_INT, .value = "N", .flags = CTL_LOCAL, .help = "of --key-file: its passphrase, from an open descriptor" }, \
	{ "generate-key", CTL_FLAG, .flags = CTL_LOCAL, .help = "secret: a new key made in the vault; prints the public key" }, \
	{ "algorithm", CTL_STR, .value = "NAME", .choices = "ed25519|ecdsa|ecdsa-384|ecdsa-521|rsa", .flags = CTL_LOCAL, \
	  .help = "of --generate-key (default ed25519)" }, \
	{ "ca", CTL_STR, .value = "NAME", .complete = "ca", .flags = CTL_LOCAL, .help = "certificates of this authority (see 'sallyport ca')" }, \
	{ "principal", CTL_LIST, "principals", "NAME,...", \
	  .help = "names in its certificates instead of the login, for hosts with AuthorizedPrincipalsFile: root.web1" }
static const struct ctl_opt account_create_opts[] = {
	ACCOUNT_SECRET_OPTS,
	{ "typed", CTL_FLAG, .flags = CTL_LOCAL, .help = "no secret: the user types the password of the asset at each login" },
	{ "same", CTL_FLAG, .flags = CTL_LOCAL, .help = "login name of whoever connects" },
	CTL_END
};
static const struct ctl_opt account_update_opts[] = {
	ACCOUNT_SECRET_OPTS,
	CTL_END
};

/* Is a passphrase needed? Asked of the reader itself, with none. */
static int
key_is_encrypted(const struct sp_secret *text)
{
	sp_auto_secret key = { 0 };

	return sp_privkey_import(sp_secret_view(text), (struct sp_view){ 0 }, NULL, &key) == SP_EAUTH;
}

/* Takes the passphrase off here: it never leaves this program. *text becomes the key file without one. */
static enum sp_err
key_decrypt(struct ctl *c, const char *path, struct sp_secret *text)
{
	sp_auto(sp_buf_release) struct sp_buf plain = { .max = 2 * SP_PRIVKEY_TEXT_MAX };
	sp_auto_secret passphrase = { 0 }, key = { 0 };
	const char *why = NULL;
	enum sp_err r;

	CTL_TRY(ctl_secret_read(c, "passphrase", "Passphrase of the key file: ", 0, &passphrase));
	if ((r = sp_privkey_import(sp_secret_view(text), sp_secret_view(&passphrase), &why, &key)) != SP_OK)
		return ctl_fail(c, r, "%s: %s", path, why);
	sp_secret_release(text);
	if ((r = sp_buf_reserve(&plain, SP_PRIVKEY_TEXT_MAX)) != SP_OK || (r = sp_privkey_export(&key, "", &plain)) != SP_OK ||
	    (r = sp_secret_from(plain.p, plain.len, text)) != SP_OK)
		return ctl_fail(c, r, "%s: %s", path, sp_err_text(r));
	return SP_OK;
}

static enum sp_err
account_read_key(struct ctl *c, const char *path, struct sp_secret *ret)
{
	sp_auto_secret key = { 0 };

	CTL_TRY(ctl_secret_file(c, path, CTL_SECRET_MAX, &key));
	if (memmem(key.p, key.len, "PRIVATE KEY-----", 16) == NULL)
		return ctl_fail(c, SP_EFORMAT, "%s: is not a private key in OpenSSH or PEM form", path);
	if (key_is_encrypted(&key))
		CTL_TRY(key_decrypt(c, path, &key));
	*ret = sp_secret_steal(&key);
	return SP_OK;
}

static enum sp_err
account_seal(struct ctl *c, const char *kind, const struct sp_secret *plain, json_t **ret)
{
	char context[64];
	json_t *sealed = NULL;

	sp_snprintf(context, sizeof(context), "%s%s", SP_SEAL_ACCOUNT, kind);
	CTL_TRY(ctl_seal(c, context, plain, &sealed));
	*ret = json_pack("{s:s, s:o}", "kind", kind, "sealed", sealed);
	return *ret != NULL ? SP_OK : ctl_fail(c, SP_ENOMEM, "out of memory");
}

static enum sp_err
account_password(struct ctl *c, json_t **ret)
{
	sp_auto_secret password = { 0 };

	CTL_TRY(ctl_secret_read(c, "password", "Password at the asset: ", 1, &password));
	return account_seal(c, "password", &password, ret);
}

static enum sp_err
account_key(struct ctl *c, json_t **ret)
{
	sp_auto_secret key = { 0 };

	CTL_TRY(account_read_key(c, ctl_local_str(c, "key-file"), &key));
	return account_seal(c, "ssh-key", &key, ret);
}

static enum sp_err
account_generate(struct ctl *c, json_t **ret)
{
	const char *algorithm = ctl_local_str(c, "algorithm");

	*ret = json_pack("{s:s, s:b, s:s}", "kind", "ssh-key", "generate", 1, "algorithm",
	    algorithm != NULL ? algorithm : "ed25519");
	return *ret != NULL ? SP_OK : ctl_fail(c, SP_ENOMEM, "out of memory");
}

static enum sp_err
account_ca(struct ctl *c, json_t **ret)
{
	*ret = json_pack("{s:s, s:s}", "kind", "ssh-ca", "ca", ctl_local_str(c, "ca"));
	return *ret != NULL ? SP_OK : ctl_fail(c, SP_ENOMEM, "out of memory");
}

/* Where a secret can come from; exactly one for a stored account. */
static const struct {
	const char	*option;
	enum sp_err	(*make)(struct ctl *c, json_t **ret);
} account_sources[] = {
	{ "password", account_password },
	{ "password-stdin", account_password },
	{ "password-file", account_password },
	{ "password-fd", account_password },
	{ "key-file", account_key },
	{ "generate-key", account_generate },
	{ "ca", account_ca },
};

/* *ret_n: how many sources were given; the secret of the last one is set when there is one only. */
static enum sp_err
account_secret(struct ctl *c, unsigned *ret_n)
{
	enum sp_err (*make)(struct ctl *, json_t **) = NULL;
	json_t *secret = NULL;
	unsigned n = 0;

	for (size_t i = 0; i < SP_NELEMS(account_sources); i++)
		if (json_object_get(c->local, account_sources[i].option) != NULL) {
			make = account_sources[i].make;
			n++;
		}
	*ret_n = n;
	if (n > 1)
		return ctl_fail(c, SP_EUSAGE, "an account has one secret: give one of --password..., --key-file, --generate-key, --ca");
	if (n == 0)
		return SP_OK;
	CTL_TRY(make(c, &secret));
	return json_object_set_new(c->params, "secret", secret) == 0 ? SP_OK : ctl_fail(c, SP_ENOMEM, "out of memory");
}

static enum sp_err
account_fill_create(struct ctl *c)
{
	int same = ctl_local_flag(c, "same"), typed = ctl_local_flag(c, "typed");
	const char *kind = typed ? "typed" : same ? "same" : "stored";
	unsigned n = 0;

	if (same && typed)
		return ctl_fail(c, SP_EUSAGE, "--same and --typed exclude each other");
	if (typed)
		for (size_t i = 0; i < SP_NELEMS(account_sources); i++)
			if (json_object_get(c->local, account_sources[i].option) != NULL)
				return ctl_fail(c, SP_EUSAGE, "--typed: the user types the secret, so none is stored: leave out --%s",
				    account_sources[i].option);
	CTL_TRY(account_secret(c, &n));
	if (n == 0 && !typed && !same)
		return ctl_fail(c, SP_EUSAGE, "say where its secret comes from: --password, --password-stdin, --key-file FILE, "
		    "--generate-key, --ca NAME, --typed or --same");
	return json_object_set_new(c->params, "kind", json_string(kind)) == 0 ? SP_OK : ctl_fail(c, SP_ENOMEM, "out of memory");
}

static enum sp_err
account_fill_update(struct ctl *c)
{
	unsigned n = 0;

	return account_secret(c, &n);
}

/* The public half of a generated key is what the administrator needs next. */
static enum sp_err
account_run_set(struct ctl *c)
{
	ctl_auto_json *body = NULL;
	const char *key;

	CTL_TRY(c->cmd->fill(c));
	CTL_TRY(ctl_call(c, c->cmd->method, c->params, &body));
	CTL_TRY(ctl_show(c, body));
	key = json_string_value(json_object_get(body, "public_key"));
	if (!c->json && key != NULL && key[0] != 0 && sp_text_is_plain(key, strlen(key)))
		fprintf(c->out, "%s\n", key);
	return SP_OK;
}

/* Exact bytes for a file or pipe; on a terminal, one escaped line. */
static enum sp_err
account_show_secret(struct ctl *c, const struct sp_secret *s)
{
	sp_auto_secret safe = { 0 };
	ctl_auto_json *body = NULL;

	if (c->json) {
		body = json_pack("{s:s%}", "secret", (const char *)s->p, s->len);
		return body != NULL ? ctl_print_json(c, body) :
		    ctl_fail(c, SP_EFORMAT, "the secret is not UTF-8: leave out --json");
	}
	if (!c->is_tty || memchr(s->p, '\n', s->len) != NULL) {
		if (c->is_tty && memmem(s->p, s->len, "PRIVATE KEY-----", 16) == NULL)
			return ctl_fail(c, SP_EFORMAT, "the secret has several lines: send it to a file");
		fwrite(s->p, 1, s->len, c->out);
		if (s->len > 0 && s->p[s->len - 1] != '\n')
			fputc('\n', c->out);
		return SP_OK;
	}
	if (sp_secret_alloc(s->len * 4 + 8, &safe) != SP_OK)
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	fprintf(c->out, "%s\n", sp_escape((const char *)s->p, s->len, (char *)safe.p, safe.len));
	return SP_OK;
}

static enum sp_err
account_run_reveal(struct ctl *c)
{
	sp_auto(ctl_reply_key_release) struct ctl_reply_key key = { 0 };
	sp_auto_secret secret = { 0 };
	ctl_auto_json *body = NULL;

	CTL_TRY(ctl_reply_key_make(c, &key));
	CTL_TRY(ctl_call(c, "secret.reveal", c->params, &body));
	CTL_TRY(ctl_open(c, &key, SP_SEAL_REVEAL, json_object_get(body, "sealed"), &secret));
	return account_show_secret(c, &secret);
}

static const struct ctl_cmd account_cmds[] = {
	{ "create", "make an account on an asset", .args = account_new_arg, .opts = account_create_opts,
	  .method = "account.create", .fill = account_fill_create, .run = account_run_set, .done = "Account {name}@{asset} created.",
	  .more = "Secrets are sealed to the vault's public key before they leave this program; no other part of Sallyport can read them on the way." },
	{ "list", "list accounts", .args = account_list_arg, .method = "account.list", .show = CTL_ROWS, .cols = account_cols,
	  .empty = "No accounts." },
	{ "show", "show an account, without its secret", .args = account_arg, .method = "account.show", .show = CTL_OBJECT,
	  .cols = account_cols },
	{ "update", "change an account or replace its secret", .args = account_arg, .opts = account_update_opts,
	  .method = "account.update", .fill = account_fill_update, .run = account_run_set, .done = "Account {name}@{asset} changed." },
	{ "delete", "delete an account", .args = account_arg, .method = "account.delete", .done = "Account {name}@{asset} deleted." },
	{ "reveal", "show a stored secret; every use is written to the audit log", .args = account_reveal_arg,
	  .method = "secret.reveal", .run = account_run_reveal,
	  .more = "Needs a permission of its own beside the role: root gives it with 'sallyport settings set may_reveal.LOGIN yes'. The vault seals the secret to a key that this program makes for this one answer." },
	{ NULL }
};
const struct ctl_noun ctl_noun_account = { "account", "logins on assets and their secrets", account_cmds };
