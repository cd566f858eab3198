/* src/courier/main.c - takes what is to leave the bastion into a durable outbox and confirms it; sends the copy of the audit
 * log (copy.c) and what is in the outbox (deliver.c). Process: courier.
 * Invariants: (1) OUTBOX_DONE with err 0 is sent only when the item is on disk. (2) One fsync confirms everything that
 * came meanwhile. (3) Control may send an item again at any time; it is kept once. */
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "common/child.h"
#include "courier/copy.h"
#include "courier/deliver.h"
#include "courier/outbox.h"
#include "courier/post.h"
#include "crypto/secret.h"
#include "sallyport.pb-c.h"

#define PENDING_MAX	256	/* items that one fsync confirms */
#define COURIER_THREADS	2u	/* names being looked up */
#define COURIER_QUEUED	32u
#define COURIER_FILES	256

struct courier {
	struct sp_child	 child;
	struct sp_chan	*control;
	struct sp_outbox *outbox;
	struct sp_pool	*pool;
	struct copies	*copies;
	struct deliveries *deliveries;
	struct sp_timer	*commit;
	struct sp_uuid	 pending[PENDING_MAX];
	int		 n;
};

static void
courier_done(struct courier *c, const struct sp_uuid *id, enum sp_err err)
{
	Sallyport__OutboxDone d = SALLYPORT__OUTBOX_DONE__INIT;
	struct sp_uuid copy = *id;
	char text[64];

	(void)sp_strlcpy(text, err == SP_OK ? "" : sp_err_text(err), sizeof(text));
	d.id = (ProtobufCBinaryData){ SP_UUID_LEN, copy.b };
	d.err = err;
	d.text = text;
	if (c->control != NULL && sp_chan_send(c->control, SP_MSG_OUTBOX_DONE, 0, &d, NULL, 0) != SP_OK)
		sp_warn("control does not take a confirmation: it will send the item again");
}

static void
courier_commit(struct courier *c)
{
	if (sp_outbox_sync(c->outbox) != SP_OK)
		sp_die(74, "the outbox cannot be made durable");	/* never retried: a second fsync may lie */
	for (int i = 0; i < c->n; i++)
		courier_done(c, &c->pending[i], SP_OK);
	c->n = 0;
}

static void
courier_on_commit(struct sp_timer *t, void *arg)
{
	(void)t;
	courier_commit(arg);
}

static void
courier_on_item(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct courier *c = arg;
	const Sallyport__OutboxItem *item = (const Sallyport__OutboxItem *)m->body;
	struct sp_uuid id;
	enum sp_err r;

	(void)chan;
	if (m->id == SP_MSG_COPY_BATCH) {
		copies_batch(c->copies, m->corr, (const Sallyport__CopyBatch *)m->body);
		return;
	}
	if (m->id == SP_MSG_DELIVERY_SECRET) {
		deliveries_secret(c->deliveries, (const Sallyport__DeliverySecret *)m->body);
		return;
	}
	if (m->id != SP_MSG_OUTBOX_ITEM || sp_uuid_from(item->id.data, item->id.len, &id) != SP_OK) {
		sp_error("an item without an id was dropped");
		return;
	}
	r = sp_outbox_append(c->outbox, &id, item->kind, item->payload, item->created_wall_us, sp_wall_us());
	if (r != SP_OK && r != SP_EEXIST) {
		sp_error("an item was not taken into the outbox: %s", sp_err_text(r));
		courier_done(c, &id, r);
		return;
	}
	if (strncmp(item->kind, "test.", 5) == 0)
		deliveries_retry(c->deliveries);
	if (c->n == 0)
		sp_timer_in(c->commit, 0);	/* after what else is waiting was read */
	c->pending[c->n++] = id;
	if (c->n == PENDING_MAX)
		courier_commit(c);
}

static void
courier_control(struct courier *c, struct sp_chan *control)
{
	copies_control(c->copies, control);
	deliveries_control(c->deliveries, control);
}

