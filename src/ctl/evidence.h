/* src/ctl/evidence.h - checking a directory of the audit log, without control: what `sallyport evidence` shares.
 * Reads only; believes nothing but the key that verifiers were given. */
#ifndef SP_CTL_EVIDENCE_H
#define SP_CTL_EVIDENCE_H

#include "common/logdir.h"
#include "ctl/call.h"

struct evlog {
	int			 fd;
	struct sp_note_key	 key;
	int			 own_key;	/* the key came from the directory itself */
	struct sp_buf		 note;
	struct sp_checkpoint	 head;
	json_t			*bridges;	/* owned: texts of the bridges between the key's name and the head's origin */
};
/* Opens the directory that --dir names, or that of the configuration (--config); the key that --key names, or the directory's own;
 * and the signed head. Shows its errors. */
enum sp_err	evlog_open(struct ctl *c, struct evlog *ret) SP_MUST_USE;
void		evlog_release(struct evlog *l);
/* The tree of the signed head from its tiles' right edge. */
enum sp_err	evlog_check_edge(struct ctl *c, const struct evlog *l) SP_MUST_USE;
/* Every entry, every tile, and where there are segments their lines and openings. */
struct evlog_all {
	uint64_t	compared;	/* entries that are the same in their segment */
	uint64_t	erased;		/* values in segments that have no opening */
};
enum sp_err	evlog_check_all(struct ctl *c, const struct evlog *l, struct evlog_all *ret) SP_MUST_USE;

/* Entries of one session, oldest first. */
struct evsession {
	json_t		*entries;	/* owned: as they were given, as far as they can be opened */
	uint64_t	*index;		/* owned: leaf of each */
	struct sp_buf	 lines;		/* each with a newline, as they lie in the segments */
	size_t		 n, cap;
	uint64_t	 waiting;	/* that no signed head has yet */
	unsigned	 erased;	/* members without an opening */
	int		 has_start, has_end;
	int64_t		 events;	/* numbered by the recorder, without a gap up to here */
	json_t		*end;		/* borrowed of entries: body of END; NULL */
};
void		evsession_release(struct evsession *s);
/* Find them, check that each is in the tree of the signed head, that openings fit, and that none of the recorder's is missing. */
enum sp_err	evsession_check(struct ctl *c, const struct evlog *l, const char *id, struct evsession *ret) SP_MUST_USE;
/* The C2SP tlog-proof of a leaf. */
enum sp_err	evlog_proof(const struct evlog *l, uint64_t index, struct sp_buf *ret) SP_MUST_USE;

/* A signed bridge between two names of one key: from which, to which. *note is cut to its text. SP_EFORMAT, SP_ENOENT, SP_EAUTH. */
enum sp_err	evbridge_check(const struct sp_note_key *log, struct sp_buf *note, char from[SP_NOTE_NAME_MAX + 1],
		    char to[SP_NOTE_NAME_MAX + 1]) SP_MUST_USE;
/* The key of a log (or a witness) in a file: its first line that is no comment. Shows its errors. */
enum sp_err	evkey_read(struct ctl *c, int dirfd, const char *path, struct sp_note_key *ret) SP_MUST_USE;

/* witness.c */
enum sp_err	witness_run(struct ctl *c);
/* evidence_rec.c: into `dir`, with its hashes compared; what does not agree is shown, and sets c->failed. Adds to o. */
enum sp_err	export_recording(struct ctl *c, const struct evlog *l, const struct evsession *s, const char *id, int dir, json_t *o)
		    SP_MUST_USE;
/* evidence_export.c */
enum sp_err	export_run(struct ctl *c);

#endif
