/* lib/wire/agent.c - see agent.h. */
#include "wire/agent.h"

#include <string.h>

#include "wire/sshkey.h"

enum {
	AGENT_FAILURE = 5,
	AGENT_SUCCESS = 6,
	AGENTC_REQUEST_IDENTITIES = 11,
	AGENT_IDENTITIES_ANSWER = 12,
	AGENTC_SIGN_REQUEST = 13,
	AGENT_SIGN_RESPONSE = 14,
	AGENTC_EXTENSION = 27,
};

#define SESSION_BIND	"session-bind@openssh.com"

enum sp_err
sp_agent_next(struct sp_view *stream, struct sp_view *ret)
{
	struct sp_view v = *stream;
	uint32_t n;

	if (sp_view_u32(&v, &n) != SP_OK)
		return SP_ESHORT;
	if (n == 0)
		return SP_EFORMAT;
	if (n > SP_AGENT_MSG_MAX)
		return SP_ESIZE;
	return sp_view_string(stream, ret);
}

static enum sp_err
agent_decode_sign(struct sp_view v, struct sp_agent_request *q)
{
	enum sp_err r;

	if ((r = sp_view_string(&v, &q->key_blob)) != SP_OK || (r = sp_view_string(&v, &q->data)) != SP_OK ||
	    (r = sp_view_u32(&v, &q->flags)) != SP_OK)
		return r;
	if (v.len != 0 || q->key_blob.len == 0)
		return SP_EFORMAT;
	if (q->key_blob.len > SP_SSHKEY_BLOB_MAX)
		return SP_ESIZE;
	return q->flags == 0 || q->flags == SP_AGENT_RSA_SHA2_256 || q->flags == SP_AGENT_RSA_SHA2_512 ? SP_OK : SP_EINVAL;
}

/* Another extension is none of ours: SP_OK, and OTHER as it was. */
static enum sp_err
agent_decode_bind(struct sp_view v, struct sp_agent_request *q)
{
	struct sp_view name;
	uint8_t forwarding;
	enum sp_err r = sp_view_string(&v, &name);

	if (r != SP_OK || !sp_view_equal_str(name, SESSION_BIND))
		return r;
	if ((r = sp_view_string(&v, &q->host_key)) != SP_OK || (r = sp_view_string(&v, &q->session_id)) != SP_OK ||
	    (r = sp_view_string(&v, &q->signature)) != SP_OK || (r = sp_view_u8(&v, &forwarding)) != SP_OK)
		return r;
	if (v.len != 0 || forwarding > 1 || q->host_key.len == 0)
		return SP_EFORMAT;
	if (q->host_key.len > SP_SSHKEY_BLOB_MAX)
		return SP_ESIZE;
	q->forwarding = forwarding;
	q->kind = SP_AGENT_BIND;
	return SP_OK;
}

enum sp_err
sp_agent_decode(struct sp_view body, struct sp_agent_request *ret)
{
	struct sp_agent_request q = { .kind = SP_AGENT_OTHER };
	enum sp_err r;

	if (body.len > SP_AGENT_MSG_MAX)
		return SP_ESIZE;
	if ((r = sp_view_u8(&body, &q.type)) != SP_OK)
		return r;
	if (q.type == AGENTC_REQUEST_IDENTITIES) {
		q.kind = SP_AGENT_LIST;
		r = body.len == 0 ? SP_OK : SP_EFORMAT;
	} else if (q.type == AGENTC_SIGN_REQUEST) {
		q.kind = SP_AGENT_SIGN;
		r = agent_decode_sign(body, &q);
	} else if (q.type == AGENTC_EXTENSION)
		r = agent_decode_bind(body, &q);
	if (r == SP_OK)
		*ret = q;
	return r;
}

/* Length and type in front of a body of n bytes; all of it is reserved, so that what follows cannot fail. */
static enum sp_err
agent_begin(struct sp_buf *b, uint8_t type, size_t n)
{
	enum sp_err r;

	if (n > SP_AGENT_MSG_MAX - 1)
		return SP_ESIZE;
	if ((r = sp_buf_reserve(b, n + 5)) != SP_OK || (r = sp_buf_put_u32(b, (uint32_t)n + 1)) != SP_OK)
		return r;
	return sp_buf_put_u8(b, type);
}

