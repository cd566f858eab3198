/* lib/term/track.c - keys and output into lines that ran. Invariants: track.h.
 *
 *   typing      the first key of a line fixes where it begins: the cursor, what stands left of it (the prompt) and right
 *   Enter       the draft goes to the queue of pending lines; more may follow before anything comes back
 *   line feed   output is fed to the terminal up to each line feed. Before one, while lines are pending, the screen is read:
 *               - the typed text stands there: that line has run
 *               - typing began at rest at that place, but something else stands there (history, completion, a key bound to
 *                 text): what stands there has run
 *               - nothing stands there: it was typed without echo
 *               - else the line feed is somebody else's output: the line stays pending
 * What speaks against a reading, and makes it uncertain: typed text that differs, a start that was not at rest, rows joined by
 * guess, more than one blank in a row or ^X in text that only the screen knows (a tab, a control character), keys that may
 * print lines of their own, history expansion. */
#include "term/track.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "term/track_int.h"

#define QUIET_US	15000u		/* output rests: what was asked for has been drawn */
#define PROMPT_US	50000u
#define RTT_MAX_US	2000000u
#define SKIPS		16u		/* line feeds inside one line, at most */

static struct sp_view
view(const struct sp_buf *b)
{
	return (struct sp_view){ b->p, b->len };
}

/* ---- drafts */

static void
draft_clear(struct draft *d)
{
	struct sp_buf model = d->model, gone = d->gone;

	sp_buf_reset(&model);
	sp_buf_reset(&gone);
	*d = (struct draft){ .model = model, .gone = gone };
}

static void
draft_init(struct draft *d)
{
	sp_buf_init(&d->model, SP_TRACK_TEXT_MAX);
	sp_buf_init(&d->gone, SP_TRACK_TEXT_MAX);
}

static void
draft_free(struct draft *d)
{
	sp_buf_release(&d->model);
	sp_buf_release(&d->gone);
}

static void
line_ended(struct sp_track *l, uint64_t at_us)
{
	if (l->running != 0 && l->end != NULL)
		l->end(l->running, at_us, l->arg);
	l->running = 0;
}

/* "host:~$ ", "mysql> ", "(y/n)? ": what an interactive program prints before it reads. */
static int
looks_like_prompt(const char *s)
{
	size_t n = strlen(s);

	return n >= 2 && s[n - 1] == ' ' && strchr("$#%>:?", s[n - 2]) != NULL;
}

static void
draft_begin(struct sp_track *l, uint64_t now_us)
{
	struct draft *d = &l->draft;
	const char *known;
	unsigned y, x;

	draft_clear(d);
	sp_term_cursor(l->term, &y, &x);
	d->active = d->exact = 1;
	d->alt = (sp_term_modes(l->term) & SP_MODE_ALT) != 0;
	d->row = sp_term_scrolled(l->term) + y;
	d->col = x;
	d->begun_us = now_us;
	line_sides(l, d->prompt, sizeof(d->prompt), d->right, sizeof(d->right));
	/* At the first column of a shell that is known to have a prompt: it is not back yet. */
	d->start_ok = l->pending_n == 0 && !l->awaiting && (d->prompt[0] != '\0' || l->prompts[0][0] == '\0');
	/* A line that was put there without typing, behind a prompt seen before (Ctrl-O): it begins behind the prompt. */
	if (d->start_ok && !line_prompt_known(l, d->prompt) && (known = line_prompt_of(l, d->prompt)) != NULL) {
		d->prompt[strlen(known)] = '\0';
		d->exact = 0;
		d->col = 0;		/* found by its prompt */
	}
	d->quiet_prompt = !d->alt || (looks_like_prompt(d->prompt) || line_prompt_known(l, d->prompt));
	if (d->start_ok && l->out_us != 0 && l->pending_n == 0)
		line_ended(l, l->out_us);
	l->rtt_open = 1;
}

/* Take the last character of the model away; false: what is left is not known. */
static int
model_erase(struct draft *d)
{
	if (d->model.len == 0)
		return 1;
	if (d->model.p[d->model.len - 1] >= 0x80)
		return 0;			/* how much goes depends on the editor */
	d->model.p[--d->model.len] = '\0';
	return 1;
}

static void
model_add(struct draft *d, uint8_t b)
{
	if (sp_buf_append(&d->model, &b, 1) != SP_OK) {
		d->overflow = 1;
		d->exact = 0;
	}
}

/* ---- prompts */

