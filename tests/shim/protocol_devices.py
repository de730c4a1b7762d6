"""What a VM has: disks, networks, shares, sockets, the console, and what can be plugged in."""
import os
import socket
import threading
import time

from helper import BAD, FILE, MIB, UNSUPPORTED, VZ, Helper, b64, check


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
            ({"shares": [{"tag": "t" * 36, "path": f / "shared"}]}, BAD, "config.shares[0].tag: has to be of at most 35",
             "vmtest"),
            ({"shares": [{"tag": "t", "paths": {".x": {"path": f / "shared"}}}]}, 2, "Invalid name",
             "VZErrorDomain"),
            ({"machine_identifier": b64(b"short")}, BAD, "config.machine_identifier", "vmtest"),
            ({"nested": True}, UNSUPPORTED, "config.nested: this host's processor", "vmtest"),
            ({"rosetta": "r"}, UNSUPPORTED, "softwareupdate --install-rosetta", "vmtest")):
        with Helper(f) as c:
            c.fails("create", code, words, domain=domain, config=f.config(**members))
            check(c.ok("state")["state"] == "none")
            c.ok("create", "stopped", config=f.config())  # the next one may be right
    with Helper(f, UNSUPPORTED=1) as c:
        c.fails("create", 2, "config: Virtualization is not available", **VZ, config=f.config())
    with Helper(f) as c:
        config = f.mac_config()
        config["disks"].append({"path": f / "disk", "bus": "nvme"})
        c.fails("create", BAD, 'config.disks[1].bus: "nvme" is for Linux guests', config=config)
    with Helper(f, NO_ENTITLEMENT=1) as c:
        c.fails("create", 2, "com.apple.security.virtualization", **VZ, config=f.config())
    for status, words in ((1001, "its subnet may be in use"), (1003, "does not take the subnet"),
                          (1009, "end Internet Sharing"), (1002, "is it signed"), (1010, "is it signed")):
        with Helper(f, FAIL=f"vmnet={status}") as c:
            error = c.fails("create", UNSUPPORTED, f"vmnet made no network (its status is {status})",
                            config=f.config(nics=[{"kind": "vmnet"}]))["error"]
            check(words in error["message"], error)


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


def test_a_guest_that_does_not_answer(f):
    with Helper(f, ANSWER_MS=14000) as c:
        c.ok("create", config=f.config(vsock=[{"port": 7, "socket": f / "echo"}]))
        c.ok("start")
        before = os.listdir(f"/proc/{c.hello['pid']}/fd")
        with socket.socket(socket.AF_UNIX) as peer:
            start = time.monotonic()
            peer.connect(f / "echo")
            peer.settimeout(20)
            check(peer.recv(1) == b"" and 9 < time.monotonic() - start < 13.5, time.monotonic() - start)
        time.sleep(max(0, start + 15 - time.monotonic()))  # its answer comes after all
        check(len(os.listdir(f"/proc/{c.hello['pid']}/fd")) <= len(before), "a descriptor is left")
        c.ok("stop")


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
