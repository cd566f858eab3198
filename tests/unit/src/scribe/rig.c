/* tests/unit/src/scribe/rig.c - see rig.h. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "ipc/recdata.h"
#include "sallyport.pb-c.h"
#include "scribe/recreader.h"
#include "wire/asciicast.h"

#define ok(e) assert_int_equal((e), SP_OK)

int
rig_wait(struct rig *r, const int *flag, int at_least)
{
	uint64_t until = sp_now_us() + RIG_WAIT_MS * SP_US_PER_MS;

	while (*flag < at_least && sp_now_us() < until)
		ok(sp_loop_once(r->loop, 50));
	return *flag >= at_least;
}

static void
on_monitor(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	struct rig *r = arg;

	(void)c;
	if (m->id == SP_MSG_READY) {
		r->ready = 1;
	} else if (m->id == SP_MSG_SCRIBE_BORN) {
		assert_non_null(r->last_born);
		r->last_born->pid = (pid_t)((Sallyport__Born *)m->body)->pid;
	} else if (m->id == SP_MSG_DIED) {
		r->died_pid = (pid_t)((Sallyport__Died *)m->body)->pid;
		r->died_status = ((Sallyport__Died *)m->body)->wait_status;
		r->died++;
	}
}

static void
on_monitor_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	(void)c;
	(void)arg;
	if (why != SP_ECLOSED)
		fail_msg("the scribe parent sent a bad %s: %s", what, sp_err_text(why));
}

static void
rig_boot(struct rig *r, const char *config)
{
	Sallyport__Boot boot = SALLYPORT__BOOT__INIT;
	char rec[300], spool[300], text[1024], run[300];
	char n1[] = "recordings", n2[] = "spool";
	char *names[] = { n1, n2 };
	uint8_t boot_id[16] = { 1 };
	int fds[2];

	rig_path(r, "recordings", rec, sizeof(rec));
	rig_path(r, "spool", spool, sizeof(spool));
	(void)mkdir(rec, 0700);
	(void)mkdir(spool, 0700);
	fds[0] = open(rec, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fds[1] = open(spool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fds[0] >= 0 && fds[1] >= 0);
	(void)sp_strlcpy(run, r->dir, sizeof(run));
	(void)sp_strlcpy(text, config, sizeof(text));
	boot.protocol = SP_IPC_PROTOCOL;
	boot.boot_id = (ProtobufCBinaryData){ sizeof(boot_id), boot_id };
	boot.config = text;
	boot.fd_names = names;
	boot.n_fd_names = 2;
	boot.run_dir = run;
	boot.state_dir = run;
	ok(sp_chan_send(r->monitor, SP_MSG_BOOT, 0, &boot, fds, 2));
	assert_true(rig_wait(r, &r->ready, 1));
}

void
rig_start(struct rig *r, const char *config, const char *dir)
{
	const char *exe = getenv("SALLYPORT_SCRIBE");
	int sv[2];

	*r = (struct rig){ 0 };
	assert_non_null(exe);
	ok(sp_age_identity_new(&r->auditor, &r->to));
	ok(sp_loop_new(&r->loop));
	if (*dir != '\0') {
		(void)sp_strlcpy(r->dir, dir, sizeof(r->dir));
	} else {
		(void)sp_strlcpy(r->dir, "/tmp/sp-scribe-XXXXXX", sizeof(r->dir));
		assert_non_null(mkdtemp(r->dir));
		assert_int_equal(chmod(r->dir, 0755), 0);
	}
	ok(sp_chan_pair(sv));
	assert_true((r->pid = fork()) >= 0);
	if (r->pid == 0) {
		if (sv[1] == 3)
			(void)fcntl(3, F_SETFD, 0);
		else
			(void)dup2(sv[1], 3);
		execl(exe, exe, (char *)NULL);
		_exit(127);
	}
	close(sv[1]);
	ok(sp_chan_new(sv[0], SP_PROC_MONITOR, SP_PROC_SCRIBE, on_monitor, on_monitor_close, r, &r->monitor));
	ok(sp_chan_watch(r->monitor, r->loop));
	rig_boot(r, config);
}

static int
rig_remove(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st;
	(void)flag;
	(void)f;
	return remove(path);
}

void
rig_kill(struct rig *r)
{
	sp_secret_release(&r->auditor);
	sp_chan_free(r->monitor);
	(void)kill(r->pid, SIGKILL);
	(void)waitpid(r->pid, NULL, 0);
	sp_loop_free(r->loop);
}

void
rig_stop(struct rig *r)
{
	sp_chan_free(r->monitor);	/* the parent ends by itself */
	sp_secret_release(&r->auditor);
	assert_int_equal(waitpid(r->pid, NULL, 0), r->pid);
	sp_loop_free(r->loop);
	(void)nftw(r->dir, rig_remove, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

int
rig_path(struct rig *r, const char *below, char *dst, size_t n)
{
	return sp_snprintf(dst, n, "%s/%s", r->dir, below);
}

static void
on_control(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct rig_control *c = arg;
	const Sallyport__Event *e = (const Sallyport__Event *)m->body;
	Sallyport__EventAck a = SALLYPORT__EVENT_ACK__INIT;
	struct rig_event *ev;

	assert_int_equal(m->id, SP_MSG_EVENT);
	assert_true(c->n < RIG_EVENTS);
	ev = &c->ev[c->n];
	assert_int_equal(e->session_id.len, SP_UUID_LEN);
	memcpy(ev->session.b, e->session_id.data, SP_UUID_LEN);
	ev->seq = e->seq;
	(void)sp_strlcpy(ev->kind, e->kind, sizeof(ev->kind));
	(void)sp_snprintf(ev->body, sizeof(ev->body), "%.*s", (int)e->body.len, (const char *)e->body.data);
	c->n++;
	if (c->ack) {
		a.session_id = e->session_id;
		a.seq = e->seq;
		ok(sp_chan_send(chan, SP_MSG_EVENT_ACK, 0, &a, NULL, 0));
	}
}

static void
on_control_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	(void)chan;
	(void)what;
	assert_int_equal(why, SP_ECLOSED);
	((struct rig_control *)arg)->closed = 1;
}

