"""./dev bench gateway --only response: from the third refused command of a user until the last of his 20 sessions is cut.

The rule is one that counts commands with a marker, so that the figure is of the loop and not of the shell: entry of the audit log
durable, judged, alert and user's row written, sessions ended. Measured from outside: from the start of the third command over a connection
that is open, to the end of the last session's client. Beside it the p99 of an fdatasync of 4 KiB in the same directory and run.
"""
import os
import subprocess
import time

import lab as L
from inforce import GIVE_UP, ms, p99, until

ROUNDS, LIVE = 20, 20
RULE = """
title: A marked command
name: marked
logsource: {product: sallyport, service: audit}
detection: {sel: {kind: channel.open, more.detail|contains: forbidden-word}, condition: sel}
---
title: Three marked commands
correlation: {type: event_count, rules: [marked], group-by: [user_id], timespan: 24h, condition: {gte: 3}}
level: high
sallyport: {rearm: reset, respond: [kill, disable]}
"""


def fsync_p99(folder, n=400):
    fd = os.open(os.path.join(folder, "bench-fsync"), os.O_CREAT | os.O_WRONLY, 0o600)
    took = []
    for i in range(n):
        os.pwrite(fd, b"x" * 4096, 4096 * i)
        t0 = time.monotonic()
        os.fdatasync(fd)
        took.append(ms(t0))
    os.close(fd)
    os.unlink(os.path.join(folder, "bench-fsync"))
    return p99(took)


def one_round(lab, to, key):
    live = [L.Echo(lab, None, lab.ssh_argv(to, "cat", key=key)) for _ in range(LIVE)]
    mux = str(lab.dir / "response-mux")
    master = subprocess.Popen(lab.ssh_argv(to, "-N", "-M", "-S", mux, key=key), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until("the connection", lambda: os.path.exists(mux))

    def command():
        return subprocess.Popen(["ssh", "-S", mux, "x", "echo forbidden-word"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
    for _ in range(2):
        command().wait(GIVE_UP)
    t0 = time.monotonic()
    last = command()
    for e in live:
        e.p.wait(GIVE_UP)
    took = ms(t0)
    for p in (last, master):
        p.wait(GIVE_UP)
    for e in live:
        e.end()
    return took


def response(bench, rounds=ROUNDS):
    lab = bench.lab
    r = lab.ctl_run("detection", "add", "bench-loop", "-", stdin=RULE)
    if r.returncode != 0:
        raise RuntimeError(r.stderr)
    until("the rule to be in force", lambda: lab.ctl("detection", "status")["detections"] == 1)
    key = lab.key("response.key")
    lab.ctl("user", "create", "marked", "--key", str(key) + ".pub")
    lab.ctl("grant", "create", "--user", "marked", "--asset", "bench", "--account", "*", "--protocol", "shell,exec")
    to, took = "marked@%s@bench" % bench.account, []
    for _ in range(rounds):
        took.append(one_round(lab, to, key))
        until("the user to be disabled", lambda: lab.ctl("user", "show", "marked")["state"] == "disabled")
        lab.ctl("user", "enable", "marked")
    lab.ctl("detection", "delete", "bench-loop")
    sync = fsync_p99(str(lab.data))
    bench.ours_only("third refused command, last of %d sessions cut: p99 (n=%d; fdatasync p99 %.1f ms)" % (LIVE, rounds, sync), p99(took),
                    50 + 2 * sync, "ms")
