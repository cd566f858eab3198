/* lib/crypto/note.c - see note.h. */
#include "crypto/note.h"

#include <string.h>

#include "base/str.h"
#include "crypto/hash.h"

#define NOTE_ID		4
#define NOTE_TIME	8	/* in front of a cosignature */

static const char note_dash[] = "\xe2\x80\x94 ";	/* U+2014 and a space begin a signature line */

/* ---- keys */

int
sp_note_name_ok(const char *name)
{
	size_t n = strnlen(name, SP_NOTE_NAME_MAX + 1);

	if (n == 0 || n > SP_NOTE_NAME_MAX || !sp_utf8_valid(name, n))
		return 0;
	for (size_t i = 0; i < n; i++)
		if ((uint8_t)name[i] <= 0x20 || name[i] == 0x7f || name[i] == '+')
			return 0;
	return 1;
}

static void
note_id(const struct sp_note_key *k, uint8_t ret[NOTE_ID])
{
	uint8_t b[SP_NOTE_NAME_MAX + 2 + SP_ED25519_PK], h[SP_SHA256_LEN];
	size_t n = strlen(k->name);

	memcpy(b, k->name, n);
	b[n++] = '\n';
	b[n++] = (uint8_t)k->kind;
	memcpy(b + n, k->pk, SP_ED25519_PK);
	sp_sha256(b, n + SP_ED25519_PK, h);
	memcpy(ret, h, NOTE_ID);
}

enum sp_err
sp_note_key_text(const struct sp_note_key *k, char ret[SP_NOTE_VKEY_SIZE])
{
	sp_auto(sp_buf_release) struct sp_buf b64 = { .max = 64 };
	uint8_t id[NOTE_ID], key[1 + SP_ED25519_PK];
	char hex[2 * NOTE_ID + 1];
	enum sp_err r;

	if (!sp_note_name_ok(k->name))
		return SP_EINVAL;
	note_id(k, id);
	sp_hex(id, sizeof(id), hex);
	key[0] = (uint8_t)k->kind;
	memcpy(key + 1, k->pk, SP_ED25519_PK);
	if ((r = sp_base64(&b64, key, sizeof(key))) != SP_OK)
		return r;
	sp_snprintf(ret, SP_NOTE_VKEY_SIZE, "%s+%s+%s", k->name, hex, sp_buf_cstr(&b64));
	return SP_OK;
}

enum sp_err
sp_note_key_parse(const char *text, size_t len, struct sp_note_key *ret)
{
	sp_auto(sp_buf_release) struct sp_buf key = { .max = 64 };
	struct sp_note_key k = { .kind = SP_NOTE_ED25519 };
	const char *id = memchr(text, '+', len), *b64;
	char again[SP_NOTE_VKEY_SIZE];

	if (id == NULL || len >= SP_NOTE_VKEY_SIZE || (size_t)(id - text) > SP_NOTE_NAME_MAX)
		return SP_EFORMAT;
	b64 = memchr(id + 1, '+', len - (size_t)(id + 1 - text));
	if (b64 == NULL)
		return SP_EFORMAT;
	b64++;
	if (sp_base64_parse(&key, b64, len - (size_t)(b64 - text)) != SP_OK || key.len < 1)
		return SP_EFORMAT;
	if (key.p[0] != SP_NOTE_ED25519 && key.p[0] != SP_NOTE_COSIGNATURE)
		return SP_EVERSION;
	if (key.len != 1 + SP_ED25519_PK)
		return SP_EFORMAT;
	memcpy(k.name, text, (size_t)(id - text));
	k.kind = (enum sp_note_kind)key.p[0];
	memcpy(k.pk, key.p + 1, SP_ED25519_PK);
	/* One spelling: the id is then right, too. */
	if (sp_note_key_text(&k, again) != SP_OK || strlen(again) != len || memcmp(again, text, len) != 0)
		return SP_EFORMAT;
	*ret = k;
	return SP_OK;
}

/* ---- notes */

/* A text that may be signed: UTF-8 lines. */
static int
note_text_ok(struct sp_view t)
{
	if (t.len == 0 || t.p[t.len - 1] != '\n' || !sp_utf8_valid((const char *)t.p, t.len))
		return 0;
	for (size_t i = 0; i < t.len; i++)
		if ((t.p[i] < 0x20 && t.p[i] != '\n') || t.p[i] == 0x7f)
			return 0;
	return 1;
}

