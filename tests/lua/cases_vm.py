"""VMs in suites: over the simulated driver, on its virtual clock."""
import os
import shutil
import signal
import stat
import time

import run as runner
from cases_luaunit import HEAD, eq

SIM = HEAD + """
local function sim(o) return { driver = "sim", sim = o } end
"""


def ops(r, vm=None):
    return [e["op"] for e in r.of("op") if vm in (None, e["vm"])]


def state_dirs(b):
    return sorted(d for d in os.listdir(os.path.join(b.folder, "runtime")) if d.startswith("1-"))


def all_pass(r):
    eq({k: v for k, v in ((runner.full_name(e), e.get("message")) for e in r.of("test_end")) if v}, {})
    eq(r.code, 0)
    assert r.of("test_end")


def one(r):
    ends = r.of("test_end")
    eq(len(ends), 1)
    return ends[0]


# ---- classes and their VMs ----

def test_class_shares_a_vm(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim(), reset = "class" }
function TestA:setupClass() self.vm:write("/tmp/x", "1") end
function TestA:setUp() assert(self.vm:state() == "running") end
function TestA:test1() self.vm:sh("echo 2 >> /tmp/x") end
function TestA:test2() lu.assertEquals(self.vm:read("/tmp/x"), "12\\n") end
function TestA:teardownClass() self.vm:sh("true") end
function testAfter() lu.assertNil(rawget(TestA, "vm")) end
""")
    all_pass(r)
    eq(ops(r).count("start"), 1)
    eq(state_dirs(b), [])
    eq(os.listdir(os.path.join(b.folder, "scratch")), [])
    assert "transcript.txt" in os.listdir(os.path.join(b.folder, "results", "testa"))


def test_several_vms(b):
    r = b.run(SIM + """
TestA = vmtest.class { vms = { web = sim{ boot_seconds = 50 }, db = sim{ boot_seconds = 50 } } }
function TestA:test1()
  self.vms.web:write("/tmp/x", "1")
  lu.assertEquals(self.vms.db:exec("test -e /tmp/x").status, 1)
  lu.assertEquals({ self.vms.web.name, self.vms.db.name }, { "testa-web", "testa-db" })
  lu.assertNil(self.vm)
end
""")
    all_pass(r)
    starts = [e["ms"] for e in r.of("op") if e["op"] == "start"]
    assert len(starts) == 2 and all(50000 < ms < 60000 for ms in starts), starts


def test_boot_is_not_the_tests_time(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = { driver = "sim", sim = { boot_seconds = 100 }, boot_timeout = "5m" } }
function TestA:test1() end
""", test_timeout=5.0)
    all_pass(r)


def test_vm_that_cannot_be_had(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim { ready = false } }
function TestA:setUp() print("never") end
function TestA:test1() end
function testOther() end
""")
    eq(r.outcomes(), {"TestA.test1": "error", "testOther": "passed"})
    message = r.test("TestA.test1")["message"]
    assert message.startswith("its VM could not be had: ") and "vm.start" in message, message
    eq(r.output(), "")
    eq(r.code, 3)
    r = b.run(SIM + 'function testA() vmtest.vm { driver = "sim", sim = { ready = false } } end',
              test_timeout=600.0)
    eq((r.code, one(r)["outcome"]), (3, "error"))


def test_image_that_does_not_exist(b):
    r = b.run(HEAD + 'TestA = vmtest.class { image = "no-such-image" }\nfunction TestA:test1() end',
              env={"VMTEST_HOME": b.folder})
    assert "no-such-image" in one(r)["message"]
    eq(r.code, 3)


def test_failures_weigh_more_than_infrastructure(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim { ready = false } }
function TestA:test1() end
function testOther() lu.fail("x") end
""")
    eq(r.code, 1)


