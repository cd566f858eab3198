/* tests/unit/src/control/harness.h - the real sallyport-control with a monitor, vault, dialer, sessions, scribes and
 * callers of the admin socket played by the test. */
#ifndef TEST_CONTROL_HARNESS_H
#define TEST_CONTROL_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "base/str.h"
#include "ipc/chan.h"
#include "sallyport.pb-c.h"

#define INBOX_MAX	512
#define WAIT_MS		20000
#define SCRIBE_PID	4242	/* of every scribe that the test plays */

struct rig;
struct peer {			/* one channel of the test to control */
	struct rig		*rig;
	struct sp_chan		*chan;
	struct sp_uuid		 conn, session;
	uint8_t			 token[32];	/* a connection inside another one */
	size_t			 token_len;
	int			 closed;
	struct { uint16_t id; uint32_t corr; ProtobufCMessage *body; int fd; } in[INBOX_MAX];
	size_t			 n;
	ProtobufCMessage	*last;		/* what peer_wait gave; freed by the next one */
	int			 last_fd;
	uint32_t		 last_corr;
};
struct rig {
	pid_t		 pid;
	char		 dir[64];
	int		 admin_listen;
	struct peer	 monitor, vault, dialer, gate, courier, ctl;
	const char	*as_user;	/* for calls; NULL: root */
	const char	*listen;	/* NULL: 127.0.0.1:2222 */
	const char	*conf;		/* more lines of the configuration; NULL: none */
	int		 vault_plays;	/* answer SECRET_PUT, SECRET_REWRAP and HASH_PASSWORD by itself */
	uint32_t	 vault_term;	/* of what it wraps */
	size_t		 rewrapped;	/* answers to SECRET_REWRAP */
	uint8_t		 user_key[51];	/* blob of alice's key */
	size_t		 user_key_len;
};

void	rig_create(struct rig *r);
void	rig_destroy(struct rig *r);
void	rig_start(struct rig *r);	/* start the process; BOOT, peers, an unsealed vault; connect to the admin socket */
void	rig_vault(struct rig *r, int sealed);	/* another vault takes the place of the last one */
void	rig_courier(struct rig *r);		/* there is none before this */
void	rig_vault_state(struct rig *r, int sealed);
void	rig_reload(struct rig *r);	/* with what r->conf says now */
void	rig_stop(struct rig *r, int signo);	/* 0: close the monitor's channel and expect exit status 0 */
/* start, then: alice with a key, asset web1 with account root (password), a grant for everything */
void	rig_up(struct rig *r);
void	rig_fill(struct rig *r);	/* the same for one that was created: with r->conf, say */
void	rig_down(struct rig *r);

void	peer_close(struct peer *p);
uint32_t peer_send(struct peer *p, uint16_t id, uint32_t corr, const void *body);	/* corr 0: a fresh one for a question */
/* The next message of that kind (corr 0: whatever), borrowed until the next wait on this peer; fails after WAIT_MS. */
void	*peer_wait(struct peer *p, uint16_t id, uint32_t corr);
void	*peer_ask(struct peer *p, uint16_t id, const void *body, uint16_t reply);
int	 peer_poll(struct peer *p, int timeout_ms);
int	 peer_has(struct peer *p, uint16_t id);	/* among what arrived so far */
void	 peer_expect_closed(struct peer *p);

/* A new connection: ATTACH, HELLO, WELCOME. */
void	 session_born(struct rig *r, struct peer *p);
/* `p` asks for asset; the connection inside it is born as `in`. Its WELCOME is in->last. */
void	 session_inner(struct rig *r, struct peer *p, struct peer *in, const char *asset);
/* The same process after control was restarted. */
void	 session_again(struct rig *r, struct peer *p, const struct sp_uuid *user, uint64_t epoch,
	    const struct sp_uuid *sessions, const struct sp_uuid *accounts, size_t n);
Sallyport__AuthReply *session_auth(struct peer *p, const char *login, const uint8_t *key, size_t n, int signature_ok);
void	 session_login(struct rig *r, struct peer *p);		/* alice by key; expects OK */
Sallyport__TargetReply *session_target(struct peer *p, const char *account, const char *asset);
void	 scribe_born(struct rig *r, struct peer *p, const struct sp_uuid *conn, const struct sp_uuid *session, int again);
void	 scribe_event(struct peer *p, uint64_t seq, const char *kind, const char *json);
void	 session_gone(struct rig *r, const struct sp_uuid *conn);

/* A call on the admin socket: the body (new reference; all parts of a listing joined), with *ret_err (NULL: must be 0). */
void	 rig_auditors(struct rig *r);	/* without whose keys there is no session */
json_t	*call(struct rig *r, const char *method, json_t *params /* taken */, uint32_t *ret_err);
json_t	*call_by(struct rig *r, struct peer *by, const char *method, json_t *params /* taken */, uint32_t *ret_err);
/* A caller of another system account. */
void	 rig_connect_as(struct rig *r, struct peer *p, unsigned uid);
/* An ended session in the index; its id as text. Control is stopped and started for it. */
void	 rig_session(struct rig *r, const char *user_id, const char *asset_id, char ret_id[SP_UUID_SIZE]);
struct sp_store;
struct sp_store *rig_store(struct rig *r);	/* opened by the test while control does not run */
void	 rig_store_close(struct rig *r, struct sp_store *s);
size_t	 audit_count(struct rig *r, const char *kind, const struct sp_uuid *session);

#endif
