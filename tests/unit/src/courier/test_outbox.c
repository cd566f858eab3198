/* The outbox on a real directory, and the real process with monitor and control played by the test. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "courier/outbox.h"
#include "ipc/chan.h"
#include "sallyport.pb-c.h"

#define ok(e) assert_int_equal((e), SP_OK)
#define DAY	(86400 * INT64_C(1000000))
#define NOON	(INT64_C(1788264000) * 1000000)	/* 2026-09-01T12:00:00Z */

static char dir[64];

static int
setup(void **state)
{
	(void)state;
	(void)sp_strlcpy(dir, "/tmp/sp-outbox-XXXXXX", sizeof(dir));
	return mkdtemp(dir) == NULL || chmod(dir, 0755) != 0 ? -1 : 0;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st;
	(void)flag;
	(void)f;
	return remove(path);
}

static int
teardown(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct sp_outbox *
box(void)
{
	struct sp_outbox *o;

	ok(sp_outbox_open(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), &o));
	return o;
}

static const char *
content(const char *name)
{
	static char text[200000];
	char path[128];
	ssize_t n;
	int fd;

	(void)sp_snprintf(path, sizeof(path), "%s/%s", dir, name);
	if ((fd = open(path, O_RDONLY)) == -1)
		return "";
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static int
lines(const char *text)
{
	int n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

static void
keeps_one_line_per_item(void **state)
{
	struct sp_outbox *o = box();
	struct sp_uuid id;
	char want[300], t[SP_UUID_SIZE];

	(void)state;
	sp_uuid_make(&id);
	ok(sp_outbox_append(o, &id, "mail", "a \"b\"\nc", NOON, NOON));
	ok(sp_outbox_sync(o));
	(void)sp_snprintf(want, sizeof(want), "{\"id\":\"%s\",\"created\":\"2026-09-01T12:00:00.000000Z\",\"kind\":\"mail\","
	    "\"payload\":\"a \\\"b\\\"\\u000ac\"}\n", sp_uuid_text(&id, t));
	assert_string_equal(content("2026-09-01.jsonl"), want);
	sp_outbox_free(o);
}

static void
knows_an_item_again_also_after_a_restart(void **state)
{
	struct sp_outbox *o = box();
	struct sp_uuid first, second;

	(void)state;
	sp_uuid_make(&first);
	sp_uuid_make(&second);
	ok(sp_outbox_append(o, &first, "k", "p", NOON, NOON));
	assert_int_equal(sp_outbox_append(o, &first, "k", "p", NOON, NOON), SP_EEXIST);
	ok(sp_outbox_append(o, &second, "k", "p", NOON, NOON + DAY));
	sp_outbox_free(o);
	o = box();
	assert_int_equal(sp_outbox_append(o, &first, "k", "p", NOON, NOON + DAY), SP_EEXIST);
	assert_int_equal(sp_outbox_append(o, &second, "k", "p", NOON, NOON + DAY), SP_EEXIST);
	sp_outbox_free(o);
	assert_int_equal(lines(content("2026-09-01.jsonl")), 1);
	assert_int_equal(lines(content("2026-09-02.jsonl")), 1);
}

static void
removes_a_line_that_a_crash_cut(void **state)
{
	struct sp_outbox *o = box();
	struct sp_uuid whole, cut;
	char path[128], t[SP_UUID_SIZE], torn[100];
	int fd;

	(void)state;
	sp_uuid_make(&whole);
	sp_uuid_make(&cut);
	ok(sp_outbox_append(o, &whole, "k", "p", NOON, NOON));
	sp_outbox_free(o);
	(void)sp_snprintf(path, sizeof(path), "%s/2026-09-01.jsonl", dir);
	(void)sp_snprintf(torn, sizeof(torn), "{\"id\":\"%s\",\"crea", sp_uuid_text(&cut, t));
	fd = open(path, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, torn, strlen(torn)), strlen(torn));
	close(fd);
	o = box();
	assert_int_equal(sp_outbox_append(o, &whole, "k", "p", NOON, NOON), SP_EEXIST);
	ok(sp_outbox_append(o, &cut, "k", "p", NOON, NOON));
	sp_outbox_free(o);
	assert_int_equal(lines(content("2026-09-01.jsonl")), 2);
	assert_null(strstr(content("2026-09-01.jsonl"), "crea{"));
}

static void
forgets_the_oldest_when_it_knows_too_many(void **state)
{
	struct sp_outbox *o = box();
	struct sp_uuid first, id;

	(void)state;
	sp_uuid_make(&first);
	ok(sp_outbox_append(o, &first, "k", "", NOON, NOON));
	for (int i = 0; i < SP_OUTBOX_KNOWN; i++) {
		sp_uuid_make(&id);
		ok(sp_outbox_append(o, &id, "k", "", NOON, NOON));
	}
	assert_int_equal(sp_outbox_append(o, &id, "k", "", NOON, NOON), SP_EEXIST);
	ok(sp_outbox_append(o, &first, "k", "", NOON, NOON));
	sp_outbox_free(o);
}

/* ---- the process ---- */

static int ready, done, done_err;

static void
on_monitor(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	(void)c;
	(void)arg;
	ready += m->id == SP_MSG_READY;
}

static void
on_done(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	(void)c;
	(void)arg;
	done++;
	done_err += (int)((Sallyport__OutboxDone *)m->body)->err;
}

static void
on_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	(void)c;
	(void)what;
	(void)arg;
	assert_int_equal(why, SP_ECLOSED);
}

