"""The menu as a person meets it: a real terminal, keys, and what the screen shows after them."""
import re
import time

import pytest

import lab as L
from terminal import Terminal

SIZES = [(80, 24), (40, 24)]


@pytest.fixture(scope="module")
def many(lab):
    """Thirty servers, two with Chinese names, one that refuses, one with a remark meant to hurt."""
    account = lab.info["targets"][0].split("@")[0]
    for i in range(26):
        lab.ctl("asset", "create", "app%02d" % i, "--address", "10.0.0.%d" % i, "--remark", "application server")
    lab.ctl("asset", "create", "数据库-主", "--address", "127.0.0.1", "--port", lab.targets["web1"], "--remark", "核心交易数据库 (请勿重启)")
    lab.ctl("account", "create", "%s@数据库-主" % account, "--ca", "demo-ca")
    lab.ctl("asset", "create", "gone", "--address", "127.0.0.1", "--port", L.free_port(), "--remark", "nothing listens there")
    lab.ctl("account", "create", "%s@gone" % account, "--ca", "demo-ca")
    lab.ctl("asset", "create", "marked", "--address", "127.0.0.1", "--remark", "z" + "\u0301" * 60 + " \\x1b[2J " + "w" * 200)
    lab.ctl("asset-group", "create", "all")
    for a in lab.ctl("asset", "list"):
        lab.ctl("asset-group", "member", "add", "all", "--asset", a["name"])
    lab.ctl("grant", "create", "--user", "alice", "--asset-group", "all", "--account", "*")
    return account


def menu(lab, size=(80, 24), login="alice", options=(), *args):
    return Terminal(lab.dir, ["ssh", "-tt", *lab.ssh_options(lab.info["user_key"]), *options, "-p", lab.port, "-l", login, "127.0.0.1", *args],
                    *size)


def widths(screen):
    import unicodedata
    return [sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in s) for s in screen.split("\n")]


@pytest.mark.parametrize("size", SIZES)
def test_the_list_fits_the_screen_and_turns_pages(lab, many, size):
    with menu(lab, size) as t:
        s = t.wait(" 1  app00", "of 31", "Number or search>")
        t.show("the menu at %d columns" % size[0])
        assert max(widths(s)) <= size[0] and len(s.split("\n")) <= size[1]
        assert s.split("\n")[-1] == "Number or search>"
        t.key("Enter")
        assert "19  app18" in t.wait("19-31 of 31")
        t.line("p")
        t.wait("1-18 of 31")
        t.line("?")
        s = t.wait("quit", "Ctrl-C")
        t.show("help at %d columns" % size[0])
        assert max(widths(s)) <= size[0]
        t.line("q")
        assert t.status() == 0


@pytest.mark.parametrize("size", SIZES)
def test_search_finds_chinese_names_and_remarks_and_a_number_opens(lab, many, size):
    with menu(lab, size) as t:
        t.wait("of 31")
        t.line("交易")
        s = t.wait("1-1 of 1", "数据库-主")
        t.show("a search at %d columns" % size[0])
        assert max(widths(s)) <= size[0]
        t.line("1")
        t.line("id -un; echo $((6*7))")     # typed before the shell is there: kept for it
        t.wait("42", many)
        t.line("exit")
        t.wait("logout", "Number or search>")
        t.line("/")
        t.wait("of 31")
        t.line("zzz")
        t.wait("Nothing matches")
        t.show("nothing found")
        t.key("C-d")
        assert t.status() == 0


def test_no_chinese_character_is_broken_by_editing(lab, many):
    with menu(lab) as t:
        t.wait("of 31")
        t.type("数据x")
        t.key("BSpace", "BSpace")
        t.type("据库")
        t.key("Left", "Left", "Right", "Enter")
        t.wait("1-1 of 1", "核心")
        assert "\ufffd" not in t.raw().decode("utf-8", "strict")


def test_tab_completes_a_name(lab, many):
    with menu(lab) as t:
        t.wait("of 31")
        t.type("app1")
        t.key("Tab")
        s = t.wait("app15")
        t.type("7")
        t.key("Tab", "Enter")
        t.wait("You have no account on app17")
        t.show("a server without an account")


def test_an_account_is_chosen_by_number_or_name_and_the_menu_comes_back(lab, many):
    if not L.ROOT:
        pytest.skip("needs several accounts")
    with menu(lab) as t:
        t.wait("of 31")
        t.line("/web1")
        t.wait("1-1 of 1", "web1")
        t.line("1")
        t.wait("Account>", "deploy")
        t.show("the choice of an account")
        t.line("no-such")
        t.wait("There is no such account.")
        t.line("app")
        t.wait("app@")
        t.line("id -un")
        t.line("exit")
        t.wait("logout")
        t.line("1")
        t.wait("Account>")
        t.key("Enter")                      # back
        t.line("bob@web1")
        t.line("clear; echo $((40+2))")
        t.wait("42")
        t.line("exit")
        t.wait("logout", "Number or search>")
        t.key("C-d")
        t.wait("closed")
        assert t.status() == 0


