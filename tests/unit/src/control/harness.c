/* tests/unit/src/control/harness.c - see harness.h. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/store.h"

static const char KEY_LINE[] =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f alice@test";

static ProtobufCBinaryData
bytes(const void *p, size_t n)
{
	ProtobufCBinaryData b = { .len = n };

	memcpy(&b.data, &p, sizeof(p));
	return b;
}

static char *
str(const char *s)
{
	char *p;

	memcpy(&p, &s, sizeof(p));
	return p;
}

/* ---- peers ---- */

static void
on_msg(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	struct peer *p = arg;

	(void)c;
	assert_true(p->n < INBOX_MAX);
	p->in[p->n].id = m->id;
	p->in[p->n].corr = m->corr;
	p->in[p->n].body = protobuf_c_message_unpack(sp_msg_spec(m->id)->body, NULL, m->raw_len, m->raw);
	p->in[p->n].fd = -1;
	if (m->nfds > 0)
		p->in[p->n].fd = sp_steal_fd(&m->fds[0]);
	assert_non_null(p->in[p->n].body);
	p->n++;
}

static void
on_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	struct peer *p = arg;

	(void)c;
	if (why != SP_ECLOSED)
		fprintf(stderr, "bad message %s from control: %s\n", what, sp_err_text(why));
	p->closed = 1;
}

static void
peer_make(struct rig *r, struct peer *p, enum sp_proc as, int fd)
{
	struct peer was = *p;

	*p = (struct peer){ .rig = r, .last_fd = -1, .conn = was.conn, .session = was.session, .token_len = was.token_len };
	memcpy(p->token, was.token, sizeof(p->token));
	assert_int_equal(sp_chan_new(fd, as, SP_PROC_CONTROL, on_msg, on_close, p, &p->chan), SP_OK);
}

static void
peer_pair(struct rig *r, struct peer *p, enum sp_proc as, int *ret_other)
{
	int sv[2];

	assert_int_equal(sp_chan_pair(sv), SP_OK);
	peer_make(r, p, as, sv[0]);
	*ret_other = sv[1];
}

void
peer_close(struct peer *p)
{
	sp_chan_free(p->chan);
	for (size_t i = 0; i < p->n; i++) {
		protobuf_c_message_free_unpacked(p->in[i].body, NULL);
		sp_closep(&p->in[i].fd);
	}
	if (p->last != NULL)
		protobuf_c_message_free_unpacked(p->last, NULL);
	sp_closep(&p->last_fd);
	p->chan = NULL;
	p->last = NULL;
	p->n = 0;
	p->closed = 1;
}

