/* src/ctl/ldap.c - see ldap.h. Process: the command line; it alone talks to the directory, control never does.
 * Invariants: (1) no password and no answer without TLS, but over a local socket. (2) The list is whole: every page came, no
 * limit was hit, nothing was referred elsewhere; else there is no list. (3) What comes is bounded and checked again as rows. */
#include <ldap.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/conf.h"
#include "base/str.h"
#include "ctl/ldap.h"

#define VALUE_MAX	1024	/* bytes of an attribute's value */

static const struct sp_conf_field fields[] = {
#define F(key, type, member, def, least, most, help)	{ key, SP_CONF_##type, offsetof(struct ctl_ldap_conf, member), def, least, most, help },
#include "ctl/ldap.def"
#undef F
	{ NULL, SP_CONF_STR, 0, NULL, 0, 0, NULL }
};

enum sp_err
ctl_ldap_conf_read(struct ctl *c, const char *path, struct ctl_ldap_conf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf text = { 0 };
	struct ctl_ldap_conf conf;
	char why[512];
	enum sp_err r;

	CTL_TRY(ctl_bulk_read(c, path, SP_CONF_FILE, &text));
	sp_conf_defaults(fields, &conf);
	if ((r = sp_conf_parse(fields, path, sp_buf_cstr(&text), text.len, &conf, sizeof(conf), why, sizeof(why))) != SP_OK)
		return ctl_fail(c, r, "%s", why);
	if (*conf.uri == '\0' || *conf.base == '\0')
		return ctl_fail(c, SP_EFORMAT, "%s: uri and base are needed: see 'sallyport help sweep ldap'", path);
	if (strncmp(conf.uri, "ldaps://", 8) != 0 && strncmp(conf.uri, "ldapi://", 8) != 0 &&
	    (strncmp(conf.uri, "ldap://", 7) != 0 || !conf.starttls))
		return ctl_fail(c, SP_EFORMAT, "%s: uri is ldaps://HOST, ldap://HOST with starttls, or ldapi://PATH: nothing is read without TLS", path);
	*ret = conf;
	return SP_OK;
}

static void
ldap_close(LDAP **ld)
{
	if (*ld != NULL)
		ldap_unbind_ext(*ld, NULL, NULL);
	*ld = NULL;
}

static enum sp_err
ldap_bad(struct ctl *c, LDAP *ld, int rc, const char *doing)
{
	char *more = NULL;
	enum sp_err r = rc == LDAP_INVALID_CREDENTIALS || rc == LDAP_INSUFFICIENT_ACCESS ? SP_EAUTH : rc == LDAP_TIMEOUT ? SP_ETIMEOUT : SP_EUNAVAIL;

	if (ld != NULL)
		ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &more);
	r = ctl_fail(c, r, "the directory: %s: %s%s%s: nothing was done", doing, ldap_err2string(rc), more != NULL && *more ? ": " : "",
	    more != NULL ? more : "");
	ldap_memfree(more);
	return r;
}

static int
ldap_options(LDAP *ld, const struct ctl_ldap_conf *conf)
{
	struct timeval tv = { .tv_sec = (time_t)(conf->timeout / 1000000), .tv_usec = (suseconds_t)(conf->timeout % 1000000) };
	int v3 = LDAP_VERSION3, demand = LDAP_OPT_X_TLS_DEMAND, client = 0, rc;

	if ((rc = ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &v3)) == LDAP_SUCCESS &&
	    (rc = ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &tv)) == LDAP_SUCCESS &&
	    (rc = ldap_set_option(ld, LDAP_OPT_TIMEOUT, &tv)) == LDAP_SUCCESS &&
	    (rc = ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF)) == LDAP_SUCCESS &&
	    (rc = ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand)) == LDAP_SUCCESS &&
	    (*conf->ca_file == '\0' || (rc = ldap_set_option(ld, LDAP_OPT_X_TLS_CACERTFILE, conf->ca_file)) == LDAP_SUCCESS))
		rc = ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &client);
	return rc;
}

static enum sp_err
ldap_connect_to(struct ctl *c, const struct ctl_ldap_conf *conf, const struct sp_secret *password, LDAP **ret)
{
	sp_auto(ldap_close) LDAP *ld = NULL;
	struct berval cred = { 0, NULL };
	int rc;

	if ((rc = ldap_initialize(&ld, conf->uri)) != LDAP_SUCCESS || (rc = ldap_options(ld, conf)) != LDAP_SUCCESS)
		return ldap_bad(c, ld, rc, "setting up");
	if (strncmp(conf->uri, "ldap://", 7) == 0 && (rc = ldap_start_tls_s(ld, NULL, NULL)) != LDAP_SUCCESS)
		return ldap_bad(c, ld, rc, "starting TLS");
	if (password != NULL && password->len > 0) {
		cred.bv_val = (char *)password->p;
		cred.bv_len = password->len;
	}
	rc = ldap_sasl_bind_s(ld, *conf->bind_dn != '\0' ? conf->bind_dn : NULL, LDAP_SASL_SIMPLE, &cred, NULL, NULL, NULL);
	if (rc != LDAP_SUCCESS)
		return ldap_bad(c, ld, rc, "logging in");
	*ret = sp_steal(&ld);
	return SP_OK;
}

