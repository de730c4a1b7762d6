-- Files in and out of the guest: what holds for every driver and every channel.
local lu = require "luaunit"
local contract = require "contract"

TestFiles = contract.class()

local function bytes(n)
  local block, parts = {}, {}
  for i = 0, 255 do block[#block + 1] = string.char((i * 7 + 13) % 256) end
  for i = 1, n // 256 + 1 do parts[i] = table.concat(block) end
  return table.concat(parts):sub(1, n)
end

local function host_folder()
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute("mkdir '" .. path .. "'"))
  return setmetatable({ path = path },
    { __close = function() os.execute("rm -rf '" .. path .. "'") end })
end

local function host_write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  assert(file:write(text))
end

local function host_read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

function TestFiles:testThereAndBack()
  for _, size in ipairs { 0, 1, 255, 4096, 32768, 70000, 262145 } do
    local text = bytes(size)
    local r = self.vm:write(self.dir .. "/f", text)
    lu.assertEquals(r.bytes, size)
    lu.assertTrue(self.vm:read(self.dir .. "/f") == text, size)
  end
end

function TestFiles:testMode()
  self.vm:write(self.dir .. "/run", "#!/bin/sh\necho ran\n", { mode = "755" })
  lu.assertEquals(self.vm:exec({ "test", "-f", self.dir .. "/run" }).status, 0)
end

function TestFiles:testNamesOfAnyKind()
  for _, name in ipairs { "it's", "two  blanks", "$HOME", "ä€", "-n" } do
    self.vm:write(self.dir .. "/" .. name, name)
    lu.assertEquals(self.vm:read(self.dir .. "/" .. name), name)
  end
end

function TestFiles:testFileOfTheHost()
  local host <close> = host_folder()
  local text = bytes(100000)
  host_write(host.path .. "/in", text)
  local there = self.vm:put(host.path .. "/in", self.dir .. "/f")
  local back = self.vm:get(self.dir .. "/f", host.path .. "/out")
  lu.assertEquals(there.bytes, 100000)
  lu.assertEquals(there.sha256, back.sha256)
  lu.assertTrue(host_read(host.path .. "/out") == text)
end

function TestFiles:testFolder()
  local host <close> = host_folder()
  assert(os.execute("mkdir -p '" .. host.path .. "/tree/a/b' '" .. host.path .. "/tree/empty'"))
  host_write(host.path .. "/tree/one", "1")
  host_write(host.path .. "/tree/a/b/two", bytes(5000))
  local there = self.vm:put(host.path .. "/tree", self.dir .. "/tree")
  lu.assertEquals(there.files, 2)
  lu.assertEquals(self.vm:read(self.dir .. "/tree/one"), "1")
  lu.assertEquals(self.vm:exec({ "test", "-d", self.dir .. "/tree/empty" }).status, 0)
  local back = self.vm:get(self.dir .. "/tree", host.path .. "/again")
  lu.assertEquals(back.files, 2)
  lu.assertTrue(host_read(host.path .. "/again/a/b/two") == bytes(5000))
end

function TestFiles:testReplacesAFile()
  self.vm:write(self.dir .. "/f", bytes(5000))
  self.vm:write(self.dir .. "/f", "short")
  lu.assertEquals(self.vm:read(self.dir .. "/f"), "short")
end

function TestFiles:testWhatIsNotThere()
  local host <close> = host_folder()
  contract.raises("not_found", self.vm.read, self.vm, self.dir .. "/none")
  contract.raises("not_found", self.vm.get, self.vm, self.dir .. "/none", host.path .. "/f")
  contract.raises("not_found", self.vm.put, self.vm, host.path .. "/none", self.dir .. "/f")
  contract.raises("not_found", self.vm.write, self.vm, self.dir .. "/none/f", "x")
end

function TestFiles:testLimit()
  self.vm:write(self.dir .. "/f", bytes(5000))
  contract.raises("limit", self.vm.read, self.vm, self.dir .. "/f", { limit = 4999 })
  lu.assertEquals(#self.vm:read(self.dir .. "/f", { limit = 5000 }), 5000)
end

os.exit(lu.LuaUnit.run())
