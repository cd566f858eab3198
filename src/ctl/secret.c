/* src/ctl/secret.c - see secret.h. */
#include "ctl/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/str.h"
#include "common/sealkind.h"
#include "ctl/call.h"

static volatile sig_atomic_t prompt_signal;

static void
prompt_on_signal(int signo)
{
	prompt_signal = signo;
}

static const int prompt_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };

/* One line, byte by byte, so that nothing behind it is taken. */
static enum sp_err
prompt_line(int tty, struct sp_secret *line)
{
	size_t n = 0;

	while (n < CTL_PASSPHRASE_MAX) {
		ssize_t k = read(tty, line->p + n, 1);

		if (k == -1 && errno == EINTR && prompt_signal == 0)
			continue;
		if (k == -1)
			return SP_EIO;
		if (k == 0 || line->p[n] == '\n' || line->p[n] == '\r') {
			line->p[n] = 0;
			line->len = n;
			return k == 0 && n == 0 ? SP_ESHORT : SP_OK;
		}
		n++;
	}
	return SP_ESIZE;
}

/* The echo comes back whatever happens: signals interrupt the read and are delivered again afterwards. */
static enum sp_err
prompt_quiet(int tty, const char *prompt, struct sp_secret *line)
{
	struct sigaction sa = { .sa_handler = prompt_on_signal }, old[SP_NELEMS(prompt_signals)];
	struct termios was, quiet;
	enum sp_err r;

	prompt_signal = 0;
	for (size_t i = 0; i < SP_NELEMS(prompt_signals); i++)
		sigaction(prompt_signals[i], &sa, &old[i]);
	if (tcgetattr(tty, &was) == -1) {
		r = SP_EIO;
	} else {
		quiet = was;
		quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
		tcsetattr(tty, TCSAFLUSH, &quiet);
		(void)!write(tty, prompt, strlen(prompt));
		r = prompt_line(tty, line);
		(void)!write(tty, "\n", 1);
		tcsetattr(tty, TCSAFLUSH, &was);
	}
	for (size_t i = 0; i < SP_NELEMS(prompt_signals); i++)
		sigaction(prompt_signals[i], &old[i], NULL);
	if (prompt_signal != 0)
		raise(prompt_signal);
	return r;
}

enum sp_err
ctl_prompt(struct ctl *c, const char *prompt, struct sp_secret *ret)
{
	sp_auto(sp_closep) int tty = c->place == NULL ? open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;
	sp_auto_secret line = { 0 };
	enum sp_err r;

	if (c->place != NULL)
		return c->place->prompt(c, prompt, ret);
	if (tty == -1)
		return ctl_fail(c, SP_EUSAGE, "there is no terminal to ask \"%.*s\" on: use the option that names a file or descriptor",
		    (int)strcspn(prompt, ":"), prompt);
	if ((r = sp_secret_alloc(CTL_PASSPHRASE_MAX + 1, &line)) != SP_OK)
		return ctl_fail(c, r, "cannot lock memory for a secret: raise the limit of locked memory (ulimit -l)");
	if ((r = prompt_quiet(tty, prompt, &line)) == SP_ESIZE)
		return ctl_fail(c, r, "longer than %d bytes: choose a shorter one", CTL_PASSPHRASE_MAX);
	if (r != SP_OK)
		return ctl_fail(c, r, "nothing was typed");
	*ret = sp_secret_steal(&line);
	return SP_OK;
}

/* Everything in a descriptor, at most max bytes; name for messages. */
static enum sp_err
secret_fd(struct ctl *c, int taken, const char *name, size_t max, struct sp_secret *ret)
{
	sp_auto(sp_closep) int fd = taken;
	sp_auto_secret s = { 0 };
	size_t n = 0;

	if (sp_secret_alloc(max + 1, &s) != SP_OK)
		return ctl_fail(c, SP_ENOMEM, "cannot lock memory for a secret: raise the limit of locked memory (ulimit -l)");
	for (;;) {
		ssize_t k = read(fd, s.p + n, max + 1 - n);

		if (k == -1 && errno == EINTR)
			continue;
		if (k == -1)
			return ctl_fail(c, SP_EIO, "%s: %s", name, strerror(errno));
		if (k == 0)
			break;
		if ((n += (size_t)k) > max)
			return ctl_fail(c, SP_ESIZE, "%s: longer than %zu bytes: is it the right file?", name, max);
	}
	if (n == 0)
		return ctl_fail(c, SP_ESHORT, "%s: is empty", name);
	s.len = n;
	*ret = sp_secret_steal(&s);
	return SP_OK;
}

enum sp_err
ctl_secret_file(struct ctl *c, const char *path, size_t max, struct sp_secret *ret)
{
	int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd == -1)
		return ctl_fail(c, errno == EACCES ? SP_EACCES : SP_ENOENT, "%s: %s: name a readable file", path, strerror(errno));
	return secret_fd(c, fd, path, max, ret);
}

/* A passphrase in a file or pipe ends with its first line end. */
static enum sp_err
secret_first_line(struct ctl *c, const char *name, struct sp_secret *s)
{
	size_t n = 0;

	while (n < s->len && s->p[n] != '\n')
		n++;
	if (n + 1 < s->len)
		return ctl_fail(c, SP_EFORMAT, "%s: has more than one line: give one line", name);
	if (n > 0 && s->p[n - 1] == '\r')
		n--;
	explicit_bzero(s->p + n, s->len - n);
	s->len = n;
	return n > 0 ? SP_OK : ctl_fail(c, SP_ESHORT, "%s: is empty", name);
}

