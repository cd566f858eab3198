/* src/session/target.c - one target of a connection: asked for, prepared, ended. target_rec.c is its recording,
 * target_leg.c SSH to it and its host key, target_login.c credentials.
 * The order is that of docs/protocol/flows.md, "To a target"; what may overlap does (recording and dialing; key exchange
 * and lease), what must not does not: no lease is used before the recording is open and the host key is right.
 * Process: session. */
#include "session/commands.h"
#include "session/jump.h"
#include "session/target_int.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define TARGET_SLACK_US	(UINT64_C(20) * SP_US_PER_S)	/* for everything between the answer of control and a login */

struct target *
target_find(struct session *s, const uint8_t *id, size_t n)
{
	sp_list_each(it, &s->targets) {
		struct target *t = sp_container(it, struct target, link);

		if (t->reply != NULL && t->state != TG_ENDED && n == SP_UUID_LEN && memcmp(t->id.b, id, n) == 0)
			return t;
	}
	return NULL;
}

ProtobufCBinaryData
target_id(struct target *t)
{
	return (ProtobufCBinaryData){ SP_UUID_LEN, t->id.b };
}

/* What messages name the target, before and after control has answered. */
const char *
target_name(const struct target *t)
{
	return t->asset[0] != '\0' ? t->asset : t->want.asset;
}

int
target_allows(const struct target *t, const char *protocol)
{
	for (size_t i = 0; t->policy != NULL && i < t->policy->n_protocols; i++)
		if (strcmp(t->policy->protocols[i], protocol) == 0)
			return 1;
	return 0;
}

int
target_env_allowed(const struct session *s, const char *name)
{
	const struct target *only = NULL;

	sp_list_each(it, &s->targets) {
		const struct target *t = sp_container(it, struct target, link);

		if (t->state == TG_ENDED || t->policy == NULL)
			continue;
		if (only != NULL)
			return sp_config_env_allowed(s->conf, name);
		only = t;
	}
	if (only == NULL)
		return sp_config_env_allowed(s->conf, name);
	for (size_t i = 0; i < only->policy->n_env_allow; i++)
		if (fnmatch(only->policy->env_allow[i], name, 0) == 0)
			return 1;
	return 0;
}

int
target_proves(const struct target *t)
{
	return t->reply != NULL && t->reply->proof[0] != '\0';
}

/* ---- the end */

/* shown: the line for the user; NULL when nobody is there to read it. */
void
target_end(struct target *t, const char *reason, const char *by, const char *shown)
{
	Sallyport__TargetState st = SALLYPORT__TARGET_STATE__INIT;
	char line[SESSION_TEXT];

	if (t->state == TG_ENDED)
		return;
	(void)sp_strlcpy(line, shown != NULL ? shown : "", sizeof(line));
	st.state = t->failed[0] != '\0' ? SALLYPORT__TARGET_STATE__STATE__FAILED : SALLYPORT__TARGET_STATE__STATE__ENDED;
	st.session_id = target_id(t);
	st.text = t->failed[0] != '\0' ? t->failed : line;
	st.detail = (char *)(uintptr_t)reason;
	t->state = TG_ENDED;
	sp_timer_stop(t->clock);
	sp_timer_stop(t->deadline);
	session_forget(t->s, t);
	forward_target_gone(t);
	sp_list_each(it, &t->s->relays) {
		struct relay *r = sp_container(it, struct relay, link);

		if (r->target != t)
			continue;
		if (shown != NULL && t->proven)
			relay_conclude(r, line);
		else if (shown != NULL)
			relay_fail(r, line);
		else
			relay_finish(r);
	}
	if (t->reply != NULL) {
		target_rec_end(t, t->failed[0] != '\0' ? t->failed : reason, by);	/* the record says what the user reads */
		session_tell(t->s, SP_MSG_TARGET_STATE, &st);
	}
	if (t->leg != NULL)
		sp_leg_close(t->leg, "session ended");
	jump_close(t);
	session_sweep_soon(t->s);
}

void
target_fail(struct target *t, const char *text, const char *detail)
{
	if (t->state == TG_ENDED)
		return;
	if (t->failed[0] == '\0')
		(void)sp_strlcpy(t->failed, text, sizeof(t->failed));
	target_end(t, detail != NULL && detail[0] != '\0' ? detail : t->failed, "", t->failed);
}

