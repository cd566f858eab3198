"""How an account at a target is opened: every kind of secret, none at all, and what a person reads when it fails."""
import os
import pathlib
import re
import shlex
import subprocess

import pytest

import lab as L
from terminal import Terminal


def target_asset(lab, name, port):
    lab.ctl("asset", "create", name, "--address", "127.0.0.1", "--port", port)
    lab.ctl("grant", "create", "--user", "alice", "--asset", name, "--account", "*")


@pytest.fixture(scope="module")
def account(lab):
    return lab.account_names()[0]


def one_line(r, *texts):
    assert r.returncode == 255 and r.stdout == "" and len(r.stderr.strip().split("\n")) == 1, r
    for t in texts:
        assert t in r.stderr, r
    print(r.stderr.strip())


@pytest.mark.parametrize("kind,more", [("ed25519", ()), ("ecdsa", ("-b", "384")), ("rsa", ("-b", "2048"))])
def test_an_imported_private_key_logs_in(lab, me, account, kind, more):
    key = lab.key("imported." + kind, kind, *more)
    port = lab.openssh("imp-" + kind, authorized=pathlib.Path(str(key) + ".pub").read_text())
    target_asset(lab, "imp-" + kind, port)
    lab.ctl("account", "create", "%s@imp-%s" % (account, kind), "--key-file", key)
    r = lab.ssh("alice@%s@imp-%s" % (account, kind), "id -un", key=me.key)
    assert r.stdout == account + "\n", r


@pytest.mark.parametrize("form,how", [((), "stdin"), (("-m", "PKCS8"), "file"), ((), "terminal")])
def test_a_key_with_a_passphrase_is_imported_and_logs_in(lab, me, account, tmp_path, form, how):
    name = "locked-" + how
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", *form, "-N", "open sesame", "-f", key], check=True)
    (tmp_path / "pass").write_text("open sesame\n")
    port = lab.openssh(name, authorized=(tmp_path / "key.pub").read_text())
    target_asset(lab, name, port)
    create = ["account", "create", "%s@%s" % (account, name), "--key-file", key]
    if how == "terminal":
        with Terminal(lab.dir, lab.ctl_argv(*create)) as t:
            t.wait("Passphrase of the key file:")
            t.line("open sesame")
            assert t.status() == 0
            assert "open sesame" not in t.screen()
    else:
        lab.ctl(*create, "--passphrase-" + how, *([tmp_path / "pass"] if how == "file" else []), stdin="open sesame\n")
    assert lab.ssh("alice@%s@%s" % (account, name), "id -un", key=me.key).stdout == account + "\n"


def test_a_key_made_in_the_vault_logs_in_and_only_its_public_half_is_seen(lab, me, account):
    lab.ctl("asset", "create", "made", "--address", "127.0.0.1", "--port", 1)
    out = lab.ctl("account", "create", account + "@made", "--generate-key")
    pub = out["public_key"]
    assert pub.startswith("ssh-ed25519 ") and "PRIVATE" not in str(out)
    port = lab.openssh("made", authorized=pub)
    lab.ctl("asset", "update", "made", "--port", port)
    lab.ctl("grant", "create", "--user", "alice", "--asset", "made", "--account", "*")
    assert lab.ssh("alice@%s@made" % account, "id -un", key=me.key).stdout == account + "\n"
    assert pub.split()[1] in lab.ctl("account", "show", account + "@made")["public_key"]


def test_a_key_with_another_passphrase_and_what_is_no_key_are_refused_when_given(lab, account, tmp_path):
    lab.ctl("asset", "create", "nokey", "--address", "127.0.0.1")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", tmp_path / "locked"], check=True)
    (tmp_path / "wrong").write_text("Secret\n")
    (tmp_path / "text").write_text("no key\n")
    lab.key("public")
    for f in (tmp_path / "locked", tmp_path / "text", str(lab.dir / "public") + ".pub", tmp_path / "none"):
        r = lab.ctl_run("account", "create", account + "@nokey", "--key-file", f, "--passphrase-file", tmp_path / "wrong")
        print(r.stderr.strip())
        assert r.returncode != 0 and len(r.stderr.strip().split("\n")) == 1, r
    assert not [a for a in lab.ctl("account", "list") if a["asset"] == "nokey"]


def test_a_certificate_names_session_and_user_and_lives_minutes(lab, me, account):
    assert me.ssh("true").returncode == 0
    log = lab.log("web1")
    m = re.findall(r'Accepted publickey for %s .* ssh2: (\S+-CERT|ED25519-CERT) \S+ ID (.*?) \(serial' % account, log)
    assert m, log[-1500:]
    print(m[-1])
    assert "alice" in m[-1][1]


def test_a_stored_key_that_the_target_does_not_take_is_told_in_one_line(lab, me, account):
    key = lab.key("unknown-there")
    port = lab.openssh("strange", authorized=pathlib.Path(str(lab.key("somebody-elses")) + ".pub").read_text())
    target_asset(lab, "strange", port)
    lab.ctl("account", "create", account + "@strange", "--key-file", key)
    one_line(lab.ssh("alice@%s@strange" % account, "true", key=me.key), "strange", "refused the login")


