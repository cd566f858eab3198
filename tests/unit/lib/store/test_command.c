/* tests/unit/lib/store/test_command.c - commands in the index, on both drivers: found by any part of their text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "fixture.h"

#define MANY	1300		/* more than two bundles, and a tail */

struct found {
	int	n;
	char	text[4096];	/* what was found, each followed by '|' */
	struct sp_store_command first;
};

static int
see(const struct sp_store_command *c, void *arg)
{
	struct found *f = arg;
	size_t at = strlen(f->text);

	if (f->n++ == 0)
		f->first = *c;
	sp_snprintf(f->text + at, sizeof(f->text) - at, "%.*s|", (int)c->text_len, c->text);
	return 0;
}

static void
ok(enum sp_err e)
{
	if (e != SP_OK)
		fail_msg("%s", sp_err_text(e));
}

static struct sp_uuid
session(struct sp_store *s, const struct sp_uuid *user, const struct sp_uuid *asset)
{
	struct sp_store_session x = { .state = SP_STORE_LIVE, .user_id = *user, .asset_id = *asset, .user_login = "u", .asset_name = "a",
	    .account = "root", .protocol = "ssh", .source = "192.0.2.7", .started_us = 1 };

	sp_uuid_make(&x.id);
	ok(sp_store_session_put(s, &x));
	return x.id;
}

static void
put(struct sp_store *s, const struct sp_uuid *id, int64_t number, const char *text)
{
	struct sp_store_command c = { .session_id = *id, .channel = 1, .number = number, .at_us = 1000 + number, .how = "screen",
	    .certainty = SP_STORE_CERTAIN, .place = "root@a", .text = text, .text_len = (uint32_t)strlen(text) };

	ok(sp_store_command_put(s, &c));
}

static void
search(struct sp_store *s, const struct sp_store_command_query *q, struct found *ret)
{
	*ret = (struct found){ 0 };
	ok(sp_store_command_search(s, q, see, ret));
}

static void
commands_are_found_by_any_part_of_their_text_newest_first(void **state)
{
	struct sp_store *s = ((struct fx *)*state)->s;
	struct sp_uuid user[2], asset, id[2];
	struct found f;
	char text[64];

	for (int i = 0; i < 2; i++)
		sp_uuid_make(&user[i]);
	sp_uuid_make(&asset);
	for (int i = 0; i < 2; i++)
		id[i] = session(s, &user[i], &asset);
	ok(sp_store_begin(s, SP_STORE_EVIDENCE));
	for (int i = 0; i < MANY; i++) {
		sp_snprintf(text, sizeof(text), i % 600 == 7 ? "echo \xe6\x95\xb0\xe6\x8d\xae %d" : "ls -l /srv/%d", i);
		put(s, &id[i % 2], i, text);
	}
	ok(sp_store_commit(s));
	search(s, &(struct sp_store_command_query){ .text = "\xe6\x95\xb0\xe6\x8d\xae" }, &f);
	assert_string_equal(f.text, "echo \xe6\x95\xb0\xe6\x8d\xae 1207|echo \xe6\x95\xb0\xe6\x8d\xae 607|echo \xe6\x95\xb0\xe6\x8d\xae 7|");
	search(s, &(struct sp_store_command_query){ .text = "/srv/12", .limit = 2 }, &f);
	assert_string_equal(f.text, "ls -l /srv/1299|ls -l /srv/1298|");
	search(s, &(struct sp_store_command_query){ .text = "srv/3", .user_id = user[0], .since_us = 1030, .until_us = 1040 }, &f);
	assert_string_equal(f.text, "ls -l /srv/38|ls -l /srv/36|ls -l /srv/34|ls -l /srv/32|ls -l /srv/30|");
	search(s, &(struct sp_store_command_query){ .text = "not there" }, &f);
	assert_int_equal(f.n, 0);
	search(s, &(struct sp_store_command_query){ .session_id = id[1], .limit = 1 }, &f);
	assert_string_equal(f.text, "ls -l /srv/1299|");
	assert_true(sp_uuid_equal(&f.first.user_id, &user[1]) && sp_uuid_equal(&f.first.asset_id, &asset));
	search(s, &(struct sp_store_command_query){ .asset_id = asset, .limit = 10000 }, &f);
	assert_int_equal(f.n, MANY);
	search(s, &(struct sp_store_command_query){ .asset_id = user[0] }, &f);
	assert_int_equal(f.n, 0);
}

