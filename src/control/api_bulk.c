/* src/control/api_bulk.c - see api_bulk.h: what is staged, by whom; one commit from the first row to the answer.
 * Process: control. The table of staged imports is shared by worker threads and the loop, under its own lock; a commit
 * takes its import out of the table and has it alone. */
#include "control/api_bulk.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/methods.h"

#define IMPORTS_MAX	4		/* staged at once, by everybody */
#define STAGED_MAX	((size_t)384 << 20)	/* bytes of all of them */
#define NAMES_BYTES	(96 * 1024)	/* of names in one audit entry */
#define SECRETS_MAX	20000		/* of one file */
#define SECRETS_BYTES	((size_t)64 << 20)	/* of all secrets of one file, wrapped */
#define GUARD_PERCENT	20
#define GUARD_FREE	2		/* so many may always go: percentages of small numbers say nothing */
#define REPORT_ROWS	200		/* of a sweep's report in one audit entry */

struct staged_secret {
	struct sp_list	link;
	uint32_t	line;
	struct sp_uuid	id;
	int64_t		kind, term;
	uint32_t	envelope_len, public_len;
	uint8_t		bytes[];	/* envelope, public key */
};
struct bulk_import {
	struct sp_list	 link;
	const void	*owner;		/* the caller's connection; compared only */
	struct sp_uuid	 id;
	struct bulk_opts o;
	struct sp_buf	 rows;		/* u32 line, string JSON */
	uint32_t	 n, pages;
	struct sp_list	 secrets;
	size_t		 secrets_n, secrets_bytes;
};
struct bulk {
	pthread_mutex_t	 mu;
	struct sp_list	 imports;	/* under mu, as everything in them */
	size_t		 n;
};
struct bulk_seen {
	struct sp_hnode	node;
	struct sp_uuid	id;
	uint32_t	line;
	char		key[];
};

static void
import_free(struct bulk_import *im)
{
	if (im == NULL)
		return;
	sp_buf_release(&im->rows);
	sp_list_each(it, &im->secrets) {
		struct staged_secret *k = sp_container(it, struct staged_secret, link);

		sp_list_remove(it);
		free(k);
	}
	free(im);
}

enum sp_err
bulk_new(struct ctl *c)
{
	struct bulk *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return SP_ENOMEM;
	pthread_mutex_init(&b->mu, NULL);
	sp_list_init(&b->imports);
	c->bulk = b;
	return SP_OK;
}

static void
bulk_drop_all(struct bulk *b, const void *owner)
{
	pthread_mutex_lock(&b->mu);
	sp_list_each(it, &b->imports) {
		struct bulk_import *im = sp_container(it, struct bulk_import, link);

		if (owner == NULL || im->owner == owner) {
			sp_list_remove(it);
			b->n--;
			import_free(im);
		}
	}
	pthread_mutex_unlock(&b->mu);
}

void
bulk_drop(struct ctl *c, const void *owner)
{
	bulk_drop_all(c->bulk, owner);
}

void
bulk_free(struct ctl *c)
{
	if (c->bulk == NULL)
		return;
	bulk_drop_all(c->bulk, NULL);
	pthread_mutex_destroy(&c->bulk->mu);
	free(c->bulk);
	c->bulk = NULL;
}

/* The caller's import of that id, under mu. NULL: the call failed. */
static struct bulk_import *
import_of(struct api_call *c)
{
	struct sp_uuid id;
	const char *text = api_text(c, "import");

	if (text != NULL && sp_uuid_parse(text, &id) == SP_OK)
		sp_list_each(it, &c->ctl->bulk->imports) {
			struct bulk_import *im = sp_container(it, struct bulk_import, link);

			if (im->owner == api_line(c) && sp_uuid_equal(&im->id, &id))
				return im;
		}
	(void)api_fail(c, SP_ENOENT, "there is no import of that id on this connection: begin again");
	return NULL;
}

/* ---- staging ---- */

