/* tests/unit/src/vault/harness.h - the real sallyport-vault with a monitor, a control and sessions played by the test. */
#ifndef TEST_VAULT_HARNESS_H
#define TEST_VAULT_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/str.h"
#include "ipc/chan.h"
#include "sallyport.pb-c.h"

#define INBOX_MAX	256
#define WAIT_MS		60000

struct rig;
struct peer {			/* one channel of the test to the vault */
	struct rig		*rig;
	struct sp_chan		*chan;
	struct sp_uuid		 conn;
	int			 closed;
	struct { uint16_t id; uint32_t corr; ProtobufCMessage *body; } in[INBOX_MAX];
	size_t			 n;
	ProtobufCMessage	*last;		/* what peer_wait gave; freed by the next one */
};
struct rig {
	pid_t		 pid;
	char		 dir[64];		/* of the key slots; removed by rig_destroy */
	uint8_t		 keyfile[32];
	struct peer	 monitor, control;
	int		 states;		/* VAULT_STATE seen */
	int		 initialised, sealed, has_mac;
	unsigned	 term;
	size_t		 slots_n;
	char		 slot[16][160];
	uint8_t		 pk[32], boot[16], mac[32];
};

void	rig_create(struct rig *r);			/* directory and key file bytes */
void	rig_destroy(struct rig *r);
void	rig_start(struct rig *r, int with_keyfile);	/* start the process, wait for its first state */
void	rig_stop(struct rig *r, int signo);		/* 0: close the monitor's channel and expect exit status 0 */
void	rig_up(struct rig *r);				/* create, start, init with the key file slot */
void	rig_down(struct rig *r);			/* stop, destroy */

void	peer_open(struct rig *r, struct peer *p, enum sp_proc kind);	/* a fresh conn id for sessions */
void	peer_attach(struct rig *r, struct peer *p, enum sp_proc kind);	/* with the conn id that it has */
void	peer_close(struct peer *p);
uint32_t peer_send(struct peer *p, uint16_t id, const void *body, int fd);
/* The answer, borrowed until the next wait on this peer. Fails the test after WAIT_MS; NULL when the peer is closed. */
void	*peer_wait(struct peer *p, uint16_t id, uint32_t corr);
void	*peer_ask(struct peer *p, uint16_t id, const void *body, uint16_t reply);
int	peer_poll(struct peer *p, int timeout_ms);	/* handle what is there */
void	peer_expect_closed(struct peer *p);

ProtobufCBinaryData	bytes_of(const void *p, size_t n);
/* Sealed for the vault; give back with sp_buf_release. */
struct sp_buf		sealed(const struct rig *r, const char *kind, const void *p, size_t n);
/* Ask and return the error; text (may be NULL) takes the words. */
enum sp_err	vault_init(struct rig *r, const char *slot, const void *cred, size_t n);
enum sp_err	vault_open(struct rig *r, const char *slot, const void *cred, size_t n, char text[200]);
enum sp_err	vault_simple(struct rig *r, uint16_t id);	/* SEAL, ROTATE */

struct stored {			/* what control would keep in the store */
	struct sp_uuid	id;
	const char	*kind;
	struct sp_buf	envelope, pub;
	unsigned	term;
	char		fingerprint[64];
};
void		stored_release(struct stored *s);
/* text NULL: generate by algorithm. */
enum sp_err	secret_put(struct rig *r, const char *kind, const char *text, const char *algorithm, struct stored *ret);
enum sp_err	secret_reveal(struct rig *r, const struct stored *s, struct sp_buf *ret);

/* A lease message with everything in order for this secret; change what the test is about, then lease_send. */
struct lease_msg {
	Sallyport__LeasePut	m;
	uint8_t			id[16];
	struct sp_uuid		session;
	char			*principal[4], *source[2];
};
void		lease_make(struct rig *r, const struct peer *session, const struct stored *s, struct lease_msg *ret);
void		lease_send(struct rig *r, struct lease_msg *l);

/* Run a program, output into out; returns the exit status. */
int		run(const char *const argv[], struct sp_buf *out);

#endif
