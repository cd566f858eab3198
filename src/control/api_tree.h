/* src/control/api_tree.h - is a caller of the admin socket one of our own processes? */
#ifndef SP_CONTROL_API_TREE_H
#define SP_CONTROL_API_TREE_H

#include <sys/types.h>

/* proc_fd: an open /proc. 1: below the monitor; 0: not; -1: the caller cannot be looked at (it is refused then). */
int	api_tree_is_ours(int proc_fd, pid_t caller, pid_t monitor);

#endif
