/* src/control/api_rewrap.c - headers of recordings: handed out, and replaced by one that an auditor made for the auditors of
 * today. Process: control, worker threads; nothing here opens a header.
 *
 *	old file -> header | payload -> "<id>.NNNN.rewrap" = new header | the same payload, hashed -> entry durable -> exchange
 *
 * Invariants: (1) not one byte of the payload changes: it is hashed while it is copied, and must be what the log says where
 * the log says it. (2) The first header, whose hash START has, stays beside the recording ("<id>.NNNN.header"): a header that
 * opens nothing takes nothing away. (3) A recording that was deleted meanwhile does not come back: names are exchanged. */
#include "control/api.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "common/recpath.h"
#include "control/auditors.h"
#include "control/methods.h"
#include "control/recfiles.h"
#include "control/recvault.h"
#include "crypto/hash.h"

#define BLOCK		((size_t)1 << 20)
#define EVENTS_PAGE	1000u
#define HEX_SIZE	(2 * SP_SHA256_LEN + 1)

struct rewrap {
	struct sp_store_session	row;
	int64_t		 segment;
	unsigned	 segments;
	int		 day, fd;		/* of its directory; of the recording as it is */
	char		 name[SP_REC_PATH], rest[SP_REC_PATH];	/* of the file; "<id>.NNNN." */
	struct sp_buf	 old;			/* its header */
	struct stat	 st;
	uint8_t		 payload[SP_SHA256_LEN];
};

static void
rewrap_release(struct rewrap *k)
{
	sp_closep(&k->day);
	sp_closep(&k->fd);
	sp_buf_release(&k->old);
}

/* The recording that is asked about, opened. */
static enum sp_err
rewrap_find(struct api_call *c, struct sp_store *s, struct rewrap *k)
{
	struct recday d = { .n = 0 };
	struct recfiles f = { .segments = 0 };
	struct sp_config conf;
	char path[SP_REC_PATH], id[SP_UUID_SIZE];
	int dir = -1;
	enum sp_err r;

	k->segment = 1;
	if (session_named(c, s, &k->row) != SP_OK || api_int(c, "segment", 1, SP_REC_SEGMENTS_MAX, &k->segment) != SP_OK)
		return c->err;
	if (k->row.state == SP_STORE_LIVE)
		return api_fail(c, SP_ESTATE, "the session is live: its recording is still written");
	ctl_conf_copy(c->ctl, &conf);
	if ((r = recfiles_dir(conf.state_dir, &dir)) == SP_OK && (r = recday_find(dir, &k->row.id, &d, &f)) == SP_OK &&
	    (r = sp_rec_day_open(dir, &k->row.id, &k->day)) == SP_OK)
		r = sp_rec_segment_open(dir, &k->row.id, (unsigned)k->segment, SP_REC_AGE, &k->fd);
	recday_release(&d);
	sp_closep(&dir);
	k->segments = f.segments;
	sp_rec_segment_path(&k->row.id, (unsigned)k->segment, SP_REC_AGE, path);
	(void)sp_strlcpy(k->name, path + SP_REC_DAY, sizeof(k->name));
	(void)sp_snprintf(k->rest, sizeof(k->rest), "%s.%04u.", sp_uuid_text(&k->row.id, id), (unsigned)k->segment);
	if (r == SP_OK && (fstat(k->fd, &k->st) == -1 || (r = recfiles_header(k->fd, &k->old)) != SP_OK))
		r = r != SP_OK ? r : SP_EIO;
	return r == SP_OK ? SP_OK : api_fail(c, r, r == SP_ENOENT ? "there is no such recording here" : "the recording cannot be read: %s", sp_err_text(r));
}

/* ---- who opens it ---- */

