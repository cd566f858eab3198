/* lib/wire/target.c - see target.h. */
#include "wire/target.h"

#include <string.h>

#include "base/str.h"

#define PARTS_MAX	3

struct part {
	const char	*p;
	size_t		 n;
};

static enum sp_err
target_fault(enum sp_err r, const char *text, const char **why)
{
	if (why != NULL)
		*why = text;
	return r;
}

/* Cut at @ # %; the number of parts, PARTS_MAX + 1 for too many. */
static size_t
target_cut(const char *text, size_t n, struct part parts[PARTS_MAX])
{
	size_t count = 0, from = 0;

	for (size_t i = 0; i <= n; i++) {
		if (i < n && text[i] != '@' && text[i] != '#' && text[i] != '%')
			continue;
		if (count == PARTS_MAX)
			return PARTS_MAX + 1;
		parts[count++] = (struct part){ text + from, i - from };
		from = i + 1;
	}
	return count;
}

/* Copy one part, checked; an empty one stays "". */
static enum sp_err
target_take(struct part p, const char **why, char dst[SP_TARGET_PART_MAX + 1])
{
	if (p.n > SP_TARGET_PART_MAX)
		return target_fault(SP_ESIZE, "a name in the target is too long (128 bytes at most)", why);
	if (p.n > 0 && memchr(p.p, 0, p.n) != NULL)
		return target_fault(SP_EFORMAT, "a name in the target has a NUL byte", why);
	memcpy(dst, p.p, p.n);
	dst[p.n] = 0;
	if (p.n > 0 && !sp_name_is_ok(dst, SP_TARGET_PART_MAX))
		return target_fault(SP_EFORMAT, "a name in the target has characters that names do not have", why);
	return SP_OK;
}

enum sp_err
sp_target_parse(const char *text, size_t n, enum sp_target_form form, const char **why, struct sp_target *ret)
{
	/* Which of user, account, asset (0, 1, 2) the parts are, by form and number of parts. */
	static const uint8_t place[2][PARTS_MAX][PARTS_MAX] = {
		[SP_TARGET_PLACE] = { { 2 }, { 1, 2 }, { 0, 1, 2 } },
		[SP_TARGET_LOGIN] = { { 0 }, { 0, 2 }, { 0, 1, 2 } },
	};
	struct part parts[PARTS_MAX];
	struct sp_target t = { .user = "" };
	char *const dst[PARTS_MAX] = { t.user, t.account, t.asset };
	size_t count;
	enum sp_err r;

	if (n > SP_TARGET_MAX)
		return target_fault(SP_ESIZE, "the target is too long", why);
	if (n == 0)
		return target_fault(SP_ESHORT, "no target was given", why);
	if ((count = target_cut(text, n, parts)) > PARTS_MAX)
		return target_fault(SP_EUSAGE, "a target has at most three parts: user@account@asset", why);
	for (size_t i = 0; i < count; i++)
		if ((r = target_take(parts[i], why, dst[place[form][count - 1][i]])) != SP_OK)
			return r;
	if (form == SP_TARGET_LOGIN && t.user[0] == 0)
		return target_fault(SP_ESHORT, "the user is missing in front of the target", why);
	if (parts[count - 1].n == 0)
		return target_fault(SP_ESHORT, "the asset is missing at the end of the target", why);
	if (count == PARTS_MAX && t.user[0] == 0)
		return target_fault(SP_ESHORT, "the user is missing in front of the target", why);
	*ret = t;
	return SP_OK;
}

enum sp_err
sp_target_format(const struct sp_target *t, enum sp_target_form form, char *dst, size_t size)
{
	char text[SP_TARGET_MAX + 1];
	struct sp_target check;
	int cut;

	if (form == SP_TARGET_LOGIN && t->asset[0] == 0)
		cut = sp_snprintf(text, sizeof(text), "%s", t->user);
	else if (t->user[0] != 0)
		cut = sp_snprintf(text, sizeof(text), "%s@%s@%s", t->user, t->account, t->asset);
	else if (t->account[0] != 0)
		cut = sp_snprintf(text, sizeof(text), "%s@%s", t->account, t->asset);
	else
		cut = sp_snprintf(text, sizeof(text), "%s", t->asset);
	if (cut != 0 || sp_target_parse(text, strlen(text), form, NULL, &check) != SP_OK ||
	    strcmp(check.user, t->user) != 0 || strcmp(check.account, t->account) != 0 || strcmp(check.asset, t->asset) != 0)
		return SP_EINVAL;
	return sp_strlcpy(dst, text, size) == 0 ? SP_OK : SP_ESIZE;
}
