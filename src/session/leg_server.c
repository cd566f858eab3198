/* src/session/leg_server.c - a leg to a user: host keys, and login requests taken apart and answered (RFC 4252).
 * Process: session; zygote, for the keys. libssh verifies signatures; whether a key may log in is asked with ops->auth.
 * Invariants: (1) no packet of the connection protocol is looked at before a login succeeded. (2) One request at a time, of
 * ours and at libssh: what is verified is what is answered. (3) A password does not outlive its call. */
#include "session/leg_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "common/config.h"
#include "wire/sshsig.h"

/* Clients look for OpenSSH at the beginning of it before they use what we pass on to the target: OpenSSH's own tells the server that
 * nobody reads the output any more (eow@openssh.com; without it `ssh ... yes | head -1` never ends), and libssh, AsyncSSH and
 * ssh2 take the order of the arguments of an SFTP symlink from it. What they do about bugs of versions below 7.8 is not meant. */
#define LEG_VERSION	"OpenSSH_9.9 Sallyport"

struct sp_leg_keys {
	ssh_bind	bind;
	uint64_t	rekey_bytes;
};

/* Not in libssh's public headers, but in the archive that we link. Public types only. */
ssh_message ssh_message_pop_head(ssh_session session);
int	 ssh_auth_reply_success(ssh_session session, int partial);

/* ---- requests */

static int
leg_packet_service(ssh_session session, uint8_t type, ssh_buffer packet, void *user)
{
	struct sp_leg *leg = user;
	struct sp_view v = leg_payload(packet), name;
	struct sp_buf b;

	(void)session;
	(void)type;
	if (leg->state == LEG_KEX)
		leg_advance(leg);	/* this packet came with the one that ended the key exchange */
	if (sp_view_string(&v, &name) != SP_OK || !sp_view_equal_str(name, "ssh-userauth") || leg->state != LEG_AUTH) {
		leg_fail(leg, "unknown service");
		return SSH_PACKET_USED;
	}
	sp_buf_init(&b, 64);
	leg_send_buf(leg, &b, sp_buf_put_u8(&b, MSG_SERVICE_ACCEPT) != SP_OK ? SP_ENOMEM : sp_buf_put_cstring(&b, "ssh-userauth"));
	return SSH_PACKET_USED;
}

/* Zero what a packet with a password left in libssh's buffer, which does not do so itself. */
static void
leg_wipe(struct sp_view v)
{
	void *p;

	memcpy(&p, &v.p, sizeof(p));
	explicit_bzero(p, v.len);
}

static void
leg_auth(struct sp_leg *leg, struct sp_leg_auth *a)
{
	if (leg->auth_open) {
		leg_fail(leg, "login requests are not answered twice");
		return;
	}
	leg->auth_open = 1;
	leg->ops->auth(leg->arg, a);
}

/* publickey: decoded here for who asks, and by libssh when there is a signature to verify. */
static int
leg_auth_publickey(struct sp_leg *leg, struct sp_view v, struct sp_leg_auth *a)
{
	struct sp_view alg, blob;
	uint8_t is_signed;

	if (sp_view_u8(&v, &is_signed) != SP_OK || sp_view_string(&v, &alg) != SP_OK || alg.len >= sizeof(leg->pk.alg) ||
	    sp_view_string(&v, &blob) != SP_OK || blob.len > SP_SSHKEY_BLOB_MAX) {
		leg_fail(leg, "malformed login request");
		return SSH_PACKET_USED;
	}
	memcpy(leg->pk.alg, alg.p, alg.len);
	leg->pk.alg[alg.len] = '\0';
	a->key_alg = leg->pk.alg;
	a->key_blob = blob;
	if (!is_signed) {
		sp_buf_reset(&leg->pk.query);
		if (sp_buf_append(&leg->pk.query, blob.p, blob.len) != SP_OK)
			leg_fail(leg, "out of memory");
		else
			leg_auth(leg, a);
		return SSH_PACKET_USED;
	}
	/* One at a time at libssh: pk.login is what is verified with pk.blob. */
	if (leg->auth_open || leg->pk.blob.len > 0 || leg->kbdint_wait) {
		leg_fail(leg, "login requests are not answered twice");
		return SSH_PACKET_USED;
	}
	(void)sp_strlcpy(leg->pk.login, a->login, sizeof(leg->pk.login));
	if (sp_buf_append(&leg->pk.blob, blob.p, blob.len) != SP_OK) {
		leg_fail(leg, "out of memory");
		return SSH_PACKET_USED;
	}
	return SSH_PACKET_NOT_USED;	/* to libssh; leg_auth_verified() sees what came of it */
}

