"""The Debian package on a machine of its own: installed, started, upgraded under a live session, purged.

The machine is a private view of this one (mount and process namespaces, an overlay whose changes are in memory), so
nothing of it outlives the test. It has no systemd: a stand-in for systemctl does what the package's scripts ask for.
"""
import os
import pathlib
import re
import shutil
import subprocess
import textwrap

import pytest

import conftest as C
import lab as L

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="installing a package wants root")
PROGRAMS = ["control", "courier", "dialer", "gate", "monitor", "scribe", "siem", "vault", "zygote"]
LOG = "/var/log/sallyport-test.log"

SYSTEMCTL = """
    #!/bin/sh
    # The part of systemctl(1) that packages use, for one service without a manager.
    echo "systemctl $*" >> /run/systemctl.log
    exe=/usr/libexec/sallyport/sallyport-monitor
    pid=$(cat /run/monitor.pid 2>/dev/null)
    alive() { test -n "$pid" && readlink "/proc/$pid/exe" >/dev/null; }
    case " $* " in
    *" is-enabled "*) echo enabled ;;
    *" is-active "*) alive ;;
    *" kill "*--signal=USR2*sallyport*) kill -USR2 "$pid" ;;
    *" start "*sallyport*)
        alive && exit 0
        setsid $exe -f /etc/sallyport/sallyport.conf >>%s 2>&1 </dev/null & echo $! > /run/monitor.pid ;;
    *" stop "*sallyport*) kill -TERM "$pid"; while alive; do sleep 0.05; done ;;
    esac
""" % LOG

MACHINE = """
    set -e
    mount -t tmpfs tmpfs "$0"
    mkdir "$0/upper" "$0/work" "$0/root"
    mount -t overlay -o lowerdir=/,upperdir="$0/upper",workdir="$0/work" overlay "$0/root"
    mount -t proc proc "$0/root/proc"
    mount --rbind /dev "$0/root/dev"
    mount -t sysfs sysfs "$0/root/sys"
    mount -t tmpfs -o mode=755 tmpfs "$0/root/run"
    mount -t tmpfs -o mode=1777 tmpfs "$0/root/tmp"
    mkdir -p "$0/root/run/sshd" "$0/root/run/systemd/system"
    echo up
    exec /usr/bin/python3 -c 'import signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); sys.stdin.read()'
"""


class Machine:
    """Everything that runs on it ends when it is left: its first process takes the process namespace with it."""

    def __enter__(self):
        self.dir = pathlib.Path(subprocess.check_output(["mktemp", "-d", "/tmp/sallyport-machine.XXXXXX"], text=True).strip())
        self.boot = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "sh", "-c",
                                      textwrap.dedent(MACHINE), self.dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.boot.stdout.readline() != "up\n":
            self.__exit__()
            pytest.skip("no private overlay can be mounted here")
        children = pathlib.Path("/proc/%d/task/%d/children" % (self.boot.pid, self.boot.pid)).read_text().split()
        self.first = children[0]
        return self

    def __exit__(self, *exc):
        self.boot.stdin.close()
        self.boot.kill()
        self.boot.wait()
        self.boot.stdout.close()
        self.dir.rmdir()

    def argv(self, *argv):
        return ["nsenter", "-t", self.first, "-m", "-p", "chroot", str(self.dir / "root"), "env", "-i", "HOME=/root", "LC_ALL=C.UTF-8",
                "DEBIAN_FRONTEND=noninteractive", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *map(str, argv)]

    def run(self, *argv, check=True, stdin=""):
        r = subprocess.run(self.argv(*argv), input=stdin, capture_output=True, text=True, timeout=120)
        if check and r.returncode != 0:
            raise AssertionError("%s: exit %d\n%s%s" % (argv, r.returncode, r.stdout, r.stderr))
        return r

    def sh(self, text, **kw):
        return self.run("sh", "-ec", text, **kw).stdout

    def write(self, path, data, mode=0o644):
        self.sh('cat > "%s" && chmod %o "%s"' % (path, mode, path), stdin=data)

    def copy(self, path, to):
        subprocess.run(self.argv("sh", "-c", "cat > " + to), input=path.read_bytes(), check=True)

    def processes(self):
        return [p for p in self.sh("ps -eo comm=").split() if p not in ("python3", "ps", "sh")]


def build(out, version, stage=None):
    argv = ["bash", str(C.REPO / "packaging/build-deb"), "--out", out, "--version", version]
    argv += ["--stage", stage] if stage else ["--from", C.BUILD]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return next(out.glob("sallyport_%s_*.deb" % version))


