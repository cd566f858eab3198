"""Rules over events: alerts, offenses, and what follows. The rule here counts commands with a marker, so that a plain ssh provokes it."""
import os
import signal
import subprocess

import lab as L
import pytest

LIMIT = 5
CONFIG = {"siem_protect": "oncall", "siem_disables": str(LIMIT)}

LOOP = """
title: A marked command
name: marked
logsource: {product: sallyport, service: audit}
detection:
  sel:
    kind: channel.open
    more.detail|contains: forbidden-word
  condition: sel
level: low
---
title: Three marked commands
correlation:
  type: event_count
  rules: [marked]
  group-by: [user_id]
  timespan: 24h
  condition: {gte: 3}
level: high
sallyport:
  category: suspicious.user-behaviour
  rearm: reset
  respond: [kill, disable, notify]
"""


def detection(lab, name, text, *more):
    return lab.ctl_run("detection", "add", name, "-", *more, stdin=text)


def pid_of(lab, name):
    out = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(lab.monitor_pid())], capture_output=True, text=True).stdout
    return [int(l.split()[0]) for l in out.splitlines() if name in l.split()[1]][0]


def kill9(lab, name):
    old = pid_of(lab, name)
    os.kill(old, signal.SIGKILL)

    def again():
        try:
            return pid_of(lab, name) != old
        except IndexError:
            return False
    L.wait_for(name + " again", again)


def offenses(lab, login, state=None):
    return [o for o in lab.ctl("offense", "list") if o["about"] == login and (state is None or o["state"] == state)]


def state_of(lab, login):
    return lab.ctl("user", "show", login)["state"]


def caught_up(lab):
    """Everything that is in the log now was judged."""
    head = lab.ctl("audit", "list", "--limit", "1")[0]
    n = head.get("seq") or head.get("index")
    L.wait_for("siem to catch up", lambda: lab.ctl("detection", "status")["judged"] >= n)


@pytest.fixture(scope="module")
def rule(lab):
    r = detection(lab, "marked", LOOP)
    assert r.returncode == 0, r.stderr
    L.wait_for("the rule to be in force", lambda: lab.ctl("detection", "status")["detections"] == 1)
    caught_up(lab)


@pytest.fixture
def person(lab, rule):
    """A user of one's own with a grant on web1; gone afterwards."""
    made = []

    def make(login, *more):
        key = lab.key(login + ".key")
        lab.ctl("user", "create", login, "--key", str(key) + ".pub", *more)
        lab.ctl("grant", "create", "--name", login + "-web1", "--user", login, "--asset", "web1", "--account", "*",
                "--protocol", "shell,exec,sftp")
        made.append(login)
        target = "%s@%s" % (login, lab.account_names()[0])
        return lambda *args, **kw: lab.ssh("%s@web1" % target, *args, key=key, **kw)
    yield make
    for login in made:
        lab.ctl_run("user", "delete", login)


def provoke(ssh, n):
    for i in range(n):
        # The one that makes the rule fire may be cut before it says anything.
        assert ssh("echo", "forbidden-word-%d" % i).stdout in ("forbidden-word-%d\n" % i, "")


def test_a_rule_that_does_not_load_is_refused_with_its_line(lab, rule):
    r = detection(lab, "bad", "title: x\nlogsource: {product: sallyport}\ndetection:\n  a: {kind: x}\n  condition: a and\n")
    assert r.returncode != 0 and "bad:" in r.stderr
    for block, word in (("respond: [explode]", "explode"), ("category: nonsense", "nonsense"), ("repeat: often", "often")):
        text = LOOP.replace("name: marked", "name: other").replace("[marked]", "[other]").replace("respond: [kill, disable, notify]", block)
        text = text.replace("category: suspicious.user-behaviour\n  ", "") if "category" in block else text
        r = detection(lab, "bad", text)
        assert r.returncode != 0 and word in r.stderr, r.stderr
    assert [d["name"] for d in lab.ctl("detection", "list")] == ["marked"]
    r = detection(lab, "marked", LOOP)
    assert r.returncode != 0 and "--replace" in r.stderr


