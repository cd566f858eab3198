/* src/session/target_leg.c - SSH to a target: key exchange, the check of its host key, its packets, the loss of it.
 * Process: session. Invariants: (1) a host key that is not pinned goes to control, which knows whether a new one may be
 * taken; nothing of a login leaves before it is right. (2) A target gets nothing from us that the user did not ask for. */
#include "session/jump.h"
#include "session/target_int.h"

#include <string.h>

#include "base/clock.h"

#define HOSTALGS_MAX	512

static void
target_send(void *arg, const void *head, size_t head_len, const void *data, size_t len)
{
	struct target *t = arg;

	sp_leg_send(t->leg, head, head_len, data, len);
}

static void
target_on_open(void *arg, struct sp_channel *ch, const char *type, struct sp_view extra)
{
	forward_from_target(arg, ch, type, extra);
}

static void
target_on_global(void *arg, const char *name, int want_reply, struct sp_view data)
{
	struct target *t = arg;

	(void)name;	/* hostkeys-00@openssh.com and the like: nothing is taken from a target unasked */
	(void)data;
	if (want_reply)
		sp_conn_reply(t->conn, 0, NULL, 0);
}

static void
target_on_global_reply(void *arg, int ok, struct sp_view data)
{
	forward_global_reply(arg, ok, data);
}

static void
target_on_broken(void *arg, const char *why)
{
	struct target *t = arg;
	char line[SESSION_TEXT];

	(void)sp_snprintf(line, sizeof(line), "%s broke the protocol: %s", target_name(t), why);
	target_end(t, line, "", line);
}

static int
target_can_write(void *arg)
{
	struct target *t = arg;

	return sp_leg_writable(t->leg);
}

static const struct sp_conn_ops target_conn_ops = {
	target_on_open, target_on_global, target_on_global_reply, target_on_broken, target_can_write
};

/* ---- its host key */

/* Is the key among the pins? 1 yes, 0 no pin at all, -1 another one is pinned. */
static int
target_pinned(const struct target *t, const struct sp_buf *blob)
{
	for (size_t i = 0; i < t->reply->n_pins; i++) {
		const Sallyport__HostKey *k = t->reply->pins[i];

		if (k->blob.len == blob->len && memcmp(k->blob.data, blob->p, blob->len) == 0)
			return 1;
	}
	return t->reply->n_pins > 0 ? -1 : 0;
}

static void
target_wrong_key(struct target *t, const char *text)
{
	char line[SESSION_TEXT];

	if (text != NULL && text[0] != '\0')
		(void)sp_strlcpy(line, text, sizeof(line));
	else
		(void)sp_snprintf(line, sizeof(line), "The host key of %s is not the one that is known for it: not connected",
		    target_name(t));
	target_fail(t, line, "host key refused");
}

static void
target_host_ok(struct target *t)
{
	t->host_ok = 1;
	t->state = TG_LOGIN;
	if (target_proves(t)) {		/* no channel of the user goes there */
		target_go_on(t);
		return;
	}
	/* Control may decide about the channels while we log in. */
	sp_list_each(it, &t->s->relays) {
		struct relay *r = sp_container(it, struct relay, link);

		if (r->target == t)
			relay_target_up(r);
	}
	if (t->state == TG_LOGIN)
		target_go_on(t);
}

static int
target_on_hostkey(struct session *s, struct sp_msg *m, void *arg)
{
	struct target *t = arg;
	const Sallyport__HostKeyReply *r = m != NULL ? (const Sallyport__HostKeyReply *)m->body : NULL;

	(void)s;
	if (r == NULL || !r->accept)
		target_wrong_key(t, r != NULL ? r->text : NULL);
	else
		target_host_ok(t);
	return 0;
}

static void
target_on_ready(void *arg)
{
	struct target *t = arg;
	Sallyport__HostKeyAsk q = SALLYPORT__HOST_KEY_ASK__INIT;
	struct sp_buf blob;
	char alg[64];
	int known;

	t->kexed = 1;
	sp_buf_init(&blob, 16384);
	if (sp_leg_host_key(t->leg, alg, sizeof(alg), &blob) != SP_OK) {
		sp_buf_release(&blob);
		target_wrong_key(t, NULL);
		return;
	}
	if ((known = target_pinned(t, &blob)) == 1)
		target_host_ok(t);
	else {
		q.session_id = target_id(t);
		q.alg = alg;
		q.blob = (ProtobufCBinaryData){ blob.len, blob.p };
		q.mismatch = known < 0;
		session_ask(t->s, SP_PROC_CONTROL, SP_MSG_HOSTKEY_ASK, &q, -1, t->s->conf->control_wait, target_on_hostkey, t);
	}
	sp_buf_release(&blob);
}

