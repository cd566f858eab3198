/* src/control/api_bulk_grants.c - rows of grants. A row is a whole grant: what it leaves out has its default. Process:
 * control, bulk lane. Grants have no names to go by: a row with the id of one that exists is that one; else a row that says
 * exactly what an existing one says is that one, each counted once; else it is new. For that all grants are read once and
 * remembered by a digest of what they say. */
#include "control/api_bulk.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/hash.h"

#define DIGEST	16

struct known {			/* a grant that exists */
	struct sp_hnode	by_id, by_digest;
	struct known	*twin;	/* says the same */
	struct sp_uuid	id;
	int64_t		version;
	uint8_t		digest[DIGEST];
	int		used;	/* by a row */
};
struct index {
	struct sp_htab	ids, digests;
	enum sp_err	err;
};

/* What it says, whoever made it and whenever. */
static enum sp_err
digest_of(const struct sp_store_grant *g, uint8_t ret[DIGEST])
{
	static const struct sp_uuid any = { .b = { 1 } };
	sp_auto(sp_buf_release) struct sp_buf text = { .max = 65536 };
	struct sp_store_grant copy = *g;
	uint8_t sum[SP_SHA256_LEN];
	enum sp_err r;

	copy.id = any;
	copy.version = 1;
	copy.created_by = (struct sp_uuid){ 0 };
	if ((r = sp_store_grant_canonical(&copy, &text)) != SP_OK)
		return r;
	sp_sha256(text.p, text.len, sum);
	memcpy(ret, sum, DIGEST);
	return SP_OK;
}

static int
index_add(const struct sp_store_grant *g, void *arg)
{
	struct index *x = arg;
	struct known *k = calloc(1, sizeof(*k));
	struct sp_hnode *same;

	if (k == NULL || (x->err = digest_of(g, k->digest)) != SP_OK) {
		x->err = k == NULL ? SP_ENOMEM : x->err;
		free(k);
		return 1;
	}
	k->id = g->id;
	k->version = g->version;
	if ((x->err = sp_htab_insert(&x->ids, &k->by_id, k->id.b, SP_UUID_LEN)) != SP_OK) {
		free(k);
		return 1;
	}
	if ((same = sp_htab_find(&x->digests, k->digest, DIGEST)) != NULL) {
		struct known *first = sp_container(same, struct known, by_digest);

		k->twin = first->twin;
		first->twin = k;
		return 0;
	}
	return (x->err = sp_htab_insert(&x->digests, &k->by_digest, k->digest, DIGEST)) != SP_OK;
}

enum sp_err
bulk_grants_start(struct bulk_run *b)
{
	struct index *x = b->grants = calloc(1, sizeof(*x));
	enum sp_err r;

	if (x == NULL)
		return SP_ENOMEM;
	if ((r = sp_htab_init(&x->ids)) != SP_OK || (r = sp_htab_init(&x->digests)) != SP_OK ||
	    (r = sp_store_every_grant(b->s, index_add, x)) != SP_OK)
		return r;
	return x->err;
}

static void
known_free(struct sp_hnode *n, void *arg)
{
	sp_htab_remove(arg, n);
	free(sp_container(n, struct known, by_id));
}

void
bulk_grants_end(struct bulk_run *b)
{
	struct index *x = b->grants;

	if (x == NULL)
		return;
	sp_htab_release(&x->digests);
	sp_htab_each(&x->ids, known_free, &x->ids);
	sp_htab_release(&x->ids);
	free(x);
	b->grants = NULL;
}

/* ---- the two sides ---- */

static enum sp_err
look_up(struct bulk_run *b, const char *key, struct sp_uuid *ret)
{
	struct sp_store_user u;
	struct sp_store_group g;
	struct sp_store_asset a;
	struct sp_store_asset_group ag;
	enum sp_err r;

	if (strcmp(key, "user") == 0) {
		if ((r = api_user(&b->row, b->s, key, &u)) == SP_OK)
			*ret = u.id;
	} else if (strcmp(key, "group") == 0) {
		if ((r = api_group(&b->row, b->s, key, &g)) == SP_OK)
			*ret = g.id;
	} else if (strcmp(key, "asset") == 0) {
		if ((r = api_asset(&b->row, b->s, key, &a)) == SP_OK)
			*ret = a.id;
	} else if ((r = api_asset_group(&b->row, b->s, key, &ag)) == SP_OK) {
		*ret = ag.id;
	}
	return r;
}

/* Names come again and again; each is looked up, and its department judged, once a file. */
static enum sp_err
side(struct bulk_run *b, const char *one, const char *other, int64_t *ret_kind, struct sp_uuid *ret)
{
	const char *x = api_text(&b->row, one), *y = api_text(&b->row, other), *key;
	struct sp_uuid id = { 0 };
	enum sp_err r;

	x = x != NULL && *x != '\0' ? x : NULL;
	y = y != NULL && *y != '\0' ? y : NULL;
	if ((x != NULL) == (y != NULL))
		return api_fail(&b->row, SP_EINVAL, "a grant has either %s or %s", one, other);
	key = x != NULL ? one : other;
	if (!bulk_find(b, key, x != NULL ? x : y, &id, NULL)) {
		if ((r = look_up(b, key, &id)) != SP_OK || (r = bulk_once(b, key, x != NULL ? x : y, &id)) != SP_OK)
			return r;
	}
	*ret_kind = x != NULL ? 1 : 2;
	*ret = id;
	return SP_OK;
}
_Static_assert(SP_STORE_SUBJECT_USER == 1 && SP_STORE_SUBJECT_GROUP == 2 && SP_STORE_OBJECT_ASSET == 1 && SP_STORE_OBJECT_ASSET_GROUP == 2,
    "side() gives these");