static void
vault_play(struct rig *r)
{
	struct peer *v = &r->vault;

	for (size_t i = 0; i < v->n && r->vault_plays; ) {
		uint16_t id = v->in[i].id;
		uint32_t corr = v->in[i].corr;

		if (id == SP_MSG_SECRET_PUT) {
			Sallyport__SecretReply a = SALLYPORT__SECRET_REPLY__INIT;

			a.envelope = bytes("wrapped", 7);
			a.term = r->vault_term;
			assert_int_equal(sp_chan_send(v->chan, SP_MSG_SECRET_REPLY, corr, &a, NULL, 0), SP_OK);
		} else if (id == SP_MSG_SECRET_REWRAP) {
			Sallyport__SecretReply a = SALLYPORT__SECRET_REPLY__INIT;

			a.envelope = bytes("wrapped again", 13);
			a.term = r->vault_term;
			assert_int_equal(sp_chan_send(v->chan, SP_MSG_SECRET_REPLY, corr, &a, NULL, 0), SP_OK);
			r->rewrapped++;
		} else if (id == SP_MSG_SECRET_REVEAL || id == SP_MSG_RECORD_KEY || id == SP_MSG_RECORD_UNWRAP) {
			Sallyport__SecretReply a = SALLYPORT__SECRET_REPLY__INIT;

			a.err = SP_EFORMAT;
			assert_int_equal(sp_chan_send(v->chan, SP_MSG_SECRET_REPLY, corr, &a, NULL, 0), SP_OK);
		} else if (id == SP_MSG_VAULT_OPEN || id == SP_MSG_VAULT_SEAL || id == SP_MSG_VAULT_ROTATE || id == SP_MSG_VAULT_SLOTS) {
			Sallyport__VaultReply a = SALLYPORT__VAULT_REPLY__INIT;

			a.err = SP_EFORMAT;
			assert_int_equal(sp_chan_send(v->chan, SP_MSG_VAULT_REPLY, corr, &a, NULL, 0), SP_OK);
		} else if (id == SP_MSG_CHECKPOINT_SIGN) {
			Sallyport__CheckpointReply a = SALLYPORT__CHECKPOINT_REPLY__INIT;

			a.err = SP_ESEALED;
			assert_int_equal(sp_chan_send(v->chan, SP_MSG_CHECKPOINT_REPLY, corr, &a, NULL, 0), SP_OK);
		} else if (id == SP_MSG_TOTP_NEW) {
			Sallyport__TotpReply a = SALLYPORT__TOTP_REPLY__INIT;

			a.err = SP_EFORMAT;
			assert_int_equal(sp_chan_send(v->chan, SP_MSG_TOTP_REPLY, corr, &a, NULL, 0), SP_OK);
		} else if (id == SP_MSG_HASH_PASSWORD) {
			Sallyport__HashReply a = SALLYPORT__HASH_REPLY__INIT;

			a.hash = str("$hash$");
			assert_int_equal(sp_chan_send(v->chan, SP_MSG_HASH_REPLY, corr, &a, NULL, 0), SP_OK);
		} else {
			i++;
			continue;
		}
		protobuf_c_message_free_unpacked(v->in[i].body, NULL);
		memmove(&v->in[i], &v->in[i + 1], (v->n - i - 1) * sizeof(v->in[0]));
		v->n--;
	}
}

int
peer_poll(struct peer *p, int timeout_ms)
{
	struct rig *r = p->rig;
	size_t before = p->n;

	if (p != &r->vault && r->vault.chan != NULL && !r->vault.closed)
		while (sp_chan_wait(r->vault.chan, 0) == SP_OK)
			;
	vault_play(r);
	if (p->chan != NULL && !p->closed)
		(void)!sp_chan_wait(p->chan, timeout_ms);
	return p->n != before;
}

static int
peer_find(struct peer *p, uint16_t id, uint32_t corr)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->in[i].id == id && (corr == 0 || p->in[i].corr == corr))
			return (int)i;
	return -1;
}

int
peer_has(struct peer *p, uint16_t id)
{
	while (peer_poll(p, 0))
		;
	return peer_find(p, id, 0) >= 0;
}

void *
peer_wait(struct peer *p, uint16_t id, uint32_t corr)
{
	uint64_t end = sp_now_us() + WAIT_MS * SP_US_PER_MS;
	int i;

	while ((i = peer_find(p, id, corr)) < 0) {
		if (p->closed || sp_now_us() > end)
			fail_msg("no message %s (%s)", sp_msg_spec(id)->name, p->closed ? "closed" : "in time");
		peer_poll(p, 20);
	}
	if (p->last != NULL)
		protobuf_c_message_free_unpacked(p->last, NULL);
	sp_closep(&p->last_fd);
	p->last = p->in[i].body;
	p->last_fd = p->in[i].fd;
	p->last_corr = p->in[i].corr;
	memmove(&p->in[i], &p->in[i + 1], (p->n - (size_t)i - 1) * sizeof(p->in[0]));
	p->n--;
	return p->last;
}

uint32_t
peer_send(struct peer *p, uint16_t id, uint32_t corr, const void *body)
{
	if (corr == 0)
		corr = sp_chan_corr(p->chan);
	assert_int_equal(sp_chan_send(p->chan, id, corr, body, NULL, 0), SP_OK);
	return corr;
}

