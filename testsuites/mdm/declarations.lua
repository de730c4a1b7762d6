-- Declarative management, of a device that enrolled with an identity by SCEP: a passcode that is declared
-- is in effect once it is activated, and gone without its declaration; a declaration that the device does
-- not know is told with its reason.
local lu = require "luaunit"
local vmtest = require "vmtest"

local IMAGE = os.getenv "VMTEST_IMAGE" or "device"
local PASSCODE = {
  Type = "com.apple.configuration.passcode.settings", Identifier = "org.example.declared.passcode",
  Payload = { MinimumLength = 10, RequirePasscode = true },
}

-- A configuration takes effect once an activation names it.
local function activation(identifier)
  return { Type = "com.apple.activation.simple", Identifier = identifier .. ".activation",
    Payload = { StandardConfigurations = { identifier } } }
end

vmtest.fixture("enrolled by SCEP", { from = IMAGE }, function(vm) vm:enroll { method = "scep" } end)

TestDeclarations = vmtest.class { fixture = "enrolled by SCEP", needs = "mdm" }

function TestDeclarations:setUp() self.device = self.vm:enroll() end -- it is enrolled: gives the device

function TestDeclarations:testIdentity()
  local named = {}
  for _, certificate in ipairs(self.device:certificates()) do
    if certificate.IsIdentity then named[#named + 1] = certificate.CommonName end
  end
  lu.assertEquals(#named, 1)
  lu.assertStrContains(named[1], "vmtest device")
end

function TestDeclarations:testPasscode()
  lu.assertEquals(self.device:declare(PASSCODE).active, false)
  self.vm:assert_not_managed "com.apple.mobiledevice.passwordpolicy"
  local result = self.device:declare(activation(PASSCODE.Identifier))
  lu.assertEquals({ result.valid, result.active }, { "valid", true })
  self.vm:assert_managed("com.apple.mobiledevice.passwordpolicy", "minLength", 10)
  self.device:undeclare(PASSCODE.Identifier)
  self.vm:assert_not_managed "com.apple.mobiledevice.passwordpolicy"
end

function TestDeclarations:testUnknown()
  local unknown = "org.example.declared.x"
  self.device:declare(activation(unknown), { check = false }) -- what it names is not there yet
  local ok, err = pcall(self.device.declare, self.device,
    { Type = "com.apple.configuration.of-tomorrow", Identifier = unknown, Payload = {} })
  lu.assertFalse(ok)
  lu.assertEquals(err.code, "mdm")
  lu.assertStrContains(err.message, unknown)
end
