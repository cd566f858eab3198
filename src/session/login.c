/* src/session/login.c - who is it: the user's leg until somebody is logged in, and its end. Control decides; the vault
 * checks passwords; libssh (behind leg) has verified signatures. Process: session.
 * Invariants: every failure looks the same to the user; a failure costs one of auth_tries, whatever its kind; the login
 * name does not change after the first request that control saw. */
#include "session/session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define TOO_MANY	"Too many authentication failures"

/* The person's own password of the target is asked for before the login is complete. */
static int
login_wants_typed(const struct session *s)
{
	return s->login.typed_for[0] != '\0' && s->login.typed.len == 0;
}

static const char *
login_methods(const struct session *s)
{
	if (s->login.wants_code > 0 || login_wants_typed(s))
		return "keyboard-interactive";
	return s->conf->password_login ? "publickey,password,keyboard-interactive" : "publickey";
}

static void
login_refuse(struct session *s)
{
	if (++s->login.failures >= (unsigned)s->conf->auth_tries) {
		session_end(s, TOO_MANY);
		return;
	}
	sp_leg_answer(s->leg, SP_LEG_FAIL, login_methods(s), NULL);
}

static void
login_done(struct session *s)
{
	s->login.authed = 1;
	sp_closep(&s->birth.login_pipe);	/* the zygote counts logins that are pending */
	sp_timer_stop(s->grace);
	if (s->control != NULL)
		sp_chan_set_state(s->control, SP_ST_AUTHED);
	sp_leg_answer(s->leg, SP_LEG_OK, NULL, NULL);
}

/* Splits the login name; SP_OK only for one that stays the same on this connection. */
static enum sp_err
login_name(struct session *s, const char *text)
{
	struct sp_target t;
	enum sp_err r = sp_target_parse(text, strlen(text), SP_TARGET_LOGIN, NULL, &t);

	if (r != SP_OK)
		return r;
	if (s->login.named)
		return memcmp(&t, &s->login.text, sizeof(t)) == 0 ? SP_OK : SP_EDENIED;
	s->login.text = t;
	s->login.named = 1;
	(void)sp_strlcpy(s->login.user, t.user, sizeof(s->login.user));
	return SP_OK;
}

/* ---- a one-time code */

static void
login_ask_code(struct session *s)
{
	char prompt[SESSION_TEXT];

	(void)sp_snprintf(prompt, sizeof(prompt), "Sallyport: one-time code for %s: ", s->login.user);
	s->login.code_open = 1;
	sp_leg_answer(s->leg, SP_LEG_ASK, NULL, prompt);
}

/* Right so far. A client that cannot ask shows this line as the last one. */
static void
login_want_code(struct session *s, enum sp_leg_verdict v)
{
	char line[SESSION_TEXT];
	const char *asset = s->inner ? s->inner_asset : s->login.text.asset;

	s->login.wants_code = 1;
	if (!s->login.code_told) {
		(void)sp_snprintf(line, sizeof(line), "Sallyport: %s wants a one-time code. If nobody asks you for it, allow "
		    "keyboard-interactive logins (no BatchMode).\r\n", asset);
		sp_leg_banner(s->leg, line);
	}
	s->login.code_told = 1;
	sp_leg_answer(s->leg, v, login_methods(s), NULL);
}

/* ---- a password of the target that only the person knows (account kind "typed"): here and not later, because a command or
 * a file transfer has no terminal to ask on. It stays in this process until the target's login (target_login.c). */

static void
login_ask_typed(struct session *s)
{
	char prompt[SESSION_TEXT];

	(void)sp_snprintf(prompt, sizeof(prompt), "%s's password: ", s->login.typed_for);
	s->login.typed_open = 1;
	sp_leg_answer(s->leg, SP_LEG_ASK, NULL, prompt);
}

static void
login_want_typed(struct session *s, enum sp_leg_verdict v)
{
	char line[SESSION_TEXT];
	const char *asset = strrchr(s->login.typed_for, '@');

	if (!s->login.typed_told) {
		(void)sp_snprintf(line, sizeof(line), "Sallyport: %.128s wants a password that only you know. If nobody asks you for it, allow "
		    "keyboard-interactive logins (no BatchMode), or use the menu on a terminal (ssh -t %.64s@%.128s).\r\n",
		    asset != NULL ? asset + 1 : "", s->login.user, s->conf->bastion_name);
		sp_leg_banner(s->leg, line);
	}
	s->login.typed_told = 1;
	sp_leg_answer(s->leg, v, login_methods(s), NULL);
}

