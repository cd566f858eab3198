/* lib/wire/sftp.c - see sftp.h. A row of `kinds` says what a request consists of, and which answers it can have; one
 * function reads the fields of every request by it. */
#include "wire/sftp.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define FIRST_REQUESTS	16u
#define PREFIX		9u	/* length, type, number */
#define EXTENDED	200

enum { A_NAME = 1, A_HANDLE = 2, A_DATA = 4, A_ATTRS = 8, A_EXT = 16, A_VERSION = 32 };	/* answers beside STATUS */

/* Fields after the number: p path, t second path, h handle, d second handle, f open flags, o offset, l length, a attributes
 * (the rest), 8 a u64 and s a string that nobody asks for, c contents follow. */
static const struct {
	uint8_t		 type;
	const char	*ext, *name, *fields;
	unsigned	 answers;
} kinds[SP_SFTP_OPS] = {
	[SP_SFTP_INIT] = { 1, NULL, "init", "", A_VERSION },
	[SP_SFTP_OPEN] = { 3, NULL, "open", "pfa", A_HANDLE },
	[SP_SFTP_CLOSE] = { 4, NULL, "close", "h", 0 },
	[SP_SFTP_READ] = { 5, NULL, "read", "hol", A_DATA },
	[SP_SFTP_WRITE] = { 6, NULL, "write", "holc", 0 },
	[SP_SFTP_LSTAT] = { 7, NULL, "lstat", "p", A_ATTRS },
	[SP_SFTP_FSTAT] = { 8, NULL, "fstat", "h", A_ATTRS },
	[SP_SFTP_SETSTAT] = { 9, NULL, "setstat", "pa", 0 },
	[SP_SFTP_FSETSTAT] = { 10, NULL, "fsetstat", "ha", 0 },
	[SP_SFTP_OPENDIR] = { 11, NULL, "opendir", "p", A_HANDLE },
	[SP_SFTP_READDIR] = { 12, NULL, "readdir", "h", A_NAME },
	[SP_SFTP_REMOVE] = { 13, NULL, "remove", "p", 0 },
	[SP_SFTP_MKDIR] = { 14, NULL, "mkdir", "pa", 0 },
	[SP_SFTP_RMDIR] = { 15, NULL, "rmdir", "p", 0 },
	[SP_SFTP_REALPATH] = { 16, NULL, "realpath", "p", A_NAME },
	[SP_SFTP_STAT] = { 17, NULL, "stat", "p", A_ATTRS },
	[SP_SFTP_RENAME] = { 18, NULL, "rename", "pt", 0 },
	[SP_SFTP_READLINK] = { 19, NULL, "readlink", "p", A_NAME },
	[SP_SFTP_SYMLINK] = { 20, NULL, "symlink", "pt", 0 },
	[SP_SFTP_POSIX_RENAME] = { EXTENDED, "posix-rename@openssh.com", "posix-rename", "pt", 0 },
	[SP_SFTP_STATVFS] = { EXTENDED, "statvfs@openssh.com", "statvfs", "p", A_EXT },
	[SP_SFTP_FSTATVFS] = { EXTENDED, "fstatvfs@openssh.com", "fstatvfs", "h", A_EXT },
	[SP_SFTP_HARDLINK] = { EXTENDED, "hardlink@openssh.com", "hardlink", "pt", 0 },
	[SP_SFTP_FSYNC] = { EXTENDED, "fsync@openssh.com", "fsync", "h", 0 },
	[SP_SFTP_LSETSTAT] = { EXTENDED, "lsetstat@openssh.com", "lsetstat", "pa", 0 },
	[SP_SFTP_LIMITS] = { EXTENDED, "limits@openssh.com", "limits", "", A_EXT },
	[SP_SFTP_EXPAND_PATH] = { EXTENDED, "expand-path@openssh.com", "expand-path", "p", A_NAME },
	[SP_SFTP_COPY_DATA] = { EXTENDED, "copy-data", "copy-data", "h88d8", 0 },
	[SP_SFTP_HOME_DIRECTORY] = { EXTENDED, "home-directory", "home-directory", "s", A_NAME },
	[SP_SFTP_USERS_GROUPS] = { EXTENDED, "users-groups-by-id@openssh.com", "users-groups-by-id", "ss", A_EXT },
	[SP_SFTP_UNKNOWN] = { 0, NULL, "unknown", "", A_NAME | A_ATTRS | A_EXT },
};
static const struct { uint8_t type; unsigned bit; } answers[] = {
	{ SP_SFTP_VERSION_REPLY, A_VERSION }, { SP_SFTP_HANDLE, A_HANDLE }, { SP_SFTP_DATA, A_DATA }, { SP_SFTP_NAME, A_NAME },
	{ SP_SFTP_ATTRS, A_ATTRS }, { SP_SFTP_EXTENDED_REPLY, A_EXT },
};

