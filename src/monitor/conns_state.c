/* src/monitor/conns_state.c - live connections, their scribes and what control has to be told of them: saved for a
 * successor of the monitor, and restored by it. Process: monitor. */
#include <stdlib.h>
#include <string.h>

#include "monitor/conns.h"
#include "monitor/state.h"

static size_t
list_n(const struct sp_list *l)
{
	size_t n = 0;

	sp_list_each(it, l)
		n++;
	return n;
}

/* ---- save: a NULL of keep_alloc sets keep->failed, and the caller throws all away */

static SallyportState__Live *
live_save(struct keep *k, const struct live *l)
{
	SallyportState__Live *s = keep_alloc(k, 1, sizeof(*s));

	if (s == NULL)
		return NULL;
	sallyport_state__live__init(s);
	s->id = keep_id(&l->id);
	s->pid = l->pid;
	s->pidfd = keep_fd(k, l->pidfd);
	s->channel = keep_chan(k, l->chan);
	s->over = l->over;
	s->wait_status = l->wait_status;
	s->known = l->known;
	s->killed = l->killed;
	s->reason = keep_text(l->reason);
	s->by = keep_text(l->by);
	return s;
}

static SallyportState__Scribe *
scribe_save(struct keep *k, const struct scribe *sc)
{
	SallyportState__Scribe *s = keep_alloc(k, 1, sizeof(*s));

	if (s == NULL)
		return NULL;
	sallyport_state__scribe__init(s);
	s->live = live_save(k, &sc->l);
	s->conn_id = keep_id(&sc->conn_id);
	s->end_session = keep_fd(k, sc->end_session);
	s->end_control = keep_fd(k, sc->end_control);
	s->finished = sc->finished;
	s->recipients = (ProtobufCBinaryData){ sc->recipients_n, (uint8_t *)(uintptr_t)sc->recipients };
	s->keep = sc->keep;
	s->keep_max = sc->keep_max;
	return s;
}

static SallyportState__Scribe **
scribes_save(struct keep *k, const struct sp_list *list, size_t *ret_n)
{
	SallyportState__Scribe **v = keep_alloc(k, list_n(list) + 1, sizeof(*v));
	size_t n = 0;

	if (v != NULL)
		sp_list_each(it, list)
			v[n++] = scribe_save(k, sp_container(it, struct scribe, link));
	*ret_n = n;
	return v;
}

static SallyportState__Label *
label_save(struct keep *k, const struct label *b)
{
	SallyportState__Label *s = keep_alloc(k, 1, sizeof(*s));

	if (s == NULL)
		return NULL;
	sallyport_state__label__init(s);
	s->session_id = keep_id(&b->session_id);
	s->user = keep_text(b->user);
	s->account = keep_text(b->account);
	s->asset = keep_text(b->asset);
	s->protocol = keep_text(b->protocol);
	s->source_ip = keep_text(b->source_ip);
	s->started_wall_us = b->started_wall_us;
	return s;
}

static SallyportState__KillOrder *
kill_save(struct keep *k, const struct kill *o)
{
	SallyportState__KillOrder *s = keep_alloc(k, 1, sizeof(*s));

	if (s == NULL)
		return NULL;
	sallyport_state__kill_order__init(s);
	if (!sp_uuid_is_null(&o->session_id))
		s->session_id = keep_id(&o->session_id);
	s->reason = keep_text(o->reason);
	s->by = keep_text(o->by);
	s->at_us = o->at_us;
	return s;
}

static SallyportState__Connection *
conn_save(struct keep *k, const struct conn *c)
{
	SallyportState__Connection *s = keep_alloc(k, 1, sizeof(*s));

	if (s == NULL)
		return NULL;
	sallyport_state__connection__init(s);
	s->live = live_save(k, &c->l);
	s->source_ip = keep_text(c->source_ip);
	s->source_port = c->source_port;
	s->local_ip = keep_text(c->local_ip);
	s->local_port = c->local_port;
	s->inner_token = (ProtobufCBinaryData){ c->inner_token_len, (uint8_t *)(uintptr_t)c->inner_token };
	s->born_us = c->born_us;
	s->scribes = scribes_save(k, &c->scribes, &s->n_scribes);
	if ((s->labels = keep_alloc(k, c->n_labels + 1, sizeof(void *))) != NULL)
		sp_list_each(it, &c->labels)
			s->labels[s->n_labels++] = label_save(k, sp_container(it, struct label, link));
	if ((s->kills = keep_alloc(k, c->n_kills + 1, sizeof(void *))) != NULL)
		sp_list_each(jt, &c->kills)
			s->kills[s->n_kills++] = kill_save(k, sp_container(jt, struct kill, link));
	return s;
}

