/* tests/unit/lib/term/ptyline.c - drive a program on a pseudo terminal over a line with a round trip, type as people do, and
 * print the lines that the tracker saw. Enter is held as a session holds it.
 *   ptyline RTT_MS COLS ROWS PROGRAM ARGS...
 * Script on standard input, one step a line:
 *   send HEX       type these bytes, in one packet
 *   keys HEX       type them one by one
 *   see TEXT       wait until the last Enter was answered by a line feed and what stands left of the cursor ends with TEXT
 *   show TEXT      wait until TEXT stands anywhere on the screen
 *   line TEXT      wait until a line begins with TEXT
 *   paste          wait until the program asks for bracketed pastes
 *   size COLS ROWS
 * Output: one JSON object a line for each record, and at the end {"held_us": ...} for the longest wait of an Enter. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "term/track.h"

#define PATIENCE_US	30000000u

struct packet {
	struct packet	*next;
	uint64_t	 due_us;
	size_t		 n;
	uint8_t		 p[];
};
struct queue {
	struct packet	*head, **tail;
};
struct wire {
	int		 fd;
	uint64_t	 half_us;
	struct queue	 to, from;
	struct sp_track	*line;
	uint64_t	 held_us, answer_us;	/* answer_us: the first moment at which an answer to the last Enter can come */
	int		 fed, closed;		/* fed: a line feed has come since */
};

static void
queue_put(struct queue *q, const uint8_t *p, size_t n, uint64_t due_us)
{
	struct packet *k = malloc(sizeof(*k) + n);

	if (k == NULL)
		abort();
	k->next = NULL;
	k->due_us = due_us;
	k->n = n;
	memcpy(k->p, p, n);
	*q->tail = k;
	q->tail = &k->next;
}

static struct packet *
queue_due(struct queue *q, uint64_t now_us)
{
	struct packet *k = q->head;

	if (k == NULL || k->due_us > now_us)
		return NULL;
	if ((q->head = k->next) == NULL)
		q->tail = &q->head;
	return k;
}

static void
print_text(const char *name, struct sp_view v)
{
	printf("\"%s\": \"", name);
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] < 0x20 || v.p[i] == '"' || v.p[i] == '\\')
			printf("\\u%04x", v.p[i]);
		else
			putchar(v.p[i]);
	printf("\"");
}

static void
print_record(const struct sp_track_record *r, void *arg)
{
	printf("{");
	print_text("text", r->text);
	printf(", \"certain\": %s, \"hidden\": %s, \"no_enter\": %s, ", r->certain ? "true" : "false",
	    r->hidden ? "true" : "false", r->no_enter ? "true" : "false");
	print_text("prompt", (struct sp_view){ (const uint8_t *)r->prompt, strlen(r->prompt) });
	printf("}\n");
}

/* Move bytes both ways for at most a millisecond. */
static void
wire_step(struct wire *w)
{
	struct pollfd p = { w->fd, POLLIN, 0 };
	uint8_t buf[65536];
	struct packet *k;
	ssize_t n;

	if (!w->closed && poll(&p, 1, 1) > 0) {
		if ((n = read(w->fd, buf, sizeof(buf))) > 0)
			queue_put(&w->from, buf, (size_t)n, sp_now_us() + w->half_us);
		else if (n == 0 || errno != EAGAIN)
			w->closed = 1;
	}
	while ((k = queue_due(&w->from, sp_now_us())) != NULL) {
		if (sp_now_us() >= w->answer_us && memchr(k->p, '\n', k->n) != NULL)
			w->fed = 1;
		sp_track_output(w->line, k->p, k->n, sp_now_us());
		free(k);
	}
	while (w->to.head != NULL && w->to.head->due_us <= sp_now_us() && !w->closed) {
		k = w->to.head;
		n = write(w->fd, k->p, k->n);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n > 0 && (size_t)n < k->n) {
			memmove(k->p, k->p + n, k->n - (size_t)n);
			k->n -= (size_t)n;
			break;
		}
		free(queue_due(&w->to, UINT64_MAX));
	}
	sp_track_tick(w->line, sp_now_us());
}

static void
wire_forward(struct wire *w, const uint8_t *p, size_t n)
{
	if (n == 0)
		return;
	sp_track_input(w->line, p, n, sp_now_us());
	queue_put(&w->to, p, n, sp_now_us() + w->half_us);
}

static void
wire_type(struct wire *w, const uint8_t *p, size_t n)
{
	while (n > 0) {
		size_t run = sp_track_free_run(p, n);
		struct sp_track_answer a;
		uint64_t asked, took;

		wire_forward(w, p, run);
		p += run;
		n -= run;
		if (n == 0)
			break;
		asked = sp_now_us();
		while (!sp_track_settled(w->line, asked, sp_now_us(), &a))
			wire_step(w);
		if ((took = sp_now_us() - asked) > w->held_us)
			w->held_us = took;
		wire_forward(w, p, 1);
		w->answer_us = sp_now_us() + 2 * w->half_us;
		w->fed = 0;
		p++;
		n--;
	}
}

enum where { AT_CURSOR, AT_START, ANYWHERE, PASTE_MODE };