def test_vm_by_hand_ends_with_its_scope(b):
    r = b.run(SIM + """
local suite, class, test
function setupSuite() suite = vmtest.vm { driver = "sim", name = "suite" } end
TestA = {}
function TestA:setupClass() class = vmtest.vm { driver = "sim", name = "class" } end
function TestA:test1() test = vmtest.vm { driver = "sim", name = "test" } test:sh("true") end
function TestA:test2()
  lu.assertEquals({ suite:is_alive(), class:is_alive(), test:is_alive() }, { true, true, false })
  class:sh("true")
end
function testZ()
  lu.assertEquals({ suite:is_alive(), class:is_alive(), test:is_alive() }, { true, false, false })
  suite:sh("true")
  local ok, err = pcall(class.exec, class, "true")
  lu.assertFalse(ok)
  lu.assertEquals(err.code, "state")
  lu.assertStrContains(tostring(err), "the VM class has ended")
end
function teardownSuite() suite:sh("true") end
""")
    all_pass(r)
    eq(state_dirs(b), [])


def test_vm_is_closed_and_collected(b):
    r = b.run(SIM + """
function test1()
  local kept
  do
    local vm <close> = vmtest.vm { driver = "sim" }
    kept = vm
    lu.assertTrue(vm:is_alive())
  end
  lu.assertFalse(kept:is_alive())
  vmtest.vm { driver = "sim" }
  collectgarbage() collectgarbage()
  kept:destroy() kept:destroy()
end
function test2() lu.assertEquals(vmtest.vm { driver = "sim" }.name, "vm-3") end
""")
    all_pass(r)


def test_stale_handles_never_crash(b):
    r = b.run(SIM + """
function testAll()
  local vm = vmtest.vm { driver = "sim" }
  vm:destroy()
  local calls = { exec = { "x" }, sh = { "x" }, put = { "a", "b" }, get = { "a", "b" }, read = { "a" },
    write = { "a", "b" }, start = {}, stop = {}, kill = {}, pause = {}, resume = {}, reboot = {},
    wait_stopped = {}, state = {}, info = {}, scale = {}, console_tail = {}, supports = { "exec" },
    wait_until = { { cmd = "x" } }, snapshot = { "x" }, restore = { "x" }, snapshots = {},
    remove_snapshot = { "x" }, clone = {}, screenshot = {}, send_keys = { "a" }, type = { "a" },
    console = {}, share = { { name = "a", path = "/" } }, unshare = { "a" }, mount_share = { "a", "/b" },
    resize_disk = { "a", "1G" }, attach_disk = { { name = "a", size = "1M" } }, detach_disk = { "a" }, enroll = {}, device = {}, assert_managed = { "a", "b" },
    assert_not_managed = { "a" }, assert_profile_installed = { "a" },
    assert_profile_not_installed = { "a" }, assert_effective = { "a" }, preferences_snapshot = {},
    assert_preferences_as = { {} } }
  local tried = { name = true, destroy = true, is_alive = true }
  for name in pairs(calls) do tried[name] = true end
  for name in pairs(require "vmtest.vm".methods) do assert(tried[name], name) end
  for name, args in pairs(calls) do
    local ok, err = pcall(vm[name], vm, table.unpack(args))
    lu.assertFalse(ok)
    lu.assertEquals(err.code, "state", name)
  end
  lu.assertEquals(vm.name, "vm")
  lu.assertEquals(tostring(vm), "VM vm")
end
function testEndedWhileUsed()
  local vm = vmtest.vm { driver = "sim" }
  local ok, err = pcall(vmtest.parallel, function() vm:exec("sleep 60") end,
    function() vmtest.sleep(1) vm:destroy() end)
  lu.assertFalse(ok)
  lu.assertNotNil(err.code)
end
function testNotAVm()
  local vm = vmtest.vm { driver = "sim" }
  lu.assertErrorMsgContains("vmtest.vm", vm.exec, {}, "x")
  lu.assertErrorMsgContains("vmtest.vm", vm.state, io.stdout)
end
""")
    all_pass(r)


# ---- commands ----

def test_exec(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim() }
function TestA:testResult()
  local r = self.vm:exec("echo out; echo err >&2; exit 3")
  lu.assertEquals({ r.status, r.signal, r.stdout, r.stderr, r.truncated }, { 3, nil, "out\\n", "err\\n", false })
  lu.assertEquals(math.type(r.status), "integer")
  lu.assertAlmostEquals(r.duration, 0, 1)