static enum sp_err
secret_twice(struct ctl *c, const char *prompt, struct sp_secret *ret)
{
	sp_auto_secret a = { 0 }, b = { 0 };

	CTL_TRY(ctl_prompt(c, prompt, &a));
	CTL_TRY(ctl_prompt(c, "Again: ", &b));
	if (!sp_secret_equal(&a, &b))
		return ctl_fail(c, SP_EUSAGE, "the two differ: start again");
	*ret = sp_secret_steal(&a);
	return SP_OK;
}

enum sp_err
ctl_secret_read(struct ctl *c, const char *name, const char *prompt, int twice, struct sp_secret *ret)
{
	char file[64], fd[64], in[64];
	sp_auto_secret s = { 0 };
	enum sp_err r;

	sp_snprintf(file, sizeof(file), "%s-file", name);
	sp_snprintf(fd, sizeof(fd), "%s-fd", name);
	sp_snprintf(in, sizeof(in), "%s-stdin", name);
	if (ctl_local_str(c, file) != NULL)
		r = ctl_secret_file(c, ctl_local_str(c, file), CTL_PASSPHRASE_MAX, &s);
	else if (ctl_local_int(c, fd, -1) >= 0)
		r = secret_fd(c, dup((int)ctl_local_int(c, fd, -1)), fd, CTL_PASSPHRASE_MAX, &s);
	else if (ctl_local_flag(c, in) && c->place != NULL && c->is_tty)
		return ctl_check_file(c, in, "-");
	else if (ctl_local_flag(c, in))
		r = secret_fd(c, dup(STDIN_FILENO), "standard input", CTL_PASSPHRASE_MAX, &s);
	else
		return twice ? secret_twice(c, prompt, ret) : ctl_prompt(c, prompt, ret);
	if (r != SP_OK)
		return r;
	CTL_TRY(secret_first_line(c, name, &s));
	*ret = sp_secret_steal(&s);
	return SP_OK;
}

static enum sp_err
seal_public_key(struct ctl *c, uint8_t ret[SP_SEALBOX_KEY])
{
	sp_auto(sp_buf_release) struct sp_buf key = { .max = 64 };
	ctl_auto_json *body = NULL;
	const char *text;

	CTL_TRY(ctl_call(c, "vault.status", NULL, &body));
	text = json_string_value(json_object_get(body, "public_key"));
	if (text == NULL || text[0] == 0)
		return ctl_fail(c, SP_EUNAVAIL, "the vault does not answer, so nothing can be sealed to it: see 'sallyport doctor'");
	if (sp_base64_parse(&key, text, strlen(text)) != SP_OK || key.len != SP_SEALBOX_KEY)
		return ctl_fail(c, SP_EFORMAT, "the vault's public key is malformed: restart sallyport after its upgrade");
	memcpy(ret, key.p, SP_SEALBOX_KEY);
	return SP_OK;
}

enum sp_err
ctl_seal(struct ctl *c, const char *kind, const struct sp_secret *plain, json_t **ret)
{
	sp_auto(sp_buf_release) struct sp_buf sealed = { .max = SP_SEALBOX_MAX }, text = { .max = SP_SEALBOX_MAX * 2 };
	struct sp_seal_context ctx = { .kind = kind };
	uint8_t pk[SP_SEALBOX_KEY];
	enum sp_err r;

	CTL_TRY(seal_public_key(c, pk));
	if ((r = sp_sealbox_seal(pk, &ctx, sp_secret_view(plain), &sealed)) != SP_OK ||
	    (r = sp_base64(&text, sealed.p, sealed.len)) != SP_OK)
		return ctl_fail(c, r, "cannot seal the secret: %s", sp_err_text(r));
	*ret = json_string(sp_buf_cstr(&text));
	return *ret != NULL ? SP_OK : ctl_fail(c, SP_ENOMEM, "out of memory");
}

void
ctl_reply_key_release(struct ctl_reply_key *k)
{
	sp_secret_release(&k->sk);
}

enum sp_err
ctl_reply_key_make(struct ctl *c, struct ctl_reply_key *k)
{
	sp_auto(sp_buf_release) struct sp_buf text = { .max = 128 };
	enum sp_err r;

	if ((r = sp_sealbox_keypair(k->pk, &k->sk)) != SP_OK || (r = sp_base64(&text, k->pk, sizeof(k->pk))) != SP_OK ||
	    json_object_set_new(c->params, "client_key", json_string(sp_buf_cstr(&text))) != 0)
		return ctl_fail(c, r != SP_OK ? r : SP_ENOMEM, "cannot make a key for the answer");
	return SP_OK;
}

enum sp_err
ctl_open(struct ctl *c, const struct ctl_reply_key *k, const char *kind, const json_t *sealed, struct sp_secret *ret)
{
	sp_auto(sp_buf_release) struct sp_buf raw = { .max = SP_SEALBOX_MAX };
	struct sp_seal_context ctx = { .kind = kind };
	const char *text = json_string_value(sealed);

	if (text == NULL || sp_base64_parse(&raw, text, strlen(text)) != SP_OK ||
	    sp_sealbox_open(k->pk, &k->sk, &ctx, (struct sp_view){ raw.p, raw.len }, ret) != SP_OK)
		return ctl_fail(c, SP_EFORMAT, "the vault's answer does not open with our key: try again, and see 'sallyport doctor'");
	return SP_OK;
}
