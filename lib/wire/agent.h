/* lib/wire/agent.h - ssh-agent protocol (draft-miller-ssh-agent), the answering side. Pure.
 * A message is u32 length, byte type, contents. Three requests are understood: list identities (11), sign (13) and the
 * extension (27) session-bind@openssh.com (PROTOCOL.agent of OpenSSH); every other one is to be answered with failure (5). */
#ifndef SP_WIRE_AGENT_H
#define SP_WIRE_AGENT_H

#include <stdint.h>

#include "base/buf.h"

#define SP_AGENT_MSG_MAX	((size_t)256 * 1024)	/* bytes after the length */
#define SP_AGENT_KEYS_MAX	256
#define SP_AGENT_RSA_SHA2_256	2u
#define SP_AGENT_RSA_SHA2_512	4u

enum sp_agent_kind { SP_AGENT_LIST = 1, SP_AGENT_SIGN, SP_AGENT_OTHER, SP_AGENT_BIND };

/* Views are borrowed from the message. */
struct sp_agent_request {
	enum sp_agent_kind	kind;
	uint8_t			type;		/* as on the wire */
	struct sp_view		key_blob, data;	/* SIGN */
	uint32_t		flags;		/* SIGN: 0, SP_AGENT_RSA_SHA2_256 or _512 */
	struct sp_view		host_key, session_id, signature;	/* BIND: of that key over that session */
	int			forwarding;	/* BIND: the agent is forwarded there, nobody logs in */
};
struct sp_agent_identity {
	struct sp_view	 key_blob;
	const char	*comment;
};

/* Cut the next whole message off the front of *stream; *ret is its body, without the length. SP_ESHORT: wait for more
 * (nothing consumed). SP_ESIZE, SP_EFORMAT (empty): close the connection. */
enum sp_err	sp_agent_next(struct sp_view *stream, struct sp_view *ret) SP_MUST_USE;
/* Unknown types give SP_OK and SP_AGENT_OTHER. A malformed request of a known type: SP_EFORMAT, SP_ESHORT, SP_ESIZE;
 * SP_EINVAL for flags that we do not know. Answer these with failure, too. */
enum sp_err	sp_agent_decode(struct sp_view body, struct sp_agent_request *ret) SP_MUST_USE;
/* Append a request with its length; not OTHER (SP_EINVAL). */
enum sp_err	sp_agent_encode(const struct sp_agent_request *req, struct sp_buf *ret) SP_MUST_USE;

/* Answers, appended with their length. ret is unchanged on failure; SP_ESIZE, SP_ENOMEM. */
enum sp_err	sp_agent_put_success(struct sp_buf *ret) SP_MUST_USE;
enum sp_err	sp_agent_put_failure(struct sp_buf *ret) SP_MUST_USE;
enum sp_err	sp_agent_put_identities(const struct sp_agent_identity *ids, size_t n, struct sp_buf *ret) SP_MUST_USE;
enum sp_err	sp_agent_put_signature(struct sp_view sig_blob, struct sp_buf *ret) SP_MUST_USE;

#endif
