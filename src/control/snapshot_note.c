/* src/control/snapshot_note.c - see snapshot_note.h. */
#include "control/snapshot_note.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

#define CLOCK_SLACK_US	(60 * (int64_t)SP_US_PER_S)

/* Everything above the mac; bytes written. */
static size_t
note_body(const struct snapshot_note *n, char dst[SNAPSHOT_NOTE_MAX])
{
	char sum[2 * SP_SHA256_LEN + 1];

	sp_hex(n->sha256, sizeof(n->sha256), sum);
	sp_snprintf(dst, SNAPSHOT_NOTE_MAX, "sallyport-snapshot 1\ngeneration %" PRIu64 "\nmade %" PRId64 "\nexpires %" PRId64
	    "\nsha256 %s\n", n->generation, n->made_us, n->expires_us, sum);
	return strlen(dst);
}

static void
note_text(const struct snapshot_note *n, char dst[SNAPSHOT_NOTE_MAX])
{
	size_t at = note_body(n, dst);
	char mac[2 * SP_SHA256_LEN + 1];

	sp_hex(n->mac, sizeof(n->mac), mac);
	sp_snprintf(dst + at, SNAPSHOT_NOTE_MAX - at, "mac %s\n", mac);
}

static void
note_mac(const struct snapshot_note *n, const uint8_t key[SP_SHA256_LEN], uint8_t ret[SP_SHA256_LEN])
{
	char body[SNAPSHOT_NOTE_MAX];
	size_t len = note_body(n, body);

	sp_hmac_sha256((struct sp_view){ key, SP_SHA256_LEN }, (struct sp_view){ (const uint8_t *)body, len }, ret);
}

void
snapshot_note_sign(struct snapshot_note *n, const uint8_t key[SP_SHA256_LEN], char dst[SNAPSHOT_NOTE_MAX])
{
	note_mac(n, key, n->mac);
	note_text(n, dst);
}

enum sp_err
snapshot_note_parse(const char *text, size_t len, struct snapshot_note *ret)
{
	char in[SNAPSHOT_NOTE_MAX], again[SNAPSHOT_NOTE_MAX], sum[2 * SP_SHA256_LEN + 1], mac[2 * SP_SHA256_LEN + 1];
	struct snapshot_note n;

	if (len >= sizeof(in) || memchr(text, 0, len) != NULL)
		return SP_EFORMAT;
	memcpy(in, text, len);
	in[len] = '\0';
	if (sscanf(in, "sallyport-snapshot 1\ngeneration %19" SCNu64 "\nmade %18" SCNd64 "\nexpires %18" SCNd64
	    "\nsha256 %64[0-9a-f]\nmac %64[0-9a-f]\n", &n.generation, &n.made_us, &n.expires_us, sum, mac) != 5 ||
	    sp_hex_parse(sum, n.sha256, sizeof(n.sha256)) != SP_OK || sp_hex_parse(mac, n.mac, sizeof(n.mac)) != SP_OK)
		return SP_EFORMAT;
	note_text(&n, again);
	if (strcmp(in, again) != 0)	/* blanks, signs, zeros in front: one way to write it */
		return SP_EFORMAT;
	*ret = n;
	return SP_OK;
}

enum sp_err
snapshot_note_check(const struct snapshot_note *n, const uint8_t key[SP_SHA256_LEN], uint64_t least, int64_t now_us)
{
	uint8_t mac[SP_SHA256_LEN];

	note_mac(n, key, mac);
	if (sodium_memcmp(mac, n->mac, sizeof(mac)) != 0)
		return SP_EAUTH;
	if (n->generation < least)
		return SP_ECONFLICT;
	return now_us >= n->expires_us || now_us < n->made_us - CLOCK_SLACK_US ? SP_EEXPIRED : SP_OK;
}
