"""Alarms leave as mail, through a real SMTP server with STARTTLS and AUTH, and as signed webhooks."""
import email
import email.policy
import hashlib
import hmac
import http.server
import json
import os
import ssl
import subprocess
import threading

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

import lab as L

SUBMISSION, SMTPS, HOOK = (L.free_port() for _ in range(3))
PASSWORD, KEY = "the mail server's 7 words", "a key to sign with, 32 bytes long"


class Mailbox:
    """What arrived, and whether who sent it could log in. Both servers take a password over TLS only."""

    def __init__(self):
        self.mails, self.logins = [], []

    async def handle_DATA(self, server, session, envelope):
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=email.policy.default)))
        return "250 taken"

    def __call__(self, server, session, envelope, mechanism, data):
        ok = data.login == b"bastion" and data.password == PASSWORD.encode()
        self.logins.append(ok)
        return AuthResult(success=ok, handled=False)

    def of(self, text):
        return [m for m in self.mails if text in m[2].get_content()]


class Hook(http.server.BaseHTTPRequestHandler):
    got, answer = [], 200

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        sign = hmac.new(KEY.encode(), self.headers["X-Sallyport-Timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
        assert self.headers["X-Sallyport-Signature"] == "sha256=" + sign and self.headers["Content-Type"] == "application/json"
        if Hook.answer == 200:
            Hook.got.append((self.headers["X-Sallyport-Kind"], self.headers["X-Sallyport-Id"], json.loads(body)))
        self.send_response(Hook.answer)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def certificate(lab):
    """For localhost and 127.0.0.1; its authority lies where the courier may read it."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"], cwd=lab.data, check=True,
                   capture_output=True)
    (lab.data / "cert.pem").chmod(0o644)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(lab.data / "cert.pem", lab.data / "key.pem")
    return context


@pytest.fixture(scope="module")
def mailbox(lab, certificate):
    box = Mailbox()
    server = Controller(box, hostname="127.0.0.1", port=SUBMISSION, tls_context=certificate, require_starttls=True, authenticator=box,
                        auth_required=True)
    server.start()
    # On port 465 it is TLS from the first byte.
    direct = Controller(box, hostname="127.0.0.1", port=SMTPS, ssl_context=certificate, authenticator=box, auth_required=True,
                        auth_require_tls=False)
    direct.start()
    yield box
    server.stop()
    direct.stop()


@pytest.fixture(scope="module")
def hook():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", HOOK), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Hook
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module", autouse=True)
def configured(lab, certificate, mailbox, hook):
    settings(lab, mail_server="smtp://127.0.0.1:%d" % SUBMISSION, mail_user="bastion", mail_from="bastion@example.org",
             mail_to=["ops@example.org", "sec@example.org"], delivery_ca=lab.data / "cert.pem", webhook="http://127.0.0.1:%d/alarms" % HOOK)


def settings(lab, **changes):
    lab.stop("sallyport")
    lab.write_config(**changes)
    lab.start()


def status(lab, to):
    return next((r for r in lab.ctl("outbox", "status") if r["to"].startswith(to)), {"state": "", "text": ""})


def alarm(lab):
    """Sealing and unsealing are two."""
    lab.ctl("vault", "seal")
    lab.ctl("vault", "unseal", "--keyfile", lab.data / "unseal.key")


def test_mail_wants_its_password_first_and_says_how_to_give_it(lab):
    lab.ctl("vault", "seal")
    lab.ctl("vault", "unseal", "--keyfile", lab.data / "unseal.key")
    L.wait_for("why", lambda: "run 'sallyport mail password'" in status(lab, "mail")["text"])
    assert status(lab, "mail")["state"] == "away"


def test_mail_goes_out_over_starttls_with_a_password_from_the_vault(lab, mailbox):
    lab.ctl("mail", "password", "--password-stdin", stdin=PASSWORD + "\n")
    r = lab.ctl_run("mail", "test")
    assert r.returncode == 0 and "took it" in r.stderr + r.stdout, r.stderr
    sender, to, mail = mailbox.of("This is a test")[0]
    assert sender == "bastion@example.org" and to == ["ops@example.org", "sec@example.org"]
    assert mail["Subject"].startswith("[sallyport] ") and mail["From"].addresses[0].addr_spec == sender
    assert mailbox.logins[-1]
    # What waited for the password went out as well.
    L.wait_for("the alarm of before", lambda: mailbox.of("The vault is sealed"))
    # The password is nowhere on disk, and its use is in the log.
    found = subprocess.run(["grep", "-rlF", PASSWORD, str(lab.data / "state")], capture_output=True, text=True).stdout
    assert found == "" and any(e["kind"] == "delivery.secret" for e in lab.ctl("audit", "list", "--limit", "50"))


def test_a_sealed_vault_is_still_told_by_mail(lab, mailbox):
    n = len(mailbox.of("The vault is sealed"))
    lab.ctl("vault", "seal")
    try:
        L.wait_for("the mail", lambda: len(mailbox.of("The vault is sealed")) > n)
    finally:
        lab.ctl("vault", "unseal", "--keyfile", lab.data / "unseal.key")


def test_a_webhook_is_signed_and_sent_again_until_it_is_taken(lab, hook):
    assert "sallyport webhook secret" in L.wait_for("why", lambda: status(lab, "http")["text"])
    hook.answer = 503
    lab.ctl("webhook", "secret", "--secret-stdin", stdin=KEY + "\n")
    alarm(lab)
    L.wait_for("refused", lambda: status(lab, "http")["text"] == "it answered HTTP 503")
    assert not hook.got
    hook.answer = 200
    assert lab.ctl_run("webhook", "test").returncode == 0
    kinds = [k for k, _, _ in hook.got]
    assert kinds[-1] == "test.webhook" and "alarm.vault-sealed" in kinds and "test.mail" not in kinds
    ids = [i for _, i, _ in hook.got]
    assert len(set(ids)) == len(ids) and all(b["id"] == i for _, i, b in hook.got)
    # In the order in which they happened.
    seqs = [b["seq"] for _, _, b in hook.got if "seq" in b]
    assert seqs == sorted(seqs)


def test_a_wrong_password_is_said_and_a_new_one_is_enough(lab, mailbox):
    lab.ctl("mail", "password", "--password-stdin", stdin="not this one\n")
    alarm(lab)
    L.wait_for("refused", lambda: status(lab, "mail")["state"] == "away" and not mailbox.logins[-1])
    n = len(mailbox.mails)
    lab.ctl("mail", "password", "--password-stdin", stdin=PASSWORD + "\n")
    L.wait_for("taken", lambda: len(mailbox.mails) > n and status(lab, "mail")["state"] == "up to date")


def test_smtps_works_and_a_certificate_of_nobody_known_does_not(lab, mailbox):
    settings(lab, mail_server="smtps://localhost:%d" % SMTPS)
    n = len(mailbox.of("This is a test"))
    assert lab.ctl_run("mail", "test").returncode == 0
    assert len(mailbox.of("This is a test")) == n + 1
    settings(lab, delivery_ca="/etc/ssl/certs/ca-certificates.crt")
    alarm(lab)
    L.wait_for("refused", lambda: "certificate" in status(lab, "mail")["text"].lower())


def test_old_files_of_the_outbox_go_when_every_receiver_has_them(lab):
    """A receiver that is away holds them back: what it did not get is still there. The last two stay in any case."""
    box = lab.data / "state" / "outbox"
    lab.stop("sallyport")
    files = [box / ("2020-01-0%d.jsonl" % day) for day in (1, 2, 3)]
    for i, f in enumerate(files):
        f.write_text(json.dumps({"id": "0190a1b2-0000-7000-8000-00000000000%d" % i, "created": "2020-01-01T00:00:00Z", "kind": "test.mail",
                                 "payload": "{}"}, separators=(",", ":")) + "\n")
        os.chown(f, box.stat().st_uid, box.stat().st_gid)
    cursor = next(f for f in box.glob("cursor-*") if f.read_text().split()[1] == "mail")
    kept = cursor.read_text()
    cursor.write_text("%d mail\n" % (18263 << 40))               # 2020-01-02: it has the day before
    lab.write_config(mail_server="smtp://127.0.0.1:%d" % L.free_port())
    lab.start()
    L.wait_for("the first one is gone", lambda: not files[0].exists())
    assert files[1].exists() and files[2].exists()
    lab.stop("sallyport")
    cursor.write_text(kept)
    lab.write_config(mail_server="smtp://127.0.0.1:%d" % SUBMISSION)
    lab.start()
    L.wait_for("the second one, too", lambda: not files[1].exists())
    assert files[2].exists() and len(list(box.glob("*.jsonl"))) == 2
