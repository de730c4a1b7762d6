#!/usr/bin/env python3
"""Recipes that start a guest by themselves (`# needs: macos_guest memory=… cpus=…`) take what it needs of the
host, one of the slots for macOS guests too: who is refused, who waits, who holds it. The recipes are simulated; slots and processes are real."""
import os
import signal
import time

from vt import Home, check, contains, equal, main

RECIPE = """#!/bin/sh
# description: a guest that nobody starts
# needs: macos_guest
set -e
[ "$VMTEST_LEASE_FD" = 3 ]
touch "$HERE/began-$VMTEST_IMAGE_NAME"
while [ -d "$HERE" ] && [ ! -e "$HERE/go-$VMTEST_IMAGE_NAME" ]; do sleep 0.1; done
dd if=/dev/zero of=kernel bs=514 count=1 2>/dev/null
printf 'HdrS%1024s' >>kernel
cat >image.json <<END
{"format": 1, "os": "linux", "arch": "x86_64", "memory": "64M", "kernel": "kernel"}
END
"""

PLAIN = RECIPE.replace("# needs: macos_guest\n", "").replace(
    '[ "$VMTEST_LEASE_FD" = 3 ]', '[ -z "$VMTEST_LEASE_FD" ]\n! (: >&3) 2>/dev/null')

SUITE = """
local vmtest = require "vmtest"
TestMac = vmtest.class { vm = { driver = "sim", sim = { macos_guest = true } } }
function TestMac:testRuns() end
"""


def new_home(limit="1"):
    home = Home()
    home.env.update(HERE=str(home.work), VMTEST_MACOS_LIMIT=limit, VMTEST_RECIPES=str(home.work / "none"))
    (home.home / "recipes").mkdir()
    for name, text in (("mac", RECIPE), ("plain", PLAIN)):
        recipe = home.home / "recipes" / name
        recipe.write_text(text)
        recipe.chmod(0o755)
    return home


def await_that(condition, what):
    end = time.monotonic() + 60
    while not condition():
        check(time.monotonic() < end, what)
        time.sleep(0.05)


def building(home, name, *words):
    """A build whose recipe runs, or waits."""
    with open(home.work / f"log-{name}", "w", encoding="utf-8") as out:
        return home.start("image", "build", "mac", name, *words, stderr=out)


def began(home, name):
    return (home.work / f"began-{name}").exists()


def holding(home, name):
    build = building(home, name)
    await_that(lambda: began(home, name), f"{name} does not begin")
    return build


def log(home, name):
    return (home.work / f"log-{name}").read_text()


def end(home, name):
    (home.work / f"go-{name}").touch()


def leases(home):
    return list((home.path / "leases").iterdir())


def test_none_where_there_are_none():
    with new_home("0") as home:
        ran = home.run("image", "build", "mac", "--wait=5s")
        equal(ran.returncode, 3, ran.stderr)
        contains(ran.stderr, "VM mac (image build) is a macOS guest, and this host is to run none")
        check(not began(home, "mac"))
        check(not (home.home / "images" / "mac" / "latest").exists())
        equal((leases(home), home.leftovers()), ([], []))


def test_two_at_once():
    with new_home() as home:
        one = holding(home, "one")
        refused = home.run("image", "build", "mac", "two")
        equal(refused.returncode, 3, refused.stderr)
        contains(refused.stderr, "VM two (image build) is a macOS guest, of which this host runs 1 at once; "
                                 "held by (VM one (image build) of ")
        contains(refused.stderr, "--wait")
        ran = home.run("run", home.suite("a.lua", SUITE))
        equal(ran.returncode, 3, ran.stderr)
        contains(ran.stderr, "VM one (image build)")
        contains(home.run("doctor").stdout, "macOS guests: 1 of 1 slots are taken")
        two = building(home, "two", "--wait=5m")
        await_that(lambda: "image two: waiting for one of 1 slots for macOS guests: held by (VM one"
                   in log(home, "two"), "two does not wait")
        check(not began(home, "two"))
        end(home, "one")
        equal(one.wait(timeout=60), 0, log(home, "one"))
        await_that(lambda: began(home, "two"), "two does not go on")
        equal(len(leases(home)), 1)
        end(home, "two")
        equal(two.wait(timeout=60), 0, log(home, "two"))
        equal((leases(home), home.leftovers()), ([], []))


