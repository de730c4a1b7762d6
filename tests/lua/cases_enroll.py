"""Devices under management: a guest that is this host (mdm_guest.py), and the lab server for real."""
import os
import plistlib
import re
import subprocess
import uuid

import mdm_guest
from cases_luaunit import HEAD, eq
from cases_mdm import lua
from cases_vm import all_pass, one, ops


def profile(identifier, *payloads):
    return plistlib.dumps({
        "PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": identifier,
        "PayloadUUID": str(uuid.uuid4()).upper(), "PayloadDisplayName": identifier,
        "PayloadContent": [{"PayloadVersion": 1, "PayloadUUID": str(uuid.uuid4()).upper(),
                            "PayloadIdentifier": f"{identifier}.{i}", **p}
                           for i, p in enumerate(payloads)]}).decode()


def settings(identifier, domain, **values):
    return profile(identifier, {
        "PayloadType": "com.apple.ManagedClient.preferences",
        "PayloadContent": {domain: {"Forced": [{"mcx_preference_settings": values}]}}})


def run(b, body, programs=None, **options):
    """Runs a suite with `vm`, `device` and profiles, in a guest of its own."""
    with mdm_guest.Guest(programs) as guest:
        return b.run(HEAD + f"""
local wifi = {lua(settings("org.example.wifi", "org.example.wifi", SSID="Lab", Auto=True))}
local office = {lua(settings("org.example.wifi", "org.example.wifi", SSID="Office"))}
local broken = {lua(profile("org.example.broken", {"PayloadType": "com.example.broken"}))}
local function guest() return vmtest.vm({guest.lua}) end
local function enrolled(options)
  local vm = guest()
  return vm, vm:enroll(options)
end
local function names(device)
  local list = {{}}
  for _, p in ipairs(device:profiles()) do list[p.PayloadIdentifier] = true end
  return list
end
local function raises(fn, ...)
  local ok, err = pcall(fn, ...)
  lu.assertFalse(ok)
  lu.assertTrue(vmtest.is_error(err), tostring(err))
  return err
end
""" + body, **options)


def test_enrolls_and_answers(b):
    r = run(b, """
TestA = vmtest.class { needs = "mdm" }
function TestA:testX()
  local vm, device = enrolled()
  lu.assertEquals(vm:enroll().udid, device.udid)
  lu.assertEquals(vm:device().udid, device.udid)
  lu.assertEquals(device:info("UDID"), { UDID = device.udid })
  lu.assertEquals((device:state()), "reachable")
  lu.assertEquals(device:security_info().ManagementStatus.IsUserEnrollment, false)
  lu.assertEquals(device:certificates()[1].Data, vmtest.data("\\48\\0"))
  lu.assertEquals(device.server:devices()[1].serial, device:info("SerialNumber").SerialNumber)
  lu.assertEquals(vm:exec("ls /tmp/vmtest.*/*.mobileconfig").status, 2) -- the secret is gone
end
""")
    all_pass(r)
    assert {"enroll", "device.info", "device.security_info"} <= set(ops(r)), ops(r)
    asked = [e for e in r.of("op") if e["op"] == "device.info"]
    eq(asked[0]["command"], "DeviceInformation UDID")
    assert asked[0]["ms"] > 0 and asked[0]["out"]["file"].endswith("transcript.txt"), asked


def test_the_secrets_are_nowhere(b):
    r = run(b, "function testX() local _, device = enrolled() device:info() end\n")
    all_pass(r)
    text = open(r.folder + "/results/vm/transcript.txt", encoding="utf-8").read() + repr(r.events)
    assert "PRIVATE KEY" not in text and "PayloadContent" not in text and "Password" not in text


def test_profiles(b):
    all_pass(run(b, """
function testX()
  local vm, device = enrolled()
  local before = vm:preferences_snapshot()
  lu.assertEquals(device:install_profile(wifi), "org.example.wifi")
  lu.assertTrue(names(device)["org.example.wifi"])
  vm:assert_profile_installed("org.example.wifi")
  vm:assert_managed("org.example.wifi", "SSID", "Lab")
  device:install_profile(office) -- replaces it
  vm:assert_managed("org.example.wifi", "SSID", "Office")
  vm:assert_not_managed("org.example.wifi", "Auto")
  lu.assertEquals(#before:diff(vm:preferences_snapshot()), 1)
  device:remove_profile("org.example.wifi")
  vm:assert_preferences_as(before)
  vm:assert_profile_not_installed("org.example.wifi")
  lu.assertNil(names(device)["org.example.wifi"])
end
"""))


