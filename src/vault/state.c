/* src/vault/state.c - what is unsealed now, and telling control. Process: vault, loop thread.
 * Sealing wipes the keyring, leases, agent streams and collected shares. A ceremony that runs meanwhile holds copies; the
 * answer to VAULT_SEAL then waits until those are gone, too: the answer is a promise. */
#include "vault/vault.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vault/slotfile.h"

#define STATE_SLOT_SIZE	160	/* text of one slot */

enum sp_err
vault_state_init(struct vault *v)
{
	enum sp_err r;

	randombytes_buf(v->boot, sizeof(v->boot));
	sp_buf_init(&v->text, SP_SLOTS_TEXT_MAX);
	if ((r = sp_htab_init(&v->sessions)) != SP_OK || (r = sp_htab_init(&v->checks)) != SP_OK ||
	    (r = sp_htab_init(&v->codes)) != SP_OK ||
	    (r = lease_table_init(&v->leases)) != SP_OK)
		return r;
	return sp_sealbox_keypair(v->transport_pk, &v->transport_sk);
}

enum sp_err
vault_install_file(struct vault *v, struct sp_buf *text)
{
	struct sp_slots file = { 0 };
	const char *why = NULL;

	if (sp_slots_parse(sp_buf_cstr(text), text->len, &why, &file) != SP_OK) {
		v->trouble = why != NULL ? why : "the key file is damaged";
		return SP_ECORRUPT;
	}
	sp_slots_release(&v->file);
	v->file = file;
	sp_buf_release(&v->text);
	v->text = *text;
	*text = (struct sp_buf){ .max = text->max };
	v->initialised = 1;
	v->trouble = NULL;
	return SP_OK;
}

void
vault_load(struct vault *v)
{
	sp_auto(sp_buf_release) struct sp_buf text = { .max = SP_SLOTS_TEXT_MAX };
	enum sp_err r = slotfile_read(v->dirfd, &text);

	if (r == SP_ENOENT)
		return;
	v->initialised = 1;	/* whatever is in it: init must never replace it */
	if (r != SP_OK) {
		v->trouble = sp_err_text(r);
		sp_error("cannot read the key file: %s", v->trouble);
	} else if (vault_install_file(v, &text) != SP_OK)
		sp_error("key file refused: %s", v->trouble);
}

void
vault_auto_unseal(struct vault *v, struct sp_view keyfile)
{
	struct sp_slot_cred cred = { .kind = SP_SLOT_KEYFILE, .bytes = keyfile };
	sp_auto_keyring keys = { 0 };
	const char *why = NULL;
	uint32_t slot = 0;
	enum sp_err r;

	if (v->file.slot_n == 0)
		return;
	if ((r = sp_slots_open(&v->file, &cred, &why, &keys, &slot)) != SP_OK) {
		sp_warn("stays sealed: the key file given at start does not open it: %s", why != NULL ? why : sp_err_text(r));
		return;
	}
	sp_info("unsealed by key file, slot %u", slot);
	vault_install_keys(v, &keys);
}

void
vault_install_keys(struct vault *v, struct sp_keyring *keys)
{
	sp_keyring_release(&v->keys);
	v->keys = *keys;
	*keys = (struct sp_keyring){ 0 };
	v->unsealed = 1;
	v->failures = 0;
	v->not_before_us = 0;
	shares_clear(&v->shares);
}

void
vault_wipe(struct vault *v)
{
	sp_keyring_release(&v->keys);
	v->unsealed = 0;
	v->seal_gen++;
	lease_clear(&v->leases);
	shares_clear(&v->shares);
}

static void
state_slot_text(const struct sp_slot *s, char *dst, size_t size)
{
	int named = strcmp(s->label, SLOT_NO_LABEL) != 0;
	char of[32] = "";

	if (s->kind == SP_SLOT_SHAMIR)
		sp_snprintf(of, sizeof(of), " %u of %u", s->threshold, s->shares);
	sp_snprintf(dst, size, "%u %s%s%s%s", s->id, slot_kind_name(s->kind), of, named ? " " : "", named ? s->label : "");
}

