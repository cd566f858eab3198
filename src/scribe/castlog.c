/* src/scribe/castlog.c - see castlog.h. */
#include "scribe/castlog.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "wire/asciicast.h"

#define CHAR_MAX	4u		/* bytes of a UTF-8 character */
#define DUMP_MAX	((size_t)64 * 1024)	/* of a screen in a key frame; larger ones are left out */
#define KEYS_MAX	4		/* terminals in one key frame */
#define UNKNOWN		"\xef\xbf\xbd"	/* U+FFFD */
#define CLEAR		"\033c"		/* reset */

static const char stream_letter[SP_REC_STREAMS] = { 'i', 'o', 'e' };

void
sp_castlog_init(struct sp_castlog *l, struct sp_recwriter *w)
{
	*l = (struct sp_castlog){ .w = w };
	sp_buf_init(&l->line, SP_REC_LINE_MAX);
	sp_buf_init(&l->text, SP_REC_LINE_MAX);
	sp_buf_init(&l->key, SP_REC_LINE_MAX);
	sp_list_init(&l->terminals);
}

void
sp_castlog_release(struct sp_castlog *l)
{
	sp_buf_release(&l->line);
	sp_buf_release(&l->text);
	sp_buf_release(&l->key);
}

/* ---- lines ---- */

static struct sp_view
view(const struct sp_buf *b)
{
	return (struct sp_view){ b->p, b->len };
}

static struct sp_view
str(const char *s)
{
	return (struct sp_view){ (const uint8_t *)s, strlen(s) };
}

/* The screens, so that who begins to read here sees them. Screens beyond DUMP_MAX are left out: a player that meets none
 * shows what is drawn from here on. */
static enum sp_err
log_keys(struct sp_castlog *l, uint64_t t)
{
	sp_auto(sp_buf_release) struct sp_buf dump = { .max = DUMP_MAX };
	char head[64];
	int n = 0;
	enum sp_err r;

	sp_list_each(it, &l->terminals) {
		struct sp_castchan *ch = sp_container(it, struct sp_castchan, link);

		if (n++ == KEYS_MAX)
			break;
		sp_buf_reset(&l->key);
		sp_buf_reset(&dump);
		(void)sp_snprintf(head, sizeof(head), "%u %ux%u ", ch->id, ch->cols, ch->rows);
		if (sp_term_dump(ch->term, &dump) != SP_OK || sp_cast_event2(&l->key, t, 'k', str(head), view(&dump)) != SP_OK ||
		    l->key.len > SP_REC_KEY_MAX / KEYS_MAX * 2)
			continue;
		if ((r = sp_recwriter_put(l->w, t, view(&l->key), 0)) != SP_OK)
			return r;
	}
	sp_buf_release(&l->key);
	return SP_OK;
}

/* Put what is in l->line. */
static enum sp_err
log_put(struct sp_castlog *l, uint64_t t, int last)
{
	enum sp_err r;

	if ((r = sp_recwriter_room(l->w, l->line.len, last)) != SP_OK ||
	    (!last && sp_recwriter_fresh(l->w) && (r = log_keys(l, t)) != SP_OK))
		return r;
	r = sp_recwriter_put(l->w, t, view(&l->line), last);
	if (l->line.cap > 4 * SP_CAST_PIECE)
		sp_buf_release(&l->line);
	return r;
}

static enum sp_err
log_event(struct sp_castlog *l, uint64_t at_us, char code, struct sp_view first, struct sp_view second)
{
	uint64_t t = sp_recwriter_time(l->w, at_us);
	enum sp_err r;

	sp_buf_reset(&l->line);
	if ((r = sp_cast_event2(&l->line, t, code, first, second)) != SP_OK)
		return r;
	return log_put(l, t, 0);
}

