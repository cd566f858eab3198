"""The vault's ceremonies from the command line, who may use them, and where secrets must not be."""
import json
import os
import pathlib
import re
import subprocess
import time

import pytest

import lab as L
import tour as T
from conftest import BUILD
from terminal import Terminal

PHRASE = "a passphrase of the vault, 2026"


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """An installation whose vault has not been made yet, without a key file."""
    folder = tmp_path_factory.mktemp("bare")
    for p in [folder, *folder.parents]:
        if str(p).startswith("/tmp/") and p.stat().st_uid == os.geteuid():
            p.chmod(0o755)
    with L.Lab(folder, BUILD) as lab:
        lab.config["vault_keyfile"] = folder / "none.key"
        lab.start()
        yield lab


def run(lab, *args, **kw):
    return subprocess.run(lab.ctl_argv(*args), text=True, capture_output=True, timeout=60, **kw)


def with_fd(lab, secret, *args):
    """--...-fd N reads from a pipe: nothing on disk, nothing in the arguments."""
    r, w = os.pipe()
    os.write(w, (secret + "\n").encode())
    os.close(w)
    try:
        return run(lab, *[str(r) if a == "FD" else a for a in args], pass_fds=(r,))
    finally:
        os.close(r)


def sealed(lab):
    return lab.ctl("vault", "status")["sealed"]


def slots(lab):
    return lab.ctl("vault", "status")["slots"]


# -- an installation from nothing, in this order

def test_before_init_the_doctor_says_what_to_do(bare):
    r = run(bare, "doctor")
    print(r.stdout)
    assert r.returncode == 1 and "vault init" in r.stdout
    assert all(line.startswith(("ok ", "FAIL ")) or "checks" in line for line in r.stdout.strip().split("\n")), r.stdout


def test_init_asks_on_the_terminal_and_echoes_nothing(bare):
    with Terminal(bare.dir, bare.ctl_argv("vault", "init", "--admin", "root1")) as t:
        for prompt, answer in (("Password of the first administrator:", "an admin's password"), ("Again:", "an admin's password")):
            t.wait(prompt)
            t.line(answer)
        t.wait("New passphrase of the vault:")
        t.line(PHRASE)
        L.wait_for("the second question", lambda: t.screen().count("Again:") == 2)
        t.line("something else")
        assert t.status() != 0
        t.wait("the two differ")
        t.show("two different passphrases")
        assert PHRASE not in t.raw().decode() and "admin's" not in t.raw().decode()
    assert bare.ctl("vault", "status")["initialised"] is False
    with Terminal(bare.dir, bare.ctl_argv("vault", "init", "--admin", "root1", *bare.auditors())) as t:
        for n, (prompt, answer) in enumerate((("administrator:", "an admin's password"), ("Again:", "an admin's password"), ("vault:", PHRASE),
                                              ("Again:", PHRASE))):
            L.wait_for(prompt, lambda: t.screen().count(":") == n + 1)
            assert prompt in t.screen()
            t.line(answer)
        assert t.status() == 0
        t.show("vault init")
        t.wait("The vault is initialised and open.")
    assert not sealed(bare) and len(slots(bare)) == 1


def test_init_happens_once(bare):
    (bare.dir / "phrase").write_text("a passphrase in a file\n")
    r = with_fd(bare, "another one entirely", "vault", "init", "--admin", "intruder", "--admin-password-fd", "FD", "--passphrase-file",
                str(bare.dir / "phrase"))
    assert r.returncode != 0 and "already" in r.stderr and len(r.stderr.strip().split("\n")) == 1, r