@pytest.mark.parametrize("size", SIZES)
def test_a_failing_target_says_why_in_the_menu(lab, many, size):
    with menu(lab, size) as t:
        t.wait("of 31")
        t.line("%s@gone" % many)
        s = t.wait("refused.")
        t.show("a target that refuses, at %d columns" % size[0])
        assert " ".join(s.split()).count("Cannot connect to gone: 127.0.0.1:") == 1
        t.line("nobody@nothing")
        t.wait("No such asset", "Number or search>")
        t.show("a target that is not, at %d columns" % size[0])
        t.line("/web")
        t.wait("1-1 of 1")


def test_a_remark_cannot_paint(lab, many):
    """Control characters are refused where remarks are made; what is left cannot leave its row."""
    for bad in ("a\x1b[2Jb", "a\nb", "a\u202eb", "a\u009bb", "a\x07b"):
        r = lab.ctl_run("asset", "create", "evil", "--address", "127.0.0.1", "--remark", bad)
        assert r.returncode != 0 and "plain text" in r.stderr and bad not in r.stderr, r
    with menu(lab) as t:
        t.wait("of 31")
        t.line("/marked")
        s = t.wait("1-1 of 1", "marked")
        t.show("a remark meant to hurt")
        assert max(widths(s)) <= 80
        assert t.raw().decode().count("\u0301") <= 4
        t.line("\x1b[2J\x07\x9b31m")        # and neither can what is typed
        t.wait("Number or search>")
    raw = t.raw()
    assert b"\x1b[2J" not in raw.split(b"sallyport", 1)[1] and b"\x07" not in raw


def test_a_new_size_redraws_and_a_shell_sees_it(lab, many):
    with menu(lab) as t:
        t.wait("1-18 of 31")
        t.resize(40, 12)
        s = t.wait("1-6 of 31")
        assert max(widths(s)) <= 40
        t.resize(100, 30)
        t.wait("1-24 of 31", "Enter or n: next")
        t.line("%s@数据库-主" % many)
        t.wait(many + "@" if many else "$")
        t.line("stty size")
        t.wait("30 100")
        t.resize(72, 20)
        time.sleep(0.3)
        t.line("stty size")
        t.wait("20 72")
        t.line("exit")
        t.wait("logout", "Number or search>")
        t.show("after a new size")


def test_ctrl_c_drops_the_line_and_ctrl_d_leaves_only_on_an_empty_one(lab, many):
    with menu(lab) as t:
        t.wait("of 31")
        t.type("half a")
        t.key("C-c")
        t.type("x")
        t.key("Home", "C-d", "C-d")         # the first deletes, the second leaves
        assert t.status() == 0


def test_a_person_with_nothing_granted_reads_whom_to_ask(lab, many):
    key = lab.key("lone.key")
    lab.ctl("user", "create", "lone", "--key", str(key) + ".pub")
    with Terminal(lab.dir, ["ssh", "-tt", *lab.ssh_options(key), "-p", lab.port, "-l", "lone", "127.0.0.1"]) as t:
        t.wait("No server is open to you. Ask your administrator.")
        t.show("nothing granted")
        t.line("q")
        assert t.status() == 0


def test_the_greeting_is_written_for_people(lab, many):
    with menu(lab) as t:
        s = t.wait("Last login: ", "of 31")
        assert re.search(r"Last login: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n", s), s
    without = lab.ssh("alice", "-T", key=lab.info["user_key"], stdin="")
    assert without.returncode == 255 and len(without.stderr.strip().split("\n")) == 1 and "ACCOUNT@ASSET" in without.stderr


def test_a_name_typed_in_full_opens_at_once(lab, many):
    with menu(lab) as t:
        t.wait("of 31")
        t.line("gone")
        t.wait("refused")


def test_lock_and_kill_reach_a_person_in_the_menu(lab, many):
    """In the menu there is no session to list; disabling the user ends the connection all the same."""
    key = lab.key("mary.key")
    lab.ctl("user", "create", "mary", "--key", str(key) + ".pub")
    with Terminal(lab.dir, ["ssh", "-tt", *lab.ssh_options(key), "-p", lab.port, "-l", "mary", "127.0.0.1"]) as t:
        t.wait("No server is open to you")
        lab.ctl("user", "disable", "mary")
        assert t.status() != 0
        t.show("disabled while in the menu")
        t.wait("Terminated by")
