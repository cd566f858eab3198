/* tests/unit/src/vault/test_pwcheck.c - login passwords: right, wrong, unknown user, flood, and signing meanwhile. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

#include <string.h>

#include "base/clock.h"
#include "common/sealkind.h"
#include "wire/userauth.h"

static struct rig r;
static struct peer session;
static char stored[128];	/* hash of "open sesame" */

static enum sp_err
make_hash(const char *password, const char *context, char ret[128])
{
	sp_auto(sp_buf_release) struct sp_buf box = sealed(&r, SP_SEAL_USER_PASSWORD, password, strlen(password));
	Sallyport__HashPassword m = SALLYPORT__HASH_PASSWORD__INIT;
	const Sallyport__HashReply *reply;

	m.sealed = bytes_of(box.p, box.len);
	m.context = (char *)(uintptr_t)context;
	reply = peer_ask(&r.control, SP_MSG_HASH_PASSWORD, &m, SP_MSG_HASH_REPLY);
	assert_non_null(reply);
	if (reply->err == SP_OK)
		(void)sp_strlcpy(ret, reply->hash, 128);
	return (enum sp_err)reply->err;
}

static void
put_check(const struct sp_uuid *id, const char *hash, uint64_t deadline_us)
{
	Sallyport__PasswordCheckPut m = SALLYPORT__PASSWORD_CHECK_PUT__INIT;

	m.check_id = bytes_of(id->b, 16);
	m.conn_id = bytes_of(session.conn.b, 16);
	m.hash = (char *)(uintptr_t)hash;
	m.deadline_us = deadline_us;
	peer_send(&r.control, SP_MSG_PWCHECK_PUT, &m, -1);
}

static void
give_password(struct peer *p, const struct sp_uuid *id, const char *password)
{
	Sallyport__PasswordCheck m = SALLYPORT__PASSWORD_CHECK__INIT;

	m.check_id = bytes_of(id->b, 16);
	m.password = bytes_of(password, strlen(password));
	peer_send(p, SP_MSG_PASSWORD_CHECK, &m, -1);
}

static enum sp_err
result(const struct sp_uuid *id)
{
	const Sallyport__PasswordCheckResult *m = peer_wait(&r.control, SP_MSG_PWCHECK_RESULT, 0);

	assert_non_null(m);
	assert_memory_equal(m->check_id.data, id->b, 16);
	assert_int_equal(m->ok, m->err == SP_OK);
	return (enum sp_err)m->err;
}

static enum sp_err
check(const char *hash, const char *password)
{
	struct sp_uuid id;

	sp_uuid_make(&id);
	put_check(&id, hash, sp_now_us() + 60 * SP_US_PER_S);
	give_password(&session, &id, password);
	return result(&id);
}

static void
knows_right_from_wrong(void **state)
{
	(void)state;
	assert_int_equal(check(stored, "open sesame"), SP_OK);
	assert_int_equal(check(stored, "open sesamf"), SP_EAUTH);
	assert_int_equal(check(stored, ""), SP_EAUTH);
	assert_int_equal(check("", "open sesame"), SP_EAUTH);
	assert_int_equal(check("$6$not$ours", "open sesame"), SP_ECORRUPT);
}

static void
refuses_passwords_of_bad_length_and_foreign_contexts(void **state)
{
	char long_one[1026], ret[128];

	(void)state;
	memset(long_one, 'a', sizeof(long_one));
	long_one[1025] = 0;
	assert_int_equal(make_hash("short12", "", ret), SP_EINVAL);
	assert_int_equal(make_hash(long_one, "", ret), SP_EINVAL);
	assert_int_equal(make_hash("long enough", "vault.credential", ret), SP_EINVAL);
	assert_int_equal(make_hash("long enough", "user.password", ret), SP_OK);
	assert_int_equal(check(stored, long_one), SP_EAUTH);
}

/* Processor time of all threads of the vault, in nanoseconds: what else the machine does is not in it. */
static uint64_t
vault_cpu_ns(void)
{
	char path[300];
	uint64_t sum = 0;
	struct dirent *e;
	DIR *d;

	sp_snprintf(path, sizeof(path), "/proc/%d/task", (int)r.pid);
	assert_non_null(d = opendir(path));
	while ((e = readdir(d)) != NULL) {
		char text[128];
		FILE *f;

		sp_snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)r.pid, e->d_name);
		if (e->d_name[0] == '.' || (f = fopen(path, "re")) == NULL)
			continue;
		if (fgets(text, sizeof(text), f) != NULL)
			sum += strtoull(text, NULL, 10);
		fclose(f);
	}
	closedir(d);
	return sum;
}

/* What ten checks cost. */
static uint64_t
cost(const char *hash)
{
	uint64_t before = vault_cpu_ns();

	for (int i = 0; i < 10; i++)
		(void)!check(hash, "some password");
	return vault_cpu_ns() - before;
}

