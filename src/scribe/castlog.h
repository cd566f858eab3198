/* src/scribe/castlog.h - what happens in a session, as lines of its recording (docs/protocol/recording.md). Process: scribe.
 *
 * One terminal at a time is "on the air": its bytes are the events that stock players show (o, i, r). The first terminal is
 * until it closes, then the oldest that is open. Everything else travels in codes that players skip: other channels (x, y),
 * bytes that are no UTF-8 (b in front of the o that shows them with U+FFFD), key frames (k) at the beginning of every
 * zstd frame, and what the recorder knows (e). Invariants: every byte that is given is in exactly one event (o, i, x, or b, y
 * in their place), or is in the e event that says how many were left out; a character that is cut waits for its rest. */
#ifndef SP_SCRIBE_CASTLOG_H
#define SP_SCRIBE_CASTLOG_H

#include "base/list.h"
#include "ipc/recdata.h"
#include "scribe/echo.h"
#include "scribe/recwriter.h"
#include "term/term.h"

#define SP_CAST_PIECE	(8u * 1024)	/* bytes of a stream in one line */

struct sp_castlog;
struct sp_castchan {			/* one channel; embedded by who knows more about it */
	struct sp_castlog *log;
	struct sp_list	link;		/* terminals, oldest first */
	uint32_t	id, cols, rows;
	struct sp_term	*term;		/* the screen; NULL: no terminal */
	struct sp_echo	*echo;		/* the same */
	uint8_t		held[SP_REC_STREAMS][4];
	size_t		held_n[SP_REC_STREAMS];
	uint64_t	now_us;		/* time of what is being decided */
	enum sp_err	failed;		/* of a line that an echo decision wrote */
};
struct sp_castlog {
	struct sp_recwriter *w;		/* borrowed */
	struct sp_buf	line, text, key;
	struct sp_list	terminals;
	struct sp_castchan *air;	/* NULL: no terminal is open */
	int		aired;		/* there was one */
};

void		sp_castlog_init(struct sp_castlog *l, struct sp_recwriter *w);
void		sp_castlog_release(struct sp_castlog *l);
/* The first line. about: a JSON object, kept as "sallyport". Times below are boottime, microseconds. Errors of all: those of
 * sp_recwriter_put(). */
enum sp_err	sp_castlog_header(struct sp_castlog *l, int64_t wall_us, const char *title, struct sp_view about) SP_MUST_USE;
/* A further segment was begun behind the header: what is on the air, and the sizes of the other terminals, once more. */
enum sp_err	sp_castlog_again(struct sp_castlog *l, uint64_t at_us) SP_MUST_USE;
/* What the recorder knows: a JSON object with a member "kind". last: may use what was set aside. */
enum sp_err	sp_castlog_note(struct sp_castlog *l, uint64_t at_us, struct sp_view json, int last) SP_MUST_USE;
enum sp_err	sp_castlog_marker(struct sp_castlog *l, uint64_t at_us, const char *text) SP_MUST_USE;
/* A channel opens. cols 0: no terminal. ch is zeroed by the caller, stays at its place, and is closed once. */
enum sp_err	sp_castchan_open(struct sp_castchan *ch, struct sp_castlog *l, uint32_t id, uint32_t cols, uint32_t rows, uint64_t at_us)
		    SP_MUST_USE;
enum sp_err	sp_castchan_data(struct sp_castchan *ch, enum sp_rec_stream stream, struct sp_view v, uint64_t at_us) SP_MUST_USE;
enum sp_err	sp_castchan_resize(struct sp_castchan *ch, uint32_t cols, uint32_t rows, uint64_t at_us) SP_MUST_USE;
/* Input that waits for its echo, now and then. */
enum sp_err	sp_castchan_settle(struct sp_castchan *ch, uint64_t at_us) SP_MUST_USE;
/* The rest of what was held back; the next terminal goes on the air. ch is empty then, whatever is returned. */
enum sp_err	sp_castchan_close(struct sp_castchan *ch, uint64_t at_us) SP_MUST_USE;

#endif