static void
prompt_learn(struct sp_track *l, const char *prompt)
{
	unsigned i = 0;
	char copy[SP_TRACK_PROMPT_MAX];

	if (prompt[0] == '\0')
		return;
	(void)sp_strlcpy(copy, prompt, sizeof(copy));
	while (i < PROMPTS - 1 && strcmp(l->prompts[i], copy) != 0)
		i++;
	memmove(l->prompts[1], l->prompts[0], i * sizeof(l->prompts[0]));
	(void)sp_strlcpy(l->prompts[0], copy, sizeof(l->prompts[0]));
}

/* ---- records */

static void
record(struct sp_track *l, const struct draft *d, struct sp_buf *text, int certain, int hidden, int no_enter,
    const char *prompt)
{
	struct sp_track_record r = { .number = l->number + 1, .at_us = d->enter_us, .certain = certain && !hidden,
	    .hidden = hidden, .no_enter = no_enter, .prompt = prompt, .cut = d->overflow };

	if (!hidden)
		line_trim(text);
	if (!hidden && text->len == 0)
		return;
	if (r.cut)
		r.certain = 0;
	if (l->running != 0)
		line_ended(l, d->enter_us);
	r.text = hidden ? (struct sp_view){ NULL, 0 } : view(text);
	l->number++;
	l->running = l->number;
	if (l->fn != NULL)
		l->fn(&r, l->arg);
}

static void
pending_drop(struct sp_track *l, unsigned n)
{
	struct draft gone[SP_TRACK_PENDING_MAX];

	if (n == 0)
		return;
	memcpy(gone, l->pending, n * sizeof(gone[0]));
	memmove(l->pending, l->pending + n, (SP_TRACK_PENDING_MAX - n) * sizeof(gone[0]));
	memcpy(l->pending + SP_TRACK_PENDING_MAX - n, gone, n * sizeof(gone[0]));
	l->pending_n -= n;
	for (unsigned i = SP_TRACK_PENDING_MAX - n; i < SP_TRACK_PENDING_MAX; i++)
		draft_clear(&l->pending[i]);
}

/* The first n pending lines were never seen to run. */
static void
pending_give_up(struct sp_track *l, unsigned n)
{
	struct sp_buf none = { 0 };

	for (unsigned i = 0; i < n; i++) {
		struct draft *d = &l->pending[i];

		if (d->typed_n > 0 && (!d->alt || d->quiet_prompt))
			record(l, d, d->seen ? &d->model : &none, 0, !d->seen, 0, d->prompt);
	}
	pending_drop(l, n);
}

/* ! outside single quotes, before something that history expansion takes up: what runs is not what was typed. */
static int
may_expand(struct sp_view v)
{
	int quoted = 0;

	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] == '\'')
			quoted = !quoted;
		else if (v.p[i] == '\\')
			i++;
		else if (v.p[i] == '!' && !quoted && i + 1 < v.len && strchr(" \t\n=(\"", v.p[i + 1]) == NULL)
			return 1;
	}
	return v.len > 1 && v.p[0] == '^' && memchr(v.p + 1, '^', v.len - 1) != NULL;
}

/* Text that only the screen knows: could it stand for something else? */
static int
screen_ambiguous(struct sp_view v)
{
	for (size_t i = 0; i + 1 < v.len; i++)
		if ((v.p[i] == ' ' && v.p[i + 1] == ' ') || (v.p[i] == '^' && v.p[i + 1] >= '?' && v.p[i + 1] <= '_'))
			return 1;
	return 0;
}

/* A line feed that only moves inside the line: it goes on below the cursor, or its row is full to the end, or what was typed
 * has come up only in part (and more of it than at the last line feed). */
static int
feed_inside(const struct sp_track *l, struct draft *d, struct sp_view text)
{
	unsigned y, x, cols = sp_term_cols(l->term);

	sp_term_cursor(l->term, &y, &x);
	if (d->exact && text.len > d->skip_len && text.len < d->model.len && line_begins(view(&d->model), text)) {
		d->skip_len = text.len;
		return 1;
	}
	if (d->skips >= SKIPS)
		return 0;
	d->skips++;
	return (y + 1 < sp_term_rows(l->term) && sp_term_used(l->term, y + 1) > 0) ||
	    (!d->exact && sp_term_used(l->term, y) == cols && x + 1 >= cols);
}

