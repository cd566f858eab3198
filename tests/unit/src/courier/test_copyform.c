/* tests/unit/src/courier/test_copyform.c - entries of the audit log as records, byte for byte. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "courier/copyform.h"
#include "courier/cursor.h"

#define HEAD	"\"boot\":\"01a2019413a57517a5892e23f9325dee\",\"seq\":7,\"wall\":\"2026-09-01T12:00:00.000000Z\"," \
		"\"source\":\"10.0.0.9\",\"conn\":\"c\",\"user_id\":\"u\",\"asset_id\":\"a\",\"account_id\":\"k\",\"session\":\"s\""
#define CTX	"{\"user\":{\"login\":\"alice\",\"name\":\"Alice\"},\"actor\":{\"login\":\"alice\",\"name\":\"Alice\"}," \
		"\"asset\":{\"name\":\"web1\",\"address\":\"10.0.0.5\"}," \
		"\"session\":{\"user\":\"alice\",\"asset\":\"web1\",\"account\":\"root\",\"protocol\":\"shell\",\"source\":\"10.0.0.9\"," \
		"\"started\":\"2026-08-31T11:59:57.000000Z\",\"error\":\"\"}}"
#define ID	"01a20194-13a5-8000-8000-000000000007"

static struct sp_view
view(const char *s)
{
	return (struct sp_view){ (const uint8_t *)s, strlen(s) };
}

/* Every category once, in the wire form that the parsers in the field are written for. */
static const struct {
	const char	*entry, *record;	/* record NULL: none in this form */
} jumpserver[] = {
	{ "{" HEAD ",\"kind\":\"login.ok\",\"actor\":\"alice\",\"result\":\"ok\",\"more\":{\"method\":\"publickey\","
	  "\"client\":\"SSH-2.0-OpenSSH_9.2\",\"second\":\"code\"}}",
	  "<14>jumpserver: login_log - {\"backend\": \"SSH Key\", \"backend_display\": \"SSH Key\", \"city\": \"\", "
	  "\"datetime\": \"2026/09/01 12:00:00 +0000\", \"id\": \"" ID "\", \"ip\": \"10.0.0.9\", \"mfa\": {\"label\": \"Enabled\", "
	  "\"value\": 1}, \"reason\": \"\", \"reason_display\": \"\", \"status\": {\"label\": \"Success\", \"value\": true}, \"type\": "
	  "{\"label\": \"Terminal\", \"value\": \"T\"}, \"user_agent\": \"SSH-2.0-OpenSSH_9.2\", \"username\": \"Alice(alice)\"}" },
	{ "{" HEAD ",\"kind\":\"login.failed\",\"actor\":\"mallory\",\"result\":\"refused\",\"text\":\"no such user\",\"more\":"
	  "{\"method\":\"password\"}}",
	  "<14>jumpserver: login_log - {\"backend\": \"Password\", \"backend_display\": \"Password\", \"city\": \"\", "
	  "\"datetime\": \"2026/09/01 12:00:00 +0000\", \"id\": \"" ID "\", \"ip\": \"10.0.0.9\", \"mfa\": {\"label\": \"-\", "
	  "\"value\": 2}, \"reason\": \"no such user\", \"reason_display\": \"no such user\", \"status\": {\"label\": \"Failed\", "
	  "\"value\": false}, \"type\": {\"label\": \"Terminal\", \"value\": \"T\"}, \"user_agent\": \"\", \"username\": \"mallory\"}" },
	{ "{" HEAD ",\"kind\":\"grant.create\",\"actor\":\"alice\",\"result\":\"ok\",\"text\":\"ops\",\"more\":{\"accounts\":\"*\"}}",
	  "<14>jumpserver: operation_log - {\"action\": {\"label\": \"Create\", \"value\": \"create\"}, \"datetime\": "
	  "\"2026/09/01 12:00:00 +0000\", \"diff\": [{\"after\": \"*\", \"before\": \"\", \"field\": \"accounts\"}], \"id\": \"" ID "\", "
	  "\"org_id\": \"00000000-0000-0000-0000-000000000002\", \"org_name\": \"Default\", \"remote_addr\": \"10.0.0.9\", "
	  "\"resource\": \"ops\", \"resource_type\": \"Asset permission\", \"user\": \"Alice(alice)\"}" },
	{ "{" HEAD ",\"kind\":\"user.password\",\"actor\":\"alice\",\"result\":\"ok\",\"text\":\"alice\"}",
	  "<14>jumpserver: password_change_log - {\"change_by\": \"Alice(alice)\", \"datetime\": \"2026/09/01 12:00:00 +0000\", "
	  "\"id\": \"" ID "\", \"remote_addr\": \"10.0.0.9\", \"user\": \"Alice(alice)\"}" },
	{ "{" HEAD ",\"kind\":\"session.end\",\"actor\":\"alice\",\"result\":\"ok\",\"text\":\"user left\"}",
	  "<14>jumpserver: host_session_log - {\"account\": \"root(root)\", \"account_id\": \"k\", \"asset\": \"web1(10.0.0.5)\", "
	  "\"asset_id\": \"a\", \"can_join\": false, \"can_replay\": true, \"can_terminate\": false, \"command_amount\": 0, \"comment\": "
	  "\"user left\", \"date_end\": \"2026/09/01 12:00:00 +0000\", \"date_start\": \"2026/08/31 11:59:57 +0000\", \"duration\": "
	  "\"1 day, 0:00:03\", \"error_reason\": {\"label\": \"\", \"value\": \"\"}, \"has_command\": true, \"has_replay\": true, "
	  "\"id\": \"s\", \"is_finished\": true, \"is_locked\": false, \"is_success\": true, \"login_from\": {\"label\": "
	  "\"SSH Terminal\", \"value\": \"ST\"}, \"org_id\": \"00000000-0000-0000-0000-000000000002\", \"org_name\": \"Default\", "
	  "\"protocol\": \"ssh\", \"remote_addr\": \"10.0.0.9\", \"replay_size\": 0, \"terminal\": {\"id\": "
	  "\"00000000-0000-0000-0000-000000000000\", \"name\": \"bastion\"}, \"terminal_display\": \"bastion\", \"type\": {\"label\": "
	  "\"Normal\", \"value\": \"normal\"}, \"user\": \"Alice(alice)\", \"user_id\": \"u\"}" },
	{ "{" HEAD ",\"kind\":\"session.event\",\"actor\":\"alice\",\"result\":\"ok\",\"more\":{\"event\":\"command\",\"wall_us\":"
	  "1788264000500000,\"body\":{\"command\":\"\xe6\x95\xb0 \\\"x\\\"\",\"output\":\"a\\nb\"}}}",
	  "<14>jumpserver: session_command_log - {\"account\": \"root(root)\", \"asset\": \"web1(10.0.0.5)\", \"id\": \"" ID "\", "
	  "\"input\": \"\xe6\x95\xb0 \\\"x\\\"\", \"org_id\": \"00000000-0000-0000-0000-000000000002\", \"output\": \"a\\nb\", "
	  "\"remote_addr\": \"10.0.0.9\", \"risk_level\": {\"label\": \"Accept\", \"value\": 0}, \"session\": \"s\", \"timestamp\": "
	  "1788264000, \"timestamp_display\": \"2026/09/01 12:00:00 +0000\", \"user\": \"Alice(alice)\"}" },
	{ "{" HEAD ",\"kind\":\"session.event\",\"actor\":\"alice\",\"result\":\"ok\",\"more\":{\"event\":\"file\",\"body\":{\"op\":\"put\","
	  "\"path\":\"/etc/motd\",\"result\":\"ok\"}}}",
	  "<14>jumpserver: ftp_log - {\"account\": \"root(root)\", \"asset\": \"web1(10.0.0.5)\", \"date_start\": "
	  "\"2026/09/01 12:00:00 +0000\", \"filename\": \"/etc/motd\", \"has_file\": false, \"id\": \"" ID "\", \"is_success\": true, "
	  "\"operate\": {\"label\": \"upload\", \"value\": \"upload\"}, \"org_id\": \"00000000-0000-0000-0000-000000000002\", "
	  "\"remote_addr\": \"10.0.0.9\", \"session\": \"s\", \"user\": \"Alice(alice)\"}" },
	{ "{" HEAD ",\"kind\":\"file\",\"actor\":\"alice\",\"result\":\"ok\",\"more\":{\"event\":\"file\",\"wall_us\":1788264000500000,\"body\":"
	  "{\"op\":\"posix-rename@openssh.com\",\"path\":\"/a\",\"to\":\"/b\",\"result\":\"permission denied\"}}}",
	  "<14>jumpserver: ftp_log - {\"account\": \"root(root)\", \"asset\": \"web1(10.0.0.5)\", \"date_start\": "
	  "\"2026/09/01 12:00:00 +0000\", \"filename\": \"/a\", \"has_file\": false, \"id\": \"" ID "\", \"is_success\": false, "
	  "\"operate\": {\"label\": \"rename\", \"value\": \"rename\"}, \"org_id\": \"00000000-0000-0000-0000-000000000002\", "
	  "\"remote_addr\": \"10.0.0.9\", \"session\": \"s\", \"user\": \"Alice(alice)\"}" },
	{ "{" HEAD ",\"kind\":\"file\",\"actor\":\"alice\",\"more\":{\"body\":{\"op\":\"setstat\",\"path\":\"/a\"}}}", NULL },
	{ "{" HEAD ",\"kind\":\"session.up\",\"actor\":\"alice\",\"result\":\"ok\"}", NULL },
	{ "{" HEAD ",\"kind\":\"control.start\",\"actor\":\"system\",\"result\":\"ok\"}", NULL },
	{ "{" HEAD ",\"kind\":\"grant.create\",\"actor\":\"alice\",\"result\":\"failed\"}", NULL },
};

