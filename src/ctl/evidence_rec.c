/* src/ctl/evidence_rec.c - the recording of an exported session: every segment, compared with what the log says of it. The log's
 * word for a payload is that of END, of the event that closed the segment, or of a torn one; for a header also that of a rewrap. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "common/recpath.h"
#include "crypto/age.h"
#include "crypto/hash.h"
#include "ctl/evidence.h"

#define COPY_BLOCK	65536
#define HEX_SIZE	(2 * SP_SHA256_LEN + 1)

struct hashes {
	char	header[HEX_SIZE], payload[HEX_SIZE], tail[2][HEX_SIZE];
};

static const char *
member(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* What the log says of a segment; "": nothing. */
static void
log_says(const struct evsession *s, unsigned segment, struct hashes *ret, int *ret_deleted)
{
	size_t i;
	json_t *e;

	*ret = (struct hashes){ .header = "" };
	json_array_foreach(s->entries, i, e) {
		const json_t *more = json_object_get(e, "more"), *body = json_object_get(more, "body");
		const json_t *o = strcmp(member(e, "kind"), "recording.rewrap") == 0 ? more : body;
		json_int_t n = json_integer_value(json_object_get(o, "segment"));

		*ret_deleted |= strcmp(member(e, "kind"), "recording.deleted") == 0 && strcmp(member(e, "result"), "ok") == 0;
		if ((unsigned)(n > 0 ? n : 1) != segment)
			continue;
		if (*member(o, "header_sha256") != '\0')
			(void)sp_strlcpy(ret->header, member(o, "header_sha256"), sizeof(ret->header));
		/* That of a chunk is of what there was then. */
		if (o == body && *member(o, "payload_sha256") != '\0' && strcmp(member(more, "kind"), "chunk") != 0)
			(void)sp_strlcpy(ret->payload, member(o, "payload_sha256"), sizeof(ret->payload));
		if (o == body && *member(o, "tail0_sha256") != '\0')
			(void)sp_strlcpy(ret->tail[0], member(o, "tail0_sha256"), sizeof(ret->tail[0]));
		if (o == body && *member(o, "tail1_sha256") != '\0')
			(void)sp_strlcpy(ret->tail[1], member(o, "tail1_sha256"), sizeof(ret->tail[1]));
	}
}

/* Copy one file below recordings/. SP_ENOENT is not shown. hashes NULL: no recording. */
static enum sp_err
rec_copy(struct ctl *c, const struct evlog *l, const char *path, int dir, struct hashes *ret)
{
	sp_auto(sp_closep) int in = -1, out = -1;
	const char *name = strrchr(path, '/') + 1;
	uint8_t block[COPY_BLOCK], hash[SP_SHA256_LEN];
	struct sp_sha256 h;
	char from[256];
	size_t header = 0, skip;
	struct stat st;
	ssize_t n;

	(void)sp_snprintf(from, sizeof(from), "../recordings/%s", path);
	if ((in = openat(l->fd, from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)) == -1)
		return errno == ENOENT ? SP_ENOENT : ctl_fail(c, sp_err_errno(errno), "%s: %s", from, strerror(errno));
	if (fstat(in, &st) == -1 || !S_ISREG(st.st_mode))
		return ctl_fail(c, SP_EFORMAT, "%s is no file", from);
	if ((out = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)) == -1)
		return ctl_fail(c, sp_err_errno(errno), "%s: %s", name, strerror(errno));
	sp_sha256_begin(&h);
	while ((n = read(in, block, sizeof(block))) > 0) {
		skip = 0;
		if (ret != NULL && header == 0 && sp_age_header_len((struct sp_view){ block, (size_t)n }, &header) == SP_OK) {
			sp_sha256(block, header, hash);
			sp_hex(hash, sizeof(hash), ret->header);
			skip = header;
		}
		sp_sha256_add(&h, block + skip, (size_t)n - skip);
		if (sp_write_all(out, block, (size_t)n) != SP_OK)
			return ctl_fail(c, SP_EIO, "%s cannot be written", name);
	}
	if (n == -1 || fsync(out) == -1)
		return ctl_fail(c, SP_EIO, "%s cannot be copied", name);
	if (ret != NULL) {
		sp_sha256_now(&h, hash);
		sp_hex(hash, sizeof(hash), ret->payload);
	}
	return SP_OK;
}

