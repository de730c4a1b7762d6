-- The life of a VM: states, and what may be done in which.
local lu = require "luaunit"
local contract = require "contract"

TestLifecycle = contract.class()

function TestLifecycle:testRunsWhenGiven()
  lu.assertEquals(self.vm:state(), "running")
  lu.assertTrue(self.vm:is_alive())
  lu.assertEquals(self.vm:info().driver, os.getenv "CONTRACT_DRIVER" or "sim")
  lu.assertTrue(self.vm:scale() >= 1)
end

TestLifecycle.testPause = contract.stated("pause", function(self) self.vm:pause() end, function(self)
  self.vm:write(self.dir .. "/f", "kept")
  self.vm:pause()
  lu.assertEquals(self.vm:state(), "paused")
  local err = contract.raises("timeout", self.vm.exec, self.vm, "true", { timeout = "2s" })
  lu.assertStrContains(err.message, "paused")
  contract.raises("state", self.vm.pause, self.vm)
  self.vm:resume()
  lu.assertEquals(self.vm:state(), "running")
  lu.assertEquals(self.vm:read(self.dir .. "/f"), "kept")
end)

TestLifecycle.testStopAndStart = contract.stated("stop", function(self) self.vm:stop() end, function(self)
  self.vm:stop()
  lu.assertEquals(self.vm:state(), "stopped")
  contract.raises("state", self.vm.exec, self.vm, "true")
  contract.raises("state", self.vm.stop, self.vm)
  self.vm:start()
  lu.assertEquals(self.vm:exec("echo again").stdout, "again\n")
end)

TestLifecycle.testKill = contract.stated("kill", function(self) self.vm:kill() end, function(self)
  self.vm:kill()
  lu.assertEquals(self.vm:state(), "stopped")
  self.vm:start()
  lu.assertEquals(self.vm:state(), "running")
end)

TestLifecycle.testGuestPowersOff = contract.stated("stop", function(self) self.vm:stop() end, function(self)
  pcall(self.vm.exec, self.vm, "poweroff") -- the guest may be gone before it answers
  self.vm:wait_stopped()
  local state, reason = self.vm:state()
  lu.assertEquals(state, "stopped")
  lu.assertIsString(reason)
  self.vm:start()
end)

TestLifecycle.testReset = contract.stated("reset", function(self) self.vm:reboot { hard = true } end,
  function(self)
    self.vm:reboot { hard = true }
    lu.assertEquals(self.vm:exec("echo up").stdout, "up\n")
  end)

TestLifecycle.testConsole = contract.stated("console", function(self) self.vm:console_tail() end,
  function(self) lu.assertTrue(#self.vm:console_tail(100) > 0) end)

function TestLifecycle:testUnknownCapability()
  local err = contract.raises("invalid", self.vm.supports, self.vm, "snapshots")
  lu.assertStrContains(err.message, "snapshot")
end

os.exit(lu.LuaUnit.run())
