/* lib/crypto/privkey_text.c - private key files: read those that people have, write the OpenSSH one.
 * Format of "OPENSSH PRIVATE KEY": PROTOCOL.key of OpenSSH. PEM forms are read by OpenSSL. */
#include "crypto/privkey.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <string.h>

#include "base/str.h"
#include "crypto/sign.h"

static const char openssh_begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
static const char openssh_end[] = "-----END OPENSSH PRIVATE KEY-----";
static const char openssh_magic[] = "openssh-key-v1";	/* with its NUL */

#define COMMENT_MAX	1024
#define LINE_WIDTH	70

static enum sp_err
text_fault(enum sp_err r, const char *text, const char **why)
{
	if (why != NULL)
		*why = text;
	return r;
}

static const char *
key_why(enum sp_err r)
{
	if (r == SP_EDENIED)
		return "this kind or size of key is not used here: give ed25519, ecdsa, or rsa of 2048 bits or more";
	return r == SP_EFORMAT || r == SP_ESHORT ? "the key file is damaged: its parts do not fit together" : sp_err_text(r);
}

/* What follows the first line, up to the last one, decoded from base64 into *ret. */
static enum sp_err
openssh_unwrap(struct sp_view text, struct sp_buf *ret)
{
	const uint8_t *p = text.p, *end = memmem(p, text.len, openssh_end, sizeof(openssh_end) - 1);
	sp_auto(sp_buf_release) struct sp_buf b64 = { .max = SP_PRIVKEY_TEXT_MAX };
	enum sp_err r;

	if (end == NULL)
		return SP_ESHORT;
	if ((r = sp_buf_reserve(&b64, (size_t)(end - p))) != SP_OK)	/* once: no copies left behind by growing */
		return r;
	for (; p < end; p++)
		if (*p != '\n' && *p != '\r' && *p != ' ' && *p != '\t' && (r = sp_buf_put_u8(&b64, *p)) != SP_OK)
			return r;
	return sp_base64_parse(ret, sp_buf_cstr(&b64), b64.len);
}

/* Two equal check numbers, the key, a comment, and padding 1, 2, 3 ... */
static enum sp_err
openssh_private(struct sp_view v, struct sp_view public_blob, struct sp_secret *ret)
{
	sp_auto(sp_buf_release) struct sp_buf pub = { .max = SP_SSHKEY_BLOB_MAX };
	struct sp_view start, comment;
	struct sp_privkey k;
	uint32_t a, b;
	enum sp_err r;

	if (v.len % 8 != 0 || sp_view_u32(&v, &a) != SP_OK || sp_view_u32(&v, &b) != SP_OK || a != b)
		return SP_EFORMAT;
	start = v;
	if ((r = sp_privkey_read(&v, &k)) != SP_OK)
		return r;
	start.len -= v.len;
	if ((r = sp_view_string(&v, &comment)) != SP_OK)
		return r;
	if (v.len >= 8)
		return SP_EFORMAT;
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] != i + 1)
			return SP_EFORMAT;
	if ((r = sp_privkey_check(&k)) != SP_OK || (r = sp_privkey_put_public(&k, &pub)) != SP_OK)
		return r;
	if (pub.len != public_blob.len || memcmp(pub.p, public_blob.p, pub.len) != 0)
		return SP_EFORMAT;
	return sp_secret_from(start.p, start.len, ret);
}

static enum sp_err
import_openssh(struct sp_view text, const char **why, struct sp_secret *ret)
{
	sp_auto(sp_buf_release) struct sp_buf bin = { .max = SP_PRIVKEY_TEXT_MAX };
	struct sp_view v, magic, cipher, kdf, options, pub, priv;
	uint32_t keys;
	enum sp_err r;

	if ((r = openssh_unwrap(text, &bin)) != SP_OK)
		return text_fault(r, key_why(r), why);
	v = (struct sp_view){ bin.p, bin.len };
	if (sp_view_bytes(&v, sizeof(openssh_magic), &magic) != SP_OK || memcmp(magic.p, openssh_magic, magic.len) != 0 ||
	    sp_view_string(&v, &cipher) != SP_OK || sp_view_string(&v, &kdf) != SP_OK ||
	    sp_view_string(&v, &options) != SP_OK || sp_view_u32(&v, &keys) != SP_OK || sp_view_string(&v, &pub) != SP_OK ||
	    sp_view_string(&v, &priv) != SP_OK || keys != 1)
		return text_fault(SP_EFORMAT, key_why(SP_EFORMAT), why);
	if (!sp_view_equal_str(cipher, "none") || !sp_view_equal_str(kdf, "none"))
		return text_fault(SP_EVERSION, "this key file is encrypted in the OpenSSH format; decrypt a copy first: "
		    "ssh-keygen -p -N \"\" -f FILE", why);
	if (v.len != 0 || options.len != 0)
		return text_fault(SP_EFORMAT, key_why(SP_EFORMAT), why);
	if ((r = openssh_private(priv, pub, ret)) != SP_OK)
		return text_fault(r, key_why(r), why);
	return SP_OK;
}

struct pem_passphrase {
	struct sp_view	text;
	int		asked;
};

