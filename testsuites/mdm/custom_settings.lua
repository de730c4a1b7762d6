-- Custom settings: an application's keys that a profile delivers are in the managed layer with their
-- values and types, an update of the profile replaces them, and the removal takes them all away.
local lu = require "luaunit"
local vmtest = require "vmtest"

local IMAGE = os.getenv "VMTEST_IMAGE" or "device"

vmtest.fixture("enrolled", { from = IMAGE }, function(vm) vm:enroll() end)

TestCustomSettings = vmtest.class { fixture = "enrolled", needs = "mdm" }

function TestCustomSettings:setUp() self.device = self.vm:enroll() end -- it is enrolled: gives the device

function TestCustomSettings:testDelivered()
  self.device:install_profile "profiles/custom-settings.mobileconfig"
  self.vm:assert_profile_installed "org.example.settings"
  self.vm:assert_managed("org.example.app", "Level", 7)
  self.vm:assert_managed("org.example.app", "Server", "files.example.org")
  self.vm:assert_managed("org.example.app", "Offline", false)
  self.vm:assert_managed("org.example.app", "Paths", { "/a", "/b" })
end

-- Nothing that a profile set stays when it is gone.
function TestCustomSettings:testNoResidue()
  local before = self.vm:preferences_snapshot()
  self.device:install_profile "profiles/custom-settings.mobileconfig"
  lu.assertTrue(#before:diff(self.vm:preferences_snapshot()) > 0)
  self.device:remove_profile "org.example.settings"
  self.vm:assert_profile_not_installed "org.example.settings"
  self.vm:assert_not_managed "org.example.app"
  self.vm:assert_preferences_as(before)
end