struct rig_control *
rig_control_new(struct rig *r, int ack, int *ret_peer)
{
	struct rig_control *c = calloc(1, sizeof(*c));
	int sv[2];

	assert_non_null(c);
	c->ack = ack;
	ok(sp_chan_pair(sv));
	ok(sp_chan_new(sv[0], SP_PROC_CONTROL, SP_PROC_SCRIBE, on_control, on_control_close, c, &c->chan));
	ok(sp_chan_watch(c->chan, r->loop));
	*ret_peer = sv[1];
	return c;
}

void
rig_control_free(struct rig_control *c)
{
	if (c == NULL)
		return;
	sp_chan_free(c->chan);
	free(c);
}

struct rig_control *
rig_give_control(struct rig *r, struct sp_chan *to, int ack)
{
	Sallyport__Peer p = SALLYPORT__PEER__INIT;
	int fd;
	struct rig_control *c = rig_control_new(r, ack, &fd);

	p.kind = SP_PROC_CONTROL;
	ok(sp_chan_send(to, SP_MSG_PEER, 0, &p, &fd, 1));
	return c;
}

static void
on_session(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	struct rig_session *s = arg;

	(void)c;
	if (m->id == SP_MSG_REC_OPENED) {
		const Sallyport__RecOpened *o = (const Sallyport__RecOpened *)m->body;

		s->opened = 1;
		s->opened_err = (int)o->err;
		(void)sp_strlcpy(s->path, o->path, sizeof(s->path));
		(void)sp_strlcpy(s->text, o->text, sizeof(s->text));
	} else if (m->id == SP_MSG_REC_RING) {
		s->ring_fd = sp_steal_fd(&m->fds[0]);
		s->ringed = 1;
	} else if (m->id == SP_MSG_REC_ROOM) {
		s->rooms++;
	} else if (m->id == SP_MSG_REC_STATE) {
		s->state_err = (int)((const Sallyport__RecState *)m->body)->err;
	}
}

static void
on_session_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	(void)c;
	(void)what;
	assert_int_equal(why, SP_ECLOSED);
	((struct rig_session *)arg)->session_closed = 1;
}

