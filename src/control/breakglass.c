/* src/control/breakglass.c - see breakglass.h; and the calls breakglass.create, seal, list. */
#include "control/breakglass.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/api.h"
#include "control/judge.h"
#include "control/methods.h"
#include "control/wall.h"

#define OPEN_DEFAULT_S	3600
#define OPEN_MAX_S	86400
#define KEY_SIZE	80

static void
setting_key(const struct sp_uuid *user, char dst[KEY_SIZE])
{
	char id[SP_UUID_SIZE];

	sp_snprintf(dst, KEY_SIZE, "breakglass.%s", sp_uuid_text(user, id));
}

enum sp_err
breakglass_get(struct sp_store *s, const struct sp_uuid *user, struct breakglass *ret)
{
	char key[KEY_SIZE], text[256];
	struct breakglass b;
	enum sp_err r;

	setting_key(user, key);
	if ((r = sp_store_setting_get(s, key, text, sizeof(text))) != SP_OK)
		return r;
	if (sscanf(text, "%18" SCNd64 " %18" SCNd64 " %18" SCNd64, &b.expires_us, &b.open_s, &b.opened_us) != 3)
		return SP_ECORRUPT;
	*ret = b;
	return SP_OK;
}

static enum sp_err
breakglass_put(struct sp_store *s, const struct sp_uuid *user, const struct breakglass *b)
{
	char key[KEY_SIZE], text[96];

	setting_key(user, key);
	sp_snprintf(text, sizeof(text), "%" PRId64 " %" PRId64 " %" PRId64, b->expires_us, b->open_s, b->opened_us);
	return sp_store_setting_set(s, key, text);
}

/* ---- the login ---- */

static enum sp_err
open_now(struct ctl *c, struct sp_store *s, const struct sp_uuid *conn, const char *source, struct sp_store_user *u,
    struct breakglass *b)
{
	char text[160], at[SP_RFC3339_SIZE];
	struct audit_entry e = { .kind = "breakglass.opened", .actor = u->login, .result = "ok", .source = source, .conn = conn,
	    .user = &u->id, .text = text };
	int64_t until;
	enum sp_err r;

	b->opened_us = ctl_wall_us();
	until = b->opened_us + b->open_s * (int64_t)SP_US_PER_S;
	u->valid_until_us = b->expires_us < until ? b->expires_us : until;
	sp_snprintf(text, sizeof(text), "%s was opened and works until %s", u->login, sp_rfc3339(u->valid_until_us, at, sizeof(at)));
	if ((r = breakglass_put(s, &u->id, b)) != SP_OK || (r = sp_store_user_update(s, u)) != SP_OK)
		return r;
	return audit_append_wait(c->audit, &e);
}

enum sp_err
breakglass_open(struct ctl *c, struct sp_store *s, const struct sp_uuid *conn, const char *source, struct sp_store_user *u)
{
	struct breakglass b;
	enum sp_err r = sp_store_begin(s, SP_STORE_MAIN);

	if (r != SP_OK)
		return r;
	if ((r = sp_store_user_get(s, &u->id, u)) == SP_OK && (r = breakglass_get(s, &u->id, &b)) == SP_OK) {
		if (judge_user_refused(u, ctl_wall_us()) != NULL)
			r = SP_EDENIED;
		else if (b.opened_us == 0)
			r = open_now(c, s, conn, source, u, &b);
	}
	return sp_store_end(s, r);
}

enum sp_err
breakglass_carry(struct sp_store *from, struct sp_store *to, const struct sp_uuid *user)
{
	struct breakglass was, is;
	struct sp_store_user u, v;
	enum sp_err r = breakglass_get(from, user, &was);

	if (r == SP_ENOENT || (r == SP_OK && was.opened_us == 0))
		return SP_OK;
	if (r != SP_OK || (r = breakglass_get(to, user, &is)) != SP_OK || (r = sp_store_user_get(from, user, &u)) != SP_OK ||
	    (r = sp_store_user_get(to, user, &v)) != SP_OK)
		return r == SP_ENOENT ? SP_OK : r;
	if (is.opened_us != 0 || is.expires_us != was.expires_us)
		return SP_OK;		/* sealed again meanwhile, elsewhere */
	v.valid_until_us = u.valid_until_us;
	r = sp_store_user_update(to, &v);
	return r == SP_OK ? breakglass_put(to, user, &was) : r;
}

/* ---- calls ---- */

struct sealing {
	struct sp_store_user	 u;
	struct breakglass	 b;
	struct sp_store_grant	 g;
	int			 is_new;
};

static const char *
state_of(const struct breakglass *b)
{
	int64_t now = ctl_wall_us();

	if (b->opened_us == 0)
		return now < b->expires_us ? "sealed" : "expired";
	return now < b->opened_us + b->open_s * (int64_t)SP_US_PER_S && now < b->expires_us ? "open" : "used";
}

static json_t *
breakglass_json(const struct sp_store_user *u, const struct breakglass *b)
{
	return json_pack("{s:s, s:s, s:o, s:I, s:o}", "login", u->login, "state", state_of(b), "expires", api_at(b->expires_us),
	    "open_for_s", (json_int_t)b->open_s, "opened", api_at(b->opened_us));
}

static enum sp_err
sealing_write(struct api_call *c, struct sp_store *s, struct sealing *k)
{
	enum sp_err r = k->is_new ? sp_store_user_add(s, &k->u) : sp_store_user_update(s, &k->u);

	if (r != SP_OK)
		return api_store(c, r, k->u.login);
	c->user = k->u.id;
	k->g.subject_id = k->u.id;
	if (k->is_new && (r = sp_store_grant_add(s, &k->g)) != SP_OK)
		return api_store(c, r, "the grant");
	return api_store(c, breakglass_put(s, &k->u.id, &k->b), "the account");
}

