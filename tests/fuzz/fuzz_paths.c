/* tests/fuzz/fuzz_paths.c - rules for paths, then a null byte, then a path. Reading never faults; what is open below is open there,
 * what is open there may be; nothing that is no resolved path is open; what is not saved opens no more than what is read of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/access.h"
#include "policy/path.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, 0, size);
	size_t n = end != NULL ? (size_t)(end - data) : size;
	struct sp_path path = { end != NULL ? (const char *)end + 1 : "/", end != NULL ? size - n - 1 : 1 };
	uint32_t at, below, perhaps;
	char *rules = malloc(n + 6);

	if (rules == NULL)
		return 0;
	memcpy(rules, "both\n", 5);
	memcpy(rules + 5, data, n);
	rules[n + 5] = 0;
	at = sp_policy_paths_at(rules, path);
	below = sp_policy_paths_below(rules, path);
	perhaps = sp_policy_paths_perhaps(rules, path);
	if ((below & ~at) != 0 || (at & ~perhaps) != 0 || (perhaps & ~(uint32_t)SP_POLICY_FILE_BOTH) != 0)
		abort();
	if (perhaps != 0 && (path.n == 0 || path.p[0] != '/' || memmem(path.p, path.n, "//", 2) != NULL || memmem(path.p, path.n, "/../", 4) != NULL))
		abort();
	if (sp_policy_paths_check(rules + 5) != SP_OK && sp_policy_paths_check("") != SP_OK)
		abort();
	free(rules);
	return 0;
}
