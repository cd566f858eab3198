/* src/courier/mailtext.c - see mailtext.h. */
#include "courier/mailtext.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"

#define SUBJECT_MAX	120u	/* bytes of an alarm's text in the subject */
#define BODY_MAX	((size_t)1 << 20)
#define BASE64_LINE	76
#define WORD		42	/* bytes of one encoded word: with its frame and "Subject: " 77 characters */

/* "Tue, 01 Sep 2026 12:00:00 +0000", in English whatever the locale. */
static void
date_print(int64_t wall_us, char *dst, size_t n)
{
	static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t t = (time_t)(wall_us / (int64_t)SP_US_PER_S);
	struct tm tm = { 0 };

	if (gmtime_r(&t, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	sp_snprintf(dst, n, "%s, %02d %s %04d %02d:%02d:%02d +0000", days[tm.tm_wday % 7], tm.tm_mday, months[tm.tm_mon % 12],
	    tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Encoded words of whole characters, folded. */
static enum sp_err
words_put(struct sp_buf *b, const char *s)
{
	size_t n = strlen(s), at = 0;
	enum sp_err r = SP_OK;

	while (at < n && r == SP_OK) {
		size_t k = n - at < WORD ? n - at : WORD;

		while (k > 1 && at + k < n && ((unsigned char)s[at + k] & 0xc0) == 0x80)
			k--;
		r = sp_buf_append_str(b, at > 0 ? "\r\n =?UTF-8?B?" : "=?UTF-8?B?");
		if (r == SP_OK)
			r = sp_base64(b, s + at, k);
		if (r == SP_OK)
			r = sp_buf_append_str(b, "?=");
		at += k;
	}
	return r;
}

static enum sp_err
subject_put(struct sp_buf *b, const struct mail *m)
{
	char safe[SUBJECT_MAX + 8], text[SUBJECT_MAX + 160];

	sp_escape(m->items[0].text, strlen(m->items[0].text), safe, sizeof(safe));
	if (m->items_n > 1)
		sp_snprintf(text, sizeof(text), "[%.80s] %s (and %zu more)", m->bastion, safe, m->items_n - 1);
	else
		sp_snprintf(text, sizeof(text), "[%.80s] %s", m->bastion, safe);
	return words_put(b, text);
}

static enum sp_err
body_put(struct sp_buf *b, const struct mail *m)
{
	enum sp_err r = SP_OK;

	for (size_t i = 0; i < m->items_n && r == SP_OK; i++) {
		const struct mail_item *it = &m->items[i];
		char text[4096];

		sp_escape(it->text, strlen(it->text), text, sizeof(text));
		r = sp_buf_printf(b, "%s%s\r\n  at    %s\r\n  id    %s\r\n", i > 0 ? "\r\n" : "", text, it->created, it->id);
		if (r == SP_OK && *it->details != '\0')
			r = sp_buf_printf(b, "  more  %s\r\n", it->details);
	}
	if (r == SP_OK)
		r = sp_buf_printf(b, "\r\n-- \r\nSallyport at %s. 'sallyport audit list' has the whole log.\r\n", m->bastion);
	return r;
}

static enum sp_err
base64_put(struct sp_buf *b, const struct sp_buf *body)
{
	sp_auto(sp_buf_release) struct sp_buf all = { .max = BODY_MAX * 2 };
	enum sp_err r = sp_base64(&all, body->p, body->len);

	for (size_t at = 0; at < all.len && r == SP_OK; at += BASE64_LINE) {
		size_t k = all.len - at < BASE64_LINE ? all.len - at : BASE64_LINE;

		if ((r = sp_buf_append(b, all.p + at, k)) == SP_OK)
			r = sp_buf_append_str(b, "\r\n");
	}
	return r;
}

enum sp_err
mail_text(const struct mail *m, struct sp_buf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf body = { .max = BODY_MAX };
	const char *domain = strchr(m->from, '@');
	char date[64];
	enum sp_err r;

	date_print(m->wall_us, date, sizeof(date));
	if ((r = sp_buf_printf(ret, "Date: %s\r\nFrom: <%s>\r\nTo: ", date, m->from)) != SP_OK)
		return r;
	for (size_t i = 0; i < m->to_n && r == SP_OK; i++)
		r = sp_buf_printf(ret, "%s<%s>", i > 0 ? ",\r\n " : "", m->to[i]);
	if (r == SP_OK)
		r = sp_buf_printf(ret, "\r\nMessage-ID: <%.40s.%zu%.200s>\r\nAuto-Submitted: auto-generated\r\nSubject: ", m->items[0].id, m->items_n,
		    domain != NULL ? domain : "@localhost");
	if (r == SP_OK)
		r = subject_put(ret, m);
	if (r == SP_OK)
		r = sp_buf_append_str(ret, "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
		    "Content-Transfer-Encoding: base64\r\n\r\n");
	if (r == SP_OK)
		r = body_put(&body, m);
	return r == SP_OK ? base64_put(ret, &body) : r;
}
