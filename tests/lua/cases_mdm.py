"""The face of MDM: what is read in guests, over simulated ones that answer as a Mac does."""
import plistlib
import re

from cases_luaunit import HEAD, eq
from cases_vm import all_pass, one

MANAGED = "/Library/Managed Preferences/"


def quoted(words):
    """As a list of words reaches a guest's shell."""
    safe = re.compile(r"^[a-zA-Z0-9@%+=:,./_-]+$")
    return " ".join(w if safe.match(w) else "'" + w.replace("'", "'\\''") + "'" for w in words)


def lua(text):
    """Text as a Lua literal."""
    return '"' + "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else
                         "".join(f"\\{b:03d}" for b in c.encode()) for c in text) + '"'


def xml(value):
    return plistlib.dumps(value).decode()


def mac(files=None, profiles=None, version="15.1", status="MDM enrollment: Yes (User Approved)\n"):
    """A suite's head whose `mac()` is a VM with these files: path -> property list, or text."""
    answers = {("sw_vers", "-productVersion"): version, ("id", "-u"): "0",
               ("profiles", "status", "-type", "enrollment"): status}
    if profiles is not None:
        answers["profiles", "show", "-output", "stdout-xml"] = xml(profiles)
    read = ("sh", "-c", 'if [ -e "$1" ]; then exec cat -- "$1"; fi', "sh")
    find = ("sh", "-c", 'if [ -e "$1" ]; then exec find "$1" -type f -name "*.plist"; fi', "sh")
    for path, value in (files or {}).items():
        answers[read + (path,)] = value if isinstance(value, str) else xml(value)
    answers[find + (MANAGED[:-1],)] = "".join(p + "\n" for p in (files or {}) if p.startswith(MANAGED))
    listed = [f"{{ match = {lua(quoted(words))}, stdout = {lua(text.rstrip())} }}"
              for words, text in answers.items()]
    # what is not there is read as nothing
    for name in ("none", "org.example.absent"):
        path = MANAGED + name + ".plist"
        if path not in (files or {}):
            listed.append(f"{{ match = {lua(quoted(read + (path,)))} }}")
    return HEAD + "local function mac() return vmtest.vm { driver = \"sim\", sim = { commands = {\n" \
        + ",\n".join(listed) + "\n} } } end\n"


# ---- the managed layer ----

WIFI = {MANAGED + "org.example.wifi.plist": {
    "SSID_STR": "Lab", "AutoJoin": True, "Priority": 3, "Key": b"\x00\x01", "Limits": {"max": [1, 2]}}}


def test_assert_managed(b):
    all_pass(b.run(mac(WIFI) + """
function testHolds()
  local vm = mac()
  lu.assertEquals(vm:assert_managed("org.example.wifi", "SSID_STR", "Lab"), "Lab")
  vm:assert_managed("org.example.wifi", "AutoJoin", true)
  vm:assert_managed("org.example.wifi", "Priority", 3)
  vm:assert_managed("org.example.wifi", "Key", vmtest.data("\\0\\1"))
  vm:assert_managed("org.example.wifi", "Limits", { max = { 1, 2 } })
  vm:assert_managed("org.example.wifi", "Limits")
  lu.assertEquals(vm:assert_managed("org.example.wifi").AutoJoin, true)
  vm:assert_not_managed("org.example.wifi", "Other")
  vm:assert_not_managed("org.example.absent")
end
"""))


def failure_of(b, files, call):
    end = one(b.run(mac(files) + f"function testX() mac():{call} end\n"))
    eq(end["outcome"], "failed")
    return end["message"]


def test_another_value_is_shown(b):
    said = failure_of(b, WIFI, 'assert_managed("org.example.wifi", "SSID_STR", "Office")')
    assert said.startswith("suite.lua:"), said
    assert 'SSID_STR is managed with another value: wanted "Office", there is "Lab"' in said, said


def test_types_are_told_apart(b):
    said = failure_of(b, WIFI, 'assert_managed("org.example.wifi", "AutoJoin", 1)')
    assert "wanted 1, there is true" in said, said
    said = failure_of(b, WIFI, 'assert_managed("org.example.wifi", "Priority", "3")')
    assert 'wanted "3", there is 3' in said, said
    said = failure_of(b, WIFI, 'assert_managed("org.example.wifi", "Key", "\\0\\1")')
    assert "there is <2 bytes: 0001>" in said, said


