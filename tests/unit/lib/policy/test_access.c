/* tests/unit/lib/policy/test_access.c - the access decision: single behaviours, hours as a table, and many random
 * inputs against an oracle that is written the slow and obvious way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "policy/access.h"

static struct sp_policy_grant
allow(uint32_t protocols)
{
	return (struct sp_policy_grant){ .name = "g", .accounts = "*", .protocols = protocols, .mfa_interval_s = SP_POLICY_MFA_NEVER };
}

static struct sp_policy_input
ask(const struct sp_policy_grant *g, size_t n, uint32_t wanted)
{
	struct sp_policy_input in = { .now_us = 1000, .user_state = SP_POLICY_ACTIVE, .asset_state = SP_POLICY_ACTIVE, .account = "root",
	    .wanted = wanted, .grant = g, .n = n };

	assert_int_equal(sp_netaddr_parse("10.1.2.3", &in.source), SP_OK);
	return in;
}

static struct sp_policy_decision
judge(const struct sp_policy_input *in)
{
	struct sp_policy_decision d;

	memset(&d, 0xff, sizeof(d));
	sp_policy_access(in, &d, NULL, 0, NULL);
	return d;
}

static enum sp_policy_why
why_not(const struct sp_policy_input *in)
{
	struct sp_policy_decision d;
	struct sp_policy_reason r[4] = { { 0 } };
	size_t n = 0;

	sp_policy_access(in, &d, r, 4, &n);
	assert_false(d.allowed);
	assert_true(n >= 1);
	return r[0].why;
}

static void
nothing_is_permitted_without_a_grant(void **state)
{
	struct sp_policy_input in = ask(NULL, 0, SP_POLICY_SHELL);

	(void)state;
	assert_int_equal(why_not(&in), SP_POLICY_W_NO_GRANT);
	assert_int_equal(judge(&in).protocols, 0);
}

static void
each_condition_alone_refuses_and_says_so(void **state)
{
	struct sp_policy_grant g = { .name = NULL };
	struct sp_policy_input in;

	(void)state;
#define REFUSED(why, change) do { g = allow(SP_POLICY_SHELL); in = ask(&g, 1, SP_POLICY_SHELL); assert_true(judge(&in).allowed); change; \
	assert_int_equal(why_not(&in), why); } while (0)
	REFUSED(SP_POLICY_W_USER_DISABLED, in.user_state = SP_POLICY_DISABLED);
	REFUSED(SP_POLICY_W_USER_DISABLED, in.user_state = 0);
	REFUSED(SP_POLICY_W_USER_EXPIRED, in.user_state = SP_POLICY_EXPIRED);
	REFUSED(SP_POLICY_W_USER_EXPIRED, in.user_until_us = 1000);
	REFUSED(SP_POLICY_W_USER_NOT_YET, in.user_from_us = 1001);
	REFUSED(SP_POLICY_W_EPOCH, in.user_epoch = 1);
	REFUSED(SP_POLICY_W_ASSET_DISABLED, in.asset_state = SP_POLICY_DISABLED);
	REFUSED(SP_POLICY_W_BAD_INPUT, in.account = NULL);
	REFUSED(SP_POLICY_W_BAD_INPUT, in.account = "");
	REFUSED(SP_POLICY_W_BAD_INPUT, in.wanted = 1u << 30);
	REFUSED(SP_POLICY_W_NOT_YET, g.valid_from_us = 1001);
	REFUSED(SP_POLICY_W_OVER, g.valid_until_us = 1000);
	REFUSED(SP_POLICY_W_ACCOUNT, g.accounts = "deploy,roo,root2");
	REFUSED(SP_POLICY_W_ACCOUNT, g.accounts = "");
	REFUSED(SP_POLICY_W_ACCOUNT, g.accounts = NULL);
	REFUSED(SP_POLICY_W_SOURCE, g.sources = "10.2.0.0/16,10.1.2.4");
	REFUSED(SP_POLICY_W_SOURCE, (g.sources = "0.0.0.0/0", in.source.family = 0));
	REFUSED(SP_POLICY_W_BAD, g.sources = "nonsense,10.0.0.0/8");
	REFUSED(SP_POLICY_W_BAD, g.hours = "someday 10:00-11:00");
	REFUSED(SP_POLICY_W_HOURS, g.hours = "fri 00:00-24:00");	/* 1970-01-01 was a Thursday */
	REFUSED(SP_POLICY_W_PROTOCOL, g.protocols = SP_POLICY_SFTP);
