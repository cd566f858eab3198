"""The copy of the audit log: collectors of several kinds get every entry, in order, also after they were away."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading

import pytest

import lab as L
from collector import Collector, take

TCP, TLS, TLS_WRONG, TLS_MUTUAL, AWAY = (L.free_port() for _ in range(5))
UDP = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)      # bound for good: it is listening before anybody sends
UDP.bind(("127.0.0.1", 0))


def big_buffer(s):
    """A loaded machine may not come to read for a while, and a datagram that finds no room is lost."""
    try:
        s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)        # SO_RCVBUFFORCE
    except PermissionError:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)


big_buffer(UDP)
CONFIG = {"syslog": ["tcp://127.0.0.1:%d" % TCP, "tls://127.0.0.1:%d" % TLS, "tls://127.0.0.1:%d" % TLS_WRONG,
                     "tls://127.0.0.1:%d" % TLS_MUTUAL],
          "syslog_late": "3s", "SYSLOG_ENABLE": "true", "SYSLOG_ADDR": "127.0.0.1:%d" % UDP.getsockname()[1],
          "SYSLOG_FACILITY": "local0"}
# As the parsers in the field have it.
JUMPSERVER = re.compile(r"^<(\d+)>jumpserver: (\w+) - (\{.*\})\x00?$", re.S)
KEYS = {
    "login_log": "backend backend_display city datetime id ip mfa reason reason_display status type user_agent username",
    "operation_log": "action datetime diff id org_id org_name remote_addr resource resource_type user",
    "password_change_log": "change_by datetime id remote_addr user",
    "host_session_log": "account account_id asset asset_id can_join can_replay can_terminate command_amount comment date_end "
                        "date_start duration error_reason has_command has_replay id is_finished is_locked is_success login_from "
                        "org_id org_name protocol remote_addr replay_size terminal terminal_display type user user_id",
    "session_command_log": "account asset id input org_id output remote_addr risk_level session timestamp timestamp_display user",
}


class Datagrams(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.got = []

    def run(self):
        while True:
            self.got.append(UDP.recv(65536))

    def records(self):
        out = []
        for d in list(self.got):
            m = JUMPSERVER.match(d.decode())
            assert m and d.endswith(b"\0") and len(d) <= 2048, d
            out.append((int(m[1]), m[2], m[3], json.loads(m[3])))
        return out

    def of(self, category, **want):
        return [r for _, c, _, r in self.records() if c == category and all(r[k] == v for k, v in want.items())]


@pytest.fixture(scope="module")
def datagrams():
    d = Datagrams()
    d.start()
    return d


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    with Collector(tmp_path_factory.mktemp("collector"), TCP) as c:
        yield c


@pytest.fixture(scope="module", autouse=True)
def all_there(datagrams, collector, lab):
    """Collectors first: the log is copied from its first entry on."""


def copies(lab):
    return {c["collector"]: c for c in lab.ctl("status")["copies"]}


def log(lab):
    return list(reversed(lab.ctl("audit", "list", "--limit", "10000")))


def first_seen(seqs):
    return list(dict.fromkeys(seqs))


def wait_caught_up(lab, collector):
    """Every entry that is there now has arrived."""
    head = log(lab)[-1]["seq"]
    L.wait_for("entry %d" % head, lambda: max((r[2] for r in collector.records()), default=0) >= head, 40)
    return head


def test_a_collector_over_tcp_gets_the_same_entries_in_order(lab, me, collector):
    assert me.ssh("echo over").stdout == "over\n"
    me.ssh("true", login="nobody@nowhere")
    head = wait_caught_up(lab, collector)
    got = collector.records()
    assert first_seen(r[2] for r in got)[:head] == list(range(1, head + 1))
    mine = {e["seq"]: e for e in log(lab)}
    for pri, msgid, seq, entry in got:
        if seq <= head:
            assert entry == mine[seq] and msgid == entry["kind"]
            # authpriv; the severity is that of the result
            assert pri == 80 + {"ok": 6, "refused": 4, "failed": 3}[entry["result"]]


def test_a_collector_that_is_killed_in_the_middle_gets_everything_in_order(lab, me, collector):
    wait_caught_up(lab, collector)
    stop = threading.Event()

    def write():
        n = 0
        while not stop.is_set():
            lab.ctl("settings", "set", "load", str(n))
            n += 1
    t = threading.Thread(target=write)
    t.start()
    try:
        for i in range(2):
            n = len(collector.records())
            L.wait_for("records in the middle", lambda: len(collector.records()) > n + 5, 40)
            collector.stop(signal.SIGKILL)
            # Away while more is written: it is said, and nothing waits for it.
            name = "tcp://127.0.0.1:%d" % TCP
            L.wait_for("away", lambda: copies(lab)[name]["state"] == "away" and copies(lab)[name]["behind"] > 3, 40)
            if i == 0:
                L.wait_for("the alarm", lambda: any(e["kind"] == "copy.late" and e["more"]["collector"] == name for e in log(lab)), 40)
            assert me.ssh("echo on").stdout == "on\n"
            collector.start()
    finally:
        stop.set()
        t.join()
    head = wait_caught_up(lab, collector)
    assert first_seen(r[2] for r in collector.records())[:head] == list(range(1, head + 1))
    L.wait_for("up to date", lambda: copies(lab)[name]["state"] == "up to date", 40)
    # An alarm, and its end.
    def said():
        return [e["kind"] for e in log(lab) if e["kind"].startswith("copy.") and e["more"]["collector"] == name]
    L.wait_for("late, and caught up", lambda: len(said()) > 1 and said()[-1] == "copy.caught_up", 40)
    assert said() == ["copy.late", "copy.caught_up"] * (len(said()) // 2)


def test_a_collector_that_stays_away_is_an_alarm_and_a_finding_of_doctor(lab):
    name = "tls://127.0.0.1:%d" % TLS_WRONG
    late = L.wait_for("the alarm", lambda: [e for e in log(lab) if e["kind"] == "copy.late" and e["more"]["collector"] == name], 40)
    assert name in late[0]["text"]
    row = next(c for c in json.loads(lab.ctl_run("--json", "doctor").stdout) if c["check"] == "copy to " + name)
    assert not row["ok"] and "away" in row["text"] and "entries behind" in row["text"]


def test_a_collector_that_takes_nothing_slows_nobody_and_is_an_alarm(lab, me):
    """It accepts and does not read: its window is closed, and what it has not received is not confirmed."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.bind(("127.0.0.1", 0))
        s.listen(4)
        name = "tcp://127.0.0.1:%d" % s.getsockname()[1]
        lab.write_config(syslog=[*CONFIG["syslog"], name])
        os.kill(monitor_of(lab), signal.SIGHUP)
        c, _ = s.accept()
        late = L.wait_for("the alarm", lambda: [e for e in log(lab) if e["kind"] == "copy.late" and e["more"]["collector"] == name], 40)
        assert "takes nothing" in late[0]["text"] and copies(lab)[name]["state"] == "sending"
        assert name + " sending (" in lab.ctl_run("status").stdout
        assert me.ssh("echo on").stdout == "on\n"
        got = []

        def read():
            while data := c.recv(65536):
                got.append(data)
        t = threading.Thread(target=read, daemon=True)
        t.start()
        L.wait_for("caught up", lambda: any(e["kind"] == "copy.caught_up" and e["more"]["collector"] == name for e in log(lab)), 40)
        lab.write_config(syslog=CONFIG["syslog"])
        os.kill(monitor_of(lab), signal.SIGHUP)
        t.join(40)
        assert not t.is_alive()         # it is not in the configuration any more: its connection ended
        c.close()
    records, rest = take(b"".join(got))
    seqs = [int(re.search(rb'sequenceId="(\d+)"', r)[1]) for r in records]
    assert seqs == list(range(1, len(seqs) + 1)) and rest == b""


