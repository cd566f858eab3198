"""The store goes away and people go on: from a signed snapshot, recorded, told about it; and nothing else changes hands."""
import os
import signal
import sqlite3
import time

import pytest

import lab as L
import tour as T
from terminal import Terminal

CONFIG = {"control_wait": "2s"}       # a login that finds no store at all is refused sooner
LINE = "Sallyport is running from a snapshot of"


def state(lab):
    return lab.ctl("status")["snapshot"]


def fresh(lab):
    """A snapshot that was begun after everything done so far."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 1))      # whole seconds: one more is surely later
    L.wait_for("the clock", lambda: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) >= now, 5)
    lab.ctl("settings", "set", "tests.mark", str(time.monotonic_ns()))
    L.wait_for("a new snapshot", lambda: state(lab)["state"] == "ready" and state(lab).get("made", "") >= now, 60)


class Away:
    """Without its store for a while."""

    def __init__(self, lab):
        self.lab, self.here = lab, lab.data / "state" / "store"
        self.there = self.here.with_name("store.away")
        self.there.mkdir(exist_ok=True)

    def __enter__(self):
        for name in ("sallyport.db", "sallyport.db-wal", "sallyport.db-shm"):
            if (self.here / name).exists():
                (self.here / name).rename(self.there / name)
        return self

    def back(self):
        """As docs/operations.md says: the log before the database, which is opened as soon as it is there."""
        (self.there / "sallyport.db-shm").unlink(missing_ok=True)
        for name in ("sallyport.db-wal", "sallyport.db"):
            if (self.there / name).exists():
                (self.there / name).rename(self.here / name)

    def __exit__(self, *exc):
        self.back()
        L.wait_for("the store is back", lambda: state(self.lab)["state"] == "ready", 30)


@pytest.fixture(scope="module")
def ready(lab):
    account = lab.info["targets"][0].split("@")[0]
    lab.ctl("asset", "create", "byaddress", "--address", "localhost", "--port", lab.targets["web1"])
    lab.ctl("account", "create", "%s@byaddress" % account, "--ca", "demo-ca")
    lab.ctl("grant", "create", "--user", "alice", "--asset", "byaddress", "--account", "*")
    lab.ctl("user", "create", "mallory", "--key", str(lab.key("mallory.key")) + ".pub")
    lab.ctl("grant", "create", "--user", "mallory", "--asset", "web1", "--account", "*")
    return account


def test_without_the_store_granted_targets_are_reached_recorded_and_nothing_is_changed(lab, me, ready):
    assert me.ssh("echo before").returncode == 0      # pins the host key
    fresh(lab)
    with Away(lab) as away:
        r = me.ssh("echo one")                          # the very first login finds a way
        assert (r.returncode, r.stdout) == (0, "one\n"), r.stderr
        assert state(lab)["state"] == "in use"
        r = me.ssh("echo two", login="alice@%s@localhost" % ready)      # account@address
        assert (r.returncode, r.stdout) == (0, "two\n"), r.stderr
        assert me.ssh("true", login="alice@%s@nowhere" % ready).returncode != 0
        with Terminal(lab.dir, ["ssh", "-tt", *lab.ssh_options(me.key), "-p", lab.port, "-l", "alice", "127.0.0.1"], 80, 24) as t:
            s = t.wait("web1", "Number or search>")
            assert LINE in s.replace("\n", ""), s
            t.line("byaddress")
            t.wait("$")
            t.line("echo $((40+2))")
            t.wait("42")
            t.line("exit")
            t.wait("Number or search>")
            t.line("q")
        r = lab.ctl_run("user", "create", "nobody-new")
        assert r.returncode != 0 and LINE in r.stderr and "Nothing can be changed" in r.stderr
        assert LINE in lab.ctl_run("doctor").stdout
        done = [s for s in lab.ctl("session", "list") if s["asset"] in ("web1", "byaddress")]
        assert len(done) >= 3 and all(s["recording"] for s in done)
        assert lab.ctl("audit", "list", "--kind", "store.away")
        ids = {s["id"] for s in done}
        away.back()
        L.wait_for("the store is back", lambda: state(lab)["state"] == "ready", 30)
    assert lab.ctl("audit", "list", "--kind", "store.back")
    rows = {s["id"]: s for s in lab.ctl("session", "list", "--limit", 500)}
    assert ids <= set(rows) and all(rows[i]["state"] == "ended" for i in ids)
    lab.ctl("user", "create", "somebody-new")
    db = sqlite3.connect("file:%s/state/store/evidence.db?mode=ro" % lab.data, uri=True)
    assert all(db.execute("SELECT count(*) FROM session_events WHERE session_id = ?", (bytes.fromhex(i.replace("-", "")),)).fetchone()[0] > 1
               for i in ids)
    db.close()


def test_who_was_disabled_a_moment_before_stays_out(lab, me, ready):
    fresh(lab)
    assert me.ssh("true", login="mallory@%s@web1" % ready).returncode != 0      # not with alice's key
    key = lab.key("mallory.key")
    assert lab.ssh("mallory@%s@web1" % ready, "true", key=key).returncode == 0
    generation = state(lab)["generation"]
    lab.ctl("user", "disable", "mallory")
    with Away(lab):
        assert state(lab)["generation"] - generation <= 1
        assert lab.ssh("mallory@%s@web1" % ready, "true", key=key).returncode != 0
        assert me.ssh("true").returncode == 0


def test_control_that_starts_without_its_store_goes_on_from_the_snapshot_and_makes_no_empty_store(lab, me, ready):
    fresh(lab)
    with Away(lab) as away:
        os.kill(T.child_pid(lab, "control"), signal.SIGKILL)
        L.wait_for("a login", lambda: me.ssh("true").returncode == 0, 20)
        assert state(lab)["state"] == "in use"
        assert not (away.here / "sallyport.db").exists()


def test_a_damaged_store_is_not_believed(lab, me, ready):
    fresh(lab)
    with Away(lab) as away:
        (away.here / "sallyport.db").write_bytes(b"damaged!" * 8192)      # replaced when the good one comes back
        os.kill(T.child_pid(lab, "control"), signal.SIGKILL)
        L.wait_for("a login", lambda: me.ssh("true").returncode == 0, 20)
        assert state(lab)["state"] == "in use"
    assert me.ssh("true").returncode == 0


def test_a_store_locked_by_somebody_elses_write_stops_no_login(lab, me, ready):
    db = sqlite3.connect(lab.data / "state" / "store" / "sallyport.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    try:
        assert me.ssh("true").returncode == 0
    finally:
        db.execute("ROLLBACK")
        db.close()


@pytest.mark.parametrize("what", ["the note", "the database", "an older one"])
def test_a_snapshot_that_was_touched_lets_nobody_in(lab, me, ready, what):
    fresh(lab)
    folder = lab.data / "state" / "snapshot"
    old_note, old_db = (folder / "snapshot").read_bytes(), sorted(folder.glob("[0-9]*.db"))[-1]
    old_bytes = old_db.read_bytes()
    fresh(lab)
    with Away(lab):
        L.wait_for("in use", lambda: state(lab)["state"] == "in use", 20)
        note, db = folder / "snapshot", sorted(folder.glob("[0-9]*.db"), key=lambda p: int(p.stem))[-1]
        saved = note.read_bytes(), db.read_bytes()
        if what == "the note":
            note.write_bytes(saved[0].replace(b"expires 1", b"expires 2"))
        elif what == "the database":
            db.write_bytes(saved[1][:-1] + bytes([saved[1][-1] ^ 1]))
        else:
            note.write_bytes(old_note)
            old_db.write_bytes(old_bytes)
        os.kill(T.child_pid(lab, "control"), signal.SIGKILL)
        L.wait_for("it says so", lambda: lab.log("sallyport").rstrip().rfind("no snapshot to go on from") >
                   lab.log("sallyport").rfind("control is gone"), 20)
        assert me.ssh("true", options=("-o", "ConnectTimeout=5")).returncode != 0
        note.write_bytes(saved[0])
        db.write_bytes(saved[1])
        L.wait_for("a login", lambda: me.ssh("true").returncode == 0, 20)
