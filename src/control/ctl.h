/* src/control/ctl.h - what the files of control share: the process's state and the objects that several files handle.
 * Process: control. Everything here belongs to the thread of the event loop; worker threads see only their job.
 * Invariants: (1) nothing in the loop waits: disk, database and long hashes run in lanes (job.h) or in the audit
 * thread. (2) After every wait a handler asks conn_alive() again before it grants anything. (3) An epoch in `floors` is
 * never lowered while control runs: an answer based on an older one is refused. */
#ifndef SP_CONTROL_CTL_H
#define SP_CONTROL_CTL_H

#include <jansson.h>
#include <stdatomic.h>

#include "base/htab.h"
#include "base/list.h"
#include "base/netaddr.h"
#include "base/str.h"
#include "common/child.h"
#include "control/audit.h"
#include "control/job.h"
#include "control/link.h"
#include "control/volume.h"
#include "sallyport.pb-c.h"
#include "policy/access.h"
#include "store/store.h"

#define CTL_TICK_US		(250 * SP_US_PER_MS)
#define CTL_LEASE_US		(60 * SP_US_PER_S)	/* life of a lease that nobody uses */
#define CTL_CERT_S		300
#define CTL_COMMAND_MAX		(60 * 1024)		/* bytes of a command kept in full in the audit log */
/* Messages of a re-attached session kept until it is judged: what it may have asked, and notices of its targets. */
#define CTL_HELD_MAX		(SP_IPC_QUESTIONS + 64)
#define CTL_LEFT_US		(60 * SP_US_PER_S)	/* a recorder that left in order: its END is in its spool and comes from there */
#define CTL_LOST_US		(8 * SP_US_PER_S)	/* after a start: what is not attached by then is lost */

struct ctl_lanes;
struct logins;
struct failures;
struct inners;
struct api;
struct leftover;
struct boot;
struct alarms;
struct servers;
struct bulk;
struct mfa;
struct zone_path;
struct snapshot;
struct quarantine;
struct copies;
struct loghead;
struct witnesses;
struct deliver;
struct siem;
struct offenses;
struct retain;

struct vault_view {			/* what the vault said last */
	int		known, initialised, sealed;
	uint32_t	term;
	uint8_t		boot[32], public_key[64];
	size_t		boot_len, public_key_len;
	char		slots[16][160];
	size_t		slots_n;
	char		text[256];
	int		rewrap_running;
	uint64_t	rewrap_done, rewrap_total, rewrap_failed;
	uint64_t	rewrap_again_us;	/* boottime; 0: nothing is left */
};

struct ctl {
	struct sp_child		 child;
	struct ctl_lanes	*lanes;
	struct audit		*audit;
	struct ctl_link		*vault, *dialer;
	struct sp_chan		*gate, *courier;	/* NULL while there is none */
	struct vault_view	 vault_view;
	struct sp_htab		 conns;			/* struct conn by conn_id */
	struct sp_htab		 targets;		/* struct target by session_id */
	struct sp_htab		 floors;		/* struct floor by user id */
	struct logins		*logins;
	struct failures		*failures;
	struct volume		 volume;
	struct mfa		*mfa;
	struct inners		*inners;
	struct api		*api;
	unsigned		 shells_n;		/* command lines over SSH (shell.c) */
	struct leftover		*leftover;		/* NULL before the scribe parent was there */
	struct boot		*boot;
	struct alarms		*alarms;
	struct copies		*copies;
	struct deliver		*deliver;
	struct siem		*siem;
	struct offenses		*offenses;
	struct retain		*retain;
	struct bulk		*bulk;
	struct snapshot		*snapshot;
	_Atomic int64_t		 snapshot_made_us;	/* wall; of the one that serves as the store; 0: none does */
	struct loghead		*loghead;
	struct witnesses	*witnesses;
	struct quarantine	*quarantine;		/* NULL: there was none since the start */
	_Atomic int		 quarantined;
	struct sp_timer		*tick;
	struct sp_list		 leases_waiting;	/* for a vault, or for START (lease.c) */
	int			 store_open;		/* migrated, evidence replayed */
	int			 stopping;
	uint64_t		 leave_at_us;		/* asked to go once no login is half done, at the latest then; 0: no */
	int			 rejudge_running, rejudge_again;
	uint64_t		 claims_at_us;		/* boottime: claims whose time is over are looked for then */
	uint64_t		 started_us;
	char			 store_url[SP_CONF_TEXT + 16];
	struct servers		*said;			/* what was last said of them */
	struct sp_store_servers	*servers;		/* of PostgreSQL; NULL: SQLite */
	char			 hostkeys[4][1024];	/* public lines "type base64" of the bastion itself */
	size_t			 hostkeys_n;
};

