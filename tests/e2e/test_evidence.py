"""The audit log as evidence: tiles and signed heads that a program which we did not write checks; every way to change history."""
import base64
import hashlib
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess

import pytest

import lab as L
import tour as T

REPO = pathlib.Path(__file__).resolve().parent.parent.parent


def audit_dir(lab):
    return lab.data / "state" / "audit"


def signed(lab):
    """Wait until everything that is in the log now is under a signed head; returns its size."""
    want = lab.ctl("evidence", "status")["entries"]
    L.wait_for("a signed head of %d entries" % want, lambda: lab.ctl("evidence", "status").get("signed", 0) >= want, 40)
    return want


def verify(lab, *args, ok=True):
    argv = [str(lab.exe("sallyport")), "--json", "evidence", "verify", *map(str, args)]
    r = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert (r.returncode == 0) == ok, (args, r.stdout, r.stderr)
    return json.loads(r.stdout) if ok else r.stderr


@pytest.fixture(scope="module")
def tlogcheck(tmp_path_factory):
    exe = tmp_path_factory.mktemp("go") / "tlogcheck"
    env = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(pathlib.Path(os.environ.get("SALLYPORT_BUILD", REPO / "build")).resolve() / "gocache"), "GOFLAGS": ""}
    subprocess.run(["go", "build", "-o", str(exe), str(REPO / "tests" / "interop" / "tlogcheck" / "main.go")], check=True, env=env, timeout=170)
    return exe


def go(tlogcheck, *args, ok=True):
    r = subprocess.run([str(tlogcheck), *map(str, args)], capture_output=True, text=True, timeout=120)
    assert (r.returncode == 0) == ok, (args, r.stdout, r.stderr)
    return int(r.stdout) if ok else r.stderr


@pytest.fixture(scope="module")
def kept(lab, tmp_path_factory):
    """What an auditor keeps: the key, and a head of earlier."""
    d = tmp_path_factory.mktemp("auditor")
    signed(lab)
    (d / "key").write_text(lab.ctl("evidence", "status")["key"] + "\n")
    shutil.copy(audit_dir(lab) / "checkpoint", d / "head")
    return d


@pytest.fixture(scope="module")
def many(lab, kept):
    """More entries than one tile has, and a session among them."""
    lab.ssh("alice@" + lab.info["targets"][0], "echo once", key=lab.info["user_key"])
    for i in range(30):
        lab.ctl("asset", "update", "web1", "--remark", "number %d" % i)
    for i in range(5):      # refused ones are entries, too
        lab.ctl_run("user", "create", "alice")
    names = lab.dir / "people.csv"
    names.write_text("login,full_name\n" + "".join("p%03d,Person %d\n" % (i, i) for i in range(300)))
    lab.ctl("import", "users", str(names))
    while signed(lab) < 300:
        lab.ctl_run("asset", "update", "web1", "--remark", "more")
        for _ in range(8):
            lab.ctl_run("user", "disable", "p000")
            lab.ctl_run("user", "enable", "p000")
    return signed(lab)


def copy(lab, tmp_path, name):
    d = tmp_path / name
    shutil.copytree(audit_dir(lab), d, ignore=shutil.ignore_patterns("reserve"))
    return d


def test_tiles_heads_inclusion_and_growth_pass_a_checker_that_is_not_ours(lab, tlogcheck, kept, many, tmp_path):
    d = copy(lab, tmp_path, "log")
    assert (d / "tile" / "0" / "000").stat().st_size == 8192 and (d / "tile" / "entries" / "000").exists()
    n = go(tlogcheck, d, kept / "key", kept / "head")
    assert n >= many
    out = verify(lab, "--dir", d, "--key", kept / "key", "--full")
    assert out["size"] == n and out["compared"] == n and out["own_key"] is False
    other = lab.dir / "other.key"       # a key that is not the log's
    name, _, key = (kept / "key").read_text().strip().split("+", 2)
    raw = bytearray(base64.b64decode(key))
    raw[5] ^= 1
    other.write_text("%s+00000000+%s\n" % (name, base64.b64encode(bytes(raw)).decode()))
    assert verify(lab, "--dir", d, "--key", other, ok=False)


