"""`:command` in the menu: the same commands as `ssh bastion -- command`, with the same permissions, on the terminal of the menu."""
import json
import re

import pytest

import lab as L
import otp
from terminal import Terminal


@pytest.fixture(scope="module")
def people(lab):
    keys = {"alice": lab.info["user_key"], "admin": lab.info["admin_key"], "rita": lab.key("rita.key")}
    lab.ctl("user", "create", "rita", "--role", "auditor", "--key", "%s.pub" % keys["rita"])
    return keys


@pytest.fixture
def menu(lab, people):
    def menu(login, cols=100, rows=30):
        t = Terminal(lab.dir, ["ssh", "-tt", *lab.ssh_options(people[login]), "-p", lab.port, "-l", login, "127.0.0.1"], cols, rows)
        t.wait("Number or search>" if cols >= 30 else ">", "q")
        return t
    return menu


NEXT = "Command (Enter: menu)>"


def ended(t, command):
    """The command that was typed has ended: its line is above the prompt now."""
    t.wait(command)
    L.wait_for("the prompt", lambda: t.screen().split("\n")[-1].strip() == NEXT)


def test_an_administrator_manages_from_the_menu_and_comes_back_to_the_list(lab, menu):
    with menu("admin") as t:
        t.line(":user create menu-made --full-name 'Made in the Menu'")
        t.wait(NEXT)
        assert lab.ctl("user", "show", "menu-made")["full_name"] == "Made in the Menu"
        t.type("us")
        t.key("Tab")
        t.wait(NEXT + " user")
        t.line("show menu-made")
        t.wait("Made in the Menu", NEXT)
        t.line("grant create --user admin --asset web1 --account '*' --name menu-grant")
        L.wait_for("the grant", lambda: [g for g in lab.ctl("grant", "list", "--user", "admin") if g["name"] == "menu-grant"])
        t.line("")
        t.wait("1-1 of 1", "web1", "Number or search>")           # the list is looked up again
        t.line(":nonsense")
        t.wait("nonsense", NEXT)
        t.key("C-d")
        t.wait("Number or search>")
        t.line("q")
        assert t.status() == 0
    entry = next(e for e in lab.ctl("audit", "list", "--kind", "user.create") if "menu-made" in json.dumps(e))
    assert entry["actor"] == "admin" and entry["source"] == "127.0.0.1"


def test_everybody_has_his_own_permissions_there(lab, menu):
    with menu("alice") as t:
        t.line(":whoami")
        t.wait("alice", NEXT)
        t.line("user list")
        ended(t, "user list")
        assert "sallyport:" in t.screen() and "rita" not in t.screen()
        t.line("user disable rita")
        t.wait("rita", NEXT)
        t.line(":why db1")
        t.wait("db1", "Number or search>")
        t.line(":")
        t.wait("Write a command behind the colon")
    with menu("rita") as t:
        t.line(":user list")
        t.wait("menu-made" if lab.ctl_ok("user", "show", "menu-made") else "alice", NEXT)
        t.line("user disable alice")
        ended(t, "user disable alice")
        assert "sallyport:" in t.screen()
    assert lab.ctl("user", "show", "alice")["state"] == lab.ctl("user", "show", "rita")["state"] == "active"


def test_questions_interrupts_and_hostile_texts(lab, me, menu):
    lab.ctl("asset", "create", "hostile", "192.0.2.1", "--remark", "\\x1b[2J z" + "\u0301" * 30)
    app = otp.App(lab, "admin")
    lab.ctl("settings", "set", "admin_mfa_s", "3600")
    try:
        with menu("admin") as t:
            t.line(":passwd")
            t.wait("New password")
            t.line("a password that was typed")
            t.wait("Again:")
            t.key("C-c")
            t.wait(NEXT)
            assert "a password that was typed" not in t.screen()
            t.line("asset show hostile")
            t.wait("192.0.2.1", NEXT)
            t.line("asset update hostile --remark changed")        # a change wants a code, as anywhere
            t.wait("one-time code")
            t.line(app.next())
            t.wait(NEXT)
            L.wait_for("the change", lambda: lab.ctl("asset", "show", "hostile")["remark"] == "changed")
            assert b"\x1b[2J z" not in t.raw()
            t.line("session watch nothing")
            ended(t, "session watch nothing")
            t.key("C-c")                    # before that it would end the command only
            t.wait("Number or search>")
    finally:
        lab.ctl("settings", "set", "admin_mfa_s", "0")
    # nothing of it was a session, and nothing was recorded
    assert not [s for s in lab.ctl("session", "list", "--user", "admin")]


def test_from_a_command_to_a_server_and_back(lab, me, menu):
    with menu("alice", 80, 24) as t:
        t.line(":whoami")
        t.wait(NEXT)
        t.line("")
        t.wait("Number or search>")
        t.line(me.t0)
        t.wait("$")
        t.line("echo $((6*7)); exit")
        s = t.wait("42", "Number or search>")
        assert not re.search("closed by", s)
        t.line(":session list")
        t.wait("web1", NEXT)
        t.line("q")
        t.wait("Number or search>")
        t.line("q")
        assert t.status() == 0


def test_help_names_it(lab, menu):
    for cols, rows in ((80, 24), (40, 24)):
        with menu("alice", cols, rows) as t:
            t.line("?")
            s = t.wait(":command", "Ctrl-C")
            assert len(s.split("\n")) <= rows
