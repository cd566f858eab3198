/* src/control/main.c - sallyport-control: start, what the monitor and the other processes send, orderly end.
 * Links: store, policy, the pure key codecs, hashes and key derivation for inner host keys. It never sees a plaintext
 * secret and parses no byte of SSH. */
#include "control/ctl.h"
#include "control/mfa.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/alarm.h"
#include "control/confdiff.h"
#include "control/copy.h"
#include "control/deliver.h"
#include "control/loghead.h"
#include "control/offense.h"
#include "control/quarantine.h"
#include "control/erase.h"
#include "control/retain.h"
#include "control/rowkey.h"
#include "control/servers.h"
#include "control/siem.h"
#include "control/snapshot.h"
#include "control/wall.h"
#include "crypto/secret.h"

#define FILES_N		32768
#define CTL_LEAVE_TICK_US	(20 * SP_US_PER_MS)

static struct ctl ctl;
static struct sp_config shared_conf;	/* under shared_mu: what worker threads read */
static pthread_mutex_t shared_mu = PTHREAD_MUTEX_INITIALIZER;

void
ctl_conf_copy(const struct ctl *c, struct sp_config *ret)
{
	(void)c;
	pthread_mutex_lock(&shared_mu);
	*ret = shared_conf;
	pthread_mutex_unlock(&shared_mu);
}

static void
share_conf(const struct ctl *c)
{
	pthread_mutex_lock(&shared_mu);
	shared_conf = c->child.conf;
	pthread_mutex_unlock(&shared_mu);
}

const char *
ctl_refusal(const struct ctl *c)
{
	if (c->stopping)
		return "The bastion is being stopped; new sessions are refused.";
	if (audit_space_low(c->audit))
		return "The bastion's disk is nearly full; new sessions are refused until there is room.";
	if (loghead_contained(c) != NULL)
		return loghead_contained(c);
	return quarantine_text(c);
}

/* ---- neighbours ---- */

static void
dialer_on_msg(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	(void)chan;		/* an answer that came after its deadline: its socket is closed with the message */
	(void)m;
	(void)arg;
}

static void
plain_on_msg(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct ctl *c = sp_container((struct sp_chan **)arg, struct ctl, courier);	/* of the courier: arg is its slot */

	(void)chan;
	if (m->id == SP_MSG_OUTBOX_DONE)
		alarm_courier_done(c, (Sallyport__OutboxDone *)m->body);
	else if (m->id == SP_MSG_COPY_ASK)
		copy_ask(c, m->corr, (Sallyport__CopyAsk *)m->body);
	else if (m->id == SP_MSG_COPY_STATE)
		copy_state(c, (Sallyport__CopyState *)m->body);
	else if (m->id == SP_MSG_DELIVERY_STATE)
		deliver_state(c, (Sallyport__DeliveryState *)m->body);
	else if (m->id == SP_MSG_DELIVERY_SECRET_ASK)
		deliver_secret_ask(c, (Sallyport__DeliverySecretAsk *)m->body);
}

static void
plain_on_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	struct sp_chan **slot = arg;

	if (why != SP_ECLOSED)
		sp_error("bad message %s: %s", what, sp_err_text(why));
	*slot = NULL;
	sp_chan_free(chan);
}

static void
plain_peer(struct ctl *c, struct sp_chan **slot, enum sp_proc peer, int fd)
{
	sp_chan_free(*slot);
	*slot = NULL;
	if (sp_chan_new(fd, SP_PROC_CONTROL, peer, plain_on_msg, plain_on_close, slot, slot) != SP_OK) {
		*slot = NULL;
		return;
	}
	if (sp_chan_watch(*slot, c->child.loop) != SP_OK) {
		sp_chan_free(*slot);
		*slot = NULL;
	}
}

