-- Firewall: with the profile, stealth mode is in effect; its removal ends it. On Linux, a neighbour's
-- ping, which was answered, is not while the profile is there.
local lu = require "luaunit"
local vmtest = require "vmtest"

local IMAGE = os.getenv "VMTEST_IMAGE" or "device"

vmtest.fixture("enrolled", { from = IMAGE }, function(vm) vm:enroll() end)

TestFirewall = vmtest.class { fixture = "enrolled", needs = "mdm" }

function TestFirewall:setUp() self.device = self.vm:enroll() end -- it is enrolled: gives the device

local NEIGHBOUR = [[ip netns add peer && ip link add v0 type veth peer name v1 netns peer
ip addr add 10.9.9.1/24 dev v0 && ip link set v0 up
ip -n peer addr add 10.9.9.2/24 dev v1 && ip -n peer link set v1 up]]

local function answers(vm) return vm:exec("ip netns exec peer ping -c 1 -W 2 10.9.9.1").status == 0 end

function TestFirewall:testStealth()
  local linux = self.vm:exec("uname -s").stdout == "Linux\n"
  if linux then
    self.vm:sh(NEIGHBOUR)
    lu.assertTrue(answers(self.vm))
  end
  self.device:install_profile "profiles/firewall.mobileconfig"
  self.vm:assert_effective "com.apple.security.firewall"
  if linux then lu.assertFalse(answers(self.vm)) end
  self.device:remove_profile "org.example.firewall"
  self.vm:assert_profile_not_installed "org.example.firewall"
  if linux then lu.assertTrue(answers(self.vm)) end
end
