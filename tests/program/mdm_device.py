"""A simulated device for the MDM tests: Python's standard library, the `openssl` program, and for
SCEP the `scepclient` of the Debian package scep."""
import base64
import http.client
import os
import pathlib
import plistlib
import ssl
import subprocess
import tempfile
import urllib.parse

CHECKIN = "application/x-apple-aspen-mdm-checkin"


def openssl(*args, data=None, env=None):
    r = subprocess.run(["openssl", *args], input=data, capture_output=True, check=False,
                       env={**os.environ, **(env or {})}, timeout=60)
    if r.returncode:
        raise RuntimeError(f"openssl {args[0]}: {r.stderr.decode()}")
    return r.stdout


class Device:
    """What a Mac does with an enrollment profile, as far as a server can see it."""

    def __init__(self, profile, udid, folder, mtls=False):
        self.udid = udid
        self.mtls = mtls
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=folder))
        self.profile = plistlib.loads(pathlib.Path(profile).read_bytes())
        self.payloads = {p["PayloadType"]: p for p in self.profile["PayloadContent"]}
        self.mdm = self.payloads["com.apple.mdm"]
        self.ca = self.folder / "ca.pem"
        self.ca.write_bytes(openssl("x509", "-inform", "DER",
                                    data=self.payloads["com.apple.security.root"]["PayloadContent"]))
        self.cert, self.key = self.folder / "cert.pem", self.folder / "key.pem"
        self.token = b"token of " + udid.encode()

    def take_pkcs12(self):
        payload = self.payloads["com.apple.security.pkcs12"]
        p12 = self.folder / "identity.p12"
        p12.write_bytes(payload["PayloadContent"])
        secret = {"P12": payload["Password"]}
        base = ("pkcs12", "-in", str(p12), "-passin", "env:P12")
        self.key.write_bytes(openssl(*base, "-nocerts", "-nodes", env=secret))
        self.cert.write_bytes(openssl(*base, "-clcerts", "-nokeys", env=secret))
        return self

    def take_scep(self):
        """By a SCEP client that is not ours. None where the server gives no certificate."""
        content = self.payloads["com.apple.security.scep"]["PayloadContent"]
        r = subprocess.run(["scepclient", "-server-url", content["URL"],
                            "-challenge", content["Challenge"], "-cn", self.udid,
                            "-private-key", str(self.key), "-certificate", str(self.cert)],
                           env={**os.environ, "SSL_CERT_FILE": str(self.ca)}, cwd=self.folder,
                           capture_output=True, text=True, timeout=60, check=False)
        return self if r.returncode == 0 and self.cert.exists() else None

    def sign(self, body):
        der = openssl("cms", "-sign", "-binary", "-outform", "DER", "-signer", str(self.cert),
                      "-inkey", str(self.key), data=body)
        return base64.b64encode(der).decode()

    def connect(self, identity=False):
        context = ssl.create_default_context(cafile=self.ca)
        if identity:
            context.load_cert_chain(self.cert, self.key)
        url = urllib.parse.urlsplit(self.mdm["ServerURL"])
        return http.client.HTTPSConnection(url.hostname, url.port, timeout=30, context=context)

    def request(self, method, path, body=None, headers=None, identity=False):
        connection = self.connect(identity)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def send(self, message, kind=CHECKIN, form=plistlib.FMT_XML, signature=None):
        """Status and body of the reply to a message of this device."""
        body = plistlib.dumps({"UDID": self.udid, **message}, fmt=form)
        url = self.mdm["CheckInURL" if kind == CHECKIN else "ServerURL"]
        headers = {"Content-Type": kind}
        if not self.mtls:
            headers["Mdm-Signature"] = signature or self.sign(body)
        return self.request("PUT", urllib.parse.urlsplit(url).path, body, headers, self.mtls)

    def checkin(self, kind, **more):
        return self.send({"MessageType": kind, "Topic": self.mdm["Topic"], **more})

    def enroll(self):
        status, _ = self.checkin("Authenticate", DeviceName="sim", Model="VirtualMac2,1",
                                 ModelName="Mac", OSVersion="15.1", BuildVersion="24B83",
                                 ProductName="VirtualMac2,1", SerialNumber="S" + self.udid)
        if status == 200:
            status, _ = self.checkin("TokenUpdate", Token=self.token, PushMagic="magic",
                                     AwaitingConfiguration=False)
        return status

    def report(self, status="Idle", uuid=None, form=plistlib.FMT_XML, **more):
        """The next command, or None; other than 200 is an error."""
        message = {"Status": status, **({"CommandUUID": uuid} if uuid else {}), **more}
        code, body = self.send(message, kind="application/x-apple-aspen-mdm; charset=UTF-8",
                               form=form)
        if code != 200:
            raise RuntimeError(f"HTTP status {code}")
        return plistlib.loads(body) if body else None