struct side {
	struct sp_buf		 head;		/* of an unfinished packet */
	int			 given;		/* head was handed out: forget it at the next call */
	struct sp_sftp_request	 now;		/* of the contents that follow, or the answer that was handed out */
	uint32_t		 body;		/* bytes of contents still to come */
	uint64_t		 offset;
	int			 refused;
};
struct sp_sftp {
	unsigned		 max;
	struct side		 side[2];
	struct sp_sftp_request	*req;		/* outstanding; no order */
	unsigned		 n_req, cap;
	struct sp_sftp_handle	**handle;
	unsigned		 n_handles, opening;
	int			 versioned;	/* 1: INIT was sent, 2: and answered */
	int			 last;		/* the request handed out last is req[n_req - 1] */
	enum sp_err		 broken;
};

/* ---- handles and requests */

static void
handle_unref(struct sp_sftp_handle *h)
{
	if (h != NULL && --h->refs == 0)
		free(h);
}

static struct sp_sftp_handle *
handle_ref(struct sp_sftp_handle *h)
{
	if (h != NULL)
		h->refs++;
	return h;
}

static struct sp_sftp_handle *
handle_find(const struct sp_sftp *s, struct sp_view name)
{
	for (unsigned i = 0; i < s->n_handles; i++)
		if (s->handle[i]->name_len == name.len && memcmp(s->handle[i]->name, name.p, name.len) == 0)
			return s->handle[i];
	return NULL;
}

static void
handle_forget(struct sp_sftp *s, struct sp_sftp_handle *h)
{
	for (unsigned i = 0; i < s->n_handles; i++)
		if (s->handle[i] == h) {
			s->handle[i] = s->handle[--s->n_handles];
			handle_unref(h);
			return;
		}
}

/* One that is open already under this name is closed as far as we know: its CLOSE was not answered yet. */
static enum sp_err
handle_new(struct sp_sftp *s, struct sp_view name, const struct sp_sftp_request *q, struct sp_sftp_handle **ret)
{
	struct sp_sftp_handle *h, *old;

	if (name.len == 0 || name.len > SP_SFTP_HANDLE_MAX)
		return SP_EFORMAT;
	if ((old = handle_find(s, name)) != NULL)
		handle_forget(s, old);
	if (s->n_handles == s->max)
		return SP_EFULL;
	if ((h = malloc(sizeof(*h) + q->path.len)) == NULL)
		return SP_ENOMEM;
	*h = (struct sp_sftp_handle){ .path = { (uint8_t *)(h + 1), q->path.len }, .pflags = q->pflags, .settled = q->settled,
	    .refs = 1, .name_len = name.len };
	memcpy(h->name, name.p, name.len);
	if (q->path.len > 0)
		memcpy(h + 1, q->path.p, q->path.len);
	s->handle[s->n_handles++] = h;
	*ret = h;
	return SP_OK;
}

static void
request_release(struct sp_sftp_request *q)
{
	handle_unref(q->handle);
	handle_unref(q->dest);
	free(q->text);
	*q = (struct sp_sftp_request){ 0 };
}

static struct sp_sftp_request *
request_find(const struct sp_sftp *s, uint32_t id)
{
	for (unsigned i = 0; i < s->n_req; i++)
		if (s->req[i].id == id && s->req[i].op != SP_SFTP_INIT)
			return &s->req[i];
	return NULL;
}

static enum sp_err
request_add(struct sp_sftp *s, const struct sp_sftp_request *q)
{
	if (s->n_req == s->cap) {
		unsigned cap = s->cap == 0 ? FIRST_REQUESTS : s->cap * 2;
		struct sp_sftp_request *p = realloc(s->req, cap * sizeof(*p));

		if (p == NULL)
			return SP_ENOMEM;
		s->req = p;
		s->cap = cap;
	}
	s->req[s->n_req++] = *q;
	s->opening += (kinds[q->op].answers & A_HANDLE) != 0;
	return SP_OK;
}

