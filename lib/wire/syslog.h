/* lib/wire/syslog.h - syslog records as collectors read them, and where they go. Pure.
 * RFC 5424 (format), RFC 6587 3.4.1 and RFC 5425 4.3 (octet counting on TCP and TLS), RFC 5426 (UDP: one record a datagram);
 * and the form of Python's logging.handlers.SysLogHandler as JumpServer uses it: "<PRI>jumpserver: CATEGORY - JSON" and a NUL. */
#ifndef SP_WIRE_SYSLOG_H
#define SP_WIRE_SYSLOG_H

#include "base/buf.h"

#define SP_SYSLOG_UDP_LEAST	480u	/* bytes that every receiver takes (RFC 5424 6.1) */
#define SP_SYSLOG_UDP_MOST	65000u
#define SP_SYSLOG_HEAD_MAX	512u	/* bytes that either form adds to the text, framing included */
#define SP_SYSLOG_HOST		256u	/* bytes of a collector's name with NUL */

enum sp_syslog_severity { SP_SYSLOG_ERROR = 3, SP_SYSLOG_WARNING = 4, SP_SYSLOG_NOTICE = 5, SP_SYSLOG_INFO = 6 };
enum sp_syslog_transport { SP_SYSLOG_UDP, SP_SYSLOG_TCP, SP_SYSLOG_TLS };

/* Texts are borrowed; what RFC 5424 does not allow in them becomes '_', what is too long is cut, NULL and "" are "-". */
struct sp_syslog_head {
	unsigned	 facility, severity;
	int64_t		 wall_us;
	const char	*host, *app, *msgid;
	uint64_t	 seq;		/* of meta sequenceId, which wraps at 2^31 - 1; 0: none */
};

/* Append one record without framing. SP_EINVAL (facility, severity), SP_ESIZE, SP_ENOMEM. */
enum sp_err	sp_syslog_5424(const struct sp_syslog_head *h, struct sp_view msg, struct sp_buf *ret) SP_MUST_USE;
/* The same with the length in front. */
enum sp_err	sp_syslog_5424_counted(const struct sp_syslog_head *h, struct sp_view msg, struct sp_buf *ret) SP_MUST_USE;
/* Append one record of JumpServer's form, severity INFO, its NUL included. category: [a-z_]+. SP_EINVAL, SP_ESIZE, SP_ENOMEM. */
enum sp_err	sp_syslog_jumpserver(unsigned facility, const char *category, struct sp_view json, struct sp_buf *ret) SP_MUST_USE;
/* "authpriv", "local0" ... as syslog.conf(5) and Python spell them. SP_EINVAL. */
enum sp_err	sp_syslog_facility(const char *name, unsigned *ret) SP_MUST_USE;

struct sp_syslog_dest {
	enum sp_syslog_transport transport;
	char		host[SP_SYSLOG_HOST];
	uint16_t	port;
};
/* "udp://host:514", "tcp://[::1]:1514", "tls://siem.example.org" (ports 514, 514 and 6514 by default). SP_EFORMAT. */
enum sp_err	sp_syslog_dest_parse(const char *s, struct sp_syslog_dest *ret) SP_MUST_USE;
/* "host:port" alone, for the transport given. SP_EFORMAT. */
enum sp_err	sp_syslog_addr_parse(const char *s, enum sp_syslog_transport t, struct sp_syslog_dest *ret) SP_MUST_USE;

#endif
