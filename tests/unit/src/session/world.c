/* tests/unit/src/session/world.c - everything around a zygote, in one process, for tests: monitor, gate, control, vault and
 * scribe, with answers that the command line decides. Prints one line per thing that happens; a test reads them.
 *   world ZYGOTE CONFIG HOSTKEY LISTEN_PORT key=value...
 *   target=PORT  login=NAME  userkey=FILE.pub  userpassword=TEXT  method=key:FILE|cert:CAFILE|password:TEXT|typed
 *   pin=FILE.pub  max=BYTES  rec=DIR  refuse=TYPE  protocols=a,b  innerkey=FILE
 * Standard input takes commands: "kill REASON", "notify TEXT", "control-dies", "hold" (answer no CHANNEL_ASK), "go", "quit". */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/str.h"
#include "crypto/sign.h"
#include "ipc/chan.h"
#include "ipc/recdata.h"
#include "sallyport.pb-c.h"
#include "wire/sshcert.h"
#include "wire/sshkey.h"

struct conn {
	struct sp_list	 link;
	struct sp_uuid	 id;
	struct sp_chan	*monitor, *control, *vault, *scribe;
	struct sp_uuid	 session;
	uint64_t	 bytes[SP_REC_STREAMS];
	int		 rec;
	int		 inner;
	uint32_t	 pw_corr;
};
static struct {
	struct sp_loop	*loop;
	struct sp_chan	*zygote, *gate;
	struct sp_list	 conns;
	int		 target_port;
	const char	*login, *userpassword, *method, *rec, *refuse, *protocols;
	struct sp_sshkey_line userkey, pin;
	int		 have_pin, have_key;
	uint64_t	 max;
	char		 innerkey[8192];
	int		 listen_fd, stop, hold;
	struct held { struct conn *c; uint32_t corr; int port; } held[1024];	/* CHANNEL_ASK without an answer */
	size_t		 held_n;
	struct sp_secret key;
	struct sp_buf	 key_pub;
} w = { .login = "root", .method = "", .refuse = "", .protocols = "shell,exec,sftp,scp,forward-local,forward-remote" };

static void
say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void
say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

static void
must(enum sp_err e, const char *what)
{
	if (e != SP_OK)
		sp_die(1, "%s: %s", what, sp_err_text(e));
}

static ProtobufCBinaryData
bin(void *p, size_t n)
{
	return (ProtobufCBinaryData){ n, p };
}

static void
send_to(struct sp_chan *c, uint16_t id, uint32_t corr, const void *body, int fd)
{
	if (c != NULL)
		must(sp_chan_send(c, id, corr, body, &fd, fd >= 0), "send");
}

static size_t
slurp(const char *path, char *dst, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd == -1 ? -1 : read(fd, dst, size - 1);

	if (n < 0)
		sp_die(1, "cannot read %s", path);
	close(fd);
	dst[n] = '\0';
	return (size_t)n;
}

/* ---- scribe */

