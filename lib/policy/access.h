/* lib/policy/access.h - may this user open this on that asset, and why (not)? A pure function over the grant rows that
 * the caller fetched: no I/O, no clock, no allocation. Process: control.
 *
 * Rules:
 * (1) Deny by default: without a matching allow grant nothing is permitted. A value that cannot be read (a network, an
 *     hour) makes an allow grant not match and a deny grant match.
 * (2) A grant matches when it is in force now (validity window, weekly hours), names the account, and has the source.
 * (3) Any matching deny wins, for the protocols that it names, whatever the allows say.
 * (4) Permissions of several matching allow grants unite (protocols, agent kinds, file directions, forward
 *     destinations, paths of files); limits take the strictest (idle, session time, concurrent sessions, second factor, reason, record
 *     mode): one more grant never loosens what another one demands.
 * (5) An allow of exec also allows scp, one of scp also the sftp subsystem, which today's scp clients use; a deny takes away
 *     only what it names, and that wins: "allow scp, deny sftp" leaves `scp -O` alone.
 * (6) Agent, file direction and destinations count only for a grant whose protocols (after denies) carry them. */
#ifndef SP_POLICY_ACCESS_H
#define SP_POLICY_ACCESS_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/netaddr.h"
#include "base/str.h"
#include "policy/path.h"

/* Protocol bits; the values are stored (lib/store has the same). */
enum {
	SP_POLICY_SHELL		= 1 << 0,
	SP_POLICY_EXEC		= 1 << 1,
	SP_POLICY_SFTP		= 1 << 2,
	SP_POLICY_SCP		= 1 << 3,
	SP_POLICY_FWD_LOCAL	= 1 << 4,
	SP_POLICY_FWD_REMOTE	= 1 << 5,
	SP_POLICY_FWD_DYNAMIC	= 1 << 6,
	SP_POLICY_AGENT		= 1 << 7,
	SP_POLICY_X11		= 1 << 8,
	SP_POLICY_ALL		= (1 << 9) - 1
};
#define SP_POLICY_PROTOCOLS_SIZE 128
/* "shell,exec" <-> bits, "all" and "-" (none) included. Unknown words: SP_EINVAL. Returns dst. */
char		*sp_policy_protocols_text(uint32_t bits, char dst[SP_POLICY_PROTOCOLS_SIZE]);
enum sp_err	 sp_policy_protocols_parse(const char *text, uint32_t *ret) SP_MUST_USE;

/* What is asked before a session opens; the values are stored. A ticket is stricter than a text. */
enum sp_policy_reason_kind { SP_POLICY_REASON_NONE, SP_POLICY_REASON_TEXT, SP_POLICY_REASON_TICKET };
enum { SP_POLICY_AGENT_PLATFORM = 1, SP_POLICY_AGENT_USER = 2 };
enum { SP_POLICY_FILE_UP = 1, SP_POLICY_FILE_DOWN = 2, SP_POLICY_FILE_BOTH = 3 };	/* of file_direction: to the target, from it */

enum sp_policy_state { SP_POLICY_ACTIVE = 1, SP_POLICY_DISABLED, SP_POLICY_EXPIRED };
#define SP_POLICY_MFA_NEVER	(-1)

/* One grant that concerns this user and this asset. Strings are borrowed and may be NULL for "". */
struct sp_policy_grant {
	struct sp_uuid	 id;
	const char	*name;			/* for reasons */
	int		 deny;
	const char	*accounts;		/* "*" or names separated by ',' */
	uint32_t	 protocols;
	int64_t		 valid_from_us, valid_until_us;	/* wall; 0: open. In force from <= now < until */
	const char	*hours;			/* "": always; see sp_policy_hours_check */
	const char	*sources;		/* CIDR separated by ','; "": anywhere */
	int64_t		 mfa_interval_s;	/* SP_POLICY_MFA_NEVER, 0: every login, else seconds */
	int64_t		 idle_s, max_session_s;	/* 0: no limit */
	int64_t		 concurrent_max;	/* 0: no limit */
	int		 reason_required;	/* enum sp_policy_reason_kind */
	const char	*reason_pattern;	/* of tickets; "": the usual one (control/reason.h) */
	uint32_t	 agent_kinds, file_direction;	/* SP_POLICY_AGENT_*, as lib/store */
	const char	*forwards;		/* see forward.h */
	int		 best_effort;		/* recording: go on with an alarm if it fails */
	const char	*file_paths;		/* see path.h; "": any path */
	uint32_t	 keep;			/* beside the recording; contents of files by SP_POLICY_FILE_*, other bits are the recorder's */
	int64_t		 keep_max_mb;		/* of one file; 0: no limit */
};

struct sp_policy_input {
	int64_t			 now_us;		/* wall */
	int			 tz_offset_s;		/* seconds east of UTC, for weekly hours, now */
	int64_t			 tz_next_us;		/* wall; from then on tz_next_offset_s counts; 0: it stays as it is */
	int			 tz_next_offset_s;
	int			 user_state;		/* enum sp_policy_state */
	int64_t			 user_from_us, user_until_us;	/* 0: open */
	int64_t			 user_epoch;		/* as stored now */
	int64_t			 login_epoch;		/* at the login that asks; differs: refused */
	int			 asset_state;
	struct sp_netaddr	 source;		/* family 0: unknown, matches no network */
	const char		*account;		/* name of the account on the asset */
	uint32_t		 wanted;		/* protocol bits, all of which are needed; 0: anything at all */
	const struct sp_policy_grant *grant;
	size_t			 n;
};