/* After libssh has looked at a signed request: it queued a message only if the signature is good. Keyboard-interactive
 * passes through its hands as well, because its packet filter wants to have sent the question. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"	/* ..._publickey_state(): its successor is a callback that answers at once */
void
leg_auth_verified(struct sp_leg *leg)
{
	struct sp_leg_auth k = { .method = SP_LEG_KBDINT, .login = leg->pk.login };
	ssh_message m;
	int good = 0;

	while ((m = ssh_message_pop_head(leg->ssh)) != NULL) {
		if (leg->kbdint_wait && ssh_message_type(m) == SSH_REQUEST_AUTH &&
		    ssh_message_subtype(m) == SSH_AUTH_METHOD_INTERACTIVE) {
			leg->kbdint_wait = 0;
			ssh_message_free(leg->kbdint);
			leg->kbdint = m;
			leg_auth(leg, &k);
			continue;
		}
		if (ssh_message_type(m) == SSH_REQUEST_AUTH && ssh_message_subtype(m) == SSH_AUTH_METHOD_PUBLICKEY &&
		    ssh_message_auth_publickey_state(m) == SSH_PUBLICKEY_STATE_VALID)
			good = 1;
		ssh_message_free(m);
	}
	if (leg->pk.blob.len > 0 && !leg->closed && !leg->freed) {
		struct sp_leg_auth a = { .method = SP_LEG_PUBLICKEY, .login = leg->pk.login, .key_alg = leg->pk.alg,
		    .key_blob = { leg->pk.blob.p, leg->pk.blob.len }, .is_signed = 1, .signature_ok = good };

		leg_auth(leg, &a);
	}
	sp_buf_reset(&leg->pk.blob);
}
#pragma GCC diagnostic pop

static int
leg_packet_userauth(ssh_session session, uint8_t type, ssh_buffer packet, void *user)
{
	struct sp_leg *leg = user;
	struct sp_view all = leg_payload(packet), v = all, login, service, method;
	struct sp_leg_auth a = { 0 };
	char name[SP_LEG_LOGIN_MAX + 1];
	uint8_t change;

	(void)session;
	(void)type;
	if (leg->state == LEG_UP)
		return SSH_PACKET_USED;		/* RFC 4252 5.1: ignored after success */
	leg->kbdint_open = 0;
	if (leg->state != LEG_AUTH || sp_view_string(&v, &login) != SP_OK || sp_view_string(&v, &service) != SP_OK ||
	    sp_view_string(&v, &method) != SP_OK || !sp_view_equal_str(service, "ssh-connection")) {
		leg_fail(leg, "malformed login request");
		return SSH_PACKET_USED;
	}
	if (login.len > SP_LEG_LOGIN_MAX || memchr(login.p, '\0', login.len) != NULL)
		login.len = 0;			/* no such user: the same way as every other failure */
	memcpy(name, login.p, login.len);
	name[login.len] = '\0';
	a.login = name;
	if (sp_view_equal_str(method, "publickey")) {
		a.method = SP_LEG_PUBLICKEY;
		return leg_auth_publickey(leg, v, &a);
	}
	a.method = SP_LEG_NONE;
	if (sp_view_equal_str(method, "keyboard-interactive")) {
		if (leg->auth_open || leg->kbdint_wait || leg->pk.blob.len > 0)
			leg_fail(leg, "login requests are not answered twice");
		leg->kbdint_wait = 1;
		(void)sp_strlcpy(leg->pk.login, name, sizeof(leg->pk.login));
		return leg->closed ? SSH_PACKET_USED : SSH_PACKET_NOT_USED;
	}
	if (sp_view_equal_str(method, "password") && sp_view_u8(&v, &change) == SP_OK && !change &&
	    sp_view_string(&v, &a.password) == SP_OK)
		a.method = SP_LEG_PASSWORD;
	leg_auth(leg, &a);
	if (a.method == SP_LEG_PASSWORD)
		leg_wipe(a.password);
	return SSH_PACKET_USED;
}

