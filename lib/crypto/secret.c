/* lib/crypto/secret.c - see secret.h.
 * Layout of a mapping: [guard page][cap bytes][guard page]; p points behind the first guard. */
#include "crypto/secret.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t
secret_page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* Whole pages for size bytes, at least one. */
static size_t
secret_cap(size_t size)
{
	size_t page = secret_page();

	return size == 0 ? page : (size + page - 1) / page * page;
}

/* Map cap usable bytes between two guards, locked; NULL when any of the promises of secret.h cannot be kept. */
static uint8_t *
secret_map(size_t cap)
{
	size_t page = secret_page(), all = cap + 2 * page;
	uint8_t *m = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (m == MAP_FAILED)
		return NULL;
	if (mprotect(m + page, cap, PROT_READ | PROT_WRITE) != 0 || madvise(m + page, cap, MADV_DONTDUMP) != 0 ||
	    madvise(m + page, cap, MADV_WIPEONFORK) != 0 || mlock(m + page, cap) != 0) {
		munmap(m, all);
		return NULL;
	}
	return m + page;
}

static void
secret_unmap(uint8_t *p, size_t cap)
{
	size_t page = secret_page();

	munmap(p - page, cap + 2 * page);	/* unlocks, too */
}

enum sp_err
sp_crypto_init(void)
{
	return sodium_init() < 0 ? SP_EINTERNAL : SP_OK;
}

enum sp_err
sp_secret_alloc(size_t size, struct sp_secret *ret)
{
	size_t cap;
	uint8_t *p;

	if (size > SP_SECRET_MAX)
		return SP_ESIZE;
	cap = secret_cap(size);
	if ((p = secret_map(cap)) == NULL)
		return SP_ENOMEM;
	*ret = (struct sp_secret){ .p = p, .len = size, .cap = cap };
	return SP_OK;
}

enum sp_err
sp_secret_from(const void *bytes, size_t n, struct sp_secret *ret)
{
	enum sp_err r = sp_secret_alloc(n, ret);

	if (r == SP_OK && n > 0)
		memcpy(ret->p, bytes, n);
	return r;
}

enum sp_err
sp_secret_take(void *bytes, size_t n, struct sp_secret *ret)
{
	enum sp_err r = sp_secret_from(bytes, n, ret);

	if (n > 0)
		explicit_bzero(bytes, n);
	return r;
}

enum sp_err
sp_secret_random(size_t n, struct sp_secret *ret)
{
	enum sp_err r = sp_secret_alloc(n, ret);

	if (r == SP_OK)
		randombytes_buf(ret->p, n);
	return r;
}

void
sp_secret_release(struct sp_secret *s)
{
	if (s->p != NULL) {
		explicit_bzero(s->p, s->cap);
		secret_unmap(s->p, s->cap);
	}
	*s = (struct sp_secret){ 0 };
}

void
sp_secret_move(struct sp_secret *dst, struct sp_secret *src)
{
	struct sp_secret moved = *src;

	if (dst == src)
		return;
	*src = (struct sp_secret){ 0 };
	sp_secret_release(dst);
	*dst = moved;
}

int
sp_ct_equal(const void *a, const void *b, size_t n)
{
	return n == 0 || sodium_memcmp(a, b, n) == 0;
}

int
sp_secret_equal(const struct sp_secret *a, const struct sp_secret *b)
{
	return a->len == b->len && sp_ct_equal(a->p, b->p, a->len);
}
