/* lib/ipc/msg.c - messages.def expanded, and admission. Pure. */
#include "ipc/msg.h"

#include "sallyport.pb-c.h"

#define P(x)		(1u << SP_PROC_##x)
#define P_CHILDREN	(P(VAULT) | P(CONTROL) | P(GATE) | P(ZYGOTE) | P(SCRIBE) | P(DIALER) | P(COURIER) | P(SIEM))
#define ST_ANY		(SP_ST_PREAUTH | SP_ST_AUTHED)
#define ST_PREAUTH	SP_ST_PREAUTH
#define ST_AUTHED	SP_ST_AUTHED
#define FDS_ANY		(-1)
#define SECRET		1
#define RAW		2

#define IDS_MAX		0x100

static const struct sp_msg_spec specs[IDS_MAX] = {
#define SP_MSG(name, id, from, to, states, max, fds, flags, body) \
	[id] = { #name, id, from, to, states, max, fds, ((flags) & SECRET) != 0, ((flags) & RAW) != 0, \
	    &sallyport__##body##__descriptor },
#include "ipc/messages.def"
#undef SP_MSG
};

static const struct {
	const char	*name, *exe, *user;
} procs[SP_PROC_N] = {
#define SP_PROC(name, bit, exe, user) [bit] = { #name, exe, user },
#include "ipc/peers.def"
#undef SP_PROC
};

const char *
sp_proc_name(enum sp_proc p)
{
	static const char *const lower[SP_PROC_N] = { "monitor", "vault", "control", "gate", "zygote", "session", "scribe",
	    "dialer", "courier", "ctl", "shell", "siem" };

	return (unsigned)p < SP_PROC_N ? lower[p] : "unknown";
}

const char *sp_proc_exe(enum sp_proc p) { return (unsigned)p < SP_PROC_N ? procs[p].exe : ""; }
const char *sp_proc_user(enum sp_proc p) { return (unsigned)p < SP_PROC_N ? procs[p].user : ""; }

const struct sp_msg_spec *
sp_msg_spec(uint16_t id)
{
	return id < IDS_MAX && specs[id].name != NULL ? &specs[id] : NULL;
}

enum sp_err
sp_msg_admit(uint16_t id, enum sp_proc peer, enum sp_proc self, unsigned state, size_t len, int nfds)
{
	const struct sp_msg_spec *m = sp_msg_spec(id);

	if (m == NULL)
		return SP_EFORMAT;
	if ((m->from & 1u << peer) == 0 || (m->to & 1u << self) == 0)
		return SP_EPEER;
	if ((m->states & state) == 0)
		return SP_ESTATE;
	if (len > m->max || nfds > SP_MSG_FDS || (m->fds >= 0 && nfds != m->fds))
		return SP_ESIZE;
	return SP_OK;
}
