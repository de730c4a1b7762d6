"""An identity by SCEP from a real SCEP server, and Declarative Device Management behind NanoMDM."""
import base64
import json
import pathlib
import plistlib
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from lab import (NANOMDM, CA, Device, NanoMDM, Server, enrollment, find_tool, free_port, openssl, payload,
                 profile, run_cases)

folder = pathlib.Path(tempfile.mkdtemp(prefix="vmtest-device-"))


class Scep:
    """micromdm's scepserver, with a CA of its own."""

    def __init__(self):
        program = find_tool("github.com/micromdm/scep/v2/cmd/scepserver@v2.1.0")
        depot = str(folder / "depot")
        subprocess.run([program, "ca", "-init", "-depot", depot], check=True, capture_output=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/scep"
        self.cert = folder / "depot/ca.pem"
        self.process = subprocess.Popen(
            [program, "-depot", depot, "-port", str(port), "-challenge", "open sesame"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                urllib.request.urlopen(self.url + "?operation=GetCACaps", timeout=1)
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)


class Declarations:
    """What NanoMDM's -dm is told: declarations by kind and identifier, and the last status."""

    def __init__(self):
        self.items, self.status, self.asked = {}, None, []
        self.server = Server(self.answer)

    def answer(self, method, path, body):
        endpoint = path.lstrip("/")
        self.asked.append(endpoint)
        if endpoint == "status":
            self.status = json.loads(body)
            return 200, b""
        if endpoint == "tokens":
            return 200, json.dumps({"SyncTokens": {"Timestamp": "2026-01-01T00:00:00Z",
                                                   "DeclarationsToken": self.token()}}).encode()
        if endpoint == "declaration-items":
            lists = {"Activations": [], "Configurations": [], "Assets": [], "Management": []}
            for (kind, name), (token, _) in self.items.items():
                lists[{"activation": "Activations", "configuration": "Configurations"}[kind]].append(
                    {"Identifier": name, "ServerToken": token})
            return 200, json.dumps({"Declarations": lists,
                                    "DeclarationsToken": self.token()}).encode()
        if endpoint.startswith("profile/"):
            return 200, plistlib.dumps(profiles[endpoint.split("/")[1]])
        _, kind, name = endpoint.split("/", 2)
        token, tree = self.items[kind, name]
        return 200, json.dumps({"Type": tree[0], "Identifier": name, "ServerToken": token,
                                "Payload": tree[1]}).encode()

    def token(self):
        return str(hash(json.dumps([[*k, t] for k, (t, _) in sorted(self.items.items())])))

    def told(self, kind):
        lists = self.status["StatusItems"]["management"]["declarations"]
        return {d["identifier"]: (d["active"], d["valid"]) for d in lists[kind]}


profiles = {}
find_tool(NANOMDM)  # before anything is started
scep = Scep()
declared = Declarations()


class Trusted(CA):  # NanoMDM trusts the CA of the SCEP server
    def __init__(self):
        self.cert = scep.cert


nano = NanoMDM(folder, Trusted(), dm=declared.server.url + "/")
device = Device(folder / "root")


def scep_payload(challenge="open sesame", fingerprint=None):
    content = {"URL": scep.url, "Challenge": challenge, "Keysize": 2048, "Key Type": "RSA",
               "Key Usage": 5, "Subject": [[["O", "vmtest"]], [["CN", "device by SCEP"]]]}
    if fingerprint:
        content["CAFingerprint"] = fingerprint
    return payload("com.apple.security.scep", "test.scep", PayloadContent=content)


def fingerprint():
    text = openssl("x509", "-in", scep.cert, "-noout", "-fingerprint", "-sha1").decode()
    return bytes.fromhex(text.split("=")[1].strip().replace(":", ""))


def enroll(identity, code=0):
    return device.run("enroll", device.file("e", enrollment(nano.url + "/mdm", identity)), code=code)


def sync():
    udid = plistlib.loads((device.root / "var/lib/vmtest-device/self.plist").read_bytes())["UDID"]
    name = nano.enqueue(udid, "DeclarativeManagement")
    device.run("poll")
    assert nano.answer(name)["Status"] == "Acknowledged"


def test_scep_refused():
    done = enroll(scep_payload(challenge="wrong"), code=1)
    assert "did not give an identity" in done.stderr, done.stderr
    done = enroll(scep_payload(fingerprint=b"\0" * 20), code=1)
    assert "CAFingerprint" in done.stderr, done.stderr
    assert device.installed() == []


def test_scep():
    enroll(scep_payload(fingerprint=fingerprint()))
    nano.event("mdm.TokenUpdate")
    (pem,) = (device.root / "var/lib/vmtest-device/identities").glob("*.pem")
    assert pem.stat().st_mode & 0o777 == 0o600
    openssl("verify", "-CAfile", scep.cert, pem)
    assert b"device by SCEP" in openssl("x509", "-in", pem, "-noout", "-subject")


def test_declare():
    profiles["a"] = profile("test.declared", payload("com.example.stored", "test.declared.1", Word="x"))
    declared.items = {
        ("activation", "act"): ("1", ("com.apple.activation.simple", {
            "StandardConfigurations": ["legacy", "pass", "echo", "odd", "gone"]})),
        ("activation", "choosy"): ("1", ("com.apple.activation.simple", {
            "StandardConfigurations": ["alone"], "Predicate": "TRUEPREDICATE"})),
        ("configuration", "legacy"): ("1", ("com.apple.configuration.legacy", {
            "ProfileURL": declared.server.url + "/profile/a"})),
        ("configuration", "pass"): ("1", ("com.apple.configuration.passcode.settings", {
            "MinimumLength": 12, "RequireAlphanumericPasscode": True})),
        ("configuration", "echo"): ("1", ("com.apple.configuration.management.test", {"Echo": "hi"})),
        ("configuration", "odd"): ("1", ("com.apple.configuration.nonsense", {})),
        ("configuration", "gone"): ("1", ("com.apple.configuration.legacy", {
            "ProfileURL": "http://127.0.0.1:9/none"})),
        ("configuration", "alone"): ("1", ("com.apple.configuration.management.test", {"Echo": "-"})),
    }
    sync()
    assert device.managed("com.example.stored") == {"Word": "x"}
    policy = device.managed("com.apple.mobiledevice.passwordpolicy")
    assert policy == {"minLength": 12, "requireAlphanumeric": True}, policy
    assert declared.told("configurations") == {
        "legacy": (True, "valid"), "pass": (True, "valid"), "echo": (True, "valid"),
        "odd": (False, "unknown"), "gone": (False, "valid"), "alone": (False, "valid")}
    assert declared.told("activations") == {"act": (True, "valid"), "choosy": (False, "unknown")}


def test_nothing_new():
    declared.asked.clear()
    sync()
    assert declared.asked == ["tokens", "status"], declared.asked


def test_change():
    profiles["a"] = profile("test.declared", payload("com.example.stored", "test.declared.1", Word="y"))
    declared.items["configuration", "legacy"] = ("2", declared.items["configuration", "legacy"][1])
    declared.asked.clear()
    sync()
    assert device.managed("com.example.stored") == {"Word": "y"}
    fetched = [e for e in declared.asked if e.startswith("declaration/")]
    assert fetched == ["declaration/configuration/legacy"], fetched


def test_withdrawn():
    declared.items["activation", "act"] = ("2", ("com.apple.activation.simple", {
        "StandardConfigurations": ["pass"]}))
    sync()
    assert device.managed("com.example.stored") is None, "no activation names it any more"
    assert device.managed("com.apple.mobiledevice.passwordpolicy")
    assert declared.told("configurations")["legacy"] == (False, "valid")
    del declared.items["configuration", "pass"]
    sync()
    assert device.managed("com.apple.mobiledevice.passwordpolicy") is None
    declared.items["activation", "act"] = ("3", ("com.apple.activation.simple", {
        "StandardConfigurations": ["legacy"]}))
    sync()
    assert device.managed("com.example.stored") == {"Word": "y"}, "named again"


def test_unenroll_takes_all():
    device.run("unenroll")
    assert device.installed() == []
    assert device.managed("com.example.stored") is None


try:
    assert base64
    run_cases([test_scep_refused, test_scep, test_declare, test_nothing_new, test_change,
               test_withdrawn, test_unenroll_takes_all])
finally:
    nano.close()
    scep.process.terminate()
