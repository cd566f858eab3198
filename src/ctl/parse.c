/* src/ctl/parse.c - words of the command line into JSON parameters, by the tables of the command. Pure but for the files
 * of CTL_LINES options.
 * Invariants: an option that is not in the table, a value that does not fit its type and a word too many are refused
 * with what is allowed; nothing is guessed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "ctl/cmd.h"

#define PARSE_FILE_MAX	(256u * 1024)	/* bytes of a file of lines */
#define PARSE_VALUE_MAX	65536		/* bytes of one value */

static const char *
param_name(const struct ctl_opt *o, char dst[64])
{
	if (o->param != NULL)
		return o->param;
	(void)sp_strlcpy(dst, o->name, 64);
	for (char *p = dst; *p != 0; p++) {
		if (*p == '-')
			*p = '_';
		else if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	}
	return dst;
}

static const char *
parse_dashes(const struct ctl_opt *o)
{
	return o->name[0] >= 'A' && o->name[0] <= 'Z' ? "" : "--";
}

static enum sp_err
parse_set(struct ctl *c, const struct ctl_opt *o, json_t *v)
{
	char name[64];
	int r;

	if (v == NULL)
		return ctl_fail(c, SP_EINVAL, "%s%s: the value is not UTF-8: check it for stray bytes", parse_dashes(o), o->name);
	if (o->flags & CTL_LOCAL)
		r = json_object_set_new(c->local, o->name, v);
	else
		r = json_object_set_new(c->params, param_name(o, name), v);
	return r == 0 ? SP_OK : ctl_fail(c, SP_ENOMEM, "out of memory");
}

/* The array that a repeated option fills. */
static json_t *
parse_array(struct ctl *c, const struct ctl_opt *o)
{
	char name[64];
	json_t *into = o->flags & CTL_LOCAL ? c->local : c->params;
	const char *key = o->flags & CTL_LOCAL ? o->name : param_name(o, name);
	json_t *a = json_object_get(into, key);

	if (a == NULL && json_object_set_new(into, key, a = json_array()) != 0)
		return NULL;
	return a;
}

static int
parse_is_choice(const char *choices, const char *s, size_t n)
{
	for (const char *p = choices; ; p++) {
		size_t k = strcspn(p, "|");

		if (k == n && memcmp(p, s, n) == 0)
			return 1;
		if (*(p += k) == 0)
			return 0;
	}
}

static enum sp_err
parse_check_choice(struct ctl *c, const struct ctl_opt *o, const char *s, size_t n)
{
	if (o->choices == NULL || parse_is_choice(o->choices, s, n))
		return SP_OK;
	return ctl_fail(c, SP_EUSAGE, "%s%s: \"%.*s\" is not one of %s", parse_dashes(o), o->name, (int)n, s, o->choices);
}

static enum sp_err
parse_list(struct ctl *c, const struct ctl_opt *o, const char *s)
{
	json_t *a = parse_array(c, o);

	if (a == NULL)
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	for (;; s++) {
		size_t n = strcspn(s, ",");

		if (n > 0) {
			CTL_TRY(parse_check_choice(c, o, s, n));
			if (json_array_append_new(a, json_stringn(s, n)) != 0)
				return ctl_fail(c, SP_EINVAL, "%s%s: not UTF-8: check it for stray bytes", parse_dashes(o), o->name);
		}
		if (*(s += n) == 0)
			return SP_OK;
	}
}

static enum sp_err
parse_int(struct ctl *c, const struct ctl_opt *o, const char *s)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(s, &end, 10);
	if (errno != 0 || end == s || *end != 0 || n < 0)
		return ctl_fail(c, SP_EUSAGE, "%s%s: \"%s\" is not a number: give 0 or more", parse_dashes(o), o->name, s);
	return parse_set(c, o, json_integer(n));
}

static enum sp_err
parse_time(struct ctl *c, const struct ctl_opt *o, const char *s)
{
	char text[SP_RFC3339_SIZE];
	uint64_t in_us;
	int64_t at_us;

	if (s[0] == 0)		/* takes a limit away again */
		return parse_set(c, o, json_string(""));
	if (s[0] == '+' && sp_duration_parse(s + 1, &in_us) == SP_OK)
		at_us = sp_wall_us() + (int64_t)in_us;
	else if (sp_rfc3339_parse(s, &at_us) != SP_OK)
		return ctl_fail(c, SP_EUSAGE, "%s%s: \"%s\" is not a time: give 2026-09-01, 2026-09-01T08:00:00Z or +8h",
		    parse_dashes(o), o->name, s);
	return parse_set(c, o, json_string(sp_rfc3339(at_us, text, sizeof(text))));
}

