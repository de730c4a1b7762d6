#!/usr/bin/env python3
"""`vmtest mdm`: the lab server and a simulated device, enrolled by PKCS#12 and by SCEP."""
import base64
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import plistlib
import shutil
import signal
import ssl
import stat
import subprocess
import time
import urllib.parse

from mdm_device import Device, openssl
from vt import Home, check, contains, equal, main, skip

if not shutil.which("openssl"):
    skip("no openssl here")


class Server:
    def __init__(self, home, *args, listen="127.0.0.1:0"):
        self.home = home
        self.state = home.home / "mdm" / "server"
        self.process = home.start("mdm", "serve", "--listen", listen, *args,
                                  stderr=subprocess.DEVNULL)
        self.seen = []
        line = self.process.stdout.readline()
        check(line, "the server did not start")
        self.url = json.loads(line)["url"]
        self.port = urllib.parse.urlsplit(self.url).port

    def event(self, kind, **members):
        """Waits for the next event like that."""
        while True:
            line = self.process.stdout.readline()
            check(line, f"the server ended before the event {kind} {members}", self.seen[-5:])
            event = json.loads(line)
            self.seen.append(event)
            if event["type"] == kind and members.items() <= event.items():
                return event

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        self.process.wait(timeout=20)
        self.process.stdout.close()
        return self.process.returncode

    def profile(self, method="pkcs12", name="enroll.mobileconfig", *args):
        r = self.home.run("mdm", "profile", "--method", method, "-o", name, *args)
        equal(r.returncode, 0, r.stderr)
        return self.home.work / name

    def device(self, udid, **options):
        device = Device(self.profile(name=udid + ".mobileconfig"), udid, self.home.temp, **options)
        device.take_pkcs12()
        equal(device.enroll(), 200)
        return device

    def enqueue(self, *args):
        r = self.home.run("mdm", "enqueue", *args)
        equal(r.returncode, 0, r.stderr)
        return r.stdout.strip()

    def control(self, verb, token=None, timeout=20, **args):
        facts = json.loads((self.state / "control.json").read_text())
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(facts["url"]).netloc,
                                                timeout=60)
        connection.request("POST", f"/v1/{verb}?timeout={timeout}", json.dumps(args),
                           {"Authorization": f"Bearer {token or facts['token']}"})
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        return reply.status, json.loads(body) if body else None


@contextlib.contextmanager
def server(*args, **env):
    with Home() as home:
        home.env.update(env)
        running = Server(home, *args)
        try:
            yield running
        finally:
            if running.process.poll() is None:
                running.stop(signal.SIGKILL)


def rows(home):
    r = home.run("mdm", "devices", "--json")
    equal(r.returncode, 0, r.stderr)
    return {row["udid"]: row for row in json.loads(r.stdout)}


def test_enrolling_by_pkcs12():
    with server() as s:
        file = s.profile()
        equal(stat.S_IMODE(file.stat().st_mode), 0o600)
        device = Device(file, "D1", s.home.temp).take_pkcs12()
        equal(device.mdm["AccessRights"], 8191)
        equal(device.mdm["SignMessage"], True)
        equal(device.mdm["IdentityCertificateUUID"],
              device.payloads["com.apple.security.pkcs12"]["PayloadUUID"])
        contains(openssl("x509", "-in", str(device.cert), "-noout", "-ext",
                         "extendedKeyUsage").decode(), "TLS Web Client Authentication")
        equal(device.enroll(), 200)
        s.event("device", state="enrolling", udid="D1")
        s.event("device", state="enrolled", udid="D1")
        row = rows(s.home)["D1"]
        equal((row["state"], row["serial"], row["os_version"]), ("enrolled", "SD1", "15.1"))
        equal(device.report(), None)
        contains(s.home.run("mdm", "devices").stdout, "enrolled")


