/* lib/rules/words_int.h - between words.c (the text) and words_run.c (commands that run commands). */
#ifndef SP_RULES_WORDS_INT_H
#define SP_RULES_WORDS_INT_H

#include "rules/words.h"

/* Add text to the line's: its place, or SP_CMDLINE_NONE when a bound was reached (SP_CMDLINE_CUT is set then). */
uint32_t	 cmdline_text(struct sp_cmdline *l, const char *p, size_t n);
/* Read a text as commands, one level below. user, user_len: who they run as, in text. p may lie in l->text. */
void		 cmdline_inner(struct sp_cmdline *l, const char *p, size_t n, unsigned depth, uint8_t flags, uint32_t user, uint32_t user_len);
/* A command whose words begin with that one. */
uint32_t	 cmdline_command(struct sp_cmdline *l, uint32_t first, unsigned depth, uint8_t flags, uint32_t user, uint32_t user_len,
		    uint32_t pipeline);
uint32_t	 cmdline_word(struct sp_cmdline *l, uint32_t off, uint32_t len, uint8_t kind, uint8_t flags);
/* Name and text of a command whose words are all there, and what it is given to run. */
void		 cmdline_finish(struct sp_cmdline *l, uint32_t cmd);
/* The shell that reads commands from the standard input of this command: itself, or what it is given to run; SP_CMDLINE_NONE. */
uint32_t	 cmdline_reader(const struct sp_cmdline *l, uint32_t cmd);
/* The commands of that pipeline, from that number on, are all there: what echo and printf give a shell. */
void		 cmdline_pipeline(struct sp_cmdline *l, uint32_t from, uint32_t pipeline);

#endif