/* What a signature is over. */
static enum sp_err
note_message(struct sp_view text, enum sp_note_kind kind, uint64_t at, struct sp_buf *ret)
{
	enum sp_err r = SP_OK;

	if (kind == SP_NOTE_COSIGNATURE)
		r = sp_buf_printf(ret, "cosignature/v1\ntime %llu\n", (unsigned long long)at);
	return r == SP_OK ? sp_buf_append(ret, text.p, text.len) : r;
}

enum sp_err
sp_note_sign(struct sp_view text, const struct sp_note_key *k, const struct sp_secret *sk, uint64_t at, struct sp_buf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf msg = { .max = SP_NOTE_MAX + 64 }, line = { .max = 512 };
	uint8_t b[NOTE_ID + NOTE_TIME + SP_ED25519_SIG];
	size_t n = NOTE_ID;
	enum sp_err r;

	if (text.len > SP_NOTE_MAX)
		return SP_ESIZE;
	if (!note_text_ok(text) || !sp_note_name_ok(k->name))
		return SP_EINVAL;
	if ((r = note_message(text, k->kind, at, &msg)) != SP_OK)
		return r;
	note_id(k, b);
	if (k->kind == SP_NOTE_COSIGNATURE)
		for (int i = 0; i < NOTE_TIME; i++)
			b[n++] = (uint8_t)(at >> 8 * (NOTE_TIME - 1 - i));
	sp_ed25519_sign(sk, (struct sp_view){ msg.p, msg.len }, b + n);
	if ((r = sp_buf_printf(&line, "%s%s ", note_dash, k->name)) != SP_OK ||
	    (r = sp_base64(&line, b, n + SP_ED25519_SIG)) != SP_OK || (r = sp_buf_append_str(&line, "\n")) != SP_OK)
		return r;
	return sp_buf_append(ret, line.p, line.len);
}

/* Length of the text in front of the last empty line; 0 when there is none. */
static size_t
note_split(struct sp_view note)
{
	for (size_t i = note.len; i >= 2; i--)
		if (note.p[i - 1] == '\n' && note.p[i - 2] == '\n')
			return i - 1;
	return 0;
}

enum sp_err
sp_note_text(struct sp_view note, struct sp_view *ret)
{
	size_t n;

	if (note.len > SP_NOTE_MAX)
		return SP_ESIZE;
	if (!note_text_ok(note) || (n = note_split(note)) == 0 || n + 1 >= note.len)
		return SP_EFORMAT;
	*ret = (struct sp_view){ note.p, n };
	return SP_OK;
}

struct note_sig {
	struct sp_view	name, b64;
};

/* "— name base64" in front of the newline at *at; SP_EFORMAT. */
static enum sp_err
note_sig_line(struct sp_view *at, struct note_sig *ret)
{
	const uint8_t *nl = memchr(at->p, '\n', at->len), *sp;
	size_t dash = sizeof(note_dash) - 1, n;

	if (nl == NULL || (n = (size_t)(nl - at->p)) <= dash || memcmp(at->p, note_dash, dash) != 0)
		return SP_EFORMAT;
	ret->name = (struct sp_view){ at->p + dash, n - dash };
	if ((sp = memchr(ret->name.p, ' ', ret->name.len)) == NULL || sp == ret->name.p)
		return SP_EFORMAT;
	ret->name.len = (size_t)(sp - ret->name.p);
	ret->b64 = (struct sp_view){ sp + 1, (size_t)(nl - sp) - 1 };
	at->len -= n + 1;
	at->p = nl + 1;
	return SP_OK;
}

