"""Every way in, with stock clients: SetEnv, the target as a command, the login name, and a jump host."""
import os
import pathlib
import subprocess

import pytest

import lab as L
from terminal import Terminal


@pytest.fixture(scope="module")
def jump(lab, tmp_path_factory):
    """What a person writes into ~/.ssh/config once: run(program, args...) uses it."""
    d = tmp_path_factory.mktemp("client")
    key = lab.info["user_key"]

    def write(name, known):
        (d / name).write_text("""
Host bastion
    HostName 127.0.0.1
    Port %d
    User alice
Host *
    IdentityFile %s
    IdentitiesOnly yes
    IdentityAgent none
    BatchMode yes
    StrictHostKeyChecking yes
    GlobalKnownHostsFile /dev/null
    UpdateHostKeys no
    %s
""" % (lab.port, key, known))
        return str(d / name)

    class Jump:
        dir = d
        config = write("config", "UserKnownHostsFile %s" % lab.known_hosts)
        by_command = write("by_command", "UserKnownHostsFile /dev/null\n    KnownHostsCommand /usr/bin/env %s %%H" % " ".join(
            lab.ctl_argv("known-hosts")))       # env: ssh runs no program below a folder like /tmp
        nothing_known = write("nothing", "UserKnownHostsFile /dev/null")

        @staticmethod
        def run(*argv, config=None, stdin=None, timeout=60):
            return subprocess.run([argv[0], "-F", config or Jump.config, *map(str, argv[1:])], capture_output=True, text=True, timeout=timeout,
                                  cwd=d, **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}))

        @staticmethod
        def ssh(*argv, **kw):
            return Jump.run("ssh", *argv, **kw)
    return Jump


def one_line(r):
    """The bastion's line for the person, without what ssh itself adds about the jump."""
    lines = [s for s in r.stderr.strip().split("\n") if not s.startswith(("Connection closed by", "kex_exchange_identification: Connection closed"))]
    assert len(lines) == 1, r.stderr
    return lines[0]


# -- the target named by the environment, the command or the login

def test_setenv_names_the_target_for_exec_shell_and_sftp(lab, me, jump, tmp_path):
    o = ["-o", "SetEnv=SALLYPORT_TARGET=" + me.t0]
    r = jump.ssh(*o, "bastion", "id -un; cat", stdin="in\n")
    assert r.stdout == "%s\nin\n" % me.t0.split("@")[0], r
    with Terminal(tmp_path, ["ssh", "-F", jump.config, *o, "-tt", "bastion"]) as t:
        t.line("echo $((6*7))")
        t.wait("42")
        t.line("exit 3")
        assert t.status() == 3
    (tmp_path / "f").write_text("file")
    r = jump.run("sftp", "-b", "-", *o, "bastion", stdin="put %s/f ways.txt\nrm ways.txt\n" % tmp_path)
    assert r.returncode == 0, r


def test_a_target_as_the_command_opens_a_shell_or_runs_the_rest(lab, me, jump, tmp_path):
    for sep in "@#%":
        assert jump.ssh("bastion", me.t0.replace("@", sep) + " echo way").stdout == "way\n"
    r = jump.ssh("bastion", me.t0, "cat; exit 5", stdin="through\n")
    assert (r.stdout, r.returncode) == ("through\n", 5)
    with Terminal(tmp_path, ["ssh", "-F", jump.config, "-t", "bastion", me.t0]) as t:
        t.line("stty size; tty")
        t.wait("24 80", "/dev/pts/")
        t.resize(60, 20)
        L.wait_for("the new size", lambda: t.line("clear; stty size") or t.wait("20 60", seconds=1), 10)
        t.line("kill -9 $$")
        assert t.status() == 255
    assert jump.ssh("bastion", "alice@" + me.t0, "echo own").stdout == "own\n"
    r = jump.ssh("bastion", "bob@" + me.t0, "echo other")
    assert r.returncode == 255 and r.stdout == ""


def test_the_login_name_takes_each_separator_and_an_asset_alone(lab, me):
    account, asset = me.t0.split("@")
    for login in ("alice@%s@%s", "alice#%s#%s", "alice%%%s%%%s"):
        assert lab.ssh(login % (account, asset), "echo way", key=me.key).stdout == "way\n"
    if L.ROOT:
        r = lab.ssh("alice@db1", "id -un", key=me.key)      # one account only: it need not be named
        assert r.stdout == "app\n", r
        r = lab.ssh("alice@web1", "id -un", key=me.key)     # several: which ones is said
        assert r.returncode == 255 and "(alice, app, bob, deploy): name one, as in " in r.stderr and len(r.stderr.strip().split("\n")) == 1, r


