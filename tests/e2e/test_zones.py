"""Network zones: targets behind jump servers. As root each server is in a network namespace of its own, and a target can be reached
from its jump server only; else all are on loopback and the logs of the servers tell which way it went."""
import contextlib
import hashlib
import json
import os
import pathlib
import signal
import subprocess

import pytest

import lab as L
import pgcluster as P
import tour as T

CONFIG = {"dial_timeout": "5s"}
SPACES = P.why_not() is None


class Net:
    """ours ── jump1 ──┬── inside        front 10.a.b.0/30, middle 10.a.b.16/28, back 10.a.b.32/30; nothing forwards packets
                       └── jump2 ── deep"""

    def __init__(self):
        pid = os.getpid()
        self.tag, self.prefix = "%x" % (pid % 0xfffff), "10.%d.%d" % (100 + pid % 90, pid // 90 % 250)
        self.spaces, self.front = [], "spz" + self.tag

    def at(self, n):
        return "%s.%d" % (self.prefix, n)

    def space(self, name):
        s = "spz%s-%s" % (self.tag, name)
        P.ip("netns", "add", s)
        self.spaces.append(s)
        P.ip("-n", s, "link", "set", "lo", "up")
        return s

    def end(self, space, dev, n, bits):
        ns = ["-n", space] if space else []
        P.ip(*ns, "addr", "add", "%s/%d" % (self.at(n), bits), "dev", dev)
        P.ip(*ns, "link", "set", dev, "up")

    def __enter__(self):
        try:
            return self.make()
        except BaseException:
            self.__exit__()
            raise

    def make(self):
        front, bridge = self.front, "middle"
        self.jump1, self.inside, self.jump2, self.deep = (self.space(n) for n in ("j1", "in", "j2", "deep"))
        P.ip("link", "add", front, "type", "veth", "peer", "name", "front", "netns", self.jump1)
        self.end(None, front, 1, 30)
        self.end(self.jump1, "front", 2, 30)
        P.ip("-n", self.jump1, "link", "add", bridge, "type", "bridge")
        self.end(self.jump1, bridge, 17, 28)
        for space, dev, n in ((self.inside, "to-inside", 18), (self.jump2, "to-jump2", 19)):
            P.ip("-n", self.jump1, "link", "add", dev, "type", "veth", "peer", "name", "middle", "netns", space)
            P.ip("-n", self.jump1, "link", "set", dev, "master", bridge, "up")
            self.end(space, "middle", n, 28)
        P.ip("-n", self.jump2, "link", "add", "back", "type", "veth", "peer", "name", "back", "netns", self.deep)
        self.end(self.jump2, "back", 33, 30)
        self.end(self.deep, "back", 34, 30)
        return self

    def __exit__(self, *exc):
        for s in self.spaces:
            P.ip("netns", "del", s, check=False)
        P.ip("link", "del", self.front, check=False)


class Loop:
    jump1 = inside = jump2 = deep = None

    @staticmethod
    def at(n):
        return "127.0.0.1"


@pytest.fixture(scope="module")
def net(lab):
    with contextlib.ExitStack() as stack:
        n = stack.enter_context(Net()) if SPACES else Loop()
        ca = lab.ctl("ca", "show", "demo-ca")["public_key"]
        lab.me = lab.account_names()[0]
        lab.openssh("jump1", ca_pub=ca, space=n.jump1)
        lab.openssh("inside", ca_pub=ca, space=n.inside)
        stored = pathlib.Path(str(lab.key("jump2.key")) + ".pub").read_text()
        lab.openssh("jump2", authorized=stored, space=n.jump2)
        lab.openssh("deep", ca_pub=ca, space=n.deep)
        for name, at in (("jump1", 2), ("inside", 18), ("jump2", 19), ("deep", 34)):
            lab.ctl("asset", "create", name, n.at(at), "--port", lab.targets[name])
            secret = ["--key-file", lab.key("jump2.key")] if name == "jump2" else ["--ca", "demo-ca"]
            lab.ctl("account", "create", "%s@%s" % (lab.me, name), *secret)
        lab.ctl("zone", "create", "middle", "--jump", "jump1", "--account", lab.me, "--source-address", n.at(17))
        lab.ctl("zone", "create", "back", "--jump", "jump2", "--account", lab.me, "--source-address", n.at(33))
        lab.ctl("asset", "update", "inside", "--zone", "middle")
        lab.ctl("asset", "update", "jump2", "--zone", "middle")
        lab.ctl("asset", "update", "deep", "--zone", "back")
        for name in ("inside", "deep"):
            lab.ctl("grant", "create", "--user", "alice", "--asset", name, "--account", "*", "--protocol",
                    "shell,exec,sftp,scp,forward-local,forward-dynamic", "--forward-to", "127.0.0.1:*")
        lab.trust()
        yield n
        for name in ("jump1", "inside", "jump2", "deep", "jumpdb"):
            if name in lab.procs:
                lab.stop(name)


@pytest.fixture
def to(lab, net):
    return "alice@%s@%%s" % lab.me


def children(pid):
    with contextlib.suppress(OSError):
        return [int(c) for c in pathlib.Path("/proc/%d/task/%d/children" % (pid, pid)).read_text().split()]
    return []


def servants(lab, name):
    """Processes that a server has for connections."""
    return children(lab.procs[name].pid)


def below(pid):
    return [p for c in children(pid) for p in (*below(c), c)]


def newest(lab, asset):
    return next(s for s in lab.ctl("session", "list", "--limit", 100) if s["asset"] == asset)


def told(lab, r, asset, *texts):
    """One line, and the same in the record."""
    err = r.stderr.strip()
    assert r.returncode == 255 and len(err.split("\n")) == 1, r
    for t in texts:
        assert t in err, (t, r)
    s = L.wait_for("the record", lambda: (lambda s: s if s["state"] == "ended" else None)(newest(lab, asset)))
    line = err.removeprefix("sallyport: ").rstrip(".")
    assert s["reason"].rstrip(".") in line or line in s["reason"], (s["reason"], line)
    print(line)


# -- the way

@pytest.mark.parametrize("asset, jumps", [("inside", ["jump1"]), ("deep", ["jump1", "jump2"])])
def test_a_target_behind_jump_servers_opens_and_record_and_audit_name_them(lab, me, to, asset, jumps):
    marks = {j: len(lab.log(j)) for j in jumps}
    r = me.ssh("echo $SSH_CONNECTION; cat", login=to % asset, stdin="through\n")
    assert r.returncode == 0 and r.stdout.endswith("through\n"), r
    if SPACES:      # seen from the last jump server, at the inner side
        assert r.stdout.split()[0].endswith(".17" if asset == "inside" else ".33")
        assert not L.port_open(lab.targets[asset], lab.ctl("asset", "show", asset)["address"])
    for j in jumps:     # the person gets no channel there
        said = lab.log(j)[marks[j]:]
        assert "Accepted publickey for " + lab.me in said and "Starting session" not in said
    s = newest(lab, asset)
    ways = ["%s@jump1 (zone middle)" % lab.me, "%s@jump2 (zone back)" % lab.me]
    assert s["path"] == "through " + ", then ".join(ways[:len(jumps)])
    assert "jump1" in lab.ctl_run("session", "show", s["id"]).stdout
    entries = lab.ctl("audit", "list", "--session", s["id"], "--limit", 100)
    via = next(e for e in entries if e["kind"] == "session.request")
    assert [v["asset"] for v in find(via, "via")] == jumps
    used = [find(e, "jump") for e in entries if e["kind"] == "credential.use"]
    assert sorted(u for u in used if u) == jumps and None in used
    L.wait_for("the end of the recording", lambda: lab.session(s["id"])["state"] == "ended")
    assert [v["asset"] for v in lab.lines(s["id"])[0]["sallyport"]["header"]["via"]] == jumps


def find(entry, key):
    """Wherever the entry has its details."""
    if isinstance(entry, dict):
        return entry[key] if key in entry else next((v for v in (find(e, key) for e in entry.values()) if v is not None), None)
    return None


def zones_of_doctor(lab):
    return {c["text"].split(":")[0]: c["ok"] for c in json.loads(lab.ctl_run("--json", "doctor").stdout) if c["check"] == "zone"}


def test_explain_and_doctor_show_the_way(lab, me, to):
    e = lab.ctl("access", "explain", "alice", "deep", lab.me)
    assert e["allowed"] and e["path"] == "through %s@jump1 (zone middle), then %s@jump2 (zone back)" % (lab.me, lab.me)
    assert zones_of_doctor(lab) == {"middle": True, "back": True}
    # an account that is deleted under the zone: no way at all, and it is said
    lab.ctl("account", "create", "passing@jump1", "--ca", "demo-ca")
    lab.ctl("zone", "create", "lost", "--jump", "jump1", "--account", "passing")
    lab.ctl("asset", "create", "adrift", "192.0.2.5", "--zone", "lost")
    lab.ctl("account", "create", lab.me + "@adrift", "--ca", "demo-ca")
    lab.ctl("grant", "create", "--user", "alice", "--asset", "adrift", "--account", "*")
    assert zones_of_doctor(lab)["lost"]
    lab.ctl("account", "delete", "passing@jump1")
    assert zones_of_doctor(lab) == {"middle": True, "back": True, "lost": False}
    e = lab.ctl("access", "explain", "alice", "adrift", lab.me)
    assert not e["allowed"] and "the account passing of its jump server jump1 is not there any more" in e["reasons"][-1]
    r = me.ssh("true", login=to % "adrift")
    assert r.returncode == 255 and "Zone lost: the account passing of its jump server jump1" in r.stderr, r
    lab.ctl("asset", "delete", "adrift")
    lab.ctl("zone", "delete", "lost")


def test_every_form_goes_through(lab, me, net, to, tmp_path):
    f = tmp_path / "file"
    f.write_bytes(os.urandom(300000))
    login, opts = to % "inside", lab.ssh_options(me.key)
    where = "/tmp/zone-%d" % os.getpid()
    put = ["-r", str(f), "%s@127.0.0.1:%s" % (login, where)]
    try:
        assert subprocess.run(["scp", "-q", *opts, "-P", str(lab.port), *put], timeout=60).returncode == 0
        r = subprocess.run(["sftp", "-q", *opts, "-P", str(lab.port), "-b", "-", "%s@127.0.0.1" % login], input="get %s %s/got\nrm %s\n" % (where, tmp_path, where),
                           text=True, capture_output=True, timeout=60)
        assert r.returncode == 0 and (tmp_path / "got").read_bytes() == f.read_bytes(), r
        rsh = " ".join(["ssh", *opts, "-p", str(lab.port), "-l", login])
        assert subprocess.run(["rsync", "-e", rsh, str(f), "127.0.0.1:" + where], timeout=60).returncode == 0
        # a connection inside another one, and a forward: both end at the target
        outer = "ssh %s -p %d -W %%h:%%p -l alice 127.0.0.1" % (" ".join(opts), lab.port)
        r = subprocess.run(["ssh", *opts, "-o", "ProxyCommand=" + outer, "-l", lab.me, "inside", "sha256sum " + where], text=True,
                           capture_output=True, timeout=60)
        assert r.stdout.split()[:1] == [hashlib.sha256(f.read_bytes()).hexdigest()], r
        echo = L.free_port()
        lab.serve("echo", ["socat", "TCP-LISTEN:%d,bind=127.0.0.1,reuseaddr,fork" % echo, "EXEC:cat"], echo, net.inside)
        assert lab.ssh(login, key=me.key, options=("-W", "127.0.0.1:%d" % echo), stdin="to and fro\n").stdout == "to and fro\n"
    finally:
        lab.stop("echo")
        with contextlib.suppress(OSError):
            os.unlink(where)


def test_a_hundred_megabytes_pass_unharmed_each_way(lab, me, to):
    block = os.urandom(1 << 20)
    want = hashlib.sha256(block * 100).hexdigest()
    r = me.ssh("sha256sum", login=to % "inside", stdin=block * 100, text=False, timeout=150)
    assert r.stdout.split()[0].decode() == want
    r = me.ssh("head -c 104857600 /dev/zero", login=to % "inside", text=False, timeout=150)
    assert hashlib.sha256(r.stdout).digest() == hashlib.sha256(bytes(104857600)).digest()


@pytest.mark.skipif(not L.ROOT, reason="password logins need root")
def test_a_dropbear_as_jump_server_by_password(lab, me, net, to):
    lab.dropbear("jumpdb", space=net.jump1)
    lab.ctl("asset", "create", "jumpdb", net.at(2), "--port", lab.targets["jumpdb"])
    lab.ctl("account", "create", "app@jumpdb", "--password-stdin", stdin=L.PASSWORD + "\n")
    lab.ctl("zone", "create", "bydb", "--jump", "jumpdb", "--account", "app", "--source-address", net.at(17))
    lab.ctl("asset", "update", "inside", "--zone", "bydb")
    try:
        assert me.ssh("echo in", login=to % "inside").stdout == "in\n"
        assert "Password auth succeeded for 'app'" in lab.log("jumpdb")
        lab.ctl("account", "update", "app@jumpdb", "--password-stdin", stdin="another\n")
        told(lab, me.ssh("true", login=to % "inside"), "inside", "Jump server jumpdb of zone bydb refused the login of app")
    finally:
        lab.ctl("asset", "update", "inside", "--zone", "middle")


# -- ends

def test_a_session_through_a_jump_server_outlives_the_death_of_control(lab, me, to):
    e = L.Echo(lab, me, lab.ssh_argv(to % "deep", "cat", key=me.key))
    os.kill(T.child_pid(lab, "control"), signal.SIGKILL)
    e.say("still here")
    L.wait_for("a new login", lambda: me.ssh("true", login=to % "deep").returncode == 0, 30)
    e.say("and after")
    assert e.end() == 0


def test_a_kill_ends_both_legs_at_once(lab, me, to):
    e = L.Echo(lab, me, lab.ssh_argv(to % "deep", "cat", key=me.key))
    assert len(servants(lab, "jump1")) == len(servants(lab, "jump2")) == len(servants(lab, "deep")) == 1
    lab.ctl("session", "kill", newest(lab, "deep")["id"], "--reason", "enough")
    assert e.p.wait(20) == 255 and "Terminated by" in e.p.stderr.read()
    for name in ("jump1", "jump2", "deep"):
        L.wait_for("the end of the leg to " + name, lambda: not servants(lab, name))


def test_a_session_ends_with_its_jump_server_and_says_so(lab, me, to):
    e = L.Echo(lab, me, lab.ssh_argv(to % "deep", "cat", key=me.key))
    other = L.Echo(lab, me, lab.ssh_argv(to % "deep", "cat", key=me.key))
    assert len(servants(lab, "jump1")) == 2, "one connection for each session"
    first = servants(lab, "jump1")[0]
    for pid in [*below(first), first]:
        with contextlib.suppress(ProcessLookupError):		# it may be gone with the one before
            os.kill(pid, signal.SIGKILL)
    ended = L.wait_for("the end of one", lambda: [x for x in (e, other) if x.p.poll() is not None])
    assert len(ended) == 1 and ended[0].p.returncode == 255
    assert "Jump server jump1 of zone middle closed the connection" in ended[0].p.stderr.read()
    alive = next(x for x in (e, other) if x is not ended[0])
    alive.say("still here")
    assert alive.end() == 0
    s = L.wait_for("the record", lambda: [s for s in lab.ctl("session", "list", "--limit", 10) if "Jump server jump1" in s["reason"]])
    assert s[0]["asset"] == "deep"


def test_what_is_wrong_with_the_way_is_one_clear_line_here_and_in_the_record(lab, me, net, to):
    port = lab.targets["jump2"]
    lab.stop("jump2")
    told(lab, me.ssh("true", login=to % "deep"), "deep", "Jump server jump2 of zone back cannot be reached through jump1")
    lab.openssh("jump2", authorized=pathlib.Path(str(lab.key("jump2.key")) + ".pub").read_text(), space=net.jump2, port=port,
                extra="AllowTcpForwarding no\n")
    conf = lab.data / "jump2" / "sshd_config"
    assert "AllowTcpForwarding yes" in conf.read_text()      # the first line counts
    lab.stop("jump2")
    conf.write_text(conf.read_text().replace("AllowTcpForwarding yes", "AllowTcpForwarding no"))
    lab.serve("jump2", ["/usr/sbin/sshd", "-D", "-e", "-f", conf], port, net.jump2)
    told(lab, me.ssh("true", login=to % "deep"), "deep", "Jump server jump2 of zone back refused to open the way on")
    lab.stop("jump2")
    conf.write_text(conf.read_text().replace("AllowTcpForwarding no", "AllowTcpForwarding yes"))
    lab.serve("jump2", ["/usr/sbin/sshd", "-D", "-e", "-f", conf], port, net.jump2)
    dead = L.free_port()
    lab.ctl("asset", "update", "inside", "--port", dead)
    told(lab, me.ssh("true", login=to % "inside"), "inside", "Cannot connect to inside through jump server jump1 of zone middle")
    lab.ctl("asset", "update", "inside", "--port", lab.targets["inside"])
    jump1 = lab.targets["jump1"]
    lab.ctl("asset", "update", "jump1", "--port", dead)
    told(lab, me.ssh("true", login=to % "inside"), "inside", "Jump server jump1 of zone middle cannot be reached")
    lab.ctl("asset", "update", "jump1", "--port", jump1)
    assert me.ssh("echo in", login=to % "deep").stdout == "in\n"


@pytest.mark.parametrize("name, line", [("jump1", "The host key of jump server jump1 of zone middle has changed"), ("inside", "The host key of inside has changed")])
def test_a_changed_host_key_on_the_way_refuses(lab, me, to, name, line):
    assert me.ssh("true", login=to % "inside").returncode == 0       # pinned
    pinned = lab.ctl("asset", "hostkey", "list", name)
    assert len(pinned) == 1
    other = pathlib.Path(str(lab.key("other.key")) + ".pub").read_text().split()
    lab.ctl("asset", "hostkey", "remove", name)
    lab.ctl("asset", "hostkey", "set", name, *other[:2])
    before = len(lab.log("inside"))
    told(lab, me.ssh("true", login=to % "inside"), "inside", line)
    assert any(e["kind"] == "hostkey.mismatch" for e in lab.ctl("audit", "list", "--session", newest(lab, "inside")["id"]))
    assert "Accepted" not in lab.log("inside")[before:]
    lab.ctl("asset", "hostkey", "remove", name)
    lab.ctl("asset", "hostkey", "set", name, *pinned[0]["line"].split()[:2])
    assert me.ssh("true", login=to % "inside").returncode == 0


@pytest.mark.skipif(not SPACES, reason="on loopback every server sees the same address")
def test_a_certificate_is_good_from_the_source_address_of_the_zone_only(lab, me, net, to):
    lab.ctl("zone", "update", "middle", "--source-address", net.at(18))
    before = len(lab.log("inside"))
    told(lab, me.ssh("true", login=to % "inside"), "inside", "inside refused the login of")
    assert "permitted source address" in lab.log("inside")[before:]
    lab.ctl("zone", "update", "middle", "--source-address", "")      # the address of the jump server as it was dialled: its outer one
    told(lab, me.ssh("true", login=to % "inside"), "inside", "inside refused the login of")
    lab.ctl("zone", "update", "middle", "--source-address", "%s,%s/28" % (net.at(2), net.at(16)))
    assert me.ssh("true", login=to % "inside").returncode == 0


# -- what administrators may write

def refused(lab, *args, says):
    r = lab.ctl_run(*args)
    assert r.returncode != 0 and says in r.stderr, r


def test_a_zone_that_makes_no_sense_is_refused(lab, net):
    me = lab.me
    lab.ctl("account", "create", "typist@jump1", "--typed")
    refused(lab, "zone", "create", "z", "--jump", "jump1", says="name the account")
    refused(lab, "zone", "create", "z", "--jump", "jump1", "--account", "nobody", says="has no account")
    refused(lab, "zone", "create", "z", "--jump", "jump1", "--account", "typist", says="no stored credential")
    refused(lab, "zone", "create", "z", "--jump", "nowhere", "--account", me, says="nowhere")
    refused(lab, "zone", "create", "z", "--source-address", "10.0.0.1/8", says="no address and no network")
    refused(lab, "zone", "delete", "middle", says="assets are in zone middle")
    refused(lab, "asset", "delete", "jump1", says="jump1")
    refused(lab, "asset", "update", "jump1", "--zone", "middle", says="jump server on the way")
    refused(lab, "asset", "update", "jump1", "--zone", "back", says="jump server on the way")
    refused(lab, "zone", "update", "middle", "--jump", "jump2", "--account", me, says="behind itself")
    lab.ctl("zone", "create", "three", "--jump", "deep", "--account", me)
    lab.ctl("asset", "create", "floor3", "192.0.2.3", "--zone", "three")
    lab.ctl("account", "create", me + "@floor3", "--ca", "demo-ca")
    refused(lab, "zone", "create", "four", "--jump", "floor3", "--account", me, says="more than 3")
    assert [z["name"] for z in lab.ctl("zone", "list")].count("four") == 0
    lab.ctl("asset", "delete", "floor3")
    lab.ctl("zone", "delete", "three")
    lab.ctl("zone", "create", "plain", "--source-address", "127.0.0.0/8", "--remark", "reached directly")
    assert lab.ctl("zone", "show", "plain")["jump"] is None
    lab.ctl("asset", "update", "web1", "--zone", "plain")
    assert lab.ssh("alice@%s@web1" % me, "true", key=lab.info["user_key"]).returncode == 0
    lab.ctl("asset", "update", "web1", "--zone", "")
    lab.ctl("zone", "delete", "plain")


def test_a_department_reaches_nothing_through_the_jump_server_of_another(lab, net):
    lab.ctl("department", "create", "other")
    lab.ctl("user", "create", "chief", "--role", "admin", "--department", "other", "--role-department", "other")
    r = lab.ctl_run("--as", "chief", "asset", "create", "spy", "192.0.2.9", "--department", "other", "--zone", "middle")
    assert r.returncode != 0 and "another department" in r.stderr, r


def test_import_and_export_carry_the_zone(lab, net, tmp_path):
    out = subprocess.run(lab.ctl_argv("export", "assets", "--format", "jsonl"), check=True, capture_output=True, text=True).stdout
    rows = {r["name"]: r for r in map(json.loads, out.splitlines())}
    assert rows["inside"]["zone"] == "middle" and rows["deep"]["zone"] == "back" and not rows["web1"]["zone"]
    f = tmp_path / "assets.csv"
    f.write_text("name,address,port,zone\nz-new,192.0.2.7,22,middle\njump1,%s,%d,back\n" % (rows["jump1"]["address"], lab.targets["jump1"]))
    r = lab.ctl_run("import", "assets", f)
    assert r.returncode == 65 and "jump server on the way to zone back" in r.stderr, r
    f.write_text("name,address,port,zone\nz-new,192.0.2.7,22,middle\n")
    assert lab.ctl_run("import", "assets", f).returncode == 0
    assert lab.ctl("asset", "show", "z-new")["zone"] == "middle"
