/* src/common/sealkind.h - the contexts of sealed values (lib/crypto/sealbox.h) that travel as base64 in CALL_ASK and
 * CALL_REPLY. The command line seals, the vault opens, and the other way round for what is shown; control carries.
 * The object id of these contexts is null: the object often does not exist yet when the client seals. */
#ifndef SP_COMMON_SEALKIND_H
#define SP_COMMON_SEALKIND_H

#define SP_SEAL_CREDENTIAL	"vault.credential"	/* passphrase, bytes of a key file, or the text of one share */
#define SP_SEAL_USER_PASSWORD	"user.password"
#define SP_SEAL_CODE		"user.code"		/* a one-time code, or a recovery code */
#define SP_SEAL_TOTP		"user.totp"		/* vault to client: the shared secret and the recovery codes, a line each */
#define SP_SEAL_ACCOUNT		"account."		/* followed by the secret's kind: account.password, account.ssh-key */
#define SP_SEAL_SHARES		"vault.shares"		/* vault to client: one share per line */
#define SP_SEAL_RECORDING	"recording.key"		/* vault to client: the file key of a recording */
#define SP_SEAL_REVEAL		"reveal"		/* vault to client: a secret */

#endif