static void
on_scribe(struct sp_chan *ch, struct sp_msg *m, void *arg)
{
	struct conn *c = arg;

	if (m->id == SP_MSG_REC_OPEN) {
		Sallyport__RecOpened o = SALLYPORT__REC_OPENED__INIT;

		say("REC_OPEN");
		send_to(ch, SP_MSG_REC_OPENED, 0, &o, -1);
	} else if (m->id == SP_MSG_REC_DATA) {
		struct sp_recdata d;

		memcpy(&d, m->raw, sizeof(d));
		c->bytes[d.stream] += m->raw_len - sizeof(d);
		if (c->rec >= 0 && write(c->rec, m->raw + sizeof(d), m->raw_len - sizeof(d)) < 0)
			sp_die(1, "rec");
	} else if (m->id == SP_MSG_REC_CHANNEL) {
		Sallyport__RecChannel *r = (Sallyport__RecChannel *)m->body;

		say("REC_CHANNEL %u %s [%s] pty=%d %ux%u", r->channel, r->type, r->detail, r->pty, r->cols, r->rows);
	} else if (m->id == SP_MSG_REC_CHANNEL_END) {
		Sallyport__RecChannelEnd *r = (Sallyport__RecChannelEnd *)m->body;

		say("REC_CHANNEL_END %u in=%llu out=%llu err=%llu status=%d signal=%s", r->channel,
		    (unsigned long long)r->bytes_in, (unsigned long long)r->bytes_out, (unsigned long long)r->bytes_err,
		    r->exit_status, r->exit_signal);
	} else if (m->id == SP_MSG_REC_END) {
		Sallyport__RecEnd *r = (Sallyport__RecEnd *)m->body;

		say("REC_END reason=%s by=%s recorded in=%llu out=%llu err=%llu", r->reason, r->by,
		    (unsigned long long)c->bytes[0], (unsigned long long)c->bytes[1], (unsigned long long)c->bytes[2]);
	} else if (m->id == SP_MSG_LINE_ASK) {
		const Sallyport__LineAsk *q = (Sallyport__LineAsk *)m->body;
		Sallyport__LineReply a = SALLYPORT__LINE_REPLY__INIT;

		a.channel = q->channel;
		a.number = q->number;
		send_to(ch, SP_MSG_LINE_REPLY, 0, &a, -1);
	} else if (m->id == SP_MSG_REC_RESIZE)
		say("REC_RESIZE");
}

static void
on_close_quiet(struct sp_chan *ch, enum sp_err why, const char *what, void *arg)
{
	struct conn *c = arg;

	if (why != SP_ECLOSED)
		say("BAD %s from a session: %s", what, sp_err_text(why));
	if (c != NULL && ch == c->scribe)
		c->scribe = NULL;
	if (c != NULL && ch == c->control)
		c->control = NULL;
	if (c != NULL && ch == c->vault)
		c->vault = NULL;
	if (c != NULL && ch == c->monitor) {
		c->monitor = NULL;
		say("CONN_GONE");
	}
	sp_chan_free(ch);
}

static struct sp_chan *
chan(int fd, enum sp_proc self, enum sp_proc peer, sp_chan_fn *fn, void *arg)
{
	struct sp_chan *c;

	must(sp_chan_new(fd, self, peer, fn, on_close_quiet, arg, &c), "chan");
	must(sp_chan_watch(c, w.loop), "watch");
	return c;
}

/* ---- control */

static void give_conn(int fd, int inner);

static void
on_auth(struct conn *c, struct sp_msg *m)
{
	Sallyport__AuthAsk *a = (Sallyport__AuthAsk *)m->body;
	Sallyport__AuthReply r = SALLYPORT__AUTH_REPLY__INIT;
	struct sp_uuid u = { { 7 } };
	int key = w.have_key && a->key_blob.len == w.userkey.blob.len &&
	    memcmp(a->key_blob.data, w.userkey.blob.p, a->key_blob.len) == 0;

	say("AUTH_ASK %s %s ok=%d", a->login, a->method, a->signature_ok);
	r.user_id = bin(u.b, sizeof(u.b));
	r.login = a->login;
	r.verdict = SALLYPORT__AUTH_REPLY__VERDICT__FAIL;
	if (strcmp(a->method, "publickey") == 0 && key)
		r.verdict = a->signature_ok ? SALLYPORT__AUTH_REPLY__VERDICT__OK : SALLYPORT__AUTH_REPLY__VERDICT__PK_OK;
	if (strcmp(a->method, "password") == 0) {
		r.verdict = SALLYPORT__AUTH_REPLY__VERDICT__CHECK_PASSWORD;
		r.check_id = bin(u.b, 16);
		c->pw_corr = m->corr;
	}
	send_to(c->control, SP_MSG_AUTH_REPLY, m->corr, &r, -1);
	if (r.verdict == SALLYPORT__AUTH_REPLY__VERDICT__OK)
		sp_chan_set_state(c->control, SP_ST_AUTHED);
}

