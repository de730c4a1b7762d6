#!/usr/bin/env python3
"""A device for tests of the Lua face: enough of `vmtest-device` and `profiles` for a guest that is
this host. It speaks the real protocol to a real server; its profiles have no effects.

    vmtest-device enroll [--not-approved] FILE | unenroll | poll | answer HOW [REQUEST] | effects --json
    profiles status -type enrollment | show -output stdout-xml | remove -identifier ID
"""
import base64
import http.client
import json
import os
import plistlib
import ssl
import subprocess
import sys
import uuid
from urllib.parse import urlsplit

STATE = "/var/lib/vmtest-device"
MANAGED = "/Library/Managed Preferences"


def load(name, default):
    try:
        with open(f"{STATE}/{name}", "rb") as file:
            return plistlib.load(file)
    except FileNotFoundError:
        return default


def save(name, value):
    os.makedirs(STATE, mode=0o700, exist_ok=True)
    with open(f"{STATE}/{name}", "wb") as file:
        plistlib.dump(value, file)


def me():
    """Who it is; made up when it is first asked."""
    own = load("self.plist", None)
    if not own:
        own = {"UDID": str(uuid.uuid4()).upper(), "SerialNumber": "T" + uuid.uuid4().hex[:9].upper()}
        save("self.plist", own)
    return own


class Refused(Exception):
    pass


# ---- the protocol ----

def sign(body):
    """The header Mdm-Signature."""
    der = subprocess.run(["openssl", "cms", "-sign", "-binary", "-outform", "DER", "-signer",
                          f"{STATE}/identity.pem"], input=body, capture_output=True, check=True)
    return base64.b64encode(der.stdout).decode()


def send(url, kind, message):
    body = plistlib.dumps(message)
    parts = urlsplit(url)
    context = ssl.create_default_context(cafile=f"{STATE}/ca.pem")
    context.load_cert_chain(f"{STATE}/identity.pem")
    connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=30, context=context)
    connection.request("PUT", parts.path + ("?" + parts.query if parts.query else ""), body,
                       {"Content-Type": kind, "Mdm-Signature": sign(body)})
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    if reply.status != 200:
        raise Refused(f"the server answered {reply.status}: {data[:200].decode(errors='replace')}")
    return data


def check_in(mdm, message_type, **more):
    return send(mdm.get("CheckInURL", mdm["ServerURL"]), "application/x-apple-aspen-mdm-checkin",
                {"MessageType": message_type, "Topic": mdm["Topic"], "UDID": me()["UDID"], **more})


def payloads(profile, kind):
    return [p for p in profile["PayloadContent"] if p["PayloadType"] == kind]


def enroll(*words):
    path = words[-1]
    with open(path, "rb") as file:
        profile = plistlib.load(file)
    if os.stat(path).st_mode & 0o077 or os.stat(os.path.dirname(path)).st_mode & 0o077:
        raise Refused("others can read the enrollment profile")
    if load("mdm", None):
        raise Refused("there is an enrollment already")
    mdm = payloads(profile, "com.apple.mdm")[0]
    identity = payloads(profile, "com.apple.security.pkcs12")[0]
    os.makedirs(STATE, mode=0o700, exist_ok=True)
    with open(f"{STATE}/ca.pem", "w", encoding="ascii") as file:
        for root in payloads(profile, "com.apple.security.root"):
            file.write(ssl.DER_cert_to_PEM_cert(root["PayloadContent"]))
    with open(f"{STATE}/identity.p12", "wb") as file:
        file.write(identity["PayloadContent"])
    pem = subprocess.run(["openssl", "pkcs12", "-nodes", "-in", f"{STATE}/identity.p12", "-passin",
                          "stdin"], check=True, input=identity["Password"].encode() + b"\n",
                         capture_output=True)
    with open(f"{STATE}/identity.pem", "wb") as file:
        file.write(pem.stdout)
    check_in(mdm, "Authenticate", DeviceName="test", Model="T1", ModelName="T", OSVersion="15.1",
             BuildVersion="24B1", ProductName="T1,1", SerialNumber=me()["SerialNumber"])
    check_in(mdm, "TokenUpdate", Token=b"token", PushMagic="magic")
    save("mdm", {**mdm, "Approved": "--not-approved" not in words})
    save("profiles", {profile["PayloadIdentifier"]: {"Profile": profile}})


