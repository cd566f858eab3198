/* lib/crypto/slots.c - see slots.h: operations on the key file of a vault. Its text form is in slots_text.c.
 * Process: vault, and the command line for init. Pure: no I/O, no clock.
 * Invariants after every public call: (1) slot ids and term numbers rise strictly; (2) slot_next is above all ids;
 * (3) mac covers what the struct says; (4) the last term of file and keyring is the same one. */
#include "crypto/slots.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/slots_text.h"

#define SLOTS_AD_MAX	128

static enum sp_err
slots_fault(enum sp_err r, const char *text, const char **why)
{
	if (why != NULL)
		*why = text;
	return r;
}

void
sp_slots_release(struct sp_slots *f)
{
	free(f->term);
	*f = (struct sp_slots){ 0 };
}

/* Wrap one 32-byte key: associated data is its place in this file. */
static enum sp_err
slots_wrap(const struct sp_slots *f, const char *place, uint32_t no, const uint8_t kek[SP_KEY_LEN],
    const uint8_t key[SP_KEY_LEN], uint8_t ret[SP_SLOT_WRAP])
{
	sp_auto(sp_buf_release) struct sp_buf ad = { .max = SLOTS_AD_MAX }, out = { .max = SP_SLOT_WRAP };
	enum sp_err r;

	if ((r = sp_slots_place(f, place, no, &ad)) != SP_OK ||
	    (r = sp_aead_seal(kek, (struct sp_view){ ad.p, ad.len }, (struct sp_view){ key, SP_KEY_LEN }, &out)) != SP_OK)
		return r;
	memcpy(ret, out.p, SP_SLOT_WRAP);
	return SP_OK;
}

static enum sp_err
slots_unwrap(const struct sp_slots *f, const char *place, uint32_t no, const uint8_t kek[SP_KEY_LEN],
    const uint8_t wrap[SP_SLOT_WRAP], struct sp_secret *ret)
{
	sp_auto(sp_buf_release) struct sp_buf ad = { .max = SLOTS_AD_MAX };
	enum sp_err r = sp_slots_place(f, place, no, &ad);

	if (r != SP_OK)
		return r;
	return sp_aead_open(kek, (struct sp_view){ ad.p, ad.len }, (struct sp_view){ wrap, SP_SLOT_WRAP }, ret);
}

/* Sub-keys of the root key, each in its own locked page for the time of the call. */
static enum sp_err
slots_root_key(const struct sp_secret *root, const char *label, struct sp_secret *ret)
{
	enum sp_err r = sp_secret_alloc(SP_KEY_LEN, ret);

	if (r == SP_OK)
		sp_kdf_subkey(root->p, label, (struct sp_view){ 0 }, ret->p);
	return r;
}

/* The mac that belongs to the present contents. */
static enum sp_err
slots_mac(const struct sp_slots *f, const struct sp_secret *root, uint8_t ret[SP_KEY_LEN])
{
	sp_auto(sp_buf_release) struct sp_buf text = { .max = SP_SLOTS_TEXT_MAX };
	sp_auto_secret key = { 0 };
	enum sp_err r;

	if ((r = slots_root_key(root, "key file mac", &key)) != SP_OK || (r = sp_slots_format_body(f, &text)) != SP_OK)
		return r;
	sp_hmac_sha256(sp_secret_view(&key), (struct sp_view){ text.p, text.len }, ret);
	return SP_OK;
}

static void
slots_check_value(const struct sp_secret *root, uint8_t ret[SP_KEY_LEN])
{
	sp_kdf_subkey(root->p, "key file check", (struct sp_view){ 0 }, ret);
}

/* Append a term to the file. Room for one more in the keyring is the caller's concern. */
static enum sp_err
slots_put_term(struct sp_slots *f, const struct sp_secret *wrap_key, uint32_t no, const uint8_t key[SP_KEY_LEN])
{
	struct sp_term_wrap *t;
	enum sp_err r;

	if ((t = realloc(f->term, (f->term_n + 1) * sizeof(*t))) == NULL)
		return SP_ENOMEM;
	f->term = t;
	t[f->term_n].no = no;
	if ((r = slots_wrap(f, "term", no, wrap_key->p, key, t[f->term_n].wrap)) == SP_OK)
		f->term_n++;
	return r;
}

