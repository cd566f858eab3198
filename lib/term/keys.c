/* lib/term/keys.c - keys of a terminal (xterm) as a line editor (emacs mode) takes them. A CR or LF is Enter in every state but
 * a bracketed paste that the program asked for: no unfinished sequence hides one. */
#include "term/keys.h"

enum { K_GROUND, K_ESC, K_SS3, K_CSI, K_STRING };

static const uint8_t control_keys[32] = {
	['C' - 64] = SP_TKEY_BREAK, ['Z' - 64] = SP_TKEY_BREAK, ['\\' - 64] = SP_TKEY_BREAK,
	['J' - 64] = SP_TKEY_ENTER, ['M' - 64] = SP_TKEY_ENTER, ['O' - 64] = SP_TKEY_ENTER,
	['H' - 64] = SP_TKEY_ERASE, ['U' - 64] = SP_TKEY_KILL,
	['A' - 64] = SP_TKEY_EDIT, ['B' - 64] = SP_TKEY_EDIT, ['D' - 64] = SP_TKEY_EDIT, ['E' - 64] = SP_TKEY_EDIT,
	['F' - 64] = SP_TKEY_EDIT, ['K' - 64] = SP_TKEY_EDIT, ['L' - 64] = SP_TKEY_EDIT, ['N' - 64] = SP_TKEY_EDIT,
	['P' - 64] = SP_TKEY_EDIT, ['R' - 64] = SP_TKEY_EDIT, ['S' - 64] = SP_TKEY_EDIT, ['T' - 64] = SP_TKEY_EDIT,
	['W' - 64] = SP_TKEY_EDIT, ['Y' - 64] = SP_TKEY_EDIT, ['_' - 64] = SP_TKEY_EDIT,
};

static enum sp_track_key
key_csi(struct sp_keys *k, uint8_t b, int paste_on)
{
	if (b >= '0' && b <= '9') {
		k->param = k->param < 100000 ? k->param * 10 + (b - '0') : k->param;
		return SP_TKEY_NONE;
	}
	if (b < 0x40 || b > 0x7e) {
		k->param_n++;
		return SP_TKEY_NONE;
	}
	k->state = K_GROUND;
	switch (b) {
	case '~':
		if (k->param != 200 && k->param != 201)
			return SP_TKEY_EDIT;
		k->paste = k->param == 200 && paste_on;
		return k->param == 200 && !paste_on ? SP_TKEY_WILD : SP_TKEY_NONE;	/* a paste that nobody asked for */
	case 'M':
		k->skip = k->param_n == 0 ? 3 : 0;	/* X10 mouse: three bytes follow */
		return SP_TKEY_NONE;
	case 'm':
	case 'I':
	case 'O':
	case 'R':
	case 'c':
	case 'n':
	case 't':
	case 'y':
		return SP_TKEY_NONE;
	default:
		return SP_TKEY_EDIT;
	}
}

static enum sp_track_key
key_esc(struct sp_keys *k, uint8_t b)
{
	k->state = K_GROUND;
	switch (b) {
	case '[':
		k->state = K_CSI;
		k->param = k->param_n = 0;
		return SP_TKEY_NONE;
	case 'O':
		k->state = K_SS3;
		return SP_TKEY_NONE;
	case ']':
	case 'P':
	case '_':
		k->state = K_STRING;		/* an answer of the terminal */
		return SP_TKEY_NONE;
	default:
		return SP_TKEY_WILD;
	}
}

enum sp_track_key
sp_keys_byte(struct sp_keys *k, uint8_t b, int paste_on)
{
	if (!paste_on)
		k->paste = 0;
	if (b == '\r' || b == '\n') {
		k->state = K_GROUND;
		k->skip = 0;
		return k->paste ? SP_TKEY_NEWLINE : SP_TKEY_ENTER;
	}
	if (k->skip > 0) {
		k->skip--;
		return SP_TKEY_NONE;
	}
	if (b == 0x1b) {
		k->state = K_ESC;
		return SP_TKEY_NONE;
	}
	switch (k->state) {
	case K_ESC:
		return key_esc(k, b);
	case K_SS3:
		k->state = K_GROUND;
		return SP_TKEY_EDIT;
	case K_CSI:
		return key_csi(k, b, paste_on);
	case K_STRING:
		if (b == '\a' || b == '\\')
			k->state = K_GROUND;
		return SP_TKEY_NONE;
	default:
		break;
	}
	if (b >= 0x20 && b != 0x7f)
		return SP_TKEY_CHAR;
	if (k->paste)
		return b == '\t' ? SP_TKEY_CHAR : SP_TKEY_WILD;
	if (b == 0x7f)
		return SP_TKEY_ERASE;
	return control_keys[b] != 0 ? (enum sp_track_key)control_keys[b] : SP_TKEY_WILD;
}
