/* src/vault/secrets.c - SECRET_PUT, SECRET_REVEAL, SECRET_REWRAP. Process: vault.
 * Inside its envelope (lib/crypto/envelope.h, field "secret") a secret is
 *   byte 1, byte kind, byte origin, bytes
 * where bytes are the password, or the key as lib/crypto/sign.h has it. Kind and origin lie inside so that nobody who
 * can write the database or send messages turns an authority into a key, or a generated key into one that may be shown.
 * Keys are made and parsed in the slow pool (RSA takes seconds); the envelope is made in the loop, where the keyring is. */
#include "vault/vault.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "common/sealkind.h"
#include "crypto/envelope.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "wire/sshkey.h"

#define SECRET_FIELD	"secret"
#define SECRET_HEAD	3
#define SECRET_FORMAT	1
#define SECRET_OUT_MAX	((size_t)60 * 1024)	/* an envelope travels in one message */

static const struct {
	const char	*name;
	const char	*seal_kind;
	int		 is_key, may_reveal;
} kinds[] = {
	[SECRET_PASSWORD]	= { "password",	SP_SEAL_ACCOUNT "password",	0, 1 },
	[SECRET_SSH_KEY]	= { "ssh-key",	SP_SEAL_ACCOUNT "ssh-key",	1, 1 },
	[SECRET_SSH_CA]		= { "ssh-ca",	SP_SEAL_ACCOUNT "ssh-ca",	1, 0 },
};

static const struct { const char *name, *type; } algorithms[] = {
	{ "",		"ssh-ed25519" },
	{ "ed25519",	"ssh-ed25519" },
	{ "ecdsa",	"ecdsa-sha2-nistp256" },
	{ "ecdsa-256",	"ecdsa-sha2-nistp256" },
	{ "ecdsa-384",	"ecdsa-sha2-nistp384" },
	{ "ecdsa-521",	"ecdsa-sha2-nistp521" },
	{ "rsa",	"ssh-rsa" },
	{ "ssh-ed25519", "ssh-ed25519" },
	{ "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256" },
	{ "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384" },
	{ "ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521" },
	{ "ssh-rsa",	"ssh-rsa" },
};

struct putting {		/* one SECRET_PUT on its way */
	struct sp_job		 job;
	struct vault		*v;
	uint32_t		 corr;
	uint64_t		 seal_gen, control_gen;
	struct secret_ref	 ref;
	enum secret_kind	 kind;
	enum secret_origin	 origin;
	const char		*type;		/* to generate; NULL: import `given` */
	struct sp_secret	 given, made;
	enum sp_err		 err;
	const char		*why;
};

void
secrets_reply(struct vault *v, uint32_t corr, enum sp_err err, const char *why, Sallyport__SecretReply *m)
{
	Sallyport__SecretReply empty = SALLYPORT__SECRET_REPLY__INIT;
	char text[200];
	enum sp_err r;

	if (v->control == NULL)
		return;
	if (m == NULL || err != SP_OK)
		m = &empty;
	(void)sp_strlcpy(text, why != NULL ? why : err == SP_OK ? "" : sp_err_text(err), sizeof(text));
	m->err = err;
	m->text = text;
	if ((r = sp_chan_send(v->control, SP_MSG_SECRET_REPLY, corr, m, NULL, 0)) != SP_OK)
		sp_warn("a secret's answer was not sent to control: %s", sp_err_text(r));
}

static enum secret_kind
secret_kind_parse(const char *name)
{
	for (unsigned i = SECRET_PASSWORD; i < SP_NELEMS(kinds); i++)
		if (strcmp(name, kinds[i].name) == 0)
			return (enum secret_kind)i;
	return 0;
}

enum sp_err
secret_ref_parse(const ProtobufCBinaryData *id, uint32_t version, struct secret_ref *ret)
{
	ret->version = version;
	return sp_uuid_from(id->data, id->len, &ret->id);
}

static struct sp_envelope_ad
secret_ad(const struct secret_ref *ref)
{
	return (struct sp_envelope_ad){ .object = ref->id, .version = ref->version, .field = SECRET_FIELD };
}

/* ---- the form inside the envelope */

enum sp_err
secret_seal(const struct vault *v, const struct secret_ref *ref, enum secret_kind kind, enum secret_origin origin,
    struct sp_view bytes, struct sp_buf *ret)
{
	struct sp_envelope_ad ad = secret_ad(ref);
	sp_auto_secret plain = { 0 };
	enum sp_err r = sp_secret_alloc(SECRET_HEAD + bytes.len, &plain);

	if (r != SP_OK)
		return r;
	plain.p[0] = SECRET_FORMAT;
	plain.p[1] = (uint8_t)kind;
	plain.p[2] = (uint8_t)origin;
	memcpy(plain.p + SECRET_HEAD, bytes.p, bytes.len);
	return sp_envelope_seal(&v->keys, &ad, sp_secret_view(&plain), ret);
}

