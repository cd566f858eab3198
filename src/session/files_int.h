/* src/session/files_int.h - what files.c and files_path.c share. Process: session. */
#ifndef SP_SESSION_FILES_INT_H
#define SP_SESSION_FILES_INT_H

#include "policy/access.h"
#include "session/files.h"
#include "wire/rcp.h"
#include "wire/sftp.h"

#define FILES_PATH_MAX	4096
#define FILES_NAMES_MAX	64		/* folders in a path that is looked at */
#define FILES_WHY	320

/* One path of a request, as the target resolves it. */
struct files_found {
	struct sp_buf	 path;		/* absolute, without links but perhaps the last name */
	int		 is_link, is_dir;	/* its last name */
};
struct files_look {
	enum { LOOK_NOTHING, LOOK_REALPATH, LOOK_WALK } step;
	struct sp_buf	 held;		/* the request, as it came */
	struct sp_buf	 out;		/* own requests that wait for a place between two of the user's */
	enum sp_sftp_op	 op;
	uint32_t	 id, pflags;
	struct sp_buf	 asked[2];	/* its paths, as they came */
	struct files_found found[2];
	int		 which, again;	/* the path in work; it is asked for by its folder, because it may not exist */
	struct sp_buf	 name;		/* what stands behind the folder that is asked for; "": nothing */
	uint32_t	 first, n, left;	/* numbers of own requests: n from the first, so many unanswered */
	uint32_t	 missing;	/* the first of them that does not exist; n: none */
	int		 inner_link;	/* or what may be one */
	char		 why[FILES_WHY];
};

enum files_kind { FILES_SFTP, FILES_RCP, FILES_RSYNC };
struct files {
	enum files_kind	 kind;
	uint32_t	 direction;	/* RCP, RSYNC: of this transfer */
	struct sp_sftp	*sftp;
	struct sp_rcp	 rcp;
	struct sp_buf	 waiting;	/* SFTP: of the user, while too many requests are open; not judged yet */
	size_t		 waited;	/* bytes at its front that are done with */
	struct sp_buf	 answers;	/* SFTP: our own */
	struct files_look look;		/* SFTP, under rules for paths */
};

/* files.c */
uint32_t	 files_needs(enum sp_sftp_op op, uint32_t pflags);	/* directions that a request needs */
const char	*files_request_name(enum sp_sftp_op op, uint32_t pflags);	/* in the log: an open is told as what it was to become */
/* Answer a request in the place of the target, and tell the recorder. */
void		 files_refuse(struct relay *r, uint32_t id, const char *name, struct sp_view path, struct sp_view to, uint32_t code,
		    const char *why);

/* files_path.c */
void		 files_look_init(struct files_look *l);
void		 files_look_release(struct files_look *l);
int		 files_ruled(const struct relay *r);		/* the grant has rules for paths */
/* Does this request name a path that has to be looked at first? */
int		 files_look_wanted(const struct sp_sftp_request *q);
/* Hold this request, which the decoder gave last, and ask the target where its paths lead. Until then no other is judged. */
void		 files_look_begin(struct relay *r, const struct sp_sftp_item *it);
void		 files_look_answer(struct relay *r, const struct sp_sftp_item *it);	/* to an own request */
void		 files_look_pump(struct relay *r);
int		 files_looking(const struct files *f);
/* What rules say about a file that is open. NULL: it may be, else why not. */
const char	*files_open_ruled(const struct relay *r, const struct sp_sftp_handle *h, uint32_t need, char why[FILES_WHY]);

#endif
