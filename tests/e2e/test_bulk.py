"""Many objects at once: import and export, all or nothing, the same file twice, a list that adds and removes."""
import csv
import io
import json
import sqlite3
import subprocess
import threading

import pytest

import lab as L
import otp

KINDS = ("users", "groups", "assets", "accounts", "grants")


def write(lab, name, text):
    p = lab.dir / name
    p.write_bytes(text if isinstance(text, bytes) else text.encode())
    return p


def put(lab, kind, path, *opts):
    r = lab.ctl_run("--json", "import", kind, path, *opts)
    return r.returncode, json.loads(r.stdout) if r.stdout.strip() else None, r.stderr


def took(lab, kind, path, *opts):
    code, out, err = put(lab, kind, path, *opts)
    assert code == 0 and out["applied"] is ("--dry-run" not in opts), (out, err)
    return out["created"], out["changed"], out["unchanged"], out["disabled"], out["deleted"]


@pytest.fixture(scope="module")
def world(lab):
    lab.ctl("department", "create", "bulk")
    key = lab.key("bulk_key").with_suffix(".pub").read_text().strip()
    users = write(lab, "users.csv", "\ufefflogin,full_name,department,keys\r\nb-ann,\"Ann \"\"A\"\" B, C\",bulk,%s\r\nb-bob,王小明,bulk,\r\n" % key)
    groups = write(lab, "groups.csv", "name,kind,parent,members,member_groups\nb-inner,users,,b-ann;b-bob,\nb-outer,users,,,b-inner\n"
                   "b-low,assets,b-top,,\nb-top,assets,,,\n")
    assets = write(lab, "assets.csv", 'name,address,port,remark,groups,tags,owner\nb-web1,192.0.2.1,2222,"one, ""two""","b-low\r\n",env=prod;web,b-ann\n'
                   "b-web2,192.0.2.2,,plain,,,\n")
    accounts = write(lab, "accounts.csv", "asset,name,kind,login\nb-web1,me,same,\nb-web2,typed,typed,app\n")
    grants = write(lab, "grants.csv", "name,user,group,asset,asset_group,accounts,protocols,hours,valid_until\n"
                   "b-g1,b-ann,,b-web1,,*,shell;sftp,mon-fri 08:00-18:00,2040-01-01\n,,b-outer,,b-top,me;root,,,\n")
    files = dict(zip(KINDS, (users, groups, assets, accounts, grants)))
    files["first"] = {k: took(lab, k, files[k]) for k in KINDS}
    return files


def test_every_kind_is_imported_and_the_same_file_again_changes_nothing(lab, world):
    assert world["first"] == {"users": (2, 0, 0, 0, 0), "groups": (4, 0, 0, 0, 0), "assets": (2, 0, 0, 0, 0), "accounts": (2, 0, 0, 0, 0),
                              "grants": (2, 0, 0, 0, 0)}
    for kind in KINDS:
        created, changed, unchanged, *gone = took(lab, kind, world[kind])
        assert (created, changed, unchanged, *gone) == (0, 0, world["first"][kind][0], 0, 0), kind
    ann = lab.ctl("user", "show", "b-ann")
    assert ann["full_name"] == 'Ann "A" B, C' and len(lab.ctl("user", "key", "list", "b-ann")) == 1
    web = lab.ctl("asset", "show", "b-web1")
    assert (web["port"], web["owner"], sorted(web["tags"])) == (2222, "b-ann", ["env=prod", "web"]) and "b-top" in web["groups"]
    assert lab.ctl("access", "explain", "b-bob", "b-web1", "me")["allowed"]      # groups in groups on both sides
    kinds = [e["kind"] for e in lab.ctl("audit", "list", "--limit", 200)]
    assert "import" in kinds and "import.names" in kinds


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ("csv", "jsonl"))
def test_an_export_imported_again_changes_nothing(lab, world, kind, form):
    out = lab.dir / ("out-%s.%s" % (kind, form))
    subprocess.run(lab.ctl_argv("export", kind, out), check=True, capture_output=True)
    created, changed, unchanged, *gone = took(lab, kind, out)
    assert (created, changed, *gone) == (0, 0, 0, 0) and unchanged >= world["first"][kind][0]
    text = subprocess.run(lab.ctl_argv("export", kind, "--format", form), check=True, capture_output=True).stdout
    assert text == out.read_bytes()
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(text.decode(), newline="")))
        assert len(rows) == unchanged and "password" not in rows[0]