enum sp_err
ctl_check_file(struct ctl *c, const char *name, const char *path)
{
	if (c->place == NULL)
		return SP_OK;
	if (strcmp(path, "-") != 0)
		return ctl_fail(c, SP_EUSAGE, "%s: your files are not on this machine: give - and send it on standard input (ssh ... < FILE), "
		    "or use the command line there", name);
	if (c->is_tty)
		return ctl_fail(c, SP_EUSAGE, "%s: a terminal has no standard input to send: leave out -t", name);
	return SP_OK;
}

static enum sp_err
parse_duration(struct ctl *c, const struct ctl_opt *o, const char *s)
{
	uint64_t us;

	if (sp_duration_parse(s, &us) != SP_OK)
		return ctl_fail(c, SP_EUSAGE, "%s%s: \"%s\" is not a duration: give 90s, 15m, 8h or 7d", parse_dashes(o), o->name, s);
	return parse_set(c, o, json_integer((json_int_t)(us / SP_US_PER_S)));
}

static enum sp_err
parse_read(struct ctl *c, const char *path, struct sp_buf *b)
{
	FILE *f = strcmp(path, "-") == 0 ? fdopen(dup(STDIN_FILENO), "re") : fopen(path, "re");
	char chunk[4096];
	size_t n;
	enum sp_err r = SP_OK;

	if (f == NULL)
		return ctl_fail(c, SP_ENOENT, "%s: %s: name a readable file", path, strerror(errno));
	while (r == SP_OK && (n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		r = sp_buf_append(b, chunk, n);
	if (r == SP_OK && ferror(f))
		r = SP_EIO;
	fclose(f);
	if (r == SP_ESIZE)
		return ctl_fail(c, r, "%s: longer than %u bytes: is it the right file?", path, PARSE_FILE_MAX);
	return r == SP_OK ? SP_OK : ctl_fail(c, r, "%s: %s", path, sp_err_text(r));
}

/* Lines of a file, as of authorized_keys: blanks at the ends, empty lines and comments go. */
static enum sp_err
parse_lines(struct ctl *c, const struct ctl_opt *o, const char *path)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = PARSE_FILE_MAX };
	json_t *a = parse_array(c, o);
	const char *s;
	size_t found = 0;

	if (a == NULL)
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	CTL_TRY(parse_read(c, path, &b));
	s = sp_buf_cstr(&b);
	if (strlen(s) != b.len)
		return ctl_fail(c, SP_EFORMAT, "%s: holds NUL bytes: is it the right file?", path);
	if (strncmp(s, "-----BEGIN", 10) == 0)
		return ctl_fail(c, SP_EFORMAT, "%s: is a private key: name the public one, which ends in .pub", path);
	for (;; s++) {
		size_t n, all = strcspn(s, "\n");
		const char *line = s + strspn(s, " \t\r");

		s += all;
		n = line < s ? (size_t)(s - line) : 0;
		while (n > 0 && strchr(" \t\r", line[n - 1]) != NULL)
			n--;
		if (n > 0 && line[0] != '#') {
			found++;
			if (json_array_append_new(a, json_stringn(line, n)) != 0)
				return ctl_fail(c, SP_EFORMAT, "%s: is not UTF-8 text: is it the right file?", path);
		}
		if (*s == 0)
			break;
	}
	return found > 0 ? SP_OK : ctl_fail(c, SP_EFORMAT, "%s has no line: is it the right file?", strcmp(path, "-") == 0 ? "standard input" : path);
}

/* ACCOUNT@ASSET; # and % separate as well, as in login names. The last one counts: "@same" is an account's name. */
static enum sp_err
parse_target(struct ctl *c, const struct ctl_opt *o, const char *s)
{
	char name[64];
	size_t n = strlen(s);

	while (n > 0 && (s[n] == 0 || strchr("@#%", s[n]) == NULL))
		n--;
	if (n == 0 || s[n + 1] == 0)
		return ctl_fail(c, SP_EUSAGE, "\"%s\" is not %s: for example root@web1", s, o->name);
	if (json_object_set_new(c->params, param_name(o, name), json_stringn(s, n)) != 0 ||
	    json_object_set_new(c->params, "asset", json_string(s + n + 1)) != 0)
		return ctl_fail(c, SP_EINVAL, "%s is not UTF-8: check it for stray bytes", o->name);
	return SP_OK;
}