#undef REFUSED
}

static void
any_matching_deny_wins_for_its_protocols(void **state)
{
	struct sp_policy_grant g[3] = { allow(SP_POLICY_ALL), allow(SP_POLICY_SFTP | SP_POLICY_SCP), allow(SP_POLICY_ALL) };
	struct sp_policy_input in = ask(g, 3, SP_POLICY_SFTP);
	struct sp_policy_decision d;

	(void)state;
	g[1].deny = 1;
	d = judge(&in);
	assert_false(d.allowed);
	assert_int_equal(d.grant, 1);
	in.wanted = SP_POLICY_SHELL;
	d = judge(&in);
	assert_true(d.allowed);
	assert_int_equal(d.grant, 0);
	assert_int_equal(d.protocols, SP_POLICY_ALL & ~(SP_POLICY_SFTP | SP_POLICY_SCP));
	g[1].accounts = "deploy";			/* concerns another account */
	in.wanted = SP_POLICY_SFTP;
	assert_true(judge(&in).allowed);
	g[1].accounts = "root", g[1].sources = "nonsense";	/* cannot be read: counts against the user */
	assert_false(judge(&in).allowed);
}

static void
scp_opens_what_its_clients_use_and_no_command(void **state)
{
	static const struct { uint32_t allow, deny, open; } rows[] = {
		{ SP_POLICY_SCP, 0, SP_POLICY_SCP | SP_POLICY_SFTP },
		{ SP_POLICY_EXEC, 0, SP_POLICY_EXEC | SP_POLICY_SCP },		/* and no sftp */
		{ SP_POLICY_SFTP, 0, SP_POLICY_SFTP },
		{ SP_POLICY_SCP, SP_POLICY_SFTP, SP_POLICY_SCP },
		{ SP_POLICY_EXEC, SP_POLICY_SCP, SP_POLICY_EXEC },
		{ SP_POLICY_EXEC | SP_POLICY_SCP, SP_POLICY_EXEC, SP_POLICY_SCP | SP_POLICY_SFTP },	/* a deny takes what it names */
		{ SP_POLICY_SHELL, 0, SP_POLICY_SHELL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct sp_policy_grant g[2] = { allow(rows[i].allow), allow(rows[i].deny) };
		struct sp_policy_input in = ask(g, 2, 0);

		g[1].deny = 1;
		assert_int_equal(judge(&in).protocols, rows[i].open);
	}
}

static void
permissions_unite_and_limits_take_the_strictest(void **state)
{
	struct sp_policy_grant g[3] = { allow(SP_POLICY_SHELL | SP_POLICY_FWD_LOCAL), allow(SP_POLICY_SFTP | SP_POLICY_AGENT), allow(SP_POLICY_SHELL) };
	struct sp_policy_input in = ask(g, 3, SP_POLICY_SHELL | SP_POLICY_SFTP);
	struct sp_policy_decision d;

	(void)state;
	g[0].idle_s = 600, g[0].forwards = "a:1", g[0].agent_kinds = 1, g[0].best_effort = 1, g[0].mfa_interval_s = 3600;
	g[1].idle_s = 300, g[1].max_session_s = 50, g[1].agent_kinds = 2, g[1].file_direction = 2, g[1].forwards = "never:1", g[1].concurrent_max = 9;
	g[2].forwards = "never:2", g[2].reason_required = 1, g[2].file_direction = 1;
	d = judge(&in);
	assert_true(d.allowed);
	assert_int_equal(d.idle_s, 300);
	assert_int_equal(d.max_session_s, 50);
	assert_int_equal(d.concurrent_max, 9);
	assert_int_equal(d.mfa_interval_s, 3600);
	assert_int_equal(d.reason_required, 1);
	assert_int_equal(d.best_effort, 0);
	assert_int_equal(d.agent_kinds, 2);		/* only a grant with the protocol brings its kinds */
	assert_int_equal(d.file_direction, 2);
	assert_string_equal(d.forwards, "a:1");
	g[2].mfa_interval_s = 0;
	assert_int_equal(judge(&in).mfa_interval_s, 0);
	g[2].valid_until_us = 1;			/* over: counts for nothing */
	assert_int_equal(judge(&in).reason_required, 0);
}

static void
a_union_of_destinations_that_does_not_fit_is_cut_not_overrun(void **state)
{
	struct sp_policy_grant g[6] = { { .name = NULL } };
	char list[2000];
	struct sp_policy_input in = ask(g, 6, SP_POLICY_FWD_LOCAL);
	struct sp_policy_decision d;

	(void)state;
	memset(list, 'a', sizeof(list) - 1);
	list[sizeof(list) - 1] = 0;
	for (int i = 0; i < 6; i++) {
		g[i] = allow(SP_POLICY_FWD_LOCAL);
		g[i].forwards = list;
	}
	d = judge(&in);
	assert_int_equal(d.forwards_cut, 1);
	assert_int_equal(strlen(d.forwards), 4 * 1999 + 3);
}

static void
the_end_is_when_the_last_grant_that_carries_it_ends(void **state)
{
	struct sp_policy_grant g[3] = { allow(SP_POLICY_SHELL), allow(SP_POLICY_SHELL | SP_POLICY_SFTP), allow(SP_POLICY_SHELL) };
	struct sp_policy_input in = ask(g, 2, SP_POLICY_SHELL);

	(void)state;
	g[0].valid_until_us = 5000, g[1].valid_until_us = 3000;
	assert_int_equal(judge(&in).until_us, 5000);
	assert_int_equal(judge(&in).recheck_us, 3000);
	in.wanted = SP_POLICY_SHELL | SP_POLICY_SFTP;
	assert_int_equal(judge(&in).until_us, 3000);
	in.wanted = 0;
	assert_int_equal(judge(&in).until_us, 5000);
	in.user_until_us = 4000;
	assert_int_equal(judge(&in).until_us, 4000);
	in.n = 3;
	in.user_until_us = 0;
	in.wanted = SP_POLICY_SHELL;
	assert_int_equal(judge(&in).until_us, 0);	/* the third has no end */
	g[2].deny = 1, g[2].valid_from_us = 2000;
	assert_int_equal(judge(&in).until_us, 2000);	/* a deny is coming */
	assert_int_equal(judge(&in).recheck_us, 2000);
}

static const struct {
	const char	*hours, *when;
	int		 tz_min, allowed;
	const char	*edge;		/* NULL: not looked at */
} hours[] = {
	{ "mon-fri 08:00-18:00", "2026-09-01T08:00:00Z", 0, 1, "2026-09-01T18:00:00Z" },	/* a Tuesday */
	{ "mon-fri 08:00-18:00", "2026-09-01T07:59:59Z", 0, 0, "2026-09-01T08:00:00Z" },
	{ "mon-fri 08:00-18:00", "2026-09-01T18:00:00Z", 0, 0, "2026-09-02T08:00:00Z" },
	{ "mon-fri 08:00-18:00", "2026-09-05T12:00:00Z", 0, 0, "2026-09-07T08:00:00Z" },	/* Saturday */
	{ "mon-fri 08:00-18:00,sat 09:00-12:30", "2026-09-05T12:29:59Z", 0, 1, "2026-09-05T12:30:00Z" },
	{ "fri-mon 00:00-24:00", "2026-09-06T12:00:00Z", 0, 1, NULL },			/* a range that wraps */
	{ "fri-mon 00:00-24:00", "2026-09-02T12:00:00Z", 0, 0, "2026-09-04T00:00:00Z" },
	{ "daily 00:00-24:00", "2026-09-02T23:59:59Z", 0, 1, NULL },
	{ "tue 08:00-09:00", "2026-09-01T00:30:00Z", 480, 1, "2026-09-01T01:00:00Z" },	/* 08:30 in Beijing */
	{ "mon 23:00-24:00", "2026-09-01T03:30:00Z", -240, 1, "2026-09-01T04:00:00Z" },	/* still Monday there */
	{ "wed 10:00-11:00", "1969-12-31T10:30:00Z", 0, 1, NULL },			/* before 1970 */
	{ "tue 08:00-09:00", "2026-09-01T09:00:00Z", 0, 0, "2026-09-08T08:00:00Z" }		/* in a week */
};

static void
weekly_hours_hold_in_the_given_time_zone(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_NELEMS(hours); i++) {
		struct sp_policy_grant g = allow(SP_POLICY_SHELL);
		struct sp_policy_input in = ask(&g, 1, SP_POLICY_SHELL);
		int64_t edge;

		g.hours = hours[i].hours;
		in.tz_offset_s = hours[i].tz_min * 60;
		assert_int_equal(sp_rfc3339_parse(hours[i].when, &in.now_us), SP_OK);
		if (judge(&in).allowed != hours[i].allowed)
			fail_msg("row %zu: %s at %s", i, hours[i].hours, hours[i].when);
		if (hours[i].edge == NULL)
			continue;
		assert_int_equal(sp_rfc3339_parse(hours[i].edge, &edge), SP_OK);
		if (judge(&in).recheck_us != edge)
			fail_msg("row %zu: %s at %s changes at another time", i, hours[i].hours, hours[i].when);
	}
}