def test_one_bad_row_refuses_all_with_line_and_reason_of_each(lab, world):
    bad = write(lab, "bad.csv", 'name,address,port,zone\nb-new1,192.0.2.7,22,\nb-new2,,22,\n"b-new3","192.0.2.9\n",22,\nb-new4,192.0.2.9,x,\n'
                "b-new5,192.0.2.9,22,nowhere\nb-new1,192.0.2.8,22,\nshort\n")
    code, out, err = put(lab, "assets", bad)
    lines = {r["line"]: r["reason"] for r in out["refused"]}
    assert code == 65 and not out["applied"] and out["refused_n"] == len(lines), (out, err)
    assert sorted(lines) == [3, 4, 6, 7, 8, 9], lines
    assert "address is missing" in lines[3] and "port" in lines[6] and "zone" in lines[7] and "line 2" in lines[8] and "fields" in lines[9]
    assert not lab.ctl_ok("asset", "show", "b-new1")
    r = lab.ctl_run("import", "assets", bad)
    assert "line 3: address is missing" in r.stderr and "6 refused, nothing was done" in r.stderr
    assert put(lab, "assets", write(lab, "col.csv", "name,adress\nx,1\n"))[0] == 65
    code, out, err = put(lab, "users", write(lab, "bad.jsonl", '{"login":"b-x"}\n{"login":"b y"}\n[1]\n{"login":"b-z","nonsense":1}\n'))
    assert code == 65 and sorted(r["line"] for r in out["refused"]) == [2, 3, 4]
    assert not lab.ctl_ok("user", "show", "b-x")


def test_many_refusals_are_counted_and_listed_up_to_a_bound(lab, world):
    code, out, _ = put(lab, "assets", write(lab, "many.csv", "name,address\n" + "".join("b-m%d,\n" % i for i in range(250))))
    assert code == 65 and out["refused_n"] == 250 and len(out["refused"]) == 100


def test_a_dry_run_says_what_would_be_and_does_nothing(lab, world):
    f = write(lab, "dry.csv", "name,address\nb-web1,192.0.2.99\nb-dry,192.0.2.50\n")
    assert took(lab, "assets", f, "--dry-run") == (1, 1, 0, 0, 0)
    assert lab.ctl("asset", "show", "b-web1")["address"] == "192.0.2.1" and not lab.ctl_ok("asset", "show", "b-dry")