def test_a_profile_from_a_file(b):
    b.write("profiles/wifi.mobileconfig", settings("org.example.file", "org.example.file", n=3))
    all_pass(run(b, """
function testX()
  local vm, device = enrolled()
  device:install_profile("profiles/wifi.mobileconfig")
  vm:assert_managed("org.example.file", "n", 3)
  lu.assertEquals(raises(device.install_profile, device, "profiles/none.mobileconfig").code, "not_found")
  lu.assertEquals(raises(device.install_profile, device, "<plist><dict/></plist>").code, "invalid")
  lu.assertStrContains(raises(device.install_profile, device, "<plist><dict></plist>").message, "1:16")
end
"""))


def test_a_profile_is_signed(b):
    identity = os.path.join(b.folder, "signer.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-subj", "/CN=Signer", "-keyout", identity, "-out", identity + ".crt"],
                   check=True, capture_output=True)
    with open(identity, "a", encoding="ascii") as file, open(identity + ".crt", encoding="ascii") as crt:
        file.write(crt.read())
    b.write("profiles/wifi.mobileconfig", settings("org.example.file", "org.example.file", n=3))
    subprocess.run(["openssl", "cms", "-sign", "-nodetach", "-binary", "-outform", "DER", "-signer", identity,
                    "-in", b.folder + "/profiles/wifi.mobileconfig", "-out", b.folder + "/signed.mobileconfig"],
                   check=True, capture_output=True)
    all_pass(run(b, """
function testX()
  local vm, device = enrolled()
  device:install_profile("profiles/wifi.mobileconfig", { sign = "signer.pem" })
  lu.assertEquals(vm:assert_profile_installed("org.example.file").verified, "signed")
  device:remove_profile("org.example.file")
  lu.assertEquals(device:install_profile("signed.mobileconfig"), "org.example.file") -- signed before
  vm:assert_managed("org.example.file", "n", 3)
  local err = raises(device.install_profile, device, wifi, { sign = "signer.pem.crt" })
  lu.assertEquals(err.code, "invalid")
  lu.assertStrContains(err.message, "has no key")
end
"""))


def test_the_error_chain_is_shown(b):
    r = run(b, """
function testRaises() local _, device = enrolled() device:install_profile(broken) end
function testFields()
  local _, device = enrolled()
  local err = raises(device.install_profile, device, broken)
  lu.assertEquals({ err.code, err.status, err.request_type, err.vm }, { "mdm", "Error", "InstallProfile", device.vm.name })
  lu.assertEquals(err.error_chain[1].ErrorCode, 4001)
  local _, answer = device:command("RemoveProfile", { Identifier = "org.example.none" }, { check = false })
  lu.assertEquals({ answer.status, answer.error_chain[1].ErrorCode }, { "Error", 12075 })
  lu.assertEquals(raises(device.command, device, "Settings").status, "CommandFormatError")
end
""")
    eq(r.outcomes(), {"testRaises": "error", "testFields": "passed"})
    said = r.test("testRaises")["message"]
    assert "InstallProfile was answered with Error" in said and "4001" in said, said
    assert "Profile Installation Failed" in said, said


def test_not_now_is_waited_for(b):
    r = run(b, """
function testComes()
  local _, device = enrolled()
  device:answer("not-now", "ProfileList")
  local list
  vmtest.parallel(function() list = device:profiles { timeout = "20s" } end,
    function() vmtest.sleep(2) device:answer("normal", "ProfileList") end)
  lu.assertEquals(#list, 1) -- the enrollment's own
end
function testNeverComes()
  local _, device = enrolled()
  device:answer("not-now")
  device:profiles { timeout = "8s" }
end
function testSlowPoll()
  local vm, device = enrolled()
  device:answer("normal")
  device:info()
  vm:sh("cd /usr/local/bin && mv vmtest-device /var/away && printf '#!/bin/sh\\nexec sleep 60\\n' > vmtest-device && chmod +x vmtest-device")
  local err = raises(device.info, device, nil, { timeout = "2s" })
  vm:sh("mv /var/away /usr/local/bin/vmtest-device")
  lu.assertEquals(err.code, "timeout")
  lu.assertStrContains(err.message, "did not answer DeviceInformation within 2.0s")
end
function testIsWithdrawn()
  local _, device = enrolled()
  device:answer("not-now", "InstallProfile")
  raises(device.install_profile, device, wifi, { timeout = "6s" })
  device:answer("normal")
  device:info()
  lu.assertNil(names(device)["org.example.wifi"])
end
""")
    eq({k: v for k, v in r.outcomes().items() if v != "passed"}, {"testNeverComes": "error"})
    said = r.test("testNeverComes")["message"]
    assert re.search(r"did not answer ProfileList within 8.0s: it said NotNow (\d+ times|once)", said), said


