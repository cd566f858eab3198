/* lib/crypto/privkey.c - SSH private keys in their stored form (sign.h): read, check, make, sign.
 * Processes: vault; the command line for generate and import. */
#include "crypto/privkey.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <sodium.h>
#include <string.h>

#include "crypto/sign.h"

#define RSA_NEW_BITS	3072

/* A positive number in canonical form. */
static int
mpint_is_ok(struct sp_view m)
{
	if (m.len == 0 || m.len > SP_SSHKEY_RSA_MAX / 8 + 1 || (m.p[0] & 0x80) != 0)
		return 0;
	return m.p[0] != 0 || (m.len > 1 && (m.p[1] & 0x80) != 0);
}

static enum sp_err
read_ed25519(struct sp_view *v, struct sp_privkey *k)
{
	enum sp_err r;

	if ((r = sp_view_string(v, &k->pk)) != SP_OK || (r = sp_view_string(v, &k->sk)) != SP_OK)
		return r;
	return k->pk.len == SP_ED25519_PK && k->sk.len == crypto_sign_SECRETKEYBYTES ? SP_OK : SP_EFORMAT;
}

static enum sp_err
read_ecdsa(struct sp_view *v, struct sp_privkey *k)
{
	struct sp_view curve;
	enum sp_err r;

	if ((r = sp_view_string(v, &curve)) != SP_OK || (r = sp_view_string(v, &k->point)) != SP_OK ||
	    (r = sp_view_string(v, &k->d)) != SP_OK)
		return r;
	return sp_view_equal_str(curve, sp_sshkey_curve(k->type)) && mpint_is_ok(k->d) && k->d.len <= 67 ? SP_OK : SP_EFORMAT;
}

static enum sp_err
read_rsa(struct sp_view *v, struct sp_privkey *k)
{
	enum sp_err r;

	for (int i = 0; i < RSA_FIELDS; i++) {
		if ((r = sp_view_string(v, &k->rsa[i])) != SP_OK)
			return r;
		if (!mpint_is_ok(k->rsa[i]))
			return SP_EFORMAT;
	}
	return SP_OK;
}

enum sp_err
sp_privkey_read(struct sp_view *v, struct sp_privkey *ret)
{
	struct sp_privkey k = { .type = 0 };
	struct sp_view name, at = *v;
	enum sp_err r;

	if ((r = sp_view_string(&at, &name)) != SP_OK)
		return r;
	if (sp_sshkey_type_parse(name, &k.type) != SP_OK || sp_sshkey_is_sk(k.type))
		return SP_EDENIED;	/* dsa, certificates, keys that live in hardware */
	if (k.type == SP_SSHKEY_ED25519)
		r = read_ed25519(&at, &k);
	else
		r = k.type == SP_SSHKEY_RSA ? read_rsa(&at, &k) : read_ecdsa(&at, &k);
	if (r != SP_OK)
		return r;
	*v = at;
	*ret = k;
	return SP_OK;
}

enum sp_err
sp_privkey_put_public(const struct sp_privkey *k, struct sp_buf *ret)
{
	struct sp_sshkey pub = { .type = k->type, .e = k->rsa[RSA_E], .n = k->rsa[RSA_N] };

	pub.point = k->type == SP_SSHKEY_ED25519 ? k->pk : k->point;
	return sp_sshkey_encode(&pub, ret);
}

/* a * b mod m == want; 0 also when out of memory: then the key is refused, never accepted. */
static int
bn_product_is(const BIGNUM *a, const BIGNUM *b, const BIGNUM *m, const BIGNUM *want, BN_CTX *ctx)
{
	sp_auto(sp_bn_freep) BIGNUM *x = BN_new();

	if (x == NULL || !(m != NULL ? BN_mod_mul(x, a, b, m, ctx) : BN_mul(x, a, b, ctx)))
		return 0;
	return BN_cmp(x, want) == 0;
}

