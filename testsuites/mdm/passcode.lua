-- Passcode: the policy's profile is in effect, a password that is too weak is refused, a strong one is
-- taken, and without the profile the weak one is again. (Mac: the policy alone, no password is set.)
local lu = require "luaunit"
local vmtest = require "vmtest"

local IMAGE = os.getenv "VMTEST_IMAGE" or "device"

vmtest.fixture("enrolled", { from = IMAGE }, function(vm) vm:enroll() end)

TestPasscode = vmtest.class { fixture = "enrolled", needs = "mdm" }

function TestPasscode:setUp() self.device = self.vm:enroll() end -- it is enrolled: gives the device

local function takes(vm, word) return vm:exec("printf 'alice:" .. word .. "\\n' | chpasswd").status == 0 end

function TestPasscode:testPolicy()
  self.device:install_profile "profiles/passcode.mobileconfig"
  self.vm:assert_effective "com.apple.mobiledevice.passwordpolicy"
  self.vm:assert_managed("com.apple.mobiledevice.passwordpolicy", "minLength", 10)
end

function TestPasscode:testPasswords()
  if self.vm:exec("command -v chpasswd").status ~= 0 then vmtest.skip "passwords are set by chpasswd here" end
  self.vm:sh "useradd -m alice"
  lu.assertTrue(takes(self.vm, "abcd"))
  self.device:install_profile "profiles/passcode.mobileconfig"
  lu.assertFalse(takes(self.vm, "kd8!hz")) -- too short
  lu.assertFalse(takes(self.vm, "kdzhqpwmxv!")) -- no digit
  lu.assertTrue(takes(self.vm, "kd8!hz3qpwmx"))
  self.device:remove_profile "org.example.passcode"
  lu.assertTrue(takes(self.vm, "abcd"))
end
