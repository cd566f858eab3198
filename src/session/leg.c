/* src/session/leg.c - see leg.h. How libssh is used, and why so, is in docs/adr/0002-static-libssh.md.
 *
 * Bytes in: leg_on_readable() reads up to LEG_RX bytes and feeds them to libssh's packet layer, which decrypts and calls
 * leg_packet_*() for what we handle ourselves (everything but the key exchange) and its own code for the rest.
 * Bytes out: libssh encrypts into leg->out (wrapped ssh_socket_write); one send(2) takes many packets. A payload of ours
 * enters through ssh_send_ignore() with a wrapped _ssh_buffer_pack(), because no function of the library sends a payload
 * as it is. */
#include "session/leg.h"

#include <errno.h>
#include <fcntl.h>
#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/str.h"
#include "common/config.h"
#include "wire/sshsig.h"

#define LEG_RX		(320u * 1024)	/* address space; touched only as far as bytes arrive */
#define LEG_READ	(128u * 1024)	/* most bytes in one recv(2) */
#define LEG_SLICE	(16u * 1024)	/* fed at once: libssh recurses once per packet, this bounds its stack */
#define LEG_OUT_MAX	((size_t)16 * 1024 * 1024)
#define LEG_OUT_KEEP	((size_t)64 * 1024)	/* memory kept by a quiet leg */
#define LEG_QUIET_US	SP_US_PER_S		/* a leg is quiet when nothing was queued for so long */
#define LEG_IN_MAX	((size_t)264 * 1024)	/* most bytes of one incomplete packet */

#define MSG_DISCONNECT		1
#define MSG_SERVICE_REQUEST	5
#define MSG_SERVICE_ACCEPT	6
#define MSG_USERAUTH_REQUEST	50
#define MSG_USERAUTH_FAILURE	51
#define MSG_USERAUTH_BANNER	53
#define MSG_USERAUTH_PK_OK	60
#define MSG_USERAUTH_INFO_REQUEST 60
#define MSG_USERAUTH_INFO_RESPONSE 61
#define MSG_GSSAPI_FIRST	63
#define MSG_GSSAPI_LAST		66
#define MSG_CONNECTION_FIRST	80
#define MSG_CONNECTION_LAST	100

enum leg_state { LEG_KEX, LEG_AUTH, LEG_UP };
enum leg_login_kind { LOGIN_NONE, LOGIN_CERT, LOGIN_KEY, LOGIN_PASSWORD, LOGIN_KBDINT };

struct sp_leg {
	struct sp_list		 link;		/* in leg_all */
	struct sp_loop		*loop;
	struct sp_source	*source;
	int			 fd;
	ssh_session		 ssh;
	struct ssh_socket_struct *sock;		/* libssh's, to know ours in ssh_socket_write */
	ssh_socket_callbacks	 cb;		/* libssh's entry for bytes from the network */
	struct ssh_packet_callbacks_struct packets;
	const struct sp_leg_ops	*ops;
	void			*arg;
	int			 server, closed, freed, closing, broken;
	enum leg_state		 state;
	struct sp_buf		 in;		/* an incomplete packet */
	struct { uint8_t *p; size_t off, len, cap; int used; } out;	/* used: since the last look of on_quiet */
	struct sp_timer		*quiet;		/* runs at first, and while out holds more than LEG_OUT_KEEP */
	int			 starved;	/* somebody was told to wait: drained() is owed */
	uint64_t		 heard_us;
	char			 why[256];
	/* server */
	int			 auth_open;	/* a request is unanswered */
	int			 kbdint_open;	/* our question is unanswered */
	int			 kbdint_wait;	/* a request for one is at libssh, */
	ssh_message		 kbdint;	/* which wants it back to send the question */
	struct { char login[SP_LEG_LOGIN_MAX + 1]; char alg[64]; struct sp_buf blob, query; } pk;	/* blob: signed, at libssh */
	/* client */
	enum leg_login_kind	 login;
	ssh_key			 key;		/* ephemeral key with its certificate, or the public key that the vault signs for */
	struct sp_buf		 sign_blob, signature;
	int			 signature_set;
	char			*password;
	size_t			 password_len;
	unsigned		 kbdint_rounds;
};

