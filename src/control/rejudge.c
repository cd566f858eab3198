/* src/control/rejudge.c - live targets are judged anew when anything that gives access changes, and when a decision said
 * that it may change by then. Process: control; the judging itself in a reader.
 * One pass at a time over all live targets; a change that comes during a pass starts another one after it. */
#include "control/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/cmdrules.h"
#include "control/judge.h"
#include "control/policy_msg.h"
#include "control/wall.h"

#define SAME_END_US	(20 * SP_US_PER_S)

static const uint32_t order[] = { SP_POLICY_SHELL, SP_POLICY_EXEC, SP_POLICY_SFTP, SP_POLICY_SCP, SP_POLICY_FWD_LOCAL,
	SP_POLICY_FWD_REMOTE, SP_POLICY_FWD_DYNAMIC, SP_POLICY_AGENT, SP_POLICY_X11 };
static const char *const env_always[] = { "LANG", "LC_*", "TERM", "COLORTERM" };

static uint64_t
boottime_of(int64_t wall_us)
{
	int64_t in = wall_us - ctl_wall_us();

	return in <= 0 ? sp_now_us() : sp_now_us() + (uint64_t)in;
}

void
policy_msg_init(struct policy_msg *p, const struct sp_config *conf, const struct sp_policy_decision *d)
{
	static const struct { uint32_t bit; const char *word; } agents[] = {
		{ SP_POLICY_AGENT_PLATFORM, "platform" }, { SP_POLICY_AGENT_USER, "own" }
	};
	static const char *const directions[] = { "none", "up", "down", "both" };
	Sallyport__Policy *m = &p->msg;

	sallyport__policy__init(m);
	for (size_t i = 0; i < SP_NELEMS(order); i++)
		if (d->protocols & order[i])
			p->protocols[m->n_protocols++] = ctl_str(judge_protocol_word(order[i]));
	m->protocols = p->protocols;
	(void)sp_strlcpy(p->forwards, d->forwards, sizeof(p->forwards));
	for (char *s = p->forwards, *next; s != NULL && *s && m->n_forward_to < POLICY_FORWARDS_MAX; s = next) {
		if ((next = strchr(s, ',')) != NULL)
			*next++ = '\0';
		p->forward[m->n_forward_to++] = s;
	}
	m->forward_to = p->forward;
	for (size_t i = 0; i < SP_NELEMS(env_always); i++)
		p->env[m->n_env_allow++] = ctl_str(env_always[i]);
	for (size_t i = 0; i < conf->env_allow.n; i++)
		p->env[m->n_env_allow++] = ctl_str(conf->env_allow.v[i]);
	m->env_allow = p->env;
	m->end_us = d->until_us != 0 ? boottime_of(d->until_us) : 0;
	m->end_hours = d->until_hours != 0;
	for (size_t i = 0; i < SP_NELEMS(agents); i++)
		if (d->agent_kinds & agents[i].bit)
			p->agent[m->n_agent++] = ctl_str(agents[i].word);
	m->agent = p->agent;
	m->idle_us = (uint64_t)d->idle_s * SP_US_PER_S;
	m->max_us = (uint64_t)d->max_session_s * SP_US_PER_S;
	m->record_mode = ctl_str(d->best_effort ? "best-effort" : "strict");
	m->file_direction = ctl_str(directions[d->file_direction & 3]);
	m->paths_ruled = d->paths_ruled;
	(void)sp_strlcpy(p->file_paths, d->file_paths, sizeof(p->file_paths));
	m->file_paths = p->file_paths;
	m->record_max_bytes = (uint64_t)conf->record_max_bytes;
}

uint64_t
policy_sum(const struct sp_config *conf, const struct sp_policy_decision *d)
{
	uint64_t h = judge_sum(d);

	for (size_t i = 0; i < conf->env_allow.n; i++)
		h = judge_sum_more(h, conf->env_allow.v[i], strlen(conf->env_allow.v[i]) + 1);
	return judge_sum_more(h, &conf->record_max_bytes, sizeof(conf->record_max_bytes));
}

void
policy_msg_commands(struct policy_msg *p, const struct cmdrules *c)
{
	if (c->any)
		p->msg.commands = sallyport__command_place__unpack(NULL, c->place.len, c->place.p);
}

void
policy_msg_release(struct policy_msg *p)
{
	if (p->msg.commands != NULL)
		sallyport__command_place__free_unpacked(p->msg.commands, NULL);
	p->msg.commands = NULL;
}

struct one {
	struct sp_uuid			session_id, user_id, asset_id;
	struct sp_netaddr		source;
	int64_t				epoch;
	char				account[SP_STORE_NAME_MAX + 1];
	enum sp_err			err;
	char				why[300];
	struct sp_policy_decision	d;
	char				source_text[SP_NETADDR_SIZE];
	struct cmdrules			commands;	/* its rules are in a file of the pass */
	size_t				file;		/* index; with rules only */
};
struct rules_file {			/* the same for all sessions to which the same sets are applied */
	uint64_t	sum;
	size_t		len;
	int		fd;
};
struct pass {
	struct ctl_job	 job;
	size_t		 n, cap;
	struct one	*v;
	struct rules_file *file;
	size_t		 files;
};

static void
pass_collect(struct sp_hnode *n, void *arg)
{
	const struct target *t = sp_container(n, struct target, node);
	struct pass *p = arg;
	struct one *o;

	if (t->conn == NULL || t->ended || !conn_alive(t->conn) || p->n == p->cap)
		return;
	o = &p->v[p->n++];
	o->session_id = t->row.id;
	o->user_id = t->row.user_id;
	o->asset_id = t->row.asset_id;
	o->source = t->conn->source;
	o->epoch = t->conn->epoch;
	(void)sp_strlcpy(o->source_text, t->conn->source_text, sizeof(o->source_text));
	(void)sp_strlcpy(o->account, t->row.account, sizeof(o->account));
}