static void
dial(struct conn *c)
{
	Sallyport__DialReply d = SALLYPORT__DIAL_REPLY__INIT;
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)w.target_port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	d.session_id = bin(c->session.b, 16);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == -1) {
		close(fd);
		fd = -1;
		d.err = SP_EUNREACH;
		d.text = (char *)(uintptr_t)"Cannot connect to web1: connection refused";
	}
	send_to(c->control, SP_MSG_DIAL_REPLY, 0, &d, fd);
}

static void
on_target(struct conn *c, struct sp_msg *m)
{
	Sallyport__TargetAsk *a = (Sallyport__TargetAsk *)m->body;
	Sallyport__TargetReply r = SALLYPORT__TARGET_REPLY__INIT;
	Sallyport__Policy p = SALLYPORT__POLICY__INIT;
	Sallyport__HostKey k = SALLYPORT__HOST_KEY__INIT, *ks[1] = { &k };
	Sallyport__Method me = SALLYPORT__METHOD__INIT, *mes[1] = { &me };
	Sallyport__ScribeLink l = SALLYPORT__SCRIBE_LINK__INIT;
	char kind[32], protos[256], *list[16], lang[] = "LANG", lc[] = "LC_*", *envs[] = { lang, lc };
	size_t n = 0;
	int sv[2];

	say("TARGET_ASK %s@%s form=%s protocol=%s", a->account, a->asset, a->form, a->protocol);
	if (strcmp(a->asset, "nowhere") == 0) {
		r.err = SP_ENOENT;
		r.text = (char *)(uintptr_t)"no such asset: nowhere";
		send_to(c->control, SP_MSG_TARGET_REPLY, m->corr, &r, -1);
		return;
	}
	sp_uuid_make(&c->session);
	(void)sp_snprintf(kind, sizeof(kind), "%.*s", (int)strcspn(w.method, ":"), w.method);
	me.kind = strcmp(kind, "cert") == 0 ? (char *)(uintptr_t)"certificate" : kind;
	(void)sp_strlcpy(protos, w.protocols, sizeof(protos));
	for (char *q = protos; q != NULL && n < 16;) {
		list[n++] = q;
		if ((q = strchr(q, ',')) != NULL)
			*q++ = '\0';
	}
	p.protocols = list;
	p.n_protocols = n;
	p.env_allow = envs;
	p.n_env_allow = 2;
	p.record_mode = (char *)(uintptr_t)"strict";
	p.record_max_bytes = w.max;
	p.file_direction = (char *)(uintptr_t)"both";
	r.session_id = r.asset_id = r.account_id = bin(c->session.b, 16);
	r.asset = a->asset;
	r.account = a->account;
	r.login = (char *)(uintptr_t)w.login;
	if (w.have_pin) {
		k.alg = (char *)(uintptr_t)sp_sshkey_type_name(w.pin.key.type);
		k.blob = bin(w.pin.blob.p, w.pin.blob.len);
		r.pins = ks;
		r.n_pins = 1;
	}
	r.methods = mes;
	r.n_methods = 1;
	r.policy = &p;
	r.header = bin((void *)(uintptr_t)"{}", 2);
	send_to(c->control, SP_MSG_TARGET_REPLY, m->corr, &r, -1);
	must(sp_chan_pair(sv), "pair");
	sp_chan_free(c->scribe);
	memset(c->bytes, 0, sizeof(c->bytes));
	c->scribe = chan(sv[0], SP_PROC_SCRIBE, SP_PROC_SESSION, on_scribe, c);
	l.session_id = bin(c->session.b, 16);
	send_to(c->monitor, SP_MSG_SCRIBE_LINK, 0, &l, sv[1]);
	dial(c);
}

