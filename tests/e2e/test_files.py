"""Files through sftp, scp and rsync: which way they may go, decided on the decoded stream, with stock clients."""
import hashlib
import os
import shlex
import struct
import subprocess

import pytest

import lab as L
from test_access import person

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
    f = put_there(space, "big", os.urandom(48 * 1024 * 1024 + 7))
    with both.paramiko() as c:
        c.open_sftp().get(str(f), str(space[1] / "big.paramiko"))
    assert digest(space[1] / "big.paramiko") == digest(f)
    r = both.run(["lftp", "-c", "set sftp:connect-program 'ssh %s'; set sftp:max-packets-in-flight 64; open -u %s,x -p %d sftp://127.0.0.1;"
                  "get %s -o big.lftp; put big.lftp -o %s" % (" ".join(map(shlex.quote, both.opts)), both.to, both.lab.port, f, str(f) + "2")])
    assert r.returncode == 0, r
    assert digest(space[1] / "big.lftp") == digest(f) == digest(space[0] / "big2")
    for g in (f, space[0] / "big2", space[1] / "big.lftp", space[1] / "big.paramiko"):
        g.unlink()