static void
has_a_golden_record_for_each_category_of_jumpserver(void **state)
{
	const struct copy_form f = { .jumpserver = 1, .facility = 1, .host = "h", .bastion = "bastion" };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(jumpserver); i++) {
		sp_auto(sp_buf_release) struct sp_buf b = { .max = 1 << 20 };
		enum sp_err r = copy_form(&f, view(jumpserver[i].entry), view(CTX), &b);

		assert_int_equal(r, jumpserver[i].record != NULL ? SP_OK : SP_ENOENT);
		if (r != SP_OK)
			continue;
		assert_string_equal((const char *)b.p, jumpserver[i].record);	/* up to the NUL, which is the last byte */
		assert_int_equal(b.len, strlen(jumpserver[i].record) + 1);
	}
}

static void
carries_the_entry_itself_in_rfc_5424(void **state)
{
	const struct copy_form f = { .facility = 10, .host = "h", .bastion = "b", .frame = COPY_COUNTED };
	static const char entry[] = "{\"actor\":\"alice\",\"kind\":\"login.failed\",\"result\":\"refused\",\"seq\":7,\"wall\":\"2026-09-01T12:00:00.000000Z\"}";
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 1 << 20 };
	char want[400];

	(void)state;
	assert_int_equal(copy_form(&f, view(entry), view(""), &b), SP_OK);
	sp_snprintf(want, sizeof(want), "<84>1 2026-09-01T12:00:00.000000Z h sallyport - login.failed [meta sequenceId=\"7\"] %s", entry);
	assert_string_equal(strchr(sp_buf_cstr(&b), ' ') + 1, want);
	assert_int_equal(strtoul(sp_buf_cstr(&b), NULL, 10), strlen(want));
	assert_int_equal(copy_form(&f, view("{\"seq\":7}"), view(""), &b), SP_EFORMAT);
	assert_int_equal(copy_form(&f, view("nothing"), view(""), &b), SP_EFORMAT);
}