def check_out():
    """The profile goes, whatever the server says to it; all others that came by it go, too."""
    mdm = load("mdm", None)
    try:
        check_in(mdm, "CheckOut")
    except Refused as err:
        print(err, file=sys.stderr)
    os.unlink(f"{STATE}/mdm")
    save("profiles", {})
    refresh({})


# ---- commands ----

def error(code, text):
    return {"Status": "Error", "ErrorChain": [
        {"ErrorCode": code, "ErrorDomain": "MCInstallationErrorDomain", "LocalizedDescription": text,
         "USEnglishDescription": text}]}


def settings(profile):
    for p in payloads(profile, "com.apple.ManagedClient.preferences"):
        for domain, content in p["PayloadContent"].items():
            yield domain, content["Forced"][0]["mcx_preference_settings"]


def refresh(profiles):
    """Writes the managed layer."""
    domains = {}
    for entry in profiles.values():
        for domain, values in settings(entry["Profile"]):
            domains.setdefault(domain, {}).update(values)
    os.makedirs(MANAGED, exist_ok=True)
    for name in os.listdir(MANAGED):
        os.unlink(f"{MANAGED}/{name}")
    for domain, values in domains.items():
        with open(f"{MANAGED}/{domain}.plist", "wb") as file:
            plistlib.dump(values, file, fmt=plistlib.FMT_BINARY)


def unwrapped(profile):
    """What a signed profile holds."""
    if not profile.startswith(b"\x30"):
        return profile
    return subprocess.run(["openssl", "cms", "-verify", "-noverify", "-inform", "DER"], input=profile,
                          capture_output=True, check=True).stdout


def install(command):
    signed = command["Payload"].startswith(b"\x30")
    profile = {**plistlib.loads(unwrapped(command["Payload"])), "Signed": signed}
    if any(p["PayloadType"] == "com.example.broken" for p in profile["PayloadContent"]):
        return error(4001, "Profile Installation Failed")
    profiles = load("profiles", {})
    profiles[profile["PayloadIdentifier"]] = {"Profile": profile}
    save("profiles", profiles)
    refresh(profiles)
    return {}


def remove(command):
    profiles = load("profiles", {})
    if command["Identifier"] not in profiles:
        return error(12075, "There is no such profile")
    del profiles[command["Identifier"]]
    save("profiles", profiles)
    refresh(profiles)
    return {}


def profile_list(_):
    return {"ProfileList": [{"PayloadIdentifier": name, "PayloadUUID": entry["Profile"]["PayloadUUID"]}
                            for name, entry in load("profiles", {}).items()]}


def information(command):
    known = {**me(), "OSVersion": "15.1", "DeviceName": "test"}
    return {"QueryResponses": {q: known[q] for q in command["Queries"] if q in known}}


def restart(_):
    save("boot", {"n": load("boot", {"n": 0})["n"] + 1})
    return {}


def install_application(command):
    connection_url = command["ManifestURL"]
    context = ssl.create_default_context(cafile=f"{STATE}/ca.pem")
    parts = urlsplit(connection_url)
    connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=30, context=context)
    connection.request("GET", parts.path)
    manifest = plistlib.loads(connection.getresponse().read())
    facts = manifest["items"][0]["metadata"]
    save("applications", load("applications", []) + [
        {"Identifier": facts["bundle-identifier"], "Version": facts["bundle-version"]}])
    return {}


def declarative(_):
    return {}


COMMANDS = {
    "InstallProfile": install, "RemoveProfile": remove, "ProfileList": profile_list,
    "DeviceInformation": information, "RestartDevice": restart,
    "SecurityInfo": lambda _: {"SecurityInfo": {"ManagementStatus": {"IsUserEnrollment": False}}},
    "CertificateList": lambda _: {"CertificateList": [{"CommonName": "a", "Data": b"\x30\x00"}]},
    "InstalledApplicationList": lambda _: {"InstalledApplicationList": load("applications", [])},
    "InstallEnterpriseApplication": install_application, "DeclarativeManagement": declarative,
}


