"""The stand-in device against the real NanoMDM, over HTTP on loopback with Mdm-Signature."""
import pathlib
import plistlib
import tempfile

from lab import (CA, TOPIC, Device, NanoMDM, Server, enrollment, payload, profile, run_cases, sha256)

folder = pathlib.Path(tempfile.mkdtemp(prefix="vmtest-device-"))
ca = CA(folder)
nano = NanoMDM(folder, ca)
device = Device(folder / "root")
device.handler("com.example.enforced", 'cat >"$VMTEST_ROOT/effect.$1"; test "$1" != remove || '
               'rm -f "$VMTEST_ROOT/effect.apply"\n')
device.handler("com.example.broken", 'echo "no such thing" >&2; exit 1\n')


def identity(name="device", password="pw"):
    return payload("com.apple.security.pkcs12", "test.identity", Password=password,
                   PayloadContent=ca.pkcs12(name, password))


def udid():
    return plistlib.loads((device.root / "var/lib/vmtest-device/self.plist").read_bytes())["UDID"]


def command(request_type, **keys):
    """Enqueues, polls, and gives the device's own report as the server got it."""
    name = nano.enqueue(udid(), request_type, **keys)
    device.run("poll")
    return nano.answer(name)


def install(tree):
    return command("InstallProfile", Payload=plistlib.dumps(tree))


def test_not_enrolled():
    assert "not enrolled" in device.run("poll", code=1).stderr
    assert device.run("profiles", "status", "-type", "enrollment").stdout == (
        "Enrolled via DEP: No\nMDM enrollment: No\n")


def test_enroll_refused():
    other = CA(pathlib.Path(tempfile.mkdtemp(dir=folder)), "another CA")
    wrong = payload("com.apple.security.pkcs12", "test.identity", Password="pw",
                    PayloadContent=other.pkcs12("stranger", "pw"))
    done = device.run("enroll", device.file("e", enrollment(nano.url + "/mdm", wrong)), code=1)
    assert "HTTP 400" in done.stderr, done.stderr
    assert device.installed() == []
    assert not list((device.root / "var/lib/vmtest-device/identities").glob("*"))


def test_plain_http_is_for_loopback():
    tree = enrollment("http://192.0.2.1/mdm", identity())
    done = device.run("enroll", device.file("e", tree), code=1)
    assert "is not https" in done.stderr and "12011" in done.stderr, done.stderr


def test_enroll():
    device.run("enroll", device.file("e", enrollment(nano.url + "/mdm", identity())))
    event = nano.event("mdm.Authenticate")
    assert event["checkin_event"]["udid"] == udid(), event
    nano.event("mdm.TokenUpdate")
    status = device.run("profiles", "status", "-type", "enrollment").stdout
    assert status == ("Enrolled via DEP: No\nMDM enrollment: Yes (User Approved)\n"
                      f"MDM server: {nano.url}/mdm\n"), status
    done = device.run("enroll", device.file("e", enrollment(nano.url + "/mdm", identity())), code=1)
    assert "12001" in done.stderr, done.stderr
    assert device.run("bootstrap-token").stdout.strip()


def test_install_list_remove():
    tree = profile("test.settings", payload("com.example.enforced", "test.settings.1", Level=3),
                   payload("com.example.stored", "test.settings.2", Word="x"))
    assert install(tree)["Status"] == "Acknowledged"
    told = {e["PayloadType"]: e["State"] for e in device.effects()}
    assert told["com.example.enforced"] == "enforced" and told["com.example.stored"] == "stored"
    assert '"Level":3' in (device.root / "effect.apply").read_text()
    assert device.managed("com.example.stored") == {"Word": "x"}
    found = {p["PayloadIdentifier"]: p for p in command("ProfileList")["ProfileList"]}
    assert set(found) == {"test.enrollment", "test.settings"}
    one = found["test.settings"]
    assert [p["PayloadType"] for p in one["PayloadContent"]] == ["com.example.enforced",
                                                                 "com.example.stored"]
    assert "Level" not in one["PayloadContent"][0]
    full = device.run("defaults", "read", "/Library/Managed Preferences/com.example.stored", "Word")
    assert full.stdout == "x\n"
    device.run("defaults", "read", "com.example.stored", code=1)
    assert command("RemoveProfile", Identifier="test.settings")["Status"] == "Acknowledged"
    assert not (device.root / "effect.apply").exists()
    assert device.managed("com.example.stored") is None
    again = command("RemoveProfile", Identifier="test.settings")
    assert again["Status"] == "Error" and again["ErrorChain"][0]["ErrorCode"] == 89, again


