"""Malformed packets in every state of a connection, and the limits that time sets."""
import contextlib
import os
import pathlib
import signal
import socket
import struct
import subprocess
import time

import paramiko
import pytest
from paramiko.common import MSG_CHANNEL_REQUEST, cMSG_CHANNEL_REQUEST

import lab as L
from terminal import Terminal

BANNER = "Authorised use only. 仅限授权使用。\n"
CONSENT = "Everything you do here is recorded.\n"


def _write(name, text):
    f = pathlib.Path("/tmp/sp-%s-%d" % (name, os.getpid()))
    f.write_text(text)
    f.chmod(0o644)
    return f


CONFIG = {"keepalive": "1s", "banner": _write("banner", BANNER), "consent": _write("consent", CONSENT)}


@pytest.fixture(scope="module", autouse=True)
def texts_go():
    yield
    for k in ("banner", "consent"):
        CONFIG[k].unlink(missing_ok=True)


def u32(n):
    return struct.pack(">I", n)


def s(b):
    return u32(len(b)) + b


# Payloads (RFC 4253, 4252, 4254) that no client sends, or not then.
PACKETS = {
    "empty": b"\x02",
    "unknown message": b"\xc8abc",
    "unimplemented with nothing": b"\x03",
    "debug cut short": b"\x04\x01\x00\x00\xff\xff",
    "service request again": b"\x05" + s(b"ssh-connection"),
    "service request of nothing": b"\x05" + u32(0xffffffff),
    "kexinit of nothing": b"\x14" + b"\0" * 16,
    "kexinit with huge lists": b"\x14" + b"\0" * 16 + (s(b"a" * 3000) * 10) + b"\0" * 5,
    "newkeys out of order": b"\x15",
    "key exchange reply out of order": b"\x1e" + s(b"\0" * 32),
    "login after the login": b"\x32" + s(b"admin") + s(b"ssh-connection") + s(b"none"),
    "login for another service": b"\x32" + s(b"admin") + s(b"ssh-admin") + s(b"none"),
    "login cut short": b"\x32" + s(b"admin") + u32(5),
    "public key with a huge blob": b"\x32" + s(b"alice") + s(b"ssh-connection") + s(b"publickey") + b"\0" + s(b"ssh-rsa") + s(b"\xff" * 30000),
    "answer that nobody asked for": b"\x3d" + u32(1) + s(b"secret"),
    "answers without number": b"\x3d" + u32(0xffffffff),
    "success from a client": b"\x34",
    "global request cut short": b"\x50" + u32(100) + b"x",
    "global request of a strange kind": b"\x50" + s(b"\x1b[2J\xff\xfe") + b"\x01",
    "listen everywhere": b"\x50" + s(b"tcpip-forward") + b"\x01" + s(b"") + u32(0),
    "listen on a port that is none": b"\x50" + s(b"tcpip-forward") + b"\x01" + s(b"0.0.0.0") + u32(99999),
    "open of nothing": b"\x5a",
    "open of a strange type": b"\x5a" + s(b"tun@openssh.com") + u32(9) + u32(100) + u32(100) + u32(1),
    "open with no window and huge packets": b"\x5a" + s(b"session") + u32(7) + u32(0) + u32(0xffffffff),
    "forward to nowhere": b"\x5a" + s(b"direct-tcpip") + u32(8) + u32(100) + u32(100) + s(b"") + u32(0) + s(b"") + u32(0),
    "forward cut short": b"\x5a" + s(b"direct-tcpip") + u32(8) + u32(100) + u32(100) + u32(0x7fffffff),
    "confirmation that nobody asked for": b"\x5b" + u32(0) + u32(0) + u32(1) + u32(1),
    "window of a channel that is not": b"\x5d" + u32(77) + u32(1),
    "window that overflows": b"\x5d" + u32(0) + u32(0xffffffff),
    "data to a channel that is not": b"\x5e" + u32(77) + s(b"x"),
    "data cut short": b"\x5e" + u32(0) + u32(1000) + b"x",
    "error stream of a client": b"\x5f" + u32(0) + u32(1) + s(b"x"),
    "end of a channel that is not": b"\x60" + u32(0xffffffff),
    "close of a channel that is not": b"\x61" + u32(0xffffffff),
    "request to a channel that is not": b"\x62" + u32(99) + s(b"shell") + b"\x01",
    "request cut short": b"\x62" + u32(0) + s(b"exec") + b"\x01" + u32(0xffffff),
    "terminal with huge modes": b"\x62" + u32(0) + s(b"pty-req") + b"\x01" + s(b"x") + u32(0xffffffff) * 4 + s(b"\x01" * 20000),
    "environment of 30 KB": b"\x62" + u32(0) + s(b"env") + b"\x01" + s(b"LC_X") + s(b"y" * 30000),
    "subsystem that is a path": b"\x62" + u32(0) + s(b"subsystem") + b"\x01" + s(b"/bin/sh"),
    "command with a null byte": b"\x62" + u32(0) + s(b"exec") + b"\x01" + s(b"true\0rm"),
    "shell twice": (b"\x62" + u32(0) + s(b"shell") + b"\x01") * 1,
    "signal of a strange name": b"\x62" + u32(0) + s(b"signal") + b"\x00" + s(b"\x1b]0;x\x07"),
    "window change of a huge size": b"\x62" + u32(0) + s(b"window-change") + b"\x00" + u32(0xffffffff) * 4,
    "success that nobody waits for": b"\x63" + u32(0),
}
STATES = ["before login", "after login", "channel open", "shell running"]


