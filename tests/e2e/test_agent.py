"""Agent channels at a target: the platform's, which logs in where its user is granted and nowhere else, and the user's own."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess

import pytest

import lab as L
from test_access import person

pytestmark = pytest.mark.skipif(not L.ROOT, reason="the target needs several accounts")
HOP = "ssh -F /dev/null -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o BatchMode=yes -o LogLevel=ERROR -p %d "


@pytest.fixture(scope="module")
def far(lab):
    """A second server that takes one stored key for every account."""
    stored = lab.key("far-stored.key")
    port = lab.openssh("far1", authorized=pathlib.Path(str(stored) + ".pub").read_text())
    lab.ctl("asset", "create", "far1", "--address", "127.0.0.1", "--port", port)
    lab.ctl("account", "create", "deploy@far1", "--key-file", stored)
    lab.ctl("grant", "create", "--user", "alice", "--asset", "far1", "--account", "deploy")
    # known by its host key from the first login on
    r = lab.ssh("alice@deploy@far1", "echo in", key=lab.info["user_key"])
    assert r.stdout == "in\n", r
    return port


@pytest.fixture
def agent(lab, tmp_path):
    sock = str(tmp_path / "agent")
    p = subprocess.Popen(["ssh-agent", "-D", "-a", sock], stdout=subprocess.DEVNULL)
    L.wait_for("the agent", lambda: os.path.exists(sock))
    env = dict(os.environ, SSH_AUTH_SOCK=sock)

    class Agent:
        socket = sock

        @staticmethod
        def add(key):
            subprocess.run(["ssh-add", "-q", key], check=True, env=env)

        @staticmethod
        def ssh(login, *args, key, options=()):
            argv = lab.ssh_argv(login, *args, key=key, options=options)      # the first word counts: IdentityAgent is none in there
            return subprocess.run([argv[0], "-A", "-o", "IdentityAgent=" + sock, *argv[1:]], env=env, capture_output=True, text=True,
                                  timeout=60, stdin=subprocess.DEVNULL)
    yield Agent
    p.send_signal(signal.SIGTERM)
    p.wait(10)


def granted(lab, me, name, *opts):
    account, asset = me.t0.split("@")
    key = person(lab, name)
    lab.ctl("grant", "create", "--user", name, "--asset", asset, "--account", account, *opts)
    return key


def entries(lab, kind, user):
    return [e for e in lab.ctl("audit", "list", "--kind", kind, "--limit", 50) if user in json.dumps(e)]


def test_without_permission_forwarding_is_refused_with_a_line_and_the_session_goes_on(lab, me, agent):
    key = granted(lab, me, "kay")
    r = agent.ssh("kay@" + me.t0, "echo ${SSH_AUTH_SOCK:-none}", key=key)
    assert r.stdout == "none\n" and r.returncode == 0
    assert r.stderr.strip() == "sallyport: agent forwarding (ssh -A) is not allowed by your grant"


def test_the_platforms_agent_logs_in_where_its_user_is_granted_with_a_key_that_never_leaves(lab, me, far):
    key = granted(lab, me, "lea", "--agent", "platform")
    hop = HOP % far + "deploy@127.0.0.1 echo there"
    # Not granted there: no key is even offered.
    r = lab.ssh("lea@" + me.t0, hop + "; ssh-add -l", key=key)
    assert "there" not in r.stdout and "Permission denied" in r.stderr, r
    g = lab.ctl("grant", "create", "--user", "lea", "--asset", "far1", "--account", "deploy")
    r = lab.ssh("lea@" + me.t0, hop, key=key)
    assert r.stdout == "there\n", r
    signed = entries(lab, "agent.sign", "lea")
    assert len(signed) == 1 and signed[0]["result"] == "ok" and "login as deploy" in signed[0]["text"], signed
    # Another login than the granted one is not signed for; a client that does not say where it goes gets nothing.
    r = lab.ssh("lea@" + me.t0, HOP % far + "app@127.0.0.1 echo there", key=key)
    assert "there" not in r.stdout
    r = lab.ssh("lea@" + me.t0, "ssh-add -l", key=key)
    assert "no identities" in r.stdout + r.stderr
    lab.ctl("grant", "delete", g["id"])
    assert "there" not in lab.ssh("lea@" + me.t0, hop, key=key).stdout


def test_git_still_picks_the_deploy_key_of_its_user(lab, me, far, tmp_path):
    key = granted(lab, me, "mia", "--agent", "platform")
    lab.ctl("grant", "create", "--user", "mia", "--asset", "far1", "--account", "deploy")
    own = lab.key("git-deploy.key")
    port = lab.openssh("githost", authorized=pathlib.Path(str(own) + ".pub").read_text(), extra="MaxAuthTries 1\n")
    home = lab.home / "deploy"
    repo = home / "repo.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", repo], check=True)
    ssh = home / ".ssh"
    ssh.mkdir(exist_ok=True)
    (ssh / "id_ed25519").write_text(own.read_text())
    (ssh / "id_ed25519").chmod(0o600)
    subprocess.run(["chown", "-R", "20001:20001", home], check=True)
    try:
        cmd = ("export GIT_SSH_COMMAND='%s -i %s'; cd && rm -rf work && git clone -q ssh://deploy@127.0.0.1:%d%s work 2>&1 && echo cloned"
               % ((HOP % port).strip(), ssh / "id_ed25519", port, repo))
        r = lab.ssh("mia@" + me.t0, cmd, key=key)
        assert "cloned" in r.stdout, r
    finally:
        subprocess.run(["rm", "-rf", ssh], check=True)


def test_the_users_own_agent_is_logged_and_used(lab, me, far, agent):
    key = granted(lab, me, "nell", "--agent", "own")
    agent.add(lab.key("far-stored.key"))
    r = agent.ssh("nell@" + me.t0, HOP % far + "deploy@127.0.0.1 echo there", key=key)
    assert r.stdout == "there\n" and r.stderr == "", r
    assert "login as deploy" in entries(lab, "agent.sign", "nell")[0]["text"]
    assert entries(lab, "agent.list", "nell") and entries(lab, "agent.bind", "nell")


def test_the_users_own_agent_signs_no_login_to_the_bastion(lab, me, far, agent):
    key = granted(lab, me, "ora", "--agent", "own")
    agent.add(key)
    back = HOP % lab.port + "%s@127.0.0.1 echo again" % ("ora@" + me.t0)
    r = agent.ssh("ora@" + me.t0, back, key=key)
    assert "again" not in r.stdout and "Permission denied" in r.stderr, r
    refused = entries(lab, "agent.sign", "ora")
    assert refused and refused[0]["result"] == "refused" and "bastion" in refused[0]["text"], refused
    # Elsewhere the same key may be used: the client says where, and the server has signed for it.
    port = lab.openssh("elsewhere", authorized=pathlib.Path(str(key) + ".pub").read_text())
    assert agent.ssh("ora@" + me.t0, HOP % port + "deploy@127.0.0.1 echo there", key=key).stdout == "there\n"


def test_a_target_cannot_change_the_users_agent(lab, me, agent):
    key = granted(lab, me, "pia", "--agent", "own")
    agent.add(key)
    r = agent.ssh("pia@" + me.t0, "ssh-add -D; ssh-add -l", key=key)
    assert "SHA256:" in r.stdout, r
    assert entries(lab, "agent.request", "pia")[0]["result"] == "refused"
