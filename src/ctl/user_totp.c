/* src/ctl/user_totp.c - sallyport user totp: a second factor is set up, confirmed, taken away. The shared secret and the
 * recovery codes come sealed to a key that this program made for the one answer; they are shown, and kept nowhere. */
#include <string.h>

#include "base/str.h"
#include "common/qr.h"
#include "common/sealkind.h"
#include "ctl/call.h"
#include "ctl/nouns.h"
#include "ctl/secret.h"
#include "ctl/user_totp.h"

#define URI_MAX		500
#define LINES_MAX	16	/* the secret and the recovery codes */
#define LINE_MAX_	64

struct enrolled {		/* what the vault sealed, in lines; wiped */
	char	line[LINES_MAX][LINE_MAX_];
	size_t	n;
	char	uri[URI_MAX];
};

static void
enrolled_wipe(struct enrolled *e)
{
	explicit_bzero(e, sizeof(*e));
}

/* Percent-encoding of everything that is not a letter, digit or one of "-._". */
static void
uri_part(char *dst, size_t size, const char *s)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = strlen(dst);

	for (; *s != '\0' && n + 4 < size; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._", c) != NULL) {
			dst[n++] = *s;
		} else {
			dst[n++] = '%';
			dst[n++] = hex[c >> 4];
			dst[n++] = hex[c & 15];
		}
	}
	dst[n] = '\0';
}

/* otpauth: the form that authenticator apps read. */
static void
enrolled_uri(struct enrolled *e, const json_t *body)
{
	const char *issuer = json_string_value(json_object_get(body, "issuer"));
	const char *login = json_string_value(json_object_get(body, "login"));
	char label[200] = "", from[100] = "";

	uri_part(from, sizeof(from), issuer != NULL && *issuer ? issuer : "Sallyport");
	uri_part(label, sizeof(label), login != NULL ? login : "");
	sp_snprintf(e->uri, sizeof(e->uri), "otpauth://totp/%s:%s?secret=%s&issuer=%s&algorithm=SHA1&digits=6&period=30", from, label,
	    e->line[0], from);
}

static enum sp_err
enrolled_open(struct ctl *c, const struct ctl_reply_key *k, const json_t *body, struct enrolled *e)
{
	sp_auto_secret plain = { 0 };
	size_t at = 0, n;

	CTL_TRY(ctl_open(c, k, SP_SEAL_TOTP, json_object_get(body, "sealed"), &plain));
	for (e->n = 0; at < plain.len && e->n < LINES_MAX; at += n + 1) {
		const uint8_t *end = memchr(plain.p + at, '\n', plain.len - at);

		n = end != NULL ? (size_t)(end - (plain.p + at)) : plain.len - at;
		if (n >= LINE_MAX_)
			break;
		memcpy(e->line[e->n], plain.p + at, n);
		e->line[e->n++][n] = '\0';
	}
	if (at < plain.len || e->n < 2)
		return ctl_fail(c, SP_EFORMAT, "the vault's answer makes no sense: see 'sallyport doctor'");
	enrolled_uri(e, body);
	return SP_OK;
}

static enum sp_err
enrolled_json(struct ctl *c, const json_t *body, const struct enrolled *e)
{
	ctl_auto_json *o = json_pack("{s:O, s:s, s:s, s:[]}", "login", json_object_get(body, "login"), "secret", e->line[0], "uri",
	    e->uri, "recovery");

	for (size_t i = 1; i < e->n; i++)
		json_array_append_new(json_object_get(o, "recovery"), json_string(e->line[i]));
	return o != NULL ? ctl_print_json(c, o) : ctl_fail(c, SP_ENOMEM, "out of memory");
}

/* The QR code where there is a terminal wide enough; the text always, for who cannot scan. */
static void
enrolled_show(struct ctl *c, const struct enrolled *e)
{
	int narrow = c->width != 0 && c->width < 50;	/* two recovery codes beside one another take 46 */
	struct sp_buf qr;

	sp_buf_init(&qr, 65536);
	if ((c->is_tty || c->place != NULL) && !ctl_local_flag(c, "text")) {	/* over SSH the terminal may be the other one's */
		if (sp_qr_draw(e->uri, c->width != 0 ? c->width : 80, "\n", &qr) == SP_OK)
			fprintf(c->out, "Scan this with an authenticator app:\n\n%s\n", sp_buf_cstr(&qr));
		else
			ctl_note(c, "this terminal is too narrow for the QR code: type the key");
	}
	explicit_bzero(qr.p, qr.len);
	sp_buf_release(&qr);
	fprintf(c->out, "Key to type:  %s\nAddress:      %s\n\nRecovery codes, shown only now: each opens\nonce. Keep them apart from the telephone.\n",
	    e->line[0], e->uri);
	for (size_t i = 1; i < e->n; i++)
		fprintf(c->out, "  %s%s", e->line[i], narrow || i % 2 == 0 || i + 1 == e->n ? "\n" : "    ");
	fprintf(c->out, "\n");
	fflush(c->out);
}

static enum sp_err
totp_seal_code(struct ctl *c, const char *prompt)
{
	sp_auto_secret code = { 0 };
	json_t *sealed = NULL;

	CTL_TRY(ctl_secret_read(c, "code", prompt, 0, &code));
	CTL_TRY(ctl_seal(c, SP_SEAL_CODE, &code, &sealed));
	return json_object_set_new(c->params, "code_sealed", sealed) == 0 ? SP_OK : ctl_fail(c, SP_ENOMEM, "out of memory");
}

static enum sp_err
totp_confirm_now(struct ctl *c)
{
	ctl_auto_json *body = NULL;

	CTL_TRY(totp_seal_code(c, "Code that the app shows now: "));
	CTL_TRY(ctl_call(c, "user.totp.confirm", c->params, &body));
	fprintf(c->out, "Confirmed: the second factor of %s is in use.\n", json_string_value(json_object_get(body, "login")));
	return SP_OK;
}

enum sp_err
user_run_totp_enrol(struct ctl *c)
{
	sp_auto(ctl_reply_key_release) struct ctl_reply_key key = { 0 };
	sp_auto(enrolled_wipe) struct enrolled e = { 0 };
	ctl_auto_json *body = NULL;

	CTL_TRY(ctl_reply_key_make(c, &key));
	CTL_TRY(ctl_call(c, "user.totp.enrol", c->params, &body));
	CTL_TRY(enrolled_open(c, &key, body, &e));
	if (c->json)
		return enrolled_json(c, body, &e);
	enrolled_show(c, &e);
	(void)json_object_del(c->params, "client_key");
	if (c->is_tty)
		return totp_confirm_now(c);
	fprintf(c->out, "Not in use yet: confirm with '%suser totp confirm %s'%s.\n", c->place == NULL ? "sallyport " : "",
	    json_string_value(json_object_get(body, "login")), c->place == NULL ? "" : " on a terminal (ssh -t)");
	return SP_OK;
}

enum sp_err
user_fill_totp_confirm(struct ctl *c)
{
	return totp_seal_code(c, "Code that the app shows now: ");
}

/* Only one's own needs a code: control says so, and then it is asked for. */
enum sp_err
user_run_totp_remove(struct ctl *c)
{
	ctl_auto_json *body = NULL;

	if (ctl_local_flag(c, "code") || ctl_local_str(c, "code-file") != NULL || ctl_local_int(c, "code-fd", -1) >= 0 ||
	    ctl_local_flag(c, "code-stdin"))
		CTL_TRY(totp_seal_code(c, "One-time code or recovery code: "));
	CTL_TRY(ctl_call(c, "user.totp.remove", c->params, &body));
	return ctl_show(c, body);
}
