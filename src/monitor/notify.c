/* src/monitor/notify.c - tell the service manager what we are doing (sd_notify(3) protocol: one datagram of NAME=value
 * lines to the socket in NOTIFY_SOCKET). Process: monitor. Failure is ignored: nobody waits for it. */
#include "monitor/monitor.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void
mon_notify(const char *text)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	sp_auto(sp_closep) int fd = -1;
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n;

	if (path == NULL || (path[0] != '/' && path[0] != '@') || (n = strlen(path)) >= sizeof(un.sun_path))
		return;
	memcpy(un.sun_path, path, n);
	if (path[0] == '@')
		un.sun_path[0] = '\0';	/* abstract */
	if ((fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) == -1)
		return;
	(void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)(void *)&un,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

/* The manager compares with its own CLOCK_MONOTONIC, which stands still during a suspend: not our usual clock. */
void
mon_notify_reloading(void)
{
	struct timespec ts = { 0 };
	char text[96];

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	sp_snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
	    (unsigned long long)ts.tv_sec * 1000000 + (unsigned long long)ts.tv_nsec / 1000);
	mon_notify(text);
}

void
mon_notify_ready(void)
{
	char text[96];

	sp_snprintf(text, sizeof(text), "READY=1\nMAINPID=%d\nSTATUS=ready", (int)getpid());
	mon_notify(text);
}