static int
leg_packet_kbdint(ssh_session session, uint8_t type, ssh_buffer packet, void *user)
{
	struct sp_leg *leg = user;
	struct sp_view v = leg_payload(packet);
	struct sp_leg_auth a = { .method = SP_LEG_ANSWER, .login = "" };
	uint32_t n;

	(void)session;
	(void)type;
	if (leg->state == LEG_UP)
		return SSH_PACKET_USED;
	if (!leg->kbdint_open || sp_view_u32(&v, &n) != SP_OK || n > 1 ||
	    (n == 1 && sp_view_string(&v, &a.password) != SP_OK)) {
		leg_fail(leg, "malformed answer to a login question");
		return SSH_PACKET_USED;
	}
	leg->kbdint_open = 0;
	leg_auth(leg, &a);
	leg_wipe(a.password);
	return SSH_PACKET_USED;
}

static int
leg_packet_refused(ssh_session session, uint8_t type, ssh_buffer packet, void *user)
{
	(void)session;
	(void)type;
	(void)packet;
	leg_fail(user, "unexpected login packet");
	return SSH_PACKET_USED;
}

/* From the first service request on, all but the key exchange is ours. */
static void
leg_server_packets(struct sp_leg *leg)
{
	static ssh_packet_callback table[MSG_CONNECTION_LAST - MSG_SERVICE_REQUEST + 1];

	if (table[0] == NULL) {
		for (int i = MSG_CONNECTION_FIRST; i <= MSG_CONNECTION_LAST; i++)
			table[i - MSG_SERVICE_REQUEST] = leg_packet_connection;
		for (int i = MSG_USERAUTH_REQUEST + 1; i < MSG_CONNECTION_FIRST; i++)
			table[i - MSG_SERVICE_REQUEST] = leg_packet_refused;
		table[MSG_USERAUTH_REQUEST - MSG_SERVICE_REQUEST] = leg_packet_userauth;
		table[MSG_USERAUTH_INFO_RESPONSE - MSG_SERVICE_REQUEST] = leg_packet_kbdint;
		table[0] = leg_packet_service;
	}
	leg->packets.start = MSG_SERVICE_REQUEST;
	leg->packets.n_callbacks = SP_NELEMS(table);
	leg->packets.callbacks = table;
}

/* ---- answers */

static void
leg_ask(struct sp_leg *leg, const char *prompt)
{
	struct sp_leg *before = leg_enter(leg);
	char echo[1] = { 0 };

	if (leg->kbdint == NULL || ssh_message_auth_interactive_request(leg->kbdint, "", "", 1, &prompt, echo) == SSH_ERROR)
		leg_fail(leg, "out of memory");
	else
		leg->kbdint_open = 1;
	leg_enter(before);
	ssh_message_free(leg->kbdint);
	leg->kbdint = NULL;
}

static enum sp_err
leg_pack_pk_ok(struct sp_leg *leg, struct sp_buf *b)
{
	enum sp_err r;

	if ((r = sp_buf_put_u8(b, MSG_USERAUTH_PK_OK)) != SP_OK || (r = sp_buf_put_cstring(b, leg->pk.alg)) != SP_OK)
		return r;
	return sp_buf_put_string(b, leg->pk.query.p, leg->pk.query.len);
}

void
sp_leg_answer(struct sp_leg *leg, enum sp_leg_verdict v, const char *methods, const char *text)
{
	struct sp_leg *before;
	struct sp_buf b;
	enum sp_err r;

	if (leg->closed || leg->freed || !leg->auth_open)
		return;
	leg->auth_open = 0;
	if (v == SP_LEG_OK) {
		before = leg_enter(leg);
		if (ssh_auth_reply_success(leg->ssh, 0) == SSH_ERROR)
			leg_fail(leg, "out of memory");
		leg_enter(before);
		leg->state = LEG_UP;
		return;
	}
	if (v == SP_LEG_ASK) {
		leg_ask(leg, text);
		return;
	}
	sp_buf_init(&b, 16384);
	if (v == SP_LEG_PK_OK)
		r = leg_pack_pk_ok(leg, &b);
	else if ((r = sp_buf_put_u8(&b, MSG_USERAUTH_FAILURE)) == SP_OK && (r = sp_buf_put_cstring(&b, methods)) == SP_OK)
		r = sp_buf_put_u8(&b, v == SP_LEG_PARTIAL);
	leg_send_buf(leg, &b, r);
}

