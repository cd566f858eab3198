/* src/vault/vault.h - the state of the vault process. One instance, static in main.c, passed down.
 * Invariants: (1) keys are there if and only if `unsealed`. (2) Everything here is touched by the loop's thread only;
 * jobs carry copies. (3) `file` is what lies on the disk: a change is written before it is installed here.
 * (4) At most one ceremony runs. (5) A session's channel is looked up by nothing but its own descriptor. */
#ifndef SP_VAULT_H
#define SP_VAULT_H

#include "base/pool.h"
#include "common/child.h"
#include "crypto/sealbox.h"
#include "crypto/slots.h"
#include "ipc/chan.h"
#include "vault/lease.h"
#include "vault/shares.h"

#define VAULT_BOOT		16
#define VAULT_SESSIONS_MAX	20000
#define SESSION_REFUSED_MAX	32	/* then the session loses its channel: it is guessing, or filling the log */
#define SESSION_QUEUE_MAX	65536	/* bytes of answers that it does not read */
#define VAULT_HASH_QUEUE	64	/* password hashes that wait; two more are being made */
#define VAULT_HASH_THREADS	2
#define VAULT_SLOW_QUEUE	64
#define VAULT_SWEEP_US		(UINT64_C(5) * 1000000)

struct ceremony;
struct heads;

struct vault {
	struct sp_child		 child;
	struct sp_chan		*control;	/* NULL while there is none */
	uint64_t		 control_gen;	/* counts them: an answer goes to who asked, never to its successor */
	struct sp_htab		 sessions;	/* struct session by conn */
	uint8_t			 boot[VAULT_BOOT];
	uint8_t			 transport_pk[SP_SEALBOX_KEY];
	struct sp_secret	 transport_sk;

	int			 dirfd;		/* readable */
	enum sp_argon2_cost	 cost;		/* of new passphrase slots */
	int			 initialised;	/* a key file exists, readable or not */
	struct sp_buf		 text;		/* the key file as it lies on the disk; empty when damaged */
	struct sp_slots		 file;		/* the same, parsed */
	const char		*trouble;	/* why a key file cannot be used; static text or NULL */

	int			 unsealed;
	struct sp_keyring	 keys;
	uint64_t		 seal_gen;	/* counts seals: a job begun before one must not unseal after it */

	struct ceremony		*ceremony;	/* the one that runs, or NULL */
	uint32_t		 seal_corr;	/* a VAULT_SEAL to be answered when the ceremony's copies are gone */
	uint64_t		 seal_control;	/* control_gen of who asked */
	int			 seal_waits;
	unsigned		 failures;	/* wrong credentials in a row */
	uint64_t		 not_before_us;	/* of the next attempt */
	struct shares		 shares;

	struct sp_pool		*hash_pool, *slow_pool, *head_pool;	/* heads wait for no ceremony */
	struct lease_table	 leases;
	struct sp_htab		 checks;	/* struct pwcheck by id */
	struct sp_htab		 codes;		/* struct codecheck by id */
	struct heads		*heads;		/* of the audit log, as they lie on the disk; NULL: unreadable, nothing is signed */
	int			 heads_busy;	/* a new state is being written */
	struct sp_timer		*sweep;
};

/* One session's channel. */
struct session {
	struct sp_hnode	 node;
	struct vault	*v;
	struct sp_uuid	 conn;
	struct sp_chan	*chan;
	unsigned	 refused;	/* questions; see SESSION_REFUSED_MAX */
};
/* Log that a question of this session is refused, and count it. */
void		session_refuse(struct session *s, const char *what, const char *why);
/* Close the channel of a session that does what no session does, with its leases; it is logged. s is gone afterwards. */
void		session_eject(struct session *s, const char *why);

static inline struct sp_view
vault_view(const ProtobufCBinaryData *d)
{
	return (struct sp_view){ d->data, d->len };
}
static inline ProtobufCBinaryData
vault_bytes(const uint8_t *p, size_t n)
{
	/* Borrowed: protobuf-c wants it writable but only reads it when packing. */
	return (ProtobufCBinaryData){ .len = n, .data = (uint8_t *)(uintptr_t)p };
}

