/* tests/unit/src/vault/test_lease.c - the table of leases by itself: its bounds and its upkeep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vault/lease.h"

#define NOW	UINT64_C(1000000000)

static const uint8_t boot[16] = { 42 };

struct made { uint8_t id[16]; struct sp_uuid conn, session; };

static enum sp_err
put(struct lease_table *t, struct made *k, uint32_t number, unsigned uses, uint64_t deadline_us, size_t sealed_len)
{
	static char op[] = "password", kind[] = "password";
	Sallyport__LeasePut m = SALLYPORT__LEASE_PUT__INIT;
	uint8_t *sealed = calloc(1, sealed_len), *packed;
	const char *why = NULL;
	size_t n;
	enum sp_err r;

	*k = (struct made){ 0 };
	memcpy(k->id, &number, sizeof(number));
	k->conn.b[0] = (uint8_t)(number % 2);
	k->session.b[0] = (uint8_t)(number % 4);
	m.lease = (ProtobufCBinaryData){ 16, k->id };
	m.conn_id = (ProtobufCBinaryData){ 16, k->conn.b };
	m.session_id = (ProtobufCBinaryData){ 16, k->session.b };
	m.secret_id = (ProtobufCBinaryData){ 16, k->conn.b };
	m.op = op;
	m.secret_kind = kind;
	m.uses = uses;
	m.deadline_us = deadline_us;
	m.sealed = (ProtobufCBinaryData){ sealed_len, sealed };
	m.vault_boot = (ProtobufCBinaryData){ 16, (uint8_t *)(uintptr_t)boot };
	n = sallyport__lease_put__get_packed_size(&m);
	packed = malloc(n);
	sallyport__lease_put__pack(&m, packed);
	r = lease_put(t, &m, (struct sp_view){ packed, n }, boot, NOW, &why);
	free(packed);
	free(sealed);
	return r;
}

static struct sp_view
id_of(const struct made *k)
{
	return (struct sp_view){ k->id, sizeof(k->id) };
}

static void
holds_ten_thousand_and_not_one_more(void **state)
{
	struct lease_table t;
	struct made k;

	(void)state;
	assert_int_equal(lease_table_init(&t), SP_OK);
	for (uint32_t i = 0; i < LEASES_MAX; i++)
		assert_int_equal(put(&t, &k, i, 1, NOW + 1, 1), SP_OK);
	assert_int_equal(put(&t, &k, LEASES_MAX, 1, NOW + 1, 1), SP_EFULL);
	assert_int_equal(lease_sweep(&t, NOW), 0);
	assert_int_equal(lease_sweep(&t, NOW + 1), LEASES_MAX);
	assert_int_equal(t.n, 0);
	assert_int_equal(t.bytes, 0);
	assert_int_equal(put(&t, &k, LEASES_MAX, 1, NOW + 1, 1), SP_OK);
	lease_table_release(&t);
}

static void
is_bounded_in_bytes_too(void **state)
{
	struct lease_table t;
	struct made k;
	uint32_t n = 0;

	(void)state;
	assert_int_equal(lease_table_init(&t), SP_OK);
	while (put(&t, &k, n, 1, NOW + 1, 60000) == SP_OK)
		assert_true(++n < LEASES_MAX);
	assert_true(n > 1000);
	assert_true(t.bytes <= LEASES_BYTES_MAX + 65536);
	lease_table_release(&t);
}

static void
an_id_is_taken_once(void **state)
{
	struct lease_table t;
	struct made k;

	(void)state;
	assert_int_equal(lease_table_init(&t), SP_OK);
	assert_int_equal(put(&t, &k, 1, 1, NOW + 1, 1), SP_OK);
	assert_int_equal(put(&t, &k, 1, 1, NOW + 1, 1), SP_EEXIST);
	assert_int_equal(t.n, 1);
	lease_table_release(&t);
}

static void
drops_by_connection_and_by_session(void **state)
{
	struct lease_table t;
	struct made k[8];

	(void)state;
	assert_int_equal(lease_table_init(&t), SP_OK);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(put(&t, &k[i], i, 1, NOW + 1, 1), SP_OK);
	assert_int_equal(lease_drop(&t, &k[0].conn, &k[0].session), 2);
	assert_int_equal(lease_drop(&t, &k[0].conn, &k[1].session), 0);
	assert_int_equal(lease_drop(&t, &k[1].conn, NULL), 4);
	assert_int_equal(t.n, 2);
	lease_table_release(&t);
}

static void
another_connection_takes_no_use(void **state)
{
	struct lease_table t;
	struct lease *l = NULL;
	struct made k, other;

	(void)state;
	assert_int_equal(lease_table_init(&t), SP_OK);
	assert_int_equal(put(&t, &k, 1, 1, NOW + 1, 1), SP_OK);
	assert_int_equal(put(&t, &other, 2, 1, NOW + 1, 1), SP_OK);
	assert_int_equal(lease_spend(&t, id_of(&k), &other.conn, LEASE_PASSWORD, NOW, &l), SP_EPEER);
	assert_null(l);
	assert_int_equal(lease_spend(&t, id_of(&k), &k.conn, LEASE_PASSWORD, NOW, &l), SP_OK);
	assert_int_equal(l->uses, 0);
	lease_settle(&t, l);
	assert_int_equal(lease_spend(&t, id_of(&k), &k.conn, LEASE_PASSWORD, NOW, &l), SP_ENOENT);
	assert_int_equal(lease_spend(&t, id_of(&other), &other.conn, LEASE_PASSWORD, NOW + 1, &l), SP_EEXPIRED);
	assert_int_equal(t.n, 0);
	lease_table_release(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_ten_thousand_and_not_one_more),
		cmocka_unit_test(is_bounded_in_bytes_too),
		cmocka_unit_test(an_id_is_taken_once),
		cmocka_unit_test(drops_by_connection_and_by_session),
		cmocka_unit_test(another_connection_takes_no_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
