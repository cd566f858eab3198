/* src/vault/main.c - sallyport-vault: start, peers, tables of handlers.
 * The only process that sees secrets in the clear. It has no network, runs nothing, opens files in one directory only,
 * waits for no other process, and a lying peer costs that peer its channel, never the vault. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "vault/vault.h"

#define MEMLOCK_BYTES		(UINT64_C(64) << 20)
#define SENSITIVE_FROM_KIB	(4ul << 20)	/* free memory from which a passphrase slot takes 1 GiB */

static struct vault vault;

static const struct {
	uint16_t	 id;
	void		(*fn)(struct session *, struct sp_msg *);
} session_handlers[] = {
	{ SP_MSG_PASSWORD_CHECK,	pwcheck_on_check },
	{ SP_MSG_CODE_CHECK,	totp_on_check },
	{ SP_MSG_SIGN_ASK,		spend_on_sign },
	{ SP_MSG_CERT_ASK,		spend_on_cert },
	{ SP_MSG_PASSWORD_ASK,		spend_on_password },
};

/* ---- sessions */

static void
session_free(struct session *s)
{
	sp_htab_remove(&s->v->sessions, &s->node);
	lease_drop(&s->v->leases, &s->conn, NULL);
	sp_chan_free(s->chan);
	free(s);
}

void
session_eject(struct session *s, const char *why)
{
	char id[SP_UUID_SIZE];

	sp_warn("connection %s: channel closed: %s", sp_uuid_text(&s->conn, id), why);
	session_free(s);
}

void
session_refuse(struct session *s, const char *what, const char *why)
{
	char id[SP_UUID_SIZE];

	s->refused++;
	sp_warn("connection %s: %s refused: %s", sp_uuid_text(&s->conn, id), what, why);
}

static void
session_on_msg(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	struct session *s = arg;

	if (s->refused >= SESSION_REFUSED_MAX || sp_chan_queued(c) > SESSION_QUEUE_MAX) {
		session_eject(s, "asks too much");
		return;
	}
	for (size_t i = 0; i < SP_NELEMS(session_handlers); i++)
		if (session_handlers[i].id == m->id) {
			session_handlers[i].fn(s, m);
			return;
		}
}

static void
session_on_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	struct session *s = arg;
	char id[SP_UUID_SIZE];

	(void)c;
	if (why != SP_ECLOSED)
		sp_warn("connection %s: channel closed: bad message %s: %s", sp_uuid_text(&s->conn, id), what, sp_err_text(why));
	session_free(s);
}

static enum sp_err
session_new(struct vault *v, const struct sp_uuid *conn, int fd)
{
	struct session *s = calloc(1, sizeof(*s));
	struct sp_hnode *old = sp_htab_find(&v->sessions, conn->b, sizeof(conn->b));
	enum sp_err r;

	if (s == NULL) {
		close(fd);
		return SP_ENOMEM;
	}
	*s = (struct session){ .v = v, .conn = *conn };
	if ((r = sp_chan_new(fd, SP_PROC_VAULT, SP_PROC_SESSION, session_on_msg, session_on_close, s, &s->chan)) != SP_OK) {
		free(s);
		return r;
	}
	if (old != NULL)	/* the monitor replaces it */
		session_free(sp_container(old, struct session, node));
	if ((r = sp_chan_watch(s->chan, v->child.loop)) == SP_OK)
		r = sp_htab_insert(&v->sessions, &s->node, s->conn.b, sizeof(s->conn.b));
	if (r != SP_OK)
		session_free(s);
	return r;
}

/* ---- control */

static void
on_lease_put(struct vault *v, struct sp_msg *m)
{
	const char *why = NULL;
	enum sp_err r;

	if (!v->unsealed)
		return;		/* control has the state on its way; the session reads "sealed" */
	r = lease_put(&v->leases, (const Sallyport__LeasePut *)m->body, (struct sp_view){ m->raw, m->raw_len }, v->boot,
	    sp_now_us(), &why);
	if (r != SP_OK)
		sp_warn("a lease of control is refused: %s: %s", sp_err_text(r), why != NULL ? why : "");
}