static enum sp_err
begin_options(struct api_call *c, struct bulk_opts *o)
{
	const char *kind = api_text(c, "kind");

	if (kind == NULL || (o->kind = sp_bulk_kind(kind)) == NULL)
		return api_fail(c, SP_EINVAL, "kind is assets, users, grants, groups, accounts or people");
	o->max_percent = GUARD_PERCENT;
	o->dry_run = json_is_true(json_object_get(c->params, "dry_run"));
	o->prune = json_is_true(json_object_get(c->params, "prune"));
	o->erase = json_is_true(json_object_get(c->params, "delete"));
	o->adopt = json_is_true(json_object_get(c->params, "adopt"));
	o->force = json_is_true(json_object_get(c->params, "force"));
	if (api_str(c, "source", 0, o->source, sizeof(o->source)) != SP_OK || api_str(c, "heir", 0, o->heir, sizeof(o->heir)) != SP_OK ||
	    api_int(c, "max_percent", 0, 100, &o->max_percent) != SP_OK)
		return c->err;
	if (*o->source != '\0' && !sp_name_is_ok(o->source, 64))
		return api_fail(c, SP_EINVAL, "that is not a name for a source");
	if (*o->source != '\0' && strcmp(kind, "assets") != 0 && strcmp(kind, "users") != 0 && strcmp(kind, "people") != 0)
		return api_fail(c, SP_EINVAL, "only assets and users come from a source");
	if (*o->source == '\0' && (o->prune || o->adopt || strcmp(kind, "people") == 0))
		return api_fail(c, SP_EINVAL, "source is missing");
	return SP_OK;
}

void
import_begin(struct api_call *c, struct sp_store *s)
{
	struct bulk *b = c->ctl->bulk;
	struct bulk_import *im = NULL;
	struct bulk_opts o = { 0 };
	char id[SP_UUID_SIZE];

	(void)s;
	if (api_line(c) == NULL) {
		(void)api_fail(c, SP_ESTATE, "rows are staged by a command line only");
		return;
	}
	if (begin_options(c, &o) != SP_OK)
		return;
	pthread_mutex_lock(&b->mu);
	if (b->n >= IMPORTS_MAX || (im = calloc(1, sizeof(*im))) == NULL) {
		(void)api_fail(c, SP_EBUSY, "%d imports are under way: wait for one to end", IMPORTS_MAX);
	} else {
		im->owner = api_line(c);
		im->o = o;
		im->rows.max = SP_BULK_BYTES_MAX;
		sp_list_init(&im->secrets);
		sp_uuid_make(&im->id);
		sp_list_add_tail(&b->imports, &im->link);
		b->n++;
		c->out = json_pack("{s:s}", "import", sp_uuid_text(&im->id, id));
	}
	pthread_mutex_unlock(&b->mu);
}

static enum sp_err
stage_row(struct api_call *c, struct bulk_import *im, const json_t *pair)
{
	json_int_t line = json_integer_value(json_array_get(pair, 0));
	const json_t *row = json_array_get(pair, 1);
	sp_auto(sp_freep) char *text = json_is_object(row) ? json_dumps(row, JSON_COMPACT) : NULL;
	size_t n = text != NULL ? strlen(text) : 0;

	if (text == NULL || line < 1 || line > UINT32_MAX)
		return api_fail(c, SP_EINVAL, "rows is a list of [line, object]");
	if (n > SP_BULK_ROW_MAX)
		return api_fail(c, SP_ESIZE, "line %lld: longer than %d bytes", (long long)line, SP_BULK_ROW_MAX);
	if (im->n >= SP_BULK_ROWS_MAX)
		return api_fail(c, SP_ESIZE, "more than %d rows: split the file", SP_BULK_ROWS_MAX);
	if (sp_buf_put_u32(&im->rows, (uint32_t)line) != SP_OK || sp_buf_put_string(&im->rows, text, n) != SP_OK)
		return api_fail(c, SP_ESIZE, "the rows of one import are limited to %zu MiB: split the file", SP_BULK_BYTES_MAX >> 20);
	im->n++;
	return SP_OK;
}

