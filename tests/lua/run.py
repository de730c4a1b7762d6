#!/usr/bin/env python3
"""Runs a suite in a worker and gives its events: for tests of the Lua host.

    run.py 'build/dev/vmtest __worker' SUITE [-k EXPR] [--list]      shows what came of it
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time


def full_name(event):
    return ".".join(event[key] for key in ("class", "name") if key in event)


class Outcome:
    """What came of one job."""

    def __init__(self, code, events, stderr, folder, seconds):
        self.code, self.events, self.stderr = code, events, stderr
        self.folder, self.seconds = folder, seconds

    def of(self, kind):
        return [e for e in self.events if e["type"] == kind]

    def outcomes(self):
        return {full_name(e): e["outcome"] for e in self.of("test_end")}

    def test(self, name):
        found = [e for e in self.of("test_end") if full_name(e) == name]
        assert len(found) == 1, f"{name}: {len(found)} test_end events"
        return found[0]

    def output(self, stream=None):
        return "".join(e["text"] for e in self.of("output") if stream in (None, e["stream"]))


class Worker:
    """A worker under way: its stdin stays open until wait()."""

    def __init__(self, command, suite, name=None, folder=None, env=None, **options):
        self.folder = folder
        dirs = {}
        for key in ("results", "runtime", "scratch"):
            dirs[key + "_dir"] = os.path.join(folder, key)
            os.makedirs(dirs[key + "_dir"], exist_ok=True)
        job = {"number": 1, "run_id": "test", "suite": os.path.abspath(suite),
               "suite_name": name or os.path.basename(suite), "filter": None, "fail_fast": False,
               "list_only": False, "dry_run": False, "keep_failed": False, "keep_always": False,
               "test_timeout": 30.0, "memory_limit": 256 << 20, **dirs, **options}
        self.started = time.monotonic()
        self.errors = tempfile.TemporaryFile()
        self.events = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self.events,
                                        stderr=self.errors, cwd=folder,
                                        env={**os.environ, **(env or {})})
        self.process.stdin.write((json.dumps(job) + "\n").encode())
        self.process.stdin.flush()

    def wait_for(self, what, seconds=60):
        """Until an event for which what(event) holds has been written."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for event in self._read():
                if what(event):
                    return event
            time.sleep(0.02)
        raise AssertionError("the event never came")

    def _read(self):
        size = os.fstat(self.events.fileno()).st_size
        data = os.pread(self.events.fileno(), size, 0)
        return [json.loads(line) for line in data.split(b"\n")[:-1] if line]

    def wait(self, seconds=90):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process.stdin.close()
        took = time.monotonic() - self.started
        self.errors.seek(0)
        stderr = self.errors.read().decode(errors="replace")
        return Outcome(code, self._read(), stderr, self.folder, took)


def run(command, suite, folder, **options):
    return Worker(command, suite, folder=folder, **options).wait()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("worker")
    p.add_argument("suite")
    p.add_argument("-k", dest="filter")
    p.add_argument("--list", dest="list_only", action="store_true")
    p.add_argument("--dry-run", dest="dry_run", action="store_true")
    p.add_argument("--timeout", dest="test_timeout", type=float, default=30.0)
    args = vars(p.parse_args())
    command, suite = args.pop("worker").split(), args.pop("suite")
    command[0] = os.path.abspath(command[0])
    folder = tempfile.mkdtemp(prefix="vmtest-lua-")
    try:
        result = run(command, suite, folder, **args)
    finally:
        shutil.rmtree(folder)
    for event in result.events:
        event.pop("time")
        print(json.dumps(event))
    sys.stderr.write(result.stderr)
    print(f"exit {result.code} after {result.seconds:.2f} s")


if __name__ == "__main__":
    main()
