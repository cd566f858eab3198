/* lib/wire/sshkey.c - see sshkey.h. One table drives names, curves and sizes. */
#include "wire/sshkey.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static const struct key_kind {
	const char	*name, *curve;
	unsigned	 bits;
	size_t		 point;		/* bytes of Q, or of an Ed25519 key */
	int		 is_sk;
} kinds[] = {
	[SP_SSHKEY_ED25519]	= { "ssh-ed25519", NULL, 256, 32, 0 },
	[SP_SSHKEY_ECDSA256]	= { "ecdsa-sha2-nistp256", "nistp256", 256, 65, 0 },
	[SP_SSHKEY_ECDSA384]	= { "ecdsa-sha2-nistp384", "nistp384", 384, 97, 0 },
	[SP_SSHKEY_ECDSA521]	= { "ecdsa-sha2-nistp521", "nistp521", 521, 133, 0 },
	[SP_SSHKEY_RSA]		= { "ssh-rsa", NULL, 0, 0, 0 },
	[SP_SSHKEY_SK_ED25519]	= { "sk-ssh-ed25519@openssh.com", NULL, 256, 32, 1 },
	[SP_SSHKEY_SK_ECDSA256]	= { "sk-ecdsa-sha2-nistp256@openssh.com", "nistp256", 256, 65, 1 },
};

static const struct key_kind *
key_kind(enum sp_sshkey_type t)
{
	return t >= SP_SSHKEY_ED25519 && (size_t)t < SP_NELEMS(kinds) ? &kinds[t] : NULL;
}

const char *
sp_sshkey_type_name(enum sp_sshkey_type t)
{
	const struct key_kind *k = key_kind(t);

	return k != NULL ? k->name : NULL;
}

enum sp_err
sp_sshkey_type_parse(struct sp_view name, enum sp_sshkey_type *ret)
{
	for (size_t t = SP_SSHKEY_ED25519; t < SP_NELEMS(kinds); t++)
		if (sp_view_equal_str(name, kinds[t].name)) {
			*ret = (enum sp_sshkey_type)t;
			return SP_OK;
		}
	return SP_ENOENT;
}

const char *
sp_sshkey_curve(enum sp_sshkey_type t)
{
	const struct key_kind *k = key_kind(t);

	return k != NULL ? k->curve : NULL;
}

int
sp_sshkey_is_sk(enum sp_sshkey_type t)
{
	const struct key_kind *k = key_kind(t);

	return k != NULL && k->is_sk;
}

int
sp_sshkey_signs(enum sp_sshkey_type t, struct sp_view algorithm)
{
	const struct key_kind *k = key_kind(t);

	if (t == SP_SSHKEY_RSA)
		return sp_view_equal_str(algorithm, "rsa-sha2-256") || sp_view_equal_str(algorithm, "rsa-sha2-512");
	return k != NULL && sp_view_equal_str(algorithm, k->name);
}

/* Does a type name belong to a certificate? They all contain "-cert-v". */
static int
name_is_cert(struct sp_view name)
{
	static const char mark[] = "-cert-v";

	return name.len > 0 && memmem(name.p, name.len, mark, sizeof(mark) - 1) != NULL;
}

/* Contents of a positive mpint in canonical form (RFC 4251 section 5), of at most max bits; its bits, or 0. */
static unsigned
mpint_bits(struct sp_view m, unsigned max)
{
	unsigned bits;

	if (m.len > 0 && m.p[0] == 0) {
		m.p++;
		m.len--;
		if (m.len == 0 || (m.p[0] & 0x80) == 0)
			return 0;	/* zero, or a needless leading byte */
	} else if (m.len == 0 || (m.p[0] & 0x80) != 0) {
		return 0;		/* zero or negative */
	}
	if (m.len > (max + 7) / 8)
		return 0;
	bits = (unsigned)(m.len - 1) * 8;
	for (uint8_t top = m.p[0]; top != 0; top >>= 1)
		bits++;
	return bits <= max ? bits : 0;
}

