/* src/vault/ceremony.c - VAULT_INIT, VAULT_OPEN, VAULT_ROTATE, VAULT_SLOTS: what changes or opens the key file.
 * Process: vault. argon2id takes seconds and fsync may, hence a ceremony runs in the slow pool's thread on copies:
 *
 *   handler (loop):  check, open sealed boxes, copy file and keys   -> submit
 *   run (thread):    work on the copies, write the file
 *   done (loop):     install file and keys, answer, VAULT_STATE
 *
 * Invariants: one ceremony at a time; keys are installed only when no seal happened since it began; a file that was
 * written is always installed, sealed or not. */
#include "vault/vault.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "common/sealkind.h"
#include "vault/slotfile.h"

#define PASSPHRASE_MIN	8		/* bytes */
#define FREE_ATTEMPTS	3		/* wrong credentials before waiting begins */
#define WAIT_MAX_US	(UINT64_C(60) * 1000000)
#define SHARES_TEXT_MAX	((size_t)SP_SHARES_MAX * SP_SHARE_TEXT_SIZE)
/* Sealed shares travel in one VAULT_REPLY (64 KiB with its state). */
#define SHARES_MADE_MAX	128

typedef enum sp_err ceremony_fn(struct ceremony *c);

struct ceremony {
	struct sp_job		 job;
	struct vault		*v;
	uint32_t		 corr;
	uint64_t		 seal_gen, control_gen;
	ceremony_fn		*run;
	int			 opens;		/* VAULT_OPEN: counts wrong attempts, changes no file */
	int			 dirfd;
	enum sp_argon2_cost	 cost;

	struct sp_slots		 file;		/* copies */
	struct sp_keyring	 keys;

	enum sp_slot_kind	 kind;
	struct sp_secret	 cred;
	struct sp_share		*shares;	/* given, or made */
	size_t			 share_n, share_cap;
	unsigned		 threshold;
	uint32_t		 slot_id;
	char			 label[SP_SLOT_LABEL_MAX + 1];
	uint8_t			 client_key[SP_SEALBOX_KEY];

	enum sp_err		 err;		/* results */
	char			 text[200];
	struct sp_buf		 body, new_text;
};

static const char *const slot_kinds[] = {
	[SP_SLOT_PASSPHRASE] = "passphrase", [SP_SLOT_KEYFILE] = "keyfile", [SP_SLOT_SHAMIR] = "shamir",
};

const char *
slot_kind_name(enum sp_slot_kind k)
{
	return k >= SP_SLOT_PASSPHRASE && k <= SP_SLOT_SHAMIR ? slot_kinds[k] : "unknown";
}

/* 0 when it is none. */
static enum sp_slot_kind
slot_kind_parse(const char *name)
{
	for (unsigned i = SP_SLOT_PASSPHRASE; i < SP_NELEMS(slot_kinds); i++)
		if (strcmp(name, slot_kinds[i]) == 0)
			return (enum sp_slot_kind)i;
	return 0;
}

static void
ceremony_free(struct ceremony *c)
{
	if (c == NULL)
		return;
	sp_slots_release(&c->file);
	sp_keyring_release(&c->keys);
	sp_secret_release(&c->cred);
	for (size_t i = 0; i < c->share_n; i++)
		sp_share_release(&c->shares[i]);
	free(c->shares);
	sp_buf_release(&c->body);
	sp_buf_release(&c->new_text);
	free(c);
}

static void
ceremony_freep(struct ceremony **c)
{
	ceremony_free(*c);
}

static enum sp_err
ceremony_why(struct ceremony *c, enum sp_err r, const char *why)
{
	if (why != NULL)
		(void)sp_strlcpy(c->text, why, sizeof(c->text));
	return r;
}

/* ---- in the thread */

static enum sp_err
ceremony_write(struct ceremony *c)
{
	enum sp_err r = sp_slots_format(&c->file, &c->new_text);

	if (r == SP_OK)
		r = slotfile_write(c->dirfd, (struct sp_view){ c->new_text.p, c->new_text.len });
	if (r != SP_OK) {
		sp_buf_release(&c->new_text);
		if (c->text[0] == 0)
			sp_snprintf(c->text, sizeof(c->text), "the key file cannot be written: %s", sp_err_text(r));
	}
	return r;
}