struct sp_leg_keys {
	ssh_bind	bind;
	uint64_t	rekey_bytes;
};

/* The process's legs. libssh's callbacks below the packet layer carry no pointer of ours. */
static struct sp_list leg_all = { &leg_all, &leg_all };
static struct sp_leg *leg_now;		/* whose code of libssh is running */
static uint8_t leg_rx[LEG_RX];
static struct { const void *head, *data; size_t head_len, len; int armed; } leg_inject;

/* Not in libssh's public headers, but in the archive that we link. Public types only. */
struct ssh_poll_ctx_struct;
struct ssh_signature_struct;
int	 ssh_buffer_pack_va(struct ssh_buffer_struct *buffer, const char *format, size_t argc, va_list ap);
ssh_message ssh_message_pop_head(ssh_session session);
int	 ssh_auth_reply_success(ssh_session session, int partial);
void	 ssh_packet_set_callbacks(ssh_session session, ssh_packet_callbacks callbacks);
ssh_string ssh_pki_do_sign_agent(ssh_session session, struct ssh_buffer_struct *buf, const ssh_key pubkey);

/* Names that ld --wrap gives. */
int	 __real__ssh_buffer_pack(struct ssh_buffer_struct *buffer, const char *format, size_t argc, ...);
int	 __wrap__ssh_buffer_pack(struct ssh_buffer_struct *buffer, const char *format, size_t argc, ...);
int	 __wrap_ssh_socket_write(struct ssh_socket_struct *s, const void *buffer, uint32_t len);
int	 __wrap_ssh_poll_ctx_dopoll(struct ssh_poll_ctx_struct *ctx, int timeout);
void	 __real_ssh_socket_set_callbacks(struct ssh_socket_struct *s, ssh_socket_callbacks callbacks);
void	 __wrap_ssh_socket_set_callbacks(struct ssh_socket_struct *s, ssh_socket_callbacks callbacks);
void	 __real_ssh_packet_set_default_callbacks(ssh_session session);
void	 __wrap_ssh_packet_set_default_callbacks(ssh_session session);
int	 __real_ssh_pki_import_signature_blob(const ssh_string sig_blob, const ssh_key pubkey, struct ssh_signature_struct **psig);
int	 __wrap_ssh_pki_import_signature_blob(const ssh_string sig_blob, const ssh_key pubkey, struct ssh_signature_struct **psig);
int	 __real_ssh_key_is_private(const ssh_key k);
int	 __wrap_ssh_key_is_private(const ssh_key k);
ssh_string __real_ssh_pki_do_sign(ssh_session session, struct ssh_buffer_struct *sigbuf, const ssh_key privatekey, int hash);
ssh_string __wrap_ssh_pki_do_sign(ssh_session session, struct ssh_buffer_struct *sigbuf, const ssh_key privatekey, int hash);
ssh_string __wrap_ssh_agent_sign_data(ssh_session session, const ssh_key pubkey, struct ssh_buffer_struct *data);

static void leg_fail(struct sp_leg *leg, const char *why);
static void leg_advance(struct sp_leg *leg);
static void leg_login_step(struct sp_leg *leg);

/* ---- what libssh calls instead of its own */

int
__wrap__ssh_buffer_pack(struct ssh_buffer_struct *buffer, const char *format, size_t argc, ...)
{
	va_list ap;
	int r;

	if (leg_inject.armed) {
		leg_inject.armed = 0;
		if (leg_inject.head_len > UINT32_MAX || leg_inject.len > UINT32_MAX ||
		    ssh_buffer_add_data(buffer, leg_inject.head, (uint32_t)leg_inject.head_len) != 0 ||
		    (leg_inject.len > 0 && ssh_buffer_add_data(buffer, leg_inject.data, (uint32_t)leg_inject.len) != 0))
			return SSH_ERROR;
		return SSH_OK;
	}
	va_start(ap, argc);
	r = ssh_buffer_pack_va(buffer, format, argc, ap);
	va_end(ap);
	return r;
}

