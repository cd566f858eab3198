"""The bastion's clock is set back and forth under live sessions: what has expired stays expired, what is valid goes on, what is to
end ends. tests/fault/clockshim.c moves the clock, for the processes of Sallyport only: the servers behind it keep the right time."""
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import time
import uuid

import pytest

import lab as L
import otp
import tour as T

HOUR, DAY = 3600, 24 * 3600
pytestmark = pytest.mark.skipif(not L.ROOT, reason="needs a mount namespace")


class Moved(L.Lab):
    """Sallyport sees an /etc of its own, which preloads the shim; nobody else does."""
    moving = False

    def spawn(self, name, argv, wrap=True, **kw):
        self.moving = name == "sallyport"
        return super().spawn(name, argv, wrap, **kw)

    def _wrap(self, argv):
        if not self.moving:
            return super()._wrap(argv)
        own = self.data / "whole-etc"
        if not own.exists():
            shutil.copy(self.build / "tests" / "fault" / "libclockshim.so", self.data)
            self.move(0)
            subprocess.run(["cp", "-a", "/etc", own], check=True)
            for n in ("passwd", "shadow", "group"):
                shutil.copy(self.etc / n, own / n)
            (own / "ld.so.preload").write_text("%s\n" % (self.data / "libclockshim.so"))
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', str(own), *map(str, argv)]

    def move(self, seconds):
        """In place: the processes have the file mapped."""
        f = self.data / "clock-offset"
        f.touch(0o644)
        with open(f, "r+b") as h:
            h.write(struct.pack("=q", seconds * 1000000))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    from conftest import BUILD
    folder = tmp_path_factory.mktemp("clock")
    for p in [folder, *folder.parents]:
        if p != pathlib.Path("/tmp") and str(p).startswith("/tmp") and p.stat().st_uid == os.geteuid():
            p.chmod(0o755)
    with Moved(folder, BUILD) as lab:
        lab.info = L.standard(lab)
        yield lab


