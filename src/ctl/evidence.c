/* src/ctl/evidence.c - sallyport evidence: the audit log as something that others can check. */
#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "ctl/evidence.h"
#include "ctl/via.h"
#include "ctl/nouns.h"

/* ---- verify ---- */

static enum sp_err
verify_session(struct ctl *c, const struct evlog *l, const char *id, json_t *o)
{
	struct evsession s;
	enum sp_err r = evsession_check(c, l, id, &s);

	if (r == SP_OK) {
		json_object_set_new(o, "session", json_string(id));
		json_object_set_new(o, "session_entries", json_integer((json_int_t)s.n));
		json_object_set_new(o, "waiting", json_integer((json_int_t)s.waiting));
		json_object_set_new(o, "erased", json_integer(s.erased));
		json_object_set_new(o, "integrity", json_string(!s.has_end ? "live" : s.waiting > 0 ? "waiting" : "signed"));
	}
	evsession_release(&s);
	return r;
}

static enum sp_err
verify_log(struct ctl *c, const struct evlog *l, json_t *o)
{
	const char *session = ctl_local_str(c, "session");
	struct evlog_all all = { 0 };

	CTL_TRY(evlog_check_edge(c, l));
	if (ctl_local_flag(c, "full")) {
		CTL_TRY(evlog_check_all(c, l, &all));
		json_object_set_new(o, "compared", json_integer((json_int_t)all.compared));
		json_object_set_new(o, "erased_values", json_integer((json_int_t)all.erased));
	}
	return session != NULL ? verify_session(c, l, session, o) : SP_OK;
}

static enum sp_err
verify_show(struct ctl *c, const struct evlog *l, const json_t *o)
{
	const char *session = json_string_value(json_object_get(o, "session"));

	if (c->json)
		return ctl_print_json(c, o);
	if (l->own_key)
		ctl_note(c, "The key is the one that lies beside the log: that shows accidents, not forgery. Name your own with --key.");
	for (size_t i = 0; i < json_array_size(l->bridges); i++)
		ctl_note(c, "The log goes on under another name since a ceremony: %s", json_string_value(json_array_get(l->bridges, i)));
	if (session != NULL)
		ctl_note(c, "Session %s: %lld entries are in the signed tree, none of the recorder's is missing: %s.", session,
		    (long long)json_integer_value(json_object_get(o, "session_entries")), json_string_value(json_object_get(o, "integrity")));
	if (ctl_local_flag(c, "full") && json_integer_value(json_object_get(o, "compared")) == 0)
		ctl_note(c, "There are no segments here: only the leaves were looked at, not what they show in clear.");
	if (json_integer_value(json_object_get(o, "erased_values")) > 0)
		ctl_note(c, "%lld values have no opening any more: they were erased.", (long long)json_integer_value(json_object_get(o, "erased_values")));
	ctl_note(c, "%s: %llu entries, %s.", l->head.origin, (unsigned long long)l->head.size, ctl_local_flag(c, "full") ?
	    "each is in the tree that was signed, canonical, and fits its commitments" : "the tree's right edge comes to the root that was signed (--full looks at every entry)");
	return SP_OK;
}

static enum sp_err
verify_run(struct ctl *c)
{
	struct evlog l;
	ctl_auto_json *o = NULL;
	enum sp_err r = evlog_open(c, &l);

	if (r == SP_OK) {
		char hex[2 * SP_TLOG_HASH + 1];

		sp_hex(l.head.root.b, SP_TLOG_HASH, hex);
		o = json_pack("{s:s, s:I, s:s, s:b, s:O}", "origin", l.head.origin, "size", (json_int_t)l.head.size, "root", hex,
		    "own_key", l.own_key, "bridges", l.bridges);
		if ((r = verify_log(c, &l, o)) == SP_OK)
			r = verify_show(c, &l, o);
	}
	evlog_release(&l);
	return r;
}

/* ---- tables ---- */

#define DIR_OPTS \
	{ "dir", CTL_STR, .value = "DIR", .complete = "file", .flags = CTL_LOCAL, \
	  .help = "directory of the log, or a copy of it (default: that of the configuration, or of --socket)" }, \
	{ "key", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, \
	  .help = "the log's public key, as you were given it (default: the one beside the log)" }, \
	{ "config", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, \
	  .help = "configuration of the installation (default /etc/sallyport/sallyport.conf)" }

