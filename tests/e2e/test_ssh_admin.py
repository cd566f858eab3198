"""`ssh bastion -- WORDS`: one's own keys and password, and administration with the same permissions as the command line."""
import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

import lab as L
import otp
from terminal import Terminal


@pytest.fixture(scope="module")
def people(lab):
    """admin (of all), rita (auditor), bob (user), each with a key; alice has one already."""
    keys = {"alice": lab.info["user_key"], "admin": lab.info["admin_key"]}
    for login, role in (("rita", "auditor"), ("bob", "user")):
        keys[login] = lab.key(login + ".key")
        lab.ctl("user", "create", login, "--role", role, "--key", "%s.pub" % keys[login])
    return keys


@pytest.fixture
def run(lab, people):
    def run(login, words, key=None, **kw):
        return lab.ssh(login, "--", words, key=key or people[login], **kw)
    return run


def pub(key):
    return pathlib.Path(str(key) + ".pub").read_text()


def fingerprint(key):
    return subprocess.run(["ssh-keygen", "-lf", str(key) + ".pub"], check=True, capture_output=True, text=True).stdout.split()[1]


def test_a_user_adds_a_key_logs_in_with_it_and_takes_it_away(lab, run):
    new = lab.key("alice-new.key")
    r = run("alice", "key add", stdin=pub(new))
    assert (r.returncode, r.stderr) == (0, ""), r
    assert r.stdout == "Key %s added for alice.\n" % fingerprint(new)
    r = run("alice", "key list --json", key=new)        # with the new key, at once
    assert fingerprint(new) in [k["fingerprint"] for k in json.loads(r.stdout)]
    assert run("alice", "key add -", stdin=pub(new)).returncode != 0       # known already
    assert "standard input has no line" in run("alice", "key add").stderr
    r = run("alice", "key remove " + fingerprint(new))
    assert r.returncode == 0, r
    assert lab.ssh("alice", "--", "whoami", key=new).returncode == 255     # ssh: permission denied
    log = [(e["kind"], e["actor"], e["source"], e["result"]) for e in lab.ctl("audit", "list", "--limit", 50) if e["kind"].startswith("user.key.")]
    assert log == [("user.key.remove", "alice", "127.0.0.1", "ok"), ("user.key.add", "alice", "127.0.0.1", "refused"),
                   ("user.key.add", "alice", "127.0.0.1", "ok")]


def test_nobody_takes_away_the_only_key_he_gets_in_with(run, people):
    r = run("bob", "key remove " + fingerprint(people["bob"]))
    assert r.returncode != 0 and "only key" in r.stderr and "add another key first" in r.stderr
    assert run("bob", "whoami").returncode == 0


def test_whoami_says_the_login_and_the_role(run):
    for login, role in (("alice", "user"), ("rita", "auditor"), ("admin", "admin")):
        me = json.loads(run(login, "sallyport whoami --json").stdout)
        assert (me["login"], me["role"]) == (login, role)


def test_a_user_is_refused_what_concerns_others(lab, run, people):
    before = lab.ctl("user", "key", "list", "bob")
    for words in ("user list", "user show bob", "user key list bob", "user key remove bob " + fingerprint(people["bob"]), "audit list",
                  "user disable bob", "grant create --user alice --asset web1 --account root", "settings get", "session kill all",
                  "access explain bob web1 root", "--as admin user list"):
        r = run("alice", words)
        assert r.returncode not in (0, 255) and r.stdout == "" and r.stderr.startswith("sallyport: "), (words, r)
    assert run("alice", "user key add bob -", stdin=pub(lab.key("evil.key"))).returncode != 0
    assert lab.ctl("user", "key", "list", "bob") == before
    assert run("alice", "access explain alice web1 %s" % lab.info["targets"][0].split("@")[0]).returncode == 0