/* The texts of the shares, one per line, sealed to the client. */
static enum sp_err
ceremony_seal_shares(struct ceremony *c)
{
	sp_auto_secret all = { 0 };
	size_t n = 0;
	enum sp_err r = sp_secret_alloc(c->share_n * SP_SHARE_TEXT_SIZE, &all);

	for (size_t i = 0; i < c->share_n && r == SP_OK; i++) {
		sp_auto_secret text = { 0 };

		if ((r = sp_share_format(&c->shares[i], &text)) != SP_OK)
			break;
		memcpy(all.p + n, text.p, text.len);
		n += text.len;
		all.p[n++] = '\n';
	}
	if (r != SP_OK)
		return r;
	return vault_seal_for((struct sp_view){ c->client_key, sizeof(c->client_key) }, SP_SEAL_SHARES,
	    (struct sp_view){ all.p, n }, &c->body);
}

/* Add the slot that the message asked for. */
static enum sp_err
ceremony_add_slot(struct ceremony *c, struct sp_slots *file, const struct sp_keyring *keys)
{
	enum sp_err r;

	switch (c->kind) {
	case SP_SLOT_PASSPHRASE:
		return sp_slots_add_passphrase(file, keys, c->label, sp_secret_view(&c->cred), c->cost, &c->slot_id);
	case SP_SLOT_KEYFILE:
		return sp_slots_add_keyfile(file, keys, c->label, sp_secret_view(&c->cred), &c->slot_id);
	case SP_SLOT_SHAMIR:
		r = sp_slots_add_shamir(file, keys, c->label, c->threshold, (unsigned)c->share_cap, c->shares, &c->slot_id);
		if (r != SP_OK)
			return r;
		c->share_n = c->share_cap;
		return ceremony_seal_shares(c);
	}
	return SP_EINVAL;
}

static enum sp_err
run_init(struct ceremony *c)
{
	enum sp_err r = sp_slots_create(&c->file, &c->keys);

	if (r == SP_OK && (r = ceremony_add_slot(c, &c->file, &c->keys)) == SP_OK)
		r = ceremony_write(c);
	return r;
}

static enum sp_err
run_open(struct ceremony *c)
{
	struct sp_slot_cred cred = { .kind = c->kind, .bytes = sp_secret_view(&c->cred), .shares = c->shares,
	    .share_n = c->share_n };
	const char *why = NULL;
	enum sp_err r = sp_slots_open(&c->file, &cred, &why, &c->keys, &c->slot_id);

	return r == SP_OK ? r : ceremony_why(c, r, why);
}

static enum sp_err
run_rotate(struct ceremony *c)
{
	uint32_t term;
	enum sp_err r = sp_slots_add_term(&c->file, &c->keys, &term);

	if (r == SP_OK && (r = ceremony_write(c)) == SP_OK)
		sp_snprintf(c->text, sizeof(c->text), "term %u", term);
	return r;
}

static enum sp_err
run_add(struct ceremony *c)
{
	enum sp_err r = ceremony_add_slot(c, &c->file, &c->keys);

	if (r == SP_OK && (r = ceremony_write(c)) == SP_OK)
		sp_snprintf(c->text, sizeof(c->text), "slot %u", c->slot_id);
	return r;
}

static enum sp_err
run_remove(struct ceremony *c)
{
	enum sp_err r = sp_slots_remove(&c->file, &c->keys, c->slot_id);

	if (r == SP_ESTATE)
		return ceremony_why(c, r, "the last slot cannot be removed: nothing could open the vault any more");
	if (r == SP_OK && (r = ceremony_write(c)) == SP_OK)
		sp_snprintf(c->text, sizeof(c->text), "slot %u is removed", c->slot_id);
	return r;
}

