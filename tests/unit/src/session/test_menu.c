/* The menu, driven by keys; what it shows is read from a small screen of cells. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "session/lineedit.h"
#include "session/menu.h"

#define ok(e) assert_int_equal((e), SP_OK)

#define LINES	200
#define COLS	120

/* ---- a terminal that knows what the menu uses; anything else fails the test ---- */
struct screen {
	char	cell[LINES][COLS + 1][8];	/* UTF-8 of each cell; "" behind a wide one */
	size_t	row, col, cols;
	int	cleared;
};

static void
screen_put(struct screen *s, const char *p, size_t n, int w)
{
	if (w == 0) {
		assert_true(s->col > 0);
		return;
	}
	if (s->col + (size_t)w > s->cols) {
		s->row++;
		s->col = 0;
	}
	assert_true(s->row < LINES);
	(void)sp_snprintf(s->cell[s->row][s->col], 8, "%.*s", (int)n, p);
	if (w == 2)
		s->cell[s->row][s->col + 1][0] = '\0';
	s->col += (size_t)w;
}

static size_t
screen_csi(struct screen *s, const char *p)
{
	size_t i = 2;
	unsigned v = 0;

	for (; p[i] >= '0' && p[i] <= '9'; i++)
		v = v * 10 + (unsigned)(p[i] - '0');
	switch (p[i]) {
	case 'm':
		assert_true(v <= 2);	/* plain, bold, dim: nothing else */
		break;
	case 'K':
		for (size_t c = s->col; c < s->cols; c++)
			(void)sp_strlcpy(s->cell[s->row][c], " ", 8);
		break;
	case 'J':
		assert_true(v == 0 || v == 2);
		s->cleared += v == 2;
		for (size_t r = v == 2 ? 0 : s->row; r < LINES; r++)
			for (size_t c = v == 0 && r == s->row ? s->col : 0; c < COLS; c++)
				(void)sp_strlcpy(s->cell[r][c], " ", 8);
		break;
	case 'A':
		assert_true(v >= 1 && v <= s->row);
		s->row -= v;
		break;
	case 'H':
		s->row = s->col = 0;
		break;
	case 'D':
		assert_true(v >= 1 && v <= s->col);
		s->col -= v;
		break;
	default:
		fail_msg("sequence ending in %c", p[i]);
	}
	return i + 1;
}

static void
screen_write(struct screen *s, const char *p, size_t n)
{
	for (size_t i = 0, k; i < n; i += k) {
		uint32_t cp;

		if (p[i] == 0x1b) {
			assert_int_equal(p[i + 1], '[');
			k = screen_csi(s, p + i);
			continue;
		}
		k = 1;
		if (p[i] == '\r')
			s->col = 0;
		else if (p[i] == '\n')
			s->row++;
		else {
			k = sp_utf8_next((const uint8_t *)p + i, n - i, &cp);
			assert_true(k > 0 && cp >= 0x20 && cp != 0x7f && !(cp >= 0x80 && cp < 0xa0));
			screen_put(s, p + i, k, sp_char_width(cp));
		}
	}
}

