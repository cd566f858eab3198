#!/usr/bin/env python3
"""Sum up JUnit files: print each failure with the end of its output, then one closing line "N passed, N failed"."""
import sys
import xml.etree.ElementTree as ET


def cases(path):
    for case in ET.parse(path).getroot().iter("testcase"):
        name = "%s: %s" % (case.get("classname") or "", case.get("name") or "")
        bad = [c for c in case if c.tag in ("failure", "error")]
        skipped = any(c.tag == "skipped" for c in case)
        yield name, bad, skipped


def main(paths):
    passed = failed = skipped = 0
    for path in paths:
        try:
            rows = list(cases(path))
        except (ET.ParseError, OSError) as e:
            print("%s: cannot be read: %s" % (path, e))
            failed += 1
            continue
        for name, bad, skip in rows:
            if bad:
                failed += 1
                text = "\n".join((b.get("message") or "") + "\n" + (b.text or "") for b in bad).strip()
                print("FAILED %s\n    %s\n" % (name, "\n    ".join(text.splitlines()[-25:])))
            elif skip:
                skipped += 1
                print("skipped %s" % name)
            else:
                passed += 1
    if passed == 0:
        failed += 1
    print("%d passed, %d failed" % (passed, failed) + (", %d skipped" % skipped if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
