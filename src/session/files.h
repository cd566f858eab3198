/* src/session/files.h - a channel that transfers files: its stream is decoded as it passes (lib/wire), and what the grant does
 * not allow never reaches the target. Process: session.
 *
 *   user ── relay_bytes ── files_bytes ──► relay_emit ── target        requests that may pass, uncopied where possible
 *                             └── answers of our own ──► user          put in between two packets of the target
 *
 * Invariants: (1) what does not decode ends the channel. (2) A refused request has no byte on the way to the target. (3) The
 * recorder gets what the target gets and what it answers, not our own answers; refusals are told to it by name. (4) What is
 * kept here is bounded: an unfinished head (lib/wire/sftp.h), what comes while too many requests are open (the user's window),
 * FILES_ANSWERS bytes of own answers. (5) Under rules for paths a request with a path waits until the target has said where that
 * leads (files_path.c); what comes behind it waits, too. */
#ifndef SP_SESSION_FILES_H
#define SP_SESSION_FILES_H

#include "base/buf.h"
#include "ipc/recdata.h"

struct relay;
struct files;

/* The channel begins to run: decode it, if it is a transfer. 0: out of memory. Bytes that came early are judged, too. */
int	files_start(struct relay *r);
void	files_bytes(struct relay *r, enum sp_rec_stream dir, struct sp_view v);
void	files_pump(struct relay *r);		/* something was written, or recorded: what waits here may go on */
int	files_waiting(const struct relay *r);	/* bytes of the user that the target has still to get */
void	files_policy(struct relay *r);		/* the grant changed */
void	files_free(struct relay *r);

#endif
