/* src/control/recfiles.h - the files of recordings as they lie on the disk: all of a session, and all of a day. What belongs to
 * a session is every regular file in the directory of its day whose name begins with its id and a dot: segments, tails, and
 * whatever else a recorder keeps for it. Process: control, worker threads. Follows no symbolic link. */
#ifndef SP_CONTROL_RECFILES_H
#define SP_CONTROL_RECFILES_H

#include "base/buf.h"
#include "base/str.h"

struct recfiles {
	struct sp_uuid	id;
	uint64_t	bytes;
	int64_t		at_us;		/* wall: when it was written last, or the time of its id if that is later */
	unsigned	files, segments, tails;	/* tails: those with something in them */
	int		held;		/* a file "<id>.hold" lies beside it */
};
/* Those of one day, in the order of their ids. */
struct recday {
	struct sp_uuid	 day;		/* an id of that day; null: nothing is loaded */
	struct recfiles	*v;
	size_t		 n, cap;
};
enum sp_err	recday_load(int recordings, const struct sp_uuid *id, struct recday *d) SP_MUST_USE;	/* no directory: empty */
void		recday_release(struct recday *d);
/* The files of a session; loads its day unless it is loaded. SP_ENOENT: there are none. */
enum sp_err	recday_find(int recordings, const struct sp_uuid *id, struct recday *d, struct recfiles *ret) SP_MUST_USE;
/* Every recording that is there, oldest day first. fn may end it with something else than SP_OK. */
typedef enum sp_err recfiles_fn(const struct recfiles *f, void *arg);
enum sp_err	recfiles_each(int recordings, recfiles_fn *fn, void *arg) SP_MUST_USE;
/* Remove them all, the names durably. *ret_n: how many went. SP_ENOENT: there were none. SP_EDENIED: held, and nothing went. */
enum sp_err	recfiles_delete(int recordings, const struct sp_uuid *id, int *ret_n) SP_MUST_USE;
/* Put the mark of a hold beside a recording, or take it away; durable. SP_ENOENT: that day has no recordings. */
enum sp_err	recfiles_hold(int recordings, const struct sp_uuid *id, int hold) SP_MUST_USE;
int		recfiles_held(int recordings, const struct sp_uuid *id);	/* whether that mark is there */
/* Append the age header of an open recording; b->max: SP_AGE_HEADER_MAX. Reads from its beginning, moves no offset. */
enum sp_err	recfiles_header(int fd, struct sp_buf *b) SP_MUST_USE;
/* The directory of recordings. */
enum sp_err	recfiles_dir(const char *state_dir, int *ret) SP_MUST_USE;

#endif