enum sp_err
secret_open(const struct vault *v, const struct secret_ref *ref, enum secret_kind kind, struct sp_view envelope,
    enum secret_origin *ret_origin, struct sp_secret *ret)
{
	struct sp_envelope_ad ad = secret_ad(ref);
	sp_auto_secret plain = { 0 };
	enum sp_err r;

	if (!v->unsealed)
		return SP_ESEALED;
	if ((r = sp_envelope_open(&v->keys, &ad, envelope, &plain)) != SP_OK)
		return r;
	if (plain.len <= SECRET_HEAD || plain.p[0] != SECRET_FORMAT)
		return SP_EVERSION;
	if (plain.p[1] != (uint8_t)kind)
		return SP_EDENIED;
	if (ret_origin != NULL)
		*ret_origin = (enum secret_origin)plain.p[2];
	plain.len -= SECRET_HEAD;
	memmove(plain.p, plain.p + SECRET_HEAD, plain.len);
	explicit_bzero(plain.p + plain.len, SECRET_HEAD);
	*ret = sp_secret_steal(&plain);
	return SP_OK;
}

/* ---- put */

static void
putting_free(struct putting *p)
{
	if (p == NULL)
		return;
	sp_secret_release(&p->given);
	sp_secret_release(&p->made);
	free(p);
}

static void
putting_work(struct sp_job *j)
{
	struct putting *p = sp_container(j, struct putting, job);

	if (p->type != NULL)
		p->err = sp_privkey_generate(p->type, &p->made);
	else
		p->err = sp_privkey_import(sp_secret_view(&p->given), (struct sp_view){ 0 }, &p->why, &p->made);
	sp_secret_release(&p->given);
}

/* Public key, fingerprint, envelope. */
static enum sp_err
putting_finish(struct putting *p)
{
	sp_auto(sp_buf_release) struct sp_buf env = { .max = SECRET_OUT_MAX }, pub = { .max = SP_SSHKEY_BLOB_MAX };
	Sallyport__SecretReply m = SALLYPORT__SECRET_REPLY__INIT;
	char fp[SP_FINGERPRINT_SIZE] = "";
	enum sp_err r;

	if (p->seal_gen != p->v->seal_gen || !p->v->unsealed)
		return SP_ESEALED;
	if (kinds[p->kind].is_key) {
		if ((r = sp_privkey_public(&p->made, &pub)) != SP_OK)
			return r;
		sp_sshkey_fingerprint((struct sp_view){ pub.p, pub.len }, sp_sha256, fp);
	}
	if ((r = secret_seal(p->v, &p->ref, p->kind, p->origin, sp_secret_view(&p->made), &env)) != SP_OK)
		return r;
	m.envelope = vault_bytes(env.p, env.len);
	m.public_key = vault_bytes(pub.p, pub.len);
	m.fingerprint = fp;
	m.term = sp_keyring_term(&p->v->keys);
	secrets_reply(p->v, p->corr, SP_OK, NULL, &m);
	return SP_OK;
}

/* Ends a put in any state: answers, frees. */
static void
putting_end(struct putting *p)
{
	int asked = p->control_gen == p->v->control_gen;	/* by the control that is there now */

	if (p->err == SP_OK && asked)
		p->err = putting_finish(p);
	if (p->err != SP_OK && asked)
		secrets_reply(p->v, p->corr, p->err, p->why, NULL);
	putting_free(p);
}

static void
putting_done(struct sp_job *j)
{
	putting_end(sp_container(j, struct putting, job));
}

static enum sp_err
putting_check_password(struct putting *p)
{
	p->why = "a password has 1 to 1024 bytes, none of them zero";
	if (p->given.len < 1 || p->given.len > SP_PASSWORD_MAX || memchr(p->given.p, 0, p->given.len) != NULL)
		return SP_EINVAL;
	p->why = NULL;
	sp_secret_move(&p->made, &p->given);
	return SP_OK;
}

static enum sp_err
putting_generate(struct putting *p, const char *algorithm)
{
	p->origin = SECRET_GENERATED;
	if (!kinds[p->kind].is_key) {
		p->why = "only keys can be generated";
		return SP_EINVAL;
	}
	for (size_t i = 0; i < SP_NELEMS(algorithms); i++)
		if (strcmp(algorithm, algorithms[i].name) == 0)
			p->type = algorithms[i].type;
	if (p->type == NULL) {
		p->why = "algorithms: ed25519, ecdsa, ecdsa-384, ecdsa-521, rsa";
		return SP_EINVAL;
	}
	return SP_OK;
}

