"""A table of client x operation, against OpenSSH by certificate and Dropbear by password, with unmodified clients."""
import hashlib
import os
import pathlib
import shlex
import subprocess

import pytest

import lab as L

BIG = 5_000_000


@pytest.fixture(scope="module")
def box(lab, tmp_path_factory):
    """Files and settings that the clients share."""
    d = tmp_path_factory.mktemp("clients")
    key = lab.info["user_key"]
    (d / "big").write_bytes(os.urandom(BIG))
    ppk = d / "key.ppk"
    subprocess.run(["puttygen", key, "-O", "private", "-o", ppk], check=True)
    dbkey = d / "key.dropbear"
    rsa = lab.key("rsa.key", "rsa", "-b", "3072", "-m", "PEM")
    lab.ctl("user", "key", "add", "alice", str(rsa) + ".pub")
    subprocess.run(["dropbearconvert", "openssh", "dropbear", rsa, dbkey], check=True, capture_output=True)
    home = d / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "known_hosts").write_text(lab.known_hosts.read_text())
    return d, ppk, dbkey, home


def fingerprint(lab):
    for line in lab.known_hosts.read_text().splitlines():
        if "ssh-ed25519" in line and "127.0.0.1" in line:
            out = subprocess.run(["ssh-keygen", "-lf", "-"], input=line, text=True, capture_output=True, check=True).stdout
            return out.split()[1]
    raise LookupError("no ed25519 line for the bastion in known_hosts")


