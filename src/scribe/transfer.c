/* src/scribe/transfer.c - see transfer.h. The session has let these bytes through: what is decoded here is what the target
 * was asked and what it answered. */
#include "scribe/transfer.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/str.h"
#include "common/jsonw.h"
#include "policy/access.h"
#include "policy/command.h"
#include "scribe/strand.h"
#include "wire/rcp.h"
#include "wire/sftp.h"

#define PATH_IN_EVENT	8192		/* bytes of a path, escaped; longer ones are cut and marked by their end "..." */
#define EVENT_MAX	(64 * 1024)
#define REFUSED_EACH	200		/* refused requests of a channel that are told one by one */
#define OUTSTANDING	(2 * SP_SFTP_MAX)	/* the order of the two directions is not that of the session */

enum { DOWNLOAD, UPLOAD };

struct file {
	struct sp_list	 link;
	struct sp_view	 path;		/* in the handle, or in text */
	char		*text;
	char		*name;		/* scp: as the source called it */
	uint32_t	 pflags;
	int		 eof;		/* the target said that there is no more */
	uint32_t	 code;		/* the first error */
	struct sp_strand way[2];
	struct sp_kept_file kept[2];
};
struct sp_transfer {
	uint32_t	 channel;
	sp_transfer_fn	*fn;
	void		*arg;
	const char	*via;
	enum sp_policy_transfer kind;
	uint32_t	 direction;	/* scp, rsync */
	uint64_t	 bytes[SP_REC_STREAMS], refused;
	int		 broken;
	size_t		 waiting;
	struct sp_list	 files;
	struct sp_kept	*kept;		/* NULL: nothing is kept */
	const struct sp_age_recipient *to;
	size_t		 to_n;
	/* sftp */
	struct sp_sftp	*sftp;
	/* scp */
	struct sp_rcp	 rcp;
	char		*base;		/* the path of its command line, without quotes */
	int		 into;		/* base is a folder, or becomes one: -d or -r */
	struct sp_buf	 dirs;		/* "a/b/": where it is below that */
	struct file	*now;
	uint64_t	 size;
	uint32_t	 mode;
};

/* ---- events */

static void
put_path(struct sp_jsonw *j, const char *key, struct sp_view v)
{
	char text[PATH_IN_EVENT];

	sp_jsonw_str(j, key, sp_escape((const char *)v.p, v.len, text, sizeof(text)));
}

static void
event_begin(struct sp_transfer *t, struct sp_jsonw *j, struct sp_buf *b, const char *op, struct sp_view path)
{
	sp_buf_init(b, EVENT_MAX);
	sp_jsonw_begin(j, b);
	sp_jsonw_int(j, "channel", t->channel);
	sp_jsonw_str(j, "via", t->via);
	sp_jsonw_str(j, "op", op);
	put_path(j, "path", path);
}

/* kept: of the file that this tells of; NULL: none. */
static void
event_file_end(struct sp_transfer *t, struct sp_jsonw *j, struct sp_buf *b, const char *result, struct sp_kept_file *kept)
{
	sp_jsonw_str(j, "result", result);
	if (sp_jsonw_end(j) == SP_OK) {
		if (kept != NULL && t->kept != NULL)
			sp_kept_end(t->kept, kept, (struct sp_view){ b->p, b->len });
		t->fn(t->arg, b);
	}
	sp_buf_release(b);
}

static void
event_end(struct sp_transfer *t, struct sp_jsonw *j, struct sp_buf *b, const char *result)
{
	event_file_end(t, j, b, result, NULL);
}

static void
put_hash(struct sp_jsonw *j, const struct sp_strand_range *r)
{
	char hex[2 * SP_SHA256_LEN + 1];

	sp_hex(r->sha256, SP_SHA256_LEN, hex);
	sp_jsonw_str(j, "sha256", hex);
}

