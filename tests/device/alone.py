"""The stand-in device without a server: what a kill leaves, what its command lines show, wake-ups."""
import os
import pathlib
import plistlib
import shutil
import ssl
import subprocess
import tempfile
import time

from lab import CA, DEVICE, Device, Server, enrollment, payload, profile, run_cases

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "shim/device"
folder = pathlib.Path(tempfile.mkdtemp(prefix="vmtest-device-"))

WRITES = ('case $1 in apply) cat >"$VMTEST_ROOT/effect.$VMTEST_KEY" ;; '
          'remove) rm -f "$VMTEST_ROOT/effect.$VMTEST_KEY" ;; esac\n')
# kills the device in the middle of it, once
KILLS = 'if [ "$1" = "$(cat "$VMTEST_ROOT/when")" ]; then echo never >"$VMTEST_ROOT/when"; kill -9 $PPID; sleep 5; fi\n'


def new_device(name):
    device = Device(folder / name)
    device.handler("a.writes", WRITES)
    device.handler("a.kills", KILLS)
    (device.root / "when").write_text("never")
    return device


def effects(device):
    return sorted(p.read_text() for p in device.root.glob("effect.*"))


def recover(device):
    device.run("answer", "normal")


def test_killed_while_installing():
    device = new_device("k1")
    (device.root / "when").write_text("apply")
    tree = profile("p", payload("a.writes", "p.1", N=1), payload("a.kills", "p.2"))
    device.run("install", device.file("p", tree), code=-9)
    assert len(effects(device)) == 1, "the first payload was applied"
    recover(device)
    assert effects(device) == [] and device.installed() == []
    device.run("install", device.file("p", tree))
    assert len(effects(device)) == 1 and device.installed() == ["p"]


def test_killed_while_replacing():
    device = new_device("k2")
    device.run("install", device.file("p", profile("p", payload("a.writes", "p.1", N=1))))
    (before,) = effects(device)
    (device.root / "when").write_text("apply")
    device.run("install", device.file("p", profile("p", payload("a.writes", "p.1", N=2),
                                                   payload("a.kills", "p.2"))), code=-9)
    assert effects(device) != [before]
    recover(device)
    assert effects(device) == [before]
    assert device.managed("a.writes") == {"N": 1}


def test_killed_while_removing():
    device = new_device("k3")
    device.run("install", device.file("p", profile("p", payload("a.kills", "p.2"),
                                                   payload("a.writes", "p.1", N=1))))
    (device.root / "when").write_text("remove")
    device.run("remove", "p", code=-9)
    recover(device)
    assert len(effects(device)) == 1 and device.installed() == ["p"], "as before the removal"
    device.run("remove", "p")
    assert effects(device) == [] and device.installed() == []


def test_killed_while_enrolling():
    device = new_device("k4")
    ca = CA(folder)
    (device.root / "when").write_text("apply")
    identity = payload("com.apple.security.pkcs12", "i", Password="x",
                       PayloadContent=ca.pkcs12("d", "x"))
    tree = enrollment("http://127.0.0.1:9/", identity, extra=[payload("a.kills", "e.2")])
    device.run("enroll", device.file("e", tree), code=-9)
    recover(device)
    assert device.installed() == []
    assert not list((device.root / "var/lib/vmtest-device/identities").glob("*"))


def test_defaults_and_profiles():
    device = new_device("show")
    values = {"Text": "two words", "Plain": "one", "Flag": True, "Number": 3, "Real": 1.5,
              "Data": b"\x01\xab", "List": [1, "b c"], "Dict": {"k": False}}
    device.run("install", device.file("p", profile("p", payload("com.example.all", "p.1", **values))))
    path = "/Library/Managed Preferences/com.example.all"

    def read(key):
        return device.run("defaults", "read", path, key).stdout

    assert read("Text") == "two words\n" and read("Flag") == "1\n" and read("Number") == "3\n"
    assert read("Real") == "1.5\n" and read("Data") == "{length = 2, bytes = 0x01ab}\n"
    assert read("List") == '(\n    1,\n    "b c"\n)\n', read("List")
    assert read("Dict") == "{\n    k = 0;\n}\n", read("Dict")
    done = device.run("defaults", "read", "com.example.all", code=1)
    assert "Domain com.example.all does not exist" in done.stderr
    assert "does not exist" in device.run("defaults", "read", path, "None", code=1).stderr
    level = device.show()["_computerlevel"][0]
    assert level["ProfileItems"][0]["PayloadContent"] == values
    assert "attribute: profileIdentifier: p\n" in device.run("profiles", "list").stdout
    device.run("profiles", "remove", code=64)
    device.run("remove", "p")
    assert "There are no configuration profiles" in device.run("profiles", "list").stdout
    assert device.show() == {}