void *
peer_ask(struct peer *p, uint16_t id, const void *body, uint16_t reply)
{
	return peer_wait(p, reply, peer_send(p, id, 0, body));
}

void
peer_expect_closed(struct peer *p)
{
	uint64_t end = sp_now_us() + WAIT_MS * SP_US_PER_MS;

	while (!p->closed && sp_now_us() < end)
		peer_poll(p, 20);
	assert_true(p->closed);
}

/* ---- the process ---- */

static void
send_peer(struct rig *r, struct peer *p, enum sp_proc kind)
{
	Sallyport__Peer m = SALLYPORT__PEER__INIT;
	int other;

	peer_pair(r, p, kind, &other);
	m.kind = kind;
	assert_int_equal(sp_chan_send(r->monitor.chan, SP_MSG_PEER, 0, &m, &other, 1), SP_OK);
}

static const char row_key[] = "the key of the rows, for a test!";

void
rig_vault_state(struct rig *r, int sealed)
{
	Sallyport__VaultState s = SALLYPORT__VAULT_STATE__INIT;

	s.initialised = 1;
	s.sealed = sealed;
	s.public_key = bytes("0123456789abcdef0123456789abcdef", 32);
	s.boot = bytes("vault boot 12345", 16);
	s.term = r->vault_term;
	if (!sealed)
		s.row_mac_key = bytes(row_key, SP_STORE_MAC_KEY);
	assert_int_equal(sp_chan_send(r->vault.chan, SP_MSG_VAULT_STATE, 0, &s, NULL, 0), SP_OK);
}

void
rig_vault(struct rig *r, int sealed)
{
	if (r->vault.chan != NULL)
		peer_close(&r->vault);
	send_peer(r, &r->vault, SP_PROC_VAULT);
	rig_vault_state(r, sealed);
}

void
rig_courier(struct rig *r)
{
	if (r->courier.chan != NULL)
		peer_close(&r->courier);
	send_peer(r, &r->courier, SP_PROC_COURIER);
}

static void
conf_text(const struct rig *r, char *ret, size_t size)
{
	sp_snprintf(ret, size, "state_dir %s\nrun_dir %s\nlisten %s\nreserve_mb 1\nlog_level warn\nbastion_name gate.test\n%s",
	    r->dir, r->dir, r->listen != NULL ? r->listen : "127.0.0.1:2222", r->conf != NULL ? r->conf : "");
}

void
rig_reload(struct rig *r)
{
	Sallyport__Reload m = SALLYPORT__RELOAD__INIT;
	char conf[1024];

	conf_text(r, conf, sizeof(conf));
	m.config = conf;
	assert_int_equal(sp_chan_send(r->monitor.chan, SP_MSG_RELOAD, 0, &m, NULL, 0), SP_OK);
}

static void
send_boot(struct rig *r)
{
	Sallyport__Boot b = SALLYPORT__BOOT__INIT;
	char conf[1024], path[128];
	char *names[3] = { str("admin-socket"), str("state-dir"), str("audit-dir") };
	int fds[3];

	conf_text(r, conf, sizeof(conf));
	sp_snprintf(path, sizeof(path), "%s/audit", r->dir);
	fds[0] = dup(r->admin_listen);
	fds[1] = open(r->dir, O_RDONLY | O_DIRECTORY);
	fds[2] = open(path, O_RDONLY | O_DIRECTORY);
	b.protocol = SP_IPC_PROTOCOL;
	b.boot_id = bytes("boot id 12345678", 16);
	b.config = conf;
	b.run_dir = b.state_dir = r->dir;
	b.fd_names = names;
	b.n_fd_names = 3;
	assert_int_equal(sp_chan_send(r->monitor.chan, SP_MSG_BOOT, 0, &b, fds, 3), SP_OK);
}

