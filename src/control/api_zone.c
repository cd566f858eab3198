/* src/control/api_zone.c - network zones: by which jump server their assets are reached, and from where those see us. */
#include "control/api.h"

#include <string.h>

#include "control/methods.h"
#include "control/zone.h"

#define SOURCES_MAX	16	/* addresses and networks of one zone: as many as a certificate takes */

struct rows {
	struct sp_store	*s;
	json_t		*out;
};

static json_t *
zone_object(struct sp_store *s, const struct sp_store_zone *z)
{
	json_t *o = json_pack("{s:o, s:s, s:s, s:s, s:o, s:s}", "id", api_id(&z->id), "name", z->name, "source_address",
	    z->source_address, "remark", z->remark, "created", api_at(z->created_us), "account", z->jump_account);
	struct sp_store_asset a;

	if (!sp_uuid_is_null(&z->jump_asset_id))
		json_object_set_new(o, "jump", sp_store_asset_get(s, &z->jump_asset_id, &a) == SP_OK ? json_string(a.name) : json_string("?"));
	else
		json_object_set_new(o, "jump", json_null());
	return o;
}

static enum sp_err
find(struct api_call *c, struct sp_store *s, struct sp_store_zone *ret)
{
	char text[SP_STORE_NAME_MAX + 1] = "";
	struct sp_uuid id;
	enum sp_err r;

	if ((r = api_str(c, "name", 1, text, sizeof(text))) != SP_OK)
		return r;
	if ((r = sp_store_zone_by_name(s, text, ret)) == SP_ENOENT && sp_uuid_parse(text, &id) == SP_OK)
		r = sp_store_zone_get(s, &id, ret);
	if (r == SP_ENOENT)
		return api_fail(c, r, "there is no zone \"%s\"", text);
	if (r != SP_OK)
		return api_store(c, r, text);
	c->object = ret->id;
	(void)sp_strlcpy(c->what, ret->name, sizeof(c->what));
	return SP_OK;
}

/* Addresses and networks, separated by ','. */
static enum sp_err
sources(struct api_call *c, struct sp_store_zone *z)
{
	char list[SP_STORE_TEXT_MAX + 1], *next;
	struct sp_netaddr a;
	struct sp_netnet net;
	enum sp_err r;
	int n = 0;

	if ((r = api_names(c, "source_address", z->source_address, sizeof(z->source_address))) != SP_OK)
		return r;
	(void)sp_strlcpy(list, z->source_address, sizeof(list));
	for (char *s = list; s != NULL && *s != '\0'; s = next) {
		if ((next = strchr(s, ',')) != NULL)
			*next++ = '\0';
		if (++n > SOURCES_MAX)
			return api_fail(c, SP_EINVAL, "source_address: at most %d addresses", SOURCES_MAX);
		if (sp_netaddr_parse(s, &a) != SP_OK && sp_netnet_parse(s, &net) != SP_OK)
			return api_fail(c, SP_EINVAL, "source_address: \"%s\" is no address and no network (such as 192.0.2.0/24)", s);
	}
	return SP_OK;
}

/* The jump server and its account, as named; "" as the server: reached directly. */
static enum sp_err
jump(struct api_call *c, struct sp_store *s, struct sp_store_zone *z)
{
	const char *text = api_text(c, "jump");
	struct sp_store_account acc;
	struct sp_store_asset a;
	enum sp_err r;

	if ((r = api_str(c, "account", 0, z->jump_account, sizeof(z->jump_account))) != SP_OK)
		return r;
	if (text != NULL && *text == '\0') {
		z->jump_asset_id = (struct sp_uuid){ 0 };
		z->jump_account[0] = '\0';
		return SP_OK;
	}
	if (text == NULL) {
		if (sp_uuid_is_null(&z->jump_asset_id))
			return *z->jump_account == '\0' ? SP_OK : api_fail(c, SP_EUSAGE, "account: of which jump server? Name it too");
		if ((r = sp_store_asset_get(s, &z->jump_asset_id, &a)) != SP_OK)
			return api_store(c, r, "the jump server");
	} else if ((r = api_asset(c, s, "jump", &a)) != SP_OK) {
		return r;
	}
	c->asset = (struct sp_uuid){ 0 };	/* the call is about the zone */
	(void)sp_strlcpy(c->what, z->name, sizeof(c->what));
	if (*z->jump_account == '\0')
		return api_fail(c, SP_EUSAGE, "name the account of %s that Sallyport uses there", a.name);
	if ((r = sp_store_account_by_name(s, &a.id, z->jump_account, &acc)) != SP_OK)
		return r == SP_ENOENT ? api_fail(c, r, "%s has no account \"%s\"", a.name, z->jump_account) : api_store(c, r, z->jump_account);
	if (acc.kind != SP_STORE_ACCOUNT_STORED || sp_uuid_is_null(&acc.secret_id))
		return api_fail(c, SP_EINVAL, "account %s of %s has no stored credential: nobody types one at a jump server", acc.name, a.name);
	z->jump_asset_id = a.id;
	api_more(c, "jump", json_string(a.name));
	return SP_OK;
}

