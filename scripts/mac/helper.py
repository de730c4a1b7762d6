#!/usr/bin/env python3
"""Drives vmtest-vz (shim/vz/protocol.md) for the recipe `macos`. What a machine is stands in one file:

  helper.py MACHINE.json look               asks what the IPSW is, and adds it to MACHINE.json
  helper.py MACHINE.json install            installs it, and adds the identity that was made
  helper.py MACHINE.json boot [PROVISIONING.json] -- COMMAND...
                                            runs COMMAND beside the running machine, and waits for the
                                            machine to power off; it is stopped where COMMAND fails
  helper.py MACHINE.json describe           writes image.json and contents.json

MACHINE.json: {"helper", "ipsw", "disk", "auxiliary", "cpus", "memory", "user", "image_dir",
"password_file"}. image.json holds the password too: a person at the screen needs it."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

LINE_MAX = 1 << 20
START_S, OFF_S = 30, 300
QUICK_S, INSTALL_S = 120, 3 * 3600
LEAST_USED = 1 << 30  # bytes of disk: a fraction of any macOS
AGENT_PORT = 30285  # of vsock (shim/agent/protocol.md)


class Failed(Exception):
    """One line for people."""


def told(error):
    """An ERROR of the protocol, with what lies beneath it."""
    parts, deep = [], 0
    while isinstance(error, dict) and deep < 5:
        text = error.get("message") or "no message"
        if error.get("reason") and error["reason"] != text:
            text += f" {error['reason']}"
        parts.append(f"{text} ({error.get('domain')} {error.get('code')})")
        error, deep = error.get("underlying"), deep + 1
    return ", because: ".join(parts) or "no reason was given"


def advice(error):
    """What to do about the failures that an installation meets."""
    known = {("VZErrorDomain", 6): "two macOS guests run on this host already: end one",
             ("VZErrorDomain", 10007): "a guest newer than the host fails so: update the host, or "
                                       "take an older IPSW",
             ("VZErrorDomain", -9): "unlock the login keychain: security unlock-keychain",
             ("VZErrorDomain", 2): "sign the helper: scripts/mac/sign"}
    error = error if isinstance(error, dict) else {}
    hint = known.get((error.get("domain"), error.get("code")))
    if error.get("code") == 2 and "entitlement" not in str(error.get("message")):
        hint = None  # something else in the configuration
    return f"; {hint}" if hint else ""


def lease():
    """The descriptor that holds this build's slot for a macOS guest: the guest's process holds it too."""
    fd = os.environ.get("VMTEST_LEASE_FD")
    return [int(fd)] if fd else []


class Helper:
    """One vmtest-vz, and so one machine. It ends with this process: --tie."""

    def __init__(self, program):
        self.folder = tempfile.mkdtemp(prefix="vz-", dir="/tmp")  # short: sockets' paths are
        path = os.path.join(self.folder, "s")
        tie, self.tied = os.pipe()
        self.process = subprocess.Popen([program, "--tie", str(tie), path], pass_fds=[tie, *lease()],
                                        stdin=subprocess.DEVNULL)
        os.close(tie)
        self.events, self.next_id, self.buffer = [], 0, b""
        self.socket = socket.socket(socket.AF_UNIX)
        end = time.monotonic() + START_S
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError as why:
                if self.process.poll() is not None:
                    raise Failed(f"{program} ended with status {self.process.returncode}") from why
                if time.monotonic() > end:
                    raise Failed(f"{program} does not answer") from why
                time.sleep(0.05)
        hello = self.read(START_S)
        if hello.get("event") != "hello" or hello.get("protocol") != 1:
            raise Failed(f"{program} speaks another protocol: {hello}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.tied)
        self.socket.close()
        try:
            self.process.wait(START_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def read(self, seconds):
        end = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                piece = self.socket.recv(65536)
            except socket.timeout:
                raise Failed(f"the helper told nothing for {seconds:.0f} s") from None
            self.buffer += piece
            if not piece:
                raise Failed("the helper has gone")
            if len(self.buffer) > LINE_MAX:
                raise Failed("the helper sent a line that is too long")
        line, _, self.buffer = self.buffer.partition(b"\n")
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise Failed("the helper sent what is no JSON object")
        return message

    def call(self, op, seconds, **members):
        """The reply; events that come before it are kept, progress is shown."""
        self.next_id += 1
        request = {"id": self.next_id, "op": op, **members}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        end, shown = time.monotonic() + seconds, -1
        while True:
            message = self.read(max(0.01, end - time.monotonic()))
            if message.get("event") == "progress":
                percent = int(100 * float(message.get("fraction", 0)))
                if percent // 5 != shown:
                    shown = percent // 5
                    print(f"{op}: {percent} %", file=sys.stderr, flush=True)
            elif "event" in message:
                self.events.append(message)
            elif message.get("id") == self.next_id:
                if message.get("ok") is not True:
                    error = message.get("error")
                    raise Failed(f"{op}: {told(error)}{advice(error)}")
                return message

    def await_off(self, seconds):
        end = time.monotonic() + seconds
        while True:
            for event in self.events:
                if event.get("event") == "failed":
                    raise Failed(f"the machine failed: {told(event.get('error'))}")
                if event.get("event") == "stopped":
                    return
            self.events = [self.read(max(0.01, end - time.monotonic()))]


def write(path, value):
    """Whole or not at all, and for nobody else: there may be a password in it."""
    part = f"{path}.part"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
    os.replace(part, path)


def config(machine):
    nic = {"kind": "nat"}
    if machine.get("macs"):
        nic["mac"] = machine["macs"][0]
    made = {"cpus": machine["cpus"], "memory": machine["memory"],
            "boot": {"kind": "macos", "auxiliary": machine["auxiliary"],
                     "hardware_model": machine["hardware_model"]},
            "disks": [{"path": machine["disk"], "bus": "virtio"}], "nics": [nic],
            "screen": {"width": 1440, "height": 900}}
    if machine.get("machine_identifier"):
        made["machine_identifier"] = machine["machine_identifier"]
    return made


def look(machine):
    members = {"path": machine["ipsw"]} if machine.get("ipsw") else {}
    with Helper(machine["helper"]) as helper:
        reply = helper.call("restore_image", QUICK_S, **members)
    if not reply.get("supported"):
        raise Failed(f"macOS {reply.get('os_version')} ({reply.get('build')}) cannot run on this Mac")
    for key, least in (("cpus", "min_cpus"), ("memory", "min_memory")):
        if machine[key] < reply.get(least, 0):
            raise Failed(f"macOS {reply['os_version']} needs at least {reply[least]} for {key}; "
                         f"{machine[key]} were given")
    machine.update({key: reply[key] for key in ("os_version", "build", "hardware_model", "url")})
    print(f"macOS {machine['os_version']} ({machine['build']}), supported here")


def install(machine):
    with Helper(machine["helper"]) as helper:
        made = helper.call("create", QUICK_S, config=config(machine))
        machine["machine_identifier"] = made["machine_identifier"]
        machine["macs"] = made["macs"]
        helper.call("install", INSTALL_S, path=machine["ipsw"])
    used = os.stat(machine["disk"]).st_blocks * 512
    if not os.path.isfile(machine["auxiliary"]) or used < LEAST_USED:
        raise Failed(f"the helper says it is installed, and the disk holds {used} bytes only")
    print(f"installed: {used >> 20} MiB on disk, MAC {machine['macs'][0]}")


def boot(machine, words):
    if "--" not in words or not words[words.index("--") + 1:]:
        raise Failed("boot needs -- and a command")
    at = words.index("--")
    start = {}
    if words[:at]:
        start["provisioning"] = json.loads(pathlib.Path(words[0]).read_text(encoding="utf-8"))
    with Helper(machine["helper"]) as helper:
        agent = os.path.join(helper.folder, "a")
        helper.call("create", QUICK_S, config={
            **config(machine), "vsock": [{"port": AGENT_PORT, "socket": agent}]})
        helper.call("start", QUICK_S, **start)
        env = {**os.environ, "VMTEST_GUEST_MAC": machine["macs"][0], "VMTEST_GUEST_AGENT": agent}
        status = subprocess.run(words[at + 1:], env=env, stdin=subprocess.DEVNULL,
                                check=False).returncode
        if status:
            helper.call("stop", QUICK_S)
            raise Failed(f"{os.path.basename(words[at + 1])} ended with status {status}")
        helper.await_off(OFF_S)
    print("the guest powered off")


def describe(machine):
    folder = machine["image_dir"]
    with open(machine["password_file"], encoding="utf-8") as file:
        password = file.readline().rstrip("\n")
    write(os.path.join(folder, "image.json"), {
        "format": 1, "os": "macos", "os_version": machine["os_version"], "arch": "aarch64",
        "memory": machine["memory"],
        "cpus": machine["cpus"], "disk": os.path.basename(machine["disk"]), "disk_format": "raw",
        "auxiliary": os.path.basename(machine["auxiliary"]),
        "hardware_model": machine["hardware_model"], "boot_deadline": "180s",
        "shutdown": "sudo -n shutdown -h now", "reboot": "sudo -n shutdown -r now",
        "channels": ["agent", "ssh"],
        "ssh": {"user": machine["user"], "key": "id_ed25519", "password": password,
                "host_key": machine["host_key"]},
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "description": f"macOS {machine['os_version']} ({machine['build']})"})
    write(os.path.join(folder, "contents.json"), {
        "kernel": machine["facts"].get("kernel", ""),
        "system": f"macOS {machine['os_version']} ({machine['build']})", "packages": {}})


def main():
    if len(sys.argv) < 3 or sys.argv[2] not in ("look", "install", "boot", "describe"):
        sys.exit(__doc__)
    path, what = sys.argv[1:3]
    try:
        machine = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        if what == "boot":
            boot(machine, sys.argv[3:])
            return
        {"look": look, "install": install, "describe": describe}[what](machine)
        write(path, machine)
    except (Failed, OSError, KeyError, ValueError) as why:
        reason = f"{path} has no {why}" if isinstance(why, KeyError) else str(why)
        sys.exit(f"helper.py: {reason}")


if __name__ == "__main__":
    main()
