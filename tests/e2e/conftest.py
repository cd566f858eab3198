"""One installation per test file (they run in parallel), with the standard users, servers and grants of tests/lab."""
import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parent.parent
sys.path.insert(0, str(REPO / "tests" / "lab"))
import lab as L  # noqa: E402

BUILD = pathlib.Path(os.environ.get("SALLYPORT_BUILD", REPO / "build" / "release"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp(request.module.__name__)
    for p in [folder, *folder.parents]:      # processes and servers that give up root must get at their files
        if p != pathlib.Path("/tmp") and str(p).startswith("/tmp") and p.stat().st_uid == os.geteuid():
            p.chmod(0o755)
    with L.Lab(folder, BUILD, config=getattr(request.module, "CONFIG", None)) as lab:
        lab.info = L.standard(lab)
        yield lab
        if request.session.testsfailed:
            print("\n".join(lab.log("sallyport").splitlines()[-80:]))


@pytest.fixture
def me(lab):
    """What most tests need: run ssh as the standard user to the first target."""
    info = lab.info

    class Me:
        user, key = info["user"], info["user_key"]
        t0, t1 = info["targets"]
        to0, to1 = "%s@%s" % (info["user"], info["targets"][0]), "%s@%s" % (info["user"], info["targets"][1])

        @staticmethod
        def ssh(*args, login=None, **kw):
            return lab.ssh(login or Me.to0, *args, key=Me.key, **kw)

        @staticmethod
        def live():
            return [s for s in lab.ctl("session", "list") if s["state"] == "live"]
    return Me
