/* src/common/recpath.h - where the files of a recording lie below the directory of recordings. Used by scribe (makes them) and
 * control (hands them out, deletes them by policy). A path is made of the session's id alone: nobody's word is part of it.
 * A recording is a list of segments. */
#ifndef SP_COMMON_RECPATH_H
#define SP_COMMON_RECPATH_H

#include "base/str.h"

#define SP_REC_DAY	11	/* bytes in front of the name: "2026/09/01/", the day of the session's id in UTC */
#define SP_REC_PATH	72

enum sp_rec_file { SP_REC_AGE, SP_REC_TAIL0, SP_REC_TAIL1, SP_REC_FILES };

#define SP_REC_SEGMENTS_MAX	9999u

/* "2026/09/01/<id>.0001.age", ".0001.tail0", ".0001.tail1". segment: 1..SP_REC_SEGMENTS_MAX. */
void		sp_rec_segment_path(const struct sp_uuid *session, unsigned segment, enum sp_rec_file file, char dst[SP_REC_PATH]);
/* The same of the first segment. */
void		sp_rec_path(const struct sp_uuid *session, enum sp_rec_file file, char dst[SP_REC_PATH]);
/* The directory of its day, opened below `recordings` without following a symbolic link. SP_ENOENT. */
enum sp_err	sp_rec_day_open(int recordings, const struct sp_uuid *session, int *ret) SP_MUST_USE;
/* One of its files, to read. SP_ENOENT, SP_EFORMAT (no regular file). */
enum sp_err	sp_rec_segment_open(int recordings, const struct sp_uuid *session, unsigned segment, enum sp_rec_file file, int *ret) SP_MUST_USE;
enum sp_err	sp_rec_open(int recordings, const struct sp_uuid *session, enum sp_rec_file file, int *ret) SP_MUST_USE;

/* Contents of files that were kept: "2026/09/01/<id>.files.age". There only when there are any. */
void		sp_rec_kept_path(const struct sp_uuid *session, char dst[SP_REC_PATH]);
enum sp_err	sp_rec_kept_open(int recordings, const struct sp_uuid *session, int *ret) SP_MUST_USE;

#endif
