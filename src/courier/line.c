/* src/courier/line.c - see line.h. */
#include "courier/line.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/netaddr.h"
#include "base/str.h"
#include "dialer/dial.h"

enum line_state { LINE_DOWN, LINE_DIALING, LINE_TLS, LINE_UP, LINE_BROKEN };
struct line {
	struct sp_loop		*loop;
	struct sp_pool		*pool;
	struct line_to		 to;
	struct line_ops		 ops;
	void			*arg;
	enum line_state		 state;
	struct look		*look;		/* the name that is being looked up; NULL: none */
	int			 fd;
	struct sp_source	*source;
	struct sp_timer		*timer;		/* the deadline, and what is to be said outside a call */
	SSL_CTX			*ctx;
	SSL			*ssl;
	int			 wants_write;
	uint64_t		 sent;
	char			 why[256];
};
struct look {			/* outlives a line that goes away meanwhile */
	struct line	*line;	/* NULL: nobody waits any more */
};

static void
line_shut(struct line *n)
{
	sp_source_remove(n->source);
	n->source = NULL;
	SSL_free(n->ssl);
	n->ssl = NULL;
	SSL_CTX_free(n->ctx);
	n->ctx = NULL;
	sp_closep(&n->fd);
	sp_timer_stop(n->timer);
	n->wants_write = 0;
	n->sent = 0;
}

/* Said from the loop, not from here. */
static void
line_break(struct line *n, const char *why)
{
	if (n->state == LINE_BROKEN || n->state == LINE_DOWN)
		return;
	line_shut(n);
	n->state = LINE_BROKEN;
	sp_escape(why, strlen(why), n->why, sizeof(n->why));
	sp_timer_in(n->timer, 0);
}

static void
line_on_timer(struct sp_timer *t, void *arg)
{
	struct line *n = arg;

	(void)t;
	if (n->state == LINE_BROKEN) {
		n->state = LINE_DOWN;
		n->ops.down(n->arg, n->why);
	} else if (n->state == LINE_TLS) {
		line_break(n, "the TLS handshake took too long");
	}
}

/* Why the TLS library is not content. */
static void
tls_broken(struct line *n, const char *what)
{
	long v = n->ssl != NULL ? SSL_get_verify_result(n->ssl) : X509_V_OK;
	unsigned long e = ERR_peek_error();
	char text[200];

	if (v != X509_V_OK)
		sp_snprintf(text, sizeof(text), "%s: the collector's certificate is not accepted: %s", what, X509_verify_cert_error_string(v));
	else if (ERR_GET_REASON(e) == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED)
		sp_snprintf(text, sizeof(text), "%s: the collector wants a certificate of ours: syslog_cert and syslog_key name it", what);
	else
		sp_snprintf(text, sizeof(text), "%s: %s", what, e != 0 && ERR_reason_error_string(e) != NULL ? ERR_reason_error_string(e) :
		    "the connection ended");
	ERR_clear_error();
	line_break(n, text);
}

static void
line_events(struct line *n)
{
	sp_source_events(n->source, EPOLLIN | (n->wants_write ? EPOLLOUT : 0));
}

static void
line_is_ready(struct line *n)
{
	n->state = LINE_UP;
	sp_timer_stop(n->timer);
	n->wants_write = 0;
	line_events(n);
	n->ops.up(n->arg);
}

static void
tls_go_on(struct line *n)
{
	int r = SSL_connect(n->ssl), e = SSL_get_error(n->ssl, r);

	if (r == 1) {
		line_is_ready(n);
		return;
	}
	if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) {
		tls_broken(n, "TLS");
		return;
	}
	n->wants_write = e == SSL_ERROR_WANT_WRITE;
	line_events(n);
}

static int
tls_host(struct line *n)
{
	struct sp_netaddr a;

	if (sp_netaddr_parse(n->to.at.host, &a) == SP_OK)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(n->ssl), n->to.at.host);
	return SSL_set_tlsext_host_name(n->ssl, n->to.at.host) && SSL_set1_host(n->ssl, n->to.at.host);
}