void
import_rows(struct api_call *c, struct sp_store *s)
{
	const json_t *rows = json_object_get(c->params, "rows");
	struct bulk *b = c->ctl->bulk;
	struct bulk_import *im;
	size_t i, total = 0;
	int64_t page = -1;
	json_t *v;

	(void)s;
	if (api_int(c, "page", 0, INT32_MAX, &page) != SP_OK)
		return;
	pthread_mutex_lock(&b->mu);
	sp_list_each(it, &b->imports)
		total += sp_container(it, struct bulk_import, link)->rows.cap + sp_container(it, struct bulk_import, link)->secrets_bytes;
	if ((im = import_of(c)) != NULL) {
		if (page != im->pages)
			(void)api_fail(c, SP_ESTATE, "page %u is expected", im->pages);
		else if (total > STAGED_MAX)
			(void)api_fail(c, SP_EBUSY, "other imports hold the memory: wait for one to end");
		json_array_foreach(rows, i, v)
			if (c->err != SP_OK || stage_row(c, im, v) != SP_OK)
				break;
		im->pages += c->err == SP_OK;
		c->out = json_pack("{s:I}", "rows", (json_int_t)im->n);
	}
	pthread_mutex_unlock(&b->mu);
}

static struct bulk_import *
import_take(struct api_call *c)
{
	struct bulk *b = c->ctl->bulk;
	struct bulk_import *im;

	pthread_mutex_lock(&b->mu);
	if ((im = import_of(c)) != NULL) {
		sp_list_remove(&im->link);
		b->n--;
	}
	pthread_mutex_unlock(&b->mu);
	return im;
}

void
import_abort(struct api_call *c, struct sp_store *s)
{
	(void)s;
	import_free(import_take(c));
}

/* ---- secrets: sealed by the caller, wrapped by the vault, kept for the row of that line ---- */

struct secret_state {
	struct sp_uuid	id;
	int64_t		line, kind;
};

static void
secret_staged(struct api_call *c, struct sp_store *s)
{
	const Sallyport__SecretReply *r = (Sallyport__SecretReply *)c->reply;
	const struct secret_state *st = c->state;
	struct bulk_import *im;
	struct staged_secret *k;
	size_t size;

	(void)s;
	if (c->reply_id != SP_MSG_SECRET_REPLY || r->err != SP_OK) {
		(void)api_fail(c, c->reply_id == SP_MSG_SECRET_REPLY ? (enum sp_err)r->err : SP_EINTERNAL, "line %lld: %s",
		    (long long)st->line, c->reply_id == SP_MSG_SECRET_REPLY && *r->text ? r->text : "the vault did not take the secret");
		return;
	}
	size = sizeof(*k) + r->envelope.len + r->public_key.len;
	if (r->envelope.len > SP_STORE_SECRET_MAX || r->public_key.len > SP_STORE_KEY_MAX || (k = calloc(1, size)) == NULL) {
		(void)api_fail(c, SP_ESIZE, "line %lld: the secret is too long", (long long)st->line);
		return;
	}
	*k = (struct staged_secret){ .line = (uint32_t)st->line, .id = st->id, .kind = st->kind, .term = r->term,
	    .envelope_len = (uint32_t)r->envelope.len, .public_len = (uint32_t)r->public_key.len };
	memcpy(k->bytes, r->envelope.data, r->envelope.len);
	if (r->public_key.len > 0)
		memcpy(k->bytes + r->envelope.len, r->public_key.data, r->public_key.len);
	pthread_mutex_lock(&c->ctl->bulk->mu);
	if ((im = import_of(c)) != NULL && im->secrets_n < SECRETS_MAX && im->secrets_bytes + size <= SECRETS_BYTES) {
		sp_list_add_tail(&im->secrets, &k->link);
		im->secrets_n++;
		im->secrets_bytes += size;
		k = NULL;
		c->out = json_object();
	} else if (im != NULL) {
		(void)api_fail(c, SP_ESIZE, "more than %d secrets, or %zu MiB of them: split the file", SECRETS_MAX, SECRETS_BYTES >> 20);
	}
	pthread_mutex_unlock(&c->ctl->bulk->mu);
	free(k);
}

