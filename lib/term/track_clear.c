/* lib/term/track_clear.c - after a line was refused: is it off the screen, and did a key that was to clear it run it? See track.h. */
#include "term/track.h"

#include <string.h>

#include "term/track_int.h"

#define FEEDS_OF_BREAK	2u	/* line feeds that a shell prints for Ctrl-C, at most */

void
sp_track_clear(struct sp_track *l)
{
	l->clear_number = l->number;
	l->clear_lost = l->lost.len;
	l->clear_feeds = l->feeds;
}

/* The cursor stands behind a prompt, and nothing behind it: one seen before, or what looks like a shell's. */
static int
is_at_prompt(const struct sp_track *l)
{
	char left[SP_TRACK_PROMPT_MAX], right[RIGHT_MAX];
	size_t n;

	line_sides(l, left, sizeof(left), right, sizeof(right));
	n = strlen(left);
	return !l->awaiting && right[0] == '\0' && n > 0 &&
	    (line_prompt_known(l, left) || (n >= 2 && left[n - 1] == ' ' && strchr("$#%>", left[n - 2]) != NULL));
}

/* A line that was typed before its prompt came is not found where it began: then the prompt counts, if nothing moved on. */
static int
is_empty(struct sp_track *l, const char **ret_prompt)
{
	int doubt;

	*ret_prompt = l->prompts[0];
	if (!l->draft.active)				/* after Ctrl-C */
		return is_at_prompt(l) && l->feeds - l->clear_feeds <= FEEDS_OF_BREAK;
	if (line_read(l, &l->draft, &l->text, &doubt, ret_prompt) == FOUND_START)
		return l->text.len == 0;
	return is_at_prompt(l) && l->feeds == l->clear_feeds;
}

int
sp_track_cleared(struct sp_track *l, uint64_t asked_us, uint64_t now_us, struct sp_track_answer *ret, int *ret_ran)
{
	int late = now_us >= asked_us + SP_TRACK_CLEAR_US, empty;
	const char *prompt;

	*ret_ran = l->number != l->clear_number || (l->clear_lost == 0 && l->lost.len > 0);
	empty = is_empty(l, &prompt);
	if (!empty && !late && !*ret_ran)
		return 0;
	*ret = (struct sp_track_answer){ .certain = empty && !*ret_ran, .prompt = prompt };
	return 1;
}
