"""Contents of files that a grant keeps: encrypted to the auditors beside the recording, read with stock age and with ours."""
import hashlib
import json
import os
import signal
import struct
import subprocess

import pytest

import lab as L
from test_files import CREAT, OK, READ, WRITE, Person, found, put_here, put_there, s, space, standard  # noqa: F401
from test_files import q as u64


@pytest.fixture(scope="module")
def keeper(lab, standard, space):
    return Person(lab, standard, "kira", "--keep-files", "uploads", "--keep-max", "2", folder=space[1])


@pytest.fixture(scope="module")
def taker(lab, standard, space):
    return Person(lab, standard, "tomi", "--keep-files", "both", folder=space[1])


def kept_path(lab, sid):
    return next(iter((lab.data / "state" / "recordings").rglob(sid + ".files.age")), None)


def ended(lab, sid):
    L.wait_for("the end", lambda: lab.ctl("session", "show", sid)["state"] == "ended")


def records(lab, path):
    """What docs/protocol/recording.md says, in ten lines: stock age, then records."""
    plain = subprocess.run(["age", "-d", "-i", str(lab.auditor("auditor2")[0]), str(path)], capture_output=True, check=True).stdout
    assert plain[:8] == b"SPKEPT01"
    at, out = 8, []
    while at < len(plain):
        n, kind, file = struct.unpack("<IBI", plain[at:at + 9])
        body = plain[at + 9:at + 9 + n]
        out.append((kind, file, json.loads(body) if kind != 2 else (struct.unpack("<Q", body[:8])[0], body[8:])))
        at += 9 + n
    return out


def export(lab, sid, *args, key="auditor"):
    return lab.ctl_run("file", "export", sid, "--key", lab.auditor(key)[0], *args)


def test_a_grant_shows_what_it_keeps(lab, keeper):
    assert (keeper.grant["keep_files"], keeper.grant["keep_max_mb"]) == ("uploads", 2)
    r = lab.ctl_run("grant", "create", "--user", "kira", "--asset", "web1", "--account", "x", "--keep-max", "5")
    assert r.returncode != 0 and "keep_files" in r.stderr


@pytest.mark.parametrize("mode", ["-s", "-O"])
def test_uploads_are_kept_and_downloads_are_not(lab, space, keeper, tmp_path, mode):
    data = os.urandom(1_500_000)
    here, there = put_here(space, "up" + mode, data), put_there(space, "down" + mode)
    assert keeper.scp(here, "127.0.0.1:%s" % (space[0] / ("kept" + mode)), mode=mode).returncode == 0
    up = found(keeper, "--path", "kept" + mode, n=1)[-1]
    assert (up["op"], up["kept"], up["kept_bytes"]) == ("upload", 1, len(data)) and "kept_missing" not in up
    ended(lab, up["session"])
    path = kept_path(lab, up["session"])
    assert data[:64] not in path.read_bytes()
    got = records(lab, path)
    assert b"".join(b[1] for k, f, b in got if k == 2) == data and got[0][2]["path"].endswith("kept" + mode)
    assert got[-1][0] == 3 and got[-1][2]["sha256"] == hashlib.sha256(data).hexdigest()
    r = export(lab, up["session"], "--output", tmp_path / "out")
    assert r.returncode == 0 and "SHA-256 as in the log" in r.stdout, r
    assert [p.read_bytes() for p in (tmp_path / "out").iterdir()] == [data]
    r = export(lab, up["session"], "--output", tmp_path / "other", key="stranger")
    assert r.returncode != 0 and "not encrypted to this key" in r.stderr
    # the log vouches for the file
    raw = path.read_bytes()
    cut = raw.index(b"\n--- ") + 1
    cut = raw.index(b"\n", cut) + 1
    kept = [e["body"] for e in lab.ctl("session", "show", up["session"])["events"] if e["kind"] == "kept"][0]
    assert (kept["header_sha256"], kept["payload_sha256"]) == (hashlib.sha256(raw[:cut]).hexdigest(), hashlib.sha256(raw[cut:]).hexdigest())
    assert keeper.scp("127.0.0.1:%s" % there, here, mode=mode).returncode == 0
    down = found(keeper, "--path", "down" + mode, n=1)[-1]
    assert down["op"] == "download" and "kept" not in down
    ended(lab, down["session"])
    L.wait_for("no empty file is left", lambda: kept_path(lab, down["session"]) is None)
    r = export(lab, down["session"])
    assert r.returncode != 0 and "nothing was kept" in r.stderr


def test_what_is_larger_than_the_limit_is_said(lab, space, keeper, tmp_path):
    data = os.urandom(3 * 1024 * 1024)
    assert keeper.sftp("put %s %s\n" % (put_here(space, "large", data), space[0] / "large")).returncode == 0
    row = found(keeper, "--path", "/large", n=1)[-1]
    assert (row["kept_bytes"], row["kept_missing"]) == (2 << 20, 1 << 20) and row["bytes"] == len(data)
    ended(lab, row["session"])
    r = export(lab, "%s/%d" % (row["session"], row["kept"]), "--output", tmp_path / "out")
    assert r.returncode == 0 and "1048576 more were not kept" in r.stdout
    # the client sends without waiting, and in order here: the first 2 MiB
    assert [p.read_bytes() for p in (tmp_path / "out").iterdir()] == [data[:2 << 20]]


