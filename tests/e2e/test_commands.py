"""Commands that people run through the gateway are records of their own, and Enter waits for nobody long."""
import os
import signal

import lab as L
import tour
from terminal import Terminal


def shell(lab, me):
    return Terminal(lab.dir, lab.ssh_argv(me.to0, key=me.key, options=["-tt"]))


def commands(lab, kind="command"):
    """Bodies of the events, oldest first."""
    entries = lab.ctl("audit", "list", "--kind", "session.event", "--limit", "1000")
    return [e["more"]["body"] for e in sorted(entries, key=lambda e: e["seq"]) if e["more"]["event"] == kind]


def wait_command(lab, text):
    return L.wait_for("the command " + text, lambda: [c for c in commands(lab) if c["text"] == text])[0]


def ended(lab, me):
    L.wait_for("no session", lambda: not me.live())


def test_lines_of_a_shell_are_records(lab, me):
    with shell(lab, me) as t:
        t.wait("$")
        t.line("echo first command")
        t.wait("\nfirst command")
        t.type("ech")
        t.type("o 数据库\r")
        t.wait("\n数据库")
        c = wait_command(lab, "echo first command")
        assert c["how"] == "screen" and c["certain"] and c["offset_us"] > 0
        assert c["prompt"].rstrip().endswith("$") and "no_enter" not in c
        assert wait_command(lab, "echo 数据库")["certain"]
        t.line("exit 3")
        assert t.status() == 3
    wait_command(lab, "exit 3")
    ended(lab, me)
    numbers = {c["number"] for c in commands(lab)}
    L.wait_for("the ends", lambda: numbers <= {c["number"] for c in commands(lab, "command-end")})


def test_what_is_typed_without_echo_is_nowhere(lab, me):
    with shell(lab, me) as t:
        t.wait("$")
        t.line("printf 'Secr''et: '; read -s x; echo; echo len ${#x}")
        t.wait("\nSecret:")
        t.line("hunter2-is-hidden")
        t.wait("len 17")
        L.wait_for("the hidden line", lambda: [c for c in commands(lab) if c.get("hidden")])
        hidden = [c for c in commands(lab) if c.get("hidden")]
        assert hidden[-1]["text"] == "" and not hidden[-1]["certain"]
        assert "hunter2" not in str(commands(lab))
        t.line("exit")
        t.status()
    ended(lab, me)


def test_pasted_lines_are_one_record_each(lab, me):
    with shell(lab, me) as t:
        t.wait("$")
        t.type("echo p1\recho p2\recho p3\r")
        t.wait("\np3")
        for n in (1, 2, 3):
            wait_command(lab, "echo p%d" % n)
        t.line("exit")
        t.status()
    ended(lab, me)


def test_a_recorder_that_stalls_holds_enter_for_a_moment_only(lab, me):
    with shell(lab, me) as t:
        t.wait("$")
        t.line("echo ready")
        t.wait("\nready")
        scribe = L.wait_for("the session", me.live)[0]["scribe_pid"]
        os.kill(scribe, signal.SIGSTOP)
        try:
            t.line("echo went $((40+2))")
            t.wait("went 42")
        finally:
            os.kill(scribe, signal.SIGCONT)
        wait_command(lab, "echo went $((40+2))")
        t.line("exit")
        t.status()
    ended(lab, me)


def test_commands_are_found_by_text_user_asset_and_session(lab, me):
    asset, other = me.t0.split("@")[-1], me.t1.split("@")[-1]
    assert me.ssh("echo needle by exec").returncode == 0
    with shell(lab, me) as t:
        t.wait("$")
        t.line("echo 针 in a shell; true needle")
        t.wait("\n针 in a shell")
        t.line("exit")
        t.status()
    ended(lab, me)
    found = L.wait_for("both, with the end of the first", lambda: (lambda f: f if len(f) == 2 and f[1]["ended"] else None)(
        lab.ctl("command", "search", "needle", "--user", me.user, "--asset", asset)))
    assert [f["command"] for f in found] == ["echo 针 in a shell; true needle", "echo needle by exec"]      # newest first
    assert [f["how"] for f in found] == ["screen", "exec"]
    assert {f["certainty"] for f in found} == {"certain"}
    assert found[0]["user"] == me.user and found[0]["asset"] == asset and found[0]["account"] and found[0]["source"]
    assert [f["command"] for f in lab.ctl("command", "search", "针", "--limit", "1")] == [found[0]["command"]]
    assert lab.ctl("command", "search", "needle", "--asset", other) == []
    assert "exit" in [f["command"] for f in lab.ctl("command", "search", "--session", found[0]["session"])]
    # Who may not audit finds his own.
    assert [f["command"] for f in lab.ctl("command", "search", "needle", "--as", me.user)] == [f["command"] for f in found]
    lab.ctl("user", "create", "stranger")
    assert lab.ctl("command", "search", "needle", "--as", "stranger") == []


def test_commands_come_back_from_the_audit_log(lab, me):
    """The index is made again from the log: an event is not told twice by the recorder."""
    assert me.ssh("echo before the death").returncode == 0
    wait = lambda: lab.ctl("command", "search", "before the death")  # noqa: E731
    L.wait_for("the command", wait)
    before = L.wait_for("its end", lambda: wait()[0]["ended"] and wait())
    os.kill(tour.child_pid(lab, "control"), signal.SIGKILL)
    assert L.wait_for("the same", lambda: wait() == before)
