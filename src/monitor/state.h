/* src/monitor/state.h - the monitor's state as a message (proto/monitor_state.proto) and back. Process: monitor.
 * Invariants: (1) saving changes nothing. (2) A state is checked whole before any of it is restored. (3) Every descriptor
 * of a saved state is in keep->fd, so that all survive execve(2), and close-on-exec again once restored. */
#ifndef SP_MONITOR_STATE_H
#define SP_MONITOR_STATE_H

#include "monitor/monitor.h"
#include "monitor_state.pb-c.h"

#define MON_STATE_VERSION	1u
#define MON_STATE_MAX		((size_t)256 << 20)	/* bytes: 16384 connections with everything they may have are 80 MB */

struct keep_chunk;
struct keep {			/* what a state in the making borrows from, and which descriptors it names */
	struct keep_chunk *chunks;
	int		*fd;
	size_t		 n, cap;
	int		 failed;	/* no memory: the state is worthless */
};
void	*keep_alloc(struct keep *k, size_t n, size_t size);	/* zeroed; never NULL for long: failed is set */
int	 keep_fd(struct keep *k, int fd);			/* notes it, returns it */
ProtobufCBinaryData keep_id(const struct sp_uuid *u);
char	*keep_text(const char *s);				/* borrowed */
SallyportState__Channel *keep_chan(struct keep *k, const struct sp_chan *c);	/* NULL for NULL */
void	 keep_release(struct keep *k);

/* state.c. All of it in a sealed memory file, given; the descriptors are in k. SP_ENOMEM, SP_ESIZE, SP_ESYS. */
enum sp_err	state_write(struct mon *m, struct keep *k, int *ret_fd) SP_MUST_USE;
/* SP_EVERSION, SP_EFORMAT, SP_ESIZE, with why. *ret is freed with sallyport_state__monitor__free_unpacked(). */
enum sp_err	state_read(int fd, SallyportState__Monitor **ret, char *why, size_t n) SP_MUST_USE;
enum sp_err	state_restore(struct mon *m, const SallyportState__Monitor *st) SP_MUST_USE;
int		state_fd(int fd);			/* close-on-exec again; returns it */
/* What a channel had not sent yet. */
enum sp_err	state_waiting(const SallyportState__Channel *from, struct sp_chan *to) SP_MUST_USE;

/* conns_state.c */
enum sp_err	conns_save(struct mon *m, struct keep *k, SallyportState__Monitor *st) SP_MUST_USE;
int		conns_check(const SallyportState__Monitor *st);		/* 1 if it can be restored */
enum sp_err	conns_restore(struct mon *m, const SallyportState__Monitor *st) SP_MUST_USE;
/* proc.c, ask.c */
void		procs_save(struct mon *m, struct keep *k, SallyportState__Monitor *st);
enum sp_err	procs_restore(struct mon *m, const SallyportState__Monitor *st) SP_MUST_USE;
void		ask_save(struct mon *m, struct keep *k, SallyportState__Monitor *st);
enum sp_err	ask_restore(struct mon *m, const SallyportState__Monitor *st) SP_MUST_USE;

#endif