/* Out of the table, into *ret, which owns it. */
static void
request_take(struct sp_sftp *s, struct sp_sftp_request *q, struct sp_sftp_request *ret)
{
	*ret = *q;
	s->opening -= (kinds[q->op].answers & A_HANDLE) != 0;
	*q = s->req[--s->n_req];
	s->last = 0;
}

enum sp_err
sp_sftp_new(unsigned max, struct sp_sftp **ret)
{
	struct sp_sftp *s = calloc(1, sizeof(*s));

	if (s == NULL || (s->handle = calloc(max, sizeof(struct sp_sftp_handle *))) == NULL) {
		free(s);
		return SP_ENOMEM;
	}
	s->max = max;
	for (int i = 0; i < 2; i++)
		sp_buf_init(&s->side[i].head, SP_SFTP_HEAD_MAX + 4);
	*ret = s;
	return SP_OK;
}

void
sp_sftp_free(struct sp_sftp *s)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < s->n_req; i++)
		request_release(&s->req[i]);
	for (int i = 0; i < 2; i++) {
		request_release(&s->side[i].now);
		sp_buf_release(&s->side[i].head);
	}
	while (s->n_handles > 0)
		handle_forget(s, s->handle[0]);
	free(s->handle);
	free(s->req);
	free(s);
}

/* ---- the fields of a request */

/* What cannot be read is left out: a server may add what it likes behind the attributes. */
static void
read_attrs(struct sp_view v, struct sp_sftp_attrs *ret)
{
	struct sp_sftp_attrs a = { 0 };

	if (sp_view_u32(&v, &a.flags) != SP_OK || ((a.flags & SP_SFTP_A_SIZE) && sp_view_u64(&v, &a.size) != SP_OK) ||
	    ((a.flags & SP_SFTP_A_OWNER) && (sp_view_u32(&v, &a.uid) != SP_OK || sp_view_u32(&v, &a.gid) != SP_OK)) ||
	    ((a.flags & SP_SFTP_A_MODE) && sp_view_u32(&v, &a.mode) != SP_OK) ||
	    ((a.flags & SP_SFTP_A_TIMES) && (sp_view_u32(&v, &a.atime) != SP_OK || sp_view_u32(&v, &a.mtime) != SP_OK)))
		return;
	*ret = a;
}

static enum sp_err
read_handle(struct sp_sftp *s, struct sp_view *v, struct sp_sftp_handle **ret)
{
	struct sp_view name;
	enum sp_err r = sp_view_string(v, &name);

	if (r != SP_OK || name.len > SP_SFTP_HANDLE_MAX)
		return SP_EFORMAT;
	*ret = handle_find(s, name);	/* a reference is taken when all was read */
	return SP_OK;
}

static enum sp_err
read_field(struct sp_sftp *s, char field, struct sp_view *v, struct sp_sftp_request *q)
{
	struct sp_view ignored;
	uint64_t n;

	switch (field) {
	case 'p':
		return sp_view_string(v, &q->path);
	case 't':
		return sp_view_string(v, &q->to);
	case 'h':
		return read_handle(s, v, &q->handle);
	case 'd':
		return read_handle(s, v, &q->dest);
	case 'f':
		return sp_view_u32(v, &q->pflags);
	case 'o':
		return sp_view_u64(v, &q->offset);
	case 'l':
		return sp_view_u32(v, &q->length);
	case 'a':
		read_attrs(*v, &q->attrs);
		v->len = 0;
		return SP_OK;
	case 's':
		return sp_view_string(v, &ignored);
	default:
		return sp_view_u64(v, &n);
	}
}

/* Paths point into the packet: give them memory of their own. */
static enum sp_err
request_own(struct sp_sftp_request *q)
{
	size_t n = q->path.len + q->to.len;

	if (n > 0) {
		if ((q->text = malloc(n)) == NULL)
			return SP_ENOMEM;
		if (q->path.len > 0)
			memcpy(q->text, q->path.p, q->path.len);
		if (q->to.len > 0)
			memcpy(q->text + q->path.len, q->to.p, q->to.len);
	}
	q->path.p = q->text;
	q->to.p = q->text != NULL ? q->text + q->path.len : NULL;
	handle_ref(q->handle);
	handle_ref(q->dest);
	return SP_OK;
}

