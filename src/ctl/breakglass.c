/* src/ctl/breakglass.c - sallyport breakglass: envelopes of sealed accounts. The password is made here, in two halves, and
 * shown once; only its seal for the vault leaves this process.
 *
 * A half, as printed: 1-XXXXX-XXXXX-XXXXX-XXXXX-CCCCC, or 2-...: twenty symbols at random (100 bits), five of a checksum over
 * number and symbols, Crockford's base 32 (no I, L, O, U). The password is the first half with the second one behind it. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "common/sealkind.h"
#include "crypto/hash.h"
#include "ctl/call.h"
#include "ctl/nouns.h"
#include "ctl/secret.h"

#define GROUPS		5
#define GROUP		5
#define HALF_LEN	(1 + GROUPS * (GROUP + 1))
static const char symbols[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* The last group from everything before it. */
static void
half_sum(const char *half, char ret[GROUP])
{
	uint8_t sum[SP_SHA256_LEN];

	sp_sha256(half, HALF_LEN - GROUP, sum);
	for (int i = 0; i < GROUP; i++)
		ret[i] = symbols[sum[i] & 31];
}

static void
half_make(char number, char half[HALF_LEN])
{
	char *p = half;

	*p++ = number;
	for (int g = 0; g < GROUPS; g++) {
		*p++ = '-';
		for (int i = 0; i < GROUP; i++)
			*p++ = symbols[randombytes_uniform(32)];
	}
	half_sum(half, half + HALF_LEN - GROUP);
}

static enum sp_err
halves_make(struct ctl *c, struct sp_secret *ret)
{
	sp_auto_secret both = { 0 };

	if (sp_secret_random(2 * HALF_LEN, &both) != SP_OK)
		return ctl_fail(c, SP_ENOMEM, "cannot lock memory for the envelopes: raise the limit of locked memory (ulimit -l)");
	half_make('1', (char *)both.p);
	half_make('2', (char *)both.p + HALF_LEN);
	*ret = sp_secret_steal(&both);
	return SP_OK;
}

/* On a terminal one after the other, so that nobody need see both. */
static void
halves_show(struct ctl *c, const struct sp_secret *both)
{
	for (int i = 0; i < 2; i++) {
		fprintf(c->out, "Envelope %d of 2: %.*s\n", i + 1, HALF_LEN, (const char *)both->p + i * HALF_LEN);
		if (c->is_tty) {
			fprintf(c->out, "Write it down, seal it, then press Enter: it is not shown again.");
			fflush(c->out);
			for (int ch = getchar(); ch != '\n' && ch != EOF; ch = getchar())
				;
			fputs("\033[H\033[2J\033[3J", c->out);
		}
	}
	fflush(c->out);
}

static enum sp_err
breakglass_run(struct ctl *c)
{
	sp_auto_secret both = { 0 };
	ctl_auto_json *body = NULL;
	json_t *sealed = NULL;

	CTL_TRY(halves_make(c, &both));
	CTL_TRY(ctl_seal(c, SP_SEAL_USER_PASSWORD, &both, &sealed));
	json_object_set_new(c->params, "password_sealed", sealed);
	CTL_TRY(ctl_call(c, c->cmd->method, c->params, &body));
	if (c->json) {
		json_object_set_new(body, "envelope_1", json_stringn((const char *)both.p, HALF_LEN));
		json_object_set_new(body, "envelope_2", json_stringn((const char *)both.p + HALF_LEN, HALF_LEN));
		return ctl_print_json(c, body);
	}
	halves_show(c, &both);
	ctl_note(c, "Two people keep one envelope each. To open: ssh %s@BASTION, and at the password prompt both type theirs, as printed, "
	    "the first one first, without a blank.", json_string_value(json_object_get(body, "login")));
	return SP_OK;
}

/* Is it as it was printed? Nothing leaves this process. */
static enum sp_err
check_run(struct ctl *c)
{
	sp_auto_secret half = { 0 };
	char sum[GROUP];

	CTL_TRY(ctl_secret_read(c, "envelope", "Envelope: ", 0, &half));
	if (half.len != HALF_LEN || (half.p[0] != '1' && half.p[0] != '2'))
		return ctl_fail(c, SP_EFORMAT, "that is no half: %d signs, as 1-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX", HALF_LEN);
	half_sum((const char *)half.p, sum);
	if (sodium_memcmp(sum, half.p + HALF_LEN - GROUP, GROUP) != 0)
		return ctl_fail(c, SP_ECORRUPT, "it is mistyped: its checksum is another one");
	ctl_note(c, "Envelope %c reads as it was printed.", half.p[0]);
	return SP_OK;
}

static const struct ctl_col cols[] = {
	{ "login", "LOGIN" },
	{ "state", "STATE" },
	{ "expires", "EXPIRES", CTL_FMT_TIME },
	{ "opened", "OPENED", CTL_FMT_TIME },
	{ NULL }
};
static const struct ctl_opt name_args[] = {
	{ "LOGIN", CTL_STR, "login", .help = "login name of the sealed account" },
	CTL_END
};
#define SEAL_OPTS \
	{ "expires", CTL_TIME, .value = "TIME", .flags = CTL_REQUIRED, .help = "when the envelopes become worthless, opened or not" }, \
	{ "open-for", CTL_INT, "open_for_s", .value = "SECONDS", .help = "how long it works after its first login (default 3600)" }
static const struct ctl_opt create_opts[] = {
	{ "asset", CTL_STR, .value = "NAME", .complete = "asset", .help = "what it reaches: one asset" },
	{ "asset-group", CTL_STR, .value = "NAME", .complete = "asset-group", .help = "what it reaches: the assets of a group" },
	SEAL_OPTS,
	CTL_END
};
static const struct ctl_opt seal_opts[] = {
	SEAL_OPTS,
	CTL_END
};
static const struct ctl_opt check_opts[] = {
	{ "envelope-file", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "from a file instead of the terminal" },
	CTL_END
};
static const struct ctl_cmd cmds[] = {
	{ "create", "make a sealed account and print its two envelopes, once", .args = name_args, .opts = create_opts,
	  .method = "breakglass.create", .run = breakglass_run,
	  .more = "Its password is in two halves for two people. The first login opens it: an alarm leaves, and it works for a stated "
	    "time only. No second factor is asked, every session is recorded strictly." },
	{ "seal", "seal it again, with new envelopes", .args = name_args, .opts = seal_opts, .method = "breakglass.seal",
	  .run = breakglass_run, .more = "Ends its sessions; the old envelopes are worthless." },
	{ "list", "list sealed accounts", .method = "breakglass.list", .show = CTL_ROWS, .cols = cols, .empty = "None." },
	{ "check", "say whether an envelope reads as it was printed", .opts = check_opts, .run = check_run },
	{ NULL }
};
const struct ctl_noun ctl_noun_breakglass = { "breakglass", "sealed-envelope accounts for emergencies", cmds };