def test_differences_have_their_place(b):
    said = failure_of(b, WIFI, 'assert_managed("org.example.wifi", "Limits", { max = { 1, 3 }, min = 0 })')
    assert "  max[2]: wanted 3, there is 2\n  min: wanted 0, there is nothing" in said, said


def test_a_key_that_is_not_managed(b):
    said = failure_of(b, WIFI, 'assert_managed("org.example.wifi", "Ssid", "Lab")')
    assert "is managed, but not its key Ssid; there are: AutoJoin, Key, Limits, Priority, SSID_STR" in said, said


def test_a_domain_that_is_not_managed(b):
    said = failure_of(b, WIFI, 'assert_managed("org.example.absent", "x", 1)')
    assert "org.example.absent is not managed; managed are: org.example.wifi" in said, said
    said = failure_of(b, {}, 'assert_managed("org.example.absent", "x", 1)')
    assert "nothing is managed" in said, said


def test_assert_not_managed_shows_what_is(b):
    said = failure_of(b, WIFI, 'assert_not_managed("org.example.wifi", "Priority")')
    assert "org.example.wifi Priority is managed: 3" in said, said


def test_the_layer_of_a_user(b):
    files = {MANAGED + "anna/org.example.dock.plist": {"size": 7}}
    all_pass(b.run(mac(files) + """
function testUser() mac():assert_managed("org.example.dock", "size", 7, { user = "anna" }) end
"""))


def test_a_broken_file_is_an_error(b):
    end = one(b.run(mac({MANAGED + "none.plist": "<plist><dict><key>a</dict></plist>"})
                    + 'function testX() mac():assert_managed("none", "a", 1) end\n'))
    eq(end["outcome"], "error")
    assert MANAGED + "none.plist in the guest" in end["message"], end["message"]


def test_arguments_of_assertions(b):
    all_pass(b.run(mac(WIFI) + """
local function bad(what, fn, ...)
  local ok, err = pcall(fn, ...)
  lu.assertFalse(ok)
  lu.assertEquals(err.code, "invalid")
  lu.assertStrContains(tostring(err), what)
end
function testBad()
  local vm = mac()
  bad("needs a domain", vm.assert_managed, vm, "a/b", "x")
  bad("needs a domain", vm.assert_managed, vm, "..", "x")
  bad("needs a key", vm.assert_managed, vm, "a", nil, 1)
  bad("did you mean 'user'", vm.assert_managed, vm, "a", "b", 1, { usr = "x" })
  bad("name of a user", vm.assert_managed, vm, "a", "b", 1, { user = "../x" })
  bad("did you mean 'assert_managed'", function() return vm.assert_manged end)
  bad("preferences_snapshot", vm.assert_preferences_as, vm, {})
end
"""))


# ---- profiles ----

PROFILES = {"_computerlevel": [{
    "ProfileIdentifier": "org.example.wifi", "ProfileUUID": "U1", "ProfileVerificationState": "verified",
    "ProfileItems": [{"PayloadType": "com.apple.wifi.managed", "PayloadIdentifier": "org.example.wifi.1"}],
}], "anna": [{
    "ProfileIdentifier": "org.example.dock", "ProfileVerificationState": "unsigned",
    "ProfileItems": [{"PayloadType": "com.apple.dock", "PayloadIdentifier": "org.example.dock.1"}],
}]}


def test_installed_profiles(b):
    r = b.run(mac(profiles=PROFILES) + """
function testInstalled()
  local vm = mac()
  lu.assertEquals(vm:assert_profile_installed("org.example.wifi").verified, "verified")
  lu.assertEquals(vm:assert_profile_installed("org.example.dock").user, "anna")
  vm:assert_profile_not_installed("org.example.vpn")
end
function testMissing() mac():assert_profile_installed("org.example.vpn") end
function testThere() mac():assert_profile_not_installed("org.example.wifi") end
""")
    eq(r.outcomes(), {"testInstalled": "passed", "testMissing": "failed", "testThere": "failed"})
    assert "not installed; there are: org.example.dock, org.example.wifi" in r.test("testMissing")["message"]


def test_effective_on_a_mac_is_verified(b):
    r = b.run(mac(profiles=PROFILES) + """
function testVerified()
  local vm = mac()
  vm:assert_effective("com.apple.wifi.managed")
  vm:assert_effective("org.example.wifi.1")
  vm:assert_effective("org.example.wifi")
end
function testUnverified() mac():assert_effective("com.apple.dock") end
function testMissing() mac():assert_effective("com.apple.vpn.managed") end
""")
    eq(r.outcomes(), {"testVerified": "passed", "testUnverified": "failed", "testMissing": "failed"})
    assert "the profile org.example.dock is unsigned" in r.test("testUnverified")["message"]
    assert "there are: com.apple.dock, com.apple.wifi.managed" in r.test("testMissing")["message"]


