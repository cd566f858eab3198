"""How long recordings are kept: the list, policies by age and size, holds, and what keeps a policy from emptying the house."""
import contextlib
import os
import shutil
import signal
import sqlite3
import time
import uuid

import pytest

import lab as L

DAY = 86400
planted = []


def index(lab, text, *args):
    """A statement for the index of sessions, behind Sallyport's back."""
    with contextlib.closing(sqlite3.connect(lab.data / "state" / "store" / "evidence.db", timeout=20)) as db, db:
        return db.execute(text, args).fetchall()


def day_of(lab, sid):
    t = time.gmtime((uuid.UUID(sid).int >> 80) / 1000)
    return lab.data / "state" / "recordings" / time.strftime("%Y/%m/%d", t)


def files(lab, sid):
    return sorted(p.name[37:] for p in day_of(lab, sid).glob(sid + ".*"))


def old(lab, sid, days, size=None):
    """A recording of so many days ago: a copy of one of today's, under the id that it would have had. Returns that id."""
    at = int((time.time() - days * DAY) * 1000)
    new = uuid.UUID(int=(at << 80) | (uuid.uuid4().int & ((1 << 80) - 1) & ~(0xF << 76)) | (7 << 76))
    cols = [r[1] for r in index(lab, "PRAGMA table_info(sessions)")]
    picked = ", ".join("?" if c == "id" else str(at * 1000) if c in ("started_us", "ended_us") else c for c in cols)
    index(lab, "INSERT INTO sessions (%s) SELECT %s FROM sessions WHERE id = ?" % (", ".join(cols), picked), new.bytes, uuid.UUID(sid).bytes)
    source, folder = day_of(lab, sid), day_of(lab, str(new))
    for d in (folder.parent.parent, folder.parent, folder):
        if not d.exists():
            d.mkdir()
            shutil.copystat(source, d)
            os.chown(d, source.stat().st_uid, source.stat().st_gid)
    f = folder / (str(new) + ".0001.age")
    shutil.copy(source / (sid + ".0001.age"), f)
    if size:
        os.truncate(f, size)
    os.chown(f, source.stat().st_uid, source.stat().st_gid)
    f.chmod(0o640)
    os.utime(f, (at / 1000, at / 1000))
    planted.append(str(new))
    return str(new)


@pytest.fixture
def sid(lab, me):
    """A recording of today."""
    known = {s["id"] for s in lab.ctl("session", "list", "--limit", 500)}
    assert me.ssh("echo kept").returncode == 0
    return L.wait_for("it ended", lambda: [s for s in lab.ctl("session", "list") if s["id"] not in known and s["state"] == "ended"])[0]["id"]


@pytest.fixture
def policies(lab):
    yield
    for p in lab.ctl("recording", "policy", "list"):
        lab.ctl("recording", "policy", "remove", *(["--department", p["department"]] if p["department"] else []))
    for r in lab.ctl("recording", "list", "--held"):
        lab.ctl("recording", "release", r["id"])
    for sid in planted:
        for f in day_of(lab, sid).glob(sid + ".*"):
            f.unlink()
    planted.clear()


def listed(lab, *args):
    return [r["id"] for r in lab.ctl("recording", "list", *args)]


def go(lab, *args):
    return {r["id"]: r["why"] for r in lab.ctl("recording", "retention", *args)}


def kinds(lab, sid):
    return [e["kind"] for e in lab.ctl("audit", "list", "--session", sid, "--limit", 100)]


def test_recordings_are_listed_by_user_asset_time_size_hold_and_state(lab, me, sid, policies):
    was = old(lab, sid, 30, 5000000)
    row = next(r for r in lab.ctl("recording", "list") if r["id"] == sid)
    assert (row["state"], row["user"], row["asset"], row["segments"], row["held"]) == ("whole", "alice", "web1", 1, None) and row["bytes"] > 0
    assert listed(lab).index(sid) < listed(lab).index(was)                # newest first
    assert was in listed(lab, "--larger", "4M") and sid not in listed(lab, "--larger", "4M")
    month = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 20 * DAY))
    assert listed(lab, "--until", month) == [was] and was not in listed(lab, "--since", month)
    assert listed(lab, "--asset", "db1") == [] and sid in listed(lab, "--user", "alice", "--asset", "web1", "--state", "whole")
    lab.ctl("recording", "hold", was, "case 9")
    held = lab.ctl("recording", "list", "--held")
    assert [(r["id"], r["held"]) for r in held] == [(was, "case 9")]
    e = L.Echo(lab, me)
    assert L.wait_for("it is live", lambda: listed(lab, "--state", "live")) == [s["id"] for s in me.live()]
    assert e.end() == 0
    lab.ctl("recording", "release", was)
    lab.ctl("recording", "delete", was, "test")
    L.wait_for("it is gone", lambda: was in listed(lab, "--state", "gone"))
    assert was not in listed(lab)
    assert lab.ctl_run("recording", "list", "--larger", "4X").returncode != 0


