#!/usr/bin/env python3
"""case.py MODULE CASE WORKER...: runs the function CASE of MODULE with a Bench."""
import importlib
import os
import shutil
import sys
import tempfile
import textwrap

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import run as runner  # noqa: E402


class Bench:
    """Writes suites into a folder of its own and runs them."""

    def __init__(self, command, folder):
        self.command, self.folder = command, folder

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(text))
        return path

    def start(self, text, name="suite.lua", **options):
        return runner.Worker(self.command, self.write(name, text), name=name, folder=self.folder,
                             **options)

    def run(self, text, name="suite.lua", **options):
        outcome = self.start(text, name, **options).wait()
        for event in outcome.events:
            assert "type" in event and "time" in event, event
        assert "Sanitizer" not in outcome.stderr, outcome.stderr
        assert outcome.code in range(6), (outcome.code, outcome.stderr)
        return outcome


def main():
    module, case, command = sys.argv[1], sys.argv[2], sys.argv[3:]
    folder = tempfile.mkdtemp(prefix="vmtest-lua-")
    try:
        getattr(importlib.import_module(module), case)(Bench(command, folder))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
