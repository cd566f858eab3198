/* bench/norecord.c - for comparisons: a session that hands its recorder no byte. Linked in place of one function of the session
 * (ld --wrap) into a zygote of the bench's own, which is never installed; the product has no such switch. Channels, decisions
 * and the audit log are as always. */
#include <stddef.h>
#include <stdint.h>

struct target;

size_t	__wrap_target_record(struct target *t, uint32_t channel, int stream, const uint8_t *p, size_t n, int bulk);

size_t
__wrap_target_record(struct target *t, uint32_t channel, int stream, const uint8_t *p, size_t n, int bulk)
{
	(void)t, (void)channel, (void)stream, (void)p, (void)bulk;
	return n;
}
