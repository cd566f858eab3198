"""The menu as a person meets it: a real terminal, keys, and what the screen shows after them."""
import re
import subprocess
import time

import pytest

import lab as L
from terminal import Terminal

SIZES = [(80, 24), (40, 24)]


@pytest.fixture(scope="module")
def many(lab):
    """Thirty servers, two with Chinese names, one that refuses, one with a remark meant to hurt, and a tree of groups."""
    account = lab.info["targets"][0].split("@")[0]
    lab.ctl("asset-group", "create", "all")
    lab.ctl("asset-group", "create", "生产", "--parent", "all")
    lab.ctl("asset-group", "create", "web", "--parent", "生产")
    lab.ctl("asset-group", "create", "empty", "--parent", "all")

    def server(name, group, *args, account=account):
        lab.ctl("asset", "create", name, *args)
        lab.ctl("account", "create", "%s@%s" % (account, name), "--ca", "demo-ca")
        lab.ctl("asset-group", "member", "add", group, "--asset", name)
    for i in range(26):
        server("app%02d" % i, "web" if i < 3 else "all", "--address", "10.0.0.%d" % i, "--remark", "application server")
    server("数据库-主", "生产", "--address", "127.0.0.1", "--port", lab.targets["web1"], "--remark", "核心交易数据库 (请勿重启)")
    server("gone", "all", "--address", "127.0.0.1", "--port", L.free_port(), "--remark", "nothing listens there")
    server("marked", "all", "--address", "127.0.0.1", "--remark", "z" + "\u0301" * 60 + " \\x1b[2J " + "w" * 200)
    lab.ctl("asset", "create", "bare", "--address", "10.1.1.1")
    for name in ("web1", "web2", "bare"):
        if name in [a["name"] for a in lab.ctl("asset", "list")]:
            lab.ctl("asset-group", "member", "add", "all", "--asset", name)
    lab.ctl("grant", "create", "--user", "alice", "--asset-group", "all", "--account", "*", "--name", "everything")
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
        t.type("交易")                       # found while it is typed
        s = t.wait("1-1 of 1", "数据库-主")
        t.show("a search at %d columns" % size[0])
        assert max(widths(s)) <= size[0]
        t.key("Enter")
        t.line("id -un; echo $((6*7))")     # typed before the shell is there: kept for it
        t.wait("42", many)
        t.line("exit")
        t.wait("logout", "Number or search>")
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
        t.key("Left", "Left", "Right")
        t.wait("1-1 of 1", "核心", "> 数据库")
        assert "\ufffd" not in t.raw().decode("utf-8", "strict")


def test_tab_completes_names_addresses_and_remarks(lab, many):
    with menu(lab) as t:
        t.wait("of 31")
        t.type("AP")
        t.key("Tab")
        t.wait("> app", "1-18 of 26")
        t.type("17")
        t.wait("1-1 of 1", "app17")
        t.key("C-u")
        t.type("10.0.0.2")                  # an address
        t.wait("1-7 of 7")
        t.key("C-u")
        t.type("核")                         # a word of a remark
        t.key("Tab")
        t.wait("> 核心交易数据库")
        t.key("C-u")
        t.type("why mark")
        t.key("Tab")
        t.wait("> why marked")


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
        t.wait("Number or search>")
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
        t.wait("of 31")
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
        t.line("while [ \"$(stty size)\" != '20 72' ]; do sleep 0.1; done; echo si''ze ok")
        t.wait("size ok")
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


def test_a_person_who_knows_nothing_opens_a_server_from_the_first_screen(lab, many):
    """The first screen says what to type; nothing else is needed. Then one is back in the menu."""
    with menu(lab) as t:
        s = t.wait("Number or search>", "of 31")
        assert "Type a number, or part of a name, address or remark, then Enter." in s and "?: help" in s and "q: quit" in s
        assert t.raw().count(b"Number or search>") <= 2
        t.type("核心")
        t.wait("1-1 of 1")
        t.key("Enter")
        t.line("echo $((6*7))")
        t.wait("42")
        t.line("exit")
        t.wait("logout", "of 31", "Number or search>")
        t.type("")
        t.key("Down")
        t.wait(">")
        t.key("C-c")
        t.line("q")
        assert t.status() == 0