def test_waiting_ends():
    with new_home() as home:
        one = holding(home, "one")
        ran = home.run("image", "build", "mac", "two", "--wait=1s")
        equal(ran.returncode, 3, ran.stderr)
        contains(ran.stderr, "waited 1")
        two = building(home, "two", "--wait")
        await_that(lambda: "waiting for" in log(home, "two"), "two does not wait")
        two.send_signal(signal.SIGINT)
        equal(two.wait(timeout=60), 130, log(home, "two"))
        check(not began(home, "two"))
        equal(len(leases(home)), 1)
        end(home, "one")
        equal(one.wait(timeout=60), 0, log(home, "one"))
        equal((leases(home), home.leftovers()), ([], []))


def test_the_recipe_holds_it():
    """vmtest is killed; the guest that its recipe has started may still run."""
    with new_home() as home:
        one = holding(home, "one")
        os.kill(one.pid, signal.SIGKILL)
        one.wait(timeout=60)
        ran = home.run("image", "build", "mac", "two", timeout=120)
        equal(ran.returncode, 3, ran.stderr)
        contains(ran.stderr, f", pid {one.pid}, ")
        end(home, "one")
        await_that(lambda: not home.processes(), "the recipe does not end")
        end(home, "two")
        ran = home.run("image", "build", "mac", "two")
        equal(ran.returncode, 0, ran.stderr)
        equal(leases(home), [])


def test_a_failed_recipe_gives_it_back():
    with new_home() as home:
        path = home.home / "recipes" / "mac"
        path.write_text(RECIPE.replace("set -e\n", "exit 7\n"))
        for _ in range(2):
            ran = home.run("image", "build", "mac")
            equal(ran.returncode, 3, ran.stderr)
            contains(ran.stderr, "failed with status 7")
        equal((leases(home), home.leftovers()), ([], []))


def test_others_need_none():
    with new_home("0") as home:
        end(home, "plain")
        ran = home.run("image", "build", "plain", env={"VMTEST_LEASE_FD": "9"})
        equal(ran.returncode, 0, ran.stderr)


def test_memory_and_processors():
    """What the line says, or the settings of these names."""
    with new_home() as home:
        (home.home / "recipes" / "mac").write_text(RECIPE.replace("macos_guest", "memory=200M  cpus=2"))
        home.env.update(VMTEST_MEMORY_LIMIT="300M", VMTEST_CPU_LIMIT="3")
        for words, message in (((), "VM two (image build) needs 200 MiB of memory, and 100 MiB of 300 MiB are free"),
                               (("--set", "memory=90M"), "VM two (image build) needs 2 processors, and 1 processor "
                                                         "of 3 processors is free")):
            one = holding(home, "one")
            refused = home.run("image", "build", "mac", "two", *words)
            equal(refused.returncode, 3, refused.stderr)
            contains(refused.stderr, message)
            contains(refused.stderr, "VM one (image build)")
            end(home, "two")
            ran = home.run("image", "build", "mac", "two", "--set", "memory=90M", "--set", "cpus=1")
            equal(ran.returncode, 0, ran.stderr)
            end(home, "one")
            equal(one.wait(timeout=60), 0, log(home, "one"))
            for path in home.work.glob("*-*"):
                path.unlink()
        equal((leases(home), home.leftovers()), ([], []))


def test_needs_that_are_not_known():
    with new_home() as home:
        recipes = home.home / "recipes"
        (recipes / "lua.lua").write_text("-- needs: macos_guest\nreturn {}\n")
        for name, needs, message in (("mac", "two_macs", 'mac needs "two_macs", which vmtest does not know'),
                                     ("mac", "macos_guest cpus=0", "cpus=0: it is to be a number from 1 to"),
                                     ("mac", "memory=much", "much"),
                                     ("lua", "", "a recipe in Lua needs nothing beforehand")):
            (recipes / "mac").write_text(RECIPE.replace("macos_guest", needs))
            ran = home.run("image", "build", name)
            equal(ran.returncode, 2, ran.stderr)
            contains(ran.stderr, message)
            check(not began(home, name))
        contains(home.run("image", "recipes").stdout, "a guest that nobody starts")


if __name__ == "__main__":
    main([test_none_where_there_are_none, test_two_at_once, test_waiting_ends, test_the_recipe_holds_it,
          test_a_failed_recipe_gives_it_back, test_others_need_none,
          test_memory_and_processors, test_needs_that_are_not_known])
