"""What the audit log says in clear of a person is destroyed, and every proof still holds: also when control is killed meanwhile."""
import json
import os

import pytest

import lab as L
from test_access import person
from test_evidence import audit_dir, go, kill_control, signed, tlogcheck, verify  # noqa: F401
from test_recordings import known


@pytest.fixture(scope="module")
def key(lab):
    signed(lab)
    f = lab.dir / "log.pub"
    f.write_text(lab.ctl("evidence", "status")["key"] + "\n")
    return f


def ran(lab, login, *commands):
    """A user with a grant, who runs these; his id and his sessions."""
    k = person(lab, login)
    lab.ctl("grant", "create", "--user", login, "--asset", "web1", "--account", "*", "--keep-output")
    before = known(lab)
    for c in commands:
        assert lab.ssh("%s@%s" % (login, lab.info["targets"][0]), c, key=k).returncode == 0
    sessions = L.wait_for("ended", lambda: (lambda v: v if len(v) == len(commands) and all(s["state"] == "ended" for s in v) else None)(
        [s for s in lab.ctl("session", "list") if s["id"] not in before]))
    L.wait_for("the index", lambda: len([c for c in lab.ctl("command", "search", "--user", login) if c["ended"]]) == len(commands))
    return lab.ctl("user", "show", login)["id"], [s["id"] for s in sessions]


def in_log(lab, text):
    return [f.name for f in sorted(audit_dir(lab).glob("*.log")) if text.encode() in f.read_bytes()]


def results(lab):
    return lab.ctl("audit", "list", "--kind", "evidence.erased")


def erase(lab, *args):
    n = len(results(lab))
    lab.ctl("evidence", "erase", *args, "--reason", "request 7 of the person")
    return L.wait_for("the result", lambda: (lambda r: r[0] if len(r) > n else None)(results(lab)))


def checked(lab, tlogcheck, key):
    """The whole log, by our program and by one that is not ours. How many values are erased."""
    size = signed(lab)
    assert go(tlogcheck, audit_dir(lab), key) >= size
    return verify(lab, "--dir", audit_dir(lab), "--key", key, "--full").get("erased_values", 0)


def test_what_is_said_of_a_user_is_gone_and_the_log_verifies(lab, key, tlogcheck):
    uid, sessions = ran(lab, "willa", "echo willas-private-words")
    ran(lab, "otto", "echo ottos-words-stay")
    before = checked(lab, tlogcheck, key)
    assert in_log(lab, "willas-private-words") and in_log(lab, '"willa"')
    r = erase(lab, "--user", "willa")
    assert r["result"] == "ok" and r["more"]["erased_values"] > 10 and not r["more"]["resumed"], r
    assert not in_log(lab, "willas-private-words") and not in_log(lab, "willa@") and in_log(lab, "ottos-words-stay")
    assert checked(lab, tlogcheck, key) >= before + r["more"]["erased_values"]
    entries = [e for e in lab.ctl("audit", "list", "--session", sessions[0], "--limit", "1000")]
    assert entries and all(e["actor"] == "(erased)" for e in entries if "actor" in e)
    # the index
    assert lab.ctl("command", "search", "willas-private") == [] and lab.ctl("command", "search", "ottos-words-stay")
    rows = lab.ctl("command", "search", "--session", sessions[0], "--output")
    assert [c["command"] for c in rows] == ["(erased)"] and "output" not in rows[0]
    shown = lab.ctl("session", "show", sessions[0])
    assert "willas" not in json.dumps(shown) and shown["state"] == "ended"
    # intent and result name him by id only
    intent = lab.ctl("audit", "list", "--kind", "evidence.erase")[0]
    assert intent["more"]["erase_user"] == uid and intent["more"]["reason"].startswith("request 7") and intent["seq"] < r["seq"]
    # it does not come back when the log is replayed
    kill_control(lab)
    assert [c["command"] for c in lab.ctl("command", "search", "--session", sessions[0])] == ["(erased)"]


def test_one_session_and_single_entries(lab, key, tlogcheck):
    _, (a, b) = ran(lab, "wanda", "echo wandas-first", "echo wandas-second")
    first = a if "wandas-first" in json.dumps(lab.ctl("session", "show", a)) else b
    erase(lab, "--session", first)
    assert not in_log(lab, "wandas-first") and in_log(lab, "wandas-second")
    entry = [e for e in lab.ctl("audit", "list", "--limit", "1000") if "wandas-second" in json.dumps(e.get("more", {}))]
    erase(lab, "--entries", ",".join(str(e["seq"]) for e in entry))
    assert not in_log(lab, "wandas-second")
    assert lab.ctl("command", "search", "wandas-second") == [] and lab.ctl("command", "search", "--user", "wanda")
    checked(lab, tlogcheck, key)


