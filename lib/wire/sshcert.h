/* lib/wire/sshcert.h - OpenSSH user certificates (PROTOCOL.certkeys, draft-miller-ssh-cert). Pure: the signature comes
 * from a callback.
 * Invariants of what encodes and of what decodes: subject and CA keys are plain keys (no certificate inside a
 * certificate; no security key as subject); 1..SP_SSHCERT_PRINCIPALS_MAX principals of [A-Za-z0-9._@-] (an empty list
 * would mean "anyone"; a comma would split in authorized_keys); the validity is finite and not empty; options are
 * sorted and unique; critical options are among those named below. Decoding and encoding again gives the same bytes. */
#ifndef SP_WIRE_SSHCERT_H
#define SP_WIRE_SSHCERT_H

#include <stdint.h>

#include "base/buf.h"
#include "wire/sshkey.h"

#define SP_SSHCERT_MAX			((size_t)32 * 1024)	/* bytes, whole certificate */
#define SP_SSHCERT_NONCE		32
#define SP_SSHCERT_KEY_ID_MAX		255	/* bytes, plain text */
#define SP_SSHCERT_PRINCIPALS_MAX	32
#define SP_SSHCERT_PRINCIPAL_MAX	128	/* bytes */
#define SP_SSHCERT_OPTIONS_MAX		16	/* critical options; extensions likewise */
#define SP_SSHCERT_VALUE_MAX		4096	/* bytes in one option */

struct sp_sshcert_option {
	struct sp_view	name;
	struct sp_view	value;		/* inner string; p == NULL for a flag */
};

/* All views are borrowed. */
struct sp_sshcert {
	struct sp_sshkey	 key;		/* subject; for encoding fill it with sp_sshkey_decode() */
	struct sp_view		 nonce;		/* SP_SSHCERT_NONCE random bytes */
	uint64_t		 serial;
	struct sp_view		 key_id;
	size_t			 principal_n;
	struct sp_view		 principal[SP_SSHCERT_PRINCIPALS_MAX];
	uint64_t		 valid_after, valid_before;	/* seconds since 1970 UTC; after <= now < before */
	size_t			 critical_n;
	struct sp_sshcert_option critical[SP_SSHCERT_OPTIONS_MAX];
	size_t			 extension_n;
	struct sp_sshcert_option extension[SP_SSHCERT_OPTIONS_MAX];
	struct sp_view		 ca_key;	/* plain public key blob */
	struct sp_view		 signed_part;	/* set by decode: what the signature covers */
	struct sp_view		 signature;	/* set by decode; an sshsig.h blob */
};

/* Append a signature blob (sshsig.h) over data to *ret. crypto/sign.h has sp_privkey_sign_cb. */
typedef enum sp_err sp_sign_fn(void *ctx, struct sp_view data, struct sp_buf *ret);

/* "ssh-ed25519-cert-v01@openssh.com" etc.; NULL for a key type that cannot be a subject. */
const char	*sp_sshcert_type_name(enum sp_sshkey_type t);

/* Add an option in its sorted place; name and value are borrowed and must live as long as the struct is used.
 * value NULL for a flag. SP_EEXIST, SP_EFULL, SP_EINVAL (unknown critical option, value missing or not wanted). */
enum sp_err	sp_sshcert_add_critical(struct sp_sshcert *c, const char *name, const char *value) SP_MUST_USE;
enum sp_err	sp_sshcert_add_extension(struct sp_sshcert *c, const char *name, const char *value) SP_MUST_USE;
enum sp_err	sp_sshcert_add_principal(struct sp_sshcert *c, const char *name) SP_MUST_USE;	/* SP_EFULL, SP_EINVAL */

/* Append everything up to and with the CA key: what is to be signed. SP_EINVAL when an invariant is broken. */
enum sp_err	sp_sshcert_encode_body(const struct sp_sshcert *c, struct sp_buf *ret) SP_MUST_USE;
/* Append the whole certificate, signed by the callback over the body. The signature must be a well-formed blob of an
 * algorithm that fits ca_key, else SP_EINTERNAL; errors of the callback pass through. ret is unchanged on failure. */
enum sp_err	sp_sshcert_encode(const struct sp_sshcert *c, sp_sign_fn *sign, void *ctx, struct sp_buf *ret) SP_MUST_USE;
/* Strict. SP_EDENIED: host certificate, nested certificate, no or bad principals, endless validity, unknown critical
 * option. SP_EFORMAT, SP_ESHORT, SP_ESIZE, SP_EVERSION (not a certificate type we know). The signature is decoded, not
 * verified: use sp_ssh_verify(c.ca_key, c.signature, c.signed_part). */
enum sp_err	sp_sshcert_decode(struct sp_view blob, struct sp_sshcert *ret) SP_MUST_USE;
/* SP_OK if after <= now < before, else SP_EEXPIRED. */
enum sp_err	sp_sshcert_check_time(const struct sp_sshcert *c, uint64_t now_s) SP_MUST_USE;

#endif
