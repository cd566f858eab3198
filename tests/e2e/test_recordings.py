"""Recordings: encrypted to auditors, read with stock tools and with ours; what is kept, and what of it after a crash."""
import hashlib
import os
import pathlib
import re
import signal
import subprocess
import time

import lab as L
from terminal import Terminal


def ended(lab, me, before):
    """The session that began since `before`, once its end is on record."""
    def new():
        return [s for s in lab.ctl("session", "list") if s["id"] not in before and s["state"] == "ended"]
    return L.wait_for("the session ended", new)[0]["id"]


def known(lab):
    return {s["id"] for s in lab.ctl("session", "list", "--limit", 500)}


def run(lab, me, *args, **kw):
    """One command; the id of its session."""
    before = known(lab)
    r = me.ssh(*args, **kw)
    return r, ended(lab, me, before)


def age_file(lab, sid):
    return next((lab.data / "state" / "recordings").rglob(sid + ".0001.age"))


def events(lab, sid, kind):
    return [e["body"] for e in lab.ctl("session", "show", sid)["events"] if e["kind"] == kind]


def play(lab, sid, *args, key="auditor"):
    return lab.ctl_run("session", "play", sid, "--key", lab.auditor(key)[0], *args)


def shell(lab, me, *lines):
    """A shell that is typed at; the id of its session."""
    before = known(lab)
    with Terminal(lab.dir, lab.ssh_argv(me.to0, key=me.key, options=["-tt"])) as t:
        t.wait("$")
        for line, answer in lines:
            t.line(line)
            t.wait(answer)
        t.line("exit")
        t.status()
    return ended(lab, me, before)


def test_stock_tools_open_and_play_a_recording(lab, me, tmp_path):
    sid = shell(lab, me, ("echo recorded $((40+2)) 数据库", "recorded 42 数据库"), ("printf '\\377\\n'", "$"))
    lines = lab.lines(sid)
    assert lines[0]["version"] == 2 and lines[0]["sallyport"]["header"]["user"] == "alice"
    assert "recorded 42 数据库" in "".join(e[2] for e in lines[1:] if e[1] == "o")
    assert any(e[1] == "b" for e in lines[1:])          # the byte that is no UTF-8
    assert all(a[0] <= b[0] for a, b in zip(lines[1:], lines[2:]))
    cast = tmp_path / "x.cast"
    with open(cast, "wb") as f:     # the very words of the manual
        subprocess.run("age -d -i %s %s | zstd -d" % (lab.auditor()[0], age_file(lab, sid)), shell=True, check=True, stdout=f)
    with Terminal(tmp_path, ["sh", "-c", "asciinema play -i 0.05 %s; read end" % cast]) as t:
        t.wait("recorded 42 数据库")
    assert cast.read_bytes() == lab.ctl_run("session", "export", sid, "--key", lab.auditor()[0]).stdout.encode()


def test_each_auditor_can_open_it_and_nobody_else(lab, me, tmp_path):
    r, sid = run(lab, me, "echo for auditors only")
    assert r.returncode == 0
    assert lab.lines(sid, "auditor") == lab.lines(sid, "auditor2")
    other, _ = lab.auditor("stranger")
    r = subprocess.run(["age", "-d", "-i", str(other), str(age_file(lab, sid))], capture_output=True)
    assert r.returncode != 0 and not r.stdout
    r = play(lab, sid, key="stranger")
    assert r.returncode != 0 and "not encrypted to this key" in r.stderr and len(r.stderr.strip().split("\n")) == 1, r
    whole = b"".join(p.read_bytes() for p in (lab.data / "state" / "recordings").rglob(sid + "*"))
    assert b"for auditors only" not in whole


def test_a_password_is_marked_and_not_kept(lab, me):
    sid = shell(lab, me, ("read -rsp 'Secret: ' x; echo; echo got ${#x}", "Secret: "), ("correct horse", "got 13"))
    lines = lab.lines(sid)
    typed = "".join(e[2] for e in lines[1:] if e[1] == "i")
    assert "correct horse" not in str(lines) and "read -rsp" in typed
    assert [e[1] for e in lines[1:] if "13 bytes not kept" in str(e[2])] == ["m"]


