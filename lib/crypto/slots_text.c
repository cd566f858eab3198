/* lib/crypto/slots_text.c - the text form of the key file (see slots.h), read strictly.
 * Invariant: sp_slots_parse() accepts exactly what sp_slots_format() writes. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/slots_text.h"

static const char slots_head[] = "sallyport-keys 1";

static const char *const kind_names[] = {
	[SP_SLOT_PASSPHRASE] = "passphrase", [SP_SLOT_KEYFILE] = "keyfile", [SP_SLOT_SHAMIR] = "shamir",
};

enum sp_err
sp_slots_place(const struct sp_slots *f, const char *place, uint32_t no, struct sp_buf *ret)
{
	enum sp_err r;

	if ((r = sp_buf_put_cstring(ret, "sallyport key file")) != SP_OK || (r = sp_buf_put_cstring(ret, place)) != SP_OK ||
	    (r = sp_buf_append(ret, f->vault.b, sizeof(f->vault.b))) != SP_OK ||
	    (r = sp_buf_put_u32(ret, f->generation)) != SP_OK)
		return r;
	return sp_buf_put_u32(ret, no);
}

/* " " and hex. */
static enum sp_err
put_hex(struct sp_buf *b, const uint8_t *p, size_t n)
{
	char hex[2 * SP_SLOT_WRAP + 1];

	sp_hex(p, n, hex);
	return sp_buf_printf(b, " %s", hex);
}

static enum sp_err
put_slot(struct sp_buf *b, const struct sp_slot *s)
{
	enum sp_err r = sp_buf_printf(b, "slot %u %s", s->id, kind_names[s->kind]);

	if (r == SP_OK && s->kind == SP_SLOT_PASSPHRASE)
		r = sp_buf_printf(b, " %u %" PRIu64, s->kdf.ops, s->kdf.mem_bytes);
	if (r == SP_OK && s->kind == SP_SLOT_SHAMIR &&
	    (r = sp_buf_printf(b, " %u %u", s->threshold, s->shares)) == SP_OK)
		r = put_hex(b, s->set_id, sizeof(s->set_id));
	if (r != SP_OK || (r = put_hex(b, s->kdf.salt, sizeof(s->kdf.salt))) != SP_OK ||
	    (r = put_hex(b, s->wrap, sizeof(s->wrap))) != SP_OK)
		return r;
	return sp_buf_printf(b, " %s\n", s->label);
}

/* name, hex, newline. */
static enum sp_err
put_line(struct sp_buf *b, const char *name, const uint8_t *p, size_t n)
{
	enum sp_err r;

	if ((r = sp_buf_append_str(b, name)) != SP_OK || (r = put_hex(b, p, n)) != SP_OK)
		return r;
	return sp_buf_append_str(b, "\n");
}

enum sp_err
sp_slots_format_body(const struct sp_slots *f, struct sp_buf *b)
{
	char uuid[SP_UUID_SIZE];
	enum sp_err r;

	if ((r = sp_buf_printf(b, "%s\nvault %s\ngeneration %u\nnext %u\n", slots_head, sp_uuid_text(&f->vault, uuid),
	    f->generation, f->slot_next)) != SP_OK)
		return r;
	for (size_t i = 0; i < f->slot_n; i++)
		if ((r = put_slot(b, &f->slot[i])) != SP_OK)
			return r;
	if ((r = put_line(b, "check", f->check, sizeof(f->check))) != SP_OK ||
	    (r = put_line(b, "base", f->base_wrap, sizeof(f->base_wrap))) != SP_OK ||
	    (r = sp_buf_append_str(b, "seal")) != SP_OK || (r = put_hex(b, f->seal_pk, sizeof(f->seal_pk))) != SP_OK ||
	    (r = put_line(b, "", f->seal_wrap, sizeof(f->seal_wrap))) != SP_OK)
		return r;
	for (size_t i = 0; i < f->term_n; i++)
		if ((r = sp_buf_printf(b, "term %u", f->term[i].no)) != SP_OK ||
		    (r = put_line(b, "", f->term[i].wrap, sizeof(f->term[i].wrap))) != SP_OK)
			return r;
	return SP_OK;
}

