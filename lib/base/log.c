/* lib/base/log.c - see log.h. One write(2) per line, so lines of several processes never mix. journald reads the
 * <N> prefix as a syslog priority when standard error is not a terminal. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "str.h"
#include "clock.h"

#define LOG_LINE	2048

static struct {
	const char		*process;
	enum sp_log_level	 least;
	int			 tty;
} logger = { "sallyport", SP_LOG_INFO, 0 };

void
sp_log_init(const char *process, enum sp_log_level least)
{
	logger.process = process;
	logger.least = least;
	logger.tty = isatty(STDERR_FILENO);
}

static void log_write(enum sp_log_level level, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

static void
log_write(enum sp_log_level level, const char *fmt, va_list ap)
{
	static const char *const prio[] = { "<7>", "<6>", "<4>", "<3>" };
	static const char *const word[] = { "debug: ", "", "warning: ", "error: " };
	char raw[LOG_LINE], safe[LOG_LINE], line[LOG_LINE + 128], when[SP_RFC3339_SIZE];
	int n;

	vsnprintf(raw, sizeof(raw), fmt, ap);
	sp_escape(raw, strlen(raw), safe, sizeof(safe));
	n = snprintf(line, sizeof(line), "%s%s %s[%d]: %s%s\n", logger.tty ? "" : prio[level],
	    sp_rfc3339(sp_wall_us(), when, sizeof(when)), logger.process, (int)getpid(), word[level], safe);
	if (n > 0 && write(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1) == -1)
		return;		/* nowhere left to say it */
}

void
sp_log(enum sp_log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level < logger.least)
		return;
	va_start(ap, fmt);
	log_write(level, fmt, ap);
	va_end(ap);
}

void
sp_die(int exit_status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_write(SP_LOG_ERROR, fmt, ap);
	va_end(ap);
	exit(exit_status);
}