static void
on_channel(struct conn *c, struct sp_msg *m)
{
	Sallyport__ChannelAsk *a = (Sallyport__ChannelAsk *)m->body;
	Sallyport__ChannelReply r = SALLYPORT__CHANNEL_REPLY__INIT;

	say("CHANNEL_ASK %u %s [%s] pty=%d term=%s", a->channel, a->type, strlen(a->detail) > 200 ? "long" : a->detail, a->pty,
	    a->term);
	if (w.hold) {
		if (w.held_n == SP_NELEMS(w.held))
			sp_die(1, "too many questions");
		w.held[w.held_n++] = (struct held){ c, m->corr, strcmp(a->type, "forward-local") == 0 ? atoi(strrchr(a->detail, ':') + 1) : 0 };
		return;
	}
	if (strcmp(a->type, w.refuse) == 0) {
		r.err = SP_EDENIED;
		r.text = (char *)(uintptr_t)"this is not allowed here";
	} else if (strcmp(a->type, "forward-local") == 0) {
		r.address = (char *)(uintptr_t)"127.0.0.1";
		r.port = (uint32_t)atoi(strrchr(a->detail, ':') + 1);
	}
	send_to(c->control, SP_MSG_CHANNEL_REPLY, m->corr, &r, -1);
}

static void
channels_go(void)
{
	Sallyport__ChannelReply r = SALLYPORT__CHANNEL_REPLY__INIT;

	say("HELD %zu", w.held_n);
	w.hold = 0;
	r.address = (char *)(uintptr_t)"127.0.0.1";
	for (size_t i = 0; i < w.held_n; i++) {
		r.port = (uint32_t)w.held[i].port;
		send_to(w.held[i].c->control, SP_MSG_CHANNEL_REPLY, w.held[i].corr, &r, -1);
	}
	w.held_n = 0;
}

static void
on_control(struct sp_chan *ch, struct sp_msg *m, void *arg)
{
	struct conn *c = arg;

	switch (m->id) {
	case SP_MSG_HELLO: {
		Sallyport__Hello *h = (Sallyport__Hello *)m->body;
		Sallyport__Welcome o = SALLYPORT__WELCOME__INIT;
		struct sp_uuid u = { { 7 } };

		say("HELLO login=%s targets=%zu", h->login, h->n_targets);
		o.inner = c->inner;
		if (c->inner) {
			o.user_id = o.asset_id = bin(u.b, 16);
			o.login = (char *)(uintptr_t)"alice";
			o.asset = (char *)(uintptr_t)"web1";
			o.inner_host_key = bin(w.innerkey, strlen(w.innerkey));
			sp_chan_set_state(ch, SP_ST_AUTHED);
		}
		send_to(ch, SP_MSG_WELCOME, 0, &o, -1);
		break;
	}
	case SP_MSG_AUTH_ASK:
		on_auth(c, m);
		break;
	case SP_MSG_TARGET_ASK:
		on_target(c, m);
		break;
	case SP_MSG_CHANNEL_ASK:
		on_channel(c, m);
		break;
	case SP_MSG_HOSTKEY_ASK: {
		Sallyport__HostKeyAsk *a = (Sallyport__HostKeyAsk *)m->body;
		Sallyport__HostKeyReply r = SALLYPORT__HOST_KEY_REPLY__INIT;

		say("HOSTKEY_ASK %s mismatch=%d", a->alg, a->mismatch);
		r.session_id = a->session_id;
		r.accept = !a->mismatch;
		send_to(ch, SP_MSG_HOSTKEY_REPLY, m->corr, &r, -1);
		break;
	}
	case SP_MSG_LEASE_ASK: {
		Sallyport__LeaseAsk *a = (Sallyport__LeaseAsk *)m->body;
		Sallyport__LeaseReply r = SALLYPORT__LEASE_REPLY__INIT;

		say("LEASE_ASK %s", a->op);
		r.session_id = a->session_id;
		r.lease = bin((void *)(uintptr_t)"lease", 5);
		r.public_key = bin(w.key_pub.p, w.key_pub.len);
		send_to(ch, SP_MSG_LEASE_REPLY, m->corr, &r, -1);
		break;
	}
	case SP_MSG_TARGET_STATE: {
		Sallyport__TargetState *s = (Sallyport__TargetState *)m->body;

		say("TARGET_STATE %d text=%s detail=%s", (int)s->state, s->text, s->detail);
		break;
	}
	case SP_MSG_MFA_ASK: {		/* nothing here wants a one-time code */
		Sallyport__MfaReply r = SALLYPORT__MFA_REPLY__INIT;

		r.verdict = SALLYPORT__MFA_REPLY__VERDICT__OK;
		send_to(ch, SP_MSG_MFA_REPLY, m->corr, &r, -1);
		break;
	}
	case SP_MSG_INNER_ASK: {
		Sallyport__InnerAsk *a = (Sallyport__InnerAsk *)m->body;
		Sallyport__Result r = SALLYPORT__RESULT__INIT;

		say("INNER_ASK %s:%u", a->asset, a->port);
		give_conn(sp_steal_fd(&m->fds[0]), 1);
		send_to(ch, SP_MSG_INNER_REPLY, m->corr, &r, -1);
		break;
	}
	case SP_MSG_MENU_ASK: {
		Sallyport__MenuAsk *a = (Sallyport__MenuAsk *)m->body;
		Sallyport__MenuReply r = SALLYPORT__MENU_REPLY__INIT;
		Sallyport__MenuRow row = SALLYPORT__MENU_ROW__INIT, *rows[1] = { &row };
		char *accounts[1] = { (char *)(uintptr_t)"root" };

		say("MENU_ASK [%s]", a->what);
		row.asset_id = (ProtobufCBinaryData){ 16, (uint8_t *)(uintptr_t)"web1web1web1web1" };
		row.name = (char *)(uintptr_t)"web1";
		row.address = (char *)(uintptr_t)"127.0.0.1";
		row.accounts = accounts;
		row.n_accounts = 1;
		r.rows = rows;
		r.n_rows = r.total = 1;
		send_to(ch, SP_MSG_MENU_REPLY, m->corr, &r, -1);
		break;
	}
	default:
		break;
	}
}