static void
rec_say(struct ctl *c, const char *name, const char *what)
{
	c->failed = 1;
	ctl_note(c, "%s is not the one of the log: %s. It was changed, cut, or replaced after it was recorded.", name, what);
}

/* Beside an age file: its tails, which a torn recording needs, and the header that it had first. *ret_agrees: 0 when one is not that of
 * the log. */
static enum sp_err
rec_copy_rest(struct ctl *c, const struct evlog *l, const char *path, int dir, const struct hashes *want, int *ret_agrees)
{
	static const char *const ends[] = { "tail0", "tail1", "header" };
	char beside[SP_REC_PATH + 8];

	for (size_t i = 0; i < SP_NELEMS(ends); i++) {
		const char *log = i < SP_NELEMS(want->tail) ? want->tail[i] : "";
		struct hashes have = { .header = "" };
		enum sp_err r;

		(void)sp_snprintf(beside, sizeof(beside), "%.*s%s", (int)strlen(path) - 3, path, ends[i]);
		if ((r = rec_copy(c, l, beside, dir, *log != '\0' ? &have : NULL)) != SP_OK && r != SP_ENOENT)
			return r;
		if (*log == '\0' || strcmp(log, have.payload) == 0)
			continue;
		*ret_agrees = 0;
		rec_say(c, beside + SP_REC_DAY, r == SP_ENOENT ? "it is not there" : ends[i][4] == '0' ? "tail0 has another hash" : "tail1 has another hash");
	}
	return SP_OK;
}

enum sp_err
export_recording(struct ctl *c, const struct evlog *l, const struct evsession *s, const char *id, int dir, json_t *o)
{
	json_t *files = json_array();
	struct sp_uuid session;
	int deleted = 0;

	json_object_set_new(o, "recordings", files);
	if (sp_uuid_parse(id, &session) != SP_OK)
		return ctl_fail(c, SP_EUSAGE, "\"%s\" is no id of a session", id);
	for (unsigned n = 1; n <= SP_REC_SEGMENTS_MAX; n++) {
		struct hashes want, have = { .header = "" };
		char path[SP_REC_PATH];
		const char *name;
		int agrees = 1;
		enum sp_err r;

		log_says(s, n, &want, &deleted);
		sp_rec_segment_path(&session, n, SP_REC_AGE, path);
		name = path + SP_REC_DAY;
		if ((r = rec_copy(c, l, path, dir, &have)) == SP_ENOENT) {
			if (*want.payload == '\0' && (n > 1 || !s->has_start || !s->has_end))
				break;
			if (!deleted)
				rec_say(c, name, "it is not there");
			else
				ctl_note(c, "%s was deleted; the log says when, by whom and why.", name);
			break;
		}
		if (r != SP_OK || (r = rec_copy_rest(c, l, path, dir, &want, &agrees)) != SP_OK)
			return r;
		agrees &= (*want.payload == '\0' || strcmp(want.payload, have.payload) == 0) && (*want.header == '\0' || strcmp(want.header, have.header) == 0);
		if (*want.header != '\0' && strcmp(want.header, have.header) != 0)
			rec_say(c, name, "its header has another hash");
		else if (*want.payload != '\0' && strcmp(want.payload, have.payload) != 0)
			rec_say(c, name, "its payload has another hash");
		else if (*want.payload == '\0')
			ctl_note(c, "The log has no hash of the whole of %s: its recorder had no time to say it.", name);
		json_array_append_new(files, json_pack("{s:s, s:i, s:s, s:s, s:o}", "file", name, "segment", (int)n, "header_sha256", have.header,
		    "payload_sha256", have.payload, "agrees", *want.payload == '\0' && agrees ? json_null() : json_boolean(agrees)));
		if (n == 1)
			json_object_set_new(o, "recording", json_string(name));
	}
	return SP_OK;
}