/* One range: from where, and its hash. More: they are listed. */
static void
put_strand(struct sp_jsonw *j, struct sp_strand *s)
{
	unsigned n = s->n < SP_TRANSFER_RANGES ? s->n : SP_TRANSFER_RANGES;
	char hex[2 * SP_SHA256_LEN + 1];
	struct sp_buf b;

	sp_jsonw_int(j, "bytes", (int64_t)s->bytes);
	if (s->n == 0 || s->range == NULL)
		return;
	sp_jsonw_int(j, "from", (int64_t)s->range[0].from);
	if (s->n == 1) {
		put_hash(j, &s->range[0]);
		return;
	}
	sp_buf_init(&b, EVENT_MAX);
	for (unsigned i = 0; i < n; i++) {
		struct sp_jsonw k;

		if (sp_buf_append_str(&b, i == 0 ? "[" : ",") != SP_OK)
			break;
		sp_jsonw_begin(&k, &b);
		sp_jsonw_int(&k, "from", (int64_t)s->range[i].from);
		sp_jsonw_int(&k, "bytes", (int64_t)s->range[i].bytes);
		put_hash(&k, &s->range[i]);
		if (sp_jsonw_end(&k) != SP_OK)
			break;
	}
	if (sp_buf_append_str(&b, "]") == SP_OK)
		sp_jsonw_raw(j, "ranges", sp_buf_cstr(&b));
	if (s->n > n) {
		sp_jsonw_int(j, "more_ranges", (int64_t)(s->n - n));
		sp_hex(s->more, SP_SHA256_LEN, hex);
		sp_jsonw_str(j, "more_sha256", hex);
	}
	sp_buf_release(&b);
}

/* ---- files */

static struct file *
file_new(struct sp_transfer *t)
{
	struct file *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	sp_list_init(&f->link);
	sp_list_add_tail(&t->files, &f->link);
	for (int i = 0; i < 2; i++)
		sp_strand_init(&f->way[i], &t->waiting);
	return f;
}

static void
file_free(struct file *f)
{
	sp_list_remove(&f->link);
	for (int i = 0; i < 2; i++)
		sp_strand_release(&f->way[i]);
	free(f->text);
	free(f->name);
	free(f);
}

static const char *const way_ops[2] = { "download", "upload" };

/* Bytes of a file: into its hash, and into what is kept of it. */
static void
file_bytes(struct sp_transfer *t, struct file *f, int way, uint64_t offset, struct sp_view v)
{
	static const uint32_t bits[2] = { SP_KEPT_DOWN, SP_KEPT_UP };
	sp_auto(sp_buf_release) struct sp_buf about = { .max = EVENT_MAX };
	struct sp_jsonw j;

	sp_strand_put(&f->way[way], offset, v.p, v.len);
	if (t->kept == NULL || !(t->kept->ways & bits[way]))
		return;
	if (f->kept[way].number == 0) {
		event_begin(t, &j, &about, way_ops[way], f->path);
		if (sp_jsonw_end(&j) != SP_OK) {
			f->kept[way].missed += v.len;
			return;
		}
	}
	sp_kept_put(t->kept, t->to, t->to_n, &f->kept[way], sp_buf_cstr(&about), offset, v);
}

static void
put_kept(const struct sp_transfer *t, struct sp_jsonw *j, const struct sp_kept_file *k)
{
	if (t->kept == NULL || (k->number == 0 && k->missed == 0))
		return;
	sp_jsonw_int(j, "kept", k->number);
	sp_jsonw_int(j, "kept_bytes", (int64_t)k->bytes);
	if (k->missed > 0)
		sp_jsonw_int(j, "kept_missing", (int64_t)k->missed);
}

/* Tell about each direction in which bytes went; an empty file is told once. */
static void
file_end(struct sp_transfer *t, struct file *f, const char *result)
{
	int only = f->pflags & SP_SFTP_F_WRITE ? UPLOAD : DOWNLOAD;

	for (int way = 0; way < 2; way++) {
		struct sp_strand *s = &f->way[way];
		struct sp_jsonw j;
		struct sp_buf b;

		if (s->bytes == 0 && (f->way[!way].bytes > 0 || way != only))
			continue;
		sp_strand_end(s);
		event_begin(t, &j, &b, way_ops[way], f->path);
		put_strand(&j, s);
		put_kept(t, &j, &f->kept[way]);
		if (way == DOWNLOAD && t->kind == SP_POLICY_TRANSFER_SFTP)
			sp_jsonw_bool(&j, "to_the_end", f->eof);
		if (way == UPLOAD && t->kind == SP_POLICY_TRANSFER_SFTP)
			sp_jsonw_bool(&j, "truncated_first", (f->pflags & (SP_SFTP_F_TRUNC | SP_SFTP_F_EXCL)) != 0);
		if (t->kind == SP_POLICY_TRANSFER_SCP) {
			put_path(&j, "name", (struct sp_view){ (const uint8_t *)f->name, f->name != NULL ? strlen(f->name) : 0 });
			sp_jsonw_int(&j, "size", (int64_t)t->size);
			sp_jsonw_int(&j, "mode", t->mode);
		}
		event_file_end(t, &j, &b, f->code != SP_SFTP_OK ? sp_sftp_code_name(f->code) : result, &f->kept[way]);
	}
	file_free(f);
}

