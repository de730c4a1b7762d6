-- A clean VM for each test, whatever the driver: by a restored snapshot, or by a boot.
local lu = require "luaunit"
local vmtest = require "vmtest"
local contract = require "contract"

if contract.can_be_put_back then
  TestClean = vmtest.class { vm = contract.vm(), timeout = "5m" }

  function TestClean:setUp()
    lu.assertEquals(self.vm:exec("test -e /tmp/touched").status, 1)
    self.vm:write("/tmp/touched", "x")
  end

  function TestClean:testOne() self.vm:write("/root/one", "x") end

  function TestClean:testTwo() lu.assertEquals(self.vm:exec("test -e /root/one").status, 1) end

  function TestClean:testThatEndsIt() if self.vm:supports("kill") then self.vm:kill() end end

  TestShared = vmtest.class { vm = contract.vm(), reset = "class", timeout = "5m" }

  function TestShared:test1Writes() self.vm:write("/root/kept", "x") end

  function TestShared:test2Finds() lu.assertEquals(self.vm:read("/root/kept"), "x") end

  local from = contract.vm { snapshot = true }
  from.from, from.image = from.image, nil
  vmtest.fixture("prepared", from,
    function(vm) vm:write("/root/prepared", "once") end)

  TestFixture = vmtest.class { fixture = "prepared", timeout = "5m" }

  function TestFixture:test1() self.vm:write("/root/prepared", "changed") end

  function TestFixture:test2() lu.assertEquals(self.vm:read("/root/prepared"), "once") end
else
  function testNeverReset()
    local ok, err = pcall(vmtest.class, { vm = contract.vm(), reset = "test" })
    lu.assertFalse(ok)
    lu.assertStrContains(tostring(err), "never")
  end
end

os.exit(lu.LuaUnit.run())
