/* tests/unit/lib/crypto/test_tlog.c - the tree against its definition in RFC 6962 (written down again here, recursively), the
 * roots of its well-known example leaves, and the paths of C2SP tlog-tiles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "crypto/tlog.h"

#define LEAVES	600	/* more than two tiles */

static struct sp_tlog_hash leaf[LEAVES];
static struct sp_tlog_hash node[11][LEAVES];	/* as told while appending */
static struct sp_tlog_hash root[LEAVES + 1];

static void
mth(uint64_t lo, uint64_t n, struct sp_tlog_hash *ret)
{
	struct sp_tlog_hash l, r;
	uint64_t k = 1;

	if (n == 0) {
		sp_sha256("", 0, ret->b);
		return;
	}
	if (n == 1) {
		*ret = leaf[lo];
		return;
	}
	while (k * 2 < n)
		k *= 2;
	mth(lo, k, &l);
	mth(lo + k, n - k, &r);
	sp_tlog_node(&l, &r, ret);
}

static void
made(void *arg, unsigned level, uint64_t index, const struct sp_tlog_hash *h)
{
	(void)arg;
	assert_true(level < 11 && index < LEAVES);
	node[level][index] = *h;
}

static uint64_t readable;	/* size of the log that read_node has */

static enum sp_err
read_node(void *arg, unsigned level, uint64_t index, struct sp_tlog_hash *ret)
{
	(void)arg;
	if (level >= 11 || index >= readable >> level)
		return SP_ENOENT;
	*ret = node[level][index];
	return SP_OK;
}

static int
setup(void **state)
{
	struct sp_tlog_edge e = { 0 };

	(void)state;
	if (sp_crypto_init() != SP_OK)
		return 1;
	sp_tlog_edge_root(&e, &root[0]);
	for (unsigned i = 0; i < LEAVES; i++) {
		char text[16];

		sp_snprintf(text, sizeof(text), "leaf %u", i);
		sp_tlog_leaf((struct sp_view){ (const uint8_t *)text, strlen(text) }, &leaf[i]);
		if (sp_tlog_edge_add(&e, &leaf[i], made, NULL) != SP_OK)
			return 1;
		sp_tlog_edge_root(&e, &root[i + 1]);
	}
	readable = LEAVES;
	return 0;
}

static void
test_the_roots_of_the_example_leaves(void **state)
{
	static const char *const input[8] = { "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
	    "606162636465666768696a6b6c6d6e6f" };
	static const char *const begins[8] = { "6e340b9c", "fac54203", "aeb6bcfe", "d37ee418", "4e3bbb1f", "76e67dad", "ddb89be4",
	    "5dc9da79" };
	struct sp_tlog_edge e = { 0 };
	struct sp_tlog_hash h;
	uint8_t bytes[16], want[4];

	(void)state;
	sp_tlog_edge_root(&e, &h);
	assert_int_equal(sp_hex_parse("e3b0c442", want, 4), SP_OK);
	assert_memory_equal(h.b, want, 4);
	for (int i = 0; i < 8; i++) {
		size_t n = strlen(input[i]) / 2;

		assert_int_equal(sp_hex_parse(input[i], bytes, n), SP_OK);
		sp_tlog_leaf((struct sp_view){ bytes, n }, &h);
		assert_int_equal(sp_tlog_edge_add(&e, &h, NULL, NULL), SP_OK);
		sp_tlog_edge_root(&e, &h);
		assert_int_equal(sp_hex_parse(begins[i], want, 4), SP_OK);
		assert_memory_equal(h.b, want, 4);
	}
}

static void
test_every_root_is_that_of_the_definition(void **state)
{
	struct sp_tlog_hash h;
	struct sp_tlog_edge e;

	(void)state;
	for (uint64_t n = 0; n <= LEAVES; n++) {
		mth(0, n, &h);
		assert_true(sp_tlog_equal(&h, &root[n]));
		assert_int_equal(sp_tlog_edge_read(n, read_node, NULL, &e), SP_OK);
		sp_tlog_edge_root(&e, &h);
		assert_true(sp_tlog_equal(&h, &root[n]));
	}
	assert_int_equal(sp_tlog_edge_read(1024, read_node, NULL, &e), SP_ENOENT);
}

