/* src/session/files.c - see files.h. Process: session. */
#include "session/files.h"

#include <stdlib.h>
#include <string.h>

#include "policy/command.h"
#include "session/files_int.h"
#include "session/relay_int.h"

#define FILES_ANSWERS	((size_t)64 * 1024)	/* own answers that wait for a place between two packets */
#define FILES_UNREAD	((size_t)256 * 1024)	/* that the user has not read: no answer of ours is added then */

#define UP	SP_POLICY_FILE_UP
#define DOWN	SP_POLICY_FILE_DOWN
#define BOTH	SP_POLICY_FILE_BOTH

/* What a request needs: the directions of the grant that must be there, all of them. */
static const struct {
	uint32_t	 need;
	const char	*why;
} rules[SP_SFTP_OPS] = {
	[SP_SFTP_OPEN] = { 0, NULL },		/* by its flags: open_needs() */
	[SP_SFTP_READ] = { DOWN, "the contents of a file leave the target" },
	[SP_SFTP_WRITE] = { UP, "a file of the target changes" },
	[SP_SFTP_SETSTAT] = { UP, "a file of the target changes" },
	[SP_SFTP_FSETSTAT] = { UP, "a file of the target changes" },
	[SP_SFTP_LSETSTAT] = { UP, "a file of the target changes" },
	[SP_SFTP_FSYNC] = { UP, "a file of the target changes" },
	[SP_SFTP_REMOVE] = { UP, "a file of the target is lost" },
	[SP_SFTP_MKDIR] = { UP, "a folder is made on the target" },
	[SP_SFTP_RMDIR] = { UP, "a folder of the target is lost" },
	[SP_SFTP_RENAME] = { UP, "a file of the target is put in another place" },
	[SP_SFTP_POSIX_RENAME] = { UP, "a file of the target is put in another place" },
	[SP_SFTP_SYMLINK] = { BOTH, "a second name leads to a file that this grant does not" },
	[SP_SFTP_HARDLINK] = { BOTH, "a second name leads to a file that this grant does not" },
	[SP_SFTP_COPY_DATA] = { BOTH, "a file of the target is read and another written" },
};
static const enum sp_sftp_op handle_ops[] = { SP_SFTP_CLOSE, SP_SFTP_READ, SP_SFTP_WRITE, SP_SFTP_FSTAT, SP_SFTP_FSETSTAT,
	SP_SFTP_READDIR, SP_SFTP_FSTATVFS, SP_SFTP_FSYNC, SP_SFTP_COPY_DATA };

static uint32_t
files_direction(const struct relay *r)
{
	static const struct { const char *word; uint32_t bits; } words[] = { { "both", BOTH }, { "up", UP }, { "down", DOWN } };

	for (size_t i = 0; i < SP_NELEMS(words); i++)
		if (strcmp(r->target->policy->file_direction, words[i].word) == 0)
			return words[i].bits;
	return 0;
}

/* ---- which channels */

static int
files_kind(const struct relay *r, enum files_kind *kind, uint32_t *direction)
{
	static const enum files_kind kinds[] = { [SP_POLICY_TRANSFER_SCP] = FILES_RCP, [SP_POLICY_TRANSFER_RSYNC] = FILES_RSYNC,
	    [SP_POLICY_TRANSFER_SFTP] = FILES_SFTP };
	struct sp_policy_command c;

	if (r->kind != RELAY_SESSION)
		return 0;
	*kind = FILES_SFTP;
	if (strcmp(r->type, "subsystem") == 0)
		return 1;		/* the only one is sftp */
	if (strcmp(r->type, "exec") != 0)
		return 0;
	sp_policy_command(sp_buf_cstr(&r->detail), r->detail.len, &c);
	if (c.kind == SP_POLICY_NO_TRANSFER)
		return 0;
	*kind = kinds[c.kind];
	*direction = c.direction;
	return 1;
}

int
files_start(struct relay *r)
{
	struct flow early = r->flow[SP_REC_IN];
	enum files_kind kind;
	uint32_t direction = 0;
	struct files *f;

	if (!files_kind(r, &kind, &direction))
		return 1;
	if ((f = calloc(1, sizeof(*f))) == NULL)
		return 0;
	f->kind = kind;
	f->direction = direction;
	if (kind == FILES_SFTP && sp_sftp_new(SP_SFTP_MAX, &f->sftp) != SP_OK) {
		free(f);
		return 0;
	}
	sp_rcp_init(&f->rcp);
	sp_buf_init(&f->waiting, 2 * (size_t)SP_CHANNEL_WINDOW);
	sp_buf_init(&f->answers, FILES_ANSWERS);
	files_look_init(&f->look);
	r->files = f;
	r->flow[SP_REC_IN] = (struct flow){ .bytes = early.bytes };
	if (early.len > early.off)
		files_bytes(r, SP_REC_IN, (struct sp_view){ early.p + early.off, early.len - early.off });
	free(early.p);
	return 1;
}