static void
what_cannot_be_read_is_refused_when_saved(void **state)
{
	static const char *const bad_hours[] = { "mon", "mon 8:00-9:00", "mon 09:00-08:00", "mon 08:00-24:01", "mon 08:60-09:00", "mo 08:00-09:00",
		"mon-xxx 08:00-09:00", ",mon 08:00-09:00", "mon 08:00-08:00", "mon 08:00-09:00 x" };
	static const char *const bad_sources[] = { "10.0.0.1/8", "x", "10.0.0.0/33", "10.0.0.0/8,,", "10.0.0.0/" };

	(void)state;
	assert_int_equal(sp_policy_hours_check(""), SP_OK);
	assert_int_equal(sp_policy_hours_check("mon-fri 08:00-18:00, sat 09:00-12:00"), SP_OK);
	assert_int_equal(sp_policy_sources_check("10.0.0.0/8,192.0.2.1,2001:db8::/32"), SP_OK);
	assert_int_equal(sp_policy_accounts_check("root,deploy"), SP_OK);
	assert_int_equal(sp_policy_accounts_check("root,,x"), SP_EINVAL);
	for (size_t i = 0; i < SP_NELEMS(bad_hours); i++)
		if (sp_policy_hours_check(bad_hours[i]) != SP_EINVAL)
			fail_msg("accepted: %s", bad_hours[i]);
	for (size_t i = 0; i < SP_NELEMS(bad_sources); i++)
		if (sp_policy_sources_check(bad_sources[i]) != SP_EINVAL)
			fail_msg("accepted: %s", bad_sources[i]);
}

