/* src/control/command.c - events of recorders that tell of commands, into rows of the index. The audit log has them first. */
#include "control/command.h"

#include <jansson.h>
#include <string.h>

#include "base/str.h"

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* What rules made of it; the recorder passes on what the session's judgement said. */
static int64_t
risk_of(const json_t *body)
{
	static const char *const words[] = { "none", "low", "medium", "high", "critical" };

	for (size_t i = 0; i < SP_NELEMS(words); i++)
		if (strcmp(text_of(body, "risk"), words[i]) == 0)
			return (int64_t)i;
	return SP_STORE_RISK_NONE;
}

static enum sp_err
put(struct sp_store *s, struct sp_store_command *c, const json_t *body, const char *text)
{
	c->channel = json_integer_value(json_object_get(body, "channel"));
	c->risk = risk_of(body);
	c->offset_us = json_integer_value(json_object_get(body, "offset_us"));
	c->text = text;
	c->text_len = (uint32_t)strlen(text);
	return c->text_len > SP_STORE_COMMAND_MAX ? SP_ESIZE : sp_store_command_put(s, c);
}

static const char *const action_words[] = { "", "allow", "warn", "alert", "deny", "kill" };

/* What rules made of it; members that are not there leave it as not judged. */
static void
take_rule(struct sp_store_command *c, const json_t *body)
{
	const char *word = text_of(body, "action");

	for (size_t i = 1; i < SP_NELEMS(action_words); i++)
		if (strcmp(word, action_words[i]) == 0)
			c->action = (int64_t)i;
	(void)sp_strlcpy(c->rule_name, text_of(body, "rule"), sizeof(c->rule_name));
	if (sp_uuid_parse(text_of(body, "rule_id"), &c->rule_id) != SP_OK)
		c->rule_id = (struct sp_uuid){ 0 };
}

const char *
command_action_word(int64_t action)
{
	return action > 0 && (size_t)action < SP_NELEMS(action_words) ? action_words[action] : "";
}

/* What rules made of a line or an exec request. Lines that run get their own record; these rows are of what did not run, of exec
 * requests (before their channel's), and of what rules in shadow would have done. Their numbers are below 0, but for an exec that runs. */
static enum sp_err
on_judged(struct sp_store *s, struct sp_store_command *c, const json_t *body)
{
	int refused = json_is_true(json_object_get(body, "refused")), shadow = json_is_true(json_object_get(body, "shadow"));
	int exec = strcmp(text_of(body, "how"), "exec") == 0;

	if (!refused && !shadow && !exec)
		return SP_OK;
	take_rule(c, body);
	c->certainty = json_is_true(json_object_get(body, "certain")) ? SP_STORE_CERTAIN : SP_STORE_UNCERTAIN;
	c->number = refused || shadow ? -json_integer_value(json_object_get(body, "judged")) : 0;
	(void)sp_strlcpy(c->how, shadow ? "shadow" : text_of(body, "how"), sizeof(c->how));
	return put(s, c, body, text_of(body, "text"));
}

static enum sp_err
on_output(struct sp_store *s, struct sp_store_command *c, const json_t *body)
{
	return sp_store_command_output_put(s, &c->session_id, json_integer_value(json_object_get(body, "channel")),
	    json_integer_value(json_object_get(body, "number")), text_of(body, "text"), json_integer_value(json_object_get(body, "bytes")),
	    json_is_true(json_object_get(body, "cut")));
}

static enum sp_err
on_command(struct sp_store *s, struct sp_store_command *c, const json_t *body)
{
	c->number = json_integer_value(json_object_get(body, "number"));
	c->certainty = json_is_true(json_object_get(body, "hidden")) ? SP_STORE_HIDDEN :
	    json_is_true(json_object_get(body, "certain")) ? SP_STORE_CERTAIN : SP_STORE_UNCERTAIN;
	(void)sp_strlcpy(c->how, text_of(body, "how"), sizeof(c->how));
	if (*text_of(body, "prompt_user") != '\0')
		sp_snprintf(c->place, sizeof(c->place), "%s@%s", text_of(body, "prompt_user"), text_of(body, "prompt_host"));
	take_rule(c, body);
	return put(s, c, body, text_of(body, "text"));
}

/* An exec request: the request says what runs. */
static enum sp_err
on_channel(struct sp_store *s, struct sp_store_command *c, const json_t *body)
{
	if (strcmp(text_of(body, "type"), "exec") != 0)
		return SP_OK;
	c->certainty = SP_STORE_CERTAIN;
	(void)sp_strlcpy(c->how, "exec", sizeof(c->how));
	return put(s, c, body, text_of(body, "detail"));
}

static enum sp_err
on_end(struct sp_store *s, struct sp_store_command *c, const json_t *body)
{
	return sp_store_command_ended(s, &c->session_id, json_integer_value(json_object_get(body, "channel")),
	    json_integer_value(json_object_get(body, "number")), c->at_us);	/* of a channel: number 0, the exec request */
}

static const struct {
	const char	*kind;
	enum sp_err	(*fn)(struct sp_store *, struct sp_store_command *, const json_t *);
} kinds[] = {
	{ "command-judged", on_judged }, { "command", on_command }, { "command-end", on_end }, { "command-output", on_output }, { "channel", on_channel }, { "channel-end", on_end },
};

int
command_kind(const char *kind)
{
	for (size_t i = 0; i < SP_NELEMS(kinds); i++)
		if (strcmp(kinds[i].kind, kind) == 0)
			return 1;
	return 0;
}

enum sp_err
command_index(struct sp_store *s, const struct sp_uuid *session_id, const char *kind, int64_t at_us, const void *body, size_t n)
{
	struct sp_store_command c = { .session_id = *session_id, .at_us = at_us };
	enum sp_err r = SP_OK;
	json_t *o;

	if (!command_kind(kind))
		return SP_OK;
	o = json_loadb(body, n, 0, NULL);
	for (size_t i = 0; json_is_object(o) && i < SP_NELEMS(kinds); i++)
		if (strcmp(kinds[i].kind, kind) == 0)
			r = kinds[i].fn(s, &c, o);
	json_decref(o);
	return r;
}
