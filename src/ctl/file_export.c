/* src/ctl/file_export.c - sallyport file export: contents of files that a grant kept, opened with an auditor's key where the auditor is.
 * Invariants: nothing is written that was not authenticated; names on this machine are made here, of a number and harmless signs. */
#include "ctl/file_export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "crypto/age.h"
#include "crypto/hash.h"
#include "ctl/call.h"
#include "ctl/secret.h"
#include "scribe/kept.h"

#define KEY_FILE_MAX	65536
#define FILES_MAX	100000u
#define NAME_PART	80		/* bytes of a file's own name that are shown in its name here */
#define WAITING_MAX	(SP_AGE_CHUNK + SP_KEPT_BODY_MAX + SP_KEPT_HEAD)

const struct ctl_opt ctl_file_export_args[] = {
	{ "ID", CTL_STR, .complete = "session", .help = "id of the session, with /NUMBER for one file; or a fetched file (.files.age)" },
	CTL_END
};
const struct ctl_opt ctl_file_export_opts[] = {
	{ "key", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "private key of an auditor (an age identity file)" },
	{ "output", CTL_STR, .value = "DIR", .complete = "file", .flags = CTL_LOCAL, .help = "new directory for the files (default: they are only listed)" },
	CTL_END
};

struct export {
	struct ctl	*c;
	int		 in, dir;		/* dir: -1: list only */
	uint32_t	 only, now;		/* 0: all; the file that is open */
	int		 fd;
	char		**names;		/* by number, from 1; NULL: not begun, or not wanted */
	uint32_t	 n;
	size_t		 shown, bad;
	int		 told;			/* the error is said already */
};

static enum sp_err
export_pread(int fd, uint8_t *p, size_t n, uint64_t at, size_t *ret)
{
	size_t got = 0;

	while (got < n) {
		ssize_t k = pread(fd, p + got, n - got, (off_t)(at + got));

		if (k == -1 && errno == EINTR)
			continue;
		if (k == -1)
			return SP_EIO;
		if (k == 0)
			break;
		got += (size_t)k;
	}
	*ret = got;
	return SP_OK;
}

/* ---- files here */

/* "0003-passwd" for "/etc/passwd". */
static char *
name_here(uint32_t number, const char *path)
{
	const char *last = path != NULL ? strrchr(path, '/') : NULL, *s = last != NULL ? last + 1 : path != NULL ? path : "";
	char name[NAME_PART + 16];
	size_t n = (size_t)snprintf(name, sizeof(name), "%04u-", number);

	for (; *s != '\0' && n < sizeof(name) - 1; s++)
		name[n++] = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || strchr("._-+=@", *s) != NULL ? *s : '_';
	name[n] = '\0';
	return strdup(name);
}

static enum sp_err
file_open(struct export *x, uint32_t number, int flags)
{
	if (x->now == number && x->fd >= 0)
		return SP_OK;
	sp_closep(&x->fd);
	x->now = number;
	if ((x->fd = openat(x->dir, x->names[number], O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600)) == -1) {
		x->told = 1;
		return ctl_fail(x->c, sp_err_errno(errno), "%s: %s", x->names[number], strerror(errno));
	}
	return SP_OK;
}

static enum sp_err
file_begin(struct export *x, const struct sp_kept_record *r)
{
	ctl_auto_json *about = json_loadb((const char *)r->body.p, r->body.len, 0, NULL);

	if (r->file != x->n + 1 || r->file > FILES_MAX)
		return SP_EFORMAT;
	if (r->file % 1024 == 1) {
		char **p = realloc(x->names, (r->file + 1024) * sizeof(*p));

		if (p == NULL)
			return SP_ENOMEM;
		x->names = p;
	}
	x->names[r->file] = NULL;
	x->n = r->file;
	if (x->only != 0 && r->file != x->only)
		return SP_OK;
	if ((x->names[r->file] = name_here(r->file, json_string_value(json_object_get(about, "path")))) == NULL)
		return SP_ENOMEM;
	return x->dir >= 0 ? file_open(x, r->file, O_CREAT | O_EXCL) : SP_OK;
}

