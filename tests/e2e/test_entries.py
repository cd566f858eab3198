"""Everything that matters is an entry of the audit log: word by word, on a real installation. What its entry has to say is checked here;
that it is on disk before the act is in the tests of each act."""
import hashlib
import json
import os
import re
import subprocess

import lab as L
from terminal import Terminal


def entries(lab, kind, **more):
    args = [x for k, v in more.items() for x in ("--" + k, v)]
    return lab.ctl("audit", "list", "--kind", kind, "--limit", 1000, *args)


def newest(lab, kind, **more):
    return L.wait_for("an entry " + kind, lambda: entries(lab, kind, **more))[0]


def changes(e):
    """table -> (before, after) of an entry's rows; of the same table the first."""
    out = {}
    for c in e["more"]["changes"]:
        out.setdefault(c["table"], (c.get("before"), c.get("after")))
    return out


def test_logins_and_refusals_with_reasons(lab, me):
    assert me.ssh("true").returncode == 0
    ok = newest(lab, "login.ok")
    assert ok["actor"] == "alice" and ok["source"].startswith("127.0.0.1") and ok["result"] == "ok" and ok["user_id"]
    lab.ctl("user", "disable", "alice")
    try:
        assert me.ssh("true").returncode != 0
        e = L.wait_for("the refusal", lambda: [e for e in entries(lab, "login.failed") if e["actor"] == "alice"])[0]
        assert e["result"] == "refused" and "disabled" in json.dumps(e), e
    finally:
        lab.ctl("user", "enable", "alice")
    r = lab.ssh("nobody-here@" + me.t0, "true", key=me.key)
    assert r.returncode != 0
    L.wait_for("the refusal", lambda: [e for e in entries(lab, "login.failed") if e["actor"] == "nobody-here"])


def test_grants_and_who_changed_them_before_and_after(lab, me):
    lab.ctl("user", "create", "grace", "--full-name", "Grace")
    lab.ctl("grant", "create", "--user", "grace", "--asset", "web1", "--account", "root", "--name", "graces", "--idle", "20m")
    e = newest(lab, "grant.create")
    before, after = changes(e)["grants"]
    assert before is None and after["accounts"] == "root" and after["name"] == "graces" and after["idle_s"] == "1200" and after["effect"]
    assert e["actor"] and after["subject_id"] and "mac" not in after
    lab.ctl("grant", "delete", "graces")
    assert changes(newest(lab, "grant.delete"))["grants"] == (after, None)
    lab.ctl("grant", "create", "--user", "grace", "--asset", "web1", "--account", "root", "--name", "graces2")
    lab.ctl("user", "delete", "grace")          # and the grant with her
    gone = changes(newest(lab, "user.delete"))
    assert gone["users"][0]["login"] == "grace" and gone["users"][1] is None and gone["grants"][0]["name"] == "graces2"


def test_people_groups_assets_accounts_settings_before_and_after(lab, me):
    lab.ctl("user", "create", "henry", "--email", "henry@example.org")
    lab.ctl("user", "update", "henry", "--email", "h@example.org")
    assert changes(newest(lab, "user.update"))["users"] == ({"email": "henry@example.org"}, {"email": "h@example.org"})
    lab.ctl("user", "disable", "henry")
    before, after = changes(newest(lab, "user.disable"))["users"]
    assert before["state"] != after["state"]
    lab.ctl("group", "create", "entries")
    lab.ctl("group", "member", "add", "entries", "--user", "henry")
    e = newest(lab, "group.member.add")
    assert changes(e)["user_edges"] == (None, {"member": "yes"})
    lab.ctl("group", "member", "remove", "entries", "--user", "henry")
    assert changes(newest(lab, "group.member.remove"))["user_edges"] == ({"member": "yes"}, None)
    lab.ctl("asset", "update", "web1", "--remark", "one")
    lab.ctl("asset", "update", "web1", "--remark", "two")
    assert changes(newest(lab, "asset.update"))["assets"] == ({"remark": "one"}, {"remark": "two"})
    lab.ctl("asset", "update", "web1", "--tag", "tier=gold")
    lab.ctl("asset", "update", "web1", "--tag", "tier=lead")
    assert changes(newest(lab, "asset.update"))["asset_tags"] == ({"tier": "gold"}, {"tier": "lead"})
    lab.ctl("settings", "set", "entries.test", "1")
    lab.ctl("settings", "set", "entries.test", "2")
    assert changes(newest(lab, "settings.set"))["settings"] == ({"value": "1"}, {"value": "2"})
    (lab.dir / "pw").write_text("first secret\n")
    lab.ctl("account", "create", "svc@web1", "--password-file", lab.dir / "pw")
    e = newest(lab, "account.create")
    assert changes(e)["accounts"][1]["name"] == "svc" and changes(e)["secrets"][1]["ciphertext"] == "(secret)"
    assert "first secret" not in json.dumps(e)
    r = lab.ctl_run("user", "update", "no-such-user", "--email", "x@example.org")
    assert r.returncode != 0 and "changes" not in (newest(lab, "user.update").get("more") or {})


