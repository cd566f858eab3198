/* lib/base/err.c - tables expanded from err.def. Pure. */
#include "err.h"

#include <errno.h>

static const struct {
	const char	*name, *text;
	int		 http, exit_status;
} errs[] = {
#define SP_ERR(name, text, http, exit_status) [SP_##name] = { #name, text, http, exit_status },
#include "err.def"
#undef SP_ERR
};

static enum sp_err
err_clamp(enum sp_err e)
{
	return (unsigned)e < SP_ERR_N ? e : SP_EINTERNAL;
}

const char *sp_err_text(enum sp_err e) { return errs[err_clamp(e)].text; }
const char *sp_err_name(enum sp_err e) { return errs[err_clamp(e)].name; }
int sp_err_http(enum sp_err e) { return errs[err_clamp(e)].http; }
int sp_err_exit(enum sp_err e) { return errs[err_clamp(e)].exit_status; }

enum sp_err
sp_err_errno(int errnum)
{
	static const struct { int errnum; enum sp_err err; } map[] = {
		{ ENOMEM, SP_ENOMEM }, { EIO, SP_EIO }, { ENOSPC, SP_ENOSPC }, { EDQUOT, SP_ENOSPC },
		{ EFBIG, SP_ENOSPC }, { ENOENT, SP_ENOENT }, { EEXIST, SP_EEXIST }, { EACCES, SP_EACCES },
		{ EPERM, SP_EACCES }, { EINVAL, SP_EINVAL }, { EAGAIN, SP_EAGAIN }, { EBUSY, SP_EBUSY },
		{ EPIPE, SP_ECLOSED }, { ECONNRESET, SP_ECLOSED }, { ETIMEDOUT, SP_ETIMEOUT },
		{ ECONNREFUSED, SP_EUNREACH }, { EHOSTUNREACH, SP_EUNREACH }, { ENETUNREACH, SP_EUNREACH },
		{ EMSGSIZE, SP_ESIZE }, { ENAMETOOLONG, SP_ESIZE },
	};

	for (unsigned i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (map[i].errnum == errnum)
			return map[i].err;
	return SP_ESYS;
}