void
import_secret(struct api_call *c, struct sp_store *s)
{
	Sallyport__SecretPut m = SALLYPORT__SECRET_PUT__INIT;
	struct secret_state *st = c->state = calloc(1, sizeof(*st));
	const char *kind = api_text(c, "kind");
	struct sp_buf b;

	(void)s;
	sp_buf_init(&b, 49152);
	if (st == NULL)
		(void)api_fail(c, SP_ENOMEM, "out of memory");
	else if (kind == NULL || (strcmp(kind, "password") != 0 && strcmp(kind, "ssh-key") != 0))
		(void)api_fail(c, SP_EINVAL, "kind is password or ssh-key");
	else if (api_int(c, "line", 1, UINT32_MAX, &st->line) == SP_OK && api_bytes(c, c->params, "sealed", 1, &b) == SP_OK) {
		sp_uuid_make(&st->id);
		st->kind = *kind == 'p' ? SP_STORE_SECRET_PASSWORD : SP_STORE_SECRET_SSH_KEY;
		m.secret_id = ctl_uuid_bytes(&st->id);
		m.version = 1;
		m.kind = ctl_str(kind);
		m.algorithm = ctl_str("");
		m.sealed = ctl_bytes(b.p, b.len);
		api_ask(c, SP_MSG_SECRET_PUT, &m, 0, secret_staged);
	}
	sp_buf_release(&b);
}

enum sp_err
bulk_secret(struct bulk_run *b, struct sp_store_secret *ret)
{
	sp_list_each(it, &b->im->secrets) {
		const struct staged_secret *k = sp_container(it, struct staged_secret, link);

		if (k->line != b->line)
			continue;
		memset(ret, 0, sizeof(*ret));
		ret->id = k->id;
		ret->kind = k->kind;
		ret->term = k->term;
		ret->secret_version = 1;
		ret->rotated_us = sp_wall_us();
		memcpy(ret->ciphertext.b, k->bytes, ret->ciphertext.len = k->envelope_len);
		memcpy(ret->public_blob.b, k->bytes + k->envelope_len, ret->public_blob.len = k->public_len);
		return SP_OK;
	}
	return SP_ENOENT;
}

/* ---- what rows do ---- */

enum sp_err
bulk_refuse(struct bulk_run *b, enum sp_err e, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (b->refused_n++ < SP_BULK_REFUSED_MAX)
		json_array_append_new(b->refused, json_pack("{s:I, s:s}", "line", (json_int_t)b->line, "reason", text));
	return e != SP_OK ? e : SP_EINVAL;
}

enum sp_err
bulk_planned(struct bulk_run *b, enum sp_err e)
{
	if (e == SP_OK)
		return SP_OK;
	return bulk_refuse(b, e, "%s", e == SP_EINVAL ? "a value is not allowed" : e == SP_ESIZE ? "too many changes for one import: split the file" :
	    sp_err_text(e));
}

void
bulk_did(struct bulk_run *b, enum bulk_did what, const char *name)
{
	b->did[what]++;
	if (what == BULK_UNCHANGED)
		return;
	if (b->names[what] == NULL)
		b->names[what] = json_array();
	json_array_append_new(b->names[what], json_string(name));
}

enum sp_err
bulk_epoch_add(struct bulk_run *b, const struct sp_store_user *u, const char *reason)
{
	if (b->epochs_n == b->epochs_cap) {
		size_t cap = b->epochs_cap == 0 ? 64 : b->epochs_cap * 2;
		struct bulk_epoch *more = reallocarray(b->epochs, cap, sizeof(*more));

		if (more == NULL)
			return bulk_refuse(b, SP_ENOMEM, "out of memory");
		b->epochs = more;
		b->epochs_cap = cap;
	}
	b->epochs[b->epochs_n++] = (struct bulk_epoch){ u->id, u->epoch, reason };
	return SP_OK;
}