static json_t *
recipients_now(struct api_call *c, struct sp_store *s, struct auditors *ret)
{
	char text[SP_BECH32_SIZE];
	json_t *a = NULL;

	if (api_store(c, auditors_get(s, ret), "the auditors' keys") != SP_OK)
		return NULL;
	a = json_array();
	for (size_t i = 0; i < ret->n; i++)
		if (sp_age_recipient_text(&ret->key[i], text) == SP_OK)
			json_array_append_new(a, json_string(text));
	return a;
}

static int
same_set(const json_t *a, const json_t *b)
{
	size_t i, j, found = 0;
	const json_t *x, *y;

	json_array_foreach(a, i, x)
		json_array_foreach(b, j, y)
			if (json_equal(x, y)) {
				found++;
				break;
			}
	return json_array_size(a) == json_array_size(b) && found == json_array_size(a);
}

struct looking {
	int64_t		 segment, last_seq;
	size_t		 seen;
	json_t		*recipients;		/* of START */
	char		 header[HEX_SIZE], payload[HEX_SIZE];	/* as START and END say; "": not said */
};

static int
look_event(const struct sp_store_event *e, void *arg)
{
	struct looking *l = arg;
	int start = strcmp(e->kind, "start") == 0;
	const char *hash;
	json_t *o;

	l->seen++;
	l->last_seq = e->seq;
	if (!start && strcmp(e->kind, "end") != 0 && strcmp(e->kind, "torn") != 0 && strcmp(e->kind, "segment") != 0)
		return 0;
	if ((o = json_loadb((const char *)e->payload, e->payload_len, 0, NULL)) == NULL)
		return 0;
	if (start) {
		l->recipients = json_incref(json_object_get(o, "recipients"));
		if (l->segment == 1 && (hash = json_string_value(json_object_get(o, "header_sha256"))) != NULL)
			(void)sp_strlcpy(l->header, hash, sizeof(l->header));
	} else if (json_integer_value(json_object_get(o, "segment")) == l->segment &&
	    (hash = json_string_value(json_object_get(o, "payload_sha256"))) != NULL) {
		(void)sp_strlcpy(l->payload, hash, sizeof(l->payload));
		if ((hash = json_string_value(json_object_get(o, "header_sha256"))) != NULL)
			(void)sp_strlcpy(l->header, hash, sizeof(l->header));
	}
	json_decref(o);
	return 0;
}

/* What the log says of that segment. */
static enum sp_err
log_says(struct api_call *c, struct sp_store *s, const struct rewrap *k, struct looking *l)
{
	enum sp_err r;

	*l = (struct looking){ .segment = k->segment, .last_seq = -1 };
	do {
		l->seen = 0;
		r = sp_store_event_list(s, &k->row.id, l->last_seq, EVENTS_PAGE, look_event, l);
	} while (r == SP_OK && l->seen == EVENTS_PAGE);
	if (r != SP_OK)
		json_decref(l->recipients);
	return api_store(c, r, "the events of the session");
}

/* The header in that file, if the log has its hash; want "": the log says nothing of it. */
static int
header_is(int fd, const char *want, struct sp_buf *ret)
{
	uint8_t hash[SP_SHA256_LEN];
	char hex[HEX_SIZE];

	ret->len = 0;
	if (fd == -1 || recfiles_header(fd, ret) != SP_OK)
		return 0;
	sp_sha256(ret->p, ret->len, hash);
	sp_hex(hash, sizeof(hash), hex);
	return *want == '\0' || strcmp(hex, want) == 0;
}

