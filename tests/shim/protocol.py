#!/usr/bin/env python3
"""protocol.md, operation by operation, on the helper over the fake framework."""
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback

from helper import FAKE, MIB, Client, Failed, Folder, Helper, b64

BAD, STATE, UNSUPPORTED, FILE, BUSY = 1, 2, 3, 4, 5
VZ = {"domain": "VZErrorDomain"}


def check(what, *told):
    if not what:
        raise Failed(*told)


def states(client):
    return [e["state"] for e in client.events if e["event"] == "state"]


def test_hello_says_that_it_is_a_fake(f):
    with Helper(f) as c:
        check(c.hello | {"pid": 0} == {"event": "hello", "protocol": 1, "version": c.hello["version"], "pid": 0,
                                       "state": "none", "fake": True}, c.hello)
        check(c.ok("host")["fake"] is True)
    said = subprocess.run([FAKE, "--version"], capture_output=True, check=True, text=True).stdout
    check("fake" in said and c.hello["version"] in said, said)
    host = json.loads(subprocess.run([FAKE, "--check"], capture_output=True, check=True).stdout)
    check(host["fake"] is True and host["supported"] is True, host)


def test_host(f):
    with Helper(f, OS="15.1", UNSUPPORTED=1, ROSETTA="not_installed", NESTED=1) as c:
        host = c.ok("host", "none")
        for name, value in {"supported": False, "os_version": "15.1", "arch": "arm64", "nested": True,
                            "rosetta": "not_installed", "min_cpus": 1, "max_cpus": 8,
                            "min_memory": 128 * MIB, "max_memory": 64 << 30,
                            "bridges": [{"id": "en0", "name": "Wi-Fi"}, {"id": "en7"}]}.items():
            check(host[name] == value, name, host)
    with Helper(f, OS="14.0", NESTED=1) as c:
        check(c.ok("host")["nested"] is False)


def test_life(f):
    with Helper(f) as c:
        for op in ("start", "stop", "pause", "resume", "request_stop", "validate_save", "cancel"):
            c.fails(op, STATE, "no VM yet")
        made = c.ok("create", "stopped", config=f.config())
        check(made["macs"] == [] and len(made["machine_identifier"]) > 10, made)
        for op in ("stop", "pause", "resume", "request_stop"):
            check(c.fails(op, STATE, "while the VM is stopped")["state"] == "stopped")
        c.ok("start", "running")
        c.fails("start", STATE, "while the VM is running")
        c.fails("resume", STATE)
        c.ok("pause", "paused")
        c.fails("request_stop", STATE)
        c.fails("create", STATE, config=f.config())
        c.ok("resume", "running")
        c.ok("stop", "stopped")
        check(states(c) == ["stopped", "starting", "running", "pausing", "paused", "resuming", "running",
                            "stopping", "stopped"], states(c))
        c.events.clear()
        c.ok("start", "running")
        check(c.ok("request_stop")["state"] in ("running", "stopped"))
        c.event("stopped")
        check(states(c)[-1] == "stopped" and c.ok("state")["state"] == "stopped")
        c.ok("start", "running")  # and once more


def test_order_of_requests(f):
    with Helper(f, MS=20) as c:
        numbers = [c.send("create", config=f.config()), c.send("state"), c.send("start"), c.send("state")]
        replies = {}
        while len(replies) < 4:
            message = c.read()
            if "id" in message:
                replies[message["id"]] = message
        check([replies[n]["ok"] for n in numbers] == [True] * 4, replies)
        check(replies[numbers[1]]["state"] == "stopped" and replies[numbers[3]]["state"] == "starting", replies)


def test_save_and_restore(f):
    with Helper(f) as c:
        made = c.ok("create", config=f.config())
        c.ok("validate_save")
        c.ok("start", "running")
        c.fails("save", STATE, "running", path=f / "saved")
        c.ok("pause")
        check(c.ok("save", "paused", path=f / "saved")["state"] == "paused")
        with open(f / "saved", "rb") as file:
            kept = file.read()
        c.fails("save", FILE, "exists already", path=f / "saved")
        with open(f / "saved", "rb") as file:
            check(file.read() == kept)
        c.fails("restore", STATE, "paused", path=f / "saved")
        c.fails("save", 11, "No such file", **VZ, path=f / "none/such")
        check("saving" in states(c), states(c))
    with Helper(f) as c:
        again = c.ok("create", config=f.config(machine_identifier=made["machine_identifier"]))
        check("machine_identifier" not in again, again)
        c.fails("restore", FILE, "/none", path=f / "none")
        c.fails("restore", 12, "no saved guest", **VZ, path=f / "kernel")
        check(c.ok("state")["state"] == "stopped")
        c.ok("restore", "paused", path=f / "saved")
        check("restoring" in states(c), states(c))
        c.ok("resume", "running")
    with Helper(f) as c:
        c.ok("create", config=f.config(cpus=3, machine_identifier=made["machine_identifier"]))
        c.fails("restore", 12, "another configuration", **VZ, path=f / "saved")


