/* lib/crypto/bcrypt.c - see bcrypt.h. Everything that depends on the passphrase is in locked memory that is wiped. */
#include "crypto/bcrypt.h"

#include <sodium.h>
#include <string.h>

#define SUBKEYS		18
#define SBOX		256
#define HASH		32u	/* bytes of one bcrypt hash */
#define DIGEST		crypto_hash_sha512_BYTES

struct blowfish {
	uint32_t	p[SUBKEYS], s[4][SBOX];
};
/* One block of locked memory. */
struct work {
	struct blowfish	bf;
	uint8_t		pass[DIGEST], salt[DIGEST];	/* hashes of the inputs */
	uint8_t		sum[HASH], last[HASH];
	uint32_t	text[HASH / 4];
};

static const uint32_t pi_words[SUBKEYS + 4 * SBOX] = {
#include "crypto/blowfish.def"
};

static uint32_t
bf_f(const struct blowfish *b, uint32_t x)
{
	return ((b->s[0][x >> 24] + b->s[1][x >> 16 & 0xff]) ^ b->s[2][x >> 8 & 0xff]) + b->s[3][x & 0xff];
}

static void
bf_encipher(const struct blowfish *b, uint32_t *left, uint32_t *right)
{
	uint32_t l = *left ^ b->p[0], r = *right;

	for (int i = 1; i < SUBKEYS - 1; i += 2) {
		r ^= bf_f(b, l) ^ b->p[i];
		l ^= bf_f(b, r) ^ b->p[i + 1];
	}
	*left = r ^ b->p[SUBKEYS - 1];
	*right = l;
}

/* The next word of a text that is read in a circle, big endian. */
static uint32_t
circle_word(const uint8_t data[DIGEST], size_t *at)
{
	uint32_t w = 0;

	for (int i = 0; i < 4; i++) {
		w = w << 8 | data[*at];
		*at = (*at + 1) % DIGEST;
	}
	return w;
}

/* Mix a key into the state; data (may be NULL) is mixed into what is enciphered. */
static void
bf_expand(struct blowfish *b, const uint8_t *data, const uint8_t key[DIGEST])
{
	uint32_t l = 0, r = 0, *word = b->p;
	size_t k = 0, d = 0;

	for (int i = 0; i < SUBKEYS; i++)
		b->p[i] ^= circle_word(key, &k);
	for (int i = 0; i < SUBKEYS + 4 * SBOX; i += 2) {
		if (i == SUBKEYS)
			word = b->s[0];
		if (data != NULL) {
			l ^= circle_word(data, &d);
			r ^= circle_word(data, &d);
		}
		bf_encipher(b, &l, &r);
		*word++ = l;
		*word++ = r;
	}
}

/* One bcrypt hash of w->pass and w->salt into w->last. */
static void
bcrypt_hash(struct work *w)
{
	static const char fixed[HASH + 1] = "OxychromaticBlowfishSwatDynamite";

	memcpy(w->bf.p, pi_words, sizeof(w->bf.p));
	memcpy(w->bf.s, pi_words + SUBKEYS, sizeof(w->bf.s));
	bf_expand(&w->bf, w->salt, w->pass);
	for (int i = 0; i < 64; i++) {
		bf_expand(&w->bf, NULL, w->salt);
		bf_expand(&w->bf, NULL, w->pass);
	}
	for (size_t i = 0; i < HASH / 4; i++)
		w->text[i] = (uint32_t)(uint8_t)fixed[4 * i] << 24 | (uint32_t)(uint8_t)fixed[4 * i + 1] << 16 |
		    (uint32_t)(uint8_t)fixed[4 * i + 2] << 8 | (uint8_t)fixed[4 * i + 3];
	for (int i = 0; i < 64; i++)
		for (size_t k = 0; k < HASH / 4; k += 2)
			bf_encipher(&w->bf, &w->text[k], &w->text[k + 1]);
	for (size_t i = 0; i < HASH; i++)
		w->last[i] = (uint8_t)(w->text[i / 4] >> 8 * (i % 4));
}

enum sp_err
sp_bcrypt_pbkdf(struct sp_view passphrase, struct sp_view salt, uint32_t rounds, size_t n, struct sp_secret *ret)
{
	size_t blocks = (n + HASH - 1) / HASH;
	uint8_t counted[SP_BCRYPT_SALT_MAX + 4];
	sp_auto_secret out = { 0 }, mem = { 0 };
	struct work *w;
	enum sp_err r;

	if (passphrase.len == 0 || salt.len == 0 || salt.len > SP_BCRYPT_SALT_MAX || rounds == 0 || rounds > SP_BCRYPT_ROUNDS_MAX ||
	    n == 0 || n > SP_BCRYPT_KEY_MAX)
		return SP_EINVAL;
	if ((r = sp_secret_alloc(n, &out)) != SP_OK || (r = sp_secret_alloc(sizeof(*w), &mem)) != SP_OK)
		return r;
	w = (struct work *)(void *)mem.p;
	crypto_hash_sha512(w->pass, passphrase.p, passphrase.len);
	memcpy(counted, salt.p, salt.len);
	for (size_t block = 1; block <= blocks; block++) {
		for (int i = 0; i < 4; i++)
			counted[salt.len + (size_t)i] = (uint8_t)(block >> (24 - 8 * i));
		crypto_hash_sha512(w->salt, counted, salt.len + 4);
		bcrypt_hash(w);
		memcpy(w->sum, w->last, HASH);
		for (uint32_t i = 1; i < rounds; i++) {
			crypto_hash_sha512(w->salt, w->last, HASH);
			bcrypt_hash(w);
			for (size_t k = 0; k < HASH; k++)
				w->sum[k] ^= w->last[k];
		}
		/* Not one block behind the other: the bytes of each are spread over the whole key. */
		for (size_t i = 0; i < HASH && i * blocks + block - 1 < n; i++)
			out.p[i * blocks + block - 1] = w->sum[i];
	}
	*ret = sp_secret_steal(&out);
	return SP_OK;
}
