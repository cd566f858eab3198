/* The real recorder, with monitor, session and control played by the test. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "ipc/recdata.h"
#include "sallyport.pb-c.h"
#include "scribe/watch.h"

#define ok(e) assert_int_equal((e), SP_OK)

static const char conf[] = "reserve_mb 1\n";

static int
setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	rig_start(r, conf, "");
	*state = r;
	return 0;
}

static int
teardown(void **state)
{
	rig_stop(*state);
	free(*state);
	return 0;
}

static struct rig_session *
opened(struct rig *r, const char *mode, uint64_t max)
{
	struct rig_session *s = rig_session_new(r, 1);

	rig_open(s, mode, max);
	assert_true(rig_wait(r, &s->opened, 1));
	assert_int_equal(s->opened_err, SP_OK);
	return s;
}

static void
finish(struct rig_session *s)
{
	int before = s->rig->died;

	rig_end(s, "logout", "");
	assert_true(rig_wait(s->rig, &s->rig->died, before + 1));
	rig_session_free(s);
}

static int
spool_files(struct rig *r)
{
	char path[300];
	struct dirent *e;
	int n = 0;
	DIR *d;

	rig_path(r, "spool", path, sizeof(path));
	assert_non_null(d = opendir(path));
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void
assert_continuous(const struct rig_control *c, uint64_t first)
{
	for (int i = 0; i < c->n; i++)
		assert_int_equal(c->ev[i].seq, first + (uint64_t)i);
}

static void
opens_only_after_start_is_acknowledged(void **state)
{
	struct rig *r = *state;
	struct rig_session *s = rig_session_new(r, 0);
	Sallyport__EventAck a = SALLYPORT__EVENT_ACK__INIT;
	struct rig_recording v;
	const char *p;
	char path[128];

	rig_open(s, "strict", 0);
	assert_true(rig_wait(r, &s->control->n, 1));
	assert_string_equal(s->control->ev[0].kind, "start");
	assert_int_equal(s->control->ev[0].seq, 1);
	assert_non_null(strstr(s->control->ev[0].body, "\"header\":{\"user\":\"alice\",\"asset\":\"web1\"}"));
	/* The header can be read back before anybody was told to go on. */
	assert_non_null(p = strstr(s->control->ev[0].body, "\"recording\":\""));
	(void)sp_snprintf(path, sizeof(path), "%.*s", (int)strcspn(p + 13, "\""), p + 13);
	rig_read(r, path, 0, SP_REC_OUT, &v);
	assert_true(v.torn);	/* not whole, but there */
	assert_non_null(strstr(sp_buf_cstr(&v.lines), "\"title\": \"alice on ?@web1\", \"sallyport\": {"));
	assert_non_null(strstr(sp_buf_cstr(&v.lines), s->control->ev[0].body));
	rig_recording_release(&v);
	for (int i = 0; i < 5; i++)
		ok(sp_loop_once(r->loop, 20));
	assert_false(s->opened);
	a.session_id = (ProtobufCBinaryData){ SP_UUID_LEN, s->id.b };
	a.seq = 1;
	ok(sp_chan_send(s->control->chan, SP_MSG_EVENT_ACK, 0, &a, NULL, 0));
	s->control->ack = 1;
	assert_true(rig_wait(r, &s->opened, 1));
	assert_int_equal(s->opened_err, SP_OK);
	assert_string_equal(s->path, path);
	finish(s);
	assert_int_equal(spool_files(r), 0);
}