@pytest.mark.parametrize("name", ["alice@", "alice@@web1", "@web1", "alice@x@y@z", "alice@deploy@web1@", "alice@../../etc/passwd@web1",
                                  "alice@deploy@../web1", "alice@deploy@web1/../x", "alice@-oProxyCommand=x@web1"])
def test_a_malformed_target_is_refused_in_one_line(lab, me, name):
    r = lab.ssh(name, "echo in", key=me.key)
    assert r.returncode == 255 and r.stdout == "" and len(r.stderr.strip().split("\n")) == 1, r


# -- ssh -J

def test_a_jump_runs_commands_and_keeps_status_and_streams(lab, me, jump):
    r = jump.ssh("-J", "bastion", me.t0, "id -un; echo err >&2; cat; exit 9", stdin="in\n")
    assert (r.stdout, r.stderr, r.returncode) == ("%s\nin\n" % me.t0.split("@")[0], "err\n", 9), r


def test_a_jump_opens_a_shell(lab, me, jump, tmp_path):
    with Terminal(tmp_path, ["ssh", "-F", jump.config, "-J", "bastion", me.t0]) as t:
        t.line("echo $((6*7)); stty size")
        t.wait("42", "24 80")
        t.line("exit 4")
        assert t.status() == 4


def test_a_jump_is_one_session_that_is_recorded_and_listed_as_any_other(lab, me, jump):
    p = subprocess.Popen(["ssh", "-F", jump.config, "-J", "bastion", me.t0, "echo up; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    try:
        assert p.stdout.readline() == "up\n"
        account, asset = me.t0.split("@")
        (s,) = [s for s in me.live() if s["asset"] == asset]
        assert (s["user"], s["account"]) == ("alice", account), s
        lab.ctl("session", "kill", s["id"], "--reason", "cut the inner one")
        assert "Terminated by" in p.communicate(timeout=10)[1]
        assert L.wait_for("its end", lambda: lab.session(s["id"])["state"] == "ended")
    finally:
        p.kill()
        p.communicate()


@pytest.mark.parametrize("how", ["sftp", "scp", "scp -O", "rsync"])
def test_a_jump_carries_files(lab, me, jump, how):
    data = os.urandom(2_000_000)
    (jump.dir / "up").write_bytes(data)
    (jump.dir / "down").unlink(missing_ok=True)
    if how == "sftp":
        r = jump.run("sftp", "-q", "-b", "-", "-J", "bastion", me.t0, stdin="put up jump.bin\nget jump.bin down\nrm jump.bin\n")
        assert r.returncode == 0, r
    elif how == "rsync":
        rsh = "ssh -F %s -J bastion" % jump.config
        for a, b in (("up", me.t0 + ":jump.bin"), (me.t0 + ":jump.bin", "down")):
            r = subprocess.run(["rsync", "--ignore-times", "-e", rsh, a, b], capture_output=True, text=True, timeout=60, cwd=jump.dir)
            assert r.returncode == 0, r
    else:
        more = how.split()[1:]
        for a, b in (("up", me.t0 + ":jump.bin"), (me.t0 + ":jump.bin", "down")):
            r = jump.run("scp", "-q", *more, "-J", "bastion", a, b)
            assert r.returncode == 0, r
    assert (jump.dir / "down").read_bytes() == data


def test_known_hosts_has_one_inner_key_per_asset_and_all_are_needed(lab, me, jump):
    lines = lab.ctl_run("known-hosts").stdout.split("\n")
    keys = {name: s.split()[2] for s in lines if "ed25519" in s for name in s.split()[0].split(",")}
    assert {"web1", "db1"} <= set(keys) and keys["web1"] != keys["db1"], lines
    real = (lab.data / "web1" / "hostkey.pub").read_text().split()[1]
    assert keys["web1"] != real                 # ours, never the target's own
    r = jump.ssh("-J", "bastion", me.t0, "true", config=jump.nothing_known)
    assert r.returncode == 255 and "Host key verification failed" in r.stderr


def test_the_known_hosts_command_line_is_enough(lab, me, jump):
    r = jump.ssh("-J", "bastion", me.t0, "echo by command", config=jump.by_command)
    assert r.stdout == "by command\n", r


def test_an_inner_key_survives_restarts(lab, me, jump):
    before = sorted(lab.ctl_run("known-hosts").stdout.split("\n"))
    lab.stop("sallyport")
    lab.start()
    assert sorted(lab.ctl_run("known-hosts").stdout.split("\n")) == before
    assert jump.ssh("-J", "bastion", me.t0, "echo again").stdout == "again\n"


def test_the_bastion_is_no_jump_target(lab, me, jump):
    for host in ("127.0.0.1:%d" % lab.port, "localhost:%d" % lab.port, "[::1]:%d" % lab.port, "bastion:22"):
        r = jump.ssh("bastion", "-W", host, stdin="")
        assert not r.stdout.startswith("SSH-") and r.returncode != 0, r
    # Not as an asset that an administrator made by mistake either.
    for address in ("127.0.0.1", "::1", "127.1.2.3"):
        r = lab.ctl_run("asset", "create", "self", "--address", address, "--port", lab.port)
        assert r.returncode != 0 and "never an asset" in r.stderr, r
    lab.ctl("asset", "create", "self", "--address", "localhost", "--port", lab.port)
    lab.ctl("account", "create", "alice@self", "--ca", "demo-ca")
    lab.ctl("grant", "create", "--user", "alice", "--asset", "self", "--account", "*")
    r = lab.ssh("alice@alice@self", "true", key=me.key)
    assert r.returncode == 255 and "The bastion itself is never a target." in r.stderr and len(r.stderr.strip().split("\n")) == 1, r


def test_an_asset_that_is_not_granted_is_refused_in_one_line(lab, me, jump):
    lab.ctl("asset", "create", "secret1", "--address", "127.0.0.1", "--port", lab.targets["web1"])
    lab.ctl("account", "create", "deploy@secret1", "--ca", "demo-ca")
    texts = set()
    for host in ("secret1", "no-such"):
        r = jump.ssh("-J", "bastion", "deploy@" + host, "echo in")
        print(r.stderr)
        assert r.returncode == 255 and r.stdout == "", r
        texts.add(r.stderr.replace(host, "X"))
        assert "no access to it" in r.stderr and "X" in r.stderr.replace(host, "X"), r
    assert len(texts) == 1, texts


def test_an_account_that_is_not_granted_is_refused_in_one_line(lab, me, jump):
    key = lab.key("ann.key")
    lab.ctl("user", "create", "ann", "--key", str(key) + ".pub")
    account, asset = me.t0.split("@")
    lab.ctl("grant", "create", "--user", "ann", "--asset", asset, "--account", account)
    cfg = pathlib.Path(jump.config)
    (jump.dir / "ann").write_text(cfg.read_text().replace("User alice", "User ann").replace(str(me.key), str(key)))
    assert jump.ssh("-J", "bastion", "%s@%s" % (account, asset), "echo in", config=str(jump.dir / "ann")).stdout == "in\n"
    r = jump.ssh("-J", "bastion", "root@%s" % asset, "echo in", config=str(jump.dir / "ann"))
    assert r.returncode == 255 and r.stdout == "", r
    assert one_line(r) == "sallyport: You have no access to account root on %s." % asset


def test_a_jump_through_a_jump_ends_at_the_second(lab, me, jump):
    """The inner connection forwards only what a grant names, and what speaks SSH there is closed."""
    other = "app@db1" if L.ROOT else me.t1
    r = jump.ssh("-J", "bastion,%s" % me.t0, other, "echo in")
    print(r.stderr)
    assert r.returncode == 255 and r.stdout == "" and "SSH-2.0" not in r.stderr, r


def test_the_host_key_of_the_jump_does_not_depend_on_who_asks(lab, me, jump):
    """An address in place of the name: the asset is found by what known_hosts calls it, or refused."""
    r = jump.ssh("-J", "bastion", "-p", lab.targets["web1"], "%s@127.0.0.1" % me.t0.split("@")[0], "echo in")
    assert r.returncode == 255 and r.stdout == "", r


def test_a_forward_and_a_session_share_an_inner_connection(lab, me, jump):
    from test_forwarding import echo_server, talk
    port = L.free_port()
    with echo_server() as far:
        p = subprocess.Popen(["ssh", "-F", jump.config, "-J", "bastion", "-L", "127.0.0.1:%d:127.0.0.1:%d" % (port, far), me.t0, "echo up; cat"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert p.stdout.readline() == "up\n"
            assert talk(port, b"inner" * 1000) == b"inner" * 1000
            p.stdin.close()
            assert p.wait(10) == 0
        finally:
            p.kill()
            p.wait()


def test_environment_crosses_only_by_the_list(lab, me, jump):
    """Nothing is on the list unless the configuration names it."""
    r = me.ssh("echo ${SALLYTEST_A:-none}", options=["-o", "SetEnv=SALLYTEST_A=a"])
    assert r.stdout == "none\n", r
    lab.write_config(env_allow="SALLYTEST_*")
    lab.stop("sallyport")
    lab.start()
    r = me.ssh("echo ${SALLYTEST_A:-none} ${LC_ALL:-none}", options=["-o", "SetEnv=SALLYTEST_A=a LC_ALL=C"])
    assert r.stdout == "a C\n", r       # LANG and LC_* always
