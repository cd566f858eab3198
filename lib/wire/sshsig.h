/* lib/wire/sshsig.h - SSH signature blobs: string algorithm, string signature, and for security keys a flags byte and a
 * counter behind them (PROTOCOL.u2f). Pure; nothing is verified here (crypto/sign.h does).
 * ECDSA signatures must be two positive canonical mpints of at most the curve's size. */
#ifndef SP_WIRE_SSHSIG_H
#define SP_WIRE_SSHSIG_H

#include <stdint.h>

#include "base/buf.h"
#include "wire/sshkey.h"

#define SP_SSHSIG_MAX		4096	/* blob, bytes */
#define SP_SSHSIG_ALG_SIZE	48	/* name with NUL */
#define SP_SK_USER_PRESENT	0x01
#define SP_SK_USER_VERIFIED	0x04

struct sp_sshsig {
	char			algorithm[SP_SSHSIG_ALG_SIZE];
	enum sp_sshkey_type	type;		/* of the key that it needs */
	struct sp_view		sig;		/* borrowed: 64 bytes; ecdsa: mpint r, mpint s; rsa: big endian */
	struct sp_view		r, s;		/* ecdsa: contents of the mpints */
	uint8_t			sk_flags;
	uint32_t		sk_counter;
};

/* SP_EDENIED: ssh-rsa (SHA-1). SP_EVERSION: unknown algorithm. SP_ESHORT, SP_EFORMAT, SP_ESIZE. */
enum sp_err	sp_sshsig_decode(struct sp_view blob, struct sp_sshsig *ret) SP_MUST_USE;
/* Append the blob from algorithm, sig and, for sk, flags and counter. SP_EINVAL when it would not decode. */
enum sp_err	sp_sshsig_encode(const struct sp_sshsig *s, struct sp_buf *ret) SP_MUST_USE;
/* 1 if a security key says that somebody touched it; 0 for every other kind of signature. */
int		sp_sshsig_sk_user_present(const struct sp_sshsig *s);

#endif
