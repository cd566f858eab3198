/* src/ctl/recording.c - sallyport recording: how long recordings are kept. */
#include "ctl/nouns.h"
#include "ctl/rewrap.h"

static const struct ctl_opt recording_id_arg[] = {
	{ "ID", CTL_STR, .complete = "session", .help = "id of the session" },
	CTL_END
};
static const struct ctl_opt recording_reason_args[] = {
	{ "ID", CTL_STR, .complete = "session", .help = "id of the session" },
	{ "REASON", CTL_WORDS, .help = "kept in the audit log" },
	CTL_END
};
static const struct ctl_col recording_cols[] = {
	{ "id", "ID", .flags = CTL_COL_WHOLE },
	{ "state", "STATE" },
	{ "user", "USER" },
	{ "account", "ACCOUNT" },
	{ "asset", "ASSET" },
	{ "started", "AGE", CTL_FMT_AGE },
	{ "bytes", "SIZE", CTL_FMT_BYTES, CTL_COL_RIGHT },
	{ "held", "HELD", .flags = CTL_COL_EXTRA },
	{ "segments", "SEGMENTS", .flags = CTL_COL_CARD },
	{ "ended", "ENDED", CTL_FMT_TIME, CTL_COL_CARD },
	{ NULL }
};
static const struct ctl_opt recording_list_opts[] = {
	{ "user", CTL_STR, .value = "LOGIN", .complete = "user", .help = "only of this user" },
	{ "asset", CTL_STR, .value = "NAME", .complete = "asset", .help = "only on this asset" },
	{ "since", CTL_TIME, .value = "TIME", .help = "begun not before this" },
	{ "until", CTL_TIME, .value = "TIME", .help = "begun before this" },
	{ "larger", CTL_STR, .value = "SIZE", .help = "at least so large (500M, 2G)" },
	{ "held", CTL_FLAG, .help = "only those that are held" },
	{ "state", CTL_STR, .value = "STATE", .choices = "live|whole|torn|gone",
	  .help = "live: still written; whole: ended in order; torn: its recorder died; gone: deleted" },
	{ "limit", CTL_INT, .value = "N", .help = "at most so many, the newest (1000)" },
	CTL_END
};
static const struct ctl_col policy_cols[] = {
	{ "department", "DEPARTMENT" },
	{ "keep_s", "KEEP, S", .flags = CTL_COL_RIGHT },
	{ "max_bytes", "AT MOST", CTL_FMT_BYTES, CTL_COL_RIGHT },
	{ "least_s", "AT LEAST, S", .flags = CTL_COL_RIGHT },
	{ NULL }
};
#define POLICY_DEPARTMENT \
	{ "department", CTL_STR, .value = "NAME", .complete = "department", .help = "for this department and those below it (default: all that have none of their own)" }
