/* src/vault/checkpoint.c - CHECKPOINT_SIGN: heads of the audit log. Process: vault.
 *
 * The key is derived for the life of the vault (label below); its name is the log's origin. What was signed last lies in the vault's
 * directory, which control cannot write, and is durable before a signature leaves this process: whoever holds the audit
 * directory alone can neither take entries back nor show two histories. A vault that has no such file (it was restored)
 * believes a head that it signed itself. The file is written by a job; the keys are used in the loop only. */
#include "vault/vault.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vault/heads.h"
#include "vault/slotfile.h"

#define HEADS_NAME	"heads"
#define HEADS_TEMP	"heads.new"
#define KEY_LABEL	"audit log head"

struct sign_job {
	struct sp_job		 job;
	struct vault		*v;
	uint32_t		 corr;
	uint64_t		 control_gen;
	int			 dirfd, is_bridge, grew;
	struct heads		 heads;		/* as it will be */
	struct sp_checkpoint	 old;
	struct heads_ask	 ask;
	char			 reason[256];
	struct sp_buf		 text;
	enum sp_err		 err;
};

void
checkpoint_load(struct vault *v)
{
	sp_auto(sp_buf_release) struct sp_buf text = { .max = HEADS_TEXT_MAX };
	enum sp_err r = vaultfile_read(v->dirfd, HEADS_NAME, HEADS_TEMP, &text);
	struct heads *h = calloc(1, sizeof(*h));

	if (h != NULL && r == SP_OK)
		r = heads_parse(sp_buf_cstr(&text), text.len, h);
	if (h == NULL || (r != SP_OK && r != SP_ENOENT)) {
		sp_error("the file of signed heads cannot be used, no head is signed: %s", sp_err_text(h == NULL ? SP_ENOMEM : r));
		free(h);
		return;
	}
	v->heads = h;
}

void
checkpoint_clear(struct vault *v)
{
	free(v->heads);
	v->heads = NULL;
}

static enum sp_err
head_key(const struct vault *v, const char *origin, struct sp_note_key *ret, struct sp_secret *ret_sk)
{
	uint8_t seed[SP_KEY_LEN];
	enum sp_err r;

	*ret = (struct sp_note_key){ .kind = SP_NOTE_ED25519 };
	(void)sp_strlcpy(ret->name, origin, sizeof(ret->name));
	sp_keyring_derive(&v->keys, KEY_LABEL, seed);
	r = sp_ed25519_from_seed(seed, ret->pk, ret_sk);
	explicit_bzero(seed, sizeof(seed));
	return r;
}

static void
reply(struct vault *v, uint32_t corr, enum sp_err err, const char *text, const struct sp_buf *note, const struct sp_buf *bridge,
    const char *vkey)
{
	Sallyport__CheckpointReply m = SALLYPORT__CHECKPOINT_REPLY__INIT;
	char line[256], origin[SP_NOTE_NAME_MAX + 1] = "", key[SP_NOTE_VKEY_SIZE];
	enum sp_err r;

	if (v->control == NULL)
		return;
	(void)sp_strlcpy(line, text != NULL ? text : err == SP_OK ? "" : sp_err_text(err), sizeof(line));
	(void)sp_strlcpy(key, vkey != NULL ? vkey : "", sizeof(key));
	m.err = err;
	m.text = line;
	m.vkey = key;
	m.origin = origin;
	if (v->heads != NULL) {
		(void)sp_strlcpy(origin, v->heads->last.origin, sizeof(origin));
		m.size = v->heads->last.size;
		m.root = vault_bytes(v->heads->last.root.b, SP_TLOG_HASH);
	}
	if (note != NULL)
		m.note = vault_bytes(note->p, note->len);
	if (bridge != NULL)
		m.bridge = vault_bytes(bridge->p, bridge->len);
	if ((r = sp_chan_send(v->control, SP_MSG_CHECKPOINT_REPLY, corr, &m, NULL, 0)) != SP_OK)
		sp_warn("a head was not sent to control: %s", sp_err_text(r));
}

/* The state is on disk: sign. */
static enum sp_err
sign_head(struct vault *v, const struct sign_job *j, struct sp_buf *note, struct sp_buf *bridge, char vkey[SP_NOTE_VKEY_SIZE])
{
	sp_auto(sp_buf_release) struct sp_buf text = { .max = 4096 }, said = { .max = 4096 };
	sp_auto_secret sk = { 0 };
	struct sp_note_key key;
	enum sp_err r = head_key(v, j->ask.want.origin, &key, &sk);

	if (r != SP_OK || (r = sp_note_key_text(&key, vkey)) != SP_OK || (r = sp_checkpoint_text(&j->ask.want, &text)) != SP_OK ||
	    (r = sp_buf_printf(note, "%s\n", sp_buf_cstr(&text))) != SP_OK ||
	    (r = sp_note_sign((struct sp_view){ text.p, text.len }, &key, &sk, 0, note)) != SP_OK || !j->is_bridge)
		return r;
	if ((r = heads_bridge_text(&j->old, &j->ask, j->grew, j->reason, &said)) != SP_OK ||
	    (r = sp_buf_printf(bridge, "%s\n", sp_buf_cstr(&said))) != SP_OK)
		return r;
	r = sp_note_sign((struct sp_view){ said.p, said.len }, &key, &sk, 0, bridge);
	if (r == SP_OK && j->old.origin[0] != '\0') {	/* and under the name that witnesses know */
		(void)sp_strlcpy(key.name, j->old.origin, sizeof(key.name));
		r = sp_note_sign((struct sp_view){ said.p, said.len }, &key, &sk, 0, bridge);
	}
	return r;
}