void
target_give_up(struct target *t, const char *text)
{
	target_fail(t, text, NULL);
}

void
target_kill(struct target *t, const char *by, const char *reason)
{
	char line[SESSION_TEXT], safe[SESSION_TEXT - 32];

	if (t->state == TG_ENDED)
		return;
	(void)sp_snprintf(line, sizeof(line), "Terminated by %s%s%s", by, reason[0] != '\0' ? ": " : "", reason);
	(void)sp_escape(line, strlen(line), safe, sizeof(safe));
	/* What waits is not for them any more; the line is. */
	target_end(t, reason[0] != '\0' ? reason : "terminated", by, safe);
}

void
target_free(struct target *t)
{
	session_forget(t->s, t);
	forward_target_free(t);
	proof_free(t);
	sp_list_remove(&t->link);
	t->s->n_targets--;
	sp_source_remove(t->scribe_room);
	sp_closep(&t->scribe_fd);
	target_ring_close(t);
	sp_chan_free(t->scribe);
	sp_closep(&t->dial_fd);
	sp_conn_free(t->conn);
	sp_leg_free(t->leg);
	jump_free(t);
	sp_timer_free(t->deadline);
	sp_timer_free(t->clock);
	sp_buf_release(&t->lease);
	sp_buf_release(&t->key);
	sp_buf_release(&t->sign);
	sp_buf_release(&t->typed);
	if (t->reply != NULL)
		sallyport__target_reply__free_unpacked(t->reply, NULL);
	if (t->policy != NULL)
		sallyport__policy__free_unpacked(t->policy, NULL);
	commands_free(t);
	free(t);
}

/* A channel has ended: a target that was named for it alone ends with its last one. */
void
target_relay_gone(struct target *t)
{
	t->n_relays--;
	if (t->n_relays == 0 && t->state != TG_ENDED && !t->lasting && !forward_active(t))
		target_end(t, "closed", "", NULL);
	if (t->state == TG_ENDED)
		session_sweep_soon(t->s);
}

static void
target_on_deadline(struct sp_timer *timer, void *arg)
{
	struct target *t = arg;
	char line[SESSION_TEXT];

	(void)timer;
	if (t->state == TG_ASKING) {
		target_give_up(t, "Not connected: no reason was given in time");
		return;
	}
	if (!jump_late(t, line, sizeof(line)))
		(void)sp_snprintf(line, sizeof(line), "%s did not answer in time", target_name(t));
	target_fail(t, line, "time out while connecting");
}

/* ---- on the way */

/* Every condition of a login is checked here, in one place: host key, recording, lease. */
void
target_go_on(struct target *t)
{
	char line[SESSION_TEXT];

	jump_go_on(t);
	if (t->state == TG_PREPARING && t->dialed) {
		t->state = TG_KEX;
		if (target_leg_open(t) != SP_OK) {
			(void)sp_snprintf(line, sizeof(line), "No connection to %s: internal error", target_name(t));
			target_fail(t, line, "cannot start the target's leg");
			return;
		}
		target_ask_lease(t);
	}
	if (t->state == TG_LOGIN && t->host_ok && t->recording && (t->leased || t->unleased)) {
		t->leased = t->unleased = 0;	/* once per method */
		target_login(t);
	}
}

void
target_connected(struct target *t, int fd)
{
	t->dial_fd = fd;
	t->dialed = 1;
	target_go_on(t);
}

void
target_lost(struct target *t, const char *line, const char *detail)
{
	if (t->state == TG_UP)
		target_end(t, line, "", t->n_relays > 0 ? line : NULL);
	else
		target_fail(t, line, detail);
}

/* ---- control's answers */

static Sallyport__Policy *
policy_copy(const Sallyport__Policy *p)
{
	struct sp_buf b;
	Sallyport__Policy *copy = NULL;
	size_t n = p != NULL ? protobuf_c_message_get_packed_size(&p->base) : 0;

	sp_buf_init(&b, SP_MSG_MAX);
	if (p != NULL && sp_buf_reserve(&b, n + 1) == SP_OK) {
		(void)protobuf_c_message_pack(&p->base, b.p);
		copy = sallyport__policy__unpack(NULL, n, b.p);
	}
	sp_buf_release(&b);
	return copy;
}