static int
screen_has(struct wire *w, const char *text, enum where where)
{
	const struct sp_term *t = sp_track_term(w->line);
	unsigned y, x, cols = sp_term_cols(t);
	size_t n = strlen(text);
	struct sp_buf b;
	int found = 0;

	if (where == PASTE_MODE)
		return (sp_term_modes(t) & SP_MODE_PASTE) != 0;
	sp_term_cursor(t, &y, &x);
	sp_buf_init(&b, 1 << 24);
	for (unsigned i = 0; i < sp_term_rows(t) && !found; i++) {
		if (i > 0 && !sp_term_wrapped(t, i - 1))
			sp_buf_reset(&b);
		if (sp_term_text(t, i, 0, i == y && where == AT_CURSOR ? x : cols, &b) != SP_OK)
			abort();
		if (i == y && where == AT_CURSOR)
			found = b.len >= n && (n == 0 || memcmp(b.p + b.len - n, text, n) == 0);
		else if (where == AT_START)
			found = b.len >= n && memcmp(b.p, text, n) == 0;
		else if (where == ANYWHERE)
			found = memmem(b.p, b.len, text, n) != NULL;
	}
	sp_buf_release(&b);
	return found;
}

static void
wire_await(struct wire *w, const char *text, enum where where)
{
	uint64_t end = sp_now_us() + PATIENCE_US;

	do {
		if (sp_now_us() > end || w->closed) {
			struct sp_buf b;

			sp_buf_init(&b, 1 << 24);
			for (unsigned y = 0; y < sp_term_rows(sp_track_term(w->line)); y++)
				(void)!(sp_term_text(sp_track_term(w->line), y, 0, 500, &b) == SP_OK &&
				    sp_buf_append_str(&b, "\n") == SP_OK);
			fprintf(stderr, "ptyline: %s \"%s\"; the screen:\n%s\n", w->closed ? "the program ended before" :
			    "never saw", text, sp_buf_cstr(&b));
			exit(1);
		}
		wire_step(w);
	} while (!w->fed || !screen_has(w, text, where));
}

static size_t
unhex(const char *s, uint8_t *dst, size_t size)
{
	size_t n = strcspn(s, "\n") / 2;

	if (n > size || sp_hex_parse(s, dst, n) != SP_OK) {
		fprintf(stderr, "ptyline: bad hex\n");
		exit(64);
	}
	return n;
}

static void
run_step(struct wire *w, char *step)
{
	static uint8_t bytes[1 << 20];
	char *arg = strchr(step, ' ');
	struct winsize ws = { 0 };
	unsigned cols, rows;
	size_t n;

	arg = arg != NULL ? arg + 1 : step + strlen(step);
	arg[strcspn(arg, "\n")] = '\0';
	if (strncmp(step, "send ", 5) == 0) {
		wire_type(w, bytes, unhex(arg, bytes, sizeof(bytes)));
	} else if (strncmp(step, "keys ", 5) == 0) {
		n = unhex(arg, bytes, sizeof(bytes));
		for (size_t i = 0; i < n; i++) {
			wire_type(w, bytes + i, 1);
			wire_step(w);
		}
	} else if (strncmp(step, "see ", 4) == 0) {
		wire_await(w, arg, AT_CURSOR);
	} else if (strncmp(step, "paste", 5) == 0) {
		wire_await(w, arg, PASTE_MODE);
	} else if (strncmp(step, "show ", 5) == 0) {
		wire_await(w, arg, ANYWHERE);
	} else if (strncmp(step, "line ", 5) == 0) {
		wire_await(w, arg, AT_START);
	} else if (sscanf(arg, "%u %u", &cols, &rows) == 2) {
		ws.ws_col = (unsigned short)cols;
		ws.ws_row = (unsigned short)rows;
		if (sp_track_resize(w->line, cols, rows) != SP_OK || ioctl(w->fd, TIOCSWINSZ, &ws) != 0)
			exit(71);
	}
}

int
main(int argc, char **argv)
{
	static char step[1 << 21];
	struct winsize ws = { 0 };
	struct wire w = { 0 };
	pid_t pid;

	if (argc < 5)
		return 64;
	ws.ws_col = (unsigned short)atoi(argv[2]);
	ws.ws_row = (unsigned short)atoi(argv[3]);
	w.half_us = (uint64_t)atoi(argv[1]) * 500;
	w.fed = 1;
	w.to.tail = &w.to.head;
	w.from.tail = &w.from.head;
	if (sp_track_new(ws.ws_col, ws.ws_row, print_record, NULL, NULL, &w.line) != SP_OK)
		return 71;
	if ((pid = forkpty(&w.fd, NULL, NULL, &ws)) == 0) {
		signal(SIGINT, SIG_DFL);		/* a test that runs in the background may have them ignored */
		signal(SIGQUIT, SIG_DFL);
		execvp(argv[4], argv + 4);
		_exit(127);
	}
	if (pid < 0 || fcntl(w.fd, F_SETFL, O_NONBLOCK) != 0)
		return 71;
	while (fgets(step, sizeof(step), stdin) != NULL)
		run_step(&w, step);
	sp_track_finish(w.line, sp_now_us());
	printf("{\"held_us\": %llu}\n", (unsigned long long)w.held_us);
	kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	sp_track_free(w.line);
	return 0;
}
