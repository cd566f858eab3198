/* tests/unit/src/vault/harness.c - see harness.h. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/sealkind.h"
#include "crypto/sealbox.h"

ProtobufCBinaryData
bytes_of(const void *p, size_t n)
{
	return (ProtobufCBinaryData){ .len = n, .data = (uint8_t *)(uintptr_t)p };
}

/* ---- channels */

static void
rig_note_state(struct rig *r, const Sallyport__VaultState *st)
{
	r->states++;
	r->initialised = st->initialised;
	r->sealed = st->sealed;
	r->term = st->term;
	assert_int_equal(st->public_key.len, 32);
	assert_int_equal(st->boot.len, 16);
	memcpy(r->pk, st->public_key.data, 32);
	memcpy(r->boot, st->boot.data, 16);
	r->has_mac = st->row_mac_key.len == 32;
	if (r->has_mac)
		memcpy(r->mac, st->row_mac_key.data, 32);
	r->slots_n = st->n_slots;
	for (size_t i = 0; i < st->n_slots; i++)
		(void)sp_strlcpy(r->slot[i], st->slots[i], sizeof(r->slot[i]));
}

static void
peer_on_msg(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	struct peer *p = arg;

	(void)c;
	if (m->id == SP_MSG_VAULT_STATE) {
		rig_note_state(p->rig, (const Sallyport__VaultState *)m->body);
		return;
	}
	assert_true(p->n < INBOX_MAX);
	p->in[p->n].id = m->id;
	p->in[p->n].corr = m->corr;
	p->in[p->n++].body = protobuf_c_message_unpack(sp_msg_spec(m->id)->body, NULL, m->raw_len, m->raw);
}

static void
peer_on_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	struct peer *p = arg;

	(void)c;
	if (why != SP_ECLOSED)
		print_error("the vault sent a bad message %s: %s\n", what, sp_err_text(why));
	assert_int_equal(why, SP_ECLOSED);
	p->closed = 1;
}

void
peer_close(struct peer *p)
{
	sp_chan_free(p->chan);
	for (size_t i = 0; i < p->n; i++)
		protobuf_c_message_free_unpacked(p->in[i].body, NULL);
	if (p->last != NULL)
		protobuf_c_message_free_unpacked(p->last, NULL);
	*p = (struct peer){ .rig = p->rig, .conn = p->conn, .closed = 1 };
}

static void
peer_init(struct rig *r, struct peer *p, enum sp_proc kind, int fd)
{
	struct sp_uuid conn = p->conn;

	*p = (struct peer){ .rig = r, .conn = conn };
	assert_int_equal(sp_chan_new(fd, kind, SP_PROC_VAULT, peer_on_msg, peer_on_close, p, &p->chan), SP_OK);
}

void
peer_attach(struct rig *r, struct peer *p, enum sp_proc kind)
{
	Sallyport__Peer m = SALLYPORT__PEER__INIT;
	int sv[2];

	assert_int_equal(sp_chan_pair(sv), SP_OK);
	m.kind = kind;
	if (kind == SP_PROC_SESSION)
		m.conn_id = bytes_of(p->conn.b, 16);
	assert_int_equal(sp_chan_send(r->monitor.chan, SP_MSG_PEER, 0, &m, &sv[1], 1), SP_OK);
	peer_init(r, p, kind, sv[0]);
}

void
peer_open(struct rig *r, struct peer *p, enum sp_proc kind)
{
	sp_uuid_make(&p->conn);
	peer_attach(r, p, kind);
}

int
peer_poll(struct peer *p, int timeout_ms)
{
	return sp_chan_wait(p->chan, timeout_ms) == SP_OK;
}

uint32_t
peer_send(struct peer *p, uint16_t id, const void *body, int fd)
{
	uint32_t corr = sp_chan_corr(p->chan);

	assert_int_equal(sp_chan_send(p->chan, id, corr, body, fd >= 0 ? &fd : NULL, fd >= 0), SP_OK);
	return corr;
}

static int
peer_take(struct peer *p, uint16_t id, uint32_t corr)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->in[i].id != id || (corr != 0 && p->in[i].corr != corr))
			continue;
		if (p->last != NULL)
			protobuf_c_message_free_unpacked(p->last, NULL);
		p->last = p->in[i].body;
		memmove(&p->in[i], &p->in[i + 1], (--p->n - i) * sizeof(p->in[0]));
		return 1;
	}
	return 0;
}

