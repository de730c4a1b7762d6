#!/usr/bin/env python3
"""Makes, starts, uses, saves, restores and ends VMs, round after round, and counts what stays.

    soak.py [ROUNDS] [IMAGE]     default: 500 rounds of the image "small"

Prints one JSON line per figure; exits with 1 where something was left or grew.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

VMTEST = os.path.abspath(os.environ.get("VMTEST_PROGRAM", "build/release/vmtest"))
GROWTH_KIB = 2048  # of the worker, from the first tenth to the last: more is a leak

SUITE = """
local lu = require "luaunit"
local vmtest = require "vmtest"
function testSoak()
  for round = 1, %d do
    local vm <close> = vmtest.vm { image = "%s" }
    lu.assertEquals(vm:exec("echo " .. round .. " | tee /tmp/f").stdout, round .. "\\n")
    vm:snapshot("saved")
    vm:sh("rm /tmp/f")
    vm:restore("saved")
    lu.assertEquals(vm:read("/tmp/f"), round .. "\\n")
  end
end
testSoak = vmtest.test({ timeout = "24h" }, testSoak)
"""


def say(name, unit, values):
    print(json.dumps({"name": name, "unit": unit, "median": round(statistics.median(values), 3),
                      "min": round(min(values), 3), "max": round(max(values), 3),
                      "n": len(values)}), flush=True)


def processes(runtime):
    """Command lines of every process of this run: its paths are in them."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if str(runtime) in line:
            found.append(line)
    return found


def listening(runtime):
    """Ports that processes of this run listen on: other programs of the host come and go."""
    rows = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    sockets = {f"socket:[{row.split()[9]}]" for row in rows if row.split()[3] == "0A"}
    found = 0
    for pid in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if f"VMTEST_RUNTIME_DIR={runtime}".encode() not in (pid / "environ").read_bytes():
                continue
            found += sum(os.readlink(fd) in sockets for fd in (pid / "fd").iterdir())
        except OSError:
            continue
    return found


def files(folder):
    return sum(len(names) + len(dirs) for _, dirs, names in os.walk(folder))


def worker_of(run):
    for pid in pathlib.Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split():
        if b"__worker" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None


def watch(run):
    """Samples of (resident KiB, open files) of the worker, once a second."""
    samples = []
    while run.poll() is None:
        time.sleep(1)
        try:
            pid = worker_of(run)
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            resident = next(l for l in status.splitlines() if l.startswith("VmRSS")).split()[1]
            samples.append((int(resident), len(os.listdir(f"/proc/{pid}/fd"))))
        except (OSError, StopIteration):
            continue
    return samples


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    image = sys.argv[2] if len(sys.argv) > 2 else "small"
    home = os.environ.get("VMTEST_HOME") or os.path.expanduser("~/.local/share/vmtest")
    with tempfile.TemporaryDirectory(prefix="vmtest-soak-") as work:
        suite = pathlib.Path(work) / "soak.lua"
        suite.write_text(SUITE % (rounds, image))
        runtime = pathlib.Path(work) / "run"
        runtime.mkdir(mode=0o700)
        environment = os.environ | {"VMTEST_RUNTIME_DIR": str(runtime)}
        start = time.monotonic()
        run = subprocess.Popen([VMTEST, "run", "-o", f"{work}/results", suite], env=environment,
                               stdout=subprocess.DEVNULL)
        samples = watch(run)
        took = time.monotonic() - start
        time.sleep(2)
        stayed = processes(runtime)
        left = files(runtime) + files(pathlib.Path(home) / "scratch")
        ports = listening(runtime)
    tenth = max(1, len(samples) // 10)
    resident, descriptors = zip(*samples)
    growth = statistics.median(resident[-tenth:]) - statistics.median(resident[tenth:2 * tenth])
    more_open = max(descriptors[-tenth:]) - max(descriptors[tenth:2 * tenth])
    say("soak_round", "ms", [took * 1000 / rounds])
    say("soak_worker_rss", "KiB", resident)
    say("soak_worker_growth", "KiB", [growth])
    say("soak_descriptors_growth", "files", [more_open])
    say("soak_processes_left", "processes", [len(stayed)])
    say("soak_files_left", "files", [left])
    say("soak_ports_left", "ports", [ports])
    for line in stayed:
        print("left running:", line, file=sys.stderr)
    good = (run.returncode == 0 and not stayed and not left and not ports
            and growth < GROWTH_KIB and more_open <= 0)
    return 0 if good else 1


sys.exit(main())
