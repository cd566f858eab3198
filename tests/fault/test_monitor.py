"""The monitor keeps live connections when the processes around them die. Real monitor and gate, fakes for the rest."""
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
import uuid
from pathlib import Path

import pytest

BUILD = Path(os.environ["SALLYPORT_BUILD"])
DEADLINE = 15.0
CALL_ASK, CALL_REPLY = 0x0034, 0x0035
FAKES = ("vault", "control", "zygote", "scribe", "dialer", "courier", "siem")


def wait_for(what, seconds=DEADLINE):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.01)
    raise AssertionError(f"timed out waiting for {what}")


def field(number, data):
    out = bytes([number << 3 | 2])
    n = len(data)
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n]) + data


def fields(data):
    """A protobuf message as {number: value}, for the few shapes used here."""
    out, i = {}, 0

    def varint():
        nonlocal i
        value, shift = 0, 0
        while True:
            b = data[i]
            i += 1
            value |= (b & 127) << shift
            shift += 7
            if b < 128:
                return value

    while i < len(data):
        key = varint()
        if key & 7 == 0:
            out[key >> 3] = varint()
        else:
            n = varint()
            out[key >> 3] = data[i:i + n]
            i += n
    return out


class House:
    def __init__(self, tmp, **settings):
        self.tmp, self.state, self.run = tmp, tmp / "state", tmp / "run"
        self.libexec = tmp / "libexec"
        self.libexec.mkdir()
        self.state.mkdir()
        (self.state / "hostkeys").mkdir()
        for kind in ("ed25519", "ecdsa", "rsa"):  # made once here, so that no test waits for a prime
            (self.state / "hostkeys" / f"ssh_host_{kind}_key").write_text("fake")
        for name in FAKES:
            shutil.copy(BUILD / "tests/fault/fake-process", self.libexec / f"sallyport-{name}")
        shutil.copy(BUILD / "src/gate/sallyport-gate", self.libexec / "sallyport-gate")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.conf = tmp / "sallyport.conf"
        self.settings = {"listen": f"127.0.0.1:{self.port}", "state_dir": self.state, "run_dir": self.run,
                         "kill_after_ms": 250, "drain": "1s", **settings}
        self.write_conf()
        self.log = tmp / "log"
        self.clients = []
        self.process = None
        self.start()

    def write_conf(self, extra=""):
        self.conf.write_text("".join(f"{k} {v}\n" for k, v in self.settings.items()) + extra)

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([BUILD / "src/monitor/sallyport-monitor", "-f", self.conf, "-l", self.libexec],
                                            stderr=log, stdin=subprocess.DEVNULL)
        wait_for(lambda: "is ready on" in self.log.read_text())

    def stop(self):
        for c in self.clients:
            c.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(DEADLINE)
        for pid in self.left():         # what a test stopped, or took its parent from
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_for(lambda: not self.left())

    def left(self):
        """Processes that run what lies in this house."""
        found = []
        for p in Path("/proc").iterdir():
            try:
                if p.name.isdigit() and Path(os.readlink(p / "exe")).parent == self.libexec:
                    found.append(int(p.name))
            except OSError:
                pass
        return found

    def trace(self, pattern):
        text = (self.state / "trace").read_text() if (self.state / "trace").exists() else ""
        return re.findall("^" + pattern + "$", text, re.M)

    def wait(self, pattern, n=1):
        return wait_for(lambda: len(self.trace(pattern)) >= n and self.trace(pattern))

    def pid(self, name):
        return int(self.trace(rf"{name} (\d+) boot .*")[-1])

    def connect(self):
        """One live connection: (conn id, session pid)."""
        before = len(self.trace(r"control \d+ attach (\S+) pid (\d+) again 0.*"))
        self.clients.append(socket.create_connection(("127.0.0.1", self.port)))
        return self.wait(r"control \d+ attach (\S+) pid (\d+) again 0", before + 1)[-1]

    def order(self, *words):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.connect(str(self.run / "control.sock"))
            s.send(" ".join(words).encode())

    def record(self, conn, user="bob"):
        """A scribe and a label on a connection: the session id."""
        sid = str(uuid.uuid4())
        self.order("spawn", conn, sid)
        self.wait(rf"control \d+ attach-scribe {sid} .*")
        self.order("label", conn, sid, user)
        wait_for(lambda: any(r["id"] == sid for r in self.ask("session.list")[1]))
        return sid

    def ask(self, method, **params):
        """On monitor.sock: (error number, body)."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(DEADLINE)
            s.connect(str(self.run / "monitor.sock"))
            s.send(struct.pack("<HHI", 1, CALL_ASK, 7) + field(1, method.encode()) + field(2, json.dumps(params).encode()))
            rows = []
            while True:
                reply = s.recv(1 << 18)
                proto, ident, corr = struct.unpack("<HHI", reply[:8])
                assert (proto, ident, corr) == (1, CALL_REPLY, 7)
                got = fields(reply[8:])
                body = json.loads(got[2]) if 2 in got else None
                if isinstance(body, list):
                    rows += body
                    body = rows
                if not got.get(3):
                    return got.get(1, 0), body

    def kill(self, name):
        """kill -9 and wait for the next one."""
        n = len(self.trace(rf"{name} \d+ boot .*"))
        os.kill(self.pid(name), signal.SIGKILL)
        self.wait(rf"{name} \d+ boot restarted 1", 1)
        self.wait(rf"{name} \d+ boot .*", n + 1)


def alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def is_closed(s):
    try:
        return s.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@pytest.fixture
def house(tmp_path_factory):
    h = House(tmp_path_factory.mktemp("h"))
    yield h
    h.stop()


def test_connection_reaches_control_and_vault(house):
    conn, pid = house.connect()
    house.wait(rf"vault \d+ peer session {conn}")
    assert alive(int(pid))


def test_sessions_outlive_control_and_are_attached_to_the_next_one(house):
    conns = [house.connect() for _ in range(20)]
    sid = house.record(conns[0][0])
    house.kill("control")
    for conn, pid in conns:
        house.wait(rf"control \d+ attach {conn} pid {pid} again 1")
        house.wait(rf"session {pid} peer control")
        assert alive(int(pid))
    house.wait(rf"control \d+ attach-scribe {sid} pid \d+ again 1")
    house.wait(r"recorder \d+ peer control")
    assert house.trace(r"control \d+ gone .*") == []


def test_sessions_outlive_the_vault(house):
    conn, pid = house.connect()
    house.wait(rf"vault \d+ peer session {conn}")
    house.kill("vault")
    house.wait(rf"vault \d+ peer session {conn}", 2)
    house.wait(rf"session {pid} peer vault")
    assert alive(int(pid))


def test_sessions_outlive_the_zygote_and_their_end_is_still_seen(house):
    conn, pid = house.connect()
    house.kill("zygote")
    assert alive(int(pid))
    os.kill(int(pid), signal.SIGTERM)
    house.wait(rf"control \d+ gone {conn} - status 15 killed 0 .*")


def test_a_connection_made_while_the_zygote_is_away_is_not_lost(house):
    zygote = house.pid("zygote")
    os.kill(zygote, signal.SIGSTOP)
    os.kill(zygote, signal.SIGKILL)
    house.connect()


def test_scribes_outlive_their_parent(house):
    conn, _ = house.connect()
    sid = house.record(conn)
    recorder = int(house.trace(r"recorder (\d+) up")[0])
    house.kill("scribe")
    assert alive(recorder)
    os.kill(recorder, signal.SIGTERM)
    house.wait(rf"control \d+ gone {conn} {sid} status 15 .*")


def test_an_end_while_control_is_away_is_told_to_the_next_one_once(house):
    conn, pid = house.connect()
    house.record(conn)
    control = house.pid("control")
    os.kill(control, signal.SIGSTOP)
    os.kill(int(pid), signal.SIGTERM)
    wait_for(lambda: house.ask("session.list") == (0, []))      # the monitor has seen its end
    os.kill(control, signal.SIGKILL)
    house.wait(rf"control \d+ gone {conn} - status 15 .*")
    other, pid = house.connect()
    os.kill(int(pid), signal.SIGTERM)
    house.wait(rf"control \d+ gone {other} - .*")
    assert len(house.trace(rf"control \d+ gone {conn} - .*")) == 1


def test_kill_reaches_the_session_and_is_told_with_its_reason(house):
    conn, pid = house.connect()
    house.order("kill", conn, "-", "enough")
    house.wait(rf"session {pid} kill - by alice: enough")
    house.wait(rf"control \d+ gone {conn} - status 0 killed 1 by 'alice' reason 'enough'")


def test_a_session_that_ignores_kill_dies_after_the_stated_time(house):
    (house.state / "deaf").touch()
    conn, pid = house.connect()
    sid = house.record(conn)
    at = time.monotonic()
    house.order("kill", conn, sid, "enough")
    house.wait(rf"control \d+ gone {conn} - status 9 killed 1 by 'alice' reason 'enough'")
    assert time.monotonic() - at > 0.2
    house.wait(rf"recorder \d+ kill {sid} by alice: enough")
    house.wait(rf"control \d+ gone {conn} {sid} status 0 killed 1 by 'alice' reason 'enough'")


def test_list_and_kill_work_through_the_monitor_while_control_is_stopped(house):
    conn, pid = house.connect()
    sid = house.record(conn, "carol")
    control = house.pid("control")
    os.kill(control, signal.SIGSTOP)
    try:
        err, rows = house.ask("session.list")
        assert err == 0
        assert [r["id"] for r in rows] == [sid]
        row = rows[0]
        assert (row["state"], row["user"], row["asset"], row["account"], row["protocol"], row["source"]) == \
            ("live", "carol", "db1", "root", "shell", "192.0.2.1")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", row["started"])
        assert house.ask("session.kill", id=sid, reason="no control") == (0, {})
        wait_for(lambda: not alive(int(pid)))
    finally:
        os.kill(control, signal.SIGCONT)
    house.wait(rf"control \d+ gone {conn} {sid} .* killed 1 by '\S+' reason 'no control'")


def test_the_monitors_socket_refuses_what_it_does_not_know(house):
    assert house.ask("session.kill", id=str(uuid.uuid4()))[0] != 0
    assert house.ask("session.kill", id="x")[0] != 0
    assert house.ask("user.list")[0] != 0
    assert house.ask("session.list") == (0, [])


def test_a_long_list_comes_whole_and_newest_first(house):
    conn, _ = house.connect()
    sids = [str(uuid.uuid4()) for _ in range(150)]
    for sid in sids:
        house.order("label", conn, sid, "u")
    rows = wait_for(lambda: len(house.ask("session.list")[1]) == 150 and house.ask("session.list")[1])
    assert sorted(r["id"] for r in rows) == sorted(sids)
    started = [r["started"] for r in rows]
    assert started == sorted(started, reverse=True)


def test_a_process_that_lies_is_killed_and_started_again(house):
    conn, pid = house.connect()
    house.order("lie")
    house.wait(r"control \d+ boot restarted 1")
    house.wait(rf"control \d+ attach {conn} pid {pid} again 1")
    assert "bad message DIED" in house.log.read_text()


def test_a_zygote_that_names_another_process_as_its_child_is_not_believed(house):
    (house.state / "lie").touch()
    house.clients.append(socket.create_connection(("127.0.0.1", house.port)))
    wait_for(lambda: "zygote sent a false BORN" in house.log.read_text())
    house.wait(r"zygote \d+ boot restarted 1")
    (house.state / "lie").unlink()
    house.connect()
    assert house.process.poll() is None


def test_a_session_that_writes_on_its_one_way_channel_is_killed(house):
    (house.state / "chatty").touch()
    conn, pid = house.connect()
    house.wait(rf"control \d+ gone {conn} - status 9 killed 0 .*")
    assert f"session {pid} wrote CALL_ASK on its one-way channel: killed" in house.log.read_text()


def test_an_inner_connection_is_born_like_every_other(house):
    conn, _ = house.connect()
    house.order("inner", conn)
    house.wait(r"zygote \d+ conn \S+ 192.0.2.9 inner")
    house.wait(r"control \d+ attach \S+ pid \d+ again 0 inner")


def test_a_refused_source_is_closed_without_a_byte_until_its_time_is_over(house):
    house.connect()
    house.order("penalty", "127.0.0.1")
    wait_for(lambda: "source 127.0.0.1 is refused for 2 s: test" in house.log.read_text())
    with socket.create_connection(("127.0.0.1", house.port)) as s:
        s.settimeout(DEADLINE)
        assert s.recv(1) == b""
    assert len(house.trace(r"zygote \d+ conn .*")) == 1

    def served():
        house.clients.append(socket.create_connection(("127.0.0.1", house.port)))
        wait_for(lambda: is_closed(house.clients[-1]) or len(house.trace(r"zygote \d+ conn .*")) == 2)
        return len(house.trace(r"zygote \d+ conn .*")) == 2
    wait_for(served)


def test_a_burst_of_one_source_is_held_to_the_rate(tmp_path_factory):
    h = House(tmp_path_factory.mktemp("h"), accept_rate=1, accept_burst=5)
    try:
        for _ in range(30):
            h.clients.append(socket.create_connection(("127.0.0.1", h.port)))
        h.wait(r"zygote \d+ conn .*", 5)
        wait_for(lambda: sum(is_closed(c) for c in h.clients) >= 30 - 5 - 3)
        assert 5 <= len(h.trace(r"zygote \d+ conn .*")) <= 8
    finally:
        h.stop()


def test_a_bad_configuration_is_refused_and_the_old_one_stays(house):
    house.write_conf("login_grace never\n")
    house.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "the old one stays" in house.log.read_text())
    assert re.search(rf"{re.escape(str(house.conf))}:\d+:", house.log.read_text())
    assert house.trace(r"control \d+ reload .*") == []
    house.connect()


def test_a_good_configuration_reaches_every_child(house):
    conn, pid = house.connect()
    house.write_conf("bastion_name fortress\n")
    house.process.send_signal(signal.SIGHUP)
    for name in FAKES:
        house.wait(rf"{name} \d+ reload fortress")
    house.wait(r"zygote \d+ boot restarted 1")
    assert alive(int(pid))
    house.connect()


def test_a_zygote_that_hangs_is_replaced_at_reload(house):
    os.kill(house.pid("zygote"), signal.SIGSTOP)
    house.process.send_signal(signal.SIGHUP)
    house.wait(r"zygote \d+ boot restarted 1")
    assert "does not go: killed" in house.log.read_text()
    house.connect()


def test_a_new_listening_address_is_taken_at_reload(house):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        house.port = s.getsockname()[1]
    house.settings["listen"] = f"127.0.0.1:{house.port}"
    house.write_conf()
    house.process.send_signal(signal.SIGHUP)

    def answers():
        try:
            socket.create_connection(("127.0.0.1", house.port), 0.2).close()
            return True
        except OSError:
            return False
    wait_for(answers)


def test_sigterm_lets_connections_end_then_ends_them_with_a_reason(house):
    (_, pid) = house.connect()
    at = time.monotonic()
    house.process.send_signal(signal.SIGTERM)
    wait_for(lambda: "may end within 1 s" in house.log.read_text())
    assert house.process.wait(DEADLINE) == 0
    assert time.monotonic() - at > 0.9
    assert house.trace(rf"session {pid} kill - by system: Sallyport is stopping")
    assert not alive(int(pid))


def test_sigterm_waits_no_longer_than_there_are_connections(house):
    house.settings["drain"] = "600s"
    house.write_conf()
    house.process.send_signal(signal.SIGHUP)
    house.wait(r"control \d+ reload .*")
    _, pid = house.connect()
    house.process.send_signal(signal.SIGTERM)
    wait_for(lambda: "may end within 600 s" in house.log.read_text())
    assert alive(int(pid))
    os.kill(int(pid), signal.SIGTERM)
    assert house.process.wait(DEADLINE) == 0       # long before 600 s


def test_sigterm_twice_ends_at_once(house):
    house.settings["drain"] = "600s"
    house.write_conf()
    house.process.send_signal(signal.SIGHUP)
    house.wait(r"control \d+ reload .*")
    house.connect()
    house.process.send_signal(signal.SIGTERM)
    wait_for(lambda: "may end within 600 s" in house.log.read_text())
    house.process.send_signal(signal.SIGTERM)
    assert house.process.wait(DEADLINE) == 0


def test_a_child_that_keeps_dying_is_started_again_with_growing_pauses(house):
    (house.libexec / "sallyport-courier").unlink()
    (house.libexec / "sallyport-courier").write_text("#!/bin/sh\ndate +%s%N >> $(dirname $0)/starts\nexit 1\n")
    (house.libexec / "sallyport-courier").chmod(0o755)
    os.kill(house.pid("courier"), signal.SIGKILL)
    starts = house.libexec / "starts"
    wait_for(lambda: starts.exists() and len(starts.read_text().splitlines()) >= 5)
    at = [int(x) / 1e9 for x in starts.read_text().splitlines()]
    pauses = [b - a for a, b in zip(at, at[1:])]
    assert pauses[3] > 0.35 and pauses[2] > 0.15, pauses  # 0.1, 0.2, 0.4 s ...: at least
    house.connect()


def test_check_only_names_file_and_line(tmp_path):
    conf = tmp_path / "bad.conf"
    conf.write_text("log_level info\nlisten nonsense\n")
    got = subprocess.run([BUILD / "src/monitor/sallyport-monitor", "-t", "-f", conf], capture_output=True, text=True)
    assert got.returncode == 78
    assert str(conf) in got.stderr and "listen" in got.stderr
    conf.write_text("log_level info\nno_such_key 1\n")
    got = subprocess.run([BUILD / "src/monitor/sallyport-monitor", "-t", "-f", conf], capture_output=True, text=True)
    assert got.returncode == 78 and f"{conf}:2:" in got.stderr
