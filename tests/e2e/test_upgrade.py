"""SIGUSR2: the programs on disk take over from the running ones, under live sessions and logins."""
import collections
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

import conftest as C
import lab as L

LIVE = 20
CHILDREN = ("vault", "control", "dialer", "courier", "siem", "scribe", "zygote", "gate")


def install(build, to):
    """Put the programs where the lab runs them, like a package does: a new file renamed over the old one."""
    for exe in sorted(build.glob("src/*/sallyport*")):
        if exe.is_file() and os.access(exe, os.X_OK):
            put(to / exe.relative_to(build), exe.read_bytes())


def put(path, data, mode=0o755):
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".dpkg-new")
    new.write_bytes(data)
    new.chmod(mode)
    new.rename(path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("upgrade")
    for p in [folder, *folder.parents]:
        if p != pathlib.Path("/tmp") and str(p).startswith("/tmp") and p.stat().st_uid == os.geteuid():
            p.chmod(0o755)
    install(C.BUILD, folder / "programs")
    with L.Lab(folder, folder / "programs", config={"max_startups_source": 100}) as lab:
        lab.info = L.standard(lab)
        yield lab


@pytest.fixture
def live(lab, me):
    sessions = []
    yield lambda n: [sessions.append(L.Echo(lab, me)) or sessions[-1] for _ in range(n)]
    for s in sessions:
        s.p.kill()
        s.p.wait()


class Logins(threading.Thread):
    """Logins one after another until stopped; every one must succeed."""

    def __init__(self, login):
        super().__init__(daemon=True)
        self.login, self.stopped, self.n, self.failed = login, threading.Event(), 0, []

    def run(self):
        while not self.stopped.is_set():
            r = self.login()
            self.n += 1
            if r.returncode != 0 or r.stdout != "in\n":
                self.failed.append((r.returncode, r.stdout, r.stderr))

    def stop(self):
        self.stopped.set()
        self.join(60)
        assert not self.is_alive()


def jump_argv(lab, me, command):
    """As ssh -J does: a connection inside another one."""
    account, asset = me.t0.split("@")
    outer = subprocess.list2cmdline(lab.ssh_argv(me.user, key=me.key, options=("-W", "%h:%p")))
    return ["ssh", *lab.ssh_options(me.key), "-o", "ProxyCommand=" + outer, "-l", account, asset, command]


def jump(lab, me, command):
    return subprocess.run(jump_argv(lab, me, command), capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def children(lab):
    """{process: pid}, from what the monitor says of each that is ready. (Recorders that lost their parent are its children, too.)"""
    return {name: int(pid) for name, pid in re.findall(r"(\w+) \(pid (\d+)\): user", lab.log("sallyport"))}


def upgrades(lab):
    return lab.log("sallyport").count("is done:")


def upgrade(lab):
    n = upgrades(lab)
    os.kill(lab.monitor_pid(), signal.SIGUSR2)
    L.wait_for("the upgrade", lambda: upgrades(lab) == n + 1, 40)


def kinds(lab, sid):
    return collections.Counter(e["kind"] for e in lab.ctl("audit", "list", "--session", sid, "--limit", 1000))


def ended(lab, sid):
    return L.wait_for("the end of " + sid, lambda: (lambda s: s if s["state"] == "ended" else None)(lab.session(sid)))


def test_twenty_sessions_and_every_login_outlive_three_upgrades(lab, me, live):
    sessions = live(LIVE)
    ids = [s["id"] for s in me.live()]
    assert len(ids) == LIVE
    workers = [Logins(lambda: me.ssh("echo", "in")), Logins(lambda: me.ssh("echo", "in", login="alice@" + me.t1)),
               Logins(lambda: jump(lab, me, "echo in"))]
    for w in workers:
        w.start()
    monitor = lab.monitor_pid()
    for _ in range(3):
        before = children(lab)
        done = sum(w.n for w in workers)
        install(C.BUILD, lab.build)
        t0 = time.monotonic()
        upgrade(lab)
        print("upgrade in %.2f s" % (time.monotonic() - t0))
        assert lab.monitor_pid() == monitor and lab.procs["sallyport"].poll() is None
        assert os.readlink("/proc/%d/exe" % monitor) == str(lab.exe("sallyport-monitor"))
        for c in CHILDREN:
            pid = children(lab)[c]
            assert pid != before[c], c
            assert os.readlink("/proc/%d/exe" % pid) == str(lab.exe("sallyport-" + c))
        for s in sessions:
            s.say("still here")
        L.wait_for("logins after it", lambda: sum(w.n for w in workers) > done + 6)
    for w in workers:
        w.stop()
    assert [f for w in workers for f in w.failed] == []
    print("%d logins meanwhile" % sum(w.n for w in workers))

    L.wait_for("the twenty and no other", lambda: {s["id"] for s in me.live()} == set(ids))
    L.wait_for("the same in the monitor", lambda: {s["id"] for s in lab.ctl("session", "list", "--monitor")} == set(ids))
    lab.ctl("session", "kill", ids[0], "--reason", "enough")
    lab.ctl("session", "kill", ids[1], "--monitor", "--reason", "enough too")
    killed = L.wait_for("the killed ones", lambda: (lambda v: v if len(v) == 2 else None)([s for s in sessions if s.p.poll() is not None]))
    for s in killed:
        assert "Terminated by" in s.p.stderr.read()
    for s in sessions:
        if s not in killed:
            s.say("not me")
            assert s.end() == 0
    reasons = {r["reason"] for r in lab.ctl("session", "list", "--limit", 500) if r["id"] not in ids}
    assert reasons == {"connection closed"}, "what a recorder wrote while control was away is not lost"
    for sid in ids:
        row = ended(lab, sid)
        assert ("enough" in row["reason"]) == (sid in ids[:2]), row
        k = kinds(lab, sid)
        assert sum(n for kind, n in k.items() if kind.endswith("session.start")) == 1, k
        assert sum(n for kind, n in k.items() if kind.endswith("session.end")) == 1, k
    assert "died" not in re.sub(r"session.*died", "", lab.log("sallyport")), "a child did not leave in order"


def descendants(pid):
    return pathlib.Path("/proc/%d/task/%d/children" % (pid, pid)).read_text().split()


def test_an_end_that_nobody_saw_is_known_at_once(lab, me, live):
    """A recorder that lost its parent ends without control, and after the look into the spool that follows control's return."""
    late, early = live(2)
    rows = {s["id"]: s for s in me.live()}
    by_channel = sorted(rows.values(), key=lambda r: r["started"])       # the first one is late's
    exe = lab.exe("sallyport-control")
    program, n = exe.read_bytes(), len(lab.log("sallyport"))
    os.kill(children(lab)["scribe"], signal.SIGKILL)
    L.wait_for("another parent", lambda: re.search(r"scribe \(pid \d+\): user", lab.log("sallyport")[n:]))
    exe.unlink()
    os.kill(children(lab)["control"], signal.SIGKILL)
    L.wait_for("no control", lambda: "no such executable" in lab.log("sallyport")[n:])
    recorder = by_channel[0]["scribe_pid"]
    os.kill(recorder, signal.SIGSTOP)
    try:
        assert late.end() == 0 and early.end() == 0
        L.wait_for("both sessions are over", lambda: not any(os.path.exists("/proc/%d" % r["pid"]) for r in by_channel))
        n = len(lab.log("sallyport"))
        put(exe, program)
        L.wait_for("control", lambda: "control (pid" in lab.log("sallyport")[n:])
        assert ended(lab, by_channel[1]["id"])["reason"] == "connection closed"
        L.wait_for("the look into the spool is over", lambda: not descendants(children(lab)["scribe"]))
        assert lab.session(by_channel[0]["id"])["state"] == "live"
    finally:
        put(exe, program)
        os.kill(recorder, signal.SIGCONT)
    assert ended(lab, by_channel[0]["id"])["reason"] == "connection closed"


def test_a_session_through_a_jump_goes_on_as_well(lab, me):
    s = L.Echo(lab, me, jump_argv(lab, me, "cat"))
    try:
        upgrade(lab)
        L.wait_for("it is listed again", lambda: len(me.live()) == 1)
        s.say("still here")
        assert s.end() == 0
    finally:
        s.p.kill()
        s.p.wait()


@pytest.mark.parametrize("name, data, mode, says", [
    ("garbage", b"\x7fELF, but not really", 0o755, "cannot execute"),
    ("not executable", b"#!/bin/sh\nexit 0\n", 0o644, "cannot execute"),
    ("one that does not know our state", b"#!/bin/sh\necho what is this >&2\nexit 78\n", 0o755, "exit status 78"),
    ("one that hangs", b"#!/bin/sh\nexec sleep 1000\n", 0o755, "in time"),
])
def test_a_program_that_cannot_take_over_changes_nothing(lab, me, live, name, data, mode, says):
    (a,) = live(1)
    exe = lab.exe("sallyport-monitor")
    good = exe.read_bytes()
    before = children(lab)
    start = len(lab.log("sallyport"))
    put(exe, data, mode)
    os.kill(lab.monitor_pid(), signal.SIGUSR2)
    try:
        L.wait_for("the refusal", lambda: "upgrade refused" in lab.log("sallyport")[start:], 20)
        assert says in lab.log("sallyport")[start:]
        assert children(lab) == before and all(os.path.exists("/proc/%d" % pid) for pid in before.values())
        a.say("still here")
        assert me.ssh("echo in").stdout == "in\n"
    finally:
        put(exe, good)
    upgrade(lab)
    a.say("still here")
    assert a.end() == 0


def test_an_upgrade_asked_for_during_another_one_follows_it(lab, me):
    n = upgrades(lab)
    os.kill(lab.monitor_pid(), signal.SIGUSR2)
    L.wait_for("the first one", lambda: "takes over" in lab.log("sallyport").rsplit("is done:", 1)[-1])
    os.kill(lab.monitor_pid(), signal.SIGUSR2)
    L.wait_for("both", lambda: upgrades(lab) == n + 2, 60)
    assert me.ssh("echo in").stdout == "in\n"


def test_a_stop_in_the_middle_of_an_upgrade_ends_all(lab, me, live):
    (a,) = live(1)
    sid = me.live()[0]["id"]
    lab.write_config(drain="1s")
    os.kill(lab.monitor_pid(), signal.SIGHUP)
    L.wait_for("the reload", lambda: "read again" in lab.log("sallyport"))
    start = len(lab.log("sallyport"))
    os.kill(lab.monitor_pid(), signal.SIGUSR2)
    L.wait_for("the take-over", lambda: "takes over" in lab.log("sallyport")[start:])
    lab.stop("sallyport")
    assert "stopping" in a.p.communicate(timeout=10)[1].lower()
    lab.start()
    assert me.ssh("echo in").stdout == "in\n"
    ended(lab, sid)


@pytest.mark.parametrize("state, says", [
    (b"\x08\x63", "state version 99"),                 # field 1 (version): 99
    (b"\x08\x01\x10\x01", "not whole"),                # a version that is known, and nothing else
    (b"\x08\x01\x10\x01\x6a\xff\x7f", "malformed"),    # a field longer than the rest
    (b"", "cannot be read"),
])
def test_a_state_that_is_not_understood_is_refused(lab, state, says):
    fd = os.memfd_create("state")
    try:
        os.write(fd, state)
        r = subprocess.run([lab.exe("sallyport-monitor"), "-t", "-R", str(fd)], pass_fds=[fd], capture_output=True, text=True)
        assert r.returncode != 0 and says in r.stderr, r.stderr
    finally:
        os.close(fd)