static void
sign_done(struct sp_job *job)
{
	struct sign_job *j = sp_container(job, struct sign_job, job);
	sp_auto(sp_buf_release) struct sp_buf note = { .max = 4096 }, bridge = { .max = 4096 };
	char vkey[SP_NOTE_VKEY_SIZE] = "";
	struct vault *v = j->v;
	enum sp_err r = j->err;

	v->heads_busy = 0;
	if (r == SP_ESYS)
		sp_die(71, "the file of signed heads cannot be synced");	/* either may be on disk */
	if (r == SP_OK)
		*v->heads = j->heads;
	if (r == SP_OK)
		r = v->unsealed ? sign_head(v, j, &note, &bridge, vkey) : SP_ESEALED;
	if (j->control_gen == v->control_gen)
		reply(v, j->corr, r, NULL, r == SP_OK ? &note : NULL, r == SP_OK && j->is_bridge ? &bridge : NULL, vkey);
	sp_buf_release(&j->text);
	free(j);
}

static void
sign_work(struct sp_job *job)
{
	struct sign_job *j = sp_container(job, struct sign_job, job);

	if (j->text.len > 0)
		j->err = vaultfile_write(j->dirfd, HEADS_NAME, HEADS_TEMP, (struct sp_view){ j->text.p, j->text.len });
}

static enum sp_err
ask_parse(const Sallyport__CheckpointSign *q, struct heads_ask *a)
{
	*a = (struct heads_ask){ .from = q->from };
	if (!sp_note_name_ok(q->origin) || strlen(q->origin) > SP_NOTE_NAME_MAX || q->root.len != SP_TLOG_HASH || q->size == 0 ||
	    q->size > INT64_MAX || q->n_proof > SP_TLOG_PROOF_MAX)
		return SP_EINVAL;
	(void)sp_strlcpy(a->want.origin, q->origin, sizeof(a->want.origin));
	a->want.size = q->size;
	memcpy(a->want.root.b, q->root.data, SP_TLOG_HASH);
	for (size_t i = 0; i < q->n_proof; i++) {
		if (q->proof[i].len != SP_TLOG_HASH)
			return SP_EINVAL;
		memcpy(a->proof.h[i].b, q->proof[i].data, SP_TLOG_HASH);
	}
	a->proof.n = q->n_proof;
	return SP_OK;
}

/* A vault without a memory of heads believes one that carries its own signature. */
static enum sp_err
adopt(const struct vault *v, struct sp_view note, struct heads *h)
{
	sp_auto_secret sk = { 0 };
	struct sp_checkpoint c;
	struct sp_note_key key;
	struct sp_view text;
	enum sp_err r;

	if (h->last.origin[0] != '\0' || note.len == 0)
		return SP_OK;
	if ((r = sp_note_text(note, &text)) != SP_OK || (r = sp_checkpoint_parse(text, &c)) != SP_OK ||
	    (r = head_key(v, c.origin, &key, &sk)) != SP_OK || (r = sp_note_verify(note, &key, NULL)) != SP_OK)
		return r;
	sp_warn("no head was signed yet in this vault: it goes on from the one that control has, of %llu entries", (unsigned long long)c.size);
	h->last = c;
	return SP_OK;
}

static enum sp_err
decide(struct vault *v, const Sallyport__CheckpointSign *q, struct sign_job *j, const char **why)
{
	int adopted = v->heads->last.origin[0] == '\0' && q->previous.len > 0;
	enum sp_err r = ask_parse(q, &j->ask);

	if (r != SP_OK)
		return r;
	j->heads = *v->heads;
	if ((r = adopt(v, vault_view(&q->previous), &j->heads)) != SP_OK) {
		*why = "the head that control has was not signed by this vault";
		return SP_EAUTH;
	}
	j->old = j->heads.last;
	j->is_bridge = q->bridge;
	(void)sp_strlcpy(j->reason, q->reason, sizeof(j->reason));
	r = q->bridge ? heads_bridge(&j->heads, &j->ask, &j->grew, why) : heads_grow(&j->heads, &j->ask, why);
	if (v->heads->last.origin[0] == '\0')
		v->heads->last = j->old;	/* adopted: control is to be told of it; on disk with what is signed next */
	if (r != SP_OK || (memcmp(&j->heads, v->heads, sizeof(j->heads)) == 0 && !adopted))
		return r;
	sp_buf_init(&j->text, HEADS_TEXT_MAX);
	return heads_text(&j->heads, &j->text);
}

void
checkpoint_on_sign(struct vault *v, struct sp_msg *m)
{
	struct sign_job *j = NULL;
	const char *why = NULL;
	enum sp_err r = !v->unsealed ? SP_ESEALED : v->heads == NULL ? SP_ECORRUPT : v->heads_busy ? SP_EBUSY : SP_OK;

	if (r == SP_OK && (j = calloc(1, sizeof(*j))) == NULL)
		r = SP_ENOMEM;
	if (r == SP_OK) {
		j->v = v;
		j->corr = m->corr;
		j->control_gen = v->control_gen;
		j->dirfd = v->dirfd;
		j->job = (struct sp_job){ .work = sign_work, .done = sign_done };
		r = decide(v, (const Sallyport__CheckpointSign *)m->body, j, &why);
	}
	if (r == SP_OK && (r = sp_pool_submit(v->head_pool, &j->job)) == SP_OK) {
		v->heads_busy = 1;
		return;
	}
	if (r != SP_ESEALED && r != SP_EAGAIN)
		sp_warn("a head of the audit log is not signed: %s", why != NULL ? why : sp_err_text(r));
	reply(v, m->corr, r, why, NULL, NULL, NULL);
	if (j != NULL)
		sp_buf_release(&j->text);
	free(j);
}
