/* src/courier/deliver.c - hands the items of the outbox to mail and webhooks, each receiver at its own pace. Process: courier; the
 * loop reads files and keeps places, two threads talk to servers (post.h).
 *
 *	outbox file, from the receiver's place on -> up to a page of items -> post -> place
 *
 * A place is a day's file and an offset in it, as one number (cursor.h). A receiver that was never heard of begins at the end of the
 * outbox: alarms of before are not news. What a receiver does not take is tried again for GIVE_UP_US and then left behind, which
 * is logged: one item that a server will never accept may not hold back those after it.
 * Passwords and keys: control passes on what the vault sealed to a one-time key of ours; they are kept for as long as the process
 * lives, so that it can still be told that the vault is sealed.
 * Invariants: (1) one post per receiver at a time, in order. (2) The place moves only after the receiver took the items: what a
 * crash interrupts comes twice, with the same id. (3) Only what is durable in the outbox leaves. (4) A file is removed only
 * when the place of every receiver on disk is behind it. */
#include "courier/deliver.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/pool.h"
#include "courier/cursor.h"
#include "courier/mailtext.h"
#include "courier/post.h"
#include "crypto/sealbox.h"

#define TICK_US		(250 * SP_US_PER_MS)
#define THREADS		2u
#define RECEIVERS	5u			/* mail, and four webhooks */
#define PAGE		50u			/* items of one mail */
#define PAGE_BYTES	((size_t)256 * 1024)
#define LINE_BYTES	((size_t)1 << 20)	/* of one item; more than the outbox writes */
#define BACK_OFF_US	(1 * SP_US_PER_S)
#define BACK_OFF_MAX_US	(60 * SP_US_PER_S)
#define GIVE_UP_US	(3 * 86400 * SP_US_PER_S)
#define PRUNE_US	(3600 * SP_US_PER_S)
#define SECRET_AGAIN_US	(5 * SP_US_PER_S)
#define DAY_US		(86400 * (int64_t)SP_US_PER_S)
#define OFFSET_BITS	40

enum secret_name { SECRET_MAIL, SECRET_WEBHOOK, SECRETS };
static const char *const secret_names[SECRETS] = { "mail", "webhook" };
static const char *const secret_missing[SECRETS] = { "there is no password for mail_user yet: run 'sallyport mail password'",
	"there is no key to sign with yet: run 'sallyport webhook secret'" };

struct kept {				/* a password or key */
	struct sp_secret	 value, sk;
	uint8_t			 pk[SP_SEALBOX_KEY];
	int			 is_there;
	uint64_t		 again_us;	/* when to ask control (again) */
	char			 text[160];	/* why it is not there */
};
struct item {				/* owned texts */
	char		*id, *kind, *created, *payload, *text;
};
struct receiver {
	struct sp_job		 job;
	struct deliveries	*all;
	int			 used, is_mail, is_posting, is_over;	/* over: no longer wanted once the post is done */
	char			 name[SP_CONF_TEXT + 16];
	uint64_t		 place, saved;	/* saved: on disk */
	uint64_t		 back_off_us, not_before_us, failing_since_us;
	char			 text[POST_TEXT];
	struct sp_uuid		 last;
	/* of the post under way */
	struct item		 items[PAGE];
	size_t			 items_n;
	uint64_t		 next_place;
	struct sp_config	 conf;		/* as it was when the post began */
	struct sp_secret	 secret;
	enum sp_err		 err;
	char			 why[POST_TEXT];
	/* what control was told */
	int			 told, told_away;
	struct sp_uuid		 told_last;
	char			 told_text[POST_TEXT];
};
struct deliveries {
	struct sp_child		*child;
	struct sp_chan		*control;
	struct sp_outbox	*outbox;
	struct sp_pool		*pool;
	struct sp_timer		*tick;
	uint64_t		 prune_us;	/* the next look at old files */
	int			 dirfd;
	struct kept		 kept[SECRETS];
	struct receiver		 of[RECEIVERS];
};