static void
on_lease_drop(struct vault *v, struct sp_msg *m)
{
	const Sallyport__LeaseDrop *b = (const Sallyport__LeaseDrop *)m->body;
	struct sp_uuid conn, session, *only = NULL;

	if (sp_uuid_from(b->conn_id.data, b->conn_id.len, &conn) != SP_OK)
		return;
	if (b->session_id.len > 0) {
		if (sp_uuid_from(b->session_id.data, b->session_id.len, &session) != SP_OK)
			return;
		only = &session;
	}
	lease_drop(&v->leases, &conn, only);
}

static const struct {
	uint16_t	 id;
	void		(*fn)(struct vault *, struct sp_msg *);
} control_handlers[] = {
	{ SP_MSG_LEASE_PUT,	on_lease_put },
	{ SP_MSG_LEASE_DROP,	on_lease_drop },
	{ SP_MSG_PWCHECK_PUT,	pwcheck_on_put },
	{ SP_MSG_VAULT_INIT,	ceremony_on_init },
	{ SP_MSG_VAULT_OPEN,	ceremony_on_open },
	{ SP_MSG_VAULT_SEAL,	vault_on_seal },
	{ SP_MSG_VAULT_ROTATE,	ceremony_on_rotate },
	{ SP_MSG_VAULT_SLOTS,	ceremony_on_slots },
	{ SP_MSG_SECRET_PUT,	secrets_on_put },
	{ SP_MSG_SECRET_REVEAL,	secrets_on_reveal },
	{ SP_MSG_SECRET_REWRAP,	secrets_on_rewrap },
	{ SP_MSG_HASH_PASSWORD,	pwcheck_on_hash },
	{ SP_MSG_RECORD_KEY,	record_on_key },
	{ SP_MSG_RECORD_UNWRAP,	record_on_unwrap },
	{ SP_MSG_TOTP_NEW,	totp_on_new },
	{ SP_MSG_CODE_PUT,	totp_on_put },
	{ SP_MSG_CHECKPOINT_SIGN, checkpoint_on_sign },
};

static void
control_on_msg(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	(void)c;
	for (size_t i = 0; i < SP_NELEMS(control_handlers); i++)
		if (control_handlers[i].id == m->id) {
			control_handlers[i].fn(arg, m);
			return;
		}
}

static void
control_on_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	struct vault *v = arg;

	if (why != SP_ECLOSED)
		sp_error("channel of control closed: bad message %s: %s", what, sp_err_text(why));
	if (v->control == c)
		v->control = NULL;
	sp_chan_free(c);
}

static enum sp_err
control_new(struct vault *v, int fd)
{
	struct sp_chan *c;
	enum sp_err r = sp_chan_new(fd, SP_PROC_VAULT, SP_PROC_CONTROL, control_on_msg, control_on_close, v, &c);

	if (r != SP_OK)
		return r;
	if ((r = sp_chan_watch(c, v->child.loop)) != SP_OK) {
		sp_chan_free(c);
		return r;
	}
	sp_chan_free(v->control);
	v->control = c;
	v->control_gen++;
	vault_send_state(v);
	return SP_OK;
}

/* ---- the monitor */

static void
on_peer(struct sp_child *child, const struct Sallyport__Peer *p, int fd)
{
	struct vault *v = child->arg;
	struct sp_uuid conn;
	enum sp_err r = SP_EPEER;

	if (p->kind == SP_PROC_CONTROL)
		r = control_new(v, fd);
	else if (p->kind == SP_PROC_SESSION && v->sessions.n < VAULT_SESSIONS_MAX &&
	    sp_uuid_from(p->conn_id.data, p->conn_id.len, &conn) == SP_OK)
		r = session_new(v, &conn, fd);
	else
		close(fd);
	if (r != SP_OK)
		sp_error("a peer of kind %u is not taken: %s", p->kind, sp_err_text(r));
}

static void
on_sweep(struct sp_timer *t, void *arg)
{
	struct vault *v = arg;
	uint64_t now = sp_now_us();

	lease_sweep(&v->leases, now);
	pwcheck_sweep(v, now);
	totp_sweep(v, now);
	shares_sweep(&v->shares, now);
	sp_timer_in(t, VAULT_SWEEP_US);
}

/* ---- start */

