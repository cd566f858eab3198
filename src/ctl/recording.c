/* src/ctl/recording.c - sallyport recording: how long recordings are kept. */
#include "ctl/nouns.h"

static const struct ctl_opt recording_id_arg[] = {
	{ "ID", CTL_STR, .complete = "session", .help = "id of the session" },
	CTL_END
};
static const struct ctl_opt recording_reason_args[] = {
	{ "ID", CTL_STR, .complete = "session", .help = "id of the session" },
	{ "REASON", CTL_WORDS, .help = "kept in the audit log" },
	CTL_END
};
static const struct ctl_cmd recording_cmds[] = {
	{ "hold", "keep a recording until it is released, whatever else is said", .args = recording_reason_args, .method = "recording.hold",
	  .done = "The recording of session {id} is held." },
	{ "release", "end a hold", .args = recording_id_arg, .method = "recording.release", .done = "The recording of session {id} is not held any more." },
	{ "delete", "delete the files of a recording; the log keeps who did it, why, and their hashes", .args = recording_reason_args,
	  .method = "recording.delete", .done = "The recording of session {id} is deleted; the audit log says when it is gone.",
	  .more = "Refused for a live session and for a recording that is held. The entry recording.delete is durable before a file goes; "
	    "recording.deleted says what came of it." },
	{ NULL }
};
const struct ctl_noun ctl_noun_recording = { "recording", "keep and delete recordings", recording_cmds };
