/* src/control/inner.c - ssh -J: a connection inside another one gets its identity from a token, and the asset's own host
 * key. Process: control, event loop; keys are derived in any thread.
 * Invariants: (1) a token is good once, for seconds, and only while the outer connection lives. (2) The inner host key of
 * an asset is a function of the seed and the asset's id: nothing to store, the same after a restart. (3) The bastion is
 * never an asset. */
#include "control/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/judge.h"
#include "control/wall.h"
#include "crypto/kdf.h"
#include "crypto/sign.h"

#define SEED_NAME	"inner.seed"
#define SEED_NEW	"inner.seed.new"
#define SEED_LEN	32
#define TOKEN_LEN	32
#define TOKEN_LIFE_US	(15 * SP_US_PER_S)
#define TOKENS_MAX	4096

struct token {
	struct sp_hnode	node;
	uint8_t		b[TOKEN_LEN];
	uint64_t	deadline_us;
	struct conn	*outer;
	struct sp_uuid	asset_id;
	char		asset_name[SP_STORE_NAME_MAX + 1];
};
struct inners {
	struct sp_secret	seed;
	struct sp_htab		tokens;
};

/* ---- keys ---- */

static enum sp_err
inner_pair(const struct ctl *c, const struct sp_uuid *asset_id, uint8_t pk[SP_ED25519_PK], struct sp_secret *ret_sk)
{
	uint8_t seed[32];
	enum sp_err r;

	sp_kdf_subkey(c->inners->seed.p, "inner host key", (struct sp_view){ asset_id->b, sizeof(asset_id->b) }, seed);
	r = sp_ed25519_from_seed(seed, pk, ret_sk);
	explicit_bzero(seed, sizeof(seed));
	return r;
}

enum sp_err
inner_public(const struct ctl *c, const struct sp_uuid *asset_id, struct sp_buf *ret)
{
	sp_auto_secret sk = { 0 };
	uint8_t pk[SP_ED25519_PK];
	enum sp_err r = inner_pair(c, asset_id, pk, &sk);

	if (r == SP_OK && (r = sp_buf_put_cstring(ret, "ssh-ed25519")) == SP_OK)
		r = sp_buf_put_string(ret, pk, sizeof(pk));
	return r;
}

/* As the private section of a key file (crypto/sign.h), then as its text. */
enum sp_err
inner_private(const struct ctl *c, const struct sp_uuid *asset_id, struct sp_buf *ret)
{
	sp_auto_secret sk = { 0 }, key = { 0 };
	uint8_t pk[SP_ED25519_PK];
	struct sp_buf b;
	enum sp_err r = inner_pair(c, asset_id, pk, &sk);

	sp_buf_init(&b, 256);
	if (r == SP_OK && sk.len != 64)
		r = SP_EINTERNAL;
	if (r == SP_OK && (r = sp_buf_put_cstring(&b, "ssh-ed25519")) == SP_OK &&
	    (r = sp_buf_put_string(&b, pk, sizeof(pk))) == SP_OK &&
	    (r = sp_buf_put_string(&b, sk.p, sk.len)) == SP_OK &&
	    (r = sp_secret_from(b.p, b.len, &key)) == SP_OK)
		r = sp_privkey_export(&key, "sallyport inner host key", ret);
	sp_buf_release(&b);
	return r;
}

/* ---- the seed ---- */

static enum sp_err
seed_read(int dir, struct sp_secret *ret)
{
	sp_auto(sp_closep) int fd = openat(dir, SEED_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	uint8_t b[SEED_LEN + 1];
	struct stat st;
	ssize_t n;

	if (fd == -1)
		return sp_err_errno(errno);
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || (st.st_mode & 077) != 0)
		return SP_ECORRUPT;
	n = read(fd, b, sizeof(b));
	return n == SEED_LEN ? sp_secret_take(b, SEED_LEN, ret) : SP_ECORRUPT;
}

