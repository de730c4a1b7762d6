"""What the benchmarks share: a folder, the rows, kept VMs, processes that end with us."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

VMTEST = os.path.abspath(os.environ.pop("VMTEST_PROGRAM", "build/release/vmtest"))
WORK = pathlib.Path(tempfile.mkdtemp(prefix="vmtest-bench-"))
BUILD = pathlib.Path(VMTEST).parent
HOME = pathlib.Path(os.environ.get("VMTEST_HOME") or os.path.expanduser("~/.local/share/vmtest"))

ONE = """
local lu = require "luaunit"
local vmtest = require "vmtest"
TestOne = vmtest.class { image = "small" }
function TestOne:testFirst() lu.assertEquals(self.vm:exec("echo ready").stdout, "ready\\n") end
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


def image(name="small"):
    folder = HOME / "images" / name / "latest"
    return folder, json.loads((folder / "image.json").read_text())


def has_image(name):
    return (HOME / "images" / name / "latest").exists()


@contextlib.contextmanager
def process(words, **kwargs):
    """One that is ended on every way out; where the host can, also if we are killed."""
    if shutil.which("setpriv"):
        words = ["setpriv", "--pdeathsig", "KILL", "--", *words]
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, **kwargs)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def our_vms():
    """Kept ones whose results are in our folder."""
    vms = json.loads(subprocess.run([VMTEST, "vm", "ls", "--json"], check=True,
                                    capture_output=True, text=True).stdout)
    return [v for v in vms if str(WORK) + os.sep in json.dumps(v)]


@contextlib.contextmanager
def kept_vm(text=ONE):
    """A VM of a suite that was run with --keep, as `vmtest vm ls` describes it."""
    try:
        subprocess.run([VMTEST, "run", "--keep", "always", "-o", str(WORK / "kept"),
                        suite("one.lua", text)], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, cwd=WORK)
        yield our_vms()[-1]
    finally:
        for vm in our_vms():
            subprocess.run([VMTEST, "vm", "rm", f"{vm['run']}/{vm['name']}"], check=False,
                           stderr=subprocess.DEVNULL)


def command_line(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]


def run_all(benchmarks):
    """Those that are named in our arguments, or all; our folder goes whatever happens."""
    names = [f.__name__ for f in benchmarks]
    wanted = sys.argv[1:] or names
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        unknown = set(wanted) - set(names)
        if unknown:
            sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
        for benchmark in benchmarks:
            if benchmark.__name__ in wanted:
                benchmark()
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
