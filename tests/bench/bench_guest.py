"""The way to a guest: its first command, round trips, transfers, shares."""
import json
import pathlib
import re
import subprocess
import sys
import time

from common import (BUILD, ONE, VMTEST, WORK, alternately, command_line, image, kept_vm,
                    process, say, suite)

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from peers import free_port  # noqa: E402  pylint: disable=wrong-import-position


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


def by_hand(argv, port):
    """That command line without what only its own parent could give it: sockets, descriptors."""
    words = []
    for word in argv:
        before = words[-1] if words else ""
        if before in ("-chardev", "-mon", "-serial") or (before == "-device" and "chardev=" in word):
            words.pop()
        elif word.startswith("user,id="):
            words.append(f"{word},hostfwd=tcp:127.0.0.1:{port}-:22")
        elif word != "-S":  # it starts at once
            words.append(re.sub(r"^memory-backend-file,(.*)mem-path=/proc/self/fd/\d+,",
                                r"memory-backend-memfd,\1", word))
    return words


def ssh_words(folder, description, port):
    ssh = description["ssh"]
    return ["ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o",
            "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=20",
            "-i", str(folder / ssh["key"]), "-p", str(port), f"{ssh['user']}@127.0.0.1",
            "echo ready"]


def peer_to_first_command(argv, folder, description, port):
    console = WORK / "peer-console"
    console.unlink(missing_ok=True)
    ready = description.get("ready", "ready").encode()
    start = time.perf_counter()
    with process(by_hand(argv, port) + ["-serial", f"file:{console}"]) as qemu:
        while not console.exists() or ready not in console.read_bytes():
            if time.perf_counter() - start > 120 or qemu.poll() is not None:
                raise RuntimeError("the peer's guest does not boot")
            time.sleep(0.005)
        while subprocess.run(ssh_words(folder, description, port), check=False,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            if time.perf_counter() - start > 120:
                raise RuntimeError("the peer's guest does not answer")
        return (time.perf_counter() - start) * 1000


def first_command():
    folder, description = image()
    with kept_vm() as vm:  # its very command line, but for its sockets
        argv = command_line(vm["pid"])
    a, b = alternately(7, ours_to_first_command,
                       lambda: peer_to_first_command(argv, folder, description, free_port()))
    say("first_command", "ms", a, "qemu by hand, then ssh", b)


def on_kept_vm(*, agent):
    """Round trips and transfers on one kept VM, by the benchmark of the channels."""
    folder, description = image()
    with kept_vm() as vm:
        ssh = vm["facts"]["ssh"]
        subprocess.run([str(BUILD / "tests/bench/ssh_bench"), ssh["host"], str(ssh["port"]),
                        description["ssh"]["user"], str(folder / description["ssh"]["key"]), "5"]
                       + ([vm["facts"]["agent"]["socket"]] if agent else []), check=True)


def guest_session():
    on_kept_vm(agent=False)


def agent_session():
    on_kept_vm(agent=True)


SHARE = """
local vmtest = require "vmtest"
local MIB = 64
TestShare = vmtest.class { vm = { image = "small", disks = { { name = "plain", size = "128M" } },
  shares = { { name = "share", path = "share" } } } }
function TestShare:testShare()
  local vm = self.vm
  local function took(line)
    local before = vmtest.time()
    vm:sh(line, { timeout = 300 })
    return (vmtest.time() - before) * 1000
  end
  vm:mount_share("share", "/mnt/share")
  local disk = vm:sh("for d in /sys/block/vd*; do grep -q plain $d/serial && basename $d; done; :")
  local plain = "/dev/" .. disk.stdout:match("%S+")
  local function write(to) return took(("dd if=/dev/zero of=%s bs=1M count=%d conv=fsync"):format(to, MIB)) end
  local function read(from)
    vm:sh("echo 3 > /proc/sys/vm/drop_caches")
    return took(("dd if=%s of=/dev/null bs=1M count=%d"):format(from, MIB))
  end
  write(plain) -- its room on the host is there from now on
  write("/mnt/share/file")
  local rows <close> = assert(io.open("share-rows", "w"))
  for _ = 1, ROUNDS do
    rows:write(("write %.3f %.3f\\n"):format(write("/mnt/share/file"), write(plain)))
    rows:write(("read %.3f %.3f\\n"):format(read("/mnt/share/file"), read(plain)))
  end
end
"""


def shares():
    """64 MiB by dd in the guest, past its cache, to a shared folder and to a disk of its own."""
    (WORK / "share").mkdir(exist_ok=True)
    run = subprocess.run([VMTEST, "run", suite("share.lua", SHARE.replace("ROUNDS", "5"))],
                         check=False, capture_output=True, text=True, cwd=WORK)
    if run.returncode:
        raise RuntimeError(f"the suite of the shares failed:\n{run.stdout}{run.stderr}")
    rows = [line.split() for line in (WORK / "share-rows").read_text().splitlines()]
    for way in ("read", "write"):
        say(f"share_{way}", "ms", [float(r[1]) for r in rows if r[0] == way],
            "a plain disk of the same guest", [float(r[2]) for r in rows if r[0] == way])
