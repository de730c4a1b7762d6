"""What others can do by hand: QEMU's savevm and loadvm, and its migration without the RAM, over
QMP and to the guest's own agent (shim/agent/protocol.md)."""
import array
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import time

from common import process

PATIENCE_S = 120
HELLO = b"\xf1vmtest\x0d\x9b\x5e\xc4\x27\xe8\x60\xb3\x1d"
WELCOME = b"\xf2vmtest\x0a\x44\xd9\x71\xae\x0b\x96\x3c\xe5"
MARK = 0x764D
EXEC, EXIT = 1, 8
SHELL = 2  # flag of EXEC


def nodes(argv):
    return [json.loads(word) for word in argv if word.startswith('{"driver"')]


def image_disk(argv):
    """The disk that the VM's own lies over: (file, format), or None."""
    return next(((node["file"]["filename"], node["driver"]) for node in nodes(argv)
                 if node["read-only"]), None)


def words_for(argv, folder, ram):
    """A VM's command line with sockets and its own disk in this folder and its RAM as told."""
    words = []
    for word in argv:
        word = re.sub(r"^socket,id=(qmp|console),fd=\d+,", rf"socket,id=\1,path={folder}/\1,", word)
        word = re.sub(r"^(socket,id=(agent|qga),.*path=).*", rf"\g<1>{folder}/\g<2>", word)
        if word.startswith('{"driver"') and not (node := json.loads(word))["read-only"]:
            node["file"]["filename"] = f"{folder}/disk.qcow2"
            word = json.dumps(node)
        word = re.sub(r",logappend=on,logfile=.*", "", word)
        word = re.sub(r"^memory-backend-file,id=ram0,mem-path=[^,]*,(.*),share=on$",
                      rf"memory-backend-file,id=ram0,mem-path={ram[0]},\1,share={ram[1]}", word)
        words.append(word)
    return words


def dial(path, qemu):
    """Asks until somebody listens."""
    end = time.monotonic() + PATIENCE_S
    while True:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(PATIENCE_S)
        try:
            s.connect(str(path))
            return s
        except OSError:
            s.close()
            if time.monotonic() > end or qemu.poll() is not None:
                raise
            time.sleep(0.001)


class Qmp:
    def __init__(self, path, qemu):
        self.socket = dial(path, qemu)
        self.lines = self.socket.makefile("rb")
        self.lines.readline()
        self.ask("qmp_capabilities")

    def close(self):
        self.lines.close()
        self.socket.close()

    def _read(self):
        line = self.lines.readline()
        if not line:
            raise RuntimeError("the peer's QEMU ended")
        return json.loads(line)

    def ask(self, name, fd=None, **arguments):
        text = json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n"
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd else []
        self.socket.sendmsg([text], rights)
        while True:
            answer = self._read()
            if "error" in answer:
                raise RuntimeError(f"{name}: {answer['error']}")
            if "return" in answer:
                return answer["return"]

    def human(self, line):
        said = self.ask("human-monitor-command", **{"command-line": line})
        if said.strip():
            raise RuntimeError(f"{line}: {said}")

    def migrated(self):
        end = time.monotonic() + PATIENCE_S
        while True:
            status = self.ask("query-migrate").get("status")
            if status == "completed":
                return
            if status == "failed" or time.monotonic() > end:
                raise RuntimeError(f"the peer's migration: {status}")
            time.sleep(0.0005)


class Agent:
    """One session, as little of it as an answered `true` takes."""

    def __init__(self, path, qemu):
        self.socket = dial(path, qemu)
        self.got = b""

    def close(self):
        self.socket.close()

    def _until(self, done):
        while not (found := done()):
            more = self.socket.recv(65536)
            if not more:
                raise RuntimeError("the peer's agent went away")
            self.got += more
        return found

    def true(self):
        """Greets anew and runs it; again each second while the agent is not there yet."""
        nonce = os.urandom(16)
        tag = struct.pack(">I", struct.unpack(">I", nonce[:4])[0] | 1)
        words = struct.pack(">III", SHELL, 1, 4) + b"true" + struct.pack(">II", 0, 0)
        welcome = WELCOME + struct.pack(">I", 1) + nonce
        end = time.monotonic() + PATIENCE_S
        self.got = b""
        self.socket.settimeout(1)
        while True:
            self.socket.sendall(HELLO + struct.pack(">I", 1) + nonce)
            try:
                self._until(lambda: welcome in self.got)
                break
            except TimeoutError:
                if time.monotonic() > end:
                    raise
        self.socket.settimeout(PATIENCE_S)
        self.got = self.got.split(welcome)[-1]
        self.socket.sendall(struct.pack(">IHBBI", len(words), MARK, EXEC, 0, 1) + words + tag)
        frame = struct.pack(">IHBBI", 4, MARK, EXIT, 0, 1) + bytes(4) + tag  # status 0
        self._until(lambda: frame in self.got)