def test_the_log_has_the_hashes_of_header_and_payload(lab, me):
    r, sid = run(lab, me, "head -c 200000 /dev/urandom | base64")
    data = age_file(lab, sid).read_bytes()
    header = data.index(b"\n--- ") + 1
    header = data.index(b"\n", header) + 1
    end = events(lab, sid, "end")[0]
    assert hashlib.sha256(data[:header]).hexdigest() == end["header_sha256"] == events(lab, sid, "start")[0]["header_sha256"]
    assert hashlib.sha256(data[header:]).hexdigest() == end["payload_sha256"] and end["payload_bytes"] == len(data) - header


def test_what_is_changed_is_not_played(lab, me, tmp_path):
    _, sid = run(lab, me, "head -c 300000 /dev/urandom | base64")
    good = age_file(lab, sid).read_bytes()
    whole = play(lab, sid)
    assert whole.returncode == 0 and len(whole.stdout) > 300000
    chunk = 65536 + 16
    head = len(good) - (len(good) - 16) // chunk * chunk        # somewhere in the first chunk
    changes = {"edited": good[:head + 99] + bytes([good[head + 99] ^ 1]) + good[head + 100:], "header": good.replace(b"X25519", b"X25518", 1),
               "reordered": good[:-2 * chunk - 40] + good[-chunk - 40:-40] + good[-2 * chunk - 40:-chunk - 40] + good[-40:]}
    for what, data in changes.items():
        f = tmp_path / (what + ".age")
        f.write_bytes(data)
        r = lab.ctl_run("session", "play", f, "--key", lab.auditor()[0])
        assert r.returncode != 0 and re.search("the recording (cannot be read|is not encrypted to this key)", r.stderr), (what, r)
    f = tmp_path / "cut.0001.age"       # whole chunks are there, and it says that the end is not
    f.write_bytes(good[:-chunk])
    r = lab.ctl_run("session", "play", f, "--key", lab.auditor()[0])
    assert "torn" in r.stderr and 0 < len(r.stdout) < len(whole.stdout) and whole.stdout.startswith(r.stdout[:1000])


def test_a_recorder_that_is_killed_loses_no_more_than_a_second(lab, me):
    before = known(lab)
    with Terminal(lab.dir, lab.ssh_argv(me.to0, key=me.key, options=["-tt"])) as t:
        t.wait("$")
        t.line("for i in 1 2 3; do echo said $((i*111)); done")
        t.wait("said 333")
        sid = L.wait_for("the session", me.live)[0]["id"]
        L.wait_for("it is in the tail", lambda: "said 333" in play(lab, sid).stdout)   # also: it can be read while it is written
        os.kill(lab.ctl("session", "show", sid)["scribe_pid"], signal.SIGKILL)
        t.status()
    assert ended(lab, me, before) == sid
    r = play(lab, sid)
    assert r.returncode == 0 and "said 333" in r.stdout and "torn" in r.stderr, r
    torn = L.wait_for("the torn pair is marked", lambda: events(lab, sid, "torn"))[0]
    data = age_file(lab, sid).read_bytes()
    header = data.index(b"\n", data.index(b"\n--- ") + 1) + 1
    assert torn["payload_sha256"] == hashlib.sha256(data[header:]).hexdigest()
    tails = [(i, pathlib.Path(str(age_file(lab, sid))[:-3] + "tail%d" % i)) for i in (0, 1)]
    assert any(f.exists() for _, f in tails)
    for i, f in ((i, f) for i, f in tails if f.exists()):
        assert torn["tail%d_sha256" % i] == hashlib.sha256(f.read_bytes()).hexdigest()


def test_an_exec_is_recorded_up_to_a_size_then_counted(lab, me):
    """The command's words change nothing; the bytes that are left out are in the log by number and hash."""
    r, sid = run(lab, me, "head -c 5000000 /dev/zero", text=False)
    lines = lab.lines(sid)
    kept = sum(len(e[2]) - len("1 o ") for e in lines[1:] if e[1] == "x" and e[2].startswith("1 o "))
    end = events(lab, sid, "channel-end")[0]
    left = [e for e in map(lambda e: __import__("json").loads(e[2]), (e for e in lines[1:] if e[1] == "e")) if e["kind"] == "counted"]
    assert 1048576 <= kept < 5000000 and kept + sum(e["bytes"] for e in left) == 5000000 == end["bytes_out"]
    assert end["sha256_out"] == hashlib.sha256(bytes(5000000)).hexdigest()
    r, slow = run(lab, me, "for i in 1 2 3; do echo rsync --server scp -f $i; done")
    assert "rsync --server scp -f 3" in str(lab.lines(slow))


