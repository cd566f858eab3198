/* src/ctl/backup.c - sallyport backup and restore, and the quarantine that a restored node starts in.
 *
 * backup: control makes a copy of the store as at one moment and names the entry of the audit log that closes it; this
 * program, which runs as root or as the owner, adds the audit log up to that entry, the vault's key file (its keys stay
 * wrapped), host keys and configuration, and encrypts it all under a passphrase. Recordings are not in it.
 * restore: reads the whole archive once and writes nothing; only if all of it is right it reads it again and writes.
 * Process: the command line. Invariant: a restored state directory holds `snapshot/quarantine` before it holds a store. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "common/config.h"
#include "common/entry.h"
#include "common/logdir.h"
#include "ctl/archive.h"
#include "ctl/call.h"
#include "ctl/nouns.h"
#include "ctl/secret.h"

#define BACKUP_INFO	"backup.json"
#define BACKUP_TRIES	3		/* the vault's key file may change while we read */
#define PATH_SIZE	1200
#define KEYFILE_MAX	((size_t)4 << 20)
#define HEAD_MAX	((size_t)64 * 1024)

struct backup {
	struct ctl		*c;
	struct sp_config	 conf;
	const char		*conf_path;
	struct archive_writer	*w;
	uint64_t		 audit_seq;	/* the log up to here */
	uint64_t		 seq;		/* the same, until the segment that has it was written; then 0 */
	struct sp_buf		 head;		/* of the log; empty: none was signed */
};

static enum sp_err
backup_config(struct backup *b)
{
	sp_auto(sp_freep) char *text = malloc(SP_CONF_FILE + 1);
	char why[512] = "";
	FILE *f;
	size_t n;

	b->conf_path = ctl_local_str(b->c, "config");
	if (b->conf_path == NULL)
		b->conf_path = SP_CONFIG_PATH_DEFAULT;
	if (text == NULL || (f = fopen(b->conf_path, "re")) == NULL)
		return ctl_fail(b->c, sp_err_errno(errno), "%s: %s: name the configuration with --config", b->conf_path, strerror(errno));
	n = fread(text, 1, SP_CONF_FILE, f);
	fclose(f);
	return sp_config_parse(b->conf_path, text, n, &b->conf, why, sizeof(why)) == SP_OK ? SP_OK : ctl_fail(b->c, SP_EFORMAT, "%s", why);
}

static enum sp_err
backup_failed(struct backup *b, const char *path, enum sp_err r)
{
	return ctl_fail(b->c, r, "%s: %s", path, sp_err_text(r));
}

/* The first `size` bytes of a file. */
static enum sp_err
backup_fd(struct backup *b, int fd, const char *path, const char *name, uint64_t size)
{
	sp_auto(sp_freep) char *buf = malloc(65536);
	enum sp_err r = buf == NULL ? SP_ENOMEM : archive_begin(b->w, name, size);

	while (r == SP_OK && size > 0) {
		ssize_t n = read(fd, buf, size < 65536 ? (size_t)size : 65536);

		if (n <= 0)
			return backup_failed(b, path, n == 0 ? SP_ESHORT : sp_err_errno(errno));
		r = archive_write(b->w, buf, (size_t)n);
		size -= (uint64_t)n;
	}
	return r == SP_OK ? SP_OK : backup_failed(b, name, r);
}

static enum sp_err
backup_file(struct backup *b, const char *path, const char *name)
{
	sp_auto(sp_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd == -1 || fstat(fd, &st) == -1)
		return backup_failed(b, path, sp_err_errno(errno));
	return S_ISREG(st.st_mode) ? backup_fd(b, fd, path, name, (uint64_t)st.st_size) : backup_failed(b, path, SP_EINVAL);
}

static int
by_name(const struct dirent **x, const struct dirent **y)
{
	return strcmp((*x)->d_name, (*y)->d_name);
}