def utc(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def guest(lab, login, *window):
    """A user with a grant of his own on db1, which takes a password: whether he gets in is judged by his window alone. `me` goes to
    web1, which takes certificates."""
    class Guest:
        to0, key = "%s@%s" % (login, lab.info["targets"][1]), lab.key(login + ".key")
    lab.ctl("user", "create", login, "--key", str(Guest.key) + ".pub")
    lab.ctl("grant", "create", "--name", login + "-db1", "--user", login, "--asset", "db1", "--account", "*", *window)
    return Guest


def gets_in(lab, who, to=None):
    r = lab.ssh(to or who.to0, "echo in", key=who.key)
    assert (r.returncode, r.stdout) in ((0, "in\n"), (255, "")), r
    return r.returncode == 0


def said(lab, kind):
    return len(lab.ctl("audit", "list", "--kind", kind))


def heard(lab, kind, before=0):
    L.wait_for("another " + kind, lambda: said(lab, kind) > before)


def clock_row(lab):
    (row,) = [r for r in json.loads(lab.ctl_run("--json", "doctor").stdout) if r["check"] == "wall clock"]
    return row


def confirm(lab, app, code):
    return lab.ctl_run("user", "totp", "confirm", app.login, "--code-stdin", stdin=code + "\n")


def control_dies(lab):
    """It comes back to a clock that is wrong already, and has nothing but its mark."""
    L.wait_for("a mark", lambda: lab.sql("SELECT value FROM settings WHERE key = 'clock.high'"))
    old = T.child_pid(lab, "control")
    os.kill(old, signal.SIGKILL)
    L.wait_for("another control", lambda: T.child_pid(lab, "control") not in (None, old) and lab.ctl_ok("status"), 30)


def test_back_by_a_day_revives_nothing_and_stops_nothing(lab, me):
    dan = guest(lab, "dan", "--from", utc(-2 * DAY), "--until", utc(-HOUR))
    carol = guest(lab, "carol", "--until", utc(HOUR))
    assert not gets_in(lab, dan) and gets_in(lab, carol) and clock_row(lab)["ok"]
    valid = L.Echo(lab, me)
    erin = guest(lab, "erin", "--until", utc(10))
    ending = L.Echo(lab, erin)
    lab.move(-DAY)
    try:
        heard(lab, "clock.behind")
        assert not gets_in(lab, dan)
        assert gets_in(lab, me) and gets_in(lab, carol)
        app = otp.App(lab, "dan", confirm=False)
        assert confirm(lab, app, otp.code(app.secret, int(time.time() - DAY) // 30)).returncode != 0
        assert confirm(lab, app, app.next()).returncode == 0
        control_dies(lab)
        assert not gets_in(lab, dan)
        assert gets_in(lab, me)
        row = clock_row(lab)
        assert not row["ok"] and "behind" in row["text"], row
        assert ending.p.wait(60) != 0       # its window ends in time, although the clock says yesterday
        assert not gets_in(lab, erin)
        valid.say("still here")
    finally:
        lab.move(0)
    heard(lab, "clock.agrees")
    assert clock_row(lab)["ok"] and not gets_in(lab, dan)
    assert valid.end() == 0
    L.wait_for("the alarm", lambda: lab.sql("SELECT 1 FROM outbox WHERE kind = 'alarm.clock-behind'"))


def test_forth_by_an_hour_ends_what_has_ended_and_back_again_does_not_revive_it(lab, me):
    fred = guest(lab, "fred", "--until", utc(HOUR // 2))
    valid, ending = L.Echo(lab, me), L.Echo(lab, fred)
    behind = said(lab, "clock.behind")
    lab.move(HOUR)
    try:
        assert ending.p.wait(60) != 0
        assert not gets_in(lab, fred)
        assert gets_in(lab, me, me.to1)     # by password: to the servers, certificates of this clock begin in an hour
        valid.say("still here")
    finally:
        lab.move(0)
    heard(lab, "clock.behind", behind)
    assert not gets_in(lab, fred)
    assert gets_in(lab, me)                 # certificates are dated right at once
    valid.say("still here")
    assert lab.ctl_run("--as", "admin", "doctor", "--accept", "clock", "now").returncode != 0   # root of this machine only
    assert lab.ctl_run("--as", "admin", "settings", "set", "clock.high", "1").returncode != 0
    assert lab.ctl_run("doctor", "--accept", "clock", "now").returncode == 0
    assert clock_row(lab)["ok"] and gets_in(lab, fred)
    assert valid.end() == 0


def test_forth_by_ten_days_is_raised_and_neither_ends_nor_opens_a_grant(lab, me):
    gina = guest(lab, "gina", "--from", utc(5 * DAY))
    hans = guest(lab, "hans", "--until", utc(5 * DAY))
    live = L.Echo(lab, hans)
    lab.move(10 * DAY)
    try:
        heard(lab, "clock.ahead")
        assert gets_in(lab, hans) and gets_in(lab, me) and not gets_in(lab, gina)
        row = clock_row(lab)
        assert not row["ok"] and "doctor --accept clock now" in row["text"], row
        control_dies(lab)
        assert gets_in(lab, hans) and not gets_in(lab, gina)
        live.say("still here")
    finally:
        lab.move(0)
    L.wait_for("the clock agrees", lambda: clock_row(lab)["ok"])
    assert gets_in(lab, hans)
    assert live.end() == 0


def test_forth_by_ten_days_deletes_no_recording_before_somebody_looked(lab, me):
    assert gets_in(lab, me)
    def recordings():           # not those of a moved clock
        rows = lab.ctl("recording", "list", "--state", "whole")
        return {r["id"] for r in rows if (uuid.UUID(r["id"]).int >> 80) / 1000 < time.time() + HOUR}
    kept = L.wait_for("a recording", recordings)
    lab.ctl("recording", "policy", "set", "--keep", "5d")
    assert lab.ctl("recording", "retention") == []      # it looked at the clock
    lab.move(10 * DAY)
    try:
        L.wait_for("it is seen", lambda: not clock_row(lab)["ok"])
        r = lab.ctl_run("recording", "retention")
        assert r.returncode != 0 and "no recording is deleted" in r.stderr and "ahead of" in r.stderr, r.stderr
        assert lab.ctl_run("doctor", "--accept", "clock", "now").returncode == 0
        r = lab.ctl_run("recording", "retention")       # that the clock is right is not all: did the machine sleep?
        assert r.returncode != 0 and "--accept-clock" in r.stderr, r.stderr
        assert kept <= recordings()
        assert kept <= {row["id"] for row in lab.ctl("recording", "retention", "--accept-clock")}
        L.wait_for("they are gone", lambda: not kept & recordings())
    finally:
        lab.ctl("recording", "policy", "remove")
        lab.move(0)
        assert lab.ctl_run("doctor", "--accept", "clock", "now").returncode == 0


def test_a_mark_that_was_changed_in_the_database_is_raised_and_made_anew(lab, me):
    lab.stop("sallyport")
    lab.sql("UPDATE settings SET value = ? WHERE key = 'clock.high'", "9999999999999999 1 0 0 0 -")
    lab.start()
    L.wait_for("the entry", lambda: lab.ctl("audit", "list", "--kind", "row.tampered"))
    L.wait_for("the mark is whole again", lambda: lab.ctl_run("doctor", "--rows").returncode == 0, 30)
    assert gets_in(lab, me) and clock_row(lab)["ok"]