def named(stage, to, old, new):
    """A copy of the tree whose programs say that they are another version."""
    shutil.copytree(stage, to, symlinks=True)
    for exe in [*to.glob("usr/libexec/sallyport/*"), to / "usr/bin/sallyport"]:
        exe.write_bytes(re.sub(rb"(?<![0-9.])%s(?![0-9.])" % re.escape(old.encode()), new.encode(), exe.read_bytes()))
    return to


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    out = tmp_path_factory.mktemp("packages")
    version = (C.REPO / "VERSION").read_text().strip()
    newer = version[:-1] + "9"
    first = build(out, version)
    return first, build(out, newer, named(out / ("stage-" + version), out / "newer", version, newer)), version, newer


@pytest.fixture(scope="module")
def machine(packages):
    with Machine() as m:
        m.write("/usr/local/sbin/systemctl", textwrap.dedent(SYSTEMCTL).lstrip(), 0o755)
        m.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n", 0o755)      # containers forbid packages to start anything
        m.copy(packages[0], "/root/first.deb")
        m.copy(packages[1], "/root/newer.deb")
        yield m


def test_what_is_in_it(packages, tmp_path):
    listing = subprocess.check_output(["dpkg-deb", "-c", packages[0]], text=True)
    files = {line.split()[5]: line.split()[:2] for line in listing.splitlines()}
    wanted = ["./usr/bin/sallyport", "./etc/sallyport/sallyport.conf", "./lib/systemd/system/sallyport.service",
              "./usr/share/bash-completion/completions/sallyport", "./usr/share/zsh/site-functions/_sallyport",
              "./usr/share/fish/vendor_completions.d/sallyport.fish", "./usr/share/doc/sallyport/copyright",
              "./usr/share/doc/sallyport/changelog.gz"]
    wanted += ["./usr/libexec/sallyport/sallyport-" + p for p in PROGRAMS]
    wanted += ["./usr/share/man/man%s/%s.%s.gz" % (s, n, s) for n, s in
               (("sallyport", 1), ("sallyport.conf", 5), ("sallyport", 7), ("sallyport-monitor", 8))]
    assert [f for f in wanted if f not in files] == []
    assert [f for f in files if "/local" in f or "test" in f or "bench" in f] == []
    for f, (mode, owner) in files.items():
        assert owner == "root/root" and "s" not in mode[1:] and mode[8] != "w", (f, mode, owner)
        assert mode[0] == "d" or (mode[3] == "x") == ("/bin/" in f or "/libexec/" in f), (f, mode)
    subprocess.run(["dpkg-deb", "-R", packages[0], tmp_path / "x"], check=True)
    assert (tmp_path / "x/DEBIAN/conffiles").read_text() == "/etc/sallyport/sallyport.conf\n"
    for script in ("postinst", "prerm", "postrm"):
        subprocess.run(["sh", "-n", tmp_path / "x/DEBIAN" / script], check=True)
    for exe in [f for f, (mode, _) in files.items() if mode[0] == "-" and mode[3] == "x"]:
        elf = subprocess.check_output(["readelf", "-Wldh", tmp_path / "x" / exe], text=True)
        assert "DYN" in elf and "GNU_RELRO" in elf and re.search(r"FLAGS.*NOW", elf) and not re.search("RPATH|RUNPATH", elf), exe
        assert " RWE " not in elf, exe