/* n = pq; de = 1 modulo p-1 and q-1; iqmp q = 1 modulo p. Primality is not tested: a key that is wrong there makes
 * signatures that do not verify, and nothing else. */
static enum sp_err
check_rsa(const struct sp_privkey *k)
{
	BIGNUM *b[RSA_FIELDS] = { 0 };
	sp_auto(sp_bn_freep) BIGNUM *p1 = NULL;
	sp_auto(sp_bn_freep) BIGNUM *q1 = NULL;
	sp_auto(sp_bn_ctx_freep) BN_CTX *ctx = BN_CTX_new();
	int ok = ctx != NULL;

	for (int i = 0; i < RSA_FIELDS; i++)
		if ((b[i] = BN_bin2bn(k->rsa[i].p, (int)k->rsa[i].len, NULL)) == NULL)
			ok = 0;
	if (ok) {
		p1 = BN_dup(b[RSA_P]);
		q1 = BN_dup(b[RSA_Q]);
		ok = p1 != NULL && q1 != NULL && BN_is_odd(p1) && BN_is_odd(q1) && BN_sub_word(p1, 1) && BN_sub_word(q1, 1) &&
		    !BN_is_zero(p1) && !BN_is_zero(q1);
	}
	ok = ok && bn_product_is(b[RSA_P], b[RSA_Q], NULL, b[RSA_N], ctx) &&
	    bn_product_is(b[RSA_D], b[RSA_E], p1, BN_value_one(), ctx) &&
	    bn_product_is(b[RSA_D], b[RSA_E], q1, BN_value_one(), ctx) &&
	    bn_product_is(b[RSA_IQMP], b[RSA_Q], b[RSA_P], BN_value_one(), ctx);
	for (int i = 0; i < RSA_FIELDS; i++)
		BN_clear_free(b[i]);
	return ok ? SP_OK : SP_EFORMAT;
}

static enum sp_err
check_ecdsa(const struct sp_privkey *k)
{
	sp_auto(sp_evp_freep) EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *ctx;
	enum sp_err r;
	int ok;

	if ((r = sp_evp_private(k, &key)) != SP_OK)
		return r;
	if ((ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL)) == NULL)
		return SP_ENOMEM;
	ok = EVP_PKEY_check(ctx) == 1;	/* point on the curve, d in range, and dG is the point */
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return ok ? SP_OK : SP_EFORMAT;
}

static enum sp_err
check_ed25519(const struct sp_privkey *k)
{
	uint8_t pk[SP_ED25519_PK];
	sp_auto_secret sk = { 0 };
	enum sp_err r = sp_secret_alloc(crypto_sign_SECRETKEYBYTES, &sk);

	if (r != SP_OK)
		return r;
	crypto_sign_seed_keypair(pk, sk.p, k->sk.p);
	return sp_ct_equal(pk, k->pk.p, sizeof(pk)) && sp_ct_equal(sk.p, k->sk.p, sk.len) ? SP_OK : SP_EFORMAT;
}

enum sp_err
sp_privkey_check(const struct sp_privkey *k)
{
	sp_auto(sp_buf_release) struct sp_buf pub = { .max = SP_SSHKEY_BLOB_MAX };
	struct sp_sshkey decoded;
	enum sp_err r = sp_privkey_put_public(k, &pub);

	if (r == SP_EINVAL) {
		/* say whether it is the size (a policy) or the form */
		if (k->type == SP_SSHKEY_RSA && (k->rsa[RSA_N].len <= SP_SSHKEY_RSA_MIN / 8 ||
		    k->rsa[RSA_N].len > SP_SSHKEY_RSA_MAX / 8))
			return SP_EDENIED;
		return SP_EFORMAT;
	}
	if (r != SP_OK || (r = sp_sshkey_decode((struct sp_view){ pub.p, pub.len }, &decoded)) != SP_OK)
		return r;
	if (k->type == SP_SSHKEY_ED25519)
		return check_ed25519(k);
	return k->type == SP_SSHKEY_RSA ? check_rsa(k) : check_ecdsa(k);
}

