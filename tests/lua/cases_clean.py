"""Clean VMs for tests: reset, snapshots behind it, fixtures. Over the simulated driver."""
import os

import run as runner
from cases_luaunit import eq
from cases_vm import SIM, all_pass, one, ops, state_dirs

NO_SNAPSHOTS = 'without = { "snapshot" }'


def warnings(r):
    return [e["text"] for e in r.of("log") if e["level"] == "warning"]


def nothing_left(b):
    eq(state_dirs(b), [])
    eq(os.listdir(os.path.join(b.folder, "scratch")), [])


# ---- reset ----

PROBE = """
local function dirty(vm) return vm:exec("test -e /tmp/x").status == 0 end
local function probe(self) print(dirty(self.vm) and "dirty" or "clean") self.vm:write("/tmp/x", "1") end
"""


def test_clean_for_each_test(b):
    r = b.run(SIM + PROBE + """
TestA = vmtest.class { vm = sim() }
function TestA:setUp() print("setUp", self.vm.name, dirty(self.vm)) end
TestA.test1, TestA.test2, TestA.test3 = probe, probe, probe
""")
    all_pass(r)
    eq(r.output().split("\n"), ["setUp\ttesta\tfalse", "clean"] * 3 + [""])
    eq([o for o in ops(r) if o in ("start", "snapshot", "restore")],
       ["start", "snapshot", "restore", "restore"])
    nothing_left(b)


def test_one_test_needs_no_snapshot(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim() }
function TestA:setupClass() self.vm:sh("true") end
function TestA:test1() self.vm:sh("true") end
TestA.test2 = vmtest.test({ skip = "not now" }, function() end)
""")
    eq(r.code, 0)
    eq(ops(r), ["start", "exec", "exec"])


def test_skipped_classes_start_no_vm(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim(), skip = "not here" }
function TestA:setupClass() print "never" end
function TestA:teardownClass() print "never" end
function TestA:test1() print "never" end
TestB = vmtest.class { vm = sim() }
TestB.test1 = vmtest.test({ skip = "not now" }, function() print "never" end)
""")
    eq((r.code, r.output(), r.of("op"), r.of("vm_state")), (0, "", [], []))
    eq(set(r.outcomes().values()), {"skipped"})


def test_setup_class_is_kept_for_each_test(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim() }
function TestA:setupClass() print("setupClass") self.vm:write("/tmp/class", "1") end
function TestA:setUp() self.vm:write("/tmp/setup", "1") end
function TestA:test1()
  lu.assertEquals(self.vm:read("/tmp/class"), "1")
  self.vm:write("/tmp/class", "2") self.vm:write("/tmp/test", "1")
end
function TestA:test2()
  lu.assertEquals(self.vm:read("/tmp/class"), "1")
  lu.assertEquals(self.vm:exec("test -e /tmp/test").status, 1)
  self.vm:destroy()
end
function TestA:test3()
  lu.assertEquals(self.vm:read("/tmp/class"), "1")
  lu.assertEquals(self.vm.name, "testa-2")
end
function TestA:teardownClass() print("teardownClass") self.vm:sh("cat /tmp/setup") end
""")
    all_pass(r)
    eq(r.output(), "setupClass\nteardownClass\n")
    eq([(e["vm"], e["op"]) for e in r.of("op") if e["op"] in ("start", "snapshot", "restore")],
       [("testa", "start"), ("testa", "snapshot"), ("testa", "restore"), ("testa-2", "restore")])
    nothing_left(b)


def test_order_of_setup_class_and_snapshot(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim() }
function TestA:setupClass() self.vm:sh("echo setupClass") end
function TestA:setUp() self.vm:sh("echo setUp") end
function TestA:test1() self.vm:sh("echo test1") end
function TestA:test2() self.vm:sh("echo test2") end
""")
    all_pass(r)
    eq([e.get("command", e["op"]) if e["op"] == "exec" else e["op"] for e in r.of("op")],
       ["start", "echo setupClass", "snapshot", "echo setUp", "echo test1", "restore", "echo setUp",
        "echo test2"])