static void
on_peer(struct sp_child *child, const Sallyport__Peer *p, int fd)
{
	struct ctl *c = child->arg;

	switch (p->kind) {
	case SP_PROC_VAULT:
		vaultlink_peer(c, fd);
		break;
	case SP_PROC_DIALER:
		ctl_link_set(c->dialer, fd);
		ctl_link_ready(c->dialer);
		break;
	case SP_PROC_GATE:
		plain_peer(c, &c->gate, SP_PROC_GATE, fd);
		break;
	case SP_PROC_COURIER:
		plain_peer(c, &c->courier, SP_PROC_COURIER, fd);
		alarm_courier_peer(c);
		copy_peer(c);
		deliver_peer(c);
		break;
	case SP_PROC_SIEM:
		siem_peer(c, fd);
		break;
	case SP_PROC_SCRIBE:
		leftover_peer(c, fd);
		break;
	default:
		sp_warn("a channel of an unexpected kind was refused");
		sp_closep(&fd);
	}
}

static void
on_message(struct sp_child *child, struct sp_msg *m)
{
	struct ctl *c = child->arg;

	switch (m->id) {
	case SP_MSG_ATTACH:
		conn_attach(c, m);
		break;
	case SP_MSG_ATTACH_SCRIBE:
		event_attach_scribe(c, m);
		break;
	case SP_MSG_GONE:
		conn_gone(c, (Sallyport__Gone *)m->body);
		break;
	default:
		break;
	}
}

static void
on_reload(struct sp_child *child)
{
	struct ctl *c = child->arg;
	struct audit_entry e = { .kind = "config.reloaded", .actor = "system", .result = "ok" };
	json_t *changes = confdiff(&shared_conf, &child->conf);		/* only this thread writes it */

	if (changes != NULL)
		e.more = json_pack("{s:o}", "changes", changes);
	share_conf(c);
	audit_set_reserve(c->audit, (uint64_t)child->conf.reserve_mb << 20);
	audit_append(c->audit, &e, NULL, NULL);
	json_decref(e.more);
	volume_set(&c->volume, (double)child->conf.audit_rate, (double)child->conf.audit_burst);
	target_rejudge(c);
}

/* A successor answers what nobody has answered; but a password that was handed to the vault, or a target that is being
 * dialled, is known to us only. */
static void
busy_conn(struct sp_hnode *n, void *arg)
{
	int *busy = arg;

	*busy |= sp_container(n, struct conn, node)->logging_in;
}

static void
busy_target(struct sp_hnode *n, void *arg)
{
	const struct target *t = sp_container(n, struct target, node);
	int *busy = arg;

	*busy |= t->conn != NULL && !t->up && !t->ended;
}

static void
leave_when_idle(struct ctl *c, uint64_t now_us)
{
	int busy = ctl_lanes_busy(c->lanes) || inner_is_pending(c);

	if (c->leave_at_us == 0)
		return;
	sp_htab_each(&c->conns, busy_conn, &busy);
	sp_htab_each(&c->targets, busy_target, &busy);
	if (busy && now_us < c->leave_at_us)
		return;
	conn_hush_all(c);
	sp_loop_stop(c->child.loop);
}

static void
on_shutdown(struct sp_child *child, uint64_t grace_us)
{
	struct ctl *c = child->arg;

	if (grace_us == 0) {
		c->stopping = 1;
		sp_loop_stop(child->loop);
		return;
	}
	c->leave_at_us = sp_now_us() + grace_us;
	sp_timer_in(c->tick, CTL_LEAVE_TICK_US);
}

static const struct sp_child_ops ops = { .peer = on_peer, .reload = on_reload, .shutdown = on_shutdown,
	.message = on_message };

static void
on_durable(void *arg)
{
	siem_grown(arg);
}

/* ---- time ---- */

/* Entries that one user's connections made too many of, in one. */
static void
on_more(const struct sp_uuid *user, const char *login, enum volume_kind kind, uint64_t n, void *arg)
{
	struct ctl *c = arg;
	char text[96];
	json_t *more = json_pack("{s:s, s:I}", "of", volume_kind_name(kind), "count", (json_int_t)n);
	struct audit_entry e = { .kind = "audit.more", .actor = login, .result = "refused", .text = text, .user = user, .more = more };

	sp_snprintf(text, sizeof(text), "%llu more of %s, refused: too many at once", (unsigned long long)n, volume_kind_name(kind));
	audit_append(c->audit, &e, NULL, NULL);
	json_decref(more);
}