/* Wrap everything that the keyring holds with its root key: what create and rekey have in common. */
static enum sp_err
slots_wrap_all(struct sp_slots *f, const struct sp_keyring *kr)
{
	sp_auto_secret wrap = { 0 };
	enum sp_err r;

	if ((r = slots_root_key(&kr->root, "key file wrap", &wrap)) != SP_OK ||
	    (r = slots_wrap(f, "base", 0, wrap.p, kr->base.p, f->base_wrap)) != SP_OK ||
	    (r = slots_wrap(f, "seal", 0, wrap.p, kr->seal_sk.p, f->seal_wrap)) != SP_OK)
		return r;
	for (size_t i = 0; i < kr->term_n; i++)
		if ((r = slots_put_term(f, &wrap, kr->term_no[i], kr->terms.p + i * SP_KEY_LEN)) != SP_OK)
			return r;
	memcpy(f->seal_pk, kr->seal_pk, SP_KEY_LEN);
	slots_check_value(&kr->root, f->check);
	return slots_mac(f, &kr->root, f->mac);
}

/* Replace the terms of a keyring by n of them; new ones are zero. */
static enum sp_err
keyring_resize(struct sp_keyring *kr, size_t n)
{
	struct sp_secret terms = { 0 };
	uint32_t *no;
	enum sp_err r;

	if ((r = sp_secret_alloc(n * SP_KEY_LEN, &terms)) != SP_OK)
		return r;
	if ((no = calloc(n, sizeof(*no))) == NULL) {
		sp_secret_release(&terms);
		return SP_ENOMEM;
	}
	if (kr->term_n > 0) {
		memcpy(terms.p, kr->terms.p, (kr->term_n < n ? kr->term_n : n) * SP_KEY_LEN);
		memcpy(no, kr->term_no, (kr->term_n < n ? kr->term_n : n) * sizeof(*no));
	}
	sp_secret_move(&kr->terms, &terms);
	free(kr->term_no);
	kr->term_no = no;
	kr->term_n = n;
	return SP_OK;
}

enum sp_err
sp_slots_create(struct sp_slots *ret_file, struct sp_keyring *ret_keys)
{
	sp_auto_slots f = { .generation = 1, .slot_next = 1 };
	sp_auto_keyring kr = { 0 };
	enum sp_err r;

	sp_uuid_make(&f.vault);
	if ((r = sp_secret_random(SP_KEY_LEN, &kr.root)) != SP_OK ||
	    (r = sp_secret_random(SP_KEY_LEN, &kr.base)) != SP_OK ||
	    (r = sp_secret_alloc(crypto_box_SECRETKEYBYTES, &kr.seal_sk)) != SP_OK || (r = keyring_resize(&kr, 1)) != SP_OK)
		return r;
	crypto_box_keypair(kr.seal_pk, kr.seal_sk.p);
	kr.term_no[0] = 1;
	randombytes_buf(kr.terms.p, SP_KEY_LEN);
	if ((r = slots_wrap_all(&f, &kr)) != SP_OK)
		return r;
	*ret_file = f;
	*ret_keys = kr;
	f = (struct sp_slots){ 0 };
	kr = (struct sp_keyring){ 0 };
	return SP_OK;
}

/* The key that a credential makes for one slot. `joined` is the secret behind the shares, for a shamir slot. */
static enum sp_err
slot_kek(const struct sp_slot *s, const struct sp_slot_cred *cred, const struct sp_secret *joined, struct sp_secret *ret)
{
	static const char *const info[] = { [SP_SLOT_KEYFILE] = "sallyport keyfile slot", [SP_SLOT_SHAMIR] = "sallyport shamir slot" };
	struct sp_view salt = { s->kdf.salt, sizeof(s->kdf.salt) }, ikm = cred->bytes;
	enum sp_err r;

	if (s->kind == SP_SLOT_PASSPHRASE)
		return sp_argon2id(cred->bytes, &s->kdf, ret);
	if (s->kind == SP_SLOT_SHAMIR)
		ikm = sp_secret_view(joined);
	else if (ikm.len < SP_SLOT_KEYFILE_MIN || ikm.len > SP_SLOT_KEYFILE_MAX)
		return SP_ESIZE;
	if ((r = sp_secret_alloc(SP_KEY_LEN, ret)) != SP_OK)
		return r;
	return sp_hkdf_sha256(ikm, salt, (struct sp_view){ (const uint8_t *)info[s->kind], strlen(info[s->kind]) }, ret->p,
	    SP_KEY_LEN);
}

