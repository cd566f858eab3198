/* src/ctl/evidence_verify.c - see evidence.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "common/config.h"
#include "common/entry.h"
#include "ctl/evidence.h"

#define KEY_FILE_MAX	4096

/* ---- opening ---- */

/* Of the installation whose control is asked, when it is another one than /etc names. */
static enum sp_err
evlog_dir_asked(struct ctl *c, char *dst, size_t size)
{
	ctl_auto_json *params = json_object(), *status = NULL;
	const char *dir;

	CTL_TRY(ctl_call(c, "evidence.status", params, &status));
	dir = json_string_value(json_object_get(status, "directory"));
	if (dir == NULL || sp_strlcpy(dst, dir, size) != 0)
		return ctl_fail(c, SP_EFORMAT, "control does not say where its log is: name it with --dir");
	return SP_OK;
}

static enum sp_err
evlog_dir(struct ctl *c, char *dst, size_t size)
{
	const char *dir = ctl_local_str(c, "dir"), *conf_path = ctl_local_str(c, "config");
	sp_auto(sp_freep) struct sp_config *conf = malloc(sizeof(*conf));
	sp_auto(sp_freep) char *text = malloc(SP_CONF_FILE + 1);
	char why[512] = "";
	FILE *f;
	size_t n;

	if (dir != NULL)
		return sp_strlcpy(dst, dir, size) == 0 ? SP_OK : ctl_fail(c, SP_ESIZE, "--dir is too long");
	if (conf_path == NULL && (c->socket_named || access(SP_CONFIG_PATH_DEFAULT, F_OK) != 0))
		return evlog_dir_asked(c, dst, size);
	if (conf_path == NULL)
		conf_path = SP_CONFIG_PATH_DEFAULT;
	if (conf == NULL || text == NULL || (f = fopen(conf_path, "re")) == NULL)
		return ctl_fail(c, sp_err_errno(errno), "%s: %s: name the log's directory with --dir, or the configuration with --config",
		    conf_path, strerror(errno));
	n = fread(text, 1, SP_CONF_FILE, f);
	fclose(f);
	if (sp_config_parse(conf_path, text, n, conf, why, sizeof(why)) != SP_OK)
		return ctl_fail(c, SP_EFORMAT, "%s", why);
	return sp_snprintf(dst, size, "%s/audit", conf->state_dir) == 0 ? SP_OK : ctl_fail(c, SP_ESIZE, "state_dir is too long");
}

enum sp_err
evkey_read(struct ctl *c, int dirfd, const char *path, struct sp_note_key *ret)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = KEY_FILE_MAX + 1 };
	enum sp_err r = logdir_file(dirfd, path, KEY_FILE_MAX, &b);
	const char *p;

	if (r != SP_OK)
		return ctl_fail(c, r, "%s: %s: it holds the log's public key, as 'sallyport evidence key' prints it", path, sp_err_text(r));
	for (p = sp_buf_cstr(&b); *p == '#'; )
		p += strcspn(p, "\n") + (p[strcspn(p, "\n")] == '\n');
	r = sp_note_key_parse(p, strcspn(p, "\n"), ret);
	return r == SP_OK ? SP_OK : ctl_fail(c, r, "%s does not hold a log's public key", path);
}

static enum sp_err
evlog_key(struct ctl *c, struct evlog *l)
{
	const char *path = ctl_local_str(c, "key");

	l->own_key = path == NULL;
	return evkey_read(c, path != NULL ? AT_FDCWD : l->fd, path != NULL ? path : "key", &l->key);
}

/* "from ORIGIN SIZE ROOT" and "to ...", of a bridge that both names signed. */
static int
bridge_origin(const char *text, const char *word, char ret[SP_NOTE_NAME_MAX + 1])
{
	const char *p = strstr(text, word);
	size_t n;

	if (p == NULL || (n = strcspn(p += strlen(word), " \n")) == 0 || n > SP_NOTE_NAME_MAX)
		return 0;
	memcpy(ret, p, n);
	ret[n] = '\0';
	return 1;
}

