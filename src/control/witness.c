/* src/control/witness.c - see witness.h. */
#include "control/witness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "common/logdir.h"
#include "control/logtree.h"

#define NAME_SIZE	32

struct witness {
	struct sp_note_key	key;
	char			file[NAME_SIZE];
	uint64_t		size;		/* of the last head; 0: none yet */
	char			origin[SP_NOTE_NAME_MAX + 1];	/* and what the log was called in it */
	int64_t			at_us;		/* wall; when it came, or was registered */
	int			is_late;
};
struct witnesses {
	pthread_mutex_t	mu;
	size_t		n;
	struct witness	w[WITNESS_MAX];
};

/* "witness-" and the key's id, which stands between the first and the last '+' of its text. */
static enum sp_err
file_name(const struct sp_note_key *k, char vkey[SP_NOTE_VKEY_SIZE], char ret[NAME_SIZE])
{
	enum sp_err r = sp_note_key_text(k, vkey);

	if (r == SP_OK)
		(void)sp_snprintf(ret, NAME_SIZE, "witness-%.8s", vkey + strlen(k->name) + 1);
	return r;
}

/* The head under the key's line. */
static enum sp_err
note_head(struct sp_view note, struct sp_checkpoint *ret)
{
	struct sp_view text;
	enum sp_err r = sp_note_text(note, &text);

	return r == SP_OK ? sp_checkpoint_parse(text, ret) : r;
}

static void
load_one(struct ctl *c, const char *file)
{
	struct witnesses *s = c->witnesses;
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_NOTE_MAX + SP_NOTE_VKEY_SIZE };
	struct witness w = { .at_us = sp_wall_us() };
	const char *text, *nl;
	uint64_t at = 0;

	if (s->n == WITNESS_MAX || strlen(file) >= NAME_SIZE || logdir_file(audit_dirfd(c->audit), file, SP_NOTE_MAX, &b) != SP_OK)
		return;
	text = sp_buf_cstr(&b);
	nl = text + strcspn(text, "\n");
	if (sp_note_key_parse(text, (size_t)(nl - text), &w.key) != SP_OK || w.key.kind != SP_NOTE_COSIGNATURE) {
		sp_warn("%s in the audit directory is no witness: not used", file);
		return;
	}
	if (*nl == '\n' && nl[1] != '\0') {
		struct sp_view note = { (const uint8_t *)nl + 1, b.len - (size_t)(nl + 1 - text) };
		struct sp_checkpoint head;

		if (note_head(note, &head) == SP_OK && sp_note_verify(note, &w.key, &at) == SP_OK && at < INT64_MAX / SP_US_PER_S) {
			w.size = head.size;
			(void)sp_strlcpy(w.origin, head.origin, sizeof(w.origin));
			w.at_us = (int64_t)(at * SP_US_PER_S);
		}
	}
	(void)sp_strlcpy(w.file, file, sizeof(w.file));
	s->w[s->n++] = w;
}

void
witness_load(struct ctl *c)
{
	int fd = openat(audit_dirfd(c->audit), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd != -1 ? fdopendir(fd) : NULL;
	struct dirent *de;

	if ((c->witnesses = calloc(1, sizeof(*c->witnesses))) == NULL)
		sp_die(71, "out of memory");
	pthread_mutex_init(&c->witnesses->mu, NULL);
	if (d == NULL) {
		sp_closep(&fd);
		return;
	}
	while ((de = readdir(d)) != NULL)
		if (strncmp(de->d_name, "witness-", 8) == 0)
			load_one(c, de->d_name);
	closedir(d);
}

void
witness_free(struct ctl *c)
{
	if (c->witnesses != NULL)
		pthread_mutex_destroy(&c->witnesses->mu);
	free(c->witnesses);
	c->witnesses = NULL;
}

enum sp_err
witness_add(struct ctl *c, const char *vkey)
{
	struct witnesses *s = c->witnesses;
	struct witness w = { .at_us = sp_wall_us() };
	char text[SP_NOTE_VKEY_SIZE], line[SP_NOTE_VKEY_SIZE + 1];
	enum sp_err r = s != NULL ? sp_note_key_parse(vkey, strlen(vkey), &w.key) : SP_ESTATE;

	if (r == SP_OK && w.key.kind != SP_NOTE_COSIGNATURE)
		r = SP_EFORMAT;
	if (r != SP_OK || (r = file_name(&w.key, text, w.file)) != SP_OK)
		return r;
	(void)sp_snprintf(line, sizeof(line), "%s\n", text);
	pthread_mutex_lock(&s->mu);
	r = s->n < WITNESS_MAX ? SP_OK : SP_EFULL;
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->w[i].key.name, w.key.name) == 0 || strcmp(s->w[i].file, w.file) == 0)
			r = SP_EEXIST;
	if (r == SP_OK && (r = tree_put_file(audit_dirfd(c->audit), w.file, line, strlen(line))) == SP_OK)
		s->w[s->n++] = w;
	pthread_mutex_unlock(&s->mu);
	return r;
}