static const char *
screen_line(struct screen *s, size_t row)
{
	static char text[COLS * 8];
	size_t n = 0;

	for (size_t c = 0; c < s->cols; c++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", s->cell[row][c]);
	while (n > 0 && text[n - 1] == ' ')
		text[--n] = '\0';
	return text;
}

static int
screen_has(struct screen *s, const char *what)
{
	for (size_t r = 0; r < LINES; r++)
		if (strstr(screen_line(s, r), what) != NULL)
			return 1;
	return 0;
}

/* ---- what stands behind the menu ---- */
struct world {
	struct sp_menu	*m;
	struct sp_buf	 out;
	struct screen	 screen;
	size_t		 assets;
	int		 silent;		/* answers nothing */
	uint32_t	 ask, asks;		/* pending number; how many were made */
	enum sp_menu_what what;
	char		 text[300];
	size_t		 sent;			/* rows of the list that is being given */
	size_t		 part;			/* rows of one part */
	size_t		 starred;		/* web<starred> has a star; 0: none */
	int		 chosen, quits, commands;
	char		 command[300];
	char		 account[600], asset[600];
	const char	*remark;
};

static void
on_ask(void *arg, uint32_t ask, enum sp_menu_what what, const uint8_t *id, const char *text)
{
	struct world *w = arg;

	w->ask = ask;
	w->asks++;
	w->what = what;
	(void)sp_strlcpy(w->text, text, sizeof(w->text));
	if (what == SP_MENU_LIST)
		w->sent = 0;
	if (what == SP_MENU_STAR || what == SP_MENU_UNSTAR) {
		size_t k;

		memcpy(&k, id, sizeof(k));
		w->starred = what == SP_MENU_STAR ? k : 0;
	}
}

static void
on_choose(void *arg, const char *account, const char *asset)
{
	struct world *w = arg;

	w->chosen++;
	(void)sp_strlcpy(w->account, account, sizeof(w->account));
	(void)sp_strlcpy(w->asset, asset, sizeof(w->asset));
}

static void
on_quit(void *arg)
{
	((struct world *)arg)->quits++;
}

static void
on_command(void *arg, const char *text)
{
	struct world *w = arg;

	w->commands++;
	(void)sp_strlcpy(w->command, text, sizeof(w->command));
}

static const struct sp_menu_ops ops = { on_ask, on_choose, on_quit, on_command };
static const char *const one[] = { "root" };
static const char *const three[] = { "root", "deploy", "app" };

static void
show(struct world *w)
{
	screen_write(&w->screen, (const char *)w->out.p, w->out.len);
	sp_buf_reset(&w->out);
}

static void
id_of(size_t k, uint8_t id[16])
{
	memset(id, 0, 16);
	memcpy(id, &k, sizeof(k));
}

static void
give_row(struct world *w, uint32_t ask, size_t k, int favourite)
{
	char name[32], address[32];
	uint8_t id[16];
	struct sp_menu_row row = { .id = id, .name = name, .address = address, .remark = w->remark,
	    .accounts = k % 3 == 0 ? three : one, .n_accounts = k % 3 == 0 ? 3 : 1, .favourite = favourite };

	(void)sp_snprintf(name, sizeof(name), "web%zu", k);
	(void)sp_snprintf(address, sizeof(address), "10.0.0.%zu", k);
	id_of(k, id);
	ok(sp_menu_row(w->m, ask, &row));
}

/* web1, web2, ..., but the starred one first, in parts. */
static void
give_list(struct world *w, uint32_t ask)
{
	size_t part = w->part > 0 ? w->part : 7;

	for (size_t i = 0; i < part && w->sent < w->assets; i++) {
		size_t k = ++w->sent;

		if (w->starred > 0)
			k = k == 1 ? w->starred : k <= w->starred ? k - 1 : k;
		give_row(w, ask, k, k == w->starred);
	}
	ok(sp_menu_reply(w->m, ask, (uint32_t)w->assets, w->sent < w->assets, "", 0, &w->out));
}

/* all > front > inner; web1 and web2 in inner, web3 in front (and, twice above, in inner too), the rest in all; web5 in none. */
static void
give_groups(struct world *w, uint32_t ask)
{
	ok(sp_menu_group(w->m, ask, 1, 0, "all"));
	ok(sp_menu_group(w->m, ask, 2, 1, "front"));
	ok(sp_menu_group(w->m, ask, 3, 2, "inner"));
	for (size_t k = 1; k <= w->assets; k++) {
		uint32_t in[2] = { k <= 2 ? 3 : k == 3 ? 2 : 1, 3 };
		uint8_t id[16];

		id_of(k, id);
		if (k != 5)
			ok(sp_menu_place(w->m, ask, id, in, k == 3 ? 2 : 1));
	}
	ok(sp_menu_reply(w->m, ask, 0, 0, "", 0, &w->out));
}

static void
answer(struct world *w)
{
	while (w->ask != 0 && !w->silent) {
		uint32_t ask = w->ask;

		w->ask = 0;
		if (w->what == SP_MENU_LIST || w->what == SP_MENU_MORE)
			give_list(w, ask);
		else if (w->what == SP_MENU_GROUPS)
			give_groups(w, ask);
		else
			ok(sp_menu_reply(w->m, ask, 0, 0, w->what == SP_MENU_WHY ? "one reason\nanother reason" : "", 0, &w->out));
	}
	show(w);
}

static void
type(struct world *w, const char *keys)
{
	for (size_t i = 0; keys[i] != '\0'; i++) {	/* byte by byte: the hardest way to be sent */
		ok(sp_menu_input(w->m, keys + i, 1, &w->out));
		answer(w);
	}
	show(w);
}

static void
size_set(struct world *w, size_t cols)
{
	w->screen.cols = cols;
	for (size_t r = 0; r < LINES; r++)
		for (size_t c = 0; c < COLS; c++)
			(void)sp_strlcpy(w->screen.cell[r][c], " ", 8);
}

static struct world *
world_new(size_t assets, uint32_t cols, uint32_t rows, const char *message)
{
	struct world *w = calloc(1, sizeof(*w));

	w->assets = assets;
	w->remark = "front";
	sp_buf_init(&w->out, SP_MENU_OUT_MAX);
	size_set(w, cols);
	ok(sp_menu_new(&ops, w, "bastion", cols, rows, &w->m));
	sp_menu_terminal(w->m, "xterm", 0);
	ok(sp_menu_start(w->m, message, &w->out));
	answer(w);
	return w;
}

static void
world_free(struct world *w)
{
	sp_menu_free(w->m);
	sp_buf_release(&w->out);
	free(w);
}

#define PROMPT	"Number or search>"

static void
shows_the_first_page_with_numbers(void **state)
{
	struct world *w = world_new(30, 80, 12, NULL);

	(void)state;
	assert_string_equal(screen_line(&w->screen, 1), "bastion");
	assert_string_equal(screen_line(&w->screen, 2), "Type a number, or part of a name, address or remark, then Enter. ? shows more.");
	assert_string_equal(screen_line(&w->screen, 3), "  1  web1  10.0.0.1  root             front");
	assert_string_equal(screen_line(&w->screen, 5), "  3  web3  10.0.0.3  root,deploy,app  front");
	assert_string_equal(screen_line(&w->screen, 8), "  6  web6  10.0.0.6  root,deploy,app  front");
	assert_string_equal(screen_line(&w->screen, 9), "1-6 of 30   Enter or n: next, p: previous, g: groups, ?: help, q: quit");
	assert_string_equal(screen_line(&w->screen, 10), PROMPT);
	world_free(w);
}

static void
fits_into_forty_columns(void **state)
{
	struct world *w = world_new(30, 40, 12, "web1: connection refused");

	(void)state;
	assert_string_equal(screen_line(&w->screen, 3), "  1  web1  10.0.0.1  front");
	assert_string_equal(screen_line(&w->screen, 9), "1-6 of 30   ?: help, q: quit");
	assert_string_equal(screen_line(&w->screen, 10), "web1: connection refused");
	assert_string_equal(screen_line(&w->screen, 11), PROMPT);
	type(w, "?\r");
	assert_true(screen_has(&w->screen, "number, arrows: open that server"));
	world_free(w);
}

static void
a_number_opens_that_server(void **state)
{
	struct world *w = world_new(30, 80, 12, NULL);

	(void)state;
	type(w, "2\r");
	assert_int_equal(w->chosen, 1);
	assert_string_equal(w->asset, "web2");
	assert_string_equal(w->account, "root");
	assert_false(sp_menu_awake(w->m));
	world_free(w);
}

static void
a_number_beyond_the_page_opens_that_server_too(void **state)
{
	struct world *w = world_new(30, 80, 12, NULL);

	(void)state;
	type(w, "29\r");
	assert_string_equal(w->asset, "web29");
	world_free(w);
}

static void
asks_which_account_when_there_are_several(void **state)
{
	struct world *w = world_new(30, 80, 12, NULL);

	(void)state;
	type(w, "3\r");
	assert_int_equal(w->chosen, 0);
	assert_true(screen_has(&w->screen, " 2  deploy"));
	assert_true(screen_has(&w->screen, "Account>"));
	type(w, "9\r");
	assert_true(screen_has(&w->screen, "There is no such account."));
	type(w, "2\r");
	assert_int_equal(w->chosen, 1);
	assert_string_equal(w->account, "deploy");
	assert_string_equal(w->asset, "web3");
	world_free(w);
}

static void
enter_goes_back_from_the_accounts(void **state)
{
	struct world *w = world_new(30, 80, 12, NULL);

	(void)state;
	type(w, "3\r\r");
	assert_int_equal(w->chosen, 0);
	type(w, "1\r");
	assert_string_equal(w->asset, "web1");
	world_free(w);
}

static void
text_searches_and_the_numbers_count_the_result(void **state)
{
	struct world *w = world_new(30, 80, 24, NULL);

	(void)state;
	type(w, "eb2\r");
	assert_true(screen_has(&w->screen, "bastion: \"eb2\""));
	assert_true(screen_has(&w->screen, "1-11 of 11"));
	type(w, "2\r");
	assert_string_equal(w->asset, "web20");
	world_free(w);
}

static void
the_whole_name_of_a_server_opens_it(void **state)
{
	struct world *w = world_new(30, 80, 24, NULL);

	(void)state;
	type(w, "web1\r");
	assert_int_equal(w->chosen, 1);
	assert_string_equal(w->asset, "web1");
	world_free(w);
}

static void
account_at_server_goes_straight_there(void **state)
{
	struct world *w = world_new(30, 80, 24, NULL);
	uint32_t asks = w->asks;

	(void)state;
	type(w, "joe@corp@db7\r");
	assert_int_equal(w->asks, asks);
	assert_string_equal(w->account, "joe@corp");
	assert_string_equal(w->asset, "db7");
	world_free(w);
}

static void
enter_n_and_p_turn_pages_and_wrap(void **state)
{
	struct world *w = world_new(14, 80, 12, NULL);

	(void)state;
	type(w, "\r");
	assert_true(screen_has(&w->screen, "7-12 of 14"));
	type(w, "n\r");
	assert_true(screen_has(&w->screen, "13-14 of 14"));
	type(w, "\r");
	assert_true(screen_has(&w->screen, "1-6 of 14"));
	type(w, "\033[6~");
	assert_true(screen_has(&w->screen, "7-12 of 14"));
	type(w, "p\r");
	assert_true(screen_has(&w->screen, "1-6 of 14"));
	assert_false(screen_has(&w->screen, "7-12"));		/* painted over, not below */
	world_free(w);
}

static void
the_list_narrows_with_each_key_and_widens_again(void **state)
{
	struct world *w = world_new(30, 80, 24, NULL);

	(void)state;
	type(w, "e");
	assert_true(screen_has(&w->screen, "of 30"));
	type(w, "b2");
	assert_true(screen_has(&w->screen, "1-11 of 11"));
	type(w, "7");
	assert_true(screen_has(&w->screen, "1-1 of 1"));
	type(w, "\177");
	assert_true(screen_has(&w->screen, "1-11 of 11"));
	type(w, " .0.22");					/* another word: part of the address */
	assert_true(screen_has(&w->screen, "1-1 of 1"));
	type(w, "\r");
	assert_string_equal(w->asset, "web22");
	assert_int_equal(w->asks, 5);				/* the list in five parts, and nothing since */
	world_free(w);
}

static void
arrow_keys_select_and_enter_opens(void **state)
{
	struct world *w = world_new(30, 80, 24, NULL);

	(void)state;
	type(w, "eb1\033[B\033[B");
	assert_true(screen_has(&w->screen, "> 2  web10"));
	type(w, "\033[A\033[A");				/* over the upper end */
	assert_true(screen_has(&w->screen, ">11  web19"));
	type(w, "\r");
	assert_string_equal(w->asset, "web19");
	world_free(w);
}

static void
a_star_puts_a_server_first(void **state)
{
	struct world *w = world_new(30, 80, 24, NULL);

	(void)state;
	type(w, "*web7\r");
	assert_int_equal(w->starred, 7);
	assert_true(screen_has(&w->screen, "  1* web7"));
	assert_true(screen_has(&w->screen, "web7 has a star."));
	type(w, "\033[B*");					/* the selected one: off again */
	assert_int_equal(w->starred, 0);
	assert_true(screen_has(&w->screen, "  1  web1"));
	type(w, "*99\r");
	assert_true(screen_has(&w->screen, "There is no such server in the list."));
	world_free(w);
}

static void
groups_are_a_tree_with_counts(void **state)
{
	struct world *w = world_new(9, 80, 24, NULL);

	(void)state;
	type(w, "g\r");
	assert_true(screen_has(&w->screen, "bastion / groups"));
	assert_true(screen_has(&w->screen, "  1  all/  (8)"));
	assert_true(screen_has(&w->screen, "  2  web5"));	/* in no group */
	type(w, "1\r");
	assert_true(screen_has(&w->screen, "bastion / all"));
	assert_true(screen_has(&w->screen, "  1  front/  (3)"));
	assert_true(screen_has(&w->screen, "  2  web4"));
	assert_false(screen_has(&w->screen, "web1"));
	type(w, "1\r1\r");
	assert_true(screen_has(&w->screen, "bastion / all / front / inner"));
	assert_true(screen_has(&w->screen, "1-3 of 3"));
	type(w, "..\r..\r");
	assert_true(screen_has(&w->screen, "bastion / all"));
	type(w, "web2");					/* below, too */
	assert_true(screen_has(&w->screen, "1-1 of 1"));
	type(w, "\r");
	assert_string_equal(w->asset, "web2");
	world_free(w);
}

static void
why_shows_every_line_of_the_answer(void **state)
{
	struct world *w = world_new(30, 80, 24, NULL);

	(void)state;
	type(w, "why  deploy@db 7\r");
	assert_int_equal(w->what, SP_MENU_WHY);
	assert_string_equal(w->text, "deploy@db 7");
	assert_true(screen_has(&w->screen, "one reason"));
	assert_true(screen_has(&w->screen, "another reason"));
	assert_true(screen_has(&w->screen, "of 30"));
	world_free(w);
}

static void
the_first_screen_does_not_wait_for_the_last_row(void **state)
{
	struct world *w = world_new(0, 80, 12, NULL);

	(void)state;
	w->assets = 100;
	w->silent = 1;
	type(w, "r\r");
	assert_true(screen_has(&w->screen, "No server") == 0);
	for (size_t k = 1; k <= 10; k++)
		give_row(w, w->ask, k, 0);
	ok(sp_menu_reply(w->m, w->ask, 100, 1, "", 0, &w->out));
	show(w);
	assert_int_equal(w->what, SP_MENU_MORE);
	assert_true(screen_has(&w->screen, "1-6 of 100"));
	world_free(w);
}

/* Nothing but text, CR, LF, BS. */
static void
a_dumb_terminal_gets_no_sequence(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	(void)state;
	w->assets = 30;
	w->remark = "front";
	sp_buf_init(&w->out, SP_MENU_OUT_MAX);
	ok(sp_menu_new(&ops, w, "bastion", 80, 24, &w->m));
	sp_menu_terminal(w->m, "dumb", 0);
	ok(sp_menu_start(w->m, NULL, &w->out));
	w->silent = 1;
	for (const char *k = "\0web2x\177\177\025web2\rg\r?\r1"; w->chosen == 0; k++) {
		while (w->ask != 0) {
			uint32_t ask = w->ask;

			w->ask = 0;
			if (w->what == SP_MENU_GROUPS)
				give_groups(w, ask);
			else
				give_list(w, ask);
		}
		if (*k != '\0')
			ok(sp_menu_input(w->m, k, 1, &w->out));
	}
	assert_string_equal(w->asset, "web2");
	assert_null(memchr(w->out.p, 0x1b, w->out.len));
	world_free(w);
}

static void
no_color_means_neither_bold_nor_dim(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	(void)state;
	w->assets = 30;
	sp_buf_init(&w->out, SP_MENU_OUT_MAX);
	ok(sp_menu_new(&ops, w, "bastion", 80, 24, &w->m));
	sp_menu_terminal(w->m, "xterm", 1);
	ok(sp_menu_start(w->m, NULL, &w->out));
	w->part = 30;
	give_list(w, w->ask);
	assert_true(w->out.len > 100);
	assert_null(strstr(sp_buf_cstr(&w->out), "\x1b[1m"));
	assert_null(strstr(sp_buf_cstr(&w->out), "\x1b[2m"));
	world_free(w);
}

static void
a_slash_searches_for_what_would_be_a_command(void **state)
{
	struct world *w = world_new(30, 80, 24, NULL);

	(void)state;
	type(w, "/2\r");
	assert_int_equal(w->chosen, 0);
	assert_true(screen_has(&w->screen, "of 12"));
	type(w, "/\r");
	assert_true(screen_has(&w->screen, "of 30"));
	world_free(w);
}

static void
tab_completes_names(void **state)
{
	struct world *w = world_new(5, 80, 24, NULL);

	(void)state;
	type(w, "W\t");
	assert_true(screen_has(&w->screen, PROMPT " web"));
	type(w, "\t");
	assert_true(screen_has(&w->screen, "1-5 of 5"));
	type(w, "4\t\r");
	assert_string_equal(w->asset, "web4");
	world_free(w);
}

static void
tab_completes_addresses_and_words_of_remarks_where_no_name_begins_so(void **state)
{
	struct world *w = world_new(5, 80, 24, NULL);

	(void)state;
	type(w, "10.\t");
	assert_true(screen_has(&w->screen, PROMPT " 10.0.0."));
	type(w, "\025fr\t");
	assert_true(screen_has(&w->screen, PROMPT " front"));
	type(w, "\025zz\t");
	assert_true(screen_has(&w->screen, PROMPT " zz"));
	world_free(w);
}

static void
tab_completes_the_server_of_an_account(void **state)
{
	struct world *w = world_new(1, 80, 24, NULL);

	(void)state;
	type(w, "deploy@w\t\r");
	assert_string_equal(w->account, "deploy");
	assert_string_equal(w->asset, "web1");
	world_free(w);
}

static void
quits_on_q_and_on_control_d(void **state)
{
	struct world *w = world_new(3, 80, 24, NULL);

	(void)state;
	type(w, "q\r");
	assert_int_equal(w->quits, 1);
	ok(sp_menu_start(w->m, NULL, &w->out));
	answer(w);
	type(w, "\004");
	assert_int_equal(w->quits, 2);
	world_free(w);
}

static void
control_c_drops_the_line_then_the_search(void **state)
{
	struct world *w = world_new(30, 80, 24, NULL);

	(void)state;
	type(w, "web2x\003");
	assert_true(screen_has(&w->screen, PROMPT));
	assert_false(screen_has(&w->screen, "web2x"));
	type(w, "eb3\r");
	assert_true(screen_has(&w->screen, "1-2 of 2"));
	type(w, "\003");
	assert_true(screen_has(&w->screen, "of 30"));
	assert_int_equal(w->chosen, 0);
	world_free(w);
}

static void
keys_wait_for_an_answer_and_control_c_ends_the_wait(void **state)
{
	struct world *w = world_new(30, 80, 24, NULL);
	uint32_t late;

	(void)state;
	w->silent = 1;
	type(w, "why x\r1\r");
	assert_int_equal(w->chosen, 0);
	late = w->ask;
	type(w, "\003");
	w->ask = 0;
	ok(sp_menu_reply(w->m, late, 0, 0, "too late", 0, &w->out));	/* nobody listens any more */
	show(w);
	assert_false(screen_has(&w->screen, "too late"));
	w->silent = 0;
	type(w, "2\r");
	assert_string_equal(w->asset, "web2");
	world_free(w);
}

static void
what_is_typed_after_a_choice_is_for_the_target(void **state)
{
	struct world *w = world_new(30, 80, 24, NULL);
	struct sp_buf rest;

	(void)state;
	w->silent = 1;
	sp_buf_init(&rest, 1000);
	ok(sp_menu_input(w->m, "1\r\nls\r", 6, &w->out));
	ok(sp_menu_input(w->m, "exit\r", 5, &w->out));
	assert_string_equal(w->asset, "web1");
	ok(sp_menu_take_rest(w->m, &rest));
	assert_string_equal(sp_buf_cstr(&rest), "ls\rexit\r");
	sp_buf_release(&rest);
	/* What was not taken is not read as menu keys afterwards. */
	ok(sp_menu_input(w->m, "2\r", 2, &w->out));
	w->silent = 0;
	w->chosen = 0;
	w->screen.row = 0;
	ok(sp_menu_start(w->m, "web1: connection refused", &w->out));
	answer(w);
	assert_int_equal(w->chosen, 0);
	assert_true(screen_has(&w->screen, "web1: connection refused"));
	world_free(w);
}

static void
edits_the_line_in_the_middle(void **state)
{
	struct world *w = world_new(30, 80, 24, NULL);

	(void)state;
	type(w, "abd\033[Dc");
	assert_true(screen_has(&w->screen, PROMPT " abcd"));
	type(w, "\033OH\033[3~X\033[F!");
	assert_true(screen_has(&w->screen, PROMPT " Xbcd!"));
	type(w, " two words\027\027");
	assert_true(screen_has(&w->screen, PROMPT " Xbcd!"));
	assert_false(screen_has(&w->screen, "two"));
	type(w, "\025");
	assert_false(screen_has(&w->screen, "Xbcd"));
	world_free(w);
}

static void
wide_characters_take_two_columns(void **state)
{
	struct world *w = world_new(30, 80, 24, NULL);
	size_t col = strlen(PROMPT) + 1;

	(void)state;
	type(w, "\xe6\x95\xb0\xe6\x8d\xae" "e\xcc\x81");
	assert_int_equal(w->screen.col, col + 5);
	type(w, "\033[D");
	assert_int_equal(w->screen.col, col + 4);	/* over the letter with its mark */
	type(w, "\033[D\177");
	assert_int_equal(w->screen.col, col);
	assert_int_equal(sp_text_width("\xe6\x95\xb0", 3), 2);
	world_free(w);
}

static void
a_line_longer_than_the_screen_scrolls_sideways(void **state)
{
	struct world *w = world_new(3, 40, 24, NULL);
	size_t row;

	(void)state;
	type(w, "0123456789");
	row = w->screen.row;
	for (int i = 0; i < 20; i++)
		type(w, "0123456789");
	assert_int_equal(w->screen.row, row);
	assert_true(w->screen.col < 40);
	type(w, "\033[H");
	assert_int_equal(w->screen.col, strlen(PROMPT) + 1);
	world_free(w);
}

static void
a_hostile_remark_is_harmless(void **state)
{
	/* The screen of this test fails on any sequence or control character that the menu does not use itself. */
	struct world *w = calloc(1, sizeof(*w));

	(void)state;
	w->assets = 3;
	w->remark = "\033]0;owned\007\033[2J\xc2\x9b" "31m\r\nfake\xe2\x80\xae" "txt\xff" "\xcc\x81\xcc\x81\xcc\x81\xcc\x81";
	sp_buf_init(&w->out, SP_MENU_OUT_MAX);
	size_set(w, 100);
	ok(sp_menu_new(&ops, w, "bastion", 100, 24, &w->m));
	sp_menu_terminal(w->m, "xterm", 0);
	ok(sp_menu_start(w->m, "\033[31mbad\nmessage", &w->out));
	answer(w);
	assert_int_equal(w->screen.cleared, 0);
	assert_true(screen_has(&w->screen, "\\x1b[31mbad"));
	assert_true(screen_has(&w->screen, "\\x1b]0;owned"));
	world_free(w);
}

static void
hostile_keys_are_harmless(void **state)
{
	struct world *w = world_new(3, 80, 24, NULL);
	uint32_t seed = 1;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		char b[2] = { 0, 0 };

		seed = seed * 1103515245u + 12345u;
		b[0] = (char)(seed >> 16);
		if (b[0] == '\0')
			continue;
		type(w, b);
		if (!sp_menu_awake(w->m)) {
			ok(sp_menu_start(w->m, NULL, &w->out));
			answer(w);
		}
		if (w->screen.row > LINES - 60) {	/* a fresh page */
			w->screen.row = 0;
			type(w, "\014");
		}
	}
	world_free(w);
}