def test_a_courier_that_is_killed_goes_on_from_its_place(lab, me, collector):
    head = wait_caught_up(lab, collector)
    name = "tcp://127.0.0.1:%d" % TCP
    L.wait_for("confirmed", lambda: copies(lab)[name]["confirmed"] >= head, 40)
    L.wait_for("the place on disk", lambda: any(int(f.read_text().split()[0]) >= head for f in (lab.data / "state/outbox").glob("cursor-*")
                                               if not f.name.endswith(".new") and name + "\n" in f.read_text()), 20)
    before = len(collector.records())
    pid = next(int(p) for p in os.listdir("/proc") if p.isdigit() and is_courier_of(lab, int(p)))
    os.kill(pid, signal.SIGKILL)
    lab.ctl("settings", "set", "load", "after the courier")
    last = wait_caught_up(lab, collector)
    new = [r[2] for r in collector.records()[before:]]
    assert new[0] > head - 20 and first_seen(r[2] for r in collector.records())[:last] == list(range(1, last + 1))


def is_courier_of(lab, pid):
    try:
        with open("/proc/%d/cmdline" % pid) as f, open("/proc/%d/stat" % pid) as s:
            return "sallyport-courier" in f.read() and int(s.read().rsplit(")", 1)[1].split()[1]) == monitor_of(lab)
    except OSError:
        return False


