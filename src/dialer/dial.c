/* src/dialer/dial.c - see dial.h.
 * A name that no server answers keeps its thread until the resolver gives up, but not the question: at the deadline the
 * answer goes out and the job ends alone later.
 * Invariants: (1) fn is called once. (2) Only addresses that passed the check after resolution are connected to: a name
 * whose answer changes between two look-ups gains nothing, it is looked up once. (3) The dial is freed when it has
 * answered and its job is not in the pool. */
#include "dialer/dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "dialer/allow.h"

#define DIAL_NEXT_US	(3 * SP_US_PER_S)	/* a silent address gives way to the next one */

struct dial {
	struct sp_job		 job;
	int			 resolving;	/* the job is in the pool */
	int			 answered;
	struct sp_loop		*loop;
	dial_fn			*fn;
	void			*arg;
	char			 host[DIAL_HOST];
	uint16_t		 port;
	int			 resolve_only;
	uint64_t		 timeout_us, deadline_us;
	char			*refuse[DIAL_LISTED], *allow[DIAL_LISTED];
	size_t			 n_refuse, n_allow;
	/* written by the job's thread until done() */
	struct sp_netaddr	 found[DIAL_ADDRESSES];
	size_t			 n_found;
	int			 gai;
	/* the attempt under way */
	struct sp_netaddr	 addr[DIAL_ADDRESSES];	/* of found, those that may be connected to */
	size_t			 n_addr, next;
	int			 fd;
	struct sp_source	*source;
	struct sp_timer		*timer;
	enum sp_err		 err;		/* of the last address that failed */
	char			 text[512];
};

static void	dial_try(struct dial *d);

static void
dial_free(struct dial *d)
{
	for (size_t i = 0; i < d->n_refuse; i++)
		free(d->refuse[i]);
	for (size_t i = 0; i < d->n_allow; i++)
		free(d->allow[i]);
	sp_source_remove(d->source);
	sp_timer_free(d->timer);
	sp_closep(&d->fd);
	free(d);
}

static void
dial_drop_attempt(struct dial *d)
{
	sp_source_remove(d->source);
	d->source = NULL;
	sp_closep(&d->fd);
}

/* Answers; the dial is gone afterwards unless its job is still running. */
static void
dial_answer(struct dial *d, enum sp_err err, const char *text, int fd)
{
	struct dial_result r = { .err = err, .text = text, .fd = fd, .addresses = d->addr, .n_addresses = d->n_addr };

	if (err == SP_OK && d->n_addr > 0)
		r.address = d->addr[fd != -1 ? d->next - 1 : 0];
	d->answered = 1;
	dial_drop_attempt(d);
	sp_timer_free(d->timer);
	d->timer = NULL;
	d->fn(&r, d->arg);
	if (!d->resolving)
		dial_free(d);
}

static const char *
dial_why(int errnum)
{
	switch (errnum) {
	case ECONNREFUSED:
		return "connection refused";
	case EHOSTUNREACH:
		return "no route to host";
	case ENETUNREACH:
		return "network is unreachable";
	case ETIMEDOUT:
		return "timed out";
	default:
		return strerror(errnum);
	}
}

static void
dial_failed(struct dial *d, int errnum)
{
	char at[SP_NETADDR_SIZE];

	dial_drop_attempt(d);
	d->err = errnum == ETIMEDOUT ? SP_ETIMEOUT : SP_EUNREACH;
	sp_snprintf(d->text, sizeof(d->text), "%s: %s", sp_netaddr_text_port(&d->addr[d->next - 1], at), dial_why(errnum));
	dial_try(d);
}

static void
dial_timed_out(struct dial *d)
{
	char at[SP_NETADDR_SIZE];

	if (d->n_addr > 0)
		(void)sp_netaddr_text_port(&d->addr[d->next > 0 ? d->next - 1 : 0], at);
	sp_snprintf(d->text, sizeof(d->text), "%s: timed out after %llu s", d->n_addr > 0 ? at : d->host,
	    (unsigned long long)((d->timeout_us + SP_US_PER_S - 1) / SP_US_PER_S));
	dial_answer(d, SP_ETIMEOUT, d->text, -1);
}

