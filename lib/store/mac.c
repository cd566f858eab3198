/* lib/store/mac.c - row MACs: who can write the database cannot give himself power.
 *
 * Each row that gives power carries BLAKE2b-256, keyed with 32 bytes that the vault derives, over its table, its id, its
 * version and everything that it says (rows.c, canonical form); an edge over its ends and its kind; a setting over key
 * and value. The store computes it with every write. It checks it in every read of one row, in lists that ask for it
 * (query.checked) and in sp_store_grants_for, which also wants a way of good edges from the user to the grant and from
 * the asset to the grant: the closures are derived, so they carry none and prove nothing. A row that fails is SP_ETAMPERED
 * and is named once per read in the handle's findings.
 * Not seen by a MAC: a row that was deleted, and a whole row put back as it once was (docs/threat-model.md).
 * Invariants: (1) a row is never written with a MAC over content that was not either given by the caller or checked.
 * (2) Without the key (SP_STORE_MAC_SEALED) such rows are not written at all. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "store/db.h"

_Static_assert(SP_STORE_MAC_KEY == crypto_generichash_KEYBYTES && SP_MAC_LEN <= SP_STORE_MAC_MAX, "BLAKE2b-256");

enum sp_err
sp_store_mac_set(struct sp_store *s, enum sp_store_mac_mode mode, const void *key)
{
	struct sp_secret k = { 0 };
	enum sp_err r;

	if ((mode == SP_STORE_MAC_ON) != (key != NULL))
		return SP_EINVAL;
	if (key != NULL && (r = sp_secret_from(key, SP_STORE_MAC_KEY, &k)) != SP_OK)
		return r;
	sp_secret_move(&s->mac_key, &k);
	s->mac_mode = mode;
	sp_groups_forget(s);		/* proven with another key, or not at all */
	return SP_OK;
}

enum sp_store_mac_mode
sp_store_mac_mode(const struct sp_store *s)
{
	return s->mac_mode;
}

/* ---- findings ---- */

void
sp_mac_found(struct sp_store *s, const char *table, const char *id, const char *what)
{
	struct sp_store_finding *f = &s->finding[s->finding_n];

	if (s->finding_n == SP_STORE_FINDINGS_MAX)
		return;
	for (size_t i = 0; i < s->finding_n; i++)
		if (strcmp(s->finding[i].table, table) == 0 && strcmp(s->finding[i].id, id) == 0)
			return;
	(void)sp_strlcpy(f->table, table, sizeof(f->table));
	(void)sp_strlcpy(f->id, id, sizeof(f->id));
	(void)sp_strlcpy(f->what, what, sizeof(f->what));
	s->finding_n++;
}

size_t
sp_store_findings(struct sp_store *s, struct sp_store_finding *ret)
{
	size_t n = s->finding_n;

	memcpy(ret, s->finding, n * sizeof(*ret));
	s->finding_n = 0;
	return n;
}

void
sp_mac_pair_text(const struct sp_uuid *a, const struct sp_uuid *b, char dst[SP_STORE_ROW_ID_SIZE])
{
	char x[SP_UUID_SIZE], y[SP_UUID_SIZE];

	sp_snprintf(dst, SP_STORE_ROW_ID_SIZE, "%s/%s", sp_uuid_text(a, x), sp_uuid_text(b, y));
}

/* ---- computing and checking ---- */

static enum sp_err
mac_over(const struct sp_store *s, const struct sp_buf *b, struct sp_store_mac *ret)
{
	if (crypto_generichash(ret->b, SP_MAC_LEN, b->p, b->len, s->mac_key.p, s->mac_key.len) != 0)
		return SP_EINTERNAL;
	ret->len = SP_MAC_LEN;
	return SP_OK;
}

static int
mac_equal(const struct sp_store_mac *a, const struct sp_store_mac *b)
{
	return a->len == SP_MAC_LEN && b->len == SP_MAC_LEN && sp_ct_equal(a->b, b->b, SP_MAC_LEN);
}

static const char *
mac_what(const struct sp_store_mac *m)
{
	return m->len == 0 ? "it has no MAC: not written by Sallyport" : "its MAC is wrong: changed, or not written by Sallyport";
}

static enum sp_err
mac_row(struct sp_store *s, const struct sp_rowtype *t, const void *row, struct sp_store_mac *ret)
{
	enum sp_err r;

	sp_buf_reset(&s->mac_buf);
	if ((r = sp_row_canonical(t, row, &s->mac_buf)) != SP_OK)
		return r;
	return mac_over(s, &s->mac_buf, ret);
}

enum sp_err
sp_mac_row_make(struct sp_store *s, const struct sp_rowtype *t, void *row)
{
	struct sp_row_head *h = row;

	switch (s->mac_mode) {
	case SP_STORE_MAC_OFF:
		return SP_OK;
	case SP_STORE_MAC_SEALED:
		return sp_store_fail(s, SP_ESEALED, "no row that gives power is written before the vault is unsealed");
	case SP_STORE_MAC_ON:
		return mac_row(s, t, row, &h->mac);
	}
	return SP_EINTERNAL;
}

