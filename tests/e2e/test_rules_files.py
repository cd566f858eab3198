"""`sallyport rules` works on files alone: no installation is running here."""
import json
import os
import pathlib
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("SALLYPORT_BUILD", pathlib.Path(__file__).parents[2] / "build" / "release"))
SHADOW = """title: Shadow file read
id: 5c9b7d7e-5d0e-4b1e-9f6d-2f6f1f6a1c11
name: shadow
level: high
logsource:
  product: linux
  category: process_creation
detection:
  selection:
    CommandLine|contains: '/etc/shadow'
  admins:
    User: root
  condition: selection and not admins
"""
THREE = """title: Three times
id: 0f4b8d8c-3a52-4f0e-8f0a-6b0f5e0c7d11
level: critical
correlation:
  type: event_count
  rules: [shadow]
  group-by: User
  timespan: 1h
  condition:
    gte: 3
"""


@pytest.fixture()
def files(tmp_path):
    (tmp_path / "shadow.yml").write_text(SHADOW)
    (tmp_path / "three.yml").write_text(THREE)
    events = [{"CommandLine": "cat /etc/shadow", "User": u, "@timestamp": "2026-09-01T12:%02d:00Z" % i} for i, u in enumerate(["li", "root", "li", "li"])]
    (tmp_path / "events").write_text("".join(json.dumps(e) + "\n" for e in events))
    return tmp_path


def rules(folder, *argv):
    return subprocess.run([BUILD / "src" / "ctl" / "sallyport", *argv], capture_output=True, text=True, timeout=60, cwd=folder)


def test_lint_names_file_line_and_reason_of_every_file(files):
    assert rules(files, "rules", "lint", "shadow.yml", "three.yml").returncode == 0
    (files / "a.yml").write_text(SHADOW.replace("and not admins", "and not nobody"))
    (files / "b.yml").write_text(SHADOW.replace("contains", "contain"))
    r = rules(files, "rules", "lint", "a.yml", "shadow.yml", "b.yml")
    assert r.returncode == 65
    assert 'a.yml:13: condition: there is nothing called "nobody"' in r.stderr and 'b.yml:10: there is no modifier "contain"' in r.stderr
    r = rules(files, "rules", "lint", "three.yml")
    assert r.returncode == 65 and 'no rule "shadow"' in r.stderr
    r = rules(files, "rules", "lint", "missing.yml")
    assert r.returncode == 66 and "missing.yml cannot be opened" in r.stderr


def test_events_are_judged_and_counted(files):
    r = rules(files, "--json", "rules", "test", "shadow.yml", "three.yml", "--event", "events", "--product", "linux", "--category", "process_creation")
    assert r.returncode == 0, r.stderr
    rows = json.loads(r.stdout)
    assert [(x["event"], x["rule"], x["what"]) for x in rows] == [(1, "Shadow file read", "matches"), (3, "Shadow file read", "matches"),
                                                                  (4, "Shadow file read", "matches"), (4, "Three times", "counted User=li")]
    r = rules(files, "rules", "test", "shadow.yml", "--event", "events", "--product", "windows")
    assert r.returncode == 1 and "No rule matches." in r.stdout + r.stderr
    (files / "events").write_text("{}\n{\n")
    r = rules(files, "rules", "test", "shadow.yml", "--event", "events")
    assert r.returncode == 65 and "event 2: not a JSON object" in r.stderr


def test_explain_says_why(files):
    (files / "events").write_text('{"CommandLine": "cat /etc/shadow", "User": "root"}\n')
    r = rules(files, "rules", "explain", "shadow.yml", "three.yml", "--event", "events")
    assert r.returncode == 1, r.stderr
    assert r.stdout.startswith("event 1, Shadow file read: does not match\n")
    assert 'CommandLine|contains wants "/etc/shadow"; the event has "cat /etc/shadow"' in r.stdout
    assert 'User wants "root"; the event has "root"' in r.stdout