/* state.c */
enum sp_err	vault_state_init(struct vault *v) SP_MUST_USE;
void		vault_load(struct vault *v);				/* the key file, at start */
void		vault_auto_unseal(struct vault *v, struct sp_view keyfile);
void		vault_send_state(struct vault *v);
/* To control, under corr. err, text (may be NULL: the error's own), body (may be NULL). */
void		vault_reply(struct vault *v, uint32_t corr, enum sp_err err, const char *text, const struct sp_buf *body);
/* Parse text into the file; keeps both. Takes what *text holds. SP_ECORRUPT. */
enum sp_err	vault_install_file(struct vault *v, struct sp_buf *text) SP_MUST_USE;
/* Take the keys: unsealed from here. */
void		vault_install_keys(struct vault *v, struct sp_keyring *keys);
void		vault_wipe(struct vault *v);				/* seal: no message, no answer */
void		vault_on_seal(struct vault *v, struct sp_msg *m);
/* Open what a client sealed to the transport key or to the vault's key, for a null id. SP_EAUTH. */
enum sp_err	vault_open_box(const struct vault *v, const char *kind, struct sp_view sealed, struct sp_secret *ret)
		    SP_MUST_USE;
/* Append a secret sealed to a client's key of SP_SEALBOX_KEY bytes. SP_EINVAL. */
enum sp_err	vault_seal_for(struct sp_view client_key, const char *kind, struct sp_view plain, struct sp_buf *ret)
		    SP_MUST_USE;

/* ceremony.c */
#define SLOT_NO_LABEL	"-"	/* the file wants one */
void		ceremony_on_init(struct vault *v, struct sp_msg *m);
void		ceremony_on_open(struct vault *v, struct sp_msg *m);
void		ceremony_on_rotate(struct vault *v, struct sp_msg *m);
void		ceremony_on_slots(struct vault *v, struct sp_msg *m);
const char	*slot_kind_name(enum sp_slot_kind k);

/* secrets.c */
void		secrets_on_put(struct vault *v, struct sp_msg *m);
void		secrets_on_reveal(struct vault *v, struct sp_msg *m);
void		secrets_on_rewrap(struct vault *v, struct sp_msg *m);
/* SECRET_REPLY; why NULL: the text of err. m NULL or err: nothing but that. */
void		secrets_reply(struct vault *v, uint32_t corr, enum sp_err err, const char *why, Sallyport__SecretReply *m);

/* record.c */
void		record_on_key(struct vault *v, struct sp_msg *m);
void		record_on_unwrap(struct vault *v, struct sp_msg *m);

enum secret_kind { SECRET_PASSWORD = 1, SECRET_SSH_KEY, SECRET_SSH_CA, SECRET_TOTP,	/* TOTP: totp.c only, no messages for it here */
	SECRET_RECORDING };	/* record.c only */
enum secret_origin { SECRET_GIVEN = 1, SECRET_GENERATED };
struct secret_ref {
	struct sp_uuid	id;
	uint32_t	version;
};
/* Open a record and check that it is of that kind. ret holds the bare secret. SP_ESEALED; SP_EDENIED: another kind;
 * errors of sp_envelope_open. ret_origin may be NULL. */
enum sp_err	secret_open(const struct vault *v, const struct secret_ref *ref, enum secret_kind kind,
		    struct sp_view envelope, enum secret_origin *ret_origin, struct sp_secret *ret) SP_MUST_USE;

/* Append a record that holds `plain` with its kind and origin. The vault is unsealed. */
enum sp_err	secret_seal(const struct vault *v, const struct secret_ref *ref, enum secret_kind kind,
		    enum secret_origin origin, struct sp_view plain, struct sp_buf *ret) SP_MUST_USE;
enum sp_err	secret_ref_parse(const ProtobufCBinaryData *id, uint32_t version, struct secret_ref *ret) SP_MUST_USE;

/* spend.c */
void		spend_on_sign(struct session *s, struct sp_msg *m);
void		spend_on_cert(struct session *s, struct sp_msg *m);
void		spend_on_password(struct session *s, struct sp_msg *m);
/* Control's LEASE_PUT may wait in its channel while the session's question is here already: read it first. */
void		spend_catch_up(struct vault *v);

/* pwcheck.c */
void		pwcheck_on_put(struct vault *v, struct sp_msg *m);
void		pwcheck_on_check(struct session *s, struct sp_msg *m);
void		pwcheck_on_hash(struct vault *v, struct sp_msg *m);
void		pwcheck_sweep(struct vault *v, uint64_t now_us);
void		pwcheck_clear(struct vault *v);

/* totp.c */
void		totp_on_new(struct vault *v, struct sp_msg *m);
void		totp_on_put(struct vault *v, struct sp_msg *m);
void		totp_on_check(struct session *s, struct sp_msg *m);
void		totp_sweep(struct vault *v, uint64_t now_us);
void		totp_clear(struct vault *v);

/* checkpoint.c */
void		checkpoint_load(struct vault *v);	/* at start */
void		checkpoint_clear(struct vault *v);
void		checkpoint_on_sign(struct vault *v, struct sp_msg *m);

#endif
