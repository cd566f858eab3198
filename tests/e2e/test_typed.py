"""Accounts whose password only the person knows: asked for in the login itself, so that commands and file transfers work too. (On a
terminal, in test_accounts.py.) Never recorded, never logged, used once."""
import os
import shlex
import subprocess

import pytest

import lab as L
import otp

pytestmark = pytest.mark.skipif(not L.ROOT, reason="needs a server that knows a password")
TO = "alice@any@typed1"


class Person:
    """Answers every question of a client with the next of these words, and keeps the questions."""

    def __init__(self, lab, folder, *words):
        self.lab, self.dir = lab, folder
        script = "n=$(cat %s/n 2>/dev/null || echo 0)\nn=$((n + 1))\necho $n >%s/n\nprintf '%%s\\n' \"$1\" >>%s/asked\ncase $n in\n" % (folder, folder, folder)
        script += "".join("%d) echo %s ;;\n" % (i + 1, shlex.quote(w)) for i, w in enumerate(words))
        folder.mkdir(exist_ok=True)
        (folder / "asked").write_text("")
        (folder / "n").write_text("0")
        (folder / "askpass").write_text("#!/bin/sh\n" + script + "*) exit 1 ;;\nesac\n")
        (folder / "askpass").chmod(0o755)
        self.env = {**os.environ, "SSH_ASKPASS": str(folder / "askpass"), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": "none:0"}

    def options(self, key):
        return [o.replace("BatchMode=yes", "BatchMode=no") for o in self.lab.ssh_options(key)]

    def run(self, argv, input=""):
        return subprocess.run([str(a) for a in argv], input=input, capture_output=True, text=True, timeout=60, env=self.env,
                              start_new_session=True)

    def ssh(self, login, *command, key, options=(), input=""):
        return self.run(["ssh", *self.options(key), *options, "-p", self.lab.port, "-l", login, "127.0.0.1", *command], input)

    @property
    def asked(self):
        return (self.dir / "asked").read_text().splitlines()


@pytest.fixture(scope="module")
def typed(lab):
    lab.openssh("typed1", password=True)
    lab.ctl("asset", "create", "typed1", "--address", "127.0.0.1", "--port", lab.targets["typed1"])
    lab.ctl("account", "create", "any@typed1", "--typed", "--login", "app")
    lab.ctl("grant", "create", "--user", "alice", "--asset", "typed1", "--account", "any")
    lab.trust()


def nowhere(lab, secret):
    """Neither in what is kept nor in what is logged."""
    for f in [*(lab.data / "state").rglob("*"), lab.dir / "sallyport.log"]:
        assert not f.is_file() or secret.encode() not in f.read_bytes(), f


def test_a_command_asks_in_the_login_and_nothing_of_it_is_kept(lab, me, typed, tmp_path):
    p = Person(lab, tmp_path / "p", L.PASSWORD)
    r = p.ssh(TO, "id -un; cat", key=me.key, input="through\n")
    assert (r.returncode, r.stdout) == (0, "app\nthrough\n"), r
    assert len(p.asked) == 1 and p.asked[0].strip().endswith("app@typed1's password:"), p.asked
    s = lab.ctl("session", "list", "--asset", "typed1")[0]
    assert s["recording"] and s["account"] == "any"
    nowhere(lab, L.PASSWORD)


def test_file_transfers_work_and_a_shared_connection_asks_once(lab, me, typed, tmp_path):
    f = tmp_path / "file"
    f.write_bytes(os.urandom(100000))
    where = "/tmp/typed-%d" % os.getpid()

    def person(n):
        return Person(lab, tmp_path / ("p%d" % n), L.PASSWORD)
    opts = person(0).options(me.key)
    rsh = " ".join(map(shlex.quote, ["ssh", *opts, "-p", str(lab.port), "-l", TO]))
    ways = [["scp", "-q", *opts, "-O", "-P", lab.port, f, TO + "@127.0.0.1:" + where],
            ["scp", "-q", *opts, "-P", lab.port, TO + "@127.0.0.1:" + where, tmp_path / "back"],
            ["rsync", "-e", rsh, "127.0.0.1:" + where, tmp_path / "synced"]]
    try:
        for n, argv in enumerate(ways):
            p = person(n)
            r = p.run(argv)
            assert r.returncode == 0 and len(p.asked) == 1, (r, p.asked)
        p = person(3)
        r = p.run(["sftp", "-q", *opts, "-P", lab.port, TO + "@127.0.0.1"], input="get %s %s/got\nrm %s\n" % (where, tmp_path, where))
        assert r.returncode == 0 and len(p.asked) == 1, r
        assert all((tmp_path / n).read_bytes() == f.read_bytes() for n in ("back", "synced", "got"))
    finally:
        if os.path.exists(where):
            os.unlink(where)
    p = person(4)
    mux = ["-o", "ControlMaster=auto", "-o", "ControlPath=" + str(lab.dir / "typed-mux"), "-o", "ControlPersist=60"]
    try:
        for _ in range(3):      # one connection, one target, one question
            assert p.ssh(TO, "echo in", key=me.key, options=mux).stdout == "in\n"
        assert len(p.asked) == 1
    finally:
        p.ssh(TO, key=me.key, options=[*mux, "-O", "exit"])
    nowhere(lab, L.PASSWORD)


def test_a_connection_inside_another_one_asks_too(lab, me, typed, tmp_path):
    p = Person(lab, tmp_path / "p", L.PASSWORD)
    proxy = "ssh %s -p %d -W %%h:%%p -l alice 127.0.0.1" % (" ".join(lab.ssh_options(me.key)), lab.port)
    r = p.run(["ssh", *p.options(me.key), "-o", "ProxyCommand=" + proxy, "-l", "any", "typed1", "id -un"])
    assert r.stdout == "app\n" and len(p.asked) == 1 and p.asked[0].strip().endswith("app@typed1's password:"), (r, p.asked)


def test_after_a_one_time_code(lab, me, typed, tmp_path):
    key = lab.key("tess.key")
    lab.ctl("user", "create", "tess", "--key", str(key) + ".pub")
    app = otp.App(lab, "tess")
    lab.ctl("grant", "create", "--user", "tess", "--asset", "typed1", "--account", "any", "--mfa", "every")
    p = Person(lab, tmp_path / "p", app.next(), L.PASSWORD)
    r = p.ssh("tess@any@typed1", "id -un", key=key)
    assert r.stdout == "app\n", (r, p.asked)
    assert ["one-time code for tess" in p.asked[0], "app@typed1's password" in p.asked[1], len(p.asked)] == [True, True, 2]


def test_a_wrong_password_is_one_line_and_is_not_used_again(lab, me, typed, tmp_path):
    p = Person(lab, tmp_path / "p", "something else entirely")
    r = p.ssh(TO, "id -un", key=me.key)
    assert r.returncode == 255 and r.stdout == "" and "typed1 refused the login of app" in r.stderr, r
    assert len(p.asked) == 1
    nowhere(lab, "something else entirely")


def test_forms_that_cannot_ask_are_refused_with_the_form_that_can(lab, me, typed):
    r = lab.ssh(TO, "true", key=me.key)                     # BatchMode
    assert r.returncode == 255 and "typed1 wants a password that only you know" in r.stderr and "no BatchMode" in r.stderr, r
    assert not [s for s in me.live() if s["asset"] == "typed1"]
    for r in (lab.ssh("alice", "any@typed1 true", key=me.key),
              lab.ssh("alice", "true", key=me.key, options=("-o", "SetEnv=SALLYPORT_TARGET=any@typed1"))):
        lines = [s for s in r.stderr.splitlines() if s.startswith("sallyport:")]
        assert r.returncode == 255 and len(lines) == 1, r
        assert "wants a password that only you know" in lines[0] and "ssh alice@any@typed1@" in lines[0] and "ssh -t" in lines[0], r


def test_who_may_not_use_the_account_is_not_asked(lab, me, typed, tmp_path):
    key = lab.key("stranger.key")
    lab.ctl("user", "create", "stranger", "--key", str(key) + ".pub")
    p = Person(lab, tmp_path / "p", L.PASSWORD)
    r = p.ssh("stranger@any@typed1", "true", key=key)
    assert r.returncode == 255 and p.asked == [], (r, p.asked)
