/* src/ctl/witness.c - sallyport evidence witness: an auditor's machine remembers the last head that it saw.
 * A head is written to the state before it is cosigned away: a witness that was shown one history follows no other. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "ctl/evidence.h"
#include "ctl/via.h"

#define STATE_MAX	((size_t)128 * 1024)

struct witness {
	const char		*path;
	struct sp_note_key	 log, own;
	struct sp_secret	 sk;
	uint8_t			 seed[32];
	struct sp_buf		 note;		/* the last head that was seen; empty: none */
	struct sp_checkpoint	 head;
};

static void
witness_release(struct witness *w)
{
	explicit_bzero(w->seed, sizeof(w->seed));
	sp_secret_release(&w->sk);
	sp_buf_release(&w->note);
}

/* ---- the state ---- */

static enum sp_err
state_write(struct ctl *c, const struct witness *w)
{
	sp_auto(sp_buf_release) struct sp_buf seed = { .max = 64 };
	char log_key[SP_NOTE_VKEY_SIZE], temp[4096];
	ctl_auto_json *o = NULL;
	sp_auto(sp_freep) char *text = NULL;
	sp_auto(sp_closep) int fd = -1;

	if (sp_base64(&seed, w->seed, sizeof(w->seed)) != SP_OK || sp_note_key_text(&w->log, log_key) != SP_OK ||
	    sp_snprintf(temp, sizeof(temp), "%s.new", w->path) != 0)
		return ctl_fail(c, SP_ESIZE, "%s: the name is too long", w->path);
	o = json_pack("{s:s, s:s, s:s, s:s#}", "name", w->own.name, "seed", sp_buf_cstr(&seed), "log", log_key, "head",
	    w->note.len > 0 ? (const char *)w->note.p : "", (int)w->note.len);
	if (o == NULL || (text = json_dumps(o, JSON_SORT_KEYS | JSON_INDENT(1))) == NULL)
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1 || sp_write_all(fd, text, strlen(text)) != SP_OK || fsync(fd) == -1 || rename(temp, w->path) == -1)
		return ctl_fail(c, sp_err_errno(errno), "%s: %s", w->path, strerror(errno));
	return SP_OK;
}

static enum sp_err
own_key(struct ctl *c, struct witness *w, const char *name)
{
	w->own.kind = SP_NOTE_COSIGNATURE;
	(void)sp_strlcpy(w->own.name, name, sizeof(w->own.name));
	if (!sp_note_name_ok(name) || sp_ed25519_from_seed(w->seed, w->own.pk, &w->sk) != SP_OK)
		return ctl_fail(c, SP_EUSAGE, "a witness wants a name without blanks and '+': --name");
	return SP_OK;
}

static enum sp_err
state_new(struct ctl *c, struct witness *w)
{
	const char *key = ctl_local_str(c, "key"), *name = ctl_local_str(c, "name");
	char vkey[SP_NOTE_VKEY_SIZE];

	if (key == NULL || name == NULL)
		return ctl_fail(c, SP_EUSAGE, "%s does not exist: the first run wants the log's public key and a name: --key FILE --name NAME", w->path);
	CTL_TRY(evkey_read(c, AT_FDCWD, key, &w->log));
	randombytes_buf(w->seed, sizeof(w->seed));
	CTL_TRY(own_key(c, w, name));
	CTL_TRY(state_write(c, w));
	if (sp_note_key_text(&w->own, vkey) != SP_OK)
		return ctl_fail(c, SP_EINTERNAL, "the key has no text");
	ctl_note(c, "Made %s. Register this witness: sallyport evidence witness-add '%s'", w->path, vkey);
	return SP_OK;
}

static enum sp_err
take_head(struct witness *w, const char *note, size_t n)
{
	struct sp_view text;
	enum sp_err r = sp_buf_append(&w->note, note, n);

	if (r == SP_OK && (r = sp_note_text((struct sp_view){ w->note.p, w->note.len }, &text)) == SP_OK)
		r = sp_checkpoint_parse(text, &w->head);
	return r;
}

static enum sp_err
state_read(struct ctl *c, struct witness *w)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = STATE_MAX + 1 }, seed = { .max = 64 };
	ctl_auto_json *o = NULL;
	const char *s, *name, *log, *head;
	enum sp_err r;

	sp_buf_init(&w->note, SP_NOTE_MAX);
	r = logdir_file(AT_FDCWD, w->path, STATE_MAX, &b);
	if (r == SP_ENOENT)
		return state_new(c, w);
	o = r == SP_OK ? json_loadb((const char *)b.p, b.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	s = json_string_value(json_object_get(o, "seed"));
	name = json_string_value(json_object_get(o, "name"));
	log = json_string_value(json_object_get(o, "log"));
	head = json_string_value(json_object_get(o, "head"));
	if (s == NULL || name == NULL || log == NULL || head == NULL || sp_base64_parse(&seed, s, strlen(s)) != SP_OK ||
	    seed.len != sizeof(w->seed) || sp_note_key_parse(log, strlen(log), &w->log) != SP_OK ||
	    (*head != '\0' && take_head(w, head, strlen(head)) != SP_OK))
		return ctl_fail(c, SP_ECORRUPT, "%s is not the state of a witness", w->path);
	memcpy(w->seed, seed.p, sizeof(w->seed));
	return own_key(c, w, name);
}

