/* src/ctl/evidence_export.c - sallyport evidence export: all that shows one session, in a directory that can be handed out. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "ctl/evidence.h"

static enum sp_err
put(struct ctl *c, int dir, const char *name, const void *p, size_t n)
{
	sp_auto(sp_closep) int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	enum sp_err r;

	if (fd == -1)
		return ctl_fail(c, sp_err_errno(errno), "%s: %s", name, strerror(errno));
	if ((r = sp_write_all(fd, p, n)) != SP_OK || fsync(fd) == -1)
		return ctl_fail(c, r != SP_OK ? r : SP_EIO, "%s cannot be written", name);
	return SP_OK;
}

static enum sp_err
export_proofs(struct ctl *c, const struct evlog *l, const struct evsession *s, int dir)
{
	for (size_t i = 0; i < s->n; i++) {
		sp_auto(sp_buf_release) struct sp_buf b = { .max = 2 * SP_NOTE_MAX };
		char name[64];

		if (s->index[i] >= l->head.size)
			continue;	/* no signed head has it yet */
		sp_snprintf(name, sizeof(name), "proofs/%012" PRIu64 ".tlog-proof", s->index[i]);
		if (evlog_proof(l, s->index[i], &b) != SP_OK)
			return ctl_fail(c, SP_ECORRUPT, "entry %" PRIu64 " cannot be proven", s->index[i] + 1);
		CTL_TRY(put(c, dir, name, b.p, b.len));
	}
	return SP_OK;
}

static enum sp_err
export_files(struct ctl *c, const struct evlog *l, const struct evsession *s, const char *id, int dir, json_t *o)
{
	char key[SP_NOTE_VKEY_SIZE], line[SP_NOTE_VKEY_SIZE + 1];
	sp_auto(sp_freep) char *text = json_dumps(s->entries, JSON_INDENT(1) | JSON_SORT_KEYS);

	if (text == NULL || sp_note_key_text(&l->key, key) != SP_OK)
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	(void)sp_snprintf(line, sizeof(line), "%s\n", key);
	CTL_TRY(put(c, dir, "entries.log", s->lines.p, s->lines.len));
	CTL_TRY(put(c, dir, "entries.json", text, strlen(text)));
	CTL_TRY(put(c, dir, "checkpoint", l->note.p, l->note.len));
	CTL_TRY(put(c, dir, "key", line, strlen(line)));
	if (mkdirat(dir, "proofs", 0700) == -1)
		return ctl_fail(c, sp_err_errno(errno), "proofs: %s", strerror(errno));
	CTL_TRY(export_proofs(c, l, s, dir));
	return export_recording(c, l, s, id, dir, o);
}

enum sp_err
export_run(struct ctl *c)
{
	const char *id = json_string_value(json_object_get(c->local, "SESSION")), *to = ctl_local_str(c, "output");
	struct evsession s = { .n = 0 };
	sp_auto(sp_closep) int dir = -1;
	ctl_auto_json *o = NULL;
	struct evlog l;
	enum sp_err r = evlog_open(c, &l);

	if (r == SP_OK && (r = evlog_check_edge(c, &l)) == SP_OK)
		r = evsession_check(c, &l, id, &s);
	if (r == SP_OK && (mkdir(to, 0700) == -1 || (dir = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1))
		r = ctl_fail(c, sp_err_errno(errno), "%s: %s: name a directory that does not exist yet", to, strerror(errno));
	if (r == SP_OK) {
		o = json_pack("{s:s, s:s, s:I, s:I, s:I}", "session", id, "output", to, "entries", (json_int_t)s.n, "waiting",
		    (json_int_t)s.waiting, "size", (json_int_t)l.head.size);
		r = export_files(c, &l, &s, id, dir, o);
	}
	evsession_release(&s);
	evlog_release(&l);
	if (r != SP_OK)
		return r;
	if (c->json)
		return ctl_print_json(c, o);
	ctl_note(c, "%s: %lld entries with their proofs%s%s.", to, (long long)json_integer_value(json_object_get(o, "entries")),
	    json_object_get(o, "recording") != NULL ? ", recording " : "",
	    json_object_get(o, "recording") != NULL ? json_string_value(json_object_get(o, "recording")) : "");
	return SP_OK;
}
