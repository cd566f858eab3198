/* lib/crypto/keyring.c - see keyring.h. */
#include "crypto/keyring.h"

#include <stdlib.h>

#include "crypto/kdf.h"

void
sp_keyring_release(struct sp_keyring *kr)
{
	sp_secret_release(&kr->root);
	sp_secret_release(&kr->base);
	sp_secret_release(&kr->seal_sk);
	sp_secret_release(&kr->terms);
	free(kr->term_no);
	*kr = (struct sp_keyring){ 0 };
}

uint32_t
sp_keyring_term(const struct sp_keyring *kr)
{
	return kr->term_n > 0 ? kr->term_no[kr->term_n - 1] : 0;
}

const uint8_t *
sp_keyring_key(const struct sp_keyring *kr, uint32_t term)
{
	size_t lo = 0, hi = kr->term_n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (kr->term_no[mid] < term)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < kr->term_n && kr->term_no[lo] == term ? kr->terms.p + lo * SP_KEY_LEN : NULL;
}

void
sp_keyring_derive(const struct sp_keyring *kr, const char *label, uint8_t ret[SP_KEY_LEN])
{
	sp_kdf_subkey(kr->base.p, label, (struct sp_view){ 0 }, ret);
}
