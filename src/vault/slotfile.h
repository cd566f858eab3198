/* src/vault/slotfile.h - the file of key slots in the vault's directory. Process: vault, its ceremony thread.
 * Invariant: at every moment the name "slots" is absent, or a whole file that was handed to slotfile_write(). */
#ifndef SP_VAULT_SLOTFILE_H
#define SP_VAULT_SLOTFILE_H

#include "base/buf.h"

#define SLOTFILE_NAME	"slots"
#define SLOTFILE_TEMP	"slots.new"

/* dirfd: a readable descriptor of the directory (not O_PATH). Remove what a crash left; read the file, if there is one.
 * *ret must be initialised with SP_SLOTS_TEXT_MAX. SP_ENOENT: no file. SP_ESIZE, SP_EIO, SP_EACCES ... */
enum sp_err	slotfile_read(int dirfd, struct sp_buf *ret) SP_MUST_USE;
/* Durable when it returns SP_OK: temporary file, fsync, rename, fsync of the directory. On failure the old file is still
 * the one under the name; except SP_ESYS: after the rename, hence either may be, and the process has to start anew. */
enum sp_err	slotfile_write(int dirfd, struct sp_view text) SP_MUST_USE;

/* The same for another small file of the directory. temp: a name of its own. */
enum sp_err	vaultfile_read(int dirfd, const char *name, const char *temp, struct sp_buf *ret) SP_MUST_USE;
enum sp_err	vaultfile_write(int dirfd, const char *name, const char *temp, struct sp_view text) SP_MUST_USE;

#endif
