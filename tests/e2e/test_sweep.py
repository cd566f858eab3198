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


def test_an_administrator_of_a_department_gives_away_nothing_of_another(lab):
    """His leaver owns a server of another department: it is not his to pass on."""
    for d in ("mine", "other"):
        lab.ctl("department", "create", d)
    key = lab.key("mine-admin")
    lab.ctl("user", "create", "mine-admin", "--role", "admin", "--role-department", "mine", "--department", "mine", "--key", "%s.pub" % key)
    f = write(lab, "mine.csv", "external_id,login,department\nm1,m1,mine\nm2,m2,mine\n")
    lab.ctl("import", "users", f, "--source", "mine")
    lab.ctl("asset", "create", "srv-other", "192.0.2.1", "--department", "other", "--owner", "m1")
    left = "external_id,login,state,department,heir\nm1,m1,left,,m2\nm2,m2,active,mine,\n"
    r = lab.ssh("mine-admin", "--", "sweep csv - --source mine", key=key, stdin=left)
    assert r.returncode not in (0, 255) and "another department" in r.stdout + r.stderr, r
    assert lab.ctl("asset", "show", "srv-other")["owner"] == "m1" and state(lab, "m1") == "active"
    code, out, err = sweep(lab, write(lab, "mine-left.csv", left), source="mine")       # of all departments
    assert code == 0 and lab.ctl("asset", "show", "srv-other")["owner"] == "m2", (out, err)


# ---- a real slapd, of its own, on a loopback port, with a certificate of its own authority

class Slapd:
    base = "dc=example,dc=org"

    def __init__(self, lab):
        self.lab, self.port, self.d = lab, L.free_port(), lab.data / "slapd"
        (self.d / "db").mkdir(parents=True)
        run = lambda *a: subprocess.run([str(x) for x in a], check=True, capture_output=True, cwd=self.d)      # noqa: E731
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2",
            "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
        (self.d / "slapd.conf").write_text("\n".join([
            "include /etc/ldap/schema/core.schema", "include /etc/ldap/schema/cosine.schema",
            "include /etc/ldap/schema/inetorgperson.schema", "modulepath /usr/lib/ldap", "moduleload back_mdb",
            "TLSCertificateFile %s/cert.pem" % self.d, "TLSCertificateKeyFile %s/key.pem" % self.d, "pidfile %s/pid" % self.d,
            "database mdb", "maxsize 10485760", 'suffix "%s"' % self.base, 'rootdn "cn=admin,%s"' % self.base, "rootpw admin secret",
            "directory %s/db" % self.d, 'limits dn.exact="cn=reader,%s" size.soft=4 size.hard=4 size.pr=noEstimate size.prtotal=4' % self.base,
            "access to attrs=userPassword by anonymous auth by * none", "access to * by users read by * none"]).replace(
            "rootpw admin secret", "rootpw admin-secret") + "\n")
        people = ["dn: %s\nobjectClass: organization\nobjectClass: dcObject\no: x\ndc: example\n" % self.base,
                  "dn: cn=reader,%s\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: reader\nuserPassword: reader-secret\n" % self.base]
        for i in range(8):
            people.append("dn: uid=l%d,%s\nobjectClass: inetOrgPerson\nuid: l%d\ncn: l\nsn: l\ndepartmentNumber: old\nmanager: UID=l0,%s\n"
                          % (i, self.base, i, self.base))
        ldif = self.d / "people.ldif"
        ldif.write_text("\n".join(people))
        run("/usr/sbin/slapadd", "-f", "slapd.conf", "-l", ldif)
        lab.spawn("slapd", ["/usr/sbin/slapd", "-d", "0", "-f", self.d / "slapd.conf", "-h", "ldap://127.0.0.1:%d" % self.port], wrap=False)
        L.wait_for("slapd answers", lambda: L.port_open(self.port))

    def change(self, ldif):
        subprocess.run(["ldapmodify", "-x", "-H", "ldap://127.0.0.1:%d" % self.port, "-D", "cn=admin," + self.base, "-w", "admin-secret"],
                       input=ldif, text=True, check=True, capture_output=True)

    def sweep(self, *opts, password="admin-secret", **conf):
        conf = {"uri": "ldap://127.0.0.1:%d" % self.port, "base": self.base, "bind_dn": "cn=admin," + self.base, "ca_file": self.d / "cert.pem",
                "page": 3, **conf}
        f = write(self.lab, "ldap.conf", "".join("%s %s\n" % kv for kv in conf.items() if kv[1] is not None))
        r = self.lab.ctl_run("--json", "sweep", "ldap", f, "--password-stdin", *opts, stdin=password + "\n")
        return r.returncode, json.loads(r.stdout) if r.stdout.strip() else None, r.stderr


@pytest.fixture(scope="module")
def slapd(lab, staff):
    s = Slapd(lab)
    for i in range(8):
        lab.ctl("user", "create", "l%d" % i if i != 3 else "L3", "--department", "old")      # a directory does not mind case
    yield s
    lab.stop("slapd")


def test_a_directory_is_read_in_pages_and_its_leavers_and_movers_are_swept(lab, slapd):
    code, out, err = slapd.sweep("--adopt")
    assert code == 0 and (out["rows"], out["changed"], out["disabled"]) == (8, 0, 0), (out, err)
    lab.ctl("asset", "create", "srv-l2", "192.0.2.1", "--department", "old", "--owner", "l2")
    lab.ctl("asset", "create", "srv-l3", "192.0.2.1", "--department", "old", "--owner", "L3")
    slapd.change("dn: uid=l1,%s\nchangetype: delete\n\ndn: uid=l2,%s\nchangetype: modify\nreplace: departmentNumber\ndepartmentNumber: new\n\n"
                 "dn: uid=l3,%s\nchangetype: modify\nreplace: title\ntitle: left\n" % ((slapd.base,) * 3))
    code, out, err = slapd.sweep(left_filter="(title=left)")
    assert code == 0, (out, err)
    what = {r["login"]: (r["what"], r.get("heir")) for r in out["report"]}
    assert what == {"l1": ("left", None), "l2": ("moved", "l0"), "L3": ("left", "l0")}
    assert state(lab, "l1") == state(lab, "L3") == "disabled" and lab.ctl("user", "show", "l2")["department"] == "new"
    assert lab.ctl("asset", "show", "srv-l2")["owner"] == lab.ctl("asset", "show", "srv-l3")["owner"] == "l0"


def test_a_directory_that_cuts_its_answer_off_or_cannot_be_trusted_changes_nothing(lab, slapd):
    for conf, password, word in (({"bind_dn": "cn=reader," + slapd.base}, "reader-secret", "limit"),      # 4 entries, then no more
                                 ({}, "wrong", "logging in"), ({"ca_file": None}, "admin-secret", "TLS"),
                                 ({"uri": "ldap://127.0.0.1:1"}, "admin-secret", "TLS"), ({"starttls": "no"}, "admin-secret", "TLS"),
                                 ({"filter": "(objectClass=*)"}, "admin-secret", "has no uid")):
        code, out, err = slapd.sweep(password=password, **conf)
        assert code != 0 and out is None and word in err, (conf, code, err)
    code, out, err = slapd.sweep(filter="(uid=l0)")       # all of the answer, and yet not believed
    assert code == 65 and "--force" in out["refused"][0]["reason"], (out, err)
    assert all(state(lab, "l%d" % i) == "active" for i in (0, 2, 4, 5, 6, 7))