enum sp_err
recording_first_header(struct api_call *c, struct sp_store *s, const struct sp_uuid *session, int64_t segment, struct sp_buf *ret)
{
	struct rewrap k = { .row.id = *session, .segment = segment, .day = -1, .fd = -1 };
	sp_auto(sp_closep) int dir = -1, first = -1;
	struct looking l = { .segment = 0 };
	char name[SP_REC_PATH], id[SP_UUID_SIZE];
	struct sp_config conf;
	enum sp_err r;

	if (log_says(c, s, &k, &l) != SP_OK)
		return c->err;
	json_decref(l.recipients);
	ctl_conf_copy(c->ctl, &conf);
	if ((r = recfiles_dir(conf.state_dir, &dir)) == SP_OK && (r = sp_rec_day_open(dir, session, &k.day)) == SP_OK)
		r = sp_rec_segment_open(dir, session, (unsigned)segment, SP_REC_AGE, &k.fd);
	if (r == SP_OK) {
		(void)sp_snprintf(name, sizeof(name), "%s.%04u.header", sp_uuid_text(session, id), (unsigned)segment);
		first = openat(k.day, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
		/* One that was put in its place may be another recording's. */
		if (!header_is(first, l.header, ret) && !header_is(*l.header == '\0' && first != -1 ? -1 : k.fd, l.header, ret))
			r = SP_ETAMPERED;
	}
	rewrap_release(&k);
	if (r == SP_ETAMPERED)
		return api_fail(c, r, "the header of the recording is not the one of the log");
	return r == SP_OK ? SP_OK : api_fail(c, r, r == SP_ENOENT ? "there is no such recording here" : "the recording cannot be read: %s", sp_err_text(r));
}

/* Recipients that the last rewrap noted, beside the recording. */
static json_t *
noted(const struct rewrap *k)
{
	char name[SP_REC_PATH + 16], text[SP_AGE_RECIPIENTS_MAX * (SP_BECH32_SIZE + 4) + 16];
	sp_auto(sp_closep) int fd = -1;
	ssize_t n;

	(void)sp_snprintf(name, sizeof(name), "%sto", k->rest);
	if ((fd = openat(k->day, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)) == -1 || (n = read(fd, text, sizeof(text))) <= 0)
		return NULL;
	return json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
}

void
recording_header(struct api_call *c, struct sp_store *s)
{
	struct rewrap k = { .day = -1, .fd = -1, .old = { .max = SP_AGE_HEADER_MAX } };
	struct auditors now;
	struct looking l = { .segment = 0 };
	json_t *to = NULL, *was = NULL;

	if (rewrap_find(c, s, &k) == SP_OK && (to = recipients_now(c, s, &now)) != NULL && log_says(c, s, &k, &l) == SP_OK) {
		was = noted(&k);
		c->out = json_pack("{s:o, s:I, s:i, s:o, s:O, s:b}", "id", api_id(&k.row.id), "segment", (json_int_t)k.segment, "segments", (int)k.segments,
		    "header", api_base64(k.old.p, k.old.len), "recipients", to, "fresh", same_set(was != NULL ? was : l.recipients, to));
		json_decref(was);
		json_decref(l.recipients);
	}
	json_decref(to);
	rewrap_release(&k);
}

/* ---- replacing it ---- */

/* Everything behind the old header, behind the new one. */
static enum sp_err
payload_copy(struct rewrap *k, int to)
{
	sp_auto(sp_freep) uint8_t *block = malloc(BLOCK);
	off_t at = (off_t)k->old.len;
	struct sp_sha256 h;
	ssize_t n;
	enum sp_err r = SP_OK;

	if (block == NULL)
		return SP_ENOMEM;
	sp_sha256_begin(&h);
	while (r == SP_OK && (n = pread(k->fd, block, BLOCK, at)) != 0) {
		if (n == -1)
			return SP_EIO;
		sp_sha256_add(&h, block, (size_t)n);
		r = sp_write_all(to, block, (size_t)n);
		at += n;
	}
	sp_sha256_now(&h, k->payload);
	if (r == SP_OK && at != k->st.st_size)
		return SP_ECONFLICT;
	return r != SP_OK ? r : fsync(to) == -1 ? SP_EIO : SP_OK;
}

static enum sp_err
file_make(struct rewrap *k, const char *end, int flags, int *ret, char name[SP_REC_PATH + 16])
{
	(void)sp_snprintf(name, SP_REC_PATH + 16, "%s%s", k->rest, end);
	*ret = openat(k->day, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0640);
	return *ret == -1 ? sp_err_errno(errno) : SP_OK;
}

/* A small file beside the recording. */
static enum sp_err
note_make(struct rewrap *k, const char *end, const void *p, size_t n)
{
	sp_auto(sp_closep) int fd = -1;
	char name[SP_REC_PATH + 16];
	enum sp_err r = file_make(k, end, O_TRUNC, &fd, name);

	if (r != SP_OK)
		return r;
	if ((r = sp_write_all(fd, p, n)) == SP_OK && fsync(fd) == -1)
		r = SP_EIO;
	if (r != SP_OK)
		(void)unlinkat(k->day, name, 0);
	return r;
}

/* Is there room for it once more, with something left? */
static int
has_room(struct api_call *c, const struct rewrap *k)
{
	struct sp_config conf;
	struct statvfs v;

	ctl_conf_copy(c->ctl, &conf);
	return fstatvfs(k->day, &v) == 0 && (uint64_t)v.f_bavail * v.f_frsize > (uint64_t)k->st.st_size + 4 * ((uint64_t)conf.reserve_mb << 20);
}

/* Stanzas for as many keys as there are; to whom each is, nobody here can see. */
static int
header_fits(const struct sp_buf *b, size_t keys)
{
	static const char stanza[] = "\n-> X25519 ";
	const uint8_t *at = b->p, *end = b->p + b->len, *hit;
	size_t n = 0, len;

	for (; (hit = memmem(at, (size_t)(end - at), stanza, sizeof(stanza) - 1)) != NULL; at = hit + 1)
		n++;
	return n == keys && sp_age_header_len((struct sp_view){ b->p, b->len }, &len) == SP_OK && len == b->len;
}

static enum sp_err
intent(struct api_call *c, const struct rewrap *k, const struct sp_buf *new, const json_t *to)
{
	uint8_t hash[SP_SHA256_LEN];
	char old_hex[HEX_SIZE], new_hex[HEX_SIZE], payload[HEX_SIZE];
	struct audit_entry e = { .kind = "recording.rewrap", .actor = api_actor(c), .result = "ok", .source = c->source, .session = &k->row.id };
	enum sp_err r;

	sp_sha256(k->old.p, k->old.len, hash);
	sp_hex(hash, sizeof(hash), old_hex);
	sp_sha256(new->p, new->len, hash);
	sp_hex(hash, sizeof(hash), new_hex);
	sp_hex(k->payload, sizeof(k->payload), payload);
	e.more = json_pack("{s:I, s:s, s:s, s:s, s:O}", "segment", (json_int_t)k->segment, "old_header_sha256", old_hex, "header_sha256", new_hex,
	    "payload_sha256", payload, "recipients", ctl_json(to));
	r = audit_append_wait(c->ctl->audit, &e);
	api_more(c, "segment", json_integer(k->segment));
	api_more(c, "header_sha256", json_string(new_hex));
	c->out = json_pack("{s:o, s:I, s:s, s:s}", "id", api_id(&k->row.id), "segment", (json_int_t)k->segment, "header_sha256", new_hex,
	    "payload_sha256", payload);
	json_decref(e.more);
	return r == SP_OK ? SP_OK : api_fail(c, r, "the audit log does not take the entry");
}

/* The header that START knows stays, whole, beside the recording: also when a crash left half of it there. */
static enum sp_err
first_keep(struct rewrap *k, const char *want)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_AGE_HEADER_MAX };
	char name[SP_REC_PATH + 16], temp[SP_REC_PATH + 16];
	sp_auto(sp_closep) int fd = -1;
	enum sp_err r;

	(void)sp_snprintf(name, sizeof(name), "%sheader", k->rest);
	(void)sp_snprintf(temp, sizeof(temp), "%sfirst", k->rest);
	fd = openat(k->day, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (header_is(fd, want, &b) || (fd != -1 && !header_is(k->fd, want, &b)))
		return SP_OK;
	if ((r = note_make(k, "first", k->old.p, k->old.len)) != SP_OK)
		return r;
	return renameat(k->day, temp, k->day, name) == -1 || fsync(k->day) == -1 ? SP_EIO : SP_OK;
}