static enum sp_err
file_data(struct export *x, const struct sp_kept_record *r)
{
	struct sp_view v = r->body;
	uint64_t at = r->offset;

	if (r->file > x->n)
		return SP_EFORMAT;
	if (x->names[r->file] == NULL || x->dir < 0)
		return SP_OK;
	CTL_TRY(file_open(x, r->file, 0));
	while (v.len > 0) {
		ssize_t k = pwrite(x->fd, v.p, v.len, (off_t)at);

		if (k == -1 && errno == EINTR)
			continue;
		if (k <= 0) {
			x->told = 1;
			return ctl_fail(x->c, SP_EIO, "%s: %s", x->names[r->file], strerror(errno));
		}
		v.p += k;
		v.len -= (size_t)k;
		at += (uint64_t)k;
	}
	return SP_OK;
}

/* Is what was written here what passed, by the hash in the log? 1 yes, 0 no, -1 it cannot be said: not whole, or not in order. */
static int
file_matches(struct export *x, const json_t *o)
{
	const char *want = json_string_value(json_object_get(o, "sha256"));
	uint64_t at = (uint64_t)json_integer_value(json_object_get(o, "from")), left = (uint64_t)json_integer_value(json_object_get(o, "bytes"));
	uint8_t buf[16384], hash[SP_SHA256_LEN];
	char hex[2 * SP_SHA256_LEN + 1];
	struct sp_sha256 h;
	size_t n;

	if (want == NULL || json_object_get(o, "kept_missing") != NULL || x->dir < 0)
		return -1;
	sp_sha256_begin(&h);
	for (; left > 0; left -= n, at += n) {
		if (export_pread(x->fd, buf, left < sizeof(buf) ? (size_t)left : sizeof(buf), at, &n) != SP_OK || n == 0)
			return 0;
		sp_sha256_add(&h, buf, n);
	}
	sp_sha256_now(&h, hash);
	sp_hex(hash, sizeof(hash), hex);
	return strcmp(hex, want) == 0;
}

/* A line about a file; o: what the log says of it, NULL: it was never closed. */
static void
file_line(struct export *x, uint32_t number, const json_t *o, int matches)
{
	int64_t from = json_integer_value(json_object_get(o, "from")), missing = json_integer_value(json_object_get(o, "kept_missing"));
	const char *path = json_string_value(json_object_get(o, "path")), *op = json_string_value(json_object_get(o, "op"));
	FILE *out = x->c->out;

	if (path != NULL && !sp_text_is_plain(path, strlen(path)))	/* the recorder escapes them */
		path = NULL;
	fprintf(out, "%s  %s  %s", x->names[number], op != NULL ? op : "?", path != NULL ? path : "?");
	if (o == NULL)
		fprintf(out, "  not closed: the recorder died, its last bytes are missing");
	else
		fprintf(out, "  %lld bytes", (long long)json_integer_value(json_object_get(o, "kept_bytes")));
	if (missing > 0)
		fprintf(out, ", %lld more were not kept", (long long)missing);
	if (from > 0)
		fprintf(out, ", from byte %lld on (zeros before it)", (long long)from);
	if (json_object_get(o, "ranges") != NULL)
		fprintf(out, ", in ranges: what lies between them is zeros, or was written twice");
	fprintf(out, "%s\n", matches > 0 ? ", SHA-256 as in the log" : matches == 0 ? ", NOT what the log says" : "");
	x->shown++;
}

static enum sp_err
file_end(struct export *x, const struct sp_kept_record *r)
{
	ctl_auto_json *o = json_loadb((const char *)r->body.p, r->body.len, 0, NULL);
	int matches;

	if (r->file > x->n || o == NULL)
		return SP_EFORMAT;
	if (x->names[r->file] == NULL)
		return SP_OK;
	if (x->dir >= 0)
		CTL_TRY(file_open(x, r->file, 0));
	matches = file_matches(x, o);
	x->bad += matches == 0;
	file_line(x, r->file, o, matches);
	free(x->names[r->file]);
	x->names[r->file] = NULL;
	if (x->now == r->file)
		sp_closep(&x->fd);
	return SP_OK;
}

/* ---- the container */