static void
records_every_byte_of_every_stream(void **state)
{
	struct rig *r = *state;
	struct rig_session *s = opened(r, "strict", 0);
	size_t chunk = 50000, chunks = 200;
	uint8_t *p = malloc(chunk);
	struct sp_buf want_in, want_out;
	struct rig_recording v;
	char path[256];

	sp_buf_init(&want_out, chunk * chunks);
	sp_buf_init(&want_in, chunks);
	rig_channel(s, 1, "exec", 0, "cat");
	for (size_t i = 0; i < chunks; i++) {
		for (size_t k = 0; k < chunk; k++)
			p[k] = i % 2 ? (uint8_t)(i * 31 + k * 7 + k / 256) : (uint8_t)("\xe4\xb8\xad x\x1b\"\\\n"[k % 9]);
		rig_data(s, 1, SP_REC_OUT, p, chunk);
		rig_data(s, 1, SP_REC_IN, &p[i % 100], 1);
		ok(sp_buf_append(&want_out, p, chunk));
		ok(sp_buf_append(&want_in, &p[i % 100], 1));
	}
	(void)sp_strlcpy(path, s->path, sizeof(path));
	finish(s);
	rig_read(r, path, 1, SP_REC_OUT, &v);
	assert_int_equal(v.err, SP_ENOENT);
	assert_true(v.ended);
	assert_false(v.torn);
	assert_int_equal(v.stream.len, want_out.len);
	assert_memory_equal(v.stream.p, want_out.p, want_out.len);
	rig_recording_release(&v);
	rig_read(r, path, 1, SP_REC_IN, &v);
	assert_int_equal(v.stream.len, want_in.len);
	assert_memory_equal(v.stream.p, want_in.p, want_in.len);
	rig_recording_release(&v);
	free(p);
	sp_buf_release(&want_in);
	sp_buf_release(&want_out);
}

static void
counts_what_is_beyond_the_limit_of_a_channel_without_a_terminal(void **state)
{
	struct rig *r = *state;
	struct rig_session *s = opened(r, "strict", 1000);
	struct rig_control *c = s->control;
	struct rig_recording v;
	uint8_t p[700];
	char path[256];

	memset(p, 'x', sizeof(p));
	rig_channel(s, 7, "exec", 0, "cat");
	for (int i = 0; i < 3; i++)
		rig_data_at(s, 7, SP_REC_OUT, p, sizeof(p), 1);	/* all at once, however long this test takes */
	(void)sp_strlcpy(path, s->path, sizeof(path));
	rig_end(s, "logout", "");
	assert_true(rig_wait(r, &r->died, 1));
	assert_non_null(rig_find(c, "end"));
	assert_non_null(strstr(rig_find(c, "end")->body, "\"bytes_out\":2100"));
	rig_session_free(s);
	rig_read(r, path, 7, SP_REC_OUT, &v);
	assert_int_equal(v.stream.len, 1000);
	assert_true(v.ended);
	/* sha256sum of 2100 times 'x' */
	assert_non_null(strstr(sp_buf_cstr(&v.lines), "\\\"kind\\\":\\\"counted\\\",\\\"channel\\\":7,\\\"stream\\\":\\\"out\\\",\\\"from_byte\\\":1000,\\\"bytes\\\":1100,"));
	assert_non_null(strstr(sp_buf_cstr(&v.lines), "bc7b5d333dd624b455c0fdec03a645c6d6d1057402e71013a6d3fbdda692ddf5"));
	rig_recording_release(&v);
}

static void
writes_the_end_of_a_session_that_died(void **state)
{
	struct rig *r = *state;
	struct rig_session *s = opened(r, "strict", 0);
	struct rig_recording v;

	rig_channel(s, 1, "shell", 1, "");
	rig_data(s, 1, SP_REC_OUT, "last words", 10);
	sp_chan_free(s->session);
	s->session = NULL;
	assert_true(rig_wait(r, &r->died, 1));
	assert_true(s->monitor_closed);
	assert_non_null(rig_find(s->control, "end"));
	assert_non_null(strstr(rig_find(s->control, "end")->body, "\"reason\":\"session process died\""));
	assert_continuous(s->control, 1);
	rig_read(r, s->path, 1, SP_REC_OUT, &v);
	assert_string_equal(sp_buf_cstr(&v.stream), "last words");
	assert_true(v.ended);
	rig_recording_release(&v);
	rig_session_free(s);
	assert_int_equal(spool_files(r), 0);
}

