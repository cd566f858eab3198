"""Targets that do not keep to the protocol, and an attacker on the wire: each ends with one clear line for the user, the record of
the session says the same, and the gateway serves on."""
import contextlib
import re
import subprocess
import time

import paramiko
import pytest

import hostile as H
import lab as L
from hostile import string, u32

CONFIG = {"dial_timeout": "1s", "keepalive": "1s"}


@pytest.fixture(scope="module")
def hostkey():
    return paramiko.ECDSAKey.generate(bits=256)


@pytest.fixture(scope="module", autouse=True)
def an_account_for_them(lab):
    """Every asset below is called h-something and has one account with a password."""
    lab.asset_n = 0


@contextlib.contextmanager
def asset(lab, serve):
    """serve, as an asset that alice may use. Gives the login name."""
    lab.asset_n += 1
    name = "h-%d" % lab.asset_n
    with (serve if isinstance(serve, H.Server) else H.Server(serve)) as s:
        lab.ctl("asset", "create", name, "--address", "127.0.0.1", "--port", s.port)
        lab.ctl("account", "create", "app@" + name, "--password-stdin", stdin="secret\n")
        lab.ctl("grant", "create", "--user", "alice", "--asset", name, "--account", "app")
        yield "alice@app@" + name


def told(lab, r, *texts):
    """One line, and the same in the record. Returns the line."""
    err = (r.stderr if isinstance(r.stderr, str) else r.stderr.decode()).strip()
    assert len(err.split("\n")) == 1 and "\x1b" not in err, r
    for t in texts:
        assert t in err, (t, r)
    name = re.search(r"h-\d+", err).group(0)
    s = L.wait_for("the record", lambda: next((s for s in lab.ctl("session", "list", "--limit", 60) if s["asset"] == name and s["state"] == "ended"), None), 90)
    line = err.removeprefix("sallyport: ").rstrip(".")
    assert s["reason"].rstrip(".") in line or line in s["reason"], (s["reason"], line)
    print("%s" % line)
    return line


# -- before the login

def say(*parts):
    def serve(s):
        for p in parts:
            s.sendall(p)
        H.hold(s)
    return serve


def endless(first, chunk):
    def serve(s):
        s.sendall(first)
        while True:
            s.sendall(chunk)
    return serve


def close_after(*parts):
    def serve(s):
        for p in parts:
            s.sendall(p)
        s.recv(1)
    return serve


V = b"SSH-2.0-hostile\r\n"
BROKEN = {
    "says what a web server says": say(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 40),
    "speaks version 1": say(b"SSH-1.5-old\r\n"),
    "sends an endless banner of lines": endless(b"", b"welcome to the machine\r\n" * 100),
    "sends a banner line without end": endless(b"", b"A" * 8192),
    "claims a huge packet": say(V, b"\xff\xff\xff\xff" + bytes(64)),
    "sends random bytes for a packet": say(V, bytes(range(1, 200)) * 20),
    "sends an endless first packet": endless(V + u32(35000) + b"\x04\x14", bytes(4096)),
    "begins with another message": say(V, H.packet(b"\x32" + string(b"x"))),
    "cuts its key exchange lists short": say(V, H.packet(bytes([20]) + bytes(16) + u32(0xffffff))),
    "offers host keys that are refused": say(V, H.packet(H.kexinit(host_keys="ssh-dss"))),
    "offers host keys with SHA-1 only": say(V, H.packet(H.kexinit(host_keys="ssh-rsa"))),
    "offers no cipher in common": say(V, H.packet(H.kexinit(cipher="3des-cbc"))),
    "answers the key exchange with nothing": say(V, H.packet(H.kexinit()), H.packet(bytes([31]) + u32(0) * 3)),
    "answers with a key that is none": say(V, H.packet(H.kexinit()), H.packet(bytes([31]) + string(b"\xff" * 51) + string(bytes(32)) + string(b"x" * 83))),
    "sends NEWKEYS at once": say(V, H.packet(H.kexinit()), H.packet(b"\x15")),
    "disconnects with escape sequences": say(V, H.packet(b"\x01" + u32(2) + string(b"\x1b[2J\x1b]0;owned\x07bye\r\nsecond line") + string(b""))),
    "closes at once": close_after(),
    "closes after its version": close_after(V),
    "closes after its key exchange message": close_after(V, H.packet(H.kexinit())),
}


