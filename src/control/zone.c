/* src/control/zone.c - network zones: the way to an asset that is reached through jump SSH servers. See zone.h.
 * Process: control. What reads the store runs in a worker thread; the rest in the event loop.
 * Invariants: (1) a path has at most ZONE_DEPTH_MAX servers, whatever the rows say: a cycle ends there. (2) A jump
 * server is logged in to with a stored credential only, never with something that a user types. (3) A zone whose jump
 * server, account or credential cannot be used is no way at all: there is no falling back to a direct connection. */
#include "control/zone.h"

#include <stdlib.h>
#include <string.h>

#include "control/judge.h"

/* ---- loading ---- */

static enum sp_err SP_PRINTF(4, 5)
say(enum sp_err e, char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return e;
}

static const char *
said(enum sp_err e)
{
	return e == SP_ENOENT ? "is not there any more" : e == SP_ETAMPERED ? "was changed behind Sallyport's back" : sp_err_text(e);
}

static int
alg_add(const struct sp_store_host_key *k, void *arg)
{
	struct zone_hop *h = arg;
	size_t at = strlen(h->algs);

	if (k->state == SP_STORE_ACTIVE && strstr(h->algs, k->type) == NULL && at + strlen(k->type) + 2 <= sizeof(h->algs))
		sp_snprintf(h->algs + at, sizeof(h->algs) - at, "%s%s", at > 0 ? "," : "", k->type);
	return 0;
}

static enum sp_err
hop_account(struct sp_store *s, const struct sp_store_zone *z, const struct sp_store_asset *a, struct zone_hop *h, char *why, size_t size)
{
	struct sp_store_query pins = { .of = a->id, .checked = 1 };
	struct sp_store_user nobody = { 0 };
	struct sp_store_account acc;
	struct judge_facts *f;
	enum sp_err r;

	if ((r = sp_store_account_by_name(s, &a->id, z->jump_account, &acc)) != SP_OK)
		return say(r == SP_ENOENT ? SP_ESTATE : r, why, size, "Zone %s: the account %s of its jump server %s %s.", z->name,
		    z->jump_account, a->name, said(r));
	if (acc.state != SP_STORE_ACTIVE)
		return say(SP_ESTATE, why, size, "Zone %s: the account %s of its jump server %s is disabled.", z->name, acc.name, a->name);
	if (acc.kind != SP_STORE_ACCOUNT_STORED || sp_uuid_is_null(&acc.secret_id))
		return say(SP_ESTATE, why, size, "Zone %s: the account %s of its jump server %s has no stored credential.", z->name,
		    acc.name, a->name);
	if ((f = malloc(sizeof(*f))) == NULL)
		return say(SP_ENOMEM, why, size, "Out of memory.");
	if ((r = judge_facts_load(s, &nobody, &a->id, &acc.id, f)) == SP_OK) {
		h->asset_id = f->asset_id;
		h->account_id = f->account_id;
		h->secret_id = f->secret_id;
		h->port = f->port;
		(void)sp_strlcpy(h->zone, z->name, sizeof(h->zone));
		(void)sp_strlcpy(h->asset, f->asset_name, sizeof(h->asset));
		(void)sp_strlcpy(h->address, f->asset_address, sizeof(h->address));
		(void)sp_strlcpy(h->account, f->account, sizeof(h->account));
		(void)sp_strlcpy(h->login, f->login, sizeof(h->login));
		(void)sp_strlcpy(h->method, f->method, sizeof(h->method));
		(void)sp_strlcpy(h->principals, f->principals, sizeof(h->principals));
		r = sp_store_host_key_list(s, &pins, alg_add, h);
	}
	free(f);
	return r == SP_OK ? r : say(r, why, size, "Zone %s: its jump server %s cannot be used: its account %s %s.", z->name, a->name,
	    acc.name, said(r));
}

/* One step outward: the zone and its jump server. ret_asset is untouched when the zone is reached directly (*ret_jump 0). */
static enum sp_err
step(struct sp_store *s, const struct sp_uuid *zone_id, struct sp_store_zone *z, struct sp_store_asset *a, int *ret_jump, char *why,
    size_t size)
{
	enum sp_err r = sp_store_zone_get(s, zone_id, z);

	if (r != SP_OK)
		return say(r == SP_ENOENT ? SP_ESTATE : r, why, size, "The zone of this target %s.", said(r));
	*ret_jump = !sp_uuid_is_null(&z->jump_asset_id);
	if (*ret_jump && (r = sp_store_asset_get(s, &z->jump_asset_id, a)) != SP_OK)
		return say(r == SP_ENOENT ? SP_ESTATE : r, why, size, "Zone %s: its jump server %s.", z->name, said(r));
	return SP_OK;
}