/* ---- entries ---- */

struct people {
	struct ctl		*c;
	struct ctl_ldap_conf	 conf;		/* a copy: libldap wants texts that are not const */
	LDAP			*ld;
	json_t			*rows;		/* array of {login, external_id, department, heir, dn} */
	json_t			*logins;	/* by lower case DN */
	json_t			*left;		/* DNs in lower case, of a search with left_filter; NULL: the main search */
};

static void
lower(char *s)
{
	for (; *s != '\0'; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s + 32);
}

/* The one value of an attribute, or JSON null; several are an error of the directory's or the file's making. */
static enum sp_err
attribute(struct people *p, LDAPMessage *e, const char *name, const char *dn, json_t **ret)
{
	struct berval **v = *name != '\0' ? ldap_get_values_len(p->ld, e, name) : NULL;
	int n = v != NULL ? ldap_count_values_len(v) : 0;
	enum sp_err r = SP_OK;
	json_t *j = NULL;

	if (n > 1)
		r = ctl_fail(p->c, SP_EFORMAT, "the directory: %s has several values of %s: nothing was done", dn, name);
	else if (n == 1 && (v[0]->bv_len > VALUE_MAX || !sp_text_is_plain(v[0]->bv_val, v[0]->bv_len)))
		r = ctl_fail(p->c, SP_EFORMAT, "the directory: %s of %s is not a line of plain text: nothing was done", name, dn);
	else if (n == 1 && (j = json_stringn(v[0]->bv_val, v[0]->bv_len)) == NULL)
		r = ctl_fail(p->c, SP_ENOMEM, "out of memory");
	if (v != NULL)
		ldap_value_free_len(v);
	if (r == SP_OK)
		*ret = j;
	return r;
}

static enum sp_err
entry_row(struct people *p, LDAPMessage *e, const char *dn)
{
	const struct { const char *key, *name; } want[] = { { "login", p->conf.login }, { "external_id", p->conf.id },
		{ "department", p->conf.department }, { "heir", p->conf.heir } };
	ctl_auto_json *row = json_object();

	if (row == NULL)
		return ctl_fail(p->c, SP_ENOMEM, "out of memory");
	for (size_t i = 0; i < SP_NELEMS(want); i++) {
		json_t *v = NULL;

		CTL_TRY(attribute(p, e, want[i].name, dn, &v));
		if (v != NULL)
			json_object_set_new(row, want[i].key, v);
		else if (i < 2)
			return ctl_fail(p->c, SP_EFORMAT, "the directory: %s has no %s: nothing was done; narrow the filter", dn, want[i].name);
	}
	json_object_set_new(row, "dn", json_string(dn));
	json_object_set(p->logins, dn, json_object_get(row, "login"));
	return json_array_append(p->rows, row) == 0 ? SP_OK : ctl_fail(p->c, SP_ENOMEM, "out of memory");
}

static enum sp_err
entry_take(struct people *p, LDAPMessage *e)
{
	char *dn = ldap_get_dn(p->ld, e);
	enum sp_err r = SP_OK;

	if (dn == NULL || strlen(dn) > VALUE_MAX || !sp_utf8_valid(dn, strlen(dn)))
		r = ctl_fail(p->c, SP_EFORMAT, "the directory: an entry has no name that can be read: nothing was done");
	if (r == SP_OK) {
		lower(dn);
		if (p->left != NULL)
			json_object_set_new(p->left, dn, json_true());
		else if (json_array_size(p->rows) >= CTL_LDAP_PEOPLE_MAX)
			r = ctl_fail(p->c, SP_ESIZE, "the directory: more than %d people: narrow base or filter", CTL_LDAP_PEOPLE_MAX);
		else
			r = entry_row(p, e, dn);
	}
	ldap_memfree(dn);
	return r;
}

