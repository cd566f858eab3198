/* src/scribe/echo.c - see echo.h. */
#include "scribe/echo.h"

#include <string.h>

void
sp_echo_init(struct sp_echo *e, sp_echo_fn *fn, void *arg)
{
	memset(e, 0, sizeof(*e));
	e->fn = fn;
	e->arg = arg;
}

/* Decide about the first n bytes: kept whole when all of them came back; else the silent ones are. */
static void
echo_decide(struct sp_echo *e, size_t n)
{
	if (n == 0)
		return;
	if (e->matched >= n) {
		e->fn(e->arg, 1, (struct sp_view){ e->byte, n });
	} else {
		for (size_t from = 0, to; from < n; from = to) {
			for (to = from + 1; to < n && e->silent[to] == e->silent[from]; to++)
				;
			e->fn(e->arg, e->silent[from], (struct sp_view){ e->byte + from, to - from });
		}
	}
	explicit_bzero(e->byte, n);
	memmove(e->byte, e->byte + n, e->n - n);
	memmove(e->silent, e->silent + n, e->n - n);
	e->n -= n;
	e->matched = e->matched > n ? e->matched - n : 0;
	e->since_us[0] = e->since_us[1];
}

/* Silent bytes come back by themselves. */
static void
echo_skip(struct sp_echo *e)
{
	while (e->matched < e->n && e->silent[e->matched] && e->byte[e->matched] != '\r' && e->byte[e->matched] != '\n')
		e->matched++;
}

/* Does this byte of the user's print nothing? Keys send ESC [ parameters final, ESC O final, or ESC and one character. */
static int
echo_is_silent(struct sp_echo *e, uint8_t c)
{
	int was = e->escape;

	if (c == 0x1b) {
		e->escape = 1;
		return 1;
	}
	if (was == 1) {
		e->escape = c == '[' || c == 'O' ? 2 : 0;
		return 1;
	}
	if (was == 2) {
		e->escape = c >= 0x40 && c <= 0x7e ? 0 : 2;
		return 1;
	}
	return c < 0x20 || c == 0x7f;
}

void
sp_echo_typed(struct sp_echo *e, struct sp_view v, uint64_t now_us)
{
	for (size_t i = 0; i < v.len; i++) {
		if (e->n == SP_ECHO_MAX)
			echo_decide(e, e->n);
		if (e->n == 0)
			e->since_us[0] = now_us;
		e->silent[e->n] = (uint8_t)echo_is_silent(e, v.p[i]);
		e->byte[e->n++] = v.p[i];
		e->since_us[1] = now_us;
	}
	echo_skip(e);
	/* Nothing in front of it that could be secret: no reason to wait. */
	if (e->matched == e->n)
		echo_decide(e, e->n);
}

void
sp_echo_printed(struct sp_echo *e, struct sp_view v)
{
	for (size_t i = 0; i < v.len && e->n > 0; i++) {
		if (v.p[i] == '\n') {	/* the line is over: of the first Enter, and of what stands before it */
			size_t n = 0;

			while (n < e->n && !(e->silent[n] && (e->byte[n] == '\r' || e->byte[n] == '\n')))
				n++;
			if (n < e->n) {
				e->matched += e->matched == n;
				echo_decide(e, n + 1);
			}
		} else if (e->matched < e->n && !e->silent[e->matched] && v.p[i] == e->byte[e->matched]) {
			e->matched++;
		}
		echo_skip(e);
	}
	if (e->n > 0 && e->matched == e->n)
		echo_decide(e, e->n);
}

void
sp_echo_settle(struct sp_echo *e, uint64_t now_us)
{
	if (e->n > 0 && now_us - e->since_us[1] >= SP_ECHO_SETTLE_US)
		echo_decide(e, e->n);
}

void
sp_echo_end(struct sp_echo *e)
{
	echo_decide(e, e->n);
	explicit_bzero(e->byte, sizeof(e->byte));
}
