#!/usr/bin/env python3
"""machine.py FILE KEY=TEXT | KEY:=JSON ...   sets members of the JSON object in FILE, which may be new
machine.py FILE KEY                        prints a member"""
import json
import os
import pathlib
import sys


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    path = pathlib.Path(sys.argv[1])
    try:
        value = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if len(sys.argv) == 3 and "=" not in sys.argv[2]:
            print(value[sys.argv[2]])
            return
        for word in sys.argv[2:]:
            key, equals, text = word.partition("=")
            if not equals or not key.rstrip(":").isidentifier():
                sys.exit(f"machine.py: \"{word}\" is no KEY=TEXT")
            value[key.rstrip(":")] = json.loads(text) if key.endswith(":") else text
    except KeyError as why:
        sys.exit(f"machine.py: {path} has no {why}")
    except ValueError as why:
        sys.exit(f"machine.py: {why}")
    part = path.with_name(path.name + ".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
    os.replace(part, path)


if __name__ == "__main__":
    main()
