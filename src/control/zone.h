/* src/control/zone.h - the way to an asset in a network zone: which jump servers, in which order, under which account each.
 * Loading runs in worker threads; a path is read-only afterwards and belongs to one target. */
#ifndef SP_CONTROL_ZONE_H
#define SP_CONTROL_ZONE_H

#include "control/ctl.h"

#define ZONE_DEPTH_MAX		3	/* jump servers one behind the other */
#define ZONE_ALGS_MAX		384

struct zone_hop {
	struct sp_uuid	asset_id, account_id, secret_id;
	char		zone[SP_STORE_NAME_MAX + 1];		/* the zone behind this server */
	char		asset[SP_STORE_NAME_MAX + 1], address[SP_STORE_ADDR_MAX + 1];
	char		account[SP_STORE_NAME_MAX + 1], login[SP_STORE_LOGIN_MAX + 1];
	char		method[16];				/* "certificate", "key", "password" */
	char		principals[SP_STORE_TEXT_MAX + 1];
	char		sources[SP_STORE_TEXT_MAX + 1];		/* of the zone that this server is in itself; "": none said */
	char		algs[ZONE_ALGS_MAX];			/* types of its pinned keys */
	uint16_t	port;
};
struct zone_path {
	size_t		n;					/* 1..ZONE_DEPTH_MAX */
	struct zone_hop	hop[ZONE_DEPTH_MAX];			/* hop[0] is dialled by us */
	char		sources[SP_STORE_TEXT_MAX + 1];		/* of the target's zone */
	char		dialled[SP_NETADDR_SIZE];		/* where hop[0] turned out to be; "" before */
};

/* The way into a zone (null id: none). *ret is the caller's to free; NULL: directly. On failure why has a sentence for
 * people: SP_ESTATE (the zone cannot be used as it is), or an error of the store. */
enum sp_err	 zone_path_load(struct sp_store *s, const struct sp_uuid *zone_id, struct zone_path **ret, char *why, size_t why_size) SP_MUST_USE;
/* The jump server of a question, counted from 1. NULL: there is none such (0 is the target itself). */
const struct zone_hop *zone_hop(const struct target *t, uint32_t hop);
/* A server on the way that is one of our own services, as far as its address says. */
int		 zone_is_own(const struct ctl *c, const struct zone_path *p, const struct sp_netaddr *database);
/* From where the server sees the session come that logs in to it: list for the certificate. hop as above. "": not known. */
void		 zone_seen_from(const struct target *t, uint32_t hop, char *dst, size_t size);
/* For TARGET_REPLY; texts are borrowed. How many. */
size_t		 zone_hops(const struct zone_path *p, Sallyport__Hop hop[ZONE_DEPTH_MAX], Sallyport__Hop *ret[ZONE_DEPTH_MAX]);
/* "jump server X of zone Y" */
const char	*zone_hop_name(const struct zone_hop *h, char *dst, size_t size);
/* "via" of an audit entry or a recording header: [{asset, zone, account}]. Nothing for a direct target. */
void		 zone_json(json_t *o, const struct zone_path *p);
void		 zone_text(const struct zone_path *p, char *dst, size_t size);	/* "ops@jump1 (zone a), ..." */
void		 zone_via_text(const json_t *via, char *dst, size_t size);	/* the same of such a "via"; NULL: "" */
/* Every zone of the store: SP_ESTATE and a sentence when one can never be used (a cycle, too deep). */
enum sp_err	 zone_check_all(struct sp_store *s, char *why, size_t why_size) SP_MUST_USE;
/* May this asset be in the zone: no jump server on the way is the asset itself, not too deep. */
enum sp_err	 zone_check_asset(struct sp_store *s, const struct sp_uuid *zone_id, const struct sp_uuid *asset_id, char *why, size_t why_size) SP_MUST_USE;
/* Rows for doctor: {check, ok, text} of each zone with a jump server. */
json_t		*zone_doctor(struct sp_store *s);

#endif