/* ---- a user's connection (conn.c) ---------------------------------------------------------------------------------- */

struct held_msg {			/* arrived before the re-attached session was judged */
	struct sp_list	link;
	uint16_t	id;
	uint32_t	corr;
	size_t		len;
	int		fds[SP_MSG_FDS], nfds;
	uint8_t		raw[];
};
struct conn {
	struct sp_hnode		 node;		/* in ctl->conns while attached */
	unsigned		 refs;
	struct ctl		*ctl;
	struct sp_uuid		 id;
	uint32_t		 pid;
	int			 pidfd;
	struct sp_chan		*chan;		/* NULL once it closed */
	struct sp_netaddr	 source;
	char			 source_text[SP_NETADDR_SIZE];
	uint16_t		 source_port;
	int			 again;		/* older than this control */
	int			 hello;		/* HELLO came */
	int			 judging;	/* re-attachment is being judged: messages are held */
	int			 dying;		/* killed or misbehaved: nothing is granted any more */
	int			 authed;
	struct sp_uuid		 user_id;
	char			 login[SP_STORE_LOGIN_MAX + 1];
	int64_t			 epoch;
	int64_t			 role;
	int			 logging_in;	/* one question at a time */
	unsigned		 failed;	/* attempts */
	unsigned		 offered;	/* keys that would not do */
	int			 coding;	/* a question about one-time codes is open */
	struct conn_first {			/* the first factor was right, and a one-time code is wanted, too */
		int		 passed;
		struct sp_uuid	 user_id;
		char		 login[SP_STORE_LOGIN_MAX + 1], method[16], fingerprint[64 + 1];
		uint8_t		 sum[32];	/* of the key or of the password's hash that was right */
	}			 first;
	/* a connection inside another one */
	int			 born_inner;	/* the monitor says so; for which asset, the token or the audit log tells */
	int			 inner;
	struct sp_uuid		 inner_asset;
	char			 inner_asset_name[SP_STORE_NAME_MAX + 1];
	struct sp_list		 targets;	/* struct target.of_conn */
	size_t			 targets_n;
	struct sp_list		 held;
	size_t			 held_n;
	/* menu.c */
	struct conn_menu	*menu;		/* a list that the session is fetching; NULL: none */
	int			 menu_busy;	/* a menu job runs */
	/* shell.c: command lines of this user */
	struct sp_list		 shells;
	unsigned		 shells_n, shells_minute;
	uint64_t		 shells_since_us;	/* of shells_minute */
};