def test_out_of_order_resumed_and_beyond_4_gib(lab, space, taker, tmp_path):
    """64 requests at once, backwards; a resumed file; a byte beyond 4 GiB; both directions of one file."""
    blocks = [os.urandom(3000) for _ in range(64)]
    x = taker.packets()
    h = x.open(space[0] / "mixed", WRITE | READ | CREAT)
    out = b"".join(struct.pack(">IB", 4 + len(h) + 8 + 4 + 3000 + 1, 6) + struct.pack(">I", 5000 + i) + h + u64(i * 3000) + s(blocks[i])
                   for i in reversed(range(64)))
    x.p.stdin.write(out)
    x.p.stdin.flush()
    for _ in range(64):
        assert x.read()[0] == 101
    assert x.ask(5, h, u64(0), 3000)[1][4:] == blocks[0] and x.ask(4, h) == OK
    far = x.open(space[0] / "far", WRITE | CREAT)
    assert x.ask(6, far, u64((5 << 32) + 7), s(b"beyond")) == OK and x.ask(4, far) == OK
    assert x.close()[0] == 0
    (space[0] / "far").unlink()
    rows = {(r["op"], os.path.basename(r["path"])): r for r in found(taker, "--path", "/", n=3)}
    sid = rows["upload", "mixed"]["session"]
    ended(lab, sid)
    got = records(lab, kept_path(lab, sid))
    whole = bytearray(64 * 3000)
    for k, f, b in got:
        if k == 2 and f == rows["upload", "mixed"]["kept"]:
            whole[b[0]:b[0] + len(b[1])] = b[1]
    assert bytes(whole) == b"".join(blocks)
    assert [b for k, f, b in got if k == 2 and f == rows["upload", "far"]["kept"]] == [((5 << 32) + 7, b"beyond")]
    r = export(lab, sid, "--output", tmp_path / "out")
    assert r.returncode == 0 and "from byte %d on" % ((5 << 32) + 7) in r.stdout, r
    files = {p.name: p for p in (tmp_path / "out").iterdir()}
    assert (next(p for n, p in files.items() if p.stat().st_size == 64 * 3000)).read_bytes() == b"".join(blocks)
    with open(next(p for n, p in files.items() if n.endswith("far")), "rb") as f:
        f.seek((5 << 32) + 7)
        assert f.read() == b"beyond"
    # a resumed upload says where it began
    data = os.urandom(500_000)
    here, there = put_here(space, "resume.k", data), put_there(space, "resume.k", data[:200_000])
    assert taker.sftp("reput %s %s\n" % (here, there)).returncode == 0
    row = found(taker, "--path", "resume.k", n=1)[-1]
    ended(lab, row["session"])
    r = export(lab, row["session"], "--output", tmp_path / "resumed")
    assert r.returncode == 0 and "from byte 200000 on" in r.stdout
    assert next((tmp_path / "resumed").iterdir()).read_bytes() == bytes(200_000) + data[200_000:]


def test_kept_files_are_held_and_deleted_with_the_recording(lab, space, taker):
    assert taker.sftp("put %s %s\n" % (put_here(space, "gone", b"x" * 100), space[0] / "gone")).returncode == 0
    sid = found(taker, "--path", "/gone", n=1)[-1]["session"]
    ended(lab, sid)
    assert kept_path(lab, sid) is not None
    lab.ctl("recording", "hold", sid, "a case")
    assert lab.ctl_run("recording", "delete", sid, "old").returncode != 0 and kept_path(lab, sid) is not None
    lab.ctl("recording", "release", sid)
    lab.ctl("recording", "delete", sid, "old")
    L.wait_for("both are gone", lambda: kept_path(lab, sid) is None)
    assert "deleted with its recording" in export(lab, sid).stderr


def test_what_a_killed_recorder_left_is_read_and_a_change_is_seen(lab, space, taker, tmp_path):
    x = taker.packets()
    h = x.open(space[0] / "torn", WRITE | CREAT)
    for i in range(10):
        assert x.ask(6, h, u64(i * 30000), s(bytes([65 + i]) * 30000)) == OK
    sid = [r["id"] for r in lab.ctl("session", "list", "--state", "live", "--user", "tomi")][0]
    L.wait_for("whole chunks are on the disk", lambda: kept_path(lab, sid).stat().st_size > 4 * 65552)
    pid = next(int(p) for p in os.listdir("/proc") if p.isdigit() and scribe_has(p, sid))
    os.kill(pid, signal.SIGKILL)
    x.p.wait(30), x.close()
    ended(lab, sid)
    r = export(lab, sid, "--output", tmp_path / "out")
    assert r.returncode == 0 and "not closed" in r.stdout and "The end is missing" in r.stdout + r.stderr, r
    data = next((tmp_path / "out").iterdir()).read_bytes()
    assert data and b"".join(bytes([65 + i]) * 30000 for i in range(10)).startswith(data) and len(data) > 3 * 65536
    copy = tmp_path / "copy.files.age"
    raw = bytearray(kept_path(lab, sid).read_bytes())
    raw[len(raw) // 2] ^= 1
    copy.write_bytes(raw)
    r = export(lab, copy, "--output", tmp_path / "bad")
    assert r.returncode != 0 and "changed or cut" in r.stderr


def scribe_has(pid, sid):
    try:
        return any(sid + ".files.age" in os.readlink("/proc/%s/fd/%s" % (pid, f)) for f in os.listdir("/proc/%s/fd" % pid))
    except OSError:
        return False
