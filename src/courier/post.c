/* src/courier/post.c - see post.h. libcurl, with the two protocols of each kind and nothing else: no redirects, no proxy of the
 * environment, certificates and names checked. */
#include "courier/post.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

#define TIMEOUT_S	30L
#define CONNECT_S	10L

struct upload {
	struct sp_view	v;
};

static void curl_freep(CURL **c) { curl_easy_cleanup(*c); }
static void slist_freep(struct curl_slist **l) { curl_slist_free_all(*l); }

enum sp_err
post_init(void)
{
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? SP_OK : SP_ENOMEM;
}

static size_t
read_upload(char *dst, size_t size, size_t n, void *arg)
{
	struct upload *u = arg;
	size_t k = size * n < u->v.len ? size * n : u->v.len;

	memcpy(dst, u->v.p, k);
	u->v.p += k;
	u->v.len -= k;
	return k;
}

static size_t
drop_answer(char *p, size_t size, size_t n, void *arg)
{
	(void)p;
	(void)arg;
	return size * n;
}

static int
common_options(CURL *c, const char *url, const char *protocols, const char *ca, char *err)
{
	return curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK && curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, protocols) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK && curl_easy_setopt(c, CURLOPT_TIMEOUT, TIMEOUT_S) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_S) == CURLE_OK && curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK && curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK && curl_easy_setopt(c, CURLOPT_CAINFO, ca) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_CAPATH, NULL) == CURLE_OK && curl_easy_setopt(c, CURLOPT_ERRORBUFFER, err) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, drop_answer) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
}

static enum sp_err
say(CURLcode r, const char *err, char *why)
{
	const char *text = *err != '\0' ? err : curl_easy_strerror(r);

	sp_escape(text, strcspn(text, "\r\n"), why, POST_TEXT);
	return r == CURLE_OK ? SP_OK : r == CURLE_LOGIN_DENIED ? SP_EAUTH : r == CURLE_OUT_OF_MEMORY ? SP_ENOMEM : SP_EUNREACH;
}

static int
mail_options(CURL *c, const struct post_mail *m, struct upload *up, struct curl_slist **to)
{
	char from[300];

	for (size_t i = 0; i < m->to_n; i++) {
		char rcpt[300];
		struct curl_slist *l;

		sp_snprintf(rcpt, sizeof(rcpt), "<%s>", m->to[i]);
		if ((l = curl_slist_append(*to, rcpt)) == NULL)
			return 0;
		*to = l;
	}
	sp_snprintf(from, sizeof(from), "<%s>", m->from);
	if (*m->user != '\0' && (curl_easy_setopt(c, CURLOPT_USERNAME, m->user) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_PASSWORD, (const char *)m->password->p) != CURLE_OK))
		return 0;
	return curl_easy_setopt(c, CURLOPT_USE_SSL, m->tls ? (long)CURLUSESSL_ALL : (long)CURLUSESSL_NONE) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_MAIL_FROM, from) == CURLE_OK && curl_easy_setopt(c, CURLOPT_MAIL_RCPT, *to) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_UPLOAD, 1L) == CURLE_OK && curl_easy_setopt(c, CURLOPT_READFUNCTION, read_upload) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_READDATA, up) == CURLE_OK &&
	    curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)m->message.len) == CURLE_OK;
}

enum sp_err
post_mail(const struct post_mail *m, char why[POST_TEXT])
{
	sp_auto(curl_freep) CURL *c = curl_easy_init();
	sp_auto(slist_freep) struct curl_slist *to = NULL;
	char err[CURL_ERROR_SIZE] = "";
	struct upload up = { m->message };

	if (c == NULL || !common_options(c, m->server, "smtp,smtps", m->ca, err) || !mail_options(c, m, &up, &to))
		return say(CURLE_OUT_OF_MEMORY, err, why);
	return say(curl_easy_perform(c), err, why);
}

enum sp_err
post_signature(const struct sp_secret *key, int64_t unix_s, struct sp_view body, char ret[65])
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = body.len + 32 };
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	enum sp_err r = sp_buf_printf(&b, "%lld.", (long long)unix_s);

	if (r != SP_OK || (r = sp_buf_append(&b, body.p, body.len)) != SP_OK)
		return r;
	if (HMAC(EVP_sha256(), key->p, (int)key->len, b.p, b.len, mac, &n) == NULL || n != 32)
		return SP_EINTERNAL;
	sp_hex(mac, n, ret);
	return SP_OK;
}

static int
header_add(struct curl_slist **l, const char *name, const char *value)
{
	char line[200];
	struct curl_slist *more;

	sp_snprintf(line, sizeof(line), "%s: %s", name, value);
	if ((more = curl_slist_append(*l, line)) == NULL)
		return 0;
	*l = more;
	return 1;
}

enum sp_err
post_hook(const struct post_hook *h, char why[POST_TEXT])
{
	sp_auto(curl_freep) CURL *c = curl_easy_init();
	sp_auto(slist_freep) struct curl_slist *headers = NULL;
	char err[CURL_ERROR_SIZE] = "", mac[65], sig[80], at[32];
	int64_t now = h->wall_us / (int64_t)SP_US_PER_S;
	long status = 0;
	CURLcode rc;
	enum sp_err r;

	if ((r = post_signature(h->key, now, h->body, mac)) != SP_OK)
		return say(CURLE_OUT_OF_MEMORY, err, why);
	sp_snprintf(sig, sizeof(sig), "sha256=%s", mac);
	sp_snprintf(at, sizeof(at), "%lld", (long long)now);
	if (c == NULL || !common_options(c, h->url, "http,https", h->ca, err) ||
	    !header_add(&headers, "Content-Type", "application/json") || !header_add(&headers, "User-Agent", "sallyport/" SP_VERSION) ||
	    !header_add(&headers, "X-Sallyport-Kind", h->kind) || !header_add(&headers, "X-Sallyport-Id", h->id) ||
	    !header_add(&headers, "X-Sallyport-Timestamp", at) || !header_add(&headers, "X-Sallyport-Signature", sig) ||
	    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)h->body.len) != CURLE_OK ||
	    curl_easy_setopt(c, CURLOPT_POSTFIELDS, (const char *)h->body.p) != CURLE_OK)
		return say(CURLE_OUT_OF_MEMORY, err, why);
	rc = curl_easy_perform(c);
	if (rc != CURLE_OK)
		return say(rc, err, why);
	(void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200 && status < 300)
		return SP_OK;
	sp_snprintf(why, POST_TEXT, "it answered HTTP %ld", status);
	return SP_EUNREACH;
}