static void
loses_and_doubles_no_event_while_control_is_away(void **state)
{
	struct rig *r = *state;
	struct rig_session *s = opened(r, "strict", 0);
	struct rig_control *again;

	assert_int_equal(s->control->n, 1);
	s->control->ack = 0;
	rig_channel(s, 1, "exec", 0, "one");
	assert_true(rig_wait(r, &s->control->n, 2));	/* heard, never acknowledged */
	rig_control_free(s->control);
	s->control = NULL;
	for (uint32_t i = 2; i < 50; i++)
		rig_channel(s, i, "exec", 0, "more");
	again = rig_give_control(r, s->monitor, 1);
	assert_true(rig_wait(r, &again->n, 49));
	assert_int_equal(again->ev[0].seq, 2);
	assert_continuous(again, 2);
	s->control = again;
	rig_end(s, "logout", "alice");
	assert_true(rig_wait(r, &r->died, 1));
	assert_int_equal(again->n, 50);
	assert_string_equal(again->ev[49].kind, "end");
	assert_continuous(again, 2);
	rig_session_free(s);
	assert_int_equal(spool_files(r), 0);
}

static void
delivers_what_a_killed_recorder_left(void **state)
{
	struct rig *r = *state;
	struct rig_session *s = opened(r, "strict", 0);
	struct rig_control *c;

	s->control->ack = 0;
	rig_channel(s, 1, "exec", 0, "never acknowledged");
	assert_true(rig_wait(r, &s->control->n, 2));
	assert_int_equal(kill(s->pid, SIGKILL), 0);
	assert_true(rig_wait(r, &r->died, 1));
	assert_true(WIFSIGNALED(r->died_status));
	assert_true(rig_wait(r, &s->session_closed, 1));
	assert_int_equal(spool_files(r), 1);
	c = rig_give_control(r, r->monitor, 1);
	assert_true(rig_wait(r, &c->n, 3));
	assert_continuous(c, 2);
	assert_string_equal(c->ev[0].kind, "channel");
	assert_string_equal(c->ev[1].kind, "torn");
	assert_non_null(strstr(c->ev[1].body, "\"tail1_sha256\":"));
	assert_string_equal(c->ev[2].kind, "end");
	assert_non_null(strstr(c->ev[2].body, "recorder died"));
	assert_true(sp_uuid_equal(&c->ev[1].session, &s->id));
	for (int i = 0; i < 100 && spool_files(r) > 0; i++)
		ok(sp_loop_once(r->loop, 20));
	assert_int_equal(spool_files(r), 0);
	rig_session_free(s);
	rig_control_free(c);
}

static void
a_new_parent_leaves_the_spool_of_a_living_recorder_alone(void **state)
{
	struct rig *r = *state, second;
	struct rig_session *s = opened(r, "strict", 0);
	struct rig_control *c;

	s->control->ack = 0;
	rig_channel(s, 1, "exec", 0, "waiting");
	assert_true(rig_wait(r, &s->control->n, 2));
	rig_start(&second, conf, r->dir);
	c = rig_give_control(&second, second.monitor, 1);
	for (int i = 0; i < 10; i++)
		ok(sp_loop_once(second.loop, 30));
	assert_int_equal(c->n, 0);
	assert_int_equal(spool_files(r), 1);
	rig_control_free(c);
	rig_kill(&second);
	/* The recorder itself is still served. */
	rig_control_free(s->control);
	s->control = rig_give_control(r, s->monitor, 1);
	assert_true(rig_wait(r, &s->control->n, 1));
	finish(s);
}

static void
ends_a_session_that_sends_data_of_no_channel(void **state)
{
	struct rig *r = *state;
	struct rig_session *s = opened(r, "strict", 0);

	rig_data(s, 99, SP_REC_OUT, "x", 1);
	assert_true(rig_wait(r, &s->session_closed, 1));
	assert_true(rig_wait(r, &r->died, 1));
	assert_non_null(strstr(rig_find(s->control, "end")->body, "broke the recording protocol"));
	rig_session_free(s);
}

static int files_seen;

