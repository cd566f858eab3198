"""Who may do what: grants, groups, explain, disabling, host keys, the same words for every refusal."""
import json
import os
import subprocess
import threading
import time

import pytest

import lab as L


def person(lab, name, **opts):
    key = lab.key(name + ".key")
    args = ["user", "create", name, "--key", str(key) + ".pub"]
    for k, v in opts.items():
        args += ["--" + k.replace("_", "-"), v]
    lab.ctl(*args)
    return key


def asset_of(me):
    return me.t0.split("@")


def test_without_a_grant_nothing_opens_and_explain_says_so(lab, me):
    account, asset = asset_of(me)
    key = person(lab, "carol")
    r = lab.ssh("carol@" + me.t0, "id", key=key)
    assert r.returncode != 0 and r.stdout == "" and len(r.stderr.strip().splitlines()) == 1, r
    e = lab.ctl("access", "explain", "carol", asset, account)
    assert e["allowed"] is False and e["reasons"]


def test_a_grant_to_a_group_in_a_group_works_at_the_next_login_and_ends_at_once(lab, me):
    account, asset = asset_of(me)
    key = person(lab, "dave")
    for g in ("ops", "ops-night"):
        lab.ctl("group", "create", g)
    lab.ctl("group", "member", "add", "ops", "--group", "ops-night")
    lab.ctl("group", "member", "add", "ops-night", "--user", "dave")
    g = lab.ctl("grant", "create", "--group", "ops", "--asset", asset, "--account", account)
    assert lab.ssh("dave@" + me.t0, "echo in", key=key).stdout == "in\n"
    assert lab.ctl("access", "explain", "dave", asset, account)["allowed"] is True
    lab.ctl("grant", "delete", g["id"])
    assert lab.ssh("dave@" + me.t0, "echo in", key=key).returncode != 0


def test_a_grant_to_an_asset_group_reaches_assets_below_it(lab, me):
    account, asset = asset_of(me)
    key = person(lab, "erin")
    lab.ctl("asset-group", "create", "dc")
    lab.ctl("asset-group", "create", "rack", "--parent", "dc")
    lab.ctl("asset-group", "member", "add", "rack", "--asset", asset)
    lab.ctl("grant", "create", "--user", "erin", "--asset-group", "dc", "--account", account)
    assert lab.ssh("erin@" + me.t0, "echo in", key=key).stdout == "in\n"


def test_a_deny_grant_wins(lab, me):
    account, asset = asset_of(me)
    key = person(lab, "frank")
    lab.ctl("grant", "create", "--user", "frank", "--asset", asset, "--account", "*")
    d = lab.ctl("grant", "create", "--user", "frank", "--asset", asset, "--account", account, "--effect", "deny")
    assert lab.ssh("frank@" + me.t0, "true", key=key).returncode != 0
    lab.ctl("grant", "delete", d["id"])
    assert lab.ssh("frank@" + me.t0, "true", key=key).returncode == 0


def test_a_grant_outside_its_window_does_not_count(lab, me):
    account, asset = asset_of(me)
    key = person(lab, "grace")
    lab.ctl("grant", "create", "--user", "grace", "--asset", asset, "--account", account, "--from", "2099-01-01")
    lab.ctl("grant", "create", "--user", "grace", "--asset", asset, "--account", account, "--until", "2020-01-01")
    assert lab.ssh("grace@" + me.t0, "true", key=key).returncode != 0
    reasons = " ".join(map(str, lab.ctl("access", "explain", "grace", asset, account)["reasons"]))
    assert "not valid since 2020-01-01" in reasons and "not valid before 2099-01-01" in reasons, reasons


def test_protocols_of_a_grant_are_kept_apart(lab, me, tmp_path):
    account, asset = asset_of(me)
    key = person(lab, "heidi")
    lab.ctl("grant", "create", "--user", "heidi", "--asset", asset, "--account", account, "--protocol", "exec")
    assert lab.ssh("heidi@" + me.t0, "echo in", key=key).stdout == "in\n"
    r = subprocess.run(["sftp", "-q", "-b", "-", *lab.ssh_options(key), "-P", str(lab.port), "-o", "User=heidi@" + me.t0, "127.0.0.1"],
                       input="pwd\n", text=True, capture_output=True, timeout=30)
    assert r.returncode != 0
    r = lab.ssh("heidi@" + me.t0, key=key, stdin="echo shell\n", options=["-T"])
    assert "shell" not in r.stdout


