/* src/common/keep.h - what is kept of a session beside its recording, by its grants: bits that control gives to the recorder. */
#ifndef SP_COMMON_KEEP_H
#define SP_COMMON_KEEP_H

enum {
	SP_KEEP_UPLOADS		= 1,	/* contents of files, as SP_POLICY_FILE_* */
	SP_KEEP_DOWNLOADS	= 2,
	SP_KEEP_FILES		= 3,
	SP_KEEP_OUTPUT		= 4,	/* the first 64 KiB of what each command printed, in clear in its record */
};

#endif
