/* src/ctl/mail.c - sallyport mail, sallyport webhook: the password and the key of what alarms leave by, and a test of the way. */
#include <string.h>
#include <time.h>

#include "common/sealkind.h"
#include "crypto/secret.h"
#include "ctl/call.h"
#include "ctl/nouns.h"
#include "ctl/secret.h"

#define TEST_WAIT_S	30	/* for a test to leave */
#define TEST_LOOKS	5	/* a second */

static const char *
receiver_of(const struct ctl *c)
{
	return c->noun->name;		/* "mail" and "webhook" are what control calls them, too */
}

static int
is_mail(const struct ctl *c)
{
	return strcmp(c->noun->name, "mail") == 0;
}

static enum sp_err
secret_run(struct ctl *c)
{
	sp_auto_secret secret = { 0 };
	ctl_auto_json *body = NULL;
	json_t *sealed = NULL;

	if (is_mail(c))
		CTL_TRY(ctl_secret_read(c, "password", "Password of mail_user: ", 1, &secret));
	else
		CTL_TRY(ctl_secret_read(c, "secret", "Key of the webhook: ", 1, &secret));
	if (!is_mail(c) && secret.len < 16)
		return ctl_fail(c, SP_EINVAL, "a key to sign with has at least 16 bytes");
	CTL_TRY(ctl_seal(c, SP_SEAL_ACCOUNT "password", &secret, &sealed));
	json_object_set_new(c->params, "sealed", sealed);
	json_object_set_new(c->params, "to", json_string(receiver_of(c)));
	CTL_TRY(ctl_call(c, c->cmd->method, c->params, &body));
	if (c->json)
		return ctl_print_json(c, body);
	ctl_note(c, is_mail(c) ? "The password is with the vault. Try it: sallyport mail test" :
	    "The key is with the vault. Try it: sallyport webhook test");
	return SP_OK;
}

/* Have all receivers of that kind taken the item? *ret_text: what one that has not says, borrowed from rows. */
static int
has_left(const struct ctl *c, const json_t *rows, const char *id, const char **ret_text)
{
	int n = 0, left = 0;
	const json_t *row;
	size_t i;

	*ret_text = "the courier says nothing of it: see 'sallyport doctor'";
	json_array_foreach(rows, i, row) {
		const char *to = json_string_value(json_object_get(row, "to")), *last = json_string_value(json_object_get(row, "last"));

		if (to == NULL || (strcmp(to, "mail") == 0) != is_mail(c))
			continue;
		n++;
		if (last != NULL && strcmp(last, id) == 0)
			left++;
		else
			*ret_text = json_string_value(json_object_get(row, "text"));
	}
	return n > 0 && left == n;
}

static enum sp_err
test_run(struct ctl *c)
{
	const struct timespec nap = { 0, 1000000000L / TEST_LOOKS };
	ctl_auto_json *body = NULL, *rows = NULL, *none = json_object();
	const char *id, *text = NULL;

	json_object_set_new(c->params, "to", json_string(receiver_of(c)));
	CTL_TRY(ctl_call(c, c->cmd->method, c->params, &body));
	if ((id = json_string_value(json_object_get(body, "id"))) == NULL)
		return ctl_fail(c, SP_EFORMAT, "control answered something else");
	for (int i = 0; i < TEST_WAIT_S * TEST_LOOKS; i++) {
		json_decref(rows);
		rows = NULL;
		CTL_TRY(ctl_call(c, "outbox.status", none, &rows));
		if (has_left(c, rows, id, &text)) {
			if (c->json)
				return ctl_print_json(c, body);
			ctl_note(c, is_mail(c) ? "The mail server took it." : "Every webhook took it.");
			return SP_OK;
		}
		(void)nanosleep(&nap, NULL);
	}
	return ctl_fail(c, SP_EUNREACH, "it has not left within %d s: %s", TEST_WAIT_S, text != NULL && *text != '\0' ? text : "it waits");
}

static const struct ctl_opt password_opts[] = {
	{ "password-stdin", CTL_FLAG, .flags = CTL_LOCAL, .help = "read it from standard input" },
	{ "password-file", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "read it from a file" },
	{ "password-fd", CTL_INT, .value = "N", .flags = CTL_LOCAL, .help = "read it from an open descriptor" },
	CTL_END
};
static const struct ctl_opt secret_opts[] = {
	{ "secret-stdin", CTL_FLAG, .flags = CTL_LOCAL, .help = "read it from standard input" },
	{ "secret-file", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "read it from a file" },
	{ "secret-fd", CTL_INT, .value = "N", .flags = CTL_LOCAL, .help = "read it from an open descriptor" },
	CTL_END
};
static const struct ctl_cmd mail_cmds[] = {
	{ "password", "give the password of mail_user", .opts = password_opts, .method = "outbox.secret", .run = secret_run,
	  .more = "It is sealed to the vault here; only the vault and the process that sends mail ever see it." },
	{ "test", "send a test to mail_to and say whether the server took it", .method = "outbox.test", .run = test_run },
	{ NULL }
};
static const struct ctl_cmd webhook_cmds[] = {
	{ "secret", "give the key that webhooks are signed with", .opts = secret_opts, .method = "outbox.secret", .run = secret_run,
	  .more = "X-Sallyport-Signature is sha256= and the HMAC-SHA-256, in hex, of X-Sallyport-Timestamp, a dot and the body. "
	    "An item that comes twice has the same X-Sallyport-Id." },
	{ "test", "send a test to every webhook and say whether they took it", .method = "outbox.test", .run = test_run },
	{ NULL }
};
const struct ctl_noun ctl_noun_mail = { "mail", "alarms as mail", mail_cmds };
const struct ctl_noun ctl_noun_webhook = { "webhook", "alarms to other programs", webhook_cmds };