struct conn	*conn_find(struct ctl *c, const struct sp_uuid *id);
struct conn	*conn_ref(struct conn *cn);
void		 conn_unref(struct conn *cn);		/* NULL is fine */
/* Is a connection that outlived the last control still being looked at? */
int		 conn_settling(const struct ctl *c);
int		 conn_epoch_ok(const struct ctl *c, const struct sp_uuid *user_id, int64_t epoch);
int		 conn_alive(const struct conn *cn);	/* channel open, not killed, the user's epoch not overtaken */
/* End it now, through the monitor. Nothing is granted afterwards. target NULL: all of it. */
struct target;
void		 conn_kill(struct conn *cn, struct target *t, const char *reason, const char *by);
/* A session said what it may not: audit event, then the connection ends. */
void		 conn_misbehaved(struct conn *cn, const char *what);
void		 conn_send(struct conn *cn, uint16_t id, uint32_t corr, const void *body);	/* a full or closed channel kills */
void		 conn_send_fds(struct conn *cn, uint16_t id, uint32_t corr, const void *body, int *fds, int nfds);
void		 conn_logged_in(struct conn *cn, const struct sp_store_user *u);
void		 conn_attach(struct ctl *c, struct sp_msg *m);
void		 conn_gone(struct ctl *c, const Sallyport__Gone *g);
void		 conn_hush_all(struct ctl *c);	/* close every channel: sessions ask a successor what is not answered yet */
void		 conn_release_all(struct ctl *c);
/* The user's epoch is now at least this: connections and logins below it end in this call. reason may be NULL (no kill). */
void		 conn_epoch(struct ctl *c, const struct sp_uuid *user_id, int64_t epoch, const char *reason, const char *by);
/* A stable view of a conn's ProtobufCBinaryData. */
ProtobufCBinaryData	ctl_bytes(const void *p, size_t n);
ProtobufCBinaryData	ctl_uuid_bytes(const struct sp_uuid *u);
enum sp_err		ctl_uuid_of(const ProtobufCBinaryData *b, struct sp_uuid *ret) SP_MUST_USE;
/* jansson takes what it does not change as non-const. */
json_t		*ctl_json(const json_t *j);
/* A fixed string that protobuf-c wants non-const; it is not written to. */
char		*ctl_str(const char *s);

/* ---- one connection to one target (targets.c, target.c, event.c) ---------------------------------------------- */

struct target {
	struct sp_hnode		 node;		/* in ctl->targets */
	struct sp_list		 of_conn;
	unsigned		 refs;
	struct ctl		*ctl;
	struct conn		*conn;		/* NULL when the session process is gone or never was */
	struct sp_chan		*scribe;	/* NULL before attachment and after the end */
	uint32_t		 scribe_pid;	/* 0 before attachment and once the process is gone */
	struct sp_store_session	 row;		/* what the evidence index has, or will have */
	struct sp_uuid		 account_id, grant_id, zone_id;
	char			 login[SP_STORE_LOGIN_MAX + 1];	/* at the target */
	char			 asset_address[SP_STORE_ADDR_MAX + 1];
	uint16_t		 port;
	char			 method[16];	/* "certificate", "key", "password", "typed" */
	char			 principals[SP_STORE_TEXT_MAX + 1];	/* of its certificate; "": the login */
	struct sp_uuid		 secret_id;
	struct sp_netaddr	 database;	/* never a target; port 0: none */
	struct zone_path	*path;		/* owned: jump servers on the way; NULL: directly */
	char			 local_ip[SP_NETADDR_SIZE];	/* of the dialled socket: certificates are bound to it */
	int			 trust_first, pins_n;
	int64_t			 recheck_us;	/* wall; 0: none */
	uint32_t		 protocols;
	struct sp_uuid		 limit[SP_POLICY_LIMITS];	/* grants that bound the number of sessions, which it counts for */
	size_t			 limit_n;
	uint64_t		 policy_sum;	/* what the session was told, to notice a change */
	uint64_t		 commands_sum;	/* of the command rules that it has */
	uint64_t		 policy_end_us;	/* boottime; so too */
	/* a pending asset, whose claimant proves that it is his (owner.c) */
	int			 proof;
	char			 peer[SP_NETADDR_SIZE];	/* where the dialled socket really went */
	uint16_t		 peer_port;
	struct sp_store_host_key *shown;	/* the host key of now, not pinned yet; owned, NULL: a pinned one */
	int			 dialing, up, closed, ended, killed, scribe_gone, scribe_well, scribe_seen, loading;
	int64_t			 seq_seen, seq_durable;
	uint64_t		 lost_at_us;	/* boottime: END is written for it then, unless it came; 0: no */
	char			 lost_reason[128];
};
struct target	*target_find(struct ctl *c, const struct sp_uuid *session_id);
struct target	*target_of(struct conn *cn, const ProtobufCBinaryData *session_id);	/* NULL: not this connection's */
struct target	*target_new(struct ctl *c, const struct sp_uuid *session_id);		/* NULL: no memory */
struct target	*target_ref(struct target *t);
void		 target_unref(struct target *t);
void		 target_bind(struct target *t, struct conn *cn);
void		 target_unbind(struct target *t);	/* the session process is gone */
void		 target_forget(struct target *t);	/* out of the table: it has ended and everybody left */
void		 target_index(struct target *t);	/* write the row to the evidence index */
void		 target_tick(struct ctl *c, uint64_t now_us);
void		 target_label(const struct target *t);
size_t		 target_count(const struct ctl *c, const struct sp_uuid *user_id, const struct sp_uuid *grant_id);
/* The grants of the decision that bound how many sessions there may be. */
void		 target_limits(struct target *t, const struct sp_policy_limit *limit, size_t n);
void		 target_ask(struct conn *cn, uint32_t corr, const Sallyport__TargetAsk *q);
void		 target_state(struct conn *cn, const Sallyport__TargetState *s);
void		 target_release_all(struct ctl *c);
/* Judge every live target again, because something that gives access changed. Coalesced. */
void		 target_rejudge(struct ctl *c);
void		 menu_ask(struct conn *cn, uint32_t corr, const Sallyport__MenuAsk *q);
void		 menu_drop(struct conn *cn);		/* the list that it was fetching */