/* Does the credential open this slot? Gives the slot's key and the root key. */
static enum sp_err
slot_open(const struct sp_slots *f, const struct sp_slot *s, const struct sp_slot_cred *cred,
    const struct sp_secret *joined, struct sp_secret *ret_kek, struct sp_secret *ret_root)
{
	sp_auto_secret kek = { 0 };
	enum sp_err r;

	if (s->kind != cred->kind ||
	    (s->kind == SP_SLOT_SHAMIR && memcmp(s->set_id, cred->shares[0].set_id, SP_SHARE_SET_ID) != 0))
		return SP_EAUTH;
	if ((r = slot_kek(s, cred, joined, &kek)) != SP_OK ||
	    (r = slots_unwrap(f, "slot", s->id, kek.p, s->wrap, ret_root)) != SP_OK)
		return r;
	*ret_kek = sp_secret_steal(&kek);
	return SP_OK;
}

/* Everything behind the root key. Any mismatch means that the file is not the one that was written. */
static enum sp_err
slots_load(const struct sp_slots *f, struct sp_keyring *kr)
{
	uint8_t want[SP_KEY_LEN];
	sp_auto_secret wrap = { 0 };
	enum sp_err r;

	slots_check_value(&kr->root, want);
	if (!sp_ct_equal(want, f->check, sizeof(want)))
		return SP_ECORRUPT;
	if ((r = slots_mac(f, &kr->root, want)) != SP_OK)
		return r;
	if (!sp_ct_equal(want, f->mac, sizeof(want)))
		return SP_ECORRUPT;
	if ((r = slots_root_key(&kr->root, "key file wrap", &wrap)) != SP_OK ||
	    (r = slots_unwrap(f, "base", 0, wrap.p, f->base_wrap, &kr->base)) != SP_OK ||
	    (r = slots_unwrap(f, "seal", 0, wrap.p, f->seal_wrap, &kr->seal_sk)) != SP_OK ||
	    (r = keyring_resize(kr, f->term_n)) != SP_OK)
		return r == SP_EAUTH ? SP_ECORRUPT : r;
	for (size_t i = 0; i < f->term_n; i++) {
		sp_auto_secret key = { 0 };

		if ((r = slots_unwrap(f, "term", f->term[i].no, wrap.p, f->term[i].wrap, &key)) != SP_OK)
			return r == SP_EAUTH ? SP_ECORRUPT : r;
		kr->term_no[i] = f->term[i].no;
		memcpy(kr->terms.p + i * SP_KEY_LEN, key.p, SP_KEY_LEN);
	}
	memcpy(kr->seal_pk, f->seal_pk, SP_KEY_LEN);
	return SP_OK;
}

enum sp_err
sp_slots_open(const struct sp_slots *f, const struct sp_slot_cred *cred, const char **why, struct sp_keyring *ret_keys,
    uint32_t *ret_slot)
{
	sp_auto_secret joined = { 0 };
	sp_auto_keyring kr = { 0 };
	enum sp_err r, last = SP_ENOENT;

	if (cred->kind == SP_SLOT_SHAMIR && (r = sp_shamir_combine(cred->shares, cred->share_n, why, &joined)) != SP_OK)
		return r;
	for (size_t i = 0; i < f->slot_n; i++) {
		sp_auto_secret kek = { 0 };

		if (f->slot[i].kind != cred->kind)
			continue;
		if ((last = slot_open(f, &f->slot[i], cred, &joined, &kek, &kr.root)) == SP_EAUTH)
			continue;
		if (last != SP_OK)
			return slots_fault(last, sp_err_text(last), why);
		if ((r = slots_load(f, &kr)) != SP_OK)
			return slots_fault(r, r == SP_ECORRUPT ? "the slot opened, but the rest of the key file was changed" :
			    sp_err_text(r), why);
		if (ret_slot != NULL)
			*ret_slot = f->slot[i].id;
		*ret_keys = kr;
		kr = (struct sp_keyring){ 0 };
		return SP_OK;
	}
	return slots_fault(last, last == SP_ENOENT ? "the key file has no slot of that kind" :
	    cred->kind == SP_SLOT_SHAMIR ? "these shares do not open this vault" : "no slot accepts this credential", why);
}

