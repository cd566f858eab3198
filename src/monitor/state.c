/* src/monitor/state.c - see state.h. */
#include "monitor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_SEALS	(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

struct keep_chunk {
	struct keep_chunk *next;
	max_align_t	 bytes[];
};

/* ---- while saving */

void *
keep_alloc(struct keep *k, size_t n, size_t size)
{
	struct keep_chunk *c = n > SIZE_MAX / 2 / size ? NULL : calloc(1, sizeof(*c) + n * size);

	if (c == NULL) {
		k->failed = 1;
		return NULL;
	}
	c->next = k->chunks;
	k->chunks = c;
	return c->bytes;
}

int
keep_fd(struct keep *k, int fd)
{
	if (fd == -1 || k->failed)
		return fd;
	if (k->n == k->cap) {
		size_t cap = k->cap == 0 ? 256 : k->cap * 2;
		int *v = realloc(k->fd, cap * sizeof(*v));

		if (v == NULL) {
			k->failed = 1;
			return fd;
		}
		k->fd = v;
		k->cap = cap;
	}
	k->fd[k->n++] = fd;
	return fd;
}

/* The packer only reads what its structures point to. */
ProtobufCBinaryData
keep_id(const struct sp_uuid *u)
{
	return (ProtobufCBinaryData){ sizeof(u->b), (uint8_t *)(uintptr_t)u->b };
}

char *
keep_text(const char *s)
{
	return (char *)(uintptr_t)s;
}

struct waiting_of {
	struct keep		*k;
	SallyportState__Channel	*c;
	size_t			 n;
};

static void
waiting_count(const uint8_t *bytes, size_t len, const int *fds, int nfds, int secret, void *arg)
{
	struct waiting_of *w = arg;

	w->n++;
}

static void
waiting_keep(const uint8_t *bytes, size_t len, const int *fds, int nfds, int secret, void *arg)
{
	struct waiting_of *w = arg;
	SallyportState__Waiting *o = keep_alloc(w->k, 1, sizeof(*o));
	int32_t *v = keep_alloc(w->k, (size_t)nfds + 1, sizeof(*v));

	if (o == NULL || v == NULL)
		return;
	sallyport_state__waiting__init(o);
	o->data = (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)bytes };
	o->fds = v;
	for (int i = 0; i < nfds; i++)
		v[o->n_fds++] = keep_fd(w->k, fds[i]);
	o->secret = secret;
	w->c->waiting[w->c->n_waiting++] = o;
}

SallyportState__Channel *
keep_chan(struct keep *k, const struct sp_chan *c)
{
	struct waiting_of w = { .k = k };

	if (c == NULL || (w.c = keep_alloc(k, 1, sizeof(*w.c))) == NULL)
		return NULL;
	sallyport_state__channel__init(w.c);
	w.c->fd = keep_fd(k, sp_chan_fd(c));
	sp_chan_waiting(c, waiting_count, &w);
	if ((w.c->waiting = keep_alloc(k, w.n + 1, sizeof(void *))) != NULL)
		sp_chan_waiting(c, waiting_keep, &w);
	return w.c;
}

void
keep_release(struct keep *k)
{
	while (k->chunks != NULL) {
		struct keep_chunk *c = k->chunks;

		k->chunks = c->next;
		free(c);
	}
	free(k->fd);
	*k = (struct keep){ 0 };
}

static enum sp_err
state_build(struct mon *m, struct keep *k, SallyportState__Monitor *st)
{
	sallyport_state__monitor__init(st);
	st->version = MON_STATE_VERSION;
	st->ipc = SP_IPC_PROTOCOL;
	st->product = keep_text(SP_VERSION);
	st->exe = m->exe;
	st->boot_id = keep_id(&m->boot_id);
	st->config = m->conf_text;
	st->announced = m->announced;
	st->born_n = m->born_n;
	if ((st->listening = keep_alloc(k, m->n_listen + 1, sizeof(int32_t))) == NULL)
		return SP_ENOMEM;
	for (size_t i = 0; i < m->n_listen; i++)
		st->listening[st->n_listening++] = keep_fd(k, m->listen_fd[i]);
	st->admin_fd = keep_fd(k, m->admin_fd);
	st->ask_fd = keep_fd(k, m->ask_fd);
	ask_save(m, k, st);
	procs_save(m, k, st);
	return conns_save(m, k, st);
}

