-- A first suite: one VM boots, and its tests run commands in it, copy files and pause it.
--
--   vmtest run testsuites/quickstart.lua
--
-- Every function is in docs/lua-api.md; the assertions are LuaUnit's.

local lu = require "luaunit"
local vmtest = require "vmtest"

-- An ordinary LuaUnit class with needs: each of its tests finds a VM of the image "small" as it was
-- when it had booted. Say reset = "class" to have them share it instead.
TestQuickstart = vmtest.class { image = "small", tags = { "smoke" } }

-- A command and what comes back: status, stdout, stderr, duration.
function TestQuickstart:testCommand()
  local r = self.vm:exec("uname -s")
  lu.assertEquals(r.status, 0)
  lu.assertEquals(r.stdout, "Linux\n")
end

-- A status other than 0 is a result, to be asserted like any other.
function TestQuickstart:testCommandThatFails()
  local r = self.vm:exec("cat /no/such/file")
  lu.assertNotEquals(r.status, 0)
  lu.assertStrContains(r.stderr, "/no/such/file")
end

-- A list of words arrives as it is; no shell looks at it.
function TestQuickstart:testWords()
  local r = self.vm:exec { "echo", "two  blanks, $HOME and; more" }
  lu.assertEquals(r.stdout, "two  blanks, $HOME and; more\n")
end

-- Text into a guest's file and back. vm:sh asserts that its command succeeds.
function TestQuickstart:testFile()
  self.vm:write("/tmp/greeting", "hello, guest\n")
  self.vm:sh("cat /tmp/greeting > /tmp/answer; echo hello, host >> /tmp/answer")
  lu.assertEquals(self.vm:read("/tmp/answer"), "hello, guest\nhello, host\n")
end

-- A file of the host into the guest and back, compared by its SHA-256.
function TestQuickstart:testCopy()
  local path = os.tmpname()
  local file <close> = assert(io.open(path, "w"))
  file:write(("0123456789abcdef\n"):rep(4096))
  file:flush()
  local there = self.vm:put(path, "/tmp/numbers")
  local back = self.vm:get("/tmp/numbers", path)
  os.remove(path)
  lu.assertEquals(there.bytes, 17 * 4096)
  lu.assertEquals(back.sha256, there.sha256)
end

-- Something that takes a while: side by side with it, wait until it has happened.
function TestQuickstart:testWaitUntil()
  vmtest.parallel(
    function() self.vm:sh("sleep 1; echo up > /tmp/ready") end,
    function()
      local r = self.vm:wait_until { cmd = "cat /tmp/ready", timeout = "30s", every = "200ms" }
      lu.assertEquals(r.stdout, "up\n")
    end)
end

-- A paused guest stands still, and goes on where it was.
function TestQuickstart:testPause()
  self.vm:sh("echo kept > /tmp/kept")
  self.vm:pause()
  lu.assertEquals(self.vm:state(), "paused")
  self.vm:resume()
  lu.assertEquals(self.vm:read("/tmp/kept"), "kept\n")
end

os.exit(lu.LuaUnit.run())
