/* src/control/hostkey.c - HOSTKEY_ASK: a target showed a key that the session did not have among its pins.
 * A first key is pinned when that is allowed; any other unknown key is refused and is an event. The rows decide, not what
 * the session was told: two sessions that meet a new target at once pin one key. Process: control. */
#include "control/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/zone.h"
#include "crypto/hash.h"
#include "wire/sshkey.h"

struct showing {
	struct ctl_job			 job;
	struct conn			*conn;
	struct target			*target;
	uint32_t			 corr;
	int				 trust_first, pins, same, disabled, pinned;
	int				 proof;		/* nothing is pinned before the proof succeeds */
	size_t				 looked;	/* at so many rows */
	char				 fingerprint[SP_FINGERPRINT_SIZE];
	char				 user[SP_STORE_LOGIN_MAX + 1];
	char				 name[SP_STORE_NAME_MAX + 1];		/* of the asset: the target or a jump server */
	char				 shown[2 * SP_STORE_NAME_MAX + 32];
	struct sp_uuid			 asset_id;
	struct sp_store_host_key	 key;
};

static int
showing_look(const struct sp_store_host_key *k, void *arg)
{
	struct showing *h = arg;

	h->looked++;
	if (k->blob.len == h->key.blob.len && memcmp(k->blob.b, h->key.blob.b, k->blob.len) == 0) {
		if (k->state == SP_STORE_ACTIVE)
			h->same = 1;
		else
			h->disabled = 1;
	}
	if (k->state == SP_STORE_ACTIVE)
		h->pins++;
	return 0;
}

/* In the writer: looking and pinning are one step, so that two first keys cannot both be first. */
static void
showing_work(struct ctl_job *j, struct sp_store *s)
{
	struct showing *h = sp_container(j, struct showing, job);
	struct sp_store_query q = { .of = h->asset_id, .checked = 1 };
	size_t before;
	enum sp_err r;

	do {	/* a disabled key on a later page must be seen too */
		before = h->looked;
		r = sp_store_host_key_list(s, &q, showing_look, h);
		q.offset += SP_STORE_PAGE_MAX;
	} while (r == SP_OK && !h->same && !h->disabled && h->looked - before == SP_STORE_PAGE_MAX);
	if (r == SP_OK && !h->same && !h->disabled && h->pins == 0 && h->trust_first && !h->proof) {
		sp_snprintf(h->key.pinned_by, sizeof(h->key.pinned_by), "first use by %s", h->user);
		h->key.state = SP_STORE_ACTIVE;
		h->key.asset_id = h->asset_id;
		r = sp_store_host_key_add(s, &h->key);
		h->pinned = r == SP_OK;
	}
	j->err = r;
}

static void
showing_reply(struct showing *h, int accept, const char *text)
{
	Sallyport__HostKeyReply r = SALLYPORT__HOST_KEY_REPLY__INIT;

	if (conn_alive(h->conn)) {
		r.session_id = ctl_uuid_bytes(&h->target->row.id);
		r.accept = accept;
		r.text = ctl_str(text);
		conn_send(h->conn, SP_MSG_HOSTKEY_REPLY, h->corr, &r);
	}
	target_unref(h->target);
	conn_unref(h->conn);
	free(h);
}

static void
showing_durable(void *arg, enum sp_err err, uint64_t seq)
{
	struct showing *h = arg;

	(void)seq;
	showing_reply(h, err == SP_OK, err == SP_OK ? "" : "The host key cannot be recorded just now; try again.");
}

static void
showing_log(struct showing *h, const char *kind, const char *result, const char *text, audit_fn *durable)
{
	json_t *more = json_pack("{s:s, s:s}", "fingerprint", h->fingerprint, "type", h->key.type);
	struct audit_entry e = { .kind = kind, .actor = h->conn->login, .result = result, .source = h->conn->source_text,
	    .conn = &h->conn->id, .session = &h->target->row.id, .user = &h->conn->user_id, .asset = &h->asset_id,
	    .object = h->pinned ? &h->key.id : NULL, .text = text, .more = more };

	audit_append(h->conn->ctl->audit, &e, durable, durable != NULL ? h : NULL);
	json_decref(more);
}

/* With the command that pins it, whose line is compared with what the target's own administrator says. A long key has no
 * room in one line: the audit log has the command then. */
