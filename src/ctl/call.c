/* src/ctl/call.c - see call.h. */
#include "ctl/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "sallyport.pb-c.h"

struct call {
	struct ctl_answer	*a;
	uint32_t		 corr;
	size_t			 bytes;
	int			 done;
};

void
ctl_answer_release(struct ctl_answer *a)
{
	json_decref(a->body);
	a->body = NULL;
	sp_closep(&a->fd);
}

static enum sp_err
answer_fail(struct ctl_answer *a, enum sp_err e, const char *text)
{
	a->err = e;
	(void)sp_strlcpy(a->text, text, sizeof(a->text));
	return e;
}

/* Parts of a listing are joined; a second part that is no array would be a broken answer. */
static enum sp_err
call_add_body(struct call *k, const ProtobufCBinaryData *d)
{
	json_t *part;

	if (d->len == 0)
		return SP_OK;
	if ((k->bytes += d->len) > CTL_ANSWER_MAX)
		return answer_fail(k->a, SP_ESIZE, "the answer is too long: ask for less, see the options of this command");
	part = json_loadb((const char *)d->data, d->len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	if (part == NULL)
		return answer_fail(k->a, SP_EFORMAT, "control sent an answer that is not JSON: restart sallyport after its upgrade");
	if (k->a->body == NULL) {
		k->a->body = part;
		return SP_OK;
	}
	if (!json_is_array(k->a->body) || !json_is_array(part) || json_array_extend(k->a->body, part) != 0) {
		json_decref(part);
		return answer_fail(k->a, SP_EFORMAT, "control sent an answer in parts that do not fit: restart sallyport after its upgrade");
	}
	json_decref(part);
	return SP_OK;
}

static void
call_on_msg(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct call *k = arg;
	Sallyport__CallReply *r = (Sallyport__CallReply *)m->body;

	(void)chan;
	if (k == NULL || k->done || m->id != SP_MSG_CALL_REPLY || m->corr != k->corr)
		return;
	k->a->reached = 1;
	if (r->err != SP_OK) {
		k->a->mfa = r->mfa;
		answer_fail(k->a, r->err < SP_ERR_N ? (enum sp_err)r->err : SP_EINTERNAL, r->text);
		k->done = 1;
		return;
	}
	if (call_add_body(k, &r->body) != SP_OK) {
		k->done = 1;
		return;
	}
	(void)sp_strlcpy(k->a->text, r->text, sizeof(k->a->text));
	if (m->nfds > 0 && k->a->fd < 0)
		k->a->fd = sp_steal_fd(&m->fds[0]);
	k->done = !r->more;
}

static void
call_on_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	struct call *k = arg;

	(void)chan;
	(void)what;
	if (k == NULL || k->done)
		return;
	k->done = 1;
	if (why == SP_EVERSION)
		answer_fail(k->a, why, "sallyport and its server are of different versions: restart sallyport after its upgrade");
	else
		answer_fail(k->a, why, "the connection closed before the answer came: see 'sallyport doctor' and the log");
}

static enum sp_err
call_connect(const char *path, struct ctl_answer *a, int *ret_fd)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	sp_auto(sp_closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int e;

	if (fd == -1)
		return answer_fail(a, SP_ESYS, "cannot make a socket: too many open files?");
	(void)sp_strlcpy(un.sun_path, path, sizeof(un.sun_path));
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0) {
		*ret_fd = sp_steal_fd(&fd);
		return SP_OK;
	}
	e = errno;
	if (e == ENOENT)
		sp_snprintf(a->text, sizeof(a->text), "no Sallyport runs here, there is no %s: start it with "
		    "'systemctl start sallyport', or name its socket with --socket", path);
	else if (e == EACCES || e == EPERM)
		sp_snprintf(a->text, sizeof(a->text), "%s is not open to you: use root, or have an administrator bind your "
		    "system account with 'sallyport user update LOGIN --os-uid %u'", path, (unsigned)getuid());
	else
		sp_snprintf(a->text, sizeof(a->text), "nobody answers at %s (%s): see 'systemctl status sallyport'", path,
		    strerror(e));
	a->err = e == EACCES || e == EPERM ? SP_EACCES : SP_EUNAVAIL;
	return a->err;
}

static enum sp_err
call_send(struct ctl *c, struct sp_chan *chan, struct call *k, const char *method, const json_t *params)
{
	Sallyport__CallAsk ask = SALLYPORT__CALL_ASK__INIT;
	sp_auto(sp_freep) char *text = params != NULL ? json_dumps(params, JSON_COMPACT) : NULL;
	char empty[] = "";
	sp_auto(sp_freep) char *name = strdup(method), *as = strdup(c->as_user != NULL ? c->as_user : empty);
	enum sp_err r;

	if (name == NULL || as == NULL || (params != NULL && text == NULL))
		return answer_fail(k->a, SP_ENOMEM, "out of memory");
	ask.method = name;
	ask.as_user = as;
	ask.params.data = (uint8_t *)text;
	ask.params.len = text != NULL ? strlen(text) : 0;
	r = sp_chan_send(chan, SP_MSG_CALL_ASK, k->corr, &ask, NULL, 0);
	if (r == SP_ESIZE)
		return answer_fail(k->a, r, "the request is too large: give fewer or shorter values");
	return r == SP_OK ? r : answer_fail(k->a, r, "the request could not be sent: see 'sallyport doctor'");
}