def test_reset_class(b):
    r = b.run(SIM + PROBE + """
TestA = vmtest.class { vm = sim(), reset = "class" }
TestA.test1, TestA.test2 = probe, probe
TestB = vmtest.class { vm = sim(), reset = "class" }
TestB.test1, TestB.test2 = probe, probe
""")
    all_pass(r)
    eq(r.output().split(), ["clean", "dirty"] * 2)
    eq([o for o in ops(r) if o in ("start", "snapshot", "restore")], ["start", "snapshot", "restore"])


def test_reset_file(b):
    r = b.run(SIM + PROBE + """
for _, name in ipairs { "TestA", "TestB" } do
  local class = vmtest.class { vm = sim(), reset = "file" }
  function class:setupClass() print(name, self.vm.name) end
  class.test1, class.test2 = probe, probe
  _G[name] = class
end
TestC = vmtest.class { vm = sim { latency = 0.5 }, reset = "file" }
TestC.test1 = probe
TestD = vmtest.class { vm = sim(), reset = "class" }
TestD.test1 = probe
""")
    all_pass(r)
    eq(r.output().split(),
       "TestA testa clean dirty TestB testa dirty dirty clean clean".split())
    eq([(e["vm"], e["op"]) for e in r.of("op") if e["op"] in ("start", "snapshot", "restore")],
       [("testa", "start"), ("testa", "snapshot"), ("testc", "start"), ("testd", "restore")])


def test_reset_never(b):
    r = b.run(SIM + PROBE + """
TestA = vmtest.class { vm = sim(), reset = "never" }
TestA.test1 = probe
function TestA:test2() self.vm:stop() end
function TestA:test3() lu.assertEquals(self.vm:state(), "stopped") end
TestB = vmtest.class { vm = sim(), reset = "never" }
function TestB:test1() lu.assertEquals(self.vm:state(), "stopped") self.vm:start() end
TestB.test2 = probe
""")
    all_pass(r)
    eq(r.output().split(), ["clean", "dirty"])
    eq(ops(r).count("start"), 2)
    assert not {"snapshot", "restore"} & set(ops(r)), ops(r)


def test_broken_vm_is_put_back(b):
    r = b.run(SIM + """
for _, mode in ipairs { "test", "class", "file" } do
  local class = vmtest.class { vm = sim(), reset = mode }
  function class:setupClass() self.vm:write("/tmp/class", mode) end
  function class:setUp() lu.assertEquals(self.vm:state(), "running") end
  function class:test1() self.vm:stop() end
  function class:test2() self.vm:pause() end
  function class:test3() pcall(self.vm.exec, self.vm, "panic") end
  function class:test4() self.vm:destroy() end
  function class:test5() lu.assertEquals(self.vm:read("/tmp/class"), mode) end
  _G["Test_" .. mode] = class
end
""", test_timeout=300.0)
    all_pass(r)
    nothing_left(b)


def test_crash_within_a_test(b):
    r = b.run(SIM + PROBE + """
TestA = vmtest.class { vm = sim() }
function TestA:test1() self.vm:write("/tmp/x", "1") self.vm:sh("panic") end
TestA.test2 = probe
function TestA:test3() while true do self.vm:sh("echo > /tmp/x") end end
TestA.test4 = probe
""", test_timeout=10.0)
    eq(r.outcomes(), {"TestA.test1": "error", "TestA.test2": "passed", "TestA.test3": "timed_out",
                      "TestA.test4": "passed"})
    eq(r.output(), "clean\nclean\n")