void		 event_attach_scribe(struct ctl *c, struct sp_msg *m);
void		 event_scribe_gone(struct target *t, const Sallyport__Gone *g);
void		 event_write_end(struct target *t, const char *reason, const char *by);
void		 event_session_gone(struct target *t, const Sallyport__Gone *g);

/* event.c, for leftover.c: look up what is known of a target (t->loading meanwhile; leftover_loaded follows); take an event
 * that is new (leftover_durable follows). */
void		 event_load(struct target *t);
void		 event_take(struct target *t, const Sallyport__Event *m);
/* Events of recorders that ended while control was away. */
void		 leftover_peer(struct ctl *c, int fd);	/* a channel from the scribe parent; fd is taken */
void		 leftover_loaded(struct target *t, int known);
void		 leftover_durable(struct target *t);
void		 leftover_free(struct ctl *c);

void		 login_ask(struct conn *cn, uint32_t corr, const Sallyport__AuthAsk *q);
void		 login_result(struct ctl *c, const Sallyport__PasswordCheckResult *r);
void		 login_vault_ready(struct ctl *c);	/* a new vault: put the open checks again */
void		 login_tick(struct ctl *c, uint64_t now_us);
enum sp_err	 login_new(struct ctl *c) SP_MUST_USE;
void		 login_free(struct ctl *c);

enum sp_err	 failures_new(struct ctl *c) SP_MUST_USE;
void		 failures_free(struct ctl *c);
/* counts: towards a penalty of the source; not for the keys that an agent merely offers. */
void		 failures_note(struct conn *cn, const char *login, const char *method, const char *why, int counts);
/* Does this user have to wait with passwords from there, after wrong ones? */
int		 failures_wait(const struct ctl *c, const char *login, const char *source);
void		 failures_tick(struct ctl *c, uint64_t now_us);

void		 lease_ask(struct conn *cn, uint32_t corr, const Sallyport__LeaseAsk *q);
void		 agent_ask(struct conn *cn, uint32_t corr, const Sallyport__AgentAsk *q);
void		 lease_drop(struct ctl *c, const struct sp_uuid *conn_id, const struct sp_uuid *session_id);
void		 lease_retry(struct ctl *c);	/* what leases wait for may have come: the vault, START on disk */
void		 lease_tick(struct ctl *c, uint64_t now_us);
void		 hostkey_ask(struct conn *cn, uint32_t corr, const Sallyport__HostKeyAsk *q);
/* owner.c: a host key to be pinned when the proof succeeds (SP_ENOMEM); OWNER_ASK; what nobody proved is forgotten. */
enum sp_err	 owner_keep_key(struct target *t, const struct sp_store_host_key *k) SP_MUST_USE;
void		 owner_ask(struct conn *cn, uint32_t corr, const Sallyport__OwnerAsk *q);
void		 owner_tick(struct ctl *c, uint64_t now_us);
void		 channel_ask(struct conn *cn, uint32_t corr, const Sallyport__ChannelAsk *q);
void		 channel_refused(struct conn *cn, uint32_t corr, const Sallyport__ChannelRefused *q);	/* CHANNEL_REFUSED: log it */