def test_enrolling_by_scep():
    if not shutil.which("scepclient"):
        skip("no scepclient here (Debian package scep)")
    # that client encrypts by DES, which OpenSSL 3 only has when it is told to
    config = pathlib.Path(__file__).with_name("mdm_legacy.cnf")
    with server(OPENSSL_CONF=str(config)) as s:
        for method in ("scep", "both"):
            file = s.profile(method)
            device = Device(file, method, s.home.temp)
            equal(device.mdm["IdentityCertificateUUID"],
                  device.payloads["com.apple.security.scep"]["PayloadUUID"])
            check(device.take_scep(), "scepclient got no certificate")
            openssl("verify", "-CAfile", str(device.ca), str(device.cert))
            equal(device.enroll(), 200)
            equal(rows(s.home)[method]["state"], "enrolled")
            # the challenge was good for one certificate
            other = Device(file, method + "-2", s.home.temp)
            equal(other.take_scep(), None)
            contains(s.event("refused")["reason"], "used before")
        equal(device.request("GET", "/scep?operation=GetNothing")[0], 400)
        equal(device.request("POST", "/scep?operation=PKIOperation", b"\x30\x03abc")[0], 400)


def test_commands():
    with server() as s:
        device = s.device("D1")
        first = s.enqueue("D1", "ProfileList")
        second = s.enqueue("D1", "DeviceInformation", 'Queries:=["OSVersion"]')
        command = device.report()
        equal((command["CommandUUID"], command["Command"]["RequestType"]), (first, "ProfileList"))
        command = device.report("NotNow", first)
        equal(command["CommandUUID"], second)
        equal(command["Command"]["Queries"], ["OSVersion"])
        equal(device.report("Acknowledged", second, form=plistlib.FMT_BINARY,
                            QueryResponses={"OSVersion": "15.1"}), None)
        equal(device.report()["CommandUUID"], first)
        equal(device.report("Error", first, ErrorChain=[
            {"ErrorCode": 12, "ErrorDomain": "Dom", "USEnglishDescription": "it failed",
             "LocalizedDescription": "x"}]), None)
        equal(s.event("answer", uuid=first, status="Error")["errors"], "Dom 12: it failed")
        # answers that come twice or to nothing change nothing
        equal(device.report("Acknowledged", first), None)
        equal(device.report("Acknowledged", "never"), None)
        status, answer = s.control("wait_answer", udid="D1", uuid=first)
        equal((status, answer["result"]["status"], answer["result"]["not_now"]), (200, "Error", 1))
        _, answer = s.control("wait_answer", udid="D1", uuid=second)
        raw = plistlib.loads(base64.b64decode(answer["result"]["raw"]["$data"]))
        equal(raw["QueryResponses"]["OSVersion"], "15.1")


def test_waiting_for_an_answer():
    with server() as s:
        device = s.device("D1")
        profile = s.home.work / "wifi.mobileconfig"
        profile.write_bytes(b"<plist>whatever</plist>")
        for status, code in (("Acknowledged", 0), ("Error", 1)):
            waiting = s.home.start("mdm", "enqueue", "D1", "install-profile", str(profile),
                                   "--wait", "30s", "--json")
            end = time.monotonic() + 20
            while not (command := device.report()) and time.monotonic() < end:
                time.sleep(0.05)
            equal(command["Command"]["Payload"], profile.read_bytes())
            device.report(status, command["CommandUUID"], **({} if status != "Error" else {
                "ErrorChain": [{"ErrorCode": 1, "ErrorDomain": "D"}]}))
            out, err = waiting.communicate(timeout=20)
            equal(waiting.returncode, code, err)
            equal(json.loads(out)["status"], status)
        # how far it came
        late = s.home.run("mdm", "enqueue", "D1", "remove-profile", "org.example", "--wait", "0.3s")
        equal(late.returncode, 3)
        contains(late.stderr, "has not asked for it")
        command = device.report()
        equal(command["Command"], {"RequestType": "RemoveProfile", "Identifier": "org.example"})
        _, answer = s.control("wait_answer", udid="D1", uuid=command["CommandUUID"], timeout=0.3)
        contains(answer["error"]["message"], "was given to the device")
        equal(s.control("withdraw", udid="D1", uuid=command["CommandUUID"])[1], {"result": {}})
        equal(device.report(), None)


