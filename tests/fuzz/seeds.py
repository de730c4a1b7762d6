#!/usr/bin/env python3
"""Where fuzzers begin: seeds.py FOLDER writes FOLDER/NAME/* for the target fuzz_NAME, well-formed inputs of
the kinds it knows. Without them it would take days to come past the first check of a format."""
import json
import pathlib
import plistlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PROFILES = sorted((HERE.parents[1] / "testsuites" / "mdm" / "profiles").glob("*.mobileconfig"))

VALUES = {"text": "x", "more": "ü\n<&>", "n": 7, "big": 2 ** 40, "minus": -1, "real": 1.5, "yes": True,
          "data": b"\0\1", "list": [1, [2, {}], {"a": "b"}], "empty": []}
CHAIN = [{"ErrorCode": 4001, "ErrorDomain": "MCInstallationErrorDomain", "LocalizedDescription": "no",
          "USEnglishDescription": "no"}]
COMMANDS = [
    {"RequestType": "ProfileList", "ManagedOnly": True},
    {"RequestType": "DeviceInformation", "Queries": ["UDID", "OSVersion", "DeviceName"]},
    {"RequestType": "SecurityInfo"}, {"RequestType": "CertificateList"},
    {"RequestType": "InstalledApplicationList", "Items": ["Name"]},
    {"RequestType": "InstallProfile", "Payload": PROFILES[0].read_bytes()},
    {"RequestType": "RemoveProfile", "Identifier": "org.example.x"},
    {"RequestType": "Settings", "Settings": [{"Item": "DeviceName", "DeviceName": "x"}]},
    {"RequestType": "DeclarativeManagement", "Data": b'{"SyncTokens": {"DeclarationsToken": "1"}}'},
    {"RequestType": "InstallEnterpriseApplication", "InstallAsManaged": True,
     "Manifest": {"items": [{"assets": [{"kind": "software-package", "url": "https://127.0.0.1:1/x.pkg",
                                         "sha256-size": 10, "sha256s": ["00" * 32]}],
                             "metadata": {"bundle-identifier": "org.example.x", "bundle-version": "1",
                                          "kind": "software", "title": "x"}}]}},
]
CHECK_INS = [
    {"MessageType": "Authenticate", "Topic": "t", "DeviceName": "x", "SerialNumber": "S", "OSVersion": "15.1",
     "BuildVersion": "24B83", "Model": "Mac"},
    {"MessageType": "TokenUpdate", "Topic": "t", "Token": b"1", "PushMagic": "m", "UnlockToken": b"2",
     "AwaitingConfiguration": False},
    {"MessageType": "SetBootstrapToken", "BootstrapToken": b"123"}, {"MessageType": "GetBootstrapToken"},
    {"MessageType": "CheckOut", "Topic": "t"}, {"MessageType": "UserAuthenticate", "UserID": "x"},
    {"MessageType": "DeclarativeManagement", "Endpoint": "tokens"},
    {"MessageType": "DeclarativeManagement", "Endpoint": "status", "Data": b'{"StatusItems": {}, "Errors": []}'},
    {"Status": "Idle"}, {"Status": "NotNow", "CommandUUID": "u1"},
    {"Status": "Acknowledged", "CommandUUID": "u1", "ProfileList": [VALUES]},
    {"Status": "Error", "CommandUUID": "u2", "ErrorChain": CHAIN},
]
JSON = [
    {"Type": "com.apple.configuration.management.test", "Identifier": "x", "Payload": {"Echo": "x"}},
    {"Type": "com.apple.activation.simple", "Identifier": "a", "Payload": {"StandardConfigurations": ["x"]}},
    {"StatusItems": {"management": {"declarations": {"configurations": [
        {"identifier": "x", "active": True, "valid": "valid", "server-token": "1",
         "reasons": [{"code": "Error.X", "description": "no"}]}]}}}, "Errors": []},
    {"RequestType": "InstallProfile", "Payload": {"$data": "AAE="}}, {"at": {"$date": "2026-01-31T12:00:00Z"}},
    CHAIN,
]
QMP_HELLO = b'{"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 1}}, "capabilities": []}}\n'
QMP = [b'{"event": "STOP", "data": {}}\n{"return": {}, "id": 2}\n{"id": 1, "error": {"desc": "no"}}\n',
       b'{"id": 1, "return": "TCP[HOST_FORWARD]  12 127.0.0.1  4022  10.0.2.15  22\\r\\n"}\n']
VZ = [b'{"event": "state", "state": "paused"}\n{"id": 2, "ok": true}\n'
      b'{"id": 1, "ok": false, "error": {"domain": "VZErrorDomain", "code": 6, "message": "no"}}\n']
