"""The life of a VM: its states, macOS and EFI guests, installation, saved states, failures."""
import os
import socket

from helper import BAD, BUSY, FILE, STATE, UNSUPPORTED, VZ, Client, Helper, b64, check, ipsw, states


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
        c.fails("start", 40003, "provisioning: The password is too short", **VZ, provisioning=wanted)
        with open(f / "password", "w", encoding="utf-8") as file:
            file.write("secret")
        c.ok("start", "running", provisioning=wanted)
    with Helper(f) as c:
        c.ok("create", config=f.config())
        c.fails("start", BAD, "provisioning: is for macOS guests", provisioning=wanted)


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
    with Helper(f) as c:
        c.ok("create", config=f.config())
        c.fails("install", BAD, "is for macOS guests", path=f / "ipsw")
    helper = Helper(f, INSTALL_MS=4000)
    with helper as c:  # its end does not stop the VM under it
        other = Client(helper.path)
        c.ok("create", config=f.mac_config())
        number = other.send("install", path=f / "ipsw")
        c.event("progress")
    check(other.reply(number)["error"]["code"] == 9)
    other.close()


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
        error = c.fails("restore", 12, "no saved guest", **VZ, path=f / "kernel")["error"]
        check("reason" not in error, error)
        check(c.ok("state")["state"] == "stopped")
        c.ok("restore", "paused", path=f / "saved")
        check("restoring" in states(c), states(c))
        c.ok("resume", "running")
    with Helper(f) as c:
        c.ok("create", config=f.config(cpus=3, machine_identifier=made["machine_identifier"]))
        error = c.fails("restore", 12, "another configuration", **VZ, path=f / "saved")["error"]
        check(error["reason"] == "Invalid argument", error)
    with Helper(f) as c:
        c.ok("create", config=f.config())
        error = c.fails("restore", 12, "another machine", **VZ, path=f / "saved")["error"]
        check(error["reason"] == "Invalid argument", error)


def test_usb_disks_are_restored(f):
    disks = [{"path": f / "disk", "bus": "usb", "read_only": True} for _ in range(2)]
    with Helper(f) as c:
        made = c.ok("create", config=f.config(disks=disks))
        c.ok("start")
        c.ok("pause")
        c.ok("save", path=f / "saved")
        with open(f / "saved", encoding="utf-8") as file:
            uuids = file.read().split()[-2:]
        check(len(set(uuids)) == 2 and len(uuids[0]) == 36, uuids)
    with Helper(f) as c:
        c.ok("create", config=f.config(disks=disks, machine_identifier=made["machine_identifier"]))
        c.ok("restore", "paused", path=f / "saved")


def test_no_two_machines_are_the_same(f):
    made = []
    for config in (f.config, f.config, f.mac_config, f.mac_config):
        with Helper(f) as c:
            made.append(c.ok("create", config=config(nics=[{"kind": "nat"}, {"kind": "nat"}])))
    check(len({one["machine_identifier"] for one in made}) == 4, made)
    check(len({mac for one in made for mac in one["macs"]}) == 8, made)


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
        c.fails("validate_save", UNSUPPORTED, "needs macOS 14 on the host; this one has 13.0")
        c.ok("start")
        c.ok("pause")
        c.fails("save", UNSUPPORTED, "saving a virtual machine's state needs macOS 14", path=f / "saved")


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