/* The JSON behind " - ". */
static json_t *
text_of(const struct sp_buf *b)
{
	const char *p = strchr((const char *)b->p, '{');
	json_t *o = json_loads(p, 0, NULL);

	assert_non_null(o);
	return o;
}

static void
shortens_output_first_and_says_so(void **state)
{
	const struct copy_form f = { .jumpserver = 1, .facility = 1, .host = "h", .bastion = "b", .limit = 2048 };
	char *entry = NULL, *big = malloc(30001), *input = malloc(901);
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 1 << 20 };
	const char *output;
	json_t *o;

	(void)state;
	for (size_t i = 0; i < 30000; i += 3)
		memcpy(big + i, "\xe6\x95\xb0", 3);
	big[30000] = '\0';
	memset(input, 'i', 900);
	input[900] = '\0';
	assert_true(asprintf(&entry, "{" HEAD ",\"kind\":\"session.event\",\"actor\":\"alice\",\"result\":\"ok\",\"more\":{\"event\":\"command\","
	    "\"body\":{\"command\":\"%s\",\"output\":\"%s\"}}}", input, big) > 0);
	assert_int_equal(copy_form(&f, view(entry), view(CTX), &b), SP_OK);
	assert_true(b.len <= 2048 && b.len > 1900);
	o = text_of(&b);
	assert_string_equal(json_string_value(json_object_get(o, "input")), input);	/* whole */
	output = json_string_value(json_object_get(o, "output"));
	assert_non_null(strstr(output, "\xe6\x95\xb0...[shortened from 30000 bytes]"));
	json_decref(o);
	free(entry);
	free(big);
	free(input);
}