def test_two_profiles_of_one_domain():
    device = new_device("two")
    for name, number in (("one", 1), ("two", 2)):
        device.run("install", device.file("p", profile(name, payload("d", name + ".1", N=number,
                                                                     **{name: True}))))
    assert device.managed("d") == {"N": 2, "one": True, "two": True}
    device.run("remove", "two")
    assert device.managed("d") == {"N": 1, "one": True}
    device.run("remove", "one")
    assert device.managed("d") is None


def test_hostile_names():
    device = new_device("names")
    device.run("install", device.file("p", profile("../../p", payload("../../../etc/x", "../1", A=1),
                                                   payload("com.apple.ManagedClient.preferences",
                                                           "2", PayloadContent={"../../up": {
                                                               "Forced": [{"mcx_preference_settings": {"A": 1}}]}}))))
    outside = [p for p in folder.rglob("*") if p.name in ("x.plist", "up.plist", "x", "up")]
    assert outside == [], outside
    assert device.effects()[0]["State"] == "stored"


def test_lock():
    device = new_device("lock")
    device.handler("a.slow", 'sleep 1\n')
    slow = subprocess.Popen([DEVICE, "--root", str(device.root), "install",
                             device.file("s", profile("s", payload("a.slow", "s.1")))])
    time.sleep(0.3)
    device.run("install", device.file("p", profile("p", payload("a.writes", "p.1"))))
    assert slow.wait(20) == 0 and sorted(device.installed()) == ["p", "s"]