def test_what_cannot_be_saved(f):
    with Helper(f) as c:
        c.ok("create", config=f.config(screen={"width": 800, "height": 600}))
        c.fails("validate_save", 2, "this configuration cannot be saved: A USB input", **VZ)
        c.ok("start")
        c.ok("pause")
        c.fails("save", 2, "cannot be saved", **VZ, path=f / "saved")
        check(not os.path.exists(f / "saved"))
    with Helper(f) as c:  # a Mac's own keyboard and trackpad do not block it
        c.ok("create", config=f.mac_config(screen={"width": 800, "height": 600}))
        c.ok("validate_save")
    with Helper(f, OS="13.0") as c:
        c.ok("create", config=f.config())
        c.fails("validate_save", UNSUPPORTED, "needs macOS 14 on the host and Apple silicon"[:15])
        c.ok("start")
        c.ok("pause")
        c.fails("save", UNSUPPORTED, "saving and restoring a VM needs macOS 14", path=f / "saved")


def test_macos_guest(f):
    with Helper(f) as c:
        made = c.ok("create", config=f.mac_config())
        check(os.path.exists(f / "aux") and made["machine_identifier"], made)
        c.ok("start", "running", recovery=True)
    with open(f / "aux", "wb") as file:
        file.write(b"what the guest wrote")
    with Helper(f) as c:  # it is not overwritten
        c.ok("create", config=f.mac_config(machine_identifier=made["machine_identifier"]))
        c.ok("start", "running", recovery=False)
    with open(f / "aux", "rb") as file:
        check(file.read() == b"what the guest wrote")
    for model, code, words in ((b"Mac9", UNSUPPORTED, "hardware model"), (b"PC", BAD, "no hardware model")):
        with Helper(f) as c:
            config = f.mac_config()
            config["boot"]["hardware_model"] = b64(model)
            c.fails("create", code, words, config=config)
    with Helper(f) as c:
        c.fails("create", BAD, "config.machine_identifier", config=f.mac_config(machine_identifier=b64(b"other")))
        os.unlink(f / "aux")
        config = f.mac_config(nics=[{"kind": "bridged", "interface": "en99"}])
        c.fails("create", BAD, 'no interface "en99"', config=config)
        check(not os.path.exists(f / "aux"), "what was made for it is left behind")
        del config["boot"]["hardware_model"]
        c.fails("create", BAD, "config.boot.hardware_model", config=config)
    with Helper(f, FAIL="auxiliary=8") as c:
        c.fails("create", 8, "config.boot.auxiliary: ", **VZ, config=f.mac_config())


def test_efi_guest(f):
    config = f.config(boot={"kind": "efi", "variables": f / "variables"})
    with Helper(f) as c:
        c.ok("create", config=config)
        check(os.path.exists(f / "variables"))
        c.ok("start", "running")
        c.ok("stop")
        c.fails("start", BAD, "recovery: is for macOS guests", recovery=True)
    with open(f / "variables", "wb") as file:
        file.write(b"boot order")
    with Helper(f) as c:
        c.ok("create", config=config)
    with open(f / "variables", "rb") as file:
        check(file.read() == b"boot order")


