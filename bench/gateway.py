#!/usr/bin/env python3
"""./dev bench gateway: what the gateway costs, beside OpenSSH direct and OpenSSH's own jump host (`ssh -J`).

Every figure is a ratio taken in one run, the competitors interleaved, each repeated and the median kept. Prints a table
and writes JSON. CPU seconds are counted by control groups (root), so that processes that have ended count too.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

REPO = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / "tests" / "lab"), str(REPO / "bench" / "parts")]
import inforce  # noqa: E402
import response  # noqa: E402
import lab as L  # noqa: E402

GCM = ["-o", "Ciphers=aes256-gcm@openssh.com"]


class Group:
    """A control group whose CPU time can be read; None-like when there is none."""

    def __init__(self, name):
        self.path = None
        for base in ("/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
            p = pathlib.Path(base) / name
            try:
                p.mkdir(exist_ok=True)
                if (p / "cpuacct.usage").exists() or (p / "cpu.stat").exists():
                    self.path = p
                    break
                p.rmdir()
            except OSError:
                continue

    def take(self, pid):
        if self.path:
            for p in [pid, *descendants(pid)]:
                try:
                    (self.path / "cgroup.procs").write_text(str(p))
                except OSError:
                    pass

    def join(self):
        """In a child before exec."""
        if self.path:
            (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def settle(self):
        """ssh does not wait for its ProxyCommand: give those that are left a moment to end and be counted."""
        end = time.monotonic() + 2
        while self.path and time.monotonic() < end and (self.path / "cgroup.procs").read_text().strip():
            time.sleep(0.005)

    def seconds(self):
        if not self.path:
            return float("nan")
        f = self.path / "cpuacct.usage"
        if f.exists():
            return int(f.read_text()) / 1e9
        return int((self.path / "cpu.stat").read_text().split()[1]) / 1e6


def descendants(pid):
    out = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
    kids = {}
    for line in out.splitlines():
        p, pp = map(int, line.split())
        kids.setdefault(pp, []).append(p)
    found, todo = [], [pid]
    while todo:
        for k in kids.get(todo.pop(), []):
            found.append(k)
            todo.append(k)
    return found


def pss_kib(pids):
    total = 0
    for p in pids:
        try:
            for line in open("/proc/%d/smaps_rollup" % p):
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            pass
    return total


class Bench:
    def __init__(self, lab, a):
        self.lab, self.a, self.rows = lab, a, []
        self.key = lab.info["user_key"]
        account = lab.info["targets"][0].split("@")[0]
        self.account = account
        pub = pathlib.Path(str(self.key) + ".pub").read_text()
        self.ca = lab.ctl("ca", "show", "demo-ca")["public_key"]
        # One server takes all: the gateway's certificates, and the user's key for the direct and -J runs.
        self.target = lab.openssh("bench", ca_pub=self.ca, authorized=pub)
        self.jump = lab.openssh("jump", authorized=pub)
        lab.ctl("asset", "create", "bench", "--address", "127.0.0.1", "--port", self.target)
        lab.ctl("account", "create", "%s@bench" % account, "--ca", "demo-ca")
        lab.ctl("grant", "create", "--user", "alice", "--asset", "bench", "--account", "*")
        known = lab.known_hosts.read_text()
        for name, port in (("bench", self.target), ("jump", self.jump)):
            k = (lab.data / name / "hostkey.pub").read_text()
            known += "[127.0.0.1]:%d %s" % (port, k)
        lab.known_hosts.write_text(known)
        self.gw, self.jg, self.cl = (Group("sallyport-bench-" + x) for x in ("gateway", "jump", "client"))
        self.gw.take(lab.monitor_pid())
        self.jg.take(lab.procs["jump"].pid)

    # the three ways to the same server; port: another entrance (a delay relay) for the first hop
    def way(self, name, options=(), port=None):
        o = [*self.lab.ssh_options(self.key), *options]

        def hop(real):      # through a delay relay the server is still known by its own port
            return ["-p", str(port), "-o", "HostKeyAlias=[127.0.0.1]:%d" % real] if port else ["-p", str(real)]
        if name == "direct":
            return [*o, *hop(self.target), "-l", self.account]
        if name == "jump":
            proxy = " ".join(["ssh", *self.lab.ssh_options(self.key), *options, *hop(self.jump), "-l", self.account,
                              "-W", "127.0.0.1:%d" % self.target, "127.0.0.1"])
            return [*o, "-o", "ProxyCommand=" + proxy, "-p", str(self.target), "-l", self.account]
        return [*o, *hop(self.lab.port), "-l", "alice@%s@bench" % self.account]

    def run(self, argv, name="", **kw):
        t0 = time.monotonic()
        r = subprocess.run([str(x) for x in argv], stdin=kw.pop("stdin", subprocess.DEVNULL), stdout=kw.pop("stdout", subprocess.DEVNULL),
                           stderr=subprocess.PIPE, timeout=900, **kw)
        if r.returncode != 0:
            raise RuntimeError("%s: exit %d: %s" % (name or " ".join(map(str, argv[:3])), r.returncode, r.stderr[-300:]))
        return time.monotonic() - t0

    def run_counted(self, way, argv, gb, **kw):
        """Seconds, and CPU seconds per GB of all client processes and what is between client and server."""
        middle = {"ours": [self.gw], "jump": [self.jg], "direct": []}[way]
        groups = [self.cl, *middle]
        before = [g.seconds() for g in groups]
        t = self.run(argv, preexec_fn=self.cl.join, **kw)
        self.cl.settle()
        return t, sum(g.seconds() - b for g, b in zip(groups, before)) / gb

    def compare(self, figure, ways, once, goal, better="less", unit="s"):
        """once(way) -> number; interleaved, medians; the ratio is ours to ssh -J."""
        got = {w: [] for w in ways}
        for _ in range(self.a.repeat):
            for w in ways:
                got[w].append(once(w))
        med = {w: statistics.median(v) for w, v in got.items()}
        self.row(figure, med, goal, better, unit)
        return med

    def row(self, figure, med, goal, better, unit):
        ratio = med["ours"] / med["jump"] if med.get("jump") else None
        ok = None if ratio is None or goal is None else (ratio <= goal if better == "less" else ratio >= goal)
        self.rows.append({"figure": figure, "unit": unit, "ours": med.get("ours"), "ssh_J": med.get("jump"), "direct": med.get("direct"),
                          "ratio_to_ssh_J": ratio, "goal": "%s %g x ssh -J" % ("<=" if better == "less" else ">=", goal) if goal else "", "reached": ok})
        show(self.rows[-1])

    # -- figures
    def bulk(self):
        gb = self.a.gb
        n = int(gb * 1e9)
        cpu = {}

        def down(way):
            t, c = self.run_counted(way, ["ssh", *self.way(way, GCM), "127.0.0.1", "head -c %d /dev/zero" % n], gb)
            cpu.setdefault(("down", way), []).append(c)
            return t

        def up(way):
            with open(self.zero, "rb") as f:
                t, c = self.run_counted(way, ["ssh", *self.way(way, GCM), "127.0.0.1", "cat >/dev/null"], gb, stdin=f)
            cpu.setdefault(("up", way), []).append(c)
            return t
        with tempfile.NamedTemporaryFile(dir=self.lab.dir) as z:
            os.truncate(z.name, n)
            self.zero = z.name
            ways = ("direct", "jump", "ours")
            self.compare("exec download %g GB" % gb, ways, down, 1.0)
            self.compare("exec upload %g GB" % gb, ways, up, 1.0)
        for d in ("down", "up"):
            med = {w: statistics.median(cpu[d, w]) for w in ("direct", "jump", "ours")}
            self.row("CPU of client + gateway per GB, %sload" % d, med, 1.0, "less", "CPU s")

    def sftp_batch(self, way, batch, port=None):
        o = self.way(way, GCM, port)
        i = o.index("-p")
        o[i] = "-P"
        j = o.index("-l")
        o[j:j + 2] = ["-o", "User=" + o[j + 1]]
        with open(self.batch, "w") as f:
            f.write(batch)
        return self.run(["sftp", "-q", "-b", self.batch, *o, "127.0.0.1"], name="sftp " + way)

    def sftp(self, delay_ms=0):
        label = " with %d ms" % delay_ms if delay_ms else ""
        relays, ports = [], {}
        mb = self.a.sftp_mb if not delay_ms else min(self.a.sftp_mb, self.a.delay_mb)
        files = self.a.files if not delay_ms else max(1, self.a.files // 50)
        if delay_ms:
            for way, to in (("direct", self.target), ("jump", self.jump), ("ours", self.lab.port)):
                ports[way] = L.free_port()
                relays.append(subprocess.Popen([self.lab.build / "bench" / "delay", str(ports[way]), "127.0.0.1", str(to), str(delay_ms / 2)]))
                L.wait_for("the relay", lambda: L.port_open(ports[way]))
        work = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))
        remote = "/dev/shm/sp-bench-%d" % os.getpid()
        self.batch = str(work / "batch")
        try:
            os.makedirs(remote, exist_ok=True)
            os.chmod(remote, 0o777)
            with open(work / "big", "wb") as f:
                for _ in range(mb):
                    f.write(os.urandom(1 << 20))
            many = work / "many"
            many.mkdir()
            for i in range(files):
                (many / ("f%05d" % i)).write_bytes(os.urandom(4096))
            ways = ("direct", "jump", "ours")
            goal_up = 1 / 0.6 if delay_ms else 1.0
            self.compare("sftp put %d MiB%s" % (mb, label), ways, lambda w: self.sftp_batch(w, "put %s %s/big" % (work / "big", remote), ports.get(w)), goal_up)
            self.compare("sftp get %d MiB%s" % (mb, label), ways, lambda w: self.sftp_batch(w, "get %s/big %s" % (remote, work / "back"), ports.get(w)), 1.0)
            self.compare("sftp put %d files of 4 KiB%s" % (files, label), ways,
                         lambda w: self.sftp_batch(w, "put -r %s %s" % (many, remote), ports.get(w)), goal_up)
            self.compare("sftp get %d files of 4 KiB%s" % (files, label), ways,
                         lambda w: self.sftp_batch(w, "get -r %s/many %s" % (remote, work / "back-many"), ports.get(w)), 1.0)
        finally:
            for r in relays:
                r.terminate()
                r.wait()
            shutil.rmtree(work)
            shutil.rmtree(remote, ignore_errors=True)

    def connect(self):
        ways = ("direct", "jump", "ours")
        for parallel in (1, 10):
            times = {w: [] for w in ways}
            end = time.monotonic() + self.a.seconds * len(ways)
            slot = 2.0
            with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
                while time.monotonic() < end:
                    for w in ways:          # short turns, so that all see the same machine
                        stop = time.monotonic() + slot
                        argv = ["ssh", *self.way(w), "127.0.0.1", "true"]

                        def worker():
                            got = []
                            while time.monotonic() < stop:
                                got.append(self.run(argv))
                            return got
                        for f in [pool.submit(worker) for _ in range(parallel)]:
                            times[w] += f.result()
            for name, pick in (("p50", 50), ("p99", 99)):
                med = {w: statistics.quantiles(times[w], n=100)[pick - 1] * 1000 for w in ways}
                self.row("connect + true, %d at a time, %s (n=%d)" % (parallel, name, len(times["ours"])), med, 0.8 if pick == 50 else None, "less", "ms")

    def memory(self):
        n = self.a.sessions
        med = {}
        for w in ("jump", "ours"):
            mon = self.lab.monitor_pid() if w == "ours" else self.lab.procs["jump"].pid
            before = pss_kib(descendants(mon))
            jobs = []
            for i in range(n):
                argv = ["ssh", *self.way(w), "127.0.0.1", "echo up; cat"]
                jobs.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
                if i % 10 == 9:
                    for j in jobs[-10:]:
                        j.stdout.readline()
            time.sleep(3)
            med[w] = (pss_kib(descendants(mon)) - before) / n
            for j in jobs:
                j.stdin.close()
            for j in jobs:
                j.wait()
        self.row("PSS per idle session, %d sessions" % n, med, 1.0, "less", "KiB")

    def access(self):
        exe = self.lab.build / "bench" / "access"
        if not exe.exists():
            return
        r = subprocess.run([str(exe), "--json"], capture_output=True, text=True, timeout=1200)
        if r.returncode == 0:
            self.access_json = json.loads(r.stdout[r.stdout.index("{") if "{" in r.stdout else 0:])
            print(json.dumps(self.access_json, indent=1))
        else:
            print("access: %s" % r.stderr[-300:])


    def ours_only(self, figure, value, goal, unit):
        self.rows.append({"figure": figure, "ours": value, "ssh_J": None, "direct": None, "unit": unit, "ratio_to_ssh_J": None,
                          "goal": goal, "reached": value <= goal})
        show(self.rows[-1])

    def menu(self):
        r = subprocess.run([str(self.lab.build / "bench" / "menu"), "--json"], capture_output=True, text=True, timeout=900, check=True)
        j = json.loads(r.stdout)
        self.ours_only("300,000 grants: store opened to first list, p99", j["list_p99_ms"], 1000, "ms")
        self.ours_only("menu of 10,000 assets: first screen", j["first_screen_ms"], 100, "ms")
        self.ours_only("menu of 10,000 assets: each key, p50", j["key_p50_ms"], 20, "ms")
        self.ours_only("menu of 10,000 assets: each key, p99", j["key_p99_ms"], 20, "ms")

    def oracle(self):
        exe = self.lab.build / "tests" / "unit" / "src" / "control" / "test_oracle"
        r = subprocess.run([str(exe), "10000", str(os.getpid())], capture_output=True, text=True, timeout=900)
        print(r.stderr, end="")
        j = json.loads(r.stdout)
        self.ours_only("10,000 changes, %d answers: wrong ones" % j["compared"], j["difference"], 0, "")


def show(r):
    f = lambda v: "%10.3f" % v if isinstance(v, (int, float)) else "%10s" % "-"
    print("%-48s %s %s %s  %-6s %6s  %s" % (r["figure"], f(r["ours"]), f(r["ssh_J"]), f(r["direct"]), r["unit"],
          "%.2f" % r["ratio_to_ssh_J"] if r["ratio_to_ssh_J"] else "-",
          {True: "reached", False: "NOT REACHED", None: ""}[r["reached"]] + (" (%s)" % r["goal"] if r["goal"] else "")), flush=True)


def machine():
    cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release(), "load_at_start": os.getloadavg()[0],
            "openssh": subprocess.run(["ssh", "-V"], capture_output=True, text=True).stderr.strip()}


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--build", required=True, help=argparse.SUPPRESS)
    ap.add_argument("--quick", action="store_true", help="a tenth of the volume, for a first look")
    ap.add_argument("--only", default="bulk,sftp,delay,connect,memory,access,menu,oracle,inforce,empty,response", help="comma list of parts")
    ap.add_argument("--repeat", type=int, default=0, help="times that each figure is taken (default 3)")
    ap.add_argument("--json", default="run/bench/gateway.json", help="where the JSON goes")
    a = ap.parse_args()
    q = a.quick
    a.gb, a.sftp_mb, a.delay_mb, a.files = (0.2, 100, 50, 500) if q else (2.0, 1000, 200, 5000)
    repeat, a.seconds, a.sessions = (1, 6, 50) if q else (3, 30, 300)
    a.repeat = a.repeat or repeat
    parts = a.only.split(",")
    print(json.dumps(machine()))
    print("%-48s %10s %10s %10s  %-6s %6s" % ("figure", "ours", "ssh -J", "direct", "unit", "ratio"))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sp-bench-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        with L.Lab(folder, a.build, config={"max_startups_source": 1000, "max_startups": 2000, "siem_disables": 1000}) as lab:
            lab.info = L.standard(lab)
            b = Bench(lab, a)
            for name, fn in (("bulk", b.bulk), ("sftp", b.sftp), ("delay", lambda: b.sftp(50)), ("connect", b.connect),
                             ("memory", b.memory), ("access", b.access), ("menu", b.menu), ("oracle", b.oracle),
                             ("inforce", lambda: inforce.changes(b, 5 if q else inforce.ROUNDS)),
                             ("empty", lambda: inforce.empty(b, 2 if q else 5)),
                             ("response", lambda: response.response(b, 3 if q else response.ROUNDS))):
                if name in parts:
                    fn()
            out = pathlib.Path(a.json)
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps({"machine": machine(), "rows": b.rows, "access": getattr(b, "access_json", None)}, indent=1) + "\n")
            print("JSON: %s" % out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
