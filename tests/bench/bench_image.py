"""Images: building, their size, clones of them."""
import json
import os
import shutil
import subprocess
import sys

from common import BUILD, VMTEST, WORK, alternately, has_image, ms, say


def disk_usage(folder):
    return sum(f.stat().st_blocks * 512 for f in folder.iterdir()) / (1 << 20)


class Build:
    """A recipe in a home of its own, so that the user's store stays as it is."""

    def __init__(self, recipe, *settings):
        self.recipe, self.latest = recipe, WORK / f"home-{recipe}" / "images" / "bench" / "latest"
        home = WORK / f"home-{recipe}"
        home.mkdir(mode=0o700)
        self.env = {**os.environ, "VMTEST_HOME": str(home)}
        self.words = [VMTEST, "image", "build", recipe, "bench", *settings]

    def make(self):
        return ms(self.words, env=self.env)

    def size(self):
        return disk_usage(self.latest)

    def packages(self):
        facts = json.loads((self.latest / "version.json").read_text())
        return sorted(facts["contents"]["packages"])


def debian_beside_mmdebstrap(rounds):
    """The same packages into a folder, by mmdebstrap alone: no kernel, no disk, no keys."""
    build, tree = Build("debian", "--set", "release=bookworm"), WORK / "tree"
    build.make()
    words = ["unshare", "--mount", "--propagation", "private", "mmdebstrap", "--mode=root",
             "--variant=minbase", "--format=directory", "--include=" + ",".join(build.packages()),
             "bookworm", str(tree)]

    def peer():
        shutil.rmtree(tree, ignore_errors=True)
        return ms(words)
    a, b = alternately(rounds, build.make, peer)
    say("image_build_debian", "ms", a, "mmdebstrap into a folder", b)
    used = sum(f.lstat().st_blocks * 512 for f in tree.rglob("*")) / (1 << 20)
    say("image_size_debian", "MiB", [build.size()], "the folder of mmdebstrap", [used])


def image_build():
    small = Build("small")
    small.make()  # fetches packages
    say("image_build_small", "ms", [small.make() for _ in range(3)])
    say("image_size_small", "MiB", [small.size()])
    if not has_image("bookworm"):
        print("image_build: no image bookworm, so Debian is left out", file=sys.stderr)
    elif os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        print("image_build: Debian needs root and mmdebstrap: left out", file=sys.stderr)
    else:
        debian_beside_mmdebstrap(3)


def clone_20GiB():
    """A clone of a 20 GiB image, a process each: what it takes, and its bytes on disk."""
    base, mine, peers = (str(WORK / name) for name in ("base.qcow2", "mine", "peers"))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", base, "20G"], check=True)
    a, b = alternately(50,
                       lambda: ms([str(BUILD / "tests/bench/clone_bench"), base, "qcow2", mine]),
                       lambda: ms(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2",
                                   "-b", base, peers]))
    subprocess.run(["qemu-img", "check", "-q", mine], check=True)
    say("clone_20GiB", "ms", a, "qemu-img create -b", b)
    say("clone_20GiB_disk", "bytes", [os.stat(mine).st_blocks * 512], "qemu-img create -b",
        [os.stat(peers).st_blocks * 512])