def test_an_administrator_makes_a_user_and_a_grant_and_that_user_works_at_once(lab, run):
    key, account = lab.key("carol.key"), lab.info["targets"][0].split("@")[0]
    r = run("admin", "sallyport user create carol --full-name 'Carol \"C\" Jones' --key -", stdin=pub(key))
    assert (r.returncode, r.stdout) == (0, "User carol created.\n"), r
    assert lab.ctl("user", "show", "carol")["full_name"] == 'Carol "C" Jones'
    to = "carol@%s@web1" % account
    assert lab.ssh(to, "true", key=key).returncode != 0
    r = run("admin", "grant create --user carol --asset web1 --account %s" % account)
    assert r.returncode == 0, r
    assert lab.ssh(to, "echo in", key=key).stdout == "in\n"
    r = run("admin", "user disable carol")
    assert r.returncode == 0, r
    assert lab.ssh(to, "true", key=key).returncode == 255
    entry = lab.ctl("audit", "list", "--kind", "user.disable")[0]
    assert (entry["actor"], entry["source"], entry["result"]) == ("admin", "127.0.0.1", "ok")


def test_an_auditor_reads_and_changes_nothing(lab, run):
    assert {"alice", "rita"} <= {u["login"] for u in json.loads(run("rita", "user list --json").stdout)}
    assert run("rita", "audit list --limit 5").returncode == 0
    for words in ("user create mallory", "user disable alice", "asset delete web1", "session kill x", "grant delete x"):
        r = run("rita", words)
        assert r.returncode not in (0, 255) and "administrator" in r.stderr, (words, r)
    assert "mallory" not in json.dumps(lab.ctl("user", "list"))


def test_help_breaks_its_lines_between_words(run):
    text = run("admin", "help import assets").stdout.split("\n\n")[1]
    assert text.count("\n") > 3 and max(map(len, text.split("\n"))) <= 100 and "object of that name" in text.replace("\n", " "), text


def test_output_and_exit_status_are_those_of_the_command_line(lab, run):
    for words in (["asset", "list"], ["asset", "list", "--json"], ["help"], ["help", "user", "create"], ["user", "create"], ["user"], ["user", "frob"], ["user", "show", "nobody-here"], ["version"], ["access", "who", "web1"]):
        here, there = lab.ctl_run(*words), run("admin", " ".join(words))
        assert (there.returncode, there.stdout, there.stderr) == (here.returncode, here.stdout, here.stderr), words


def test_words_without_a_separator_are_commands_and_targets_stay_targets(lab, run, people):
    lab.ctl("asset", "create", "user", "--address", "127.0.0.1", "--port", lab.targets["web1"])
    account = lab.info["targets"][0].split("@")[0]
    lab.ctl("account", "create", "%s@user" % account, "--ca", "demo-ca")
    lab.ctl("grant", "create", "--user", "alice", "--asset", "user", "--account", "*")
    assert run("alice", "%s@user echo 'a  b'" % account).stdout == "a  b\n"
    assert lab.ssh("alice", "%s@user" % account, key=people["alice"], stdin="echo shell\n").stdout.endswith("shell\n")
    r = run("alice", "web1 uname")
    assert r.returncode == 64 and "no command \"web1\"" in r.stderr and "ACCOUNT@ASSET" in r.stderr
    for words in ("bob@%s@web1 id" % account, "#", "a@b@c@d@e id"):
        r = run("alice", words)
        assert r.returncode == 255 and "name a target" in r.stderr, (words, r)
    assert lab.ssh("alice@%s@user" % account, "user list || echo target", key=people["alice"]).stdout == "target\n"


@pytest.mark.parametrize("words, says", [
    ("whoami; user list", "nothing here"), ("whoami && x", "nothing here"), ("whoami | cat", "nothing here"), ("whoami > /tmp/x", "nothing here"),
    ("user show $HOME", "nothing here"), ("user show `id`", "nothing here"), ("user show \"$(id)\"", "single quotes"), ("user show *", "nothing here"),
    ("user show 'bob", "never closed"), ("user show \"bob", "never closed"), ("user show bob\\", "backslash"),
    ("whoami\nuser list", "control character"), ("user show \x1b]0;x\x07", "control character"), ("user show '\x1b[2J'", "control character"),
    ("user show " + "x" * 10000, "login"), ("x" * 10000, "there is no command"), ("x" * 20000, "too long"), ("y " * 5000, "too many words"),
    ("user show '" + "-" * 9000 + "'", "no option"), ("user create x --key /etc/passwd", "not on this machine"), ("user password admin --password-fd 0", "no open descriptors"),
    ("--socket /run/x user list", "not on this machine"), ("session list --monitor", "over SSH"), ("session watch x", "bastion itself"), ("'' ''", "no command")])