static enum sp_sftp_op
request_op(uint8_t type, struct sp_view *v)
{
	struct sp_view at = *v, name = { NULL, 0 };

	if (type == EXTENDED && sp_view_string(&at, &name) != SP_OK)
		return SP_SFTP_OPS;
	for (int op = 0; op < SP_SFTP_UNKNOWN; op++)
		if (kinds[op].type == type && (kinds[op].ext == NULL || sp_view_equal_str(name, kinds[op].ext))) {
			*v = at;
			return (enum sp_sftp_op)op;
		}
	return SP_SFTP_UNKNOWN;
}

static enum sp_err
request_init(struct sp_sftp *s, struct sp_view v, struct sp_sftp_request *q)
{
	if (s->versioned != 0 || sp_view_u32(&v, &q->id) != SP_OK)
		return SP_EFORMAT;	/* extensions of the client may follow */
	s->versioned = 1;
	return SP_OK;
}

/* v: what follows the type. */
static enum sp_err
request_read(struct sp_sftp *s, uint8_t type, struct sp_view v, struct sp_sftp_request *q)
{
	struct sp_view name;
	enum sp_err r;

	if (type == kinds[SP_SFTP_INIT].type)
		return request_init(s, v, q);
	if (s->versioned == 0 || sp_view_u32(&v, &q->id) != SP_OK || (q->op = request_op(type, &v)) == SP_SFTP_OPS)
		return SP_EFORMAT;
	if (request_find(s, q->id) != NULL)
		return SP_EFORMAT;
	if (q->op == SP_SFTP_UNKNOWN) {
		if (type == EXTENDED && sp_view_string(&v, &name) == SP_OK)
			q->path = name;
		return request_own(q);
	}
	for (const char *f = kinds[q->op].fields; *f != '\0' && *f != 'c'; f++)
		if ((r = read_field(s, *f, &v, q)) != SP_OK)
			return SP_EFORMAT;
	return v.len == 0 ? request_own(q) : SP_EFORMAT;
}

/* ---- answers */

static int
answer_fits(const struct sp_sftp_request *q, uint8_t type)
{
	if (type == SP_SFTP_STATUS)
		return q->op != SP_SFTP_INIT;
	for (size_t i = 0; i < SP_NELEMS(answers); i++)
		if (answers[i].type == type)
			return (kinds[q->op].answers & answers[i].bit) != 0;
	return 0;
}

static enum sp_err
answer_version(struct sp_sftp *s, struct sp_view v, struct sp_sftp_item *ret)
{
	if (s->versioned != 1 || sp_view_u32(&v, &ret->code) != SP_OK)
		return SP_EFORMAT;
	s->versioned = 2;
	return ret->code <= SP_SFTP_VERSION ? SP_OK : SP_EFORMAT;
}

static enum sp_err
answer_name(struct sp_view v, struct sp_sftp_item *ret)
{
	uint32_t n;

	if (sp_view_u32(&v, &n) != SP_OK || (n > 0 && sp_view_string(&v, &ret->name) != SP_OK))
		return SP_EFORMAT;
	return SP_OK;
}

static enum sp_err
answer_read(struct sp_sftp *s, uint8_t type, struct sp_view v, struct sp_sftp_item *ret)
{
	struct side *d = &s->side[SP_SFTP_SERVER];
	struct sp_sftp_request *q;
	struct sp_view name;
	uint32_t id;

	request_release(&d->now);
	ret->type = type;
	if (type == SP_SFTP_VERSION_REPLY)
		return answer_version(s, v, ret);
	if (s->versioned != 2 || sp_view_u32(&v, &id) != SP_OK || (q = request_find(s, id)) == NULL || !answer_fits(q, type))
		return SP_EFORMAT;
	request_take(s, q, &d->now);
	ret->req = &d->now;
	if (d->now.op == SP_SFTP_CLOSE && d->now.handle != NULL)
		handle_forget(s, d->now.handle);
	switch (type) {
	case SP_SFTP_STATUS:
		return sp_view_u32(&v, &ret->code) == SP_OK ? SP_OK : SP_EFORMAT;
	case SP_SFTP_HANDLE:
		if (sp_view_string(&v, &name) != SP_OK || v.len != 0)
			return SP_EFORMAT;
		return handle_new(s, name, &d->now, &ret->handle);
	case SP_SFTP_DATA:
		if (sp_view_u32(&v, &ret->code) != SP_OK || v.len != 0 || ret->code > d->now.length)
			return SP_EFORMAT;
		return SP_OK;
	case SP_SFTP_NAME:
		return answer_name(v, ret);
	case SP_SFTP_ATTRS:
		read_attrs(v, &ret->attrs);
		return SP_OK;
	default:
		return SP_OK;
	}
}

