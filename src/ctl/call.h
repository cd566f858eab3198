/* src/ctl/call.h - one question to control (or the monitor), with all parts of its answer.
 * Invariants: what is received is bounded (CTL_ANSWER_MAX); an answer has a text for people whenever err is not SP_OK. */
#ifndef SP_CTL_CALL_H
#define SP_CTL_CALL_H

#include "ctl/cmd.h"

#define CTL_ANSWER_MAX	((size_t)512 << 20)	/* bytes of all parts */

struct ctl_answer {
	enum sp_err	 err;
	int		 mfa;		/* refused, but a one-time code and the same question again would do */
	int		 reached;	/* somebody answered: err and text are theirs */
	char		 text[1024];	/* plain or not: escape before showing */
	json_t		*body;		/* owned; NULL if there was none */
	int		 fd;		/* owned; -1 */
};
void		ctl_answer_release(struct ctl_answer *a);
#define ctl_auto_answer sp_auto(ctl_answer_release) struct ctl_answer

/* Ask peer (SP_PROC_CONTROL or SP_PROC_MONITOR). params borrowed, NULL: {}. Fills *ret in any case and returns ret->err. */
enum sp_err	ctl_ask(struct ctl *c, enum sp_proc peer, const char *method, const json_t *params, int timeout_ms,
		    struct ctl_answer *ret);
/* The same to control, with the error shown to the caller of the command. *ret_body is given, never NULL on SP_OK. */
enum sp_err	ctl_call(struct ctl *c, const char *method, const json_t *params, json_t **ret_body) SP_MUST_USE;
/* Several questions on one connection, for what control keeps as long as the connection is there. */
struct ctl_line;
enum sp_err	ctl_line_open(struct ctl *c, struct ctl_line **ret) SP_MUST_USE;	/* shows its errors */
enum sp_err	ctl_line_call(struct ctl *c, struct ctl_line *l, const char *method, const json_t *params, int timeout_ms,
		    json_t **ret_body) SP_MUST_USE;
void		ctl_line_free(struct ctl_line *l);
static inline void ctl_line_freep(struct ctl_line **l) { ctl_line_free(*l); *l = NULL; }
/* Show the error of an answer as "what went wrong: what to do"; returns its err. */
enum sp_err	ctl_answer_fail(struct ctl *c, const struct ctl_answer *a);

/* The channel of a struct ctl_place, on this descriptor (taken). */
enum sp_err	ctl_place_chan(int fd, struct sp_chan **ret) SP_MUST_USE;

#endif
