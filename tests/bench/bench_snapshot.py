"""Snapshots: what they take, and ours beside savevm and the raw technique."""
import json
import subprocess

from bench_snapshot_peers import RawPeer, SavevmPeer
from common import BUILD, ONE, WORK, command_line, has_image, kept_vm, say


def snapshots():
    """Of the small guest, by the agent and by ssh, and of Debian where its image is there."""
    for name, rounds, channels in (("small", 15, ("agent", "ssh")), ("bookworm", 7, ("agent",))):
        for channel in channels if has_image(name) else ():
            run = subprocess.run([str(BUILD / "tests/bench/snapshot_bench"), name, str(rounds),
                                  channel], check=True, capture_output=True, text=True)
            for line in run.stdout.splitlines():
                row = json.loads(line)
                row["name"] += f"_{name}_{channel}"
                print(json.dumps(row), flush=True)


class Ours:
    """A VM of snapshot_bench, which does one thing for each line that it reads."""

    def __init__(self, image):
        self.program = subprocess.Popen([str(BUILD / "tests/bench/snapshot_bench"), image, "-"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.program.stdin.close()  # it takes its VM with it
        self.program.wait()

    def _ask(self, what):
        print(what, file=self.program.stdin, flush=True)
        return float(self.program.stdout.readline())

    def take(self):
        return self._ask("take")

    def restore(self):
        return self._ask("restore")


def beside_peers(image, suffix, rounds):
    with kept_vm(ONE.replace("small", image)) as vm:
        argv = command_line(vm["pid"])
    with Ours(image) as ours, SavevmPeer(argv, WORK / f"savevm-{image}") as savevm, \
            RawPeer(argv, WORK / f"raw-{image}") as raw:
        for name, acts in (("snapshot_take", [p.take for p in (ours, savevm, raw)]),
                           ("snapshot_restore_first_command",
                            [p.restore for p in (ours, savevm, raw)])):
            times = [[act() for act in acts] for _ in range(rounds)]
            mine, first, second = zip(*times)
            say(name + suffix, "ms", mine, "savevm and loadvm", first)
            say(name + suffix, "ms", mine, "the raw technique", second)


def snapshot_peers():
    """The small guest, and Debian where its image is there, by their agent; by turns, each from the
    ask to the end."""
    beside_peers("small", "", 7)
    if has_image("bookworm"):
        beside_peers("bookworm", "_bookworm", 7)