enum sp_err
evbridge_check(const struct sp_note_key *log, struct sp_buf *note, char from[SP_NOTE_NAME_MAX + 1], char to[SP_NOTE_NAME_MAX + 1])
{
	struct sp_note_key key = *log;
	struct sp_view all = { note->p, note->len }, text;
	enum sp_err r = sp_note_text(all, &text);

	if (r != SP_OK)
		return r;
	if (!bridge_origin(sp_buf_cstr(note), "\nfrom ", from) || !bridge_origin(sp_buf_cstr(note), "\nto ", to) ||
	    strncmp(sp_buf_cstr(note), "sallyport.bridge/v1\n", 20) != 0)
		return SP_EFORMAT;
	(void)sp_strlcpy(key.name, from, sizeof(key.name));
	if ((r = sp_note_verify(all, &key, NULL)) != SP_OK)
		return r;
	(void)sp_strlcpy(key.name, to, sizeof(key.name));
	if ((r = sp_note_verify(all, &key, NULL)) != SP_OK)
		return r;
	note->len = text.len;
	note->p[text.len] = '\0';
	return SP_OK;
}

/* From the name of the key to the origin of the head, over signed bridges. */
static enum sp_err
evlog_cross(struct ctl *c, struct evlog *l)
{
	int crossed = 1;

	for (int hops = 0; strcmp(l->key.name, l->head.origin) != 0 && hops < 64 && crossed; hops++) {
		int fd = openat(l->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *d = fd != -1 ? fdopendir(fd) : NULL;
		struct dirent *de;

		crossed = 0;
		if (d == NULL) {
			sp_closep(&fd);
			break;
		}
		while (!crossed && (de = readdir(d)) != NULL) {
			sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_NOTE_MAX + 1 };
			char from[SP_NOTE_NAME_MAX + 1], to[SP_NOTE_NAME_MAX + 1];

			if (strncmp(de->d_name, "bridge-", 7) != 0 || logdir_file(l->fd, de->d_name, SP_NOTE_MAX, &b) != SP_OK ||
			    evbridge_check(&l->key, &b, from, to) != SP_OK ||
			    strcmp(from, l->key.name) != 0)
				continue;
			(void)sp_strlcpy(l->key.name, to, sizeof(l->key.name));
			json_array_append_new(l->bridges, json_string(sp_buf_cstr(&b)));
			crossed = 1;
		}
		closedir(d);
	}
	return crossed ? SP_OK : ctl_fail(c, SP_EAUTH, "the log is called %s, the key is for %s, and no signed bridge leads from one to the other",
	    l->head.origin, l->key.name);
}