def test_seal_and_unseal_by_passphrase(bare):
    """Each passphrase costs the vault seconds, on purpose: other tests open it with shares."""
    bare.ctl("vault", "seal")
    assert sealed(bare)
    r = run(bare, "doctor")
    assert r.returncode == 1 and re.search(r"FAIL .*vault unsealed: .*vault unseal", r.stdout), r.stdout
    bad = with_fd(bare, "not it", "vault", "unseal", "--passphrase-fd", "FD")
    print(bad.stderr)
    assert bad.returncode != 0 and sealed(bare) and len(bad.stderr.strip().split("\n")) == 1
    with Terminal(bare.dir, bare.ctl_argv("vault", "unseal")) as t:
        t.wait("Passphrase of the vault:")
        t.line(PHRASE)
        assert t.status(60) == 0
        t.show("vault unseal")
        assert PHRASE not in t.raw().decode()
    assert not sealed(bare)


@pytest.fixture(scope="module")
def shares(bare):
    r = run(bare, "vault", "slot", "add", "--slot", "shamir", "--shares", "3", "--threshold", "2")
    assert r.returncode == 0, r
    print(r.stderr, r.stdout)
    assert "shown once" in r.stderr
    return r.stdout.split()


def give(lab, *shares):
    """One holder after the other, each with an invocation of his own; the last result."""
    f = lab.dir / "share"
    for s in shares:
        f.write_text(s + "\n")
        r = run(lab, "vault", "unseal", "--share-file", str(f))
    return r


def test_the_vault_starts_sealed_and_logins_say_so(bare, shares):
    key = bare.key("root1.key")
    bare.ctl("user", "key", "add", "root1", str(key) + ".pub")
    ca = bare.ctl("ca", "create", "ca1")
    port = bare.openssh("t1", ca_pub=ca["public_key"])
    account = bare.account_names()[0]
    bare.ctl("asset", "create", "t1", "--address", "127.0.0.1", "--port", port)
    bare.ctl("account", "create", account + "@t1", "--ca", "ca1")
    bare.ctl("grant", "create", "--user", "root1", "--asset", "t1", "--account", "*")
    bare.trust()
    assert bare.ssh("root1@%s@t1" % account, "echo in", key=key).stdout == "in\n"
    bare.stop("sallyport")
    bare.start()
    assert sealed(bare)
    r = bare.ssh("root1@%s@t1" % account, "echo in", key=key)
    assert r.returncode == 255 and "sealed" in r.stderr and len(r.stderr.strip().split("\n")) == 1, r
    assert give(bare, shares[0], shares[1]).returncode == 0
    assert bare.ssh("root1@%s@t1" % account, "echo in", key=key).stdout == "in\n"


def test_any_two_of_three_shares_open_it_and_one_does_not(bare, shares):
    assert len(shares) == 3 and len(set(shares)) == 3
    for a, b in ((0, 1), (2, 0), (1, 2)):
        bare.ctl("vault", "seal")
        r = give(bare, shares[a])
        assert r.returncode != 0 and "more shares are needed" in r.stderr and sealed(bare), r
        assert give(bare, shares[b]).returncode == 0 and not sealed(bare)
    bare.ctl("vault", "seal")
    with Terminal(bare.dir, bare.ctl_argv("vault", "unseal", "--slot", "shamir")) as t:
        t.wait("Share:")
        t.line(shares[0][:-1] + ("A" if shares[0][-1] != "A" else "B"))
        assert t.status() != 0                          # a slip of the pen is told, not mixed in
        t.show("a share with a slip")
    with Terminal(bare.dir, bare.ctl_argv("vault", "unseal", "--slot", "shamir")) as t:
        for i, n in ((2, 1), (1, 2)):
            L.wait_for("the question", lambda: t.screen().count("Share:") == n)
            t.line(shares[i])
        assert t.status() == 0
        t.show("two shares")
        assert shares[2] not in t.raw().decode()
    assert not sealed(bare)


def test_a_key_file_slot_opens_it_at_the_next_start(bare):
    path = bare.dir / "none.key"
    r = run(bare, "vault", "slot", "add", "--keyfile", str(path))
    assert r.returncode == 0 and "safe place" in r.stderr, r
    assert path.stat().st_mode & 0o777 == 0o600 and path.stat().st_size == 32
    assert len(slots(bare)) == 3, slots(bare)
    bare.stop("sallyport")
    bare.start()
    L.wait_for("it opens itself", lambda: not sealed(bare))