/* The deadline of the question, or the patience with one address while others wait. */
static void
dial_on_timer(struct sp_timer *t, void *arg)
{
	struct dial *d = arg;

	(void)t;
	if (sp_now_us() >= d->deadline_us)
		dial_timed_out(d);
	else if (d->fd != -1)
		dial_failed(d, ETIMEDOUT);
	else
		dial_try(d);
}

static void
dial_connected(struct dial *d)
{
	const int on = 1;
	int fd = sp_steal_fd(&d->fd);

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	dial_answer(d, SP_OK, "", fd);
}

static void
dial_on_connect(struct sp_source *s, uint32_t events, void *arg)
{
	struct dial *d = arg;
	int e = 0;
	socklen_t len = sizeof(e);

	(void)events;
	if (getsockopt(sp_source_fd(s), SOL_SOCKET, SO_ERROR, &e, &len) == -1)
		e = errno;
	if (e != 0)
		dial_failed(d, e);
	else
		dial_connected(d);
}

static int
dial_socket(struct dial *d, const struct sp_netaddr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = sp_netaddr_to_sockaddr(a, &ss);

	d->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->fd == -1 || (connect(d->fd, (struct sockaddr *)(void *)&ss, len) == -1 && errno != EINPROGRESS))
		return errno;
	return sp_loop_add(d->loop, d->fd, EPOLLOUT, dial_on_connect, d, &d->source) == SP_OK ? 0 : ENOMEM;
}

/* The next address; when there is none left, the answer is what the last one said. */
static void
dial_try(struct dial *d)
{
	uint64_t now = sp_now_us(), until = d->deadline_us;
	int e;

	if (d->next == d->n_addr) {
		dial_answer(d, d->err, d->text, -1);
		return;
	}
	if (now >= d->deadline_us) {
		dial_timed_out(d);
		return;
	}
	if (d->next + 1 < d->n_addr && now + DIAL_NEXT_US < until)
		until = now + DIAL_NEXT_US;
	sp_timer_at(d->timer, until);
	e = dial_socket(d, &d->addr[d->next++]);
	if (e != 0)
		dial_failed(d, e);
}

/* Keep what may be connected to, in the resolver's order. */
static enum sp_err
dial_filter(struct dial *d)
{
	char at[SP_NETADDR_SIZE];

	for (size_t i = 0; i < d->n_found; i++) {
		enum sp_err r = dial_check(&d->found[i], d->refuse, d->n_refuse, d->allow, d->n_allow);

		if (r == SP_OK) {
			d->addr[d->n_addr] = d->found[i];
			d->addr[d->n_addr++].port = d->port;
		} else {
			sp_snprintf(d->text, sizeof(d->text), r == SP_EDENIED ? "%s: this address is not allowed" :
			    "%s: the list of refused addresses cannot be read", sp_netaddr_text(&d->found[i], at));
			d->err = r;
			if (r != SP_EDENIED)
				return r;
		}
	}
	return d->n_addr > 0 ? SP_OK : SP_EDENIED;
}

static void
dial_resolved(struct dial *d)
{
	const char *why = d->gai == EAI_NONAME || d->gai == EAI_NODATA ? "name not known" :
	    d->gai == EAI_AGAIN ? "the name servers do not answer" : "the name cannot be resolved";

	if (d->n_found == 0) {
		sp_snprintf(d->text, sizeof(d->text), "%s: %s", d->host, why);
		dial_answer(d, d->gai == EAI_AGAIN ? SP_EAGAIN : SP_ENOENT, d->text, -1);
	} else if (dial_filter(d) != SP_OK)
		dial_answer(d, d->err, d->text, -1);
	else if (d->resolve_only)
		dial_answer(d, SP_OK, "", -1);
	else
		dial_try(d);
}