/* Columns that a single call may not have: what a grant says is all in the file. */
static enum sp_err
more_fields(struct bulk_run *b, struct sp_store_grant *g)
{
	enum sp_err r;

	if ((r = api_int(&b->row, "mfa_interval_s", -1, 400 * 86400, &g->mfa_interval_s)) != SP_OK ||
	    (r = api_int(&b->row, "file_direction", 0, SP_STORE_FILE_UP | SP_STORE_FILE_DOWN, &g->file_direction)) != SP_OK)
		return r;
	return SP_OK;
}

/* Empty lists are lists that are not there. */
static void
drop_empty(struct bulk_run *b)
{
	static const char *const keys[] = { "protocols", "forward_to", "sources", "file_paths" };

	for (size_t i = 0; i < SP_NELEMS(keys); i++)
		if (json_is_array(json_object_get(b->row.params, keys[i])) && json_array_size(json_object_get(b->row.params, keys[i])) == 0)
			json_object_del(b->row.params, keys[i]);
}

static struct known *
known_same(struct index *x, const uint8_t digest[DIGEST])
{
	struct sp_hnode *n = sp_htab_find(&x->digests, digest, DIGEST);
	struct known *k = n != NULL ? sp_container(n, struct known, by_digest) : NULL;

	while (k != NULL && k->used)
		k = k->twin;
	return k;
}

/* Who replaces a grant must be allowed to take back the old one. */
static enum sp_err
may_replace(struct bulk_run *b, const struct sp_uuid *id)
{
	struct sp_store_grant old;
	struct sp_store_asset a = { 0 };
	struct sp_store_asset_group ag = { 0 };
	enum sp_err r;

	if (b->row.local_root || sp_uuid_is_null(&b->row.caller.role_department_id))
		return SP_OK;
	if ((r = sp_store_grant_get(b->s, id, &old)) != SP_OK)
		return api_store(&b->row, r, "the grant");
	r = old.object_kind == SP_STORE_OBJECT_ASSET ? sp_store_asset_get(b->s, &old.object_id, &a) :
	    sp_store_asset_group_get(b->s, &old.object_id, &ag);
	if (r != SP_OK)
		return api_store(&b->row, r, "the grant's object");
	return api_scope(&b->row, b->s, old.object_kind == SP_STORE_OBJECT_ASSET ? &a.department_id : &ag.department_id);
}

enum sp_err
bulk_grant(struct bulk_run *b)
{
	struct sp_store_grant g = GRANT_PLAIN;
	struct index *x = b->grants;
	struct sp_hnode *n = NULL;
	struct known *k = NULL;
	uint8_t digest[DIGEST];
	char id[SP_UUID_SIZE] = "";
	enum sp_err r;

	drop_empty(b);
	if ((r = api_str(&b->row, "id", 0, id, sizeof(id))) != SP_OK)
		return r;
	if (*id != '\0' && sp_uuid_parse(id, &g.id) != SP_OK)
		return api_fail(&b->row, SP_EINVAL, "id is not the id of a grant");
	if ((r = side(b, "user", "group", &g.subject_kind, &g.subject_id)) != SP_OK ||
	    (r = side(b, "asset", "asset_group", &g.object_kind, &g.object_id)) != SP_OK ||
	    (r = grant_fields(&b->row, &g)) != SP_OK || (r = more_fields(b, &g)) != SP_OK)
		return r;
	if (digest_of(&g, digest) != SP_OK)
		return api_fail(&b->row, SP_EINVAL, "a value is not allowed");
	if (*id != '\0' && (n = sp_htab_find(&x->ids, g.id.b, SP_UUID_LEN)) != NULL)
		k = sp_container(n, struct known, by_id);
	if (k != NULL && k->used)
		return api_fail(&b->row, SP_EEXIST, "the grant of that id is on another line already");
	if (k == NULL && (k = known_same(x, digest)) == NULL) {
		if (sp_uuid_is_null(&g.id))
			sp_uuid_make(&g.id);
		else if ((r = bulk_once(b, "id", id, &g.id)) != SP_OK)
			return r;
		g.version = 1;
		g.created_by = b->c->caller.id;
		if ((r = bulk_planned(b, sp_store_plan_grant(b->plan, b->line, SP_STORE_DO_ADD, &g))) == SP_OK)
			bulk_did(b, BULK_CREATED, sp_uuid_text(&g.id, id));
		return r;
	}
	k->used = 1;
	if (memcmp(k->digest, digest, DIGEST) == 0) {
		bulk_did(b, BULK_UNCHANGED, "");
		return SP_OK;
	}
	if ((r = may_replace(b, &k->id)) != SP_OK)
		return r;
	g.version = k->version;
	g.created_by = b->c->caller.id;
	if ((r = bulk_planned(b, sp_store_plan_grant(b->plan, b->line, SP_STORE_DO_UPDATE, &g))) == SP_OK)
		bulk_did(b, BULK_CHANGED, id);
	return r;
}
