/* lib/store/store.h - everything that Sallyport remembers, as typed operations; there is no SQL outside this folder.
 * Process: control (its worker threads), and tools that run alone (vault init, backup).
 *
 * One handle is one connection and belongs to one thread at a time; open one per worker. Two drivers, one behaviour:
 *	sqlite:/var/lib/sallyport		two files there, sallyport.db (WAL, synchronous=FULL) and evidence.db
 *	postgresql://... or postgres://...	any libpq URI or, with a leading "pg:", a key=value conninfo
 *
 * Rules that hold for every operation:
 * - A row struct is plain memory without pointers: nothing to free. Text is NUL-terminated UTF-8; "" is "none".
 *   A null uuid is "none". Time is int64 UTC microseconds, 0 is "none". Flags are 0 or 1.
 * - _add gives an id when it is null, sets version 1 and the times; _update needs the version that was read, else
 *   SP_ECONFLICT, and raises it; _delete needs the version too (SP_STORE_ANY_VERSION: whatever it is). All three change
 *   the passed row's id, version and times only on success.
 * - Every operation is atomic. Inside sp_store_begin .. commit a failed operation leaves the transaction usable, as if
 *   that operation had not been called, except after SP_EUNAVAIL, SP_ENOSPC, SP_EIO and SP_ECORRUPT: then only rollback.
 * - A callback returns 0 to go on, anything else to stop (the operation then gives SP_OK). Inside it the same handle may
 *   be used to read; writing from it is allowed only after it returned.
 * - Errors common to all: SP_EINVAL (a bound, an enum or an encoding in the row is wrong), SP_EBUSY (locked for 2 s),
 *   SP_EUNAVAIL (no server; the next call reconnects), SP_ETIMEOUT (statement took too long), SP_ENOSPC, SP_ECORRUPT,
 *   SP_EIO, SP_ENOMEM. _get: SP_ENOENT. _add, _update: SP_EEXIST (a name is taken), SP_ENOENT (a row that it names does
 *   not exist, or the row itself is gone). _delete: SP_ESTATE (others still refer to it).
 * - sp_store_detail() has the driver's own text of the last failure, for a log line, never for a user. */
#ifndef SP_STORE_STORE_H
#define SP_STORE_STORE_H

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/netaddr.h"
#include "base/str.h"

/* Bounds, bytes without the NUL. */
#define SP_STORE_LOGIN_MAX	128	/* login of a user, login at a target */
#define SP_STORE_NAME_MAX	255	/* name of any object */
#define SP_STORE_ADDR_MAX	255	/* host name or address */
#define SP_STORE_TEXT_MAX	1023	/* remark, description, jump settings */
#define SP_STORE_HASH_MAX	255	/* password hash */
#define SP_STORE_LIST_MAX	2047	/* accounts, source networks, forward destinations of a grant */
#define SP_STORE_KEY_MAX	2560	/* a public key blob, RFC 4253 form (RSA of 16384 bits fits; PostgreSQL indexes no more) */
#define SP_STORE_SECRET_MAX	16384	/* a ciphertext */
#define SP_STORE_MAC_MAX	64
#define SP_STORE_VALUE_MAX	4095	/* a setting's value */
#define SP_STORE_RULE_MAX	16383	/* text of a detection, of a command rule */
#define SP_STORE_PAYLOAD_MAX	65536	/* an outbox or event payload */
#define SP_STORE_PAGE_MAX	1000	/* rows of one page; more is cut to it */
#define SP_STORE_DEPTH_MAX	32	/* levels of a group in groups, of an asset group tree */
#define SP_STORE_ANY_VERSION	(-1)

/* Bytes with their number in front. */
#define SP_STORE_BLOB(name, cap)	struct name { uint32_t len; uint8_t b[cap]; }
SP_STORE_BLOB(sp_store_mac, SP_STORE_MAC_MAX);
SP_STORE_BLOB(sp_store_pubkey, SP_STORE_KEY_MAX);
SP_STORE_BLOB(sp_store_sealed, SP_STORE_SECRET_MAX);

/* First members of every row struct, in this order. `mac` is the store's own once it has the key (sp_store_mac_set). */
#define SP_STORE_HEAD			\
	struct sp_uuid	id;		\
	int64_t		version;	\
	int64_t		created_us;	\
	int64_t		updated_us;	\
	struct sp_store_mac mac

/* Enumerations start at 1: a zeroed row is refused. */
enum sp_store_state { SP_STORE_ACTIVE = 1, SP_STORE_DISABLED, SP_STORE_EXPIRED };
enum sp_store_role { SP_STORE_ROLE_USER = 1, SP_STORE_ROLE_AUDITOR, SP_STORE_ROLE_ADMIN };
enum sp_store_account_kind { SP_STORE_ACCOUNT_STORED = 1, SP_STORE_ACCOUNT_SAME, SP_STORE_ACCOUNT_TYPED };
enum sp_store_secret_kind { SP_STORE_SECRET_PASSWORD = 1, SP_STORE_SECRET_SSH_KEY, SP_STORE_SECRET_SSH_CA,
	SP_STORE_SECRET_HOST_KEY, SP_STORE_SECRET_TOTP,
	SP_STORE_SECRET_RECORDING };	/* opens recordings (src/vault/record.c) */
enum sp_store_subject { SP_STORE_SUBJECT_USER = 1, SP_STORE_SUBJECT_GROUP };
enum sp_store_object { SP_STORE_OBJECT_ASSET = 1, SP_STORE_OBJECT_ASSET_GROUP };
enum sp_store_effect { SP_STORE_ALLOW = 1, SP_STORE_DENY };
enum sp_store_record { SP_STORE_RECORD_STRICT = 1, SP_STORE_RECORD_BEST_EFFORT };
enum sp_store_offense_state { SP_STORE_OFFENSE_OPEN = 1, SP_STORE_OFFENSE_DORMANT, SP_STORE_OFFENSE_CLOSED };
/* ASKS: somebody must decide. KEPT: not carried out, and why is in its text (a protected user, the last administrator). */
enum sp_store_response_state { SP_STORE_RESPONSE_DONE = 1, SP_STORE_RESPONSE_FAILED, SP_STORE_RESPONSE_ASKS, SP_STORE_RESPONSE_KEPT };
enum sp_store_session_state { SP_STORE_LIVE = 1, SP_STORE_ENDED };

