/* src/ctl/cmd.h - what a command is: one const struct from which the parser, the help, the completion, the manual page
 * and the output come. One file per noun fills a table; main.c lists the tables.
 * Process: the command line, started by a person or a script; it decides nothing, control does. */
#ifndef SP_CTL_CMD_H
#define SP_CTL_CMD_H

#include <jansson.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/err.h"
#include "ctl/table.h"
#include "ipc/chan.h"

enum ctl_type {
	CTL_STR,	/* a JSON string */
	CTL_INT,	/* a JSON integer, 0 or more */
	CTL_FLAG,	/* no value: true */
	CTL_LIST,	/* array of strings: repeated, or separated by commas */
	CTL_RAW,	/* array of the words that are left, each as it is (positional, last) */
	CTL_WORDS,	/* the words that are left, joined by one blank (positional, last) */
	CTL_TIME,	/* RFC 3339, a date, or +DURATION from now: an RFC 3339 string */
	CTL_DURATION,	/* "15m", "8h": a JSON integer, seconds */
	CTL_LINES,	/* a file: array of its lines without blanks and # comments; repeatable */
	CTL_TARGET,	/* ACCOUNT@ASSET: two strings, `param` and "asset" */
};
enum {
	CTL_REQUIRED	= 1 << 0,	/* a positional argument is required unless CTL_OPTIONAL */
	CTL_OPTIONAL	= 1 << 1,
	CTL_LOCAL	= 1 << 2,	/* not for control: the command's own code reads it */
};
/* An option, or a positional argument (its name is then what the usage shows). A table ends with name NULL. */
struct ctl_opt {
	const char	*name;		/* without the two dashes; "LOGIN" for an argument */
	enum ctl_type	 type;
	const char	*param;		/* JSON key; NULL: the name with '-' as '_' */
	const char	*value;		/* what help calls the value: "NAME" */
	const char	*choices;	/* closed list "a|b"; NULL: anything */
	const char	*complete;	/* noun whose names complete it, or "file"; NULL: nothing */
	const char	*help;
	unsigned	 flags;
};
enum ctl_show {
	CTL_NONE,	/* the `done` line is all */
	CTL_ROWS,	/* an array of objects, as a table */
	CTL_OBJECT,	/* one object, as "key: value" */
	CTL_TEXT,	/* lines to be printed as they are, once they are known to be plain */
};
struct ctl;
struct sp_secret;
/* Where a command runs that is not on its caller's machine (src/shell): no files, no sockets, no terminal of its own. */
struct ctl_place {
	struct sp_chan	*chan;		/* to control */
	/* One line from the person, without echo. Shows its own errors. */
	enum sp_err	(*prompt)(struct ctl *c, const char *prompt, struct sp_secret *ret);
	/* A one-time code was asked for, and was right. Shows nothing on failure. */
	enum sp_err	(*code)(struct ctl *c);
};
struct ctl_cmd {
	const char		*verb;		/* "create", "member add"; "" for a noun that is its own verb */
	const char		*help;		/* one line */
	const char		*more;		/* prose for the manual page; NULL */
	const struct ctl_opt	*args, *opts;	/* NULL: none */
	const char		*method;	/* of docs/protocol/flows.md */
	enum ctl_show		 show;
	const struct ctl_col	*cols;
	const char		*empty;		/* for people, when there are no rows */
	const char		*done;		/* for people: "User {login} created."; names of params or of the answer */
	/* Add to c->params what the tables cannot say. Reports its own errors through ctl_fail. NULL: nothing. */
	enum sp_err		(*fill)(struct ctl *c);
	/* Everything after parsing, instead of fill, call and show. NULL: the usual way. */
	enum sp_err		(*run)(struct ctl *c);
};
struct ctl_noun {
	const char		*name;
	const char		*help;
	const struct ctl_cmd	*cmds;		/* ends with verb NULL */
	int			 hidden;	/* left out of help and manual */
};

struct ctl {
	char			 socket[108];	/* of control; sun_path's size */
	char			 monitor_socket[108];
	int			 socket_named;	/* by the caller: not the default one */
	char			 run_dir[96];
	const char		*as_user;	/* NULL: who calls */
	const struct ctl_place	*place;		/* NULL: on the caller's machine */
	int			 json;
	int			 timeout_ms;
	FILE			*out, *err;
	int			 is_tty;	/* out is a terminal */
	unsigned		 width;		/* its columns; 0: unlimited */
	const struct ctl_noun	*noun;
	const struct ctl_cmd	*cmd;
	json_t			*params;	/* owned: goes to control */
	json_t			*local;		/* owned: CTL_LOCAL options by name */
	int			 failed;	/* all went well, and the answer is "no": exit status 1 */
};

extern const struct ctl_noun *const ctl_nouns[];	/* ends with NULL */
extern const struct ctl_opt ctl_global_opts[];

/* main.c: one whole invocation; returns the exit status. */
int		 ctl_main(struct ctl *c, int argc, char **argv);
/* Print "sallyport: ..." as one escaped line on c->err; returns e. */
enum sp_err	 ctl_fail(struct ctl *c, enum sp_err e, const char *fmt, ...) SP_PRINTF(3, 4);
void		 ctl_note(struct ctl *c, const char *fmt, ...) SP_PRINTF(2, 3);
enum sp_err	 ctl_show(struct ctl *c, const json_t *body);
enum sp_err	 ctl_print_json(struct ctl *c, const json_t *body);
const struct ctl_noun *ctl_noun_find(const char *name);
/* Longest verb that argv[0..] begins with; *ret_words: how many words it has. NULL: none. */
const struct ctl_cmd *ctl_cmd_find(const struct ctl_noun *n, int argc, char **argv, int *ret_words);

/* parse.c */
/* Over SSH a file of the caller is not here: only "-" is, standard input, and not on a terminal. name: for the message. */
enum sp_err	 ctl_check_file(struct ctl *c, const char *name, const char *path) SP_MUST_USE;
enum sp_err	 ctl_parse_globals(struct ctl *c, int *argc, char **argv) SP_MUST_USE;	/* removes them from argv */
enum sp_err	 ctl_parse(struct ctl *c, int argc, char **argv) SP_MUST_USE;
enum sp_err	 ctl_parse_arg(struct ctl *c, const struct ctl_opt *o, const char *value) SP_MUST_USE;	/* as if it had been given */
const char	*ctl_local_str(const struct ctl *c, const char *name);		/* NULL if not given */
int64_t		 ctl_local_int(const struct ctl *c, const char *name, int64_t def);
int		 ctl_local_flag(const struct ctl *c, const char *name);

/* help.c, man.c, completion.c */
void		 ctl_help(FILE *f, const struct ctl_noun *n, const struct ctl_cmd *cmd);	/* both may be NULL */
void		 ctl_man_sallyport(FILE *f);
void		 ctl_man_conf(FILE *f);

#define CTL_END		{ .name = NULL }
#define CTL_TRY(expr)	do { enum sp_err ctl__r = (expr); if (ctl__r != SP_OK) return ctl__r; } while (0)

static inline void
ctl_json_unref(json_t **j)
{
	json_decref(*j);
	*j = NULL;
}
#define ctl_auto_json	sp_auto(ctl_json_unref) json_t

#endif