static struct sp_leg *
leg_of_socket(struct ssh_socket_struct *s)
{
	if (leg_now != NULL && leg_now->sock == NULL)
		leg_now->sock = s;	/* the version goes out before callbacks are set */
	if (leg_now != NULL && leg_now->sock == s)
		return leg_now;
	sp_list_each(it, &leg_all) {
		struct sp_leg *leg = sp_container(it, struct sp_leg, link);

		if (leg->sock == s)
			return leg;
	}
	return NULL;
}

static struct sp_leg *
leg_of_session(ssh_session ssh)
{
	sp_list_each(it, &leg_all) {
		struct sp_leg *leg = sp_container(it, struct sp_leg, link);

		if (leg->ssh == ssh)
			return leg;
	}
	return NULL;
}

int
__wrap_ssh_socket_write(struct ssh_socket_struct *s, const void *buffer, uint32_t len)
{
	struct sp_leg *leg = leg_of_socket(s);
	size_t cap;

	if (leg == NULL || leg->closed)
		return SSH_ERROR;
	if (leg->out.off > 0 && leg->out.off == leg->out.len)
		leg->out.off = leg->out.len = 0;
	if (leg->out.off > LEG_OUT_KEEP && leg->out.cap - leg->out.len < len) {
		memmove(leg->out.p, leg->out.p + leg->out.off, leg->out.len - leg->out.off);
		leg->out.len -= leg->out.off;
		leg->out.off = 0;
	}
	if (leg->out.cap - leg->out.len < len) {
		uint8_t *p;

		for (cap = leg->out.cap ? leg->out.cap : 4096; cap - leg->out.len < len; cap *= 2)
			if (cap > LEG_OUT_MAX)
				return SSH_ERROR;
		if ((p = realloc(leg->out.p, cap)) == NULL)
			return SSH_ERROR;
		if (leg->out.cap <= LEG_OUT_KEEP && cap > LEG_OUT_KEEP)
			sp_timer_in(leg->quiet, LEG_QUIET_US);
		leg->out.p = p;
		leg->out.cap = cap;
	}
	memcpy(leg->out.p + leg->out.len, buffer, len);
	leg->out.len += len;
	leg->out.used = 1;
	return SSH_OK;
}

/* libssh never touches the socket: nothing is ever ready. */
int
__wrap_ssh_poll_ctx_dopoll(struct ssh_poll_ctx_struct *ctx, int timeout)
{
	(void)ctx;
	(void)timeout;
	return SSH_AGAIN;
}

void
__wrap_ssh_socket_set_callbacks(struct ssh_socket_struct *s, ssh_socket_callbacks callbacks)
{
	if (leg_now != NULL) {
		leg_now->sock = s;
		leg_now->cb = callbacks;
	}
	__real_ssh_socket_set_callbacks(s, callbacks);
}

void
__wrap_ssh_packet_set_default_callbacks(ssh_session session)
{
	struct sp_leg *leg = leg_of_session(session);

	if (leg != NULL)
		ssh_packet_set_callbacks(session, &leg->packets);	/* asked first */
	__real_ssh_packet_set_default_callbacks(session);
}

/* libssh checks the signature of a security key, but not whether somebody touched it. */
int
__wrap_ssh_pki_import_signature_blob(const ssh_string sig_blob, const ssh_key pubkey, struct ssh_signature_struct **psig)
{
	enum ssh_keytypes_e t = ssh_key_type(pubkey);
	struct sp_view v = { ssh_string_data(sig_blob), ssh_string_len(sig_blob) };
	struct sp_sshsig sig;

	if ((t == SSH_KEYTYPE_SK_ED25519 || t == SSH_KEYTYPE_SK_ECDSA) &&
	    (sp_sshsig_decode(v, &sig) != SP_OK || !sp_sshsig_sk_user_present(&sig)))
		return SSH_ERROR;
	return __real_ssh_pki_import_signature_blob(sig_blob, pubkey, psig);
}

/* A public key whose private half is in the vault counts as private, and signing with it goes to ops->sign. */
static int
leg_key_is_remote(const struct sp_leg *leg, const ssh_key k)
{
	return leg != NULL && leg->login == LOGIN_KEY && leg->key == k;
}

int
__wrap_ssh_key_is_private(const ssh_key k)
{
	return leg_key_is_remote(leg_now, k) ? 1 : __real_ssh_key_is_private(k);
}

