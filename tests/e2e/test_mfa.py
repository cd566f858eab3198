"""Second factors: enrolment, one-time codes at the login and in-band, how long one counts, and what is kept of it."""
import json
import re
import subprocess
import threading

import paramiko
import pytest

import lab as L
import otp
from terminal import Terminal

CONFIG = {"max_startups_source": "100"}


def grant(lab, mfa, name=None, user="alice", asset="web1", account="*", protocol=None):
    """The one grant of a user on an asset, with this interval."""
    name = name or "%s-%s" % (user, asset)
    for g in lab.ctl("grant", "list", "--user", user):
        if g["name"] == name:
            lab.ctl("grant", "delete", g["id"])
    lab.ctl("grant", "create", "--name", name, "--user", user, "--asset", asset, "--account", account, "--mfa", mfa,
            "--protocol", protocol or "shell,exec,sftp,scp,forward-local", "--forward-to", "127.0.0.1:*")


@pytest.fixture(scope="module")
def people(lab):
    """One user per test that uses up codes: app(name) gives the user's authenticator and key."""
    made = {}

    def app(name):
        if name not in made:
            key = lab.key("key-" + name)
            lab.ctl("user", "create", name, "--key", str(key) + ".pub")
            made[name] = otp.App(lab, name), key
        return made[name]
    return app


def audit(lab, kind, user=None):
    rows = lab.ctl("audit", "list", "--limit", 1000, "--kind", kind)
    return [r for r in rows if user is None or r.get("actor") == user]


def account(me):
    return me.t0.split("@")[0]


def test_enrolment_is_shown_once_and_counts_only_when_confirmed(lab, me):
    lab.ctl("user", "create", "erin")
    app = otp.App(lab, "erin", confirm=False)
    assert re.fullmatch(r"[A-Z2-7]{32}", app.secret)
    assert app.uri.startswith("otpauth://totp/") and "secret=" + app.secret in app.uri and "erin" in app.uri
    assert len(set(app.recovery)) == 10 and all(re.fullmatch(r"[a-z2-7]{4}(-[a-z2-7]{4}){3}", r) for r in app.recovery)
    assert lab.ctl("user", "totp", "show", "erin")["state"] == "not confirmed"
    r = lab.ctl_run("user", "totp", "confirm", "erin", "--code-stdin", stdin=app.wrong() + "\n")
    assert r.returncode != 0 and "not the code of this moment" in r.stderr and "'user totp confirm erin'" in r.stderr
    first = app.next()
    lab.ctl("user", "totp", "confirm", "erin", "--code-stdin", stdin=first + "\n")
    assert lab.ctl("user", "totp", "show", "erin") == {**lab.ctl("user", "totp", "show", "erin"), "state": "active", "recovery_left": 10}
    r = lab.ctl_run("user", "totp", "enrol", "erin")
    assert r.returncode != 0 and "remove it first" in r.stderr
    lab.ctl("user", "totp", "remove", "erin")
    assert lab.ctl("user", "totp", "show", "erin")["state"] == "none"
    again = otp.App(lab, "erin", confirm=False)
    assert again.secret != app.secret
    lab.ctl("user", "delete", "erin")