def test_the_third_time_ends_every_session_and_disables_at_once(lab, person):
    ssh = person("mallory")
    argv = lab.ssh_argv("mallory@%s@web1" % lab.account_names()[0], "cat", key=lab.data / "mallory.key")
    live = [L.Echo(lab, None, argv) for _ in range(3)]
    provoke(ssh, 2)
    caught_up(lab)
    assert state_of(lab, "mallory") == "active"
    provoke(ssh, 1)
    L.wait_for("mallory to be disabled", lambda: state_of(lab, "mallory") == "disabled")
    o = offenses(lab, "mallory")
    assert len(o) == 1 and o[0]["alerts"] == 1 and o[0]["severity"] == "high" and o[0]["category"] == "Suspicious / User behaviour"
    shown = lab.ctl("offense", "show", o[0]["id"])
    assert [r["action"] + " " + r["state"] for r in reversed(shown["responses"])] == ["kill done", "disable done", "notify done"]
    assert len(shown["events"]) == 3 and all("forbidden-word" in e["more"]["detail"] for e in shown["events"])
    for e in live:
        assert e.p.wait(20) != 0
        assert "Terminated by rule" in e.p.stderr.read()
        e.end()
    assert ssh("true").returncode != 0
    L.wait_for("the alarm", lambda: any("Three marked commands: mallory" in a["text"] for a in lab.alarms("offense")))


def test_two_before_a_crash_and_the_third_after_it(lab, person):
    ssh = person("trudy")
    provoke(ssh, 2)
    caught_up(lab)
    kill9(lab, "sallyport-siem")
    caught_up(lab)
    kill9(lab, "sallyport-control")
    L.wait_for("control", lambda: lab.ctl_ok("status"))
    caught_up(lab)
    assert state_of(lab, "trudy") == "active"
    provoke(ssh, 1)
    L.wait_for("trudy to be disabled", lambda: state_of(lab, "trudy") == "disabled")
    kill9(lab, "sallyport-siem")
    kill9(lab, "sallyport-control")
    L.wait_for("control", lambda: lab.ctl_ok("status"))
    caught_up(lab)
    o = offenses(lab, "trudy")
    assert len(o) == 1 and o[0]["alerts"] == 1         # what was judged again raised nothing again


def test_after_a_recovery_three_new_ones_are_needed(lab, person):
    ssh = person("peggy")
    provoke(ssh, 3)
    L.wait_for("peggy to be disabled", lambda: state_of(lab, "peggy") == "disabled")
    lab.ctl("user", "enable", "peggy")
    provoke(ssh, 2)
    caught_up(lab)
    assert state_of(lab, "peggy") == "active"
    # While the offense is open the response runs again, because he is active again.
    provoke(ssh, 1)
    L.wait_for("peggy to be disabled again", lambda: state_of(lab, "peggy") == "disabled")
    assert sum(o["alerts"] for o in offenses(lab, "peggy")) == 2


def test_it_is_no_weapon(lab, person):
    ssh = person("oncall")
    provoke(ssh, 3)
    L.wait_for("the alert", lambda: offenses(lab, "oncall"))
    shown = lab.ctl("offense", "show", offenses(lab, "oncall")[0]["id"])
    assert {r["action"]: r["state"] for r in shown["responses"]} == {"kill": "kept", "disable": "kept", "notify": "done"}
    assert all("siem_protect" in r["text"] for r in shown["responses"] if r["state"] == "kept")
    assert state_of(lab, "oncall") == "active"


def test_beyond_so_many_in_an_hour_it_asks(lab, person):
    """Some were disabled by the tests before."""
    n = sum(r["state"] == "done" and r["action"] == "disable" for o in lab.ctl("offense", "list")
            for r in lab.ctl("offense", "show", o["id"])["responses"])
    names = ["extra%d" % i for i in range(max(0, LIMIT - n) + 1)]
    for name in names:
        provoke(person(name), 3)
        L.wait_for(name, lambda: offenses(lab, name))
    last = names[-1]
    o = offenses(lab, last)[0]
    assert {r["action"]: r["state"] for r in lab.ctl("offense", "show", o["id"])["responses"]}["disable"] == "asks"
    assert state_of(lab, last) == "active"
    assert lab.ctl("offense", "allow", o["id"])["state"] == "done"
    assert state_of(lab, last) == "disabled"
    assert lab.ctl_run("offense", "allow", o["id"]).returncode != 0


def test_the_last_administrator_is_never_disabled(lab, rule):
    admins = [u for u in lab.ctl("user", "list") if u["role"] == "admin" and u["state"] == "active"]
    assert [a["login"] for a in admins] == ["admin"]
    lab.ctl("grant", "create", "--name", "admin-web1", "--user", "admin", "--asset", "web1", "--account", "*", "--protocol", "exec")
    for i in range(3):
        lab.ssh("admin@%s@web1" % lab.account_names()[0], "echo", "forbidden-word", key=lab.data / "admin.key")
    L.wait_for("the alert", lambda: offenses(lab, "admin"))
    responses = lab.ctl("offense", "show", offenses(lab, "admin")[0]["id"])["responses"]
    assert [r["state"] for r in responses if r["action"] == "disable"][0] in ("kept", "asks")
    assert state_of(lab, "admin") == "active"


