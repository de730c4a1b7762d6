#!/usr/bin/env python3
"""Two macOS guests run on a host at once: who is refused, who waits, what a killed process leaves.
The guests are simulated; the slots, the processes and the waiting are real."""
import os
import signal

from vt import Home, contains, equal, main

SUITE = """
local vmtest = require "vmtest"
TestMac = vmtest.class { vm = { driver = "sim", name = NAME, sim = { macos_guest = true } } }
function TestMac:testRuns()
  while not io.open("go") do os.execute("sleep 0.1") end
end
"""


def is_running(event):
    return event["type"] == "vm_state" and event["state"] == "running"


def is_waiting(event):
    return (event["type"] == "vm_state" and
            "waiting for one of 2 slots for macOS guests: held by run" in
            (event.get("reason") or ""))


def suite(home, name):
    return home.suite(f"{name}.lua", SUITE.replace("NAME", f'"{name}"'))


def holding(home, *names):
    """A run for each, whose VM runs."""
    runs = {}
    for name in names:
        runs[name] = home.start("run", "-o", name, suite(home, name))
        home.await_event(name, is_running)
    return runs


def end_all(home, runs):
    (home.work / "go").touch()
    for name, run in runs.items():
        equal(run.wait(timeout=120), 0, name, run.stderr.read())
    equal(home.leftovers(), [])
    equal(list((home.path / "leases").iterdir()), [])


def test_the_third_is_refused():
    with Home() as home:
        runs = holding(home, "one", "two")
        third = home.run("run", "-o", "three", suite(home, "three"))
        equal(third.returncode, 3, third.stderr)
        contains(third.stderr, "VM three is a macOS guest, of which this host runs 2 at once")
        contains(third.stderr, "VM one of")
        contains(third.stderr, "VM two of")
        contains(third.stderr, "--wait")
        contains(home.run("doctor").stdout, "macOS guests: 2 of 2 slots are taken")
        end_all(home, runs)


def test_fewer_by_the_variable():
    with Home() as home:
        home.env["VMTEST_MACOS_LIMIT"] = "1"
        runs = holding(home, "one")
        second = home.run("run", "-o", "two", suite(home, "two"))
        equal(second.returncode, 3, second.stderr)
        contains(second.stderr, "runs 1 at once")
        more = home.run("run", "-o", "more", suite(home, "more"), env={"VMTEST_MACOS_LIMIT": "3"})
        contains(more.stderr, "it is to be a number from 0 to 2")
        end_all(home, runs)


def test_a_killed_holder_makes_room():
    with Home() as home:
        runs = holding(home, "one", "two")
        runs["three"] = home.start("run", "-o", "three", "--wait=5m", suite(home, "three"))
        home.await_event("three", is_waiting)
        workers = [pid for pid, words in home.processes().items()
                   if b"__worker" in words and parent(pid) == runs["one"].pid]
        equal(len(workers), 1, home.processes())
        os.kill(workers[0], signal.SIGKILL)
        home.await_event("three", is_running)
        equal(runs.pop("one").wait(timeout=60), 3)  # its worker died
        end_all(home, runs)


def parent(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])


def test_the_simulated_take_none():
    """But for those that say so."""
    with Home() as home:
        runs = holding(home, "one", "two")
        plain = home.suite("plain.lua", SUITE.replace("NAME", '"plain"').replace(
            "macos_guest = true", "").replace('while not io.open("go")', "while false"))
        ran = home.run("run", "-o", "plain", plain)
        equal(ran.returncode, 0, ran.stderr)
        end_all(home, runs)


if __name__ == "__main__":
    main([test_the_third_is_refused, test_fewer_by_the_variable,
          test_a_killed_holder_makes_room, test_the_simulated_take_none])