/* RSA keys sign with SHA-2. A list that is full goes without. */
void
target_alg_add(struct sp_buf *b, const char *type)
{
	const char *a = strcmp(type, "ssh-rsa") == 0 ? "rsa-sha2-512,rsa-sha2-256" : type;

	if (strstr(sp_buf_cstr(b), a) == NULL)
		(void)!sp_buf_printf(b, "%s%s", b->len > 0 ? "," : "", a);
}

/* Only key types that are pinned are negotiated: another one could not be compared. */
static const char *
target_host_algs(const struct target *t, char dst[HOSTALGS_MAX])
{
	struct sp_buf b;

	if (t->reply->n_pins == 0)
		return NULL;
	sp_buf_init(&b, HOSTALGS_MAX - 1);
	for (size_t i = 0; i < t->reply->n_pins; i++)
		target_alg_add(&b, t->reply->pins[i]->alg);
	(void)sp_strlcpy(dst, sp_buf_cstr(&b), HOSTALGS_MAX);
	sp_buf_release(&b);
	return dst[0] != '\0' ? dst : NULL;
}

/* ---- its leg */

static void
target_up(struct target *t)
{
	Sallyport__TargetState st = SALLYPORT__TARGET_STATE__INIT;
	char alg[128];

	t->state = TG_UP;
	t->up_us = t->busy_us = sp_now_us();
	sp_timer_stop(t->deadline);
	sp_buf_release(&t->lease);
	sp_buf_release(&t->sign);
	st.session_id = target_id(t);
	st.state = SALLYPORT__TARGET_STATE__STATE__UP;
	st.detail = (char *)(uintptr_t)sp_leg_algorithms(t->leg, alg, sizeof(alg));
	session_tell(t->s, SP_MSG_TARGET_STATE, &st);
	sp_timer_in(t->clock, 0);
	if (target_proves(t)) {
		proof_start(t);
		return;
	}
	sp_list_each(it, &t->s->relays) {
		struct relay *r = sp_container(it, struct relay, link);

		if (r->target == t)
			relay_go_on(r);
	}
	forward_target_up(t);
}

static void
target_on_login(void *arg, enum sp_leg_login r)
{
	struct target *t = arg;

	if (t->state != TG_LOGIN)
		return;
	if (r == SP_LEG_LOGIN_OK)
		target_up(t);
	else
		target_next_method(t);
}

static void
target_on_packet(void *arg, struct sp_view payload)
{
	struct target *t = arg;

	if (t->state != TG_ENDED)
		sp_conn_packet(t->conn, payload);
}

static void
target_on_drained(void *arg)
{
	struct target *t = arg;

	sp_conn_writable(t->conn);
}

static void
target_on_closed(void *arg, const char *why)
{
	struct target *t = arg;
	char line[SESSION_TEXT];

	if (t->state == TG_ENDED)
		return;
	if (t->state == TG_UP) {
		(void)sp_snprintf(line, sizeof(line), "Connection to %s lost: %s", target_name(t), why);
		target_end(t, line, "", t->n_relays > 0 ? line : NULL);
		return;
	}
	if (!t->kexed)
		(void)sp_snprintf(line, sizeof(line), "No connection to %s: %s", target_name(t), why);
	else
		(void)sp_snprintf(line, sizeof(line), "%s ended the connection during login", target_name(t));
	target_fail(t, line, why);
}

static const struct sp_leg_ops target_leg_ops = {
	.ready = target_on_ready, .login = target_on_login, .sign = target_on_sign, .packet = target_on_packet,
	.drained = target_on_drained, .closed = target_on_closed
};

enum sp_err
target_leg_open(struct target *t)
{
	char algs[HOSTALGS_MAX];
	enum sp_err r;

	if ((r = sp_conn_new(&target_conn_ops, t, target_send, t, &t->conn)) != SP_OK)
		return r;
	return sp_leg_client(t->s->loop, t->s->conf, sp_steal_fd(&t->dial_fd), t->login, target_host_algs(t, algs),
	    &target_leg_ops, t, &t->leg);
}