enum sp_err
sp_castlog_header(struct sp_castlog *l, int64_t wall_us, const char *title, struct sp_view about)
{
	enum sp_err r;

	sp_buf_reset(&l->line);
	if ((r = sp_buf_printf(&l->line, "{\"version\": 2, \"width\": 80, \"height\": 24, \"timestamp\": %lld, \"title\": ",
	    (long long)(wall_us / (int64_t)SP_US_PER_S))) != SP_OK || (r = sp_cast_string(&l->line, str(title))) != SP_OK ||
	    (r = sp_buf_append_str(&l->line, ", \"sallyport\": ")) != SP_OK || (r = sp_buf_append(&l->line, about.p, about.len)) != SP_OK ||
	    (r = sp_buf_append_str(&l->line, "}\n")) != SP_OK || (r = sp_recwriter_room(l->w, l->line.len, 0)) != SP_OK)
		return r;
	return sp_recwriter_put(l->w, 0, view(&l->line), 0);	/* before any key frame */
}

enum sp_err
sp_castlog_note(struct sp_castlog *l, uint64_t at_us, struct sp_view json, int last)
{
	uint64_t t = sp_recwriter_time(l->w, at_us);
	enum sp_err r;

	sp_buf_reset(&l->line);
	if ((r = sp_cast_event(&l->line, t, 'e', json)) != SP_OK)
		return r;
	return log_put(l, t, last);
}

enum sp_err
sp_castlog_marker(struct sp_castlog *l, uint64_t at_us, const char *text)
{
	return log_event(l, at_us, 'm', str(text), (struct sp_view){ 0 });
}

/* ---- bytes of a stream ---- */

/* v with U+FFFD in the place of each byte that is no UTF-8. */
static enum sp_err
text_mended(struct sp_buf *b, struct sp_view v)
{
	enum sp_err r = SP_OK;

	sp_buf_reset(b);
	while (r == SP_OK && v.len > 0) {
		int cut;
		size_t n = sp_cast_utf8(v.p, v.len, &cut);

		r = sp_buf_append(b, v.p, n);
		if (r == SP_OK && n < v.len) {
			r = sp_buf_append_str(b, UNKNOWN);
			n++;
		}
		v.p += n;
		v.len -= n;
	}
	return r;
}

static enum sp_err
chan_text(struct sp_castchan *ch, enum sp_rec_stream stream, struct sp_view v, uint64_t at_us)
{
	struct sp_castlog *l = ch->log;
	char head[32];

	if (l->air == ch)	/* a terminal has no standard error of its own */
		return log_event(l, at_us, stream == SP_REC_IN ? 'i' : 'o', v, (struct sp_view){ 0 });
	(void)sp_snprintf(head, sizeof(head), "%u %c ", ch->id, stream_letter[stream]);
	return log_event(l, at_us, 'x', str(head), v);
}

/* Bytes that are no UTF-8: themselves as base64, and for players what can be shown of them. */
static enum sp_err
chan_raw(struct sp_castchan *ch, enum sp_rec_stream stream, struct sp_view v, uint64_t at_us)
{
	struct sp_castlog *l = ch->log;
	char head[32];
	enum sp_err r;

	sp_buf_reset(&l->text);
	if ((r = sp_base64(&l->text, v.p, v.len)) != SP_OK)
		return r;
	(void)sp_snprintf(head, sizeof(head), "%u %c ", ch->id, stream_letter[stream]);
	if (l->air != ch)
		return log_event(l, at_us, 'y', str(head), view(&l->text));
	if ((r = log_event(l, at_us, 'b', str(head), view(&l->text))) != SP_OK || (r = text_mended(&l->text, v)) != SP_OK)
		return r;
	return log_event(l, at_us, stream == SP_REC_IN ? 'i' : 'o', view(&l->text), (struct sp_view){ 0 });
}

/* One piece, at most SP_CAST_PIECE bytes. *ret_left: bytes at its end that are a character without its end. */
static enum sp_err
chan_piece(struct sp_castchan *ch, enum sp_rec_stream stream, struct sp_view v, uint64_t at_us, size_t *ret_left)
{
	int cut = 0;
	size_t n = sp_cast_utf8(v.p, v.len, &cut);

	*ret_left = cut ? v.len - n : 0;
	if (n == v.len || cut)
		return n == 0 ? SP_OK : chan_text(ch, stream, (struct sp_view){ v.p, n }, at_us);
	return chan_raw(ch, stream, v, at_us);
}

