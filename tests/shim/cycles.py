#!/usr/bin/env python3
"""A thousand times started and stopped: the helper keeps no descriptor and next to no memory of that."""
import os
import sys

from helper import Folder, Helper

CYCLES = int(os.environ.get("VMTEST_VZ_CYCLES", "1000"))
WARM = CYCLES // 10
GROWTH_KIB = 2048  # of what is resident, beyond the first tenth


def use(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return len(os.listdir(f"/proc/{pid}/fd")), resident, len(os.listdir(f"/proc/{pid}/task"))


def main():
    folder = Folder()
    config = folder.config(console={"path": folder / "log"}, nics=[{"kind": "nat"}],
                           shares=[{"tag": "s", "path": folder / "shared"}],
                           disks=[{"path": folder / "disk", "bus": "virtio"}])
    helper = Helper(folder, zombies=False, MS=0)  # zombies are never freed
    with helper as c:
        c.ok("create", config=config)
        for i in range(CYCLES):
            c.ok("start", "running")
            c.ok("stop", "stopped")
            c.events.clear()
            if i == WARM:
                before = use(helper.process.pid)
        after = use(helper.process.pid)
    folder.cleanup()
    print(f"{CYCLES} cycles: descriptors {before[0]} -> {after[0]}, threads {before[2]} -> {after[2]}, "
          f"resident {before[1]} -> {after[1]} KiB")
    sanitized = b"__asan" in open(helper.program, "rb").read()  # keeps what is freed for a while
    sys.exit(after[0] > before[0] or after[2] > before[2] or
             (not sanitized and after[1] > before[1] + GROWTH_KIB))


if __name__ == "__main__":
    main()
