"""SIGUSR2 among fakes: what a monitor hands to its successor; and what the service manager is told."""
import os
import signal
import socket
import time

import pytest

from test_monitor import DEADLINE, House, alive, wait_for


@pytest.fixture
def house(tmp_path_factory):
    h = House(tmp_path_factory.mktemp("h"))
    yield h
    h.stop()


def upgrade(house, wait=True):
    n = house.log.read_text().count("is done:")
    house.process.send_signal(signal.SIGUSR2)
    if wait:
        wait_for(lambda: house.log.read_text().count("is done:") == n + 1)


def test_everybody_is_replaced_and_connections_are_attached_again(house):
    conns = [house.connect() for _ in range(20)]
    sid = house.record(conns[0][0])
    pids = {name: house.pid(name) for name in ("vault", "control", "zygote", "scribe", "dialer", "courier", "siem")}
    upgrade(house)
    for name, pid in pids.items():
        assert house.pid(name) != pid and not alive(pid), name
    for conn, pid in conns:
        house.wait(rf"control \d+ attach {conn} pid {pid} again 1")
        house.wait(rf"vault {house.pid('vault')} peer session {conn}")
        house.wait(rf"session {pid} peer control")
        assert alive(int(pid))
    house.wait(rf"control {house.pid('control')} attach-scribe {sid} pid \d+ again 1")
    assert [r["id"] for r in house.ask("session.list")[1]] == [sid]
    assert house.trace(r"control \d+ gone .*") == []
    house.connect()
    assert house.process.poll() is None and "died" not in house.log.read_text()


def test_a_connection_made_in_the_middle_waits_and_is_served(house):
    for _ in range(5):
        upgrade(house, wait=False)
        wait_for(lambda: "takes over" in house.log.read_text().rsplit("is done:", 1)[-1])
        house.connect()
        wait_for(lambda: "takes over" not in house.log.read_text().rsplit("is done:", 1)[-1])


def test_an_end_in_the_middle_is_told_once(house):
    conns = [house.connect() for _ in range(10)]
    upgrade(house, wait=False)
    for conn, pid in conns:
        os.kill(int(pid), signal.SIGKILL)
    for conn, pid in conns:
        house.wait(rf"control \d+ gone {conn} \S+ .*")
    wait_for(lambda: "is done:" in house.log.read_text())
    upgrade(house)
    for conn, pid in conns:
        told = house.trace(rf"control (\d+) gone {conn} \S+ status 9 killed 0 .*")
        assert told and len(set(told)) == len(told), "at most once to each control: what it had may have died unread"


def test_a_kill_under_way_is_still_made_good(tmp_path_factory):
    house = House(tmp_path_factory.mktemp("k"), kill_after_ms=3000)
    try:
        conn, pid = house.connect()
        sid = house.record(conn)
        os.kill(int(pid), signal.SIGSTOP)
        assert house.ask("session.kill", id=sid, reason="enough")[0] == 0
        at = time.monotonic()
        upgrade(house, wait=False)
        wait_for(lambda: "takes over" in house.log.read_text() or not alive(int(pid)))
        assert alive(int(pid)), "the successor is there and the kill is not made yet"
        wait_for(lambda: not alive(int(pid)))
        assert time.monotonic() - at > 2.5
        house.wait(rf"control \d+ gone {conn} \S+ status 9 killed 1 by 'root' reason 'enough'")
    finally:
        house.stop()


def test_a_child_that_was_away_is_started_by_the_successor(house):
    (house.libexec / "sallyport-dialer").rename(house.tmp / "dialer")
    os.kill(house.pid("dialer"), signal.SIGKILL)
    wait_for(lambda: "no such executable" in house.log.read_text())
    house.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: "takes over" in house.log.read_text())
    (house.tmp / "dialer").rename(house.libexec / "sallyport-dialer")
    wait_for(lambda: "is done:" in house.log.read_text())
    wait_for(lambda: alive(house.pid("dialer")))


def test_what_does_not_start_holds_nothing_up_for_ever(house):
    conn, pid = house.connect()
    courier = house.libexec / "sallyport-courier"
    good = courier.read_bytes()
    courier.unlink()
    courier.write_text("not a program\n")
    courier.chmod(0o755)
    house.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: "courier does not get ready" in house.log.read_text(), 30)
    wait_for(lambda: "is done:" in house.log.read_text())
    house.connect()
    assert alive(int(pid))
    courier.unlink()
    courier.write_bytes(good)
    courier.chmod(0o755)
    wait_for(lambda: alive(house.pid("courier")))


def test_the_configuration_in_force_goes_over_not_a_bad_file(house):
    house.write_conf("no_such_setting 1\n")
    upgrade(house)
    house.connect()
    assert house.process.poll() is None


class Manager:
    """The service manager's end of the notification protocol."""

    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.s.settimeout(DEADLINE)
        self.s.bind(path)

    def next(self):
        return dict(line.split("=", 1) for line in self.s.recv(4096).decode().splitlines())


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_is_told(tmp_path_factory, monkeypatch, abstract):
    tmp = tmp_path_factory.mktemp("n")
    path = "@sallyport-test-%d" % os.getpid() if abstract else str(tmp / "notify")
    manager = Manager("\0" + path[1:] if abstract else path)
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    house = House(tmp)
    try:
        got = manager.next()
        assert got["READY"] == "1" and got["MAINPID"] == str(house.process.pid)
        for sig in (signal.SIGHUP, signal.SIGUSR2):
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            house.process.send_signal(sig)
            got = manager.next()
            assert got["RELOADING"] == "1"
            assert before <= int(got["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            got = manager.next()
            assert got["READY"] == "1" and got["MAINPID"] == str(house.process.pid)
        house.process.send_signal(signal.SIGTERM)
        assert manager.next()["STOPPING"] == "1"
        house.process.wait(DEADLINE)
    finally:
        house.stop()
        manager.s.close()