class Peer:
    """A VM by hand. It ends with the block it is used in, however that is left."""

    def __init__(self, argv, folder):
        self.argv, self.folder = argv, folder
        folder.mkdir()
        self.running = None
        self.disk = folder / "disk.qcow2"
        self.base = image_disk(argv)
        if self.base:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", self.base[0], "-F",
                            self.base[1], str(self.disk)], check=True)

    def __enter__(self):
        try:
            self.prepare()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def start(self, words):
        self.running = process(words)
        self.qemu = self.running.__enter__()
        self.qmp = Qmp(self.folder / "qmp", self.qemu)
        self.agent = None

    def answer(self):
        if not self.agent:
            self.agent = Agent(self.folder / "agent", self.qemu)
        self.agent.true()

    def end(self):
        running, self.running = self.running, None
        if running:
            running.__exit__(None, None, None)

    def timed(self, act):
        start = time.perf_counter()
        act()
        return (time.perf_counter() - start) * 1000


class SavevmPeer(Peer):
    """It needs a disk that can hold a snapshot: where the guest has none, an empty one, which it does
    not use."""

    def prepare(self):
        more = []
        if not self.base:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(self.disk), "1M"],
                           check=True)
            more = ["-drive", f"file={self.disk},format=qcow2,if=virtio"]
        self.start(words_for(self.argv, self.folder, (self.folder / "ram", "on")) + more)
        self.qmp.ask("cont")
        self.answer()
        self.taken = False

    def take(self):
        if self.taken:  # ours is removed before the clock starts, too
            self.qmp.human("delvm one")
        self.taken = True
        self.answer()
        return self.timed(lambda: self.qmp.human("savevm one"))

    def restore(self):
        def act():
            self.qmp.human("loadvm one")
            self.answer()
        return self.timed(act)


class RawPeer(Peer):
    """The RAM is a file that many can map. Its snapshot is the devices' state alone: RAM and disk stay
    where they are and the VM is given up, so nothing is copied. Who is restored gets a copy of what
    the guest had written to its disk."""

    def prepare(self):
        self.ram, self.state = self.folder / "ram", self.folder / "state"
        self.kept = self.folder / "kept.qcow2"
        self.is_template = True
        self.start(words_for(self.argv, self.folder, (self.ram, "on")))
        self.qmp.ask("cont")
        self.answer()
        self.ignore_shared()

    def ignore_shared(self):
        self.qmp.ask("migrate-set-capabilities",
                     capabilities=[{"capability": "x-ignore-shared", "state": True}])

    def save(self):
        self.qmp.ask("stop")
        with open(self.state, "wb") as f:
            self.qmp.ask("getfd", fd=f.fileno(), fdname="state")
        self.qmp.ask("migrate", uri="fd:state")
        self.qmp.migrated()

    def take(self):
        """The VM goes on afterwards, so that it can be taken again."""
        self.answer()
        took = self.timed(self.save)
        self.qmp.ask("cont")
        return took

    def restore(self):
        def act():
            self.end()
            if self.base:
                shutil.copyfile(self.kept, self.disk)
            self.start(words_for(self.argv, self.folder, (self.ram, "off"))
                       + ["-incoming", "defer"])
            self.ignore_shared()
            with open(self.state, "rb") as f:
                self.qmp.ask("getfd", fd=f.fileno(), fdname="state")
            self.qmp.ask("migrate-incoming", uri="fd:state")
            self.qmp.migrated()
            self.qmp.ask("cont")
            self.answer()
        if self.is_template:
            self.save()  # from now on its RAM stands still, and its disk
            self.end()
            if self.base:
                self.disk.rename(self.kept)
            self.is_template = False
        return self.timed(act)