def test_replace_and_roll_back():
    assert install(profile("test.r", payload("com.example.enforced", "test.r.1", Level=1)))[
        "Status"] == "Acknowledged"
    bad = profile("test.r", payload("com.example.enforced", "test.r.1", Level=2),
                  payload("com.example.broken", "test.r.2"))
    answer = install(bad)
    assert answer["Status"] == "Error"
    codes = [(f["ErrorDomain"], f["ErrorCode"]) for f in answer["ErrorChain"]]
    assert codes == [("MCProfileErrorDomain", 1009), ("MCInstallationErrorDomain", 4001),
                     ("VMTestDevice", 1)], codes
    assert "no such thing" in answer["ErrorChain"][2]["LocalizedDescription"]
    assert '"Level":1' in (device.root / "effect.apply").read_text()
    assert device.managed("com.example.enforced") == {"Level": 1}
    assert install(profile("test.r", payload("com.example.stored", "test.r.3")))[
        "Status"] == "Acknowledged"
    assert not (device.root / "effect.apply").exists(), "what is replaced leaves its effect"
    assert command("RemoveProfile", Identifier="test.r")["Status"] == "Acknowledged"


def test_mdm_rules():
    second = enrollment(nano.url + "/mdm", identity())
    second["PayloadIdentifier"] = "test.second"
    assert install(second)["ErrorChain"][-1]["ErrorCode"] == 12001
    moved = enrollment(nano.url + "/elsewhere", identity())
    assert install(moved)["ErrorChain"][-1]["ErrorCode"] == 12012
    answer = command("RemoveProfile", Identifier="test.enrollment")
    assert answer["ErrorChain"][-1]["ErrorCode"] == 12013, answer


def test_person():
    device.run("install", device.file("p", profile("by.hand", payload("a.b", "by.hand.1"),
                                                   PayloadRemovalDisallowed=True)))
    done = device.run("remove", "by.hand", code=1)
    assert "4023" in done.stderr, done.stderr
    answer = command("RemoveProfile", Identifier="by.hand")
    assert answer["ErrorChain"][-1]["ErrorCode"] == 12013, answer
    managed = [p["PayloadIdentifier"] for p in command("ProfileList", ManagedOnly=True)["ProfileList"]]
    assert managed == ["test.enrollment"], managed
    device.run("install", device.file("p", profile("by.hand", payload("a.b", "by.hand.1"))))
    device.run("remove", "by.hand")


def test_queries():
    found = command("DeviceInformation", Queries=["UDID", "DeviceName", "OSVersion", "Nonsense"])
    assert found["QueryResponses"]["UDID"] == udid() and "Nonsense" not in found["QueryResponses"]
    assert found["QueryResponses"]["OSVersion"] == "", "a root of its own has no os-release"
    security = command("SecurityInfo")["SecurityInfo"]
    assert security["ManagementStatus"]["UserApprovedEnrollment"] is True
    assert security["FirewallSettings"]["FirewallEnabled"] is False
    names = [c["CommonName"] for c in command("CertificateList")["CertificateList"]]
    assert names == ["device"], names
    answer = command("Settings", Settings=[{"Item": "DeviceName", "DeviceName": "Bench 7"},
                                           {"Item": "Bluetooth", "Enabled": True}])
    assert [s["Status"] for s in answer["Settings"]] == ["Acknowledged", "Error"], answer
    assert command("DeviceInformation", Queries=["DeviceName"])["QueryResponses"] == {
        "DeviceName": "Bench 7"}