static void
shortens_what_is_left_when_there_is_no_output(void **state)
{
	struct copy_form f = { .facility = 10, .host = "h", .bastion = "b", .limit = 480 };
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 1 << 20 };
	char entry[9000], fields[8000] = "";
	json_t *o;

	(void)state;
	for (int i = 0; i < 300; i++)
		sp_snprintf(fields + strlen(fields), sizeof(fields) - strlen(fields), "%s\"%d\":%d", i > 0 ? "," : "", i, i);
	sp_snprintf(entry, sizeof(entry), "{" HEAD ",\"kind\":\"x\",\"more\":{%s}}", fields);
	assert_int_equal(copy_form(&f, view(entry), view(""), &b), SP_OK);
	assert_true(b.len <= 480);
	o = text_of(&b);
	assert_true(json_integer_value(json_object_get(json_object_get(o, "more"), "left_out_bytes")) > 2000);
	assert_int_equal(json_integer_value(json_object_get(o, "seq")), 7);
	json_decref(o);
	/* JumpServer's session has more keys than a record of that size: its number is what is left. */
	f.jumpserver = 1;
	sp_buf_reset(&b);
	assert_int_equal(copy_form(&f, view("{" HEAD ",\"kind\":\"session.end\",\"actor\":\"alice\"}"), view(CTX), &b), SP_OK);
	assert_string_equal((const char *)b.p, "<86>jumpserver: host_session_log - {\"id\": \"s\", \"seq\": 7, \"shortened\": true}");
}

static void
keeps_a_cursor_by_the_name_of_its_destination(void **state)
{
	char dir[] = "/tmp/sp-cursor-XXXXXX";
	const char *name = "tcp://siem:514";
	struct dirent *e;
	uint64_t at = 99;
	DIR *d;
	int fd, file = -1;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(cursor_read(fd, name, &at), SP_ENOENT);
	assert_int_equal(cursor_write(fd, name, 7), SP_OK);
	assert_int_equal(cursor_write(fd, name, 8), SP_OK);
	assert_int_equal(cursor_read(fd, name, &at), SP_OK);
	assert_int_equal(at, 8);
	assert_int_equal(cursor_read(fd, "tcp://siem:515", &at), SP_ENOENT);
	d = opendir(dir);
	while ((e = readdir(d)) != NULL)	/* one file, and whatever else stands in it is no place in the log */
		if (strncmp(e->d_name, "cursor-", 7) == 0) {
			assert_int_equal(file, -1);
			file = openat(fd, e->d_name, O_WRONLY | O_TRUNC);
		}
	assert_int_equal(write(file, "8 tcp://si", 10), 10);
	assert_int_equal(cursor_read(fd, name, &at), SP_EFORMAT);
	assert_int_equal(at, 8);
	rewinddir(d);
	while ((e = readdir(d)) != NULL)
		(void)unlinkat(fd, e->d_name, 0);
	closedir(d);
	close(file);
	close(fd);
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_a_golden_record_for_each_category_of_jumpserver),
		cmocka_unit_test(carries_the_entry_itself_in_rfc_5424),
		cmocka_unit_test(shortens_output_first_and_says_so),
		cmocka_unit_test(shortens_what_is_left_when_there_is_no_output),
		cmocka_unit_test(keeps_a_cursor_by_the_name_of_its_destination),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
