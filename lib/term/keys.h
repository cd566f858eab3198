/* lib/term/keys.h - bytes of a keyboard into what they mean for a line editor. Pure. */
#ifndef SP_TERM_KEYS_H
#define SP_TERM_KEYS_H

#include <stdint.h>

enum sp_track_key {
	SP_TKEY_NONE,		/* part of a sequence, or not typed at all: an answer of the terminal, mouse, focus */
	SP_TKEY_CHAR,		/* a byte of text */
	SP_TKEY_ENTER,		/* CR, LF, Ctrl-O: may run the line */
	SP_TKEY_NEWLINE,		/* CR or LF inside a bracketed paste */
	SP_TKEY_ERASE,		/* backspace */
	SP_TKEY_KILL,		/* Ctrl-U */
	SP_TKEY_BREAK,		/* Ctrl-C, Ctrl-Z, Ctrl-\ : throws the line away */
	SP_TKEY_EDIT,		/* moves or changes in a way that only the screen shows; prints no line of its own */
	SP_TKEY_WILD,		/* anything: completion, keys without a usual meaning */
};
struct sp_keys {
	uint8_t		state, paste, param_n;
	unsigned	param, skip;
};

/* The next byte. paste_on: the program has asked for bracketed pastes. */
enum sp_track_key	sp_keys_byte(struct sp_keys *k, uint8_t b, int paste_on);

#endif
