/* src/session/leg_client.c - a leg to a target (or a jump server): its options, its host key, and our login there.
 * Process: session. Who is asked for credentials and whether the host key is right is the owner's business.
 * Invariants: (1) no private key of an account is here: the vault signs (ops->sign), or certifies a fresh key of this leg.
 * (2) A password is kept for one login only, and wiped. */
#include "session/leg_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "common/config.h"

static void
leg_client_packets(struct sp_leg *leg)
{
	static ssh_packet_callback table[MSG_CONNECTION_LAST - MSG_CONNECTION_FIRST + 1];

	for (size_t i = 0; i < SP_NELEMS(table); i++)
		table[i] = leg_packet_connection;
	leg->packets.start = MSG_CONNECTION_FIRST;
	leg->packets.n_callbacks = SP_NELEMS(table);
	leg->packets.callbacks = table;
}

static int
leg_client_options(struct sp_leg *leg, const struct sp_config *conf, int lib, const char *login, const char *host_algs)
{
	static const int no;
	/* Never opened: process_config is off and no function that reads these files is called. Set, because libssh would
	 * otherwise look the user up to find them. */
	static const char none[] = "/nonexistent";
	uint64_t rekey = (uint64_t)conf->rekey_bytes;
	int bad = 0;

	bad |= ssh_options_set(leg->ssh, SSH_OPTIONS_PROCESS_CONFIG, &no);
	bad |= ssh_options_set(leg->ssh, SSH_OPTIONS_SSH_DIR, none);
	bad |= ssh_options_set(leg->ssh, SSH_OPTIONS_KNOWNHOSTS, none);
	bad |= ssh_options_set(leg->ssh, SSH_OPTIONS_GLOBAL_KNOWNHOSTS, none);
	bad |= ssh_options_set(leg->ssh, SSH_OPTIONS_USER, login);
	bad |= ssh_options_set(leg->ssh, SSH_OPTIONS_FD, &lib);
	bad |= ssh_options_set(leg->ssh, SSH_OPTIONS_KEY_EXCHANGE, conf->kex);
	bad |= ssh_options_set(leg->ssh, SSH_OPTIONS_CIPHERS_C_S, conf->ciphers);
	bad |= ssh_options_set(leg->ssh, SSH_OPTIONS_CIPHERS_S_C, conf->ciphers);
	bad |= ssh_options_set(leg->ssh, SSH_OPTIONS_HMAC_C_S, conf->macs);
	bad |= ssh_options_set(leg->ssh, SSH_OPTIONS_HMAC_S_C, conf->macs);
	bad |= ssh_options_set(leg->ssh, SSH_OPTIONS_HOSTKEYS, host_algs != NULL ? host_algs : conf->host_key_algorithms);
	bad |= ssh_options_set(leg->ssh, SSH_OPTIONS_COMPRESSION, "no");
	bad |= ssh_options_set(leg->ssh, SSH_OPTIONS_REKEY_DATA, &rekey);
	return bad;
}

enum sp_err
sp_leg_client(struct sp_loop *l, const struct sp_config *conf, int fd, const char *login, const char *host_algs,
    const struct sp_leg_ops *ops, void *arg, struct sp_leg **ret)
{
	struct sp_leg *leg, *before;
	enum sp_err r = leg_new(l, fd, 0, ops, arg, &leg);
	int lib = -1;

	if (r != SP_OK)
		return r;
	leg_client_packets(leg);
	before = leg_enter(leg);
	if ((lib = fcntl(fd, F_DUPFD_CLOEXEC, 0)) == -1)
		r = SP_ESYS;
	else if (leg_client_options(leg, conf, lib, login, host_algs) != 0) {
		close(lib);
		r = SP_EINVAL;
	} else if (ssh_connect(leg->ssh) == SSH_ERROR || leg->cb == NULL || leg->cb->connected == NULL)
		r = SP_EINVAL;
	else
		leg->cb->connected(SSH_SOCKET_CONNECTED_OK, 0, leg->cb->userdata);	/* sends our version */
	leg_enter(before);
	if (r != SP_OK) {
		leg_destroy(leg);
		leg_enter(before);
		return r;
	}
	*ret = leg;
	return SP_OK;
}