void
files_free(struct relay *r)
{
	struct files *f = r->files;

	if (f == NULL)
		return;
	r->files = NULL;
	sp_sftp_free(f->sftp);
	sp_rcp_release(&f->rcp);
	sp_buf_release(&f->waiting);
	sp_buf_release(&f->answers);
	files_look_release(&f->look);
	free(f);
}

int
files_waiting(const struct relay *r)
{
	return r->files != NULL && (r->files->waiting.len > r->files->waited || files_looking(r->files));
}

void
files_policy(struct relay *r)
{
	struct files *f = r->files;

	if (f == NULL || r->state != RL_RUN || f->kind == FILES_SFTP)
		return;
	if ((f->direction & files_direction(r)) != f->direction)
		relay_fail(r, "ended: your grant no longer allows files in this direction");
	else if (files_ruled(r) && (f->kind == FILES_RSYNC ||
	    (sp_policy_paths_below(r->target->policy->file_paths, (struct sp_path){ "/", 1 }) & f->direction) != f->direction))
		relay_fail(r, "ended: your grant now limits files to certain paths, which cannot be checked here");
}

/* ---- sftp: the rules */

/* A file that is not opened for writing alone can be read, whatever else the flags say. */
static uint32_t
open_needs(uint32_t flags)
{
	return ((flags & SP_SFTP_F_READ) || !(flags & SP_SFTP_F_WRITE) ? DOWN : 0u) |
	    (flags & (SP_SFTP_F_WRITE | SP_SFTP_F_APPEND | SP_SFTP_F_CREAT | SP_SFTP_F_TRUNC) ? UP : 0u);
}

uint32_t
files_needs(enum sp_sftp_op op, uint32_t pflags)
{
	return op == SP_SFTP_OPEN ? open_needs(pflags) : rules[op].need;
}

static int
needs_handle(enum sp_sftp_op op)
{
	for (size_t i = 0; i < SP_NELEMS(handle_ops); i++)
		if (handle_ops[i] == op)
			return 1;
	return 0;
}

static int
bad_path(struct sp_view path)
{
	return path.len > FILES_PATH_MAX || (path.len > 0 && memchr(path.p, '\0', path.len) != NULL);
}

/* SSH_FX_OK, or what is answered instead and why. */
static uint32_t
files_judge(struct relay *r, const struct sp_sftp_request *q, char *why, size_t size)
{
	uint32_t have = files_direction(r), need = files_needs(q->op, q->pflags);
	char ruled[FILES_WHY];

	if (q->op == SP_SFTP_UNKNOWN) {
		(void)sp_strlcpy(why, "this request is not known here", size);
		return SP_SFTP_UNSUPPORTED;
	}
	if ((need & have) != need) {
		(void)sp_snprintf(why, size, "your grant allows %s: %s", have == 0 ? "no files" : have == UP ? "uploads only" : "downloads only",
		    rules[q->op].why != NULL ? rules[q->op].why : need == BOTH ? "this opens a file for reading and writing" :
		    need == UP ? "this opens a file for writing" : "this opens a file for reading");
		return SP_SFTP_DENIED;
	}
	/* Only what the target has answered for is open: contents that belong to no file would be in no log. */
	if (needs_handle(q->op) && (q->handle == NULL || (q->op == SP_SFTP_COPY_DATA && q->dest == NULL))) {
		(void)sp_strlcpy(why, "no such handle", size);
		return SP_SFTP_FAILURE;
	}
	if (files_ruled(r) && need != 0 && q->handle != NULL && (files_open_ruled(r, q->handle, q->dest != NULL ? DOWN : need, ruled) != NULL ||
	    (q->dest != NULL && files_open_ruled(r, q->dest, UP, ruled) != NULL))) {
		(void)sp_strlcpy(why, ruled, size);
		return SP_SFTP_DENIED;
	}
	if (bad_path(q->path) || bad_path(q->to)) {
		(void)sp_strlcpy(why, "the path is too long, or has a null byte", size);
		return SP_SFTP_FAILURE;
	}
	if (sp_sftp_handles(r->files->sftp) > SP_SFTP_MAX) {
		(void)sp_strlcpy(why, "too many open files", size);
		return SP_SFTP_FAILURE;
	}
	return SP_SFTP_OK;
}

/* ---- sftp: the stream */

/* Our own answers, as soon as the target is between two packets and all that it said is recorded. */
static void
files_answer(struct relay *r)
{
	struct files *f = r->files;

	if (f->answers.len == 0 || r->state != RL_RUN || !sp_sftp_between(f->sftp) ||
	    !relay_insert(r, SP_REC_OUT, (struct sp_view){ f->answers.p, f->answers.len }, FILES_UNREAD))
		return;
	sp_buf_reset(&f->answers);
}

