"""An administrator looks at a live terminal, speaks to it and ends it."""
import os
import re
import socket
import subprocess
import threading
import time

import pytest

import lab as L
from terminal import Terminal


@pytest.fixture
def person(lab, me):
    """A person with a shell at the first target, and the id of the session."""
    with Terminal(lab.dir, lab.ssh_argv(me.to0, key=me.key, options=["-tt"])) as t:
        t.wait("$")
        t.sid = L.wait_for("the session", me.live)[0]["id"]
        yield t
    L.wait_for("no session", lambda: not me.live())


def watcher(lab, sid, cols=80, rows=25, **kw):
    return Terminal(lab.dir, lab.ctl_argv("session", "watch", sid), cols, rows, **kw)


def test_the_watcher_sees_the_screen_and_leaves_with_q(lab, me, person):
    person.line("echo before the watch")
    person.wait("before the watch\n")
    with watcher(lab, person.sid) as w:
        w.wait("watching", "q quits")
        person.line("printf '\\033[31mred\\033[0m 数据库 \\033[5;20Hplaced\\n'")
        w.wait("red 数据库", "placed")
        person.line("clear; for i in 1 2 3; do echo line $i; done")
        w.wait("line 3")
        w.wait_gone("数据库")
        w.show("what the watcher sees")
        w.type("x\r rm -rf /tmp/never\r")       # read-only: keys go nowhere
        w.type("q")
        assert w.status() == 0
        assert "rm -rf" not in person.screen()
    person.line("echo still $((40+2))")
    person.wait("still 42")


def test_a_watcher_who_comes_late_sees_what_was_there(lab, me, person):
    person.line("clear; echo it was there before")
    person.wait("it was there before\n")
    with watcher(lab, person.sid) as w:
        w.wait("it was there before")


def test_nothing_hostile_reaches_the_watchers_terminal(lab, me, person):
    with watcher(lab, person.sid) as w:
        w.wait("watching")
        person.line("printf '\\033]0;own''ed title\\007\\033]52;c;ZXZpbA==\\007\\033[6n\\033[c\\033Pq#0\\033\\\\\\033[20t\\033[?1003h\\033]8;;http://evil\\007link\\033]8;;\\007'; echo end''mark")
        w.wait("endmark")
        person.line("head -c 20000 /dev/urandom; echo; reset; echo sa''ne")
        w.wait("sane")
        person.line("printf '\\033[?1049h\\033[2Jalt''screen'; sleep 0.5; printf '\\033[?1049l'; echo ba''ck")
        w.wait("back")
        w.show("after hostile output")
        raw = w.raw()
        w.type("q")
        assert w.status() == 0
    assert b"owned title" not in raw and b"\x1b]" not in raw and b"\x07" not in raw and b"\x1bP" not in raw
    allowed = re.compile(rb"\x1b\[[0-9;]*[mHKJABCDG]|\x1b\[\?(25|1049)[hl]|\x1b[78]|\x1b\[[0-9;]*r")
    rest = allowed.sub(b"", raw.split(b"\x1b[?1049h", 1)[1])
    assert b"\x1b" not in rest, rest[rest.index(b"\x1b"):][:40]
    assert not re.search(rb"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]", rest.replace(b"\r", b"")), rest


def test_the_watcher_follows_a_new_size(lab, me, person):
    with watcher(lab, person.sid, 120, 40) as w:
        w.wait("80x24")
        person.resize(100, 30)
        w.wait("100x30")
        person.line("clear; stty size; seq -s' ' 30 | head -c 90")
        w.wait("30 100")
        w.resize(60, 15)
        w.wait("(cut)")
        w.show("a small watcher of a large terminal")
        assert all(len(s) <= 60 for s in w.screen().split("\n"))


def test_the_watcher_reads_how_it_ended(lab, me, person):
    with watcher(lab, person.sid) as w:
        w.wait("watching")
        lab.ctl("session", "kill", person.sid, "--reason", "enough seen")
        assert w.status() == 0
        s = w.wait("Session ended: ", "enough seen")
        w.show("the watcher at the end")
        assert len(s.strip().split("\n")) == 1
    assert person.status() == 255
    person.wait("Terminated by", "enough seen")
    person.show("the person at the end")


def test_without_a_terminal_the_watch_is_plain_text(lab, me, person):
    p = subprocess.Popen(lab.ctl_argv("session", "watch", person.sid), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)
    try:
        person.line("printf '\\033[32mgreen\\033[0m\\n'")
        person.wait("green\n")
        person.line("exit")
        out, err = p.communicate(timeout=10)
        assert "green" in out and "\x1b" not in out, out
        assert "Session ended" in err and len(err.strip().split("\n")) == 1, err
    finally:
        p.kill()
        p.communicate()