def monitor_of(lab):
    """The monitor may run below a wrapper: the parent of what is called sallyport-courier is the one of our socket's folder."""
    for p in os.listdir("/proc"):
        if p.isdigit():
            try:
                with open("/proc/%s/cmdline" % p) as f:
                    words = f.read().split("\0")
            except OSError:
                continue
            if words[0].endswith("sallyport-monitor") and str(lab.conf) in words:
                return int(p)
    return 0


# -- JumpServer's form

def test_parsers_for_jumpserver_read_its_six_categories_unchanged(lab, me, datagrams):
    lab.ctl("user", "create", "bob", "--full-name", "张三")
    secret = lab.dir / "secret"
    secret.write_text("another long 2 passphrase\n")
    lab.ctl("user", "password", "bob", "--password-file", secret)
    assert me.ssh("echo in the copy").stdout == "in the copy\n"
    me.ssh("true", login="mallory@web1")
    L.wait_for("the command", lambda: datagrams.of("session_command_log", input="echo in the copy"), 40)
    L.wait_for("the end", lambda: datagrams.of("host_session_log", is_finished=True), 40)
    L.wait_for("the refusal", lambda: [r for r in datagrams.of("login_log") if not r["status"]["value"]], 40)
    L.wait_for("the password", lambda: datagrams.of("password_change_log"), 40)
    for pri, category, text, r in datagrams.records():
        assert pri == 16 * 8 + 6
        assert sorted(r) == sorted(KEYS[category].split()), category
        # One line, keys sorted, ", " and ": ", UTF-8 as it is: the bytes that Python's json.dumps makes.
        assert text == json.dumps(r, sort_keys=True, ensure_ascii=False)
    command = datagrams.of("session_command_log", input="echo in the copy")[0]
    L.wait_for("its end", lambda: datagrams.of("host_session_log", id=command["session"], is_finished=True), 40)
    sessions = datagrams.of("host_session_log", id=command["session"])
    assert [s["is_finished"] for s in sessions] == [False, True]
    assert {s["user"] for s in sessions} == {"Alice(alice)"} and {s["asset"] for s in sessions} == {"web1(127.0.0.1)"}
    assert sessions[1]["type"] == {"value": "command", "label": "Command"} and sessions[1]["date_end"] is not None
    assert command["user"] == "Alice(alice)" and command["risk_level"] == {"value": 0, "label": "Accept"}
    assert re.match(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \+0000$", command["timestamp_display"])
    ok = [r for r in datagrams.of("login_log") if r["status"] == {"value": True, "label": "Success"}]
    assert ok[0]["username"] == "Alice(alice)" and ok[0]["backend"] == "SSH Key" and ok[0]["type"] == {"value": "T", "label": "Terminal"}
    made = datagrams.of("operation_log", resource="bob", resource_type="User")[0]
    assert made["action"] == {"value": "create", "label": "Create"}
    assert any(r["user"] == "张三(bob)" for r in datagrams.of("password_change_log"))
    assert len({json.dumps(r, sort_keys=True) for _, c, _, r in datagrams.records() if c == "login_log"}) == len(
        {r["id"] for _, c, _, r in datagrams.records() if c == "login_log"})


def test_a_datagram_that_would_be_too_long_is_shortened_and_says_so(lab, me, datagrams):
    long = "true " + "数据" * 2000
    me.ssh(long)
    got = L.wait_for("the long one", lambda: [r for r in datagrams.of("session_command_log") if r["input"].startswith("true 数据")], 40)
    assert re.search(r"数据\.\.\.\[shortened from %d bytes\]$" % len(long.encode()), got[0]["input"])


def test_a_collector_that_is_added_by_a_reload_waits_for_its_socket_and_gets_it_all_over_udp(lab):
    name = "udp://127.0.0.1:%d" % AWAY
    lab.write_config(syslog=[*CONFIG["syslog"], name])
    os.kill(monitor_of(lab), signal.SIGHUP)
    # Nobody listens: an ICMP error says so, and nothing is taken for delivered.
    L.wait_for("away", lambda: copies(lab).get(name, {}).get("state") == "away", 40)
    assert copies(lab)[name]["confirmed"] == 0
    got = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        big_buffer(s)
        s.bind(("127.0.0.1", AWAY))
        s.settimeout(1)

        def caught_up():
            try:
                while True:
                    d = s.recv(65536)
                    assert len(d) <= 2048
                    got.append(json.loads(d[d.index(b"{"):]))
            except TimeoutError:
                return copies(lab)[name]["state"] == "up to date"
        L.wait_for("all of it", caught_up, 60)
    seqs = first_seen(e["seq"] for e in got)
    assert seqs == list(range(1, len(seqs) + 1)) and len(seqs) >= copies(lab)[name]["confirmed"]


# -- TLS, into a real rsyslogd

def openssl(*args, cwd):
    subprocess.run(["openssl", *args], cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="module")
def rsyslog(lab, tmp_path_factory):
    d = tmp_path_factory.mktemp("rsyslog")
    openssl("req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=CA", "-days", "2", cwd=d)
    for name, san in (("right", "IP:127.0.0.1"), ("wrong", "DNS:elsewhere.example.org"), ("mutual", "IP:127.0.0.1"), ("ours", "DNS:bastion")):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/CN=" + name, cwd=d)
        (d / (name + ".ext")).write_text("subjectAltName=" + san + "\n")
        openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile",
                name + ".ext", "-out", name + ".pem", cwd=d)
    ca = lab.data / "collector-ca.pem"      # where the courier may read it
    shutil.copy(d / "ca.pem", ca)
    ca.chmod(0o644)
    lab.write_config(syslog_ca=ca)
    own = d / "rsyslogd"                    # a copy: a profile of the system for the installed one does not know these folders
    shutil.copy(shutil.which("rsyslogd") or "/usr/sbin/rsyslogd", own)
    procs = []
    for name, port in (("right", TLS), ("wrong", TLS_WRONG), ("mutual", TLS_MUTUAL)):
        (d / (name + ".conf")).write_text("""
global(workDirectory="%(d)s" maxMessageSize="64k" defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="%(d)s/ca.pem"
  defaultNetstreamDriverCertFile="%(d)s/%(n)s.pem" defaultNetstreamDriverKeyFile="%(d)s/%(n)s.key")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="%(a)s")
template(name="json" type="string" string="%%msg%%\\n")
input(type="imtcp" address="127.0.0.1" port="%(p)d")
action(type="omfile" file="%(d)s/%(n)s.out" template="json" asyncWriting="off")
""" % {"d": d, "n": name, "p": port, "a": "x509/certvalid" if name == "mutual" else "anon"})
        procs.append(subprocess.Popen([str(own), "-n", "-f", str(d / (name + ".conf")), "-i", str(d / (name + ".pid"))],
                                      stdout=subprocess.DEVNULL, stderr=open(d / (name + ".err"), "w")))
        L.wait_for("rsyslogd", lambda port=port: L.port_open(port))
    # syslog_ca is outside what the first courier was allowed to read: a new one is.
    lab.stop("sallyport")
    lab.start()
    yield d
    for p in procs:
        p.terminate()
        p.wait(20)


