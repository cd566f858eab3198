"""What commands print, kept in clear where a grant says so; and the search by risk."""
import lab as L
from terminal import Terminal
from test_files import Person, space, standard  # noqa: F401

import pytest


@pytest.fixture(scope="module")
def loud(lab, standard, space):
    return Person(lab, standard, "olga", "--keep-output", folder=space[1])


def search(p, *args):
    return p.lab.ctl("command", "search", "--user", p.name, *args)


def one(p, text):
    """The record of a command and its output, once both are there."""
    return L.wait_for("the output of " + text, lambda: [c for c in search(p, "--output") if c["command"] == text and "output" in c])[0]


def test_output_of_exec_requests_is_kept_as_text(loud):
    assert loud.grant["keep_output"] is True
    loud.ssh("printf '\\033[31mred\\033[0m one\\n\\033]0;title\\007two\\n'; echo wrong >&2; seq 3 5")
    c = [x for x in L.wait_for("it", lambda: [c for c in search(loud, "--output") if "red" in c["command"] and "output" in c])][0]
    assert sorted(c["output"].split("\n")) == ["3", "4", "5", "red one", "two", "wrong"] and c["how"] == "exec" and "output_cut" not in c
    loud.ssh("seq 1 40000")
    c = one(loud, "seq 1 40000")
    assert c["output_cut"] is True and len(c["output"]) <= 65536 and c["output"].startswith("1\n2\n3\n") and c["output_bytes"] == 228894
    loud.ssh("true")
    L.wait_for("the record", lambda: [c for c in search(loud) if c["command"] == "true"])
    assert "output" not in search(loud)[0]


def test_output_of_a_shell_is_kept_for_each_line(loud):
    with Terminal(loud.lab.dir, loud.lab.ssh_argv(loud.to, key=loud.key, options=["-tt"])) as t:
        t.wait("$")
        for line, answer in (("echo first; echo 数据库", "\n数据库"), ("printf '\\033[1mbold\\033[0m no line feed'", "no line feed"), ("seq 10 12", "\n12")):
            t.line(line)
            t.wait(answer)
            t.wait("$")
        t.line("exit")
        t.status()
    assert one(loud, "echo first; echo 数据库")["output"] == "first\n数据库"
    # Where the prompt follows on the same line, only the next line that is typed tells where it begins: it may be taken for output.
    assert one(loud, "printf '\\033[1mbold\\033[0m no line feed'")["output"].startswith("bold no line feed")
    assert one(loud, "seq 10 12")["output"] == "10\n11\n12"
    r = loud.lab.ctl_run("command", "search", "seq 10 12", "--user", "olga", "--output", "--json")
    assert r.returncode == 0 and "10\\n11\\n12" in r.stdout


def test_without_the_setting_nothing_is_kept(lab, standard, space):
    p = Person(lab, standard, "otto", folder=space[1])
    p.ssh("echo quiet")
    L.wait_for("the record", lambda: [c for c in search(p, "--output") if c["command"] == "echo quiet" and c["ended"]])
    assert not [c for c in search(p, "--output") if "output" in c]


def test_commands_are_found_by_risk(loud):
    """No rule has judged these: their risk is none, and a search for more finds none of them."""
    assert search(loud) and all(c["risk"] == "none" for c in search(loud))
    assert search(loud, "--risk", "low") == []
    r = loud.lab.ctl_run("command", "search", "--risk", "huge")
    assert r.returncode != 0
