/* src/scribe/segment.c - see segment.h. */
#include "scribe/segment.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "sallyport.pb-c.h"

int
sp_segment_is_file(int recordings, const struct sp_uuid *session, unsigned segment, int fd)
{
	sp_auto(sp_closep) int there = -1;
	struct stat a, b;
	int flags = fcntl(fd, F_GETFL);

	return flags != -1 && (flags & O_ACCMODE) == O_RDWR && segment > 0 &&
	    sp_rec_segment_open(recordings, session, segment, SP_REC_AGE, &there) == SP_OK && fstat(there, &a) == 0 && fstat(fd, &b) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Nothing is read here: who asks, and what comes, is not waited for. */
static void
on_nothing(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	(void)c;
	(void)m;
	(void)arg;
}

static void
on_closed(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	(void)c;
	(void)why;
	(void)what;
	(void)arg;
}

/* One message on a descriptor that is taken. */
static enum sp_err
send_once(int fd, uint16_t id, const void *body, int *fds, int nfds)
{
	struct sp_chan *c = NULL;
	enum sp_err r = sp_chan_new(fd, SP_PROC_SCRIBE, SP_PROC_SCRIBE, on_nothing, on_closed, NULL, &c);

	if (r == SP_OK)
		r = sp_chan_send(c, id, 0, body, fds, nfds);
	else
		for (int i = 0; i < nfds; i++)
			sp_closep(&fds[i]);
	if (r == SP_OK && sp_chan_want_write(c))
		r = SP_EFULL;	/* one small message in an empty socket fits; a full one is another's flood */
	sp_chan_free(c);
	return r;
}

void
sp_segment_answer(int answer, unsigned segment, enum sp_err err, struct sp_scribe_files *f)
{
	Sallyport__RecFiles m = SALLYPORT__REC_FILES__INIT;

	m.err = err;
	m.segment = segment;
	if (send_once(answer, SP_MSG_REC_FILES, &m, err == SP_OK ? f->fd : NULL, err == SP_OK ? SP_REC_FILES : 0) != SP_OK)
		sp_warn("a recorder does not take the files of its next segment");
}

enum sp_err
sp_segment_ask(int ask, const struct sp_uuid *session, unsigned segment, int answer, int age)
{
	Sallyport__RecSegment m = SALLYPORT__REC_SEGMENT__INIT;
	struct sp_uuid id = *session;
	int fds[2] = { fcntl(answer, F_DUPFD_CLOEXEC, 3), fcntl(age, F_DUPFD_CLOEXEC, 3) }, fd = fcntl(ask, F_DUPFD_CLOEXEC, 3);

	if (fds[0] == -1 || fds[1] == -1 || fd == -1) {
		sp_closep(&fds[0]);
		sp_closep(&fds[1]);
		sp_closep(&fd);
		return SP_ESYS;
	}
	m.session_id = (ProtobufCBinaryData){ SP_UUID_LEN, id.b };
	m.segment = segment;
	return send_once(fd, SP_MSG_REC_SEGMENT, &m, fds, 2);
}
