-- The module `vmtest`, as suites see it. Reference: docs/lua-api.md.
local raw = ...
local class = require "vmtest.class"
local fixture = require "vmtest.fixture"
local marks = require "vmtest.marks"
local mdm = require "vmtest.mdm"
local options = require "vmtest.options"
local plist = require "vmtest.plist"
local profile = require "vmtest.profile"
local scenario = require "vmtest.scenario"
local vm = require "vmtest.vm"

local M = {}

M.class = class.new
M.test = class.test
M.fixture = fixture.new
M.vm = vm.new
M.profile = profile
M.mdm = mdm.new
M.data, M.date, M.array = plist.data, plist.date, plist.array
M.permutations, M.upgrade_scenario = scenario.permutations, scenario.upgrade

function M.skip(reason) marks.raise("skip", reason) end
function M.xfail(reason) marks.raise("xfail", reason) end

function M.sleep(duration)
  raw.sleep(options.value("vmtest.sleep", "duration", duration, "the duration"))
end

function M.time() return raw.now() end

function M.parallel(...)
  for i = 1, select("#", ...) do
    options.value("vmtest.parallel", "callable", (select(i, ...)), "argument " .. i)
  end
  return raw.parallel(...)
end

local wait_spec = { timeout = "duration", every = "duration", message = "string", check = "callable" }

function M.wait_until(what, opts)
  local op = "vmtest.wait_until"
  if type(what) == "function" then
    opts = opts or {}
  else
    what, opts = nil, what
  end
  local o = options.check(op, wait_spec, opts)
  local check = what or o.check
  if not check then options.invalid(op, "it needs a function to call") end
  local timeout, every = o.timeout or 30, o.every or 1
  local until_time = raw.now() + timeout
  while true do
    local value = check()
    if value then return value end
    local left = until_time - raw.now()
    if left <= 0 then
      raw.raise("timeout", op, (o.message or "it did not become true") .. " within "
        .. raw.format_duration(timeout))
    end
    raw.sleep(math.min(every, left))
  end
end

function M.scale(duration, of)
  local seconds = options.value("vmtest.scale", "duration", duration, "the duration")
  return seconds * (of and raw.vm_scale(of) or 1)
end

function M.log(text)
  raw.log("info", options.value("vmtest.log", "string", text, "the message"))
end

function M.is_error(value) return raw.is_error(value) end

return setmetatable(M, {
  __index = function(_, key)
    local near = type(key) == "string" and options.nearest(key, M)
    raw.raise("invalid", "vmtest", "there is no vmtest." .. tostring(key)
      .. (near and "; did you mean '" .. near .. "'?" or ""))
  end,
})