/* A new root key with the one slot of the message; the others would need their credentials and are dropped. */
static enum sp_err
run_rekey(struct ceremony *c)
{
	uint32_t dropped[SP_SLOTS_MAX];
	sp_auto_keyring keys = { 0 };
	sp_auto_slots next = { 0 };
	size_t n = c->file.slot_n;
	enum sp_err r;

	for (size_t i = 0; i < n; i++)
		dropped[i] = c->file.slot[i].id;
	if ((r = sp_rekey_begin(&c->file, &c->keys, &next, &keys)) != SP_OK ||
	    (r = ceremony_add_slot(c, &next, &keys)) != SP_OK ||
	    (r = sp_rekey_finish(&c->file, &next, dropped, n)) != SP_OK)
		return r;
	sp_slots_release(&c->file);
	c->file = next;
	next = (struct sp_slots){ 0 };
	sp_keyring_release(&c->keys);
	c->keys = keys;
	keys = (struct sp_keyring){ 0 };
	if ((r = ceremony_write(c)) == SP_OK)
		sp_snprintf(c->text, sizeof(c->text), "slot %u opens the new root key; %zu old slots were dropped", c->slot_id, n);
	return r;
}

static void
ceremony_work(struct sp_job *j)
{
	struct ceremony *c = sp_container(j, struct ceremony, job);

	c->err = c->run(c);
	if (c->err == SP_ESYS && c->new_text.len == 0 && !c->opens)
		sp_die(sp_err_exit(SP_EIO), "the key file's directory cannot be synchronised: starting anew from what is on the disk");
}

/* ---- in the loop */

static void
ceremony_count_failure(struct vault *v)
{
	uint64_t wait = SP_US_PER_S;

	if (++v->failures < FREE_ATTEMPTS)
		return;
	for (unsigned i = FREE_ATTEMPTS; i < v->failures && wait < WAIT_MAX_US; i++)
		wait *= 2;
	v->not_before_us = sp_now_us() + (wait < WAIT_MAX_US ? wait : WAIT_MAX_US);
}

static void
ceremony_install(struct vault *v, struct ceremony *c)
{
	if (c->new_text.len > 0 && vault_install_file(v, &c->new_text) != SP_OK)
		sp_die(sp_err_exit(SP_EINTERNAL), "the key file that was just written cannot be read: %s", v->trouble);
	if (c->seal_gen == v->seal_gen)
		vault_install_keys(v, &c->keys);
	else if (c->opens) {
		c->err = SP_ESTATE;
		(void)sp_strlcpy(c->text, "the vault was sealed meanwhile", sizeof(c->text));
	}
}

static void
ceremony_done(struct sp_job *j)
{
	struct ceremony *c = sp_container(j, struct ceremony, job);
	struct vault *v = c->v;

	v->ceremony = NULL;
	if (c->err == SP_OK)
		ceremony_install(v, c);
	else if (c->opens && c->err != SP_ENOENT && c->err != SP_ENOMEM)
		ceremony_count_failure(v);
	if (c->err == SP_OK)
		sp_info("%s%s%s", c->opens ? "unsealed" : "key file changed", c->text[0] != 0 ? ": " : "", c->text);
	else
		sp_warn("%s refused: %s", c->opens ? "unseal" : "change of the key file",
		    c->text[0] != 0 ? c->text : sp_err_text(c->err));
	/* State first: who reads the answer may act upon it at once. */
	if (c->err == SP_OK)
		vault_send_state(v);
	if (c->control_gen == v->control_gen)
		vault_reply(v, c->corr, c->err, c->text[0] != 0 ? c->text : NULL,
		    c->err == SP_OK ? &c->body : NULL);
	ceremony_free(c);
	if (v->seal_waits) {
		v->seal_waits = 0;
		if (v->seal_control == v->control_gen)
			vault_reply(v, v->seal_corr, SP_OK, NULL, NULL);
	}
}