static void
wait_for(struct sp_loop *l, const int *what, int n)
{
	uint64_t until = sp_now_us() + 10 * SP_US_PER_S;

	while (*what < n && sp_now_us() < until)
		ok(sp_loop_once(l, 50));
	assert_int_equal(*what, n);
}

static pid_t
courier_start(struct sp_loop *l, struct sp_chan **ret)
{
	Sallyport__Boot boot = SALLYPORT__BOOT__INIT;
	char name[] = "outbox", empty[] = "", *names[] = { name };
	uint8_t boot_id[16] = { 1 };
	const char *exe = getenv("SALLYPORT_COURIER");
	int sv[2], fd;
	pid_t pid;

	assert_non_null(exe);
	ok(sp_chan_pair(sv));
	if ((pid = fork()) == 0) {
		if (dup2(sv[1], 3) == 3)
			(void)fcntl(3, F_SETFD, 0);
		execl(exe, exe, (char *)NULL);
		_exit(127);
	}
	close(sv[1]);
	ok(sp_chan_new(sv[0], SP_PROC_MONITOR, SP_PROC_COURIER, on_monitor, on_close, NULL, ret));
	ok(sp_chan_watch(*ret, l));
	boot.protocol = SP_IPC_PROTOCOL;
	boot.boot_id = (ProtobufCBinaryData){ sizeof(boot_id), boot_id };
	boot.config = boot.run_dir = boot.state_dir = empty;
	boot.fd_names = names;
	boot.n_fd_names = 1;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok(sp_chan_send(*ret, SP_MSG_BOOT, 0, &boot, &fd, 1));
	ready = 0;
	wait_for(l, &ready, 1);
	return pid;
}

static void
send_item(struct sp_chan *c, struct sp_uuid *id)
{
	Sallyport__OutboxItem item = SALLYPORT__OUTBOX_ITEM__INIT;
	char kind[] = "webhook", payload[] = "{}";

	item.id = (ProtobufCBinaryData){ SP_UUID_LEN, id->b };
	item.kind = kind;
	item.payload = payload;
	item.created_wall_us = NOON;
	ok(sp_chan_send(c, SP_MSG_OUTBOX_ITEM, 0, &item, NULL, 0));
}

