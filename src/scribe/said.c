/* src/scribe/said.c - what the session says to its recorder, and the channels that it speaks of. Process: scribe.
 * Invariant: the session is not believed: what it says out of turn, or of a channel that it never opened, ends the
 * recording. */
#include "scribe/internal.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "common/jsonw.h"

#define CHANNELS_MAX	4096
#define DETAIL_IN_EVENT	20000		/* bytes of a command that an event holds */
#define DETAIL_IN_REC	30000		/* ... and a line of the recording, escaped as it may be */
#define TITLE_MAX	200

void
said_wrongly(struct scribe *s, const char *what)
{
	char text[128];

	(void)sp_snprintf(text, sizeof(text), "the session broke the recording protocol: %s", what);
	sp_error("%s", text);
	scribe_finish(s, text, "");
}

void
scribe_opened(struct scribe *s, enum sp_err err, const char *text)
{
	Sallyport__RecOpened o = SALLYPORT__REC_OPENED__INIT;
	char t[256], p[SP_REC_PATH];

	(void)sp_strlcpy(t, text, sizeof(t));
	(void)sp_strlcpy(p, err == SP_OK ? s->path : "", sizeof(p));
	o.err = err;
	o.text = t;
	o.path = p;
	scribe_tell(s, SP_MSG_REC_OPENED, &o);
}

/* ---- REC_OPEN ---- */

/* Who can open it: the public keys, as age writes them. */
static void
open_recipients(const struct scribe *s, struct sp_jsonw *j)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 4096 };
	char text[SP_BECH32_SIZE];
	enum sp_err r = sp_buf_append_str(&b, "[");

	for (size_t i = 0; i < s->to_n && r == SP_OK; i++)
		if ((r = sp_age_recipient_text(&s->to[i], text)) == SP_OK)
			r = sp_buf_printf(&b, "%s\"%s\"", i > 0 ? "," : "", text);
	if (r == SP_OK && (r = sp_buf_append_str(&b, "]")) == SP_OK)
		sp_jsonw_raw(j, "recipients", sp_buf_cstr(&b));
	else
		j->err = r;
}