/* Text typed ahead stands somewhere in a line, with the output of a program around it. */
static void
pending_glimpse(struct draft *d, struct sp_view text)
{
	if (d->exact && d->model.len > 1 && sp_utf8_valid(d->model.p, d->model.len) && text.len >= d->model.len &&
	    memmem(text.p, text.len, d->model.p, d->model.len) != NULL)
		d->seen = 1;
}

/* Did `d` end with the line feed that comes now? True: it is dealt with. */
static int
pending_try(struct sp_track *l, struct draft *d)
{
	const char *prompt;
	int doubt, same, certain;
	enum found found = line_read(l, d, &l->text, &doubt, &prompt);

	same = d->exact && line_same(view(&l->text), view(&d->model));
	if (d->exact && same) {
		certain = (found == FOUND_START && (prompt[0] != '\0' || l->prompts[0][0] == '\0')) || found == FOUND_KNOWN;
		certain = certain && !may_expand(view(&d->model));
		if (certain && d->start_ok && found == FOUND_START)
			prompt_learn(l, prompt);
		record(l, d, &d->model, certain, 0, 0, prompt);
		return 1;
	}
	pending_glimpse(d, view(&l->text));
	if (d->exact && d->typed_n == 0 && d->model.len == 0)
		return 1;			/* an empty line */
	if (found == FOUND_START && feed_inside(l, d, view(&l->text)))
		return 0;
	if (found == FOUND_START && l->text.len == 0) {
		if (d->typed_n > 0)
			record(l, d, &l->text, 0, 1, 0, prompt);
		return 1;
	}
	if (found == FOUND_START || (found == FOUND_KNOWN && !d->exact)) {
		certain = !d->exact && found == FOUND_START && !d->wild && !doubt && prompt[0] != '\0' &&
		    !screen_ambiguous(view(&l->text)) && !may_expand(view(&l->text));
		record(l, d, &l->text, certain, 0, 0, prompt);
		return 1;
	}
	if (d->exact && line_ends_with(view(&l->text), view(&d->model))) {
		record(l, d, &d->model, 0, 0, 0, "");
		return 1;
	}
	return 0;
}

/* The typed text of a later line stands there now. */
static int
pending_shows(struct sp_track *l, const struct draft *d)
{
	const char *prompt;
	int doubt;
	enum found found = line_read(l, d, &l->text, &doubt, &prompt);

	return d->exact && d->model.len > 0 && ((found != FOUND_NOT && line_same(view(&l->text), view(&d->model))) ||
	    (found == FOUND_NOT && line_ends_with(view(&l->text), view(&d->model))));
}

/* ---- lines that ran without Enter */

/* A line feed while a line is typed and Enter has not been: a completion lists its candidates and paints the line again, or
 * a key ran the line. Which, is known when the prompt is back. */
static void
draft_feed(struct sp_track *l)
{
	const char *prompt;
	int doubt;

	if (l->draft.alt || l->lost.len > 0 || line_read(l, &l->draft, &l->text, &doubt, &prompt) != FOUND_START ||
	    prompt[0] == '\0' || l->text.len == 0)
		return;
	if (sp_buf_append(&l->lost, l->text.p, l->text.len) != SP_OK)
		return;
	(void)sp_strlcpy(l->lost_prompt, prompt, sizeof(l->lost_prompt));
}

/* Is the line that was typed still there? sure: Enter is coming, so what stands there now is what counts. */
static void
lost_check(struct sp_track *l, int sure)
{
	struct draft *d = &l->draft;
	const char *prompt;
	int doubt;
	enum found found;

	if (l->lost.len == 0 || !d->active)
		return;
	found = line_read(l, d, &l->text, &doubt, &prompt);
	if (found == FOUND_NOT && !sure)
		return;
	if (l->text.len >= l->lost.len && memcmp(l->text.p, l->lost.p, l->lost.len) == 0) {
		sp_buf_reset(&l->lost);		/* painted again */
		return;
	}
	if (l->text.len > 0 && !sure)
		return;				/* something else was painted: wait */
	d->enter_us = d->last_us;
	record(l, d, &l->lost, 0, 0, 1, l->lost_prompt);
	sp_buf_reset(&l->lost);
	if (!sure)
		draft_clear(d);
}

/* ---- input */