def test_commands_that_are_refused():
    with server() as s:
        s.device("D1")
        for args, code, words in (
                (("D2", "ProfileList"), 2, "no device D2"),
                (("D1", "InstallApplication"), 2, "App Store"),
                (("D1", "ScheduleOSUpdate"), 2, "declaration"),
                (("D1", "Settings", "a"), 2, "KEY=VALUE"),
                (("D1", "Settings", "a:=["), 2, "no JSON"),
                (("D1", "install-profile", "missing"), 2, "missing")):
            r = s.home.run("mdm", "enqueue", *args)
            equal(r.returncode, code, r.stderr)
            contains(r.stderr, words)
        s.enqueue("D1", "InstallApplication", "--force")


def test_identities_that_are_refused():
    with server() as s:
        one, two = s.device("D1"), s.device("D2")
        body = plistlib.dumps({"UDID": "D1", "Status": "Idle"})
        put = lambda data, headers: one.request("PUT", "/mdm", data, headers)[0]
        equal(put(body, {}), 400)
        equal(put(body, {"Mdm-Signature": "%%%"}), 400)
        equal(put(body, {"Mdm-Signature": base64.b64encode(b"0\x03abc").decode()}), 400)
        equal(put(body, {"Mdm-Signature": one.sign(body)}), 200)
        equal(put(body + b" ", {"Mdm-Signature": one.sign(body)}), 400)
        equal(put(body, {"Mdm-Signature": two.sign(body)}), 500)
        contains(s.event("refused", status=500)["reason"], "device D2")
        # of nobody's, of another authority's
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=D1", "-keyout",
                str(two.key), "-out", str(two.cert))
        equal(put(body, {"Mdm-Signature": two.sign(body)}), 400)
        contains(s.event("refused", status=400, udid="D1")["reason"], "not issued")
        # another device with the same profile
        clone = Device(s.home.work / "D1.mobileconfig", "D3", s.home.temp).take_pkcs12()
        equal(clone.enroll(), 500)
        check("D3" not in rows(s.home))
        # enrolled anew, the first certificate is revoked
        equal(s.device("D1").report(), None)
        equal(put(body, {"Mdm-Signature": one.sign(body)}), 400)
        contains(s.event("refused", status=400)["reason"], "revoked")


def test_identity_by_tls():
    with server() as s:
        one = s.device("D1", mtls=True)
        uuid = s.enqueue("D1", "SecurityInfo")
        equal(one.report()["CommandUUID"], uuid)
        info = {"ManagementStatus": {"UserApprovedEnrollment": True}}
        equal(one.report("Acknowledged", uuid, SecurityInfo=info), None)
        equal(rows(s.home)["D1"]["user_approved"], True)
        body = plistlib.dumps({"UDID": "D9", "Status": "Idle"})
        equal(one.request("PUT", "/mdm", body, identity=True)[0], 500)
        equal(one.request("PUT", "/mdm", body)[0], 400)


def test_bootstrap_token_and_check_out():
    with server() as s:
        device = s.device("D1")
        equal(device.checkin("GetBootstrapToken"), (200, b""))
        equal(device.checkin("SetBootstrapToken", BootstrapToken=b"secret"), (200, b""))
        status, body = device.checkin("GetBootstrapToken")
        equal((status, plistlib.loads(body)), (200, {"BootstrapToken": b"secret"}))
        equal(rows(s.home)["D1"]["bootstrap_token"], True)
        equal(device.checkin("UserAuthenticate", UserID="u")[0], 410)
        uuid = s.enqueue("D1", "ProfileList")
        equal(device.checkin("CheckOut")[0], 200)
        equal(rows(s.home)["D1"]["state"], "not_enrolled")
        contains(s.control("wait_answer", udid="D1", uuid=uuid)[1]["error"]["message"], "checked out")
        r = s.home.run("mdm", "enqueue", "D1", "ProfileList")
        equal(r.returncode, 2)
        contains(r.stderr, "checked out")