def test_a_session_is_proven_from_its_first_entry_to_its_last(lab, kept, many):
    s = next(s for s in lab.ctl("session", "list") if s["protocol"] == "exec")
    assert s["integrity"] == "signed"
    out = verify(lab, "--dir", audit_dir(lab), "--key", kept / "key", "--session", s["id"])
    assert out["integrity"] == "signed" and out["session_entries"] >= 4 and out["erased"] == 0
    text = (audit_dir(lab) / "tile" / "entries" / "000").read_bytes()
    assert b"alice" not in text and b"Person" not in text and b"echo once" not in text      # persons are commitments in the tree
    assert any("alice" in json.dumps(e) for e in lab.ctl("audit", "list", "--session", s["id"]))


def spoil_segment(d, fn):
    f = sorted(d.glob("audit-*.log"))[0]
    lines = f.read_bytes().split(b"\n")
    fn(lines)
    f.write_bytes(b"\n".join(lines))


def spoil_bytes(path, fn):
    b = bytearray(path.read_bytes())
    path.write_bytes(bytes(fn(b)))


def flip(at):
    def fn(b):
        b[at] ^= 1
        return b
    return fn


def narrow(d, level):
    """The widest of the partial tiles at the right edge."""
    return max((d / "tile" / str(level)).glob("*.p/*"), key=lambda p: (p.parent.name, int(p.name)))


def twice(b):
    n = int.from_bytes(b[:2], "big") + 2
    m = int.from_bytes(b[n:n + 2], "big") + 2
    return b[:n] + b[:n] + b[n + m:]


def swap_entries(b):
    n = int.from_bytes(b[:2], "big") + 2
    m = int.from_bytes(b[n:n + 2], "big") + 2
    return b[n:n + m] + b[:n] + b[n + m:]