def test_every_device(f):
    os.mkdir(f / "more")
    config = f.config(
        disks=[{"path": f / "disk", "bus": "virtio", "read_only": True, "id": "root", "caching": "cached",
                "sync": "none"}, {"path": f / "disk", "bus": "nvme"}, {"path": f / "disk", "bus": "usb"},
               {"nbd": "nbd://localhost/x", "bus": "virtio", "sync": "none"},
               {"nbd": "nbd+unix:///x?socket=/tmp/s", "bus": "nvme", "read_only": True}],
        nics=[{"kind": "nat", "mac": "02:00:00:AA:bb:01"}, {"kind": "bridged", "interface": "en7"},
              {"kind": "vmnet"}, {"kind": "vmnet", "mode": "host", "subnet": "192.168.77.0/24"}],
        shares=[{"tag": "src", "path": f / "shared", "read_only": True},
                {"tag": "automount", "paths": {"a": {"path": f / "shared"}, "b": {"path": f / "more"}}}],
        rosetta="rosetta", screen={"width": 1920, "height": 1080}, clipboard=True, nested=True,
        console={"path": f / "log"}, vsock=[{"port": 7, "socket": f / "v7"}])
    with Helper(f, ROSETTA="installed", NESTED=1) as c:
        macs = c.ok("create", config=config)["macs"]
        check(macs[0] == "02:00:00:aa:bb:01" and len(macs) == 4 and len(set(macs)) == 4, macs)
        c.ok("start", "running")
    with open(f / "log", encoding="utf-8") as file:
        check(file.read() == "guest: up\n")
    for mode in (f / "log", f / "v7"):
        check(mode == f / "v7" or os.stat(mode).st_mode & 0o777 == 0o600)


def test_configurations_the_framework_refuses(f):
    for members, code, words, domain in (
            ({"disks": [{"path": f / "odd", "bus": "virtio"}]}, 5, "config.disks[0]: Invalid disk", "VZErrorDomain"),
            ({"cpus": 9}, BAD, "config.cpus: this host takes from 1 to 8", "vmtest"),
            ({"memory": 64 * MIB}, BAD, "config.memory: this host takes", "vmtest"),
            ({"shares": [{"tag": "t" * 36, "path": f / "shared"}]}, 2, "config.shares[0]: Invalid tag",
             "VZErrorDomain"),
            ({"shares": [{"tag": "t", "paths": {".x": {"path": f / "shared"}}}]}, 2, "Invalid name",
             "VZErrorDomain"),
            ({"machine_identifier": b64(b"short")}, BAD, "config.machine_identifier", "vmtest"),
            ({"nested": True}, UNSUPPORTED, "config.nested: this host's processor", "vmtest"),
            ({"rosetta": "r"}, UNSUPPORTED, "softwareupdate --install-rosetta", "vmtest")):
        with Helper(f) as c:
            c.fails("create", code, words, domain=domain, config=f.config(**members))
            check(c.ok("state")["state"] == "none")
            c.ok("create", "stopped", config=f.config())  # the next one may be right
    with Helper(f, NO_ENTITLEMENT=1) as c:
        c.fails("create", 2, "com.apple.security.virtualization", **VZ, config=f.config())
    with Helper(f, FAIL="vmnet=1001") as c:
        c.fails("create", UNSUPPORTED, "vmnet made no network (its status is 1001)",
                config=f.config(nics=[{"kind": "vmnet"}]))


