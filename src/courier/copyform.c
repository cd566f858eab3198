/* src/courier/copyform.c - see copyform.h. */
#include "courier/copyform.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "courier/internal.h"
#include "wire/syslog.h"

#define ENTRY_FLAGS	(JSON_COMPACT | JSON_SORT_KEYS)
#define PYTHON_FLAGS	JSON_SORT_KEYS		/* ", " and ": ", as json.dumps has them */

static const struct {
	const char	*result;
	unsigned	 severity;
} severities[] = {
	{ "ok", SP_SYSLOG_INFO }, { "refused", SP_SYSLOG_WARNING }, { "failed", SP_SYSLOG_ERROR },
};

static void
json_unref(json_t **j)
{
	json_decref(*j);
}

static unsigned
severity_of(const json_t *e)
{
	const char *result = json_string_value(json_object_get(e, "result"));

	for (size_t i = 0; result != NULL && i < SP_NELEMS(severities); i++)
		if (strcmp(result, severities[i].result) == 0)
			return severities[i].severity;
	return SP_SYSLOG_NOTICE;
}

/* Not even without its texts: what it was, and where to find it. */
static json_t *
replacement_of(const json_t *o, const json_t *e)
{
	json_t *replacement = json_object(), *id = json_object_get(o, "id");

	json_object_set_new(replacement, "shortened", json_true());
	json_object_set(replacement, "seq", json_object_get(e, "seq"));
	if (json_is_string(id) && json_string_length(id) < SP_UUID_SIZE)
		json_object_set(replacement, "id", id);
	return replacement;
}

static enum sp_err
text_of(json_t *o, const json_t *e, size_t room, size_t flags, char **ret)
{
	enum sp_err r = copy_fit(o, room, flags, ret);
	json_t *replacement;

	if (r != SP_ESIZE)
		return r;
	replacement = replacement_of(o, e);
	r = copy_fit(replacement, room, flags, ret);
	json_decref(replacement);
	return r;
}

static enum sp_err
form_5424(const struct copy_form *f, json_t *e, struct sp_buf *ret)
{
	struct sp_syslog_head h = { .facility = f->facility, .severity = severity_of(e), .host = f->host, .app = "sallyport",
	    .msgid = json_string_value(json_object_get(e, "kind")), .seq = (uint64_t)json_integer_value(json_object_get(e, "seq")) };
	const char *wall = json_string_value(json_object_get(e, "wall"));
	sp_auto(sp_buf_release) struct sp_buf head = { .max = SP_SYSLOG_HEAD_MAX };
	sp_auto(sp_freep) char *text = NULL;
	struct sp_view msg;
	enum sp_err r;

	if (wall == NULL || sp_rfc3339_parse(wall, &h.wall_us) != SP_OK)
		h.wall_us = INT64_MAX;		/* prints as "-" */
	if ((r = sp_syslog_5424(&h, (struct sp_view){ 0 }, &head)) != SP_OK ||
	    (r = text_of(e, e, f->limit > head.len ? f->limit - head.len : 0, ENTRY_FLAGS, &text)) != SP_OK)
		return r;
	msg = (struct sp_view){ (const uint8_t *)text, strlen(text) };
	return f->frame == COPY_COUNTED ? sp_syslog_5424_counted(&h, msg, ret) : sp_syslog_5424(&h, msg, ret);
}

static enum sp_err
form_jumpserver(const struct copy_form *f, const json_t *e, const json_t *ctx, struct sp_buf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf head = { .max = SP_SYSLOG_HEAD_MAX };
	sp_auto(sp_freep) char *text = NULL;
	const char *category = NULL;
	sp_auto(json_unref) json_t *o = jumpserver_record(f, e, ctx, &category);
	enum sp_err r;

	if (o == NULL)
		return SP_ENOENT;
	if ((r = sp_syslog_jumpserver(f->facility, category, (struct sp_view){ 0 }, &head)) != SP_OK ||
	    (r = text_of(o, e, f->limit > head.len ? f->limit - head.len : 0, PYTHON_FLAGS, &text)) != SP_OK)
		return r;
	return sp_syslog_jumpserver(f->facility, category, (struct sp_view){ (const uint8_t *)text, strlen(text) }, ret);
}

enum sp_err
copy_form(const struct copy_form *f, struct sp_view entry, struct sp_view context, struct sp_buf *ret)
{
	sp_auto(json_unref) json_t *e = json_loadb((const char *)entry.p, entry.len, 0, NULL);
	sp_auto(json_unref) json_t *ctx = context.len > 0 ? json_loadb((const char *)context.p, context.len, 0, NULL) : NULL;

	if (!json_is_object(e) || !json_is_string(json_object_get(e, "kind")))
		return SP_EFORMAT;
	return f->jumpserver ? form_jumpserver(f, e, ctx, ret) : form_5424(f, e, ret);
}