static enum sp_err
records(struct export *x, struct sp_buf *plain)
{
	struct sp_view v = { plain->p, plain->len };
	struct sp_kept_record rec;
	enum sp_err r;

	while ((r = sp_kept_next(&v, &rec)) == SP_OK) {
		r = rec.type == SP_KEPT_BEGIN ? file_begin(x, &rec) : rec.type == SP_KEPT_DATA ? file_data(x, &rec) : file_end(x, &rec);
		if (r != SP_OK)
			return r;
	}
	sp_buf_consume(plain, plain->len - v.len);
	return r == SP_ESHORT ? SP_OK : r;
}

/* Header, then nonce; *ret_at: where the chunks begin. */
static enum sp_err
container_open(int fd, const struct sp_secret *identity, struct sp_secret *ret_key, uint64_t *ret_at)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_AGE_HEADER_MAX + SP_AGE_NONCE };
	sp_auto_secret file_key = { 0 };
	size_t n, header;
	enum sp_err r;

	if ((r = sp_buf_reserve(&b, b.max)) != SP_OK || (r = export_pread(fd, b.p, b.max, 0, &n)) != SP_OK ||
	    (r = sp_age_header_len((struct sp_view){ b.p, n }, &header)) != SP_OK)
		return r;
	if (n - header < SP_AGE_NONCE)
		return SP_ESHORT;
	if ((r = sp_age_header_open((struct sp_view){ b.p, header }, identity, &file_key)) != SP_OK)
		return r;
	*ret_at = header + SP_AGE_NONCE;
	return sp_age_payload_key(&file_key, b.p + header, ret_key);
}

/* Every chunk in turn. *ret_torn: there is no last one. */
static enum sp_err
container_read(struct export *x, const struct sp_secret *key, uint64_t at, int *ret_torn)
{
	sp_auto(sp_buf_release) struct sp_buf sealed = { .max = SP_AGE_SEALED_CHUNK }, plain = { .max = WAITING_MAX };
	int last = 0, begun = 0;
	enum sp_err r;
	size_t n, was;

	if ((r = sp_buf_reserve(&sealed, SP_AGE_SEALED_CHUNK)) != SP_OK)
		return r;
	for (uint64_t i = 0; !last; i++, at += n) {
		if ((r = export_pread(x->in, sealed.p, SP_AGE_SEALED_CHUNK, at, &n)) != SP_OK)
			return r;
		was = plain.len;
		if (n == SP_AGE_SEALED_CHUNK && sp_age_open(key, i, 0, (struct sp_view){ sealed.p, n }, &plain) == SP_OK)
			last = 0;
		else if (n > 0 && sp_age_open(key, i, 1, (struct sp_view){ sealed.p, n }, &plain) == SP_OK)
			last = 1;
		else if (n == SP_AGE_SEALED_CHUNK)
			return SP_EAUTH;
		else {
			*ret_torn = 1;
			return SP_OK;
		}
		if (!begun && plain.len - was < strlen(SP_KEPT_MAGIC))
			return SP_EFORMAT;
		if (!begun && memcmp(plain.p, SP_KEPT_MAGIC, strlen(SP_KEPT_MAGIC)) != 0)
			return SP_EFORMAT;
		if (!begun)
			sp_buf_consume(&plain, strlen(SP_KEPT_MAGIC));
		begun = 1;
		if ((r = records(x, &plain)) != SP_OK)
			return r;
	}
	return plain.len == 0 ? SP_OK : SP_EFORMAT;
}

