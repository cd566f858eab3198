/* src/ctl/archive.h - one encrypted file with other files in it, for `backup` and `restore`. Streams: no file is held in
 * memory. Process: the command line.
 *
 *	"SPBKP001"  argon2id: u32 passes, u64 bytes, 16 bytes salt   24 bytes secretstream header
 *	then chunks: u32 length, secretstream message; the head above is associated data of each, the last one is FINAL
 * Inside (big endian): for each file u16 length of its name, name, u64 size, bytes; at the end the file "MANIFEST" with a
 * line "SHA256-HEX SIZE NAME" for each file before it, in that order.
 * Encryption: libsodium secretstream_xchacha20poly1305 under argon2id(passphrase): chunks cannot be changed, cut off,
 * reordered or taken from another archive.
 *
 * Invariants: (1) names are relative, of safe parts, at most ARCHIVE_NAME_MAX bytes. (2) Reading gives SP_OK at the end
 * only if every file stood in the manifest with its size and hash, and nothing followed. */
#ifndef SP_CTL_ARCHIVE_H
#define SP_CTL_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "crypto/secret.h"

#define ARCHIVE_NAME_MAX	200
#define ARCHIVE_FILES_MAX	100000
#define ARCHIVE_FILE_MAX	((uint64_t)1 << 40)	/* bytes of one file */

int		archive_name_ok(const char *name);

struct archive_writer;
/* fd borrowed, empty. */
enum sp_err	archive_writer_new(int fd, const struct sp_secret *passphrase, struct archive_writer **ret) SP_MUST_USE;
void		archive_writer_free(struct archive_writer *w);	/* NULL is fine; without finish the file is of no use */
/* size bytes follow with archive_write(). SP_EINVAL: the name; SP_ESTATE: the last file is not complete. */
enum sp_err	archive_begin(struct archive_writer *w, const char *name, uint64_t size) SP_MUST_USE;
enum sp_err	archive_write(struct archive_writer *w, const void *p, size_t n) SP_MUST_USE;
enum sp_err	archive_finish(struct archive_writer *w) SP_MUST_USE;	/* manifest, end, fsync */

struct archive_ops {
	/* A file begins; then its bytes; then its end. Anything but SP_OK ends the reading and is given back. */
	enum sp_err	(*begin)(void *arg, const char *name, uint64_t size);
	enum sp_err	(*data)(void *arg, const void *p, size_t n);
	enum sp_err	(*end)(void *arg);
};
/* From the start of fd to its end. ops members may be NULL. SP_EFORMAT: no archive; SP_EAUTH: another passphrase, or
 * changed; SP_ESHORT: cut off; SP_ECORRUPT: it is ours and contradicts itself. */
enum sp_err	archive_read(int fd, const struct sp_secret *passphrase, const struct archive_ops *ops, void *arg) SP_MUST_USE;
/* The same with the 32 bytes that passphrase and head come to: a fuzzer cannot wait half a second for each archive. */
enum sp_err	archive_read_key(int fd, const struct sp_secret *key, const struct archive_ops *ops, void *arg) SP_MUST_USE;

#endif
