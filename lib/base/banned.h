/* lib/base/banned.h - functions that do not compile here, because each has a bounded or safer replacement.
 * Included by the build into every C file (-include). The system headers that declare them come first. */
#ifndef SP_BASE_BANNED_H
#define SP_BASE_BANNED_H
#ifndef SP_NO_BANNED
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets system popen tmpnam mktemp asctime ctime gmtime localtime
#endif
#endif