static void
test_every_leaf_is_proven_and_no_other(void **state)
{
	struct sp_tlog_proof p, bad;

	(void)state;
	for (uint64_t n = 1; n <= 70; n++)
		for (uint64_t i = 0; i < n; i++) {
			assert_int_equal(sp_tlog_prove(n, i, read_node, NULL, &p), SP_OK);
			assert_int_equal(sp_tlog_check(&p, n, &root[n], i, &leaf[i]), SP_OK);
			assert_int_equal(sp_tlog_check(&p, n, &root[n], i, &leaf[i + 1]), SP_EAUTH);
			assert_int_equal(sp_tlog_check(&p, n, &root[n - 1], i, &leaf[i]), SP_EAUTH);
			if (i > 0)
				assert_int_equal(sp_tlog_check(&p, n, &root[n], i - 1, &leaf[i]), SP_EAUTH);
			for (size_t k = 0; k < p.n; k++) {
				bad = p;
				bad.h[k].b[31] ^= 1;
				assert_int_equal(sp_tlog_check(&bad, n, &root[n], i, &leaf[i]), SP_EAUTH);
			}
			bad = p;
			bad.n++;
			assert_int_equal(sp_tlog_check(&bad, n, &root[n], i, &leaf[i]), SP_EAUTH);
			if (p.n > 0) {
				bad.n = p.n - 1;
				assert_int_equal(sp_tlog_check(&bad, n, &root[n], i, &leaf[i]), SP_EAUTH);
			}
		}
	assert_int_equal(sp_tlog_prove(5, 5, read_node, NULL, &p), SP_EINVAL);
	assert_int_equal(sp_tlog_check(&p, 0, &root[0], 0, &leaf[0]), SP_EINVAL);
	assert_int_equal(sp_tlog_check(&p, 5, &root[5], 5, &leaf[0]), SP_EINVAL);
}

static void
test_every_growth_is_proven_and_no_other(void **state)
{
	struct sp_tlog_proof p, bad;

	(void)state;
	for (uint64_t n = 1; n <= 70; n++)
		for (uint64_t m = 1; m <= n; m++) {
			assert_int_equal(sp_tlog_prove_growth(m, n, read_node, NULL, &p), SP_OK);
			assert_int_equal(sp_tlog_check_growth(&p, m, &root[m], n, &root[n]), SP_OK);
			assert_int_equal(sp_tlog_check_growth(&p, m, &root[m - 1], n, &root[n]), SP_EAUTH);
			assert_int_equal(sp_tlog_check_growth(&p, m, &root[m], n, &root[n + 1]), SP_EAUTH);
			for (size_t k = 0; k < p.n; k++) {
				bad = p;
				bad.h[k].b[0] ^= 1;
				assert_int_equal(sp_tlog_check_growth(&bad, m, &root[m], n, &root[n]), SP_EAUTH);
			}
			bad = p;
			bad.n++;
			assert_int_equal(sp_tlog_check_growth(&bad, m, &root[m], n, &root[n]), SP_EAUTH);
		}
	assert_int_equal(sp_tlog_prove_growth(0, 5, read_node, NULL, &p), SP_EINVAL);
	assert_int_equal(sp_tlog_prove_growth(6, 5, read_node, NULL, &p), SP_EINVAL);
	assert_int_equal(sp_tlog_check_growth(&p, 0, &root[0], 5, &root[5]), SP_EINVAL);
}

static void
test_nodes_come_out_of_tiles(void **state)
{
	uint8_t bytes[SP_TLOG_TILE_BYTES];
	struct sp_tlog_tile t;
	struct sp_tlog_hash h;

	(void)state;
	for (unsigned level = 0; level < 10; level++)
		for (uint64_t i = 0; i < (uint64_t)LEAVES >> level; i++) {
			assert_int_equal(sp_tlog_tile_of(level, i, LEAVES, &t), SP_OK);
			assert_int_equal(t.level, level / 8);
			for (unsigned k = 0; k < t.width; k++)
				memcpy(bytes + (size_t)k * 32, node[t.level * 8][t.n * 256 + k].b, 32);
			assert_int_equal(sp_tlog_tile_node(&t, (struct sp_view){ bytes, (size_t)t.width * 32 }, level, i, &h), SP_OK);
			assert_true(sp_tlog_equal(&h, &node[level][i]));
		}
	assert_int_equal(sp_tlog_tile_of(0, LEAVES, LEAVES, &t), SP_EINVAL);
	assert_int_equal(sp_tlog_tile_of(0, 599, LEAVES, &t), SP_OK);
	assert_int_equal(t.width, LEAVES - 512);
	assert_int_equal(sp_tlog_tile_node(&t, (struct sp_view){ bytes, 5 }, 0, 599, &h), SP_EFORMAT);
	assert_int_equal(sp_tlog_tile_node(&t, (struct sp_view){ bytes, (size_t)t.width * 32 }, 0, 255, &h), SP_EINVAL);
}

