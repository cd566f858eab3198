"""Rules over commands: refused before Enter goes through, in every shell; exec requests before they go out; white lists; shadow."""
import contextlib
import time

import lab as L
import pytest
import tour
from terminal import Terminal

RULE = """title: %(name)s
logsource: {category: process_creation, product: linux}
detection:
  selection:
%(selection)s
  condition: selection
"""
RED = b"\x1b[31mCommand `%s` is forbidden"


def rule(name, **fields):
    return RULE % {"name": name, "selection": "\n".join("    %s: %s" % (k.replace("__", "|"), v) for k, v in fields.items())}


@pytest.fixture
def rules(lab, me):
    """add(name, rule, options...): a rule in a set that is in force for me; gone afterwards."""
    name = "set-" + me.user

    def add(n, text, *options):
        path = lab.dir / ("%s-%s.yml" % (name, n))
        path.write_text(text)
        return lab.ctl("command-rule", "add", name, n, "--file", str(path), *options)

    lab.ctl("rule-set", "add", name)
    lab.ctl("rule-set", "apply", name, "--user", me.user)
    add.set = name
    yield add
    lab.ctl("rule-set", "delete", name)


@contextlib.contextmanager
def shell(lab, me, prompt="$"):
    with Terminal(lab.dir, lab.ssh_argv(me.to0, key=me.key, options=["-tt"])) as t:
        t.wait(prompt)
        yield t


def audited(lab, kind):
    return lab.ctl("audit", "list", "--kind", kind, "--limit", "100")


def wait_audit(lab, kind, rule_name):
    return L.wait_for("%s of %s" % (kind, rule_name), lambda: [e for e in audited(lab, kind) if e["more"]["body"]["rule"] == rule_name])


def test_a_refused_line_never_runs_and_the_next_one_does(lab, me, rules):
    rules("no-touch", rule("no-touch", Command="touch"))
    mark = lab.dir / "mark"
    with shell(lab, me) as t:
        t.line("touch %s" % mark)
        t.wait("Command `touch` is forbidden")
        t.line("echo still $((40+2))")
        t.wait("\nstill 42")
        t.line("exit")
        assert t.status() == 0
        assert RED % b"touch" in t.raw()
    assert not mark.exists()
    entry = wait_audit(lab, "command.refused", rules.set + "/no-touch")[0]
    assert entry["result"] == "refused" and entry["actor"] == me.user
    body = entry["more"]["body"]
    assert body["certain"] and body["word"] == "touch" and body["text"] == "touch %s" % mark
    found = L.wait_for("the record", lambda: lab.ctl("command", "search", str(mark), "--risk", "high"))
    assert [(f["action"], f["rule"], f["risk"]) for f in found] == [("deny", rules.set + "/no-touch", "high")]
    assert [r["hits"] for r in lab.ctl("command-rule", "list", rules.set)] == [1]


@pytest.mark.parametrize("program", ["bash --norc --noprofile -i", "zsh -f -i", "dash -i", "busybox ash"])
def test_the_line_is_cleared_in_every_shell(lab, me, rules, program):
    rules("no-touch", rule("no-touch", Command="touch"))
    mark = lab.dir / "mark-shell"
    with shell(lab, me) as t:
        t.line("PS1='i''n> ' exec " + program)
        t.wait("\nin>")
        t.line("echo here $((40+1))")
        t.wait("\nhere 41\nin>")
        t.line("touch %s" % mark)
        t.wait("is forbidden")
        t.line("echo after $((40+2))")
        t.wait("\nafter 42")
        t.line("exit")
        t.status()
    assert not mark.exists()


def test_every_command_of_a_line_is_seen(lab, me, rules):
    rules("no-touch", rule("no-touch", Command="touch"))
    mark = lab.dir / "mark-in"
    lines = ["true;touch %s", "echo $(touch %s)", "sh -c 'touch %s'", "true | xargs touch %s", "'t'ouch %s", "\\touch %s", "/usr/bin/touch %s"]
    for line in lines:
        p = me.ssh(line % mark)
        assert p.returncode == 255 and "Command `touch` is forbidden" in p.stderr, (line, p.stderr)
    assert not mark.exists()
    assert me.ssh("ls /tmp/touch touch; echo touch").stdout.endswith("touch\n")      # a word is a word


def test_several_lines_at_once(lab, me, rules):
    """What stands behind a refused line in the same packet or paste is dropped, and so is what Ctrl-J and Ctrl-O would run."""
    rules("no-touch", rule("no-touch", Command="touch"))
    mark = lab.dir / "mark-many"
    with shell(lab, me) as t:
        t.type("echo one\rtouch %s\recho three\r" % mark)
        t.wait("\none", "is forbidden")
        t.line("echo next $((40+2))")
        t.wait("\nnext 42")
        assert "\nthree" not in t.screen()
        t.type("touch %s" % mark)
        t.key("C-j")
        L.wait_for("the second refusal", lambda: t.raw().count(RED % b"touch") == 2)
        t.type("touch %s" % mark)
        t.key("C-o")
        L.wait_for("the third refusal", lambda: t.raw().count(RED % b"touch") == 3)
        t.line("exit")
        t.status()
    assert not mark.exists()