def test_unknown_and_malformed():
    answer = command("EraseDevice")
    assert answer["Status"] == "Error" and answer["ErrorChain"][0]["ErrorCode"] == 12021, answer
    assert command("InstallProfile")["Status"] == "CommandFormatError"
    answer = install({"PayloadType": "Configuration"})
    assert answer["ErrorChain"][-1]["ErrorDomain"] == "MCProfileErrorDomain", answer
    answer = command("InstallProfile", Payload=b"<plist>")
    assert answer["ErrorChain"][-1]["ErrorCode"] == 1000, answer


def test_told_answers():
    device.run("answer", "not-now", "ProfileList")
    name = nano.enqueue(udid(), "ProfileList")
    device.run("poll")
    assert nano.answer(name)["Status"] == "NotNow"
    device.run("answer", "normal", "ProfileList")
    device.run("poll")
    assert nano.answer(name)["Status"] == "Acknowledged", "asked again at the next Idle"
    device.run("answer", "error")
    assert command("DeviceInformation", Queries=[])["Status"] == "Error"
    device.run("answer", "normal")
    assert "is none of" in device.run("answer", "maybe", code=1).stderr


def test_restart():
    device.action("restart", 'echo yes >"$VMTEST_ROOT/restarted"\n')
    answer = command("RestartDevice")
    assert answer["Status"] == "Acknowledged" and (device.root / "restarted").exists()


def test_application():
    package = b"a package" * 1000
    manifest = {"items": [{"assets": [{"kind": "software-package", "sha256-size": 4096,
                                       "sha256s": [sha256(package[i:i + 4096])
                                                   for i in range(0, len(package), 4096)]}]}]}
    served = {"/app": package}
    files = Server(lambda _m, path, _b: (200, served[path]) if path in served else (404, b""))
    manifest["items"][0]["assets"][0]["url"] = files.url + "/app"
    device.action("install-package", 'cp "$1" "$VMTEST_ROOT/got"; printf "app\\t1.0\\n"\n')
    device.action("list-packages", 'printf "app\\t1.0\\t9000\\nother\\t2\\t1\\n"\n')
    assert command("InstallEnterpriseApplication", Manifest=manifest)["Status"] == "Acknowledged"
    assert (device.root / "got").read_bytes() == package
    apps = command("InstalledApplicationList", ManagedAppsOnly=True)["InstalledApplicationList"]
    assert [(a["Identifier"], a["Version"], a["BundleSize"]) for a in apps] == [("app", "1.0", 9000)]
    assert len(command("InstalledApplicationList")["InstalledApplicationList"]) == 2
    (device.root / "got").unlink()
    served["/app"] = package[:-1] + b"!"
    answer = command("InstallEnterpriseApplication", Manifest=manifest)
    assert answer["Status"] == "Error" and not (device.root / "got").exists(), answer
    assert "checksum" in answer["ErrorChain"][0]["LocalizedDescription"], answer
    served["/m"] = plistlib.dumps(manifest)
    served["/app"] = package
    assert command("InstallEnterpriseApplication", ManifestURL=files.url + "/m")[
        "Status"] == "Acknowledged"


def test_check_out():
    install(profile("test.managed", payload("com.example.enforced", "test.managed.1", A=1)))
    device.run("remove", "test.enrollment")
    nano.event("mdm.CheckOut")
    assert device.installed() == [] and device.managed("com.example.enforced") is None
    assert not (device.root / "effect.apply").exists()
    assert not list((device.root / "var/lib/vmtest-device/identities").glob("*"))


def test_rights():
    tree = enrollment(nano.url + "/mdm", identity("second"), AccessRights=1)
    device.run("enroll", "--not-approved", device.file("e", tree))
    assert "MDM enrollment: Yes\n" in device.run("profiles", "status", "-type", "enrollment").stdout
    assert command("ProfileList")["Status"] == "Acknowledged"
    answer = install(profile("test.x", payload("a.b", "test.x.1")))
    assert answer["ErrorChain"][0]["ErrorCode"] == 12007 and device.installed() == [
        "test.enrollment"], answer


try:
    assert TOPIC
    run_cases([test_not_enrolled, test_enroll_refused, test_plain_http_is_for_loopback, test_enroll,
               test_install_list_remove, test_replace_and_roll_back, test_mdm_rules, test_person,
               test_queries, test_unknown_and_malformed, test_told_answers, test_restart,
               test_application, test_check_out, test_rights])
finally:
    nano.close()