def test_slots_are_removed_but_never_the_last(bare, shares):
    print("\n".join(slots(bare)))
    number = next(s for s in slots(bare) if "passphrase" in s).split()[0]
    assert run(bare, "vault", "slot", "remove", number).returncode == 0
    assert run(bare, "vault", "slot", "remove", "keyfile").returncode == 0
    r = run(bare, "vault", "slot", "remove", "shamir")
    assert r.returncode != 0 and "last slot" in r.stderr and len(slots(bare)) == 1, r
    r = run(bare, "vault", "slot", "remove", "77")
    assert r.returncode != 0 and "vault status" in r.stderr, r
    bare.ctl("vault", "seal")
    r = run(bare, "vault", "unseal", "--keyfile", str(bare.dir / "none.key"))
    assert r.returncode != 0 and sealed(bare), r        # it opens nothing any more
    assert give(bare, shares[2], shares[0]).returncode == 0


def test_rekey_leaves_only_the_slot_given(bare, shares):
    new = bare.dir / "new.key"
    r = run(bare, "vault", "rekey", "--keyfile", str(new))
    assert r.returncode == 0, r
    assert len(slots(bare)) == 1
    bare.ctl("vault", "seal")
    assert give(bare, shares[0], shares[1]).returncode != 0 and sealed(bare)
    assert run(bare, "vault", "unseal", "--keyfile", str(new)).returncode == 0
    account = bare.account_names()[0]
    assert bare.ssh("root1@%s@t1" % account, "echo in", key=bare.key("root1.key")).stdout == "in\n"


# -- with the standard users and secrets

def test_rotate_wraps_older_secrets_anew_and_shows_progress(lab, me):
    for i in range(40):
        lab.ctl("account", "create", "svc%d@web1" % i, "--password-stdin", stdin="secret number %d\n" % i)
    before = lab.ctl("vault", "status")["term"]
    lab.ctl("vault", "rotate")
    assert lab.ctl("vault", "status")["term"] == before + 1
    s = L.wait_for("the end of it", lambda: (lambda r: r if r.get("rewrap") and not r["rewrap"]["running"] else None)(lab.ctl("vault", "status")))
    assert s["rewrap"]["done"] == s["rewrap"]["total"] >= 40 and s["rewrap"]["failed"] == 0, s
    text = run(lab, "vault", "status").stdout
    print(text)
    assert re.search(r"Rotation: +finished: (\d+) of \1 secrets wrapped anew\n", text) and "{" not in text
    assert me.ssh("echo in").stdout == "in\n"
    assert me.ssh("echo in", login=me.to1).stdout == "in\n"


def test_a_second_administrator_may_what_the_first_may(lab, me):
    key = lab.key("second.key")
    lab.ctl("user", "create", "second", "--role", "admin", "--key", str(key) + ".pub")
    assert run(lab, "--as", "second", "vault", "seal").returncode == 0
    assert sealed(lab)
    r = run(lab, "--as", "second", "vault", "unseal", "--keyfile", str(lab.data / "unseal.key"))
    assert r.returncode == 0 and not sealed(lab), r
    r = run(lab, "--as", "second", "user", "disable", "admin")
    assert r.returncode == 0, r
    assert run(lab, "--as", "second", "user", "enable", "admin").returncode == 0
    who = [(e["kind"], e.get("actor") or e.get("who")) for e in lab.ctl("audit", "list", "--limit", "20")]
    assert ("vault.seal", "second") in who, who