static void
transfer_broken(struct sp_transfer *t, const char *why)
{
	struct sp_jsonw j;
	struct sp_buf b;

	if (t->broken)
		return;
	t->broken = 1;
	event_begin(t, &j, &b, "not decoded", (struct sp_view){ NULL, 0 });
	event_end(t, &j, &b, why);
}

/* ---- sftp */

/* Requests that are told about when they are answered, beside files. */
static int
op_is_told(enum sp_sftp_op op)
{
	static const enum sp_sftp_op quiet[] = { SP_SFTP_INIT, SP_SFTP_OPEN, SP_SFTP_CLOSE, SP_SFTP_READ, SP_SFTP_WRITE, SP_SFTP_LSTAT,
	    SP_SFTP_FSTAT, SP_SFTP_OPENDIR, SP_SFTP_READDIR, SP_SFTP_REALPATH, SP_SFTP_STAT, SP_SFTP_READLINK };

	for (size_t i = 0; i < SP_NELEMS(quiet); i++)
		if (quiet[i] == op)
			return 0;
	return 1;
}

static void
put_attrs(struct sp_jsonw *j, const struct sp_sftp_attrs *a)
{
	if (a->flags & SP_SFTP_A_SIZE)
		sp_jsonw_int(j, "set_size", (int64_t)a->size);
	if (a->flags & SP_SFTP_A_OWNER) {
		sp_jsonw_int(j, "set_uid", a->uid);
		sp_jsonw_int(j, "set_gid", a->gid);
	}
	if (a->flags & SP_SFTP_A_MODE)
		sp_jsonw_int(j, "set_mode", a->mode);
	if (a->flags & SP_SFTP_A_TIMES)
		sp_jsonw_int(j, "set_mtime", a->mtime);
}

static void
sftp_told(struct sp_transfer *t, const struct sp_sftp_request *q, const struct sp_sftp_item *it)
{
	struct sp_view path = q->handle != NULL ? q->handle->path : q->path;
	struct sp_jsonw j;
	struct sp_buf b;

	event_begin(t, &j, &b, sp_sftp_op_name(q->op), path);
	if (q->dest != NULL)
		put_path(&j, "to", q->dest->path);
	else if (q->to.len > 0)
		put_path(&j, "to", q->to);
	put_attrs(&j, &q->attrs);
	event_end(t, &j, &b, it->type == SP_SFTP_STATUS ? sp_sftp_code_name(it->code) : "ok");
}

static void
sftp_opened(struct sp_transfer *t, const struct sp_sftp_request *q, const struct sp_sftp_item *it)
{
	struct file *f;
	struct sp_jsonw j;
	struct sp_buf b;

	if (it->type == SP_SFTP_HANDLE) {
		if ((f = file_new(t)) == NULL || (f->text = malloc(q->path.len + 1)) == NULL) {
			if (f != NULL)
				file_free(f);
			transfer_broken(t, "out of memory");
			return;
		}
		if (q->path.len > 0)
			memcpy(f->text, q->path.p, q->path.len);
		f->path = (struct sp_view){ (const uint8_t *)f->text, q->path.len };
		f->pflags = q->pflags;
		it->handle->owner = f;
		return;
	}
	event_begin(t, &j, &b, q->pflags & SP_SFTP_F_WRITE ? "upload" : "download", q->path);
	sp_jsonw_int(&j, "bytes", 0);
	event_end(t, &j, &b, sp_sftp_code_name(it->code));
}

static void
sftp_answered(struct sp_transfer *t, const struct sp_sftp_item *it)
{
	const struct sp_sftp_request *q = it->req;
	struct file *f = q != NULL && q->handle != NULL ? q->handle->owner : NULL;

	if (q == NULL)
		return;
	if (q->op == SP_SFTP_OPEN)
		sftp_opened(t, q, it);
	else if (q->op == SP_SFTP_CLOSE && f != NULL) {
		q->handle->owner = NULL;
		file_end(t, f, sp_sftp_code_name(it->code));
	} else if (q->op == SP_SFTP_READ && f != NULL && it->type == SP_SFTP_STATUS && it->code == SP_SFTP_EOF)
		f->eof = 1;
	else if ((q->op == SP_SFTP_READ || q->op == SP_SFTP_WRITE) && f != NULL && it->type == SP_SFTP_STATUS &&
	    it->code != SP_SFTP_OK && f->code == SP_SFTP_OK)
		f->code = it->code;
	else if (op_is_told(q->op))
		sftp_told(t, q, it);
}

