/* src/control/audit_read.h - reading audit segments: the scan at start and listings. Used by audit.c only. */
#ifndef SP_CONTROL_AUDIT_READ_H
#define SP_CONTROL_AUDIT_READ_H

#include "control/audit.h"

/* Read the newest two segments, cut a torn last line, open the newest for appending. An empty directory gives fd -1. */
enum sp_err	 audit_read_tail(int dirfd, audit_scan_fn *scan, void *arg, int *ret_fd, uint64_t *ret_bytes,
		    uint64_t *ret_next_seq, char *why, size_t why_size) SP_MUST_USE;
enum sp_err	 audit_read_list(int dirfd, const struct audit_query *q, json_t *out) SP_MUST_USE;

#endif
