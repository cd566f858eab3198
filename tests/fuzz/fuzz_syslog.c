/* tests/fuzz/fuzz_syslog.c - whatever stands in an entry or in a configuration: a record has a header that a collector can split,
 * its length is what it says, and the text comes through as it is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "wire/syslog.h"

static void
check_counted(const struct sp_syslog_head *h, struct sp_view msg)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 1 << 20 };
	const char *p;
	char *end;
	size_t n;

	if (sp_syslog_5424_counted(h, msg, &b) != SP_OK)
		abort();
	n = strtoul(sp_buf_cstr(&b), &end, 10);
	if (*end != ' ' || (const uint8_t *)end + 1 + n != b.p + b.len)
		abort();
	p = end + 1;
	/* PRI VERSION, TIMESTAMP, HOSTNAME, APP-NAME, PROCID, MSGID: six blanks, then structured data. */
	for (int i = 0; i < 6; i++)
		if ((p = strchr(p, ' ')) == NULL || *++p == ' ')
			abort();
	if (strncmp(p, h->seq != 0 ? "[meta sequenceId=\"" : "- ", 2) != 0 || memcmp(b.p + b.len - msg.len, msg.p, msg.len) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[300];
	struct sp_syslog_dest d;
	struct sp_syslog_head h = { .facility = size % 24, .severity = size % 8, .wall_us = (int64_t)size * 1000, .host = text, .app = text,
	    .msgid = text, .seq = size % 3 };
	size_t n = size < sizeof(text) - 1 ? size : sizeof(text) - 1;

	if (size == 0)
		return 0;
	memcpy(text, data, n);
	text[n] = '\0';
	check_counted(&h, (struct sp_view){ data, size });
	if (sp_syslog_dest_parse(text, &d) == SP_OK && (d.port == 0 || d.host[0] == '\0' || strlen(d.host) >= strlen(text)))
		abort();
	return 0;
}
