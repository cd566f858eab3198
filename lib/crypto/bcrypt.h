/* lib/crypto/bcrypt.h - bcrypt_pbkdf, the key derivation of encrypted OpenSSH private keys. For reading those files only: our own
 * passphrases go through argon2id (kdf.h). Source: bcrypt_pbkdf(3) of OpenBSD; Provos and Mazieres 1999; Blowfish by Schneier.
 * Process: the command line, when a key is imported. */
#ifndef SP_CRYPTO_BCRYPT_H
#define SP_CRYPTO_BCRYPT_H

#include "base/buf.h"
#include "crypto/secret.h"

#define SP_BCRYPT_ROUNDS_MAX	1024	/* some seconds; ssh-keygen writes 16 or 24 */
#define SP_BCRYPT_SALT_MAX	64	/* bytes; ssh-keygen writes 16 */
#define SP_BCRYPT_KEY_MAX	1024	/* bytes of output */

/*
 * n bytes of key from a passphrase.
 *   passphrase, salt   borrowed, not empty
 *   rounds             1..SP_BCRYPT_ROUNDS_MAX
 *   ret                given, untouched on failure
 * SP_EINVAL (an empty or too large value), SP_ENOMEM. Takes about 5 ms per round and 32 bytes: not for an event loop.
 */
enum sp_err	sp_bcrypt_pbkdf(struct sp_view passphrase, struct sp_view salt, uint32_t rounds, size_t n, struct sp_secret *ret)
		    SP_MUST_USE;

#endif
