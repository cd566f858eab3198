/* lib/term/track.h - which line does Enter run? Process: scribe. Pure: no I/O; the caller gives bytes and time.
 *
 * Two witnesses are held beside each other: what was typed, as long as it was plain (letters, backspace, pastes), and what
 * stands on the virtual screen between the end of the prompt and the cursor at the moment the line feed comes back that
 * Enter caused. Only where nothing speaks against the reading is it `certain`. What was typed and never shown (a password)
 * is never kept: its record has no text.
 * Invariants: (1) Every Enter that ran something visible gives one record, in order; at the latest SP_TRACK_LATE_US later
 * or at the end. (2) Text of a record was on the screen. (3) Memory: the terminal, SP_TRACK_PENDING_MAX lines of at most
 * SP_TRACK_TEXT_MAX bytes each. (4) Nothing printed or typed switches it off: full-screen programs suspend it while they
 * have the alternate screen, and lines at a prompt inside (tmux, screen) are read there. */
#ifndef SP_TERM_TRACK_H
#define SP_TERM_TRACK_H

#include <stdint.h>

#include "base/buf.h"
#include "term/term.h"

#define SP_TRACK_TEXT_MAX	(256u * 1024)	/* bytes of one line; longer ones are cut and uncertain */
#define SP_TRACK_PENDING_MAX	32u
#define SP_TRACK_WAIT_US		150000u		/* that Enter waits for its echo at most */
#define SP_TRACK_CLEAR_US	2000000u	/* that a refused line may take to go */
#define SP_TRACK_LATE_US		30000000u
#define SP_TRACK_PROMPT_MAX	256u		/* bytes */
#define SP_TRACK_NAME_MAX	64u

struct sp_track_record {
	uint64_t	number;		/* 1, 2, 3... */
	struct sp_view	text;		/* borrowed for the call; UTF-8; blanks at its end are left out */
	uint64_t	at_us;		/* when Enter was forwarded */
	int		certain;
	int		hidden;		/* typed without echo: there is no text */
	int		cut;		/* longer than SP_TRACK_TEXT_MAX */
	int		no_enter;	/* ran without Enter: a key of the line editor was bound to that */
	const char	*prompt;	/* what stood before it; "" if nothing or unknown */
};
typedef void sp_track_fn(const struct sp_track_record *r, void *arg);
/* The command of that number has ended: the prompt is back, or something else was typed. */
typedef void sp_track_end_fn(uint64_t number, uint64_t end_us, void *arg);

struct sp_track_answer {
	struct sp_view	text;		/* borrowed until the next call; what is on the screen, or, uncertain, typed and not yet
					 * shown; nothing when hidden */
	int		certain, hidden;
	const char	*prompt;
};

struct sp_track;

/* fn, end: may be NULL. SP_ENOMEM. */
enum sp_err	sp_track_new(unsigned cols, unsigned rows, sp_track_fn *fn, sp_track_end_fn *end, void *arg, struct sp_track **ret)
		    SP_MUST_USE;
void		sp_track_free(struct sp_track *l);	/* NULL is fine; pending lines are dropped */
/* Bytes that went to the target, in order, each Enter alone or last. */
void		sp_track_input(struct sp_track *l, const void *p, size_t n, uint64_t now_us);
void		sp_track_output(struct sp_track *l, const void *p, size_t n, uint64_t now_us);
enum sp_err	sp_track_resize(struct sp_track *l, unsigned cols, unsigned rows) SP_MUST_USE;
/* Time passes: late lines, ends of commands. */
void		sp_track_tick(struct sp_track *l, uint64_t now_us);
/* The channel has ended: what is pending becomes records. */
void		sp_track_finish(struct sp_track *l, uint64_t now_us);
/* Enter waits since asked_us. True: the echo has settled or the wait is over; *ret says what will run. */
int		sp_track_settled(struct sp_track *l, uint64_t asked_us, uint64_t now_us, struct sp_track_answer *ret) SP_MUST_USE;
/* The line that is typed is going to be cleared, because it was refused: what runs from now on, ran against that. */
void		sp_track_clear(struct sp_track *l);
/* Keys that clear it went out by asked_us. True: it is off the screen (ret->certain, with the prompt before it), or something ran
 * (*ret_ran), or the wait is over. */
int		sp_track_cleared(struct sp_track *l, uint64_t asked_us, uint64_t now_us, struct sp_track_answer *ret, int *ret_ran) SP_MUST_USE;
/* Whether anything waits for sp_track_tick. */
int		sp_track_busy(const struct sp_track *l);
const struct sp_term *sp_track_term(const struct sp_track *l);

/* Bytes of p that may be forwarded at once: up to the first one that may run a line (CR, LF, Ctrl-O), which is to be held. Here,
 * because the session needs this and nothing else of the tracker. */
static inline size_t
sp_track_free_run(const void *data, size_t n)
{
	const uint8_t *p = data;
	size_t i = 0;

	while (i < n && p[i] != '\r' && p[i] != '\n' && p[i] != 0x0f)
		i++;
	return i;
}
/* Login and host that a prompt such as "root@web1:~# " or "[root@web1 ~]$ " shows. False: it shows none. */
int		sp_track_place(const char *prompt, char user[SP_TRACK_NAME_MAX], char host[SP_TRACK_NAME_MAX]) SP_MUST_USE;

/* The directory that such a prompt shows behind the host: "/etc" of "root@web1:/etc# ", "~" of "[root@web1 ~]$ "; "": none. */
void		sp_track_directory(const char *prompt, char dst[SP_TRACK_PROMPT_MAX]);

#endif
