#!/usr/bin/python3
"""A syslog collector for tests: accepts one connection after the other, takes RFC 5424 records with octet counting, and appends each
to a file as soon as it has it. As a program of its own, so that a test can kill it in the middle: collector.py PORT FILE"""
import os
import pathlib
import signal
import socket
import subprocess
import sys
import json
import re

RECORD = re.compile(r"^<(\d+)>1 (\S+) (\S+) (\S+) - (\S+) \[meta sequenceId=\"(\d+)\"\] (\{.*\})$", re.S)


def take(buf):
    """Whole records at the beginning of buf, and the rest."""
    got = []
    while b" " in buf[:12]:
        count, rest = buf.split(b" ", 1)
        if len(rest) < int(count):
            break
        got.append(rest[:int(count)])
        buf = rest[int(count):]
    return got, buf


def main(port, name):
    out = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", int(port)))
        s.listen(4)
        print("listening", flush=True)
        while True:
            c, _ = s.accept()
            buf = b""
            while True:
                data = c.recv(65536)
                if not data:
                    break
                got, buf = take(buf + data)
                for r in got:
                    os.write(out, r + b"\n")
            c.close()


class Collector:
    """The same, from a test's side."""

    def __init__(self, folder, port):
        self.port, self.file, self.proc = port, pathlib.Path(folder) / "collected", None

    def start(self):
        self.proc = subprocess.Popen([sys.executable, __file__, str(self.port), str(self.file)], stdout=subprocess.PIPE, text=True)
        assert self.proc.stdout.readline() == "listening\n"
        return self

    def stop(self, sig=signal.SIGKILL):
        if self.proc is not None:
            self.proc.send_signal(sig)
            self.proc.wait(20)
            self.proc.stdout.close()
            self.proc = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def records(self):
        """(pri, msgid, sequence id, entry) of every record, in the order of arrival."""
        text = self.file.read_text() if self.file.exists() else ""
        got = []
        for line in text.split("\n")[:-1]:
            m = RECORD.match(line)
            assert m, line
            got.append((int(m[1]), m[5], int(m[6]), json.loads(m[7])))
        return got


if __name__ == "__main__":
    main(*sys.argv[1:])
