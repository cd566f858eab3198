/* src/control/reason.c - see reason.h. Worker threads. */
#include "control/reason.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#define MATCH_LIMIT	20000u		/* steps of PCRE2; some 100 us */
#define DEPTH_LIMIT	200u
#define HEAP_LIMIT_KIB	256u
#define COMPILED_MAX	((size_t)64 * 1024)

static pcre2_code *
pattern_compile(const char *pattern, char *why, size_t why_size)
{
	PCRE2_UCHAR text[128];
	PCRE2_SIZE at, size = 0;
	pcre2_code *re;
	int err;

	if (strlen(pattern) > REASON_PATTERN_MAX || strpbrk(pattern, "\r\n") != NULL) {
		sp_snprintf(why, why_size, "longer than %d bytes, or more than one line", REASON_PATTERN_MAX);
		return NULL;
	}
	re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_ANCHORED |
	    PCRE2_ENDANCHORED, &err, &at, NULL);
	if (re == NULL) {
		(void)pcre2_get_error_message(err, text, sizeof(text));
		sp_snprintf(why, why_size, "%s (at character %zu)", (const char *)text, (size_t)at);
		return NULL;
	}
	if (pcre2_pattern_info(re, PCRE2_INFO_SIZE, &size) != 0 || size > COMPILED_MAX) {
		sp_snprintf(why, why_size, "too large");
		pcre2_code_free(re);
		return NULL;
	}
	return re;
}

enum sp_err
reason_check(const char *pattern, char *ret_why, size_t why_size)
{
	pcre2_code *re = pattern_compile(pattern, ret_why, why_size);

	if (re == NULL)
		return SP_EINVAL;
	pcre2_code_free(re);
	return SP_OK;
}

int
reason_is_ticket(const char *pattern, const char *text)
{
	size_t n = strcspn(text, " \t");
	pcre2_match_context *mc = pcre2_match_context_create(NULL);
	pcre2_match_data *md = pcre2_match_data_create(1, NULL);
	pcre2_code *re;
	char why[160];
	int fits = 0;

	re = pattern_compile(*pattern != '\0' ? pattern : REASON_TICKET, why, sizeof(why));
	if (re != NULL && mc != NULL && md != NULL && n > 0) {
		(void)pcre2_set_match_limit(mc, MATCH_LIMIT);
		(void)pcre2_set_depth_limit(mc, DEPTH_LIMIT);
		(void)pcre2_set_heap_limit(mc, HEAP_LIMIT_KIB);
		fits = pcre2_match(re, (PCRE2_SPTR)text, n, 0, 0, md, mc) >= 0;	/* an exceeded limit is below 0, too */
	}
	pcre2_code_free(re);
	pcre2_match_data_free(md);
	pcre2_match_context_free(mc);
	return fits;
}

const char *
reason_lacks(const struct sp_policy_decision *d, const char *text)
{
	char one[REASON_PATTERN_MAX + 1];

	if (d->reason_required == SP_POLICY_REASON_NONE)
		return NULL;
	if (d->reason_required == SP_POLICY_REASON_TEXT)
		return text[strspn(text, " \t")] != '\0' ? NULL : "reason";
	if (d->reason_cut || (d->reason_patterns[0] == '\0' && !reason_is_ticket("", text)))
		return "ticket";
	for (const char *s = d->reason_patterns, *e; *s != '\0'; s = *e != '\0' ? e + 1 : e) {
		e = strchrnul(s, '\n');
		if ((size_t)(e - s) >= sizeof(one))
			return "ticket";
		memcpy(one, s, (size_t)(e - s));
		one[e - s] = '\0';
		if (!reason_is_ticket(one, text))
			return "ticket";
	}
	return NULL;
}