static enum sp_err
parse_raw(struct ctl *c, const struct ctl_opt *o, const char *s)
{
	json_t *a = parse_array(c, o);

	return a != NULL && json_array_append_new(a, json_string(s)) == 0 ? SP_OK :
	    ctl_fail(c, SP_EINVAL, "%s is not UTF-8: check it for stray bytes", o->name);
}

static enum sp_err
parse_words(struct ctl *c, const struct ctl_opt *o, const char *s)
{
	char name[64];
	const char *key = o->flags & CTL_LOCAL ? o->name : param_name(o, name);
	json_t *old = json_object_get(o->flags & CTL_LOCAL ? c->local : c->params, key);

	return parse_set(c, o, old == NULL ? json_string(s) : json_sprintf("%s %s", json_string_value(old), s));
}

static enum sp_err
parse_value(struct ctl *c, const struct ctl_opt *o, const char *s)
{
	if (o->complete != NULL && strcmp(o->complete, "file") == 0)
		CTL_TRY(ctl_check_file(c, o->name, s));
	if (c->place != NULL && o->type == CTL_INT && strlen(o->name) > 3 && strcmp(o->name + strlen(o->name) - 3, "-fd") == 0)
		return ctl_fail(c, SP_EUSAGE, "--%s: there are no open descriptors over SSH: use standard input", o->name);
	if (strlen(s) > PARSE_VALUE_MAX)
		return ctl_fail(c, SP_ESIZE, "%s%s: longer than %d bytes: shorten it", parse_dashes(o), o->name, PARSE_VALUE_MAX);
	switch (o->type) {
	case CTL_STR:
		CTL_TRY(parse_check_choice(c, o, s, strlen(s)));
		return parse_set(c, o, json_string(s));
	case CTL_INT:
		return parse_int(c, o, s);
	case CTL_FLAG:
		return parse_set(c, o, json_true());
	case CTL_LIST:
		return parse_list(c, o, s);
	case CTL_RAW:
		return parse_raw(c, o, s);
	case CTL_WORDS:
		return parse_words(c, o, s);
	case CTL_TIME:
		return parse_time(c, o, s);
	case CTL_DURATION:
		return parse_duration(c, o, s);
	case CTL_LINES:
		return parse_lines(c, o, s);
	case CTL_TARGET:
		return parse_target(c, o, s);
	}
	return SP_EINTERNAL;
}

enum sp_err
ctl_parse_arg(struct ctl *c, const struct ctl_opt *o, const char *value)
{
	return parse_value(c, o, value);
}

static const struct ctl_opt *
parse_find(const struct ctl_opt *opts, const char *name, size_t n)
{
	for (; opts != NULL && opts->name != NULL; opts++)
		if (strlen(opts->name) == n && memcmp(opts->name, name, n) == 0)
			return opts;
	return NULL;
}

/* The option that argv[i] names and its value; *used: how many words it took. */
static enum sp_err
parse_option(struct ctl *c, const struct ctl_opt *opts, int argc, char **argv, int i, const struct ctl_opt **ret_opt,
    const char **ret_value, int *ret_used)
{
	const char *word = argv[i] + 2, *eq = strchr(word, '=');
	size_t n = eq != NULL ? (size_t)(eq - word) : strlen(word);
	const struct ctl_opt *o = parse_find(opts, word, n);

	if (o == NULL)
		return SP_ENOENT;
	*ret_used = 1;
	*ret_opt = o;
	*ret_value = eq != NULL ? eq + 1 : "";
	if (o->type == CTL_FLAG && eq != NULL)
		return ctl_fail(c, SP_EUSAGE, "--%s takes no value", o->name);
	if (o->type == CTL_FLAG || eq != NULL)
		return SP_OK;
	if (i + 1 >= argc)
		return ctl_fail(c, SP_EUSAGE, "--%s wants a value: --%s %s", o->name, o->name,
		    o->value != NULL ? o->value : "VALUE");
	*ret_value = argv[i + 1];
	*ret_used = 2;
	return SP_OK;
}

static enum sp_err
parse_required(struct ctl *c, const struct ctl_cmd *cmd)
{
	for (const struct ctl_opt *o = cmd->opts; o != NULL && o->name != NULL; o++) {
		char name[64];
		json_t *in = o->flags & CTL_LOCAL ? c->local : c->params;
		const char *key = o->flags & CTL_LOCAL ? o->name : param_name(o, name);

		if ((o->flags & CTL_REQUIRED) && json_object_get(in, key) == NULL)
			return ctl_fail(c, SP_EUSAGE, "%s%s%s: --%s %s is missing: see 'sallyport help %s%s%s'", c->noun->name,
			    cmd->verb[0] != 0 ? " " : "", cmd->verb, o->name, o->value != NULL ? o->value : "", c->noun->name,
			    cmd->verb[0] != 0 ? " " : "", cmd->verb);
	}
	return SP_OK;
}

