/* lib/crypto/evp.c - SSH key parts to OpenSSL keys. See privkey.h.
 * Numbers go to OpenSSL through parameters that lie in a locked page: OSSL_PARAM_BLD would leave copies on the heap. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

#include "crypto/privkey.h"

#define PARAMS_MAX	10

struct params {
	OSSL_PARAM	 p[PARAMS_MAX + 1];
	size_t		 n, used;
	struct sp_secret mem;
};

static const char *
evp_group(enum sp_sshkey_type t)
{
	switch (t) {
	case SP_SSHKEY_ECDSA256:
	case SP_SSHKEY_SK_ECDSA256:
		return "P-256";
	case SP_SSHKEY_ECDSA384:
		return "P-384";
	case SP_SSHKEY_ECDSA521:
		return "P-521";
	default:
		return NULL;
	}
}

const EVP_MD *
sp_evp_digest(enum sp_sshkey_type t, const char *algorithm)
{
	switch (t) {
	case SP_SSHKEY_ECDSA384:
		return EVP_sha384();
	case SP_SSHKEY_ECDSA521:
		return EVP_sha512();
	case SP_SSHKEY_RSA:
		return strcmp(algorithm, "rsa-sha2-256") == 0 ? EVP_sha256() : EVP_sha512();
	default:
		return EVP_sha256();
	}
}

void
sp_evp_freep(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
	*p = NULL;
}

void
sp_bn_freep(BIGNUM **b)
{
	BN_clear_free(*b);
	*b = NULL;
}

void
sp_bn_ctx_freep(BN_CTX **c)
{
	BN_CTX_free(*c);
	*c = NULL;
}

static enum sp_err
params_init(struct params *ps, size_t room)
{
	*ps = (struct params){ .n = 0 };
	return sp_secret_alloc(room, &ps->mem);
}

static void
params_release(struct params *ps)
{
	sp_secret_release(&ps->mem);
}

/* A number, big endian. */
static enum sp_err
params_number(struct params *ps, const char *name, struct sp_view be)
{
	sp_auto(sp_bn_freep) BIGNUM *b = be.len <= SP_SSHKEY_BLOB_MAX ? BN_bin2bn(be.p, (int)be.len, NULL) : NULL;
	size_t n;

	if (b == NULL)
		return SP_ENOMEM;
	n = (size_t)BN_num_bytes(b);
	n = n > 0 ? n : 1;
	if (ps->n >= PARAMS_MAX || ps->mem.len - ps->used < n)
		return SP_ESIZE;
	if (BN_bn2nativepad(b, ps->mem.p + ps->used, (int)n) < 0)
		return SP_EINTERNAL;
	ps->p[ps->n++] = OSSL_PARAM_construct_BN(name, ps->mem.p + ps->used, n);
	ps->used += n;
	return SP_OK;
}

/* Bytes as they are: the curve's name, a point. */
static enum sp_err
params_bytes(struct params *ps, const char *name, const void *p, size_t n, int is_text)
{
	uint8_t *dst = ps->mem.p + ps->used;

	if (ps->n >= PARAMS_MAX || ps->mem.len - ps->used < n + 1)
		return SP_ESIZE;
	memcpy(dst, p, n);
	dst[n] = 0;
	ps->p[ps->n++] = is_text ? OSSL_PARAM_construct_utf8_string(name, (char *)dst, n) :
	    OSSL_PARAM_construct_octet_string(name, dst, n);
	ps->used += n + 1;
	return SP_OK;
}

static enum sp_err
params_key(struct params *ps, const char *type, int selection, EVP_PKEY **ret)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;
	int ok;

	if (ctx == NULL)
		return SP_ENOMEM;
	ps->p[ps->n] = OSSL_PARAM_construct_end();
	ok = EVP_PKEY_fromdata_init(ctx) == 1 && EVP_PKEY_fromdata(ctx, &key, selection, ps->p) == 1;
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	if (!ok)
		return SP_EFORMAT;
	*ret = key;
	return SP_OK;
}

static enum sp_err
params_ec(struct params *ps, enum sp_sshkey_type t, struct sp_view point)
{
	const char *group = evp_group(t);
	enum sp_err r;

	if (group == NULL)
		return SP_EINVAL;
	if ((r = params_bytes(ps, OSSL_PKEY_PARAM_GROUP_NAME, group, strlen(group), 1)) != SP_OK)
		return r;
	return params_bytes(ps, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.len, 0);
}

