#!/usr/bin/env python3
"""Two runs share a host that has memory for one VM: who is refused, who waits, what is told."""
import json
import time

from vt import Home, check, contains, equal, main, need_image

SUITE = """
local lu = require "luaunit"
local vmtest = require "vmtest"
TestRoom = vmtest.class { image = "small", vm = { memory = "160M" } }
function TestRoom:testExec()
  lu.assertEquals(self.vm:exec("true").status, 0)
  while not io.open("go") do vmtest.sleep(0.1) end
end
"""


def states(home, out):
    return [(e["state"], e.get("reason") or "") for e in home.events(home.work / out)
            if e["type"] == "vm_state"]


def test_refused_or_served_later():
    need_image()
    with Home(images=True) as home:
        home.env["VMTEST_MEMORY_LIMIT"] = "300M"
        suite = home.suite("room.lua", SUITE)
        first = home.start("run", "-o", "first", suite)
        home.await_event("first", lambda e: e["type"] == "vm_state" and e["state"] == "running")

        refused = home.run("run", "-o", "refused", suite)
        equal(refused.returncode, 3, refused.stderr)
        contains(refused.stderr, "needs 160 MiB of memory, and 140 MiB of 300 MiB are free")
        contains(refused.stderr, "VM testroom of")
        contains(refused.stderr, "--wait")
        check(not any(s == "running" for s, _ in states(home, "refused")), "it ran all the same")

        too_large = home.run("run", "-o", "large", suite, env={"VMTEST_MEMORY_LIMIT": "100M"})
        equal(too_large.returncode, 3, too_large.stderr)
        contains(too_large.stderr, "all VMs of this host may have 100 MiB")

        doctor = json.loads(home.run("doctor", "--json").stdout)
        lines = [line["text"] for line in doctor if line["topic"] == "capacity"]
        check(any("160 MiB of 300 MiB" in text for text in lines), lines)

        second = home.start("run", "-o", "second", "--wait=5m", suite)
        home.await_event("second", lambda e: e["type"] == "vm_state" and
                   "waiting for 160 MiB of memory: held by run" in (e.get("reason") or ""))
        equal(second.poll(), None)
        (home.work / "go").touch()
        equal(first.wait(timeout=120), 0, first.stderr.read())
        equal(second.wait(timeout=120), 0, second.stderr.read())
        check(any(s == "running" for s, _ in states(home, "second")), states(home, "second"))
        equal(home.leftovers(), [])
        equal(list((home.path / "leases").iterdir()), [])


def test_a_kept_vm_keeps_its_lease():
    need_image()
    with Home(images=True) as home:
        home.env["VMTEST_MEMORY_LIMIT"] = "300M"
        suite = home.suite("room.lua", SUITE)
        (home.work / "go").touch()
        kept = home.run("run", "--keep", "always", suite)
        equal(kept.returncode, 0, kept.stderr)
        refused = home.run("run", suite)
        equal(refused.returncode, 3, refused.stderr)
        contains(refused.stderr, "held by run")
        equal(home.run("vm", "rm", "--all").returncode, 0)
        served = home.run("run", suite)
        equal(served.returncode, 0, served.stderr)
        equal(home.processes(), {})
        equal(list((home.path / "leases").iterdir()), [])


def test_a_named_vm_waits_for_room():
    need_image()
    with Home(images=True) as home:
        home.env["VMTEST_MEMORY_LIMIT"] = "300M"

        def vm(*words):
            ran = home.run("vm", *words)
            equal(ran.returncode, 0, words, ran.stderr)
            return ran.stdout

        vm("create", "one", "two", "-i", "small", "-m", "160M")
        vm("start", "one")
        refused = home.run("vm", "start", "two")
        equal(refused.returncode, 3, refused.stderr)
        contains(refused.stderr, "VM one of")
        late = home.run("vm", "start", "--wait=1s", "two")
        equal(late.returncode, 3, late.stderr)
        contains(home.run("vm", "start", "--wait=soon", "two").stderr, "--wait")
        waiting = home.start("vm", "start", "--wait=5m", "two")
        time.sleep(2)
        equal(waiting.poll(), None)
        vm("stop", "--kill", "one")
        equal(waiting.wait(timeout=120), 0, waiting.stderr.read())
        equal(json.loads(vm("info", "two", "--json"))["state"], "running")
        vm("rm", "--force", "one", "two")
        equal(home.processes(), {})


if __name__ == "__main__":
    main([test_refused_or_served_later, test_a_kept_vm_keeps_its_lease,
          test_a_named_vm_waits_for_room])