void
sp_leg_banner(struct sp_leg *leg, const char *text)
{
	struct sp_buf b;
	enum sp_err r;

	sp_buf_init(&b, 16384);
	if ((r = sp_buf_put_u8(&b, MSG_USERAUTH_BANNER)) == SP_OK && (r = sp_buf_put_cstring(&b, text)) == SP_OK)
		r = sp_buf_put_cstring(&b, "");
	leg_send_buf(leg, &b, r);
}

/* ---- keys, and a new leg */

enum sp_err
sp_leg_keys_new(const struct sp_config *conf, struct sp_leg_keys **ret)
{
	struct sp_leg_keys *k = calloc(1, sizeof(*k));
	static const int no;
	int bad = 0;

	if (k == NULL || ssh_init() != SSH_OK || (k->bind = ssh_bind_new()) == NULL) {
		free(k);
		return SP_ENOMEM;
	}
	bad |= ssh_bind_options_set(k->bind, SSH_BIND_OPTIONS_PROCESS_CONFIG, &no);
	bad |= ssh_bind_options_set(k->bind, SSH_BIND_OPTIONS_KEY_EXCHANGE, conf->kex);
	bad |= ssh_bind_options_set(k->bind, SSH_BIND_OPTIONS_CIPHERS_C_S, conf->ciphers);
	bad |= ssh_bind_options_set(k->bind, SSH_BIND_OPTIONS_CIPHERS_S_C, conf->ciphers);
	bad |= ssh_bind_options_set(k->bind, SSH_BIND_OPTIONS_HMAC_C_S, conf->macs);
	bad |= ssh_bind_options_set(k->bind, SSH_BIND_OPTIONS_HMAC_S_C, conf->macs);
	bad |= ssh_bind_options_set(k->bind, SSH_BIND_OPTIONS_PUBKEY_ACCEPTED_KEY_TYPES, conf->user_key_algorithms);
	bad |= ssh_bind_options_set(k->bind, SSH_BIND_OPTIONS_HOSTKEY_ALGORITHMS,
	    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256");
	bad |= ssh_bind_options_set(k->bind, SSH_BIND_OPTIONS_BANNER, LEG_VERSION);
	if (bad != 0) {
		sp_leg_keys_free(k);
		return SP_EINVAL;
	}
	k->rekey_bytes = (uint64_t)conf->rekey_bytes;
	*ret = k;
	return SP_OK;
}

enum sp_err
sp_leg_keys_add(struct sp_leg_keys *k, const char *pem)
{
	ssh_key key = NULL;

	if (ssh_pki_import_privkey_base64(pem, NULL, NULL, NULL, &key) != SSH_OK)
		return SP_EFORMAT;
	/* the bind object takes the key */
	if (ssh_bind_options_set(k->bind, SSH_BIND_OPTIONS_IMPORT_KEY, key) != SSH_OK) {
		ssh_key_free(key);
		return SP_EINVAL;
	}
	return SP_OK;
}

void
sp_leg_keys_free(struct sp_leg_keys *k)
{
	if (k == NULL)
		return;
	ssh_bind_free(k->bind);
	free(k);
}

enum sp_err
sp_leg_server(struct sp_loop *l, struct sp_leg_keys *keys, int fd, const struct sp_leg_ops *ops, void *arg,
    struct sp_leg **ret)
{
	struct sp_leg *leg;
	enum sp_err r = leg_new(l, fd, 1, ops, arg, &leg);
	int lib = -1;

	if (r != SP_OK)
		return r;
	leg_server_packets(leg);
	leg_enter(leg);
	/* libssh owns a descriptor of its own, only to close it. */
	if ((lib = fcntl(fd, F_DUPFD_CLOEXEC, 0)) == -1 || ssh_bind_accept_fd(keys->bind, leg->ssh, lib) != SSH_OK) {
		sp_closep(&lib);
		leg_destroy(leg);
		return SP_ESYS;
	}
	if (ssh_options_set(leg->ssh, SSH_OPTIONS_REKEY_DATA, &keys->rekey_bytes) != SSH_OK ||
	    ssh_handle_key_exchange(leg->ssh) == SSH_ERROR || leg->cb == NULL) {
		leg_destroy(leg);
		return SP_EINVAL;
	}
	leg_enter(NULL);
	*ret = leg;
	return SP_OK;
}