static void
a_new_size_redraws(void **state)
{
	struct world *w = world_new(30, 80, 24, NULL);

	(void)state;
	type(w, "abc");
	type(w, "\025web");
	w->screen.cols = 40;
	ok(sp_menu_resize(w->m, 40, 12, &w->out));
	answer(w);
	assert_int_equal(w->screen.cleared, 1);
	assert_true(screen_has(&w->screen, "1-6 of 30   ?: help, q: quit"));
	assert_true(screen_has(&w->screen, PROMPT " web"));
	w->screen.cols = 100;
	ok(sp_menu_resize(w->m, 100, 40, &w->out));
	answer(w);
	assert_true(screen_has(&w->screen, "1-30 of 30"));
	world_free(w);
}

static void
the_choices_of_a_decision_are_asked(void **state)
{
	struct world *w = world_new(30, 80, 24, NULL);

	(void)state;
	type(w, "1\r");
	ok(sp_menu_choices(w->m, "web1", three, 3, &w->out));
	show(w);
	type(w, "app\r");
	assert_string_equal(w->account, "app");
	assert_string_equal(w->asset, "web1");
	world_free(w);
}

static void
says_so_when_nothing_matches(void **state)
{
	struct world *w = world_new(30, 80, 24, NULL);

	(void)state;
	type(w, "zzz\r");
	assert_true(screen_has(&w->screen, "Nothing matches."));
	type(w, "\r");
	assert_true(screen_has(&w->screen, "of 30"));
	world_free(w);
}

