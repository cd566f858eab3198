/* src/common/sealed.h - for what a secret is sealed: the kinds of lib/crypto/sealbox.h contexts that the command line
 * (and later the web) and the vault agree upon. A blob made for one kind does not open as another.
 * "to the vault": to VAULT_STATE.public_key, be it the transport key (while sealed) or the vault's key; the vault tries
 * both for every kind. The id is the null UUID where none is named. */
#ifndef SP_COMMON_SEALED_H
#define SP_COMMON_SEALED_H

/* To the vault. */
#define SP_SEALED_INIT		"vault.init"	/* VAULT_INIT: passphrase, or content of the key file */
#define SP_SEALED_OPEN		"vault.unseal"	/* VAULT_OPEN: passphrase, content of the key file, or text of one share */
#define SP_SEALED_SLOT		"vault.slot"	/* VAULT_SLOTS add, rekey: as for init */
#define SP_SEALED_SECRET	"secret"	/* SECRET_PUT: password, or text of a private key file */
#define SP_SEALED_LOGIN		"user.password"	/* HASH_PASSWORD: new login password */
/* To the key of the caller. */
#define SP_SEALED_SHARES	"vault.shares"	/* VAULT_REPLY.body: share texts, one per line */
#define SP_SEALED_REVEAL	"reveal"	/* SECRET_REPLY.envelope of a reveal; id: that of the secret */

#endif