def test_install_upgrade_under_a_live_session_and_purge(machine, packages, tmp_path):
    m, (_, _, version, newer) = machine, packages
    port, target = L.free_port(), L.free_port()
    ctl = lambda *a, **kw: m.run("sallyport", *a, **kw).stdout
    log = lambda: m.sh("cat %s || true" % LOG)
    before = m.sh("getent passwd | cut -d: -f1")

    # Installed: accounts, nothing readable that should not be, and (by the stand-in) started.
    m.run("dpkg", "--force-unsafe-io", "-i", "/root/first.deb")
    for user in L.OWN_USERS:
        assert m.sh("getent passwd " + user).strip().endswith(":/nonexistent:/usr/sbin/nologin")
    if shutil.which("systemd-analyze"):
        said = m.run("systemd-analyze", "verify", "/lib/systemd/system/sallyport.service", check=False)
        assert [x for x in (said.stdout + said.stderr).splitlines() if "sallyport" in x and "Command 'man " not in x] == []
    assert "start sallyport.service" in m.sh("cat /run/systemctl.log")
    m.sh("systemctl stop sallyport")

    # Configured and started again; the first steps of an administrator.
    m.sh("sed -i -e 's/^listen .*/listen 127.0.0.1:%d/' -e 's/^#vault_keyfile/vault_keyfile/' /etc/sallyport/sallyport.conf" % port)
    m.run("/usr/libexec/sallyport/sallyport-monitor", "-t", "-f", "/etc/sallyport/sallyport.conf")
    m.sh(": > %s; systemctl start sallyport" % LOG)
    L.wait_for("it answers", lambda: m.run("sallyport", "status", check=False).returncode == 0)
    assert version in ctl("status")
    m.sh("for k in admin alice box host; do ssh-keygen -q -t ed25519 -N '' -f /root/$k; done")
    ctl("vault", "init", "--keyfile", "/etc/sallyport/unseal.key", "--admin", "admin", "--admin-key", "/root/admin.pub",
        *(a for n in ("anna", "bo") for a in ("--auditor", n + "=" + m.sh("sallyport auditor key new /root/%s.key" % n).strip())))
    doctor = m.run("sallyport", "doctor", check=False)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert m.sh("stat -c '%U %a' /var/lib/sallyport/vault").split() == ["sallyport-vault", "700"]
    who = m.sh("ps -eo user:32=,args= | grep '[s]allyport-' | awk '{print $1, $2}'")
    assert "sallyport-vault sallyport-vault" in who and "sallyport sallyport-control" in who, who

    # A live session to a server.
    m.write("/root/sshd_config", "Port %d\nListenAddress 127.0.0.1\nHostKey /root/host\nPidFile none\nUsePAM no\nStrictModes no\n"
            "PermitRootLogin yes\nAuthorizedKeysFile /root/box.pub\n" % target)
    m.sh("/usr/sbin/sshd -f /root/sshd_config")
    ctl("user", "create", "alice", "--key", "/root/alice.pub")
    ctl("asset", "create", "box", "--address", "127.0.0.1", "--port", target)
    ctl("account", "create", "root@box", "--key-file", "/root/box")
    ctl("grant", "create", "--name", "g", "--user", "alice", "--asset", "box", "--account", "*")
    m.sh("sallyport known-hosts '[127.0.0.1]:%d' > /root/known_hosts" % port)
    ssh = ["ssh", "-F", "/dev/null", "-o", "UserKnownHostsFile=/root/known_hosts", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes",
           "-i", "/root/alice", "-p", port, "-l", "alice@root@box", "127.0.0.1"]
    assert m.run(*ssh, "echo in").stdout == "in\n"
    live = subprocess.Popen(m.argv(*ssh, "cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def say(text):
        live.stdin.write(text + "\n")
        live.stdin.flush()
        assert live.stdout.readline() == text + "\n"

    try:
        say("hello")
        monitor = m.sh("cat /run/monitor.pid")
        m.run("dpkg", "--force-unsafe-io", "-i", "/root/newer.deb")       # its script sends SIGUSR2 through systemctl
        L.wait_for("the upgrade", lambda: "upgrade to Sallyport %s is done: 1 connections went on" % newer in log(), 30)
        assert "Sallyport %s takes over from %s" % (newer, version) in log()
        assert "--signal=USR2" in m.sh("cat /run/systemctl.log")
        assert m.sh("cat /run/monitor.pid") == monitor and "unseal.key" in m.sh("cat /etc/sallyport/sallyport.conf")
        say("still here")
        L.wait_for("the new version answers", lambda: newer in ctl("status"))
        assert m.run(*ssh, "echo in").stdout == "in\n"
        assert m.sh("readlink /proc/[0-9]*/exe | grep sallyport | grep -c deleted || true").strip() == "2", "the live session and its recorder"
        live.stdin.close()
        assert live.wait(20) == 0
    except BaseException:
        print(log()[-4000:])
        raise
    finally:
        live.kill()
        live.wait()
        live.stdout.close()

    # Removed: stopped by its script, settings and evidence stay. Purged: nothing stays.
    m.run("dpkg", "--force-unsafe-io", "-r", "sallyport")
    assert [p for p in m.processes() if p.startswith(("sallyport", "sp-"))] == [], log()[-2000:]
    m.sh("test -d /var/lib/sallyport/audit && test -f /etc/sallyport/sallyport.conf")
    m.run("dpkg", "--force-unsafe-io", "-P", "sallyport")
    assert m.sh("getent passwd | cut -d: -f1") == before
    assert m.sh("ls -d /var/lib/sallyport /etc/sallyport /run/sallyport /usr/libexec/sallyport /usr/bin/sallyport 2>/dev/null || true") == ""
    assert "sallyport" not in m.sh("dpkg-query -W -f '${Package}\\n'")
