/* tests/unit/lib/term/termscreen.c - print what a stream on standard input leaves on a screen.
 *   termscreen COLS ROWS          the rows, then "cursor ROW COL"
 *   termscreen -d COLS ROWS       its key frame
 *   termscreen -b COLS ROWS N     feed the stream N times, print nothing but MB/s */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "term/term.h"

static void
read_all(struct sp_buf *b)
{
	ssize_t n;

	while (sp_buf_reserve(b, 65536) == SP_OK && (n = read(0, b->p + b->len, 65536)) > 0)
		b->len += (size_t)n;
}

static void
print_screen(const struct sp_term *t)
{
	struct sp_buf b;
	unsigned y, x;

	sp_buf_init(&b, 64u << 20);
	for (y = 0; y < sp_term_rows(t); y++)
		if (sp_term_text(t, y, 0, sp_term_used(t, y), &b) != SP_OK || sp_buf_append_str(&b, "\n") != SP_OK)
			abort();
	sp_term_cursor(t, &y, &x);
	printf("%scursor %u %u\n", sp_buf_cstr(&b), y, x);
	sp_buf_release(&b);
}

static void
bench(struct sp_term *t, const struct sp_buf *in, unsigned times)
{
	uint64_t start = sp_now_us();

	for (unsigned i = 0; i < times; i++)
		sp_term_write(t, in->p, in->len);
	printf("%.1f\n", (double)in->len * times / (double)(sp_now_us() - start));
}

int
main(int argc, char **argv)
{
	int option = argc > 1 && argv[1][0] == '-' ? argv[1][1] : 0, at = option ? 2 : 1;
	struct sp_buf in, out;
	struct sp_term *t;

	if (argc < at + 2)
		return 64;
	sp_buf_init(&in, 1u << 30);
	sp_buf_init(&out, 64u << 20);
	read_all(&in);
	if (sp_term_new((unsigned)atoi(argv[at]), (unsigned)atoi(argv[at + 1]), &t) != SP_OK)
		return 71;
	if (option == 'b' && argc > at + 2)
		bench(t, &in, (unsigned)atoi(argv[at + 2]));
	else
		sp_term_write(t, in.p, in.len);
	if (option == 'd' && sp_term_dump(t, &out) == SP_OK)
		(void)fwrite(out.p, 1, out.len, stdout);
	else if (option == 0)
		print_screen(t);
	sp_term_free(t);
	sp_buf_release(&in);
	sp_buf_release(&out);
	return 0;
}
