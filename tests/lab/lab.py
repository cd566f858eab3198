"""A lab: one Sallyport installation and SSH servers behind it, on loopback, for the demo, the tour, the tests and benches.

Everything lives below one folder and ends with it. As root the servers see private copies of /etc/passwd and
/etc/shadow (a mount namespace), so the machine's own accounts are neither used nor changed; as an ordinary user they
can only log in that user, so certificate and key logins are shown and password logins are left out.
"""
import contextlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import tempfile
import time

ROOT = os.geteuid() == 0
LAB_USERS = (("deploy", 20001), ("app", 20002), ("alice", 20003), ("bob", 20004))
OWN_USERS = ("sallyport", "sallyport-vault", "sallyport-net", "sallyport-rec", "sallyport-out", "sallyport-shell", "sallyport-siem")
PREFIX = "sallyport-lab-"                   # of a folder in /tmp, where an installation's own folder will not do
PASSWORD = "correct horse 7 battery"        # of the account "app" on the password server


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, check, seconds=20.0):
    """Poll check() until it is true; its last exception or value is told when time is up."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            last = check()
            if last:
                return last
        except Exception as e:  # noqa: BLE001 - told below
            last = e
        time.sleep(0.02)
    raise TimeoutError("%s: not within %g s (last: %r)" % (what, seconds, last))


def port_open(port, host="127.0.0.1"):
    with contextlib.suppress(OSError):
        with socket.create_connection((host, port), 0.5):
            return True
    return False


def sha512_crypt(password):
    return subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=password, text=True, check=True,
                          stdout=subprocess.PIPE).stdout.strip()


def traversable(path):
    path = pathlib.Path(path).resolve()
    return all(p.stat().st_mode & stat.S_IXOTH for p in [*path.parents] if p.exists())


class Lab:
    def __init__(self, folder, build, config=None, monitor_args=()):
        self.dir = pathlib.Path(folder).absolute()
        self.build = pathlib.Path(build).absolute()
        self.config = dict(config or {})
        self.monitor_args = list(monitor_args)
        self.procs = {}
        self.targets = {}
        self.port = None
        self.data = self.dir
        self.dir.mkdir(parents=True, exist_ok=True)
        blanks = len(str(self.dir).split()) > 1
        if (ROOT and not traversable(self.dir / "x")) or blanks:
            # Processes that give up root could not reach their own files here; sshd_config and ssh -o take no blanks.
            self.data = pathlib.Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
            self.data.chmod(0o755)
        self.etc = self.data / "etc"
        self.etc.mkdir(parents=True, exist_ok=True)
        self.etc.chmod(0o755)
        self.mine = self.data if blanks else self.dir       # what the clients use
        self.known_hosts = self.mine / "known_hosts"
        self._accounts()

    # -- the machine as the servers see it
    def _accounts(self):
        self.home = self.data / "home"
        self.home.mkdir(exist_ok=True)
        if not ROOT:
            return
        passwd = pathlib.Path("/etc/passwd").read_text()
        shadow = pathlib.Path("/etc/shadow").read_text()
        group = pathlib.Path("/etc/group").read_text()
        secret = sha512_crypt(PASSWORD)
        for name, uid in LAB_USERS:
            home = self.home / name
            home.mkdir(exist_ok=True)
            (home / ".hushlogin").touch()
            for p in (home, home / ".hushlogin"):
                os.chown(p, uid, uid)
            passwd += "%s:x:%d:%d::%s:/bin/bash\n" % (name, uid, uid, home)
            shadow += "%s:%s:19000:0:99999:7:::\n" % (name, secret if name == "app" else "*")
            group += "%s:x:%d:\n" % (name, uid)
        for i, name in enumerate(OWN_USERS):
            with contextlib.suppress(KeyError):
                pwd.getpwnam(name)
                continue
            passwd += "%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n" % (name, 20100 + i, 20100 + i)
            group += "%s:x:%d:\n" % (name, 20100 + i)
        if "sshd:" not in passwd:
            passwd += "sshd:x:20090:65534::/run/sshd:/usr/sbin/nologin\n"
        for name, text, mode in (("passwd", passwd, 0o644), ("shadow", shadow, 0o600), ("group", group, 0o644)):
            f = self.etc / name
            f.write_text(text)
            f.chmod(mode)

    def _wrap(self, argv):
        if not ROOT:
            return list(argv)
        # A bind mount over a file is gone as soon as somebody replaces that file (useradd, a package's script); the overlay stays.
        single = " && ".join('mount --bind "%s/%s" /etc/%s' % (self.etc, n, n) for n in ("passwd", "shadow", "group"))
        mounts = '{ mount -t overlay sallyport-lab -o "lowerdir=%s:/etc" /etc 2>/dev/null || { %s; }; }' % (self.etc, single)
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                'mkdir -p /run/sshd && chmod 755 /run/sshd && %s && exec "$@"' % mounts, "sh", *map(str, argv)]

    def spawn(self, name, argv, wrap=True, **kw):
        log = open(self.dir / (name + ".log"), "ab")
        p = subprocess.Popen(self._wrap(argv) if wrap else [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                             start_new_session=True, **kw)
        log.close()
        self.procs[name] = p
        return p

    def log(self, name):
        return (self.dir / (name + ".log")).read_text(errors="replace")

    def exe(self, name):
        for sub in (name.replace("sallyport-", ""), "ctl"):
            p = self.build / "src" / sub / name
            if p.exists():
                return p
        raise FileNotFoundError("%s is not built in %s" % (name, self.build))

    def key(self, name, kind="ed25519", *more):
        f = self.mine / name
        if not f.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", f, *more], check=True)
        return f

    # -- those who may read recordings
    def auditor(self, name="auditor"):
        """An auditor's key pair (age): the identity file, and its public key."""
        f = self.dir / (name + ".key")
        if not f.exists():
            subprocess.run([str(self.exe("sallyport")), "auditor", "key", "new", str(f)], check=True, capture_output=True)
        return f, re.search(r"age1\S+", f.read_text()).group(0)

    def auditors(self):
        """What 'vault init' wants to hear: an installation has two."""
        return [a for n in ("auditor", "auditor2") for a in ("--auditor", "%s=%s" % (n, self.auditor(n)[1]))]

    def lines(self, sid, key="auditor"):
        """The lines of a recording, read with tools that are not ours."""
        f = next((self.data / "state" / "recordings").rglob(sid + ".0001.age"))
        p = subprocess.run(["age", "-d", "-i", str(self.auditor(key)[0]), str(f)], check=True, stdout=subprocess.PIPE)
        z = subprocess.run(["zstd", "-dcq"], input=p.stdout, check=True, stdout=subprocess.PIPE)
        return [json.loads(line) for line in z.stdout.decode().splitlines()]

    # -- Sallyport
    def write_config(self, **changes):
        self.config.update(changes)
        settings = {"listen": "127.0.0.1:%d" % self.port, "state_dir": self.data / "state", "run_dir": self.data / "sock",
                    "vault_keyfile": self.data / "unseal.key", **self.config}
        lines = []
        for k, v in settings.items():
            for one in v if isinstance(v, (list, tuple)) else [v]:
                lines.append("%s %s\n" % (k, one))
        self.conf.write_text("".join(lines))

    @property
    def conf(self):
        return self.dir / "sallyport.conf"

    @property
    def socket(self):
        return self.data / "sock" / "control.sock"

    def start(self, port=None):
        self.port = port or self.port or free_port()
        self.write_config()
        self.spawn("sallyport", [self.exe("sallyport-monitor"), "-f", self.conf, *self.monitor_args])
        try:
            wait_for("sallyport answers", lambda: self.procs["sallyport"].poll() is None and self.ctl_ok("status"), 30)
            wait_for("the SSH port answers", lambda: port_open(self.port), 10)
        except TimeoutError:
            raise RuntimeError("Sallyport did not start:\n" + self.log("sallyport")[-4000:]) from None

    def monitor_pid(self):
        return self.procs["sallyport"].pid

    def stop(self, name, sig=signal.SIGTERM, seconds=40):
        p = self.procs.pop(name, None)
        if p is None or p.poll() is not None:
            return
        p.send_signal(sig)
        try:
            p.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()

    def close(self):
        for name in reversed(list(self.procs)):
            self.stop(name)
        if self.data != self.dir:
            shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # -- the command line
    def ctl_argv(self, *args):
        return [str(self.exe("sallyport")), "--socket", str(self.socket), *map(str, args)]

    def ctl_run(self, *args, stdin=None):
        return subprocess.run(self.ctl_argv(*args), input=stdin, text=True, capture_output=True, timeout=60)

    def ctl_ok(self, *args):
        return self.ctl_run(*args).returncode == 0

    def ctl(self, *args, stdin=None):
        """Run a command that must succeed; returns its JSON (None when it prints nothing)."""
        r = self.ctl_run("--json", *args, stdin=stdin)
        no = r.returncode == 1 and args[:2] == ("access", "explain")       # an answer, too
        if r.returncode != 0 and not no:
            raise RuntimeError("sallyport %s: exit %d: %s" % (" ".join(map(str, args)), r.returncode, (r.stderr or r.stdout).strip()))
        return json.loads(r.stdout) if r.stdout.strip() else None

    def alarms(self, kind):
        """What the courier was given of this kind of alarm, oldest first: 'outbox list' shows only what still waits for it."""
        files = sorted(self.data.rglob("outbox/*.jsonl"))      # of every state directory that it has had
        rows = [json.loads(line) for f in files for line in f.read_text().splitlines(True) if line.endswith("\n")]
        return [json.loads(r["payload"]) for r in rows if r["kind"] == "alarm." + kind]

    def sql(self, text, *args):
        """Rows of the main database, or a change of them, behind Sallyport's back."""
        path = self.data / "state" / "store" / "sallyport.db"       # not the copy of a snapshot
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as db, db:
            return db.execute(text, args).fetchall()

    def session(self, sid):
        return next(s for s in self.ctl("session", "list", "--limit", 500) if s["id"] == sid)

    # -- servers behind it
    def account_names(self):
        return [n for n, _ in LAB_USERS] if ROOT else [pwd.getpwuid(os.geteuid()).pw_name]

    def serve(self, name, argv, port, space):
        """Start a server, on loopback or in a network namespace, and wait until it listens."""
        p = self.spawn(name, [*(["ip", "netns", "exec", space] if space else []), *argv])
        if space is None:
            wait_for(name + " answers", lambda: port_open(port))
        else:       # every step to the server is an exec: its network is that of the process
            there = ":%04X 00000000:0000 0A" % port
            wait_for(name + " listens", lambda: p.poll() is None and there in pathlib.Path("/proc/%d/net/tcp" % p.pid).read_text())
        self.targets[name] = port
        return port

    def openssh(self, name, ca_pub=None, authorized=None, extra="", password=False, space=None, port=None):
        """A real sshd that trusts a certificate authority, or one key for every account. Returns its port. space: the network
        namespace in which it serves every address."""
        port = port or free_port()
        d = self.data / name
        d.mkdir(exist_ok=True)
        hk = d / "hostkey"
        if not hk.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", hk], check=True)
        conf = ["Port %d" % port, "ListenAddress %s" % ("0.0.0.0" if space else "127.0.0.1"), "HostKey %s" % hk, "PidFile %s/pid" % d, "UsePAM no",
                "PasswordAuthentication %s" % ("yes" if password else "no"), "KbdInteractiveAuthentication no",
                "StrictModes no", "PrintMotd no", "PrintLastLog no", "Subsystem sftp internal-sftp",
                "MaxStartups 1000", "MaxSessions 100", "LogLevel VERBOSE", "AcceptEnv LANG LC_* SALLYTEST_*",
                "AllowTcpForwarding yes", "AllowAgentForwarding yes", "PermitRootLogin yes"]
        if ca_pub:
            (d / "ca.pub").write_text(ca_pub.strip() + "\n")
            conf.append("TrustedUserCAKeys %s/ca.pub" % d)
        if authorized:
            (d / "authorized").write_text(authorized.strip() + "\n")
            (d / "authorized").chmod(0o644)
            conf.append("AuthorizedKeysFile %s/authorized" % d)
        else:
            conf.append("AuthorizedKeysFile none")
        (d / "sshd_config").write_text("\n".join(conf) + "\n" + extra)
        return self.serve(name, ["/usr/sbin/sshd", "-D", "-e", "-f", d / "sshd_config"], port, space)

    def dropbear(self, name, space=None):
        """A real Dropbear that takes the password PASSWORD for the account "app" (as root only). Returns its port."""
        port = free_port()
        d = self.data / name
        d.mkdir(exist_ok=True)
        hk = d / "hostkey"
        if not hk.exists():
            subprocess.run(["dropbearkey", "-t", "ed25519", "-f", hk], check=True, capture_output=True)
        at = "%s:%d" % ("0.0.0.0" if space else "127.0.0.1", port)
        return self.serve(name, ["/usr/sbin/dropbear", "-F", "-E", "-p", at, "-r", hk, "-P", d / "pid"], port, space)

    # -- clients
    def trust(self):
        """Write a known_hosts file from what the installation itself publishes."""
        text = ""
        for host in (["[127.0.0.1]:%d" % self.port], []):
            r = self.ctl_run("known-hosts", *host)
            if r.returncode != 0:
                raise RuntimeError("sallyport known-hosts: " + r.stderr)
            text += r.stdout
        self.known_hosts.write_text("".join(dict.fromkeys(text.splitlines(keepends=True))))

    def ssh_options(self, key=None):
        o = ["-F", "/dev/null", "-o", "UserKnownHostsFile=%s" % self.known_hosts, "-o", "GlobalKnownHostsFile=/dev/null",
             "-o", "StrictHostKeyChecking=yes", "-o", "IdentityAgent=none", "-o", "UpdateHostKeys=no", "-o", "BatchMode=yes",
             "-o", "ConnectTimeout=20"]
        if key:
            o += ["-o", "IdentitiesOnly=yes", "-i", str(key)]
        return o

    def ssh_argv(self, login, *args, key=None, options=()):
        return ["ssh", *self.ssh_options(key), "-p", str(self.port), *options, "-l", login, "127.0.0.1", *args]

    def ssh(self, login, *args, key=None, options=(), stdin=None, timeout=60, text=True):
        argv = self.ssh_argv(login, *args, key=key, options=options)
        return subprocess.run(argv, input=stdin, capture_output=True, text=text, timeout=timeout,
                              **({} if stdin is not None else {"stdin": subprocess.DEVNULL}))


