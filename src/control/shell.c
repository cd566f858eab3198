/* src/control/shell.c - see shell.h. */
#include "control/shell.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/api.h"
#include "control/api_bulk.h"

#define SHELLS_CONN	8	/* at a time; a session starts no more than this, and lets the others wait */
#define SHELLS_ALL	256	/* of all connections */
#define SHELLS_MINUTE	300
#define CALLS_MAX	4	/* of one shell: it asks one thing at a time */

struct shell {
	struct sp_list	 link;		/* conn->shells while the channel is open */
	struct conn	*conn;		/* referenced */
	struct sp_chan	*chan;
	unsigned	 refs, calls;
};

struct shell *
shell_ref(struct shell *sh)
{
	sh->refs++;
	return sh;
}

void
shell_unref(struct shell *sh)
{
	if (sh == NULL || --sh->refs > 0)
		return;
	sp_chan_free(sh->chan);
	conn_unref(sh->conn);
	free(sh);
}

struct sp_chan *
shell_chan(const struct shell *sh)
{
	return conn_alive(sh->conn) ? sh->chan : NULL;
}

void
shell_call_done(struct shell *sh)
{
	sh->calls--;
}

static void
shell_close(struct shell *sh)
{
	bulk_drop(sh->conn->ctl, sh);
	sp_chan_free(sh->chan);
	sh->chan = NULL;
	sp_list_remove(&sh->link);
	sh->conn->shells_n--;
	sh->conn->ctl->shells_n--;
	shell_unref(sh);
}

void
shell_conn_gone(struct conn *cn)
{
	sp_list_each(it, &cn->shells)
		shell_close(sp_container(it, struct shell, link));
}

static void
shell_on_msg(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct shell *sh = arg;
	Sallyport__CallReply r = SALLYPORT__CALL_REPLY__INIT;

	if (!conn_alive(sh->conn))
		return;		/* the channel closes with the connection, in a moment */
	if (sh->calls < CALLS_MAX) {
		sh->calls++;
		api_shell_call(sh, sh->conn, m->corr, (const Sallyport__CallAsk *)m->body);
		return;
	}
	r.err = SP_EBUSY;
	r.text = ctl_str("too many calls at once");
	if (sp_chan_send(chan, SP_MSG_CALL_REPLY, m->corr, &r, NULL, 0) != SP_OK)
		sp_debug("a command line does not take its answers");
}

/* A bad message ends that command line only: it is a process that parses what users type. */
static void
shell_on_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	struct shell *sh = arg;
	char text[128];

	(void)chan;
	if (why != SP_ECLOSED) {
		struct audit_entry e = { .kind = "shell.misbehaved", .actor = sh->conn->login, .result = "failed", .text = text,
		    .source = sh->conn->source_text, .conn = &sh->conn->id, .user = &sh->conn->user_id };

		sp_snprintf(text, sizeof(text), "message %s refused: %s", *what ? what : "(unknown)", sp_err_text(why));
		sp_warn("a command line of %s misbehaved: %s", sh->conn->login, text);
		audit_append(sh->conn->ctl->audit, &e, NULL, NULL);
	}
	shell_close(sh);
}

static enum sp_err
shell_spawn(struct conn *cn, int fd, int talk)
{
	Sallyport__ShellSpawn m = SALLYPORT__SHELL_SPAWN__INIT;
	int fds[2] = { fd, talk };

	m.conn_id = ctl_uuid_bytes(&cn->id);
	return sp_chan_send(cn->ctl->child.monitor, SP_MSG_SHELL_SPAWN, 0, &m, fds, 2);
}

/* talk is taken. */
static enum sp_err
shell_start(struct conn *cn, int talk)
{
	struct shell *sh = calloc(1, sizeof(*sh));
	enum sp_err r;
	int sv[2];

	if (sh == NULL || (r = sp_chan_pair(sv)) != SP_OK) {
		sp_closep(&talk);
		free(sh);
		return SP_ENOMEM;
	}
	if ((r = sp_chan_new(sv[0], SP_PROC_CONTROL, SP_PROC_SHELL, shell_on_msg, shell_on_close, sh, &sh->chan)) != SP_OK) {
		sp_closep(&sv[1]);
		sp_closep(&talk);
		free(sh);
		return r;
	}
	sh->refs = 1;
	sh->conn = conn_ref(cn);
	sp_list_add_tail(&cn->shells, &sh->link);
	cn->shells_n++;
	cn->ctl->shells_n++;
	if ((r = sp_chan_watch(sh->chan, cn->ctl->child.loop)) != SP_OK) {
		sp_closep(&sv[1]);
		sp_closep(&talk);
	} else {
		r = shell_spawn(cn, sv[1], talk);
	}
	if (r != SP_OK)
		shell_close(sh);
	return r;
}

static const char *
shell_refused(struct conn *cn)
{
	uint64_t now = sp_now_us();

	if (cn->inner)
		return "commands for Sallyport are not taken inside a connection to a target";
	if (cn->shells_n >= SHELLS_CONN || cn->ctl->shells_n >= SHELLS_ALL)
		return "too many commands at once: try again";
	if (now - cn->shells_since_us >= 60 * SP_US_PER_S) {
		cn->shells_since_us = now;
		cn->shells_minute = 0;
	}
	if (cn->shells_minute >= SHELLS_MINUTE)
		return "too many commands on this connection: wait a minute";
	cn->shells_minute++;
	return NULL;
}

void
shell_ask(struct conn *cn, struct sp_msg *m)
{
	Sallyport__Result r = SALLYPORT__RESULT__INIT;
	const char *why = shell_refused(cn);

	if (why != NULL) {
		r.err = SP_EBUSY;
		r.text = ctl_str(why);
	} else if ((r.err = shell_start(cn, sp_steal_fd(&m->fds[0]))) != SP_OK) {
		r.text = ctl_str("the command cannot be run just now: try again");
	}
	conn_send(cn, SP_MSG_SHELL_REPLY, m->corr, &r);
}