enum sp_err
evlog_open(struct ctl *c, struct evlog *ret)
{
	char dir[4096];
	enum sp_err r;

	*ret = (struct evlog){ .fd = -1 };
	sp_buf_init(&ret->note, SP_NOTE_MAX + 1);
	ret->bridges = json_array();
	if (c->place != NULL)
		return ctl_fail(c, SP_EUSAGE, "that reads the log's files: run it on the bastion, or on a copy of them");
	CTL_TRY(evlog_dir(c, dir, sizeof(dir)));
	if ((ret->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return ctl_fail(c, sp_err_errno(errno), "%s: %s", dir, strerror(errno));
	CTL_TRY(evlog_key(c, ret));
	if ((r = logdir_checkpoint(ret->fd, &ret->note, &ret->head)) != SP_OK)
		return ctl_fail(c, r, r == SP_ENOENT ? "%s/checkpoint: no head was signed yet: unseal the vault" : "%s/checkpoint: damaged", dir);
	if (strcmp(ret->key.name, ret->head.origin) != 0)
		CTL_TRY(evlog_cross(c, ret));
	if ((r = sp_note_verify((struct sp_view){ ret->note.p, ret->note.len }, &ret->key, NULL)) != SP_OK)
		return ctl_fail(c, SP_EAUTH, "the signed head does not carry a good signature of that key");
	return SP_OK;
}

void
evlog_release(struct evlog *l)
{
	sp_closep(&l->fd);
	sp_buf_release(&l->note);
	json_decref(l->bridges);
}

/* ---- the tree ---- */

enum sp_err
evlog_check_edge(struct ctl *c, const struct evlog *l)
{
	struct sp_tlog_edge e;
	struct sp_tlog_hash root;
	struct logdir d;
	enum sp_err r;

	logdir_init(&d, l->fd, l->head.size);
	r = sp_tlog_edge_read(l->head.size, logdir_node, &d, &e);
	logdir_release(&d);
	if (r != SP_OK)
		return ctl_fail(c, SP_ECORRUPT, "a tile on the right edge of the tree is missing or cut off");
	sp_tlog_edge_root(&e, &root);
	return sp_tlog_equal(&root, &l->head.root) ? SP_OK : ctl_fail(c, SP_EAUTH, "the tiles do not come to the root that was signed");
}

#define LEVELS (SP_TLOG_LEVELS / SP_TLOG_TILE_BITS + 1)

struct all {
	struct ctl		*c;
	const struct evlog	*l;
	struct sp_tlog_edge	 edge;
	struct sp_buf		 row[LEVELS];	/* computed hashes of the tile that is being filled */
	struct sp_buf		 have, bundle;
	struct logread		 read;
	int			 has_segments;
	struct evlog_all	 count;
	enum sp_err		 err;
};

static void
tile_compare(struct all *a, unsigned level, uint64_t n, unsigned width)
{
	struct sp_tlog_tile t = { level, n, width };
	char path[SP_TLOG_PATH_SIZE];

	if (a->err != SP_OK || sp_tlog_tile_path(&t, path) != SP_OK)
		return;
	if (logdir_tile(a->l->fd, &t, &a->have) != SP_OK)
		a->err = ctl_fail(a->c, SP_ECORRUPT, "%s is missing or cut off", path);
	else if (memcmp(a->have.p, a->row[level].p, (size_t)width * SP_TLOG_HASH) != 0)
		a->err = ctl_fail(a->c, SP_EAUTH, "%s does not have the hashes of its entries", path);
}

static void
on_node(void *arg, unsigned level, uint64_t index, const struct sp_tlog_hash *h)
{
	struct all *a = arg;
	unsigned l = level / SP_TLOG_TILE_BITS;

	if (level % SP_TLOG_TILE_BITS != 0 || a->err != SP_OK)
		return;
	if (sp_buf_append(&a->row[l], h->b, SP_TLOG_HASH) != SP_OK)
		a->err = ctl_fail(a->c, SP_ENOMEM, "out of memory");
	if (a->row[l].len == SP_TLOG_TILE_BYTES) {
		tile_compare(a, l, index / SP_TLOG_TILE_WIDTH, SP_TLOG_TILE_WIDTH);
		a->row[l].len = 0;
	}
}

/* The same bytes in the segment, where it is kept; there are its openings, too. */
static enum sp_err
segment_compare(struct all *a, struct sp_view entry)
{
	uint64_t seq = a->edge.n + 1;
	struct sp_view line = entry, leaf, open;
	unsigned erased = 0;

	if (a->has_segments) {
		if (logread_next(&a->read, &line) != SP_OK)
			return ctl_fail(a->c, SP_ECORRUPT, "entry %" PRIu64 " is missing in its segment", seq);
		entry_split(line, &leaf, &open);
		if (leaf.len != entry.len || memcmp(leaf.p, entry.p, leaf.len) != 0)
			return ctl_fail(a->c, SP_EAUTH, "entry %" PRIu64 " is another one in its segment than in the tree", seq);
		a->count.compared++;
	}
	switch (entry_verify(line, seq, &erased)) {
	case SP_OK:
		a->count.erased += a->has_segments ? erased : 0;
		return SP_OK;
	case SP_EAUTH:
		return ctl_fail(a->c, SP_EAUTH, "entry %" PRIu64 ": what it shows in clear does not fit its commitments", seq);
	default:
		return ctl_fail(a->c, SP_EAUTH, "entry %" PRIu64 " is not canonical, or numbered otherwise", seq);
	}
}

static enum sp_err
bundle_check(struct all *a, uint64_t n, unsigned width)
{
	struct sp_tlog_tile t = { SP_TLOG_ENTRIES, n, width };
	struct sp_view at, entry;
	struct sp_tlog_hash h;
	char path[SP_TLOG_PATH_SIZE];

	if (sp_tlog_tile_path(&t, path) != SP_OK || logdir_tile(a->l->fd, &t, &a->bundle) != SP_OK)
		return ctl_fail(a->c, SP_ECORRUPT, "%s is missing or cut off", path);
	at = (struct sp_view){ a->bundle.p, a->bundle.len };
	for (unsigned i = 0; i < width; i++) {
		if (sp_tlog_bundle_get(&at, &entry) != SP_OK)
			return ctl_fail(a->c, SP_ECORRUPT, "%s is cut off", path);
		CTL_TRY(segment_compare(a, entry));
		sp_tlog_leaf(entry, &h);
		if (sp_tlog_edge_add(&a->edge, &h, on_node, a) != SP_OK)
			return ctl_fail(a->c, SP_EINTERNAL, "%s: too many entries", path);
		CTL_TRY(a->err);
	}
	return SP_OK;
}

static enum sp_err
all_run(struct all *a)
{
	uint64_t size = a->l->head.size;
	struct sp_tlog_hash root;

	for (uint64_t n = 0; n * SP_TLOG_TILE_WIDTH < size; n++) {
		uint64_t left = size - n * SP_TLOG_TILE_WIDTH;

		CTL_TRY(bundle_check(a, n, left < SP_TLOG_TILE_WIDTH ? (unsigned)left : SP_TLOG_TILE_WIDTH));
	}
	for (unsigned l = 0; l < LEVELS - 1; l++)
		if (a->row[l].len > 0)
			tile_compare(a, l, size >> (l + 1) * SP_TLOG_TILE_BITS, (unsigned)(a->row[l].len / SP_TLOG_HASH));
	CTL_TRY(a->err);
	sp_tlog_edge_root(&a->edge, &root);
	return sp_tlog_equal(&root, &a->l->head.root) ? SP_OK :
	    ctl_fail(a->c, SP_EAUTH, "the entries do not come to the root that was signed");
}

/* A copy may be without segments, but not without the first of them. */
static enum sp_err
segments_open(struct all *a)
{
	uint64_t *first = NULL;
	size_t n = 0;
	enum sp_err r = logdir_segments(a->l->fd, &first, &n);

	free(first);
	a->read.fd = -1;
	if (r == SP_OK && n > 0 && (r = logread_open(&a->read, a->l->fd, 1)) == SP_ENOENT)
		return ctl_fail(a->c, SP_ECORRUPT, "the segment of the first entry is missing");
	a->has_segments = n > 0;
	return r == SP_OK ? SP_OK : ctl_fail(a->c, r, "the log's segments cannot be read: %s", sp_err_text(r));
}

enum sp_err
evlog_check_all(struct ctl *c, const struct evlog *l, struct evlog_all *ret)
{
	struct all a = { .c = c, .l = l };
	enum sp_err r;

	for (size_t i = 0; i < LEVELS; i++)
		sp_buf_init(&a.row[i], SP_TLOG_TILE_BYTES + 1);
	sp_buf_init(&a.have, SP_TLOG_TILE_BYTES + 1);
	sp_buf_init(&a.bundle, LOGDIR_BUNDLE_MAX + 1);
	r = segments_open(&a);
	if (r == SP_OK)
		r = all_run(&a);
	for (size_t i = 0; i < LEVELS; i++)
		sp_buf_release(&a.row[i]);
	sp_buf_release(&a.have);
	sp_buf_release(&a.bundle);
	logread_release(&a.read);
	if (r == SP_OK)
		*ret = a.count;
	return r;
}

/* ---- one session ---- */

void
evsession_release(struct evsession *s)
{
	json_decref(s->entries);
	free(s->index);
	sp_buf_release(&s->lines);
}

/* What the recorder numbered has no gap; a repeat is the recorder's that was sent again before it was acknowledged. */
static enum sp_err
session_sequence(struct ctl *c, struct evsession *s, const json_t *o)
{
	const char *kind = json_string_value(json_object_get(o, "kind"));
	const json_t *more = json_object_get(o, "more"), *seq = json_object_get(more, "seq");

	if (kind == NULL)
		return SP_OK;
	s->has_start |= strcmp(kind, "session.start") == 0;
	if (strcmp(kind, "session.end") == 0) {
		s->has_end = 1;
		if (json_is_object(json_object_get(more, "body")))
			s->end = json_object_get(more, "body");
	}
	if (!json_is_integer(seq) || (strcmp(kind, "session.start") != 0 && strcmp(kind, "session.event") != 0 && strcmp(kind, "session.end") != 0))
		return SP_OK;
	if (json_integer_value(seq) > s->events + 1)
		return ctl_fail(c, SP_ECORRUPT, "the recorder's event %lld is missing", (long long)s->events + 1);
	if (json_integer_value(seq) == s->events + 1)
		s->events++;
	return SP_OK;
}

static enum sp_err
session_take(struct ctl *c, const struct evlog *l, struct logdir *d, uint64_t seq, struct sp_view line, struct evsession *s)
{
	struct sp_tlog_proof proof;
	struct sp_tlog_hash h;
	struct sp_view leaf, open;
	unsigned erased = 0;
	json_t *o;

	entry_split(line, &leaf, &open);
	if (seq > l->head.size) {
		s->waiting++;
	} else {
		sp_tlog_leaf(leaf, &h);
		if (sp_tlog_prove(l->head.size, seq - 1, logdir_node, d, &proof) != SP_OK ||
		    sp_tlog_check(&proof, l->head.size, &l->head.root, seq - 1, &h) != SP_OK)
			return ctl_fail(c, SP_EAUTH, "entry %" PRIu64 " is not the one that the signed tree has", seq);
	}
	if (entry_check(line, &erased) != SP_OK || (o = entry_parse(line)) == NULL)
		return ctl_fail(c, SP_EAUTH, "entry %" PRIu64 ": what it shows in clear does not fit its commitments", seq);
	s->erased += erased;
	json_array_append_new(s->entries, o);
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		uint64_t *p = realloc(s->index, cap * sizeof(*p));

		if (p == NULL)
			return ctl_fail(c, SP_ENOMEM, "out of memory");
		s->index = p;
		s->cap = cap;
	}
	s->index[s->n++] = seq - 1;
	if (sp_buf_append(&s->lines, line.p, line.len) != SP_OK || sp_buf_append(&s->lines, "\n", 1) != SP_OK)
		return ctl_fail(c, SP_ESIZE, "the session has too many entries");
	return session_sequence(c, s, o);
}

enum sp_err
evsession_check(struct ctl *c, const struct evlog *l, const char *id, struct evsession *ret)
{
	char needle[SP_UUID_SIZE + 16];
	struct logread rd;
	struct logdir d;
	struct sp_view line;
	struct sp_uuid uuid;
	enum sp_err r, e;

	*ret = (struct evsession){ .entries = json_array() };
	sp_buf_init(&ret->lines, (size_t)1 << 30);
	if (sp_uuid_parse(id, &uuid) != SP_OK)
		return ctl_fail(c, SP_EUSAGE, "a session's id is wanted, as 'sallyport session list' shows it");
	sp_snprintf(needle, sizeof(needle), "\"session\":\"%s\"", id);
	if ((r = logread_open(&rd, l->fd, 1)) != SP_OK)
		return ctl_fail(c, r, "the log's segments cannot be read: %s", sp_err_text(r));
	logdir_init(&d, l->fd, l->head.size);
	while (r == SP_OK && (e = logread_next(&rd, &line)) == SP_OK)
		if (memmem(line.p, line.len, needle, strlen(needle)) != NULL)
			r = session_take(c, l, &d, rd.next - 1, line, ret);
	if (r == SP_OK && e != SP_ENOENT)
		r = ctl_fail(c, e, "the log's segments cannot be read after entry %" PRIu64, rd.next - 1);
	logdir_release(&d);
	logread_release(&rd);
	if (r == SP_OK && ret->n == 0)
		r = ctl_fail(c, SP_ENOENT, "the log has no entry of session %s", id);
	return r;
}

enum sp_err
evlog_proof(const struct evlog *l, uint64_t index, struct sp_buf *ret)
{
	struct sp_tlog_proof proof;
	struct logdir d;
	enum sp_err r;

	logdir_init(&d, l->fd, l->head.size);
	r = sp_tlog_prove(l->head.size, index, logdir_node, &d, &proof);
	logdir_release(&d);
	if (r == SP_OK)
		r = sp_buf_printf(ret, "c2sp.org/tlog-proof@v1\nindex %" PRIu64 "\n", index);
	for (size_t i = 0; i < proof.n && r == SP_OK; i++)
		if ((r = sp_base64(ret, proof.h[i].b, SP_TLOG_HASH)) == SP_OK)
			r = sp_buf_append_str(ret, "\n");
	if (r == SP_OK)
		r = sp_buf_append_str(ret, "\n");
	return r == SP_OK ? sp_buf_append(ret, l->note.p, l->note.len) : r;
}