static struct bulk_seen *
seen_find(struct bulk_run *b, const char *scope, const char *name)
{
	char key[SP_STORE_NAME_MAX * 2 + 16];
	struct sp_hnode *n;

	if (sp_snprintf(key, sizeof(key), "%s:%s", scope, name) != 0)
		return NULL;
	n = sp_htab_find(&b->seen, key, strlen(key));
	return n != NULL ? sp_container(n, struct bulk_seen, node) : NULL;
}

int
bulk_find(struct bulk_run *b, const char *scope, const char *name, struct sp_uuid *ret, uint32_t *ret_line)
{
	const struct bulk_seen *k = seen_find(b, scope, name);

	if (k == NULL)
		return 0;
	if (ret != NULL)
		*ret = k->id;
	if (ret_line != NULL)
		*ret_line = k->line;
	return 1;
}

enum sp_err
bulk_once(struct bulk_run *b, const char *scope, const char *name, const struct sp_uuid *id)
{
	const struct bulk_seen *old = seen_find(b, scope, name);
	size_t n = strlen(scope) + strlen(name) + 1;
	struct bulk_seen *k;

	if (old != NULL)
		return bulk_refuse(b, SP_EEXIST, "\"%.200s\" is on line %u already", name, old->line);
	if ((k = calloc(1, sizeof(*k) + n + 1)) == NULL)
		return bulk_refuse(b, SP_ENOMEM, "out of memory");
	sp_snprintf(k->key, n + 1, "%s:%s", scope, name);
	k->id = *id;
	k->line = b->line;
	if (sp_htab_insert(&b->seen, &k->node, k->key, n) != SP_OK) {
		free(k);
		return bulk_refuse(b, SP_ENOMEM, "out of memory");
	}
	return SP_OK;
}

enum sp_err
bulk_guard(struct bulk_run *b, const char *what, uint64_t n, uint64_t n_all)
{
	if (b->o.force || n <= GUARD_FREE || n * 100 <= n_all * (uint64_t)b->o.max_percent)
		return SP_OK;
	b->line = 0;
	return bulk_refuse(b, SP_EDENIED, "%llu of %llu %s would go, more than %lld %%: is the list whole? If it is, say --force",
	    (unsigned long long)n, (unsigned long long)n_all, what, (long long)b->o.max_percent);
}

static void
seen_free(struct sp_hnode *n, void *arg)
{
	sp_htab_remove(arg, n);
	free(sp_container(n, struct bulk_seen, node));
}

static void
run_free(void *p)
{
	struct bulk_run *b = p;

	if (b == NULL)
		return;
	bulk_grants_end(b);
	json_decref(b->row.params);
	json_decref(b->row.audit_more);
	sp_store_plan_free(b->plan);
	sp_store_plan_free(b->later);
	sp_htab_each(&b->seen, seen_free, &b->seen);
	sp_htab_release(&b->seen);
	json_decref(b->refused);
	json_decref(b->report);
	changes_drop(&b->changes);
	for (int i = 0; i < BULK_DID_N; i++)
		json_decref(b->names[i]);
	import_free(b->im);
	free(b->epochs);
	free(b);
}

static enum sp_err
groups_start(struct bulk_run *b)
{
	struct sp_view v = { b->im->rows.p, b->im->rows.len }, text;
	enum sp_err r = SP_OK;

	while (r == SP_OK && v.len > 0 && (r = sp_view_u32(&v, &b->line)) == SP_OK && (r = sp_view_string(&v, &text)) == SP_OK) {
		json_t *row = json_loadb((const char *)text.p, text.len, 0, NULL);

		r = bulk_groups_start(b, row);
		json_decref(row);
	}
	return r;
}

static const struct {
	const char	*kind;
	bulk_row_fn	*row;
	enum sp_err	(*start)(struct bulk_run *), (*end)(struct bulk_run *);
} kinds[] = {
	{ "users", bulk_user, NULL, bulk_prune }, { "groups", bulk_group, groups_start, NULL }, { "assets", bulk_asset, NULL, bulk_prune },
	{ "accounts", bulk_account, NULL, NULL }, { "grants", bulk_grant, bulk_grants_start, NULL },
	{ "people", bulk_person, NULL, bulk_sweep_end }
};

