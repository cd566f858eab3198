"""A jump server that does not keep to the protocol: whatever it does on the way to a target, the user reads one clear line, the session's
record says the same, and the gateway serves on."""
import contextlib
import subprocess
import time

import paramiko

import hostile as H
import lab as L
from hostile import string, u32
from test_hostile_target import BROKEN, SILENT, V

CONFIG = {"dial_timeout": "2s", "keepalive": "1s"}
ESCAPES = b"\x1b[2J\x1b]0;owned\x07no\r\nsecond line"
JUMP = "Jump server {jump} of zone {zone} "


class Door(H.Door):
    """Lets the platform in, and says `way` when it asks for the way on."""
    way = paramiko.OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(self, chanid, origin, destination):
        self.started.set()
        return self.way


class RefusesLogin(Door):
    def check_auth_password(self, username, password):
        return paramiko.AUTH_FAILED


class ClosesInLogin(Door):
    def check_auth_password(self, username, password):
        raise EOFError


class MuteInLogin(Door):
    def check_auth_password(self, username, password):
        time.sleep(60)
        return paramiko.AUTH_FAILED


class MuteAtTheWay(Door):
    def check_channel_direct_tcpip_request(self, chanid, origin, destination):
        time.sleep(60)
        return paramiko.OPEN_FAILED_CONNECT_FAILED


class Prohibits(Door):
    way = paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED


class CannotReach(Door):
    way = paramiko.OPEN_FAILED_CONNECT_FAILED


def server(door=Door, after=lambda t, ch: None):
    """after(transport, channel) runs when the way on is open."""
    def serve(s):
        t = paramiko.Transport(s)
        d = door()
        try:
            t.add_server_key(KEY)
            t.start_server(server=d)
            if d.started.wait(30) and d.way == paramiko.OPEN_SUCCEEDED and (ch := t.accept(30)) is not None:
                after(t, ch)
            while t.is_active():
                t.join(0.2)
        finally:
            t.close()
    return serve


def packets(*payloads):
    """Of its own, under the keys of the connection; our one channel there has the number 0."""
    return server(after=lambda t, ch: [H.send(t, p) for p in payloads])


def target_says(data, end=lambda t, ch: None):
    """Bytes in the place of the target's."""
    def after(t, ch):
        ch.sendall(data)
        end(t, ch)
    return server(after=after)


KEY = paramiko.ECDSAKey.generate(bits=256)
# What it does: how, and what the line begins with
WAYS = {
    "refuses the login": (server(RefusesLogin), JUMP + "refused the login of app"),
    "closes in the login": (server(ClosesInLogin), JUMP),
    "never answers the login": (server(MuteInLogin), JUMP + "cannot be reached: it did not answer in time"),
    "prohibits the way on": (server(Prohibits), JUMP + "refused to open the way on (does its sshd allow forwarding?)"),
    "says that the target is away": (server(CannotReach), "Cannot connect to {asset} through jump server {jump} of zone {zone}: it does not say why"),
    "never answers for the target": (server(MuteAtTheWay), "{asset} did not answer jump server {jump} of zone {zone} in time"),
    "leaves when the way is open": (server(after=lambda t, ch: t.close()), JUMP + "closed the connection"),
    "refuses what is open": (packets(b"\x5c" + u32(0) + u32(1) + string(ESCAPES) + string(b"")), JUMP + "broke the protocol"),
    "confirms what is open": (packets(b"\x5b" + u32(0) + u32(0) + u32(1) + u32(1000)), JUMP + "broke the protocol"),
    "overflows the window": (packets(b"\x5d" + u32(0) + u32(0xffffffff)), JUMP + "broke the protocol"),
    "sends to a channel that is not": (packets(b"\x5e" + u32(77) + string(b"x")), JUMP + "broke the protocol"),
    "cuts data short": (packets(b"\x5e" + u32(0) + u32(1000) + b"x"), JUMP + "broke the protocol"),
    "cuts an open short": (packets(b"\x5a" + string(b"x11")), JUMP + "broke the protocol"),
    "disconnects with escape sequences": (packets(b"\x01" + u32(2) + string(ESCAPES) + string(b"")), JUMP + "closed the connection"),
    "closes the way at once": (server(after=lambda t, ch: ch.close()), "No connection to {asset}: "),
    "answers like a web server": (target_says(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 40), "{asset} did not answer in time"),
    "answers with random bytes": (target_says(V + bytes(range(1, 200)) * 20), "No connection to {asset}: "),
    "answers half and closes": (target_says(V + H.packet(H.kexinit()), lambda t, ch: ch.close()), "No connection to {asset}: "),
    "answers with escape sequences": (target_says(V + H.packet(b"\x01" + u32(2) + string(ESCAPES) + string(b""))), "No connection to {asset}: "),
    "never lets the target answer": (target_says(V), "{asset}"),
}
# The leg to a jump server is the one that test_hostile_target.py tries with all of these: a few show that the line is right here too.
EARLY = {what: ({**BROKEN, **SILENT}[what], JUMP + "cannot be reached") for what in (
    "sends a banner line without end", "claims a huge packet", "offers no cipher in common", "answers with a key that is none",
    "disconnects with escape sequences", "closes at once", "closes after its key exchange message", "never sends its key exchange")}


