/* tests/unit/src/vault/test_agent.c - AGENT_OPEN: an ssh-agent with one key for one login; by hand, and with real ssh and sshd. */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "crypto/sign.h"
#include "wire/agent.h"
#include "wire/userauth.h"

static struct rig r;
static struct peer session;
static struct stored key, other;

/* Give the vault one end of a stream, or `fd` when it is not -1; returns ours. */
static int
open_agent(struct peer *p, const struct lease_msg *l, int fd)
{
	Sallyport__AgentOpen m = SALLYPORT__AGENT_OPEN__INIT;
	int sv[2] = { -1, fd };

	if (fd == -1)
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	m.lease = bytes_of(l->id, sizeof(l->id));
	peer_send(p, SP_MSG_AGENT_OPEN, &m, sv[1]);
	return sv[0];
}

static int
open_lease(struct lease_msg *l)
{
	lease_make(&r, &session, &key, l);
	lease_send(&r, l);
	return open_agent(&session, l, -1);
}

/* One message from the stream: its body, or 0 bytes at its end. */
static size_t
read_answer(int fd, uint8_t *buf, size_t size)
{
	struct timeval tv = { .tv_sec = 30 };
	uint8_t head[4];
	size_t n, at = 0;
	ssize_t k;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if ((k = recv(fd, head, 4, MSG_WAITALL)) != 4) {
		assert_true(k == 0 || (k == -1));
		return 0;
	}
	n = (size_t)head[2] << 8 | head[3];
	assert_true(n > 0 && n <= size && head[0] == 0 && head[1] == 0);
	for (; at < n; at += (size_t)k)
		assert_true((k = recv(fd, buf + at, n - at, 0)) > 0);
	return n;
}

static size_t
ask_raw(int fd, const void *p, size_t n, uint8_t *buf, size_t size)
{
	if (send(fd, p, n, MSG_NOSIGNAL) != (ssize_t)n)
		return 0;
	return read_answer(fd, buf, size);
}

static size_t
ask(int fd, const struct sp_agent_request *q, uint8_t *buf, size_t size)
{
	sp_auto(sp_buf_release) struct sp_buf out = { .max = SP_AGENT_MSG_MAX };

	assert_int_equal(sp_agent_encode(q, &out), SP_OK);
	return ask_raw(fd, out.p, out.len, buf, size);
}

static size_t
ask_sign(int fd, const char *user, const struct stored *s, uint8_t *buf, size_t size, struct sp_buf *blob)
{
	static const uint8_t sid[32] = { 5 };
	struct sp_userauth u = { .session_id = { sid, 32 } };
	struct sp_agent_request q = { .kind = SP_AGENT_SIGN };

	sp_buf_reset(blob);
	u.user = (struct sp_view){ (const uint8_t *)user, strlen(user) };
	u.algorithm = (struct sp_view){ (const uint8_t *)"ssh-ed25519", 11 };
	u.key_blob = q.key_blob = (struct sp_view){ s->pub.p, s->pub.len };
	assert_int_equal(sp_userauth_encode(&u, blob), SP_OK);
	q.data = (struct sp_view){ blob->p, blob->len };
	return ask(fd, &q, buf, size);
}

static void
lists_exactly_its_key_and_signs_its_login(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf blob = { .max = SP_USERAUTH_MAX };
	struct sp_agent_request list = { .kind = SP_AGENT_LIST };
	struct sp_view v, got;
	uint8_t buf[4096], type;
	struct lease_msg l;
	uint32_t n;
	int fd = open_lease(&l);

	(void)state;
	v = (struct sp_view){ buf, ask(fd, &list, buf, sizeof(buf)) };
	assert_int_equal(sp_view_u8(&v, &type), SP_OK);
	assert_int_equal(type, 12);
	assert_int_equal(sp_view_u32(&v, &n), SP_OK);
	assert_int_equal(n, 1);
	assert_int_equal(sp_view_string(&v, &got), SP_OK);
	assert_int_equal(got.len, key.pub.len);
	assert_memory_equal(got.p, key.pub.p, got.len);

	v = (struct sp_view){ buf, ask_sign(fd, "deploy", &key, buf, sizeof(buf), &blob) };
	assert_int_equal(sp_view_u8(&v, &type), SP_OK);
	assert_int_equal(type, 14);
	assert_int_equal(sp_view_string(&v, &got), SP_OK);
	assert_int_equal(sp_ssh_verify((struct sp_view){ key.pub.p, key.pub.len }, got,
	    (struct sp_view){ blob.p, blob.len }), SP_OK);
	close(fd);
}

