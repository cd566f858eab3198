/* src/control/volume.h - how much the connections of one user may append to the audit log. See volume.c. */
#ifndef SP_CONTROL_VOLUME_H
#define SP_CONTROL_VOLUME_H

#include "base/htab.h"
#include "base/str.h"

#define VOLUME_SAY_US	(10 * SP_US_PER_S)	/* between two lines about what was not written */
#define VOLUME_UNIT	4096u			/* bytes of text that cost as much as another entry */
#define VOLUME_TEXT	"You ask for more than the audit log takes of one user; wait a moment and try again."

enum volume_kind { VOLUME_CHANNEL, VOLUME_TARGET, VOLUME_INNER, VOLUME_AGENT, VOLUME_KINDS };

/* Pure: no I/O, no clock; the caller owns the table and the time (CLOCK_BOOTTIME). */
struct volume {
	struct sp_htab	users;		/* struct volume_user, in volume.c */
	double		per_s, burst;	/* entries */
	uint64_t	sweep_us;	/* boottime of the next look at all of them */
};
enum sp_err	 volume_init(struct volume *v, double per_s, double burst) SP_MUST_USE;
void		 volume_release(struct volume *v);
void		 volume_set(struct volume *v, double per_s, double burst);	/* in force from the next question */
/* May this user append one more entry with so many bytes of his own words? 0: no; it is counted as one of that kind. */
int		 volume_take(struct volume *v, const struct sp_uuid *user, const char *login, enum volume_kind kind, size_t bytes,
		    uint64_t now_us);
const char	*volume_kind_name(enum volume_kind kind);	/* the kind of the entries that are not there */
/* n entries of that kind were not written: say so, in one. */
typedef void	 volume_fn(const struct sp_uuid *user, const char *login, enum volume_kind kind, uint64_t n, void *arg);
/* What is due to be said; UINT64_MAX: all of it. Forgets users whose bucket is full again. */
void		 volume_tick(struct volume *v, uint64_t now_us, volume_fn *fn, void *arg);

#endif