static void
a_notice_leaves_the_line_that_is_being_typed(void **state)
{
	struct world *w = world_new(30, 80, 24, NULL);

	(void)state;
	type(w, "web");
	ok(sp_menu_message(w->m, "root: maintenance at noon", &w->out));
	show(w);
	assert_true(screen_has(&w->screen, "root: maintenance at noon"));
	assert_string_equal(screen_line(&w->screen, w->screen.row), PROMPT " web");
	world_free(w);
}

static int
seen(struct world *w, const char *what)
{
	return screen_has(&w->screen, what);
}

/* The line with the cursor. */
static const char *
last(struct world *w)
{
	return screen_line(&w->screen, w->screen.row);
}

/* What a command of Sallyport prints comes between, on the terminal. */
static void
prints(struct world *w, const char *text)
{
	ok(sp_buf_append(&w->out, text, strlen(text)));
	ok(sp_menu_said(w->m, &w->out));
	answer(w);
}

static void
a_colon_runs_a_command_and_the_next_one_until_an_empty_line(void **state)
{
	struct world *w = world_new(3, 80, 24, NULL);
	uint32_t asks = w->asks;

	(void)state;
	type(w, ":user list");
	assert_true(seen(w, "1-3 of 3"));		/* no search */
	type(w, "\r");
	assert_string_equal(w->command, "user list");
	assert_int_equal(sp_menu_awake(w->m), 0);
	prints(w, "LOGIN\r\nalice\r\n");
	assert_true(seen(w, "alice"));
	assert_string_equal(last(w), "Command (Enter: menu)>");
	assert_int_equal(w->asks, asks);
	type(w, "session list\r");			/* the colon is not needed here */
	assert_string_equal(w->command, "session list");
	prints(w, "nothing\r\n");
	type(w, " : whoami\r");
	assert_string_equal(w->command, "whoami");
	prints(w, "alice, user\r\n");
	type(w, "\r");
	assert_true(w->asks > asks);		/* it may have changed what is granted */
	assert_true(seen(w, "1-3 of 3"));
	assert_int_equal(w->commands, 3);
	type(w, ":x\r");
	prints(w, "\r\n");
	type(w, "\x03");			/* Ctrl-C leads back, too */
	assert_string_equal(last(w), PROMPT);
	type(w, ":x\r");
	prints(w, "\r\n");
	type(w, "\x04");			/* and Ctrl-D, which does not quit there */
	assert_string_equal(last(w), PROMPT);
	assert_int_equal(w->quits, 0);
	type(w, ":\r");
	assert_true(seen(w, "Write a command behind the colon"));
	type(w, ":why web1\r");
	assert_string_equal(w->text, "web1");
	assert_true(seen(w, "another reason"));
	assert_int_equal(w->commands, 5);
	world_free(w);
}