def test_groups_are_restored_side_by_side(b):
    r = b.run(SIM + """
local slow = { driver = "sim", sim = { faults = { { at = "restore", kind = "slow", after = 40 },
  { at = "restore", nth = 2, kind = "slow", after = 40 } } } }
TestA = vmtest.class { vms = { web = slow, db = slow } }
function TestA:setupClass() self.vms.web:write("/tmp/role", "web") self.vms.db:write("/tmp/role", "db") end
local function check(self)
  for role, vm in pairs(self.vms) do
    lu.assertEquals(vm:read("/tmp/role"), role)
    lu.assertEquals(vm:exec("test -e /tmp/x").status, 1)
    vm:write("/tmp/x", "1")
  end
  lu.assertNil(self.vm)
end
local began
function TestA:test1() check(self) began = vmtest.time() end
function TestA:test2() check(self) lu.assertTrue(vmtest.time() - began < 60) end
TestA.test3 = check
""", test_timeout=60.0)
    all_pass(r)
    restores = [e["ms"] for e in r.of("op") if e["op"] == "restore"]
    assert len(restores) == 4 and all(40000 < ms < 50000 for ms in restores), restores


def test_one_of_a_group_is_destroyed(b):
    r = b.run(SIM + """
TestA = vmtest.class { vms = { web = sim(), db = sim() } }
function TestA:test1() self.vms.db:destroy() self.vms.web:write("/tmp/x", "1") end
function TestA:test2()
  lu.assertEquals({ self.vms.web.name, self.vms.db.name }, { "testa-web", "testa-db-2" })
  lu.assertEquals(self.vms.web:exec("test -e /tmp/x").status, 1)
end
""")
    all_pass(r)
    eq(ops(r).count("start"), 2)


def test_repeated_tests_are_clean_each_time(b):
    r = b.run(SIM + PROBE + """
TestA = vmtest.class { vm = sim() }
TestA.test1 = probe
lu.LuaUnit.run("--repeat", "3")
""")
    all_pass(r)
    eq(r.output(), "clean\nclean\nclean\n")
    eq(ops(r).count("start"), 1)


def test_restoring_is_not_the_tests_time(b):
    r = b.run(SIM + """
local slow = {}
for i = 1, 9 do slow[i] = { at = "restore", nth = i, kind = "slow", after = 50 } end
TestA = vmtest.class { vm = sim { faults = slow } }
function TestA:test1() end
function TestA:test2() end
""", test_timeout=5.0)
    all_pass(r)
    assert r.test("TestA.test2")["duration"] < 5
    assert [e["ms"] for e in r.of("op") if e["op"] == "restore"][0] > 50000


# ---- without snapshots ----

def test_without_snapshots_all_is_made_again(b):
    r = b.run(SIM + PROBE + """
TestA = vmtest.class { vm = sim { %s } }
TestA.test1, TestA.test2 = probe, probe
TestB = vmtest.class { vm = sim { %s } }
function TestB:setupClass() self.vm:write("/tmp/class", "1") print "setupClass" end
function TestB:test1() self.vm:sh("rm /tmp/class") end
function TestB:test2() self.vm:sh("cat /tmp/class") end
function TestB:teardownClass() print "teardownClass" end
""" % (NO_SNAPSHOTS, NO_SNAPSHOTS))
    all_pass(r)
    eq(r.output().split(), ["clean", "clean", "setupClass", "setupClass", "teardownClass"])
    eq(ops(r).count("start"), 4)
    said = warnings(r)
    assert len(said) == 1 and "no snapshot of a VM that has just booted" in said[0], said
    nothing_left(b)


def test_what_setup_class_made_ends_before_it_runs_again(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim { %s } }
function TestA:setupClass() self.helper = vmtest.vm { driver = "sim", name = "helper" } end
local function count(self)
  local file <close> = io.popen("ls runtime | grep -c helper")
  lu.assertEquals(file:read("n"), 1)
  self.helper:sh("true")
end
TestA.test1, TestA.test2, TestA.test3 = count, count, count
""" % NO_SNAPSHOTS)
    all_pass(r)
    eq(ops(r).count("start"), 6)


def test_snapshot_that_fails_is_no_failure(b):
    r = b.run(SIM + PROBE + """