/* Servers from the target outward, in that order: hop[0] is the target's own jump server. */
static enum sp_err
walk(struct sp_store *s, struct sp_uuid zone_id, struct zone_path *p, char *why, size_t size)
{
	struct sp_store_zone z;
	struct sp_store_asset a;
	enum sp_err r;
	int jump = 0;

	for (p->n = 0; !sp_uuid_is_null(&zone_id); zone_id = a.zone_id) {
		if ((r = step(s, &zone_id, &z, &a, &jump, why, size)) != SP_OK)
			return r;
		(void)sp_strlcpy(p->n == 0 ? p->sources : p->hop[p->n - 1].sources, z.source_address, SP_STORE_TEXT_MAX + 1);
		if (!jump)
			return SP_OK;
		if (p->n == ZONE_DEPTH_MAX)
			return say(SP_ESTATE, why, size, "Zone %s is behind more than %d jump servers, or behind itself.", z.name, ZONE_DEPTH_MAX);
		if (a.state != SP_STORE_ACTIVE)
			return say(SP_ESTATE, why, size, "Zone %s: its jump server %s is disabled.", z.name, a.name);
		if ((r = hop_account(s, &z, &a, &p->hop[p->n], why, size)) != SP_OK)
			return r;
		p->n++;
	}
	return SP_OK;
}

enum sp_err
zone_path_load(struct sp_store *s, const struct sp_uuid *zone_id, struct zone_path **ret, char *why, size_t size)
{
	struct zone_path *p;
	enum sp_err r;

	if (sp_uuid_is_null(zone_id)) {
		*ret = NULL;
		return SP_OK;
	}
	if ((p = calloc(1, sizeof(*p))) == NULL)
		return say(SP_ENOMEM, why, size, "Out of memory.");
	if ((r = walk(s, *zone_id, p, why, size)) != SP_OK || p->n == 0) {
		free(p);
		if (r == SP_OK)
			*ret = NULL;
		return r;
	}
	for (size_t i = 0; i < p->n / 2; i++) {
		struct zone_hop h = p->hop[i];

		p->hop[i] = p->hop[p->n - 1 - i];
		p->hop[p->n - 1 - i] = h;
	}
	*ret = p;
	return SP_OK;
}

/* ---- what others ask of a path ---- */

const struct zone_hop *
zone_hop(const struct target *t, uint32_t hop)
{
	return t->path != NULL && hop >= 1 && hop <= t->path->n ? &t->path->hop[hop - 1] : NULL;
}

size_t
zone_hops(const struct zone_path *p, Sallyport__Hop hop[ZONE_DEPTH_MAX], Sallyport__Hop *ret[ZONE_DEPTH_MAX])
{
	for (size_t i = 0; p != NULL && i < p->n; i++) {
		const struct zone_hop *h = &p->hop[i];

		hop[i] = (Sallyport__Hop)SALLYPORT__HOP__INIT;
		hop[i].zone = ctl_str(h->zone);
		hop[i].asset = ctl_str(h->asset);
		hop[i].login = ctl_str(h->login);
		hop[i].method = ctl_str(h->method);
		hop[i].host = ctl_str(h->address);
		hop[i].port = h->port;
		hop[i].host_algs = ctl_str(h->algs);
		ret[i] = &hop[i];
	}
	return p != NULL ? p->n : 0;
}

int
zone_is_own(const struct ctl *c, const struct zone_path *p, const struct sp_netaddr *database)
{
	struct sp_netaddr at;

	for (size_t i = 0; p != NULL && i < p->n; i++)
		if (inner_is_bastion(&c->child.conf, p->hop[i].address, p->hop[i].port) ||
		    (sp_netaddr_parse(p->hop[i].address, &at) == SP_OK && own_is_ours(c, &at, p->hop[i].port, database)))
			return 1;
	return 0;
}

/* A jump server is taken to leave from the address under which it is reached, when nobody said another one; a name says
 * nothing about that, but where we dialled to. */
static const char *
leaves_from(const struct zone_path *p, size_t i)
{
	struct sp_netaddr at;

	if (i == 0)
		return p->dialled;
	return sp_netaddr_parse(p->hop[i].address, &at) == SP_OK && !sp_netaddr_is_loopback(&at) ? p->hop[i].address : "";
}

void
zone_seen_from(const struct target *t, uint32_t hop, char *dst, size_t size)
{
	const struct zone_path *p = t->path;
	const struct zone_hop *h = zone_hop(t, hop);

	if (h == NULL)
		(void)sp_strlcpy(dst, *p->sources ? p->sources : leaves_from(p, p->n - 1), size);
	else if (*h->sources)
		(void)sp_strlcpy(dst, h->sources, size);
	else
		(void)sp_strlcpy(dst, hop == 1 ? t->local_ip : leaves_from(p, hop - 2), size);
}

const char *
zone_hop_name(const struct zone_hop *h, char *dst, size_t size)
{
	sp_snprintf(dst, size, "jump server %s of zone %s", h->asset, h->zone);
	return dst;
}

void
zone_json(json_t *o, const struct zone_path *p)
{
	json_t *a = p != NULL ? json_array() : NULL;

	for (size_t i = 0; p != NULL && i < p->n; i++)
		json_array_append_new(a, json_pack("{s:s, s:s, s:s}", "asset", p->hop[i].asset, "zone", p->hop[i].zone, "account",
		    p->hop[i].account));
	if (a != NULL)
		json_object_set_new(o, "via", a);
}

