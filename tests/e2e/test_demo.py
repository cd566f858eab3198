"""./dev demo as a newcomer meets it: detached, twice in a row, the tour, as root and as an ordinary user."""
import os
import pathlib
import pwd
import shlex
import subprocess
import sys

import pytest

import lab as L
from conftest import BUILD, REPO

DEMO = REPO / "tests" / "lab" / "demo.py"


def as_user(folder):
    """Argument prefix that runs a command as an ordinary user who exists only in a private copy of /etc/passwd."""
    if not L.ROOT:
        return []
    helper = L.Lab(folder / "who", BUILD)
    uid = dict(L.LAB_USERS)["bob"]
    return helper._wrap(["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid, "--clear-groups", "env", "HOME=%s" % (helper.home / "bob")])


@pytest.fixture(params=["root", "ordinary user", "blanks in its path"])
def demo(request, tmp_path):
    for p in [tmp_path, *tmp_path.parents]:
        if str(p).startswith("/tmp/") and p.stat().st_uid == os.geteuid():
            p.chmod(0o755)
    folder, build = tmp_path / "demo", BUILD
    prefix = []
    if request.param == "blanks in its path":
        folder, build = tmp_path / "my own" / "demo", tmp_path / "my own" / "build"
        build.parent.mkdir()
        build.symlink_to(BUILD)
    if request.param == "ordinary user":
        prefix = as_user(tmp_path)
        folder.mkdir()
        if L.ROOT:
            os.chown(folder, dict(L.LAB_USERS)["bob"], -1)
            os.chown(tmp_path, dict(L.LAB_USERS)["bob"], -1)
    elif request.param == "root" and not L.ROOT:
        pytest.skip("not root")

    def run(*args, timeout=180):
        return subprocess.run([*prefix, sys.executable, DEMO, "--build", build, "--dir", folder, *args], capture_output=True, text=True,
                              timeout=timeout, stdin=subprocess.DEVNULL, cwd=tmp_path)
    yield run, folder, prefix
    run("--stop")


def env_of(folder):
    out = {}
    for line in (folder / "env").read_text().splitlines():
        k, v = line.split("=", 1)
        out[k] = shlex.split(v)[0]
    return out


def test_detach_leaves_an_environment_that_works_twice_and_stop_ends_it(demo):
    run, folder, prefix = demo
    for _ in range(2):
        r = run("--detach", "--port", str(L.free_port()))
        assert r.returncode == 0, r.stdout + r.stderr
        e = env_of(folder)
        assert {"SALLYPORT_SSH_PORT", "SALLYPORT_CTL", "SALLYPORT_USER", "SALLYPORT_USER_KEY", "SALLYPORT_ADMIN", "SALLYPORT_TARGETS"} <= set(e)
        for target in e["SALLYPORT_TARGETS"].split():
            s = subprocess.run([*prefix, "ssh", "-F", "/dev/null", "-o", "UserKnownHostsFile=" + e["SALLYPORT_KNOWN_HOSTS"], "-o", "BatchMode=yes",
                                "-o", "IdentitiesOnly=yes", "-i", e["SALLYPORT_USER_KEY"], "-p", e["SALLYPORT_SSH_PORT"], "-l",
                                "%s@%s" % (e["SALLYPORT_USER"], target), "127.0.0.1", "echo ok"], capture_output=True, text=True, timeout=30,
                               stdin=subprocess.DEVNULL)
            assert s.stdout == "ok\n", s
        c = subprocess.run([*prefix, "sh", "-c", ". %s/env; $SALLYPORT_CTL --json session list" % shlex.quote(str(folder))],
                           capture_output=True, text=True, timeout=30)
        assert c.returncode == 0 and c.stdout.strip().startswith("["), c
    assert run("--stop").stdout == "stopped\n"
    assert not L.port_open(int(e["SALLYPORT_SSH_PORT"]))
    assert folder == pathlib.Path(e["SALLYPORT_DATA"]) or not os.path.exists(e["SALLYPORT_DATA"])


@pytest.mark.parametrize("demo", ["root", "ordinary user"], indirect=True)
def test_the_tour_passes(demo):
    run, folder, _ = demo
    r = run("--tour", timeout=300)
    assert r.returncode == 0, r.stdout + r.stderr
    print(r.stdout)
