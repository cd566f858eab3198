/* tests/fuzz/fuzz_command.c - what is taken for a transfer has no sign that a shell acts upon; scp one word behind its options. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/command.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *s = (const char *)data;
	struct sp_policy_command cmd;

	sp_policy_command(s, size, &cmd);
	if (cmd.kind != SP_POLICY_NO_TRANSFER)
		for (size_t i = 0; i < size; i++)
			if (data[i] < ' ' || data[i] == 127 || strchr("&|<>;$`^!", s[i]) != NULL)
				abort();
	if (cmd.path_len > 0 && (cmd.path < s || cmd.path + cmd.path_len != s + size))
		abort();
	if (!sp_policy_command_is_scp(s, size))
		return 0;
	if (size < 8 || memcmp(s, "scp -", 5) != 0)
		abort();
	for (size_t i = 0; i < size; i++)
		if (data[i] < ' ' || data[i] == 127 || strchr("&|<>;$`%^!", s[i]) != NULL)
			abort();
	/* A longer line of the same beginning is no other command. */
	for (const char *c = ";&|\n`"; *c; c++) {
		char *longer = malloc(size + 1);

		if (longer == NULL)
			abort();
		memcpy(longer, s, size);
		longer[size] = *c;
		if (sp_policy_command_is_scp(longer, size + 1))
			abort();
		free(longer);
	}
	return 0;
}
