/* src/control/logtail.c - see logtail.h. */
#include "control/logtail.h"

#include <errno.h>
#include <fcntl.h>

#include "common/entry.h"

enum sp_err
logtail_init(struct logtail *t, int dirfd)
{
	*t = (struct logtail){ .dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3) };
	return t->dirfd == -1 ? sp_err_errno(errno) : SP_OK;
}

static void
tail_close(struct logtail *t)
{
	if (t->is_open)
		logread_release(&t->read);
	t->is_open = 0;
}

void
logtail_release(struct logtail *t)
{
	tail_close(t);
	sp_closep(&t->dirfd);
}

/* The line of entry seq: from where we stand, or from the beginning of its segment. */
static enum sp_err
tail_line(struct logtail *t, uint64_t seq, struct sp_view *ret)
{
	enum sp_err r;

	if (!t->is_open || t->read.next > seq) {
		tail_close(t);
		r = logread_open(&t->read, t->dirfd, seq);
		t->is_open = 1;
		if (r != SP_OK)
			return r;
	}
	do
		r = logread_next(&t->read, ret);
	while (r == SP_OK && t->read.next <= seq);
	return r;
}

enum sp_err
logtail_get(struct logtail *t, uint64_t seq, json_t **ret)
{
	struct sp_view line = { 0 };
	enum sp_err r = tail_line(t, seq, &line);
	json_t *o = r == SP_OK ? entry_parse(line) : NULL;

	if (r == SP_OK && (o == NULL || json_integer_value(json_object_get(o, "seq")) != (json_int_t)seq))
		r = SP_ECORRUPT;
	if (r != SP_OK) {
		json_decref(o);
		tail_close(t);
		return r;
	}
	*ret = o;
	return SP_OK;
}
