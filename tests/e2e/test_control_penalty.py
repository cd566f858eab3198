"""Guessing: a source that fails again and again is refused for longer and longer; nobody's account is ever locked."""
import subprocess
import time

import lab as L



def guess(lab, source, password="wrong"):
    """One password login from another loopback address; True if the bastion talked to it at all."""
    r = subprocess.run(["sshpass", "-p", password, "ssh", "-F", "/dev/null", "-o", "StrictHostKeyChecking=no",
                        "-o", "UserKnownHostsFile=/dev/null", "-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1",
                        "-o", "PreferredAuthentications=password", "-o", "ConnectTimeout=5", "-b", source, "-p", str(lab.port),
                        "-l", "alice", "127.0.0.1", "true"], capture_output=True, text=True, timeout=30)
    return "Permission denied" in r.stderr


def penalties(lab):
    rows = lab.ctl("audit", "list", "--limit", 500)
    return [r for r in rows if r["kind"].startswith("source.penalty")]


def test_wrong_passwords_are_answered_with_growing_penalties_for_that_source_only(lab, me):
    lab.ctl("user", "password", "alice", "--password-stdin", stdin="a long enough secret 1\n")
    for _ in range(10):
        assert guess(lab, "127.0.0.7")
    L.wait_for("the first penalty", lambda: len(penalties(lab)) == 1)
    L.wait_for("the gate refuses the source", lambda: not guess(lab, "127.0.0.7"), 5)
    assert me.ssh("true").returncode == 0                      # the same user, from elsewhere, by key
    assert guess(lab, "127.0.0.8")                             # another source is heard
    assert "10 s" in penalties(lab)[0]["text"]
    L.wait_for("it ends", lambda: guess(lab, "127.0.0.7"), 20)
    for _ in range(10):
        guess(lab, "127.0.0.7")
    rows = L.wait_for("the second penalty", lambda: len(penalties(lab)) == 2 and penalties(lab))
    assert rows[0]["kind"] == "source.penalty_again" and "20 s" in rows[0]["text"], rows
    L.wait_for("the gate refuses it again", lambda: not guess(lab, "127.0.0.7"), 5)


def test_no_failure_locks_the_account(lab, me):
    other = lab.key("other.key")
    for _ in range(12):
        r = lab.ssh(me.to0, "true", key=other)
        assert r.returncode != 0
        time.sleep(0.01)
    # The source of these is our own address: it may be refused for a while, the account is not touched.
    user = lab.ctl("user", "show", "alice")
    assert user["state"] == "active"
    r = lab.ssh(me.to0, "echo in", key=me.key, options=["-b", "127.0.0.9"])
    assert r.stdout == "in\n", r.stderr


def test_the_alarm_is_on_disk_with_the_courier(lab, me):
    L.wait_for("nothing waits", lambda: lab.ctl("outbox", "list") == [])
    files = list((lab.data / "state").rglob("*.jsonl"))
    text = "".join(f.read_text() for f in files)
    assert text.count('"kind":"alarm.login-penalties"') == 1, text
    assert '"kind":"alarm.vault-unsealed"' in text
