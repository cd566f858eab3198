/* lib/wire/sshcert.c - see sshcert.h. Field order and packing: PROTOCOL.certkeys of OpenSSH.
 * Encoding runs the decoder's checks on what it wrote, so there is one place for the rules. */
#include "wire/sshcert.h"

#include <string.h>

#include "base/str.h"
#include "wire/sshsig.h"

#define CERT_TYPE_USER	1u

static const char *const type_names[] = {
	[SP_SSHKEY_ED25519]	= "ssh-ed25519-cert-v01@openssh.com",
	[SP_SSHKEY_ECDSA256]	= "ecdsa-sha2-nistp256-cert-v01@openssh.com",
	[SP_SSHKEY_ECDSA384]	= "ecdsa-sha2-nistp384-cert-v01@openssh.com",
	[SP_SSHKEY_ECDSA521]	= "ecdsa-sha2-nistp521-cert-v01@openssh.com",
	[SP_SSHKEY_RSA]		= "ssh-rsa-cert-v01@openssh.com",
};

/* Critical options that we use and know how to judge, and whether they carry a value. */
static const struct { const char *name; int has_value; } criticals[] = {
	{ "force-command", 1 },
	{ "source-address", 1 },
	{ "verify-required", 0 },
};

const char *
sp_sshcert_type_name(enum sp_sshkey_type t)
{
	return t >= SP_SSHKEY_ED25519 && (size_t)t < SP_NELEMS(type_names) ? type_names[t] : NULL;
}

static struct sp_view
view_of(const char *s)
{
	return (struct sp_view){ (const uint8_t *)s, strlen(s) };
}

/* Bytewise order of two names, as OpenSSH sorts options. */
static int
name_compare(struct sp_view a, struct sp_view b)
{
	int c = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);

	return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static int
principal_is_ok(struct sp_view p)
{
	if (p.len == 0 || p.len > SP_SSHCERT_PRINCIPAL_MAX)
		return 0;
	for (size_t i = 0; i < p.len; i++)
		if (!((p.p[i] >= 'a' && p.p[i] <= 'z') || (p.p[i] >= 'A' && p.p[i] <= 'Z') ||
		    (p.p[i] >= '0' && p.p[i] <= '9') || p.p[i] == '.' || p.p[i] == '_' || p.p[i] == '@' || p.p[i] == '-'))
			return 0;
	return 1;
}

/* Printable ASCII without blanks, commas or '='. */
static int
option_name_is_ok(struct sp_view n)
{
	if (n.len == 0 || n.len > 64)
		return 0;
	for (size_t i = 0; i < n.len; i++)
		if (n.p[i] <= ' ' || n.p[i] >= 0x7f || n.p[i] == ',' || n.p[i] == '=')
			return 0;
	return 1;
}

static enum sp_err
critical_check(const struct sp_sshcert_option *o)
{
	for (size_t i = 0; i < SP_NELEMS(criticals); i++)
		if (sp_view_equal_str(o->name, criticals[i].name))
			return (o->value.p != NULL) == criticals[i].has_value ? SP_OK : SP_EFORMAT;
	return SP_EDENIED;
}

static enum sp_err
option_add(struct sp_sshcert_option *list, size_t *n, const char *name, const char *value)
{
	struct sp_sshcert_option o = { .name = view_of(name) };
	size_t at = *n;

	if (value != NULL)
		o.value = view_of(value);
	if (!option_name_is_ok(o.name) || (value != NULL && (o.value.len == 0 || o.value.len > SP_SSHCERT_VALUE_MAX)))
		return SP_EINVAL;
	if (*n >= SP_SSHCERT_OPTIONS_MAX)
		return SP_EFULL;
	while (at > 0 && name_compare(list[at - 1].name, o.name) > 0)
		at--;
	if (at > 0 && name_compare(list[at - 1].name, o.name) == 0)
		return SP_EEXIST;
	memmove(&list[at + 1], &list[at], (*n - at) * sizeof(list[0]));
	list[at] = o;
	(*n)++;
	return SP_OK;
}

enum sp_err
sp_sshcert_add_critical(struct sp_sshcert *c, const char *name, const char *value)
{
	struct sp_sshcert_option o = { .name = view_of(name) };

	if (value != NULL)
		o.value = view_of(value);
	if (critical_check(&o) != SP_OK)
		return SP_EINVAL;
	return option_add(c->critical, &c->critical_n, name, value);
}