static void
dial_job_work(struct sp_job *j)
{
	struct dial *d = sp_container(j, struct dial, job);
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *list = NULL;

	d->gai = getaddrinfo(d->host, NULL, &hints, &list);
	for (const struct addrinfo *ai = list; d->gai == 0 && ai != NULL && d->n_found < DIAL_ADDRESSES; ai = ai->ai_next)
		if (sp_netaddr_from_sockaddr(ai->ai_addr, &d->found[d->n_found]) == SP_OK)
			d->n_found++;
	if (list != NULL)
		freeaddrinfo(list);
}

static void
dial_job_done(struct sp_job *j)
{
	struct dial *d = sp_container(j, struct dial, job);

	d->resolving = 0;
	if (d->answered)
		dial_free(d);
	else
		dial_resolved(d);
}

/* For a literal address the answer still comes from the loop, as the interface says. */
static void
dial_on_literal(struct sp_timer *t, void *arg)
{
	struct dial *d = arg;

	sp_timer_free(t);
	d->timer = NULL;
	if (sp_timer_new(d->loop, dial_on_timer, d, &d->timer) != SP_OK)
		dial_answer(d, SP_ENOMEM, "out of memory", -1);
	else
		dial_resolved(d);
}

static enum sp_err
list_copy(char *const *list, size_t n, char **to, size_t *n_to)
{
	if (n > DIAL_LISTED)
		return SP_ESIZE;
	for (; *n_to < n; (*n_to)++)
		if ((to[*n_to] = strdup(list[*n_to])) == NULL)
			return SP_ENOMEM;
	return SP_OK;
}

/* A host name goes to the resolver only: bytes that cannot be in one are refused before. */
static int
host_is_ok(const char *host)
{
	size_t n = strlen(host);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)host[i] <= ' ' || host[i] == 0x7f || host[i] == '%' || host[i] == '/')
			return 0;
	return n > 0 && n < DIAL_HOST && host[0] != '-';
}

static enum sp_err
dial_begin(struct dial *d, struct sp_pool *pool)
{
	int literal = sp_netaddr_parse(d->host, &d->found[0]) == SP_OK;
	enum sp_err r = sp_timer_new(d->loop, literal ? dial_on_literal : dial_on_timer, d, &d->timer);

	if (r != SP_OK)
		return r;
	if (literal) {
		d->n_found = 1;
		sp_timer_in(d->timer, 0);
		return SP_OK;
	}
	d->job = (struct sp_job){ .work = dial_job_work, .done = dial_job_done };
	sp_list_init(&d->job.link);
	if ((r = sp_pool_submit(pool, &d->job)) == SP_OK) {
		d->resolving = 1;
		sp_timer_at(d->timer, d->deadline_us);
	}
	return r;
}

enum sp_err
dial_start(struct sp_loop *l, struct sp_pool *pool, const struct dial_ask *ask, dial_fn *fn, void *arg)
{
	struct dial *d;
	enum sp_err r;

	if (!host_is_ok(ask->host) || (ask->port == 0 && !ask->resolve_only) || ask->timeout_us == 0)
		return SP_EINVAL;
	if ((d = calloc(1, sizeof(*d))) == NULL)
		return SP_ENOMEM;
	d->loop = l;
	d->fn = fn;
	d->arg = arg;
	d->fd = -1;
	d->port = ask->port;
	d->resolve_only = ask->resolve_only;
	d->timeout_us = ask->timeout_us;
	d->deadline_us = sp_now_us() + ask->timeout_us;
	d->err = SP_EUNREACH;
	(void)sp_strlcpy(d->host, ask->host, sizeof(d->host));
	if ((r = list_copy(ask->refuse, ask->n_refuse, d->refuse, &d->n_refuse)) != SP_OK ||
	    (r = list_copy(ask->allow, ask->n_allow, d->allow, &d->n_allow)) != SP_OK ||
	    (r = dial_begin(d, pool)) != SP_OK) {
		dial_free(d);
		return r;
	}
	return SP_OK;
}
