/* src/scribe/strand.c - see strand.h. */
#include "scribe/strand.h"

#include <stdlib.h>
#include <string.h>

struct chunk {
	struct sp_list	link;
	uint64_t	offset;
	size_t		n;
	uint8_t		p[];
};

void
sp_strand_init(struct sp_strand *s, size_t *waiting)
{
	*s = (struct sp_strand){ .waiting = waiting };
	sp_list_init(&s->chunks);
}

static struct chunk *
first_chunk(struct sp_strand *s)
{
	return sp_list_empty(&s->chunks) ? NULL : sp_container(s->chunks.next, struct chunk, link);
}

static void
chunk_free(struct sp_strand *s, struct chunk *c)
{
	sp_list_remove(&c->link);
	*s->waiting -= c->n;
	free(c);
}

void
sp_strand_release(struct sp_strand *s)
{
	struct chunk *c;

	while ((c = first_chunk(s)) != NULL)
		chunk_free(s, c);
	free(s->range);
	s->range = NULL;
}

static void
range_begin(struct sp_strand *s, uint64_t offset)
{
	s->begun = 1;
	s->next = offset;
	s->now = (struct sp_strand_range){ .from = offset };
	if (s->n <= SP_TRANSFER_RANGES)		/* ranges beyond have one hash */
		sp_sha256_begin(&s->hash);
}

/* Without memory a range is counted only, like those beyond the limit. */
static void
range_end(struct sp_strand *s)
{
	if (!s->begun || s->now.bytes == 0)
		return;
	if (s->range == NULL)
		s->range = calloc(SP_TRANSFER_RANGES, sizeof(*s->range));
	if (s->range != NULL && s->n < SP_TRANSFER_RANGES) {
		sp_sha256_now(&s->hash, s->now.sha256);
		s->range[s->n] = s->now;
	}
	if (s->n++ >= SP_TRANSFER_RANGES)
		sp_sha256_now(&s->hash, s->more);
	s->begun = 0;
}

static void
range_add(struct sp_strand *s, const uint8_t *p, size_t n)
{
	sp_sha256_add(&s->hash, p, n);
	s->now.bytes += n;
	s->next += n;
}

/* What waited for the bytes that are there now. */
static void
drain(struct sp_strand *s)
{
	struct chunk *c;

	while ((c = first_chunk(s)) != NULL && c->offset == s->next) {
		range_add(s, c->p, c->n);
		chunk_free(s, c);
	}
}

/* There is a hole that nothing will fill: the range ends, and the next one begins behind it. */
static void
skip(struct sp_strand *s)
{
	struct chunk *c = first_chunk(s);

	range_end(s);
	if (c == NULL)
		return;
	range_begin(s, c->offset);
	range_add(s, c->p, c->n);
	chunk_free(s, c);
	drain(s);
}

static int
keep(struct sp_strand *s, uint64_t offset, const uint8_t *p, size_t n)
{
	struct sp_list *at = s->chunks.prev;
	struct chunk *c;

	if (n > SP_TRANSFER_WAIT || *s->waiting > SP_TRANSFER_WAIT - n || (c = malloc(sizeof(*c) + n)) == NULL)
		return 0;
	c->offset = offset;
	c->n = n;
	memcpy(c->p, p, n);
	while (at != &s->chunks && sp_container(at, struct chunk, link)->offset > offset)
		at = at->prev;
	sp_list_init(&c->link);
	sp_list_add_tail(at->next, &c->link);		/* behind at */
	*s->waiting += n;
	return 1;
}

void
sp_strand_at(struct sp_strand *s, uint64_t offset)
{
	if (!s->begun && s->n == 0)
		range_begin(s, offset);
}

void
sp_strand_put(struct sp_strand *s, uint64_t offset, const uint8_t *p, size_t n)
{
	if (n == 0)
		return;
	s->bytes += n;
	sp_strand_at(s, offset);
	if (s->begun && offset > s->next && keep(s, offset, p, n))
		return;
	if (offset != s->next || !s->begun) {	/* again, before, or too far ahead: a range of its own */
		while (first_chunk(s) != NULL)
			skip(s);
		range_end(s);
		range_begin(s, offset);
	}
	range_add(s, p, n);
	drain(s);
}

void
sp_strand_end(struct sp_strand *s)
{
	while (first_chunk(s) != NULL)
		skip(s);
	range_end(s);
}
