"""./dev bench gateway --only inforce,empty: how long a change takes until people feel it, and a start over a full store.

inforce  Grants come and go while 20 sessions live. From the start of the command that made or removed one until a stock ssh
         has got in (a login of its own; a channel of a connection that is open), or has been cut off.
empty    An installation over a store of 3,000 users, 30,000 assets and 300,000 grants that starts with nothing in memory:
         from exec of the monitor until the menu of somebody who has just logged in shows exactly what he is granted.
Both are measured from outside, through real processes; the cost of the command and of ssh itself is in each figure.
"""
import collections
import contextlib
import fcntl
import os
import pathlib
import pty
import random
import re
import select
import struct
import subprocess
import tempfile
import termios
import time

import lab as L

ROUNDS, LIVE = 40, 20
USERS, ASSETS, GRANTS = 3000, 30000, 300000
GIVE_UP = 30            # seconds
PAGE = 64               # what the menu shows at most at once


def p99(values):
    """Nearest rank: of 40 rounds the slowest one."""
    return sorted(values)[max(0, -(-99 * len(values) // 100) - 1)]


def ms(since):
    return (time.monotonic() - since) * 1000


def until(what, check):
    end = time.monotonic() + GIVE_UP
    while not check():
        if time.monotonic() > end:
            raise RuntimeError("%s: not within %d s" % (what, GIVE_UP))


# -- a grant made or removed

class Changes:
    def __init__(self, lab, key, asset, account):
        self.lab, self.key, self.asset, self.account = lab, key, asset, account
        self.to = "alice@%s@%s" % (account, asset)
        self.got = collections.defaultdict(list)

    def grant(self, *more):
        self.lab.ctl("grant", "create", "--name", "turn", "--user", "alice", "--asset", self.asset, "--account", "*", *more)

    def login(self):
        """Made: the next login gets in. Removed: the session that lives is ended."""
        t0 = time.monotonic()
        self.grant()
        until("a login", lambda: self.lab.ssh(self.to, "true", key=self.key).returncode == 0)
        self.got["made, next login"].append(ms(t0))
        live = L.Echo(self.lab, None, self.lab.ssh_argv(self.to, "cat", key=self.key))
        t0 = time.monotonic()
        self.lab.ctl("grant", "delete", "turn")
        live.p.wait(GIVE_UP)
        self.got["removed, live session ended"].append(ms(t0))
        live.end()
        if self.lab.ssh(self.to, "true", key=self.key).returncode == 0:
            raise RuntimeError("a login after the grant has gone")

    def channel(self, mux):
        """The same for a channel on a connection that lives: sftp, where only exec was granted."""
        def opens():
            return subprocess.run(["ssh", "-S", mux, "-s", "x", "sftp"], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0
        if opens():
            raise RuntimeError("a channel without a grant")
        t0 = time.monotonic()
        self.grant("--protocol", "sftp")
        until("a channel", opens)
        self.got["made, next channel"].append(ms(t0))
        t0 = time.monotonic()
        self.lab.ctl("grant", "delete", "turn")
        until("the channel's end", lambda: not opens())
        self.got["removed, next channel refused"].append(ms(t0))


def changes(bench, rounds=ROUNDS):
    """Rows of bench (gateway.py's Bench): the slowest of `rounds` rounds of each kind."""
    lab = bench.lab
    for name in ("turn", "half"):
        lab.ctl("asset", "create", name, "--address", "127.0.0.1", "--port", bench.target)
        lab.ctl("account", "create", "%s@%s" % (bench.account, name), "--ca", "demo-ca")
    lab.ctl("grant", "create", "--user", "alice", "--asset", "half", "--account", "*", "--protocol", "exec")
    bystanders = [L.Echo(lab, None, lab.ssh_argv("alice@%s@bench" % bench.account, "cat", key=bench.key)) for _ in range(LIVE)]
    turn, half = (Changes(lab, bench.key, a, bench.account) for a in ("turn", "half"))
    mux = str(lab.dir / "bench-mux")
    master = subprocess.Popen(lab.ssh_argv(half.to, "-N", "-M", "-S", mux, key=bench.key), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until("the connection", lambda: os.path.exists(mux))
        if subprocess.run(["ssh", "-S", mux, "x", "true"], stdin=subprocess.DEVNULL, capture_output=True).returncode != 0:
            raise RuntimeError("the connection does not work")
        for _ in range(rounds):
            turn.login()
            half.channel(mux)
        for b in bystanders:        # nothing of this was about them
            b.say("still here")
    finally:
        master.terminate()
        master.wait()
        for b in bystanders:
            b.end()
    for c in (turn, half):
        for what, values in c.got.items():
            bench.ours_only("grant %s: p99 (n=%d)" % (what, len(values)), p99(values), 1000, "ms")


# -- a full store and an empty gate

def people(rng):
    """What everybody is granted: login -> sorted names of assets."""
    mine = collections.defaultdict(set)
    for g in range(GRANTS):
        mine["user%04d" % (g % USERS)].add("web-%05d" % rng.randrange(ASSETS))
    return {u: sorted(a) for u, a in mine.items()}


def fill(lab, folder, mine, keys):
    """keys: login -> key file, of those who will log in."""
    pub = {u: pathlib.Path(str(k) + ".pub").read_text().strip() for u, k in keys.items()}
    files = {
        "users": ["login,keys"] + ["%s,%s" % (u, pub.get(u, "")) for u in mine],
        "assets": ["name,address,remark"] + ["web-%05d,10.%d.%d.%d,rack %d" % (i, i >> 16, i >> 8 & 255, i & 255, i % 40) for i in range(ASSETS)],
        "accounts": ["asset,name,kind"] + ["web-%05d,deploy,same" % i for i in range(ASSETS)],
        # Twice the same asset is one entry of the list and two grants: the number of rows is what it says.
        "grants": ["name,user,asset,accounts"] + ["g%d,%s,%s,*" % (n, u, a) for n, (u, a) in enumerate(
            (u, a) for u, assets in mine.items() for a in (assets * 2)[:GRANTS // USERS])],
    }
    for kind, lines in files.items():
        path = folder / (kind + ".csv")
        path.write_text("\n".join(lines) + "\n")
        r = subprocess.run(lab.ctl_argv("import", kind, path), capture_output=True, text=True, timeout=1800)
        path.unlink()
        if r.returncode != 0:
            raise RuntimeError("import %s: %s" % (kind, r.stderr[-300:]))


class Screen:
    """ssh at a tall terminal: the menu shows PAGE lines of the list."""

    def __init__(self, argv, rows=80, cols=120):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(argv[0], [str(a) for a in argv])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        self.seen = b""

    def names(self):
        return sorted(set(re.findall(r"web-\d{5}", self.seen.decode(errors="replace"))))

    def read_until(self, check):
        end = time.monotonic() + GIVE_UP
        while not check():
            if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
                raise RuntimeError("the list did not come: %r" % self.seen[-500:])
            try:
                part = os.read(self.fd, 65536)
            except OSError:
                part = b""
            if not part:
                raise RuntimeError("ssh ended: %r" % self.seen[-500:])
            self.seen += part

    def close(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def start_to_list(lab, login, expected, key):
    """Seconds from exec of the monitor to the list on the screen: how many there are, and the first page of them. That the
    rest is right is looked at afterwards."""
    t0 = time.monotonic()
    lab.spawn("sallyport", [lab.exe("sallyport-monitor"), "-f", lab.conf])
    until("the port", lambda: L.port_open(lab.port))
    s = Screen(["ssh", "-tt", *lab.ssh_options(key), "-p", lab.port, "-l", login, "127.0.0.1"])
    try:
        s.read_until(lambda: b"of %d " % len(expected) in s.seen and b"Number or search>" in s.seen)
        took, first = time.monotonic() - t0, s.names()
        for page in range(2, -(-len(expected) // PAGE) + 1):
            os.write(s.fd, b"\r")
            s.read_until(lambda: b"%d-%d of" % ((page - 1) * PAGE + 1, min(page * PAGE, len(expected))) in s.seen)
    finally:
        s.close()
    if first != expected[:PAGE] or s.names() != expected:
        raise RuntimeError("%s sees another list than he is granted" % login)
    return took


def empty(bench, rounds=5):
    """Row of bench: the slowest of a few cold starts."""
    mine = people(random.Random(1))
    folder = pathlib.Path(tempfile.mkdtemp(dir=bench.lab.dir))
    folder.chmod(0o755)
    with contextlib.closing(L.Lab(folder, bench.lab.build)) as lab:
        logins = ["user%04d" % (n * 577 % USERS) for n in range(rounds)]
        keys = {u: lab.key(u) for u in logins}
        lab.start()
        lab.ctl("vault", "init", "--keyfile", lab.data / "unseal.key", "--admin", "admin", "--admin-key", str(lab.key("admin.key")) + ".pub")
        fill(lab, folder, mine, keys)
        lab.trust()
        took = []
        for login in logins:
            lab.stop("sallyport")
            took.append(start_to_list(lab, login, mine[login], keys[login]) * 1000)
        bench.ours_only("%d,%03d grants: empty gate to first list, %d starts" % (GRANTS // 1000, GRANTS % 1000, rounds), max(took), 1000, "ms")