def test_hostile_words_get_one_clear_line(run, words, says):
    r = run("admin", words)
    assert r.returncode not in (0, 1) and r.stdout == "" and says in r.stderr, r
    assert len(r.stderr.splitlines()) == 1 and r.stderr.isprintable() is False and "\x1b" not in r.stderr


def test_bytes_that_are_no_text_are_refused(lab, people):
    argv = [a.encode() for a in lab.ssh_argv("alice", "--", key=people["alice"])] + [b"user show \xff\xfe"]
    r = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    assert r.returncode == 64 and b"UTF-8" in r.stderr


def test_a_password_is_asked_for_on_a_terminal_and_never_shown(lab, people):
    argv = ["ssh", "-tt", *lab.ssh_options(people["bob"]), "-p", lab.port, "-l", "bob", "127.0.0.1", "passwd"]
    with Terminal(lab.dir, argv, 80, 24) as t:
        t.wait("New password:")
        t.line("tangerine 42 boats")
        t.wait("Again:")
        t.line("tangerine 42 boats")
        s = t.wait("Password of bob set.")
        assert "tangerine" not in s
        assert t.status() == 0
    assert lab.ctl("user", "show", "bob")["has_password"] is True
    assert b"tangerine" not in b"".join(p.read_bytes() for p in lab.data.rglob("*") if p.is_file() and "/store/" in str(p))
    with Terminal(lab.dir, argv, 80, 24) as t:
        t.wait("New password:")
        t.key("C-c")
        t.wait("nothing was typed")
        assert t.status() != 0


def test_without_a_terminal_a_question_names_the_form_that_can(run):
    r = run("bob", "passwd")
    assert r.returncode == 64 and "ssh -t" in r.stderr
    assert run("bob", "passwd --password-stdin", stdin="tangerine 43 boats\n").stdout == "Password of bob set.\n"


def terminal(lab, login, key, words, cols=80, rows=24):
    return Terminal(lab.dir, ["ssh", "-tt", *lab.ssh_options(key), "-p", lab.port, "-l", login, "127.0.0.1", *words.split()], cols, rows)