static const struct ctl_opt policy_set_opts[] = {
	POLICY_DEPARTMENT,
	{ "keep", CTL_DURATION, .param = "keep_s", .value = "TIME", .help = "delete what is older (180d); 0: whatever its age" },
	{ "max-size", CTL_STR, .value = "SIZE", .help = "delete the oldest while all of them are more than this (500G); 0: whatever their size" },
	{ "at-least", CTL_DURATION, .param = "least_s", .value = "TIME", .help = "that size alone deletes nothing younger than (7d)" },
	CTL_END
};
static const struct ctl_opt policy_remove_opts[] = {
	POLICY_DEPARTMENT,
	CTL_END
};
static const struct ctl_col retention_cols[] = {
	{ "id", "ID", .flags = CTL_COL_WHOLE },
	{ "user", "USER" },
	{ "asset", "ASSET" },
	{ "started", "AGE", CTL_FMT_AGE },
	{ "bytes", "SIZE", CTL_FMT_BYTES, CTL_COL_RIGHT },
	{ "why", "WHY" },
	{ NULL }
};
static const struct ctl_opt retention_opts[] = {
	{ "dry-run", CTL_FLAG, .help = "only say what would go" },
	{ "accept-clock", CTL_FLAG, .help = "the clock of this machine is right, though it went on by days since it was looked at last" },
	CTL_END
};
#define SEGMENT_OPT	{ "segment", CTL_INT, .value = "N", .help = "which segment (1)" }
static const struct ctl_col vault_cols[] = {
	{ "department", "DEPARTMENT" },
	{ "recipient", "PUBLIC KEY", .flags = CTL_COL_WHOLE },
	{ "since", "AGE", CTL_FMT_AGE, CTL_COL_EXTRA },
	{ NULL }
};
static const struct ctl_opt header_opts[] = {
	SEGMENT_OPT,
	CTL_END
};
static const struct ctl_opt put_header_args[] = {
	{ "ID", CTL_STR, .complete = "session", .help = "id of the session" },
	{ "HEADER", CTL_STR, .param = "header", .help = "the new header, in base64" },
	CTL_END
};
static const struct ctl_cmd recording_cmds[] = {
	{ "list", "list recordings, newest first", .opts = recording_list_opts, .method = "recording.list", .show = CTL_ROWS,
	  .cols = recording_cols, .empty = "No recordings.",
	  .more = "Deleted ones are listed with --state gone only." },
	{ "policy set", "say how long recordings are kept", .opts = policy_set_opts, .method = "recording.policy.set",
	  .done = "Policy set; 'recording retention --dry-run' tells what would go.",
	  .more = "A recording goes by the policy of the department of its asset (of its user, once the asset is gone), or of the nearest one "
	    "above it that has one, or by the one for all; without any it is kept for ever. Its age is counted from when it was written last. Size alone "
	    "deletes nothing younger than --at-least, so that who fills the disk does not drive out what was recorded before. What is live or "
	    "held stays. The options that are not given stay as they were." },
	{ "policy list", "list the policies", .method = "recording.policy.list", .show = CTL_ROWS, .cols = policy_cols,
	  .empty = "No policies: recordings are kept for ever." },
	{ "policy remove", "keep recordings for ever, or as the policy above says", .opts = policy_remove_opts, .method = "recording.policy.remove",
	  .done = "Policy removed." },
	{ "retention", "delete now what the policies say, and list it", .opts = retention_opts, .method = "recording.retention", .show = CTL_ROWS,
	  .cols = retention_cols, .empty = "Nothing goes.",
	  .more = "The same happens by itself every retention_every (configuration). Each deletion has its entry recording.delete before and "
	    "recording.deleted after it. By itself it deletes at most a quarter at once, and nothing when the clock is not that of before, or "
	    "went on by more than three days since it was looked at: then there is an alarm (retention-refused), and somebody runs this." },
	{ "rewrap", "let the auditors of today open recordings of before, with a key that opens them", .args = ctl_rewrap_args, .opts = ctl_rewrap_opts,
	  .method = "recording.rewrap", .run = ctl_rewrap,
	  .more = "Run where the private key is, with --via for the bastion. Only headers cross the line; each recording keeps its payload, and every proof "
	    "about it, and the log has the hashes of both headers (recording.rewrap). The first header stays beside the recording." },
	{ "header", "show the header of a recording, and who is to open it", .args = recording_id_arg, .opts = header_opts, .method = "recording.header",
	  .show = CTL_OBJECT },
	{ "put-header", "hand in a new header: what 'recording rewrap' does", .args = put_header_args, .opts = header_opts, .method = "recording.rewrap",
	  .done = "The recording of session {id} has a new header." },
	{ "vault set", "let the vault open recordings from now on, so that who is permitted replays without a key", .opts = policy_remove_opts,
	  .method = "recording.vault.set", .done = "The vault is a recipient of recordings that begin from now on ({recipient}).",
	  .more = "This gives up that nobody here can open them: who owns the bastion and its vault, unsealed, can. Who may replay is said by root: 'settings set "
	    "may_replay.LOGIN yes', for auditors and administrators. Each replay is an entry before (recording.unwrap) and after it." },
	{ "vault list", "list the departments whose recordings the vault opens", .method = "recording.vault.list", .show = CTL_ROWS, .cols = vault_cols,
	  .empty = "The vault opens no recordings." },
	{ "vault remove", "let the vault open no recordings, those of before neither", .opts = policy_remove_opts, .method = "recording.vault.remove",
	  .done = "The vault opens none of them any more." },
	{ "hold", "keep a recording until it is released, whatever else is said", .args = recording_reason_args, .method = "recording.hold",
	  .done = "The recording of session {id} is held." },
	{ "release", "end a hold", .args = recording_id_arg, .method = "recording.release", .done = "The recording of session {id} is not held any more." },
	{ "delete", "delete the files of a recording; the log keeps who did it, why, and their hashes", .args = recording_reason_args,
	  .method = "recording.delete", .done = "The recording of session {id} is deleted; the audit log says when it is gone.",
	  .more = "Refused for a live session and for a recording that is held. The entry recording.delete is durable before a file goes; "
	    "recording.deleted says what came of it." },
	{ NULL }
};
const struct ctl_noun ctl_noun_recording = { "recording", "list, keep and delete recordings", recording_cmds };