static void
login_typed(struct session *s, const struct sp_leg_auth *a)
{
	s->login.typed_open = 0;
	sp_buf_release(&s->login.typed);
	sp_buf_init(&s->login.typed, 1024);
	if (a->password.len == 0 || memchr(a->password.p, '\0', a->password.len) != NULL ||
	    sp_buf_append(&s->login.typed, a->password.p, a->password.len) != SP_OK)
		login_refuse(s);
	else
		login_done(s);
}

/* Everything about who it is has been settled. */
static void
login_finish(struct session *s)
{
	if (!login_wants_typed(s))
		login_done(s);
	else if (s->inner && s->login.tried == SP_LEG_KBDINT)
		login_ask_typed(s);
	else
		login_want_typed(s, s->inner && s->login.tried == SP_LEG_NONE ? SP_LEG_FAIL : SP_LEG_PARTIAL);
}

/* To the vault, under the id that control gave; it is wiped here. */
static int
login_send_code(struct session *s, ProtobufCBinaryData check_id)
{
	Sallyport__CodeCheck k = SALLYPORT__CODE_CHECK__INIT;
	int sent;

	k.check_id = check_id;
	k.code = (ProtobufCBinaryData){ s->login.password.len, s->login.password.p };
	sent = s->vault != NULL && sp_chan_send(s->vault, SP_MSG_CODE_CHECK, 0, &k, NULL, 0) == SP_OK;
	sp_buf_release(&s->login.password);
	if (!sent)
		session_end(s, "Sallyport cannot log you in at the moment");
	return sent;
}

static int
login_on_reply(struct session *s, struct sp_msg *m, void *arg)
{
	const Sallyport__AuthReply *a = m != NULL ? (const Sallyport__AuthReply *)m->body : NULL;

	(void)arg;
	if (a == NULL || s->ending) {
		sp_buf_release(&s->login.password);
		if (!s->ending)
			session_end(s, "Sallyport cannot log you in at the moment");
		return 0;
	}
	if (a->verdict == SALLYPORT__AUTH_REPLY__VERDICT__CHECK_PASSWORD) {
		Sallyport__PasswordCheck c = SALLYPORT__PASSWORD_CHECK__INIT;

		c.check_id = a->check_id;
		c.password = (ProtobufCBinaryData){ s->login.password.len, s->login.password.p };
		if (s->vault == NULL || sp_chan_send(s->vault, SP_MSG_PASSWORD_CHECK, 0, &c, NULL, 0) != SP_OK) {
			sp_buf_release(&s->login.password);
			session_end(s, "Sallyport cannot log you in at the moment");
			return 0;
		}
		sp_buf_release(&s->login.password);
		return 1;	/* the verdict follows under the same number */
	}
	if (a->verdict == SALLYPORT__AUTH_REPLY__VERDICT__CHECK_CODE)
		return login_send_code(s, a->check_id);
	sp_buf_release(&s->login.password);
	switch (a->verdict) {
	case SALLYPORT__AUTH_REPLY__VERDICT__OK:
		if (sp_uuid_from(a->user_id.data, a->user_id.len, &s->login.user_id) != SP_OK) {
			session_end(s, "Sallyport cannot log you in at the moment");
			return 0;
		}
		s->login.epoch = a->epoch;
		if (a->login[0] != '\0')
			(void)sp_strlcpy(s->login.user, a->login, sizeof(s->login.user));
		(void)sp_strlcpy(s->login.notice, a->notice, sizeof(s->login.notice));
		(void)sp_strlcpy(s->login.typed_for, a->typed, sizeof(s->login.typed_for));
		if (s->login.wants_code > 0)
			s->login.wants_code = -1;
		if (s->control != NULL)
			sp_chan_set_state(s->control, SP_ST_AUTHED);	/* to control it is logged in */
		login_finish(s);
		break;
	case SALLYPORT__AUTH_REPLY__VERDICT__PK_OK:
		sp_leg_answer(s->leg, SP_LEG_PK_OK, NULL, NULL);
		break;
	case SALLYPORT__AUTH_REPLY__VERDICT__PARTIAL:
		login_want_code(s, SP_LEG_PARTIAL);
		break;
	case SALLYPORT__AUTH_REPLY__VERDICT__DISCONNECT:
		session_end(s, a->text[0] != '\0' ? a->text : TOO_MANY);
		break;
	default:
		login_refuse(s);
	}
	return 0;
}

