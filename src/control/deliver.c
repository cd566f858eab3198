/* src/control/deliver.c - mail and webhooks, seen from control: their password and key, a test, and what the courier says of them.
 * Process: control. The secrets are rows of kind password, wrapped by the vault like those of accounts; they come sealed from the
 * caller and go, sealed by the vault to a one-time key of the courier's, to the courier. Each such use is an audit entry.
 *
 *	DELIVERY_SECRET_ASK -> row (reader) -> SECRET_REVEAL to the vault -> entry durable -> DELIVERY_SECRET */
#include "control/deliver.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/alarm.h"
#include "control/api.h"
#include "control/methods.h"

#define DELIVER_MAX	8u	/* receivers: mail and webhooks */
#define SEALED_MAX	4096

static const struct {
	const char	*name, *row;	/* as the courier and callers name it; name of the secret's row */
} secrets[] = { { "mail", "delivery.mail" }, { "webhook", "delivery.webhook" } };

struct deliver_row {
	char		name[SP_CONF_TEXT + 16], text[256];
	struct sp_uuid	last;
	int		away, waiting;
};
struct deliver {
	struct deliver_row	row[DELIVER_MAX];
	size_t			n;
	int			busy[SP_NELEMS(secrets)];	/* one question of each at a time */
};
struct revealing {
	struct ctl_job		 job;
	struct ctl		*ctl;
	size_t			 which;
	uint8_t			 client_key[64];
	size_t			 client_key_len;
	struct sp_store_secret	 row;
	enum sp_err		 err;
	Sallyport__SecretReply	*reply;		/* owned */
};

static int
secret_index(const char *name)
{
	for (size_t i = 0; i < SP_NELEMS(secrets); i++)
		if (strcmp(name, secrets[i].name) == 0)
			return (int)i;
	return -1;
}

/* ---- a secret to the courier ---- */

static void
reveal_send(struct ctl *c, size_t which, enum sp_err err, const char *text, ProtobufCBinaryData sealed)
{
	Sallyport__DeliverySecret m = SALLYPORT__DELIVERY_SECRET__INIT;
	char copy[200];

	(void)sp_strlcpy(copy, text, sizeof(copy));
	m.name = ctl_str(secrets[which].name);
	m.err = (uint32_t)err;
	m.text = copy;
	m.sealed = sealed;
	if (c->courier == NULL || sp_chan_send(c->courier, SP_MSG_DELIVERY_SECRET, 0, &m, NULL, 0) != SP_OK)
		sp_warn("the courier does not take an answer: it will ask again");
}

static void
reveal_free(struct revealing *r)
{
	r->ctl->deliver->busy[r->which] = 0;
	if (r->reply != NULL)
		sallyport__secret_reply__free_unpacked(r->reply, NULL);
	free(r);
}

static void
reveal_refuse(struct revealing *r, enum sp_err err, const char *text)
{
	reveal_send(r->ctl, r->which, err, text, (ProtobufCBinaryData){ 0 });
	reveal_free(r);
}

static void
reveal_durable(void *arg, enum sp_err err, uint64_t seq)
{
	struct revealing *r = arg;

	(void)seq;
	if (err != SP_OK) {
		reveal_refuse(r, err, "the audit log takes no entry");
		return;
	}
	reveal_send(r->ctl, r->which, SP_OK, "", r->reply->envelope);
	reveal_free(r);
}

static void
reveal_answer(void *arg, enum sp_err err, struct sp_msg *m)
{
	struct revealing *r = arg;
	const Sallyport__SecretReply *in = err == SP_OK && m->id == SP_MSG_SECRET_REPLY ? (Sallyport__SecretReply *)m->body : NULL;
	struct audit_entry e = { .kind = "delivery.secret", .actor = "system", .result = "ok", .text = secrets[r->which].name,
	    .object = &r->row.id };

	if (in == NULL || in->err != SP_OK) {
		enum sp_err why = in == NULL ? (err != SP_OK ? err : SP_EINTERNAL) : (enum sp_err)in->err;

		reveal_refuse(r, why == SP_ESTATE || why == SP_ENOENT ? SP_EUNAVAIL : why, in != NULL && *in->text != '\0' ? in->text :
		    sp_err_text(why));
		return;
	}
	r->reply = sallyport__secret_reply__unpack(NULL, m->raw_len, m->raw);
	if (r->reply == NULL) {
		reveal_refuse(r, SP_ENOMEM, "out of memory");
		return;
	}
	audit_append(r->ctl->audit, &e, reveal_durable, r);
}

