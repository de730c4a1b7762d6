-- Disks that are plugged into a guest while it runs, and taken out again.
local lu = require "luaunit"
local vmtest = require "vmtest"
local contract = require "contract"

local MIB = 1 << 20

local function folder_of_its_own()
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute("mkdir '" .. path .. "'"))
  return path, setmetatable({}, { __close = function() os.execute("rm -rf '" .. path .. "'") end })
end

local function write_file(path, text, size)
  local file <close> = assert(io.open(path, "w"))
  file:write(text, ("\0"):rep(size - #text))
end

local function read_file(path, n)
  local file <close> = assert(io.open(path))
  return file:read(n)
end

local function blocks(vm)
  local there = {}
  for name in vm:sh("ls /sys/block").stdout:gmatch("%S+") do there[name] = true end
  return there
end

-- Waits for the disk that was not there before, and gives its name.
local function plugged(vm, before, size)
  return vmtest.wait_until(function()
    for name in pairs(blocks(vm)) do
      if not before[name] and vm:exec("cat /sys/block/" .. name .. "/size").stdout == size // 512 .. "\n" then
        return name
      end
    end
  end, { timeout = "60s", every = "200ms", message = "a new disk in the guest" })
end

local function gone(vm, name)
  vm:wait_until { timeout = "60s", cmd = "! test -e /sys/block/" .. name }
end

local function first_line(vm, name)
  return vm:sh("dd if=/dev/" .. name .. " bs=512 count=1 iflag=direct 2>/dev/null | head -n 1").stdout
end

local function write_line(vm, name, text)
  return vm:exec("echo " .. text .. " | dd of=/dev/" .. name .. " bs=512 conv=sync,fsync 2>&1")
end

-- Runs `behaves` on a VM that can, with what the guest needs for such disks; else all is refused.
local function where_it_can(behaves)
  return function()
    local probe <close> = vmtest.vm(contract.vm { start = false })
    local can, why = probe:supports("hot_disk")
    if not can then
      lu.assertTrue(#why > 10, why)
      contract.raises("unsupported", probe.attach_disk, probe, { name = "stick", size = "1M" })
      contract.raises("unsupported", probe.detach_disk, probe, "stick")
      return
    end
    local vm <close> = vmtest.vm(contract.vm { disks = { { name = "data", size = "8M" } } })
    vm:exec("modprobe -a xhci_pci usb_storage sd_mod")
    local folder, remove = folder_of_its_own()
    local removed <close> = remove
    behaves(vm, folder)
  end
end

TestHotDisks = {}

TestHotDisks.testEmpty = where_it_can(function(vm)
  local before = blocks(vm)
  for _ = 1, 2 do -- what was taken out can be plugged in again, and is new
    vm:attach_disk { name = "stick", size = 24 * MIB }
    local name = plugged(vm, before, 24 * MIB)
    lu.assertEquals(vm:sh("dd if=/dev/" .. name .. " bs=512 count=1 2>/dev/null | tr -d '\\0'").stdout, "")
    lu.assertEquals(write_line(vm, name, "kept").status, 0)
    lu.assertEquals(first_line(vm, name), "kept\n")
    contract.raises("busy", vm.attach_disk, vm, { name = "stick", size = "1M" })
    local err = contract.raises("unsupported", vm.snapshot, vm, "with-a-disk")
    lu.assertStrContains(err.message, '"stick"')
    lu.assertStrContains(err.hint, "detach_disk")
    local near = contract.raises("not_found", vm.detach_disk, vm, "stik")
    lu.assertStrContains(near.hint, '"stick"')
    vm:detach_disk("stick")
    gone(vm, name)
    contract.raises("not_found", vm.detach_disk, vm, "stick")
  end
  lu.assertEquals(blocks(vm), before)
end)

TestHotDisks.testFiles = where_it_can(function(vm, folder)
  local before = blocks(vm)
  local path = folder .. "/disk"
  write_file(path, "from the host\n", 4 * MIB)
  vm:attach_disk { name = "ro", path = path, read_only = true }
  local name = plugged(vm, before, 4 * MIB)
  lu.assertEquals(first_line(vm, name), "from the host\n")
  lu.assertEquals(vm:sh("cat /sys/block/" .. name .. "/ro").stdout, "1\n")
  lu.assertNotEquals(write_line(vm, name, "never").status, 0)
  vm:detach_disk("ro")
  gone(vm, name)
  lu.assertEquals(read_file(path, 14), "from the host\n")

  vm:attach_disk { name = "own", path = path }
  name = plugged(vm, before, 4 * MIB)
  lu.assertEquals(first_line(vm, name), "from the host\n")
  lu.assertEquals(write_line(vm, name, "mine-alone").status, 0)
  lu.assertEquals(first_line(vm, name), "mine-alone\n")
  vm:detach_disk("own")
  gone(vm, name)
  lu.assertEquals(read_file(path, 14), "from the host\n")

  vm:attach_disk { name = "direct", path = path, direct = true }
  name = plugged(vm, before, 4 * MIB)
  lu.assertEquals(write_line(vm, name, "into the file").status, 0)
  vm:detach_disk("direct")
  gone(vm, name)
  lu.assertEquals(read_file(path, 14), "into the file\n")
end)

TestHotDisks.testRefused = where_it_can(function(vm, folder)
  local before = blocks(vm)
  contract.raises("not_found", vm.attach_disk, vm, { name = "a", path = folder .. "/none" })
  contract.raises("not_found", vm.attach_disk, vm, { name = "a", path = folder })
  contract.raises("busy", vm.attach_disk, vm, { name = "data", size = "1M" })
  contract.raises("invalid", vm.attach_disk, vm, { name = "disk0", size = "1M" })
  contract.raises("invalid", vm.attach_disk, vm, { name = ("x"):rep(21), size = "1M" })
  contract.raises("invalid", vm.attach_disk, vm, { name = "a", size = 1000 })
  contract.raises("unsupported", vm.detach_disk, vm, "data")
  lu.assertEquals(blocks(vm), before)
  vm:kill()
  contract.raises("state", vm.attach_disk, vm, { name = "a", size = "1M" })
  contract.raises("state", vm.detach_disk, vm, "a")
end)

-- One that restarts has them still, however it does.
local function restarts(options)
  return where_it_can(function(vm)
    local before = blocks(vm)
    vm:attach_disk { name = "stick", size = 2 * MIB }
    lu.assertEquals(write_line(vm, plugged(vm, before, 2 * MIB), "kept").status, 0)
    vm:reboot(options)
    vm:exec("modprobe -a xhci_pci usb_storage sd_mod")
    local name = plugged(vm, before, 2 * MIB)
    lu.assertEquals(first_line(vm, name), "kept\n")
    vm:detach_disk("stick")
    gone(vm, name)
  end)
end

TestHotDisks.testRestart = restarts()
TestHotDisks.testReset = restarts { hard = true }

-- A guest that goes takes them along; so does going back to a snapshot.
TestHotDisks.testForgotten = where_it_can(function(vm)
  local before = blocks(vm)
  vm:snapshot("without")
  for _, go in ipairs { function() vm:restore("without") end, function()
    vm:kill()
    vm:start()
  end } do
    vm:attach_disk { name = "stick", size = 2 * MIB }
    plugged(vm, before, 2 * MIB)
    go()
    lu.assertEquals(blocks(vm), before)
    contract.raises("not_found", vm.detach_disk, vm, "stick")
    vm:exec("modprobe -a xhci_pci usb_storage sd_mod")
  end
  vm:attach_disk { name = "stick", size = 2 * MIB }
  plugged(vm, before, 2 * MIB)
  vm:detach_disk("stick")
end)

os.exit(lu.LuaUnit.run())
