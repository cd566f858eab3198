/* src/session/leg_lib.c - libssh led to us: the functions that it calls instead of its own (ld --wrap), and what those need
 * to know. Process: session (and zygote). Why so: docs/adr/0002-static-libssh.md.
 *
 * A payload of ours enters through ssh_send_ignore() with a wrapped _ssh_buffer_pack(), because no function of the library
 * sends a payload as it is. Bytes out go to leg_queue(). Signing with a key of the vault goes to ops->sign.
 * Invariants: (1) libssh never touches a socket. (2) leg_now is the leg whose code of libssh runs, and NULL outside of it:
 * whoever enters says so (leg_enter), and puts back what was there. */
#include "session/leg_int.h"

#include <stdarg.h>
#include <string.h>

#include "wire/sshsig.h"

static struct sp_list legs = { &legs, &legs };
static struct sp_leg *leg_now;		/* whose code of libssh is running */
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

struct sp_list *
leg_all(void)
{
	return &legs;
}

struct sp_leg *
leg_enter(struct sp_leg *leg)
{
	struct sp_leg *before = leg_now;

	leg_now = leg;
	return before;
}

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
	sp_list_each(it, &legs) {
		struct sp_leg *leg = sp_container(it, struct sp_leg, link);

		if (leg->sock == s)
			return leg;
	}
	return NULL;
}

static struct sp_leg *
leg_of_session(ssh_session ssh)
{
	sp_list_each(it, &legs) {
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

	return leg == NULL || leg_queue(leg, buffer, len) != 0 ? SSH_ERROR : SSH_OK;
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
