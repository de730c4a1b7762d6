#!/usr/bin/env python3
"""facts.py MACHINE.json KNOWN-HOSTS KERNEL: adds the guest's host key and kernel to what is known of it."""
import json
import os
import pathlib
import sys


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    path = pathlib.Path(sys.argv[1])
    machine = json.loads(path.read_text(encoding="utf-8"))
    words = pathlib.Path(sys.argv[2]).read_text(encoding="utf-8").split()
    if len(words) < 3 or words[1] != "ssh-ed25519":
        sys.exit(f"facts.py: {sys.argv[2]} holds no ed25519 host key")
    machine["host_key"] = " ".join(words[1:3])
    machine["facts"] = {"kernel": sys.argv[3]}
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(machine, indent=2) + "\n", encoding="utf-8")
    part.chmod(0o600)
    os.replace(part, path)


if __name__ == "__main__":
    main()