def forged(line):
    leaf, openings = line.split(b"\t")
    o = json.loads(openings)
    path = next(iter(o))
    o[path][1] = "mallory"
    return leaf + b"\t" + json.dumps(o, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def other(lines, n):
    mine = lines[n].split(b"\t")[1]
    return next(o for o in (line.split(b"\t")[1] for line in lines[:-1]) if o not in (mine, b"{}"))


ATTACKS = {
    "an entry is edited in its segment": lambda d: spoil_segment(d, lambda ls: ls.__setitem__(7, ls[7].replace(b'"result":"', b'"result":"n', 1))),
    "what an entry shows in clear is edited": lambda d: spoil_segment(d, lambda ls: ls.__setitem__(11, forged(ls[11]))),
    "an opening is taken from another entry": lambda d: spoil_segment(d, lambda ls: ls.__setitem__(11, ls[11].split(b"\t")[0] + b"\t" + other(ls, 11))),
    "entries change places in the segment": lambda d: spoil_segment(d, lambda ls: ls.__setitem__(slice(3, 5), [ls[4], ls[3]])),
    "an entry is cut out of the segment": lambda d: spoil_segment(d, lambda ls: ls.pop(9)),
    "an entry is replaced by another one in its segment": lambda d: spoil_segment(d, lambda ls: ls.__setitem__(6, ls[5])),
    "an entry is put into the segment": lambda d: spoil_segment(d, lambda ls: ls.insert(4, ls[3])),
    "the segment ends early": lambda d: spoil_segment(d, lambda ls: ls.__delitem__(slice(len(ls) // 2, len(ls) - 1))),
    "the segment is gone": lambda d: sorted(d.glob("audit-*.log"))[0].rename(d / "audit-0000000000000002.log"),
    "an entry is replaced by another one in its bundle": lambda d: spoil_bytes(d / "tile" / "entries" / "000", twice),
    "the last bundle is edited": lambda d: spoil_bytes(narrow(d, "entries"), flip(-3)),
    "a bundle is replaced by the one of another place": lambda d: narrow(d, "entries").write_bytes((d / "tile" / "entries" / "000").read_bytes()),
    "an entry is edited in its bundle": lambda d: spoil_bytes(d / "tile" / "entries" / "000", flip(400)),
    "entries change places in the bundle": lambda d: spoil_bytes(d / "tile" / "entries" / "000", swap_entries),
    "a bundle is cut": lambda d: spoil_bytes(d / "tile" / "entries" / "000", lambda b: b[:-30]),
    "a tile is edited": lambda d: spoil_bytes(d / "tile" / "0" / "000", flip(4000)),
    "hashes of a tile change places": lambda d: spoil_bytes(d / "tile" / "0" / "000", lambda b: b[32:64] + b[:32] + b[64:]),
    "a tile is replaced by the one of another place": lambda d: narrow(d, 0).write_bytes((d / "tile" / "0" / "000").read_bytes()[:narrow(d, 0).stat().st_size]),
    "a tile of a higher level is edited": lambda d: spoil_bytes(next((d / "tile" / "1").rglob("1")), flip(7)),
    "the last tile is edited": lambda d: spoil_bytes(narrow(d, 0), flip(-1)),
    "a tile is cut": lambda d: spoil_bytes(d / "tile" / "0" / "000", lambda b: b[:-32]),
    "a tile is replaced": lambda d: spoil_bytes(next((d / "tile" / "1").rglob("1")), lambda b: bytes(32)),
    "a tile is gone": lambda d: (d / "tile" / "0" / "000").unlink(),
    "a bundle is gone": lambda d: (d / "tile" / "entries" / "000").unlink(),
    "the head is of no signature": lambda d: spoil_bytes(d / "checkpoint", lambda b: b[:b.index(b"\n\n") + 2]),
    "the head is edited": lambda d: spoil_bytes(d / "checkpoint", flip(60)),
    "the head is of another size": lambda d: spoil_bytes(d / "checkpoint", lambda b: b.replace(b"\n3", b"\n2", 1).replace(b"\n4", b"\n3", 1)),
}


@pytest.mark.parametrize("what", ATTACKS)
def test_changed_history_is_seen_by_verify(lab, kept, many, tmp_path, what):
    d = copy(lab, tmp_path, "log")
    ATTACKS[what](d)
    assert verify(lab, "--dir", d, "--key", kept / "key", "--full", ok=False)


def test_a_head_of_yesterday_proves_less_and_a_witness_sees_it(lab, kept, many, tmp_path):
    """Harmless for who has the log in front of him, detected by who kept a later head."""
    d = copy(lab, tmp_path, "log")
    shutil.copy(kept / "head", d / "checkpoint")
    old = verify(lab, "--dir", d, "--key", kept / "key", "--full")
    assert old["size"] < verify(lab, "--dir", audit_dir(lab), "--key", kept / "key")["size"]
    for f in d.glob("audit-*.log"):     # a copy may be without segments: the leaves are the same, and it says that it compared none
        f.unlink()
    assert verify(lab, "--dir", d, "--key", kept / "key", "--full")["compared"] == 0


def test_rows_of_the_index_are_no_evidence_and_changing_them_changes_none(lab, kept, many, tmp_path):
    """Harmless: sessions, commands and events in the database are an index. What is verified, exported and searched as evidence is the log."""
    s = next(s for s in lab.ctl("session", "list") if s["protocol"] == "exec")
    db = sqlite3.connect(lab.data / "state" / "store" / "evidence.db", timeout=30)
    sid = bytes.fromhex(s["id"].replace("-", ""))
    saved = {t: db.execute("SELECT * FROM %s WHERE %s = ?" % (t, k), (sid,)).fetchall() for t, k in
             (("sessions", "id"), ("commands", "session_id"), ("session_events", "session_id"))}
    assert all(saved.values())
    try:
        with db:
            db.execute("UPDATE sessions SET user_login = 'mallory' WHERE id = ?", (sid,))
            db.execute("UPDATE commands SET command = 'ls' WHERE session_id = ?", (sid,))
            db.execute("DELETE FROM session_events WHERE session_id = ?", (sid,))
        assert [c["command"] for c in lab.ctl("command", "search", "--session", s["id"])] == ["ls"]
        out = verify(lab, "--dir", audit_dir(lab), "--key", kept / "key", "--session", s["id"])
        assert out["integrity"] == "signed"
        argv = [str(lab.exe("sallyport")), "--json", "evidence", "export", s["id"], "--output", str(tmp_path / "out"), "--config", str(lab.conf)]
        subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
        entries = json.loads((tmp_path / "out" / "entries.json").read_text())
        assert {e["actor"] for e in entries if e["kind"] == "session.request"} == {"alice"} and "echo once" in json.dumps(entries)
        assert lab.ctl("audit", "search", "echo once", "--kind", "channel.open")[0]["actor"] == "alice"
        with db:
            db.execute("DELETE FROM sessions WHERE id = ?", (sid,))
        assert verify(lab, "--dir", audit_dir(lab), "--key", kept / "key", "--session", s["id"])["session_entries"] == out["session_entries"]
        assert lab.ctl("audit", "search", "echo once", "--kind", "channel.open")[0]["session"] == s["id"]
    finally:
        with db:
            for t, rows in saved.items():
                db.execute("DELETE FROM %s WHERE %s = ?" % (t, "id" if t == "sessions" else "session_id"), (sid,))
                for r in rows:
                    db.execute("INSERT INTO %s VALUES (%s)" % (t, ",".join("?" * len(r))), r)
        db.close()
    assert s["id"] in [x["id"] for x in lab.ctl("session", "list")]


def test_what_is_shown_in_clear_must_fit_its_commitment(lab, kept, many, tmp_path):
    s = next(s for s in lab.ctl("session", "list") if s["protocol"] == "exec")
    d = copy(lab, tmp_path, "log")

    def forge(lines):
        for i, line in enumerate(lines):
            leaf, tab, openings = line.partition(b"\t")
            if s["id"].encode() in leaf and b'"alice"' in openings:
                lines[i] = leaf + tab + openings.replace(b'"alice"', b'"mallory"', 1)
                return
        raise AssertionError("nothing to forge")
    spoil_segment(d, forge)
    assert "commitments" in verify(lab, "--dir", d, "--key", kept / "key", "--session", s["id"], ok=False)


def test_while_the_vault_is_sealed_entries_go_on_and_are_signed_later(lab, many):
    lab.ctl("vault", "seal")
    before = lab.ctl("evidence", "status")
    lab.ctl_run("asset", "update", "web1", "--remark", "while it is sealed")
    after = lab.ctl("evidence", "status")
    assert after["entries"] > before["entries"]
    lab.ctl("vault", "unseal", "--keyfile", lab.data / "unseal.key")
    assert signed(lab) >= after["entries"]


def test_a_killed_control_goes_on_where_it_was(lab, tlogcheck, kept, many):
    lab.ctl("asset", "update", "web1", "--remark", "just before")
    kill_control(lab)
    lab.ctl("asset", "update", "web1", "--remark", "just after")
    n = signed(lab)
    assert go(tlogcheck, audit_dir(lab), kept / "key", kept / "head") >= n
    verify(lab, "--dir", audit_dir(lab), "--key", kept / "key", "--full")
    assert lab.ctl_run("evidence", "verify").returncode == 0       # whose control was named with --socket


def kill_control(lab):
    pid = T.child_pid(lab, "control")
    os.kill(pid, 9)

    def again():
        try:
            return T.child_pid(lab, "control") != pid and lab.ctl_ok("evidence", "status")
        except LookupError:
            return False
    L.wait_for("a new control", again, 30)
    L.wait_for("an open vault", lambda: not lab.ctl("vault", "status")["sealed"], 30)


def test_search_finds_by_kind_actor_text_time_session_and_object(lab, many):
    s = next(s for s in lab.ctl("session", "list") if s["protocol"] == "exec")
    assert [e["kind"] for e in lab.ctl("audit", "search", "--session", s["id"], "--kind", "session.end")] == ["session.end"]
    assert all(e["actor"] == "alice" for e in lab.ctl("audit", "search", "--actor", "alice"))
    found = lab.ctl("audit", "search", "echo once", "--kind", "channel.open")
    assert len(found) == 1 and found[0]["session"] == s["id"]
    at = found[0]["wall"]
    assert found[0]["seq"] in [e["seq"] for e in lab.ctl("audit", "search", "--since", at, "--until", at)]
    assert found[0]["seq"] not in [e["seq"] for e in lab.ctl("audit", "search", "echo once", "--since", "+1h")]
    assert found[0] in lab.ctl("audit", "search", "--object", found[0]["conn"], "--limit", 1000)
    assert lab.ctl("audit", "search", "nobody wrote this") == []


def witness(lab, state, *args, ok=True):
    argv = [str(lab.exe("sallyport")), "--socket", str(lab.socket), "evidence", "witness", "--state", str(state), *map(str, args)]
    r = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (r.returncode == 0) == ok, (args, r.stdout, r.stderr)
    return r.stdout + r.stderr


def make_witness(lab, kept, state, name):
    out = witness(lab, state, "--key", kept / "key", "--name", name)
    lab.ctl("evidence", "witness-add", out.split("'")[1])


@pytest.fixture(scope="module")
def first_witness(lab, kept, many, tmp_path_factory):
    state = tmp_path_factory.mktemp("witness") / "first"
    make_witness(lab, kept, state, "auditor.example/first")
    witness(lab, state)
    return state


def test_a_witness_follows_over_ssh_cosigns_and_is_missed_when_it_stays_away(lab, kept, first_witness, tmp_path):
    key = lab.key("audrey.key")
    lab.ctl("user", "create", "audrey", "--role", "auditor", "--key", str(key) + ".pub")
    signed(lab)
    options = ["--ssh-option", "Port=%d" % lab.port, "--ssh-option", "IdentityFile=%s" % key, "--ssh-option", "IdentitiesOnly=yes",
               "--ssh-option", "UserKnownHostsFile=%s" % lab.known_hosts, "--ssh-option", "BatchMode=yes"]
    out = witness(lab, first_witness, "--via", "audrey@127.0.0.1", *options)
    assert "Cosigned" in out
    (w,) = lab.ctl("evidence", "status")["witnesses"]
    assert w["name"] == "auditor.example/first" and w["size"] > 300 and not w["late"]
    note = next(audit_dir(lab).glob("witness-*")).read_text()
    assert note.count("\n\u2014 ") == 2     # the log's signature and the witness's
    lab.write_config(witness_late="1s")
    os.kill(lab.monitor_pid(), 1)
    try:
        L.wait_for("the alarm", lambda: lab.ctl("audit", "list", "--kind", "witness.late"), 30)
    finally:
        lab.write_config(witness_late="7d")
        os.kill(lab.monitor_pid(), 1)
    assert lab.ctl("evidence", "status")["witnesses"][0]["late"]
    signed(lab)
    witness(lab, first_witness)
    assert not lab.ctl("evidence", "status")["witnesses"][0]["late"]


def test_a_session_is_exported_with_its_proofs(lab, tlogcheck, kept, many, tmp_path):
    s = next(s for s in lab.ctl("session", "list") if s["protocol"] == "exec")
    argv = [str(lab.exe("sallyport")), "--json", "evidence", "export", s["id"], "--output", str(tmp_path / "out"), "--config", str(lab.conf)]
    out = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout)
    d = tmp_path / "out"
    assert out["entries"] == len(json.loads((d / "entries.json").read_text())) == len((d / "entries.log").read_text().splitlines())
    assert (d / out["recording"]).stat().st_size > 0 and [r["agrees"] for r in out["recordings"]] == [True]
    proofs = sorted((d / "proofs").iterdir())
    assert len(proofs) == out["entries"]
    for proof, line in zip(proofs, (d / "entries.log").read_bytes().splitlines()):
        check_proof(proof.read_text(), line.split(b"\t")[0])


def test_a_recording_that_is_not_the_one_of_the_log_is_told_by_the_export(lab, kept, many, tmp_path):
    s = next(s for s in lab.ctl("session", "list") if s["protocol"] == "exec")
    f = next((lab.data / "state" / "recordings").rglob(s["id"] + ".0001.age"))
    good = f.read_bytes()

    def export(name):
        argv = [str(lab.exe("sallyport")), "--json", "evidence", "export", s["id"], "--output", str(tmp_path / name), "--config", str(lab.conf)]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60)
    for name, data, what in (("edited", good[:-9] + bytes([good[-9] ^ 1]) + good[-8:], "payload"), ("cut", good[:-30], "payload"),
                             ("header", good.replace(b"-> X25519 ", b"-> X25518 ", 1), "header")):
        f.write_bytes(data)
        try:
            r = export(name)
        finally:
            f.write_bytes(good)
        assert r.returncode == 1 and "its %s has another hash" % what in r.stderr, r
        assert [o["agrees"] for o in json.loads(r.stdout)["recordings"]] == [False]
    f.rename(f.with_suffix(".away"))
    try:
        r = export("gone")
    finally:
        f.with_suffix(".away").rename(f)
    assert r.returncode == 1 and "it is not there" in r.stderr, r
    assert export("good").returncode == 0


def check_proof(text, leaf):
    """C2SP tlog-proof and RFC 6962 2.1.1, from the texts alone."""
    head, note = text.split("\n\n", 1)
    first, index, *hashes = head.split("\n")
    assert first == "c2sp.org/tlog-proof@v1"
    n, size, root = int(index.split()[1]), int(note.split("\n")[1]), base64.b64decode(note.split("\n")[2])
    path = [base64.b64decode(h) for h in hashes]
    r, fn, sn = hashlib.sha256(b"\0" + leaf).digest(), n, size - 1
    for p in path:
        if fn & 1 or fn == sn:
            r = hashlib.sha256(b"\1" + p + r).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = hashlib.sha256(b"\1" + r + p).digest()
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0 and r == root


def test_the_whole_data_directory_of_yesterday_and_a_fork_are_seen_by_witnesses(lab, kept, first_witness, tmp_path):
    state, yesterday = lab.data / "state", lab.data / "state.yesterday"
    signed(lab)
    lab.stop("sallyport")
    subprocess.run(["cp", "-a", str(state), str(yesterday)], check=True)
    lab.start()
    lab.ctl("asset", "update", "web1", "--remark", "the first history")
    signed(lab)
    witness(lab, first_witness)
    head = tmp_path / "first-head"
    head.write_text(json.loads(first_witness.read_text())["head"])
    lab.stop("sallyport")
    shutil.rmtree(state)
    yesterday.rename(state)         # the vault's memory, too: nobody here can tell
    lab.start()
    L.wait_for("an open vault", lambda: not lab.ctl("vault", "status")["sealed"], 30)
    second = tmp_path / "second"
    make_witness(lab, kept, second, "auditor.example/second")
    signed(lab)
    assert not lab.ctl("evidence", "status")["contained"]
    witness(lab, second)
    out = witness(lab, first_witness, ok=False)
    assert "went back" in out or "another history" in out, out
    for i in range(12):             # longer than the first history: a fork
        lab.ctl("asset", "update", "web1", "--remark", "the second history %d" % i)
    signed(lab)
    witness(lab, second)
    assert "another history" in witness(lab, first_witness, ok=False)
    assert "another history" in witness(lab, second, "--other", head, ok=False)      # two auditors put their heads together


def test_a_log_that_was_put_back_to_yesterday_opens_no_session_until_a_new_origin(lab, me, tlogcheck, kept, many, tmp_path):
    d = audit_dir(lab)
    yesterday = copy(lab, tmp_path, "yesterday")
    lab.ctl("asset", "update", "web1", "--remark", "what somebody wants forgotten")
    signed(lab)
    lab.stop("sallyport")
    owner = d.stat()
    shutil.rmtree(d)
    shutil.copytree(yesterday, d)
    for p in [d, *d.rglob("*")]:
        os.chown(p, owner.st_uid, owner.st_gid)
    os.chmod(d, 0o700)
    lab.start()
    L.wait_for("containment", lambda: lab.ctl("evidence", "status")["contained"], 30)
    text = lab.ctl("evidence", "status")["text"]
    assert "ault signed" in text and "new-origin" in text
    r = me.ssh("true")
    assert r.returncode != 0 and "audit log" in r.stderr, r.stderr
    assert "audit log" in lab.ctl_run("asset", "update", "web1", "--remark", "no").stderr
    assert lab.ctl("session", "list")
    lab.ctl("evidence", "new-origin", "--reason", "the disk of yesterday")
    L.wait_for("a new origin", lambda: not lab.ctl("evidence", "status")["contained"], 30)
    assert me.ssh("echo on").stdout == "on\n"
    signed(lab)
    out = verify(lab, "--dir", d, "--key", kept / "key", "--full")
    assert len(out["bridges"]) == 1 and "begins-anew" in out["bridges"][0] and "the disk of yesterday" in out["bridges"][0]
    (tmp_path / "key2").write_text(lab.ctl("evidence", "status")["key"] + "\n")
    go(tlogcheck, d, tmp_path / "key2")
    assert lab.ctl("audit", "list", "--kind", "log.contained") and lab.ctl("audit", "list", "--kind", "log.bridge")


def test_a_damaged_log_comes_up_in_containment_where_sessions_are_listed_and_killed(lab, me, many, tmp_path):
    d = audit_dir(lab)
    p = subprocess.Popen(lab.ssh_argv(me.to0, "cat", key=me.key), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    p.stdin.write("hello\n")
    p.stdin.flush()
    assert p.stdout.readline() == "hello\n"
    sid = me.live()[0]["id"]
    signed(lab)
    seg = sorted(d.glob("audit-*.log"))[-1]
    good = seg.read_bytes()
    lines = good.split(b"\n")
    lines[len(lines) // 2] = lines[len(lines) // 2].replace(b'"kind":"', b'"kind":"x', 1)
    seg.write_bytes(b"\n".join(lines))
    kill_control(lab)
    L.wait_for("containment", lambda: lab.ctl_ok("status") and lab.ctl("evidence", "status")["contained"], 30)
    assert me.ssh("true").returncode != 0
    assert sid in [s["id"] for s in me.live()]
    assert {s["integrity"] for s in lab.ctl("session", "list")} == {"live", "contained"}
    lab.ctl("session", "kill", sid, "--reason", "contained")
    assert p.wait(20) != 0
    p.stdin.close()
    p.stdout.close()
    assert list(d.glob("contained-*.log"))      # what was done meanwhile is kept apart
    assert seg.read_bytes() == b"\n".join(lines)
    lab.stop("sallyport")
    seg.write_bytes(good)
    lab.start()
    assert me.ssh("echo again").stdout == "again\n"
