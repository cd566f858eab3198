/* src/ctl/file_export.h - sallyport file export: contents that a grant kept, opened with an auditor's key where the auditor is. */
#ifndef SP_CTL_FILE_EXPORT_H
#define SP_CTL_FILE_EXPORT_H

#include "ctl/cmd.h"

extern const struct ctl_opt ctl_file_export_args[], ctl_file_export_opts[];
enum sp_err	ctl_file_export(struct ctl *c) SP_MUST_USE;

#endif
