/* lib/wire/userauth.h - the bytes that a client signs to log in with a key (RFC 4252 section 7):
 *   string session id, byte SSH_MSG_USERAUTH_REQUEST (50), string user, string "ssh-connection", string "publickey",
 *   boolean TRUE, string algorithm, string public key blob
 * The vault decodes this before it signs anything, so that a signature of a stored key can be nothing but a login of
 * that user. Nothing may follow; the key is a plain key and fits the algorithm; ssh-rsa (SHA-1) is refused, and so is
 * OpenSSH's publickey-hostbound-v00@openssh.com. Pure. */
#ifndef SP_WIRE_USERAUTH_H
#define SP_WIRE_USERAUTH_H

#include <stdint.h>

#include "base/buf.h"
#include "wire/sshkey.h"

#define SP_USERAUTH_SESSION_ID_MIN	20	/* SHA-1 key exchange */
#define SP_USERAUTH_SESSION_ID_MAX	64	/* SHA-512 */
#define SP_USERAUTH_USER_MAX		128	/* bytes, plain text */
#define SP_USERAUTH_MAX			(SP_SSHKEY_BLOB_MAX + 512)

/* Views are borrowed from the decoded bytes. */
struct sp_userauth {
	struct sp_view		session_id;
	struct sp_view		user;
	struct sp_view		algorithm;
	struct sp_view		key_blob;
	enum sp_sshkey_type	key_type;	/* set by decode */
	struct sp_view		host_key;	/* of the hostbound variant; else empty */
};

/* SP_EDENIED: another method or service, or the hostbound variant; an algorithm that does not fit or is not allowed; a
 * certificate as key. SP_EFORMAT, SP_ESHORT, SP_ESIZE, SP_EVERSION (unknown key type). */
enum sp_err	sp_userauth_decode(struct sp_view data, struct sp_userauth *ret) SP_MUST_USE;
/* The same, and publickey-hostbound-v00@openssh.com, which ends with the host key of the server: what clients give to an
 * agent. For those who look at host_key. */
enum sp_err	sp_userauth_decode_any(struct sp_view data, struct sp_userauth *ret) SP_MUST_USE;
/* Append the bytes. SP_EINVAL when they would not decode. */
enum sp_err	sp_userauth_encode(const struct sp_userauth *u, struct sp_buf *ret) SP_MUST_USE;

#endif