def test_rsyslog_gets_every_entry_over_tls(lab, rsyslog):
    head = log(lab)[-1]["seq"]

    def seqs():
        f = rsyslog / "right.out"
        return [json.loads(x)["seq"] for x in f.read_text().split("\n")[:-1]] if f.exists() else []
    L.wait_for("entry %d" % head, lambda: head in seqs(), 40)
    assert first_seen(seqs())[:head] == list(range(1, head + 1))
    L.wait_for("confirmed", lambda: copies(lab)["tls://127.0.0.1:%d" % TLS]["confirmed"] >= head, 40)


def test_a_collector_with_a_certificate_for_another_name_gets_nothing(lab, rsyslog):
    name = "tls://127.0.0.1:%d" % TLS_WRONG
    L.wait_for("why", lambda: "certificate is not accepted" in copies(lab)[name]["text"], 60)
    assert copies(lab)[name]["state"] == "away" and not (rsyslog / "wrong.out").exists()


def test_a_collector_that_wants_our_certificate_gets_it(lab, rsyslog):
    name = "tls://127.0.0.1:%d" % TLS_MUTUAL
    L.wait_for("why", lambda: copies(lab)[name]["state"] == "away" and copies(lab)[name]["text"], 60)
    assert not (rsyslog / "mutual.out").exists()
    cert, key = lab.data / "ours.pem", lab.data / "ours.key"
    for f in (cert, key):
        shutil.copy(rsyslog / f.name, f)
        f.chmod(0o400)
        os.chown(f, (lab.data / "state" / "outbox").stat().st_uid, -1)
    lab.write_config(syslog_cert=cert)
    os.kill(lab.monitor_pid(), signal.SIGHUP)
    L.wait_for("both or none", lambda: "syslog_key is missing" in lab.log("sallyport"))
    lab.write_config(syslog_cert=cert, syslog_key=key)
    lab.stop("sallyport")
    lab.start()
    head = log(lab)[-1]["seq"]
    L.wait_for("entry %d" % head, lambda: head in [json.loads(x)["seq"] for x in (rsyslog / "mutual.out").read_text().split("\n")[:-1]], 60)
    L.wait_for("confirmed", lambda: copies(lab)[name]["confirmed"] >= head, 40)