static enum sp_err
key_decode_rsa(struct sp_view *v, struct sp_sshkey *k)
{
	enum sp_err r;

	if ((r = sp_view_string(v, &k->e)) != SP_OK || (r = sp_view_string(v, &k->n)) != SP_OK)
		return r;
	/* e: odd, above 1, at most 64 bits. n: odd. */
	if (mpint_bits(k->e, 64) < 2 || (k->e.p[k->e.len - 1] & 1) == 0)
		return SP_EFORMAT;
	if (k->n.len > SP_SSHKEY_RSA_MAX / 8 + 1)
		return SP_EDENIED;
	k->bits = mpint_bits(k->n, (SP_SSHKEY_RSA_MAX / 8 + 1) * 8);
	if (k->bits == 0 || (k->n.p[k->n.len - 1] & 1) == 0)
		return SP_EFORMAT;
	return k->bits >= SP_SSHKEY_RSA_MIN && k->bits <= SP_SSHKEY_RSA_MAX ? SP_OK : SP_EDENIED;
}

static enum sp_err
key_decode_point(struct sp_view *v, struct sp_sshkey *k)
{
	const struct key_kind *kind = key_kind(k->type);
	struct sp_view curve;
	enum sp_err r;

	if (kind->curve != NULL) {
		if ((r = sp_view_string(v, &curve)) != SP_OK)
			return r;
		if (!sp_view_equal_str(curve, kind->curve))
			return SP_EFORMAT;
	}
	if ((r = sp_view_string(v, &k->point)) != SP_OK)
		return r;
	if (k->point.len != kind->point || (kind->curve != NULL && k->point.p[0] != 4))
		return SP_EFORMAT;	/* compressed points are not used in SSH */
	if (kind->is_sk) {
		if ((r = sp_view_string(v, &k->application)) != SP_OK)
			return r;
		if (k->application.len == 0 || k->application.len > SP_SSHKEY_APP_MAX ||
		    !sp_text_is_plain((const char *)k->application.p, k->application.len))
			return SP_EFORMAT;
	}
	k->bits = kind->bits;
	return SP_OK;
}

enum sp_err
sp_sshkey_decode(struct sp_view blob, struct sp_sshkey *ret)
{
	struct sp_sshkey k = { .blob = blob };
	struct sp_view v = blob, name;
	enum sp_err r;

	if (blob.len > SP_SSHKEY_BLOB_MAX)
		return SP_ESIZE;
	if ((r = sp_view_string(&v, &name)) != SP_OK)
		return r;
	if (name_is_cert(name))
		return SP_EDENIED;
	if (sp_sshkey_type_parse(name, &k.type) != SP_OK)
		return SP_EVERSION;
	r = k.type == SP_SSHKEY_RSA ? key_decode_rsa(&v, &k) : key_decode_point(&v, &k);
	if (r != SP_OK)
		return r;
	if (v.len != 0)
		return SP_EFORMAT;
	*ret = k;
	return SP_OK;
}

static enum sp_err
put_view(struct sp_buf *b, struct sp_view v)
{
	return sp_buf_put_string(b, v.p, v.len);
}

static enum sp_err
key_put_parts(const struct sp_sshkey *key, struct sp_buf *b)
{
	const struct key_kind *k = key_kind(key->type);
	enum sp_err r;

	if ((r = sp_buf_put_cstring(b, k->name)) != SP_OK)
		return r;
	if (key->type == SP_SSHKEY_RSA)
		return (r = put_view(b, key->e)) == SP_OK ? put_view(b, key->n) : r;
	if (k->curve != NULL && (r = sp_buf_put_cstring(b, k->curve)) != SP_OK)
		return r;
	if ((r = put_view(b, key->point)) != SP_OK)
		return r;
	return k->is_sk ? put_view(b, key->application) : SP_OK;
}

enum sp_err
sp_sshkey_encode(const struct sp_sshkey *key, struct sp_buf *ret)
{
	struct sp_sshkey check;
	size_t len0 = ret->len;
	enum sp_err r;

	if (key_kind(key->type) == NULL)
		return SP_EINVAL;
	if ((r = key_put_parts(key, ret)) == SP_OK &&
	    sp_sshkey_decode((struct sp_view){ ret->p + len0, ret->len - len0 }, &check) != SP_OK)
		r = SP_EINVAL;
	if (r != SP_OK)
		ret->len = len0;
	return r;
}

void
sp_sshkey_fingerprint(struct sp_view blob, sp_sha256_fn *sha256, char ret[SP_FINGERPRINT_SIZE])
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t h[33] = { 0 };		/* one byte more: the last digit reads over the end */
	char *out = ret + 7;

	sha256(blob.p, blob.len, h);
	memcpy(ret, "SHA256:", 7);
	for (size_t bit = 0; bit < 256; bit += 6)
		*out++ = digits[((unsigned)h[bit / 8] << 8 | h[bit / 8 + 1]) >> (10 - bit % 8) & 63];
	*out = 0;
}

