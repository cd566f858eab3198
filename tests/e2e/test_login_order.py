"""Login packets in an order, or with contents, that no client sends: what was verified is what logs in."""
import contextlib
import time

import paramiko
import pytest
from paramiko.message import Message

SERVICE, REQUEST, FAILURE, SUCCESS, INFO_RESPONSE, OPEN, CONFIRMATION = 5, 50, 51, 52, 61, 90, 91


def packet(number, *fields):
    m = Message()
    m.add_byte(bytes([number]))
    for kind, value in fields:
        getattr(m, "add_" + kind)(value)
    return m


class Wire:
    """paramiko's key exchange and ciphers, its packets by hand."""

    def __init__(self, lab):
        self.t = paramiko.Transport(("127.0.0.1", lab.port))
        self.t.start_client(timeout=20)
        self.heard = []
        self.t._handler_table = dict(self.t._handler_table)
        for n in [*range(SERVICE, 8), *range(REQUEST, 101)]:
            self.t._handler_table[n] = lambda _t, m, n=n: self.heard.append(n)

    def send(self, *packets):
        """All in one TCP segment: they are looked at together."""
        p, parts = self.t.packetizer, []
        write = p.write_all
        p.write_all = parts.append
        for m in packets:
            p.send_message(m)
        p.write_all = write
        with contextlib.suppress(EOFError, OSError):
            write(b"".join(parts))

    def request(self, user, method, *fields):
        return packet(REQUEST, ("string", user), ("string", "ssh-connection"), ("string", method), *fields)

    def signed(self, user, key, says=None, blob=None, session_id=None):
        """A login of `user` whose signature is over the name `says`."""
        blob = blob or key.asbytes()
        rest = (("boolean", True), ("string", "ssh-ed25519"), ("string", blob))
        text = Message()
        text.add_string(session_id or self.t.session_id)
        text = text.asbytes() + self.request(says or user, "publickey", *rest).asbytes()
        return self.request(user, "publickey", *rest, ("string", key.sign_ssh_data(text, "ssh-ed25519").asbytes()))

    def kbdint(self, user):
        return self.request(user, "keyboard-interactive", ("string", ""), ("string", ""))

    def until(self, *numbers, seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.t.is_active() and not set(numbers) & set(self.heard):
            time.sleep(0.02)
        time.sleep(0.1)
        return self.heard


SERVICE_REQUEST = packet(SERVICE, ("string", "ssh-userauth"))
CHANNEL = packet(OPEN, ("string", "session"), ("int", 0), ("int", 1 << 20), ("int", 32768))


@pytest.fixture
def wire(lab):
    w = Wire(lab)
    yield w
    w.t.close()


@pytest.fixture(scope="module")
def keys(lab):
    return {n: paramiko.Ed25519Key.from_private_key_file(str(lab.key(n + ".key"))) for n in ("user", "admin")}


def test_the_wire_of_these_tests_can_log_in(wire, keys):
    wire.send(SERVICE_REQUEST, wire.signed("alice", keys["user"]))
    assert SUCCESS in wire.until(SUCCESS, FAILURE)
    wire.send(CHANNEL)
    assert CONFIRMATION in wire.until(CONFIRMATION)


def question(w, key):
    return w.request("alice", "publickey", ("boolean", False), ("string", "ssh-ed25519"), ("string", key.asbytes()))


ATTACKS = {
    "signed for one name, then asked for another": lambda w, u, a: [w.signed("alice", u), w.kbdint("alice@deploy@web1")],
    "asked for one name, then signed for another": lambda w, u, a: [w.kbdint("alice@deploy@web1"), w.signed("alice", u)],
    "two signed requests": lambda w, u, a: [w.signed("alice", u), w.signed("admin", u, blob=a.asbytes())],
    "a question about a key and its signature at once": lambda w, u, a: [question(w, u), w.signed("alice", u)],
    "another's key, own signature": lambda w, u, a: [w.signed("admin", u, blob=a.asbytes())],
    "own key, another's name": lambda w, u, a: [w.signed("admin", u)],
    "a name that ends early": lambda w, u, a: [w.signed(b"alice\0@root@web1", u)],
    "a signature over another name": lambda w, u, a: [w.signed("admin", u, says="alice")],
    "a signature of another exchange": lambda w, u, a: [w.signed("alice", u, session_id=b"\0" * 32)],
    "an answer that was not asked for": lambda w, u, a: [packet(INFO_RESPONSE, ("int", 1), ("string", "x"))],
    "a success of the client's own": lambda w, u, a: [packet(SUCCESS)],
    "a method that does not exist": lambda w, u, a: [w.request("admin", "hostbased", ("string", ""))],
    "no login at all": lambda w, u, a: [],
}


@pytest.mark.parametrize("name", ATTACKS)
def test_no_other_order_logs_in_or_opens_a_channel(wire, keys, name):
    wire.send(SERVICE_REQUEST, *ATTACKS[name](wire, keys["user"], keys["admin"]))
    wire.until(SUCCESS, FAILURE, seconds=3)
    wire.send(CHANNEL)
    heard = wire.until(CONFIRMATION, seconds=2)
    assert SUCCESS not in heard and CONFIRMATION not in heard
