-- Wi-Fi: with the profile the guest joins a WPA2 network on simulated radios, and leaves it when the
-- profile is gone. (Mac: a VM has no Wi-Fi; there the profile is installed and listed, and nothing joins.)
local lu = require "luaunit"
local vmtest = require "vmtest"

local IMAGE = os.getenv "VMTEST_IMAGE" or "device"

vmtest.fixture("enrolled", { from = IMAGE }, function(vm) vm:enroll() end)

TestWifi = vmtest.class { fixture = "enrolled", needs = "mdm" }

function TestWifi:setUp() self.device = self.vm:enroll() end -- it is enrolled: gives the device

local AP = "/usr/lib/vmtest-device/fixtures/wifi-ap "
local JOINED = "wpa_cli -i wlan0 status | grep -q wpa_state=COMPLETED"

function TestWifi:testJoins()
  local radios = self.vm:exec({ "test", "-x", "/usr/lib/vmtest-device/fixtures/wifi-ap" }).status == 0
  if radios then self.vm:sh(AP .. "start 'Lab net' 'correct horse'") end
  self.device:install_profile "profiles/wifi.mobileconfig"
  self.vm:assert_profile_installed "org.example.wifi"
  if radios then self.vm:wait_until { cmd = JOINED, timeout = "60s" } end
  self.device:remove_profile "org.example.wifi"
  self.vm:assert_profile_not_installed "org.example.wifi"
  if radios then self.vm:wait_until { cmd = "! " .. JOINED } end
end
