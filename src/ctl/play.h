/* src/ctl/play.h - sallyport session play and export: recordings, opened with an auditor's key where the auditor is. */
#ifndef SP_CTL_PLAY_H
#define SP_CTL_PLAY_H

#include "ctl/cmd.h"

extern const struct ctl_opt ctl_play_args[], ctl_play_opts[], ctl_export_opts[];
enum sp_err	ctl_play(struct ctl *c) SP_MUST_USE;
enum sp_err	ctl_session_export(struct ctl *c) SP_MUST_USE;

#endif