/* ---- keys */

static enum sp_err
leg_export(ssh_key key, struct sp_buf *blob)
{
	char *b64 = NULL;
	enum sp_err r;

	if (ssh_pki_export_pubkey_base64(key, &b64) != SSH_OK)
		return SP_ENOMEM;
	r = sp_base64_parse(blob, b64, strlen(b64));
	ssh_string_free_char(b64);
	return r;
}

enum sp_err
sp_leg_host_key(struct sp_leg *leg, char *alg, size_t alg_size, struct sp_buf *blob)
{
	ssh_key key = NULL;
	enum sp_err r;
	struct sp_view v, name;

	if (ssh_get_server_publickey(leg->ssh, &key) != SSH_OK)
		return SP_ESTATE;
	r = leg_export(key, blob);
	ssh_key_free(key);
	v = (struct sp_view){ blob->p, blob->len };
	if (r != SP_OK || (r = sp_view_string(&v, &name)) != SP_OK)
		return r;
	if (name.len >= alg_size)
		return SP_ESIZE;
	memcpy(alg, name.p, name.len);
	alg[name.len] = '\0';
	return SP_OK;
}

enum sp_err
sp_leg_ephemeral(struct sp_leg *leg, struct sp_buf *blob)
{
	ssh_key_free(leg->key);
	leg->key = NULL;
	if (ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &leg->key) != SSH_OK)
		return SP_ENOMEM;
	return leg_export(leg->key, blob);
}

static enum sp_err
leg_import(struct sp_view blob, int cert, ssh_key *ret)
{
	struct sp_view v = blob, name;
	struct sp_buf b64;
	char type[64];
	enum sp_err r;
	int bad;

	if ((r = sp_view_string(&v, &name)) != SP_OK)
		return r;
	if (name.len >= sizeof(type))
		return SP_ESIZE;
	memcpy(type, name.p, name.len);
	type[name.len] = '\0';
	sp_buf_init(&b64, 65536);
	if ((r = sp_base64(&b64, blob.p, blob.len)) == SP_OK) {
		bad = cert ? ssh_pki_import_cert_base64(sp_buf_cstr(&b64), ssh_key_type_from_name(type), ret)
			   : ssh_pki_import_pubkey_base64(sp_buf_cstr(&b64), ssh_key_type_from_name(type), ret);
		r = bad == SSH_OK ? SP_OK : SP_EFORMAT;
	}
	sp_buf_release(&b64);
	return r;
}

/* ---- login */

void
leg_password_wipe(struct sp_leg *leg)
{
	if (leg->password != NULL)
		explicit_bzero(leg->password, leg->password_len);
	free(leg->password);
	leg->password = NULL;
}

/* Every hidden question is asked for the password; one that echoes is answered with nothing. */
static int
leg_kbdint_answer(struct sp_leg *leg)
{
	int n = ssh_userauth_kbdint_getnprompts(leg->ssh);

	if (n > 8 || ++leg->kbdint_rounds > 4)
		return -1;
	for (int i = 0; i < n; i++) {
		char echo = 1;

		(void)ssh_userauth_kbdint_getprompt(leg->ssh, (unsigned)i, &echo);
		if (ssh_userauth_kbdint_setanswer(leg->ssh, (unsigned)i, echo ? "" : leg->password) < 0)
			return -1;
	}
	return 0;
}

static int
leg_login_call(struct sp_leg *leg)
{
	int r;

	switch (leg->login) {
	case LOGIN_CERT:
	case LOGIN_KEY:
		return ssh_userauth_publickey(leg->ssh, NULL, leg->key);
	case LOGIN_PASSWORD:
		return ssh_userauth_password(leg->ssh, NULL, leg->password);
	case LOGIN_KBDINT:
		while ((r = ssh_userauth_kbdint(leg->ssh, NULL, NULL)) == SSH_AUTH_INFO)
			if (leg_kbdint_answer(leg) != 0)
				return SSH_AUTH_DENIED;
		return r;
	default:
		return SSH_AUTH_ERROR;
	}
}