ssh_string
__wrap_ssh_pki_do_sign(ssh_session session, struct ssh_buffer_struct *sigbuf, const ssh_key privatekey, int hash)
{
	if (leg_key_is_remote(leg_now, privatekey))
		return ssh_pki_do_sign_agent(session, sigbuf, privatekey);
	return __real_ssh_pki_do_sign(session, sigbuf, privatekey, hash);
}

/* First call: keep what is to be signed and fail; the second, after sp_leg_signed(), hands the signature over. */
ssh_string
__wrap_ssh_agent_sign_data(ssh_session session, const ssh_key pubkey, struct ssh_buffer_struct *data)
{
	struct sp_leg *leg = leg_of_session(session);
	ssh_string s;

	(void)pubkey;
	if (leg == NULL)
		return NULL;
	if (!leg->signature_set) {
		sp_buf_reset(&leg->sign_blob);
		if (sp_buf_append(&leg->sign_blob, ssh_buffer_get(data), ssh_buffer_get_len(data)) != SP_OK)
			sp_buf_reset(&leg->sign_blob);
		return NULL;
	}
	if ((s = ssh_string_new(leg->signature.len)) != NULL && ssh_string_fill(s, leg->signature.p, leg->signature.len) != 0)
		SSH_STRING_FREE(s);
	return s;
}

/* Kerberos is not offered: these stand in for libssh's, so that neither its parser nor libgssapi is linked. */
int	ssh_gssapi_auth_mic(ssh_session session);
int	ssh_gssapi_handle_userauth(ssh_session session, const char *user, uint32_t n_oid, ssh_string *oids);
int	ssh_packet_userauth_gssapi_mic(ssh_session session, uint8_t type, ssh_buffer packet, void *user);
int	ssh_packet_userauth_gssapi_response(ssh_session session, uint8_t type, ssh_buffer packet, void *user);
int	ssh_packet_userauth_gssapi_token(ssh_session session, uint8_t type, ssh_buffer packet, void *user);
int ssh_gssapi_auth_mic(ssh_session session) { (void)session; return SSH_AUTH_DENIED; }
int
ssh_gssapi_handle_userauth(ssh_session session, const char *user, uint32_t n_oid, ssh_string *oids)
{
	(void)session, (void)user, (void)n_oid, (void)oids;
	return SSH_ERROR;
}
#define LEG_NO_GSSAPI(name) int name(ssh_session session, uint8_t type, ssh_buffer packet, void *user) \
	{ (void)session; (void)type; (void)packet; (void)user; return SSH_PACKET_NOT_USED; }
LEG_NO_GSSAPI(ssh_packet_userauth_gssapi_mic)
LEG_NO_GSSAPI(ssh_packet_userauth_gssapi_response)
LEG_NO_GSSAPI(ssh_packet_userauth_gssapi_token)

/* ---- packets that we handle */

static void
leg_close_source(struct sp_leg *leg)
{
	sp_source_remove(leg->source);
	leg->source = NULL;
	sp_closep(&leg->fd);
}

/* What libssh says of some faults of the other side misleads, or is about its own insides. */
static const struct {
	const char	*begins, *better;
} leg_words[] = {
	{ "Can't verify server in known hosts", "malformed key exchange message" },	/* what was in its error text before */
	{ "Wrong state in callback_receive_banner", "no SSH version line" },
	{ "Failed to import next public key", "malformed host key" },
	{ "Failed to get next public key", "malformed host key" },
	{ "Packet filter: rejected packet", "a message that is not allowed in this state" },
	{ "read_packet(): Packet len too high", "malformed packet length" },
};

static const char *
leg_word(const char *why)
{
	for (size_t i = 0; i < SP_NELEMS(leg_words); i++)
		if (strncmp(why, leg_words[i].begins, strlen(leg_words[i].begins)) == 0)
			return leg_words[i].better;
	return why;
}

/* The end, from our side or theirs. */
static void
leg_fail(struct sp_leg *leg, const char *why)
{
	why = leg_word(why);
	if (leg->closed)
		return;
	leg->closed = 1;
	leg_close_source(leg);
	if (leg->why[0] == '\0')
		(void)sp_escape(why, strlen(why), leg->why, sizeof(leg->why));
	if (!leg->freed)
		leg->ops->closed(leg->arg, leg->why);
}

