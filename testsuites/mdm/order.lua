-- Conflict and order: two profiles set the same key. What only one of them sets is there in whatever
-- order they come; of the key they share one value is there, and it is the other's when one is removed.
local lu = require "luaunit"
local vmtest = require "vmtest"

local IMAGE = os.getenv "VMTEST_IMAGE" or "device"

vmtest.fixture("enrolled", { from = IMAGE }, function(vm) vm:enroll() end)

TestOrder = vmtest.class { fixture = "enrolled", needs = "mdm" }

function TestOrder:setUp() self.device = self.vm:enroll() end -- it is enrolled: gives the device

local PROFILES = {
  ["org.example.settings"] = { file = "profiles/custom-settings.mobileconfig", level = 7 },
  ["org.example.other"] = { file = "profiles/custom-settings-other.mobileconfig", level = 9 },
}

function TestOrder:testEveryOrder()
  for _, order in ipairs(vmtest.permutations { "org.example.settings", "org.example.other" }) do
    for _, name in ipairs(order) do self.device:install_profile(PROFILES[name].file) end
    self.vm:assert_managed("org.example.app", "Server", "files.example.org")
    self.vm:assert_managed("org.example.app", "Color", "blue")
    local level = self.vm:assert_managed("org.example.app", "Level")
    lu.assertTrue(level == 7 or level == 9, "Level is " .. tostring(level))
    self.device:remove_profile(order[1])
    self.vm:assert_managed("org.example.app", "Level", PROFILES[order[2]].level)
    self.device:remove_profile(order[2])
    self.vm:assert_not_managed "org.example.app"
  end
end