static enum sp_err
ceremony_new(struct vault *v, uint32_t corr, ceremony_fn *run, struct ceremony **ret)
{
	struct ceremony *c;

	if (v->ceremony != NULL)
		return SP_EBUSY;
	if ((c = calloc(1, sizeof(*c))) == NULL)
		return SP_ENOMEM;
	*c = (struct ceremony){ .job = { .work = ceremony_work, .done = ceremony_done }, .v = v, .corr = corr, .run = run,
	    .seal_gen = v->seal_gen, .control_gen = v->control_gen, .dirfd = v->dirfd, .cost = v->cost };
	sp_buf_init(&c->body, SHARES_TEXT_MAX + SP_SEALBOX_OVERHEAD);
	sp_buf_init(&c->new_text, SP_SLOTS_TEXT_MAX);
	*ret = c;
	return SP_OK;
}

static enum sp_err
keyring_copy(const struct sp_keyring *from, struct sp_keyring *ret)
{
	sp_auto_keyring k = { 0 };
	enum sp_err r;

	if ((r = sp_secret_from(from->root.p, from->root.len, &k.root)) != SP_OK ||
	    (r = sp_secret_from(from->base.p, from->base.len, &k.base)) != SP_OK ||
	    (r = sp_secret_from(from->seal_sk.p, from->seal_sk.len, &k.seal_sk)) != SP_OK ||
	    (r = sp_secret_from(from->terms.p, from->terms.len, &k.terms)) != SP_OK)
		return r;
	if ((k.term_no = calloc(from->term_n, sizeof(*k.term_no))) == NULL)
		return SP_ENOMEM;
	memcpy(k.term_no, from->term_no, from->term_n * sizeof(*k.term_no));
	memcpy(k.seal_pk, from->seal_pk, sizeof(k.seal_pk));
	k.term_n = from->term_n;
	*ret = k;
	k = (struct sp_keyring){ 0 };
	return SP_OK;
}

/* Copies for a ceremony on an existing file; the keys only when it needs them. */
static enum sp_err
ceremony_copy(struct ceremony *c, int with_keys)
{
	struct vault *v = c->v;
	enum sp_err r;

	if (!v->initialised)
		return ceremony_why(c, SP_ESTATE, "the vault is not initialised: run 'sallyport vault init'");
	if (v->trouble != NULL)
		return ceremony_why(c, SP_ECORRUPT, v->trouble);
	if (with_keys && !v->unsealed)
		return SP_ESEALED;
	if ((r = sp_slots_parse(sp_buf_cstr(&v->text), v->text.len, NULL, &c->file)) != SP_OK)
		return r;
	return with_keys ? keyring_copy(&v->keys, &c->keys) : SP_OK;
}

/* Length rules of what a slot is made from. */
static enum sp_err
ceremony_check_cred(struct ceremony *c)
{
	if (c->kind == SP_SLOT_PASSPHRASE && (c->cred.len < PASSPHRASE_MIN || c->cred.len > SP_PASSWORD_MAX))
		return ceremony_why(c, SP_EINVAL, "a passphrase has 8 to 1024 bytes");
	if (c->kind == SP_SLOT_KEYFILE && (c->cred.len < SP_SLOT_KEYFILE_MIN || c->cred.len > SP_SLOT_KEYFILE_MAX))
		return ceremony_why(c, SP_EINVAL, "a key file has 32 to 4096 bytes");
	return SP_OK;
}

struct slot_wish {		/* the common fields of VAULT_INIT and VAULT_SLOTS */
	const char	*slot, *label;
	struct sp_view	 sealed, client_key;
	uint32_t	 shares, threshold;
};

static enum sp_err
ceremony_want_shares(struct ceremony *c, const struct slot_wish *w)
{
	if (w->threshold < 2 || w->threshold > w->shares || w->shares > SHARES_MADE_MAX)
		return ceremony_why(c, SP_EINVAL, "shares: 2 <= threshold <= shares <= 128");
	if (w->client_key.len != sizeof(c->client_key))
		return ceremony_why(c, SP_EINVAL, "a public key is needed to seal the shares to");
	memcpy(c->client_key, w->client_key.p, sizeof(c->client_key));
	if ((c->shares = calloc(w->shares, sizeof(*c->shares))) == NULL)
		return SP_ENOMEM;
	c->share_cap = w->shares;
	c->threshold = w->threshold;
	return SP_OK;
}

