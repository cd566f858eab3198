"""Real PostgreSQL servers, each in a network namespace of its own on one bridge: a primary and standbys that stream from it."""
import contextlib
import os
import pathlib
import pwd
import signal
import subprocess

import lab as L

def pg_bin():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert found, "PostgreSQL is not installed"
    return found[-1].parent


def ip(*args, check=True):
    return subprocess.run(["ip", *map(str, args)], check=check, capture_output=True, text=True)


def why_not():
    """Why namespaces cannot be made here, or None."""
    if not L.ROOT:
        return "network namespaces need root"
    name = "sp-try-%d" % os.getpid()
    try:
        ip("netns", "add", name)
        ip("link", "add", "spt%d" % os.getpid(), "type", "bridge")
        ip("link", "del", "spt%d" % os.getpid())
    except (OSError, subprocess.CalledProcessError) as e:
        return "this machine makes no network namespaces or bridges: %s" % getattr(e, "stderr", e)
    finally:
        with contextlib.suppress(OSError):
            ip("netns", "del", name, check=False)
    return None


class Net:
    """A bridge of ours with the address .1, and namespaces that hang on it."""
    def __init__(self):
        pid = os.getpid()
        self.tag = "%x" % (pid % 0xfffff)
        self.prefix = "10.%d.%d" % (200 + pid % 50, pid // 50 % 250)
        self.bridge, self.spaces = "spb" + self.tag, []
        self.gateway = self.prefix + ".1"

    def __enter__(self):
        ip("link", "add", self.bridge, "type", "bridge")
        ip("addr", "add", self.gateway + "/24", "dev", self.bridge)
        ip("link", "set", self.bridge, "up")
        return self

    def __exit__(self, *exc):
        for s in self.spaces:
            ip("netns", "del", s, check=False)
        ip("link", "del", self.bridge, check=False)

    def space(self, number):
        """A namespace with the address .number; returns (name, address)."""
        name, there = "sp%s-%d" % (self.tag, number), "spv%s%d" % (self.tag, number)
        ip("netns", "add", name)
        self.spaces.append(name)
        ip("link", "add", there, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", there, "master", self.bridge, "up")
        address = "%s.%d" % (self.prefix, number)
        ip("-n", name, "addr", "add", address + "/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "link", "set", "lo", "up")
        return name, address


class Server:
    def __init__(self, net, folder, number):
        self.net = net
        self.space, self.address = net.space(number)
        self.dir = pathlib.Path(folder) / self.space
        self.dir.mkdir()
        self.p = None
        os.chown(self.dir, pwd.getpwnam("postgres").pw_uid, -1)

    def run(self, program, *args, **kw):
        argv = ["ip", "netns", "exec", self.space, "setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups",
                pg_bin() / program, *map(str, args)]
        return subprocess.run([str(a) for a in argv], check=True, capture_output=True, text=True, cwd=self.dir, **kw)

    def initdb(self):
        self.run("initdb", "-D", self.dir / "data", "-U", "sallyport", "-A", "trust", "-N")
        with open(self.dir / "data" / "pg_hba.conf", "a") as f:
            for what in ("all", "replication"):
                f.write("host %s all %s.0/24 trust\n" % (what, self.net.prefix))

    def follow(self, primary):
        self.run("pg_basebackup", "-D", self.dir / "data", "-h", primary.address, "-U", "sallyport", "-R", "-X", "stream", "-c", "fast", "-N")

    def start(self):
        argv = ["ip", "netns", "exec", self.space, "setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=QUIT",
                pg_bin() / "postgres", "-D", self.dir / "data", "-p", "5432", "-k", self.dir, "-c", "listen_addresses=*", "-c", "fsync=off"]
        with open(self.dir / "log", "ab") as log:
            self.p = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        L.wait_for("PostgreSQL in " + self.space, lambda: self.sql("SELECT 1", "postgres") == "1", 60)

    def sql(self, text, database="sallyport"):
        return self.run("psql", "-h", self.dir, "-U", "sallyport", "-d", database, "-Atc", text).stdout.strip()

    def stop(self, sig=signal.SIGQUIT):
        if self.p is not None:
            self.p.send_signal(sig)
            self.p.wait(30)
            self.p = None

    def promote(self):
        self.run("pg_ctl", "promote", "-D", self.dir / "data", "-w")

    def drop_packets(self):
        """Whatever it wants to say to us is lost; its neighbours still hear it."""
        ip("-n", self.space, "route", "add", "blackhole", self.net.gateway + "/32")

    def pass_packets(self):
        ip("-n", self.space, "route", "del", "blackhole", self.net.gateway + "/32")

    @property
    def url(self):
        return "postgresql://sallyport@%s:5432/sallyport" % self.address
