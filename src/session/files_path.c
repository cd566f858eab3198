/* src/session/files_path.c - rules for paths, on requests of sftp. Process: session.
 *
 * What a path means only the target knows: where it begins, what ".." and links make of it. So before a request with a path goes on,
 * the target is asked:
 *
 *   REALPATH of the path, or of its folder when the request is about the name itself (remove, rename, lstat ...)
 *   LSTAT of every folder in the answer, all at once: servers whose REALPATH follows no links are found out by that
 *
 * and the request goes on with the answer in the place of what was written. So what was judged is what is asked for. What the
 * target does not tell is refused.
 *
 * Invariants: (1) one request is held at a time, and nothing that came behind it is judged meanwhile. (2) Own requests and their
 * answers are neither the user's nor recorded: what was asked in the end is. (3) A request goes on only with absolute paths that the
 * rules, as they are at that moment, allow. Not held off: someone at the target who puts a link in the place of a folder between the
 * answer and the request (docs/threat-model.md). */
#include "session/files_int.h"

#include <string.h>

#include "base/str.h"
#include "session/relay_int.h"

#define UP	SP_POLICY_FILE_UP
#define DOWN	SP_POLICY_FILE_DOWN
#define MODE_TYPE	0170000u
#define MODE_LINK	0120000u
#define MODE_DIR	0040000u

/* How many paths, and which are followed to their end: else the last name is meant as it stands. A hard link is, too: not every
 * target takes a link for itself. */
static const struct { int n, follow[2]; } paths[SP_SFTP_OPS] = {
	[SP_SFTP_OPEN] = { 1, { 1, 0 } }, [SP_SFTP_OPENDIR] = { 1, { 1, 0 } }, [SP_SFTP_STAT] = { 1, { 1, 0 } },
	[SP_SFTP_SETSTAT] = { 1, { 1, 0 } }, [SP_SFTP_STATVFS] = { 1, { 1, 0 } },
	[SP_SFTP_LSTAT] = { 1, { 0, 0 } }, [SP_SFTP_LSETSTAT] = { 1, { 0, 0 } }, [SP_SFTP_READLINK] = { 1, { 0, 0 } },
	[SP_SFTP_REMOVE] = { 1, { 0, 0 } }, [SP_SFTP_MKDIR] = { 1, { 0, 0 } }, [SP_SFTP_RMDIR] = { 1, { 0, 0 } },
	[SP_SFTP_RENAME] = { 2, { 0, 0 } }, [SP_SFTP_POSIX_RENAME] = { 2, { 0, 0 } },
	[SP_SFTP_SYMLINK] = { 2, { 1, 0 } }, [SP_SFTP_HARDLINK] = { 2, { 1, 0 } },
};

static void	look_next(struct relay *r);

void
files_look_init(struct files_look *l)
{
	sp_buf_init(&l->held, SP_SFTP_HEAD_MAX + 4);
	sp_buf_init(&l->out, FILES_NAMES_MAX * (FILES_PATH_MAX + 16) * 2);
	sp_buf_init(&l->name, FILES_PATH_MAX + 1);
	for (int i = 0; i < 2; i++) {
		sp_buf_init(&l->asked[i], FILES_PATH_MAX + 1);
		sp_buf_init(&l->found[i].path, 2 * FILES_PATH_MAX + 2);
	}
}

void
files_look_release(struct files_look *l)
{
	sp_buf_release(&l->held);
	sp_buf_release(&l->out);
	sp_buf_release(&l->name);
	for (int i = 0; i < 2; i++) {
		sp_buf_release(&l->asked[i]);
		sp_buf_release(&l->found[i].path);
	}
}

int
files_ruled(const struct relay *r)
{
	return r->target->policy->paths_ruled;
}

int
files_look_wanted(const struct sp_sftp_request *q)
{
	return paths[q->op].n > 0;
}

int
files_looking(const struct files *f)
{
	return f->look.step != LOOK_NOTHING;
}

static struct sp_view
view_of(const struct sp_buf *b)
{
	return (struct sp_view){ b->p, b->len };
}

static struct sp_path
path_of(const struct sp_buf *b)
{
	return (struct sp_path){ (const char *)b->p, b->len };
}

/* ---- what the rules say ---- */