TestA = vmtest.class { vm = sim { faults = { { at = "snapshot", kind = "fail", message = "disk is full" } } } }
TestA.test1, TestA.test2 = probe, probe
""")
    all_pass(r)
    eq(r.output(), "clean\nclean\n")
    eq(ops(r).count("start"), 2)
    assert len(warnings(r)) == 1 and "disk is full" in warnings(r)[0], warnings(r)


def test_restore_that_fails_is_no_failure(b):
    r = b.run(SIM + PROBE + """
TestA = vmtest.class { vm = sim { faults = { { at = "restore", kind = "fail", message = "torn" } } } }
function TestA:setupClass() self.vm:write("/tmp/class", "1") end
function TestA:setUp() self.vm:sh("cat /tmp/class") end
TestA.test1, TestA.test2, TestA.test3 = probe, probe, probe
""")
    all_pass(r)
    eq(r.output(), "clean\nclean\nclean\n")
    eq(ops(r).count("start"), 3)
    assert len(warnings(r)) == 1 and "torn" in warnings(r)[0], warnings(r)


def test_setup_class_that_fails(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim() }
function TestA:setupClass() self.vm:sh("false") end
function TestA:test1() print "never" end
function TestA:test2() end
function TestA:teardownClass() self.vm:sh("true") print "teardownClass" end
TestB = vmtest.class { vm = sim() }
function TestB:setupClass() vmtest.skip("not here") end
function TestB:test1() print "never" end
TestC = vmtest.class { vm = sim() }
function TestC:test1() self.vm:sh("true") end
""")
    eq(r.outcomes(), {"TestA.test1": "error", "TestA.test2": "error", "TestB.test1": "skipped",
                      "TestC.test1": "passed"})
    assert r.test("TestA.test1")["message"].startswith("setupClass: "), r.test("TestA.test1")
    eq(r.output(), "teardownClass\n")


def test_keep_failed_leaves_the_failed_vm(b):
    r = b.run(SIM + PROBE + """
TestA = vmtest.class { vm = sim() }
function TestA:test1() self.vm:write("/tmp/x", "1") error("x") end
TestA.test2 = probe
""", keep_failed=True)
    eq(r.output(), "clean\n")
    eq(state_dirs(b), ["1-testa"])
    eq(sorted(os.listdir(os.path.join(b.folder, "scratch"))), ["1-testa", "1.snapshots"])


# ---- what a failing test leaves ----

def test_failure_leaves_the_console(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim() }
function TestA:test1() lu.fail("x") end
TestA["test/2 ../x"] = function(self) vmtest.vm { driver = "sim", name = "other" } error("x") end
function TestA:test3() end
function TestA:test4() vmtest.skip("x") end
TestA.test5 = vmtest.test({ xfail = "known" }, function() error("x") end)
function TestA:test6() self.vm:destroy() error("x") end
TestB = vmtest.class { vm = sim { latency = 0.5 } }
function TestB:test1() error("x") end
function TestB:tearDown() self.vm:destroy() end
function testNone() error("x") end
""", test_timeout=5.0)
    eq({runner.full_name(e): e["artifacts"] for e in r.of("test_end") if "artifacts" in e},
       {"TestA.test1": ["testa/failure-TestA.test1.txt"],
        "TestA.test/2 ../x": ["other/failure-TestA.test-2-..-x.txt",
                              "testa/failure-TestA.test-2-..-x.txt"],
        "TestB.test1": ["testb/failure-TestB.test1.txt"]})
    with open(os.path.join(b.folder, "results", "testa", "failure-TestA.test1.txt"),
              encoding="utf-8") as file:
        assert "booting" in file.read()


# ---- fixtures ----

FIXTURES = """
vmtest.fixture("enrolled", { from = "clean-os" }, function(vm)
  print("enrolled runs") vm:write("/tmp/enrolled", "yes")
end)
vmtest.fixture("clean-os", { driver = "sim", sim = { %s } }, function(vm)
  print("clean-os runs") vm:write("/tmp/os", "yes")
end)
local function check(self)
  lu.assertEquals({ self.vm:read("/tmp/os"), self.vm:read("/tmp/enrolled") }, { "yes", "yes" })
  lu.assertEquals(self.vm:exec("test -e /tmp/x").status, 1)
  self.vm:sh("rm /tmp/os /tmp/enrolled") self.vm:write("/tmp/x", "1")