def reach(lab, state, source):
    """A connection in that state."""
    t = paramiko.Transport(socket.create_connection(("127.0.0.1", lab.port), 10, source_address=(source, 0)))
    t.start_client(timeout=15)
    if state == "before login":
        return t
    t.auth_publickey("alice@" + lab.info["targets"][0], paramiko.Ed25519Key.from_private_key_file(str(lab.info["user_key"])))
    if state == "after login":
        return t
    ch = t.open_session(timeout=15)
    if state == "shell running":
        ch.get_pty()
        ch.invoke_shell()
        ch.settimeout(15)
        while b"$" not in ch.recv(1000):
            pass
    t.kept = ch
    return t


@pytest.mark.parametrize("state", STATES)
def test_a_malformed_packet_ends_at_most_its_own_connection(lab, me, state):
    ok = subprocess.Popen(lab.ssh_argv(me.to0, "cat", key=me.key), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    ended = 0
    for i, (name, payload) in enumerate(PACKETS.items()):
        t = reach(lab, state, "127.2.%d.%d" % (STATES.index(state), i + 1))
        try:
            m = paramiko.Message()
            m.add_bytes(payload)
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                t._send_message(m)
                t._send_message(m)
                # Something well-formed behind it: an answer, or the end of the connection, within the time limit.
                if state != "before login":
                    t.global_request("keepalive@openssh.com", wait=True)
                else:
                    t.auth_none("x")
            ended += not t.is_active()
        finally:
            t.close()
    print("%s: %d packets, %d ended their connection" % (state, len(PACKETS), ended))
    ok.stdin.write("still here\n")
    assert ok.stdout.readline() == "still here\n"
    ok.stdin.close()
    assert ok.wait(10) == 0
    assert me.ssh("echo in").stdout == "in\n"
    log = lab.log("sallyport")
    assert "killed by signal" not in log and "Sanitizer" not in log and "\x1b" not in log, log[-3000:]


def test_a_client_that_wants_no_more_sessions_gets_none(lab, me):
    """OpenSSH says so on a connection that it does not share; somebody who has its socket then opens nothing more on it."""
    def entries():
        return [e for e in lab.ctl("audit", "list", "--kind", "channel.open", "--limit", 1000) if "no-more-sessions" in (e.get("text") or "")]
    before = len(entries())
    t = reach(lab, "after login", "127.2.9.1")
    try:
        first = t.open_session(timeout=15)
        assert t.global_request("no-more-sessions@openssh.com", wait=True) is not None      # accepted
        for _ in range(3):
            with pytest.raises(paramiko.ChannelException) as e:
                t.open_session(timeout=15)
            assert e.value.code == 1                                                        # administratively prohibited
        first.exec_command("echo still here")
        assert first.makefile().read() == b"still here\n"
        L.wait_for("all three in the log", lambda: sum(int(e["text"].split()[0]) for e in entries()[:len(entries()) - before]) == 3)
        assert {(e["actor"], e["result"], e["more"]["type"]) for e in entries()[:len(entries()) - before]} == {("alice", "refused", "session")}
    finally:
        t.close()
    t = reach(lab, "after login", "127.2.9.2")          # another connection is another matter; with a body it is another request
    try:
        m = paramiko.Message()
        m.add_byte(b"P")
        m.add_string("no-more-sessions@openssh.com")
        m.add_boolean(False)
        m.add_bytes(b"more")
        t._send_message(m)
        t.open_session(timeout=15).close()
    finally:
        t.close()


def test_nothing_of_it_left_a_session_behind(lab, me):
    L.wait_for("no live session", lambda: not me.live(), 20)


def test_every_length_field_that_lies_ends_the_connection(lab, me):
    """Under encryption the packet length is the first thing that is read."""
    for n in (0, 3, 35001, 0x7fffffff, 0xffffffff):
        with socket.create_connection(("127.0.0.1", lab.port), 10) as c:
            c.settimeout(2)
            c.sendall(b"SSH-2.0-x\r\n" + u32(n) + b"\x04\x14" + b"\0" * 64)
            with contextlib.suppress(OSError):
                while c.recv(4096):
                    pass
    assert me.ssh("echo in").stdout == "in\n"


# -- what a person reads before and after the login

def test_banner_comes_before_the_login_and_consent_after_it(lab, me):
    r = lab.ssh(me.to0, "echo in", key=me.key)
    assert r.stdout == "in\n" and BANNER.strip() in r.stderr and CONSENT.strip() not in r.stderr, r
    r = lab.ssh("nobody@" + me.t0, "true", key=me.key)
    assert BANNER.strip() in r.stderr and CONSENT.strip() not in r.stderr
    with Terminal(lab.dir, lab.ssh_argv("alice", key=me.key, options=["-tt"])) as t:
        screen = t.wait("Number or search>")
        t.show("banner, consent and menu")
        assert screen.index(BANNER.strip()) < screen.index(CONSENT.strip()) < screen.index("Number or search>")
        t.line("q")
        assert t.status() == 0


# -- requests that few clients send

def test_a_break_reaches_the_target(lab, me):
    with paramiko.Transport(("127.0.0.1", lab.port)) as t:
        t.start_client(timeout=15)
        t.auth_publickey(me.to0, paramiko.Ed25519Key.from_private_key_file(str(me.key)))
        ch = t.open_session()
        ch.get_pty()
        ch.invoke_shell()
        m = paramiko.Message()
        m.add_byte(cMSG_CHANNEL_REQUEST)
        m.add_int(ch.remote_chanid)
        m.add_string("break")
        m.add_boolean(True)
        m.add_int(500)
        assert MSG_CHANNEL_REQUEST == 98
        ch._event_pending()
        t._send_user_message(m)
        ch._wait_for_event()            # raises when the target says no
        ch.settimeout(10)
        ch.send("echo $((6*7))\n")
        got = b""
        while b"42" not in got:
            got += ch.recv(1000)


def test_a_signal_reaches_the_target(lab, me):
    with paramiko.Transport(("127.0.0.1", lab.port)) as t:
        t.start_client(timeout=15)
        t.auth_publickey(me.to0, paramiko.Ed25519Key.from_private_key_file(str(me.key)))
        ch = t.open_session()
        ch.exec_command("trap 'echo got it; exit 5' USR1; echo up; while :; do sleep 0.05; done")
        ch.settimeout(10)
        assert ch.recv(100) == b"up\n"
        m = paramiko.Message()
        m.add_byte(cMSG_CHANNEL_REQUEST)
        m.add_int(ch.remote_chanid)
        m.add_string("signal")
        m.add_boolean(False)
        m.add_string("USR1")
        t._send_user_message(m)
        assert ch.recv(100) == b"got it\n" and ch.recv_exit_status() == 5


# -- time

def test_a_target_that_falls_silent_ends_the_session_and_says_so(lab, me):
    p = subprocess.Popen(lab.ssh_argv(me.to0, "echo up; exec sleep 1000", key=me.key), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "up\n"
    sid = me.live()[0]["id"]
    out = subprocess.run(["pgrep", "-P", str(lab.procs["web1"].pid)], capture_output=True, text=True).stdout.split()
    stopped = []
    for pid in out:                     # sshd of this connection, and its unprivileged half
        stopped += [int(pid), *map(int, subprocess.run(["pgrep", "-P", pid], capture_output=True, text=True).stdout.split())]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        err = p.communicate(timeout=20)[1]
        assert "does not answer any more" in err and len(err.strip().split("\n")) == 2, err      # with the banner
        assert L.wait_for("the record", lambda: lab.session(sid)["state"] == "ended")
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_the_end_of_a_grant_ends_its_session(lab, me):
    key = lab.key("tina.key")
    lab.ctl("user", "create", "tina", "--key", str(key) + ".pub")
    account, asset = me.t0.split("@")
    lab.ctl("grant", "create", "--user", "tina", "--asset", asset, "--account", account, "--until", "+8s")
    p = subprocess.Popen(lab.ssh_argv("tina@" + me.t0, "echo up; sleep 60", key=key), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "up\n"
    assert "grant for this account has ended" in p.communicate(timeout=40)[1]
    assert lab.ssh("tina@" + me.t0, "true", key=key).returncode == 255


def test_a_user_whose_time_is_over_does_not_log_in(lab, me):
    key = lab.key("ulla.key")
    lab.ctl("user", "create", "ulla", "--key", str(key) + ".pub", "--valid-until", "2020-01-01")
    account, asset = me.t0.split("@")
    lab.ctl("grant", "create", "--user", "ulla", "--asset", asset, "--account", account)
    assert lab.ssh("ulla@" + me.t0, "true", key=key).returncode == 255
    lab.ctl("user", "update", "ulla", "--valid-until", "+1h")
    assert lab.ssh("ulla@" + me.t0, "echo in", key=key).stdout == "in\n"