static const char *
rules_refuse(struct sp_path path, uint32_t need, char why[FILES_WHY])
{
	char text[200];

	(void)sp_snprintf(why, FILES_WHY, "the paths of your grant do not allow %s %s", need == UP ? "writing" : need == DOWN ? "reading" :
	    need == 0 ? "looking at" : "reading and writing", sp_escape(path.p, path.n, text, sizeof(text)));
	return why;
}

const char *
files_open_ruled(const struct relay *r, const struct sp_sftp_handle *h, uint32_t need, char why[FILES_WHY])
{
	struct sp_path path = { (const char *)h->path.p, h->path.len };

	if (!h->settled) {
		(void)sp_strlcpy(why, "this file was opened before your grant named paths: open it again", FILES_WHY);
		return why;
	}
	if ((sp_policy_paths_at(r->target->policy->file_paths, path) & need) == need)
		return NULL;
	return rules_refuse(path, need, why);
}

/* Names and dates are shown where anything may be moved. */
static int
path_allowed(const char *rules, struct sp_path path, uint32_t need)
{
	uint32_t open = sp_policy_paths_at(rules, path);

	return need == 0 ? open != 0 : (open & need) == need;
}

/* A new name must not open what the old one closed; of a folder that holds for all below it. */
static const char *
rename_refused(const char *rules, const struct files_look *l, char why[FILES_WHY])
{
	struct sp_path from = path_of(&l->found[0].path), to = path_of(&l->found[1].path);
	int dir = l->found[0].is_dir;
	uint32_t has = dir ? sp_policy_paths_below(rules, from) : sp_policy_paths_at(rules, from);
	uint32_t gains = dir ? sp_policy_paths_perhaps(rules, to) : sp_policy_paths_at(rules, to);

	if (dir && !(has & sp_policy_paths_below(rules, to) & UP)) {
		(void)sp_strlcpy(why, "the paths of your grant name something in this folder, so it cannot be renamed", FILES_WHY);
		return why;
	}
	if ((gains & DOWN) && !(has & DOWN)) {
		(void)sp_strlcpy(why, "the paths of your grant do not allow reading it, and under the new name they would", FILES_WHY);
		return why;
	}
	return NULL;
}

static const char *
look_refused(const struct relay *r, const struct files_look *l, char why[FILES_WHY])
{
	const char *rules = r->target->policy->file_paths;
	uint32_t need = files_needs(l->op, l->pflags);

	for (int i = 0; i < paths[l->op].n; i++)
		if (!path_allowed(rules, path_of(&l->found[i].path), need))
			return rules_refuse(path_of(&l->found[i].path), need, why);
	return l->op == SP_SFTP_RENAME || l->op == SP_SFTP_POSIX_RENAME ? rename_refused(rules, l, why) : NULL;
}

/* ---- the end of it ---- */

static void
look_refuse(struct relay *r, uint32_t code, const char *why)
{
	struct files_look *l = &r->files->look;

	l->step = LOOK_NOTHING;
	files_refuse(r, l->id, files_request_name(l->op, l->pflags), view_of(&l->asked[0]), view_of(&l->asked[1]), code, why);
}

/* The request goes on, with the paths that were found. */
static void
look_pass(struct relay *r)
{
	struct files *f = r->files;
	struct files_look *l = &f->look;
	struct sp_sftp_item it;
	struct sp_view v;
	struct sp_buf b;

	l->step = LOOK_NOTHING;
	sp_buf_init(&b, SP_SFTP_HEAD_MAX + 4);
	if (sp_sftp_put_moved(&b, l->op, view_of(&l->held), view_of(&l->found[0].path), view_of(&l->found[1].path)) != SP_OK) {
		sp_buf_release(&b);
		look_refuse(r, SP_SFTP_FAILURE, "the path is too long");
		return;
	}
	v = view_of(&b);
	if (sp_sftp_next(f->sftp, SP_SFTP_CLIENT, &v, &it) == SP_OK && it.what == SP_SFTP_HEAD && v.len == 0) {
		sp_sftp_settled(f->sftp);
		relay_emit(r, SP_REC_IN, it.wire, it.wire.len);
	} else
		relay_fail(r, "a request of your program could not be passed on");
	sp_buf_release(&b);
}