static enum sp_err
putting_prepare(struct putting *p, const Sallyport__SecretPut *b)
{
	enum sp_err r;

	if (!p->v->unsealed)
		return SP_ESEALED;
	p->why = "secrets are password, ssh-key or ssh-ca, with an id";
	if ((p->kind = secret_kind_parse(b->kind)) == 0 ||
	    secret_ref_parse(&b->secret_id, b->version, &p->ref) != SP_OK)
		return SP_EINVAL;
	p->why = NULL;
	if (b->generate)
		return putting_generate(p, b->algorithm);
	p->origin = SECRET_GIVEN;
	r = vault_open_box(p->v, kinds[p->kind].seal_kind, vault_view(&b->sealed), &p->given);
	if (r != SP_OK)
		p->why = "the secret was not sealed to this vault's present key, or for another kind";
	else if (p->kind == SECRET_PASSWORD)
		r = putting_check_password(p);
	return r;
}

void
secrets_on_put(struct vault *v, struct sp_msg *m)
{
	struct putting *p = calloc(1, sizeof(*p));
	enum sp_err r;

	if (p == NULL) {
		secrets_reply(v, m->corr, SP_ENOMEM, NULL, NULL);
		return;
	}
	*p = (struct putting){ .job = { .work = putting_work, .done = putting_done }, .v = v, .corr = m->corr,
	    .seal_gen = v->seal_gen, .control_gen = v->control_gen };
	r = putting_prepare(p, (const Sallyport__SecretPut *)m->body);
	if (r == SP_OK && kinds[p->kind].is_key) {
		if (sp_pool_submit(v->slow_pool, &p->job) == SP_OK)
			return;		/* p is the thread's from here */
		r = SP_EBUSY;
	}
	p->err = r;
	putting_end(p);
}

/* ---- reveal */

static enum sp_err
reveal_plain(enum secret_kind kind, struct sp_secret *secret, struct sp_view client_key, struct sp_buf *out)
{
	sp_auto(sp_buf_release) struct sp_buf text = { .max = SP_PRIVKEY_TEXT_MAX };
	enum sp_err r;

	if (!kinds[kind].is_key)
		return vault_seal_for(client_key, SP_SEAL_REVEAL, sp_secret_view(secret), out);
	if ((r = sp_privkey_export(secret, "", &text)) != SP_OK)
		return r;
	return vault_seal_for(client_key, SP_SEAL_REVEAL, (struct sp_view){ text.p, text.len }, out);
}

static enum sp_err
reveal(struct vault *v, const Sallyport__SecretReveal *b, const char **why, struct sp_buf *out)
{
	enum secret_kind kind = secret_kind_parse(b->kind);
	enum secret_origin origin = SECRET_GENERATED;
	struct secret_ref ref;
	sp_auto_secret secret = { 0 };
	enum sp_err r;

	*why = "no such kind, or no id";
	if (kind == 0 || secret_ref_parse(&b->secret_id, b->version, &ref) != SP_OK)
		return SP_EINVAL;
	*why = "an authority is never revealed";
	if (!kinds[kind].may_reveal)
		return SP_EDENIED;
	*why = NULL;
	if ((r = secret_open(v, &ref, kind, vault_view(&b->envelope), &origin, &secret)) != SP_OK)
		return r;
	*why = "a key that was generated here is never revealed";
	if (origin != SECRET_GIVEN)
		return SP_EDENIED;
	*why = "the key to seal it to is not acceptable";
	if ((r = reveal_plain(kind, &secret, vault_view(&b->client_key), out)) == SP_OK)
		*why = NULL;
	return r;
}

void
secrets_on_reveal(struct vault *v, struct sp_msg *m)
{
	sp_auto(sp_buf_release) struct sp_buf out = { .max = SECRET_OUT_MAX };
	Sallyport__SecretReply reply = SALLYPORT__SECRET_REPLY__INIT;
	const char *why = NULL;
	enum sp_err r = reveal(v, (const Sallyport__SecretReveal *)m->body, &why, &out);

	reply.envelope = vault_bytes(out.p, out.len);
	secrets_reply(v, m->corr, r, why, &reply);
}

/* ---- rewrap */

void
secrets_on_rewrap(struct vault *v, struct sp_msg *m)
{
	const Sallyport__SecretRewrap *b = (const Sallyport__SecretRewrap *)m->body;
	sp_auto(sp_buf_release) struct sp_buf out = { .max = SECRET_OUT_MAX };
	Sallyport__SecretReply reply = SALLYPORT__SECRET_REPLY__INIT;
	struct sp_envelope_ad ad;
	struct secret_ref ref;
	enum sp_err r = SP_ESEALED;

	if (v->unsealed && (r = secret_ref_parse(&b->secret_id, b->version, &ref)) == SP_OK) {
		ad = secret_ad(&ref);
		r = sp_envelope_rewrap(&v->keys, &ad, vault_view(&b->envelope), &out);
		reply.term = sp_keyring_term(&v->keys);
	}
	reply.envelope = vault_bytes(out.p, out.len);
	secrets_reply(v, m->corr, r, NULL, &reply);
}