static const struct ctl_opt verify_opts[] = {
	{ "session", CTL_STR, .value = "ID", .flags = CTL_LOCAL, .help = "look at the entries of this session, too" },
	{ "full", CTL_FLAG, .flags = CTL_LOCAL, .help = "look at every entry and every tile" },
	DIR_OPTS,
	CTL_END
};
static const struct ctl_col status_cols[] = {
	{ "origin", "Origin" },
	{ "key", "Key" },
	{ "entries", "Entries" },
	{ "signed", "Signed" },
	{ "signed_at", "Signed at", CTL_FMT_TIME },
	{ "behind_s", "Behind (s)" },
	{ "text", "Contained" },
	{ NULL }
};
static const struct ctl_opt export_args[] = {
	{ "SESSION", CTL_STR, .flags = CTL_LOCAL, .help = "id of the session" },
	CTL_END
};
static const struct ctl_opt export_opts[] = {
	{ "output", CTL_STR, .value = "DIR", .complete = "file", .flags = CTL_LOCAL | CTL_REQUIRED, .help = "a directory that is made" },
	DIR_OPTS,
	CTL_END
};
static const struct ctl_opt witness_opts[] = {
	{ "state", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL | CTL_REQUIRED,
	  .help = "what this witness remembers: its key and the last head that it saw; made at the first run" },
	{ "key", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL, .help = "first run: the log's public key" },
	{ "name", CTL_STR, .value = "NAME", .flags = CTL_LOCAL, .help = "first run: what the witness is called" },
	CTL_VIA_OPTS,
	{ "other", CTL_STR, .value = "FILE", .complete = "file", .flags = CTL_LOCAL,
	  .help = "a head that another auditor was shown: it must be of the same history" },
	{ "accept-origin", CTL_FLAG, .flags = CTL_LOCAL, .help = "follow the log to a new name, over the bridge that was shown" },
	CTL_END
};
static const struct ctl_opt head_opts[] = {
	{ "from", CTL_INT, .value = "N", .help = "prove that the tree grew out of the one of N entries" },
	CTL_END
};
static const struct ctl_opt cosign_args[] = {
	{ "NOTE", CTL_STR, .param = "note", .help = "the cosigned head in base64" },
	CTL_END
};
static const struct ctl_opt witness_add_args[] = {
	{ "KEY", CTL_STR, .param = "key", .help = "what 'evidence witness' printed at its first run" },
	CTL_END
};
static const struct ctl_opt witness_remove_args[] = {
	{ "NAME", CTL_STR, .param = "name", .help = "name of the witness" },
	CTL_END
};
static const struct ctl_opt origin_opts[] = {
	{ "reason", CTL_STR, .value = "TEXT", .flags = CTL_REQUIRED, .help = "why; it stands in the signed bridge" },
	CTL_END
};
static const struct ctl_opt erase_opts[] = {
	{ "user", CTL_STR, .value = "LOGIN", .complete = "user", .help = "what the log says of this user (of a deleted one: the id)" },
	{ "session", CTL_STR, .value = "ID", .complete = "session", .help = "what it says of this session" },
	{ "entries", CTL_LIST, .value = "N,...", .flags = CTL_LOCAL, .help = "what these entries say, by number" },
	{ "reason", CTL_STR, .value = "TEXT", .flags = CTL_REQUIRED, .help = "who asked for it, on what ground; kept in the log" },
	CTL_END
};

static enum sp_err
erase_fill(struct ctl *c)
{
	const json_t *list = json_object_get(c->local, "entries");
	json_t *a, *v;
	size_t i;

	if (list == NULL)
		return SP_OK;
	a = json_array();
	json_array_foreach(list, i, v) {
		char *end;
		long long n = strtoll(json_string_value(v), &end, 10);

		if (*end != '\0' || n < 1) {
			json_decref(a);
			return ctl_fail(c, SP_EUSAGE, "--entries: \"%s\" is not the number of an entry", json_string_value(v));
		}
		json_array_append_new(a, json_integer(n));
	}
	return json_object_set_new(c->params, "entries", a) == 0 ? SP_OK : ctl_fail(c, SP_ENOMEM, "out of memory");
}

static const struct ctl_cmd evidence_cmds[] = {
	{ "status", "say how far the audit log is signed", .method = "evidence.status", .show = CTL_OBJECT, .cols = status_cols },
	{ "key", "print the public key that checks the log", .method = "evidence.status", .done = "{key}",
	  .more = "Keep it where who runs the bastion cannot change it: everything else can be checked with it." },
	{ "verify", "check the audit log against its signed head", .opts = verify_opts, .run = verify_run,
	  .more = "Needs the log's files and its public key, nothing else: neither control nor the database. The exit status says whether "
	      "all is as it was signed." },
	{ "export", "write one session's evidence to a directory, with its proof", .args = export_args, .opts = export_opts, .run = export_run,
	  .more = "The entries, the recording as it lies there, a proof (C2SP tlog-proof) for each entry, the signed head and the key." },
	{ "witness", "keep the log's head elsewhere, check that it only grows, and cosign it", .opts = witness_opts, .run = witness_run,
	  .more = "For an auditor's own machine, from cron. A log that went back, was forked or goes on under another name ends it with "
	      "exit status 1, and nothing is cosigned. Register the key that the first run prints with 'evidence witness-add'." },
	{ "witness-add", "register a witness", .args = witness_add_args, .method = "evidence.witness.add", .done = "Registered. It is an alarm when "
	  "it stays away (witness_late)." },
	{ "witness-remove", "forget a witness", .args = witness_remove_args, .method = "evidence.witness.remove", .done = "Removed {name}." },
	{ "head", "print the signed head", .opts = head_opts, .method = "evidence.head", .show = CTL_OBJECT },
	{ "cosign", "hand in a head that a witness cosigned", .args = cosign_args, .method = "evidence.cosign", .done = "Taken." },
	{ "erase", "destroy what the log says in clear of a person, a session or entries; every proof still holds", .opts = erase_opts,
	  .fill = erase_fill, .method = "evidence.erase", .done = "Noted and begun. The entry evidence.erased says when it is done, and of how many values.",
	  .more = "For the root of the machine. Salts and values of personal members go from the log and its index, and nothing brings them back; the leaves "
	      "of the tree stay. Not reached: recordings, kept files, backups, copies that were sent elsewhere, free space of the disk (docs/evidence.md)." },
	{ "new-origin", "go on under a new name, after the log was lost or restored", .opts = origin_opts, .method = "evidence.new_origin",
	  .done = "The log goes on as {origin}. Tell the auditors: the vault signs a bridge from the old name.",
	  .more = "For a log that is not what the vault signed, and that cannot be put right. The vault signs for the old name never again." },
	{ NULL }
};
const struct ctl_noun ctl_noun_evidence = { "evidence", "the audit log as evidence", evidence_cmds };
