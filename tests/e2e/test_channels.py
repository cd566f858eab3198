"""What a stock SSH client expects of a channel: streams apart, exit status, signals, environment, sizes, sharing."""
import hashlib
import os
import re
import shlex
import socket
import subprocess
import threading
import time

import pytest

import lab as L


def test_stdout_stderr_and_exit_status_come_back_apart(me):
    r = me.ssh("echo out; echo err >&2; exit 42")
    assert (r.stdout, r.returncode) == ("out\n", 42)
    assert r.stderr == "err\n"


def test_exit_status_zero_without_output(me):
    r = me.ssh("true")
    assert (r.stdout, r.stderr, r.returncode) == ("", "", 0)


def test_death_by_signal_is_told_to_the_client(me):
    r = me.ssh("kill -TERM $$")
    assert r.returncode != 0
    assert "SIG" not in r.stdout


def test_standard_input_reaches_the_command_and_its_end_too(me):
    r = me.ssh("cat; echo end", stdin="one\ntwo\n")
    assert r.stdout == "one\ntwo\nend\n"


def test_input_sent_before_the_target_is_open_is_not_lost(me):
    data = os.urandom(700_000)
    r = me.ssh("sha256sum", stdin=data, text=False)
    assert r.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 32767, 32768, 1_280_001, 9_999_999])
def test_bytes_come_back_unchanged(me, size):
    data = os.urandom(size)
    r = me.ssh("cat", stdin=data, text=False)
    assert r.returncode == 0 and hashlib.sha256(r.stdout).digest() == hashlib.sha256(data).digest()