def test_favourites_and_the_last_used_come_first_and_are_remembered(lab, many):
    with menu(lab) as t:
        t.wait("of 31")
        t.line("*app21")
        t.wait("app21 has a star.", "  1* app21")
        t.line("marked")                    # refused, but tried: not among the last used, as no session began
        t.wait("Number or search>")
    with menu(lab, (40, 24)) as t:          # another login, another screen
        s = t.wait("  1* app21", "of 31")
        assert "2+ " in s, s                # what the tests before opened
        t.show("favourites and the last used")
        t.line("*1")
        t.wait("app21 has no star any more.")
        t.wait_gone("1* app21")


def test_groups_are_a_tree_of_what_is_granted(lab, many):
    with menu(lab) as t:
        t.wait("of 31")
        t.line("g")
        s = t.wait("/ groups", "all/  (30)")
        assert "empty" not in s
        t.line("1")
        s = t.wait("sallyport / all", "生产/  (4)")
        t.show("a group")
        assert "empty" not in s and "app00" not in s and "app03" in s
        t.line("1")
        s = t.wait("/ all / 生产", "web/  (3)", "数据库-主")
        t.type("app0")                      # searches below, too
        t.wait("1-3 of 3")
        t.key("C-u")
        t.line("..")
        t.wait("sallyport / all", "app03")
        t.line("g")
        t.wait("1-18 of 31")


def test_why_is_it_not_here(lab, many):
    """From the same judgement as a login. What nothing granted, reads as what does not exist."""
    key = lab.key("why.key")
    lab.ctl("user", "create", "wendy", "--key", str(key) + ".pub")
    lab.ctl("user", "create", "otto", "--role", "auditor", "--key", str(lab.key("otto.key")) + ".pub")
    lab.ctl("grant", "create", "--user", "wendy", "--asset", "app01", "--account", many, "--name", "later",
            "--from", "2091-01-01T00:00:00Z")
    lab.ctl("grant", "create", "--user", "wendy", "--asset", "app02", "--account", "nobody-here", "--name", "other account")
    lab.ctl("grant", "create", "--user", "wendy", "--asset", "bare", "--account", "*")
    lab.ctl("grant", "create", "--user", "wendy", "--asset", "app03", "--account", "*")

    def ask(t, what):
        t.key("C-l")
        t.line("why " + what)
    with Terminal(lab.dir, ["ssh", "-tt", *lab.ssh_options(key), "-p", lab.port, "-l", "wendy", "127.0.0.1"]) as t:
        t.wait("1-1 of 1", "app03")
        ask(t, "app01")
        t.wait('%s@app01: grant "later": not valid before 2091-01-01T00:00:00' % many)
        t.show("why is it not here")
        ask(t, "app02")
        t.wait('grant "other account": does not name this account')
        ask(t, "bare")
        t.wait("bare: it has no account in use.")
        ask(t, "app03")
        t.wait("app03 is open to you as %s." % many)
        ask(t, "app09")
        there = t.wait("app09: no grant opens it to you, or there is no server of that name.")
        ask(t, "app99")
        none = t.wait("app99: no grant opens it to you, or there is no server of that name.")
        assert there.replace("app09", "X") == none.replace("app99", "X")
        ask(t, "10.0.0.9")
        t.wait("10.0.0.9: no grant opens it to you, or there is no server of that name.")
    with Terminal(lab.dir, ["ssh", "-tt", *lab.ssh_options(lab.dir / "otto.key"), "-p", lab.port, "-l", "otto", "127.0.0.1"]) as t:
        t.wait("No server is open to you")
        ask(t, "app09")                     # an auditor reads everything
        t.wait("%s@app09: no grant names this user" % many)
        ask(t, "app99")
        t.wait("app99: there is no asset with that name or address.")