/* What a grant may open. rsync, git and ansible are exec. lib/policy uses the same bits. */
enum {
	SP_STORE_P_SHELL	= 1 << 0,
	SP_STORE_P_EXEC		= 1 << 1,
	SP_STORE_P_SFTP		= 1 << 2,
	SP_STORE_P_SCP		= 1 << 3,
	SP_STORE_P_FWD_LOCAL	= 1 << 4,
	SP_STORE_P_FWD_REMOTE	= 1 << 5,
	SP_STORE_P_FWD_DYNAMIC	= 1 << 6,
	SP_STORE_P_AGENT	= 1 << 7,
	SP_STORE_P_X11		= 1 << 8,
	SP_STORE_P_ALL		= (1 << 9) - 1
};
enum { SP_STORE_AGENT_PLATFORM = 1 << 0, SP_STORE_AGENT_USER = 1 << 1 };
enum { SP_STORE_FILE_UP = 1 << 0, SP_STORE_FILE_DOWN = 1 << 1 };
enum { SP_STORE_ASSET_NO_RECORD_DATA = 1 << 0, SP_STORE_ASSET_LEGACY_ALGS = 1 << 1 };	/* assets.flags */

/* ---- rows ------------------------------------------------------------------------------------------------------- */

struct sp_store_department {
	SP_STORE_HEAD;
	char		name[SP_STORE_NAME_MAX + 1];		/* unique */
	struct sp_uuid	parent_id;				/* a cycle is SP_EINVAL */
	char		description[SP_STORE_TEXT_MAX + 1];
};
struct sp_store_user {
	SP_STORE_HEAD;
	char		login[SP_STORE_LOGIN_MAX + 1];		/* unique */
	char		full_name[SP_STORE_NAME_MAX + 1];
	char		email[SP_STORE_NAME_MAX + 1];
	struct sp_uuid	department_id;
	int64_t		role;					/* enum sp_store_role */
	struct sp_uuid	role_department_id;			/* the role is valid there; null: everywhere */
	int64_t		state;					/* enum sp_store_state */
	int64_t		valid_from_us, valid_until_us;
	int64_t		epoch;					/* raised by control whenever open sessions must be judged anew */
	char		password_hash[SP_STORE_HASH_MAX + 1];	/* libsodium's text form; "": no password login */
	int64_t		must_change_password;
	int64_t		os_uid;					/* unique; -1: none. Bound for command-line administration */
	int64_t		last_login_us;				/* only by sp_store_user_seen(); not covered by mac */
};
struct sp_store_user_key {
	SP_STORE_HEAD;
	struct sp_uuid	user_id;
	char		type[64 + 1];				/* "ssh-ed25519" */
	struct sp_store_pubkey blob;			/* unique among all users */
	char		fingerprint[64 + 1];			/* "SHA256:..." */
	char		comment[SP_STORE_NAME_MAX + 1];
	int64_t		state;
	int64_t		require_touch;				/* sk keys: user presence must be shown */
	int64_t		valid_until_us;
};
struct sp_store_totp {						/* id is the user's id */
	SP_STORE_HEAD;
	struct sp_uuid	secret_id;
	int64_t		confirmed;
	int64_t		last_step;				/* a step at or before it is never accepted again */
};
struct sp_store_recovery {
	SP_STORE_HEAD;
	struct sp_uuid	user_id;
	char		hash[SP_STORE_HASH_MAX + 1];
	int64_t		used_us;
};
struct sp_store_group {
	SP_STORE_HEAD;
	char		name[SP_STORE_NAME_MAX + 1];		/* unique */
	struct sp_uuid	department_id;
	char		remark[SP_STORE_TEXT_MAX + 1];
};
struct sp_store_zone {
	SP_STORE_HEAD;
	char		name[SP_STORE_NAME_MAX + 1];		/* unique */
	struct sp_uuid	jump_asset_id;				/* reached through this asset; null: directly */
	char		jump_account[SP_STORE_NAME_MAX + 1];
	char		source_address[SP_STORE_TEXT_MAX + 1];	/* for certificates issued towards this zone, CIDR list */
	char		remark[SP_STORE_TEXT_MAX + 1];
};
struct sp_store_asset {
	SP_STORE_HEAD;
	char		name[SP_STORE_NAME_MAX + 1];		/* unique */
	char		address[SP_STORE_ADDR_MAX + 1];
	int64_t		port;
	char		platform[64 + 1];			/* "linux" */
	struct sp_uuid	department_id, owner_id, zone_id;
	char		remark[SP_STORE_TEXT_MAX + 1];
	int64_t		state;					/* enum sp_store_state */
	int64_t		flags;					/* SP_STORE_ASSET_* */
	struct sp_uuid	inner_key_secret_id;			/* private half of its inner host key, in secrets */
	struct sp_store_pubkey inner_key;		/* public half */
};
struct sp_store_host_key {
	SP_STORE_HEAD;
	struct sp_uuid	asset_id;
	char		type[64 + 1];
	struct sp_store_pubkey blob;			/* unique per asset */
	int64_t		state;					/* active: pinned; disabled: refused */
	char		pinned_by[SP_STORE_NAME_MAX + 1];	/* a login, or "first use by LOGIN" */
};
struct sp_store_asset_group {
	SP_STORE_HEAD;
	char		name[SP_STORE_NAME_MAX + 1];		/* unique */
	struct sp_uuid	parent_id;				/* a cycle, or more than SP_STORE_DEPTH_MAX levels, is SP_EINVAL */
	struct sp_uuid	department_id;
	char		remark[SP_STORE_TEXT_MAX + 1];
};
struct sp_store_account {
	SP_STORE_HEAD;
	struct sp_uuid	asset_id;
	char		name[SP_STORE_NAME_MAX + 1];		/* shown; unique in the asset; without ',' and '*' */
	char		login[SP_STORE_LOGIN_MAX + 1];		/* at the target; "" with kind same and typed */
	int64_t		kind;					/* enum sp_store_account_kind */
	struct sp_uuid	secret_id;
	char		auth_methods[SP_STORE_NAME_MAX + 1];	/* in order: "certificate,publickey,password,keyboard-interactive" */
	int64_t		state;
	char		principals[SP_STORE_TEXT_MAX + 1];	/* of its certificates, separated by ','; "": the login */
};
struct sp_store_asset_claim {					/* id is the asset's id */
	SP_STORE_HEAD;
	struct sp_uuid	user_id;				/* who says that it is his */
	struct sp_uuid	group_id;				/* asset group that he wishes it in; may be gone since */
	char		token_hash[64 + 1];			/* SHA-256 of the token, hexadecimal */
	int64_t		expires_us;
};
struct sp_store_secret {
	SP_STORE_HEAD;
	char		name[SP_STORE_NAME_MAX + 1];		/* for people; not unique */
	int64_t		kind;					/* enum sp_store_secret_kind */
	int64_t		secret_version;				/* bound into the associated data */
	int64_t		term;					/* of the data key that wraps it */
	struct sp_store_sealed ciphertext;
	struct sp_store_pubkey public_blob;
	char		info[SP_STORE_TEXT_MAX + 1];		/* meta, opaque to the store */
	int64_t		rotated_us;
};
struct sp_store_grant {
	SP_STORE_HEAD;
	int64_t		subject_kind;				/* enum sp_store_subject */
	struct sp_uuid	subject_id;
	int64_t		object_kind;				/* enum sp_store_object */
	struct sp_uuid	object_id;
	char		accounts[SP_STORE_LIST_MAX + 1];	/* "*" or names separated by ',' */
	int64_t		protocols;				/* SP_STORE_P_* */
	int64_t		effect;					/* enum sp_store_effect */
	int64_t		valid_from_us, valid_until_us;
	char		name[SP_STORE_NAME_MAX + 1];
	char		remark[SP_STORE_TEXT_MAX + 1];
	struct sp_uuid	created_by;
	char		hours[SP_STORE_NAME_MAX + 1];		/* "mon-fri 08:00-18:00,sat 09:00-12:00"; "": always */
	char		sources[SP_STORE_LIST_MAX + 1];		/* CIDR separated by ','; "": anywhere */
	int64_t		mfa_interval_s;				/* -1: never asked; 0: at every login; else seconds */
	int64_t		idle_s, max_session_s;			/* 0: no limit */
	int64_t		concurrent_max;				/* 0: no limit */
	int64_t		reason_required;			/* 0 none, 1 a text, 2 a ticket */
	int64_t		agent_kinds;				/* SP_STORE_AGENT_* */
	int64_t		file_direction;				/* SP_STORE_FILE_*; both for a plain grant */
	char		forwards[SP_STORE_LIST_MAX + 1];	/* destinations separated by ','; syntax in policy/forward.h */
	int64_t		record_mode;				/* enum sp_store_record */
	char		reason_pattern[SP_STORE_NAME_MAX + 1];	/* of a ticket; "": the usual form */
	char		file_paths[SP_STORE_LIST_MAX + 1];	/* rules, one a line; syntax in policy/path.h; "": any path */
	int64_t		keep, keep_max_mb;			/* beside the recording: common/keep.h; 0: files of any size */
};

