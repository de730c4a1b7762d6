"""The kind "nanomdm" against a real NanoMDM, with a device that is simulated here."""
import base64
import hashlib
import hmac
import json
import os
import plistlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from driver import Driver  # pylint: disable=wrong-import-position
from peers import free_port, go_program  # pylint: disable=wrong-import-position

program_of_driver = os.path.abspath(sys.argv[1])
VERSION = "v0.9.0"
KEY, HMAC = "key-" + uuid.uuid4().hex, "hmac-" + uuid.uuid4().hex
folder = tempfile.mkdtemp()
os.chmod(folder, 0o700)


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def get_nanomdm():
    program, why = go_program("github.com/micromdm/nanomdm/cmd/nanomdm@" + VERSION)
    return program or skip(why)


def openssl(*args, data=None):
    return subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=folder,
                          input=data).stdout


class NanoMDM:
    def __init__(self, program, hook):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lab",
                "-keyout", "ca.key", "-out", "ca.pem")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = open(os.path.join(folder, "log"), "w+")
        self.p = subprocess.Popen(
            [program, "-ca", "ca.pem", "-storage", "filekv", "-storage-dsn", "db", "-listen",
             f"127.0.0.1:{self.port}", "-webhook-url", f"http://127.0.0.1:{hook}/"],
            env=dict(os.environ, NANOMDM_API=KEY, NANOMDM_WEBHOOK_HMAC_KEY=HMAC), cwd=folder,
            stdout=self.log, stderr=self.log)
        for _ in range(200):
            try:
                return socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                time.sleep(0.05)
        raise AssertionError("NanoMDM does not listen")


class Device:
    """Speaks the device's side: check-ins and command loop, signed with its own key."""

    def __init__(self, server, name):
        self.server, self.name, self.udid = server, name, str(uuid.uuid4()).upper()
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=" + name,
                "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", name + ".key", "-out", name + ".pem",
                "-addext", "extendedKeyUsage=clientAuth")

    def send(self, message, checkin=True):
        body = plistlib.dumps(dict(message, UDID=self.udid))
        signature = openssl("cms", "-sign", "-binary", "-outform", "DER", "-signer",
                            self.name + ".pem", "-inkey", self.name + ".key", data=body)
        kind = "application/x-apple-aspen-mdm" + ("-checkin" if checkin else "")
        request = urllib.request.Request(
            self.server.url + "/mdm", body, method="PUT",
            headers={"Content-Type": kind, "Mdm-Signature": base64.b64encode(signature).decode()})
        with urllib.request.urlopen(request, timeout=20) as answer:
            data = answer.read()
        return plistlib.loads(data) if data else None

    def authenticate(self):
        self.send({"MessageType": "Authenticate", "Topic": "com.apple.mgmt.x", "DeviceName": self.name,
                   "SerialNumber": "S" + self.name, "OSVersion": "15.1", "BuildVersion": "24B83",
                   "Model": "VirtualMac2,1"})

    def token_update(self):
        self.send({"MessageType": "TokenUpdate", "Topic": "com.apple.mgmt.x", "Token": b"tok",
                   "PushMagic": "magic"})

    def check_out(self):
        self.send({"MessageType": "CheckOut", "Topic": "com.apple.mgmt.x"})

    def idle(self):
        return self.send({"Status": "Idle"}, checkin=False)

    def report(self, command_uuid, status, **more):
        return self.send(dict(more, Status=status, CommandUUID=command_uuid), checkin=False)