def declarative(device, endpoint, data=None):
    more = {"Data": json.dumps(data).encode()} if data is not None else {}
    return device.checkin("DeclarativeManagement", Endpoint=endpoint, **more)


def test_declarations():
    with server() as s:
        device = s.device("D1")
        declaration = {"Type": "com.apple.configuration.passcode.settings",
                       "Identifier": "org.example.passcode", "Payload": {"MinimumLength": 10}}
        _, queued = s.control("declare", udid="D1", declaration=declaration)
        command = device.report()
        equal(command["CommandUUID"], queued["result"]["uuid"])
        told = json.loads(command["Command"]["Data"])["SyncTokens"]["DeclarationsToken"]
        device.report("Acknowledged", command["CommandUUID"])
        _, body = declarative(device, "tokens")
        equal(json.loads(body)["SyncTokens"]["DeclarationsToken"], told)
        _, body = declarative(device, "declaration-items")
        items = json.loads(body)
        equal(items["DeclarationsToken"], told)
        item, = items["Declarations"]["Configurations"]
        status, body = declarative(device, "declaration/configuration/org.example.passcode")
        got = json.loads(body)
        equal((status, got.pop("ServerToken")), (200, item["ServerToken"]))
        equal(got, declaration)
        equal(declarative(device, "declaration/configuration/other")[0], 404)
        _, early = s.control("wait_declared", udid="D1", identifier="org.example.passcode",
                             timeout=0.2)
        contains(early["error"]["message"], "not reported anything")
        report = {"identifier": "org.example.passcode", "server-token": item["ServerToken"],
                  "active": True, "valid": "valid"}
        equal(declarative(device, "status", {"StatusItems": {"management": {"declarations": {
            "configurations": [report]}}}, "Errors": []})[0], 200)
        _, now = s.control("wait_declared", udid="D1", identifier="org.example.passcode")
        equal(now["result"]["status"], report)
        _, gone = s.control("undeclare", udid="D1", identifier="org.example.passcode")
        check("uuid" in gone["result"], gone)
        _, body = declarative(device, "declaration-items")
        equal(json.loads(body)["Declarations"]["Configurations"], [])


def test_packages():
    with server() as s:
        device = s.device("D1")
        package = s.home.work / "tool.pkg"
        package.write_bytes(os.urandom((10 << 20) + 12345))
        _, made = s.control("serve_package", path=str(package), bundle_id="org.example.tool",
                            version="1.2")
        facts = made["result"]
        equal(facts["sha256"], hashlib.sha256(package.read_bytes()).hexdigest())
        status, body = device.request("GET", urllib.parse.urlsplit(facts["manifest_url"]).path)
        equal(status, 200)
        manifest = plistlib.loads(body)
        equal(manifest, facts["manifest"])
        asset, = manifest["items"][0]["assets"]
        equal(manifest["items"][0]["metadata"]["bundle-identifier"], "org.example.tool")
        status, body = device.request("GET", urllib.parse.urlsplit(asset["url"]).path)
        equal((status, body == package.read_bytes()), (200, True))
        part = asset["sha256-size"]
        equal([hashlib.sha256(body[i:i + part]).hexdigest() for i in range(0, len(body), part)],
              asset["sha256s"])
        equal(device.request("GET", "/packages/0123/manifest.plist")[0], 404)
        _, refused = s.control("serve_package", path=str(s.home.work), bundle_id="b", version="1")
        contains(refused["error"]["message"], "is no file")


