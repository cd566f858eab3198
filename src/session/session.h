/* src/session/session.h - what the files of this folder share: one user's connection (struct session), the targets that it
 * reached (struct target) and its channels (struct relay). Process: session; one struct session per process.
 *
 *   user ── leg ── conn ──┬── relay ──┬── conn ── leg ── target      relay*.c: requests and bytes, both ways
 *                         ├── relay ──┘         │                    target*.c: asking, recording, dialing, login
 *                         └── relay ── socketpair (ssh -J)           forward.c: forwards, inner connections
 *
 * Invariants: (1) nothing reaches a target before control allowed that channel and the scribe opened the recording.
 * (2) Bytes go to the scribe before they go to the other side. (3) What a slow reader leaves is bounded by the window
 * that its sender was given. (4) Freeing happens from the loop (session_sweep), never under a caller's feet. */
#ifndef SP_SESSION_SESSION_H
#define SP_SESSION_SESSION_H

#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/str.h"
#include "common/config.h"
#include "ipc/chan.h"
#include "ipc/recdata.h"
#include "sallyport.pb-c.h"
#include "session/agent.h"
#include "session/ask.h"
#include "session/code.h"
#include "session/conn.h"
#include "session/files.h"
#include "session/hold.h"
#include "session/leg.h"
#include "session/lineedit.h"
#include "session/shell.h"
#include "session/limits.h"
#include "wire/target.h"

#define SESSION_RELAYS		64		/* channels of one user at a time */
#define SESSION_TARGETS		16
#define SESSION_TEXT		512		/* one line for the user */
#define SESSION_COMMAND_MAX	((size_t)120 * 1024)
#define SESSION_QUEUE_MAX	((size_t)256 * 1024)	/* requests of one channel that wait for its target */
#define SESSION_EXIT_FAIL	255

struct session;
struct target;
struct relay;
struct sp_menu;

/* ---- session.c: life, channels to control, vault and monitor */

struct session_birth {			/* from the zygote; descriptors and texts are given */
	const struct sp_config	*conf;
	struct sp_leg_keys	*keys;
	const char		*banner, *consent;	/* "" when none */
	struct sp_uuid		 conn_id;
	int			 inner;		/* a connection inside another one: wait for WELCOME */
	int			 fd, monitor, control, vault, login_pipe;
	char			 source[64];	/* for logs */
};
/* Runs one connection to its end; the exit status. */
int		 session_main(const struct session_birth *b);

/* A question to control or vault. The answer comes once, m NULL when there was none in time or the peer lost it. Return
 * nonzero to keep waiting for another answer under the same number. */
typedef int	 ask_fn(struct session *s, struct sp_msg *m, void *arg);
struct ask;
/* fd is taken (-1: none). On failure fn is called from the loop as if there had been no answer. */
void		 session_ask(struct session *s, enum sp_proc whom, uint16_t id, const void *body, int fd, uint64_t wait_us,
		    ask_fn *fn, void *arg);
void		 session_forget(struct session *s, void *arg);	/* no answer for arg is wanted any more */
void		 session_tell(struct session *s, uint16_t id, const void *body);	/* notice to control */

struct login {
	int		 authed;
	char		 user[SP_TARGET_PART_MAX + 1];	/* as control knows it */
	struct sp_uuid	 user_id;
	uint64_t	 epoch;
	unsigned	 failures;
	struct sp_target text;				/* of the login name */
	int		 named;				/* text is set */
	struct sp_buf	 password;			/* or code, while the vault is asked */
	int		 wants_code;			/* 1: a one-time code is wanted, too; -1: not, as control said */
	int		 code_open;			/* the question that is open is for it */
	int		 code_told;			/* the line before the first question was shown */
	enum sp_leg_method tried;			/* inner: waits for what control says */
	char		 typed_for[400];			/* "LOGIN@ASSET": its password is asked for, too; "": no */
	struct sp_buf	 typed;				/* that password, until that target is logged in to */
	int		 typed_open, typed_told;	/* the question that is open is for it; the line before it was shown */
	char		 notice[4096];			/* to show once */
};
struct session {
	struct session_birth	 birth;
	const struct sp_config	*conf;
	struct sp_loop		*loop;
	struct sp_chan		*monitor, *control, *vault;
	struct sp_leg		*leg;
	struct sp_conn		*conn;
	int			 leg_gone;		/* the user is no longer there */
	int			 ending;		/* nothing new starts */
	int			 done;			/* the loop stops */
	struct sp_timer		*grace, *alive, *bye, *linger, *sweep;
	int			 unheard;		/* keep-alives without an answer */
	int			 no_more;		/* the client wants no more session channels */
	unsigned		 late_n;		/* it opened some all the same, and control was not told of them yet */
	int			 late_asked;
	struct login		 login;
	/* a connection inside another one */
	int			 welcomed, inner;
	char			 inner_asset[SP_TARGET_PART_MAX + 1], inner_account[SP_TARGET_PART_MAX + 1];
	char			 why[SESSION_TEXT];	/* for the disconnect message */
	struct sp_list		 asks, targets, relays, globals, links;
	unsigned		 n_relays, n_targets, n_shells;
};
void		 session_end(struct session *s, const char *why);	/* close everything, politely */
void		 session_sweep_soon(struct session *s);