def test_one_time_codes_are_enrolled_over_ssh_and_an_administrators_change_wants_one(lab, run):
    key = lab.key("boss.key")
    lab.ctl("user", "create", "boss", "--role", "admin", "--key", "%s.pub" % key)
    new = ["user", "create", "made-by-boss"]
    r = run("boss", "totp enrol", key=key)              # without a terminal: shown, and to be confirmed
    assert r.returncode == 0 and "Key to type:" in r.stdout and "\u2588" in r.stdout and "Not in use yet" in r.stdout
    with terminal(lab, "boss", key, "totp enrol", rows=60) as t:
        s = t.wait("Scan this", "Key to type", "Code that the app shows now")
        app = otp.App.__new__(otp.App)
        app.lab, app.login, app.spent, app.last = lab, "boss", 0, 0
        app.secret = re.search(r"Key to type:\s+([A-Z2-7]{32})", s).group(1)
        app.recovery = re.findall(r"\b[a-z2-7]{4}(?:-[a-z2-7]{4}){3}\b", s)
        assert len(app.recovery) == 10
        t.line(app.next())
        t.wait("Confirmed: the second factor of boss is in use")
        assert t.status() == 0
    assert json.loads(run("boss", "totp show --json", key=key).stdout)["state"] == "active"
    lab.ctl("settings", "set", "admin_mfa_s", "3600")
    try:
        assert lab.ctl_run("settings", "set", "admin_mfa_s", "soon").returncode != 0
        r = run("boss", " ".join(new), key=key)
        assert r.returncode not in (0, 255) and "one-time code" in r.stderr and "ssh -t" in r.stderr
        assert run("boss", "user list", key=key).returncode == 0        # looking wants none
        r = run("admin", "user create made-by-admin")                   # has no second factor at all
        assert r.returncode != 0 and "totp enrol" in r.stderr
        with terminal(lab, "boss", key, " ".join(new)) as t:
            t.wait("one-time code for this change")
            t.line(app.wrong())
            t.wait("one-time code for this change", "not")
            t.line(app.next())
            t.wait("User made-by-boss created.")
            assert t.status() == 0
        assert run("boss", "user delete made-by-boss", key=key).returncode == 0     # the same user and source, within the hour
        new_key = lab.key("bob-third.key")
        assert run("bob", "key add", stdin=pub(new_key)).returncode == 0            # one's own, without a second factor
    finally:
        lab.ctl("settings", "set", "admin_mfa_s", "0")
    everything = "".join(lab.log(n) for n in ("sallyport",)) + json.dumps(lab.ctl("audit", "list", "--limit", 1000))
    assert app.secret not in everything and not any(c in everything for c in app.recovery)


def test_an_administrator_without_a_second_factor_changes_nothing_of_others(lab, run):
    """As the thief of his key would: give bob a key of one's own, or a new password, or take carl's second factor away."""
    evil = lab.key("evil-mfa.key")
    lab.ctl("user", "create", "carl")
    otp.App(lab, "carl")
    before = lab.ctl("user", "key", "list", "bob")
    lab.ctl("settings", "set", "admin_mfa_s", "3600")
    try:
        for words, typed in (("user key add bob -", pub(evil)), ("user key remove bob " + before[0]["fingerprint"], None),
                             ("user password bob --password-stdin", "tangerine 44 boats\n"), ("user totp remove carl", None),
                             ("user totp enrol bob", None)):
            r = run("admin", words, stdin=typed)
            assert r.returncode not in (0, 255) and "second factor" in r.stderr, (words, r)
        assert run("admin", "key add", stdin=pub(evil)).returncode == 0     # one's own
        assert run("admin", "user key remove admin " + fingerprint(evil)).returncode == 0
    finally:
        lab.ctl("settings", "set", "admin_mfa_s", "0")
    assert lab.ctl("user", "key", "list", "bob") == before
    assert lab.ctl("user", "totp", "show", "carl")["state"] == "active"


def test_rows_are_imported_from_standard_input_and_exported_to_standard_output(lab, run):
    csv = "name,address,port\nvia-ssh-1,10.9.0.1,22\nvia-ssh-2,10.9.0.2,22\n"
    r = run("admin", "import assets -", stdin=csv)
    assert r.returncode == 0, r
    out = run("admin", "export assets").stdout
    assert "via-ssh-1" in out and out == lab.ctl_run("export", "assets").stdout
    assert run("admin", "import assets -", stdin=out).returncode == 0
    assert "not on this machine" in run("admin", "import assets /etc/passwd").stderr
    assert "not on this machine" in run("admin", "export assets /tmp/x").stderr
    assert run("alice", "import assets -", stdin=csv).returncode not in (0, 255)
    r = run("admin", "sweep ldap - --source x", stdin="uri ldap://127.0.0.1\n")
    assert r.returncode == 64 and "not for SSH" in r.stderr


def test_a_table_fits_the_terminal(lab, people):
    with Terminal(lab.dir, ["ssh", "-tt", *lab.ssh_options(people["admin"]), "-p", lab.port, "-l", "admin", "127.0.0.1", "asset list"], 40, 24) as t:
        s = t.wait("web1")
        assert max(len(x) for x in s.split("\n")) <= 40
        assert t.status() == 0


