/* rehearse.c - see rehearse.h. Both ends are legs of this process; the password is nobody's. */
#include "zygote/rehearse.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/str.h"
#include "common/config.h"
#include "session/leg.h"

#define TIME_US		(5 * SP_US_PER_S)
/* Whatever host keys there are: what the configuration wants of targets is another matter. */
#define HOST_ALGS	"ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256"

struct scene {
	struct sp_loop	*loop;
	struct sp_leg	*server, *client;
	int		 done;		/* 1: logged in, -1: a side has closed */
};

static void
server_ready(void *arg)
{
	(void)arg;
}

static void
server_auth(void *arg, const struct sp_leg_auth *a)
{
	struct scene *s = arg;

	sp_leg_answer(s->server, a->method == SP_LEG_PASSWORD ? SP_LEG_OK : SP_LEG_FAIL, "password", NULL);
}

static void
client_ready(void *arg)
{
	struct scene *s = arg;

	if (sp_leg_login_password(s->client, "rehearsal") != SP_OK)
		s->done = -1;
}

static void
client_login(void *arg, enum sp_leg_login r)
{
	struct scene *s = arg;

	s->done = r == SP_LEG_LOGIN_OK ? 1 : -1;
}

static void
either_packet(void *arg, struct sp_view payload)
{
	(void)arg;
	(void)payload;
}

static void
either_drained(void *arg)
{
	(void)arg;
}

static void
either_closed(void *arg, const char *why)
{
	struct scene *s = arg;

	(void)why;
	if (s->done == 0)
		s->done = -1;
}

static const struct sp_leg_ops server_ops = { .ready = server_ready, .auth = server_auth, .packet = either_packet,
	.drained = either_drained, .closed = either_closed };
static const struct sp_leg_ops client_ops = { .ready = client_ready, .login = client_login, .packet = either_packet,
	.drained = either_drained, .closed = either_closed };

static enum sp_err
scene_play(const struct sp_config *conf, struct sp_leg_keys *keys)
{
	struct scene s = { 0 };
	uint64_t until = sp_now_us() + TIME_US;
	int sv[2];
	enum sp_err r;

	if ((r = sp_loop_new(&s.loop)) != SP_OK)
		return r;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv) == -1) {
		sp_loop_free(s.loop);
		return SP_ESYS;
	}
	r = sp_leg_server(s.loop, keys, sv[0], &server_ops, &s, &s.server);
	if (r == SP_OK)
		r = sp_leg_client(s.loop, conf, sv[1], "rehearsal", HOST_ALGS, &client_ops, &s, &s.client);
	else
		sp_closep(&sv[1]);
	for (sp_leg_flush_all(); r == SP_OK && s.done == 0 && sp_now_us() < until; sp_leg_flush_all())
		r = sp_loop_once(s.loop, 100);
	sp_leg_free(s.client);
	sp_leg_free(s.server);
	sp_leg_flush_all();
	sp_loop_free(s.loop);
	return r == SP_OK && s.done != 1 ? SP_ESTATE : r;
}

enum sp_err
rehearse(const struct sp_config *conf, struct sp_leg_keys *keys)
{
	struct sp_config *one = malloc(sizeof(*one));
	enum sp_err r = SP_OK;

	if (one == NULL)
		return SP_ENOMEM;
	*one = *conf;
	for (const char *p = conf->ciphers; *p != '\0' && r == SP_OK;) {
		size_t n = strcspn(p, ",");

		memcpy(one->ciphers, p, n);	/* a part of a text of the same size */
		one->ciphers[n] = '\0';
		r = scene_play(one, keys);
		p += n + (p[n] == ',');
	}
	free(one);
	return r;
}
