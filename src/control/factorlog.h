/* src/control/factorlog.h - one record of the file in which control keeps what was shown of second factors on this machine
 * (factor_keep.h). Process: control. Pure.
 * A record has a fixed size: magic, members in little endian, HMAC-SHA256 over all before it. */
#ifndef SP_CONTROL_FACTORLOG_H
#define SP_CONTROL_FACTORLOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/netaddr.h"
#include "base/str.h"
#include "crypto/hash.h"

#define FACTORLOG_SIZE	240u	/* bytes of a record */

enum factorlog_kind {
	FACTORLOG_SHOWN = 1,	/* a right code: counts from now on, and is used up */
	FACTORLOG_LATE,		/* the same, and the store does not know of it yet */
	FACTORLOG_WRITTEN,	/* the store knows of that one, too */
	FACTORLOG_FORGET,	/* what the user had shown counts no more; what is used up stays so */
};
struct factorlog {
	enum factorlog_kind kind;
	struct sp_uuid	user, conn;
	struct sp_uuid	secret;		/* the user's factor at that time */
	struct sp_uuid	recovery;	/* the recovery code that was used; null: a step */
	int64_t		step;		/* 0 with a recovery code */
	int64_t		epoch;		/* the user's */
	int64_t		wall_us;	/* the time that control judges by */
	uint64_t	boot_us;	/* CLOCK_BOOTTIME of that start of the machine: */
	struct sp_uuid	boot;
	char		source[SP_NETADDR_SIZE];
};
void		factorlog_pack(const struct factorlog *r, const uint8_t key[SP_SHA256_LEN], uint8_t ret[FACTORLOG_SIZE]);
/* SP_EFORMAT: no such record; SP_EAUTH: not made with this key, or changed. */
enum sp_err	factorlog_parse(const uint8_t p[FACTORLOG_SIZE], const uint8_t key[SP_SHA256_LEN], struct factorlog *ret) SP_MUST_USE;

#endif
