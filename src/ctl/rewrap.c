/* src/ctl/rewrap.c - sallyport recording rewrap: new headers for old recordings, for the auditors of today. It runs where an
 * auditor's private key is; what crosses the line are headers, a few hundred bytes each, in both directions.
 * Invariant: the file key lives in locked memory here, for one header at a time, and is written nowhere. */
#include "ctl/rewrap.h"

#include <string.h>

#include "base/str.h"
#include "crypto/age.h"
#include "ctl/secret.h"
#include "ctl/via.h"

#define KEY_FILE_MAX	65536
#define ALL_LIMIT	"100000"

const struct ctl_opt ctl_rewrap_args[] = {
	{ "ID", CTL_RAW, .param = "ids", .flags = CTL_OPTIONAL | CTL_LOCAL, .help = "ids of sessions" },
	CTL_END
};
const struct ctl_opt ctl_rewrap_opts[] = {
	{ "key", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL | CTL_REQUIRED,
	  .help = "private key that opens them now: an auditor's, or one from the safe" },
	{ "all", CTL_FLAG, .flags = CTL_LOCAL, .help = "every recording that other keys than those of today open" },
	CTL_VIA_OPTS,
	CTL_END
};

struct rewrap {
	struct ctl	*c;
	struct sp_secret identity;
	json_t		*done;		/* rows for --json */
	size_t		 fresh, denied, failed;
};

/* Who opens recordings today, as control says. */
static enum sp_err
recipients_of(struct ctl *c, const json_t *o, struct sp_age_recipient to[SP_AGE_RECIPIENTS_MAX], size_t *ret_n)
{
	const json_t *a = json_object_get(o, "recipients"), *v;
	size_t i, n = json_array_size(a);

	if (n == 0 || n > SP_AGE_RECIPIENTS_MAX)
		return ctl_fail(c, SP_EFORMAT, "the bastion names no auditors' keys");
	json_array_foreach(a, i, v)
		if (json_string_value(v) == NULL || sp_age_recipient_parse(json_string_value(v), json_string_length(v), &to[i]) != SP_OK)
			return ctl_fail(c, SP_EFORMAT, "the bastion names a key that is none");
	*ret_n = n;
	return SP_OK;
}

/* SP_EDENIED: this key does not open it. */
static enum sp_err
header_anew(struct rewrap *k, const json_t *o, struct sp_buf *ret_base64)
{
	const char *text = json_string_value(json_object_get(o, "header"));
	sp_auto(sp_buf_release) struct sp_buf old = { .max = SP_AGE_HEADER_MAX }, new = { .max = SP_AGE_HEADER_MAX };
	struct sp_age_recipient to[SP_AGE_RECIPIENTS_MAX];
	sp_auto_secret file_key = { 0 };
	size_t n = 0;
	enum sp_err r;

	CTL_TRY(recipients_of(k->c, o, to, &n));
	if (text == NULL || sp_base64_parse(&old, text, strlen(text)) != SP_OK)
		return ctl_fail(k->c, SP_EFORMAT, "the bastion's answer is not understood");
	if ((r = sp_age_header_open((struct sp_view){ old.p, old.len }, &k->identity, &file_key)) != SP_OK)
		return r == SP_EDENIED ? r : ctl_fail(k->c, r, "the header of the recording was changed: %s", sp_err_text(r));
	if ((r = sp_age_header_write(&file_key, to, n, &new)) != SP_OK || (r = sp_base64(ret_base64, new.p, new.len)) != SP_OK)
		return ctl_fail(k->c, r, "no new header can be made: %s", sp_err_text(r));
	return SP_OK;
}