end
function TestA:testWords()
  lu.assertEquals(self.vm:exec({ "echo", "a  b", "$HOME", "it's", 3 }).stdout, "a  b $HOME it's 3\\n")
end
function TestA:testStdin() lu.assertEquals(self.vm:exec("cat", { stdin = "in\\0put" }).stdout, "in\\0put") end
function TestA:testEnvAndCwd()
  local r = self.vm:exec("echo $A-$B; pwd", { env = { A = "1 2", B = 3 }, cwd = "/tmp" })
  lu.assertEquals(r.stdout, "1 2-3\\n/tmp\\n")
end
function TestA:testSignal()
  local r = self.vm:exec("kill -KILL $$")
  lu.assertEquals({ r.status, r.signal }, { nil, "KILL" })
end
function TestA:testLimit()
  local r = self.vm:exec("echo 0123456789", { limit = 4 })
  lu.assertEquals({ r.stdout, r.truncated }, { "0123", true })
  lu.assertEquals(#self.vm:exec("echo 0123456789", { limit = "1K" }).stdout, 11)
end
function TestA:testPty() lu.assertEquals(self.vm:exec("echo x >&2", { pty = true }).stdout, "x\\r\\n") end
function TestA:testDuration()
  local t0 = vmtest.time()
  lu.assertAlmostEquals(self.vm:exec("sleep 3000", { timeout = "2h" }).duration, 3000, 1)
  lu.assertAlmostEquals(vmtest.time() - t0, 3000, 1)
end
TestA.testDuration = vmtest.test({ timeout = "2h" }, TestA.testDuration)
""")
    all_pass(r)


def test_exec_timeout_keeps_the_output(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim() }
function TestA:test1()
  local ok, err = pcall(self.vm.exec, self.vm, "echo part; echo e >&2; sleep 100", { timeout = 5 })
  lu.assertFalse(ok)
  lu.assertEquals({ err.code, err.op, err.vm, err.stdout, err.stderr },
    { "timeout", "vm.exec", "testa", "part\\n", "e\\n" })
  lu.assertEquals(err.where, "suite.lua:8")
  lu.assertTrue(vmtest.is_error(err))
  lu.assertStrContains("it was: " .. err, "it was: suite.lua:8: vm.exec: ")
end
function TestA:test2() self.vm:exec("sleep 100", { timeout = 5 }) end
TestA.test3 = vmtest.test({ timeout = "2s" }, function(self) self.vm:exec("sleep 100") end)
""")
    eq(r.outcomes(), {"TestA.test1": "passed", "TestA.test2": "error", "TestA.test3": "timed_out"})
    assert "(VM testa)" in r.test("TestA.test2")["message"]
    assert "timed out after 2s, in vm.exec for 2" in r.test("TestA.test3")["message"], r.test("TestA.test3")


def test_test_deadline_in_exec(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim(), timeout = "10s" }
function TestA:test1() self.vm:exec("echo part; sleep 1000", { timeout = "1h" }) end
function TestA:test2() lu.assertEquals(self.vm:exec("echo x").stdout, "x\\n") end
""")
    eq(r.outcomes(), {"TestA.test1": "timed_out", "TestA.test2": "passed"})
    duration = r.test("TestA.test1")["duration"]
    assert 10 <= duration < 10.1, duration
    assert r.seconds < 60


def test_guest_that_goes_away(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim() }
function TestA:test1()
  local ok, err = pcall(self.vm.exec, self.vm, "echo part; panic")
  lu.assertEquals({ ok, err.code, err.stdout }, { false, "guest", "part\\n" })
  lu.assertEquals(self.vm:state(), "crashed")
  ok, err = pcall(self.vm.exec, self.vm, "true")
  lu.assertEquals({ ok, err.code }, { false, "state" })
  self.vm:start()
  lu.assertEquals(self.vm:exec("echo again").stdout, "again\\n")
end
""")
    all_pass(r)


