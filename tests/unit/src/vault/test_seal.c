/* tests/unit/src/vault/test_seal.c - init, unseal, seal, rotate, slots, and the key file under kill -9. */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/sealkind.h"
#include "crypto/sealbox.h"

static const char phrase[] = "correct horse battery";

static void
opens_by_key_file_at_start(void **state)
{
	struct rig r;
	uint8_t boot[16], pk[32], mac[32];

	(void)state;
	rig_up(&r);
	assert_int_equal(r.term, 1);
	assert_int_equal(r.slots_n, 1);
	assert_string_equal(r.slot[0], "1 keyfile");
	assert_true(r.has_mac);
	memcpy(boot, r.boot, 16);
	memcpy(pk, r.pk, 32);
	memcpy(mac, r.mac, 32);
	assert_int_equal(vault_init(&r, "keyfile", r.keyfile, 32), SP_ESTATE);
	rig_stop(&r, SIGKILL);
	rig_start(&r, 1);
	assert_false(r.sealed);
	assert_memory_not_equal(r.boot, boot, 16);
	assert_memory_equal(r.pk, pk, 32);
	assert_memory_equal(r.mac, mac, 32);
	rig_down(&r);
}

static void
stays_sealed_with_another_key_file(void **state)
{
	uint8_t right[32];
	char text[200];
	struct rig r;

	(void)state;
	rig_up(&r);
	rig_stop(&r, 0);
	memcpy(right, r.keyfile, 32);
	r.keyfile[0] ^= 1;
	rig_start(&r, 1);
	assert_true(r.initialised);
	assert_true(r.sealed);
	assert_false(r.has_mac);
	assert_int_equal(vault_open(&r, "keyfile", r.keyfile, 32, text), SP_EAUTH);
	assert_int_equal(vault_open(&r, "passphrase", "irrelevant", 10, text), SP_ENOENT);
	assert_int_equal(vault_open(&r, "keyfile", right, 32, text), SP_OK);
	assert_false(r.sealed);
	rig_down(&r);
}

static void
opens_by_passphrase_only_when_it_is_right(void **state)
{
	uint8_t transport[32];
	char text[200];
	struct rig r;

	(void)state;
	rig_create(&r);
	rig_start(&r, 0);
	memcpy(transport, r.pk, 32);
	assert_int_equal(vault_init(&r, "passphrase", "short", 5), SP_EINVAL);
	assert_false(r.initialised);
	assert_int_equal(vault_init(&r, "passphrase", phrase, strlen(phrase)), SP_OK);
	assert_memory_not_equal(r.pk, transport, 32);
	assert_int_equal(vault_simple(&r, SP_MSG_VAULT_SEAL), SP_OK);
	assert_true(r.sealed);
	assert_false(r.has_mac);
	assert_memory_equal(r.pk, transport, 32);
	assert_int_equal(vault_open(&r, "passphrase", "correct horse batterx", 21, text), SP_EAUTH);
	assert_true(r.sealed);
	assert_int_equal(vault_open(&r, "passphrase", phrase, strlen(phrase), text), SP_OK);
	assert_false(r.sealed);
	rig_down(&r);
}

static void
makes_who_guesses_wait(void **state)
{
	uint8_t wrong[32] = { 0 };
	char text[200];
	struct rig r;
	int i = 0;

	(void)state;
	rig_up(&r);
	assert_int_equal(vault_simple(&r, SP_MSG_VAULT_SEAL), SP_OK);
	while (vault_open(&r, "keyfile", wrong, 32, text) == SP_EAUTH)
		assert_true(++i < 10);
	assert_int_equal(i, 3);
	assert_non_null(strstr(text, "wait"));
	/* The right one has to wait, too, and is then taken. */
	assert_int_equal(vault_open(&r, "keyfile", r.keyfile, 32, text), SP_EAGAIN);
	while (vault_open(&r, "keyfile", r.keyfile, 32, text) == SP_EAGAIN)
		poll(NULL, 0, 50);
	assert_false(r.sealed);
	rig_down(&r);
}

/* ---- shares */

struct paper { char text[8][256]; size_t n; };

