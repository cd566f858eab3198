"""Processes die, and what lives goes on: the promises of the architecture about kill -9, reload, drain."""
import os
import re
import signal
import socket
import time

import pytest

import lab as L
import tour as T

LIVE = 20


@pytest.fixture(scope="module")
def live(lab):
    class M:
        to0, key = "alice@" + lab.info["targets"][0], lab.info["user_key"]
    sessions = []
    yield lambda n: [sessions.append(L.Echo(lab, M)) or sessions[-1] for _ in range(n)]
    for s in sessions:
        s.p.kill()
        s.p.wait()


def events(lab, sid):
    return [e for e in lab.ctl("audit", "list", "--session", sid, "--limit", 1000)]


@pytest.mark.parametrize("name", ["control", "vault", "gate"])
def test_twenty_live_sessions_outlive_the_death_of(lab, me, live, name):
    sessions = live(LIVE)
    ids = [s["id"] for s in me.live()]
    assert len(ids) == LIVE
    os.kill(T.child_pid(lab, name), signal.SIGKILL)
    t0 = time.monotonic()
    L.wait_for("a new login", lambda: me.ssh("true").returncode == 0, 10)
    took = time.monotonic() - t0
    print("%s: new logins after %.2f s" % (name, took))
    assert took < 10
    for s in sessions:
        s.say("still here")
    assert {s["id"] for s in me.live()} >= set(ids)
    for s in sessions:
        assert s.end() == 0
    for sid in ids:
        L.wait_for("the end of " + sid, lambda: lab.session(sid)["state"] == "ended")
        kinds = [e["kind"] for e in events(lab, sid)]
        assert sum(k.endswith("session.start") for k in kinds) == 1, kinds
        assert sum(k.endswith("session.end") for k in kinds) == 1, kinds


def pids_of(lab, sid):
    """(session process, scribe process) of a session, as the monitor knows them."""
    s = lab.session(sid)
    return s.get("pid"), s.get("scribe_pid")


def test_the_death_of_a_session_process_ends_that_session_only(lab, me, live):
    a, b = live(2)
    before = {s["id"]: s for s in me.live()}
    victim = next(iter(before))
    pid, _ = pids_of(lab, victim)
    assert pid, "session list --json names the process"
    os.kill(pid, signal.SIGKILL)
    ended = L.wait_for("the record", lambda: (lambda s: s if s["state"] == "ended" else None)(lab.session(victim)))
    assert "died" in ended["reason"], ended
    alive = [e for e in (a, b) if e.p.poll() is None]
    L.wait_for("one client is gone", lambda: sum(e.p.poll() is not None for e in (a, b)) == 1)
    for e in (a, b):
        if e.p.poll() is None:
            e.say("not me")
            assert e.end() == 0


def test_the_death_of_a_scribe_ends_that_session_only(lab, me, live):
    a, b = live(2)
    victim = me.live()[0]["id"]
    _, scribe = pids_of(lab, victim)
    assert scribe, "session list --json names the recorder"
    os.kill(scribe, signal.SIGKILL)
    ended = L.wait_for("the record", lambda: (lambda s: s if s["state"] == "ended" else None)(lab.session(victim)))
    assert "record" in ended["reason"], ended
    L.wait_for("one client is gone", lambda: sum(e.p.poll() is not None for e in (a, b)) == 1)
    for e in (a, b):
        if e.p.poll() is None:
            e.say("not me")
            assert e.end() == 0


def test_list_and_kill_work_while_control_is_down(lab, me, live):
    (a,) = live(1)
    sid = me.live()[0]["id"]
    pid = T.child_pid(lab, "control")
    os.kill(pid, signal.SIGSTOP)          # down, and not restarted
    try:
        rows = lab.ctl("session", "list", "--monitor")
        assert any(r["id"] == sid and r["user"] == "alice" for r in rows), rows
        lab.ctl("session", "kill", sid, "--monitor", "--reason", "control is down")
        err = a.p.communicate(timeout=10)[1]
        assert "Terminated by" in err and "control is down" in err
    finally:
        os.kill(pid, signal.SIGCONT)
    ended = L.wait_for("the record", lambda: (lambda s: s if s["state"] == "ended" else None)(lab.session(sid)))
    assert "control is down" in ended["reason"], ended


