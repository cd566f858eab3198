"""What was shown of a second factor is remembered over restarts: how long a code counts, and that it was used."""
import os
import signal

import lab as L
import otp
import tour as T
from test_mfa import audit, grant


def enrol(lab, name, mfa="4h"):
    key = lab.key("key-" + name)
    lab.ctl("user", "create", name, "--key", str(key) + ".pub")
    grant(lab, mfa, user=name)
    return otp.App(lab, name), key


def kill_control(lab):
    """kill -9, and the next one answers."""
    old = T.child_pid(lab, "control")
    os.kill(old, signal.SIGKILL)
    L.wait_for("another control", lambda: T.child_pid(lab, "control") != old and lab.ctl_ok("status"))


def asked(lab, me, name, app, key, codes, source="127.0.0.1", tries=1):
    """(succeeded, how often a code was asked for)"""
    r, q = otp.asked(lab, "%s@%s" % (name, me.t0), "echo in", key=key, answers=codes,
                     options=["-b", source, "-o", "NumberOfPasswordPrompts=%d" % tries])
    return r.stdout == "in\n", len(q)


def test_one_code_counts_over_restarts_and_from_its_source_only(lab, me):
    app, key = enrol(lab, "mara")
    assert asked(lab, me, "mara", app, key, [app.next()]) == (True, 1)
    kill_control(lab)
    assert asked(lab, me, "mara", app, key, []) == (True, 0)
    assert asked(lab, me, "mara", app, key, [app.wrong()], source="127.0.0.77") == (False, 1)
    lab.stop("sallyport")
    lab.start()
    assert asked(lab, me, "mara", app, key, []) == (True, 0)


def test_every_login_stays_every_login(lab, me):
    app, key = enrol(lab, "mona", "every")
    assert asked(lab, me, "mona", app, key, [app.next()]) == (True, 1)
    kill_control(lab)
    assert asked(lab, me, "mona", app, key, [app.wrong()]) == (False, 1)


def test_a_changed_user_or_factor_is_asked_again_after_a_restart(lab, me):
    for name, change in (("mila", lambda: (lab.ctl("user", "disable", "mila"), lab.ctl("user", "enable", "mila"))),
                         ("mina", lambda: lab.ctl("user", "totp", "remove", "mina"))):
        app, key = enrol(lab, name)
        assert asked(lab, me, name, app, key, [app.next()]) == (True, 1)
        change()
        if name == "mina":
            app = otp.App(lab, name)
        kill_control(lab)
        assert asked(lab, me, name, app, key, [app.wrong()]) == (False, 1)


def test_a_file_that_somebody_else_wrote_counts_for_nothing(lab, me):
    app, key = enrol(lab, "myra")
    assert asked(lab, me, "myra", app, key, [app.next()]) == (True, 1)
    f = lab.data / "state" / "store" / "factors.log"
    raw = bytearray(f.read_bytes())
    assert len(raw) % 240 == 0 and os.stat(f).st_mode & 0o777 == 0o600
    for i in range(0, len(raw), 240):
        raw[i + 8] ^= 1
    f.write_bytes(raw + b"torn")
    kill_control(lab)
    assert asked(lab, me, "myra", app, key, [app.wrong()]) == (False, 1)
    assert "are not ours" in lab.log("sallyport")
    assert asked(lab, me, "myra", app, key, [app.next()]) == (True, 1)
    assert f.stat().st_size == len(raw) + 240                       # over the torn one
    kill_control(lab)
    assert asked(lab, me, "myra", app, key, []) == (True, 0)


def test_a_code_that_only_this_machine_knows_is_used_up_all_the_same(lab, me):
    """The embedded store is held against writers (by somebody's tool) while a code is shown, and control dies then."""
    import sqlite3
    app, key = enrol(lab, "mary", "every")
    db = sqlite3.connect(lab.data / "state" / "store" / "sallyport.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    try:
        code, recovery = app.next(), app.recovery[0]
        assert asked(lab, me, "mary", app, key, [code]) == (True, 1)
        assert asked(lab, me, "mary", app, key, [code]) == (False, 1)
        assert asked(lab, me, "mary", app, key, [recovery]) == (True, 1)
        kill_control(lab)
    finally:
        db.execute("ROLLBACK")
        db.close()
    assert asked(lab, me, "mary", app, key, [code, recovery], tries=2) == (False, 2)
    why = [r["text"] for r in audit(lab, "login.failed", "mary")]
    assert any("used already" in w for w in why), why
    L.wait_for("the store knows of it", lambda: lab.ctl("user", "totp", "show", "mary")["recovery_left"] == 9 - app.spent)
