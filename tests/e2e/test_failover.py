"""Going on: a primary, a standby beside it and one in the other site, real ones in network namespaces. Servers are killed
and cut off while people log in; no login fails as long as one of them answers."""
import contextlib
import os
import signal
import statistics
import tempfile
import threading
import time

import pytest

import lab as L
import pgcluster as P
from terminal import Terminal
from test_going_on import LINE, fresh, state
from test_mfa_memory import asked, enrol, kill_control

WHY_NOT = P.why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
PEOPLE = 3


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    from conftest import BUILD
    folder = tmp_path_factory.mktemp("failover")
    for p in [folder, *folder.parents]:
        if str(p).startswith("/tmp/") and p.stat().st_uid == os.geteuid():
            p.chmod(0o755)
    with contextlib.ExitStack() as undo:
        d = undo.enter_context(tempfile.TemporaryDirectory(prefix="sp-failover-", dir="/tmp"))
        os.chmod(d, 0o755)
        net = undo.enter_context(P.Net())
        servers = [P.Server(net, d, 11 + i) for i in range(3)]
        primary, standby, far = servers
        for s in servers:
            undo.callback(s.stop)
        primary.initdb()
        primary.start()
        primary.run("createdb", "-h", primary.dir, "-U", "sallyport", "sallyport")
        for s in (standby, far):
            s.follow(primary)
            s.start()
        lab = undo.enter_context(L.Lab(folder, BUILD, config={"store": [primary.url, standby.url], "store_far": [far.url]}))
        lab.primary, lab.standby, lab.far = servers
        # Two addresses, one identity: the second is what a second name or network of the same bastion looks like.
        lab.second = L.free_port()
        lab.port = L.free_port()
        lab.config["listen"] = ["127.0.0.1:%d" % lab.port, "127.0.0.1:%d" % lab.second]
        lab.info = L.standard(lab)
        settled(lab, primary)
        yield lab


def roles(lab):
    return {s["name"].split(":")[0]: s for s in lab.ctl("status")["store_servers"]}


def settled(lab, primary):
    """The primary is used for everything, and the standbys have all that it has."""
    def done():
        r = roles(lab)
        lsn = primary.sql("SELECT pg_current_wal_lsn()")
        return r[primary.address]["reading"] and r[primary.address]["writing"] and all(
            r[s.address]["role"] == "replica" and s.sql("SELECT pg_last_wal_replay_lsn() >= '%s'" % lsn) == "t"
            for s in (lab.primary, lab.standby, lab.far) if s is not primary and s.p is not None)
    L.wait_for("the servers are in their places", done, 60)


class Crowd:
    """People who log in one after the other until told to stop; every login's time and result is kept."""
    def __init__(self, me):
        self.me, self.stopped, self.results = me, threading.Event(), []
        self.threads = [threading.Thread(target=self.run) for _ in range(PEOPLE)]

    def run(self):
        while not self.stopped.is_set():
            t = time.monotonic()
            r = self.me.ssh("echo in", timeout=120)
            self.results.append((t, time.monotonic() - t, r.returncode, r.stdout, r.stderr))

    def done_since(self, t):
        return sum(1 for r in self.results if r[0] >= t)

    def __enter__(self):
        for t in self.threads:
            t.start()
        L.wait_for("people log in", lambda: len(self.results) >= 2 * PEOPLE, 60)
        return self

    def __exit__(self, *exc):
        self.stopped.set()
        for t in self.threads:
            t.join()

    def report(self, what, at):
        before = [r[1] for r in self.results if r[0] + r[1] < at]
        during = [r[1] for r in self.results if r[0] + r[1] >= at]
        print("%s: %d logins before, median %.2f s; %d then, longest %.2f s" % (
            what, len(before), statistics.median(before), len(during), max(during)))

    def nobody_failed(self):
        bad = [r for r in self.results if r[2] != 0 or r[3] != "in\n"]
        assert bad == []


