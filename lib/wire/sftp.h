/* lib/wire/sftp.h - SFTP version 3 (draft-ietf-secsh-filexfer-02) and the extensions of OpenSSH (its PROTOCOL file), both
 * directions of one stream, decoded beside it. Pure: no I/O, no policy.
 *
 * Bytes may come in any pieces. The head of a packet (all of it but the contents of WRITE and DATA) is handed out whole, as
 * it was on the wire; contents are handed out as they come, as a view, and never kept. So a relay passes on what it is
 * given, and can withhold a request whose head it does not like (sp_sftp_refuse).
 *
 * Invariants: (1) at most max outstanding requests and max open handles are remembered, and SP_SFTP_HEAD_MAX bytes of an
 * unfinished head per side. (2) An answer belongs to exactly one outstanding request and is of a kind that this request
 * can have. (3) Two outstanding requests have different numbers. (4) What breaks these, or is malformed, is an error, and
 * after an error the stream is not decoded further. */
#ifndef SP_WIRE_SFTP_H
#define SP_WIRE_SFTP_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"

#define SP_SFTP_MAX		1024u			/* outstanding requests, open handles: a good limit */
#define SP_SFTP_HEAD_MAX	((size_t)256 * 1024)	/* bytes of a packet without contents, as OpenSSH */
#define SP_SFTP_BODY_MAX	((size_t)1024 * 1024)	/* bytes of one WRITE or DATA packet */
#define SP_SFTP_HANDLE_MAX	256			/* bytes of a handle's name, by the draft */
#define SP_SFTP_VERSION		3

enum sp_sftp_op {	/* a request, by what it does */
	SP_SFTP_INIT, SP_SFTP_OPEN, SP_SFTP_CLOSE, SP_SFTP_READ, SP_SFTP_WRITE, SP_SFTP_LSTAT, SP_SFTP_FSTAT, SP_SFTP_SETSTAT,
	SP_SFTP_FSETSTAT, SP_SFTP_OPENDIR, SP_SFTP_READDIR, SP_SFTP_REMOVE, SP_SFTP_MKDIR, SP_SFTP_RMDIR, SP_SFTP_REALPATH,
	SP_SFTP_STAT, SP_SFTP_RENAME, SP_SFTP_READLINK, SP_SFTP_SYMLINK,
	/* extensions */
	SP_SFTP_POSIX_RENAME, SP_SFTP_STATVFS, SP_SFTP_FSTATVFS, SP_SFTP_HARDLINK, SP_SFTP_FSYNC, SP_SFTP_LSETSTAT,
	SP_SFTP_LIMITS, SP_SFTP_EXPAND_PATH, SP_SFTP_COPY_DATA, SP_SFTP_HOME_DIRECTORY, SP_SFTP_USERS_GROUPS,
	SP_SFTP_UNKNOWN,	/* a request or extension that is none of these */
	SP_SFTP_OPS
};
enum { SP_SFTP_F_READ = 1, SP_SFTP_F_WRITE = 2, SP_SFTP_F_APPEND = 4, SP_SFTP_F_CREAT = 8, SP_SFTP_F_TRUNC = 16, SP_SFTP_F_EXCL = 32 };
enum { SP_SFTP_A_SIZE = 1, SP_SFTP_A_OWNER = 2, SP_SFTP_A_MODE = 4, SP_SFTP_A_TIMES = 8 };	/* of attrs.flags */
enum { SP_SFTP_OK = 0, SP_SFTP_EOF = 1, SP_SFTP_NO_FILE = 2, SP_SFTP_DENIED = 3, SP_SFTP_FAILURE = 4, SP_SFTP_BAD = 5,
	SP_SFTP_UNSUPPORTED = 8 };						/* SSH_FX_* */
enum { SP_SFTP_VERSION_REPLY = 2, SP_SFTP_STATUS = 101, SP_SFTP_HANDLE = 102, SP_SFTP_DATA = 103, SP_SFTP_NAME = 104,
	SP_SFTP_ATTRS = 105, SP_SFTP_EXTENDED_REPLY = 201 };			/* kinds of answers */