end
TestA = vmtest.class { fixture = "enrolled" }
TestA.test1, TestA.test2 = check, check
TestB = vmtest.class { fixture = "enrolled" }
function TestB:setupClass() self.vm:write("/tmp/b", "1") end
function TestB:test1() check(self) self.vm:sh("cat /tmp/b; rm /tmp/b") end
TestB.test2 = TestB.test1
TestC = vmtest.class { fixture = "clean-os" }
function TestC:test1() lu.assertEquals(self.vm:exec("test -e /tmp/enrolled").status, 1) end
"""


def test_fixtures_on_fixtures(b):
    r = b.run(SIM + FIXTURES % "")
    all_pass(r)
    eq(r.output(), "clean-os runs\nenrolled runs\n")
    eq((ops(r).count("start"), ops(r).count("snapshot"), ops(r).count("restore")), (1, 3, 4))
    nothing_left(b)


def test_fixtures_without_snapshots(b):
    r = b.run(SIM + FIXTURES % NO_SNAPSHOTS)
    all_pass(r)
    eq(r.output(), "clean-os runs\nenrolled runs\n" * 4 + "clean-os runs\n")
    eq(len(warnings(r)), 1)


def test_fixture_of_several_vms(b):
    r = b.run(SIM + """
local pair = vmtest.fixture("pair", { vms = { web = sim(), db = sim() } }, function(vms)
  vms.web:write("/tmp/role", "web") vms.db:write("/tmp/role", "db")
end)
TestA = vmtest.class { fixture = pair }
local function check(self)
  for role, vm in pairs(self.vms) do
    lu.assertEquals(vm:read("/tmp/role"), role)
    vm:sh("rm /tmp/role")
  end
end
TestA.test1, TestA.test2 = check, check
lu.assertEquals(tostring(pair), "fixture pair")
""")
    all_pass(r)
    eq(ops(r).count("start"), 2)


def test_fixture_without_its_snapshot(b):
    r = b.run(SIM + """
vmtest.fixture("fresh", { driver = "sim", snapshot = false }, function(vm) print "runs" vm:write("/tmp/f", "1") end)
TestA = vmtest.class { fixture = "fresh" }
function TestA:test1() self.vm:sh("rm /tmp/f") end
function TestA:test2() self.vm:sh("rm /tmp/f") end
""")
    all_pass(r)
    eq(r.output(), "runs\nruns\n")
    eq((ops(r).count("start"), ops(r).count("snapshot"), ops(r).count("restore")), (1, 1, 1))


def test_fixture_that_fails(b):
    r = b.run(SIM + """
vmtest.fixture("broken", { driver = "sim" }, function(vm)
  print "runs" vm:sh("cat /nowhere")
end)
vmtest.fixture("on it", { from = "broken" }, function() print "never" end)
TestA = vmtest.class { fixture = "broken", reset = "file" }
function TestA:test1() print "never" end
function TestA:test2() print "never" end
function TestA:setupClass() print "never" end
function TestA:teardownClass() print "never" end
TestB = vmtest.class { fixture = "on it", reset = "file" }
function TestB:test1() print "never" end
TestC = {}
function TestC:test1()
  local file <close> = io.popen("ls runtime | grep -c test")
  lu.assertEquals(file:read("n"), 0)