/* ---- login.c */
extern const struct sp_leg_ops login_leg_ops;
void		 login_welcome(struct session *s, const Sallyport__Welcome *w);

/* ---- target.c, target_rec.c, target_login.c */
struct sp_commands;
enum target_state { TG_ASKING, TG_PREPARING, TG_KEX, TG_LOGIN, TG_UP, TG_ENDED };
struct target {
	struct sp_list		 link;
	struct session		*s;
	enum target_state	 state;
	int			 lasting;	/* named by the login: lives as long as the connection */
	struct sp_target	 want;
	char			 form[16], protocol[32], reason[256];	/* of TargetAsk */
	unsigned		 reason_asked;	/* questions to the person */
	struct sp_uuid		 id;
	char			 asset[256], account[256], login[256];
	Sallyport__TargetReply	*reply;
	Sallyport__Policy	*policy;
	struct sp_commands	*commands;	/* rules over commands (commands.h); NULL: they are not judged */
	/* recording */
	struct sp_chan		*scribe;
	struct sp_source	*scribe_room;	/* armed while the scribe takes no more */
	int			 scribe_fd;	/* duplicate for scribe_room */
	uint64_t		 told;		/* messages that the scribe was sent */
	struct sp_ring		*ring;		/* bulk goes through it (lib/ipc/ring.h); NULL: the scribe gave none */
	struct sp_timer		*ring_quiet;
	int			 ring_used;	/* since that timer was set */
	int			 rec_asked, recording, rec_ended;
	/* connection */
	struct jump		*jump;		/* jump servers on the way (jump.h); NULL: none */
	int			 dial_fd, dialed;
	struct sp_leg		*leg;
	struct sp_conn		*conn;
	int			 host_ok, kexed;
	size_t			 method;
	int			 leased, unleased, lease_again;
	struct sp_buf		 lease, key, sign;	/* sign: the request that waits for a signature */
	uint32_t		 numbers;	/* channels numbered so far */
	unsigned		 n_relays;
	struct relay		*asking;	/* the channel on which a password is typed */
	struct sp_buf		 typed;
	uint64_t		 up_us, busy_us;
	uint64_t		 warned_us[LIMITS_N];	/* of which end the user was told */
	struct sp_timer		*deadline, *clock;
	int			 unheard;
	struct sp_list		 awaited;	/* global requests without an answer, in order */
	struct sp_list		 forwards;	/* remote forwards: asked for or in force */
	int			 x11;		/* asked for by a channel, and allowed: the target may open such channels */
	enum agent_kind		 agent;		/* the same, and whose */
	int			 proven;
	struct proof		*proof;		/* of ownership, under way (proof.c); NULL */
	char			 failed[SESSION_TEXT];
};
/* The target for these words: a live one on this connection, or a new one. relay waits on it: relay_target_up() or
 * relay_target_failed() follow. protocol: see TargetAsk. */
struct target	*target_get(struct session *s, const struct sp_target *want, const char *form, const char *protocol,
		    int lasting, const char *reason);
