"""Managed devices: the lab server under a crowd, against NanoMDM; a guest that enrolls."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

from common import BUILD, VMTEST, WORK, has_image, process, say, suite

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from peers import free_port, go_program  # noqa: E402  pylint: disable=wrong-import-position

DEVICES, AT_ONCE, ROUNDS = 10000, 64, 3
NANOMDM = "github.com/micromdm/nanomdm/cmd/nanomdm@v0.9.0"
PHASES = ("Authenticate", "TokenUpdate", "Idle")
LOAD = str(BUILD / "tests" / "bench" / "mdm_load")

PROXY = """
global
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend tls
    bind 127.0.0.1:{tls} ssl crt {cert}
    default_backend mdm
backend mdm
    server mdm 127.0.0.1:{plain}
"""

ENROLL = """
local lu = require "luaunit"
local vmtest = require "vmtest"
TestEnroll = vmtest.class { image = "device", needs = "mdm", reset = "test" }
function TestEnroll:enroll()
  local device = self.vm:enroll()
  device:command "DeviceInformation"
  for _ = 1, 5 do self.vm:sh "vmtest-device poll # nothing to do" end
  device:install_profile(%s)
end
for i = 1, 7 do TestEnroll["test" .. i] = TestEnroll.enroll end
"""


def resident(pid):
    """The most it ever had, KiB."""
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def load(*words):
    out = subprocess.run([LOAD, *words], check=True, capture_output=True, text=True).stdout
    rows = [json.loads(line) for line in out.splitlines()]
    failed = [r for r in rows if r["failed"]]
    if failed:
        sys.exit(f"mdm_load: {failed}")
    return {r["phase"]: r["per_second"] for r in rows}


def wait_for(port):
    for _ in range(400):
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", port)).close()
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


def lab_round(number):
    home, port = WORK / f"lab{number}", free_port()
    state, ca = home / "state", home / "mdm" / "ca"
    for folder in (home, state):
        folder.mkdir(mode=0o700)
    devices = str(home / "devices.pem")
    load("prepare", str(ca), str(DEVICES), devices, str(state / "lab.sqlite"))
    with process([VMTEST, "mdm", "serve", "--listen", f"127.0.0.1:{port}", "--state", str(state)],
                 env={**os.environ, "VMTEST_HOME": str(home)}) as server:
        wait_for(port)
        rates = load("run", devices, f"https://127.0.0.1:{port}/mdm", str(AT_ONCE), str(ca / "ca.pem"))
        return rates, resident(server.pid)


def certificate(folder):
    """A server's, with its key: what HAProxy reads."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                    "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "tls.key",
                    "-out", "tls.crt"], check=True, capture_output=True, cwd=folder)
    both = folder / "tls.pem"
    both.write_text((folder / "tls.crt").read_text() + (folder / "tls.key").read_text())
    return both


def nanomdm_round(number, program):
    """NanoMDM has no TLS of its own: HAProxy in front of it has, as its manual wants."""
    home, plain, tls = WORK / f"nano{number}", free_port(), free_port()
    home.mkdir(mode=0o700)
    devices = str(home / "devices.pem")
    load("prepare", str(home / "ca"), str(DEVICES), devices)
    (home / "haproxy.cfg").write_text(PROXY.format(tls=tls, plain=plain, cert=certificate(home)))
    words = [program, "-ca", "ca/ca.pem", "-storage", "filekv", "-storage-dsn", "db", "-listen",
             f"127.0.0.1:{plain}"]
    with process(words, cwd=home, env={**os.environ, "NANOMDM_API": "bench"}) as server, \
            process([shutil.which("haproxy", path=os.defpath + ":/usr/sbin"), "-db", "-f", "haproxy.cfg"],
                    cwd=home):
        wait_for(plain)
        wait_for(tls)
        rates = load("run", devices, f"https://127.0.0.1:{tls}/mdm", str(AT_ONCE), str(home / "tls.crt"))
        return rates, resident(server.pid)


def mdm_crowd():
    """10,000 devices, each with TLS and a connection of its own for each message."""
    program, why = go_program(NANOMDM)
    if program and not shutil.which("haproxy", path=os.defpath + ":/usr/sbin"):
        program, why = None, "there is no haproxy to give it TLS"
    if not program:
        print(f"no peer for the lab server: {why}", file=sys.stderr)
    ours, theirs = [], []
    for number in range(ROUNDS):
        ours.append(lab_round(number))
        if program:
            theirs.append(nanomdm_round(number, program))
    peer = "NanoMDM v0.9.0, filekv, TLS by HAProxy"
    for phase in PHASES:
        say(f"mdm_{phase.lower()}_{DEVICES}", "messages/s", [r[phase] for r, _ in ours], peer,
            [r[phase] for r, _ in theirs])
    say(f"mdm_memory_{DEVICES}", "KiB", [m for _, m in ours], "NanoMDM v0.9.0 (without HAProxy)",
        [m for _, m in theirs])


def mdm_guest():
    """Enrollment, a first command and an installation; the guest's own round trips are those of a poll."""
    if not has_image("device"):
        print('skipped: there is no image "device" (vmtest image build device)', file=sys.stderr)
        return
    profile = pathlib.Path(__file__).parents[2] / "testsuites/mdm/profiles/custom-settings.mobileconfig"
    out = WORK / "enroll"
    subprocess.run([VMTEST, "run", "-o", str(out), suite("enroll.lua", ENROLL % json.dumps(str(profile)))],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=WORK)
    ops = [e for e in map(json.loads, open(out / "events.jsonl", encoding="utf-8")) if e["type"] == "op"]
    times = {name: [o["ms"] for o in ops if o["op"] == name]
             for name in ("enroll", "device.command", "device.install_profile")}
    polls = [o["ms"] for o in ops if "nothing to do" in str(o.get("command"))]
    say("mdm_enroll_and_command", "ms", [a + b for a, b in zip(times["enroll"], times["device.command"])],
        "five polls of the guest: as many round trips", [5 * p for p in polls])
    say("mdm_install_profile", "ms", times["device.install_profile"], "two polls of the guest",
        [2 * p for p in polls])
    say("mdm_poll", "ms", polls)