static void
reveal_work(struct ctl_job *j, struct sp_store *s)
{
	struct revealing *r = sp_container(j, struct revealing, job);

	r->err = sp_store_secret_by_name(s, SP_STORE_SECRET_PASSWORD, secrets[r->which].row, &r->row);
}

static void
reveal_read(struct ctl_job *j)
{
	struct revealing *r = sp_container(j, struct revealing, job);
	Sallyport__SecretReveal m = SALLYPORT__SECRET_REVEAL__INIT;
	enum sp_err e = j->err != SP_OK ? j->err : r->err;

	if (e != SP_OK || r->ctl->stopping) {
		reveal_refuse(r, e != SP_OK ? e : SP_EUNAVAIL, sp_err_text(e));
		return;
	}
	m.secret_id = ctl_uuid_bytes(&r->row.id);
	m.version = (uint32_t)r->row.secret_version;
	m.kind = ctl_str("password");
	m.envelope = ctl_bytes(r->row.ciphertext.b, r->row.ciphertext.len);
	m.client_key = ctl_bytes(r->client_key, r->client_key_len);
	ctl_link_ask(r->ctl->vault, SP_MSG_SECRET_REVEAL, &m, 0, 10 * SP_US_PER_S, reveal_answer, r);
}

void
deliver_secret_ask(struct ctl *c, const Sallyport__DeliverySecretAsk *m)
{
	int which = secret_index(m->name);
	struct revealing *r;

	if (which < 0 || c->deliver->busy[which] || m->client_key.len > sizeof(r->client_key) || (r = calloc(1, sizeof(*r))) == NULL)
		return;		/* the courier asks again */
	r->ctl = c;
	r->which = (size_t)which;
	memcpy(r->client_key, m->client_key.data, m->client_key.len);
	r->client_key_len = m->client_key.len;
	r->job.work = reveal_work;
	r->job.done = reveal_read;
	c->deliver->busy[which] = 1;
	ctl_job_run(c, CTL_READ, &r->job);
}

/* ---- what the courier says ---- */

void
deliver_state(struct ctl *c, const Sallyport__DeliveryState *m)
{
	struct deliver *d = c->deliver;
	struct deliver_row *r = NULL;

	for (size_t i = 0; i < d->n && r == NULL; i++)
		if (strcmp(d->row[i].name, m->dest) == 0)
			r = &d->row[i];
	if (r == NULL && d->n < DELIVER_MAX)
		r = &d->row[d->n++];
	if (r == NULL)
		return;
	(void)sp_strlcpy(r->name, m->dest, sizeof(r->name));
	sp_escape(m->text, strlen(m->text), r->text, sizeof(r->text));
	r->away = m->away;
	r->waiting = m->waiting != 0;
	if (ctl_uuid_of(&m->last, &r->last) != SP_OK)
		r->last = (struct sp_uuid){ 0 };
}

void
deliver_peer(struct ctl *c)
{
	c->deliver->n = 0;
}

json_t *
deliver_json(const struct ctl *c)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < c->deliver->n; i++) {
		const struct deliver_row *r = &c->deliver->row[i];

		json_array_append_new(rows, json_pack("{s:s, s:s, s:o, s:s}", "to", r->name, "state", r->away ? "away" : r->waiting ? "sending" :
		    "up to date", "last", sp_uuid_is_null(&r->last) ? json_null() : api_id(&r->last), "text", r->text));
	}
	return rows;
}

/* ---- calls ---- */

static int
call_which(struct api_call *c)
{
	const char *to = api_text(c, "to");
	int which = to != NULL ? secret_index(to) : -1;

	if (which < 0)
		(void)api_fail(c, SP_EINVAL, "to is mail or webhook");
	return which;
}

static int
is_configured(const struct ctl *c, int which)
{
	sp_auto(sp_freep) struct sp_config *conf = malloc(sizeof(*conf));

	if (conf == NULL)
		return 0;
	ctl_conf_copy(c, conf);
	return which == 0 ? conf->mail_server[0] != '\0' : conf->webhook.n > 0;
}

