-- What the suites of this folder share: the target they are run on, which the environment names, and
-- the rule that holds for every primitive: it works as stated, or it is refused as `unsupported`
-- with a reason.
local lu = require "luaunit"
local vmtest = require "vmtest"

local M = {}

local driver = os.getenv "CONTRACT_DRIVER" or "sim"

-- The machine that is there already is never put back.
M.can_be_put_back = driver ~= "ssh"

-- Without vmtest's agent, perl or python3 a guest takes up its new random seed within a minute.
M.seeded_at_once = driver ~= "tart"

-- By QEMU's guest agent there is no terminal, and a command's output comes with its end.
M.streams = os.getenv "CONTRACT_CHANNEL" ~= "qga"
M.has_terminals = M.streams

-- Apple's framework gives serial numbers to virtio disks alone.
M.every_disk_has_a_serial = driver ~= "vz"

local function ssh_target()
  if driver ~= "ssh" then return nil end
  return {
    host = os.getenv "CONTRACT_SSH_HOST", port = math.tointeger(os.getenv "CONTRACT_SSH_PORT"),
    user = os.getenv "CONTRACT_SSH_USER", key = os.getenv "CONTRACT_SSH_KEY",
    host_key = os.getenv "CONTRACT_SSH_HOST_KEY",
  }
end

local function tart_target()
  if driver ~= "tart" then return nil end
  return { user = os.getenv "CONTRACT_TART_USER", key = os.getenv "CONTRACT_TART_KEY", suspendable = true }
end

-- Options of a VM on this target, with some of its own.
function M.vm(extra)
  local o = {
    driver = driver, channel = os.getenv "CONTRACT_CHANNEL", image = os.getenv "CONTRACT_IMAGE",
    ssh = ssh_target(), tart = tart_target(),
  }
  for key, value in pairs(extra or {}) do o[key] = value end
  return o
end

-- A class whose tests share one VM of this target. Each test has a folder of its own in the guest,
-- self.dir.
function M.class(options, extra)
  local o = { reset = M.can_be_put_back and "class" or "never", timeout = "5m", vm = M.vm(extra) }
  for key, value in pairs(options or {}) do o[key] = value end
  local class = vmtest.class(o)
  local count = 0
  function class:setUp()
    if not self.vm then return end
    count = count + 1
    self.dir = "/tmp/vmtest-contract-" .. os.time() .. "-" .. count
    self.vm:sh { "mkdir", "-p", self.dir }
  end
  function class:tearDown()
    if self.dir and self.vm and self.vm:is_alive() and self.vm:state() == "running" then
      self.vm:exec { "rm", "-rf", self.dir }
    end
  end
  return class
end

-- fn must raise an error object of this code; the object is given back.
function M.raises(code, fn, ...)
  local ok, err = pcall(fn, ...)
  lu.assertFalse(ok, "an error of code " .. code .. " was expected")
  if not vmtest.is_error(err) then error(err, 0) end
  lu.assertEquals(err.code, code, tostring(err))
  lu.assertTrue(#err.message > 0)
  return err
end

-- A test of a capability: `behaves(self)` where the VM has it; else `use(self)`, the plainest use of
-- it, must be refused, and the reason be the one that supports() gives.
function M.stated(capability, use, behaves)
  return function(self)
    local can, why = self.vm:supports(capability)
    if can then return behaves(self) end
    lu.assertIsString(why)
    lu.assertTrue(#why > 10, why)
    M.raises("unsupported", use, self)
  end
end

return M
