/* src/monitor/conns.h - the objects behind conns*.c, and what those files call of each other. Process: monitor. */
#ifndef SP_MONITOR_CONNS_H
#define SP_MONITOR_CONNS_H

#include "monitor/monitor.h"
#include "sallyport.pb-c.h"

#define STATUS_UNKNOWN	(-1)

struct live {			/* what a session process and a scribe process have in common */
	struct mon	*m;
	struct sp_hnode	 node;
	struct sp_uuid	 id;		/* connection or session */
	int		 is_scribe;
	pid_t		 pid;
	int		 pidfd;		/* -1: not born yet (scribe), or over */
	struct sp_source *source;
	struct sp_chan	*chan;
	struct sp_timer	*late;		/* over, the status is awaited */
	int		 over, wait_status;
	int		 known;		/* control was told of it */
	int		 killed;
	char		 reason[MON_REASON], by[MON_NAME];
};
struct conn {
	struct live	 l;
	struct sp_list	 link;		/* in mon->conn_list */
	struct sp_list	 scribes, labels, kills;
	unsigned	 n_labels, n_kills;
	char		 source_ip[64], local_ip[64];
	uint32_t	 source_port, local_port;
	uint8_t		 inner_token[64];
	size_t		 inner_token_len;
	uint64_t	 born_us;
};
#define MON_RECIPIENTS	640	/* bytes: 20 keys */

struct scribe {
	struct live	 l;
	struct sp_list	 link;		/* in conn->scribes or mon->orphans */
	struct conn	*conn;		/* NULL: its connection is gone */
	struct sp_uuid	 conn_id;
	int		 end_session, end_control;	/* kept until it is born */
	int		 told;		/* its parent said that it died: no other one needs to hear it */
	int		 finished;	/* it closed its monitor channel: the recording has its end */
	uint8_t		 recipients[MON_RECIPIENTS];	/* auditors' public keys, as control named them */
	size_t		 recipients_n;	/* bytes */
	int		 reserved;	/* of an administrator: may begin on a disk that is low */
	uint32_t	 keep;		/* what beside the recording, as control said */
	uint64_t	 keep_max;
};
struct label {
	struct sp_list	 link;
	struct sp_uuid	 session_id;
	char		 user[MON_NAME], account[MON_NAME], asset[MON_NAME], protocol[64], source_ip[64];
	int64_t		 started_wall_us;
};
struct kill {
	struct sp_list	 link;
	struct conn	*conn;
	struct sp_uuid	 session_id;	/* null: the whole connection */
	struct sp_timer	*timer;
	uint64_t	 at_us;		/* when the timer fires */
	char		 reason[MON_REASON], by[MON_NAME];
};
struct gone {
	struct sp_list	 link;
	Sallyport__Gone	 msg;
	uint64_t	 made_us;
	int		 sent;
	struct sp_uuid	 conn_id, session_id;
	char		 reason[MON_REASON], by[MON_NAME];
};

static inline struct conn *live_conn(struct live *l) { return sp_container(l, struct conn, l); }
static inline struct scribe *live_scribe(struct live *l) { return sp_container(l, struct scribe, l); }

/* ---- conns.c. make: an object that is not new to the world. NULL: no memory, or the id is taken, or too many. */
struct conn	*conn_make(struct mon *m, const struct sp_uuid *id);
struct conn	*conn_find(struct mon *m, const struct sp_uuid *id);
void		 conn_free(struct conn *c);
struct scribe	*scribe_make(struct mon *m, const struct sp_uuid *id, const struct sp_uuid *conn_id, struct conn *c);
struct scribe	*scribe_find(struct mon *m, const struct sp_uuid *id);
void		 scribe_free(struct scribe *s);
struct label	*label_make(struct conn *c, const struct sp_uuid *session_id);
struct label	*label_find(struct conn *c, const struct sp_uuid *id);
void		 label_free(struct conn *c, struct label *b);
ProtobufCBinaryData mon_id_bytes(struct sp_uuid *u);	/* borrows it */
enum sp_err	 mon_id_of(const ProtobufCBinaryData *b, struct sp_uuid *ret) SP_MUST_USE;

/* ---- conns_live.c */
enum sp_err	 live_open(struct live *l, int *fd, enum sp_proc peer) SP_MUST_USE;	/* its monitor channel; fd is taken */
/* Watch a process that its parent named; pidfd is taken on success. SP_EINVAL: it is not that of such a process. */
enum sp_err	 live_watch(struct live *l, struct mon *m, uint32_t pid, int *pidfd) SP_MUST_USE;
/* Watch a process by the pidfd that it already has; one that is over gets its time to be reaped. */
enum sp_err	 live_resume(struct live *l) SP_MUST_USE;
void		 live_status(struct live *l, int status);	/* as wait(2) gives it; the first one counts */
void		 live_tell_peer(struct live *l, enum sp_proc kind, int *fd);	/* its new channel to kind; fd is taken */
void		 live_signal_kill(struct live *l);
void		 live_release(struct live *l);
struct gone	*gone_make(struct mon *m, const struct sp_uuid *conn_id, const struct sp_uuid *session_id, const char *reason,
		    const char *by);
void		 gone_send(struct mon *m, struct gone *g);
void		 gone_prune(struct mon *m);	/* forget what control has surely read, and what is too much */
void		 gone_free(struct mon *m, struct gone *g);

/* ---- conns_kill.c */
struct kill	*kill_make(struct conn *c, const struct sp_uuid *session_id, const char *reason, const char *by, uint64_t at_us);
/* session NULL: the whole connection. */
void		 kill_begin(struct conn *c, const struct sp_uuid *session, const char *reason, const char *by);
void		 kill_free(struct kill *k);
enum sp_err	 kill_on_msg(struct mon *m, struct sp_msg *msg) SP_MUST_USE;

#endif