/* The row stands as a call of its own, in the name of the same caller. */
static void
run_row(struct bulk_run *b, bulk_row_fn *fn, struct sp_view text)
{
	const char *key;
	json_t *v;

	json_decref(b->row.params);
	json_decref(b->row.audit_more);
	b->row.audit_more = NULL;
	b->row.err = SP_OK;
	b->row.text[0] = '\0';
	if ((b->row.params = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, NULL)) == NULL) {
		(void)bulk_refuse(b, SP_EFORMAT, "not JSON");
		return;
	}
	json_object_foreach(b->row.params, key, v) {
		const struct sp_bulk_col *col = sp_bulk_col(b->o.kind, key);

		if (col == NULL || col->type == SP_BULK_SECRET) {
			(void)bulk_refuse(b, SP_EINVAL, col == NULL ? "there is no column \"%.100s\"" : "%.100s is sealed before it is sent", key);
			return;
		}
	}
	if (fn(b) != SP_OK && b->row.err != SP_OK)
		(void)bulk_refuse(b, b->row.err, "%s", b->row.text);
}

static enum sp_err
run_rows(struct bulk_run *b)
{
	struct sp_view v = { b->im->rows.p, b->im->rows.len }, text;
	size_t k = 0;
	enum sp_err r;

	while (strcmp(kinds[k].kind, b->o.kind->name) != 0)
		k++;
	if (kinds[k].start != NULL && (r = kinds[k].start(b)) != SP_OK)
		return api_store(b->c, r, "looking at what is there");
	while (v.len > 0) {
		if (sp_view_u32(&v, &b->line) != SP_OK || sp_view_string(&v, &text) != SP_OK)
			return api_fail(b->c, SP_EINTERNAL, "the staged rows are damaged");
		run_row(b, kinds[k].row, text);
	}
	b->row.err = SP_OK;
	if (kinds[k].end == NULL || b->refused_n > 0 || (r = kinds[k].end(b)) == SP_OK || b->refused_n > 0)
		return SP_OK;
	return b->row.err != SP_OK ? api_fail(b->c, r, "%s", b->row.text) : api_store(b->c, r, "looking at what is there");
}

/* ---- the audit log ---- */

static const char *const did_words[] = { "unchanged", "created", "changed", "disabled", "deleted" };

static enum sp_err
audit_put(struct bulk_run *b, const char *suffix, const char *result, const char *text, json_t *more)
{
	char kind[64];
	struct audit_entry e = { .kind = kind, .actor = api_actor(b->c), .source = b->c->source, .result = result, .text = text,
	    .more = more };

	sp_snprintf(kind, sizeof(kind), "%s%s", b->c->m->audit, suffix);
	return audit_append_wait(b->c->ctl->audit, &e);
}

/* Which ones, in entries of bounded size. */
static enum sp_err
audit_names(struct bulk_run *b, enum bulk_did what)
{
	size_t n = json_array_size(b->names[what]), i = 0;
	enum sp_err r = SP_OK;

	while (r == SP_OK && i < n) {
		json_t *part = json_array(), *more;

		for (size_t bytes = 0; i < n && bytes < NAMES_BYTES; i++) {
			bytes += json_string_length(json_array_get(b->names[what], i)) + 3;
			json_array_append(part, json_array_get(b->names[what], i));
		}
		more = json_pack("{s:s, s:s, s:o}", "of", b->o.kind->name, "what", did_words[what], "names", part);
		r = audit_put(b, ".names", "ok", did_words[what], more);
		json_decref(more);
	}
	return r;
}

static enum sp_err
audit_report(struct bulk_run *b)
{
	size_t n = json_array_size(b->report);
	enum sp_err r = SP_OK;

	for (size_t i = 0; r == SP_OK && i < n; ) {
		json_t *part = json_array(), *more;

		for (size_t k = 0; k < REPORT_ROWS && i < n; k++, i++)
			json_array_append(part, json_array_get(b->report, i));
		more = json_pack("{s:s, s:o}", "source", b->o.source, "rows", part);
		r = audit_put(b, ".report", "ok", "who left, who moved, what became of what was theirs", more);
		json_decref(more);
	}
	return r;
}