static void
test_paths_have_one_spelling(void **state)
{
	static const struct { struct sp_tlog_tile t; const char *path; } good[] = {
		{ { 0, 0, 256 }, "tile/0/000" }, { { 0, 1234067, 256 }, "tile/0/x001/x234/067" },
		{ { 0, 273, 112 }, "tile/0/273.p/112" }, { { 2, 0, 1 }, "tile/2/000.p/1" },
		{ { SP_TLOG_ENTRIES, 1000, 256 }, "tile/entries/x001/000" }, { { SP_TLOG_ENTRIES, 0, 17 }, "tile/entries/000.p/17" },
	};
	static const char *const bad[] = { "tile/0/0", "tile/0/x000/001", "tile/00/000", "tile/0/000.p/256", "tile/0/000.p/0",
	    "tile/0/000.p/01", "tile/8/000", "tile/0/000/", "tile/0/../000", "tile/0/001/x002", "tile/entries/000.p/", "tile/0/x001",
	    "tile/0/000.p/1x", "tiles/0/000", "tile/-1/000", "tile/0/x999/x999/x999/x999/x999/x999/x999/999" };
	char path[SP_TLOG_PATH_SIZE];
	struct sp_tlog_tile t;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(sp_tlog_tile_path(&good[i].t, path), SP_OK);
		assert_string_equal(path, good[i].path);
		assert_int_equal(sp_tlog_tile_parse(path, strlen(path), &t), SP_OK);
		assert_int_equal(t.level, good[i].t.level);
		assert_int_equal(t.n, good[i].t.n);
		assert_int_equal(t.width, good[i].t.width);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(sp_tlog_tile_parse(bad[i], strlen(bad[i]), &t), SP_EFORMAT);
	t = (struct sp_tlog_tile){ 7, UINT64_MAX, 255 };
	assert_int_equal(sp_tlog_tile_path(&t, path), SP_OK);
	assert_string_equal(path, "tile/7/x018/x446/x744/x073/x709/x551/615.p/255");
	t.width = 0;
	assert_int_equal(sp_tlog_tile_path(&t, path), SP_EINVAL);
}

static void
test_bundles_keep_every_entry(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 1 << 20 };
	static uint8_t big[SP_TLOG_ENTRY_MAX + 1];
	struct sp_view at, e;

	(void)state;
	assert_int_equal(sp_tlog_bundle_put(&b, (struct sp_view){ NULL, 0 }), SP_OK);
	assert_int_equal(sp_tlog_bundle_put(&b, (struct sp_view){ big, SP_TLOG_ENTRY_MAX }), SP_OK);
	assert_int_equal(sp_tlog_bundle_put(&b, (struct sp_view){ big, sizeof(big) }), SP_ESIZE);
	at = (struct sp_view){ b.p, b.len };
	assert_int_equal(sp_tlog_bundle_get(&at, &e), SP_OK);
	assert_int_equal(e.len, 0);
	assert_int_equal(sp_tlog_bundle_get(&at, &e), SP_OK);
	assert_int_equal(e.len, SP_TLOG_ENTRY_MAX);
	assert_int_equal(at.len, 0);
	at = (struct sp_view){ b.p, b.len - 1 };
	assert_int_equal(sp_tlog_bundle_get(&at, &e), SP_OK);
	assert_int_equal(sp_tlog_bundle_get(&at, &e), SP_ESHORT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_roots_of_the_example_leaves),
		cmocka_unit_test(test_every_root_is_that_of_the_definition),
		cmocka_unit_test(test_every_leaf_is_proven_and_no_other),
		cmocka_unit_test(test_every_growth_is_proven_and_no_other),
		cmocka_unit_test(test_nodes_come_out_of_tiles),
		cmocka_unit_test(test_paths_have_one_spelling),
		cmocka_unit_test(test_bundles_keep_every_entry),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
