"""Files through sftp, scp and rsync: which way they may go, decided on the decoded stream, with stock clients."""
import hashlib
import os
import shlex
import shutil
import struct
import subprocess

import pytest

import lab as L
from test_access import person
from test_limits import control_pid

SFTP_SERVER = next(p for p in ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server") if os.path.exists(p))


class Person:
    """A user with one grant on web1, and clients that run as him."""

    def __init__(self, lab, me, name, *opts, target=None, folder=None):
        account, asset = (target or me.t0).split("@")
        self.lab, self.name, self.key = lab, name, person(lab, name)
        self.grant = lab.ctl("grant", "create", "--user", name, "--asset", asset, "--account", account, *opts)
        self.to, self.d = "%s@%s" % (name, target or me.t0), folder
        self.opts = lab.ssh_options(self.key)

    def run(self, argv, stdin=b"", **kw):
        return subprocess.run([str(a) for a in argv], input=stdin, capture_output=True, timeout=120, cwd=self.d, **kw)

    def ssh(self, *command, stdin=b""):
        return self.run(self.lab.ssh_argv(self.to, *command, key=self.key), stdin)

    def sftp(self, script, *opts):
        return self.run(["sftp", "-q", *self.opts, "-P", self.lab.port, "-b", "-", "-o", "User=" + self.to, *opts, "127.0.0.1"],
                        script.encode("utf-8", "surrogateescape"))

    def scp(self, *args, mode="-O"):
        return self.run(["scp", "-q", mode, *self.opts, "-P", self.lab.port, "-o", "User=" + self.to, *args])

    def rsync(self, *args):
        rsh = " ".join(map(shlex.quote, ["ssh", *self.opts, "-p", str(self.lab.port), "-l", self.to]))
        return self.run(["rsync", "-e", rsh, *args])

    def paramiko(self):
        import paramiko
        c = paramiko.SSHClient()
        c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        c.connect("127.0.0.1", self.lab.port, username=self.to, key_filename=str(self.key), allow_agent=False, look_for_keys=False,
                  timeout=30, banner_timeout=30, auth_timeout=30)
        return c

    def paramiko_both(self, there, here):
        with self.paramiko() as c:
            f = c.open_sftp()
            f.put(str(here), str(there))
            # Its get() may ask for everything twice (it takes its read-ahead for done whenever all answers are there), and
            # then the log says so.
            with f.open(str(there), "rb") as r, open(str(here) + ".back", "wb") as w:
                shutil.copyfileobj(r, w)

    def lftp(self, script):
        return self.run(["lftp", "-c", "set sftp:connect-program 'ssh %s'; set sftp:max-packets-in-flight 64; set xfer:clobber yes; open -u %s,x -p %d "
                         "sftp://127.0.0.1; %s" % (" ".join(map(shlex.quote, self.opts)), self.to, self.lab.port, script)])

    def psftp(self, script):
        ppk, text = self.d / (self.name + ".ppk"), self.lab.known_hosts.read_text()
        if not ppk.exists():
            subprocess.run(["puttygen", self.key, "-O", "private", "-o", ppk], check=True)
        line = next(x for x in text.splitlines() if "ssh-ed25519" in x and "127.0.0.1" in x)
        hostkey = subprocess.run(["ssh-keygen", "-lf", "-"], input=line, text=True, capture_output=True, check=True).stdout.split()[1]
        return self.run(["psftp", "-batch", "-hostkey", hostkey, "-i", ppk, "-P", self.lab.port, "-l", self.to, "127.0.0.1", "-b", "/dev/stdin"],
                        script.encode())

    def packets(self):
        return Packets(self.lab.ssh_argv(self.to, "-s", "sftp", key=self.key))


class Packets:
    """The sftp subsystem, a packet at a time."""

    def __init__(self, argv, version=3):
        self.p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.n = 0
        self.send(1, struct.pack(">I", version))
        self.version = self.read()

    def send(self, kind, body):
        self.p.stdin.write(struct.pack(">IB", len(body) + 1, kind) + body)
        self.p.stdin.flush()

    def read(self):
        head = self.p.stdout.read(4)
        assert len(head) == 4, self.p.stderr.read()
        body = self.p.stdout.read(struct.unpack(">I", head)[0])
        return body[0], body[1:]

    def ask(self, kind, *fields):
        """The kind of the answer and its body behind the number; of a STATUS its code."""
        self.n += 1
        self.send(kind, struct.pack(">I", self.n) + b"".join(f if isinstance(f, bytes) else struct.pack(">I", f) for f in fields))
        kind, body = self.read()
        assert struct.unpack(">I", body[:4])[0] == self.n
        return struct.unpack(">I", body[4:8])[0] if kind == 101 else (kind, body[4:])

    def open(self, path, flags):
        got = self.ask(3, s(path), flags, 0)
        return got if isinstance(got, int) else got[1]

    def close(self):
        self.p.stdin.close()
        status = self.p.wait(30)
        rest, err = self.p.stdout.read(), self.p.stderr.read().decode()
        self.p.stdout.close()
        self.p.stderr.close()
        return status, rest, err


def unchanged(path):
    """What a change would show; that it was read is none."""
    s = path.stat()
    return s.st_mode, s.st_ino, s.st_nlink, s.st_uid, s.st_size, s.st_mtime_ns, s.st_ctime_ns


def s(text):
    b = text if isinstance(text, bytes) else os.fsencode(text)
    return struct.pack(">I", len(b)) + b


def q(n):
    return struct.pack(">Q", n)


READ, WRITE, CREAT, TRUNC = 1, 2, 8, 16
OK, EOF, DENIED, FAILURE, UNSUPPORTED = 0, 1, 3, 4, 8


@pytest.fixture(scope="module")
def space(lab, tmp_path_factory):
    """A folder on the target that every account may write to, and one for the clients."""
    there = lab.data / "space"
    there.mkdir()
    there.chmod(0o777)
    return there, tmp_path_factory.mktemp("files"), lab.account_names()[0]


@pytest.fixture(scope="module")
def standard(lab):
    class Me:
        t0 = lab.info["targets"][0]
    return Me


@pytest.fixture(scope="module")
def down(lab, standard, space):
    return Person(lab, standard, "dora", "--files", "down", folder=space[1])


@pytest.fixture(scope="module")
def up(lab, standard, space):
    return Person(lab, standard, "ursa", "--files", "up", folder=space[1])


@pytest.fixture(scope="module")
def both(lab, standard, space):
    return Person(lab, standard, "bert", folder=space[1])


def put_there(space, name, data=b"secret of the target\n"):
    f = space[0] / name
    f.write_bytes(data)
    f.chmod(0o666)
    if os.geteuid() == 0:
        uid = dict(L.LAB_USERS)[space[2]]
        os.chown(f, uid, uid)
    return f


def put_here(space, name, data=b"news from the user\n"):
    (space[1] / name).write_bytes(data)
    return space[1] / name


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_grant_says_which_way_and_shows_it(lab, down, both):
    assert down.grant["files"] == "down" and "files" not in both.grant
    assert lab.ctl("grant", "show", down.grant["id"])["files"] == "down"
    r = lab.ctl_run("grant", "create", "--user", "dora", "--asset", "web1", "--account", "x", "--files", "sideways")
    assert r.returncode == 64 and "both" in r.stderr


# name, what a client runs (a function of person, remote file, local file), what it moves
WAYS = {
    "sftp get": ("down", lambda p, there, here: p.sftp("get %s %s" % (there, here))),
    "sftp put": ("up", lambda p, there, here: p.sftp("put %s %s" % (here, there))),
    "sftp-server by its path, get": ("down", lambda p, there, here: p.sftp("get %s %s" % (there, here), "-s", SFTP_SERVER)),
    "sftp-server by its path, put": ("up", lambda p, there, here: p.sftp("put %s %s" % (here, there), "-s", SFTP_SERVER)),
    "scp -s down": ("down", lambda p, there, here: p.scp("127.0.0.1:%s" % there, here, mode="-s")),
    "scp -s up": ("up", lambda p, there, here: p.scp(here, "127.0.0.1:%s" % there, mode="-s")),
    "scp -O down": ("down", lambda p, there, here: p.scp("-p", "127.0.0.1:%s" % there, here)),
    "scp -O up": ("up", lambda p, there, here: p.scp("-p", here, "127.0.0.1:%s" % there)),
    "rsync down": ("down", lambda p, there, here: p.rsync("-I", "127.0.0.1:%s" % there, here)),
    "rsync up": ("up", lambda p, there, here: p.rsync("-I", here, "127.0.0.1:%s" % there)),
}


@pytest.mark.parametrize("way", WAYS)
def test_files_go_the_way_that_the_grant_allows_and_no_other(space, down, up, way):
    """Every client gets through one way, and moves not a byte the other way."""
    direction, move = WAYS[way]
    for name, p in (("down", down), ("up", up)):
        there, here = put_there(space, "w-" + name, b"there\n"), put_here(space, "h-" + name, b"here\n")
        r = move(p, there, here)
        moved = there.read_bytes() == here.read_bytes()
        assert (r.returncode == 0) == moved == (direction == name), (way, name, r)
        if not moved:
            assert there.read_bytes() == b"there\n" and here.read_bytes() == b"here\n"


def test_down_changes_nothing_on_the_target(space, down):
    f = put_there(space, "keep")
    (space[0] / "dir").mkdir(exist_ok=True)
    before = unchanged(f)
    x = down.packets()
    for flags in (READ | WRITE, WRITE, WRITE | CREAT | TRUNC, CREAT, TRUNC, READ | TRUNC, READ | CREAT, READ | 4):
        assert x.open(f, flags) == DENIED, flags
    h = x.open(f, READ)
    assert isinstance(h, bytes)
    refused = [
        (6, h, q(0), s(b"x")),                                        # write to a file that is open for reading
        (9, s(f), 1, q(0)), (10, h, 1, q(0)), (9, s(f), 4, 0o600),    # setstat and fsetstat: a size of 0 empties a file
        (13, s(f)), (14, s(space[0] / "new"), 0), (15, s(space[0] / "dir")), (18, s(f), s(space[0] / "moved")),
        (20, s("/etc/passwd"), s(space[0] / "link")),
        (200, s("posix-rename@openssh.com"), s(f), s(space[0] / "moved")), (200, s("hardlink@openssh.com"), s(f), s(space[0] / "hard")),
        (200, s("lsetstat@openssh.com"), s(f), 4, 0o600), (200, s("fsync@openssh.com"), h),
        (200, s("copy-data"), h, q(0), q(0), h, q(0)),
    ]
    for kind, *fields in refused:
        assert x.ask(kind, *fields) == DENIED, (kind, fields)
    assert x.ask(200, s("check-file@example.com"), h) == UNSUPPORTED and x.ask(21, s(f), s("x"), 0) == UNSUPPORTED
    assert x.ask(5, h, q(0), 100)[0] == 103 and x.ask(4, h) == OK      # and it goes on
    assert x.ask(17, s(f))[0] == 105 and x.ask(16, s("."))[0] == 104
    assert x.ask(200, s("limits@openssh.com"))[0] == 201
    assert x.close()[0] == 0
    assert unchanged(f) == before and f.read_bytes() == b"secret of the target\n"
    assert sorted(p.name for p in space[0].iterdir() if p.name in ("new", "moved", "link", "hard", "dir")) == ["dir"]


def test_up_reads_nothing_from_the_target(space, up):
    f = put_there(space, "private")
    x = up.packets()
    for flags in (READ, 0, READ | WRITE, CREAT, TRUNC | CREAT):       # what is not opened for writing alone can be read
        assert x.open(f, flags) == DENIED, flags
    h = x.open(space[0] / "sent", WRITE | CREAT)
    assert isinstance(h, bytes)
    assert x.ask(6, h, q(0), s(b"abc")) == OK and x.ask(5, h, q(0), 10) == DENIED
    assert x.ask(20, s(f), s(space[0] / "sym")) == DENIED             # then it could be had by another way
    assert x.ask(200, s("hardlink@openssh.com"), s(f), s(space[0] / "hard")) == DENIED
    assert x.ask(200, s("copy-data"), h, q(0), q(0), h, q(0)) == DENIED
    assert x.ask(200, s("posix-rename@openssh.com"), s(space[0] / "sent"), s(space[0] / "sent2")) == OK
    assert x.ask(4, h) == OK
    assert x.close()[0] == 0
    assert (space[0] / "sent2").read_bytes() == b"abc" and not (space[0] / "hard").exists() and not (space[0] / "sym").is_symlink()


def test_refused_requests_leave_the_others_in_order(space, down):
    """64 at once, every second one refused, contents of WRITE among them: each gets its own answer."""
    f = put_there(space, "many", os.urandom(64 * 1000))
    x = down.packets()
    h = x.open(f, READ)
    out = b""
    for i in range(64):
        out += b"".join(struct.pack(">IB", len(b) + 1, k) + b for k, b in (
            (5, struct.pack(">I", 1000 + i) + h + q(i * 1000) + struct.pack(">I", 1000)),
            (6, struct.pack(">I", 2000 + i) + h + q(0) + s(b"w" * (500 * i)))))
    x.p.stdin.write(out)
    x.p.stdin.flush()
    data, refused = {}, set()
    for _ in range(128):
        kind, body = x.read()
        n = struct.unpack(">I", body[:4])[0]
        if kind == 103:
            data[n - 1000] = body[8:]
        else:
            assert struct.unpack(">I", body[4:8])[0] == DENIED
            refused.add(n)
    assert b"".join(data[i] for i in range(64)) == f.read_bytes() and refused == set(range(2000, 2064))
    assert x.ask(4, h) == OK and x.close()[0] == 0


def test_contents_of_a_file_that_is_not_open_yet_are_not_given(space, both):
    """A handle that is guessed before OPEN is answered: what it reads would belong to no file in the log."""
    f = put_there(space, "guessed")
    x = both.packets()
    x.send(3, struct.pack(">I", 7) + s(f) + struct.pack(">II", READ, 0))
    x.send(5, struct.pack(">I", 8) + s(b"\0\0\0\0") + q(0) + struct.pack(">I", 100))
    got = dict((struct.unpack(">I", b[:4])[0], (k, b[4:8])) for k, b in (x.read(), x.read()))
    assert got[7][0] == 102 and got[8] == (101, struct.pack(">I", FAILURE))
    assert x.close()[0] == 0


@pytest.mark.parametrize("bad", [b"\xff\xff\xff\xff\x03", b"\0\0\0\5\3\0\0\0\1", b"\0\0\0\1\4", b"GET / HTTP/1.0\r\n\r\n"])
def test_what_is_no_sftp_ends_the_channel(both, bad):
    x = both.packets()
    x.p.stdin.write(bad)
    x.p.stdin.flush()
    x.p.wait(30)
    status, rest, err = x.close()
    assert status == 255 and "did not keep to the SFTP protocol" in err


def test_a_newer_client_is_spoken_to_in_the_version_that_is_decoded(both, space):
    x = Packets(both.lab.ssh_argv(both.to, "-s", "sftp", key=both.key), version=6)
    assert x.version[0] == 2 and x.version[1][:4] == struct.pack(">I", 3)
    assert x.close()[0] == 0


@pytest.mark.parametrize("command", ["scp -f x; sh", "scp -f $(sh)", "scp -t -f x", "/usr/bin/scp -f x", "rsync --server --sender -e sh . x",
                                     "rsync --server --sender -slogDtpre.iLsfxCIvu . x", "sftp-server -R", "scp -f *"])
def test_a_shell_dressed_as_a_transfer_is_refused_under_a_direction(down, up, command):
    for p in (down, up):
        r = p.ssh(command, stdin=b"echo here\n")
        assert r.returncode == 255 and b"Your grant" in r.stderr and r.stdout == b"", (command, r)


def test_the_direction_of_scp_is_the_streams_too(space, both):
    """The request says -t: what comes out as a file is no scp."""
    p = subprocess.Popen(both.lab.ssh_argv(both.to, "scp", "-t", str(space[0]), key=both.key), stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.stdout.read(1) == b"\0"
    p.stdin.write(b"id; echo this is a shell\n")
    p.stdin.flush()
    assert p.wait(30) == 255 and b"scp protocol" in p.stderr.read()
    p.stdin.close(), p.stdout.close(), p.stderr.close()


def test_a_grant_without_files_opens_no_sftp(lab, standard, space):
    p = Person(lab, standard, "nina", "--files", "none", folder=space[1])
    r = p.sftp("ls")
    assert r.returncode != 0 and b"no files in either direction" in r.stderr
    assert p.ssh("true").returncode == 0


def test_a_direction_that_is_taken_away_holds_in_the_live_session(lab, standard, space):
    p = Person(lab, standard, "lina", folder=space[1])
    x = p.packets()
    h = x.open(space[0] / "live", WRITE | CREAT)
    assert x.ask(6, h, q(0), s(b"one")) == OK
    lab.ctl("grant", "create", "--user", "lina", "--asset", "web1", "--account", "*", "--files", "down")
    lab.ctl("grant", "delete", p.grant["id"])
    L.wait_for("the new direction", lambda: x.ask(6, h, q(3), s(b"two")) == DENIED)
    assert x.ask(4, h) == OK and x.close()[0] == 0


def test_many_requests_without_waiting(space, both):
    """paramiko asks for a whole file at once: more requests than are remembered; lftp has 64 in flight. Bytes arrive whole."""
    f = put_there(space, "big", os.urandom(35 * 1024 * 1024 + 7))
    with both.paramiko() as c:
        c.open_sftp().get(str(f), str(space[1] / "big.paramiko"))
    assert digest(space[1] / "big.paramiko") == digest(f)
    r = both.lftp("get %s -o big.lftp; put big.lftp -o %s" % (f, str(f) + "2"))
    assert r.returncode == 0, r
    assert digest(space[1] / "big.lftp") == digest(f) == digest(space[0] / "big2")
    for g in (f, space[0] / "big2", space[1] / "big.lftp", space[1] / "big.paramiko"):
        g.unlink()


# ---- the log

def found(p, *opts, n=None):
    """What `file search` says of this person's files, oldest first; waits until there are n."""
    ask = lambda: lab_files(p.lab, "--user", p.name, *opts)
    return ask() if n is None else L.wait_for("%d files of %s" % (n, p.name), lambda: (lambda r: r if len(r) >= n else None)(ask()))


def lab_files(lab, *opts):
    return lab.ctl("file", "search", "--limit", "10000", *opts)[::-1]


def exact(text):
    """The bytes of a path as the log shows it."""
    out, b = bytearray(), text.encode()
    while b:
        if b[:2] == b"\\\\":
            out, b = out + b"\\", b[2:]
        elif b[:2] == b"\\x":
            out, b = out + bytes([int(b[2:4], 16)]), b[4:]
        else:
            out, b = out + b[:1], b[1:]
    return bytes(out)


@pytest.fixture(scope="module")
def logged(lab, standard, space):
    return Person(lab, standard, "lola", folder=space[1])


CLIENTS = {
    "sftp": lambda p, there, here: p.sftp("put %s %s\nget %s %s.back\n" % (here, there, there, here)),
    "scp -s": lambda p, there, here: (p.scp(here, "127.0.0.1:%s" % there, mode="-s"), p.scp("127.0.0.1:%s" % there, "%s.back" % here, mode="-s")),
    "scp -O": lambda p, there, here: (p.scp(here, "127.0.0.1:%s" % there), p.scp("127.0.0.1:%s" % there, "%s.back" % here)),
    "paramiko": lambda p, there, here: p.paramiko_both(there, here),
    "lftp": lambda p, there, here: p.lftp("put %s -o %s; get %s -o %s.back" % (here, there, there, here)),
    "psftp": lambda p, there, here: p.psftp("put %s %s\nget %s %s.back\n" % (here, there, there, here)),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_each_file_is_in_the_log_with_its_hash(lab, space, logged, client):
    """Up and down with stock clients: path, bytes and SHA-256 are those of the file, and the entry is in the audit log."""
    data = os.urandom(3_000_001)
    here, there = put_here(space, "log.bin", data), space[0] / ("log-%s.bin" % client.replace(" ", ""))
    CLIENTS[client](logged, there, here)
    assert (space[1] / "log.bin.back").read_bytes() == data == there.read_bytes()
    want = hashlib.sha256(data).hexdigest()
    rows = L.wait_for("both ways", lambda: (lambda rows: len(rows) == 2 and rows)(
        {r["op"]: r for r in found(logged, "--path", there.name) if r["op"] in ("upload", "download")}))
    for op in ("upload", "download"):
        r = rows[op]
        assert (r["path"], r["bytes"], r["sha256"], r["from"], r["result"]) == (str(there), len(data), want, 0, "ok") or (
            client == "lftp" and r["result"] == "not closed" and r["sha256"] == want), r       # lftp leaves without waiting
        assert r["asset"] == "web1" and r["user"] == "lola" and r["via"] in ("sftp", "scp")
    assert [e for e in lab.ctl("audit", "list", "--limit", "1000") if e["kind"] == "file" and there.name in e["text"]]
    for f in (there, here, space[1] / "log.bin.back"):
        f.unlink()


def test_changes_of_names_and_refusals_are_in_the_log(lab, space, logged, down):
    base = space[0] / "names"
    logged.sftp("mkdir %s\nput %s %s/a\nrename %s/a %s/b\nln -s b %s/soft\nln %s/b %s/hard\nchmod 600 %s/b\nrm %s/b\nrm %s/soft\n"
                "rm %s/hard\nrmdir %s\n-rm %s/none" % ((base, put_here(space, "a")) + (base,) * 12))
    rows = [(r["op"], r["path"].replace(str(base), ""), r["result"]) for r in found(logged, "--path", "/names", n=11)]
    assert rows == [("mkdir", "", "ok"), ("upload", "/a", "ok"), ("posix-rename", "/a", "ok"), ("symlink", "b", "ok"), ("hardlink", "/b", "ok"),
                    ("setstat", "/b", "ok"), ("remove", "/b", "ok"), ("remove", "/soft", "ok"), ("remove", "/hard", "ok"), ("rmdir", "", "ok"),
                    ("remove", "/none", "no such file")], rows
    f = put_there(space, "refused")
    down.sftp("-rm %s\n-put %s %s\n" % (f, put_here(space, "a"), f))
    rows = [(r["op"], r["result"]) for r in found(down, "--path", f.name, n=2)]
    assert ("remove", "refused") in rows and ("upload", "refused") in rows


@pytest.mark.parametrize("name", [b"new\nline", b"\x1b[2J\x07\x9b", b"\xff\xfe not utf-8", b"back\\slash\\x41", "\u4e2d\u6587 \u202e".encode()])
def test_any_name_is_shown_escaped_and_can_be_had_back(space, logged, name):
    path = os.fsencode(space[0]) + b"/n-" + name
    x = logged.packets()
    h = x.open(path, WRITE | CREAT)
    assert x.ask(6, h, q(0), s(b"abc")) == OK and x.ask(4, h) == OK and x.close()[0] == 0
    rows = L.wait_for("the file", lambda: [r for r in found(logged, "--path", "/n-") if exact(r["path"]) == path])
    assert rows[0]["sha256"] == hashlib.sha256(b"abc").hexdigest() and rows[0]["path"].isprintable()
    r = logged.lab.ctl_run("file", "search", "--user", "lola")
    assert r.returncode == 0 and "\x1b" not in r.stdout and "\x9b" not in r.stdout


def test_what_goes_on_from_an_offset_says_so(space, logged):
    """reput and reget, and a write beyond 4 GiB: the hash is that of what passed, from there on."""
    data = os.urandom(2_000_000)
    here, there = put_here(space, "resume", data), put_there(space, "resume.there", data[:700_000])
    assert logged.sftp("reput %s %s" % (here, there)).returncode == 0
    (space[1] / "resume.back").write_bytes(data[:900_000])
    assert logged.sftp("reget %s %s" % (there, space[1] / "resume.back")).returncode == 0
    assert (space[1] / "resume.back").read_bytes() == data == there.read_bytes()
    up, down = found(logged, "--path", "resume.there", n=2)
    assert (up["from"], up["bytes"], up["sha256"]) == (700_000, 1_300_000, hashlib.sha256(data[700_000:]).hexdigest())
    assert (down["from"], down["bytes"], down["sha256"]) == (900_000, 1_100_000, hashlib.sha256(data[900_000:]).hexdigest())
    x = logged.packets()
    h = x.open(space[0] / "sparse", WRITE | READ | CREAT)
    assert x.ask(6, h, q((5 << 32) + 1), s(b"hello")) == OK
    assert x.ask(5, h, q((5 << 32) + 1), 100)[1][4:] == b"hello" and x.ask(4, h) == OK and x.close()[0] == 0
    (space[0] / "sparse").unlink()
    for r in found(logged, "--path", "sparse", n=2):
        assert (r["from"], r["bytes"], r["sha256"]) == ((5 << 32) + 1, 5, hashlib.sha256(b"hello").hexdigest())


def test_a_channel_that_is_cut_tells_of_open_files(lab, space, logged):
    x = logged.packets()
    h = x.open(space[0] / "cut", WRITE | CREAT)
    assert x.ask(6, h, q(0), s(b"half")) == OK
    sid = [r["id"] for r in lab.ctl("session", "list", "--state", "live", "--user", "lola")][0]
    lab.ctl("session", "kill", sid)
    x.p.wait(30), x.close()
    r = L.wait_for("the file", lambda: lab_files(lab, "--session", sid))
    assert [(f["op"], f["bytes"], f["result"]) for f in r] == [("upload", 4, "not closed")]


def test_5000_files_are_5000_entries(lab, space, logged):
    """Pipelined as fast as it goes: every one is found, with its own hash, once."""
    (space[0] / "lot").mkdir()
    (space[0] / "lot").chmod(0o777)
    x = logged.packets()
    for base in range(0, 5000, 500):
        names = range(base, base + 500)
        x.p.stdin.write(b"".join(struct.pack(">IBI", len(b) + 5, 3, i) + b for i in names
                                 for b in [s(space[0] / "lot" / str(i)) + struct.pack(">II", WRITE | CREAT, 0)]))
        x.p.stdin.flush()
        handles = {}
        for _ in names:
            kind, body = x.read()
            assert kind == 102
            handles[struct.unpack(">I", body[:4])[0]] = body[4:]
        x.p.stdin.write(b"".join(struct.pack(">IBI", len(b) + 5, k, n + i) + b for i in names for k, n, b in (
            (6, 10000, handles[i] + q(0) + s(b"contents of %d" % i)), (4, 20000, handles[i]))))
        x.p.stdin.flush()
        for _ in range(1000):
            kind, body = x.read()
            assert kind == 101 and body[4:8] == b"\0\0\0\0"
    assert x.close()[0] == 0
    rows = found(logged, "--path", "/lot/", n=5000)
    assert {(r["path"].rsplit("/", 1)[1], r["sha256"]) for r in rows} == {
        (str(i), hashlib.sha256(b"contents of %d" % i).hexdigest()) for i in range(5000)} and len(rows) == 5000


def test_entries_outlive_control_and_come_once(lab, space, logged):
    """Control is killed while files go: what it had not confirmed comes again, once."""
    x = logged.packets()
    pid = control_pid(lab)
    for i in range(40):
        h = x.open(space[0] / ("again%d" % i), WRITE | CREAT)
        assert x.ask(6, h, q(0), s(b"x")) == OK and x.ask(4, h) == OK
        if i == 20:
            os.kill(pid, 9)
    L.wait_for("a new control", lambda: (lambda p: p is not None and p != pid)(control_or_none(lab)))
    L.wait_for("control", lambda: lab.ctl_ok("status"))
    rows = found(logged, "--path", "/again", n=40)
    assert sorted(r["path"].rsplit("again", 1)[1] for r in rows) == sorted(map(str, range(40)))
    log = [e["more"]["seq"] for e in lab.ctl("audit", "list", "--limit", "200", "--kind", "file") if e["session"] == rows[0]["session"]]
    assert len(log) == len(set(log)) == 40
    assert x.close()[0] == 0


def control_or_none(lab):
    try:
        return control_pid(lab)
    except StopIteration:
        return None
