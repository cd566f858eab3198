"""A long recording goes on in further segments: each a file of its own for stock tools, one recording for everything of ours."""
import hashlib
import json
import os
import signal
import subprocess

import pytest

import lab as L
from terminal import Terminal

CONFIG = {"record_segment_mb": 1}
NOISE = "head -c %d /dev/urandom | base64"       # does not compress away


def files(lab, sid, end=".age"):
    return sorted((lab.data / "state" / "recordings").rglob(sid + ".0*" + end))


def plain(lab, f, key="auditor"):
    p = subprocess.run("age -d -i %s %s | zstd -dcq" % (lab.auditor(key)[0], f), shell=True, check=True, capture_output=True)
    return [json.loads(line) for line in p.stdout.decode().splitlines()]


def record(lab, me, kill=False):
    """A shell that prints more than a segment holds, twice; the id of its session."""
    known = {s["id"] for s in lab.ctl("session", "list", "--limit", 500)}
    with Terminal(lab.dir, lab.ssh_argv(me.to0, key=me.key, options=["-tt"])) as t:
        t.wait("$")
        t.line("echo fir''st words")
        t.wait("first words")
        for i in (2, 3):
            t.line(NOISE % 1500000 + "; echo part $((%d*111))" % i)
            t.wait("part %d" % (i * 111))
            sid = [s["id"] for s in lab.ctl("session", "list") if s["id"] not in known][0]
            t.line("clear; echo now")
            t.wait("now")
            L.wait_for("a further segment", lambda: len([f for f in files(lab, sid) if f.stat().st_size > 0]) >= i)
        t.line("echo la''st words")
        t.wait("last words")
        if kill:
            L.wait_for("it is in the tail", lambda: "last words" in lab.ctl_run("session", "play", sid, "--key", lab.auditor()[0]).stdout)
            os.kill(lab.ctl("session", "show", sid)["scribe_pid"], signal.SIGKILL)
        else:
            t.line("exit")
        t.status()
    L.wait_for("it ended", lambda: lab.session(sid)["state"] == "ended")
    return sid


@pytest.fixture(scope="module")
def whole(lab):
    class Me:
        to0, key = "%s@%s" % (lab.info["user"], lab.info["targets"][0]), lab.info["user_key"]
    return record(lab, Me)


def events(lab, sid, kind):
    return [e["body"] for e in lab.ctl("session", "show", sid)["events"] if e["kind"] == kind]


def test_each_segment_is_a_file_for_stock_tools(lab, whole):
    all_files = files(lab, whole)
    assert len(all_files) >= 3 and [f.name[-8:-4] for f in all_files] == ["%04d" % (i + 1) for i in range(len(all_files))]
    row = next(r for r in lab.ctl("recording", "list") if r["id"] == whole)
    assert row["segments"] == len(all_files) and row["state"] == "whole" and row["bytes"] == sum(f.stat().st_size for f in all_files)
    at = 0
    for n, f in enumerate(all_files, 1):
        lines = plain(lab, f)
        assert lines[0]["version"] == 2 and lines[0]["sallyport"].get("segment", 1) == n
        assert lines[0]["sallyport"].get("offset_us", 0) >= at
        at = lines[0]["sallyport"].get("offset_us", 0)
        if n > 1:           # it shows the screen as it was
            assert [e[1] for e in lines[1:] if e[1] in "or"][0] == "r" and any("\x1bc" in e[2] for e in lines[1:10] if e[1] == "o")
    assert "first words" in str(plain(lab, all_files[0])) and "last words" in str(plain(lab, all_files[-1]))


def test_play_export_and_search_go_over_all_of_them(lab, whole):
    r = lab.ctl_run("session", "export", whole, "--key", lab.auditor()[0])
    lines = [json.loads(line) for line in r.stdout.splitlines()]
    assert r.returncode == 0 and isinstance(lines[0], dict) and all(isinstance(e, list) for e in lines[1:])
    assert all(a[0] <= b[0] for a, b in zip(lines[1:], lines[2:]))
    said = "".join(e[2] for e in lines[1:] if e[1] == "o")
    assert said.index("first words") < said.index("part 222") < said.index("part 333") < said.index("last words")
    text = lab.ctl_run("session", "export", whole, "--format", "txt", "--key", lab.auditor()[0]).stdout
    assert "first words" in text and "last words" in text
    r = lab.ctl_run("session", "play", whole, "--search", "last words", "--key", lab.auditor()[0])
    assert r.returncode == 0 and "last words" in r.stdout and "first words" not in r.stdout
    r = lab.ctl_run("session", "export", whole, "--format", "age")
    assert r.returncode != 0 and "--segment" in r.stderr
    two = subprocess.run(lab.ctl_argv("session", "export", whole, "--format", "age", "--segment", 2), capture_output=True, check=True).stdout
    assert two == files(lab, whole)[1].read_bytes()
    assert "last words" in lab.ctl_run("session", "play", files(lab, whole)[0], "--key", lab.auditor()[0]).stdout     # the files themselves


def test_the_log_vouches_for_every_one(lab, whole, tmp_path):
    all_files = files(lab, whole)
    said = {e["segment"]: e for e in events(lab, whole, "segment") + events(lab, whole, "end")}
    assert sorted(said) == list(range(1, len(all_files) + 1))
    for n, f in enumerate(all_files, 1):
        data = f.read_bytes()
        header = data.index(b"\n", data.index(b"\n--- ") + 1) + 1
        assert hashlib.sha256(data[:header]).hexdigest() == said[n]["header_sha256"]
        assert hashlib.sha256(data[header:]).hexdigest() == said[n]["payload_sha256"]
    L.wait_for("a head over it", lambda: lab.session(whole)["integrity"] == "signed")

    def export(name):
        return subprocess.run([str(lab.exe("sallyport")), "--json", "evidence", "export", whole, "--output", str(tmp_path / name), "--config",
                               str(lab.conf)], capture_output=True, text=True, timeout=60)
    r = export("good")
    assert r.returncode == 0 and [o["agrees"] for o in json.loads(r.stdout)["recordings"]] == [True] * len(all_files), r
    middle = all_files[1].rename(all_files[1].with_suffix(".away"))
    try:
        r = export("without")       # one that is taken out of the middle is missed
    finally:
        middle.rename(all_files[1])
    assert r.returncode == 1 and "is not there" in r.stderr, r


def test_a_recorder_that_is_killed_in_a_later_segment_loses_no_more_than_a_second(lab, me):
    sid = record(lab, me, kill=True)
    torn = L.wait_for("it is marked", lambda: events(lab, sid, "torn"))[0]
    assert torn["segment"] == len(files(lab, sid)) >= 3
    r = lab.ctl_run("session", "play", sid, "--key", lab.auditor()[0])
    assert r.returncode == 0 and "last words" in r.stdout and "torn" in r.stderr, r
    assert next(r for r in lab.ctl("recording", "list") if r["id"] == sid)["state"] == "torn"


def test_new_headers_and_deletion_reach_every_one(lab, whole):
    lab.ctl("auditor", "key", "add", "late", lab.auditor("late")[1])
    out = lab.ctl("recording", "rewrap", "--key", lab.auditor()[0], whole)
    assert [o["segment"] for o in out] == list(range(1, len(files(lab, whole)) + 1))
    assert "last words" in str(plain(lab, files(lab, whole)[-1], "late")) and "first words" in str(plain(lab, files(lab, whole)[0], "late"))
    lab.ctl("recording", "delete", whole, "test")
    L.wait_for("all are gone", lambda: not list((lab.data / "state" / "recordings").rglob(whole + ".*")))