static void
protocols_have_names_both_ways(void **state)
{
	char text[SP_POLICY_PROTOCOLS_SIZE];
	uint32_t bits;

	(void)state;
	for (uint32_t want = 0; want <= SP_POLICY_ALL; want++) {
		assert_int_equal(sp_policy_protocols_parse(sp_policy_protocols_text(want, text), &bits), SP_OK);
		assert_int_equal(bits, want);
	}
	assert_int_equal(sp_policy_protocols_parse("shell,telnet", &bits), SP_EINVAL);
	assert_int_equal(sp_policy_protocols_parse("", &bits), SP_EINVAL);
}

static void
reasons_read_as_sentences_and_hostile_names_are_escaped(void **state)
{
	struct sp_policy_grant g = allow(SP_POLICY_SHELL);
	struct sp_policy_input in = ask(&g, 1, SP_POLICY_SHELL);
	struct sp_policy_reason r = { .why = SP_POLICY_W_NOT_YET, .grant = 0, .at_us = 0 };
	struct sp_buf b;

	(void)state;
	sp_buf_init(&b, 4096);
	assert_int_equal(sp_rfc3339_parse("2026-09-01T00:00:00Z", &r.at_us), SP_OK);
	g.name = "night\x1b[2J";
	assert_int_equal(sp_policy_reason_text(&in, &r, &b), SP_OK);
	assert_non_null(strstr(sp_buf_cstr(&b), "not valid before 2026-09-01T00:00:00"));
	assert_null(strchr(sp_buf_cstr(&b), '\x1b'));
	for (r.why = SP_POLICY_W_ALLOWS; r.why <= SP_POLICY_W_BAD_INPUT; r.why++) {
		sp_buf_reset(&b);
		assert_int_equal(sp_policy_reason_text(&in, &r, &b), SP_OK);
		assert_true(b.len > 10);
	}
	sp_buf_release(&b);
}