def test_daemon_wakes():
    device = new_device("wake")
    polls = []

    def answer(_method, _path, body):
        polls.append(plistlib.loads(body))
        return 200, b""

    server = Server(answer)
    ca = CA(folder)
    identity = payload("com.apple.security.pkcs12", "i", Password="x",
                       PayloadContent=ca.pkcs12("d2", "x"))
    device.run("enroll", device.file("e", enrollment(server.url + "/", identity)))
    assert [p.get("MessageType") for p in polls] == ["Authenticate", "TokenUpdate",
                                                     "SetBootstrapToken"]
    assert len(polls[1]["Token"]) == 32 and polls[1]["PushMagic"] and "UnlockToken" not in polls[1]
    assert "no vmtest-device daemon" in device.run("wake", code=1).stderr
    daemon = subprocess.Popen([DEVICE, "--root", str(device.root), "daemon"],
                              stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while len(polls) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert polls[3] == {"Status": "Idle", "UDID": polls[0]["UDID"]}, "it polls when it starts"
        time.sleep(0.3)
        assert len(polls) == 4
        device.run("wake")
        while len(polls) < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(polls) == 5
    finally:
        daemon.kill()
        daemon.wait()


def test_server_forgets():
    device = new_device("forgets")
    status = [200]
    server = Server(lambda *_: (status[0], b""))
    identity = payload("com.apple.security.pkcs12", "i", Password="x",
                       PayloadContent=CA(folder).pkcs12("d3", "x"))
    device.run("enroll", device.file("e", enrollment(server.url + "/", identity)))
    status[0] = 500
    device.run("poll", code=1)
    assert device.installed() == ["test.enrollment"]
    status[0] = 401
    assert "does not know this device" in device.run("poll", code=1).stderr
    assert device.installed() == [], "as Apple's devices do"


def test_tls():
    device = new_device("tls")
    devices, servers, other = (CA(pathlib.Path(tempfile.mkdtemp(dir=folder)), name)
                               for name in ("devices", "servers", "other"))
    key, cert = servers.issue("server", "IP:127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    tls.verify_mode = ssl.CERT_REQUIRED  # the identity is the client's certificate
    tls.load_verify_locations(devices.cert)
    server = Server(lambda *_: (200, b""), tls)

    def enroll(ca, roots, code, **mdm):
        identity = payload("com.apple.security.pkcs12", "i", Password="x",
                           PayloadContent=ca.pkcs12("d", "x"))
        trusted = [payload("com.apple.security.root", f"r{i}", PayloadContent=root.der())
                   for i, root in enumerate(roots)]
        pins = {"ServerURLPinningCertificateUUIDs": [trusted[-1]["PayloadUUID"]],
                "CheckInURLPinningCertificateUUIDs": [trusted[-1]["PayloadUUID"]]} if mdm else {}
        return device.run("enroll", device.file("e", enrollment(
            server.url + "/", identity, extra=trusted, SignMessage=False, **pins)), code=code).stderr

    assert "certificate" in enroll(devices, [], 1), "the server's CA is in no profile"
    assert enroll(other, [servers], 1), "the server does not know the identity"
    assert "certificate" in enroll(devices, [servers, other], 1, pinned=True), "pinned to another"
    assert device.installed() == []
    enroll(devices, [other, servers], 0, pinned=True)
    device.run("poll")
    device.run("unenroll")
    enroll(devices, [servers], 0)


def test_report_that_was_lost():
    device = new_device("lost")
    heard, lose = [], [True]

    def answer(_method, _path, body):
        message = plistlib.loads(body)
        heard.append((message.get("Status"), message.get("CommandUUID")))
        if message.get("Status") == "Idle":
            return 200, plistlib.dumps({"CommandUUID": "c", "Command": {"RequestType": "ProfileList"}})
        return (500 if message.get("CommandUUID") and lose[0] else 200), b""

    server = Server(answer)
    identity = payload("com.apple.security.pkcs12", "i", Password="x",
                       PayloadContent=CA(folder).pkcs12("d4", "x"))
    device.run("enroll", device.file("e", enrollment(server.url + "/", identity)))
    device.run("poll", code=1)
    heard.clear()
    lose[0] = False
    device.run("poll")
    assert heard == [("Acknowledged", "c")], heard
    device.run("poll")
    assert heard[1:] == [("Idle", None), ("Acknowledged", "c")], heard


def test_root_handler():
    if not shutil.which("jq"):
        print("     test_root_handler needs jq: it is left out")
        return
    device = new_device("root")
    shutil.copytree(SOURCES / "handlers", device.handlers, symlinks=True, dirs_exist_ok=True)
    shutil.copy(SOURCES / "lib.sh", device.handlers.parent)
    certs = device.root / "etc/ssl/certs"
    certs.mkdir(parents=True)
    cas = [CA(pathlib.Path(tempfile.mkdtemp(dir=folder)), name) for name in ("old", "a", "b")]
    bundle = certs / "ca-certificates.crt"
    bundle.write_bytes(cas[0].cert.read_bytes())
    before = bundle.read_bytes()
    for ca, name in zip(cas[1:], "ab"):
        device.run("install", device.file("p", profile(name, payload(
            "com.apple.security.root", name + ".1", PayloadContent=ca.der()))))
    assert bundle.read_bytes() == b"".join(ca.cert.read_bytes() for ca in cas)
    assert len(list(certs.glob("*.0"))) == 2
    device.run("remove", "a")
    assert bundle.read_bytes() == before + cas[2].cert.read_bytes()
    device.run("remove", "b")
    assert bundle.read_bytes() == before and [p.name for p in certs.iterdir()] == [bundle.name]
    wrong = profile("c", payload("com.apple.security.pem", "c.1", PayloadContent=b"nonsense"))
    assert "no certificate" in device.run("install", device.file("p", wrong), code=1).stderr
    assert bundle.read_bytes() == before


def test_secrets_are_private():
    device = new_device("private")
    device.run("install", device.file("p", profile("w", payload(
        "com.apple.wifi.managed", "w.1", SSID_STR="x", Password="hunter2hunter2"))))
    assert device.managed("com.apple.wifi.managed") is None
    assert "hunter2" not in device.run("profiles", "show", "-output", "stdout-xml").stdout
    for path in (device.root / "var/lib/vmtest-device").rglob("*"):
        assert os.stat(path).st_mode & 0o077 == 0, path


run_cases([test_killed_while_installing, test_killed_while_replacing, test_killed_while_removing,
           test_killed_while_enrolling, test_defaults_and_profiles, test_two_profiles_of_one_domain,
           test_hostile_names, test_lock, test_daemon_wakes, test_server_forgets,
           test_report_that_was_lost, test_tls, test_root_handler,
           test_secrets_are_private])