/* What was held back, and v behind it. */
static enum sp_err
chan_stream(struct sp_castchan *ch, enum sp_rec_stream stream, struct sp_view v, uint64_t at_us)
{
	uint8_t *held = ch->held[stream], joined[2 * CHAR_MAX];
	size_t left = 0, had = ch->held_n[stream];
	enum sp_err r;

	if (had > 0) {	/* finish the character, byte by byte at most */
		size_t n = v.len < CHAR_MAX ? v.len : CHAR_MAX;
		int cut;
		size_t whole;

		memcpy(joined, held, had);
		memcpy(joined + had, v.p, n);
		whole = sp_cast_utf8(joined, had + n, &cut);
		ch->held_n[stream] = 0;
		if (whole < had && cut)
			whole = had + n;	/* still cut */
		else if (whole < had)
			whole = had;		/* no character at all */
		r = whole == had ? chan_raw(ch, stream, (struct sp_view){ joined, had }, at_us) :
		    chan_piece(ch, stream, (struct sp_view){ joined, whole }, at_us, &left);
		if (r != SP_OK)
			return r;
		if (left > 0) {
			memcpy(held, joined + whole - left, left);
			ch->held_n[stream] = left;
			return SP_OK;	/* v was shorter than the rest of the character */
		}
		v.p += whole - had;
		v.len -= whole - had;
	}
	while (v.len > 0) {
		size_t n = v.len < SP_CAST_PIECE ? v.len : SP_CAST_PIECE;

		if ((r = chan_piece(ch, stream, (struct sp_view){ v.p, n }, at_us, &left)) != SP_OK)
			return r;
		if (left > 0 && n == v.len) {
			memcpy(held, v.p + n - left, left);
			ch->held_n[stream] = left;
			return SP_OK;
		}
		v.p += n - left;
		v.len -= n - left;
	}
	return SP_OK;
}

static enum sp_err
chan_held(struct sp_castchan *ch, enum sp_rec_stream stream, uint64_t at_us)
{
	struct sp_view v = { ch->held[stream], ch->held_n[stream] };

	ch->held_n[stream] = 0;
	return v.len > 0 ? chan_raw(ch, stream, v, at_us) : SP_OK;
}

static void
chan_on_echo(void *arg, int keep, struct sp_view bytes)
{
	struct sp_castchan *ch = arg;
	char text[96];
	enum sp_err r;

	if (keep) {
		r = chan_stream(ch, SP_REC_IN, bytes, ch->now_us);
	} else {
		(void)sp_snprintf(text, sizeof(text), "input without echo: %zu byte%s not kept", bytes.len, bytes.len == 1 ? "" : "s");
		r = sp_castlog_marker(ch->log, ch->now_us, text);
	}
	if (r != SP_OK)
		ch->failed = r;
}

static enum sp_err
chan_decided(struct sp_castchan *ch)
{
	enum sp_err r = ch->failed;

	ch->failed = SP_OK;
	return r;
}

enum sp_err
sp_castchan_data(struct sp_castchan *ch, enum sp_rec_stream stream, struct sp_view v, uint64_t at_us)
{
	enum sp_err r;

	if (ch->term == NULL)
		return chan_stream(ch, stream, v, at_us);
	ch->now_us = at_us;
	if (stream == SP_REC_IN) {
		sp_echo_typed(ch->echo, v, at_us);
		return chan_decided(ch);
	}
	r = chan_stream(ch, SP_REC_OUT, v, at_us);
	sp_term_write(ch->term, v.p, v.len);
	sp_echo_printed(ch->echo, v);
	return r != SP_OK ? r : chan_decided(ch);
}

enum sp_err
sp_castchan_settle(struct sp_castchan *ch, uint64_t at_us)
{
	if (ch->echo == NULL || ch->echo->n == 0)
		return SP_OK;
	ch->now_us = at_us;
	sp_echo_settle(ch->echo, at_us);
	return chan_decided(ch);
}

/* ---- terminals come and go ---- */

