/* src/scribe/recwriter.h - append lines to one segment of a recording: lines into zstd frames, frames into age chunks, with
 * a tail beside them for what a crash would take, and disk space set aside for the end. Process: scribe.
 * Invariants: (1) chunk i is on disk at its place before chunk i + 1 is sealed; one that failed is written again with the
 * same bytes. (2) Disk space for everything that is not written yet, index and end included, is ours before a line is
 * taken, so that the end fits on a full disk. (3) After sp_recwriter_tick() what was put is on disk: in whole chunks, or in
 * the newer tail file. (4) Only the keys of chunks and tail are kept, until the end; nothing here opens the header. */
#ifndef SP_SCRIBE_RECWRITER_H
#define SP_SCRIBE_RECWRITER_H

#include "crypto/hash.h"
#include "scribe/recfile.h"

#define SP_REC_KEY_MAX	(128u * 1024)	/* bytes of key frames at the beginning of a frame */
#define SP_REC_FRAME_US	(300ull * 1000000)	/* a frame is closed this long after its first line */

struct ZSTD_CCtx_s;

struct sp_recwriter {
	int		fd, tail_fd[2];		/* owned */
	struct sp_secret key, tail_key;
	uint64_t	off;			/* bytes written to fd */
	uint64_t	alloc_end;		/* disk space is ours up to here; UINT64_MAX: the file system cannot say */
	uint64_t	min_free_bytes;		/* of the file system: below it the recording does not grow */
	uint64_t	low_bytes;		/* of the file system: below it it is low */
	int		low;			/* it was when the file grew last */
	uint64_t	quota_bytes;		/* of the segment; 0: none */
	uint64_t	start_us, last_us;	/* boottime of the header; time of the last line, since then */
	struct sp_buf	frame;			/* lines of the open frame */
	struct sp_buf	packed;			/* closed frames that are not in a whole chunk yet */
	struct sp_buf	sealed;			/* a chunk on its way */
	struct ZSTD_CCtx_s *zstd;		/* kept while frames come quickly */
	uint64_t	frame_us, closed_us;	/* time of the open frame's first line; when one was closed last */
	uint64_t	line_off, packed_off;	/* bytes of lines before the open frame; packed bytes in whole chunks */
	uint64_t	chunk_n;
	int		chunk_sealed;		/* `sealed` holds chunk_n */
	struct sp_rec_index *index;
	size_t		index_n, index_cap;
	uint64_t	frame_n, stride;
	struct sp_buf	tail;			/* records on their way */
	uint64_t	tail_generation, tail_number, tail_off, tail_line_off;
	size_t		tail_frame_n;		/* bytes of the open frame that the tail has */
	uint8_t		header_hash[SP_SHA256_LEN];
	struct sp_sha256 payload;		/* of everything behind the header that is written */
	uint64_t	payload_bytes;
	int		dirty;			/* written since it was last cleared by who syncs */
};

/* Takes fd and tail_fd (empty files) in any case. start_us: boottime of the header. Writes the age header. SP_EINVAL: no
 * recipient; SP_ENOSPC, SP_EIO, SP_ENOMEM. */
enum sp_err	sp_recwriter_init(struct sp_recwriter *w, int fd, const int tail_fd[2], const struct sp_age_recipient *to, size_t to_n,
		    uint64_t start_us, uint64_t min_free_bytes) SP_MUST_USE;
void		sp_recwriter_release(struct sp_recwriter *w);	/* closes, wipes; what no tick wrote is lost */
/* Time of a line that happened at this boottime, in microseconds since the header; never before the last line's. */
uint64_t	sp_recwriter_time(const struct sp_recwriter *w, uint64_t at_us);
/* The next line begins a frame. */
int		sp_recwriter_fresh(const struct sp_recwriter *w);
/* Make room for n more bytes: the open frame is closed when they do not fit into it. last: may use what was set aside.
 * SP_ENOSPC, SP_EFULL (the quota), SP_EIO, SP_ESIZE, SP_ENOMEM. */
enum sp_err	sp_recwriter_room(struct sp_recwriter *w, size_t n, int last) SP_MUST_USE;
/* Take whole lines (with their newlines) of that time into the open frame. Errors as above: they are not part of the recording. */
enum sp_err	sp_recwriter_put(struct sp_recwriter *w, uint64_t time_us, struct sp_view lines, int last) SP_MUST_USE;
/* Write what came since the last tick. SP_ENOSPC, SP_EIO: it is kept, and tried again. */
enum sp_err	sp_recwriter_tick(struct sp_recwriter *w) SP_MUST_USE;
uint64_t	sp_recwriter_lines(const struct sp_recwriter *w);	/* bytes of lines so far: the place of the next one */
/* Everything into the file, the index behind it, the reserve given back, the tail emptied, all durable. */
enum sp_err	sp_recwriter_finish(struct sp_recwriter *w) SP_MUST_USE;
/* Whether there is space again after SP_ENOSPC. */
enum sp_err	sp_recwriter_retry(struct sp_recwriter *w) SP_MUST_USE;
/* Bytes that the file system of fd has left for us. */
enum sp_err	sp_fs_free(int fd, uint64_t *ret_bytes) SP_MUST_USE;

#endif
