/* src/scribe/recreader.h - read one segment of a recording with an auditor's key: its lines in order, from any second on, and
 * of a torn one (its recorder died) all that is in the age file and its tail files together. Process: the command line, in its
 * sandbox; tests. Only reads the descriptors that it is given.
 * Invariants: nothing is given out that was not authenticated; memory is bounded by a frame and a line, whatever the file
 * says; a whole file is known by its last chunk. */
#ifndef SP_SCRIBE_RECREADER_H
#define SP_SCRIBE_RECREADER_H

#include "scribe/recfile.h"

struct sp_recreader;
/* fd: the age file; tail_fd: its tail files, -1 where there is none. Borrowed. SP_EFORMAT, SP_EDENIED (not encrypted to this
 * identity), SP_EAUTH (changed), SP_ESHORT, SP_EIO, SP_ENOMEM. */
enum sp_err	sp_recreader_new(int fd, const int tail_fd[2], const struct sp_secret *identity, struct sp_recreader **ret) SP_MUST_USE;
/* The same with the file key that somebody else took out of the header: the header is not looked into. */
enum sp_err	sp_recreader_new_unwrapped(int fd, const int tail_fd[2], const struct sp_secret *file_key, struct sp_recreader **ret) SP_MUST_USE;
void		sp_recreader_free(struct sp_recreader *r);		/* NULL is fine */
/* The next line without its newline, borrowed until the next call. SP_ENOENT: the recording ends here. SP_EAUTH, SP_ECORRUPT
 * (no zstd frame, or a hole in front of the tail), SP_ESIZE (a line beyond SP_REC_LINE_MAX), SP_EIO, SP_ENOMEM. */
enum sp_err	sp_recreader_next(struct sp_recreader *r, struct sp_view *ret) SP_MUST_USE;
/* Go on at the last frame that begins at or before this time; from the beginning when there is no index. */
enum sp_err	sp_recreader_seek(struct sp_recreader *r, uint64_t at_us) SP_MUST_USE;
int		sp_recreader_is_torn(const struct sp_recreader *r);
uint64_t	sp_recreader_duration(const struct sp_recreader *r);	/* microseconds; 0: torn */
uint64_t	sp_recreader_bytes_read(const struct sp_recreader *r);	/* of the files, so far */

#endif
