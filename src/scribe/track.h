/* src/scribe/track.h - the commands of one terminal channel: its keys and output go to the line tracker (lib/term/track.h), what
 * it finds becomes events, and the session's question at Enter gets its answer. Process: scribe.
 *
 * Events "command" {channel, number, how, text, certain, hidden, no_enter, offset_us, prompt, prompt_user, prompt_host}: a line ran.
 * "command-end" {channel, number, offset_us}: the prompt is back, or the next line is typed, or the channel ended.
 * "command-output" {channel, number, text, bytes, cut}: before its end, where output is kept: what it printed, as text (outtext.h).
 * Invariants: (1) a question is answered at the latest SP_TRACK_WAIT_US (and a tick) after it came. (2) A tracker that cannot
 * go on says so once, in an event "untracked", and answers every question at once: the session goes on. */
#ifndef SP_SCRIBE_TRACK_H
#define SP_SCRIBE_TRACK_H

#include "base/loop.h"
#include "ipc/recdata.h"
#include "sallyport.pb-c.h"
#include "scribe/outtext.h"
#include "term/track.h"

#define SP_TRACK_EVENT_TEXT	80000u		/* bytes of a command that an event holds; the recording holds all */

/* What the tracker needs of its recorder. */
struct sp_scribe_track_host {
	void	(*event)(void *arg, const char *kind, const struct sp_buf *body);	/* body: a JSON object */
	void	(*answer)(void *arg, const Sallyport__LineReply *reply);
	void	*arg;
	uint64_t start_us;			/* boottime of the beginning of the recording */
	int	 output;			/* keep what commands print */
};
struct sp_scribe_track;
struct sp_jsonw;

/* The event "command-output" of a command, and o is freed. number 0: an exec request. */
void		sp_scribe_output_told(const struct sp_scribe_track_host *h, uint32_t channel, uint64_t number, struct sp_outtext *o,
		    const char *const prompts[2]);
/* "text" of an event about a command; beyond SP_TRACK_EVENT_TEXT bytes it is cut, and "text_bytes" says how long it was. */
void		sp_scribe_put_text(struct sp_jsonw *j, const char *p, size_t n);
/* SP_ENOMEM. */
enum sp_err	sp_scribe_track_new(struct sp_loop *loop, const struct sp_scribe_track_host *host, uint32_t channel,
		    unsigned cols, unsigned rows, struct sp_scribe_track **ret) SP_MUST_USE;
void		sp_scribe_track_free(struct sp_scribe_track *t);	/* NULL is fine; says nothing more */
void		sp_scribe_track_data(struct sp_scribe_track *t, enum sp_rec_stream stream, struct sp_view v, uint64_t at_us);
void		sp_scribe_track_resize(struct sp_scribe_track *t, unsigned cols, unsigned rows);
void		sp_scribe_track_ask(struct sp_scribe_track *t, uint64_t number, int cleared);	/* LINE_ASK */
/* A rule looked at this line, and it runs all the same: the record of the line will say so. Texts borrowed. */
void		sp_scribe_track_judged(struct sp_scribe_track *t, struct sp_view text, const char *rule, const char *rule_id, const char *action,
		    const char *risk);
void		sp_scribe_track_end(struct sp_scribe_track *t);	/* the channel has ended: what is pending becomes events */

#endif