def test_a_disabled_user_of_a_file_loses_his_session(lab, world, me):
    lab.ctl("user", "create", "b-live", "--valid-until", "2097-01-01", "--key", lab.key("b_live").with_suffix(".pub"))
    lab.ctl("grant", "create", "--user", "b-live", "--asset", me.t0.split("@")[-1], "--account", "*")
    p = subprocess.Popen(lab.ssh_argv("b-live@" + me.t0, "sleep 300", key=lab.key("b_live")), stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    L.wait_for("the session is there", lambda: any(s["user"] == "b-live" for s in me.live()))
    took(lab, "users", write(lab, "longer.csv", "login,valid_until,role\nb-live,2098-01-01T00:00:00Z,auditor\n"))
    took(lab, "users", write(lab, "longer.csv", "login,valid_until,role\nb-live,2099-01-01T00:00:00Z,auditor\n"))
    assert any(s["user"] == "b-live" for s in me.live()) and p.poll() is None, "more validity ended his session"
    took(lab, "users", write(lab, "off.csv", "login,state\nb-live,disabled\n"))
    assert lab.ctl("user", "show", "b-live")["state"] == "disabled"
    assert p.wait(30) != 0


def test_a_source_adds_changes_and_removes_its_own_only(lab, world):
    def cmdb(*rows):
        return write(lab, "cmdb.csv", "external_id,name,address\n" + "".join("%s\n" % r for r in rows))
    four = ["%d,b-c%d,192.0.2.%d" % (i, i, 10 + i) for i in range(1, 9)]
    assert took(lab, "assets", cmdb(*four), "--source", "cmdb", "--prune")[0] == 8
    assert took(lab, "assets", cmdb(*four), "--source", "cmdb", "--prune") == (0, 0, 8, 0, 0)
    # one goes, one has another name: it is the same asset
    ids = {n: lab.ctl("asset", "show", n)["id"] for n in ("b-c1", "b-c2")}
    rows = ["1,b-renamed,192.0.2.11"] + four[2:]
    assert took(lab, "assets", cmdb(*rows), "--source", "cmdb", "--prune") == (0, 1, 6, 1, 0)
    assert lab.ctl("asset", "show", "b-renamed")["id"] == ids["b-c1"]
    assert lab.ctl("asset", "show", "b-c2")["state"] == "disabled"
    assert lab.ctl("asset", "show", "b-web1")["state"] == "active"
    # what another list or a person made is not touched, and not taken over by accident
    code, out, _ = put(lab, "assets", cmdb("9,b-web1,192.0.2.1"), "--source", "cmdb")
    assert code == 65 and "--adopt" in out["refused"][0]["reason"]
    code, out, _ = put(lab, "assets", cmdb("9,b-c3,192.0.2.1"), "--source", "other", "--adopt")
    assert code == 65 and '"cmdb"' in out["refused"][0]["reason"]
    # it comes back
    assert took(lab, "assets", cmdb(*rows, "2,b-c2,192.0.2.12"), "--source", "cmdb", "--prune") == (0, 1, 7, 0, 0)
    assert lab.ctl("asset", "show", "b-c2")["state"] == "active"
    # a list that is cut off is not believed, unless one insists
    code, out, _ = put(lab, "assets", cmdb(*rows[:2]), "--source", "cmdb", "--prune")
    assert code == 65 and "--force" in out["refused"][0]["reason"] and lab.ctl("asset", "show", "b-c5")["state"] == "active"
    assert took(lab, "assets", cmdb(*rows[:2]), "--source", "cmdb", "--prune", "--delete", "--force")[4] == 6
    assert not lab.ctl_ok("asset", "show", "b-c5") and lab.ctl_ok("asset", "show", "b-renamed")


def test_a_second_factor_goes_with_its_user(lab, world):
    def secrets():
        db = sqlite3.connect("file:%s/state/store/sallyport.db?mode=ro" % lab.data, uri=True)
        try:
            return {r[0] for r in db.execute("SELECT id FROM secrets")}
        finally:
            db.close()
    f = write(lab, "factors.csv", "external_id,login\n1,b-f1\n2,b-f2\n")
    assert took(lab, "users", f, "--source", "factors", "--prune")[0] == 2
    before = secrets()
    for login in ("b-f1", "b-f2"):
        otp.App(lab, login)
    assert len(secrets() - before) == 2
    f = write(lab, "factors.csv", "external_id,login\n1,b-f1\n")
    assert took(lab, "users", f, "--source", "factors", "--prune", "--delete", "--force")[4] == 1
    assert not lab.ctl_ok("user", "show", "b-f2") and len(secrets() - before) == 1
    assert lab.ctl("user", "totp", "show", "b-f1")["state"] == "active"


def test_permissions_do_not_go_to_whoever_has_the_login_next(lab, world):
    def may(login):
        return lab.ctl("settings", "get", "may_reveal." + login)["value"]
    f = write(lab, "perms.csv", "external_id,login\n1,b-p1\n2,b-p2\n")
    took(lab, "users", f, "--source", "perms", "--prune")
    lab.ctl("user", "create", "b-p3")
    for login in ("b-p1", "b-p2", "b-p3"):
        lab.ctl("settings", "set", "may_reveal." + login, "yes")
    lab.ctl("user", "delete", "b-p3")
    took(lab, "users", write(lab, "perms.csv", "external_id,login\n1,b-p1\n"), "--source", "perms", "--prune", "--delete", "--force")
    assert (may("b-p1"), may("b-p2"), may("b-p3")) == ("yes", "", "")
    # Nor does somebody get them by another name.
    code, out, _ = put(lab, "users", write(lab, "perms.csv", "external_id,login\n1,b-p4\n"), "--source", "perms")
    assert code == 65 and "permissions" in out["refused"][0]["reason"]
    lab.ctl("settings", "set", "may_reveal.b-p1", "")
    lab.ctl("settings", "set", "may_reveal.b-p4", "yes")
    code, out, _ = put(lab, "users", write(lab, "perms.csv", "external_id,login\n1,b-p4\n"), "--source", "perms")
    assert code == 65 and "permissions" in out["refused"][0]["reason"]
    lab.ctl("settings", "set", "may_reveal.b-p4", "")
    assert took(lab, "users", write(lab, "perms.csv", "external_id,login\n1,b-p4\n"), "--source", "perms")[1] == 1


def test_secrets_are_sealed_and_an_account_that_exists_keeps_its_own(lab, world):
    f = write(lab, "secrets.csv", "asset,name,kind,password\nb-web2,root,stored,first secret\n")
    code, out, _ = put(lab, "accounts", f)
    assert code == 65 and "--secrets" in out["refused"][0]["reason"]
    assert took(lab, "accounts", f, "--secrets") == (1, 0, 0, 0, 0)
    assert took(lab, "accounts", f, "--secrets") == (0, 0, 1, 0, 0)
    lab.ctl("settings", "set", "may_reveal.admin", "yes")
    assert lab.ctl("account", "reveal", "root@b-web2")["secret"] == "first secret"
    text = subprocess.run(lab.ctl_argv("export", "accounts"), check=True, capture_output=True).stdout
    assert b"first secret" not in text
    for p in (lab.data / "state").rglob("*"):
        assert not p.is_file() or b"first secret" not in p.read_bytes(), p


def test_an_administrator_of_a_department_imports_into_it_only(lab, world):
    lab.ctl("user", "create", "b-chief", "--role", "admin", "--department", "bulk")
    took(lab, "users", write(lab, "chief.csv", "login,role,role_department\nb-chief,admin,bulk\n"))
    r = lab.ctl_run("--json", "--as", "b-chief", "import", "users", write(lab, "u1.csv", "login,full_name\nb-chiefs,X\n"))
    assert r.returncode == 0 and lab.ctl("user", "show", "b-chiefs")["department"] == "bulk"
    r = lab.ctl_run("--json", "--as", "b-chief", "import", "users", write(lab, "u2.csv", "login,full_name,department\nb-no,X,\n"))
    assert r.returncode == 65 and "department" in r.stdout and not lab.ctl_ok("user", "show", "b-no")
    assert lab.ctl_run("--as", "b-ann", "import", "users", lab.dir / "u1.csv").returncode == 77
    assert lab.ctl_run("--as", "b-ann", "export", "users").returncode == 77
    out = subprocess.run(lab.ctl_argv("--as", "b-chief", "export", "users", "--format", "jsonl"), check=True, capture_output=True).stdout
    assert {json.loads(row)["department"] for row in out.splitlines()} == {"bulk"}


def test_logins_go_on_while_many_rows_are_imported(lab, world, me):
    n = 4000
    assets = write(lab, "big-assets.csv", "name,address\n" + "".join("b-big%d,10.0.%d.%d\n" % (i, i // 250, i % 250 + 1) for i in range(n)))
    grants = write(lab, "big-grants.csv", "user,asset,accounts\n" + "".join("b-%s,b-big%d,a%d\n" % (u, i, k) for i in range(n)
                   for u in ("ann", "bob") for k in range(3)))
    done, failed, tries = threading.Event(), [], []

    def logins():
        while not done.is_set():
            r = me.ssh("true")
            tries.append(r.returncode)
            if r.returncode != 0:
                failed.append(r.stderr)
    t = threading.Thread(target=logins)
    t.start()
    try:
        assert took(lab, "assets", assets)[0] == n
        assert took(lab, "grants", grants)[0] == 6 * n
        assert took(lab, "grants", grants)[2] == 6 * n
    finally:
        done.set()
        t.join()
    assert tries and not failed, failed