enum sp_err
sp_slots_format(const struct sp_slots *f, struct sp_buf *ret)
{
	size_t len0 = ret->len;
	enum sp_err r;

	if (f->slot_n == 0)
		return SP_ESTATE;
	if ((r = sp_slots_format_body(f, ret)) != SP_OK || (r = put_line(ret, "mac", f->mac, sizeof(f->mac))) != SP_OK)
		ret->len = len0;
	return r;
}

/* A cursor that remembers failure, so that a line reads as a list of its fields. */
struct reader {
	struct sp_view	v;
	int		bad;
};

/* Exactly this text. */
static void
get_text(struct reader *in, const char *s)
{
	size_t n = strlen(s);

	if (in->bad || in->v.len < n || memcmp(in->v.p, s, n) != 0) {
		in->bad = 1;
		return;
	}
	in->v.p += n;
	in->v.len -= n;
}

static int
peek_text(const struct reader *in, const char *s)
{
	size_t n = strlen(s);

	return !in->bad && in->v.len >= n && memcmp(in->v.p, s, n) == 0;
}

/* A blank and a canonical decimal of least..max. */
static uint64_t
get_number(struct reader *in, uint64_t least, uint64_t max)
{
	uint64_t n = 0;
	size_t i = 0;

	get_text(in, " ");
	for (; !in->bad && i < in->v.len && in->v.p[i] >= '0' && in->v.p[i] <= '9' && i < 19; i++)
		n = n * 10 + (uint64_t)(in->v.p[i] - '0');
	if (in->bad || i == 0 || (in->v.p[0] == '0' && i > 1) || n < least || n > max) {
		in->bad = 1;
		return 0;
	}
	in->v.p += i;
	in->v.len -= i;
	return n;
}

/* A blank and n bytes in lower-case hex. */
static void
get_hex(struct reader *in, uint8_t *dst, size_t n)
{
	char hex[2 * SP_SLOT_WRAP + 1];

	get_text(in, " ");
	if (in->bad || in->v.len < 2 * n) {
		in->bad = 1;
		return;
	}
	memcpy(hex, in->v.p, 2 * n);
	hex[2 * n] = 0;
	if (strspn(hex, "0123456789abcdef") != 2 * n || sp_hex_parse(hex, dst, n) != SP_OK)
		in->bad = 1;
	in->v.p += 2 * n;
	in->v.len -= 2 * n;
}

static void
get_vault(struct reader *in, struct sp_uuid *ret)
{
	char text[SP_UUID_SIZE], again[SP_UUID_SIZE];

	get_text(in, "vault ");
	if (in->bad || in->v.len < SP_UUID_SIZE - 1) {
		in->bad = 1;
		return;
	}
	memcpy(text, in->v.p, SP_UUID_SIZE - 1);
	text[SP_UUID_SIZE - 1] = 0;
	if (sp_uuid_parse(text, ret) != SP_OK || strcmp(sp_uuid_text(ret, again), text) != 0)
		in->bad = 1;
	in->v.p += SP_UUID_SIZE - 1;
	in->v.len -= SP_UUID_SIZE - 1;
	get_text(in, "\n");
}

/* The rest of the line. */
static void
get_label(struct reader *in, char dst[SP_SLOT_LABEL_MAX + 1])
{
	const uint8_t *end;
	size_t n;

	get_text(in, " ");
	end = in->bad || in->v.len == 0 ? NULL : memchr(in->v.p, '\n', in->v.len);
	n = end != NULL ? (size_t)(end - in->v.p) : 0;
	if (n == 0 || n > SP_SLOT_LABEL_MAX || !sp_text_is_plain((const char *)in->v.p, n)) {
		in->bad = 1;
		return;
	}
	memcpy(dst, in->v.p, n);
	in->v.p += n;
	in->v.len -= n;
	get_text(in, "\n");
}

