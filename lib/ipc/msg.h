/* lib/ipc/msg.h - the table of messages and the one function that admits a message before any handler sees it. */
#ifndef SP_IPC_MSG_H
#define SP_IPC_MSG_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define SP_IPC_PROTOCOL	1u
/* Questions that a session may have open at control. It keeps further ones back until one is answered; control ends a
 * session that asks many more. */
#define SP_IPC_QUESTIONS 64u
#define SP_MSG_FDS	16		/* most descriptors in one message */
#define SP_MSG_MAX	(200u * 1024)	/* most bytes of one message, header included; fits net.core.wmem_default */

enum sp_proc {
#define SP_PROC(name, bit, exe, user) SP_PROC_##name = bit,
#include "ipc/peers.def"
#undef SP_PROC
	SP_PROC_N
};
/* What the receiver knows about the peer of a channel. A message that is not allowed in it is refused. */
enum sp_chan_state {
	SP_ST_PREAUTH	= 1,	/* attached, nobody logged in */
	SP_ST_AUTHED	= 2,	/* a user is known (session), or a local caller with credentials (ctl) */
};
enum sp_msg_id {
#define SP_MSG(name, id, from, to, states, max, fds, flags, body) SP_MSG_##name = id,
#include "ipc/messages.def"
#undef SP_MSG
};
struct sp_msg_spec {
	const char	*name;
	uint16_t	 id;
	uint16_t	 from, to;	/* bit masks of enum sp_proc */
	uint16_t	 states;	/* mask of enum sp_chan_state */
	uint32_t	 max;		/* payload bytes */
	int16_t		 fds;		/* exactly; -1: any up to SP_MSG_FDS */
	uint8_t		 secret, raw;
	const ProtobufCMessageDescriptor *body;
};

const char			*sp_proc_name(enum sp_proc p);		/* "vault" */
const char			*sp_proc_exe(enum sp_proc p);
const char			*sp_proc_user(enum sp_proc p);
const struct sp_msg_spec	*sp_msg_spec(uint16_t id);	/* NULL if unknown */
/* Who sends, who receives, in which state, how big, how many descriptors. SP_EPEER, SP_ESTATE, SP_ESIZE, SP_EFORMAT (unknown id). */
enum sp_err	sp_msg_admit(uint16_t id, enum sp_proc peer, enum sp_proc self, unsigned state, size_t len, int nfds) SP_MUST_USE;

#endif
