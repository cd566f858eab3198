"""Servers and proxies that do not keep to SSH, for tests: what a hostile or broken target (or network) may do to Sallyport."""
import contextlib
import os
import socket
import struct
import threading

import paramiko

IGNORE, KEXINIT, NEWKEYS = 2, 20, 21


def u32(n):
    return struct.pack(">I", n)


def string(b):
    return u32(len(b)) + b


def packet(payload):
    """An SSH packet as it travels before keys are in use (RFC 4253 section 6)."""
    pad = 8 - (len(payload) + 5) % 8
    pad += 8 if pad < 4 else 0
    return u32(len(payload) + pad + 1) + bytes([pad]) + payload + bytes(pad)


def kexinit(host_keys="ssh-ed25519", kex="curve25519-sha256,kex-strict-s-v00@openssh.com", cipher="aes256-gcm@openssh.com"):
    lists = [kex, host_keys, cipher, cipher, "hmac-sha2-256", "hmac-sha2-256", "none", "none", "", ""]
    return bytes([KEXINIT]) + os.urandom(16) + b"".join(string(x.encode()) for x in lists) + b"\0" + u32(0)


class Server:
    """A listening socket; each connection goes to serve(sock) in a thread of its own. port, close()."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self.listener.getsockname()[1]
        self.serve = serve
        self.open = []
        self.closing = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(s)
            threading.Thread(target=self._one, args=(s,), daemon=True).start()

    def _one(self, s):
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException, ValueError):
            self.serve(s)
        with contextlib.suppress(OSError):
            s.close()

    def close(self):
        self.closing.set()
        for s in [self.listener, *self.open]:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                s.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def hold(s):
    """Read and say nothing until the other side goes."""
    while s.recv(65536):
        pass


class Door(paramiko.ServerInterface):
    """Lets everybody in and takes every request."""

    def __init__(self):
        self.started = threading.Event()
        self.channel = None

    def get_allowed_auths(self, username):
        return "password,publickey"

    def check_auth_password(self, username, password):
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        self.channel = channel
        self.started.set()
        return True


def ssh_server(key, after, door=Door):
    """serve() of an SSH server that lets the login succeed and then calls after(transport, channel) at the first exec."""
    def serve(s):
        t = paramiko.Transport(s)
        d = door()
        try:
            t.add_server_key(key)
            t.start_server(server=d)
            if d.started.wait(30):
                after(t, d.channel)
            while t.is_active():
                t.join(0.2)
        finally:
            t.close()
    return serve


def send(t, payload):
    """A payload of ours under the keys of a paramiko transport."""
    m = paramiko.Message()
    m.add_bytes(payload)
    t._send_message(m)


class Proxy(Server):
    """Sits between a client and host:port and passes packets on; before NEWKEYS it may add packets of its own, and behind it it may
    drop one: what an attacker on the network can do (Terrapin, CVE-2023-48795).
    inject: payloads put in front of packet number `at` (0: KEXINIT) of the server, or of the client (towards="server").
    drop: the first packet of that side behind its NEWKEYS is lost. seen: types of its packets up to NEWKEYS."""

    def __init__(self, port, inject=(), at=1, drop=False, towards="client"):
        self.inject, self.at, self.drop, self.towards, self.seen = list(inject), at, drop, towards, []
        super().__init__(lambda s: self._pass(s, socket.create_connection(("127.0.0.1", port), 10)))

    def _pass(self, near, far):
        self.open.append(far)
        a, b = (far, near) if self.towards == "client" else (near, far)
        threading.Thread(target=self._copy, args=(b, a), daemon=True).start()
        try:
            self._filter(a.makefile("rb"), b)
        finally:
            for s in (a, b):
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)

    def _filter(self, f, to):
        to.sendall(f.readline())
        for n in range(1000):
            head = f.read(4)
            if len(head) < 4:
                return
            body = f.read(struct.unpack(">I", head)[0])
            if n == self.at:
                for payload in self.inject:
                    to.sendall(packet(payload))
            to.sendall(head + body)
            self.seen.append(body[1])
            if body[1] == NEWKEYS:
                break
        if self.drop:       # its length is in the clear with AES-GCM; 16 bytes of tag follow
            f.read(struct.unpack(">I", f.read(4))[0] + 16)
        while data := f.read1(65536):
            to.sendall(data)

    @staticmethod
    def _copy(a, b):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
        with contextlib.suppress(OSError):
            b.shutdown(socket.SHUT_WR)
