#!/usr/bin/env python3
"""vmtest is replaced while it runs, as an upgrade does it: the run goes on with the program that it
began with, for its workers, its janitor and what its VMs are started by."""
import shutil
import subprocess
import sys

import vt
from vt import Home, contains, equal, main, need_image

FIRST = """
function testReplace()
  assert(os.rename("new", "bin/vmtest"))
end
"""

SIMULATED = """
local vmtest = require "vmtest"
TestNext = vmtest.class { vm = { driver = "sim" } }
function TestNext:testRuns()
  local f <close> = assert(io.open("/proc/self/comm"))
  require("luaunit").assertEquals(f:read("l"), "vmtest")
end
"""

REAL = """
local vmtest = require "vmtest"
TestNext = vmtest.class { image = "small" }
function TestNext:testRuns()
  require("luaunit").assertEquals(self.vm:exec("echo hello").stdout, "hello\\n")
end
"""

NEW = """#!/bin/sh
echo "another program: $*" >&2
exit 9
"""


def new_home(images=False):
    """Whose vmtest is a copy, and what is to take its place is `new`."""
    home = Home(images=images)
    (home.work / "bin").mkdir()
    shutil.copy(vt.VMTEST, home.work / "bin" / "vmtest")
    new = home.work / "new"
    new.write_text(NEW)
    new.chmod(0o755)
    return home


def run(home, *args):
    return subprocess.run([home.work / "bin" / "vmtest", *args], cwd=home.work, env=home.env,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
                          check=False)


def check_run(home, second):
    """Two suites, the first of which replaces the program."""
    ran = run(home, "run", "-j1", home.suite("a.lua", FIRST), home.suite("b.lua", second))
    equal(ran.returncode, 0, ran.stdout, ran.stderr)
    equal(home.outcomes(), {"testReplace": "passed", "TestNext.testRuns": "passed"})
    equal(home.leftovers(), [])
    new = run(home, "--version")
    equal(new.returncode, 9)
    contains(new.stderr, "another program: --version")


def test_workers():
    with new_home() as home:
        check_run(home, SIMULATED)


def test_vms():
    need_image()
    with new_home(images=True) as home:
        check_run(home, REAL)


if __name__ == "__main__":
    if sys.platform != "linux":
        vt.skip("only Linux has a way to a program that is not at its path any more")
    main([test_workers, test_vms])
