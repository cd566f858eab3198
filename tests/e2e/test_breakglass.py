"""A sealed-envelope account: two halves, one login opens it, loud, for a while, recorded; and without the store too."""
import os
import subprocess
import time

import pytest

import lab as L


@pytest.fixture(scope="module")
def glass(lab):
    out = lab.ctl("breakglass", "create", "redbox", "--asset", "web1", "--expires", "+30d", "--open-for", "600")
    assert out["state"] == "sealed"
    return out


sources = iter(range(2, 250))


def ssh(lab, password, command="echo in"):
    """A stock client; the password comes from where ssh asks for it when there is no terminal. Each time from another
    address: one that guesses wrong is made to wait."""
    ask = lab.dir / "askpass"
    if not ask.exists():
        ask.write_text("#!/bin/sh\nprintf '%s\\n' \"$LAB_ANSWER\"\n")
        ask.chmod(0o755)
    argv = [a for a in lab.ssh_argv("redbox@%s" % lab.info["targets"][0], command,
                                    options=("-o", "BatchMode=no", "-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1", "-o",
                                             "BindAddress=127.0.0.%d" % next(sources)))
            if a != "BatchMode=yes"]
    argv = [a for i, a in enumerate(argv) if not (a == "-o" and i + 1 < len(argv) and argv[i + 1] == "-o")]
    env = dict(os.environ, SSH_ASKPASS=str(ask), SSH_ASKPASS_REQUIRE="force", LAB_ANSWER=password, DISPLAY=":0")
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def row(lab):
    return next(r for r in lab.ctl("breakglass", "list") if r["login"] == "redbox")


def test_the_envelopes_tell_a_typing_error(lab, glass):
    for half in (glass["envelope_1"], glass["envelope_2"]):
        f = lab.dir / "half"
        f.write_text(half + "\n")
        assert lab.ctl_ok("breakglass", "check", "--envelope-file", f)
        f.write_text(half[:-7] + ("0" if half[-7] != "0" else "1") + half[-6:] + "\n")
        assert "mistyped" in lab.ctl_run("breakglass", "check", "--envelope-file", f).stderr


def test_one_half_is_nothing_and_nobody_gives_it_another_credential(lab, glass):
    one, two = glass["envelope_1"], glass["envelope_2"]
    for wrong in (one, two, two + one, one + one):
        assert ssh(lab, wrong).returncode != 0
    assert row(lab)["state"] == "sealed"
    assert "envelopes" in lab.ctl_run("user", "key", "add", "redbox", str(lab.key("other.key")) + ".pub").stderr
    (lab.dir / "pw").write_text("a new password\n")
    assert "envelopes" in lab.ctl_run("user", "password", "redbox", "--password-file", lab.dir / "pw").stderr


def test_both_halves_open_it_loudly_for_a_while_without_the_store_too(lab, glass):
    before = lab.ctl("status")["snapshot"].get("made", "")
    lab.ctl("settings", "set", "tests.mark", str(time.monotonic_ns()))
    L.wait_for("a snapshot that has it", lambda: lab.ctl("status")["snapshot"].get("made", "") > before, 60)
    store, away = lab.data / "state" / "store", lab.data / "away"
    away.mkdir()
    for name in ("sallyport.db", "sallyport.db-wal", "sallyport.db-shm"):
        (store / name).rename(away / name)
    try:
        r = ssh(lab, glass["envelope_1"] + glass["envelope_2"])
        assert (r.returncode, r.stdout) == (0, "in\n"), r.stderr
        assert row(lab)["state"] == "open"
        e = lab.ctl("audit", "list", "--kind", "breakglass.opened")
        assert len(e) == 1 and "redbox" in e[0]["text"]
        L.wait_for("the alarm", lambda: any(b"break-glass" in f.read_bytes()
                                            for f in (lab.data / "state" / "outbox").rglob("*") if f.is_file()))
    finally:
        (away / "sallyport.db-shm").unlink(missing_ok=True)
        for name in ("sallyport.db-wal", "sallyport.db"):
            if (away / name).exists():
                (away / name).rename(store / name)
    L.wait_for("the store is back", lambda: lab.ctl("status")["snapshot"]["state"] == "ready", 30)
    assert row(lab)["state"] == "open"          # the opening was carried over
    s = [s for s in lab.ctl("session", "list") if s["user"] == "redbox"]
    assert s and s[0]["recording"]
    assert ssh(lab, glass["envelope_1"] + glass["envelope_2"]).stdout == "in\n"
    assert len(lab.ctl("audit", "list", "--kind", "breakglass.opened")) == 1


def test_afterwards_it_must_be_sealed_again_and_old_envelopes_are_worthless(lab, glass):
    new = lab.ctl("breakglass", "seal", "redbox", "--expires", "+10d", "--open-for", "60")
    assert row(lab)["state"] == "sealed"
    assert ssh(lab, glass["envelope_1"] + glass["envelope_2"]).returncode != 0
    assert ssh(lab, new["envelope_1"] + glass["envelope_2"]).returncode != 0
    assert ssh(lab, new["envelope_1"] + new["envelope_2"]).stdout == "in\n"
    until = lab.ctl("user", "show", "redbox")["valid_until"]
    lab.ctl("user", "update", "redbox", "--valid-until", "2020-01-01")      # as if its time were over
    assert until
    assert ssh(lab, new["envelope_1"] + new["envelope_2"]).returncode != 0
