"""The vz helper over the fake framework: what it costs beside the VM that it hosts."""
import json
import os
import socket
import sys
import time

from common import BUILD, WORK, alternately, process, say

FAKE = BUILD / "tests/shim/vmtest-vz-fake"
ECHO = """
import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1); c, _ = s.accept()
while (data := c.recv(65536)): c.sendall(data)
"""


def connect(path):
    end = time.monotonic() + 20
    while True:
        try:
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(str(path))
            return peer, peer.makefile("rb")
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def ask(peer, op, **members):
    """Sends a request and reads to its reply, past events; milliseconds."""
    line = json.dumps({"id": 1, "op": op} | members).encode() + b"\n"
    start = time.perf_counter()
    peer[0].sendall(line)
    while b'"id":1' not in (reply := peer[1].readline()):
        pass
    took = (time.perf_counter() - start) * 1000
    if b'"ok":true' not in reply:
        raise RuntimeError(reply)
    return took


def echo(peer):
    start = time.perf_counter()
    peer[0].sendall(b'{"id": 1, "op": "state"}\n')
    peer[1].readline()
    return (time.perf_counter() - start) * 1000


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def vz_helper():
    if not FAKE.exists():
        print("vz_helper: there is no vmtest-vz-fake (clang and GNUstep are needed)", file=sys.stderr)
        return
    kernel = WORK / "kernel"
    kernel.write_bytes(bytes(4096))
    config = {"cpus": 1, "memory": 256 << 20, "boot": {"kind": "linux", "kernel": str(kernel)}}
    env = os.environ | {"VMTEST_FAKE_VZ_MS": "0"}
    with process([str(FAKE), str(WORK / "vz")], env=env) as helper, \
            process([sys.executable, "-c", ECHO, str(WORK / "echo")]):
        ours, theirs = connect(WORK / "vz"), connect(WORK / "echo")
        ours[1].readline()
        ask(ours, "create", config=config)
        a, b = alternately(2000, lambda: ask(ours, "state"), lambda: echo(theirs))
        say("vz_round_trip", "ms", a, "an echo server on a Unix socket", b)
        say("vz_start_stop", "ms", [ask(ours, "start") + ask(ours, "stop") for _ in range(1000)])
        say("vz_rss", "KiB", [resident(helper.pid)])
