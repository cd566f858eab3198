/* lib/crypto/privkey.h - what privkey.c, privkey_text.c and sign.c share about SSH private keys; not for others. */
#ifndef SP_CRYPTO_PRIVKEY_H
#define SP_CRYPTO_PRIVKEY_H

#include <openssl/evp.h>

#include "crypto/secret.h"
#include "wire/sshkey.h"

enum { RSA_N, RSA_E, RSA_D, RSA_IQMP, RSA_P, RSA_Q, RSA_FIELDS };

/* A decoded private section; all views are borrowed from it. */
struct sp_privkey {
	enum sp_sshkey_type	type;
	struct sp_view		pk, sk;			/* ed25519; sk is seed || pk */
	struct sp_view		point, d;		/* ecdsa */
	struct sp_view		rsa[RSA_FIELDS];	/* mpint contents */
};

/* Read one key from the front of *v. Form only; the arithmetic is checked by sp_privkey_check(). */
enum sp_err	sp_privkey_read(struct sp_view *v, struct sp_privkey *ret) SP_MUST_USE;
/* Do the private and the public part belong together, and is the size one that we use? SP_EFORMAT, SP_EDENIED, SP_ENOMEM. */
enum sp_err	sp_privkey_check(const struct sp_privkey *k) SP_MUST_USE;
/* Append the public blob of decoded parts. */
enum sp_err	sp_privkey_put_public(const struct sp_privkey *k, struct sp_buf *ret) SP_MUST_USE;
/* The blob of an OpenSSL key. SP_EDENIED for a type or size that we do not use. */
enum sp_err	sp_privkey_from_evp(EVP_PKEY *pkey, struct sp_secret *ret) SP_MUST_USE;

/* OpenSSL keys from parts; the caller frees. SP_EFORMAT when OpenSSL refuses the values. */
enum sp_err	sp_evp_private(const struct sp_privkey *k, EVP_PKEY **ret) SP_MUST_USE;
enum sp_err	sp_evp_public(const struct sp_sshkey *k, EVP_PKEY **ret) SP_MUST_USE;
/* Digest of an SSH signature algorithm with that type of key. */
const EVP_MD	*sp_evp_digest(enum sp_sshkey_type t, const char *algorithm);
void		 sp_evp_freep(EVP_PKEY **p);
void		 sp_bn_freep(BIGNUM **b);	/* wiped */
void		 sp_bn_ctx_freep(BN_CTX **c);

#endif
