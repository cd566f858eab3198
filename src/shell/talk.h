/* src/shell/talk.h - the talk channel between a session and the command line that it had started: SOCK_SEQPACKET, a packet
 * a message, the first byte says which. Shared by src/session/shell.c and src/shell.
 *   to the shell:    W  u32 columns (0: no terminal), then the command line as it came. Descriptors: a stream for standard
 *                       input and output, one for standard error. Sent first, and once.
 *                    A  the answer to a question / C  the person gave up
 *   to the session:  P  text of a question, to be answered without echo / M  a one-time code is wanted: A says that
 *                       the right one was given / E  u8 exit status, the last packet */
#ifndef SP_SHELL_TALK_H
#define SP_SHELL_TALK_H

#define SP_TALK_WORDS		'W'
#define SP_TALK_ANSWER		'A'
#define SP_TALK_CANCEL		'C'
#define SP_TALK_PROMPT		'P'
#define SP_TALK_CODE		'M'
#define SP_TALK_EXIT		'E'

#define SP_TALK_WORDS_MAX	16384	/* bytes of a command line */
#define SP_TALK_TEXT_MAX	512	/* bytes of a question or an answer */
#define SP_TALK_PACKET		(SP_TALK_WORDS_MAX + 8)

#endif
