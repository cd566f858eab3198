"""Files only where the grant says: rules for paths, on what the target makes of a path, with stock clients."""
import os
import struct

import pytest

import lab as L
from test_files import (CREAT, DENIED, FAILURE, OK, READ, SFTP_SERVER, TRUNC, WRITE, Person, found, put_here, s, space, standard)  # noqa: F401
from test_files import q as u64

NO_FILE = 2


@pytest.fixture(scope="module")
def tree(space, lab):
    """in/ may be read and written, ro/ read, drop/ written; out/ is what no rule names. Links lead out and in."""
    root = space[0] / "ruled"
    for d in ("in", "in/sub", "in/closed", "ro", "drop", "out"):
        (root / d).mkdir(parents=True)
    for f in ("in/a", "in/closed/k", "ro/r", "drop/w", "out/secret"):
        (root / f).write_bytes(f.encode())
    (root / "in/out").symlink_to("../out")
    (root / "in/secret").symlink_to("../out/secret")
    (root / "in/dangling").symlink_to(root / "out/new")
    (root / "in/near").symlink_to("a")
    (root / "out/in").symlink_to(root / "in")
    if os.geteuid() == 0:
        uid = dict(L.LAB_USERS)[space[2]]
        for d, folders, files in os.walk(root):
            for n in [d] + [os.path.join(d, x) for x in folders + files]:
                os.chown(n, uid, uid, follow_symlinks=False)
    return root


def rules(tree):
    return ["deny:both:%s/in/closed/**" % tree, "allow:both:%s/in/**" % tree, "allow:read:%s/ro/**" % tree, "allow:write:%s/drop/**" % tree]


@pytest.fixture(scope="module")
def ruled(lab, standard, space, tree):
    return Person(lab, standard, "rula", "--file-path", ",".join(rules(tree)), folder=space[1])


def test_rules_are_checked_when_they_are_saved_and_shown(lab, ruled, tree):
    assert ruled.grant["file_paths"] == rules(tree)
    assert lab.ctl("grant", "show", ruled.grant["id"])["file_paths"] == rules(tree)
    for bad in ("allow:both:srv", "allow:all:/srv", "/srv", "allow:both:/a/../b", "deny:write:/etc/**", "allow:both:/a**"):
        r = lab.ctl_run("grant", "create", "--user", "rula", "--asset", "web1", "--account", "x", "--file-path", bad)
        assert r.returncode != 0 and "allow" in r.stderr, (bad, r)
    r = lab.ctl_run("grant", "create", "--user", "rula", "--asset", "web1", "--account", "x", "--effect", "deny", "--file-path", "allow:both:/a")
    assert r.returncode != 0 and "grants that allow" in r.stderr
    text = lab.ctl_run("grant", "show", ruled.grant["id"]).stdout
    assert "allow:write:" in text


# client: put a local file there; get one from there. Functions of person, remote, local.
CLIENTS = {
    "sftp": (lambda p, there, here: p.sftp("put %s %s" % (here, there)), lambda p, there, here: p.sftp("get %s %s" % (there, here))),
    "sftp-server by its path": (lambda p, there, here: p.sftp("put %s %s" % (here, there), "-s", SFTP_SERVER),
                                lambda p, there, here: p.sftp("get %s %s" % (there, here), "-s", SFTP_SERVER)),
    "scp -s": (lambda p, there, here: p.scp(here, "127.0.0.1:%s" % there, mode="-s"), lambda p, there, here: p.scp("127.0.0.1:%s" % there, here, mode="-s")),
    "psftp": (lambda p, there, here: p.psftp("put %s %s" % (here, there)), lambda p, there, here: p.psftp("get %s %s" % (there, here))),
    "lftp": (lambda p, there, here: p.lftp("put %s -o %s" % (here, there)), lambda p, there, here: p.lftp("get %s -o %s" % (there, here))),
    "paramiko": (lambda p, there, here: paramiko(p, "put", here, there), lambda p, there, here: paramiko(p, "get", there, here)),
}


def paramiko(p, verb, *args):
    with p.paramiko() as c:
        try:
            getattr(c.open_sftp(), verb)(*map(str, args))
        except OSError:
            pass


