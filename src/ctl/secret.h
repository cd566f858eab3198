/* src/ctl/secret.h - secrets on their way in and out: read without echo, sealed before they leave, opened for one reply.
 * Invariants: a secret is never an argument of a command, never in the environment, and lives in struct sp_secret only. */
#ifndef SP_CTL_SECRET_H
#define SP_CTL_SECRET_H

#include "crypto/sealbox.h"
#include "crypto/secret.h"
#include "ctl/cmd.h"

#define CTL_PASSPHRASE_MAX	1024	/* bytes */
#define CTL_SECRET_MAX		65536	/* bytes of a key file */

/* From the options `NAME-file`, `NAME-fd` or `NAME-stdin`, whichever was given; else asked for on the terminal, twice
 * when `twice`. One line end is dropped. Errors are shown. *ret is given. */
enum sp_err	ctl_secret_read(struct ctl *c, const char *name, const char *prompt, int twice, struct sp_secret *ret)
		    SP_MUST_USE;
/* One line from the terminal without echo. */
enum sp_err	ctl_prompt(struct ctl *c, const char *prompt, struct sp_secret *ret) SP_MUST_USE;
/* Everything in a file, at most max bytes. */
enum sp_err	ctl_secret_file(struct ctl *c, const char *path, size_t max, struct sp_secret *ret) SP_MUST_USE;
/* Seal to the vault's public key, asked of control once for each call. *ret: base64, a JSON string, given. */
enum sp_err	ctl_seal(struct ctl *c, const char *kind, const struct sp_secret *plain, json_t **ret) SP_MUST_USE;
/* A key pair for one reply: sets params[client_key]. */
struct ctl_reply_key {
	uint8_t			pk[SP_SEALBOX_KEY];
	struct sp_secret	sk;
};
enum sp_err	ctl_reply_key_make(struct ctl *c, struct ctl_reply_key *k) SP_MUST_USE;
void		ctl_reply_key_release(struct ctl_reply_key *k);
enum sp_err	ctl_open(struct ctl *c, const struct ctl_reply_key *k, const char *kind, const json_t *sealed,
		    struct sp_secret *ret) SP_MUST_USE;

#endif