static json_t *
run_summary(const struct bulk_run *b)
{
	json_t *o = json_pack("{s:s, s:I, s:I, s:b}", "kind", b->o.kind->name, "rows", (json_int_t)b->im->n, "refused_n",
	    (json_int_t)b->refused_n, "dry_run", b->o.dry_run);

	for (int i = 0; i < BULK_DID_N; i++)
		json_object_set_new(o, did_words[i], json_integer((json_int_t)b->did[i]));
	if (*b->o.source != '\0')
		json_object_set_new(o, "source", json_string(b->o.source));
	return o;
}

/* ---- all or nothing ---- */

/* Who asks may have lost his role since the rows were judged. */
static enum sp_err
run_caller_is_same(struct bulk_run *b)
{
	struct sp_store_user u;

	if (b->c->local_root)
		return SP_OK;
	if (sp_store_user_get(b->s, &b->c->caller.id, &u) != SP_OK || u.version != b->c->caller.version)
		return api_fail(b->c, SP_ECONFLICT, "your own account was changed meanwhile: try again");
	return SP_OK;
}

/* Second factors, their secrets and permissions go with the users that do, as with user.delete: also one that was set up meanwhile. */
static enum sp_err
run_totp(struct bulk_run *b)
{
	struct sp_store_user u;
	enum sp_err r = SP_OK;
	int n;

	for (size_t i = 0; i < b->epochs_n && r == SP_OK; i++)
		if (b->epochs[i].epoch == INT64_MAX && (r = totp_erase(b->s, &b->epochs[i].user)) == SP_OK &&
		    (r = sp_store_user_get(b->s, &b->epochs[i].user, &u)) == SP_OK)
			r = user_permissions(b->s, u.login, 1, &n);
	return r == SP_OK ? r : api_store(b->c, r, "a second factor or permission");
}

/* A page of before and after. The entry that ends the act is behind it, and is waited for. */
static void
run_changes(void *arg)
{
	struct bulk_run *b = arg;
	json_t *rows = changes_take(&b->changes, NULL), *more;
	char kind[64];
	struct audit_entry e = { .kind = kind, .actor = api_actor(b->c), .source = b->c->source, .result = "ok", .text = b->o.kind->name };

	if (rows == NULL)
		return;
	more = json_pack("{s:s, s:o}", "of", b->o.kind->name, "changes", rows);
	e.more = more;
	sp_snprintf(kind, sizeof(kind), "%s.changes", b->c->m->audit);
	(void)audit_append(b->c->ctl->audit, &e, NULL, NULL);
	json_decref(more);
}

static enum sp_err
run_write(struct bulk_run *b)
{
	uint32_t line = 0;
	json_t *more;
	enum sp_err r;

	if ((r = sp_store_begin(b->s, SP_STORE_MAIN)) != SP_OK)
		return api_store(b->c, r, "the store");
	b->changes = (struct changes){ .full = run_changes, .arg = b };
	changes_begin(&b->changes, b->s);
	if ((r = run_caller_is_same(b)) == SP_OK && (r = run_totp(b)) == SP_OK && ((r = sp_store_plan_apply(b->s, b->plan, &line)) != SP_OK ||
	    (r = sp_store_plan_apply(b->s, b->later, &line)) != SP_OK)) {
		if (r == SP_EINVAL)
			(void)api_fail(b->c, r, "line %u: a value is not allowed, or groups would be in each other: nothing was done", line);
		else if (r == SP_EEXIST || r == SP_ENOENT || r == SP_ECONFLICT || r == SP_ESTATE)
			(void)api_fail(b->c, SP_ECONFLICT, "line %u: somebody else changed it, or what it names, at the same time: nothing was "
			    "done; try again", line);
		else
			(void)api_fail(b->c, r, "line %u: %s: nothing was done", line, sp_err_text(r));
	}
	changes_end(b->s);
	if (r == SP_OK) {
		run_changes(b);
		more = run_summary(b);
		r = audit_put(b, "", "ok", b->o.kind->name, more);
		json_decref(more);
		b->c->logged = r == SP_OK;
		if (r != SP_OK)
			(void)api_fail(b->c, r, "the audit log does not take the entry");
	}
	if (r != SP_OK) {
		sp_store_rollback(b->s);
	} else if ((r = sp_store_commit(b->s)) != SP_OK) {
		(void)api_store(b->c, r, "the store");
		b->c->logged = 0;	/* a second entry says that it failed */
	}
	return r;
}