/* An argument that all further words belong to. */
static int
parse_takes_rest(const struct ctl_opt *arg)
{
	return arg->type == CTL_WORDS || arg->type == CTL_RAW || arg->type == CTL_LIST || arg->type == CTL_LINES;
}

enum sp_err
ctl_parse(struct ctl *c, int argc, char **argv)
{
	const struct ctl_opt *arg = c->cmd->args, *o = NULL;
	const char *value = NULL, *gap = c->cmd->verb[0] != 0 ? " " : "";
	int used = 1, plain = 0;

	for (int i = 0; i < argc; i += used) {
		enum sp_err r;

		used = 1;
		if (!plain && strcmp(argv[i], "--") == 0) {
			plain = 1;
			continue;
		}
		if (!plain && argv[i][0] == '-' && argv[i][1] != 0) {
			r = argv[i][1] == '-' ? parse_option(c, c->cmd->opts, argc, argv, i, &o, &value, &used) : SP_ENOENT;
			if (r == SP_ENOENT)
				return ctl_fail(c, SP_EUSAGE, "%s%s%s has no option %s: see 'sallyport help %s%s%s'",
				    c->noun->name, gap, c->cmd->verb, argv[i], c->noun->name, gap, c->cmd->verb);
			CTL_TRY(r);
			CTL_TRY(parse_value(c, o, value));
			continue;
		}
		if (arg == NULL || arg->name == NULL)
			return ctl_fail(c, SP_EUSAGE, "%s%s%s: \"%s\" is one word too many: see 'sallyport help %s%s%s'",
			    c->noun->name, gap, c->cmd->verb, argv[i], c->noun->name, gap, c->cmd->verb);
		CTL_TRY(parse_value(c, arg, argv[i]));
		if (!parse_takes_rest(arg))
			arg++;
	}
	if (arg != NULL && arg->name != NULL && !(arg->flags & CTL_OPTIONAL)) {
		char name[64];
		const char *key = arg->flags & CTL_LOCAL ? arg->name : param_name(arg, name);

		if (json_object_get(arg->flags & CTL_LOCAL ? c->local : c->params, key) == NULL)
			return ctl_fail(c, SP_EUSAGE, "%s%s%s: %s is missing: see 'sallyport help %s%s%s'", c->noun->name, gap,
			    c->cmd->verb, arg->name, c->noun->name, gap, c->cmd->verb);
	}
	return parse_required(c, c->cmd);
}

/* Global options stand anywhere in front of "--", but never where the command has an option of that name. */
enum sp_err
ctl_parse_globals(struct ctl *c, int *argc, char **argv)
{
	int out = 1;

	for (int i = 1, used; i < *argc; i += used) {
		const struct ctl_opt *o = NULL;
		const char *value = NULL;
		enum sp_err r;

		used = 1;
		if (strcmp(argv[i], "--") == 0) {
			while (i < *argc)
				argv[out++] = argv[i++];
			break;
		}
		if (strcmp(argv[i], "-h") == 0)
			r = parse_option(c, ctl_global_opts, 1, (char *[]){ (char[]){ "--help" } }, 0, &o, &value, &used);
		else if (argv[i][0] != '-' || argv[i][1] != '-')
			r = SP_ENOENT;
		else
			r = parse_option(c, ctl_global_opts, *argc, argv, i, &o, &value, &used);
		if (r == SP_ENOENT) {
			argv[out++] = argv[i];
			continue;
		}
		CTL_TRY(r);
		CTL_TRY(parse_value(c, o, value));
	}
	argv[*argc = out] = NULL;
	return SP_OK;
}

const char *
ctl_local_str(const struct ctl *c, const char *name)
{
	return json_string_value(json_object_get(c->local, name));
}

int64_t
ctl_local_int(const struct ctl *c, const char *name, int64_t def)
{
	const json_t *v = json_object_get(c->local, name);

	return json_is_integer(v) ? json_integer_value(v) : def;
}

int
ctl_local_flag(const struct ctl *c, const char *name)
{
	return json_is_true(json_object_get(c->local, name));
}
