/* src/scribe/kept.h - contents of files that a grant says to keep: one age file beside the recording, to the same auditors, for all
 * files of a session. Written by the scribe, read by the command line (keptread.c). Format: docs/protocol/recording.md.
 * Invariants: (1) bytes are written in the order in which they passed, with the place where they belong: nothing is put in order,
 * or read back. (2) What was not kept is said, per file and by whom it is asked for. (3) Memory is one chunk. (4) Only the key of the
 * chunks is kept, until the end. */
#ifndef SP_SCRIBE_KEPT_H
#define SP_SCRIBE_KEPT_H

#include "crypto/age.h"
#include "crypto/hash.h"

#define SP_KEPT_MAGIC		"SPKEPT01"
#define SP_KEPT_HEAD		9u			/* of a record: u32 bytes behind it, u8 type, u32 file */
#define SP_KEPT_BODY_MAX	((uint32_t)128 * 1024)
enum sp_kept_type { SP_KEPT_BEGIN = 1, SP_KEPT_DATA = 2, SP_KEPT_END = 3 };
enum { SP_KEPT_UP = 1, SP_KEPT_DOWN = 2 };		/* as SP_POLICY_FILE_* */

struct sp_kept {
	int		 fd;			/* owned; -1: nothing is kept */
	uint32_t	 ways;
	uint64_t	 max_bytes;		/* of one file; 0: all */
	uint64_t	 min_free_bytes;	/* of the file system */
	struct sp_secret key;
	struct sp_buf	 plain, sealed;
	uint64_t	 chunk_n, off, checked;	/* bytes written; and when space was looked at last */
	uint32_t	 files;
	enum sp_err	 err;			/* why it stands still */
	int		 dirty;
	uint8_t		 header_hash[SP_SHA256_LEN];
	struct sp_sha256 payload;
	uint64_t	 payload_bytes;
};
/* One file in one direction. Zeroed before. */
struct sp_kept_file {
	uint32_t	 number;		/* from 1; 0: nothing kept yet */
	uint64_t	 bytes, missed;
};

/* Takes fd (an empty file) in any case; nothing is written before the first byte is kept. */
void		 sp_kept_init(struct sp_kept *k, int fd, uint32_t ways, uint64_t max_bytes, uint64_t min_free_bytes);
void		 sp_kept_release(struct sp_kept *k);
/* Bytes of a file passed. to: whom it is encrypted to. about: a JSON object that tells which file, for the first of them. A failure is
 * in k->err, and what is not kept then is counted. */
void		 sp_kept_put(struct sp_kept *k, const struct sp_age_recipient *to, size_t to_n, struct sp_kept_file *f, const char *about,
		    uint64_t offset, struct sp_view bytes);
/* It is closed. about: the event that tells of it. */
void		 sp_kept_end(struct sp_kept *k, struct sp_kept_file *f, struct sp_view about);
/* The last chunk, durable. SP_OK also when nothing was kept. */
enum sp_err	 sp_kept_finish(struct sp_kept *k) SP_MUST_USE;

/* ---- reading */

struct sp_kept_record {
	enum sp_kept_type type;
	uint32_t	 file;
	uint64_t	 offset;		/* DATA */
	struct sp_view	 body;			/* BEGIN, END: JSON */
};
/* The next record of the plain text. SP_ESHORT: more bytes are wanted, nothing was taken; SP_EFORMAT. */
enum sp_err	 sp_kept_next(struct sp_view *v, struct sp_kept_record *ret) SP_MUST_USE;

#endif
