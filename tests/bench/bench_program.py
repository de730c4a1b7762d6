"""The program by itself: its start, empty tests, memory."""
import pathlib
import re
import subprocess
import time

from common import VMTEST, WORK, alternately, ms, say, suite

EMPTY = "\n".join(
    ["local lu = require 'luaunit'", "TestEmpty = {}"]
    + [f"function TestEmpty:test{i:05}() end" for i in range(10000)]
    + ["os.exit(lu.LuaUnit.run())", ""])
SLEEP = """
local vmtest = require "vmtest"
function testSleep() vmtest.sleep(2) end
"""


def start_version():
    a, b = alternately(50, lambda: ms([VMTEST, "--version"]), lambda: ms(["lua5.4", "-v"]))
    say("start_version", "ms", a, "lua5.4 -v", b)


def start_list():
    path = suite("list.lua", "function testOne() end\n")
    a, b = alternately(30, lambda: ms([VMTEST, "list", path]), lambda: ms(["lua5.4", "-v"]))
    say("start_list", "ms", a, "lua5.4 -v", b)


def tests_10000():
    path = suite("empty.lua", EMPTY)
    a, b = alternately(9, lambda: ms([VMTEST, "run", path]), lambda: ms(["lua5.4", path]))
    say("tests_10000", "ms", a, "lua5.4 with LuaUnit", b)


def resident(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def rss():
    path = suite("sleep.lua", SLEEP)
    parents, workers = [], []
    for _ in range(5):
        run = subprocess.Popen([VMTEST, "run", path], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, cwd=WORK)
        time.sleep(1)
        children = pathlib.Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        for pid in children:
            if b"__worker" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                workers.append(resident(pid))
        parents.append(resident(run.pid))
        run.wait()
    say("rss_parent", "KiB", parents)
    say("rss_worker", "KiB", workers)
