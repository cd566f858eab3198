/* src/control/rowkey.c - see rowkey.h. Process: control; state under a mutex, shared by the loop and the lanes.
 *
 * Modes of the store, by what the vault said last: nothing yet, or sealed and never seen open: SEALED. Not initialised:
 * OFF (there is no key in the world; vault.init accepts what is there). Open: ON. A vault that is sealed again keeps us ON:
 * sealing takes credentials away, not the means to see that a row was changed; the key opens no secret.
 * A finding is raised once in ROWKEY_AGAIN_US for each row, however often it is read. */
#include "control/rowkey.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "crypto/hash.h"
#include "crypto/secret.h"

#define ROWKEY_AGAIN_US	(600 * SP_US_PER_S)
#define ROWKEY_QUEUE	64	/* found and not raised yet: the loop comes by every tick */
#define ROWKEY_SEEN	256	/* raised lately */

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static struct {
	enum sp_store_mac_mode	 mode;
	struct sp_secret	 key;
	uint64_t		 gen;		/* raised with each change; 0: the vault has not spoken */
	struct sp_store_finding	 found[ROWKEY_QUEUE];
	size_t			 n, lost;
} shared = { .mode = SP_STORE_MAC_SEALED };
static struct {			/* the loop's: raised and not mended; when the ring is full, the oldest goes */
	struct sp_store_finding	f;
	uint64_t		at_us;	/* raised; 0: empty */
	uint64_t		last_us;	/* found, raised again or not */
} seen[ROWKEY_SEEN];
static size_t seen_next;

static enum sp_err
state_take(Sallyport__VaultState *s)
{
	struct sp_secret key = { 0 };
	enum sp_err r = SP_OK;

	if (s->row_mac_key.len == SP_STORE_MAC_KEY) {
		if (sp_secret_view(&shared.key).len == SP_STORE_MAC_KEY &&
		    sp_ct_equal(shared.key.p, s->row_mac_key.data, SP_STORE_MAC_KEY))
			return SP_OK;
		if ((r = sp_secret_from(s->row_mac_key.data, SP_STORE_MAC_KEY, &key)) != SP_OK)
			return r;
		sp_secret_move(&shared.key, &key);
		shared.mode = SP_STORE_MAC_ON;
		shared.gen++;
	} else if (shared.mode != SP_STORE_MAC_ON) {
		/* A key file that is there and cannot be used (text) is no reason to believe the rows. */
		shared.mode = !s->initialised && *s->text == '\0' ? SP_STORE_MAC_OFF : SP_STORE_MAC_SEALED;
		shared.gen++;
	}
	return r;
}

void
rowkey_state(Sallyport__VaultState *s)
{
	enum sp_err r;

	pthread_mutex_lock(&mu);
	r = state_take(s);
	pthread_mutex_unlock(&mu);
	if (r != SP_OK)
		sp_error("the key of the row MACs cannot be kept: %s", sp_err_text(r));
	if (s->row_mac_key.data != NULL)
		explicit_bzero(s->row_mac_key.data, s->row_mac_key.len);
}

int
rowkey_known(void)
{
	int known;

	pthread_mutex_lock(&mu);
	known = shared.gen > 0;
	pthread_mutex_unlock(&mu);
	return known;
}

enum sp_err
rowkey_derive(const char *label, uint8_t ret[SP_SHA256_LEN])
{
	enum sp_err r = SP_ESTATE;

	pthread_mutex_lock(&mu);
	if (shared.mode == SP_STORE_MAC_ON) {
		sp_hmac_sha256(sp_secret_view(&shared.key), (struct sp_view){ (const uint8_t *)label, strlen(label) }, ret);
		r = SP_OK;
	}
	pthread_mutex_unlock(&mu);
	return r;
}