static int
no_dots(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static void
names_free(struct dirent **list, int n)
{
	for (int i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

/* Every file of a directory, in the order of the names. */
static enum sp_err
backup_dir(struct backup *b, const char *dir, enum sp_err (*one)(struct backup *b, const char *path, const char *name))
{
	char path[PATH_SIZE], name[ARCHIVE_NAME_MAX + 1];
	struct dirent **list;
	enum sp_err r = SP_OK;
	int n;

	sp_snprintf(path, sizeof(path), "%s/%s", b->conf.state_dir, dir);
	if ((n = scandir(path, &list, no_dots, by_name)) == -1)
		return backup_failed(b, path, sp_err_errno(errno));
	for (int i = 0; i < n && r == SP_OK; i++) {
		if (sp_snprintf(path, sizeof(path), "%s/%s/%s", b->conf.state_dir, dir, list[i]->d_name) != 0 ||
		    sp_snprintf(name, sizeof(name), "%s/%s", dir, list[i]->d_name) != 0)
			r = backup_failed(b, list[i]->d_name, SP_ESIZE);
		else
			r = one(b, path, name);
	}
	names_free(list, n);
	return r;
}

/* Bytes of the segment up to and with the line of entry `seq`; all of it when that is not in it. Sets *ret_found. */
static enum sp_err
segment_cut(FILE *f, uint64_t seq, uint64_t *ret_bytes, int *ret_found)
{
	sp_auto(sp_freep) char *line = NULL;
	size_t cap = 0;
	uint64_t at = 0;
	ssize_t n;

	*ret_found = 0;
	while (!*ret_found && (n = getline(&line, &cap, f)) > 0) {
		struct sp_view leaf, open;
		uint64_t is;
		json_t *o;

		entry_split((struct sp_view){ (const uint8_t *)line, (size_t)n - (line[n - 1] == '\n') }, &leaf, &open);
		o = line[n - 1] == '\n' ? json_loadb((const char *)leaf.p, leaf.len, 0, NULL) : NULL;
		is = (uint64_t)json_integer_value(json_object_get(o, "seq"));

		json_decref(o);
		if (is == 0)
			break;		/* a line that is being written: later than ours */
		*ret_found = is == seq;
		at += (uint64_t)n;
	}
	*ret_bytes = at;
	return ferror(f) ? SP_EIO : SP_OK;
}

static enum sp_err	backup_bytes(struct backup *b, const char *name, const void *p, size_t n);

/* A witness: its key, and the head that it cosigned last unless that has more entries than this copy. */
static enum sp_err
backup_witness(struct backup *b, const char *path, const char *name)
{
	sp_auto(sp_buf_release) struct sp_buf text = { .max = SP_NOTE_MAX + SP_NOTE_VKEY_SIZE + 1 };
	struct sp_checkpoint head;
	struct sp_view note, body;
	size_t key;
	enum sp_err r = logdir_file(AT_FDCWD, path, SP_NOTE_MAX + SP_NOTE_VKEY_SIZE, &text);

	if (r != SP_OK)
		return r == SP_ENOENT ? SP_OK : backup_failed(b, path, r);
	key = strcspn(sp_buf_cstr(&text), "\n");
	key += key < text.len;
	note = (struct sp_view){ text.p + key, text.len - key };
	if (note.len > 0 && (sp_note_text(note, &body) != SP_OK || sp_checkpoint_parse(body, &head) != SP_OK || head.size > b->audit_seq))
		text.len = key;
	return backup_bytes(b, name, text.p, text.len);
}

static enum sp_err
backup_segment(struct backup *b, const char *path, const char *name)
{
	const char *base = strrchr(name, '/') + 1;
	uint64_t bytes = 0;
	int found = 0;
	enum sp_err r;
	FILE *f;

	if (strcmp(base, "origin") == 0 || strcmp(base, "key") == 0 || strncmp(base, "bridge-", 7) == 0)
		return backup_file(b, path, name);
	if (strncmp(base, "witness-", 8) == 0)
		return backup_witness(b, path, name);
	if (strncmp(base, "audit-", 6) != 0 || b->seq == 0)
		return SP_OK;		/* the reserve, tiles; or later than what belongs to the copy */
	if ((f = fopen(path, "re")) == NULL)
		return backup_failed(b, path, sp_err_errno(errno));
	if ((r = segment_cut(f, b->seq, &bytes, &found)) != SP_OK || fseek(f, 0, SEEK_SET) != 0)
		r = backup_failed(b, path, SP_EIO);
	if (r == SP_OK && bytes > 0 && lseek(fileno(f), 0, SEEK_SET) == 0)
		r = backup_fd(b, fileno(f), path, name, bytes);
	fclose(f);
	if (found)
		b->seq = 0;
	return r;
}

/* A small file of the state directory; none is no error. */
static enum sp_err
state_read(struct backup *b, const char *name, struct sp_buf *ret)
{
	char path[PATH_SIZE];
	sp_auto(sp_closep) int fd = -1;
	char part[4096];
	ssize_t n;

	sp_snprintf(path, sizeof(path), "%s/%s", b->conf.state_dir, name);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) == -1)
		return errno == ENOENT ? SP_OK : backup_failed(b, path, sp_err_errno(errno));
	while ((n = read(fd, part, sizeof(part))) > 0)
		if (sp_buf_append(ret, part, (size_t)n) != SP_OK)
			return backup_failed(b, path, SP_ESIZE);
	return n == 0 ? SP_OK : backup_failed(b, path, sp_err_errno(errno));
}

static enum sp_err
backup_bytes(struct backup *b, const char *name, const void *p, size_t n)
{
	enum sp_err r = archive_begin(b->w, name, n);

	if (r == SP_OK)
		r = archive_write(b->w, p, n);
	return r == SP_OK ? SP_OK : backup_failed(b, name, r);
}

/* The copy of control and the key file that opens every secret in it: read before and after, it must be the same. */
static enum sp_err
backup_point(struct backup *b, struct sp_buf *keys, json_t **ret)
{
	for (int i = 0; i < BACKUP_TRIES; i++) {
		sp_auto(sp_buf_release) struct sp_buf before = { .max = KEYFILE_MAX };

		json_decref(*ret);
		*ret = NULL;
		sp_buf_reset(keys);
		CTL_TRY(state_read(b, "vault/slots", &before));
		CTL_TRY(ctl_call(b->c, "backup.begin", NULL, ret));
		CTL_TRY(state_read(b, "vault/slots", keys));
		if (before.len == keys->len && (keys->len == 0 || memcmp(before.p, keys->p, keys->len) == 0))
			return SP_OK;
	}
	return ctl_fail(b->c, SP_EBUSY, "the vault's keys keep changing: try again when no rotation is under way");
}

static enum sp_err
backup_all(struct backup *b, const json_t *point, const struct sp_buf *keys)
{
	const char *dir = json_string_value(json_object_get(point, "dir"));
	char path[PATH_SIZE];
	ctl_auto_json *info = json_pack("{s:i, s:s, s:s, s:O, s:O, s:s}", "format", 1, "version", SP_VERSION, "state_dir",
	    b->conf.state_dir, "made", json_object_get(point, "made"), "audit_seq", json_object_get(point, "audit_seq"),
	    "store", strncmp(b->conf.store.n > 0 ? b->conf.store.v[0] : "sqlite", "postgres", 8) == 0 ? "postgresql" : "sqlite");
	sp_auto(sp_freep) char *text = info != NULL ? json_dumps(info, JSON_SORT_KEYS | JSON_INDENT(1)) : NULL;

	if (dir == NULL || text == NULL)
		return ctl_fail(b->c, SP_EFORMAT, "control's answer is not understood");
	b->seq = b->audit_seq = (uint64_t)json_integer_value(json_object_get(point, "audit_seq"));
	CTL_TRY(backup_bytes(b, BACKUP_INFO, text, strlen(text)));
	sp_snprintf(path, sizeof(path), "%s/sallyport.db", dir);
	CTL_TRY(backup_file(b, path, "store/sallyport.db"));
	sp_snprintf(path, sizeof(path), "%s/evidence.db", dir);
	CTL_TRY(backup_file(b, path, "store/evidence.db"));
	sp_snprintf(path, sizeof(path), "%s/store/inner.seed", b->conf.state_dir);
	CTL_TRY(backup_file(b, path, "store/inner.seed"));
	if (keys->len > 0)
		CTL_TRY(backup_bytes(b, "vault/slots", keys->p, keys->len));
	CTL_TRY(backup_dir(b, "hostkeys", backup_file));
	CTL_TRY(backup_dir(b, "audit", backup_segment));
	if (b->head.len > 0)
		CTL_TRY(backup_bytes(b, "audit/checkpoint", b->head.p, b->head.len));
	if (b->seq != 0)
		return ctl_fail(b->c, SP_ECORRUPT, "the audit log ends before entry %" PRIu64, b->seq);
	return backup_file(b, b->conf_path, "sallyport.conf");
}

static enum sp_err
backup_write(struct backup *b, const char *path, const struct sp_secret *pass, const json_t *point, const struct sp_buf *keys)
{
	sp_auto(sp_closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	enum sp_err r;

	if (fd == -1)
		return ctl_fail(b->c, sp_err_errno(errno), "%s: %s: name a file that does not exist yet", path, strerror(errno));
	if ((r = archive_writer_new(fd, pass, &b->w)) != SP_OK)
		r = backup_failed(b, path, r);
	if (r == SP_OK && (r = backup_all(b, point, keys)) == SP_OK && (r = archive_finish(b->w)) != SP_OK)
		r = backup_failed(b, path, r);
	archive_writer_free(b->w);
	b->w = NULL;
	if (r != SP_OK)
		(void)unlink(path);
	return r;
}

static enum sp_err
backup_run(struct ctl *c)
{
	sp_auto(sp_freep) struct backup *b = calloc(1, sizeof(*b));
	const char *path = json_string_value(json_object_get(c->local, "FILE"));
	sp_auto(sp_buf_release) struct sp_buf keys = { .max = KEYFILE_MAX }, head = { 0 };
	ctl_auto_json *point = NULL, *end = NULL;
	sp_auto_secret pass = { 0 };
	enum sp_err r;

	if (b == NULL)
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	b->c = c;
	CTL_TRY(backup_config(b));
	CTL_TRY(ctl_secret_read(c, "passphrase", "Passphrase of the backup: ", 1, &pass));
	sp_buf_init(&head, HEAD_MAX);
	/* Before control names the end of the copy: the head is never of more entries than that. */
	CTL_TRY(state_read(b, "audit/checkpoint", &head));
	b->head = head;		/* borrowed */
	CTL_TRY(backup_point(b, &keys, &point));
	r = backup_write(b, path, &pass, point, &keys);
	CTL_TRY(ctl_call(c, "backup.end", NULL, &end));
	if (r != SP_OK)
		return r;
	json_object_set_new(point, "file", json_string(path));
	json_object_del(point, "dir");
	if (c->json)
		return ctl_print_json(c, point);
	ctl_note(c, "%s holds store, audit log up to entry %lld, vault and host keys. Recordings are not in it.", path,
	    (long long)json_integer_value(json_object_get(point, "audit_seq")));
	return SP_OK;
}

/* ---- restore ---- */

struct restore {
	struct ctl	*c;
	const char	*to;
	int		 keep_log, write;
	json_t		*info;
	struct sp_buf	 text;		/* of BACKUP_INFO */
	int		 in_info, fd;
	uint64_t	 files, bytes;
};

static const struct {
	const char	*dir;		/* with its slash */
	enum sp_proc	 owner;
} places[] = {
	{ "store/", SP_PROC_CONTROL }, { "audit/", SP_PROC_CONTROL }, { "snapshot/", SP_PROC_CONTROL },
	{ "vault/", SP_PROC_VAULT }, { "hostkeys/", SP_PROC_MONITOR }
};

static enum sp_proc
owner_of(const char *name)
{
	for (size_t i = 0; i < SP_NELEMS(places); i++)
		if (strncmp(name, places[i].dir, strlen(places[i].dir)) == 0)
			return places[i].owner;
	return SP_PROC_MONITOR;
}

/* A new file below the state directory, of the process that will use it; missing directories are made. */
static enum sp_err
restore_create(struct restore *r, const char *name, int *ret)
{
	const struct passwd *pw = geteuid() == 0 && owner_of(name) != SP_PROC_MONITOR ? getpwnam(sp_proc_user(owner_of(name))) : NULL;
	const char *slash = strchr(name, '/');
	char path[PATH_SIZE];
	int fd;

	if (slash != NULL) {
		sp_snprintf(path, sizeof(path), "%s/%.*s", r->to, (int)(slash - name), name);
		if ((mkdir(path, 0700) == -1 && errno != EEXIST) ||
		    (pw != NULL && chown(path, pw->pw_uid, pw->pw_gid) == -1))
			return ctl_fail(r->c, sp_err_errno(errno), "%s: %s", path, strerror(errno));
	}
	sp_snprintf(path, sizeof(path), "%s/%s", r->to, name);
	if ((fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)) == -1)
		return ctl_fail(r->c, sp_err_errno(errno), "%s: %s", path, strerror(errno));
	if (pw != NULL && fchown(fd, pw->pw_uid, pw->pw_gid) == -1) {
		sp_closep(&fd);
		return ctl_fail(r->c, sp_err_errno(errno), "%s: %s", path, strerror(errno));
	}
	*ret = fd;
	return SP_OK;
}

static enum sp_err
restore_put(struct restore *r, const char *name, const char *text)
{
	sp_auto(sp_closep) int fd = -1;

	CTL_TRY(restore_create(r, name, &fd));
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fsync(fd) == -1)
		return ctl_fail(r->c, SP_EIO, "%s/%s: %s", r->to, name, strerror(errno));
	return SP_OK;
}

