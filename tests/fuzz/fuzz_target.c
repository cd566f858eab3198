/* tests/fuzz/fuzz_target.c - a target that parses prints to a text that parses to the same target. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "wire/target.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[SP_TARGET_MAX + 1];
	struct sp_target t, u;
	const char *why;

	for (int form = SP_TARGET_PLACE; form <= SP_TARGET_LOGIN; form++) {
		why = NULL;
		if (sp_target_parse((const char *)data, size, (enum sp_target_form)form, &why, &t) != SP_OK) {
			if (why == NULL)
				abort();
			continue;
		}
		if (sp_target_format(&t, (enum sp_target_form)form, text, sizeof(text)) != SP_OK ||
		    sp_target_parse(text, strlen(text), (enum sp_target_form)form, NULL, &u) != SP_OK ||
		    strcmp(t.user, u.user) != 0 || strcmp(t.account, u.account) != 0 || strcmp(t.asset, u.asset) != 0)
			abort();
		if (t.asset[0] != 0 && !sp_name_is_ok(t.asset, SP_TARGET_PART_MAX))
			abort();
	}
	return 0;
}
