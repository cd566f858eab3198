/* src/common/logdir.h - the directory of the audit log, read. Used by control (start, proofs) and by the command line (checks, also
 * on a copy of the directory far from the bastion). Reads only.
 *
 *	audit-<number of the first entry, 16 hex>.log	segments: lines of entries (entry.h), numbered from 1
 *	tile/...					tiles and entry bundles, C2SP tlog-tiles; leaf i is entry i + 1
 *	origin						name of the log, one line
 *	checkpoint					the last signed head, a signed note (C2SP tlog-checkpoint)
 *	cosignatures					signature lines of witnesses for it or for earlier ones, with their heads
 *	reserve						control's
 * Nothing here believes a name or a size that it reads. */
#ifndef SP_COMMON_LOGDIR_H
#define SP_COMMON_LOGDIR_H

#include "crypto/note.h"
#include "crypto/tlog.h"

#define LOGDIR_SEGMENT_MAX	((size_t)256 << 20)	/* bytes of a segment: its rotation size and one batch */
#define LOGDIR_BUNDLE_MAX	((size_t)SP_TLOG_TILE_WIDTH * (SP_TLOG_ENTRY_MAX + 2))
#define LOGDIR_NAME_SIZE	32			/* "audit-" 16 hex ".log" with NUL */

/* A whole file below dirfd. SP_ENOENT; SP_ESIZE above max; errors of open and read. ret is reset first. */
enum sp_err	logdir_file(int dirfd, const char *path, size_t max, struct sp_buf *ret) SP_MUST_USE;

/* Tiles. One is kept per level, so neighbours cost one read. size: of the tree that nodes are asked of. */
struct logdir {
	int			 fd;		/* borrowed */
	uint64_t		 size;
	struct sp_tlog_tile	 kept[SP_TLOG_LEVELS / SP_TLOG_TILE_BITS + 1];
	struct sp_buf		 bytes[SP_TLOG_LEVELS / SP_TLOG_TILE_BITS + 1];
};
void		logdir_init(struct logdir *d, int fd, uint64_t size);
void		logdir_release(struct logdir *d);
/* Exactly t->width hashes (or entries): from that file, from a wider partial one, or from the full one. SP_ENOENT; SP_ECORRUPT. */
enum sp_err	logdir_tile(int dirfd, const struct sp_tlog_tile *t, struct sp_buf *ret) SP_MUST_USE;
sp_tlog_read_fn	logdir_node;			/* arg: struct logdir */

/* The signed head. SP_ENOENT: none yet. SP_EFORMAT. The signature is not looked at. */
enum sp_err	logdir_checkpoint(int dirfd, struct sp_buf *ret_note, struct sp_checkpoint *ret) SP_MUST_USE;

/* Segments, by the number of their first entry, rising. *ret is the caller's to free. */
enum sp_err	logdir_segments(int dirfd, uint64_t **ret, size_t *ret_n) SP_MUST_USE;
void		logdir_segment_name(uint64_t first_seq, char dst[LOGDIR_NAME_SIZE]);

/* Lines of entries in order, over segments, from any entry on. */
struct logread {
	int		 dirfd, fd;		/* dirfd borrowed */
	uint64_t	 first, next;		/* first of the open segment; the entry that logread_next() will give */
	struct sp_buf	 buf;
	size_t		 at;			/* bytes of buf that were given */
	int		 at_end;
};
/* SP_ENOENT: no segment has it. */
enum sp_err	logread_open(struct logread *r, int dirfd, uint64_t seq) SP_MUST_USE;
/* The line of the next entry without newline, borrowed until the next call. SP_ENOENT: there is none (yet). SP_ECORRUPT: a line
 * is longer than any entry, or a segment is missing. */
enum sp_err	logread_next(struct logread *r, struct sp_view *ret) SP_MUST_USE;
void		logread_release(struct logread *r);

#endif