struct sp_store_detection {					/* a rule over events, and what follows when it fires */
	SP_STORE_HEAD;
	char		name[SP_STORE_NAME_MAX + 1];		/* unique */
	int64_t		state;					/* active, disabled */
	char		text[SP_STORE_RULE_MAX + 1];		/* YAML: docs/rules.md */
};
struct sp_store_offense {					/* alerts about one thing */
	SP_STORE_HEAD;
	char		property[64 + 1], value[SP_STORE_NAME_MAX + 1];	/* "user_id", an id */
	char		about[SP_STORE_NAME_MAX + 1];		/* the value for people: a login */
	char		title[SP_STORE_NAME_MAX + 1];		/* of its first alert */
	char		category[64 + 1];			/* common/category.h */
	int64_t		severity;				/* 1 informational ... 5 critical: the highest of its alerts */
	int64_t		state;					/* enum sp_store_offense_state */
	int64_t		is_protected;				/* never closed by time */
	char		owner[SP_STORE_LOGIN_MAX + 1];
	int64_t		alerts;					/* how many */
	struct sp_uuid	department_id;				/* of what it is about; null: of nobody in particular */
	int64_t		opened_us, last_us, closed_us;
	char		closed_by[SP_STORE_NAME_MAX + 1], reason[64 + 1];
};
struct sp_store_offense_note {
	SP_STORE_HEAD;
	struct sp_uuid	offense_id;
	char		author[SP_STORE_NAME_MAX + 1], text[SP_STORE_TEXT_MAX + 1];
};
struct sp_store_alert {						/* a rule fired; (rule, entry, value) is unique */
	SP_STORE_HEAD;
	struct sp_uuid	offense_id;
	char		rule[SP_STORE_NAME_MAX + 1];
	int64_t		entry;					/* number of the audit entry that made it fire */
	char		property[64 + 1], value[SP_STORE_NAME_MAX + 1], title[SP_STORE_NAME_MAX + 1], category[64 + 1];
	int64_t		severity, at_us;			/* of the entry */
	char		events[SP_STORE_VALUE_MAX + 1];		/* numbers of the entries that it counted, separated by ',' */
};
struct sp_store_response {					/* goes with its alert */
	SP_STORE_HEAD;
	struct sp_uuid	alert_id, offense_id;
	char		action[64 + 1], target[SP_STORE_NAME_MAX + 1];
	int64_t		state;					/* enum sp_store_response_state */
	int64_t		done_us;
	char		text[SP_STORE_TEXT_MAX + 1];
};
/* Rules over commands (lib/rules/command.h), in named sets that are applied to people and places. */
struct sp_store_rule_set {
	SP_STORE_HEAD;
	char		name[SP_STORE_NAME_MAX + 1];		/* unique */
	char		remark[SP_STORE_TEXT_MAX + 1];
};
enum sp_store_rule_state { SP_STORE_RULE_ON = 1, SP_STORE_RULE_OFF, SP_STORE_RULE_SHADOW };
struct sp_store_command_rule {
	SP_STORE_HEAD;
	struct sp_uuid	set_id;
	char		name[SP_STORE_NAME_MAX + 1];		/* unique in the set */
	int64_t		priority;				/* 1..100, lowest first */
	int64_t		action;					/* enum sp_command_action */
	int64_t		state;					/* enum sp_store_rule_state */
	int64_t		expires_us;				/* 0: never */
	char		message[SP_STORE_NAME_MAX + 1];		/* for the user; "": the usual one */
	char		text[SP_STORE_RULE_MAX + 1];		/* YAML */
};
enum sp_store_use { SP_STORE_USE_EVERYONE = 1, SP_STORE_USE_USER, SP_STORE_USE_GROUP, SP_STORE_USE_DEPARTMENT, SP_STORE_USE_ASSET,
	SP_STORE_USE_ASSET_GROUP, SP_STORE_USE_ACCOUNT };
extern const struct sp_uuid sp_store_everyone;			/* object_id of SP_STORE_USE_EVERYONE */
struct sp_store_rule_use {
	SP_STORE_HEAD;
	struct sp_uuid	set_id;
	int64_t		kind;					/* enum sp_store_use */
	struct sp_uuid	object_id;				/* may be gone since; (set, object) is unique */
};
struct sp_store_grant_commands {				/* id is the grant's; without a row: black list, uncertain lines pass */
	SP_STORE_HEAD;
	int64_t		mode;					/* enum sp_command_mode */
	int64_t		refuse_uncertain;
};

/* ---- handle ----------------------------------------------------------------------------------------------------- */

struct sp_store;
struct sp_store_servers;
struct sp_store_opts {
	int64_t		(*wall_us)(void);	/* NULL: sp_wall_us */
	uint32_t	busy_ms;		/* 0: 2000; SQLite lock wait, PostgreSQL lock_timeout */
	uint32_t	statement_ms;		/* 0: 5000; PostgreSQL statement_timeout (migrations: without, 1 h at most). A
						 * server that does not answer at all is SP_EUNAVAIL 1 s later */
	int		existing;		/* SQLite: a file that is not there is SP_EUNAVAIL, not made */
	uint32_t	connect_ms;		/* 0: 2000; rounded up to seconds, libpq takes at least 2; per host of the URL */
	struct sp_store_servers *servers;	/* borrowed; then the URL is "pg:" and the list says where to */
	int		reader;			/* with servers: this handle only reads, so a replica will do */
};