static enum sp_err
chan_size(struct sp_castchan *ch, uint64_t at_us)
{
	char text[64];
	struct sp_castlog *l = ch->log;

	(void)sp_snprintf(text, sizeof(text), l->air == ch ? "%ux%u" : "%ux%u %u", ch->cols, ch->rows, ch->id);
	return log_event(l, at_us, l->air == ch ? 'r' : 'z', str(text), (struct sp_view){ 0 });
}

/* Put this terminal on the air: players clear theirs and see its screen. */
static enum sp_err
log_air(struct sp_castlog *l, struct sp_castchan *ch, uint64_t at_us)
{
	sp_auto(sp_buf_release) struct sp_buf dump = { .max = DUMP_MAX };
	char text[64];
	enum sp_err r;

	l->air = ch;
	(void)sp_snprintf(text, sizeof(text), "terminal %u", ch->id);
	if (l->aired && (r = sp_castlog_marker(l, at_us, text)) != SP_OK)
		return r;
	if ((r = chan_size(ch, at_us)) != SP_OK)
		return r;
	if (l->aired && (sp_term_dump(ch->term, &dump) != SP_OK || dump.len > SP_CAST_PIECE))
		sp_buf_reset(&dump);
	if (l->aired)
		r = log_event(l, at_us, 'o', str(CLEAR), view(&dump));
	l->aired = 1;
	return r;
}

enum sp_err
sp_castlog_again(struct sp_castlog *l, uint64_t at_us)
{
	sp_auto(sp_buf_release) struct sp_buf dump = { .max = DUMP_MAX };
	enum sp_err r = SP_OK;

	if (l->air != NULL && (r = chan_size(l->air, at_us)) == SP_OK) {
		if (sp_term_dump(l->air->term, &dump) != SP_OK)
			sp_buf_reset(&dump);
		r = log_event(l, at_us, 'o', str(CLEAR), view(&dump));
	}
	sp_list_each(it, &l->terminals)
		if (r == SP_OK && sp_container(it, struct sp_castchan, link) != l->air)
			r = chan_size(sp_container(it, struct sp_castchan, link), at_us);
	return r;
}

enum sp_err
sp_castchan_open(struct sp_castchan *ch, struct sp_castlog *l, uint32_t id, uint32_t cols, uint32_t rows, uint64_t at_us)
{
	enum sp_err r;

	ch->log = l;
	ch->id = id;
	sp_list_init(&ch->link);
	if (cols == 0)
		return SP_OK;
	ch->cols = cols;
	ch->rows = rows;
	if ((ch->echo = malloc(sizeof(*ch->echo))) == NULL || (r = sp_term_new(cols, rows, &ch->term)) != SP_OK) {
		free(ch->echo);
		ch->echo = NULL;
		return SP_ENOMEM;
	}
	sp_echo_init(ch->echo, chan_on_echo, ch);
	sp_list_add_tail(&l->terminals, &ch->link);
	return l->air == NULL ? log_air(l, ch, at_us) : chan_size(ch, at_us);
}

enum sp_err
sp_castchan_resize(struct sp_castchan *ch, uint32_t cols, uint32_t rows, uint64_t at_us)
{
	enum sp_err r;

	if ((r = sp_term_resize(ch->term, cols, rows)) != SP_OK)
		return r;
	ch->cols = cols;
	ch->rows = rows;
	return chan_size(ch, at_us);
}

enum sp_err
sp_castchan_close(struct sp_castchan *ch, uint64_t at_us)
{
	struct sp_castlog *l = ch->log;
	enum sp_err r = SP_OK, e;

	ch->now_us = at_us;
	if (ch->echo != NULL) {
		sp_echo_end(ch->echo);
		r = chan_decided(ch);
	}
	for (int i = 0; i < SP_REC_STREAMS; i++)
		if ((e = chan_held(ch, (enum sp_rec_stream)i, at_us)) != SP_OK)
			r = e;
	sp_list_remove(&ch->link);
	if (l->air == ch) {
		l->air = NULL;
		if (!sp_list_empty(&l->terminals) &&
		    (e = log_air(l, sp_container(l->terminals.next, struct sp_castchan, link), at_us)) != SP_OK)
			r = e;
	}
	sp_term_free(ch->term);
	free(ch->echo);
	ch->term = NULL;
	ch->echo = NULL;
	return r;
}
