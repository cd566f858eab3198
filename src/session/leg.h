/* src/session/leg.h - one SSH connection, either side: transport, key exchange and authentication, on libssh.
 * Process: session (and zygote, which parses the host keys once, before it forks).
 * Only leg*.c and leg_int.h know libssh (docs/adr/0002-static-libssh.md). What libssh does here: version,
 * key exchange, keys, packets, signatures. What it does not: sockets (read and written here, many packets per call) and
 * channels (conn.h, on the packets that a leg hands up).
 * Invariants: no callback after closed(); a leg is freed only by its owner, inside a callback too (memory goes later, in
 * sp_leg_flush_all); a packet is sent whole or the leg is closed; nothing here blocks. */
#ifndef SP_SESSION_LEG_H
#define SP_SESSION_LEG_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"

#define SP_LEG_HIGH	((size_t)512 * 1024)	/* queued bytes from which sp_leg_writable is false */
#define SP_LEG_LOW	((size_t)128 * 1024)	/* and below which drained() is called again */
#define SP_LEG_PACKET	((size_t)33 * 1024)	/* most payload that we send in one packet */
#define SP_LEG_LOGIN_MAX 512			/* bytes of a login name that are looked at; longer ones are refused */

struct sp_config;
struct sp_leg;
struct sp_leg_keys;		/* host keys and algorithms of the server side, shared by all forked sessions */

enum sp_leg_method { SP_LEG_NONE = 1, SP_LEG_PUBLICKEY, SP_LEG_PASSWORD, SP_LEG_KBDINT, SP_LEG_ANSWER };
struct sp_leg_auth {		/* one request of a user; everything borrowed, password wiped after the call */
	enum sp_leg_method	 method;	/* ANSWER: to our keyboard-interactive question; login is "" then */
	const char		*login;
	struct sp_view		 key_blob;	/* PUBLICKEY */
	const char		*key_alg;
	int			 is_signed;	/* PUBLICKEY: 0: "would this key do?" */
	int			 signature_ok;	/* of is_signed; for security keys: user presence, too */
	struct sp_view		 password;	/* PASSWORD, ANSWER */
};
enum sp_leg_verdict { SP_LEG_OK = 1, SP_LEG_FAIL, SP_LEG_PK_OK, SP_LEG_ASK, SP_LEG_PARTIAL };
enum sp_leg_login { SP_LEG_LOGIN_OK = 1, SP_LEG_LOGIN_DENIED, SP_LEG_LOGIN_PARTIAL };

struct sp_leg_ops {
	void	(*ready)(void *arg);				/* keys are exchanged; client: host key is known */
	void	(*auth)(void *arg, const struct sp_leg_auth *a);	/* server: answer once, now or later */
	void	(*login)(void *arg, enum sp_leg_login r);	/* client: result of the last sp_leg_login_*() */
	void	(*sign)(void *arg, struct sp_view blob);	/* client: sign this user-auth request, then sp_leg_signed */
	void	(*packet)(void *arg, struct sp_view payload);	/* RFC 4254: message numbers 80..100 */
	void	(*drained)(void *arg);				/* writable again */
	void	(*closed)(void *arg, const char *why);		/* once */
};

/* Server keys. add: text of an OpenSSH private key file. */
enum sp_err	 sp_leg_keys_new(const struct sp_config *conf, struct sp_leg_keys **ret) SP_MUST_USE;
enum sp_err	 sp_leg_keys_add(struct sp_leg_keys *k, const char *pem) SP_MUST_USE;
void		 sp_leg_keys_free(struct sp_leg_keys *k);

/* fd is taken in any case. accept_algs: signature algorithms accepted from users. */
enum sp_err	 sp_leg_server(struct sp_loop *l, struct sp_leg_keys *keys, int fd, const struct sp_leg_ops *ops, void *arg,
		    struct sp_leg **ret) SP_MUST_USE;
/* host_algs: comma list, NULL: as configured. */
enum sp_err	 sp_leg_client(struct sp_loop *l, const struct sp_config *conf, int fd, const char *login,
		    const char *host_algs, const struct sp_leg_ops *ops, void *arg, struct sp_leg **ret) SP_MUST_USE;
void		 sp_leg_free(struct sp_leg *leg);	/* NULL is fine; queued output is dropped */
/* Tell the peer (SSH_MSG_DISCONNECT), send what is queued, then closed(). */
void		 sp_leg_close(struct sp_leg *leg, const char *why);

/* Server: the answer to auth(). methods: what can continue, for FAIL and PARTIAL (right, and
 * one of these is wanted, too). text: prompt of ASK. */
void		 sp_leg_answer(struct sp_leg *leg, enum sp_leg_verdict v, const char *methods, const char *text);
void		 sp_leg_banner(struct sp_leg *leg, const char *text);	/* before authentication */
/* Client. */
enum sp_err	 sp_leg_host_key(struct sp_leg *leg, char *alg, size_t alg_size, struct sp_buf *blob) SP_MUST_USE;
enum sp_err	 sp_leg_ephemeral(struct sp_leg *leg, struct sp_buf *blob) SP_MUST_USE;	/* a fresh key: its public blob */
enum sp_err	 sp_leg_login_cert(struct sp_leg *leg, struct sp_view cert) SP_MUST_USE;	/* for that key */
enum sp_err	 sp_leg_login_key(struct sp_leg *leg, struct sp_view public_blob) SP_MUST_USE;	/* asks sign() */
enum sp_err	 sp_leg_signed(struct sp_leg *leg, struct sp_view signature) SP_MUST_USE;	/* empty: refused */
enum sp_err	 sp_leg_login_password(struct sp_leg *leg, const char *password) SP_MUST_USE;	/* copied, wiped later */

/* One packet of the connection protocol, in two parts (copied). The payload is at most SP_LEG_PACKET bytes. */
void		 sp_leg_send(struct sp_leg *leg, const void *head, size_t head_len, const void *data, size_t len);
int		 sp_leg_writable(struct sp_leg *leg);	/* false: drained() follows */
int		 sp_leg_is_closed(const struct sp_leg *leg);
const char	*sp_leg_peer_version(const struct sp_leg *leg);	/* escaped by who prints it */
const char	*sp_leg_algorithms(struct sp_leg *leg, char *dst, size_t size);	/* "kex cipher", for the record */
uint64_t	 sp_leg_heard_us(const struct sp_leg *leg);	/* when bytes last arrived */
/* Write what callbacks queued, free what they freed: to be called after every round of the loop. */
void		 sp_leg_flush_all(void);

#endif