/* A new handle of an unknown vault is SEALED too: generation 0 is never "nothing to do" for it. */
enum sp_err
rowkey_apply(struct sp_store *s, uint64_t *gen)
{
	enum sp_err r = SP_OK;

	pthread_mutex_lock(&mu);
	if (*gen != shared.gen + 1) {
		r = sp_store_mac_set(s, shared.mode, shared.mode == SP_STORE_MAC_ON ? shared.key.p : NULL);
		if (r == SP_OK)
			*gen = shared.gen + 1;
	}
	pthread_mutex_unlock(&mu);
	return r;
}

void
rowkey_found(const struct sp_store_finding *f)
{
	pthread_mutex_lock(&mu);
	if (shared.n < ROWKEY_QUEUE)
		shared.found[shared.n++] = *f;
	else
		shared.lost++;
	pthread_mutex_unlock(&mu);
}

void
rowkey_collect(struct sp_store *s)
{
	struct sp_store_finding f[SP_STORE_FINDINGS_MAX];
	size_t n = sp_store_findings(s, f);

	for (size_t i = 0; i < n; i++)
		rowkey_found(&f[i]);
}

static int
raised_lately(const struct sp_store_finding *f, uint64_t now_us)
{
	size_t at = seen_next;

	for (size_t i = 0; i < ROWKEY_SEEN; i++) {
		if (seen[i].at_us == 0 || strcmp(seen[i].f.id, f->id) != 0 || strcmp(seen[i].f.table, f->table) != 0)
			continue;
		seen[i].last_us = now_us;
		if (now_us - seen[i].at_us < ROWKEY_AGAIN_US)
			return 1;
		at = i;
	}
	seen[at].f = *f;
	seen[at].at_us = seen[at].last_us = now_us;
	if (at == seen_next)
		seen_next = (seen_next + 1) % ROWKEY_SEEN;
	return 0;
}

void
rowkey_mended(const char *table, const char *id)
{
	for (size_t i = 0; i < ROWKEY_SEEN; i++)
		if (strcmp(seen[i].f.id, id) == 0 && strcmp(seen[i].f.table, table) == 0)
			seen[i].at_us = 0;
}

void
rowkey_each(void (*fn)(const struct sp_store_finding *f, void *arg), void *arg)
{
	for (size_t i = 0; i < ROWKEY_SEEN; i++)
		if (seen[i].at_us != 0)
			fn(&seen[i].f, arg);
}

static void
raise_one(struct ctl *c, const struct sp_store_finding *f)
{
	char text[sizeof(*f) + 8];
	json_t *more = json_pack("{s:s, s:s}", "table", f->table, "id", f->id);
	struct audit_entry e = { .kind = "row.tampered", .actor = "system", .result = "refused", .text = text, .more = more };

	sp_snprintf(text, sizeof(text), "%s %s: %s", f->table, f->id, f->what);
	sp_error("a row of the database was changed behind our back: %s", text);
	audit_append(c->audit, &e, NULL, NULL);
	json_decref(more);
}

void
rowkey_tick(struct ctl *c, uint64_t now_us)
{
	struct sp_store_finding f[ROWKEY_QUEUE];
	size_t n, lost;

	pthread_mutex_lock(&mu);
	n = shared.n;
	lost = shared.lost;
	memcpy(f, shared.found, n * sizeof(f[0]));
	shared.n = shared.lost = 0;
	pthread_mutex_unlock(&mu);
	for (size_t i = 0; i < n; i++)
		if (!raised_lately(&f[i], now_us))
			raise_one(c, &f[i]);
	if (lost > 0)
		sp_error("%zu further rows that were changed behind our back are not named: run 'sallyport doctor --rows'", lost);
}

void
rowkey_scan(struct ctl *c, uint64_t began_us, int done)
{
	static uint64_t began;

	if (began_us != 0)
		began = began_us;
	if (!done || began == 0)
		return;
	rowkey_tick(c, sp_now_us());
	for (size_t i = 0; i < ROWKEY_SEEN; i++)
		if (seen[i].last_us < began)
			seen[i].at_us = 0;
}