/* ---- asking ---- */

/* A command of the bastion, here or over ssh. verb: of `evidence`; arg and value: what follows it, or NULL. */
static enum sp_err
ask(struct ctl *c, const char *method, json_t *params, const char *verb, const char *arg, const char *value, json_t **ret)
{
	const char *const words[] = { "evidence", verb, "--json", arg != NULL ? arg : value, arg != NULL ? value : NULL, NULL };

	return ctl_via(c, method, params, words, ret);
}

static enum sp_err
ask_head(struct ctl *c, uint64_t from, json_t **ret)
{
	ctl_auto_json *params = json_pack("{s:I}", "from", (json_int_t)from);
	char text[24];

	sp_snprintf(text, sizeof(text), "%llu", (unsigned long long)from);
	return ask(c, "evidence.head", params, "head", "--from", text, ret);
}

/* ---- judging ---- */

static enum sp_err
proof_of(const json_t *o, struct sp_tlog_proof *ret)
{
	const json_t *a = json_object_get(o, "proof"), *v;
	size_t i;

	ret->n = 0;
	json_array_foreach(a, i, v) {
		sp_auto(sp_buf_release) struct sp_buf b = { .max = 64 };
		const char *s = json_string_value(v);

		if (s == NULL || i >= SP_TLOG_PROOF_MAX || sp_base64_parse(&b, s, strlen(s)) != SP_OK || b.len != SP_TLOG_HASH)
			return SP_EFORMAT;
		memcpy(ret->h[ret->n++].b, b.p, SP_TLOG_HASH);
	}
	return SP_OK;
}

/* Is what the bastion shows a continuation of a head that was seen? */
static enum sp_err
judge(struct ctl *c, const struct sp_checkpoint *seen, const struct sp_checkpoint *now, const json_t *answer, const char *whose)
{
	struct sp_tlog_proof proof;

	if (now->size < seen->size)
		return ctl_fail(c, SP_ETAMPERED, "the log went back: %s has %llu entries, the bastion shows %llu", whose,
		    (unsigned long long)seen->size, (unsigned long long)now->size);
	if (now->size == seen->size && sp_tlog_equal(&now->root, &seen->root))
		return SP_OK;
	if (now->size == seen->size || proof_of(answer, &proof) != SP_OK ||
	    sp_tlog_check_growth(&proof, seen->size, &seen->root, now->size, &now->root) != SP_OK)
		return ctl_fail(c, SP_ETAMPERED, "the log has another history: what the bastion shows did not grow out of the %llu entries that %s has",
		    (unsigned long long)seen->size, whose);
	return SP_OK;
}

/* The head in an answer, signed by the log. */
static enum sp_err
head_of(struct ctl *c, const struct sp_note_key *log, const json_t *o, struct sp_view *ret_note, struct sp_checkpoint *ret)
{
	const char *note = json_string_value(json_object_get(o, "checkpoint"));
	struct sp_view text;

	if (note == NULL)
		return ctl_fail(c, SP_EFORMAT, "the bastion shows no head");
	*ret_note = (struct sp_view){ (const uint8_t *)note, strlen(note) };
	if (sp_note_text(*ret_note, &text) != SP_OK || sp_checkpoint_parse(text, ret) != SP_OK)
		return ctl_fail(c, SP_EFORMAT, "the bastion shows no head");
	if (strcmp(ret->origin, log->name) == 0 && sp_note_verify(*ret_note, log, NULL) != SP_OK)
		return ctl_fail(c, SP_ETAMPERED, "the head that the bastion shows is not signed by the log's key");
	return SP_OK;
}

/* The log has another name: over bridges that both names signed. */
static enum sp_err
follow(struct ctl *c, struct witness *w, const json_t *answer, const struct sp_checkpoint *now)
{
	const json_t *a = json_object_get(answer, "bridges"), *v;
	struct sp_note_key key = w->log;
	int moved = 1;
	size_t i;

	while (moved && strcmp(key.name, now->origin) != 0) {
		moved = 0;
		json_array_foreach(a, i, v) {
			sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_NOTE_MAX + 1 };
			char from[SP_NOTE_NAME_MAX + 1], to[SP_NOTE_NAME_MAX + 1];
			const char *s = json_string_value(v);

			if (moved || s == NULL || sp_buf_append_str(&b, s) != SP_OK || evbridge_check(&key, &b, from, to) != SP_OK ||
			    strcmp(from, key.name) != 0)
				continue;
			ctl_note(c, "A bridge that the vault signed: %s", sp_buf_cstr(&b));
			(void)sp_strlcpy(key.name, to, sizeof(key.name));
			moved = 1;
		}
	}
	if (strcmp(key.name, now->origin) != 0)
		return ctl_fail(c, SP_ETAMPERED, "the log is called %s, this witness watches %s, and no signed bridge leads there", now->origin, w->log.name);
	if (!ctl_local_flag(c, "accept-origin"))
		return ctl_fail(c, SP_ETAMPERED, "the log goes on under another name. Find out why; then say --accept-origin");
	w->log = key;
	w->note.len = 0;
	w->head = (struct sp_checkpoint){ .size = 0 };
	return SP_OK;
}