/* ---- vault */

static enum sp_err
make_cert(struct sp_view pub, struct sp_buf *out)
{
	struct sp_sshcert c = { 0 };
	uint8_t nonce[SP_SSHCERT_NONCE] = { 1 };
	uint64_t now = (uint64_t)(sp_wall_us() / 1000000);

	must(sp_sshkey_decode(pub, &c.key), "subject");
	c.nonce = (struct sp_view){ nonce, sizeof(nonce) };
	c.serial = 1;
	c.key_id = (struct sp_view){ (const uint8_t *)"test", 4 };
	must(sp_sshcert_add_principal(&c, w.login), "principal");
	c.valid_after = now - 60;
	c.valid_before = now + 300;
	must(sp_sshcert_add_extension(&c, "permit-pty", NULL), "extension");
	must(sp_sshcert_add_extension(&c, "permit-port-forwarding", NULL), "extension");
	c.ca_key = (struct sp_view){ w.key_pub.p, w.key_pub.len };
	return sp_sshcert_encode(&c, sp_privkey_sign_cb, &w.key, out);
}

static void
on_vault(struct sp_chan *ch, struct sp_msg *m, void *arg)
{
	struct conn *c = arg;
	struct sp_buf out;

	sp_buf_init(&out, 65536);
	if (m->id == SP_MSG_PASSWORD_CHECK) {
		Sallyport__PasswordCheck *a = (Sallyport__PasswordCheck *)m->body;
		Sallyport__AuthReply r = SALLYPORT__AUTH_REPLY__INIT;
		struct sp_uuid u = { { 7 } };
		int ok = w.userpassword != NULL && a->password.len == strlen(w.userpassword) &&
		    memcmp(a->password.data, w.userpassword, a->password.len) == 0;

		r.verdict = ok ? SALLYPORT__AUTH_REPLY__VERDICT__OK : SALLYPORT__AUTH_REPLY__VERDICT__FAIL;
		r.user_id = bin(u.b, 16);
		send_to(c->control, SP_MSG_AUTH_REPLY, c->pw_corr, &r, -1);
		if (ok)
			sp_chan_set_state(c->control, SP_ST_AUTHED);
	} else if (m->id == SP_MSG_SIGN_ASK) {
		Sallyport__SignAsk *a = (Sallyport__SignAsk *)m->body;
		Sallyport__SignReply r = SALLYPORT__SIGN_REPLY__INIT;

		must(sp_privkey_sign(&w.key, NULL, (struct sp_view){ a->blob.data, a->blob.len }, &out), "sign");
		r.signature = bin(out.p, out.len);
		say("SIGN_ASK");
		send_to(ch, SP_MSG_SIGN_REPLY, m->corr, &r, -1);
	} else if (m->id == SP_MSG_CERT_ASK) {
		Sallyport__CertAsk *a = (Sallyport__CertAsk *)m->body;
		Sallyport__CertReply r = SALLYPORT__CERT_REPLY__INIT;

		must(make_cert((struct sp_view){ a->public_key.data, a->public_key.len }, &out), "certificate");
		r.certificate = bin(out.p, out.len);
		say("CERT_ASK");
		send_to(ch, SP_MSG_CERT_REPLY, m->corr, &r, -1);
	} else if (m->id == SP_MSG_PASSWORD_ASK) {
		Sallyport__PasswordReply r = SALLYPORT__PASSWORD_REPLY__INIT;
		const char *p = strchr(w.method, ':') + 1;

		r.password = bin((void *)(uintptr_t)p, strlen(p));
		say("PASSWORD_ASK");
		send_to(ch, SP_MSG_PASSWORD_REPLY, m->corr, &r, -1);
	}
	sp_buf_release(&out);
}