/* One page: its entries, and the cookie of the next (empty: it was the last). */
static enum sp_err
page_take(struct people *p, LDAPMessage *res, struct berval *cookie)
{
	LDAPControl **back = NULL, *page;
	ber_int_t total;
	int rc = LDAP_SUCCESS, parsed;
	enum sp_err r = SP_OK;

	if (ldap_count_references(p->ld, res) > 0)
		return ctl_fail(p->c, SP_EUNAVAIL, "the directory refers to another one for a part of the people: name a server that has them all: nothing was done");
	for (LDAPMessage *e = ldap_first_entry(p->ld, res); e != NULL && r == SP_OK; e = ldap_next_entry(p->ld, e))
		r = entry_take(p, e);
	if (r != SP_OK)
		return r;
	if ((parsed = ldap_parse_result(p->ld, res, &rc, NULL, NULL, NULL, &back, 0)) != LDAP_SUCCESS || rc != LDAP_SUCCESS)
		r = ldap_bad(p->c, p->ld, parsed != LDAP_SUCCESS ? parsed : rc, "reading people");
	page = r == SP_OK && back != NULL ? ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, back, NULL) : NULL;
	ber_memfree(cookie->bv_val);
	*cookie = (struct berval){ 0, NULL };
	if (page != NULL && (rc = ldap_parse_pageresponse_control(p->ld, page, &total, cookie)) != LDAP_SUCCESS)
		r = ldap_bad(p->c, p->ld, rc, "reading people");
	else if (r == SP_OK && page == NULL)
		r = ctl_fail(p->c, SP_EUNAVAIL, "the directory does not answer in pages, so its answer may be cut off: nothing was done");
	ldap_controls_free(back);
	return r;
}

static enum sp_err
people_search(struct people *p, const char *filter)
{
	char *attrs[] = { p->conf.login, p->conf.id, p->conf.department, p->conf.heir, NULL };
	struct timeval tv = { .tv_sec = (time_t)(p->conf.timeout / 1000000) + 1 };
	struct berval cookie = { 0, NULL };
	enum sp_err r = SP_OK;

	for (int i = 0, k = 0; i < 4; i++) {	/* an empty name would ask for everything */
		char *name = attrs[i];

		attrs[i] = NULL;
		if (*name != '\0')
			attrs[k++] = name;
	}
	do {
		LDAPControl *page = NULL, *ctrls[] = { NULL, NULL };
		LDAPMessage *res = NULL;
		int rc = ldap_create_page_control(p->ld, (ber_int_t)p->conf.page, &cookie, 1, &page);

		ctrls[0] = page;
		if (rc == LDAP_SUCCESS)
			rc = ldap_search_ext_s(p->ld, p->conf.base, LDAP_SCOPE_SUBTREE, filter, attrs, 0, ctrls, NULL, &tv, LDAP_NO_LIMIT, &res);
		/* Whatever is not plain success, a limit that was hit above all, is no list. */
		r = rc != LDAP_SUCCESS ? ldap_bad(p->c, p->ld, rc, "reading people") : page_take(p, res, &cookie);
		ldap_msgfree(res);
		if (page != NULL)
			ldap_control_free(page);
	} while (r == SP_OK && cookie.bv_len > 0);
	ber_memfree(cookie.bv_val);
	return r;
}

static enum sp_err
people_send(struct people *p, struct ctl_bulk *b)
{
	size_t i;
	json_t *row;

	json_array_foreach(p->rows, i, row) {
		char dn[VALUE_MAX + 1];
		const char *heir = json_string_value(json_object_get(row, "heir"));
		json_t *login;

		if (heir != NULL && strchr(heir, '=') != NULL) {	/* an entry's name: of whom */
			(void)sp_strlcpy(dn, heir, sizeof(dn));
			lower(dn);
			if ((login = json_object_get(p->logins, dn)) != NULL)
				json_object_set(row, "heir", login);
			else
				json_object_del(row, "heir");
		}
		if (p->left != NULL && json_object_get(p->left, json_string_value(json_object_get(row, "dn"))) != NULL)
			json_object_set_new(row, "state", json_string("left"));
		json_object_del(row, "dn");
		CTL_TRY(ctl_bulk_row(b, (uint32_t)i + 1, json_incref(row)));
	}
	return SP_OK;
}

static enum sp_err
people_read(struct people *p, struct ctl_bulk *b)
{
	json_t *left = NULL;

	CTL_TRY(people_search(p, p->conf.filter));
	if (*p->conf.left_filter != '\0') {
		p->left = left = json_object();
		if (left == NULL)
			return ctl_fail(p->c, SP_ENOMEM, "out of memory");
		CTL_TRY(people_search(p, p->conf.left_filter));
	}
	return people_send(p, b);
}

enum sp_err
ctl_ldap_people(struct ctl *c, const struct ctl_ldap_conf *conf, const struct sp_secret *password, struct ctl_bulk *b)
{
	struct people p = { .c = c, .conf = *conf, .rows = json_array(), .logins = json_object() };
	enum sp_err r = p.rows != NULL && p.logins != NULL ? ldap_connect_to(c, conf, password, &p.ld) : ctl_fail(c, SP_ENOMEM, "out of memory");

	if (r == SP_OK)
		r = people_read(&p, b);
	ldap_close(&p.ld);
	json_decref(p.rows);
	json_decref(p.logins);
	json_decref(p.left);
	return r;
}