/* ---- against the oracle ---- */

static const char *const oracle_accounts[] = { "*", "root", "deploy,root", "deploy", "" };
static const int oracle_has_root[] = { 1, 1, 1, 0, 0 };
static const char *const oracle_sources[] = { "", "10.0.0.0/8", "192.0.2.0/24,10.1.2.3", "192.0.2.0/24" };
static const int oracle_has_source[] = { 1, 1, 1, 0 };

static void
random_decisions_equal_a_brute_force_oracle(void **state)
{
	unsigned seed = 99;
	int allowed_n = 0;

	(void)state;
	for (int round = 0; round < 50000; round++) {
		struct sp_policy_grant g[6] = { { .name = NULL } };
		size_t n = (size_t)rand_r(&seed) % 7;
		uint32_t want = (uint32_t)rand_r(&seed) % 16;
		struct sp_policy_input in = ask(g, n, want);
		int active = rand_r(&seed) % 8 != 0, expect = active && n > 0;
		uint32_t open = 0;

		in.user_state = active ? SP_POLICY_ACTIVE : SP_POLICY_DISABLED;
		in.now_us = rand_r(&seed) % 10 + 1;
		for (size_t i = 0; i < n; i++) {
			int a = rand_r(&seed) % 5, src = rand_r(&seed) % 4;

			g[i] = allow((uint32_t)rand_r(&seed) % 16);
			g[i].accounts = oracle_accounts[a], g[i].sources = oracle_sources[src];
			g[i].deny = rand_r(&seed) % 5 == 0;
			g[i].valid_from_us = rand_r(&seed) % 6, g[i].valid_until_us = rand_r(&seed) % 2 ? rand_r(&seed) % 12 : 0;
			g[i].max_session_s = oracle_has_root[a] && oracle_has_source[src];	/* the oracle's note: names this case */
		}
		for (uint32_t bit = 1; bit < 16; bit <<= 1) {
			uint32_t by = bit == SP_POLICY_SCP ? SP_POLICY_EXEC : bit == SP_POLICY_SFTP ? SP_POLICY_SCP : 0;
			int yes = 0, no = 0;

			for (size_t i = 0; i < n; i++)
				if (g[i].max_session_s && (g[i].protocols & (g[i].deny ? bit : bit | by)) && in.now_us >= g[i].valid_from_us &&
				    (g[i].valid_until_us == 0 || in.now_us < g[i].valid_until_us))
					*(g[i].deny ? &no : &yes) = 1;
			if (yes && !no)
				open |= bit;
		}
		expect = expect && (want != 0 ? (want & ~open) == 0 : open != 0);
		assert_int_equal(judge(&in).allowed, expect);
		assert_int_equal(judge(&in).protocols, active && n > 0 ? open : 0);
		if (expect && judge(&in).until_us != 0) {	/* it holds until then, and is never promised too long */
			int64_t until = judge(&in).until_us;

			assert_true(until > in.now_us);
			in.now_us = until - 1;
			assert_true(judge(&in).allowed);
		}
		allowed_n += expect;
	}
	assert_in_range(allowed_n, 5000, 45000);	/* both answers were met often */
}