# ---- before and after ----

def test_preferences_diff(b):
    r = b.run(mac(WIFI) + """
local before
function test1() before = mac():preferences_snapshot(); lu.assertEquals(#before:diff(before), 0) end
""" + mac({MANAGED + "org.example.wifi.plist": {"SSID_STR": "Home", "AutoJoin": True, "Priority": 3,
                                                  "Key": b"\x00\x01", "Limits": {"max": [1]}},
           MANAGED + "org.example.new.plist": {"a": 1}}).replace(HEAD, "") + """
function test2()
  local diff = before:diff(mac():preferences_snapshot())
  lu.assertEquals(#diff, 3)
  lu.assertEquals(tostring(diff), [[
/Library/Managed Preferences/org.example.new.plist: new, {a = 1}
/Library/Managed Preferences/org.example.wifi.plist Limits.max[2]: gone, it was 2
/Library/Managed Preferences/org.example.wifi.plist SSID_STR: "Lab" became "Home"]])
end
function test3() mac():assert_preferences_as(before) end
""")
    eq(r.outcomes(), {"test1": "passed", "test2": "passed", "test3": "failed"})
    assert "are not as they were" in r.test("test3")["message"]


# ---- what is no device ----

def test_a_guest_that_is_no_device(b):
    end = one(b.run(HEAD + """
function testX() vmtest.vm { driver = "sim" }:assert_managed("a", "b", 1) end
"""))
    eq(end["outcome"], "error")
    assert "no device that an MDM server can manage" in end["message"], end["message"]
    assert "hint: " in end["message"]


# ---- which enrollment a guest holds, through snapshots ----

def test_enrollments_follow_snapshots(b):
    all_pass(b.run(HEAD + """
local enrollments = require "vmtest.enrollments"
local server = {}
local function enroll(vm)
  local one = { server = server, udid = "U1" }
  enrollments.begin(vm, one)
  return one
end
TestA = vmtest.class { vm = { driver = "sim" } }
function TestA:testRestore()
  local vm = self.vm
  vm:snapshot("clean")
  local first = enroll(vm)
  first.declared.a = "{}"
  vm:snapshot("enrolled")
  first.declared.b = "{}"
  lu.assertNil(enrollments.of(vm).stale)
  vm:restore("enrolled")
  local hold = enrollments.of(vm)
  lu.assertTrue(hold.enrollment == first and hold.stale)
  lu.assertEquals(hold.declared, { a = "{}" })
  enrollments.settled(hold)
  lu.assertNil(hold.stale)
  local second = enroll(vm)
  lu.assertTrue(enrollments.superseded(first))
  vm:restore("clean")
  lu.assertNil(enrollments.of(vm))
  lu.assertNil(vm:device())
  lu.assertFalse(enrollments.superseded(second))
end
function TestA:testClone()
  local vm = self.vm
  lu.assertNil(enrollments.of(vm)) -- put back for this test
  local one = enroll(vm)
  lu.assertNil(enrollments.twin(vm, one))
  local clone = vm:clone()
  lu.assertTrue(enrollments.of(clone).enrollment == one and enrollments.of(clone).stale)
  lu.assertEquals(enrollments.twin(vm, one).name, clone.name)
  clone:destroy()
  lu.assertNil(enrollments.twin(vm, one))
end
"""))


# ---- orders and upgrades ----

def test_permutations(b):
    all_pass(b.run(HEAD + """
function testAll()
  lu.assertEquals(vmtest.permutations { "a", "b", "c" }, { { "a", "b", "c" }, { "a", "c", "b" },
    { "b", "a", "c" }, { "b", "c", "a" }, { "c", "a", "b" }, { "c", "b", "a" } })
  lu.assertEquals(vmtest.permutations { 1 }, { { 1 } })
  lu.assertEquals(#vmtest.permutations { 1, 2, 3, 4, 5, 6 }, 720)
end
function testLimit()
  local some, seen = vmtest.permutations({ 1, 2, 3, 4, 5, 6, 7, 8 }, { limit = 50 }), {}
  lu.assertEquals(#some, 50)
  lu.assertEquals(some[1], { 1, 2, 3, 4, 5, 6, 7, 8 })
  lu.assertEquals(some[50], { 8, 7, 6, 5, 4, 3, 2, 1 })
  for _, order in ipairs(some) do seen[table.concat(order)] = true end
  local n = 0
  for _ in pairs(seen) do n = n + 1 end
  lu.assertEquals(n, 50)
end
function testBad()
  for _, list in ipairs { {}, { 1, 2, 3, 4, 5, 6, 7 } } do
    local ok, err = pcall(vmtest.permutations, list)
    lu.assertFalse(ok)
    lu.assertEquals(err.code, "invalid")
  end
end
"""))