class Clients:
    """Every method runs one client; `to` is user@account@asset."""

    def __init__(self, lab, box):
        self.lab, (self.d, self.ppk, self.dbkey, self.home) = lab, box
        self.opts = lab.ssh_options(lab.info["user_key"])
        self.port = str(lab.port)

    def run(self, argv, stdin=None, env=None, timeout=120):
        e = dict(os.environ, HOME=str(self.home), **(env or {}))
        return subprocess.run([str(a) for a in argv], input=stdin, capture_output=True, timeout=timeout, env=e, cwd=self.d,
                              **({} if stdin is not None else {"stdin": subprocess.DEVNULL}))

    def rsh(self, to):
        return " ".join(map(shlex.quote, ["ssh", *self.opts, "-p", self.port, "-l", to]))

    # exec
    def openssh_exec(self, to):
        return self.run(["ssh", *self.opts, "-p", self.port, "-l", to, "127.0.0.1", "cat; exit 3"], b"hello").stdout == b"hello"

    def dbclient_exec(self, to):
        r = self.run(["dbclient", "-y", "-y", "-i", self.dbkey, "-p", self.port, "-l", to, "127.0.0.1", "cat; exit 3"], b"hello")
        return r.stdout == b"hello" and r.returncode == 3

    def plink_exec(self, to):
        r = self.run(["plink", "-batch", "-ssh", "-hostkey", fingerprint(self.lab), "-i", self.ppk, "-P", self.port, "-l", to,
                      "127.0.0.1", "cat; exit 3"], b"hello")
        return r.stdout == b"hello" and r.returncode == 3

    def paramiko_exec(self, to):
        with self.paramiko(to) as c:
            i, o, e = c.exec_command("cat; echo err >&2; exit 3", timeout=30)
            i.write("hello")
            i.channel.shutdown_write()
            return (o.read(), e.read(), o.channel.recv_exit_status()) == (b"hello", b"err\n", 3)

    def paramiko(self, to):
        import paramiko
        c = paramiko.SSHClient()
        c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        c.connect("127.0.0.1", self.lab.port, username=to, key_filename=str(self.lab.info["user_key"]), allow_agent=False,
                  look_for_keys=False, timeout=20, banner_timeout=20, auth_timeout=20)
        return c

    # shell without a terminal: a script on standard input
    def openssh_shell(self, to):
        return b"49\n" in self.run(["ssh", *self.opts, "-T", "-p", self.port, "-l", to, "127.0.0.1"], b"echo $((7*7))\nexit\n").stdout

    def plink_shell(self, to):
        r = self.run(["plink", "-batch", "-ssh", "-T", "-hostkey", fingerprint(self.lab), "-i", self.ppk, "-P", self.port, "-l", to,
                      "127.0.0.1"], b"echo $((7*7))\nexit\n")
        return b"49\n" in r.stdout

    def dbclient_shell(self, to):
        r = self.run(["dbclient", "-y", "-y", "-T", "-i", self.dbkey, "-p", self.port, "-l", to, "127.0.0.1"], b"echo $((7*7))\nexit\n")
        return b"49\n" in r.stdout

    # files there and back
    def back(self, name="back"):
        f = self.d / name
        ok = f.exists() and hashlib.sha256(f.read_bytes()).digest() == hashlib.sha256((self.d / "big").read_bytes()).digest()
        f.unlink(missing_ok=True)
        return ok

    def openssh_sftp(self, to):
        self.run(["sftp", "-q", *self.opts, "-P", self.port, "-b", "-", "-o", "User=" + to, "127.0.0.1"],
                 b"put big m.bin\nget m.bin back\nrename m.bin m2.bin\nmkdir mdir\nrmdir mdir\nrm m2.bin\n")
        return self.back()

    def openssh_scp_sftp(self, to):
        o = [*self.opts, "-P", self.port, "-o", "User=" + to]
        a = self.run(["scp", "-q", "-s", *o, "big", "127.0.0.1:m.bin"])
        b = self.run(["scp", "-q", "-s", *o, "127.0.0.1:m.bin", "back"])
        return a.returncode == b.returncode == 0 and self.back()

    def openssh_scp_legacy(self, to):
        o = [*self.opts, "-P", self.port, "-o", "User=" + to]
        a = self.run(["scp", "-q", "-O", "-p", *o, "big", "127.0.0.1:m.bin"])
        b = self.run(["scp", "-q", "-O", "-p", *o, "127.0.0.1:m.bin", "back"])
        return a.returncode == b.returncode == 0 and self.back()

    def psftp_sftp(self, to):
        self.run(["psftp", "-batch", "-hostkey", fingerprint(self.lab), "-i", self.ppk, "-P", self.port, "-l", to, "127.0.0.1", "-b", "/dev/stdin"],
                 b"put big m.bin\nget m.bin back\nrm m.bin\n")
        return self.back()

    def pscp_sftp(self, to):
        o = ["-batch", "-q", "-hostkey", fingerprint(self.lab), "-i", self.ppk, "-P", self.port, "-l", to]
        a = self.run(["pscp", *o, "big", "127.0.0.1:m.bin"])
        b = self.run(["pscp", *o, "127.0.0.1:m.bin", "back"])
        return a.returncode == b.returncode == 0 and self.back()

    def paramiko_sftp(self, to):
        with self.paramiko(to) as c:
            s = c.open_sftp()
            s.put(str(self.d / "big"), "m.bin")
            s.get("m.bin", str(self.d / "back"))
            s.remove("m.bin")
        return self.back()

    def lftp_sftp(self, to):
        script = "set sftp:connect-program \"%s\"; set net:timeout 20; set net:max-retries 2; open sftp://%s:@127.0.0.1; put big -o m.bin; get m.bin -o back; rm m.bin; bye" % (
            "ssh -a -x " + " ".join(self.opts + ["-p", self.port, "-o", "User=" + to]).replace('"', '\\"'), "x")
        self.run(["lftp", "-c", script])
        return self.back()

    def rsync_exec(self, to):
        a = self.run(["rsync", "-e", self.rsh(to), "big", "127.0.0.1:m.bin"])
        b = self.run(["rsync", "-e", self.rsh(to), "127.0.0.1:m.bin", "back"])
        return a.returncode == b.returncode == 0 and self.back()

    def git_exec(self, to):
        env = {"GIT_SSH_COMMAND": self.rsh(to), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b",
               "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
        self.run(["ssh", *self.opts, "-p", self.port, "-l", to, "127.0.0.1", "rm -rf m.git; git init -q --bare m.git"])
        self.run(["rm", "-rf", "work", "copy"])
        self.run(["git", "init", "-q", "work"], env=env)
        (self.d / "work" / "f").write_bytes(os.urandom(100_000))
        for args in (["add", "f"], ["commit", "-q", "-m", "one"], ["push", "-q", "127.0.0.1:m.git", "HEAD:refs/heads/main"]):
            r = self.run(["git", "-C", "work", *args], env=env)
            if r.returncode != 0:
                return False
        r = self.run(["git", "clone", "-q", "-b", "main", "127.0.0.1:m.git", "copy"], env=env)
        return r.returncode == 0 and (self.d / "copy" / "f").read_bytes() == (self.d / "work" / "f").read_bytes()

    def ansible_exec(self, to):
        inv = self.d / "inventory"
        inv.write_text("t ansible_host=127.0.0.1 ansible_port=%s ansible_user=%s ansible_ssh_private_key_file=%s "
                       "ansible_python_interpreter=/usr/bin/python3 ansible_remote_tmp=/tmp/.ansible-%s ansible_ssh_common_args='%s'\n" % (
                           self.port, to, self.lab.info["user_key"], to.replace("@", "-"), " ".join(self.opts)))
        env = {"ANSIBLE_HOST_KEY_CHECKING": "True", "ANSIBLE_LOCAL_TEMP": str(self.d / "ansible"), "ANSIBLE_NOCOWS": "1"}
        a = self.run(["ansible", "-i", inv, "t", "-m", "ping"], env=env)
        b = self.run(["ansible", "-i", inv, "t", "-m", "copy", "-a", "src=%s/big dest=m-ansible.bin" % self.d], env=env)
        return b"pong" in a.stdout and b.returncode == 0


ROWS = [m for m in vars(Clients) if "_" in m and not m.startswith("_")]
results = {}


@pytest.mark.parametrize("server", ["openssh", "dropbear"])
@pytest.mark.parametrize("row", ROWS)
def test_client(lab, box, row, server):
    to = "alice@" + lab.info["targets"][0 if server == "openssh" else 1]
    if server == "dropbear" and not L.ROOT:
        pytest.skip("password logins need root for a server that knows the password")
    if server == "dropbear" and "sftp" in row and not pathlib.Path("/usr/lib/sftp-server").exists():
        pytest.skip("Dropbear has no sftp-server here")
    results[row, server] = "FAILED"
    assert getattr(Clients(lab, box), row)(to), "%s to %s" % (row, server)
    results[row, server] = "ok"


def test_the_table_is_printed_and_whole(lab):
    print("\n%-22s %-10s %s" % ("client and operation", "OpenSSH", "Dropbear"))
    for row in ROWS:
        print("%-22s %-10s %s" % (row.replace("_", " "), results.get((row, "openssh"), "-"), results.get((row, "dropbear"), "-")))
    assert all((row, "openssh") in results for row in ROWS)