static int
count_file(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)path;
	(void)st;
	(void)f;
	files_seen += flag == FTW_F;
	return 0;
}

static void
leaves_nothing_of_a_session_that_never_began(void **state)
{
	struct rig *r = *state;
	struct rig_session *s = rig_session_new(r, 1);

	sp_chan_free(s->session);
	s->session = NULL;
	assert_true(rig_wait(r, &r->died, 1));
	assert_int_equal(s->control->n, 0);
	files_seen = 0;
	assert_int_equal(nftw(r->dir, count_file, 16, FTW_PHYS), 0);
	assert_int_equal(files_seen, 0);
	rig_session_free(s);
}

static void
refuses_a_recording_below_the_reserve(void **state)
{
	struct rig r;
	struct rig_session *s;

	(void)state;
	rig_start(&r, "reserve_mb 1048576\n", "");
	s = rig_session_new(&r, 1);
	rig_open(s, "strict", 0);
	assert_true(rig_wait(&r, &s->opened, 1));
	assert_int_equal(s->opened_err, SP_ENOSPC);
	assert_non_null(strstr(s->text, "less than 2097152 MiB"));
	assert_true(rig_wait(&r, &r.died, 1));
	assert_int_equal(s->control->n, 0);
	rig_session_free(s);
	rig_stop(&r);
}