/* Fill in and append slot s, sorted by id; the file is as before on failure. */
static enum sp_err
slots_insert(struct sp_slots *f, const struct sp_keyring *kr, const struct sp_secret *kek, struct sp_slot *s)
{
	struct sp_slot saved[SP_SLOTS_MAX];
	size_t at = f->slot_n;
	enum sp_err r;

	if (f->slot_n >= SP_SLOTS_MAX)
		return SP_EFULL;
	if ((r = slots_wrap(f, "slot", s->id, kek->p, kr->root.p, s->wrap)) != SP_OK)
		return r;
	memcpy(saved, f->slot, sizeof(saved));
	while (at > 0 && f->slot[at - 1].id > s->id)
		at--;
	memmove(&f->slot[at + 1], &f->slot[at], (f->slot_n - at) * sizeof(f->slot[0]));
	f->slot[at] = *s;
	f->slot_n++;
	if ((r = slots_mac(f, &kr->root, f->mac)) != SP_OK) {
		memcpy(f->slot, saved, sizeof(saved));
		f->slot_n--;
	}
	return r;
}

/* Checks and fields that the three kinds of a new slot share. */
static enum sp_err
slot_begin(const struct sp_slots *f, enum sp_slot_kind kind, const char *label, struct sp_slot *ret)
{
	size_t n = strnlen(label, SP_SLOT_LABEL_MAX + 1);

	if (f->slot_n >= SP_SLOTS_MAX || f->slot_next == UINT32_MAX)
		return SP_EFULL;
	if (n == 0 || n > SP_SLOT_LABEL_MAX || !sp_text_is_plain(label, n))
		return SP_EINVAL;
	*ret = (struct sp_slot){ .id = f->slot_next, .kind = kind };
	memcpy(ret->label, label, n);
	randombytes_buf(ret->kdf.salt, sizeof(ret->kdf.salt));
	return SP_OK;
}

/* Derive the slot's key and insert the slot under the next id. */
static enum sp_err
slot_commit(struct sp_slots *f, const struct sp_keyring *kr, struct sp_slot *s, const struct sp_slot_cred *cred,
    const struct sp_secret *joined, uint32_t *ret_id)
{
	sp_auto_secret kek = { 0 };
	enum sp_err r;

	if ((r = slot_kek(s, cred, joined, &kek)) != SP_OK)
		return r;
	f->slot_next++;		/* before the mac is made: it covers this, too */
	if ((r = slots_insert(f, kr, &kek, s)) != SP_OK) {
		f->slot_next--;
		return r;
	}
	if (ret_id != NULL)
		*ret_id = s->id;
	return SP_OK;
}

enum sp_err
sp_slots_add_passphrase(struct sp_slots *f, const struct sp_keyring *kr, const char *label, struct sp_view passphrase,
    enum sp_argon2_cost cost, uint32_t *ret_id)
{
	struct sp_slot_cred cred = { .kind = SP_SLOT_PASSPHRASE, .bytes = passphrase };
	struct sp_slot s;
	enum sp_err r = slot_begin(f, cred.kind, label, &s);

	if (r != SP_OK)
		return r;
	sp_argon2_make(cost, &s.kdf);
	return slot_commit(f, kr, &s, &cred, NULL, ret_id);
}

enum sp_err
sp_slots_add_keyfile(struct sp_slots *f, const struct sp_keyring *kr, const char *label, struct sp_view bytes,
    uint32_t *ret_id)
{
	struct sp_slot_cred cred = { .kind = SP_SLOT_KEYFILE, .bytes = bytes };
	struct sp_slot s;
	enum sp_err r = slot_begin(f, cred.kind, label, &s);

	return r == SP_OK ? slot_commit(f, kr, &s, &cred, NULL, ret_id) : r;
}