def test_a_hundred_channels_on_one_connection(lab, people):
    sock = lab.dir / "m"
    master = lab.ssh_argv("alice", key=people["alice"], options=["-M", "-S", sock, "-fN"])
    subprocess.run([str(a) for a in master], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    try:
        argv = [str(a) for a in lab.ssh_argv("alice", "key list --json", key=people["alice"], options=["-S", sock])]
        for _ in range(2):
            ps = [subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(50)]
            done = [(p.communicate(timeout=120), p.returncode) for p in ps]
            assert all(code == 0 and json.loads(out) for (out, _), code in done), [d for d in done if d[1] != 0][:3]
        flood = [subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60) for _ in range(1)]
        assert flood[0].returncode == 0
    finally:
        subprocess.run(["ssh", "-S", str(sock), "-O", "exit", "x"], capture_output=True, timeout=30)


def test_disabling_a_user_ends_his_command_too(lab, run, people):
    key = lab.key("dave.key")
    lab.ctl("user", "create", "dave", "--key", "%s.pub" % key)
    p = subprocess.Popen([str(a) for a in lab.ssh_argv("dave", "--", "key add", key=key)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)     # reads standard input until there is no more
    shells = L.wait_for("the command runs", lambda: subprocess.run(["pgrep", "-P", str(lab.monitor_pid()), "-f", "sallyport-shell"],
                                                                   capture_output=True, text=True).stdout.split())
    assert len(shells) == 1
    lab.ctl("user", "disable", "dave")
    out, err = p.communicate(timeout=60)
    assert p.returncode == 255 and out == "" and "disabled" in err
    L.wait_for("the process is gone", lambda: not pathlib.Path("/proc/%s/stat" % shells[0]).exists() or
               pathlib.Path("/proc/%s/stat" % shells[0]).read_text().split()[2] == "Z")
    assert lab.ctl("audit", "list", "--kind", "user.key.add")[0]["actor"] != "dave"


def test_a_command_whose_process_dies_says_so(lab, people):
    p = subprocess.Popen([str(a) for a in lab.ssh_argv("alice", "--", "key add", key=people["alice"])], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    shells = L.wait_for("the command runs", lambda: subprocess.run(["pgrep", "-P", str(lab.monitor_pid()), "-f", "sallyport-shell"],
                                                                   capture_output=True, text=True).stdout.split())
    os.kill(int(shells[0]), signal.SIGKILL)
    out, err = p.communicate(timeout=60)
    assert p.returncode == 255 and out == "" and "cut off" in err


def test_other_clients_run_commands(lab, people):
    paramiko = pytest.importorskip("paramiko")
    c = paramiko.SSHClient()
    c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    c.connect("127.0.0.1", lab.port, "admin", key_filename=str(people["admin"]), allow_agent=False, look_for_keys=False)
    try:
        _, out, err = c.exec_command("user list --json")
        assert "alice" in {u["login"] for u in json.loads(out.read())} and out.channel.recv_exit_status() == 0 and err.read() == b""
        i, out, _ = c.exec_command("user create erin --key -")
        i.write(pub(lab.key("erin.key")))
        i.channel.shutdown_write()
        assert out.channel.recv_exit_status() == 0
    finally:
        c.close()


def test_plink_runs_a_command(lab, run, people, tmp_path):
    subprocess.run(["puttygen", people["bob"], "-o", tmp_path / "bob.ppk", "-O", "private"], check=True, stdin=subprocess.DEVNULL, timeout=60)
    host = next(x.split(" ", 1)[1] for x in lab.known_hosts.read_text().splitlines() if x.startswith("[127") and "ssh-ed25519" in x)
    (tmp_path / "host.pub").write_text(host + "\n")
    r = subprocess.run(["plink", "-ssh", "-batch", "-hostkey", fingerprint(tmp_path / "host"), "-i", tmp_path / "bob.ppk", "-P", str(lab.port), "-l", "bob", "127.0.0.1",
                        "whoami --json"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert r.returncode == 0 and json.loads(r.stdout)["login"] == "bob", r