static SallyportState__GoneNotice *
gone_save(struct keep *k, const struct gone *g)
{
	SallyportState__GoneNotice *s = keep_alloc(k, 1, sizeof(*s));

	if (s == NULL)
		return NULL;
	sallyport_state__gone_notice__init(s);
	s->conn_id = keep_id(&g->conn_id);
	if (g->msg.session_id.len > 0)
		s->session_id = keep_id(&g->session_id);
	s->pid = g->msg.pid;
	s->wait_status = g->msg.wait_status;
	s->killed = g->msg.killed;
	s->reason = keep_text(g->reason);
	s->by = keep_text(g->by);
	s->made_us = g->made_us;
	s->sent = g->sent;
	return s;
}

enum sp_err
conns_save(struct mon *m, struct keep *k, SallyportState__Monitor *st)
{
	if ((st->connections = keep_alloc(k, m->conns.n + 1, sizeof(void *))) != NULL)
		sp_list_each(it, &m->conn_list)
			st->connections[st->n_connections++] = conn_save(k, sp_container(it, struct conn, link));
	st->orphans = scribes_save(k, &m->orphans, &st->n_orphans);
	if ((st->gone = keep_alloc(k, m->n_gone + 1, sizeof(void *))) != NULL)
		sp_list_each(jt, &m->gone)
			st->gone[st->n_gone++] = gone_save(k, sp_container(jt, struct gone, link));
	return k->failed ? SP_ENOMEM : SP_OK;
}

/* ---- check */

static int
id_is_good(const ProtobufCBinaryData *b, int may_be_empty)
{
	return b->len == SP_UUID_LEN || (may_be_empty && b->len == 0);
}

static int
live_is_good(const SallyportState__Live *l)
{
	return l != NULL && id_is_good(&l->id, 0) && (l->pid == 0 || l->pid > 1) && (l->pid == 0) == (l->pidfd == -1);
}

static int
scribes_are_good(SallyportState__Scribe *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!live_is_good(v[i]->live) || !id_is_good(&v[i]->conn_id, 0))
			return 0;
	return 1;
}

static int
conn_is_good(const SallyportState__Connection *c)
{
	if (!live_is_good(c->live) || c->live->pid == 0 || c->inner_token.len > sizeof(((struct conn *)NULL)->inner_token) ||
	    !scribes_are_good(c->scribes, c->n_scribes))
		return 0;
	for (size_t i = 0; i < c->n_labels; i++)
		if (!id_is_good(&c->labels[i]->session_id, 0))
			return 0;
	for (size_t i = 0; i < c->n_kills; i++)
		if (!id_is_good(&c->kills[i]->session_id, 1))
			return 0;
	return 1;
}

int
conns_check(const SallyportState__Monitor *st)
{
	for (size_t i = 0; i < st->n_connections; i++)
		if (!conn_is_good(st->connections[i]))
			return 0;
	for (size_t i = 0; i < st->n_gone; i++)
		if (!id_is_good(&st->gone[i]->conn_id, 0) || !id_is_good(&st->gone[i]->session_id, 1))
			return 0;
	return scribes_are_good(st->orphans, st->n_orphans);
}

/* ---- restore, after the check */

static struct sp_uuid
id_from(const ProtobufCBinaryData *b)
{
	struct sp_uuid id = { { 0 } };

	if (b->len == sizeof(id.b))
		memcpy(id.b, b->data, sizeof(id.b));
	return id;
}

static enum sp_err
live_restore(struct live *l, const SallyportState__Live *s)
{
	enum sp_err r;
	int fd;

	l->pid = s->pid;
	l->pidfd = state_fd(s->pidfd);
	l->over = s->over;
	l->wait_status = s->wait_status;
	l->known = s->known;
	l->killed = s->killed;
	(void)sp_strlcpy(l->reason, s->reason, sizeof(l->reason));
	(void)sp_strlcpy(l->by, s->by, sizeof(l->by));
	if (s->channel != NULL) {
		fd = s->channel->fd;
		if ((r = live_open(l, &fd, l->is_scribe ? SP_PROC_SCRIBE : SP_PROC_SESSION)) != SP_OK ||
		    (r = state_waiting(s->channel, l->chan)) != SP_OK)
			return r;
	}
	return live_resume(l);
}

