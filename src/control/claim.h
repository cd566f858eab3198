/* src/control/claim.h - servers that users claim as their own: what the rows say. Worker threads; nothing of the process is
 * touched. A claimed asset is disabled, so no grant works on it; only its claimant may reach it, only to prove the claim,
 * and only with what he types. owner.c has the proof, api_claim.c the calls. */
#ifndef SP_CONTROL_CLAIM_H
#define SP_CONTROL_CLAIM_H

#include "control/ctl.h"
#include "control/judge.h"

#define CLAIM_PATH	"/etc/sallyport-owner"	/* who can write there is root of that host */
#define CLAIM_COMMAND	"cat " CLAIM_PATH	/* the only thing that is ever run on a pending asset */
#define CLAIM_OUTPUT_MAX	4096		/* bytes of it that are looked at */
#define CLAIMS_MAX	5			/* pending ones of one user */
#define CLAIM_TOKEN_SIZE	64
#define CLAIM_MAX_S	120			/* of a connection that proves */

/* The pending claim on an asset, over or not. SP_ENOENT: none, or the asset is not disabled (any more). */
enum sp_err	 claim_pending(struct sp_store *s, const struct sp_store_asset *a, struct sp_store_asset_claim *ret) SP_MUST_USE;
/* 1 if this user may go to that asset now to prove that it is his. */
enum sp_err	 claim_provable(struct sp_store *s, const struct sp_uuid *user, const struct sp_store_asset *a, int64_t now_us,
		    int *ret) SP_MUST_USE;
/* The grants of such a visit, instead of those of the store; and the asset's state as the policy is to see it. */
enum sp_err	 claim_grants(struct sp_store_asset *a, struct judge_grants *ret) SP_MUST_USE;
/* A new token, and what the store keeps of one. */
void		 claim_token_make(char dst[CLAIM_TOKEN_SIZE]);
void		 claim_token_hash(const char *token, size_t n, char dst[64 + 1]);
/* Is one of these lines the token? Blanks around it do not matter. */
int		 claim_token_among(const char *text, size_t n, const char *hash);
/* Why an address cannot be claimed (a sentence), or NULL. */
const char	*claim_address_refused(const struct ctl *c, struct sp_store *s, const char *address, uint32_t port);

#endif