/* ---- monitor and gate */

static void
on_session_says(struct sp_chan *ch, struct sp_msg *m, void *arg)
{
	(void)ch;
	(void)m;
	(void)arg;
	say("BAD word on the monitor channel");
}

static void
on_zygote(struct sp_chan *ch, struct sp_msg *m, void *arg)
{
	(void)ch;
	(void)arg;
	if (m->id == SP_MSG_READY)
		say("READY %s", ((Sallyport__Ready *)m->body)->in_force);
	else if (m->id == SP_MSG_BORN) {
		Sallyport__Born *b = (Sallyport__Born *)m->body;
		struct conn *c = calloc(1, sizeof(*c));
		char path[512];

		say("BORN %u", b->pid);
		memcpy(c->id.b, b->conn_id.data, 16);
		c->inner = b->inner_token.len > 0;
		c->rec = -1;
		if (w.rec != NULL) {
			(void)sp_snprintf(path, sizeof(path), "%s/%u.rec", w.rec, b->pid);
			c->rec = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		}
		sp_list_init(&c->link);
		sp_list_add_tail(&w.conns, &c->link);
		close(sp_steal_fd(&m->fds[0]));
		c->monitor = chan(sp_steal_fd(&m->fds[1]), SP_PROC_MONITOR, SP_PROC_SESSION, on_session_says, c);
		c->control = chan(sp_steal_fd(&m->fds[2]), SP_PROC_CONTROL, SP_PROC_SESSION, on_control, c);
		c->vault = chan(sp_steal_fd(&m->fds[3]), SP_PROC_VAULT, SP_PROC_SESSION, on_vault, c);
		sp_chan_set_state(c->control, SP_ST_PREAUTH);
	} else if (m->id == SP_MSG_DIED) {
		Sallyport__Died *d = (Sallyport__Died *)m->body;

		say("DIED %u status=%d", d->pid, d->wait_status);
	}
}

static void
on_nothing(struct sp_chan *ch, struct sp_msg *m, void *arg)
{
	(void)ch;
	(void)m;
	(void)arg;
}

