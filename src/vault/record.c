/* src/vault/record.c - RECORD_KEY, RECORD_UNWRAP: the vault as one more reader of recordings, where an administrator wants that.
 * Process: vault. An X25519 identity (lib/crypto/age.h) is a secret like the others, made here, and never leaves. What leaves is the
 * file key of one recording, sealed to the one who asks. That the asking is written down first is control's business, as
 * with SECRET_REVEAL. */
#include "vault/vault.h"

#include <string.h>

#include "common/sealkind.h"
#include "crypto/age.h"

#define OUT_MAX		((size_t)8 * 1024)

static enum sp_err
record_key(struct vault *v, const Sallyport__RecordKey *b, struct sp_buf *envelope, struct sp_age_recipient *public)
{
	sp_auto_secret identity = { 0 };
	struct secret_ref ref;
	enum sp_err r;

	if (!v->unsealed)
		return SP_ESEALED;
	if ((r = secret_ref_parse(&b->secret_id, b->version, &ref)) != SP_OK || (r = sp_age_identity_new(&identity, public)) != SP_OK)
		return r;
	return secret_seal(v, &ref, SECRET_RECORDING, SECRET_GENERATED, sp_secret_view(&identity), envelope);
}

void
record_on_key(struct vault *v, struct sp_msg *m)
{
	sp_auto(sp_buf_release) struct sp_buf envelope = { .max = OUT_MAX };
	Sallyport__SecretReply reply = SALLYPORT__SECRET_REPLY__INIT;
	struct sp_age_recipient public;
	enum sp_err r = record_key(v, (const Sallyport__RecordKey *)m->body, &envelope, &public);

	if (r == SP_OK) {
		reply.envelope = vault_bytes(envelope.p, envelope.len);
		reply.public_key = vault_bytes(public.pk, sizeof(public.pk));
		reply.term = sp_keyring_term(&v->keys);
	}
	secrets_reply(v, m->corr, r, NULL, &reply);
}

static enum sp_err
record_unwrap(struct vault *v, const Sallyport__RecordUnwrap *b, const char **why, struct sp_buf *out)
{
	sp_auto_secret identity = { 0 }, file_key = { 0 };
	struct secret_ref ref;
	enum sp_err r;

	if ((r = secret_ref_parse(&b->secret_id, b->version, &ref)) != SP_OK ||
	    (r = secret_open(v, &ref, SECRET_RECORDING, vault_view(&b->envelope), NULL, &identity)) != SP_OK)
		return r;
	if ((r = sp_age_header_open(vault_view(&b->header), &identity, &file_key)) != SP_OK) {
		*why = r == SP_EDENIED ? "the recording is not encrypted to the vault" : "the header of the recording is not what it was";
		return r;
	}
	return vault_seal_for(vault_view(&b->client_key), SP_SEAL_RECORDING, sp_secret_view(&file_key), out);
}

void
record_on_unwrap(struct vault *v, struct sp_msg *m)
{
	sp_auto(sp_buf_release) struct sp_buf out = { .max = OUT_MAX };
	Sallyport__SecretReply reply = SALLYPORT__SECRET_REPLY__INIT;
	const char *why = NULL;
	enum sp_err r = record_unwrap(v, (const Sallyport__RecordUnwrap *)m->body, &why, &out);

	reply.envelope = vault_bytes(out.p, out.len);
	secrets_reply(v, m->corr, r, why, &reply);
}