static int64_t
at(const char *text)
{
	int64_t us;

	assert_int_equal(sp_rfc3339_parse(text, &us), SP_OK);
	return us;
}

static void
the_end_leaps_over_windows_that_join(void **state)
{
	struct sp_policy_grant g[2] = { allow(SP_POLICY_SHELL), allow(SP_POLICY_SHELL) };
	struct sp_policy_input in = ask(g, 1, SP_POLICY_SHELL);
	struct sp_policy_decision d;

	(void)state;
	in.now_us = at("2026-09-01T09:00:00Z");		/* a Tuesday */
	g[0].hours = "daily 08:00-12:00,daily 12:00-18:00,tue 11:00-19:00";
	d = judge(&in);
	assert_int_equal(d.until_us, at("2026-09-01T19:00:00Z"));
	assert_int_equal(d.until_hours, 1);
	assert_int_equal(d.recheck_us, at("2026-09-01T11:00:00Z"));
	in.n = 2;						/* another grant takes over */
	g[1].hours = "daily 18:30-24:00";
	g[1].valid_until_us = at("2026-09-01T20:00:00Z");
	d = judge(&in);
	assert_int_equal(d.until_us, at("2026-09-01T20:00:00Z"));
	g[0].hours = "daily 00:00-12:00,daily 12:00-24:00";	/* no gap: the look ahead ends, far away */
	in.n = 1;
	d = judge(&in);
	assert_true(d.until_us > in.now_us + INT64_C(20) * 86400 * 1000000);
	g[0].hours = "";
	g[0].valid_until_us = at("2026-09-01T20:00:00Z");
	d = judge(&in);
	assert_int_equal(d.until_us, g[0].valid_until_us);
	assert_int_equal(d.until_hours, 0);
}

static void
clocks_that_change_move_the_end_of_the_hours(void **state)
{
	struct sp_policy_grant g = allow(SP_POLICY_SHELL);
	struct sp_policy_input in = ask(&g, 1, SP_POLICY_SHELL);

	(void)state;
	/* Berlin, the night to 2026-10-25: 03:00 summer time becomes 02:00. The hour comes twice. */
	g.hours = "sat 22:00-24:00,sun 00:00-04:00";
	in.now_us = at("2026-10-24T21:00:00Z");
	in.tz_offset_s = 7200;
	in.tz_next_us = at("2026-10-25T01:00:00Z");
	in.tz_next_offset_s = 3600;
	assert_int_equal(judge(&in).until_us, at("2026-10-25T03:00:00Z"));
	/* The night to 2026-03-29: 02:00 becomes 03:00. A window inside the hour that is not there never opens. */
	g.hours = "sun 00:00-02:30";
	in.now_us = at("2026-03-29T00:00:00Z");
	in.tz_offset_s = 3600;
	in.tz_next_us = at("2026-03-29T01:00:00Z");
	in.tz_next_offset_s = 7200;
	assert_int_equal(judge(&in).until_us, at("2026-03-29T01:00:00Z"));
	in.now_us = in.tz_next_us;
	assert_int_equal(judge(&in).allowed, 0);
}

