"""What a certificate of the vault opens at a real sshd, and what not: another source address, after its end, another name, a key that
is not its own. A session never lets go of its certificate, so these come from the vault itself (tests/unit/src/vault/issue.c)."""
import calendar
import os
import re
import subprocess
import time

import pytest

import lab as L


@pytest.fixture(scope="module")
def issued(lab):
    """Certificates for one key, and an sshd on 127.0.0.1 that trusts who made them."""
    d = lab.dir / "issued"
    d.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", d / "key"], check=True)
    lab.who = lab.account_names()[0]
    rows = [("good", lab.who, "127.0.0.1", 300), ("elsewhere", lab.who, "127.0.0.2", 300), ("net", lab.who, "127.0.0.0/29", 300),
            ("other", "somebody", "127.0.0.1", 300), ("short", lab.who, "127.0.0.1", 2)]
    lab.issued = time.time()
    r = subprocess.run([lab.build / "tests/unit/src/vault/vault_issue", d, d / "key.pub", *(str(w) for row in rows for w in row)],
                       capture_output=True, text=True, timeout=60, env=dict(os.environ, SALLYPORT_VAULT=str(lab.exe("sallyport-vault"))))
    assert r.returncode == 0, r
    lab.openssh("certs", ca_pub=(d / "ca.pub").read_text())
    return d


def use(lab, issued, name, source, key="key"):
    return subprocess.run(["ssh", "-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
                           "-o", "IdentityAgent=none", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR", "-b", source, "-i", issued / key,
                           "-o", "CertificateFile=%s" % (issued / (name + "-cert.pub")), "-p", str(lab.targets["certs"]), "-l", lab.who, "127.0.0.1",
                           "echo in"], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)


def refused(lab, issued, name, source, why):
    before = len(lab.log("certs"))
    r = use(lab, issued, name, source)
    assert r.returncode == 255 and r.stdout == "" and "Permission denied" in r.stderr, r
    said = L.wait_for("the reason in sshd's log", lambda: [x for x in lab.log("certs")[before:].splitlines() if re.search(why, x)])
    print(said[0])


def test_sshd_takes_a_certificate_from_its_source_address_only(lab, issued):
    assert use(lab, issued, "good", "127.0.0.1").stdout == "in\n"
    refused(lab, issued, "good", "127.0.0.2", "permitted source address")
    assert use(lab, issued, "elsewhere", "127.0.0.2").stdout == "in\n"
    refused(lab, issued, "elsewhere", "127.0.0.1", "permitted source address")
    assert use(lab, issued, "net", "127.0.0.6").stdout == "in\n"
    refused(lab, issued, "net", "127.0.0.9", "permitted source address")


def test_sshd_refuses_a_certificate_after_its_end(lab, issued):
    def end(name):
        said = subprocess.run(["ssh-keygen", "-L", "-f", issued / (name + "-cert.pub")], capture_output=True, text=True, check=True,
                              env=dict(os.environ, TZ="UTC")).stdout
        return calendar.timegm(time.strptime(re.search(r"Valid: from \S+ to (\S+)", said).group(1), "%Y-%m-%dT%H:%M:%S"))

    assert abs(end("good") - lab.issued - 300) < 30
    L.wait_for("the end of it", lambda: time.time() > end("short") + 1)
    refused(lab, issued, "short", "127.0.0.1", "expired")


def test_sshd_refuses_another_name_and_another_key(lab, issued):
    refused(lab, issued, "other", "127.0.0.1", "principal|not listed")
    lab.key("issued/second")
    assert use(lab, issued, "good", "127.0.0.1", key="second").returncode == 255