enum sp_err
sp_mac_row_check(struct sp_store *s, const struct sp_rowtype *t, const void *row)
{
	const struct sp_row_head *h = row;
	struct sp_store_mac m;
	char id[SP_UUID_SIZE];
	enum sp_err r;

	if (s->mac_mode != SP_STORE_MAC_ON || t == &sp_rt_session)
		return SP_OK;
	if ((r = mac_row(s, t, row, &m)) == SP_ENOMEM)
		return r;
	if (r == SP_OK && mac_equal(&m, &h->mac))
		return SP_OK;
	sp_mac_found(s, t->table, sp_uuid_text(&h->id, id), mac_what(&h->mac));
	return sp_store_fail(s, SP_ETAMPERED, "a row was changed behind our back");
}

static enum sp_err
mac_edge(struct sp_store *s, const char *table, const struct sp_store_member *m, struct sp_store_mac *ret)
{
	struct sp_buf *b = &s->mac_buf;
	enum sp_err r;

	sp_buf_reset(b);
	if ((r = sp_buf_put_cstring(b, table)) != SP_OK || (r = sp_buf_append(b, m->member_id.b, SP_UUID_LEN)) != SP_OK ||
	    (r = sp_buf_append(b, m->group_id.b, SP_UUID_LEN)) != SP_OK || (r = sp_buf_put_u64(b, (uint64_t)m->kind)) != SP_OK ||
	    (r = sp_buf_put_u64(b, (uint64_t)m->created_us)) != SP_OK)
		return r;
	return mac_over(s, b, ret);
}

enum sp_err
sp_mac_edge_make(struct sp_store *s, const char *table, const struct sp_store_member *m, struct sp_store_mac *ret)
{
	switch (s->mac_mode) {
	case SP_STORE_MAC_OFF:
		*ret = m->mac;
		return SP_OK;
	case SP_STORE_MAC_SEALED:
		return sp_store_fail(s, SP_ESEALED, "no membership is written before the vault is unsealed");
	case SP_STORE_MAC_ON:
		return mac_edge(s, table, m, ret);
	}
	return SP_EINTERNAL;
}

enum sp_err
sp_mac_edge_check(struct sp_store *s, const char *table, const struct sp_store_member *m)
{
	char id[SP_STORE_ROW_ID_SIZE];
	struct sp_store_mac got;
	enum sp_err r;

	if (s->mac_mode != SP_STORE_MAC_ON)
		return SP_OK;
	if ((r = mac_edge(s, table, m, &got)) != SP_OK)
		return r;
	if (mac_equal(&got, &m->mac))
		return SP_OK;
	sp_mac_pair_text(&m->member_id, &m->group_id, id);
	sp_mac_found(s, table, id, mac_what(&m->mac));
	return SP_ETAMPERED;
}

/* What control remembers for itself gives nobody power, and is written while there is no key. */
static int
setting_is_free(const char *key)
{
	return strncmp(key, "internal.", 9) == 0;
}

static enum sp_err
mac_setting(struct sp_store *s, const char *key, const char *value, struct sp_store_mac *ret)
{
	enum sp_err r;

	sp_buf_reset(&s->mac_buf);
	if ((r = sp_buf_put_cstring(&s->mac_buf, "settings")) != SP_OK || (r = sp_buf_put_cstring(&s->mac_buf, key)) != SP_OK ||
	    (r = sp_buf_put_cstring(&s->mac_buf, value)) != SP_OK)
		return r;
	return mac_over(s, &s->mac_buf, ret);
}

enum sp_err
sp_mac_setting_make(struct sp_store *s, const char *key, const char *value, struct sp_store_mac *ret)
{
	*ret = (struct sp_store_mac){ 0 };
	if (setting_is_free(key) || s->mac_mode == SP_STORE_MAC_OFF)
		return SP_OK;
	if (s->mac_mode == SP_STORE_MAC_SEALED)
		return sp_store_fail(s, SP_ESEALED, "no setting is written before the vault is unsealed");
	return mac_setting(s, key, value, ret);
}

enum sp_err
sp_mac_setting_check(struct sp_store *s, const char *key, const char *value, const struct sp_store_mac *mac)
{
	struct sp_store_mac got;
	enum sp_err r;

	if (setting_is_free(key) || s->mac_mode != SP_STORE_MAC_ON)
		return SP_OK;
	if ((r = mac_setting(s, key, value, &got)) != SP_OK)
		return r;
	if (mac_equal(&got, mac))
		return SP_OK;
	sp_mac_found(s, "settings", key, mac_what(mac));
	return SP_ETAMPERED;
}