SCHEMA = """payload:
  payloadtype: org.example.x
  supportedOS:
    macOS: {introduced: '10.15', deprecated: '14.0', removed: n/a, multiple: false, supervised: true}
payloadkeys:
- key: One
  type: <integer>
  presence: required
  range: {min: 1, max: 9}
- key: Two
  type: <array>
  rangelist: [a, b]
  supportedOS: &macs {macOS: {introduced: '15.0'}}
  subkeys:
  - {key: Inner, type: <string>, supportedOS: *macs, format: '^[a-z]+$'}
"""
REQUEST = """[req]
prompt = no
distinguished_name = name
attributes = attributes
[name]
CN = x
[attributes]
challengePassword = secret
"""
# Of `tart list` and `tart get`: without a state, with Running, with State.
TART = [
    [{"Source": "local", "Name": "base", "Size": 20}, {"Source": "oci", "Name": "ghcr.io/x/base:1", "Size": "20"}],
    [{"Name": "base", "Disk": 50, "Size": "20.5", "Running": True}, {"Name": "b", "Running": "false"}, {"Size": 1}],
    [{"Name": "base", "State": "suspended", "OS": "darwin", "SizeOnDisk": 1.5e9, "Accessed": "2026-01-01"}],
    {"CPU": 4, "Memory": 8192, "Disk": 50, "Display": "1024x768"},
    {"Memory": "8192", "CPU": "4", "Running": False, "OS": "linux"},
    {"OS": "darwin", "CPU": 4, "Memory": 8192, "State": "running", "Size": "20.1", "DisplayRefit": None},
    {"CPU": -4, "Memory": "1e300", "State": 1, "Running": "no", "OS": ""},
]
TART_LINES = ["2.31.0\n", "a warning\n192.168.64.7\n", "fd00::7\n", "said\nTOKEN 3\n",
              "the specified VM \"x\" does not exist\n", "Error Domain=VZErrorDomain Code=6\n",
              "a VM with the same MAC address is running\n"]
RULE = """id: rule
odv: {default: 5, recommended: 10}
mobileconfig_info:
  org.example.x: {Key: $ODV, Other: true, List: [1, 'two', 3.5], Inner: {A: b}}
"""


def plists(values):
    return [plistlib.dumps(v, fmt=f) for v in values for f in (plistlib.FMT_XML, plistlib.FMT_BINARY)]


def openssl(*words, given=b""):
    return subprocess.run(["openssl", *words], input=given, check=True, capture_output=True).stdout


def signed(folder, text):
    key, cert = folder + "/key.pem", folder + "/cert.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", "/CN=x", "-keyout", key, "-out", cert)
    pathlib.Path(folder, "request.cnf").write_text(REQUEST)
    request = openssl("req", "-new", "-key", key, "-outform", "DER", "-config", folder + "/request.cnf")
    sign = ("cms", "-sign", "-binary", "-outform", "DER", "-signer", cert, "-inkey", key)
    return [openssl(*sign, "-nodetach", given=text), openssl(*sign, given=text)], request


def make():
    profiles = [p.read_bytes() for p in PROFILES]
    commands = plists({"CommandUUID": "u", "Command": c} for c in COMMANDS)
    with tempfile.TemporaryDirectory() as folder:
        messages, request = signed(folder, profiles[0])
    return {
        "plist": plists([VALUES, *COMMANDS]) + profiles,
        "cms": messages,
        "monitor": [b"\1" + m for m in QMP] + [b"\3" + m for m in VZ] + [b"\0" + QMP_HELLO + QMP[0]],
        "profile": profiles + messages[:1] + plists(plistlib.loads(p) for p in profiles),
        "device": [b"\0" + c for c in commands] + [b"\1" + p for p in profiles],
        "mdm_checkin": plists(dict(c, UDID="D") for c in CHECK_INS),
        "mdm_json": [json.dumps(j).encode() for j in JSON],
        "mdm_scep": [bytes([kind]) + body for kind in range(3) for body in (request, *messages)],
        "schema": [SCHEMA.encode()],
        "tart": [b"a warning\n" * warned + json.dumps(one).encode() for one in TART for warned in (0, 1)]
                + [line.encode() for line in TART_LINES],
        "yaml": [RULE.encode(), b"{'': {'': {a: b}}}"],
    }


for name, seeds in make().items():
    target = pathlib.Path(sys.argv[1]) / name
    target.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(seeds):
        (target / f"seed-{i}").write_bytes(seed)