def test_keyboard_interactive_at_the_target(lab, me):
    """sshd with PAM asks for the password in a dialogue and nothing else."""
    if not L.ROOT:
        pytest.skip("PAM needs root")
    port = L.free_port()
    d = lab.data / "pam"
    d.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", d / "hostkey"], check=True)
    (d / "sshd_config").write_text("""
Port %d
ListenAddress 127.0.0.1
HostKey %s/hostkey
PidFile %s/pid
UsePAM yes
PasswordAuthentication no
PubkeyAuthentication no
KbdInteractiveAuthentication yes
StrictModes no
""" % (port, d, d))
    lab.spawn("pam", ["/usr/sbin/sshd", "-D", "-e", "-f", d / "sshd_config"])
    L.wait_for("sshd", lambda: L.port_open(port))
    target_asset(lab, "pam", port)
    lab.ctl("account", "create", "app@pam", "--password-stdin", stdin=L.PASSWORD + "\n")
    r = lab.ssh("alice@app@pam", "id -un", key=me.key)
    assert r.stdout == "app\n", (r, lab.log("pam")[-2000:])
    assert "keyboard-interactive" in lab.log("pam")
    lab.ctl("account", "update", "app@pam", "--password-stdin", stdin="not any more\n")
    one_line(lab.ssh("alice@app@pam", "id -un", key=me.key), "pam", "refused the login")


def test_an_account_without_a_secret_is_typed_on_the_terminal(lab, me):
    if not L.ROOT:
        pytest.skip("needs a server that knows a password")
    lab.ctl("asset", "create", "typed1", "--address", "127.0.0.1", "--port", lab.targets["db1"])
    lab.ctl("account", "create", "any@typed1", "--typed", "--login", "app")
    lab.ctl("grant", "create", "--user", "alice", "--asset", "typed1", "--account", "any")
    with Terminal(lab.dir, lab.ssh_argv("alice", "any@typed1", key=me.key, options=["-tt"])) as t:
        t.wait("app@typed1's password:")
        t.show("the question")
        t.line(L.PASSWORD)
        t.line("id -un; echo $((6*7))")
        t.wait("42")
        t.show("logged in by hand")
        assert L.PASSWORD not in t.raw().decode()
        t.line("exit")
        assert t.status() == 0
    for f in (lab.data / "state").rglob("*"):
        assert not f.is_file() or L.PASSWORD.encode() not in f.read_bytes(), f
    with Terminal(lab.dir, lab.ssh_argv("alice", "any@typed1", key=me.key, options=["-tt"])) as t:
        t.wait("password:")
        t.line("a wrong one")
        assert t.status(30) == 255
        t.show("a wrong password")
        t.wait("refused the login")


def test_an_account_without_a_secret_says_so(lab, me, account):
    lab.ctl("asset", "create", "bare1", "--address", "127.0.0.1", "--port", lab.targets["web1"])
    lab.ctl("grant", "create", "--user", "alice", "--asset", "bare1", "--account", "*")
    r = lab.ctl_run("account", "create", account + "@bare1")
    print(r.stderr or r.stdout)
    if r.returncode == 0:
        one_line(lab.ssh("alice@%s@bare1" % account, "true", key=me.key), "bare1")
    else:
        assert len(r.stderr.strip().split("\n")) == 1


def test_a_new_secret_counts_at_the_next_login(lab, me, account):
    old, new = lab.key("rot.old"), lab.key("rot.new")
    port = lab.openssh("rot", authorized=pathlib.Path(str(new) + ".pub").read_text())
    target_asset(lab, "rot", port)
    lab.ctl("account", "create", account + "@rot", "--key-file", old)
    assert lab.ssh("alice@%s@rot" % account, "true", key=me.key).returncode == 255
    lab.ctl("account", "update", account + "@rot", "--key-file", new)
    assert lab.ssh("alice@%s@rot" % account, "echo in", key=me.key).stdout == "in\n"


def test_without_trust_on_first_use_an_unknown_host_key_is_refused_with_the_command_to_pin_it(lab, me, account):
    """Last but one: the installation is restarted with another setting."""
    port = lab.openssh("fresh", ca_pub=lab.ctl("ca", "show", "demo-ca")["public_key"])
    target_asset(lab, "fresh", port)
    lab.ctl("account", "create", account + "@fresh", "--ca", "demo-ca")
    assert me.ssh("true").returncode == 0
    lab.write_config(trust_first_use="no")
    lab.stop("sallyport")
    lab.start()
    r = lab.ssh("alice@%s@fresh" % account, "true", key=me.key)
    one_line(r, "host key of fresh", "sallyport asset hostkey set fresh 'ssh-ed25519 ")
    command = shlex.split(r.stderr.strip().split("pins it with: sallyport ")[1])
    assert me.ssh("echo in").stdout == "in\n"           # what is pinned already goes on
    event = next(e for e in lab.ctl("audit", "list", "--limit", "50") if "hostkey" in e["kind"])
    print(event)
    assert command[-1] == " ".join((lab.data / "fresh" / "hostkey.pub").read_text().split()[:2])
    lab.ctl(*command)
    assert lab.ssh("alice@%s@fresh" % account, "echo in", key=me.key).stdout == "in\n"
    lab.ctl("asset", "hostkey", "remove", "fresh")
    assert lab.ssh("alice@%s@fresh" % account, "true", key=me.key).returncode == 255
    r = lab.ctl_run("asset", "hostkey", "set", "fresh", "ssh-ed25519 AAAAnonsense")
    assert r.returncode != 0 and len(r.stderr.strip().split("\n")) == 1, r
