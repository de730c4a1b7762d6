"""The options of VMs: what reaches the engine, and what is refused before."""
import json
import os

from cases_luaunit import HEAD, eq
from cases_vm import SIM, all_pass, one

CONFIG = HEAD + """
local config = require "vmtest.config"
function encode(o) print(config.encode(config.check("vmtest.vm", o), "web")) end
function refused(o) local _, err = pcall(encode, o) print(err) end
"""


def encoded(b, *options, **job):
    r = b.run(CONFIG + "".join(f"encode({o})\n" for o in options) + "function testA() end", **job)
    eq(r.code, 0)
    return [json.loads(line) for line in r.output().splitlines()]


def test_what_reaches_the_engine(b):
    folder = os.path.realpath(b.folder)
    found = encoded(
        b, """{ image = "small", name = "n", memory = "1G", cpus = 2, accel = "tcg", channel = "agent",
             screen = true, vnc = false, boot_timeout = "9m", start = false }""",
        '{ image = "a", forwards = { 80, { guest = 22, host = 2222 } } }',
        """{ image = "a", disks = { { name = "data", bus = "nvme", size = "1G" },
             { name = "old", path = "old.qcow2", format = "qcow2", read_only = true, direct = true },
             { name = "far", url = "nbd://host/x" } } }""",
        '{ image = "a", nics = { "nat", { kind = "isolated", network = "lab", mac = "52:54:00:00:00:01" } } }',
        '{ image = "a", nics = false }', '{ image = "a", nics = {} }', '{ image = "a", disks = {} }',
        '{ image = "a", shares = { { name = "src", path = "./sub", read_only = true }, { name = "r", path = "/" } } }',
        """{ driver = "ssh", ssh = { host = "mac", port = 2222, user = "admin", key = "id", password_file = "/p",
             host_key = "ssh-ed25519 AAAA" } }""",
        '{ driver = "sim", image = "a", sim = { boot_seconds = 1, without = { "pause" } } }',
        """{ driver = "vz", image = "a", vz = { rosetta = true, nested = true, screen = { width = 1920, height = 1200 },
             vmnet = "host", disk_sync = "none" } }""")
    eq(found, [
        {"name": "web", "image": "small", "memory": 1 << 30, "cpus": 2, "accel": "tcg",
         "channel": "agent", "screen": True, "vnc": False},
        {"name": "web", "image": "a", "forwards": [{"guest": 80}, {"guest": 22, "host": 2222}]},
        {"name": "web", "image": "a", "disks": [
            {"name": "data", "bus": "nvme", "size": 1 << 30},
            {"name": "old", "path": folder + "/old.qcow2", "format": "qcow2", "read_only": True,
             "direct": True},
            {"name": "far", "url": "nbd://host/x"}]},
        {"name": "web", "image": "a", "nics": [
            {"kind": "nat"}, {"kind": "isolated", "network": "lab", "mac": "52:54:00:00:00:01"}]},
        {"name": "web", "image": "a", "nics": []},
        {"name": "web", "image": "a", "nics": []},
        {"name": "web", "image": "a", "disks": []},
        {"name": "web", "image": "a", "shares": [
            {"name": "src", "path": folder + "/sub", "read_only": True}, {"name": "r", "path": "/"}]},
        {"name": "web", "driver": "ssh", "ssh": {
            "host": "mac", "port": 2222, "user": "admin", "key": folder + "/id",
            "password_file": "/p", "host_key": "ssh-ed25519 AAAA"}},
        {"name": "web", "driver": "sim", "sim": {"boot_seconds": 1, "without": ["pause"]}},
        {"name": "web", "driver": "vz", "image": "a", "vz": {
            "rosetta": True, "nested": True, "screen": {"width": 1920, "height": 1200}, "vmnet": "host",
            "disk_sync": "none"}},
    ])


