/* tests/fuzz/fuzz_conf.c - reading a configuration by the table of Sallyport's own settings: a text that is refused changes
 * nothing and says where; one that is taken leaves every value within its limits and reads the same again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"

static void
within_limits(const struct sp_conf_field *f, const struct sp_config *c)
{
	const char *at = (const char *)c + f->offset;
	const struct sp_conf_list *list;
	int64_t n;

	switch (f->type) {
	case SP_CONF_STR:
	case SP_CONF_PATH:
		if (strnlen(at, SP_CONF_TEXT) == SP_CONF_TEXT || (f->type == SP_CONF_PATH && at[0] != '\0' && at[0] != '/'))
			abort();
		break;
	case SP_CONF_STRLIST:
		list = (const struct sp_conf_list *)(const void *)at;
		if (list->n > SP_CONF_LIST)
			abort();
		for (size_t i = 0; i < list->n; i++)
			if (strnlen(list->v[i], SP_CONF_TEXT) == SP_CONF_TEXT)
				abort();
		break;
	case SP_CONF_BOOL:
	case SP_CONF_INT:
	case SP_CONF_DURATION:
		memcpy(&n, at, sizeof(n));
		if (f->type == SP_CONF_BOOL ? n != 0 && n != 1 : f->least < f->most && (n < f->least || n > f->most))
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sp_config base, c, again;
	static int ready;
	char why[512] = "";

	if (!ready) {
		sp_conf_defaults(sp_config_table, &base);
		ready = 1;
	}
	c = base;
	if (sp_conf_parse(sp_config_table, "fuzz", (const char *)data, size, &c, sizeof(c), why, sizeof(why)) != SP_OK) {
		if (memcmp(&c, &base, sizeof(c)) != 0 || strncmp(why, "fuzz", 4) != 0)
			abort();
		return 0;
	}
	for (const struct sp_conf_field *f = sp_config_table; f->key != NULL; f++)
		within_limits(f, &c);
	/* With the checks across settings: taken or refused with a place, never anything else. */
	again = base;
	if (sp_config_parse("fuzz", (const char *)data, size, &again, why, sizeof(why)) != SP_OK &&
	    (memcmp(&again, &base, sizeof(base)) != 0 || strncmp(why, "fuzz", 4) != 0))
		abort();
	again = base;
	if (sp_conf_parse(sp_config_table, "fuzz", (const char *)data, size, &again, sizeof(again), why, sizeof(why)) != SP_OK ||
	    memcmp(&c, &again, sizeof(c)) != 0)
		abort();
	return 0;
}