def test_what_a_hostile_target_prints_stays_out_of_play_and_text(lab, me, tmp_path):
    r, sid = run(lab, me, "printf '\\033]0;owned\\007\\033]52;c;ZXZpbA==\\007\\033[6n\\033[?1049h**\\030B00000000000000\\033[?1049lvisible\\n'; echo going on",
                 options=["-tt"])
    assert "going on" in "".join(e[2] for e in lab.lines(sid)[1:] if e[1] == "o")      # nothing printed turns recording off
    r = lab.ctl_run("session", "export", sid, "--format", "txt", "--key", lab.auditor()[0])
    assert "visible" in r.stdout and "going on" in r.stdout and not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", r.stdout), r.stdout
    with Terminal(lab.dir, lab.ctl_argv("session", "play", sid, "--key", lab.auditor()[0], "--speed", "50")) as t:
        t.wait("going on")
        raw = t.raw()
        t.type("q")
        assert t.status() == 0
    assert b"\x1b]" not in raw and b"\x07" not in raw and b"\x1b[6n" not in raw


def test_play_begins_where_it_is_told(lab, me):
    sid = shell(lab, me, ("echo fir''st; clear", "$"), ("echo sec''ond", "second"))
    r = play(lab, sid, "--search", "second")
    assert r.returncode == 0 and "second" in r.stdout
    r = play(lab, sid, "--search", "never there")
    assert r.returncode != 0 and 'never shows "never there"' in r.stderr, r
    r = play(lab, sid, "--from", "1h")
    assert r.returncode == 0, r
    r = lab.ctl_run("session", "play", sid)
    assert r.returncode != 0 and "--key" in r.stderr


def test_keys_are_changed_by_commands_and_too_few_refuse_sessions(lab, me):
    _, public = lab.auditor("third")
    try:
        lab.ctl("auditor", "key", "add", "third", public, "--kind", "escrow")
        assert {k["name"]: k["kind"] for k in lab.ctl("auditor", "key", "list")} == {"auditor": "auditor", "auditor2": "auditor", "third": "escrow"}
        r, sid = run(lab, me, "echo three readers")
        assert "three readers" in str(lab.lines(sid, "third"))
        r = lab.ctl_run("auditor", "key", "remove", "auditor2")
        assert r.returncode != 0 and "add the new one first" in r.stderr, r
        assert lab.ctl_run("auditor", "key", "add", "fourth", "age1nonsense").returncode != 0
        assert lab.ctl_run("settings", "set", "auditor.keys", "[]").returncode != 0
    finally:
        lab.ctl_run("auditor", "key", "remove", "third")
    kinds = [e["kind"] for e in lab.ctl("audit", "list", "--limit", 200)]
    assert "auditor.key.add" in kinds and "auditor.key.remove" in kinds
    lab.write_config(auditors_min="3")
    try:
        lab.procs["sallyport"].send_signal(signal.SIGHUP)
        L.wait_for("too few", lambda: "sallyport auditor key add" in me.ssh("true").stderr)
    finally:
        lab.write_config(auditors_min="2")
        lab.procs["sallyport"].send_signal(signal.SIGHUP)
        L.wait_for("enough", lambda: me.ssh("true").returncode == 0)


def header_len(data):
    return data.index(b"\n", data.index(b"\n--- ") + 1) + 1


