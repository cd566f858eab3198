/* src/session/lineedit.c - see lineedit.h. */
#include "session/lineedit.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

struct range {
	uint32_t	first, last;
};

/* Combining marks and format characters that take no column (general categories Mn, Me, Cf; the common scripts). */
static const struct range zero[] = {
	{ 0x0300, 0x036f }, { 0x0483, 0x0489 }, { 0x0591, 0x05bd }, { 0x05bf, 0x05bf }, { 0x05c1, 0x05c2 },
	{ 0x05c4, 0x05c5 }, { 0x05c7, 0x05c7 }, { 0x0610, 0x061a }, { 0x064b, 0x065f }, { 0x0670, 0x0670 },
	{ 0x06d6, 0x06dc }, { 0x06df, 0x06e4 }, { 0x06e7, 0x06e8 }, { 0x06ea, 0x06ed }, { 0x0711, 0x0711 },
	{ 0x0730, 0x074a }, { 0x07a6, 0x07b0 }, { 0x0816, 0x0823 }, { 0x08d3, 0x0902 }, { 0x093a, 0x093a },
	{ 0x093c, 0x093c }, { 0x0941, 0x0948 }, { 0x094d, 0x094d }, { 0x0951, 0x0957 }, { 0x0962, 0x0963 },
	{ 0x0981, 0x0981 }, { 0x09bc, 0x09bc }, { 0x09c1, 0x09c4 }, { 0x09cd, 0x09cd }, { 0x0a01, 0x0a02 },
	{ 0x0a3c, 0x0a51 }, { 0x0abc, 0x0abc }, { 0x0ac1, 0x0acd }, { 0x0b3c, 0x0b3c }, { 0x0b82, 0x0b82 },
	{ 0x0bcd, 0x0bcd }, { 0x0c3e, 0x0c40 }, { 0x0cbc, 0x0cbc }, { 0x0ccc, 0x0ccd }, { 0x0d41, 0x0d44 },
	{ 0x0e31, 0x0e31 }, { 0x0e34, 0x0e3a }, { 0x0e47, 0x0e4e }, { 0x0eb1, 0x0eb1 }, { 0x0eb4, 0x0ebc },
	{ 0x0ec8, 0x0ecd }, { 0x0f18, 0x0f19 }, { 0x0f71, 0x0f7e }, { 0x102d, 0x1030 }, { 0x1032, 0x1037 },
	{ 0x1039, 0x103a }, { 0x1160, 0x11ff }, { 0x135d, 0x135f }, { 0x1712, 0x1714 }, { 0x17b4, 0x17b5 },
	{ 0x17b7, 0x17bd }, { 0x17c9, 0x17d3 }, { 0x180b, 0x180f }, { 0x1ab0, 0x1ace }, { 0x1b00, 0x1b03 },
	{ 0x1dc0, 0x1dff }, { 0x200b, 0x200f }, { 0x2060, 0x2064 }, { 0x20d0, 0x20f0 }, { 0x2cef, 0x2cf1 },
	{ 0x2de0, 0x2dff }, { 0x302a, 0x302d }, { 0x3099, 0x309a }, { 0xa66f, 0xa672 }, { 0xa8e0, 0xa8f1 },
	{ 0xd7b0, 0xd7fb }, { 0xfb1e, 0xfb1e }, { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f }, { 0xfeff, 0xfeff },
	{ 0x1d167, 0x1d169 }, { 0x1f3fb, 0x1f3ff }, { 0xe0001, 0xe007f }, { 0xe0100, 0xe01ef },
};
/* East Asian Width W and F. */
static const struct range wide[] = {
	{ 0x1100, 0x115f }, { 0x231a, 0x231b }, { 0x2329, 0x232a }, { 0x23e9, 0x23ec }, { 0x23f0, 0x23f0 },
	{ 0x23f3, 0x23f3 }, { 0x25fd, 0x25fe }, { 0x2614, 0x2615 }, { 0x2648, 0x2653 }, { 0x267f, 0x267f },
	{ 0x2693, 0x2693 }, { 0x26a1, 0x26a1 }, { 0x26aa, 0x26ab }, { 0x26bd, 0x26be }, { 0x26c4, 0x26c5 },
	{ 0x26ce, 0x26ce }, { 0x26d4, 0x26d4 }, { 0x26ea, 0x26ea }, { 0x26f2, 0x26f3 }, { 0x26f5, 0x26f5 },
	{ 0x26fa, 0x26fa }, { 0x26fd, 0x26fd }, { 0x2705, 0x2705 }, { 0x270a, 0x270b }, { 0x2728, 0x2728 },
	{ 0x274c, 0x274c }, { 0x274e, 0x274e }, { 0x2753, 0x2755 }, { 0x2757, 0x2757 }, { 0x2795, 0x2797 },
	{ 0x27b0, 0x27b0 }, { 0x27bf, 0x27bf }, { 0x2b1b, 0x2b1c }, { 0x2b50, 0x2b50 }, { 0x2b55, 0x2b55 },
	{ 0x2e80, 0x303e }, { 0x3041, 0x33ff }, { 0x3400, 0x4dbf }, { 0x4e00, 0xa4cf }, { 0xa960, 0xa97f },
	{ 0xac00, 0xd7a3 }, { 0xf900, 0xfaff }, { 0xfe10, 0xfe19 }, { 0xfe30, 0xfe6f }, { 0xff01, 0xff60 },
	{ 0xffe0, 0xffe6 }, { 0x16fe0, 0x18cff }, { 0x1aff0, 0x1b2fb }, { 0x1f004, 0x1f004 }, { 0x1f0cf, 0x1f0cf },
	{ 0x1f18e, 0x1f18e }, { 0x1f191, 0x1f19a }, { 0x1f200, 0x1f320 }, { 0x1f32d, 0x1f335 }, { 0x1f337, 0x1f37c },
	{ 0x1f37e, 0x1f393 }, { 0x1f3a0, 0x1f3ca }, { 0x1f3cf, 0x1f3d3 }, { 0x1f3e0, 0x1f3f0 }, { 0x1f3f4, 0x1f3f4 },
	{ 0x1f3f8, 0x1f43e }, { 0x1f440, 0x1f440 }, { 0x1f442, 0x1f4fc }, { 0x1f4ff, 0x1f53d }, { 0x1f54b, 0x1f567 },
	{ 0x1f57a, 0x1f57a }, { 0x1f595, 0x1f596 }, { 0x1f5a4, 0x1f5a4 }, { 0x1f5fb, 0x1f64f }, { 0x1f680, 0x1f6c5 },
	{ 0x1f6cc, 0x1f6cc }, { 0x1f6d0, 0x1f6d2 }, { 0x1f6d5, 0x1f6d7 }, { 0x1f6dc, 0x1f6df }, { 0x1f6eb, 0x1f6ec },
	{ 0x1f6f4, 0x1f6fc }, { 0x1f7e0, 0x1f7eb }, { 0x1f90c, 0x1f93a }, { 0x1f93c, 0x1f945 }, { 0x1f947, 0x1f9ff },
	{ 0x1fa70, 0x1faff }, { 0x20000, 0x2fffd }, { 0x30000, 0x3fffd },
};

