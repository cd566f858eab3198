/* tests/unit/src/vault/test_memory.c - after a seal no plaintext is left in the memory of the process.
 * Reads /proc/PID/mem, hence only as root (the process is not dumpable); otherwise the test is skipped, and says so. */
#include "harness.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/sealkind.h"
#include "crypto/sign.h"

/* Where the bytes are found; "" if nowhere. *ret_bytes: how much was readable. */
static void
scan(pid_t pid, const void *needle, size_t n, char *where, size_t size, size_t *ret_bytes)
{
	static uint8_t chunk[1 << 20];
	char path[64], line[512];
	FILE *maps;
	int mem;

	*where = 0;
	*ret_bytes = 0;
	sp_snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	assert_non_null(maps = fopen(path, "re"));
	sp_snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	assert_true((mem = open(path, O_RDONLY | O_CLOEXEC)) >= 0);
	while (fgets(line, sizeof(line), maps) != NULL) {
		unsigned long long from = strtoull(line, NULL, 16), to = strtoull(strchr(line, '-') + 1, NULL, 16);

		for (unsigned long long at = from; at < to; at += sizeof(chunk) - n) {
			size_t want = to - at < sizeof(chunk) ? (size_t)(to - at) : sizeof(chunk);
			ssize_t got = pread(mem, chunk, want, (off_t)at);

			if (got <= 0)
				break;
			*ret_bytes += (size_t)got;
			if (memmem(chunk, (size_t)got, needle, n) != NULL)
				(void)sp_strlcpy(where, line, size);
		}
	}
	fclose(maps);
	close(mem);
}

static int
found(const struct rig *r, const void *needle, size_t n)
{
	char where[512];
	size_t bytes;

	scan(r->pid, needle, n, where, sizeof(where), &bytes);
	assert_true(bytes > 100000);
	if (where[0] != 0)
		print_message("found in %s", where);
	return where[0] != 0;
}

static int
can_scan(void)
{
#ifdef __SANITIZE_ADDRESS__
	print_message("skipped: the shadow memory of the sanitizer is too large to search\n");
	return 0;
#else
	if (geteuid() != 0)
		print_message("skipped: needs root to read the memory of another process\n");
	return geteuid() == 0;
#endif
}

/* Random text, so that it stands nowhere by chance; made in the test's own memory only. */
static void
word(char ret[33])
{
	uint8_t b[16];

	randombytes_buf(b, sizeof(b));
	sp_hex(b, sizeof(b), ret);
}

static void
use_password(struct rig *r, struct peer *session, const char *text)
{
	Sallyport__PasswordAsk m = SALLYPORT__PASSWORD_ASK__INIT;
	const Sallyport__PasswordReply *reply;
	struct sp_buf shown;
	struct lease_msg l;
	struct stored s;

	assert_int_equal(secret_put(r, "password", text, NULL, &s), SP_OK);
	assert_int_equal(secret_reveal(r, &s, &shown), SP_OK);
	sp_buf_release(&shown);
	lease_make(r, session, &s, &l);
	lease_send(r, &l);
	m.lease = bytes_of(l.id, sizeof(l.id));
	reply = peer_ask(session, SP_MSG_PASSWORD_ASK, &m, SP_MSG_PASSWORD_REPLY);
	assert_int_equal(reply->err, SP_OK);
	assert_memory_equal(reply->password.data, text, reply->password.len);
	stored_release(&s);
}

static void
use_login(struct rig *r, struct peer *session, const char *text)
{
	sp_auto(sp_buf_release) struct sp_buf box = sealed(r, SP_SEAL_USER_PASSWORD, text, strlen(text));
	Sallyport__PasswordCheckPut put = SALLYPORT__PASSWORD_CHECK_PUT__INIT;
	Sallyport__PasswordCheck check = SALLYPORT__PASSWORD_CHECK__INIT;
	Sallyport__HashPassword hash = SALLYPORT__HASH_PASSWORD__INIT;
	const Sallyport__HashReply *reply;
	struct sp_uuid id;

	hash.sealed = bytes_of(box.p, box.len);
	reply = peer_ask(&r->control, SP_MSG_HASH_PASSWORD, &hash, SP_MSG_HASH_REPLY);
	assert_int_equal(reply->err, SP_OK);
	sp_uuid_make(&id);
	put.check_id = check.check_id = bytes_of(id.b, 16);
	put.conn_id = bytes_of(session->conn.b, 16);
	put.hash = reply->hash;
	put.deadline_us = sp_now_us() + 60 * SP_US_PER_S;
	peer_send(&r->control, SP_MSG_PWCHECK_PUT, &put, -1);
	check.password = bytes_of(text, strlen(text));
	peer_send(session, SP_MSG_PASSWORD_CHECK, &check, -1);
	assert_true(((const Sallyport__PasswordCheckResult *)peer_wait(&r->control, SP_MSG_PWCHECK_RESULT, 0))->ok);
}

/* Import an ed25519 key, certify nothing, sign nothing: the seed was in the process; ret gets it. */
static void
use_key(struct rig *r, uint8_t ret[32])
{
	sp_auto(sp_buf_release) struct sp_buf text = { .max = 65536 };
	sp_auto_secret key = { 0 };
	struct sp_buf shown;
	struct stored s;

	assert_int_equal(sp_privkey_generate("ssh-ed25519", &key), SP_OK);
	assert_int_equal(sp_privkey_export(&key, "", &text), SP_OK);
	memcpy(ret, key.p + key.len - 64, 32);	/* string seed || public key stands last */
	assert_int_equal(secret_put(r, "ssh-key", sp_buf_cstr(&text), NULL, &s), SP_OK);
	assert_int_equal(secret_reveal(r, &s, &shown), SP_OK);
	sp_buf_release(&shown);
	stored_release(&s);
}

static void
nothing_is_left_after_a_seal(void **state)
{
	char password[33], login[33], phrase[33];
	uint8_t seed[32];
	struct peer session;
	struct rig r;

	(void)state;
	if (!can_scan())
		skip();
	word(password);
	word(login);
	word(phrase);
	rig_create(&r);
	rig_start(&r, 0);
	assert_int_equal(vault_init(&r, "passphrase", phrase, 32), SP_OK);
	peer_open(&r, &session, SP_PROC_SESSION);
	use_password(&r, &session, password);
	use_login(&r, &session, login);
	use_key(&r, seed);
	assert_true(found(&r, r.mac, 16) == 0);	/* derived, sent, wiped: even while unsealed */
	assert_true(found(&r, r.boot, 16));	/* the scan does find what is there */
	assert_int_equal(vault_simple(&r, SP_MSG_VAULT_SEAL), SP_OK);
	assert_false(found(&r, password, 32));
	assert_false(found(&r, login, 32));
	assert_false(found(&r, phrase, 32));
	assert_false(found(&r, seed, 32));
	peer_close(&session);
	rig_down(&r);
}

static void
the_key_file_is_not_kept(void **state)
{
	struct rig r;

	(void)state;
	if (!can_scan())
		skip();
	rig_up(&r);
	rig_stop(&r, 0);
	rig_start(&r, 1);
	assert_false(r.sealed);
	assert_false(found(&r, r.keyfile, 32));
	rig_down(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_left_after_a_seal),
		cmocka_unit_test(the_key_file_is_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