static enum sp_err
state_store(const SallyportState__Monitor *st, int *ret_fd)
{
	size_t len = sallyport_state__monitor__get_packed_size(st), done = 0;
	sp_auto(sp_freep) uint8_t *p = len <= MON_STATE_MAX ? malloc(len + 1) : NULL;
	sp_auto(sp_closep) int fd = -1;
	ssize_t k;

	if (p == NULL)
		return len <= MON_STATE_MAX ? SP_ENOMEM : SP_ESIZE;
	if ((fd = memfd_create("sallyport-state", MFD_CLOEXEC | MFD_ALLOW_SEALING)) == -1)
		return SP_ESYS;
	(void)sallyport_state__monitor__pack(st, p);
	while (done < len && (k = write(fd, p + done, len - done)) > 0)
		done += (size_t)k;
	if (done < len || fcntl(fd, F_ADD_SEALS, STATE_SEALS) == -1)
		return SP_ESYS;
	*ret_fd = sp_steal_fd(&fd);
	return SP_OK;
}

enum sp_err
state_write(struct mon *m, struct keep *k, int *ret_fd)
{
	SallyportState__Monitor st;
	enum sp_err r = state_build(m, k, &st);

	if (r == SP_OK && k->failed)
		r = SP_ENOMEM;
	return r == SP_OK ? state_store(&st, ret_fd) : r;
}

/* ---- in the successor */

static int
processes_check(const SallyportState__Monitor *st)
{
	for (size_t i = 0; i < st->n_processes; i++)
		if (st->processes[i]->what >= SP_PROC_N || st->processes[i]->pid < 0 || st->processes[i]->pid == 1)
			return 0;
	return 1;
}

static enum sp_err
state_check(const SallyportState__Monitor *st, char *why, size_t n)
{
	sp_auto(sp_freep) struct sp_config *c = calloc(1, sizeof(*c));
	struct sp_uuid id;

	if (c == NULL)
		return SP_ENOMEM;
	if (sp_config_parse("configuration in force", st->config, strlen(st->config), c, why, n) != SP_OK)
		return SP_EFORMAT;
	if (c->listen.n != st->n_listening || sp_uuid_from(st->boot_id.data, st->boot_id.len, &id) != SP_OK ||
	    st->exe[0] != '/' || !processes_check(st) || !conns_check(st)) {
		sp_snprintf(why, n, "the state is not whole");
		return SP_EFORMAT;
	}
	return SP_OK;
}

enum sp_err
state_read(int fd, SallyportState__Monitor **ret, char *why, size_t n)
{
	SallyportState__Monitor *st = NULL;
	struct stat sb;
	enum sp_err r;
	void *p;

	if (fstat(fd, &sb) == -1 || sb.st_size < 1 || (uintmax_t)sb.st_size > MON_STATE_MAX ||
	    (p = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED) {
		sp_snprintf(why, n, "the state cannot be read: %s", strerror(errno));
		return SP_ESYS;
	}
	st = sallyport_state__monitor__unpack(NULL, (size_t)sb.st_size, p);
	(void)munmap(p, (size_t)sb.st_size);
	if (st == NULL) {
		sp_snprintf(why, n, "the state is malformed");
		return SP_EFORMAT;
	}
	if (st->version != MON_STATE_VERSION || st->ipc != SP_IPC_PROTOCOL) {
		sp_snprintf(why, n, "Sallyport %s keeps state version %u and speaks protocol %u, this is %s with %u and %u",
		    st->product, st->version, st->ipc, SP_VERSION, MON_STATE_VERSION, SP_IPC_PROTOCOL);
		r = SP_EVERSION;
	} else
		r = state_check(st, why, n);
	if (r == SP_OK)
		*ret = st;
	else
		sallyport_state__monitor__free_unpacked(st, NULL);
	return r;
}

int
state_fd(int fd)
{
	if (fd != -1)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

enum sp_err
state_waiting(const SallyportState__Channel *from, struct sp_chan *to)
{
	for (size_t i = 0; i < from->n_waiting; i++) {
		const SallyportState__Waiting *w = from->waiting[i];
		int fds[SP_MSG_FDS], nfds = 0;
		enum sp_err r;

		for (size_t k = 0; k < w->n_fds && k < SP_MSG_FDS; k++)
			fds[nfds++] = state_fd(w->fds[k]);
		if ((r = sp_chan_put_back(to, w->data.data, w->data.len, fds, nfds, w->secret)) != SP_OK)
			return r;
	}
	return SP_OK;
}

enum sp_err
state_restore(struct mon *m, const SallyportState__Monitor *st)
{
	enum sp_err r;

	(void)!sp_uuid_from(st->boot_id.data, st->boot_id.len, &m->boot_id);	/* state_check has looked */
	m->announced = st->announced;
	m->born_n = st->born_n;
	for (size_t i = 0; i < st->n_listening; i++)
		m->listen_fd[m->n_listen++] = state_fd(st->listening[i]);
	if ((r = ask_restore(m, st)) != SP_OK || (r = procs_restore(m, st)) != SP_OK)
		return r;
	return conns_restore(m, st);
}