/* Nothing is ever written over. */
static int
is_empty_dir(const struct restore *r, const char *dir)
{
	char path[PATH_SIZE];
	struct dirent **list;
	int n;

	sp_snprintf(path, sizeof(path), "%s/%s", r->to, dir);
	if ((n = scandir(path, &list, no_dots, NULL)) == -1)
		return errno == ENOENT;
	names_free(list, n);
	return n == 0;
}

static enum sp_err
restore_target(struct restore *r)
{
	struct stat st;

	if (r->to == NULL || r->to[0] != '/')
		return ctl_fail(r->c, SP_EUSAGE, "--to wants the absolute path of the state directory");
	if (stat(r->to, &st) == -1 && errno == ENOENT)
		return SP_OK;
	for (size_t i = 0; i < SP_NELEMS(places); i++) {
		char dir[32];

		(void)sp_strlcpy(dir, places[i].dir, sizeof(dir));
		dir[strlen(dir) - 1] = '\0';
		if (!is_empty_dir(r, dir) && !(r->keep_log && strcmp(dir, "audit") == 0))
			return ctl_fail(r->c, SP_EEXIST, "%s/%s is not empty: stop Sallyport and move it away", r->to, dir);
	}
	return SP_OK;
}

static enum sp_err
on_begin(void *arg, const char *name, uint64_t size)
{
	struct restore *r = arg;
	int is_log = strncmp(name, "audit/", 6) == 0;

	r->in_info = strcmp(name, BACKUP_INFO) == 0;
	r->files++;
	r->bytes += size;
	if (!r->write || r->in_info || (r->keep_log && is_log))
		return SP_OK;
	return restore_create(r, strcmp(name, "sallyport.conf") == 0 ? "restored.conf" : name, &r->fd);
}