static void
look_done(struct relay *r)
{
	struct files_look *l = &r->files->look;
	const char *why = look_refused(r, l, l->why);

	if (why != NULL)
		look_refuse(r, SP_SFTP_DENIED, why);
	else
		look_pass(r);
}

static void
look_undecided(struct relay *r)
{
	look_refuse(r, SP_SFTP_DENIED, "the target does not say where this path leads, and your grant names paths");
}

/* ---- asking ---- */

static void
look_ask(struct relay *r, enum sp_sftp_op op, uint32_t number, struct sp_view path)
{
	struct files_look *l = &r->files->look;

	if (sp_sftp_ask(r->files->sftp, op, l->first + number, path, &l->out) != SP_OK)
		relay_fail(r, "out of memory");
}

static void
look_send(struct relay *r, uint32_t n)
{
	struct files_look *l = &r->files->look;

	l->n = l->left = n;
	l->missing = n;
	l->inner_link = 0;
	files_look_pump(r);
}

void
files_look_pump(struct relay *r)
{
	struct files_look *l = &r->files->look;

	if (l->out.len > 0 && r->state == RL_RUN && relay_insert(r, SP_REC_IN, view_of(&l->out), SIZE_MAX))
		sp_buf_reset(&l->out);
}

/* The folder of a path and the name in it; 0: its last name is none, so all of it is asked for. */
static int
split(struct sp_view path, struct sp_view *folder, struct sp_view *name)
{
	size_t at = path.len;

	while (at > 0 && path.p[at - 1] != '/')
		at--;
	*name = (struct sp_view){ path.p + at, path.len - at };
	if (name->len == 0 || sp_view_equal_str(*name, ".") || sp_view_equal_str(*name, ".."))
		return 0;
	*folder = at == 0 ? (struct sp_view){ (const uint8_t *)".", 1 } : (struct sp_view){ path.p, at > 1 ? at - 1 : 1 };
	return 1;
}

static void
look_realpath(struct relay *r, int by_folder)
{
	struct files_look *l = &r->files->look;
	struct sp_view path = view_of(&l->asked[l->which]), folder, name;

	if (path.len == 0)
		path = (struct sp_view){ (const uint8_t *)".", 1 };
	sp_buf_reset(&l->name);
	if (by_folder && split(path, &folder, &name)) {
		if (sp_buf_append(&l->name, name.p, name.len) != SP_OK) {
			relay_fail(r, "out of memory");
			return;
		}
		path = folder;
	}
	l->step = LOOK_REALPATH;
	l->first = sp_sftp_free_ids(r->files->sftp, 1);
	look_ask(r, SP_SFTP_REALPATH, 0, path);
	if (r->state == RL_RUN)
		look_send(r, 1);
}

/* Every beginning of the path that ends at a name. */
static void
look_walk(struct relay *r)
{
	struct files_look *l = &r->files->look;
	struct sp_view path = view_of(&l->found[l->which].path);
	uint32_t names = 0, n = 0;

	for (size_t i = 1; i <= path.len; i++)
		names += path.len > 1 && (i == path.len || path.p[i] == '/');
	if (names > FILES_NAMES_MAX) {
		look_refuse(r, SP_SFTP_FAILURE, "the path has too many folders");
		return;
	}
	l->found[l->which].is_dir = 1;		/* the root */
	if (names == 0) {
		look_next(r);
		return;
	}
	l->step = LOOK_WALK;
	l->first = sp_sftp_free_ids(r->files->sftp, names);
	for (size_t i = 1; i <= path.len && r->state == RL_RUN; i++)
		if (i == path.len || path.p[i] == '/')
			look_ask(r, SP_SFTP_LSTAT, n++, (struct sp_view){ path.p, i });
	if (r->state == RL_RUN)
		look_send(r, n);
}

/* The path in work is known: the next one, or the end. */
static void
look_next(struct relay *r)
{
	struct files_look *l = &r->files->look;

	if (++l->which >= paths[l->op].n) {
		look_done(r);
		return;
	}
	l->again = 0;
	look_realpath(r, !paths[l->op].follow[l->which]);
}

