"""./dev demo --tour: a scripted walk through what Sallyport does, each step checked. Fails at the first that misbehaves."""
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

import lab as L
import otp


class Misbehaved(Exception):
    pass


def want(condition, told):
    if not condition:
        raise Misbehaved(told)


class Tour:
    def __init__(self, lab, info):
        self.lab, self.info = lab, info
        self.user, self.key = info["user"], info["user_key"]
        self.t0, self.t1 = info["targets"]

    def ssh(self, login, *args, **kw):
        return self.lab.ssh(login, *args, key=kw.pop("key", self.key), **kw)

    def to(self, target):
        return "%s@%s" % (self.user, target)

    def live(self):
        return [s for s in self.lab.ctl("session", "list") if s["state"] == "live"]

    # -- steps: the docstring is what the person reads
    def s01_certificate(self):
        """A command on the first server, by a certificate that lives five minutes; nobody typed a password."""
        r = self.ssh(self.to(self.t0), "id -un; exit 7")
        want(r.stdout.strip() == self.t0.split("@")[0] and r.returncode == 7, r)

    def s02_stored_secret(self):
        """A command on the second server, with a secret that only the vault knows."""
        r = self.ssh(self.to(self.t1), "echo out; echo err >&2")
        want((r.stdout, r.returncode) == ("out\n", 0) and "err" in r.stderr, r)

    def s03_ways_in(self):
        """The same server in four ways: three separators, SetEnv, a command that names the target, a jump host."""
        for sep in "@#%":
            r = self.ssh(self.user + sep + self.t0.replace("@", sep), "echo way")
            want(r.stdout == "way\n", (sep, r))
        r = self.ssh(self.user, "echo way", options=["-o", "SetEnv=SALLYPORT_TARGET=" + self.t0])
        want(r.stdout == "way\n", r)
        r = self.ssh(self.user, self.t0, "echo way")
        want(r.stdout == "way\n", r)
        account, asset = self.t0.split("@")
        outer = " ".join(map(shlex.quote, ["ssh", *self.lab.ssh_options(self.key), "-p", str(self.lab.port), "-W", "%h:%p", "-l",
                                           self.user, "127.0.0.1"]))
        r = subprocess.run(["ssh", *self.lab.ssh_options(self.key), "-o", "ProxyCommand=" + outer, "-l", account, asset, "echo way"],
                           capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        want(r.stdout == "way\n", r)

    def s04_files(self):
        """A file goes up by sftp and comes back by scp, unchanged."""
        data = os.urandom(3_000_000)
        with tempfile.TemporaryDirectory() as d:
            up, down = os.path.join(d, "up"), os.path.join(d, "down")
            open(up, "wb").write(data)
            opts = [*self.lab.ssh_options(self.key), "-P", str(self.lab.port), "-o", "User=" + self.to(self.t0)]
            r = subprocess.run(["sftp", "-q", "-b", "-", *opts, "127.0.0.1"], input="put %s tour.bin\n" % up, text=True,
                               capture_output=True, timeout=60)
            want(r.returncode == 0, r)
            r = subprocess.run(["scp", "-q", "-O", *opts, "127.0.0.1:tour.bin", down], capture_output=True, text=True, timeout=60)
            want(r.returncode == 0 and open(down, "rb").read() == data, r)
        self.ssh(self.to(self.t0), "rm tour.bin")

    def s05_refusals(self):
        """What is not granted is refused in one line; access explain says why; an unknown user learns nothing."""
        self.lab.ctl("user", "create", "bob", "--key", str(self.lab.key("bob.key")) + ".pub")
        r = self.ssh("bob@" + self.t0, "id", key=self.lab.key("bob.key"))
        want(r.returncode != 0 and r.stdout == "", r)
        account, asset = self.t0.split("@")
        e = self.lab.ctl("access", "explain", "bob", asset, account)
        want(e["allowed"] is False and e["reasons"], e)
        unknown = self.ssh("nobody-here@" + self.t0, "id")
        wrong = self.ssh("alice@" + self.t0, "id", key=self.lab.key("bob.key"))
        strip = lambda s: re.sub(r"^\S+@127\.0\.0\.1: ", "", s.stderr.strip().splitlines()[-1])
        want(strip(unknown) == strip(wrong), (unknown.stderr, wrong.stderr))

    def s06_grant_at_once(self):
        """A grant works at the very next login, and its end as well."""
        account, asset = self.t0.split("@")
        g = self.lab.ctl("grant", "create", "--name", "bob-web1", "--user", "bob", "--asset", asset, "--account", account,
                         "--protocol", "exec")
        key = self.lab.key("bob.key")
        want(self.ssh("bob@" + self.t0, "echo in", key=key).stdout == "in\n", "bob was granted")
        self.lab.ctl("grant", "delete", g["id"])
        want(self.ssh("bob@" + self.t0, "echo in", key=key).returncode != 0, "bob was granted no more")

    def s07_kill(self):
        """An administrator sees a live session and cuts it; the user reads who did it and why."""
        p = subprocess.Popen(self.lab.ssh_argv(self.to(self.t0), "sleep 60", key=self.key), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        s = L.wait_for("the session is listed", lambda: self.live())[0]
        want(s["user"] == self.user and s["asset"] == self.t0.split("@")[1], s)
        self.lab.ctl("session", "kill", s["id"], "--reason", "end of the tour")
        out, err = p.communicate(timeout=10)
        want("Terminated by" in err and "end of the tour" in err, err)
        ended = L.wait_for("the record says so", lambda: (lambda x: x if x["state"] == "ended" else None)(self.lab.session(s["id"])))
        want("end of the tour" in ended["reason"], ended)

    def s08_disable(self):
        """Disabling a user ends the session that runs and refuses the next login, in one act."""
        p = subprocess.Popen(self.lab.ssh_argv(self.to(self.t0), "sleep 60", key=self.key), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        L.wait_for("the session is listed", self.live)
        self.lab.ctl("user", "disable", self.user)
        p.communicate(timeout=10)
        want(self.ssh(self.to(self.t0), "true").returncode != 0, "a disabled user got in")
        self.lab.ctl("user", "enable", self.user)
        want(self.ssh(self.to(self.t0), "true").returncode == 0, "an enabled user did not get in")

    def s09_crash(self):
        """kill -9 of control, vault and gate under a live session: it goes on, and new logins work again within 2 s."""
        p = subprocess.Popen(self.lab.ssh_argv(self.to(self.t0), "cat", key=self.key), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, bufsize=1)
        p.stdin.write("before\n"); p.stdin.flush()
        want(p.stdout.readline() == "before\n", "echo before")
        for name in ("control", "vault", "gate"):
            os.kill(child_pid(self.lab, name), signal.SIGKILL)
            t0 = time.monotonic()
            L.wait_for("a login after the death of " + name, lambda: self.ssh(self.to(self.t0), "true").returncode == 0, 10)
            took = time.monotonic() - t0
            print("         %s died; logins worked again after %.2f s" % (name, took))
        p.stdin.write("after\n"); p.stdin.flush()
        want(p.stdout.readline() == "after\n", "the live session was hurt")
        p.stdin.close()
        want(p.wait(10) == 0, "the live session ended badly")

    def s10_sealed(self):
        """A sealed vault gives nothing; the key file opens it again."""
        self.lab.ctl("vault", "seal")
        r = self.ssh(self.to(self.t0), "true")
        want(r.returncode != 0 and "sealed" in r.stderr, r)
        self.lab.ctl("vault", "unseal", "--keyfile", self.lab.data / "unseal.key")
        want(self.ssh(self.to(self.t0), "true").returncode == 0, "after unsealing")

    def s11_forward(self):
        """A forward to a granted address works, one to the target's own SSH server is closed."""
        port = L.free_port()
        web = self.lab.targets["web1"]
        p = subprocess.Popen(self.lab.ssh_argv(self.to(self.t0), "-N", key=self.key, options=["-L", "127.0.0.1:%d:127.0.0.1:%d" % (port, web)]),
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            L.wait_for("the forward listens", lambda: L.port_open(port))
            import socket
            with socket.create_connection(("127.0.0.1", port), 5) as s:
                s.settimeout(10)
                want(not s.recv(100).startswith(b"SSH-"), "a hidden second SSH leg went through")
        finally:
            p.terminate()
            p.wait()

    def s12_commands(self):
        """Commands for the gateway over SSH: one's own keys, and an administrator's work with his permissions."""
        r = self.ssh(self.user, "--", "whoami")
        want(r.returncode == 0 and self.user in r.stdout, r)
        new = self.lab.key("another.key")
        r = self.ssh(self.user, "--", "key add", stdin=pathlib.Path(str(new) + ".pub").read_text())
        want(r.returncode == 0, r)
        want(self.ssh(self.to(self.t0), "echo in", key=new).stdout == "in\n", "the new key does not log in")
        r = self.ssh(self.user, "--", "user create friend")
        want(r.returncode not in (0, 255) and r.stderr.startswith("sallyport: "), r)
        r = self.ssh(self.info["admin"], "--", "user create friend", key=self.info["admin_key"])
        want((r.returncode, r.stdout) == (0, "User friend created.\n"), r)

    def s13_one_time_code(self):
        """A grant that asks for a one-time code: refused without, opened by the code of this moment, which counts once."""
        account, asset = self.t0.split("@")
        key, login = self.lab.key("bob.key"), "bob@" + self.t0
        app = otp.App(self.lab, "bob")
        g = self.lab.ctl("grant", "create", "--name", "bob-code", "--user", "bob", "--asset", asset, "--account", account, "--mfa", "every")
        want(self.ssh(login, "echo in", key=key).returncode != 0, "no code was asked for")
        code = app.next()
        r, asked = otp.asked(self.lab, login, "echo in", key=key, answers=[code])
        want(r.stdout == "in\n" and len(asked) == 1, (r, asked))
        r, _ = otp.asked(self.lab, login, "echo in", key=key, answers=[code], options=["-o", "NumberOfPasswordPrompts=1"])
        want(r.stdout == "" and r.returncode != 0, "a code was taken twice")
        self.lab.ctl("grant", "delete", g["id"])

    def s14_who(self):
        """Who could reach a server, through which grant; and why one person may."""
        account, asset = self.t0.split("@")
        rows = self.lab.ctl("access", "who", asset, "--account", account)
        want([(r["user"], r["grant"]) for r in rows] == [(self.user, self.user + "-" + asset)], rows)
        e = self.lab.ctl("access", "explain", self.user, asset, account)
        want(e["allowed"] is True and e["grant"] == self.user + "-" + asset, e)

    def s15_import(self):
        """A list of servers is imported, all or nothing; the same list again changes nothing."""
        with tempfile.TemporaryDirectory() as d:
            table = os.path.join(d, "assets.csv")
            open(table, "w").write("name,address,port,remark\nshop1,192.0.2.1,22,till\nshop2,192.0.2.2,22,stock\n")
            counts = []
            for _ in range(2):
                r = self.lab.ctl("import", "assets", table)
                counts.append((r["created"], r["changed"], r["unchanged"]))
            want(counts == [(2, 0, 0), (0, 0, 2)], counts)
            open(table, "a").write("shop3,192.0.2.3,70000,\n")
            r = self.lab.ctl_run("import", "assets", table)
            want(r.returncode != 0 and "line 4" in r.stdout + r.stderr, r)
        want("shop3" not in [a["name"] for a in self.lab.ctl("asset", "list")], "half a list went in")

    def s15_recording(self):
        """What somebody did, opened by an auditor's key with age and zstd; nothing on the bastion can."""
        before = {s["id"] for s in self.lab.ctl("session", "list")}
        r = self.ssh(self.to(self.t0), "echo seen by $((1+1)) auditors")
        want(r.stdout == "seen by 2 auditors\n", r)
        sid = L.wait_for("the session ended", lambda: [s for s in self.lab.ctl("session", "list") if s["id"] not in before and s["state"] == "ended"])[0]["id"]
        want("seen by 2 auditors" in str(self.lab.lines(sid)), sid)
        r = self.lab.ctl_run("session", "play", sid, "--key", self.info["auditor_key"])
        want("seen by 2 auditors" in r.stdout, r)
        r = self.lab.ctl_run("session", "play", sid, "--key", self.lab.auditor("stranger")[0])
        want(r.returncode != 0 and "not encrypted to this key" in r.stderr, r)

    def s16_changed_row(self):
        """A row changed behind Sallyport's back is refused and raised, until an administrator accepts it."""
        db = self.lab.data / "state" / "store" / "sallyport.db"      # not the copy of a snapshot
        with sqlite3.connect(db, timeout=10) as c:
            c.execute("UPDATE users SET full_name = 'Somebody' WHERE login = ?", (self.user,))
        c.close()
        want(self.ssh(self.to(self.t0), "echo in").returncode != 0, "the changed row was believed")
        L.wait_for("the audit entry", lambda: self.lab.ctl("audit", "list", "--kind", "row.tampered"))
        r = self.lab.ctl_run("--json", "doctor", "--rows")
        (row,) = json.loads(r.stdout)
        want(r.returncode != 0 and row["table"] == "users", r)
        want(self.lab.ctl_run("doctor", "--accept", "users", row["id"]).returncode == 0, row)
        want(self.ssh(self.to(self.t0), "echo in").stdout == "in\n", "the accepted row is not believed")

    def s17_zone(self):
        """A server behind a jump server: one more login that nobody sees, named by access explain."""
        account = self.t0.split("@")[0]
        ca = self.lab.ctl("ca", "show", "demo-ca")["public_key"]
        for name in ("jump1", "inside"):
            self.lab.ctl("asset", "create", name, "--address", "127.0.0.1", "--port", self.lab.openssh(name, ca_pub=ca))
            self.lab.ctl("account", "create", "%s@%s" % (account, name), "--ca", "demo-ca")
        self.lab.ctl("zone", "create", "far", "--jump", "jump1", "--account", account, "--source-address", "127.0.0.1")
        self.lab.ctl("asset", "update", "inside", "--zone", "far")
        self.lab.ctl("grant", "create", "--user", self.user, "--asset", "inside", "--account", account)
        r = self.ssh(self.to(account + "@inside"), "echo through")
        want(r.stdout == "through\n", r)
        want("Accepted publickey for " + account in self.lab.log("jump1"), "the jump server was not used")
        e = self.lab.ctl("access", "explain", self.user, "inside", account)
        want("jump1" in e["path"], e)

    def s18_owner(self):
        """A user claims a server of his own: disabled until an administrator confirms it, then his to look at."""
        owner = "--as", self.user
        self.lab.ctl("department", "create", "tour")
        self.lab.ctl("user", "update", self.user, "--department", "tour")
        got = self.lab.ctl(*owner, "asset", "claim", "his-own", "198.51.100.9")
        want(got["token"] and self.lab.ctl("asset", "show", "his-own")["state"] == "disabled", got)
        self.lab.ctl("asset", "confirm", "his-own")
        shown = self.lab.ctl(*owner, "asset", "show", "his-own")
        want((shown["state"], shown["owner"]) == ("active", self.user), shown)
        self.lab.ctl("asset", "delete", "his-own")
        self.lab.ctl("user", "update", self.user, "--department", "")

    def s19_break_glass(self):
        """An account for the worst day: both envelopes open it, loudly; one of them is nothing."""
        made = self.lab.ctl("breakglass", "create", "redbox", "--asset", self.t0.split("@")[1], "--expires", "+30d", "--open-for", "600")
        login, plain = "redbox@" + self.t0, ["-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1"]

        def opens(password, n):     # one that guesses is made to wait at its address
            r, _ = otp.asked(self.lab, login, "echo in", key=self.key, answers=[password], options=[*plain, "-o", "BindAddress=127.0.0.%d" % n])
            return r.stdout == "in\n"
        want(not opens(made["envelope_1"], 2), "half of the password opened it")
        want(opens(made["envelope_1"] + made["envelope_2"], 3), "both envelopes did not open it")
        L.wait_for("the alarm", lambda: self.lab.alarms("break-glass"))
        self.lab.ctl("user", "delete", "redbox")

    def s19_three_refused(self):
        """A refused command never runs; the third one cuts every session of that user and disables him; an offense says why."""
        key, asset = self.lab.key("tour-mallory.key"), self.t0.split("@")[1]
        self.lab.ctl("user", "create", "tour-mallory", "--key", str(key) + ".pub")
        self.lab.ctl("grant", "create", "--user", "tour-mallory", "--asset", asset, "--account", "*")
        self.lab.ctl("rule-set", "apply", "starter", "--user", "tour-mallory")
        L.wait_for("the detections are in force", lambda: self.lab.ctl("detection", "status")["detections"] >= 4)
        to = "tour-mallory@" + self.t0
        live = L.Echo(self.lab, None, self.lab.ssh_argv(to, "cat", key=key))
        for n, line in enumerate(("echo ran; su -c id", "echo ran; sh -c 'passwd root'", "echo ran | sh -c reboot")):
            r = self.ssh(to, line, key=key)
            want("ran" not in r.stdout and r.returncode != 0 and (n == 2 or "is forbidden" in r.stdout + r.stderr), r)
        want(live.p.wait(20) != 0 and "Terminated by rule" in live.p.stderr.read(), "he goes on")
        live.end()
        want(self.lab.ctl("user", "show", "tour-mallory")["state"] == "disabled", "he is still active")
        (o,) = [o for o in self.lab.ctl("offense", "list", "--state", "open") if o["about"] == "tour-mallory"]
        shown = self.lab.ctl("offense", "show", o["id"])
        want(sorted(x["action"] + " " + x["state"] for x in shown["responses"]) == ["disable done", "kill done", "notify done"] and
             len(shown["events"]) == 3, shown)
        self.lab.ctl("offense", "close", o["id"], "resolved", "seen", "in", "the", "tour")
        self.lab.ctl("user", "delete", "tour-mallory")

    def s20_backup(self):
        """A backup under way, one encrypted file; restored elsewhere it is whole, and quarantined."""
        with tempfile.TemporaryDirectory() as d:
            word, file, to = os.path.join(d, "word"), os.path.join(d, "tour.backup"), self.lab.data / "restored"
            open(word, "w").write("paper in a safe\n")
            self.lab.ctl("backup", file, "--config", self.lab.conf, "--passphrase-file", word)
            argv = [str(self.lab.exe("sallyport")), "--json", "restore", file, "--to", str(to), "--passphrase-file", word]
            r = subprocess.run(self.lab._wrap(argv), capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
            want(r.returncode == 0, r)
            want(self.user.encode() not in open(file, "rb").read(), "the backup can be read")
            want(list(to.rglob("quarantine")) and list(to.rglob("sallyport.db")), list(to.rglob("*")))
            shutil.rmtree(to)

    def s21_without_the_store(self):
        """The database goes away: people go on from the snapshot, are told so, and nothing can be changed until it is back."""
        def snapshot():
            return self.lab.ctl("status")["snapshot"]
        want(self.ssh(self.to(self.t0), "true").returncode == 0, "with the store")
        before = snapshot()["generation"]
        self.lab.ctl("settings", "set", "tour.mark", "1")
        L.wait_for("a snapshot of now", lambda: snapshot()["state"] == "ready" and snapshot()["generation"] > before, 60)
        here = self.lab.data / "state" / "store"
        there = here.with_name("store.away")
        there.mkdir()
        for f in [f for f in here.iterdir() if f.name.startswith("sallyport.db")]:
            f.rename(there / f.name)
        try:
            want(self.ssh(self.to(self.t0), "echo on").stdout == "on\n", "nobody went on")
            r = self.lab.ctl_run("user", "create", "too-late")
            want(r.returncode != 0 and "running from a snapshot" in r.stderr, r)
        finally:
            for name in ("sallyport.db-wal", "sallyport.db"):       # the log before the database
                if (there / name).exists():
                    (there / name).rename(here / name)
            shutil.rmtree(there)
        L.wait_for("the store is back", lambda: snapshot()["state"] == "ready", 30)
        want(self.lab.ctl("session", "list")[0]["recording"], "not recorded")

    def s22_doctor(self):
        """The doctor finds nothing to mend."""
        r = self.lab.ctl_run("doctor")
        want(r.returncode == 0, r.stdout + r.stderr)


def child_pid(lab, name):
    """The pid of a process of this installation, by its executable, below its monitor."""
    out = subprocess.run(["ps", "-o", "pid=,comm=,args=", "--ppid", str(lab.monitor_pid())], capture_output=True, text=True).stdout
    for line in out.splitlines():
        pid, rest = line.split(None, 1)
        if "sallyport-" + name in rest:
            return int(pid)
    raise LookupError("no %s below the monitor:\n%s" % (name, out))


def walk(lab, info):
    tour = Tour(lab, info)
    steps = sorted(n for n in dir(Tour) if re.match(r"s\d\d_", n))
    for i, name in enumerate(steps, 1):
        step = getattr(tour, name)
        try:
            step()
        except Exception as e:  # noqa: BLE001 - any of them fails the tour
            print("FAILED %2d. %s\n         %s: %s" % (i, step.__doc__, type(e).__name__, e), flush=True)
            print(lab.log("sallyport")[-3000:])
            return 1
        print("    ok %2d. %s" % (i, step.__doc__), flush=True)
    print("tour: %d steps, all behaved" % len(steps))
    return 0