enum sp_err
witness_remove(struct ctl *c, const char *name)
{
	struct witnesses *s = c->witnesses;
	enum sp_err r = SP_ENOENT;

	if (s == NULL)
		return SP_ESTATE;
	pthread_mutex_lock(&s->mu);
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->w[i].key.name, name) == 0) {
			r = unlinkat(audit_dirfd(c->audit), s->w[i].file, 0) == 0 || errno == ENOENT ? SP_OK : sp_err_errno(errno);
			if (r == SP_OK)
				s->w[i] = s->w[--s->n];
			break;
		}
	pthread_mutex_unlock(&s->mu);
	return r;
}

/* mu held */
static enum sp_err
take_of(struct ctl *c, struct witness *w, struct sp_view note, const struct sp_checkpoint *head)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_NOTE_MAX + SP_NOTE_VKEY_SIZE };
	char vkey[SP_NOTE_VKEY_SIZE], file[NAME_SIZE];
	enum sp_err r;

	/* A log that goes on under another name may have begun anew. */
	if (head->size < w->size && strcmp(head->origin, w->origin) == 0)
		return SP_ESTATE;
	if ((r = file_name(&w->key, vkey, file)) != SP_OK || (r = sp_buf_printf(&b, "%s\n", vkey)) != SP_OK ||
	    (r = sp_buf_append(&b, note.p, note.len)) != SP_OK ||
	    (r = tree_put_file(audit_dirfd(c->audit), w->file, b.p, b.len)) != SP_OK)
		return r;
	w->size = head->size;
	(void)sp_strlcpy(w->origin, head->origin, sizeof(w->origin));
	w->at_us = sp_wall_us();
	w->is_late = 0;
	return SP_OK;
}

enum sp_err
witness_take(struct ctl *c, struct sp_view note, const struct sp_note_key *log)
{
	struct witnesses *s = c->witnesses;
	struct sp_checkpoint head;
	enum sp_err r = s != NULL ? note_head(note, &head) : SP_ESTATE;

	if (r != SP_OK)
		return r;
	if (sp_note_verify(note, log, NULL) != SP_OK)
		return SP_EAUTH;
	r = SP_ENOENT;
	pthread_mutex_lock(&s->mu);
	for (size_t i = 0; i < s->n && r == SP_ENOENT; i++) {
		r = sp_note_verify(note, &s->w[i].key, NULL);
		if (r == SP_OK)
			r = take_of(c, &s->w[i], note, &head);
	}
	pthread_mutex_unlock(&s->mu);
	return r;
}

void
witness_tick(struct ctl *c, uint64_t now_us)
{
	struct witnesses *s = c->witnesses;
	int64_t now = sp_wall_us();

	(void)now_us;
	if (s == NULL || pthread_mutex_trylock(&s->mu) != 0)
		return;		/* a worker is writing: next time */
	for (size_t i = 0; i < s->n; i++) {
		struct witness *w = &s->w[i];
		char text[256];
		struct audit_entry e = { .kind = "witness.late", .actor = "system", .result = "failed", .text = text };

		if (w->is_late || now - w->at_us < (int64_t)c->child.conf.witness_late)
			continue;
		w->is_late = 1;
		sp_snprintf(text, sizeof(text), "%s did not come by for %lld s; it knows %llu entries", w->key.name,
		    (long long)((now - w->at_us) / (int64_t)SP_US_PER_S), (unsigned long long)w->size);
		audit_append(c->audit, &e, NULL, NULL);
	}
	pthread_mutex_unlock(&s->mu);
}

json_t *
witness_json(const struct ctl *c)
{
	struct witnesses *s = c->witnesses;
	json_t *a = json_array();

	if (s == NULL)
		return a;
	pthread_mutex_lock(&s->mu);
	for (size_t i = 0; i < s->n; i++) {
		char at[SP_RFC3339_SIZE];

		json_array_append_new(a, json_pack("{s:s, s:I, s:s, s:b}", "name", s->w[i].key.name, "size", (json_int_t)s->w[i].size, "at",
		    sp_rfc3339(s->w[i].at_us, at, sizeof(at)), "late", s->w[i].is_late));
	}
	pthread_mutex_unlock(&s->mu);
	return a;
}