def features():
    """The table of the helper: name, words, version, Apple silicon."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../shim/vz/feature.c")
    with open(path, encoding="utf-8") as file:
        text = " ".join(file.read().split())
    rows = text.split("vtz_features[VTZ_FEATURES_] = {", 1)[1].split("};", 1)[0]
    found = {}
    for row in rows.split("[VTZ_FEATURE_")[1:]:
        name, words, major, minor, silicon = json.loads("[" + row.split("{", 1)[1].split("}")[0] + "]")
        found[name] = (words, major, minor, silicon)
    return found


def asking_for(f, name):
    """What asks for a feature: a configuration, and an operation after it."""
    disk = {"path": f / "disk", "bus": "virtio"}
    plain = f.config()
    return {
        "macos_guest": (f.mac_config(), None),
        "efi": (f.config(boot={"kind": "efi", "variables": f / "variables"}), None),
        "machine_identifier": (f.config(machine_identifier=b64(b"12345678")), None),
        "screen": (f.config(screen={"width": 9, "height": 9}), None),
        "disk_id": (f.config(disks=[disk | {"id": "x"}]), None),
        "usb_disk": (f.config(disks=[disk | {"bus": "usb"}]), None),
        "nvme": (f.config(disks=[disk | {"bus": "nvme"}]), None),
        "nbd": (f.config(disks=[{"nbd": "nbd://h", "bus": "virtio"}]), None),
        "automount": (f.config(shares=[{"tag": "automount", "path": f / "shared"}]), None),
        "rosetta": (f.config(rosetta="r"), None),
        "clipboard": (f.config(clipboard=True), None),
        "recovery": (f.mac_config(), ("start", {"recovery": True})),
        "save": (plain, ("validate_save", {})),
        "nested": (f.config(nested=True), None),
        "usb_hotplug": (plain, ("attach_usb", {"name": "u", "path": f / "disk", "read_only": False})),
        "vmnet": (f.config(nics=[{"kind": "vmnet"}]), None),
        "provisioning": (f.mac_config(), ("start", {"provisioning": {
            "user": "admin", "password_file": f / "password", "auto_login": True, "remote_login": True}})),
    }[name]


def ask_for(c, f, name):
    config, operation = asking_for(f, name)
    reply = c.ask("create", config=config)
    if operation and reply["ok"]:
        if operation[0] == "attach_usb":
            c.ok("start")
        reply = c.ask(operation[0], **operation[1])
    return reply


def test_every_feature_needs_its_version(f):
    """Refused, in the words of the table, on a host just too old; not refused on one just new enough."""
    with open(f / "password", "w", opener=lambda p, m: os.open(p, m, 0o600), encoding="utf-8") as file:
        file.write("secret\n")
    check(len(features()) == 17, features())
    for name, (words, major, minor, silicon) in features().items():
        if name == "recovery":
            continue  # whatever has macOS guests has it
        before = f"{major}.{minor - 1}" if minor else f"{major - 1}.9"
        with Helper(f, OS=before, ROSETTA="installed", NESTED=1) as c:
            reply = ask_for(c, f, name)
            version = f"macOS {major}.{minor}" if minor else f"macOS {major}"
            told = f"{words} needs {version}{' on the host' if not silicon else ' and Apple silicon on the host'}"
            check(not reply["ok"] and reply["error"]["code"] == UNSUPPORTED, name, before, reply)
            check(told in reply["error"]["message"], name, told, reply)
        with Helper(f, OS=f"{major}.{minor}", ROSETTA="installed", NESTED=1) as c:
            reply = ask_for(c, f, name)
            check(reply["ok"], name, reply)


def test_an_intel_mac_refuses_what_needs_apple_silicon(f):
    seen = 0
    for name, (words, _, _, silicon) in features().items():
        if not silicon or name in ("recovery", "provisioning", "nested"):
            continue  # these need a macOS guest, or a processor that says so
        with Helper(f, program=FAKE + "-intel", ROSETTA="installed") as c:
            reply = ask_for(c, f, name)
            check(not reply["ok"] and words in reply["error"]["message"], name, reply)
            check(reply["error"]["code"] == UNSUPPORTED and "Apple silicon" in reply["error"]["message"], reply)
            c.fails("install", STATE if reply["state"] == "none" else UNSUPPORTED, path=f / "kernel")
            c.fails("restore_image", UNSUPPORTED, path=f / "kernel")
            seen += 1
    check(seen == 3, seen)
    with Helper(f, program=FAKE + "-intel") as c:
        check(c.ok("host")["arch"] == "x86_64" and c.ok("host")["rosetta"] == "not_supported")
        c.ok("create", config=f.config(disks=[{"path": f / "disk", "bus": "nvme"}]))
        c.ok("start", "running")
        c.ok("pause")
        c.fails("save", UNSUPPORTED, path=f / "saved")


def test_provisioning(f):
    with open(f / "password", "w", opener=lambda p, m: os.open(p, m, 0o600), encoding="utf-8") as file:
        file.write("secret\n")
    wanted = {"user": "admin", "full_name": "An Admin", "password_file": f / "password", "auto_login": True,
              "remote_login": False}
    with Helper(f) as c:
        c.ok("create", config=f.mac_config())
        os.chmod(f / "password", 0o644)
        c.fails("start", FILE, "mode 0600", provisioning=wanted)
        os.chmod(f / "password", 0o600)
        c.fails("start", BAD, "provisioning.user: is missing",
                provisioning={k: v for k, v in wanted.items() if k != "user"})
        with open(f / "password", "w", encoding="utf-8") as file:
            file.write("abc")
        c.fails("start", 2, "provisioning: The password is too short", **VZ, provisioning=wanted)
        with open(f / "password", "w", encoding="utf-8") as file:
            file.write("secret")
        c.ok("start", "running", provisioning=wanted)
    with Helper(f) as c:
        c.ok("create", config=f.config())
        c.fails("start", BAD, "provisioning: is for macOS guests", provisioning=wanted)


def ipsw(f, text):
    with open(f / "ipsw", "w", encoding="utf-8") as file:
        file.write(text)
    return f / "ipsw"


def test_restore_image(f):
    with Helper(f) as c:
        c.ok("create", config=f.config())
        image = c.ok("restore_image", path=ipsw(f, "ipsw 24F74 15 5"))
        check(image["build"] == "24F74" and image["os_version"] == "15.5" and image["supported"] is True, image)
        check(image["hardware_model"] == b64(b"Mac2") and image["min_cpus"] == 2, image)
        check(image["min_memory"] == 4 << 30 and image["url"].startswith("file://"), image)
        image = c.ok("restore_image", path=ipsw(f, "ipsw 99X1 99 9 unsupported"))
        check(image["supported"] is False and "hardware_model" not in image, image)
        check(c.ok("restore_image")["url"].startswith("https://"))
        c.fails("restore_image", 1, "path: The restore image", **VZ, path=f / "kernel")
        c.fails("restore_image", FILE, path=f / "none")


def test_install(f):
    with Helper(f, INSTALL_MS=1200) as c:
        c.ok("create", config=f.mac_config())
        number = c.send("install", path=ipsw(f, "ipsw 24F74 15 5"))
        c.event("progress")
        check(c.event("state")["state"] == "stopped" and c.event("state")["state"] == "installing")
        other = c.send("install", path=f / "ipsw")
        reply = c.reply(other)
        check(reply["error"]["code"] == BUSY and reply["state"] == "installing", reply)
        for op in ("stop", "pause", "request_stop"):
            if op != "request_stop":
                c.fails(op, STATE, "installing")
        reply = c.reply(number)
        check(reply["ok"] and reply["state"] == "stopped", reply)
        told = [e["fraction"] for e in c.events if e["event"] == "progress"]
        check(told == sorted(told) and told[-1] == 1 and len(told) >= 2, told)
        check(len(told) <= 7, "at most 4 a second", told)
        c.ok("start", "running")
        c.fails("install", STATE, "stopped", path=f / "ipsw")
        c.fails("cancel", STATE, "no installation")
    with Helper(f, INSTALL_MS=20000) as c:
        c.ok("create", config=f.mac_config())
        number = c.send("install", path=f / "ipsw")
        c.event("progress")
        c.ok("cancel")
        reply = c.reply(number)
        check(reply["error"]["domain"] == "VZErrorDomain" and reply["error"]["code"] == 9, reply)
        check(c.ok("state")["state"] == "stopped")
    with Helper(f, INSTALL_MS=100, FAIL="install=10007") as c:
        c.ok("create", config=f.mac_config())
        c.fails("install", 10007, **VZ, path=f / "ipsw")
        os.symlink(f / "ipsw", f / "link")
        c.fails("install", FILE, "without symbolic links", path=f / "link")


def test_usb_disks(f):
    stick = {"name": "stick", "path": f / "disk", "read_only": True}
    with Helper(f) as c:
        c.ok("create", config=f.config())
        c.fails("attach_usb", 3, "cannot be plugged", **VZ, **stick)
        c.ok("start")
        c.ok("attach_usb", **stick)
        c.fails("attach_usb", BAD, '"stick" is plugged in already', **stick)
        c.ok("attach_usb", **stick | {"name": "other"})
        c.fails("detach_usb", BAD, '"none" is not plugged in', name="none")
        c.ok("detach_usb", name="stick")
        c.fails("detach_usb", BAD, name="stick")
        c.ok("attach_usb", **stick)
        c.fails("attach_usb", 5, "path: Invalid disk image", **VZ, **stick | {"name": "x", "path": f / "odd"})
        c.fails("attach_usb", FILE, **stick | {"name": "x", "path": f / "none"})
    with Helper(f, FAIL="attach_usb=1,detach_usb=3") as c:
        c.ok("create", config=f.config())
        c.ok("start")
        c.fails("attach_usb", 1, **VZ, **stick)
        c.fails("detach_usb", BAD, "is not plugged in", name="stick")


def test_vsock(f):
    config = f.config(vsock=[{"port": 7, "socket": f / "echo"}, {"port": 9, "socket": f / "closed"}])
    with Helper(f) as c:
        c.ok("create", config=config)
        check(os.stat(f / "echo").st_mode & 0o777 == 0o600)
        with socket.socket(socket.AF_UNIX) as early:  # before the guest runs
            early.connect(f / "echo")
            early.settimeout(20)
            check(early.recv(1) == b"")
        c.ok("start")
        sent = os.urandom(200000)
        peers = [socket.socket(socket.AF_UNIX) for _ in range(5)]
        for peer in peers:
            peer.connect(f / "echo")
            peer.settimeout(20)
            threading.Thread(target=peer.sendall, args=(sent,)).start()
        for peer in peers:
            got = b""
            while len(got) < len(sent) and (piece := peer.recv(65536)):
                got += piece
            check(got == sent, len(got))
            peer.close()
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(f / "closed")
            peer.settimeout(20)
            check(peer.recv(1) == b"")
        count = lambda: len(os.listdir(f"/proc/{c.hello['pid']}/fd"))
        before = count()
        for _ in range(100):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(f / "echo")
                peer.sendall(b"x")
                peer.settimeout(20)
                check(peer.recv(1) == b"x")
        c.ok("stop")
        end = time.monotonic() + 10
        while count() > before and time.monotonic() < end:
            time.sleep(0.01)
        check(count() <= before, "descriptors are left", before, count())
    check(not os.path.exists(f / "echo") and not os.path.exists(f / "closed"))


def test_console(f):
    with open(f / "log", "w", encoding="utf-8") as file:
        file.write("before\n")
    with Helper(f) as c:
        c.ok("create", config=f.config(console={"path": f / "log", "input": True}))
        c.ok("start")
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(f / "log.in")
            peer.sendall(b"typed" * 5000)
        end = time.monotonic() + 20
        while os.path.getsize(f / "log") < 25017 and time.monotonic() < end:
            time.sleep(0.01)
    with open(f / "log", encoding="utf-8") as file:
        check(file.read() == "before\nguest: up\n" + "typed" * 5000)
    check(not os.path.exists(f / "log.in"))


def test_every_failure(f):
    """Each operation, asked to fail: the code comes through, with all that Apple tells, and the VM is where
    it can be worked with."""
    steps = {"start": [], "stop": ["start"], "pause": ["start"], "resume": ["start", "pause"],
             "request_stop": ["start"], "save": ["start", "pause"]}
    for op, before in steps.items():
        with Helper(f, FAIL=f"{op}=1") as c:
            c.ok("create", config=f.config())
            for step in before:
                c.ok(step)
            error = c.fails(op, 1, **VZ, **({"path": f / "saved"} if op == "save" else {}))["error"]
            check(error["reason"] == "A test wants it." and error["recovery"] == "Unset the variable.", error)
            check(error["underlying"] == {"domain": "NSPOSIXErrorDomain", "code": 22,
                                          "message": "Invalid argument"}, error)
    for op, where in (("start", "error"), ("pause", "running"), ("stop", "running")):
        with Helper(f, FAIL=f"{op}=1") as c:
            c.ok("create", config=f.config())
            if op != "start":
                c.ok("start")
            check(c.ask(op)["state"] == where)
    with Helper(f, FAIL="connect=1") as c:
        c.ok("create", config=f.config(vsock=[{"port": 7, "socket": f / "echo"}]))
        c.ok("start")
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(f / "echo")
            peer.settimeout(20)
            check(peer.recv(1) == b"")
    with Helper(f, LIMIT=1) as c:
        c.ok("create", config=f.mac_config())
        c.fails("start", 6, "exceeds the limit", **VZ)
        check(c.ok("state")["state"] == "error")


def test_what_happens_by_itself(f):
    with Helper(f, CRASH_MS=30) as c:
        c.ok("create", config=f.config())
        c.ok("start")
        error = c.event("failed")["error"]
        check(error["domain"] == "VZErrorDomain" and "unexpectedly" in error["message"], error)
        check(states(c)[-1] == "error", states(c))
        c.ok("start", "running")
    with Helper(f, NETWORK_LOST_MS=30) as c:
        c.ok("create", config=f.config(nics=[{"kind": "nat"}, {"kind": "nat"}]))
        c.ok("start")
        event = c.event("network_lost")
        check(event["nic"] == 1 and event["error"]["code"] == 7, event)
        check(c.ok("state")["state"] == "running")


def test_several_clients(f):
    helper = Helper(f)
    with helper as c:
        others = [Client(helper.path) for _ in range(7)]
        many = socket.socket(socket.AF_UNIX)
        many.settimeout(20)
        many.connect(helper.path)
        refused = json.loads(many.makefile("rb").readline())
        check(refused["id"] is None and refused["error"]["code"] == BUSY, refused)
        many.close()
        c.ok("create", config=f.config())
        others[0].ok("start", "running")
        others[1].ok("pause", "paused")
        for other in others:
            for state in ("stopped", "starting", "running", "pausing", "paused"):
                check(other.event("state")["state"] == state)
        number = others[2].send("resume")
        others[2].close()  # its request goes on
        check(number == 1)
        while c.event("state")["state"] != "running":
            pass
        for other in others[3:]:
            other.close()


def test_malformed_lines(f):
    helper = Helper(f)
    with helper as c:
        for line in (b"", b"x", b"[]", b'{"id":1}', b'{"op":"state"}', b'{"id":"1","op":"state"}',
                     b'{"id":2,"op":"create","config":{"cpus":2}}', b'{"id":3,"op":"state","x":1}'):
            c.socket.sendall(line + b"\n")
            reply = c.read()
            check(reply["ok"] is False and reply["error"]["code"] == BAD, line, reply)
        other = Client(helper.path)
        other.socket.sendall(b"\xff\xfe\n")
        check(other.read()["error"]["code"] == BAD and other.read() is None)
        other.close()
        c.ok("state", "none")


def test_it_ends_with_its_tie(f):
    ours, theirs = socket.socketpair()
    with open(f / "lease", "w", encoding="utf-8") as lease:
        fcntl.flock(lease, fcntl.LOCK_EX)
        helper = Helper(f, options=("--tie", str(theirs.fileno()), "--lease", str(lease.fileno())),
                        pass_fds=(theirs.fileno(), lease.fileno()))
    theirs.close()
    with open(f / "lease", encoding="utf-8") as again:
        helper.client.ok("create", config=f.config())
        helper.client.ok("start", "running")
        try:  # the lock lives with the VM, though we have closed it
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
            raise Failed("the lease is not held")
        except BlockingIOError:
            pass
        ours.close()
        helper.end()
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    helper.process.stderr.close()
    helper.client.close()


def test_it_ends_by_signals(f):
    for number, code in ((signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)):
        helper = Helper(f)
        helper.client.ok("create", config=f.config(vsock=[{"port": 7, "socket": f / f"v{number}"}]))
        helper.client.ok("start")
        helper.process.send_signal(number)
        helper.end(code)
        check(os.path.exists(f / f"v{number}") == (number == signal.SIGKILL))
        helper.process.stderr.close()
        helper.client.close()


def test_it_ends_in_whatever_state(f):
    for steps in ((), ("create",), ("create", "start"), ("create", "start", "pause")):
        with Helper(f) as c:
            for step in steps:
                c.ok(step, **({"config": f.config()} if step == "create" else {}))
    with Helper(f, MS=100) as c:  # on its way
        c.ok("create", config=f.config())
        c.send("start")
        number = c.send("quit")
        while (message := c.read()) and message.get("id") != number:
            pass
        check(message and message["ok"], message)
        c.ok = lambda *_: None  # it has been asked to quit
    with Helper(f, INSTALL_MS=20000) as c:
        c.ok("create", config=f.mac_config())
        c.send("install", path=ipsw(f, "ipsw 24F74 15 5"))
        c.event("progress")
        number = c.send("quit")
        while (message := c.read()) and message.get("id") != number:
            pass
        check(message and message["ok"], message)
        c.ok = lambda *_: None


def main():
    tests = {name: function for name, function in globals().items() if name.startswith("test_")}
    wanted = sys.argv[1:] or list(tests)
    failed = 0
    for name in wanted:
        folder = Folder()
        start = time.monotonic()
        try:
            tests[name](folder)
            print(f"{name}: ok ({time.monotonic() - start:.1f} s)", flush=True)
        except Exception:  # the other tests are run all the same
            failed += 1
            print(f"{name}: FAILED", flush=True)
            traceback.print_exc(file=sys.stdout)
        finally:
            Helper.kill_all()
            folder.cleanup()
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