static void
an_unknown_user_costs_what_a_wrong_password_costs(void **state)
{
	uint64_t known = cost(stored), unknown = cost(""), damaged = cost("rubbish");

	(void)state;
	assert_true(known > 10 * 1000000);	/* a hash takes tens of milliseconds: it was measured */
	assert_true(unknown * 2 > known && unknown < known * 2);
	assert_true(damaged * 2 > known && damaged < known * 2);
}

static void
a_check_is_for_one_connection_and_one_password(void **state)
{
	struct sp_uuid id;
	struct peer thief;

	(void)state;
	sp_uuid_make(&id);
	put_check(&id, stored, sp_now_us() + 60 * SP_US_PER_S);
	peer_open(&r, &thief, SP_PROC_SESSION);
	give_password(&thief, &id, "open sesame");
	peer_expect_closed(&thief);
	peer_close(&thief);
	give_password(&session, &id, "open sesame");
	assert_int_equal(result(&id), SP_OK);
	/* The second password of the same check gets no answer: the next check's comes first. */
	give_password(&session, &id, "open sesame");
	assert_int_equal(check(stored, "open sesame"), SP_OK);
	put_check(&id, stored, sp_now_us());
	give_password(&session, &id, "open sesame");
	assert_int_equal(result(&id), SP_EEXPIRED);
}

static void
works_while_the_vault_is_sealed(void **state)
{
	char text[200], ret[128];

	(void)state;
	assert_int_equal(vault_simple(&r, SP_MSG_VAULT_SEAL), SP_OK);
	assert_int_equal(check(stored, "open sesame"), SP_OK);
	assert_int_equal(make_hash("open sesame", "", ret), SP_OK);
	assert_int_equal(vault_open(&r, "keyfile", r.keyfile, 32, text), SP_OK);
}

/* More checks than may wait: those beyond the queue are refused at once, and a signature is not behind any of them. */
static void
a_flood_is_refused_and_signing_does_not_wait_for_it(void **state)
{
	enum { FLOOD = 120, QUEUE = 64, THREADS = 2 };
	static const uint8_t sid[32] = { 1 };
	sp_auto(sp_buf_release) struct sp_buf blob = { .max = SP_USERAUTH_MAX };
	Sallyport__SignAsk ask = SALLYPORT__SIGN_ASK__INIT;
	const Sallyport__SignReply *reply;
	struct sp_userauth u = { .session_id = { sid, 32 } };
	unsigned busy = 0, other = 0, when_signed;
	struct lease_msg l;
	struct sp_uuid id;
	struct stored key;

	(void)state;
	assert_int_equal(secret_put(&r, "ssh-key", NULL, "ed25519", &key), SP_OK);
	lease_make(&r, &session, &key, &l);
	lease_send(&r, &l);
	u.user = (struct sp_view){ (const uint8_t *)"deploy", 6 };
	u.algorithm = (struct sp_view){ (const uint8_t *)"ssh-ed25519", 11 };
	u.key_blob = (struct sp_view){ key.pub.p, key.pub.len };
	assert_int_equal(sp_userauth_encode(&u, &blob), SP_OK);
	ask.lease = bytes_of(l.id, 16);
	ask.blob = bytes_of(blob.p, blob.len);
	for (int i = 0; i < FLOOD; i++) {
		sp_uuid_make(&id);
		put_check(&id, stored, sp_now_us() + 60 * SP_US_PER_S);
		give_password(&session, &id, "open sesamf");
	}
	reply = peer_ask(&session, SP_MSG_SIGN_ASK, &ask, SP_MSG_SIGN_REPLY);
	assert_int_equal(reply->err, SP_OK);
	while (r.control.n < FLOOD && peer_poll(&r.control, 0))
		;
	when_signed = (unsigned)r.control.n;
	for (int i = 0; i < FLOOD; i++) {
		const Sallyport__PasswordCheckResult *m = peer_wait(&r.control, SP_MSG_PWCHECK_RESULT, 0);

		busy += m->err == SP_EBUSY;
		other += m->err == SP_EAUTH;
	}
	assert_int_equal(busy + other, FLOOD);
	assert_true(busy > 0);			/* more came than may wait, although some were finished meanwhile */
	assert_true(when_signed < FLOOD);	/* hashes were still to be done */
	stored_release(&key);
}

static int
setup(void **state)
{
	(void)state;
	rig_up(&r);
	peer_open(&r, &session, SP_PROC_SESSION);
	assert_int_equal(make_hash("open sesame", "", stored), SP_OK);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	peer_close(&session);
	rig_down(&r);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_right_from_wrong),
		cmocka_unit_test(refuses_passwords_of_bad_length_and_foreign_contexts),
		cmocka_unit_test(an_unknown_user_costs_what_a_wrong_password_costs),
		cmocka_unit_test(a_check_is_for_one_connection_and_one_password),
		cmocka_unit_test(works_while_the_vault_is_sealed),
		cmocka_unit_test(a_flood_is_refused_and_signing_does_not_wait_for_it),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