/* Of the cause the library knows more than a person needs. */
static int
tls_own(struct line *n)
{
	char text[SP_SYSLOG_HOST + 200];

	if (*n->to.cert == '\0')
		return 1;
	if (SSL_CTX_use_certificate_chain_file(n->ctx, n->to.cert) != 1)
		sp_snprintf(text, sizeof(text), "syslog_cert %.180s cannot be read as a certificate (PEM)", n->to.cert);
	else if (SSL_CTX_use_PrivateKey_file(n->ctx, n->to.key, SSL_FILETYPE_PEM) != 1)
		sp_snprintf(text, sizeof(text), "syslog_key %.180s cannot be read as the key of syslog_cert (PEM, no passphrase)", n->to.key);
	else
		return 1;
	ERR_clear_error();
	line_break(n, text);
	return 0;
}

/* A passphrase is never asked for. */
static int
tls_no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

static void
tls_start(struct line *n)
{
	char text[SP_SYSLOG_HOST + 200];

	ERR_clear_error();
	n->state = LINE_TLS;
	if ((n->ctx = SSL_CTX_new(TLS_client_method())) == NULL || SSL_CTX_set_min_proto_version(n->ctx, TLS1_2_VERSION) != 1) {
		line_break(n, "TLS cannot be set up: out of memory");
		return;
	}
	SSL_CTX_set_verify(n->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(n->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (SSL_CTX_load_verify_file(n->ctx, n->to.ca) != 1) {
		sp_snprintf(text, sizeof(text), "syslog_ca %.180s cannot be read as certificates (PEM)", n->to.ca);
		ERR_clear_error();
		line_break(n, text);
		return;
	}
	SSL_CTX_set_default_passwd_cb(n->ctx, tls_no_passphrase);
	if (!tls_own(n))
		return;
	if ((n->ssl = SSL_new(n->ctx)) == NULL || SSL_set_fd(n->ssl, n->fd) != 1 || tls_host(n) != 1) {
		line_break(n, "TLS cannot be set up: the collector's name is not accepted");
		return;
	}
	sp_timer_in(n->timer, n->to.timeout_us);
	tls_go_on(n);
}

/* What the collector says is of no interest; that it closed is. */
static void
line_drain(struct line *n)
{
	char sink[4096];
	ssize_t r;

	if (n->ssl != NULL) {
		int got = SSL_read(n->ssl, sink, sizeof(sink)), e = SSL_get_error(n->ssl, got);

		if (got <= 0 && e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) {
			if (e == SSL_ERROR_ZERO_RETURN || e == SSL_ERROR_SYSCALL)
				line_break(n, "the collector closed the connection");
			else
				tls_broken(n, "TLS");
		}
		return;
	}
	r = recv(n->fd, sink, sizeof(sink), MSG_DONTWAIT);
	if (r == 0 && n->to.at.transport != SP_SYSLOG_UDP)
		line_break(n, "the collector closed the connection");
	else if (r == -1 && errno != EAGAIN && errno != EINTR)
		line_break(n, strerror(errno));
}

static void
line_on_io(struct sp_source *s, uint32_t events, void *arg)
{
	struct line *n = arg;

	(void)s;
	if (n->state == LINE_TLS) {
		tls_go_on(n);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		line_drain(n);
	if (n->state == LINE_UP && (events & EPOLLOUT)) {
		n->wants_write = 0;
		line_events(n);
		n->ops.writable(n->arg);
	}
}

static int
udp_socket(const struct dial_result *r, int *ret_errno)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int fd = -1;

	*ret_errno = ENOENT;
	for (size_t i = 0; i < r->n_addresses && fd == -1; i++) {
		len = sp_netaddr_to_sockaddr(&r->addresses[i], &ss);
		if ((fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) != -1 &&
		    connect(fd, (struct sockaddr *)&ss, len) == -1) {
			*ret_errno = errno;
			sp_closep(&fd);
		}
	}
	return fd;
}

static void
line_dialled(const struct dial_result *r, void *arg)
{
	struct look *look = arg;
	struct line *n = look->line;
	int fd = r->fd, e = 0, on = 1;

	free(look);
	if (n == NULL) {
		sp_closep(&fd);
		return;
	}
	n->look = NULL;
	if (r->err == SP_OK && n->to.at.transport == SP_SYSLOG_UDP)
		fd = udp_socket(r, &e);
	if (fd == -1) {
		line_break(n, r->err != SP_OK ? r->text : strerror(e));
		return;
	}
	n->fd = fd;
	if (n->to.at.transport != SP_SYSLOG_UDP) {
		(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &(unsigned){ 60000 }, sizeof(unsigned));
	}
	if (sp_loop_add(n->loop, fd, EPOLLIN, line_on_io, n, &n->source) != SP_OK)
		line_break(n, "out of memory");
	else if (n->to.at.transport == SP_SYSLOG_TLS)
		tls_start(n);
	else
		line_is_ready(n);
}

enum sp_err
line_open(struct line *n)
{
	struct dial_ask ask = { .host = n->to.at.host, .port = n->to.at.port, .timeout_us = n->to.timeout_us,
	    .resolve_only = n->to.at.transport == SP_SYSLOG_UDP };
	enum sp_err r;

	if (n->state != LINE_DOWN)
		return SP_EBUSY;
	if ((n->look = calloc(1, sizeof(*n->look))) == NULL)
		return SP_ENOMEM;
	n->look->line = n;
	if ((r = dial_start(n->loop, n->pool, &ask, line_dialled, n->look)) != SP_OK) {
		free(n->look);
		n->look = NULL;
		return r;
	}
	n->state = LINE_DIALING;
	return SP_OK;
}

void
line_close(struct line *n)
{
	if (n->look != NULL)
		n->look->line = NULL;
	n->look = NULL;
	line_shut(n);
	n->state = LINE_DOWN;
}

int
line_is_up(const struct line *n)
{
	return n->state == LINE_UP;
}

static enum sp_err
line_full(struct line *n)
{
	n->wants_write = 1;
	line_events(n);
	return SP_EAGAIN;
}

static enum sp_err
tls_send(struct line *n, const void *p, size_t len, size_t *ret_n)
{
	size_t done = 0;
	int e;

	if (SSL_write_ex(n->ssl, p, len, &done) == 1) {
		*ret_n = done;
		return SP_OK;
	}
	e = SSL_get_error(n->ssl, 0);
	if (e == SSL_ERROR_WANT_WRITE || e == SSL_ERROR_WANT_READ)
		return line_full(n);
	tls_broken(n, "TLS");
	return SP_ECLOSED;
}

enum sp_err
line_send(struct line *n, const void *p, size_t len, size_t *ret_n)
{
	ssize_t w;

	if (n->state != LINE_UP)
		return SP_ECLOSED;
	if (n->ssl != NULL)
		return tls_send(n, p, len, ret_n);
	while ((w = send(n->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT)) == -1 && errno == EINTR)
		;
	if (w == -1 && (errno == EAGAIN || errno == ENOBUFS))
		return line_full(n);
	if (w == -1) {
		line_break(n, strerror(errno));
		return SP_ECLOSED;
	}
	n->sent += (uint64_t)w;
	*ret_n = (size_t)w;
	return SP_OK;
}

uint64_t
line_sent(const struct line *n)
{
	return n->ssl != NULL ? BIO_number_written(SSL_get_wbio(n->ssl)) : n->sent;
}

uint64_t
line_received(const struct line *n)
{
	uint64_t sent = line_sent(n);
	int left = 0;

	if (n->fd == -1 || ioctl(n->fd, SIOCOUTQ, &left) == -1 || left < 0)
		return 0;
	if (n->to.at.transport == SP_SYSLOG_UDP)
		return left == 0 ? sent : 0;
	return sent > (uint64_t)left ? sent - (uint64_t)left : 0;
}

enum sp_err
line_new(struct sp_loop *l, struct sp_pool *pool, const struct line_to *to, const struct line_ops *ops, void *arg, struct line **ret)
{
	struct line *n = calloc(1, sizeof(*n));
	enum sp_err r;

	if (n == NULL)
		return SP_ENOMEM;
	*n = (struct line){ .loop = l, .pool = pool, .to = *to, .ops = *ops, .arg = arg, .fd = -1 };
	if ((r = sp_timer_new(l, line_on_timer, n, &n->timer)) != SP_OK) {
		free(n);
		return r;
	}
	*ret = n;
	return SP_OK;
}

void
line_free(struct line *n)
{
	if (n == NULL)
		return;
	line_close(n);
	sp_timer_free(n->timer);
	free(n);
}
