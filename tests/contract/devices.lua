-- Disks, interfaces, shares, screen, keys and the console.
local lu = require "luaunit"
local vmtest = require "vmtest"
local contract = require "contract"

-- ---- the console and the screen ----

TestScreen = contract.class(nil, (os.getenv "CONTRACT_DRIVER" == "qemu") and { screen = true } or nil)

TestScreen.testScreenshot = contract.stated("screenshot", function(self) self.vm:screenshot() end,
  function(self)
    local path = self.vm:screenshot()
    local file <close> = assert(io.open(path, "rb"))
    lu.assertEquals(file:read(8), "\137PNG\r\n\26\n")
    lu.assertTrue(file:seek("end") > 100)
  end)

TestScreen.testKeys = contract.stated("keys", function(self) self.vm:send_keys("a") end, function(self)
  self.vm:send_keys("shift", "ctrl-l")
  self.vm:type("echo Hello, World! 42\n")
  local err = contract.raises("invalid", self.vm.send_keys, self.vm, "ctlr-a")
  lu.assertStrContains(tostring(err), "ctrl")
  contract.raises("invalid", self.vm.type, self.vm, "ä")
end)

TestScreen.testConsole = contract.stated("console_write",
  function(self) self.vm:console():write("x") end,
  function(self)
    local console = self.vm:console()
    self.vm:sh("echo mark-one > /dev/console")
    console:expect("mark%-(%a+)", "20s")
    contract.raises("timeout", console.expect, console, "never said", "1s")
    console:write("typed on the console\n")
  end)

-- ---- disks ----

local function with(extra, capability, use, behaves)
  return function()
    local probe <close> = vmtest.vm(contract.vm { start = false })
    local can, why = probe:supports(capability)
    if can then
      local vm <close> = vmtest.vm(contract.vm(extra))
      return behaves(vm)
    end
    lu.assertTrue(#why > 10, why)
    contract.raises("unsupported", vmtest.vm, contract.vm(extra))
  end
end

local function disk_of(vm, serial)
  local r = vm:sh("for d in /sys/block/*; do s=$(cat $d/serial $d/device/serial 2>/dev/null | tr -d ' ');"
    .. " [ \"$s\" = " .. serial .. " ] && echo /dev/${d##*/}; done; true")
  return (r.stdout:gsub("%s+$", ""))
end

local disks = {
  { name = "data", size = "64M" },
  { name = "fast", size = "32M", bus = "nvme" },
}

TestDisks = {}
TestDisks.testDisks = with({ disks = disks }, "disks", nil, function(vm)
  for _, disk in ipairs(disks) do
    local named = contract.every_disk_has_a_serial or disk.bus ~= "nvme"
    local path = named and disk_of(vm, disk.name) or "/dev/nvme0n1"
    lu.assertStrContains(path, "/dev/")
    vm:sh("echo written | dd of=" .. path .. " conv=sync 2>/dev/null; sync")
    lu.assertEquals(vm:sh("dd if=" .. path .. " bs=8 count=1 2>/dev/null").stdout, "written\n")
  end
  if vm:supports("resize_disk") then
    vm:resize_disk("data", "128M")
    local size = disk_of(vm, "data"):gsub("/dev/", "/sys/block/") .. "/size"
    vm:wait_until { cmd = "test $(cat " .. size .. ") = 262144", timeout = "60s" }
  end
end)

-- ---- interfaces ----

TestInterfaces = {}
TestInterfaces.testNone = with({ nics = {} }, "no_network", nil, function(vm)
  lu.assertEquals(vm:sh("ls /sys/class/net").stdout:gsub("sit0%s", ""), "lo\n")
end)

if os.getenv "CONTRACT_CHANNEL" == "ssh" then -- which needs one
  function TestInterfaces:testNone() contract.raises("unsupported", vmtest.vm, contract.vm { nics = {} }) end
end

function TestInterfaces:testIsolated()
  local probe <close> = vmtest.vm(contract.vm { start = false })
  local nics = { "nat", { kind = "isolated", network = "lab" } }
  local can, why = probe:supports("isolated")
  if not can then
    lu.assertTrue(#why > 10, why)
    contract.raises("unsupported", vmtest.vm, contract.vm { nics = nics })
    return
  end
  local web, db = vmtest.parallel(
    function() return vmtest.vm(contract.vm { name = "web", nics = nics }) end,
    function() return vmtest.vm(contract.vm { name = "db", nics = nics }) end)
  web:sh("ping -c 1 -w 10 db")
  db:sh("ping -c 1 -w 10 web")
end

-- ---- shares ----

TestShares = {}

function TestShares:testShares()
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir -p '" .. folder .. "/rw' '" .. folder .. "/ro'"))
  local remove <close> = setmetatable({}, { __close = function() os.execute("rm -rf '" .. folder .. "'") end })
  local extra = { shares = { { name = "rw", path = folder .. "/rw" },
    { name = "ro", path = folder .. "/ro", read_only = true } } }
  with(extra, "shares", nil, function(vm)
    local file <close> = assert(io.open(folder .. "/ro/hello", "w"))
    file:write("from the host\n")
    file:flush()
    vm:mount_share("rw", "/mnt/rw")
    vm:mount_share("ro", "/mnt/ro")
    lu.assertEquals(vm:sh("cat /mnt/ro/hello").stdout, "from the host\n")
    lu.assertNotEquals(vm:exec("echo x > /mnt/ro/new").status, 0)
    vm:sh("echo from the guest > /mnt/rw/new; ln -s /etc/passwd /mnt/rw/link")
    local back <close> = assert(io.open(folder .. "/rw/new"))
    lu.assertEquals(back:read("a"), "from the guest\n")
    lu.assertEquals(vm:sh("cat /mnt/rw/../../etc/passwd").stdout, vm:sh("cat /etc/passwd").stdout)
  end)()
end

function TestShares:testGivenWhileItRuns()
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir -p '" .. folder .. "'"))
  local remove <close> = setmetatable({}, { __close = function() os.execute("rm -rf '" .. folder .. "'") end })
  local probe <close> = vmtest.vm(contract.vm { start = false })
  local can, why = probe:supports("hot_share")
  if not can then
    lu.assertTrue(#why > 10, why)
    contract.raises("unsupported", probe.share, probe, { name = "given", path = folder })
    contract.raises("unsupported", probe.unshare, probe, "given")
    return
  end
  local vm <close> = vmtest.vm(contract.vm())
  contract.raises("not_found", vm.unshare, vm, "given")
  contract.raises("not_found", vm.share, vm, { name = "given", path = folder .. "/nothing" })
  for _ = 1, 2 do -- what was taken away can be given again
    vm:share { name = "given", path = folder }
    contract.raises("busy", vm.share, vm, { name = "given", path = folder })
    vm:mount_share("given", "/mnt/given")
    vm:sh("echo from the guest > /mnt/given/new")
    local file <close> = assert(io.open(folder .. "/new"))
    lu.assertEquals(file:read("a"), "from the guest\n")
    contract.raises("unsupported", vm.snapshot, vm, "with-a-share")
    vm:sh("sleep 300 < /mnt/given/new > /dev/null 2>&1 & echo $! > /tmp/holder")
    contract.raises("busy", vm.unshare, vm, "given")
    vm:sh("p=$(cat /tmp/holder); kill $p; while [ -e /proc/$p/fd/0 ]; do sleep 0.1; done")
    vm:unshare("given")
    lu.assertNotEquals(vm:exec("grep given /proc/mounts").status, 0)
  end
  vm:snapshot("without")
end

os.exit(lu.LuaUnit.run())