def test_many_rows_at_once_before_and_after(lab, me):
    f = lab.dir / "people.csv"
    f.write_text("login,full_name\n" + "".join("q%03d,Quentin %d\n" % (i, i) for i in range(150)))
    lab.ctl("import", "users", str(f))
    made = [c for e in entries(lab, "import.changes") for c in e["more"]["changes"]]
    assert {c["after"]["login"] for c in made if c["table"] == "users"} == {"q%03d" % i for i in range(150)}
    f.write_text("login,full_name\nq007,James\n")
    lab.ctl("import", "users", str(f))
    (c,) = newest(lab, "import.changes")["more"]["changes"]
    assert (c["before"], c["after"]) == ({"full_name": "Quentin 7"}, {"full_name": "James"})
    assert newest(lab, "import")["seq"] > newest(lab, "import.changes")["seq"]


def test_a_session_from_start_to_end_with_channels_commands_files_and_secrets(lab, me):
    with Terminal(lab.dir, lab.ssh_argv(me.to0, key=me.key, options=["-tt"])) as t:
        t.wait("$")
        t.line("echo typed in a shell")
        t.wait("\ntyped in a shell")
        L.wait_for("the command", lambda: [e for e in entries(lab, "session.event") if e["more"]["body"].get("text") == "echo typed in a shell"])
        t.line("exit")
        t.status()
    L.wait_for("its end", lambda: not me.live())
    sid = lab.ctl("session", "list")[0]["id"]
    found = sorted(lab.ctl("audit", "list", "--session", sid, "--limit", 1000), key=lambda e: e["seq"])
    kinds = [e["kind"] for e in found]
    # Intent before the act: the request, the secret's use and START stand before the target is logged in to; the result follows.
    up = kinds.index("session.up")
    assert max(map(kinds.index, ("session.request", "credential.use", "session.start"))) < up and kinds[-1] == "session.end", kinds
    assert kinds.index("channel.open") < next(i for i, e in enumerate(found) if (e.get("more") or {}).get("event") == "channel")
    use = found[kinds.index("credential.use")]
    assert use["actor"] == "alice" and use["account_id"] and use["asset_id"]
    events = [e["more"]["event"] for e in found if e["kind"] == "session.event"]
    assert {"channel", "command"} <= set(events), events
    end = found[-1]["more"]["body"]
    assert re.fullmatch("[0-9a-f]{64}", end["payload_sha256"]) and re.fullmatch("[0-9a-f]{64}", end["header_sha256"]) and end["payload_bytes"] > 0
    for e in found:
        assert re.fullmatch("[0-9a-f]{32}", e["boot"]) and e["mono_us"] > 0 and e["wall"].endswith("Z")
    seqs = [e["more"]["seq"] for e in found if "seq" in (e.get("more") or {})]
    assert seqs == list(range(1, len(seqs) + 1)), seqs           # the recorder's own numbers: none twice, none missing


def payload(path):
    """Of an age file: what follows the line that begins with ---."""
    raw = path.read_bytes()
    return raw[raw.index(b"\n", raw.index(b"\n--- ") + 1) + 1:]


def test_chunks_of_a_long_recording_have_its_running_hash(lab, me):
    assert me.ssh("head -c 22000000 /dev/urandom | base64 -w 0", options=["-tt"], timeout=120).returncode == 0
    L.wait_for("its end", lambda: not me.live())
    (end,) = entries(lab, "session.end", session=lab.ctl("session", "list")[0]["id"])
    chunks = [e["more"]["body"] for e in lab.ctl("audit", "list", "--session", end["session"], "--limit", 1000) if e["more"].get("event") == "chunk"]
    whole = payload(next((lab.data / "state" / "recordings").rglob("*%s*.age" % end["session"])))
    assert chunks and len(whole) == end["more"]["body"]["payload_bytes"]
    for c in chunks + [end["more"]["body"]]:
        assert hashlib.sha256(whole[:c["payload_bytes"]]).hexdigest() == c["payload_sha256"]