static int
in_ranges(const struct range *r, size_t n, uint32_t cp)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (cp < r[mid].first)
			hi = mid;
		else if (cp > r[mid].last)
			lo = mid + 1;
		else
			return 1;
	}
	return 0;
}

int
sp_char_width(uint32_t cp)
{
	if (cp < 0x300)
		return 1;
	if (in_ranges(zero, SP_NELEMS(zero), cp))
		return 0;
	return in_ranges(wide, SP_NELEMS(wide), cp) ? 2 : 1;
}

/* The character at s: its bytes (1 for what is not UTF-8), its columns. */
static size_t
char_at(const char *s, size_t n, int *ret_width)
{
	uint32_t cp;
	size_t k = sp_utf8_next((const uint8_t *)s, n, &cp);

	*ret_width = k > 0 ? sp_char_width(cp) : 1;
	return k > 0 ? k : 1;
}

size_t
sp_text_width(const char *s, size_t n)
{
	size_t cols = 0;
	int w;

	for (size_t i = 0; i < n; i += char_at(s + i, n - i, &w)) {
		(void)char_at(s + i, n - i, &w);
		cols += (size_t)w;
	}
	return cols;
}

size_t
sp_text_fit(const char *s, size_t n, size_t cols, size_t *ret_cols)
{
	size_t used = 0, i = 0;

	while (i < n) {
		int w;
		size_t k = char_at(s + i, n - i, &w);

		if (used + (size_t)w > cols)
			break;
		used += (size_t)w;
		i += k;
	}
	*ret_cols = used;
	return i;
}

/* ---- keys ---- */

enum { K_GROUND, K_ESC, K_CSI, K_SS3, K_STRING, K_STRING_ESC };