static void
chan_freep(struct sp_chan **c)
{
	sp_chan_free(*c);
	*c = NULL;
}

static enum sp_err
call_wait(struct sp_chan *chan, struct call *k, int timeout_ms)
{
	uint64_t until = sp_now_us() + (uint64_t)timeout_ms * SP_US_PER_MS;

	while (!k->done) {
		uint64_t now = sp_now_us();

		if (now >= until) {
			sp_snprintf(k->a->text, sizeof(k->a->text), "no answer within %d seconds: see 'sallyport doctor', or wait "
			    "longer with --timeout", (timeout_ms + 999) / 1000);
			return k->a->err = SP_ETIMEOUT;
		}
		if (sp_chan_wait(chan, (int)((until - now) / SP_US_PER_MS) + 1) == SP_ECLOSED && !k->done)
			return answer_fail(k->a, SP_ECLOSED, "the connection closed before the answer came: see 'sallyport doctor' and the log");
	}
	return k->a->err;
}

static enum sp_err
call_run(struct ctl *c, struct sp_chan *chan, struct call *k, const char *method, const json_t *params, int timeout_ms)
{
	k->corr = sp_chan_corr(chan);
	return call_send(c, chan, k, method, params) != SP_OK ? k->a->err : call_wait(chan, k, timeout_ms);
}

/* Over SSH there is one channel for the whole command, made for it by control. */
static enum sp_err
call_in_place(struct ctl *c, enum sp_proc peer, struct call *k, const char *method, const json_t *params, int timeout_ms)
{
	struct sp_chan *chan = c->place->chan;

	if (peer != SP_PROC_CONTROL)
		return answer_fail(k->a, SP_EUNAVAIL, "control does not answer, and over SSH nobody else does: use the command line on "
		    "the bastion");
	sp_chan_set_arg(chan, k);
	(void)call_run(c, chan, k, method, params, timeout_ms);
	if (k->a->mfa && c->is_tty && c->place->code(c) == SP_OK) {
		struct ctl_answer *a = k->a;

		*a = (struct ctl_answer){ .fd = -1 };
		*k = (struct call){ .a = a };
		(void)call_run(c, chan, k, method, params, timeout_ms);
	}
	sp_chan_set_arg(chan, NULL);
	return k->a->err;
}

enum sp_err
ctl_place_chan(int fd, struct sp_chan **ret)
{
	return sp_chan_new(fd, SP_PROC_SHELL, SP_PROC_CONTROL, call_on_msg, call_on_close, NULL, ret);
}

enum sp_err
ctl_ask(struct ctl *c, enum sp_proc peer, const char *method, const json_t *params, int timeout_ms, struct ctl_answer *ret)
{
	sp_auto(chan_freep) struct sp_chan *chan = NULL;
	struct call k = { .a = ret };
	int fd = -1;

	*ret = (struct ctl_answer){ .fd = -1 };
	if (c->place != NULL)
		return call_in_place(c, peer, &k, method, params, timeout_ms);
	if (call_connect(peer == SP_PROC_MONITOR ? c->monitor_socket : c->socket, ret, &fd) != SP_OK)
		return ret->err;
	if (sp_chan_new(fd, SP_PROC_CTL, peer, call_on_msg, call_on_close, &k, &chan) != SP_OK)
		return answer_fail(ret, SP_ENOMEM, "out of memory");
	return call_run(c, chan, &k, method, params, timeout_ms);
}

static enum sp_err
ctl_call_within(struct ctl *c, const char *method, const json_t *params, int timeout_ms, json_t **ret_body)
{
	ctl_auto_answer a = { .fd = -1 };

	if (ctl_ask(c, SP_PROC_CONTROL, method, params, timeout_ms, &a) != SP_OK)
		return ctl_answer_fail(c, &a);
	*ret_body = a.body != NULL ? sp_steal(&a.body) : json_object();
	return *ret_body != NULL ? SP_OK : ctl_fail(c, SP_ENOMEM, "out of memory");
}

struct ctl_line {
	struct sp_chan	*chan;
	int		 shared;	/* the one of c->place */
	struct call	 k;
};