enum sp_err
sp_evp_public(const struct sp_sshkey *k, EVP_PKEY **ret)
{
	sp_auto(params_release) struct params ps;
	enum sp_err r = params_init(&ps, 4096);

	if (r != SP_OK)
		return r;
	if (k->type != SP_SSHKEY_RSA)
		return (r = params_ec(&ps, k->type, k->point)) == SP_OK ? params_key(&ps, "EC", EVP_PKEY_PUBLIC_KEY, ret) : r;
	if ((r = params_number(&ps, OSSL_PKEY_PARAM_RSA_N, k->n)) != SP_OK ||
	    (r = params_number(&ps, OSSL_PKEY_PARAM_RSA_E, k->e)) != SP_OK)
		return r;
	return params_key(&ps, "RSA", EVP_PKEY_PUBLIC_KEY, ret);
}

/* d mod (prime - 1), which the SSH form leaves out. */
static enum sp_err
params_exponent(struct params *ps, const char *name, const struct sp_view rsa[RSA_FIELDS], int prime)
{
	sp_auto(sp_bn_freep) BIGNUM *d = BN_bin2bn(rsa[RSA_D].p, (int)rsa[RSA_D].len, NULL);
	sp_auto(sp_bn_freep) BIGNUM *p = BN_bin2bn(rsa[prime].p, (int)rsa[prime].len, NULL);
	sp_auto(sp_bn_freep) BIGNUM *e = BN_new();
	sp_auto(sp_bn_ctx_freep) BN_CTX *ctx = BN_CTX_new();
	sp_auto_secret be = { 0 };
	enum sp_err r;

	if (d == NULL || p == NULL || e == NULL || ctx == NULL)
		return SP_ENOMEM;
	BN_set_flags(d, BN_FLG_CONSTTIME);
	BN_set_flags(p, BN_FLG_CONSTTIME);
	if (!BN_sub_word(p, 1) || BN_is_zero(p) || !BN_mod(e, d, p, ctx))
		return SP_EFORMAT;
	if ((r = sp_secret_alloc((size_t)BN_num_bytes(p), &be)) != SP_OK)
		return r;
	if (BN_bn2binpad(e, be.p, (int)be.len) < 0)
		return SP_EINTERNAL;
	return params_number(ps, name, sp_secret_view(&be));
}

static enum sp_err
params_rsa(struct params *ps, const struct sp_view rsa[RSA_FIELDS])
{
	static const struct { const char *name; int field; } numbers[] = {
		{ OSSL_PKEY_PARAM_RSA_N, RSA_N }, { OSSL_PKEY_PARAM_RSA_E, RSA_E }, { OSSL_PKEY_PARAM_RSA_D, RSA_D },
		{ OSSL_PKEY_PARAM_RSA_FACTOR1, RSA_P }, { OSSL_PKEY_PARAM_RSA_FACTOR2, RSA_Q },
		{ OSSL_PKEY_PARAM_RSA_COEFFICIENT1, RSA_IQMP },
	};
	enum sp_err r;

	for (size_t i = 0; i < SP_NELEMS(numbers); i++)
		if ((r = params_number(ps, numbers[i].name, rsa[numbers[i].field])) != SP_OK)
			return r;
	if ((r = params_exponent(ps, OSSL_PKEY_PARAM_RSA_EXPONENT1, rsa, RSA_P)) != SP_OK)
		return r;
	return params_exponent(ps, OSSL_PKEY_PARAM_RSA_EXPONENT2, rsa, RSA_Q);
}

enum sp_err
sp_evp_private(const struct sp_privkey *k, EVP_PKEY **ret)
{
	sp_auto(params_release) struct params ps;
	enum sp_err r = params_init(&ps, SP_SSHKEY_BLOB_MAX * 2);

	if (r != SP_OK)
		return r;
	if (k->type == SP_SSHKEY_RSA)
		return (r = params_rsa(&ps, k->rsa)) == SP_OK ? params_key(&ps, "RSA", EVP_PKEY_KEYPAIR, ret) : r;
	if ((r = params_ec(&ps, k->type, k->point)) != SP_OK ||
	    (r = params_number(&ps, OSSL_PKEY_PARAM_PRIV_KEY, k->d)) != SP_OK)
		return r;
	return params_key(&ps, "EC", EVP_PKEY_KEYPAIR, ret);
}