static enum sp_err
export_read(struct export *x, const char *key_path)
{
	sp_auto_secret file = { 0 }, identity = { 0 }, key = { 0 };
	uint64_t at = 0;
	int torn = 0;
	enum sp_err r;

	CTL_TRY(ctl_secret_file(x->c, key_path, KEY_FILE_MAX, &file));
	if (sp_age_identity_parse(sp_secret_view(&file), &identity) != SP_OK)
		return ctl_fail(x->c, SP_EFORMAT, "%s: no age identity (a line AGE-SECRET-KEY-1...) in it", key_path);
	if ((r = container_open(x->in, &identity, &key, &at)) == SP_EDENIED)
		return ctl_fail(x->c, r, "%s: what was kept is not encrypted to this key: 'session show' names the recipients", key_path);
	if (r == SP_OK)
		r = container_read(x, &key, at, &torn);
	if (r != SP_OK)
		return x->told ? r : ctl_fail(x->c, r, "what was kept cannot be read: %s%s", sp_err_text(r),
		    r == SP_EAUTH ? ": it was changed or cut" : "");
	for (uint32_t i = 1; i <= x->n; i++)
		if (x->names[i] != NULL)
			file_line(x, i, NULL, -1);
	if (torn)
		ctl_note(x->c, "The end is missing: the recorder died, or the session is live.");
	if (x->bad > 0)
		return ctl_fail(x->c, SP_ECORRUPT, "%zu of the files are not what the log says", x->bad);
	if (x->shown == 0)
		return ctl_fail(x->c, SP_ENOENT, x->only != 0 ? "nothing was kept under this number" : "nothing was kept in this session");
	return SP_OK;
}

static enum sp_err
export_ask(struct export *x, const char *id)
{
	ctl_auto_answer a = { .fd = -1 };
	char session[SP_UUID_SIZE + 32];
	size_t n = strlen(id);
	char *slash;

	if (n > 4 && strcmp(id + n - 4, ".age") == 0) {
		CTL_TRY(ctl_check_file(x->c, "ID", id));
		if ((x->in = open(id, O_RDONLY | O_CLOEXEC)) == -1)
			return ctl_fail(x->c, sp_err_errno(errno), "%s: %s", id, strerror(errno));
		return SP_OK;
	}
	if (sp_strlcpy(session, id, sizeof(session)) != 0)
		return ctl_fail(x->c, SP_EUSAGE, "ID is the id of a session, as 'file search' shows it, with /NUMBER for one file");
	if ((slash = strchr(session, '/')) != NULL) {
		*slash++ = '\0';
		x->only = (uint32_t)strtoul(slash, &slash, 10);
		if (x->only == 0 || *slash != '\0')
			return ctl_fail(x->c, SP_EUSAGE, "behind the / stands the number that 'file search' shows under KEPT");
	}
	json_object_set_new(x->c->params, "id", json_string(session));
	json_object_set_new(x->c->params, "part", json_string("files"));
	if (ctl_ask(x->c, SP_PROC_CONTROL, "recording.open", x->c->params, x->c->timeout_ms, &a) != SP_OK) {
		if (a.err == SP_ENOENT)
			return ctl_fail(x->c, SP_ENOENT, "nothing was kept in this session, or it was deleted with its recording");
		return ctl_answer_fail(x->c, &a);
	}
	if (a.fd < 0)
		return ctl_fail(x->c, SP_EFORMAT, "control gave no file: restart sallyport after its upgrade");
	x->in = sp_steal_fd(&a.fd);
	return SP_OK;
}

enum sp_err
ctl_file_export(struct ctl *c)
{
	const char *id = json_string_value(json_object_get(c->params, "id")), *key = ctl_local_str(c, "key"), *dir = ctl_local_str(c, "output");
	struct export x = { .c = c, .in = -1, .dir = -1, .fd = -1 };
	enum sp_err r;

	if (c->place != NULL)
		return ctl_fail(c, SP_EUSAGE, "a private key stays where its owner is: this runs on a machine of the auditor, or on the bastion");
	if (c->json)
		return ctl_fail(c, SP_EUSAGE, "file export writes files: leave out --json ('file search --json' lists what is kept)");
	if (key == NULL)
		return ctl_fail(c, SP_EUSAGE, "name your private key: --key FILE (what was kept is encrypted to auditors; nothing here opens it)");
	r = export_ask(&x, id);
	if (r == SP_OK && dir != NULL && (mkdir(dir, 0700) == -1 || (x.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1))
		r = ctl_fail(c, sp_err_errno(errno), "%s: %s: name a new directory", dir, strerror(errno));
	if (r == SP_OK)
		r = export_read(&x, key);
	for (uint32_t i = 1; i <= x.n; i++)
		free(x.names[i]);
	free(x.names);
	sp_closep(&x.in);
	sp_closep(&x.dir);
	sp_closep(&x.fd);
	return r;
}
