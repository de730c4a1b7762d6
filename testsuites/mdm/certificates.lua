-- Certificates and trust chains: a TLS request to a server whose chain ends in the lab's root fails,
-- succeeds with the root's profile, and fails again when the profile is gone.
local lu = require "luaunit"
local vmtest = require "vmtest"

local IMAGE = os.getenv "VMTEST_IMAGE" or "device"

vmtest.fixture("enrolled", { from = IMAGE }, function(vm) vm:enroll() end)

TestCertificates = vmtest.class { fixture = "enrolled", needs = "mdm" }

function TestCertificates:setUp() self.device = self.vm:enroll() end -- it is enrolled: gives the device

-- A server in the guest itself, with a certificate of the root in ca/ for localhost.
local SERVE = [[cd /tmp/ca &&
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout s.key -out s.csr 2>/dev/null &&
printf 'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n' >ext &&
openssl x509 -req -in s.csr -CA root.pem -CAkey root.key -set_serial 2 -days 30 -extfile ext -out s.pem 2>/dev/null
nohup openssl s_server -accept 4433 -cert s.pem -key s.key -www >/dev/null 2>&1 </dev/null &]]

local function trusted(vm) return vm:exec("curl -sS https://localhost:4433/ >/dev/null").status == 0 end

function TestCertificates:testRoot()
  self.vm:put("ca", "/tmp/ca")
  self.vm:sh(SERVE)
  self.vm:wait_until { cmd = "curl -sk https://localhost:4433/ >/dev/null" }
  lu.assertFalse(trusted(self.vm))
  self.device:install_profile "profiles/root-certificate.mobileconfig"
  self.vm:assert_effective "com.apple.security.root"
  lu.assertTrue(trusted(self.vm))
  self.device:remove_profile "org.example.root"
  lu.assertFalse(trusted(self.vm))
end
