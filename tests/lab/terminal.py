"""A terminal as a person has it: a program inside tmux, keys typed into it, and the screen that came of it."""
import itertools
import os
import shlex
import subprocess

import lab as L

_count = itertools.count()


class Terminal:
    """Terminal(argv, cols, rows): screen() is what is visible, raw() every byte that the program sent to it."""

    def __init__(self, folder, argv, cols=80, rows=24, env=None):
        self.sock = "/tmp/sp-tmux-%d-%d" % (os.getpid(), next(_count))
        self.log = os.path.join(str(folder), "terminal-%d.raw" % next(_count))
        status = self.log + ".status"
        self.status_file = status
        open(self.log, "wb").close()
        # The shell waits for a line from us: nothing is printed before the pipe that keeps the raw bytes is in place.
        go = "read -r _; stty echo; clear; %s; printf %%s $? >%s; read -r _" % (" ".join(map(shlex.quote, map(str, argv))), shlex.quote(status))
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", str(cols), "-y", str(rows), "stty -echo; exec sh -c %s" % shlex.quote(go),
                   env=env)
        self._tmux("set", "-g", "status", "off")
        self._tmux("set", "-g", "window-size", "manual")
        self._tmux("resize-window", "-x", str(cols), "-y", str(rows))
        self._tmux("pipe-pane", "-o", "cat >>" + shlex.quote(self.log))
        self._tmux("send-keys", "Enter")

    def _tmux(self, *args, env=None):
        e = {k: v for k, v in os.environ.items() if not k.startswith("TMUX")}
        e.update(LC_ALL="C.UTF-8", TERM="xterm-256color")
        e.update(env or {})
        return subprocess.run(["tmux", "-u", "-S", self.sock, *args], capture_output=True, text=True, timeout=20, check=True, env=e).stdout

    def type(self, text):
        self._tmux("send-keys", "-l", "--", text)

    def key(self, *names):
        """Keys by tmux's names: Enter, C-d, Tab, Up, BSpace ..."""
        self._tmux("send-keys", *names)

    def line(self, text):
        self.type(text)
        self.key("Enter")

    def resize(self, cols, rows):
        self._tmux("resize-window", "-x", str(cols), "-y", str(rows))

    def screen(self):
        return "\n".join(s.rstrip() for s in self._tmux("capture-pane", "-p").split("\n")).strip("\n")

    def raw(self):
        with open(self.log, "rb") as f:
            return f.read()

    def wait(self, *texts, seconds=15):
        """Until all texts are on the screen, which is returned; the screen is told when they do not come."""
        try:
            return L.wait_for("%r" % (texts,), lambda: (lambda s: s if all(t in s for t in texts) else None)(self.screen()), seconds)
        except TimeoutError:
            raise AssertionError("%r is not on the screen:\n%s" % (texts, self.screen())) from None

    def wait_gone(self, text, seconds=15):
        L.wait_for("%r to go" % text, lambda: text not in self.screen(), seconds)

    def status(self, seconds=15):
        """Exit status of the program, once it has ended."""
        return int(L.wait_for("the end", lambda: os.path.exists(self.status_file) and open(self.status_file).read(), seconds))

    def ended(self):
        return os.path.exists(self.status_file)

    def show(self, title):
        print("\n-- %s\n%s\n--" % (title, self.screen()))

    def close(self):
        try:
            self._tmux("kill-server")
        except subprocess.SubprocessError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
