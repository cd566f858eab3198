"""What an administrator saves is in force in the sessions that live; what one user may write to the audit log is bounded."""
import contextlib
import os
import signal
import socket
import subprocess
import threading

import lab as L


@contextlib.contextmanager
def master(lab, login, key, *options):
    """One connection that other calls of ssh share."""
    path = lab.dir / "mux"
    p = subprocess.Popen(lab.ssh_argv(login, "-N", "-M", "-S", path, key=key, options=options), stdin=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    try:
        L.wait_for("the connection", path.exists)
        yield lambda *args: subprocess.run(["ssh", "-S", str(path), *args[:-1], "x", args[-1]], stdin=subprocess.DEVNULL,
                                           capture_output=True, text=True, timeout=60,
                                           env={**os.environ, "SALLYTEST_A": "a"})
    finally:
        p.terminate()
        p.wait()


def reload(lab, **changes):
    before = lab.log("sallyport").count("configuration read again")
    lab.write_config(**changes)
    os.kill(lab.monitor_pid(), signal.SIGHUP)
    L.wait_for("the reload", lambda: lab.log("sallyport").count("configuration read again") > before)


def test_forward_destinations_and_environment_change_under_a_live_session(lab, me):
    port = L.free_port()
    with socket.create_server(("127.0.0.9", 0)) as far:
        def serve():
            with contextlib.suppress(OSError):
                while True:
                    far.accept()[0].sendall(b"here")
        threading.Thread(target=serve, daemon=True).start()

        def reached():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 10) as s:
                s.settimeout(10)
                return s.recv(10) == b"here"
            return False
        with master(lab, me.to0, me.key, "-L", "127.0.0.1:%d:127.0.0.9:%d" % (port, far.getsockname()[1]),
                    "-o", "SendEnv=SALLYTEST_A") as ssh:
            L.wait_for("the forward", lambda: L.port_open(port))
            assert not reached()
            lab.ctl("grant", "create", "--name", "more", "--user", me.user, "--asset", "web1", "--account", "*",
                    "--protocol", "forward-local", "--forward-to", "127.0.0.9:*")
            assert reached()
            lab.ctl("grant", "delete", "more")
            assert not reached()
            env = ("-o", "SendEnv=SALLYTEST_A", "echo ${SALLYTEST_A:-none}")
            assert ssh(*env).stdout == "none\n"
            reload(lab, env_allow="SALLYTEST_*")
            L.wait_for("the environment passes", lambda: ssh(*env).stdout == "a\n")
            assert [s["state"] for s in me.live()] == ["live"]


def test_an_open_forward_ends_when_its_destination_leaves_the_grant_and_others_go_on(lab, me):
    ports = L.free_port(), L.free_port()
    with contextlib.ExitStack() as stack:
        def echo(address):
            far = stack.enter_context(socket.create_server((address, 0)))

            def one(s):
                with contextlib.suppress(OSError):
                    while data := s.recv(100):
                        s.sendall(data)

            def serve():
                with contextlib.suppress(OSError):
                    while True:
                        threading.Thread(target=one, args=(far.accept()[0],), daemon=True).start()
            threading.Thread(target=serve, daemon=True).start()
            return far.getsockname()[1]
        goes, stays = echo("127.0.0.9"), echo("127.0.0.1")
        lab.ctl("grant", "create", "--name", "more", "--user", me.user, "--asset", "web1", "--account", "*",
                "--protocol", "forward-local", "--forward-to", "127.0.0.9:*")
        stack.enter_context(master(lab, me.to0, me.key, "-L", "127.0.0.1:%d:127.0.0.9:%d" % (ports[0], goes),
                                   "-L", "127.0.0.1:%d:127.0.0.1:%d" % (ports[1], stays)))
        L.wait_for("the forwards", lambda: all(L.port_open(p) for p in ports))
        a, b = (stack.enter_context(socket.create_connection(("127.0.0.1", p), 10)) for p in ports)
        for s in (a, b):
            s.settimeout(20)
            s.sendall(b"one")
            assert s.recv(100) == b"one"
        lab.ctl("grant", "delete", "more")
        assert a.recv(100) == b""
        b.sendall(b"two")
        assert b.recv(100) == b"two"
        assert [s["state"] for s in me.live()] == ["live"]


def test_one_user_cannot_fill_the_audit_log(lab, me):
    reload(lab, audit_rate=1, audit_burst=20)
    with master(lab, me.to0, me.key) as ssh:
        got = [ssh("true") for _ in range(40)]
        refused = [r for r in got if r.returncode != 0]
        assert refused and all("more than the audit log takes" in r.stderr for r in refused), refused
        assert len(refused) < 40
        L.wait_for("the line about them", lambda: [e for e in lab.ctl("audit", "list", "--kind", "audit.more")
                                                   if "channel.open" in e["text"]], 40)
        sid = me.live()[0]["id"]
        entries = lab.ctl("audit", "list", "--session", sid, "--limit", 1000)
        assert len([e for e in entries if e["kind"] == "channel.open"]) == 40 - len(refused)
        reload(lab, audit_rate=1000, audit_burst=5000)
        L.wait_for("channels open again", lambda: ssh("true").returncode == 0)
    L.wait_for("the end", lambda: [e for e in lab.ctl("audit", "list", "--session", sid) if e["kind"] == "session.end"])