class Echo:
    """A live session (or whatever argv starts) that answers each line."""

    def __init__(self, lab, me, argv=None):
        self.p = subprocess.Popen(argv or lab.ssh_argv(me.to0, "cat", key=me.key), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, bufsize=1)
        self.say("hello")

    def say(self, text):
        self.p.stdin.write(text + "\n")
        self.p.stdin.flush()
        assert self.p.stdout.readline() == text + "\n", self.p.stderr.read() if self.p.poll() is not None else "no echo"

    def end(self):
        self.p.stdin.close()
        status = self.p.wait(20)
        self.p.stdout.close()
        self.p.stderr.close()
        return status


def starter(lab, user):
    """The command rules of rules/starter, in force for that user, and the detections that come with Sallyport."""
    lab.ctl("rule-set", "install")
    lab.ctl("rule-set", "apply", "starter", "--user", user)
    lab.ctl("detection", "install")


def standard(lab):
    """The installation of the demo and of most tests: vault, an administrator, users, two servers, grants."""
    admin_key, user_key = lab.key("admin.key"), lab.key("user.key")
    lab.start()
    lab.ctl("vault", "init", "--keyfile", lab.data / "unseal.key", "--admin", "admin", "--admin-key", str(admin_key) + ".pub", *lab.auditors())
    lab.ctl("user", "create", "alice", "--full-name", "Alice", "--key", str(user_key) + ".pub")
    ca = lab.ctl("ca", "create", "demo-ca", "--algorithm", "ed25519")
    web = lab.openssh("web1", ca_pub=ca["public_key"])
    lab.ctl("asset", "create", "web1", "--address", "127.0.0.1", "--port", web, "--remark", "OpenSSH, by certificate")
    accounts = lab.account_names()
    first = accounts[0]
    for a in accounts:
        lab.ctl("account", "create", "%s@web1" % a, "--ca", "demo-ca")
    if ROOT:
        db = lab.dropbear("db1")
        lab.ctl("asset", "create", "db1", "--address", "127.0.0.1", "--port", db, "--remark", "Dropbear, by password")
        lab.ctl("account", "create", "app@db1", "--password-stdin", stdin=PASSWORD + "\n")
        second = "app@db1"
    else:
        stored = lab.key("stored.key")
        db = lab.openssh("db1", authorized=pathlib.Path(str(stored) + ".pub").read_text())
        lab.ctl("asset", "create", "db1", "--address", "127.0.0.1", "--port", db, "--remark", "OpenSSH, by stored key")
        lab.ctl("account", "create", "%s@db1" % first, "--key-file", stored)
        second = "%s@db1" % first
    lab.ctl("grant", "create", "--name", "alice-web1", "--user", "alice", "--asset", "web1", "--account", "*",
            "--protocol", "shell,exec,sftp,scp,forward-local,forward-dynamic,forward-remote", "--forward-to", "127.0.0.1:*")
    lab.ctl("grant", "create", "--name", "alice-db1", "--user", "alice", "--asset", "db1", "--account", "*")
    lab.trust()
    return {"user": "alice", "user_key": user_key, "admin": "admin", "admin_key": admin_key, "targets": ["%s@web1" % first, second],
            "auditor_key": lab.auditor()[0]}