/* A readable descriptor of the directory (BOOT's is O_PATH, which cannot be synchronised) and its path for the sandbox. */
static void
take_directory(struct vault *v, char *path, size_t size)
{
	sp_auto(sp_closep) int fd = sp_child_take_fd(&v->child, "vault-dir");
	char link[64];
	ssize_t n;

	if (fd == -1)
		sp_die(78, "the monitor gave no vault-dir");
	sp_snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if ((n = readlink(link, path, size - 1)) <= 0 || path[0] != '/')
		sp_die(71, "cannot tell the path of the vault's directory");
	path[n] = 0;
	if ((v->dirfd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		sp_die(71, "cannot open the vault's directory %s: %s", path, sp_err_text(sp_err_errno(errno)));
}

/* The key file's bytes, read once; empty when there is none. */
static void
take_keyfile(struct vault *v, struct sp_secret *ret)
{
	sp_auto(sp_closep) int fd = sp_child_take_fd(&v->child, "keyfile");
	size_t n = 0;
	ssize_t k;

	if (fd == -1 || sp_secret_alloc(SP_SLOT_KEYFILE_MAX + 1, ret) != SP_OK)
		return;
	while (n < ret->len && ((k = read(fd, ret->p + n, ret->len - n)) > 0 || (k == -1 && errno == EINTR)))
		n += k > 0 ? (size_t)k : 0;
	ret->len = n;
	if (n < SP_SLOT_KEYFILE_MIN || n > SP_SLOT_KEYFILE_MAX) {
		sp_warn("the key file has not 32 to 4096 bytes: not used");
		ret->len = 0;
	}
}

/* What a passphrase slot may cost on this machine: 1 GiB takes everything from a small one. */
static enum sp_argon2_cost
choose_cost(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long kib = 0;
	char line[128];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "MemAvailable:", 13) == 0)
			kib = strtoul(line + 13, NULL, 10);
	if (f != NULL)
		fclose(f);
	return kib >= SENSITIVE_FROM_KIB ? SP_ARGON2_SENSITIVE : SP_ARGON2_MODERATE;
}

static void
enter_sandbox(struct vault *v, const char *dir)
{
	const char *rw[] = { dir, NULL };
	struct sp_sandbox box = { .may = SP_MAY_FILES | SP_MAY_THREADS, .user = sp_proc_user(SP_PROC_VAULT), .rw = rw,
	    .files_n = (uint64_t)v->child.conf.max_connections * 2 + 256, .memlock_bytes = MEMLOCK_BYTES };

	sp_child_ready(&v->child, &box);
}

/* Threads come after the sandbox: Landlock binds only threads that are made behind it. */
static void
start_threads(struct vault *v)
{
	if (sp_pool_new(v->child.loop, VAULT_HASH_THREADS, VAULT_HASH_QUEUE, &v->hash_pool) != SP_OK ||
	    sp_pool_new(v->child.loop, 1, VAULT_SLOW_QUEUE, &v->slow_pool) != SP_OK ||
	    sp_pool_new(v->child.loop, 1, 1, &v->head_pool) != SP_OK ||
	    sp_timer_new(v->child.loop, on_sweep, v, &v->sweep) != SP_OK)
		sp_die(71, "cannot start the vault's threads");
	sp_timer_in(v->sweep, VAULT_SWEEP_US);
}

static void
finish(struct vault *v)
{
	vault_wipe(v);
	sp_pool_free(v->hash_pool);
	sp_pool_free(v->slow_pool);
	sp_pool_free(v->head_pool);
	pwcheck_clear(v);
	totp_clear(v);
	checkpoint_clear(v);
	sp_secret_release(&v->transport_sk);
}

int
main(void)
{
	static const struct sp_child_ops ops = { .peer = on_peer };
	sp_auto_secret keyfile = { 0 };
	struct vault *v = &vault;
	char dir[4096];
	int status;

	sp_child_init(&v->child, SP_PROC_VAULT, &ops, v);
	if (sodium_init() == -1)
		sp_die(71, "cannot start libsodium");
	v->cost = choose_cost();
	if (vault_state_init(v) != SP_OK)
		sp_die(71, "cannot lock memory for keys: raise LimitMEMLOCK (ulimit -l)");
	take_directory(v, dir, sizeof(dir));
	take_keyfile(v, &keyfile);
	enter_sandbox(v, dir);
	start_threads(v);
	vault_load(v);
	checkpoint_load(v);
	if (keyfile.len > 0)
		vault_auto_unseal(v, sp_secret_view(&keyfile));
	sp_secret_release(&keyfile);
	status = sp_child_run(&v->child);
	finish(v);
	return status;
}
