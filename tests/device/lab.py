"""What the tests of the stand-in device share: a CA, enrollment profiles, NanoMDM with its webhook,
a device below a folder of its own."""
import base64
import hashlib
import http.server
import json
import os
import pathlib
import plistlib
import queue
import subprocess
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from peers import free_port, go_program  # pylint: disable=wrong-import-position

SKIPPED = 77
DEVICE = os.environ.get("VMTEST_DEVICE", "build/dev/shim/device/vmtest-device")
NANOMDM = "github.com/micromdm/nanomdm/cmd/nanomdm@v0.9.0"
TOPIC = "com.apple.mgmt.External.vmtest"


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(SKIPPED)


def find_tool(module):
    program, why = go_program(module)
    return program or skip(why)


def openssl(*args, data=None):
    return subprocess.run(["openssl", *args], check=True, capture_output=True, input=data).stdout


class CA:
    """Keys and certificates in a folder, by openssl."""

    def __init__(self, folder, name="vmtest test CA"):
        self.folder = folder
        self.key, self.cert = folder / "ca.key", folder / "ca.pem"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj",
                f"/CN={name}", "-keyout", self.key, "-out", self.cert)

    def der(self):
        return openssl("x509", "-in", self.cert, "-outform", "DER")

    def issue(self, name, san=None):
        key, csr, cert = (self.folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key,
                "-out", csr)
        extra = []
        if san:
            (self.folder / "ext").write_text(f"subjectAltName={san}\n")
            extra = ["-extfile", self.folder / "ext"]
        openssl("x509", "-req", "-in", csr, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial",
                "-days", "30", "-out", cert, *extra)
        return key, cert

    def pkcs12(self, name, password):
        key, cert = self.issue(name)
        return openssl("pkcs12", "-export", "-inkey", key, "-in", cert, "-name", name, "-passout",
                       f"pass:{password}")


def payload(kind, identifier, **keys):
    return {"PayloadType": kind, "PayloadIdentifier": identifier, "PayloadVersion": 1,
            "PayloadUUID": str(uuid.uuid5(uuid.NAMESPACE_DNS, identifier)).upper(), **keys}


def profile(identifier, *payloads, **keys):
    return {**payload("Configuration", identifier, **keys),
            "PayloadDisplayName": f"test {identifier}", "PayloadContent": list(payloads)}


def enrollment(server, identity, check_in=None, extra=(), **mdm):
    keys = {"ServerURL": server, "Topic": TOPIC, "SignMessage": True, "AccessRights": 8191,
            "CheckOutWhenRemoved": True, "IdentityCertificateUUID": identity["PayloadUUID"],
            "ServerCapabilities": ["com.apple.mdm.bootstraptoken"], **mdm}
    if check_in:
        keys["CheckInURL"] = check_in
    return profile("test.enrollment", identity, payload("com.apple.mdm", "test.mdm", **keys), *extra)


class Device:
    """A device below a folder, with handlers that a test writes."""

    def __init__(self, folder):
        self.root = pathlib.Path(folder)
        self.handlers = self.root / "usr/lib/vmtest-device/handlers"
        self.actions = self.root / "usr/lib/vmtest-device/actions"
        for path in (self.handlers, self.actions):
            path.mkdir(parents=True)

    def run(self, *args, code=0, env=None):
        done = subprocess.run([DEVICE, "--root", str(self.root), *args], capture_output=True,
                              text=True, timeout=120, env={**os.environ, **(env or {})})
        if code is not None and done.returncode != code:
            raise AssertionError(f"{args}: status {done.returncode}, not {code}\n"
                                 f"{done.stdout}{done.stderr}")
        return done

    def file(self, name, tree):
        path = self.root / name
        path.write_bytes(tree if isinstance(tree, bytes) else plistlib.dumps(tree))
        return str(path)

    def handler(self, kind, script):
        path = self.handlers / kind
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)

    def action(self, name, script):
        path = self.actions / name
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)

    def managed(self, domain):
        path = self.root / "Library/Managed Preferences" / f"{domain}.plist"
        return plistlib.loads(path.read_bytes()) if path.exists() else None

    def effects(self):
        return json.loads(self.run("effects", "--json").stdout)

    def show(self):
        return plistlib.loads(self.run("profiles", "show", "-output", "stdout-xml").stdout.encode())

    def installed(self):
        return [p["ProfileIdentifier"] for p in self.show().get("_computerlevel", [])]


class Server:
    """An HTTP server whose answers a function of (method, path, body) gives: (status, bytes)."""

    def __init__(self, answer, tls=None):

        class Handler(http.server.BaseHTTPRequestHandler):
            def any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, reply = answer(self.command, self.path, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            do_GET = do_PUT = do_POST = any

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.http.server_port}"
        if tls:
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True,
                                               do_handshake_on_connect=False)
        self.http.handle_error = lambda *_: None  # a handshake that fails is the client's affair
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


class NanoMDM:
    """The real server, with a webhook listener for what devices answer."""

    def __init__(self, folder, ca, dm=None):
        program = find_tool(NANOMDM)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.events = queue.Queue()
        self.hook = Server(self._event)
        args = [program, "-ca", str(ca.cert), "-storage", "filekv", "-storage-dsn",
                str(folder / "nano"), "-listen", f"127.0.0.1:{self.port}", "-api", "secret",
                "-webhook-url", self.hook.url]
        if dm:
            args += ["-dm", dm]
        self.log = open(folder / "nanomdm.log", "wb")
        self.process = subprocess.Popen(args, stdout=self.log, stderr=self.log, cwd=folder)
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{self.url}/version", timeout=1)
                return
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)
        raise AssertionError("NanoMDM does not answer")

    def _event(self, _method, _path, body):
        self.events.put(json.loads(body))
        return 200, b""

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()

    def enqueue(self, udid, request_type, **keys):
        command = {"CommandUUID": str(uuid.uuid4()),
                   "Command": {"RequestType": request_type, **keys}}
        token = base64.b64encode(b"nanomdm:secret").decode()
        request = urllib.request.Request(
            f"{self.url}/v1/enqueue/{udid}?nopush=1", data=plistlib.dumps(command), method="PUT",
            headers={"Authorization": f"Basic {token}"})
        urllib.request.urlopen(request, timeout=10).read()
        return command["CommandUUID"]

    def event(self, topic, timeout=10):
        """The next call of a topic; NanoMDM makes its calls in any order, so others are kept."""
        end, others = time.monotonic() + timeout, []
        try:
            while True:
                event = self.events.get(timeout=max(0.01, end - time.monotonic()))
                if event["topic"] == topic:
                    return event
                others.append(event)
        finally:
            for event in others:
                self.events.put(event)

    def answer(self, command, timeout=10):
        """The device's report of the command."""
        end = time.monotonic() + timeout
        while True:
            event = self.events.get(timeout=max(0.01, end - time.monotonic()))
            found = event.get("acknowledge_event")
            if found and found.get("command_uuid") == command:
                return plistlib.loads(base64.b64decode(found["raw_payload"]))


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def run_cases(cases):
    """Runs functions, all of them; the status of the whole."""
    failed = 0
    for case in cases:
        start = time.monotonic()
        try:
            case()
            print(f"ok   {case.__name__} ({time.monotonic() - start:.2f} s)", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL {case.__name__}\n{traceback.format_exc()}", flush=True)
    sys.exit(1 if failed else 0)