static void
on_own_monitor(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	(void)c;
	(void)m;
	(void)arg;
}

static void
on_own_monitor_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	(void)c;
	(void)why;
	(void)what;
	((struct rig_session *)arg)->monitor_closed = 1;
}

struct rig_session *
rig_session_new(struct rig *r, int ack)
{
	struct rig_session *s = calloc(1, sizeof(*s));
	Sallyport__ScribeNew n = SALLYPORT__SCRIBE_NEW__INIT;
	uint8_t conn[16] = { 9 };
	int sess[2], mon[2], fds[3];

	assert_non_null(s);
	s->rig = r;
	s->ring_fd = -1;
	r->last_born = s;
	sp_uuid_make(&s->id);
	ok(sp_chan_pair(sess));
	ok(sp_chan_pair(mon));
	ok(sp_chan_new(sess[0], SP_PROC_SESSION, SP_PROC_SCRIBE, on_session, on_session_close, s, &s->session));
	ok(sp_chan_watch(s->session, r->loop));
	ok(sp_chan_new(mon[0], SP_PROC_MONITOR, SP_PROC_SCRIBE, on_own_monitor, on_own_monitor_close, s, &s->monitor));
	ok(sp_chan_watch(s->monitor, r->loop));
	fds[0] = sess[1];
	s->control = rig_control_new(r, ack, &fds[1]);
	fds[2] = mon[1];
	n.conn_id = (ProtobufCBinaryData){ sizeof(conn), conn };
	n.session_id = (ProtobufCBinaryData){ SP_UUID_LEN, s->id.b };
	n.recipients = (ProtobufCBinaryData){ r->nobody ? 0 : sizeof(r->to.pk), r->to.pk };
	ok(sp_chan_send(r->monitor, SP_MSG_SCRIBE_NEW, 0, &n, fds, 3));
	assert_true(rig_wait(r, (const int *)&s->pid, 1));
	return s;
}

void
rig_session_free(struct rig_session *s)
{
	sp_chan_free(s->session);
	sp_chan_free(s->monitor);
	rig_control_free(s->control);
	sp_closep(&s->ring_fd);
	free(s);
}

void
rig_open(struct rig_session *s, const char *mode, uint64_t max)
{
	Sallyport__RecOpen o = SALLYPORT__REC_OPEN__INIT;
	char header[] = "{\"user\":\"alice\",\"asset\":\"web1\"}", m[32];

	(void)sp_strlcpy(m, mode, sizeof(m));
	o.session_id = (ProtobufCBinaryData){ SP_UUID_LEN, s->id.b };
	o.header = (ProtobufCBinaryData){ sizeof(header) - 1, (uint8_t *)header };
	o.record_mode = m;
	o.record_max_bytes = max;
	o.ring = s->rings;
	ok(sp_chan_send(s->session, SP_MSG_REC_OPEN, 0, &o, NULL, 0));
}

void
rig_channel(struct rig_session *s, uint32_t channel, const char *type, int pty, const char *detail)
{
	Sallyport__RecChannel c = SALLYPORT__REC_CHANNEL__INIT;
	char t[32], *d = strdup(detail), term[] = "xterm";

	(void)sp_strlcpy(t, type, sizeof(t));
	c.channel = channel;
	c.type = t;
	c.detail = d;
	c.pty = pty;
	c.cols = 80;
	c.rows = 24;
	c.term = term;
	ok(sp_chan_send(s->session, SP_MSG_REC_CHANNEL, 0, &c, NULL, 0));
	free(d);
}

void
rig_data(struct rig_session *s, uint32_t channel, int stream, const void *p, size_t n)
{
	rig_data_at(s, channel, stream, p, n, sp_now_us());
}

void
rig_data_at(struct rig_session *s, uint32_t channel, int stream, const void *p, size_t n, uint64_t at_us)
{
	struct sp_recdata d = { .channel = channel, .stream = (uint8_t)stream, .at_us = at_us };
	uint64_t until = sp_now_us() + RIG_WAIT_MS * SP_US_PER_MS;
	enum sp_err r;

	while ((r = sp_chan_send_raw(s->session, SP_MSG_REC_DATA, &d, sizeof(d), p, n)) == SP_EAGAIN) {
		struct pollfd pf = { .fd = sp_chan_fd(s->session), .events = POLLOUT };

		assert_true(sp_now_us() < until);
		(void)poll(&pf, 1, 20);
		ok(sp_loop_once(s->rig->loop, 0));
	}
	ok(r);
}

