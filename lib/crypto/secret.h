/* lib/crypto/secret.h - bytes that must not outlive their use. No printing, no copying by accident, compare only in
 * constant time. Used by vault, the command line and, for one password at a time, session.
 * Invariants: p is NULL or points to cap bytes of own pages: locked (mlock), left out of core dumps (MADV_DONTDUMP),
 * zero in a forked child (MADV_WIPEONFORK), with an inaccessible guard page on each side. len <= cap. A secret that
 * cannot be locked is not made at all, so the presence of one proves that locking is in force. */
#ifndef SP_CRYPTO_SECRET_H
#define SP_CRYPTO_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

#define SP_SECRET_MAX	((size_t)1 << 20)	/* bytes in one secret */

struct sp_secret {
	uint8_t	*p;
	size_t	 len, cap;	/* bytes in use, bytes usable (whole pages) */
};
#define sp_auto_secret	sp_auto(sp_secret_release) struct sp_secret

/* Once, early in main(), in each process that uses lib/crypto: chooses the fastest code for this processor.
 * SP_EINTERNAL when the system has no random generator. */
enum sp_err	sp_crypto_init(void) SP_MUST_USE;

/* Zeroed memory of len = size bytes (0 is allowed and has its page). *ret must be empty or uninitialised: it is
 * overwritten, not released. SP_ESIZE above SP_SECRET_MAX; SP_ENOMEM when memory or RLIMIT_MEMLOCK is used up. */
enum sp_err	sp_secret_alloc(size_t size, struct sp_secret *ret) SP_MUST_USE;
/* A copy of n borrowed bytes. The source stays as it was: wipe it yourself, or use sp_secret_take. */
enum sp_err	sp_secret_from(const void *bytes, size_t n, struct sp_secret *ret) SP_MUST_USE;
/* The same, and the source is wiped, on failure too. */
enum sp_err	sp_secret_take(void *bytes, size_t n, struct sp_secret *ret) SP_MUST_USE;
/* n bytes from the system's random generator. */
enum sp_err	sp_secret_random(size_t n, struct sp_secret *ret) SP_MUST_USE;
/* Wipe and unmap; safe on an empty or half-built secret, and twice. */
void		sp_secret_release(struct sp_secret *s);
/* Move: *dst takes over what *src owns (what *dst held is released), *src is left empty. */
void		sp_secret_move(struct sp_secret *dst, struct sp_secret *src);
/* 1 if both hold the same bytes; time depends on the lengths only. */
int		sp_secret_equal(const struct sp_secret *a, const struct sp_secret *b) SP_MUST_USE;
/* The same for plain memory. */
int		sp_ct_equal(const void *a, const void *b, size_t n) SP_MUST_USE;

/* Borrowed view of the bytes, for codecs and ciphers. */
static inline struct sp_view
sp_secret_view(const struct sp_secret *s)
{
	return (struct sp_view){ s->p, s->len };
}

/* Take what a local sp_auto_secret holds, leaving it empty: *ret = sp_secret_steal(&s). */
static inline struct sp_secret
sp_secret_steal(struct sp_secret *s)
{
	struct sp_secret taken = *s;

	*s = (struct sp_secret){ 0 };
	return taken;
}

#endif