static int
target_take_reply(struct target *t, const struct sp_msg *m)
{
	Sallyport__TargetReply *r = sallyport__target_reply__unpack(NULL, m->raw_len, m->raw);

	if (r == NULL || sp_uuid_from(r->session_id.data, r->session_id.len, &t->id) != SP_OK ||
	    (t->policy = policy_copy(r->policy)) == NULL) {
		if (r != NULL)
			sallyport__target_reply__free_unpacked(r, NULL);
		return 0;
	}
	t->reply = r;
	(void)sp_strlcpy(t->asset, r->asset, sizeof(t->asset));
	(void)sp_strlcpy(t->account, r->account, sizeof(t->account));
	(void)sp_strlcpy(t->login, r->login, sizeof(t->login));
	return 1;
}

static void
target_choices(struct target *t, const Sallyport__TargetReply *r)
{
	struct sp_buf b;

	sp_buf_init(&b, SESSION_TEXT - 1);
	(void)!sp_buf_printf(&b, "Name the account: %s", r->n_choices > 0 ? "" : "none");
	for (size_t i = 0; i < r->n_choices; i++)
		if (sp_buf_printf(&b, "%s%s@%s", i > 0 ? ", " : "", r->choices[i], target_name(t)) != SP_OK)
			break;
	target_fail(t, sp_buf_cstr(&b), NULL);
	sp_buf_release(&b);
}

static void
target_on_code(struct relay *r, const char *failed, void *arg)
{
	struct target *t = arg;

	(void)r;
	if (failed != NULL)
		target_fail(t, failed, "no one-time code");
	else
		target_ask(t);
}

/* A terminal among those that wait for this target, for a one-time code. */
static int
target_ask_code(struct target *t)
{
	char what[sizeof(t->want.account) + sizeof(t->want.asset) + 2];

	(void)sp_snprintf(what, sizeof(what), "%s%s%s", t->want.account, t->want.account[0] != '\0' ? "@" : "", t->want.asset);
	sp_list_each(it, &t->s->relays) {
		struct relay *r = sp_container(it, struct relay, link);

		if (r->target == t && sp_code_start(r, what, target_on_code, t) == SP_OK)
			return 1;
	}
	return 0;
}

static int
target_on_reply(struct session *s, struct sp_msg *m, void *arg)
{
	struct target *t = arg;
	const Sallyport__TargetReply *r = m != NULL ? (const Sallyport__TargetReply *)m->body : NULL;

	(void)s;
	if (r == NULL)
		target_fail(t, "Sallyport did not answer in time: try again", NULL);
	else if (r->err == SP_OK && r->n_choices > 0 && r->session_id.len == 0) {
		sp_list_each(it, &t->s->relays) {
			struct relay *w = sp_container(it, struct relay, link);

			if (w->target == t && w->menu != NULL) {
				front_menu_choices(w, r);
				return 0;
			}
		}
		target_choices(t, r);
	} else if (r->err != SP_OK && r->mfa && target_ask_code(t))
		return 0;
	else if (r->err != SP_OK && r->ask[0] != '\0' && reason_ask(t, r->ask))
		return 0;
	else if (r->err != SP_OK)
		target_fail(t, r->text[0] != '\0' ? r->text : sp_err_text((enum sp_err)r->err), NULL);
	else if (!target_take_reply(t, m))
		target_fail(t, "Sallyport gave an answer that makes no sense", NULL);
	else if (!commands_load(t, t->policy->commands, m->nfds > 0 ? m->fds[0] : -1))
		target_fail(t, "The rules for commands there cannot be used: tell an administrator", NULL);
	else {
		t->state = TG_PREPARING;
		sp_timer_in(t->deadline, t->s->conf->dial_timeout * (1 + t->reply->n_hops) + TARGET_SLACK_US);
		target_take_early(t);
	}
	return 0;
}

static void
target_on_dial(struct target *t, const Sallyport__DialReply *d, struct sp_msg *m)
{
	char line[SESSION_TEXT];

	if (t->dialed || t->state != TG_PREPARING)
		return;
	if (d->err != SP_OK || m->nfds < 1) {
		if (d->text[0] != '\0')	/* a whole sentence, by control */
			(void)sp_strlcpy(line, d->text, sizeof(line));
		else
			(void)sp_snprintf(line, sizeof(line), "Cannot connect to %s: %s.", target_name(t),
			    sp_err_text((enum sp_err)d->err));
		target_fail(t, line, d->text);
		return;
	}
	if (t->reply->n_hops == 0)
		target_connected(t, sp_steal_fd(&m->fds[0]));
	else if (t->jump == NULL)
		jump_start(t, sp_steal_fd(&m->fds[0]));
}