def test_watching_is_for_auditors_and_leaves_a_trace(lab, me, person):
    lab.ctl("user", "create", "audit1", "--role", "auditor")
    r = subprocess.run(lab.ctl_argv("--as", "alice", "session", "watch", person.sid), capture_output=True, text=True, timeout=10)
    assert r.returncode != 0 and "role" in r.stderr and len(r.stderr.strip().split("\n")) == 1, r
    with Terminal(lab.dir, lab.ctl_argv("--as", "audit1", "session", "watch", person.sid)) as w:
        w.wait("watching")
        w.type("q")
        assert w.status() == 0
    kinds = [e["kind"] for e in lab.ctl("audit", "list", "--limit", "20")]
    assert "session.watch" in kinds
    r = subprocess.run(lab.ctl_argv("--as", "audit1", "session", "kill", person.sid), capture_output=True, text=True, timeout=10)
    assert r.returncode != 0 and not person.ended()


def test_a_message_is_one_framed_line_and_cannot_paint(lab, me, person):
    lab.ctl("session", "message", person.sid, "Maintenance", "begins", "at", "18:00")
    person.wait("*** message from admin: Maintenance begins at 18:00 ***")
    person.show("a message")
    for bad in ("\x1b[2Jgone", "two\nlines", "x\u202ey"):
        r = lab.ctl_run("session", "message", person.sid, bad)
        assert r.returncode != 0 or "\x1b[2Jgone" not in person.raw().decode()
    person.line("echo still $((40+2))")
    person.wait("still 42")


def test_a_message_reaches_no_program_that_reads_the_output(lab, me):
    p = subprocess.Popen(lab.ssh_argv(me.to0, "cat", key=me.key), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    sid = L.wait_for("the session", me.live)[0]["id"]
    lab.ctl_run("session", "message", sid, "hello")
    out, err = p.communicate("data", timeout=20)
    assert (out, err) == ("data", "")


def test_a_lock_ends_the_session_and_refuses_the_next(lab, me, person):
    lab.ctl("session", "lock", person.sid, "--reason", "looked wrong")
    assert person.status() == 255
    person.wait("Terminated by", "looked wrong")
    person.show("locked")
    assert me.ssh("true").returncode == 255
    lab.ctl("user", "enable", "alice")
    assert me.ssh("echo in").stdout == "in\n"


def test_a_kill_ends_shell_exec_sftp_and_forwards_at_once(lab, me, tmp_path):
    from test_forwarding import echo_server
    sock = "/tmp/sp-kill-%d" % os.getpid()
    port = L.free_port()
    with echo_server() as far:
        m = subprocess.Popen(lab.ssh_argv(me.to0, "-N", key=me.key, options=["-M", "-S", sock, "-L", "127.0.0.1:%d:127.0.0.1:%d" % (port, far)]),
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        L.wait_for("the master", lambda: os.path.exists(sock))
        mux = ["ssh", "-F", "/dev/null", "-S", sock, "x"]
        ex = subprocess.Popen([*mux, "echo up; sleep 100"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert ex.stdout.readline() == "up\n"
        sftp = subprocess.Popen(["sftp", "-q", "-o", "ControlPath=" + sock, "-F", "/dev/null", "x"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        sftp.stdin.write("pwd\n")
        assert "working directory" in sftp.stdout.readline() + sftp.stdout.readline()
        fwd = socket.create_connection(("127.0.0.1", port), 10)
        fwd.settimeout(10)
        fwd.sendall(b"ping")
        assert fwd.recv(10) == b"ping"
        with Terminal(lab.dir, [*mux[:-1], "-tt", "x"]) as sh:
            sh.wait("$")
            (s,) = me.live()
            t0 = time.monotonic()
            lab.ctl("session", "kill", s["id"], "--reason", "all of it")
            assert fwd.recv(10) == b""
            took = time.monotonic() - t0
            print("forward cut after %.0f ms" % (took * 1000))
            assert "Terminated by" in ex.communicate(timeout=10)[1]
            sftp.communicate(timeout=10)
            assert sh.status() == 255
        m.terminate()
        m.wait(10)
        fwd.close()
    L.wait_for("no session", lambda: not me.live())


def test_the_list_is_a_table_for_people_and_an_array_newest_first(lab, me, person):
    rows = lab.ctl("session", "list")
    assert [r["started"] for r in rows] == sorted((r["started"] for r in rows), reverse=True)
    assert {"id", "state", "user", "asset", "account", "protocol", "started", "ended", "reason"} <= set(rows[0]), rows[0]
    assert {r["state"] for r in rows} <= {"live", "ended"}
    text = lab.ctl_run("session", "list").stdout
    print(text)
    assert text.split("\n")[0].split()[0] == "ID" and "alice" in text and "{" not in text
    show = lab.ctl_run("session", "show", person.sid).stdout
    print(show)
    assert "alice" in show and "live" in show