/* A head that somebody else was shown. */
static enum sp_err
compare_other(struct ctl *c, const struct witness *w)
{
	const char *path = ctl_local_str(c, "other");
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_NOTE_MAX + 1 };
	struct sp_checkpoint other, now;
	ctl_auto_json *answer = NULL;
	struct sp_view text, note;

	if (path == NULL)
		return SP_OK;
	if (logdir_file(AT_FDCWD, path, SP_NOTE_MAX, &b) != SP_OK || sp_note_text((struct sp_view){ b.p, b.len }, &text) != SP_OK ||
	    sp_checkpoint_parse(text, &other) != SP_OK || sp_note_verify((struct sp_view){ b.p, b.len }, &w->log, NULL) != SP_OK)
		return ctl_fail(c, SP_EFORMAT, "%s is no head that this log's key signed", path);
	CTL_TRY(ask_head(c, other.size <= w->head.size ? other.size : w->head.size, &answer));
	CTL_TRY(head_of(c, &w->log, answer, &note, &now));
	return judge(c, &other, &now, answer, "the other auditor");
}

static enum sp_err
cosign(struct ctl *c, struct witness *w, struct sp_view note, const struct sp_checkpoint *now)
{
	sp_auto(sp_buf_release) struct sp_buf all = { .max = SP_NOTE_MAX }, b64 = { .max = 2 * SP_NOTE_MAX };
	ctl_auto_json *params = NULL, *out = NULL;
	struct sp_view text;

	if (sp_note_text(note, &text) != SP_OK || sp_buf_append(&all, note.p, note.len) != SP_OK ||
	    sp_note_sign(text, &w->own, &w->sk, (uint64_t)(sp_wall_us() / (int64_t)SP_US_PER_S), &all) != SP_OK)
		return ctl_fail(c, SP_EINTERNAL, "the head cannot be cosigned");
	w->note.len = 0;
	if (sp_buf_append(&w->note, all.p, all.len) != SP_OK || sp_base64(&b64, all.p, all.len) != SP_OK)
		return ctl_fail(c, SP_ESIZE, "the head is too long");
	w->head = *now;
	CTL_TRY(state_write(c, w));
	params = json_pack("{s:s}", "note", sp_buf_cstr(&b64));
	return ask(c, "evidence.cosign", params, "cosign", NULL, sp_buf_cstr(&b64), &out);
}

static enum sp_err
witness_once(struct ctl *c, struct witness *w)
{
	ctl_auto_json *answer = NULL, *o = NULL;
	struct sp_checkpoint now;
	struct sp_view note;

	/* Without the proof first: a log that went back could not give one. */
	CTL_TRY(ask_head(c, 0, &answer));
	CTL_TRY(head_of(c, &w->log, answer, &note, &now));
	if (strcmp(now.origin, w->log.name) != 0) {
		CTL_TRY(follow(c, w, answer, &now));
		CTL_TRY(head_of(c, &w->log, answer, &note, &now));
	}
	if (w->head.size > 0 && now.size > w->head.size) {
		json_decref(answer);
		answer = NULL;
		CTL_TRY(ask_head(c, w->head.size, &answer));
		CTL_TRY(head_of(c, &w->log, answer, &note, &now));
	}
	if (w->head.size > 0)
		CTL_TRY(judge(c, &w->head, &now, answer, "this witness"));
	CTL_TRY(compare_other(c, w));
	CTL_TRY(cosign(c, w, note, &now));
	o = json_pack("{s:s, s:I}", "origin", now.origin, "size", (json_int_t)now.size);
	if (c->json)
		return ctl_print_json(c, o);
	ctl_note(c, "%s: %llu entries, grown out of what was seen before. Cosigned.", now.origin, (unsigned long long)now.size);
	return SP_OK;
}

enum sp_err
witness_run(struct ctl *c)
{
	struct witness w = { .path = ctl_local_str(c, "state") };
	int fresh;
	enum sp_err r;

	if (c->place != NULL)
		return ctl_fail(c, SP_EUSAGE, "a witness keeps its state on a machine of its own: run it there, with --via");
	fresh = access(w.path, F_OK) == -1;
	r = state_read(c, &w);
	if (r == SP_OK && !fresh)	/* the first run makes the key; it is registered before it cosigns */
		r = witness_once(c, &w);
	witness_release(&w);
	return r;
}
