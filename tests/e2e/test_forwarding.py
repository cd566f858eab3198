"""Forwards go where a grant says, and nowhere else."""
import contextlib
import socket
import subprocess
import threading

import pytest

import lab as L


@contextlib.contextmanager
def echo_server():
    s = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                c, _ = s.accept()
                threading.Thread(target=pump, args=(c,), daemon=True).start()

    def pump(c):
        with c, contextlib.suppress(OSError):
            while d := c.recv(65536):
                c.sendall(d)
    threading.Thread(target=serve, daemon=True).start()
    try:
        yield s.getsockname()[1]
    finally:
        s.close()


@contextlib.contextmanager
def tunnel(lab, login, key, *options):
    p = subprocess.Popen(lab.ssh_argv(login, "-N", key=key, options=[*options, "-o", "ExitOnForwardFailure=yes"]), stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield p
    finally:
        p.terminate()
        p.communicate()


def talk(port, data=b"x" * 200_000):
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.settimeout(10)
        threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)), daemon=True).start()
        got = b""
        with contextlib.suppress(OSError):
            while d := s.recv(65536):
                got += d
        return got


def test_a_local_forward_to_a_granted_address_carries_bytes_both_ways(lab, me):
    port = L.free_port()
    with echo_server() as far, tunnel(lab, me.to0, me.key, "-L", "127.0.0.1:%d:127.0.0.1:%d" % (port, far)):
        L.wait_for("the forward", lambda: L.port_open(port))
        assert talk(port) == b"x" * 200_000


def test_a_dynamic_forward_reaches_the_same_destinations(lab, me):
    port = L.free_port()
    with echo_server() as far, tunnel(lab, me.to0, me.key, "-D", "127.0.0.1:%d" % port):
        L.wait_for("the proxy", lambda: L.port_open(port))
        with socket.create_connection(("127.0.0.1", port), 10) as s:
            s.settimeout(10)
            s.sendall(b"\x05\x01\x00")
            assert s.recv(2) == b"\x05\x00"
            s.sendall(b"\x05\x01\x00\x01" + socket.inet_aton("127.0.0.1") + far.to_bytes(2, "big"))
            assert s.recv(10)[1] == 0
            s.sendall(b"hello")
            assert s.recv(100) == b"hello"


def test_a_remote_forward_listens_at_the_target_and_comes_back(lab, me):
    port = L.free_port()
    with echo_server() as near, tunnel(lab, me.to0, me.key, "-R", "127.0.0.1:%d:127.0.0.1:%d" % (port, near)):
        L.wait_for("the target listens", lambda: L.port_open(port))
        assert talk(port, b"back" * 1000) == b"back" * 1000


def test_without_a_destination_in_the_grant_loopback_is_refused(lab, me):
    if not L.ROOT:
        pytest.skip("the second target has the same grant shape only as root")
    port = L.free_port()
    with echo_server() as far, tunnel(lab, me.to1, me.key, "-L", "127.0.0.1:%d:127.0.0.1:%d" % (port, far)):
        L.wait_for("the forward", lambda: L.port_open(port))
        assert talk(port, b"nothing") == b""


@pytest.mark.parametrize("host", ["169.254.169.254", "0.0.0.0", "[::1]", "localhost", "127.1", "2130706433"])
def test_other_spellings_of_forbidden_addresses_are_refused(lab, me, host):
    if not L.ROOT:
        pytest.skip("needs the target without destinations")
    port = L.free_port()
    with echo_server() as far, tunnel(lab, me.to1, me.key, "-L", "127.0.0.1:%d:%s:%d" % (port, host, far)):
        L.wait_for("the forward", lambda: L.port_open(port))
        assert talk(port, b"nothing") == b""


def test_our_own_ports_are_never_a_destination(lab, me):
    port = L.free_port()
    with tunnel(lab, me.to0, me.key, "-L", "127.0.0.1:%d:127.0.0.1:%d" % (port, lab.port)):
        L.wait_for("the forward", lambda: L.port_open(port))
        assert not talk(port, b"SSH-2.0-x\r\n").startswith(b"SSH-")


def test_a_forward_to_an_ssh_server_is_closed(lab, me):
    port = L.free_port()
    with tunnel(lab, me.to0, me.key, "-L", "127.0.0.1:%d:127.0.0.1:%d" % (port, lab.targets["web1"])):
        L.wait_for("the forward", lambda: L.port_open(port))
        assert talk(port, b"SSH-2.0-x\r\n") == b""


def test_x11_agent_and_tun_are_refused_without_a_grant(lab, me):
    r = me.ssh("echo ${SSH_AUTH_SOCK:-none} ${DISPLAY:-none}", options=["-A"])
    assert r.stdout == "none none\n"
    r = me.ssh("echo ok", options=["-w", "0:0"])
    assert r.returncode != 0 or r.stdout == "ok\n"


def test_a_jump_that_is_not_an_asset_is_refused(lab, me):
    r = lab.ssh("alice", "-W", "127.0.0.1:%d" % lab.targets["web1"], key=me.key, stdin="")
    assert "SSH-2.0-OpenSSH" not in r.stdout
    r = lab.ssh("alice", "-W", "127.0.0.1:%d" % lab.port, key=me.key, stdin="")
    assert not r.stdout.startswith("SSH-")


def test_the_vscode_pattern_works_on_one_connection(lab, me, tmp_path):
    import os
    sock = "/tmp/sp-vs-%d" % os.getpid()
    port = L.free_port()
    with echo_server() as far:
        m = subprocess.Popen(lab.ssh_argv(me.to0, "-N", key=me.key, options=["-M", "-S", sock, "-D", "127.0.0.1:%d" % port]), stdin=subprocess.DEVNULL)
        try:
            L.wait_for("the master", lambda: os.path.exists(sock))
            r = me.ssh("bash", options=["-S", sock, "-T"], stdin="echo server; uname -s\n")
            assert "server\nLinux\n" in r.stdout
            f = tmp_path / "f"
            f.write_bytes(os.urandom(500_000))
            r = subprocess.run(["sftp", "-q", "-b", "-", "-o", "ControlPath=" + sock, *lab.ssh_options(me.key), "-P", str(lab.port), "-o",
                                "User=" + me.to0, "127.0.0.1"], input="put %s vs.bin\nrm vs.bin\n" % f, text=True, capture_output=True, timeout=60)
            assert r.returncode == 0, r
            with socket.create_connection(("127.0.0.1", port), 10) as s:
                s.settimeout(10)
                s.sendall(b"\x05\x01\x00")
                s.recv(2)
                s.sendall(b"\x05\x01\x00\x01" + socket.inet_aton("127.0.0.1") + far.to_bytes(2, "big"))
                assert s.recv(10)[1] == 0
        finally:
            m.terminate()
            m.wait()
