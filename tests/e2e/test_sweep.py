"""Leavers and movers, from a file and from a real slapd."""
import json
import subprocess

import pytest

import lab as L


def write(lab, name, text):
    p = lab.dir / name
    p.write_text(text)
    return p


def sweep(lab, path, *opts, source="hr"):
    r = lab.ctl_run("--json", "sweep", "csv", path, "--source", source, *opts)
    out = json.loads(r.stdout) if r.stdout.strip() else None
    return r.returncode, out, r.stderr


def state(lab, login):
    return lab.ctl("user", "show", login)["state"]


@pytest.fixture(scope="module")
def staff(lab):
    """Ten people of department old, one of whom moves; two of them own servers."""
    for d in ("old", "new"):
        lab.ctl("department", "create", d)
    people = ["s%d" % i for i in range(10)]
    f = write(lab, "staff.csv", "external_id,login,department\n" + "".join("e-%s,%s,old\n" % (p, p) for p in people))
    lab.ctl("import", "users", f, "--source", "hr")
    lab.ctl("user", "create", "boss-new", "--department", "new")
    lab.ctl("group", "create", "team-old", "--department", "old")
    lab.ctl("group", "create", "team-all")
    for g in ("team-old", "team-all"):
        lab.ctl("group", "member", "add", g, "--user", "s1")
    for name, dep, owner in (("srv-old", "old", "s1"), ("srv-new", "new", "s1"), ("srv-left", "old", "s2")):
        lab.ctl("asset", "create", name, "192.0.2.1", "--department", dep, "--owner", owner)
    for name, effect in (("srv-old", "allow"), ("srv-new", "allow"), ("srv-left", "deny")):
        lab.ctl("grant", "create", "--name", "s1-" + name, "--user", "s1", "--asset", name, "--account", "*", "--effect", effect)
    return people


def rows(people, **changed):
    out = "external_id,login,state,department,heir\n"
    for p in people:
        out += changed.get(p, "e-%s,%s,active,old," % (p, p)) + "\n"
    return out


def test_a_list_that_says_what_is_there_changes_nothing(lab, staff):
    code, out, err = sweep(lab, write(lab, "same.csv", rows(staff)))
    assert code == 0 and (out["changed"], out["disabled"], out["unchanged"], out["report"]) == (0, 0, 10, []), (out, err)


def test_who_moves_loses_what_the_old_department_gave_and_his_assets_there_get_the_heir(lab, staff):
    f = write(lab, "move.csv", rows(staff, s1="e-s1,s1,active,new,boss-new"))
    code, out, _ = sweep(lab, f, "--dry-run")
    assert code == 0 and out["changed"] == 1 and lab.ctl("user", "show", "s1")["department"] == "old"
    code, out, err = sweep(lab, f)
    assert code == 0, (out, err)
    assert out["report"] == [{"login": "s1", "what": "moved", "from": "old", "to": "new", "grants_removed": 1, "groups_left": 1,
                              "assets_passed_on": 1, "heir": "boss-new"}]
    assert {g["name"] for g in lab.ctl("grant", "list", "--user", "s1")} == {"s1-srv-new", "s1-srv-left"}    # a refusal stays
    assert "s1" not in lab.ctl("group", "show", "team-old")["members"] and "s1" in lab.ctl("group", "show", "team-all")["members"]
    assert lab.ctl("asset", "show", "srv-old")["owner"] == "boss-new" and lab.ctl("asset", "show", "srv-new")["owner"] == "s1"
    assert state(lab, "s1") == "active"
    assert sweep(lab, f)[1]["changed"] == 0
    entry = lab.ctl("audit", "list", "--kind", "sweep.report", "--limit", 1)[0]
    assert "boss-new" in json.dumps(entry) and "srv" not in entry["kind"]


def test_who_left_or_is_missing_is_disabled_at_once_and_his_assets_get_the_heir(lab, staff, me):
    lab.ctl("user", "key", "add", "s3", lab.key("s3").with_suffix(".pub"))
    lab.ctl("grant", "create", "--user", "s3", "--asset", me.t0.split("@")[-1], "--account", "*")
    p = subprocess.Popen(lab.ssh_argv("s3@" + me.t0, "sleep 300", key=lab.key("s3")), stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    L.wait_for("the session is there", lambda: any(s["user"] == "s3" for s in me.live()))
    moved = {"s1": "e-s1,s1,active,new,"}
    f = write(lab, "left.csv", rows([x for x in staff if x != "s3"], s2="e-s2,s2,left,,", **moved))
    code, out, err = sweep(lab, f)
    assert code == 65 and "srv-left" in out["refused"][0]["reason"] and "--heir" in out["refused"][0]["reason"], (out, err)
    assert state(lab, "s2") == state(lab, "s3") == "active"
    code, out, err = sweep(lab, f, "--heir", "boss-new")
    assert code == 0 and sorted(r["login"] for r in out["report"]) == ["s2", "s3"], (out, err)
    assert state(lab, "s2") == state(lab, "s3") == "disabled" and p.wait(30) != 0
    assert lab.ctl("asset", "show", "srv-left")["owner"] == "boss-new"
    assert state(lab, "boss-new") == "active"      # of no list: nobody misses him


def test_a_list_that_is_cut_off_or_empty_is_refused(lab, staff):
    few = write(lab, "few.csv", rows(staff[:2], s1="e-s1,s1,active,new,"))
    code, out, _ = sweep(lab, few, "--heir", "boss-new")
    assert code == 65 and "--force" in out["refused"][0]["reason"]
    code, out, _ = sweep(lab, write(lab, "none.csv", rows([])), "--heir", "boss-new", "--max-percent", "100")
    assert code == 65 and "whole" in out["refused"][0]["reason"]
    assert state(lab, "s5") == "active"


def test_an_heir_who_leaves_too_is_refused(lab, staff):
    lab.ctl("asset", "update", "srv-new", "--owner", "s8")
    f = write(lab, "heirs.csv", rows([x for x in staff if x not in ("s2", "s3")], s1="e-s1,s1,active,new,", s8="e-s8,s8,left,,s9",
              s9="e-s9,s9,left,,"))
    code, out, _ = sweep(lab, f, "--max-percent", "50")
    assert code == 65 and "s9 leaves, and would inherit" in out["refused"][0]["reason"], out
    assert state(lab, "s8") == "active"
