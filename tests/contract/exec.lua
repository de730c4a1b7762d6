-- Commands in the guest: what holds for every driver and every channel.
local lu = require "luaunit"
local vmtest = require "vmtest"
local contract = require "contract"

TestExec = contract.class()

function TestExec:testStreamsAndStatus()
  local r = self.vm:exec("echo out; echo err >&2; exit 7")
  lu.assertEquals(r.stdout, "out\n")
  lu.assertEquals(r.stderr, "err\n")
  lu.assertEquals(r.status, 7)
  lu.assertNil(r.signal)
  lu.assertFalse(r.truncated)
  lu.assertTrue(r.duration >= 0)
end

function TestExec:testEveryStatus()
  for _, status in ipairs { 0, 1, 2, 126, 127, 128, 255 } do
    lu.assertEquals(self.vm:exec("exit " .. status).status, status)
  end
end

function TestExec:testCommandThatIsNotThere()
  local r = self.vm:exec("no-such-command-anywhere")
  lu.assertEquals(r.status, 127)
  lu.assertStrContains(r.stderr, "no-such-command-anywhere")
end

function TestExec:testSignal()
  local r = self.vm:exec("kill -TERM $$")
  lu.assertEquals(r.signal, "TERM")
  lu.assertNil(r.status)
end

function TestExec:testWordsArriveAsTheyAre()
  local words = { "", " ", "two  blanks", "a'b", 'a"b', "$HOME", "`id`", "a;b&c|d", "*", "\\n", "-n", "ä€" }
  local path = self.dir .. "/it's $x"
  for _, word in ipairs(words) do
    lu.assertEquals(self.vm:exec({ "printf", "%s", word }).stdout, word)
  end
  self.vm:sh { "mkdir", path }
  self.vm:sh { "test", "-d", path }
end

function TestExec:testStandardInput()
  local bytes = {}
  for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
  local all = table.concat(bytes)
  lu.assertEquals(self.vm:exec("cat", { stdin = all }).stdout, all)
  lu.assertEquals(self.vm:exec("cat").stdout, "")
  local large = ("0123456789abcde\n"):rep(32 * 1024)
  lu.assertTrue(self.vm:exec("cat", { stdin = large }).stdout == large)
end

function TestExec:testCommandThatDoesNotReadItsInput()
  local r = self.vm:exec("true", { stdin = ("x"):rep(300000) })
  lu.assertEquals(r.status, 0)
end

function TestExec:testEnvironmentAndFolder()
  local r = self.vm:exec("echo \"$GREETING\"; pwd", { env = { GREETING = "it's $HOME" }, cwd = self.dir })
  lu.assertEquals(r.stdout, "it's $HOME\n" .. self.dir .. "\n")
  local missing = self.vm:exec("echo here", { cwd = self.dir .. "/none" })
  lu.assertNotEquals(missing.status, 0)
  lu.assertEquals(missing.stdout, "")
end

function TestExec:testLimitOfOutput()
  self.vm:write(self.dir .. "/data", ("x"):rep(5000))
  local seen = 0
  local r = self.vm:exec({ "cat", self.dir .. "/data" },
    { limit = 1000, on_output = function(_, text) seen = seen + #text end })
  lu.assertEquals(#r.stdout, 1000)
  lu.assertTrue(r.truncated)
  lu.assertEquals(seen, 5000)
end

function TestExec:testOutputComesAsItIsWritten()
  local first
  local began = vmtest.time()
  self.vm:exec("echo early; sleep 2; echo late",
    { on_output = function() first = first or vmtest.time() - began end })
  lu.assertEquals(first < vmtest.time() - began - 1, contract.streams)
end

function TestExec:testTimeout()
  local err = contract.raises("timeout", self.vm.exec, self.vm, "echo early; sleep 600", { timeout = "3s" })
  lu.assertEquals(err.stdout, contract.streams and "early\n" or nil)
  lu.assertEquals(self.vm:exec("echo still here").stdout, "still here\n")
end

function TestExec:testSideBySide()
  local calls = {}
  for i = 1, 6 do
    calls[i] = function() return self.vm:exec("sleep 1; echo " .. i).stdout end
  end
  lu.assertEquals({ vmtest.parallel(table.unpack(calls)) }, { "1\n", "2\n", "3\n", "4\n", "5\n", "6\n" })
end

function TestExec:testTerminal()
  if not contract.has_terminals then
    contract.raises("unsupported", self.vm.exec, self.vm, "true", { pty = true })
    return
  end
  local r = self.vm:exec("echo out; echo err >&2", { pty = true })
  lu.assertEquals(r.stdout, "out\r\nerr\r\n")
  lu.assertEquals(r.stderr, "")
end

function TestExec:testWrongUse()
  contract.raises("invalid", self.vm.exec, self.vm, {})
  contract.raises("invalid", self.vm.exec, self.vm, "true", { timeot = 1 })
  contract.raises("invalid", self.vm.exec, self.vm, "true", { env = { ["a-b"] = "1" } })
  contract.raises("failed", self.vm.sh, self.vm, "exit 3")
end

os.exit(lu.LuaUnit.run())
