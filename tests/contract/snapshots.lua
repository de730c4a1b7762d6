-- Snapshots of a VM: what a restore brings back, and what it must not leave behind.
local lu = require "luaunit"
local vmtest = require "vmtest"
local contract = require "contract"

TestSnapshots = contract.class()

local function stated(behaves)
  return contract.stated("snapshot", function(self) self.vm:snapshot("refused") end, behaves)
end

local function names(vm)
  local list = {}
  for i, snapshot in ipairs(vm:snapshots()) do list[i] = snapshot.name end
  table.sort(list)
  return list
end

function TestSnapshots:tearDown()
  if not self.vm or not self.vm:is_alive() or not self.vm:supports("snapshot") then return end
  for _, name in ipairs(names(self.vm)) do self.vm:remove_snapshot(name) end
end

TestSnapshots.testFilesAndMemory = stated(function(self)
  self.vm:write(self.dir .. "/f", "before")
  self.vm:snapshot("clean")
  lu.assertEquals(self.vm:read(self.dir .. "/f"), "before") -- the VM went on
  self.vm:write(self.dir .. "/f", "after")
  self.vm:write(self.dir .. "/new", "x")
  self.vm:restore("clean")
  lu.assertEquals(self.vm:state(), "running")
  lu.assertEquals(self.vm:read(self.dir .. "/f"), "before")
  contract.raises("not_found", self.vm.read, self.vm, self.dir .. "/new")
end)

TestSnapshots.testAsOftenAsWanted = stated(function(self)
  self.vm:snapshot("clean")
  for i = 1, 3 do
    self.vm:write(self.dir .. "/f" .. i, "x")
    self.vm:restore("clean")
    lu.assertEquals(self.vm:exec({ "ls", self.dir }).stdout, "")
  end
end)

TestSnapshots.testTree = stated(function(self)
  self.vm:write(self.dir .. "/f", "1")
  self.vm:snapshot("one")
  self.vm:write(self.dir .. "/f", "2")
  self.vm:snapshot("two")
  self.vm:restore("one")
  self.vm:write(self.dir .. "/f", "3")
  self.vm:snapshot("three")
  lu.assertEquals(names(self.vm), { "one", "three", "two" })
  for name, text in pairs { two = "2", three = "3", one = "1" } do
    self.vm:restore(name)
    lu.assertEquals(self.vm:read(self.dir .. "/f"), text)
  end
  local parents = {}
  for _, snapshot in ipairs(self.vm:snapshots()) do parents[snapshot.name] = snapshot.parent or "-" end
  lu.assertEquals(parents, { one = "-", two = "one", three = "one" })
end)

TestSnapshots.testRemoved = stated(function(self)
  self.vm:snapshot("one")
  self.vm:snapshot("two")
  self.vm:remove_snapshot("one")
  lu.assertEquals(names(self.vm), { "two" })
  contract.raises("not_found", self.vm.restore, self.vm, "one")
  self.vm:restore("two")
  lu.assertEquals(self.vm:exec("echo up").stdout, "up\n")
end)

TestSnapshots.testNames = stated(function(self)
  self.vm:snapshot("taken")
  contract.raises("busy", self.vm.snapshot, self.vm, "taken")
  contract.raises("invalid", self.vm.snapshot, self.vm, "no/name")
  contract.raises("not_found", self.vm.restore, self.vm, "none")
end)

TestSnapshots.testAfterTheVmEnded = stated(function(self)
  self.vm:write(self.dir .. "/f", "before")
  self.vm:snapshot("clean")
  self.vm:kill()
  self.vm:restore("clean")
  lu.assertEquals(self.vm:state(), "running")
  lu.assertEquals(self.vm:read(self.dir .. "/f"), "before")
end)

local function go_back_after_a_while(vm)
  vm:snapshot("clean")
  vmtest.sleep(3)
  vm:restore("clean")
end

local function expect_clock_right(vm)
  local before = os.time()
  local guest = tonumber(vm:sh("busybox date +%s").stdout)
  lu.assertTrue(guest >= before - 2 and guest <= os.time() + 2, guest - before)
end

TestSnapshots.testClockAfterRestore = stated(function(self)
  if self.vm:info().simulated then vmtest.skip("its clock is virtual") end
  go_back_after_a_while(self.vm)
  expect_clock_right(self.vm)
end)

-- Told by a command that begins late, the guest's clock is late by as much.
TestSnapshots.testClockOfASlowGuest = stated(function(self)
  if self.vm:info().simulated then vmtest.skip("its clock is virtual") end
  self.vm:write("/tmp/sh", [[#!/bin/busybox sh
[ $(busybox wc -c < /tmp/calls) -ge 3 ] || { printf x >> /tmp/calls; busybox sleep 4; }
exec busybox sh "$@"
]], { mode = "755" })
  self.vm:sh("touch /tmp/calls; mv /bin/sh /tmp/sh.kept; mv /tmp/sh /bin/sh")
  go_back_after_a_while(self.vm)
  for _ = 1, 3 do self.vm:sh("true") end -- from here on none is late
  expect_clock_right(self.vm)
  self.vm:sh("mv /tmp/sh.kept /bin/sh")
end)

TestSnapshots.testRandomnessAfterRestore = stated(function(self)
  if self.vm:info().simulated then vmtest.skip("it has no random pool") end
  if not contract.seeded_at_once then
    vmtest.skip("this guest has nothing that has its kernel take up a new seed at once")
  end
  local seen = {}
  self.vm:snapshot("clean")
  for _ = 1, 4 do
    local bytes = self.vm:sh("head -c 16 /dev/urandom | od -An -tx1").stdout
    lu.assertNil(seen[bytes], bytes)
    seen[bytes] = true
    self.vm:restore("clean")
  end
end)

TestSnapshots.testCommandUnderWayEnds = stated(function(self)
  self.vm:snapshot("clean")
  local _, err = vmtest.parallel(
    function() return pcall(self.vm.exec, self.vm, "sleep 100") end,
    function()
      vmtest.sleep(1)
      self.vm:restore("clean")
    end)
  lu.assertEquals(self.vm:exec("echo up").stdout, "up\n")
end)

TestSnapshots.testClone = contract.stated("copy", function(self) self.vm:clone() end, function(self)
  self.vm:write(self.dir .. "/f", "shared")
  local clone <close> = self.vm:clone()
  lu.assertEquals(clone:read(self.dir .. "/f"), "shared")
  clone:write(self.dir .. "/f", "its own")
  lu.assertEquals(self.vm:read(self.dir .. "/f"), "shared")
end)

os.exit(lu.LuaUnit.run())
