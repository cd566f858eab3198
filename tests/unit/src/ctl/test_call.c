/* tests/unit/src/ctl/test_call.c - whole commands against a control that answers from a script: parameters, JSON, tables,
 * errors, exit statuses, secrets, the monitor as a fallback, watching. The fake is a process of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/sealkind.h"
#include "crypto/sign.h"
#include "crypto/sealbox.h"
#include "ctl/cmd.h"
#include "base/str.h"
#include "sallyport.pb-c.h"

enum act { ANSWER, HANG_UP, SILENCE, STREAM };
struct answer {
	const char	*method;	/* NULL ends the script */
	enum sp_err	 err;
	const char	*text;
	const char	*body[4];	/* parts; each but the last is sent with `more` */
	enum act	 act;
};
static struct fake {
	char	dir[64], control[96], monitor[96];
	pid_t	pid[4];
	int	n;
	int	asked;			/* read end: "method params\n" for each question */
} fake;

static uint8_t vault_pk[SP_SEALBOX_KEY];
static struct sp_secret vault_sk;
static char vault_status[256];

/* ---- the fake, in its own process */

struct serving {
	const struct answer	*script;
	int			 log;
};

static void
serve_stream(struct sp_chan *c, uint32_t corr)
{
	static const char out[] = "\033]0;owned\007hello \033[31mworld\033[0m\r\n", end[] = "killed by \033[2Jroot";
	uint8_t head[12] = { 1, 0, 80, 0, 24, 0, 0, 0, sizeof(out) - 1, 0, 0, 0 };
	Sallyport__CallReply r = SALLYPORT__CALL_REPLY__INIT;
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == -1)
		_exit(9);
	(void)!write(sv[1], head, sizeof(head));
	(void)!write(sv[1], out, sizeof(out) - 1);
	head[0] = 3;
	head[8] = sizeof(end) - 1;
	(void)!write(sv[1], head, sizeof(head));
	(void)!write(sv[1], end, sizeof(end) - 1);
	(void)!sp_chan_send(c, SP_MSG_CALL_REPLY, corr, &r, sv, 1);
}

static void
serve_msg(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	struct serving *s = arg;
	Sallyport__CallAsk *ask = (Sallyport__CallAsk *)m->body;
	const struct answer *a = s->script;

	dprintf(s->log, "%s %.*s%s%s\n", ask->method, (int)ask->params.len, (const char *)ask->params.data,
	    ask->as_user[0] != 0 ? " as " : "", ask->as_user);
	while (a->method != NULL && strcmp(a->method, ask->method) != 0)
		a++;
	if (a->act == HANG_UP)
		_exit(0);
	if (a->act == SILENCE)
		return;
	if (a->act == STREAM) {
		serve_stream(c, m->corr);
		return;
	}
	for (size_t i = 0; i == 0 || (i < 4 && a->body[i] != NULL); i++) {
		Sallyport__CallReply r = SALLYPORT__CALL_REPLY__INIT;
		char *text = strdup(a->text != NULL ? a->text : "");

		r.err = a->method == NULL ? SP_ENOENT : a->err;
		r.text = text;
		if (a->method != NULL && a->body[i] != NULL)
			r.body = (ProtobufCBinaryData){ strlen(a->body[i]), (uint8_t *)(uintptr_t)a->body[i] };
		r.more = i + 1 < 4 && a->body[i] != NULL && a->body[i + 1] != NULL;
		(void)!sp_chan_send(c, SP_MSG_CALL_REPLY, m->corr, &r, NULL, 0);
		free(text);
	}
}

static void
serve_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	(void)c; (void)why; (void)what;
	(void)arg;
}

static void
serve(int listening, const struct answer *script, int log, enum sp_proc self)
{
	for (;;) {
		struct serving s = { script, log };
		struct sp_chan *c = NULL;
		int fd = accept(listening, NULL, NULL);

		if (fd == -1 || sp_chan_new(fd, self, SP_PROC_CTL, serve_msg, serve_close, &s, &c) != SP_OK)
			_exit(9);
		while (sp_chan_wait(c, 20000) == SP_OK)
			;
		sp_chan_free(c);
	}
}

