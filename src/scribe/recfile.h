/* src/scribe/recfile.h - the parts of a recording that are our own (docs/protocol/recording.md): the index at its end, and
 * the records of the tail files beside it. Pure: bytes in, bytes out. All integers are little endian.
 *
 * A segment is an age v1 file whose plain text is a row of independent zstd frames of whole asciicast lines, then the index
 * in a skippable frame. While it is written two tail files hold, in turns, what is not in whole age chunks yet. */
#ifndef SP_SCRIBE_RECFILE_H
#define SP_SCRIBE_RECFILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "crypto/age.h"

#define SP_REC_VERSION		2u
#define SP_REC_FRAME_MAX	(128u * 1024)	/* bytes of lines after which a frame is closed */
#define SP_REC_LINE_MAX		(256u * 1024)	/* bytes of one line */
#define SP_REC_INDEX_MAX	2048u		/* entries; beyond that every second one goes */
#define SP_REC_INDEX_ENTRY	24u
#define SP_REC_INDEX_TAIL	24u		/* bytes behind the entries */
#define SP_REC_INDEX_BYTES(n)	(8u + (n) * SP_REC_INDEX_ENTRY + SP_REC_INDEX_TAIL)

struct sp_rec_index {
	uint64_t	at_us;		/* of the first line of the frame */
	uint64_t	packed_off;	/* where the frame begins in the plain text of the age file */
	uint64_t	line_off;	/* where it begins in the lines */
};
/* Append the skippable frame. duration_us: of the whole recording. */
enum sp_err	sp_rec_index_write(struct sp_buf *b, const struct sp_rec_index *v, size_t n, uint64_t duration_us) SP_MUST_USE;
/* How many entries the index has whose frame ends at the end of these bytes. SP_ESHORT (fewer than SP_REC_INDEX_TAIL), SP_EFORMAT. */
enum sp_err	sp_rec_index_count(struct sp_view end, size_t *ret_n, uint64_t *ret_duration_us) SP_MUST_USE;
/* Read them; bytes: ends with the index, and has all of it. v: room for n. SP_ESHORT, SP_EFORMAT (not in order). */
enum sp_err	sp_rec_index_read(struct sp_view bytes, struct sp_rec_index *v, size_t n) SP_MUST_USE;

/* ---- tail files ---- */

#define SP_TAIL_KEY		32
#define SP_TAIL_HEAD		16u		/* magic, u64 generation */
#define SP_TAIL_RECORD_HEAD	12u		/* u32 bytes that follow, u64 number */
#define SP_TAIL_DATA_MAX	(448u * 1024)	/* bytes of one record's data */

enum sp_tail_type {
	SP_TAIL_PACKED	= 1,	/* bytes of closed frames behind the last whole chunk; offset in the plain text of the age file */
	SP_TAIL_LINES	= 2,	/* lines of the open frame; offset in the lines */
};
struct sp_tail {
	enum sp_tail_type type;
	uint64_t	off;
	struct sp_view	data;
};
/* The key of the tail files, from the file key and the nonce of the age file. */
enum sp_err	sp_tail_key(const struct sp_secret *file_key, const uint8_t nonce[SP_AGE_NONCE], struct sp_secret *ret) SP_MUST_USE;
enum sp_err	sp_tail_head(struct sp_buf *b, uint64_t generation) SP_MUST_USE;
/* Append one sealed record. number: never used before under this key. SP_ESIZE, SP_ENOMEM. */
enum sp_err	sp_tail_seal(const struct sp_secret *key, uint64_t generation, uint64_t number, const struct sp_tail *t, struct sp_buf *b)
		    SP_MUST_USE;
/* SP_EFORMAT: no tail file; SP_ESHORT. */
enum sp_err	sp_tail_read_head(struct sp_view *v, uint64_t *ret_generation) SP_MUST_USE;
/* The next record; nothing is consumed unless SP_OK. SP_ESHORT: cut here; SP_EAUTH: changed, or of another place; SP_ESIZE,
 * SP_EFORMAT, SP_ENOMEM. ret->data lies in *plain, which is emptied first. */
enum sp_err	sp_tail_next(const struct sp_secret *key, uint64_t generation, struct sp_view *v, uint64_t *ret_number,
		    struct sp_secret *plain, struct sp_tail *ret) SP_MUST_USE;

#endif
