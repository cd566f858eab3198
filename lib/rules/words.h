/* lib/rules/words.h - what a shell would run: every simple command of a command line, with its words. Pure: no I/O, no clock.
 *
 * A command line is text for sh, bash, zsh, dash or busybox ash. Found are the simple commands of pipelines, lists, groups,
 * subshells, compound commands, function bodies, substitutions `$(..)`, `..`, <(..), here-documents and here-strings that a shell
 * reads, and those that another command is given to run: `sudo`, `env`, `xargs`, `nohup`, `find -exec`, ... with arguments,
 * `sh -c`, `eval`, `su -c`, `trap`, `watch`, `ssh` with a text (table in words_run.c). A text is only read: what a variable, a
 * pattern, an alias, a script or a history expansion comes to is not known here, and is said to be unknown.
 *
 * Name of a command: its first word without quotes. With a directory it counts as that command only if the directory is one
 * where systems keep commands (/bin, /sbin, /usr/bin, /usr/sbin, /usr/local/bin, /usr/local/sbin, after taking . and .. out): so
 * `su`, `\su`, `'s'u` and `/bin/su` are su, and `/tmp/su`, `./su` are themselves.
 *
 * Invariants: (1) work and memory are linear in the text times SP_CMDLINE_DEPTH_MAX; beyond a bound SP_CMDLINE_CUT is set, never
 * silence. (2) Every byte of a word's text is a byte of the input or what quoting made of it. (3) Nothing is executed or looked up. */
#ifndef SP_RULES_WORDS_H
#define SP_RULES_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

#define SP_CMDLINE_MAX		(256u * 1024)	/* bytes of a command line; more is SP_ESIZE */
#define SP_CMDLINE_DEPTH_MAX	16u		/* commands in commands */
#define SP_CMDLINE_COMMANDS_MAX	1024u
#define SP_CMDLINE_WORDS_MAX	32768u
#define SP_CMDLINE_NONE		UINT32_MAX

enum sp_cmdword_kind {
	SP_CMDWORD_ASSIGN,	/* NAME=value before the name */
	SP_CMDWORD_NAME,	/* the first word */
	SP_CMDWORD_ARG,
	SP_CMDWORD_READ,	/* file of < and of <> */
	SP_CMDWORD_WRITE,	/* file of > >> >| &> >& and of <> */
	SP_CMDWORD_HERE		/* text of <<< */
};
enum {				/* of a word */
	SP_CMDWORD_QUOTED	= 1 << 0,	/* some of it was */
	SP_CMDWORD_UNKNOWN	= 1 << 1,	/* holds a variable, a substitution or a history expansion: its text has it as written */
	SP_CMDWORD_PATTERN	= 1 << 2	/* holds * ? [ ] or {a,b}, not quoted */
};
struct sp_cmdword {
	uint32_t	off, len;	/* in text */
	uint32_t	next;		/* of the same command; SP_CMDLINE_NONE */
	uint8_t		kind, flags;
};
enum {				/* of a command */
	SP_CMD_UNKNOWN	= 1 << 0,	/* its name is not known: a variable, a pattern, a text that is not known */
	SP_CMD_GIVEN	= 1 << 1,	/* another command runs it: sudo, xargs, sh -c ... */
	SP_CMD_MORE	= 1 << 2,	/* gets more arguments that are not known: xargs */
	SP_CMD_ELSEWHERE = 1 << 3	/* runs on another host: ssh */
};
struct sp_cmd {
	uint32_t	first, n;	/* words */
	uint32_t	name, name_len;	/* in text; length 0: there is none, or it is unknown */
	uint32_t	line, line_len;	/* in text: its words without assignments and redirections, joined by blanks */
	uint32_t	user, user_len;	/* in text: who it runs as, if sudo, su ... said so; length 0: as its parent */
	uint32_t	pipeline;	/* commands with the same number are joined by |, in order */
	uint8_t		depth, flags;
};
enum {				/* of a line */
	SP_CMDLINE_INCOMPLETE	= 1 << 0,	/* a quote, a bracket, a here-document, ... is open: the next line goes on with it */
	SP_CMDLINE_CUT		= 1 << 1	/* beyond a bound: some of it was not looked at */
};
struct sp_cmdline {		/* zeroed memory is an empty one; everything is kept for the next parse */
	char			*text;
	size_t			 text_len, text_cap;
	struct sp_cmdword	*word;
	size_t			 words, words_cap;
	struct sp_cmd		*cmd;
	size_t			 n, cap;
	unsigned		 flags;
	uint32_t		 pipelines;
	char			*part;		/* of words that are being read: a stack */
	size_t			 part_len, part_cap;
};

/* p, n: borrowed for the call. SP_ESIZE: longer than SP_CMDLINE_MAX; SP_ENOMEM. On failure *ret is empty. */
enum sp_err	 sp_cmdline_parse(struct sp_cmdline *ret, const char *p, size_t n) SP_MUST_USE;
void		 sp_cmdline_release(struct sp_cmdline *l);	/* safe on zeroed memory, and twice */

/* Texts end with a NUL (and may hold none before it: NULs of the input are left out). */
static inline struct sp_view
sp_cmdline_view(const struct sp_cmdline *l, uint32_t off, uint32_t len)
{
	struct sp_view v = { (const uint8_t *)(len > 0 ? l->text + off : ""), len };

	return v;
}

#endif
