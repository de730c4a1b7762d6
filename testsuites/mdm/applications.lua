-- Applications: a package comes by its manifest, is installed and listed, then updated in place. (Mac: not
-- tried; the packages are Debian's.)
local lu = require "luaunit"
local vmtest = require "vmtest"

local IMAGE = os.getenv "VMTEST_IMAGE" or "device"

vmtest.fixture("enrolled", { from = IMAGE }, function(vm) vm:enroll() end)

TestApplications = vmtest.class { fixture = "enrolled", needs = "mdm" }

function TestApplications:setUp() self.device = self.vm:enroll() end -- it is enrolled: gives the device

local BUILD = [[rm -rf /tmp/p && mkdir -p /tmp/p/DEBIAN /tmp/p/usr/bin && cd /tmp/p &&
printf 'Package: example-tool\nVersion: VERSION\nArchitecture: all\nMaintainer: A <a@example.org>\n' >DEBIAN/control &&
printf 'Description: an example\n' >>DEBIAN/control &&
printf '#!/bin/sh\necho VERSION\n' >usr/bin/example-tool && chmod 755 usr/bin/example-tool &&
dpkg-deb --build /tmp/p /tmp/p.deb >/dev/null]]

-- A package of this version, in a file of the host; `scope` lists it.
local function package(vm, version, scope)
  local path = os.tmpname()
  scope[#scope + 1] = path
  vm:sh((BUILD:gsub("VERSION", version)))
  vm:get("/tmp/p.deb", path)
  return path
end

function TestApplications:testInstallAndUpdate()
  if self.vm:exec("command -v dpkg-deb").status ~= 0 then vmtest.skip "the packages are Debian's" end
  local files <close> = setmetatable({}, { __close = function(list)
    for _, path in ipairs(list) do os.remove(path) end
  end })
  lu.assertNotEquals(self.vm:exec("example-tool").status, 0)
  for _, version in ipairs { "1.0", "2.0" } do
    self.device:install_application {
      path = package(self.vm, version, files), bundle_id = "example-tool", version = version,
    }
    self.vm:wait_until { cmd = "test $(example-tool) = " .. version, timeout = "60s" }
    local found
    for _, app in ipairs(self.device:applications()) do
      found = app.Identifier == "example-tool" and app.Version or found
    end
    lu.assertEquals(found, version)
  end
end