def test_a_grant_of_scp_alone_copies_files_in_both_protocols_and_runs_nothing_else(lab, me, tmp_path):
    account, asset = asset_of(me)
    key = person(lab, "harry")
    who = "harry@" + me.t0
    lab.ctl("grant", "create", "--user", "harry", "--asset", asset, "--account", account, "--protocol", "scp")
    (tmp_path / "one").write_bytes(os.urandom(70000))
    for proto in ("-O", "-s"):
        remote = "127.0.0.1:harry%s.bin" % proto
        options = ["-q", proto, *lab.ssh_options(key), "-P", str(lab.port), "-o", "User=" + who]
        for a, b in ((tmp_path / "one", remote), (remote, tmp_path / "back")):
            r = subprocess.run(["scp", *options, a, b], capture_output=True, text=True, timeout=30)
            assert r.returncode == 0, r
        assert (tmp_path / "back").read_bytes() == (tmp_path / "one").read_bytes()
        (tmp_path / "back").unlink()
    for command in ("id", "scp -f x; id", "scp -f $(id)", "scp -S id -t x", "scp -t x\nid", "sh -c 'scp -t x'", "/usr/bin/scp -f x", "scp -f x y"):
        r = lab.ssh(who, command, key=key)
        assert r.returncode != 0 and r.stdout == "" and "not" in r.stderr, (command, r)
    # What the session calls it does not count: control reads the command itself, on a connection that scp opened too.
    sock = "/tmp/sp-scp-%d" % os.getpid()
    master = subprocess.Popen(lab.ssh_argv(who, "-N", key=key, options=["-M", "-S", sock]), stdin=subprocess.DEVNULL)
    try:
        L.wait_for("the master", lambda: os.path.exists(sock))
        subprocess.run(["scp", "-q", "-O", *lab.ssh_options(key), "-o", "ControlPath=" + sock, tmp_path / "one", "127.0.0.1:harry.two"],
                       check=True, timeout=30)
        r = lab.ssh(who, "scp -f harry.two; id", key=key, options=["-S", sock])
        assert r.returncode != 0 and r.stdout == "" and "Your grant does not allow exec" in r.stderr, r
    finally:
        master.terminate()
        master.wait()


def test_every_refusal_before_login_reads_the_same(lab, me):
    key = person(lab, "ivan")
    lab.ctl("user", "disable", "ivan")
    texts = set()
    for login, k in (("nobody@" + me.t0, me.key), ("alice@" + me.t0, key), ("ivan@" + me.t0, key)):
        r = lab.ssh(login, "true", key=k)
        assert r.returncode == 255
        texts.add(r.stderr.strip().splitlines()[-1].split(": ", 1)[1])
    assert len(texts) == 1, texts


