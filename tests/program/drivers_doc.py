#!/usr/bin/env python3
"""The tables of docs/ hold exactly what vmtest says of itself. With --renew: puts them there."""
import json
import os
import pathlib
import subprocess
import sys

VMTEST = os.environ.get("VMTEST_PROGRAM", "build/dev/vmtest")
DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
TABLES = {"drivers.md": "drivers", "mac.md": "features"}
END = "<!-- end -->\n"


def ask(command, form):
    return subprocess.run([VMTEST, command, form], check=True, capture_output=True, text=True,
                          timeout=60).stdout


def compare(page, command, renew):
    text, made = page.read_text(encoding="utf-8"), ask(command, "--markdown")
    begin = f"<!-- made by vmtest {command} --markdown -->\n"
    before, _, rest = text.partition(begin)
    held, _, after = rest.partition(END)
    if not rest or not after:
        sys.exit(f"{page} has lost its markers {begin!r} and {END!r}")
    if renew:
        page.write_text(before + begin + made + END + after, encoding="utf-8")
    elif held != made:
        sys.exit(f"{page} is out of date; this renews it:\n"
                 f"  VMTEST_PROGRAM={VMTEST} {sys.argv[0]} --renew")


def main():
    for name, command in TABLES.items():
        compare(DOCS / name, command, sys.argv[1:] == ["--renew"])
    silent = [f"{driver['name']}: {name}" for driver in json.loads(ask("drivers", "--json"))
              for name, support in driver["capabilities"].items()
              if support["can"] != "yes" and not support.get("why")]
    if silent:
        sys.exit("the driver's table gives no reason or condition for: " + ", ".join(silent))


main()