static enum sp_err
scribe_restore(struct mon *m, const SallyportState__Scribe *s, struct conn *c)
{
	struct sp_uuid id = id_from(&s->live->id), conn_id = id_from(&s->conn_id);
	struct scribe *sc = scribe_make(m, &id, &conn_id, c);

	if (sc == NULL)
		return SP_ENOMEM;
	sc->end_session = state_fd(s->end_session);
	sc->end_control = state_fd(s->end_control);
	sc->finished = s->finished;
	sc->keep = s->keep;
	sc->keep_max = s->keep_max;
	sc->recipients_n = s->recipients.len <= sizeof(sc->recipients) ? s->recipients.len : 0;
	if (sc->recipients_n > 0)
		memcpy(sc->recipients, s->recipients.data, sc->recipients_n);
	return live_restore(&sc->l, s->live);
}

static enum sp_err
label_restore(struct conn *c, const SallyportState__Label *s)
{
	struct sp_uuid id = id_from(&s->session_id);
	struct label *b = label_make(c, &id);

	if (b == NULL)
		return SP_ENOMEM;
	(void)sp_strlcpy(b->user, s->user, sizeof(b->user));
	(void)sp_strlcpy(b->account, s->account, sizeof(b->account));
	(void)sp_strlcpy(b->asset, s->asset, sizeof(b->asset));
	(void)sp_strlcpy(b->protocol, s->protocol, sizeof(b->protocol));
	(void)sp_strlcpy(b->source_ip, s->source_ip, sizeof(b->source_ip));
	b->started_wall_us = s->started_wall_us;
	return SP_OK;
}

static enum sp_err
conn_restore(struct mon *m, const SallyportState__Connection *s)
{
	struct sp_uuid id = id_from(&s->live->id);
	struct conn *c = conn_make(m, &id);
	enum sp_err r;

	if (c == NULL)
		return SP_ENOMEM;
	(void)sp_strlcpy(c->source_ip, s->source_ip, sizeof(c->source_ip));
	(void)sp_strlcpy(c->local_ip, s->local_ip, sizeof(c->local_ip));
	c->source_port = s->source_port;
	c->local_port = s->local_port;
	c->born_us = s->born_us;
	c->inner_token_len = s->inner_token.len;
	if (s->inner_token.len > 0)
		memcpy(c->inner_token, s->inner_token.data, s->inner_token.len);
	for (size_t i = 0; i < s->n_labels; i++)
		if ((r = label_restore(c, s->labels[i])) != SP_OK)
			return r;
	for (size_t i = 0; i < s->n_scribes; i++)
		if ((r = scribe_restore(m, s->scribes[i], c)) != SP_OK)
			return r;
	for (size_t i = 0; i < s->n_kills; i++) {
		struct sp_uuid session = id_from(&s->kills[i]->session_id);

		if (kill_make(c, &session, s->kills[i]->reason, s->kills[i]->by, s->kills[i]->at_us) == NULL)
			return SP_ENOMEM;
	}
	return live_restore(&c->l, s->live);
}

static enum sp_err
gone_restore(struct mon *m, const SallyportState__GoneNotice *s)
{
	struct sp_uuid conn_id = id_from(&s->conn_id), session_id = id_from(&s->session_id);
	struct gone *g = gone_make(m, &conn_id, s->session_id.len > 0 ? &session_id : NULL, s->reason, s->by);

	if (g == NULL)
		return SP_ENOMEM;
	g->msg.pid = s->pid;
	g->msg.wait_status = s->wait_status;
	g->msg.killed = s->killed;
	g->made_us = s->made_us;
	g->sent = s->sent;
	return SP_OK;
}

enum sp_err
conns_restore(struct mon *m, const SallyportState__Monitor *st)
{
	enum sp_err r = SP_OK;

	for (size_t i = 0; r == SP_OK && i < st->n_connections; i++)
		r = conn_restore(m, st->connections[i]);
	for (size_t i = 0; r == SP_OK && i < st->n_orphans; i++)
		r = scribe_restore(m, st->orphans[i], NULL);
	for (size_t i = 0; r == SP_OK && i < st->n_gone; i++)
		r = gone_restore(m, st->gone[i]);
	return r;
}
