/* lib/crypto/kdf.h - keys from keys (HKDF) and keys or verifiers from passwords (argon2id).
 * Invariant: no cost parameter that comes from a file or database is used before it was checked against the limits
 * below, so that a changed record cannot make the process allocate without bound. */
#ifndef SP_CRYPTO_KDF_H
#define SP_CRYPTO_KDF_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "crypto/secret.h"

/* RFC 5869 with SHA-256. n is 1..255*32 (SP_ESIZE). out is given by the caller; untouched on failure. */
enum sp_err	sp_hkdf_sha256(struct sp_view ikm, struct sp_view salt, struct sp_view info, uint8_t *out, size_t n)
		    SP_MUST_USE;
/* A 32-byte sub-key of a 32-byte key: HKDF with info = "sallyport v1 " label NUL context. The label names the use and
 * is a constant of the program, 1..64 bytes. */
void		sp_kdf_subkey(const uint8_t key[32], const char *label, struct sp_view context, uint8_t ret[32]);

#define SP_ARGON2_SALT		16
#define SP_ARGON2_OPS_MAX	16
#define SP_ARGON2_MEM_MIN	((uint64_t)8 << 20)	/* bytes */
#define SP_ARGON2_MEM_MAX	((uint64_t)1 << 30)

enum sp_argon2_cost {
	SP_ARGON2_LIGHT,	/* 2 passes, 64 MiB: tests, and machines with little memory */
	SP_ARGON2_MODERATE,	/* 3 passes, 256 MiB, about half a second: the least for a real key slot */
	SP_ARGON2_SENSITIVE	/* 4 passes, 1 GiB, some seconds: the default of a passphrase slot */
};
struct sp_argon2 {
	uint32_t	ops;
	uint64_t	mem_bytes;	/* a multiple of 1 KiB */
	uint8_t		salt[SP_ARGON2_SALT];
};
/* Parameters of that cost with a fresh salt. */
void		sp_argon2_make(enum sp_argon2_cost cost, struct sp_argon2 *ret);
/* SP_OK, or SP_EINVAL when outside the limits. */
enum sp_err	sp_argon2_check(const struct sp_argon2 *a) SP_MUST_USE;
/* 32 bytes from a passphrase (1..SP_PASSWORD_MAX bytes). SP_EINVAL, SP_ESIZE, SP_ENOMEM. Takes seconds: not for an
 * event loop. */
enum sp_err	sp_argon2id(struct sp_view passphrase, const struct sp_argon2 *a, struct sp_secret *ret) SP_MUST_USE;

/* Login passwords: libsodium's crypto_pwhash_str text (PHC format), 2 passes, 64 MiB, about 80 ms. */
#define SP_PASSWORD_MAX		1024	/* bytes */
#define SP_PWHASH_SIZE		128	/* text with NUL */
#define SP_PWHASH_MEM_MAX	((uint64_t)256 << 20)	/* accepted from a stored hash */
#define SP_PWHASH_OPS_MAX	8
enum sp_err	sp_pwhash_make(struct sp_view password, char ret[SP_PWHASH_SIZE]) SP_MUST_USE;
/* SP_OK: it is that password. SP_EAUTH: it is not. SP_ECORRUPT: the stored text is not a hash of ours or its cost is
 * out of bounds. SP_ESIZE: longer than SP_PASSWORD_MAX. SP_ENOMEM. */
enum sp_err	sp_pwhash_verify(const char *stored, struct sp_view password) SP_MUST_USE;
/* The same work for a user that does not exist, so that time does not tell; always SP_EAUTH (or SP_ENOMEM). */
enum sp_err	sp_pwhash_verify_nobody(struct sp_view password) SP_MUST_USE;

#endif
