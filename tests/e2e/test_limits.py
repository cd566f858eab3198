"""What ends a session by itself, how many there may be, and the reason that is asked for: live, with stock clients."""
import datetime
import json
import os
import signal
import subprocess
import time

import pytest

import lab as L
from terminal import Terminal
from test_access import person


def grant(lab, me, name, *opts, target=None):
    account, asset = (target or me.t0).split("@")
    return person(lab, name), lab.ctl("grant", "create", "--user", name, "--asset", asset, "--account", account, *opts)


def start(lab, me, name, key, command="echo up; cat", options=(), pipe=subprocess.PIPE):
    p = subprocess.Popen(lab.ssh_argv(name + "@" + me.t0, command, key=key, options=options), stdin=pipe, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "up\n", p.communicate(timeout=20)
    return p


def left_open(p):
    """The rest of what it says, without the end of input that communicate() would send."""
    p.wait(90)
    return p.stdout.read(), p.stderr.read()


def ended(lab, name, reason):
    return L.wait_for("the end of %s's session: %s" % (name, reason),
                      lambda: [s for s in lab.ctl("session", "list", "--user", name) if s["state"] == "ended" and s["reason"] == reason], 20)


def soon(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_control(pid, lab):
    try:
        with open("/proc/%d/cmdline" % pid) as f:
            name = f.read().split("\0")[0]
        with open("/proc/%d/stat" % pid) as f:
            parent = int(f.read().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError):
        return False
    return name.endswith("sallyport-control") and parent == lab.monitor_pid()


def control_pid(lab):
    return next(int(x) for x in os.listdir("/proc") if x.isdigit() and is_control(int(x), lab))


def test_every_limit_of_a_grant_can_be_set_shown_and_set_again_from_what_was_shown(lab, me):
    account, asset = me.t0.split("@")
    person(lab, "ada")
    g = lab.ctl("grant", "create", "--user", "ada", "--asset", asset, "--account", account, "--hours", "mon-fri 08:00-18:00,sat 09:00-12:00",
                "--source", "10.0.0.0/8,::1", "--idle", "15m", "--max", "8h", "--concurrent", 2, "--reason", "ticket:INC[0-9]{7}",
                "--agent", "platform,own", "--forward", "10.0.0.0/8:5432")
    want = {"hours": "mon-fri 08:00-18:00,sat 09:00-12:00", "sources": ["10.0.0.0/8", "::1"], "idle_s": 900, "max_session_s": 28800,
            "concurrent_max": 2, "reason": "ticket", "reason_pattern": "INC[0-9]{7}", "agent": ["platform", "own"],
            "forward_to": ["10.0.0.0/8:5432"]}
    shown = lab.ctl("grant", "show", g["id"])
    assert {k: shown[k] for k in want} == want
    assert next(x for x in lab.ctl("grant", "list", "--user", "ada") if x["id"] == g["id"]) == shown
    for form in ("csv", "jsonl"):               # exported and imported again: the same, to the last pattern
        out = lab.dir / ("grants." + form)
        subprocess.run(lab.ctl_argv("export", "grants", out), check=True, capture_output=True)
        done = lab.ctl("import", "grants", out)
        assert (done["created"], done["changed"]) == (0, 0) and "INC[0-9]{7}" in out.read_text(), done
    card = lab.ctl_run("grant", "show", g["id"]).stdout
    assert "INC[0-9]{7}" in card and "mon-fri 08:00-18:00" in card and "platform" in card
    for bad in (["--hours", "someday"], ["--source", "10.0.0.0/33"], ["--idle", "soon"], ["--reason", "maybe"],
                ["--reason", "ticket:("], ["--agent", "his"], ["--forward", "nowhere"]):
        r = lab.ctl_run("grant", "create", "--user", "ada", "--asset", asset, "--account", account, *bad)
        assert r.returncode != 0 and len(r.stderr.strip().splitlines()) == 1, (bad, r)


def test_sources_are_looked_at(lab, me):
    account, asset = me.t0.split("@")
    key, g = grant(lab, me, "bea", "--source", "10.0.0.0/8")
    assert lab.ssh("bea@" + me.t0, "true", key=key).returncode == 255
    assert "not from this source address" in str(lab.ctl("access", "explain", "bea", asset, account)["reasons"])
    lab.ctl("grant", "create", "--user", "bea", "--asset", asset, "--account", account, "--source", "127.0.0.0/8")
    assert lab.ssh("bea@" + me.t0, "echo in", key=key).stdout == "in\n"


def test_the_end_of_a_grant_is_warned_of_and_ends_the_session_with_a_line(lab, me):
    key, _ = grant(lab, me, "cleo", "--until", soon(9))
    term = Terminal(lab.dir, lab.ssh_argv("cleo@" + me.t0, key=key, options=["-tt"]))
    try:
        term.wait("this session ends in", "your grant for this account ends")
        term.wait("Your grant for this account has ended", seconds=30)
    finally:
        term.close()
    ended(lab, "cleo", "grant ended")


def test_the_longest_time_is_warned_of_also_while_control_is_away(lab, me):
    key, _ = grant(lab, me, "dora", "--max", "6s")
    p = subprocess.Popen(lab.ssh_argv("dora@" + me.t0, key=key, options=["-T"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    p.stdin.write("echo up\n")
    p.stdin.flush()
    assert p.stdout.readline() == "up\n"
    stopped = control_pid(lab)
    os.kill(stopped, signal.SIGSTOP)            # it decides nothing meanwhile
    try:
        out, err = left_open(p)
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert "this session ends in" in err and "longest duration" in err, err
    assert p.returncode == 255 and "sallyport: The session has reached its longest duration" in err
    ended(lab, "dora", "longest duration reached")
    # A stream that is not for people is not written into.
    p = start(lab, me, "dora", key, "echo up; exec sleep 60")
    out, err = p.communicate(timeout=40)
    assert out == "" and "this session ends in" not in err and "longest duration" in err


def test_idle_is_no_input_on_a_terminal_and_no_bytes_elsewhere(lab, me):
    key, _ = grant(lab, me, "elsa", "--idle", "4s")
    # Output of a program on a terminal is not activity.
    p = start(lab, me, "elsa", key, "stty -onlcr; echo up; while :; do echo busy; sleep 0.2; done", options=["-tt"])
    out, _ = p.communicate(timeout=40)
    assert "was idle for too long" in out and "this session ends in" in out
    ended(lab, "elsa", "idle")
    # On a channel without a terminal it is: bytes flow for longer than the limit, then it is quiet.
    p = start(lab, me, "elsa", key, "echo up; for i in $(seq 16); do echo $i; sleep 0.5; done; sleep 60", pipe=subprocess.DEVNULL)
    out, err = p.communicate(timeout=60)
    assert out.split()[-1] == "16" and "was idle for too long" in err


def test_hours_end_live_sessions_and_refuse_new_ones_in_the_zone_of_the_installation(tmp_path, monkeypatch, request):
    import conftest
    tmp_path.chmod(0o755)
    # A zone in which a minute of the clock ends about 20 s from now.
    past = int(time.time() + 20) % 60
    monkeypatch.setenv("TZ", "LAB-00:00:%02d" % ((60 - past) % 60))
    with L.Lab(tmp_path, conftest.BUILD) as lab:
        info = L.standard(lab)
        account, asset = info["targets"][0].split("@")
        key = lab.key("fay.key")
        lab.ctl("user", "create", "fay", "--key", str(key) + ".pub")

        def clock():
            return time.time() + (60 - past) % 60
        if 60 - clock() % 60 < 6:       # a slow machine: the next minute
            L.wait_for("the next minute", lambda: clock() % 60 < 30, 30)
        end = time.gmtime(clock() // 60 * 60 + 60)
        if (end.tm_hour, end.tm_min) == (0, 0):
            pytest.skip("midnight")
        g = lab.ctl("grant", "create", "--user", "fay", "--asset", asset, "--account", account, "--hours", time.strftime("daily 00:00-%H:%M", end))
        p = subprocess.Popen(lab.ssh_argv("fay@" + info["targets"][0], key=key, options=["-T"]), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        p.stdin.write("echo up\n")
        p.stdin.flush()
        assert p.stdout.readline() == "up\n"
        _, err = left_open(p)
        assert "this session ends in" in err and "The hours of your grant are over" in err, err
        assert clock() % 60 < 45
        assert lab.ssh("fay@" + info["targets"][0], "true", key=key).returncode == 255
        assert "not at this hour of the week" in str(lab.ctl("access", "explain", "fay", asset, account)["reasons"])
        lab.ctl("grant", "delete", g["id"])


def test_a_zone_that_does_not_exist_is_refused_at_the_start(lab, tmp_path):
    f = tmp_path / "c.conf"
    for zone, ok in (("Europe/Berlin", True), ("Europe/Atlantis", False), ("../../etc/passwd", False)):
        f.write_text("state_dir %s\nrun_dir %s\ntime_zone %s\n" % (tmp_path / "s", tmp_path / "r", zone))
        r = subprocess.run([lab.exe("sallyport-monitor"), "-t", "-f", f], capture_output=True, text=True, timeout=20)
        assert (r.returncode == 0) == ok and ("time_zone" in r.stderr) == (not ok), r


def test_of_ten_at_once_two_open_and_the_dead_do_not_count(lab, me):
    key, _ = grant(lab, me, "gil", "--concurrent", 2)
    ps = [subprocess.Popen(lab.ssh_argv("gil@" + me.t0, "echo up; sleep 120", key=key), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True) for _ in range(10)]
    try:
        L.wait_for("eight refusals", lambda: sum(p.poll() is not None for p in ps) == 8, 60)
        refused = [p for p in ps if p.poll() is not None]
        assert all("as many sessions open here as your grant allows" in p.stderr.read() for p in refused)
        up = [p for p in ps if p.poll() is None]
        assert all(p.stdout.readline() == "up\n" for p in up)
        # Control starts again: what is open counts.
        os.kill(control_pid(lab), signal.SIGKILL)
        L.wait_for("control again", lambda: lab.ctl_ok("status"), 30)
        r = L.wait_for("the refusal", lambda: (lambda r: r if "as many sessions" in r.stderr else None)(lab.ssh("gil@" + me.t0, "true", key=key)), 30)
        assert r.returncode == 255
        # One dies without a word: there is room for one.
        up[0].kill()
        L.wait_for("room again", lambda: lab.ssh("gil@" + me.t0, "echo in", key=key).stdout == "in\n", 30)
    finally:
        for p in ps:
            p.kill()
            p.communicate()


def test_a_reason_is_asked_on_a_terminal_and_kept(lab, me):
    key, _ = grant(lab, me, "hana", "--reason", "text")
    term = Terminal(lab.dir, lab.ssh_argv("hana@" + me.t0, key=key, options=["-tt"]))
    try:
        term.wait("Sallyport: reason for")
        term.line("disk full on node 3")
        term.wait("$")
        term.line("echo in-$((40 + 2))")
        term.wait("in-42")
        term.line("exit")
    finally:
        term.close()
    s = lab.ctl("session", "list", "--user", "hana")[0]
    assert s["purpose"] == "disk full on node 3"
    assert lab.ctl("session", "show", s["id"])["purpose"] == "disk full on node 3"
    assert "disk full on node 3" in json.dumps(lab.ctl("audit", "list", "--session", s["id"]))


def test_forms_that_cannot_ask_take_the_ticket_from_the_environment_or_are_refused_with_the_form_that_can(lab, me):
    key, _ = grant(lab, me, "ines", "--reason", "ticket:INC[0-9]{4}")
    r = lab.ssh("ines@" + me.t0, "echo in", key=key)
    assert r.returncode == 255 and r.stdout == "" and "A ticket is required" in r.stderr and "ssh -t" in r.stderr and "SALLYPORT_REASON" in r.stderr
    r = lab.ssh("ines@" + me.t0, "echo in", key=key, options=["-o", "SetEnv=SALLYPORT_REASON=because"])
    assert r.returncode == 255 and r.stdout == ""
    r = lab.ssh("ines@" + me.t0, "echo in", key=key, options=["-o", "SetEnv=SALLYPORT_REASON=\"INC0042 disk\""])
    assert r.stdout == "in\n", r
    assert lab.ctl("session", "list", "--user", "ines")[0]["purpose"] == "INC0042 disk"
    r = lab.ssh("ines@" + me.t0, "echo $SALLYPORT_REASON.", key=key, options=["-o", "SetEnv=SALLYPORT_REASON=INC0042"])
    assert r.stdout == ".\n"            # it is not for the target


def test_a_protocol_that_is_taken_away_closes_its_channels_at_once_and_leaves_the_others(lab, me):
    account, asset = me.t0.split("@")
    key, _ = grant(lab, me, "jill", "--protocol", "sftp")
    g = lab.ctl("grant", "create", "--user", "jill", "--asset", asset, "--account", account, "--protocol", "exec")
    p = start(lab, me, "jill", key)
    lab.ctl("grant", "delete", g["id"])
    assert "Your grant does not allow exec on this target any more" in p.communicate(timeout=20)[1]