/* ---- places ---- */

static uint64_t
place_of(const char *date, uint64_t offset)
{
	int64_t us = 0;

	if (sp_rfc3339_parse(date, &us) != SP_OK || us < 0)
		return 0;
	return (uint64_t)(us / DAY_US) << OFFSET_BITS | offset;
}

static uint64_t
place_offset(uint64_t place)
{
	return place & ((UINT64_C(1) << OFFSET_BITS) - 1);
}

static void
place_file(uint64_t place, char dst[SP_OUTBOX_NAME])
{
	char t[SP_RFC3339_SIZE];

	sp_snprintf(dst, SP_OUTBOX_NAME, "%.10s.jsonl", sp_rfc3339((int64_t)(place >> OFFSET_BITS) * DAY_US, t, sizeof(t)));
}

/* The first file after this one, as its place; or the last of all (newest), 0: there is none. */
static uint64_t
place_next_file(int dirfd, uint64_t place, int newest)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	uint64_t best = 0;

	if (d == NULL) {
		sp_closep(&fd);
		return 0;
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		char date[11];
		uint64_t p;

		if (!sp_outbox_is_file(e->d_name))
			continue;
		sp_snprintf(date, sizeof(date), "%.10s", e->d_name);
		p = place_of(date, 0);
		if (newest ? p > best : p >> OFFSET_BITS > place >> OFFSET_BITS && (best == 0 || p < best))
			best = p;
	}
	closedir(d);
	return best;
}

static uint64_t
place_end(int dirfd)
{
	uint64_t p = place_next_file(dirfd, 0, 1);
	sp_auto(sp_closep) int fd = -1;
	char name[SP_OUTBOX_NAME];
	off_t size;

	if (p == 0)
		return 0;
	place_file(p, name);
	if ((fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) == -1 || (size = lseek(fd, 0, SEEK_END)) < 0)
		return p;
	return p | (uint64_t)size;
}

/* ---- items ---- */

static void
items_drop(struct receiver *o)
{
	for (size_t i = 0; i < o->items_n; i++) {
		struct item *it = &o->items[i];

		free(it->id);
		free(it->kind);
		free(it->created);
		free(it->payload);
		free(it->text);
	}
	o->items_n = 0;
	sp_secret_release(&o->secret);
}

static char *
copy_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return strdup(s != NULL ? s : "");
}

/* Is it for this receiver? Tests are for one of the two kinds, everything else for both. */
static int
item_is_for(const struct receiver *o, const char *kind)
{
	if (strncmp(kind, "test.", 5) != 0)
		return 1;
	return strcmp(kind + 5, o->is_mail ? "mail" : "webhook") == 0;
}

static enum sp_err
item_add(struct receiver *o, const char *line, size_t n)
{
	struct item *it = &o->items[o->items_n];
	json_t *j = json_loadb(line, n, 0, NULL), *p;
	const char *kind = json_string_value(json_object_get(j, "kind"));

	if (kind == NULL) {
		sp_error("a line of the outbox cannot be read: it is left out");
		json_decref(j);
		return SP_OK;
	}
	if (!item_is_for(o, kind)) {
		json_decref(j);
		return SP_OK;
	}
	p = json_loads(json_string_value(json_object_get(j, "payload")) != NULL ? json_string_value(json_object_get(j, "payload")) : "", 0, NULL);
	*it = (struct item){ copy_of(j, "id"), copy_of(j, "kind"), copy_of(j, "created"), copy_of(j, "payload"), copy_of(p, "text") };
	o->items_n++;		/* what is half there is dropped with the rest */
	json_decref(p);
	json_decref(j);
	return it->id != NULL && it->kind != NULL && it->created != NULL && it->payload != NULL && it->text != NULL ? SP_OK : SP_ENOMEM;
}