def test_the_qr_code_fits_a_terminal_of_80_columns_and_has_a_text_beside_it(lab, me, tmp_path):
    lab.ctl("user", "create", "frank")
    with Terminal(tmp_path, lab.ctl_argv("user", "totp", "enrol", "frank"), cols=80, rows=60) as t:
        screen = t.wait("Scan this", "Key to type", "Recovery codes", "Code that the app shows now")
        rows = [s for s in screen.split("\n") if "\u2588" in s]
        assert len(rows) >= 18 and max(len(s) for s in rows) <= 80
        secret = re.search(r"Key to type:\s+([A-Z2-7]{32})", screen).group(1)
        t.line(otp.code(secret, int(__import__("time").time()) // 30))
        t.wait("Confirmed")
    r = lab.ctl_run("user", "totp", "enrol", "frank")
    assert "remove it first" in r.stderr
    lab.ctl("user", "totp", "remove", "frank")
    r = lab.ctl_run("user", "totp", "enrol", "frank")            # no terminal: the text alone
    assert "otpauth://" in r.stdout and "\u2588" not in r.stdout and "Not in use yet" in r.stdout
    with Terminal(tmp_path, lab.ctl_argv("user", "totp", "enrol", "frank", "--text"), cols=40, rows=40) as t:
        screen = t.wait("Code that the app shows now")
        assert len(re.findall(r"(?m)^  [a-z2-7]{4}(-[a-z2-7]{4}){3}$", screen)) == 10, screen


def test_a_key_and_a_code_by_partial_success_for_ssh_scp_and_sftp(lab, me, people, tmp_path):
    app, key = people("gina")
    grant(lab, "every", user="gina")
    to = "gina@%s" % me.t0
    r, q = otp.asked(lab, to, "echo in", key=key, answers=[app.next()], options=["-v"])
    assert r.returncode == 0 and r.stdout == "in\n", r.stderr
    assert len(q) == 1 and "Sallyport: one-time code for gina:" in q[0]
    assert "partial success" in r.stderr
    # every login: the next one is asked again; a code that was used is not taken, and neither is a wrong one
    r, q = otp.asked(lab, to, "echo in", key=key, answers=[otp.code(app.secret, app.last), app.wrong()], options=["-o", "NumberOfPasswordPrompts=2"])
    assert r.returncode != 0 and len(q) == 2 and "Permission denied" in r.stderr
    f = tmp_path / "file"
    f.write_text("over the wire\n")
    r, q = otp.asked(lab, None, f, "%s@127.0.0.1:copy-scp" % to, key=key, answers=[app.next()], program="scp")
    assert r.returncode == 0 and len(q) == 1, r.stderr
    batch = tmp_path / "batch"
    batch.write_text("pwd\n")
    r, q = otp.asked(lab, None, "%s@127.0.0.1" % to, key=key, answers=[app.recovery[0]], program="sftp", stdin="pwd\n")
    assert r.returncode == 0 and len(q) == 1 and "Remote working directory" in r.stdout, r.stderr
    assert lab.ctl("user", "totp", "show", "gina")["recovery_left"] == 9 - app.spent
    r, q = otp.asked(lab, to, "true", key=key, answers=[app.recovery[0]], options=["-o", "NumberOfPasswordPrompts=1"])
    assert r.returncode != 0 and len(q) == 1                           # each recovery code once
    rows = audit(lab, "mfa.ok", "gina")
    assert [r["more"]["method"] for r in rows].count("recovery") == 1 + app.spent
    why = [r["text"] for r in audit(lab, "login.failed", "gina")]
    assert any("used already" in w or "one-time code" in w for w in why), why


def test_a_password_and_a_code(lab, me, people):
    app, _ = people("hans")
    grant(lab, "every", user="hans")
    lab.ctl("user", "password", "hans", "--password-stdin", stdin="a long enough secret 2\n")
    t = paramiko.Transport(("127.0.0.1", lab.port))
    try:
        t.start_client(timeout=15)
        assert t.auth_password("hans@" + me.t0, "a long enough secret 2") == ["keyboard-interactive"]
        assert t.auth_interactive("hans@" + me.t0, lambda title, how, prompts: [app.next() for _ in prompts]) == []
        ch = t.open_session(timeout=15)
        ch.exec_command("echo by paramiko")
        assert ch.makefile().read() == b"by paramiko\n"
    finally:
        t.close()
    row = audit(lab, "login.ok", "hans")[0]
    assert row["more"]["method"] == "password" and row["more"]["second"] == "code"


@pytest.mark.parametrize("login, first", [("kira", "key"), ("kurt", "password")])
def test_a_key_or_password_that_is_taken_away_while_a_question_is_open_opens_nothing(lab, me, people, login, first):
    app, key = people(login)
    grant(lab, "every", user=login)
    to, password = "%s@%s" % (login, me.t0), ("user", "password", login, "--password-stdin")
    lab.ctl(*password, stdin="a long enough secret 3\n")

    def asked(title, how, prompts):
        if first == "key":
            lab.ctl("user", "key", "remove", login, lab.ctl("user", "key", "list", login)[0]["fingerprint"])
        else:
            lab.ctl(*password, stdin="a long enough secret 4\n")
        return [app.next() for _ in prompts]
    t = paramiko.Transport(("127.0.0.1", lab.port))
    try:
        t.start_client(timeout=15)
        if first == "key":
            assert t.auth_publickey(to, paramiko.Ed25519Key.from_private_key_file(str(key))) == ["keyboard-interactive"]
        else:
            assert t.auth_password(to, "a long enough secret 3") == ["keyboard-interactive"]
        with pytest.raises(paramiko.SSHException):
            t.auth_interactive(to, asked)
    finally:
        t.close()
    assert [r["text"] for r in audit(lab, "login.failed", login)] == [
        "the key was taken away during the login" if first == "key" else "the password was changed during the login"]
    assert not audit(lab, "login.ok", login)


def test_clients_that_cannot_ask_read_one_line_that_names_the_form(lab, me, people):
    app, key = people("ida")
    grant(lab, "every", user="ida")
    r = lab.ssh("ida@" + me.t0, "true", key=key)                         # BatchMode
    assert r.returncode == 255 and "wants a one-time code" in r.stderr and "keyboard-interactive" in r.stderr
    r = lab.ssh("ida", "%s true" % me.t0, key=key)                       # exec target without a terminal
    assert r.returncode == 255
    lines = [s for s in r.stderr.splitlines() if s.startswith("sallyport:")]
    assert len(lines) == 1 and "wants a one-time code" in lines[0] and "ssh -t" in lines[0], r.stderr
    # and with the target known only after the login, there is no question at the login
    assert not audit(lab, "mfa.ok", "ida")


def test_who_has_no_second_factor_is_told_what_to_do(lab, me):
    grant(lab, "every", user="alice")
    try:
        r = me.ssh("true")
        assert r.returncode == 255 and "you have no second factor yet" in r.stderr and "totp enrol" in r.stderr, r.stderr
    finally:
        grant(lab, "never", user="alice")
    assert me.ssh("true").returncode == 0


def no_trace(lab, *codes):
    """Neither in recordings, nor in the audit log, nor in any log."""
    for f in [*(lab.data / "state").rglob("*"), *lab.dir.glob("*.log")]:
        if f.is_file() and not f.name.endswith((".db", ".db-wal", ".db-shm")):
            data = json.dumps(lab.lines(f.name.split(".")[0])).encode() if f.name.endswith(".age") else f.read_bytes()
            for c in codes:
                assert c.encode() not in data, (c, f)


def test_in_band_on_the_menu_and_an_exec_target_and_never_recorded(lab, me, people, tmp_path):
    app, key = people("jane")
    grant(lab, "every", user="jane")
    opts = ["-tt"]
    codes = []
    with Terminal(tmp_path, lab.ssh_argv("jane", key=key, options=opts)) as t:
        t.wait("web1")
        t.line(me.t0)
        t.wait("Sallyport: one-time code for %s" % me.t0)
        bad = app.wrong()
        t.line(bad)
        t.wait("not accepted")
        codes += [bad, app.next()]
        t.line(codes[-1])
        t.wait("$")
        t.line("echo inside $((40+2))")
        t.wait("inside 42")
        assert all(c not in t.screen() for c in codes)
        t.line("exit")
        t.wait("logout", "Number or search>")
        t.line(me.t0)                            # the same login: one code was enough
        t.line("clear; echo again $((40+3))")
        t.wait("again 43")
    with Terminal(tmp_path, lab.ssh_argv("jane", "%s" % me.t0, "echo exec $((1+1))", key=key, options=opts)) as t:
        t.wait("Sallyport: one-time code for")
        codes.append(app.next())
        t.line(codes[-1])
        t.wait("exec 2")
        assert t.status() == 0
    L.wait_for("the ends", lambda: not [s for s in lab.ctl("session", "list", "--user", "jane") if s["state"] == "live"])
    no_trace(lab, *codes, app.secret, *app.recovery)


def test_giving_up_the_question_ends_in_one_line(lab, me, people, tmp_path):
    _, key = people("ida")
    with Terminal(tmp_path, lab.ssh_argv("ida", me.t0, "true", key=key, options=["-tt"])) as t:
        t.wait("Sallyport: one-time code")
        t.key("C-c")
        assert t.status() == 255
        assert "No one-time code was given" in t.screen()
    assert not [s for s in lab.ctl("session", "list", "--user", "ida")]      # nothing was opened, dialed, recorded


def test_one_code_counts_for_the_source_as_long_as_the_interval_says(lab, me, people):
    app, key = people("karl")
    grant(lab, "4h", user="karl")
    to = "karl@" + me.t0
    r, q = otp.asked(lab, to, "echo 1", key=key, answers=[app.next()])
    assert r.stdout == "1\n" and len(q) == 1, r.stderr
    r = lab.ssh(to, "echo 2", key=key)
    assert r.stdout == "2\n", r.stderr                                    # not asked again
    r = lab.ssh(to, "echo 3", key=key, options=["-b", "127.0.0.77"])
    assert r.returncode == 255 and "wants a one-time code" in r.stderr     # another source
    # what the user had shown counts no more when his second factor is reset
    lab.ctl("user", "totp", "remove", "karl")
    r = lab.ssh(to, "echo 4", key=key)
    assert r.returncode == 255 and "no second factor yet" in r.stderr, r.stderr


def test_a_multiplexed_connection_does_not_outlive_the_interval(lab, me, people, tmp_path):
    app, key = people("lena")
    grant(lab, "12h", user="lena")
    to = "lena@" + me.t0
    mux = ["-o", "ControlMaster=auto", "-o", "ControlPath=%s" % (tmp_path / "mux"), "-o", "ControlPersist=60"]
    r, q = otp.asked(lab, to, "echo 1", key=key, answers=[app.next()], options=mux)
    assert r.stdout == "1\n" and len(q) == 1, r.stderr
    try:
        assert lab.ssh(to, "echo 2", key=key, options=mux).stdout == "2\n"
        # A second grant wants more: the strictest counts, and the code of before is too old for what is opened from here.
        grant(lab, "1s", user="lena", name="strict")
        L.wait_for("the interval to end", lambda: lab.ssh(to, "true", key=key, options=mux).returncode == 255)
        r = lab.ssh(to, "echo 3", key=key, options=mux)
        assert r.returncode == 255 and "wants a one-time code" in r.stderr and r.stdout == "", r.stderr
        sftp = subprocess.run(["sftp", *lab.ssh_options(key), *mux, "-P", str(lab.port), "-b", "-", "%s@127.0.0.1" % to], input="pwd\n",
                              capture_output=True, text=True, timeout=60)
        assert sftp.returncode != 0 and "wants a one-time code" in sftp.stderr, sftp.stderr
        with Terminal(tmp_path, lab.ssh_argv(to, "echo late $((2+3))", key=key, options=[*mux, "-tt"])) as t:
            t.wait("Sallyport: one-time code for web1")
            for g in lab.ctl("grant", "list", "--user", "lena"):
                if g["name"] == "strict":
                    lab.ctl("grant", "delete", g["id"])
            t.line(app.next())
            t.wait("late 5")
        assert lab.ssh(to, "echo 6", key=key, options=mux).stdout == "6\n"
        assert len(lab.ctl("session", "list", "--user", "lena")) == 1          # all of it on one target, one connection
    finally:
        subprocess.run(["ssh", *lab.ssh_options(key), *mux, "-O", "exit", "-p", str(lab.port), "-l", to, "127.0.0.1"], capture_output=True, timeout=20)


def test_jumps_ask_on_the_inner_login(lab, me, people):
    app, key = people("mona")
    grant(lab, "every", user="mona")
    proxy = "ssh %s -p %d -W %%h:%%p -l mona 127.0.0.1" % (" ".join(lab.ssh_options(key)), lab.port)
    inner = ["-o", "ProxyCommand=" + proxy, "-o", "HostKeyAlias=web1", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    opts = [*inner]
    d = lab.dir / "jump-ask"
    script = d / "askpass"
    d.mkdir()
    script.write_text("#!/bin/sh\nprintf %%s \"$1\" >%s/q\necho %s\n" % (d, app.next()))
    script.chmod(0o755)
    env = {**__import__("os").environ, "SSH_ASKPASS": str(script), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": "none:0"}
    r = subprocess.run(["ssh", "-F", "/dev/null", *opts, "-l", account(me), "web1", "echo through"], capture_output=True, text=True,
                       timeout=60, env=env, stdin=subprocess.DEVNULL, start_new_session=True)
    assert r.stdout == "through\n", r.stderr
    assert "Sallyport: one-time code for mona" in (d / "q").read_text()
    r = subprocess.run(["ssh", "-F", "/dev/null", "-o", "BatchMode=yes", *opts, "-l", account(me), "web1", "echo through"], capture_output=True,
                       text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert r.returncode == 255 and "wants a one-time code" in r.stderr, r.stderr


def kbd_login(lab, login, key, answer, source=None):
    """A login by paramiko with one code; True if it was let in."""
    import socket
    t = paramiko.Transport(socket.create_connection(("127.0.0.1", lab.port), 10, source_address=(source, 0) if source else None))
    try:
        t.start_client(timeout=15)
        left = t.auth_publickey(login, paramiko.Ed25519Key(filename=str(key)))
        if not left:
            return True
        t.auth_interactive(login, lambda title, how, prompts: [answer for _ in prompts])
        return t.is_authenticated()
    except (paramiko.SSHException, EOFError):
        return False
    finally:
        t.close()


def test_of_logins_at_once_with_the_same_code_one_wins(lab, me, people):
    app, key = people("nina")
    grant(lab, "every", user="nina")
    one, got = app.next(), []
    threads = [threading.Thread(target=lambda i=i: got.append(kbd_login(lab, "nina@" + me.t0, key, one, "127.0.1.%d" % (i + 1)))) for i in range(5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(got) == [False] * 4 + [True]


def test_guesses_are_bounded_for_the_user_and_lock_out_nobody_from_a_known_address(lab, me, people):
    app, key = people("olaf")
    grant(lab, "every", user="olaf")
    to = "olaf@" + me.t0
    assert kbd_login(lab, to, key, app.next(), "127.0.2.1")                # the owner, where he always is
    bad = app.wrong()
    for i in range(14):
        assert not kbd_login(lab, to, key, bad, "127.0.3.%d" % (i + 1))
    why = [r["text"] for r in audit(lab, "login.failed", "olaf")]
    assert any("many addresses" in w for w in why), why
    assert audit(lab, "mfa.guessing", "olaf")
    assert not kbd_login(lab, to, key, app.recovery[0], "127.0.3.99")      # even right, from elsewhere
    assert kbd_login(lab, to, key, app.recovery[0], "127.0.2.1")           # it was not used up, and he is let in


def test_one_address_waits_after_wrong_codes(lab, me, people):
    app, key = people("petra")
    grant(lab, "every", user="petra")
    to = "petra@" + me.t0
    for _ in range(4):
        assert not kbd_login(lab, to, key, app.wrong(), "127.0.4.1")
    assert not kbd_login(lab, to, key, app.recovery[0], "127.0.4.1")       # waits
    assert kbd_login(lab, to, key, app.recovery[0], "127.0.4.2")


def test_plink_is_asked(lab, me, people, tmp_path):
    app, _ = people("quentin")
    grant(lab, "every", user="quentin")
    lab.ctl("user", "password", "quentin", "--password-stdin", stdin="a long enough secret 3\n")
    hostkey = subprocess.run(["ssh-keyscan", "-t", "ed25519", "-p", str(lab.port), "127.0.0.1"], capture_output=True, text=True, timeout=20).stdout
    (tmp_path / "hk").write_text(hostkey.split(" ", 1)[1])
    fp = subprocess.run(["ssh-keygen", "-lf", tmp_path / "hk"], capture_output=True, text=True, check=True).stdout.split()[1]
    argv = ["plink", "-ssh", "-hostkey", fp, "-no-antispoof", "-P", str(lab.port), "-l", "quentin@" + me.t0, "127.0.0.1", "echo by plink"]
    with Terminal(tmp_path, argv) as t:
        t.wait("assword")
        t.line("a long enough secret 3")
        t.wait("one-time code")
        t.line(app.next())
        t.wait("by plink")


def test_a_password_that_must_be_changed_opens_nothing(lab, me):
    lab.ctl("user", "create", "rita")
    lab.ctl("grant", "create", "--user", "rita", "--asset", "web1", "--account", "*")
    lab.ctl("user", "password", "rita", "--password-stdin", "--must-change", stdin="a long enough secret 4\n")
    t = paramiko.Transport(("127.0.0.1", lab.port))
    try:
        t.start_client(timeout=15)
        with pytest.raises((paramiko.SSHException, EOFError)):
            t.auth_password("rita@" + me.t0, "a long enough secret 4")
        assert not t.is_authenticated()
    finally:
        t.close()
    assert any("must be changed" in r["text"] for r in audit(lab, "login.failed", "rita"))
    lab.ctl("user", "password", "rita", "--password-stdin", stdin="a long enough secret 5\n")
    t = paramiko.Transport(("127.0.0.1", lab.port))
    try:
        t.start_client(timeout=15)
        t.auth_password("rita@" + me.t0, "a long enough secret 5")
        assert t.is_authenticated()
    finally:
        t.close()


def test_a_flood_of_failed_logins_is_a_few_lines_of_the_log(lab, me):
    other = lab.key("other.key")
    for _ in range(5):
        for _ in range(8):
            lab.ssh("sam@" + me.t0, "true", key=other, options=["-b", "127.0.5.1"])
    rows = audit(lab, "login.failed", "sam")
    assert 1 <= len(rows) <= 3, rows
    # keys that do not fit are no reason to refuse their source, or the user
    assert lab.ssh(me.to0, "echo in", key=me.key, options=["-b", "127.0.5.1"]).stdout == "in\n"


def test_wrong_passwords_make_that_user_wait_there_and_nowhere_else(lab, me):
    lab.ctl("user", "create", "tina")
    lab.ctl("grant", "create", "--user", "tina", "--asset", "web1", "--account", "*")
    right = "a long enough secret 6"
    lab.ctl("user", "password", "tina", "--password-stdin", stdin=right + "\n")

    def login(password, source):
        r = subprocess.run(["sshpass", "-p", password, "ssh", *[o.replace("BatchMode=yes", "BatchMode=no") for o in lab.ssh_options()],
                            "-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=1",
                            "-b", source, "-p", str(lab.port), "-l", "tina@" + me.t0, "127.0.0.1", "echo in"], capture_output=True, text=True,
                           timeout=60)
        return r.stdout == "in\n"
    for _ in range(5):
        assert not login("wrong wrong wrong", "127.0.6.1")
    assert not login(right, "127.0.6.1")
    assert login(right, "127.0.6.2")