/* The header is the session's word for what control decided; it must at least be JSON. */
static enum sp_err
open_about(struct scribe *s, const json_t *doc, struct sp_buf *b)
{
	char *text = json_is_object(doc) ? json_dumps(doc, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
	char t[SP_RFC3339_SIZE], id[SP_UUID_SIZE], hex[2 * SP_SHA256_LEN + 1];
	struct sp_jsonw j;
	enum sp_err r = SP_EFORMAT;

	if (text != NULL) {
		sp_jsonw_begin(&j, b);
		sp_jsonw_int(&j, "version", SP_REC_VERSION);
		sp_jsonw_str(&j, "session", sp_uuid_text(&s->id, id));
		sp_jsonw_str(&j, "started", sp_rfc3339(sp_wall_us(), t, sizeof(t)));
		sp_jsonw_str(&j, "record_mode", s->strict ? "strict" : "best-effort");
		sp_jsonw_str(&j, "recording", s->path);
		sp_hex(s->rec.header_hash, SP_SHA256_LEN, hex);
		sp_jsonw_str(&j, "header_sha256", hex);
		open_recipients(s, &j);
		sp_jsonw_raw(&j, "header", text);
		r = sp_jsonw_end(&j);
	}
	free(text);
	return r;
}

static const char *
open_word(const json_t *doc, const char *key)
{
	const char *s = json_string_value(json_object_get(doc, key));

	return s != NULL ? s : "?";
}

static enum sp_err
open_files(struct scribe *s, const json_t *doc)
{
	char title[TITLE_MAX + 1];
	struct sp_buf b;
	enum sp_err r;

	(void)sp_snprintf(title, sizeof(title), "%.60s on %.60s@%.60s", open_word(doc, "user"), open_word(doc, "account"), open_word(doc, "asset"));
	if (!sp_utf8_valid(title, strlen(title)))	/* cut inside a character */
		title[0] = '\0';
	sp_buf_init(&b, SP_SPOOL_BODY);
	if ((r = open_about(s, doc, &b)) == SP_OK && (r = sp_castlog_header(&s->log, sp_wall_us(), title, (struct sp_view){ b.p, b.len })) == SP_OK &&
	    (r = sp_recwriter_tick(&s->rec)) == SP_OK && (fsync(s->rec.fd) == -1 || fsync(s->rec.tail_fd[1]) == -1))
		r = SP_EIO;
	if (r == SP_OK && (r = sp_spool_append(&s->spool, "start", sp_wall_us(), sp_now_us(), (struct sp_view){ b.p, b.len })) == SP_OK)
		r = sp_spool_sync(&s->spool);
	sp_buf_release(&b);
	s->rec.dirty = 0;
	s->chunk_us = sp_now_us();
	s->chunk_bytes = s->rec.payload_bytes;
	return r;
}

static const char *
open_text(struct scribe *s, enum sp_err r, char *dst, size_t n)
{
	if (r == SP_ENOSPC)
		(void)sp_snprintf(dst, n, "no session without a recording: the disk for recordings has less than %llu MiB left",
		    (unsigned long long)((s->reserve_bytes * (s->reserved ? 1 : SP_PRESS_HARD)) >> 20));
	else if (s->to_n == 0)
		(void)sp_snprintf(dst, n, "no session without a recording: there is no auditor's key that it could be written to");
	else
		(void)sp_snprintf(dst, n, "no session without a recording: %s", sp_err_text(r));
	return dst;
}

static void
said_open(struct scribe *s, const Sallyport__RecOpen *o)
{
	enum sp_err r = s->open_err;
	char text[256];
	json_t *doc;

	if (s->state != S_WAIT || o->session_id.len != SP_UUID_LEN || memcmp(o->session_id.data, s->id.b, SP_UUID_LEN) != 0) {
		said_wrongly(s, "REC_OPEN");
		return;
	}
	s->strict = strcmp(o->record_mode, "best-effort") != 0;
	s->channel_max = o->record_max_bytes;
	s->intake.may = o->ring;
	doc = json_loadb((const char *)o->header.data, o->header.len, JSON_REJECT_DUPLICATES, NULL);
	if (r == SP_OK && (r = open_files(s, doc)) == SP_OK) {
		json_decref(doc);
		s->state = S_START;
		scribe_pump(s);
		return;
	}
	json_decref(doc);
	sp_error("cannot open the recording: %s", sp_err_text(r));
	scribe_opened(s, r, open_text(s, r, text, sizeof(text)));
	if (s->spool.fd >= 0 && s->spool.last_seq > 0)
		s->state = S_START;	/* a START that may be on disk is answered by its END */
	scribe_finish(s, "recording failed", "");
}

/* ---- channels ---- */

struct channel *
channel_find(struct scribe *s, uint32_t id)
{
	struct sp_hnode *n = sp_htab_find(&s->channels, &id, sizeof(id));

	return n != NULL ? sp_container(n, struct channel, node) : NULL;
}

static void
channel_free(struct channel *c)
{
	if (c == NULL)
		return;
	sp_transfer_free(c->files);
	sp_outtext_free(c->out);
	sp_scribe_track_free(c->track);
	free(c->bulk);
	free(c);
}

static enum sp_err
channel_json(const Sallyport__RecChannel *m, const char *kind, size_t detail_max, struct sp_buf *b)
{
	struct sp_jsonw j;
	size_t n = strlen(m->detail);
	char keep = 0;

	sp_jsonw_begin(&j, b);
	if (kind != NULL)
		sp_jsonw_str(&j, "kind", kind);
	sp_jsonw_int(&j, "channel", m->channel);
	sp_jsonw_str(&j, "type", m->type);
	if (n > detail_max) {
		keep = m->detail[detail_max];
		m->detail[detail_max] = '\0';
	}
	sp_jsonw_str(&j, "detail", m->detail);
	if (n > detail_max) {
		m->detail[detail_max] = keep;
		sp_jsonw_int(&j, "detail_bytes", (int64_t)n);
	}
	sp_jsonw_bool(&j, "pty", m->pty);
	if (m->pty) {
		sp_jsonw_int(&j, "cols", m->cols);
		sp_jsonw_int(&j, "rows", m->rows);
		sp_jsonw_str(&j, "term", m->term);
	}
	return sp_jsonw_end(&j);
}

static enum sp_err
channel_record(struct scribe *s, const Sallyport__RecChannel *m)
{
	struct sp_buf b;
	enum sp_err r;

	sp_buf_init(&b, 1024 * 1024);
	if ((r = channel_json(m, "channel", DETAIL_IN_REC, &b)) == SP_OK)
		scribe_note(s, &b);
	sp_buf_reset(&b);
	if (r == SP_OK && (r = channel_json(m, NULL, SIZE_MAX, &b)) == SP_OK && b.len > SP_SPOOL_BODY / 2) {
		sp_buf_reset(&b);
		r = channel_json(m, NULL, DETAIL_IN_EVENT, &b);
	}
	if (r == SP_OK)
		scribe_event(s, "channel", &b);
	sp_buf_release(&b);
	return r;
}

static void
channel_file(void *arg, const struct sp_buf *json)
{
	scribe_event(arg, "file", json);
}

static enum sp_err
channel_new(struct scribe *s, const Sallyport__RecChannel *m, struct channel **ret)
{
	struct channel *c = calloc(1, sizeof(*c));
	enum sp_err r;

	if (c == NULL)
		return SP_ENOMEM;
	c->id = m->channel;
	c->pty = m->pty;
	c->opened_us = sp_now_us();
	if ((!c->pty && (c->bulk = calloc(SP_REC_STREAMS, sizeof(*c->bulk))) == NULL) ||
	    sp_transfer_new(m, channel_file, s, &c->files) != SP_OK) {
		channel_free(c);
		return SP_ENOMEM;
	}
	if (c->files != NULL && s->kept.ways != 0)
		sp_transfer_keep(c->files, &s->kept, s->to, s->to_n);
	c->apart = c->files != NULL && sp_transfer_decodes(c->files);
	for (int i = 0; c->bulk != NULL && i < SP_REC_STREAMS; i++)
		sp_bulk_init(&c->bulk[i], s->channel_max, c->opened_us);
	if ((r = sp_htab_insert(&s->channels, &c->node, &c->id, sizeof(c->id))) != SP_OK) {
		channel_free(c);
		return r;
	}
	if (c->pty) {
		if (s->newest_pty != NULL && s->newest_pty->ended)
			channel_free(s->newest_pty);
		s->newest_pty = c;
	}
	*ret = c;
	return SP_OK;
}

/* ---- commands (track.h) ---- */

static void
track_event(void *arg, const char *kind, const struct sp_buf *body)
{
	scribe_event(arg, kind, body);
}

static void
track_answer(void *arg, const Sallyport__LineReply *reply)
{
	scribe_tell(arg, SP_MSG_LINE_REPLY, reply);
}

static void
channel_track(struct scribe *s, struct channel *c, unsigned cols, unsigned rows)
{
	const struct sp_scribe_track_host h = { track_event, track_answer, s, s->begun_us, s->output };
	struct sp_jsonw j;
	struct sp_buf b;

	if (sp_scribe_track_new(s->loop, &h, c->id, cols, rows, &c->track) == SP_OK)
		return;
	c->track = NULL;
	sp_error("no memory to follow the commands of a terminal");
	sp_buf_init(&b, 4096);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_int(&j, "channel", c->id);
	sp_jsonw_str(&j, "reason", "out of memory");
	if (sp_jsonw_end(&j) == SP_OK)
		scribe_event(s, "untracked", &b);
	sp_buf_release(&b);
}

/* The output of an exec request: its record has number 0. */
static void
channel_output_end(struct scribe *s, struct channel *c)
{
	const struct sp_scribe_track_host h = { track_event, track_answer, s, s->begun_us, s->output };

	if (c->out != NULL)
		sp_scribe_output_told(&h, c->id, 0, sp_steal(&c->out), NULL);
}

static void
channel_track_end(struct channel *c)
{
	if (c->track != NULL)
		sp_scribe_track_end(c->track);
	sp_scribe_track_free(c->track);
	c->track = NULL;
}

/* Of a channel that has ended meanwhile, or has no tracker: answered at once. */
static void
said_line_ask(struct scribe *s, const Sallyport__LineAsk *m)
{
	struct channel *c = channel_find(s, m->channel);
	Sallyport__LineReply r = SALLYPORT__LINE_REPLY__INIT;

	if (c != NULL && c->track != NULL) {
		sp_scribe_track_ask(c->track, m->number, m->cleared);
		return;
	}
	r.channel = m->channel;
	r.number = m->number;
	scribe_tell(s, SP_MSG_LINE_REPLY, &r);
}

/* What rules made of a line or an exec request: an event of its own, before anything runs; and, when it runs, on its record. */
static void
said_judged(struct scribe *s, const Sallyport__LineJudged *m)
{
	static const char *const actions[] = { NULL, "allow", "warn", "alert", "deny", "kill" };
	static const char *const risks[] = { NULL, "none", "medium", "high", "high", "critical" };
	struct channel *c = channel_find(s, m->channel);
	const char *action = m->action < SP_NELEMS(actions) ? actions[m->action] : NULL;
	int refused = !m->shadow && m->action >= 4;
	char id[SP_UUID_SIZE] = "";
	struct sp_uuid uuid;
	struct sp_jsonw j;
	struct sp_buf b;

	if (action == NULL || !sp_utf8_valid(m->text.data, m->text.len) || memchr(m->text.data, '\0', m->text.len) != NULL ||
	    (m->rule_id.len > 0 && sp_uuid_from(m->rule_id.data, m->rule_id.len, &uuid) != SP_OK)) {
		said_wrongly(s, "LINE_JUDGED");
		return;
	}
	if (m->rule_id.len > 0)
		(void)sp_uuid_text(&uuid, id);
	if (!refused && !m->shadow && c != NULL && c->track != NULL)
		sp_scribe_track_judged(c->track, (struct sp_view){ m->text.data, m->text.len }, m->rule, id, action, risks[m->action]);
	if (!m->shadow && m->action < 2)
		return;			/* allowed: its record says by what */
	sp_buf_init(&b, 8 * SP_TRACK_EVENT_TEXT);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_int(&j, "channel", m->channel);
	sp_jsonw_int(&j, "judged", (int64_t)++s->judged_n);
	sp_jsonw_str(&j, "how", m->how);
	sp_scribe_put_text(&j, (const char *)m->text.data, m->text.len);
	sp_jsonw_bool(&j, "certain", m->certain);
	sp_jsonw_str(&j, "rule", m->rule);
	sp_jsonw_str(&j, "rule_id", id);
	sp_jsonw_str(&j, "action", action);
	sp_jsonw_str(&j, "word", m->word);
	sp_jsonw_bool(&j, "refused", refused);
	if (!m->shadow)
		sp_jsonw_str(&j, "risk", risks[m->action]);
	if (m->shadow)
		sp_jsonw_bool(&j, "shadow", 1);
	if (m->ran)
		sp_jsonw_bool(&j, "ran", 1);
	if (sp_jsonw_end(&j) == SP_OK)
		scribe_event(s, "command-judged", &b);
	sp_buf_release(&b);
}

static void
said_channel(struct scribe *s, const Sallyport__RecChannel *m)
{
	struct channel *c = NULL;
	enum sp_err r;

	if (s->channels.n >= CHANNELS_MAX || (r = channel_new(s, m, &c)) == SP_EEXIST) {
		said_wrongly(s, "REC_CHANNEL");
		return;
	}
	if (r == SP_OK)
		r = channel_record(s, m);
	if (r == SP_OK)
		r = sp_castchan_open(&c->cast, &s->log, c->id, m->pty ? (m->cols > 0 ? m->cols : 80) : 0, m->rows > 0 ? m->rows : 24, sp_now_us());
	if (r != SP_OK)
		scribe_fail(s, r);
	else if (m->pty)
		watchers_attach(s);
	if (r == SP_OK && s->output && c->files == NULL && strcmp(m->type, "exec") == 0 &&
	    sp_outtext_new(m->pty ? (m->cols > 0 ? m->cols : 80) : 0, m->rows > 0 ? m->rows : 24, &c->out) != SP_OK)
		c->out = NULL;		/* the recording has it */
	if (r == SP_OK && m->pty)
		channel_track(s, c, m->cols > 0 ? m->cols : 80, m->rows > 0 ? m->rows : 24);
}

/* ---- bytes ---- */

static const char *const stream_names[SP_REC_STREAMS] = { "in", "out", "err" };

static void
json_hash(struct sp_jsonw *j, const char *key, const struct sp_sha256 *h)
{
	uint8_t hash[SP_SHA256_LEN];
	char hex[2 * SP_SHA256_LEN + 1];

	sp_sha256_now(h, hash);
	sp_hex(hash, sizeof(hash), hex);
	sp_jsonw_str(j, key, hex);
}

/* What was left out of a stream: where, how much, and the hash of the stream up to its end. over NULL: it begins here. */
static void
channel_gap(struct scribe *s, struct channel *c, int stream, const struct sp_bulk_gap *g, const struct sp_sha256 *over)
{
	struct sp_jsonw j;
	struct sp_buf b;

	sp_buf_init(&b, 4096);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_str(&j, "kind", over != NULL ? "counted" : "counted from here");
	sp_jsonw_int(&j, "channel", c->id);
	sp_jsonw_str(&j, "stream", stream_names[stream]);
	sp_jsonw_int(&j, "from_byte", (int64_t)g->from);
	if (over != NULL) {
		sp_jsonw_int(&j, "bytes", (int64_t)g->bytes);
		sp_jsonw_int(&j, "duration_us", (int64_t)(sp_now_us() - g->at_us));
		json_hash(&j, c->apart ? "rest_sha256" : "stream_sha256", over);
	}
	if (sp_jsonw_end(&j) == SP_OK)
		scribe_note(s, &b);
	sp_buf_release(&b);
}

static void
channel_write(struct scribe *s, struct channel *c, int stream, struct sp_view v, uint64_t at_us)
{
	if (s->failed != SP_OK)
		s->lost_bytes += v.len;
	else if (v.len > 0)
		scribe_wrote(s, sp_castchan_data(&c->cast, (enum sp_rec_stream)stream, v, at_us), v.len);
}

static void
channel_bulk(struct scribe *s, struct channel *c, int stream, struct sp_view v, uint64_t at_us)
{
	struct sp_bulk *bulk = &c->bulk[stream];
	int was = bulk->gap.bytes > 0;
	struct sp_bulk_gap over;
	size_t n = sp_bulk_take(bulk, c->files != NULL ? NULL : v.p, v.len, at_us, &over);

	if (c->files != NULL)
		sp_transfer_data(c->files, (enum sp_rec_stream)stream, v, bulk->max > 0 ? &bulk->hash : NULL);
	if (over.bytes > 0)
		channel_gap(s, c, stream, &over, &bulk->over);
	channel_write(s, c, stream, (struct sp_view){ v.p, n }, at_us);
	if (n < v.len && (!was || over.bytes > 0))
		channel_gap(s, c, stream, &bulk->gap, NULL);
}

/* The one place that sees every byte and size of every terminal, in order: what follows the screen hooks in here. */
static void
channel_shown(struct scribe *s, struct channel *c, int stream, struct sp_view v)
{
	if (stream != SP_REC_IN)
		watchers_output(s, c, v);
	if (c->track != NULL)
		sp_scribe_track_data(c->track, (enum sp_rec_stream)stream, v, sp_now_us());
}

/* Only to be hashed are they left where they are. */
static struct sp_view
bytes_own(const struct channel *c, unsigned stream, struct sp_view v, uint64_t now)
{
	static uint8_t copy[SP_REC_CHUNK];

	if (c->files == NULL && c->out == NULL && c->bulk != NULL && sp_bulk_counts_only(&c->bulk[stream], now))
		return v;
	memcpy(copy, v.p, v.len);
	return (struct sp_view){ copy, v.len };
}

void
said_bytes(struct scribe *s, const struct sp_recdata *d, struct sp_view v, int shared)
{
	struct channel *c = d->stream < SP_REC_STREAMS ? channel_find(s, d->channel) : NULL;
	uint64_t now = sp_now_us();

	if (c == NULL) {
		said_wrongly(s, "REC_DATA of no channel");
		return;
	}
	c->bytes[d->stream] += v.len;
	s->bytes[d->stream] += v.len;
	if (v.len == 0)
		return;
	if (d->at_us < now)
		now = d->at_us;
	if (shared)
		v = bytes_own(c, d->stream, v, now);
	if (c->pty && c->files != NULL)
		sp_transfer_data(c->files, (enum sp_rec_stream)d->stream, v, NULL);
	if (c->out != NULL && d->stream != SP_REC_IN)
		sp_outtext_feed(c->out, v);
	if (c->pty) {
		channel_write(s, c, d->stream, v, now);
		s->settle |= d->stream == SP_REC_IN;
		channel_shown(s, c, d->stream, v);
	} else {
		channel_bulk(s, c, d->stream, v, now);
	}
	if (s->kept.err != SP_OK && !s->kept_told)
		scribe_kept_failed(s);
	if (!c->pty && s->intake.may && c->bytes[d->stream] > SP_INTAKE_BULK)
		intake_bulk(s);
}

static void
said_data(struct scribe *s, const uint8_t *p, size_t n)
{
	struct sp_recdata d;

	if (n < sizeof(d) || n - sizeof(d) > SP_REC_CHUNK) {
		said_wrongly(s, "REC_DATA");
		return;
	}
	memcpy(&d, p, sizeof(d));
	said_bytes(s, &d, (struct sp_view){ p + sizeof(d), n - sizeof(d) }, 0);
}

static void
said_refused(struct scribe *s, const Sallyport__RecRefused *m)
{
	struct channel *c = channel_find(s, m->channel);

	if (c == NULL || c->files == NULL)
		said_wrongly(s, "REC_REFUSED");
	else
		sp_transfer_refused(c->files, m);
}

static void
said_resize(struct scribe *s, const Sallyport__RecResize *m)
{
	struct channel *c = channel_find(s, m->channel);

	if (c == NULL || !c->pty) {
		said_wrongly(s, "REC_RESIZE");
		return;
	}
	if (m->cols == 0 || m->rows == 0)
		return;
	if (c->track != NULL)
		sp_scribe_track_resize(c->track, m->cols, m->rows);
	if (s->failed != SP_OK)
		return;
	scribe_wrote(s, sp_castchan_resize(&c->cast, m->cols, m->rows, sp_now_us()), 0);
	watchers_resize(s, c);
}

static int64_t
larger(uint64_t a, uint64_t b)
{
	return (int64_t)(a > b ? a : b);
}

static enum sp_err
channel_end_json(const struct channel *c, const Sallyport__RecChannelEnd *m, const char *kind, struct sp_buf *b)
{
	static const char *const sha_key[2][SP_REC_STREAMS] = { { "sha256_in", "sha256_out", "sha256_err" },
	    { "rest_sha256_in", "rest_sha256_out", "rest_sha256_err" } };
	struct sp_jsonw j;

	sp_jsonw_begin(&j, b);
	if (kind != NULL)
		sp_jsonw_str(&j, "kind", kind);
	sp_jsonw_int(&j, "channel", m->channel);
	sp_jsonw_int(&j, "bytes_in", larger(m->bytes_in, c->bytes[SP_REC_IN]));
	sp_jsonw_int(&j, "bytes_out", larger(m->bytes_out, c->bytes[SP_REC_OUT]));
	sp_jsonw_int(&j, "bytes_err", larger(m->bytes_err, c->bytes[SP_REC_ERR]));
	sp_jsonw_int(&j, "duration_us", (int64_t)(sp_now_us() - c->opened_us));
	for (int i = 0; c->bulk != NULL && i < SP_REC_STREAMS; i++)
		if (c->bulk[i].max > 0 && c->bulk[i].total > 0)
			json_hash(&j, sha_key[c->apart][i], &c->bulk[i].hash);
	sp_jsonw_int(&j, "exit_status", m->exit_status);
	sp_jsonw_str(&j, "exit_signal", m->exit_signal);
	return sp_jsonw_end(&j);
}

/* What was held back, and the gaps that are open, go into the recording. */
static void
channel_settle_all(struct scribe *s, struct channel *c)
{
	sp_transfer_free(sp_steal(&c->files));		/* what it was at is told before its end */
	channel_output_end(s, c);
	for (int i = 0; c->bulk != NULL && i < SP_REC_STREAMS; i++)
		if (c->bulk[i].gap.bytes > 0) {
			channel_gap(s, c, i, &c->bulk[i].gap, &c->bulk[i].hash);
			c->bulk[i].gap.bytes = 0;
		}
	if (c->cast.log != NULL) {
		enum sp_err r = sp_castchan_close(&c->cast, sp_now_us());

		c->cast.log = NULL;
		if (r != SP_OK && s->failed == SP_OK)
			scribe_wrote(s, r, 0);
	}
}

static void
said_channel_end(struct scribe *s, const Sallyport__RecChannelEnd *m)
{
	struct channel *c = channel_find(s, m->channel);
	struct sp_buf b;

	if (c == NULL) {
		said_wrongly(s, "REC_CHANNEL_END");
		return;
	}
	sp_htab_remove(&s->channels, &c->node);
	c->ended = 1;
	channel_settle_all(s, c);
	channel_track_end(c);
	sp_buf_init(&b, 65536);
	if (channel_end_json(c, m, "channel-end", &b) == SP_OK)
		scribe_note(s, &b);
	sp_buf_reset(&b);
	if (channel_end_json(c, m, NULL, &b) == SP_OK)
		scribe_event(s, "channel-end", &b);
	sp_buf_release(&b);
	watchers_channel_end(s, c);
	if (c != s->newest_pty)
		channel_free(c);
}

struct settling {
	struct scribe	*s;
	uint64_t	 now_us;
	int		 waits;
};

static void
channel_settle(struct sp_hnode *n, void *arg)
{
	struct channel *c = sp_container(n, struct channel, node);
	struct settling *v = arg;

	if (!c->pty || c->cast.log == NULL || v->s->failed != SP_OK)
		return;
	scribe_wrote(v->s, sp_castchan_settle(&c->cast, v->now_us), 0);
	v->waits |= c->cast.echo != NULL && c->cast.echo->n > 0;
}

void
channels_settle(struct scribe *s, uint64_t now_us)
{
	struct settling v = { s, now_us, 0 };

	if (!s->settle)
		return;
	sp_htab_each(&s->channels, channel_settle, &v);
	s->settle = v.waits;
}

static void
channel_end_one(struct sp_hnode *n, void *arg)
{
	channel_settle_all(arg, sp_container(n, struct channel, node));
	channel_track_end(sp_container(n, struct channel, node));
}

void
channels_end(struct scribe *s)
{
	sp_htab_each(&s->channels, channel_end_one, s);
}

void
said(struct scribe *s, struct sp_msg *m)
{
	if (s->state != S_OPEN && m->id != SP_MSG_REC_OPEN && m->id != SP_MSG_REC_END) {
		said_wrongly(s, "data before REC_OPENED");
		return;
	}
	switch (m->id) {
	case SP_MSG_REC_OPEN:
		said_open(s, (const Sallyport__RecOpen *)m->body);
		break;
	case SP_MSG_REC_CHANNEL:
		said_channel(s, (const Sallyport__RecChannel *)m->body);
		break;
	case SP_MSG_REC_DATA:
		said_data(s, m->raw, m->raw_len);
		break;
	case SP_MSG_REC_WAKE:
		intake_look(s);
		break;
	case SP_MSG_REC_REFUSED:
		said_refused(s, (const Sallyport__RecRefused *)m->body);
		break;
	case SP_MSG_LINE_ASK:
		said_line_ask(s, (const Sallyport__LineAsk *)m->body);
		break;
	case SP_MSG_LINE_JUDGED:
		said_judged(s, (const Sallyport__LineJudged *)m->body);
		break;
	case SP_MSG_REC_RESIZE:
		said_resize(s, (const Sallyport__RecResize *)m->body);
		break;
	case SP_MSG_REC_CHANNEL_END:
		said_channel_end(s, (const Sallyport__RecChannelEnd *)m->body);
		break;
	case SP_MSG_REC_END:
		scribe_finish(s, ((const Sallyport__RecEnd *)m->body)->reason, ((const Sallyport__RecEnd *)m->body)->by);
		break;
	default:
		break;
	}
}