static enum sp_key
keys_final(struct sp_keys *k, uint8_t b)
{
	static const struct {
		uint8_t		final;
		unsigned	param;		/* for '~' */
		enum sp_key	key;
	} table[] = {
		{ 'A', 0, SP_KEY_UP }, { 'B', 0, SP_KEY_DOWN }, { 'C', 0, SP_KEY_RIGHT }, { 'D', 0, SP_KEY_LEFT },
		{ 'H', 0, SP_KEY_HOME }, { 'F', 0, SP_KEY_END }, { '~', 1, SP_KEY_HOME }, { '~', 7, SP_KEY_HOME },
		{ '~', 4, SP_KEY_END }, { '~', 8, SP_KEY_END }, { '~', 3, SP_KEY_DELETE },
		{ '~', 5, SP_KEY_PAGE_UP }, { '~', 6, SP_KEY_PAGE_DOWN },
	};

	k->state = K_GROUND;
	for (size_t i = 0; i < SP_NELEMS(table); i++)
		if (table[i].final == b && (b != '~' || table[i].param == k->param))
			return table[i].key;
	return SP_KEY_NONE;
}

static enum sp_key
keys_escape(struct sp_keys *k, uint8_t b)
{
	if (b == 0x1b && k->state != K_STRING && k->state != K_STRING_ESC) {
		k->state = K_ESC;	/* an escape inside a sequence begins anew */
		return SP_KEY_NONE;
	}
	switch (k->state) {
	case K_ESC:
		k->param = 0;
		k->state = b == '[' ? K_CSI : b == 'O' ? K_SS3 : b == ']' || b == 'P' || b == '_' || b == '^' || b == 'X' ?
		    K_STRING : K_GROUND;
		return SP_KEY_NONE;
	case K_SS3:
		return keys_final(k, b);
	case K_CSI:
		if (b >= '0' && b <= '9')
			k->param = k->param < 1000 ? k->param * 10 + (b - '0') : k->param;
		if (b >= 0x40 && b <= 0x7e)
			return keys_final(k, b);
		if (b < 0x20)
			k->state = K_GROUND;	/* broken off */
		return SP_KEY_NONE;
	case K_STRING:
		k->state = b == 0x07 || b == 0x03 || b == 0x0d ? K_GROUND : b == 0x1b ? K_STRING_ESC : K_STRING;
		return SP_KEY_NONE;
	default:
		k->state = K_GROUND;	/* ESC \ ends a string, and so does anything else here */
		return SP_KEY_NONE;
	}
}

static enum sp_key
keys_control(struct sp_keys *k, uint8_t b)
{
	int lf_of_crlf = b == '\n' && k->after_cr;
	static const enum sp_key table[0x20] = {
		[0x01] = SP_KEY_HOME, [0x02] = SP_KEY_LEFT, [0x03] = SP_KEY_CANCEL, [0x04] = SP_KEY_EOF,
		[0x05] = SP_KEY_END, [0x06] = SP_KEY_RIGHT, [0x08] = SP_KEY_BACKSPACE, [0x09] = SP_KEY_TAB,
		[0x0a] = SP_KEY_ENTER, [0x0b] = SP_KEY_KILL_REST, [0x0c] = SP_KEY_REDRAW, [0x0d] = SP_KEY_ENTER,
		[0x0e] = SP_KEY_DOWN, [0x10] = SP_KEY_UP, [0x15] = SP_KEY_KILL_LINE, [0x17] = SP_KEY_KILL_WORD,
	};

	k->after_cr = b == '\r';
	if (b == 0x1b)
		k->state = K_ESC;
	if (b == 0x7f)
		return SP_KEY_BACKSPACE;
	return b < 0x20 && !lf_of_crlf ? table[b] : SP_KEY_NONE;
}

static enum sp_key
keys_char(struct sp_keys *k, uint8_t b)
{
	uint32_t cp;

	k->after_cr = 0;
	if (k->ch_want == 0) {
		k->ch_len = 0;
		k->ch_want = b < 0x80 ? 1 : b >= 0xf0 && b < 0xf5 ? 4 : b >= 0xe0 ? 3 : b >= 0xc2 ? 2 : 0;
		if (k->ch_want == 0 || b >= 0xf5) {
			k->ch_want = 0;
			return SP_KEY_NONE;
		}
	} else if ((b & 0xc0) != 0x80) {
		k->ch_want = 0;		/* cut short: the new byte begins a character */
		return keys_char(k, b);
	}
	k->ch[k->ch_len++] = b;
	if (k->ch_len < k->ch_want)
		return SP_KEY_NONE;
	k->ch_want = 0;
	return sp_utf8_next(k->ch, k->ch_len, &cp) == k->ch_len ? SP_KEY_CHAR : SP_KEY_NONE;
}

