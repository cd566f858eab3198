/* src/control/audit.h - the audit log: what happened, in order, on disk before the caller goes on.
 * Segments "audit-<first seq, 16 hex>.log" in the audit directory, one entry a line (src/common/entry.h), and a Merkle tree over
 * them (logtree.h), whose heads the vault signs (loghead.h). The interface is narrow on purpose: append, scan at start, list.
 * Invariants: (1) seq rises by one with each entry, over segments and restarts. (2) durable() runs in the loop, in the
 * order of append, after fdatasync returned 0 for the entry. (3) a failed fdatasync ends the process: what the kernel
 * dropped cannot be asked for again. (4) a torn last line is cut off at start; after any other damage the log stays as it is,
 * audit_damage() says what is wrong, and entries go to a file of their own, contained-*.log, that is no part of it.
 * One thread writes and syncs: however many wait, they share one fdatasync. */
#ifndef SP_CONTROL_AUDIT_H
#define SP_CONTROL_AUDIT_H

#include <jansson.h>

#include "base/loop.h"
#include "base/str.h"

#define AUDIT_SEGMENT_BYTES	(4u * 1024 * 1024)
#define AUDIT_TEXT_MAX		1024		/* bytes of the text member; longer is cut */

struct audit;
struct audit_entry {			/* everything borrowed; NULL: not there */
	const char		*kind;		/* "login.ok", "session.event" ... */
	const char		*actor;		/* a login, or "system" */
	const char		*result;	/* "ok", "refused", "failed" */
	const char		*source;	/* address, or "uid N" */
	const char		*text;		/* for people */
	const struct sp_uuid	*conn, *session, *user, *asset, *account, *object;
	json_t			*more;		/* borrowed object with whatever else */
};
/* In the loop. err is SP_OK, or SP_ENOSPC when not even the reserve had room (the entry is not in the log). */
typedef void audit_fn(void *arg, enum sp_err err, uint64_t seq);

/* One entry found by the scan at start; line is borrowed. */
typedef void audit_scan_fn(const json_t *line, void *arg);

/* Takes dirfd. Reads the newest two segments through `scan` (oldest entry first), cuts a torn last line, compares the tree, makes
 * the reserve. `rotated` is called in the loop after a new segment began, `grown` when the tree has a new head or a head was signed. */
enum sp_err	 audit_open(struct sp_loop *l, int dirfd, const uint8_t boot[16], uint64_t reserve_bytes, audit_scan_fn *scan,
		    void (*rotated)(void *), void (*grown)(void *), void *arg, struct audit **ret) SP_MUST_USE;
const char	*audit_damage(const struct audit *a);	/* NULL: none */
struct tree;
struct tree	*audit_tree(struct audit *a);		/* NULL: damaged */
int		 audit_dirfd(const struct audit *a);
/* Entries of audit_append() that `want` picks (any thread) are given to `seen` in the loop once they are durable. */
void		 audit_watch(struct audit *a, int (*want)(const struct audit_entry *), audit_scan_fn *seen, void *arg);
void		 audit_on_durable(struct audit *a, void (*fn)(void *), void *arg);	/* in the loop, after entries became durable */
void		 audit_close(struct audit *a);		/* writes and syncs what is queued, then delivers; NULL is fine */
/* Append; returns the entry's seq. durable may be NULL. Loop thread only; with durable NULL any thread, which then appends another one and
 * waits for that. */
uint64_t	 audit_append(struct audit *a, const struct audit_entry *e, audit_fn *durable, void *arg);
/* Append and wait until it is durable: for worker threads, inside a transaction that is committed only afterwards. */
enum sp_err	 audit_append_wait(struct audit *a, const struct audit_entry *e) SP_MUST_USE;
void		 audit_rotate(struct audit *a);		/* the next entry begins a segment; any thread */
uint64_t	 audit_next(struct audit *a);		/* number of the next entry; any thread */
uint64_t	 audit_durable(struct audit *a);	/* the last entry that is durable, 0: none; any thread */
int		 audit_space_low(const struct audit *a);	/* no new sessions now */
void		 audit_set_reserve(struct audit *a, uint64_t bytes);

/* Newest first, into the array `out`. Any thread; reads files. */
struct audit_query {
	size_t		 limit;		/* 1..10000 */
	int64_t		 since_us, until_us;	/* wall; 0: any */
	const char	*kind;		/* exact, or a prefix that ends with '.'; NULL: any */
	const char	*session;	/* uuid text; NULL: any */
	const char	*actor, *object;	/* a login; a uuid of a user, asset, account or other object. NULL: any */
	const char	*text;		/* anywhere in the entry, in its text or its details; NULL: any */
};
enum sp_err	 audit_list(struct audit *a, const struct audit_query *q, json_t *out) SP_MUST_USE;

#endif