BOTH = """
title: "%s"
logsource: {product: sallyport, service: audit}
detection: {sel: {kind: channel.open, more.detail|contains: second-word}, condition: sel}
---
title: The other
logsource: {product: sallyport, service: audit}
detection: {sel: {kind: channel.open, more.detail|contains: second-word}, condition: sel}
level: high
sallyport: {respond: [kill, notify]}
""" % ("\u540c\u4e00\u6761\u547d\u4ee4\\n" * 40)


def test_two_rules_of_one_detection_are_two_alerts_whatever_their_titles_are(lab, person):
    ssh = person("walter")
    assert detection(lab, "both", BOTH).returncode == 0
    L.wait_for("the rules to be in force", lambda: lab.ctl("detection", "status")["detections"] == 2)
    caught_up(lab)
    assert ssh("echo", "second-word").returncode in (0, 255)       # it may be cut before it ends
    L.wait_for("both alerts", lambda: [o["alerts"] for o in offenses(lab, "walter")] == [2])
    shown = lab.ctl("offense", "show", offenses(lab, "walter")[0]["id"])
    assert sorted(a["rule"] for a in shown["alert_rows"]) == ["both", "both:6"] and shown["severity"] == "high"
    assert shown["title"].startswith("\u540c\u4e00\u6761\u547d\u4ee4\\x0a") and shown["title"].endswith("...")
    assert lab.ctl_run("detection", "delete", "both").returncode == 0
    L.wait_for("the rules to be gone", lambda: lab.ctl("detection", "status")["detections"] == 1)


def test_an_offense_is_worked_on_and_closed(lab, person):
    o = offenses(lab, "admin")[0]
    lab.ctl("offense", "protect", o["id"])
    lab.ctl("offense", "assign", o["id"], "alice")
    lab.ctl("offense", "note", o["id"], "looked", "at")
    r = lab.ctl_run("offense", "close", o["id"], "resolved")
    assert r.returncode != 0
    shown = lab.ctl("offense", "show", o["id"])
    assert shown["owner"] == "alice" and shown["notes"][0]["text"] == "looked at" and shown["protected"]
    text = lab.ctl_run("offense", "show", o["id"]).stdout
    assert "forbidden-word" in text and "looked at" in text
    lab.ctl("offense", "close", o["id"], "false-positive", "a", "test")
    shown = lab.ctl("offense", "show", o["id"])
    assert shown["state"] == "closed" and shown["reason"] == "false-positive"
    assert lab.ctl_run("offense", "close", o["id"], "resolved", "again").returncode != 0


def test_time_makes_it_dormant_and_closes_it(lab, person):
    lab.write_config(offense_dormant="1s", offense_close="2s")
    os.kill(lab.monitor_pid(), signal.SIGHUP)
    L.wait_for("the reload", lambda: "configuration read again" in lab.log("sallyport"))
    provoke(person("victor"), 3)
    L.wait_for("the offense", lambda: offenses(lab, "victor"))
    L.wait_for("the offense to be closed", lambda: offenses(lab, "victor", "closed"), 90)
    assert offenses(lab, "victor")[0]["closed_by"] == "system" and offenses(lab, "victor")[0]["reason"] == "time"


def test_the_pack_loads(lab, rule):
    got = lab.ctl("detection", "install")
    assert {g["result"] for g in got} == {"installed"} and len(got) >= 4
    assert {g["result"] for g in lab.ctl("detection", "install")} == {"there already"}
    lab.ctl("detection", "disable", "login-failures")
    assert {d["name"]: d["state"] for d in lab.ctl("detection", "list")}["login-failures"] == "off"
    lab.ctl("detection", "delete", "login-failures")
    assert all(d["ok"] for d in lab.ctl("doctor") if d.get("name") == "siem")


def test_a_detection_that_is_turned_off_in_the_database_is_a_finding(lab, rule):
    lab.ctl("detection", "install")
    lab.sql("UPDATE detections SET state = 2 WHERE name = 'host-key-changed'")
    L.wait_for("the finding", lambda: any("detections" in str(e) for e in lab.ctl("audit", "list", "--kind", "row.tampered")), 40)
