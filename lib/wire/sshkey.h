/* lib/wire/sshkey.h - SSH public keys: blobs (RFC 4253 6.6, RFC 5656, RFC 8709, PROTOCOL.u2f), text lines, fingerprints.
 * Pure. A decoded key borrows its parts from the blob.
 * Invariants: a blob that decodes is canonical (re-encoding gives the same bytes); a certificate is never a key here:
 * nesting is refused by type, there is no recursion. */
#ifndef SP_WIRE_SSHKEY_H
#define SP_WIRE_SSHKEY_H

#include <stdint.h>

#include "base/buf.h"

#define SP_SSHKEY_BLOB_MAX	8192	/* bytes; RSA 16384 takes 2.1 KiB */
#define SP_SSHKEY_RSA_MIN	2048	/* bits */
#define SP_SSHKEY_RSA_MAX	16384
#define SP_SSHKEY_APP_MAX	255	/* application string of a security key */
#define SP_SSHKEY_COMMENT_MAX	255
#define SP_SSHKEY_LINE_MAX	16384
#define SP_SSHKEY_HOSTS_MAX	1023
#define SP_FINGERPRINT_SIZE	51	/* "SHA256:" + 43 + NUL */

enum sp_sshkey_type {
	SP_SSHKEY_ED25519 = 1,
	SP_SSHKEY_ECDSA256,
	SP_SSHKEY_ECDSA384,
	SP_SSHKEY_ECDSA521,
	SP_SSHKEY_RSA,
	SP_SSHKEY_SK_ED25519,	/* security key (FIDO) */
	SP_SSHKEY_SK_ECDSA256
};

struct sp_sshkey {
	enum sp_sshkey_type	type;
	unsigned		bits;		/* 256, 384, 521, RSA modulus bits */
	struct sp_view		blob;		/* the whole */
	struct sp_view		point;		/* ed25519: 32 bytes; ecdsa: 04 || x || y */
	struct sp_view		e, n;		/* rsa: as mpint contents, that is with a leading 0 where needed */
	struct sp_view		application;	/* sk: such as "ssh:" */
};

/* "ssh-ed25519" etc.; NULL for a value that is no type. */
const char	*sp_sshkey_type_name(enum sp_sshkey_type t);
/* SP_ENOENT for a name that we do not know. */
enum sp_err	sp_sshkey_type_parse(struct sp_view name, enum sp_sshkey_type *ret) SP_MUST_USE;
/* "nistp256" etc. for ecdsa (sk too), else NULL. */
const char	*sp_sshkey_curve(enum sp_sshkey_type t);
int		 sp_sshkey_is_sk(enum sp_sshkey_type t);
/* 1 if `algorithm` is one that this type of key signs with: its own name, or rsa-sha2-256/512 for RSA; never ssh-rsa. */
int		 sp_sshkey_signs(enum sp_sshkey_type t, struct sp_view algorithm);

/* SP_EDENIED: a certificate, or RSA too small or large. SP_EVERSION: a key type that we do not know (dsa).
 * SP_ESHORT, SP_EFORMAT, SP_ESIZE. A point on the curve is not checked here; signatures do. */
enum sp_err	sp_sshkey_decode(struct sp_view blob, struct sp_sshkey *ret) SP_MUST_USE;
/* Append the blob built from the parts (ret->blob is not used). SP_EINVAL when the parts would not decode. */
enum sp_err	sp_sshkey_encode(const struct sp_sshkey *key, struct sp_buf *ret) SP_MUST_USE;

/* Hash given by the caller (crypto/hash.h has sp_sha256): wire links no cryptography. */
typedef void	sp_sha256_fn(const void *p, size_t n, uint8_t ret[32]);
/* "SHA256:" and unpadded base64, as ssh-keygen -l prints it. */
void		 sp_sshkey_fingerprint(struct sp_view blob, sp_sha256_fn *sha256, char ret[SP_FINGERPRINT_SIZE]);

/* A line "type base64 [comment]" of authorized_keys or an id_x.pub file. */
struct sp_sshkey_line {
	struct sp_buf		blob;		/* owned */
	struct sp_sshkey	key;		/* parts borrowed from blob */
	char			comment[SP_SSHKEY_COMMENT_MAX + 1];
	char			hosts[SP_SSHKEY_HOSTS_MAX + 1];	/* known_hosts lines only, else "" */
};
void		 sp_sshkey_line_release(struct sp_sshkey_line *l);	/* safe on zeroed memory and twice */
/* SP_EDENIED: options in front of the key, a certificate, a marker or hashed host name; SP_EVERSION: unknown type;
 * SP_EFORMAT, SP_ESHORT, SP_ESIZE. *why (may be NULL) gets a static sentence for the person who pasted the line.
 * A trailing newline is allowed, a second line is not. */
enum sp_err	 sp_sshkey_line_parse(const char *line, size_t n, const char **why, struct sp_sshkey_line *ret) SP_MUST_USE;
/* The same for "hosts type base64 [comment]" of a known_hosts file. */
enum sp_err	 sp_sshkey_hostline_parse(const char *line, size_t n, const char **why, struct sp_sshkey_line *ret)
		    SP_MUST_USE;
/* Append "[hosts ]type base64[ comment]" without newline; hosts and comment may be NULL. SP_EINVAL when they would
 * break the line (control characters, blanks in hosts), SP_ESIZE. */
enum sp_err	 sp_sshkey_line_print(const char *hosts, struct sp_view blob, const char *comment, struct sp_buf *ret)
		    SP_MUST_USE;

#endif