static void
read_shares(const Sallyport__VaultReply *m, const uint8_t pk[32], const struct sp_secret *sk, struct paper *ret)
{
	struct sp_seal_context ctx = { .kind = SP_SEAL_SHARES };
	sp_auto_secret plain = { 0 };
	size_t at = 0;

	assert_non_null(m);
	assert_int_equal(m->err, SP_OK);
	assert_int_equal(sp_sealbox_open(pk, sk, &ctx, (struct sp_view){ m->body.data, m->body.len }, &plain), SP_OK);
	*ret = (struct paper){ 0 };
	for (size_t i = 0; i < plain.len; i++) {
		if (plain.p[i] != '\n') {
			ret->text[ret->n][at++] = (char)plain.p[i];
			continue;
		}
		ret->n++;
		at = 0;
	}
}

static void
init_shamir(struct rig *r, unsigned shares, unsigned threshold, struct paper *ret)
{
	Sallyport__VaultInit m = SALLYPORT__VAULT_INIT__INIT;
	static char kind[] = "shamir";
	sp_auto_secret sk = { 0 };
	uint8_t pk[32];

	assert_int_equal(sp_sealbox_keypair(pk, &sk), SP_OK);
	m.slot = kind;
	m.shares = shares;
	m.threshold = threshold;
	m.client_key = bytes_of(pk, 32);
	read_shares(peer_ask(&r->control, SP_MSG_VAULT_INIT, &m, SP_MSG_VAULT_REPLY), pk, &sk, ret);
}

static enum sp_err
give_share(struct rig *r, const char *share, char text[200])
{
	return vault_open(r, "shamir", share, strlen(share), text);
}

static void
opens_with_the_threshold_of_shares_and_not_below(void **state)
{
	struct paper a, b;
	char text[200], typo[256];
	struct rig r, other;

	(void)state;
	rig_create(&r);
	rig_start(&r, 0);
	init_shamir(&r, 5, 3, &a);
	assert_int_equal(a.n, 5);
	assert_string_equal(r.slot[0], "1 shamir 3 of 5");
	rig_create(&other);
	rig_start(&other, 0);
	init_shamir(&other, 3, 2, &b);
	rig_down(&other);

	assert_int_equal(vault_simple(&r, SP_MSG_VAULT_SEAL), SP_OK);
	assert_int_equal(give_share(&r, a.text[4], text), SP_OK);
	assert_true(r.sealed);
	assert_string_equal(text, "share 5 accepted, 1 of 3");
	assert_int_equal(give_share(&r, a.text[4], text), SP_EEXIST);
	assert_string_equal(text, "share 5 was given already");
	assert_int_equal(give_share(&r, b.text[0], text), SP_ENOENT);
	assert_non_null(strstr(text, "share 1 is of another vault"));
	rig_stop(&r, SIGKILL);		/* also forgets the count of wrong ones */
	rig_start(&r, 0);
	memcpy(typo, a.text[1], sizeof(typo));
	typo[40] = typo[40] == '0' ? '1' : '0';
	assert_int_equal(give_share(&r, typo, text), SP_ECORRUPT);
	assert_int_equal(give_share(&r, a.text[0], text), SP_OK);
	assert_int_equal(give_share(&r, a.text[3], text), SP_OK);
	assert_true(r.sealed);
	assert_int_equal(give_share(&r, a.text[2], text), SP_OK);
	assert_false(r.sealed);
	rig_down(&r);
}

/* ---- rotate and slots */

static enum sp_err
slots(struct rig *r, const char *action, const char *slot, const void *cred, size_t n)
{
	sp_auto(sp_buf_release) struct sp_buf box = sealed(r, SP_SEAL_CREDENTIAL, cred, n);
	Sallyport__VaultSlots m = SALLYPORT__VAULT_SLOTS__INIT;
	const Sallyport__VaultReply *reply;

	m.action = (char *)(uintptr_t)action;
	m.slot = (char *)(uintptr_t)slot;
	m.credential = bytes_of(box.p, box.len);
	reply = peer_ask(&r->control, SP_MSG_VAULT_SLOTS, &m, SP_MSG_VAULT_REPLY);
	assert_non_null(reply);
	return (enum sp_err)reply->err;
}

