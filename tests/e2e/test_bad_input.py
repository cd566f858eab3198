"""Hostile and unlucky input: nothing falls over, nothing is lost, the next login works."""
import contextlib
import hashlib
import os
import pathlib
import random
import re
import socket
import subprocess
import time

import pytest

import lab as L
import tour as T

CONFIG = {"max_startups_source": 60, "max_startups": 200, "login_grace": "5s"}


@pytest.fixture(autouse=True)
def still_serving(lab, me):
    yield
    L.wait_for("a login after the attack", lambda: me.ssh("echo ok").stdout == "ok\n", 20)


def connect(lab):
    s = socket.create_connection(("127.0.0.1", lab.port), 5)
    s.settimeout(10)
    return s


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
                                   b"\0" * 4096, b"SSH-1.5-old\r\n", b"SSH-2.0-" + b"A" * 5000 + b"\r\n", b"\xff\xfe\r\n" * 100,
                                   b"SSH-2.0-x\r\n" + b"\xff\xff\xff\xff" * 64, b"SSH-2.0-x\r\n" + b"\0\0\0\x0c\x04\x14" + b"\0" * 64])
def test_what_port_scanners_send_is_dropped(lab, first):
    with connect(lab) as s:
        with contextlib.suppress(OSError):
            s.sendall(first)
            end = time.monotonic() + 8
            while s.recv(65536) and time.monotonic() < end:
                pass


def test_random_packets_at_the_start_of_the_exchange_end_that_connection_only(lab):
    rng = random.Random(7)
    for i in range(40):
        with connect(lab) as s, contextlib.suppress(OSError):
            s.recv(256)
            n = rng.randrange(5, 2000)
            s.sendall(b"SSH-2.0-fuzz\r\n" + n.to_bytes(4, "big") + bytes([4]) + rng.randbytes(n))
            s.settimeout(0.2)
            s.recv(4096)


def test_half_open_connections_do_not_keep_others_out(lab, me):
    held = []
    try:
        for _ in range(55):
            held.append(connect(lab))
        L.wait_for("a login among them", lambda: me.ssh("echo in").stdout == "in\n", 30)
    finally:
        for s in held:
            s.close()


def test_a_silent_connection_is_closed_after_the_grace_time(lab):
    with connect(lab) as s:
        s.settimeout(40)		# far above the grace time of this installation; a socket that stays open times out
        s.recv(256)
        with contextlib.suppress(ConnectionError):
            while s.recv(4096):
                pass


def test_a_flood_of_logins_with_wrong_keys_locks_nobody_and_fills_no_log(lab, me):
    before = len(lab.ctl("audit", "list", "--limit", 1000))
    wrong = lab.key("flood.key")
    for _ in range(6):
        jobs = [subprocess.Popen(lab.ssh_argv("alice@x@web1", "true", key=wrong), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL) for _ in range(8)]
        for j in jobs:
            assert j.wait(30) == 255
    assert len(lab.ctl("audit", "list", "--limit", 1000)) - before < 24


@pytest.mark.parametrize("name", ["A" * 10240, "a\x1b[31mb", "a\nb", "a\u202eb", "../../etc/passwd", "'; drop table users; --", "%s%n", ""])
def test_hostile_user_names_are_refused_and_logged_escaped(lab, name):
    import paramiko
    t = paramiko.Transport(("127.0.0.1", lab.port))
    try:
        with contextlib.suppress(paramiko.SSHException, EOFError, UnicodeError):
            t.start_client(timeout=10)
            t.auth_publickey(name, paramiko.Ed25519Key.from_private_key_file(str(lab.info["user_key"])))
        assert not t.is_authenticated()
    finally:
        t.close()
    log = lab.log("sallyport")
    assert "\x1b" not in log and "\u202e" not in log


@pytest.mark.parametrize("asset", ["../../etc/passwd", "/etc/passwd", "web1/../web1", "web1\n", "." * 300])
def test_an_asset_name_that_is_a_path_is_a_name_that_does_not_exist(lab, me, asset):
    import paramiko
    with paramiko.SSHClient() as c:
        c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        with pytest.raises((paramiko.SSHException, EOFError, OSError, AssertionError)):
            c.connect("127.0.0.1", lab.port, username="alice@root@" + asset, key_filename=str(me.key), allow_agent=False, look_for_keys=False)
            i, o, e = c.exec_command("echo in")
            assert o.read() == b"in\n", e.read()
    r = lab.ctl_run("asset", "create", asset, "--address", "127.0.0.1")
    assert r.returncode != 0 and r.stderr.strip()


