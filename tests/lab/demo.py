#!/usr/bin/env python3
"""./dev demo: start an installation with two SSH servers behind it, say how to log in, stay until Ctrl-C."""
import argparse
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as L  # noqa: E402
import tour as T  # noqa: E402


def stop(folder):
    """End an earlier demo by the process groups that it wrote down; only if they are still ours."""
    pids = folder / "pids"
    if not pids.exists():
        return False
    mine = []
    for line in pids.read_text().split("\n"):
        if not line:
            continue
        pid, start = line.split()
        if process_start(int(pid)) == start:
            mine.append((int(pid), start))
    for pid, _ in mine:
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 20
    while any(process_start(p) == s for p, s in mine) and time.monotonic() < end:
        time.sleep(0.05)
    for pid, s in mine:
        if process_start(pid) == s:
            os.killpg(pid, signal.SIGKILL)
    pids.unlink()
    forget(folder)
    return True


def forget(folder):
    """Remove the folder in /tmp of a demo that could not keep its data in its own."""
    for line in (folder / "env").read_text().splitlines():
        name, _, value = line.partition("=")
        data = pathlib.Path("".join(shlex.split(value)))
        if name == "SALLYPORT_DATA" and data.parent == pathlib.Path("/tmp") and data.name.startswith(L.PREFIX):
            shutil.rmtree(data, ignore_errors=True)


def process_start(pid):
    try:
        fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()
        return None if fields[0] == "Z" else fields[19]
    except OSError:
        return None


def ctl_words(lab):
    """How to call the command line, for a shell that splits a variable at blanks: none may be in a path."""
    argv = lab.ctl_argv()
    if len(argv[0].split()) > 1:
        link = lab.data / "sallyport"
        link.symlink_to(argv[0])
        argv[0] = str(link)
    return " ".join(argv)


def write_env(lab, info, folder):
    ctl = ctl_words(lab)
    rows = {"SALLYPORT_SSH_PORT": str(lab.port), "SALLYPORT_CTL": ctl, "SALLYPORT_USER": info["user"],
            "SALLYPORT_USER_KEY": str(info["user_key"]), "SALLYPORT_ADMIN": info["admin"],
            "SALLYPORT_ADMIN_KEY": str(info["admin_key"]), "SALLYPORT_TARGETS": " ".join(info["targets"]),
            "SALLYPORT_KNOWN_HOSTS": str(lab.known_hosts), "SALLYPORT_DATA": str(lab.data),
            "SALLYPORT_AUDITOR_KEY": str(info["auditor_key"])}
    (folder / "env").write_text("".join("%s=%s\n" % (k, shlex.quote(v)) for k, v in rows.items()))


def short(path):
    return min(os.path.relpath(path), str(path), key=len)


def greet(lab, info, folder):
    key = short(info["user_key"])
    kh = short(lab.known_hosts)
    base = "ssh -p %d -i %s -o IdentitiesOnly=yes -o UserKnownHostsFile=%s" % (lab.port, key, kh)
    t0, t1 = info["targets"]
    print("""
Sallyport is up on 127.0.0.1:%d with two servers behind it. Nobody here holds their credentials.

  the menu             %s %s@127.0.0.1
  straight to one      %s %s@%s@127.0.0.1
  the other, a command %s %s@%s@127.0.0.1 id
  commands over SSH    %s %s@127.0.0.1 -- whoami
  as an administrator  %s %s@127.0.0.1 -- user list
  as a jump host       ssh -o ProxyCommand='%s -W %%h:%%p %s@127.0.0.1' -o UserKnownHostsFile=%s %s

  who is in            . %s/env; $SALLYPORT_CTL session list
  watch, cut           $SALLYPORT_CTL session watch ID    $SALLYPORT_CTL session kill ID
  play a recording     $SALLYPORT_CTL session play ID --key $SALLYPORT_AUDITOR_KEY
  refused commands     type su or reboot on a server; the third one disables %s: $SALLYPORT_CTL user enable %s
""" % (lab.port, base, info["user"], base, info["user"], t0, base, info["user"], t1, base, info["user"],
       base.replace(key, short(info["admin_key"])), info["admin"], base, info["user"], kh, t0, os.path.relpath(folder), info["user"],
       info["user"]), flush=True)


def main():
    ap = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    ap.add_argument("--build", required=True, help=argparse.SUPPRESS)
    ap.add_argument("--dir", required=True, help=argparse.SUPPRESS)
    ap.add_argument("--detach", action="store_true", help="return when everything answers; run/demo/env says how to use it")
    ap.add_argument("--stop", action="store_true", help="end a demo that was started with --detach")
    ap.add_argument("--tour", action="store_true", help="walk through the features; fails if one does not behave")
    ap.add_argument("--port", type=int, default=0, help="SSH port (default: 2222, or a free one)")
    a = ap.parse_args()
    folder = pathlib.Path(a.dir).absolute()
    stopped = stop(folder)
    if a.stop:
        print("stopped" if stopped else "no demo is running")
        return 0
    shutil.rmtree(folder, ignore_errors=True)
    lab = L.Lab(folder, a.build)
    lab.port = a.port or (L.free_port() if a.tour or L.port_open(2222) else 2222)
    try:
        info = L.standard(lab)
        L.starter(lab, info["user"])
        write_env(lab, info, folder)
        if a.tour:
            return T.walk(lab, info)
        (folder / "pids").write_text("".join("%d %s\n" % (p.pid, process_start(p.pid)) for p in reversed(list(lab.procs.values()))))
        greet(lab, info, folder)
        if a.detach:
            lab.procs.clear()
            return 0
        signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        while lab.procs["sallyport"].poll() is None:
            time.sleep(0.3)
        print("Sallyport ended:\n" + lab.log("sallyport")[-2000:], file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopping")
        return 0
    except (RuntimeError, TimeoutError, subprocess.SubprocessError) as e:
        print("demo: %s" % e, file=sys.stderr)
        return 1
    finally:
        if not (a.detach and (folder / "pids").exists() and not lab.procs):
            (folder / "pids").unlink(missing_ok=True)
            lab.close()


if __name__ == "__main__":
    sys.exit(main())
