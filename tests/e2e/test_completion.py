"""Completion in the shells that people type in: zsh and fish, with the scripts that the package installs and the Tab key.
(bash: test_admin.py.)"""
import os
import shutil
import subprocess

import pytest

import lab as L
from terminal import Terminal


@pytest.fixture(scope="module")
def scripts(lab):
    """The completion files under the names that they are installed as, and `sallyport` on the path."""
    made = lab.build / "packaging" / "completion"
    d = lab.dir / "shells"
    d.mkdir()
    (d / "sallyport").symlink_to(lab.exe("sallyport"))
    for f in ("_sallyport", "sallyport.fish"):
        shutil.copy(made / f, d / f)
    lab.ctl("asset", "create", "webshop", "--address", "10.1.2.3")
    lab.ctl("asset", "create", "数据库", "--address", "10.1.2.4")
    return d


def environment(lab, scripts):
    return dict(os.environ, SALLYPORT_SOCKET=str(lab.socket), PATH="%s:%s" % (scripts, os.environ["PATH"]), HOME=str(scripts),
                XDG_CONFIG_HOME=str(scripts / "config"), XDG_DATA_HOME=str(scripts / "data"), LC_ALL="C.UTF-8")


def fish(lab, scripts, line):
    """What fish offers at the end of the line: words, and what it says beside them."""
    r = subprocess.run(["fish", "--no-config", "-c", "source %s; complete -C %s" % (scripts / "sallyport.fish", '"%s"' % line)],
                       capture_output=True, text=True, timeout=30, env=environment(lab, scripts))
    assert r.returncode == 0 and r.stderr == "", r
    return dict((w.split("\t") + [""])[:2] for w in r.stdout.splitlines())


def test_fish_offers_nouns_verbs_options_and_names(lab, scripts):
    assert {"user", "session", "vault", "doctor"} <= set(fish(lab, scripts, "sallyport "))
    assert set(fish(lab, scripts, "sallyport ses")) == {"session"}
    assert {"list", "show", "watch", "kill"} <= set(fish(lab, scripts, "sallyport session "))
    assert {"--user", "--asset", "--protocol"} <= set(fish(lab, scripts, "sallyport grant create --"))
    web = fish(lab, scripts, "sallyport asset show web")
    assert set(web) == {"web1", "webshop"} and web["webshop"] == "10.1.2.3"
    assert set(fish(lab, scripts, "sallyport asset show 数")) == {"数据库"}
    assert set(fish(lab, scripts, "sallyport grant create --user al")) == {"alice"}


def test_fish_offers_files_where_a_file_is_wanted(lab, scripts):
    (scripts / "some.key").touch()
    got = fish(lab, scripts, "sallyport account create root@webshop --key-file %s/some" % scripts)
    assert any(w.endswith("/some.key") for w in got), got


def test_zsh_completes_at_the_tab_key(lab, scripts):
    with Terminal(lab.dir, ["zsh", "-f", "-i"], cols=110, env=environment(lab, scripts)) as t:
        t.line("PS1='z''> '; fpath=(%s $fpath); autoload -U compinit; compinit -D -u; clear; print rea''dy" % scripts)
        t.wait("ready\nz>")
        t.type("sallyport ses")
        t.key("Tab")
        t.wait("z> sallyport session")
        t.key("C-u")
        t.type("sallyport asset show web")
        t.key("Tab")
        t.wait("web1", "webshop", "10.1.2.3")
        t.type("s")
        t.key("Tab")
        t.wait("z> sallyport asset show webshop")
        t.key("C-u")
        t.type("sallyport asset show 数")
        t.key("Tab")
        t.wait("z> sallyport asset show 数据库")
        t.key("C-u")
        t.type("sallyport grant create --us")
        t.key("Tab")
        t.wait("z> sallyport grant create --user")
        t.show("zsh")
