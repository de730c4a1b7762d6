#!/usr/bin/env python3
"""However a run ends, within 5 s nothing of it is left: no process, no temporary file, no lock.

Runs of a suite that boots a real VM are ended at random moments: by Ctrl-C, SIGTERM, SIGHUP, and
kill -9 of the parent, of the worker, of QEMU, of parent and worker at once. Prints the seed."""
import os
import random
import signal
import sys
import time

from vt import Home, check, need_image

SUITE = """
local lu = require "luaunit"
local vmtest = require "vmtest"
TestKill = vmtest.class { image = "small", vm = { memory = "128M" } }
function TestKill:testBusy()
  for i = 1, 1000 do
    lu.assertEquals(self.vm:exec("echo " .. i).status, 0)
    self.vm:write("/tmp/file", string.rep("x", 100000))
  end
end
"""


def victims(home, run, kind):
    """The processes to end, by the kind of death that this round is about."""
    if kind in ("INT", "TERM", "HUP", "parent"):
        return [run.pid]
    found = home.processes()
    worker = [pid for pid, cmd in found.items() if b"__worker" in cmd]
    qemu = [pid for pid, cmd in found.items() if b"qemu-system" in cmd.split(b" ")[0]]
    return {"worker": worker, "qemu": qemu, "both": [run.pid, *worker],
            "all": [run.pid, *worker, *qemu]}[kind]


def one_round(home, suite, number, rng):
    kind = rng.choice(["INT", "TERM", "HUP", "parent", "parent", "worker", "worker", "qemu",
                       "both", "all"])
    run = home.start("run", "-o", f"out-{number}", "--timeout", "60s", suite)
    moment = rng.choice([rng.uniform(0, 0.3), rng.uniform(0, 5)])
    time.sleep(moment)
    number_of = {"INT": signal.SIGINT, "TERM": signal.SIGTERM, "HUP": signal.SIGHUP}
    hit = 0
    for pid in victims(home, run, kind):
        try:
            os.kill(pid, number_of.get(kind, signal.SIGKILL))
            hit += 1
        except ProcessLookupError:
            pass
    if not hit:  # nothing of that kind was there yet: end the run itself
        kind += ", then TERM"
        run.send_signal(signal.SIGTERM)
    if kind in ("worker", "qemu"):
        # the run goes on to its own end and says so
        code = run.wait(timeout=60)
        check(code in (1, 3), f"round {number}: {kind} killed, exit code {code}")
    left = home.leftovers()
    check(not left, f"round {number}: {kind} after {moment:.2f}s left", "\n  ".join(left))
    run.communicate(timeout=60)
    return kind


def main():
    need_image()
    rounds = int(os.environ.get("VMTEST_KILL_ROUNDS", "100"))
    seed = int(os.environ.get("VMTEST_KILL_SEED", str(random.randrange(1 << 30))))
    rng = random.Random(seed)
    print(f"seed {seed}", flush=True)
    kinds, failed, start = {}, 0, time.monotonic()
    for number in range(rounds):
        with Home(images=True) as home:
            try:
                kind = one_round(home, home.suite("kill.lua", SUITE), number, rng)
                kinds[kind] = kinds.get(kind, 0) + 1
            except AssertionError:
                failed += 1
                for pid in home.processes():
                    os.kill(pid, signal.SIGKILL)
    print(f"{rounds} rounds in {time.monotonic() - start:.0f}s, {failed} left something behind; "
          f"by kind: {kinds}")
    sys.exit(1 if failed else 0)


main()