/* Every mixture of time, user and text, beside a look at all commands; some recorders tell of theirs late. */
static void
a_search_finds_what_a_look_at_every_command_finds(void **state)
{
	static const char *const words[] = { NULL, "apt", "\xe5\xa4\x87\xe4\xbb\xbd", "/srv/7", "nowhere" };
	struct sp_store *s = ((struct fx *)*state)->s;
	struct sp_uuid user[3], asset, id[3];
	char (*text)[48] = calloc(MANY, sizeof(*text));
	int64_t *at = calloc(MANY, sizeof(*at));

	sp_uuid_make(&asset);
	for (int i = 0; i < 3; i++) {
		sp_uuid_make(&user[i]);
		id[i] = session(s, &user[i], &asset);
	}
	ok(sp_store_begin(s, SP_STORE_EVIDENCE));
	for (int i = 0; i < MANY; i++) {
		struct sp_store_command c = { .session_id = id[i % 3], .channel = 1, .number = i, .how = "screen", .certainty = SP_STORE_CERTAIN };

		at[i] = 1000 + 10 * (i % 97 == 0 ? i / 2 : i);
		sp_snprintf(text[i], sizeof(text[i]), "%s%d", i % 7 == 0 ? "apt update " : i % 450 == 1 ? "cp \xe5\xa4\x87\xe4\xbb\xbd /srv/" : "ls /srv/", i);
		c.at_us = at[i];
		c.text = text[i];
		c.text_len = (uint32_t)strlen(text[i]);
		ok(sp_store_command_put(s, &c));
	}
	ok(sp_store_commit(s));
	for (int t = 0; t < 400; t++) {
		struct sp_store_command_query q = { .text = words[t % 5], .limit = t % 4 == 0 ? 10000 : 20 };
		struct found f;
		char want[sizeof(f.text)] = "";
		uint32_t left = q.limit;

		if (t % 3 == 1)
			q.user_id = user[t % 9 / 3];
		if (t % 2 == 1)
			q.since_us = 1000 + t * 7919 % (10 * MANY);
		if (t % 5 >= 2)
			q.until_us = 1000 + t * 4211 % (10 * MANY);
		search(s, &q, &f);
		for (int i = MANY; i-- > 0 && left > 0; ) {
			size_t n = strlen(want);

			if ((q.text != NULL && strstr(text[i], q.text) == NULL) || (t % 3 == 1 && i % 3 != t % 9 / 3) ||
			    (q.since_us != 0 && at[i] < q.since_us) || (q.until_us != 0 && at[i] > q.until_us))
				continue;
			sp_snprintf(want + n, sizeof(want) - n, "%s|", text[i]);
			left--;
		}
		assert_string_equal(f.text, want);
		assert_int_equal((uint32_t)f.n, q.limit - left);
	}
	free(text);
	free(at);
}

static void
a_repeated_command_changes_nothing_and_its_end_counts_once(void **state)
{
	struct sp_store *s = ((struct fx *)*state)->s;
	struct sp_uuid user, asset, id;
	struct found f;

	sp_uuid_make(&user);
	sp_uuid_make(&asset);
	id = session(s, &user, &asset);
	put(s, &id, 1, "first");
	put(s, &id, 1, "second");
	ok(sp_store_command_ended(s, &id, 1, 1, 5000));
	ok(sp_store_command_ended(s, &id, 1, 1, 6000));
	ok(sp_store_command_ended(s, &id, 1, 2, 6000));		/* of none */
	search(s, &(struct sp_store_command_query){ .session_id = id }, &f);
	assert_string_equal(f.text, "first|");
	assert_int_equal(f.first.ended_us, 5000);
	assert_int_equal(f.first.certainty, SP_STORE_CERTAIN);
	assert_string_equal(f.first.how, "screen");
	assert_string_equal(f.first.place, "root@a");
}

static void
a_command_longer_than_a_line_of_any_shell_is_kept_whole(void **state)
{
	struct sp_store *s = ((struct fx *)*state)->s;
	struct sp_uuid user, asset, id;
	char *big = malloc(100001);
	struct found f;

	assert_non_null(big);
	memset(big, 'x', 100000);
	memcpy(big + 99990, "needle", 6);
	big[100000] = '\0';
	sp_uuid_make(&user);
	sp_uuid_make(&asset);
	id = session(s, &user, &asset);
	put(s, &id, 1, big);
	search(s, &(struct sp_store_command_query){ .text = "needle" }, &f);
	assert_int_equal(f.n, 1);
	assert_int_equal(f.first.text_len, 100000);
	free(big);
}

#define T(fn)	cmocka_unit_test_setup_teardown(fn, fx_setup, fx_teardown)

