/* src/session/shell.c - see shell.h. Process: session. The other side of talk is src/shell/main.c. */
#include "session/shell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "session/session.h"
#include "shell/talk.h"

#define SHELL_LIVE	6	/* control takes a few more */
#define SHELL_CHUNK	8192	/* bytes read at a time; twice as many with CR before LF */
#define CTRL_C		0x03
#define EXIT_INTERRUPT	130

enum { OUT, ERR, STREAMS };	/* OUT carries standard input as well */

struct stream {
	struct shell		*h;
	int			 fd;
	struct sp_source	*source;	/* NULL while the user does not read, and after the end */
	struct sp_buf		 wait;		/* read, and not yet taken by the channel */
	int			 ended;
};
struct shell {
	struct relay		*r;
	struct sp_buf		 words;		/* until it is this one's turn */
	int			 running;
	int			 talk;
	struct sp_source	*talk_source, *in_source;	/* in: armed while input waits */
	struct stream		 s[STREAMS];
	struct sp_buf		 in;
	int			 in_ended, talked, told;	/* input is shut; talk is over; status is known */
	uint8_t			 status;
};

static void shell_settle(struct shell *h);
static void stream_run(struct stream *t);

/* ---- output: read only what the channel will take */

static size_t
stream_flush(struct stream *t)
{
	struct relay *r = t->h->r;
	int to = t == &t->h->s[ERR] && !r->pty ? SP_STREAM_ERR : SP_STREAM_OUT;	/* a terminal has one stream */

	if (t->wait.len > 0)
		sp_buf_consume(&t->wait, sp_channel_write(r->near, to, t->wait.p, t->wait.len));
	return t->wait.len;
}

/* On a terminal lines end with CR and LF. */
static enum sp_err
stream_keep(struct stream *t, const uint8_t *p, size_t n)
{
	enum sp_err e = SP_OK;

	if (!t->h->r->pty)
		return sp_buf_append(&t->wait, p, n);
	for (size_t i = 0; i < n && e == SP_OK; i++)
		e = p[i] == '\n' ? sp_buf_append(&t->wait, "\r\n", 2) : sp_buf_append(&t->wait, &p[i], 1);
	return e;
}

static void
stream_on_event(struct sp_source *src, uint32_t events, void *arg)
{
	struct stream *t = arg;
	struct shell *h = t->h;

	(void)src;
	(void)events;
	stream_run(t);
	shell_settle(h);
}

static void
stream_unwatch(struct stream *t)
{
	sp_source_remove(t->source);
	t->source = NULL;
}

/* Without a place for its bytes a stream is not watched at all: a closed one would wake us for ever. */
static void
stream_run(struct stream *t)
{
	uint8_t chunk[SHELL_CHUNK];
	ssize_t n = 1;

	while (!t->ended && stream_flush(t) == 0 && (n = recv(t->fd, chunk, sizeof(chunk), MSG_DONTWAIT)) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			break;
		if (stream_keep(t, chunk, (size_t)n) != SP_OK)
			n = 0;
		explicit_bzero(chunk, (size_t)n);	/* it may be a secret that was revealed */
		if (n == 0)
			break;
	}
	if (n == 0 || (n == -1 && errno != EAGAIN))
		t->ended = 1;
	if (t->ended || t->wait.len > 0)
		stream_unwatch(t);
	else if (t->source == NULL && sp_loop_add(t->h->r->s->loop, t->fd, EPOLLIN, stream_on_event, t, &t->source) != SP_OK)
		t->ended = 1;
}

/* ---- input */

static void in_push(struct shell *h);

/* A descriptor is watched once; for writing a duplicate is. */
static void
in_unwatch(struct shell *h)
{
	int fd = h->in_source != NULL ? sp_source_fd(h->in_source) : -1;

	sp_source_remove(h->in_source);
	h->in_source = NULL;
	sp_closep(&fd);
}