def test_sh(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim { commands = { { match = "big", status = 2,
  stderr = ("x"):rep(5000) .. "\\27[31mEND\\n" } } } }
function TestA:test1() lu.assertEquals(self.vm:sh("echo x").stdout, "x\\n") end
function TestA:test2() self.vm:sh("cat /nowhere") end
function TestA:test3() self.vm:sh({ "false" }) end
function TestA:test4()
  local ok, err = pcall(self.vm.sh, self.vm, "big")
  lu.assertEquals({ err.code, err.status, #err.stderr }, { "failed", 2, 5009 })
  error(err)
end
""")
    eq(list(r.outcomes().values()), ["passed", "error", "error", "error"])
    assert "`cat /nowhere` gave status 1:\ncat: /nowhere: No such file" in r.test("TestA.test2")["message"]
    assert "`false` gave status 1, without a word" in r.test("TestA.test3")["message"]
    message = r.test("TestA.test4")["message"]
    assert message.startswith("suite.lua:") and "?[31mEND" in message and len(message) < 2300, message


def test_vm_wait_until(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim() }
function TestA:test1()
  vmtest.parallel(function() vmtest.sleep(20) self.vm:write("/tmp/flag", "up") end, function()
    local r = self.vm:wait_until { cmd = "cat /tmp/flag", timeout = "90s", every = "1s" }
    lu.assertEquals(r.stdout, "up")
  end)
  lu.assertEquals(self.vm:wait_until { cmd = { "echo", "x" }, check = function(r) return r.stdout == "x\\n" end }.status, 0)
end
function TestA:test2() self.vm:wait_until { cmd = "echo almost; cat /nowhere", timeout = 5 } end
function TestA:test3() self.vm:wait_until { cmd = "echo hangs; sleep 100", timeout = 5 } end
function TestA:test4() self.vm:wait_until { timeout = 5 } end
""", test_timeout=100.0)
    eq(r.outcomes(), {"TestA.test1": "passed", "TestA.test2": "error", "TestA.test3": "error",
                      "TestA.test4": "error"})
    message = r.test("TestA.test2")["message"]
    assert "within 5.0s" in message or "within 5s" in message, message
    assert "--- stdout\nalmost" in message and "--- stderr\ncat: /nowhere" in message, message
    assert "hangs" in r.test("TestA.test3")["message"]


def test_wait_until(b):
    r = b.run(HEAD + """
function test1()
  local n = 0
  lu.assertEquals(vmtest.wait_until(function() n = n + 1 return n == 3 and "yes" end, { every = 0.01 }), "yes")
  lu.assertEquals(vmtest.wait_until { check = function() return 5 end }, 5)
end
function test2()
  vmtest.wait_until(function() end, { timeout = 0.05, every = 0.01, message = "it never rained" })
end
""")
    eq(r.outcomes(), {"test1": "passed", "test2": "error"})
    assert "it never rained within " in r.test("test2")["message"]


def test_on_output(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim() }
function TestA:test1()
  local got = {}
  self.vm:exec("echo a; sleep 1; echo b >&2; echo long", { limit = 2,
    on_output = function(stream, text) got[#got + 1] = stream .. ":" .. text end })
  lu.assertEquals(table.concat(got), "stdout:a\\nstderr:b\\nstdout:long\\n")
end
function TestA:test2()
  local t0 = vmtest.time()
  local ok, err = pcall(self.vm.exec, self.vm, "echo a; sleep 1000", { timeout = "1h",
    on_output = function() error("seen enough", 0) end })
  lu.assertEquals({ ok, err }, { false, "seen enough" })
  lu.assertTrue(vmtest.time() - t0 < 10)
  lu.assertEquals(self.vm:sh("echo x").stdout, "x\\n")
end
function TestA:test3()
  local ok, err = pcall(self.vm.exec, self.vm, "echo a", { on_output = function() vmtest.sleep(1) end })
  lu.assertEquals(ok, false)
  lu.assertStrContains(tostring(err), "on_output function cannot wait")
end
function TestA:test4() self.vm:exec("echo a", { on_output = function() while true do end end }) end
function TestA:test5() lu.assertEquals(self.vm:sh("echo x").stdout, "x\\n") end
""", test_timeout=10.0)
    eq(list(r.outcomes().values()), ["passed", "passed", "passed", "timed_out", "passed"])


def test_parallel_vms(b):
    r = b.run(SIM + """
function test1()
  local t0 = vmtest.time()
  local a, b = vmtest.parallel(function() return vmtest.vm { driver = "sim", name = "a" } end,
    function() return vmtest.vm { driver = "sim", name = "b" } end)
  lu.assertTrue(vmtest.time() - t0 < 8)
  vmtest.parallel(function() a:sh("sleep 10") end, function() b:sh("sleep 10") end, function() b:sh("sleep 10") end)
  lu.assertTrue(vmtest.time() - t0 < 20)
end
""", test_timeout=60.0)
    all_pass(r)


# ---- files and states ----

def test_files(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim(), reset = "class" }
function TestA:test1()
  local f = io.open("local.txt", "w") f:write("from host") f:close()
  local put = self.vm:put("local.txt", "/tmp/guest.txt")
  lu.assertEquals({ put.bytes, put.files, #put.sha256 }, { 9, 1, 64 })
  lu.assertEquals(self.vm:read("/tmp/guest.txt"), "from host")
  self.vm:write("/tmp/w", "a\\0b", { mode = "600" })
  lu.assertEquals(self.vm:read("/tmp/w"), "a\\0b")
  self.vm:get("/tmp/guest.txt", "back.txt", { verify = false, timeout = "10s" })
  lu.assertEquals(io.open("back.txt"):read("a"), "from host")
  lu.assertEquals(self.vm:read("/tmp/w", { limit = 3 }), "a\\0b")
end
function TestA:test2()
  local ok, err = pcall(self.vm.read, self.vm, "/tmp/guest.txt", { limit = 3 })
  lu.assertEquals({ ok, err.code }, { false, "limit" })
  ok, err = pcall(self.vm.read, self.vm, "/nowhere")
  lu.assertEquals({ ok, err.code, err.vm }, { false, "not_found", "testa" })
  lu.assertEquals(err.op, "vm.get")
end
""")
    all_pass(r)
    eq(ops(r)[:4], ["start", "put", "get", "put"])


def test_states(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim() }
function TestA:test1()
  local vm = self.vm
  lu.assertTrue(vm:supports("pause"))
  vm:pause()
  lu.assertEquals(vm:state(), "paused")
  vm:resume()
  vm:reboot()
  lu.assertEquals(vm:state(), "running")
  vm:reboot { hard = true }
  vm:stop()
  lu.assertEquals(vm:state(), "stopped")
  lu.assertEquals(vm:wait_stopped(), vm)
  vm:start { timeout = "2m" }
  vm:sh("poweroff")
  vm:wait_stopped { timeout = "1m" }
  local state, why = vm:state()
  lu.assertEquals({ state, type(why) }, { "stopped", "string" })
  vm:start():kill()
  lu.assertEquals(vm:state(), "stopped")
  local ok, err = pcall(vm.pause, vm)
  lu.assertEquals({ ok, err.code }, { false, "state" })
  lu.assertEquals(vm:info().driver, "sim")
  lu.assertEquals(vm:info().simulated, true)
  lu.assertEquals(vm:scale(), 1.0)
  lu.assertStrContains(vm:console_tail(), "booting")
  lu.assertTrue(#vm:console_tail(10) <= 10)
end
function TestA:test2()
  local vm = vmtest.vm { driver = "sim", sim = { without = { "pause" } } }
  local ok, why = vm:supports("pause")
  lu.assertEquals({ ok, type(why) }, { false, "string" })
  ok, why = pcall(vm.pause, vm)
  lu.assertEquals({ ok, why.code }, { false, "unsupported" })
end
""", test_timeout=900.0)
    all_pass(r)


# ---- modes and leftovers ----

def test_dry_run(b):
    r = b.run(HEAD + """
TestA = vmtest.class { image = "not-there", vm = { memory = "4G" } }
function TestA:test1()
  lu.assertEquals(self.vm:exec("systemctl is-active sshd | cat").status, 0)
  self.vm:sh("anything at all")
  lu.assertTrue(self.vm:info().simulated)
end
""", dry_run=True)
    all_pass(r)


def test_transcript(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim() }
function TestA:test1()
  self.vm:exec("echo one; echo two >&2; exit 4", { stdin = "secret input" })
  self.vm:exec({ "echo", "a b" })
  self.vm:write("/tmp/x", "secret contents")
end
""")
    all_pass(r)
    with open(os.path.join(b.folder, "results", "testa", "transcript.txt"), "rb") as file:
        data = file.read()
    first, second = [e for e in r.of("op") if e["op"] == "exec"]
    eq(first["out"]["file"], "testa/transcript.txt")
    part = data[first["out"]["offset"]:first["out"]["offset"] + first["out"]["size"]].decode()
    assert "$ echo one; echo two >&2; exit 4 < 12 bytes of input\n=> status 4" in part, part
    assert part.endswith("--- stdout\none\n--- stderr\ntwo\n"), part
    eq((first["status"], first["command"], second["argv"]), (4, "echo one; echo two >&2; exit 4", ["echo", "a b"]))
    assert b"secret" not in data
    for word in (b"starting", b"running", b"start: done after", b"put memory to /tmp/x", b"ended"):
        assert word in data, word


def test_folders_are_private(b):
    w = b.start(SIM + """
TestA = vmtest.class { vm = sim() }
function TestA:test1() print("here") while true do end end
""")
    w.wait_for(lambda e: e["type"] == "test_start")
    for kind in ("runtime", "scratch"):
        path = os.path.join(b.folder, kind, "1-testa")
        eq(stat.S_IMODE(os.stat(path).st_mode), 0o700)
    w.process.send_signal(signal.SIGTERM)
    eq(w.wait().code, 5)
    eq(state_dirs(b), [])


def test_keep_leaves_folders(b):
    suite = SIM + """
TestA = vmtest.class { vm = sim() }
function TestA:test1() %s end
"""
    eq(b.run(suite % "", keep_failed=True).code, 0)
    eq(state_dirs(b), [])
    eq(b.run(suite % "error('x')", keep_failed=True).code, 1)
    eq(state_dirs(b), ["1-testa"])
    for kind in ("runtime", "scratch"):
        shutil.rmtree(os.path.join(b.folder, kind, "1-testa"))
    eq(b.run(suite % "", keep_always=True).code, 0)
    eq(state_dirs(b), ["1-testa"])


def test_stop_while_booting(b):
    w = b.start(HEAD + """
TestA = vmtest.class { vm = { driver = "sim" } }
function TestA:setupClass() os.execute("sleep 60") end
function TestA:test1() end
""")
    w.wait_for(lambda e: e["type"] == "vm_state" and e["state"] == "running")
    time.sleep(0.3)
    w.process.send_signal(signal.SIGTERM)
    r = w.wait()
    eq((r.code, r.outcomes()), (5, {"TestA.test1": "not_run"}))
    assert r.seconds < 30
    eq(state_dirs(b), [])


def test_aggressive_collector(b):
    r = b.run(SIM + """
collectgarbage("setpause", 0)
TestA = vmtest.class { vm = sim(), reset = "test" }
for i = 1, 5 do
  TestA["test" .. i] = function(self)
    collectgarbage("generational")
    vmtest.parallel(function() self.vm:sh("echo x") collectgarbage() end,
      function() pcall(self.vm.exec, self.vm, "sleep 9", { timeout = 1 }) collectgarbage() end)
    self.vm:exec("echo x", { on_output = function() collectgarbage() end })
    vmtest.vm { driver = "sim" } collectgarbage()
  end
end
""", test_timeout=100.0)
    all_pass(r)
