/* src/session/front.c - where does this channel go: the login name, SALLYPORT_TARGET, the first word of a command, or the
 * menu. Process: session. */
#include "session/session.h"

#include <stdlib.h>
#include <string.h>

#include "policy/command.h"
#include "session/menu.h"

#define USAGE "name a target: ssh USER@ACCOUNT@ASSET@bastion, or ssh -t bastion ACCOUNT@ASSET"

/* What is asked first, as TargetAsk and grants name it. */
static const char *
front_protocol(const char *type, const struct sp_buf *detail)
{
	const char *d = sp_buf_cstr(detail);

	if (strcmp(type, "subsystem") == 0)
		return "sftp";
	if (strcmp(type, "exec") == 0 && sp_policy_command_is_scp(d, detail->len))
		return "scp";
	return type;
}

struct target *
forward_target(struct session *s)
{
	struct target *only = NULL;

	if (s->inner || s->login.text.asset[0] != '\0') {
		struct sp_target want;

		front_login_target(s, &want);
		return target_get(s, &want, s->inner ? "jump" : "login", "forward", 1, "");
	}
	sp_list_each(it, &s->targets) {
		struct target *t = sp_container(it, struct target, link);

		if (t->state == TG_ENDED)
			continue;
		if (only != NULL)
			return NULL;
		only = t;
	}
	return only;
}

/* The target that the login itself names. In an inner connection the login name is the account. */
void
front_login_target(const struct session *s, struct sp_target *ret)
{
	*ret = (struct sp_target){ 0 };
	if (!s->inner) {
		(void)sp_strlcpy(ret->account, s->login.text.account, sizeof(ret->account));
		(void)sp_strlcpy(ret->asset, s->login.text.asset, sizeof(ret->asset));
		return;
	}
	(void)sp_strlcpy(ret->asset, s->inner_asset, sizeof(ret->asset));
	(void)sp_strlcpy(ret->account, s->inner_account[0] != '\0' ? s->inner_account : s->login.text.user,
	    sizeof(ret->account));
}

/* "account@asset [command ...]": 1 and the rest, if the first word names a target. */
static int
front_split(struct relay *r, struct sp_view *cmd)
{
	size_t n = 0, k;
	struct sp_target t;

	while (n < cmd->len && cmd->p[n] != ' ' && cmd->p[n] != '\t')
		n++;
	for (k = 0; k < n && strchr("@#%", cmd->p[k]) == NULL; k++)
		;
	if (k == n || sp_target_parse((const char *)cmd->p, n, SP_TARGET_PLACE, NULL, &t) != SP_OK ||
	    (t.user[0] != '\0' && strcmp(t.user, r->s->login.user) != 0))
		return 0;
	t.user[0] = '\0';
	r->want = t;
	while (n < cmd->len && (cmd->p[n] == ' ' || cmd->p[n] == '\t'))
		n++;
	cmd->p += n;
	cmd->len -= n;
	return 1;
}

/* A first word with a separator is meant as a target, a wrong one; commands for Sallyport have none. */
static int
front_is_command(struct sp_view cmd)
{
	for (size_t i = 0; i < cmd.len && cmd.p[i] != ' ' && cmd.p[i] != '\t'; i++)
		if (strchr("@#%", cmd.p[i]) != NULL)
			return 0;
	return cmd.len > 0;
}

static void
front_greet(struct relay *r)
{
	struct session *s = r->s;

	if (!r->pty)
		return;
	if (s->birth.consent[0] != '\0')
		relay_show(r, s->birth.consent);
	if (s->login.notice[0] != '\0')
		relay_show(r, s->login.notice);
	s->birth.consent = "";
	s->login.notice[0] = '\0';
}

static void front_menu(struct relay *r);

void
front_start(struct relay *r, const char *name, struct sp_view data, int slot)
{
	struct sp_view v = data, detail = { (const uint8_t *)"", 0 };
	struct sp_target want;
	const char *form = "env";
	int is_exec = strcmp(name, "exec") == 0, lasting = 0;

	if (r->started || (strcmp(name, "shell") != 0 && sp_view_string(&v, &detail) != SP_OK) ||
	    memchr(detail.p, '\0', detail.len) != NULL ||
	    (strcmp(name, "subsystem") == 0 && !sp_view_equal_str(detail, "sftp"))) {
		relay_answer(r, slot, 0);
		return;
	}
	front_greet(r);
	if (r->s->inner || r->s->login.text.asset[0] != '\0') {
		front_login_target(r->s, &want);
		form = r->s->inner ? "jump" : "login";
		lasting = 1;
	} else if (r->wanted) {
		want = r->want;
		want.user[0] = '\0';
	} else if (is_exec && front_split(r, &detail)) {
		want = r->want;
		form = "exec";
		name = detail.len > 0 ? "exec" : "shell";
	} else if (strcmp(name, "shell") == 0 && r->pty) {
		relay_start(r, "shell", "", 0, slot);
		front_menu(r);
		return;
	} else if (is_exec && front_is_command(detail)) {
		shell_start(r, detail, slot);
		return;
	} else {
		relay_start(r, name, detail.p, detail.len, slot);
		relay_fail(r, USAGE);
		return;
	}
	relay_start(r, name, detail.p, detail.len, slot);
	if (r->state == RL_NEW)
		relay_resolve(r, &want, form, front_protocol(name, &r->detail), lasting);
}