const char *
files_request_name(enum sp_sftp_op op, uint32_t pflags)
{
	if (op != SP_SFTP_OPEN)
		return sp_sftp_op_name(op);
	return open_needs(pflags) & UP ? "upload" : "download";
}

static ProtobufCBinaryData
files_bytes_of(struct sp_view v)
{
	return (ProtobufCBinaryData){ v.len < FILES_PATH_MAX ? v.len : FILES_PATH_MAX, (uint8_t *)(uintptr_t)v.p };
}

void
files_refuse(struct relay *r, uint32_t id, const char *name, struct sp_view path, struct sp_view to, uint32_t code, const char *why)
{
	Sallyport__RecRefused m = SALLYPORT__REC_REFUSED__INIT;
	char text[FILES_WHY + 16];

	m.channel = r->number;
	m.op = (char *)(uintptr_t)name;
	m.path = files_bytes_of(path);
	m.to = files_bytes_of(to);
	m.why = (char *)(uintptr_t)why;
	(void)sp_snprintf(text, sizeof(text), "Sallyport: %s", why);
	if (sp_sftp_put_status(&r->files->answers, id, code, text) != SP_OK) {
		relay_fail(r, "too many refused requests whose answers were not read");
		return;
	}
	target_scribe(r->target, SP_MSG_REC_REFUSED, &m);	/* of it the recorder sees no byte */
	if (r->state == RL_RUN)
		files_answer(r);
}

/* The request that the decoder gave last stays here. */
static void
request_refuse(struct relay *r, const struct sp_sftp_request *q, uint32_t code, const char *why)
{
	files_refuse(r, q->id, files_request_name(q->op, q->pflags), q->handle != NULL ? q->handle->path : q->path,
	    q->dest != NULL ? q->dest->path : q->to, code, why);
	if (r->state == RL_RUN)
		sp_sftp_refuse(r->files->sftp);
}

/* A piece of the stream that goes on: collected while it is in one piece. */
struct run {
	const uint8_t	*p;
	size_t		 n;
};

static void
run_flush(struct relay *r, enum sp_rec_stream dir, struct run *run)
{
	size_t n = run->n;

	run->n = 0;
	if (n > 0 && r->state == RL_RUN)
		relay_emit(r, dir, (struct sp_view){ run->p, n }, 0);
}

/* w goes on. in: the bytes from which it came, took of them now. What lies in the decoder has been taken from its sender. */
static void
run_add(struct relay *r, enum sp_rec_stream dir, struct run *run, struct sp_view w, const uint8_t *in, size_t took)
{
	if (w.p == in && w.len == took) {
		if (run->n == 0)
			run->p = w.p;
		run->n += w.len;
		return;
	}
	run_flush(r, dir, run);
	relay_taken(r, dir, took);
	if (r->state == RL_RUN)
		relay_emit(r, dir, w, w.len);
}

static void
files_broken(struct relay *r, enum sp_rec_stream dir, const char *protocol)
{
	char line[SESSION_TEXT];

	(void)sp_snprintf(line, sizeof(line), "ended: %s did not keep to the %s protocol", dir == SP_REC_IN ? "your program" :
	    target_name(r->target), protocol);
	relay_fail(r, line);
}

/* The version that is decoded here is the one that is spoken. */
static int
files_init(struct relay *r, const struct sp_sftp_request *q, size_t took)
{
	struct sp_buf b;

	if (q->op != SP_SFTP_INIT || q->id <= SP_SFTP_VERSION)
		return 0;
	sp_buf_init(&b, 16);
	if (sp_sftp_put_init(&b) == SP_OK) {
		relay_taken(r, SP_REC_IN, took);
		relay_emit(r, SP_REC_IN, (struct sp_view){ b.p, b.len }, b.len);
	}
	sp_buf_release(&b);
	return 1;
}

