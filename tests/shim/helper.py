"""The vz helper over the fake framework, as a test drives it."""
import base64
import itertools
import json
import os
import socket
import subprocess
import tempfile
import time

FAKE = os.environ.get("VMTEST_VZ_FAKE", "build/dev/tests/shim/vmtest-vz-fake")
VMTEST = os.environ.get("VMTEST_PROGRAM", "build/dev/vmtest")
SECONDS = float(os.environ.get("VMTEST_VZ_SECONDS", "30"))  # for whatever is waited for
MIB = 1 << 20
BAD, STATE, UNSUPPORTED, FILE, BUSY = 1, 2, 3, 4, 5
VZ = {"domain": "VZErrorDomain"}


class Failed(AssertionError):
    """A reply that was not what was expected."""


class Folder(tempfile.TemporaryDirectory):
    """A folder with the files that a VM needs."""

    def __init__(self):
        super().__init__(prefix="vtz-")
        self.count = itertools.count()
        for name, size in (("kernel", 4096), ("initrd", 512), ("disk", MIB), ("odd", 1000)):
            with open(self / name, "wb") as f:
                f.truncate(size)
        os.mkdir(self / "shared")

    def __truediv__(self, name):
        return os.path.join(os.path.realpath(self.name), name)

    def config(self, **members):
        boot = {"kind": "linux", "kernel": self / "kernel", "initrd": self / "initrd", "cmdline": "quiet"}
        return {"cpus": 2, "memory": 256 * MIB, "boot": boot} | members

    def mac_config(self, **members):
        boot = {"kind": "macos", "auxiliary": self / "aux", "hardware_model": b64(b"Mac2")}
        return self.config(boot=boot, disks=[{"path": self / "disk", "bus": "virtio"}], **members)


def catalogue():
    """vmtest's catalogue of Apple's features, by name."""
    words = [VMTEST, "features", "--host-version", "12", "--arch", "arm64", "--json"]
    return {one["name"]: one for one in json.loads(subprocess.run(words, capture_output=True, check=True).stdout)}


def b64(data):
    return base64.b64encode(data).decode()


def ipsw(f, text):
    with open(f / "ipsw", "w", encoding="utf-8") as file:
        file.write(text)
    return f / "ipsw"


def check(what, *told):
    if not what:
        raise Failed(*told)


def states(client):
    return [e["state"] for e in client.events if e["event"] == "state"]


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rb")
        self.events = []
        self.ids = itertools.count(1)
        self.hello = self.read()

    def read(self):
        line = self.lines.readline()
        return json.loads(line) if line else None

    def send(self, op, **members):
        number = next(self.ids)
        self.socket.sendall(json.dumps({"id": number, "op": op} | members).encode() + b"\n")
        return number

    def reply(self, number):
        while (message := self.read()) is not None:
            if "event" in message:
                self.events.append(message)
            elif message["id"] == number:
                return message
            else:
                raise Failed(f"a reply to {message['id']} instead of {number}: {message}")
        raise Failed("the helper went away")

    def ask(self, op, **members):
        return self.reply(self.send(op, **members))

    def ok(self, op, state=None, **members):
        reply = self.ask(op, **members)
        if not reply["ok"] or (state and reply["state"] != state):
            raise Failed(f"{op}: {reply}")
        return reply

    def fails(self, op, code, words="", domain="vmtest", **members):
        reply = self.ask(op, **members)
        error = reply.get("error", {})
        if reply["ok"] or (error["domain"], error["code"]) != (domain, code) or words not in error["message"]:
            raise Failed(f"{op} instead of {domain} {code} \"{words}\": {reply}")
        return reply

    def event(self, name):
        """The next event of this name, among those that were seen or are to come."""
        while not any(e["event"] == name for e in self.events):
            message = self.read()
            if message is None:
                raise Failed(f"the helper went away, and told no \"{name}\"")
            self.events.append(message)
        at = next(i for i, e in enumerate(self.events) if e["event"] == name)
        return self.events.pop(at)

    def close(self):
        self.lines.close()
        self.socket.close()


class Helper:
    """A helper process and its first client. Its end is checked: exit code 0, nothing on standard error."""

    all = []

    @staticmethod
    def kill_all():
        """Those that a failed test has left behind."""
        for process in Helper.all:
            if process.poll() is None:
                process.kill()
                process.wait()
        Helper.all.clear()

    def __init__(self, folder, program=FAKE, options=(), pass_fds=(), zombies=True, **fake):
        self.program = program
        self.path = folder / f"s{next(folder.count)}"
        # A message to an object that was freed ends the process.
        env = dict(os.environ)
        if zombies:
            env |= {"NSZombieEnabled": "YES", "CRASH_ON_ZOMBIE": "YES"}
        env |= {f"VMTEST_FAKE_VZ_{name}": str(value) for name, value in fake.items()}
        self.process = subprocess.Popen([program, *options, self.path], env=env, stderr=subprocess.PIPE,
                                        stdin=subprocess.DEVNULL, pass_fds=pass_fds)
        Helper.all.append(self.process)
        self.client = self.join()

    def join(self):
        end = time.monotonic() + SECONDS
        while True:
            try:
                return Client(self.path)
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.process.kill()
                    raise Failed(f"no helper: {error} {self.process.stderr.read()!r}") from error
            time.sleep(0.005)

    def end(self, code=0):
        """Waits for the end; what was on standard error."""
        rc = self.process.wait(SECONDS)
        said = self.process.stderr.read().decode()
        if rc != code or (code == 0 and said):
            raise Failed(f"the helper ended with {rc}: {said}")
        if code >= 0 and os.path.exists(self.path):
            raise Failed("its socket is still there")
        return said

    def __enter__(self):
        return self.client

    def __exit__(self, kind, value, trace):
        failed = True
        try:
            if kind is None:
                self.client.ok("quit")
                self.end()
                failed = False
        finally:
            self.process.kill()
            said = self.process.stderr.read().decode()
            self.process.wait()
            self.process.stderr.close()
            self.client.close()
            if failed and said:
                print("the helper said:", said)