enum sp_err	 inner_new(struct ctl *c, int state_dir) SP_MUST_USE;
void		 inner_free(struct ctl *c);
void		 inner_ask(struct conn *cn, struct sp_msg *m);
/* The identity behind a token, once. SP_ENOENT. Fills user, login, epoch, role, inner, inner_asset of the connection. */
enum sp_err	 inner_redeem(struct conn *cn, const ProtobufCBinaryData *token) SP_MUST_USE;
/* Append the private key text, or the public blob, of the asset's inner host key. Any thread. */
enum sp_err	 inner_private(const struct ctl *c, const struct sp_uuid *asset_id, struct sp_buf *ret) SP_MUST_USE;
enum sp_err	 inner_public(const struct ctl *c, const struct sp_uuid *asset_id, struct sp_buf *ret) SP_MUST_USE;
void		 inner_tick(struct ctl *c, uint64_t now_us);
int		 inner_is_pending(const struct ctl *c);	/* a connection inside another one is being born */
int		 own_is_local(const struct sp_netaddr *a);	/* an address of this machine. Any thread */
/* 1 if that is our SSH port, on any address of this machine that it listens on, or the database (port 0: there is none). */
int		 own_is_ours(const struct ctl *c, const struct sp_netaddr *a, uint32_t port, const struct sp_netaddr *database);
/* 1 if host (a name or an address) and port are this bastion itself. */
int		 inner_is_bastion(const struct sp_config *conf, const char *host, uint32_t port);

enum sp_err	 vaultlink_new(struct ctl *c) SP_MUST_USE;
void		 vaultlink_peer(struct ctl *c, int fd);
void		 vaultlink_rewrap(struct ctl *c);	/* wrap every secret in the newest data key, in the background */
void		 vaultlink_tick(struct ctl *c, uint64_t now_us);
json_t		*vaultlink_json(const struct ctl *c);

enum sp_err	 boot_new(struct ctl *c) SP_MUST_USE;		/* before the audit log is opened */
void		 boot_scan(const json_t *line, void *arg);	/* an entry of the log's tail; arg: struct ctl */
enum sp_err	 boot_start(struct ctl *c) SP_MUST_USE;	/* opens the store, replays the audit log's tail, then lost sessions */
void		 boot_tick(struct ctl *c, uint64_t now_us);
void		 boot_free(struct ctl *c);
/* What the audit log remembers of a connection that logged in before this control started. */
struct boot_login {
	struct sp_uuid	user_id;
	int64_t		epoch;
	int		inner;		/* inside another connection: may reach this asset only */
	struct sp_uuid	asset_id;
	char		asset_name[SP_STORE_NAME_MAX + 1];
};
enum sp_err	 boot_login_of(const struct ctl *c, const struct sp_uuid *conn_id, struct boot_login *ret) SP_MUST_USE;	/* SP_ENOENT */
/* Is that what the log says of the vault already? Once, for the first state after a start. */
int		 boot_vault_was(struct ctl *c, const char *kind, const char *text);
int64_t		 boot_last_seq(const struct ctl *c, const struct sp_uuid *session_id);	/* -1: not in the tail */
void		 boot_carry(struct ctl *c);	/* a new audit segment begins: repeat who is logged in */

enum sp_err	 api_new(struct ctl *c, int listen_fd) SP_MUST_USE;
void		 api_free(struct ctl *c);
void		 api_session_call(struct conn *cn, uint32_t corr, const Sallyport__CallAsk *q);
struct shell;
void		 api_shell_call(struct shell *sh, struct conn *cn, uint32_t corr, const Sallyport__CallAsk *q);	/* its connection */

/* May this connection's user append one more entry to the audit log, with so many bytes of his words? 0: refuse with
 * VOLUME_TEXT and write nothing, it is counted. */
int		 conn_may_log(struct conn *cn, enum volume_kind kind, size_t bytes);
/* The settings in force, for worker threads: a reload replaces child.conf under their feet. */
void		 ctl_conf_copy(const struct ctl *c, struct sp_config *ret);
/* Why new sessions are refused just now, or NULL. */
const char	*ctl_refusal(const struct ctl *c);

#endif