/* opts may be NULL. The directory of an sqlite: url must exist. SP_EINVAL (url), SP_EUNAVAIL, SP_EVERSION (the schema
 * is newer than this program). A schema that is older, or missing, is accepted: call migrate. */
enum sp_err	 sp_store_open(const char *url, const struct sp_store_opts *opts, struct sp_store **ret) SP_MUST_USE;
void		 sp_store_close(struct sp_store *s);			/* rolls back; NULL is fine */
static inline void sp_store_closep(struct sp_store **s) { sp_store_close(*s); *s = NULL; }
enum sp_err	 sp_store_migrate(struct sp_store *s) SP_MUST_USE;	/* to the newest schema; idempotent, safe in parallel */
enum sp_err	 sp_store_ping(struct sp_store *s) SP_MUST_USE;
const char	*sp_store_detail(const struct sp_store *s);
/* Is what this handle has open still the store that its URL names, and does it answer? Cheap enough for every job.
 * SP_EUNAVAIL (no server; the file was moved away or replaced), SP_EBUSY (locked against readers), SP_ECORRUPT ... */
enum sp_err	 sp_store_check(struct sp_store *s) SP_MUST_USE;
enum sp_err	 sp_store_verify(struct sp_store *s) SP_MUST_USE;	/* the same, and SQLite reads every page: SP_ECORRUPT, sp_store_detail() */
/* The last SP_EUNAVAIL, SP_EIO or SP_ECORRUPT of any operation since the last call; SP_OK: there was none. */
enum sp_err	 sp_store_trouble(struct sp_store *s);
/* The parts (bits 1 << enum sp_store_part), each as it was at one moment, as new SQLite files in dir: sallyport.db,
 * evidence.db; "sqlite:" and dir open them. dir exists and holds neither. Never in a batch. On failure throw away what is there. */
enum sp_err	 sp_store_copy(struct sp_store *s, const char *dir, int parts) SP_MUST_USE;
/* Put such a copy into an empty, migrated PostgreSQL database, all or nothing; a copy of an older schema is migrated first. id
 * names this restore: done twice, the second time is SP_OK and changes nothing. SP_EEXIST: there is something in the database;
 * SP_ESTATE: not PostgreSQL, or in a batch; else sp_store_detail(). */
enum sp_err	 sp_store_load(struct sp_store *s, const char *dir, const struct sp_uuid *id) SP_MUST_USE;
/* The database server that this handle talks to, as an address (over a local socket: loopback, and its port). 0: none. */
int		 sp_store_server(const struct sp_store *s, struct sp_netaddr *ret);
/* 1: the schema is the one of this program. Needed where nothing can be migrated, on a replica. */
enum sp_err	 sp_store_is_current(struct sp_store *s, int *ret) SP_MUST_USE;

/* An ordered list of PostgreSQL servers, near ones first, shared by the handles of one process and safe among its
 * threads. It starts a thread per server. Which server is used when: docs/postgresql.md. */
#define SP_STORE_SERVERS_MAX	16
struct sp_store_server {
	const char	*url;			/* borrowed; one host each, better an address than a name */
	int		 far;			/* in the other site */
};
enum sp_store_server_role { SP_STORE_SERVER_AWAY, SP_STORE_SERVER_PRIMARY, SP_STORE_SERVER_REPLICA, SP_STORE_SERVER_REFUSED };
struct sp_store_server_status {
	enum sp_store_server_role role;
	int		 far, asked, reading, writing;	/* asked: it answered or failed at least once; used for */
	char		 name[160];		/* host:port as configured */
	struct sp_netaddr at;			/* port 0: not known yet */
	char		 why[160];		/* why it is away or refused */
};
/* timeout_ms 0: 2000. SP_EINVAL (0 or too many), SP_ENOMEM. Freed after the last handle that uses it. */
enum sp_err	 sp_store_servers_new(const struct sp_store_server *list, size_t n, uint32_t timeout_ms, struct sp_store_servers **ret) SP_MUST_USE;
void		 sp_store_servers_free(struct sp_store_servers *v);	/* NULL is fine */
size_t		 sp_store_servers_status(struct sp_store_servers *v, struct sp_store_server_status *ret, size_t max);	/* how many */
int		 sp_store_servers_have(struct sp_store_servers *v, const struct sp_netaddr *a, uint32_t port);	/* one of them is there */

/* Batches. Not nested (SP_ESTATE). The evidence index is a file of its own in SQLite, so it has its own transactions;
 * in PostgreSQL both parts share one transaction. */
enum sp_store_part { SP_STORE_MAIN, SP_STORE_EVIDENCE };
enum sp_err	 sp_store_begin(struct sp_store *s, enum sp_store_part part) SP_MUST_USE;
enum sp_err	 sp_store_commit(struct sp_store *s) SP_MUST_USE;	/* a failure has rolled back */
void		 sp_store_rollback(struct sp_store *s);			/* without a transaction: nothing */
/* What came of the work since begin: SP_OK is committed, anything else rolled back. Returns it, or why the commit failed. */
enum sp_err	 sp_store_end(struct sp_store *s, enum sp_err r) SP_MUST_USE;

enum sp_err	 sp_store_setting_get(struct sp_store *s, const char *key, char *dst, size_t size) SP_MUST_USE;	/* ENOENT */
enum sp_err	 sp_store_setting_set(struct sp_store *s, const char *key, const char *value) SP_MUST_USE;

/* ---- row MACs ------------------------------------------------------------------------------------------------------
 * A handle begins with OFF: nothing is computed or checked. ON: every write carries a MAC, every read of one row, every
 * checked list and sp_store_grants_for check it (SP_ETAMPERED, and a finding). SEALED: there is a key, but not yet here:
 * rows that give power are not written (SP_ESEALED) and are read unchecked, so nothing may be decided by them. */
#define SP_STORE_MAC_KEY	32		/* bytes */
#define SP_STORE_FINDINGS_MAX	16		/* kept until they are taken; further ones of the same reads are left out */
#define SP_STORE_ROW_ID_SIZE	130		/* an id, two ids with '/' between, or a setting's key */
enum sp_store_mac_mode { SP_STORE_MAC_OFF, SP_STORE_MAC_SEALED, SP_STORE_MAC_ON };
struct sp_store_finding {
	char	table[32], id[SP_STORE_ROW_ID_SIZE], what[80];
};
/* key: borrowed, SP_STORE_MAC_KEY bytes with ON, else NULL. */
enum sp_err	 sp_store_mac_set(struct sp_store *s, enum sp_store_mac_mode mode, const void *key) SP_MUST_USE;
enum sp_store_mac_mode sp_store_mac_mode(const struct sp_store *s);
/* Take what reads of this handle found since the last call; room for SP_STORE_FINDINGS_MAX. */
size_t		 sp_store_findings(struct sp_store *s, struct sp_store_finding *ret);
/* The whole store, a page at a time: begin with a zeroed cursor and go on until at.done. Every row, edge and setting, then
 * what the closures say beyond, or short of, their edges. Findings come to fn, not to sp_store_findings. SP_ESTATE unless ON. */
