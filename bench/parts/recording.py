"""Rows of ./dev bench evidence: what recording costs a session, and what a recording takes.

*Off* is a second installation whose session processes hand their recorders no byte (bench/norecord.c, linked for this bench only);
everything else is the same, and both serve the same files from a server of their own.
"""
import contextlib
import os
import pathlib
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(REPO / "tests" / "lab")]
import lab as L  # noqa: E402

GCM = ["-o", "Ciphers=aes256-gcm@openssh.com"]


class Way:
    """An installation with one server, and the way to it."""

    def __init__(self, stack, build, scratch, name, recording=True):
        self.name = name
        self.lab = stack.enter_context(L.Lab(scratch / name, build, config={"max_startups_source": 100, "max_startups": 200},
                                             monitor_args=[] if recording else ["-l", "%s:%s" % (build / "bench", build / "src" / "monitor")]))
        info = L.standard(self.lab)
        self.key, self.login = info["user_key"], "alice@%s" % info["targets"][0]
        pub = pathlib.Path(str(self.key) + ".pub").read_text()
        self.direct_port = self.lab.openssh("direct", authorized=pub)
        self.account = info["targets"][0].split("@")[0]
        with open(self.lab.known_hosts, "a") as f:
            f.write("[127.0.0.1]:%d %s" % (self.direct_port, (self.lab.data / "direct" / "hostkey.pub").read_text()))

    def ssh(self, *args, options=()):
        return self.lab.ssh_argv(self.login, *args, key=self.key, options=[*GCM, *options])

    def direct(self, *args, options=()):
        return ["ssh", *self.lab.ssh_options(self.key), *GCM, *options, "-p", str(self.direct_port), "-l", self.account, "127.0.0.1", *args]

    def sftp(self, batch):
        argv = self.ssh()
        argv[argv.index("-p")] = "-P"
        i = argv.index("127.0.0.1")
        if "-l" in argv:
            j = argv.index("-l")
            argv[j:j + 2] = ["-o", "User=" + argv[j + 1]]
            i = argv.index("127.0.0.1")
        return ["sftp", "-q", "-b", str(batch), *argv[1:i + 1]]

    def scribes(self):
        out = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,args="], capture_output=True, text=True).stdout
        rows = [line.split(None, 2) for line in out.splitlines()]
        mine = {r[0] for r in rows if r[1] == str(self.lab.monitor_pid()) and "scribe" in r[2]}
        return [int(r[0]) for r in rows if r[1] in mine]

    def sessions(self):
        return {s["id"]: s for s in self.lab.ctl("session", "list", "--limit", "1000")}


@contextlib.contextmanager
def ways(build, scratch, *names):
    scratch.chmod(0o755)
    with contextlib.ExitStack() as stack:
        yield [Way(stack, build, scratch, n, n != "off") for n in names]


def pss_kib(pids):
    total = 0
    for p in pids:
        with contextlib.suppress(OSError), open("/proc/%d/smaps_rollup" % p) as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    return total


