"""Who can write the database cannot give himself power: rows changed behind Sallyport's back are refused and raised."""
import base64
import contextlib
import json
import subprocess

import lab as L


@contextlib.contextmanager
def changed(lab, table, what, where, *args):
    """UPDATE, then put the row back as it was: it is believed again, because nothing else was touched."""
    before = lab.sql("SELECT * FROM %s WHERE %s" % (table, where), *args)
    columns = [c[1] for c in lab.sql("PRAGMA table_info(%s)" % table)]
    assert len(before) == 1
    lab.sql("UPDATE %s SET %s WHERE %s" % (table, what, where), *args)
    try:
        yield
    finally:
        lab.sql("UPDATE %s SET %s WHERE id = ?" % (table, ", ".join("%s = ?" % c for c in columns)),
            *before[0], before[0][columns.index("id")])


def raised(lab, table):
    """In the audit log, on its way out as an alarm, and among what doctor finds."""
    L.wait_for("the audit entry", lambda: [e for e in lab.ctl("audit", "list", "--kind", "row.tampered") if table in json.dumps(e)])
    r = lab.ctl_run("doctor", "--rows")
    assert r.returncode == 1 and table in r.stdout, r
    r = lab.ctl_run("doctor")
    assert r.returncode == 1 and "doctor --accept %s" % table in r.stdout, r


def alarms(lab):
    return lab.sql("SELECT count(*) FROM outbox WHERE kind = 'alarm.row-tampered'")[0][0]


def refused(me, text=None, **kw):
    r = me.ssh("echo in", **kw)
    assert r.returncode == 255 and r.stdout == "" and (text is None or text in r.stderr), r
    return r


def mended(lab, me):
    r = lab.ctl_run("doctor", "--rows")
    assert r.returncode == 0, r
    assert me.ssh("echo in").stdout == "in\n"


def test_what_sallyport_wrote_is_believed(lab, me):
    mended(lab, me)


def test_a_changed_role_gives_no_power(lab, me):
    with changed(lab, "users", "role = 3", "login = 'alice'"):
        r = lab.ctl_run("--as", "alice", "user", "create", "friend")
        assert r.returncode != 0 and "behind Sallyport's back" in r.stderr, r
        refused(me, "Permission denied")
        raised(lab, "users")
        L.wait_for("the alarm", lambda: alarms(lab) > 0)
    mended(lab, me)


def test_a_replaced_key_does_not_log_in(lab, me):
    mine = lab.key("mallory.key")
    raw = base64.b64decode(subprocess.run(["ssh-keygen", "-y", "-f", mine], capture_output=True, text=True, check=True).stdout.split()[1])
    user = lab.sql("SELECT id FROM users WHERE login = 'alice'")[0][0]
    key = lab.sql("SELECT id FROM user_keys WHERE user_id = ?", user)[0][0]
    old = lab.sql("SELECT blob FROM user_keys WHERE id = ?", key)[0][0]
    lab.sql("UPDATE user_keys SET blob = ? WHERE id = ?", raw, key)
    try:
        r = lab.ssh(me.to0, "echo in", key=mine)
        assert r.returncode == 255 and "Permission denied" in r.stderr, r
        raised(lab, "user_keys")
    finally:
        lab.sql("UPDATE user_keys SET blob = ? WHERE id = ?", old, key)
    mended(lab, me)


def test_a_wider_grant_is_refused(lab, me):
    with changed(lab, "grants", "valid_until_us = 99999999999999999, protocols = 511", "name = 'alice-web1'"):
        refused(me, "behind Sallyport's back")
        raised(lab, "grants")
    mended(lab, me)


def test_another_login_of_an_account_is_refused(lab, me):
    name = me.t0.split("@")[0]
    row = lab.sql("SELECT a.id, a.principals FROM accounts a JOIN assets t ON t.id = a.asset_id WHERE t.name = 'web1' AND a.name = ?", name)[0]
    lab.sql("UPDATE accounts SET principals = 'root' WHERE id = ?", row[0])
    try:
        refused(me, "behind Sallyport's back")
        raised(lab, "accounts")
    finally:
        lab.sql("UPDATE accounts SET principals = ? WHERE id = ?", row[1], row[0])
    mended(lab, me)