def test_defaults_of_the_run(b):
    eq(encoded(b, '{ image = "a" }', '{ image = "a", driver = "qemu", channel = "qga" }', "{ driver = 'sim' }",
               driver="other", channel="ssh"),
       [{"name": "web", "image": "a", "driver": "other", "channel": "ssh"},
        {"name": "web", "image": "a", "driver": "qemu", "channel": "qga"},
        {"name": "web", "driver": "sim"}])
    all_pass(b.run(HEAD + """
TestA = vmtest.class { image = "not needed by it" }
function TestA:test1() lu.assertEquals(self.vm:info().driver, "sim") end
""", driver="sim"))


def test_dry_run_simulates_everything(b):
    for found in encoded(b, '{ image = "a", disks = { { name = "d", size = "1G" } } }',
                         '{ driver = "ssh", ssh = { host = "x" } }', dry_run=True):
        eq((found["driver"], found["sim"]), ("sim", {"dry_run": True}))
        assert "ssh" not in found and "image" not in found


def test_what_is_refused(b):
    cases = {
        '{ image = "a", nisc = false }': "did you mean 'nics'?",
        '{ image = "a", channel = "shh" }': "did you mean 'ssh'?",
        '{ image = "a", accel = "kmv" }': "did you mean 'kvm'?",
        '{ image = "a", disks = { name = "x" } }': "is to be a list of disks",
        '{ image = "a", disks = { { size = 1 } } }': "needs a 'name' for its member 1",
        '{ image = "a", disks = { { name = "d", sice = "1G" } } }': "did you mean 'size'?",
        '{ image = "a", disks = { { name = "d", bus = "nmve" } } }': "did you mean 'nvme'?",
        '{ image = "a", disks = { { name = "d", size = 0 } } }': "at least 1 byte",
        '{ image = "a", disks = { { name = "d", path = "" } } }': "is to be a path",
        '{ image = "a", nics = true }': "is to be a list of",
        '{ image = "a", nics = { "nta" } }': "did you mean 'nat'?",
        '{ image = "a", nics = { "nat", x = 1 } }': "is to be a list of",
        '{ image = "a", nics = { { kind = "bridged", netwrok = "x" } } }': "did you mean 'network'?",
        '{ image = "a", nics = { 3 } }': "is to be a list of",
        '{ image = "a", shares = { { name = "a" } } }': "needs a 'path' for its member 1",
        '{ image = "a", shares = { { name = "a", path = "/", readonly = true } } }':
            "did you mean 'read_only'?",
        '{ image = "a", screen = 1 }': "is to be a boolean",
        '{ driver = "ssh" }': "needs to know its host",
        '{ driver = "ssh", ssh = {} }': "needs a 'host'",
        '{ driver = "ssh", ssh = { host = "x", pasword_file = "x" } }': "did you mean 'password_file'?",
        '{ driver = "ssh", ssh = { host = "x", port = 70000 } }': "has a port that is none",
        '{ image = "a", ssh = { host = "x" } }': 'for driver = "ssh" alone',
        '{ image = "a", vz = {} }': 'for driver = "vz" alone',
        '{ driver = "vz", image = "a", vz = { roseta = true } }': "did you mean 'rosetta'?",
        '{ driver = "vz", image = "a", vz = { rosetta = 7 } }': "is to be text",
        '{ driver = "vz", image = "a", vz = { screen = { widht = 7 } } }': "did you mean 'width'?",
        '{ driver = "vz", image = "a", vz = { vmnet = { mode = "hots" } } }': "did you mean 'host'?",
        '{ snapshot = "x", memory = "1G" }': "option 'memory' cannot be changed",
        '{ snapshot = "x", image = "a" }': "option 'image' cannot be changed",
    }
    r = b.run(CONFIG + "".join(f"refused({c})\n" for c in cases) + "function testA() end")
    shown = [line for line in r.output().splitlines() if not line.startswith("hint: ")]
    eq(len(shown), len(cases))
    for (case, part), line in zip(cases.items(), shown):
        assert part in line, (case, part, line)


