"""The same installation on a real PostgreSQL, which then goes away and comes back."""
import json
import os
import pathlib
import pwd
import signal
import subprocess
import tempfile

import pytest

import lab as L


def pg_bin():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert found, "PostgreSQL is not installed"
    return found[-1].parent


class Server:
    def __init__(self, folder):
        self.dir = pathlib.Path(folder)
        self.port = L.free_port()
        self.as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if L.ROOT else []
        if L.ROOT:
            os.chown(self.dir, pwd.getpwnam("postgres").pw_uid, -1)
        subprocess.run([*self.as_user, pg_bin() / "initdb", "-D", self.dir / "data", "-U", "sallyport", "-A", "trust", "-N"], check=True,
                       capture_output=True, cwd=self.dir)
        self.start()
        self.createdb("sallyport")

    def createdb(self, name):
        subprocess.run(["createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "sallyport", name], check=True)

    def start(self):
        self.p = subprocess.Popen([*self.as_user, pg_bin() / "postgres", "-D", self.dir / "data", "-p", str(self.port), "-k", "",
                                   "-c", "listen_addresses=127.0.0.1"], stdout=subprocess.DEVNULL, stderr=open(self.dir / "log", "ab"), cwd="/")
        L.wait_for("PostgreSQL", lambda: subprocess.run(["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode == 0)

    def stop(self):
        self.p.send_signal(signal.SIGQUIT)
        self.p.wait(20)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with tempfile.TemporaryDirectory(prefix="sp-pg-", dir="/tmp") as d:
        os.chmod(d, 0o755)
        server = Server(d)
        folder = tmp_path_factory.mktemp("pg")
        for p in [folder, *folder.parents]:
            if str(p).startswith("/tmp/") and p.stat().st_uid == os.geteuid():
                p.chmod(0o755)
        from conftest import BUILD
        try:
            with L.Lab(folder, BUILD, config={"store": "postgresql://sallyport@127.0.0.1:%d/sallyport" % server.port,
                                               "snapshot_life": "0"}) as lab:       # nothing to go on from: test_failover has that
                lab.pg = server
                lab.info = L.standard(lab)
                yield lab
        finally:
            server.stop()


def test_people_reach_servers(lab, me):
    assert me.ssh("echo ok").stdout == "ok\n"
    L.wait_for("the end of the session is on record", lambda: me.live() == [])
    assert lab.ctl("session", "list")[0]["state"] == "ended"


def psql(lab, sql, database="sallyport"):
    r = subprocess.run(["psql", "-h", "127.0.0.1", "-p", str(lab.pg.port), "-U", "sallyport", "-d", database, "-Atc", sql],
                       capture_output=True, text=True)
    assert r.returncode == 0, r
    return r.stdout.strip()


def test_a_row_changed_with_psql_is_refused_and_raised(lab, me):
    psql(lab, "UPDATE grants SET protocols = protocols - 64 WHERE name = 'alice-web1'")
    r = me.ssh("echo in")
    assert r.returncode == 255 and "behind Sallyport's back" in r.stderr, r
    L.wait_for("the audit entry", lambda: lab.ctl("audit", "list", "--kind", "row.tampered"))
    r = lab.ctl_run("doctor", "--rows")
    assert r.returncode == 1 and "grants" in r.stdout, r
    psql(lab, "UPDATE grants SET protocols = protocols + 64 WHERE name = 'alice-web1'")
    assert lab.ctl_run("doctor", "--rows").returncode == 0
    assert me.ssh("echo in").stdout == "in\n"
    lab.ctl("group", "create", "ops")
    lab.ctl("user", "create", "bob")
    psql(lab, "INSERT INTO user_closure SELECT u.id, g.id FROM users u, user_groups g WHERE u.login = 'bob' AND g.name = 'ops'")
    psql(lab, "INSERT INTO user_edges (child_id, parent_id, child_kind, created_us) SELECT u.id, g.id, 1, 1 FROM users u, user_groups g"
              " WHERE u.login = 'alice' AND g.name = 'ops'")
    found = json.loads(lab.ctl_run("--json", "doctor", "--rows").stdout)
    assert sorted((f["table"], f["what"][:7]) for f in found) == [("user_closure", "missing"), ("user_closure", "no memb"), ("user_edges", "it has ")]
    for f in sorted(found, key=lambda f: f["table"], reverse=True):
        assert lab.ctl_run("doctor", "--remove", f["table"], f["id"]).returncode == 0
    assert lab.ctl_run("doctor", "--rows").returncode == 0


def test_a_database_that_goes_away_refuses_clearly_keeps_live_sessions_and_comes_back(lab, me):
    p = subprocess.Popen(lab.ssh_argv(me.to0, "cat", key=me.key), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True, bufsize=1)
    p.stdin.write("one\n")
    p.stdin.flush()
    assert p.stdout.readline() == "one\n"
    lab.pg.stop()
    r = me.ssh("echo in", timeout=60)
    assert r.returncode == 255 and r.stdout == ""
    p.stdin.write("two\n")
    p.stdin.flush()
    assert p.stdout.readline() == "two\n"
    lab.pg.start()
    L.wait_for("logins again", lambda: me.ssh("echo in").stdout == "in\n", 20)
    p.stdin.close()
    assert p.wait(10) == 0
    L.wait_for("every end is on record", lambda: me.live() == [], 20)
