/* src/control/factorlog.c - see factorlog.h. Process: control. */
#include "control/factorlog.h"

#include <sodium.h>
#include <string.h>

#define MAGIC		"SPF1"
#define BODY		(FACTORLOG_SIZE - SP_SHA256_LEN)

_Static_assert(BODY == 4 + 4 + 5 * SP_UUID_LEN + 4 * 8 + SP_NETADDR_SIZE + 24, "a record has no room to spare");

static uint8_t *
put(uint8_t *p, const void *v, size_t n)
{
	memcpy(p, v, n);
	return p + n;
}

static const uint8_t *
get(const uint8_t *p, void *v, size_t n)
{
	memcpy(v, p, n);
	return p + n;
}

static uint8_t *
put_int(uint8_t *p, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*p++ = (uint8_t)(v >> (8 * i));
	return p;
}

static uint64_t
get_int(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

void
factorlog_pack(const struct factorlog *r, const uint8_t key[SP_SHA256_LEN], uint8_t ret[FACTORLOG_SIZE])
{
	uint8_t *p = ret;

	memset(ret, 0, FACTORLOG_SIZE);
	p = put(p, MAGIC, 4);
	p = put_int(p, r->kind, 4);
	p = put(p, r->user.b, SP_UUID_LEN);
	p = put(p, r->conn.b, SP_UUID_LEN);
	p = put(p, r->secret.b, SP_UUID_LEN);
	p = put(p, r->recovery.b, SP_UUID_LEN);
	p = put(p, r->boot.b, SP_UUID_LEN);
	p = put_int(p, (uint64_t)r->step, 8);
	p = put_int(p, (uint64_t)r->epoch, 8);
	p = put_int(p, (uint64_t)r->wall_us, 8);
	p = put_int(p, r->boot_us, 8);
	(void)put(p, r->source, strnlen(r->source, SP_NETADDR_SIZE - 1));
	sp_hmac_sha256((struct sp_view){ key, SP_SHA256_LEN }, (struct sp_view){ ret, BODY }, ret + BODY);
}

enum sp_err
factorlog_parse(const uint8_t p[FACTORLOG_SIZE], const uint8_t key[SP_SHA256_LEN], struct factorlog *ret)
{
	struct factorlog r = { 0 };
	uint8_t mac[SP_SHA256_LEN], again[FACTORLOG_SIZE];
	const uint8_t *at = p + 8;
	uint64_t kind = get_int(p + 4, 4);

	if (memcmp(p, MAGIC, 4) != 0 || kind < FACTORLOG_SHOWN || kind > FACTORLOG_FORGET)
		return SP_EFORMAT;
	sp_hmac_sha256((struct sp_view){ key, SP_SHA256_LEN }, (struct sp_view){ p, BODY }, mac);
	if (sodium_memcmp(mac, p + BODY, sizeof(mac)) != 0)
		return SP_EAUTH;
	r.kind = (enum factorlog_kind)kind;
	at = get(at, r.user.b, SP_UUID_LEN);
	at = get(at, r.conn.b, SP_UUID_LEN);
	at = get(at, r.secret.b, SP_UUID_LEN);
	at = get(at, r.recovery.b, SP_UUID_LEN);
	at = get(at, r.boot.b, SP_UUID_LEN);
	r.step = (int64_t)get_int(at, 8);
	r.epoch = (int64_t)get_int(at + 8, 8);
	r.wall_us = (int64_t)get_int(at + 16, 8);
	r.boot_us = get_int(at + 24, 8);
	memcpy(r.source, at + 32, SP_NETADDR_SIZE);
	if (memchr(r.source, 0, sizeof(r.source)) == NULL)
		return SP_EFORMAT;
	factorlog_pack(&r, key, again);		/* one way to write it */
	if (memcmp(again, p, FACTORLOG_SIZE) != 0)
		return SP_EFORMAT;
	*ret = r;
	return SP_OK;
}
