"""The kind "micromdm" against a real MicroMDM, with the stand-in device: TLS, enrollment by the
profile that the server makes, its SCEP, and pushes to what stands in for Apple's push service."""
import base64
import http.server
import json
import os
import pathlib
import plistlib
import queue
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "device")]
# pylint: disable=wrong-import-position
from driver import Driver
from lab import CA, Device, Server, find_tool, openssl, payload, profile
from peers import free_port

MICROMDM = "github.com/micromdm/micromdm/cmd/micromdm@v1.13.1"
TOPIC = "com.apple.mgmt.External." + str(uuid.uuid4())
KEY = "key-" + uuid.uuid4().hex
APNS = "api.push.apple.com"
PATIENCE = 120  # seconds, for what takes milliseconds on a machine that is idle
driver_program = os.path.abspath(sys.argv[1])
folder = pathlib.Path(tempfile.mkdtemp(prefix="vmtest-micromdm-"))


def eventually(what, ask):
    end = time.monotonic() + PATIENCE
    while not (found := ask()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return found


class PushService:
    """A proxy that leads whoever asks for Apple's push service to one of our own, which takes the
    certificate that MicroMDM was given and answers with `answer`: (status, JSON)."""

    def __init__(self, ca, client):
        key, cert = ca.issue("apns", f"DNS:{APNS}")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(cert, key)
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_verify_locations(client)
        self.got, self.others, self.answer = [], [], (200, {})
        service = self

        class Push(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, words = service.answer
                body = json.dumps(words).encode()
                self.send_response(status)
                self.send_header("apns-id", str(uuid.uuid4()))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                service.got.append((self.path, told))

            def log_message(self, *_):
                pass

        class Proxy(Push):
            def do_CONNECT(self):
                if self.path != APNS + ":443":
                    service.others.append(self.path)
                    self.send_error(403)
                    return
                self.send_response(200)
                self.end_headers()
                Push(tls.wrap_socket(self.connection, server_side=True), self.client_address, None)
                self.close_connection = True

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        self.http.handle_error = lambda *_: None
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


class Relay:
    """Between MicroMDM's webhook and vmtest's listener; has what went through."""

    def __init__(self, hook):
        self.to, self.events = f"http://127.0.0.1:{hook}/", queue.Queue()
        self.lose = lambda _event: False
        self.server = Server(self._take)

    def _take(self, _method, _path, body):
        event = json.loads(body)
        status = 200 if self.lose(event) else self._forward(body)
        self.events.put((event, status))
        return status, b""

    def _forward(self, body):
        request = urllib.request.Request(self.to, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status
        except urllib.error.HTTPError as e:
            return e.code

    def wait(self, what, match):
        """The next event that matches, and is with vmtest."""
        end = time.monotonic() + PATIENCE
        while True:
            left = end - time.monotonic()
            assert left > 0, "the webhook was not called: " + what
            try:
                event, status = self.events.get(timeout=left)
            except queue.Empty:
                continue
            assert status == 200, (event, status)
            about = event.get("acknowledge_event") or event["checkin_event"]
            if match(event, about, plistlib.loads(base64.b64decode(about["raw_payload"]))):
                return event

    def checkin(self, message):
        return self.wait(message, lambda e, _about, _raw: e["topic"] == "mdm." + message)

    def report(self, command, status):
        return self.wait(f"{command} {status}", lambda _e, about, _raw:
                         about.get("command_uuid") == command and about["status"] == status)


class MicroMDM:
    def __init__(self, program, hook, proxy, roots):
        self.cert, key = folder / "tls.pem", folder / "tls.key"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", self.cert)
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.log = open(folder / "log", "wb")
        environment = {k: v for k, v in os.environ.items()
                       if not k.startswith("MICROMDM") and not k.lower().endswith("_proxy")}
        # pylint: disable-next=consider-using-with
        self.p = subprocess.Popen(
            [program, "serve", "-config-path", str(folder / "db"), "-server-url", self.url, "-tls-cert",
             str(self.cert), "-tls-key", str(key), "-http-addr", f"127.0.0.1:{self.port}",
             "-disable-redirect", "-command-webhook-url", hook],
            env=dict(environment, MICROMDM_API_KEY=KEY, HTTPS_PROXY=proxy, SSL_CERT_FILE=str(roots)),
            cwd=folder, stdout=self.log, stderr=self.log)
        self.trust = ssl.create_default_context(cafile=str(self.cert))
        eventually("MicroMDM does not answer", self.alive)

    def alive(self):
        assert self.p.poll() is None, (folder / "log").read_text()
        try:
            return self.ask("GET", "/version")
        except urllib.error.HTTPError:
            raise
        except OSError:
            return None

    def ask(self, method, path, data=None, **fields):
        token = base64.b64encode(f"micromdm:{KEY}".encode()).decode()
        request = urllib.request.Request(self.url + path, data, method=method,
                                         headers={"Authorization": "Basic " + token, **fields})
        with urllib.request.urlopen(request, timeout=PATIENCE, context=self.trust) as answer:
            return answer.read()

    def queued(self, udid):
        return [c["uuid"] for c in
                json.loads(self.ask("GET", "/v1/commands/" + udid)).get("commands", [])]

    def take_push_certificate(self):
        cert = (folder / "push.pem").read_bytes()
        key = openssl("rsa", "-traditional", "-in", folder / "push.key")  # it reads PKCS#1 alone
        self.ask("PUT", "/v1/config/certificate", json.dumps(
            {name: base64.b64encode(pem).decode() for name, pem in (("cert", cert), ("key", key))}
        ).encode())

    def close(self):
        self.p.terminate()
        self.p.wait(PATIENCE)
        self.log.close()


class Bench:
    """All of it together."""

    def __init__(self, program):
        self.hook = free_port()
        self.relay = Relay(self.hook)
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                f"/UID={TOPIC}/CN=APSP", "-keyout", folder / "push.key", "-out", folder / "push.pem")
        apple = CA(folder, "stands in for Apple")
        self.apns = PushService(apple, folder / "push.pem")
        self.server = MicroMDM(program, self.relay.server.url, self.apns.url, apple.cert)
        self.device = Device(folder / "root")
        self.d, self.udid, self.commands = None, None, 0

    def open(self, **env):
        d = Driver(driver_program, **env)
        return d, dict(kind="micromdm", url=self.server.url + "/", ca_file=str(self.server.cert),
                       webhook=f"127.0.0.1:{self.hook}", timeout=PATIENCE)

    def enroll(self, tree):
        done = self.device.run("enroll", self.device.file("e", tree), code=None)
        if not done.returncode:
            self.relay.checkin("TokenUpdate")
            self.udid = plistlib.loads(
                (self.device.root / "var/lib/vmtest-device/self.plist").read_bytes())["UDID"]
        return done

    def queue(self, request_type, no_push=True, **keys):
        """Returns when the device would get it: MicroMDM says it took a command before it did."""
        q = self.d.ok("enqueue", udid=self.udid, no_push=no_push, timeout=PATIENCE,
                      command={"RequestType": request_type, **keys})
        eventually("the command is not queued", lambda: q["uuid"] in self.server.queued(self.udid))
        self.commands += 1
        return q

    def answer(self, request_type, **keys):
        q = self.queue(request_type, **keys)
        self.device.run("poll")
        return self.d.ok("wait_answer", udid=self.udid, uuid=q["uuid"], timeout=PATIENCE)

    def as_user(self, where, **message):
        """A user channel of the device speaks, as that of a Mac does."""
        (identity,) = (self.device.root / "var/lib/vmtest-device/identities").glob("*.pem")
        body = plistlib.dumps({"UDID": self.udid, "UserID": str(uuid.uuid4()).upper(),
                               "UserShortName": "jane", **message})
        signature = openssl("cms", "-sign", "-binary", "-outform", "DER", "-signer", identity, "-inkey",
                            identity, data=body)
        return self.server.ask("PUT", where, body, **{
            "Mdm-Signature": base64.b64encode(signature).decode()})


def test_credentials_are_judged(b):
    wrong, args = b.open(VMTEST_MICROMDM_API_KEY="wrong-" + KEY)
    wrong.fails("auth", "refused the credentials", "open", **args)
    wrong.fails("host_key", "CA", "open", **dict(args, ca_file=None))
    wrong.end()
    b.d, args = b.open(VMTEST_MICROMDM_API_KEY=KEY)
    b.d.ok("open", **args)
    assert b.d.ok("devices") == []
    return wrong.said


def test_without_a_push_certificate(b):
    tree = plistlib.loads(b.d.ok("enroll")["profile"].encode())
    refused = b.enroll(tree)
    assert refused.returncode and "Topic" in refused.stderr, refused
    # with the topic that MicroMDM does not know yet: commands are queued, and cannot be pushed
    for one in tree["PayloadContent"]:
        if one["PayloadType"] == "com.apple.mdm":
            one["Topic"] = TOPIC
    assert b.enroll(tree).returncode == 0
    assert b.d.ok("wait_device", udid=b.udid, timeout=PATIENCE)["state"] == "enrolled"
    q = b.queue("ProfileList", no_push=False)
    assert not q["pushed"] and q["push_problem"], q
    print("push without a certificate:", q["push_problem"])
    b.d.fails("io", "", "push", udid=b.udid)
    b.device.run("poll")
    found = b.d.ok("wait_answer", udid=b.udid, uuid=q["uuid"], timeout=PATIENCE)
    assert found["status"] == "Acknowledged", found
    b.device.run("unenroll")
    b.d.ok("wait_device", udid=b.udid, state="not_enrolled", timeout=PATIENCE)


def test_enrollment(b):
    b.server.take_push_certificate()
    tree = eventually("the profile has no topic", lambda: topical(
        plistlib.loads(b.d.ok("enroll")["profile"].encode())))
    assert b.enroll(tree).returncode == 0
    found = b.d.ok("wait_device", udid=b.udid, timeout=PATIENCE)
    assert found["state"] == "enrolled" and found["serial"], found
    assert b.d.ok("wait_device", serial=found["serial"])["udid"] == b.udid
    assert [x["udid"] for x in b.d.ok("devices")] == [b.udid]


def topical(tree):
    return tree if any(p.get("Topic") == TOPIC for p in tree["PayloadContent"]) else None


def test_profiles(b):
    tree = profile("test.one", payload("com.example.settings", "test.one.1", Level=3))
    data = {"$data": base64.b64encode(plistlib.dumps(tree)).decode()}
    a = b.answer("InstallProfile", Payload=data)
    assert a["status"] == "Acknowledged" and a["request_type"] == "InstallProfile", a
    assert b.device.managed("com.example.settings") == {"Level": 3}
    listed = b.answer("ProfileList")["reply"]["ProfileList"]
    assert {p["PayloadIdentifier"] for p in listed} == {
        "test.one", "com.github.micromdm.micromdm.enroll"}, listed
    assert b.answer("RemoveProfile", Identifier="test.one")["status"] == "Acknowledged"
    assert b.device.managed("com.example.settings") is None
    a = b.answer("RemoveProfile", Identifier="test.one")
    assert a["status"] == "Error" and "89" in a["errors"], a
    assert a["reply"]["ErrorChain"][0]["ErrorCode"] == 89, a
    found = b.answer("DeviceInformation", Queries=["UDID", "DeviceName"])
    assert found["reply"]["QueryResponses"]["UDID"] == b.udid, found
    assert b.answer("InstallProfile")["status"] == "CommandFormatError"


def test_not_now(b):
    b.device.run("answer", "not-now", "ProfileList")
    u = b.queue("ProfileList")["uuid"]
    b.device.run("poll")
    b.relay.report(u, "NotNow")
    assert b.d.ok("wait_answer", udid=b.udid, uuid=u, stop=True, timeout=PATIENCE)["not_now"] == 1
    b.d.fails("timeout", "NotNow 1 times", "wait_answer", udid=b.udid, uuid=u, timeout=0.5)
    b.device.run("answer", "normal", "ProfileList")
    b.device.run("poll")
    a = b.d.ok("wait_answer", udid=b.udid, uuid=u, timeout=PATIENCE)
    assert a["status"] == "Acknowledged" and a["not_now"] == 1, a


def test_pushes(b):
    got = b.apns.got
    # by itself, for each command; also for the one that came before its certificate
    eventually("MicroMDM does not push by itself", lambda: len(got) >= b.commands)
    before = len(got)
    q = b.queue("ProfileList", no_push=False)
    assert q["pushed"] and "push_problem" not in q, q
    eventually("one push is missing", lambda: len(got) >= before + 2)
    before = len(got)
    b.d.ok("push", udid=b.udid, timeout=PATIENCE)
    eventually("it was not pushed", lambda: len(got) > before)
    for path, told in got:
        assert path.startswith("/3/device/") and set(told) == {"mdm"} and told["mdm"], (path, told)
    b.apns.answer = (410, {"reason": "Unregistered", "timestamp": 1790000000000})
    e = b.d.fails("io", "could not push", "push", udid=b.udid, timeout=PATIENCE)
    print("push to a device that is gone:", e["message"])
    q2 = b.queue("ProfileList", no_push=False)
    assert not q2["pushed"] and q2["push_problem"] in e["message"], q2
    b.apns.answer = (200, {})
    b.device.run("poll")
    for one in (q, q2):
        a = b.d.ok("wait_answer", udid=b.udid, uuid=one["uuid"], timeout=PATIENCE)
        assert a["status"] == "Acknowledged", a
    assert not b.apns.others, b.apns.others


def test_a_call_that_is_lost(b):
    b.relay.lose = lambda event: "acknowledge_event" in event and "command_uuid" in event[
        "acknowledge_event"]
    u = b.queue("ProfileList")["uuid"]
    b.device.run("poll")
    b.relay.report(u, "Acknowledged")
    b.relay.lose = lambda event: False
    b.d.fails("timeout", "may have been lost", "wait_answer", udid=b.udid, uuid=u, timeout=0.5)


def test_a_user_channel_is_not_the_device(b):
    u = b.queue("ProfileList")["uuid"]
    b.as_user("/mdm/connect", Status="Error", CommandUUID=u)
    b.relay.report(u, "Error")
    b.d.fails("timeout", "", "wait_answer", udid=b.udid, uuid=u, timeout=0.5)
    b.device.run("poll")
    a = b.d.ok("wait_answer", udid=b.udid, uuid=u, timeout=PATIENCE)
    assert a["status"] == "Acknowledged", a


def test_what_ends_a_queue(b):
    b.device.run("answer", "not-now", "ProfileList")
    later, never = b.queue("ProfileList")["uuid"], b.queue("DeviceInformation", Queries=["UDID"])["uuid"]
    b.relay.lose = lambda event: event.get("acknowledge_event", {}).get("command_uuid") == never
    b.device.run("poll")
    b.relay.report(later, "NotNow")
    b.relay.report(never, "Acknowledged")
    assert b.server.queued(b.udid) == []
    b.d.begin("wait_answer", udid=b.udid, uuid=later, timeout=PATIENCE)
    b.device.run("unenroll")
    e = b.d.read().get("error")
    assert e and e["code"] == "guest" and "checked out" in e["message"], e
    b.d.ok("wait_device", udid=b.udid, state="not_enrolled", timeout=PATIENCE)
    b.d.fails("state", "checked out", "enqueue", udid=b.udid, command={"RequestType": "ProfileList"})
    b.d.fails("unsupported", "whole queue", "withdraw", udid=b.udid)


def test_a_second_look(b):
    """What the list says, to a vmtest that heard no webhook."""
    b.d.end()
    said = b.d.said
    b.d, args = b.open(VMTEST_MICROMDM_API_KEY=KEY)
    b.d.ok("open", **args)
    assert b.d.ok("devices") == [], "it checked out"
    b.d.end()
    said += b.d.said
    profile_file = b.device.root / "e"
    assert b.device.run("enroll", str(profile_file)).returncode == 0
    eventually("it is not listed", lambda: json.loads(
        b.server.ask("POST", "/v1/devices", b"{}"))["devices"][0]["enrollment_status"])
    b.d, args = b.open(VMTEST_MICROMDM_API_KEY=KEY)
    b.d.ok("open", **args)
    (found,) = b.d.ok("devices")
    assert found["udid"] == b.udid and found["state"] == "enrolled" and found["serial"], found
    assert "lists it" in found["reason"], found
    b.device.run("answer", "normal", "ProfileList")
    assert b.answer("ProfileList")["status"] == "Acknowledged"
    return said


def main():
    b, said = Bench(find_tool(MICROMDM)), ""
    try:
        for test in (test_credentials_are_judged, test_without_a_push_certificate, test_enrollment,
                     test_profiles, test_not_now, test_pushes, test_a_call_that_is_lost,
                     test_a_user_channel_is_not_the_device, test_what_ends_a_queue, test_a_second_look):
            started = time.monotonic()
            said += test(b) or ""
            print(f"ok   {test.__name__} ({time.monotonic() - started:.2f} s)", flush=True)
        said += pathlib.Path(f"/proc/{b.d.p.pid}/cmdline").read_text()
        b.d.end()
        said += b.d.said
        for secret in (KEY, base64.b64encode(("micromdm:" + KEY).encode()).decode()):
            assert secret not in said, "a secret was shown"
    except BaseException:
        print((folder / "log").read_text(errors="replace")[-6000:], file=sys.stderr)
        raise
    finally:
        if b.d and b.d.p.poll() is None:
            b.d.p.kill()
        b.server.close()
        shutil.rmtree(folder)


main()