/* ---- the menu */

static void front_menu_go(struct relay *r);

void
front_menu_pump(struct relay *r)
{
	size_t n;

	if (r->near == NULL || r->menu_out.len == 0)
		return;
	n = sp_channel_write(r->near, SP_STREAM_OUT, r->menu_out.p, r->menu_out.len);
	sp_buf_consume(&r->menu_out, n);
}

static void
front_menu_did(struct relay *r, enum sp_err e)
{
	if (e != SP_OK)
		relay_finish(r);
	else
		front_menu_pump(r);
}

static enum sp_err
front_menu_take(struct relay *r, const Sallyport__MenuReply *a)
{
	enum sp_err e = SP_OK;

	for (size_t i = 0; i < a->n_rows && e == SP_OK; i++) {
		const Sallyport__MenuRow *w = a->rows[i];
		struct sp_menu_row row = { .id = w->asset_id.data, .name = w->name, .address = w->address, .remark = w->remark,
		    .accounts = (const char *const *)w->accounts, .n_accounts = w->n_accounts, .favourite = w->favourite,
		    .recent = w->recent };

		if (w->asset_id.len == SP_UUID_LEN)
			e = sp_menu_row(r->menu, r->menu_ask, &row);
	}
	for (size_t i = 0; i < a->n_groups && e == SP_OK; i++)
		e = sp_menu_group(r->menu, r->menu_ask, a->groups[i]->id, a->groups[i]->parent, a->groups[i]->name);
	for (size_t i = 0; i < a->n_places && e == SP_OK; i++)
		if (a->places[i]->asset_id.len == SP_UUID_LEN)
			e = sp_menu_place(r->menu, r->menu_ask, a->places[i]->asset_id.data, a->places[i]->groups, a->places[i]->n_groups);
	return e;
}

static int
front_menu_on_reply(struct session *s, struct sp_msg *m, void *arg)
{
	struct relay *r = arg;
	const Sallyport__MenuReply *a = m != NULL ? (const Sallyport__MenuReply *)m->body : NULL;
	enum sp_err e = SP_OK;

	(void)s;
	if (r->state != RL_MENU || r->menu == NULL)
		return 0;
	if (a != NULL)
		sp_menu_note(r->menu, a->notice);
	if (a == NULL)
		e = sp_menu_reply(r->menu, r->menu_ask, 0, 0, "Sallyport did not answer in time: try again", 1, &r->menu_out);
	else if ((e = front_menu_take(r, a)) == SP_OK)
		e = sp_menu_reply(r->menu, r->menu_ask, a->total, a->more, a->text,
		    a->text[0] != '\0' && a->n_rows + a->n_groups + a->n_places == 0, &r->menu_out);
	front_menu_did(r, e);
	front_menu_go(r);		/* a name typed in full, or keys typed ahead, may have chosen */
	return 0;
}

static void
front_menu_on_ask(void *arg, uint32_t ask, enum sp_menu_what what, const uint8_t *id, const char *text)
{
	static const char *const words[] = { [SP_MENU_LIST] = "list", [SP_MENU_MORE] = "more", [SP_MENU_GROUPS] = "groups",
	    [SP_MENU_STAR] = "star", [SP_MENU_UNSTAR] = "unstar", [SP_MENU_WHY] = "why" };
	struct relay *r = arg;
	Sallyport__MenuAsk q = SALLYPORT__MENU_ASK__INIT;

	session_forget(r->s, r);
	r->menu_ask = ask;
	q.what = (char *)(uintptr_t)words[what];
	q.text = (char *)(uintptr_t)text;
	q.asset_id = (ProtobufCBinaryData){ id != NULL ? SP_UUID_LEN : 0, (uint8_t *)(uintptr_t)id };
	session_ask(r->s, SP_PROC_CONTROL, SP_MSG_MENU_ASK, &q, -1, r->s->conf->control_wait, front_menu_on_reply, r);
}

static void
front_menu_on_choose(void *arg, const char *account, const char *asset)
{
	struct relay *r = arg;

	r->chosen = (struct sp_target){ 0 };
	(void)sp_strlcpy(r->chosen.account, account, sizeof(r->chosen.account));
	(void)sp_strlcpy(r->chosen.asset, asset, sizeof(r->chosen.asset));
	r->state = RL_NEW;		/* front_menu_go() takes it from here, outside the menu's call */
}