class Mute(H.Door):
    """Takes the password and never says what it thinks of it."""
    def check_auth_password(self, username, password):
        time.sleep(60)
        return paramiko.AUTH_FAILED


SILENT = {
    "never says anything": say(),
    "never sends its key exchange": say(V),
    "never answers the key exchange": say(V, H.packet(H.kexinit())),
    "never answers the login": None,
}


def test_a_target_that_breaks_the_start_of_the_protocol_or_never_answers_is_told_in_one_line(lab, me, hostkey):
    """All at once: the silent ones end with the time limit."""
    with contextlib.ExitStack() as stack:
        jobs = {}
        for what, serve in {**BROKEN, **SILENT}.items():
            who = stack.enter_context(asset(lab, serve or H.ssh_server(hostkey, None, Mute)))
            jobs[what] = subprocess.Popen(lab.ssh_argv(who, "true", key=me.key), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE, text=True)
        for what, p in jobs.items():
            out, err = p.communicate(timeout=90)
            r = subprocess.CompletedProcess(what, p.returncode, out, err)
            assert r.returncode == 255 and r.stdout == "", r
            line = told(lab, r, *(["did not answer in time"] if what in SILENT else []))
            assert "known hosts" not in line and "callback" not in line, line      # words of a library that mislead


# -- after the login

def run(lab, me, hostkey, after, stdin=None, door=H.Door):
    with asset(lab, H.ssh_server(hostkey, after, door)) as who:
        r = lab.ssh(who, "work", key=me.key, stdin=stdin, timeout=60)
        return r


# What a target may send on its one channel (the gateway's number of it is 0) that no server sends.
AFTER = {
    "window that overflows": b"\x5d" + u32(0) + u32(0xffffffff),
    "window cut short": b"\x5d" + u32(0) + b"\1",
    "data to a channel that is not": b"\x5e" + u32(77) + string(b"x"),
    "data cut short": b"\x5e" + u32(0) + u32(1000) + b"x",
    "window of a channel that is not": b"\x5d" + u32(0xffffffff) + u32(1),
    "confirmation of what is open": b"\x5b" + u32(0) + u32(0) + u32(1) + u32(1000),
    "refusal of what is open": b"\x5c" + u32(0) + u32(1) + string(b"no") + string(b""),
    "success that nobody waits for": [b"\x63" + u32(0)] * 20,
    "reply to no global request": [b"\x51"] * 20,
    "request cut short": b"\x62" + u32(0) + u32(0xffffff),
    "global request cut short": b"\x50" + u32(0xffffff),
    "open cut short": b"\x5a" + string(b"x11"),
    "key exchange of nothing": b"\x14" + bytes(16) + u32(0xffffff),
    "disconnect with escape sequences": b"\x01" + u32(2) + string(b"\x1b[2J\x1b]0;owned\x07bye\r\nsecond") + string(b""),
}


@pytest.mark.parametrize("what", AFTER)
def test_a_target_that_breaks_an_open_connection_is_told_in_one_line(lab, me, hostkey, what):
    payloads = AFTER[what] if isinstance(AFTER[what], list) else [AFTER[what]]

    def after(t, ch):
        for p in payloads:
            H.send(t, p)

    r = run(lab, me, hostkey, after)
    assert r.returncode == 255, r
    told(lab, r)


def test_data_after_the_end_is_on_record(lab, me, hostkey):
    """The user's stream has ended by then: there is no place for a line any more."""
    def after(t, ch):
        H.send(t, b"\x60" + u32(0))
        H.send(t, b"\x5e" + u32(0) + string(b"x"))

    assert run(lab, me, hostkey, after).returncode == 255
    s = L.wait_for("the end is on record", lambda: (lambda x: x if x["state"] == "ended" else None)(lab.ctl("session", "list", "--limit", 1)[0]))
    assert s["asset"] == "h-%d" % lab.asset_n and "broke the protocol: data beyond the window or after the end" in s["reason"], s