static void
on_tick(struct sp_timer *t, void *arg)
{
	struct ctl *c = arg;
	uint64_t now = sp_now_us();

	ctl_lanes_tick(c->lanes, now);
	ctl_link_tick(c->vault, now);
	ctl_link_tick(c->dialer, now);
	login_tick(c, now);
	failures_tick(c, now);
	volume_tick(&c->volume, now, on_more, c);
	mfa_tick(c, now);
	siem_tick(c, now);
	offense_tick(c, now);
	lease_tick(c, now);
	inner_tick(c, now);
	target_tick(c, now);
	boot_tick(c, now);
	vaultlink_tick(c, now);
	rowkey_tick(c, now);
	alarm_tick(c, now);
	copy_tick(c, now);
	servers_tick(c, now);
	snapshot_tick(c, now);
	wall_tick(c, now);
	owner_tick(c, now);
	loghead_tick(c, now);
	retain_tick(c, now);
	erase_tick(c);
	leave_when_idle(c, now);
	sp_timer_in(t, c->leave_at_us != 0 ? CTL_LEAVE_TICK_US : CTL_TICK_US);
}

static void
on_alarm(const json_t *line, void *arg)
{
	alarm_seen(arg, line);
}

static void
on_rotated(void *arg)
{
	boot_carry(arg);
}

/* ---- start and end ---- */

static void
must(enum sp_err r, const char *what)
{
	if (r != SP_OK)
		sp_die(sp_err_exit(r), "%s: %s", what, sp_err_text(r));
}

static void
open_audit(struct ctl *c)
{
	int fd = sp_child_take_fd(&c->child, "audit-dir");
	enum sp_err r;

	if (fd == -1)
		sp_die(78, "the monitor passed no audit directory");
	must(copy_new(c, fd), "start");
	must(siem_new(c, fd), "start");
	r = audit_open(c->child.loop, fd, c->child.boot_id, (uint64_t)c->child.conf.reserve_mb << 20, boot_scan, on_rotated,
	    loghead_grown, c, &c->audit);
	if (r != SP_OK)
		sp_die(sp_err_exit(r), "the audit log cannot be opened: %s", sp_err_text(r));
}

/* The bastion's own public keys, to be published; a damaged or missing file is left out and said. */
static void
load_hostkeys(struct ctl *c)
{
	for (size_t i = 0; i < SP_NELEMS(c->hostkeys); i++) {
		char name[32], *line = c->hostkeys[c->hostkeys_n];
		ssize_t n;
		int fd;

		sp_snprintf(name, sizeof(name), "hostkey.pub:%zu", i);
		if ((fd = sp_child_take_fd(&c->child, name)) == -1)
			continue;
		n = read(fd, line, sizeof(c->hostkeys[0]) - 1);
		sp_closep(&fd);
		if (n <= 0 || memchr(line, '\n', (size_t)n) == NULL) {
			sp_warn("%s cannot be read: known-hosts leaves it out", name);
			continue;
		}
		line[strcspn(line, "\n")] = '\0';
		c->hostkeys_n++;
	}
}

/* Weekly hours are meant in this zone; the C library reads its file now, before the sandbox and before there are threads. */
static void
take_time_zone(const struct ctl *c)
{
	char zone[SP_CONF_TEXT + 2];

	if (c->child.conf.time_zone[0] != '\0') {
		sp_snprintf(zone, sizeof(zone), ":%s", c->child.conf.time_zone);
		if (setenv("TZ", zone, 1) == -1)
			sp_die(71, "out of memory");
	}
	tzset();
}