/* *ret_segments: how many the recording has. */
static enum sp_err
rewrap_segment(struct rewrap *k, const char *id, json_int_t segment, json_int_t *ret_segments)
{
	sp_auto(sp_buf_release) struct sp_buf header = { .max = 2 * SP_AGE_HEADER_MAX };
	ctl_auto_json *ask = json_pack("{s:s, s:I}", "id", id, "segment", segment), *o = NULL, *put = NULL, *answer = NULL;
	char number[16];
	enum sp_err r;

	(void)sp_snprintf(number, sizeof(number), "%lld", (long long)segment);
	CTL_TRY(ctl_via(k->c, "recording.header", ask, (const char *const[]){ "recording", "header", "--json", "--segment", number, id, NULL }, &o));
	*ret_segments = json_integer_value(json_object_get(o, "segments"));
	if (json_is_true(json_object_get(o, "fresh")) && ctl_local_flag(k->c, "all"))
		return SP_OK;
	if ((r = header_anew(k, o, &header)) != SP_OK)
		return r;
	put = json_pack("{s:s, s:I, s:s}", "id", id, "segment", segment, "header", sp_buf_cstr(&header));
	CTL_TRY(ctl_via(k->c, "recording.rewrap", put, (const char *const[]){ "recording", "put-header", "--json", "--segment", number, id,
	    sp_buf_cstr(&header), NULL }, &answer));
	json_array_append(k->done, answer);
	k->fresh++;
	return SP_OK;
}

static void
rewrap_one(struct rewrap *k, const char *id)
{
	json_int_t segments = 1;
	struct sp_uuid u;
	enum sp_err r = SP_OK;

	if (id == NULL || sp_uuid_parse(id, &u) != SP_OK) {
		(void)ctl_fail(k->c, SP_EUSAGE, "\"%s\" is no id of a session", id != NULL ? id : "");
		k->failed++;
		return;
	}
	for (json_int_t i = 1; r == SP_OK && i <= segments; i++)
		r = rewrap_segment(k, id, i, &segments);
	if (r == SP_EDENIED) {
		ctl_note(k->c, "%s is not encrypted to this key.", id);
		k->denied++;
	} else if (r != SP_OK) {
		k->failed++;
	}
}

static enum sp_err
rewrap_all(struct rewrap *k)
{
	ctl_auto_json *params = json_pack("{s:i}", "limit", 100000), *rows = NULL;
	const char *const words[] = { "recording", "list", "--json", "--limit", ALL_LIMIT, NULL };
	json_t *o;
	size_t i;

	CTL_TRY(ctl_via(k->c, "recording.list", params, words, &rows));
	json_array_foreach(rows, i, o)
		if (strcmp(json_string_value(json_object_get(o, "state")) != NULL ? json_string_value(json_object_get(o, "state")) : "", "live") != 0)
			rewrap_one(k, json_string_value(json_object_get(o, "id")));
	return SP_OK;
}

static enum sp_err
rewrap_key(struct ctl *c, struct sp_secret *ret)
{
	const char *path = ctl_local_str(c, "key");
	sp_auto_secret file = { 0 };

	CTL_TRY(ctl_secret_file(c, path, KEY_FILE_MAX, &file));
	return sp_age_identity_parse(sp_secret_view(&file), ret) == SP_OK ? SP_OK :
	    ctl_fail(c, SP_EFORMAT, "%s: no age identity (a line AGE-SECRET-KEY-1...) in it", path);
}

enum sp_err
ctl_rewrap(struct ctl *c)
{
	struct rewrap k = { .c = c };
	json_t *ids = json_object_get(c->local, "ID"), *v;
	ctl_auto_json *done = json_array();
	enum sp_err r;
	size_t i;

	if (c->place != NULL)
		return ctl_fail(c, SP_EUSAGE, "a private key stays where its owner is: run this on your own machine, with --via");
	if ((json_array_size(ids) == 0) == !ctl_local_flag(c, "all"))
		return ctl_fail(c, SP_EUSAGE, "name recordings, or say --all");
	CTL_TRY(rewrap_key(c, &k.identity));
	k.done = done;
	if (ctl_local_flag(c, "all")) {
		r = rewrap_all(&k);
	} else {
		json_array_foreach(ids, i, v)
			rewrap_one(&k, json_string_value(v));
		r = SP_OK;
	}
	sp_secret_release(&k.identity);
	CTL_TRY(r);
	c->failed = k.denied + k.failed > 0;
	if (c->json)
		return ctl_print_json(c, done);
	ctl_note(c, "%zu headers are new%s.", k.fresh, c->failed ? "; some are as they were" : "");
	return SP_OK;
}