def test_a_new_auditor_gets_headers_of_old_recordings_and_every_proof_stays(lab, me, tmp_path):
    _, sid = run(lab, me, "echo from before")
    _, other = run(lab, me, "echo another one")
    f, before = age_file(lab, sid), age_file(lab, sid).read_bytes()
    audrey = lab.key("audrey.key")
    lab.ctl("user", "create", "audrey", "--role", "auditor", "--key", str(audrey) + ".pub")
    lab.ctl("auditor", "key", "add", "newcomer", lab.auditor("newcomer")[1])
    lab.ctl("auditor", "key", "remove", "auditor2")
    try:
        assert play(lab, sid, key="newcomer").returncode != 0
        r = lab.ctl_run("recording", "rewrap", "--key", lab.auditor("stranger")[0], sid)
        assert r.returncode == 1 and "not encrypted to this key" in r.stderr and f.read_bytes() == before, r
        # Half of a header, which a crash left, is not taken for the first one.
        torn = f.with_name(sid + ".0001.header")
        torn.write_bytes(before[:20])
        os.chown(torn, f.stat().st_uid, f.stat().st_gid)
        # From the auditor's machine: only headers cross the line.
        via = ["--via", "audrey@127.0.0.1", *ssh_options(lab, audrey)]
        out = lab.ctl("recording", "rewrap", "--key", lab.auditor()[0], *via, sid)
        after = f.read_bytes()
        assert [o["id"] for o in out] == [sid]
        assert "from before" in str(lab.lines(sid, "newcomer")) and "from before" in play(lab, sid, key="newcomer").stdout     # stock age, and ours
        assert subprocess.run(["age", "-d", "-i", str(lab.auditor("auditor2")[0]), str(f)], capture_output=True).returncode != 0
        assert before[:header_len(before)] != after[:header_len(after)] and before[header_len(before):] == after[header_len(after):]
        end, entry = events(lab, sid, "end")[0], lab.ctl("audit", "list", "--session", sid, "--kind", "recording.rewrap")[0]
        assert hashlib.sha256(after[header_len(after):]).hexdigest() == end["payload_sha256"] == entry["more"]["payload_sha256"]
        assert hashlib.sha256(after[:header_len(after)]).hexdigest() == entry["more"]["header_sha256"] != end["header_sha256"]
        assert entry["more"]["old_header_sha256"] == end["header_sha256"]
        assert hashlib.sha256(f.with_name(sid + ".0001.header").read_bytes()).hexdigest() == end["header_sha256"]     # the first one is kept
        assert lab.ctl("evidence", "verify", "--session", sid) is not None
        assert other in [o["id"] for o in lab.ctl("recording", "rewrap", "--key", lab.auditor()[0], "--all")]
        assert lab.ctl("recording", "rewrap", "--key", lab.auditor("newcomer")[0], "--all") == []
        # What is no header for the keys of today, or not the recording of the log, is refused and changes nothing.
        assert lab.ctl_run("recording", "put-header", sid, "eA==").returncode != 0
        f.write_bytes(after[:-1] + bytes([after[-1] ^ 1]))
        r = lab.ctl_run("recording", "rewrap", "--key", lab.auditor()[0], sid)
        assert r.returncode == 1 and "not the one of the log" in r.stderr, r
        assert sorted(p.name[37:] for p in f.parent.glob(sid + ".*")) == ["0001.age", "0001.header", "0001.to"]
        f.write_bytes(after)
    finally:
        lab.ctl("auditor", "key", "add", "auditor2", lab.auditor("auditor2")[1])
        lab.ctl("auditor", "key", "remove", "newcomer")