def test_the_engine_has_the_last_word(b):
    """What the face passes on, the engine checks: its error is the suite's."""
    cases = {
        'disks = { { name = "d", size = "1G", path = "/x" } }': 'exactly one of "size", "path" and "url"',
        'disks = { { name = "d", size = "1G" }, { name = "d", size = "1G" } }': 'two disks are called "d"',
        'nics = { { kind = "isolated" } }': 'needs the name of its "network"',
        'shares = { { name = "a", path = "/" }, { name = "a", path = "/" } }': 'two shares are called "a"',
        'forwards = { 80 }, nics = false': "a forward needs an interface with NAT",
        'memory = "1M"': "too few",
    }
    r = b.run(HEAD + "".join(f"""
function test{i}() vmtest.vm {{ driver = "sim", {case} }} end""" for i, case in enumerate(cases)))
    eq(len(r.of("test_end")), len(cases))
    for i, part in enumerate(cases.values()):
        message = r.test(f"test{i}")["message"]
        assert part in message and message.startswith("suite.lua:"), message


# ---- snapshots by hand ----

def test_snapshots(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim(), reset = "class" }
local function names(list) local t = {} for i, s in ipairs(list) do t[i] = s.name end return table.concat(t, " ") end
function TestA:test1()
  local vm = self.vm
  lu.assertTrue(vm:supports("snapshot"))
  vm:write("/tmp/x", "1")
  local dir = vm:snapshot("one")
  vm:write("/tmp/x", "2")
  vm:snapshot("two", { timeout = "1m" })
  vm:write("/tmp/x", "3")
  lu.assertEquals(vm:restore("one"), vm)
  lu.assertEquals(vm:read("/tmp/x"), "1")
  vm:restore("two")
  lu.assertEquals(vm:read("/tmp/x"), "2")
  vm:snapshot("three")
  vm:restore(dir, { timeout = "1m" })
  lu.assertEquals(vm:read("/tmp/x"), "1")
  local list = vm:snapshots()
  lu.assertEquals(names(list), "one two three")
  lu.assertEquals({ list[1].parent, list[2].parent, list[3].parent }, { nil, "one", "two" })
  lu.assertEquals({ list[1].memory, list[1].dir, list[1].vm }, { true, dir, "testa" })
  lu.assertStrMatches(list[1].created, "%d+%-%d+%-%d+T.*")
  lu.assertEquals(math.type(list[1].bytes), "integer")
  vm:remove_snapshot("one")
  lu.assertEquals(names(vm:snapshots()), "two three")
  local ok, err = pcall(vm.restore, vm, "one")
  lu.assertEquals({ ok, err.code }, { false, "not_found" })
  ok, err = pcall(vm.snapshot, vm, "two")
  lu.assertEquals({ ok, err.code, err.vm }, { false, "busy", "testa" })
  ok, err = pcall(vm.snapshot, vm, "a/b")
  lu.assertEquals({ ok, err.code }, { false, "invalid" })
  ok, err = pcall(vm.restore, vm)
  lu.assertEquals({ ok, err.code }, { false, "invalid" })
end
""", env={"VMTEST_HOME": b.folder + "/home"})
    all_pass(r)
    done = [(e["op"], e.get("command"), "error" in e) for e in r.of("op")]
    for op in (("snapshot", "one", False), ("restore", "two", False), ("remove_snapshot", "one", False)):
        assert op in done, (op, done)
    with open(os.path.join(b.folder, "results", "testa", "transcript.txt"), encoding="utf-8") as file:
        text = file.read()
    assert "snapshot one: done after" in text and "remove_snapshot one: done" in text, text


def test_kept_snapshot_is_used_by_a_later_run(b):
    home = {"VMTEST_HOME": b.folder + "/home"}
    all_pass(b.run(SIM + """