static int
pem_password(char *buf, int size, int writing, void *arg)
{
	struct pem_passphrase *pp = arg;

	pp->asked = 1;
	if (pp->text.len == 0 || pp->text.len > (size_t)size)
		return -1;
	memcpy(buf, pp->text.p, pp->text.len);
	return (int)pp->text.len;
}

static enum sp_err
import_pem(struct sp_view text, struct sp_view passphrase, const char **why, struct sp_secret *ret)
{
	struct pem_passphrase pp = { .text = passphrase };
	sp_auto(sp_evp_freep) EVP_PKEY *pkey = NULL;
	BIO *bio = BIO_new_mem_buf(text.p, (int)text.len);
	enum sp_err r;

	if (bio == NULL)
		return text_fault(SP_ENOMEM, sp_err_text(SP_ENOMEM), why);
	pkey = PEM_read_bio_PrivateKey(bio, NULL, pem_password, &pp);
	BIO_free(bio);
	ERR_clear_error();
	if (pkey == NULL && pp.asked)
		return text_fault(SP_EAUTH, passphrase.len == 0 ? "this key file is encrypted: its passphrase is needed" :
		    "the passphrase does not open this key file", why);
	if (pkey == NULL)
		return text_fault(SP_EFORMAT, "this is not a private key file that can be read", why);
	if ((r = sp_privkey_from_evp(pkey, ret)) != SP_OK)
		return text_fault(r, key_why(r), why);
	return SP_OK;
}

enum sp_err
sp_privkey_import(struct sp_view text, struct sp_view passphrase, const char **why, struct sp_secret *ret)
{
	const uint8_t *begin;

	if (text.len > SP_PRIVKEY_TEXT_MAX)
		return text_fault(SP_ESIZE, "the key file is too large", why);
	if (text.p == NULL || text.len == 0)
		return text_fault(SP_EFORMAT, "the key file is empty", why);
	if ((begin = memmem(text.p, text.len, openssh_begin, sizeof(openssh_begin) - 1)) == NULL)
		return import_pem(text, passphrase, why, ret);
	begin += sizeof(openssh_begin) - 1;
	return import_openssh((struct sp_view){ begin, text.len - (size_t)(begin - text.p) }, why, ret);
}

/* The binary form, not encrypted. */
static enum sp_err
export_binary(const struct sp_secret *key, struct sp_view pub, const char *comment, struct sp_buf *b)
{
	sp_auto(sp_buf_release) struct sp_buf priv = { .max = SP_PRIVKEY_TEXT_MAX };
	uint32_t check = randombytes_random();
	enum sp_err r;

	if ((r = sp_buf_reserve(&priv, key->len + strlen(comment) + 32)) != SP_OK || (r = sp_buf_put_u32(&priv, check)) != SP_OK ||
	    (r = sp_buf_put_u32(&priv, check)) != SP_OK || (r = sp_buf_append(&priv, key->p, key->len)) != SP_OK ||
	    (r = sp_buf_put_cstring(&priv, comment)) != SP_OK)
		return r;
	for (uint8_t i = 1; priv.len % 8 != 0; i++)
		if ((r = sp_buf_put_u8(&priv, i)) != SP_OK)
			return r;
	if ((r = sp_buf_append(b, openssh_magic, sizeof(openssh_magic))) != SP_OK || (r = sp_buf_put_cstring(b, "none")) != SP_OK ||
	    (r = sp_buf_put_cstring(b, "none")) != SP_OK || (r = sp_buf_put_u32(b, 0)) != SP_OK ||
	    (r = sp_buf_put_u32(b, 1)) != SP_OK || (r = sp_buf_put_string(b, pub.p, pub.len)) != SP_OK)
		return r;
	return sp_buf_put_string(b, priv.p, priv.len);
}

static enum sp_err
export_wrapped(const struct sp_buf *b64, struct sp_buf *ret)
{
	enum sp_err r = sp_buf_printf(ret, "%s\n", openssh_begin);

	for (size_t at = 0; r == SP_OK && at < b64->len; at += LINE_WIDTH) {
		size_t n = b64->len - at < LINE_WIDTH ? b64->len - at : LINE_WIDTH;

		if ((r = sp_buf_append(ret, b64->p + at, n)) == SP_OK)
			r = sp_buf_put_u8(ret, '\n');
	}
	return r == SP_OK ? sp_buf_printf(ret, "%s\n", openssh_end) : r;
}

enum sp_err
sp_privkey_export(const struct sp_secret *key, const char *comment, struct sp_buf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf pub = { .max = SP_SSHKEY_BLOB_MAX };
	sp_auto(sp_buf_release) struct sp_buf bin = { .max = SP_PRIVKEY_TEXT_MAX }, b64 = { .max = 2 * SP_PRIVKEY_TEXT_MAX };
	size_t len0 = ret->len;
	enum sp_err r;

	if (strnlen(comment, COMMENT_MAX + 1) > COMMENT_MAX)
		return SP_ESIZE;
	if ((r = sp_privkey_public(key, &pub)) != SP_OK ||
	    (r = export_binary(key, (struct sp_view){ pub.p, pub.len }, comment, &bin)) != SP_OK ||
	    (r = sp_base64(&b64, bin.p, bin.len)) != SP_OK)
		return r;
	if ((r = export_wrapped(&b64, ret)) != SP_OK)
		ret->len = len0;
	return r;
}
