-- Certificates and trust chains: a TLS request to a server whose chain ends in the lab's root fails,
-- succeeds with the root's profile, and fails again when the profile is gone.
local lu = require "luaunit"
local vmtest = require "vmtest"

local IMAGE = os.getenv "VMTEST_IMAGE" or "device"

vmtest.fixture("enrolled", { from = IMAGE }, function(vm) vm:enroll() end)

TestCertificates = vmtest.class { fixture = "enrolled", needs = "mdm" }

function TestCertificates:setUp() self.device = self.vm:enroll() end -- it is enrolled: gives the device

-- A root that nobody else has, made in the guest, and a server there with a certificate of it.
local SERVE = [[mkdir -p /tmp/ca && cd /tmp/ca &&
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=lab-root -keyout root.key -out root.pem 2>/dev/null &&
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout s.key -out s.csr 2>/dev/null &&
printf 'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n' >ext &&
openssl x509 -req -in s.csr -CA root.pem -CAkey root.key -set_serial 2 -days 30 -extfile ext -out s.pem 2>/dev/null
nohup openssl s_server -accept 4433 -cert s.pem -key s.key -www >/dev/null 2>&1 </dev/null &]]

local function trusted(vm) return vm:exec("curl -sS https://localhost:4433/ >/dev/null").status == 0 end

-- The profile beside this suite, with that root in it.
local function profile_of(vm)
  local folder = debug.getinfo(1, "S").source:match("^@(.*/)") or ""
  local file <close> = assert(io.open(folder .. "profiles/root-certificate.mobileconfig"))
  local root = vm:read("/tmp/ca/root.pem"):match("%-\n(.-)%-%-%-%-%-END")
  return (file:read("a"):gsub("<data>.-</data>", "<data>\n" .. root .. "</data>"))
end

function TestCertificates:testRoot()
  self.vm:sh(SERVE)
  self.vm:wait_until { cmd = "curl -sk https://localhost:4433/ >/dev/null" }
  lu.assertFalse(trusted(self.vm))
  self.device:install_profile(profile_of(self.vm))
  self.vm:assert_effective "com.apple.security.root"
  lu.assertTrue(trusted(self.vm))
  self.device:remove_profile "org.example.root"
  lu.assertFalse(trusted(self.vm))
end