static void
line_enter(struct sp_track *l, uint8_t key, uint64_t now_us)
{
	struct draft spare, *p;

	if (!l->draft.active) {
		draft_begin(l, now_us);
		l->rtt_open = 0;
	}
	lost_check(l, 1);
	if (l->pending_n == SP_TRACK_PENDING_MAX)
		pending_give_up(l, 1);
	if (key == 0x0f && l->draft.typed_n == 0 && l->draft.exact && l->draft.model.len == 0 && l->draft.prompt[0] == '\0') {
		draft_clear(&l->draft);		/* Ctrl-O away from any prompt */
		return;
	}
	p = &l->pending[l->pending_n];
	spare = *p;
	*p = l->draft;
	l->draft = spare;
	draft_clear(&l->draft);
	sp_buf_reset(&l->lost);
	p->enter_us = now_us;
	if (p->alt && (!p->quiet_prompt || !p->exact)) {
		const char *prompt = p->prompt;
		int doubt;

		/* A program that draws for itself: nothing to wait for. */
		if (p->quiet_prompt && line_read(l, p, &l->text, &doubt, &prompt) == FOUND_START)
			record(l, p, &l->text, 0, 0, 0, prompt);
		draft_clear(p);
		return;
	}
	l->pending_n++;
}

static void
line_key(struct sp_track *l, enum sp_track_key key, uint8_t b, uint64_t now_us)
{
	struct draft *d = &l->draft;

	if (key == SP_TKEY_NONE)
		return;
	if (key == SP_TKEY_ENTER) {
		line_enter(l, b, now_us);
		return;
	}
	if (key == SP_TKEY_BREAK) {
		draft_clear(d);
		sp_buf_reset(&l->lost);
		l->awaiting = 1;
		return;
	}
	lost_check(l, 0);
	if (!d->active || d->alt != ((sp_term_modes(l->term) & SP_MODE_ALT) != 0))
		draft_begin(l, now_us);
	d->last_us = now_us;
	d->seen = 0;
	switch (key) {
	case SP_TKEY_CHAR:
	case SP_TKEY_NEWLINE:
		d->typed_n++;
		if (d->exact)
			model_add(d, key == SP_TKEY_NEWLINE ? '\n' : b);
		break;
	case SP_TKEY_ERASE:
		d->exact = d->exact && model_erase(d);
		break;
	case SP_TKEY_KILL:
		sp_buf_reset(&d->model);
		break;
	case SP_TKEY_WILD:
		d->wild = 1;
		d->exact = 0;
		break;
	default:
		d->exact = 0;
		break;
	}
}

void
sp_track_input(struct sp_track *l, const void *data, size_t n, uint64_t now_us)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i++)
		line_key(l, sp_keys_byte(&l->keys, p[i], (sp_term_modes(l->term) & SP_MODE_PASTE) != 0), p[i], now_us);
	l->in_us = now_us;
}

/* ---- output */

/* A line feed is about to be drawn. */
static void
before_feed(struct sp_track *l)
{
	unsigned n = l->pending_n < 4 ? l->pending_n : 4;

	l->awaiting = 0;
	l->feeds++;
	for (unsigned i = 0; i < n; i++) {
		if (i > 0 && pending_shows(l, &l->pending[i])) {
			pending_give_up(l, i);		/* those before it were never seen to run */
			i = 0;
		}
		if (i == 0 && pending_try(l, &l->pending[0])) {
			pending_drop(l, 1);
			return;
		}
		if (l->pending[i].start_ok || !l->pending[i].exact)
			break;
	}
	if (!l->draft.active)
		return;
	if (l->pending_n == 0)
		draft_feed(l);
	if (!l->draft.start_ok && l->draft.exact && !l->draft.seen) {	/* typed ahead, with output around it */
		const char *prompt;
		int doubt;

		(void)line_read(l, &l->draft, &l->text, &doubt, &prompt);
		pending_glimpse(&l->draft, view(&l->text));
	}
}

/* A program that draws for itself (tmux) is about to move the cursor: has the line come up? */
static void
before_move(struct sp_track *l)
{
	const char *prompt;
	int doubt;
	struct draft *d = &l->pending[0];

	if (line_read(l, d, &l->text, &doubt, &prompt) == FOUND_NOT || !line_same(view(&l->text), view(&d->model)))
		return;
	record(l, d, &d->model, line_prompt_known(l, prompt) && !may_expand(view(&d->model)), 0, 0, prompt);
	pending_drop(l, 1);
}

/* Bytes that can be drawn before the screen is looked at again: up to a line feed; where a program draws for itself, up to any
 * control; while a line editor has bracketed paste on, up to a sequence and its end (it turns it off when the line is taken). */
