/* lib/crypto/sign.c - Ed25519 for our own statements, and verification of SSH signatures. See sign.h. */
#include "crypto/sign.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>

#include "crypto/hash.h"
#include "crypto/privkey.h"
#include "wire/sshkey.h"
#include "wire/sshsig.h"

_Static_assert(SP_ED25519_PK == crypto_sign_PUBLICKEYBYTES && SP_ED25519_SIG == crypto_sign_BYTES, "sizes");

enum sp_err
sp_ed25519_from_seed(const uint8_t seed[32], uint8_t ret_pk[SP_ED25519_PK], struct sp_secret *ret_sk)
{
	struct sp_secret sk = { 0 };
	enum sp_err r = sp_secret_alloc(crypto_sign_SECRETKEYBYTES, &sk);

	if (r != SP_OK)
		return r;
	crypto_sign_seed_keypair(ret_pk, sk.p, seed);
	*ret_sk = sk;
	return SP_OK;
}

enum sp_err
sp_ed25519_keypair(uint8_t ret_pk[SP_ED25519_PK], struct sp_secret *ret_sk)
{
	sp_auto_secret seed = { 0 };
	enum sp_err r = sp_secret_random(crypto_sign_SEEDBYTES, &seed);

	return r == SP_OK ? sp_ed25519_from_seed(seed.p, ret_pk, ret_sk) : r;
}

void
sp_ed25519_sign(const struct sp_secret *sk, struct sp_view msg, uint8_t ret[SP_ED25519_SIG])
{
	crypto_sign_detached(ret, NULL, msg.p, msg.len, sk->p);
}

enum sp_err
sp_ed25519_verify(const uint8_t pk[SP_ED25519_PK], struct sp_view msg, const uint8_t sig[SP_ED25519_SIG])
{
	return crypto_sign_verify_detached(sig, msg.p, msg.len, pk) == 0 ? SP_OK : SP_EAUTH;
}

/* mpint r, mpint s to DER, allocated by OpenSSL; 0 bytes on failure. */
static size_t
verify_der(const struct sp_sshsig *s, uint8_t **ret)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(s->r.p, (int)s->r.len, NULL), *t = BN_bin2bn(s->s.p, (int)s->s.len, NULL);
	int n;

	if (sig == NULL || r == NULL || t == NULL || ECDSA_SIG_set0(sig, r, t) != 1) {
		ECDSA_SIG_free(sig);
		BN_free(r);
		BN_free(t);
		return 0;
	}
	n = i2d_ECDSA_SIG(sig, ret);	/* sig owns r and t */
	ECDSA_SIG_free(sig);
	return n > 0 ? (size_t)n : 0;
}

static enum sp_err
verify_evp(const struct sp_sshkey *k, const struct sp_sshsig *s, struct sp_view data)
{
	sp_auto(sp_evp_freep) EVP_PKEY *key = NULL;
	struct sp_view sig = s->sig;
	uint8_t *der = NULL;
	EVP_MD_CTX *ctx;
	enum sp_err r;
	int ok;

	if ((r = sp_evp_public(k, &key)) != SP_OK)
		return r;
	if (k->type != SP_SSHKEY_RSA) {
		if ((sig.len = verify_der(s, &der)) == 0)
			return SP_ENOMEM;
		sig.p = der;
	}
	ctx = EVP_MD_CTX_new();
	ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, sp_evp_digest(k->type, s->algorithm), NULL, key) == 1 &&
	    EVP_DigestVerify(ctx, sig.p, sig.len, data.p, data.len) == 1;
	EVP_MD_CTX_free(ctx);
	OPENSSL_free(der);
	ERR_clear_error();
	return ok ? SP_OK : SP_EAUTH;
}

/* What a security key signs: SHA256(application) || flags || counter || SHA256(data). PROTOCOL.u2f. */
#define SK_MESSAGE	(SP_SHA256_LEN + 1 + 4 + SP_SHA256_LEN)
static void
sk_message(const struct sp_sshkey *k, const struct sp_sshsig *s, struct sp_view data, uint8_t ret[SK_MESSAGE])
{
	sp_sha256(k->application.p, k->application.len, ret);
	ret[32] = s->sk_flags;
	for (int i = 0; i < 4; i++)
		ret[33 + i] = (uint8_t)(s->sk_counter >> (24 - 8 * i));
	sp_sha256(data.p, data.len, ret + 37);
}

enum sp_err
sp_ssh_verify(struct sp_view public_blob, struct sp_view signature, struct sp_view data)
{
	uint8_t msg[SK_MESSAGE];
	struct sp_sshkey k;
	struct sp_sshsig s;
	enum sp_err r;

	if ((r = sp_sshkey_decode(public_blob, &k)) != SP_OK || (r = sp_sshsig_decode(signature, &s)) != SP_OK)
		return r;
	if (s.type != k.type)
		return SP_EINVAL;
	if (sp_sshkey_is_sk(k.type)) {
		sk_message(&k, &s, data, msg);
		data = (struct sp_view){ msg, sizeof(msg) };
	}
	if (sp_sshkey_curve(k.type) == NULL && k.type != SP_SSHKEY_RSA)
		return sp_ed25519_verify(k.point.p, data, s.sig.p);
	return verify_evp(&k, &s, data);
}
