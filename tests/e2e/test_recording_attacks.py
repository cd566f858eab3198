"""Who may write where recordings lie, or prints what he likes: each is detected, or harmless, and the name of the test says which.
Chunks and headers that are edited, cut or reordered: test_recordings.py and test_evidence.py; a disk that is filled: test_full_disk.py."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import time
import uuid

import pytest

import lab as L
from terminal import Terminal

CHUNK = 65536


def recordings(lab):
    return lab.data / "state" / "recordings"


def files(lab, sid):
    return {p.name[37:]: p for p in recordings(lab).rglob(sid + ".*")}


def export(lab, sid, to):
    argv = [str(lab.exe("sallyport")), "--json", "evidence", "export", sid, "--output", str(to), "--config", str(lab.conf)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


def ended(lab, known):
    return L.wait_for("it ended", lambda: [s for s in lab.ctl("session", "list") if s["id"] not in known and s["state"] == "ended"])[0]["id"]


def known(lab):
    return {s["id"] for s in lab.ctl("session", "list", "--limit", 500)}


@pytest.fixture(scope="module")
def torn(lab):
    """A recording whose recorder was killed: its last lines are in the tail files."""
    before = known(lab)
    who, key = "%s@%s" % (lab.info["user"], lab.info["targets"][0]), lab.info["user_key"]
    with Terminal(lab.dir, lab.ssh_argv(who, key=key, options=["-tt"])) as t:
        t.wait("$")
        for i in range(1, 6):
            t.line("echo said $((%d*111))" % i)
            t.wait("said %d" % (i * 111))
        sid = L.wait_for("the session", lambda: [s for s in lab.ctl("session", "list") if s["state"] == "live"])[0]["id"]
        L.wait_for("it is in the tail", lambda: "said 555" in lab.ctl_run("session", "play", sid, "--key", lab.auditor()[0]).stdout)

        def enough():       # a record a second: on a fast machine all of the above is in two
            t.line("true")
            t.wait("$")
            return any(len(records(f.read_bytes())) > 2 for n, f in files(lab, sid).items() if n.startswith("0001.tail"))
        L.wait_for("three records in a tail", enough)
        os.kill(lab.ctl("session", "show", sid)["scribe_pid"], signal.SIGKILL)
        t.status()
    assert ended(lab, before) == sid
    L.wait_for("what was there is in the log", lambda: [e for e in lab.ctl("session", "show", sid)["events"] if e["kind"] == "torn"])
    L.wait_for("a head over it", lambda: lab.session(sid)["integrity"] == "incomplete" or lab.session(sid)["integrity"] == "signed")
    return sid


def records(data):
    """Of a tail file: magic and generation, then u32 length, u64 number, bytes of each."""
    got, at = [], 16
    while at < len(data):
        n = 12 + int.from_bytes(data[at:at + 4], "little")
        got.append(data[at:at + n])
        at += n
    return got


def changes(data):
    """One tail file, edited, cut, and with its records in another order."""
    all_ = records(data)
    assert len(all_) > 2
    return {"edited": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], "cut": data[:16] + b"".join(all_[:-1]),
            "reordered": data[:16] + b"".join(reversed(all_)), "replaced": data[:16] + b"".join([all_[0], *all_[2:]])}


def test_a_tail_record_that_is_edited_cut_or_reordered_is_detected(lab, torn, tmp_path):
    tails = {n: f for n, f in files(lab, torn).items() if n.startswith("0001.tail") and f.stat().st_size > 100}
    name, tail = max(tails.items(), key=lambda kv: kv[1].stat().st_size)
    good = tail.read_bytes()
    r = export(lab, torn, tmp_path / "good")
    assert r.returncode == 0, r
    whole = lab.ctl_run("session", "play", torn, "--key", lab.auditor()[0]).stdout
    for what, data in changes(good).items():
        tail.write_bytes(data)
        try:
            r = export(lab, torn, tmp_path / what)
            p = lab.ctl_run("session", "play", torn, "--key", lab.auditor()[0])
        finally:
            tail.write_bytes(good)
        assert r.returncode == 1 and "%s has another hash" % name[5:] in r.stderr, (what, r)
        assert p.returncode != 0 or "torn" in p.stderr, (what, p)
        assert p.returncode != 0 or set(p.stdout.split()) <= set(whole.split()), what      # nothing is shown that was not said
    tail.unlink()
    try:
        r = export(lab, torn, tmp_path / "gone")
    finally:
        tail.write_bytes(good)
        shutil.copymode(next(iter(files(lab, torn).values())), tail)
    assert r.returncode == 1 and "is not there" in r.stderr, r


@pytest.mark.skipif(not L.ROOT, reason="as an ordinary user the recorder and the tests are the same user")
def test_a_symlink_for_the_directory_of_the_day_is_not_followed(lab, me, tmp_path):
    assert me.ssh("true").returncode == 0
    tmp_path.chmod(0o777)
    day = recordings(lab) / time.strftime("%Y/%m/%d", time.gmtime())
    if time.gmtime().tm_hour == 23 and time.gmtime().tm_min >= 58:
        pytest.skip("the day is about to change")
    away = day.with_name("away")
    day.rename(away)
    day.symlink_to(tmp_path)
    try:
        r = me.ssh("echo in")
        assert r.returncode != 0 and r.stdout == "" and "no session without a recording" in r.stderr, r
        assert list(tmp_path.iterdir()) == []
        assert lab.ctl("recording", "list") == []           # nor does the list look there
    finally:
        day.unlink()
        away.rename(day)
    assert me.ssh("echo in").stdout == "in\n"


def test_symlinks_and_strangers_in_the_folder_are_not_deleted_through_by_a_policy(lab, me, torn, tmp_path):
    """Retention walks the disk: what it finds there may have been planted."""
    f = next(iter(files(lab, torn).values()))
    victim = tmp_path / "victim"
    victim.mkdir()
    old = "01700000-0000-7000-8000-000000000001"        # of 2020
    (victim / (old + ".0001.age")).write_bytes(b"x")
    year = recordings(lab) / "2020"
    year.mkdir()
    (year / "04").mkdir()
    (year / "04" / "01").symlink_to(victim)
    plant = f.with_name(torn + ".0001.link")
    plant.symlink_to("/etc/passwd")
    (f.parent / "../../stranger").resolve().write_bytes(b"y")
    lab.ctl("recording", "policy", "set", "--keep", "1", "--at-least", "0")
    lab.ctl("recording", "hold", torn, "it is the other tests'")
    try:
        assert torn not in [r["id"] for r in lab.ctl("recording", "retention", "--dry-run")]
        lab.ctl("recording", "retention")
        assert lab.ctl_run("recording", "delete", torn, "it is held").returncode != 0
        assert (victim / (old + ".0001.age")).exists() and pathlib.Path("/etc/passwd").exists() and (f.parent / "../../stranger").resolve().exists()
    finally:
        lab.ctl("recording", "policy", "remove")
        lab.ctl("recording", "release", torn)
        plant.unlink()
        shutil.rmtree(year)
        (f.parent / "../../stranger").resolve().unlink()


def test_a_path_in_the_database_leads_nowhere(lab, me):
    before = known(lab)
    assert me.ssh("echo mine").returncode == 0
    sid = ended(lab, before)
    with contextlib.closing(sqlite3.connect(lab.data / "state" / "store" / "evidence.db", timeout=20)) as db, db:
        db.execute("UPDATE sessions SET recording = '../../../../etc/passwd' WHERE id = ?", (uuid.UUID(sid).bytes,))
    r = lab.ctl_run("session", "export", sid, "--key", lab.auditor()[0])
    assert r.returncode == 0 and "mine" in r.stdout and "root:" not in r.stdout, r


def most_memory(pid):
    return int(next(line for line in pathlib.Path("/proc/%d/status" % pid).read_text().splitlines() if line.startswith("VmHWM")).split()[1])


@pytest.mark.parametrize("pty", [True, False])
def test_output_without_end_in_one_line_is_recorded_in_little_memory(lab, me, pty):
    """A terminal: all of it. Without one it is counted and hashed. What it takes does not grow with the line."""
    n = (32 << 20) if pty else 256 << 20
    before = known(lab)
    command = "stty -opost 2>/dev/null; head -c %d /dev/zero | tr '\\0' x; echo; echo; read end" % n
    p = subprocess.Popen(lab.ssh_argv(me.to0, command, key=me.key, options=["-tt"] if pty else []), stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    got = 0
    while got < n:
        got += len(p.stdout.read1(1 << 20))
    scribe = lab.ctl("session", "show", next(s["id"] for s in me.live()))["scribe_pid"]
    assert most_memory(scribe) < 65536
    p.stdin.write(b"\r\n")
    p.stdin.flush()
    rest = p.communicate(timeout=60)[0]
    assert got + len(rest) >= n
    sid = ended(lab, before)
    end = next(e["body"] for e in lab.ctl("session", "show", sid)["events"] if e["kind"] == "end")
    assert end["bytes_out"] >= n and "bytes_not_recorded" not in end
    f = files(lab, sid)["0001.age"]
    plain = subprocess.run("age -d -i %s %s | zstd -dcq | tail -c 2000" % (lab.auditor()[0], f), shell=True, check=True, capture_output=True).stdout
    assert json.loads(json.loads(plain.splitlines()[-1])[2])["kind"] == "end"
