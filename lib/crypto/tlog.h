/* lib/crypto/tlog.h - the arithmetic of a transparency log: Merkle tree of RFC 6962, tiles of C2SP tlog-tiles. Pure: who keeps
 * the tiles gives a function that reads them. Leaves are counted from 0; a node (level, index) is the root of the full subtree
 * over the leaves [index << level, (index + 1) << level). Nothing here trusts a size, a proof or a tile that it is given. */
#ifndef SP_CRYPTO_TLOG_H
#define SP_CRYPTO_TLOG_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

#define SP_TLOG_HASH		32
#define SP_TLOG_LEVELS		63		/* of a tree: sizes are below 2^63 */
#define SP_TLOG_TILE_BITS	8		/* binary levels in a tile */
#define SP_TLOG_TILE_WIDTH	256		/* hashes in a full one */
#define SP_TLOG_TILE_BYTES	((size_t)SP_TLOG_TILE_WIDTH * SP_TLOG_HASH)
#define SP_TLOG_ENTRY_MAX	((size_t)65535)	/* bytes of one entry: its length has 16 bits in a bundle */
#define SP_TLOG_PROOF_MAX	(SP_TLOG_LEVELS + 1)
#define SP_TLOG_PATH_SIZE	64		/* text of a tile's path, with NUL */
#define SP_TLOG_ENTRIES		UINT_MAX	/* the "level" of an entry bundle */

struct sp_tlog_hash {
	uint8_t	b[SP_TLOG_HASH];
};
/* The roots of the full subtrees that make up a tree of n leaves, the leftmost (largest) first: all that appending needs. */
struct sp_tlog_edge {
	uint64_t		n;
	unsigned		k;		/* bits that are set in n */
	struct sp_tlog_hash	h[SP_TLOG_LEVELS];
};
struct sp_tlog_proof {
	size_t			n;
	struct sp_tlog_hash	h[SP_TLOG_PROOF_MAX];
};
struct sp_tlog_tile {
	unsigned	level;		/* of tiles: binary level / 8; SP_TLOG_ENTRIES for a bundle of entries */
	uint64_t	n;
	unsigned	width;		/* 1..256; below 256 it is partial */
};
/* Reads node (level, index). Errors go through. */
typedef enum sp_err sp_tlog_read_fn(void *arg, unsigned level, uint64_t index, struct sp_tlog_hash *ret);

void		sp_tlog_leaf(struct sp_view entry, struct sp_tlog_hash *ret);
void		sp_tlog_node(const struct sp_tlog_hash *left, const struct sp_tlog_hash *right, struct sp_tlog_hash *ret);
int		sp_tlog_equal(const struct sp_tlog_hash *a, const struct sp_tlog_hash *b) SP_MUST_USE;

/* Append a leaf hash. SP_EFULL at the largest size. Each node that became whole is told to fn (may be NULL), children first:
 * these are the hashes that tiles keep. */
typedef void	sp_tlog_made_fn(void *arg, unsigned level, uint64_t index, const struct sp_tlog_hash *h);
enum sp_err	sp_tlog_edge_add(struct sp_tlog_edge *e, const struct sp_tlog_hash *leaf, sp_tlog_made_fn *fn, void *arg) SP_MUST_USE;
/* The root of the tree; of an empty one the hash of nothing. */
void		sp_tlog_edge_root(const struct sp_tlog_edge *e, struct sp_tlog_hash *ret);
/* The edge of the first n leaves of a log that has at least that many. */
enum sp_err	sp_tlog_edge_read(uint64_t n, sp_tlog_read_fn *read, void *arg, struct sp_tlog_edge *ret) SP_MUST_USE;

/* Proofs in the order of RFC 6962, 2.1.1 and 2.1.2. SP_EINVAL: index >= size, or from > size, or from 0. */
enum sp_err	sp_tlog_prove(uint64_t size, uint64_t index, sp_tlog_read_fn *read, void *arg, struct sp_tlog_proof *ret) SP_MUST_USE;
enum sp_err	sp_tlog_prove_growth(uint64_t from, uint64_t size, sp_tlog_read_fn *read, void *arg, struct sp_tlog_proof *ret)
		    SP_MUST_USE;
/* SP_OK: the leaf is entry `index` of the tree of that size and root. SP_EAUTH: it is not, or the proof has too few or too
 * many hashes. SP_EINVAL. */
enum sp_err	sp_tlog_check(const struct sp_tlog_proof *p, uint64_t size, const struct sp_tlog_hash *root, uint64_t index,
		    const struct sp_tlog_hash *leaf) SP_MUST_USE;
/* SP_OK: the tree (size, root) begins with the whole tree (from, old). */
enum sp_err	sp_tlog_check_growth(const struct sp_tlog_proof *p, uint64_t from, const struct sp_tlog_hash *old, uint64_t size,
		    const struct sp_tlog_hash *root) SP_MUST_USE;

/* "tile/0/x001/067", "tile/entries/000.p/17". SP_EINVAL: no such tile. */
enum sp_err	sp_tlog_tile_path(const struct sp_tlog_tile *t, char ret[SP_TLOG_PATH_SIZE]) SP_MUST_USE;
/* Strict: one spelling for each tile. SP_EFORMAT. */
enum sp_err	sp_tlog_tile_parse(const char *path, size_t len, struct sp_tlog_tile *ret) SP_MUST_USE;
/* The tile that holds node (level, index) in a log of `size` leaves, as wide as it is there. SP_EINVAL: no such node. */
enum sp_err	sp_tlog_tile_of(unsigned level, uint64_t index, uint64_t size, struct sp_tlog_tile *ret) SP_MUST_USE;
/* The node, computed from the bytes of that tile (width * 32). SP_EFORMAT: of another length; SP_EINVAL: not in it. */
enum sp_err	sp_tlog_tile_node(const struct sp_tlog_tile *t, struct sp_view bytes, unsigned level, uint64_t index,
		    struct sp_tlog_hash *ret) SP_MUST_USE;

/* Entry bundles: each entry is a 16-bit big-endian length and its bytes. SP_ESIZE above SP_TLOG_ENTRY_MAX. */
enum sp_err	sp_tlog_bundle_put(struct sp_buf *bundle, struct sp_view entry) SP_MUST_USE;
/* Take the next entry from *at. SP_ESHORT: cut. Nothing is left when at->len is 0. */
enum sp_err	sp_tlog_bundle_get(struct sp_view *at, struct sp_view *ret) SP_MUST_USE;

#endif