def test_another_address_and_a_foreign_pin_are_refused(lab, me):
    with changed(lab, "assets", "address = '127.0.0.2'", "name = 'web1'"):
        refused(me, "behind Sallyport's back")
    pin = lab.sql("SELECT h.id FROM host_keys h JOIN assets t ON t.id = h.asset_id WHERE t.name = 'web1'")
    if pin:
        with changed(lab, "host_keys", "pinned_by = 'me'", "id = ?", pin[0][0]):
            refused(me, "behind Sallyport's back")
    mended(lab, me)


def test_a_membership_that_was_put_in_gives_nothing(lab, me):
    lab.ctl("group", "create", "ops")
    bob_key = lab.key("bob.key")
    lab.ctl("user", "create", "bob", "--key", str(bob_key) + ".pub")
    lab.ctl("grant", "create", "--name", "ops-web1", "--group", "ops", "--asset", "web1", "--account", "*")
    to = me.to0.replace("alice@", "bob@", 1)
    bob, ops = (lab.sql("SELECT id FROM %s WHERE %s" % q)[0][0] for q in (("users", "login = 'bob'"), ("user_groups", "name = 'ops'")))
    lab.sql("INSERT INTO user_closure (leaf_id, node_id) VALUES (?, ?)", bob, ops)
    r = lab.ssh(to, "echo in", key=bob_key)
    assert r.returncode == 255 and r.stdout == "", r
    raised(lab, "user_closure")
    lab.sql("INSERT INTO user_edges (child_id, parent_id, child_kind, created_us) VALUES (?, ?, 1, 1)", bob, ops)
    r = lab.ssh(to, "echo in", key=bob_key)
    assert r.returncode == 255 and r.stdout == "", r
    raised(lab, "user_edges")
    (row,) = [f for f in json.loads(lab.ctl_run("--json", "doctor", "--rows").stdout) if f["table"] == "user_edges"]
    assert lab.ctl_run("--as", "admin", "doctor", "--remove", "user_edges", row["id"]).returncode != 0      # root of this machine only
    assert lab.ctl_run("doctor", "--remove", "user_edges", row["id"]).returncode == 0
    mended(lab, me)
    lab.ctl("group", "member", "add", "ops", "--user", "bob")
    assert lab.ssh(to, "echo in", key=bob_key).stdout == "in\n"


def test_a_row_is_believed_after_an_administrator_accepted_it_and_that_is_on_record(lab, me):
    lab.sql("UPDATE users SET full_name = 'Alice B.' WHERE login = 'alice'")
    refused(me, "Permission denied")
    (row,) = json.loads(lab.ctl_run("--json", "doctor", "--rows").stdout)
    assert row["table"] == "users"
    assert lab.ctl_run("doctor", "--accept", "users").returncode != 0
    assert lab.ctl_run("doctor", "--accept", "users", row["id"]).returncode == 0
    mended(lab, me)
    assert lab.ctl_run("doctor").returncode == 0
    assert [e for e in lab.ctl("audit", "list", "--kind", "rows.accept") if row["id"] in json.dumps(e)]


def test_a_live_session_whose_grant_was_changed_ends_when_it_is_judged_again(lab, me):
    p = subprocess.Popen(lab.ssh_argv(me.to0, "cat", key=me.key), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         bufsize=1)
    p.stdin.write("one\n")
    p.stdin.flush()
    assert p.stdout.readline() == "one\n"
    with changed(lab, "grants", "idle_s = 7", "name = 'alice-web1'"):
        lab.ctl("grant", "create", "--name", "another", "--user", "alice", "--asset", "db1", "--account", "*")   # something changed: judge again
        assert p.wait(20) != 0
    mended(lab, me)


def test_before_the_vault_was_open_no_user_is_believed_and_no_row_is_written(lab, me):
    key = lab.data / "unseal.key"
    away = key.rename(lab.data / "away.key")
    try:
        lab.stop("sallyport")
        lab.start()
        assert lab.ctl("vault", "status")["sealed"]
        refused(me, "sealed")
        r = lab.ctl_run("user", "create", "early")
        assert r.returncode != 0 and "vault unseal" in r.stderr, r
        assert lab.ctl_run("doctor", "--rows").returncode != 0
    finally:
        away.rename(key)
    lab.ctl("vault", "unseal", "--keyfile", key)
    mended(lab, me)
    lab.ctl("vault", "seal")            # credentials are away, the means to check rows stay
    try:
        with changed(lab, "users", "role = 3", "login = 'alice'"):
            assert lab.ctl_run("--as", "alice", "user", "list").returncode != 0
        lab.ctl("user", "create", "late")
    finally:
        lab.ctl("vault", "unseal", "--keyfile", key)
    mended(lab, me)