static void
connect_admin(struct rig *r, struct peer *p)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	sp_snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/control.sock", r->dir);
	assert_int_equal(connect(fd, (struct sockaddr *)(void *)&sun, sizeof(sun)), 0);
	peer_make(r, p, SP_PROC_CTL, fd);
}

void
rig_create(struct rig *r)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char path[128];

	memset(r, 0, sizeof(*r));
	r->vault_term = 1;
	signal(SIGPIPE, SIG_IGN);
	(void)sp_strlcpy(r->dir, "/tmp/sallyport-test-XXXXXX", sizeof(r->dir));
	assert_non_null(mkdtemp(r->dir));
	assert_int_equal(chmod(r->dir, 0755), 0);
	sp_snprintf(path, sizeof(path), "%s/audit", r->dir);
	assert_int_equal(mkdir(path, 0777), 0);
	assert_int_equal(chmod(path, 0777), 0);	/* root's control may become another user */
	sp_snprintf(path, sizeof(path), "%s/store", r->dir);
	assert_int_equal(mkdir(path, 0777), 0);
	assert_int_equal(chmod(path, 0777), 0);
	r->admin_listen = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	sp_snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/control.sock", r->dir);
	assert_int_equal(bind(r->admin_listen, (struct sockaddr *)(void *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(r->admin_listen, 16), 0);
}

void
rig_start(struct rig *r)
{
	const char *exe = getenv("SALLYPORT_CONTROL");
	int other;

	assert_non_null(exe);
	peer_pair(r, &r->monitor, SP_PROC_MONITOR, &other);
	if ((r->pid = fork()) == 0) {
		if (other == 3)
			fcntl(other, F_SETFD, 0);
		else
			dup2(other, 3);
		execl(exe, exe, (char *)NULL);
		_exit(127);
	}
	assert_true(r->pid > 0);
	close(other);
	r->vault_plays = 1;
	send_boot(r);
	peer_wait(&r->monitor, SP_MSG_READY, 0);
	rig_vault(r, 0);
	send_peer(r, &r->dialer, SP_PROC_DIALER);
	send_peer(r, &r->gate, SP_PROC_GATE);
	connect_admin(r, &r->ctl);
}

void
rig_stop(struct rig *r, int signo)
{
	int status;

	if (signo != 0)
		kill(r->pid, signo);
	peer_close(&r->monitor);
	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	if (signo == 0)
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	peer_close(&r->vault);
	peer_close(&r->dialer);
	peer_close(&r->gate);
	if (r->courier.chan != NULL)
		peer_close(&r->courier);
	peer_close(&r->ctl);
	r->pid = 0;
}

static void
remove_all(const char *dir)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", dir, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

void
rig_destroy(struct rig *r)
{
	sp_closep(&r->admin_listen);
	remove_all(r->dir);
}

/* Only root can play somebody else; the kernel notes who connects. */
void
rig_connect_as(struct rig *r, struct peer *p, unsigned uid)
{
	uid_t was = geteuid();

	if (was == 0)
		assert_int_equal(seteuid(uid), 0);
	connect_admin(r, p);
	if (was == 0)
		assert_int_equal(seteuid(was), 0);
}

struct sp_store *
rig_store(struct rig *r)
{
	struct sp_store *s;
	char url[128];

	sp_snprintf(url, sizeof(url), "sqlite:%s/store", r->dir);
	assert_int_equal(sp_store_open(url, NULL, &s), SP_OK);
	assert_int_equal(sp_store_migrate(s), SP_OK);
	assert_int_equal(sp_store_mac_set(s, SP_STORE_MAC_ON, row_key), SP_OK);
	return s;
}

/* Control may run as another user than the test. */
void
rig_store_close(struct rig *r, struct sp_store *s)
{
	static const char *const names[] = { "sallyport.db", "sallyport.db-wal", "sallyport.db-shm", "evidence.db",
		"evidence.db-wal", "evidence.db-shm" };
	char path[128];

	sp_store_close(s);
	for (size_t i = 0; i < SP_NELEMS(names); i++) {
		sp_snprintf(path, sizeof(path), "%s/store/%s", r->dir, names[i]);
		(void)!chmod(path, 0666);
	}
}

void
rig_session(struct rig *r, const char *user_id, const char *asset_id, char ret_id[SP_UUID_SIZE])
{
	struct sp_store_session row = { .state = SP_STORE_ENDED, .started_us = sp_wall_us(), .ended_us = sp_wall_us() };
	struct sp_store *s;

	assert_int_equal(sp_uuid_parse(user_id, &row.user_id), SP_OK);
	assert_int_equal(sp_uuid_parse(asset_id, &row.asset_id), SP_OK);
	sp_uuid_make(&row.id);
	sp_uuid_text(&row.id, ret_id);
	rig_stop(r, 0);
	s = rig_store(r);
	assert_int_equal(sp_store_session_put(s, &row), SP_OK);
	rig_store_close(r, s);
	rig_start(r);
}

/* ---- the admin socket ---- */

json_t *
call(struct rig *r, const char *method, json_t *params, uint32_t *ret_err)
{
	return call_by(r, &r->ctl, method, params, ret_err);
}

json_t *
call_by(struct rig *r, struct peer *by, const char *method, json_t *params, uint32_t *ret_err)
{
	Sallyport__CallAsk q = SALLYPORT__CALL_ASK__INIT;
	char *text = json_dumps(params, JSON_COMPACT);
	Sallyport__CallReply *a;
	json_t *all = NULL;
	uint32_t corr;
	int more;

	if (r->as_user != NULL && by == &r->ctl)
		q.as_user = str(r->as_user);
	q.method = str(method);
	q.params = bytes(text, strlen(text));
	corr = peer_send(by, SP_MSG_CALL_ASK, 0, &q);
	free(text);
	json_decref(params);
	do {
		json_t *part;

		a = peer_wait(by, SP_MSG_CALL_REPLY, corr);
		more = a->more;
		part = a->body.len > 0 ? json_loadb((char *)a->body.data, a->body.len, JSON_DECODE_ANY, NULL) : json_null();
		if (all == NULL)
			all = part;
		else {
			json_array_extend(all, part);
			json_decref(part);
		}
	} while (more);
	if (ret_err != NULL)
		*ret_err = a->err;
	else if (a->err != 0)
		fail_msg("%s: %s", method, a->text);
	return all;
}

size_t
audit_count(struct rig *r, const char *kind, const struct sp_uuid *session)
{
	char id[SP_UUID_SIZE];
	json_t *p = json_pack("{s:s, s:i}", "kind", kind, "limit", 10000), *rows;
	size_t n;

	if (session != NULL)
		json_object_set_new(p, "session", json_string(sp_uuid_text(session, id)));
	rows = call(r, "audit.list", p, NULL);
	n = json_array_size(rows);
	json_decref(rows);
	return n;
}

void
rig_auditors(struct rig *r)
{
	json_decref(call(r, "auditor.key.add", json_pack("{s:s, s:s}", "name", "anna", "recipient",
	    "age1htmzqfp8njah4q3qwq98wq6t5ws8cs7l2n5ua524h04pc29u3ufs8dznr3"), NULL));
	json_decref(call(r, "auditor.key.add", json_pack("{s:s, s:s}", "name", "bo", "recipient",
	    "age1kv756pke058cjz662z8z0pyulsw2rmp8pm0uhe20fecd4l4yue2sgk9ceq"), NULL));
}

void
rig_up(struct rig *r)
{
	rig_create(r);
	rig_fill(r);
}

void
rig_fill(struct rig *r)
{
	struct sp_buf b;

	rig_start(r);
	json_decref(call(r, "user.create", json_pack("{s:s, s:[s]}", "login", "alice", "keys", KEY_LINE), NULL));
	json_decref(call(r, "asset.create", json_pack("{s:s, s:s, s:i}", "name", "web1", "address", "192.0.2.10", "port", 22), NULL));
	json_decref(call(r, "account.create", json_pack("{s:s, s:s, s:s, s:{s:s, s:s}}", "asset", "web1", "name", "root",
	    "kind", "stored", "secret", "kind", "password", "sealed", "c2VhbGVk"), NULL));
	rig_auditors(r);
	json_decref(call(r, "grant.create", json_pack("{s:s, s:s, s:s, s:[s], s:[s,s,s], s:[s]}", "name", "g1", "user", "alice",
	    "asset", "web1", "accounts", "root", "protocols", "shell", "exec", "forward-local", "forward_to", "10.0.0.0/8:5432"), NULL));
	sp_buf_init(&b, 256);
	assert_int_equal(sp_base64_parse(&b, KEY_LINE + 12, strcspn(KEY_LINE + 12, " ")), SP_OK);
	assert_int_equal(b.len, sizeof(r->user_key));
	memcpy(r->user_key, b.p, b.len);
	r->user_key_len = b.len;
	sp_buf_release(&b);
}

void
rig_down(struct rig *r)
{
	rig_stop(r, 0);
	rig_destroy(r);
}

/* ---- sessions and scribes ---- */

static void
send_attach(struct rig *r, struct peer *p, int again)
{
	Sallyport__Attach a = SALLYPORT__ATTACH__INIT;
	int fds[2];

	if (!again)
		sp_uuid_make(&p->conn);
	peer_pair(r, p, SP_PROC_SESSION, &fds[1]);
	fds[0] = open("/dev/null", O_RDONLY);
	a.conn_id = bytes(p->conn.b, 16);
	a.pid = (uint32_t)getpid();
	a.source_ip = str("198.51.100.7");
	a.source_port = 4711;
	a.local_ip = str("127.0.0.1");
	a.local_port = 2222;
	a.again = again;
	a.inner_token = bytes(p->token, p->token_len);
	assert_int_equal(sp_chan_send(r->monitor.chan, SP_MSG_ATTACH, 0, &a, fds, 2), SP_OK);
}

void
session_born(struct rig *r, struct peer *p)
{
	Sallyport__Hello h = SALLYPORT__HELLO__INIT;

	send_attach(r, p, 0);
	sp_chan_set_state(p->chan, SP_ST_PREAUTH);
	h.protocol = SP_IPC_PROTOCOL;
	h.conn_id = bytes(p->conn.b, 16);
	peer_send(p, SP_MSG_HELLO, 0, &h);
	peer_wait(p, SP_MSG_WELCOME, 0);
}

void
session_inner(struct rig *r, struct peer *p, struct peer *in, const char *asset)
{
	Sallyport__InnerAsk q = SALLYPORT__INNER_ASK__INIT;
	Sallyport__Hello h = SALLYPORT__HELLO__INIT;
	Sallyport__Inner *m;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	q.asset = str(asset);
	q.port = 22;
	assert_int_equal(sp_chan_send(p->chan, SP_MSG_INNER_ASK, sp_chan_corr(p->chan), &q, &sv[1], 1), SP_OK);
	m = peer_wait(&r->monitor, SP_MSG_INNER, 0);
	assert_true(m->inner_token.len <= sizeof(in->token));
	memcpy(in->token, m->inner_token.data, in->token_len = m->inner_token.len);
	close(sv[0]);
	send_attach(r, in, 0);
	h.protocol = SP_IPC_PROTOCOL;
	h.conn_id = bytes(in->conn.b, 16);
	peer_send(in, SP_MSG_HELLO, 0, &h);
	peer_wait(in, SP_MSG_WELCOME, 0);
	sp_chan_set_state(in->chan, SP_ST_AUTHED);
}

void
session_again(struct rig *r, struct peer *p, const struct sp_uuid *user, uint64_t epoch, const struct sp_uuid *sessions,
    const struct sp_uuid *accounts, size_t n)
{
	Sallyport__Hello h = SALLYPORT__HELLO__INIT;
	Sallyport__HelloTarget t[4], *tp[4];

	send_attach(r, p, 1);
	h.protocol = SP_IPC_PROTOCOL;
	h.conn_id = bytes(p->conn.b, 16);
	if (user != NULL)
		h.user_id = bytes(user->b, 16);
	h.epoch = epoch;
	for (size_t i = 0; i < n; i++) {
		sallyport__hello_target__init(&t[i]);
		t[i].session_id = bytes(sessions[i].b, 16);
		t[i].account_id = bytes(accounts[i].b, 16);
		tp[i] = &t[i];
	}
	h.targets = tp;
	h.n_targets = n;
	peer_send(p, SP_MSG_HELLO, 0, &h);
}

Sallyport__AuthReply *
session_auth(struct peer *p, const char *login, const uint8_t *key, size_t n, int signature_ok)
{
	Sallyport__AuthAsk a = SALLYPORT__AUTH_ASK__INIT;
	Sallyport__AuthReply *reply;

	a.login = str(login);
	a.method = str("publickey");
	a.key_alg = str("ssh-ed25519");
	a.key_blob = bytes(key, n);
	a.signature_ok = signature_ok;
	reply = peer_ask(p, SP_MSG_AUTH_ASK, &a, SP_MSG_AUTH_REPLY);
	if (reply->verdict == SALLYPORT__AUTH_REPLY__VERDICT__OK)
		sp_chan_set_state(p->chan, SP_ST_AUTHED);
	return reply;
}

void
session_login(struct rig *r, struct peer *p)
{
	Sallyport__AuthReply *a = session_auth(p, "alice", r->user_key, r->user_key_len, 1);

	assert_int_equal(a->verdict, SALLYPORT__AUTH_REPLY__VERDICT__OK);
}

Sallyport__TargetReply *
session_target(struct peer *p, const char *account, const char *asset)
{
	Sallyport__TargetAsk t = SALLYPORT__TARGET_ASK__INIT;

	t.account = str(account);
	t.asset = str(asset);
	t.form = str("login");
	t.protocol = str("shell");
	return peer_ask(p, SP_MSG_TARGET_ASK, &t, SP_MSG_TARGET_REPLY);
}

void
scribe_born(struct rig *r, struct peer *p, const struct sp_uuid *conn, const struct sp_uuid *session, int again)
{
	Sallyport__AttachScribe a = SALLYPORT__ATTACH_SCRIBE__INIT;
	int other;

	p->conn = *conn;
	p->session = *session;
	peer_pair(r, p, SP_PROC_SCRIBE, &other);
	a.conn_id = bytes(conn->b, 16);
	a.session_id = bytes(session->b, 16);
	a.pid = SCRIBE_PID;
	a.again = again;
	assert_int_equal(sp_chan_send(r->monitor.chan, SP_MSG_ATTACH_SCRIBE, 0, &a, &other, 1), SP_OK);
}

void
scribe_event(struct peer *p, uint64_t seq, const char *kind, const char *json)
{
	Sallyport__Event e = SALLYPORT__EVENT__INIT;

	e.session_id = bytes(p->session.b, 16);
	e.seq = seq;
	e.kind = str(kind);
	e.wall_us = sp_wall_us();
	e.mono_us = sp_now_us();
	e.body = bytes(json, strlen(json));
	peer_send(p, SP_MSG_EVENT, 0, &e);
}

void
session_gone(struct rig *r, const struct sp_uuid *conn)
{
	Sallyport__Gone g = SALLYPORT__GONE__INIT;

	g.conn_id = bytes(conn->b, 16);
	assert_int_equal(sp_chan_send(r->monitor.chan, SP_MSG_GONE, 0, &g, NULL, 0), SP_OK);
}
