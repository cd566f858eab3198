/* lib/crypto/slots.h - the key file of a vault: one root key, wrapped on its own by each of up to 16 key slots, and
 * what the root key wraps: data keys (terms), the vault's seal key pair and its base key. Pure: no I/O.
 *
 * Every slot truly wraps the root key, so any one credential opens the vault; there is no slot that only authorises.
 *   passphrase   argon2id(passphrase)                          -> wraps root
 *   keyfile      HKDF(bytes of a file, >= 32)                  -> wraps root
 *   shamir       random key, split into shares, kept by people -> wraps root
 *
 * Text, one record per line, LF, no blank lines, fields by one space, hex in lower case, slots and terms ascending:
 *   sallyport-keys 1
 *   vault UUID
 *   generation N                                  rises by one with each rekey
 *   next N                                        id of the next slot; ids are not used twice
 *   slot ID passphrase OPS MEM_BYTES SALT WRAP LABEL
 *   slot ID keyfile SALT WRAP LABEL
 *   slot ID shamir THRESHOLD SHARES SET_ID SALT WRAP LABEL
 *   check HEX                                     tells a wrong root key from a damaged file
 *   base WRAP
 *   seal PUBLIC WRAP
 *   term N WRAP
 *   mac HEX                                       over all lines above, key from the root key
 * WRAP is an aead.h record whose associated data names vault, generation and place. A file that was edited by hand, a
 * slot or term removed or taken from another file does not open. An older copy of the whole file does open: it is the
 * caller's business to notice (generation, term count).
 *
 * Operations that change a file need the unsealed keyring; the caller then writes sp_slots_format()'s text to disk
 * (temporary file, fsync, rename) before it uses the change. */
#ifndef SP_CRYPTO_SLOTS_H
#define SP_CRYPTO_SLOTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "crypto/aead.h"
#include "crypto/kdf.h"
#include "crypto/keyring.h"
#include "crypto/shamir.h"

#define SP_SLOTS_MAX		16
#define SP_SLOT_LABEL_MAX	64	/* bytes, plain UTF-8 */
#define SP_SLOT_WRAP		(SP_KEY_LEN + SP_AEAD_OVERHEAD)
#define SP_SLOT_KEYFILE_MIN	32	/* bytes; at most SP_SLOT_KEYFILE_MAX */
#define SP_SLOT_KEYFILE_MAX	4096
#define SP_SLOTS_TEXT_MAX	((size_t)2 << 20)

enum sp_slot_kind { SP_SLOT_PASSPHRASE = 1, SP_SLOT_KEYFILE, SP_SLOT_SHAMIR };

struct sp_slot {
	uint32_t		id;		/* never reused within a file's life */
	enum sp_slot_kind	kind;
	struct sp_argon2	kdf;		/* salt for all kinds, costs for passphrase */
	uint8_t			threshold, shares;	/* shamir */
	uint8_t			set_id[SP_SHARE_SET_ID];
	uint8_t			wrap[SP_SLOT_WRAP];
	char			label[SP_SLOT_LABEL_MAX + 1];
};

struct sp_term_wrap {
	uint32_t	no;
	uint8_t		wrap[SP_SLOT_WRAP];
};

/* The parsed file. No plaintext key is in here; read what you like, change only through the functions below. */
struct sp_slots {
	struct sp_uuid		 vault;
	uint32_t		 generation;
	size_t			 slot_n;
	struct sp_slot		 slot[SP_SLOTS_MAX];
	uint32_t		 slot_next;	/* id of the next slot, above all others */
	uint8_t			 check[SP_KEY_LEN];
	uint8_t			 base_wrap[SP_SLOT_WRAP];
	uint8_t			 seal_pk[SP_KEY_LEN];
	uint8_t			 seal_wrap[SP_SLOT_WRAP];
	size_t			 term_n;
	struct sp_term_wrap	*term;
	uint8_t			 mac[SP_KEY_LEN];
};
#define sp_auto_slots	sp_auto(sp_slots_release) struct sp_slots

/* One credential, borrowed: bytes for passphrase and keyfile, shares for shamir. */
struct sp_slot_cred {
	enum sp_slot_kind	 kind;
	struct sp_view		 bytes;
	const struct sp_share	*shares;
	size_t			 share_n;
};

void		sp_slots_release(struct sp_slots *f);	/* safe on zeroed memory and twice */