def test_more_than_four_gibibytes_pass_through_one_channel(me):
    n = (4 << 30) + 12345
    p = subprocess.Popen(me_argv(me, "head -c %d /dev/zero" % n), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    got = 0
    while chunk := p.stdout.read(1 << 20):
        got += len(chunk)
    assert p.wait(30) == 0 and got == n


def me_argv(me, *args, **kw):
    return me.lab_argv(*args, **kw)


@pytest.fixture(autouse=True)
def _argv(lab, me):
    me.lab_argv = staticmethod(lambda *args, login=None, options=(): lab.ssh_argv(login or me.to0, *args, key=me.key, options=options))


def test_a_terminal_has_the_size_of_the_client_and_follows_it(me, lab):
    import fcntl, pty, struct, termios
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 101, 0, 0))
    p = subprocess.Popen(me.lab_argv("stty size; while :; do read x; stty size; done", options=["-tt"]), stdin=slave, stdout=slave, stderr=slave,
                         start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    out = read_until(master, b"31 101")
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    os.kill(p.pid, 28)
    # Which of the two reaches the target's terminal first is not told: the size is asked for until it has come.
    for _ in range(60):
        os.write(master, b"\n")
        out += read_until(master, b"\r\n")
        if b"40 120" in out:
            break
        time.sleep(0.1)
    assert b"40 120" in out, out
    p.kill()
    p.wait(10)
    os.close(slave)
    os.close(master)


def read_until(fd, needle, seconds=15):
    import select
    out, end = b"", time.monotonic() + seconds
    while needle not in out:
        left = end - time.monotonic()
        assert left > 0, "waited for %r, got %r" % (needle, out)
        if select.select([fd], [], [], left)[0]:
            try:
                out += os.read(fd, 65536)
            except OSError:
                raise AssertionError("ended before %r: %r" % (needle, out)) from None
    return out


def test_the_terminal_type_and_modes_arrive(me):
    env = dict(os.environ, TERM="vt220")
    p = subprocess.run(["script", "-qec", " ".join(map(sh_quote, me.lab_argv("echo $TERM", options=["-tt"]))), "/dev/null"],
                       capture_output=True, text=True, timeout=30, env=env, stdin=subprocess.DEVNULL)
    assert "vt220" in p.stdout


def sh_quote(s):
    import shlex
    return shlex.quote(str(s))


def test_allowed_environment_passes_and_other_names_do_not(me):
    r = me.ssh("echo $LC_SALLY-$SALLYTEST_X", options=["-o", "SetEnv=LC_SALLY=yes SALLYTEST_X=no"])
    assert r.stdout == "yes-\n"


def test_one_connection_carries_many_channels(me, lab, tmp_path):
    sock = "/tmp/sp-cm-%d" % os.getpid()
    master = subprocess.Popen(me.lab_argv("-N", options=["-M", "-S", sock, "-o", "ControlPersist=no"]), stdin=subprocess.DEVNULL)
    try:
        L.wait_for("the master", lambda: os.path.exists(sock))
        before = len(me.live())
        jobs = [subprocess.Popen(me.lab_argv("echo %d; sleep 0.2; exit %d" % (i, i), options=["-S", sock]), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, text=True) for i in range(10)]
        for i, j in enumerate(jobs):
            out, _ = j.communicate(timeout=30)
            assert (out, j.returncode) == ("%d\n" % i, i)
        assert len(me.live()) <= before + 1
    finally:
        master.terminate()
        master.wait()


def test_keys_are_renewed_in_the_middle_of_a_stream(me):
    data = os.urandom(6_000_000)
    r = me.ssh("cat", stdin=data, text=False, options=["-o", "RekeyLimit=1M"])
    assert r.returncode == 0 and hashlib.sha256(r.stdout).digest() == hashlib.sha256(data).digest()


def test_a_client_that_stops_reading_holds_nobody_else_up(me):
    slow = subprocess.Popen(me.lab_argv("yes | head -c 200000000"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        slow.stdout.read(1000)
        assert me.ssh("echo quick", timeout=20).stdout == "quick\n"
    finally:
        slow.kill()
        slow.wait()


def test_strict_key_exchange_is_in_force_towards_the_client(me):
    r = me.ssh("true", options=["-vvv", "-o", "Ciphers=chacha20-poly1305@openssh.com"])
    assert "strict KEX ordering" in r.stderr
    assert re.search(r"kex-strict-s-v00@openssh\.com", r.stderr)


def test_the_version_line_is_one_that_clients_know(lab):
    """By it libssh, AsyncSSH and ssh2 order the arguments of an SFTP symlink, which an OpenSSH behind us would else make the wrong way."""
    with socket.create_connection(("127.0.0.1", lab.port), 10) as s:
        line = s.makefile("rb").readline()
    assert re.fullmatch(rb"SSH-2\.0-OpenSSH_9\.\d Sallyport\r\n", line), line


@pytest.mark.parametrize("way", ["login name", "jump"])
def test_a_command_whose_output_nobody_reads_any_more_ends(lab, me, way):
    """ssh ... yes | head -1: the client tells it to a server that it knows (eow@openssh.com), and that goes on to the target."""
    argv = lab.ssh_argv(me.to0, "yes", key=me.key)
    if way == "jump":
        account, asset = me.t0.split("@")
        outer = shlex.join(["ssh", *lab.ssh_options(me.key), "-p", str(lab.port), "-W", "%h:%p", "-l", me.user, "127.0.0.1"])
        argv = ["ssh", *lab.ssh_options(me.key), "-o", "ProxyCommand=" + outer, "-l", account, asset, "yes"]
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert p.stdout.readline() == b"y\n"
        p.stdout.close()
        p.wait(60)
    finally:
        p.kill()
        p.wait()
    L.wait_for("the session ends", lambda: not me.live())


@pytest.mark.parametrize("option", ["KexAlgorithms=diffie-hellman-group14-sha1", "Ciphers=aes128-cbc", "MACs=hmac-sha1"])
def test_old_algorithms_are_refused(me, option):
    r = me.ssh("true", options=["-o", option] + (["-o", "Ciphers=aes256-ctr"] if "MACs" in option else []))
    assert r.returncode == 255 and "no matching" in r.stderr


@pytest.mark.parametrize("option", ["Ciphers=aes256-gcm@openssh.com", "Ciphers=aes128-gcm@openssh.com", "Ciphers=chacha20-poly1305@openssh.com",
                                    "Ciphers=aes256-ctr", "KexAlgorithms=curve25519-sha256", "KexAlgorithms=ecdh-sha2-nistp256"])
def test_modern_algorithms_work(me, option):
    assert me.ssh("echo ok", options=["-o", option]).stdout == "ok\n"


def test_sixteen_commands_at_once_on_their_own_connections(me):
    jobs = [subprocess.Popen(me.lab_argv("echo %d" % i), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) for i in range(16)]
    assert [j.communicate(timeout=60)[0] for j in jobs] == ["%d\n" % i for i in range(16)]
