/* src/control/logtree.h - the Merkle tree over the audit log: a thread of control's that follows the segments, keeps tiles and entry
 * bundles (C2SP tlog-tiles), and writes the head that the vault signed. Used by audit.c; heads by loghead.c.
 * Invariants: (1) a tile of a tree is on disk (fsync of file and directory) before grown() tells of that tree. (2) A failed fsync
 * ends the process. (3) Leaf i is entry i + 1, byte for byte as its segment has it. (4) The thread never waits for the vault. */
#ifndef SP_CONTROL_LOGTREE_H
#define SP_CONTROL_LOGTREE_H

#include "base/loop.h"
#include "crypto/note.h"
#include "crypto/tlog.h"

#define TREE_DELAY_US	(150 * UINT64_C(1000))	/* after an entry: others may share its tiles */
#define TREE_STEP	((uint64_t)8192)	/* entries between two heads while it catches up */

struct tree;
struct tree_head {
	uint64_t		 size, from;
	struct sp_tlog_hash	 root;
	struct sp_tlog_proof	 proof;		/* from `from` (0: none) to size */
};

/* dirfd is borrowed. next_seq: number of the next entry. Compares tiles, segments and the last signed head; then follows.
 * `grown` runs in the loop when there is a new head. SP_ECORRUPT: they do not agree; why (>= 256) says in what. */
enum sp_err	tree_open(struct sp_loop *l, int dirfd, uint64_t next_seq, void (*grown)(void *), void *arg, char *why, size_t why_size,
		    struct tree **ret) SP_MUST_USE;
void		tree_close(struct tree *t);		/* NULL is fine; what is not in the tree yet gets there after the next start */
void		tree_upto(struct tree *t, uint64_t seq);	/* durable up to and with it. Any thread; NULL is fine */
/* While held nothing is written: what room there is belongs to the segments. Any thread. */
void		tree_hold(struct tree *t, int hold);
/* The newest head that the tiles have. 0: none yet. Any thread. */
int		tree_head(struct tree *t, struct tree_head *ret);
/* Growth is to be proven from this size on; the next head has it. */
void		tree_prove_from(struct tree *t, uint64_t from);
/* The last signed head, as it is on disk. 0: none. Any thread. */
int		tree_signed(struct tree *t, struct sp_checkpoint *ret, struct sp_buf *ret_note);
/* Write a signed head; `grown` runs when it is on disk. */
enum sp_err	tree_put_signed(struct tree *t, struct sp_view note) SP_MUST_USE;
/* A small file of the directory, replaced as one. Any thread; the loop only in ceremonies. */
enum sp_err	tree_put_file(int dirfd, const char *path, const void *p, size_t n) SP_MUST_USE;

#endif