enum sp_err
sp_slots_add_shamir(struct sp_slots *f, const struct sp_keyring *kr, const char *label, unsigned threshold, unsigned n,
    struct sp_share *ret_shares, uint32_t *ret_id)
{
	struct sp_slot_cred cred = { .kind = SP_SLOT_SHAMIR };
	sp_auto_secret key = { 0 };
	struct sp_slot s;
	enum sp_err r;

	if ((r = slot_begin(f, cred.kind, label, &s)) != SP_OK || (r = sp_secret_random(SP_KEY_LEN, &key)) != SP_OK ||
	    (r = sp_shamir_split(sp_secret_view(&key), threshold, n, ret_shares)) != SP_OK)
		return r;
	s.threshold = (uint8_t)threshold;
	s.shares = (uint8_t)n;
	memcpy(s.set_id, ret_shares[0].set_id, sizeof(s.set_id));
	if ((r = slot_commit(f, kr, &s, &cred, &key, ret_id)) != SP_OK)
		for (unsigned i = 0; i < n; i++)
			sp_share_release(&ret_shares[i]);
	return r;
}

static const struct sp_slot *
slots_find(const struct sp_slots *f, uint32_t id)
{
	for (size_t i = 0; i < f->slot_n; i++)
		if (f->slot[i].id == id)
			return &f->slot[i];
	return NULL;
}

enum sp_err
sp_slots_remove(struct sp_slots *f, const struct sp_keyring *kr, uint32_t id)
{
	const struct sp_slot *s = slots_find(f, id);
	struct sp_slot saved[SP_SLOTS_MAX];
	size_t at;
	enum sp_err r;

	if (s == NULL)
		return SP_ENOENT;
	if (f->slot_n == 1)
		return SP_ESTATE;
	memcpy(saved, f->slot, sizeof(saved));
	at = (size_t)(s - f->slot);
	memmove(&f->slot[at], &f->slot[at + 1], (f->slot_n - at - 1) * sizeof(f->slot[0]));
	f->slot_n--;
	if ((r = slots_mac(f, &kr->root, f->mac)) != SP_OK) {
		memcpy(f->slot, saved, sizeof(saved));
		f->slot_n++;
	}
	return r;
}

enum sp_err
sp_slots_add_term(struct sp_slots *f, struct sp_keyring *kr, uint32_t *ret_term)
{
	uint32_t no = sp_keyring_term(kr) + 1;
	sp_auto_secret wrap = { 0 };
	enum sp_err r;

	if (f->term_n >= SP_TERMS_MAX || no == 0)
		return SP_EFULL;
	if ((r = slots_root_key(&kr->root, "key file wrap", &wrap)) != SP_OK || (r = keyring_resize(kr, kr->term_n + 1)) != SP_OK)
		return r;
	kr->term_no[kr->term_n - 1] = no;
	randombytes_buf(kr->terms.p + (kr->term_n - 1) * SP_KEY_LEN, SP_KEY_LEN);
	if ((r = slots_put_term(f, &wrap, no, sp_keyring_key(kr, no))) == SP_OK &&
	    (r = slots_mac(f, &kr->root, f->mac)) != SP_OK)
		f->term_n--;
	if (r != SP_OK) {
		kr->term_n--;	/* the unused key stays in locked memory until the next change */
		return r;
	}
	if (ret_term != NULL)
		*ret_term = no;
	return SP_OK;
}