static void
start(const char *path, const struct answer *script, enum sp_proc self)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), p[2];

	(void)sp_strlcpy(un.sun_path, path, sizeof(un.sun_path));
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
	if ((fake.pid[fake.n++] = fork()) == 0)
		serve(fd, script, p[1], self);
	close(fd);
	close(p[1]);
	if (fake.asked >= 0)
		close(fake.asked);
	fake.asked = p[0];
}

static int
setup(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 128 };

	(void)state;
	(void)sp_strlcpy(fake.dir, "/tmp/sp-ctl-XXXXXX", sizeof(fake.dir));
	if (mkdtemp(fake.dir) == NULL)
		return -1;
	sp_snprintf(fake.control, sizeof(fake.control), "%s/control.sock", fake.dir);
	sp_snprintf(fake.monitor, sizeof(fake.monitor), "%s/monitor.sock", fake.dir);
	fake.n = 0;
	fake.asked = -1;
	if (sp_sealbox_keypair(vault_pk, &vault_sk) != SP_OK || sp_base64(&b, vault_pk, sizeof(vault_pk)) != SP_OK)
		return -1;
	sp_snprintf(vault_status, sizeof(vault_status), "{\"initialised\":true,\"sealed\":false,\"public_key\":\"%s\"}", sp_buf_cstr(&b));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (int i = 0; i < fake.n; i++) {
		kill(fake.pid[i], SIGKILL);
		waitpid(fake.pid[i], NULL, 0);
	}
	sp_closep(&fake.asked);
	unlink(fake.control);
	unlink(fake.monitor);
	sp_secret_release(&vault_sk);
	return rmdir(fake.dir);
}

/* ---- running a command */

static struct { int status; char *out, *err; } ran;

static void
run_words(unsigned width, int argc, char **argv)
{
	struct ctl c = { .width = width };
	size_t n_out = 0, n_err = 0;

	free(ran.out);
	free(ran.err);
	ran.out = ran.err = NULL;
	c.out = open_memstream(&ran.out, &n_out);
	c.err = open_memstream(&ran.err, &n_err);
	assert_non_null(c.out);
	assert_non_null(c.err);
	ran.status = ctl_main(&c, argc, argv);
	fclose(c.out);
	fclose(c.err);
}

#define RUN(...) do { \
	char *words__[] = { (char[]){ "sallyport" }, (char[]){ "--socket" }, fake.control, __VA_ARGS__, NULL }; \
	run_words(0, (int)SP_NELEMS(words__) - 1, words__); \
} while (0)
#define W(s) (char[]){ s }