static void
login_ask(struct session *s, const struct sp_leg_auth *a, const char *method)
{
	Sallyport__AuthAsk q = SALLYPORT__AUTH_ASK__INIT;
	char version[256];

	(void)sp_escape(sp_leg_peer_version(s->leg), strlen(sp_leg_peer_version(s->leg)), version, sizeof(version));
	q.login = s->login.user;
	q.account = s->login.text.account;
	q.asset = s->login.text.asset;
	q.method = (char *)(uintptr_t)method;
	memcpy(&q.key_blob.data, &a->key_blob.p, sizeof(a->key_blob.p));
	q.key_blob.len = a->key_blob.len;
	q.key_alg = a->key_alg != NULL ? (char *)(uintptr_t)a->key_alg : q.key_alg;
	q.signature_ok = a->is_signed && a->signature_ok;
	q.client_version = version;
	/* Longer than control_wait: a password costs the vault its time, and may wait for its turn. */
	session_ask(s, SP_PROC_CONTROL, SP_MSG_AUTH_ASK, &q, -1, s->conf->control_wait + s->conf->login_grace, login_on_reply,
	    &s->login);
}

static int
login_alg_allowed(const struct session *s, const char *alg)
{
	size_t n = strlen(alg);

	for (const char *p = s->conf->user_key_algorithms; *p != '\0';) {
		size_t k = strcspn(p, ",");

		if (k == n && memcmp(p, alg, n) == 0)
			return 1;
		p += k + (p[k] == ',');
	}
	return 0;
}

static void
login_password(struct session *s, const struct sp_leg_auth *a)
{
	sp_buf_init(&s->login.password, 1024);
	if (!s->conf->password_login || a->password.len == 0 ||
	    sp_buf_append(&s->login.password, a->password.p, a->password.len) != SP_OK)
		login_refuse(s);
	else
		login_ask(s, a, "password");
}

static void
login_code(struct session *s, const struct sp_leg_auth *a)
{
	s->login.code_open = 0;
	sp_buf_init(&s->login.password, 256);
	if (a->password.len == 0 || a->password.len > 64 || sp_buf_append(&s->login.password, a->password.p, a->password.len) != SP_OK)
		login_refuse(s);
	else
		login_ask(s, a, "code");
}

/* ---- a connection inside another one: who it is was settled there, whether the asset wants a code was not */

static void
login_inner_go(struct session *s)
{
	if (s->login.wants_code < 0)
		login_finish(s);
	else if (s->login.tried == SP_LEG_KBDINT)
		login_ask_code(s);
	else
		login_want_code(s, s->login.tried == SP_LEG_NONE ? SP_LEG_FAIL : SP_LEG_PARTIAL);
}

static int
login_inner_on_reply(struct session *s, struct sp_msg *msg, void *arg)
{
	const Sallyport__MfaReply *m = msg != NULL ? (const Sallyport__MfaReply *)msg->body : NULL;

	(void)arg;
	if (m != NULL && m->verdict == SALLYPORT__MFA_REPLY__VERDICT__CHECK && !s->ending)
		return login_send_code(s, m->check_id);
	sp_buf_release(&s->login.password);
	if (s->ending)
		return 0;
	if (m == NULL)
		session_end(s, "Sallyport cannot log you in at the moment");
	else if (m->verdict == SALLYPORT__MFA_REPLY__VERDICT__FAIL)
		login_refuse(s);
	else {
		s->login.wants_code = m->verdict == SALLYPORT__MFA_REPLY__VERDICT__NEEDED ? 1 : -1;
		if (m->typed[0] != '\0')
			(void)sp_strlcpy(s->login.typed_for, m->typed, sizeof(s->login.typed_for));
		login_inner_go(s);
	}
	return 0;
}

static void
login_inner_ask(struct session *s, int probe)
{
	Sallyport__MfaAsk q = SALLYPORT__MFA_ASK__INIT;
	struct sp_target t;

	front_login_target(s, &t);
	q.probe = probe;
	q.account = t.account;
	q.asset = t.asset;
	session_ask(s, SP_PROC_CONTROL, SP_MSG_MFA_ASK, &q, -1, s->conf->control_wait, login_inner_on_reply, &s->login);
}

static void
login_inner(struct session *s, const struct sp_leg_auth *a)
{
	if (s->login.text.user[0] == '\0')
		(void)sp_strlcpy(s->login.text.user, a->login, sizeof(s->login.text.user));
	if (!s->welcomed)
		return;
	if (a->method == SP_LEG_ANSWER && s->login.typed_open) {
		login_typed(s, a);
		return;
	}
	if (a->method == SP_LEG_ANSWER) {
		s->login.code_open = 0;
		s->login.tried = SP_LEG_ANSWER;
		sp_buf_init(&s->login.password, 256);
		if (a->password.len == 0 || a->password.len > 64 ||
		    sp_buf_append(&s->login.password, a->password.p, a->password.len) != SP_OK)
			login_refuse(s);
		else
			login_inner_ask(s, 0);
		return;
	}
	/* "Would this key do?" has no half answer. */
	s->login.tried = a->method == SP_LEG_PUBLICKEY && !a->is_signed ? SP_LEG_NONE : a->method;
	if (s->login.wants_code == 0)
		login_inner_ask(s, 1);
	else
		login_inner_go(s);
}

