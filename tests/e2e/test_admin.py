"""What administrators ask: what is wrong here, why may somebody, how do I complete this line."""
import os
import re
import signal
import stat
import subprocess

import pytest

import lab as L
import tour as T


def doctor(lab, *more):
    r = lab.ctl_run("doctor", "--config", lab.conf, *more)
    rows = [s for s in r.stdout.strip().split("\n")]
    assert all(re.match(r"(ok   |FAIL ) \S.*: \S", s) for s in rows[:-1]) and "checks" in rows[-1], r
    return r.returncode, [s for s in rows if s.startswith("FAIL")]


def test_a_healthy_installation_passes(lab):
    assert doctor(lab) == (0, [])


def test_a_sealed_vault_is_found(lab):
    lab.ctl("vault", "seal")
    try:
        code, (line,) = doctor(lab)
        assert code == 1 and "sallyport vault unseal" in line, line
    finally:
        lab.ctl("vault", "unseal", "--keyfile", lab.data / "unseal.key")


def test_a_missing_key_file_is_found(lab):
    key = lab.data / "unseal.key"
    key.rename(lab.data / "away.key")
    try:
        code, (line,) = doctor(lab)
        print(line)
        assert code == 1 and str(key) in line and "stays sealed" in line and "vault slot add" in line, line
    finally:
        (lab.data / "away.key").rename(key)
    assert doctor(lab) == (0, [])


@pytest.mark.parametrize("path", ["unseal.key", "state/vault", "state/store", "state/audit", "state/recordings", "state", "sock"])
def test_files_that_others_get_at_are_found_with_the_command_that_mends_it(lab, path):
    p = lab.data / path
    mode = stat.S_IMODE(p.stat().st_mode)
    p.chmod(0o777)
    try:
        code, lines = doctor(lab)
        print(lines)
        assert code == 1 and len(lines) == 1 and "chmod" in lines[0], lines
        command = lines[0].split("everybody: " if path == "sock" else "get at it: ")[1]
        subprocess.run(command.split(), check=True)      # the advice is a command, and it helps
        assert doctor(lab) == (0, [])
    finally:
        p.chmod(mode)


def test_a_disk_that_is_nearly_full_is_found(lab):
    conf = lab.conf.read_text()
    free = os.statvfs(lab.data).f_bavail * os.statvfs(lab.data).f_frsize // (1 << 20)
    if free >= 1048576:
        pytest.skip("more free space than reserve_mb can ask for")
    other = lab.dir / "greedy.conf"
    other.write_text(conf + "reserve_mb %d\n" % free)
    r = lab.ctl_run("doctor", "--config", other)
    (line,) = [s for s in r.stdout.split("\n") if s.startswith("FAIL")]
    print(line)
    assert r.returncode == 1 and "MiB left" in line and "free space" in line


def test_a_bad_configuration_is_found_by_line(lab):
    other = lab.dir / "bad.conf"
    other.write_text(lab.conf.read_text() + "no_such_setting 1\n")
    r = lab.ctl_run("doctor", "--config", other)
    assert r.returncode == 1 and "bad.conf:%d:" % len(other.read_text().split("\n")[:-1]) in r.stdout, r.stdout
    r = lab.ctl_run("doctor", "--config", lab.dir / "none.conf")
    assert r.returncode == 1 and "none.conf" in r.stdout


def test_a_control_that_stopped_is_found(lab):
    pid = T.child_pid(lab, "control")
    os.kill(pid, signal.SIGSTOP)
    try:
        r = lab.ctl_run("--timeout", "2", "doctor")
        print(r.stdout)
        (line,) = [s for s in r.stdout.split("\n") if s.startswith("FAIL")]
        assert r.returncode == 1 and line.split()[1] == "control:" and "no answer within 2 seconds" in line
    finally:
        os.kill(pid, signal.SIGCONT)


def test_without_an_installation_every_command_says_what_to_do(lab):
    for args in (["user", "list"], ["session", "list"], ["vault", "status"], ["doctor"]):
        r = subprocess.run([str(lab.exe("sallyport")), "--run-dir", "/nonexistent/run", *args], capture_output=True, text=True, timeout=30)
        print(args, r.stderr.strip() or r.stdout.strip())
        assert r.returncode != 0
        if args != ["doctor"]:
            assert len(r.stderr.strip().split("\n")) == 1 and "doctor" in r.stderr or "start" in r.stderr, r


# -- why may somebody