static void
ends_after_two_signatures_refused_ones_counted(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf blob = { .max = SP_USERAUTH_MAX };
	uint8_t buf[4096];
	struct lease_msg l;
	int fd = open_lease(&l);

	(void)state;
	assert_int_equal(ask_sign(fd, "root", &key, buf, sizeof(buf), &blob), 1);
	assert_int_equal(buf[0], 5);
	assert_true(ask_sign(fd, "deploy", &key, buf, sizeof(buf), &blob) > 1);
	assert_int_equal(buf[0], 14);
	assert_int_equal(ask_sign(fd, "deploy", &key, buf, sizeof(buf), &blob), 0);
	close(fd);
}

static void
answers_everything_else_with_failure(void **state)
{
	static const struct { uint8_t n, bytes[16]; } rows[] = {
		{ 5, { 0, 0, 0, 1, 17 } },		/* add identity */
		{ 5, { 0, 0, 0, 1, 19 } },		/* remove all */
		{ 6, { 0, 0, 0, 2, 27, 0 } },		/* extension */
		{ 5, { 0, 0, 0, 1, 13 } },		/* sign, cut short */
		{ 5, { 0, 0, 0, 1, 255 } },
	};
	sp_auto(sp_buf_release) struct sp_buf blob = { .max = SP_USERAUTH_MAX };
	uint8_t buf[4096];
	struct lease_msg l;
	int fd = open_lease(&l);

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		assert_int_equal(ask_raw(fd, rows[i].bytes, rows[i].n, buf, sizeof(buf)), 1);
		assert_int_equal(buf[0], 5);
	}
	assert_int_equal(ask_sign(fd, "deploy", &other, buf, sizeof(buf), &blob), 1);
	assert_int_equal(buf[0], 5);
	assert_true(ask_sign(fd, "deploy", &key, buf, sizeof(buf), &blob) > 1);
	close(fd);
}

static void
closes_on_what_is_no_agent_message(void **state)
{
	static const uint8_t rows[][5] = { { 0xff, 0xff, 0xff, 0xff, 1 }, { 0, 0, 0, 0, 1 }, { 0, 3, 0, 0, 13 } };
	uint8_t buf[64], pad[4096] = { 0 };
	struct lease_msg l;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		int fd = open_lease(&l);

		/* The last one announces 192 KiB: the stream ends long before they are taken. */
		(void)!send(fd, rows[i], 5, MSG_NOSIGNAL);
		for (int k = 0; i == 2 && k < 16; k++)
			(void)!send(fd, pad, sizeof(pad), MSG_NOSIGNAL);
		assert_int_equal(read_answer(fd, buf, sizeof(buf)), 0);
		close(fd);
	}
}

static void
is_open_once_and_ends_with_deadline_drop_and_seal(void **state)
{
	Sallyport__LeaseDrop d = SALLYPORT__LEASE_DROP__INIT;
	struct sp_agent_request list = { .kind = SP_AGENT_LIST };
	uint8_t buf[4096];
	struct lease_msg l;
	char text[200];
	int fd, again;

	(void)state;
	fd = open_lease(&l);
	again = open_agent(&session, &l, -1);
	assert_int_equal(ask(again, &list, buf, sizeof(buf)), 0);
	close(again);
	d.conn_id = l.m.conn_id;
	d.session_id = l.m.session_id;
	peer_send(&r.control, SP_MSG_LEASE_DROP, &d, -1);
	assert_int_equal(read_answer(fd, buf, sizeof(buf)), 0);
	close(fd);

	lease_make(&r, &session, &key, &l);
	l.m.deadline_us = sp_now_us() + 50 * SP_US_PER_MS;
	lease_send(&r, &l);
	fd = open_agent(&session, &l, -1);
	assert_true(ask(fd, &list, buf, sizeof(buf)) > 1);
	while (sp_now_us() <= l.m.deadline_us)
		usleep(1000);
	assert_int_equal(ask(fd, &list, buf, sizeof(buf)), 0);
	close(fd);

	fd = open_lease(&l);
	assert_true(ask(fd, &list, buf, sizeof(buf)) > 1);
	assert_int_equal(vault_simple(&r, SP_MSG_VAULT_SEAL), SP_OK);
	assert_int_equal(read_answer(fd, buf, sizeof(buf)), 0);
	close(fd);
	assert_int_equal(vault_open(&r, "keyfile", r.keyfile, 32, text), SP_OK);
}

static void
takes_stream_sockets_only(void **state)
{
	struct lease_msg l;
	struct peer p;

	(void)state;
	peer_open(&r, &p, SP_PROC_SESSION);
	lease_make(&r, &p, &key, &l);
	lease_send(&r, &l);
	open_agent(&p, &l, open("/dev/null", O_RDONLY | O_CLOEXEC));
	peer_expect_closed(&p);
	peer_close(&p);
}

/* ---- a real login */