def test_files_with_direction_bytes_hash_and_result(lab, me, tmp_path):
    data = os.urandom(70000)
    (tmp_path / "up.bin").write_bytes(data)
    opts = ["-i", str(me.key)] + [x for o in ("IdentitiesOnly=yes", "UserKnownHostsFile=%s" % lab.known_hosts, "User=" + me.to0) for x in ("-o", o)]
    r = subprocess.run(["sftp", "-q", "-F", "none", *opts, "-P", str(lab.port), "-b", "-", "127.0.0.1"], capture_output=True, text=True, timeout=60,
                       input="put %s entries-up.bin\nrm entries-up.bin\n" % (tmp_path / "up.bin"))
    assert r.returncode == 0, r.stderr
    put = L.wait_for("the file", lambda: [e for e in entries(lab, "file") if e["more"]["body"].get("bytes") == len(data) or
                                         hashlib.sha256(data).hexdigest() in json.dumps(e)])[0]
    assert "entries-up.bin" in json.dumps(put) and hashlib.sha256(data).hexdigest() in json.dumps(put), put
    L.wait_for("the removal", lambda: [e for e in entries(lab, "file") if "remove" in json.dumps(e["more"])])


def test_secrets_revealed_and_ceremonies_of_the_vault(lab, me):
    (lab.dir / "pw2").write_text("to be shown\n")
    lab.ctl("account", "create", "shown@web1", "--password-file", lab.dir / "pw2")
    lab.ctl("settings", "set", "may_reveal.admin", "yes")
    assert lab.ctl("account", "reveal", "shown@web1")["secret"] == "to be shown"
    e = newest(lab, "secret.reveal")
    assert e["actor"] and e["account_id"] and "to be shown" not in json.dumps(e)
    lab.ctl("vault", "seal")
    lab.ctl("vault", "unseal", "--keyfile", lab.data / "unseal.key")
    lab.ctl("vault", "rotate")
    for kind in ("vault.seal", "vault.sealed", "vault.unseal", "vault.unsealed", "vault.rotate"):
        assert newest(lab, kind)["actor"], kind


def test_configuration_as_it_starts_and_what_a_reload_changes(lab, me):
    start = newest(lab, "control.start")
    settings = {s["setting"]: s["after"] for s in start["more"]["settings"]}
    assert settings["state_dir"] == str(lab.data / "state")
    lab.write_config(login_grace="47s", webhook="https://hooks.example.org/very/secret/path")
    os.kill(lab.monitor_pid(), 1)
    try:
        e = L.wait_for("the reload", lambda: [e for e in entries(lab, "config.reloaded") if e.get("more")])[0]
        found = {c["setting"]: (c["before"], c["after"]) for c in e["more"]["changes"]}
        assert found["login_grace"] == ("30s", "47s") or found["login_grace"][1] == "47s"
        assert found["webhook"][1][0].startswith("https://hooks.example.org (sha256 ") and "secret" not in json.dumps(e)
    finally:
        lab.write_config(login_grace="30s", webhook=[])
        os.kill(lab.monitor_pid(), 1)
        L.wait_for("the reload back", lambda: [e for e in entries(lab, "config.reloaded") if (e.get("more") or {}).get("changes", [{}])[0].get("after") == "30s"])


def test_commands_and_files_are_leaves_of_the_tree_and_no_leaf_is_too_long(lab, me):
    r = me.ssh("echo " + "long " * 20000)
    assert r.returncode == 0
    L.wait_for("its end", lambda: not me.live())
    want = lab.ctl("evidence", "status")["entries"]
    L.wait_for("a signed head", lambda: lab.ctl("evidence", "status").get("signed", 0) >= want, 40)
    leaves = [line.split(b"\t")[0] for f in sorted((lab.data / "state" / "audit").glob("audit-*.log")) for line in f.read_bytes().splitlines()]
    assert max(map(len, leaves)) <= 65535
    for leaf in leaves:
        o = json.loads(leaf)
        assert b"\\u00" in leaf or json.dumps(o, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode() == leaf
    by = [json.loads(x) for x in leaves]
    assert any((o.get("more") or {}).get("event") == "command" for o in by) and any(o["kind"] == "file" for o in by)
    r = lab.ctl_run("evidence", "verify", "--full")
    assert r.returncode == 0, r.stderr