/* The vault hashed both halves. Old sessions and logins of the account end here. */
static void
sealing_hashed(struct api_call *c, struct sp_store *s)
{
	const Sallyport__HashReply *h = (Sallyport__HashReply *)c->reply;
	struct sealing *k = c->state;

	if (c->reply_id != SP_MSG_HASH_REPLY || h->err != SP_OK ||
	    sp_strlcpy(k->u.password_hash, h->hash, sizeof(k->u.password_hash)) != 0) {
		(void)api_fail(c, SP_EINTERNAL, "the vault did not take the envelopes: %s", c->reply_id == SP_MSG_HASH_REPLY ? h->text : "");
		return;
	}
	k->u.epoch++;
	k->u.valid_until_us = k->b.expires_us;
	k->b.opened_us = 0;
	if (sealing_write(c, s, k) != SP_OK)
		return;
	if (!k->is_new)
		api_epoch(c, &k->u, "the account was sealed again");
	(void)sp_strlcpy(c->what, k->u.login, sizeof(c->what));
	c->out = breakglass_json(&k->u, &k->b);
}

static void
sealing_ask(struct api_call *c, struct sealing *k)
{
	Sallyport__HashPassword m = SALLYPORT__HASH_PASSWORD__INIT;
	struct sp_buf b;

	sp_buf_init(&b, 3000);
	if (api_time(c, "expires", &k->b.expires_us) == SP_OK && api_int(c, "open_for_s", 60, OPEN_MAX_S, &k->b.open_s) == SP_OK &&
	    api_bytes(c, c->params, "password_sealed", 1, &b) == SP_OK) {
		m.sealed = ctl_bytes(b.p, b.len);
		m.context = ctl_str("user.password");
		if (k->b.expires_us <= ctl_wall_us())
			(void)api_fail(c, SP_EINVAL, "envelopes want an end: --expires, in the future");
		else
			api_ask(c, SP_MSG_HASH_PASSWORD, &m, 0, sealing_hashed);
	}
	sp_buf_release(&b);
}

void
breakglass_create(struct api_call *c, struct sp_store *s)
{
	struct sealing *k = c->state = calloc(1, sizeof(*k));
	struct sp_store_asset a;
	struct sp_store_asset_group ag;
	int one = api_text(c, "asset") != NULL;

	if (k == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	k->is_new = 1;
	k->b.open_s = OPEN_DEFAULT_S;
	k->u = (struct sp_store_user){ .role = SP_STORE_ROLE_USER, .state = SP_STORE_ACTIVE, .os_uid = -1 };
	/* Neither a second factor nor a time of day may stand in the way, and nothing happens unrecorded. */
	k->g = (struct sp_store_grant){ .subject_kind = SP_STORE_SUBJECT_USER, .effect = SP_STORE_ALLOW, .accounts = "*",
	    .protocols = SP_STORE_P_SHELL | SP_STORE_P_EXEC | SP_STORE_P_SFTP | SP_STORE_P_SCP,
	    .mfa_interval_s = SP_POLICY_MFA_NEVER, .file_direction = SP_STORE_FILE_UP | SP_STORE_FILE_DOWN,
	    .record_mode = SP_STORE_RECORD_STRICT, .remark = "break-glass", .created_by = c->caller.id };
	if (api_str(c, "login", 1, k->u.login, sizeof(k->u.login)) != SP_OK ||
	    (one ? api_asset(c, s, "asset", &a) : api_asset_group(c, s, "asset_group", &ag)) != SP_OK)
		return;
	if (!sp_name_is_safe(k->u.login, SP_STORE_LOGIN_MAX)) {
		(void)api_fail(c, SP_EINVAL, "a login has letters, digits, '.', '_' and '-'");
		return;
	}
	k->g.object_kind = one ? SP_STORE_OBJECT_ASSET : SP_STORE_OBJECT_ASSET_GROUP;
	k->g.object_id = one ? a.id : ag.id;
	sealing_ask(c, k);
}

void
breakglass_seal(struct api_call *c, struct sp_store *s)
{
	struct sealing *k = c->state = calloc(1, sizeof(*k));

	if (k == NULL)
		(void)api_fail(c, SP_ENOMEM, "out of memory");
	else if (api_user(c, s, "login", &k->u) == SP_OK &&
	    api_store(c, breakglass_get(s, &k->u.id, &k->b), "the break-glass account") == SP_OK)
		sealing_ask(c, k);
}

struct listing {
	struct sp_store	*s;
	json_t		*out;
	size_t		 seen;
	enum sp_err	 err;
};

static int
list_one(const struct sp_store_user *u, void *arg)
{
	struct listing *l = arg;
	struct breakglass b;

	l->seen++;
	if ((l->err = breakglass_get(l->s, &u->id, &b)) == SP_OK)
		json_array_append_new(l->out, breakglass_json(u, &b));
	else if (l->err == SP_ENOENT)
		l->err = SP_OK;
	return l->err != SP_OK;
}

void
breakglass_list(struct api_call *c, struct sp_store *s)
{
	struct listing l = { .s = s, .out = c->out = json_array() };
	struct sp_store_query q = { 0 };
	enum sp_err r;

	API_PAGES(c, q, l.seen, r, sp_store_user_list(s, &q, list_one, &l));
	(void)api_store(c, r != SP_OK ? r : l.err, "the accounts");
}