/* Start or go on with the login that leg->login names; libssh keeps its own place in it. */
void
leg_login_step(struct sp_leg *leg)
{
	struct sp_leg *before;
	enum leg_login_kind kind = leg->login;
	int r;

	if (leg->closed || leg->freed || leg->state != LEG_AUTH)
		return;
	if (kind == LOGIN_KEY && !leg->signature_set && leg->sign_blob.len > 0)
		return;			/* the vault is at work */
	before = leg_enter(leg);
	r = leg_login_call(leg);
	leg_enter(before);
	if (r == SSH_AUTH_AGAIN || leg->closed)
		return;
	if (kind == LOGIN_KEY && !leg->signature_set && leg->sign_blob.len > 0) {
		leg->ops->sign(leg->arg, (struct sp_view){ leg->sign_blob.p, leg->sign_blob.len });
		return;
	}
	if (kind == LOGIN_PASSWORD && r != SSH_AUTH_SUCCESS && r != SSH_AUTH_ERROR &&
	    (ssh_userauth_list(leg->ssh, NULL) & SSH_AUTH_METHOD_INTERACTIVE) != 0) {
		leg->login = LOGIN_KBDINT;
		leg_login_step(leg);
		return;
	}
	leg->login = LOGIN_NONE;
	sp_buf_reset(&leg->sign_blob);
	sp_buf_reset(&leg->signature);
	leg->signature_set = 0;
	leg_password_wipe(leg);
	if (r == SSH_AUTH_ERROR && (ssh_get_status(leg->ssh) & (SSH_CLOSED | SSH_CLOSED_ERROR))) {
		leg_fail(leg, ssh_get_error(leg->ssh));
		return;
	}
	if (r == SSH_AUTH_SUCCESS) {
		leg->state = LEG_UP;
		ssh_key_free(leg->key);
		leg->key = NULL;
	}
	leg->ops->login(leg->arg, r == SSH_AUTH_SUCCESS ? SP_LEG_LOGIN_OK :
	    r == SSH_AUTH_PARTIAL ? SP_LEG_LOGIN_PARTIAL : SP_LEG_LOGIN_DENIED);
}

enum sp_err
sp_leg_login_cert(struct sp_leg *leg, struct sp_view cert)
{
	ssh_key c = NULL;
	enum sp_err r = leg_import(cert, 1, &c);

	if (r == SP_OK && (leg->key == NULL || ssh_pki_copy_cert_to_privkey(c, leg->key) != SSH_OK))
		r = SP_EFORMAT;
	ssh_key_free(c);
	if (r != SP_OK)
		return r;
	leg->login = LOGIN_CERT;
	leg_login_step(leg);
	return SP_OK;
}

enum sp_err
sp_leg_login_key(struct sp_leg *leg, struct sp_view public_blob)
{
	enum sp_err r;

	ssh_key_free(leg->key);
	leg->key = NULL;
	if ((r = leg_import(public_blob, 0, &leg->key)) != SP_OK)
		return r;
	leg->signature_set = 0;
	leg->login = LOGIN_KEY;
	leg_login_step(leg);
	return SP_OK;
}

enum sp_err
sp_leg_signed(struct sp_leg *leg, struct sp_view signature)
{
	enum sp_err r;

	if (leg->login != LOGIN_KEY)
		return SP_ESTATE;
	sp_buf_reset(&leg->signature);
	if (signature.len == 0) {
		leg->login = LOGIN_NONE;
		leg->ops->login(leg->arg, SP_LEG_LOGIN_DENIED);
		return SP_OK;
	}
	if ((r = sp_buf_append(&leg->signature, signature.p, signature.len)) != SP_OK)
		return r;
	leg->signature_set = 1;
	leg_login_step(leg);
	return SP_OK;
}

enum sp_err
sp_leg_login_password(struct sp_leg *leg, const char *password)
{
	size_t n = strlen(password) + 1;

	leg_password_wipe(leg);
	if ((leg->password = malloc(n)) == NULL)
		return SP_ENOMEM;
	memcpy(leg->password, password, n);
	leg->password_len = n;
	leg->kbdint_rounds = 0;
	leg->login = LOGIN_PASSWORD;
	leg_login_step(leg);
	return SP_OK;
}
