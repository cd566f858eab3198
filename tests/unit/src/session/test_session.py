#!/usr/bin/env python3
"""Drives session processes, forked by a real zygote, with OpenSSH's client against OpenSSH's server; world.c plays the
other processes. Usage: test_session.py WORLD ZYGOTE. Each test is one sentence about what a user or the record sees."""
import contextlib, getpass, hashlib, os, shutil, signal, socket, subprocess, sys, tempfile, time, unittest

WORLD, ZYGOTE = sys.argv[1:3]
ME = getpass.getuser()
SSHD = shutil.which('sshd') or '/usr/sbin/sshd'


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def wait_for(what, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.02)
    raise AssertionError('waited in vain')


def answers(port):
    with socket.socket() as s:
        return s.connect_ex(('127.0.0.1', port)) == 0


class Lab:
    """Keys and one real sshd, shared by all tests."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='session-')
        for k in ('host', 'target', 'user', 'ca', 'account', 'inner', 'other'):
            subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', k, '-f', self.path(k)], check=True)
        self.port = free_port()
        with open(self.path('sshd_config'), 'w') as f:
            f.write(f'Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.path("target")}\n'
                    f'AuthorizedKeysFile {self.path("account.pub")}\nTrustedUserCAKeys {self.path("ca.pub")}\n'
                    'PidFile none\nMaxSessions 100\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n'
                    'MaxStartups 1000\nSubsystem sftp internal-sftp\nAcceptEnv LANG LC_*\nPrintMotd no\n')
        if os.geteuid() == 0:
            os.makedirs('/run/sshd', exist_ok=True)
        self.sshd = subprocess.Popen([SSHD, '-D', '-f', self.path('sshd_config'), '-E', self.path('sshd.log')])
        wait_for(lambda: answers(self.port))

    def path(self, name):
        return os.path.join(self.dir, name)

    def stop(self):
        self.sshd.terminate()
        self.sshd.wait()
        shutil.rmtree(self.dir)


class World:
    def __init__(self, lab, *options, conf='', pin='target', target=None, method='cert:'):
        self.lab = lab
        self.port = free_port()
        self.log = lab.path(f'log.{self.port}')
        with open(lab.path('conf'), 'w') as f:
            f.write(f'state_dir {lab.dir}\n{conf}')
        if method == 'cert:':
            method += lab.path('ca')
        self.out = open(self.log, 'w')
        self.proc = subprocess.Popen(
            [WORLD, ZYGOTE, lab.path('conf'), lab.path('host'), str(self.port), f'target={target or lab.port}',
             f'login={ME}', f'userkey={lab.path("user.pub")}', f'innerkey={lab.path("inner")}',
             f'pin={lab.path(pin + ".pub")}', f'method={method}', *options],
            stdin=subprocess.PIPE, stdout=self.out, text=True)
        self.wait_line('READY')

    def lines(self):
        with open(self.log) as f:
            return f.read().splitlines()

    def wait_line(self, start, n=1):
        return wait_for(lambda: (lambda l: l[n - 1:] and l)([x for x in self.lines() if x.startswith(start)]))

    def tell(self, command):
        self.proc.stdin.write(command + '\n')
        self.proc.stdin.flush()
        time.sleep(0)

    def close(self):
        self.proc.stdin.close()
        self.proc.wait(timeout=10)
        self.out.close()

    def argv(self, to, *command, key='user', options=()):
        return ['ssh', '-F', 'none', '-p', str(self.port), '-i', self.lab.path(key), '-o', 'IdentitiesOnly=yes',
                '-o', 'BatchMode=yes', '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o',
                'LogLevel=ERROR', *options, to, *command]

    def ssh(self, to, *command, stdin=b'', **kw):
        return subprocess.run(self.argv(to, *command, **kw), input=stdin, capture_output=True, timeout=60)


LAB = None
TO = f'alice@{ME}@web1@127.0.0.1'
PLAIN = 'alice@127.0.0.1'


class Session(unittest.TestCase):
    def world(self, *options, **kw):
        w = World(LAB, *options, **kw)
        self.addCleanup(w.close)
        return w

    def tearDown(self):
        for name in os.listdir(LAB.dir):
            if name.startswith('log.'):
                with open(LAB.path(name)) as f:
                    text = f.read()
                os.unlink(LAB.path(name))
                self.assertNotIn('BAD', text)

    def check(self, r, code, out=b'', err=None):
        self.assertEqual((r.returncode, r.stdout), (code, out), r.stderr)
        if err is not None:
            self.assertEqual(r.stderr, err)

    def test_output_error_and_exit_status_arrive_apart(self):
        self.check(self.world().ssh(TO, 'echo out; echo err >&2; exit 3'), 3, b'out\n', b'err\n')

    def test_the_order_of_the_record_is_right(self):
        w = self.world()
        w.ssh(TO, 'exit 4')
        w.wait_line('CONN_GONE')
        words = [l.split()[0] for l in w.lines()]
        order = ['TARGET_ASK', 'REC_OPEN', 'CERT_ASK', 'TARGET_STATE', 'REC_CHANNEL', 'REC_CHANNEL_END', 'REC_END']
        self.assertEqual(sorted(order, key=words.index), order)
        self.assertLess(words.index('CHANNEL_ASK'), words.index('REC_CHANNEL'))
        self.assertIn('status=4', next(l for l in w.lines() if l.startswith('REC_CHANNEL_END')))

    def test_a_key_that_the_vault_holds_logs_in(self):
        w = self.world(method='key:' + LAB.path('account'))
        self.check(w.ssh(TO, 'echo in'), 0, b'in\n')
        w.wait_line('SIGN_ASK')

    def test_every_way_in_leads_to_the_same_target(self):
        w = self.world()
        self.check(w.ssh(f'alice#{ME}%web1@127.0.0.1', 'echo a'), 0, b'a\n')
        self.check(w.ssh(PLAIN, 'echo b', options=['-o', f'SetEnv=SALLYPORT_TARGET={ME}@web1']), 0, b'b\n')
        self.check(w.ssh(PLAIN, f'{ME}@web1 echo c'), 0, b'c\n')
        forms = [l.split('form=')[1].split()[0] for l in w.wait_line('TARGET_ASK', 3)]
        self.assertEqual(forms, ['login', 'env', 'exec'])

    def test_a_connection_inside_another_one_is_terminated_and_recorded(self):
        w = self.world()
        proxy = ' '.join(w.argv(PLAIN, options=['-W', 'web1:22']))
        for _ in range(5):      # packets that travel together must not depend on luck
            self.inner(proxy)
        w.wait_line('REC_CHANNEL ', 5)

    def inner(self, proxy):
        r = subprocess.run(['ssh', '-F', 'none', '-o', f'ProxyCommand={proxy}', '-i', LAB.path('user'), '-o',
                            'IdentitiesOnly=yes', '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null',
                            '-o', 'LogLevel=ERROR', f'{ME}@web1', 'echo inner; exit 9'], capture_output=True, timeout=60)
        self.check(r, 9, b'inner\n')

    def test_every_failure_is_one_clear_line(self):
        def line(text):
            return f'sallyport: {text}\n'.encode()
        self.check(self.world().ssh(f'alice@{ME}@nowhere@127.0.0.1', 'true'), 255, b'', line('no such asset: nowhere'))
        self.check(self.world(target=free_port()).ssh(TO, 'true'), 255, b'',
                   line('Cannot connect to web1: connection refused'))
        self.check(self.world('refuse=exec').ssh(TO, 'true'), 255, b'', line('this is not allowed here'))
        self.check(self.world(method='password:wrong').ssh(TO, 'true'), 255, b'',
                   line(f'web1 refused the login of {ME}'))
        self.check(self.world(method='typed').ssh(TO, 'true'), 255, b'', line(
            'web1 wants a password that only you know: name it in the login '
            f'(ssh alice@{ME}@web1@sallyport), or connect with a terminal (ssh -t)'))

    def test_a_wrong_host_key_uses_no_credential(self):
        w = self.world(pin='other')
        self.check(w.ssh(TO, 'true'), 255, b'',
                   b'sallyport: The host key of web1 is not the one that is known for it: not connected\n')
        self.assertTrue(w.wait_line('TARGET_STATE 1'))
        self.assertFalse([l for l in w.lines() if l.startswith(('CERT_ASK', 'SIGN_ASK'))])

    def test_a_stranger_does_not_get_in(self):
        w = self.world()
        r = w.ssh(TO, 'true', key='other')
        self.assertEqual(r.returncode, 255)
        self.assertIn(b'Permission denied', r.stderr)
        self.assertFalse([l for l in w.lines() if l.startswith('TARGET_ASK')])

    def test_odd_login_names_are_refused(self):
        w = self.world()
        for name in ('a' * 10000, 'a\x1b[2Jb', '../etc', 'a@b@c@d', ''):
            self.assertNotEqual(w.ssh('127.0.0.1', 'true', options=['-l', name]).returncode, 0)
        self.assertFalse([l for l in w.lines() if l.startswith('AUTH_ASK')])

    def test_bulk_data_is_the_same_on_the_other_side_also_with_frequent_rekeying(self):
        data = os.urandom(30 << 20)
        for conf in ('', 'rekey_bytes 1048576\n'):
            w = self.world('max=1048576', conf=conf)
            r = w.ssh(TO, 'cat', stdin=data)
            self.assertEqual((r.returncode, hashlib.sha256(r.stdout).digest()), (0, hashlib.sha256(data).digest()))
            end = w.wait_line('REC_END')[0]
            self.assertIn('recorded in=%d out=%d' % (len(data), len(data)), end)    # the recorder decides what it keeps

    def test_input_into_a_command_that_stops_reading_ends_with_it(self):
        w = self.world()
        with open('/dev/zero', 'rb') as zero:
            p = subprocess.Popen(w.argv(TO, 'exec 0<&-; sleep 1; exit 5'), stdin=zero)
            self.assertEqual(p.wait(timeout=30), 5)

    def test_many_channels_of_one_connection_share_one_target(self):
        w = self.world()
        ctl = LAB.path('ctl')
        subprocess.run(w.argv(TO, options=['-M', '-S', ctl, '-fN']), check=True, timeout=30)
        jobs = [subprocess.Popen(['ssh', '-S', ctl, 'x', f'sleep 0.2; exit {i}'], stdin=subprocess.DEVNULL)
                for i in range(20)]
        self.assertEqual([j.wait(timeout=30) for j in jobs[:10]], list(range(10)))
        for j in jobs:
            j.wait(timeout=30)
        for i in range(20):
            self.assertEqual(subprocess.run(['ssh', '-S', ctl, 'x', 'exit 7'], stdin=subprocess.DEVNULL).returncode, 7)
        subprocess.run(['ssh', '-S', ctl, '-O', 'exit', 'x'], stderr=subprocess.DEVNULL, check=True)
        self.assertEqual(len([l for l in w.lines() if l.startswith('TARGET_ASK')]), 1)

    def test_a_kill_says_who_and_why_and_ends_at_once(self):
        for tty in ([], ['-tt']):
            w = self.world()
            p = subprocess.Popen(w.argv(TO, 'echo there; sleep 60', options=tty), stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertIn(b'there', p.stdout.readline())
            start = time.monotonic()
            w.tell('kill out you go')
            out = p.stdout.read()
            self.assertEqual(p.wait(timeout=5), 255)
            self.assertLess(time.monotonic() - start, 1)
            self.assertIn(b'Terminated by admin bob: out you go', out)
            self.assertIn('reason=out you go by=admin bob', w.wait_line('REC_END')[0])
            p.stdin.close()
            p.stdout.close()

    def test_a_session_goes_on_when_control_is_replaced(self):
        w = self.world()
        p = subprocess.Popen(w.argv(TO, 'echo there; read x; echo $x'), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(p.stdout.readline(), b'there\n')
        w.tell('control-dies')
        self.assertIn('login=alice targets=1', w.wait_line('HELLO', 2)[1])
        out, _ = p.communicate(b'still\n', timeout=10)
        self.assertEqual((p.returncode, out), (0, b'still\n'))

    def test_questions_that_control_has_no_room_for_wait_their_turn(self):
        room, local, remote = 64, 60, 16        # room: SP_IPC_QUESTIONS
        w = self.world()
        w.tell('hold')
        with socket.create_server(('127.0.0.1', 0), backlog=128) as far:
            port, conns = free_port(), []
            forwards = ['-L', f'{port}:127.0.0.1:{far.getsockname()[1]}']
            for i in range(remote):
                forwards += ['-R', f'0:127.0.0.1:{i + 1}']

            def connect():
                with contextlib.suppress(OSError):
                    conns.append(socket.create_connection(('127.0.0.1', port), 10))
                    return True
            p = subprocess.Popen(w.argv(TO, options=['-N', *forwards]), stdin=subprocess.DEVNULL)
            self.addCleanup(p.wait)
            self.addCleanup(p.terminate)
            self.addCleanup(lambda: [c.close() for c in conns])
            for _ in range(local):
                wait_for(connect)
            w.wait_line('CHANNEL_ASK', room)
            w.tell('control-dies')              # its successor is asked the same, and again no more at once
            w.wait_line('CHANNEL_ASK', 2 * room)
            w.tell('go')
            self.assertEqual(w.wait_line('HELD'), [f'HELD {room}'])
            w.wait_line('CHANNEL_ASK', room + local + remote)
            far.settimeout(10)
            for _ in range(local):
                far.accept()[0].close()

    def test_a_forward_reaches_its_destination_but_no_ssh_server(self):
        w = self.world()
        with socket.socket() as echo:
            echo.bind(('127.0.0.1', 0))
            echo.listen()
            port, ssh_port = free_port(), free_port()
            p = subprocess.Popen(w.argv(TO, options=['-N', '-L', f'{port}:127.0.0.1:{echo.getsockname()[1]}', '-L',
                                                     f'{ssh_port}:127.0.0.1:{LAB.port}']))
            self.addCleanup(p.wait)
            self.addCleanup(p.terminate)
            wait_for(lambda: answers(port))
            with socket.create_connection(('127.0.0.1', port)) as s:
                echo.settimeout(10)
                while True:     # the probe above came first
                    peer, _ = echo.accept()
                    s.sendall(b'ping')
                    peer.settimeout(2)
                    try:
                        got = peer.recv(4)
                    except TimeoutError:
                        got = b''
                    if got:
                        break
                self.assertEqual(got[:4], b'ping')
                peer.close()
            with socket.create_connection(('127.0.0.1', ssh_port)) as s:
                s.settimeout(10)
                got = b''.join(iter(lambda: s.recv(100), b''))
            self.assertNotIn(b'SSH-', got)

    def test_garbage_instead_of_ssh_ends_quietly(self):
        w = self.world()
        for junk in (b'GET / HTTP/1.0\r\n\r\n', b'\x00' * 4096, b'SSH-1.5-x\r\n', b'SSH-2.0-x\r\n' + b'\xff' * 100000):
            with socket.create_connection(('127.0.0.1', w.port)) as s:
                s.settimeout(10)
                try:
                    s.sendall(junk)
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(4096):
                        pass
                except ConnectionError:
                    pass
        for line in w.wait_line('DIED', 4):
            self.assertNotIn(int(line.split('status=')[1]) & 0x7f, (signal.SIGSEGV, signal.SIGABRT, signal.SIGSYS))

    def test_sftp_and_both_kinds_of_scp_copy_files(self):
        w = self.world()
        with open(LAB.path('file'), 'wb') as f:
            f.write(os.urandom(3 << 20))
        common = w.argv('x')[1:-1]
        common[common.index('-p')] = '-P'
        for extra, out in ((['-O'], 'copy1'), ([], 'copy2')):
            subprocess.run(['scp', '-q', *extra, *common, LAB.path('file'), f'{TO}:{LAB.path(out)}'], check=True, timeout=60)
            with open(LAB.path('file'), 'rb') as a, open(LAB.path(out), 'rb') as b:
                self.assertEqual(a.read(), b.read())


if __name__ == '__main__':
    LAB = Lab()
    try:
        unittest.main(argv=[sys.argv[0]] + sys.argv[3:], verbosity=1)
    finally:
        LAB.stop()
