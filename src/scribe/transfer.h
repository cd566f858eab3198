/* src/scribe/transfer.h - what a channel did to files: its bytes are decoded (lib/wire/sftp.h, rcp.h) and every file that was
 * read or written, and every change of names, becomes an event "file" (docs/protocol/flows.md, "Files"). Process: scribe. Pure.
 *
 * A file is hashed as its bytes pass, in the order of their offsets. Answers that come in another order than they were asked
 * for wait, SP_TRANSFER_WAIT bytes at most; what still is not in order is hashed as ranges, and the event says which; of more than SP_TRANSFER_RANGES
 * ranges those beyond have one hash together.
 * Invariants: (1) nothing is read back from the target. (2) Every byte of contents is counted in exactly one event. (3) What
 * was open when the channel ended is told with the result "not closed"; a stream that cannot be decoded any further is told
 * once. */
#ifndef SP_SCRIBE_TRANSFER_H
#define SP_SCRIBE_TRANSFER_H

#include "base/buf.h"
#include "crypto/hash.h"
#include "ipc/recdata.h"
#include "sallyport.pb-c.h"
#include "scribe/kept.h"

#define SP_TRANSFER_WAIT	((size_t)4 * 1024 * 1024)	/* bytes of a channel that wait for those before them */
#define SP_TRANSFER_RANGES	16				/* of a file that are named, with a hash each; the rest has one */

typedef void sp_transfer_fn(void *arg, const struct sp_buf *json);	/* body of an event */
struct sp_transfer;

/* A channel has opened. *ret is NULL when it transfers no files that we know of. */
enum sp_err	sp_transfer_new(const Sallyport__RecChannel *ch, sp_transfer_fn *fn, void *arg, struct sp_transfer **ret) SP_MUST_USE;
/* Contents are kept, too, by what k says. k, to: borrowed; they outlive the transfer. */
void		sp_transfer_keep(struct sp_transfer *t, struct sp_kept *k, const struct sp_age_recipient *to, size_t to_n);
/* rest (NULL: not wanted) gets what the hash of no file gets: together they are the hash of every byte, once. */
void		sp_transfer_data(struct sp_transfer *t, enum sp_rec_stream stream, struct sp_view v, struct sp_sha256 *rest);
int		sp_transfer_decodes(const struct sp_transfer *t);	/* 0: its files are not looked at (rsync) */
void		sp_transfer_refused(struct sp_transfer *t, const Sallyport__RecRefused *m);	/* by the session: not in the bytes */
void		sp_transfer_free(struct sp_transfer *t);	/* the channel has ended: the last events. NULL is fine */

#endif