enum sp_err
sp_sshcert_add_extension(struct sp_sshcert *c, const char *name, const char *value)
{
	return option_add(c->extension, &c->extension_n, name, value);
}

enum sp_err
sp_sshcert_add_principal(struct sp_sshcert *c, const char *name)
{
	if (!principal_is_ok(view_of(name)))
		return SP_EINVAL;
	if (c->principal_n >= SP_SSHCERT_PRINCIPALS_MAX)
		return SP_EFULL;
	c->principal[c->principal_n++] = view_of(name);
	return SP_OK;
}

/* --- decoding --- */

/* The subject key's fields stand between nonce and serial. They are put together as a plain blob by the caller when it
 * needs one; here only the parts are checked, by the rules of sshkey.c. */
static enum sp_err
cert_subject(struct sp_view *v, struct sp_sshkey *k)
{
	sp_auto(sp_buf_release) struct sp_buf plain = { .max = SP_SSHKEY_BLOB_MAX };
	struct sp_sshkey whole;
	struct sp_view curve;
	enum sp_err r;

	if (k->type == SP_SSHKEY_RSA) {
		if ((r = sp_view_string(v, &k->e)) != SP_OK || (r = sp_view_string(v, &k->n)) != SP_OK)
			return r;
	} else {
		if (sp_sshkey_curve(k->type) != NULL) {
			if ((r = sp_view_string(v, &curve)) != SP_OK)
				return r;
			if (!sp_view_equal_str(curve, sp_sshkey_curve(k->type)))
				return SP_EFORMAT;
		}
		if ((r = sp_view_string(v, &k->point)) != SP_OK)
			return r;
	}
	if ((r = sp_sshkey_encode(k, &plain)) != SP_OK)
		return r == SP_EINVAL ? SP_EFORMAT : r;
	if ((r = sp_sshkey_decode((struct sp_view){ plain.p, plain.len }, &whole)) == SP_OK)
		k->bits = whole.bits;
	return r;
}

static enum sp_err
cert_principals(struct sp_view list, struct sp_sshcert *c)
{
	enum sp_err r;

	if (list.len == 0)
		return SP_EDENIED;	/* would be valid for every user */
	while (list.len > 0) {
		if (c->principal_n >= SP_SSHCERT_PRINCIPALS_MAX)
			return SP_ESIZE;
		if ((r = sp_view_string(&list, &c->principal[c->principal_n])) != SP_OK)
			return r;
		if (!principal_is_ok(c->principal[c->principal_n]))
			return SP_EDENIED;
		c->principal_n++;
	}
	return SP_OK;
}

static enum sp_err
cert_option(struct sp_view *list, struct sp_sshcert_option *o)
{
	struct sp_view data;
	enum sp_err r;

	o->value = (struct sp_view){ 0 };
	if ((r = sp_view_string(list, &o->name)) != SP_OK || (r = sp_view_string(list, &data)) != SP_OK)
		return r;
	if (!option_name_is_ok(o->name))
		return SP_EFORMAT;
	if (data.len == 0)
		return SP_OK;
	if ((r = sp_view_string(&data, &o->value)) != SP_OK)
		return r;
	if (o->value.len > SP_SSHCERT_VALUE_MAX)
		return SP_ESIZE;
	return data.len == 0 && o->value.len > 0 ? SP_OK : SP_EFORMAT;
}

/* Packed options, sorted and unique. */
static enum sp_err
cert_options(struct sp_view list, struct sp_sshcert_option *o, size_t *n)
{
	enum sp_err r;

	while (list.len > 0) {
		if (*n >= SP_SSHCERT_OPTIONS_MAX)
			return SP_ESIZE;
		if ((r = cert_option(&list, &o[*n])) != SP_OK)
			return r;
		if (*n > 0 && name_compare(o[*n - 1].name, o[*n].name) >= 0)
			return SP_EFORMAT;
		(*n)++;
	}
	return SP_OK;
}

