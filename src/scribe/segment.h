/* src/scribe/segment.h - a long recording goes on in a further segment: who makes its files. Process: scribe.
 *
 * A recorder opens nothing once its sandbox is closed, and tells the monitor nothing. All recorders share one socket on which they
 * ask their parent (REC_SEGMENT): with the number of the segment that they want, a descriptor on which to answer, and
 * the age file that they write now. That file says who asks: the parent keeps none of them, and no recorder has another's. The
 * answer (REC_FILES) has the files of the next segment, whose names are durable. A recorder whose parent was replaced
 * gets no answer, and goes on in the segment that it has. */
#ifndef SP_SCRIBE_SEGMENT_H
#define SP_SCRIBE_SEGMENT_H

#include "ipc/chan.h"
#include "scribe/scribe.h"

/* Parent: is fd the file of that segment, as it lies in the folder? */
int		sp_segment_is_file(int recordings, const struct sp_uuid *session, unsigned segment, int fd);
/* Parent: make the files and send them over `answer` (taken); err: send that instead. */
void		sp_segment_answer(int answer, unsigned segment, enum sp_err err, struct sp_scribe_files *f);
/* Recorder: ask. answer: its own far end, duplicated here. SP_ECLOSED: there is no such parent any more. */
enum sp_err	sp_segment_ask(int ask, const struct sp_uuid *session, unsigned segment, int answer, int age) SP_MUST_USE;

#endif
