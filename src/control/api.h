/* src/control/api.h - administration calls: what the files of the nouns share. A call lives through
 *	worker function -> [question to the vault -> further step in the writer] -> [loop function] -> answer
 * Worker functions see the call and the store, nothing else of the process that changes. Invariants: (1) the caller's
 * row and role are read anew for every call. (2) A change is committed only after its audit entry is durable; a refused
 * change is in the log too. (3) What a change does to live sessions happens before the answer is sent. */
#ifndef SP_CONTROL_API_H
#define SP_CONTROL_API_H

#include "control/changes.h"
#include "control/ctl.h"
#include "policy/access.h"

#define API_ROWS_MAX	100000	/* of one listing */

/* `list` reads the query q: page by page, until one is not full. n: how many rows came so far. Gives r. More rows than
 * API_ROWS_MAX are an error of the call: a list that just ends early would be taken for the whole. */
#define API_PAGES(c, q, n, r, list)									\
	do {												\
		size_t before_ = (n);									\
													\
		(r) = (list);										\
		(q).offset += SP_STORE_PAGE_MAX;							\
		if ((r) != SP_OK || (n) - before_ < SP_STORE_PAGE_MAX)					\
			break;										\
		(r) = api_bounded((c), (n));								\
	} while ((r) == SP_OK)

enum api_who { API_ANY, API_SELF, API_AUDITOR, API_ADMIN, API_ALL, API_OWNER };	/* ALL: an administrator of all departments */
struct api_call;
typedef void api_fn(struct api_call *c, struct sp_store *s);
typedef void api_loop_fn(struct api_call *c);
struct api_method {
	const char	*name;
	api_fn		*work;
	enum ctl_lane	 lane;
	api_loop_fn	*loop;
	enum api_who	 who;
	const char	*audit;
};
struct api_client;		/* a connection to the admin socket */

struct api_call {
	struct ctl_job		 job;
	struct ctl		*ctl;
	struct api_client	*client;	/* one of client and conn */
	struct conn		*conn;
	struct shell		*shell;		/* of conn: a command line over SSH; NULL: the session itself */
	uint32_t		 corr;
	const struct api_method	*m;
	/* who calls: filled by the first step */
	int64_t			 uid;		/* -1: over SSH */
	int			 local_root;	/* uid 0 or our own, not bound to a user */
	int			 mfa;		/* refused, but a one-time code and the same call again would do */
	int			 owner;		/* uid 0 or our own, bound or not, acting as nobody else */
	char			 as_user[SP_STORE_LOGIN_MAX + 1];
	struct sp_store_user	 caller;
	int64_t			 role;		/* enum sp_store_role, in force for this call */
	char			 source[SP_NETADDR_SIZE];
	/* what is asked and answered; params and out are owned */
	json_t			*params, *out;
	enum sp_err		 err;
	char			 text[512];
	/* what it is about, for the audit log */
	struct sp_uuid		 user, asset, account, object, session;
	char			 what[SP_STORE_NAME_MAX + 1];
	json_t			*audit_more;	/* owned, or NULL */
	struct changes		 changes;	/* of rows, by the transaction that runs */
	/* what it does to live sessions */
	struct sp_uuid		 epoch_user;
	int64_t			 epoch;		/* 0: nothing */
	const char		*epoch_reason;
	int			 rejudge;
	/* a question to the vault */
	uint16_t		 ask_id;	/* 0: none */
	uint64_t		 ask_wait_us;
	uint8_t			*ask;		/* packed, owned */
	size_t			 ask_len;
	ProtobufCMessage	*reply;		/* owned */
	uint16_t		 reply_id;
	api_fn			*next;		/* in the writer, after the answer (or at once, without a question) */
	int			 stepping;	/* `next` runs now */
	int			 is_authorised;
	int			 fd;		/* passed with the answer; -1 */
	void			*state;		/* of the noun, freed with the call */
	void			(*state_free)(void *);	/* NULL: free() */
	struct sp_uuid		 conn_id;	/* of a session that the loop step acts on */
	struct sp_list		 link;		/* replies that wait for room */
	size_t			 sent;		/* rows sent so far */
	int			 logged;
};


/* ---- for the nouns: all return the error that they also left in the call ---- */
enum sp_err	 api_fail(struct api_call *c, enum sp_err e, const char *fmt, ...) SP_PRINTF(3, 4);
/* A store error with a sentence about `what`; SP_OK passes. */
enum sp_err	 api_store(struct api_call *c, enum sp_err e, const char *what);
enum sp_err	 api_bounded(struct api_call *c, size_t n) SP_MUST_USE;	/* SP_ESIZE, and the call failed: too many rows */
/* Parameters. A missing optional one leaves *ret as it is. Texts are plain UTF-8 of at most size - 1 bytes. */
enum sp_err	 api_str(struct api_call *c, const char *key, int required, char *ret, size_t size);
enum sp_err	 api_int(struct api_call *c, const char *key, int64_t least, int64_t most, int64_t *ret);
enum sp_err	 api_time(struct api_call *c, const char *key, int64_t *ret_wall_us);	/* "" clears */
enum sp_err	 api_bytes(struct api_call *c, const json_t *o, const char *key, int required, struct sp_buf *ret);	/* base64 */
/* An array of names, or one text with commas, joined by ','. */
enum sp_err	 api_names(struct api_call *c, const char *key, char *ret, size_t size);
const char	*api_text(const struct api_call *c, const char *key);	/* NULL when not there */