struct sp_store_scan {
	uint32_t	part;		/* table, in an order of our own */
	char		after[SP_STORE_ROW_ID_SIZE];
	int		done;
	uint64_t	seen;		/* rows of this page */
};
typedef int (*sp_store_finding_fn)(const struct sp_store_finding *f, void *arg);
enum sp_err	 sp_store_rows_scan(struct sp_store *s, struct sp_store_scan *at, uint32_t limit, sp_store_finding_fn fn, void *arg) SP_MUST_USE;
/* Give the row of a finding, as it stands, a good MAC (a closure: make it anew from the edges), or remove it. The caller
 * has looked at it. SP_ENOENT, SP_EINVAL (no such table, or an id of another shape), SP_ESTATE unless ON. */
enum sp_err	 sp_store_row_accept(struct sp_store *s, const char *table, const char *id) SP_MUST_USE;
enum sp_err	 sp_store_row_remove(struct sp_store *s, const char *table, const char *id) SP_MUST_USE;
/* All rows, as they stand: for the moment in which the key comes into being. */
enum sp_err	 sp_store_rows_accept_all(struct sp_store *s, uint64_t *ret_n) SP_MUST_USE;

/* ---- add, get, update, delete, list: the same five for every row ---------------------------------------------- */

/* What a list shows. A zeroed query is "all, in order of name, first page". Filters that do not fit the row: SP_EINVAL. */
struct sp_store_query {
	const char	*text;		/* every word is a substring of name, login, address or remark; ASCII case ignored */
	struct sp_uuid	 department_id;	/* rows of this department and of those below it */
	struct sp_uuid	 of;		/* rows of this parent: user (keys, recovery), asset (host keys, accounts),
					 * parent group (asset groups), user (claims), subject or object (grants), offense (notes,
					 * alerts, responses), alert (responses), set (command rules), set or object (rule
					 * uses) */
	uint32_t	 limit;		/* 0: SP_STORE_PAGE_MAX */
	uint32_t	 offset;
	int		 checked;	/* a row whose MAC is wrong ends the list with SP_ETAMPERED: for decisions. Recovery
					 * codes are always checked; lists for people show what is there */
};