/* Everything of the message but the MAC key. slots, texts: room for SP_SLOTS_MAX. */
static void
state_fill(const struct vault *v, Sallyport__VaultState *st, char *slots[], char texts[][STATE_SLOT_SIZE])
{
	static char none[] = "";
	const uint8_t *pk = v->unsealed ? v->keys.seal_pk : v->transport_pk;

	st->initialised = v->initialised;
	st->sealed = !v->unsealed;
	st->public_key = vault_bytes(pk, SP_SEALBOX_KEY);
	st->boot = vault_bytes(v->boot, sizeof(v->boot));
	st->term = v->unsealed ? sp_keyring_term(&v->keys) :
	    v->file.term_n > 0 ? v->file.term[v->file.term_n - 1].no : 0;
	st->text = none;
	for (size_t i = 0; i < v->file.slot_n; i++) {
		state_slot_text(&v->file.slot[i], texts[i], STATE_SLOT_SIZE);
		slots[i] = texts[i];
	}
	st->n_slots = v->file.slot_n;
	st->slots = slots;
}

void
vault_send_state(struct vault *v)
{
	Sallyport__VaultState st = SALLYPORT__VAULT_STATE__INIT;
	char texts[SP_SLOTS_MAX][STATE_SLOT_SIZE], *slots[SP_SLOTS_MAX], trouble[256] = "";
	uint8_t mac[SP_KEY_LEN];
	enum sp_err r;

	if (v->control == NULL)
		return;
	state_fill(v, &st, slots, texts);
	if (v->trouble != NULL) {
		sp_snprintf(trouble, sizeof(trouble), "the key file cannot be used: %s", v->trouble);
		st.text = trouble;
	}
	if (v->unsealed) {
		sp_keyring_derive(&v->keys, "row mac", mac);
		st.row_mac_key = vault_bytes(mac, sizeof(mac));
	}
	if ((r = sp_chan_send(v->control, SP_MSG_VAULT_STATE, 0, &st, NULL, 0)) != SP_OK)
		sp_warn("state was not sent to control: %s", sp_err_text(r));
	explicit_bzero(mac, sizeof(mac));
}

void
vault_reply(struct vault *v, uint32_t corr, enum sp_err err, const char *text, const struct sp_buf *body)
{
	Sallyport__VaultReply m = SALLYPORT__VAULT_REPLY__INIT;
	Sallyport__VaultState st = SALLYPORT__VAULT_STATE__INIT;
	char texts[SP_SLOTS_MAX][STATE_SLOT_SIZE], *slots[SP_SLOTS_MAX], line[256];
	enum sp_err r;

	if (v->control == NULL)
		return;
	state_fill(v, &st, slots, texts);
	(void)sp_strlcpy(line, text != NULL ? text : err == SP_OK ? "" : sp_err_text(err), sizeof(line));
	m.err = err;
	m.text = line;
	m.state = &st;
	if (body != NULL)
		m.body = vault_bytes(body->p, body->len);
	if ((r = sp_chan_send(v->control, SP_MSG_VAULT_REPLY, corr, &m, NULL, 0)) != SP_OK)
		sp_warn("an answer was not sent to control: %s", sp_err_text(r));
}

void
vault_on_seal(struct vault *v, struct sp_msg *m)
{
	if (!v->initialised) {
		vault_reply(v, m->corr, SP_ESTATE, "the vault is not initialised: run 'sallyport vault init'", NULL);
		return;
	}
	if (v->unsealed)
		sp_info("sealed");
	vault_wipe(v);
	vault_send_state(v);	/* before the answer: who reads that may act upon it */
	if (v->seal_waits)
		vault_reply(v, m->corr, SP_EBUSY, "an earlier seal waits for the end of a ceremony", NULL);
	else if (v->ceremony != NULL) {
		v->seal_waits = 1;
		v->seal_corr = m->corr;
		v->seal_control = v->control_gen;
	} else
		vault_reply(v, m->corr, SP_OK, NULL, NULL);
}

enum sp_err
vault_open_box(const struct vault *v, const char *kind, struct sp_view sealed, struct sp_secret *ret)
{
	struct sp_seal_context ctx = { .kind = kind };
	enum sp_err r = SP_EAUTH;

	if (v->unsealed)
		r = sp_sealbox_open(v->keys.seal_pk, &v->keys.seal_sk, &ctx, sealed, ret);
	if (r == SP_EAUTH)
		r = sp_sealbox_open(v->transport_pk, &v->transport_sk, &ctx, sealed, ret);
	return r;
}

enum sp_err
vault_seal_for(struct sp_view client_key, const char *kind, struct sp_view plain, struct sp_buf *ret)
{
	struct sp_seal_context ctx = { .kind = kind };

	if (client_key.len != SP_SEALBOX_KEY)
		return SP_EINVAL;
	return sp_sealbox_seal(client_key.p, &ctx, plain, ret);
}