/* Contents that went into a file's hash: what lies before them, from *from on, is for the rest. */
static void
rest_before(struct sp_sha256 *rest, const uint8_t **from, struct sp_view contents)
{
	if (rest != NULL && contents.p > *from)
		sp_sha256_add(rest, *from, (size_t)(contents.p - *from));
	*from = contents.p + contents.len;
}

static const uint8_t *
sftp_data(struct sp_transfer *t, enum sp_sftp_side side, struct sp_view v, struct sp_sha256 *rest)
{
	const uint8_t *from = v.p;
	struct sp_sftp_item it;
	struct file *f;
	enum sp_err r;
	int way = side == SP_SFTP_CLIENT ? UPLOAD : DOWNLOAD;

	while (!t->broken && (r = sp_sftp_next(t->sftp, side, &v, &it)) == SP_OK) {
		f = it.req != NULL && it.req->handle != NULL ? it.req->handle->owner : NULL;
		if (it.what == SP_SFTP_MORE) {
			if (v.len == 0)
				return from;
		} else if (it.what == SP_SFTP_BYTES) {
			if (f != NULL) {
				file_bytes(t, f, way, it.offset, it.wire);
				rest_before(rest, &from, it.wire);
			}
		} else if (side == SP_SFTP_SERVER)
			sftp_answered(t, &it);
		else if (f != NULL && (it.req->op == SP_SFTP_READ || it.req->op == SP_SFTP_WRITE))
			sp_strand_at(&f->way[it.req->op == SP_SFTP_READ ? DOWNLOAD : UPLOAD], it.req->offset);
	}
	if (!t->broken)
		transfer_broken(t, sp_err_text(r));
	return from;
}

/* ---- scp */

/* The path of what is called name, now: the argument of scp, and below it. Owned by the caller. */
static char *
rcp_path(const struct sp_transfer *t, struct sp_view name)
{
	size_t base = strlen(t->base), n = base + t->dirs.len + name.len + 2;
	const char *last = strrchr(t->base, '/');
	char *p;
	struct sp_view rel = t->dirs.len > 0 ? (struct sp_view){ t->dirs.p, strcspn(sp_buf_cstr(&t->dirs), "/") } : name;
	size_t skip = 0;

	/* "-f dir/file": the argument names the file itself. So it may with "-t file": only the target knows. */
	if (t->direction == SP_POLICY_FILE_UP && !t->into && t->dirs.len == 0)
		return strdup(t->base);
	if ((p = malloc(n)) == NULL)
		return NULL;
	if (sp_view_equal_str(rel, last != NULL ? last + 1 : t->base))
		skip = rel.len;
	(void)sp_snprintf(p, n, "%s%s%.*s%.*s", t->base, skip > 0 || rel.len == 0 || (base > 0 && t->base[base - 1] == '/') ? "" : "/",
	    t->dirs.len > 0 ? (int)(t->dirs.len - skip) : 0, t->dirs.len > 0 ? sp_buf_cstr(&t->dirs) + skip : "",
	    t->dirs.len > 0 ? (int)name.len : (int)(name.len - skip), t->dirs.len > 0 || skip == 0 ? (const char *)name.p : "");
	return p;
}

static void
rcp_told(struct sp_transfer *t, const char *op, struct sp_view name, const char *result, struct sp_view text)
{
	char *path = rcp_path(t, name), line[512];
	struct sp_jsonw j;
	struct sp_buf b;

	event_begin(t, &j, &b, op, (struct sp_view){ (const uint8_t *)path, path != NULL ? strlen(path) : 0 });
	event_end(t, &j, &b, text.len > 0 ? sp_escape((const char *)text.p, text.len, line, sizeof(line)) : result);
	free(path);
}

static void
rcp_file(struct sp_transfer *t, const struct sp_rcp_item *it)
{
	if (t->now != NULL)
		file_end(t, t->now, "failure");
	if ((t->now = file_new(t)) == NULL || (t->now->text = rcp_path(t, it->name)) == NULL ||
	    (t->now->name = strndup((const char *)it->name.p, it->name.len)) == NULL) {
		transfer_broken(t, "out of memory");
		return;
	}
	t->now->path = (struct sp_view){ (const uint8_t *)t->now->text, strlen(t->now->text) };
	t->now->pflags = t->direction == SP_POLICY_FILE_UP ? SP_SFTP_F_WRITE : SP_SFTP_F_READ;
	t->size = it->size;
	t->mode = it->mode;
}

