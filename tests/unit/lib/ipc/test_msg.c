/* Walks every row of messages.def: what it says is admitted, everything else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/msg.h"

static const uint16_t ids[] = {
#define SP_MSG(name, id, from, to, states, max, fds, flags, body) id,
#include "ipc/messages.def"
#undef SP_MSG
};
#define IDS	(sizeof(ids) / sizeof(ids[0]))

typedef void row_fn(const struct sp_msg_spec *m, enum sp_proc from, enum sp_proc to, unsigned state);

/* Every sender, receiver and state, those of the row and those that are not. */
static void
each(row_fn *fn)
{
	for (size_t i = 0; i < IDS; i++)
		for (int from = 0; from < SP_PROC_N; from++)
			for (int to = 0; to < SP_PROC_N; to++)
				for (unsigned st = SP_ST_PREAUTH; st <= SP_ST_AUTHED; st <<= 1)
					fn(sp_msg_spec(ids[i]), (enum sp_proc)from, (enum sp_proc)to, st);
}

static int
in(unsigned mask, unsigned bit)
{
	return (mask & (1u << bit)) != 0;
}

static int
fds_of(const struct sp_msg_spec *m)
{
	return m->fds < 0 ? 0 : m->fds;
}

static unsigned admitted;

static void
check_peers_and_state(const struct sp_msg_spec *m, enum sp_proc from, enum sp_proc to, unsigned state)
{
	enum sp_err r = sp_msg_admit(m->id, from, to, state, m->max, fds_of(m));

	if (!in(m->from, from) || !in(m->to, to))
		assert_int_equal(r, SP_EPEER);
	else if ((m->states & state) == 0)
		assert_int_equal(r, SP_ESTATE);
	else {
		assert_int_equal(r, SP_OK);
		admitted++;
	}
}

static void
admits_the_peers_and_states_of_the_row_and_no_others(void **state)
{
	(void)state;
	admitted = 0;
	each(check_peers_and_state);
	assert_true(admitted >= IDS);
}

static void
check_size(const struct sp_msg_spec *m, enum sp_proc from, enum sp_proc to, unsigned state)
{
	if (!in(m->from, from) || !in(m->to, to) || (m->states & state) == 0)
		return;
	assert_int_equal(sp_msg_admit(m->id, from, to, state, 0, fds_of(m)), SP_OK);
	assert_int_equal(sp_msg_admit(m->id, from, to, state, (size_t)m->max + 1, fds_of(m)), SP_ESIZE);
	assert_int_equal(sp_msg_admit(m->id, from, to, state, (size_t)-1, fds_of(m)), SP_ESIZE);
}

static void
refuses_one_byte_too_many(void **state)
{
	(void)state;
	each(check_size);
}

static void
check_fds(const struct sp_msg_spec *m, enum sp_proc from, enum sp_proc to, unsigned state)
{
	if (!in(m->from, from) || !in(m->to, to) || (m->states & state) == 0)
		return;
	for (int n = 0; n <= SP_MSG_FDS + 1; n++) {
		int ok = n <= SP_MSG_FDS && (m->fds < 0 || m->fds == n);

		assert_int_equal(sp_msg_admit(m->id, from, to, state, 0, n), ok ? SP_OK : SP_ESIZE);
	}
}

static void
refuses_any_other_number_of_descriptors(void **state)
{
	(void)state;
	each(check_fds);
}

static void
refuses_ids_that_are_in_no_row(void **state)
{
	(void)state;
	for (unsigned id = 0; id <= 0xffff; id++) {
		int known = 0;

		for (size_t i = 0; i < IDS; i++)
			known |= ids[i] == id;
		assert_int_equal(sp_msg_spec((uint16_t)id) != NULL, known);
		if (!known)
			assert_int_equal(sp_msg_admit((uint16_t)id, SP_PROC_MONITOR, SP_PROC_VAULT, SP_ST_AUTHED, 0, 0), SP_EFORMAT);
	}
}

static void
every_row_is_complete_and_fits_one_packet(void **state)
{
	(void)state;
	for (size_t i = 0; i < IDS; i++) {
		const struct sp_msg_spec *m = sp_msg_spec(ids[i]);

		assert_int_equal(m->id, ids[i]);
		assert_true(m->from != 0 && m->to != 0 && m->states != 0);
		assert_true(m->max + 8 <= SP_MSG_MAX);
		assert_true(m->fds <= SP_MSG_FDS);
		assert_non_null(m->body);
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(ids[k], ids[i]);
	}
}

static void
a_session_may_only_talk_to_control_vault_and_scribe(void **state)
{
	static const char *const allowed[] = { "CALL_ASK" };	/* the row is shared with ctl; the monitor kills sessions for it */

	(void)state;
	for (size_t i = 0; i < IDS; i++) {
		const struct sp_msg_spec *m = sp_msg_spec(ids[i]);
		unsigned others = m->to & ~(1u << SP_PROC_CONTROL | 1u << SP_PROC_VAULT | 1u << SP_PROC_SCRIBE);

		if (in(m->from, SP_PROC_SESSION) && strcmp(m->name, allowed[0]) != 0)
			assert_int_equal(others, 0);
	}
}

static void
every_process_has_a_name_and_an_executable(void **state)
{
	(void)state;
	for (int p = 0; p < SP_PROC_N; p++) {
		assert_true(*sp_proc_name((enum sp_proc)p) != '\0');
		assert_non_null(strstr(sp_proc_exe((enum sp_proc)p), "sallyport"));
	}
	assert_string_equal(sp_proc_name(SP_PROC_VAULT), "vault");
	assert_string_equal(sp_proc_name(SP_PROC_N), "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(admits_the_peers_and_states_of_the_row_and_no_others),
		cmocka_unit_test(refuses_one_byte_too_many),
		cmocka_unit_test(refuses_any_other_number_of_descriptors),
		cmocka_unit_test(refuses_ids_that_are_in_no_row),
		cmocka_unit_test(every_row_is_complete_and_fits_one_packet),
		cmocka_unit_test(a_session_may_only_talk_to_control_vault_and_scribe),
		cmocka_unit_test(every_process_has_a_name_and_an_executable),
	};

	return cmocka_run_group_tests_name("ipc_msg", tests, NULL, NULL);
}
