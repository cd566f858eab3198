/* src/courier/post.h - one delivery: a mail over SMTP, or a POST. Blocks; in a worker thread. Process: courier. */
#ifndef SP_COURIER_POST_H
#define SP_COURIER_POST_H

#include "base/buf.h"
#include "crypto/secret.h"

#define POST_TEXT	256

struct post_mail {			/* everything borrowed */
	const char		*server, *user, *from, *ca;
	const char *const	*to;
	size_t			 to_n;
	int			 tls;
	const struct sp_secret	*password;	/* with a user */
	struct sp_view		 message;
};
struct post_hook {
	const char		*url, *ca, *kind, *id;
	int64_t			 wall_us;
	const struct sp_secret	*key;
	struct sp_view		 body;
};
enum sp_err	post_init(void) SP_MUST_USE;	/* once, before there are threads and before the sandbox */
/* SP_OK: the other side took it. SP_EAUTH: it does not accept the password. why (POST_TEXT): one line for people. */
enum sp_err	post_mail(const struct post_mail *m, char why[POST_TEXT]) SP_MUST_USE;
/* X-Sallyport-Signature: sha256=HEX, HMAC-SHA-256 under the key over the timestamp, '.' and the body. */
enum sp_err	post_hook(const struct post_hook *h, char why[POST_TEXT]) SP_MUST_USE;
/* That signature; *ret has room for 65 bytes. */
enum sp_err	post_signature(const struct sp_secret *key, int64_t unix_s, struct sp_view body, char ret[65]) SP_MUST_USE;

#endif
