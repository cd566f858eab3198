"""Owners add their own servers: proven by a token on the host, or confirmed by an administrator of the department."""
import contextlib
import json
import os
import shutil
import signal
import subprocess

import lab as L
import pytest
from terminal import Terminal

HOST = "127.0.0.9"          # no other asset of the lab is there
CONFIG = {"claim_local": "yes"}
as_root = pytest.mark.skipif(not L.ROOT, reason="password logins at targets need root")


def refused(lab, *args):
    r = lab.ctl_run(*args)
    assert r.returncode != 0, r.stdout
    return r.stderr


def audit(lab, kind, name):
    return [e for e in lab.ctl("audit", "list", "--limit", "300") if e["kind"] == kind and name in e.get("text", "")]


def claims(lab, login=None):
    who = ("--as", login) if login else ()
    return {c["name"]: c for c in lab.ctl(*who, "asset", "claims")}


@contextlib.contextmanager
def claim(lab, name, login="alice", *more, address=HOST, port=22):
    """A claim that is withdrawn, or an asset that is deleted, at the end."""
    got = lab.ctl("--as", login, "asset", "claim", name, address, "--port", port, *more)
    try:
        yield got
    finally:
        if not lab.ctl_ok("asset", "reject", name):
            lab.ctl_run("asset", "delete", name)


@pytest.fixture(scope="module")
def people(lab):
    for d in ("east", "west"):
        lab.ctl("department", "create", d)
        lab.ctl("user", "create", "head-" + d, "--role", "admin", "--department", d, "--role-department", d)
    lab.ctl("user", "update", "alice", "--department", "east")
    lab.ctl("user", "create", "bob", "--department", "east", "--key", str(lab.key("bob.key")) + ".pub")


@pytest.fixture(scope="module")
def host(lab, people):
    """A real sshd whose /etc is a copy of our own: what is written there is seen by it alone."""
    if not L.ROOT:
        pytest.skip("password logins at targets need root")
    etc = lab.data / "host-etc"
    etc.mkdir()
    for n in ("nsswitch.conf", "ld.so.cache", "ld.so.conf", "localtime"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy("/etc/" + n, etc / n)
    for n in ("passwd", "shadow", "group"):
        shutil.copy(lab.etc / n, etc / n)
    d = lab.data / "host"
    d.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", d / "hostkey"], check=True)
    port = L.free_port()
    (d / "sshd_config").write_text(
        "Port %d\nListenAddress %s\nHostKey %s/hostkey\nPidFile %s/pid\nUsePAM no\nPasswordAuthentication yes\n"
        "KbdInteractiveAuthentication no\nStrictModes no\nAuthorizedKeysFile none\nPrintMotd no\n" % (port, HOST, d, d))
    lab.spawn("host", ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                       'mkdir -p /run/sshd && mount --bind "$0" /etc && exec /usr/sbin/sshd -D -e -f "$1"', etc, d / "sshd_config"],
              wrap=False)
    L.wait_for("the host answers", lambda: L.port_open(port, HOST))

    class Host:
        file = etc / "sallyport-owner"
        key = (d / "hostkey.pub").read_text().split()[1]
    Host.port = port
    return Host


def visit(lab, me, target, *texts, password=L.PASSWORD, command=()):
    """Go there as the claimant would; the exit status."""
    with Terminal(lab.dir, lab.ssh_argv("alice", target, *command, key=me.key, options=["-tt"])) as t:
        t.wait("password:")
        t.line(password)
        t.wait(*texts)
        return t.status()


def proofs(lab, name):
    return [s for s in lab.ctl("session", "list", "--asset", name) if s["protocol"] == "proof"]


@as_root
def test_the_token_on_the_host_makes_it_the_claimants(lab, me, host):
    with claim(lab, "mine", "alice", "--login", "app", port=host.port) as c:
        assert c["path"] == "/etc/sallyport-owner" and c["command"].endswith(" app@mine")
        assert claims(lab, "alice")["mine"]["state"] == "pending" and claims(lab, "bob") == {} and "mine" in claims(lab, "head-east")
        # Nobody else gets there: not by a grant on everything, and not the claimant with a command of his own.
        lab.ctl("grant", "create", "--name", "early", "--user", "bob", "--asset", "mine", "--account", "*")
        r = lab.ssh("bob@app@mine", "true", key=lab.key("bob.key"))
        assert r.returncode == 255 and "disabled" in r.stderr, r.stderr
        assert "no /etc/sallyport-owner" in refusal(lab, me)
        host.file.write_text("sallyport-owner-0000000000000000000000000000000000000000\n")
        assert "no line of /etc/sallyport-owner" in refusal(lab, me)
        assert audit(lab, "asset.proof_wrong", "mine") and "mine" in claims(lab)
        assert lab.ctl("asset", "hostkey", "list", "mine") == []        # a key is pinned by the proof, not before it
        assert lab.ctl("asset", "show", "mine")["state"] == "disabled"
        # Whatever is asked for, the one command is all that runs there.
        host.file.write_text("# two of them\n other\n%s \n" % c["token"])
        marker = lab.data / "touched"
        assert visit(lab, me, "app@mine", "is proven to be yours", command=["touch %s" % marker]) == 0
        assert not marker.exists()
        shown = lab.ctl("asset", "show", "mine")
        assert shown["state"] == "active" and shown["owner"] == "alice" and shown["department"] == "east" and claims(lab) == {}
        assert [k["line"].split()[1] for k in lab.ctl("asset", "hostkey", "list", "mine")] == [host.key]
        assert audit(lab, "asset.proven", "mine") and audit(lab, "asset.claim", "mine")
        L.wait_for("the alarm", lambda: lab.alarms("asset-proven"))
        last = proofs(lab, "mine")[0]
        opened = [e for e in lab.ctl("audit", "list", "--session", last["id"]) if e["kind"] == "channel.open"]
        assert last["recording"] and [e["more"]["detail"] for e in opened] == ["cat /etc/sallyport-owner"]
        # The owner has no grant by being the owner; the early one of bob counts from now on.
        assert "access" in lab.ssh("alice@app@mine", "true", key=me.key).stderr
        assert "terminal" in lab.ssh("bob@app@mine", "true", key=lab.key("bob.key")).stderr
        owner_rights(lab)
    host.file.unlink()


