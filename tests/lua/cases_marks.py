"""Options, their errors, and the marks of classes and tests."""
import run as runner
from cases_luaunit import HEAD, eq
from cases_vm import SIM, all_pass


def test_wrong_options(b):
    cases = {
        'vmtest.class { imgae = "x" }': "unknown option 'imgae'; did you mean 'image'?",
        'vmtest.class { image = 3 }': "option 'image' is to be a string, not a number",
        'vmtest.class { timeout = "soon" }': "option 'timeout' is no duration",
        'vmtest.class { timeout = 0 }': "more than 0",
        'vmtest.class { reset = "tset" }': "did you mean 'test'?",
        'vmtest.class { vm = { driver = "ssh", ssh = { host = "a" } }, reset = "test" }':
            "an existing machine cannot be put back",
        'vmtest.class { fixture = 3 }': "a fixture, or its name",
        'vmtest.class { fixture = "a", image = "b" }': "a fixture has its VMs",
        'vmtest.fixture("f", { form = "x" }, print)': "did you mean 'from'?",
        'vmtest.fixture("f", { from = "x", start = false }, print)': "unknown option 'start'",
        'vmtest.fixture("f", { snapshot = "x" }, print)': "is to be a boolean",
        'vmtest.fixture("f", {}, 3)': "its third argument is to be a function",
        'vmtest.fixture("", {}, print)': "1 to 100 bytes",
        'vmtest.fixture("f", { vms = { a = { cpsu = 1 } } }, print)': "did you mean 'cpus'?",
        'vmtest.fixture("f", { vms = { a = {} }, cpus = 1 }, print)': "not both",
        'vmtest.fixture("g", {}, print) vmtest.fixture("g", {}, print)': "a fixture 'g' already",
        'vmtest.class "x"': "a table, not a string",
        'vmtest.class { vm = { cpus = 1.5, driver = "sim" } }': "whole number",
        'vmtest.class { vm = { cpus = 2 } }': "a VM needs an image",
        'vmtest.class { vm = { image = "x", memroy = 1 } }': "did you mean 'memory'?",
        'vmtest.class { vms = { web = { image = "x", memory = "4Q" } } }': "is no size",
        'vmtest.class { vms = { "x" } }': "names and VM options",
        'vmtest.class { image = "x", vm = {}, vms = { a = {} } }': "not both",
        'vmtest.class { xfail = { strict = true } }': "needs a reason",
        'vmtest.class { tags = { 1 } }': "list of texts",
        'vmtest.test({ timout = 1 }, print)': "did you mean 'timeout'?",
        'vmtest.test({}, 3)': "its second argument is to be a function",
        'vmtest.vm { driver = "sim", name = "../x" }': "letters, digits",
        'vmtest.vm { driver = "sim", forwards = { 99999 } }': "1 to 65535",
        'vmtest.vm { driver = "sim", sim = { f = print } }': "cannot be written as JSON",
        'vmtest.vm { driver = "smi" }': "needs an image",
        'vmtest.vm { driver = "smi", image = "x" }': "",
        'vmtest.sleep("x")': "is no duration",
        'vmtest.sleep(-1)': "is no duration",
        'vmtest.paralel()': "did you mean 'parallel'?",
        'vmtest.wait_until {}': "needs a function",
        'vmtest.skip(3)': "is to be a string",
    }
    lines = "".join(f"check(function() {call} end, {len(call)})\n" for call in cases)
    r = b.run(HEAD + """
local function check(f)
  local ok, err = pcall(f)
  print(tostring(ok) .. "|" .. tostring(err.code) .. "|" .. tostring(err.where) .. "|" .. tostring(err))
end
""" + lines + "function testA() end", env={"VMTEST_HOME": b.folder})
    shown = r.output().replace("\nhint: ", " HINT ").splitlines()
    shown = [line for line in shown if "|" in line]
    eq(len(shown), len(cases))
    first = 8
    for i, (call, why) in enumerate(cases.items()):
        ok, code, where, text = shown[i].split("|", 3)
        assert ok == "false" and why in text, (call, shown[i])
        eq(where, f"suite.lua:{first + i}")
        if why:
            eq((call, code), (call, "invalid"))


def test_wrong_option_at_the_top_is_a_load_error(b):
    r = b.run('local vmtest = require "vmtest"\nTestA = vmtest.class {\n  imge = "x" }\n')
    eq(r.code, 2)
    message = r.of("suite_error")[0]["message"]
    assert message.startswith("suite.lua:2: vmtest.class: unknown option 'imge'"), message


