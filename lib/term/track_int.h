/* lib/term/track_int.h - what the files of the line tracker share: track.c (events into records), track_read.c (finding and
 * reading a line on the screen). */
#ifndef SP_TERM_TRACK_INT_H
#define SP_TERM_TRACK_INT_H

#include "term/keys.h"
#include "term/track.h"

#define PROMPTS		8u
#define RIGHT_MAX	128u

/* A line that is being typed, or whose Enter has gone out. */
struct draft {
	int		active;
	int		exact;		/* model is what the line editor holds */
	int		wild;		/* a key that may print lines of its own was among them */
	int		start_ok;	/* typing began at rest: nothing was on its way */
	int		alt;		/* on the alternate screen */
	int		quiet_prompt;	/* alt: what stands before it looks like a prompt */
	int		overflow;
	int		seen;		/* exact: the model stood on the screen, if not where it was looked for */
	unsigned	skips;		/* line feeds that were taken for moves inside the line */
	size_t		skip_len;	/* bytes that stood there at the last of them */
	uint64_t	row;		/* absolute: rows scrolled away + row on the screen */
	unsigned	col;
	unsigned	typed_n;	/* characters in the model */
	uint64_t	enter_us, begun_us, last_us;
	struct sp_buf	model;		/* typed text, never shown to anybody before the screen shows it */
	struct sp_buf	gone;		/* rows of it that scrolled away, from the start of the line */
	char		prompt[SP_TRACK_PROMPT_MAX];
	char		right[RIGHT_MAX];	/* what stood on its row further right when it began */
};
struct sp_track {
	struct sp_term	*term;
	struct sp_keys	keys;
	struct draft	draft, pending[SP_TRACK_PENDING_MAX];
	unsigned	pending_n;
	sp_track_fn	*fn;
	sp_track_end_fn	*end;
	void		*arg;
	uint64_t	number, running;	/* the last record; the one whose end is not known, 0: none */
	uint64_t	out_us, in_us, rtt_us;
	int		rtt_open;		/* the first character of a line waits for its echo */
	int		awaiting;		/* after Ctrl-C and the like: until a line feed comes */
	char		prompts[PROMPTS][SP_TRACK_PROMPT_MAX];	/* latest first */
	struct sp_buf	lost, text, answer;	/* a line that a line feed left without Enter; scratch */
	char		lost_prompt[SP_TRACK_PROMPT_MAX];
	uint64_t	clear_number;		/* track_clear.c: what there was when clearing began */
	size_t		clear_lost;
	uint64_t	clear_feeds, feeds;	/* line feeds printed */
};

/* How a line was found. */
enum found {
	FOUND_NOT,		/* text is the whole line of the cursor */
	FOUND_KNOWN,		/* behind a prompt seen before */
	FOUND_START,		/* where typing began, at rest */
};
/* Read the line of d from the screen: from its start to the end of the cursor's row. *ret_doubt: rows may have been joined
 * wrongly. Text is replaced; cut at SP_TRACK_TEXT_MAX. */
enum found	line_read(const struct sp_track *l, const struct draft *d, struct sp_buf *text, int *ret_doubt,
		    const char **ret_prompt);
/* What stands on the cursor's row before and behind the cursor. */
void		line_sides(const struct sp_track *l, char *left, size_t left_size, char *right, size_t right_size);
int		line_prompt_known(const struct sp_track *l, const char *prompt);
/* The longest known prompt that is a proper beginning of text; NULL: none. */
const char	*line_prompt_of(const struct sp_track *l, const char *text);
void		line_gone(struct sp_term *t, uint64_t row, void *arg);
/* Equal but for the kind and number of blanks between words, and blanks at the end. */
int		line_same(struct sp_view a, struct sp_view b);
int		line_begins(struct sp_view whole, struct sp_view part);		/* in the same sense */
/* text ends with a line of its own kind: `end` preceded by a blank or nothing. */
int		line_ends_with(struct sp_view text, struct sp_view end);
void		line_trim(struct sp_buf *b);

#endif