void
files_look_begin(struct relay *r, const struct sp_sftp_item *it)
{
	struct files *f = r->files;
	struct files_look *l = &f->look;
	const struct sp_sftp_request *q = it->req;
	struct sp_view path[2] = { q->path, q->to };
	enum sp_err e;

	sp_buf_reset(&l->held);
	e = sp_buf_append(&l->held, it->wire.p, it->wire.len);
	for (int i = 0; i < 2; i++) {
		sp_buf_reset(&l->asked[i]);
		sp_buf_reset(&l->found[i].path);
		l->found[i].is_link = l->found[i].is_dir = 0;
		if (e == SP_OK && path[i].len > 0)
			e = sp_buf_append(&l->asked[i], path[i].p, path[i].len);
	}
	l->op = q->op;
	l->id = q->id;
	l->pflags = q->pflags;
	sp_sftp_refuse(f->sftp);		/* it comes again, with other paths, when it may go on */
	if (e != SP_OK) {
		relay_fail(r, "out of memory");
		return;
	}
	/* Servers do not agree on the order of a symlink's two paths: both are looked at in the same way, and taken as found. */
	if (l->op == SP_SFTP_SYMLINK && (l->asked[0].len == 0 || l->asked[0].p[0] != '/')) {
		look_refuse(r, SP_SFTP_DENIED, "your grant names paths: give the target of a link in full, from the root on");
		return;
	}
	l->which = -1;
	look_next(r);
}

/* ---- answers ---- */

/* A server may say a path with a slash at its end. */
static void
realpath_answered(struct relay *r, const struct sp_sftp_item *it)
{
	struct files_look *l = &r->files->look;
	struct files_found *f = &l->found[l->which];
	struct sp_view v = it->name;

	if (it->type != SP_SFTP_NAME) {
		if (it->code == SP_SFTP_NO_FILE && paths[l->op].follow[l->which] && !l->again) {
			l->again = 1;		/* a server that resolves only what exists: perhaps it is to be made */
			look_realpath(r, 1);
		} else if (it->code == SP_SFTP_NO_FILE)
			look_refuse(r, SP_SFTP_NO_FILE, "no such file or folder");
		else
			look_undecided(r);
		return;
	}
	while (v.len > 1 && v.p[v.len - 1] == '/')
		v.len--;
	sp_buf_reset(&f->path);
	if (v.len == 0 || v.p[0] != '/' || v.len > FILES_PATH_MAX) {
		look_undecided(r);
		return;
	}
	if (sp_buf_append(&f->path, v.p, v.len) != SP_OK || (l->name.len > 0 && ((v.len > 1 && sp_buf_append_str(&f->path, "/") != SP_OK) ||
	    sp_buf_append(&f->path, l->name.p, l->name.len) != SP_OK))) {
		relay_fail(r, "out of memory");
		return;
	}
	look_walk(r);
}

static void
walk_ended(struct relay *r)
{
	struct files_look *l = &r->files->look;
	struct files_found *f = &l->found[l->which];
	int follow = paths[l->op].follow[l->which];

	if (l->inner_link || (follow && f->is_link))
		look_undecided(r);
	else if (l->missing + 1 < l->n)
		look_refuse(r, SP_SFTP_NO_FILE, "no such file or folder");
	else
		look_next(r);
}

static void
walk_answered(struct relay *r, const struct sp_sftp_item *it)
{
	struct files_look *l = &r->files->look;
	struct files_found *f = &l->found[l->which];
	uint32_t at = it->req->id - l->first;
	int last = at + 1 == l->n;

	if (it->type == SP_SFTP_ATTRS && (it->attrs.flags & SP_SFTP_A_MODE)) {
		uint32_t type = it->attrs.mode & MODE_TYPE;
		int link = type == MODE_LINK;

		l->inner_link |= type == 0 || (link && !last);	/* a server that leaves the type out tells of no link */
		if (last) {
			f->is_link = link;
			f->is_dir = type == MODE_DIR;
		}
	} else if (it->type == SP_SFTP_STATUS && it->code == SP_SFTP_NO_FILE) {
		if (at < l->missing)
			l->missing = at;
		if (last)
			f->is_dir = 0;
	} else
		l->inner_link = 1;		/* as good as one: it may be */
	if (--l->left == 0)
		walk_ended(r);
}

void
files_look_answer(struct relay *r, const struct sp_sftp_item *it)
{
	struct files_look *l = &r->files->look;

	if (l->step == LOOK_REALPATH)
		realpath_answered(r, it);
	else if (l->step == LOOK_WALK)
		walk_answered(r, it);
}