enum sp_key
sp_keys_feed(struct sp_keys *k, uint8_t b)
{
	if (k->state != K_GROUND)
		return keys_escape(k, b);
	if (b < 0x20 || b == 0x7f) {
		k->ch_want = 0;
		return keys_control(k, b);
	}
	return keys_char(k, b);
}

/* ---- the line ---- */

void
sp_line_release(struct sp_line *l)
{
	*l = (struct sp_line){ 0 };
}

void
sp_line_set(struct sp_line *l, const char *s)
{
	l->len = l->cur = 0;
	l->text[0] = '\0';
	for (size_t i = 0, n = strlen(s), k; i < n; i += k) {
		int w;

		k = char_at(s + i, n - i, &w);
		(void)sp_line_insert(l, (const uint8_t *)s + i, k);
	}
}

int
sp_line_insert(struct sp_line *l, const uint8_t *ch, size_t n)
{
	if (l->len + n >= sizeof(l->text) || !sp_text_is_plain((const char *)ch, n))
		return 0;
	memmove(l->text + l->cur + n, l->text + l->cur, l->len - l->cur + 1);
	memcpy(l->text + l->cur, ch, n);
	l->len += n;
	l->cur += n;
	return 1;
}

static size_t
line_next(const struct sp_line *l, size_t at)
{
	int w;

	if (at < l->len)
		at += char_at(l->text + at, l->len - at, &w);
	for (size_t k; at < l->len; at += k) {
		k = char_at(l->text + at, l->len - at, &w);
		if (w != 0)
			break;
	}
	return at;
}

static size_t
line_prev(const struct sp_line *l, size_t at)
{
	size_t p = 0;

	for (size_t q = 0; q < at; q = line_next(l, q))
		p = q;
	return p;
}

static int
line_cut(struct sp_line *l, size_t from, size_t to)
{
	memmove(l->text + from, l->text + to, l->len - to + 1);
	l->len -= to - from;
	l->cur = from;
	return to > from;
}

static size_t
line_word(const struct sp_line *l)
{
	size_t at = l->cur;

	while (at > 0 && l->text[at - 1] == ' ')
		at--;
	while (at > 0 && l->text[at - 1] != ' ')
		at--;
	return at;
}

static int
line_move(struct sp_line *l, size_t to)
{
	int moved = l->cur != to;

	l->cur = to;
	return moved;
}

int
sp_line_key(struct sp_line *l, enum sp_key key)
{
	switch (key) {
	case SP_KEY_BACKSPACE:
		return line_cut(l, line_prev(l, l->cur), l->cur);
	case SP_KEY_DELETE:
		return line_cut(l, l->cur, line_next(l, l->cur));
	case SP_KEY_KILL_LINE:
		return line_cut(l, 0, l->cur);
	case SP_KEY_KILL_WORD:
		return line_cut(l, line_word(l), l->cur);
	case SP_KEY_KILL_REST:
		return line_cut(l, l->cur, l->len);
	case SP_KEY_LEFT:
		return line_move(l, line_prev(l, l->cur));
	case SP_KEY_RIGHT:
		return line_move(l, line_next(l, l->cur));
	case SP_KEY_HOME:
		return line_move(l, 0);
	case SP_KEY_END:
		return line_move(l, l->len);
	default:
		return 0;
	}
}

enum sp_err
sp_line_draw(const struct sp_line *l, const char *prompt, size_t cols, struct sp_buf *out)
{
	size_t prompt_w = sp_text_width(prompt, strlen(prompt));
	size_t room = cols > prompt_w + 3 ? cols - prompt_w - 1 : 2;	/* one column stays for the cursor */
	size_t from = 0, shown, shown_w, cur_w;
	enum sp_err r;

	while (sp_text_width(l->text + from, l->cur - from) > room)
		from = line_next(l, from);
	shown = sp_text_fit(l->text + from, l->len - from, room, &shown_w);
	cur_w = sp_text_width(l->text + from, l->cur - from);
	if ((r = sp_buf_printf(out, "\r%s", prompt)) != SP_OK ||
	    (r = sp_buf_append(out, l->text + from, shown)) != SP_OK || (r = sp_buf_append_str(out, "\x1b[K")) != SP_OK)
		return r;
	return cur_w < shown_w ? sp_buf_printf(out, "\x1b[%zuD", shown_w - cur_w) : SP_OK;
}
