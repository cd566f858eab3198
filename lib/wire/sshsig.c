/* lib/wire/sshsig.c - see sshsig.h. */
#include "wire/sshsig.h"

#include <string.h>

#include "base/str.h"

/* Which key an algorithm needs. */
static enum sp_err
sig_type(struct sp_view alg, enum sp_sshkey_type *ret)
{
	if (sp_sshkey_signs(SP_SSHKEY_RSA, alg)) {
		*ret = SP_SSHKEY_RSA;
		return SP_OK;
	}
	if (sp_view_equal_str(alg, "ssh-rsa"))
		return SP_EDENIED;
	return sp_sshkey_type_parse(alg, ret) == SP_OK ? SP_OK : SP_EVERSION;
}

/* A positive canonical mpint of at most `bits`. */
static int
sig_number_is_ok(struct sp_view m, unsigned bits)
{
	if (m.len == 0 || (m.p[0] & 0x80) != 0)
		return 0;
	if (m.p[0] == 0 && (m.len == 1 || (m.p[1] & 0x80) == 0))
		return 0;
	return m.len - (m.p[0] == 0) <= (bits + 7) / 8;
}

static enum sp_err
sig_ecdsa(struct sp_sshsig *s)
{
	unsigned bits = s->type == SP_SSHKEY_ECDSA521 ? 521 : s->type == SP_SSHKEY_ECDSA384 ? 384 : 256;
	struct sp_view v = s->sig;
	enum sp_err r;

	if ((r = sp_view_string(&v, &s->r)) != SP_OK || (r = sp_view_string(&v, &s->s)) != SP_OK)
		return r;
	return v.len == 0 && sig_number_is_ok(s->r, bits) && sig_number_is_ok(s->s, bits) ? SP_OK : SP_EFORMAT;
}

static enum sp_err
sig_body(struct sp_sshsig *s)
{
	if (sp_sshkey_curve(s->type) != NULL)
		return sig_ecdsa(s);
	if (s->type == SP_SSHKEY_RSA)
		return s->sig.len >= SP_SSHKEY_RSA_MIN / 8 && s->sig.len <= SP_SSHKEY_RSA_MAX / 8 ? SP_OK : SP_EFORMAT;
	return s->sig.len == 64 ? SP_OK : SP_EFORMAT;
}

enum sp_err
sp_sshsig_decode(struct sp_view blob, struct sp_sshsig *ret)
{
	struct sp_sshsig s = { .sk_flags = 0 };
	struct sp_view v = blob, alg;
	enum sp_err r;

	if (blob.len > SP_SSHSIG_MAX)
		return SP_ESIZE;
	if ((r = sp_view_string(&v, &alg)) != SP_OK || (r = sig_type(alg, &s.type)) != SP_OK ||
	    (r = sp_view_string(&v, &s.sig)) != SP_OK || (r = sig_body(&s)) != SP_OK)
		return r;
	if (sp_sshkey_is_sk(s.type) &&
	    ((r = sp_view_u8(&v, &s.sk_flags)) != SP_OK || (r = sp_view_u32(&v, &s.sk_counter)) != SP_OK))
		return r;
	if (v.len != 0)
		return SP_EFORMAT;
	memcpy(s.algorithm, alg.p, alg.len);	/* one of the known names: it fits */
	*ret = s;
	return SP_OK;
}

enum sp_err
sp_sshsig_encode(const struct sp_sshsig *s, struct sp_buf *ret)
{
	struct sp_sshsig check;
	enum sp_sshkey_type t;
	size_t len0 = ret->len;
	enum sp_err r;

	if (sig_type((struct sp_view){ (const uint8_t *)s->algorithm, strnlen(s->algorithm, sizeof(s->algorithm)) }, &t) !=
	    SP_OK)
		return SP_EINVAL;
	if ((r = sp_buf_put_string(ret, s->algorithm, strlen(s->algorithm))) == SP_OK &&
	    (r = sp_buf_put_string(ret, s->sig.p, s->sig.len)) == SP_OK && sp_sshkey_is_sk(t) &&
	    (r = sp_buf_put_u8(ret, s->sk_flags)) == SP_OK)
		r = sp_buf_put_u32(ret, s->sk_counter);
	if (r == SP_OK && sp_sshsig_decode((struct sp_view){ ret->p + len0, ret->len - len0 }, &check) != SP_OK)
		r = SP_EINVAL;
	if (r != SP_OK)
		ret->len = len0;
	return r;
}

int
sp_sshsig_sk_user_present(const struct sp_sshsig *s)
{
	return sp_sshkey_is_sk(s->type) && (s->sk_flags & SP_SK_USER_PRESENT) != 0;
}
