/* src/scribe/recfile.h - the raw recording format (docs/protocol/recording-raw.md): encode and decode one record, and read
 * a file record by record. The codec is pure; the reader only reads the descriptor that it is given. */
#ifndef SP_SCRIBE_RECFILE_H
#define SP_SCRIBE_RECFILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

#define SP_REC_MAGIC		"SPRECRAW"
#define SP_REC_VERSION		1u
#define SP_REC_PREFIX		16u		/* bytes before the first record: magic, u32 version, u32 zero */
#define SP_REC_HEAD		20u		/* bytes of a record before its payload */
#define SP_REC_CRC		4u		/* bytes after it */
#define SP_REC_PAYLOAD_MAX	(1024u * 1024)	/* most bytes of one payload */

enum sp_rec_type {
	SP_REC_T_HEADER		= 1,	/* JSON; first, once */
	SP_REC_T_CHANNEL	= 2,	/* JSON; a channel was opened */
	SP_REC_T_DATA		= 3,	/* bytes of a stream (enum sp_rec_stream) */
	SP_REC_T_RESIZE		= 4,	/* u32 columns, u32 rows, little endian */
	SP_REC_T_MARKER		= 5,	/* JSON; a note of the recorder: bytes left out, a gap */
	SP_REC_T_CHANNEL_END	= 6,	/* JSON */
	SP_REC_T_END		= 7,	/* JSON; last, once. A file without it is torn. */
};
struct sp_rec {
	uint8_t		type;		/* enum sp_rec_type; others are to be skipped */
	uint8_t		stream;		/* enum sp_rec_stream, data only */
	uint32_t	channel;	/* 0: the session itself */
	uint64_t	delta_us;	/* since the header; never decreases */
	struct sp_view	data;		/* borrowed */
};

void		sp_rec_prefix(uint8_t dst[SP_REC_PREFIX]);
/* The head and the checksum of a record whose payload is r->data (at most SP_REC_PAYLOAD_MAX bytes). */
void		sp_rec_encode(const struct sp_rec *r, uint8_t head[SP_REC_HEAD], uint8_t crc[SP_REC_CRC]);
/* SP_ESHORT, SP_EFORMAT (not a recording), SP_EVERSION. */
enum sp_err	sp_rec_read_prefix(struct sp_view *v, struct sp_view *ret_rest) SP_MUST_USE;
/* The next record. SP_ESHORT: the record is cut; SP_ESIZE: longer than allowed; SP_ECORRUPT: its checksum is wrong.
 * Nothing is consumed unless SP_OK. */
enum sp_err	sp_rec_next(struct sp_view *v, struct sp_rec *ret) SP_MUST_USE;
/* Payload bytes that the head at v announces, without a look at the rest. SP_ESHORT, SP_ESIZE. */
enum sp_err	sp_rec_peek(struct sp_view v, size_t *ret_len, uint8_t *ret_type, uint32_t *ret_channel) SP_MUST_USE;

struct sp_recreader;
/* fd: borrowed, read with pread(2) from its beginning. Errors of sp_rec_read_prefix, SP_EIO. */
enum sp_err	sp_recreader_new(int fd, struct sp_recreader **ret) SP_MUST_USE;
/* ret->data is borrowed until the next call. SP_ENOENT: the file ends here, at the end of a record; SP_ESHORT: it ends
 * inside one (torn); SP_ECORRUPT, SP_ESIZE, SP_EIO. */
enum sp_err	sp_recreader_next(struct sp_recreader *r, struct sp_rec *ret) SP_MUST_USE;
uint64_t	sp_recreader_offset(const struct sp_recreader *r);	/* of the next record */
void		sp_recreader_free(struct sp_recreader *r);		/* NULL is fine */

#endif