static enum sp_err
on_data(void *arg, const void *p, size_t n)
{
	struct restore *r = arg;
	enum sp_err e;

	if (r->in_info && !r->write)
		return sp_buf_append(&r->text, p, n);
	if (r->fd != -1 && (e = sp_write_all(r->fd, p, n)) != SP_OK)
		return ctl_fail(r->c, SP_EIO, "%s: %s", r->to, sp_err_text(e));
	return SP_OK;
}

static enum sp_err
on_end(void *arg)
{
	struct restore *r = arg;

	if (r->fd != -1 && fsync(r->fd) == -1)
		return ctl_fail(r->c, SP_EIO, "%s: %s", r->to, strerror(errno));
	sp_closep(&r->fd);
	return SP_OK;
}

static enum sp_err
restore_pass(struct restore *r, int fd, const char *path, const struct sp_secret *pass, int write)
{
	static const struct archive_ops ops = { on_begin, on_data, on_end };
	enum sp_err e;

	r->write = write;
	r->files = r->bytes = 0;
	e = archive_read(fd, pass, &ops, r);
	sp_closep(&r->fd);
	switch (e) {
	case SP_OK:
		return SP_OK;
	case SP_EFORMAT:
		return ctl_fail(r->c, e, "%s is not a backup of Sallyport", path);
	case SP_EAUTH:
		return ctl_fail(r->c, e, "%s cannot be opened: another passphrase, or it was changed. Nothing was written", path);
	case SP_ESHORT:
	case SP_ECORRUPT:
		return ctl_fail(r->c, e, "%s is damaged or cut off: %s. Nothing was written", path, sp_err_text(e));
	default:
		return ctl_fail(r->c, e, "%s: %s", path, sp_err_text(e));
	}
}