@pytest.mark.parametrize("client", CLIENTS)
def test_stock_clients_move_files_where_the_rules_say_and_nowhere_else(space, ruled, tree, client):
    put, get = CLIENTS[client]
    here = put_here(space, "sent", b"sent\n")
    for where, written in (("in/sub/new", 1), ("drop/new", 1), ("ro/new", 0), ("out/new", 0), ("in/closed/new", 0), ("in/out/new", 0),
                           ("in/sub/../../out/new", 0), ("in//sub/./new2", 1)):
        there = tree / where
        put(ruled, "%s/%s" % (tree, where), here)
        assert os.path.exists(there) == bool(written), (client, where)
        if written:
            assert there.read_bytes() == b"sent\n"
            there.unlink()
    for where, read in (("in/a", 1), ("ro/r", 1), ("in/near", 1), ("out/in/a", 1), ("drop/w", 0), ("out/secret", 0), ("in/secret", 0),
                        ("in/out/secret", 0), ("in/closed/k", 0), ("in/sub/../closed/k", 0)):
        back = space[1] / "back"
        back.unlink(missing_ok=True)
        get(ruled, "%s/%s" % (tree, where), back)
        got = back.read_bytes() if back.exists() else b""
        assert got == ((tree / where).read_bytes() if read else b""), (client, where)


def test_paths_from_the_home_folder_are_what_the_target_makes_of_them(ruled, tree):
    x = ruled.packets()
    home = x.ask(16, s("."))[1][8:].split(b"\0")[0]
    home = home[:struct.unpack(">I", x.ask(16, s("."))[1][4:8])[0]]
    assert home.startswith(b"/")
    way = os.path.relpath(tree / "in/a", home.decode())
    assert isinstance(x.open(way, READ), bytes)
    assert x.open(way[:-4] + "out/secret", READ) == DENIED and x.open("", READ) == DENIED
    assert x.close()[0] == 0


def test_every_request_with_a_path_is_judged(ruled, tree):
    x = ruled.packets()
    out, inside = tree / "out/secret", tree / "in/a"
    ext = lambda name, *f: (200, s(name), *f)
    for kind, *fields in [
            (17, s(out)), (7, s(out)), (11, s(tree / "out")), (11, s(tree)), (13, s(out)), (14, s(tree / "out/d"), 0), (15, s(tree / "out")),
            (9, s(out), 4, 0o600), (19, s(tree / "out/in")), (18, s(out), s(tree / "in/o")), (18, s(inside), s(tree / "out/o")),
            (20, s(str(out)), s(tree / "in/l")), (20, s(str(inside)), s(tree / "out/l")), (20, s("../out/secret"), s(tree / "in/l")),
            ext("posix-rename@openssh.com", s(out), s(tree / "in/o")), ext("posix-rename@openssh.com", s(inside), s(tree / "out/o")),
            ext("hardlink@openssh.com", s(out), s(tree / "in/l")), ext("hardlink@openssh.com", s(tree / "in/secret"), s(tree / "in/l")),
            ext("hardlink@openssh.com", s(tree / "ro/r"), s(tree / "in/l")), ext("statvfs@openssh.com", s(out)),
            ext("lsetstat@openssh.com", s(out), 4, 0o600), (9, s(tree / "ro/r"), 4, 0o600), (9, s(tree / "in/secret"), 4, 0o600),
            (20, s(str(tree / "drop/w")), s(tree / "in/l"))]:
        assert x.ask(kind, *fields) == DENIED, (kind, fields)
    for flags in (WRITE, WRITE | CREAT | TRUNC, READ | WRITE, CREAT):
        assert x.open(tree / "ro/r", flags) == DENIED
    for flags in (READ, 0, READ | WRITE):
        assert x.open(tree / "drop/w", flags) == DENIED
    assert x.open(tree / "in/dangling", WRITE | CREAT) == DENIED         # it would be made where the link leads
    assert not (tree / "out/new").exists() and sorted(p.name for p in (tree / "out").iterdir()) == ["in", "secret"]
    assert not os.path.lexists(tree / "in/l") and inside.read_bytes() == b"in/a"
    # and what the rules allow works, links as links
    assert x.ask(17, s(inside))[0] == 105 and x.ask(7, s(tree / "in/secret"))[0] == 105 and x.ask(19, s(tree / "in/secret"))[0] == 104
    assert x.ask(20, s(str(inside)), s(tree / "in/l")) == OK and os.readlink(tree / "in/l") == str(inside)
    assert x.ask(13, s(tree / "in/l")) == OK and not os.path.lexists(tree / "in/l") and inside.exists()
    assert x.ask(*ext("hardlink@openssh.com", s(inside), s(tree / "in/h"))) == OK and x.ask(13, s(tree / "in/h")) == OK
    assert x.ask(18, s(inside), s(tree / "in/b")) == OK and x.ask(*ext("posix-rename@openssh.com", s(tree / "in/b"), s(inside))) == OK
    assert x.ask(14, s(tree / "in/d"), 0) == OK and x.ask(15, s(tree / "in/d")) == OK
    assert x.ask(*ext("statvfs@openssh.com", s(inside)))[0] == 201
    assert x.open(tree / "in/none/none", READ) == NO_FILE and x.ask(13, s(tree / "in/none")) == NO_FILE
    assert x.ask(*ext("expand-path@openssh.com", s("~")))[0] == 104
    h = x.open(tree / "ro/r", READ)
    assert x.ask(10, h, 4, 0o600) == DENIED and x.ask(5, h, u64(0), 10)[0] == 103      # fchmod of a file that was opened for reading
    w = x.open(tree / "in/copy", READ | WRITE | CREAT)
    assert x.ask(200, s("copy-data"), h, u64(0), u64(0), w, u64(0)) == OK and (tree / "in/copy").read_bytes() == b"ro/r"
    d = x.open(tree / "drop/copy", WRITE | CREAT)
    assert x.ask(200, s("copy-data"), d, u64(0), u64(0), w, u64(0)) == DENIED
    for h in (h, w, d):
        assert x.ask(4, h) == OK
    assert x.ask(13, s(tree / "in/copy")) == OK and x.ask(13, s(tree / "drop/copy")) == OK
    assert x.close()[0] == 0