static enum sp_err
ceremony_want_slot(struct ceremony *c, const struct slot_wish *w)
{
	enum sp_err r;

	if ((c->kind = slot_kind_parse(w->slot)) == 0)
		return ceremony_why(c, SP_EINVAL, "kinds of slots: passphrase, keyfile, shamir");
	(void)sp_strlcpy(c->label, SLOT_NO_LABEL, sizeof(c->label));
	if (w->label[0] != 0 && strlen(w->label) <= SP_SLOT_LABEL_MAX && sp_text_is_plain(w->label, strlen(w->label)))
		(void)sp_strlcpy(c->label, w->label, sizeof(c->label));
	if (c->kind == SP_SLOT_SHAMIR)
		return ceremony_want_shares(c, w);
	if ((r = vault_open_box(c->v, SP_SEAL_CREDENTIAL, w->sealed, &c->cred)) != SP_OK)
		return ceremony_why(c, r, "the credential was not sealed to this vault's present key");
	return ceremony_check_cred(c);
}

/* Submit, or answer with what went wrong. Takes c (NULL: it could not be made). */
static void
ceremony_go(struct vault *v, uint32_t corr, struct ceremony *c, enum sp_err r)
{
	sp_auto(ceremony_freep) struct ceremony *owned = c;

	if (r == SP_OK && (r = sp_pool_submit(v->slow_pool, &c->job)) == SP_OK) {
		v->ceremony = sp_steal(&owned);
		return;
	}
	vault_reply(v, corr, r, r == SP_EBUSY ? "another ceremony is going on" :
	    c != NULL && c->text[0] != 0 ? c->text : NULL, NULL);
}

void
ceremony_on_init(struct vault *v, struct sp_msg *m)
{
	const Sallyport__VaultInit *b = (const Sallyport__VaultInit *)m->body;
	struct slot_wish w = { b->slot, b->keyfile, vault_view(&b->sealed_passphrase), vault_view(&b->client_key),
	    b->shares, b->threshold };
	struct ceremony *c = NULL;
	enum sp_err r = ceremony_new(v, m->corr, run_init, &c);

	if (r == SP_OK && v->initialised)
		r = ceremony_why(c, SP_ESTATE, "the vault is initialised already");
	if (r == SP_OK)
		r = ceremony_want_slot(c, &w);
	ceremony_go(v, m->corr, c, r);
}

void
ceremony_on_rotate(struct vault *v, struct sp_msg *m)
{
	struct ceremony *c = NULL;
	enum sp_err r = ceremony_new(v, m->corr, run_rotate, &c);

	if (r == SP_OK)
		r = ceremony_copy(c, 1);
	ceremony_go(v, m->corr, c, r);
}

/* "3", or the name of a kind of which there is one. */
static enum sp_err
ceremony_find_slot(struct ceremony *c, const char *text)
{
	enum sp_slot_kind kind = slot_kind_parse(text);
	char *end = NULL;
	unsigned long id = strtoul(text, &end, 10);
	unsigned found = 0;

	for (size_t i = 0; i < c->file.slot_n; i++) {
		const struct sp_slot *s = &c->file.slot[i];

		if (kind != 0 ? s->kind == kind : *text != 0 && *end == 0 && s->id == id) {
			c->slot_id = s->id;
			found++;
		}
	}
	if (found > 1)
		return ceremony_why(c, SP_EINVAL, "there are several slots of that kind: give the number");
	return found == 1 ? SP_OK : ceremony_why(c, SP_ENOENT, "there is no such slot: see 'sallyport vault status'");
}

static const struct {
	const char	*action;
	ceremony_fn	*run;
	int		 makes_slot;
} slot_actions[] = {
	{ "add",	run_add,	1 },
	{ "remove",	run_remove,	0 },
	{ "rekey",	run_rekey,	1 },
};