void
rig_end(struct rig_session *s, const char *reason, const char *by)
{
	Sallyport__RecEnd e = SALLYPORT__REC_END__INIT;
	char r[128], b[128];

	(void)sp_strlcpy(r, reason, sizeof(r));
	(void)sp_strlcpy(b, by, sizeof(b));
	e.reason = r;
	e.by = b;
	ok(sp_chan_send(s->session, SP_MSG_REC_END, 0, &e, NULL, 0));
}

const struct rig_event *
rig_find(const struct rig_control *c, const char *kind)
{
	for (int i = 0; i < c->n; i++)
		if (strcmp(c->ev[i].kind, kind) == 0)
			return &c->ev[i];
	return NULL;
}

/* ---- reading back ---- */

static int
rig_file(struct rig *r, const char *path, const char *end)
{
	char below[300], full[600];

	(void)sp_snprintf(below, sizeof(below), "recordings/%.*s%s", (int)strlen(path) - 3, path, end);
	rig_path(r, below, full, sizeof(full));
	return open(full, O_RDONLY | O_CLOEXEC);
}

/* "7 o text" of another channel's, or the text of the terminal on the air: the only one that these tests open. */
static void
rig_line(struct rig_recording *v, char code, struct sp_view text, uint32_t channel, int stream, int *mended)
{
	char head[32];
	int n, base64 = code == 'y' || code == 'b';

	(void)sp_snprintf(head, sizeof(head), "%u %c ", channel, "ioe"[stream]);
	n = (int)strlen(head);
	if (code == 'x' || code == 'y' || code == 'b') {
		if (code == 'b')
			*mended = 1;
		if (text.len < (size_t)n || memcmp(text.p, head, (size_t)n) != 0)
			return;
		if (base64)
			ok(sp_base64_parse(&v->stream, (const char *)text.p + n, text.len - (size_t)n));
		else
			ok(sp_buf_append(&v->stream, text.p + n, text.len - (size_t)n));
	} else if (code == 'o' || code == 'i') {
		if (!*mended && "io"[stream == 1] == code)
			ok(sp_buf_append(&v->stream, text.p, text.len));
		*mended = 0;
	}
}

void
rig_read(struct rig *r, const char *path, uint32_t channel, int stream, struct rig_recording *v)
{
	int fd = rig_file(r, path, "age"), tail[2] = { rig_file(r, path, "tail0"), rig_file(r, path, "tail1") }, mended = 0;
	struct sp_recreader *rr;
	struct sp_buf text;
	struct sp_view line;

	*v = (struct rig_recording){ .err = SP_OK };
	sp_buf_init(&v->stream, 64u << 20);
	sp_buf_init(&v->lines, 256u << 20);
	sp_buf_init(&text, SP_REC_LINE_MAX);
	assert_true(fd >= 0);
	ok(sp_recreader_new(fd, tail, &r->auditor, &rr));
	v->torn = sp_recreader_is_torn(rr);
	while ((v->err = sp_recreader_next(rr, &line)) == SP_OK) {
		uint64_t at_us;
		char code;

		assert_false(v->ended);
		ok(sp_buf_append(&v->lines, line.p, line.len));
		ok(sp_buf_put_u8(&v->lines, '\n'));
		if (line.p[0] == '{')
			continue;
		sp_buf_reset(&text);
		ok(sp_cast_read(line, &at_us, &code, &text));
		rig_line(v, code, (struct sp_view){ text.p, text.len }, channel, stream, &mended);
		v->ended = code == 'e' && strstr((const char *)text.p, "\"kind\":\"end\"") != NULL;
	}
	sp_recreader_free(rr);
	sp_buf_release(&text);
	close(fd);
	sp_closep(&tail[0]);
	sp_closep(&tail[1]);
}

void
rig_recording_release(struct rig_recording *v)
{
	sp_buf_release(&v->stream);
	sp_buf_release(&v->lines);
}
