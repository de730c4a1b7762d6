#!/usr/bin/env python3
"""Benchmarks of the whole program against named peers; see README.md beside this file."""
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

VMTEST = os.path.abspath(os.environ.pop("VMTEST_PROGRAM", "build/release/vmtest"))
WORK = pathlib.Path(tempfile.mkdtemp(prefix="vmtest-bench-"))
BUILD = pathlib.Path(VMTEST).parent

EMPTY = "\n".join(
    ["local lu = require 'luaunit'", "TestEmpty = {}"]
    + [f"function TestEmpty:test{i:05}() end" for i in range(10000)]
    + ["os.exit(lu.LuaUnit.run())", ""])
ONE = """
local lu = require "luaunit"
local vmtest = require "vmtest"
TestOne = vmtest.class { image = "small" }
function TestOne:testFirst() lu.assertEquals(self.vm:exec("echo ready").stdout, "ready\\n") end
"""
SLEEP = """
local vmtest = require "vmtest"
function testSleep() vmtest.sleep(2) end
"""


def say(name, unit, ours, peer=None, theirs=None):
    row = {"name": name, "unit": unit, "median": round(statistics.median(ours), 3),
           "min": round(min(ours), 3), "max": round(max(ours), 3), "n": len(ours)}
    if theirs:
        row |= {"peer": peer, "peer_median": round(statistics.median(theirs), 3),
                "ratio": round(statistics.median(ours) / statistics.median(theirs), 3)}
    print(json.dumps(row), flush=True)


def ms(argv, env=None, check=True):
    start = time.perf_counter()
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, env=env, check=check, cwd=WORK)
    return (time.perf_counter() - start) * 1000


def alternately(n, ours, theirs):
    pairs = [(ours(), theirs()) for _ in range(n)]
    return [p[0] for p in pairs], [p[1] for p in pairs]


def suite(name, text):
    path = WORK / name
    path.write_text(text)
    return str(path)


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


def image():
    home = os.environ.get("VMTEST_HOME") or os.path.expanduser("~/.local/share/vmtest")
    folder = pathlib.Path(home) / "images" / "small"
    return folder, json.loads((folder / "image.json").read_text())


def time_of(events, wanted):
    for event in events:
        if wanted(event):
            return event
    raise RuntimeError("no such event")


def seconds(text):
    clock = re.search(r"T(\d+):(\d+):([\d.]+)Z", text)
    return int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3])


def ours_to_first_command():
    out = WORK / "first"
    begin = time.time() % 86400
    subprocess.run([VMTEST, "run", "-o", str(out), suite("one.lua", ONE)], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=WORK)
    events = [json.loads(line) for line in open(out / "events.jsonl", encoding="utf-8")]
    done = time_of(events, lambda e: e["type"] == "op" and e["op"] == "exec")
    return (seconds(done["time"]) - begin) * 1000 % 86400000


def qemu_argv():
    """The very command line that vmtest uses, but for its sockets."""
    run = subprocess.Popen([VMTEST, "run", suite("one.lua", ONE)], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, cwd=WORK)
    argv = None
    while run.poll() is None and not argv:
        for proc in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (proc / "cmdline").read_bytes().decode().split("\0")[:-1]
            except OSError:
                continue
            if words and "qemu-system" in words[0] and any(str(WORK) in w for w in words):
                argv = words
        time.sleep(0.01)
    run.wait()
    return argv


def peer_to_first_command(argv, folder, description, port):
    console = WORK / "peer-console"
    console.unlink(missing_ok=True)
    words, skip = [], False
    for word in argv:
        if skip:
            skip = False
            continue
        if word in ("-chardev", "-mon", "-serial"):
            skip = True
        elif word.startswith("user,id="):
            words.append(f"{word},hostfwd=tcp:127.0.0.1:{port}-:22")
        elif word != "-S":  # it starts at once
            words.append(word)
    words += ["-serial", f"file:{console}"]
    start = time.perf_counter()
    qemu = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    ready = description.get("ready", "ready").encode()
    while not console.exists() or ready not in console.read_bytes():
        if time.perf_counter() - start > 120 or qemu.poll() is not None:
            qemu.kill()
            raise RuntimeError("the peer's guest does not boot")
        time.sleep(0.005)
    ssh = description["ssh"]
    words = ["ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o",
             "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=20",
             "-i", str(folder / ssh["key"]), "-p", str(port), f"{ssh['user']}@127.0.0.1",
             "echo ready"]
    while subprocess.run(words, check=False, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL).returncode:
        if time.perf_counter() - start > 120:
            qemu.kill()
            raise RuntimeError("the peer's guest does not answer")
    took = (time.perf_counter() - start) * 1000
    qemu.kill()
    qemu.wait()
    return took


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def first_command():
    folder, description = image()
    argv = qemu_argv()
    a, b = alternately(7, ours_to_first_command,
                       lambda: peer_to_first_command(argv, folder, description, free_port()))
    say("first_command", "ms", a, "qemu by hand, then ssh", b)


def guest_session():
    """Round trips and transfers on one kept VM, by the benchmark of the ssh channel."""
    folder, description = image()
    out = WORK / "kept"
    subprocess.run([VMTEST, "run", "--keep", "always", "-o", str(out), suite("one.lua", ONE)],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=WORK)
    vms = json.loads(subprocess.run([VMTEST, "vm", "ls", "--json"], check=True,
                                    capture_output=True, text=True).stdout)
    vm = [v for v in vms if not v["run_alive"]][-1]
    ssh = vm["facts"]["ssh"]
    try:
        subprocess.run([str(BUILD / "tests/bench/ssh_bench"), ssh["host"], str(ssh["port"]),
                        description["ssh"]["user"], str(folder / description["ssh"]["key"]), "5"],
                       check=True)
    finally:
        subprocess.run([VMTEST, "vm", "rm", f"{vm['run']}/{vm['name']}"], check=True,
                       stderr=subprocess.DEVNULL)


ALL = [start_version, start_list, tests_10000, rss, first_command, guest_session]


def main():
    wanted = sys.argv[1:]
    unknown = set(wanted) - {f.__name__ for f in ALL}
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are: "
                 + ", ".join(f.__name__ for f in ALL))
    try:
        for benchmark in ALL:
            if not wanted or benchmark.__name__ in wanted:
                benchmark()
    finally:
        shutil.rmtree(WORK, ignore_errors=True)


main()
