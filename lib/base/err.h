/* lib/base/err.h - one error type for libraries, processes, the command line and the API; generated from err.def. */
#ifndef SP_BASE_ERR_H
#define SP_BASE_ERR_H

enum sp_err {
#define SP_ERR(name, text, http, exit_status) SP_##name,
#include "err.def"
#undef SP_ERR
	SP_ERR_N
};

/* All three accept any value; an unknown one reads as EINTERNAL. Texts are static. */
const char	*sp_err_text(enum sp_err e);
const char	*sp_err_name(enum sp_err e);		/* "EACCES" */
int		 sp_err_http(enum sp_err e);
int		 sp_err_exit(enum sp_err e);
/* The nearest sp_err of an errno value; to be called right after the call that failed. Never SP_OK. */
enum sp_err	 sp_err_errno(int errnum);

#endif