static void
every_limit_of_sessions_is_named_the_strictest_when_many(void **state)
{
	struct sp_policy_grant g[SP_POLICY_LIMITS + 2] = { { .name = NULL } };
	struct sp_policy_input in = ask(g, SP_POLICY_LIMITS + 2, SP_POLICY_SHELL);
	struct sp_policy_decision d;
	int64_t least = INT64_MAX, most = 0;

	(void)state;
	for (int i = 0; i < SP_POLICY_LIMITS + 2; i++) {
		g[i] = allow(SP_POLICY_SHELL);
		g[i].concurrent_max = i == 0 ? 0 : 100 - i;
		g[i].id.b[0] = (uint8_t)i;
	}
	d = judge(&in);
	assert_int_equal(d.limit_n, SP_POLICY_LIMITS);
	for (size_t i = 0; i < d.limit_n; i++) {
		least = d.limit[i].max < least ? d.limit[i].max : least;
		most = d.limit[i].max > most ? d.limit[i].max : most;
		assert_int_equal(d.limit[i].id.b[0], d.limit[i].grant);
		assert_int_equal(g[d.limit[i].grant].concurrent_max, d.limit[i].max);
	}
	assert_int_equal(least, 100 - SP_POLICY_LIMITS - 1);
	assert_int_equal(most, 98);			/* 99, the loosest, had to go */
}

static void
a_ticket_is_stricter_than_a_text_and_every_pattern_counts(void **state)
{
	struct sp_policy_grant g[3] = { allow(SP_POLICY_SHELL), allow(SP_POLICY_SHELL), allow(SP_POLICY_SHELL) };
	struct sp_policy_input in = ask(g, 3, SP_POLICY_SHELL);
	struct sp_policy_decision d;
	char big[900];

	(void)state;
	g[0].reason_required = SP_POLICY_REASON_TICKET, g[0].reason_pattern = "A-[0-9]+";
	g[1].reason_required = SP_POLICY_REASON_TEXT;
	g[2].reason_required = SP_POLICY_REASON_TICKET, g[2].reason_pattern = "[A-Z]-1.*";
	d = judge(&in);
	assert_int_equal(d.reason_required, SP_POLICY_REASON_TICKET);
	assert_string_equal(d.reason_patterns, "A-[0-9]+\n[A-Z]-1.*");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	g[0].reason_pattern = g[2].reason_pattern = big;
	assert_int_equal(judge(&in).reason_cut, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_permitted_without_a_grant),
		cmocka_unit_test(each_condition_alone_refuses_and_says_so),
		cmocka_unit_test(any_matching_deny_wins_for_its_protocols),
		cmocka_unit_test(scp_opens_what_its_clients_use_and_no_command),
		cmocka_unit_test(permissions_unite_and_limits_take_the_strictest),
		cmocka_unit_test(a_union_of_destinations_that_does_not_fit_is_cut_not_overrun),
		cmocka_unit_test(the_end_is_when_the_last_grant_that_carries_it_ends),
		cmocka_unit_test(weekly_hours_hold_in_the_given_time_zone),
		cmocka_unit_test(the_end_leaps_over_windows_that_join),
		cmocka_unit_test(clocks_that_change_move_the_end_of_the_hours),
		cmocka_unit_test(every_limit_of_sessions_is_named_the_strictest_when_many),
		cmocka_unit_test(a_ticket_is_stricter_than_a_text_and_every_pattern_counts),
		cmocka_unit_test(what_cannot_be_read_is_refused_when_saved),
		cmocka_unit_test(protocols_have_names_both_ways),
		cmocka_unit_test(reasons_read_as_sentences_and_hostile_names_are_escaped),
		cmocka_unit_test(random_decisions_equal_a_brute_force_oracle)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