def people_go_on(lab, me, what, event, reading):
    with Crowd(me) as crowd:
        at = time.monotonic()
        event()
        L.wait_for("reading from the next one", lambda: roles(lab)[reading.address]["reading"], 30)
        since = time.monotonic()
        L.wait_for("people log in there", lambda: crowd.done_since(since) >= 2 * PEOPLE, 60)
    crowd.report(what, at)
    crowd.nobody_failed()


def rows_have_arrived(lab, me):
    L.wait_for("the rows that were kept are written", lambda: lab.ctl("status")["store_rows_waiting"] == 0, 30)
    L.wait_for("every end is on record", lambda: me.live() == [], 30)


def test_both_addresses_show_the_same_host_key(lab, me):
    for port in (lab.port, lab.second):
        assert me.ssh("echo in", options=("-o", "Port=%d" % port, "-o", "HostKeyAlias=[127.0.0.1]:%d" % lab.port)).stdout == "in\n"


def test_a_primary_whose_packets_are_dropped_fails_no_login(lab, me):
    people_go_on(lab, me, "primary cut off", lab.primary.drop_packets, lab.standby)
    # What a login writes waits; what an administrator changes is refused in words, and not half done.
    r = lab.ctl_run("user", "create", "nobody-yet")
    assert r.returncode != 0 and ("no database server takes changes" in r.stderr or "store is not available" in r.stderr)
    lab.primary.pass_packets()
    settled(lab, lab.primary)
    rows_have_arrived(lab, me)
    lab.ctl("user", "create", "nobody-yet")


def test_when_all_near_servers_hang_the_other_site_answers(lab, me):
    def cut():
        lab.primary.drop_packets()
        lab.standby.drop_packets()
    people_go_on(lab, me, "both near ones cut off", cut, lab.far)
    lab.primary.pass_packets()
    lab.standby.pass_packets()
    settled(lab, lab.primary)
    rows_have_arrived(lab, me)


def test_what_was_revoked_stays_revoked_on_the_replica(lab, me):
    lab.ctl("user", "disable", "alice")
    settled(lab, lab.primary)
    lab.primary.drop_packets()
    L.wait_for("reading from the standby", lambda: roles(lab)[lab.standby.address]["reading"], 30)
    assert me.ssh("echo in").returncode != 0
    lab.primary.pass_packets()
    settled(lab, lab.primary)
    lab.ctl("user", "enable", "alice")
    assert me.ssh("echo in").stdout == "in\n"
    settled(lab, lab.primary)


def test_with_a_replica_alone_a_code_lets_people_in_once(lab, me):
    """Nothing can be written to the store: what is used up is kept here, over a restart of control, and told to the primary later."""
    app, key = enrol(lab, "rosa")                               # one code counts for 4 h
    strict, strict_key = enrol(lab, "ruth", "every")
    settled(lab, lab.primary)
    lab.primary.drop_packets()
    L.wait_for("reading from the standby", lambda: roles(lab)[lab.standby.address]["reading"], 30)
    assert asked(lab, me, "rosa", app, key, [app.next()]) == (True, 1)
    code, recovery = strict.next(), strict.recovery[0]
    assert asked(lab, me, "ruth", strict, strict_key, [code]) == (True, 1)
    assert asked(lab, me, "ruth", strict, strict_key, [code]) == (False, 1)
    assert asked(lab, me, "ruth", strict, strict_key, [recovery]) == (True, 1)
    kill_control(lab)
    assert asked(lab, me, "rosa", app, key, []) == (True, 0)
    assert asked(lab, me, "ruth", strict, strict_key, [code, recovery], tries=2) == (False, 2)
    lab.primary.pass_packets()
    settled(lab, lab.primary)
    rows_have_arrived(lab, me)
    L.wait_for("the primary knows of the recovery code", lambda: lab.ctl("user", "totp", "show", "ruth")["recovery_left"] == 9 - strict.spent)
    L.wait_for("and of the step", lambda: int(lab.primary.sql(
        "SELECT last_step FROM user_totp t JOIN users u ON u.id = t.id WHERE u.login = 'ruth'")) >= strict.last)
    settled(lab, lab.primary)