static void
in_on_event(struct sp_source *src, uint32_t events, void *arg)
{
	(void)src;
	(void)events;
	in_push(arg);
}

static void
in_push(struct shell *h)
{
	struct relay *r = h->r;

	while (h->in.len > 0) {
		ssize_t n = send(h->s[OUT].fd, h->in.p, h->in.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			break;
		if (n == -1)
			n = (ssize_t)h->in.len;		/* the command reads no more: what is sent goes nowhere */
		sp_buf_consume(&h->in, (size_t)n);
		sp_channel_consumed(r->near, (size_t)n);
	}
	if (h->in.len == 0 && r->near_eof && !h->in_ended) {
		h->in_ended = 1;
		(void)shutdown(h->s[OUT].fd, SHUT_WR);
	}
	if (h->in.len == 0)
		in_unwatch(h);
}

static void
in_wait(struct shell *h)
{
	int fd;

	if (h->in.len == 0 || h->in_source != NULL)
		return;
	if ((fd = dup(h->s[OUT].fd)) == -1 || sp_loop_add(h->r->s->loop, fd, EPOLLOUT, in_on_event, h, &h->in_source) != SP_OK) {
		sp_closep(&fd);
		relay_fail(h->r, "out of memory");
	}
}

static void
shell_interrupt(struct shell *h)
{
	static const uint8_t status[4] = { 0, 0, 0, EXIT_INTERRUPT };
	struct relay *r = h->r;

	(void)sp_channel_write(r->near, SP_STREAM_OUT, "^C\r\n", 4);
	if (r->menu != NULL) {
		shell_free(r);
		front_menu_said(r);
		return;
	}
	sp_channel_request(r->near, "exit-status", 0, status, sizeof(status));
	sp_channel_eof(r->near);
	relay_finish(r);
}

void
shell_input(struct relay *r, struct sp_view v)
{
	struct shell *h = r->shell;

	if (r->pty) {		/* keys answer questions (ask.c); between them only Ctrl-C means anything, but to a menu */
		sp_channel_consumed(r->near, v.len);
		if (memchr(v.p, CTRL_C, v.len) != NULL)
			shell_interrupt(h);
		else if (r->menu != NULL)
			front_menu_ahead(r, v);
		return;
	}
	if (sp_buf_append(&h->in, v.p, v.len) != SP_OK) {
		relay_fail(r, "out of memory");
		return;
	}
	if (h->running)
		shell_pump(r);
}

/* ---- talk */

static void
talk_send(struct shell *h, char what, const char *text)
{
	char packet[SP_TALK_TEXT_MAX + 1];
	size_t n = strlen(text);

	packet[0] = what;
	if (n > SP_TALK_TEXT_MAX)
		n = SP_TALK_TEXT_MAX;
	memcpy(packet + 1, text, n);
	(void)!send(h->talk, packet, n + 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	explicit_bzero(packet, sizeof(packet));
}

static void
talk_on_answer(struct relay *r, const char *answer, void *arg)
{
	(void)r;
	talk_send(arg, answer != NULL ? SP_TALK_ANSWER : SP_TALK_CANCEL, answer != NULL ? answer : "");
}

/* What was written before the question is shown before it: it is in the streams already. */
static void
talk_ask(struct shell *h, const char *text)
{
	const struct sp_question q = { text, 0, SP_ASK_ANSWER_MAX, talk_on_answer, h };

	for (int i = 0; i < STREAMS; i++)
		stream_run(&h->s[i]);
	if (sp_ask_start(h->r, &q) != SP_OK)
		talk_send(h, SP_TALK_CANCEL, "");
}

/* It goes to the vault and is judged by control: the command learns only whether it may ask again. */
static void
talk_on_code(struct relay *r, const char *failed, void *arg)
{
	if (failed != NULL)
		relay_show(r, failed);
	talk_send(arg, failed == NULL ? SP_TALK_ANSWER : SP_TALK_CANCEL, "");
}

static void
talk_on_event(struct sp_source *src, uint32_t events, void *arg)
{
	struct shell *h = arg;
	char packet[SP_TALK_TEXT_MAX + 2];
	ssize_t n = recv(h->talk, packet, sizeof(packet) - 1, MSG_DONTWAIT);

	(void)src;
	(void)events;
	if (n == -1 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 1 && packet[0] == SP_TALK_PROMPT) {
		packet[n] = '\0';
		talk_ask(h, packet + 1);
		return;
	}
	if (n == 1 && packet[0] == SP_TALK_CODE) {
		if (sp_code_start(h->r, "this change", talk_on_code, h) != SP_OK)
			talk_send(h, SP_TALK_CANCEL, "");
		return;
	}
	if (n == 2 && packet[0] == SP_TALK_EXIT) {
		h->told = 1;
		h->status = (uint8_t)packet[1];
	}
	h->talked = 1;		/* closed, the end, or what it may not say */
	sp_source_remove(h->talk_source);
	h->talk_source = NULL;
	shell_settle(h);
}

/* ---- the end */

/* All that it wrote has gone to the user: the exit status, and the channel is over. Frees h. */
static void
shell_settle(struct shell *h)
{
	struct relay *r = h->r;
	uint8_t status[4] = { 0, 0, 0, h->status };

	for (int i = 0; i < STREAMS; i++)
		if (!h->s[i].ended || h->s[i].wait.len > 0)
			return;
	if (!h->talked)
		return;
	if (!h->told) {
		relay_fail(r, "the command was cut off: try again, and see 'doctor'");
		return;
	}
	if (r->menu != NULL) {		/* of a menu: the next prompt, not the end */
		shell_free(r);
		front_menu_said(r);
		return;
	}
	sp_channel_request(r->near, "exit-status", 0, status, sizeof(status));
	sp_channel_eof(r->near);
	relay_finish(r);
}

void
shell_pump(struct relay *r)
{
	struct shell *h = r->shell;

	if (!h->running)
		return;
	in_push(h);
	in_wait(h);
	if (r->shell != h)
		return;
	for (int i = 0; i < STREAMS; i++)
		stream_run(&h->s[i]);
	shell_settle(h);
}

static int
shell_on_reply(struct session *s, struct sp_msg *m, void *arg)
{
	struct relay *r = arg;
	const Sallyport__Result *a = m != NULL ? (const Sallyport__Result *)m->body : NULL;

	(void)s;
	if (a == NULL || a->err != SP_OK)
		relay_fail(r, a == NULL ? "Sallyport did not answer in time: try again" : a->text[0] != '\0' ? a->text : "not allowed");
	return 0;
}

/* ---- the start */

/* The words and the far ends of the streams: they lie in talk until there is a process that reads them. */
static enum sp_err
talk_first(struct shell *h, const int far[STREAMS])
{
	union {
		struct cmsghdr	h;
		char		space[CMSG_SPACE(STREAMS * sizeof(int))];
	} u = { 0 };
	struct iovec iov;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u) };
	struct sp_buf b;
	ssize_t n = -1;

	sp_buf_init(&b, SP_TALK_PACKET);
	u.h.cmsg_level = SOL_SOCKET;
	u.h.cmsg_type = SCM_RIGHTS;
	u.h.cmsg_len = CMSG_LEN(STREAMS * sizeof(int));
	memcpy(CMSG_DATA(&u.h), far, STREAMS * sizeof(int));
	if (sp_buf_append(&b, "W", 1) == SP_OK && sp_buf_put_u32(&b, !h->r->pty ? 0 : h->r->cols > 0 ? h->r->cols : 80) == SP_OK &&
	    sp_buf_append(&b, h->words.p, h->words.len) == SP_OK) {
		iov = (struct iovec){ b.p, b.len };
		n = sendmsg(h->talk, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	sp_buf_release(&b);
	return n > 0 ? SP_OK : SP_ESYS;
}

/* ret_far: the other end of talk, for control. */
static enum sp_err
shell_open(struct shell *h, int *ret_far)
{
	int talk[2] = { -1, -1 }, far[STREAMS] = { -1, -1 }, pair[2];
	enum sp_err e = SP_OK;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, talk) == -1)
		return SP_ESYS;
	h->talk = talk[0];
	for (int i = 0; i < STREAMS && e == SP_OK; i++) {
		/* They block, for the command line reads and writes as any program does; our own calls say that they do not wait. */
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1) {
			e = SP_ESYS;
			break;
		}
		h->s[i].fd = pair[0];
		far[i] = pair[1];
	}
	if (e == SP_OK)
		e = talk_first(h, far);
	if (e == SP_OK && h->r->pty) {
		h->in_ended = 1;
		(void)shutdown(h->s[OUT].fd, SHUT_WR);
	}
	if (e == SP_OK)
		e = sp_loop_add(h->r->s->loop, h->talk, EPOLLIN, talk_on_event, h, &h->talk_source);
	for (int i = 0; i < STREAMS; i++)
		sp_closep(&far[i]);
	if (e != SP_OK)
		sp_closep(&talk[1]);
	*ret_far = talk[1];
	return e;
}