void		 target_free(struct target *t);
void		 target_on_scribe(struct session *s, const uint8_t *id, size_t n, int fd);	/* SCRIBE_LINK; fd is given */
int		 target_on_control(struct session *s, struct sp_msg *m);	/* DIAL_REPLY, POLICY, NOTIFY */
void		 target_end(struct target *t, const char *reason, const char *by, const char *shown);
/* Ask control for it, again when the answer was that something is missing. */
void		 target_ask(struct target *t);
void		 target_give_up(struct target *t, const char *text);	/* before it was there: the line for who waits */
/* reason.c: ask a person on a terminal that waits for this target; what: "reason", "ticket". 0: nobody can be asked. */
int		 reason_ask(struct target *t, const char *what);
void		 target_kill(struct target *t, const char *by, const char *reason);
void		 target_relay_gone(struct target *t);
void		 target_typed(struct target *t, struct relay *r, const uint8_t *p, size_t n);
struct target	*target_find(struct session *s, const uint8_t *id, size_t n);
const char	*target_name(const struct target *t);	/* its asset, for a line to the user */
int		 target_allows(const struct target *t, const char *protocol);
int		 target_proves(const struct target *t);	/* a pending asset: proof.c alone opens a channel there */
/* May a variable of that name reach a target? By the policy of the only one that is live, else by the configuration that was
 * in force when this connection began: which target is meant is known later. */
int		 target_env_allowed(const struct session *s, const char *name);
/* Bytes to the scribe: how many it took. bulk: of a channel without a terminal. */
size_t		 target_record(struct target *t, uint32_t channel, enum sp_rec_stream stream, const uint8_t *p, size_t n, int bulk);
void		 target_scribe(struct target *t, uint16_t id, const void *body);

/* ---- proof.c */
void		 proof_start(struct target *t);	/* it is up */
void		 proof_free(struct target *t);

/* ---- relay.c, relay_flow.c, relay_near.c */
enum relay_kind { RELAY_SESSION, RELAY_LOCAL, RELAY_REMOTE, RELAY_INNER };
enum relay_state { RL_NEW, RL_MENU, RL_WAIT, RL_ASK, RL_OPENING, RL_RUN, RL_DONE };
struct flow {				/* bytes on their way in one direction */
	uint8_t		*p;
	size_t		 off, len, cap;	/* bytes at p[off..len) wait */
	size_t		 recorded;	/* of them, how many the scribe has */
	size_t		 paid;		/* of them, how many their sender may have sent again already */
	uint64_t	 bytes;
};
struct relay {
	struct sp_list		 link;
	struct session		*s;
	struct target		*target;
	enum relay_kind		 kind;
	enum relay_state	 state;
	struct sp_channel	*near, *far;	/* user's side, target's side */
	uint32_t		 number;	/* of control's question, and in the recording; 0: not yet */
	int			 recorded;	/* the recorder knows the channel */
	char			 type[32];	/* of CHANNEL_ASK */
	struct sp_buf		 detail;
	/* session channels */
	int			 pty;
	uint32_t		 cols, rows;
	char			 term[64];
	struct sp_target	 want;
	int			 wanted;	/* want is set, by SALLYPORT_TARGET */
	char			 reason[256];	/* SALLYPORT_REASON, or as typed; "": none yet */
	struct sp_list		 queue;		/* struct request: to be sent once the target channel is open */
	struct sp_list		 held;		/* menu: the same, for every target that will be chosen */
	size_t			 queued;	/* bytes in it */
	uint8_t			 slot[64];	/* replies owed to the user, in order */
	unsigned		 slot_head, slot_n;
	uint8_t			 due[64];	/* slots, in the order in which the target will answer; 0xff: nobody waits */
	unsigned		 due_head, due_n;
	int			 start_slot;	/* -1: none */
	int			 started, allowed, asked;
	/* bytes */
	struct flow		 flow[SP_REC_STREAMS];
	int			 near_eof, near_closed, far_eof, far_closed, exit_told;
	int			 have_exit;
	struct sp_buf		 exit;		/* data of exit-status or exit-signal */
	int			 exit_signal;
	int32_t			 exit_code;
	char			 exit_name[32];
	/* a forward */
	struct sp_buf		 open_extra;	/* of the CHANNEL_OPEN that the other side gets */
	struct sp_buf		 origin;	/* local forward: originator, as it came */
	char			 to[256];	/* the same: the address that control checked, or a name that only the target knows */
	int			 greeted;	/* how much of "SSH-" the far side has said; -1: something else */
	/* inner */
	int			 fd;
	struct sp_source	*source;
	/* menu */
	struct sp_menu		*menu;
	uint32_t		 menu_ask;	/* the menu's number of the open question */
	struct sp_buf		 menu_out;	/* for the terminal */
	int			 no_color;	/* NO_COLOR came with the environment */
	struct sp_target	 chosen;
	char			 command[SP_LINE_SIZE];	/* ":command" that was typed there; "": none */
	/* agents */
	int			 agent_asked, agent_refused;	/* ssh -A; and it is not allowed: to be told */
	struct agent		*agent;		/* of an agent channel */
	/* a question on the terminal (ask.h); NULL: none */
	struct sp_ask		*question;
	struct sp_code		*code;		/* a one-time code is asked for; NULL: none */
	struct hold		 hold;		/* Enter on its way to the target */
	struct files		*files;		/* the stream is decoded (files.h); NULL: it is not */
	/* a command for Sallyport itself (shell.h); NULL: none */
	struct shell		*shell;
};
struct relay	*relay_new(struct session *s, enum relay_kind kind, struct sp_channel *near);
void		 relay_open(struct session *s, struct sp_channel *ch);	/* a session channel */
void		 relay_target_up(struct relay *r);			/* host key is right: ask for the channel */
void		 relay_fail(struct relay *r, const char *text);		/* one line, exit status 255, close */
void		 relay_conclude(struct relay *r, const char *text);	/* the same with exit status 0 */
void		 relay_go_on(struct relay *r);
void		 relay_run(struct relay *r);			/* both sides are open */
void		 relay_resolve(struct relay *r, const struct sp_target *want, const char *form, const char *protocol,
		    int lasting);