def test_an_ordinary_user_and_an_auditor_may_not(lab, me):
    lab.ctl("user", "create", "audrey", "--role", "auditor")
    for login in ("alice", "audrey"):
        for args in (["vault", "seal"], ["user", "create", "x"], ["grant", "create", "--user", login, "--asset", "web1", "--account", "*"],
                     ["account", "reveal", "svc0@web1"], ["session", "kill", "01a2007b-cacb-7e9b-a1c6-e4bc3eaf8914"], ["vault", "rotate"]):
            r = run(lab, "--as", login, *args)
            assert r.returncode != 0 and re.search("needs .*role", r.stderr) and len(r.stderr.strip().split("\n")) == 1, (login, args, r)
    assert run(lab, "--as", "audrey", "user", "list").returncode == 0
    assert run(lab, "--as", "alice", "user", "list").returncode != 0
    assert not sealed(lab)


def test_reveal_needs_a_permission_of_its_own_and_is_audited(lab, me):
    r = run(lab, "account", "reveal", "svc3@web1")
    assert r.returncode != 0 and "may_reveal.admin" in r.stderr and "secret number" not in r.stdout, r
    r = run(lab, "--as", "second", "settings", "set", "may_reveal.second", "yes")
    assert r.returncode != 0, r                         # an administrator cannot give it to himself
    lab.ctl("settings", "set", "may_reveal.second", "yes")
    r = run(lab, "--as", "second", "account", "reveal", "svc3@web1")
    assert r.stdout.strip() == "secret number 3", r
    e = next(e for e in lab.ctl("audit", "list", "--limit", "20") if e["kind"] == "secret.reveal")
    assert "second" in json.dumps(e) and "svc3" in json.dumps(e) and "secret number" not in json.dumps(e), e
    r = run(lab, "--as", "second", "account", "reveal", "%s@web1" % me.t0.split("@")[0])
    print(r.stderr)
    assert r.returncode != 0 and len(r.stderr.strip().split("\n")) == 1      # a certificate account has no secret


def processes(lab):
    """pid of every process of this installation."""
    out = []
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(p / "exe").startswith(str(lab.build)):
                out.append(p)
        except OSError:
            pass
    return out


def test_no_secret_is_in_arguments_environment_logs_or_state(lab, me):
    if not L.ROOT:
        pytest.skip("the password target needs root")
    p = subprocess.Popen(lab.ssh_argv(me.to1, "echo up; cat", key=me.key), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "up\n"
    secret = L.PASSWORD.encode()
    procs = processes(lab)
    assert len(procs) >= 8
    for proc in procs:
        for name in ("cmdline", "environ"):
            assert secret not in (proc / name).read_bytes(), proc
    p.stdin.close()
    p.wait()
    key = (lab.data / "unseal.key").read_bytes()
    for f in [lab.dir / "sallyport.log", *(f for f in (lab.data / "state").rglob("*") if f.is_file())]:
        try:
            data = f.read_bytes()
        except FileNotFoundError:       # a spool of a session that has just ended
            continue
        assert secret not in data and b"secret number" not in data and key not in data, f


def test_no_process_leaves_a_core_or_is_traced(lab, me):
    if not L.ROOT:
        pytest.skip("limits of other users' processes")
    seen = set()
    for proc in processes(lab):
        try:
            name = os.readlink(proc / "exe")
            limits, status = (proc / "limits").read_text(), (proc / "status").read_text()
        except OSError:      # it has just ended
            continue
        if name.endswith(("monitor", "sallyport")):
            continue
        assert re.search(r"Max core file size\s+0\s+0", limits), name
        assert "NoNewPrivs:\t1" in status, name
        seen.add(os.path.basename(name))
    assert {"sallyport-vault", "sallyport-control", "sallyport-gate", "sallyport-scribe"} <= seen
    vault = pathlib.Path("/proc/%d" % T.child_pid(lab, "vault"))
    assert re.search(r"VmLck:\s+[1-9]", (vault / "status").read_text())
    os.kill(int(vault.name), 11)        # as if it crashed: no core, and it comes back
    L.wait_for("a login", lambda: me.ssh("true").returncode == 0, 10)
    assert not [f for f in lab.data.rglob("core*") if f.is_file()]