def test_what_cannot_be_erased_is_refused(lab, key):
    for args, what in (((), "one of them"), (("--user", "nobody-here"), "nobody-here"), (("--session", "x"), "no session"),
                       (("--entries", "99999999"), "by its number"), (("--user", "otto", "--entries", "1"), "one of them")):
        r = lab.ctl_run("evidence", "erase", *args, "--reason", "why not")
        assert r.returncode != 0 and what in r.stderr, (args, r)
    assert lab.ctl_run("evidence", "erase", "--user", "otto").returncode != 0


def test_an_erasing_that_failed_is_not_forgotten_by_the_next(lab, key, tlogcheck):
    ran(lab, "walda", "echo waldas-words")
    ran(lab, "wolf", "echo wolfs-words")
    scratch = audit_dir(lab) / "erase-scratch"
    scratch.mkdir()             # no segment can be replaced
    try:
        assert erase(lab, "--user", "walda")["result"] == "failed" and in_log(lab, "waldas-words")
        r = lab.ctl_run("evidence", "erase", "--user", "wolf", "--reason", "request 8")
        assert r.returncode != 0 and "an earlier erasing is not done" in r.stderr, r
    finally:
        scratch.rmdir()
    L.wait_for("the next is taken", lambda: lab.ctl_run("evidence", "erase", "--user", "wolf", "--reason", "request 8").returncode == 0)
    assert not in_log(lab, "waldas-words")
    L.wait_for("both are done", lambda: not in_log(lab, "wolfs-words") and not (audit_dir(lab) / "erase-pending").exists())
    checked(lab, tlogcheck, key)


def test_what_is_held_is_not_erased_and_who_erased_stays(lab, key, tlogcheck):
    _, (sid,) = ran(lab, "wiebke", "echo wiebkes-words")
    lab.ctl("recording", "hold", sid, "case 9")
    for args in (("--user", "wiebke"), ("--session", sid)):
        r = lab.ctl_run("evidence", "erase", *args, "--reason", "request 9")
        assert r.returncode != 0 and "is held" in r.stderr, r
    lab.ctl("recording", "release", sid)
    erase(lab, "--session", sid)
    assert not in_log(lab, "wiebkes-words")
    done = lab.ctl("audit", "list", "--kind", "evidence.erase")[0]
    r = erase(lab, "--entries", str(done["seq"]))
    assert r["more"]["erased_values"] == 0
    again = [e for e in lab.ctl("audit", "list", "--kind", "evidence.erase") if e["seq"] == done["seq"]][0]
    assert again["actor"] == done["actor"] and again["more"] == done["more"] and done["more"]["erase_session"] == sid
    checked(lab, tlogcheck, key)


def test_killed_in_the_middle_it_goes_on_at_the_next_start(lab, key, tlogcheck):
    """Once by what an earlier control left, and once by a real kill at no certain moment: the log verifies at each."""
    uid, _ = ran(lab, "wilma", "echo wilmas-words")
    pending = audit_dir(lab) / "erase-pending"
    # 4 MiB are far away: what is to be erased is in the newest segment, so let one begin
    erase(lab, "--entries", "1")
    pending.write_text(json.dumps({"user": uid, "login": "wilma", "actor": "uid 0"}))
    os.chown(pending, (audit_dir(lab) / "checkpoint").stat().st_uid, -1)
    n = len(results(lab))
    kill_control(lab)
    r = L.wait_for("the result", lambda: (lambda v: v[0] if len(v) > n else None)(results(lab)), 40)
    assert r["more"]["resumed"] and r["more"]["erased_values"] > 10 and not in_log(lab, "wilmas-words") and not pending.exists()
    checked(lab, tlogcheck, key)
    ran(lab, "wendy", "echo wendys-words")
    n = len(results(lab))
    lab.ctl("evidence", "erase", "--user", "wendy", "--reason", "killed meanwhile")
    kill_control(lab)
    checked(lab, tlogcheck, key)
    if in_log(lab, "wendys-words") and not pending.exists() and len(results(lab)) == n:
        erase(lab, "--user", "wendy")           # it died between the intent and its first step
    L.wait_for("nothing is left of it", lambda: not in_log(lab, "wendys-words") and not pending.exists(), 40)
    checked(lab, tlogcheck, key)