void
sp_leg_send(struct sp_leg *leg, const void *head, size_t head_len, const void *data, size_t len)
{
	struct sp_leg *before = leg_now;

	if (leg->closed || leg->freed)
		return;
	leg_now = leg;
	leg_inject.head = head;
	leg_inject.head_len = head_len;
	leg_inject.data = data;
	leg_inject.len = len;
	leg_inject.armed = 1;
	if (ssh_send_ignore(leg->ssh, "") != SSH_OK || leg_inject.armed) {
		leg_inject.armed = 0;
		leg->broken = 1;		/* noticed in the next flush, never inside the caller's own loop */
	}
	leg_now = before;
}

static void
leg_send_buf(struct sp_leg *leg, struct sp_buf *b, enum sp_err r)
{
	if (r == SP_OK)
		sp_leg_send(leg, b->p, b->len, NULL, 0);
	sp_buf_release(b);
}

static struct sp_view
leg_payload(ssh_buffer packet)
{
	return (struct sp_view){ ssh_buffer_get(packet), ssh_buffer_get_len(packet) };
}

static int
leg_packet_connection(ssh_session session, uint8_t type, ssh_buffer packet, void *user)
{
	struct sp_leg *leg = user;
	struct sp_view v = leg_payload(packet);

	(void)session;
	if (leg->closed || leg->freed)
		return SSH_PACKET_USED;
	/* libssh has eaten the type byte; it is still in front of the rest. */
	v.p--;
	v.len++;
	if (v.p[0] != type || (leg->server && leg->state != LEG_UP))
		leg_fail(leg, "connection protocol before login");
	else
		leg->ops->packet(leg->arg, v);
	return SSH_PACKET_USED;
}

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
static void
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

static ssh_packet_callback leg_server_table[MSG_CONNECTION_LAST - MSG_SERVICE_REQUEST + 1];
static ssh_packet_callback leg_client_table[MSG_CONNECTION_LAST - MSG_CONNECTION_FIRST + 1];

static void
leg_tables(void)
{
	if (leg_client_table[0] != NULL)
		return;
	for (int i = MSG_CONNECTION_FIRST; i <= MSG_CONNECTION_LAST; i++) {
		leg_client_table[i - MSG_CONNECTION_FIRST] = leg_packet_connection;
		leg_server_table[i - MSG_SERVICE_REQUEST] = leg_packet_connection;
	}
	leg_server_table[0] = leg_packet_service;
	leg_server_table[MSG_USERAUTH_REQUEST - MSG_SERVICE_REQUEST] = leg_packet_userauth;
	for (int i = MSG_USERAUTH_REQUEST + 1; i < MSG_CONNECTION_FIRST; i++)
		leg_server_table[i - MSG_SERVICE_REQUEST] = leg_packet_refused;
	leg_server_table[MSG_USERAUTH_INFO_RESPONSE - MSG_SERVICE_REQUEST] = leg_packet_kbdint;
}

/* ---- reading and writing */

static void
leg_flush(struct sp_leg *leg)
{
	while (!leg->closed && leg->out.off < leg->out.len) {
		ssize_t n = send(leg->fd, leg->out.p + leg->out.off, leg->out.len - leg->out.off, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n == -1) {
			leg_fail(leg, strerror(errno));
			return;
		}
		leg->out.off += (size_t)n;
	}
	if (leg->closed)
		return;
	if (leg->out.off == leg->out.len) {
		leg->out.off = leg->out.len = 0;
		if (leg->closing) {
			leg_fail(leg, "closed");
			return;
		}
	}
	if (leg->broken) {
		leg_fail(leg, "out of memory for packets");
		return;
	}
	sp_source_events(leg->source, (leg->closing ? 0 : EPOLLIN) | (leg->out.len > 0 ? (uint32_t)EPOLLOUT : 0));
	if (leg->starved && leg->out.len - leg->out.off <= SP_LEG_LOW) {
		leg->starved = 0;
		leg->ops->drained(leg->arg);
	}
}

