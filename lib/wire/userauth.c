/* lib/wire/userauth.c - see userauth.h. */
#include "wire/userauth.h"

#include <string.h>

#include "base/str.h"

#define MSG_USERAUTH_REQUEST	50
#define HOSTBOUND		"publickey-hostbound-v00@openssh.com"

static int
user_is_ok(struct sp_view u)
{
	return u.len > 0 && u.len <= SP_USERAUTH_USER_MAX && sp_text_is_plain((const char *)u.p, u.len);
}

static enum sp_err
expect(struct sp_view *v, const char *text)
{
	struct sp_view s;
	enum sp_err r = sp_view_string(v, &s);

	if (r != SP_OK)
		return r;
	return sp_view_equal_str(s, text) ? SP_OK : SP_EDENIED;
}

/* Algorithm, key, and of the hostbound variant the host key: the last fields. */
static enum sp_err
userauth_key(struct sp_view *v, int bound, struct sp_userauth *u)
{
	struct sp_sshkey k;
	enum sp_err r;

	if ((r = sp_view_string(v, &u->algorithm)) != SP_OK || (r = sp_view_string(v, &u->key_blob)) != SP_OK)
		return r;
	if (bound && ((r = sp_view_string(v, &u->host_key)) != SP_OK || (r = sp_sshkey_decode(u->host_key, &k)) != SP_OK))
		return r;
	if (v->len != 0)
		return SP_EFORMAT;
	if ((r = sp_sshkey_decode(u->key_blob, &k)) != SP_OK)
		return r;
	u->key_type = k.type;
	return sp_sshkey_signs(k.type, u->algorithm) ? SP_OK : SP_EDENIED;
}

static enum sp_err
userauth_decode(struct sp_view data, int any, struct sp_userauth *ret)
{
	struct sp_userauth u = { .key_type = 0 };
	uint8_t type, with_signature;
	struct sp_view method;
	int bound;
	enum sp_err r;

	if (data.len > SP_USERAUTH_MAX + (any ? SP_SSHKEY_BLOB_MAX : 0))
		return SP_ESIZE;
	if ((r = sp_view_string(&data, &u.session_id)) != SP_OK || (r = sp_view_u8(&data, &type)) != SP_OK)
		return r;
	if (u.session_id.len < SP_USERAUTH_SESSION_ID_MIN || u.session_id.len > SP_USERAUTH_SESSION_ID_MAX ||
	    type != MSG_USERAUTH_REQUEST)
		return SP_EFORMAT;
	if ((r = sp_view_string(&data, &u.user)) != SP_OK)
		return r;
	if (!user_is_ok(u.user))
		return SP_EFORMAT;
	if ((r = expect(&data, "ssh-connection")) != SP_OK || (r = sp_view_string(&data, &method)) != SP_OK)
		return r;
	bound = any && sp_view_equal_str(method, HOSTBOUND);
	if (!bound && !sp_view_equal_str(method, "publickey"))
		return SP_EDENIED;
	if ((r = sp_view_u8(&data, &with_signature)) != SP_OK)
		return r;
	if (with_signature != 1)
		return SP_EFORMAT;
	if ((r = userauth_key(&data, bound, &u)) == SP_OK)
		*ret = u;
	return r;
}

enum sp_err
sp_userauth_decode(struct sp_view data, struct sp_userauth *ret)
{
	return userauth_decode(data, 0, ret);
}

enum sp_err
sp_userauth_decode_any(struct sp_view data, struct sp_userauth *ret)
{
	return userauth_decode(data, 1, ret);
}

static enum sp_err
userauth_put(const struct sp_userauth *u, struct sp_buf *b)
{
	enum sp_err r;

	if ((r = sp_buf_put_string(b, u->session_id.p, u->session_id.len)) != SP_OK ||
	    (r = sp_buf_put_u8(b, MSG_USERAUTH_REQUEST)) != SP_OK ||
	    (r = sp_buf_put_string(b, u->user.p, u->user.len)) != SP_OK ||
	    (r = sp_buf_put_cstring(b, "ssh-connection")) != SP_OK || (r = sp_buf_put_cstring(b, "publickey")) != SP_OK ||
	    (r = sp_buf_put_u8(b, 1)) != SP_OK || (r = sp_buf_put_string(b, u->algorithm.p, u->algorithm.len)) != SP_OK)
		return r;
	return sp_buf_put_string(b, u->key_blob.p, u->key_blob.len);
}

enum sp_err
sp_userauth_encode(const struct sp_userauth *u, struct sp_buf *ret)
{
	struct sp_userauth check;
	size_t len0 = ret->len;
	enum sp_err r = userauth_put(u, ret);

	if (r == SP_OK && sp_userauth_decode((struct sp_view){ ret->p + len0, ret->len - len0 }, &check) != SP_OK)
		r = SP_EINVAL;
	if (r != SP_OK)
		ret->len = len0;
	return r;
}
