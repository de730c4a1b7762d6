#!/usr/bin/env python3
"""Runs one suite of this folder on one target: contract.py TARGET SUITE. 77: skipped."""
import getpass
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
VMTEST = os.environ["VMTEST_PROGRAM"]
IMAGE = "small"
IMAGE_WITH = {"qga": "small-qga"}  # channels that it does not have
USB_IMAGE = "small-generic"  # the small one's kernel knows no USB
TART_IMAGE = "small-disk"
STANDIN = HERE.parent / "standin"


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def channels(image):
    """The ways in that the image names, from the store."""
    shown = subprocess.run([VMTEST, "image", "show", image, "--json"], capture_output=True, text=True)
    if shown.returncode:
        skip(f"there is no image \"{image}\": {shown.stderr.strip()}")
    return [way["channel"] for way in json.loads(shown.stdout)["ways_in"]]


def qemu(channel, image=None):
    if not shutil.which("qemu-system-" + os.uname().machine):
        skip("there is no QEMU")
    image = image or IMAGE_WITH.get(channel, IMAGE)
    if channel not in channels(image):
        skip(f"the image \"{image}\" has no channel \"{channel}\"")
    return {"CONTRACT_DRIVER": "qemu", "CONTRACT_CHANNEL": channel, "CONTRACT_IMAGE": image}


def vz(suite):
    """VMs of the vz driver on the fake framework, whose guest is a real one, by QEMU."""
    helper = os.environ.get("VMTEST_VZ", "")
    if not os.access(helper, os.X_OK):
        skip("the fake framework was not built (it needs GNUstep)")
    target = qemu("agent", USB_IMAGE if suite == "hot_disks" else None) | {"CONTRACT_DRIVER": "vz"}
    os.environ["VMTEST_FAKE_VZ_GUEST"] = "qemu"
    return target


def key(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path.with_suffix(".pub").read_text().rsplit(" ", 1)[0]


def sshd(folder):
    """A server on loopback that lets this user in by a new key: (process, environment)."""
    program = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
    sftp = next((p for p in ["/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server"]
                 if os.path.exists(p)), None)
    if not program or not sftp or not shutil.which("ssh-keygen"):
        skip("there is no OpenSSH server")
    os.makedirs("/run/sshd", exist_ok=True)
    host_key = key(folder / "host")
    (folder / "authorized").write_text(key(folder / "user") + "\n")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\nMaxSessions 64\n"
        f"Subsystem sftp {sftp}\nPermitRootLogin yes\n"
        f"SetEnv HOME={folder}\n")  # not this user's shell profile
    process = subprocess.Popen([program, "-D", "-e", "-f", folder / "config"],
                               stderr=(folder / "log").open("w"))
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    return process, {
        "CONTRACT_DRIVER": "ssh", "CONTRACT_SSH_HOST": "127.0.0.1", "CONTRACT_SSH_PORT": str(port),
        "CONTRACT_SSH_USER": getpass.getuser(), "CONTRACT_SSH_KEY": str(folder / "user"),
        "CONTRACT_SSH_HOST_KEY": host_key}


def tart(folder):
    """The stand-in for `tart`, with one VM to clone."""
    if os.geteuid():
        skip("the stand-in for tart needs root: its guests have addresses with port 22")
    if not shutil.which("qemu-system-" + os.uname().machine) or not shutil.which("qemu-img"):
        skip("there is no QEMU")
    channels(TART_IMAGE)
    image = json.loads(subprocess.run([VMTEST, "image", "show", TART_IMAGE, "--json"], capture_output=True,
                                      text=True, check=True).stdout)
    environment = {"PATH": f"{STANDIN}:{os.environ['PATH']}", "TART_HOME": str(folder / "tart")}
    subprocess.run(["tart", "standin-import", "golden", image["dir"]], check=True,
                   env={**os.environ, **environment})
    golden = json.loads((folder / "tart/vms/golden/config.json").read_text())
    return {**environment, "CONTRACT_DRIVER": "tart", "CONTRACT_IMAGE": "golden",
            "CONTRACT_TART_USER": golden["user"], "CONTRACT_TART_KEY": golden["key"]}


def run(suite, target, folder):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CONTRACT_")} | target
    return subprocess.run([VMTEST, "run", "-o", folder / "results", HERE / f"{suite}.lua"],
                          env=environment).returncode


def main():
    target, suite = sys.argv[1:]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vmtest-contract-"))
    server = None
    try:
        if target == "sim":
            environment = {"CONTRACT_DRIVER": "sim"}
        elif target == "ssh":
            server, environment = sshd(folder)
        elif target == "tart":
            environment = tart(folder)
        elif target == "vz":
            environment = vz(suite)
        else:
            environment = qemu(target.removeprefix("qemu-"))
        return run(suite, environment, folder)
    finally:
        if server:
            server.terminate()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


sys.exit(main())
