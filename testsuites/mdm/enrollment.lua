-- Enrollment: the device is reachable, and put back to a snapshot it checks in again: what was installed
-- after the snapshot is gone, and it takes profiles as before. One that gave its enrollment up, or could not
-- be enrolled, is told so and can be enrolled anew.
local lu = require "luaunit"
local vmtest = require "vmtest"

local IMAGE = os.getenv "VMTEST_IMAGE" or "device"

vmtest.fixture("enrolled", { from = IMAGE }, function(vm) vm:enroll() end)

TestEnrollment = vmtest.class { fixture = "enrolled", needs = "mdm" }

function TestEnrollment:setUp() self.device = self.vm:enroll() end -- it is enrolled: gives the device

function TestEnrollment:testState()
  local state = self.device:state()
  lu.assertEquals(state, "reachable")
end

function TestEnrollment:testRestore()
  local enrolled = self.vm:snapshot "before-the-profile"
  self.device:install_profile "profiles/custom-settings.mobileconfig"
  self.vm:restore(enrolled)
  self.vm:assert_profile_not_installed "org.example.settings"
  self.device:install_profile "profiles/custom-settings.mobileconfig"
  self.vm:assert_managed("org.example.app", "Level", 7)
end

function TestEnrollment:testUnenroll()
  self.device:unenroll()
  lu.assertNil(self.vm:device())
  lu.assertEquals((self.device:state()), "not_enrolled")
  self.vm:enroll():install_profile "profiles/custom-settings.mobileconfig"
  self.vm:assert_managed("org.example.app", "Level", 7)
end

-- At an address where there is no server.
function TestEnrollment:testFails()
  local ok, err = pcall(self.vm.enroll, self.vm, { again = true, address = "127.0.0.1" })
  lu.assertFalse(ok)
  lu.assertStrContains(tostring(err), "127.0.0.1")
  lu.assertNil(self.vm:device())
end