/* Why, in the order of the grants. The codes are stable; sp_policy_reason_text makes the sentence. */
enum sp_policy_why {
	SP_POLICY_W_ALLOWS = 1,		/* this grant allows */
	SP_POLICY_W_DENIES,		/* this grant denies */
	SP_POLICY_W_NOT_YET,		/* would apply from at_us on */
	SP_POLICY_W_OVER,		/* applied until at_us */
	SP_POLICY_W_HOURS,
	SP_POLICY_W_SOURCE,
	SP_POLICY_W_ACCOUNT,
	SP_POLICY_W_PROTOCOL,		/* lacks the bits in `protocols` */
	SP_POLICY_W_BAD,		/* cannot be read, so it counts against the user */
	/* without a grant */
	SP_POLICY_W_USER_DISABLED, SP_POLICY_W_USER_EXPIRED, SP_POLICY_W_USER_NOT_YET, SP_POLICY_W_EPOCH,
	SP_POLICY_W_ASSET_DISABLED, SP_POLICY_W_NO_GRANT, SP_POLICY_W_BAD_INPUT
};
struct sp_policy_reason {
	enum sp_policy_why	why;
	int			grant;		/* index; -1: none */
	uint32_t		protocols;
	int64_t			at_us;
};

#define SP_POLICY_FORWARDS_SIZE	8192
#define SP_POLICY_LIMITS	4		/* grants with a limit of sessions that are counted, strictest first when more */
#define SP_POLICY_PATTERNS_SIZE	1024
struct sp_policy_limit {
	int		 grant;			/* index */
	struct sp_uuid	 id;			/* of that grant */
	int64_t		 max;			/* sessions of this user that rest on it */
};
struct sp_policy_decision {
	int		 allowed;
	int		 grant;			/* index of the grant that decides: first denying, or first allowing; -1: none */
	uint32_t	 protocols;		/* everything open now, after denies; 0 when refused before any grant counts */
	int64_t		 until_us;		/* allowed without a gap until then, as the rows are now; 0: no end in sight */
	int		 until_hours;		/* it is the weekly hours that end it then */
	int64_t		 recheck_us;		/* the next moment at which anything in this answer may change; 0: none */
	int64_t		 mfa_interval_s, idle_s, max_session_s, concurrent_max;
	struct sp_policy_limit limit[SP_POLICY_LIMITS];	/* every one of them must have room */
	size_t		 limit_n;
	int		 reason_required;	/* enum sp_policy_reason_kind: the strictest */
	char		 reason_patterns[SP_POLICY_PATTERNS_SIZE];	/* separated by '\n'; a ticket must fit each; "": the usual one */
	int		 reason_cut;		/* the patterns did not fit: no ticket does */
	uint32_t	 agent_kinds, file_direction;
	int		 best_effort;		/* only if every allowing grant says so */
	int		 forwards_cut;		/* the union did not fit; the rest is not permitted */
	char		 forwards[SP_POLICY_FORWARDS_SIZE];	/* union, ',' separated; for sp_policy_forward_allowed */
	uint32_t	 keep;			/* what any of them wants kept, and the largest limit of those */
	int64_t		 keep_max_mb;
	int		 paths_ruled;		/* files only where file_paths says; else anywhere, and that is "" */
	char		 file_paths[SP_POLICY_PATHS_SIZE];	/* blocks of path.h; what does not fit is not permitted */
};

/*
 * Judge.
 *   reason, cap  may be NULL, 0; at most cap reasons are written, most telling first within each grant
 *   ret_n        reasons written; may be NULL
 * `ret` is always written. Never fails: what cannot be judged is refused.
 */
void		 sp_policy_access(const struct sp_policy_input *in, struct sp_policy_decision *ret,
		    struct sp_policy_reason *reason, size_t cap, size_t *ret_n);
/* One sentence without a full stop: 'grant "night shift": not valid before 2026-09-01T00:00:00Z'. Names are escaped. */
enum sp_err	 sp_policy_reason_text(const struct sp_policy_input *in, const struct sp_policy_reason *r, struct sp_buf *dst) SP_MUST_USE;

/* To be called when rows are saved, so that what cannot be judged is never stored. SP_EINVAL. "" is fine. */
enum sp_err	 sp_policy_accounts_check(const char *text) SP_MUST_USE;
enum sp_err	 sp_policy_sources_check(const char *text) SP_MUST_USE;
/* "mon-fri 08:00-18:00,sat 09:00-12:00": days sun..sat or "daily", one or a range (which may wrap), then a range of
 * the clock that ends after it begins (24:00 is the end of the day). Local time of the installation: when clocks go
 * forward, a span loses the hour that does not exist; when they go back, the hour that comes twice counts twice. */
enum sp_err	 sp_policy_hours_check(const char *text) SP_MUST_USE;

#endif
