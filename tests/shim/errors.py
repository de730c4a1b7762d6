#!/usr/bin/env python3
"""vmtest has words for each error of VZErrorDomain that the contract of Apple's API has, and for no other
(engine/apple/errors.c)."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def main():
    rows = re.findall(r"\{VZ, (-?\d+),", (ROOT / "engine/apple/errors.c").read_text(encoding="utf-8"))
    header = (ROOT / "tests/shim/contract/Virtualization/VZBase.h").read_text(encoding="utf-8")
    errors = {int(number): name for name, number in re.findall(r"\b(VZError\w+)[^=,;{]*=\s*(\d+)", header)}
    if len(errors) < 25:
        sys.exit(f"few errors were seen: {errors}")
    named = {int(row) for row in rows} - {-9}  # which is a status of the Security framework
    for number in sorted(named ^ set(errors)):
        print(f"{number}: {errors.get(number, 'no such error')}")
    sys.exit(named != set(errors))


if __name__ == "__main__":
    main()