@contextlib.contextmanager
def behind(lab, serve, n):
    """A zone behind a server that does `serve`. Gives jump, zone and asset."""
    name = {"jump": "h-jump%d" % n, "zone": "h-zone%d" % n, "asset": "h-inside%d" % n}
    with H.Server(serve) as s:
        lab.ctl("asset", "create", name["jump"], "127.0.0.1", "--port", s.port)
        lab.ctl("account", "create", "app@" + name["jump"], "--password-stdin", stdin="of the jump server\n")
        lab.ctl("zone", "create", name["zone"], "--jump", name["jump"], "--account", "app")
        lab.ctl("asset", "create", name["asset"], "192.0.2.7", "--zone", name["zone"])
        lab.ctl("account", "create", "app@" + name["asset"], "--password-stdin", stdin="of the target\n")
        lab.ctl("grant", "create", "--user", "alice", "--asset", name["asset"], "--account", "app")
        yield name


def told(lab, name, code, out, err, text):
    err = err.strip()
    assert code == 255 and out == "" and len(err.split("\n")) == 1 and "\x1b" not in err, (code, out, err)
    line = err.removeprefix("sallyport: ").rstrip(".")
    assert line.startswith(text.format(**name)), line
    s = L.wait_for("the record", lambda: next((s for s in lab.ctl("session", "list", "--asset", name["asset"])[:1] if s["state"] == "ended"), None))
    assert s["reason"].rstrip(".") in line or line in s["reason"], (s["reason"], line)
    print(line)


def test_a_jump_server_that_breaks_the_protocol_is_told_in_one_line(lab, me):
    """All at once: the silent ones end with the time limit."""
    with contextlib.ExitStack() as stack:
        jobs = []
        for n, (what, (serve, text)) in enumerate({**EARLY, **WAYS}.items()):
            name = stack.enter_context(behind(lab, serve, n))
            p = subprocess.Popen(lab.ssh_argv("alice@app@" + name["asset"], "true", key=me.key), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            jobs.append((what, name, text, p))
        wrong = []
        for what, name, text, p in jobs:
            out, err = p.communicate(timeout=90)
            try:
                told(lab, name, p.returncode, out, err, text)
            except AssertionError as e:
                wrong.append((what, str(e)))
        assert not wrong, "\n".join("%s: %s" % w for w in wrong)


def test_a_jump_server_gets_no_channel_from_us_and_opens_none_towards_us(lab, me):
    answers = {}

    def after(t, ch):
        for kind in ("forwarded-tcpip", "x11", "auth-agent@openssh.com", "session", "direct-tcpip"):
            extra = ("127.0.0.1", 22) if "tcpip" in kind or kind == "x11" else None
            try:
                t.open_channel(kind, dest_addr=extra, src_addr=extra, timeout=10)
                answers[kind] = "opened"
            except paramiko.ChannelException as e:
                answers[kind] = e.code
        t.close()

    with behind(lab, server(after=after), 200) as name:
        r = lab.ssh("alice@app@" + name["asset"], "true", key=me.key)
        told(lab, name, r.returncode, r.stdout, r.stderr, JUMP + "closed the connection")
    assert len(answers) == 5 and set(answers.values()) == {paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED}, answers


def test_another_host_key_than_before_is_refused_before_any_credential(lab, me):
    tried = []

    class Tells(Door):
        way = paramiko.OPEN_FAILED_CONNECT_FAILED

        def check_auth_password(self, username, password):
            tried.append(password)
            return paramiko.AUTH_SUCCESSFUL

    global KEY
    with behind(lab, server(Tells), 201) as name:
        login = "alice@app@" + name["asset"]
        assert lab.ssh(login, "true", key=me.key).returncode == 255 and tried == ["of the jump server"]      # pinned, and used
        was, KEY = KEY, paramiko.ECDSAKey.generate(bits=256)
        try:
            r = lab.ssh(login, "true", key=me.key)
            told(lab, name, r.returncode, r.stdout, r.stderr, "The host key of jump server {jump} of zone {zone} has changed")
        finally:
            KEY = was
    assert tried == ["of the jump server"]


def test_after_all_of_it_the_gateway_serves_and_nothing_is_left(lab, me):
    assert me.ssh("echo in").stdout == "in\n"
    L.wait_for("no live session", lambda: not me.live(), 20)
    log = lab.log("sallyport")
    assert "killed by signal" not in log and "Sanitizer" not in log and "\x1b" not in log, log[-3000:]