static void
confirms_each_item_and_keeps_it_once_over_a_kill(void **state)
{
	struct sp_uuid ids[300];
	char name[64], t[SP_RFC3339_SIZE];

	(void)state;
	for (int i = 0; i < 300; i++)
		sp_uuid_make(&ids[i]);
	done = done_err = 0;
	for (int round = 0; round < 2; round++) {
		Sallyport__Peer p = SALLYPORT__PEER__INIT;
		struct sp_chan *monitor, *control;
		struct sp_loop *l;
		int sv[2];
		pid_t pid;

		ok(sp_loop_new(&l));
		pid = courier_start(l, &monitor);
		ok(sp_chan_pair(sv));
		p.kind = SP_PROC_CONTROL;
		ok(sp_chan_send(monitor, SP_MSG_PEER, 0, &p, &sv[1], 1));
		ok(sp_chan_new(sv[0], SP_PROC_CONTROL, SP_PROC_COURIER, on_done, on_close, NULL, &control));
		ok(sp_chan_watch(control, l));
		for (int i = 0; i < 300; i++)
			send_item(control, &ids[i]);
		wait_for(l, &done, 300 * (round + 1));
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		sp_chan_free(control);
		sp_chan_free(monitor);
		sp_loop_free(l);
	}
	assert_int_equal(done_err, 0);
	(void)sp_snprintf(name, sizeof(name), "%.10s.jsonl", sp_rfc3339(sp_wall_us(), t, sizeof(t)));
	assert_int_equal(lines(content(name)), 300);
}

static void
removes_old_files_that_are_delivered_and_no_others(void **state)
{
	static const int day[] = { 0, 5, 10, 38, 39, 40 };
	struct sp_outbox *o = box();
	char name[64], t[SP_RFC3339_SIZE];
	struct sp_uuid id;
	size_t n = 9;

	(void)state;
	ok(sp_outbox_prune(o, "9999-99-99.jsonl", NOON, &n));
	assert_int_equal(n, 0);			/* nothing there */
	for (size_t i = 0; i < SP_NELEMS(day); i++) {
		sp_uuid_make(&id);
		ok(sp_outbox_append(o, &id, "alarm.x", "{}", NOON, NOON + day[i] * DAY));
		ok(sp_outbox_sync(o));
	}
	(void)sp_snprintf(name, sizeof(name), "%s/cursor-0123456789abcdef", dir);
	assert_int_equal(close(open(name, O_WRONLY | O_CREAT, 0600)), 0);
	/* Not before its receivers are behind it, ... */
	(void)sp_snprintf(name, sizeof(name), "%.10s.jsonl", sp_rfc3339(NOON + 5 * DAY, t, sizeof(t)));
	ok(sp_outbox_prune(o, name, NOON + 40 * DAY, &n));
	assert_int_equal(n, 1);
	/* ... not before its time, ... */
	ok(sp_outbox_prune(o, "9999-99-99.jsonl", NOON + 36 * DAY, &n));
	assert_int_equal(n, 1);
	ok(sp_outbox_prune(o, "9999-99-99.jsonl", NOON + 40 * DAY, &n));
	assert_int_equal(n, 0);			/* the one of day 10 is 30 days old, no more */
	/* ... and never the last two, whose ids are known again after a restart. */
	ok(sp_outbox_prune(o, "9999-99-99.jsonl", NOON + 4000 * DAY, &n));
	assert_int_equal(n, 2);
	assert_int_equal(lines(content("2026-10-10.jsonl")), 1);
	assert_int_equal(lines(content("2026-10-11.jsonl")), 1);
	(void)sp_snprintf(name, sizeof(name), "%s/cursor-0123456789abcdef", dir);
	assert_int_equal(access(name, F_OK), 0);
	sp_outbox_free(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(keeps_one_line_per_item),
		T(knows_an_item_again_also_after_a_restart),
		T(removes_a_line_that_a_crash_cut),
		T(forgets_the_oldest_when_it_knows_too_many),
		T(removes_old_files_that_are_delivered_and_no_others),
		T(confirms_each_item_and_keeps_it_once_over_a_kill),
#undef T
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
