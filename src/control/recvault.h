/* src/control/recvault.h - departments whose recordings the vault can open, too: an administrator gave up "nobody here can open
 * it" for them, so that who is permitted replays without an auditor's key. Process: control. See recvault.c. */
#ifndef SP_CONTROL_RECVAULT_H
#define SP_CONTROL_RECVAULT_H

#include "control/auditors.h"

/* The vault's key for recordings of assets of this department: its own, the nearest above, or that for all. SP_ENOENT: none. */
enum sp_err	recvault_of(struct sp_store *s, const struct sp_uuid *department, struct sp_store_secret *ret) SP_MUST_USE;
/* Add that of the asset's department to the recipients of a recording, if there is one. */
enum sp_err	recvault_add(struct sp_store *s, const struct sp_uuid *asset_id, struct auditors *to) SP_MUST_USE;

/* api_rewrap.c: the header with which that segment was recorded, as the log knows it, also after another took its place: an uploaded or
 * swapped one may be that of another recording, which the caller may not open. ret->max: SP_AGE_HEADER_MAX. */
struct api_call;
enum sp_err	recording_first_header(struct api_call *c, struct sp_store *s, const struct sp_uuid *session, int64_t segment, struct sp_buf *ret)
		    SP_MUST_USE;

#endif