void
sp_sshkey_line_release(struct sp_sshkey_line *l)
{
	sp_buf_release(&l->blob);
	*l = (struct sp_sshkey_line){ 0 };
}

static enum sp_err
line_fault(enum sp_err r, const char *text, const char **why)
{
	if (why != NULL)
		*why = text;
	return r;
}

/* The next word, up to a blank or the end; blanks in front are skipped. */
static struct sp_view
line_word(struct sp_view *v)
{
	struct sp_view w;

	while (v->len > 0 && (v->p[0] == ' ' || v->p[0] == '\t')) {
		v->p++;
		v->len--;
	}
	w = (struct sp_view){ v->p, 0 };
	while (w.len < v->len && v->p[w.len] != ' ' && v->p[w.len] != '\t')
		w.len++;
	v->p += w.len;
	v->len -= w.len;
	return w;
}

static const char *
key_why(enum sp_err r)
{
	switch (r) {
	case SP_EDENIED:
		return "this RSA key is too short (2048 bits at least), too long, or this is a certificate";
	case SP_EVERSION:
		return "this type of key is not supported";
	case SP_ESIZE:
		return "the key is too large";
	case SP_ENOMEM:
		return "out of memory";
	default:
		return "the key is damaged: its base64 does not hold a key";
	}
}

/* type base64 [comment] */
static enum sp_err
line_key(struct sp_view v, const char **why, struct sp_sshkey_line *l)
{
	struct sp_view type = line_word(&v), b64 = line_word(&v);
	enum sp_sshkey_type t;
	enum sp_err r;

	if (type.len == 0 || b64.len == 0)
		return line_fault(SP_ESHORT, "a key line is: type, base64, comment", why);
	if (name_is_cert(type))
		return line_fault(SP_EDENIED, "this is a certificate; give the plain public key", why);
	if (sp_sshkey_type_parse(type, &t) != SP_OK)
		return line_fault(SP_EVERSION, key_why(SP_EVERSION), why);
	sp_buf_init(&l->blob, SP_SSHKEY_BLOB_MAX + 2);	/* base64 reserves for its padding, too */
	if ((r = sp_base64_parse(&l->blob, (const char *)b64.p, b64.len)) != SP_OK ||
	    (r = sp_sshkey_decode((struct sp_view){ l->blob.p, l->blob.len }, &l->key)) != SP_OK)
		return line_fault(r, key_why(r), why);
	if (l->key.type != t)
		return line_fault(SP_EFORMAT, "the type in front does not match the key", why);
	while (v.len > 0 && (v.p[0] == ' ' || v.p[0] == '\t')) {
		v.p++;
		v.len--;
	}
	while (v.len > 0 && (v.p[v.len - 1] == ' ' || v.p[v.len - 1] == '\t'))
		v.len--;
	if (v.len > SP_SSHKEY_COMMENT_MAX)
		return line_fault(SP_ESIZE, "the comment is too long", why);
	if (!sp_text_is_plain((const char *)v.p, v.len))
		return line_fault(SP_EFORMAT, "the comment has control characters or is not UTF-8", why);
	memcpy(l->comment, v.p, v.len);
	return SP_OK;
}

/* What both kinds of line have in common: one line, not empty, not a comment. */
static enum sp_err
line_trim(const char *line, size_t n, const char **why, struct sp_view *ret)
{
	struct sp_view v = { (const uint8_t *)line, n };

	if (n > SP_SSHKEY_LINE_MAX)
		return line_fault(SP_ESIZE, "the line is too long", why);
	if (v.len > 0 && v.p[v.len - 1] == '\n')
		v.len--;
	if (v.len > 0 && v.p[v.len - 1] == '\r')
		v.len--;
	if (v.len > 0 && (memchr(v.p, '\n', v.len) != NULL || memchr(v.p, 0, v.len) != NULL))
		return line_fault(SP_EFORMAT, "one key on one line, please", why);
	while (v.len > 0 && (v.p[0] == ' ' || v.p[0] == '\t')) {
		v.p++;
		v.len--;
	}
	if (v.len == 0 || v.p[0] == '#')
		return line_fault(SP_ESHORT, "there is no key on this line", why);
	*ret = v;
	return SP_OK;
}

