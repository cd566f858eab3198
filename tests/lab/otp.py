"""One-time codes as an authenticator app makes them, and a client that is asked for them."""
import base64
import hashlib
import hmac
import os
import struct
import subprocess
import time


def code(secret, step):
    h = hmac.new(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1).digest()
    at = h[19] & 15
    return "%06d" % ((struct.unpack(">I", h[at:at + 4])[0] & 0x7fffffff) % 1000000)


class App:
    """An enrolled user's authenticator. next() gives a code that was not used before and is good for 30 s at least: the
    one of now, the one after it, and then recovery codes, so that no test waits for the clock."""

    def __init__(self, lab, login, confirm=True):
        self.lab, self.login = lab, login
        out = lab.ctl("user", "totp", "enrol", login)
        self.secret, self.uri, self.recovery = out["secret"], out["uri"], out["recovery"]
        self.spent = 0                  # recovery codes that next() gave, from the end of the list
        self.last = 0
        if confirm:
            lab.ctl("user", "totp", "confirm", login, "--code-stdin", stdin=self.next() + "\n")

    def next(self):
        now = int(time.time()) // 30
        if self.last > now:
            self.spent += 1
            return self.recovery[-self.spent]
        self.last = max(self.last + 1, now)
        return code(self.secret, self.last)

    def wrong(self):
        now = int(time.time()) // 30
        near = {code(self.secret, s) for s in range(now - 3, now + 5)}
        return next(c for c in ("%06d" % i for i in range(1000)) if c not in near)


def asked(lab, login, *args, key, answers, options=(), program="ssh", timeout=60, stdin=None):
    """Run a stock client that finds its answers through SSH_ASKPASS, one per question. Returns (process, questions)."""
    d = lab.dir / ("ask-%d-%d" % (os.getpid(), time.monotonic_ns()))
    d.mkdir()
    for i, a in enumerate(answers):
        (d / ("a%d" % i)).write_text(a + "\n")
    script = d / "askpass"
    script.write_text('#!/bin/sh\nn=$(ls "%s" | grep -c "^q")\nprintf %%s "$1" >"%s/q$n"\ncat "%s/a$n"\n' % (d, d, d))
    script.chmod(0o755)
    opts = [o.replace("BatchMode=yes", "BatchMode=no") for o in lab.ssh_options(key)]
    opts += ["-o", "PreferredAuthentications=publickey,keyboard-interactive", *options]
    if program == "ssh":
        argv = ["ssh", *opts, "-p", str(lab.port), "-l", login, "127.0.0.1", *args]
    else:
        argv = [program, *opts, "-P", str(lab.port), *args]
    env = dict(os.environ, SSH_ASKPASS=str(script), SSH_ASKPASS_REQUIRE="force", DISPLAY="none:0")
    p = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, env=env, start_new_session=True,
                       **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}))
    return p, [f.read_text() for f in sorted(d.glob("q*"))]