UPGRADE = HEAD + """
local function scenario(after, reinstalled)
  local steps = {}
  local o = {
    from = { driver = "sim" }, enroll = false,
    install = function(vm) steps[#steps + 1] = "install"; vm:write("/tmp/setting", "on") end,
    upgrade = function(vm) steps[#steps + 1] = "upgrade"; vm:write("/tmp/setting", after) end,
    check = function(vm, device, phase)
      steps[#steps + 1] = phase
      lu.assertEquals(vm:read("/tmp/setting"), phase == "reinstalled" and reinstalled or "on")
    end,
  }
  return o, steps
end
"""


def test_upgrade_scenario(b):
    r = b.run(UPGRADE + """
function testHolds()
  local o, steps = scenario("on", "on")
  local report = vmtest.upgrade_scenario(o)
  lu.assertEquals(steps, { "install", "before", "upgrade", "after", "install", "reinstalled" })
  lu.assertEquals(report.vm:state(), "running")
end
function testLost() vmtest.upgrade_scenario((scenario("off", "on"))) end
function testSkips()
  local o = scenario("on", "on")
  o.check = function() vmtest.skip("not today") end
  vmtest.upgrade_scenario(o)
end
function testLuaUnitSkips()
  local o = scenario("on", "on")
  o.check = function() lu.skip("not today") end
  vmtest.upgrade_scenario(o)
end
function testReplaced()
  local o, steps = scenario("on", "on")
  o.upgrade, o.to = nil, { driver = "sim" }
  vmtest.upgrade_scenario(o)
  lu.assertEquals(steps, { "install", "before", "install", "reinstalled" })
end
""")
    eq(r.outcomes(), {"testHolds": "passed", "testLost": "failed", "testSkips": "skipped",
                      "testLuaUnitSkips": "skipped", "testReplaced": "passed"})
    said = r.test("testLost")["message"]
    assert "installed before the upgrade: holds" in said, said
    assert re.search(r'after the upgrade: suite.lua:\d+: expected: "on"\n\s*actual: "off"', said), said
    assert "installed again: holds" in said, said


# ---- what a class needs ----

NEEDS = HEAD + """
TestA = vmtest.class { vm = { driver = "sim" }, needs = "mdm" }
function TestA:test1() end
"""


def test_needs_in_a_run_without_mdm(b):
    for options, why in [({"mdm": "none"}, "needs mdm: this run has no MDM server (--mdm none)"),
                         ({"dry_run": True}, "needs mdm: a dry run has no MDM server")]:
        r = b.run(NEEDS, **options)
        end = one(r)
        eq((end["outcome"], r.code), ("skipped", 0))
        assert end["reason"].startswith(why), end
        eq(r.of("vm_state"), [])  # no VM was started for it


def test_needs_that_are_none(b):
    for needs, why in [('"mdn"', 'holds "mdn"'), ('"mdm.psh"', "did you mean 'push'"), ("7", "list of texts")]:
        r = b.run(HEAD + f"TestA = vmtest.class {{ needs = {needs} }}\nfunction TestA:test1() end\n")
        eq(r.code, 2)
        assert why in r.of("suite_error")[0]["message"], r.of("suite_error")


def test_servers_have_their_options_checked(b):
    all_pass(b.run(HEAD + """
local function bad(what, options)
  local ok, err = pcall(vmtest.mdm, options)
  lu.assertFalse(ok)
  lu.assertEquals(err.code, "invalid")
  lu.assertStrContains(tostring(err), what)
end
function testBad()
  bad("did you mean 'lab'", { kind = "lba" })
  bad("did you mean 'listen'", { lisen = "127.0.0.1:0" })
end
"""))


def test_no_server_for_a_list(b):
    r = b.run(HEAD + "local server = vmtest.mdm {}\nfunction testX() end\n", list_only=True)
    eq(r.code, 2)
    assert "a list of tests was asked for" in r.of("suite_error")[0]["message"]
