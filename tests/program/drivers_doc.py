#!/usr/bin/env python3
"""docs/drivers.md holds exactly what the drivers say of themselves. With --renew: puts it there."""
import json
import os
import pathlib
import subprocess
import sys

VMTEST = os.environ.get("VMTEST_PROGRAM", "build/dev/vmtest")
PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "drivers.md"
BEGIN, END = "<!-- made by vmtest drivers --markdown -->\n", "<!-- end -->\n"


def ask(form):
    return subprocess.run([VMTEST, "drivers", form], check=True, capture_output=True, text=True,
                          timeout=60).stdout


def main():
    text, made = PAGE.read_text(encoding="utf-8"), ask("--markdown")
    before, _, rest = text.partition(BEGIN)
    held, _, after = rest.partition(END)
    if not rest or not after:
        sys.exit(f"{PAGE} has lost its markers {BEGIN!r} and {END!r}")
    if sys.argv[1:] == ["--renew"]:
        PAGE.write_text(before + BEGIN + made + END + after, encoding="utf-8")
        return
    silent = [f"{driver['name']}: {name}" for driver in json.loads(ask("--json"))
              for name, support in driver["capabilities"].items()
              if support["can"] != "yes" and not support.get("why")]
    if silent:
        sys.exit("the driver's table gives no reason or condition for: " + ", ".join(silent))
    if held != made:
        sys.exit(f"{PAGE} is out of date; this renews it:\n"
                 f"  VMTEST_PROGRAM={VMTEST} {sys.argv[0]} --renew")


main()
