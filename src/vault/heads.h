/* src/vault/heads.h - the last head of the audit log that was signed, and what may be signed after it. Pure.
 * Invariants: (1) a head of an origin is never signed unless it grew out of the one that was signed last for that origin.
 * (2) An origin that was left is never signed for again. */
#ifndef SP_VAULT_HEADS_H
#define SP_VAULT_HEADS_H

#include "crypto/note.h"

#define HEADS_PAST_MAX	64		/* origins that were left: a restored backup makes one */
#define HEADS_TEXT_MAX	((size_t)64 * 1024)

struct heads {
	struct sp_checkpoint	last;		/* origin "": nothing was ever signed */
	size_t			past_n;
	struct sp_checkpoint	past[HEADS_PAST_MAX];	/* the last heads of origins that were left */
};
struct heads_ask {
	struct sp_checkpoint	want;
	uint64_t		from;
	struct sp_tlog_proof	proof;
};

/* The text of the file. heads_parse: strict; SP_EFORMAT, SP_EVERSION. */
enum sp_err	heads_text(const struct heads *h, struct sp_buf *ret) SP_MUST_USE;
enum sp_err	heads_parse(const char *text, size_t len, struct heads *ret) SP_MUST_USE;
/* May this head be signed? *h becomes what is to be on disk before it is. SP_EPEER: another origin; SP_ESTATE: smaller than what was
 * signed; SP_EAGAIN: the proof begins elsewhere; SP_EAUTH: it did not grow out of what was signed. *why: a static sentence. */
enum sp_err	heads_grow(struct heads *h, const struct heads_ask *a, const char **why) SP_MUST_USE;
/* Leave the origin for a new one. *ret_grew: 1 if the new tree contains the old one. SP_EEXIST: the origin was used; SP_EFULL. */
enum sp_err	heads_bridge(struct heads *h, const struct heads_ask *a, int *ret_grew, const char **why) SP_MUST_USE;
/* Append the text of the bridge from `old` to a->want: what is signed. */
enum sp_err	heads_bridge_text(const struct sp_checkpoint *old, const struct heads_ask *a, int grew, const char *reason,
		    struct sp_buf *ret) SP_MUST_USE;

#endif