static void
a_strict_session_that_goes_on_without_a_recording_is_cut_off(void **state)
{
	struct rig r;
	struct rig_session *s;
	char block[4096];
	uint32_t x = 1;

	(void)state;
	/* A recorder whose files may not grow: the same as a disk that refuses, for anyone's tests. */
	rig_start(&r, conf, "");
	s = opened(&r, "strict", 0);
	rig_channel(s, 1, "shell", 1, "");
	for (size_t i = 0; i < sizeof(block); i++)	/* nothing that compresses */
		block[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
	assert_true(rig_wait(&r, &s->control->n, 2));
	assert_int_equal(prlimit(s->pid, RLIMIT_FSIZE, &(struct rlimit){ 131072, 131072 }, NULL), 0);
	for (int i = 0; i < 2000 && s->state_err == 0; i++) {
		block[0] = (char)i;
		rig_data(s, 1, SP_REC_OUT, block, sizeof(block));
		ok(sp_loop_once(r.loop, 0));
	}
	assert_true(rig_wait(&r, &s->state_err, 1));
	assert_true(rig_wait(&r, &s->session_closed, 1));	/* it was told, and did not end by itself */
	assert_true(rig_wait(&r, &r.died, 1));
	assert_non_null(rig_find(s->control, "end"));
	assert_non_null(strstr(rig_find(s->control, "end")->body, "recording failed"));
	rig_session_free(s);
	rig_stop(&r);
}

static void
stops_reading_the_session_while_the_spool_is_full(void **state)
{
	struct rig *r = *state;
	struct rig_session *s = opened(r, "strict", 0);
	size_t big = 80000, sent = 0, control_seen = 0;
	char *detail = malloc(big + 1);
	struct rig_control *again;

	memset(detail, 'd', big);
	detail[big] = '\0';
	rig_control_free(s->control);
	s->control = NULL;
	/* Each command is an event of about 80 KB; 16 MiB of them fill the spool, then the socket. */
	for (uint32_t i = 1; i < 400; i++, sent++) {
		/* A busy recorder catches up; one that has stopped reading does not. */
		for (uint64_t end = sp_now_us() + 3 * SP_US_PER_S; sp_chan_queued(s->session) >= 1000000 && sp_now_us() < end;)
			ok(sp_loop_once(r->loop, 10));
		if (sp_chan_queued(s->session) >= 1000000)
			break;
		rig_channel(s, i, "exec", 0, detail);
		ok(sp_loop_once(r->loop, 1));
	}
	free(detail);
	assert_true(sent > 150 && sent < 399);
	again = rig_give_control(r, s->monitor, 1);
	while (control_seen < sent) {
		assert_true(rig_wait(r, &again->n, (int)control_seen + 1));
		control_seen = (size_t)again->n;
	}
	assert_int_equal(control_seen, sent);
	assert_continuous(again, 2);
	s->control = again;
	finish(s);
}

static void
a_torn_recording_is_joined_with_its_tail(void **state)
{
	struct rig *r = *state;
	struct rig_session *s = opened(r, "strict", 0);
	struct rig_recording v;
	uint8_t block[1000];
	uint32_t x = 1;
	size_t got = 0;

	rig_channel(s, 1, "exec", 0, "cat");
	for (int i = 0; i < 500; i++) {
		for (size_t k = 0; k < sizeof(block); k++)
			block[k] = (uint8_t)((x = x * 1664525 + 1013904223) >> 24);	/* no compression: chunks and tail are in use */
		rig_data(s, 1, SP_REC_OUT, block, sizeof(block));
	}
	/* What came is on disk within a tick or two; the same is read whenever the recorder dies after that. */
	for (uint64_t end = sp_now_us() + RIG_WAIT_MS * 1000; got < 500000 && sp_now_us() < end;) {
		ok(sp_loop_once(r->loop, 30));
		rig_read(r, s->path, 1, SP_REC_OUT, &v);
		got = v.stream.len;
		rig_recording_release(&v);
	}
	assert_int_equal(kill(s->pid, SIGKILL), 0);
	assert_true(rig_wait(r, &r->died, 1));
	rig_read(r, s->path, 1, SP_REC_OUT, &v);
	assert_true(v.torn);
	assert_false(v.ended);
	assert_int_equal(v.err, SP_ENOENT);
	assert_int_equal(v.stream.len, 500000);
	assert_memory_equal(v.stream.p + 499000, block, sizeof(block));
	rig_recording_release(&v);
	rig_session_free(s);
}

static void
password_input_is_marked_and_not_kept(void **state)
{
	struct rig *r = *state;
	struct rig_session *s = opened(r, "strict", 0);
	struct rig_recording v;
	char path[256];

	rig_channel(s, 1, "shell", 1, "");
	rig_data(s, 1, SP_REC_IN, "su\r", 3);
	rig_data(s, 1, SP_REC_OUT, "su\r\nPassword: ", 14);
	rig_data(s, 1, SP_REC_IN, "hunter2\r", 8);
	rig_data(s, 1, SP_REC_OUT, "\r\nhunter2 is what a later line may say\r\n", 41);
	(void)sp_strlcpy(path, s->path, sizeof(path));
	finish(s);
	rig_read(r, path, 1, SP_REC_IN, &v);
	assert_string_equal(sp_buf_cstr(&v.stream), "su\r\r");
	assert_non_null(strstr(sp_buf_cstr(&v.lines), "\"m\", \"input without echo: 7 bytes not kept\""));
	rig_recording_release(&v);
}

static void
without_an_auditor_there_is_no_recording(void **state)
{
	struct rig *r = *state;
	struct rig_session *s;

	r->nobody = 1;
	s = rig_session_new(r, 1);
	rig_open(s, "strict", 0);
	assert_true(rig_wait(r, &s->opened, 1));
	assert_int_not_equal(s->opened_err, SP_OK);
	assert_non_null(strstr(s->text, "no auditor's key"));
	assert_true(rig_wait(r, &r->died, 1));
	rig_session_free(s);
}

/* A watcher's frames, read until `want` bytes of output or the end. */
struct frames {
	struct sp_buf	out;
	int		ended;
	unsigned	cols, rows;
	char		reason[128];
};

static int
read_all(int fd, void *p, size_t n)
{
	for (size_t got = 0; got < n;) {
		ssize_t k = read(fd, (uint8_t *)p + got, n - got);

		if (k <= 0)
			return -1;
		got += (size_t)k;
	}
	return 0;
}

static void
frames_read(int fd, struct frames *f, size_t want)
{
	static uint8_t buf[4u << 20];
	uint8_t h[12];
	size_t len;

	while (!f->ended && f->out.len < want && read_all(fd, h, sizeof(h)) == 0) {
		len = h[8] | (size_t)h[9] << 8 | (size_t)h[10] << 16 | (size_t)h[11] << 24;
		assert_true(len <= sizeof(buf));
		assert_int_equal(read_all(fd, buf, len), 0);
		f->cols = h[2] | (unsigned)h[3] << 8;
		f->rows = h[4] | (unsigned)h[5] << 8;
		if (h[0] == 1)
			ok(sp_buf_append(&f->out, buf, len));
		f->ended = h[0] == 3;
		if (f->ended)
			(void)sp_snprintf(f->reason, sizeof(f->reason), "%.*s", (int)len, (const char *)buf);
	}
}

static int
watch(struct rig_session *s, uint32_t channel)
{
	Sallyport__Watch w = SALLYPORT__WATCH__INIT;
	struct timeval tv = { .tv_sec = 5 };
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
	w.session_id = (ProtobufCBinaryData){ SP_UUID_LEN, s->id.b };
	w.channel = channel;
	ok(sp_chan_send(s->control->chan, SP_MSG_WATCH, 0, &w, &sv[1], 1));
	return sv[0];
}

/* Frames until what was sent shows this text. */
static void
frames_until(int fd, struct frames *f, const char *text)
{
	while (!f->ended && (f->out.len == 0 || memmem(f->out.p, f->out.len, text, strlen(text)) == NULL)) {
		size_t had = f->out.len;

		frames_read(fd, f, had + 1);
		assert_true(f->ended || f->out.len > had);
	}
}

static void
a_watcher_sees_the_screen_and_then_what_comes(void **state)
{
	struct rig *r = *state;
	struct rig_session *s = opened(r, "strict", 0);
	Sallyport__RecResize rs = SALLYPORT__REC_RESIZE__INIT;
	struct frames f = { 0 };
	int fd;

	sp_buf_init(&f.out, 1 << 20);
	rig_channel(s, 1, "shell", 1, "");
	rig_channel(s, 2, "exec", 0, "noise");
	rig_data(s, 1, SP_REC_OUT, "gone\033[2J\033[Hpast ", 16);
	rig_data(s, 2, SP_REC_OUT, "not for the terminal", 20);
	rig_data(s, 1, SP_REC_IN, "typed", 5);
	for (int i = 0; i < 5; i++)
		ok(sp_loop_once(r->loop, 20));
	fd = watch(s, 0);
	frames_until(fd, &f, "past");
	assert_null(memmem(f.out.p, f.out.len, "gone", 4));
	assert_int_equal(f.cols, 80);
	rs.channel = 1;
	rs.cols = 132;
	rs.rows = 50;
	ok(sp_chan_send(s->session, SP_MSG_REC_RESIZE, 0, &rs, NULL, 0));
	rig_data(s, 1, SP_REC_OUT, "present", 7);
	frames_until(fd, &f, "present");
	assert_int_equal(f.cols, 132);
	assert_int_equal(f.rows, 50);
	assert_null(memmem(f.out.p, f.out.len, "terminal", 8));
	rig_end(s, "logout", "");
	frames_read(fd, &f, SIZE_MAX);
	assert_true(f.ended);
	assert_string_equal(f.reason, "logout");
	close(fd);
	sp_buf_release(&f.out);
	assert_true(rig_wait(r, &r->died, 1));
	rig_session_free(s);
}

static void
a_watcher_waits_for_the_first_terminal_or_names_one(void **state)
{
	struct rig *r = *state;
	struct rig_session *s = opened(r, "strict", 0);
	struct frames first = { 0 }, named = { 0 }, none = { 0 };
	int early = watch(s, 0), late, wrong;

	sp_buf_init(&first.out, 1 << 20);
	sp_buf_init(&named.out, 1 << 20);
	sp_buf_init(&none.out, 1000);
	rig_channel(s, 1, "shell", 1, "");
	rig_data(s, 1, SP_REC_OUT, "one", 3);
	frames_until(early, &first, "one");
	rig_channel(s, 2, "shell", 1, "");
	rig_data(s, 2, SP_REC_OUT, "two", 3);
	for (int i = 0; i < 5; i++)
		ok(sp_loop_once(r->loop, 30));
	late = watch(s, 1);
	frames_until(late, &named, "one");
	assert_null(memmem(named.out.p, named.out.len, "two", 3));
	wrong = watch(s, 77);
	frames_read(wrong, &none, 1);
	assert_int_equal(none.out.len, 0);
	close(wrong);
	close(late);
	close(early);
	sp_buf_release(&first.out);
	sp_buf_release(&named.out);
	sp_buf_release(&none.out);
	finish(s);
}

static void
a_watcher_that_does_not_read_slows_nobody_and_sees_the_last_screen(void **state)
{
	struct rig *r = *state;
	struct rig_session *s = opened(r, "strict", 0);
	struct frames f = { 0 };
	char block[32768];
	int fd;

	memset(block, 'y', sizeof(block));
	rig_channel(s, 1, "shell", 1, "");
	rig_data(s, 1, SP_REC_OUT, "start", 5);
	fd = watch(s, 0);
	for (size_t i = 0; i < (8u << 20) / sizeof(block); i++)
		rig_data(s, 1, SP_REC_OUT, block, sizeof(block));
	rig_data(s, 1, SP_REC_OUT, "\033[2J\033[Hthe end of it", 17 + 3);
	sp_buf_init(&f.out, 64u << 20);
	frames_until(fd, &f, "the end of it");
	assert_true(f.out.len < 4u << 20);
	rig_end(s, "logout", "");
	frames_read(fd, &f, SIZE_MAX);
	assert_true(f.ended);
	assert_string_equal(f.reason, "logout");
	close(fd);
	sp_buf_release(&f.out);
	assert_true(rig_wait(r, &r->died, 1));
	rig_session_free(s);
}

/* A small file system of our own; needs to be root. */
static int
tmpfs_enter(char *dir, size_t n, const char *size)
{
	(void)sp_strlcpy(dir, "/tmp/sp-scribe-fs-XXXXXX", n);
	if (mkdtemp(dir) == NULL || geteuid() != 0 || unshare(CLONE_NEWNS) == -1 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1 || mount("tmpfs", dir, "tmpfs", 0, size) == -1) {
		(void)rmdir(dir);
		return -1;
	}
	(void)chmod(dir, 0755);
	return 0;
}

static void
full_disk(struct rig_session *s, const char *dir)
{
	struct rig *r = s->rig;
	char fill[300], block[32768];
	struct rig_recording v;
	int fd;

	memset(block, 'z', sizeof(block));
	rig_channel(s, 1, "shell", 1, "");
	rig_data(s, 1, SP_REC_OUT, "before", 6);
	(void)sp_snprintf(fill, sizeof(fill), "%s/fill", dir);
	fd = open(fill, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fd, block, sizeof(block)) > 0)
		;
	while (write(fd, block, 512) > 0)
		;
	for (int i = 0; i < 200 && s->state_err == 0; i++) {
		rig_data(s, 1, SP_REC_OUT, block, 4096);
		ok(sp_loop_once(r->loop, 1));
	}
	assert_true(rig_wait(r, &s->state_err, 1));
	assert_int_equal(s->state_err, SP_ENOSPC);
	rig_end(s, "recording failed", "");
	assert_true(rig_wait(r, &r->died, 1));
	assert_non_null(rig_find(s->control, "error"));
	assert_non_null(rig_find(s->control, "end"));
	assert_non_null(strstr(rig_find(s->control, "end")->body, "bytes_not_recorded"));
	close(fd);
	rig_read(r, s->path, 1, SP_REC_OUT, &v);
	assert_true(v.ended);
	assert_memory_equal(v.stream.p, "before", 6);
	rig_recording_release(&v);
}

