"""What is refused on which host: the versions and words of the catalogue (vmtest features)."""
import os

from helper import FAKE, STATE, UNSUPPORTED, Helper, b64, catalogue, check


def asking(f):
    """What asks for a feature of the catalogue: a configuration, and an operation after it."""
    disk = {"path": f / "disk", "bus": "virtio"}
    plain = f.config()
    return {
        "macos_guest": (f.mac_config(), None),
        "efi": (f.config(boot={"kind": "efi", "variables": f / "variables"}), None),
        "generic_identifier": (f.config(machine_identifier=b64(b"12345678")), None),
        "linux_screen": (f.config(screen={"width": 9, "height": 9}), None),
        "disk_id": (f.config(disks=[disk | {"id": "x"}]), None),
        "usb_storage": (f.config(disks=[disk | {"bus": "usb"}]), None),
        "nvme": (f.config(disks=[disk | {"bus": "nvme"}]), None),
        "nbd": (f.config(disks=[{"nbd": "nbd://h", "bus": "virtio"}]), None),
        "automount": (f.config(shares=[{"tag": "automount", "path": f / "shared"}]), None),
        "rosetta": (f.config(rosetta="r"), None),
        "clipboard": (f.config(clipboard=True), None),
        "recovery": (f.mac_config(), ("start", {"recovery": True})),
        "save_restore": (plain, ("validate_save", {})),
        "nested": (f.config(nested=True), None),
        "usb_hotplug": (plain, ("attach_usb", {"name": "u", "path": f / "disk", "read_only": False})),
        "vmnet": (f.config(nics=[{"kind": "vmnet"}]), None),
        "provisioning": (f.mac_config(), ("start", {"provisioning": {
            "user": "admin", "password_file": f / "password", "auto_login": True, "remote_login": True}})),
    }


def ask_for(c, f, name):
    config, operation = asking(f)[name]
    reply = c.ask("create", config=config)
    if operation and reply["ok"]:
        if operation[0] == "attach_usb":
            c.ok("start")
        reply = c.ask(operation[0], **operation[1])
    return reply


def test_every_feature_needs_its_version(f):
    """Refused, in the words of the catalogue, on a host just too old; not refused on one just new enough."""
    with open(f / "password", "w", opener=lambda p, m: os.open(p, m, 0o600), encoding="utf-8") as file:
        file.write("secret\n")
    features = catalogue()
    for name in asking(f):
        what, version = features[name]["what"], features[name]["host"]
        if name == "macos_guest":
            continue  # the helper itself needs the macOS that has them
        major, minor = (version + ".0").split(".")[:2]
        before = f"{major}.{int(minor) - 1}" if int(minor) else f"{int(major) - 1}.9"
        with Helper(f, OS=before, ROSETTA="installed", NESTED=1) as c:
            reply = ask_for(c, f, name)
            told = f"{what} needs macOS {version} on the host; this one has {before}"
            check(not reply["ok"] and reply["error"]["code"] == UNSUPPORTED, name, before, reply)
            check(reply["error"]["message"].endswith(told), name, told, reply)
        with Helper(f, OS=version, ROSETTA="installed", NESTED=1) as c:
            reply = ask_for(c, f, name)
            check(reply["ok"], name, reply)


def test_macos_guests_on_the_oldest_host(f):
    """Their storage is made, and opened again, on macOS 12."""
    for _ in range(2):
        with Helper(f, OS="12.0") as c:
            c.ok("create", config=f.mac_config())
            c.ok("start", "running")
        check(os.path.exists(f / "aux"))


def test_an_intel_mac_refuses_what_needs_apple_silicon(f):
    features = catalogue()
    asked = [name for name in asking(f) if features[name]["arch"] == "arm64"]
    # these need a macOS guest, or a processor that says so
    asked = [name for name in asked if name not in ("recovery", "provisioning", "nested", "automount")]
    check(sorted(asked) == ["macos_guest", "rosetta", "save_restore"], asked)
    for name in asked:
        with Helper(f, program=FAKE + "-intel", ROSETTA="installed") as c:
            reply = ask_for(c, f, name)
            told = "%s needs a Mac with Apple silicon (arm64); this one's is x86_64"
            check(not reply["ok"] and reply["error"]["code"] == UNSUPPORTED, name, reply)
            check(reply["error"]["message"].endswith(told % features[name]["what"]), reply)
            for op in ("install", "restore_image"):
                if op == "install" and reply["state"] == "none":
                    c.fails(op, STATE, path=f / "kernel")
                else:
                    c.fails(op, UNSUPPORTED, told % features[op]["what"], path=f / "kernel")
    with Helper(f, program=FAKE + "-intel") as c:
        check(c.ok("host")["arch"] == "x86_64" and c.ok("host")["rosetta"] == "not_supported")
        c.ok("create", config=f.config(disks=[{"path": f / "disk", "bus": "nvme"}]))
        c.ok("start", "running")
        c.ok("pause")
        c.fails("save", UNSUPPORTED, path=f / "saved")
