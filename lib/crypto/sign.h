/* lib/crypto/sign.h - signatures: plain Ed25519 for our own statements, and SSH keys for user-auth and certificates.
 *
 * A private SSH key is kept as a secret that holds the private section of openssh-key-v1 for one key, without comment
 * and padding (PROTOCOL.key of OpenSSH), called here its blob:
 *   string "ssh-ed25519"          string pk(32)  string seed||pk(64)
 *   string "ecdsa-sha2-nistpNNN"  string "nistpNNN"  string Q  mpint d
 *   string "ssh-rsa"              mpint n  mpint e  mpint d  mpint iqmp  mpint p  mpint q
 * It is canonical: every function checks it strictly, and that the public part belongs to the private one.
 * SHA-1 ("ssh-rsa" as a signature algorithm) and DSA do not exist here. RSA is 2048..16384 bits. */
#ifndef SP_CRYPTO_SIGN_H
#define SP_CRYPTO_SIGN_H

#include <stdint.h>

#include "base/buf.h"
#include "crypto/secret.h"

#define SP_ED25519_PK		32
#define SP_ED25519_SIG		64
enum sp_err	sp_ed25519_keypair(uint8_t ret_pk[SP_ED25519_PK], struct sp_secret *ret_sk) SP_MUST_USE;
/* The same pair from a 32-byte seed (RFC 8032 private key): for keys that are derived, not stored. */
enum sp_err	sp_ed25519_from_seed(const uint8_t seed[32], uint8_t ret_pk[SP_ED25519_PK], struct sp_secret *ret_sk)
		    SP_MUST_USE;
void		sp_ed25519_sign(const struct sp_secret *sk, struct sp_view msg, uint8_t ret[SP_ED25519_SIG]);
/* SP_OK or SP_EAUTH. */
enum sp_err	sp_ed25519_verify(const uint8_t pk[SP_ED25519_PK], struct sp_view msg, const uint8_t sig[SP_ED25519_SIG])
		    SP_MUST_USE;

#define SP_PRIVKEY_MAX		((size_t)16 * 1024)	/* blob, bytes */
#define SP_PRIVKEY_TEXT_MAX	((size_t)64 * 1024)	/* a file to import */

/* type: "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", or "ssh-rsa" (3072 bits).
 * SP_EINVAL for another name; SP_ENOMEM. RSA takes up to seconds. */
enum sp_err	sp_privkey_generate(const char *type, struct sp_secret *ret) SP_MUST_USE;
/* From the text of a key file: OPENSSH PRIVATE KEY, or PEM: PKCS#8, PKCS#1, SEC1; each also encrypted.
 *   passphrase   empty when there is none
 * SP_EFORMAT, SP_EAUTH (no or wrong passphrase), SP_EDENIED (a kind or size that we do not use), SP_EVERSION (a cipher of
 * the OpenSSH format that is not read), SP_ESIZE, SP_ENOMEM. A passphrase takes up to seconds. *why (may be NULL) gets a static sentence. */
enum sp_err	sp_privkey_import(struct sp_view text, struct sp_view passphrase, const char **why, struct sp_secret *ret)
		    SP_MUST_USE;
/* Append the text of an unencrypted OpenSSH key file: for a reveal. ret wipes what it grows out of. */
enum sp_err	sp_privkey_export(const struct sp_secret *key, const char *comment, struct sp_buf *ret) SP_MUST_USE;
/* Append the public key blob. SP_EFORMAT when key is not a valid blob. */
enum sp_err	sp_privkey_public(const struct sp_secret *key, struct sp_buf *ret) SP_MUST_USE;
/* Append an SSH signature blob (string algorithm, string signature) over data.
 *   algorithm   NULL for the key's own, "rsa-sha2-512" for RSA; or "rsa-sha2-256"
 * SP_EINVAL: algorithm does not fit the key. SP_EFORMAT: bad key. SP_EINTERNAL, SP_ENOMEM. */
enum sp_err	sp_privkey_sign(const struct sp_secret *key, const char *algorithm, struct sp_view data, struct sp_buf *ret)
		    SP_MUST_USE;
/* In the shape of sp_sign_fn of wire/sshcert.h; ctx is a const struct sp_secret *. */
enum sp_err	sp_privkey_sign_cb(void *ctx, struct sp_view data, struct sp_buf *ret) SP_MUST_USE;
/* Does this signature blob over data come from this public key blob? All key types of wire/sshkey.h, the sk ones
 * (security keys) too; user presence is for the caller to ask (wire/sshsig.h). SP_OK, SP_EAUTH; SP_EFORMAT, SP_ESHORT
 * for malformed input; SP_EINVAL when the algorithm does not fit the key. */
enum sp_err	sp_ssh_verify(struct sp_view public_blob, struct sp_view signature, struct sp_view data) SP_MUST_USE;

#endif