/* The whole secret is one key. */
static enum sp_err
privkey_decode(const struct sp_secret *key, struct sp_privkey *ret)
{
	struct sp_view v = sp_secret_view(key);
	struct sp_privkey k;
	enum sp_err r;

	if (v.len > SP_PRIVKEY_MAX)
		return SP_ESIZE;
	if (sp_privkey_read(&v, &k) != SP_OK || v.len != 0)
		return SP_EFORMAT;
	if ((r = sp_privkey_check(&k)) != SP_OK)
		return r == SP_EDENIED ? SP_EFORMAT : r;
	*ret = k;
	return SP_OK;
}

static enum sp_err
put_mpint(struct sp_buf *b, const BIGNUM *n)
{
	size_t len = (size_t)BN_num_bytes(n), pad = BN_num_bits(n) % 8 == 0 && len > 0;
	enum sp_err r;

	if ((r = sp_buf_reserve(b, 4 + pad + len)) != SP_OK || (r = sp_buf_put_u32(b, (uint32_t)(pad + len))) != SP_OK ||
	    (pad && (r = sp_buf_put_u8(b, 0)) != SP_OK))
		return r;
	BN_bn2bin(n, b->p + b->len);
	b->len += len;
	b->p[b->len] = 0;
	return SP_OK;
}

static enum sp_err
put_param(struct sp_buf *b, EVP_PKEY *pkey, const char *name)
{
	sp_auto(sp_bn_freep) BIGNUM *n = NULL;

	return EVP_PKEY_get_bn_param(pkey, name, &n) == 1 ? put_mpint(b, n) : SP_EDENIED;
}

static enum sp_err
from_evp_rsa(EVP_PKEY *pkey, struct sp_buf *b)
{
	static const char *const names[] = { OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_RSA_D,
	    OSSL_PKEY_PARAM_RSA_COEFFICIENT1, OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2 };
	enum sp_err r = sp_buf_put_cstring(b, "ssh-rsa");

	for (size_t i = 0; r == SP_OK && i < SP_NELEMS(names); i++)
		r = put_param(b, pkey, names[i]);
	return r;
}

/* 04 || x || y, whatever form the key was stored in. */
static enum sp_err
put_point(struct sp_buf *b, EVP_PKEY *pkey, size_t coord)
{
	sp_auto(sp_bn_freep) BIGNUM *x = NULL;
	sp_auto(sp_bn_freep) BIGNUM *y = NULL;
	enum sp_err r;

	if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_EC_PUB_X, &x) != 1 ||
	    EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, &y) != 1)
		return SP_EDENIED;
	if ((r = sp_buf_reserve(b, 4 + 1 + 2 * coord)) != SP_OK || (r = sp_buf_put_u32(b, (uint32_t)(1 + 2 * coord))) != SP_OK ||
	    (r = sp_buf_put_u8(b, 4)) != SP_OK)
		return r;
	if (BN_bn2binpad(x, b->p + b->len, (int)coord) < 0 || BN_bn2binpad(y, b->p + b->len + coord, (int)coord) < 0)
		return SP_EFORMAT;
	b->len += 2 * coord;
	return SP_OK;
}

static enum sp_err
from_evp_ec(EVP_PKEY *pkey, struct sp_buf *b)
{
	static const struct { const char *group; enum sp_sshkey_type type; size_t coord; } groups[] = {
		{ "prime256v1", SP_SSHKEY_ECDSA256, 32 }, { "secp384r1", SP_SSHKEY_ECDSA384, 48 },
		{ "secp521r1", SP_SSHKEY_ECDSA521, 66 },
	};
	char name[64];
	size_t i = 0;
	enum sp_err r;

	if (EVP_PKEY_get_group_name(pkey, name, sizeof(name), NULL) != 1)
		return SP_EDENIED;
	while (i < SP_NELEMS(groups) && strcmp(groups[i].group, name) != 0)
		i++;
	if (i == SP_NELEMS(groups))
		return SP_EDENIED;
	if ((r = sp_buf_put_cstring(b, sp_sshkey_type_name(groups[i].type))) != SP_OK ||
	    (r = sp_buf_put_cstring(b, sp_sshkey_curve(groups[i].type))) != SP_OK ||
	    (r = put_point(b, pkey, groups[i].coord)) != SP_OK)
		return r;
	return put_param(b, pkey, OSSL_PKEY_PARAM_PRIV_KEY);
}