/* Memory of a burst goes back when the burst is over, not between its packets: fresh pages cost more than the copy. */
static void
leg_on_quiet(struct sp_timer *t, void *arg)
{
	struct sp_leg *leg = arg;

	if (leg->out.used || leg->out.len > 0) {
		leg->out.used = 0;
		sp_timer_in(t, LEG_QUIET_US);
		return;
	}
	free(leg->out.p);
	leg->out.p = NULL;
	leg->out.cap = leg->out.off = 0;
	(void)malloc_trim(0);
}

/* Where the key exchange stands, after bytes were fed. */
static void
leg_advance(struct sp_leg *leg)
{
	int r;

	if (leg->closed || leg->freed)
		return;
	if (ssh_get_status(leg->ssh) & (SSH_CLOSED | SSH_CLOSED_ERROR)) {
		leg_flush(leg);
		leg_fail(leg, ssh_get_error(leg->ssh));
		return;
	}
	if (leg->state == LEG_KEX) {
		r = leg->server ? ssh_handle_key_exchange(leg->ssh) : ssh_connect(leg->ssh);
		if (r == SSH_ERROR) {
			leg_flush(leg);
			leg_fail(leg, ssh_get_error(leg->ssh));
		} else if (r == SSH_OK) {
			leg->state = LEG_AUTH;
			leg->ops->ready(leg->arg);
		}
	} else if (leg->server && leg->state == LEG_AUTH)
		leg_auth_verified(leg);
	else if (!leg->server && leg->login != LOGIN_NONE)
		leg_login_step(leg);
}

/* Feed bytes to libssh; returns how many it took. */
static size_t
leg_feed(struct sp_leg *leg, uint8_t *p, size_t n)
{
	size_t used = 0;

	while (used < n && !leg->closed && !leg->freed) {
		size_t slice = n - used < LEG_SLICE ? n - used : LEG_SLICE;
		size_t took = leg->cb->data(p + used, slice, leg->cb->userdata);

		if (took == 0 && slice < n - used)
			took = leg->cb->data(p + used, n - used, leg->cb->userdata);
		/* Signed logins are judged one by one, and the state must follow before the next packet is looked at. */
		if (leg->state != LEG_UP)
			leg_advance(leg);
		if (took == 0 || took > n - used)
			break;
		used += took;
	}
	return used;
}

static void
leg_on_readable(struct sp_leg *leg)
{
	size_t have = leg->in.len, used;
	ssize_t n;

	if (have > 0)
		memcpy(leg_rx, leg->in.p, have);
	do
		n = recv(leg->fd, leg_rx + have, sizeof(leg_rx) - have < LEG_READ ? sizeof(leg_rx) - have : LEG_READ, MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n <= 0) {
		leg_fail(leg, n == 0 ? "connection closed by the other side" : strerror(errno));
		return;
	}
	leg->heard_us = sp_now_us();
	leg_now = leg;
	used = leg_feed(leg, leg_rx, have + (size_t)n);
	leg_advance(leg);
	leg_now = NULL;
	if (leg->closed || leg->freed)
		return;
	if (have + (size_t)n - used > LEG_IN_MAX) {
		leg_fail(leg, "packet too large");
		return;
	}
	leg->in.len = 0;
	if (used < have + (size_t)n && sp_buf_append(&leg->in, leg_rx + used, have + (size_t)n - used) != SP_OK)
		leg_fail(leg, "out of memory");
	else if (used == have + (size_t)n && leg->in.cap > 0)
		sp_buf_release(&leg->in), sp_buf_init(&leg->in, LEG_IN_MAX);
}