def test_with_every_server_away_people_go_on_from_the_snapshot_and_what_they_did_arrives_later(lab, me):
    servers = (lab.primary, lab.standby, lab.far)
    rows_have_arrived(lab, me)
    fresh(lab)
    known = {s["id"] for s in lab.ctl("session", "list", "--limit", 1000)}
    live = L.Echo(lab, me)
    with contextlib.ExitStack() as undo:
        undo.callback(live.p.kill)
        for s in servers:
            s.stop()
            undo.callback(s.start)
        r = me.ssh("echo in", timeout=120)                     # the first one waits until it is certain
        assert (r.returncode, r.stdout) == (0, "in\n"), r
        assert state(lab)["state"] == "in use"
        live.say("still here")
        with Terminal(lab.dir, ["ssh", "-tt", *lab.ssh_options(me.key), "-p", lab.port, "-l", "alice", "127.0.0.1"], 80, 24) as t:
            s = t.wait("web1", "Number or search>")
            assert LINE in s.replace("\n", ""), s
            t.line(me.t0)
            t.wait("$")
            t.line("echo $((40+2))")
            t.wait("42")
            t.line("exit")
            t.wait("Number or search>")
            t.line("q")
        r = lab.ctl_run("user", "create", "nobody-new")
        assert r.returncode != 0 and LINE in r.stderr and "Nothing can be changed" in r.stderr, r
        assert LINE in lab.ctl_run("doctor").stdout
        assert live.end() == 0
        undo.pop_all()
        for s in servers:
            s.start()
    L.wait_for("the store is back", lambda: state(lab)["state"] == "ready", 60)
    settled(lab, lab.primary)
    rows_have_arrived(lab, me)
    new = [s for s in lab.ctl("session", "list", "--limit", 1000) if s["id"] not in known]
    assert len(new) == 3 and all(s["state"] == "ended" and s["recording"] for s in new), new
    assert lab.ctl("audit", "list", "--kind", "store.away") and lab.ctl("audit", "list", "--kind", "store.back")
    lab.ctl("user", "create", "somebody-new")
    settled(lab, lab.primary)


def test_a_killed_primary_fails_no_login_and_the_promoted_standby_gets_the_rows(lab, me):
    rows_have_arrived(lab, me)
    count = len(lab.ctl("session", "list", "--limit", 1000))
    with Crowd(me) as crowd:
        at = time.monotonic()
        lab.primary.stop(signal.SIGQUIT)
        L.wait_for("reading from the standby", lambda: roles(lab)[lab.standby.address]["reading"], 30)
        since = time.monotonic()
        L.wait_for("people log in there", lambda: crowd.done_since(since) >= 2 * PEOPLE, 60)
        assert lab.ctl("status")["store_rows_waiting"] > 0
        lab.standby.promote()
        L.wait_for("writing to the promoted one", lambda: roles(lab)[lab.standby.address]["writing"], 30)
        since = time.monotonic()
        L.wait_for("people log in there", lambda: crowd.done_since(since) >= PEOPLE, 60)
    crowd.report("primary killed", at)
    crowd.nobody_failed()
    rows_have_arrived(lab, me)
    assert len(lab.ctl("session", "list", "--limit", 1000)) == count + len(crowd.results)
    lab.ctl("user", "create", "after-promotion")


def test_an_old_primary_that_comes_back_is_refused(lab, me):
    lab.primary.start()
    L.wait_for("the old one is seen", lambda: roles(lab)[lab.primary.address]["role"] == "refused", 30)
    assert "promoted" in roles(lab)[lab.primary.address]["why"]
    assert roles(lab)[lab.standby.address]["writing"]
    assert me.ssh("echo in").stdout == "in\n"
    L.wait_for("it is in the audit log", lambda: any("promoted" in (e.get("text") or "") for e in
                                                     lab.ctl("audit", "list", "--kind", "store.server")), 20)


def test_a_start_without_a_primary_serves_people_from_the_replica(lab, me):
    lab.standby.stop()
    lab.primary.stop()
    lab.stop("sallyport")
    lab.start()
    assert me.ssh("echo in").stdout == "in\n"