static void
give_conn(int fd, int inner)
{
	Sallyport__Conn c = SALLYPORT__CONN__INIT;
	struct sp_uuid id;

	sp_uuid_make(&id);
	c.conn_id = bin(id.b, 16);
	c.source_ip = (char *)(uintptr_t)"127.0.0.1";
	if (inner)
		c.inner_token = bin(id.b, 16);
	send_to(inner ? w.zygote : w.gate, SP_MSG_CONN, 0, &c, fd);
}

static void
on_accept(struct sp_source *s, uint32_t events, void *arg)
{
	int fd;

	(void)s;
	(void)events;
	(void)arg;
	if ((fd = accept4(w.listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		give_conn(fd, 0);
}

/* A fresh pair for control, as the monitor does after control died. */
static void
control_dies(void)
{
	w.held_n = 0;
	sp_list_each(it, &w.conns) {
		struct conn *c = sp_container(it, struct conn, link);
		Sallyport__Peer p = SALLYPORT__PEER__INIT;
		int sv[2];

		if (c->monitor == NULL)
			continue;
		sp_chan_free(c->control);
		must(sp_chan_pair(sv), "pair");
		c->control = chan(sv[0], SP_PROC_CONTROL, SP_PROC_SESSION, on_control, c);
		p.kind = SP_PROC_CONTROL;
		send_to(c->monitor, SP_MSG_PEER, 0, &p, sv[1]);
	}
}

static void
on_command(struct sp_source *s, uint32_t events, void *arg)
{
	char line[512];
	ssize_t n = read(0, line, sizeof(line) - 1);

	(void)events;
	(void)arg;
	if (n <= 0) {
		sp_source_remove(s);
		w.stop = 1;
		return;
	}
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (strcmp(line, "quit") == 0)
		w.stop = 1;
	else if (strcmp(line, "control-dies") == 0)
		control_dies();
	else if (strcmp(line, "hold") == 0)
		w.hold = 1;
	else if (strcmp(line, "go") == 0)
		channels_go();
	else
		sp_list_each(it, &w.conns) {
			struct conn *c = sp_container(it, struct conn, link);
			Sallyport__Kill k = SALLYPORT__KILL__INIT;
			Sallyport__Notify y = SALLYPORT__NOTIFY__INIT;

			k.conn_id = bin(c->id.b, 16);
			k.by = y.by = (char *)(uintptr_t)"admin bob";
			k.reason = y.text = strchr(line, ' ') != NULL ? strchr(line, ' ') + 1 : line;
			if (strncmp(line, "kill ", 5) == 0)
				send_to(c->monitor, SP_MSG_KILL, 0, &k, -1);
			else if (strncmp(line, "notify ", 7) == 0)
				send_to(c->control, SP_MSG_NOTIFY, 0, &y, -1);
		}
}

static void
options(int argc, char **argv)
{
	char text[8192];

	for (int i = 5; i < argc; i++) {
		char *v = strchr(argv[i], '=');

		if (v == NULL)
			sp_die(1, "option %s", argv[i]);
		*v++ = '\0';
		if (strcmp(argv[i], "target") == 0)
			w.target_port = atoi(v);
		else if (strcmp(argv[i], "login") == 0)
			w.login = v;
		else if (strcmp(argv[i], "userkey") == 0) {
			size_t n = slurp(v, text, sizeof(text));

			must(sp_sshkey_line_parse(text, n, NULL, &w.userkey), "userkey");
			w.have_key = 1;
		} else if (strcmp(argv[i], "pin") == 0) {
			size_t n = slurp(v, text, sizeof(text));

			must(sp_sshkey_line_parse(text, n, NULL, &w.pin), "pin");
			w.have_pin = 1;
		} else if (strcmp(argv[i], "userpassword") == 0)
			w.userpassword = v;
		else if (strcmp(argv[i], "method") == 0)
			w.method = v;
		else if (strcmp(argv[i], "max") == 0)
			w.max = strtoull(v, NULL, 10);
		else if (strcmp(argv[i], "rec") == 0)
			w.rec = v;
		else if (strcmp(argv[i], "refuse") == 0)
			w.refuse = v;
		else if (strcmp(argv[i], "protocols") == 0)
			w.protocols = v;
		else if (strcmp(argv[i], "innerkey") == 0)
			(void)slurp(v, w.innerkey, sizeof(w.innerkey));
		else
			sp_die(1, "option %s", argv[i]);
	}
	sp_buf_init(&w.key_pub, 16384);
	if (strncmp(w.method, "key:", 4) == 0 || strncmp(w.method, "cert:", 5) == 0) {
		size_t n = slurp(strchr(w.method, ':') + 1, text, sizeof(text));

		must(sp_privkey_import((struct sp_view){ (uint8_t *)text, n }, (struct sp_view){ NULL, 0 }, NULL, &w.key), "key");
		must(sp_privkey_public(&w.key, &w.key_pub), "public key");
	}
}

static pid_t
start_zygote(const char *path, int fd)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	if (dup2(fd, 3) != 3 || fcntl(3, F_SETFD, 0) == -1)
		_exit(1);
	execl(path, path, (char *)NULL);
	_exit(1);
}

int
main(int argc, char **argv)
{
	static char config[8192];
	Sallyport__Boot b = SALLYPORT__BOOT__INIT;
	Sallyport__Peer p = SALLYPORT__PEER__INIT;
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char *names[] = { (char *)(uintptr_t)"hostkey:0" };
	struct sp_source *s;
	struct sp_uuid id;
	int sv[2], gate[2], one = 1, key, status;
	pid_t pid;

	sp_log_init("world", SP_LOG_INFO);
	signal(SIGPIPE, SIG_IGN);
	must(sp_crypto_init(), "crypto");
	if (argc < 5)
		sp_die(1, "usage: world ZYGOTE CONFIG HOSTKEY PORT key=value...");
	sp_list_init(&w.conns);
	options(argc, argv);
	(void)slurp(argv[2], config, sizeof(config));
	must(sp_loop_new(&w.loop), "loop");
	must(sp_chan_pair(sv), "pair");
	pid = start_zygote(argv[1], sv[1]);
	close(sv[1]);
	w.zygote = chan(sv[0], SP_PROC_MONITOR, SP_PROC_ZYGOTE, on_zygote, NULL);
	sp_uuid_make(&id);
	b.protocol = SP_IPC_PROTOCOL;
	b.boot_id = bin(id.b, 16);
	b.config = config;
	b.fd_names = names;
	b.n_fd_names = 1;
	if ((key = open(argv[3], O_RDONLY | O_CLOEXEC)) == -1)
		sp_die(1, "no host key");
	send_to(w.zygote, SP_MSG_BOOT, 0, &b, key);
	must(sp_chan_pair(gate), "pair");
	p.kind = SP_PROC_GATE;
	send_to(w.zygote, SP_MSG_PEER, 0, &p, gate[1]);
	w.gate = chan(gate[0], SP_PROC_GATE, SP_PROC_ZYGOTE, on_nothing, NULL);
	sa.sin_port = htons((uint16_t)atoi(argv[4]));
	w.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(w.listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(w.listen_fd, (struct sockaddr *)&sa, sizeof(sa)) == -1 || listen(w.listen_fd, 128) == -1)
		sp_die(1, "cannot listen on %s", argv[4]);
	must(sp_loop_add(w.loop, w.listen_fd, EPOLLIN, on_accept, NULL, &s), "loop");
	must(sp_loop_add(w.loop, 0, EPOLLIN, on_command, NULL, &s), "loop");
	while (!w.stop)
		must(sp_loop_once(w.loop, -1), "loop");
	(void)kill(pid, SIGTERM);
	(void)waitpid(pid, &status, 0);
	return 0;
}