def test_no_colour_and_no_sequences_where_they_are_not_wanted(lab, many):
    with menu(lab, (80, 24), "alice", ["-o", "SetEnv=NO_COLOR=1"]) as t:
        t.wait("of 31")
        t.line("q")
        t.status()
        assert b"\x1b[1m" not in t.raw() and b"\x1b[2m" not in t.raw() and b"\x1b[K" in t.raw()
    with Terminal(lab.dir, ["env", "TERM=dumb", "ssh", "-tt", *lab.ssh_options(lab.info["user_key"]), "-p", lab.port, "-l", "alice", "127.0.0.1"]) as t:
        t.wait("of 31")
        t.line("交易")
        t.wait("%s@" % many if many else "$")
        t.line("exit")
        t.wait("logout", "Number or search>")
        t.line("q")
        t.status()
        menu_bytes = t.raw().split(b"Number or search>")[0]
        assert b"\x1b[" not in menu_bytes.split(b"sallyport", 1)[1]


@pytest.mark.parametrize("client", ["dbclient", "plink"])
def test_other_clients_have_the_menu_too(lab, many, client):
    import shutil
    if not shutil.which(client):
        pytest.skip("no " + client)
    lab.ctl("user", "create", client, "--key", str(other_key(lab, client)) + ".pub")
    lab.ctl("grant", "create", "--user", client, "--asset-group", "all", "--account", "*")
    argv = {"dbclient": ["dbclient", "-t", "-y", "-y", "-i", lab.dir / "dbclient.id", "-p", lab.port, "dbclient@127.0.0.1"],
            "plink": ["plink", "-batch", "-hostkey", "*", "-t", "-i", lab.dir / "plink.id", "-P", lab.port, "plink@127.0.0.1"]}[client]
    if client == "plink":
        argv[3] = subprocess.run(["ssh-keyscan", "-p", str(lab.port), "-t", "ed25519", "127.0.0.1"], capture_output=True, text=True,
                                 timeout=30).stdout.split("ed25519 ", 1)[1].strip()
    with Terminal(lab.dir, argv) as t:
        t.wait("of 30", "Number or search>")
        t.type("交易")
        t.wait("1-1 of 1")
        t.key("Enter")
        t.line("echo $((6*7))")
        t.wait("42")
        t.line("exit")
        t.wait("logout", "Number or search>")
        t.line("q")
        t.status()


def other_key(lab, client):
    key = lab.key(client + ".key")
    if client == "dbclient":
        subprocess.run(["dropbearconvert", "openssh", "dropbear", str(key), str(lab.dir / "dbclient.id")], check=True, capture_output=True)
    else:
        subprocess.run(["puttygen", str(key), "-o", str(lab.dir / "plink.id")], check=True, capture_output=True)
    return key


def test_access_who_is_complete_through_nested_groups(lab, many):
    """Everybody who could, through which grant and group; what a deny takes away, and who may not log in, is not there."""
    for g in ("outer", "inner"):
        lab.ctl("group", "create", g)
    lab.ctl("group", "member", "add", "outer", "--group", "inner")
    for u in ("wa", "wb", "wc", "wd"):
        lab.ctl("user", "create", u)
        if u != "wa":
            lab.ctl("group", "member", "add", "inner", "--user", u)
    lab.ctl("account", "create", "spare@app25", "--ca", "demo-ca")
    lab.ctl("grant", "create", "--group", "outer", "--asset-group", "all", "--account", "*", "--name", "nested")
    lab.ctl("grant", "create", "--user", "wa", "--asset", "app25", "--account", "spare", "--name", "own", "--from", "2091-01-01")
    lab.ctl("grant", "create", "--user", "wc", "--asset", "app25", "--account", many, "--effect", "deny", "--protocol",
            "shell,exec,sftp,scp")
    lab.ctl("user", "disable", "wd")

    def who(*args):
        return {(r["user"], r["grant"]): r for r in lab.ctl("access", "who", "app25", *args) if r["user"][0] == "w" and len(r["user"]) == 2}
    rows = who()
    assert set(rows) == {("wa", "own"), ("wb", "nested"), ("wc", "nested")}, rows
    nested = rows["wb", "nested"]
    assert sorted(nested["accounts"]) == sorted([many, "spare"]) and nested["group"] == "outer" and nested["asset_group"] == "all"
    assert rows["wc", "nested"]["accounts"] == ["spare"] and rows["wa", "own"]["valid_from"].startswith("2091-01-01")
    assert rows["wa", "own"]["group"] is None and rows["wa", "own"]["asset_group"] is None
    assert set(who("--account", many)) == {("wb", "nested")}
