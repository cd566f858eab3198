"""A backup put into an empty PostgreSQL database: taken from the embedded store, and from PostgreSQL itself."""
import os
import shutil
import tempfile

import pytest

import lab as L
import otp
from test_backup import restore
from test_mfa import grant
from test_mfa_memory import asked
from test_postgresql import Server, psql


@pytest.fixture(scope="module")
def pg(lab):
    with tempfile.TemporaryDirectory(prefix="sp-rpg-", dir="/tmp") as d:
        os.chmod(d, 0o755)
        lab.pg = Server(d)
        try:
            for name in ("first", "second"):
                lab.pg.createdb(name)
            yield lab.pg
        finally:
            lab.pg.stop()


def url(pg, database):
    return "postgresql://sallyport@127.0.0.1:%d/%s" % (pg.port, database)


def rows(lab):
    """What people and administrators see of the store."""
    out = {n: sorted(r.get("login") or r.get("name") for r in lab.ctl(n, "list")) for n in ("user", "asset", "group", "grant")}
    out["sessions"] = {s["id"]: (s["state"], s["reason"]) for s in lab.ctl("session", "list", "--limit", 1000)}
    return out


def moved_to(lab, database, backup):
    """Restore into an empty state directory whose configuration names that database, and start."""
    lab.stop("sallyport")
    shutil.rmtree(lab.data / "state")
    out = restore(lab, lab.data / "state", file=backup)
    lab.config["store"] = database
    lab.start()
    return out


def test_a_backup_goes_into_an_empty_database_and_never_into_another_one(lab, me, pg):
    key = lab.key("key-rita")
    lab.ctl("user", "create", "rita", "--key", str(key) + ".pub")
    grant(lab, "every", user="rita")
    app = otp.App(lab, "rita")
    (lab.dir / "pass").write_text("paper in a safe\n")
    assert me.ssh("echo in").stdout == "in\n"
    L.wait_for("the end is on record", lambda: me.live() == [])
    before = rows(lab)
    files = ["--config", lab.conf, "--passphrase-file", lab.dir / "pass"]
    lab.ctl("backup", lab.dir / "lite.backup", *files)

    moved_to(lab, url(pg, "first"), "lite.backup")
    state = lab.data / "state"
    assert "the restored backup is in the database" in lab.log("sallyport")
    assert sorted(f.name for f in (state / "store").iterdir() if f.suffix == ".db") == []       # nothing of it is left here
    assert not (state / "snapshot" / "store.load").exists()
    assert rows(lab) == before
    assert lab.ctl("quarantine", "status")["quarantine"] is True
    r = me.ssh("true")
    assert r.returncode != 0 and "quarantine" in r.stderr, r.stderr
    lab.ctl("quarantine", "release")
    assert me.ssh("echo back").stdout == "back\n"
    assert asked(lab, me, "rita", app, key, [app.next()]) == (True, 1)                          # secrets and row MACs fit
    r = lab.ctl_run("doctor", "--rows")
    assert ", 0 are refused" in r.stdout, r.stdout
    L.wait_for("the end is on record", lambda: me.live() == [])

    lab.ctl("user", "create", "only-in-postgresql")
    before = rows(lab)
    lab.ctl("backup", lab.dir / "pg.backup", *files)
    moved_to(lab, url(pg, "second"), "pg.backup")
    assert rows(lab) == before and "only-in-postgresql" in before["user"]
    lab.ctl("quarantine", "release")
    assert me.ssh("echo back").stdout == "back\n"
    assert int(psql(lab, "SELECT count(*) FROM users", "second")) == len(before["user"])

    # A database that has rows is left as it is, and nobody is served from it.
    count = psql(lab, "SELECT count(*) FROM users", "first")
    lab.stop("sallyport")
    shutil.rmtree(state)
    restore(lab, state, file="lite.backup")
    lab.config["store"] = url(pg, "first")
    lab.write_config()
    n = len(lab.log("sallyport"))
    lab.spawn("sallyport", [lab.exe("sallyport-monitor"), "-f", lab.conf, *lab.monitor_args])
    L.wait_for("the refusal", lambda: "the database is not empty" in lab.log("sallyport")[n:], 30)
    assert me.ssh("true").returncode != 0
    assert psql(lab, "SELECT count(*) FROM users", "first") == count and (state / "store" / "sallyport.db").exists()
    # The operator decides for what is there.
    (state / "snapshot" / "store.load").unlink()
    L.wait_for("it is used", lambda: lab.ctl("user", "show", "rita"), 30)
