/* src/session/conn.h - the SSH connection protocol (RFC 4254): channels, their windows, requests. Works on the payloads
 * that a leg hands up and takes; knows nothing of libssh, users or targets.
 * Process: session.
 * Invariants: (1) data is never sent beyond the peer's window or packet size. (2) The peer's window grows only by what
 * sp_channel_consumed() was told, so that SP_CHANNEL_WINDOW bounds what the owner may have to keep. (3) A channel is freed
 * after both sides sent CLOSE and the owner let go of it (sp_channel_release); its number is not reused before. (4) No
 * callback of a channel after closed(). (5) A packet that breaks the protocol closes the leg. */
#ifndef SP_SESSION_CONN_H
#define SP_SESSION_CONN_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

#define SP_CHANNEL_WINDOW	(2u * 1024 * 1024)	/* bytes that a peer may send ahead */
#define SP_CHANNEL_PACKET	(32u * 1024)		/* most data in one packet, both ways */
#define SP_CHANNEL_MAX		128u			/* channels of one connection, closing ones included */
#define SP_CHANNEL_NAME_MAX	64			/* bytes of a type or request name */
#define SP_STREAM_OUT	0	/* CHANNEL_DATA */
#define SP_STREAM_ERR	1	/* CHANNEL_EXTENDED_DATA, stderr */

enum sp_open_refusal { SP_OPEN_PROHIBITED = 1, SP_OPEN_CONNECT_FAILED, SP_OPEN_UNKNOWN_TYPE, SP_OPEN_RESOURCES };

struct sp_conn;
struct sp_channel;
/* How payloads leave. */
typedef void sp_conn_send_fn(void *arg, const void *head, size_t head_len, const void *data, size_t len);

struct sp_conn_ops {
	/* The peer opens a channel: answer with sp_channel_accept or sp_channel_refuse, now or later. */
	void	(*open)(void *arg, struct sp_channel *c, const char *type, struct sp_view extra);
	/* Global request; when want_reply, sp_conn_reply() is called once per request, in order. */
	void	(*global)(void *arg, const char *name, int want_reply, struct sp_view data);
	void	(*global_reply)(void *arg, int ok, struct sp_view data);	/* to our sp_conn_global(want_reply) */
	void	(*broken)(void *arg, const char *why);		/* the peer breaks the protocol: close the leg */
	int	(*can_write)(void *arg);			/* the leg takes more */
};
struct sp_channel_ops {
	void	(*opened)(void *arg);				/* our open was accepted */
	void	(*refused)(void *arg, uint32_t code, const char *text);	/* our open was not; then release */
	void	(*data)(void *arg, int stream, struct sp_view v);	/* keep or pass on, then sp_channel_consumed */
	void	(*eof)(void *arg);
	void	(*closed)(void *arg);				/* the peer sent CLOSE, or the connection is gone */
	void	(*request)(void *arg, const char *name, int want_reply, struct sp_view data);
	void	(*reply)(void *arg, int ok);			/* to our sp_channel_request(want_reply), in order */
	void	(*writable)(void *arg);				/* the window grew from nothing */
};

enum sp_err	 sp_conn_new(const struct sp_conn_ops *ops, void *arg, sp_conn_send_fn *send, void *send_arg,
		    struct sp_conn **ret) SP_MUST_USE;
void		 sp_conn_free(struct sp_conn *c);	/* frees its channels, without callbacks */
void		 sp_conn_packet(struct sp_conn *c, struct sp_view payload);	/* message numbers 80..100 */
void		 sp_conn_writable(struct sp_conn *c);	/* the leg drained: tell the channels */
void		 sp_conn_lost(struct sp_conn *c);	/* the leg is closed: closed() or refused() to every channel */
void		 sp_conn_global(struct sp_conn *c, const char *name, int want_reply, const void *data, size_t len);
void		 sp_conn_reply(struct sp_conn *c, int ok, const void *data, size_t len);
unsigned	 sp_conn_channels(const struct sp_conn *c);

/* Open one to the peer. SP_EFULL. extra: what follows the common fields of CHANNEL_OPEN. */
enum sp_err	 sp_channel_open(struct sp_conn *c, const char *type, const void *extra, size_t len,
		    const struct sp_channel_ops *ops, void *arg, struct sp_channel **ret) SP_MUST_USE;
/* From open(): take the channel under these callbacks / refuse and forget it. */
void		 sp_channel_own(struct sp_channel *ch, const struct sp_channel_ops *ops, void *arg);
void		 sp_channel_accept(struct sp_channel *ch);
void		 sp_channel_refuse(struct sp_channel *ch, enum sp_open_refusal code, const char *text);

/* How many bytes may be written now (window, and the leg takes more). */
size_t		 sp_channel_room(const struct sp_channel *ch);
/* Write what fits; returns how many bytes were taken. */
size_t		 sp_channel_write(struct sp_channel *ch, int stream, const void *p, size_t n);
void		 sp_channel_consumed(struct sp_channel *ch, size_t n);
void		 sp_channel_eof(struct sp_channel *ch);		/* nothing follows; once */
void		 sp_channel_close(struct sp_channel *ch);		/* once; further calls do nothing */
void		 sp_channel_request(struct sp_channel *ch, const char *name, int want_reply, const void *data, size_t len);
void		 sp_channel_reply(struct sp_channel *ch, int ok);	/* to the peer's request, in order */
/* The owner forgets the channel: no more callbacks, CLOSE is sent if it was not, freed when the peer's CLOSE is there. */
void		 sp_channel_release(struct sp_channel *ch);	/* NULL is fine */
int		 sp_channel_is_open(const struct sp_channel *ch);

#endif