/* Best effort: the session goes on without a recording, which goes on when there is space again. */
static void
best_effort_goes_on_and_says_what_is_missing(void **state)
{
	struct rig r;
	struct rig_session *s;
	char dir[128], fill[300], block[32768];
	struct rig_recording v;
	int fd;

	(void)state;
	if (tmpfs_enter(dir, sizeof(dir), "size=6m") != 0)
		skip();
	rig_start(&r, "reserve_mb 1\n", dir);
	s = opened(&r, "best-effort", 0);
	memset(block, 'z', sizeof(block));
	rig_channel(s, 1, "shell", 1, "");
	(void)sp_snprintf(fill, sizeof(fill), "%s/fill", dir);
	fd = open(fill, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fd, block, sizeof(block)) > 0)
		;
	close(fd);
	for (int i = 0; i < 200 && s->state_err == 0; i++) {
		rig_data(s, 1, SP_REC_OUT, block, 4096);
		ok(sp_loop_once(r.loop, 1));
	}
	assert_true(rig_wait(&r, &s->state_err, 1));
	assert_int_equal(s->state_err, SP_ENOSPC);
	assert_int_equal(unlink(fill), 0);
	while (rig_find(s->control, "resumed") == NULL)	/* the event of the error may still be on its way */
		assert_true(rig_wait(&r, &s->control->n, s->control->n + 1));
	assert_false(s->session_closed);
	rig_data(s, 1, SP_REC_OUT, "after", 5);
	rig_end(s, "logout", "");
	assert_true(rig_wait(&r, &r.died, 1));
	assert_non_null(strstr(rig_find(s->control, "end")->body, "bytes_not_recorded"));
	rig_read(&r, s->path, 1, SP_REC_OUT, &v);
	assert_true(v.ended);
	assert_memory_equal(v.stream.p + v.stream.len - 5, "after", 5);
	assert_non_null(strstr(sp_buf_cstr(&v.lines), "\\\"kind\\\":\\\"gap\\\""));
	rig_recording_release(&v);
	rig_session_free(s);
	rig_stop(&r);
	(void)umount2(dir, MNT_DETACH);
	(void)rmdir(dir);
}