/* authorized_keys options come first: a word that is no key type, but a later one is. */
static int
line_has_options(struct sp_view v)
{
	static const char *const starts[] = { "ssh-", "ecdsa-", "sk-", "rsa-" };

	for (size_t i = 0; i < SP_NELEMS(starts); i++)
		if (v.len >= strlen(starts[i]) && memcmp(v.p, starts[i], strlen(starts[i])) == 0)
			return 0;
	for (size_t i = 0; i < SP_NELEMS(starts); i++)
		if (memmem(v.p, v.len, starts[i], strlen(starts[i])) != NULL)
			return 1;
	return 0;
}

enum sp_err
sp_sshkey_line_parse(const char *line, size_t n, const char **why, struct sp_sshkey_line *ret)
{
	sp_auto(sp_sshkey_line_release) struct sp_sshkey_line l = { 0 };
	struct sp_view v;
	enum sp_err r;

	if ((r = line_trim(line, n, why, &v)) != SP_OK)
		return r;
	if (v.len >= 10 && memcmp(v.p, "-----BEGIN", 10) == 0)
		return line_fault(SP_EDENIED, "this is a key file in PEM form; give the line of the .pub file", why);
	if (line_has_options(v))
		return line_fault(SP_EDENIED, "options in front of a key are not supported; grants say what a user may do", why);
	if ((r = line_key(v, why, &l)) != SP_OK)
		return r;
	*ret = l;
	l = (struct sp_sshkey_line){ 0 };
	return SP_OK;
}

/* Host names, addresses, [host]:port, separated by commas. */
static int
hosts_are_ok(struct sp_view h)
{
	return h.len > 0 && h.len <= SP_SSHKEY_HOSTS_MAX && memchr(h.p, ' ', h.len) == NULL &&
	    memchr(h.p, '\t', h.len) == NULL && h.p[0] != '#' && h.p[0] != '@' && h.p[0] != '|' &&
	    sp_text_is_plain((const char *)h.p, h.len);
}

enum sp_err
sp_sshkey_hostline_parse(const char *line, size_t n, const char **why, struct sp_sshkey_line *ret)
{
	sp_auto(sp_sshkey_line_release) struct sp_sshkey_line l = { 0 };
	struct sp_view v, hosts;
	enum sp_err r;

	if ((r = line_trim(line, n, why, &v)) != SP_OK)
		return r;
	if (v.p[0] == '@')
		return line_fault(SP_EDENIED, "@cert-authority and @revoked lines are not supported", why);
	if (v.p[0] == '|')
		return line_fault(SP_EDENIED, "a hashed host name cannot be read; use ssh-keyscan without -H", why);
	hosts = line_word(&v);
	if (!hosts_are_ok(hosts))
		return line_fault(hosts.len > SP_SSHKEY_HOSTS_MAX ? SP_ESIZE : SP_EFORMAT, "the host name is malformed or too long",
		    why);
	memcpy(l.hosts, hosts.p, hosts.len);
	if ((r = line_key(v, why, &l)) != SP_OK)
		return r;
	*ret = l;
	l = (struct sp_sshkey_line){ 0 };
	return SP_OK;
}

static enum sp_err
line_put(const char *hosts, const struct sp_sshkey *k, const char *comment, struct sp_buf *b)
{
	enum sp_err r;

	if (hosts != NULL && (r = sp_buf_printf(b, "%s ", hosts)) != SP_OK)
		return r;
	if ((r = sp_buf_printf(b, "%s ", sp_sshkey_type_name(k->type))) != SP_OK ||
	    (r = sp_base64(b, k->blob.p, k->blob.len)) != SP_OK)
		return r;
	return comment != NULL && comment[0] != 0 ? sp_buf_printf(b, " %s", comment) : SP_OK;
}

enum sp_err
sp_sshkey_line_print(const char *hosts, struct sp_view blob, const char *comment, struct sp_buf *ret)
{
	size_t len0 = ret->len, cn = comment != NULL ? strnlen(comment, SP_SSHKEY_COMMENT_MAX + 1) : 0;
	struct sp_sshkey k;
	enum sp_err r;

	if (cn > SP_SSHKEY_COMMENT_MAX)
		return SP_ESIZE;
	if (sp_sshkey_decode(blob, &k) != SP_OK || (cn > 0 && !sp_text_is_plain(comment, cn)) ||
	    (hosts != NULL && !hosts_are_ok((struct sp_view){ (const uint8_t *)hosts, strlen(hosts) })))
		return SP_EINVAL;
	if ((r = line_put(hosts, &k, comment, ret)) != SP_OK)
		ret->len = len0;
	return r;
}