def test_input_into_a_channel_that_the_target_closed_ends_cleanly(lab, me):
    p = subprocess.Popen(lab.ssh_argv(me.to0, "exec 0<&-; exit 5", key=me.key), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    sent = 0
    chunk = bytes(1 << 20)
    with contextlib.suppress(BrokenPipeError):
        while sent < 5 << 30:
            p.stdin.write(chunk)
            sent += len(chunk)
    with contextlib.suppress(BrokenPipeError):
        p.stdin.close()
    assert p.wait(30) == 5


def test_input_flows_on_into_a_channel_that_the_target_has_closed(lab, me):
    """The command lives on without standard input, and a client that does not know OpenSSH's eow@openssh.com goes on sending. 64 MiB:
    more than every window and buffer on the way together (2 + 2 + 16 MiB), and what is true beyond them is true for 5 GB."""
    import paramiko
    go = lab.dir / "go"
    with paramiko.Transport(("127.0.0.1", lab.port)) as t:
        t.start_client(timeout=20)
        t.auth_publickey(me.to0, paramiko.Ed25519Key.from_private_key_file(str(me.key)))
        ch = t.open_session()
        ch.settimeout(60)
        ch.exec_command("exec 0<&-; echo closed; while [ ! -e %s ]; do sleep 0.1; done; exit 5" % go)
        assert ch.recv(100) == b"closed\n"
        for _ in range(64):
            ch.sendall(bytes(1 << 20))
        rss = int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path("/proc/%d/status" % me.live()[0]["pid"]).read_text()).group(1))
        assert rss < 30 * 1024, rss
        go.touch()
        assert ch.recv_exit_status() == 5


def test_a_target_that_stops_reading_costs_bounded_memory(lab, me):
    p = subprocess.Popen(lab.ssh_argv(me.to0, "sleep 60", key=me.key), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        os.set_blocking(p.stdin.fileno(), False)
        end, sent = time.monotonic() + 4, 0
        while time.monotonic() < end:
            try:
                sent += os.write(p.stdin.fileno(), bytes(1 << 20))
            except BlockingIOError:
                time.sleep(0.05)
        s = me.live()[0]
        rss = int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path("/proc/%d/status" % s["pid"]).read_text()).group(1))
        assert sent < 40 << 20 and rss < 30 * 1024, (sent, rss)
    finally:
        p.kill()
        p.wait()


def test_a_user_whose_validity_lies_in_the_past_is_refused(lab, me):
    account, asset = me.t0.split("@")
    lab.ctl("user", "create", "clock", "--key", str(lab.key("clock.key")) + ".pub", "--valid-until", "2001-01-01")
    lab.ctl("grant", "create", "--user", "clock", "--asset", asset, "--account", account)
    assert lab.ssh("clock@" + me.t0, "true", key=lab.key("clock.key")).returncode == 255


def test_a_full_disk_refuses_new_sessions_clearly_and_administrators_still_work(lab, me):
    if not L.ROOT:
        pytest.skip("a small file system needs root")
    with small_disk_lab(lab) as small:
        who = "alice@" + small.info["targets"][0]
        assert small.ssh(who, "echo ok", key=small.info["user_key"]).stdout == "ok\n"
        p = subprocess.Popen(small.ssh_argv(who, "cat", key=small.info["user_key"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, bufsize=1)
        p.stdin.write("one\n")
        p.stdin.flush()
        assert p.stdout.readline() == "one\n"
        fill = small.state / "fill"
        with open(fill, "wb", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(bytes(1 << 16))
                f.flush()
        r = small.ssh(who, "echo ok", key=small.info["user_key"])
        # Control or the scribe, whoever saw it first.
        assert r.returncode != 0 and ("the disk for recordings has less than" in r.stderr or "disk is nearly full" in r.stderr), r
        sid = next(s["id"] for s in small.ctl("session", "list") if s["state"] == "live")
        small.ctl("session", "kill", sid, "--reason", "disk is full")
        p.communicate(timeout=10)
        L.wait_for("END is on record", lambda: small.session(sid)["state"] == "ended")
        fill.unlink()
        L.wait_for("sessions again", lambda: small.ssh(who, "echo ok", key=small.info["user_key"]).stdout == "ok\n", 20)


@contextlib.contextmanager
def small_disk_lab(lab):
    """Another installation whose state lives on a file system of 48 MiB."""
    folder = lab.dir / "small"
    state = folder / "state"
    state.mkdir(parents=True)
    folder.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=755", "none", state], check=True)
    try:
        with L.Lab(folder, lab.build, config={"state_dir": state, "reserve_mb": 4}) as small:
            small.state = state
            small.info = L.standard(small)
            yield small
    finally:
        subprocess.run(["umount", "-l", state], check=False)


def test_a_locked_database_is_an_error_for_the_caller_and_not_a_hang(lab, me):
    db = next(pathlib.Path(lab.data / "state" / "store").glob("*.db"))
    import sqlite3
    con = sqlite3.connect(db, isolation_level=None)
    con.execute("BEGIN EXCLUSIVE")
    try:
        r = lab.ctl_run("user", "create", "locked-out")
        assert r.returncode != 0
        assert "busy" in r.stderr or "locked" in r.stderr, r
    finally:
        con.execute("ROLLBACK")
        con.close()
    lab.ctl("user", "create", "locked-out")
