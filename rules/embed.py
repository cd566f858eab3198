#!/usr/bin/python3
"""embed.py OUTPUT FILE...: the rules that come with the program as C strings, a table for each folder, in the order of their names."""
import json
import pathlib
import sys

TABLES = {"siem": "pack_detections", "starter": "pack_starter"}

with open(sys.argv[1], "w") as f:
    f.write('/* Made from rules/ by embed.py. */\n#include "control/pack.h"\n')
    for folder, table in TABLES.items():
        f.write("\nconst struct pack_rule %s[] = {\n" % table)
        for name in sorted(n for n in sys.argv[2:] if pathlib.Path(n).parent.name == folder):
            f.write("\t{ %s,\n" % json.dumps(pathlib.Path(name).stem))
            for line in pathlib.Path(name).read_text().splitlines():
                f.write("\t    %s\n" % json.dumps(line + "\n", ensure_ascii=False))
            f.write("\t},\n")
        f.write("\t{ 0 }\n};\n")
