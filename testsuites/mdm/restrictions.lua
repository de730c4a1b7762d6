-- Restrictions, deferral of software updates, system extensions and allowed applications: the device takes
-- the profile and shows the settings as managed. Whether they are enforced is macOS's affair: the
-- stand-in enforces the deferral alone, and says of the others that they are only stored.
local lu = require "luaunit"
local vmtest = require "vmtest"

local IMAGE = os.getenv "VMTEST_IMAGE" or "device"

vmtest.fixture("enrolled", { from = IMAGE }, function(vm) vm:enroll() end)

TestRestrictions = vmtest.class { fixture = "enrolled", needs = "mdm" }

function TestRestrictions:setUp() self.device = self.vm:enroll() end -- it is enrolled: gives the device

function TestRestrictions:testRestrictions()
  self.device:install_profile "profiles/restrictions.mobileconfig"
  self.vm:assert_managed("com.apple.applicationaccess", "allowCamera", false)
  self.device:remove_profile "org.example.restrictions"
  self.vm:assert_not_managed "com.apple.applicationaccess"
end

function TestRestrictions:testUpdateDeferral()
  self.device:install_profile "profiles/update-deferral.mobileconfig"
  self.vm:assert_managed("com.apple.applicationaccess", "enforcedSoftwareUpdateDelay", 30)
  self.vm:assert_effective "com.apple.applicationaccess"
  self.device:remove_profile "org.example.deferral"
  self.vm:assert_not_managed "com.apple.applicationaccess"
end

-- Stored on the stand-in, not enforced: what the device itself reports is asserted.
function TestRestrictions:testSystemExtensions()
  self.device:install_profile "profiles/system-extensions.mobileconfig"
  self.vm:assert_profile_installed "org.example.extensions"
  self.vm:assert_managed("com.apple.system-extension-policy", "AllowUserOverrides", false)
  local found
  for _, p in ipairs(self.device:profiles()) do found = found or p.PayloadIdentifier == "org.example.extensions" end
  lu.assertTrue(found)
end

function TestRestrictions:testAllowedApplications()
  self.device:install_profile "profiles/allowed-applications.mobileconfig"
  self.vm:assert_managed("com.apple.applicationaccess.new", "familyControlsEnabled", true)
end