static void
put_file(const char *name, const char *text, char path[128])
{
	int fd;

	sp_snprintf(path, 128, "%s/%s", r.dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* sshd without a port, behind ssh's ProxyCommand. Returns its command line. */
static void
make_sshd(char *proxy, size_t size)
{
	sp_auto(sp_buf_release) struct sp_buf line = { .max = 65536 }, out = { .max = 65536 };
	char host[128], keys[128], conf[128], text[1024];
	const char *const gen[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host, NULL };

	sp_snprintf(host, sizeof(host), "%s/host", r.dir);
	assert_int_equal(run(gen, &out), 0);
	assert_int_equal(sp_buf_append_str(&line, "ssh-ed25519 "), SP_OK);
	assert_int_equal(sp_base64(&line, key.pub.p, key.pub.len), SP_OK);
	assert_int_equal(sp_buf_append_str(&line, "\n"), SP_OK);
	put_file("keys", sp_buf_cstr(&line), keys);
	sp_snprintf(text, sizeof(text), "HostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nUsePAM no\n"
	    "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n", host, keys);
	put_file("sshd_config", text, conf);
	sp_snprintf(proxy, size, "ProxyCommand=/usr/sbin/sshd -i -f %s", conf);
}

static pid_t
start_ssh(const char *proxy, const char *agent, const char *user, int out)
{
	char opt_agent[160], dest[80];
	pid_t pid;

	sp_snprintf(opt_agent, sizeof(opt_agent), "IdentityAgent=%s", agent);
	sp_snprintf(dest, sizeof(dest), "%s@target", user);
	if ((pid = fork()) != 0)
		return pid;
	dup2(out, 1);
	dup2(out, 2);
	/* The login request bound to a host key is another method; libssh does not speak it. */
	execlp("ssh", "ssh", "-F", "none", "-o", proxy, "-o", opt_agent, "-o", "BatchMode=yes", "-o", "IdentitiesOnly=no",
	    "-o", "PubkeyAuthentication=unbound", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
	    "IdentityFile=none", dest, "echo", "in-by-$((40+2))", (char *)NULL);
	_exit(127);
}

static void
openssh_logs_in_through_it(void **state)
{
	const struct passwd *pw = getpwuid(geteuid());
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char proxy[256], path[128], out_path[128], said[8192] = "";
	int lis, out, st = -1;
	struct pollfd pfd;
	struct lease_msg l;
	pid_t pid;

	(void)state;
	if (pw == NULL || strstr(pw->pw_shell, "nologin") != NULL || strstr(pw->pw_shell, "/false") != NULL) {
		print_message("skipped: this account has no shell to log in to\n");
		skip();
	}
	if (geteuid() == 0)
		(void)!mkdir("/run/sshd", 0755);	/* sshd insists; its service makes it otherwise */
	make_sshd(proxy, sizeof(proxy));
	put_file("out", "", out_path);
	out = open(out_path, O_RDWR | O_CLOEXEC);
	sp_snprintf(path, sizeof(path), "%s/agent", r.dir);
	(void)sp_strlcpy(sa.sun_path, path, sizeof(sa.sun_path));
	lis = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(lis, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(lis, 4), 0);
	lease_make(&r, &session, &key, &l);
	l.m.login = pw->pw_name;
	lease_send(&r, &l);

	pid = start_ssh(proxy, path, pw->pw_name, out);
	pfd = (struct pollfd){ .fd = lis, .events = POLLIN };
	assert_int_equal(poll(&pfd, 1, 30000), 1);
	open_agent(&session, &l, accept4(lis, NULL, NULL, SOCK_CLOEXEC));	/* ssh now talks to the vault itself */
	close(lis);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	(void)!pread(out, said, sizeof(said) - 1, 0);
	if (strstr(said, "in-by-42") == NULL)
		print_error("ssh said: %s\n", said);
	assert_non_null(strstr(said, "in-by-42"));
	assert_int_equal(st, 0);
	close(out);
}

static int
setup(void **state)
{
	(void)state;
	rig_up(&r);
	peer_open(&r, &session, SP_PROC_SESSION);
	assert_int_equal(secret_put(&r, "ssh-key", NULL, "ed25519", &key), SP_OK);
	assert_int_equal(secret_put(&r, "ssh-key", NULL, "ed25519", &other), SP_OK);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	peer_close(&session);
	stored_release(&key);
	stored_release(&other);
	rig_down(&r);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_exactly_its_key_and_signs_its_login),
		cmocka_unit_test(ends_after_two_signatures_refused_ones_counted),
		cmocka_unit_test(answers_everything_else_with_failure),
		cmocka_unit_test(closes_on_what_is_no_agent_message),
		cmocka_unit_test(is_open_once_and_ends_with_deadline_drop_and_seal),
		cmocka_unit_test(takes_stream_sockets_only),
		cmocka_unit_test(openssh_logs_in_through_it),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