def test_a_new_name_opens_nothing_that_was_closed(ruled, tree):
    """Rename of what may be written only into what may be read; and of a folder with something closed in it."""
    x = ruled.packets()
    for rename in ((18,), (200, s("posix-rename@openssh.com"))):
        assert x.ask(*rename, s(tree / "drop/w"), s(tree / "in/w")) == DENIED
        assert x.ask(*rename, s(tree / "in"), s(tree / "in2")) == DENIED
        assert x.ask(*rename, s(tree / "in/closed"), s(tree / "in/open")) == DENIED
        assert x.ask(*rename, s(tree / "in/sub"), s(tree / "in/sub2")) == OK and x.ask(*rename, s(tree / "in/sub2"), s(tree / "in/sub")) == OK
    x.close()


def test_requests_behind_one_that_is_looked_at_keep_their_order(ruled, tree):
    """64 at once: opens here and there, each with its own answer, and the numbers that the session uses itself among them."""
    x = ruled.packets()
    first = 0xa0000000
    names = ["in/a", "out/secret", "in/near", "in/none", "ro/r", "drop/w", "in/out/secret", "in/closed/k"] * 8
    x.p.stdin.write(b"".join(struct.pack(">IBI", len(s(tree / n)) + 13, 3, first + i) + s(tree / n) + struct.pack(">II", READ, 0) for i, n in enumerate(names)))
    x.p.stdin.flush()
    want = {"in/a": 102, "in/near": 102, "ro/r": 102, "in/none": NO_FILE}
    for i, n in enumerate(names):
        kind, body = x.read()
        number, code = struct.unpack(">II", body[:8])
        assert number == first + i and (kind if kind == 102 else code) == want.get(n, DENIED), (i, n, kind, code)
    assert x.close()[0] == 0


def test_the_end_of_input_waits_for_what_is_looked_at(ruled, tree):
    x = ruled.packets()
    x.send(14, struct.pack(">I", 9) + s(tree / "in/last") + struct.pack(">I", 0))
    assert x.close()[0] == 0            # the server may leave without an answer, but it got the request
    L.wait_for("the folder", (tree / "in/last").is_dir)
    (tree / "in/last").rmdir()


def test_programs_whose_paths_cannot_be_checked_are_refused(space, ruled, tree):
    here = put_here(space, "old", b"x")
    for r in (ruled.scp(here, "127.0.0.1:%s/in/o" % tree), ruled.scp("127.0.0.1:%s/in/a" % tree, here), ruled.rsync(here, "127.0.0.1:%s/in/o" % tree),
              ruled.ssh("git-upload-pack", "'%s/in/r.git'" % tree), ruled.ssh("git", "upload-pack", "x")):
        assert r.returncode != 0 and b"limits files to certain paths" in r.stderr, r
    assert not (tree / "in/o").exists()


