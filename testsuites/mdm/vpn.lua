-- VPN: what lies behind an IKEv2 gateway is reached with the profile, and not without it: a gateway beside
-- the guest, and one that is a second guest. (Mac: the profile is installed and listed; both gateways are
-- the stand-in's own.)
local lu = require "luaunit"
local vmtest = require "vmtest"

local IMAGE = os.getenv "VMTEST_IMAGE" or "device"

vmtest.fixture("enrolled", { from = IMAGE }, function(vm) vm:enroll() end)

TestVpn = vmtest.class { fixture = "enrolled", needs = "mdm" }

function TestVpn:setUp() self.device = self.vm:enroll() end -- it is enrolled: gives the device

local GATEWAY = "/usr/lib/vmtest-device/fixtures/vpn-gateway "
local BEHIND = "ping -c 1 -W 2 10.99.0.1"

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

local NETWORKS = { "nat", { kind = "isolated", network = "lab" } }

TestVpnOfAnotherGuest = vmtest.class { image = IMAGE, needs = "mdm", vm = { nics = NETWORKS } }

function TestVpnOfAnotherGuest:testTunnel()
  if self.vm:exec({ "test", "-x", GATEWAY:match("%S+") }).status ~= 0 then vmtest.skip "there is no gateway for it" end
  local gateway = vmtest.vm { image = IMAGE, name = "gateway", nics = NETWORKS }
  gateway:sh(GATEWAY .. "serve 'correct horse'", { timeout = "60s" })
  self.vm:sh "ip route add unreachable 10.99.0.0/24" -- but by the tunnel, whose routes come first
  local device = self.vm:enroll()
  device:install_profile "profiles/vpn-guest.mobileconfig" -- its gateway is "gateway", by the network "lab"
  self.vm:wait_until { cmd = BEHIND, timeout = "60s" }
  lu.assertStrContains(gateway:sh("swanctl --list-sas --uri unix:///run/vmtest-device/vpn/vici").stdout, "ESTABLISHED")
  device:remove_profile "org.example.vpn-guest"
  lu.assertNotEquals(self.vm:exec(BEHIND).status, 0)
end
