"""The regression cases of the Sigma project: each names a rule, an event (as JSON of Windows' event log) and how often it must match.
Two things are made even: blanks in names of fields go, and UserData is opened one level."""
import glob
import json
import os
import re
import subprocess


def texts(path):
    """id and title are all that is needed of a rule or a case: no YAML library for that."""
    with open(path, encoding="utf-8") as f:
        return f.read()


def documents(text):
    dec, i, out = json.JSONDecoder(), 0, []
    while True:
        while i < len(text) and text[i] in " \r\n\t,\ufeff":
            i += 1
        if i >= len(text):
            return out
        o, i = dec.raw_decode(text, i)
        out += o if isinstance(o, list) else [o]


def flat(event):
    out, event = {}, event.get("Event", event)

    def put(members):
        out.update({k.replace(" ", ""): v for k, v in members.items() if not k.startswith("#")})
    put(event.get("System", {}))
    if isinstance(event.get("EventData"), dict):
        put(event["EventData"])
    for v in (event.get("UserData") or {}).values():
        if isinstance(v, dict):
            put(v)
    if isinstance(out.get("Provider"), dict):
        out["Provider_Name"] = out["Provider"].get("#attributes", {}).get("Name")
    return out


def run(corpus, binary, work):
    rules = {}
    for path in glob.glob(corpus + "/rules*/**/*.yml", recursive=True):
        for rid in re.findall(r"(?m)^id: *([0-9a-f-]{36})", texts(path)):
            rules[rid] = path
    good = total = 0
    for info in sorted(glob.glob(corpus + "/regression_data/**/info.yml", recursive=True)):
        text, files = texts(info), glob.glob(os.path.dirname(info) + "/*.json")
        if not files:
            continue		# a case whose event is not there
        rid = re.search(r"rule_metadata:\s*\n\s*- id: *([0-9a-f-]{36})", text).group(1)
        want = sum(int(n) for n in re.findall(r"(?m)^[\s-]+match_count: *(\d+)", text)) or 1
        events = [flat(e) for path in files for e in documents(texts(path))]
        with open(work + "/case.txt", "w") as f:
            f.write(rules.get(rid, "/nonexistent") + "\n")
        with open(work + "/case.ev", "w") as f:
            f.writelines("*\t\t\t%s\n" % json.dumps(e, ensure_ascii=False) for e in events)
        r = subprocess.run([binary, "match", work + "/case.txt", work + "/case.ev"], capture_output=True, text=True)
        matched = sum(rid in line.split("\t")[1:] for line in r.stdout.splitlines())
        total += 1
        if r.returncode == 0 and matched >= want:
            good += 1
        else:
            print("  %s: %d of %d matches %s" % (info, matched, want, r.stderr.strip()))
    return good, total