enum sp_err
ctl_line_open(struct ctl *c, struct ctl_line **ret)
{
	ctl_auto_answer a = { .fd = -1 };
	struct ctl_line *l = calloc(1, sizeof(*l));
	int fd = -1;

	if (l == NULL)
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	*ret = l;
	if (c->place != NULL) {
		l->shared = 1;
		return SP_OK;
	}
	*ret = NULL;
	if (call_connect(c->socket, &a, &fd) != SP_OK) {
		free(l);
		return ctl_answer_fail(c, &a);
	}
	l->k.done = 1;		/* nothing is asked: a closed connection is noticed by the next question */
	if (sp_chan_new(fd, SP_PROC_CTL, SP_PROC_CONTROL, call_on_msg, call_on_close, &l->k, &l->chan) != SP_OK) {
		free(l);
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	}
	*ret = l;
	return SP_OK;
}

enum sp_err
ctl_line_call(struct ctl *c, struct ctl_line *l, const char *method, const json_t *params, int timeout_ms, json_t **ret_body)
{
	ctl_auto_answer a = { .fd = -1 };

	if (l->shared)
		return ctl_call_within(c, method, params, timeout_ms, ret_body);
	l->k = (struct call){ .a = &a, .corr = sp_chan_corr(l->chan) };
	if (call_send(c, l->chan, &l->k, method, params) == SP_OK)
		(void)!call_wait(l->chan, &l->k, timeout_ms);
	l->k.a = NULL;
	l->k.done = 1;
	if (a.err != SP_OK)
		return ctl_answer_fail(c, &a);
	*ret_body = a.body != NULL ? sp_steal(&a.body) : json_object();
	return *ret_body != NULL ? SP_OK : ctl_fail(c, SP_ENOMEM, "out of memory");
}

void
ctl_line_free(struct ctl_line *l)
{
	if (l == NULL)
		return;
	if (!l->shared)
		sp_chan_free(l->chan);
	free(l);
}

/* The noun that lists what an answer misses: of the thing it names, else of the command itself. */
static const char *
advice_noun(const struct ctl *c, const char *text)
{
	static const struct {
		const char	*begins, *noun;
	} things[] = {
		{ "there is no user \"", "user" }, { "there is no group \"", "group" }, { "there is no department \"", "department" },
		{ "there is no asset \"", "asset" }, { "there is no asset group \"", "asset-group" },
		{ "there is no account \"", "account" }, { "there is no authority \"", "ca" }, { "there is no grant \"", "grant" },
		{ "there is no session \"", "session" }
	};

	for (size_t i = 0; i < SP_NELEMS(things); i++)
		if (strncmp(text, things[i].begins, strlen(things[i].begins)) == 0)
			return things[i].noun;
	return c->noun != NULL && ctl_cmd_find(c->noun, 1, (char *[]){ (char[]){ "list" } }, &(int){ 0 }) != NULL ? c->noun->name :
	    NULL;
}

/* What a person can do about it, where the answer itself does not say. */
static const char *
answer_advice(struct ctl *c, enum sp_err e, const char *text, char *dst, size_t size)
{
	const char *noun;

	switch (e) {
	case SP_ESEALED:
		return "open it with 'sallyport vault unseal'";
	case SP_EACCES: case SP_EDENIED: case SP_EPEER:
		return "ask an administrator";
	case SP_EEXIST:
		return "choose another name";
	case SP_ECONFLICT: case SP_EAGAIN: case SP_EBUSY: case SP_EFULL:
		return "try again";
	case SP_ETIMEOUT: case SP_EUNAVAIL: case SP_EIO: case SP_ENOSPC: case SP_ECORRUPT: case SP_EINTERNAL: case SP_ESYS:
		return "see 'sallyport doctor'";
	case SP_EVERSION:
		return "restart sallyport after its upgrade";
	case SP_ENOENT:
		if ((noun = advice_noun(c, text)) == NULL)
			return NULL;
		sp_snprintf(dst, size, "see 'sallyport %s list'", noun);
		return dst;
	case SP_EINVAL: case SP_EUSAGE: case SP_EFORMAT: case SP_ESHORT: case SP_ESIZE:
		if (c->noun == NULL || c->cmd == NULL)
			return NULL;
		sp_snprintf(dst, size, "see 'sallyport help %s%s%s'", c->noun->name, c->cmd->verb[0] != 0 ? " " : "",
		    c->cmd->verb);
		return dst;
	default:
		return NULL;
	}
}

enum sp_err
ctl_answer_fail(struct ctl *c, const struct ctl_answer *a)
{
	char room[128];
	const char *text = a->text[0] != 0 ? a->text : sp_err_text(a->err);
	const char *advice = strstr(text, ": ") == NULL ? answer_advice(c, a->err, text, room, sizeof(room)) : NULL;

	return advice != NULL ? ctl_fail(c, a->err, "%s: %s", text, advice) : ctl_fail(c, a->err, "%s", text);
}

enum sp_err
ctl_call(struct ctl *c, const char *method, const json_t *params, json_t **ret_body)
{
	return ctl_call_within(c, method, params, c->timeout_ms, ret_body);
}