static enum sp_err
restore_quarantine(struct restore *r)
{
	char at[SP_RFC3339_SIZE], name[SP_UUID_SIZE];
	struct sp_uuid id;
	ctl_auto_json *o = json_pack("{s:O?, s:O?, s:s}", "made", json_object_get(r->info, "made"), "audit_seq",
	    json_object_get(r->info, "audit_seq"), "restored", sp_rfc3339(sp_wall_us(), at, sizeof(at)));
	sp_auto(sp_freep) char *text = o != NULL ? json_dumps(o, JSON_SORT_KEYS) : NULL;

	if (text == NULL)
		return ctl_fail(r->c, SP_EFORMAT, "the backup does not say when it was made");
	sp_uuid_make(&id);
	CTL_TRY(restore_put(r, "snapshot/quarantine", text));
	/* The log may have gone on elsewhere: nothing is signed for it before it has a name of its own. */
	if (!r->keep_log)
		CTL_TRY(restore_put(r, "audit/restored", ""));
	CTL_TRY(restore_put(r, "snapshot/store.load", sp_uuid_text(&id, name)));	/* for a database that is not in here: job.c */
	return restore_put(r, "snapshot/store.made", "");
}

static enum sp_err
restore_write(struct restore *r, int fd, const char *path, const struct sp_secret *pass)
{
	if (mkdir(r->to, 0711) == -1 && errno != EEXIST)
		return ctl_fail(r->c, sp_err_errno(errno), "%s: %s", r->to, strerror(errno));
	CTL_TRY(restore_quarantine(r));
	CTL_TRY(restore_pass(r, fd, path, pass, 1));
	json_object_set_new(r->info, "to", json_string(r->to));
	json_object_set_new(r->info, "files", json_integer((json_int_t)r->files));
	if (r->c->json)
		return ctl_print_json(r->c, r->info);
	ctl_note(r->c, "Restored to %s as of %s. Its configuration is restored.conf there. The node starts in quarantine: when all is right, "
	    "run 'sallyport quarantine release'.", r->to, json_string_value(json_object_get(r->info, "made")));
	return SP_OK;
}

