/* lib/base/log.h - one line per event on standard error, for a process at its edge. Libraries do not call it.
 * Every argument is escaped as a whole line, so that no input can forge a line. Never pass a secret. */
#ifndef SP_BASE_LOG_H
#define SP_BASE_LOG_H

#include "attr.h"

enum sp_log_level { SP_LOG_DEBUG, SP_LOG_INFO, SP_LOG_WARN, SP_LOG_ERROR };

void	sp_log_init(const char *process, enum sp_log_level least);	/* process: static text */
void	sp_log(enum sp_log_level level, const char *fmt, ...) SP_PRINTF(2, 3);
void	sp_die(int exit_status, const char *fmt, ...) SP_PRINTF(2, 3) SP_NORETURN;

#define sp_debug(...)	sp_log(SP_LOG_DEBUG, __VA_ARGS__)
#define sp_info(...)	sp_log(SP_LOG_INFO, __VA_ARGS__)
#define sp_warn(...)	sp_log(SP_LOG_WARN, __VA_ARGS__)
#define sp_error(...)	sp_log(SP_LOG_ERROR, __VA_ARGS__)

#endif
