/* src/ctl/auditor.c - sallyport auditor: the keys of those who may read recordings. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "crypto/age.h"
#include "ctl/call.h"
#include "ctl/nouns.h"

static const struct ctl_col auditor_cols[] = {
	{ "name", "NAME" },
	{ "kind", "KIND" },
	{ "recipient", "PUBLIC KEY", .flags = CTL_COL_WHOLE },
	{ "added", "AGE", CTL_FMT_AGE, CTL_COL_EXTRA },
	{ NULL }
};
static const struct ctl_opt auditor_add_args[] = {
	{ "NAME", CTL_STR, .help = "whose key it is" },
	{ "RECIPIENT", CTL_STR, .help = "public key as age writes it (age1...)" },
	CTL_END
};
static const struct ctl_opt auditor_add_opts[] = {
	{ "kind", CTL_STR, .value = "KIND", .choices = "auditor|escrow",
	  .help = "escrow: a recipient of every recording that does not count as an auditor (a key in a safe)" },
	CTL_END
};
static const struct ctl_opt auditor_remove_args[] = {
	{ "NAME", CTL_STR, .help = "name of the key" },
	CTL_END
};
static const struct ctl_opt auditor_new_args[] = {
	{ "FILE", CTL_STR, .flags = CTL_LOCAL, .complete = "file", .help = "new file for the private key" },
	CTL_END
};

static enum sp_err
key_write(struct ctl *c, const char *path, const struct sp_secret *line, const char *public)
{
	sp_auto(sp_closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	char head[SP_BECH32_SIZE + 32];

	if (fd == -1)
		return ctl_fail(c, sp_err_errno(errno), "%s: %s: name a new file in a directory that you may write", path, strerror(errno));
	(void)sp_snprintf(head, sizeof(head), "# public key: %s\n", public);
	if (write(fd, head, strlen(head)) != (ssize_t)strlen(head) || write(fd, line->p, line->len) != (ssize_t)line->len ||
	    write(fd, "\n", 1) != 1 || fsync(fd) == -1) {
		unlink(path);
		return ctl_fail(c, SP_EIO, "%s: %s", path, strerror(errno));
	}
	return SP_OK;
}

/* Made where the auditor is: this is no call, and nothing leaves the file. */
static enum sp_err
auditor_run_new(struct ctl *c)
{
	const char *path = ctl_local_str(c, "FILE");
	sp_auto_secret identity = { 0 }, line = { 0 };
	struct sp_age_recipient public;
	char text[SP_BECH32_SIZE];
	ctl_auto_json *o = NULL;

	if (c->place != NULL)
		return ctl_fail(c, SP_EUSAGE, "a private key is made where its owner is, never over SSH: run this on your own machine");
	if (sp_age_identity_new(&identity, &public) != SP_OK || sp_age_identity_text(&identity, &line) != SP_OK ||
	    sp_age_recipient_text(&public, text) != SP_OK)
		return ctl_fail(c, SP_ENOMEM, "cannot lock memory for a key: raise the limit of locked memory (ulimit -l)");
	CTL_TRY(key_write(c, path, &line, text));
	if (!c->json) {
		fprintf(c->out, "%s\n", text);
		return SP_OK;
	}
	o = json_pack("{s:s, s:s}", "file", path, "recipient", text);
	return o != NULL ? ctl_print_json(c, o) : ctl_fail(c, SP_ENOMEM, "out of memory");
}

static const struct ctl_cmd auditor_cmds[] = {
	{ "key add", "let the owner of a key read recordings from now on", .args = auditor_add_args, .opts = auditor_add_opts,
	  .method = "auditor.key.add", .done = "Recordings that begin from now on are encrypted to {name} too.",
	  .more = "Recordings are age files: no process of Sallyport holds a key that opens one. At least two auditors' keys are needed "
	    "(setting auditors_min of the configuration), or nobody gets a session. To change a key, add the new one, then remove the old "
	    "one; keep the old private key for as long as recordings to it are kept." },
	{ "key list", "list the keys that recordings are encrypted to", .method = "auditor.key.list", .show = CTL_ROWS, .cols = auditor_cols,
	  .empty = "No auditors' keys: nobody gets a session before there are some." },
	{ "key remove", "recordings that begin from now on are not encrypted to that key any more", .args = auditor_remove_args,
	  .method = "auditor.key.remove", .done = "Key {name} removed." },
	{ "key new", "make a key pair into a new file and print its public key", .args = auditor_new_args, .run = auditor_run_new,
	  .more = "The file is one of age-keygen: 'age -d -i FILE' reads recordings with it." },
	{ NULL }
};
const struct ctl_noun ctl_noun_auditor = { "auditor", "who can read recordings", auditor_cmds };