def test_a_tests_deadline_tells_what_was_waited_for(b):
    for meanwhile, told in (
            ('device:answer("not-now")', "it said NotNow"),
            ("vm:sh(\"cd /usr/local/bin && printf '#!/bin/sh\\nexec sleep 60\\n' > new && chmod +x new "
             "&& mv new vmtest-device\")", "still at it since it was woken")):
        r = run(b, """
TestA = vmtest.class { timeout = "8s" }
function TestA:testX()
  local vm, device = enrolled()
  MEANWHILE
  device:info(nil, { timeout = "1h" })
end
""".replace("MEANWHILE", meanwhile))
        said = r.test("TestA.testX")["message"]
        assert "waited for the device's answer to DeviceInformation" in said and told in said, said


def test_states_are_told_apart(b):
    all_pass(run(b, """
function testX()
  local vm, device = enrolled { approved = false }
  local state, reason, facts = device:state()
  lu.assertEquals(state, "enrolled")
  lu.assertStrContains(reason, "has not approved")
  lu.assertEquals(facts, { enrolled = true, user_approved = false, reachable = true })
  device = vm:enroll { again = true }
  lu.assertEquals(({ device:state() })[3], { enrolled = true, user_approved = true, reachable = true })
  vm:sh("mv /usr/local/bin/vmtest-device /var/away")
  state, reason, facts = device:state()
  lu.assertEquals({ state, facts.reachable }, { "user_approved", false })
  vm:sh("mv /var/away /usr/local/bin/vmtest-device")
  vm:sh("vmtest-device unenroll")
  state, reason = device:state()
  lu.assertEquals(state, "not_enrolled")
end
"""))


def test_effects(b):
    r = run(b, """
function testX()
  local vm, device = enrolled()
  device:install_profile(wifi)
  lu.assertEquals(vm:assert_effective("com.apple.ManagedClient.preferences").profile, "org.example.wifi")
  vm:assert_effective("org.example.wifi.0")
  vm:assert_effective("com.apple.mdm")
end
""")
    said = one(r)["message"]
    assert "com.apple.mdm is not in effect: stored: there is no handler" in said, said


def test_errors_on_demand(b):
    end = one(run(b, """
function testX()
  local _, device = enrolled()
  device:answer("error", "SecurityInfo")
  device:info()
  device:security_info()
end
"""))
    assert "SecurityInfo was answered with Error" in end["message"] and "12021" in end["message"], end


def test_declarations(b):
    all_pass(run(b, """
local function declaration(type) return { Type = type, Identifier = "org.example.d", Payload = { n = 1 } } end
function testX()
  local vm, device = enrolled()
  local result = device:declare(declaration("com.apple.configuration.management.test"))
  lu.assertEquals({ result.valid, result.active }, { "valid", true })
  lu.assertEquals(device:declare(declaration("com.apple.configuration.broken"), { check = false }).valid, "invalid")
  local err = raises(device.declare, device, declaration("com.apple.configuration.broken"))
  lu.assertEquals(err.code, "mdm")
  lu.assertStrContains(err.message, "no such type")
  device:undeclare("org.example.d")
end
"""))


def test_applications(b):
    b.write("tool.pkg", "a package")
    all_pass(run(b, """
function testX()
  local _, device = enrolled()
  local app = device:install_application { path = "tool.pkg", bundle_id = "org.example.tool", version = "1.2" }
  lu.assertEquals(app.Version, "1.2")
  lu.assertEquals(device:applications()[1].Identifier, "org.example.tool")
  lu.assertEquals(raises(device.install_application, device, { path = "x" }).code, "invalid")
end
"""))


# Another start of the guest is told by what the device has counted.
STARTS = """case "$1" in
/proc/sys/kernel/random/boot_id) /bin/cat /var/lib/vmtest-device/boot 2>/dev/null || echo 0; exit;;
esac
exec /bin/cat "$@\""""


def test_restart(b):
    all_pass(run(b, """
function testX()
  local _, device = enrolled()
  lu.assertEquals(device:restart { timeout = "20s" }, device)
  device:answer("error", "RestartDevice")
  lu.assertEquals(raises(device.restart, device).code, "mdm")
end
""", programs={"cat": STARTS}))


