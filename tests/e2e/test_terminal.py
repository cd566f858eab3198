"""The virtual terminal beside another one: what tmux shows for a stream is what ours shows."""

import os
import pathlib
import random
import subprocess
import time

import pytest

BUILD = os.environ.get("SALLYPORT_BUILD", str(pathlib.Path(__file__).resolve().parent.parent.parent / "build" / "release"))
COLS, ROWS = 60, 15

PIECES = [
    b"hello world ", b"\r\n", b"\n", b"\r", b"\b\b", b"\t", b"x" * 70, b"abc\r\n" * 3,
    "中文字符".encode(), "e\u0301".encode(), "表格│─".encode(),
    b"\x1b[A", b"\x1b[3B", b"\x1b[5C", b"\x1b[7D", b"\x1b[2E", b"\x1b[2F", b"\x1b[10G", b"\x1b[5;5H", b"\x1b[H", b"\x1b[8d",
    b"\x1b[K", b"\x1b[1K", b"\x1b[2K", b"\x1b[J", b"\x1b[1J", b"\x1b[2@", b"\x1b[2P",
    b"\x1b[3;9r\x1b[5;1H\x1b[L\r\x1b[r", b"\x1b[3;9r\x1b[5;1H\x1b[2M\r\x1b[r",
    b"\x1b[3;9r", b"\x1b[r", b"\x1b[2S", b"\x1b[T", b"\x1bM", b"\x1bD", b"\x1bE", b"\x1b7", b"\x1b8", b"\x1b[1;31m", b"\x1b[0m",
    b"\x1b]0;title\x07", b"\x1b[4hins\x1b[4l", b"\x1b[?7l", b"\x1b[?7h", b"\x1b[?6h", b"\x1b[?6l",
    b"q\x1b[5b", b"\x1b[6n", b"\x1b[?25l", b"\x1b[3g", b"\x1bH",
]


def streams():
    """Written by hand, then 40 drawn with fixed seeds."""
    yield "text", b"one\r\ntwo\r\nthree"
    yield "wrapped", b"0123456789" * 20
    yield "scrolled", b"\r\n".join(b"line %d" % i for i in range(100))
    yield "chinese", ("我们在堡垒机上敲命令" * 12).encode()
    yield "alternate", b"before\x1b[?1049h\x1b[2J\x1b[HINSIDE\x1b[?1049lafter"
    yield "editor", b"\x1b[?1049h\x1b[1;14r\x1b[1;1Hfirst\r\nsecond\r\n\x1b[1;1H\x1b[L\x1b[15;1H:status\x1b[3;1H"
    for seed in range(40):
        rnd = random.Random(seed)
        yield "seed-%d" % seed, b"".join(rnd.choice(PIECES) for _ in range(60))


class Tmux:
    def __init__(self, directory):
        self.base = ["tmux", "-f", "/dev/null", "-S", str(directory / "tmux")]
        self.env = dict(os.environ, TERM="xterm-256color", LC_ALL="C.UTF-8")
        self.env.pop("TMUX", None)
        self.run("new-session", "-d", "-x", str(COLS), "-y", str(ROWS), "-s", "t", "exec sleep 1000")
        self.run("set-option", "-g", "status", "off")
        self.run("set-option", "-g", "remain-on-exit", "off")

    def run(self, *args):
        return subprocess.run(self.base + list(args), env=self.env, check=True, capture_output=True, timeout=30).stdout

    def show(self, path):
        """A window whose program prints the file without the line discipline's help, and stays."""
        done = str(path) + ".done"
        pane = self.run("new-window", "-d", "-P", "-F", "#{pane_id}", "-t", "t:",
                        "stty raw -echo; cat '%s'; touch '%s'; exec sleep 1000" % (path, done)).decode().strip()
        return pane, done

    def screen(self, pane):
        text = self.run("capture-pane", "-p", "-t", pane).decode()
        y, x = self.run("display-message", "-p", "-t", pane, "#{cursor_y} #{cursor_x}").split()
        return [line.rstrip() for line in text.split("\n")[:ROWS]], (int(y), min(int(x), COLS - 1))

    def stop(self):
        self.run("kill-server")


@pytest.fixture
def tmux(tmp_path):
    server = Tmux(tmp_path)
    yield server
    server.stop()


def ours(data):
    out = subprocess.run([os.path.join(BUILD, "tests/unit/lib/term/termscreen"), str(COLS), str(ROWS)],
                         input=data, capture_output=True, check=True).stdout.decode()
    lines = out.split("\n")
    word, y, x = lines[ROWS].split()
    assert word == "cursor"
    return [line.rstrip() for line in lines[:ROWS]], (int(y), min(int(x), COLS - 1))


def test_screens_equal_those_of_tmux(tmux, tmp_path):
    marker = b"\x1b[?7h\x1b[?6l\x1b[r\x1b[4l\x1b(B\x1b[15;50H[end]"     # tells when tmux has read it all
    panes = []
    for name, data in streams():
        path = tmp_path / name
        path.write_bytes(data + marker)
        panes.append((name, data + marker, tmux.show(path)[0]))
    for name, data, pane in panes:
        deadline = time.monotonic() + 60
        while True:
            theirs = tmux.screen(pane)
            if theirs[0] and theirs[0][-1].endswith("[end]"):
                break
            assert time.monotonic() < deadline, "tmux never showed " + name
            time.sleep(0.02)
        assert ours(data) == theirs, name