def refusal(lab, me):
    with Terminal(lab.dir, lab.ssh_argv("alice", "app@mine", key=me.key, options=["-tt"])) as t:
        t.wait("password:")
        t.line(L.PASSWORD)
        t.wait("Not proven")
        assert t.status() == 255
        return " ".join(t.screen().split())


def owner_rights(lab):
    alice, bob = ("--as", "alice"), ("--as", "bob")
    assert lab.ctl(*alice, "asset", "show", "mine")["name"] == "mine"
    lab.ctl(*alice, "asset", "update", "mine", "--remark", "my build server", "--tag", "build,team=x")
    shown = lab.ctl("asset", "show", "mine")
    assert shown["remark"] == "my build server" and sorted(shown["tags"]) == ["build", "team=x"]
    assert [w["user"] for w in lab.ctl(*alice, "access", "who", "mine")] == ["bob"]
    assert {s["protocol"] for s in lab.ctl(*alice, "session", "list", "--asset", "mine")} >= {"proof"}
    assert lab.ctl(*bob, "session", "list", "--asset", "mine", "--state", "live") == []
    for args in (("asset", "update", "mine", "--address", "127.0.0.8"), ("asset", "update", "mine", "--owner", "bob"),
                 ("asset", "delete", "mine"), ("account", "create", "root@mine", "--typed"),
                 ("grant", "create", "--user", "alice", "--asset", "mine", "--account", "*")):
        assert "needs" in refused(lab, *alice, *args) or "ask an administrator" in refused(lab, *alice, *args), args
    for args in (("asset", "show", "mine"), ("asset", "update", "mine", "--remark", "x"), ("access", "who", "mine")):
        assert "of yours" in refused(lab, *bob, *args), args


def reload(lab, **changes):
    lab.write_config(**changes)
    before = lab.log("sallyport").count("configuration read again")
    os.kill(lab.monitor_pid(), signal.SIGHUP)
    L.wait_for("the reload", lambda: lab.log("sallyport").count("configuration read again") > before)


@as_root
def test_a_key_that_is_pinned_already_is_held_to(lab, me, host):
    with claim(lab, "mine", "alice", "--login", "app", port=host.port) as c:
        host.file.write_text(c["token"] + "\n")
        reload(lab, trust_first_use="no")
        try:
            with Terminal(lab.dir, lab.ssh_argv("alice", "app@mine", key=me.key, options=["-tt"])) as t:
                t.wait("asset hostkey set mine")
            lab.ctl("asset", "hostkey", "set", "mine", *lab.key("other.key").with_suffix(".key.pub").read_text().split()[:2])
            with Terminal(lab.dir, lab.ssh_argv("alice", "app@mine", key=me.key, options=["-tt"])) as t:
                t.wait("has changed")
            lab.ctl("asset", "hostkey", "remove", "mine")
            lab.ctl("asset", "hostkey", "set", "mine", "ssh-ed25519", host.key)
            assert "mine" in claims(lab)
            assert visit(lab, me, "app@mine", "is proven to be yours") == 0
        finally:
            reload(lab, trust_first_use="yes")
    host.file.unlink()


@as_root
def test_what_an_address_leads_to_is_looked_at_when_it_is_dialled(lab, me, host):
    """127.9 is 127.0.0.9 to the resolver, as a name in the DNS might be."""
    lab.ctl("asset", "create", "listed", HOST, "--port", host.port)
    try:
        with claim(lab, "mine", "alice", "--login", "app", port=host.port, address="127.9") as c:
            host.file.write_text(c["token"] + "\n")
            assert visit(lab, me, "app@mine", "where another asset is") == 255
            assert "mine" in claims(lab) and audit(lab, "asset.proof_refused", "another asset")
            reload(lab, claim_local="no")
            try:
                with Terminal(lab.dir, lab.ssh_argv("alice", "app@mine", key=me.key, options=["-tt"])) as t:
                    t.wait("Cannot connect to mine")
                    assert t.status() == 255
            finally:
                reload(lab, claim_local="yes")
    finally:
        lab.ctl("asset", "delete", "listed")
    host.file.unlink()