/* Text to struct, strictly: what parses formats to the same bytes. SP_EFORMAT, SP_EVERSION, SP_ESIZE, SP_ENOMEM;
 * *why (may be NULL) gets a static sentence. No key is needed and nothing is authenticated yet. */
enum sp_err	sp_slots_parse(const char *text, size_t n, const char **why, struct sp_slots *ret) SP_MUST_USE;
/* Append the text. SP_ESTATE when there is no slot: such a file could never be opened. */
enum sp_err	sp_slots_format(const struct sp_slots *f, struct sp_buf *ret) SP_MUST_USE;

/* A new vault: root key, base key, seal pair, term 1; no slot yet, add one before writing it. */
enum sp_err	sp_slots_create(struct sp_slots *ret_file, struct sp_keyring *ret_keys) SP_MUST_USE;
/* Unseal. Tries each slot of the credential's kind (for a passphrase, one argon2id each).
 *   ret_slot   id of the slot that opened; may be NULL
 * SP_EAUTH: no slot accepts it. SP_ENOENT: no slot of that kind. SP_ECORRUPT: the slot opened but the rest of the file
 * does not match it. For shares also the errors of sp_shamir_combine. *why (may be NULL) gets a static sentence. */
enum sp_err	sp_slots_open(const struct sp_slots *f, const struct sp_slot_cred *cred, const char **why,
		    struct sp_keyring *ret_keys, uint32_t *ret_slot) SP_MUST_USE;

/* Add a slot. Label: 1..64 bytes of plain text. ret_id may be NULL. SP_EFULL, SP_EINVAL, SP_ESIZE, SP_ENOMEM. */
enum sp_err	sp_slots_add_passphrase(struct sp_slots *f, const struct sp_keyring *kr, const char *label,
		    struct sp_view passphrase, enum sp_argon2_cost cost, uint32_t *ret_id) SP_MUST_USE;
enum sp_err	sp_slots_add_keyfile(struct sp_slots *f, const struct sp_keyring *kr, const char *label,
		    struct sp_view bytes, uint32_t *ret_id) SP_MUST_USE;
/* Gives n shares in ret_shares[0..n-1], to be shown once and released. */
enum sp_err	sp_slots_add_shamir(struct sp_slots *f, const struct sp_keyring *kr, const char *label,
		    unsigned threshold, unsigned n, struct sp_share *ret_shares, uint32_t *ret_id) SP_MUST_USE;
/* SP_ENOENT; SP_ESTATE for the last slot. */
enum sp_err	sp_slots_remove(struct sp_slots *f, const struct sp_keyring *kr, uint32_t id) SP_MUST_USE;

/* rotate: a new data key becomes current, in file and keyring. SP_EFULL at SP_TERMS_MAX. */
enum sp_err	sp_slots_add_term(struct sp_slots *f, struct sp_keyring *kr, uint32_t *ret_term) SP_MUST_USE;
/* Forget an old data key once no record uses it. SP_ENOENT; SP_ESTATE for the current one. */
enum sp_err	sp_slots_drop_term(struct sp_slots *f, struct sp_keyring *kr, uint32_t term) SP_MUST_USE;

/* rekey: a new root key for the same terms, seal pair and base key. begin gives a second file and keyring without
 * slots; then each old slot is carried over with its credential (checked against the old file; same id and label) or
 * named in `dropped`, new ones may be added; finish refuses (SP_ESTATE) while an old slot is in neither list or none
 * is left, and changes nothing. Only then the caller writes `next` and forgets the old file and keyring.
 * carry: SP_ENOENT (no such slot), SP_EEXIST (already carried), SP_EAUTH; shares stay valid when carried. */
enum sp_err	sp_rekey_begin(const struct sp_slots *old, const struct sp_keyring *kr, struct sp_slots *ret_next,
		    struct sp_keyring *ret_keys) SP_MUST_USE;
enum sp_err	sp_rekey_carry(const struct sp_slots *old, uint32_t id, const struct sp_slot_cred *cred,
		    struct sp_slots *next, const struct sp_keyring *next_keys) SP_MUST_USE;
enum sp_err	sp_rekey_finish(const struct sp_slots *old, const struct sp_slots *next, const uint32_t *dropped,
		    size_t dropped_n) SP_MUST_USE;

#endif
