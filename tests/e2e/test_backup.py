"""backup under live sessions, restore elsewhere, the quarantine, and the log that knows of a rollback."""
import json
import os
import shutil
import sqlite3
import subprocess

import pytest

import lab as L


@pytest.fixture(scope="module")
def saved(lab, me_module):
    """A backup taken while a session lives and others come and go."""
    me = me_module
    (lab.dir / "pass").write_text("paper in a safe\n")
    L.wait_for("a signed log", lambda: lab.ctl("evidence", "status").get("key") and lab.ctl("evidence", "status").get("signed"), 30)
    (lab.dir / "log.key").write_text(lab.ctl("evidence", "status")["key"] + "\n")
    lab.ctl("evidence", "witness-add", witness(lab, "--key", lab.dir / "log.key", "--name", "auditor.example/one").split("'")[1])
    witness(lab)
    me.ssh("true")
    p = subprocess.Popen(lab.ssh_argv(me.to0, "cat", key=me.key), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    p.stdin.write("hello\n")
    p.stdin.flush()
    assert p.stdout.readline() == "hello\n"
    other = subprocess.Popen(lab.ssh_argv(me.to0, "true", key=me.key), stdin=subprocess.DEVNULL)
    out = lab.ctl("backup", lab.dir / "one.backup", "--config", lab.conf, "--passphrase-file", lab.dir / "pass")
    assert other.wait(30) == 0
    p.stdin.write("still here\n")
    p.stdin.flush()
    assert p.stdout.readline() == "still here\n"
    p.stdin.close()
    assert p.wait(30) == 0
    p.stdout.close()
    return out


@pytest.fixture(scope="module")
def me_module(lab):
    class Me:
        key, to0 = lab.info["user_key"], "alice@" + lab.info["targets"][0]

        @staticmethod
        def ssh(*args):
            return lab.ssh(Me.to0, *args, key=Me.key)
    return Me


def restore(lab, to, *more, ok=True, file="one.backup", word="pass"):
    argv = [str(lab.exe("sallyport")), "--json", "restore", str(lab.dir / file), "--to", str(to), "--passphrase-file", str(lab.dir / word),
            *more]
    r = subprocess.run(lab._wrap(argv), capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert (r.returncode == 0) == ok, r.stderr
    return json.loads(r.stdout) if ok else r.stderr


def witness(lab, *args, ok=True):
    argv = [str(lab.exe("sallyport")), "--socket", str(lab.socket), "evidence", "witness", "--state", str(lab.dir / "witness"), *map(str, args)]
    r = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (r.returncode == 0) == ok, r.stdout + r.stderr
    return r.stdout + r.stderr


def counts(db):
    c = sqlite3.connect("file:%s?mode=ro" % db, uri=True)
    tables = [t for t, in c.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    out = {t: c.execute("SELECT count(*) FROM %s" % t).fetchone()[0] for t in tables if t not in ("outbox", "settings")}
    c.close()
    return out


def test_the_backup_is_whole_secret_and_refused_when_touched(lab, saved):
    f = lab.dir / "one.backup"
    text = f.read_bytes()
    assert f.stat().st_mode & 0o777 == 0o600 and saved["audit_seq"] > 0
    assert b"alice" not in text and b"OPENSSH PRIVATE KEY" not in text and b"sallyport-keys" not in text
    assert not (lab.data / "state" / "snapshot" / "backup").exists()
    nowhere = lab.data / "nowhere"
    (lab.dir / "wrong").write_text("another word\n")
    assert "another passphrase" in restore(lab, nowhere, ok=False, word="wrong")
    for what, bad in (("a byte", text[:len(text) // 2] + bytes([text[len(text) // 2] ^ 1]) + text[len(text) // 2 + 1:]),
                      ("the end", text[:-30]), ("more", text + b"x"), ("none", b"x" * 100)):
        (lab.dir / "bad.backup").write_bytes(bad)
        assert restore(lab, nowhere, ok=False, file="bad.backup"), what
    assert not nowhere.exists()
    assert "exist" in lab.ctl_run("backup", f, "--config", lab.conf, "--passphrase-file", lab.dir / "pass").stderr


def test_a_restored_node_is_in_quarantine_until_it_is_released(lab, me_module, saved):
    me = me_module
    L.wait_for("a signed log", lambda: lab.ctl("evidence", "status").get("signed"), 30)
    origin, witnesses = lab.ctl("evidence", "status")["origin"], lab.ctl("evidence", "status")["witnesses"]
    assert witnesses[0]["name"] == "auditor.example/one" and witnesses[0]["size"] > 0
    before = counts(lab.data / "state" / "store" / "sallyport.db")
    lab.stop("sallyport")
    (lab.data / "state").rename(lab.data / "state.old")
    try:
        out = restore(lab, lab.data / "state")
        assert out["audit_seq"] == saved["audit_seq"]
        assert counts(lab.data / "state" / "store" / "sallyport.db") == before
        assert restore(lab, lab.data / "state", ok=False)       # nothing is written over
        lab.start()
        (again,) = lab.ctl("evidence", "status")["witnesses"]        # registered, with the head that it cosigned
        assert (again["name"], again["size"], again["late"]) == (witnesses[0]["name"], witnesses[0]["size"], False)
        assert lab.ctl("quarantine", "status")["quarantine"] is True
        assert "quarantine" in lab.ctl("status") and "quarantine" in lab.ctl_run("doctor").stdout
        r = me.ssh("true")                                      # same host key: known_hosts still holds
        assert r.returncode != 0 and "quarantine" in r.stderr, r.stderr
        assert lab.ctl_run("vault", "rotate").returncode != 0
        lab.ctl("recording", "policy", "set", "--keep", "1")
        r = lab.ctl_run("recording", "retention")               # a policy deletes nothing here
        assert r.returncode != 0 and "quarantine" in r.stderr, r.stderr
        lab.ctl("recording", "policy", "remove")
        assert lab.ctl("audit", "list", "--kind", "restore")[0]["more"]["audit_seq"] == saved["audit_seq"]
        assert [e for e in lab.ctl("audit", "list", "--limit", 10000) if e["seq"] == saved["audit_seq"]][0]["kind"] == "backup.point"
        lab.ctl("user", "create", "made-in-quarantine")         # an administrator puts things right first
        lab.ctl("quarantine", "release")
        assert me.ssh("echo back").stdout == "back\n"
        # The log that went on elsewhere keeps its name; this one has another, and a bridge that the vault signed.
        L.wait_for("a signed log", lambda: lab.ctl("evidence", "status").get("signed_at"), 30)
        assert lab.ctl("evidence", "status")["origin"] != origin
        note = lab.ctl("audit", "list", "--kind", "log.bridge")[0]["more"]["note"]
        assert "from %s " % origin in note and "\ncontains\n" in note and saved["made"][:10] in note
        assert "--accept-origin" in witness(lab, ok=False)
        witness(lab, "--accept-origin")
        assert lab.ctl("evidence", "status")["witnesses"][0]["size"] > witnesses[0]["size"]
        lab.stop("sallyport")
        lab.start()
        assert lab.ctl("quarantine", "status")["quarantine"] is False
        assert me.ssh("echo back").stdout == "back\n"
    finally:
        lab.stop("sallyport")
        shutil.rmtree(lab.data / "state")
        (lab.data / "state.old").rename(lab.data / "state")
        lab.start()


def test_a_log_that_knows_more_than_the_store_says_rollback(lab, saved):
    lab.ctl("user", "create", "after-the-backup")
    lab.stop("sallyport")
    state = lab.data / "state"
    for name in ("store", "vault", "hostkeys", "snapshot"):
        (state / name).rename(state / (name + ".old"))
    try:
        restore(lab, state, "--keep-log")
        lab.start()
        e = lab.ctl("audit", "list", "--kind", "restore.rollback")[0]
        assert str(saved["audit_seq"]) in e["text"] and "undone" in e["text"]
        assert lab.ctl_run("user", "show", "after-the-backup").returncode != 0
        assert any("audit" in str(e) or e["kind"] == "user.create" for e in lab.ctl("audit", "list", "--kind", "user.create"))
        # In quarantine nothing goes to the courier: it waits.
        L.wait_for("an alarm", lambda: [o for o in lab.ctl("outbox", "list") if o["kind"] == "alarm.restored"])
    finally:
        lab.stop("sallyport")
        for name in ("store", "vault", "hostkeys", "snapshot"):
            shutil.rmtree(state / name)
            (state / (name + ".old")).rename(state / name)
        lab.start()
    assert os.path.exists(state / "store" / "sallyport.db")