static void
adds_and_removes_slots_but_never_the_last(void **state)
{
	uint8_t second[32] = { 7 };
	char text[200];
	struct rig r;

	(void)state;
	rig_up(&r);
	assert_int_equal(slots(&r, "remove", "keyfile", "", 0), SP_ESTATE);
	assert_int_equal(slots(&r, "add", "keyfile", second, 32), SP_OK);
	assert_int_equal(r.slots_n, 2);
	assert_int_equal(slots(&r, "remove", "keyfile", "", 0), SP_EINVAL);	/* which one? */
	assert_int_equal(slots(&r, "remove", "9", "", 0), SP_ENOENT);
	assert_int_equal(slots(&r, "remove", "1", "", 0), SP_OK);
	assert_int_equal(r.slots_n, 1);
	assert_int_equal(slots(&r, "polish", "1", "", 0), SP_EUSAGE);
	assert_int_equal(vault_simple(&r, SP_MSG_VAULT_SEAL), SP_OK);
	assert_int_equal(slots(&r, "add", "keyfile", r.keyfile, 32), SP_ESEALED);
	assert_int_equal(vault_open(&r, "keyfile", r.keyfile, 32, text), SP_EAUTH);
	assert_int_equal(vault_open(&r, "keyfile", second, 32, text), SP_OK);
	rig_down(&r);
}

static void
rekey_shuts_out_the_old_credential_and_keeps_the_secrets(void **state)
{
	uint8_t next[32] = { 9 };
	struct stored s;
	struct sp_buf shown;
	char text[200];
	struct rig r;

	(void)state;
	rig_up(&r);
	assert_int_equal(secret_put(&r, "password", "hunter2", NULL, &s), SP_OK);
	assert_int_equal(slots(&r, "rekey", "keyfile", next, 32), SP_OK);
	assert_int_equal(r.slots_n, 1);
	assert_int_equal(vault_simple(&r, SP_MSG_VAULT_SEAL), SP_OK);
	assert_int_equal(vault_open(&r, "keyfile", r.keyfile, 32, text), SP_EAUTH);
	assert_int_equal(vault_open(&r, "keyfile", next, 32, text), SP_OK);
	assert_int_equal(secret_reveal(&r, &s, &shown), SP_OK);
	assert_string_equal(sp_buf_cstr(&shown), "hunter2");
	sp_buf_release(&shown);
	stored_release(&s);
	rig_down(&r);
}

static void
never_replaces_a_key_file_that_it_cannot_read(void **state)
{
	char path[128], got[8] = "";
	struct rig r;
	int fd;

	(void)state;
	rig_create(&r);
	sp_snprintf(path, sizeof(path), "%s/slots", r.dir);
	fd = open(path, O_WRONLY | O_CREAT, 0644);
	assert_int_equal(write(fd, "garbage", 7), 7);
	close(fd);
	rig_start(&r, 0);
	assert_true(r.initialised);
	assert_true(r.sealed);
	assert_int_equal(vault_init(&r, "keyfile", r.keyfile, 32), SP_ESTATE);
	fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, got, 8), 7);
	close(fd);
	assert_string_equal(got, "garbage");
	rig_down(&r);
}

static void
leaves_a_whole_key_file_when_killed_while_it_is_replaced(void **state)
{
	struct rig r;
	unsigned acked = 1, kills = 0;

	(void)state;
	rig_up(&r);
	while (kills < 20 || acked < 20) {	/* it does rotate meanwhile, also on a slow machine */
		uint64_t until = sp_now_us() + randombytes_uniform(20000);
		Sallyport__Empty m = SALLYPORT__EMPTY__INIT;

		while (sp_now_us() < until) {
			peer_send(&r.control, SP_MSG_VAULT_ROTATE, &m, -1);
			while (sp_now_us() < until && r.control.n == 0)
				(void)!peer_poll(&r.control, 1);
			if (r.control.n > 0) {
				assert_int_equal(((Sallyport__VaultReply *)peer_wait(&r.control, SP_MSG_VAULT_REPLY, 0))->err, SP_OK);
				acked = r.term;
			}
		}
		rig_stop(&r, SIGKILL);
		assert_true(++kills < 500);
		rig_start(&r, 1);
		assert_false(r.sealed);
		assert_true(r.term >= acked);
		acked = r.term;
	}
	rig_down(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_by_key_file_at_start),
		cmocka_unit_test(stays_sealed_with_another_key_file),
		cmocka_unit_test(opens_by_passphrase_only_when_it_is_right),
		cmocka_unit_test(makes_who_guesses_wait),
		cmocka_unit_test(opens_with_the_threshold_of_shares_and_not_below),
		cmocka_unit_test(adds_and_removes_slots_but_never_the_last),
		cmocka_unit_test(rekey_shuts_out_the_old_credential_and_keeps_the_secrets),
		cmocka_unit_test(never_replaces_a_key_file_that_it_cannot_read),
		cmocka_unit_test(leaves_a_whole_key_file_when_killed_while_it_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