static enum sp_err
agent_encode_bind(const struct sp_agent_request *q, struct sp_buf *ret)
{
	enum sp_err r;

	if (q->host_key.len > SP_SSHKEY_BLOB_MAX || q->session_id.len > SP_AGENT_MSG_MAX || q->signature.len > SP_AGENT_MSG_MAX)
		return SP_ESIZE;
	if ((r = agent_begin(ret, AGENTC_EXTENSION, 17 + strlen(SESSION_BIND) + q->host_key.len + q->session_id.len +
	    q->signature.len)) != SP_OK || (r = sp_buf_put_cstring(ret, SESSION_BIND)) != SP_OK ||
	    (r = sp_buf_put_string(ret, q->host_key.p, q->host_key.len)) != SP_OK ||
	    (r = sp_buf_put_string(ret, q->session_id.p, q->session_id.len)) != SP_OK ||
	    (r = sp_buf_put_string(ret, q->signature.p, q->signature.len)) != SP_OK)
		return r;
	return sp_buf_put_u8(ret, q->forwarding != 0);
}

enum sp_err
sp_agent_encode(const struct sp_agent_request *q, struct sp_buf *ret)
{
	enum sp_err r;

	if (q->kind == SP_AGENT_LIST)
		return agent_begin(ret, AGENTC_REQUEST_IDENTITIES, 0);
	if (q->kind == SP_AGENT_BIND)
		return agent_encode_bind(q, ret);
	if (q->kind != SP_AGENT_SIGN)
		return SP_EINVAL;
	if (q->key_blob.len > SP_SSHKEY_BLOB_MAX || q->data.len > SP_AGENT_MSG_MAX)
		return SP_ESIZE;
	if ((r = agent_begin(ret, AGENTC_SIGN_REQUEST, 12 + q->key_blob.len + q->data.len)) != SP_OK ||
	    (r = sp_buf_put_string(ret, q->key_blob.p, q->key_blob.len)) != SP_OK ||
	    (r = sp_buf_put_string(ret, q->data.p, q->data.len)) != SP_OK)
		return r;
	return sp_buf_put_u32(ret, q->flags);
}

enum sp_err
sp_agent_put_success(struct sp_buf *ret)
{
	return agent_begin(ret, AGENT_SUCCESS, 0);
}

enum sp_err
sp_agent_put_failure(struct sp_buf *ret)
{
	return agent_begin(ret, AGENT_FAILURE, 0);
}

enum sp_err
sp_agent_put_identities(const struct sp_agent_identity *ids, size_t n, struct sp_buf *ret)
{
	size_t total = 4;
	enum sp_err r;

	if (n > SP_AGENT_KEYS_MAX)
		return SP_ESIZE;
	for (size_t i = 0; i < n; i++) {
		size_t cn = strlen(ids[i].comment);

		if (ids[i].key_blob.len > SP_SSHKEY_BLOB_MAX || cn > SP_SSHKEY_COMMENT_MAX)
			return SP_ESIZE;
		total += 8 + ids[i].key_blob.len + cn;
	}
	if ((r = agent_begin(ret, AGENT_IDENTITIES_ANSWER, total)) != SP_OK || (r = sp_buf_put_u32(ret, (uint32_t)n)) != SP_OK)
		return r;
	for (size_t i = 0; i < n; i++)
		if ((r = sp_buf_put_string(ret, ids[i].key_blob.p, ids[i].key_blob.len)) != SP_OK ||
		    (r = sp_buf_put_cstring(ret, ids[i].comment)) != SP_OK)
			return r;
	return SP_OK;
}

enum sp_err
sp_agent_put_signature(struct sp_view sig_blob, struct sp_buf *ret)
{
	enum sp_err r;

	if (sig_blob.len > SP_AGENT_MSG_MAX - 8)
		return SP_ESIZE;
	if ((r = agent_begin(ret, AGENT_SIGN_RESPONSE, 4 + sig_blob.len)) != SP_OK)
		return r;
	return sp_buf_put_string(ret, sig_blob.p, sig_blob.len);
}