function testA()
  local vm = vmtest.vm { driver = "sim", sim = { latency = 0.25 } }
  vm:write("/tmp/x", "kept")
  vm:snapshot("golden", { keep = true })
  lu.assertEquals(#vm:snapshots(), 0)
  lu.assertEquals(vm:snapshots{ kept = true }[1].name, "golden")
  vm:write("/tmp/x", "later")
  lu.assertEquals(vm:restore("golden"):read("/tmp/x"), "kept")
end
""", env=home))
    eq(os.listdir(b.folder + "/home/snapshots"), ["golden"])
    all_pass(b.run(SIM + """
TestA = vmtest.class { vm = { snapshot = "golden" } }
function TestA:test1() lu.assertEquals(self.vm:read("/tmp/x"), "kept") self.vm:write("/tmp/x", "1") end
function TestA:test2() lu.assertEquals(self.vm:read("/tmp/x"), "kept") end
TestB = vmtest.class { vm = { snapshot = "%s", name = "b" } }
function TestB:test1() lu.assertEquals({ self.vm:read("/tmp/x"), self.vm.name }, { "kept", "b" }) end
function testRemove() vmtest.vm { snapshot = "golden" }:remove_snapshot("golden") end
""" % (b.folder + "/home/snapshots/golden"), env=home))
    eq(os.listdir(b.folder + "/home/snapshots"), [])
    r = b.run(SIM + 'function testA() vmtest.vm { snapshot = "golden" } end', env=home)
    assert "there is no snapshot" in one(r)["message"], one(r)
    eq(r.code, 3)


def test_clone(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = { driver = "sim" } }
function TestA:test1()
  local vm = self.vm
  vm:write("/tmp/x", "1")
  local one, two = vm:clone(), vm:clone { name = "twin", timeout = "1m" }
  lu.assertEquals({ one.name, two.name, vm.name }, { "testa-2", "twin", "testa" })
  one:write("/tmp/x", "2")
  lu.assertEquals({ vm:read("/tmp/x"), one:read("/tmp/x"), two:read("/tmp/x") }, { "1", "2", "1" })
  local ok, err = pcall(vm.clone, vm, { nmae = "x" })
  lu.assertStrContains(tostring(err), "did you mean 'name'?")
end
function TestA:test2()
  self.vm:write("/tmp/x", "1")
  local twin = self.vm:stop():clone()
  lu.assertEquals(twin:state(), "stopped")
  lu.assertEquals(twin:start():read("/tmp/x"), "1")
end
""", env={"VMTEST_HOME": b.folder + "/home"})
    all_pass(r)
    eq(os.listdir(os.path.join(b.folder, "scratch")), [])


# ---- devices ----

def test_what_a_vm_cannot_do(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim(), reset = "class" }
local calls = { screenshot = {}, send_keys = { "a", "ctrl-alt-f1" }, type = { "x" },
  share = { { name = "a", path = "/" } }, unshare = { "a" }, resize_disk = { "disk0", "2G" },
  attach_disk = { { name = "a", size = "1M" } }, detach_disk = { "a" } }
for name, args in pairs(calls) do
  TestA["test_" .. name] = function(self)
    local ok, err = pcall(self.vm[name], self.vm, table.unpack(args))
    lu.assertEquals({ ok, err.code, err.vm }, { false, "unsupported", "testa" })
    lu.assertStrContains(err.where, "suite.lua")
  end
end
function TestA:test_console_write()
  local ok, err = pcall(function() self.vm:console():write("x") end)
  lu.assertEquals({ ok, err.code }, { false, "unsupported" })
end
function TestA:test_mount_share()
  local ok, err = pcall(self.vm.mount_share, self.vm, "src", "/mnt")
  lu.assertEquals({ ok, err.code }, { false, "not_found" })