static enum sp_err
fields(struct api_call *c, struct sp_store *s, struct sp_store_zone *z)
{
	enum sp_err r;

	if ((r = jump(c, s, z)) != SP_OK || (r = sources(c, z)) != SP_OK)
		return r;
	return api_str(c, "remark", 0, z->remark, sizeof(z->remark));
}

/* After the row is written: the whole is looked at, and the transaction undone when it makes no sense. */
static void
finish(struct api_call *c, struct sp_store *s, const struct sp_store_zone *z)
{
	char why[600] = "";
	enum sp_err r = zone_check_all(s, why, sizeof(why));

	if (r != SP_OK) {
		(void)api_fail(c, r, "%s", *why ? why : sp_err_text(r));
		return;
	}
	c->object = z->id;
	(void)sp_strlcpy(c->what, z->name, sizeof(c->what));
	c->out = zone_object(s, z);
}

void
zone_create(struct api_call *c, struct sp_store *s)
{
	struct sp_store_zone z = { 0 };

	if (api_str(c, "name", 1, z.name, sizeof(z.name)) != SP_OK)
		return;
	if (!sp_name_is_ok(z.name, 128)) {
		(void)api_fail(c, SP_EINVAL, "the name of a zone has no blanks at its ends, none of @ # %% : / \\ quotes, "
		    "and does not begin with - or .");
		return;
	}
	if (fields(c, s, &z) == SP_OK && api_store(c, sp_store_zone_add(s, &z), z.name) == SP_OK)
		finish(c, s, &z);
}

static int
zone_row(const struct sp_store_zone *z, void *arg)
{
	struct rows *r = arg;

	json_array_append_new(r->out, zone_object(r->s, z));
	return 0;
}

void
zone_list(struct api_call *c, struct sp_store *s)
{
	struct rows r = { s, c->out = json_array() };
	struct sp_store_query q = { 0 };
	enum sp_err e;

	API_PAGES(c, q, json_array_size(c->out), e, sp_store_zone_list(s, &q, zone_row, &r));
	(void)api_store(c, e, "zones");
}

void
zone_show(struct api_call *c, struct sp_store *s)
{
	struct sp_store_zone z;

	if (find(c, s, &z) == SP_OK)
		c->out = zone_object(s, &z);
}

void
zone_update(struct api_call *c, struct sp_store *s)
{
	struct sp_store_zone z;

	if (find(c, s, &z) == SP_OK && fields(c, s, &z) == SP_OK && api_store(c, sp_store_zone_update(s, &z), z.name) == SP_OK)
		finish(c, s, &z);
}

void
zone_delete(struct api_call *c, struct sp_store *s)
{
	struct sp_store_zone z;
	enum sp_err r;

	if (find(c, s, &z) != SP_OK)
		return;
	if ((r = sp_store_zone_delete(s, &z.id, z.version)) == SP_ESTATE)
		(void)api_fail(c, r, "assets are in zone %s: move them first (sallyport asset update NAME --zone OTHER)", z.name);
	else if (api_store(c, r, z.name) == SP_OK)
		c->out = json_pack("{s:s}", "name", z.name);
}
