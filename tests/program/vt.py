"""What the tests that run the vmtest program share: a private home, runs, leftovers."""
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

SKIPPED = 77
VMTEST = os.environ.get("VMTEST_PROGRAM", "build/dev/vmtest")


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(SKIPPED)


def image_store():
    home = os.environ.get("VMTEST_HOME")
    if not home:
        data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        home = os.path.join(data, "vmtest")
    return pathlib.Path(home) / "images"


def need_image(name="small"):
    if not (image_store() / name / "latest" / "image.json").exists():
        skip(f"no image \"{name}\" in {image_store()}: build it: vmtest image build {name}")
    if not (shutil.which("qemu-system-x86_64") or shutil.which("qemu-system-aarch64")):
        skip("no QEMU here")


def shown(fd, wanted, text="", patience=60):
    """Reads on from `text` up to what is wanted; all of it."""
    end = time.monotonic() + patience
    while wanted not in text:
        check(time.monotonic() < end, f"{wanted!r} is not in:", text[-2000:])
        if select.select([fd], [], [], 0.2)[0]:
            text += os.read(fd, 65536).decode(errors="replace")
    return text


class Home:
    """A VMTEST_HOME, a runtime folder and a working folder of its own; everything started with
    its environment can be found again by it."""

    def __init__(self, images=False):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="vmtest-it-"))
        self.home = self.path / "home"
        self.runtime = self.path / "rt"
        self.temp = self.path / "tmp"
        self.work = self.path / "work"
        for folder in (self.home, self.runtime, self.temp, self.work):
            folder.mkdir(mode=0o700)
        if images:
            (self.home / "images").symlink_to(image_store())
        accel = image_store().parent / "cache" / "accel.json"  # the probe's answer, for speed
        if accel.is_file():
            (self.home / "cache").mkdir(mode=0o700)
            shutil.copy(accel, self.home / "cache")
        self.env = {
            **os.environ,
            "VMTEST_HOME": str(self.home),
            "VMTEST_RUNTIME_DIR": str(self.runtime),
            "TMPDIR": str(self.temp),
            "VMTEST_LEASE_DIR": str(self.path / "leases"),
        }
        self.env.pop("VMTEST_PROGRAM", None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def suite(self, name, text):
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def start(self, *args, **kwargs):
        kwargs = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                  "stderr": subprocess.PIPE, "text": True, **kwargs}
        return subprocess.Popen([VMTEST, *args], cwd=self.work, env=self.env, **kwargs)

    def run(self, *args, timeout=300, env=None, **kwargs):
        return subprocess.run([VMTEST, *args], cwd=self.work, env={**self.env, **(env or {})},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=timeout, **kwargs)

    def processes(self):
        """Those whose environment names this home: the ids of everything vmtest started."""
        needle = f"VMTEST_HOME={self.home}".encode()
        found = {}
        for proc in pathlib.Path("/proc").iterdir():
            if not proc.name.isdigit() or int(proc.name) == os.getpid():
                continue
            try:
                if needle in (proc / "environ").read_bytes().split(b"\0"):
                    found[int(proc.name)] = (proc / "cmdline").read_bytes().replace(b"\0", b" ")
            except OSError:
                continue  # it ended meanwhile
        return found

    def files_left(self):
        """What a run may leave in no folder but its results. It may go while we look."""
        left = []
        for root in (self.runtime, self.temp, self.home / "scratch"):
            for folder, folders, files in os.walk(root):
                left += [os.path.join(folder, name) for name in folders + files]
        for folder, _, files in os.walk(self.home):
            left += [os.path.join(folder, name) for name in files if ".tmp-" in name]
        return [os.path.relpath(path, self.path) for path in left]

    def leftovers(self, patience=15.0, but=()):
        """Waits up to `patience` seconds for everything to be gone but these; what is not, is returned."""
        end = time.monotonic() + patience
        while True:
            left = [f"process {pid}: {cmd.decode(errors='replace')[:120]}"
                    for pid, cmd in self.processes().items()]
            left += [path for path in self.files_left() if path not in but]
            if not left or time.monotonic() > end:
                return left
            time.sleep(0.05)

    def events(self, results=None):
        folder = pathlib.Path(results) if results else self.work / "vmtest-results" / "latest"
        with open(folder / "events.jsonl", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines if line.endswith("\n")]

    def await_event(self, out, wanted, patience=120):
        """Waits until the run whose results go to `out` told an event that is wanted."""
        end, events = time.monotonic() + patience, []
        while time.monotonic() < end:
            try:
                events = self.events(self.work / out)
            except FileNotFoundError:
                pass
            if any(wanted(e) for e in events):
                return
            time.sleep(0.1)
        check(False, f"{out}: it does not come: {events}")

    def outcomes(self, results=None):
        """Outcomes by "Class.test", or "test" for a function."""
        return {".".join(filter(None, (e.get("class"), e["name"]))): e["outcome"]
                for e in self.events(results) if e["type"] == "test_end"}


def check(condition, *what):
    if not condition:
        print("FAILED:", *what)
        raise AssertionError(what[0] if what else "check failed")


def equal(got, wanted, *what):
    check(got == wanted, f"got {got!r}, wanted {wanted!r}", *what)


def contains(text, part, *what):
    check(part in text, f"{part!r} is not in:\n{text}", *what)


def main(tests):
    """Runs the functions given, each with its name shown; one failure fails the program."""
    failed = 0
    only = sys.argv[1:]
    for test in tests:
        if only and test.__name__ not in only:
            continue
        start = time.monotonic()
        try:
            test()
            verdict = "ok"
        except Exception as why:  # pylint: disable=broad-except
            if not isinstance(why, AssertionError):
                traceback.print_exc()
            verdict = "FAILED"
            failed += 1
        print(f"{verdict:6} {test.__name__} ({time.monotonic() - start:.1f}s)", flush=True)
    sys.exit(1 if failed else 0)