/* An item that is for that kind of receiver only; outbox.status tells whether it left. */
void
outbox_test(struct api_call *c, struct sp_store *s)
{
	struct sp_uuid id, none = { 0 };
	char text[SP_UUID_SIZE], kind[32], at[SP_RFC3339_SIZE], *payload;
	int which = call_which(c);
	int64_t row;
	json_t *o;

	if (which < 0 || api_scope(c, s, &none) != SP_OK)
		return;
	if (!is_configured(c->ctl, which)) {
		(void)api_fail(c, SP_ESTATE, which == 0 ? "no mail_server is configured: sallyport.conf(5) names mail_server, mail_from and mail_to" :
		    "no webhook is configured: sallyport.conf(5) names webhook");
		return;
	}
	sp_uuid_make(&id);
	o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", sp_uuid_text(&id, text), "alarm", "test", "text",
	    "This is a test: alarms of this bastion arrive here", "actor", api_actor(c), "wall", sp_rfc3339(sp_wall_us(), at, sizeof(at)));
	payload = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(o);
	sp_snprintf(kind, sizeof(kind), "test.%s", secrets[which].name);
	if (payload == NULL)
		(void)api_fail(c, SP_ENOMEM, "out of memory");
	else if (api_store(c, sp_store_outbox_add(s, kind, payload, strlen(payload), &row), "the outbox") == SP_OK)
		c->out = json_pack("{s:s}", "id", text);
	free(payload);
	(void)sp_strlcpy(c->what, secrets[which].name, sizeof(c->what));
}

void
outbox_test_loop(struct api_call *c)
{
	alarm_store_ready(c->ctl);	/* there is something to be sent */
}

struct setting {
	struct sp_store_secret	 row;
	int			 is_new, which;
};

static void
secret_stored(struct api_call *c, struct sp_store *s)
{
	const Sallyport__SecretReply *r = (Sallyport__SecretReply *)c->reply;
	struct setting *k = c->state;

	if (c->reply_id != SP_MSG_SECRET_REPLY || r->err != SP_OK || r->envelope.len == 0 || r->envelope.len > sizeof(k->row.ciphertext.b)) {
		(void)api_fail(c, c->reply_id == SP_MSG_SECRET_REPLY && r->err != SP_OK ? (enum sp_err)r->err : SP_EINTERNAL,
		    "the vault did not take it: %s", c->reply_id == SP_MSG_SECRET_REPLY ? r->text : "");
		return;
	}
	memcpy(k->row.ciphertext.b, r->envelope.data, r->envelope.len);
	k->row.ciphertext.len = (uint32_t)r->envelope.len;
	k->row.term = r->term;
	k->row.rotated_us = sp_wall_us();
	if (api_store(c, k->is_new ? sp_store_secret_add(s, &k->row) : sp_store_secret_update(s, &k->row), secrets[k->which].name) != SP_OK)
		return;
	c->object = k->row.id;
	c->out = json_pack("{s:s}", "to", secrets[k->which].name);
}

void
outbox_secret(struct api_call *c, struct sp_store *s)
{
	Sallyport__SecretPut m = SALLYPORT__SECRET_PUT__INIT;
	struct setting *k = c->state = calloc(1, sizeof(*k));
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SEALED_MAX };
	struct sp_uuid none = { 0 };
	enum sp_err r;

	if (k == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	if ((k->which = call_which(c)) < 0 || api_scope(c, s, &none) != SP_OK || api_bytes(c, c->params, "sealed", 1, &b) != SP_OK)
		return;
	(void)sp_strlcpy(c->what, secrets[k->which].name, sizeof(c->what));
	r = sp_store_secret_by_name(s, SP_STORE_SECRET_PASSWORD, secrets[k->which].row, &k->row);
	if (r != SP_OK && r != SP_ENOENT) {
		(void)api_store(c, r, secrets[k->which].name);
		return;
	}
	if (r == SP_ENOENT) {
		k->is_new = 1;
		k->row = (struct sp_store_secret){ .kind = SP_STORE_SECRET_PASSWORD };
		sp_uuid_make(&k->row.id);
		(void)sp_strlcpy(k->row.name, secrets[k->which].row, sizeof(k->row.name));
	}
	k->row.secret_version++;
	m.secret_id = ctl_uuid_bytes(&k->row.id);
	m.version = (uint32_t)k->row.secret_version;
	m.kind = ctl_str("password");
	m.algorithm = ctl_str("");
	m.sealed = ctl_bytes(b.p, b.len);
	api_ask(c, SP_MSG_SECRET_PUT, &m, 0, secret_stored);
}

void
outbox_secret_loop(struct api_call *c)
{
	const struct setting *k = c->state;

	reveal_send(c->ctl, (size_t)k->which, SP_ESTATE, "changed", (ProtobufCBinaryData){ 0 });
}

void
outbox_status_loop(struct api_call *c)
{
	c->out = deliver_json(c->ctl);
}

enum sp_err
deliver_new(struct ctl *c)
{
	return (c->deliver = calloc(1, sizeof(*c->deliver))) != NULL ? SP_OK : SP_ENOMEM;
}

void
deliver_free(struct ctl *c)
{
	free(c->deliver);
	c->deliver = NULL;
}