#define SP_STORE_ROW(name)													\
	enum sp_err sp_store_##name##_add(struct sp_store *s, struct sp_store_##name *row) SP_MUST_USE;			\
	enum sp_err sp_store_##name##_get(struct sp_store *s, const struct sp_uuid *id, struct sp_store_##name *ret) SP_MUST_USE; \
	enum sp_err sp_store_##name##_update(struct sp_store *s, struct sp_store_##name *row) SP_MUST_USE;		\
	enum sp_err sp_store_##name##_delete(struct sp_store *s, const struct sp_uuid *id, int64_t version) SP_MUST_USE; \
	typedef int (*sp_store_##name##_fn)(const struct sp_store_##name *row, void *arg);				\
	enum sp_err sp_store_##name##_list(struct sp_store *s, const struct sp_store_query *q, sp_store_##name##_fn fn, void *arg) SP_MUST_USE; \
	/* The bytes that a MAC covers: kind, and every member but mac and the "not covered" ones, in a fixed order. */	\
	enum sp_err sp_store_##name##_canonical(const struct sp_store_##name *row, struct sp_buf *dst) SP_MUST_USE;

SP_STORE_ROW(department)
SP_STORE_ROW(user)		/* deleting takes keys, totp, recovery codes, memberships and grants along; one who owns assets: SP_ESTATE */
SP_STORE_ROW(user_key)
SP_STORE_ROW(totp)
SP_STORE_ROW(recovery)
SP_STORE_ROW(group)		/* deleting takes memberships and grants along */
SP_STORE_ROW(zone)
SP_STORE_ROW(asset)		/* deleting takes accounts (not secrets), host keys, tags, its claim, memberships and grants along */
SP_STORE_ROW(host_key)
SP_STORE_ROW(asset_group)	/* deleting takes memberships and grants along; with groups below it: SP_ESTATE */
SP_STORE_ROW(account)
SP_STORE_ROW(asset_claim)	/* goes with the asset, and with the user */
SP_STORE_ROW(secret)		/* one in use: SP_ESTATE */
SP_STORE_ROW(detection)
SP_STORE_ROW(offense)		/* newest first, as are notes, alerts and responses; deleting takes these along */
SP_STORE_ROW(offense_note)
SP_STORE_ROW(alert)
SP_STORE_ROW(response)
SP_STORE_ROW(grant)		/* subject and object must exist (SP_ENOENT) */

SP_STORE_ROW(rule_set)		/* deleting takes its rules and uses along */
SP_STORE_ROW(command_rule)
SP_STORE_ROW(rule_use)
SP_STORE_ROW(grant_commands)	/* goes with the grant */

/* Lookups by what people and protocols say. SP_ENOENT. */
enum sp_err	 sp_store_rule_set_by_name(struct sp_store *s, const char *name, struct sp_store_rule_set *ret) SP_MUST_USE;
enum sp_err	 sp_store_department_by_name(struct sp_store *s, const char *name, struct sp_store_department *ret) SP_MUST_USE;
enum sp_err	 sp_store_user_by_login(struct sp_store *s, const char *login, struct sp_store_user *ret) SP_MUST_USE;
enum sp_err	 sp_store_users_of_role(struct sp_store *s, int64_t role, sp_store_user_fn fn, void *arg) SP_MUST_USE;	/* unpaged, as they stand */
/* This very login, or else the one that differs in case only (add and update make no second one: SP_EEXIST). SP_ECONFLICT: two
 * from before that was so. */
enum sp_err	 sp_store_user_by_login_any_case(struct sp_store *s, const char *login, struct sp_store_user *ret) SP_MUST_USE;
enum sp_err	 sp_store_user_by_os_uid(struct sp_store *s, int64_t os_uid, struct sp_store_user *ret) SP_MUST_USE;
enum sp_err	 sp_store_user_key_by_blob(struct sp_store *s, const void *blob, size_t n, struct sp_store_user_key *ret) SP_MUST_USE;
/* Everybody who is known by that host key. */
enum sp_err	 sp_store_host_keys_by_blob(struct sp_store *s, const void *blob, size_t n, sp_store_host_key_fn fn, void *arg) SP_MUST_USE;
enum sp_err	 sp_store_group_by_name(struct sp_store *s, const char *name, struct sp_store_group *ret) SP_MUST_USE;
enum sp_err	 sp_store_zone_by_name(struct sp_store *s, const char *name, struct sp_store_zone *ret) SP_MUST_USE;
enum sp_err	 sp_store_asset_by_name(struct sp_store *s, const char *name, struct sp_store_asset *ret) SP_MUST_USE;
/* Several assets may share an address: SP_ECONFLICT then. port 0: any port. */
enum sp_err	 sp_store_asset_by_address(struct sp_store *s, const char *address, int64_t port, struct sp_store_asset *ret) SP_MUST_USE;
enum sp_err	 sp_store_asset_group_by_name(struct sp_store *s, const char *name, struct sp_store_asset_group *ret) SP_MUST_USE;
enum sp_err	 sp_store_account_by_name(struct sp_store *s, const struct sp_uuid *asset_id, const char *name, struct sp_store_account *ret) SP_MUST_USE;

enum sp_err	 sp_store_detection_by_name(struct sp_store *s, const char *name, struct sp_store_detection *ret) SP_MUST_USE;
/* The one about this that is not closed: there is at most one, because alerts are written one after the other. */
enum sp_err	 sp_store_offense_about(struct sp_store *s, const char *property, const char *value, struct sp_store_offense *ret) SP_MUST_USE;
/* In this state, unprotected, and without an alert since before_us; oldest first. */
enum sp_err	 sp_store_offenses_idle(struct sp_store *s, int64_t state, int64_t before_us, uint32_t limit, sp_store_offense_fn fn, void *arg) SP_MUST_USE;
enum sp_err	 sp_store_alert_of(struct sp_store *s, const char *rule, int64_t entry, const char *value, struct sp_store_alert *ret) SP_MUST_USE;
/* How many responses of this kind were carried out since then. */
enum sp_err	 sp_store_responses_since(struct sp_store *s, const char *action, int64_t since_us, int64_t *ret) SP_MUST_USE;

/* Names of secrets are not unique: the oldest of that kind and name. */
enum sp_err	 sp_store_secret_by_name(struct sp_store *s, int64_t kind, const char *name, struct sp_store_secret *ret) SP_MUST_USE;
enum sp_err	 sp_store_secrets_of_kind(struct sp_store *s, int64_t kind, sp_store_secret_fn fn, void *arg) SP_MUST_USE;	/* by name; unpaged */

/* The user logged in; touches nothing else, neither version nor mac. */
enum sp_err	 sp_store_user_seen(struct sp_store *s, const struct sp_uuid *id, int64_t at_us) SP_MUST_USE;
/* Accept a TOTP step once: SP_OK only if it is later than every step before; SP_EDENIED else. Atomic among connections. */
enum sp_err	 sp_store_totp_step(struct sp_store *s, const struct sp_uuid *user_id, int64_t step) SP_MUST_USE;
/* n grants in one operation, all or none; ids and versions are filled in. Reports the first refused index in *bad (may be NULL). */
enum sp_err	 sp_store_grant_add_many(struct sp_store *s, struct sp_store_grant *rows, size_t n, size_t *bad) SP_MUST_USE;

/* ---- membership; closures are kept in the same transaction --------------------------------------------------- */

struct sp_store_member {
	struct sp_uuid	group_id, member_id;
	int64_t		kind;			/* enum sp_store_subject, or sp_store_object of an asset group's member */
	int64_t		created_us;
	struct sp_store_mac mac;
};
typedef int (*sp_store_member_fn)(const struct sp_store_member *m, void *arg);

/* A user or a group becomes a member of a group. SP_ENOENT, SP_EEXIST, SP_EINVAL (a cycle, or too deep).
 * m->kind says which; created_us is filled in. */
enum sp_err	 sp_store_group_member_add(struct sp_store *s, struct sp_store_member *m) SP_MUST_USE;
enum sp_err	 sp_store_group_member_delete(struct sp_store *s, const struct sp_uuid *group_id, const struct sp_uuid *member_id) SP_MUST_USE;
enum sp_err	 sp_store_group_members(struct sp_store *s, const struct sp_uuid *group_id, sp_store_member_fn fn, void *arg) SP_MUST_USE;	/* direct */
/* An asset becomes a member of an asset group (groups in groups are asset_group.parent_id). */
enum sp_err	 sp_store_asset_member_add(struct sp_store *s, struct sp_store_member *m) SP_MUST_USE;
enum sp_err	 sp_store_asset_member_delete(struct sp_store *s, const struct sp_uuid *group_id, const struct sp_uuid *asset_id) SP_MUST_USE;
enum sp_err	 sp_store_asset_members(struct sp_store *s, const struct sp_uuid *group_id, sp_store_member_fn fn, void *arg) SP_MUST_USE;
/* The groups above: direct and transitive. Also "who is in it, through whatever": the leaves below. */
typedef int (*sp_store_id_fn)(const struct sp_uuid *id, void *arg);
/* Secrets that a data key older than `term` wraps, with an id above `after`, in order of id: a row that comes or goes
 * meanwhile makes no page skip another. limit as in lists. */
enum sp_err	 sp_store_secrets_below_term(struct sp_store *s, int64_t term, const struct sp_uuid *after, uint32_t limit, sp_store_id_fn fn, void *arg) SP_MUST_USE;
enum sp_err	 sp_store_groups_of_user(struct sp_store *s, const struct sp_uuid *user_id, sp_store_group_fn fn, void *arg) SP_MUST_USE;
enum sp_err	 sp_store_groups_of_asset(struct sp_store *s, const struct sp_uuid *asset_id, sp_store_asset_group_fn fn, void *arg) SP_MUST_USE;
enum sp_err	 sp_store_users_of_group(struct sp_store *s, const struct sp_uuid *group_id, sp_store_id_fn fn, void *arg) SP_MUST_USE;
enum sp_err	 sp_store_assets_of_group(struct sp_store *s, const struct sp_uuid *group_id, sp_store_id_fn fn, void *arg) SP_MUST_USE;

enum sp_err	 sp_store_tag_set(struct sp_store *s, const struct sp_uuid *asset_id, const char *key, const char *value) SP_MUST_USE;	/* value NULL: remove */
typedef int (*sp_store_tag_fn)(const char *key, const char *value, void *arg);
enum sp_err	 sp_store_tags(struct sp_store *s, const struct sp_uuid *asset_id, sp_store_tag_fn fn, void *arg) SP_MUST_USE;

/* ---- access ------------------------------------------------------------------------------------------------------ */

/* Every grant, allow or deny, in force or not, whose subject is the user or a group of his (transitively) and whose
 * object is the asset or an asset group above it. By index only: cost depends on the number of his groups times the
 * asset's, not on the number of grants. In no order. lib/policy judges what comes out. */
enum sp_err	 sp_store_grants_for(struct sp_store *s, const struct sp_uuid *user_id, const struct sp_uuid *asset_id, sp_store_grant_fn fn, void *arg) SP_MUST_USE;
/* Everything that touches one side: for `access who` and for finding the sessions that a change concerns. */
enum sp_err	 sp_store_grants_of_user(struct sp_store *s, const struct sp_uuid *user_id, sp_store_grant_fn fn, void *arg) SP_MUST_USE;
enum sp_err	 sp_store_grants_of_asset(struct sp_store *s, const struct sp_uuid *asset_id, sp_store_grant_fn fn, void *arg) SP_MUST_USE;
/* What a menu shows: every active account on every active asset that an allow grant of this user, in its validity window at
 * now_us, is about. Opening one is still judged by lib/policy (deny grants, accounts and sources are not looked at here).
 * No order; an asset with three accounts comes three times. Texts are borrowed for the call. */
struct sp_store_reach_row {
	struct sp_uuid	asset_id;
	const char	*name, *address, *remark, *account;
};
typedef int (*sp_store_reach_fn)(const struct sp_store_reach_row *row, void *arg);
enum sp_err	 sp_store_reach_rows(struct sp_store *s, const struct sp_uuid *user_id, int64_t now_us, sp_store_reach_fn fn, void *arg) SP_MUST_USE;
/* The asset groups that these assets are in directly. One call for each pair, no order. */
typedef int (*sp_store_pair_fn)(const struct sp_uuid *a, const struct sp_uuid *b, void *arg);
enum sp_err	 sp_store_reach_places(struct sp_store *s, const struct sp_uuid *user_id, int64_t now_us, sp_store_pair_fn fn, void *arg) SP_MUST_USE;
/* What a person marked to find it again: of him alone, gives no power, and goes with the user or the asset. Both are
 * SP_OK when nothing changes. SP_ENOENT: no such user or asset. */
enum sp_err	 sp_store_favourite_set(struct sp_store *s, const struct sp_uuid *user_id, const struct sp_uuid *asset_id, int on) SP_MUST_USE;
enum sp_err	 sp_store_favourites(struct sp_store *s, const struct sp_uuid *user_id, sp_store_id_fn fn, void *arg) SP_MUST_USE;

/* One way in which somebody may come to an asset: a grant, in force or not, and a user whom it reaches. */
struct sp_store_way {
	struct sp_uuid	user_id, grant_id;
	char		login[SP_STORE_LOGIN_MAX + 1];
};
typedef int (*sp_store_way_fn)(const struct sp_store_way *w, void *arg);
/* Every such way, in the order of logins; one row read at a time. */
enum sp_err	 sp_store_ways_to_asset(struct sp_store *s, const struct sp_uuid *asset_id, sp_store_way_fn fn, void *arg) SP_MUST_USE;

/* ---- evidence: an index of the audit log; repeating a call changes nothing --------------------------------------- */

struct sp_store_session {
	struct sp_uuid	id, conn_id;
	int64_t		state;				/* enum sp_store_session_state */
	struct sp_uuid	user_id;
	char		user_login[SP_STORE_LOGIN_MAX + 1];
	struct sp_uuid	asset_id;
	char		asset_name[SP_STORE_NAME_MAX + 1];
	char		account[SP_STORE_NAME_MAX + 1];
	char		protocol[64 + 1];
	char		source[64 + 1];
	int64_t		started_us, ended_us;
	char		end_reason[SP_STORE_TEXT_MAX + 1];
	char		ended_by[SP_STORE_LOGIN_MAX + 1];
	char		recording[SP_STORE_TEXT_MAX + 1];	/* path below the recording directory */
	int64_t		record_state;			/* number of the audit entry of its END; negative: not the recorder's; 0: none */
	int64_t		bytes_in, bytes_out;
	char		error[SP_STORE_TEXT_MAX + 1];
	char		purpose[SP_STORE_NAME_MAX + 1];	/* the reason or ticket given at connect */
	char		path[SP_STORE_TEXT_MAX + 1];	/* jump servers on the way; "": reached directly */
};
typedef int (*sp_store_session_fn)(const struct sp_store_session *row, void *arg);
struct sp_store_session_query {
	struct sp_uuid	user_id, asset_id;		/* null: any */
	int64_t		state;				/* 0: any */
	int64_t		since_us;			/* started at or after; 0: any */
	int64_t		before_us;			/* started before, for the next page; 0: any */
	struct sp_uuid	before_id;			/* with before_us: and those of the same microsecond with a smaller id */
	uint32_t	limit;				/* 0: SP_STORE_PAGE_MAX */
};
/* Insert, or replace all members. An ended session stays ended: a late `live` for it is ignored with SP_OK. */
enum sp_err	 sp_store_session_put(struct sp_store *s, const struct sp_store_session *row) SP_MUST_USE;
enum sp_err	 sp_store_session_get(struct sp_store *s, const struct sp_uuid *id, struct sp_store_session *ret) SP_MUST_USE;
enum sp_err	 sp_store_session_list(struct sp_store *s, const struct sp_store_session_query *q, sp_store_session_fn fn, void *arg) SP_MUST_USE;	/* newest first */
enum sp_err	 sp_store_sessions_live(struct sp_store *s, sp_store_session_fn fn, void *arg) SP_MUST_USE;	/* all of them, unpaged */

struct sp_store_event {
	struct sp_uuid	session_id;			/* (session_id, seq) is unique: a repeat is SP_OK and changes nothing */
	int64_t		seq;
	int64_t		at_us;
	int64_t		channel;			/* -1: none */
	char		kind[64 + 1];
	const uint8_t	*payload;			/* borrowed; at most SP_STORE_PAYLOAD_MAX */
	uint32_t	payload_len;
};
typedef int (*sp_store_event_fn)(const struct sp_store_event *e, void *arg);
enum sp_err	 sp_store_event_put(struct sp_store *s, const struct sp_store_event *e) SP_MUST_USE;
enum sp_err	 sp_store_event_list(struct sp_store *s, const struct sp_uuid *session_id, int64_t after_seq, uint32_t limit, sp_store_event_fn fn, void *arg) SP_MUST_USE;
enum sp_err	 sp_store_event_last(struct sp_store *s, const struct sp_uuid *session_id, int64_t *ret_seq) SP_MUST_USE;	/* -1: none */

/* What was done to a file: an event of kind "file", by its texts. All borrowed; a repeat is SP_OK and changes nothing. */
struct sp_store_file {
	struct sp_uuid	session_id;
	int64_t		seq, at_us;
	const char	*op, *path, *to, *result;
};
#define SP_STORE_FILE_TEXT_MAX	1023
struct sp_store_file_query {
	struct sp_uuid	session_id, user_id, asset_id;	/* null: any */
	int64_t		since_us, until_us;		/* 0: any; until is not included */
	char		op[64];				/* "": any */
	char		text[SP_STORE_FILE_TEXT_MAX + 1];	/* stands in one of the paths, in either case of ASCII letters */
	uint32_t	limit;				/* 0: SP_STORE_PAGE_MAX */
};
struct sp_store_file_found {
	struct sp_uuid	session_id, user_id, asset_id;
	int64_t		seq, at_us;
	char		user_login[SP_STORE_LOGIN_MAX + 1], asset_name[SP_STORE_NAME_MAX + 1], account[SP_STORE_NAME_MAX + 1], source[64 + 1];
	const uint8_t	*payload;			/* of the event, borrowed */
	uint32_t	payload_len;
};
typedef int (*sp_store_file_fn)(const struct sp_store_file_found *row, void *arg);
enum sp_err	 sp_store_file_put(struct sp_store *s, const struct sp_store_file *f) SP_MUST_USE;
enum sp_err	 sp_store_file_search(struct sp_store *s, const struct sp_store_file_query *q, sp_store_file_fn fn, void *arg) SP_MUST_USE;	/* newest first */

/* ---- commands: lines that ran (command.c) ------------------------------------------------------------------------ */

#define SP_STORE_COMMAND_MAX	(256u * 1024)	/* bytes of one line */
enum sp_store_risk { SP_STORE_RISK_NONE, SP_STORE_RISK_LOW, SP_STORE_RISK_MEDIUM, SP_STORE_RISK_HIGH, SP_STORE_RISK_CRITICAL };
enum { SP_STORE_UNCERTAIN, SP_STORE_CERTAIN, SP_STORE_HIDDEN };	/* hidden: typed without echo, there is no text */
struct sp_store_command {
	int64_t		id;				/* rises in the order of arrival; of rows read */
	struct sp_uuid	session_id;			/* (session_id, channel, number) is unique: a repeat changes nothing */
	int64_t		channel, number;
	int64_t		at_us, ended_us;		/* ended_us 0: not known */
	int64_t		offset_us;			/* into the recording */
	char		how[16 + 1];			/* "screen", "exec" */
	int64_t		certainty;			/* SP_STORE_UNCERTAIN... */
	int64_t		risk;				/* enum sp_store_risk: what rules made of it */
	char		place[255 + 1];			/* "login@host", as the prompt said; "": it said nothing */
	struct sp_uuid	user_id, asset_id;		/* of the session; of rows read */
	struct sp_uuid	rule_id;			/* command rule that decided; null: none */
	char		rule_name[511 + 1];		/* "SET/NAME" as it was then */
	int64_t		action;				/* enum sp_command_action; 0: not judged */
	const char	*text;				/* borrowed; ends with a NUL when written, not when read */
	uint32_t	text_len;
};
struct sp_store_command_query {
	const char	*text;				/* stands in the line, as it is; NULL or "": any */
	struct sp_uuid	user_id, asset_id, session_id;	/* null: any */
	int64_t		since_us, until_us;		/* 0: any */
	int64_t		risk;				/* at least; 0: any */
	uint32_t	limit;				/* 0: 50 */
};
typedef int (*sp_store_command_fn)(const struct sp_store_command *c, void *arg);
/* The session's row gives user and asset, so it comes first. */
enum sp_err	 sp_store_command_put(struct sp_store *s, const struct sp_store_command *c) SP_MUST_USE;
enum sp_err	 sp_store_command_ended(struct sp_store *s, const struct sp_uuid *session_id, int64_t channel, int64_t number, int64_t ended_us) SP_MUST_USE;
/* What a command printed, as text. A repeat changes nothing. SP_EINVAL (more than SP_STORE_COMMAND_MAX bytes). */
enum sp_err	 sp_store_command_output_put(struct sp_store *s, const struct sp_uuid *session_id, int64_t channel, int64_t number,
		    const char *text, int64_t bytes, int cut) SP_MUST_USE;
/* Append it. SP_ENOENT: none is kept. */
enum sp_err	 sp_store_command_output(struct sp_store *s, const struct sp_uuid *session_id, int64_t channel, int64_t number,
		    struct sp_buf *dst, int64_t *ret_bytes, int *ret_cut) SP_MUST_USE;
enum sp_err	 sp_store_command_search(struct sp_store *s, const struct sp_store_command_query *f, sp_store_command_fn fn, void *arg) SP_MUST_USE;	/* newest first */

/* Commands that this rule decided about, and when the last one was. */
enum sp_err	 sp_store_command_hits(struct sp_store *s, const struct sp_uuid *rule_id, int64_t *ret_n, int64_t *ret_last_us) SP_MUST_USE;

/* ---- changes: what the calls of a transaction do to rows of the main part (change.c) ------------------------------ */

struct sp_store_change {
	const char	*table, *id;			/* an id, PARENT/CHILD of an edge, a key */
	const char	*column;
	const char	*before, *after;		/* as text, "": not set; NULL: no such row, before or after */
};
typedef void sp_store_change_fn(const struct sp_store_change *c, void *arg);
/* From now on fn is told of each column that changes, as soon as the operation succeeded: the transaction may still be rolled back.
 * NULL: of nothing any more. Rows that go with another one by reference are told too, if they are grants. */
void		 sp_store_observe(struct sp_store *s, sp_store_change_fn *fn, void *arg);

/* ---- erasing: what the index says in clear, of the sessions of a user, or of one session (the other is NULL). Ids, times, kinds
 * and numbers stay; texts become SP_STORE_ERASED or go. All of it may be repeated. ---- */
#define SP_STORE_ERASED	"(erased)"
enum sp_err	 sp_store_erase(struct sp_store *s, const struct sp_uuid *user_id, const struct sp_uuid *session_id) SP_MUST_USE;
/* Of one event, and the command that it told of. */
enum sp_err	 sp_store_erase_event(struct sp_store *s, const struct sp_uuid *session_id, int64_t seq, int64_t channel, int64_t number) SP_MUST_USE;

/* ---- outbox: written with the change that causes it, read by the courier's side of control ----------------------- */

struct sp_store_outbox {
	int64_t		id;				/* rises */
	char		kind[64 + 1];			/* "syslog", "mail", "webhook" */
	const uint8_t	*payload;			/* borrowed */
	uint32_t	payload_len;
	int64_t		created_us, done_us;
};
typedef int (*sp_store_outbox_fn)(const struct sp_store_outbox *o, void *arg);
enum sp_err	 sp_store_outbox_add(struct sp_store *s, const char *kind, const void *payload, size_t n, int64_t *ret_id) SP_MUST_USE;
/* Not yet done, with id > after, oldest first. kind NULL: all. After a restart begin at 0: what is done is not shown. */
enum sp_err	 sp_store_outbox_pending(struct sp_store *s, const char *kind, int64_t after, uint32_t limit, sp_store_outbox_fn fn, void *arg) SP_MUST_USE;
enum sp_err	 sp_store_outbox_done(struct sp_store *s, int64_t id) SP_MUST_USE;	/* twice is fine */
enum sp_err	 sp_store_outbox_purge(struct sp_store *s, int64_t done_before_us) SP_MUST_USE;

#endif