struct sp_sftp_attrs {
	uint32_t	flags, uid, gid, mode, atime, mtime;
	uint64_t	size;
};
/* An open file or directory. Owned by the decoder; lives while it is open and while a request that names it is outstanding. */
struct sp_sftp_handle {
	struct sp_view	 path;		/* as it was opened */
	uint32_t	 pflags;	/* SP_SFTP_F_*; 0: a directory */
	int		 settled;	/* its OPEN was (sp_sftp_settled) */
	void		*owner;		/* the caller's; who frees it does so at the answer to CLOSE, or before sp_sftp_free */
	unsigned	 refs;
	size_t		 name_len;
	uint8_t		 name[SP_SFTP_HANDLE_MAX];
};
struct sp_sftp_request {
	enum sp_sftp_op		 op;
	uint32_t		 id;		/* INIT: the version */
	uint32_t		 pflags;	/* OPEN */
	uint32_t		 length;	/* READ, WRITE: bytes */
	uint64_t		 offset;	/* READ, WRITE */
	struct sp_view		 path, to;	/* to: the new name; SYMLINK: path is what it points to. UNKNOWN: path is its name */
	struct sp_sftp_handle	*handle;	/* NULL: none, or one that is not open */
	struct sp_sftp_handle	*dest;		/* COPY_DATA */
	struct sp_sftp_attrs	 attrs;		/* OPEN, MKDIR, the SETSTATs */
	uint8_t			*text;		/* memory of path and to */
	int			 own;		/* by sp_sftp_ask: the answer is not the client's */
	int			 settled;	/* by sp_sftp_settled */
};
enum sp_sftp_side { SP_SFTP_CLIENT, SP_SFTP_SERVER };
enum sp_sftp_what {
	SP_SFTP_MORE,		/* everything was taken; bytes are wanted */
	SP_SFTP_HEAD,		/* a request, or an answer */
	SP_SFTP_BYTES		/* contents of the last WRITE or DATA of this side */
};
struct sp_sftp_item {
	enum sp_sftp_what	 what;
	struct sp_view		 wire;	/* HEAD: as it came; BYTES: the contents. Borrowed until the next call for this side */
	const struct sp_sftp_request *req;	/* it, or the one that is answered; until the next call. NULL: VERSION_REPLY */
	uint8_t			 type;	/* HEAD of an answer: SP_SFTP_STATUS ... */
	uint32_t		 code;	/* STATUS: SSH_FX_*; VERSION_REPLY: version; DATA: bytes that follow */
	uint64_t		 offset;	/* BYTES: where in the file */
	struct sp_view		 name;	/* NAME: the first one */
	struct sp_sftp_attrs	 attrs;	/* ATTRS; flags 0: none that can be read */
	struct sp_sftp_handle	*handle;	/* HANDLE: the new one */
	int			 refused;	/* BYTES: of a request that was refused */
};
struct sp_sftp;

enum sp_err	 sp_sftp_new(unsigned max, struct sp_sftp **ret) SP_MUST_USE;
void		 sp_sftp_free(struct sp_sftp *s);	/* NULL is fine */
/* The next item of this side. *in moves on behind what was taken. SP_EAGAIN (client): as many requests as may be are
 * outstanding; nothing was taken. SP_EFORMAT, SP_ESIZE, SP_EFULL (more handles than max), SP_ENOMEM: the end. */
enum sp_err	 sp_sftp_next(struct sp_sftp *s, enum sp_sftp_side side, struct sp_view *in, struct sp_sftp_item *ret) SP_MUST_USE;
/* The request that the last call for the client gave does not reach the server: it has no answer, its contents are marked. */
void		 sp_sftp_refuse(struct sp_sftp *s);
/* The paths of the request that the last call for the client gave are those that the target resolved; of its handle that is known. */
void		 sp_sftp_settled(struct sp_sftp *s);
/* True between two packets of the server: an answer of one's own may be put in here. */
int		 sp_sftp_between(const struct sp_sftp *s);
unsigned	 sp_sftp_handles(const struct sp_sftp *s);	/* open ones, and OPENs without an answer */
/* Every open handle, in no order. */
void		 sp_sftp_each(struct sp_sftp *s, void (*fn)(struct sp_sftp_handle *h, void *arg), void *arg);

/* Append a STATUS packet. */
enum sp_err	 sp_sftp_put_status(struct sp_buf *b, uint32_t id, uint32_t code, const char *text) SP_MUST_USE;
/* Append INIT for the version that is decoded here. */
enum sp_err	 sp_sftp_put_init(struct sp_buf *b) SP_MUST_USE;
/* Ask for oneself: append a request with a path alone (REALPATH, LSTAT ...), which may be one more than max. To be called between
 * two packets of the client. id: one of those that sp_sftp_free_ids gave. */
enum sp_err	 sp_sftp_ask(struct sp_sftp *s, enum sp_sftp_op op, uint32_t id, struct sp_view path, struct sp_buf *b) SP_MUST_USE;
/* The first of n numbers in a row that no outstanding request has; n <= 1024. */
uint32_t	 sp_sftp_free_ids(const struct sp_sftp *s, uint32_t n);
/* Append a request (as it was on the wire, of kind op) with other paths in the place of its own. SP_EINVAL: it has none. */
enum sp_err	 sp_sftp_put_moved(struct sp_buf *b, enum sp_sftp_op op, struct sp_view wire, struct sp_view path, struct sp_view to) SP_MUST_USE;
const char	*sp_sftp_op_name(enum sp_sftp_op op);	/* "open", "posix-rename" ... */
const char	*sp_sftp_code_name(uint32_t code);	/* "ok", "permission denied" ...; "error" for others */

#endif