static enum sp_err
put_ed25519(const uint8_t pk[SP_ED25519_PK], const struct sp_secret *sk, struct sp_buf *b)
{
	enum sp_err r;

	if ((r = sp_buf_put_cstring(b, "ssh-ed25519")) != SP_OK || (r = sp_buf_put_string(b, pk, SP_ED25519_PK)) != SP_OK)
		return r;
	return sp_buf_put_string(b, sk->p, sk->len);
}

static enum sp_err
from_evp_ed25519(EVP_PKEY *pkey, struct sp_buf *b)
{
	uint8_t pk[SP_ED25519_PK];
	sp_auto_secret seed = { 0 }, sk = { 0 };
	size_t n = 32;
	enum sp_err r = sp_secret_alloc(n, &seed);

	if (r != SP_OK)
		return r;
	if (EVP_PKEY_get_raw_private_key(pkey, seed.p, &n) != 1 || n != 32)
		return SP_EDENIED;
	if ((r = sp_ed25519_from_seed(seed.p, pk, &sk)) != SP_OK)
		return r;
	return put_ed25519(pk, &sk, b);
}

enum sp_err
sp_privkey_from_evp(EVP_PKEY *pkey, struct sp_secret *ret)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_PRIVKEY_MAX };
	struct sp_privkey k;
	struct sp_view v;
	enum sp_err r;

	switch (EVP_PKEY_get_base_id(pkey)) {
	case EVP_PKEY_ED25519:
		r = from_evp_ed25519(pkey, &b);
		break;
	case EVP_PKEY_EC:
		r = from_evp_ec(pkey, &b);
		break;
	case EVP_PKEY_RSA:
		if (EVP_PKEY_get_bits(pkey) < SP_SSHKEY_RSA_MIN || EVP_PKEY_get_bits(pkey) > SP_SSHKEY_RSA_MAX)
			return SP_EDENIED;
		r = from_evp_rsa(pkey, &b);
		break;
	default:
		r = SP_EDENIED;
	}
	ERR_clear_error();
	v = (struct sp_view){ b.p, b.len };
	if (r != SP_OK || (r = sp_privkey_read(&v, &k)) != SP_OK || (r = sp_privkey_check(&k)) != SP_OK)
		return r;
	return sp_secret_from(b.p, b.len, ret);
}

static enum sp_err
generate_ed25519(struct sp_secret *ret)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_PRIVKEY_MAX };
	uint8_t pk[SP_ED25519_PK];
	sp_auto_secret sk = { 0 };
	enum sp_err r;

	if ((r = sp_ed25519_keypair(pk, &sk)) != SP_OK || (r = put_ed25519(pk, &sk, &b)) != SP_OK)
		return r;
	return sp_secret_from(b.p, b.len, ret);
}

enum sp_err
sp_privkey_generate(const char *type, struct sp_secret *ret)
{
	struct sp_view name = { (const uint8_t *)type, strlen(type) };
	sp_auto(sp_evp_freep) EVP_PKEY *pkey = NULL;
	enum sp_sshkey_type t;

	if (sp_sshkey_type_parse(name, &t) != SP_OK || sp_sshkey_is_sk(t))
		return SP_EINVAL;
	if (t == SP_SSHKEY_ED25519)
		return generate_ed25519(ret);
	if (t == SP_SSHKEY_RSA)
		pkey = EVP_RSA_gen(RSA_NEW_BITS);
	else
		pkey = EVP_EC_gen(t == SP_SSHKEY_ECDSA256 ? "P-256" : t == SP_SSHKEY_ECDSA384 ? "P-384" : "P-521");
	if (pkey == NULL) {
		ERR_clear_error();
		return SP_EINTERNAL;
	}
	return sp_privkey_from_evp(pkey, ret);
}