/* From nonce to validity. */
static enum sp_err
cert_head(struct sp_view *v, struct sp_sshcert *c)
{
	struct sp_view list;
	uint32_t type;
	enum sp_err r;

	if ((r = sp_view_string(v, &c->nonce)) != SP_OK || (r = cert_subject(v, &c->key)) != SP_OK ||
	    (r = sp_view_u64(v, &c->serial)) != SP_OK || (r = sp_view_u32(v, &type)) != SP_OK ||
	    (r = sp_view_string(v, &c->key_id)) != SP_OK || (r = sp_view_string(v, &list)) != SP_OK)
		return r;
	if (c->nonce.len != SP_SSHCERT_NONCE || c->key_id.len > SP_SSHCERT_KEY_ID_MAX ||
	    !sp_text_is_plain((const char *)c->key_id.p, c->key_id.len))
		return SP_EFORMAT;
	if (type != CERT_TYPE_USER)
		return SP_EDENIED;
	if ((r = cert_principals(list, c)) != SP_OK || (r = sp_view_u64(v, &c->valid_after)) != SP_OK ||
	    (r = sp_view_u64(v, &c->valid_before)) != SP_OK)
		return r;
	return c->valid_before != UINT64_MAX && c->valid_after < c->valid_before ? SP_OK : SP_EDENIED;
}

/* From critical options to the CA key. */
static enum sp_err
cert_tail(struct sp_view *v, struct sp_sshcert *c)
{
	struct sp_view critical, extension, reserved;
	struct sp_sshkey ca;
	enum sp_err r;

	if ((r = sp_view_string(v, &critical)) != SP_OK || (r = sp_view_string(v, &extension)) != SP_OK ||
	    (r = sp_view_string(v, &reserved)) != SP_OK || (r = sp_view_string(v, &c->ca_key)) != SP_OK)
		return r;
	if (reserved.len != 0)
		return SP_EFORMAT;
	if ((r = cert_options(critical, c->critical, &c->critical_n)) != SP_OK ||
	    (r = cert_options(extension, c->extension, &c->extension_n)) != SP_OK)
		return r;
	for (size_t i = 0; i < c->critical_n; i++)
		if ((r = critical_check(&c->critical[i])) != SP_OK)
			return r;
	return sp_sshkey_decode(c->ca_key, &ca);	/* SP_EDENIED for a certificate: no chains */
}

static enum sp_err
cert_type(struct sp_view name, enum sp_sshkey_type *ret)
{
	for (size_t t = SP_SSHKEY_ED25519; t < SP_NELEMS(type_names); t++)
		if (sp_view_equal_str(name, type_names[t])) {
			*ret = (enum sp_sshkey_type)t;
			return SP_OK;
		}
	return SP_EVERSION;
}

/* Everything before the signature. */
static enum sp_err
cert_decode_body(struct sp_view *v, struct sp_sshcert *c)
{
	struct sp_view name;
	enum sp_err r;

	if ((r = sp_view_string(v, &name)) != SP_OK || (r = cert_type(name, &c->key.type)) != SP_OK ||
	    (r = cert_head(v, c)) != SP_OK)
		return r;
	return cert_tail(v, c);
}

/* The signature must be well formed and of an algorithm that the CA key has. */
static enum sp_err
cert_signature_check(struct sp_view sig, struct sp_view ca_key)
{
	struct sp_sshsig s;
	struct sp_sshkey ca;
	enum sp_err r;

	if ((r = sp_sshsig_decode(sig, &s)) != SP_OK || (r = sp_sshkey_decode(ca_key, &ca)) != SP_OK)
		return r;
	return s.type == ca.type ? SP_OK : SP_EFORMAT;
}

enum sp_err
sp_sshcert_decode(struct sp_view blob, struct sp_sshcert *ret)
{
	struct sp_sshcert c = { .serial = 0 };
	struct sp_view v = blob;
	enum sp_err r;

	if (blob.len > SP_SSHCERT_MAX)
		return SP_ESIZE;
	if ((r = cert_decode_body(&v, &c)) != SP_OK)
		return r;
	c.signed_part = (struct sp_view){ blob.p, blob.len - v.len };
	if ((r = sp_view_string(&v, &c.signature)) != SP_OK)
		return r;
	if (v.len != 0)
		return SP_EFORMAT;
	if ((r = cert_signature_check(c.signature, c.ca_key)) != SP_OK)
		return r;
	*ret = c;
	return SP_OK;
}

enum sp_err
sp_sshcert_check_time(const struct sp_sshcert *c, uint64_t now_s)
{
	return c->valid_after <= now_s && now_s < c->valid_before ? SP_OK : SP_EEXPIRED;
}

/* --- encoding --- */

static enum sp_err
put_view(struct sp_buf *b, struct sp_view v)
{
	return sp_buf_put_string(b, v.p, v.len);
}

static enum sp_err
put_subject(struct sp_buf *b, const struct sp_sshkey *k)
{
	enum sp_err r;

	if (k->type == SP_SSHKEY_RSA)
		return (r = put_view(b, k->e)) == SP_OK ? put_view(b, k->n) : r;
	if (sp_sshkey_curve(k->type) != NULL && (r = sp_buf_put_cstring(b, sp_sshkey_curve(k->type))) != SP_OK)
		return r;
	return put_view(b, k->point);
}

