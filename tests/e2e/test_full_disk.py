"""A disk that gets full: who fills it is ended, nobody else is; administrators still get in; and the quota of one session."""
import contextlib
import os
import signal
import subprocess

import pytest

import lab as L

pytestmark = pytest.mark.skipif(not L.ROOT, reason="needs a file system of its own")
FLOOD = "base64 /dev/urandom"       # does not compress away
MIB = 1 << 20


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The state lives on 48 MiB. 4 MiB are kept: low is less than 16, no new sessions below 8, nobody's below 4."""
    from conftest import BUILD
    folder = tmp_path_factory.mktemp("full")
    state = folder / "state"
    state.mkdir()
    for p in (folder, folder.parent):
        p.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=755", "none", state], check=True)
    try:
        with L.Lab(folder, BUILD, config={"state_dir": state, "reserve_mb": 4}) as lab:
            lab.info = L.standard(lab)
            lab.state = state
            lab.ctl("user", "create", "bob", "--key", str(lab.key("bob.key")) + ".pub")
            for login in ("bob", "admin"):
                lab.ctl("grant", "create", "--user", login, "--asset", "web1", "--account", "*")
            yield lab
    finally:
        subprocess.run(["umount", "-l", state], check=False)


def free(lab):
    v = os.statvfs(lab.state)
    return v.f_bavail * v.f_frsize


def fill_to(lab, left):
    """All but so many bytes of the disk are gone."""
    with open(lab.state / "fill", "ab", buffering=0) as f, contextlib.suppress(OSError):
        while free(lab) > left + 65536:
            f.write(bytes(min(1 << 16, free(lab) - left)))
    return lab.state / "fill"


def to(lab, login):
    return "%s@%s" % (login, lab.info["targets"][0])


def last(lab, login):
    return next(s for s in lab.ctl("session", "list", "--user", login))


def flood(lab, more=""):
    """alice prints until she is stopped; what she reads of why."""
    p = lab.ssh(to(lab, "alice"), FLOOD + more, key=lab.info["user_key"], options=["-tt"], timeout=90)
    L.wait_for("it ended", lambda: last(lab, "alice")["state"] == "ended")
    return p.stdout[-1000:] + p.stderr        # the terminal


def test_who_fills_the_disk_is_ended_and_nobody_else(lab, me):
    class Bob:
        to0, key = to(lab, "bob"), lab.key("bob.key")
    other = L.Echo(lab, Bob)
    fill = fill_to(lab, 20 * MIB)
    try:
        err = flood(lab)
        assert "this session writes most" in err, err
        s = last(lab, "alice")
        assert "the disk is nearly full" in s["reason"]
        assert free(lab) > 8 * MIB                      # long before it would have hurt anybody
        assert L.wait_for("its end is there", lambda: [r for r in lab.ctl("recording", "list", "--state", "whole") if r["id"] == s["id"]])
        assert lab.ctl_run("session", "play", s["id"], "--key", lab.auditor()[0]).returncode == 0
        L.wait_for("the alarm", lambda: lab.alarms("recording-failed"))
        other.say("still here")
        assert last(lab, "bob")["state"] == "live"
        lab.ctl("session", "kill", last(lab, "bob")["id"])      # what ends now has its place
        other.p.wait(20)
        L.wait_for("END", lambda: last(lab, "bob")["state"] == "ended")
    finally:
        fill.unlink()


def test_below_the_hard_mark_only_administrators_begin(lab, me):
    fill = fill_to(lab, 7 * MIB)
    try:
        r = lab.ssh(to(lab, "alice"), "echo in", key=lab.info["user_key"])
        assert r.returncode != 0 and "less than 8 MiB left" in r.stderr, r
        r = lab.ssh(to(lab, "admin"), "echo in", key=lab.info["admin_key"])
        assert r.stdout == "in\n", r
        L.wait_for("END", lambda: last(lab, "admin")["state"] == "ended")
        fill_to(lab, 3 * MIB)
        r = lab.ssh(to(lab, "admin"), "echo in", key=lab.info["admin_key"])
        assert r.returncode != 0 and "less than 4 MiB left" in r.stderr or "nearly full" in r.stderr, r
    finally:
        fill.unlink()
    L.wait_for("there is room", lambda: lab.ssh(to(lab, "alice"), "echo in", key=lab.info["user_key"]).stdout == "in\n")


def test_a_session_that_reaches_its_quota_ends_and_says_so(lab, me):
    lab.write_config(record_quota_mb="1")
    lab.procs["sallyport"].send_signal(signal.SIGHUP)
    try:
        L.wait_for("it is read", lambda: "quota of 1 MiB" in flood(lab, " | head -c 4000000"))
        assert "quota of 1 MiB" in last(lab, "alice")["reason"]
    finally:
        lab.write_config(record_quota_mb="20480")
        lab.procs["sallyport"].send_signal(signal.SIGHUP)