def test_queue_survives_a_kill():
    with Home() as home:
        s = Server(home)
        device = s.device("D1")
        uuids = [s.enqueue("D1", "ProfileList") for _ in range(3)]
        equal(device.report()["CommandUUID"], uuids[0])
        s.stop(signal.SIGKILL)
        r = home.run("mdm", "devices")
        equal(r.returncode, 3)
        contains(r.stderr, "no lab server runs")
        s = Server(home, listen=f"127.0.0.1:{s.port}")
        try:
            equal(rows(home)["D1"]["queued"], 3)
            equal(device.report()["CommandUUID"], uuids[0])
            equal(device.report("Acknowledged", uuids[0])["CommandUUID"], uuids[1])
            equal(device.report("Acknowledged", uuids[1])["CommandUUID"], uuids[2])
        finally:
            equal(s.stop(), 0)
        check(not (s.state / "control.json").exists(), "control.json is left")


def test_what_is_private():
    with server() as s:
        control = s.state / "control.json"
        for file in (control, s.state / "lab.sqlite", s.home.home / "mdm" / "ca" / "ca.pem"):
            equal(stat.S_IMODE(file.stat().st_mode), 0o600, file)
        equal(s.control("devices", token="0" * 64)[0], 401)
        equal(s.control("devices", token="short")[0], 401)
        equal(s.control("nothing")[0], 404)
        # both sockets are this host's alone
        listening = {}
        for line in pathlib.Path(f"/proc/{s.process.pid}/net/tcp").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                listening[int(words[1].split(":")[1], 16)] = words[1].split(":")[0]
        port = urllib.parse.urlsplit(json.loads(control.read_text())["url"]).port
        equal((listening[s.port], listening[port]), ("0100007F", "0100007F"))
        # another server finds the folder in use
        r = s.home.run("mdm", "serve", "--listen", "127.0.0.1:0")
        equal(r.returncode, 3)
        contains(r.stderr, "another lab server")
        control.chmod(0o644)
        r = s.home.run("mdm", "devices")
        equal(r.returncode, 3)
        contains(r.stderr, "others can read it")


def test_address_in_the_profile():
    with server("--name", "mdm.lab.example") as s:
        contains(s.url, "mdm.lab.example")
        device = Device(s.profile("pkcs12", "p", "--address", "10.0.2.2"), "D", s.home.temp)
        equal(device.mdm["ServerURL"], f"https://10.0.2.2:{s.port}/mdm")
        r = s.home.run("mdm", "profile", "--address", "elsewhere.example", "-o", "q")
        equal(r.returncode, 2)
        contains(r.stderr, "certificate is not for")
        r = s.home.run("mdm", "profile", "--rights", "2", "-o", "q")
        equal(r.returncode, 2)
        contains(r.stderr, "2 needs 1")


def test_nothing_takes_it_down():
    with server() as s:
        device = s.device("D1")
        for i in range(60):
            body = os.urandom(i * 37) if i % 2 else b"<plist>" * i
            for path in ("/mdm", "/checkin", "/scep?operation=PKIOperation", "/" + "x" * i):
                method = ("PUT", "POST", "GET", "DELETE")[i % 4]
                headers = {"Mdm-Signature": "A" * (i * 50)} if i % 3 else {}
                try:
                    status, _ = device.request(method, path, body, headers)
                    check(400 <= status < 500 or method == "GET", method, path, status)
                except (http.client.HTTPException, ssl.SSLError, OSError):
                    pass
            signed = plistlib.dumps({"UDID": "D1", "MessageType": "DeclarativeManagement",
                                     "Endpoint": "status", "Data": os.urandom(i)})
            equal(device.request("PUT", "/mdm", signed,
                                 {"Mdm-Signature": device.sign(signed)})[0], 400)
        equal(device.report(), None)
        equal(s.process.poll(), None)


main([
    test_enrolling_by_pkcs12,
    test_enrolling_by_scep,
    test_commands,
    test_waiting_for_an_answer,
    test_commands_that_are_refused,
    test_identities_that_are_refused,
    test_identity_by_tls,
    test_bootstrap_token_and_check_out,
    test_declarations,
    test_packages,
    test_queue_survives_a_kill,
    test_what_is_private,
    test_address_in_the_profile,
    test_nothing_takes_it_down,
])