static size_t
until(const struct sp_track *l, const uint8_t *p, size_t n)
{
	int moves = l->pending_n > 0 && l->pending[0].alt, paste = (sp_term_modes(l->term) & SP_MODE_PASTE) != 0;
	const uint8_t *feed;
	size_t i = 0;

	if (l->pending_n == 0 && !l->draft.active && !l->awaiting)
		return n;
	if (!moves && !paste)
		return (feed = memchr(p, '\n', n)) != NULL ? (size_t)(feed - p) : n;
	while (i < n && (moves ? p[i] >= 0x20 : p[i] != '\n' && p[i] != 0x1b))
		if (p[i++] == 'l' && paste)
			return i;
	return i;
}

static int
is_event(const struct sp_track *l, uint8_t b)
{
	return b == '\n' || (l->pending_n > 0 && l->pending[0].alt && b < 0x20);
}

static void
output_echo(struct sp_track *l, uint64_t now_us)
{
	uint64_t took = now_us - l->draft.begun_us;

	l->rtt_open = 0;
	if (l->draft.active && now_us >= l->draft.begun_us && took < RTT_MAX_US)
		l->rtt_us = l->rtt_us == 0 || took < l->rtt_us ? took : l->rtt_us + (took - l->rtt_us) / 4;
}

void
sp_track_output(struct sp_track *l, const void *data, size_t n, uint64_t now_us)
{
	const uint8_t *p = data;

	if (l->rtt_open && n > 0)
		output_echo(l, now_us);
	while (n > 0) {
		uint32_t before = sp_term_modes(l->term);
		size_t part = until(l, p, n);

		if (part > 0) {
			sp_term_write(l->term, p, part);
			if (before & ~sp_term_modes(l->term) & SP_MODE_PASTE)
				before_feed(l);
		} else {
			part = 1;
			if (is_event(l, *p) && l->pending_n > 0 && l->pending[0].alt && sp_term_modes(l->term) & SP_MODE_ALT)
				before_move(l);
			else if (*p == '\n')
				before_feed(l);
			sp_term_write(l->term, p, 1);
		}
		p += part;
		n -= part;
	}
	l->out_us = now_us;
}

/* ---- the answer at Enter */

static uint64_t
echo_us(const struct sp_track *l)
{
	return l->rtt_us + l->rtt_us / 4 + QUIET_US;
}

static int
settled_answer(struct sp_track *l, int certain, int hidden, struct sp_view text, const char *prompt, struct sp_track_answer *ret)
{
	sp_buf_reset(&l->answer);
	if (text.len > 0 && sp_buf_append(&l->answer, text.p, text.len) != SP_OK)
		certain = 0;
	line_trim(&l->answer);
	*ret = (struct sp_track_answer){ view(&l->answer), certain && !hidden, hidden, prompt };
	return 1;
}

int
sp_track_settled(struct sp_track *l, uint64_t asked_us, uint64_t now_us, struct sp_track_answer *ret)
{
	struct draft *d = &l->draft;
	int late = now_us >= asked_us + SP_TRACK_WAIT_US, doubt, quiet;
	const struct sp_view none = { NULL, 0 };
	const char *prompt;
	enum found found;

	if (!d->active)
		draft_begin(l, now_us);
	if (d->alt && !d->quiet_prompt)
		return settled_answer(l, 1, 0, none, "", ret);
	found = line_read(l, d, &l->text, &doubt, &prompt);
	if (d->exact && d->model.len == 0 && d->typed_n == 0)
		return settled_answer(l, 1, 0, none, prompt, ret);
	if (d->exact && found != FOUND_NOT && line_same(view(&l->text), view(&d->model)))
		return settled_answer(l, !may_expand(view(&d->model)), 0, view(&d->model), prompt, ret);
	if (d->exact && found == FOUND_NOT && line_ends_with(view(&l->text), view(&d->model)))
		d->seen = 1;
	if (d->exact && d->seen && found == FOUND_NOT)
		return settled_answer(l, 0, 0, view(&d->model), "", ret);
	quiet = now_us >= d->last_us + echo_us(l) && now_us >= l->out_us + QUIET_US && l->rtt_us > 0;
	if (!late && (!quiet || d->exact))
		return 0;
	if (d->exact && found == FOUND_START && l->text.len == 0)
		return settled_answer(l, 0, 1, none, prompt, ret);
	if (found == FOUND_START && !d->exact)
		return settled_answer(l, quiet && !d->wild && !doubt && !screen_ambiguous(view(&l->text)) &&
		    !may_expand(view(&l->text)), 0, view(&l->text), prompt, ret);
	return settled_answer(l, 0, 0, d->exact ? view(&d->model) : view(&l->text), prompt, ret);
}