static void
showing_unknown(struct showing *h)
{
	struct sp_buf line;
	char text[500], why[SP_SSHKEY_LINE_MAX + 256] = "no key is pinned and first use is not trusted";
	const char *name = h->name;

	sp_buf_init(&line, SP_SSHKEY_LINE_MAX);
	if (sp_sshkey_line_print(NULL, (struct sp_view){ h->key.blob.b, h->key.blob.len }, NULL, &line) == SP_OK)
		sp_snprintf(why, sizeof(why), "no key is pinned and first use is not trusted; sallyport asset hostkey set %s '%s'", name,
		    sp_buf_cstr(&line));
	showing_log(h, "hostkey.unknown", "refused", why, NULL);
	if (line.len == 0 || sp_snprintf(text, sizeof(text), "The host key of %s (%s) is not known; an administrator pins it with: "
	    "sallyport asset hostkey set %s '%s'", h->shown, h->fingerprint, name, sp_buf_cstr(&line)) != 0)
		sp_snprintf(text, sizeof(text), "The host key of %s (%s) is not known; ask an administrator to pin it with the command in "
		    "the audit log.", h->shown, h->fingerprint);
	showing_reply(h, 0, text);
	sp_buf_release(&line);
}

static void
showing_done(struct ctl_job *j)
{
	struct showing *h = sp_container(j, struct showing, job);
	char text[800];

	if (j->err != SP_OK) {
		sp_snprintf(text, sizeof(text), "The host key of %s cannot be checked just now (%s).", h->shown,
		    sp_err_text(j->err));
		showing_reply(h, 0, text);
	} else if (h->same) {
		showing_reply(h, 1, "");
	} else if (h->proof && h->pins == 0 && !h->disabled && h->trust_first && owner_keep_key(h->target, &h->key) == SP_OK) {
		showing_log(h, "hostkey.shown", "ok", "kept for the proof of ownership", showing_durable);
	} else if (h->pinned) {
		showing_log(h, "hostkey.pinned", "ok", "first use", showing_durable);
	} else if (h->disabled) {
		showing_log(h, "hostkey.refused", "refused", "the key is disabled", NULL);
		sp_snprintf(text, sizeof(text), "The host key of %s (%s) was disabled by an administrator.",
		    h->shown, h->fingerprint);
		showing_reply(h, 0, text);
	} else if (h->pins > 0) {
		showing_log(h, "hostkey.mismatch", "refused", "the target shows another key than the pinned one", NULL);
		sp_snprintf(text, sizeof(text), "The host key of %s has changed (now %s): refused. Ask an administrator.",
		    h->shown, h->fingerprint);
		showing_reply(h, 0, text);
	} else {
		showing_unknown(h);
	}
}

void
hostkey_ask(struct conn *cn, uint32_t corr, const Sallyport__HostKeyAsk *q)
{
	struct target *t = target_of(cn, &q->session_id);
	struct sp_view blob = { q->blob.data, q->blob.len };
	const struct zone_hop *jump;
	struct sp_sshkey key;
	struct showing *h;

	if (t == NULL)
		return;
	jump = zone_hop(t, q->hop);
	if ((h = calloc(1, sizeof(*h))) == NULL) {
		conn_kill(cn, NULL, "out of memory", "system");
		return;
	}
	h->conn = conn_ref(cn);
	h->target = target_ref(t);
	h->corr = corr;
	if (q->hop != 0 && jump == NULL) {
		showing_reply(h, 0, "The way to this target has changed; connect again.");
		return;
	}
	if (blob.len > sizeof(h->key.blob.b) || sp_sshkey_decode(blob, &key) != SP_OK) {
		showing_reply(h, 0, "The target's host key is of a kind that is not accepted.");
		return;
	}
	h->asset_id = jump != NULL ? jump->asset_id : t->row.asset_id;
	(void)sp_strlcpy(h->name, jump != NULL ? jump->asset : t->row.asset_name, sizeof(h->name));
	(void)sp_strlcpy(h->shown, h->name, sizeof(h->shown));
	if (jump != NULL)
		(void)zone_hop_name(jump, h->shown, sizeof(h->shown));
	h->proof = t->proof;
	h->trust_first = cn->ctl->child.conf.trust_first_use != 0 && !q->mismatch;
	(void)sp_strlcpy(h->user, cn->login, sizeof(h->user));
	(void)sp_strlcpy(h->key.type, sp_sshkey_type_name(key.type), sizeof(h->key.type));
	sp_sshkey_fingerprint(blob, sp_sha256, h->fingerprint);
	h->key.blob.len = (uint32_t)blob.len;
	memcpy(h->key.blob.b, blob.p, blob.len);
	h->job.work = showing_work;
	h->job.done = showing_done;
	ctl_job_run(cn->ctl, CTL_WRITE, &h->job);
}