def test_an_administrator_of_the_department_confirms(lab, people):
    lab.ctl("asset-group", "create", "east-hosts", "--department", "east")
    lab.ctl("asset-group", "create", "west-hosts", "--department", "west")
    assert "in your department" in refused(lab, "--as", "alice", "asset", "claim", "c1", HOST, "--group", "west-hosts")
    with claim(lab, "c1", "alice", "--group", "east-hosts", "--remark", "mine"):
        assert "another department" in refused(lab, "--as", "head-west", "asset", "confirm", "c1")
        assert "another department" in refused(lab, "--as", "head-west", "asset", "reject", "c1")
        assert "needs an administrator" in refused(lab, "--as", "alice", "asset", "confirm", "c1")
        assert "c1" not in claims(lab, "head-west")
        lab.ctl("--as", "head-east", "asset", "confirm", "c1")
        shown = lab.ctl("asset", "show", "c1")
        assert (shown["state"], shown["owner"], shown["groups"]) == ("active", "alice", ["east-hosts"])
        assert claims(lab) == {} and audit(lab, "asset.confirm", "c1")
        assert "nobody claims" in refused(lab, "asset", "reject", "c1")


def test_a_rejected_or_withdrawn_claim_leaves_nothing(lab, people):
    for who, name in (("head-east", "c2"), ("alice", "c3")):
        with claim(lab, name, "alice"):
            assert "of yours" in refused(lab, "--as", "bob", "asset", "reject", name)
            lab.ctl("--as", who, "asset", "reject", name, "--reason", "not known here")
            assert name not in claims(lab) and name not in [a["name"] for a in lab.ctl("asset", "list")]
            assert audit(lab, "asset.reject", name)


def test_a_claim_raises_an_alarm_and_a_refused_one_does_not(lab, people):
    def alarms(name):
        return [o for o in map(json.dumps, lab.alarms("asset-claimed")) if name in o]
    with claim(lab, "c-alarm"):
        refused(lab, "--as", "bob", "asset", "claim", "c-alarm", "198.51.100.8")          # the name is taken
        with claim(lab, "c-last", "bob", address="198.51.100.9"):
            L.wait_for("the alarm", lambda: alarms("c-last"))
            assert len(alarms("c-alarm")) == 1          # they come in order


def test_owners_do_all_of_it_over_ssh(lab, people, me):
    def say(*args):
        return me.ssh("sallyport", *args, login="alice")

    r = say("asset", "claim", "c7", "198.51.100.7", "--login", "app")
    assert r.returncode == 0 and "sallyport-owner-" in r.stdout and "app@c7" in r.stdout, r.stderr
    assert "198.51.100.7" in say("asset", "claims").stdout and "app@c7" in say("asset", "prove", "c7").stdout
    assert say("asset", "confirm", "c7").returncode != 0 and "c7" in claims(lab)
    assert say("asset", "reject", "c7").returncode == 0 and claims(lab) == {}


def test_names_and_addresses_of_others_are_not_claimed(lab, people, me):
    def no(name, address, *more):
        return refused(lab, "--as", "alice", "asset", "claim", name, address, *more)

    assert "already" in no("web1", HOST)
    assert "already" in no("c4", "127.0.0.1", "--port", "7")               # where web1 is, on whatever port
    assert "another host" in no("127.0.0.1", HOST) and "another host" in no("10.9.9.9", HOST)
    assert "name of an asset" in no("a@b", HOST)
    assert "neither a host name" in no("c4", "a b") and "neither a host name" in no("c4", "$(id).test")
    assert "bastion itself" in no("c4", "127.0.0.1", "--port", lab.port)
    with claim(lab, "c5", "bob"):
        assert "already" in no("c5", "127.0.0.8") and "already" in no("c6", HOST)


def test_claims_are_few_and_end_by_themselves(lab, people):
    try:
        for i in range(5):
            lab.ctl("--as", "bob", "asset", "claim", "many%d" % i, "198.51.100.%d" % i)
        assert "prove or withdraw" in refused(lab, "--as", "bob", "asset", "claim", "many5", "198.51.100.5")
    finally:
        for i in range(5):
            lab.ctl_run("asset", "reject", "many%d" % i)
    reload(lab, claim_life="1s", claim_local="no")
    try:
        for address in ("127.0.0.7", "localhost", "::1", "169.254.1.1", "0.0.0.0", "a.localhost."):
            assert "addresses of this machine" in refused(lab, "--as", "bob", "asset", "claim", "brief", address), address
        lab.ctl("--as", "bob", "asset", "claim", "brief", "198.51.100.9")
        L.wait_for("the claim is over", lambda: "brief" not in [a["name"] for a in lab.ctl("asset", "list")])
        assert audit(lab, "asset.claim_over", "brief") and "brief" not in claims(lab)
    finally:
        reload(lab, claim_life="7d", claim_local="yes")