/* The sink has answered. */
static void
rcp_answered(struct sp_transfer *t, const struct sp_rcp_item *it)
{
	const char *result = it->ok ? "ok" : "failure";
	struct file *f = t->now;

	if (it->to == SP_RCP_DIR && !it->ok && t->dirs.len > 0) {	/* it is not entered */
		t->dirs.len--;
		while (t->dirs.len > 0 && t->dirs.p[t->dirs.len - 1] != '/')
			t->dirs.len--;
		t->dirs.p[t->dirs.len] = '\0';
	}
	if (f == NULL || (it->to == SP_RCP_FILE && it->ok) || (it->to != SP_RCP_FILE && it->to != SP_RCP_STATUS))
		return;
	t->now = NULL;
	file_end(t, f, f->eof ? "failure" : result);	/* eof: the source said that it was not all */
}

static void
rcp_item(struct sp_transfer *t, const struct sp_rcp_item *it, struct sp_sha256 *rest, const uint8_t **from)
{
	const char *op = t->direction == SP_POLICY_FILE_UP ? "upload" : "download";

	switch (it->what) {
	case SP_RCP_FILE:
		rcp_file(t, it);
		break;
	case SP_RCP_DIR:
		if (t->direction == SP_POLICY_FILE_UP)
			rcp_told(t, "mkdir", it->name, "ok", it->text);
		if (sp_buf_append(&t->dirs, it->name.p, it->name.len) != SP_OK || sp_buf_append_str(&t->dirs, "/") != SP_OK)
			transfer_broken(t, "the folders are too deep");
		break;
	case SP_RCP_UP:
		if (t->dirs.len > 0)
			t->dirs.len--;
		while (t->dirs.len > 0 && t->dirs.p[t->dirs.len - 1] != '/')
			t->dirs.len--;
		if (t->dirs.p != NULL)
			t->dirs.p[t->dirs.len] = '\0';
		break;
	case SP_RCP_BYTES:
		if (t->now == NULL)
			break;
		file_bytes(t, t->now, t->direction == SP_POLICY_FILE_UP ? UPLOAD : DOWNLOAD, it->offset, it->bytes);
		rest_before(rest, from, it->bytes);
		break;
	case SP_RCP_STATUS:
		if (t->now != NULL && !it->ok)
			t->now->eof = 1;
		break;
	case SP_RCP_MESSAGE:
		rcp_told(t, op, (struct sp_view){ (const uint8_t *)"", 0 }, "failure", it->text);
		break;
	case SP_RCP_REPLY:
		rcp_answered(t, it);
		break;
	default:
		break;
	}
}

static const uint8_t *
rcp_data(struct sp_transfer *t, enum sp_rcp_side side, struct sp_view v, struct sp_sha256 *rest)
{
	const uint8_t *from = v.p;
	struct sp_rcp_item it;
	enum sp_err r;

	while (!t->broken && (r = sp_rcp_next(&t->rcp, side, &v, &it)) == SP_OK && it.what != SP_RCP_MORE)
		rcp_item(t, &it, rest, &from);
	if (!t->broken && r != SP_OK)
		transfer_broken(t, sp_err_text(r));
	return from;
}

/* ---- the channel */

