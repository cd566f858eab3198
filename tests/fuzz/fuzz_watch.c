/* tests/fuzz/fuzz_watch.c - a watch stream of hostile bytes: nothing faults, and what would be written to the watcher's
 * terminal holds no escape sequence but our own. The first byte says whether the rest is frames or bare output. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "ctl/frames.h"
#include "ctl/screen.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_frame(const struct ctl_frame *f, void *arg)
{
	struct ctl_screen *s = arg;

	if (f->cols > 0 && f->rows > 0)
		ctl_screen_resize(s, f->cols % 200, f->rows % 100);	/* small, for speed */
	ctl_screen_feed(s, f->bytes.p, f->bytes.len);
}

/* One sequence or character at p; 0 if it is none of ours. */
static size_t
ours(const char *p, size_t n)
{
	uint32_t cp;
	size_t k;

	if (p[0] != '\033') {
		k = sp_utf8_next((const uint8_t *)p, n, &cp);
		return k > 0 && sp_text_is_plain(p, k) ? k : 0;
	}
	if (strncmp(p, "\033[?25h", 6) == 0 || strncmp(p, "\033[?25l", 6) == 0)
		return 6;
	if (p[1] != '[')
		return 0;
	k = 2 + strspn(p + 2, "0123456789;");
	return p[k] != 0 && strchr("HJKm", p[k]) != NULL ? k + 1 : 0;
}

static void
check(struct ctl_screen *s)
{
	struct sp_buf b;

	sp_buf_init(&b, (size_t)64 << 20);
	if (ctl_screen_draw(s, 100, 40, &b) != SP_OK)
		abort();
	for (size_t at = 0, k; at < b.len; at += k)
		if ((k = ours((const char *)b.p + at, b.len - at)) == 0)
			abort();
	sp_buf_reset(&b);
	if (ctl_screen_text(s, &b) != SP_OK)
		abort();
	for (size_t at = 0, k; at < b.len; at += k)
		if ((k = b.p[at] == '\n' ? 1 : ours((const char *)b.p + at, b.len - at)) == 0 || b.p[at] == '\033')
			abort();
	sp_buf_release(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ctl_screen *s = NULL;
	struct ctl_frames f;

	if (size < 1 || ctl_screen_new(80, 24, &s) != SP_OK)
		return 0;
	ctl_frames_init(&f, on_frame, s);
	if (data[0] & 1) {
		size_t half = (size - 1) / 2;

		ctl_screen_feed(s, data + 1, half);
		check(s);
		ctl_screen_resize(s, data[0] + 2u, data[0] / 2u + 2);
		ctl_screen_feed(s, data + 1 + half, size - 1 - half);
	} else {
		(void)!ctl_frames_feed(&f, data + 1, size - 1);
	}
	check(s);
	ctl_frames_release(&f);
	ctl_screen_free(s);
	return 0;
}
