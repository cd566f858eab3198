/* src/session/commands.c - see commands.h. */
#include "session/commands.h"

#include <string.h>

#include "base/log.h"
#include "base/wallclock.h"
#include "common/cmdset.h"
#include "session/session.h"

#define TEXT_MAX	80000u		/* bytes of a line that the recorder is told */

int
commands_load(struct target *t, const Sallyport__CommandPlace *place, int fd)
{
	struct sp_commands *c = NULL;
	enum sp_err r;

	if (place == NULL) {
		commands_free(t);
		return 1;
	}
	if ((r = cmdset_read(fd, place, &c)) != SP_OK) {
		sp_error("the rules for commands cannot be used: %s", sp_err_text(r));
		return 0;
	}
	commands_free(t);
	t->commands = c;
	return 1;
}

void
commands_free(struct target *t)
{
	sp_commands_free(t->commands);
	t->commands = NULL;
}

int
commands_judge(struct relay *r, const struct sp_command_line *line, struct sp_command_verdict *ret)
{
	struct sp_command_line l = *line;

	if (r->target == NULL || r->target->commands == NULL)
		return 0;
	l.now_us = sp_wall_us();
	sp_commands_judge(r->target->commands, &l, ret);
	return 1;
}

static void
rule_name(const struct target *t, int rule, char dst[2 * SESSION_TEXT])
{
	struct sp_command_said s;

	sp_commands_rule(t->commands, rule, &s);
	(void)sp_snprintf(dst, 2 * SESSION_TEXT, "%s/%s", s.set, s.name);
}

static void
tell(struct relay *r, const struct sp_command_line *line, int rule, int action, int shadow, const char *word, const char *how, int ran)
{
	Sallyport__LineJudged m = SALLYPORT__LINE_JUDGED__INIT;
	char name[2 * SESSION_TEXT] = "";
	struct sp_command_said s;

	if (rule >= 0) {
		sp_commands_rule(r->target->commands, rule, &s);
		rule_name(r->target, rule, name);
		m.rule_id = (ProtobufCBinaryData){ SP_UUID_LEN, s.id.b };
	}
	m.channel = r->number;
	m.text = (ProtobufCBinaryData){ line->len < TEXT_MAX ? line->len : TEXT_MAX, (uint8_t *)(uintptr_t)line->text };
	m.certain = !line->uncertain;
	m.how = (char *)(uintptr_t)how;
	m.rule = name;
	m.action = (uint32_t)action;
	m.shadow = shadow != 0;
	m.word = (char *)(uintptr_t)word;
	m.ran = ran != 0;
	target_scribe(r->target, SP_MSG_LINE_JUDGED, &m);
}

void
commands_tell(struct relay *r, const struct sp_command_line *line, const struct sp_command_verdict *v, const char *how, int ran)
{
	struct sp_command_said s;

	if (v->shadow >= 0) {
		sp_commands_rule(r->target->commands, v->shadow, &s);
		tell(r, line, v->shadow, s.action, 1, v->word, how, 0);
	}
	if (v->rule >= 0 || v->action >= SP_COMMAND_DENY)
		tell(r, line, v->rule, v->action, 0, v->word, how, ran);
}

void
commands_text(const struct target *t, const struct sp_command_verdict *v, char dst[COMMANDS_TEXT])
{
	struct sp_command_said s = { .message = "" };
	char message[COMMANDS_TEXT];

	if (v->rule >= 0)
		sp_commands_rule(t->commands, v->rule, &s);
	(void)sp_escape(s.message, strlen(s.message), message, sizeof(message));
	if (v->action >= SP_COMMAND_DENY && message[0] == '\0')
		(void)sp_snprintf(dst, COMMANDS_TEXT, v->uncertain && v->rule < 0 ? "What this line runs is not certain, so it is forbidden" :
		    "Command `%s` is forbidden", v->word);
	else if (v->action >= SP_COMMAND_DENY)
		(void)sp_snprintf(dst, COMMANDS_TEXT, "Command `%s` is forbidden: %s", v->word, message);
	else
		(void)sp_snprintf(dst, COMMANDS_TEXT, "Command `%s`: %s", v->word, message[0] != '\0' ? message : "this is watched");
}

void
commands_kill(struct target *t, const struct sp_command_verdict *v)
{
	char by[2 * SESSION_TEXT], text[COMMANDS_TEXT];

	rule_name(t, v->rule, by);
	commands_text(t, v, text);
	target_kill(t, by, text);
}

int
commands_exec(struct relay *r)
{
	struct sp_command_line line = { .text = sp_buf_cstr(&r->detail), .len = r->detail.len, .protocol = "exec" };
	struct sp_command_verdict v;
	char text[COMMANDS_TEXT];

	if (strcmp(r->type, "exec") != 0 || !commands_judge(r, &line, &v))
		return 1;
	commands_tell(r, &line, &v, "exec", 0);
	if (r->target == NULL || r->target->state == TG_ENDED)
		return 0;			/* the recorder is gone */
	if (v.action == SP_COMMAND_KILL)
		commands_kill(r->target, &v);
	else if (v.action == SP_COMMAND_DENY) {
		commands_text(r->target, &v, text);
		relay_fail(r, text);
	} else if (v.action == SP_COMMAND_WARN && r->near != NULL) {
		char out[COMMANDS_TEXT + 16];

		commands_text(r->target, &v, text);
		(void)sp_snprintf(out, sizeof(out), r->pty ? "%s\r\n" : "sallyport: %s\n", text);
		(void)sp_channel_write(r->near, r->pty ? SP_STREAM_OUT : SP_STREAM_ERR, out, strlen(out));
	}
	return v.action < SP_COMMAND_DENY;
}
