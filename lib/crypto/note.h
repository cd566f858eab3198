/* lib/crypto/note.h - signed notes and checkpoints (C2SP signed-note, tlog-checkpoint, tlog-cosignature): a text that people
 * can read, with Ed25519 signatures that name their keys. Pure.
 * A note is text (ends with a newline), an empty line, and signature lines. A key is named by its name and the first four
 * bytes of a hash over name, kind and key, so a signature says which key it claims; it proves nothing until checked. */
#ifndef SP_CRYPTO_NOTE_H
#define SP_CRYPTO_NOTE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "crypto/sign.h"
#include "crypto/tlog.h"

#define SP_NOTE_MAX		((size_t)64 * 1024)	/* bytes of a whole note */
#define SP_NOTE_NAME_MAX	128			/* bytes of a key's name */
#define SP_NOTE_SIGS_MAX	32			/* signature lines that are read */
#define SP_NOTE_VKEY_SIZE	(SP_NOTE_NAME_MAX + 1 + 8 + 1 + 48 + 1)

enum sp_note_kind {
	SP_NOTE_ED25519 = 1,		/* signs the text */
	SP_NOTE_COSIGNATURE = 4		/* cosignature/v1: signs a time and the text */
};
struct sp_note_key {
	char			name[SP_NOTE_NAME_MAX + 1];
	enum sp_note_kind	kind;
	uint8_t			pk[SP_ED25519_PK];
};
struct sp_checkpoint {
	char			origin[SP_NOTE_NAME_MAX + 1];
	uint64_t		size;
	struct sp_tlog_hash	root;
};

/* 1: a name that a key may have: 1..SP_NOTE_NAME_MAX bytes of UTF-8 without spaces, control characters and '+'. */
int		sp_note_name_ok(const char *name) SP_MUST_USE;
/* The text that verifiers are given: NAME+ID+KEY. SP_EINVAL: name. */
enum sp_err	sp_note_key_text(const struct sp_note_key *k, char ret[SP_NOTE_VKEY_SIZE]) SP_MUST_USE;
/* SP_EFORMAT: not such a text, or its id does not belong to name and key. SP_EVERSION: another kind of key. */
enum sp_err	sp_note_key_parse(const char *text, size_t len, struct sp_note_key *ret) SP_MUST_USE;

/* Append the signature line for `text` by that key. at: seconds since 1970, for a cosignature. SP_EINVAL: text does not end
 * with a newline or holds a control character; SP_ESIZE; SP_ENOMEM. */
enum sp_err	sp_note_sign(struct sp_view text, const struct sp_note_key *k, const struct sp_secret *sk, uint64_t at,
		    struct sp_buf *ret) SP_MUST_USE;
/* The text of a note. SP_EFORMAT: no note. SP_ESIZE. */
enum sp_err	sp_note_text(struct sp_view note, struct sp_view *ret) SP_MUST_USE;
/* SP_OK: the note has a good signature of that key; of a cosignature *ret_at (may be NULL) is its time. SP_ENOENT: none of
 * that key. SP_EAUTH: one that claims the key and is wrong, whatever else is there. SP_EFORMAT, SP_ESIZE. */
enum sp_err	sp_note_verify(struct sp_view note, const struct sp_note_key *k, uint64_t *ret_at) SP_MUST_USE;

/* Append the three lines of a checkpoint's text. SP_EINVAL: origin. */
enum sp_err	sp_checkpoint_text(const struct sp_checkpoint *c, struct sp_buf *ret) SP_MUST_USE;
/* From the text of a note; further lines are allowed and ignored. SP_EFORMAT. */
enum sp_err	sp_checkpoint_parse(struct sp_view text, struct sp_checkpoint *ret) SP_MUST_USE;

#endif