/* From the user. Returns how many bytes were taken; fewer when as many requests as may be are open. */
static size_t
sftp_requests(struct relay *r, struct sp_view v)
{
	struct files *f = r->files;
	const uint8_t *start = v.p;
	struct run run = { 0 };
	struct sp_sftp_item it;
	char why[FILES_WHY];

	while (r->state == RL_RUN && !files_looking(f)) {
		const uint8_t *in = v.p;
		enum sp_err e = sp_sftp_next(f->sftp, SP_SFTP_CLIENT, &v, &it);
		size_t took = (size_t)(v.p - in);
		uint32_t code = SP_SFTP_OK;

		if (e == SP_EAGAIN)
			break;
		if (e != SP_OK) {
			files_broken(r, SP_REC_IN, "SFTP");
			return 0;
		}
		if (it.what == SP_SFTP_MORE) {
			relay_taken(r, SP_REC_IN, took);
			if (v.len == 0)
				break;
			continue;
		}
		if (it.what == SP_SFTP_HEAD && (code = files_judge(r, it.req, why, sizeof(why))) != SP_SFTP_OK) {
			run_flush(r, SP_REC_IN, &run);
			relay_taken(r, SP_REC_IN, took);
			if (r->state == RL_RUN)
				request_refuse(r, it.req, code, why);
		} else if (it.what == SP_SFTP_HEAD && files_ruled(r) && files_look_wanted(it.req)) {
			run_flush(r, SP_REC_IN, &run);
			relay_taken(r, SP_REC_IN, took);
			if (r->state == RL_RUN)
				files_look_begin(r, &it);
		} else if (it.what == SP_SFTP_BYTES && it.refused) {
			run_flush(r, SP_REC_IN, &run);
			relay_taken(r, SP_REC_IN, took);
		} else if (it.what != SP_SFTP_HEAD || !files_init(r, it.req, took))
			run_add(r, SP_REC_IN, &run, it.wire, in, took);
	}
	run_flush(r, SP_REC_IN, &run);
	return (size_t)(v.p - start);
}

static void
sftp_answers(struct relay *r, struct sp_view v)
{
	struct files *f = r->files;
	struct run run = { 0 };
	struct sp_sftp_item it;

	while (r->state == RL_RUN) {
		const uint8_t *in = v.p;
		enum sp_err e = sp_sftp_next(f->sftp, SP_SFTP_SERVER, &v, &it);
		size_t took = (size_t)(v.p - in);

		if (e != SP_OK) {
			files_broken(r, SP_REC_OUT, "SFTP");
			return;
		}
		if (it.what == SP_SFTP_HEAD && it.req != NULL && it.req->own) {
			run_flush(r, SP_REC_OUT, &run);
			relay_taken(r, SP_REC_OUT, took);
			if (r->state == RL_RUN)
				files_look_answer(r, &it);
			continue;
		}
		if (it.what != SP_SFTP_MORE) {
			run_add(r, SP_REC_OUT, &run, it.wire, in, took);
			continue;
		}
		relay_taken(r, SP_REC_OUT, took);
		if (v.len == 0)
			break;
	}
	run_flush(r, SP_REC_OUT, &run);
}

static void
sftp_bytes(struct relay *r, enum sp_rec_stream dir, struct sp_view v)
{
	struct files *f = r->files;
	size_t took = 0;

	if (dir == SP_REC_OUT)
		sftp_answers(r, v);
	else {
		if (!files_waiting(r))
			took = sftp_requests(r, v);
		if (r->state == RL_RUN && took < v.len && sp_buf_append(&f->waiting, v.p + took, v.len - took) != SP_OK)
			relay_fail(r, "out of memory");
	}
	files_pump(r);
	if (dir == SP_REC_OUT && r->near_eof)
		relay_settle(r);	/* it may have waited for this answer */
}

void
files_pump(struct relay *r)
{
	struct files *f = r->files;

	if (f == NULL || f->kind != FILES_SFTP || r->state != RL_RUN)
		return;
	files_look_pump(r);
	if (r->state == RL_RUN && f->waiting.len > f->waited && !files_looking(f)) {
		f->waited += sftp_requests(r, (struct sp_view){ f->waiting.p + f->waited, f->waiting.len - f->waited });
		if (f->waited == f->waiting.len || f->waited > f->waiting.max / 2) {	/* seldom: requests are short */
			sp_buf_consume(&f->waiting, f->waited);
			f->waited = 0;
		}
	}
	if (r->state == RL_RUN)
		files_answer(r);
}

/* ---- scp */

static void
rcp_bytes(struct relay *r, enum sp_rec_stream dir, struct sp_view v)
{
	struct files *f = r->files;
	enum sp_rcp_side side = (dir == SP_REC_IN) == (f->direction == UP) ? SP_RCP_SOURCE : SP_RCP_SINK;
	struct sp_view rest = v;
	struct sp_rcp_item it;

	do {
		if (sp_rcp_next(&f->rcp, side, &rest, &it) != SP_OK) {
			files_broken(r, dir, "scp");
			return;
		}
	} while (it.what != SP_RCP_MORE);
	relay_emit(r, dir, v, 0);
}

void
files_bytes(struct relay *r, enum sp_rec_stream dir, struct sp_view v)
{
	if (dir == SP_REC_ERR || r->files->kind == FILES_RSYNC)
		relay_emit(r, dir, v, 0);
	else if (r->files->kind == FILES_RCP)
		rcp_bytes(r, dir, v);
	else
		sftp_bytes(r, dir, v);
}