static enum sp_err
restore_run(struct ctl *c)
{
	const char *path = json_string_value(json_object_get(c->local, "FILE"));
	struct restore r = { .c = c, .to = ctl_local_str(c, "to"), .keep_log = ctl_local_flag(c, "keep-log"), .fd = -1,
	    .text = { .max = 65536 } };
	sp_auto(sp_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	sp_auto_secret pass = { 0 };
	enum sp_err e;

	if (fd == -1)
		return ctl_fail(c, sp_err_errno(errno), "%s: %s", path, strerror(errno));
	CTL_TRY(restore_target(&r));
	CTL_TRY(ctl_secret_read(c, "passphrase", "Passphrase of the backup: ", 0, &pass));
	e = restore_pass(&r, fd, path, &pass, 0);
	if (e == SP_OK && ((r.info = json_loadb((const char *)r.text.p, r.text.len, 0, NULL)) == NULL ||
	    json_string_value(json_object_get(r.info, "made")) == NULL ||
	    json_integer_value(json_object_get(r.info, "format")) != 1))
		e = ctl_fail(c, SP_EVERSION, "%s was made by another version of this program", path);
	if (e == SP_OK)
		e = restore_write(&r, fd, path, &pass);
	json_decref(r.info);
	sp_buf_release(&r.text);
	return e;
}

/* ---- tables ---- */

#define PASSPHRASE_OPTS \
	{ "passphrase-file", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "passphrase from a file" }, \
	{ "passphrase-fd", CTL_INT, .value = "N", .flags = CTL_LOCAL, .help = "passphrase from an open descriptor" }
static const struct ctl_opt backup_args[] = {
	{ "FILE", CTL_STR, .complete = "file", .flags = CTL_LOCAL, .help = "new file for the backup" },
	CTL_END
};
static const struct ctl_opt backup_opts[] = {
	{ "config", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL,
	  .help = "configuration of the installation (default /etc/sallyport/sallyport.conf)" },
	PASSPHRASE_OPTS,
	CTL_END
};
static const struct ctl_cmd backup_cmds[] = {
	{ "", "write store, audit log, vault and host keys to one encrypted file", .args = backup_args, .opts = backup_opts,
	  .run = backup_run,
	  .more = "Sessions go on meanwhile. The audit log is in it up to the entry that the answer names, and knows every change "
	    "that the store in it has. The vault's keys stay wrapped: its key slots (passphrase, key file, shares) are needed "
	    "besides the passphrase of the backup. Recordings are not in it: copy state_dir/recordings by other means." },
	{ NULL }
};
const struct ctl_noun ctl_noun_backup = { "backup", "a backup of the installation", backup_cmds };

static const struct ctl_opt restore_args[] = {
	{ "FILE", CTL_STR, .complete = "file", .flags = CTL_LOCAL, .help = "a backup" },
	CTL_END
};
static const struct ctl_opt restore_opts[] = {
	{ "to", CTL_STR, .value = "DIR", .complete = "file", .flags = CTL_LOCAL | CTL_REQUIRED, .help = "state directory of an empty installation" },
	{ "keep-log", CTL_FLAG, .flags = CTL_LOCAL, .help = "leave the audit log that is there: what it knows more than the backup is noted as undone" },
	PASSPHRASE_OPTS,
	CTL_END
};
static const struct ctl_cmd restore_cmds[] = {
	{ "", "write a backup to an empty state directory, in quarantine", .args = restore_args, .opts = restore_opts,
	  .run = restore_run,
	  .more = "The whole file is read and checked before anything is written, and nothing is written over. Sallyport must "
	    "not run on that directory. Where 'store' of the configuration that it is started with names PostgreSQL, control puts the "
	    "rows into that database at its first start, all or nothing; the database must be empty." },
	{ NULL }
};
const struct ctl_noun ctl_noun_restore = { "restore", "a backup put back", restore_cmds };

static const struct ctl_cmd quarantine_cmds[] = {
	{ "status", "say whether this node is in quarantine", .method = "quarantine.status", .show = CTL_OBJECT },
	{ "release", "end the quarantine of a restored node", .method = "quarantine.release",
	  .done = "Released. {outbox_dropped} old messages of the outbox were dropped.",
	  .more = "Until then a restored node opens no sessions, rotates nothing and sends nothing. Release only one node of "
	    "those restored from a backup, and none while the original still runs." },
	{ NULL }
};
const struct ctl_noun ctl_noun_quarantine = { "quarantine", "the quarantine of a restored node", quarantine_cmds };
