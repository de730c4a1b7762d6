-- Each test gets a clean VM: the first writes everywhere it can, the next one looks and finds nothing.
-- Run it on an image of yours: vmtest run testsuites/clean.lua (the image is named below).
local lu = require "luaunit"
local vmtest = require "vmtest"

TestClean = vmtest.class { image = "small", timeout = "3m" }

function TestClean:setupClass()
  self.vm:write("/tmp/by-setup-class", "kept")
  self.vm:sh("sleep 100000 >/dev/null 2>&1 & echo $! > /tmp/kept-pid")
end

local function succeeds(vm, cmd) return vm:exec(cmd).status == 0 end

local function clock(vm) return tonumber((vm:sh("date -u +%s").stdout:match("%d+"))) end

function TestClean:test1WritesEverywhere()
  local vm = self.vm
  vm:sh("echo x > /etc/written; echo x > /root/written; rm /tmp/by-setup-class")
  vm:sh("sleep 99999 >/dev/null 2>&1 & echo $! > /tmp/process")
  vm:sh("kill $(cat /tmp/kept-pid)")
  vm:sh("echo 77 > /proc/sys/vm/swappiness; echo changed > /proc/sys/kernel/hostname")
  vm:sh("mkdir -p /mnt/written && mount -t tmpfs none /mnt/written && echo x > /mnt/written/x")
  vm:sh("date -u -s '2020-01-01 00:00:00'")
  lu.assertTrue(clock(vm) < os.time() - 365 * 86400)
  lu.assertEquals(vm:read("/proc/sys/vm/swappiness"), "77\n")
end

function TestClean:test2FindsNothing()
  local vm = self.vm
  for _, path in ipairs { "/etc/written", "/root/written", "/tmp/process", "/mnt/written/x" } do
    lu.assertFalse(succeeds(vm, { "test", "-e", path }), path)
  end
  lu.assertFalse(succeeds(vm, "ps | grep -v grep | grep 'sleep 99999'"), "a process lives on")
  lu.assertFalse(succeeds(vm, "grep /mnt/written /proc/mounts"), "a mount is there")
  lu.assertNotEquals(vm:read("/proc/sys/vm/swappiness"), "77\n")
  lu.assertNotEquals(vm:read("/proc/sys/kernel/hostname"), "changed\n")
  lu.assertAlmostEquals(clock(vm), os.time(), 5)
end

function TestClean:test3KeepsWhatSetupClassDid()
  lu.assertEquals(self.vm:read("/tmp/by-setup-class"), "kept")
  self.vm:sh("kill -0 $(cat /tmp/kept-pid)")
end

function TestClean:test4Crashes()
  local ok = pcall(self.vm.sh, self.vm, "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger",
    { timeout = "20s" })
  lu.assertFalse(ok)
end

function TestClean:test5IsThereAgain()
  lu.assertEquals(self.vm:sh("echo here").stdout, "here\n")
  lu.assertEquals(self.vm:read("/tmp/by-setup-class"), "kept")
end