end
""")
    eq(r.outcomes(), {"TestA.test1": "error", "TestA.test2": "error", "TestB.test1": "error",
                      "TestC.test1": "passed"})
    eq(r.output(), "runs\n")
    first, second, third = (e.get("message") for e in r.of("test_end")[:3])
    assert first.startswith("fixture 'broken': ") and "No such file" in first, first
    for message in (second, third):
        assert message.startswith("fixture 'broken' failed, as shown for TestA: "), message
        assert "No such file" not in message, message
    assert "trace" in r.of("test_end")[0] and "trace" not in r.of("test_end")[1]
    nothing_left(b)


def test_fixture_that_skips_and_that_takes_too_long(b):
    r = b.run(SIM + """
vmtest.fixture("not here", { driver = "sim" }, function() vmtest.skip("no licence") end)
vmtest.fixture("slow", { driver = "sim", timeout = "10s" }, function(vm) vm:exec("sleep 99") end)
TestA = vmtest.class { fixture = "not here" }
function TestA:test1() print "never" end
TestB = vmtest.class { fixture = "slow" }
function TestB:test1() print "never" end
""", test_timeout=100.0)
    eq(r.outcomes(), {"TestA.test1": "skipped", "TestB.test1": "error"})
    eq(r.test("TestA.test1")["reason"], "no licence")
    assert "timed out after 10s" in r.test("TestB.test1")["message"]


def test_fixtures_that_make_no_sense(b):
    r = b.run(SIM + """
vmtest.fixture("enrolled", { driver = "sim" }, function() end)
vmtest.fixture("a", { from = "b" }, function() end)
vmtest.fixture("b", { from = "a" }, function() end)
vmtest.fixture("c", { from = "enrolled", memory = "4G" }, function() end)
vmtest.fixture("d", {}, function() end)
for i, name in ipairs { "enroled", "a", "c", "d" } do
  _G["Test" .. i] = vmtest.class { fixture = name }
  _G["Test" .. i].test1 = function() print "never" end
end
""")
    messages = [e["message"] for e in r.of("test_end")]
    for message, part in zip(messages, ("did you mean 'enrolled'?", "made from itself",
                                        "cannot have options of VMs", "a VM needs an image")):
        assert part in message, (part, message)
    eq((len(messages), r.output()), (4, ""))


def test_vm_made_in_a_fixture_ends_with_it(b):
    r = b.run(SIM + """
local helper
vmtest.fixture("f", { driver = "sim" }, function(vm)
  helper = vmtest.vm { driver = "sim" }
  helper:sh("true")
end)
TestA = vmtest.class { fixture = "f" }
function TestA:test1() lu.assertFalse(helper:is_alive()) self.vm:sh("true") end
""")
    all_pass(r)


def test_stop_within_a_fixture(b):
    w = b.start(SIM + """
vmtest.fixture("f", { driver = "sim" }, function() print "here" os.execute("sleep 60") end)
TestA = vmtest.class { fixture = "f" }
function TestA:test1() end
""")
    w.wait_for(lambda e: e["type"] == "output" and "here" in e["text"])
    w.process.terminate()
    r = w.wait()
    eq((r.code, r.outcomes()), (5, {"TestA.test1": "not_run"}))
    nothing_left(b)


def test_exit_within_a_fixture(b):
    r = b.run(SIM + """
vmtest.fixture("f", { driver = "sim" }, function() os.exit(3) end)
TestA = vmtest.class { fixture = "f" }
function TestA:test1() print "never" end
function TestA:test2() print "never" end
lu.unregisterCurrentSuite()
""")
    eq(r.output(), "")
    eq(r.code, 1)


def test_dry_run(b):
    r = b.run(SIM + """
vmtest.fixture("f", { from = "no-such-image", nics = false, screen = true }, function(vm) vm:sh("x") end)
TestA = vmtest.class { fixture = "f" }
function TestA:test1() self.vm:sh("y") end
function TestA:test2() self.vm:sh("z") end
TestB = vmtest.class { vm = { driver = "ssh", ssh = { host = "example.invalid" } } }
function TestB:test1() self.vm:sh("y") end
TestC = vmtest.class { vm = { snapshot = "no-such" } }
function TestC:test1() self.vm:sh("y") end
""", dry_run=True)
    all_pass(r)