enum sp_err
sp_slots_drop_term(struct sp_slots *f, struct sp_keyring *kr, uint32_t term)
{
	const uint8_t *key = sp_keyring_key(kr, term);
	sp_auto_slots next = *f;
	size_t at, after;
	enum sp_err r;

	next.term = NULL;	/* until it has its own copy */
	if (key == NULL)
		return SP_ENOENT;
	if (term == sp_keyring_term(kr))
		return SP_ESTATE;
	at = (size_t)(key - kr->terms.p) / SP_KEY_LEN;
	after = f->term_n - at - 1;
	if ((next.term = calloc(f->term_n, sizeof(*next.term))) == NULL)
		return SP_ENOMEM;
	memcpy(next.term, f->term, at * sizeof(*next.term));
	memcpy(next.term + at, f->term + at + 1, after * sizeof(*next.term));
	next.term_n--;
	if ((r = slots_mac(&next, &kr->root, next.mac)) != SP_OK)
		return r;
	memmove(kr->terms.p + at * SP_KEY_LEN, kr->terms.p + (at + 1) * SP_KEY_LEN, after * SP_KEY_LEN);
	memmove(kr->term_no + at, kr->term_no + at + 1, after * sizeof(*kr->term_no));
	kr->term_n--;
	explicit_bzero(kr->terms.p + kr->term_n * SP_KEY_LEN, SP_KEY_LEN);
	kr->terms.len -= SP_KEY_LEN;
	free(f->term);
	*f = next;
	next.term = NULL;
	return SP_OK;
}

enum sp_err
sp_rekey_begin(const struct sp_slots *old, const struct sp_keyring *kr, struct sp_slots *ret_next,
    struct sp_keyring *ret_keys)
{
	sp_auto_slots f = { .vault = old->vault, .generation = old->generation + 1, .slot_next = old->slot_next };
	sp_auto_keyring k = { 0 };
	enum sp_err r;

	if (old->generation == UINT32_MAX)
		return SP_EFULL;
	if ((r = sp_secret_random(SP_KEY_LEN, &k.root)) != SP_OK ||
	    (r = sp_secret_from(kr->base.p, kr->base.len, &k.base)) != SP_OK ||
	    (r = sp_secret_from(kr->seal_sk.p, kr->seal_sk.len, &k.seal_sk)) != SP_OK ||
	    (r = keyring_resize(&k, kr->term_n)) != SP_OK)
		return r;
	memcpy(k.seal_pk, kr->seal_pk, SP_KEY_LEN);
	memcpy(k.terms.p, kr->terms.p, kr->term_n * SP_KEY_LEN);
	memcpy(k.term_no, kr->term_no, kr->term_n * sizeof(*k.term_no));
	if ((r = slots_wrap_all(&f, &k)) != SP_OK)
		return r;
	*ret_next = f;
	*ret_keys = k;
	f = (struct sp_slots){ 0 };
	k = (struct sp_keyring){ 0 };
	return SP_OK;
}

enum sp_err
sp_rekey_carry(const struct sp_slots *old, uint32_t id, const struct sp_slot_cred *cred, struct sp_slots *next,
    const struct sp_keyring *next_keys)
{
	const struct sp_slot *s = slots_find(old, id);
	sp_auto_secret joined = { 0 }, kek = { 0 }, root = { 0 };
	struct sp_slot copy;
	enum sp_err r;

	if (s == NULL)
		return SP_ENOENT;
	if (slots_find(next, id) != NULL)
		return SP_EEXIST;
	if (cred->kind == SP_SLOT_SHAMIR && (r = sp_shamir_combine(cred->shares, cred->share_n, NULL, &joined)) != SP_OK)
		return r;
	if ((r = slot_open(old, s, cred, &joined, &kek, &root)) != SP_OK)
		return r;
	copy = *s;
	return slots_insert(next, next_keys, &kek, &copy);
}

enum sp_err
sp_rekey_finish(const struct sp_slots *old, const struct sp_slots *next, const uint32_t *dropped, size_t dropped_n)
{
	if (next->slot_n == 0 || next->generation != old->generation + 1 || !sp_uuid_equal(&next->vault, &old->vault))
		return SP_ESTATE;
	for (size_t i = 0; i < dropped_n; i++)
		if (slots_find(old, dropped[i]) == NULL)
			return SP_ENOENT;
	for (size_t i = 0; i < old->slot_n; i++) {
		size_t k = 0;

		while (k < dropped_n && dropped[k] != old->slot[i].id)
			k++;
		/* exactly one of: carried, dropped */
		if ((slots_find(next, old->slot[i].id) != NULL) == (k < dropped_n))
			return SP_ESTATE;
	}
	return SP_OK;
}