static void
get_slot(struct reader *in, struct sp_slots *f)
{
	struct sp_slot s = { 0 };

	get_text(in, "slot");
	s.id = (uint32_t)get_number(in, f->slot_n > 0 ? (uint64_t)f->slot[f->slot_n - 1].id + 1 : 1, f->slot_next - 1);
	for (s.kind = SP_SLOT_PASSPHRASE; s.kind <= SP_SLOT_SHAMIR; s.kind++) {
		struct reader at = *in;

		get_text(&at, " ");
		get_text(&at, kind_names[s.kind]);
		if (!at.bad) {
			*in = at;
			break;
		}
	}
	if (s.kind > SP_SLOT_SHAMIR)
		in->bad = 1;
	if (s.kind == SP_SLOT_PASSPHRASE) {
		s.kdf.ops = (uint32_t)get_number(in, 1, SP_ARGON2_OPS_MAX);
		s.kdf.mem_bytes = get_number(in, SP_ARGON2_MEM_MIN, SP_ARGON2_MEM_MAX);
		if (sp_argon2_check(&s.kdf) != SP_OK)
			in->bad = 1;
	} else if (s.kind == SP_SLOT_SHAMIR) {
		s.threshold = (uint8_t)get_number(in, 2, SP_SHARES_MAX);
		s.shares = (uint8_t)get_number(in, s.threshold, SP_SHARES_MAX);
		get_hex(in, s.set_id, sizeof(s.set_id));
	}
	get_hex(in, s.kdf.salt, sizeof(s.kdf.salt));
	get_hex(in, s.wrap, sizeof(s.wrap));
	get_label(in, s.label);
	if (f->slot_n >= SP_SLOTS_MAX)
		in->bad = 1;
	if (!in->bad)
		f->slot[f->slot_n++] = s;
}

/* SP_ENOMEM, else SP_OK with in->bad. */
static enum sp_err
get_terms(struct reader *in, struct sp_slots *f)
{
	if ((f->term = calloc(SP_TERMS_MAX, sizeof(*f->term))) == NULL)
		return SP_ENOMEM;
	while (peek_text(in, "term ")) {
		if (f->term_n >= SP_TERMS_MAX) {
			in->bad = 1;
			return SP_OK;
		}
		get_text(in, "term");
		f->term[f->term_n].no = (uint32_t)get_number(in,
		    f->term_n > 0 ? (uint64_t)f->term[f->term_n - 1].no + 1 : 1, UINT32_MAX);
		get_hex(in, f->term[f->term_n].wrap, SP_SLOT_WRAP);
		get_text(in, "\n");
		f->term_n++;
	}
	if (f->term_n == 0)
		in->bad = 1;
	return SP_OK;
}

static void
get_hex_line(struct reader *in, const char *name, uint8_t *dst, size_t n)
{
	get_text(in, name);
	get_hex(in, dst, n);
	get_text(in, "\n");
}

static void
get_number_line(struct reader *in, const char *name, uint32_t *dst)
{
	get_text(in, name);
	*dst = (uint32_t)get_number(in, 1, UINT32_MAX);
	get_text(in, "\n");
}

static enum sp_err
parse_fault(enum sp_err r, const char *text, const char **why)
{
	if (why != NULL)
		*why = text;
	return r;
}

enum sp_err
sp_slots_parse(const char *text, size_t n, const char **why, struct sp_slots *ret)
{
	struct reader in = { .v = { (const uint8_t *)text, n } };
	sp_auto_slots f = { 0 };

	if (n > SP_SLOTS_TEXT_MAX)
		return parse_fault(SP_ESIZE, "the key file is too large", why);
	if (!peek_text(&in, "sallyport-keys "))
		return parse_fault(SP_EFORMAT, "this is not a key file of Sallyport", why);
	get_text(&in, slots_head);
	get_text(&in, "\n");
	if (in.bad)
		return parse_fault(SP_EVERSION, "a key file of a format that this version does not know", why);
	get_vault(&in, &f.vault);
	get_number_line(&in, "generation", &f.generation);
	get_number_line(&in, "next", &f.slot_next);
	while (peek_text(&in, "slot "))
		get_slot(&in, &f);
	if (in.bad || f.slot_n == 0)
		return parse_fault(SP_EFORMAT, "the key file is malformed in its head or slots", why);
	get_hex_line(&in, "check", f.check, sizeof(f.check));
	get_hex_line(&in, "base", f.base_wrap, sizeof(f.base_wrap));
	get_text(&in, "seal");
	get_hex(&in, f.seal_pk, sizeof(f.seal_pk));
	get_hex_line(&in, "", f.seal_wrap, sizeof(f.seal_wrap));
	if (get_terms(&in, &f) != SP_OK)
		return parse_fault(SP_ENOMEM, sp_err_text(SP_ENOMEM), why);
	get_hex_line(&in, "mac", f.mac, sizeof(f.mac));
	if (in.bad || in.v.len != 0)
		return parse_fault(SP_EFORMAT, "the key file is malformed behind its slots", why);
	*ret = f;
	f = (struct sp_slots){ 0 };
	return SP_OK;
}
