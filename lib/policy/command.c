/* lib/policy/command.c - see command.h. One pass over the bytes; what is not named here is refused. */
#include "policy/command.h"

#include <string.h>

#include "base/str.h"
#include "policy/access.h"
#include "policy/path.h"

#define SCP_PATH_MAX	8192

/* One byte of a path, by where it stands. Bytes of UTF-8 beyond ASCII are as good as letters. */
static int
is_letter(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80;
}

static int
is_one_of(unsigned char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static int
may_stand_bare(unsigned char c)
{
	return is_letter(c) || is_one_of(c, "_-./:,+@=~*?[]");
}

static int
may_stand_quoted(unsigned char c)
{
	return may_stand_bare(c) || is_one_of(c, " #(){}'\"");
}

static int
may_be_escaped(unsigned char c)
{
	return is_one_of(c, " #(){}[]*?'\",:=~");
}

/* The word at s, as far as it reaches; 0: not one that every shell takes for itself. *expands is set when it is a pattern. */
static size_t
path_word(const char *s, size_t n, int *expands)
{
	char quote = '\0';
	size_t i;

	for (i = 0; i < n && i <= SCP_PATH_MAX && (quote != '\0' || s[i] != ' '); i++) {
		unsigned char c = (unsigned char)s[i];

		if (quote != '\0') {
			if (c == (unsigned char)quote)
				quote = '\0';
			else if (!may_stand_quoted(c))
				return 0;
		} else if (c == '\'' || c == '"') {
			quote = (char)c;
		} else if (c == '\\') {
			if (++i == n || !may_be_escaped((unsigned char)s[i]))
				return 0;
		} else if (!may_stand_bare(c)) {
			return 0;
		} else if (is_one_of(c, "*?[") || (c == '~' && i == 0)) {
			*expands = 1;
		}
	}
	return quote == '\0' && i <= SCP_PATH_MAX ? i : 0;
}

/* The word up to the next blank; s and n move behind that blank. 0: no blank follows. */
static int
next_word(const char **s, size_t *n, const char **word, size_t *len)
{
	const char *blank = memchr(*s, ' ', *n);

	if (blank == NULL)
		return 0;
	*word = *s;
	*len = (size_t)(blank - *s);
	*n -= *len + 1;
	*s = blank + 1;
	return 1;
}

static int
word_is(const char *word, size_t len, const char *s)
{
	return len == strlen(s) && memcmp(word, s, len) == 0;
}

static int
is_scp(const char *s, size_t n, struct sp_policy_command *ret)
{
	const char *word;
	size_t len;
	int halves = 0;		/* how many of -t and -f */

	while (n > 1 && s[0] == '-') {
		if (!next_word(&s, &n, &word, &len))
			return 0;		/* a path that begins with '-' comes behind "--" */
		if (len == 2 && word[1] == '-')
			break;
		for (size_t i = 1; i < len; i++) {
			if (!is_one_of((unsigned char)word[i], "dfpqrtv"))
				return 0;
			halves += word[i] == 't' || word[i] == 'f';
			if (word[i] == 't' || word[i] == 'f')
				ret->direction = word[i] == 't' ? SP_POLICY_FILE_UP : SP_POLICY_FILE_DOWN;
		}
		if (len < 2)
			return 0;
	}
	ret->path = s;
	ret->path_len = n;
	return halves == 1 && n > 0 && path_word(s, n, &ret->expands) == n;
}

/* ---- rsync */

/* What rsync tells its server, and nothing that names a file, runs something or writes elsewhere. A '=' at the end: a value. */
static const char *const rsync_options[] = {
	"append", "append-verify", "block-size=", "bwlimit=", "checksum-choice=", "checksum-seed=", "compress-choice=",
	"compress-level=", "copy-unsafe-links", "debug=", "delete", "delete-after", "delete-before", "delete-delay", "delete-during",
	"delete-excluded", "delete-missing-args", "existing", "force", "fsync", "fuzzy", "iconv=", "ignore-errors", "ignore-existing",
	"ignore-missing-args", "ignore-non-existing", "info=", "inplace", "list-only", "log-format=", "max-delete=", "max-size=",
	"min-size=", "mkpath", "modify-window=", "munge-links", "new-compress", "no-devices", "no-i-r", "no-implied-dirs",
	"no-inc-recursive", "no-msgs2stderr", "no-r", "no-relative", "no-specials", "numeric-ids", "old-compress", "out-format=",
	"partial", "preallocate", "safe-links", "size-only", "skip-compress=", "specials", "stats", "stderr=", "super", "timeout=",
	"zc=", "zl=",
};

static int
rsync_long(const char *w, size_t len)
{
	const char *eq = memchr(w, '=', len);
	size_t name = eq != NULL ? (size_t)(eq - w) + 1 : len;

	for (size_t i = name; i < len; i++)
		if (!is_letter((unsigned char)w[i]) && !is_one_of((unsigned char)w[i], "_-.:,+%"))
			return 0;
	for (size_t i = 0; i < sizeof(rsync_options) / sizeof(*rsync_options); i++)
		if (word_is(w, name, rsync_options[i]))
			return 1;
	return 0;
}

/* "vlogDtpre.iLsfxCIvu": behind the e come what the client can do, no options. */
static int
rsync_letters(const char *w, size_t len)
{
	size_t i = 0;

	while (i < len && w[i] != 'e')
		if (!is_one_of((unsigned char)w[i++], "vqbundlLkKwWHUNOJpEXAogDtrRSxzIcymCih"))
			return 0;
	for (i++; i < len; i++)
		if (!is_letter((unsigned char)w[i]) && w[i] != '.')
			return 0;
	return len > 0;
}

static int
is_rsync(const char *s, size_t n, struct sp_policy_command *ret)
{
	const char *word;
	size_t len, paths = 0;

	if (!next_word(&s, &n, &word, &len) || !word_is(word, len, "--server"))
		return 0;
	ret->direction = SP_POLICY_FILE_UP;
	for (int first = 1;; first = 0) {
		if (!next_word(&s, &n, &word, &len))
			return 0;
		if (word_is(word, len, "."))
			break;
		if (first && word_is(word, len, "--sender"))
			ret->direction = SP_POLICY_FILE_DOWN;
		else if (len < 2 || word[0] != '-' || !(word[1] == '-' ? rsync_long(word + 2, len - 2) : rsync_letters(word + 1, len - 1)))
			return 0;
	}
	ret->path = s;
	ret->path_len = n;
	for (; n > 0; paths++) {
		if (s[0] == '-' || (len = path_word(s, n, &ret->expands)) == 0)
			return 0;
		s += len;
		n -= len;
		if (n > 0 && (*s != ' ' || n == 1))
			return 0;
		s += n > 0;
		n -= n > 0;
	}
	return paths > 0;
}

/* ---- all of them */

static const char *const sftp_servers[] = {
	"sftp-server", "/usr/lib/openssh/sftp-server", "/usr/lib/sftp-server", "/usr/lib/ssh/sftp-server", "/usr/libexec/sftp-server",
	"/usr/libexec/openssh/sftp-server", "internal-sftp",
};

void
sp_policy_command(const char *s, size_t n, struct sp_policy_command *ret)
{
	struct sp_policy_command c = { 0 };
	const char *word;
	size_t len;

	*ret = c;
	if (!sp_text_is_plain(s, n))
		return;
	for (size_t i = 0; i < sizeof(sftp_servers) / sizeof(*sftp_servers); i++)
		if (word_is(s, n, sftp_servers[i])) {
			ret->kind = SP_POLICY_TRANSFER_SFTP;
			return;
		}
	if (!next_word(&s, &n, &word, &len))
		return;
	if (word_is(word, len, "scp") && is_scp(s, n, &c))
		c.kind = SP_POLICY_TRANSFER_SCP;
	else if (word_is(word, len, "rsync") && is_rsync(s, n, &c))
		c.kind = SP_POLICY_TRANSFER_RSYNC;
	else
		return;
	*ret = c;
}

int
sp_policy_command_is_scp(const char *s, size_t n)
{
	struct sp_policy_command c;

	sp_policy_command(s, n, &c);
	return c.kind == SP_POLICY_TRANSFER_SCP;
}

static const char *const movers[] = { "scp", "rsync", "sftp-server", "internal-sftp", "git", "git-upload-pack", "git-receive-pack",
	"git-upload-archive", "git-shell" };
#define MOVERS		(sizeof(movers) / sizeof(*movers))
#define MOVERS_ONE_WAY	4		/* git moves its files both ways in one stream: a direction says nothing about it */

/* The first word, without its folder, is that of a program which moves files: one of the first of the table. */
static int
moves_files(const char *s, size_t n, size_t first)
{
	size_t len = 0, at = 0;

	while (n > 0 && (*s == ' ' || *s == '\t'))
		s++, n--;
	while (len < n && !is_one_of((unsigned char)s[len], " \t\n;&|<>"))
		if (s[len++] == '/')
			at = len;
	for (size_t i = 0; i < first; i++)
		if (word_is(s + at, len - at, movers[i]))
			return 1;
	return 0;
}

const char *
sp_policy_command_refused(const char *s, size_t n, uint32_t direction)
{
	struct sp_policy_command c;

	if ((direction & SP_POLICY_FILE_BOTH) == SP_POLICY_FILE_BOTH)
		return NULL;
	sp_policy_command(s, n, &c);
	if (c.kind == SP_POLICY_NO_TRANSFER)
		return moves_files(s, n, MOVERS_ONE_WAY) ? "Your grant limits the direction of files: scp, rsync and sftp-server run only in the exact form "
		    "that their clients send, without patterns or options that name other files." : NULL;
	if (direction == 0)
		return "Your grant allows no files in either direction.";
	if (c.kind == SP_POLICY_TRANSFER_SFTP)
		return NULL;		/* judged request by request */
	if ((c.direction & direction) == 0)
		return c.direction == SP_POLICY_FILE_UP ? "Your grant allows downloads only: nothing may be copied to this target." :
		    "Your grant allows uploads only: nothing may be copied from this target.";
	return c.expands ? "Your grant limits the direction of files: name each path in full, patterns and ~ are not expanded." : NULL;
}

const char *
sp_policy_command_unruled(const char *s, size_t n, const char *blocks)
{
	struct sp_policy_command c;

	sp_policy_command(s, n, &c);
	if (c.kind == SP_POLICY_TRANSFER_SFTP || (c.kind == SP_POLICY_NO_TRANSFER && !moves_files(s, n, MOVERS)))
		return NULL;
	if (c.kind != SP_POLICY_TRANSFER_SCP)
		return "Your grant limits files to certain paths, which cannot be checked for this program: use sftp, or scp.";
	if ((sp_policy_paths_below(blocks, (struct sp_path){ "/", 1 }) & c.direction) == c.direction)
		return NULL;
	return "Your grant limits files to certain paths, which cannot be checked in scp's old protocol: use scp without -O (-s in old "
	    "versions), or sftp.";
}

void
sp_policy_command_path(const char *s, size_t n, char *dst)
{
	char quote = '\0';

	for (size_t i = 0; i < n; i++)
		if (quote != '\0' ? s[i] == quote : (s[i] == '\'' || s[i] == '"'))
			quote = quote != '\0' ? '\0' : s[i];
		else if (s[i] == '\\' && quote == '\0' && i + 1 < n)
			*dst++ = s[++i];
		else
			*dst++ = s[i];
	*dst = '\0';
}