static enum sp_err
seed_make(int dir)
{
	sp_auto(sp_closep) int fd = openat(dir, SEED_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	uint8_t b[SEED_LEN];
	ssize_t n;

	if (fd == -1)
		return sp_err_errno(errno);
	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		return SP_EINTERNAL;
	n = write(fd, b, sizeof(b));
	explicit_bzero(b, sizeof(b));
	if (n != SEED_LEN || fsync(fd) == -1 || renameat(dir, SEED_NEW, dir, SEED_NAME) == -1 || fsync(dir) == -1)
		return SP_EIO;
	return SP_OK;
}

enum sp_err
inner_new(struct ctl *c, int state_dir)
{
	/* Control owns its folder in the state directory, not the directory itself. */
	sp_auto(sp_closep) int dir = openat(state_dir, "store", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	enum sp_err r;

	if (dir == -1)
		return sp_err_errno(errno);
	if ((c->inners = calloc(1, sizeof(*c->inners))) == NULL)
		return SP_ENOMEM;
	if ((r = sp_htab_init(&c->inners->tokens)) != SP_OK)
		return r;
	r = seed_read(dir, &c->inners->seed);
	if (r == SP_ENOENT && (r = seed_make(dir)) == SP_OK)
		r = seed_read(dir, &c->inners->seed);
	return r;
}

/* ---- tokens ---- */

static void
token_free(struct ctl *c, struct token *t)
{
	if (t == NULL)
		return;
	if (t->node.key != NULL)
		sp_htab_remove(&c->inners->tokens, &t->node);
	conn_unref(t->outer);
	explicit_bzero(t->b, sizeof(t->b));
	free(t);
}

static enum sp_err
token_make(struct conn *outer, const struct sp_store_asset *a, struct token **ret)
{
	struct ctl *c = outer->ctl;
	struct token *t;
	enum sp_err r;

	if (c->inners->tokens.n >= TOKENS_MAX)
		return SP_EFULL;
	if ((t = calloc(1, sizeof(*t))) == NULL)
		return SP_ENOMEM;
	t->outer = conn_ref(outer);
	t->deadline_us = sp_now_us() + TOKEN_LIFE_US;
	t->asset_id = a->id;
	(void)sp_strlcpy(t->asset_name, a->name, sizeof(t->asset_name));
	if (getrandom(t->b, sizeof(t->b), 0) != (ssize_t)sizeof(t->b))
		r = SP_EINTERNAL;
	else
		r = sp_htab_insert(&c->inners->tokens, &t->node, t->b, sizeof(t->b));
	if (r != SP_OK) {
		t->node.key = NULL;
		token_free(c, t);
		return r;
	}
	*ret = t;
	return SP_OK;
}

enum sp_err
inner_redeem(struct conn *cn, const ProtobufCBinaryData *token)
{
	struct ctl *c = cn->ctl;
	struct sp_hnode *n = sp_htab_find(&c->inners->tokens, token->data, token->len);
	struct token *t;
	struct sp_store_user u = { 0 };
	json_t *more;

	if (n == NULL)
		return SP_ENOENT;
	t = sp_container(n, struct token, node);
	if (!conn_alive(t->outer) || sp_now_us() >= t->deadline_us) {
		token_free(c, t);
		return SP_ENOENT;
	}
	u.id = t->outer->user_id;
	u.epoch = t->outer->epoch;
	u.role = t->outer->role;
	(void)sp_strlcpy(u.login, t->outer->login, sizeof(u.login));
	cn->inner = 1;
	cn->inner_asset = t->asset_id;
	(void)sp_strlcpy(cn->inner_asset_name, t->asset_name, sizeof(cn->inner_asset_name));
	conn_logged_in(cn, &u);
	more = json_pack("{s:I, s:s}", "epoch", (json_int_t)u.epoch, "method", "inner");
	if (more != NULL) {
		char outer[SP_UUID_SIZE];
		struct audit_entry e = { .kind = "login.ok", .actor = u.login, .result = "ok", .source = cn->source_text,
		    .conn = &cn->id, .user = &u.id, .asset = &t->asset_id, .more = more };

		json_object_set_new(more, "outer", json_string(sp_uuid_text(&t->outer->id, outer)));
		json_object_set_new(more, "asset_name", json_string(t->asset_name));	/* a restarted control reads it */
		audit_append(c->audit, &e, NULL, NULL);
	}
	json_decref(more);
	token_free(c, t);
	return SP_OK;
}

struct sweep {
	struct ctl	*ctl;
	uint64_t	 now_us;
};

static void
sweep_one(struct sp_hnode *n, void *arg)
{
	const struct sweep *s = arg;
	struct token *t = sp_container(n, struct token, node);

	if (s->now_us >= t->deadline_us)
		token_free(s->ctl, t);
}

void
inner_tick(struct ctl *c, uint64_t now_us)
{
	struct sweep s = { c, now_us };

	sp_htab_each(&c->inners->tokens, sweep_one, &s);
}

int
inner_is_pending(const struct ctl *c)
{
	return c->inners->tokens.n > 0;
}

void
inner_free(struct ctl *c)
{
	if (c->inners == NULL)
		return;
	inner_tick(c, UINT64_MAX);
	sp_htab_release(&c->inners->tokens);
	sp_secret_release(&c->inners->seed);
	free(c->inners);
	c->inners = NULL;
}

/* ---- the question ---- */

int
inner_is_bastion(const struct sp_config *conf, const char *host, uint32_t port)
{
	struct sp_netaddr a, listen;

	if (strcasecmp(host, conf->bastion_name) == 0)
		return 1;
	if (sp_netaddr_parse(host, &a) != SP_OK)
		return 0;	/* a name is looked at again once it is connected (target.c) */
	for (size_t i = 0; i < conf->listen.n; i++)
		if (sp_netaddr_parse_hostport(conf->listen.v[i], 22, &listen) == SP_OK && listen.port == port &&
		    (sp_netaddr_same_host(&a, &listen) || (sp_netaddr_is_loopback(&a) && sp_netaddr_is_loopback(&listen))))
			return 1;	/* 0.0.0.0 counts as loopback in both */
	return 0;
}

struct jumping {
	struct ctl_job		 job;
	struct conn		*conn;
	uint32_t		 corr, port;
	int			 fd;
	char			 text[SP_STORE_NAME_MAX + 1];
	struct sp_uuid		 user_id;
	int64_t			 epoch;
	struct sp_netaddr	 source;
	int			 may;
	struct sp_store_asset	 asset;
};

static void
jumping_reply(struct jumping *q, enum sp_err err, const char *text)
{
	Sallyport__Result r = SALLYPORT__RESULT__INIT;

	if (conn_alive(q->conn)) {
		r.err = err;
		r.text = ctl_str(text);
		conn_send(q->conn, SP_MSG_INNER_REPLY, q->corr, &r);
	}
	sp_closep(&q->fd);
	conn_unref(q->conn);
	free(q);
}

static void
jumping_work(struct ctl_job *j, struct sp_store *s)
{
	struct jumping *q = sp_container(j, struct jumping, job);
	sp_auto(judge_grants_release) struct judge_grants g = { 0 };
	struct sp_store_user u;
	struct sp_policy_input in;
	enum sp_err r;

	if ((r = judge_asset(s, q->text, &q->asset)) == SP_OK &&
	    (r = sp_store_user_get(s, &q->user_id, &u)) == SP_OK &&
	    (r = judge_grants_load(s, &q->user_id, &q->asset.id, &g)) == SP_OK) {
		judge_input(&u, &q->asset, &q->source, q->epoch, ctl_wall_us(), &g, &in);
		q->may = judge_may_see(&in) && judge_user_refused(&u, ctl_wall_us()) == NULL && u.epoch == q->epoch;
	}
	j->err = r == SP_ENOENT || r == SP_ECONFLICT ? SP_OK : r;
}

static void
jumping_done(struct ctl_job *j)
{
	struct jumping *q = sp_container(j, struct jumping, job);
	struct ctl *c = j->ctl;
	struct token *t = NULL;
	Sallyport__Inner m = SALLYPORT__INNER__INIT;
	char text[600], e[300];
	enum sp_err r = j->err;

	if (r != SP_OK) {
		jumping_reply(q, r, "The access decision could not be made just now; try again.");
		return;
	}
	if (!q->may) {
		struct audit_entry a = { .kind = "inner.request", .actor = q->conn->login, .result = "refused",
		    .source = q->conn->source_text, .conn = &q->conn->id, .user = &q->user_id, .text = q->text };

		audit_append(c->audit, &a, NULL, NULL);
		sp_snprintf(text, sizeof(text), "No such asset, or you have no access to it: %s. Type 'ssh -t %s' for the list.",
		    sp_escape(q->text, strlen(q->text), e, sizeof(e)), c->child.conf.bastion_name);
		jumping_reply(q, SP_EACCES, text);
		return;
	}
	if (ctl_refusal(c) != NULL) {
		jumping_reply(q, SP_EUNAVAIL, ctl_refusal(c));
		return;
	}
	if (!conn_alive(q->conn) || (r = token_make(q->conn, &q->asset, &t)) != SP_OK) {
		jumping_reply(q, r, "Too many connections are being made; try again.");
		return;
	}
	m.inner_token = ctl_bytes(t->b, sizeof(t->b));
	m.outer_conn_id = ctl_uuid_bytes(&q->conn->id);
	m.source_ip = q->conn->source_text;
	m.source_port = q->conn->source_port;
	if (sp_chan_send(c->child.monitor, SP_MSG_INNER, 0, &m, &q->fd, 1) != SP_OK) {
		q->fd = -1;
		token_free(c, t);
		jumping_reply(q, SP_EUNAVAIL, "The connection cannot be made just now; try again.");
		return;
	}
	q->fd = -1;
	jumping_reply(q, SP_OK, "");
}

void
inner_ask(struct conn *cn, struct sp_msg *m)
{
	const Sallyport__InnerAsk *a = (Sallyport__InnerAsk *)m->body;
	struct jumping *q = calloc(1, sizeof(*q));

	if (q == NULL) {
		conn_kill(cn, NULL, "out of memory", "system");
		return;
	}
	q->conn = conn_ref(cn);
	q->corr = m->corr;
	q->fd = sp_steal_fd(&m->fds[0]);
	q->port = a->port;
	q->user_id = cn->user_id;
	q->epoch = cn->epoch;
	q->source = cn->source;
	if (cn->inner) {
		jumping_reply(q, SP_EDENIED, "A connection inside another one cannot be jumped through again.");
		return;
	}
	if (inner_is_bastion(&cn->ctl->child.conf, a->asset, a->port)) {
		jumping_reply(q, SP_EDENIED, "The bastion itself is never a target.");
		return;
	}
	if (!conn_may_log(cn, VOLUME_INNER, 0)) {
		jumping_reply(q, SP_EBUSY, VOLUME_TEXT);
		return;
	}
	if (!sp_text_is_plain(a->asset, strlen(a->asset)) || sp_strlcpy(q->text, a->asset, sizeof(q->text)) != 0) {
		jumping_reply(q, SP_EINVAL, "That is not the name of an asset.");
		return;
	}
	q->job.work = jumping_work;
	q->job.done = jumping_done;
	ctl_job_run(cn->ctl, CTL_READ, &q->job);
}