def call(hook, event, key=HMAC):
    """One webhook call of our own making."""
    body = json.dumps(event).encode()
    mac = base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest()).decode()
    request = urllib.request.Request(f"http://127.0.0.1:{hook}/", body,
                                     {"X-Hmac-Signature": mac, "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as e:
        return e.code


def report_event(udid, command, status, event_id=None, **more):
    raw = plistlib.dumps(dict(more, UDID=udid, CommandUUID=command, Status=status))
    return {"topic": "mdm.Connect", "event_id": event_id or str(uuid.uuid4()),
            "created_at": "2026-01-01T00:00:00.5Z",
            "acknowledge_event": {"udid": udid, "status": status, "command_uuid": command,
                                  "raw_payload": base64.b64encode(raw).decode()}}


def checkin_event(udid, message, at):
    raw = plistlib.dumps({"UDID": udid, "MessageType": message, "SerialNumber": "S1"})
    return {"topic": "mdm." + message, "event_id": str(uuid.uuid4()), "created_at": at,
            "checkin_event": {"udid": udid, "raw_payload": base64.b64encode(raw).decode()}}


def credentials_are_guarded(server):
    path = os.path.join(folder, "credentials.json")
    with open(path, "w") as f:
        json.dump({"api_key": KEY, "webhook_hmac_key": HMAC}, f)
    os.chmod(path, 0o640)
    d = Driver(program_of_driver)
    args = dict(kind="nanomdm", url=server.url)
    d.fails("auth", "chmod 600 " + path, "open", credentials=path, **args)
    d.fails("auth", "VMTEST_NANOMDM_API_KEY", "open", **args)
    d.fails("invalid", "\"device\"", "open", extra={"device": []}, **args)
    os.chmod(path, 0o600)
    d.fails("invalid", "no http", "open", credentials=path, kind="nanomdm", url="ftp://x")
    d.fails("io", "running", "open", credentials=path, kind="nanomdm", url=f"http://127.0.0.1:{free_port()}")
    d.ok("open", credentials=path, **args)
    d.end()
    wrong = Driver(program_of_driver, VMTEST_NANOMDM_API_KEY="wrong-" + KEY)
    wrong.fails("auth", "refused the credentials", "open", **args)
    wrong.end()
    return d.said + wrong.said


def commands_reach_a_device(d, server):
    device = Device(server, "one")
    d.fails("not_found", "told of no device", "enqueue", udid=device.udid,
            command={"RequestType": "ProfileList"})
    device.authenticate()
    d.fails("timeout", "enrolling", "wait_device", udid=device.udid, timeout=1)
    d.fails("state", "no TokenUpdate", "enqueue", udid=device.udid,
            command={"RequestType": "ProfileList"})
    d.begin("wait_device", serial="Sone")
    device.token_update()
    assert d.read()["ok"]["state"] == "enrolled"
    q = d.ok("enqueue", udid=device.udid, no_push=True,
             command={"RequestType": "InstallProfile", "Payload": {"$data": "aGFsbG8="}})
    assert not q["pushed"] and q["push_problem"] == "it was not asked for", q
    d.begin("wait_answer", udid=device.udid, uuid=q["uuid"])
    command = device.idle()
    assert command["CommandUUID"] == q["uuid"] and command["Command"]["Payload"] == b"hallo"
    assert device.report(q["uuid"], "NotNow") is None
    assert device.idle()["CommandUUID"] == q["uuid"]
    device.report(q["uuid"], "Error", ErrorChain=[
        {"ErrorCode": 4001, "ErrorDomain": "MCInstallationErrorDomain", "LocalizedDescription": "no"}])
    a = d.read()["ok"]
    assert a["status"] == "Error" and a["not_now"] == 1 and "4001" in a["errors"], a
    assert a["request_type"] == "InstallProfile" and a["reply"]["UDID"] == device.udid, a
    # there is no push certificate: the push fails, the command is queued all the same
    q = d.ok("enqueue", udid=device.udid, command={"RequestType": "ProfileList"})
    assert not q["pushed"] and q["push_problem"], q
    d.fails("io", "could not push", "push", udid=device.udid)
    assert device.idle()["CommandUUID"] == q["uuid"]
    device.report(q["uuid"], "Acknowledged", ProfileList=[])
    assert d.ok("wait_answer", udid=device.udid, uuid=q["uuid"])["reply"]["ProfileList"] == []
    d.fails("invalid", "used before", "enqueue", udid=device.udid, uuid=q["uuid"],
            command={"RequestType": "ProfileList"})
    d.fails("not_found", "no command", "wait_answer", udid=device.udid, uuid="nope")
    d.fails("unsupported", "NanoMDM", "withdraw", udid=device.udid)
    # what the device never answers; what is emptied by enrolling anew, and by checking out
    q = d.ok("enqueue", udid=device.udid, no_push=True, command={"RequestType": "DeviceInformation"})
    d.fails("timeout", "not been heard of", "wait_answer", udid=device.udid, uuid=q["uuid"], timeout=1)
    d.begin("wait_answer", udid=device.udid, uuid=q["uuid"])
    device.authenticate()
    assert d.read()["error"]["code"] == "guest"
    device.token_update()
    d.ok("wait_device", udid=device.udid)
    assert device.idle() is None
    device.check_out()
    d.ok("wait_device", udid=device.udid, state="not_enrolled")
    d.fails("state", "checked out", "enqueue", udid=device.udid, command={"RequestType": "ProfileList"})


def calls_are_judged(d, server, hook):
    device = Device(server, "two")
    device.authenticate()
    device.token_update()
    udid = device.udid
    d.ok("wait_device", udid=udid)
    queue = lambda: d.ok("enqueue", udid=udid, no_push=True, command={"RequestType": "ProfileList"})["uuid"]
    u = queue()
    # a missing call: the deadline says what may have happened
    assert call(hook, report_event(udid, "other", "Idle")) == 200
    d.fails("timeout", "may have been lost", "wait_answer", udid=udid, uuid=u, timeout=1)
    # without the right signature nothing counts
    assert call(hook, report_event(udid, u, "Acknowledged"), key="wrong") == 403
    d.fails("timeout", "", "wait_answer", udid=udid, uuid=u, timeout=0.5)
    for bad in ({}, [], {"topic": "mdm.Connect"}, {"topic": "x", "acknowledge_event": {}},
                dict(report_event(udid, u, "Acknowledged"), acknowledge_event={"udid": udid, "raw_payload": "!"})):
        assert call(hook, bad) == 400, bad
    # the same call twice counts once; an answer that is final is not undone by what comes late
    for _ in range(3):
        assert call(hook, report_event(udid, u, "NotNow", "id-1")) == 200
    assert d.ok("wait_answer", udid=udid, uuid=u, stop=True)["not_now"] == 1
    call(hook, report_event(udid, u, "Acknowledged"))
    call(hook, report_event(udid, u, "NotNow"))
    assert d.ok("wait_answer", udid=udid, uuid=u)["status"] == "Acknowledged"
    # an Authenticate that was overtaken by its TokenUpdate
    third = str(uuid.uuid4())
    call(hook, checkin_event(third, "TokenUpdate", "2026-01-01T10:00:01.25+02:00"))
    call(hook, checkin_event(third, "Authenticate", "2026-01-01T08:00:00Z"))
    assert d.ok("wait_device", udid=third)["serial"] == "S1"
    # an answer before anybody asked for it
    u = queue()
    first = device.idle()["CommandUUID"]  # NanoMDM knows nothing of the calls made here
    assert device.report(first, "Acknowledged")["CommandUUID"] == u
    device.report(u, "CommandFormatError")
    assert d.ok("wait_answer", udid=udid, uuid=u)["status"] == "CommandFormatError"
    assert {x["type"] for x in d.events} >= {"device", "idle", "answer", "refused"}, d.events
    assert len(d.ok("devices")) == 3


def main():
    program = get_nanomdm()
    hook = free_port()
    server = NanoMDM(program, hook)
    try:
        said = credentials_are_guarded(server)
        d = Driver(program_of_driver, VMTEST_NANOMDM_API_KEY=KEY, VMTEST_NANOMDM_WEBHOOK_HMAC_KEY=HMAC)
        d.ok("open", kind="nanomdm", url=server.url + "/", webhook=f"127.0.0.1:{hook}")
        commands_reach_a_device(d, server)
        calls_are_judged(d, server, hook)
        with open(f"/proc/{d.p.pid}/cmdline") as f:
            said += f.read()
        d.end()
        said += d.said
        for secret in (KEY, HMAC, base64.b64encode(("nanomdm:" + KEY).encode()).decode()):
            assert secret not in said, "a secret was shown"
    finally:
        server.p.terminate()
        server.p.wait()
        shutil.rmtree(folder)


main()