def test_a_clearing_key_bound_to_enter_ends_the_session(lab, me, rules):
    rules("no-sleep", rule("no-sleep", Command="sleep"))
    with shell(lab, me) as t:
        t.line("bind '\"\\C-u\": accept-line'; bind '\"\\C-e\": accept-line'; echo bound $((40+2))")
        t.wait("\nbound 42")
        t.line("sleep 0.01")
        t.wait("Terminated by Sallyport")
    assert [e for e in L.wait_for("the end", lambda: [e for e in audited(lab, "session.end") if "refused" in (e["text"] or "")])]


def test_actions_warn_alert_and_kill(lab, me, rules):
    rules("warn", rule("warn", CommandLine__startswith="echo warned"), "--action", "warn", "--message", "think twice")
    rules("alert", rule("alert", CommandLine__startswith="echo watched"), "--action", "alert")
    rules("kill", rule("kill", CommandLine__startswith="echo killed"), "--action", "kill", "--priority", "1")
    with shell(lab, me) as t:
        t.line("echo warned $((40+1))")
        t.wait("think twice", "\nwarned 41")
        t.line("echo watched $((40+2))")
        t.wait("\nwatched 42")
        t.line("echo killed $((40+3))")
        t.wait("Terminated by %s/kill" % rules.set)
        assert "killed 43" not in t.screen()
    wait_audit(lab, "command.warned", rules.set + "/warn")
    wait_audit(lab, "command.alert", rules.set + "/alert")
    wait_audit(lab, "command.refused", rules.set + "/kill")
    row = L.wait_for("the row", lambda: lab.ctl("command", "search", "echo watched", "--user", me.user))[0]
    assert (row["action"], row["risk"], row["how"]) == ("alert", "high", "screen")


def test_priority_shadow_and_changes_in_live_sessions(lab, me, rules):
    rules("deny-all-echo", rule("deny-all-echo", Command="echo"), "--state", "shadow")
    with shell(lab, me) as t:
        t.line("echo shadow $((40+1))")
        t.wait("\nshadow 41")
        wait_audit(lab, "command.shadow", rules.set + "/deny-all-echo")
        began = time.monotonic()
        lab.ctl("command-rule", "edit", rules.set, "deny-all-echo", "--state", "on")
        refused = RED % b"echo"
        while refused not in t.raw():                       # in force within a second, said by the lines themselves
            assert time.monotonic() - began < 30
            t.line("echo again")
            L.wait_for("an answer", lambda: t.raw().count(b"echo again") + t.raw().count(refused))
        rules("but-this", rule("but-this", CommandLine__startswith="echo allowed"), "--action", "allow", "--priority", "10")
        L.wait_for("the exception", lambda: (t.line("echo allowed $((40+2))"), "allowed 42" in t.screen())[1])
        t.line("exit")
        t.status()


def test_a_white_list_allows_nothing_else(lab, me, rules):
    grant = [g for g in lab.ctl("grant", "list", "--user", me.user)][0]
    rules("ls", rule("ls", Command="ls"), "--action", "allow")
    rules("id", rule("id", Command="id"), "--action", "allow")
    for g in lab.ctl("grant", "list", "--user", me.user):
        lab.ctl("grant", "commands", g["id"], "--mode", "white")
    try:
        assert me.ssh("ls /").returncode == 0
        assert me.ssh("ls / | id").returncode == 0
        for bad in ("ls /; true", "$x ls", "ls $(true)", "sudo ls", "l?"):
            p = me.ssh(bad)
            assert p.returncode == 255 and "is forbidden" in p.stderr, (bad, p.stderr)
    finally:
        for g in lab.ctl("grant", "list", "--user", me.user):
            lab.ctl("grant", "commands", g["id"], "--mode", "black")
    assert grant


def test_what_does_not_compile_is_refused_when_it_is_saved(lab, me, rules):
    bad = lab.dir / "bad.yml"
    for text, why in ((RULE.replace("condition: selection", "condition: other") % {"name": "x", "selection": "    Command: x"}, "line"),
                      ("- [", "rule x"), (rule("x", Command__re="'(('"), "rule x")):
        bad.write_text(text)
        p = lab.ctl_run("command-rule", "add", rules.set, "x", "--file", str(bad))
        assert p.returncode != 0 and why in p.stderr, p.stderr
    bad.write_text(rule("x", Line__contains="ls"))
    p = lab.ctl_run("command-rule", "add", rules.set, "x", "--file", str(bad), "--action", "allow")
    assert p.returncode != 0 and "CommandLine" in p.stderr
    assert lab.ctl("command-rule", "list", rules.set) == []


def test_command_rule_test_says_what_would_happen(lab, me, rules):
    rules("names", """title: names
logsource: {product: linux}
detection:
  条件0: {Command: reboot}
  条件1: {Command: halt}
  条件2: {user.name: nobody-else}
  condition: (条件0 or 条件1) and (not 条件2)
""")
    account, asset = me.t0.split("@")
    where = ["--user", me.user, "--asset", asset, "--account", account]
    v = lab.ctl("command-rule", "test", "sudo sh -c 'halt'", *where)
    assert (v["action"], v["rule"], v["word"]) == ("deny", rules.set + "/names", "halt")
    assert lab.ctl("command-rule", "test", "echo reboot", *where)["action"] == "allow"