def test_scp_in_its_old_protocol_goes_in_a_way_that_is_open_everywhere(lab, standard, space, tree):
    p = Person(lab, standard, "rudi", "--file-path", "deny:write:%s/ro/**,allow:both:/**" % tree, folder=space[1])
    here = space[1] / "rudi"
    assert p.scp("127.0.0.1:%s/ro/r" % tree, here).returncode == 0 and here.read_bytes() == b"ro/r"
    r = p.scp(here, "127.0.0.1:%s/in/rudi" % tree)
    assert r.returncode != 0 and b"without -O" in r.stderr and not (tree / "in/rudi").exists()
    r = p.scp(here, "127.0.0.1:%s/in/rudi" % tree, mode="-s")
    assert r.returncode == 0 and (tree / "in/rudi").read_bytes() == b"ro/r"
    (tree / "in/rudi").unlink()


def test_a_path_that_is_taken_away_holds_in_the_live_session(lab, standard, space, tree):
    p = Person(lab, standard, "rita", folder=space[1])
    x = p.packets()
    h = x.open(tree / "in/a", READ)
    r = x.open(os.path.relpath(tree / "in/a", tree / "in"), READ)
    (tree / "ro/way").symlink_to("../out/secret")
    way = x.open(tree / "ro/way", READ)
    assert isinstance(h, bytes) and isinstance(way, bytes) and r == NO_FILE
    lab.ctl("grant", "create", "--user", "rita", "--asset", "web1", "--account", "*", "--file-path", "allow:read:%s/ro/**" % tree)
    lab.ctl("grant", "delete", p.grant["id"])
    L.wait_for("the new rules", lambda: x.ask(5, h, u64(0), 10) == DENIED)
    assert x.ask(5, way, u64(0), 10) == DENIED          # where its name leads nobody asked when it was opened
    (tree / "ro/way").unlink()
    assert x.open(tree / "in/a", READ) == DENIED and isinstance(x.open(tree / "ro/r", READ), bytes)
    assert x.ask(4, h) == OK and x.close()[0] == 0


BARE = """import struct, sys
def out(kind, number, body): sys.stdout.buffer.write(struct.pack(">IBI", len(body) + 5, kind, number) + body); sys.stdout.buffer.flush()
def take(n):
    b = sys.stdin.buffer.read(n)
    return b if len(b) == n else sys.exit(0)
while True:
    b = take(struct.unpack(">I", take(4))[0])
    kind, number = struct.unpack(">BI", b[:5])
    path = b[9:9 + struct.unpack(">I", b[5:9])[0]] if len(b) > 9 else b""
    if kind == 1: out(2, 3, b"")
    elif kind == 16: out(104, number, struct.pack(">II", 1, len(path)) + path + struct.pack(">II", 0, 0))
    elif kind == 7: out(105, number, struct.pack(">II", 4, 0o644 if b"bare" in path else 0o40755))
    elif kind == 3: out(102, number, struct.pack(">I", 1) + b"h")
    else: out(101, number, struct.pack(">III", 8, 0, 0))
"""


def test_a_target_that_leaves_out_what_is_a_link_is_refused(lab, standard, space):
    """Its REALPATH follows no links and its modes have no type: nobody knows where a path leads."""
    (space[0] / "bare.py").write_text(BARE)
    (space[0] / "bare.py").chmod(0o644)
    port = lab.openssh("bare", ca_pub=lab.ctl("ca", "show", "demo-ca")["public_key"], extra="ForceCommand /usr/bin/python3 %s/bare.py\n" % space[0])
    lab.ctl("asset", "create", "bare", "--address", "127.0.0.1", "--port", port)
    lab.ctl("account", "create", space[2] + "@bare", "--ca", "demo-ca")
    p = Person(lab, standard, "rosa", "--file-path", "allow:both:/srv/**", target="%s@bare" % space[2], folder=space[1])
    x = p.packets()
    assert isinstance(x.open("/srv/a", READ), bytes)
    assert x.open("/srv/bare", READ) == DENIED and x.open("/srv/bare/a", READ) == DENIED
    x.close()


def test_the_log_says_which_path_and_why(ruled, tree):
    ruled.sftp("-get %s/in/secret /dev/null\nget %s/in/near /dev/null\n" % (tree, tree))
    rows = L.wait_for("both", lambda: (lambda r: r if any(x["path"] == "%s/in/a" % tree for x in r) else None)(found(ruled, "--path", "ruled/in/")))
    refused = [r for r in rows if r["path"] == "%s/in/secret" % tree and r["result"] == "refused"]
    assert any("looking at %s/out/secret" % tree in r["why"] for r in refused), refused
    assert any(r["op"] == "download" and r["path"] == "%s/in/a" % tree and r["result"] == "ok" for r in rows)     # where the link led