static void
front_menu_on_quit(void *arg)
{
	struct relay *r = arg;

	r->chosen = (struct sp_target){ 0 };
	r->state = RL_NEW;
}

static void
front_menu_on_command(void *arg, const char *text)
{
	struct relay *r = arg;

	(void)sp_strlcpy(r->command, text, sizeof(r->command));
	r->state = RL_NEW;
}

static const struct sp_menu_ops front_menu_ops = { front_menu_on_ask, front_menu_on_choose, front_menu_on_quit, front_menu_on_command };

/* As `ssh bastion -- COMMAND`, on this terminal (shell.h). */
static void
front_menu_command(struct relay *r)
{
	char words[sizeof(r->command)];

	(void)sp_strlcpy(words, r->command, sizeof(words));
	r->command[0] = '\0';
	if (r->menu_out.len > 0)	/* it would come between what the command prints */
		front_menu_again(r, "Your terminal does not keep up: try again");
	else
		shell_start(r, (struct sp_view){ (const uint8_t *)words, strlen(words) }, -1);
}

/* After bytes went into the menu: a choice leads to its target, quitting ends the channel. */
static void
front_menu_go(struct relay *r)
{
	static const uint8_t ok[4];
	struct sp_buf rest;

	if (r->state != RL_NEW)
		return;
	front_menu_pump(r);
	if (r->command[0] != '\0') {
		front_menu_command(r);
		return;
	}
	if (r->chosen.asset[0] == '\0') {
		sp_channel_request(r->near, "exit-status", 0, ok, sizeof(ok));
		sp_channel_eof(r->near);
		relay_finish(r);
		return;
	}
	/* What was typed after the choice belongs to the target. It was consumed when it came. */
	sp_buf_init(&rest, SP_MENU_AHEAD);
	if (sp_menu_take_rest(r->menu, &rest) != SP_OK)
		rest.len = 0;
	relay_menu_start(r);
	if (rest.len > 0)
		relay_bytes(r, SP_REC_IN, (struct sp_view){ rest.p, rest.len });
	sp_buf_release(&rest);
	relay_resolve(r, &r->chosen, "menu", "shell", 0);
}

static void
front_menu(struct relay *r)
{
	sp_buf_init(&r->menu_out, SP_MENU_OUT_MAX);
	if (sp_menu_new(&front_menu_ops, r, r->s->conf->bastion_name, r->cols, r->rows, &r->menu) != SP_OK) {
		relay_fail(r, "out of memory");
		return;
	}
	sp_menu_terminal(r->menu, r->term, r->no_color);
	relay_menu_hold(r);	/* the answer to the shell request is ours; what was kept is for the target */
	r->state = RL_MENU;
	front_menu_did(r, sp_menu_start(r->menu, NULL, &r->menu_out));
	if (r->state == RL_MENU)
		relay_menu_early(r);
}

void
front_menu_input(struct relay *r, struct sp_view v)
{
	front_menu_did(r, sp_menu_input(r->menu, v.p, v.len, &r->menu_out));
	front_menu_go(r);
}

void
front_menu_resize(struct relay *r)
{
	if (r->menu != NULL)
		front_menu_did(r, sp_menu_resize(r->menu, r->cols, r->rows, &r->menu_out));
}

void
front_menu_message(struct relay *r, const char *line)
{
	front_menu_did(r, sp_menu_message(r->menu, line, &r->menu_out));
}

void
front_menu_again(struct relay *r, const char *message)
{
	r->state = RL_MENU;
	front_menu_did(r, sp_menu_start(r->menu, message, &r->menu_out));
}

void
front_menu_said(struct relay *r)
{
	r->state = RL_MENU;
	if (r->near_eof) {		/* nobody is there to type the next one */
		relay_finish(r);
		return;
	}
	front_menu_did(r, sp_menu_said(r->menu, &r->menu_out));
	front_menu_go(r);
}

void
front_menu_ahead(struct relay *r, struct sp_view v)
{
	if (sp_menu_input(r->menu, v.p, v.len, &r->menu_out) != SP_OK)
		relay_finish(r);
}

void
front_menu_discard(struct relay *r)
{
	struct sp_buf rest;

	sp_buf_init(&rest, SP_MENU_AHEAD);
	(void)!sp_menu_take_rest(r->menu, &rest);
	sp_buf_release(&rest);
}

/* The account was left open and there are several. The target that asked is given up; the choice makes another one. */
void
front_menu_choices(struct relay *r, const Sallyport__TargetReply *m)
{
	relay_menu_unbind(r);
	r->state = RL_MENU;
	front_menu_did(r, sp_menu_choices(r->menu, m->asset[0] != '\0' ? m->asset : r->chosen.asset,
	    (const char *const *)m->choices, m->n_choices, &r->menu_out));
}

void
front_release(struct relay *r)
{
	sp_menu_free(r->menu);
	r->menu = NULL;
	sp_buf_release(&r->menu_out);
}
