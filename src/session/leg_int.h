/* src/session/leg_int.h - what the leg*.c files share: the object behind struct sp_leg, and what they call of each other.
 * Process: session (and zygote). Only they include it, and only they know libssh. */
#ifndef SP_SESSION_LEG_INT_H
#define SP_SESSION_LEG_INT_H

#include "session/leg.h"

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>

#include "base/list.h"

#define MSG_DISCONNECT		1
#define MSG_SERVICE_REQUEST	5
#define MSG_SERVICE_ACCEPT	6
#define MSG_USERAUTH_REQUEST	50
#define MSG_USERAUTH_FAILURE	51
#define MSG_USERAUTH_BANNER	53
#define MSG_USERAUTH_PK_OK	60
#define MSG_USERAUTH_INFO_RESPONSE 61
#define MSG_CONNECTION_FIRST	80
#define MSG_CONNECTION_LAST	100

enum leg_state { LEG_KEX, LEG_AUTH, LEG_UP };
enum leg_login_kind { LOGIN_NONE, LOGIN_CERT, LOGIN_KEY, LOGIN_PASSWORD, LOGIN_KBDINT };

struct sp_leg {
	struct sp_list		 link;		/* in leg_all() */
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

/* ---- leg.c: life, bytes, the end */

/* fd is taken in any case. The leg is in leg_all(); its packets and its session's options are the caller's to set. */
enum sp_err	 leg_new(struct sp_loop *l, int fd, int server, const struct sp_leg_ops *ops, void *arg,
		    struct sp_leg **ret) SP_MUST_USE;
void		 leg_destroy(struct sp_leg *leg);	/* outside every callback */
void		 leg_fail(struct sp_leg *leg, const char *why);	/* the end, from our side or theirs */
void		 leg_advance(struct sp_leg *leg);	/* see where key exchange or login stand, after bytes were fed */
int		 leg_queue(struct sp_leg *leg, const void *p, size_t n);	/* bytes for the network; nonzero: too many, or closed */
void		 leg_send_buf(struct sp_leg *leg, struct sp_buf *b, enum sp_err r);	/* b, released, unless r says that it is broken */
struct sp_view	 leg_payload(ssh_buffer packet);
int		 leg_packet_connection(ssh_session session, uint8_t type, ssh_buffer packet, void *user);

/* ---- leg_lib.c: what libssh calls instead of its own */

/* The process's legs: libssh's callbacks below the packet layer carry no pointer of ours. */
struct sp_list	*leg_all(void);
/* Say whose code of libssh runs from here on (NULL: nobody's). Who it was until now, to be said again after it. */
struct sp_leg	*leg_enter(struct sp_leg *leg);

/* ---- leg_server.c, leg_client.c */

void		 leg_auth_verified(struct sp_leg *leg);	/* server: what came of the requests that libssh looked at */
void		 leg_login_step(struct sp_leg *leg);	/* client: start or go on with leg->login */
void		 leg_password_wipe(struct sp_leg *leg);	/* client */

#endif