/* ---- packets */

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Does a packet of this type have contents that are not held? */
static int
has_body(enum sp_sftp_side side, uint8_t type)
{
	return type == (side == SP_SFTP_CLIENT ? kinds[SP_SFTP_WRITE].type : SP_SFTP_DATA);
}

/* How many bytes of the packet at p the head takes, as far as n bytes of it say; more than n: that many are needed to
 * know more. *body: bytes of contents behind it. */
static enum sp_err
head_size(enum sp_sftp_side side, const uint8_t *p, size_t n, size_t *ret, uint32_t *body)
{
	uint32_t len, handle;
	size_t head;

	*body = 0;
	*ret = 5;
	if (n < 5)
		return SP_OK;
	len = get32(p);
	if (len < 5)
		return SP_EFORMAT;
	if (!has_body(side, p[4])) {
		*ret = (size_t)len + 4;
		return len <= SP_SFTP_HEAD_MAX ? SP_OK : SP_ESIZE;
	}
	if (len > SP_SFTP_BODY_MAX)
		return SP_ESIZE;
	head = PREFIX + 4;
	if (side == SP_SFTP_CLIENT) {
		*ret = head;
		if (n < head)
			return SP_OK;
		if ((handle = get32(p + PREFIX)) > SP_SFTP_HANDLE_MAX)
			return SP_EFORMAT;
		head += handle + 8 + 4;
	}
	*ret = head;
	if (n < head)
		return (size_t)len + 4 >= head ? SP_OK : SP_EFORMAT;
	*body = get32(p + head - 4);
	return (size_t)len + 4 == head + *body ? SP_OK : SP_EFORMAT;
}

/* A whole head, at p. */
static enum sp_err
head_read(struct sp_sftp *s, enum sp_sftp_side side, struct sp_view packet, uint32_t body, struct sp_sftp_item *ret)
{
	struct side *d = &s->side[side];
	struct sp_view v = { packet.p + 5, packet.len - 5 };
	struct sp_sftp_request q = { 0 };
	enum sp_err r;

	*ret = (struct sp_sftp_item){ .what = SP_SFTP_HEAD, .wire = packet };
	d->body = body;
	d->refused = 0;
	if (side == SP_SFTP_SERVER) {
		r = answer_read(s, packet.p[4], v, ret);
		d->offset = d->now.offset;
		return r;
	}
	if ((r = request_read(s, packet.p[4], v, &q)) != SP_OK || q.op == SP_SFTP_INIT) {
		if (r == SP_OK) {
			request_release(&d->now);
			d->now = q;
			ret->req = &d->now;
		}
		return r;
	}
	if ((r = request_add(s, &q)) != SP_OK) {
		request_release(&q);
		return r;
	}
	s->last = 1;
	ret->req = &s->req[s->n_req - 1];
	d->offset = q.offset;
	if (body > 0) {		/* what its contents belong to, even when a server answers too early */
		request_release(&d->now);
		d->now = (struct sp_sftp_request){ .op = q.op, .id = q.id, .offset = q.offset, .length = q.length,
		    .handle = handle_ref(q.handle) };
	}
	return SP_OK;
}

static enum sp_err
next_body(struct side *d, struct sp_view *in, struct sp_sftp_item *ret)
{
	size_t n = in->len < d->body ? in->len : d->body;

	*ret = (struct sp_sftp_item){ .what = SP_SFTP_BYTES, .wire = { in->p, n }, .req = &d->now, .offset = d->offset,
	    .refused = d->refused };
	d->body -= (uint32_t)n;
	d->offset += n;
	in->p += n;
	in->len -= n;
	return SP_OK;
}

