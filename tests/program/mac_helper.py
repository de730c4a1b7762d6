#!/usr/bin/env python3
"""A stand-in for vmtest-vz, for tests of the scripts that drive it: the protocol (shim/vz/protocol.md), and no
machine. It powers off when the file $FAKE/off appears. What it was asked goes to $FAKE/requests. $FAKE_AGENT,
the agent built for this host, answers for the guest's."""
import base64
import json
import os
import select
import socket
import subprocess
import sys

FAKE = os.environ["FAKE"]
GUEST = os.environ.get("FAKE_GUEST", "15.1")


def error(domain, code, message, **more):
    return {"domain": domain, "code": code, "message": message, **more}


class Machine:
    def __init__(self, client):
        self.client, self.state, self.config, self.agent = client, "none", None, None

    def send(self, **message):
        self.client.sendall(json.dumps(message).encode() + b"\n")

    def restore_image(self, _):
        return {"url": "https://updates.example/x.ipsw", "build": "24B83", "os_version": GUEST,
                "hardware_model": base64.b64encode(b"model").decode(), "min_cpus": 2,
                "min_memory": 4 << 30, "supported": os.environ.get("FAKE_BROKEN") != "unsupported"}

    def create(self, request):
        self.config = config = request["config"]
        assert os.path.isabs(config["disks"][0]["path"]) and config["memory"] % (1 << 20) == 0
        with open(config["boot"]["auxiliary"], "wb") as auxiliary:
            auxiliary.write(b"what is in it")
        self.state = "stopped"
        return {"hardware_model": config["boot"]["hardware_model"],
                "machine_identifier": config.get("machine_identifier", "bWFj"),
                "macs": [config["nics"][0].get("mac", "5e:00:00:00:0b:01")]}

    def install(self, request):
        assert request["path"].startswith("/")
        if os.environ.get("FAKE_BROKEN") == "install":
            return error("VZErrorDomain", 10007, "Installation failed.",
                         underlying=error("AMRestoreErrorDomain", 78, "The device said no."))
        for fraction in (0.01, 0.5, 1):
            self.send(event="progress", op="install", fraction=fraction)
        with open(self.config["disks"][0]["path"], "r+b") as disk:
            os.posix_fallocate(disk.fileno(), 0, (1 << 30) + 4096)
        return {}

    def start(self, _):
        assert self.config.get("machine_identifier") and self.config["nics"][0].get("mac")
        self.state = "running"
        for port in self.config.get("vsock", []):
            assert port["port"] == 0x764D
            if os.environ.get("FAKE_BROKEN") != "agent":
                self.agent = subprocess.Popen([os.environ["FAKE_AGENT"], "--listen", port["socket"]])
        return {}

    def stop(self, _):
        self.state = "stopped"
        return {}

    def answer(self, line):
        request = json.loads(line)
        with open(os.path.join(FAKE, "requests"), "a", encoding="utf-8") as log:
            log.write(json.dumps(request) + "\n")
        reply = getattr(self, request["op"])(request)
        head = {"id": request["id"], "state": self.state}
        if "domain" in reply:
            self.send(**head, ok=False, error=reply)
        else:
            self.send(**head, ok=True, **reply)


def main():
    if sys.argv[1:] == ["--check"]:
        print('{"supported": true}')
        return
    if "VMTEST_LEASE_FD" in os.environ:
        with open(os.path.join(FAKE, "lease"), "a", encoding="utf-8") as log:
            log.write(os.readlink(f"/proc/self/fd/{os.environ['VMTEST_LEASE_FD']}") + "\n")
    tie = int(sys.argv[sys.argv.index("--tie") + 1])
    server = socket.socket(socket.AF_UNIX)
    server.bind(sys.argv[-1])
    server.listen(1)
    client = server.accept()[0]
    machine, buffer, off = Machine(client), b"", os.path.join(FAKE, "off")
    machine.send(event="hello", protocol=1, version="test", pid=os.getpid(), state="none")
    while True:
        ready = select.select([tie, client], [], [], 0.05)[0]
        if tie in ready:
            if machine.agent:
                machine.agent.kill()
            return
        if client in ready:
            buffer += client.recv(65536)
            while b"\n" in buffer:
                line, _, buffer = buffer.partition(b"\n")
                machine.answer(line)
        if machine.state == "running" and os.path.exists(off):
            os.unlink(off)
            machine.state = "stopped"
            machine.send(event="stopped")


main()