static void
keys_typed_ahead_of_a_command_s_end_are_the_next_command(void **state)
{
	struct world *w = world_new(3, 80, 24, NULL);

	(void)state;
	ok(sp_menu_input(w->m, ":one\rtwo\r\rq\r", 13, &w->out));
	assert_string_equal(w->command, "one");
	prints(w, "1\r\n");
	assert_string_equal(w->command, "two");
	prints(w, "2\r\n");
	assert_int_equal(w->quits, 1);
	world_free(w);
}

static void
tab_completes_the_first_word_of_a_command(void **state)
{
	struct world *w = world_new(3, 80, 24, NULL);

	(void)state;
	type(w, ":sess\tlist\r");
	assert_string_equal(w->command, "session list");
	prints(w, "\r\n");
	type(w, "as\t");
	assert_string_equal(last(w), "Command (Enter: menu)> asset");
	type(w, "-\tlist\r");
	assert_string_equal(w->command, "asset-group list");
	world_free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_the_first_page_with_numbers),
		cmocka_unit_test(fits_into_forty_columns),
		cmocka_unit_test(a_number_opens_that_server),
		cmocka_unit_test(a_number_beyond_the_page_opens_that_server_too),
		cmocka_unit_test(asks_which_account_when_there_are_several),
		cmocka_unit_test(enter_goes_back_from_the_accounts),
		cmocka_unit_test(text_searches_and_the_numbers_count_the_result),
		cmocka_unit_test(the_whole_name_of_a_server_opens_it),
		cmocka_unit_test(account_at_server_goes_straight_there),
		cmocka_unit_test(enter_n_and_p_turn_pages_and_wrap),
		cmocka_unit_test(a_slash_searches_for_what_would_be_a_command),
		cmocka_unit_test(the_list_narrows_with_each_key_and_widens_again),
		cmocka_unit_test(arrow_keys_select_and_enter_opens),
		cmocka_unit_test(a_star_puts_a_server_first),
		cmocka_unit_test(groups_are_a_tree_with_counts),
		cmocka_unit_test(why_shows_every_line_of_the_answer),
		cmocka_unit_test(the_first_screen_does_not_wait_for_the_last_row),
		cmocka_unit_test(a_dumb_terminal_gets_no_sequence),
		cmocka_unit_test(no_color_means_neither_bold_nor_dim),
		cmocka_unit_test(tab_completes_names),
		cmocka_unit_test(tab_completes_addresses_and_words_of_remarks_where_no_name_begins_so),
		cmocka_unit_test(tab_completes_the_server_of_an_account),
		cmocka_unit_test(quits_on_q_and_on_control_d),
		cmocka_unit_test(control_c_drops_the_line_then_the_search),
		cmocka_unit_test(keys_wait_for_an_answer_and_control_c_ends_the_wait),
		cmocka_unit_test(what_is_typed_after_a_choice_is_for_the_target),
		cmocka_unit_test(edits_the_line_in_the_middle),
		cmocka_unit_test(wide_characters_take_two_columns),
		cmocka_unit_test(a_line_longer_than_the_screen_scrolls_sideways),
		cmocka_unit_test(a_hostile_remark_is_harmless),
		cmocka_unit_test(hostile_keys_are_harmless),
		cmocka_unit_test(a_new_size_redraws),
		cmocka_unit_test(the_choices_of_a_decision_are_asked),
		cmocka_unit_test(says_so_when_nothing_matches),
		cmocka_unit_test(a_notice_leaves_the_line_that_is_being_typed),
		cmocka_unit_test(a_colon_runs_a_command_and_the_next_one_until_an_empty_line),
		cmocka_unit_test(keys_typed_ahead_of_a_command_s_end_are_the_next_command),
		cmocka_unit_test(tab_completes_the_first_word_of_a_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