def test_unenroll_and_again(b):
    all_pass(run(b, """
function testX()
  local vm, device = enrolled()
  device:unenroll()
  lu.assertNil(vm:device())
  lu.assertEquals((device:state()), "not_enrolled")
  lu.assertEquals(raises(device.info, device).code, "state")
  local second = vm:enroll()
  second:install_profile(wifi)
  local third = vm:enroll { again = true }
  lu.assertEquals(raises(second.info, second).code, "state")
  third:info()
end
"""))


def test_what_no_vm_can_do_is_refused(b):
    all_pass(run(b, """
function testX()
  local _, device = enrolled()
  local err = raises(device.command, device, "InstallApplication", { iTunesStoreID = 1 })
  lu.assertEquals(err.code, "unsupported")
  local can, why, instead = device.server:supports("ade")
  lu.assertFalse(can)
  lu.assertTrue(#why > 0 and #instead > 0)
end
"""))


def test_state_after_a_restore(b):
    """The guest cannot be put back; that it was is told to the face."""
    r = run(b, """
local enrollments = require "vmtest.enrollments"
function testX()
  local vm, device = enrolled()
  device:declare { Type = "com.apple.configuration.management.test", Identifier = "org.example.a", Payload = {} }
  local hold = enrollments.of(vm)
  hold.stale, hold.declared = true, {} -- as if it had been declared after the snapshot
  device:info()
  lu.assertNil(hold.stale)
  lu.assertEquals(hold.enrollment.declared, {})
  lu.assertFalse(vm:exec("cat /var/lib/vmtest-device/declarations").stdout:find("org.example.a", 1, true) and true or false)
end
""")
    all_pass(r)
    eq(ops(r).count("device.check_in"), 1)


def test_a_server_of_ones_own(b):
    r = run(b, """
local closed
function testInside()
  local server = vmtest.mdm { kind = "lab" }
  closed = server
  local vm = guest()
  local device = vm:enroll { server = server }
  lu.assertEquals(#server:devices(), 1)
  lu.assertStrContains(tostring(server), "MDM server lab at https://127.0.0.1:")
  lu.assertStrContains(server:ca(), "BEGIN CERTIFICATE")
  lu.assertEquals((server:supports("push")), false)
  lu.assertStrContains(server:enrollment_profile { method = "scep" }.profile, "com.apple.security.scep")
  lu.assertStrContains(raises(server.supports, server, "psh").message, "did you mean 'push'")
end
function testOver()
  lu.assertFalse(closed:is_open())
  lu.assertEquals(raises(closed.devices, closed).code, "state")
end
""")
    all_pass(r)


def test_needs_more_than_the_server_can(b):
    r = b.run(HEAD + """
TestA = vmtest.class { vm = { driver = "sim" }, needs = { "mdm", "mdm.push" } }
function TestA:test1() end
""")
    end = one(r)
    eq(end["outcome"], "skipped")
    assert end["reason"].startswith("needs mdm.push: "), end
    eq(r.of("vm_state"), [])


def test_a_server_that_does_not_answer(b):
    r = b.run(HEAD + """
TestA = vmtest.class { needs = "mdm" }
function TestA:test1() end
function testAlone() require "vmtest.mdm".default() end
""", mdm="lab=running")
    eq(r.outcomes(), {"TestA.test1": "error", "testAlone": "error"})
    eq(r.code, 3)


# ---- Macs, as far as that can be told without one ----

def test_a_mac_without_push_is_environment(b):
    for version, words in [("15.1", "a Mac asks for its commands only when"),
                           ("27.0", "guests of macOS 27 and later enroll, but get no push")]:
        r = run(b, """
function testX()
  local vm, device = enrolled { timeout = "20s" }
  lu.assertEquals((device:state()), "user_approved")
  device:info()
end
""", programs=mdm_guest.mac(version))
        end = one(r)
        eq(end["outcome"], "skipped")
        assert end["reason"].startswith(f"environment: macOS {version} is enrolled, but cannot be reached"), end
        assert words in end["reason"], end
        said = [e["text"] for e in r.of("log") if "needs a person" in e["text"]]
        eq(len(said), 1)
        assert "System Settings > General > Device Management" in said[0], said


def test_nobody_approves(b):
    end = one(run(b, 'function testX() enrolled { timeout = "2s" } end\n',
                  programs=mdm_guest.mac("15.1", approves=False)))
    eq(end["outcome"], "error")
    assert "nobody has installed the enrollment profile within 2.0s" in end["message"], end


def test_nobody_is_logged_in(b):
    programs = mdm_guest.mac("15.1")
    programs["stat"] = "echo 0"
    end = one(run(b, "function testX() enrolled() end\n", programs=programs))
    assert "nobody is logged in at the Mac's screen" in end["message"], end