static void
text_add(char *dst, size_t size, const char *account, const char *asset, const char *zone)
{
	size_t at = strlen(dst);

	if (at + 1 < size)
		sp_snprintf(dst + at, size - at, "%s%s@%s (zone %s)", at > 0 ? ", then " : "through ", account, asset, zone);
}

void
zone_text(const struct zone_path *p, char *dst, size_t size)
{
	dst[0] = '\0';
	for (size_t i = 0; i < p->n; i++)
		text_add(dst, size, p->hop[i].account, p->hop[i].asset, p->hop[i].zone);
}

void
zone_via_text(const json_t *via, char *dst, size_t size)
{
	const char *hop[3];
	const json_t *h;
	size_t i;

	dst[0] = '\0';
	json_array_foreach(via, i, h) {
		static const char *const keys[] = { "account", "asset", "zone" };
		int whole = i < ZONE_DEPTH_MAX;

		for (size_t k = 0; k < SP_NELEMS(keys); k++)
			whole &= (hop[k] = json_string_value(json_object_get(h, keys[k]))) != NULL;
		if (whole)
			text_add(dst, size, hop[0], hop[1], hop[2]);
	}
}

/* ---- checks ---- */

/* Only the shape: whether accounts can be used is doctor's to say. */
static enum sp_err
check_shape(struct sp_store *s, struct sp_uuid zone_id, const struct sp_uuid *asset_id, char *why, size_t size)
{
	struct sp_store_zone z;
	struct sp_store_asset a;
	char first[SP_STORE_NAME_MAX + 1] = "";
	enum sp_err r;
	int jump = 0;

	for (size_t n = 0; !sp_uuid_is_null(&zone_id); n++, zone_id = a.zone_id) {
		if ((r = step(s, &zone_id, &z, &a, &jump, why, size)) != SP_OK || !jump)
			return r;
		if (n == 0)
			(void)sp_strlcpy(first, z.name, sizeof(first));
		if (asset_id != NULL && sp_uuid_equal(&a.id, asset_id))
			return say(SP_EINVAL, why, size, "%s is a jump server on the way to zone %s itself", a.name, first);
		if (n == ZONE_DEPTH_MAX)
			return say(SP_EINVAL, why, size, "zone %s would be behind more than %d jump servers, or behind itself", first, ZONE_DEPTH_MAX);
	}
	return SP_OK;
}

enum sp_err
zone_check_asset(struct sp_store *s, const struct sp_uuid *zone_id, const struct sp_uuid *asset_id, char *why, size_t size)
{
	return check_shape(s, *zone_id, sp_uuid_is_null(asset_id) ? NULL : asset_id, why, size);
}

struct all {
	struct sp_store	*s;
	char		*why;
	size_t		 why_size, n;
	enum sp_err	 err;
	json_t		*rows;
};

static int
all_check(const struct sp_store_zone *z, void *arg)
{
	struct all *k = arg;

	k->n++;
	k->err = check_shape(k->s, z->id, NULL, k->why, k->why_size);
	return k->err != SP_OK;
}

static int
all_doctor(const struct sp_store_zone *z, void *arg)
{
	struct all *k = arg;
	struct zone_path *p = NULL;
	char why[800] = "", text[1200];
	enum sp_err r;

	k->n++;
	if (sp_uuid_is_null(&z->jump_asset_id))
		return 0;
	r = zone_path_load(k->s, &z->id, &p, why, sizeof(why));
	if (p != NULL)
		zone_text(p, why, sizeof(why));
	sp_snprintf(text, sizeof(text), "%s: %s", z->name, why);
	json_array_append_new(k->rows, json_pack("{s:s, s:b, s:s}", "check", "zone", "ok", r == SP_OK, "text", text));
	free(p);
	return 0;
}

static enum sp_err
all_zones(struct all *k, sp_store_zone_fn fn)
{
	struct sp_store_query q = { 0 };
	size_t before;
	enum sp_err r;

	do {
		before = k->n;
		r = sp_store_zone_list(k->s, &q, fn, k);
		q.offset += SP_STORE_PAGE_MAX;
	} while (r == SP_OK && k->err == SP_OK && k->n - before == SP_STORE_PAGE_MAX);
	return r != SP_OK ? r : k->err;
}

enum sp_err
zone_check_all(struct sp_store *s, char *why, size_t size)
{
	struct all k = { .s = s, .why = why, .why_size = size };

	return all_zones(&k, all_check);
}

json_t *
zone_doctor(struct sp_store *s)
{
	struct all k = { .s = s, .rows = json_array() };
	enum sp_err r = all_zones(&k, all_doctor);

	if (r != SP_OK)
		json_array_append_new(k.rows, json_pack("{s:s, s:b, s:s}", "check", "zone", "ok", 0, "text", sp_err_text(r)));
	return k.rows;
}