static void
risk_and_output_are_found(void **state)
{
	struct sp_store *s = ((struct fx *)*state)->s;
	struct sp_uuid user, asset, id;
	struct sp_store_command c = { .channel = 1, .number = 2, .at_us = 5, .how = "exec", .certainty = SP_STORE_CERTAIN, .risk = SP_STORE_RISK_HIGH,
	    .text = "rm -rf /", .text_len = 8 };
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 4096 };
	struct found f;
	int64_t bytes;
	int cut;

	sp_uuid_make(&user), sp_uuid_make(&asset);
	id = session(s, &user, &asset);
	put(s, &id, 1, "ls");
	c.session_id = id;
	ok(sp_store_command_put(s, &c));
	search(s, &(struct sp_store_command_query){ .user_id = user, .risk = SP_STORE_RISK_MEDIUM }, &f);
	assert_string_equal(f.text, "rm -rf /|");
	assert_int_equal(f.first.risk, SP_STORE_RISK_HIGH);
	search(s, &(struct sp_store_command_query){ .user_id = user, .risk = SP_STORE_RISK_CRITICAL }, &f);
	assert_int_equal(f.n, 0);
	c.number = 3, c.risk = SP_STORE_RISK_CRITICAL + 1;
	assert_int_equal(sp_store_command_put(s, &c), SP_EINVAL);
	ok(sp_store_command_output_put(s, &id, 1, 2, "what it printed", 4000, 1));
	ok(sp_store_command_output_put(s, &id, 1, 2, "again", 1, 0));
	ok(sp_store_command_output(s, &id, 1, 2, &b, &bytes, &cut));
	assert_string_equal(sp_buf_cstr(&b), "what it printed");
	assert_int_equal(bytes, 4000), assert_true(cut);
	assert_int_equal(sp_store_command_output(s, &id, 1, 1, &b, &bytes, &cut), SP_ENOENT);
}

static void
what_is_erased_is_in_no_row_and_no_bundle_and_others_stay(void **state)
{
	struct sp_store *s = ((struct fx *)*state)->s;
	struct sp_uuid user[2], asset, id[2];
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 4096 };
	struct sp_store_session row;
	struct found f;
	char text[64];
	int64_t bytes;
	int cut;

	sp_uuid_make(&user[0]), sp_uuid_make(&user[1]), sp_uuid_make(&asset);
	for (int i = 0; i < 2; i++) {
		struct sp_store_file file = { .session_id = (id[i] = session(s, &user[i], &asset)), .seq = 1, .at_us = 3, .op = "upload", .path = "/secret", .to = "",
		    .result = "ok" };
		struct sp_store_event e = { .session_id = id[i], .seq = 1, .at_us = 3, .kind = "file", .payload = (const uint8_t *)"{\"path\":1}", .payload_len = 10 };

		ok(sp_store_file_put(s, &file));
		ok(sp_store_event_put(s, &e));
		ok(sp_store_command_output_put(s, &id[i], 1, 0, "printed", 7, 0));
	}
	ok(sp_store_begin(s, SP_STORE_EVIDENCE));
	for (int i = 0; i < MANY; i++) {
		sp_snprintf(text, sizeof(text), "private of %d", i % 2);
		put(s, &id[i % 2], i, text);
	}
	ok(sp_store_commit(s));
	ok(sp_store_erase_event(s, &id[1], 1, 1, 1));
	ok(sp_store_erase(s, &user[0], NULL));
	ok(sp_store_erase(s, &user[0], NULL));		/* again is fine */
	search(s, &(struct sp_store_command_query){ .text = "private of 0", .limit = 10000 }, &f);
	assert_int_equal(f.n, 0);
	search(s, &(struct sp_store_command_query){ .text = "private of 1", .user_id = user[1], .limit = 10000 }, &f);
	assert_int_equal(f.n, MANY / 2 - 1);		/* but the one that was named */
	search(s, &(struct sp_store_command_query){ .text = SP_STORE_ERASED, .user_id = user[0], .limit = 10000 }, &f);
	assert_int_equal(f.n, MANY / 2);		/* found through the bundles, too: they are made of the rows */
	assert_int_equal(sp_store_command_output(s, &id[0], 1, 0, &b, &bytes, &cut), SP_ENOENT);
	ok(sp_store_command_output(s, &id[1], 1, 0, &b, &bytes, &cut));
	ok(sp_store_session_get(s, &id[0], &row));
	assert_string_equal(row.user_login, SP_STORE_ERASED), assert_string_equal(row.source, "");
	assert_true(sp_uuid_equal(&row.user_id, &user[0]));
	ok(sp_store_session_get(s, &id[1], &row));
	assert_string_equal(row.user_login, "u");
	ok(sp_store_erase(s, NULL, &id[1]));
	search(s, &(struct sp_store_command_query){ .text = "private", .user_id = user[1], .limit = 10000 }, &f);
	assert_int_equal(f.n, 0);
	assert_int_equal(sp_store_erase(s, NULL, NULL), SP_EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(commands_are_found_by_any_part_of_their_text_newest_first),
		T(a_search_finds_what_a_look_at_every_command_finds),
		T(a_repeated_command_changes_nothing_and_its_end_counts_once),
		T(a_command_longer_than_a_line_of_any_shell_is_kept_whole),
		T(risk_and_output_are_found),
		T(what_is_erased_is_in_no_row_and_no_bundle_and_others_stay),
	};
	static struct fx_server server;
	int failed = cmocka_run_group_tests_name("commands on sqlite", tests, NULL, NULL);

	if (fx_server_start(&server) != 0) {
		fx_server_stop(&server);
		return 1;
	}
	fx_with = &server;
	failed += cmocka_run_group_tests_name("commands on postgresql", tests, NULL, NULL);
	fx_server_stop(&server);
	return failed > 0;
}