/* *ret_header: the hash of the first one, as the log has it. */
static enum sp_err
payload_check(struct api_call *c, struct sp_store *s, const struct rewrap *k, char ret_header[HEX_SIZE])
{
	struct looking l;
	char hex[HEX_SIZE];

	if (log_says(c, s, k, &l) != SP_OK)
		return c->err;
	json_decref(l.recipients);
	(void)sp_strlcpy(ret_header, l.header, HEX_SIZE);
	sp_hex(k->payload, sizeof(k->payload), hex);
	return *l.payload == '\0' || strcmp(l.payload, hex) == 0 ? SP_OK :
	    api_fail(c, SP_ETAMPERED, "the recording is not the one of the log (its payload has another hash): it stays as it is");
}

static enum sp_err
rewrap_do(struct api_call *c, struct sp_store *s, struct rewrap *k, const struct sp_buf *new, const json_t *to)
{
	sp_auto(sp_freep) char *keys = json_dumps(to, JSON_COMPACT);
	char name[SP_REC_PATH + 16], first[HEX_SIZE];
	int fd = -1;
	enum sp_err r;

	if ((r = file_make(k, "rewrap", O_TRUNC, &fd, name)) != SP_OK)
		return api_fail(c, r, "the new file cannot be made: %s", sp_err_text(r));
	if ((r = sp_write_all(fd, new->p, new->len)) == SP_OK)
		r = payload_copy(k, fd);
	sp_closep(&fd);
	if (r != SP_OK)
		(void)api_fail(c, r, "the recording cannot be copied: %s", sp_err_text(r));
	else if (payload_check(c, s, k, first) == SP_OK && (r = first_keep(k, first)) != SP_OK)
		(void)api_fail(c, r, "the header as it was cannot be kept: %s", sp_err_text(r));
	if (c->err == SP_OK && intent(c, k, new, to) == SP_OK &&
	    renameat2(k->day, name, k->day, k->name, RENAME_EXCHANGE) == -1)
		(void)api_fail(c, sp_err_errno(errno), "the recording is not there any more, or cannot be replaced");
	if (c->err == SP_OK && keys != NULL && (r = note_make(k, "to", keys, strlen(keys))) != SP_OK)
		(void)api_fail(c, r, "the new header is in place, but for whom could not be noted: %s", sp_err_text(r));
	(void)unlinkat(k->day, name, 0);	/* what was there before, or what did not come that far */
	if (fsync(k->day) == -1)
		(void)api_fail(c, SP_EIO, "the directory of the recording cannot be synced");
	return c->err;
}

void
recording_rewrap(struct api_call *c, struct sp_store *s)
{
	struct rewrap k = { .day = -1, .fd = -1, .old = { .max = SP_AGE_HEADER_MAX } };
	sp_auto(sp_buf_release) struct sp_buf new = { .max = SP_AGE_HEADER_MAX };
	struct auditors now;
	json_t *to = NULL;

	if (api_bytes(c, c->params, "header", 1, &new) != SP_OK || rewrap_find(c, s, &k) != SP_OK ||
	    (to = recipients_now(c, s, &now)) == NULL) {
		/* said */
	} else if (!header_fits(&new, now.n)) {
		(void)api_fail(c, SP_EFORMAT, "that is no age header for the %zu keys of today", now.n);
	} else if (new.len == k.old.len && memcmp(new.p, k.old.p, new.len) == 0) {
		(void)api_fail(c, SP_EEXIST, "that is the header that it has");
	} else if (!has_room(c, &k)) {
		(void)api_fail(c, SP_ENOSPC, "the disk has no room to copy the recording");
	} else {
		(void)rewrap_do(c, s, &k, &new, to);
	}
	json_decref(to);
	rewrap_release(&k);
}