void *
peer_wait(struct peer *p, uint16_t id, uint32_t corr)
{
	uint64_t until = sp_now_us() + WAIT_MS * SP_US_PER_MS;

	while (!peer_take(p, id, corr)) {
		if (p->closed)
			return NULL;
		assert_true(sp_now_us() < until);
		(void)!sp_chan_wait(p->chan, 1000);
	}
	return p->last;
}

void *
peer_ask(struct peer *p, uint16_t id, const void *body, uint16_t reply)
{
	return peer_wait(p, reply, peer_send(p, id, body, -1));
}

void
peer_expect_closed(struct peer *p)
{
	uint64_t until = sp_now_us() + WAIT_MS * SP_US_PER_MS;

	while (!p->closed) {
		assert_true(sp_now_us() < until);
		(void)!sp_chan_wait(p->chan, 1000);
	}
}

/* ---- the process */

void
rig_create(struct rig *r)
{
	const struct passwd *pw = getpwnam("sallyport-vault");

	*r = (struct rig){ 0 };
	assert_int_not_equal(sodium_init(), -1);
	(void)sp_strlcpy(r->dir, "/tmp/sp-vault-XXXXXX", sizeof(r->dir));
	assert_non_null(mkdtemp(r->dir));
	if (pw != NULL && geteuid() == 0)
		assert_int_equal(chown(r->dir, pw->pw_uid, pw->pw_gid), 0);
	randombytes_buf(r->keyfile, sizeof(r->keyfile));
}

