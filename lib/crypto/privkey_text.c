/* lib/crypto/privkey_text.c - private key files: read those that people have, write the OpenSSH one.
 * Format of "OPENSSH PRIVATE KEY": PROTOCOL.key of OpenSSH. PEM forms are read by OpenSSL. */
#include "crypto/privkey.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <string.h>

#include "base/str.h"
#include "crypto/bcrypt.h"
#include "crypto/sign.h"

static const char openssh_begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
static const char openssh_end[] = "-----END OPENSSH PRIVATE KEY-----";
static const char openssh_magic[] = "openssh-key-v1";	/* with its NUL */

static const char wrong_passphrase[] = "the passphrase does not open this key file";

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

/* Ciphers that ssh-keygen can put on a key file (-Z). The cipher's key and IV come from the passphrase, one behind the other. */
static const struct openssh_cipher {
	const char		*name;
	const EVP_CIPHER	*(*evp)(void);
	size_t			 key, iv, tag;	/* bytes */
} openssh_ciphers[] = {
	{ "aes256-ctr", EVP_aes_256_ctr, 32, 16, 0 },		/* the usual one */
	{ "aes192-ctr", EVP_aes_192_ctr, 24, 16, 0 },
	{ "aes128-ctr", EVP_aes_128_ctr, 16, 16, 0 },
	{ "aes256-cbc", EVP_aes_256_cbc, 32, 16, 0 },
	{ "aes192-cbc", EVP_aes_192_cbc, 24, 16, 0 },
	{ "aes128-cbc", EVP_aes_128_cbc, 16, 16, 0 },
	{ "aes256-gcm@openssh.com", EVP_aes_256_gcm, 32, 12, 16 },
	{ "aes128-gcm@openssh.com", EVP_aes_128_gcm, 16, 12, 16 },
};
#define OPENSSH_BLOCK	16	/* of all of them */

/* SP_EAUTH: the tag does not fit. Without one, the check numbers inside tell. */
static enum sp_err
openssh_decipher(const struct openssh_cipher *c, const uint8_t *key, struct sp_view in, struct sp_view tag, struct sp_secret *ret)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	sp_auto_secret out = { 0 };
	int n = 0, rest = 0, ok;
	enum sp_err r = sp_secret_alloc(in.len, &out);

	ok = ctx != NULL && r == SP_OK && EVP_DecryptInit_ex(ctx, c->evp(), NULL, key, key + c->key) == 1 &&
	    EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 && EVP_DecryptUpdate(ctx, out.p, &n, in.p, (int)in.len) == 1;
	if (ok) {
		uint8_t want[16];

		r = SP_EAUTH;
		if (c->tag > 0) {
			memcpy(want, tag.p, c->tag);
			ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, (int)c->tag, want) == 1;
		}
		ok = ok && EVP_DecryptFinal_ex(ctx, out.p + n, &rest) == 1 && (size_t)n + (size_t)rest == in.len;
	} else if (r == SP_OK) {
		r = SP_ENOMEM;
	}
	EVP_CIPHER_CTX_free(ctx);
	ERR_clear_error();
	if (!ok)
		return r;
	*ret = sp_secret_steal(&out);
	return SP_OK;
}

/* options: the salt and the number of rounds; behind: what follows the encrypted section, its tag or nothing. */
static enum sp_err
openssh_decrypt(struct sp_view cipher, struct sp_view options, struct sp_view in, struct sp_view behind,
    struct sp_view passphrase, const char **why, struct sp_secret *ret)
{
	const struct openssh_cipher *c = NULL;
	sp_auto_secret key = { 0 };
	struct sp_view salt;
	uint32_t rounds;
	enum sp_err r;

	for (size_t i = 0; i < SP_NELEMS(openssh_ciphers); i++)
		if (sp_view_equal_str(cipher, openssh_ciphers[i].name))
			c = &openssh_ciphers[i];
	if (c == NULL)
		return text_fault(SP_EVERSION, "this key file is encrypted with a cipher that is not read here; write it again with "
		    "the usual one: ssh-keygen -p -Z aes256-ctr -f FILE", why);
	if (sp_view_string(&options, &salt) != SP_OK || sp_view_u32(&options, &rounds) != SP_OK || options.len != 0 ||
	    behind.len != c->tag || in.len == 0 || in.len % OPENSSH_BLOCK != 0)
		return text_fault(SP_EFORMAT, key_why(SP_EFORMAT), why);
	if (passphrase.len == 0)
		return text_fault(SP_EAUTH, "this key file is encrypted: its passphrase is needed", why);
	if (rounds > SP_BCRYPT_ROUNDS_MAX)
		return text_fault(SP_EDENIED, "this key file wants too much work for its passphrase; write it again with fewer rounds: "
		    "ssh-keygen -p -a 100 -f FILE", why);
	if ((r = sp_bcrypt_pbkdf(passphrase, salt, rounds, c->key + c->iv, &key)) != SP_OK)
		return text_fault(r == SP_EINVAL ? SP_EFORMAT : r, key_why(r == SP_EINVAL ? SP_EFORMAT : r), why);
	if ((r = openssh_decipher(c, key.p, in, behind, ret)) != SP_OK)
		return text_fault(r, r == SP_EAUTH ? wrong_passphrase : sp_err_text(r), why);
	return SP_OK;
}

/* Two equal check numbers (SP_EAUTH when they differ), the key, a comment, and padding 1, 2, 3 ... */
static enum sp_err
openssh_private(struct sp_view v, struct sp_view public_blob, size_t block, struct sp_secret *ret)
{
	sp_auto(sp_buf_release) struct sp_buf pub = { .max = SP_SSHKEY_BLOB_MAX };
	struct sp_view start, comment;
	struct sp_privkey k;
	uint32_t a, b;
	enum sp_err r;

	if (v.len % block != 0 || sp_view_u32(&v, &a) != SP_OK || sp_view_u32(&v, &b) != SP_OK)
		return SP_EFORMAT;
	if (a != b)
		return SP_EAUTH;
	start = v;
	if ((r = sp_privkey_read(&v, &k)) != SP_OK)
		return r;
	start.len -= v.len;
	if ((r = sp_view_string(&v, &comment)) != SP_OK)
		return r;
	if (v.len >= block)
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
import_openssh(struct sp_view text, struct sp_view passphrase, const char **why, struct sp_secret *ret)
{
	sp_auto(sp_buf_release) struct sp_buf bin = { .max = SP_PRIVKEY_TEXT_MAX };
	sp_auto_secret plain = { 0 };
	int locked;
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
	locked = sp_view_equal_str(kdf, "bcrypt");
	if (!locked && (v.len != 0 || options.len != 0 || !sp_view_equal_str(cipher, "none") || !sp_view_equal_str(kdf, "none")))
		return text_fault(SP_EFORMAT, key_why(SP_EFORMAT), why);
	if (locked) {
		if ((r = openssh_decrypt(cipher, options, priv, v, passphrase, why, &plain)) != SP_OK)
			return r;
		priv = sp_secret_view(&plain);
	}
	if ((r = openssh_private(priv, pub, locked ? OPENSSH_BLOCK : 8, ret)) == SP_EAUTH && !locked)
		r = SP_EFORMAT;
	if (r != SP_OK)
		return text_fault(r, r == SP_EAUTH ? wrong_passphrase : key_why(r), why);
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
		    wrong_passphrase, why);
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
	return import_openssh((struct sp_view){ begin, text.len - (size_t)(begin - text.p) }, passphrase, why, ret);
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