/* What the fake was asked so far. */
static const char *
asked(void)
{
	static char text[65536];
	ssize_t n = read(fake.asked, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = 0;
	return text;
}

/* ---- tests */

static void
a_list_in_parts_is_one_json_array_in_the_order_of_delivery(void **state)
{
	static const struct answer script[] = {
		{ "session.list", .body = { "[{\"id\":\"3\"}]", "[{\"id\":\"2\"},{\"id\":\"1\"}]", "[]" } }, { NULL }
	};
	json_t *v;

	(void)state;
	start(fake.control, script, SP_PROC_CONTROL);
	RUN(W("--json"), W("session"), W("list"), W("--state"), W("live"), W("--limit=5"));
	assert_int_equal(ran.status, 0);
	assert_string_equal(asked(), "session.list {\"state\":\"live\",\"limit\":5}\n");
	v = json_loads(ran.out, 0, NULL);
	assert_int_equal(json_array_size(v), 3);
	assert_string_equal(json_string_value(json_object_get(json_array_get(v, 0), "id")), "3");
	assert_string_equal(json_string_value(json_object_get(json_array_get(v, 2), "id")), "1");
	json_decref(v);
}

static void
an_empty_list_is_a_sentence_for_people_and_brackets_for_programs(void **state)
{
	static const struct answer script[] = { { "session.list", .body = { "[]" } }, { "user.list" }, { NULL } };

	(void)state;
	start(fake.control, script, SP_PROC_CONTROL);
	RUN(W("session"), W("list"));
	assert_string_equal(ran.out, "No sessions.\n");
	RUN(W("session"), W("list"), W("--json"));
	assert_string_equal(ran.out, "[]\n");
	RUN(W("user"), W("list"), W("--json"));
	assert_string_equal(ran.out, "[]\n");
}

static void
a_table_has_the_columns_of_its_noun(void **state)
{
	static const struct answer script[] = {
		{ "user.list", .body = { "[{\"login\":\"alice\",\"role\":\"admin\",\"id\":\"x\"}]" } }, { NULL }
	};

	(void)state;
	start(fake.control, script, SP_PROC_CONTROL);
	RUN(W("user"), W("list"));
	assert_string_equal(ran.out, "LOGIN  ROLE\nalice  admin\n");
	assert_string_equal(ran.err, "");
}

static void
every_error_of_control_is_one_line_and_its_own_exit_status(void **state)
{
	(void)state;
	for (int e = 1; e < SP_ERR_N; e++) {
		struct answer script[] = { { "user.show", .err = (enum sp_err)e }, { NULL } };
		char line[256];

		setup(NULL);
		start(fake.control, script, SP_PROC_CONTROL);
		RUN(W("user"), W("show"), W("alice"));
		assert_int_equal(ran.status, sp_err_exit((enum sp_err)e));
		sp_snprintf(line, sizeof(line), "sallyport: %s", sp_err_text((enum sp_err)e));
		assert_memory_equal(ran.err, line, strlen(line));
		assert_ptr_equal(strchr(ran.err, '\n'), ran.err + strlen(ran.err) - 1);
		assert_string_equal(ran.out, "");
		teardown(NULL);
	}
}

static void
the_text_of_an_error_cannot_forge_lines_or_sequences(void **state)
{
	static const struct answer script[] = { { "user.show", SP_EINVAL, "bad\nsallyport: all is well\033[2J" }, { NULL } };

	(void)state;
	start(fake.control, script, SP_PROC_CONTROL);
	RUN(W("user"), W("show"), W("alice"));
	assert_string_equal(ran.err, "sallyport: bad\\x0asallyport: all is well\\x1b[2J\n");
}

static void
a_sealed_vault_says_how_to_open_it(void **state)
{
	static const struct answer script[] = { { "ca.create", SP_ESEALED, "the vault is sealed" }, { NULL } };

	(void)state;
	start(fake.control, script, SP_PROC_CONTROL);
	RUN(W("ca"), W("create"), W("main"));
	assert_int_equal(ran.status, 75);
	assert_string_equal(ran.err, "sallyport: the vault is sealed: open it with 'sallyport vault unseal'\n");
}

static void
no_socket_a_hang_up_and_silence_are_told_apart(void **state)
{
	static const struct answer script[] = { { "status" }, { "system.status", .act = SILENCE }, { "user.list", .act = HANG_UP }, { NULL } };

	(void)state;
	RUN(W("status"));
	assert_int_equal(ran.status, 69);
	assert_non_null(strstr(ran.err, "no Sallyport runs here"));
	start(fake.control, script, SP_PROC_CONTROL);
	RUN(W("status"), W("--timeout"), W("1"));
	assert_int_equal(ran.status, 75);
	assert_non_null(strstr(ran.err, "no answer within 1 seconds"));
	RUN(W("user"), W("list"));
	assert_int_equal(ran.status, 76);
	assert_non_null(strstr(ran.err, "closed before the answer came"));
}

static void
an_answer_that_is_not_json_is_refused(void **state)
{
	static const struct answer script[] = { { "user.list", .body = { "[{]" } }, { "ca.list", .body = { "[]", "{}" } }, { NULL } };

	(void)state;
	start(fake.control, script, SP_PROC_CONTROL);
	RUN(W("user"), W("list"));
	assert_int_equal(ran.status, 65);
	RUN(W("ca"), W("list"));
	assert_int_equal(ran.status, 65);
}

static void
parameters_follow_the_tables(void **state)
{
	static const struct answer script[] = {
		{ "grant.create", .body = { "{\"id\":\"g1\"}" } }, { "asset.create" }, { "account.create" }, { "session.kill" },
		{ "access.explain", .body = { "{\"allowed\":false}" } }, { "asset_group.member.add" }, { "known_hosts" }, { "user.disable" }, { NULL }
	};

	(void)state;
	start(fake.control, script, SP_PROC_CONTROL);
	RUN(W("grant"), W("create"), W("--user"), W("bob"), W("--asset-group"), W("dc"), W("--account"), W("root,deploy"), W("--protocol=shell"),
	    W("--protocol"), W("sftp"), W("--until"), W("2030-01-01"), W("--forward-to"), W("10.0.0.0/8:5432"), W("--record"), W("strict"));
	assert_string_equal(ran.err, "");
	assert_string_equal(ran.out, "Grant g1 created.\n");
	assert_string_equal(asked(), "grant.create {\"user\":\"bob\",\"asset_group\":\"dc\",\"accounts\":[\"root\",\"deploy\"],"
	    "\"protocols\":[\"shell\",\"sftp\"],\"valid_until\":\"2030-01-01T00:00:00.000000Z\",\"forward_to\":[\"10.0.0.0/8:5432\"],"
	    "\"record_mode\":\"strict\"}\n");
	RUN(W("grant"), W("create"), W("--group"), W("ops"), W("--asset"), W("web1"), W("--account"), W("*"));
	assert_string_equal(asked(), "grant.create {\"group\":\"ops\",\"asset\":\"web1\",\"accounts\":\"*\"}\n");
	RUN(W("asset"), W("create"), W("web1"), W("--address"), W("10.0.0.5"), W("--port"), W("2200"), W("--tag"), W("a,b"));
	assert_string_equal(asked(), "asset.create {\"name\":\"web1\",\"address\":\"10.0.0.5\",\"port\":2200,\"tags\":[\"a\",\"b\"]}\n");
	RUN(W("account"), W("create"), W("@same@web1"), W("--same"), W("--ca"), W("main"));
	assert_string_equal(asked(), "account.create {\"name\":\"@same\",\"asset\":\"web1\",\"secret\":{\"kind\":\"ssh-ca\",\"ca\":\"main\"},\"kind\":\"same\"}\n");
	RUN(W("session"), W("kill"), W("s1"), W("end"), W("of"), W("day"));
	assert_string_equal(asked(), "session.kill {\"id\":\"s1\",\"reason\":\"end of day\"}\n");
	RUN(W("access"), W("explain"), W("bob"), W("web1"), W("root"));
	assert_int_equal(ran.status, 1);		/* the answer was "no" */
	assert_string_equal(ran.err, "");
	assert_string_equal(asked(), "access.explain {\"user\":\"bob\",\"asset\":\"web1\",\"account\":\"root\"}\n");
	RUN(W("asset-group"), W("member"), W("add"), W("dc"), W("web1"));
	assert_string_equal(asked(), "asset_group.member.add {\"name\":\"dc\",\"asset\":\"web1\"}\n");
	RUN(W("known-hosts"), W("[bastion]:2222"));
	assert_string_equal(asked(), "known_hosts {\"name\":\"bastion\",\"port\":2222}\n");
	RUN(W("--as"), W("carol"), W("user"), W("disable"), W("--"), W("--odd"));
	assert_string_equal(asked(), "user.disable {\"login\":\"--odd\"} as carol\n");
}

static void
wrong_usage_is_refused_before_control_is_asked(void **state)
{
	static const struct answer script[] = { { "user.create" }, { NULL } };
	static const char *const wrong[][12] = {
		{ "usr", "list" }, { "user" }, { "user", "crate", "x" }, { "user", "create" }, { "user", "create", "a", "b" },
		{ "user", "create", "a", "--rolle", "admin" }, { "user", "create", "a", "--role", "god" }, { "user", "create", "a", "--email" },
		{ "user", "create", "a", "-x" }, { "asset", "create", "a", "h", "--port", "ssh" }, { "asset", "create", "a", "h", "--port", "-1" },
		{ "asset", "create", "a" }, { "user", "create", "a", "--valid-until", "tomorrow" }, { "grant", "create", "--user", "a" },
		{ "grant", "create", "--user", "a", "--group", "g", "--asset", "x", "--account" , "*" },
		{ "account", "create", "root", "--typed" }, { "account", "create", "root@web1" }, { "account", "create", "a@b", "--typed", "--same" },
		{ "account", "create", "a@b", "--generate-key", "--ca", "x" }, { "session", "list", "--state", "dead" },
		{ "group", "member", "add", "g" }, { "vault", "init", "--slot", "passphrase" }, { "status", "now" }, { "--json=yes", "status" },
		{ "--timeout", "0", "status" }, { "session", "message", "id" },
	};

	(void)state;
	start(fake.control, script, SP_PROC_CONTROL);
	for (size_t i = 0; i < SP_NELEMS(wrong); i++) {
		char *words[16] = { W("sallyport"), W("--socket"), fake.control }, *given[16];
		int n = 3;

		for (size_t k = 0; k < 12 && wrong[i][k] != NULL; k++)
			words[n++] = strdup(wrong[i][k]);
		memcpy(given, words, sizeof(given));	/* parsing takes options out of the array */
		run_words(0, n, (words[n] = NULL, words));
		for (int k = 3; k < n; k++)
			free(given[k]);
		if (ran.status != 64)
			fail_msg("case %zu: exit %d, %s", i, ran.status, ran.err);
		assert_memory_equal(ran.err, "sallyport: ", 11);
		assert_ptr_equal(strchr(ran.err, '\n'), ran.err + strlen(ran.err) - 1);
	}
	assert_string_equal(asked(), "");
}

/* Open a sealed value found in the log behind "key":" with the vault's key. */
static char *
unsealed(const char *log, const char *key, const char *kind)
{
	sp_auto(sp_buf_release) struct sp_buf raw = { .max = 65536 };
	struct sp_seal_context ctx = { .kind = kind };
	struct sp_secret s = { 0 };
	char mark[64], *text;
	const char *p;

	sp_snprintf(mark, sizeof(mark), "\"%s\":\"", key);
	p = strstr(log, mark);
	assert_non_null(p);
	p += strlen(mark);
	assert_int_equal(sp_base64_parse(&raw, p, strcspn(p, "\"")), SP_OK);
	assert_int_equal(sp_sealbox_open(vault_pk, &vault_sk, &ctx, (struct sp_view){ raw.p, raw.len }, &s), SP_OK);
	text = strndup((char *)s.p, s.len);
	sp_secret_release(&s);
	return text;
}

static void
a_password_leaves_sealed_to_the_vault_only(void **state)
{
	const struct answer script[] = { { "vault.status", .body = { vault_status } }, { "user.password" }, { NULL } };
	char path[128], *got;
	const char *log;
	FILE *f;

	(void)state;
	start(fake.control, script, SP_PROC_CONTROL);
	sp_snprintf(path, sizeof(path), "%s/pw", fake.dir);
	f = fopen(path, "w");
	fputs("correct horse\n", f);
	fclose(f);
	RUN(W("user"), W("password"), W("alice"), W("--password-file"), path);
	unlink(path);
	assert_int_equal(ran.status, 0);
	log = asked();
	assert_null(strstr(log, "horse"));
	got = unsealed(log, "password_sealed", SP_SEAL_USER_PASSWORD);
	assert_string_equal(got, "correct horse");
	free(got);
}

static void
a_key_file_slot_is_made_private_and_never_overwritten(void **state)
{
	const struct answer script[] = { { "vault.status", .body = { vault_status } }, { "vault.init", .body = { "{}" } }, { NULL } };
	char path[128], pub[128];
	struct stat first, second;
	const char *log;
	FILE *f;

	(void)state;
	start(fake.control, script, SP_PROC_CONTROL);
	sp_snprintf(path, sizeof(path), "%s/key", fake.dir);
	sp_snprintf(pub, sizeof(pub), "%s/pub", fake.dir);
	f = fopen(pub, "w");
	fputs("# mine\nssh-ed25519 AAAA me\n\n", f);
	fclose(f);
	RUN(W("vault"), W("init"), W("--keyfile"), path, W("--admin"), W("admin"), W("--admin-key"), pub);
	assert_int_equal(ran.status, 0);
	assert_int_equal(stat(path, &first), 0);
	assert_int_equal(first.st_size, 32);
	assert_int_equal(first.st_mode & 07777, 0600);
	log = asked();
	assert_non_null(strstr(log, "\"slot\":\"keyfile\""));
	assert_non_null(strstr(log, "\"login\":\"admin\",\"keys\":[\"ssh-ed25519 AAAA me\"]"));
	free(unsealed(log, "sealed_passphrase", SP_SEAL_CREDENTIAL));
	RUN(W("vault"), W("init"), W("--keyfile"), path, W("--admin"), W("admin"), W("--admin-key"), pub);
	assert_int_equal(stat(path, &second), 0);
	assert_int_equal(first.st_ino, second.st_ino);
	assert_int_equal(first.st_mtim.tv_nsec, second.st_mtim.tv_nsec);
	unlink(path);
	unlink(pub);
}

/* Made by ssh-keygen -t ed25519 -N sesame -a 2. */
static const char locked_key[] =
	"-----BEGIN OPENSSH PRIVATE KEY-----\n"
	"b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABATkI0nbs\n"
	"CsFoG+XHeQoPPvAAAAAgAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAII9B+fbtzm0GnG0b\n"
	"y9wj6RL0orSF4NEtqw8f54G5aZLYAAAAkDSe3/kGK8SIj9CGjkf9AZoLmjpTkOi6jMmkjl\n"
	"0GOBI0B+7z5z+eg/TPiIuUsjILkBfTD3Tl1A7NE9gLw7rPdR75CNj4l0/BeP1prIZxneYQ\n"
	"5Vy7Vn1bkySAaPfKh4Aam8cp/QEEwLfkyoK7czOMQVn0IR9crbWOaVU2bWS3scxzlmepi6\n"
	"+iGVywWU5tL5JVhA==\n"
	"-----END OPENSSH PRIVATE KEY-----\n";

static void
a_passphrase_of_a_private_key_is_taken_off_before_it_is_sealed(void **state)
{
	const struct answer script[] = { { "vault.status", .body = { vault_status } }, { "account.create" }, { NULL } };
	sp_auto_secret key = { 0 };
	char path[128], pass[128], *text;
	const char *why = "";
	FILE *f;

	(void)state;
	start(fake.control, script, SP_PROC_CONTROL);
	sp_snprintf(path, sizeof(path), "%s/key", fake.dir);
	sp_snprintf(pass, sizeof(pass), "%s/pass", fake.dir);
	f = fopen(path, "w");
	fputs(locked_key, f);
	fclose(f);
	f = fopen(pass, "w");
	fputs("wrong\n", f);
	fclose(f);
	RUN(W("account"), W("create"), W("root@web1"), W("--key-file"), path, W("--passphrase-file"), pass);
	assert_int_not_equal(ran.status, 0);
	assert_non_null(strstr(ran.err, "the passphrase does not open this key file"));
	assert_string_equal(asked(), "");
	f = fopen(pass, "w");
	fputs("sesame\n", f);
	fclose(f);
	RUN(W("account"), W("create"), W("root@web1"), W("--key-file"), path, W("--passphrase-file"), pass);
	unlink(path);
	unlink(pass);
	assert_int_equal(ran.status, 0);
	text = unsealed(asked(), "sealed", SP_SEAL_ACCOUNT "ssh-key");
	assert_int_equal(sp_privkey_import((struct sp_view){ (const uint8_t *)text, strlen(text) }, (struct sp_view){ 0 }, &why, &key), SP_OK);
	free(text);
}

static void
list_and_kill_turn_to_the_monitor_when_control_is_gone(void **state)
{
	static const struct answer script[] = {
		{ "session.list", .body = { "[{\"id\":\"s1\",\"state\":\"live\"}]" } }, { "session.kill" }, { NULL }
	};

	(void)state;
	start(fake.monitor, script, SP_PROC_MONITOR);
	RUN(W("--json"), W("session"), W("list"));
	assert_int_equal(ran.status, 0);
	assert_non_null(strstr(ran.out, "\"s1\""));
	assert_non_null(strstr(ran.err, "monitor"));
	RUN(W("session"), W("kill"), W("s1"), W("--reason"), W("gone"));
	assert_int_equal(ran.status, 0);
	assert_non_null(strstr(asked(), "session.kill {\"id\":\"s1\",\"reason\":\"gone\"}"));
	RUN(W("session"), W("show"), W("s1"));
	assert_int_equal(ran.status, 69);
}

static void
an_answer_of_control_is_final_even_if_it_is_no(void **state)
{
	static const struct answer no[] = { { "session.kill", SP_EACCES, "only administrators may" }, { NULL } };
	static const struct answer yes[] = { { "session.kill" }, { NULL } };

	(void)state;
	start(fake.control, no, SP_PROC_CONTROL);
	start(fake.monitor, yes, SP_PROC_MONITOR);
	RUN(W("session"), W("kill"), W("s1"));
	assert_int_equal(ran.status, 77);
	assert_string_equal(asked(), "");
	RUN(W("session"), W("kill"), W("s1"), W("--monitor"));
	assert_int_equal(ran.status, 0);
}

static void
doctor_fails_with_1_and_says_so_in_json(void **state)
{
	static const struct answer script[] = {
		{ "doctor", .body = { "[{\"check\":\"store\",\"ok\":true,\"text\":\"fine\"},{\"check\":\"vault\",\"ok\":false,\"text\":\"sealed: unseal it\"}]" } },
		{ NULL }
	};
	json_t *v;

	(void)state;
	start(fake.control, script, SP_PROC_CONTROL);
	RUN(W("doctor"));
	assert_int_equal(ran.status, 1);
	assert_non_null(strstr(ran.out, "FAIL  vault: sealed: unseal it\n"));
	assert_non_null(strstr(ran.out, "ok    store: fine\n"));
	RUN(W("doctor"), W("--json"));
	assert_int_equal(ran.status, 1);
	v = json_loads(ran.out, 0, NULL);
	assert_true(json_array_size(v) >= 5);
	json_decref(v);
}

static void
completion_offers_words_options_and_names(void **state)
{
	static const struct answer script[] = {
		{ "asset.list", .body = { "[{\"name\":\"web1\",\"address\":\"10.0.0.5\"},{\"name\":\"db1\"},{\"name\":\"bad\\u001b\"}]" } },
		{ "account.list", .body = { "[{\"name\":\"root\",\"asset\":\"web1\"}]" } }, { NULL }
	};

	(void)state;
	start(fake.control, script, SP_PROC_CONTROL);
	RUN(W("completion"), W("words"), W("--"), W("sess"));
	assert_memory_equal(ran.out, "session\t", 8);
	RUN(W("completion"), W("words"), W("--"), W("user"), W("key"), W("r"));
	assert_memory_equal(ran.out, "remove\t", 7);
	RUN(W("completion"), W("words"), W("--"), W("asset"), W("show"), W(""));
	assert_string_equal(ran.out, "web1\t10.0.0.5\ndb1\n");
	RUN(W("completion"), W("words"), W("--"), W("grant"), W("create"), W("--asset=w"));
	assert_string_equal(ran.out, "--asset=web1\t10.0.0.5\n");
	RUN(W("completion"), W("words"), W("--"), W("grant"), W("create"), W("--protocol"), W("shell,sf"));
	assert_string_equal(ran.out, "shell,sftp\n");
	RUN(W("completion"), W("words"), W("--"), W("account"), W("show"), W("r"));
	assert_memory_equal(ran.out, "root@web1", 9);
	RUN(W("completion"), W("words"), W("--"), W("account"), W("create"), W("deploy@d"));
	assert_string_equal(ran.out, "deploy@db1\n");
	RUN(W("completion"), W("words"), W("--"), W("user"), W("create"), W("x"), W("--ro"));
	assert_memory_equal(ran.out, "--role\t", 7);
	RUN(W("completion"), W("words"), W("--"), W("user"), W("create"), W("x"), W("--key"), W(""));
	assert_string_equal(ran.out, ":file\n");
}

/* Output goes to descriptor 1 from a process of its own: catch that. */
static void
watching_prints_plain_text_and_the_end(void **state)
{
	static const struct answer script[] = { { "session.watch", .act = STREAM }, { "session.show", SP_ENOENT, "" }, { NULL } };
	char text[512];
	int p[2], was = dup(STDOUT_FILENO);
	ssize_t n;

	(void)state;
	start(fake.control, script, SP_PROC_CONTROL);
	assert_int_equal(pipe(p), 0);
	fflush(stdout);
	dup2(p[1], STDOUT_FILENO);
	RUN(W("session"), W("watch"), W("s1"));
	dup2(was, STDOUT_FILENO);
	close(was);
	close(p[1]);
	n = read(p[0], text, sizeof(text) - 1);
	close(p[0]);
	text[n > 0 ? n : 0] = 0;
	assert_string_equal(text, "hello world\n");
	assert_string_equal(ran.err, "Session ended: killed by \\x1b[2Jroot.\n");
	assert_int_equal(ran.status, 0);
}

static void
every_command_of_the_tables_has_help_and_a_way_to_run(void **state)
{
	(void)state;
	for (size_t i = 0; ctl_nouns[i] != NULL; i++)
		for (const struct ctl_cmd *cmd = ctl_nouns[i]->cmds; cmd->verb != NULL; cmd++) {
			assert_non_null(cmd->help);
			assert_true(cmd->method != NULL || cmd->run != NULL);
			if (cmd->show == CTL_ROWS && cmd->run == NULL && (cmd->cols == NULL || cmd->empty == NULL))
				fail_msg("%s %s shows rows and says neither how nor what it says without any", ctl_nouns[i]->name, cmd->verb);
			for (const struct ctl_opt *o = cmd->opts; o != NULL && o->name != NULL; o++) {
				assert_non_null(o->help);
				if ((o->type == CTL_FLAG) != (o->value == NULL))
					fail_msg("%s %s --%s: a flag has no value, anything else has one", ctl_nouns[i]->name, cmd->verb, o->name);
				for (const struct ctl_opt *g = ctl_global_opts; g->name != NULL; g++)
					assert_string_not_equal(g->name, o->name);
			}
		}
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_list_in_parts_is_one_json_array_in_the_order_of_delivery),
		T(an_empty_list_is_a_sentence_for_people_and_brackets_for_programs),
		T(a_table_has_the_columns_of_its_noun),
		cmocka_unit_test(every_error_of_control_is_one_line_and_its_own_exit_status),
		T(the_text_of_an_error_cannot_forge_lines_or_sequences),
		T(a_sealed_vault_says_how_to_open_it),
		T(no_socket_a_hang_up_and_silence_are_told_apart),
		T(an_answer_that_is_not_json_is_refused),
		T(parameters_follow_the_tables),
		T(wrong_usage_is_refused_before_control_is_asked),
		T(a_password_leaves_sealed_to_the_vault_only),
		T(a_key_file_slot_is_made_private_and_never_overwritten),
		T(a_passphrase_of_a_private_key_is_taken_off_before_it_is_sealed),
		T(list_and_kill_turn_to_the_monitor_when_control_is_gone),
		T(an_answer_of_control_is_final_even_if_it_is_no),
		T(doctor_fails_with_1_and_says_so_in_json),
		T(completion_offers_words_options_and_names),
		T(watching_prints_plain_text_and_the_end),
		cmocka_unit_test(every_command_of_the_tables_has_help_and_a_way_to_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
