/* tests/fuzz/fuzz_menu.c - keys into the menu and its line, split anywhere, with answers, sizes and notices between them.
 * What reaches the terminal is plain UTF-8 and the few sequences that the menu itself uses; the line stays plain text with the
 * cursor between characters.
 * Input: the first byte seeds sizes; then keys; 0xf8..0xff (never UTF-8) are events instead: see event(). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "session/lineedit.h"
#include "session/menu.h"

struct world {
	struct sp_menu	*menu;
	uint32_t	 ask;
	enum sp_menu_what what;
	size_t		 sent;		/* rows */
	int		 asked, asleep, commanded, full;
	struct sp_buf	 out;
};

static void
on_ask(void *arg, uint32_t ask, enum sp_menu_what what, const uint8_t *id, const char *text)
{
	struct world *w = arg;

	if (!sp_text_is_plain(text, strlen(text)) || (id != NULL) != (what == SP_MENU_STAR || what == SP_MENU_UNSTAR))
		abort();
	w->sent = what == SP_MENU_MORE ? w->sent : 0;
	w->ask = ask;
	w->what = what;
	w->asked = 1;
}

static void
on_choose(void *arg, const char *account, const char *asset)
{
	struct world *w = arg;

	if (w->asleep || strlen(account) > SP_MENU_TEXT_MAX || strlen(asset) > SP_MENU_TEXT_MAX)
		abort();
	w->asleep = 1;
}

static void
on_quit(void *arg)
{
	struct world *w = arg;

	if (w->asleep)
		abort();
	w->asleep = 1;
}

static void
on_command(void *arg, const char *text)
{
	struct world *w = arg;

	if (w->asleep || *text == '\0' || strlen(text) > SP_MENU_LINE_MAX || !sp_text_is_plain(text, strlen(text)))
		abort();
	w->asleep = w->commanded = 1;
}

static const struct sp_menu_ops ops = { on_ask, on_choose, on_quit, on_command };

/* Only text, line ends, and CSI with numbers that ends in a letter: nothing from outside makes an escape sequence. */
static void
terminal_takes(const struct sp_buf *b)
{
	for (size_t i = 0, k; i < b->len; i += k) {
		uint32_t cp;

		if (b->p[i] == 0x1b) {
			if (i + 2 >= b->len || b->p[i + 1] != '[')
				abort();
			for (k = 2; i + k < b->len && ((b->p[i + k] >= '0' && b->p[i + k] <= '9') || b->p[i + k] == ';' || b->p[i + k] == '?'); k++)
				;
			if (i + k >= b->len || b->p[i + k] < '@' || b->p[i + k] > 'z')
				abort();
			k++;
			continue;
		}
		k = 1;
		if (b->p[i] == '\r' || b->p[i] == '\n' || b->p[i] == '\a' || b->p[i] == '\b')
			continue;
		if ((k = sp_utf8_next(b->p + i, b->len - i, &cp)) == 0 || cp < 0x20 || (cp >= 0x7f && cp < 0xa0) ||
		    (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069))
			abort();
	}
}

static void
settle(struct world *w, enum sp_err r)
{
	w->full |= r != SP_OK;	/* the caller ends the connection then */
	terminal_takes(&w->out);
	w->out.len = 0;
}

static enum sp_err
reply(struct world *w)
{
	static const char *const accounts[] = { "root", "\x1b[31mevil", "\xe4\xb8\xad\xe6\x96\x87" };
	static const uint32_t in[] = { 3, 1, 0, 9 };
	enum sp_err r = SP_OK;
	uint8_t id[16] = { 0 };

	w->asked = 0;
	for (size_t i = 0; i < 7 && r == SP_OK; i++) {
		struct sp_menu_row row = { .id = id, .name = i % 2 ? "web1" : "\x1b]0;x\a\xff name", .address = "10.0.0.1", .remark = "r\r\n",
		    .accounts = accounts, .n_accounts = i % 4, .favourite = i == 0, .recent = (unsigned)i };

		id[0] = (uint8_t)w->sent++;
		if ((r = sp_menu_row(w->menu, w->ask, &row)) == SP_OK && i < 4)
			r = sp_menu_group(w->menu, w->ask, (uint32_t)i + 1, (uint32_t)i * 2, i % 2 ? "dc\x1b[2J" : "\xe4\xb8\xad");
	}
	for (id[0] = 0; id[0] < 9 && r == SP_OK; id[0]++)
		r = sp_menu_place(w->menu, w->ask, id, in + id[0] % 3, 1 + id[0] % 2);
	return r != SP_OK ? r : sp_menu_reply(w->menu, w->ask, (uint32_t)w->sent, w->sent == 7, w->what == SP_MENU_WHY ? "a\x1b[1m\nb\nc" : "",
	    0, &w->out);
}

