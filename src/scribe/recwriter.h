/* src/scribe/recwriter.h - append records to a recording, with disk space set aside in advance for its end.
 * Process: scribe. Invariants: (1) the file is always a whole number of records up to `off`, buffered ones follow.
 * (2) SP_RECWRITER_RESERVE bytes of the disk beyond `off` + buffer are ours before anything but the end is written, so
 * that the end fits on a full disk. (3) After a failed write the position is that of the last write that succeeded. */
#ifndef SP_SCRIBE_RECWRITER_H
#define SP_SCRIBE_RECWRITER_H

#include "scribe/recfile.h"

#define SP_RECWRITER_RESERVE	(64u * 1024)
#define SP_RECWRITER_BUF	(64u * 1024)

struct sp_recwriter {
	int		fd;		/* owned */
	uint64_t	off;		/* bytes written */
	uint64_t	alloc_end;	/* disk space is ours up to here; UINT64_MAX: the file system cannot say */
	uint64_t	min_free_bytes;	/* of the file system: below it the recording does not grow */
	uint64_t	start_us, last_us;
	uint8_t		*buf;
	size_t		n;
	int		dirty;		/* written since it was last cleared by who syncs */
};

/* Takes fd (empty, readable and writable). start_us: boottime of the header. Writes the prefix. SP_ENOSPC, SP_EIO. */
enum sp_err	sp_recwriter_init(struct sp_recwriter *w, int fd, uint64_t start_us, uint64_t min_free_bytes) SP_MUST_USE;
void		sp_recwriter_release(struct sp_recwriter *w);	/* closes; what is buffered is lost */
/* Buffer one record; large ones are written at once. at_us before the last record's is taken as the last record's.
 * last: may use the reserve. SP_ENOSPC, SP_EIO, SP_ESIZE, SP_ENOMEM: the record is not part of the recording. */
enum sp_err	sp_recwriter_put(struct sp_recwriter *w, struct sp_rec *r, uint64_t at_us, int last) SP_MUST_USE;
/* SP_ENOSPC, SP_EIO: what was buffered is lost. */
enum sp_err	sp_recwriter_flush(struct sp_recwriter *w) SP_MUST_USE;
uint64_t	sp_recwriter_end(const struct sp_recwriter *w);	/* where the next record will begin */
/* Flush, give back the reserve, make everything durable. */
enum sp_err	sp_recwriter_finish(struct sp_recwriter *w) SP_MUST_USE;
/* Whether there is space again after SP_ENOSPC. */
enum sp_err	sp_recwriter_retry(struct sp_recwriter *w) SP_MUST_USE;
/* Bytes that the file system of fd has left for us. */
enum sp_err	sp_fs_free(int fd, uint64_t *ret_bytes) SP_MUST_USE;

#endif