static void
courier_on_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	struct courier *c = arg;

	if (why != SP_ECLOSED)
		sp_error("bad message %s from control: %s", what, sp_err_text(why));
	if (chan == c->control) {
		c->control = NULL;
		courier_control(c, NULL);
	}
	sp_chan_free(chan);
}

static void
courier_on_peer(struct sp_child *child, const Sallyport__Peer *p, int fd)
{
	struct courier *c = child->arg;

	if (p->kind != SP_PROC_CONTROL) {
		close(fd);
		return;
	}
	courier_control(c, NULL);
	sp_chan_free(c->control);
	c->control = NULL;
	c->n = 0;	/* the new control asks again about what it has no answer for */
	if (sp_chan_new(fd, SP_PROC_COURIER, SP_PROC_CONTROL, courier_on_item, courier_on_close, c, &c->control) != SP_OK)
		sp_die(71, "cannot talk to control");
	if (sp_chan_watch(c->control, c->child.loop) != SP_OK)
		sp_die(71, "cannot watch control's channel");
	courier_control(c, c->control);
}

static void
courier_reload(struct sp_child *child)
{
	struct courier *c = child->arg;

	copies_reload(c->copies);
	deliveries_reload(c->deliveries);
}

static void
courier_sandbox(struct courier *c, int dirfd)
{
	static char path[4096];
	static const char *rw[] = { path, NULL };
	static char file[4][SP_CONF_TEXT];
	static const char *ro[SP_NELEMS(file) + 1];
	const struct sp_config *conf = &c->child.conf;
	const char *const named[SP_NELEMS(file)] = { conf->syslog_ca, conf->delivery_ca, conf->syslog_cert, conf->syslog_key };
	const struct sp_sandbox box = { .may = SP_MAY_FILES | SP_MAY_CONNECT | SP_MAY_THREADS | SP_MAY_SOCKETPAIR, .user = sp_proc_user(SP_PROC_COURIER),
	    .rw = rw, .ro = ro, .files_n = COURIER_FILES };
	char link[64];
	size_t k = 0;
	ssize_t n;

	(void)sp_snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	if ((n = readlink(link, path, sizeof(path) - 1)) <= 0)
		sp_die(71, "cannot name the outbox directory");
	path[n] = '\0';
	for (size_t i = 0; i < SP_NELEMS(file); i++)
		if (*named[i] != '\0') {
			(void)sp_strlcpy(file[k], named[i], sizeof(file[k]));
			ro[k] = file[k];
			k++;
		}
	sp_child_ready(&c->child, &box);
}

int
main(void)
{
	static const struct sp_child_ops ops = { .peer = courier_on_peer, .reload = courier_reload };
	static struct courier c;
	enum sp_err r;
	int dirfd, cursors, status;

	sp_child_init(&c.child, SP_PROC_COURIER, &ops, &c);
	if ((dirfd = sp_child_take_fd(&c.child, "outbox")) < 0)
		sp_die(78, "the monitor gave no outbox directory");
	(void)umask(077);
	if (sp_timer_new(c.child.loop, courier_on_commit, &c, &c.commit) != SP_OK)
		sp_die(71, "cannot start");
	if (sp_crypto_init() != SP_OK || OPENSSL_init_ssl(0, NULL) != 1 || post_init() != SP_OK || (cursors = fcntl(dirfd, F_DUPFD_CLOEXEC, 3)) == -1)
		sp_die(71, "cannot start");
	courier_sandbox(&c, dirfd);
	if ((r = sp_outbox_open(dirfd, &c.outbox)) != SP_OK)
		sp_die(74, "cannot read the outbox: %s", sp_err_text(r));
	if (sp_pool_new(c.child.loop, COURIER_THREADS, COURIER_QUEUED, &c.pool) != SP_OK ||	/* after Landlock, which binds them */
	    copies_new(&c.child, c.pool, cursors, &c.copies) != SP_OK ||
	    deliveries_new(&c.child, cursors, c.outbox, &c.deliveries) != SP_OK)
		sp_die(71, "cannot start");
	status = sp_child_run(&c.child);
	copies_free(c.copies);
	deliveries_free(c.deliveries);
	close(cursors);
	return status;
}
