/* src/ctl/entry.c - main() alone, so that tests link everything else. */
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl/cmd.h"

int
main(int argc, char **argv)
{
	struct ctl c = { .out = stdout, .err = stderr, .is_tty = isatty(STDOUT_FILENO) };
	struct winsize ws;

	signal(SIGPIPE, SIG_IGN);	/* a closed pipe is a write error, told by the exit status */
	json_object_seed(0);
	if (c.is_tty && ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0)
		c.width = ws.ws_col;
	return ctl_main(&c, argc, argv);
}