static void
target_on_policy(struct target *t, const Sallyport__PolicyUpdate *u, int rules_fd)
{
	Sallyport__Policy *p = policy_copy(u->policy);

	if (p == NULL)
		return;
	sallyport__policy__free_unpacked(t->policy, NULL);
	t->policy = p;
	if (!commands_load(t, p->commands, rules_fd))
		target_kill(t, "Sallyport", "the rules for your commands changed and could not be put in force");
	else
		limits_policy(t);
}

int
target_on_control(struct session *s, struct sp_msg *m)
{
	struct target *t;
	char line[SESSION_TEXT * 2], safe[SESSION_TEXT * 2];

	switch (m->id) {
	case SP_MSG_DIAL_REPLY: {
		Sallyport__DialReply *d = (Sallyport__DialReply *)m->body;

		if ((t = target_find(s, d->session_id.data, d->session_id.len)) != NULL)
			target_on_dial(t, d, m);
		return 1;
	}
	case SP_MSG_POLICY: {
		Sallyport__PolicyUpdate *u = (Sallyport__PolicyUpdate *)m->body;

		if ((t = target_find(s, u->session_id.data, u->session_id.len)) != NULL)
			target_on_policy(t, u, m->nfds > 0 ? m->fds[0] : -1);
		return 1;
	}
	case SP_MSG_NOTIFY: {
		Sallyport__Notify *n = (Sallyport__Notify *)m->body;

		t = target_find(s, n->session_id.data, n->session_id.len);
		(void)sp_escape(n->text, strlen(n->text), safe, sizeof(safe));
		(void)sp_snprintf(line, sizeof(line), "*** message from %s: %s ***", n->by, safe);
		sp_list_each(it, &s->relays) {
			struct relay *r = sp_container(it, struct relay, link);

			if (r->pty && (t == NULL || r->target == t))
				relay_show(r, line);
		}
		return 1;
	}
	default:
		return 0;
	}
}

void
target_ask(struct target *t)
{
	Sallyport__TargetAsk q = SALLYPORT__TARGET_ASK__INIT;

	q.account = t->want.account;
	q.asset = t->want.asset;
	q.form = t->form;
	q.protocol = t->protocol;
	q.reason = t->reason;
	session_ask(t->s, SP_PROC_CONTROL, SP_MSG_TARGET_ASK, &q, -1, t->s->conf->control_wait, target_on_reply, t);
}

struct target *
target_get(struct session *s, const struct sp_target *want, const char *form, const char *protocol, int lasting,
    const char *reason)
{
	struct target *t;

	sp_list_each(it, &s->targets) {
		t = sp_container(it, struct target, link);
		if (t->state != TG_ENDED && t->lasting == lasting && memcmp(&t->want, want, sizeof(*want)) == 0)
			return t;
	}
	if (s->n_targets >= SESSION_TARGETS || (t = calloc(1, sizeof(*t))) == NULL)
		return NULL;
	*t = (struct target){ .s = s, .want = *want, .lasting = lasting, .scribe_fd = -1, .dial_fd = -1 };
	if (sp_timer_new(s->loop, target_on_deadline, t, &t->deadline) != SP_OK ||
	    sp_timer_new(s->loop, limits_on_clock, t, &t->clock) != SP_OK) {
		sp_timer_free(t->deadline);
		free(t);
		return NULL;
	}
	sp_buf_init(&t->lease, 4096);
	sp_buf_init(&t->sign, 16384);
	sp_buf_init(&t->key, 16384);
	sp_buf_init(&t->typed, 1024);
	sp_list_init(&t->awaited);
	sp_list_init(&t->forwards);
	sp_list_init(&t->link);
	sp_list_add_tail(&s->targets, &t->link);
	s->n_targets++;
	(void)sp_strlcpy(t->form, form, sizeof(t->form));
	(void)sp_strlcpy(t->protocol, protocol, sizeof(t->protocol));
	(void)sp_strlcpy(t->reason, reason, sizeof(t->reason));
	target_ask(t);
	return t;
}