static void
shell_go(struct shell *h)
{
	Sallyport__Empty q = SALLYPORT__EMPTY__INIT;
	struct relay *r = h->r;
	int far = -1;

	h->running = 1;
	r->s->n_shells++;
	if (shell_open(h, &far) != SP_OK) {
		relay_fail(r, "the command cannot be run just now: too many at once");
		return;
	}
	session_ask(r->s, SP_PROC_CONTROL, SP_MSG_SHELL_ASK, &q, far, r->s->conf->control_wait, shell_on_reply, r);
	shell_pump(r);
}

/* The next one that waits, in the order of their channels. */
static void
shell_next(struct session *s)
{
	if (s->ending || s->n_shells >= SHELL_LIVE)
		return;
	sp_list_each(it, &s->relays) {
		struct relay *r = sp_container(it, struct relay, link);

		if (r->shell != NULL && !r->shell->running) {
			shell_go(r->shell);
			return;
		}
	}
}

void
shell_start(struct relay *r, struct sp_view words, int slot)
{
	struct shell *h = calloc(1, sizeof(*h));

	r->started = 1;
	relay_answer(r, slot, 1);
	if (h == NULL || words.len > SP_TALK_WORDS_MAX) {
		free(h);
		relay_fail(r, h == NULL ? "out of memory" : "the command is too long");
		return;
	}
	r->shell = h;
	h->r = r;
	h->talk = -1;
	sp_buf_init(&h->words, SP_TALK_WORDS_MAX);
	sp_buf_init(&h->in, SP_CHANNEL_WINDOW + SP_CHANNEL_PACKET);
	for (int i = 0; i < STREAMS; i++) {
		h->s[i] = (struct stream){ .h = h, .fd = -1 };
		sp_buf_init(&h->s[i].wait, 2 * SHELL_CHUNK);
	}
	if (sp_buf_append(&h->words, words.p, words.len) != SP_OK)
		relay_fail(r, "out of memory");
	else if (r->s->n_shells < SHELL_LIVE)
		shell_go(h);
}

void
shell_free(struct relay *r)
{
	struct shell *h = r->shell;

	if (h == NULL)
		return;
	r->shell = NULL;
	session_forget(r->s, r);
	sp_source_remove(h->talk_source);
	in_unwatch(h);
	for (int i = 0; i < STREAMS; i++) {
		sp_source_remove(h->s[i].source);
		sp_closep(&h->s[i].fd);
		sp_buf_release(&h->s[i].wait);
	}
	sp_closep(&h->talk);
	sp_buf_release(&h->in);
	sp_buf_release(&h->words);
	if (h->running)
		r->s->n_shells--;
	free(h);
	shell_next(r->s);
}