void
rig_destroy(struct rig *r)
{
	static const char *const names[] = { "slots", "slots.new", "x", "x.pub", "x-cert.pub", "heads" };
	char path[128];

	for (size_t i = 0; i < SP_NELEMS(names); i++) {
		sp_snprintf(path, sizeof(path), "%s/%s", r->dir, names[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(r->dir), 0);
}

/* A readable descriptor with these bytes. */
static int
fd_with(const void *p, size_t n)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(write(fds[1], p, n), (ssize_t)n);
	close(fds[1]);
	return fds[0];
}

static void
rig_exec(int fd)
{
	const char *exe = getenv("SALLYPORT_VAULT");

	if (exe == NULL || dup2(fd, 3) != 3 || fcntl(3, F_SETFD, 0) == -1)
		_exit(126);
	execl(exe, exe, (char *)NULL);
	_exit(127);
}

static void
rig_boot(struct rig *r, int with_keyfile)
{
	static char dirname[] = "vault-dir", keyname[] = "keyfile", config[] = "", path[] = "/tmp";
	char *names[] = { dirname, keyname };
	Sallyport__Boot b = SALLYPORT__BOOT__INIT;
	uint8_t id[16] = { 1 };
	int fds[2];

	b.protocol = SP_IPC_PROTOCOL;
	b.boot_id = bytes_of(id, sizeof(id));
	b.config = config;
	b.run_dir = b.state_dir = path;
	b.fd_names = names;
	b.n_fd_names = with_keyfile ? 2 : 1;
	fds[0] = open(r->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(fds[0] >= 0);
	fds[1] = with_keyfile ? fd_with(r->keyfile, sizeof(r->keyfile)) : -1;
	assert_int_equal(sp_chan_send(r->monitor.chan, SP_MSG_BOOT, 0, &b, fds, (int)b.n_fd_names), SP_OK);
}

void
rig_start(struct rig *r, int with_keyfile)
{
	int sv[2];

	assert_int_equal(sp_chan_pair(sv), SP_OK);
	if ((r->pid = fork()) == 0)
		rig_exec(sv[1]);
	assert_true(r->pid > 0);
	close(sv[1]);
	peer_init(r, &r->monitor, SP_PROC_MONITOR, sv[0]);
	rig_boot(r, with_keyfile);
	assert_non_null(peer_wait(&r->monitor, SP_MSG_READY, 0));
	peer_open(r, &r->control, SP_PROC_CONTROL);
	r->states = 0;
	while (r->states == 0)
		assert_true(peer_poll(&r->control, WAIT_MS));
}

void
rig_stop(struct rig *r, int signo)
{
	int st = -1;

	if (signo != 0)
		kill(r->pid, signo);
	peer_close(&r->monitor);
	peer_close(&r->control);
	assert_int_equal(waitpid(r->pid, &st, 0), r->pid);
	if (signo == 0)
		assert_true(WIFEXITED(st) && WEXITSTATUS(st) == 0);
}

void
rig_up(struct rig *r)
{
	rig_create(r);
	rig_start(r, 0);
	assert_false(r->initialised);
	assert_true(r->sealed);
	assert_int_equal(vault_init(r, "keyfile", r->keyfile, sizeof(r->keyfile)), SP_OK);
	assert_false(r->sealed);
}

void
rig_down(struct rig *r)
{
	rig_stop(r, 0);
	rig_destroy(r);
}

/* ---- questions of control */

struct sp_buf
sealed(const struct rig *r, const char *kind, const void *p, size_t n)
{
	struct sp_seal_context ctx = { .kind = kind };
	struct sp_buf out;

	sp_buf_init(&out, SP_SEALBOX_MAX);
	assert_int_equal(sp_sealbox_seal(r->pk, &ctx, (struct sp_view){ p, n }, &out), SP_OK);
	return out;
}

static enum sp_err
reply_err(struct rig *r, const Sallyport__VaultReply *m, char *text)
{
	assert_non_null(m);
	assert_int_equal(m->state->row_mac_key.len, 0);	/* it travels in a SECRET message only */
	assert_int_equal(m->state->sealed, r->sealed);	/* VAULT_STATE came first */
	if (text != NULL)
		(void)sp_strlcpy(text, m->text, 200);
	return (enum sp_err)m->err;
}

enum sp_err
vault_init(struct rig *r, const char *slot, const void *cred, size_t n)
{
	sp_auto(sp_buf_release) struct sp_buf box = sealed(r, SP_SEAL_CREDENTIAL, cred, n);
	Sallyport__VaultInit m = SALLYPORT__VAULT_INIT__INIT;
	static char none[] = "";

	m.slot = (char *)(uintptr_t)slot;
	m.keyfile = none;
	m.sealed_passphrase = bytes_of(box.p, box.len);
	return reply_err(r, peer_ask(&r->control, SP_MSG_VAULT_INIT, &m, SP_MSG_VAULT_REPLY), NULL);
}

enum sp_err
vault_open(struct rig *r, const char *slot, const void *cred, size_t n, char text[200])
{
	sp_auto(sp_buf_release) struct sp_buf box = sealed(r, SP_SEAL_CREDENTIAL, cred, n);
	Sallyport__VaultOpen m = SALLYPORT__VAULT_OPEN__INIT;

	m.slot = (char *)(uintptr_t)slot;
	m.credential = bytes_of(box.p, box.len);
	m.sealed_to_vault = 1;
	return reply_err(r, peer_ask(&r->control, SP_MSG_VAULT_OPEN, &m, SP_MSG_VAULT_REPLY), text);
}

enum sp_err
vault_simple(struct rig *r, uint16_t id)
{
	Sallyport__Empty m = SALLYPORT__EMPTY__INIT;

	return reply_err(r, peer_ask(&r->control, id, &m, SP_MSG_VAULT_REPLY), NULL);
}

void
stored_release(struct stored *s)
{
	sp_buf_release(&s->envelope);
	sp_buf_release(&s->pub);
}

enum sp_err
secret_put(struct rig *r, const char *kind, const char *text, const char *algorithm, struct stored *ret)
{
	Sallyport__SecretPut m = SALLYPORT__SECRET_PUT__INIT;
	sp_auto(sp_buf_release) struct sp_buf box = { 0 };
	const Sallyport__SecretReply *reply;
	char box_kind[64];

	*ret = (struct stored){ .kind = kind };
	sp_buf_init(&ret->envelope, 65536);
	sp_buf_init(&ret->pub, 65536);
	sp_uuid_make(&ret->id);
	sp_snprintf(box_kind, sizeof(box_kind), SP_SEAL_ACCOUNT "%s", kind);
	m.secret_id = bytes_of(ret->id.b, 16);
	m.version = 1;
	m.kind = (char *)(uintptr_t)kind;
	if (text != NULL) {
		box = sealed(r, box_kind, text, strlen(text));
		m.sealed = bytes_of(box.p, box.len);
	} else {
		m.generate = 1;
		m.algorithm = (char *)(uintptr_t)algorithm;
	}
	reply = peer_ask(&r->control, SP_MSG_SECRET_PUT, &m, SP_MSG_SECRET_REPLY);
	assert_non_null(reply);
	if (reply->err == SP_OK) {
		assert_int_equal(sp_buf_append(&ret->envelope, reply->envelope.data, reply->envelope.len), SP_OK);
		assert_int_equal(sp_buf_append(&ret->pub, reply->public_key.data, reply->public_key.len), SP_OK);
		ret->term = reply->term;
		(void)sp_strlcpy(ret->fingerprint, reply->fingerprint, sizeof(ret->fingerprint));
	}
	return (enum sp_err)reply->err;
}

enum sp_err
secret_reveal(struct rig *r, const struct stored *s, struct sp_buf *ret)
{
	struct sp_seal_context ctx = { .kind = SP_SEAL_REVEAL };
	Sallyport__SecretReveal m = SALLYPORT__SECRET_REVEAL__INIT;
	const Sallyport__SecretReply *reply;
	sp_auto_secret sk = { 0 }, plain = { 0 };
	uint8_t pk[32];

	assert_int_equal(sp_sealbox_keypair(pk, &sk), SP_OK);
	m.secret_id = bytes_of(s->id.b, 16);
	m.version = 1;
	m.kind = (char *)(uintptr_t)s->kind;
	m.envelope = bytes_of(s->envelope.p, s->envelope.len);
	m.client_key = bytes_of(pk, sizeof(pk));
	reply = peer_ask(&r->control, SP_MSG_SECRET_REVEAL, &m, SP_MSG_SECRET_REPLY);
	assert_non_null(reply);
	if (reply->err != SP_OK) {
		assert_int_equal(reply->envelope.len, 0);
		return (enum sp_err)reply->err;
	}
	assert_int_equal(sp_sealbox_open(pk, &sk, &ctx, (struct sp_view){ reply->envelope.data, reply->envelope.len },
	    &plain), SP_OK);
	sp_buf_init(ret, 65536);
	assert_int_equal(sp_buf_append(ret, plain.p, plain.len), SP_OK);
	return SP_OK;
}

/* ---- leases */

void
lease_make(struct rig *r, const struct peer *session, const struct stored *s, struct lease_msg *ret)
{
	static char sign[] = "sign", cert[] = "certificate", password[] = "password", none[] = "", login[] = "deploy",
	    principal[] = "deploy.web-01", key_id[] = "0190-alice", source[] = "10.0.0.0/8";
	Sallyport__LeasePut *m = &ret->m;

	*ret = (struct lease_msg){ 0 };
	sallyport__lease_put__init(m);
	randombytes_buf(ret->id, sizeof(ret->id));
	sp_uuid_make(&ret->session);
	m->lease = bytes_of(ret->id, sizeof(ret->id));
	m->conn_id = bytes_of(session->conn.b, 16);
	m->session_id = bytes_of(ret->session.b, 16);
	m->op = strcmp(s->kind, "password") == 0 ? password : strcmp(s->kind, "ssh-ca") == 0 ? cert : sign;
	m->deadline_us = sp_now_us() + 60 * SP_US_PER_S;
	m->uses = 1;
	m->secret_id = bytes_of(s->id.b, 16);
	m->secret_version = 1;
	m->secret_kind = (char *)(uintptr_t)s->kind;
	m->sealed = bytes_of(s->envelope.p, s->envelope.len);
	m->login = login;
	m->key_id = none;
	m->vault_boot = bytes_of(r->boot, 16);
	if (m->op == cert) {
		ret->principal[0] = principal;
		ret->source[0] = source;
		m->n_principals = m->n_source_addresses = 1;
		m->key_id = key_id;
		m->valid_s = 300;
		m->wall_us = sp_wall_us();
		m->serial = 4711;
	}
}

void
lease_send(struct rig *r, struct lease_msg *l)
{
	l->m.principals = l->principal;
	l->m.source_addresses = l->source;
	assert_int_equal(sp_chan_send(r->control.chan, SP_MSG_LEASE_PUT, 0, &l->m, NULL, 0), SP_OK);
}

/* ---- programs */

int
run(const char *const argv[], struct sp_buf *out)
{
	uint8_t chunk[4096];
	int fds[2], st = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	if ((pid = fork()) == 0) {
		dup2(fds[1], 1);
		dup2(fds[1], 2);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(fds[1]);
	while ((n = read(fds[0], chunk, sizeof(chunk))) > 0)
		assert_int_equal(sp_buf_append(out, chunk, (size_t)n), SP_OK);
	close(fds[0]);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	return WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}
