/* tests/unit/src/vault/test_checkpoint.c - the vault signs heads of the audit log: remembers them over restarts, refuses while sealed, and
 * believes nothing but its own signature when it remembers none. */
#include "harness.h"

#include <signal.h>
#include <string.h>

#include <unistd.h>

#include "crypto/note.h"

static Sallyport__CheckpointReply *
ask(struct rig *r, const char *origin, const char *entry, uint64_t size, const char *previous, int bridge)
{
	Sallyport__CheckpointSign q = SALLYPORT__CHECKPOINT_SIGN__INIT;
	static char name[64], none[] = "";
	struct sp_tlog_hash root;
	char note[4096] = "";

	sp_tlog_leaf((struct sp_view){ (const uint8_t *)entry, strlen(entry) }, &root);
	(void)sp_strlcpy(name, origin, sizeof(name));
	(void)sp_strlcpy(note, previous != NULL ? previous : "", sizeof(note));
	q.origin = name;
	q.size = size;
	q.root = (ProtobufCBinaryData){ SP_TLOG_HASH, root.b };
	q.previous = (ProtobufCBinaryData){ strlen(note), (uint8_t *)note };
	q.reason = none;
	q.bridge = bridge;
	return peer_ask(&r->control, SP_MSG_CHECKPOINT_SIGN, &q, SP_MSG_CHECKPOINT_REPLY);
}

static void
a_head_is_signed_by_the_key_that_the_vault_names_and_no_other_root_after_it(void **state)
{
	Sallyport__CheckpointReply *a;
	struct sp_note_key key;
	struct rig r;

	(void)state;
	rig_up(&r);
	a = ask(&r, "log", "one", 1, NULL, 0);
	assert_int_equal(a->err, SP_OK);
	assert_int_equal(sp_note_key_parse(a->vkey, strlen(a->vkey), &key), SP_OK);
	assert_string_equal(key.name, "log");
	assert_int_equal(sp_note_verify((struct sp_view){ a->note.data, a->note.len }, &key, NULL), SP_OK);
	assert_int_equal(a->size, 1);
	a = ask(&r, "log", "two", 1, NULL, 0);
	assert_int_equal(a->err, SP_EAUTH);
	assert_int_equal(a->note.len, 0);
	assert_int_equal(ask(&r, "other", "one", 1, NULL, 0)->err, SP_EPEER);
	assert_int_equal(ask(&r, "bad name", "one", 1, NULL, 0)->err, SP_EINVAL);
	assert_int_equal(ask(&r, "log", "one", 0, NULL, 0)->err, SP_EINVAL);
	assert_int_equal(ask(&r, "log", "one", 1, NULL, 0)->err, SP_OK);
	rig_down(&r);
}

static void
what_was_signed_is_known_after_a_restart_and_nothing_is_signed_while_sealed(void **state)
{
	struct rig r;

	(void)state;
	rig_up(&r);
	assert_int_equal(ask(&r, "log", "one", 5, NULL, 0)->err, SP_OK);
	rig_stop(&r, SIGKILL);
	rig_start(&r, 0);
	assert_int_equal(ask(&r, "log", "one", 5, NULL, 0)->err, SP_ESEALED);
	rig_stop(&r, 0);
	rig_start(&r, 1);
	assert_int_equal(ask(&r, "log", "one", 4, NULL, 0)->err, SP_ESTATE);
	assert_int_equal(ask(&r, "log", "two", 5, NULL, 0)->err, SP_EAUTH);
	assert_int_equal(ask(&r, "log", "one", 5, NULL, 0)->err, SP_OK);
	rig_down(&r);
}

static void
forget(struct rig *r)
{
	char path[128];

	rig_stop(r, 0);
	sp_snprintf(path, sizeof(path), "%s/heads", r->dir);
	assert_int_equal(unlink(path), 0);
	rig_start(r, 1);
}

static void
a_vault_that_remembers_nothing_believes_its_own_signature_only(void **state)
{
	char note[4096] = "", forged[4096];
	Sallyport__CheckpointReply *a;
	struct rig r;

	(void)state;
	rig_up(&r);
	a = ask(&r, "log", "one", 5, NULL, 0);
	memcpy(note, a->note.data, a->note.len);
	memcpy(forged, note, sizeof(note));
	*strchr(forged, '5') = '4';
	forget(&r);
	assert_int_equal(ask(&r, "log", "one", 9, forged, 0)->err, SP_EAUTH);
	assert_int_equal(ask(&r, "log", "one", 4, note, 0)->err, SP_ESTATE);
	assert_int_equal(ask(&r, "log", "two", 5, note, 0)->err, SP_EAUTH);
	assert_int_equal(ask(&r, "log", "one", 5, note, 0)->err, SP_OK);
	rig_down(&r);
}

static void
a_new_origin_comes_with_a_bridge_that_both_names_signed(void **state)
{
	Sallyport__CheckpointReply *a;
	struct sp_note_key key;
	struct sp_view bridge;
	struct rig r;

	(void)state;
	rig_up(&r);
	assert_int_equal(ask(&r, "log", "one", 5, NULL, 0)->err, SP_OK);
	a = ask(&r, "log2", "two", 3, NULL, 1);
	assert_int_equal(a->err, SP_OK);
	assert_int_equal(sp_note_key_parse(a->vkey, strlen(a->vkey), &key), SP_OK);
	bridge = (struct sp_view){ a->bridge.data, a->bridge.len };
	assert_int_equal(sp_note_verify(bridge, &key, NULL), SP_OK);
	(void)sp_strlcpy(key.name, "log", sizeof(key.name));
	assert_int_equal(sp_note_verify(bridge, &key, NULL), SP_OK);
	assert_non_null(memmem(bridge.p, bridge.len, "begins-anew", 11));
	assert_int_equal(ask(&r, "log", "one", 5, NULL, 0)->err, SP_EPEER);
	assert_int_equal(ask(&r, "log", "one", 5, NULL, 1)->err, SP_EEXIST);
	rig_down(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_is_signed_by_the_key_that_the_vault_names_and_no_other_root_after_it),
		cmocka_unit_test(what_was_signed_is_known_after_a_restart_and_nothing_is_signed_while_sealed),
		cmocka_unit_test(a_vault_that_remembers_nothing_believes_its_own_signature_only),
		cmocka_unit_test(a_new_origin_comes_with_a_bridge_that_both_names_signed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
