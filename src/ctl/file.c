/* src/ctl/file.c - sallyport file: what was done to files, in every session. */
#include "ctl/file_export.h"
#include "ctl/nouns.h"

static const struct ctl_col file_cols[] = {
	{ "time", "TIME", CTL_FMT_TIME, 0 },
	{ "user", "USER" },
	{ "asset", "ASSET" },
	{ "op", "DONE" },
	{ "path", "PATH" },
	{ "to", "TO", .flags = CTL_COL_EXTRA },
	{ "bytes", "BYTES", CTL_FMT_BYTES, 0 },
	{ "result", "RESULT" },
	{ "sha256", "SHA-256", .flags = CTL_COL_EXTRA },
	{ "kept", "KEPT" },
	{ "account", "ACCOUNT", .flags = CTL_COL_EXTRA },
	{ "session", "SESSION", .flags = CTL_COL_EXTRA },
	{ NULL }
};
static const struct ctl_opt file_search_opts[] = {
	{ "user", CTL_STR, .value = "LOGIN", .complete = "user", .help = "only of this user" },
	{ "asset", CTL_STR, .value = "NAME", .complete = "asset", .help = "only on this asset" },
	{ "path", CTL_STR, .value = "TEXT", .help = "only paths in which this stands; either case of ASCII letters" },
	{ "op", CTL_STR, .value = "WHAT", .help = "only this: upload, download, rename, remove, mkdir, symlink ..." },
	{ "session", CTL_STR, .value = "ID", .complete = "session", .help = "only in this session" },
	{ "since", CTL_TIME, .value = "TIME", .help = "not before" },
	{ "until", CTL_TIME, .value = "TIME", .help = "before" },
	{ "limit", CTL_INT, .value = "N", .help = "at most so many, the newest (100)" },
	CTL_END
};
static const struct ctl_cmd file_cmds[] = {
	{ "search", "files that went up and down, and changes of names", .opts = file_search_opts, .method = "file.search",
	  .show = CTL_ROWS, .cols = file_cols, .empty = "No files.",
	  .more = "A path is shown with control characters and bytes that are not UTF-8 as \\xNN, and a backslash as \\\\: so its exact bytes "
	    "can be had back. The hash is that of the bytes that passed; --json also says from which offset on, whether a download went to "
	    "the end, and, for bytes that did not come in order, the hash of each range." },
	{ "export", "write what was in files, where the grant kept it", .args = ctl_file_export_args, .opts = ctl_file_export_opts,
	  .method = "recording.open", .run = ctl_file_export,
	  .more = "A grant with --keep-files keeps what sftp and scp moved, encrypted to the auditors like the recording, and deleted with it. KEPT "
	    "of 'file search' is its number. Each file is made anew from the bytes that passed and compared with the hash in the log; what did not pass "
	    "in that session is zeros, and is said. Names here are a number and the harmless signs of the file's own." },
	{ NULL }
};
const struct ctl_noun ctl_noun_file = { "file", "what was done to files in sessions", file_cmds };
