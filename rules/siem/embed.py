#!/usr/bin/python3
"""embed.py OUTPUT FILE...: the detections of the default pack as C strings, in the order of their names."""
import json
import pathlib
import sys

out, files = sys.argv[1], sorted(sys.argv[2:])
with open(out, "w") as f:
    f.write('/* Made from rules/siem/ by embed.py. */\n#include "control/pack.h"\n\nconst struct pack_detection pack_detections[] = {\n')
    for name in files:
        f.write("\t{ %s,\n" % json.dumps(pathlib.Path(name).stem))
        for line in pathlib.Path(name).read_text().splitlines():
            f.write("\t    %s\n" % json.dumps(line + "\n", ensure_ascii=False))
        f.write("\t},\n")
    f.write("\t{ 0 }\n};\n")
