/* src/common/child.c - see child.h. Process: every child of the monitor, before and in its loop. */
#include "common/child.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "sallyport.pb-c.h"

static enum sp_log_level
child_level(const char *s)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };

	for (unsigned i = 0; i < SP_NELEMS(names); i++)
		if (strcmp(names[i], s) == 0)
			return (enum sp_log_level)i;
	return SP_LOG_INFO;
}

static void
child_configure(struct sp_child *c, const char *text)
{
	char why[256];

	if (sp_config_parse("configuration", text, strlen(text), &c->conf, why, sizeof(why)) != SP_OK)
		sp_die(78, "%s", why);	/* the monitor checked it: the two disagree about the table */
	sp_log_init(sp_proc_name(c->self), child_level(c->conf.log_level));
}

static void
child_boot(struct sp_child *c, struct sp_msg *m)
{
	Sallyport__Boot *b = (Sallyport__Boot *)m->body;

	if (b->protocol != SP_IPC_PROTOCOL || b->boot_id.len != sizeof(c->boot_id) || (int)b->n_fd_names != m->nfds)
		sp_die(78, "the monitor speaks another version: restart sallyport");
	memcpy(c->boot_id, b->boot_id.data, sizeof(c->boot_id));
	c->restarted = b->restarted;
	child_configure(c, b->config);
	for (int i = 0; i < m->nfds; i++) {
		(void)sp_strlcpy(c->fd[i].name, b->fd_names[i], sizeof(c->fd[i].name));
		c->fd[i].fd = sp_steal_fd(&m->fds[i]);
	}
	c->n_fds = m->nfds;
}

static void
child_on_msg(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct sp_child *c = arg;

	(void)chan;
	switch (m->id) {
	case SP_MSG_BOOT:
		child_boot(c, m);
		break;
	case SP_MSG_RELOAD:
		child_configure(c, ((Sallyport__Reload *)m->body)->config);
		if (c->ops->reload != NULL)
			c->ops->reload(c);
		break;
	case SP_MSG_SHUTDOWN:
		if (c->ops->shutdown != NULL)
			c->ops->shutdown(c, ((Sallyport__Shutdown *)m->body)->grace_us);
		else
			sp_loop_stop(c->loop);
		break;
	case SP_MSG_PEER:
		if (c->ops->peer != NULL)
			c->ops->peer(c, (Sallyport__Peer *)m->body, sp_steal_fd(&m->fds[0]));
		break;
	default:
		if (c->ops->message != NULL)
			c->ops->message(c, m);
	}
}

static void
child_on_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	struct sp_child *c = arg;

	(void)chan;
	if (why != SP_ECLOSED)
		sp_error("bad message %s from the monitor: %s", what, sp_err_text(why));
	sp_loop_stop(c->loop);
}

void
sp_child_init(struct sp_child *c, enum sp_proc self, const struct sp_child_ops *ops, void *arg)
{
	*c = (struct sp_child){ .self = self, .ops = ops, .arg = arg };
	sp_log_init(sp_proc_name(self), SP_LOG_INFO);
	signal(SIGPIPE, SIG_IGN);
	if (sp_loop_new(&c->loop) != SP_OK ||
	    sp_chan_new(SP_CHILD_FD, self, SP_PROC_MONITOR, child_on_msg, child_on_close, c, &c->monitor) != SP_OK)
		sp_die(64, "this program is started by sallyport-monitor, not by hand");
	if (sp_chan_wait(c->monitor, 10000) != SP_OK)
		sp_die(76, "no configuration from the monitor");
	if (sp_chan_watch(c->monitor, c->loop) != SP_OK)
		sp_die(71, "cannot watch the monitor's channel");
}

int
sp_child_take_fd(struct sp_child *c, const char *name)
{
	for (int i = 0; i < c->n_fds; i++)
		if (c->fd[i].fd >= 0 && strcmp(c->fd[i].name, name) == 0)
			return sp_steal_fd(&c->fd[i].fd);
	return -1;
}

void
sp_child_ready(struct sp_child *c, const struct sp_sandbox *box)
{
	char in_force[1024] = "";
	Sallyport__Ready ready = SALLYPORT__READY__INIT;
	enum sp_err r = sp_sandbox_enter(box, in_force, sizeof(in_force));

	if (r != SP_OK)
		sp_die(71, "cannot enter the sandbox: %s (%s)", sp_err_text(r), in_force);
	ready.in_force = in_force;
	sp_debug("ready: %s", in_force);	/* the monitor says it to people */
	if (sp_chan_send(c->monitor, SP_MSG_READY, 0, &ready, NULL, 0) != SP_OK)
		sp_die(76, "the monitor is gone");
}

int
sp_child_run(struct sp_child *c)
{
	enum sp_err r = sp_loop_run(c->loop);

	return sp_err_exit(r);
}