static void
start(struct ctl *c)
{
	int state_dir = sp_child_take_fd(&c->child, "state-dir"), admin = sp_child_take_fd(&c->child, "admin-socket");
	struct audit_entry e = { .kind = "control.start", .actor = "system", .result = "ok",
	    .text = c->child.restarted ? "restarted" : "started" };

	if (state_dir == -1 || admin == -1)
		sp_die(78, "the monitor passed no state directory or no admin socket");
	must(sp_htab_init(&c->conns), "start");
	must(sp_htab_init(&c->targets), "start");
	must(sp_htab_init(&c->floors), "start");
	sp_list_init(&c->leases_waiting);
	must(alarm_new(c), "start");
	must(deliver_new(c), "start");
	must(retain_new(c), "start");
	must(boot_new(c), "start");
	must(loghead_new(c), "start");
	open_audit(c);
	audit_watch(c->audit, alarm_is_one, on_alarm, c);
	audit_on_durable(c->audit, on_durable, c);
	must(offense_new(c), "start");
	load_hostkeys(c);
	must(inner_new(c, state_dir), "the seed of the inner host keys");
	sp_closep(&state_dir);
	must(vaultlink_new(c), "start");
	must(ctl_link_new(c, SP_PROC_DIALER, dialer_on_msg, &c->dialer), "start");
	must(login_new(c), "start");
	must(failures_new(c), "start");
	must(volume_init(&c->volume, (double)c->child.conf.audit_rate, (double)c->child.conf.audit_burst), "start");
	must(mfa_new(c), "start");
	must(servers_new(c), "the database servers");
	share_conf(c);
	quarantine_load(c);
	must(snapshot_new(c), "the directory for snapshots");
	must(boot_start(c), "the store");
	ctl_lanes_away(c->lanes, snapshot_away);
	must(api_new(c, admin), "the admin socket");
	must(sp_timer_new(c->child.loop, on_tick, c, &c->tick), "start");
	sp_timer_in(c->tick, CTL_TICK_US);
	c->started_us = sp_now_us();
	loghead_start(c);
	quarantine_note(c);	/* first: nothing may stand between it and what the backup has */
	/* What a reload changes is told with it; this is where a chain of such changes begins. */
	e.more = json_pack("{s:o*}", "settings", confdiff_defaults(&c->child.conf));
	audit_append(c->audit, &e, NULL, NULL);
	json_decref(e.more);
}

/* Worker threads first: what they still deliver finds everything in its place. */
static void
finish(struct ctl *c)
{
	struct audit_entry e = { .kind = "control.stop", .actor = "system", .result = "ok" };

	c->stopping = 1;
	snapshot_stop(c);
	ctl_lanes_free(c->lanes);
	servers_free(c);
	api_free(c);
	lease_tick(c, UINT64_MAX);
	mfa_free(c);
	login_free(c);
	failures_free(c);
	volume_tick(&c->volume, UINT64_MAX, on_more, c);
	volume_release(&c->volume);
	ctl_link_free(c->vault);
	ctl_link_free(c->dialer);
	audit_append(c->audit, &e, NULL, NULL);
	audit_close(c->audit);
	inner_free(c);
	leftover_free(c);
	conn_release_all(c);
	target_release_all(c);
	boot_free(c);
	snapshot_free(c);
	alarm_free(c);
	copy_free(c);
	siem_free(c);
	offense_free(c);
	loghead_free(c);
	deliver_free(c);
	retain_free(c);
	sp_chan_free(c->gate);
	sp_chan_free(c->courier);
	sp_timer_free(c->tick);
}

int
main(void)
{
	struct ctl *c = &ctl;
	static const char *const ro[] = { "/proc", "/etc", NULL };	/* who calls the admin socket; time zone, names */
	const char *rw[2] = { NULL, NULL };
	struct sp_sandbox box = { .may = SP_MAY_ACCEPT | SP_MAY_FILES | SP_MAY_THREADS | SP_MAY_SQL | SP_MAY_SOCKETPAIR,
	    .rw = rw, .ro = ro, .files_n = FILES_N };
	int status;

	sp_child_init(&c->child, SP_PROC_CONTROL, &ops, c);
	must(sp_crypto_init(), "random numbers");
	json_object_seed(0);		/* before there are threads */
	take_time_zone(c);
	rw[0] = c->child.conf.state_dir;
	box.user = sp_proc_user(SP_PROC_CONTROL);
	sp_child_ready(&c->child, &box);
	start(c);
	status = sp_child_run(&c->child);
	finish(c);
	return status;
}
