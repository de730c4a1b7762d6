-- NotNow: a device that is busy is asked again and installs the profile when it can; one that stays busy
-- is told in the error; one that answers Error shows its ErrorChain. (Mac: skipped, it cannot be told to.)
local lu = require "luaunit"
local vmtest = require "vmtest"

local IMAGE = os.getenv "VMTEST_IMAGE" or "device"

vmtest.fixture("enrolled", { from = IMAGE }, function(vm) vm:enroll() end)

TestNotNow = vmtest.class { fixture = "enrolled", needs = "mdm" }

function TestNotNow:setUp() self.device = self.vm:enroll() end -- it is enrolled: gives the device

function TestNotNow:testStaysBusy()
  if self.vm:exec("command -v sw_vers").status == 0 then vmtest.skip "a Mac cannot be told to be busy" end
  self.device:answer("not-now", "InstallProfile")
  local ok, err = pcall(self.device.install_profile, self.device, "profiles/custom-settings.mobileconfig", { timeout = "10s" })
  lu.assertFalse(ok)
  lu.assertStrContains(tostring(err), "NotNow")
  self.vm:assert_profile_not_installed "org.example.settings"
  self.device:answer("normal", "InstallProfile")
  self.device:install_profile "profiles/custom-settings.mobileconfig"
  self.vm:assert_managed("org.example.app", "Level", 7)
end

function TestNotNow:testError()
  if self.vm:exec("command -v sw_vers").status == 0 then vmtest.skip "a Mac cannot be told to fail" end
  self.device:answer("error", "InstallProfile")
  local ok, err = pcall(self.device.install_profile, self.device, "profiles/custom-settings.mobileconfig")
  lu.assertFalse(ok)
  lu.assertEquals(err.code, "mdm")
  lu.assertTrue(#err.error_chain > 0)
  self.vm:assert_profile_not_installed "org.example.settings"
end