def explain(lab, *args):
    r = lab.ctl("access", "explain", *args)
    print(lab.ctl_run("access", "explain", *args).stdout)
    return r["allowed"], "; ".join(r["reasons"])


def test_explain_names_the_grant_or_says_what_is_missing(lab, me):
    account, asset = me.t0.split("@")
    for u in ("quinn", "rosa"):
        lab.ctl("user", "create", u)
    lab.ctl("group", "create", "crew")
    lab.ctl("group", "member", "add", "crew", "--user", "quinn")
    allowed, why = explain(lab, "quinn", asset, account)
    assert not allowed and "no grant names this user" in why
    g = lab.ctl("grant", "create", "--name", "crew-in", "--group", "crew", "--asset", asset, "--account", account, "--protocol", "exec")
    allowed, why = explain(lab, "quinn", asset, account, "--protocol", "exec")
    assert allowed and "crew-in" in why
    allowed, why = explain(lab, "quinn", asset, account, "--protocol", "sftp")
    assert not allowed and "protocol" in why
    allowed, why = explain(lab, "quinn", asset, "nobody-there", "--protocol", "exec")
    assert not allowed and "no account of that name" in why
    d = lab.ctl("grant", "create", "--name", "not-quinn", "--user", "quinn", "--asset", asset, "--account", "*", "--effect", "deny",
                "--protocol", "exec")
    allowed, why = explain(lab, "quinn", asset, account, "--protocol", "exec")
    assert not allowed and "not-quinn" in why
    lab.ctl("grant", "delete", d["id"])
    lab.ctl("user", "disable", "quinn")
    allowed, why = explain(lab, "quinn", asset, account, "--protocol", "exec")
    assert not allowed and "disabled" in why
    lab.ctl("grant", "delete", g["id"])
    for args in (("nobody", asset, account), ("rosa", "no-asset", account)):
        r = lab.ctl_run("access", "explain", *args)
        assert r.returncode != 0 and "there is no" in r.stderr and len(r.stderr.strip().split("\n")) == 1, r


def test_a_user_may_ask_about_himself_only(lab, me):
    account, asset = me.t0.split("@")
    r = lab.ctl_run("--as", "alice", "access", "explain", "alice", asset, account)
    assert r.returncode == 0 and "Allowed:   yes" in r.stdout, r
    r = lab.ctl_run("--as", "alice", "access", "explain", "admin", asset, account)
    assert r.returncode != 0 and len(r.stderr.strip().split("\n")) == 1, r
    print(r.stderr)


# -- bash completion

def complete(lab, *words):
    """What bash offers after these words, by the script that the package installs."""
    script = next((lab.build / "packaging" / "completion").glob("sallyport"))
    test = r'''
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
_sallyport sallyport "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\n' "${COMPREPLY[@]}"
'''
    env = dict(os.environ, SALLYPORT_SOCKET=str(lab.socket))
    r = subprocess.run(["bash", "-c", test, "bash", str(script), str(lab.exe("sallyport")), *words], capture_output=True, text=True, timeout=20, env=env)
    assert r.returncode == 0 and r.stderr == "", r
    return set(r.stdout.split())


def test_completion_knows_nouns_verbs_options_and_names(lab):
    lab.ctl("asset", "create", "webshop", "--address", "10.1.2.3")
    lab.ctl("asset", "create", "数据库", "--address", "10.1.2.4")
    assert {"user", "session", "vault", "doctor"} <= complete(lab, "")
    assert complete(lab, "ses") == {"session"}
    assert {"list", "show", "watch", "kill", "lock", "message"} <= complete(lab, "session", "")
    assert complete(lab, "asset", "hostkey", "s") == {"set"}
    assert {"--user", "--asset", "--protocol"} <= complete(lab, "grant", "create", "--")
    assert complete(lab, "asset", "show", "web") == {"web1", "webshop"}
    assert complete(lab, "grant", "create", "--user", "al") == {"alice"}
    assert len(complete(lab, "asset", "show", "数")) == 1
    assert "deny" in complete(lab, "grant", "create", "--effect", "")
    assert complete(lab, "no-such-noun", "") in (set(), {""})


def test_completion_is_silent_when_nothing_answers(lab):
    pid = T.child_pid(lab, "control")
    os.kill(pid, signal.SIGSTOP)
    try:
        assert complete(lab, "ses") == {"session"}
    finally:
        os.kill(pid, signal.SIGCONT)


# -- tables for people, JSON for programs