def timed(argv):
    t0 = time.monotonic()
    subprocess.run([str(a) for a in argv], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.monotonic() - t0


def throughput(figure, build, scratch, gb=1.0, rounds=5):
    """On beside off, in turns; the ratio of the medians of bytes a second."""
    n = int(gb * 1e9)
    shm = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))
    shm.chmod(0o777)
    rows = []
    try:
        with open(shm / "big", "wb") as f:
            for _ in range(n // 10_000_000):
                f.write(os.urandom(10_000_000))
        os.chmod(shm / "big", 0o644)
        (shm / "get").write_text("get %s/big %s/back\n" % (shm, shm))
        with ways(build, scratch, "on", "off") as both:
            for what, argv in (("exec", lambda w: w.ssh("head -c %d /dev/zero" % n)), ("sftp get", lambda w: w.sftp(shm / "get"))):
                took = {w.name: [] for w in both}
                for _ in range(rounds):
                    for w in both:
                        took[w.name].append(timed(argv(w)))
                ratio = round(statistics.median(took["off"]) / statistics.median(took["on"]), 2)
                rows.append(figure("%s %g GB: throughput with recording and SHA-256, beside off" % (what, gb), ratio, "x", ">= 0.85", ratio >= 0.85))
    finally:
        shutil.rmtree(shm)
    return rows


class Keys:
    """A program that the terminal of the target echoes for; one key at a time."""

    def __init__(self, argv):
        self.p = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
        self.took = []
        self.until(b"ready")

    def until(self, what):
        got = b""
        while what not in got:
            if not select.select([self.p.stdout], [], [], 20)[0]:
                raise RuntimeError("no echo")
            got += os.read(self.p.stdout.fileno(), 4096)

    def press(self, n):
        for _ in range(n):
            time.sleep(0.005)       # all that has a part in it sleeps, as between the keys of a person
            t0 = time.perf_counter()
            self.p.stdin.write(b"x")
            self.until(b"x")
            self.took.append((time.perf_counter() - t0) * 1000)

    def end(self):
        self.p.kill()
        self.p.wait()


def echo(figure, build, scratch, turns=40, each=25):
    """Keys that are no Enter, in the same shell of the same machine, direct and through the gateway in turns."""
    with ways(build, scratch, "on") as (w,):
        run = "echo ready; exec cat"
        keys = {"ours": Keys(w.ssh(run, options=["-tt"])), "direct": Keys(w.direct(run, options=["-tt"]))}
        for k in keys.values():
            k.press(20)
            k.took.clear()
        for _ in range(turns):
            for k in keys.values():
                k.press(each)
        for k in keys.values():
            k.end()
    p = {name: statistics.quantiles(k.took, n=100) for name, k in keys.items()}
    p50, p99 = (round(p["ours"][i] - p["direct"][i], 3) for i in (49, 98))
    return [figure("keystroke echo, away from Enter: added p50", p50, "ms", "<= 0.3", p50 <= 0.3),
            figure("keystroke echo, away from Enter: added p99", p99, "ms", "<= 2", p99 <= 2)]


def recorded_y(w, sid):
    """How many y the terminal of a recording has printed, read with stock tools."""
    f = next((w.lab.data / "state" / "recordings").rglob(sid + ".0001.age"))
    p = subprocess.Popen("age -d -i '%s' '%s' | zstd -dcq" % (w.lab.auditor()[0], f), shell=True, stdout=subprocess.PIPE)
    n = 0
    for line in p.stdout:
        code = line.find(b', "o", "')
        if 0 <= code < 40:
            n += line.count(b"y", code + 8)
    if p.wait() != 0:
        raise RuntimeError("the recording of %s cannot be read" % sid)
    return n


def yes(figure, build, scratch, seconds=30, sessions=10):
    """Terminals that print all the time. Memory: recorders and sessions of the installation, at a third and at the end."""
    got, grown, lost = {}, None, None

    def one(w, out):
        r = subprocess.run(["sh", "-c", '"$@" </dev/null | wc -c', "sh",
                            *map(str, w.ssh("timeout %d yes" % seconds, options=["-tt"]))], capture_output=True, text=True)
        out.append(int(r.stdout))
    with ways(build, scratch, "on", "off") as both:
        for w in both:
            counts, before = [], set(w.sessions())
            threads = [threading.Thread(target=one, args=(w, counts)) for _ in range(sessions)]
            for t in threads:
                t.start()
            if w.name == "on":
                time.sleep(seconds / 3)
                first = pss_kib(w.scribes())
                time.sleep(seconds / 2)
                grown = pss_kib(w.scribes()) / first
            for t in threads:
                t.join()
            got[w.name] = sum(counts)
            if w.name == "on":
                def over(w=w, before=before):
                    new = [s for i, s in w.sessions().items() if i not in before]
                    return new if len(new) == sessions and all(s["state"] == "ended" for s in new) else None
                new = L.wait_for("the ends of all sessions", over, 60)
                # Each line is y, CR, LF; the last one may be cut by the end.
                lost = sum(abs(s["bytes_out"] - 3 * recorded_y(w, s["id"])) > 3 for s in new)
                for s in new:       # tens of megabytes each
                    next((w.lab.data / "state" / "recordings").rglob(s["id"] + ".0001.age")).unlink()
    ratio = round(got["on"] / got["off"], 2)
    return [figure("%d x yes for %d s: bytes beside off" % (sessions, seconds), ratio, "x", ">= 0.7", ratio >= 0.7),
            figure("their recordings that lack a byte", lost, "", "0", lost == 0),
            figure("memory of their recorders, end beside a third", round(grown, 2), "x", "<= 1.2", grown <= 1.2)]


# What people do on servers: listings in colour, text that scrolls, a screen that is drawn anew, a bar that grows.
WORK = r"""
export TERM=xterm-256color
for i in 1 2 3; do ls -la --color=always /usr/bin | head -300; sleep 0.4; done
for i in $(seq 60); do printf '\r[%-60s] %3d%%' "$(printf '%*s' $i | tr ' ' '#')" $((i * 100 / 60)); sleep 0.05; done; echo
for i in $(seq 25); do printf '\033[H\033[2J'; ps -eo pid,user,pcpu,pmem,vsz,rss,stat,time,comm | head -40; sleep 0.15; done
for f in /usr/share/common-licenses/GPL-3 /etc/services; do fold -w 79 $f | while read -r l; do printf '%s\n' "$l"; done; sleep 0.3; done
for i in $(seq 200); do echo "Nov 22 07:00:$((i % 60)) host app[$((i * 7919 % 30000))]: request $i took $((i * 31 % 97)) ms from 10.0.$((i % 7)).$((i * 3 % 250))"; sleep 0.01; done
"""


def size(figure, build, scratch):
    """The file that lies on disk, beside asciinema's, compressed by gzip, of the same program."""
    with ways(build, scratch, "on") as (w,):
        script = w.lab.data / "work.sh"
        script.write_text(WORK)
        script.chmod(0o755)
        before = set(w.sessions())
        timed(w.ssh("stty cols 80 rows 24; sh %s" % script, options=["-tt"]))
        sid = L.wait_for("the end", lambda: [i for i, s in w.sessions().items() if i not in before and s["state"] == "ended"])[0]
        ours = next((w.lab.data / "state" / "recordings").rglob(sid + ".0001.age")).stat().st_size
        cast = scratch / "peer.cast"
        subprocess.run(["script", "-qec", "stty cols 80 rows 24; asciinema rec -q -c 'sh %s' %s" % (script, cast), "/dev/null"], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        subprocess.run(["gzip", "-k", cast], check=True)
        peer = cast.with_suffix(".cast.gz").stat().st_size
    ratio = round(ours / peer, 2)
    return [figure("recording size, beside asciinema rec + gzip (%d KiB)" % (peer // 1024), ratio, "x", "<= 1.25", ratio <= 1.25)]


def memory(figure, build, scratch, n=20):
    with ways(build, scratch, "on") as (w,):
        jobs = []
        for _ in range(n):
            jobs.append(Keys(w.ssh("echo ready; exec cat", options=["-tt"])))
            jobs[-1].press(5)
        time.sleep(5)       # what a beginning leaves goes back after a second
        kib = pss_kib(w.scribes()) / n
        for j in jobs:
            j.end()
    return [figure("PSS of an idle recorder, terminal of 80x24", round(kib), "KiB", "<= 1024", kib <= 1024)]
