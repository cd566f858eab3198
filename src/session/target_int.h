/* src/session/target_int.h - what the target*.c files call of each other; struct target is in session.h. Process: session. */
#ifndef SP_SESSION_TARGET_INT_H
#define SP_SESSION_TARGET_INT_H

#include "session/session.h"

/* ---- target.c */
ProtobufCBinaryData target_id(struct target *t);
/* It never came to be: text is for the user and the record, detail (NULL, "": as text) for control. */
void		 target_fail(struct target *t, const char *text, const char *detail);
/* Something that was awaited is there: take the next steps that this allows. */
void		 target_go_on(struct target *t);

/* ---- target_rec.c: its recording */
void		 target_take_early(struct target *t);	/* a scribe that came before control's answer */
void		 target_ring_close(struct target *t);
void		 target_rec_end(struct target *t, const char *reason, const char *by);

/* ---- target_leg.c: SSH to it, and its host key */
/* Start on the socket that was dialed, which is taken. */
enum sp_err	 target_leg_open(struct target *t) SP_MUST_USE;

/* ---- target_login.c: credentials */
void		 target_ask_lease(struct target *t);
/* Log in with what was leased, or was typed: called once per method, when host key, recording and lease are there. */
void		 target_login(struct target *t);
void		 target_next_method(struct target *t);
void		 target_on_sign(void *arg, struct sp_view blob);	/* of sp_leg_ops */

#endif
