/* src/common/cmdset.c - see cmdset.h. */
#include "common/cmdset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS	(F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

static enum sp_err
add_rule(struct sp_commands *c, const Sallyport__CommandRule *m)
{
	struct sp_command_rule r = { .name = m->name, .set = m->set, .message = m->message, .priority = (int)m->priority,
	    .action = (int)m->action, .shadow = m->shadow, .expires_us = m->expires_us, .text = (const char *)m->text.data,
	    .len = m->text.len };
	struct sp_rules_error err;
	enum sp_err e = sp_uuid_from(m->id.data, m->id.len, &r.id);

	return e != SP_OK ? e : sp_commands_add(c, &r, &err);
}

static enum sp_err
set_place(struct sp_commands *c, const Sallyport__CommandPlace *m)
{
	struct sp_command_place p = { .user = m->user, .role = m->role, .asset = m->asset, .account = m->account, .login = m->login,
	    .source = m->source, .port = m->port, .group = (const char *const *)m->groups, .groups = m->n_groups,
	    .department = (const char *const *)m->departments, .departments = m->n_departments,
	    .asset_group = (const char *const *)m->asset_groups, .asset_groups = m->n_asset_groups,
	    .tag = (const char *const *)m->tags, .tags = m->n_tags, .mode = (int)m->mode, .refuse_uncertain = m->refuse_uncertain,
	    .tz_offset_s = m->tz_offset_s };

	return sp_commands_place(c, &p);
}

enum sp_err
cmdset_make(const Sallyport__CommandRules *rules, const Sallyport__CommandPlace *place, struct sp_commands **ret)
{
	struct sp_commands *c = NULL;
	struct sp_rules_error err;
	enum sp_err r = sp_commands_new(&c);

	for (size_t i = 0; r == SP_OK && i < rules->n_rules; i++)
		r = add_rule(c, rules->rules[i]);
	if (r == SP_OK && place != NULL)
		r = set_place(c, place);
	if (r == SP_OK)
		r = sp_commands_ready(c, &err);
	if (r != SP_OK) {
		sp_commands_free(c);
		return r;
	}
	*ret = c;
	return SP_OK;
}

static enum sp_err
read_all(int fd, uint8_t *p, size_t n)
{
	size_t at = 0;

	while (at < n) {
		ssize_t k = pread(fd, p + at, n - at, (off_t)at);

		if (k == -1 && errno == EINTR)
			continue;
		if (k <= 0)
			return k == 0 ? SP_EFORMAT : sp_err_errno(errno);
		at += (size_t)k;
	}
	return SP_OK;
}

enum sp_err
cmdset_read(int fd, const Sallyport__CommandPlace *place, struct sp_commands **ret)
{
	Sallyport__CommandRules none = SALLYPORT__COMMAND_RULES__INIT, *rules;
	uint8_t *p;
	off_t n;
	enum sp_err r;

	if (fd == -1)
		return cmdset_make(&none, place, ret);
	if ((fcntl(fd, F_GET_SEALS) & SEALS) != SEALS || (n = lseek(fd, 0, SEEK_END)) <= 0 || (size_t)n > SP_CMDSET_FILE_MAX)
		return SP_EFORMAT;
	if ((p = malloc((size_t)n)) == NULL)
		return SP_ENOMEM;
	r = read_all(fd, p, (size_t)n);
	rules = r == SP_OK ? sallyport__command_rules__unpack(NULL, (size_t)n, p) : NULL;
	free(p);
	if (rules == NULL)
		return r != SP_OK ? r : SP_EFORMAT;
	r = cmdset_make(rules, place, ret);
	sallyport__command_rules__free_unpacked(rules, NULL);
	return r;
}
