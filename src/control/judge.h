/* src/control/judge.h - rows of the store into lib/policy and back: may this user open that, and if not, why. The only
 * road to a decision: logins to targets, channels, menus and `access explain` all come here. Runs in worker threads:
 * no state of the process is touched. */
#ifndef SP_CONTROL_JUDGE_H
#define SP_CONTROL_JUDGE_H

#include "control/ctl.h"
#include "policy/access.h"

#define JUDGE_GRANTS_MAX	100000
#define JUDGE_CHOICES_MAX	64
#define JUDGE_PINS_MAX		16

/* Grants of one user for one asset, in the shape that lib/policy reads; texts are owned. */
struct judge_grants {
	struct sp_policy_grant	*g;
	size_t			 n, cap;
	enum sp_err		 err;
};
void		 judge_grants_release(struct judge_grants *g);
enum sp_err	 judge_grants_load(struct sp_store *s, const struct sp_uuid *user, const struct sp_uuid *asset,
		    struct judge_grants *ret) SP_MUST_USE;
/* A callback of sp_store_grants_*() that appends to a struct judge_grants; stops with its err set. */
int		 judge_grants_add(const struct sp_store_grant *row, void *arg);
/* Fill everything of the policy's input but account and wanted. Strings and grants are borrowed. */
void		 judge_input(const struct sp_store_user *u, const struct sp_store_asset *a, const struct sp_netaddr *source,
		    int64_t login_epoch, int64_t now_us, const struct judge_grants *g, struct sp_policy_input *ret);
/* Why a user may not be logged in now, or NULL. */
const char	*judge_user_refused(const struct sp_store_user *u, int64_t now_us);

/* What a live target needs to know beside its session row. */
struct judge_facts {
	struct sp_uuid	asset_id, account_id, zone_id, secret_id;
	char		asset_name[SP_STORE_NAME_MAX + 1], asset_address[SP_STORE_ADDR_MAX + 1];
	char		account[SP_STORE_NAME_MAX + 1], login[SP_STORE_LOGIN_MAX + 1];
	char		method[16];
	char		principals[SP_STORE_TEXT_MAX + 1];	/* of a certificate; "": the login */
	uint16_t	port;
};
enum sp_err	 judge_facts_load(struct sp_store *s, const struct sp_store_user *u, const struct sp_uuid *asset_id,
		    const struct sp_uuid *account_id, struct judge_facts *ret) SP_MUST_USE;
void		 judge_facts_apply(const struct judge_facts *f, struct target *t);

/* A question "may I go there", and everything that the answer needs. Large: on the heap. */
struct judge_pin {
	char	type[64 + 1];
	struct {
		uint32_t	len;
		uint8_t		b[SP_STORE_KEY_MAX];
	} blob;
};
struct judge {
	/* asked */
	struct sp_uuid		 user_id;
	int64_t			 epoch;
	struct sp_netaddr	 source;
	char			 asset_text[SP_STORE_NAME_MAX + 1];	/* name, address or id */
	char			 account_text[SP_STORE_NAME_MAX + 1];	/* "" : to be found */
	uint32_t		 wanted;
	struct sp_uuid		 only_asset;	/* of an inner connection; null: any */
	/* answered */
	enum sp_err		 err;		/* SP_OK: granted */
	char			 text[512];	/* for the user, "" when granted */
	char			 why[512];	/* for the record */
	struct sp_store_user	 user;
	struct sp_store_asset	 asset;
	struct judge_facts	 facts;
	struct sp_policy_decision decision;
	struct sp_uuid		 grant_id;
	char			 grant_name[SP_STORE_NAME_MAX + 1];
	char			 choice[JUDGE_CHOICES_MAX][SP_STORE_NAME_MAX + 1];
	size_t			 choice_n;
	struct judge_pin	 pin[JUDGE_PINS_MAX];
	size_t			 pin_n;
	int			 proof;		/* not a visit: the claimant proves that the asset is his (claim.h) */
};
void		 judge_run(struct sp_store *s, const struct sp_config *conf, struct judge *j);	/* always fills err */
/* Granted, and the password is one that only the person knows: "LOGIN@ASSET" of it; else "". */
void		 judge_typed(const struct judge *j, char *dst, size_t size);
/* Find an asset by exact name, address, id text. SP_ENOENT, SP_ECONFLICT. */
enum sp_err	 judge_asset(struct sp_store *s, const char *text, struct sp_store_asset *ret) SP_MUST_USE;
/* May the user see that the asset exists: at least one allow grant in force, for whatever account. */
int		 judge_may_see(const struct sp_policy_input *in);
/* Judge again for a known asset and account; for channels and for live sessions after a change. */
enum sp_err	 judge_again(struct sp_store *s, const struct sp_uuid *user_id, int64_t epoch, const struct sp_netaddr *source,
		    const struct sp_uuid *asset_id, const char *account, uint32_t wanted, struct sp_policy_decision *ret,
		    struct sp_uuid *ret_grant, char *why, size_t why_size) SP_MUST_USE;
/* The bit of a protocol word: "shell", "sftp", "forward-local" ...; 0: unknown. And the words of the bits. */
uint32_t	 judge_protocol(const char *word);
const char	*judge_protocol_word(uint32_t bit);
uint64_t	 judge_sum(const struct sp_policy_decision *d);	/* changes when the session has to be told */
uint64_t	 judge_sum_more(uint64_t sum, const void *p, size_t n);	/* what else it depends on */

#endif