/* Lines from the place on, at most a page of them; for a webhook one. SP_ENOENT: nothing new. */
static enum sp_err
items_read(struct receiver *o)
{
	sp_auto(sp_closep) int fd = -1;
	sp_auto(sp_freep) char *buf = malloc(LINE_BYTES);
	size_t most = o->is_mail ? PAGE : 1, at = 0, got;
	char name[SP_OUTBOX_NAME], *nl;
	uint64_t next;
	enum sp_err r = SP_OK;
	ssize_t n;

	if (buf == NULL)
		return SP_ENOMEM;
	place_file(o->place, name);
	if (o->place != 0 && (fd = openat(o->all->dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) == -1 && errno != ENOENT)
		return sp_err_errno(errno);
	n = fd != -1 ? pread(fd, buf, LINE_BYTES, (off_t)place_offset(o->place)) : 0;
	if (n < 0)
		return SP_EIO;
	got = (size_t)n;
	while (o->items_n < most && at < PAGE_BYTES && r == SP_OK && (nl = memchr(buf + at, '\n', got - at)) != NULL) {
		r = item_add(o, buf + at, (size_t)(nl - buf) - at);
		at = (size_t)(nl - buf) + 1;
	}
	o->next_place = o->place + at;
	if (r != SP_OK || at > 0)
		return r;
	/* The end of this file: go on in the next one, if there is. */
	if ((next = place_next_file(o->all->dirfd, o->place, 0)) == 0)
		return SP_ENOENT;
	o->next_place = next;
	return SP_OK;
}

/* ---- secrets ---- */

static void
kept_ask(struct deliveries *a, enum secret_name which, uint64_t now_us)
{
	Sallyport__DeliverySecretAsk m = SALLYPORT__DELIVERY_SECRET_ASK__INIT;
	struct kept *k = &a->kept[which];

	if (k->is_there || a->control == NULL || now_us < k->again_us)
		return;
	k->again_us = now_us + SECRET_AGAIN_US;
	sp_secret_release(&k->sk);
	if (sp_sealbox_keypair(k->pk, &k->sk) != SP_OK)
		return;
	m.name = (char *)(uintptr_t)secret_names[which];
	m.client_key = (ProtobufCBinaryData){ sizeof(k->pk), k->pk };
	if (sp_chan_send(a->control, SP_MSG_DELIVERY_SECRET_ASK, 0, &m, NULL, 0) != SP_OK)
		sp_warn("control does not take a question");
}

void
deliveries_secret(struct deliveries *a, const Sallyport__DeliverySecret *m)
{
	static const struct sp_seal_context ctx = { .kind = "reveal" };
	enum secret_name which = strcmp(m->name, secret_names[SECRET_MAIL]) == 0 ? SECRET_MAIL : SECRET_WEBHOOK;
	struct kept *k = &a->kept[which];
	sp_auto_secret plain = { 0 };

	k->text[0] = '\0';
	if (m->err == SP_ESTATE) {		/* changed */
		k->is_there = 0;
		k->again_us = 0;
		for (size_t i = 0; i < RECEIVERS; i++)
			a->of[i].not_before_us = 0;
		return;
	}
	if (m->err != SP_OK) {
		(void)sp_strlcpy(k->text, m->err == SP_ENOENT ? secret_missing[which] : m->text, sizeof(k->text));
		return;
	}
	/* With a NUL behind it, for who wants a string. */
	if (k->sk.len == 0 || sp_sealbox_open(k->pk, &k->sk, &ctx, (struct sp_view){ m->sealed.data, m->sealed.len }, &plain) != SP_OK ||
	    plain.len == 0) {
		(void)sp_strlcpy(k->text, "the vault's answer cannot be opened", sizeof(k->text));
		return;
	}
	sp_secret_release(&k->value);
	if (sp_secret_alloc(plain.len + 1, &k->value) != SP_OK)
		return;
	memcpy(k->value.p, plain.p, plain.len);
	k->value.p[plain.len] = '\0';
	k->value.len = plain.len;
	sp_secret_release(&k->sk);
	k->is_there = 1;
}

static enum sp_err
secret_copy(const struct sp_secret *from, struct sp_secret *ret)
{
	enum sp_err r = sp_secret_alloc(from->len + 1, ret);

	if (r != SP_OK)
		return r;
	memcpy(ret->p, from->p, from->len);
	ret->p[from->len] = '\0';
	ret->len = from->len;
	return SP_OK;
}

/* What the post needs, or why there is none. 1: it may begin. */
static int
secret_ready(struct receiver *o, uint64_t now_us)
{
	enum secret_name which = o->is_mail ? SECRET_MAIL : SECRET_WEBHOOK;
	struct kept *k = &o->all->kept[which];

	if (o->is_mail && o->all->child->conf.mail_user[0] == '\0')
		return 1;
	if (!k->is_there) {
		kept_ask(o->all, which, now_us);
		if (*k->text != '\0')
			(void)sp_strlcpy(o->text, k->text, sizeof(o->text));
		return 0;
	}
	return secret_copy(&k->value, &o->secret) == SP_OK;
}

/* ---- a post ---- */

static void
post_mail_work(struct receiver *o)
{
	sp_auto(sp_buf_release) struct sp_buf text = { .max = 4 << 20 };
	const struct sp_config *c = &o->conf;
	struct mail_item items[PAGE];
	const char *to[SP_CONF_LIST];
	struct mail m = { .from = c->mail_from, .to = to, .to_n = c->mail_to.n, .bastion = c->bastion_name, .wall_us = sp_wall_us(),
	    .items = items, .items_n = o->items_n };
	struct post_mail p = { .server = c->mail_server, .user = c->mail_user, .from = c->mail_from, .ca = c->delivery_ca, .to = to,
	    .to_n = c->mail_to.n, .tls = c->mail_tls != 0, .password = &o->secret };

	for (size_t i = 0; i < c->mail_to.n; i++)
		to[i] = c->mail_to.v[i];
	for (size_t i = 0; i < o->items_n; i++)
		items[i] = (struct mail_item){ o->items[i].id, o->items[i].created, o->items[i].text, o->items[i].payload };
	if ((o->err = mail_text(&m, &text)) != SP_OK) {
		(void)sp_strlcpy(o->why, sp_err_text(o->err), sizeof(o->why));
		return;
	}
	p.message = (struct sp_view){ text.p, text.len };
	o->err = post_mail(&p, o->why);
}

static void
post_work(struct sp_job *j)
{
	struct receiver *o = sp_container(j, struct receiver, job);
	struct post_hook h = { .url = o->name, .ca = o->conf.delivery_ca, .key = &o->secret, .wall_us = sp_wall_us() };

	o->why[0] = '\0';
	if (o->is_mail) {
		post_mail_work(o);
		return;
	}
	h.kind = o->items[0].kind;
	h.id = o->items[0].id;
	h.body = (struct sp_view){ (const uint8_t *)o->items[0].payload, strlen(o->items[0].payload) };
	o->err = post_hook(&h, o->why);
}

static void
receiver_move(struct receiver *o)
{
	enum sp_err r = cursor_write(o->all->dirfd, o->name, o->next_place);

	o->place = o->next_place;
	if (r == SP_OK)
		o->saved = o->place;
	else
		sp_error("the place of %s in the outbox cannot be kept: %s", o->name, sp_err_text(r));
}

static void
post_taken(struct receiver *o)
{
	if (o->failing_since_us != 0)
		sp_info("%s takes messages again", o->name);
	if (sp_uuid_parse(o->items[o->items_n - 1].id, &o->last) != SP_OK)
		o->last = (struct sp_uuid){ 0 };
	o->failing_since_us = o->back_off_us = o->not_before_us = 0;
	o->text[0] = '\0';
	receiver_move(o);
}

static void
post_failed(struct receiver *o, uint64_t now_us)
{
	if (o->failing_since_us == 0) {
		o->failing_since_us = now_us;
		sp_warn("%s: %s. It is tried again", o->name, o->why);
	}
	if (o->err == SP_EAUTH)
		o->all->kept[SECRET_MAIL].is_there = 0;		/* perhaps there is a new one */
	(void)sp_strlcpy(o->text, o->why, sizeof(o->text));
	o->back_off_us = o->back_off_us == 0 ? BACK_OFF_US : o->back_off_us * 2 < BACK_OFF_MAX_US ? o->back_off_us * 2 : BACK_OFF_MAX_US;
	o->not_before_us = now_us + o->back_off_us;
	if (now_us - o->failing_since_us < GIVE_UP_US)
		return;
	sp_error("%s did not take %zu messages from %s on for three days: they are left behind", o->name, o->items_n, o->items[0].id);
	o->failing_since_us = now_us;
	receiver_move(o);
}

static void
post_done(struct sp_job *j)
{
	struct receiver *o = sp_container(j, struct receiver, job);

	o->is_posting = 0;
	if (o->err == SP_OK)
		post_taken(o);
	else
		post_failed(o, sp_now_us());
	items_drop(o);
	if (o->is_over)
		o->used = 0;
	sp_timer_in(o->all->tick, 0);
}

static void
receiver_go(struct receiver *o, uint64_t now_us)
{
	enum sp_err r;

	if (o->is_posting || now_us < o->not_before_us || sp_outbox_is_dirty(o->all->outbox))
		return;
	r = items_read(o);
	if (r == SP_OK && o->items_n == 0) {		/* nothing for this one in what was read */
		receiver_move(o);
		return;
	}
	if (r == SP_OK && secret_ready(o, now_us)) {
		o->conf = o->all->child->conf;
		o->job = (struct sp_job){ .work = post_work, .done = post_done };
		if (sp_pool_submit(o->all->pool, &o->job) == SP_OK) {
			o->is_posting = 1;
			return;
		}
	}
	if (r != SP_OK && r != SP_ENOENT)
		sp_error("the outbox cannot be read: %s", sp_err_text(r));
	items_drop(o);
}

static void
receiver_tell(struct receiver *o)
{
	Sallyport__DeliveryState m = SALLYPORT__DELIVERY_STATE__INIT;
	int away = *o->text != '\0';
	uint64_t end;

	if (o->all->control == NULL || (o->told && o->told_away == away && sp_uuid_equal(&o->told_last, &o->last) &&
	    strcmp(o->told_text, o->text) == 0))
		return;
	end = place_end(o->all->dirfd);
	m.dest = o->name;
	m.last = (ProtobufCBinaryData){ SP_UUID_LEN, o->last.b };
	m.waiting = end != o->place;
	m.away = away;
	m.text = o->text;
	if (sp_chan_send(o->all->control, SP_MSG_DELIVERY_STATE, 0, &m, NULL, 0) != SP_OK)
		return;
	o->told = 1;
	o->told_away = away;
	o->told_last = o->last;
	(void)sp_strlcpy(o->told_text, o->text, sizeof(o->told_text));
}

/* Files that no receiver will read again. Without a receiver age alone counts: one that comes begins at the end. */
static void
prune(struct deliveries *a)
{
	char before[SP_OUTBOX_NAME] = "9999-99-99.jsonl";
	uint64_t least = UINT64_MAX;
	enum sp_err r;
	size_t n = 0;

	for (size_t i = 0; i < RECEIVERS; i++)
		if (a->of[i].used && a->of[i].saved < least)
			least = a->of[i].saved;
	if (least != UINT64_MAX)
		place_file(least, before);
	if ((r = sp_outbox_prune(a->outbox, before, sp_wall_us(), &n)) != SP_OK)
		sp_error("old files of the outbox cannot be removed: %s", sp_err_text(r));
	else if (n > 0)
		sp_info("%zu old file%s of the outbox removed", n, n > 1 ? "s" : "");
}

static void
on_tick(struct sp_timer *t, void *arg)
{
	struct deliveries *a = arg;
	uint64_t now = sp_now_us();

	if (now >= a->prune_us) {
		a->prune_us = now + PRUNE_US;
		prune(a);
	}

	sp_timer_in(t, TICK_US);
	for (size_t i = 0; i < RECEIVERS; i++)
		if (a->of[i].used && !a->of[i].is_over) {
			receiver_go(&a->of[i], now);
			receiver_tell(&a->of[i]);
		}
}

/* ---- which receivers there are ---- */

static void
receiver_start(struct deliveries *a, const char *name, int is_mail)
{
	struct receiver *o = NULL;
	enum sp_err r;

	for (size_t i = 0; i < RECEIVERS && o == NULL; i++)
		if (!a->of[i].used)
			o = &a->of[i];
	if (o == NULL)
		return;
	*o = (struct receiver){ .all = a, .is_mail = is_mail };
	(void)sp_strlcpy(o->name, name, sizeof(o->name));
	if ((r = cursor_read(a->dirfd, name, &o->place)) != SP_OK) {
		if (r != SP_ENOENT)
			sp_error("the place of %s in the outbox cannot be read (%s): it begins at the end", name, sp_err_text(r));
		o->next_place = place_end(a->dirfd);
		receiver_move(o);
	} else {
		o->saved = o->place;
	}
	o->used = 1;
}

static int
receiver_keep(struct deliveries *a, const char *name)
{
	for (size_t i = 0; i < RECEIVERS; i++)
		if (a->of[i].used && strcmp(a->of[i].name, name) == 0) {
			a->of[i].is_over = 0;
			return 1;
		}
	return 0;
}

void
deliveries_reload(struct deliveries *a)
{
	const struct sp_config *c = &a->child->conf;

	for (size_t i = 0; i < RECEIVERS; i++)
		a->of[i].is_over = 1;
	if (c->mail_server[0] != '\0' && !receiver_keep(a, "mail"))
		receiver_start(a, "mail", 1);
	for (size_t i = 0; i < c->webhook.n; i++)
		if (!receiver_keep(a, c->webhook.v[i]))
			receiver_start(a, c->webhook.v[i], 0);
	for (size_t i = 0; i < RECEIVERS; i++) {
		if (a->of[i].is_over && !a->of[i].is_posting)
			a->of[i].used = 0;
		a->of[i].not_before_us = 0;
	}
	sp_timer_in(a->tick, 0);
}

void
deliveries_retry(struct deliveries *a)
{
	for (size_t i = 0; i < RECEIVERS; i++)
		a->of[i].not_before_us = 0;
	for (size_t i = 0; i < SECRETS; i++)
		a->kept[i].again_us = 0;
}

void
deliveries_control(struct deliveries *a, struct sp_chan *control)
{
	a->control = control;
	for (size_t i = 0; i < RECEIVERS; i++)
		a->of[i].told = 0;
	for (size_t i = 0; i < SECRETS; i++)
		a->kept[i].again_us = 0;
}

enum sp_err
deliveries_new(struct sp_child *child, int dirfd, struct sp_outbox *outbox, struct deliveries **ret)
{
	struct deliveries *a = calloc(1, sizeof(*a));
	enum sp_err r;

	if (a == NULL)
		return SP_ENOMEM;
	a->child = child;
	a->dirfd = dirfd;
	a->outbox = outbox;
	if ((r = sp_timer_new(child->loop, on_tick, a, &a->tick)) != SP_OK ||
	    (r = sp_pool_new(child->loop, THREADS, RECEIVERS, &a->pool)) != SP_OK) {
		sp_timer_free(a->tick);
		free(a);
		return r;
	}
	deliveries_reload(a);
	*ret = a;
	return SP_OK;
}

void
deliveries_free(struct deliveries *a)
{
	if (a == NULL)
		return;
	sp_pool_free(a->pool);		/* delivers what was being sent */
	for (size_t i = 0; i < RECEIVERS; i++)
		items_drop(&a->of[i]);
	for (size_t i = 0; i < SECRETS; i++) {
		sp_secret_release(&a->kept[i].value);
		sp_secret_release(&a->kept[i].sk);
	}
	sp_timer_free(a->tick);
	free(a);
}