/* A string that holds packed strings. */
static enum sp_err
put_principals(struct sp_buf *b, const struct sp_sshcert *c)
{
	size_t total = 0;
	enum sp_err r;

	for (size_t i = 0; i < c->principal_n; i++)
		total += 4 + c->principal[i].len;
	if ((r = sp_buf_put_u32(b, (uint32_t)total)) != SP_OK)
		return r;
	for (size_t i = 0; i < c->principal_n; i++)
		if ((r = put_view(b, c->principal[i])) != SP_OK)
			return r;
	return SP_OK;
}

static enum sp_err
put_options(struct sp_buf *b, const struct sp_sshcert_option *o, size_t n)
{
	size_t total = 0;
	enum sp_err r;

	for (size_t i = 0; i < n; i++)
		total += 8 + o[i].name.len + (o[i].value.p != NULL ? 4 + o[i].value.len : 0);
	if ((r = sp_buf_put_u32(b, (uint32_t)total)) != SP_OK)
		return r;
	for (size_t i = 0; i < n; i++) {
		if ((r = put_view(b, o[i].name)) != SP_OK ||
		    (r = sp_buf_put_u32(b, o[i].value.p != NULL ? (uint32_t)o[i].value.len + 4 : 0)) != SP_OK)
			return r;
		if (o[i].value.p != NULL && (r = put_view(b, o[i].value)) != SP_OK)
			return r;
	}
	return SP_OK;
}

static enum sp_err
put_body(struct sp_buf *b, const struct sp_sshcert *c)
{
	enum sp_err r;

	if ((r = sp_buf_put_cstring(b, sp_sshcert_type_name(c->key.type))) != SP_OK || (r = put_view(b, c->nonce)) != SP_OK ||
	    (r = put_subject(b, &c->key)) != SP_OK || (r = sp_buf_put_u64(b, c->serial)) != SP_OK ||
	    (r = sp_buf_put_u32(b, CERT_TYPE_USER)) != SP_OK || (r = put_view(b, c->key_id)) != SP_OK ||
	    (r = put_principals(b, c)) != SP_OK || (r = sp_buf_put_u64(b, c->valid_after)) != SP_OK ||
	    (r = sp_buf_put_u64(b, c->valid_before)) != SP_OK ||
	    (r = put_options(b, c->critical, c->critical_n)) != SP_OK ||
	    (r = put_options(b, c->extension, c->extension_n)) != SP_OK || (r = sp_buf_put_u32(b, 0)) != SP_OK)
		return r;
	return put_view(b, c->ca_key);
}

enum sp_err
sp_sshcert_encode_body(const struct sp_sshcert *c, struct sp_buf *ret)
{
	struct sp_sshcert check = { .serial = 0 };
	size_t len0 = ret->len;
	struct sp_view v;
	enum sp_err r;

	if (sp_sshcert_type_name(c->key.type) == NULL || c->principal_n > SP_SSHCERT_PRINCIPALS_MAX ||
	    c->critical_n > SP_SSHCERT_OPTIONS_MAX || c->extension_n > SP_SSHCERT_OPTIONS_MAX)
		return SP_EINVAL;
	if ((r = put_body(ret, c)) == SP_OK) {
		v = (struct sp_view){ ret->p + len0, ret->len - len0 };
		if ((r = cert_decode_body(&v, &check)) != SP_OK || v.len != 0)
			r = r == SP_ENOMEM ? r : SP_EINVAL;
	}
	if (r != SP_OK)
		ret->len = len0;
	return r;
}

enum sp_err
sp_sshcert_encode(const struct sp_sshcert *c, sp_sign_fn *sign, void *ctx, struct sp_buf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf sig = { .max = SP_SSHSIG_MAX };
	size_t len0 = ret->len;
	enum sp_err r;

	if ((r = sp_sshcert_encode_body(c, ret)) != SP_OK)
		return r;
	if ((r = sign(ctx, (struct sp_view){ ret->p + len0, ret->len - len0 }, &sig)) == SP_OK &&
	    cert_signature_check((struct sp_view){ sig.p, sig.len }, c->ca_key) != SP_OK)
		r = SP_EINTERNAL;
	if (r != SP_OK || (r = sp_buf_put_string(ret, sig.p, sig.len)) != SP_OK)
		ret->len = len0;
	return r;
}