def test_wrong_vm_options(b):
    cases = {
        'vm:exec("x", { timout = 1 })': "did you mean 'timeout'?",
        'vm:exec("x", { timeout = 0 })': "more than 0",
        'vm:exec("x", { limit = 0 })': "at least 1 byte",
        'vm:kill { timeout = 1 }': "unknown option 'timeout'",
        'vm:exec("x", { env = { ["A B"] = "x" } })': "no variable can have",
        'vm:exec("x", { env = { A = {} } })': "no text",
        'vm:exec("x", { on_output = 1 })': "to be a function",
        'vm:exec({})': "an empty command",
        'vm:exec({ "a", timeout = 3 })': "'timeout' does not belong",
        'vm:exec({ "a", {} })': "word 2",
        'vm:exec("a\\0b")': "NUL",
        'vm:exec(3)': "shell line or a list",
        'vm:put("", "/x")': "not empty",
        'vm:write("/x", 3)': "to be a string",
        'vm:write("/x", "", { mode = "rwx" })': "octal",
        'vm:reboot { hrad = true }': "did you mean 'hard'?",
        'vm:supports("puase")': "did you mean 'pause'?",
        'vm:exce("x")': "did you mean 'exec'?",
        'vm:console_tail(-1)': "whole number",
    }
    body = "".join(f"check(function() {call} end)\n" for call in cases)
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim() }
function TestA:test1()
local vm = self.vm
local function check(f)
  local ok, err = pcall(f)
  print(tostring(ok) .. "|" .. tostring(err.code) .. "|" .. tostring(err.where) .. "|" .. tostring(err))
end
""" + body + "end")
    all_pass(r)
    shown = [line for line in r.output().splitlines() if "|" in line]
    eq(len(shown), len(cases))
    for i, (call, why) in enumerate(cases.items()):
        ok, code, where, text = shown[i].split("|", 3)
        assert ok == "false" and code == "invalid" and why in text, (call, shown[i])
        eq(where, f"suite.lua:{13 + i}")


def test_marks(b):
    r = b.run(HEAD + """
TestSkipped = vmtest.class { skip = "not here" }
function TestSkipped:setUp() print("never") end
function TestSkipped:test1() print("never") end
TestA = {}
TestA.test1 = vmtest.test({ skip = "later" }, function() print("never") end)
function TestA:test2() vmtest.skip("at run time") end
function TestA:test3() vmtest.skip() end
TestA.test4 = vmtest.test({ xfail = "bug 1" }, function() lu.fail("x") end)
TestA.test5 = vmtest.test({ xfail = "bug 2" }, function() end)
TestA.test6 = vmtest.test({ xfail = { reason = "bug 3", strict = false } }, function() end)
TestA.test7 = vmtest.test({ xfail = { reason = "x", when = false } }, function() end)
TestA.test8 = vmtest.test({ xfail = { reason = "x", when = function() return false end } }, function() error("x") end)
TestA.test9 = vmtest.test({ xfail = { reason = "x", when = function() error("oh") end } }, function() end)
function TestA:testA() vmtest.xfail("known") end
TestA.testB = vmtest.test({ xfail = "x", timeout = "0.1s" }, function() vmtest.sleep(9) end)
TestA.testC = vmtest.test({ xfail = "x" }, function() vmtest.skip("y") end)
TestX = vmtest.class { xfail = "all broken" }
function TestX:test1() error("x") end
""")
    eq(r.outcomes(), {
        "TestSkipped.test1": "skipped", "TestA.test1": "skipped", "TestA.test2": "skipped",
        "TestA.test3": "skipped", "TestA.test4": "xfailed", "TestA.test5": "xpassed",
        "TestA.test6": "passed", "TestA.test7": "passed", "TestA.test8": "error",
        "TestA.test9": "error", "TestA.testA": "xfailed", "TestA.testB": "timed_out",
        "TestA.testC": "skipped", "TestX.test1": "xfailed"})
    eq(r.output(), "")
    eq([r.test("TestA.test" + t).get("reason") for t in "1245"], ["later", "at run time", "bug 1", None])
    eq([r.test("TestA.test" + t).get("xfail") for t in "456"], ["bug 1", "bug 2", "bug 3"])
    assert "expected to fail: bug 2" in r.test("TestA.test5")["message"]
    assert "x" in r.test("TestA.test4")["message"]


def test_xfail_does_not_excuse_the_infrastructure(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim { ready = false }, xfail = "known" }
function TestA:test1() end
testOwn = vmtest.test({ xfail = "known" }, function()
  vmtest.vm { driver = "sim", sim = { ready = false } }
end)
""", test_timeout=600.0)
    eq((r.outcomes(), r.code), ({"TestA.test1": "error", "testOwn": "error"}, 3))


def test_skip_in_set_up(b):
    r = b.run(HEAD + """
TestA = {}
function TestA:setupClass() vmtest.skip("no network") end
function TestA:test1() print("never") end
TestB = {}
function TestB:setupClass() lu.skip("not here") end
function TestB:test1() print("never") end
TestC = {}
function TestC:setUp() lu.skipIf(true, "not now") end
function TestC:test1() print("never") end
function TestC:tearDown() print("torn down") end
""")
    eq({runner.full_name(e): (e["outcome"], e.get("reason")) for e in r.of("test_end")},
       {"TestA.test1": ("skipped", "no network"), "TestB.test1": ("skipped", "not here"),
        "TestC.test1": ("skipped", "not now")})
    eq((r.code, r.output()), (0, "torn down\n"))