static enum sp_err
next_head(struct sp_sftp *s, enum sp_sftp_side side, struct sp_view *in, struct sp_sftp_item *ret)
{
	struct side *d = &s->side[side];
	uint32_t body;
	size_t need;
	enum sp_err r;

	if (d->head.len == 0) {		/* mostly the head is in one piece, and is not copied */
		struct sp_view packet = *in;

		if ((r = head_size(side, in->p, in->len, &need, &body)) != SP_OK)
			return r;
		if (need <= in->len) {
			packet.len = need;
			in->p += need;
			in->len -= need;
			return head_read(s, side, packet, body, ret);
		}
	}
	for (;;) {
		size_t n;

		if ((r = head_size(side, d->head.p, d->head.len, &need, &body)) != SP_OK)
			return r;
		if (need <= d->head.len)
			break;
		n = need - d->head.len < in->len ? need - d->head.len : in->len;
		if (n == 0) {
			*ret = (struct sp_sftp_item){ .what = SP_SFTP_MORE };
			return SP_OK;
		}
		if ((r = sp_buf_append(&d->head, in->p, n)) != SP_OK)
			return r;
		in->p += n;
		in->len -= n;
	}
	d->given = 1;
	return head_read(s, side, (struct sp_view){ d->head.p, d->head.len }, body, ret);
}

enum sp_err
sp_sftp_next(struct sp_sftp *s, enum sp_sftp_side side, struct sp_view *in, struct sp_sftp_item *ret)
{
	struct side *d = &s->side[side];

	if (s->broken != SP_OK)
		return s->broken;
	if (d->given) {
		d->given = 0;
		if (d->head.cap > 4096) {
			sp_buf_release(&d->head);
			sp_buf_init(&d->head, SP_SFTP_HEAD_MAX + 4);
		} else
			d->head.len = 0;
	}
	if (side == SP_SFTP_CLIENT)
		s->last = 0;
	if (in->len == 0) {
		*ret = (struct sp_sftp_item){ .what = SP_SFTP_MORE };
		return SP_OK;
	}
	if (d->body > 0)
		return next_body(d, in, ret);
	if (side == SP_SFTP_CLIENT && s->n_req >= s->max)
		return SP_EAGAIN;
	return s->broken = next_head(s, side, in, ret);
}

void
sp_sftp_refuse(struct sp_sftp *s)
{
	struct sp_sftp_request q;

	if (!s->last)
		return;
	request_take(s, &s->req[s->n_req - 1], &q);
	request_release(&q);
	s->side[SP_SFTP_CLIENT].refused = 1;
}

void
sp_sftp_settled(struct sp_sftp *s)
{
	if (s->last)
		s->req[s->n_req - 1].settled = 1;
}

int
sp_sftp_between(const struct sp_sftp *s)
{
	const struct side *d = &s->side[SP_SFTP_SERVER];

	return d->body == 0 && (d->head.len == 0 || d->given);
}

unsigned
sp_sftp_handles(const struct sp_sftp *s)
{
	return s->n_handles + s->opening;
}

void
sp_sftp_each(struct sp_sftp *s, void (*fn)(struct sp_sftp_handle *h, void *arg), void *arg)
{
	for (unsigned i = 0; i < s->n_handles; i++)
		fn(s->handle[i], arg);
}

/* ---- what is said in the server's or client's place */

enum sp_err
sp_sftp_put_status(struct sp_buf *b, uint32_t id, uint32_t code, const char *text)
{
	size_t n = strlen(text);
	enum sp_err r;

	if ((r = sp_buf_reserve(b, n + 21)) != SP_OK || (r = sp_buf_put_u32(b, (uint32_t)n + 17)) != SP_OK ||
	    (r = sp_buf_put_u8(b, SP_SFTP_STATUS)) != SP_OK || (r = sp_buf_put_u32(b, id)) != SP_OK ||
	    (r = sp_buf_put_u32(b, code)) != SP_OK || (r = sp_buf_put_cstring(b, text)) != SP_OK)
		return r;
	return sp_buf_put_cstring(b, "");
}