void
ceremony_on_slots(struct vault *v, struct sp_msg *m)
{
	const Sallyport__VaultSlots *b = (const Sallyport__VaultSlots *)m->body;
	struct slot_wish w = { b->slot, b->keyfile, vault_view(&b->credential), vault_view(&b->client_key), b->shares,
	    b->threshold };
	struct ceremony *c = NULL;
	enum sp_err r = SP_EUSAGE;

	for (size_t i = 0; i < SP_NELEMS(slot_actions); i++) {
		if (strcmp(b->action, slot_actions[i].action) != 0)
			continue;
		if ((r = ceremony_new(v, m->corr, slot_actions[i].run, &c)) == SP_OK && (r = ceremony_copy(c, 1)) == SP_OK)
			r = slot_actions[i].makes_slot ? ceremony_want_slot(c, &w) : ceremony_find_slot(c, b->slot);
	}
	ceremony_go(v, m->corr, c, r);
}

/* One more share. SP_OK: the threshold is reached and the shares moved into c. SP_EAGAIN: more are needed; *c->text. */
static enum sp_err
open_add_share(struct vault *v, struct ceremony *c)
{
	const char *why = "is not readable";
	unsigned index = 0;
	enum sp_err r = shares_add(&v->shares, &v->file, sp_secret_view(&c->cred), sp_now_us(), &why, &index);

	if (r != SP_OK) {
		if (index > 0)
			sp_snprintf(c->text, sizeof(c->text), "share %u %s", index, why);
		else
			sp_snprintf(c->text, sizeof(c->text), "this share: %s", why);
		return r;
	}
	if (v->shares.n < v->shares.threshold) {
		sp_snprintf(c->text, sizeof(c->text), "share %u accepted, %zu of %u", index, v->shares.n, v->shares.threshold);
		return SP_EAGAIN;
	}
	c->shares = v->shares.v;
	c->share_n = v->shares.n;
	v->shares = (struct shares){ 0 };
	return SP_OK;
}

/* Credential of VAULT_OPEN into c. Answers itself, returning 1, when there is nothing to run. */
static int
open_take_credential(struct vault *v, struct ceremony *c, const Sallyport__VaultOpen *b, enum sp_err *r)
{
	c->opens = 1;
	if ((c->kind = slot_kind_parse(b->slot)) == 0) {
		*r = ceremony_why(c, SP_EINVAL, "kinds of slots: passphrase, keyfile, shamir");
		return 0;
	}
	if ((*r = vault_open_box(v, SP_SEAL_CREDENTIAL, vault_view(&b->credential), &c->cred)) != SP_OK) {
		*r = ceremony_why(c, *r, "the credential was not sealed to this vault's present key");
		return 0;
	}
	if (c->kind != SP_SLOT_SHAMIR)
		return 0;
	if ((*r = open_add_share(v, c)) == SP_EAGAIN) {
		vault_reply(v, c->corr, SP_OK, c->text, NULL);
		return 1;
	}
	if (*r != SP_OK)
		ceremony_count_failure(v);
	return 0;
}

void
ceremony_on_open(struct vault *v, struct sp_msg *m)
{
	const Sallyport__VaultOpen *b = (const Sallyport__VaultOpen *)m->body;
	struct ceremony *c = NULL;
	uint64_t now = sp_now_us();
	enum sp_err r = ceremony_new(v, m->corr, run_open, &c);

	if (r == SP_OK)
		r = ceremony_copy(c, 0);
	if (r == SP_OK && v->unsealed) {
		vault_reply(v, m->corr, SP_OK, "the vault is unsealed already", NULL);
		ceremony_free(c);
		return;
	}
	if (r == SP_OK && now < v->not_before_us) {
		sp_snprintf(c->text, sizeof(c->text), "too many wrong attempts: wait %u s",
		    (unsigned)((v->not_before_us - now) / SP_US_PER_S + 1));
		r = SP_EAGAIN;
	}
	if (r == SP_OK && open_take_credential(v, c, b, &r)) {
		ceremony_free(c);
		return;
	}
	ceremony_go(v, m->corr, c, r);
}