def test_a_target_that_sends_beyond_the_window_is_cut_off(lab, me, hostkey):
    """The client does not read, so every window on the way fills: whoever goes on sending breaks the protocol."""
    def after(t, ch):
        for _ in range(400):
            H.send(t, b"\x5e" + u32(0) + string(bytes(30000)))

    with asset(lab, H.ssh_server(hostkey, after)) as who:
        p = subprocess.Popen(lab.ssh_argv(who, "work", key=me.key), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            s = L.wait_for("the end", lambda: next((s for s in lab.ctl("session", "list", "--limit", 3)
                                                    if s["asset"] == "h-%d" % lab.asset_n and s["state"] == "ended"), None))
            assert "broke the protocol: data beyond the window" in s["reason"], s
        finally:
            p.kill()
            p.communicate()


def test_what_the_protocol_lets_pass_passes(lab, me, hostkey):
    def after(t, ch):
        H.send(t, b"\x65" + u32(0))                    # an unknown message is answered UNIMPLEMENTED (RFC 4253, 11.4)
        H.send(t, b"\x02" + string(bytes(1000)))
        H.send(t, b"\x62" + u32(0) + string(b"x" * 3000) + b"\0")
        H.send(t, b"\x50" + string(b"hostkeys-00@openssh.com") + b"\0" + string(b"junk"))
        ch.sendall(b"done\n")
        ch.send_exit_status(4)
        H.send(t, b"\x61" + u32(0))
        with contextlib.suppress(EOFError):
            H.send(t, b"\x61" + u32(0))                # the second one meets a channel that is gone

    r = run(lab, me, hostkey, after)
    assert (r.stdout, r.returncode) == ("done\n", 4), r


def test_channels_that_the_target_opens_unasked_are_refused_and_the_session_goes_on(lab, me, hostkey):
    answers = {}

    def after(t, ch):
        for kind, extra in (("forwarded-tcpip", ("127.0.0.1", 22)), ("x11", ("127.0.0.1", 6000)), ("auth-agent@openssh.com", None), ("session", None),
                            ("direct-tcpip", ("127.0.0.1", 22)), ("tun@openssh.com", None), ("forwarded-streamlocal@openssh.com", None)):
            try:
                t.open_channel(kind, dest_addr=extra, src_addr=extra, timeout=10)
                answers[kind] = "opened"
            except paramiko.ChannelException as e:
                answers[kind] = e.code
        ch.sendall(b"done\n")
        ch.send_exit_status(0)
        ch.close()

    r = run(lab, me, hostkey, after)
    assert (r.stdout, r.stderr, r.returncode) == ("done\n", "", 0), r
    assert len(answers) == 7 and set(answers.values()) == {1}, answers      # administratively prohibited


def test_a_flood_of_unasked_channels_costs_nothing_and_nobody(lab, me, hostkey):
    def after(t, ch):
        for n in range(3000):
            H.send(t, b"\x5a" + string(b"forwarded-tcpip") + u32(1000 + n) + u32(1 << 20) + u32(1 << 15) + string(b"h") + u32(1) + string(b"h") + u32(1))
        ch.sendall(b"done\n")
        ch.send_exit_status(0)
        ch.close()

    r = run(lab, me, hostkey, after)
    assert (r.stdout, r.stderr, r.returncode) == ("done\n", "", 0), r


def test_the_first_of_two_exit_statuses_counts(lab, me, hostkey):
    def after(t, ch):
        ch.send_exit_status(3)
        ch.send_exit_status(0)
        H.send(t, b"\x62" + u32(0) + string(b"exit-signal") + b"\0" + string(b"KILL") + b"\0" + string(b"\x1b[2J") + string(b""))
        ch.close()

    assert run(lab, me, hostkey, after).returncode == 3


def test_a_window_that_is_as_large_as_can_be_is_used_and_no_more(lab, me, hostkey):
    got = []

    def after(t, ch):
        H.send(t, b"\x5d" + u32(0) + u32(0xffffffff - ch.in_window_size))
        n = 0
        while chunk := ch.recv(1 << 16):
            n += len(chunk)
        got.append(n)
        ch.send_exit_status(0)
        ch.close()

    class Wide(H.Door):
        pass

    r = run(lab, me, hostkey, after, stdin="x" * 5_000_000, door=Wide)
    assert r.returncode == 0 and got == [5_000_000], (r, got)


def test_a_flood_of_login_banners_ends_in_time(lab, me, hostkey):
    class Loud(H.Door):
        def get_banner(self):
            return ("\x1b[2J" + "welcome\r\n" * 2000, "en")

        def check_auth_password(self, username, password):
            return paramiko.AUTH_FAILED

    r = run(lab, me, hostkey, None, door=Loud)
    assert r.returncode == 255 and "\x1b" not in r.stderr
    told(lab, r, "refused the login")


# -- an attacker on the wire (Terrapin)

def through(lab, me, name, proxy):
    lab.asset_n += 1
    name = "h-%d" % lab.asset_n
    account = me.t0.split("@")[0]
    lab.ctl("asset", "create", name, "--address", "127.0.0.1", "--port", proxy.port)
    lab.ctl("account", "create", "%s@%s" % (account, name), "--ca", "demo-ca")
    lab.ctl("grant", "create", "--user", "alice", "--asset", name, "--account", account)
    return lab.ssh("alice@%s@%s" % (account, name), "echo in", key=me.key)


EXTRA = {"ignore": b"\x02" + string(b"x"), "debug": b"\x04\0" + string(b"x") + string(b""), "unimplemented": b"\x03" + u32(0)}


def test_the_proxy_of_these_tests_changes_nothing_by_itself(lab, me):
    with H.Proxy(lab.targets["web1"]) as p:
        r = through(lab, me, "plain", p)
        assert r.stdout == "in\n", r
        assert p.seen[0] == H.KEXINIT and p.seen[-1] == H.NEWKEYS


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("extra", EXTRA)
def test_a_packet_put_in_before_new_keys_is_refused_towards_targets(lab, me, extra, at):
    with H.Proxy(lab.targets["web1"], [EXTRA[extra]], at) as p:
        r = through(lab, me, "extra", p)
        assert r.returncode == 255 and r.stdout == "", r
        told(lab, r)


def test_a_packet_cut_off_behind_an_added_one_is_refused_towards_targets(lab, me):
    """The attack itself: one packet added before NEWKEYS, so that the sequence numbers still fit when the first one behind is cut."""
    with H.Proxy(lab.targets["web1"], [EXTRA["ignore"]], 1, drop=True) as p:
        r = through(lab, me, "terrapin", p)
        assert r.returncode == 255 and r.stdout == "", r
        told(lab, r)


def own_connection(lab, port, me, log=()):
    return subprocess.run(["ssh", *[o.replace("StrictHostKeyChecking=yes", "StrictHostKeyChecking=no") for o in lab.ssh_options(me.key)], *log,
                           "-o", "UserKnownHostsFile=/dev/null", "-p", str(port), "-l", me.to0, "127.0.0.1", "echo in"],
                          capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("extra", EXTRA)
def test_a_packet_put_in_before_new_keys_is_refused_from_clients(lab, me, extra, at):
    with H.Proxy(lab.port, [EXTRA[extra]], at, towards="server") as p:
        r = own_connection(lab, p.port, me)
        assert r.returncode == 255 and r.stdout == "", r


def test_a_packet_cut_off_behind_an_added_one_is_refused_from_clients(lab, me):
    with H.Proxy(lab.port, towards="server") as p:
        assert own_connection(lab, p.port, me).stdout == "in\n"
    with H.Proxy(lab.port, [EXTRA["ignore"]], 1, drop=True, towards="server") as p:
        r = own_connection(lab, p.port, me)
        assert r.returncode == 255 and r.stdout == "", r


def test_stock_clients_notice_an_added_packet_from_the_gateways_side(lab, me):
    with H.Proxy(lab.port) as p:
        assert own_connection(lab, p.port, me).stdout == "in\n"
    with H.Proxy(lab.port, [EXTRA["ignore"]], 1, drop=True) as p:
        r = own_connection(lab, p.port, me)
        assert r.returncode == 255 and "strict KEX violation" in r.stderr, r


def test_after_all_of_it_the_gateway_serves_and_nothing_is_left(lab, me):
    assert me.ssh("echo in").stdout == "in\n"
    L.wait_for("no live session", lambda: not me.live(), 20)
    log = lab.log("sallyport")
    assert "killed by signal" not in log and "Sanitizer" not in log and "\x1b" not in log, log[-3000:]