/* With the answer to the first request: before its login begins, a client takes no banner. */
static void
login_banner(struct session *s)
{
	if (s->birth.banner[0] != '\0' && !s->inner)
		sp_leg_banner(s->leg, s->birth.banner);
	s->birth.banner = "";
}

static void
login_on_auth(void *arg, const struct sp_leg_auth *a)
{
	struct session *s = arg;

	if (s->ending)
		return;
	login_banner(s);
	if (s->inner) {
		/* Whoever could open this stream is logged in already. */
		login_inner(s, a);
		return;
	}
	if (a->method != SP_LEG_ANSWER && login_name(s, a->login) != SP_OK) {
		char shown[128];

		sp_debug("refused login name %s", sp_escape(a->login, strlen(a->login), shown, sizeof(shown)));
		if (a->method == SP_LEG_NONE)
			sp_leg_answer(s->leg, SP_LEG_FAIL, login_methods(s), NULL);
		else
			login_refuse(s);
		return;
	}
	if ((s->login.wants_code > 0 || login_wants_typed(s)) && a->method != SP_LEG_KBDINT && a->method != SP_LEG_ANSWER) {
		if (a->method == SP_LEG_NONE)
			sp_leg_answer(s->leg, SP_LEG_FAIL, login_methods(s), NULL);
		else
			login_refuse(s);
		return;
	}
	switch (a->method) {
	case SP_LEG_NONE:
		sp_leg_answer(s->leg, SP_LEG_FAIL, login_methods(s), NULL);
		break;
	case SP_LEG_PUBLICKEY:
		if (!login_alg_allowed(s, a->key_alg) || (a->is_signed && !a->signature_ok))
			login_refuse(s);
		else
			login_ask(s, a, "publickey");
		break;
	case SP_LEG_KBDINT:
		if (s->login.wants_code > 0)
			login_ask_code(s);
		else if (login_wants_typed(s))
			login_ask_typed(s);
		else if (s->conf->password_login)
			sp_leg_answer(s->leg, SP_LEG_ASK, NULL, "Password: ");
		else
			login_refuse(s);
		break;
	case SP_LEG_ANSWER:
		if (s->login.code_open)
			login_code(s, a);
		else if (s->login.typed_open)
			login_typed(s, a);
		else
			login_password(s, a);
		break;
	case SP_LEG_PASSWORD:
		login_password(s, a);
		break;
	}
}

static void
login_on_ready(void *arg)
{
	(void)arg;
}

/* ---- the connection protocol, once logged in */

static void
login_send(void *arg, const void *head, size_t head_len, const void *data, size_t len)
{
	struct session *s = arg;

	sp_leg_send(s->leg, head, head_len, data, len);
}

static void	login_late_tell(struct session *s);

/* At a stock server this ends the connection: somebody may have taken over the client's side of it. */
static int
login_late_logged(struct session *s, struct sp_msg *m, void *arg)
{
	(void)m;
	(void)arg;
	s->late_asked = 0;
	if (s->late_n > 0)
		login_late_tell(s);
	return 0;
}

static void
login_late_tell(struct session *s)
{
	Sallyport__ChannelRefused q = SALLYPORT__CHANNEL_REFUSED__INIT;
	char type[] = "session", text[96];

	if (s->late_asked)
		return;
	sp_snprintf(text, sizeof(text), "%u session channel%s after no-more-sessions@openssh.com", s->late_n, s->late_n > 1 ? "s" : "");
	q.type = type;
	q.text = text;
	s->late_n = 0;
	s->late_asked = 1;
	session_ask(s, SP_PROC_CONTROL, SP_MSG_CHANNEL_REFUSED, &q, -1, s->conf->control_wait, login_late_logged, s);
}