static void
leg_on_event(struct sp_source *s, uint32_t events, void *arg)
{
	struct sp_leg *leg = arg;

	(void)s;
	if (events & EPOLLOUT)
		leg_flush(leg);
	if (!leg->closed && !leg->freed && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		leg_on_readable(leg);
}

static void
leg_destroy(struct sp_leg *leg)
{
	sp_list_remove(&leg->link);
	leg_close_source(leg);
	ssh_message_free(leg->kbdint);
	leg_now = leg;
	if (leg->ssh != NULL)
		ssh_free(leg->ssh);
	leg_now = NULL;
	ssh_key_free(leg->key);
	if (leg->password != NULL)
		explicit_bzero(leg->password, leg->password_len);
	free(leg->password);
	free(leg->out.p);
	sp_timer_free(leg->quiet);
	sp_buf_release(&leg->in);
	sp_buf_release(&leg->pk.blob);
	sp_buf_release(&leg->pk.query);
	sp_buf_release(&leg->sign_blob);
	sp_buf_release(&leg->signature);
	free(leg);
}

void
sp_leg_flush_all(void)
{
	sp_list_each(it, &leg_all) {
		struct sp_leg *leg = sp_container(it, struct sp_leg, link);

		if (leg->freed)
			leg_destroy(leg);
		else if (!leg->closed)
			leg_flush(leg);
	}
	/* What drained() or closed() of one leg queued for another. */
	sp_list_each(jt, &leg_all) {
		struct sp_leg *leg = sp_container(jt, struct sp_leg, link);

		if (!leg->closed && leg->out.len > 0)
			leg_flush(leg);
	}
}

/* ---- life */

static enum sp_err
leg_new(struct sp_loop *l, int fd, int server, const struct sp_leg_ops *ops, void *arg, struct sp_leg **ret)
{
	struct sp_leg *leg = calloc(1, sizeof(*leg));
	int one = 1;
	enum sp_err r;

	if (leg == NULL) {
		close(fd);
		return SP_ENOMEM;
	}
	leg_tables();
	*leg = (struct sp_leg){ .loop = l, .fd = fd, .server = server, .ops = ops, .arg = arg, .heard_us = sp_now_us() };
	leg->packets.start = server ? MSG_SERVICE_REQUEST : MSG_CONNECTION_FIRST;
	leg->packets.n_callbacks = server ? SP_NELEMS(leg_server_table) : SP_NELEMS(leg_client_table);
	leg->packets.callbacks = server ? leg_server_table : leg_client_table;
	leg->packets.user = leg;
	sp_buf_init(&leg->in, LEG_IN_MAX);
	sp_buf_init(&leg->pk.blob, SP_SSHKEY_BLOB_MAX);
	sp_buf_init(&leg->pk.query, SP_SSHKEY_BLOB_MAX);
	sp_buf_init(&leg->sign_blob, 16384);
	sp_buf_init(&leg->signature, SP_SSHSIG_MAX);
	sp_list_init(&leg->link);
	sp_list_add_tail(&leg_all, &leg->link);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));	/* inner connections are no TCP */
	if ((leg->ssh = ssh_new()) == NULL || (r = sp_timer_new(l, leg_on_quiet, leg, &leg->quiet)) != SP_OK ||
	    (r = sp_loop_add(l, fd, EPOLLIN, leg_on_event, leg, &leg->source)) != SP_OK) {
		leg_destroy(leg);
		return SP_ENOMEM;
	}
	ssh_set_blocking(leg->ssh, 0);
	sp_timer_in(leg->quiet, LEG_QUIET_US);	/* key exchange and login leave much that is never used again */
	*ret = leg;
	return SP_OK;
}

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
	bad |= ssh_bind_options_set(k->bind, SSH_BIND_OPTIONS_BANNER, "Sallyport");
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
	leg_now = leg;
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
	leg_now = NULL;
	*ret = leg;
	return SP_OK;
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
	struct sp_leg *leg, *before = leg_now;
	enum sp_err r = leg_new(l, fd, 0, ops, arg, &leg);
	int lib = -1;

	if (r != SP_OK)
		return r;
	leg_now = leg;
	if ((lib = fcntl(fd, F_DUPFD_CLOEXEC, 0)) == -1)
		r = SP_ESYS;
	else if (leg_client_options(leg, conf, lib, login, host_algs) != 0) {
		close(lib);
		r = SP_EINVAL;
	} else if (ssh_connect(leg->ssh) == SSH_ERROR || leg->cb == NULL || leg->cb->connected == NULL)
		r = SP_EINVAL;
	else
		leg->cb->connected(SSH_SOCKET_CONNECTED_OK, 0, leg->cb->userdata);	/* sends our version */
	leg_now = before;
	if (r != SP_OK) {
		leg_destroy(leg);
		leg_now = before;
		return r;
	}
	*ret = leg;
	return SP_OK;
}