static void
the_end_fits_on_a_full_disk(void **state)
{
	struct rig r;
	struct rig_session *s;
	char dir[128];

	(void)state;
	if (tmpfs_enter(dir, sizeof(dir), "size=6m") != 0)
		skip();
	rig_start(&r, "reserve_mb 1\n", dir);
	s = opened(&r, "strict", 0);
	full_disk(s, dir);
	rig_session_free(s);
	rig_stop(&r);
	(void)umount2(dir, MNT_DETACH);
	(void)rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(opens_only_after_start_is_acknowledged),
		T(records_every_byte_of_every_stream),
		T(counts_what_is_beyond_the_limit_of_a_channel_without_a_terminal),
		T(writes_the_end_of_a_session_that_died),
		T(loses_and_doubles_no_event_while_control_is_away),
		T(delivers_what_a_killed_recorder_left),
		T(a_new_parent_leaves_the_spool_of_a_living_recorder_alone),
		T(ends_a_session_that_sends_data_of_no_channel),
		T(leaves_nothing_of_a_session_that_never_began),
		T(stops_reading_the_session_while_the_spool_is_full),
		T(a_torn_recording_is_joined_with_its_tail),
		T(password_input_is_marked_and_not_kept),
		T(without_an_auditor_there_is_no_recording),
		T(a_watcher_sees_the_screen_and_then_what_comes),
		T(a_watcher_waits_for_the_first_terminal_or_names_one),
		T(a_watcher_that_does_not_read_slows_nobody_and_sees_the_last_screen),
#undef T
		cmocka_unit_test(refuses_a_recording_below_the_reserve),
		cmocka_unit_test(a_strict_session_that_goes_on_without_a_recording_is_cut_off),
		cmocka_unit_test(the_end_fits_on_a_full_disk),
		cmocka_unit_test(best_effort_goes_on_and_says_what_is_missing),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	ok(sp_crypto_init());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