static void
login_on_open(void *arg, struct sp_channel *ch, const char *type, struct sp_view extra)
{
	struct session *s = arg;

	if (s->ending)
		sp_channel_refuse(ch, SP_OPEN_PROHIBITED, "this connection is ending");
	else if (s->n_relays >= SESSION_RELAYS)
		sp_channel_refuse(ch, SP_OPEN_RESOURCES, "too many channels on this connection");
	else if (strcmp(type, "session") == 0 && s->no_more) {
		sp_channel_refuse(ch, SP_OPEN_PROHIBITED, "you have said that you want no more sessions on this connection");
		s->late_n++;
		login_late_tell(s);
	} else if (strcmp(type, "session") == 0)
		relay_open(s, ch);
	else if (strcmp(type, "direct-tcpip") == 0)
		forward_open(s, ch, extra);
	else
		sp_channel_refuse(ch, SP_OPEN_UNKNOWN_TYPE, "channel type not supported");
}

static void
login_on_global(void *arg, const char *name, int want_reply, struct sp_view data)
{
	forward_global(arg, name, want_reply, data);
}

static void
login_on_global_reply(void *arg, int ok, struct sp_view data)
{
	struct session *s = arg;

	(void)ok;
	(void)data;
	s->unheard = 0;		/* our keep-alive; refusing it is an answer, too */
}

static void
login_on_broken(void *arg, const char *why)
{
	struct session *s = arg;

	session_end(s, why);
}

static int
login_can_write(void *arg)
{
	struct session *s = arg;

	return sp_leg_writable(s->leg);
}

static const struct sp_conn_ops login_conn_ops = {
	login_on_open, login_on_global, login_on_global_reply, login_on_broken, login_can_write
};

static void
login_on_packet(void *arg, struct sp_view payload)
{
	struct session *s = arg;

	if (s->conn == NULL && sp_conn_new(&login_conn_ops, s, login_send, s, &s->conn) != SP_OK) {
		session_end(s, "out of memory");
		return;
	}
	sp_conn_packet(s->conn, payload);
}

static void
login_on_drained(void *arg)
{
	struct session *s = arg;

	if (s->conn != NULL)
		sp_conn_writable(s->conn);
}

static void
login_on_closed(void *arg, const char *why)
{
	struct session *s = arg;

	if (s->leg_gone)
		return;
	s->leg_gone = 1;
	s->ending = 1;
	sp_buf_release(&s->login.typed);
	sp_debug("%s: %s", s->birth.source, why);
	if (s->conn != NULL)
		sp_conn_lost(s->conn);
	sp_list_each(it, &s->relays)
		relay_finish(sp_container(it, struct relay, link));
	sp_list_each(jt, &s->targets)
		target_end(sp_container(jt, struct target, link), "connection closed", "", NULL);
	sp_timer_in(s->bye, 3 * SP_US_PER_S);
	session_sweep_soon(s);
}

const struct sp_leg_ops login_leg_ops = {
	.ready = login_on_ready, .auth = login_on_auth, .packet = login_on_packet, .drained = login_on_drained,
	.closed = login_on_closed
};

/* Who control says that this is: for an inner connection everything that the leg needs. */
void
login_welcome(struct session *s, const Sallyport__Welcome *w)
{
	struct sp_leg_keys *keys = NULL;
	enum sp_err r;

	if (s->welcomed)
		return;
	s->welcomed = 1;
	if (!s->birth.inner)
		return;
	if (!w->inner || sp_uuid_from(w->user_id.data, w->user_id.len, &s->login.user_id) != SP_OK) {
		session_end(s, "inner connection without an identity");
		s->leg_gone = 1;
		session_sweep_soon(s);
		return;
	}
	s->inner = 1;
	if (s->control != NULL)
		sp_chan_set_state(s->control, SP_ST_AUTHED);	/* control knows who it is; the leg asks for a code, if at all */
	s->login.epoch = w->epoch;
	(void)sp_strlcpy(s->login.user, w->login, sizeof(s->login.user));
	(void)sp_strlcpy(s->inner_asset, w->asset, sizeof(s->inner_asset));
	(void)sp_strlcpy(s->inner_account, w->account, sizeof(s->inner_account));
	if ((r = sp_leg_keys_new(s->conf, &keys)) == SP_OK && w->inner_host_key.len > 0) {
		struct sp_buf pem;

		sp_buf_init(&pem, 16384);
		if ((r = sp_buf_append(&pem, w->inner_host_key.data, w->inner_host_key.len)) == SP_OK)
			r = sp_leg_keys_add(keys, sp_buf_cstr(&pem));
		sp_buf_release(&pem);
	} else if (r == SP_OK)
		r = SP_ENOENT;
	if (r == SP_OK)
		r = sp_leg_server(s->loop, keys, sp_steal_fd(&s->birth.fd), &login_leg_ops, s, &s->leg);
	if (r != SP_OK) {
		sp_error("inner connection cannot start: %s", sp_err_text(r));
		s->leg_gone = 1;
		session_sweep_soon(s);
	}
}