def test_what_is_older_than_the_policy_goes_and_leaves_its_entries(lab, sid, policies):
    gone, held, young = old(lab, sid, 200), old(lab, sid, 300), old(lab, sid, 100)
    lab.ctl("recording", "hold", held, "case 7")
    lab.ctl("recording", "policy", "set", "--keep", "180d")
    assert go(lab, "--dry-run") == {gone: "older than 180 days (policy)"} and files(lab, gone)
    assert list(go(lab)) == [gone]
    L.wait_for("it is gone", lambda: not files(lab, gone))
    L.wait_for("the entries", lambda: kinds(lab, gone)[:2] == ["recording.deleted", "recording.delete"])     # newest first
    entry = [e for e in lab.ctl("audit", "list", "--session", gone) if e["kind"] == "recording.delete"][0]
    assert "older than 180 days" in entry["text"]
    assert files(lab, young) == ["0001.age"] and files(lab, held) == ["0001.age", "hold"] and files(lab, sid) == ["0001.age"]
    # Who can write the database cannot take a hold away, nor make a recording older than its files.
    lab.sql("DELETE FROM settings WHERE key = ?", "recording.hold." + held)
    index(lab, "UPDATE sessions SET started_us = 1, ended_us = 2 WHERE id = ?", uuid.UUID(young).bytes)
    assert go(lab) == {} and files(lab, held) and files(lab, young)


def test_a_department_may_keep_longer(lab, sid, policies):
    lab.ctl("department", "create", "vaulted")
    lab.ctl("asset", "update", "web1", "--department", "vaulted")
    try:
        a, b = old(lab, sid, 200), old(lab, sid, 500)
        lab.ctl("recording", "policy", "set", "--keep", "180d")
        assert set(go(lab, "--dry-run")) == {a, b}
        lab.ctl("recording", "policy", "set", "--keep", "400d", "--department", "vaulted")
        assert go(lab, "--dry-run") == {b: "older than 400 days (policy of vaulted)"}
        assert {p["department"]: p["keep_s"] for p in lab.ctl("recording", "policy", "list")} == {None: 180 * DAY, "vaulted": 400 * DAY}
    finally:
        lab.ctl("asset", "update", "web1", "--department", "")


def test_size_takes_the_oldest_but_nothing_young(lab, sid, policies):
    a, b, c = old(lab, sid, 60, 30 << 20), old(lab, sid, 50, 30 << 20), old(lab, sid, 2, 30 << 20)
    lab.ctl("recording", "policy", "set", "--max-size", "75M")
    why = go(lab, "--dry-run")
    assert a in why and b not in why and c not in why and why[a] == "more than 75 MiB (policy)"
    lab.ctl("recording", "policy", "set", "--max-size", "1M")
    assert {a, b} <= set(go(lab, "--dry-run")) and c not in go(lab, "--dry-run")      # a week is kept whatever the size
    lab.ctl("recording", "policy", "set", "--at-least", "1d")
    assert c in go(lab, "--dry-run") and sid not in go(lab, "--dry-run")


def test_by_itself_it_deletes_a_few_and_asks_for_many(lab, sid, policies):
    many = [old(lab, sid, 1000 + i) for i in range(40)]
    lab.ctl("recording", "policy", "set", "--keep", "900d")
    lab.write_config(retention_every="1s")
    lab.procs["sallyport"].send_signal(signal.SIGHUP)
    try:
        L.wait_for("an alarm", lambda: lab.alarms("retention-refused"))
        assert "at once" in lab.alarms("retention-refused")[-1]["text"]
        assert all(files(lab, m) for m in many)
        assert "at once" in lab.ctl_run("doctor").stdout
        lab.ctl("recording", "retention")           # somebody looked
        L.wait_for("they are gone", lambda: not any(files(lab, m) for m in many))
        few = old(lab, sid, 950)
        L.wait_for("by itself", lambda: not files(lab, few))
        L.wait_for("its entries", lambda: "recording.deleted" in kinds(lab, few))
        assert files(lab, sid)
    finally:
        lab.write_config(retention_every="1h")
        lab.procs["sallyport"].send_signal(signal.SIGHUP)