end
""")
    all_pass(r)


def test_wrong_arguments(b):
    cases = {
        "vm:screenshot(3)": "is to be a path", "vm:send_keys()": "it needs keys",
        "vm:send_keys('a', 3)": "key 2", "vm:type(3)": "is to be a string",
        "vm:share { name = 'a' }": "a share needs a 'path'",
        "vm:share { nam = 'a' }": "did you mean 'name'?", "vm:unshare()": "the name of a share",
        "vm:mount_share('a', 'b')": "absolute path", "vm:resize_disk('a', 'b')": "is no size",
        "vm:attach_disk { size = '1M' }": "a disk needs a 'name'", "vm:detach_disk('')": "the name of a disk",
        "vm:attach_disk { name = 'a' }": "either a 'size' or a 'path'",
        "vm:attach_disk { name = 'a', size = '1M', path = '/a' }": "either a 'size' or a 'path'",
        "vm:attach_disk { name = 'a', path = '/a', format = 'vhd' }": "raw",
        "vm:resize_disk(nil, 1)": "the name of a disk", "vm:console():expect()": "is to be a string",
        "vm:console():expect('')": "not to be empty", "vm:console():expect('(')": "no Lua pattern",
        "vm:console():expect('x', 'y')": "is no duration",
        "vm:console():expect('x', 1, { plian = true })": "did you mean 'plain'?",
        "vm:console():write(3)": "is to be a string", "vm:snapshot()": "a snapshot's name",
        "vm:snapshot('a', { kep = true })": "did you mean 'keep'?", "vm:restore('')": "it needs a snapshot",
        "vm:snapshots { kpet = true }": "did you mean 'kept'?", "vm:remove_snapshot(3)": "it needs a snapshot",
        "vm:supports('snapshto')": "did you mean 'snapshot'?", "vm:snapshto()": "did you mean 'snapshot'?",
    }
    r = b.run(SIM + "function testA() local vm = vmtest.vm { driver = 'sim' }\n" + "".join(
        f"do local ok, err = pcall(function() {call} end) print(ok, err.code, tostring(err):match('[^\\n]*')) end\n"
        for call in cases) + "end")
    all_pass(r)
    for (call, part), line in zip(cases.items(), r.output().splitlines()):
        ok, code, text = line.split("\t", 2)
        assert (ok, code) == ("false", "invalid") and part in text, (call, line)


def test_capabilities_are_the_engines(b):
    r = b.run(SIM + """
function testA()
  local vm = vmtest.vm { driver = "sim" }
  local names = 0
  for _, name in ipairs { "start", "stop", "kill", "pause", "reset", "console", "console_write", "exec", "files",
      "snapshot", "screenshot", "keys", "vnc", "disks", "nbd", "resize_disk", "hot_disk", "shares", "hot_share", "nat", "forward",
      "isolated", "bridged", "no_network" } do
    local can, why = vm:supports(name)
    lu.assertEquals(type(can), "boolean")
    if not can then lu.assertEquals(type(why), "string") end
  end
end
""")
    all_pass(r)


def test_console(b):
    r = b.run(SIM + """
TestA = vmtest.class { vm = sim(), reset = "class" }
function TestA:test1()
  local console = self.vm:console()
  local match, word = console:expect("(boot)ing")
  lu.assertEquals({ match, word }, { "booting", "boot" })
  lu.assertStrContains(console:text(), "booting")
  lu.assertIs(self.vm:console(), console)
  local t0 = vmtest.time()
  local ok, err = pcall(console.expect, console, "booting", "5s")
  lu.assertEquals({ ok, err.code, err.vm }, { false, "timeout", "testa" })
  lu.assertStrContains(err.message, "did not say `booting` within 5.0s")
  lu.assertAlmostEquals(vmtest.time() - t0, 5, 0.5)
  vmtest.parallel(function() console:expect("booting", "1m", { plain = true }) end,
    function() vmtest.sleep(10) self.vm:reboot() end)
end
function TestA:test2()
  local console = self.vm:console()
  self.vm:destroy()
  local ok, err = pcall(console.expect, console, "x")
  lu.assertEquals({ ok, err.code }, { false, "state" })
end
function TestA:test3() self.vm:console():expect("never", "1h") end
""", test_timeout=100.0)
    eq(r.outcomes(), {"TestA.test1": "passed", "TestA.test2": "passed", "TestA.test3": "timed_out"})
    said = [e for e in r.of("op") if e["op"] == "console_expect"]
    eq([(e["command"], "error" in e) for e in said], [("(boot)ing", False), ("booting", True), ("booting", False)])
