/* lib/crypto/sealbox.c - see sealbox.h for the format. */
#include "crypto/sealbox.h"

#include <sodium.h>
#include <string.h>

static const char sealbox_magic[] = "SPB1";

#define SEALBOX_KIND_MAX	32
#define SEALBOX_HEAD_MAX	(4 + 4 + SEALBOX_KIND_MAX + SP_UUID_LEN + 4)

_Static_assert(SP_SEALBOX_KEY == crypto_box_PUBLICKEYBYTES && SP_SEALBOX_KEY == crypto_box_SECRETKEYBYTES, "key size");
_Static_assert(SP_SEALBOX_OVERHEAD == crypto_box_SEALBYTES + SEALBOX_HEAD_MAX, "overhead");

enum sp_err
sp_sealbox_keypair(uint8_t ret_pk[SP_SEALBOX_KEY], struct sp_secret *ret_sk)
{
	struct sp_secret sk = { 0 };
	enum sp_err r = sp_secret_alloc(SP_SEALBOX_KEY, &sk);

	if (r != SP_OK)
		return r;
	crypto_box_keypair(ret_pk, sk.p);
	*ret_sk = sk;
	return SP_OK;
}

/* Everything in front of the secret, its length included. */
static enum sp_err
sealbox_head(const struct sp_seal_context *ctx, size_t len, struct sp_buf *ret)
{
	enum sp_err r;

	if (!sp_name_is_safe(ctx->kind, SEALBOX_KIND_MAX))
		return SP_EINVAL;
	if ((r = sp_buf_append_str(ret, sealbox_magic)) != SP_OK || (r = sp_buf_put_cstring(ret, ctx->kind)) != SP_OK ||
	    (r = sp_buf_append(ret, ctx->id.b, sizeof(ctx->id.b))) != SP_OK)
		return r;
	return sp_buf_put_u32(ret, (uint32_t)len);
}

enum sp_err
sp_sealbox_seal(const uint8_t pk[SP_SEALBOX_KEY], const struct sp_seal_context *ctx, struct sp_view plain,
    struct sp_buf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf head = { .max = SEALBOX_HEAD_MAX };
	sp_auto_secret msg = { 0 };
	enum sp_err r;

	if (plain.len > SP_SEALBOX_PLAIN_MAX)
		return SP_ESIZE;
	if ((r = sealbox_head(ctx, plain.len, &head)) != SP_OK ||
	    (r = sp_secret_alloc(head.len + plain.len, &msg)) != SP_OK ||
	    (r = sp_buf_reserve(ret, msg.len + crypto_box_SEALBYTES)) != SP_OK)
		return r;
	memcpy(msg.p, head.p, head.len);
	if (plain.len > 0)
		memcpy(msg.p + head.len, plain.p, plain.len);
	if (crypto_box_seal(ret->p + ret->len, msg.p, msg.len, pk) != 0)
		return SP_EINVAL;	/* a public key of small order */
	ret->len += msg.len + crypto_box_SEALBYTES;
	ret->p[ret->len] = 0;
	return SP_OK;
}

enum sp_err
sp_sealbox_open(const uint8_t pk[SP_SEALBOX_KEY], const struct sp_secret *sk, const struct sp_seal_context *ctx,
    struct sp_view sealed, struct sp_secret *ret)
{
	sp_auto(sp_buf_release) struct sp_buf head = { .max = SEALBOX_HEAD_MAX };
	sp_auto_secret msg = { 0 };
	size_t len;
	enum sp_err r;

	if ((r = sealbox_head(ctx, 0, &head)) != SP_OK)
		return r;
	if (sk->len != SP_SEALBOX_KEY)
		return SP_EINVAL;
	if (sealed.len < crypto_box_SEALBYTES)
		return SP_ESHORT;
	if (sealed.len > SP_SEALBOX_MAX)
		return SP_ESIZE;
	if ((r = sp_secret_alloc(sealed.len - crypto_box_SEALBYTES, &msg)) != SP_OK)
		return r;
	if (crypto_box_seal_open(msg.p, sealed.p, sealed.len, pk, sk->p) != 0 || msg.len < head.len)
		return SP_EAUTH;
	/* The head that this context must have had, with the length that is left. */
	len = msg.len - head.len;
	sp_buf_reset(&head);
	if ((r = sealbox_head(ctx, len, &head)) != SP_OK)
		return r;
	if (!sp_ct_equal(msg.p, head.p, head.len))
		return SP_EAUTH;
	return sp_secret_from(msg.p + head.len, len, ret);
}