void		 relay_show(struct relay *r, const char *line);		/* a line for the person */
void		 relay_finish(struct relay *r);				/* close both sides now */
void		 relay_pump(struct relay *r);				/* move what waits */
void		 relay_free(struct relay *r);
void		 relay_bytes(struct relay *r, enum sp_rec_stream dir, struct sp_view v);	/* from either side */
void		 relay_settle(struct relay *r);
void		 relay_discard_typed(struct relay *r);	/* keys that wait for a target are nobody's any more */
void		 relay_bind(struct relay *r, struct target *t);
extern const struct sp_channel_ops relay_near_ops, relay_far_ops;

/* ---- forward.c */
void		 forward_open(struct session *s, struct sp_channel *ch, struct sp_view extra);	/* direct-tcpip */
void		 forward_global(struct session *s, const char *name, int want_reply, struct sp_view data);
void		 forward_global_reply(struct target *t, int ok, struct sp_view data);
void		 forward_keepalive(struct target *t);
void		 forward_from_target(struct target *t, struct sp_channel *ch, const char *type, struct sp_view extra);
void		 forward_target_up(struct target *t);
void		 forward_target_gone(struct target *t);	/* refuses what waits */
void		 forward_target_free(struct target *t);
int		 forward_active(const struct target *t);
/* Control allowed the channel of a forward and the target is up: open the other side. */
void		 forward_connect(struct relay *r);
void		 forward_inner_pump(struct relay *r);
/* Where a channel or forward without words of its own belongs: the login's target, the outer connection's asset, or the
 * only live target. NULL: none. */
struct target	*forward_target(struct session *s);

/* ---- relay_request.c */
/* The start of a session channel, kept for the target; slot: of the user's request, -1 none. */
void		 relay_start(struct relay *r, const char *type, const void *detail, size_t n, int slot);

void		 relay_answer(struct relay *r, int slot, int ok);
/* A channel with a menu: hold keeps pty-req and env for every target that is chosen, start queues them and a shell. */
void		 relay_menu_hold(struct relay *r);
void		 relay_menu_early(struct relay *r);	/* keys that came before the menu */
void		 relay_menu_start(struct relay *r);
void		 relay_menu_unbind(struct relay *r);

/* ---- front.c: shell, exec, subsystem: which target is meant; the menu */
void		 front_start(struct relay *r, const char *name, struct sp_view data, int slot);
void		 front_menu_input(struct relay *r, struct sp_view v);
void		 front_menu_pump(struct relay *r);
void		 front_menu_resize(struct relay *r);
void		 front_menu_message(struct relay *r, const char *line);
void		 front_menu_again(struct relay *r, const char *message);
void		 front_menu_said(struct relay *r);	/* the command of a menu has ended */
void		 front_menu_ahead(struct relay *r, struct sp_view v);	/* keys while it runs: for the next one */
void		 front_menu_discard(struct relay *r);	/* they are nobody's any more */
void		 front_menu_choices(struct relay *r, const Sallyport__TargetReply *m);
void		 front_release(struct relay *r);
void		 front_login_target(const struct session *s, struct sp_target *ret);

#endif