enum sp_err
sp_sftp_put_init(struct sp_buf *b)
{
	enum sp_err r;

	if ((r = sp_buf_reserve(b, 9)) != SP_OK || (r = sp_buf_put_u32(b, 5)) != SP_OK ||
	    (r = sp_buf_put_u8(b, kinds[SP_SFTP_INIT].type)) != SP_OK)
		return r;
	return sp_buf_put_u32(b, SP_SFTP_VERSION);
}

uint32_t
sp_sftp_free_ids(const struct sp_sftp *s, uint32_t n)
{
	uint32_t first = 0xa0000000u;

	for (unsigned i = 0; i < s->n_req; i++)
		if (s->req[i].op != SP_SFTP_INIT && s->req[i].id - first < n) {
			first = s->req[i].id + 1;	/* each is in the way once at most, going upwards ... */
			i = (unsigned)-1;		/* ... so this begins again at most n_req times */
		}
	return first;
}

enum sp_err
sp_sftp_ask(struct sp_sftp *s, enum sp_sftp_op op, uint32_t id, struct sp_view path, struct sp_buf *b)
{
	struct sp_sftp_request q = { .op = op, .id = id, .path = path, .own = 1 };
	enum sp_err r;

	if (s->broken != SP_OK)
		return s->broken;
	if (strcmp(kinds[op].fields, "p") != 0 || kinds[op].ext != NULL || path.len > SP_SFTP_HEAD_MAX - PREFIX || request_find(s, id) != NULL)
		return SP_EINVAL;
	if ((r = sp_buf_reserve(b, path.len + PREFIX + 4)) != SP_OK || (r = request_own(&q)) != SP_OK)
		return r;
	if ((r = request_add(s, &q)) != SP_OK) {
		request_release(&q);
		return r;
	}
	s->last = 0;
	if ((r = sp_buf_put_u32(b, (uint32_t)path.len + PREFIX)) != SP_OK || (r = sp_buf_put_u8(b, kinds[op].type)) != SP_OK ||
	    (r = sp_buf_put_u32(b, id)) != SP_OK)
		return r;
	return sp_buf_put_string(b, path.p, path.len);
}

enum sp_err
sp_sftp_put_moved(struct sp_buf *b, enum sp_sftp_op op, struct sp_view wire, struct sp_view path, struct sp_view to)
{
	struct sp_view v = wire, old, head;
	size_t at = b->len, len;
	uint32_t skip;
	enum sp_err r;

	if (kinds[op].fields[0] != 'p')
		return SP_EINVAL;
	if ((r = sp_view_bytes(&v, PREFIX, &head)) != SP_OK || (kinds[op].ext != NULL && sp_view_string(&v, &old) != SP_OK))
		return SP_EFORMAT;
	head.len = (size_t)(v.p - wire.p);		/* with the name of the extension */
	if ((r = sp_buf_append(b, head.p, head.len)) != SP_OK)
		return r;
	for (const char *f = kinds[op].fields; *f == 'p' || *f == 't'; f++) {
		if (sp_view_string(&v, &old) != SP_OK)
			return SP_EFORMAT;
		old = *f == 'p' ? path : to;
		if ((r = sp_buf_put_string(b, old.p, old.len)) != SP_OK)
			return r;
	}
	if ((r = sp_buf_append(b, v.p, v.len)) != SP_OK)
		return r;
	len = b->len - at - 4;
	if (len > SP_SFTP_HEAD_MAX)
		return SP_ESIZE;
	for (int i = 0; i < 4; i++) {
		skip = (uint32_t)len >> (24 - 8 * i);
		b->p[at + (size_t)i] = (uint8_t)skip;
	}
	return SP_OK;
}

const char *
sp_sftp_op_name(enum sp_sftp_op op)
{
	return op >= 0 && op < SP_SFTP_OPS ? kinds[op].name : "unknown";
}

const char *
sp_sftp_code_name(uint32_t code)
{
	static const char *const names[] = {
		[SP_SFTP_OK] = "ok", [SP_SFTP_EOF] = "end of file", [SP_SFTP_NO_FILE] = "no such file",
		[SP_SFTP_DENIED] = "permission denied", [SP_SFTP_FAILURE] = "failure", [SP_SFTP_BAD] = "bad message",
		[6] = "no connection", [7] = "connection lost", [SP_SFTP_UNSUPPORTED] = "not supported",
	};

	return code < SP_NELEMS(names) ? names[code] : "error";
}