enum sp_err
sp_transfer_new(const Sallyport__RecChannel *ch, sp_transfer_fn *fn, void *arg, struct sp_transfer **ret)
{
	static const char *const via[] = { "", "scp", "rsync", "sftp" };
	struct sp_policy_command c = { .kind = SP_POLICY_TRANSFER_SFTP };
	struct sp_transfer *t;
	enum sp_err r = SP_OK;

	*ret = NULL;
	if (strcmp(ch->type, "exec") == 0)
		sp_policy_command(ch->detail, strlen(ch->detail), &c);
	else if (strcmp(ch->type, "subsystem") != 0)
		return SP_OK;
	if (c.kind == SP_POLICY_NO_TRANSFER)
		return SP_OK;
	if ((t = calloc(1, sizeof(*t))) == NULL)
		return SP_ENOMEM;
	*t = (struct sp_transfer){ .channel = ch->channel, .fn = fn, .arg = arg, .kind = c.kind, .direction = c.direction, .via = via[c.kind] };
	sp_list_init(&t->files);
	sp_rcp_init(&t->rcp);
	sp_buf_init(&t->dirs, PATH_IN_EVENT);
	if (c.kind == SP_POLICY_TRANSFER_SFTP)
		r = sp_sftp_new(OUTSTANDING, &t->sftp);
	else if ((t->base = calloc(1, c.path_len + 1)) == NULL)
		r = SP_ENOMEM;
	else if (c.kind == SP_POLICY_TRANSFER_SCP) {
		sp_policy_command_path(c.path, c.path_len, t->base);
		t->into = strcspn(ch->detail + 3, "dr") < (size_t)(c.path - ch->detail) - 3;	/* among its options */
	} else
		memcpy(t->base, c.path, c.path_len);
	if (r != SP_OK) {
		t->fn = NULL;
		sp_transfer_free(t);
		return r;
	}
	*ret = t;
	return SP_OK;
}

void
sp_transfer_keep(struct sp_transfer *t, struct sp_kept *k, const struct sp_age_recipient *to, size_t to_n)
{
	t->kept = k;
	t->to = to;
	t->to_n = to_n;
}

int
sp_transfer_decodes(const struct sp_transfer *t)
{
	return t->kind != SP_POLICY_TRANSFER_RSYNC;
}

void
sp_transfer_data(struct sp_transfer *t, enum sp_rec_stream stream, struct sp_view v, struct sp_sha256 *rest)
{
	const uint8_t *from = v.p;

	t->bytes[stream] += v.len;
	if (stream != SP_REC_ERR && !t->broken && t->kind == SP_POLICY_TRANSFER_SFTP)
		from = sftp_data(t, stream == SP_REC_IN ? SP_SFTP_CLIENT : SP_SFTP_SERVER, v, rest);
	else if (stream != SP_REC_ERR && !t->broken && t->kind == SP_POLICY_TRANSFER_SCP)
		from = rcp_data(t, (stream == SP_REC_IN) == (t->direction == SP_POLICY_FILE_UP) ? SP_RCP_SOURCE : SP_RCP_SINK, v, rest);
	if (rest != NULL && from < v.p + v.len)
		sp_sha256_add(rest, from, (size_t)(v.p + v.len - from));
}

void
sp_transfer_refused(struct sp_transfer *t, const Sallyport__RecRefused *m)
{
	struct sp_jsonw j;
	struct sp_buf b;

	if (++t->refused > REFUSED_EACH)
		return;		/* they cost the user nothing: counted at the end */
	event_begin(t, &j, &b, m->op, (struct sp_view){ m->path.data, m->path.len });
	if (m->to.len > 0)
		put_path(&j, "to", (struct sp_view){ m->to.data, m->to.len });
	sp_jsonw_str(&j, "why", m->why);
	event_end(t, &j, &b, "refused");
}

static void
refused_end(struct sp_transfer *t)
{
	struct sp_jsonw j;
	struct sp_buf b;

	event_begin(t, &j, &b, "more requests", (struct sp_view){ NULL, 0 });
	sp_jsonw_int(&j, "count", (int64_t)(t->refused - REFUSED_EACH));
	event_end(t, &j, &b, "refused");
}

/* rsync is told as one stream: what its files are is not decoded. */
static void
rsync_end(struct sp_transfer *t)
{
	int up = t->direction == SP_POLICY_FILE_UP;
	struct sp_jsonw j;
	struct sp_buf b;

	event_begin(t, &j, &b, up ? "upload" : "download", (struct sp_view){ (const uint8_t *)t->base, strlen(t->base) });
	sp_jsonw_int(&j, "stream_bytes", (int64_t)t->bytes[up ? SP_REC_IN : SP_REC_OUT]);
	event_end(t, &j, &b, "not decoded");
}

void
sp_transfer_free(struct sp_transfer *t)
{
	if (t == NULL)
		return;
	sp_list_each(it, &t->files)
		file_end(t, sp_container(it, struct file, link), "not closed");
	if (t->kind == SP_POLICY_TRANSFER_RSYNC && t->fn != NULL)
		rsync_end(t);
	if (t->refused > REFUSED_EACH)
		refused_end(t);
	sp_sftp_free(t->sftp);
	sp_rcp_release(&t->rcp);
	sp_buf_release(&t->dirs);
	free(t->base);
	free(t);
}
