/* bench/delay.c - relay TCP with a fixed delay, for kernels without netem: delay LISTENPORT HOST PORT ONE_WAY_MS.
 * Process: one, epoll-free poll loop, for a handful of connections. Invariants: bytes keep their order; each leaves
 * ONE_WAY_MS after it came; at most QUEUE_MAX bytes wait per direction (a link with that much in flight). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK		65536
#define QUEUE_MAX	(256u << 20)
#define PAIRS_MAX	128

struct chunk {
	struct chunk	*next;
	double		 due;
	size_t		 len, off;
	char		 bytes[CHUNK];
};
struct direction {
	int		 from, to;
	struct chunk	*first, *last;
	size_t		 queued;
	int		 eof, done;
};
static struct direction dirs[PAIRS_MAX * 2];
static int n_dirs;

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void
take(struct direction *d, double delay)
{
	struct chunk *c = malloc(sizeof(*c));
	ssize_t n;

	if (c == NULL)
		exit(71);
	n = read(d->from, c->bytes, sizeof(c->bytes));
	if (n <= 0) {
		free(c);
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			d->eof = 1;
		return;
	}
	c->len = (size_t)n;
	c->off = 0;
	c->next = NULL;
	c->due = now() + delay;
	if (d->last != NULL)
		d->last->next = c;
	else
		d->first = c;
	d->last = c;
	d->queued += c->len;
}

static void
give(struct direction *d)
{
	while (d->first != NULL && d->first->due <= now()) {
		struct chunk *c = d->first;
		ssize_t n = write(d->to, c->bytes + c->off, c->len - c->off);

		if (n < 0) {
			if (errno == EAGAIN || errno == EINTR)
				return;
			d->eof = 1;
			n = (ssize_t)(c->len - c->off);
		}
		c->off += (size_t)n;
		if (c->off < c->len)
			return;
		d->queued -= c->len;
		if ((d->first = c->next) == NULL)
			d->last = NULL;
		free(c);
	}
	if (d->eof && d->first == NULL && !d->done) {
		shutdown(d->to, SHUT_WR);
		d->done = 1;
	}
}

static void
add(int a, const struct sockaddr_in *to)
{
	int b = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (n_dirs + 2 > PAIRS_MAX * 2 || b == -1 || connect(b, (const struct sockaddr *)to, sizeof(*to)) == -1) {
		close(a);
		if (b >= 0)
			close(b);
		return;
	}
	setsockopt(a, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(b, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(a, F_SETFL, O_NONBLOCK);
	fcntl(b, F_SETFL, O_NONBLOCK);
	dirs[n_dirs++] = (struct direction){ .from = a, .to = b };
	dirs[n_dirs++] = (struct direction){ .from = b, .to = a };
}

/* Both directions over: close and forget the pair at i. */
static void
reap(int i)
{
	if (!dirs[i].done || !dirs[i + 1].done)
		return;
	close(dirs[i].from);
	close(dirs[i].to);
	dirs[i] = dirs[n_dirs - 2];
	dirs[i + 1] = dirs[n_dirs - 1];
	n_dirs -= 2;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in me = { .sin_family = AF_INET }, to = { .sin_family = AF_INET };
	int l, one = 1;
	double delay;

	if (argc != 5 || inet_pton(AF_INET, argv[2], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: delay LISTENPORT ADDRESS PORT ONE_WAY_MS\n");
		return 64;
	}
	signal(SIGPIPE, SIG_IGN);
	me.sin_port = htons((uint16_t)atoi(argv[1]));
	me.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to.sin_port = htons((uint16_t)atoi(argv[3]));
	delay = atof(argv[4]);
	l = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(l, (struct sockaddr *)&me, sizeof(me)) == -1 || listen(l, 64) == -1) {
		perror("delay: listen");
		return 71;
	}
	for (;;) {
		struct pollfd p[PAIRS_MAX * 2 + 1];
		double wait = 1000, t = now();

		p[0] = (struct pollfd){ .fd = l, .events = POLLIN };
		for (int i = 0; i < n_dirs; i++) {
			struct direction *d = &dirs[i];

			p[i + 1] = (struct pollfd){ .fd = !d->eof && d->queued < QUEUE_MAX ? d->from : -1, .events = POLLIN };
			if (d->first != NULL && d->first->due - t < wait)
				wait = d->first->due - t;
		}
		poll(p, (nfds_t)n_dirs + 1, wait < 0 ? 1 : (int)wait + 1);
		for (int i = 0; i < n_dirs; i++) {
			if (p[i + 1].fd >= 0 && (p[i + 1].revents & (POLLIN | POLLHUP | POLLERR)))
				take(&dirs[i], delay);
			give(&dirs[i]);
		}
		for (int i = n_dirs - 2; i >= 0; i -= 2)
			reap(i);
		if (p[0].revents & POLLIN) {
			int a = accept(l, NULL, NULL);

			if (a >= 0)
				add(a, &to);
		}
	}
}
