/* lib/crypto/bech32.c - see bech32.h. */
#include "crypto/bech32.h"

#include <string.h>

#define BECH32_SUM	6	/* symbols of the checksum */

static const char bech32_symbols[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static uint32_t
bech32_step(uint32_t sum, uint8_t v)
{
	static const uint32_t gen[5] = { 0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3 };
	uint32_t top = sum >> 25;

	sum = (sum & 0x1ffffff) << 5 ^ v;
	for (int i = 0; i < 5; i++)
		sum ^= top >> i & 1 ? gen[i] : 0;
	return sum;
}

static uint32_t
bech32_start(const char *hrp)
{
	uint32_t sum = 1;

	for (const char *p = hrp; *p; p++)
		sum = bech32_step(sum, (uint8_t)*p >> 5);
	sum = bech32_step(sum, 0);
	for (const char *p = hrp; *p; p++)
		sum = bech32_step(sum, *p & 31);
	return sum;
}

enum sp_err
sp_bech32_encode(const char *hrp, const uint8_t *data, size_t n, char ret[SP_BECH32_SIZE])
{
	size_t h = strlen(hrp), at = 0;
	uint32_t sum, acc = 0;
	int bits = 0;

	if (h == 0)
		return SP_EINVAL;
	if (h > SP_BECH32_HRP_MAX || n > SP_BECH32_DATA_MAX)
		return SP_ESIZE;
	for (size_t i = 0; i < h; i++)
		if (hrp[i] < 33 || hrp[i] > 126 || (hrp[i] >= 'A' && hrp[i] <= 'Z'))
			return SP_EINVAL;
	memcpy(ret, hrp, h);
	at = h;
	ret[at++] = '1';
	sum = bech32_start(hrp);
	for (size_t i = 0; i < n || bits > 0; ) {
		uint8_t v;

		if (bits < 5 && i < n) {
			acc = acc << 8 | data[i++];
			bits += 8;
		}
		if (bits < 5) {		/* the last symbol is filled with zeros */
			acc <<= 5 - bits;
			bits = 5;
		}
		bits -= 5;
		v = acc >> bits & 31;
		sum = bech32_step(sum, v);
		ret[at++] = bech32_symbols[v];
	}
	for (int i = 0; i < BECH32_SUM; i++)
		sum = bech32_step(sum, 0);
	sum ^= 1;
	for (int i = 0; i < BECH32_SUM; i++)
		ret[at++] = bech32_symbols[sum >> 5 * (5 - i) & 31];
	ret[at] = '\0';
	return SP_OK;
}

/* The text in lower case, with its NUL. */
static enum sp_err
bech32_fold(const char *text, size_t len, char dst[SP_BECH32_SIZE])
{
	int lower = 0, upper = 0;

	if (len >= SP_BECH32_SIZE)
		return SP_EFORMAT;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < 33 || text[i] > 126)
			return SP_EFORMAT;
		lower |= text[i] >= 'a' && text[i] <= 'z';
		upper |= text[i] >= 'A' && text[i] <= 'Z';
		dst[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 0x20) : text[i];
	}
	dst[len] = '\0';
	return lower && upper ? SP_EFORMAT : SP_OK;
}

enum sp_err
sp_bech32_decode(const char *text, size_t len, const char *hrp, uint8_t *ret, size_t n)
{
	char s[SP_BECH32_SIZE];
	uint8_t out[SP_BECH32_DATA_MAX];
	size_t h = strlen(hrp), symbols, at = 0;
	uint32_t sum, acc = 0;
	int bits = 0;

	if (bech32_fold(text, len, s) != SP_OK || len < h + 1 + BECH32_SUM || strncmp(s, hrp, h) != 0 || s[h] != '1')
		return SP_EFORMAT;
	symbols = len - h - 1;
	sum = bech32_start(hrp);
	for (size_t i = 0; i < symbols; i++) {
		const char *p = memchr(bech32_symbols, s[h + 1 + i], 32);
		uint8_t v;

		if (p == NULL)
			return SP_EFORMAT;
		v = (uint8_t)(p - bech32_symbols);
		sum = bech32_step(sum, v);
		if (i + BECH32_SUM >= symbols)
			continue;
		acc = (acc << 5 | v) & 0xfff;
		if ((bits += 5) >= 8) {
			bits -= 8;
			if (at >= sizeof(out))
				return SP_ESIZE;
			out[at++] = (uint8_t)(acc >> bits);
		}
	}
	if (sum != 1 || bits >= 5 || (acc & ((1u << bits) - 1)) != 0)
		return SP_EFORMAT;
	if (at != n)
		return SP_ESIZE;
	memcpy(ret, out, n);
	explicit_bzero(out, sizeof(out));
	explicit_bzero(s, sizeof(s));
	return SP_OK;
}
