-- vm:console(): the serial console, read and written as an expect script does.
local raw = ...
local options = require "vmtest.options"

local Console = {}
Console.__index = Console

local KEPT = 64 << 10 -- bytes that are not yet matched
local TIMEOUT = 30    -- seconds with hardware virtualization
local TAIL = 1000     -- bytes of it shown in messages

local of = setmetatable({}, { __mode = "k" }) -- VM -> its console: there is one, with one place

local M = {}

function M.of(vm)
  raw.vm_state(vm) -- it is a VM that has not ended
  of[vm] = of[vm] or setmetatable({ vm = vm, offset = 0, text_left = "" }, Console)
  return of[vm]
end

-- Takes up what has been said since.
local function read(self)
  local more
  more, self.offset = raw.vm_console_read(self.vm, self.offset)
  self.text_left = (self.text_left .. more):sub(-KEPT)
end

local function give(self, from, to, ...)
  local match = self.text_left:sub(from, to)
  self.text_left = self.text_left:sub(to + 1)
  return match, ...
end

local function printable(text)
  if #text > TAIL then text = "... " .. text:sub(-TAIL) end
  return (text:gsub("\r\n", "\n"):gsub("[^\n\t\32-\126\128-\255]", "?"):gsub("%s+$", ""))
end

local function found(self, started, pattern, from, ...)
  if not from then return nil end
  raw.vm_note(self.vm, "console_expect", pattern, raw.now() - started)
  return give(self, from, ...)
end

local function gave_up(self, pattern, started, timeout)
  local shown = printable(self.text_left)
  local what = "the console did not say `" .. pattern .. "` within " .. raw.format_duration(timeout)
  raw.vm_note(self.vm, "console_expect", pattern, raw.now() - started, what)
  raw.raise("timeout", "vm.console", what
    .. (shown ~= "" and "; since the last match it said:\n" .. shown or ", and nothing else"), nil,
    { vm = raw.vm_name(self.vm), console = self.text_left })
end

function Console:expect(pattern, timeout, opts)
  local op = "vm.console"
  local o = options.check(op, { plain = "boolean" }, opts)
  options.value(op, "string", pattern, "what is expected")
  if pattern == "" then options.invalid(op, "what is expected is not to be empty") end
  local ok, why = pcall(string.find, "", pattern, 1, o.plain)
  if not ok then
    options.invalid(op, "`" .. pattern .. "` is no Lua pattern: " .. tostring(why):gsub("^.-: ", ""),
      "with { plain = true } it is taken as it is")
  end
  timeout = timeout == nil and TIMEOUT * raw.vm_scale(self.vm)
    or options.value(op, "duration", timeout, "the time-out")
  local started = raw.now()
  while true do
    read(self)
    local match = table.pack(found(self, started, pattern, self.text_left:find(pattern, 1, o.plain)))
    if match[1] then return table.unpack(match, 1, match.n) end
    local left = started + timeout - raw.now()
    if left <= 0 or not raw.vm_console_wait(self.vm, self.offset, left) then
      gave_up(self, pattern, started, timeout)
    end
  end
end

function Console:write(text)
  options.value("vm.console", "string", text, "what is written")
  raw.vm_console_write(self.vm, text)
  return self
end

function Console:text() return raw.vm_console_tail(self.vm, KEPT) end

M.methods = { expect = Console.expect, write = Console.write, text = Console.text }

return M