def test_reload_takes_a_good_file_and_keeps_the_old_one_for_a_bad_one(lab, me):
    lab.write_config(log_level="debug")
    os.kill(lab.monitor_pid(), signal.SIGHUP)
    L.wait_for("the reload", lambda: "configuration read again" in lab.log("sallyport"))
    good = lab.conf.read_text()
    lab.conf.write_text(good + "no_such_setting 1\n")
    os.kill(lab.monitor_pid(), signal.SIGHUP)
    line = len(good.splitlines()) + 1
    L.wait_for("the refusal", lambda: "sallyport.conf:%d:" % line in lab.log("sallyport"))
    lab.conf.write_text(good)
    assert me.ssh("true").returncode == 0


def reload_with(lab, good, line):
    """Read the configuration again with this line at its end; returns what the monitor says to that."""
    before = len(lab.log("sallyport"))
    lab.conf.write_text(good + line + "\n")
    os.kill(lab.monitor_pid(), signal.SIGHUP)
    said = re.compile(r"configuration (read again|refused, the old one stays).*")
    return L.wait_for("the answer to " + line, lambda: said.search(lab.log("sallyport")[before:])).group(0)


def test_a_reload_that_would_keep_everybody_out_is_refused(lab, me, tmp_path):
    good = lab.conf.read_text()
    at = "sallyport.conf:%d: " % (len(good.splitlines()) + 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for line in ("ciphers banana", "kex curve25519-sha256,banana", "macs hmac-md5", "user_key_algorithms ssh-dss", "banner /nonexistent",
                     "consent %s" % tmp_path, "listen 127.0.0.1:99999", "listen 127.0.0.1:%d" % taken.getsockname()[1], "time_zone UTC"):
            said = reload_with(lab, good, line)
            assert "the old one stays" in said and at in said, (line, said)
    assert me.ssh("true").returncode == 0
    # each word that may stand there works
    for key in ("kex", "ciphers", "macs", "host_key_algorithms", "user_key_algorithms"):
        words = reload_with(lab, good, key + " x").split("is not one of ")[1].split(",")
        assert len(words) >= 4
        # of keys both sides have one kind here: the others stand behind it
        for value in words if key in ("kex", "ciphers", "macs") else ["ssh-ed25519," + word for word in words]:
            assert "read again" in reload_with(lab, good, "%s %s" % (key, value))
            r = me.ssh("echo in")
            assert r.stdout == "in\n", (key, value, r.stderr)
    assert "read again" in reload_with(lab, good, "")
    assert me.ssh("true").returncode == 0


def test_a_session_that_ignores_a_kill_is_killed_for_good(lab, me, live):
    (a,) = live(1)
    sid = me.live()[0]["id"]
    pid, _ = pids_of(lab, sid)
    os.kill(pid, signal.SIGSTOP)
    lab.ctl("session", "kill", sid, "--reason", "stuck")
    L.wait_for("it is gone", lambda: not os.path.exists("/proc/%d" % pid) or open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[0] in "ZX", 5)
    ended = L.wait_for("the record", lambda: (lambda s: s if s["state"] == "ended" else None)(lab.session(sid)))
    assert "stuck" in ended["reason"], ended
    a.p.wait(10)


def test_a_stop_tells_users_and_ends_within_the_drain_time(lab, me, live):
    (a,) = live(1)
    before = lab.log("sallyport").count("configuration read again")
    lab.write_config(drain="1s")
    os.kill(lab.monitor_pid(), signal.SIGHUP)
    L.wait_for("the reload", lambda: lab.log("sallyport").count("configuration read again") > before)
    lab.stop("sallyport")
    assert "stopping" in a.p.communicate(timeout=10)[1].lower()
    lab.start()
    assert me.ssh("echo again").stdout == "again\n"
    L.wait_for("every earlier session is ended on record", lambda: me.live() == [], 20)