/* Objects by name or id, as the parameter `key` names them. */
enum sp_err	 api_user(struct api_call *c, struct sp_store *s, const char *key, struct sp_store_user *ret);
enum sp_err	 api_group(struct api_call *c, struct sp_store *s, const char *key, struct sp_store_group *ret);
enum sp_err	 api_asset(struct api_call *c, struct sp_store *s, const char *key, struct sp_store_asset *ret);
enum sp_err	 api_asset_group(struct api_call *c, struct sp_store *s, const char *key, struct sp_store_asset_group *ret);
enum sp_err	 api_department(struct api_call *c, struct sp_store *s, const char *key, struct sp_uuid *ret);	/* optional */
enum sp_err	 api_account(struct api_call *c, struct sp_store *s, const struct sp_store_asset *a, const char *key, struct sp_store_account *ret);
/* May the caller act on rows of this department (null: of none)? SP_EACCES. */
int		 api_in_scope(const struct api_call *c, struct sp_store *s, const struct sp_uuid *department);
enum sp_err	 api_scope(struct api_call *c, struct sp_store *s, const struct sp_uuid *department);
int		 api_is_self(const struct api_call *c, const struct sp_uuid *user);

/* A question to the vault; body is packed here. `next` runs in the writer with c->reply. */
void		 api_ask(struct api_call *c, uint16_t id, const void *body, uint64_t wait_us, api_fn *next);
void		 api_more(struct api_call *c, const char *key, json_t *taken);	/* a detail for the audit log */
json_t		*api_id(const struct sp_uuid *u);			/* text, or JSON null */
json_t		*api_at(int64_t wall_us);				/* RFC 3339, or JSON null */
json_t		*api_base64(const void *p, size_t n);
json_t		*api_pubkey(const void *blob, size_t n, const char *comment);	/* "ssh-ed25519 AAAA... comment" */
void		 api_department_name(struct sp_store *s, const struct sp_uuid *id, json_t *o);	/* o.department */
void		 api_epoch(struct api_call *c, const struct sp_store_user *u, const char *reason);
const char	*api_actor(const struct api_call *c);
/* The command line that calls, to be compared only; NULL: a session itself. */
const void	*api_line(const struct api_call *c);
#define API_ADMIN_MFA	"admin_mfa_s"	/* setting: over SSH, seconds that a one-time code counts for changes; 0: none is asked */

/* Used by several nouns. */
/* The session that `id` names, if the caller may know of it. */
enum sp_err	 session_named(struct api_call *c, struct sp_store *s, struct sp_store_session *r);
int		 session_in_scope(struct api_call *c, struct sp_store *s, const struct sp_store_session *r);	/* of a department that is the caller's */
/* The user that `login` names, or the caller: looking needs an auditor's role, changing an administrator's; oneself may always. */
enum sp_err	 user_self_or(struct api_call *c, struct sp_store *s, int64_t role, struct sp_store_user *u);
enum sp_err	 totp_erase(struct sp_store *s, const struct sp_uuid *user_id) SP_MUST_USE;	/* second factor, recovery codes, secret */
enum sp_err	 user_add_key(struct api_call *c, struct sp_store *s, const struct sp_store_user *u, const char *line);
/* Members of a row from parameters of the same names, checked as for a single call; what is not named stays. */
enum sp_err	 user_fields(struct api_call *c, struct sp_store *s, struct sp_store_user *u);
/* Refuses a login beside one that differs only in case. */
enum sp_err	 user_login_free(struct api_call *c, struct sp_store *s, const char *login);
/* Does the change take power away: a lesser role, a narrower scope, a validity that ends sooner or does not hold now? */
/* Permissions that root gave to this login; erase: they go, so that who has the login next has none. *ret_n: how many there were. */
enum sp_err	 user_permissions(struct sp_store *s, const char *login, int erase, int *ret_n) SP_MUST_USE;
int		 user_loses(const struct sp_store_user *before, const struct sp_store_user *after);
enum sp_err	 user_below(struct api_call *c, struct sp_store *s, const struct sp_store_user *u);
enum sp_err	 user_key_parse(struct api_call *c, const struct sp_store_user *u, const char *line, struct sp_store_user_key *ret);
/* The asset that `key` names, for who has the role there; or for its owner: *ret_owner is 1, and the role is not asked for. Who
 * is neither learns nothing of it. */
enum sp_err	 asset_owned_or(struct api_call *c, struct sp_store *s, const char *key, int64_t role, struct sp_store_asset *ret,
		    int *ret_owner);
enum sp_err	 asset_fields(struct api_call *c, struct sp_store *s, struct sp_store_asset *a);
enum sp_err	 account_principals(struct api_call *c, struct sp_store_account *a);
enum sp_err	 account_ca(struct api_call *c, struct sp_store *s, const char *name, struct sp_uuid *ret);
#define GRANT_PLAIN { .effect = SP_STORE_ALLOW, .mfa_interval_s = SP_POLICY_MFA_NEVER,	\
	.file_direction = SP_STORE_FILE_UP | SP_STORE_FILE_DOWN, .record_mode = SP_STORE_RECORD_STRICT }
json_t		*grant_agent_words(int64_t kinds);
json_t		*grant_paths_list(const char *rules);
const char	*grant_keep_word(int64_t keep);	/* "none", "uploads" ... */
const char	*grant_reason_word(int64_t reason_required);	/* "none", "text", "ticket" */
enum sp_err	 grant_fields(struct api_call *c, struct sp_store_grant *g);

#endif