def test_every_list_is_an_array_and_a_table(lab, me):
    for args in (["user", "list"], ["group", "list"], ["department", "list"], ["asset", "list"], ["asset-group", "list"], ["account", "list"],
                 ["grant", "list"], ["session", "list"], ["ca", "list"], ["audit", "list"], ["outbox", "list"]):
        assert isinstance(lab.ctl(*args), list), args
        text = lab.ctl_run(*args).stdout
        assert text.strip() and "{" not in text and "null" not in text, (args, text)


def test_for_programs_every_list_is_newest_first(lab):
    for i, name in enumerate(("order-m", "order-z", "order-a")):
        lab.ctl("user", "create", name)
        lab.ctl("group", "create", name)
        lab.ctl("asset", "create", name, "--address", "10.9.9.%d" % i)
        lab.ctl("grant", "create", "--name", name, "--user", name, "--asset", name, "--account", "*")
    for args in (["user", "list"], ["group", "list"], ["asset", "list"], ["grant", "list"]):
        names = [r.get("login") or r["name"] for r in lab.ctl(*args)]
        assert [n for n in names if n.startswith("order-")] == ["order-a", "order-z", "order-m"], (args, names)
        when = [r["created"] for r in lab.ctl(*args)]
        assert when == sorted(when, reverse=True)
    names = [line.split()[0] for line in lab.ctl_run("user", "list").stdout.splitlines() if line.startswith("order-")]
    assert names == ["order-a", "order-m", "order-z"]       # for people, by name


@pytest.mark.parametrize("address", ["1.2.3.4; rm -rf /", "a b", "-oProxyCommand=x", "host/../x", "fe80::1%eth0", "10.0.0.1:22", "x\ny", "x" * 254])
def test_an_address_that_is_none_is_refused(lab, address, tmp_path):
    r = lab.ctl_run("asset", "create", "noaddress", "--address=" + address)
    assert r.returncode != 0 and len(r.stderr.strip().splitlines()) == 1, r
    assert lab.ctl_run("asset", "show", "noaddress").returncode != 0
    (tmp_path / "a.csv").write_text('name,address\nnoaddress,"%s"\n' % address)
    assert lab.ctl_run("import", "assets", tmp_path / "a.csv").returncode != 0


def test_the_status_is_read_at_a_glance(lab):
    r = lab.ctl_run("status")
    print(r.stdout)
    assert re.search(r"Vault: +open\n", r.stdout) and "{" not in r.stdout
    assert lab.ctl("status")["vault"]["sealed"] is False


def test_what_is_missing_is_looked_for_in_the_right_list(lab):
    for args, noun in ((["grant", "create", "--user", "nobody", "--asset", "web1", "--account", "*"], "user"),
                       (["account", "create", "x@web1", "--ca", "none"], "ca"), (["grant", "create", "--user", "alice", "--asset", "none",
                                                                                 "--account", "*"], "asset")):
        r = lab.ctl_run(*args)
        assert r.returncode != 0 and r.stderr.strip().endswith(": see 'sallyport %s list'" % noun), r


def test_mistakes_on_the_command_line_are_answered_in_one_line(lab):
    for args in (["usr"], ["user"], ["user", "lst"], ["user", "show"], ["user", "show", "nobody"], ["user", "create", "a b"], ["user", "create", ""],
                 ["asset", "create", "x", "--port", "70000"], ["asset", "create", "x", "--port", "y"], ["grant", "create", "--account", "*"],
                 ["grant", "create", "--user", "alice", "--asset", "web1", "--account", "*", "--protocol", "telnet"],
                 ["grant", "create", "--user", "alice", "--asset", "web1", "--account", "*", "--from", "someday"],
                 ["grant", "create", "--user", "alice", "--asset", "web1", "--account", "*", "--forward-to", "::::"],
                 ["session", "show", "nope"], ["user", "create", "alice"], ["account", "create", "no-at-sign", "--typed"], ["--nonsense"],
                 ["user", "list", "--nonsense"], ["asset", "show", "../../etc/passwd"], ["user", "show", "x\x1b[2J"]):
        r = lab.ctl_run(*args)
        told = r.stderr.strip()
        print("%-50s %s" % (" ".join(args).encode("unicode_escape").decode()[:50], told))
        assert r.returncode != 0 and r.stdout == "", (args, r)
        assert told.startswith("sallyport: ") and len(told.split("\n")) == 1 and "\x1b" not in told, (args, r)
        assert not re.search(r"SP_|sqlite|SQL|json|NULL|errno", told), told