enum sp_err
sp_privkey_public(const struct sp_secret *key, struct sp_buf *ret)
{
	struct sp_privkey k;
	enum sp_err r = privkey_decode(key, &k);

	return r == SP_OK ? sp_privkey_put_public(&k, ret) : r;
}

/* SEQUENCE { r, s } to mpint r, mpint s. */
static enum sp_err
put_ecdsa_signature(const uint8_t *der, size_t n, struct sp_buf *b)
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
	enum sp_err r;

	if (sig == NULL)
		return SP_EINTERNAL;
	if ((r = put_mpint(b, ECDSA_SIG_get0_r(sig))) == SP_OK)
		r = put_mpint(b, ECDSA_SIG_get0_s(sig));
	ECDSA_SIG_free(sig);
	return r;
}

/* The inner signature string of an RSA or ECDSA key. */
static enum sp_err
sign_evp(const struct sp_privkey *k, const char *algorithm, struct sp_view data, struct sp_buf *b)
{
	sp_auto(sp_evp_freep) EVP_PKEY *key = NULL;
	uint8_t out[SP_SSHKEY_RSA_MAX / 8];
	size_t n = sizeof(out);
	EVP_MD_CTX *ctx;
	enum sp_err r;
	int ok;

	if ((r = sp_evp_private(k, &key)) != SP_OK)
		return r;
	if ((ctx = EVP_MD_CTX_new()) == NULL)
		return SP_ENOMEM;
	ok = EVP_DigestSignInit(ctx, NULL, sp_evp_digest(k->type, algorithm), NULL, key) == 1 &&
	    EVP_DigestSign(ctx, out, &n, data.p, data.len) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	if (!ok)
		return SP_EINTERNAL;
	return k->type == SP_SSHKEY_RSA ? sp_buf_append(b, out, n) : put_ecdsa_signature(out, n, b);
}

static enum sp_err
sign_ed25519(const struct sp_privkey *k, struct sp_view data, struct sp_buf *b)
{
	uint8_t sig[SP_ED25519_SIG];

	crypto_sign_detached(sig, NULL, data.p, data.len, k->sk.p);
	return sp_buf_append(b, sig, sizeof(sig));
}

enum sp_err
sp_privkey_sign(const struct sp_secret *key, const char *algorithm, struct sp_view data, struct sp_buf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf sig = { .max = SP_SSHKEY_RSA_MAX / 8 };
	size_t len0 = ret->len;
	struct sp_privkey k;
	enum sp_err r;

	if ((r = privkey_decode(key, &k)) != SP_OK)
		return r;
	if (algorithm == NULL)
		algorithm = k.type == SP_SSHKEY_RSA ? "rsa-sha2-512" : sp_sshkey_type_name(k.type);
	if (!sp_sshkey_signs(k.type, (struct sp_view){ (const uint8_t *)algorithm, strlen(algorithm) }))
		return SP_EINVAL;
	r = k.type == SP_SSHKEY_ED25519 ? sign_ed25519(&k, data, &sig) : sign_evp(&k, algorithm, data, &sig);
	if (r != SP_OK)
		return r;
	if ((r = sp_buf_put_cstring(ret, algorithm)) != SP_OK || (r = sp_buf_put_string(ret, sig.p, sig.len)) != SP_OK)
		ret->len = len0;
	return r;
}

enum sp_err
sp_privkey_sign_cb(void *ctx, struct sp_view data, struct sp_buf *ret)
{
	const struct sp_secret *key = ctx;

	return sp_privkey_sign(key, NULL, data, ret);
}