/* SP_ENOENT: of another key. */
static enum sp_err
note_check_sig(struct sp_view text, const struct note_sig *s, const struct sp_note_key *k, uint64_t *ret_at)
{
	sp_auto(sp_buf_release) struct sp_buf sig = { .max = 512 }, msg = { .max = SP_NOTE_MAX + 64 };
	size_t head = NOTE_ID + (k->kind == SP_NOTE_COSIGNATURE ? NOTE_TIME : 0);
	uint8_t id[NOTE_ID];
	uint64_t at = 0;
	enum sp_err r;

	if ((r = sp_base64_parse(&sig, (const char *)s->b64.p, s->b64.len)) != SP_OK || sig.len < NOTE_ID)
		return r == SP_ENOMEM ? r : r == SP_ESIZE ? SP_ENOENT : SP_EFORMAT;
	note_id(k, id);
	if (!sp_view_equal_str(s->name, k->name) || memcmp(sig.p, id, NOTE_ID) != 0)
		return SP_ENOENT;
	if (sig.len != head + SP_ED25519_SIG)
		return SP_EAUTH;
	for (size_t i = NOTE_ID; i < head; i++)
		at = at << 8 | sig.p[i];
	if ((r = note_message(text, k->kind, at, &msg)) != SP_OK)
		return r;
	if (sp_ed25519_verify(k->pk, (struct sp_view){ msg.p, msg.len }, sig.p + head) != SP_OK)
		return SP_EAUTH;
	if (ret_at != NULL)
		*ret_at = at;
	return SP_OK;
}

enum sp_err
sp_note_verify(struct sp_view note, const struct sp_note_key *k, uint64_t *ret_at)
{
	struct sp_view text, at;
	enum sp_err r = sp_note_text(note, &text), best = SP_ENOENT;
	struct note_sig s;

	if (r != SP_OK)
		return r;
	at = (struct sp_view){ note.p + text.len + 1, note.len - text.len - 1 };
	for (unsigned n = 0; at.len > 0; n++) {
		if (n >= SP_NOTE_SIGS_MAX)
			return SP_ESIZE;
		if ((r = note_sig_line(&at, &s)) != SP_OK)
			return r;
		if ((r = note_check_sig(text, &s, k, ret_at)) == SP_OK)
			best = SP_OK;
		else if (r != SP_ENOENT)
			return r;
	}
	return best;
}

/* ---- checkpoints */

enum sp_err
sp_checkpoint_text(const struct sp_checkpoint *c, struct sp_buf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 512 };
	enum sp_err r;

	if (!sp_note_name_ok(c->origin))
		return SP_EINVAL;
	if ((r = sp_buf_printf(&b, "%s\n%llu\n", c->origin, (unsigned long long)c->size)) != SP_OK ||
	    (r = sp_base64(&b, c->root.b, SP_TLOG_HASH)) != SP_OK || (r = sp_buf_append_str(&b, "\n")) != SP_OK)
		return r;
	return sp_buf_append(ret, b.p, b.len);
}

static enum sp_err
checkpoint_line(struct sp_view *at, struct sp_view *ret)
{
	const uint8_t *nl = at->len > 0 ? memchr(at->p, '\n', at->len) : NULL;

	if (nl == NULL || nl == at->p)
		return SP_EFORMAT;
	*ret = (struct sp_view){ at->p, (size_t)(nl - at->p) };
	at->len -= ret->len + 1;
	at->p = nl + 1;
	return SP_OK;
}

enum sp_err
sp_checkpoint_parse(struct sp_view text, struct sp_checkpoint *ret)
{
	sp_auto(sp_buf_release) struct sp_buf root = { .max = 64 };
	struct sp_checkpoint c = { .size = 0 };
	struct sp_view origin, size, hash;

	if (checkpoint_line(&text, &origin) != SP_OK || checkpoint_line(&text, &size) != SP_OK ||
	    checkpoint_line(&text, &hash) != SP_OK || origin.len > SP_NOTE_NAME_MAX)
		return SP_EFORMAT;
	memcpy(c.origin, origin.p, origin.len);
	for (size_t i = 0; i < size.len; i++) {
		if (size.p[i] < '0' || size.p[i] > '9' || i >= 18 || (i > 0 && size.p[0] == '0'))
			return SP_EFORMAT;
		c.size = c.size * 10 + (uint64_t)(size.p[i] - '0');
	}
	if (!sp_note_name_ok(c.origin) || sp_base64_parse(&root, (const char *)hash.p, hash.len) != SP_OK ||
	    root.len != SP_TLOG_HASH)
		return SP_EFORMAT;
	memcpy(c.root.b, root.p, SP_TLOG_HASH);
	*ret = c;
	return SP_OK;
}
