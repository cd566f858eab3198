/* src/control/filelog.c - see filelog.h. Process: control. */
#include "control/filelog.h"

#include <jansson.h>
#include <string.h>

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

enum sp_err
filelog_event_put(struct sp_store *s, const struct sp_store_event *e)
{
	json_t *o;
	enum sp_err r = SP_OK;

	if (strcmp(e->kind, "file") == 0 && (o = json_loadb((const char *)e->payload, e->payload_len, 0, NULL)) != NULL) {
		struct sp_store_file f = { .session_id = e->session_id, .seq = e->seq, .at_us = e->at_us, .op = text_of(o, "op"),
		    .path = text_of(o, "path"), .to = text_of(o, "to"), .result = text_of(o, "result") };

		r = sp_store_file_put(s, &f);
		json_decref(o);
	}
	return r == SP_OK ? sp_store_event_put(s, e) : r;
}