/* 0: not an event. */
static int
event(struct world *w, uint8_t c, uint8_t arg)
{
	static const char *const accounts[] = { "root", "deploy\x1b[0m" };
	enum sp_err r = SP_OK;
	struct sp_buf rest = { .max = SP_MENU_AHEAD };

	switch (c) {
	case 0xf8:
	case 0xf9:
		if (w->asked && c == 0xf8)
			r = reply(w);
		else if (w->asked) {
			w->asked = 0;
			r = sp_menu_reply(w->menu, w->ask, 0, 0, "no \x1b[5manswer", 1, &w->out);
		}
		break;
	case 0xfa:
		r = sp_menu_resize(w->menu, arg, (uint32_t)arg * 7 % 200, &w->out);
		break;
	case 0xfb:
		if (sp_menu_awake(w->menu))
			r = sp_menu_message(w->menu, arg & 1 ? "notice \x1b[2J\xff" : "\xe4\xb8\xad", &w->out);
		break;
	case 0xfc:
		if (w->asked)	/* an answer to an older question */
			r = sp_menu_reply(w->menu, w->ask - 1 - arg, 0, 0, "late", 0, &w->out);
		break;
	case 0xfd:
		if (!w->asleep)
			break;
		if (sp_menu_take_rest(w->menu, &rest) == SP_ESIZE)
			abort();
		sp_buf_release(&rest);
		w->asleep = w->commanded = 0;
		r = sp_menu_start(w->menu, arg & 1 ? "web1: \x1b[5mrefused" : NULL, &w->out);
		break;
	case 0xfe:
		if (!w->asleep)
			break;
		w->asleep = 0;
		r = w->commanded ? sp_menu_said(w->menu, &w->out) : sp_menu_choices(w->menu, "web1\x1b[1m", accounts, 2, &w->out);
		w->commanded = 0;
		break;
	default:
		return 0;
	}
	settle(w, r);
	return 1;
}

static void
line_holds(const uint8_t *data, size_t size)
{
	struct sp_keys keys = { 0 };
	struct sp_line line = { .len = 0 };
	struct sp_buf out = { .max = SP_MENU_OUT_MAX };

	for (size_t i = 0; i < size; i++) {
		enum sp_key k = sp_keys_feed(&keys, data[i]);

		if (k == SP_KEY_CHAR)
			(void)sp_line_insert(&line, keys.ch, keys.ch_len);
		else
			(void)sp_line_key(&line, k);
		if (line.len >= SP_LINE_SIZE || line.text[line.len] != '\0' || line.cur > line.len ||
		    !sp_text_is_plain(line.text, line.len) ||
		    (line.cur < line.len && ((unsigned char)line.text[line.cur] & 0xc0) == 0x80))
			abort();
		if (i % 16 == 0) {
			if (sp_line_draw(&line, "> ", data[i] % 100, &out) != SP_OK)
				abort();
			terminal_takes(&out);
			out.len = 0;
		}
	}
	sp_buf_release(&out);
	sp_line_release(&line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = { .out = { .max = SP_MENU_OUT_MAX } };

	if (size == 0 || size > 16384)
		return 0;
	line_holds(data + 1, size - 1);
	if (sp_menu_new(&ops, &w, "sallyport", data[0], data[0] / 3, &w.menu) != SP_OK)
		abort();
	sp_menu_terminal(w.menu, data[0] & 1 ? "xterm" : data[0] & 2 ? "dumb" : "linux", data[0] & 4);
	settle(&w, sp_menu_start(w.menu, NULL, &w.out));
	for (size_t i = 1; i < size && !w.full; i++)
		if (!event(&w, data[i], i + 1 < size ? data[i + 1] : 0))
			settle(&w, sp_menu_input(w.menu, data + i, 1, &w.out));
	sp_menu_free(w.menu);
	sp_buf_release(&w.out);
	return 0;
}