static enum sp_err
run_apply(struct bulk_run *b)
{
	enum sp_err r = SP_OK;

	if (sp_store_plan_size(b->plan) + sp_store_plan_size(b->later) == 0)
		return SP_OK;
	for (int i = BULK_CREATED; i < BULK_DID_N && r == SP_OK; i++)
		r = audit_names(b, (enum bulk_did)i);
	if (r == SP_OK)
		r = audit_report(b);
	if (r != SP_OK)
		return api_fail(b->c, r, "the audit log does not take the entry");
	ctl_bulk_turn(b->c->ctl, 1);
	r = run_write(b);
	ctl_bulk_turn(b->c->ctl, 0);
	return r;
}

static enum sp_err
run_start(struct bulk_run *b, struct api_call *c, struct sp_store *s)
{
	enum sp_err r;

	b->c = c;
	b->s = s;
	b->o = b->im->o;
	b->row.ctl = c->ctl;
	b->row.m = c->m;
	b->row.local_root = c->local_root;
	b->row.owner = c->owner;
	b->row.caller = c->caller;
	b->row.role = c->role;
	b->row.uid = c->uid;
	b->row.fd = -1;
	b->refused = json_array();
	if ((r = sp_htab_init(&b->seen)) != SP_OK || (r = sp_store_plan_new(&b->plan)) != SP_OK)
		return r;
	return sp_store_plan_new(&b->later);
}

void
import_commit(struct api_call *c, struct sp_store *s)
{
	struct bulk_run *b = calloc(1, sizeof(*b));
	json_t *sum, *row;
	int applied = 0;
	size_t i;

	if (b == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	c->state = b;
	c->state_free = run_free;
	if ((b->im = import_take(c)) == NULL)
		return;
	if ((strcmp(b->im->o.kind->name, "people") == 0) != (strcmp(c->m->name, "sweep.commit") == 0)) {
		(void)api_fail(c, SP_EINVAL, "people are swept, everything else is imported");
		return;
	}
	b->im->o.dry_run |= json_is_true(json_object_get(c->params, "dry_run"));	/* the caller refused rows himself */
	if (run_start(b, c, s) != SP_OK) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	if (run_rows(b) != SP_OK)
		return;
	if (b->refused_n == 0 && !b->o.dry_run) {
		if (run_apply(b) != SP_OK)
			return;
		applied = 1;
	}
	sum = run_summary(b);
	if (b->refused_n > 0) {
		json_t *more = json_copy(sum);

		c->logged = audit_put(b, "", "refused", "rows were refused", more) == SP_OK;
		json_decref(more);
	}
	json_object_set_new(sum, "applied", json_boolean(applied));
	json_object_set(sum, "refused", b->refused);
	c->rejudge = applied;
	(void)sp_strlcpy(c->what, b->o.kind->name, sizeof(c->what));
	if (b->o.dry_run)
		api_more(c, "dry_run", json_true());
	c->out = json_array();
	json_array_append_new(c->out, sum);
	json_array_foreach(b->report, i, row)
		json_array_append(c->out, row);
	b->o.dry_run |= !applied;	/* nothing for the loop to do */
}

void
import_commit_loop(struct api_call *c)
{
	struct bulk_run *b = c->state;

	for (size_t i = 0; b != NULL && !b->o.dry_run && i < b->epochs_n; i++)
		conn_epoch(c->ctl, &b->epochs[i].user, b->epochs[i].epoch, b->epochs[i].reason, api_actor(c));
}
