-- VPN: what lies behind an IKEv2 gateway is reached with the profile, and not without it. (Mac: the
-- profile is installed and listed; the gateway is the stand-in's own.)
local lu = require "luaunit"
local vmtest = require "vmtest"

local IMAGE = os.getenv "VMTEST_IMAGE" or "device"

vmtest.fixture("enrolled", { from = IMAGE }, function(vm) vm:enroll() end)

TestVpn = vmtest.class { fixture = "enrolled", needs = "mdm" }

function TestVpn:setUp() self.device = self.vm:enroll() end -- it is enrolled: gives the device

local GATEWAY = "/usr/lib/vmtest-device/fixtures/vpn-gateway "
local BEHIND = "ping -c 1 -W 2 10.77.0.1"

function TestVpn:testTunnel()
  local gateway = self.vm:exec({ "test", "-x", "/usr/lib/vmtest-device/fixtures/vpn-gateway" }).status == 0
  if gateway then
    self.vm:sh(GATEWAY .. "start 'correct horse'", { timeout = "60s" })
    lu.assertNotEquals(self.vm:exec(BEHIND).status, 0)
  end
  self.device:install_profile "profiles/vpn.mobileconfig"
  self.vm:assert_profile_installed "org.example.vpn"
  if gateway then self.vm:wait_until { cmd = BEHIND, timeout = "60s" } end
  self.device:remove_profile "org.example.vpn"
  if gateway then lu.assertNotEquals(self.vm:exec(BEHIND).status, 0) end
end
