/* lib/ipc/ring.c - see ring.h. In memory: one page of positions, then the records, each at a multiple of 32 bytes. The records
 * are mapped twice, one copy behind the other, so that one that goes on at the beginning lies in one piece. Positions count
 * all bytes that ever went through. */
#include "ipc/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

#define RING_PAGE	((size_t)65536)		/* a multiple of every page size */
#define RING_ALIGN	sizeof(struct sp_ring_head)
#define RING_NEVER	UINT64_MAX
#define RING_SEALS	(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct ring_shared {		/* a cache line for each side */
	_Alignas(64) _Atomic uint64_t	head;		/* the writer's: end of what is there */
	_Alignas(64) _Atomic uint64_t	tail;		/* the reader's: begin of it */
	_Alignas(64) _Atomic uint64_t	wake_at;	/* the reader sleeps until head is there */
	_Alignas(64) _Atomic uint32_t	wanted;		/* the writer waits for room */
};
struct sp_ring {
	struct ring_shared	*shared;
	uint8_t			*bytes;		/* 2 * SP_RING_BYTES of addresses */
	uint64_t		 pos;		/* own end: of the writer head, of the reader tail */
	uint64_t		 other;		/* the other end, as it was seen last */
	uint64_t		 step;		/* reader: size of the record that sp_ring_next() gave */
	int			 used;		/* writer: there is memory to give back */
};

static enum sp_err
ring_map(int fd, struct sp_ring **ret)
{
	struct sp_ring *r = calloc(1, sizeof(*r));
	uint8_t *p;

	if (r == NULL)
		return SP_ENOMEM;
	p = mmap(NULL, RING_PAGE + 2 * SP_RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		free(r);
		return SP_ENOMEM;
	}
	r->shared = (struct ring_shared *)(void *)p;
	r->bytes = p + RING_PAGE;
	if (mmap(r->bytes + SP_RING_BYTES, SP_RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, RING_PAGE) == MAP_FAILED) {
		sp_ring_free(r);
		return SP_ENOMEM;
	}
	*ret = r;
	return SP_OK;
}

enum sp_err
sp_ring_new(struct sp_ring **ret, int *ret_fd)
{
	sp_auto(sp_closep) int fd = memfd_create("sallyport-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	enum sp_err r;

	if (fd == -1)
		return sp_err_errno(errno);
	if (ftruncate(fd, (off_t)(RING_PAGE + SP_RING_BYTES)) == -1 || fcntl(fd, F_ADD_SEALS, RING_SEALS) == -1)
		return sp_err_errno(errno);
	if ((r = ring_map(fd, ret)) != SP_OK)
		return r;
	atomic_store(&(*ret)->shared->wake_at, RING_NEVER);
	*ret_fd = sp_steal_fd(&fd);
	return SP_OK;
}

enum sp_err
sp_ring_open(int fd, struct sp_ring **ret)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return sp_err_errno(errno);
	return !S_ISREG(st.st_mode) || (size_t)st.st_size != RING_PAGE + SP_RING_BYTES ? SP_EFORMAT : ring_map(fd, ret);
}

void
sp_ring_free(struct sp_ring *r)
{
	if (r == NULL)
		return;
	(void)munmap(r->shared, RING_PAGE + 2 * SP_RING_BYTES);
	free(r);
}

static size_t
ring_size(size_t n)
{
	return (sizeof(struct sp_ring_head) + n + RING_ALIGN - 1) & ~(RING_ALIGN - 1);
}

static uint8_t *
ring_at(const struct sp_ring *r, uint64_t pos)
{
	return r->bytes + (pos & (SP_RING_BYTES - 1));
}

/* ---- the reader */

enum sp_err
sp_ring_next(struct sp_ring *r, struct sp_ring_head *ret, struct sp_view *ret_bytes)
{
	struct sp_ring_head h;

	if (r->other == r->pos) {
		uint64_t head = atomic_load(&r->shared->head);

		if (head - r->pos > SP_RING_BYTES || head % RING_ALIGN != 0)
			return SP_EFORMAT;
		r->other = head;
		if (head == r->pos)
			return SP_EAGAIN;
	}
	memcpy(&h, ring_at(r, r->pos), sizeof(h));
	atomic_signal_fence(memory_order_seq_cst);	/* the compiler may not look there again in place of the copy */
	if (h.len == 0 || h.len > SP_REC_CHUNK || ring_size(h.len) > r->other - r->pos)
		return SP_EFORMAT;
	r->step = ring_size(h.len);
	*ret = h;
	*ret_bytes = (struct sp_view){ ring_at(r, r->pos) + sizeof(h), h.len };
	return SP_OK;
}

void
sp_ring_done(struct sp_ring *r)
{
	r->pos += r->step;
	r->step = 0;
	atomic_store(&r->shared->tail, r->pos);
}

int
sp_ring_sleep(struct sp_ring *r, size_t bytes)
{
	atomic_store(&r->shared->wake_at, r->pos + bytes);
	if (atomic_load(&r->shared->head) - r->pos < bytes)
		return 1;
	atomic_store(&r->shared->wake_at, RING_NEVER);
	return 0;
}

int
sp_ring_wanted(struct sp_ring *r)
{
	return atomic_load(&r->shared->wanted) != 0 && atomic_load(&r->shared->head) - r->pos <= SP_RING_BYTES / 2 &&
	    atomic_exchange(&r->shared->wanted, 0) != 0;
}

/* ---- the writer */

enum sp_err
sp_ring_put(struct sp_ring *r, uint64_t after, const struct sp_recdata *d, const uint8_t *p, size_t n, int *ret_wake)
{
	const struct sp_ring_head h = { .after = after, .len = (uint32_t)n, .data = *d };
	size_t size = ring_size(n);
	uint64_t at;

	if (n == 0 || n > SP_REC_CHUNK)
		return SP_EINVAL;
	if (r->pos + size - r->other > SP_RING_BYTES) {
		uint64_t tail = atomic_load(&r->shared->tail);

		if (r->pos - tail > SP_RING_BYTES)
			return SP_EFORMAT;
		r->other = tail;
		if (r->pos + size - tail > SP_RING_BYTES)
			return SP_EAGAIN;
	}
	memcpy(ring_at(r, r->pos), &h, sizeof(h));
	memcpy(ring_at(r, r->pos) + sizeof(h), p, n);
	r->pos += size;
	r->used = 1;
	atomic_store(&r->shared->head, r->pos);
	at = atomic_load(&r->shared->wake_at);
	*ret_wake = at != RING_NEVER && at <= r->pos && atomic_exchange(&r->shared->wake_at, RING_NEVER) != RING_NEVER;
	return SP_OK;
}

int
sp_ring_await(struct sp_ring *r)
{
	atomic_store(&r->shared->wanted, 1);
	if (r->pos - atomic_load(&r->shared->tail) > SP_RING_BYTES / 2)
		return 1;
	atomic_store(&r->shared->wanted, 0);
	return 0;
}

/* Only the writer writes, and it is here: a page that is cut out holds nothing that is not read. */
void
sp_ring_trim(struct sp_ring *r)
{
	if (!r->used || atomic_load(&r->shared->tail) != r->pos)
		return;
	if (madvise(r->bytes, SP_RING_BYTES, MADV_REMOVE) == 0)
		r->used = 0;
}