/* ---- time, life */

void
sp_track_tick(struct sp_track *l, uint64_t now_us)
{
	char left[SP_TRACK_PROMPT_MAX], right[RIGHT_MAX];

	if (now_us >= l->out_us + PROMPT_US)
		lost_check(l, 0);
	while (l->pending_n > 0 && now_us >= l->pending[0].enter_us + SP_TRACK_LATE_US)
		pending_give_up(l, 1);
	if (l->running != 0 && l->pending_n == 0 && now_us >= l->out_us + PROMPT_US) {
		line_sides(l, left, sizeof(left), right, sizeof(right));
		if (line_prompt_known(l, left))
			line_ended(l, l->out_us);
	}
}

int
sp_track_busy(const struct sp_track *l)
{
	return l->running != 0 || l->pending_n > 0 || l->lost.len > 0;
}

void
sp_track_finish(struct sp_track *l, uint64_t now_us)
{
	struct draft *d = &l->draft;

	if (l->lost.len > 0 && d->active) {
		d->enter_us = d->last_us;
		record(l, d, &l->lost, 0, 0, 1, l->lost_prompt);
	}
	pending_give_up(l, l->pending_n);
	draft_clear(d);
	line_ended(l, now_us);
}

enum sp_err
sp_track_new(unsigned cols, unsigned rows, sp_track_fn *fn, sp_track_end_fn *end, void *arg, struct sp_track **ret)
{
	struct sp_track *l = calloc(1, sizeof(*l));
	enum sp_err r;

	if (l == NULL)
		return SP_ENOMEM;
	if ((r = sp_term_new(cols, rows, &l->term)) != SP_OK) {
		free(l);
		return r;
	}
	sp_term_on_gone(l->term, line_gone, l);
	l->fn = fn;
	l->end = end;
	l->arg = arg;
	draft_init(&l->draft);
	for (unsigned i = 0; i < SP_TRACK_PENDING_MAX; i++)
		draft_init(&l->pending[i]);
	sp_buf_init(&l->lost, SP_TRACK_TEXT_MAX);
	sp_buf_init(&l->text, SP_TRACK_TEXT_MAX + 4 * SP_TERM_COLS_MAX * SP_TERM_ROWS_MAX);
	sp_buf_init(&l->answer, SP_TRACK_TEXT_MAX);
	*ret = l;
	return SP_OK;
}

void
sp_track_free(struct sp_track *l)
{
	if (l == NULL)
		return;
	sp_term_free(l->term);
	draft_free(&l->draft);
	for (unsigned i = 0; i < SP_TRACK_PENDING_MAX; i++)
		draft_free(&l->pending[i]);
	sp_buf_release(&l->lost);
	sp_buf_release(&l->text);
	sp_buf_release(&l->answer);
	free(l);
}

enum sp_err
sp_track_resize(struct sp_track *l, unsigned cols, unsigned rows)
{
	return sp_term_resize(l->term, cols, rows);
}

const struct sp_term *
sp_track_term(const struct sp_track *l)
{
	return l->term;
}

static int
place_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

int
sp_track_place(const char *prompt, char user[SP_TRACK_NAME_MAX], char host[SP_TRACK_NAME_MAX])
{
	const char *at = strchr(prompt, '@'), *from = at, *to;

	if (at == NULL)
		return 0;
	while (from > prompt && place_char(from[-1]))
		from--;
	for (to = at + 1; place_char(*to);)
		to++;
	if (from == at || to == at + 1 || at - from >= (int)SP_TRACK_NAME_MAX || to - at > (int)SP_TRACK_NAME_MAX)
		return 0;
	(void)sp_strlcpy(user, from, (size_t)(at - from) + 1);
	(void)sp_strlcpy(host, at + 1, (size_t)(to - at));
	return 1;
}

void
sp_track_directory(const char *prompt, char dst[SP_TRACK_PROMPT_MAX])
{
	const char *at = strchr(prompt, '@'), *from, *to;

	dst[0] = '\0';
	if (at == NULL)
		return;
	for (from = at + 1; place_char(*from);)
		from++;
	if (*from != ':' && *from != ' ')
		return;
	from++;
	for (to = from + strlen(from); to > from && strchr(" #$%>]", to[-1]) != NULL;)
		to--;
	if (to > from && (*from == '/' || *from == '~'))
		(void)sp_strlcpy(dst, from, (size_t)(to - from) + 1);
}