def test_disabling_ends_live_sessions_and_refuses_new_ones(lab, me):
    account, asset = asset_of(me)
    key = person(lab, "judy")
    lab.ctl("grant", "create", "--user", "judy", "--asset", asset, "--account", account)
    p = subprocess.Popen(lab.ssh_argv("judy@" + me.t0, "echo up; sleep 60", key=key), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "up\n"
    lab.ctl("user", "disable", "judy")
    assert "Terminated by" in p.communicate(timeout=10)[1]
    assert lab.ssh("judy@" + me.t0, "true", key=key).returncode == 255


def test_a_disable_that_races_logins_leaves_no_session(lab, me):
    account, asset = asset_of(me)
    key = person(lab, "kim")
    lab.ctl("grant", "create", "--user", "kim", "--asset", asset, "--account", account)
    for _ in range(3):
        lab.ctl("user", "enable", "kim")
        jobs = [subprocess.Popen(lab.ssh_argv("kim@" + me.t0, "sleep 60", key=key), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(6)]
        time.sleep(0.15)
        lab.ctl("user", "disable", "kim")
        for j in jobs:
            assert j.wait(20) != 0
        L.wait_for("no session of kim", lambda: not [s for s in me.live() if s["user"] == "kim"], 5)


@pytest.mark.parametrize("what, says", [("user", "your account was deleted"), ("account", "your access to this target has ended"),
                                        ("asset", "your access to this target has ended")])
def test_deleting_ends_live_sessions_and_refuses_new_ones(lab, me, what, says):
    key = person(lab, "del-" + what)
    lab.ctl("asset", "create", "doomed", "--address", "127.0.0.1", "--port", lab.targets["web1"])
    account = me.t0.split("@")[0]
    lab.ctl("account", "create", account + "@doomed", "--ca", "demo-ca")
    lab.ctl("grant", "create", "--user", "del-" + what, "--asset", "doomed", "--account", account)
    to = "del-%s@%s@doomed" % (what, account)
    p = subprocess.Popen(lab.ssh_argv(to, "echo up; sleep 60", key=key), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "up\n", p.stderr.read()
    lab.ctl(what, "delete", {"user": "del-user", "account": account + "@doomed", "asset": "doomed"}[what])
    _, err = p.communicate(timeout=20)
    assert p.returncode == 255 and says in err, err
    assert lab.ssh(to, "echo in", key=key).stdout == ""
    if what != "asset":
        lab.ctl("asset", "delete", "doomed")


def test_a_session_ends_with_the_validity_of_its_user(lab, me):
    key = person(lab, "temp")
    account, asset = asset_of(me)
    lab.ctl("grant", "create", "--user", "temp", "--asset", asset, "--account", account)
    lab.ctl("user", "update", "temp", "--valid-until", "+9s")
    p = subprocess.Popen(lab.ssh_argv("temp@" + me.t0, "echo up; sleep 60", key=key), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "up\n", p.stderr.read()
    _, err = p.communicate(timeout=40)
    assert p.returncode == 255 and "ended" in err, err
    assert lab.ssh("temp@" + me.t0, "echo in", key=key).returncode == 255


def test_a_login_that_differs_only_in_case_is_refused(lab):
    lab.ctl("user", "create", "carla")
    r = lab.ctl_run("user", "create", "Carla")
    assert r.returncode != 0 and "carla is there already" in r.stderr, r.stderr
    f = lab.dir / "case.csv"
    for rows, says in (("CARLA,x\n", "carla is there already"), ("dora,x\nDora,x\n", "is on line 2 already")):
        f.write_text("login,full_name\n" + rows)
        r = lab.ctl_run("import", "users", f)
        assert r.returncode != 0 and says in r.stderr + r.stdout, r.stderr + r.stdout
    assert [u["login"] for u in lab.ctl("user", "list") if u["login"].lower() in ("carla", "dora")] == ["carla"]


def test_deleting_an_asset_or_an_account_erases_the_secrets(lab):
    """Sealed as they are: nothing of them stays in the store."""
    def kept():
        return sorted(n for n, in lab.sql("SELECT name FROM secrets") if n.endswith("@wiped"))
    lab.ctl("asset", "create", "wiped", "--address", "192.0.2.9")
    for name in ("one", "two", "three"):
        lab.ctl("account", "create", name + "@wiped", "--password-stdin", stdin="a secret\n")
    assert kept() == ["one@wiped", "three@wiped", "two@wiped"]
    lab.ctl("account", "delete", "one@wiped")
    assert kept() == ["three@wiped", "two@wiped"]
    before = len(lab.sql("SELECT 1 FROM secrets"))
    lab.ctl("asset", "delete", "wiped")
    assert kept() == [] and len(lab.sql("SELECT 1 FROM secrets")) <= before - 2


class Live:
    """A session whose other side answers, so that one can see that it lives."""

    def __init__(self, lab, login, key):
        self.p = subprocess.Popen(lab.ssh_argv(login, "echo up; cat", key=key), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        assert self.p.stdout.readline() == "up\n", self.p.stderr.read()

    def answers(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()
        return self.p.stdout.readline() == line + "\n"

    def ended(self):
        _, err = self.p.communicate(timeout=30)
        assert self.p.returncode == 255
        return err


def test_more_validity_or_a_greater_role_ends_nothing_and_less_ends_all(lab, me):
    key = person(lab, "longer")
    account, asset = asset_of(me)
    lab.ctl("grant", "create", "--user", "longer", "--asset", asset, "--account", account)
    lab.ctl("user", "update", "longer", "--valid-until", "+8s")
    end = time.time() + 8
    live = Live(lab, "longer@" + me.t0, key)
    lab.ctl("user", "update", "longer", "--valid-until", "+1h")
    lab.ctl("user", "update", "longer", "--full-name", "Longer", "--role", "auditor")
    assert live.answers("one")
    L.wait_for("the end that was", lambda: time.time() > end + 1, 20)
    assert live.answers("two")
    lab.ctl("user", "update", "longer", "--role", "user")
    assert "your account was changed" in live.ended()
    live = Live(lab, "longer@" + me.t0, key)
    lab.ctl("user", "update", "longer", "--valid-until", "+30m")
    assert "your account was changed" in live.ended()


def recorded(lab, asset, text):
    """The newest session to the asset ended with the very line that its user read."""
    return L.wait_for("the record of " + text, lambda: (lab.ctl("session", "list", "--asset", asset)[0]["reason"] or "") == text, 10)


def test_a_changed_host_key_is_refused_and_said(lab, me):
    account, asset = asset_of(me)
    lab.ctl("asset", "hostkey", "list", asset)
    port = lab.openssh("impostor", ca_pub=lab.ctl("ca", "show", "demo-ca")["public_key"])
    real = lab.targets[asset]
    assert me.ssh("true").returncode == 0          # pinned by now
    lab.ctl("asset", "update", asset, "--port", port)
    try:
        r = me.ssh("echo in")
        assert r.returncode != 0 and "host key" in r.stderr.lower() and r.stdout == ""
        line = r.stderr.strip().removeprefix("sallyport: ")
        assert recorded(lab, asset, line)
    finally:
        lab.ctl("asset", "update", asset, "--port", real)
    assert me.ssh("echo in").stdout == "in\n"


def test_an_unreachable_target_gives_one_clear_line_that_the_record_repeats(lab, me):
    account, _ = asset_of(me)
    port = L.free_port()
    lab.ctl("asset", "create", "gone", "--address", "127.0.0.1", "--port", port)
    lab.ctl("account", "create", "%s@gone" % account, "--ca", "demo-ca")
    lab.ctl("grant", "create", "--user", "alice", "--asset", "gone", "--account", "*")
    r = lab.ssh("alice@%s@gone" % account, "true", key=me.key)
    line = r.stderr.strip()
    assert r.returncode == 255 and "refused" in line and len(line.splitlines()) == 1, r
    assert recorded(lab, "gone", line.removeprefix("sallyport: "))


def test_a_wrong_stored_password_gives_one_clear_line(lab, me):
    if not L.ROOT:
        pytest.skip("needs a server that knows a password")
    lab.ctl("asset", "create", "db1-wrong", "--address", "127.0.0.1", "--port", lab.targets["db1"])
    lab.ctl("account", "create", "app@db1-wrong", "--password-stdin", stdin="not the password\n")
    lab.ctl("grant", "create", "--user", "alice", "--asset", "db1-wrong", "--account", "app")
    r = lab.ssh("alice@app@db1-wrong", "true", key=me.key)
    assert r.returncode == 255 and len(r.stderr.strip().splitlines()) == 1, r
    assert "refused the login" in r.stderr
    assert recorded(lab, "db1-wrong", r.stderr.strip().removeprefix("sallyport: "))


def test_users_log_in_with_every_kind_of_key(lab, me):
    account, asset = asset_of(me)
    lab.ctl("user", "create", "leo")
    lab.ctl("grant", "create", "--user", "leo", "--asset", asset, "--account", account)
    for kind, more in (("ed25519", ()), ("ecdsa", ("-b", "256")), ("ecdsa", ("-b", "384")), ("ecdsa", ("-b", "521")), ("rsa", ("-b", "3072"))):
        key = lab.key("leo.%s%s" % (kind, "".join(more)), kind, *more)
        lab.ctl("user", "key", "add", "leo", str(key) + ".pub")
        assert lab.ssh("leo@" + me.t0, "echo in", key=key).stdout == "in\n", kind


def test_a_password_logs_a_user_in_and_a_wrong_one_does_not(lab, me):
    account, asset = asset_of(me)
    lab.ctl("user", "create", "mona")
    lab.ctl("user", "password", "mona", "--password-stdin", stdin="a long enough one\n")
    lab.ctl("grant", "create", "--user", "mona", "--asset", asset, "--account", account)
    for word, ok in (("a long enough one", True), ("a wrong one", False)):
        opts = [o for o in lab.ssh_options() if o != "BatchMode=yes"]
        argv = ["sshpass", "-p", word, "ssh", "-F", "/dev/null", "-o", "UserKnownHostsFile=%s" % lab.known_hosts, "-o", "StrictHostKeyChecking=yes",
                "-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1", "-p", str(lab.port), "-l", "mona@" + me.t0, "127.0.0.1", "echo in"]
        r = subprocess.run(argv, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        assert (r.stdout == "in\n") is ok, (word, r)


def test_the_asset_that_one_may_not_see_and_the_one_that_is_not_read_the_same(lab, me):
    key = person(lab, "nina")
    a = lab.ssh("nina@x@no-such-asset", "true", key=key).stderr.replace("no-such-asset", "X").strip()
    b = lab.ssh("nina@x@web1", "true", key=key).stderr.replace("web1", "X").strip()
    assert a == b and a


def test_an_account_with_the_users_own_name(lab, me):
    if not L.ROOT:
        pytest.skip("needs an account named after the user")
    lab.ctl("account", "create", "own@web1", "--same", "--ca", "demo-ca")
    r = lab.ssh("alice@own@web1", "id -un", key=me.key)
    assert r.stdout == "alice\n", r


def test_a_kill_while_the_target_is_opened_says_who_did_it(lab, me):
    """At whatever moment of the opening it falls, the user reads the kill and not what it interrupted."""
    for way in (me.t0, me.t1):
        for _ in range(8):
            L.wait_for("nothing is live", lambda: not me.live(), 10)
            p = subprocess.Popen(lab.ssh_argv("%s@%s" % (me.user, way), "sleep 60", key=me.key), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            s = L.wait_for("the session is listed", me.live)[0]
            lab.ctl("session", "kill", s["id"], "--reason", "too early")
            err = p.communicate(timeout=20)[1]
            assert "Terminated by" in err and "too early" in err, err
