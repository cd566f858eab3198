"""Who logs in: keys of every kind, security keys with a finger on them, passwords."""
import base64
import contextlib
import hashlib
import itertools
import pathlib
import socket
import struct
import subprocess
import threading
import time

import paramiko
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

import lab as L
import tour as T
from terminal import Terminal


def string(b):
    return struct.pack(">I", len(b)) + b


def mpint(n):
    return string(n.to_bytes(n.bit_length() // 8 + 1, "big"))


class SecurityKey(paramiko.PKey):
    """An authenticator in software: what a token would sign (PROTOCOL.u2f of OpenSSH), with flags of our choice."""

    def __init__(self, kind, flags=1, counter=7, application="ssh:"):
        self.kind, self.flags, self.counter, self.application = kind, flags, counter, application.encode()
        self.said_application = self.application
        if kind == "sk-ssh-ed25519@openssh.com":
            self.private = ed25519.Ed25519PrivateKey.generate()
            pub = string(self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))
        else:
            self.private = ec.generate_private_key(ec.SECP256R1())
            pub = string(b"nistp256") + string(self.private.public_key().public_bytes(serialization.Encoding.X962,
                                                                                    serialization.PublicFormat.UncompressedPoint))
        self.blob = string(kind.encode()) + pub + string(self.application)
        self.public_blob = None

    def get_name(self):
        return self.kind

    def asbytes(self):
        return self.blob

    def line(self):
        return "%s %s test" % (self.kind, base64.b64encode(self.blob).decode())

    def sign_ssh_data(self, data, algorithm=None):
        tail = bytes([self.flags]) + struct.pack(">I", self.counter)
        signed = hashlib.sha256(self.said_application).digest() + tail + hashlib.sha256(data).digest()
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            sig = string(self.private.sign(signed))
        else:
            r, s = decode_dss_signature(self.private.sign(signed, ec.ECDSA(hashes.SHA256())))
            sig = string(mpint(r) + mpint(s))
        return paramiko.Message(string(self.kind.encode()) + sig + tail)


_sources = itertools.count(1)


@contextlib.contextmanager
def transport(lab):
    """A connection from an address of its own: a source that fails often is shut out for a while."""
    n = next(_sources)
    t = paramiko.Transport(socket.create_connection(("127.0.0.1", lab.port), 10, source_address=("127.1.%d.%d" % (n // 250, n % 250 + 1), 0)))
    try:
        t.start_client(timeout=15)
        yield t
    finally:
        t.close()


def logs_in(lab, login, key):
    with transport(lab) as t:
        try:
            t.auth_publickey(login, key)
        except (paramiko.AuthenticationException, paramiko.SSHException, EOFError):
            return False
        ch = t.open_session()
        ch.exec_command("echo in")
        return ch.makefile().read() == b"in\n"


@pytest.mark.parametrize("kind", ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"])
def test_a_security_key_logs_in_only_with_user_presence(lab, me, kind, tmp_path):
    key = SecurityKey(kind)
    (tmp_path / "sk.pub").write_text(key.line() + "\n")
    lab.ctl("user", "key", "add", "alice", tmp_path / "sk.pub")
    assert logs_in(lab, me.to0, key)
    key.counter = 3                 # a counter that goes back is ignored: tokens share none among servers
    assert logs_in(lab, me.to0, key)
    key.flags = 0x05                # presence and verification
    assert logs_in(lab, me.to0, key)
    key.flags = 0x04                # verified, but nobody touched it
    assert not logs_in(lab, me.to0, key)
    key.flags = 0
    assert not logs_in(lab, me.to0, key)
    key.flags, key.said_application = 1, b"https://phish.example"
    assert not logs_in(lab, me.to0, key)
    key.said_application = key.application
    other = SecurityKey(kind)
    other.blob = key.blob           # the registered key, signed by another one
    assert not logs_in(lab, me.to0, other)
    assert logs_in(lab, me.to0, key)


def test_keys_that_are_too_weak_or_no_keys_are_refused_when_they_are_added(lab, tmp_path):
    lab.ctl("user", "create", "weak")
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "1024", "-N", "", "-f", tmp_path / "rsa1024"], check=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "dsa", "-N", "", "-f", tmp_path / "dsa"], check=True)
    lab.key("whole.key")
    (tmp_path / "cut.pub").write_text((lab.dir / "whole.key.pub").read_text()[:60] + "\n")
    (tmp_path / "empty.pub").write_text("")
    (tmp_path / "text.pub").write_text("hello, this is no key\n")
    (tmp_path / "big.pub").write_text("ssh-ed25519 " + "A" * 100_000 + "\n")
    (tmp_path / "option.pub").write_text('command="id" ' + (lab.dir / "whole.key.pub").read_text())
    for name, told in (("rsa1024.pub", "2048"), ("dsa.pub", "not supported"), ("cut.pub", ""), ("empty.pub", ""), ("text.pub", ""), ("big.pub", ""),
                       ("rsa1024", "private key"), ("none.pub", "No such file"), ("option.pub", "")):
        r = lab.ctl_run("user", "key", "add", "weak", tmp_path / name)
        print("%-12s %s" % (name, r.stderr.strip()))
        assert r.returncode != 0 and told in r.stderr and len(r.stderr.strip().split("\n")) == 1, (name, r)
    assert lab.ctl("user", "key", "list", "weak") == []


def test_rsa_signs_with_sha2_only(lab, me):
    key = lab.key("rsa.key", "rsa", "-b", "2048")
    lab.ctl("user", "key", "add", "alice", str(key) + ".pub")
    for alg, ok in (("rsa-sha2-512", True), ("rsa-sha2-256", True), ("ssh-rsa", False)):
        r = lab.ssh(me.to0, "echo in", key=key, options=["-o", "PubkeyAcceptedAlgorithms=" + alg])
        assert (r.stdout == "in\n") is ok, (alg, r)


def test_a_key_belongs_to_one_user_and_its_removal_counts_at_once(lab, me):
    key = lab.key("moved.key")
    for u in ("olga", "pete"):
        lab.ctl("user", "create", u)
        lab.ctl("grant", "create", "--user", u, "--asset", me.t0.split("@")[1], "--account", "*")
    lab.ctl("user", "key", "add", "olga", str(key) + ".pub")
    r = lab.ctl_run("user", "key", "add", "pete", str(key) + ".pub")
    assert r.returncode != 0 and "registered already" in r.stderr and "remove it" in r.stderr
    assert lab.ssh("olga@" + me.t0, "echo in", key=key).stdout == "in\n"
    assert lab.ssh("pete@" + me.t0, "echo in", key=key).returncode == 255
    (k,) = lab.ctl("user", "key", "list", "olga")
    lab.ctl("user", "key", "remove", "olga", k["fingerprint"])
    assert lab.ssh("olga@" + me.t0, "echo in", key=key).returncode == 255


# -- passwords

@pytest.fixture(scope="module")
def rita(lab):
    lab.ctl("user", "create", "rita")
    lab.ctl("user", "password", "rita", "--password-stdin", stdin="a long enough one\n")
    account, asset = lab.info["targets"][0].split("@")
    lab.ctl("grant", "create", "--user", "rita", "--asset", asset, "--account", account)
    return "rita@" + lab.info["targets"][0]


def test_both_password_methods_log_in(lab, rita):
    with transport(lab) as t:
        t.auth_password(rita, "a long enough one", fallback=False)
        assert t.is_authenticated()
    with transport(lab) as t:
        asked = []
        t.auth_interactive(rita, lambda title, text, prompts: (asked.extend(prompts), ["a long enough one"])[1])
        assert t.is_authenticated() and asked == [("Password: ", False)], asked
    with transport(lab) as t:
        for word in ("wrong", "", "x" * 5000):
            with pytest.raises((paramiko.AuthenticationException, paramiko.SSHException)):
                t.auth_password(rita, word, fallback=False)
        t.auth_password(rita, "a long enough one", fallback=False)
        assert t.is_authenticated()


def test_a_person_types_the_password_and_sees_the_menu(lab, rita):
    o = [x for x in lab.ssh_options() if x != "BatchMode=yes"]
    with Terminal(lab.dir, ["ssh", "-F", "/dev/null", "-o", "UserKnownHostsFile=%s" % lab.known_hosts, "-o", "PubkeyAuthentication=no",
                            "-p", lab.port, "-l", "rita", "127.0.0.1"]) as t:
        assert o
        t.wait("Password:")
        t.line("mistyped one")
        L.wait_for("the second question", lambda: t.screen().count("Password:") == 2)
        t.line("a long enough one")
        t.wait("Number or search>")
        t.show("after a mistyped password")
        t.line("q")
        assert t.status() == 0 and "long enough" not in t.raw().decode()


def test_weak_passwords_are_refused_with_what_is_wanted(lab):
    lab.ctl("user", "create", "sven")
    for word in ("short", "sven"):
        r = lab.ctl_run("user", "password", "sven", "--password-stdin", stdin=word + "\n")
        print(r.stderr.strip())
        assert r.returncode != 0 and len(r.stderr.strip().split("\n")) == 1, r


def vault_cpu(lab):
    """Processor time of the vault, in seconds: what else the machine does is not in it."""
    tasks = pathlib.Path("/proc/%d/task" % T.child_pid(lab, "vault"))
    return sum(int((t / "schedstat").read_text().split()[0]) for t in tasks.iterdir()) / 1e9


def cost_of_refusals(lab, login, n=3):
    """Nearly all of what a refusal takes is the hash: the vault does the same work whoever asks."""
    before = vault_cpu(lab)
    with transport(lab) as t:
        for i in range(n):
            with pytest.raises(paramiko.AuthenticationException):
                t.auth_password(login, "wrong password %d" % i, fallback=False)
    return (vault_cpu(lab) - before) / n


def test_an_unknown_user_takes_as_long_as_a_wrong_password(lab, rita):
    lab.ctl("user", "create", "keyonly", "--key", str(lab.key("keyonly.key")) + ".pub")
    lab.ctl("user", "create", "off")
    lab.ctl("user", "password", "off", "--password-stdin", stdin="another long one\n")
    lab.ctl("user", "disable", "off")
    cost = {who: cost_of_refusals(lab, who) for who in ("rita", "nobody-here", "keyonly", "off")}
    print({k: "%.0f ms" % (v * 1000) for k, v in cost.items()})
    assert min(cost.values()) > 0.01 and max(cost.values()) < 2 * min(cost.values()), cost


def test_many_passwords_at_once_are_bounded_and_all_answered(lab, me, rita):
    """The vault hashes a few at a time, in a queue of its own: keys go on working meanwhile."""
    results = []

    def one(i):
        with transport(lab) as t:
            try:
                t.auth_password(rita, "a long enough one" if i % 4 == 0 else "wrong", fallback=False)
            except (paramiko.SSHException, EOFError) as e:
                results.append((i, type(e).__name__))
                return
            results.append((i, t.is_authenticated()))
    jobs = [threading.Thread(target=one, args=(i,)) for i in range(12)]
    for j in jobs:
        j.start()
    by_key = [me.ssh("echo in").stdout for _ in range(3)]
    for j in jobs:
        j.join(60)
    assert by_key == ["in\n"] * 3
    assert len(results) == 12
    assert all(r is True for i, r in results if i % 4 == 0), results
    assert not any(r is True for i, r in results if i % 4), results


def test_password_logins_can_be_switched_off(lab, me, rita):
    lab.write_config(password_login="no")
    lab.stop("sallyport")
    lab.start()
    with transport(lab) as t:
        with pytest.raises(paramiko.BadAuthenticationType) as e:
            t.auth_password(rita, "a long enough one", fallback=False)
        assert e.value.allowed_types == ["publickey"]
    assert me.ssh("echo in").stdout == "in\n"