/* One file for the rules of o, made once in a pass. */
static enum sp_err
pass_file(struct pass *p, struct one *o)
{
	uint64_t sum = judge_sum_more(UINT64_C(14695981039346656037), o->commands.rules.p, o->commands.rules.len);
	struct rules_file *v;
	enum sp_err r;
	int fd = -1;

	for (o->file = 0; o->file < p->files; o->file++)
		if (p->file[o->file].sum == sum && p->file[o->file].len == o->commands.rules.len)
			return SP_OK;
	if ((v = realloc(p->file, (p->files + 1) * sizeof(*v))) == NULL)
		return SP_ENOMEM;
	p->file = v;
	if ((r = cmdrules_file(&o->commands.rules, &fd)) == SP_OK)
		p->file[p->files++] = (struct rules_file){ sum, o->commands.rules.len, fd };
	return r;
}

static void
pass_work(struct ctl_job *j, struct sp_store *s)
{
	struct pass *p = sp_container(j, struct pass, job);

	for (size_t i = 0; i < p->n; i++) {
		struct one *o = &p->v[i];

		o->err = judge_again(s, &o->user_id, o->epoch, &o->source, &o->asset_id, o->account, 0, &o->d, NULL,
		    o->why, sizeof(o->why));
		if (o->err == SP_OK && o->d.allowed)
			o->err = cmdrules_load(s, &o->user_id, &o->asset_id, o->account, o->source_text, &o->commands);
		if (o->err == SP_OK && o->commands.with_rules)
			o->err = pass_file(p, o);
		sp_buf_release(&o->commands.rules);	/* the file has them */
	}
}

/* The same moment, read from the two clocks at different times; the judged wall time may have jumped since. */
static int
same_end(uint64_t a_us, uint64_t b_us)
{
	return (a_us > b_us ? a_us - b_us : b_us - a_us) < SAME_END_US;
}

static void
pass_apply(struct ctl *c, const struct pass *pass, const struct one *o)
{
	struct target *t = target_find(c, &o->session_id);
	Sallyport__PolicyUpdate u = SALLYPORT__POLICY_UPDATE__INIT;
	struct policy_msg p;
	int fd = -1;

	if (t == NULL || t->conn == NULL || t->ended || t->killed || !conn_alive(t->conn) || o->err != SP_OK)
		return;
	if (!o->d.allowed) {
		struct audit_entry e = { .kind = "session.revoked", .actor = "system", .result = "ok", .text = o->why,
		    .conn = &t->conn->id, .session = &t->row.id, .user = &t->row.user_id, .asset = &t->row.asset_id };

		audit_append(c->audit, &e, NULL, NULL);
		conn_kill(t->conn, t, "your access to this target has ended", "system");
		return;
	}
	t->recheck_us = o->d.recheck_us;
	target_limits(t, o->d.limit, o->d.limit_n);
	t->protocols = o->d.protocols;
	policy_msg_init(&p, &c->child.conf, &o->d);
	if (policy_sum(&c->child.conf, &o->d) == t->policy_sum && same_end(p.msg.end_us, t->policy_end_us) &&
	    o->commands.sum == t->commands_sum) {
		policy_msg_release(&p);
		return;
	}
	t->policy_sum = policy_sum(&c->child.conf, &o->d);
	t->policy_end_us = p.msg.end_us;
	u.session_id = ctl_uuid_bytes(&t->row.id);
	u.policy = &p.msg;
	policy_msg_commands(&p, &o->commands);
	if (o->commands.with_rules && (fd = fcntl(pass->file[o->file].fd, F_DUPFD_CLOEXEC, 3)) == -1) {
		sp_error("changed command rules cannot be handed to a session: %s", strerror(errno));
		conn_kill(t->conn, t, "the rules for your commands changed and could not be put in force", "system");
		policy_msg_release(&p);
		return;
	}
	t->commands_sum = o->commands.sum;
	conn_send_fds(t->conn, SP_MSG_POLICY, 0, &u, &fd, fd != -1);
	policy_msg_release(&p);
}

static void
pass_done(struct ctl_job *j)
{
	struct pass *p = sp_container(j, struct pass, job);
	struct ctl *c = j->ctl;

	for (size_t i = 0; i < p->n && j->err == SP_OK; i++)
		pass_apply(c, p, &p->v[i]);
	for (size_t i = 0; i < p->n; i++)
		cmdrules_release(&p->v[i].commands);
	for (size_t i = 0; i < p->files; i++)
		sp_closep(&p->file[i].fd);
	free(p->file);
	free(p->v);
	free(p);
	c->rejudge_running = 0;
	if (c->rejudge_again) {
		c->rejudge_again = 0;
		target_rejudge(c);
	}
}

void
target_rejudge(struct ctl *c)
{
	struct pass *p;

	if (c->rejudge_running) {
		c->rejudge_again = 1;
		return;
	}
	if (c->targets.n == 0 || c->stopping)
		return;
	p = calloc(1, sizeof(*p));
	if (p == NULL || (p->v = calloc(c->targets.n, sizeof(*p->v))) == NULL) {
		free(p);
		sp_error("live sessions could not be judged again: out of memory");
		return;
	}
	p->cap = c->targets.n;
	p->job.work = pass_work;
	p->job.done = pass_done;
	sp_htab_each(&c->targets, pass_collect, p);
	c->rejudge_running = 1;
	ctl_job_run(c, CTL_READ, &p->job);
}