def test_the_vault_opens_nothing_unless_it_was_made_a_reader(lab, me):
    _, before = run(lab, me, "echo from before")
    r = lab.ctl_run("session", "play", before)
    assert r.returncode != 0 and "nobody here can open it" in r.stderr and "--key" in r.stderr, r
    lab.ctl("department", "create", "open")
    lab.ctl("asset", "update", "web1", "--department", "open")
    lab.ctl("user", "create", "olga", "--role", "auditor")
    try:
        recipient = lab.ctl("recording", "vault", "set", "--department", "open")["recipient"]
        assert [v["department"] for v in lab.ctl("recording", "vault", "list")] == ["open"]
        _, sid = run(lab, me, "echo shown without a key")
        assert recipient in events(lab, sid, "start")[0]["recipients"]
        assert "shown without a key" in str(lab.lines(sid, "auditor2"))         # auditors read it as ever
        lab.ctl("settings", "set", "may_replay.admin", "yes")       # by root: whom the local administrator acts as
        r = lab.ctl_run("session", "play", sid)
        assert r.returncode == 0 and "shown without a key" in r.stdout, r
        kinds = [(e["kind"], e["result"]) for e in lab.ctl("audit", "list", "--session", sid, "--kind", "recording.")]
        assert kinds[:2] == [("recording.unwrapped", "ok"), ("recording.unwrap", "ok")]     # newest first
        # Not under the header of another recording, which the caller may not open; but under one that auditors put there.
        _, other = run(lab, me, "echo not to be opened by the way")
        f, good, its = age_file(lab, sid), age_file(lab, sid).read_bytes(), age_file(lab, other).read_bytes()
        f.write_bytes(its[:header_len(its)] + good[header_len(good):])
        r = lab.ctl_run("session", "play", sid)
        assert r.returncode != 0 and "not the one of the log" in r.stderr, r
        assert len([e for e in lab.ctl("audit", "list", "--session", sid, "--kind", "recording.unwrap") if e["kind"] == "recording.unwrap"]) == 1
        f.write_bytes(good)
        assert len(lab.ctl("recording", "rewrap", "--key", lab.auditor()[0], sid)) == 1 and f.read_bytes() != good
        r = lab.ctl_run("session", "play", sid)
        assert r.returncode == 0 and "shown without a key" in r.stdout, r
        # It is no reader of what was recorded before, and an auditor's role is not enough.
        r = lab.ctl_run("session", "play", before)
        assert r.returncode != 0 and "not encrypted to the vault" in r.stderr, r
        r = lab.ctl_run("--as", "olga", "session", "export", sid)
        assert r.returncode != 0 and "permission to replay" in r.stderr and not r.stdout, r
        lab.ctl("settings", "set", "may_replay.olga", "yes")
        assert lab.ctl_run("--as", "olga", "session", "export", sid).stdout == lab.ctl_run("session", "export", sid, "--key", lab.auditor()[0]).stdout
        # Nor does a sealed vault open anything; the attempt is on record.
        lab.ctl("vault", "seal")
        r = lab.ctl_run("session", "play", sid)
        assert r.returncode != 0 and "sealed" in r.stderr, r
        lab.ctl("vault", "unseal", "--slot", "keyfile", "--keyfile", lab.data / "unseal.key")
        lab.ctl("recording", "vault", "remove", "--department", "open")
        r = lab.ctl_run("session", "play", sid)
        assert r.returncode != 0 and "nobody here can open it" in r.stderr, r
    finally:
        lab.ctl("asset", "update", "web1", "--department", "")
        if lab.ctl("status")["vault"] != "unsealed":
            lab.ctl_run("vault", "unseal", "--slot", "keyfile", "--keyfile", lab.data / "unseal.key")


def ssh_options(lab, key):
    """For --ssh-option, what the lab's ssh is given."""
    given = lab.ssh_options(key)
    return [a for o in [*(given[i + 1] for i, w in enumerate(given) if w == "-o"), "IdentityFile=%s" % key, "Port=%d" % lab.port]
            for a in ("--ssh-option", o)]


def test_a_symlink_in_the_recordings_folder_leads_nowhere(lab, me):
    if not L.ROOT:
        return
    _, sid = run(lab, me, "echo x")
    f = age_file(lab, sid)
    moved = f.with_suffix(".moved")
    f.rename(moved)
    f.symlink_to("/etc/passwd")
    try:
        r = lab.ctl_run("session", "export", sid, "--format", "age")
        assert r.returncode != 0 and "root:" not in r.stdout, r
    finally:
        f.unlink()
        moved.rename(f)


def test_a_held_recording_stays_and_a_deletion_leaves_its_entry(lab, me):
    _, sid = run(lab, me, "echo to be deleted")
    f = age_file(lab, sid)
    lab.ctl("recording", "hold", sid, "case 7")
    r = lab.ctl_run("recording", "delete", sid, "old")
    assert r.returncode != 0 and "held (case 7)" in r.stderr and f.exists(), r
    lab.ctl("recording", "release", sid)
    lab.ctl("recording", "delete", sid, "older than the policy")
    L.wait_for("it is gone", lambda: not f.exists())
    r = play(lab, sid)
    assert r.returncode != 0 and "deleted" in r.stderr, r
    kinds = L.wait_for("the entries", lambda: (lambda k: k if "recording.deleted" in k else None)(
        [e["kind"] for e in lab.ctl("audit", "list", "--session", sid, "--limit", 100)]))
    assert {"recording.hold", "recording.release", "recording.delete"} <= set(kinds)
