/* A question on the terminal of a channel: what is shown, what is taken, and that nothing is left behind. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "session/session.h"

#define ok(e) assert_int_equal((e), SP_OK)

static char shown[8192];
static unsigned discarded;

/* The channel and what waits on it, as far as a question touches them. */
size_t
sp_channel_write(struct sp_channel *c, int stream, const void *p, size_t n)
{
	(void)c;
	(void)stream;
	assert_true(strlen(shown) + n < sizeof(shown));
	memcpy(shown + strlen(shown), p, n);
	return n;
}

void
relay_discard_typed(struct relay *r)
{
	(void)r;
	discarded++;
}

static char got[SP_ASK_ANSWER_MAX + 1];
static int answers, given_up;

static void
take(struct relay *r, const char *answer, void *arg)
{
	assert_ptr_equal(arg, got);
	assert_null(r->question);
	answers++;
	given_up += answer == NULL;
	(void)sp_strlcpy(got, answer != NULL ? answer : "", sizeof(got));
}

static struct session session;
static struct relay relay;

static void
begin(int echo, size_t max)
{
	struct sp_question q = { .text = "one-time code", .echo = echo, .max = max, .fn = take, .arg = got };

	sp_ask_cancel(&relay);
	memset(shown, 0, sizeof(shown));
	answers = given_up = 0;
	relay = (struct relay){ .s = &session, .kind = RELAY_SESSION, .state = RL_WAIT, .pty = 1, .cols = 80,
	    .near = (struct sp_channel *)(void *)&relay };
	ok(sp_ask_start(&relay, &q));
}

static size_t
type(const char *keys)
{
	return sp_ask_input(&relay, (struct sp_view){ (const uint8_t *)keys, strlen(keys) });
}

static void
a_question_is_framed_as_ours_and_an_answer_without_echo_is_not_shown(void **state)
{
	(void)state;
	begin(0, 32);
	assert_string_equal(shown, "\r\nSallyport: one-time code: ");
	assert_int_equal(type("1234"), 4);
	assert_int_equal(type("56\x7f" "6\r"), 5);
	assert_string_equal(got, "123456");
	assert_null(strstr(shown, "1"));
	assert_int_equal(answers, 1);
}

static void
what_was_typed_ahead_is_thrown_away(void **state)
{
	unsigned before = discarded;

	(void)state;
	begin(0, 32);
	assert_int_equal(discarded, before + 1);
	sp_ask_cancel(&relay);
}

static void
with_echo_the_line_is_shown_as_it_is_edited(void **state)
{
	(void)state;
	begin(1, 64);
	(void)type("INC-7\x1b[D!");
	assert_non_null(strstr(shown, "INC-!7"));
	assert_int_equal(type("\r\nls\r"), 2);		/* what follows the end of the line is not ours */
	assert_string_equal(got, "INC-!7");
}

static void
keys_beyond_the_longest_answer_are_ignored(void **state)
{
	(void)state;
	begin(0, 6);
	(void)type("12345678\r");
	assert_string_equal(got, "123456");
}

static void
control_c_and_control_d_on_an_empty_line_and_the_end_of_input_give_up(void **state)
{
	(void)state;
	begin(0, 6);
	(void)type("12\x03");
	assert_int_equal(given_up, 1);
	begin(0, 6);
	(void)type("1\x04");
	assert_int_equal(answers, 0);
	(void)type("\x7f\x04");
	assert_int_equal(given_up, 1);
	begin(0, 6);
	sp_ask_give_up(&relay);
	assert_int_equal(given_up, 1);
}

static void
a_channel_that_ends_with_its_question_tells_nobody(void **state)
{
	(void)state;
	begin(0, 6);
	sp_ask_cancel(&relay);
	sp_ask_cancel(&relay);
	assert_int_equal(answers, 0);
	assert_null(relay.question);
}

static void
there_is_one_question_at_a_time_and_none_without_a_terminal(void **state)
{
	struct sp_question q = { .text = "x", .max = 4, .fn = take, .arg = got };

	(void)state;
	begin(0, 6);
	assert_int_equal(sp_ask_start(&relay, &q), SP_ESTATE);
	sp_ask_cancel(&relay);
	relay.pty = 0;
	assert_int_equal(sp_ask_start(&relay, &q), SP_ESTATE);
}

static void
a_hostile_text_cannot_draw_on_the_terminal(void **state)
{
	struct sp_question q = { .text = "\x1b[2Jroot\r\n\x07", .max = 4, .fn = take, .arg = got };

	(void)state;
	begin(0, 6);
	sp_ask_cancel(&relay);
	memset(shown, 0, sizeof(shown));
	ok(sp_ask_start(&relay, &q));
	assert_null(strpbrk(shown + 2, "\x1b\r\n\x07"));
	sp_ask_cancel(&relay);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_is_framed_as_ours_and_an_answer_without_echo_is_not_shown),
		cmocka_unit_test(what_was_typed_ahead_is_thrown_away),
		cmocka_unit_test(with_echo_the_line_is_shown_as_it_is_edited),
		cmocka_unit_test(keys_beyond_the_longest_answer_are_ignored),
		cmocka_unit_test(control_c_and_control_d_on_an_empty_line_and_the_end_of_input_give_up),
		cmocka_unit_test(a_channel_that_ends_with_its_question_tells_nobody),
		cmocka_unit_test(there_is_one_question_at_a_time_and_none_without_a_terminal),
		cmocka_unit_test(a_hostile_text_cannot_draw_on_the_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