def answer(command):
    request = command["RequestType"]
    answers = load("answers", {})
    how = answers.get(request, answers.get("", "normal"))
    if how == "not-now":
        return {"Status": "NotNow"}
    if how == "error":
        return error(12021, "It was told to answer so")
    if request not in COMMANDS:
        return {"Status": "CommandFormatError"}
    return {"Status": "Acknowledged", **COMMANDS[request](command)}


def synchronize(mdm):
    """Fetches the declarations, all of which it calls valid, and reports on them."""
    def ask(endpoint, **more):
        return check_in(mdm, "DeclarativeManagement", Endpoint=endpoint, **more)

    ask("tokens")
    items = json.loads(ask("declaration-items"))["Declarations"]
    status = {}
    for kind, list_ in items.items():
        status[kind.lower()] = []
        for item in list_:
            declaration = json.loads(ask(f"declaration/{kind.lower()[:-1]}/{item['Identifier']}"))
            good = declaration["Type"] != "com.apple.configuration.broken"
            status[kind.lower()].append({
                "identifier": item["Identifier"], "server-token": item["ServerToken"], "active": good,
                "valid": "valid" if good else "invalid",
                **({} if good else {"reasons": [{"code": "Error.Unknown", "description": "no such type"}]})})
    save("declarations", {k: [i["identifier"] for i in v] for k, v in status.items()})
    report = {"StatusItems": {"management": {"declarations": status}}, "Errors": []}
    ask("status", Data=json.dumps(report).encode())


def poll():
    mdm = load("mdm", None)
    if not mdm:
        raise Refused("it is not enrolled")
    report = {"UDID": me()["UDID"], "Status": "Idle"}
    while True:
        data = send(mdm["ServerURL"], "application/x-apple-aspen-mdm", report)
        if not data:
            return
        asked = plistlib.loads(data)
        reply = answer(asked["Command"])
        report = {"UDID": me()["UDID"], "CommandUUID": asked["CommandUUID"], **reply}
        if asked["Command"]["RequestType"] == "DeclarativeManagement" and reply["Status"] == "Acknowledged":
            synchronize(mdm)


# ---- the command line ----

def tell(how, request=""):
    answers = load("answers", {})
    answers[request] = how
    save("answers", answers if how != "normal" or request else {})


def effects(_json):
    """Settings are enforced, all else is stored."""
    json.dump([{"ProfileIdentifier": name, "PayloadType": p["PayloadType"], "PayloadUUID": p["PayloadUUID"],
                "State": "enforced" if "ManagedClient" in p["PayloadType"] else "stored",
                "Reason": "there is no handler"}
               for name, e in load("profiles", {}).items() for p in e["Profile"]["PayloadContent"]], sys.stdout)


def profiles_command(words):
    if words[0] == "status":
        mdm = load("mdm", None)
        print("Enrolled via DEP: No\nMDM enrollment:", "No" if not mdm else "Yes (User Approved)" if mdm["Approved"] else "Yes")
        if mdm:
            print("MDM server:", mdm["ServerURL"])
    elif words[0] == "show":
        sys.stdout.buffer.write(plistlib.dumps({"_computerlevel": [
            {"ProfileIdentifier": name, "ProfileUUID": e["Profile"]["PayloadUUID"],
             "ProfileVerificationState": "signed" if e["Profile"].get("Signed") else "unsigned",
             "ProfileItems": [{key: p[key] for key in ("PayloadType", "PayloadIdentifier", "PayloadUUID")}
                              for p in e["Profile"]["PayloadContent"]]}
            for name, e in load("profiles", {}).items()]}))
    elif words[0] == "remove":
        if not payloads(load("profiles", {})[words[2]]["Profile"], "com.apple.mdm"):
            raise Refused("it was installed by MDM")
        check_out()


def main():
    name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
    try:
        if name == "profiles":
            profiles_command(words)
        else:
            {"enroll": enroll, "poll": poll, "answer": tell, "effects": effects,
             "unenroll": check_out}[words[0]](*words[1:])
    except (Refused, OSError, KeyError) as err:
        sys.exit(f"{name}: {err!r}" if isinstance(err, KeyError) else f"{name}: {err}")


if __name__ == "__main__":
    main()
