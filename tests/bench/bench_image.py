"""Images: building, their size, clones of them."""
import os
import shutil
import subprocess
import sys

from common import BUILD, VMTEST, WORK, alternately, has_image, ms, say


def disk_usage(folder):
    return sum(f.stat().st_blocks * 512 for f in folder.iterdir()) / (1 << 20)


def build_image(recipe, n, *settings):
    """In a home of its own, so that the user's store stays as it is; the first fetches packages."""
    home = WORK / f"home-{recipe}"
    home.mkdir(mode=0o700)
    env = {**os.environ, "VMTEST_HOME": str(home)}
    words = [VMTEST, "image", "build", recipe, "bench", *settings]
    first = ms(words, env=env)
    again = [ms(words, env=env) for _ in range(n)]
    say(f"image_build_{recipe}", "ms", again or [first])
    say(f"image_size_{recipe}", "MiB", [disk_usage(home / "images" / "bench" / "latest")])


def image_build():
    build_image("small", 3)
    if not has_image("bookworm"):
        print("image_build: no image bookworm, so Debian is left out", file=sys.stderr)
    elif os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        print("image_build: Debian needs root and mmdebstrap: left out", file=sys.stderr)
    else:
        build_image("debian", 0, "--set", "release=bookworm")


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