void
sp_leg_free(struct sp_leg *leg)
{
	if (leg == NULL)
		return;
	leg->freed = 1;		/* sp_leg_flush_all() does the rest, outside every callback */
	if (!leg->closed)
		leg_close_source(leg);
	leg->closed = 1;
}

void
sp_leg_close(struct sp_leg *leg, const char *why)
{
	struct sp_buf b;
	enum sp_err r;

	if (leg->closed || leg->closing)
		return;
	(void)sp_strlcpy(leg->why, why, sizeof(leg->why));
	sp_buf_init(&b, 1024);
	if ((r = sp_buf_put_u8(&b, MSG_DISCONNECT)) == SP_OK && (r = sp_buf_put_u32(&b, 11)) == SP_OK &&
	    (r = sp_buf_put_cstring(&b, leg->why)) == SP_OK)
		r = sp_buf_put_cstring(&b, "");
	leg_send_buf(leg, &b, leg->state == LEG_KEX ? SP_ESTATE : r);
	leg->closing = 1;
}

/* ---- server side of authentication */

static void
leg_ask(struct sp_leg *leg, const char *prompt)
{
	struct sp_leg *before = leg_now;
	char echo[1] = { 0 };

	leg_now = leg;
	if (leg->kbdint == NULL || ssh_message_auth_interactive_request(leg->kbdint, "", "", 1, &prompt, echo) == SSH_ERROR)
		leg_fail(leg, "out of memory");
	else
		leg->kbdint_open = 1;
	leg_now = before;
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
	struct sp_leg *before = leg_now;
	struct sp_buf b;
	enum sp_err r;

	if (leg->closed || leg->freed || !leg->auth_open)
		return;
	leg->auth_open = 0;
	if (v == SP_LEG_OK) {
		leg_now = leg;
		if (ssh_auth_reply_success(leg->ssh, 0) == SSH_ERROR)
			leg_fail(leg, "out of memory");
		leg_now = before;
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

/* ---- client side of authentication */

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

	if (leg->password != NULL)
		explicit_bzero(leg->password, leg->password_len);
	free(leg->password);
	if ((leg->password = malloc(n)) == NULL)
		return SP_ENOMEM;
	memcpy(leg->password, password, n);
	leg->password_len = n;
	leg->kbdint_rounds = 0;
	leg->login = LOGIN_PASSWORD;
	leg_login_step(leg);
	return SP_OK;
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
static void
leg_login_step(struct sp_leg *leg)
{
	struct sp_leg *before = leg_now;
	enum leg_login_kind kind = leg->login;
	int r;

	if (leg->closed || leg->freed || leg->state != LEG_AUTH)
		return;
	if (kind == LOGIN_KEY && !leg->signature_set && leg->sign_blob.len > 0)
		return;			/* the vault is at work */
	leg_now = leg;
	r = leg_login_call(leg);
	leg_now = before;
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
	if (leg->password != NULL) {
		explicit_bzero(leg->password, leg->password_len);
		free(leg->password);
		leg->password = NULL;
	}
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

/* ---- questions */

int
sp_leg_writable(struct sp_leg *leg)
{
	if (leg->out.len - leg->out.off >= SP_LEG_HIGH)
		leg->starved = 1;
	return !leg->starved;
}

int
sp_leg_is_closed(const struct sp_leg *leg)
{
	return leg->closed || leg->closing;
}

const char *
sp_leg_peer_version(const struct sp_leg *leg)
{
	const char *v = leg->server ? ssh_get_clientbanner(leg->ssh) : ssh_get_serverbanner(leg->ssh);

	return v != NULL ? v : "";
}

const char *
sp_leg_algorithms(struct sp_leg *leg, char *dst, size_t size)
{
	const char *kex = ssh_get_kex_algo(leg->ssh), *in = ssh_get_cipher_in(leg->ssh);

	(void)sp_snprintf(dst, size, "%s %s", kex != NULL ? kex : "", in != NULL ? in : "");
	return dst;
}

uint64_t
sp_leg_heard_us(const struct sp_leg *leg)
{
	return leg->heard_us;
}
